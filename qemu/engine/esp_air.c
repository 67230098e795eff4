/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The medium, and the access points built into it
 */
#include <stdio.h>
#include <stdlib.h>

#include "esp_private.h"

enum ap_counter {
    AP_BEACONS, AP_PROBES, AP_AUTHS, AP_AUTHS_REFUSED, AP_ASSOCS,
    AP_ASSOCS_REFUSED, AP_DEAUTHS_RX, AP_DEAUTHS_TX, AP_FROM_STATION,
    AP_FROM_STATION_BYTES, AP_TO_STATION, AP_TO_STATION_BYTES,
    AP_RELAYED, AP_DROP_FULL, AP_DROP_NO_STATION, AP_DROP_LENGTH,
    AP_SWITCHES,
    AP_COUNTERS
};

_Static_assert(AP_COUNTERS == sizeof(((struct esp_ap *)0)->counter) /
               sizeof(((struct esp_ap *)0)->counter[0]),
               "one slot a counter");

static const char *const ap_counter_names[AP_COUNTERS] = {
    "beacons", "probe-responses", "auths", "auths-refused", "assocs",
    "assocs-refused", "deauths-received", "deauths-sent", "from-station",
    "from-station-bytes", "to-station", "to-station-bytes", "relayed",
    "drop-queue-full", "drop-no-station", "drop-length",
    "channel-switches",
};

/* Air */

struct esp_air *esp_air_new(void)
{
    return calloc(1, sizeof(struct esp_air));
}

void esp_air_free(struct esp_air *air)
{
    free(air);
}

bool esp_air_add_radio(struct esp_air *air, struct esp_engine *e)
{
    for (unsigned i = 0; i < ESP_AIR_MAX_RADIOS; i++) {
        if (!air->radio[i]) {
            air->radio[i] = e;
            return true;
        }
    }
    return false;
}

bool esp_air_mac_taken(const struct esp_engine *e)
{
    for (unsigned i = 0; i < ESP_AIR_MAX_RADIOS; i++) {
        const struct esp_engine *other = e->air->radio[i];

        if (other && other != e && mac_equal(other->cfg.mac, e->cfg.mac)) {
            return true;
        }
    }
    return false;
}

void esp_air_remove_radio(struct esp_air *air, struct esp_engine *e)
{
    for (unsigned i = 0; i < ESP_AIR_MAX_RADIOS; i++) {
        if (air->radio[i] == e) {
            air->radio[i] = NULL;
        }
    }
}

/* Paths */

static unsigned ap_place(const struct esp_ap *ap)
{
    unsigned i = 0;

    while (ap->air->ap[i] != ap) {
        i++;
    }
    return i;
}

static unsigned radio_place(const struct esp_engine *e)
{
    unsigned i = 0;

    while (e->air->radio[i] != e) {
        i++;
    }
    return i;
}

static bool set_path(struct path *path, const struct esp_path *how,
                     char *err, size_t errlen)
{
    if (!how) {
        memset(path, 0, sizeof(*path));
        return true;
    }
    if (how->signal_dbm != ESP_PATH_SIGNAL_AUTO &&
        (how->signal_dbm < -100 || how->signal_dbm > 0)) {
        snprintf(err, errlen, "the signal must be -100 to 0 dBm");
        return false;
    }
    if (how->loss_ppm > 1000000) {
        snprintf(err, errlen,
                 "the loss must be 0 to 1000000 parts per million");
        return false;
    }
    path->has_signal = how->signal_dbm != ESP_PATH_SIGNAL_AUTO;
    path->signal_dbm = path->has_signal ? (int8_t)how->signal_dbm : 0;
    path->loss_ppm = how->loss_ppm;
    return true;
}

bool esp_air_set_path_to_ap(struct esp_engine *e, struct esp_ap *ap,
                            const struct esp_path *how,
                            char *err, size_t errlen)
{
    return set_path(&e->p.ap_path[ap_place(ap)], how, err, errlen);
}

bool esp_air_set_path(struct esp_engine *e, struct esp_engine *other,
                      const struct esp_path *how, char *err, size_t errlen)
{
    return set_path(&e->p.radio_path[radio_place(other)], how, err,
                    errlen) &&
           set_path(&other->p.radio_path[radio_place(e)], how, err, errlen);
}

