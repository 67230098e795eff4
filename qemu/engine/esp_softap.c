/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Access-point role of one co-processor (protocol.md 7.22 to 7.26 and
 * protocol-g2.md 6). Authentication and association are the host's; the
 * chip beacons, answers probe requests and bridges data of its peers.
 */
#include "esp_private.h"

enum { IE_BEACON, IE_PROBE, IE_ASSOC, IE_RSN, IE_HEAD, IE_TAIL };

#define MARK                    0xa5
#define STA_FLAG_AUTHORISED     (1u << 1)
#define STA_FLAG_MFP            (1u << 4)
#define KEY_TKIP                2
#define KEY_IGTK                7
#define OP_ADD                  0
#define OP_CHANGE               1

bool esp_softap_running(const struct esp_engine *e)
{
    return e->s.ap_started && e->s.ap.configured;
}

struct peer *esp_softap_peer(struct esp_engine *e, const uint8_t *mac)
{
    for (unsigned i = 0; i < AP_PEERS; i++) {
        struct peer *peer = &e->s.ap.peer[i];

        if (peer->used && mac_equal(peer->mac, mac)) {
            return peer;
        }
    }
    return NULL;
}

void esp_softap_stop(struct esp_engine *e)
{
    struct queue *q = &e->s.air_mgmt;
    struct soft_ap *ap = &e->s.ap;

    ap->configured = false;
    ap->group_index = 0;
    memset(ap->peer, 0, sizeof(ap->peer));
    memset(ap->group, 0, sizeof(ap->group));
    esp_cancel(e, TIMER_INACTIVE);
    /* Frames on their way are reported as not acknowledged, now. */
    for (unsigned i = 0; i < q->count; i++) {
        struct frame *f = &e->frame[q->slot[(q->head + i) % QUEUE_MAX]];

        if (f->kind == KIND_TX_STATUS && f->arg >= TX_UNKNOWN) {
            uint16_t slot = esp_queue_remove(q, i);

            f->due = esp_now(e);
            f->arg = TX_FAILED;
            esp_queue_insert(e, q, slot);
            esp_schedule(e, TIMER_MGMT, f->due);
        } else if (f->kind == KIND_TX_STATUS) {
            f->arg = TX_FAILED;
        }
    }
}

/* Beacons */

static size_t append(uint8_t *frame, size_t n, const uint8_t *data,
                     size_t len)
{
    /* Longer ones cannot be reported by a scan: 8.1 */
    if (n + len > WLAN_HDR + 1560) {
        return n;
    }
    memcpy(frame + n, data, len);
    return n + len;
}

/* All elements of the head but the SSID, which depends on the frame */
static size_t append_head(uint8_t *frame, size_t n, const uint8_t *ie,
                          size_t len)
{
    size_t i = 0;

    while (i + 2 <= len && i + 2 + ie[i + 1] <= len) {
        if (ie[i] != 0) {
            n = append(frame, n, ie + i, 2 + (size_t)ie[i + 1]);
        }
        i += 2 + (size_t)ie[i + 1];
    }
    return n;
}

size_t esp_softap_beacon(const struct esp_engine *e, uint8_t *frame,
                         bool probe, const uint8_t *to, int64_t when)
{
    const struct soft_ap *ap = &e->s.ap;
    const uint8_t *head = ap->ie[IE_HEAD];
    bool has_head = ap->ie_len[IE_HEAD] >= 2;
    unsigned extra = probe ? IE_PROBE : IE_BEACON;
    size_t n = WLAN_HDR + 12;

    memset(frame, 0, n);
    frame[0] = (uint8_t)((probe ? WLAN_PROBE_RESP : WLAN_BEACON) << 4);
    memcpy(frame + 4, to, 6);
    memcpy(frame + 10, e->s.device_mac, 6);
    memcpy(frame + 16, e->s.device_mac, 6);
    put64(frame + WLAN_HDR, (uint64_t)((when - e->s.boot_time) / US));
    put16(frame + WLAN_HDR + 8, ap->beacon_interval);
    put16(frame + WLAN_HDR + 10,
          (uint16_t)((has_head ? get16(head) : WLAN_CAP_ESS | 0x0420) |
                     (ap->privacy ? WLAN_CAP_PRIVACY : 0)));
    frame[n++] = 0;
    if (probe || !ap->hidden) {
        frame[n++] = ap->ssid_len;
        n = append(frame, n, ap->ssid, ap->ssid_len);
    } else {
        frame[n++] = 0;
    }
    if (has_head) {
        n = append_head(frame, n, head + 2, ap->ie_len[IE_HEAD] - 2u);
    } else {
        n = append(frame, n, (const uint8_t *)
                   "\x01\x08\x82\x84\x8b\x96\x0c\x12\x18\x24\x03\x01", 12);
        n = append(frame, n, &ap->channel, 1);
    }
    if (!probe) {
        n = append(frame, n, (const uint8_t *)"\x05\x04\x00\x01\x00\x00", 6);
    }
    n = append(frame, n, ap->ie[IE_TAIL], ap->ie_len[IE_TAIL]);
    return append(frame, n, ap->ie[extra], ap->ie_len[extra]);
}

