/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Hosted frames: header, checksum, validation (protocol.md 2)
 */
#include <stdio.h>

#include "esp_private.h"

/* Sum of all bytes with the checksum field taken as zero: 2.3 */
uint16_t esp_checksum(const uint8_t *frame, size_t len)
{
    uint32_t sum = 0;

    for (size_t i = 0; i < len; i++) {
        sum += frame[i];
    }
    return (uint16_t)(sum - frame[8] - frame[9]);
}

void esp_header_read(struct header *h, const uint8_t *frame)
{
    h->if_type = frame[0] & 0x0f;
    h->if_num = frame[0] >> 4;
    h->flags = frame[1];
    h->packet_type = frame[2];
    h->len = get16(frame + 4);
    h->offset = get16(frame + 6);
    h->checksum = get16(frame + 8);
    h->hci_type = frame[11];
}

static bool drop(struct esp_engine *e, enum counter reason,
                 const struct header *h)
{
    esp_count(e, reason);
    esp_trace(e, ESP_TRACE_FRAME_DROP, reason, h->len, h->offset);
    return false;
}

bool esp_frame_valid(struct esp_engine *e, const uint8_t *frame,
                     struct header *h)
{
    static const uint8_t filler[HDR_LEN];

    esp_header_read(h, frame);
    if (h->len == 0) {
        if (!memcmp(frame, filler, HDR_LEN)) {
            esp_count(e, CNT_RX_IDLE);
            return false;
        }
        return drop(e, CNT_RX_DROP_EMPTY, h);
    }
    if (h->len > ESP_TRANSACTION_SIZE) {
        return drop(e, CNT_RX_DROP_LENGTH, h);
    }
    if (h->offset < HDR_LEN || h->offset > OFFSET_MAX) {
        return drop(e, CNT_RX_DROP_OFFSET, h);
    }
    if (h->offset + h->len > ESP_TRANSACTION_SIZE) {
        /*
         * G1 without checksum does not look; it would read past the end of
         * its buffer. There is nothing past the end of ours.
         */
        if (e->cfg.checksum || esp_is_g2(e)) {
            return drop(e, CNT_RX_DROP_BOUNDS, h);
        }
        h->len = ESP_TRANSACTION_SIZE - h->offset;
    }
    if (e->cfg.checksum &&
        esp_checksum(frame, (size_t)h->offset + h->len) != h->checksum) {
        return drop(e, CNT_RX_DROP_CHECKSUM, h);
    }
    if (esp_is_g2(e) && h->if_type > IF_RCP) {
        return drop(e, CNT_RX_DROP_IF_TYPE, h);
    }
    return true;
}

uint8_t *esp_frame_new(struct esp_engine *e, uint16_t *slot, uint8_t if_type,
                       uint8_t packet_type, unsigned offset, size_t len)
{
    struct frame *f;

    /* The DMA length, rounded up, has to fit: 2.2 */
    if (len == 0 || ((len + HDR_LEN + 3) & ~(size_t)3) >
        ESP_TRANSACTION_SIZE || offset + len > ESP_TRANSACTION_SIZE) {
        esp_count(e, CNT_TX_DROP_LENGTH);
        return NULL;
    }
    *slot = esp_frame_alloc(e);
    if (*slot == NO_FRAME) {
        return NULL;
    }
    f = &e->frame[*slot];
    f->kind = KIND_HOSTED;
    f->if_type = if_type;
    f->len = (uint16_t)(offset + len);
    memset(f->data, 0, f->len);
    f->data[0] = if_type;
    f->data[2] = packet_type;
    put16(f->data + 4, (uint16_t)len);
    put16(f->data + 6, (uint16_t)offset);
    return f->data + offset;
}

bool esp_engine_inject(struct esp_engine *e, uint8_t if_type,
                       uint8_t packet_type, const uint8_t *payload,
                       size_t len, char *err, size_t errlen)
{
    unsigned prio = if_type == IF_HCI ? PRIO_MID :
                    packet_type == PKT_DATA ? PRIO_LOW : PRIO_HIGH;
    uint16_t slot;
    uint8_t *p;

    if (e->p.state != ESP_STATE_RUNNING) {
        snprintf(err, errlen, "the firmware does not run: its state is %s",
                 esp_state_name(e->p.state));
        return false;
    }
    if (if_type > 0x0f || len < 1 || len > PAYLOAD_MAX) {
        snprintf(err, errlen, "an interface is 0 to 15, a payload has 1 to "
                 "%d bytes", PAYLOAD_MAX);
        return false;
    }
    if (!esp_producer_room(e, prio, 1)) {
        snprintf(err, errlen, "the firmware's queue is full for now");
        return false;
    }
    esp_enter(e);
    p = esp_frame_new(e, &slot, if_type, packet_type, HDR_LEN, len);
    if (p) {
        memcpy(p, payload, len);
        esp_count(e, CNT_INJECTED);
        if (packet_type == PKT_RESPONSE && len >= 6) {
            esp_history_add(e, HIST_RESPONSE, p[0], if_type, p[1], len,
                            get16(p + 4));
            esp_trace(e, ESP_TRACE_RESPONSE, p[0], p[1], len);
        } else if (packet_type == PKT_EVENT && len >= 2) {
            esp_history_add(e, HIST_EVENT, p[0], if_type, p[1], len, 0);
            esp_trace(e, ESP_TRACE_EVENT, p[0], p[1], len);
        }
        esp_frame_send(e, slot, prio);
    } else {
        snprintf(err, errlen, "there is no memory for a frame now");
    }
    esp_leave(e);
    return p;
}

bool esp_producer_room(const struct esp_engine *e, unsigned prio,
                       unsigned frames)
{
    return e->s.producer[prio].count + frames <= e->cfg.producer_queue;
}

void esp_frame_send(struct esp_engine *e, uint16_t slot, unsigned prio)
{
    struct frame *f = &e->frame[slot];

    if (e->cfg.checksum) {
        put16(f->data + 8, esp_checksum(f->data, f->len));
    }
    esp_queue_push(&e->s.producer[prio], slot);
    if (e->s.sender_held == NO_FRAME && e->s.due[TIMER_SENDER] == NEVER) {
        int64_t now = esp_now(e);

        /* G2 wakes the sender task, G1 lets it poll: protocol-g2.md 10 */
        esp_schedule(e, TIMER_SENDER,
                     esp_is_g2(e) ? now : esp_next_tick(e, now));
    }
}