static void get_path(const struct path *path, struct esp_path *how)
{
    how->signal_dbm = path->has_signal ? path->signal_dbm :
                      ESP_PATH_SIGNAL_AUTO;
    how->loss_ppm = path->loss_ppm;
}

void esp_air_get_path_to_ap(const struct esp_engine *e,
                            const struct esp_ap *ap, struct esp_path *how)
{
    get_path(&e->p.ap_path[ap_place(ap)], how);
}

void esp_air_get_path(const struct esp_engine *e,
                      const struct esp_engine *other, struct esp_path *how)
{
    get_path(&e->p.radio_path[radio_place(other)], how);
}

static bool silent(const struct esp_engine *e)
{
    return esp_fault_in_force(e, FAULT_RADIO_GONE);
}

/* Does a frame get lost on the way? Counts it. */
static bool lost(struct esp_engine *e, const struct path *path)
{
    if (silent(e) || (path->loss_ppm &&
                      esp_random(e) % 1000000 < path->loss_ppm)) {
        esp_count(e, CNT_RADIO_DROP_PATH);
        return true;
    }
    return false;
}

static bool lost_to_ap(struct esp_engine *e, const struct esp_ap *ap)
{
    return lost(e, &e->p.ap_path[ap_place(ap)]);
}

static bool lost_to_radio(struct esp_engine *e, struct esp_engine *other)
{
    return silent(other) || lost(e, &e->p.radio_path[radio_place(other)]);
}

static int8_t signal_on(const struct path *path, int8_t usual)
{
    return path->has_signal ? path->signal_dbm : usual;
}

static int8_t ap_signal(const struct esp_engine *e, const struct esp_ap *ap)
{
    return signal_on(&e->p.ap_path[ap_place(ap)], ap->cfg.signal_dbm);
}

/* How one radio hears another [E] */
#define RADIO_SIGNAL            (-40)

static int8_t radio_signal(const struct esp_engine *e,
                           const struct esp_engine *other)
{
    return signal_on(&e->p.radio_path[radio_place(other)], RADIO_SIGNAL);
}

/* Access points */

void esp_ap_config_init(struct esp_ap_config *cfg)
{
    *cfg = (struct esp_ap_config) {
        .ssid = "esp-hosted",
        .ssid_len = 10,
        .channel = 6,
        .signal_dbm = -42,
        .beacon_interval = 100,
        .queue = QUEUE_MAX,
    };
}

static bool five_ghz(uint8_t channel)
{
    return channel > 14;
}

static bool valid_channel(unsigned channel)
{
    return (channel >= 1 && channel <= 14) ||
           (channel >= 36 && channel <= 177);
}

static const char *ap_problem(const struct esp_air *air,
                              const struct esp_ap_config *cfg)
{
    if (cfg->ssid_len < 1 || cfg->ssid_len > ESP_SSID_MAX) {
        return "the SSID must have 1 to 32 bytes";
    }
    if (!valid_channel(cfg->channel)) {
        return "the channel must be 1 to 14 or 36 to 177";
    }
    if (cfg->signal_dbm < -100 || cfg->signal_dbm > 0) {
        return "the signal must be -100 to 0 dBm";
    }
    if (cfg->beacon_interval < 10 || cfg->beacon_interval > 10000) {
        return "the beacon interval must be 10 to 10000 time units";
    }
    if (cfg->queue < 1 || cfg->queue > QUEUE_MAX) {
        return "the queue must hold 1 to 256 frames";
    }
    if (mac_is_group(cfg->bssid)) {
        return "the BSSID must be unicast";
    }
    for (unsigned i = 0; i < ESP_AIR_MAX_APS; i++) {
        if (air->ap[i] && mac_equal(air->ap[i]->cfg.bssid, cfg->bssid)) {
            return "another access point has this BSSID";
        }
    }
    return NULL;
}

/* FNV-1a over SSID and channel, locally administered. */
static void derive_bssid(struct esp_ap_config *cfg)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);

    for (unsigned i = 0; i < cfg->ssid_len && i < ESP_SSID_MAX; i++) {
        hash = (hash ^ cfg->ssid[i]) * UINT64_C(0x100000001b3);
    }
    hash = (hash ^ cfg->channel) * UINT64_C(0x100000001b3);
    cfg->bssid[0] = 0x02;
    for (unsigned i = 1; i < 6; i++) {
        cfg->bssid[i] = (uint8_t)(hash >> (8 * i));
    }
}

