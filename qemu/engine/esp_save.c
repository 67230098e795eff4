/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Saved state: one walk over the state serves to save, to measure and to
 * load. Little-endian, no pointers, no indices into the frame pool.
 */
#include <stdio.h>

#include "esp_private.h"

#define MAGIC                   UINT32_C(0x45505345)
#define AP_MAGIC                UINT32_C(0x41505345)
#define VERSION                 2

struct walk {
    uint8_t *out;
    const uint8_t *in;          /* NULL: saving */
    size_t size;
    size_t pos;
    const char *error;
};

static void visit(struct walk *w, void *data, size_t bytes)
{
    if (w->in) {
        if (w->error || w->size - w->pos < bytes) {
            if (!w->error) {
                w->error = "the data ends too early";
            }
            return;
        }
        memcpy(data, w->in + w->pos, bytes);
    } else if (w->out && w->pos + bytes <= w->size) {
        memcpy(w->out + w->pos, data, bytes);
    }
    w->pos += bytes;
}

static void visit_int(struct walk *w, uint64_t *value, unsigned bytes)
{
    uint8_t raw[8];

    put64(raw, *value);
    visit(w, raw, bytes);
    if (w->in && !w->error) {
        *value = 0;
        for (unsigned i = 0; i < bytes; i++) {
            *value |= (uint64_t)raw[i] << 8 * i;
        }
    }
}

#define DEFINE_VISIT(name, type) \
    static void visit_##name(struct walk *w, type *value) \
    { \
        uint64_t v = (uint64_t)*value; \
    \
        visit_int(w, &v, sizeof(type)); \
        *value = (type)v; \
    }

DEFINE_VISIT(bool, bool)
DEFINE_VISIT(u8, uint8_t)
DEFINE_VISIT(s8, int8_t)
DEFINE_VISIT(u16, uint16_t)
DEFINE_VISIT(u32, uint32_t)
DEFINE_VISIT(u64, uint64_t)
DEFINE_VISIT(s64, int64_t)

#define V(field) \
    _Generic((field), bool: visit_bool, uint8_t: visit_u8, \
             int8_t: visit_s8, uint16_t: visit_u16, uint32_t: visit_u32, \
             uint64_t: visit_u64, int64_t: visit_s64)(w, &(field))
#define BYTES(array)            visit(w, (array), sizeof(array))

static void limit(struct walk *w, uint64_t value, uint64_t max,
                  const char *error)
{
    if (value > max && !w->error) {
        w->error = error;
    }
}

/* A moment that arithmetic can stand */
static void visit_time(struct walk *w, int64_t *time)
{
    visit_s64(w, time);
    limit(w, *time < 0 || *time > TIME_MAX, 0, "a time makes no sense");
}

static void visit_deadline(struct walk *w, int64_t *time)
{
    visit_s64(w, time);
    limit(w, *time != NEVER && (*time < 0 || *time > TIME_MAX), 0,
          "a deadline makes no sense");
}

/* Which frames may be in a place: what its reader relies upon. */
enum place { FROM_HOST, TO_HOST, MGMT_BOX, DATA_BOX };

static void check_frame(struct walk *w, const struct frame *f,
                        enum place place)
{
    struct header h;
    bool ok;

    switch (place) {
    case FROM_HOST:
        esp_header_read(&h, f->data);
        ok = h.offset >= HDR_LEN && h.offset <= OFFSET_MAX && h.len &&
             h.offset + h.len == f->len;
        break;
    case TO_HOST:
        ok = f->kind == KIND_HOSTED && f->len >= HDR_LEN;
        break;
    case MGMT_BOX:
        ok = f->kind == KIND_SCAN_DONE ||
             ((f->kind == KIND_MGMT || f->kind == KIND_TX_STATUS) &&
              f->len >= WLAN_HDR) ||
             (f->kind == KIND_DISCONNECT && f->len == 42 &&
              f->data[6] <= ESP_SSID_MAX);
        break;
    default:
        ok = f->kind == KIND_ETHERNET && f->len >= ESP_ETH_MIN &&
             f->len <= ESP_ETH_MAX;
        break;
    }
    limit(w, !ok, 0, "a queued frame makes no sense");
}

static void visit_frame(struct walk *w, struct esp_engine *e, uint16_t *slot,
                        enum place place)
{
    struct frame *f;