/* Keys: no cryptography, equal keys on both sides let a frame pass. */

static bool same_key(const struct key *a, const struct key *b)
{
    const uint8_t *one = a->material;
    const uint8_t *other = b->material;

    if (!a->algorithm || a->algorithm != b->algorithm || a->len != b->len) {
        return false;
    }
    if (a->algorithm == KEY_TKIP) {
        /* One end's Michael key to send is the other's to receive. */
        return a->len == 32 && !memcmp(one, other, 16) &&
               !memcmp(one + 16, other + 24, 8) &&
               !memcmp(one + 24, other + 16, 8);
    }
    return !memcmp(one, other, a->len);
}

static const struct key *station_key(const struct esp_engine *sta,
                                     unsigned index)
{
    static const struct key none;

    for (unsigned i = 0; i < KEY_SLOTS; i++) {
        const struct key *k = &sta->s.sta.key[i];

        if (k->algorithm && k->algorithm != KEY_IGTK && k->index == index) {
            return k;
        }
    }
    return &none;
}

bool esp_station_protected(const struct esp_engine *e)
{
    for (unsigned i = 0; i < KEY_SLOTS; i++) {
        if (e->s.sta.key[i].algorithm == KEY_IGTK) {
            return true;
        }
    }
    return false;
}

static bool same_igtk(const struct soft_ap *ap, const struct station *sta)
{
    for (unsigned i = 0; i < KEY_SLOTS; i++) {
        const struct key *k = &sta->key[i];

        if (k->algorithm == KEY_IGTK && same_key(&ap->group[k->index], k)) {
            return true;
        }
    }
    return false;
}

bool esp_softap_protects(struct esp_engine *ap, struct esp_engine *sta,
                         bool to_group)
{
    const struct peer *peer = esp_softap_peer(ap, sta->s.device_mac);

    if (!peer) {
        return false;
    }
    return to_group ? same_igtk(&ap->s.ap, &sta->s.sta) :
           same_key(&peer->key, station_key(sta, 0));
}

bool esp_softap_keys_match(struct esp_engine *ap, struct esp_engine *sta,
                           const struct peer *peer, bool to_group,
                           bool eapol)
{
    const struct soft_ap *soft = &ap->s.ap;
    const struct key *ours;
    const struct key *theirs;

    if (!soft->privacy) {
        return true;
    }
    if (to_group) {
        ours = &soft->group[soft->group_index];
        theirs = station_key(sta, soft->group_index);
    } else {
        ours = &peer->key;
        theirs = station_key(sta, 0);
    }
    /* The handshake itself goes before the keys are there. */
    if (eapol && (!ours->algorithm || !theirs->algorithm)) {
        return true;
    }
    if (same_key(ours, theirs)) {
        return true;
    }
    esp_count(ap, CNT_RADIO_DROP_KEY);
    esp_count(sta, CNT_RADIO_DROP_KEY);
    return false;
}

bool esp_softap_add_key(struct esp_engine *e, const struct command *c)
{
    struct soft_ap *ap = &e->s.ap;
    uint8_t algorithm = c->p[8];
    uint8_t index = c->p[12];
    struct key *k;

    if (index == 0) {
        struct peer *peer = esp_softap_peer(e, c->p + 52);

        if (!peer) {
            return false;
        }
        k = &peer->key;
    } else {
        k = &ap->group[index];
        if (algorithm != KEY_IGTK) {
            ap->group_index = index;
        }
    }
    k->algorithm = algorithm;
    k->index = index;
    k->len = c->p[48];
    memcpy(k->mac, c->p + 52, 6);
    memcpy(k->material, c->p + 16, 32);
    return true;
}

