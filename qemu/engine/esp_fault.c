/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fault injection: arming, and the decision whether one fires now
 */
#include <stdio.h>

#include "esp_private.h"

static const struct {
    const char *name;
    uint64_t arg;
    const char *help;
} faults[FAULT_COUNT] = {
#define X(id, name, arg, help) [FAULT_##id] = { name, arg, help },
#include "esp_faults.h"
#undef X
};

unsigned esp_fault_count(void)
{
    return FAULT_COUNT;
}

const char *esp_fault_name(unsigned index)
{
    return index < FAULT_COUNT ? faults[index].name : NULL;
}

const char *esp_fault_help(unsigned index)
{
    return index < FAULT_COUNT ? faults[index].help : NULL;
}

int esp_fault_by_name(const char *name)
{
    for (int i = 0; i < FAULT_COUNT; i++) {
        if (!strcmp(name, faults[i].name)) {
            return i;
        }
    }
    return -1;
}

static bool acts_at_once(unsigned index)
{
    switch (index) {
    case FAULT_HS_STUCK_LOW:
    case FAULT_HS_STUCK_HIGH:
    case FAULT_DR_STUCK_LOW:
    case FAULT_DR_STUCK_HIGH:
    case FAULT_CRASH:
    case FAULT_HANG:
    case FAULT_HANG_LINES_HIGH:
    case FAULT_BOOT_SPONTANEOUS:
    case FAULT_RADIO_GONE:
        return true;
    default:
        return false;
    }
}

/* Waits for a connected station. */
static bool acts_when_joined(unsigned index)
{
    return index == FAULT_RADIO_DEAUTH ||
           index == FAULT_RADIO_CHANNEL_SWITCH ||
           index == FAULT_RADIO_CHANNEL_JUMP;
}

bool esp_engine_fault_arm(struct esp_engine *e, unsigned index,
                          const struct esp_fault_arming *how,
                          char *err, size_t errlen)
{
    struct fault *f;

    if (index >= FAULT_COUNT) {
        snprintf(err, errlen, "no such fault");
        return false;
    }
    if (how->probability_ppm < 1 || how->probability_ppm > 1000000) {
        snprintf(err, errlen,
                 "the probability must be 1 to 1000000 parts per million");
        return false;
    }
    if (how->arg != ESP_AUTO64 && how->arg > TIME_MAX) {
        snprintf(err, errlen, "the argument must be at most 2^60");
        return false;
    }
    esp_enter(e);
    f = &e->p.fault[index];
    f->armed = true;
    f->remaining = how->count;
    f->ppm = how->probability_ppm;
    f->match = how->match;
    f->arg = how->arg == ESP_AUTO64 ? faults[index].arg : how->arg;
    if (acts_at_once(index)) {
        esp_schedule(e, TIMER_FAULT, esp_now(e));
    } else if (acts_when_joined(index)) {
        esp_schedule(e, TIMER_RADIO_FAULT, esp_now(e));
    }
    esp_leave(e);
    return true;
}

void esp_engine_fault_disarm(struct esp_engine *e, unsigned index)
{
    if (index >= FAULT_COUNT) {
        return;
    }
    esp_enter(e);
    e->p.fault[index].armed = false;
    if (acts_at_once(index)) {
        esp_schedule(e, TIMER_FAULT, esp_now(e));
    }
    esp_leave(e);
}

bool esp_engine_fault_armed(const struct esp_engine *e, unsigned index)
{
    return index < FAULT_COUNT && e->p.fault[index].armed;
}

uint64_t esp_engine_fault_fired(const struct esp_engine *e, unsigned index)
{
    return index < FAULT_COUNT ? e->p.fault[index].fired : 0;
}

static void fire(struct esp_engine *e, unsigned index)
{
    struct fault *f = &e->p.fault[index];

    f->fired++;
    esp_count(e, CNT_FAULTS_FIRED);
    esp_trace(e, ESP_TRACE_FAULT, index, f->arg, f->remaining);
    if (f->remaining && !--f->remaining) {
        f->armed = false;
    }
}