    if (w->in) {
        *slot = w->error ? NO_FRAME : esp_frame_alloc(e);
        if (*slot == NO_FRAME) {
            limit(w, 1, 0, "too many frames");
            return;
        }
    }
    f = &e->frame[*slot];
    visit_time(w, &f->due);
    V(f->len);
    V(f->kind);
    V(f->if_type);
    V(f->channel);
    V(f->rssi);
    V(f->arg);
    V(f->seq);
    limit(w, f->len, ESP_TRANSACTION_SIZE, "a frame is too long");
    if (w->error) {
        f->len = 0;
        return;
    }
    if (w->in) {
        memset(f->data, 0, sizeof(f->data));
    }
    visit(w, f->data, f->len);
    if (w->in && !w->error) {
        check_frame(w, f, place);
    }
}

static void visit_held(struct walk *w, struct esp_engine *e, uint16_t *slot,
                       enum place place)
{
    bool held = *slot != NO_FRAME;

    V(held);
    if (w->in) {
        *slot = NO_FRAME;
    }
    if (held && !w->error) {
        visit_frame(w, e, slot, place);
    }
}

static void visit_queue(struct walk *w, struct esp_engine *e,
                        struct queue *q, unsigned max, enum place place)
{
    uint16_t count = q->count;

    V(count);
    limit(w, count, max, "a queue is too long");
    if (w->in) {
        q->head = 0;
        q->count = 0;
    }
    for (unsigned i = 0; i < count && !w->error; i++) {
        uint16_t slot = q->slot[(q->head + i) % QUEUE_MAX];

        visit_frame(w, e, &slot, place);
        if (w->in && slot != NO_FRAME) {
            esp_queue_push(q, slot);
        }
    }
}

static void visit_request(struct walk *w, struct request *r)
{
    V(r->pending);
    V(r->code);
    V(r->if_type);
    V(r->seq);
}

static void visit_scan(struct walk *w, struct scan *scan)
{
    V(scan->active);
    V(scan->for_auth);
    V(scan->bssid_seen);
    V(scan->privacy_seen);
    BYTES(scan->bssid);
    V(scan->ssid_len);
    limit(w, scan->ssid_len, ESP_SSID_MAX, "an SSID is too long");
    BYTES(scan->ssid);
    V(scan->channel);
    V(scan->last_channel);
}

static void visit_key(struct walk *w, struct key *k)
{
    V(k->algorithm);
    V(k->index);
    limit(w, k->index, AP_GROUP_KEYS - 1, "no such key");
    V(k->len);
    limit(w, k->len, sizeof(k->material), "a key is too long");
    BYTES(k->mac);
    BYTES(k->material);
}

static void visit_station(struct walk *w, struct station *sta)
{
    V(sta->phase);
    limit(w, sta->phase, PHASE_COUNT - 1, "no such connection phase");
    V(sta->associating);
    V(sta->connected);
    V(sta->authorised);
    V(sta->control_port);
    V(sta->secured);
    BYTES(sta->bssid);
    V(sta->channel);
    V(sta->rssi);
    V(sta->ssid_len);
    limit(w, sta->ssid_len, ESP_SSID_MAX, "an SSID is too long");
    BYTES(sta->ssid);
    V(sta->algorithm);
    V(sta->auth_status);
    V(sta->aid);
    V(sta->auth_seq);
    V(sta->assoc_seq);
    V(sta->connect_seq);
    visit_time(w, &sta->last_beacon);
    V(sta->next_channel);
    V(sta->auth_len);
    BYTES(sta->auth_data);
    V(sta->ie_len);
    BYTES(sta->ie);
    for (unsigned i = 0; i < KEY_SLOTS; i++) {
        visit_key(w, &sta->key[i]);
    }
}

static void visit_soft_ap(struct walk *w, struct soft_ap *ap)
{
    V(ap->configured);
    V(ap->hidden);
    V(ap->privacy);
    V(ap->channel);
    V(ap->beacon_interval);
    limit(w, ap->configured && !ap->beacon_interval, 0,
          "a beacon interval is zero");
    V(ap->inactivity);
    V(ap->ssid_len);
    limit(w, ap->ssid_len, ESP_SSID_MAX, "an SSID is too long");
    BYTES(ap->ssid);
    for (unsigned i = 0; i < AP_IES; i++) {
        V(ap->ie_len[i]);
        limit(w, ap->ie_len[i], AP_IE_MAX, "elements are too long");
        if (!w->error) {
            visit(w, ap->ie[i], ap->ie_len[i]);
        }
    }
    for (unsigned i = 0; i < AP_PEERS; i++) {
        struct peer *peer = &ap->peer[i];

        V(peer->used);
        V(peer->authorised);
        V(peer->mfp);
        BYTES(peer->mac);
        V(peer->aid);
        visit_time(w, &peer->last_heard);
        visit_key(w, &peer->key);
    }
    V(ap->group_index);
    limit(w, ap->group_index, AP_GROUP_KEYS - 1, "no such key");
    for (unsigned i = 0; i < AP_GROUP_KEYS; i++) {
        visit_key(w, &ap->group[i]);
    }
    V(ap->tx_pending);
    V(ap->tx_marked);
    V(ap->tx_id);
}

