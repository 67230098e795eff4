/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The SPI link: transactions, the two lines, the tasks between the SPI
 * hardware and the firmware (protocol.md 1.3 to 1.9). The letters are the
 * steps of 1.4.
 */
#include "esp_private.h"

static unsigned prio_of(uint8_t if_type)
{
    switch (if_type) {
    case IF_INTERNAL:
        return PRIO_HIGH;
    case IF_HCI:
    case IF_RCP:
        return PRIO_MID;
    default:
        return PRIO_LOW;
    }
}

static uint16_t pop_by_prio(struct queue *q)
{
    for (unsigned prio = PRIO_HIGH; prio < PRIO_COUNT; prio++) {
        if (q[prio].count) {
            return esp_queue_pop(&q[prio]);
        }
    }
    return NO_FRAME;
}

static uint16_t peek_by_prio(const struct queue *q)
{
    for (unsigned prio = PRIO_HIGH; prio < PRIO_COUNT; prio++) {
        if (q[prio].count) {
            return esp_queue_peek(&q[prio]);
        }
    }
    return NO_FRAME;
}

static int64_t bus_time(const struct esp_engine *e, unsigned bytes)
{
    return (int64_t)bytes * 8 * SEC / e->cfg.spi_clock_hz;
}

/* Frame into the MISO buffer: 1.3 says what follows it. */
static void load_frame(struct esp_engine *e, const uint8_t *data, size_t len,
                       bool padded)
{
    struct volatile_state *s = &e->s;

    memcpy(s->miso, data, len);
    if (padded || !esp_quirk(e, 4)) {
        memset(s->miso + len, 0, ESP_TRANSACTION_SIZE - len);
    } else {
        uint64_t ram = 0;

        for (size_t i = len; i < ESP_TRANSACTION_SIZE; i++) {
            if (!((i - len) & 7)) {
                ram = esp_random(e);
            }
            s->miso[i] = (uint8_t)(ram >> ((i - len) & 7) * 8);
        }
    }
    s->armed_len = (uint16_t)len;
}

static void load_dummy(struct esp_engine *e)
{
    memset(e->s.miso, 0, ESP_TRANSACTION_SIZE);
    e->s.miso[0] = 0xff;
    e->s.armed_len = 0;
}

/* A few instructions of the firmware [E]: FQ-13 */
#define LOST_DR_WINDOW          INT64_C(200)

/* A frame that a fault loses, repeats or delays; NO_FRAME: none left. */
static uint16_t next_frame(struct esp_engine *e, bool *again)
{
    struct queue *q = e->s.tx_queue;
    uint16_t slot = peek_by_prio(q);
    uint8_t type;

    *again = false;
    if (slot == NO_FRAME) {
        return NO_FRAME;
    }
    if (esp_quirk(e, 13) && e->event_time - e->s.filled < LOST_DR_WINDOW &&
        e->event_time >= e->s.filled) {
        /*
         * Queued between the test for empty queues and data-ready going
         * low: the frame stays, and nobody is told of it.
         */
        esp_count(e, CNT_DR_RACES);
        esp_set_line(e, ESP_LINE_DATA_READY, false);
        return NO_FRAME;
    }
    type = e->frame[slot].data[2];
    slot = pop_by_prio(q);
    if (esp_fault(e, FAULT_FRAME_LOST, type, NULL)) {
        esp_frame_free(e, slot);
        return NO_FRAME;
    }
    q = &e->s.tx_queue[prio_of(e->frame[slot].if_type)];
    if (q->count && esp_fault(e, FAULT_FRAME_REORDERED, type, NULL)) {
        uint16_t second = esp_queue_pop(q);

        esp_queue_push_front(q, slot);
        slot = second;
    }
    *again = esp_fault(e, FAULT_FRAME_DUPLICATED, type, NULL);
    return slot;
}

