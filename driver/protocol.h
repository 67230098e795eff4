/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Wire format of the ESP-Hosted-NG SPI protocol, generations 1 and 2.
 *
 * Everything is little-endian and packed. Sizes are part of the contract with
 * the firmware and checked at build time.
 */
#ifndef ESP_HOSTED_PROTOCOL_H
#define ESP_HOSTED_PROTOCOL_H

#include <linux/bits.h>
#include <linux/build_bug.h>
#include <linux/types.h>

/* One transaction carries one frame a direction and always has this size. */
#define ESP_FRAME_SIZE		1600
#define ESP_HDR_SIZE		12
#define ESP_OFFSET_MIN		12
#define ESP_OFFSET_MAX		16
#define ESP_PAYLOAD_MAX		(ESP_FRAME_SIZE - ESP_HDR_SIZE)
/* The firmware's own host stops here for what it sends; so do we. */
#define ESP_TX_PAYLOAD_MAX	1576

#define ESP_MAC_LEN		6
#define ESP_SSID_LEN		32

enum esp_if_type {
	ESP_IF_STA = 0,
	ESP_IF_AP = 1,
	ESP_IF_HCI = 2,
	ESP_IF_INTERNAL = 3,
	ESP_IF_TEST = 4,
	ESP_IF_COUNT,
	ESP_IF_IDLE = 15,
};

enum esp_pkt_type {
	ESP_PKT_DATA = 0,
	ESP_PKT_COMMAND = 1,
	ESP_PKT_RESPONSE = 2,
	ESP_PKT_EVENT = 3,
	ESP_PKT_EAPOL = 4,
};

#define ESP_HDR_IF_TYPE		GENMASK(3, 0)
#define ESP_HDR_IF_NUM		GENMASK(7, 4)

/**
 * struct esp_hdr - header at the start of every frame
 * @iface: interface type in the low, interface number in the high nibble
 * @flags: bit 0 "more fragments" is defined and never used
 * @pkt_type: &enum esp_pkt_type
 * @reserved1: zero
 * @len: payload bytes
 * @offset: position of the payload from the first byte of the header
 * @checksum: sum of all bytes up to the end of the payload, this field as zero
 * @reserved2: zero
 * @hci_type: H4 packet type of HCI frames to the co-processor
 */
struct esp_hdr {
	u8 iface;
	u8 flags;
	u8 pkt_type;
	u8 reserved1;
	__le16 len;
	__le16 offset;
	__le16 checksum;
	u8 reserved2;
	u8 hci_type;
} __packed;
static_assert(sizeof(struct esp_hdr) == ESP_HDR_SIZE);

/* 802.1X: what an EAPOL frame begins with behind its Ethernet header */

#define ESP_EAPOL_VERSION_MAX	3
#define ESP_EAPOL_KEY		3

struct esp_eapol_hdr {
	u8 version;
	u8 type;
	__be16 len;
} __packed;
static_assert(sizeof(struct esp_eapol_hdr) == 4);

/* Boot event */

#define ESP_BOOT_EVENT		1

enum esp_boot_tag {
	ESP_TAG_CAPABILITY = 0,
	ESP_TAG_FIRMWARE = 1,
	ESP_TAG_CLOCK = 2,
	ESP_TAG_CHIP = 3,
	ESP_TAG_RAW_TP = 4,
	ESP_TAG_RX_BUFFER = 5,
	ESP_TAG_EXT_CAPABILITY = 6,
	ESP_TAG_RCP_NONCE = 7,
};

#define ESP_CAP_BLE		BIT(3)
#define ESP_CAP_BREDR		BIT(4)
#define ESP_CAP_WLAN_SPI	BIT(5)
#define ESP_CAP_BT_SPI		BIT(6)
#define ESP_CAP_CHECKSUM	BIT(7)
#define ESP_CAP_GCMP		BIT(8)

/* Bluetooth starts on request */
#define ESP_EXT_CAP_SERVICES	BIT(14)

enum esp_chip {
	ESP_CHIP_ESP32 = 0x00,
	ESP_CHIP_ESP32S2 = 0x02,
	ESP_CHIP_ESP32C3 = 0x05,
	ESP_CHIP_ESP32S3 = 0x09,
	ESP_CHIP_ESP32C2 = 0x0c,
	ESP_CHIP_ESP32C6 = 0x0d,
	ESP_CHIP_ESP32C61 = 0x14,
	ESP_CHIP_ESP32C5 = 0x17,
	ESP_CHIP_ESP32S31 = 0x20,
	ESP_CHIP_UNKNOWN = 0xff,
};

