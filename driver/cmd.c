// SPDX-License-Identifier: GPL-2.0-only
/*
 * The control channel: one command at a time, answered or declared lost.
 *
 * Every request carries a non-zero sequence number. Firmware of generation 2
 * echoes it and needs it to label events; generation 1 never looks at it and
 * answers with zero, so there the command code alone has to match.
 */

#include <linux/ieee80211.h>

#include "esp_hosted.h"
#include "trace.h"

#define ESP_CMD_TIMEOUT		(5 * HZ)
/* Ends an update: flash is written. */
#define ESP_CMD_TIMEOUT_OTA	(30 * HZ)
/* What ends something is answered at once; with a dead chip, nobody waits. */
#define ESP_CMD_TIMEOUT_END	(3 * HZ / 2)
/* A device that is going away gets one short chance. */
#define ESP_CMD_TIMEOUT_REMOVE	(HZ / 2)

static const char *esp_cmd_name(u8 code)
{
	static const char * const names[] = {
		[ESP_CMD_INIT_IF] = "INIT_IF",
		[ESP_CMD_SET_MAC] = "SET_MAC",
		[ESP_CMD_GET_MAC] = "GET_MAC",
		[ESP_CMD_SCAN] = "SCAN",
		[ESP_CMD_DISCONNECT] = "DISCONNECT",
		[ESP_CMD_DEINIT_IF] = "DEINIT_IF",
		[ESP_CMD_ADD_KEY] = "ADD_KEY",
		[ESP_CMD_DEL_KEY] = "DEL_KEY",
		[ESP_CMD_SET_DEFAULT_KEY] = "SET_DEFAULT_KEY",
		[ESP_CMD_STA_AUTH] = "STA_AUTH",
		[ESP_CMD_STA_ASSOC] = "STA_ASSOC",
		[ESP_CMD_GET_TXPOWER] = "GET_TXPOWER",
		[ESP_CMD_SET_TXPOWER] = "SET_TXPOWER",
		[ESP_CMD_SET_REGDOM] = "SET_REGDOM",
		[ESP_CMD_RAW_TP_TO_HOST] = "RAW_TP_TO_HOST",
		[ESP_CMD_RAW_TP_FROM_HOST] = "RAW_TP_FROM_HOST",
		[ESP_CMD_SET_MODE] = "SET_MODE",
		[ESP_CMD_SET_IE] = "SET_IE",
		[ESP_CMD_AP_CONFIG] = "AP_CONFIG",
		[ESP_CMD_MGMT_TX] = "MGMT_TX",
		[ESP_CMD_AP_STATION] = "AP_STATION",
		[ESP_CMD_STA_RSSI] = "STA_RSSI",
		[ESP_CMD_OTA_START] = "OTA_START",
		[ESP_CMD_OTA_WRITE] = "OTA_WRITE",
		[ESP_CMD_OTA_END] = "OTA_END",
		[ESP_CMD_SET_AUTHORIZED] = "SET_AUTHORIZED",
		[ESP_CMD_SET_RADIO_SERVICE] = "SET_RADIO_SERVICE",
	};

	if (code < ARRAY_SIZE(names) && names[code])
		return names[code];

	return "unnamed";
}

static int esp_cmd_status_errno(u8 status)
{
	switch (status) {
	case ESP_STATUS_SUCCESS:
		return 0;
	case ESP_STATUS_FAIL:
		return -EIO;
	case ESP_STATUS_BUSY:
		return -EBUSY;
	case ESP_STATUS_UNSUPPORTED:
		return -EOPNOTSUPP;
	case ESP_STATUS_INVALID:
		return -EINVAL;
	default:
		return -EPROTO;
	}
}

static int esp_cmd_allowed(struct esp_hosted *esp, const struct esp_cmd *cmd)
{
	switch (READ_ONCE(esp->state)) {
	case ESP_STATE_RUNNING:
		return 0;
	case ESP_STATE_STARTING:
		return cmd->bringup ? 0 : -ENETDOWN;
	case ESP_STATE_GONE:
		return -ENODEV;
	default:
		return -ENETDOWN;
	}
}

/* Make @cmd the one that responses are for, and label its request. */
static int esp_cmd_begin(struct esp_hosted *esp, struct esp_cmd *cmd,
			 struct sk_buff *skb)
{
	struct esp_cmd_hdr *hdr = (struct esp_cmd_hdr *)skb->data;
	struct esp_cmd_channel *ch = &esp->cmd;
	int err;