static void raise_data_ready(struct esp_engine *e)
{
    uint64_t arg;

    if (esp_fault(e, FAULT_DR_LOST, 0, NULL)) {
        return;
    }
    if (esp_fault(e, FAULT_DR_LATE, 0, &arg)) {
        esp_schedule(e, TIMER_DATA_READY_LATE, esp_now(e) + (int64_t)arg);
        return;
    }
    esp_set_line(e, ESP_LINE_DATA_READY, true);
}

void esp_link_data_ready_late(struct esp_engine *e)
{
    esp_set_line(e, ESP_LINE_DATA_READY, true);
}

/* A: one frame by priority, or the dummy and data-ready low. */
static void fetch(struct esp_engine *e)
{
    struct volatile_state *s = &e->s;
    bool again;
    uint16_t slot = next_frame(e, &again);

    if (slot == NO_FRAME) {
        if (peek_by_prio(s->tx_queue) == NO_FRAME &&
            !esp_fault(e, FAULT_DR_SPURIOUS, 0, NULL)) {
            esp_set_line(e, ESP_LINE_DATA_READY, false);
        }
        load_dummy(e);
        return;
    }
    load_frame(e, e->frame[slot].data, e->frame[slot].len, false);
    if (again) {
        esp_queue_push_front(&s->tx_queue[prio_of(e->frame[slot].if_type)],
                             slot);
    } else {
        esp_frame_free(e, slot);
    }
    esp_fault_frame(e);
    if (esp_is_g2(e)) {
        raise_data_ready(e);
    }
    if (s->sender_held != NO_FRAME) {
        esp_schedule(e, TIMER_SENDER, esp_now(e));
    }
}

/* B, C: hardware loaded, handshake high. */
static void arm(struct esp_engine *e)
{
    struct volatile_state *s = &e->s;
    uint64_t arg;

    memset(s->mosi, 0, sizeof(s->mosi));
    s->pos = 0;
    s->armed = true;
    /*
     * The slave counts from the next falling edge of chip select, unless
     * it completes on byte count: then it takes what comes (1.6).
     */
    s->active = e->cfg.complete_on_count && !e->p.line[ESP_LINE_CS];
    esp_trace(e, ESP_TRACE_ARM, s->armed_len, s->miso[0] & 0x0f, s->miso[2]);
    esp_cancel(e, TIMER_GLITCH);
    if (esp_fault(e, FAULT_HS_LOST, 0, NULL)) {
        esp_set_line(e, ESP_LINE_HANDSHAKE, false);
    } else if (esp_fault(e, FAULT_HS_LATE, 0, &arg)) {
        esp_schedule(e, TIMER_HANDSHAKE_LATE, esp_now(e) + (int64_t)arg);
    } else {
        esp_set_line(e, ESP_LINE_HANDSHAKE, true);
    }
}

void esp_link_handshake_late(struct esp_engine *e)
{
    if (e->s.armed) {
        esp_set_line(e, ESP_LINE_HANDSHAKE, true);
    }
}

/* Handshake high although nothing is armed, and low again. */
void esp_link_glitch(struct esp_engine *e)
{
    bool level = !e->p.wanted[ESP_LINE_HANDSHAKE];

    if (e->s.armed) {
        return;
    }
    esp_set_line(e, ESP_LINE_HANDSHAKE, level);
    if (level) {
        esp_schedule(e, TIMER_GLITCH, esp_now(e) + (int64_t)e->s.glitch_ns);
    }
}

static bool queue_boot_event(struct esp_engine *e, const uint8_t *frame,
                             size_t len)
{
    struct queue *q = &e->s.tx_queue[PRIO_HIGH];
    uint16_t slot;

    if (q->count >= e->cfg.tx_queue) {
        return false;
    }
    slot = esp_frame_alloc(e);
    if (slot == NO_FRAME) {
        return false;
    }
    e->frame[slot].kind = KIND_HOSTED;
    e->frame[slot].if_type = IF_INTERNAL;
    e->frame[slot].len = (uint16_t)len;
    memcpy(e->frame[slot].data, frame, len);
    esp_queue_push(q, slot);
    return true;
}