struct esp_boot_hdr {
	u8 event;
	u8 status;
	__le16 len;
	u8 tlv_len;
	u8 pad[3];
} __packed;
static_assert(sizeof(struct esp_boot_hdr) == 8);

struct esp_boot_firmware {
	u8 project[3];
	u8 version[5];
	__le32 reset_reason;
} __packed;
static_assert(sizeof(struct esp_boot_firmware) == 12);

/* Commands */

enum esp_cmd_code {
	ESP_CMD_INIT_IF = 1,
	ESP_CMD_SET_MAC = 2,
	ESP_CMD_GET_MAC = 3,
	ESP_CMD_SCAN = 4,
	ESP_CMD_STA_CONNECT = 5,
	ESP_CMD_DISCONNECT = 6,
	ESP_CMD_DEINIT_IF = 7,
	ESP_CMD_ADD_KEY = 8,
	ESP_CMD_DEL_KEY = 9,
	ESP_CMD_SET_DEFAULT_KEY = 10,
	ESP_CMD_STA_AUTH = 11,
	ESP_CMD_STA_ASSOC = 12,
	ESP_CMD_SET_IP = 13,
	ESP_CMD_SET_MCAST = 14,
	ESP_CMD_GET_TXPOWER = 15,
	ESP_CMD_SET_TXPOWER = 16,
	ESP_CMD_GET_REGDOM = 17,
	ESP_CMD_SET_REGDOM = 18,
	ESP_CMD_RAW_TP_TO_HOST = 19,
	ESP_CMD_RAW_TP_FROM_HOST = 20,
	ESP_CMD_SET_MODE = 22,
	ESP_CMD_SET_IE = 23,
	ESP_CMD_AP_CONFIG = 24,
	ESP_CMD_MGMT_TX = 25,
	ESP_CMD_AP_STATION = 26,
	ESP_CMD_STA_RSSI = 27,
	ESP_CMD_OTA_START = 29,
	ESP_CMD_OTA_WRITE = 30,
	ESP_CMD_OTA_END = 31,
	ESP_CMD_SET_AUTHORIZED = 32,
	ESP_CMD_SET_RADIO_SERVICE = 33,
};

enum esp_cmd_status {
	ESP_STATUS_PENDING = 0,
	ESP_STATUS_FAIL = 1,
	ESP_STATUS_SUCCESS = 2,
	ESP_STATUS_BUSY = 3,
	ESP_STATUS_UNSUPPORTED = 4,
	ESP_STATUS_INVALID = 5,
};

struct esp_cmd_hdr {
	u8 code;
	u8 status;
	__le16 len;
	__le16 seq;
	u8 option;
	u8 reserved;
} __packed;
static_assert(sizeof(struct esp_cmd_hdr) == 8);

struct esp_req_mac {
	struct esp_cmd_hdr hdr;
	u8 mac[ESP_MAC_LEN];
	u8 pad[2];
} __packed;
static_assert(sizeof(struct esp_req_mac) == 16);

struct esp_req_scan {
	struct esp_cmd_hdr hdr;
	u8 bssid[ESP_MAC_LEN];
	__le16 duration;
	u8 ssid[ESP_SSID_LEN + 1];
	u8 channel;
	u8 pad[2];
} __packed;
static_assert(sizeof(struct esp_req_scan) == 52);

struct esp_req_disconnect {
	struct esp_cmd_hdr hdr;
	__le16 reason;
	u8 mac[ESP_MAC_LEN];
} __packed;
static_assert(sizeof(struct esp_req_disconnect) == 16);

enum esp_key_alg {
	ESP_KEY_NONE = 0,
	ESP_KEY_TKIP = 2,
	ESP_KEY_CCMP = 3,
	ESP_KEY_IGTK = 7,
};

#define ESP_KEY_LEN		32
#define ESP_KEY_SEQ_LEN		10

struct esp_req_key {
	struct esp_cmd_hdr hdr;
	__le32 alg;
	__le32 index;
	u8 key[ESP_KEY_LEN];
	__le32 key_len;
	u8 mac[ESP_MAC_LEN];
	u8 seq[ESP_KEY_SEQ_LEN];
	__le32 seq_len;
	u8 del;
	u8 set_current;
	u8 pad[2];
} __packed;
static_assert(sizeof(struct esp_req_key) == 76);

enum esp_auth_alg {
	ESP_AUTH_OPEN = 0,
	ESP_AUTH_SAE = 3,
};