	spin_lock_bh(&ch->lock);
	err = esp_cmd_allowed(esp, cmd);
	if (!err) {
		if (!++ch->seq)
			ch->seq = 1;
		cmd->seq = ch->seq;
		ch->current_cmd = cmd;
	}
	spin_unlock_bh(&ch->lock);
	if (err)
		return err;

	*hdr = (struct esp_cmd_hdr) {
		.code = cmd->code,
		.seq = cpu_to_le16(cmd->seq),
		.option = cmd->option,
	};

	return 0;
}

/* How long the answer may take, in jiffies */
static unsigned long esp_cmd_timeout(const struct esp_hosted *esp, u8 code)
{
	if (test_bit(ESP_FLAG_REMOVING, &esp->flags) ||
	    test_bit(ESP_FLAG_LEAVING, &esp->flags))
		return ESP_CMD_TIMEOUT_REMOVE;

	switch (code) {
	case ESP_CMD_OTA_START:
	case ESP_CMD_OTA_WRITE:
	case ESP_CMD_OTA_END:
		return ESP_CMD_TIMEOUT_OTA;
	case ESP_CMD_DISCONNECT:
	case ESP_CMD_DEINIT_IF:
		return ESP_CMD_TIMEOUT_END;
	default:
		return ESP_CMD_TIMEOUT;
	}
}

static void esp_cmd_wait(struct esp_hosted *esp, struct esp_cmd *cmd)
{
	struct esp_cmd_channel *ch = &esp->cmd;
	bool lost;

	if (wait_for_completion_timeout(&cmd->done,
					esp_cmd_timeout(esp, cmd->code)))
		return;

	spin_lock_bh(&ch->lock);
	lost = ch->current_cmd == cmd;
	if (lost) {
		ch->current_cmd = NULL;
		cmd->error = -ETIMEDOUT;
	}
	spin_unlock_bh(&ch->lock);
	if (!lost)
		return;

	esp_link_unsend(&esp->link, cmd->skb);
	esp_count(esp, ESP_STAT_CMD_TIMEOUTS);
	dev_err(esp->dev, "no answer to command %s (%u)\n",
		esp_cmd_name(cmd->code), cmd->code);
	esp_recover(esp, "command timed out");
}

/**
 * esp_cmd_exec - run one command
 * @esp: the device
 * @cmd: code, interface and where the result goes; the rest is filled in
 * @req: the request, starting with a &struct esp_cmd_hdr that is ignored
 * @len: bytes in @req
 * @tail: variable part behind @req, may be %NULL
 * @tail_len: bytes in @tail
 *
 * Sleeps up to the command time-out; a lost command resets the device, and
 * everything after it fails at once. Process context, any locks but the
 * link's.
 *
 * Return: 0 if the firmware reported success; -EIO, -EBUSY, -EOPNOTSUPP or
 * -EINVAL as it reported; -ETIMEDOUT if it did not answer; -ENETDOWN,
 * -ENODEV or -ECONNRESET if the device is not in service, is being removed or
 * restarted meanwhile; -EMSGSIZE if the request does not fit
 */
int esp_cmd_exec(struct esp_hosted *esp, struct esp_cmd *cmd, void *req,
		 size_t len, const void *tail, size_t tail_len)
{
	struct esp_cmd_channel *ch = &esp->cmd;
	struct sk_buff *skb;
	int err;

	if (len + tail_len > ESP_TX_PAYLOAD_MAX)
		return -EMSGSIZE;
	skb = alloc_skb(len + tail_len, GFP_KERNEL);
	if (!skb)
		return -ENOMEM;
	skb_put_data(skb, req, len);
	if (tail_len)
		skb_put_data(skb, tail, tail_len);
	*esp_skb_cb(skb) = (struct esp_skb_cb) {
		.if_type = cmd->if_type,
		.pkt_type = ESP_PKT_COMMAND,
	};

	mutex_lock(&ch->mutex);
	init_completion(&cmd->done);
	cmd->error = 0;
	cmd->resp_len = 0;
	cmd->skb = skb;
	err = esp_cmd_begin(esp, cmd, skb);
	if (err) {
		kfree_skb(skb);
		goto unlock;
	}

	esp_count(esp, ESP_STAT_COMMANDS);
	trace_esp_command(esp, cmd->code, cmd->seq);
	esp_link_expect(&esp->link, ESP_EXPECT_RESPONSE, true);
	esp_link_send(&esp->link, &esp->link.control, skb);
	esp_cmd_wait(esp, cmd);
	esp_link_expect(&esp->link, ESP_EXPECT_RESPONSE, false);

	err = cmd->error;
	if (err == -ECONNRESET || err == -ENODEV) {
		esp_link_unsend(&esp->link, cmd->skb);
	} else if (!err) {
		err = esp_cmd_status_errno(cmd->status);
		if (err)
			esp_count(esp, ESP_STAT_CMD_FAILED);
	}
	trace_esp_command_done(esp, cmd->code, cmd->seq, cmd->status, err);
	if (err)
		dev_dbg(esp->dev, "command %s: status %u, %d\n",
			esp_cmd_name(cmd->code), cmd->status, err);
unlock:
	mutex_unlock(&ch->mutex);

	return err;
}

