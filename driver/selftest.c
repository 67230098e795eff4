// SPDX-License-Identifier: GPL-2.0-only
/*
 * ethtool -t: does the co-processor answer, and what does the bus do to frames?
 *
 * The online tests ask it something harmless and watch the lines; traffic goes
 * on. The offline ones use the firmware's raw throughput mode: test frames flow
 * in one direction, then in the other, and the contents of those received is
 * checked. Only a reset ends that mode, so they need reset-gpios and cost the
 * connection.
 */

#include <linux/ethtool.h>

#include "esp_hosted.h"

#define ESP_TEST_FRAMES		200
/* A frame takes milliseconds: if none passes for so long, none will. */
#define ESP_TEST_STALL		(2 * HZ)
/* The end of each part, whatever still passes: RTNL is held meanwhile. */
#define ESP_TEST_LIMIT		(30 * HZ)

enum esp_test_number {
	ESP_TEST_STATE,
	ESP_TEST_COMMAND,
	ESP_TEST_HANDSHAKE,
	ESP_TEST_DATA_READY,
	ESP_TEST_RECEIVE,
	ESP_TEST_SEND,
	ESP_TEST_BOOT,
};

const char esp_test_names[ESP_TEST_COUNT][ETH_GSTRING_LEN] = {
	[ESP_TEST_STATE] = "in service       (on/offline)",
	[ESP_TEST_COMMAND] = "command answer   (on/offline)",
	[ESP_TEST_HANDSHAKE] = "handshake pulse  (on/offline)",
	[ESP_TEST_DATA_READY] = "data-ready pulse (on/offline)",
	[ESP_TEST_RECEIVE] = "test frames in   (offline)",
	[ESP_TEST_SEND] = "test frames out  (offline)",
	[ESP_TEST_BOOT] = "reset and boot   (offline)",
};

/**
 * esp_test_rx - look at a test frame
 * @esp: the device, self-test under way
 * @frame: a frame on %ESP_IF_TEST
 *
 * Link thread, link locked.
 */
void esp_test_rx(struct esp_hosted *esp, const struct esp_frame *frame)
{
	const struct esp_raw_tp *raw = (const void *)frame->payload;
	struct esp_test *test = &esp->test;
	bool good = frame->len == sizeof(*raw) &&
		    !memchr_inv(raw->zero, 0, sizeof(raw->zero));

	/* Generation 2 numbers them, and the link loses none. */
	if (good && esp_layout(esp)->sequences)
		good = le32_to_cpu(raw->seq) == test->frames &&
		       le32_to_cpu(raw->run) == 1;
	if (!good)
		test->bad++;
	WRITE_ONCE(test->frames, test->frames + 1);
}

static int esp_test_raw(struct esp_hosted *esp, u8 code)
{
	struct esp_cmd cmd = { .code = code, .if_type = ESP_IF_STA };
	struct esp_req_raw_tp req = { .run = cpu_to_le32(1) };

	return esp_cmd_exec(esp, &cmd, &req, sizeof(req), NULL, 0);
}

/* Frames that the link dropped because the bus had damaged them */
static unsigned long esp_test_damaged(const struct esp_hosted *esp)
{
	static const enum esp_stat damage[] = {
		ESP_STAT_RX_BLANK, ESP_STAT_RX_BAD_IF, ESP_STAT_RX_EMPTY,
		ESP_STAT_RX_BAD_OFFSET, ESP_STAT_RX_BAD_LEN,
		ESP_STAT_RX_BAD_CSUM, ESP_STAT_RX_BAD_IFNUM,
	};
	unsigned long sum = 0;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(damage); i++)
		sum += esp_stat(esp, damage[i]);

	return sum;
}

/*
 * Wait as long as test frames pass. How fast they do is not what is tested: 0.6
 * to 2 ms each on the bus, but forty on a host that is emulated and full of
 * checks. @left tells how many are to come.
 */
static void esp_test_wait(struct esp_hosted *esp,
			  unsigned int (*left)(struct esp_hosted *esp))
{
	unsigned long end = jiffies + ESP_TEST_LIMIT;
	unsigned long moved = jiffies;
	unsigned int last = left(esp);

	while (last && time_before(jiffies, end) &&
	       time_before(jiffies, moved + ESP_TEST_STALL) &&
	       esp_running(esp)) {
		unsigned int now;

		schedule_timeout_uninterruptible(HZ / 50);
		now = left(esp);
		if (now != last)
			moved = jiffies;
		last = now;
	}
}

static unsigned int esp_test_to_receive(struct esp_hosted *esp)
{
	unsigned int frames = READ_ONCE(esp->test.frames);

	return frames < ESP_TEST_FRAMES ? ESP_TEST_FRAMES - frames : 0;
}

static unsigned int esp_test_to_send(struct esp_hosted *esp)
{
	return skb_queue_len_lockless(&esp->link.data[NL80211_AC_BK]);
}