bool esp_fault(struct esp_engine *e, unsigned index, uint32_t subject,
               uint64_t *arg)
{
    struct fault *f = &e->p.fault[index];

    if (!f->armed || (f->match != ESP_AUTO && f->match != subject) ||
        (f->ppm < 1000000 && esp_random(e) % 1000000 >= f->ppm)) {
        return false;
    }
    if (arg) {
        *arg = f->arg;
    }
    fire(e, index);
    return true;
}

bool esp_fault_in_force(const struct esp_engine *e, unsigned index)
{
    return e->p.fault[index].armed;
}

bool esp_fault_line(const struct esp_engine *e, enum esp_line line,
                    bool level)
{
    bool hs = line == ESP_LINE_HANDSHAKE;

    if (e->p.fault[hs ? FAULT_HS_STUCK_LOW : FAULT_DR_STUCK_LOW].armed) {
        return false;
    }
    if (e->p.fault[hs ? FAULT_HS_STUCK_HIGH : FAULT_DR_STUCK_HIGH].armed) {
        return true;
    }
    return level;
}

bool esp_fault_countdown(struct esp_engine *e, uint64_t *arg)
{
    struct fault *f = &e->p.fault[FAULT_CRASH_AFTER_FRAMES];

    if (!f->armed) {
        return false;
    }
    if (f->remaining) {
        f->remaining--;
        return false;
    }
    f->armed = false;
    *arg = f->arg ? f->arg : 12;
    fire(e, FAULT_CRASH_AFTER_FRAMES);
    return true;
}

static void hang(struct esp_engine *e)
{
    for (int i = 0; i < TIMER_COUNT; i++) {
        esp_cancel(e, i);
    }
    e->s.armed = false;
    e->s.active = false;
    esp_set_state(e, ESP_STATE_HUNG);
}

#define RADIO_FAULT_POLL        (10 * MS)

/* What an access point does to the station that is connected to it */
void esp_fault_radio_timer(struct esp_engine *e)
{
    struct station *sta = &e->s.sta;
    bool joined = sta->phase == PHASE_JOINED;
    uint64_t arg;

    if (joined && esp_fault(e, FAULT_RADIO_CHANNEL_SWITCH, 0, &arg)) {
        esp_air_move_ap(e, (uint8_t)arg, true);
    }
    if (joined && esp_fault(e, FAULT_RADIO_CHANNEL_JUMP, 0, &arg)) {
        esp_air_move_ap(e, (uint8_t)arg, false);
    }
    if (joined && esp_fault(e, FAULT_RADIO_DEAUTH, 0, &arg)) {
        uint8_t frame[WLAN_HDR + 2] = { WLAN_DEAUTH << 4 };

        memcpy(frame + 4, e->s.device_mac, 6);
        memcpy(frame + 10, sta->bssid, 6);
        memcpy(frame + 16, sta->bssid, 6);
        put16(frame + WLAN_HDR, (uint16_t)arg);
        esp_radio_receive_mgmt(e, IF_STA, frame, sizeof(frame), sta->channel,
                               sta->rssi, 0, true);
    }
    if (e->p.fault[FAULT_RADIO_DEAUTH].armed ||
        e->p.fault[FAULT_RADIO_CHANNEL_SWITCH].armed ||
        e->p.fault[FAULT_RADIO_CHANNEL_JUMP].armed) {
        esp_schedule(e, TIMER_RADIO_FAULT, esp_now(e) + RADIO_FAULT_POLL);
    }
}

