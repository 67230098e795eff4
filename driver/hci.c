// SPDX-License-Identifier: GPL-2.0-only
/*
 * Bluetooth: the chip's controller as an HCI device, over the same link.
 *
 * Towards the chip the H4 packet type is in the last byte of the frame header,
 * from the chip it is the first byte of the payload.
 */

#include <net/bluetooth/bluetooth.h>
#include <net/bluetooth/hci_core.h>

#include "esp_hosted.h"

/* The controller grants credits; this is for those who ignore them. */
#define ESP_HCI_QUEUE		64

static struct esp_hosted *esp_from_hdev(struct hci_dev *hdev)
{
	return hci_get_drvdata(hdev);
}

static int esp_hci_open(struct hci_dev *hdev)
{
	return esp_running(esp_from_hdev(hdev)) ? 0 : -ENETDOWN;
}

static int esp_hci_flush(struct hci_dev *hdev)
{
	skb_queue_purge(&esp_from_hdev(hdev)->link.hci);

	return 0;
}

static int esp_hci_close(struct hci_dev *hdev)
{
	return esp_hci_flush(hdev);
}

/* On an error the core still owns the frame. */
static int esp_hci_send(struct hci_dev *hdev, struct sk_buff *skb)
{
	struct esp_hosted *esp = esp_from_hdev(hdev);
	struct esp_link *link = &esp->link;
	u8 type = hci_skb_pkt_type(skb);

	if (!skb->len || skb->len > ESP_TX_PAYLOAD_MAX) {
		esp_count(esp, ESP_STAT_HCI_TX_BAD);
		return -EMSGSIZE;
	}
	if (!esp_running(esp))
		return -ENETDOWN;
	if (skb_queue_len_lockless(&link->hci) >= ESP_HCI_QUEUE)
		return -EBUSY;

	switch (type) {
	case HCI_COMMAND_PKT:
		hdev->stat.cmd_tx++;
		break;
	case HCI_ACLDATA_PKT:
		hdev->stat.acl_tx++;
		break;
	case HCI_SCODATA_PKT:
		hdev->stat.sco_tx++;
		break;
	case HCI_ISODATA_PKT:
		break;
	default:
		esp_count(esp, ESP_STAT_HCI_TX_BAD);
		return -EILSEQ;
	}
	hdev->stat.byte_tx += skb->len;

	*esp_skb_cb(skb) = (struct esp_skb_cb) {
		.if_type = ESP_IF_HCI,
		.pkt_type = ESP_PKT_DATA,
		.hci_type = type,
	};
	esp_link_send(link, &link->hci, skb);

	return 0;
}

/* A packet is as long as its own header says. */
static bool esp_hci_plausible(u8 type, const u8 *p, size_t len)
{
	switch (type) {
	case HCI_EVENT_PKT:
		return len >= HCI_EVENT_HDR_SIZE &&
		       len == HCI_EVENT_HDR_SIZE + p[1];
	case HCI_ACLDATA_PKT:
		return len >= HCI_ACL_HDR_SIZE &&
		       len == HCI_ACL_HDR_SIZE + get_unaligned_le16(p + 2);
	case HCI_SCODATA_PKT:
		return len >= HCI_SCO_HDR_SIZE &&
		       len == HCI_SCO_HDR_SIZE + p[2];
	case HCI_ISODATA_PKT:
		return len >= HCI_ISO_HDR_SIZE &&
		       len == HCI_ISO_HDR_SIZE +
			      (get_unaligned_le16(p + 2) & 0x3fff);
	default:
		return false;
	}
}

/**
 * esp_hci_rx - hand a frame over to the Bluetooth core
 * @esp: the device
 * @frame: a frame on %ESP_IF_HCI
 *
 * Link thread, link locked.
 */