void esp_link_boot_again(struct esp_engine *e)
{
    uint8_t frame[ESP_TRANSACTION_SIZE];
    size_t len = esp_boot_event(e, frame);

    if (queue_boot_event(e, frame, len)) {
        esp_history_add(e, HIST_BOOT, 1, IF_INTERNAL, 0, len - HDR_LEN, 0);
        raise_data_ready(e);
    }
}

void esp_link_boot(struct esp_engine *e)
{
    struct volatile_state *s = &e->s;
    uint8_t frame[ESP_TRANSACTION_SIZE];
    size_t len;

    s->boot_time = esp_now(e);
    esp_count(e, CNT_BOOTS);
    esp_trace(e, ESP_TRACE_BOOT, e->p.counter[CNT_BOOTS], 0, 0);
    esp_set_state(e, ESP_STATE_RUNNING);
    len = esp_boot_event(e, frame);
    len = esp_fault_boot_event(e, frame, len);
    if (esp_fault(e, FAULT_BOOT_TWICE, 0, NULL)) {
        queue_boot_event(e, frame, len);
    }
    esp_history_add(e, HIST_BOOT, 1, IF_INTERNAL, 0, len - HDR_LEN, 0);
    raise_data_ready(e);
    load_frame(e, frame, len, true);
    esp_fault_frame(e);
    arm(e);
}

/* F: what the host sent goes to the firmware. */
static void post_process(struct esp_engine *e)
{
    struct volatile_state *s = &e->s;
    struct header h;
    struct queue *q;
    uint16_t slot;

    s->rx_done = false;
    if (!esp_frame_valid(e, s->rx, &h)) {
        return;
    }
    esp_count(e, CNT_RX_FRAMES);
    esp_trace(e, ESP_TRACE_FRAME_RX, h.if_type, h.packet_type, h.len);
    slot = esp_frame_alloc(e);
    if (slot == NO_FRAME) {
        return;
    }
    e->frame[slot].if_type = h.if_type;
    e->frame[slot].len = (uint16_t)(h.offset + h.len);
    memcpy(e->frame[slot].data, s->rx, ESP_TRANSACTION_SIZE);
    q = &s->rx_queue[prio_of(h.if_type)];
    if (q->count >= e->cfg.rx_queue) {
        s->rx_held = slot;
        esp_count(e, CNT_RX_BLOCKED);
        esp_trace(e, ESP_TRACE_BLOCKED, 1, 0, 0);
        return;
    }
    esp_queue_push(q, slot);
    if (s->due[TIMER_CONSUMER] == NEVER && !s->consumer_waits) {
        esp_schedule(e, TIMER_CONSUMER, esp_next_tick(e, esp_now(e)));
    }
}

void esp_link_rearm(struct esp_engine *e)
{
    uint64_t reason;

    if (esp_fault_countdown(e, &reason)) {
        esp_restart(e, (uint32_t)reason);
        return;
    }
    if (esp_fault(e, FAULT_ARM_FAILED, 0, NULL)) {
        esp_fault_arm_failed(e);
        return;
    }
    fetch(e);
    arm(e);
    if (e->s.rx_done) {
        post_process(e);
    }
}

static void count_sent(struct esp_engine *e, const uint8_t *frame)
{
    switch (frame[0] & 0x0f) {
    case IF_INTERNAL:
        esp_count(e, CNT_TX_BOOT);
        return;
    case IF_HCI:
        esp_count(e, CNT_TX_HCI);
        return;
    case IF_TEST:
        esp_count(e, CNT_TX_TEST);
        return;
    default:
        break;
    }
    switch (frame[2]) {
    case PKT_RESPONSE:
        esp_count(e, CNT_TX_RESPONSE);
        break;
    case PKT_EVENT:
        esp_count(e, CNT_TX_EVENT);
        break;
    case PKT_EAPOL:
        esp_count(e, CNT_TX_EAPOL);
        break;
    default:
        esp_count(e, (frame[0] & 0x0f) == IF_AP ?
                  CNT_TX_DATA_AP : CNT_TX_DATA_STA);
        break;
    }
}