/* The deepest queue there is, and a few frames more that do not wait */
#define DEPTH_MAX               (20 + 4)

static void visit_link(struct walk *w, struct esp_engine *e)
{
    struct volatile_state *s = &e->s;

    V(s->armed);
    V(s->active);
    V(s->unarmed_select);
    V(s->rearm_blocked);
    V(s->rearm_wait_cs);
    V(s->rx_done);
    V(s->pos);
    V(s->armed_len);
    limit(w, s->pos, ESP_TRANSACTION_SIZE, "too many bytes clocked");
    limit(w, s->armed_len, ESP_TRANSACTION_SIZE, "too many bytes armed");
    V(s->unarmed_bytes);
    visit_time(w, &s->cs_fall);
    visit_time(w, &s->filled);
    V(s->glitch_ns);
    limit(w, s->glitch_ns, TIME_MAX, "a pulse is too long");
    BYTES(s->miso);
    BYTES(s->mosi);
    BYTES(s->rx);
    for (unsigned i = 0; i < PRIO_COUNT; i++) {
        visit_queue(w, e, &s->rx_queue[i], DEPTH_MAX, FROM_HOST);
        visit_queue(w, e, &s->tx_queue[i], DEPTH_MAX, TO_HOST);
        visit_queue(w, e, &s->producer[i], DEPTH_MAX, TO_HOST);
    }
    visit_queue(w, e, &s->air_mgmt, MGMT_INBOX, MGMT_BOX);
    visit_queue(w, e, &s->air_data, QUEUE_MAX, DATA_BOX);
    visit_held(w, e, &s->rx_held, FROM_HOST);
    visit_held(w, e, &s->sender_held, TO_HOST);
    visit_held(w, e, &s->late_response, TO_HOST);
    visit_time(w, &s->air_busy);
}

static void visit_hci(struct walk *w, struct hci *hci)
{
    V(hci->advertising);
    V(hci->scanning);
    V(hci->scan_active);
    V(hci->filter);
    V(hci->seen);
    V(hci->adv_type);
    V(hci->adv_own_type);
    BYTES(hci->random);
    V(hci->adv_len);
    limit(w, hci->adv_len, sizeof(hci->adv), "advertising data too long");
    BYTES(hci->adv);
    V(hci->rsp_len);
    limit(w, hci->rsp_len, sizeof(hci->rsp), "scan response too long");
    BYTES(hci->rsp);
}

static void visit_firmware(struct walk *w, struct volatile_state *s)
{
    V(s->consumer_waits);
    V(s->loop_created);
    V(s->radio_requested);
    V(s->radio_active);
    V(s->radio_chosen);
    visit_hci(w, &s->hci);
    V(s->mode);
    V(s->sta_started);
    V(s->ap_started);
    V(s->start_pending);
    BYTES(s->device_mac);
    V(s->tx_power);
    BYTES(s->country);
    BYTES(s->ip);
    V(s->mcast_count);
    BYTES(s->mcast);
    BYTES(s->wow);
    V(s->time_us);
    V(s->forward);
    visit_scan(w, &s->scan);
    visit_station(w, &s->sta);
    visit_soft_ap(w, &s->ap);
    visit_request(w, &s->auth_request);
    V(s->raw_tp);
    V(s->raw_tp_run);
    V(s->raw_tp_seq);
    V(s->ota);
    V(s->ota_bytes);
}

static void visit_path(struct walk *w, struct path *path)
{
    V(path->has_signal);
    V(path->signal_dbm);
    V(path->loss_ppm);
}