/* Commands */

void esp_softap_set_ie(struct esp_engine *e, const struct command *c)
{
    struct soft_ap *ap = &e->s.ap;
    uint8_t type = c->p[8];
    size_t n = get16(c->p + 10);

    if (c->req.if_type != IF_AP || type >= AP_IES || type == IE_RSN ||
        n > AP_IE_MAX || (esp_is_g2(e) && 12 + n > c->len)) {
        esp_answer(e, c, STATUS_INVALID);
        return;
    }
    ap->ie_len[type] = (uint16_t)n;
    memcpy(ap->ie[type], c->p + 12, n);
    esp_answer(e, c, STATUS_OK);
}

void esp_softap_config(struct esp_engine *e, const struct command *c)
{
    struct soft_ap *ap = &e->s.ap;
    uint8_t ssid_len = c->p[40];
    uint8_t channel = c->p[41] ? c->p[41] : 1;

    if (c->req.if_type != IF_AP) {
        esp_answer(e, c, STATUS_INVALID);
        return;
    }
    if (ssid_len > ESP_SSID_MAX && !esp_is_g2(e)) {
        ssid_len = ESP_SSID_MAX;
    }
    if (ssid_len == 0 || ssid_len > ESP_SSID_MAX ||
        !esp_chip_has_channel(e->cfg.chip, channel)) {
        if (esp_is_g2(e)) {
            esp_answer(e, c, STATUS_FAIL);
        } else {
            /* The start aborts on any error: 7.24 */
            esp_restart(e, 12);
        }
        return;
    }
    esp_wifi_stop(e);
    esp_wifi_start(e, 3);
    ap->configured = true;
    ap->ssid_len = ssid_len;
    memcpy(ap->ssid, c->p + 8, ssid_len);
    ap->channel = channel;
    ap->hidden = c->p[43];
    ap->beacon_interval = get16(c->p + 48) ? get16(c->p + 48) : 100;
    ap->inactivity = get16(c->p + 50);
    ap->privacy = c->p[52];
    esp_answer(e, c, STATUS_OK);
}

#define INACTIVE_DEFAULT        300     /* s, of the library */
#define INACTIVE_CHECK          (1 * SEC)

static void send_away(struct esp_engine *e, struct peer *peer)
{
    uint8_t frame[WLAN_HDR + 2] = { WLAN_DEAUTH << 4 };
    bool acked;

    memcpy(frame + 4, peer->mac, 6);
    memcpy(frame + 10, e->s.device_mac, 6);
    memcpy(frame + 16, e->s.device_mac, 6);
    put16(frame + WLAN_HDR, REASON_INACTIVE);
    esp_count(e, CNT_STATIONS_INACTIVE);
    acked = esp_air_mgmt(e, e->s.ap.channel, frame, sizeof(frame));
    if (esp_quirk(e, 5)) {
        esp_radio_tx_done(e, frame, sizeof(frame),
                          acked ? TX_ACKED : TX_FAILED, 0, false);
    }
    memset(peer, 0, sizeof(*peer));
}

/*
 * Stations keep themselves alive with frames that their hosts never see;
 * one that is not heard any more is sent away.
 */
void esp_softap_inactive(struct esp_engine *e)
{
    struct soft_ap *ap = &e->s.ap;
    int64_t now = esp_now(e);
    int64_t limit = (ap->inactivity ? ap->inactivity : INACTIVE_DEFAULT) *
                    SEC;

    for (unsigned i = 0; i < AP_PEERS; i++) {
        struct peer *peer = &ap->peer[i];

        if (!peer->used) {
            continue;
        }
        if (esp_air_hears_station(e, peer->mac)) {
            peer->last_heard = now;
        } else if (now - peer->last_heard >= limit) {
            send_away(e, peer);
        }
    }
    esp_schedule(e, TIMER_INACTIVE, now + INACTIVE_CHECK);
}

bool esp_softap_disconnect(struct esp_engine *e, const uint8_t *mac)
{
    struct peer *peer = esp_softap_peer(e, mac);

    if (!e->s.ap_started) {
        return false;
    }
    if (peer) {
        memset(peer, 0, sizeof(*peer));
        return true;
    }
    return mac_is_zero(mac);
}