static void remember(struct esp_engine *e, enum esp_direction dir,
                     const uint8_t *frame, size_t len)
{
    e->p.last_len[dir] = (uint16_t)len;
    memcpy(e->p.last[dir], frame, len);
    if (e->ops->frame) {
        e->ops->frame(e->opaque, dir, frame, len);
    }
}

/* E: the transaction has ended, by chip select or by byte count. */
static void complete(struct esp_engine *e, bool cs_high)
{
    struct volatile_state *s = &e->s;
    int64_t now = esp_now(e);
    int64_t free_at = s->cs_fall + bus_time(e, s->pos);
    int64_t low_at = now + (int64_t)e->cfg.handshake_fall_ns;
    bool to_host = false;
    bool from_host;
    struct header h;

    esp_count(e, CNT_TRANSACTIONS);
    if (s->pos == 0) {
        esp_count(e, CNT_TRANSACTIONS_EMPTY);
    } else if (s->pos < ESP_TRANSACTION_SIZE) {
        esp_count(e, CNT_TRANSACTIONS_SHORT);
    }
    esp_trace(e, ESP_TRACE_TRANSACTION, s->pos, s->armed_len,
              (uint64_t)(now - s->cs_fall));
    if (!s->armed_len) {
        esp_count(e, CNT_TX_IDLE);
    } else if (s->pos < s->armed_len) {
        esp_count(e, CNT_TX_LOST_SHORT);
    } else {
        to_host = true;
        esp_count(e, CNT_TX_FRAMES);
        count_sent(e, s->miso);
        remember(e, ESP_TO_HOST, s->miso, s->armed_len);
    }
    memcpy(s->rx, s->mosi, sizeof(s->rx));
    s->rx_done = true;
    esp_header_read(&h, s->rx);
    from_host = h.len != 0;
    if (from_host) {
        size_t len = (size_t)h.offset + h.len;

        remember(e, ESP_FROM_HOST, s->rx, len < HDR_LEN ? HDR_LEN :
                 len > ESP_TRANSACTION_SIZE ? ESP_TRANSACTION_SIZE : len);
    }
    if (!to_host && !from_host) {
        esp_count(e, CNT_TRANSACTIONS_IDLE);
    }
    s->armed = false;
    s->active = false;
    esp_cancel(e, TIMER_COUNT_DONE);
    if (e->cfg.deassert_on_cs) {
        low_at = now;
    } else if (low_at == now) {
        esp_set_line(e, ESP_LINE_HANDSHAKE, false);
    } else {
        esp_schedule(e, TIMER_HANDSHAKE_FALL, low_at);
    }

    if (free_at < now) {
        free_at = now;
    }
    /* The interrupt that lowers handshake is what wakes the task: F, A. */
    if (free_at < low_at) {
        free_at = low_at;
    }
    free_at += (int64_t)e->cfg.turnaround_ns;
    if (esp_fault(e, FAULT_HS_SPURIOUS, 0, &s->glitch_ns)) {
        esp_schedule(e, TIMER_GLITCH,
                     low_at + (int64_t)e->cfg.turnaround_ns / 2);
    }
    if (s->rx_held != NO_FRAME) {
        /* Blocked since the last one: 1.5 */
        s->rearm_blocked = true;
    } else if (e->cfg.deassert_on_cs && !cs_high) {
        s->rearm_wait_cs = true;
    } else {
        esp_schedule(e, TIMER_REARM, free_at);
    }
}

/* Byte count reached? Looked at when the bus has had the time for it. */
void esp_link_count_done(struct esp_engine *e)
{
    struct volatile_state *s = &e->s;

    if (!s->active) {
        return;
    }
    if (s->pos == ESP_TRANSACTION_SIZE) {
        complete(e, e->p.line[ESP_LINE_CS]);
    } else {
        esp_schedule(e, TIMER_COUNT_DONE,
                     esp_now(e) + bus_time(e, ESP_TRANSACTION_SIZE - s->pos));
    }
}