void esp_hci_rx(struct esp_hosted *esp, const struct esp_frame *frame)
{
	struct hci_dev *hdev = esp->hdev;
	struct sk_buff *skb;
	u8 type;

	if (!hdev) {
		esp_count(esp, ESP_STAT_RX_NOT_RUNNING);
		return;
	}
	type = frame->payload[0];
	if (!esp_hci_plausible(type, frame->payload + 1, frame->len - 1)) {
		esp_count(esp, ESP_STAT_HCI_RX_BAD);
		hdev->stat.err_rx++;
		return;
	}
	skb = bt_skb_alloc(frame->len - 1, GFP_KERNEL);
	if (!skb) {
		esp_count(esp, ESP_STAT_RX_NOMEM);
		return;
	}
	skb_put_data(skb, frame->payload + 1, frame->len - 1);
	hci_skb_pkt_type(skb) = type;
	hdev->stat.byte_rx += frame->len - 1;
	/* Takes the frame, also when it does not want it. */
	hci_recv_frame(hdev, skb);
}

/* Late firmware starts the controller on request only. */
static bool esp_hci_available(struct esp_hosted *esp)
{
	struct esp_radio_service answer = {};
	struct esp_cmd cmd = {
		.code = ESP_CMD_SET_RADIO_SERVICE,
		.if_type = ESP_IF_STA,
		.resp = &answer,
		.resp_size = sizeof(answer),
	};
	struct esp_req_radio req = { .requested = ESP_RADIO_BT };
	int err;

	if (!(esp->boot.caps & ESP_CAP_BT_SPI))
		return false;
	if (!(esp->boot.ext_caps & ESP_EXT_CAP_SERVICES))
		return true;
	err = esp_cmd_exec(esp, &cmd, &req, sizeof(req), NULL, 0);
	if (err)
		dev_warn(esp->dev, "cannot start Bluetooth: %d\n", err);

	return !err && cmd.resp_len >= sizeof(answer) &&
	       (answer.active & ESP_RADIO_BT);
}

static void esp_hci_register(struct esp_hosted *esp)
{
	struct hci_dev *hdev;
	int err;

	hdev = hci_alloc_dev();
	if (!hdev)
		return;
	hdev->bus = HCI_SPI;
	hdev->open = esp_hci_open;
	hdev->close = esp_hci_close;
	hdev->flush = esp_hci_flush;
	hdev->send = esp_hci_send;
	hci_set_drvdata(hdev, esp);
	SET_HCIDEV_DEV(hdev, esp->dev);

	/* Answers may come before the next function returns. */
	mutex_lock(&esp->link.lock);
	esp->hdev = hdev;
	mutex_unlock(&esp->link.lock);
	err = hci_register_dev(hdev);
	if (err < 0) {
		dev_err(esp->dev, "cannot register Bluetooth: %d\n", err);
		mutex_lock(&esp->link.lock);
		esp->hdev = NULL;
		mutex_unlock(&esp->link.lock);
		hci_free_dev(hdev);
	}
}

/**
 * esp_hci_stop - remove the HCI device, if there is one
 * @esp: the device
 *
 * Process context, link not locked.
 */
void esp_hci_stop(struct esp_hosted *esp)
{
	struct hci_dev *hdev;

	mutex_lock(&esp->link.lock);
	hdev = esp->hdev;
	esp->hdev = NULL;
	mutex_unlock(&esp->link.lock);
	if (!hdev)
		return;
	hci_unregister_dev(hdev);
	hci_free_dev(hdev);
	skb_queue_purge(&esp->link.hci);
}

/**
 * esp_hci_start - a firmware has been started: have its Bluetooth used
 * @esp: the device, running
 *
 * State worker.
 */
void esp_hci_start(struct esp_hosted *esp)
{
	bool available = esp_hci_available(esp);

	if (!available)
		esp_hci_stop(esp);
	else if (!esp->hdev)
		esp_hci_register(esp);
	else
		/* The controller forgot everything; the core sets it up again. */
		hci_reset_dev(esp->hdev);
}