/* How many of the frames we wanted did not come, or not as they should */
static u64 esp_test_receive(struct esp_hosted *esp)
{
	unsigned long damaged = esp_test_damaged(esp);
	struct esp_test *test = &esp->test;
	u64 wrong;
	int err;

	mutex_lock(&esp->link.lock);
	test->frames = 0;
	test->bad = 0;
	test->on = true;
	mutex_unlock(&esp->link.lock);

	err = esp_test_raw(esp, ESP_CMD_RAW_TP_TO_HOST);
	if (!err)
		esp_test_wait(esp, esp_test_to_receive);

	mutex_lock(&esp->link.lock);
	test->on = false;
	wrong = test->bad + esp_test_damaged(esp) - damaged;
	if (test->frames < ESP_TEST_FRAMES)
		wrong += ESP_TEST_FRAMES - test->frames;
	mutex_unlock(&esp->link.lock);

	return wrong;
}

/*
 * Send test frames and ask something behind them: the answer says that the
 * firmware took them, as commands wait their turn there. Nobody else sends on
 * this queue.
 */
static u64 esp_test_send(struct esp_hosted *esp)
{
	struct sk_buff_head *queue = &esp->link.data[NL80211_AC_BK];
	u8 mac[ESP_MAC_LEN];
	unsigned int i;

	if (esp_test_raw(esp, ESP_CMD_RAW_TP_FROM_HOST))
		return ESP_TEST_FRAMES;
	for (i = 0; i < ESP_TEST_FRAMES; i++) {
		struct esp_raw_tp *raw;
		struct sk_buff *skb;

		skb = alloc_skb(sizeof(*raw), GFP_KERNEL);
		if (!skb)
			return ESP_TEST_FRAMES - i;
		raw = skb_put_zero(skb, sizeof(*raw));
		raw->seq = cpu_to_le32(i);
		raw->run = cpu_to_le32(1);
		*esp_skb_cb(skb) = (struct esp_skb_cb) {
			.if_type = ESP_IF_TEST,
			.pkt_type = ESP_PKT_DATA,
		};
		esp_link_send(&esp->link, queue, skb);
	}
	esp_test_wait(esp, esp_test_to_send);
	if (!skb_queue_empty_lockless(queue) ||
	    esp_cmd_get_mac(esp, ESP_IF_STA, mac))
		return skb_queue_len_lockless(queue) + 1;

	return 0;
}

/* The state worker knows how long a boot may take, and when to give up. */
static bool esp_test_restart(struct esp_hosted *esp)
{
	unsigned long end = jiffies + ESP_TEST_LIMIT;
	bool back;

	reinit_completion(&esp->restarted);
	esp_recover(esp, NULL);
	esp_lend_lock(esp);
	do {
		back = wait_for_completion_timeout(&esp->restarted, HZ / 10);
	} while (!back && time_before(jiffies, end) &&
		 READ_ONCE(esp->state) != ESP_STATE_FAILED &&
		 !test_bit(ESP_FLAG_REMOVING, &esp->flags));
	esp_lend_unlock(esp);

	return back;
}

static void esp_test_offline(struct esp_hosted *esp, u64 *data)
{
	data[ESP_TEST_RECEIVE] = esp_test_receive(esp);
	data[ESP_TEST_SEND] = esp_test_send(esp);
	data[ESP_TEST_BOOT] = !esp_test_restart(esp);
}

/**
 * esp_self_test - ethtool's self-test
 * @ndev: the interface
 * @test: which tests; flags filled in
 * @data: results, 0 for passed or not wanted
 *
 * RTNL held.
 */
void esp_self_test(struct net_device *ndev, struct ethtool_test *test,
		   u64 *data)
{
	struct esp_vif *vif = netdev_priv(ndev);
	struct esp_hosted *esp = vif->esp;
	unsigned long hs = esp_stat(esp, ESP_STAT_HS_EDGES);
	unsigned long dr = esp_stat(esp, ESP_STAT_DR_EDGES);
	u8 mac[ESP_MAC_LEN];
	unsigned int i;

	memset(data, 0, ESP_TEST_COUNT * sizeof(*data));
	data[ESP_TEST_STATE] = !esp_running(esp);
	data[ESP_TEST_COMMAND] = !!esp_cmd_get_mac(esp, esp_vif_if_type(vif),
						   mac);
	data[ESP_TEST_HANDSHAKE] =
		esp_stat(esp, ESP_STAT_HS_EDGES) == hs;
	data[ESP_TEST_DATA_READY] =
		esp_stat(esp, ESP_STAT_DR_EDGES) == dr;
	if ((test->flags & ETH_TEST_FL_OFFLINE) && esp->reset &&
	    esp_running(esp))
		esp_test_offline(esp, data);

	for (i = 0; i < ESP_TEST_COUNT; i++) {
		if (data[i])
			test->flags |= ETH_TEST_FL_FAILED;
	}
}