static void cs_fell(struct esp_engine *e)
{
    struct volatile_state *s = &e->s;

    s->cs_fall = esp_now(e);
    s->active = s->armed;
    s->unarmed_select = !s->armed;
    s->unarmed_bytes = 0;
    if (!s->active) {
        return;
    }
    if (e->cfg.deassert_on_cs) {
        esp_set_line(e, ESP_LINE_HANDSHAKE, false);
    }
    if (e->cfg.complete_on_count) {
        esp_schedule(e, TIMER_COUNT_DONE,
                     s->cs_fall + bus_time(e, ESP_TRANSACTION_SIZE));
    }
}

static void cs_rose(struct esp_engine *e)
{
    struct volatile_state *s = &e->s;

    if (s->unarmed_select) {
        s->unarmed_select = false;
        if (s->unarmed_bytes) {
            esp_count(e, CNT_UNARMED_TRANSACTIONS);
            esp_trace(e, ESP_TRACE_UNARMED, s->unarmed_bytes, 0, 0);
        }
    }
    if (s->active) {
        complete(e, true);
    } else if (s->rearm_wait_cs) {
        s->rearm_wait_cs = false;
        esp_schedule(e, TIMER_REARM,
                     esp_now(e) + (int64_t)e->cfg.turnaround_ns);
    }
}

void esp_engine_set_cs(struct esp_engine *e, bool level)
{
    if (e->p.line[ESP_LINE_CS] == level) {
        return;
    }
    esp_enter(e);
    e->p.line[ESP_LINE_CS] = level;
    if (level) {
        cs_rose(e);
    } else {
        cs_fell(e);
    }
    esp_leave(e);
}

uint8_t esp_engine_transfer(struct esp_engine *e, uint8_t mosi)
{
    struct volatile_state *s = &e->s;

    if (e->p.line[ESP_LINE_CS]) {
        esp_count(e, CNT_DESELECTED_BYTES);
        return e->cfg.miso_unarmed;
    }
    esp_count(e, CNT_BYTES_CLOCKED);
    if (!s->active) {
        s->unarmed_bytes++;
        esp_count(e, CNT_UNARMED_BYTES);
        return e->cfg.miso_unarmed;
    }
    if (s->pos == ESP_TRANSACTION_SIZE) {
        esp_count(e, CNT_OVERRUN_BYTES);
        return e->cfg.miso_unarmed;
    }
    s->mosi[s->pos] = mosi;
    return s->miso[s->pos++];
}

/* Sender task: producer queues to the queues in front of the SPI. */
void esp_link_sender(struct esp_engine *e)
{
    struct volatile_state *s = &e->s;
    int64_t now = esp_now(e);

    for (;;) {
        struct queue *q;

        if (s->sender_held == NO_FRAME) {
            s->sender_held = pop_by_prio(s->producer);
            if (s->sender_held == NO_FRAME) {
                break;
            }
        }
        q = &s->tx_queue[prio_of(e->frame[s->sender_held].if_type)];
        if (q->count >= e->cfg.tx_queue) {
            break;
        }
        if (peek_by_prio(s->tx_queue) == NO_FRAME) {
            s->filled = e->event_time;
        }
        esp_queue_push(q, s->sender_held);
        s->sender_held = NO_FRAME;
        raise_data_ready(e);
    }

    /* Room in the producer queues wakes whoever blocked on them. */
    if (s->air_mgmt.count && s->due[TIMER_MGMT] == NEVER) {
        esp_schedule(e, TIMER_MGMT, now);
    }
    if (s->air_data.count && s->due[TIMER_DATA] == NEVER) {
        esp_schedule(e, TIMER_DATA, now);
    }
    if (s->raw_tp == CMD_RAW_TP_TO_HOST && s->due[TIMER_RAW_TP] == NEVER) {
        esp_schedule(e, TIMER_RAW_TP, now);
    }
    esp_link_consumer_wake(e);
}

