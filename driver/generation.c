// SPDX-License-Identifier: GPL-2.0-only
/*
 * The two generations of the protocol: one table, and the decoders of events
 * that need it. Nothing here follows a length or an offset that the firmware
 * sent before it was compared with what is there.
 */

#include <linux/etherdevice.h>
#include <linux/ieee80211.h>

#include "compat.h"
#include "generation.h"

/* 802.11 header and fixed fields of the shortest frames cfg80211 accepts */
#define ESP_AUTH_MIN		(24 + 6)
#define ESP_ASSOC_MIN		(24 + 6)

#define ESP_LAYOUT_G1 {							\
	.eapol_type = ESP_PKT_DATA,					\
	.disconnect_size = sizeof(struct esp_event_disconnect_g1),	\
	.assoc_len = offsetof(struct esp_event_assoc_g1, len),		\
	.assoc_frame = offsetof(struct esp_event_assoc_g1, frame),	\
}

#define ESP_LAYOUT_G2 {							\
	.sequences = true,						\
	.assoc_flags = true,						\
	.set_authorized = true,						\
	.del_key = true,						\
	.scan_bssid = true,						\
	.mgmt_tx_events = true,						\
	.assoc_refusals = true,						\
	.eapol_type = ESP_PKT_EAPOL,					\
	.disconnect_size = sizeof(struct esp_event_disconnect_g2),	\
	.disconnect_seq = offsetof(struct esp_event_disconnect_g2, seq), \
	.auth_seq = offsetof(struct esp_event_frame, seq),		\
	.assoc_seq = offsetof(struct esp_event_assoc_g2, seq),		\
	.assoc_len = offsetof(struct esp_event_assoc_g2, len),		\
	.assoc_frame = offsetof(struct esp_event_assoc_g2, frame),	\
}

/* Until the first answer nobody knows; the older one expects less. */
const struct esp_layout esp_layouts[ESP_GEN_COUNT] = {
	[ESP_GEN_UNKNOWN] = ESP_LAYOUT_G1,
	[ESP_GEN_1] = ESP_LAYOUT_G1,
	[ESP_GEN_2] = ESP_LAYOUT_G2,
};

/* Scan results and authentication frames share a layout. */
static int esp_decode_frame(const u8 *data, size_t size, size_t min,
			    struct esp_mgmt_rx *rx)
{
	const struct esp_event_frame *ev = (const void *)data;

	if (size < sizeof(*ev) + min)
		return -EBADMSG;
	*rx = (struct esp_mgmt_rx) {
		.bssid = ev->bssid,
		.subtype = ev->subtype,
		.channel = ev->channel,
		.rssi = (s32)le32_to_cpu(ev->rssi),
		.frame = ev->frame,
		.len = le16_to_cpu(ev->len),
	};
	if (rx->len < min || rx->len > size - sizeof(*ev))
		return -EBADMSG;

	return 0;
}

/**
 * esp_decode_scan - read a scan result
 * @data: the event
 * @size: bytes in it
 * @rx: filled in; the frame begins behind the 802.11 header
 *
 * Return: 0, -EBADMSG if it cannot be one
 */
int esp_decode_scan(const u8 *data, size_t size, struct esp_mgmt_rx *rx)
{
	u8 bssid[ETH_ALEN];
	int err;

	err = esp_decode_frame(data, size, ESP_BEACON_FIXED, rx);
	if (err)
		return err;
	/* The address may be at an odd place; the helper wants an even one. */
	memcpy(bssid, rx->bssid, sizeof(bssid));

	return is_valid_ether_addr(bssid) ? 0 : -EBADMSG;
}

/* The frame is synthetic; it must still be what the event says. */
static bool esp_mgmt_plausible(const struct esp_mgmt_rx *rx)
{
	const struct ieee80211_hdr_3addr *hdr = (const void *)rx->frame;

	return hdr->frame_control == cpu_to_le16(IEEE80211_FTYPE_MGMT |
						 rx->subtype << 4) &&
	       !memcmp(hdr->addr2, rx->bssid, ETH_ALEN) &&
	       !memcmp(hdr->addr3, rx->bssid, ETH_ALEN);
}

/**
 * esp_decode_auth - read a received authentication frame
 * @layout: generation of the firmware
 * @data: the event
 * @size: bytes in it
 * @rx: filled in
 *
 * Return: 0, -EBADMSG if it cannot be one
 */
int esp_decode_auth(const struct esp_layout *layout, const u8 *data,
		    size_t size, struct esp_mgmt_rx *rx)
{
	int err;

	err = esp_decode_frame(data, size, ESP_AUTH_MIN, rx);
	if (err)
		return err;
	if (layout->auth_seq)
		rx->seq = get_unaligned_le16(data + layout->auth_seq);
	if (rx->subtype != IEEE80211_STYPE_AUTH >> 4 || !esp_mgmt_plausible(rx))
		return -EBADMSG;

	return 0;
}