static void visit_persistent(struct walk *w, struct persistent_state *p)
{
    uint16_t counters = CNT_COUNT;
    uint16_t faults = FAULT_COUNT;

    V(p->state);
    limit(w, p->state, ESP_STATE_COUNT - 1, "no such state");
    for (unsigned i = 0; i < ESP_LINE_COUNT; i++) {
        V(p->line[i]);
        V(p->wanted[i]);
    }
    V(faults);
    limit(w, faults != FAULT_COUNT, 0, "saved by another version");
    for (unsigned i = 0; i < FAULT_COUNT; i++) {
        struct fault *f = &p->fault[i];

        V(f->armed);
        V(f->remaining);
        V(f->ppm);
        V(f->match);
        V(f->arg);
        limit(w, f->arg, TIME_MAX, "a fault's argument is too large");
        V(f->fired);
    }
    for (unsigned i = 0; i < ESP_AIR_MAX_APS; i++) {
        visit_path(w, &p->ap_path[i]);
    }
    for (unsigned i = 0; i < ESP_AIR_MAX_RADIOS; i++) {
        visit_path(w, &p->radio_path[i]);
    }
    BYTES(p->scripted);
    V(p->random);
    V(counters);
    limit(w, counters != CNT_COUNT, 0, "saved by another version");
    for (unsigned i = 0; i < CNT_COUNT; i++) {
        V(p->counter[i]);
    }
    V(p->history_number);
    for (unsigned i = 0; i < HISTORY_SIZE; i++) {
        struct history *h = &p->history[i];

        V(h->number);
        V(h->time);
        V(h->what);
        V(h->code);
        V(h->if_type);
        V(h->status);
        V(h->len);
        V(h->seq);
        limit(w, h->what, HIST_WHAT_COUNT - 1, "no such history entry");
    }
    for (unsigned i = 0; i < ESP_DIRECTION_COUNT; i++) {
        V(p->last_len[i]);
        limit(w, p->last_len[i], ESP_TRANSACTION_SIZE, "a frame is too long");
        BYTES(p->last[i]);
    }
}

static void visit_engine(struct walk *w, struct esp_engine *e)
{
    struct volatile_state *s = &e->s;
    uint32_t magic = MAGIC;
    uint32_t version = VERSION;

    V(magic);
    V(version);
    limit(w, magic != MAGIC || version != VERSION, 0,
          "saved by another version, or not an engine at all");
    if (w->error) {
        return;
    }
    for (unsigned i = 0; i < TIMER_COUNT; i++) {
        visit_deadline(w, &s->due[i]);
    }
    visit_time(w, &s->boot_time);
    V(s->generation);
    limit(w, s->generation, ESP_GENERATION_COUNT - 1, "no such generation");
    V(s->reset_reason);
    visit_persistent(w, &e->p);
    visit_link(w, e);
    visit_firmware(w, s);
}

size_t esp_engine_save(const struct esp_engine *e, uint8_t *buf, size_t size)
{
    struct walk w = { .out = buf, .size = size };

    /* Saving only reads. */
    visit_engine(&w, (struct esp_engine *)e);
    return w.pos;
}

bool esp_engine_load(struct esp_engine *e, const uint8_t *buf, size_t size,
                     char *err, size_t errlen)
{
    struct walk w = { .in = buf, .size = size };

    esp_enter(e);
    esp_wipe(e);
    visit_engine(&w, e);
    if (!w.error && w.pos != size) {
        w.error = "there is more data than expected";
    }
    if (w.error) {
        snprintf(err, errlen, "saved state refused: %s", w.error);
        memset(&e->p, 0, sizeof(e->p));
        esp_wipe(e);
        esp_first_state(e);
    }
    esp_leave(e);
    return !w.error;
}

static void visit_ap(struct walk *w, struct esp_ap *ap)
{
    uint32_t magic = AP_MAGIC;
    uint32_t version = VERSION;

    V(magic);
    V(version);
    limit(w, magic != AP_MAGIC || version != VERSION, 0,
          "not a saved access point");
    V(ap->enabled);
    V(ap->cfg.signal_dbm);
    V(ap->cfg.channel);
    limit(w, !ap->cfg.channel, 0, "no such channel");
    V(ap->next_channel);
    visit_time(w, &ap->switch_at);
    for (unsigned i = 0; i < sizeof(ap->counter) / sizeof(ap->counter[0]);
         i++) {
        V(ap->counter[i]);
    }
}

size_t esp_ap_save(const struct esp_ap *ap, uint8_t *buf, size_t size)
{
    struct walk w = { .out = buf, .size = size };

    visit_ap(&w, (struct esp_ap *)ap);
    return w.pos;
}

bool esp_ap_load(struct esp_ap *ap, const uint8_t *buf, size_t size)
{
    struct walk w = { .in = buf, .size = size };
    struct esp_ap loaded = *ap;

    visit_ap(&w, &loaded);
    if (w.error || w.pos != size) {
        return false;
    }
    *ap = loaded;
    return true;
}