struct esp_ap *esp_ap_new(struct esp_air *air,
                          const struct esp_ap_config *cfg,
                          const struct esp_ap_ops *ops, void *opaque,
                          char *err, size_t errlen)
{
    struct esp_ap_config full = *cfg;
    const char *problem;
    struct esp_ap *ap;

    if (mac_is_zero(full.bssid)) {
        derive_bssid(&full);
    }
    problem = ap_problem(air, &full);
    if (problem) {
        snprintf(err, errlen, "%s", problem);
        return NULL;
    }
    for (unsigned i = 0; i < ESP_AIR_MAX_APS; i++) {
        if (air->ap[i]) {
            continue;
        }
        ap = calloc(1, sizeof(*ap));
        if (!ap) {
            break;
        }
        ap->cfg = full;
        ap->ops = ops;
        ap->opaque = opaque;
        ap->air = air;
        ap->enabled = true;
        air->ap[i] = ap;
        /* Who was in this place before is forgotten. */
        for (unsigned j = 0; j < ESP_AIR_MAX_RADIOS; j++) {
            if (air->radio[j]) {
                memset(&air->radio[j]->p.ap_path[i], 0, sizeof(struct path));
            }
        }
        return ap;
    }
    snprintf(err, errlen, "no room for more than %d access points",
             ESP_AIR_MAX_APS);
    return NULL;
}

void esp_ap_free(struct esp_ap *ap)
{
    if (!ap) {
        return;
    }
    for (unsigned i = 0; i < ESP_AIR_MAX_APS; i++) {
        if (ap->air->ap[i] == ap) {
            ap->air->ap[i] = NULL;
        }
    }
    free(ap);
}

bool esp_ap_has_stations(const struct esp_ap *ap)
{
    for (unsigned i = 0; i < ESP_AIR_MAX_RADIOS; i++) {
        const struct esp_engine *e = ap->air->radio[i];

        if (e && esp_radio_wants_data(e, ap->cfg.bssid)) {
            return true;
        }
    }
    return false;
}

const struct esp_ap_config *esp_ap_get_config(const struct esp_ap *ap)
{
    return &ap->cfg;
}

void esp_ap_set_enabled(struct esp_ap *ap, bool enabled)
{
    ap->enabled = enabled;
}

bool esp_ap_enabled(const struct esp_ap *ap)
{
    return ap->enabled;
}

/* Is an announced switch of channel over? */
static void settle(struct esp_ap *ap, int64_t now)
{
    if (ap->next_channel && now >= ap->switch_at) {
        ap->cfg.channel = ap->next_channel;
        ap->next_channel = 0;
    }
}

uint8_t esp_ap_channel(struct esp_ap *ap, int64_t now)
{
    settle(ap, now);
    return ap->cfg.channel;
}

static int64_t beacon_time(const struct esp_ap *ap)
{
    return (int64_t)ap->cfg.beacon_interval * 1024 * US;
}

bool esp_ap_switch_channel(struct esp_ap *ap, unsigned channel,
                           unsigned beacons, int64_t now,
                           char *err, size_t errlen)
{
    if (!valid_channel(channel) || beacons > 255) {
        snprintf(err, errlen, "the channel must be 1 to 14 or 36 to 177, "
                 "announced by 0 to 255 beacons");
        return false;
    }
    ap->counter[AP_SWITCHES]++;
    ap->next_channel = (uint8_t)channel;
    ap->switch_at = now + (int64_t)beacons * beacon_time(ap);
    settle(ap, now);
    for (unsigned i = 0; beacons && i < ESP_AIR_MAX_RADIOS; i++) {
        struct esp_engine *e = ap->air->radio[i];

        if (e && esp_radio_wants_data(e, ap->cfg.bssid) &&
            !lost_to_ap(e, ap)) {
            esp_enter(e);
            e->s.sta.next_channel = (uint8_t)channel;
            esp_schedule(e, TIMER_CHANNEL_SWITCH, ap->switch_at);
            esp_leave(e);
        }
    }
    return true;
}

void esp_ap_set_signal(struct esp_ap *ap, int dbm)
{
    ap->cfg.signal_dbm = (int8_t)(dbm < -100 ? -100 : dbm > 0 ? 0 : dbm);
}

unsigned esp_ap_counter_count(void)
{
    return AP_COUNTERS;
}