static bool add_peer(struct esp_engine *e, const uint8_t *mac, uint16_t aid,
                     uint32_t flags)
{
    struct peer *peer = esp_softap_peer(e, mac);

    for (unsigned i = 0; !peer && i < AP_PEERS; i++) {
        if (!e->s.ap.peer[i].used) {
            peer = &e->s.ap.peer[i];
        }
    }
    if (!peer || !esp_softap_running(e) || mac_is_group(mac)) {
        return false;
    }
    memset(peer, 0, sizeof(*peer));
    peer->used = true;
    memcpy(peer->mac, mac, 6);
    peer->aid = aid;
    peer->mfp = flags & STA_FLAG_MFP;
    peer->last_heard = esp_now(e);
    if (e->s.due[TIMER_INACTIVE] == NEVER) {
        esp_schedule(e, TIMER_INACTIVE, peer->last_heard + INACTIVE_CHECK);
    }
    return true;
}

static bool change_peer(struct esp_engine *e, const uint8_t *mac,
                        uint32_t mask, uint32_t set)
{
    struct peer *peer = esp_softap_peer(e, mac);

    if (!peer) {
        return false;
    }
    if (set & STA_FLAG_MFP) {
        peer->mfp = true;
    }
    if (set & STA_FLAG_AUTHORISED) {
        peer->authorised = true;
    } else if (mask & STA_FLAG_AUTHORISED) {
        /* The library knows no way back. */
        return false;
    }
    return true;
}

void esp_softap_station(struct esp_engine *e, const struct command *c)
{
    uint16_t op = get16(c->p + 14);
    bool ok = false;

    if (c->req.if_type != IF_AP || op > OP_CHANGE) {
        esp_answer(e, c, STATUS_INVALID);
        return;
    }
    if (op == OP_ADD) {
        ok = add_peer(e, c->p + 8, get16(c->p + 32), get32(c->p + 20));
    } else {
        ok = change_peer(e, c->p + 8, get32(c->p + 16), get32(c->p + 20));
    }
    esp_answer(e, c, ok || esp_quirk(e, 9) ? STATUS_OK : STATUS_FAIL);
}

/* MGMT_TX */

#define TX_HEAD_G1              12      /* of result data before the frame */
#define TX_HEAD_G2              20

/* The answer has the size of its structure, no surplus: 6.2 */
static void tx_respond(struct esp_engine *e, uint8_t if_type, uint8_t status,
                       uint16_t seq, bool marked, const uint8_t *frame,
                       size_t len)
{
    bool g2 = esp_is_g2(e);
    size_t head = g2 ? TX_HEAD_G2 : TX_HEAD_G1;
    uint16_t slot;
    uint8_t *p = esp_frame_new(e, &slot, if_type, PKT_RESPONSE, HDR_LEN,
                               CMD_HDR + head + len);

    if (!p) {
        return;
    }
    p[0] = CMD_MGMT_TX;
    p[1] = status;
    put16(p + 2, (uint16_t)(len ? head + len : 0));
    if (g2) {
        put16(p + 4, seq);
        p[6] = marked ? MARK : 0;
        put32(p + 24, (uint32_t)len);
    } else {
        put32(p + 16, (uint32_t)len);
    }
    if (len) {
        memcpy(p + CMD_HDR + head, frame, len);
    }
    esp_count(e, status == STATUS_OK ?
              CNT_RESPONSES_OK : CNT_RESPONSES_FAILED);
    esp_history_add(e, HIST_RESPONSE, CMD_MGMT_TX, if_type, status,
                    CMD_HDR + head + len, g2 ? seq : 0);
    esp_trace(e, ESP_TRACE_RESPONSE, CMD_MGMT_TX, status, len);
    esp_fault_response(e, slot);
}

/* Time for the last event to reach the host [E] */
#define RESTART_DELAY           (50 * MS)

void esp_softap_tx_done(struct esp_engine *e, const struct frame *f)
{
    struct soft_ap *ap = &e->s.ap;

    if (esp_is_g2(e) && f->if_type == IF_AP) {
        ap->tx_pending = false;
        if (ap->tx_marked) {
            esp_event_tx_status(e, f, ap->tx_id);
            if (f->arg == TX_UNKNOWN) {
                esp_schedule(e, TIMER_RESTART, esp_now(e) + RESTART_DELAY);
            }
            return;
        }
    }
    tx_respond(e, IF_AP, f->arg == TX_ACKED ? STATUS_OK : STATUS_FAIL,
               f->seq, false, f->data, f->len);
}