struct esp_req_auth {
	struct esp_cmd_hdr hdr;
	u8 bssid[ESP_MAC_LEN];
	u8 channel;
	u8 alg;
	u8 ssid[ESP_SSID_LEN + 1];
	u8 wep_key_len;
	u8 wep_key[27];
	u8 data_len;
	u8 pad[2];
} __packed;
static_assert(sizeof(struct esp_req_auth) == 80);

struct esp_req_assoc {
	struct esp_cmd_hdr hdr;
	u8 ie_len;
	u8 reassoc;
	u8 control_port;
	u8 pad;
} __packed;
static_assert(sizeof(struct esp_req_assoc) == 12);

/* Length fields of authentication data and association elements are bytes. */
#define ESP_AUTH_DATA_MAX	255
#define ESP_ASSOC_IE_MAX	255

struct esp_req_u32 {
	struct esp_cmd_hdr hdr;
	__le32 value;
} __packed;
static_assert(sizeof(struct esp_req_u32) == 12);

struct esp_req_country {
	struct esp_cmd_hdr hdr;
	char country[4];
} __packed;
static_assert(sizeof(struct esp_req_country) == 12);

enum esp_mode {
	ESP_MODE_STA = 1,
	ESP_MODE_APSTA = 3,
};

struct esp_req_mode {
	struct esp_cmd_hdr hdr;
	__le16 mode;
	u8 pad[2];
} __packed;
static_assert(sizeof(struct esp_req_mode) == 12);

enum esp_ie_type {
	ESP_IE_BEACON = 0,
	ESP_IE_PROBE_RESP = 1,
	ESP_IE_ASSOC_RESP = 2,
	ESP_IE_HEAD = 4,
	ESP_IE_TAIL = 5,
};

struct esp_req_ie {
	struct esp_cmd_hdr hdr;
	u8 type;
	u8 pad;
	__le16 len;
} __packed;
static_assert(sizeof(struct esp_req_ie) == 12);

struct esp_req_ap_config {
	struct esp_cmd_hdr hdr;
	u8 ssid[ESP_SSID_LEN];
	u8 ssid_len;
	u8 channel;
	u8 auth_mode;
	u8 hidden;
	u8 max_connections;
	u8 pairwise_cipher;
	u8 pmf;
	u8 sae_h2e;
	__le16 beacon_interval;
	__le16 inactivity_timeout;
	u8 privacy;
} __packed;
static_assert(sizeof(struct esp_req_ap_config) == 53);

/* Marks a request in the generation 2 layout, in &esp_cmd_hdr.option. */
#define ESP_MGMT_TX_MARK	0xa5

struct esp_mgmt_tx_g1 {
	struct esp_cmd_hdr hdr;
	u8 channel;
	u8 offchan;
	__le32 wait;
	u8 no_cck;
	u8 no_ack;
	__le32 len;
} __packed;
static_assert(sizeof(struct esp_mgmt_tx_g1) == 20);

struct esp_mgmt_tx_g2 {
	struct esp_cmd_hdr hdr;
	u8 channel;
	u8 offchan;
	__le32 wait;
	u8 no_cck;
	u8 no_ack;
	__le64 id;
	__le32 len;
} __packed;
static_assert(sizeof(struct esp_mgmt_tx_g2) == 28);

enum esp_station_op {
	ESP_STATION_ADD = 0,
	ESP_STATION_CHANGE = 1,
};

struct esp_req_station {
	struct esp_cmd_hdr hdr;
	u8 mac[ESP_MAC_LEN];
	__le16 op;
	__le32 flags_mask;
	__le32 flags_set;
	__le32 modify_mask;
	__le32 listen_interval;
	__le16 aid;
	u8 ext_capab[6];
	u8 rates[12];
	u8 ht[28];
	u8 vht[14];
	u8 pad1[2];
	u8 he[27];
	u8 pad2;
} __packed;
static_assert(sizeof(struct esp_req_station) == 124);

struct esp_req_authorized {
	struct esp_cmd_hdr hdr;
	u8 bssid[ESP_MAC_LEN];
	u8 authorized;
	u8 pad;
} __packed;
static_assert(sizeof(struct esp_req_authorized) == 16);

struct esp_req_ota_write {
	struct esp_cmd_hdr hdr;
	__le16 len;
} __packed;
static_assert(sizeof(struct esp_req_ota_write) == 10);

#define ESP_RADIO_BT		BIT(0)

struct esp_req_radio {
	struct esp_cmd_hdr hdr;
	u8 requested;
	u8 pad[11];
} __packed;
static_assert(sizeof(struct esp_req_radio) == 20);