/**
 * esp_cmd_simple - run a command that has neither arguments nor a result
 * @esp: the device
 * @code: &enum esp_cmd_code
 * @if_type: interface it is for
 *
 * Return: as esp_cmd_exec()
 */
int esp_cmd_simple(struct esp_hosted *esp, u8 code, u8 if_type)
{
	struct esp_cmd cmd = { .code = code, .if_type = if_type };
	struct esp_cmd_hdr req = {};

	return esp_cmd_exec(esp, &cmd, &req, sizeof(req), NULL, 0);
}

/**
 * esp_cmd_cancel - end the command that is waiting, if any
 * @esp: the device, in a state that refuses new commands
 * @error: what the command returns
 *
 * Any context but hard interrupts.
 */
void esp_cmd_cancel(struct esp_hosted *esp, int error)
{
	struct esp_cmd_channel *ch = &esp->cmd;
	struct esp_cmd *cmd;

	spin_lock_bh(&ch->lock);
	cmd = ch->current_cmd;
	if (cmd) {
		ch->current_cmd = NULL;
		cmd->error = error;
		esp_count(esp, ESP_STAT_CMD_CANCELLED);
		complete(&cmd->done);
	}
	spin_unlock_bh(&ch->lock);
}

/**
 * esp_cmd_response - handle a response
 * @esp: the device
 * @frame: a frame of type %ESP_PKT_RESPONSE
 *
 * Link thread.
 */
void esp_cmd_response(struct esp_hosted *esp, const struct esp_frame *frame)
{
	const struct esp_cmd_hdr *hdr = (const void *)frame->payload;
	const struct esp_layout *layout = esp_layout(esp);
	struct esp_cmd_channel *ch = &esp->cmd;
	struct esp_cmd *cmd;
	size_t len;

	if (frame->len < sizeof(*hdr)) {
		esp_count(esp, ESP_STAT_RESP_MALFORMED);
		return;
	}

	/* Some answer MGMT_TX when the frame went out, or unasked. */
	if (hdr->code == ESP_CMD_MGMT_TX && !layout->mgmt_tx_events) {
		esp_event_rx(esp, frame);
		return;
	}

	len = le16_to_cpu(hdr->len);
	if (len > frame->len - sizeof(*hdr)) {
		esp_count(esp, ESP_STAT_RESP_MALFORMED);
		return;
	}

	spin_lock_bh(&ch->lock);
	cmd = ch->current_cmd;
	if (cmd && esp_response_matches(layout, cmd->code, cmd->seq, hdr->code,
					le16_to_cpu(hdr->seq))) {
		ch->current_cmd = NULL;
		cmd->status = hdr->status;
		cmd->resp_seq = le16_to_cpu(hdr->seq);
		cmd->resp_len = len;
		if (cmd->resp)
			memcpy(cmd->resp, frame->payload + sizeof(*hdr),
			       min(len, cmd->resp_size));
		complete(&cmd->done);
	} else {
		cmd = NULL;
	}
	spin_unlock_bh(&ch->lock);

	if (!cmd) {
		esp_count(esp, ESP_STAT_RESP_UNEXPECTED);
		dev_dbg_ratelimited(esp->dev, "unexpected response %u\n",
				    hdr->code);
	}
}

/**
 * esp_cmd_start - first command after a boot: start Wi-Fi, learn who answers
 * @esp: the device, %ESP_STATE_STARTING
 *
 * INIT_IF has the same layout in both generations and generation 1 never looks
 * at the sequence number, so the echo of it tells them apart.
 *
 * Return: as esp_cmd_exec()
 */