/* What acts at once, and lines that have come loose or stuck. */
void esp_fault_timer(struct esp_engine *e)
{
    static const uint8_t stuck[] = {
        FAULT_HS_STUCK_LOW, FAULT_HS_STUCK_HIGH, FAULT_DR_STUCK_LOW,
        FAULT_DR_STUCK_HIGH, FAULT_RADIO_GONE,
    };
    bool alive = e->p.state == ESP_STATE_RUNNING ||
                 e->p.state == ESP_STATE_BOOTING;
    uint64_t reason;

    for (unsigned i = 0; i < sizeof(stuck); i++) {
        struct fault *f = &e->p.fault[stuck[i]];

        if (f->armed && f->remaining != UINT32_MAX) {
            /* Counted once, and in force until disarmed. */
            f->remaining = UINT32_MAX;
            f->fired++;
            esp_count(e, CNT_FAULTS_FIRED);
            esp_trace(e, ESP_TRACE_FAULT, stuck[i], 0, 0);
        }
    }
    esp_set_line(e, ESP_LINE_HANDSHAKE, e->p.wanted[ESP_LINE_HANDSHAKE]);
    esp_set_line(e, ESP_LINE_DATA_READY, e->p.wanted[ESP_LINE_DATA_READY]);
    if (!alive) {
        return;
    }
    if (esp_fault(e, FAULT_CRASH, 0, &reason)) {
        esp_restart(e, (uint32_t)reason);
    } else if (esp_fault(e, FAULT_HANG, 0, NULL)) {
        hang(e);
    } else if (esp_fault(e, FAULT_HANG_LINES_HIGH, 0, NULL)) {
        hang(e);
        esp_set_line(e, ESP_LINE_DATA_READY, true);
        esp_set_line(e, ESP_LINE_HANDSHAKE, true);
    } else if (e->p.state == ESP_STATE_RUNNING &&
               esp_fault(e, FAULT_BOOT_SPONTANEOUS, 0, NULL)) {
        esp_link_boot_again(e);
    }
}

/* No memory to arm: protocol.md 13, protocol-g2.md 10 */
void esp_fault_arm_failed(struct esp_engine *e)
{
    if (esp_is_g2(e)) {
        esp_restart(e, 3);
    } else {
        hang(e);
    }
}

/* Frames on MISO */

static void restamp(struct esp_engine *e)
{
    uint8_t *miso = e->s.miso;
    size_t len = (size_t)get16(miso + 6) + get16(miso + 4);

    if (len > ESP_TRANSACTION_SIZE) {
        len = ESP_TRANSACTION_SIZE;
    } else if (len < HDR_LEN) {
        len = HDR_LEN;
    }
    if (e->cfg.checksum) {
        put16(miso + 8, esp_checksum(miso, len));
    }
}

static void change_header(struct esp_engine *e, uint32_t type)
{
    uint8_t *miso = e->s.miso;
    uint8_t before[HDR_LEN];
    uint64_t arg;

    memcpy(before, miso, HDR_LEN);
    if (esp_fault(e, FAULT_HEADER_IF_TYPE, type, &arg)) {
        miso[0] = (uint8_t)((miso[0] & 0xf0) | (arg & 0x0f));
    }
    if (esp_fault(e, FAULT_HEADER_IF_NUM, type, &arg)) {
        miso[0] = (uint8_t)((miso[0] & 0x0f) | (arg & 0x0f) << 4);
    }
    if (esp_fault(e, FAULT_HEADER_FLAGS, type, &arg)) {
        miso[1] = (uint8_t)arg;
    }
    if (esp_fault(e, FAULT_HEADER_PACKET_TYPE, type, &arg)) {
        miso[2] = (uint8_t)arg;
    }
    if (esp_fault(e, FAULT_HEADER_RESERVED, type, &arg)) {
        miso[3] = (uint8_t)arg;
        miso[10] = (uint8_t)arg;
    }
    if (esp_fault(e, FAULT_HEADER_LEN, type, &arg)) {
        put16(miso + 4, (uint16_t)arg);
    }
    if (esp_fault(e, FAULT_HEADER_OFFSET, type, &arg)) {
        put16(miso + 6, (uint16_t)arg);
    }
    if (memcmp(before, miso, HDR_LEN)) {
        restamp(e);
    }
}