const char *esp_ap_counter_name(unsigned index)
{
    return index < AP_COUNTERS ? ap_counter_names[index] : NULL;
}

uint64_t esp_ap_counter(const struct esp_ap *ap, unsigned index)
{
    return index < AP_COUNTERS ? ap->counter[index] : 0;
}

/* 802.11 frames of an access point */

static size_t ap_header(const struct esp_ap *ap, uint8_t *frame,
                        unsigned subtype, const uint8_t *to)
{
    memset(frame, 0, WLAN_HDR);
    frame[0] = (uint8_t)(subtype << 4);
    memcpy(frame + 4, to, 6);
    memcpy(frame + 10, ap->cfg.bssid, 6);
    memcpy(frame + 16, ap->cfg.bssid, 6);
    return WLAN_HDR;
}

static size_t put_ie(uint8_t *p, uint8_t id, const void *data, size_t len)
{
    p[0] = id;
    p[1] = (uint8_t)len;
    if (len) {
        memcpy(p + 2, data, len);
    }
    return 2 + len;
}

static uint16_t ap_capability(const struct esp_ap *ap)
{
    /* ESS; short preamble and short slot time make sense at 2.4 GHz */
    return five_ghz(ap->cfg.channel) ? WLAN_CAP_ESS :
           WLAN_CAP_ESS | 0x0020 | 0x0400;
}

/* Rates, HT20 with one stream, WMM: what makes iw print a bit rate. */
static size_t put_rates(const struct esp_ap *ap, uint8_t *p)
{
    if (five_ghz(ap->cfg.channel)) {
        return put_ie(p, 1, "\x8c\x12\x98\x24\xb0\x48\x60\x6c", 8);
    }
    return put_ie(p, 1, "\x82\x84\x8b\x96\x0c\x12\x18\x24", 8);
}

static size_t put_capabilities(const struct esp_ap *ap, uint8_t *p)
{
    static const uint8_t ht_cap[26] = {
        0x2c, 0x00, 0x17, 0xff,         /* SM off, short GI 20; MCS 0-7 */
    };
    static const uint8_t wmm[24] = {
        0x00, 0x50, 0xf2, 0x02, 0x01, 0x01, 0x00, 0x00,
        0x03, 0xa4, 0x00, 0x00, 0x27, 0xa4, 0x00, 0x00,
        0x42, 0x43, 0x5e, 0x00, 0x62, 0x32, 0x2f, 0x00,
    };
    uint8_t ht_op[22] = { ap->cfg.channel };
    size_t n = 0;

    if (!five_ghz(ap->cfg.channel)) {
        n += put_ie(p + n, 50, "\x30\x48\x60\x6c", 4);
    }
    n += put_ie(p + n, 45, ht_cap, sizeof(ht_cap));
    n += put_ie(p + n, 61, ht_op, sizeof(ht_op));
    n += put_ie(p + n, 221, wmm, sizeof(wmm));
    return n;
}

#define AP_FRAME_MAX            256

static size_t ap_beacon(const struct esp_ap *ap, uint8_t *frame, bool probe,
                        const uint8_t *to, int64_t when)
{
    size_t n = ap_header(ap, frame, probe ? WLAN_PROBE_RESP : WLAN_BEACON,
                         to);
    bool show = probe || !ap->cfg.hidden;

    put64(frame + n, (uint64_t)(when / US));
    put16(frame + n + 8, ap->cfg.beacon_interval);
    put16(frame + n + 10, ap_capability(ap));
    n += 12;
    n += put_ie(frame + n, 0, ap->cfg.ssid, show ? ap->cfg.ssid_len : 0);
    n += put_rates(ap, frame + n);
    if (!five_ghz(ap->cfg.channel)) {
        n += put_ie(frame + n, 3, &ap->cfg.channel, 1);
    }
    if (!probe) {
        n += put_ie(frame + n, 5, "\x00\x01\x00\x00", 4);
    }
    if (ap->next_channel) {
        int64_t left = (ap->switch_at - when) / beacon_time(ap);
        uint8_t csa[3] = { 1, ap->next_channel,
                           (uint8_t)(left < 0 ? 0 : left) };

        n += put_ie(frame + n, 37, csa, sizeof(csa));
    }
    if (!five_ghz(ap->cfg.channel)) {
        n += put_ie(frame + n, 42, "\x00", 1);
    }
    n += put_capabilities(ap, frame + n);
    return n;
}