static void mgmt_tx_g1(struct esp_engine *e, const struct command *c)
{
    const uint8_t *frame = c->p + 20;
    size_t len = get32(c->p + 16);
    bool acked;

    if (len > PAYLOAD_MAX - 20) {
        len = 0;
    }
    if (c->req.if_type != IF_AP || !esp_softap_running(e) ||
        len < WLAN_HDR) {
        /* The refusal says station, whatever was asked: 7.25 */
        tx_respond(e, IF_STA, STATUS_INVALID, 0, false, NULL, 0);
        return;
    }
    esp_count(e, CNT_RADIO_TX_MGMT);
    acked = esp_air_mgmt(e, e->s.ap.channel, frame, len);
    if (mac_is_group(frame + 4)) {
        tx_respond(e, IF_AP, STATUS_OK, 0, false, NULL, 0);
        if (!esp_quirk(e, 5) || !esp_chip_has_he(e->cfg.chip)) {
            return;
        }
    }
    if (esp_fault(e, FAULT_TX_STATUS_LOST, 0, NULL)) {
        return;
    }
    if (!esp_radio_tx_done(e, frame, len, acked ? TX_ACKED : TX_FAILED, 0,
                           true)) {
        tx_respond(e, IF_AP, STATUS_FAIL, 0, false, NULL, 0);
    }
}

/* As far as the firmware looks into an unmarked one: 6.3 */
#define FRAME_MIN               10

static void mgmt_tx_g2(struct esp_engine *e, const struct command *c)
{
    bool marked = c->p[6] == MARK;
    size_t head = marked ? 28 : 20;
    const uint8_t *frame = c->p + head;
    size_t len = get32(c->p + (marked ? 24 : 16));
    struct soft_ap *ap = &e->s.ap;
    enum tx_result result;
    bool at_once;
    bool acked;

    if (c->req.if_type != IF_AP || !esp_softap_running(e) ||
        len < (marked ? WLAN_HDR : FRAME_MIN) || len > c->len ||
        head + len > c->len) {
        tx_respond(e, IF_AP, STATUS_INVALID, c->req.seq, marked, NULL, 0);
        return;
    }
    if (ap->tx_pending) {
        tx_respond(e, IF_AP, STATUS_BUSY, c->req.seq, marked, NULL, 0);
        return;
    }
    at_once = mac_is_group(frame + 4) || (marked && c->p[15]);
    esp_count(e, CNT_RADIO_TX_MGMT);
    acked = esp_air_mgmt(e, ap->channel, frame, len) && !at_once;
    ap->tx_marked = marked;
    ap->tx_id = (uint64_t)get32(c->p + 20) << 32 | get32(c->p + 16);
    if (!ap->tx_id) {
        ap->tx_id = c->req.seq;
    }
    if (at_once && !marked) {
        tx_respond(e, IF_AP, STATUS_OK, c->req.seq, false, NULL, 0);
        return;
    }
    result = acked ? TX_ACKED : TX_FAILED;
    if (!at_once && esp_fault(e, FAULT_TX_STATUS_LOST, 0, NULL)) {
        result = marked ? TX_UNKNOWN : TX_NEVER;
    }
    if (!esp_radio_tx_done(e, frame, len, result, c->req.seq, true)) {
        tx_respond(e, IF_AP, STATUS_BUSY, c->req.seq, marked, NULL, 0);
        return;
    }
    ap->tx_pending = true;
    if (marked) {
        tx_respond(e, IF_AP, STATUS_OK, c->req.seq, true, NULL, 0);
    }
}

/* @c is too short to look into: its answer has the structure's size. */
void esp_softap_mgmt_tx_short(struct esp_engine *e, const struct command *c)
{
    tx_respond(e, esp_is_g2(e) ? IF_AP : IF_STA, STATUS_INVALID, c->req.seq,
               c->p[6] == MARK, NULL, 0);
}

void esp_softap_mgmt_tx(struct esp_engine *e, const struct command *c)
{
    if (esp_is_g2(e)) {
        mgmt_tx_g2(e, c);
    } else {
        mgmt_tx_g1(e, c);
    }
}