int esp_cmd_start(struct esp_hosted *esp)
{
	struct esp_cmd cmd = {
		.code = ESP_CMD_INIT_IF,
		.if_type = ESP_IF_STA,
		.bringup = true,
	};
	static const u8 first_g2[5] = { 1, 0, 6, 0, 7 };
	struct esp_cmd_hdr req = {};
	enum esp_generation expected;
	int err;

	err = esp_cmd_exec(esp, &cmd, &req, sizeof(req), NULL, 0);
	if (err)
		return err;

	WRITE_ONCE(esp->gen, cmd.resp_seq ? ESP_GEN_2 : ESP_GEN_1);
	expected = esp_version_before(esp->boot.version, first_g2) ?
			ESP_GEN_1 : ESP_GEN_2;
	if (esp->gen != expected && !test_bit(ESP_FLAG_ATTACH, &esp->flags))
		dev_notice(esp->dev,
			   "firmware %s answers like generation %u, using that\n",
			   esp->fw_version, esp->gen == ESP_GEN_2 ? 2 : 1);
	set_bit(ESP_FLAG_WIFI_STARTED, &esp->flags);

	return 0;
}

/**
 * esp_cmd_leave - end whatever an earlier host left behind
 * @esp: the device, %ESP_STATE_STARTING, generation known
 *
 * For a firmware that was running already: it becomes a station without a
 * connection, as after a boot.
 *
 * Return: as esp_cmd_exec()
 */
int esp_cmd_leave(struct esp_hosted *esp)
{
	struct esp_cmd cmd = {
		.code = ESP_CMD_DISCONNECT,
		.if_type = ESP_IF_STA,
		.bringup = true,
	};
	struct esp_req_disconnect leave = {
		.reason = cpu_to_le16(WLAN_REASON_DEAUTH_LEAVING),
	};
	struct esp_req_mode mode = {
		.mode = cpu_to_le16(ESP_MODE_STA),
	};
	int err;

	/* Fails where there is no connection, which is as good. */
	err = esp_cmd_exec(esp, &cmd, &leave, sizeof(leave), NULL, 0);
	if (err && err != -EIO)
		return err;
	cmd.code = ESP_CMD_SET_MODE;

	return esp_cmd_exec(esp, &cmd, &mode, sizeof(mode), NULL, 0);
}

/**
 * esp_cmd_get_mac - ask for the device's MAC address
 * @esp: the device, starting or running
 * @if_type: interface
 * @mac: filled in with six bytes
 *
 * Return: as esp_cmd_exec(), -EPROTO if the answer is too short
 */
int esp_cmd_get_mac(struct esp_hosted *esp, u8 if_type, u8 *mac)
{
	u8 answer[ESP_MAC_LEN];
	struct esp_cmd cmd = {
		.code = ESP_CMD_GET_MAC,
		.if_type = if_type,
		.bringup = true,
		.resp = answer,
		.resp_size = sizeof(answer),
	};
	struct esp_cmd_hdr req = {};
	int err;

	err = esp_cmd_exec(esp, &cmd, &req, sizeof(req), NULL, 0);
	if (err)
		return err;
	if (cmd.resp_len < sizeof(answer))
		return -EPROTO;
	memcpy(mac, answer, sizeof(answer));

	return 0;
}

/**
 * esp_cmd_set_mac - give the device another MAC address
 * @esp: the device, starting or running
 * @if_type: interface
 * @mac: six bytes
 *
 * The firmware forgets it whenever Wi-Fi is started.
 *
 * Return: as esp_cmd_exec()
 */
int esp_cmd_set_mac(struct esp_hosted *esp, u8 if_type, const u8 *mac)
{
	struct esp_cmd cmd = {
		.code = ESP_CMD_SET_MAC,
		.if_type = if_type,
		.bringup = true,
	};
	struct esp_req_mac req = {};

	memcpy(req.mac, mac, sizeof(req.mac));

	return esp_cmd_exec(esp, &cmd, &req, sizeof(req), NULL, 0);
}

/**
 * esp_cmd_init - set up the control channel
 * @esp: the device
 */
void esp_cmd_init(struct esp_hosted *esp)
{
	mutex_init(&esp->cmd.mutex);
	spin_lock_init(&esp->cmd.lock);
}
