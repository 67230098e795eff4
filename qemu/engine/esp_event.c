/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Events to the host (protocol.md 8, protocol-g2.md 5)
 */
#include "esp_private.h"

const char *esp_event_name(uint8_t code)
{
    static const char *const names[] = {
        [EVENT_SCAN] = "SCAN",
        [EVENT_CONNECT] = "STA_CONNECT",
        [EVENT_DISCONNECT] = "STA_DISCONNECT",
        [EVENT_AUTH] = "AUTH_RX",
        [EVENT_ASSOC] = "ASSOC_RX",
        [EVENT_AP_MGMT] = "AP_MGMT_RX",
        [EVENT_TX_STATUS] = "MGMT_TX_STATUS",
    };

    if (code >= sizeof(names) / sizeof(names[0]) || !names[code]) {
        return "UNKNOWN";
    }
    return names[code];
}

/* Payload of @len bytes with its 4-byte event header filled in. */
static uint8_t *event_new(struct esp_engine *e, uint16_t *slot,
                          uint8_t if_type, uint8_t code, uint8_t status,
                          uint16_t seq, size_t len)
{
    uint8_t *p = esp_frame_new(e, slot, if_type, PKT_EVENT, HDR_LEN, len);

    if (!p) {
        return NULL;
    }
    p[0] = code;
    p[1] = status;
    put16(p + 2, (uint16_t)(len - 4));
    esp_history_add(e, HIST_EVENT, code, if_type, status, len, seq);
    esp_trace(e, ESP_TRACE_EVENT, code, status, len);
    return p;
}

static uint64_t local_tsf(const struct esp_engine *e)
{
    return (uint64_t)((esp_now(e) - e->s.boot_time) / US);
}

/* The common start of SCAN and AUTH_RX. */
static void put_received(struct esp_engine *e, uint8_t *p,
                         const struct frame *f)
{
    memcpy(p + 4, f->data + 10, 6);
    p[10] = f->data[0] >> 4;
    p[11] = f->channel;
    put32(p + 12, (uint32_t)(int32_t)f->rssi);
    put64(p + 16, local_tsf(e));
}

void esp_event_scan(struct esp_engine *e, const struct frame *f)
{
    size_t n = f->len - (size_t)WLAN_HDR;
    uint16_t slot;
    uint8_t *p = event_new(e, &slot, IF_STA, EVENT_SCAN, 1, 0, 28 + n);

    if (!p) {
        return;
    }
    put_received(e, p, f);
    put16(p + 24, (uint16_t)n);
    memcpy(p + 28, f->data + WLAN_HDR, n);
    esp_count(e, CNT_EVENTS_SCAN);
    esp_fault_event(e, slot);
}

void esp_event_scan_done(struct esp_engine *e)
{
    uint16_t slot;

    if (event_new(e, &slot, IF_STA, EVENT_SCAN, 0, 0, 4)) {
        esp_count(e, CNT_EVENTS_SCAN_DONE);
        esp_fault_event(e, slot);
    }
}

/* The firmware makes up the header: 8.2 */
static void put_frame(struct esp_engine *e, uint8_t *p, const struct frame *f)
{
    memset(p, 0, WLAN_HDR);
    p[0] = f->data[0];
    memcpy(p + 4, e->s.device_mac, 6);
    memcpy(p + 10, f->data + 10, 6);
    memcpy(p + 16, f->data + 10, 6);
    memcpy(p + WLAN_HDR, f->data + WLAN_HDR, f->len - (size_t)WLAN_HDR);
}

void esp_event_auth(struct esp_engine *e, const struct frame *f)
{
    uint16_t seq = esp_is_g2(e) ? e->s.sta.auth_seq : 0;
    uint16_t slot;
    uint8_t *p = event_new(e, &slot, IF_STA, EVENT_AUTH, 0, seq,
                           28 + (size_t)f->len);

    if (!p) {
        return;
    }
    put_received(e, p, f);
    put16(p + 24, f->len);
    put16(p + 26, seq);
    put_frame(e, p + 28, f);
    esp_count(e, CNT_EVENTS_AUTH);
    esp_fault_event(e, slot);
}

void esp_event_assoc(struct esp_engine *e, const struct frame *f)
{
    bool g2 = esp_is_g2(e);
    unsigned at = g2 ? 48 : 46;
    uint16_t seq = g2 ? e->s.sta.assoc_seq : 0;
    uint16_t slot;
    uint8_t *p = event_new(e, &slot, IF_STA, EVENT_ASSOC, 0, seq,
                           at + 14 + (size_t)f->len);

    if (!p) {
        return;
    }
    memcpy(p + 4, f->data + 10, 6);
    p[10] = f->data[0] >> 4;
    p[11] = f->channel;
    if (g2) {
        put16(p + 46, seq);
    }
    put16(p + at, f->len);
    put32(p + at + 2, (uint32_t)(int32_t)f->rssi);
    put64(p + at + 6, local_tsf(e));
    put_frame(e, p + at + 14, f);
    esp_count(e, CNT_EVENTS_ASSOC);
    esp_fault_event(e, slot);
}

/* @f: KIND_DISCONNECT, laid out by esp_radio_disconnect() */
void esp_event_disconnect(struct esp_engine *e, const struct frame *f)
{
    bool g2 = esp_is_g2(e);
    uint16_t slot;
    uint8_t *p = event_new(e, &slot, IF_STA, EVENT_DISCONNECT,
                           g2 ? f->arg : 0, g2 ? f->seq : 0, g2 ? 46 : 44);

    if (!p) {
        return;
    }
    memcpy(p + 4, f->data, 6);
    memcpy(p + 10, f->data + 7, f->data[6]);
    p[43] = f->data[40];
    if (g2) {
        put16(p + 44, f->seq);
    }
    esp_count(e, CNT_EVENTS_DISCONNECT);
    esp_fault_event(e, slot);
}

#define NOISE_DBM               (-96)

/* A frame for the host of an access point, with its own header: 8.5 */
void esp_event_ap_mgmt(struct esp_engine *e, const struct frame *f)
{
    uint16_t slot;
    uint8_t *p = event_new(e, &slot, IF_AP, EVENT_AP_MGMT, 0, 0,
                           20 + (size_t)f->len);

    if (!p) {
        return;
    }
    put32(p + 4, (uint32_t)(int32_t)NOISE_DBM);
    put32(p + 8, (uint32_t)(int32_t)f->rssi);
    put32(p + 12, f->channel);
    put32(p + 16, f->len);
    memcpy(p + 20, f->data, f->len);
    esp_count(e, CNT_EVENTS_AP_MGMT);
    esp_fault_event(e, slot);
}

/* G2: what became of a marked MGMT_TX, protocol-g2.md 6.2 */
void esp_event_tx_status(struct esp_engine *e, const struct frame *f,
                         uint64_t id)
{
    uint16_t slot;
    uint8_t *p = event_new(e, &slot, IF_AP, EVENT_TX_STATUS, 0, f->seq,
                           20 + (size_t)f->len);

    if (!p) {
        return;
    }
    put64(p + 4, id);
    put32(p + 12, f->len);
    p[16] = f->arg == TX_ACKED;
    memcpy(p + 20, f->data, f->len);
    esp_count(e, CNT_EVENTS_TX_STATUS);
    esp_fault_event(e, slot);
}