static const uint8_t broadcast[6] = { 255, 255, 255, 255, 255, 255 };

static bool scan_asks(const struct scan *scan, const uint8_t *bssid,
                      const uint8_t *ssid, size_t len, bool hidden)
{
    if (!mac_is_zero(scan->bssid) && !mac_equal(scan->bssid, bssid)) {
        return false;
    }
    return scan->ssid_len ? scan->ssid_len == len &&
           !memcmp(scan->ssid, ssid, len) : !hidden;
}

/* Radios in access-point role answer like the built-in ones. */
static void probe_radios(struct esp_engine *e, int64_t start, int64_t dwell,
                         int64_t answer)
{
    for (unsigned i = 0; i < ESP_AIR_MAX_RADIOS; i++) {
        struct esp_engine *r = e->air->radio[i];
        uint8_t frame[ESP_TRANSACTION_SIZE];
        const struct soft_ap *ap;
        int64_t interval;
        int64_t beacon;
        size_t len;

        if (!r || r == e || !esp_softap_running(r) ||
            r->s.ap.channel != e->s.scan.channel) {
            continue;
        }
        ap = &r->s.ap;
        if (scan_asks(&e->s.scan, r->s.device_mac, ap->ssid, ap->ssid_len,
                      ap->hidden) && answer < start + dwell &&
            !lost_to_radio(e, r)) {
            len = esp_softap_beacon(r, frame, true, e->s.device_mac, answer);
            esp_radio_receive_mgmt(e, IF_STA, frame, len, ap->channel,
                                   radio_signal(e, r), answer, false);
            if (esp_quirk(r, 5)) {
                /* Also frames nobody asked for are reported as sent. */
                esp_radio_tx_done(r, frame, len, TX_ACKED, 0, false);
            }
            answer += 300 * US;
        }
        interval = (int64_t)ap->beacon_interval * 1024 * US;
        beacon = (start / interval + 1) * interval;
        if (beacon < start + dwell && !lost_to_radio(e, r)) {
            len = esp_softap_beacon(r, frame, false, broadcast, beacon);
            esp_radio_receive_mgmt(e, IF_STA, frame, len, ap->channel,
                                   radio_signal(e, r), beacon, false);
        }
    }
}

void esp_air_probe(struct esp_engine *e, int64_t start, int64_t dwell)
{
    const struct scan *scan = &e->s.scan;
    int64_t answer = start + 2 * MS;

    for (unsigned i = 0; i < ESP_AIR_MAX_APS; i++) {
        struct esp_ap *ap = e->air->ap[i];
        uint8_t frame[AP_FRAME_MAX];
        int64_t interval;
        int64_t beacon;
        bool asked;
        size_t len;

        if (!ap || !ap->enabled ||
            esp_ap_channel(ap, start) != scan->channel) {
            continue;
        }
        asked = scan_asks(scan, ap->cfg.bssid, ap->cfg.ssid,
                          ap->cfg.ssid_len, ap->cfg.hidden);
        if (asked && answer < start + dwell && !lost_to_ap(e, ap)) {
            len = ap_beacon(ap, frame, true, e->s.device_mac, answer);
            if (esp_radio_receive_mgmt(e, IF_STA, frame, len,
                                       ap->cfg.channel, ap_signal(e, ap),
                                       answer, false)) {
                ap->counter[AP_PROBES]++;
            }
            answer += 300 * US;
        }
        /* Target beacon times are multiples of the interval. */
        interval = beacon_time(ap);
        beacon = (start / interval + 1) * interval;
        if (beacon < start + dwell && !lost_to_ap(e, ap)) {
            len = ap_beacon(ap, frame, false, broadcast, beacon);
            if (esp_radio_receive_mgmt(e, IF_STA, frame, len,
                                       ap->cfg.channel, ap_signal(e, ap),
                                       beacon, false)) {
                ap->counter[AP_BEACONS]++;
            }
        }
    }
    probe_radios(e, start, dwell, answer);
}

static struct esp_ap *find_ap(const struct esp_air *air, const uint8_t *bssid)
{
    for (unsigned i = 0; i < ESP_AIR_MAX_APS; i++) {
        struct esp_ap *ap = air->ap[i];

        if (ap && ap->enabled && mac_equal(ap->cfg.bssid, bssid)) {
            return ap;
        }
    }
    return NULL;
}