void esp_link_consumer_wake(struct esp_engine *e)
{
    struct volatile_state *s = &e->s;

    if (!s->consumer_waits && s->due[TIMER_CONSUMER] == NEVER &&
        (s->rx_queue[PRIO_HIGH].count || s->rx_queue[PRIO_MID].count ||
         s->rx_queue[PRIO_LOW].count)) {
        esp_schedule(e, TIMER_CONSUMER, esp_now(e));
    }
}

static int64_t consume(struct esp_engine *e, const uint8_t *frame)
{
    struct header h;
    const uint8_t *p;
    bool eapol;

    esp_header_read(&h, frame);
    p = frame + h.offset;
    if (h.packet_type == PKT_REQUEST) {
        esp_count(e, CNT_RX_COMMAND);
        esp_command(e, &h, frame);
        return (int64_t)e->cfg.command_ns;
    }
    eapol = h.packet_type == PKT_EAPOL && esp_is_g2(e);
    if (h.packet_type != PKT_DATA && !eapol) {
        esp_count(e, CNT_RX_DROP_PACKET_TYPE);
        return 0;
    }
    if (eapol) {
        esp_count(e, CNT_RX_EAPOL);
    }
    switch (h.if_type) {
    case IF_STA:
    case IF_AP:
        esp_count(e, h.if_type == IF_STA ? CNT_RX_DATA_STA : CNT_RX_DATA_AP);
        return (int64_t)e->cfg.data_ns +
               esp_radio_transmit(e, h.if_type, eapol, p, h.len);
    case IF_HCI:
        esp_count(e, CNT_RX_HCI);
        esp_hci_receive(e, p[-1], p, h.len);
        return (int64_t)e->cfg.data_ns;
    case IF_TEST:
        esp_count(e, CNT_RX_TEST);
        if (e->s.raw_tp == CMD_RAW_TP_FROM_HOST &&
            (!e->s.raw_tp_run ||
             (h.len >= 8 && get32(p + 4) == e->s.raw_tp_run))) {
            e->p.counter[CNT_RX_TEST_BYTES] += h.len;
        }
        return (int64_t)e->cfg.data_ns;
    default:
        esp_count(e, CNT_RX_DROP_IF_TYPE);
        return 0;
    }
}

/* Consumer task: one received frame, or back to polling. */
void esp_link_consumer(struct esp_engine *e)
{
    struct volatile_state *s = &e->s;
    int64_t now = esp_now(e);
    uint16_t slot;
    int64_t busy;

    slot = peek_by_prio(s->rx_queue);
    if (slot == NO_FRAME) {
        return;
    }
    /*
     * An answer needs a place; without one the task blocks. A host that
     * sends commands without reading the answers can block it for good, as
     * it can the real one.
     */
    if (e->frame[slot].data[2] == PKT_REQUEST &&
        !esp_producer_room(e, PRIO_HIGH, 1)) {
        return;
    }
    pop_by_prio(s->rx_queue);
    if (s->rx_held != NO_FRAME) {
        struct queue *q = &s->rx_queue[prio_of(e->frame[s->rx_held].if_type)];

        if (q->count < e->cfg.rx_queue) {
            esp_queue_push(q, s->rx_held);
            s->rx_held = NO_FRAME;
            esp_trace(e, ESP_TRACE_BLOCKED, 0, 0, 0);
            if (s->rearm_blocked) {
                s->rearm_blocked = false;
                esp_schedule(e, TIMER_REARM,
                             now + (int64_t)e->cfg.turnaround_ns);
            }
        }
    }
    busy = consume(e, e->frame[slot].data);
    if (e->p.state != ESP_STATE_RUNNING) {
        /* The frame made the firmware restart: the pool is new. */
        return;
    }
    esp_frame_free(e, slot);
    if (s->consumer_waits) {
        return;
    }
    esp_schedule(e, TIMER_CONSUMER, now + busy);
}