struct esp_radio_service {
	u8 requested;
	u8 active;
	u8 flags;
	u8 pad;
	__le64 nonce;
} __packed;
static_assert(sizeof(struct esp_radio_service) == 12);

/* The run is generation 2's; generation 1 ignores it. */
struct esp_req_raw_tp {
	struct esp_cmd_hdr hdr;
	__le32 run;
} __packed;
static_assert(sizeof(struct esp_req_raw_tp) == 12);

/* Payload of test frames; what begins it is generation 2's. */
#define ESP_RAW_TP_LEN		1460

struct esp_raw_tp {
	__le32 seq;
	__le32 run;
	u8 zero[ESP_RAW_TP_LEN - 8];
} __packed;
static_assert(sizeof(struct esp_raw_tp) == ESP_RAW_TP_LEN);

/* Events */

enum esp_event_code {
	ESP_EVENT_SCAN = 1,
	ESP_EVENT_STA_CONNECT = 2,
	ESP_EVENT_STA_DISCONNECT = 3,
	ESP_EVENT_AUTH_RX = 4,
	ESP_EVENT_ASSOC_RX = 5,
	ESP_EVENT_AP_MGMT_RX = 6,
	ESP_EVENT_MGMT_TX_STATUS = 7,
};

struct esp_event_hdr {
	u8 code;
	u8 status;
	__le16 len;
} __packed;
static_assert(sizeof(struct esp_event_hdr) == 4);

/* Scan results (status 1) and authentication frames share this layout. */
#define ESP_SCAN_STATUS_DONE	0
#define ESP_SCAN_STATUS_RESULT	1

struct esp_event_frame {
	struct esp_event_hdr hdr;
	u8 bssid[ESP_MAC_LEN];
	u8 subtype;
	u8 channel;
	__le32 rssi;
	__le64 tsf;
	__le16 len;
	__le16 seq;	/* generation 2: sequence of the STA_AUTH answered */
	u8 frame[];
} __packed;
static_assert(sizeof(struct esp_event_frame) == 28);

struct esp_event_assoc_g1 {
	struct esp_event_hdr hdr;
	u8 bssid[ESP_MAC_LEN];
	u8 subtype;
	u8 channel;
	u8 ssid[ESP_SSID_LEN + 1];
	u8 pad;
	__le16 len;
	__le32 rssi;
	__le64 tsf;
	u8 frame[];
} __packed;
static_assert(sizeof(struct esp_event_assoc_g1) == 60);

struct esp_event_assoc_g2 {
	struct esp_event_hdr hdr;
	u8 bssid[ESP_MAC_LEN];
	u8 subtype;
	u8 channel;
	u8 ssid[ESP_SSID_LEN + 1];
	u8 pad;
	__le16 seq;
	__le16 len;
	__le32 rssi;
	__le64 tsf;
	u8 frame[];
} __packed;
static_assert(sizeof(struct esp_event_assoc_g2) == 62);

struct esp_event_disconnect_g1 {
	struct esp_event_hdr hdr;
	u8 bssid[ESP_MAC_LEN];
	u8 ssid[ESP_SSID_LEN + 1];
	u8 reason;
} __packed;
static_assert(sizeof(struct esp_event_disconnect_g1) == 44);

struct esp_event_disconnect_g2 {
	struct esp_event_disconnect_g1 g1;
	__le16 seq;
} __packed;
static_assert(sizeof(struct esp_event_disconnect_g2) == 46);

/* 802.11's code 4, for which the firmware has another meaning as well */
#define ESP_REASON_ASSOC_EXPIRED	4
/* Reason codes from 200 on are the firmware's own, not 802.11's. */
#define ESP_REASON_PSEUDO		200
#define ESP_REASON_BEACON_TIMEOUT	200
#define ESP_REASON_NO_AP_FOUND		201
#define ESP_REASON_HANDSHAKE_TIMEOUT	204

struct esp_event_ap_mgmt {
	struct esp_event_hdr hdr;
	__le32 noise;
	__le32 rssi;
	__le32 channel;
	__le32 len;
	u8 frame[];
} __packed;
static_assert(sizeof(struct esp_event_ap_mgmt) == 20);

struct esp_event_tx_status {
	struct esp_event_hdr hdr;
	__le64 id;
	__le32 len;
	u8 ack;
	u8 pad[3];
	u8 frame[];
} __packed;
static_assert(sizeof(struct esp_event_tx_status) == 20);

#endif /* ESP_HOSTED_PROTOCOL_H */