static struct esp_engine *find_soft_ap(const struct esp_engine *e,
                                       const uint8_t *bssid, uint8_t channel)
{
    for (unsigned i = 0; i < ESP_AIR_MAX_RADIOS; i++) {
        struct esp_engine *r = e->air->radio[i];

        if (r && r != e && esp_softap_running(r) &&
            r->s.ap.channel == channel && mac_equal(r->s.device_mac, bssid)) {
            return r;
        }
    }
    return NULL;
}

bool esp_air_find(struct esp_engine *e, const uint8_t *bssid,
                  uint8_t channel, int8_t *rssi)
{
    struct esp_ap *ap = find_ap(e->air, bssid);
    struct esp_engine *r = find_soft_ap(e, bssid, channel);

    if (ap && esp_ap_channel(ap, esp_now(e)) == channel) {
        *rssi = ap_signal(e, ap);
        return true;
    }
    if (r) {
        *rssi = radio_signal(e, r);
        return true;
    }
    return false;
}

bool esp_air_hears(struct esp_engine *e, const uint8_t *bssid,
                   uint8_t channel, unsigned beacons, int8_t *rssi)
{
    struct esp_ap *ap = find_ap(e->air, bssid);
    struct esp_engine *r = find_soft_ap(e, bssid, channel);

    if (!esp_air_find(e, bssid, channel, rssi)) {
        return false;
    }
    while (beacons && (r ? lost_to_radio(e, r) : lost_to_ap(e, ap))) {
        beacons--;
    }
    return beacons;
}

bool esp_air_hears_station(struct esp_engine *e, const uint8_t *mac)
{
    for (unsigned i = 0; i < ESP_AIR_MAX_RADIOS; i++) {
        struct esp_engine *r = e->air->radio[i];

        if (r && r != e && mac_equal(r->s.device_mac, mac) &&
            esp_radio_wants_data(r, e->s.device_mac) &&
            r->s.sta.channel == e->s.ap.channel) {
            return !lost_to_radio(e, r);
        }
    }
    return false;
}

/* An announcement is in so many beacons. */
#define SWITCH_BEACONS          5

bool esp_air_move_ap(struct esp_engine *e, uint8_t channel, bool announced)
{
    struct esp_ap *ap = find_ap(e->air, e->s.sta.bssid);
    char err[80];

    return ap && esp_ap_switch_channel(ap, channel,
                                       announced ? SWITCH_BEACONS : 0,
                                       esp_now(e), err, sizeof(err));
}

static void ap_answer(struct esp_ap *ap, struct esp_engine *e,
                      const uint8_t *frame, size_t len)
{
    if (!lost_to_ap(e, ap)) {
        esp_radio_receive_mgmt(e, IF_STA, frame, len, ap->cfg.channel,
                               ap_signal(e, ap), 0, false);
    }
}

static void ap_auth(struct esp_ap *ap, struct esp_engine *e,
                    const uint8_t *body, size_t len)
{
    uint8_t frame[WLAN_HDR + 6];
    uint16_t algorithm;
    bool ok;

    if (len < 6) {
        return;
    }
    algorithm = get16(body);
    ok = algorithm == 0 && get16(body + 2) == 1;
    ap->counter[ok ? AP_AUTHS : AP_AUTHS_REFUSED]++;
    ap_header(ap, frame, WLAN_AUTH, e->s.device_mac);
    put16(frame + WLAN_HDR, algorithm);
    put16(frame + WLAN_HDR + 2, (uint16_t)(get16(body + 2) + 1));
    put16(frame + WLAN_HDR + 4, ok ? 0 : 13);
    ap_answer(ap, e, frame, sizeof(frame));
}

/* Association ids are stable: the place on the air. */
static uint16_t association_id(const struct esp_engine *e)
{
    return (uint16_t)(radio_place(e) + 1);
}

static void ap_assoc(struct esp_ap *ap, struct esp_engine *e,
                     const uint8_t *body, size_t len, bool reassoc)
{
    uint8_t frame[AP_FRAME_MAX];
    size_t at = reassoc ? 10 : 4;
    size_t n;
    bool ok;

    ok = len >= at + 2 && body[at] == 0 &&
         body[at + 1] == ap->cfg.ssid_len &&
         len >= at + 2 + ap->cfg.ssid_len &&
         !memcmp(body + at + 2, ap->cfg.ssid, ap->cfg.ssid_len);
    ap->counter[ok ? AP_ASSOCS : AP_ASSOCS_REFUSED]++;
    n = ap_header(ap, frame, reassoc ? WLAN_REASSOC_RESP : WLAN_ASSOC_RESP,
                  e->s.device_mac);
    put16(frame + n, ap_capability(ap));
    put16(frame + n + 2, ok ? 0 : 1);
    put16(frame + n + 4, ok ? 0xc000 | association_id(e) : 0);
    n += 6;
    n += put_rates(ap, frame + n);
    n += put_capabilities(ap, frame + n);
    ap_answer(ap, e, frame, n);
}

