/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What differs between the firmware's generations, and what its events say in
 * either of them. Pure functions: no I/O, no locks.
 */
#ifndef ESP_HOSTED_GENERATION_H
#define ESP_HOSTED_GENERATION_H

#include <linux/types.h>

#include "protocol.h"

enum esp_generation {
	ESP_GEN_UNKNOWN,
	ESP_GEN_1,
	ESP_GEN_2,
	ESP_GEN_COUNT
};

/**
 * struct esp_layout - one generation of the protocol
 * @sequences: responses and events name the command they belong to
 * @assoc_flags: STA_ASSOC tells reassociation and control port
 * @set_authorized: the host opens the port with SET_AUTHORIZED; else the
 *	firmware does when the group key is installed
 * @del_key: DEL_KEY is understood
 * @scan_bssid: SCAN looks for one access point
 * @mgmt_tx_events: MGMT_TX is answered at once and its status is an event; else
 *	the response is the status, comes late, and also unasked
 * @assoc_refusals: a refused association is an event as well; else it ends in a
 *	disconnect or in nothing
 * @eapol_type: packet type of EAPOL frames to the firmware
 * @disconnect_size: bytes of a STA_DISCONNECT event
 * @disconnect_seq: offset of its sequence number, 0 if it has none
 * @auth_seq: offset of the sequence number in an AUTH_RX event, likewise
 * @assoc_seq: offset of the sequence number in an ASSOC_RX event, likewise
 * @assoc_len: offset of the frame's length in it
 * @assoc_frame: offset of the frame in it
 */
struct esp_layout {
	bool sequences;
	bool assoc_flags;
	bool set_authorized;
	bool del_key;
	bool scan_bssid;
	bool mgmt_tx_events;
	bool assoc_refusals;
	u8 eapol_type;
	u8 disconnect_size;
	u8 disconnect_seq;
	u8 auth_seq;
	u8 assoc_seq;
	u8 assoc_len;
	u8 assoc_frame;
};

extern const struct esp_layout esp_layouts[ESP_GEN_COUNT];

/* Fixed fields of a beacon or probe response body */
#define ESP_BEACON_FIXED	12

/**
 * struct esp_mgmt_rx - a management frame as an event brings it
 * @bssid: sender, six bytes
 * @subtype: of the 802.11 frame
 * @channel: number
 * @rssi: dBm
 * @seq: sequence number of the command it answers, 0 if it has none
 * @frame: the frame, or its body without the header
 * @len: bytes in @frame
 */
struct esp_mgmt_rx {
	const u8 *bssid;
	u8 subtype;
	u32 channel;
	s32 rssi;
	u16 seq;
	const u8 *frame;
	size_t len;
};

/**
 * struct esp_disconnect_rx - the end of a session as an event tells it
 * @bssid: access point, six bytes, may be all zero
 * @reason: 802.11's, or the firmware's own from %ESP_REASON_PSEUDO on
 * @seq: sequence number of the command it answers, 0 if it has none
 */
struct esp_disconnect_rx {
	const u8 *bssid;
	u8 reason;
	u16 seq;
};

int esp_decode_scan(const u8 *data, size_t size, struct esp_mgmt_rx *rx);
int esp_decode_auth(const struct esp_layout *layout, const u8 *data,
		    size_t size, struct esp_mgmt_rx *rx);
int esp_decode_assoc(const struct esp_layout *layout, const u8 *data,
		     size_t size, struct esp_mgmt_rx *rx);
int esp_decode_disconnect(const struct esp_layout *layout, const u8 *data,
			  size_t size, struct esp_disconnect_rx *rx);
int esp_decode_ap_mgmt(const u8 *data, size_t size, struct esp_mgmt_rx *rx);
bool esp_response_matches(const struct esp_layout *layout, u8 sent_code,
			  u16 sent_seq, u8 code, u16 seq);

#endif /* ESP_HOSTED_GENERATION_H */