static bool esp_assoc_fits(const struct esp_layout *layout, const u8 *data,
			   size_t size)
{
	return size >= layout->assoc_frame + ESP_ASSOC_MIN &&
	       get_unaligned_le16(data + layout->assoc_len) ==
	       size - layout->assoc_frame;
}

/**
 * esp_decode_assoc - read a received (re)association response
 * @layout: generation of the firmware
 * @data: the event
 * @size: bytes in it
 * @rx: filled in
 *
 * Return: 0, -EPROTO if it has the layout of another generation, -EBADMSG if it
 * cannot be one at all
 */
int esp_decode_assoc(const struct esp_layout *layout, const u8 *data,
		     size_t size, struct esp_mgmt_rx *rx)
{
	const struct esp_event_assoc_g1 *ev = (const void *)data;
	unsigned int i;

	if (!esp_assoc_fits(layout, data, size)) {
		for (i = 0; i < ESP_GEN_COUNT; i++) {
			if (esp_assoc_fits(&esp_layouts[i], data, size))
				return -EPROTO;
		}
		return -EBADMSG;
	}
	*rx = (struct esp_mgmt_rx) {
		.bssid = ev->bssid,
		.subtype = ev->subtype,
		.channel = ev->channel,
		.frame = data + layout->assoc_frame,
		.len = size - layout->assoc_frame,
	};
	if (layout->assoc_seq)
		rx->seq = get_unaligned_le16(data + layout->assoc_seq);
	if ((rx->subtype != IEEE80211_STYPE_ASSOC_RESP >> 4 &&
	     rx->subtype != IEEE80211_STYPE_REASSOC_RESP >> 4) ||
	    !esp_mgmt_plausible(rx))
		return -EBADMSG;

	return 0;
}

/**
 * esp_decode_disconnect - read the end of a session
 * @layout: generation of the firmware
 * @data: the event
 * @size: bytes in it
 * @rx: filled in
 *
 * Return: 0, -EPROTO if it has the layout of another generation, -EBADMSG if it
 * cannot be one at all
 */
int esp_decode_disconnect(const struct esp_layout *layout, const u8 *data,
			  size_t size, struct esp_disconnect_rx *rx)
{
	const struct esp_event_disconnect_g1 *ev = (const void *)data;
	unsigned int i;

	if (size != layout->disconnect_size) {
		for (i = 0; i < ESP_GEN_COUNT; i++) {
			if (size == esp_layouts[i].disconnect_size)
				return -EPROTO;
		}
		return -EBADMSG;
	}
	*rx = (struct esp_disconnect_rx) {
		.bssid = ev->bssid,
		.reason = ev->reason,
	};
	if (layout->disconnect_seq)
		rx->seq = get_unaligned_le16(data + layout->disconnect_seq);

	return 0;
}

/**
 * esp_decode_ap_mgmt - read a management frame for our access point
 * @data: the event
 * @size: bytes in it
 * @rx: filled in; @rx->bssid is the frame's sender
 *
 * Return: 0, -EBADMSG if it cannot be one
 */
int esp_decode_ap_mgmt(const u8 *data, size_t size, struct esp_mgmt_rx *rx)
{
	const struct esp_event_ap_mgmt *ev = (const void *)data;
	const struct ieee80211_hdr_3addr *hdr = (const void *)ev->frame;
	u32 len;

	if (size < sizeof(*ev) + sizeof(*hdr))
		return -EBADMSG;
	len = le32_to_cpu(ev->len);
	if (len < sizeof(*hdr) || len > size - sizeof(*ev) ||
	    !ieee80211_is_mgmt(hdr->frame_control))
		return -EBADMSG;
	*rx = (struct esp_mgmt_rx) {
		.bssid = hdr->addr2,
		.subtype = (le16_to_cpu(hdr->frame_control) &
			    IEEE80211_FCTL_STYPE) >> 4,
		.channel = le32_to_cpu(ev->channel),
		.rssi = (s32)le32_to_cpu(ev->rssi),
		.frame = ev->frame,
		.len = len,
	};

	return 0;
}

/**
 * esp_response_matches - is a response the one that is waited for
 * @layout: generation of the firmware
 * @sent_code: code of the command that waits
 * @sent_seq: its sequence number
 * @code: code of the response
 * @seq: its sequence number
 *
 * Generation 1 answers with sequence number zero, GET_REGDOM with the code of
 * SET_REGDOM. Before the first answer the generation is not known: then either
 * is good.
 *
 * Return: true if it is
 */
bool esp_response_matches(const struct esp_layout *layout, u8 sent_code,
			  u16 sent_seq, u8 code, u16 seq)
{
	if (layout->sequences)
		return code == sent_code && seq == sent_seq;
	if (code != sent_code && (code != ESP_CMD_SET_REGDOM ||
				  sent_code != ESP_CMD_GET_REGDOM))
		return false;

	return seq == 0 || seq == sent_seq;
}