/* From a soft-AP to the stations that listen to it */
static bool to_listeners(struct esp_engine *e, const uint8_t *frame,
                         size_t len)
{
    bool heard = false;

    for (unsigned i = 0; i < ESP_AIR_MAX_RADIOS; i++) {
        struct esp_engine *r = e->air->radio[i];
        bool secured;

        if (!r || r == e || r->s.sta.phase == PHASE_IDLE ||
            r->s.sta.channel != e->s.ap.channel ||
            !mac_equal(r->s.sta.bssid, e->s.device_mac) ||
            (!mac_is_group(frame + 4) &&
             !mac_equal(frame + 4, r->s.device_mac))) {
            continue;
        }
        secured = esp_softap_protects(e, r, mac_is_group(frame + 4));
        heard |= !lost_to_radio(e, r) &&
                 esp_radio_receive_mgmt(r, IF_STA, frame, len,
                                        e->s.ap.channel, radio_signal(r, e),
                                        0, secured);
    }
    return heard;
}

bool esp_air_mgmt(struct esp_engine *e, uint8_t channel,
                  const uint8_t *frame, size_t len)
{
    struct esp_ap *ap = find_ap(e->air, frame + 4);
    struct esp_engine *r = find_soft_ap(e, frame + 4, channel);
    unsigned subtype = frame[0] >> 4;

    if (len < WLAN_HDR) {
        return false;
    }
    if (r) {
        return !lost_to_radio(e, r) &&
               esp_radio_receive_mgmt(r, IF_AP, frame, len, channel,
                                      radio_signal(r, e), 0,
                                      esp_softap_protects(r, e, false));
    }
    if (!ap || esp_ap_channel(ap, esp_now(e)) != channel) {
        return esp_softap_running(e) && to_listeners(e, frame, len);
    }
    if (lost_to_ap(e, ap)) {
        return false;
    }
    switch (subtype) {
    case WLAN_AUTH:
        ap_auth(ap, e, frame + WLAN_HDR, len - WLAN_HDR);
        break;
    case WLAN_ASSOC_REQ:
    case WLAN_REASSOC_REQ:
        ap_assoc(ap, e, frame + WLAN_HDR, len - WLAN_HDR,
                 subtype == WLAN_REASSOC_REQ);
        break;
    case WLAN_DEAUTH:
    case WLAN_DISASSOC:
        ap->counter[AP_DEAUTHS_RX]++;
        break;
    default:
        break;
    }
    return true;
}

unsigned esp_ap_deauth(struct esp_ap *ap, const uint8_t *mac, uint16_t reason)
{
    unsigned told = 0;

    for (unsigned i = 0; i < ESP_AIR_MAX_RADIOS; i++) {
        struct esp_engine *e = ap->air->radio[i];
        uint8_t frame[WLAN_HDR + 2];

        if (!e || !esp_radio_wants_data(e, ap->cfg.bssid) ||
            (mac && !mac_equal(mac, e->s.device_mac))) {
            continue;
        }
        ap_header(ap, frame, WLAN_DEAUTH, e->s.device_mac);
        put16(frame + WLAN_HDR, reason);
        ap_answer(ap, e, frame, sizeof(frame));
        ap->counter[AP_DEAUTHS_TX]++;
        told++;
    }
    return told;
}

/* Bridge */