static void shift_bits(uint8_t *data, size_t len, unsigned bits)
{
    unsigned carry = 0;

    for (size_t i = 0; i < len; i++) {
        unsigned v = data[i];

        data[i] = (uint8_t)(v >> bits | carry);
        carry = v << (8 - bits);
    }
}

void esp_fault_frame(struct esp_engine *e)
{
    uint8_t *miso = e->s.miso;
    uint32_t type = miso[2];
    size_t len = e->s.armed_len;
    uint64_t arg;

    change_header(e, type);
    if (esp_fault(e, FAULT_FRAME_CHECKSUM, type, &arg)) {
        put16(miso + 8, (uint16_t)(get16(miso + 8) ^ arg));
    }
    if (len > HDR_LEN && esp_fault(e, FAULT_FRAME_CORRUPT, type, NULL)) {
        uint64_t bit = esp_random(e) % ((len - HDR_LEN) * 8);

        miso[HDR_LEN + bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    if (esp_fault(e, FAULT_FRAME_TAIL, type, NULL)) {
        for (size_t i = len; i < ESP_TRANSACTION_SIZE; i++) {
            miso[i] = (uint8_t)esp_random(e);
        }
    }
    if (esp_fault(e, FAULT_FRAME_TRUNCATED, type, &arg) &&
        arg < ESP_TRANSACTION_SIZE) {
        memset(miso + arg, 0, ESP_TRANSACTION_SIZE - (size_t)arg);
    }
    if (esp_fault(e, FAULT_FRAME_SHIFTED, type, &arg)) {
        shift_bits(miso, ESP_TRANSACTION_SIZE, 1 + (unsigned)(arg + 6) % 7);
    }
    if (esp_fault(e, FAULT_FRAME_ZERO, type, NULL)) {
        memset(miso, 0, ESP_TRANSACTION_SIZE);
    }
    if (esp_fault(e, FAULT_FRAME_ONES, type, NULL)) {
        memset(miso, 0xff, ESP_TRANSACTION_SIZE);
    }
}

/* Boot event */

#define TLV_SIZE_MAX            32
/* The length of all TLVs is one byte; what is too much is left out. */
#define TLVS_MAX                255

/* Copies one TLV of the boot event, changed as armed. Its new length. */
static size_t change_tlv(struct esp_engine *e, const uint8_t *from,
                         uint8_t *to)
{
    uint8_t type = from[0];
    size_t size = from[1];
    uint64_t arg;

    memset(to, 0, 2 + TLV_SIZE_MAX);
    memcpy(to, from, 2 + size);
    if ((type == 2 && esp_fault(e, FAULT_BOOT_CLOCK, 0, &arg)) ||
        (type == 3 && esp_fault(e, FAULT_BOOT_CHIP, 0, &arg))) {
        to[2] = (uint8_t)arg;
    }
    if (esp_fault(e, FAULT_BOOT_TLV_VALUE, type, &arg)) {
        for (size_t i = 0; i < size; i++) {
            to[2 + i] = i < 8 ? (uint8_t)(arg >> 8 * i) : 0;
        }
    }
    if (esp_fault(e, FAULT_BOOT_TLV_SIZE, type, &arg)) {
        size = arg > TLV_SIZE_MAX ? TLV_SIZE_MAX : (size_t)arg;
        to[1] = (uint8_t)size;
    }
    /* These two without moving what follows */
    if (esp_fault(e, FAULT_BOOT_TLV_LENGTH, type, &arg)) {
        to[1] = (uint8_t)arg;
    }
    if (esp_fault(e, FAULT_BOOT_TLV_TYPE, type, &arg)) {
        to[0] = (uint8_t)arg;
    }
    return 2 + size;
}

static size_t change_tlvs(struct esp_engine *e, uint8_t *tlv, size_t len)
{
    uint8_t out[TLVS_MAX];
    size_t n = 0;

    for (size_t i = 0; i < len; i += 2 + (size_t)tlv[i + 1]) {
        uint8_t one[2 + TLV_SIZE_MAX];
        bool missing = esp_fault(e, FAULT_BOOT_TLV_MISSING, tlv[i], NULL);
        bool twice = esp_fault(e, FAULT_BOOT_TLV_DUPLICATED, tlv[i], NULL);
        size_t size = change_tlv(e, tlv + i, one);

        for (int copies = missing ? 0 : twice ? 2 : 1;
             copies && n + size <= sizeof(out); copies--) {
            memcpy(out + n, one, size);
            n += size;
        }
    }
    memcpy(tlv, out, n);
    return n;
}

size_t esp_fault_boot_event(struct esp_engine *e, uint8_t *frame, size_t len)
{
    uint8_t *p = frame + HDR_LEN;
    size_t tlvs = change_tlvs(e, p + 8, len - HDR_LEN - 8);
    uint64_t arg;

    if (esp_fault(e, FAULT_BOOT_RANDOM, 0, NULL)) {
        for (size_t i = 0; i < tlvs; i++) {
            p[8 + i] = (uint8_t)esp_random(e);
        }
    }
    len = esp_boot_finish(e, frame, tlvs);
    if (esp_fault(e, FAULT_BOOT_STATUS, 0, &arg)) {
        p[1] = (uint8_t)arg;
    }
    if (esp_fault(e, FAULT_BOOT_TOTAL, 0, &arg)) {
        p[4] = (uint8_t)arg;
        put16(p + 2, (uint16_t)(arg + 1));
    }
    if (e->cfg.checksum) {
        put16(frame + 8, esp_checksum(frame, len));
    }
    return len;
}

/* Answers and events: still without checksum, which is stamped later */

static void set_payload_len(struct frame *f, uint64_t len)
{
    unsigned offset = get16(f->data + 6);

    if (len >= 1 && len <= f->len - (size_t)offset) {
        f->len = (uint16_t)(offset + len);
        put16(f->data + 4, (uint16_t)len);
    }
}

static bool copy_frame(struct esp_engine *e, uint16_t slot, uint16_t *copy)
{
    if (!esp_producer_room(e, PRIO_HIGH, 2)) {
        return false;
    }
    *copy = esp_frame_alloc(e);
    if (*copy == NO_FRAME) {
        return false;
    }
    e->frame[*copy] = e->frame[slot];
    return true;
}

void esp_fault_response(struct esp_engine *e, uint16_t slot)
{
    struct frame *f = &e->frame[slot];
    uint8_t *p = f->data + get16(f->data + 6);
    uint8_t code = p[0];
    uint16_t copy;
    uint64_t arg;

    if (esp_fault(e, FAULT_RESPONSE_LOST, code, NULL)) {
        esp_frame_free(e, slot);
        return;
    }
    if (esp_fault(e, FAULT_RESPONSE_UNSOLICITED, code, &arg) &&
        copy_frame(e, slot, &copy)) {
        e->frame[copy].data[get16(f->data + 6)] = (uint8_t)arg;
        esp_frame_send(e, copy, PRIO_HIGH);
    }
    if (esp_fault(e, FAULT_RESPONSE_CODE, code, &arg)) {
        p[0] = (uint8_t)arg;
    }
    if (esp_fault(e, FAULT_RESPONSE_STATUS, code, &arg)) {
        p[1] = (uint8_t)arg;
    }
    if (esp_fault(e, FAULT_RESPONSE_LENGTH, code, &arg)) {
        put16(p + 2, (uint16_t)arg);
    }
    if (esp_fault(e, FAULT_RESPONSE_SEQUENCE, code, &arg)) {
        put16(p + 4, (uint16_t)arg);
    }
    if (code == CMD_MGMT_TX && f->len >= HDR_LEN + (esp_is_g2(e) ? 28 : 20) &&
        esp_fault(e, FAULT_RESPONSE_INNER_LENGTH, 0, &arg)) {
        put32(p + (esp_is_g2(e) ? 24 : 16), (uint32_t)arg);
    }
    if (esp_fault(e, FAULT_RESPONSE_SHORT, code, &arg)) {
        set_payload_len(f, arg);
    }
    if (esp_fault(e, FAULT_RESPONSE_DUPLICATED, code, NULL) &&
        copy_frame(e, slot, &copy)) {
        esp_frame_send(e, copy, PRIO_HIGH);
    }
    if (e->s.late_response == NO_FRAME &&
        esp_fault(e, FAULT_RESPONSE_LATE, code, &arg)) {
        e->s.late_response = slot;
        esp_schedule(e, TIMER_LATE_RESPONSE, esp_now(e) + (int64_t)arg);
        return;
    }
    esp_frame_send(e, slot, PRIO_HIGH);
}

void esp_fault_late_response(struct esp_engine *e)
{
    uint16_t slot = e->s.late_response;

    e->s.late_response = NO_FRAME;
    if (slot != NO_FRAME) {
        esp_frame_send(e, slot, PRIO_HIGH);
    }
}

/* Where an event keeps the length of its frame and its sequence; 0: not */
static void event_fields(const struct esp_engine *e, uint8_t code,
                         unsigned *length, bool *wide, unsigned *sequence)
{
    bool g2 = esp_is_g2(e);

    *length = 0;
    *wide = false;
    *sequence = 0;
    switch (code) {
    case EVENT_SCAN:
        *length = 24;
        break;
    case EVENT_AUTH:
        *length = 24;
        *sequence = g2 ? 26 : 0;
        break;
    case EVENT_ASSOC:
        *length = g2 ? 48 : 46;
        *sequence = g2 ? 46 : 0;
        break;
    case EVENT_DISCONNECT:
        *sequence = g2 ? 44 : 0;
        break;
    case EVENT_AP_MGMT:
        *length = 16;
        *wide = true;
        break;
    default:
        *length = 12;
        *wide = true;
        break;
    }
}

void esp_fault_event(struct esp_engine *e, uint16_t slot)
{
    struct frame *f = &e->frame[slot];
    uint8_t *p = f->data + HDR_LEN;
    uint8_t code = p[0];
    unsigned sequence;
    unsigned length;
    uint16_t copy;
    bool wide;
    uint64_t arg;

    if (esp_fault(e, FAULT_EVENT_LOST, code, NULL)) {
        esp_frame_free(e, slot);
        return;
    }
    event_fields(e, code, &length, &wide, &sequence);
    if (length && f->len > HDR_LEN + length + 2 &&
        esp_fault(e, FAULT_EVENT_INNER_LENGTH, code, &arg)) {
        put16(p + length, (uint16_t)arg);
        if (wide) {
            put16(p + length + 2, (uint16_t)(arg >> 16));
        }
    }
    if (sequence && esp_fault(e, FAULT_EVENT_SEQUENCE, code, &arg)) {
        put16(p + sequence, (uint16_t)arg);
    }
    if (esp_fault(e, FAULT_EVENT_CODE, code, &arg)) {
        p[0] = (uint8_t)arg;
    }
    if (esp_fault(e, FAULT_EVENT_STATUS, code, &arg)) {
        p[1] = (uint8_t)arg;
    }
    if (esp_fault(e, FAULT_EVENT_LENGTH, code, &arg)) {
        put16(p + 2, (uint16_t)arg);
    }
    if (esp_fault(e, FAULT_EVENT_SHORT, code, &arg)) {
        set_payload_len(f, arg);
    }
    if (esp_fault(e, FAULT_EVENT_FLOOD, code, &arg)) {
        while (arg-- && copy_frame(e, slot, &copy)) {
            esp_frame_send(e, copy, PRIO_HIGH);
        }
    }
    esp_frame_send(e, slot, PRIO_HIGH);
}