/* To the stations a frame is meant for, except @from. */
static unsigned to_stations(struct esp_ap *ap, const struct esp_engine *from,
                            const uint8_t *eth, size_t len)
{
    unsigned found = 0;

    for (unsigned i = 0; i < ESP_AIR_MAX_RADIOS; i++) {
        struct esp_engine *e = ap->air->radio[i];

        if (!e || e == from || !esp_radio_wants_data(e, ap->cfg.bssid) ||
            (!mac_is_group(eth) && !mac_equal(eth, e->s.device_mac))) {
            continue;
        }
        found++;
        if (e->s.sta.channel != esp_ap_channel(ap, esp_now(e)) ||
            lost_to_ap(e, ap)) {
            continue;
        }
        if (esp_radio_receive_data(e, IF_STA, eth, len, ap->cfg.queue)) {
            ap->counter[AP_TO_STATION]++;
            ap->counter[AP_TO_STATION_BYTES] += len;
        } else {
            ap->counter[AP_DROP_FULL]++;
        }
    }
    return found;
}

void esp_ap_receive(struct esp_ap *ap, const uint8_t *frame, size_t len)
{
    if (len < ESP_ETH_MIN || len > ESP_ETH_MAX) {
        ap->counter[AP_DROP_LENGTH]++;
        return;
    }
    if (!ap->enabled || !to_stations(ap, NULL, frame, len)) {
        ap->counter[AP_DROP_NO_STATION]++;
    }
}

/* Frames between radios share one buffer size. */
#define RADIO_QUEUE             QUEUE_MAX

void esp_air_ap_data(struct esp_engine *e, const struct esp_engine *from,
                     const uint8_t *eth, size_t len)
{
    bool group = mac_is_group(eth);
    bool eapol = esp_is_eapol(eth, len);
    bool found = false;

    for (unsigned i = 0; i < ESP_AIR_MAX_RADIOS; i++) {
        struct esp_engine *r = e->air->radio[i];
        const struct peer *peer;

        if (!r || r == e || r == from ||
            !esp_radio_wants_data(r, e->s.device_mac) ||
            (!group && !mac_equal(eth, r->s.device_mac))) {
            continue;
        }
        peer = esp_softap_peer(e, r->s.device_mac);
        if (!peer) {
            continue;
        }
        found = true;
        if (!peer->authorised && !eapol) {
            esp_count(e, CNT_RX_DROP_PORT);
            continue;
        }
        if (!lost_to_radio(e, r) &&
            esp_softap_keys_match(e, r, peer, group, eapol)) {
            esp_radio_receive_data(r, IF_STA, eth, len, RADIO_QUEUE);
        }
    }
    if (!found && !group) {
        esp_count(e, CNT_RADIO_DROP_LINK);
    }
}

/* From station @e to the soft-AP @r: 9.3 says who forwards what. */
static void radio_to_soft_ap(struct esp_engine *e, struct esp_engine *r,
                             const uint8_t *eth, size_t len)
{
    struct peer *peer = esp_softap_peer(r, e->s.device_mac);
    bool eapol = esp_is_eapol(eth, len);

    if (!peer) {
        esp_count(r, CNT_RADIO_DROP_LINK);
        return;
    }
    if (!peer->authorised && !eapol) {
        esp_count(r, CNT_RADIO_DROP_FILTER);
        return;
    }
    if (!esp_softap_keys_match(r, e, peer, false, eapol)) {
        return;
    }
    peer->last_heard = esp_now(r);
    if (!eapol && !mac_is_group(eth) && esp_softap_peer(r, eth)) {
        esp_air_ap_data(r, e, eth, len);
        return;
    }
    if (!eapol && mac_is_group(eth)) {
        esp_air_ap_data(r, e, eth, len);
    }
    esp_radio_receive_data(r, IF_AP, eth, len, RADIO_QUEUE);
}

void esp_air_data(struct esp_engine *e, const uint8_t *bssid,
                  const uint8_t *eth, size_t len)
{
    struct esp_ap *ap = find_ap(e->air, bssid);
    struct esp_engine *r = find_soft_ap(e, bssid, e->s.sta.channel);

    if (r) {
        if (!lost_to_radio(e, r)) {
            radio_to_soft_ap(e, r, eth, len);
        }
        return;
    }
    if (!ap || esp_ap_channel(ap, esp_now(e)) != e->s.sta.channel) {
        esp_count(e, CNT_RADIO_DROP_LINK);
        return;
    }
    if (lost_to_ap(e, ap)) {
        return;
    }
    ap->counter[AP_FROM_STATION]++;
    ap->counter[AP_FROM_STATION_BYTES] += len;
    if (to_stations(ap, e, eth, len)) {
        ap->counter[AP_RELAYED]++;
        if (!mac_is_group(eth)) {
            return;
        }
    }
    ap->ops->send(ap->opaque, eth, len);
}
