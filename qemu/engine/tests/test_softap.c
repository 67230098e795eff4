/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Access-point role and radios that hear each other: protocol.md 7.22 to
 * 7.26, 11.5, 11.7; protocol-g2.md 6
 */
#include <string.h>

#include "tap.h"
#include "world.h"

static unsigned get16(const uint8_t *p)
{
    return p[0] | (unsigned)p[1] << 8;
}

static unsigned get32(const uint8_t *p)
{
    return get16(p) | get16(p + 2) << 16;
}

struct pair {
    struct world w;
    struct host *ap;
    struct host *sta;
    uint8_t bssid[6];
    uint8_t mac[6];
    bool g2;
};

#define CHANNEL 11

/* head of the beacon: capability, SSID, rates, channel */
static const uint8_t head[] = {
    0x21, 0x04, 0, 4, 'h', 'o', 'm', 'e', 1, 4, 0x82, 0x84, 0x8b, 0x96,
    3, 1, CHANNEL,
};
static const uint8_t tail[] = {
    48, 20, 1, 0, 0, 0x0f, 0xac, 4, 1, 0, 0, 0x0f, 0xac, 4, 1, 0, 0, 0x0f,
    0xac, 2, 0, 0,
};

static bool set_ie(struct host *h, uint8_t type, const uint8_t *data,
                   size_t len)
{
    uint8_t body[600] = { type, 0, (uint8_t)len, (uint8_t)(len >> 8) };

    if (len) {
        memcpy(body + 4, data, len);
    }
    return host_ok(h, 1, 23, body, 4 + len);
}

static bool start_ap(struct pair *p, bool privacy)
{
    uint8_t config[45] = { 'h', 'o', 'm', 'e' };

    config[32] = 4;
    config[33] = CHANNEL;
    config[40] = 100;
    config[44] = privacy;
    if (!host_ok(p->ap, 0, 22, "\x03\0\0", 4) ||
        !host_ok(p->ap, 1, 3, NULL, 0)) {
        return false;
    }
    memcpy(p->bssid, p->ap->rsp + 8, 6);
    world_run(&p->w, 5 * MS);
    if (!host_ok(p->ap, 1, 1, NULL, 0) ||
        !set_ie(p->ap, 4, head, sizeof(head)) ||
        !set_ie(p->ap, 5, tail, privacy ? sizeof(tail) : 0) ||
        !set_ie(p->ap, 0, NULL, 0) || !set_ie(p->ap, 1, NULL, 0) ||
        !set_ie(p->ap, 2, NULL, 0) ||
        !host_ok(p->ap, 1, 24, config, sizeof(config))) {
        return false;
    }
    world_run(&p->w, 5 * MS);
    return true;
}

static bool start_with(struct pair *p, enum esp_generation generation,
                       bool privacy, bool report_all)
{
    struct esp_config cfg = world_config(generation);
    char err[128];

    CHECK(esp_config_finish(&cfg, err, sizeof(err)));
    if (!report_all) {
        /* Answers nobody asked for would be in the way. */
        cfg.quirks &= ~ESP_QUIRK(5);
    }
    memset(p, 0, sizeof(*p));
    world_init(&p->w);
    p->g2 = generation == ESP_GENERATION_G2;
    p->ap = world_add(&p->w, &cfg);
    p->sta = world_add(&p->w, &cfg);
    if (!host_up(p->ap) || !host_up(p->sta)) {
        return false;
    }
    memcpy(p->mac, p->sta->rsp + 8, 6);
    return start_ap(p, privacy);
}

static bool start(struct pair *p, enum esp_generation generation,
                  bool privacy)
{
    return start_with(p, generation, privacy, false);
}

/* A complete 802.11 frame from the access point's host */
static size_t wlan_frame(struct pair *p, uint8_t *frame, uint8_t subtype,
                         const uint8_t *to, const void *body, size_t len)
{
    memset(frame, 0, 24);
    frame[0] = (uint8_t)(subtype << 4);
    memcpy(frame + 4, to, 6);
    memcpy(frame + 10, p->bssid, 6);
    memcpy(frame + 16, p->bssid, 6);
    memcpy(frame + 24, body, len);
    return 24 + len;
}

/* MGMT_TX as the generation wants it; true when acknowledged. */
static bool mgmt_tx(struct pair *p, uint8_t subtype, const void *body,
                    size_t len)
{
    uint8_t request[600] = { 0 };
    uint8_t *frame = request + (p->g2 ? 28 : 20);
    size_t n = wlan_frame(p, frame, subtype, p->mac, body, len);
    const uint8_t *e;
    size_t got;

    if (!p->g2) {
        request[16] = (uint8_t)n;
        request[17] = (uint8_t)(n >> 8);
        if (!host_command(p->ap, 1, 25, request + 8, 12 + n)) {
            return false;
        }
        CHECK_INT(get32(p->ap->rsp + 16), n);
        CHECK_INT(p->ap->rsp_len, 20 + n);
        CHECK(!memcmp(p->ap->rsp + 20, frame, n));
        return p->ap->rsp_status == 2;
    }
    request[0] = 25;
    request[4] = (uint8_t)++p->ap->seq;
    request[5] = (uint8_t)(p->ap->seq >> 8);
    request[6] = 0xa5;
    request[16] = 7;
    request[24] = (uint8_t)n;
    request[25] = (uint8_t)(n >> 8);
    host_send(p->ap, 1, 1, request, 28 + n);
    got = host_receive(p->ap, p->ap->rsp, SEC);
    CHECK_INT(got, 12 + 28);
    CHECK_INT(p->ap->rsp[12], 25);
    CHECK_INT(p->ap->rsp[13], 2);
    CHECK_INT(p->ap->rsp[18], 0xa5);
    e = host_event(p->ap, 7, SEC, &got);
    if (!e) {
        return false;
    }
    CHECK_INT(got, 20 + n);
    CHECK_INT(e[4], 7);
    CHECK_INT(get32(e + 12), n);
    CHECK(!memcmp(e + 20, frame, n));
    return e[16] == 1;
}

/* The station's authentication request arrives at the host of the AP. */
static const uint8_t *expect_ap_mgmt(struct pair *p, uint8_t subtype)
{
    size_t len;
    const uint8_t *e = host_event(p->ap, 6, SEC, &len);

    if (!e) {
        tap_fail(__FILE__, __LINE__, "no AP_MGMT_RX %u", subtype);
        return NULL;
    }
    CHECK_INT(len, 20 + get32(e + 16));
    CHECK_INT(get32(e + 12), CHANNEL);
    CHECK_INT(e[20], subtype << 4);
    CHECK(!memcmp(e + 24, p->bssid, 6));
    CHECK(!memcmp(e + 30, p->mac, 6));
    CHECK(!memcmp(e + 36, p->bssid, 6));
    return e + 20;
}

static bool sta_auth(struct pair *p, uint8_t algorithm, const uint8_t *data,
                     uint8_t n)
{
    uint8_t body[72 + 255] = { 0 };

    memcpy(body, p->bssid, 6);
    body[6] = CHANNEL;
    body[7] = algorithm;
    memcpy(body + 8, "home", 4);
    body[69] = n;
    if (n) {
        memcpy(body + 72, data, n);
    }
    return host_ok(p->sta, 0, 11, body, 72u + n);
}

static bool ap_station(struct pair *p, uint8_t op, uint8_t flags)
{
    uint8_t body[116] = { 0 };

    memcpy(body, p->mac, 6);
    body[6] = op;
    body[8] = flags;
    body[12] = flags;
    body[24] = 1;
    return host_ok(p->ap, 1, 26, body, sizeof(body));
}

/* Association after authentication, both hosts driven */
static bool associate(struct pair *p)
{
    uint8_t assoc[4 + sizeof(tail)] = { sizeof(tail), 0, 1 };
    static const uint8_t answer[] = {
        0x11, 0x04, 0, 0, 1, 0xc0, 1, 4, 0x82, 0x84, 0x8b, 0x96,
    };
    const uint8_t *f;

    memcpy(assoc + 4, tail, sizeof(tail));
    if (!host_ok(p->sta, 0, 12, assoc, sizeof(assoc))) {
        return false;
    }
    f = expect_ap_mgmt(p, 0);
    if (!f || memcmp(f + 28, "\0\4home", 6) ||
        memcmp(f + 44, tail, sizeof(tail))) {
        return false;
    }
    return ap_station(p, 0, 0) && mgmt_tx(p, 1, answer, sizeof(answer)) &&
           host_event(p->sta, 5, SEC, NULL);
}

static bool authenticate(struct pair *p)
{
    const uint8_t *f;

    if (!sta_auth(p, 0, NULL, 0)) {
        return false;
    }
    f = expect_ap_mgmt(p, 11);
    return f && get16(f + 24) == 0 && get16(f + 26) == 1 &&
           mgmt_tx(p, 11, "\0\0\2\0\0\0", 6) &&
           host_event(p->sta, 4, SEC, NULL);
}

static void eth(uint8_t *frame, const uint8_t *dst, const uint8_t *src,
                unsigned type, size_t len)
{
    memset(frame, 0x5a, len);
    memcpy(frame, dst, 6);
    memcpy(frame + 6, src, 6);
    frame[12] = (uint8_t)(type >> 8);
    frame[13] = (uint8_t)type;
}

/* Sends a frame on one side; does it come out on the other? */
static bool passes(struct pair *p, bool up, const uint8_t *dst,
                   unsigned type)
{
    struct host *from = up ? p->sta : p->ap;
    struct host *to = up ? p->ap : p->sta;
    uint8_t frame[100];
    const uint8_t *got;
    size_t len;

    eth(frame, dst, up ? p->mac : p->bssid, type, sizeof(frame));
    host_send(from, up ? 0 : 1, p->g2 && type == 0x888e ? 4 : 0, frame,
              sizeof(frame));
    got = host_data(to, 50 * MS, &len);
    return got && len == sizeof(frame) && !memcmp(got, frame, len);
}

static bool add_key(struct host *h, uint8_t if_type, uint8_t index,
                    const uint8_t *mac, uint8_t fill)
{
    uint8_t key[68] = { 3, 0, 0, 0, index };

    memset(key + 8, fill, 16);
    key[40] = 16;
    if (mac) {
        memcpy(key + 44, mac, 6);
    }
    return host_ok(h, if_type, 8, key, sizeof(key));
}

static const uint8_t everyone[6] = { 255, 255, 255, 255, 255, 255 };

static void beacons(void)
{
    uint8_t scan[44] = { [41] = CHANNEL };
    unsigned seen = 0;
    const uint8_t *e;
    struct pair p;
    size_t len;

    REQUIRE(start_with(&p, ESP_GENERATION_G1, true, true));
    CHECK(set_ie(p.ap, 0, (const uint8_t *)"\xdd\x03" "abc", 5));
    CHECK(host_ok(p.sta, 0, 4, scan, sizeof(scan)));
    while ((e = host_event(p.sta, 1, SEC, &len)) && e[1] == 1) {
        CHECK(!memcmp(e + 4, p.bssid, 6));
        CHECK_INT(e[11], CHANNEL);
        CHECK_INT(get16(e + 36), 100);
        CHECK_INT(get16(e + 38), 0x0431);
        CHECK(!memcmp(e + 40, "\0\4home\1\4", 8));
        if (e[10] == 8) {
            /* rates, channel, TIM, tail, extra */
            CHECK_INT(len, 40 + 6 + 6 + 3 + 6 + sizeof(tail) + 5);
            CHECK(!memcmp(e + 61, tail, sizeof(tail)));
            CHECK(!memcmp(e + len - 5, "\xdd\x03" "abc", 5));
            seen |= 1;
        } else {
            CHECK_INT(len, 40 + 6 + 6 + 3 + sizeof(tail));
            seen |= 2;
        }
    }
    CHECK_INT(seen, 3);
    /* FQ-5: the probe response it sent itself is reported to the host. */
    CHECK(host_receive(p.ap, p.ap->rsp, SEC) > 0);
    CHECK_INT(p.ap->rsp[12], 25);
    CHECK_INT(p.ap->rsp[13], 2);
    CHECK_INT(p.ap->rsp[32], 0x50);
    world_free(&p.w);
}

static void wpa2_of(enum esp_generation generation)
{
    static const uint8_t other[6] = { 2, 0, 0, 0, 9, 9 };
    const uint8_t *e;
    struct pair p;
    size_t len;

    REQUIRE(start(&p, generation, true));
    REQUIRE(authenticate(&p));
    REQUIRE(associate(&p));
    p.ap->event_count = 0;
    p.sta->event_count = 0;
    /* Before the keys: EAPOL only */
    CHECK(!passes(&p, true, p.bssid, 0x0800));
    CHECK(!passes(&p, false, p.mac, 0x0800));
    CHECK(passes(&p, false, p.mac, 0x888e));
    CHECK(passes(&p, true, p.bssid, 0x888e));
    CHECK(add_key(p.sta, 0, 0, p.bssid, 0x11));
    /* One side has its key: the handshake's last message still passes. */
    CHECK(passes(&p, true, p.bssid, 0x888e));
    CHECK(add_key(p.ap, 1, 0, p.mac, 0x11));
    CHECK(add_key(p.ap, 1, 1, NULL, 0x22));
    CHECK(add_key(p.sta, 0, 1, NULL, 0x22));
    CHECK(!passes(&p, true, p.bssid, 0x0800));
    CHECK(ap_station(&p, 1, 2));
    if (p.g2) {
        CHECK(!passes(&p, true, p.bssid, 0x0800));
        CHECK(host_ok(p.sta, 0, 32, (const uint8_t[8]) { [6] = 1 }, 8));
    }
    CHECK(passes(&p, true, p.bssid, 0x0800));
    CHECK(passes(&p, false, p.mac, 0x0800));
    CHECK(passes(&p, false, everyone, 0x0806));
    CHECK(passes(&p, true, everyone, 0x0806));
    CHECK(!passes(&p, false, other, 0x0800));
    CHECK_INT(host_counter(p.ap, "radio-drop-key"), 0);
    /* Group rekey on one side only */
    CHECK(add_key(p.ap, 1, 2, NULL, 0x33));
    CHECK(!passes(&p, false, everyone, 0x0806));
    CHECK(add_key(p.sta, 0, 2, NULL, 0x34));
    CHECK(!passes(&p, false, everyone, 0x0806));
    CHECK(add_key(p.sta, 0, 2, NULL, 0x33));
    CHECK(passes(&p, false, everyone, 0x0806));
    /* A wrong pairwise key stops everything, EAPOL too. */
    CHECK(add_key(p.sta, 0, 0, p.bssid, 0x12));
    CHECK(!passes(&p, true, p.bssid, 0x0800));
    CHECK(!passes(&p, true, p.bssid, 0x888e));
    CHECK(!passes(&p, false, p.mac, 0x0800));
    CHECK(host_counter(p.ap, "radio-drop-key") > 0);
    /* The station leaves: its deauthentication is seen by hostapd. */
    p.ap->event_count = 0;
    p.sta->event_count = 0;
    CHECK(host_ok(p.sta, 0, 6, "\x03\0\0\0\0\0\0", 8));
    CHECK(host_event(p.sta, 3, SEC, NULL) != NULL);
    CHECK(expect_ap_mgmt(&p, 12) != NULL);
    {
        uint8_t body[8] = { 3, 0 };

        memcpy(body + 2, p.mac, 6);
        CHECK(host_ok(p.ap, 1, 6, body, 8));
        CHECK(host_command(p.ap, 1, 6, body, 8));
        CHECK_INT(p.ap->rsp_status, p.g2 ? 1 : 2);
    }
    /* Again, and this time the access point says goodbye. */
    REQUIRE(authenticate(&p));
    REQUIRE(associate(&p));
    CHECK(mgmt_tx(&p, 12, "\x02", 2));
    e = host_event(p.sta, 3, SEC, &len);
    REQUIRE(e != NULL);
    CHECK_INT(e[43], 2);
    /* Nobody listens any more. */
    CHECK(!mgmt_tx(&p, 12, "\x02", 2));
    world_free(&p.w);
}

static void wpa2(void)
{
    wpa2_of(ESP_GENERATION_G1);
    wpa2_of(ESP_GENERATION_G2);
}

static void sae_of(enum esp_generation generation)
{
    uint8_t commit[104] = { 1, 0, 126, 0, 19, 0 };
    uint8_t confirm[38] = { 2, 0, 0, 0, 1, 0 };
    const uint8_t *f;
    const uint8_t *e;
    struct pair p;
    size_t len;

    memset(commit + 6, 0xc0, 98);
    memset(confirm + 6, 0xcf, 32);
    REQUIRE(start(&p, generation, true));
    CHECK(sta_auth(&p, 3, commit, sizeof(commit)));
    f = expect_ap_mgmt(&p, 11);
    REQUIRE(f != NULL);
    CHECK_INT(get16(f + 24), 3);
    CHECK_INT(get16(f + 26), 1);
    CHECK_INT(get16(f + 28), 126);
    CHECK(!memcmp(f + 30, commit + 4, 100));
    {
        uint8_t body[106] = { 3, 0, 1, 0, 126, 0 };

        memcpy(body + 6, commit + 4, 100);
        CHECK(mgmt_tx(&p, 11, body, sizeof(body)));
    }
    e = host_event(p.sta, 4, SEC, &len);
    REQUIRE(e != NULL);
    CHECK_INT(len, 28 + 24 + 106);
    CHECK_INT(get16(e + 54), 1);
    CHECK_INT(get16(e + 56), 126);
    CHECK(sta_auth(&p, 3, confirm, sizeof(confirm)));
    f = expect_ap_mgmt(&p, 11);
    REQUIRE(f != NULL);
    CHECK_INT(get16(f + 26), 2);
    CHECK(!memcmp(f + 30, confirm + 4, 34));
    {
        uint8_t body[40] = { 3, 0, 2, 0, 0, 0 };

        CHECK(mgmt_tx(&p, 11, body, sizeof(body)));
    }
    e = host_event(p.sta, 4, SEC, &len);
    REQUIRE(e != NULL);
    CHECK_INT(get16(e + 54), 2);
    CHECK(associate(&p));
    world_free(&p.w);
}

static void sae(void)
{
    sae_of(ESP_GENERATION_G1);
    sae_of(ESP_GENERATION_G2);
}

static bool add_full_key(struct host *h, uint8_t if_type, uint8_t algorithm,
                         uint8_t index, const uint8_t *mac,
                         const uint8_t *material, uint8_t len)
{
    uint8_t key[68] = { algorithm, 0, 0, 0, index };

    memcpy(key + 8, material, len);
    key[40] = len;
    if (mac) {
        memcpy(key + 44, mac, 6);
    }
    return host_ok(h, if_type, 8, key, sizeof(key));
}

/* TKIP's two Michael keys have changed places at the other end. */
static void tkip(void)
{
    uint8_t one[32];
    uint8_t other[32];
    struct pair p;

    for (unsigned i = 0; i < 32; i++) {
        one[i] = (uint8_t)(i + 1);
    }
    memcpy(other, one, 16);
    memcpy(other + 16, one + 24, 8);
    memcpy(other + 24, one + 16, 8);
    REQUIRE(start(&p, ESP_GENERATION_G1, true));
    REQUIRE(authenticate(&p));
    REQUIRE(associate(&p));
    p.ap->event_count = 0;
    p.sta->event_count = 0;
    CHECK(add_full_key(p.ap, 1, 2, 0, p.mac, one, 32));
    CHECK(add_full_key(p.sta, 0, 2, 0, p.bssid, other, 32));
    CHECK(add_full_key(p.ap, 1, 2, 1, NULL, one, 32));
    CHECK(add_full_key(p.sta, 0, 2, 1, NULL, other, 32));
    CHECK(ap_station(&p, 1, 2));
    CHECK(passes(&p, true, p.bssid, 0x0800));
    CHECK(passes(&p, false, p.mac, 0x0800));
    CHECK(passes(&p, false, everyone, 0x0806));
    CHECK(add_full_key(p.sta, 0, 2, 0, p.bssid, one, 32));
    CHECK(!passes(&p, true, p.bssid, 0x0800));
    world_free(&p.w);
}

static bool gone(struct pair *p)
{
    return host_event(p->sta, 3, 50 * MS, NULL) != NULL;
}

static void send_all_away(struct pair *p)
{
    uint8_t request[64] = { 25, [4] = 99, [6] = p->g2 ? 0xa5 : 0 };
    uint8_t *frame = request + (p->g2 ? 28 : 20);
    size_t n = wlan_frame(p, frame, 12, everyone, "\x03", 2);

    request[16] = p->g2 ? 9 : (uint8_t)n;
    request[24] = p->g2 ? (uint8_t)n : request[24];
    host_send(p->ap, 1, 1, request, (size_t)(frame - request) + n);
    world_run(&p->w, 10 * MS);
}

/* Protected management frames: what is not encrypted is not believed. */
static void pmf_of(enum esp_generation generation)
{
    static const uint8_t pairwise[16] = { 1 };
    static const uint8_t group[16] = { 2 };
    static const uint8_t igtk[16] = { 3 };
    static const uint8_t wrong[16] = { 4 };
    const uint8_t *f;
    struct pair p;

    REQUIRE(start(&p, generation, true));
    REQUIRE(authenticate(&p));
    REQUIRE(associate(&p));
    CHECK(ap_station(&p, 1, 1 << 4));
    CHECK(add_full_key(p.ap, 1, 3, 0, p.mac, pairwise, 16));
    CHECK(add_full_key(p.ap, 1, 3, 1, NULL, group, 16));
    CHECK(add_full_key(p.ap, 1, 7, 4, NULL, igtk, 16));
    CHECK(add_full_key(p.sta, 0, 3, 0, p.bssid, pairwise, 16));
    CHECK(add_full_key(p.sta, 0, 3, 1, NULL, group, 16));
    CHECK(add_full_key(p.sta, 0, 7, 4, NULL, wrong, 16));
    CHECK(ap_station(&p, 1, 2));
    p.ap->event_count = 0;
    /* The library answers an SA query; its host never sees it. */
    CHECK(mgmt_tx(&p, 13, "\x08\0\x12\x34", 4));
    f = expect_ap_mgmt(&p, 13);
    CHECK(f && !memcmp(f + 24, "\x08\1\x12\x34", 4));
    /* To all, with another integrity key: not believed */
    send_all_away(&p);
    CHECK(!gone(&p));
    CHECK_INT(host_counter(p.sta, "radio-drop-unprotected"), 1);
    CHECK(add_full_key(p.sta, 0, 7, 4, NULL, igtk, 16));
    send_all_away(&p);
    CHECK(gone(&p));
    world_free(&p.w);

    /* The station has lost its keys: its goodbye is not believed either. */
    REQUIRE(start(&p, generation, true));
    REQUIRE(authenticate(&p));
    REQUIRE(associate(&p));
    CHECK(ap_station(&p, 1, 1 << 4 | 2));
    CHECK(add_full_key(p.ap, 1, 3, 0, p.mac, pairwise, 16));
    p.ap->event_count = 0;
    CHECK(host_ok(p.sta, 0, 6, "\x03\0\0\0\0\0\0", 8));
    CHECK(host_event(p.ap, 6, 50 * MS, NULL) == NULL);
    CHECK_INT(host_counter(p.ap, "radio-drop-unprotected"), 1);
    world_free(&p.w);
}

static void pmf(void)
{
    pmf_of(ESP_GENERATION_G1);
    pmf_of(ESP_GENERATION_G2);
}

/* A station that vanished is sent away after its time, not before. */
static void inactivity(void)
{
    struct pair p;

    REQUIRE(start(&p, ESP_GENERATION_G1, false));
    REQUIRE(sta_auth(&p, 0, NULL, 0));
    REQUIRE(ap_station(&p, 0, 0));
    p.ap->event_count = 0;
    world_run(&p.w, 290 * SEC);
    CHECK_INT(host_counter(p.ap, "stations-inactive"), 0);
    world_run(&p.w, 15 * SEC);
    CHECK_INT(host_counter(p.ap, "stations-inactive"), 1);
    world_free(&p.w);
    /* One that is silent, but there, stays. */
    REQUIRE(start(&p, ESP_GENERATION_G1, false));
    REQUIRE(authenticate(&p));
    REQUIRE(associate(&p));
    world_run(&p.w, 1000 * SEC);
    CHECK_INT(host_counter(p.ap, "stations-inactive"), 0);
    world_free(&p.w);
}

static void open_network(void)
{
    struct pair p;

    REQUIRE(start(&p, ESP_GENERATION_G1, false));
    REQUIRE(authenticate(&p));
    REQUIRE(associate(&p));
    p.ap->event_count = 0;
    p.sta->event_count = 0;
    CHECK(!passes(&p, true, p.bssid, 0x0800));
    CHECK(ap_station(&p, 1, 2));
    CHECK(passes(&p, true, p.bssid, 0x0800));
    CHECK(passes(&p, false, p.mac, 0x0800));
    /* The access point stops: beacon loss at the station */
    CHECK(host_ok(p.ap, 1, 22, "\x01\0\0", 4));
    CHECK(host_event(p.sta, 3, 10 * SEC, NULL) != NULL);
    CHECK_INT(host_counter(p.sta, "beacon-timeouts"), 1);
    world_free(&p.w);
}

static void mgmt_tx_refused(void)
{
    uint8_t request[64] = { [8] = 24, [12] = 0xc0 };
    uint8_t frame[FRAME];
    unsigned accepted = 0;
    unsigned reported = 0;
    unsigned busy = 0;
    struct pair p;
    size_t n;

    REQUIRE(start(&p, ESP_GENERATION_G1, false));
    memcpy(request + 16, everyone, 6);
    /* Broadcast: at once, without the frame */
    REQUIRE(host_command(p.ap, 1, 25, request, 36));
    CHECK_INT(p.ap->rsp_status, 2);
    CHECK_INT(p.ap->rsp_len, 20);
    request[9] = 0xff;
    REQUIRE(host_command(p.ap, 1, 25, request, 36));
    CHECK_INT(p.ap->rsp_status, 5);
    request[9] = 0;
    request[8] = 23;
    REQUIRE(host_command(p.ap, 1, 25, request, 36));
    CHECK_INT(p.ap->rsp_status, 5);
    world_free(&p.w);

    REQUIRE(start(&p, ESP_GENERATION_G2, false));
    /* Vector of protocol-g2.md 12: accepted with sequence 20 */
    memset(frame, 0, sizeof(frame));
    frame[0] = 25;
    frame[4] = 20;
    frame[6] = 0xa5;
    frame[16] = 1;
    frame[24] = 24;
    memcpy(frame + 32, p.mac, 6);
    host_send(p.ap, 1, 1, frame, 28 + 24);
    n = host_receive(p.ap, p.ap->rsp, SEC);
    {
        uint8_t want[64];

        CHECK_INT(n, unhex(want, "01 00 02 00 1c 00 0c 00 ff 00 00 00 19 02 "
                           "00 00 14 00 a5 00 +20x00"));
        CHECK(!memcmp(p.ap->rsp, want, n));
    }
    CHECK(host_event(p.ap, 7, SEC, &n) != NULL);
    p.ap->event_count = 0;
    /* Unmarked: the answer in the new layout (GQ-5) */
    memset(request, 0, sizeof(request));
    request[8] = 24;
    memcpy(request + 16, p.mac, 6);
    REQUIRE(host_command(p.ap, 1, 25, request, 36));
    CHECK_INT(p.ap->rsp_status, 1);
    CHECK_INT(get32(p.ap->rsp + 24), 24);
    CHECK_INT(p.ap->rsp_len, 28 + 24);
    /* One at a time: those that come too early are refused as busy. */
    for (unsigned i = 0; i < 8; i++) {
        frame[4] = (uint8_t)(21 + i);
        host_send(p.ap, 1, 1, frame, 28 + 24);
    }
    world_run(&p.w, 100 * MS);
    while ((n = host_receive(p.ap, p.ap->rsp, 10 * MS))) {
        p.ap->event[p.ap->event_count].len = n;
        memcpy(p.ap->event[p.ap->event_count++].data, p.ap->rsp, FRAME);
    }
    for (unsigned i = 0; i < p.ap->event_count; i++) {
        const uint8_t *f = p.ap->event[i].data;

        busy += f[2] == 2 && f[13] == 3;
        accepted += f[2] == 2 && f[13] == 2;
        reported += f[2] == 3 && f[12] == 7;
    }
    CHECK_INT(busy + accepted, 8);
    CHECK(busy > 0);
    CHECK_INT(reported, accepted);
    world_free(&p.w);
}

static void ap_refusals(void)
{
    uint8_t config[45] = { 'x', [32] = 1, [33] = 99 };
    uint8_t station[116] = { 2 };
    struct pair p;

    REQUIRE(start(&p, ESP_GENERATION_G2, false));
    CHECK(host_command(p.ap, 1, 24, config, sizeof(config)));
    CHECK_INT(p.ap->rsp_status, 1);
    config[33] = 1;
    config[32] = 33;
    CHECK(host_command(p.ap, 1, 24, config, sizeof(config)));
    CHECK_INT(p.ap->rsp_status, 1);
    for (unsigned i = 0; i < 9; i++) {
        station[5] = (uint8_t)i;
        CHECK(host_command(p.ap, 1, 26, station, sizeof(station)));
        CHECK_INT(p.ap->rsp_status, i < 8 ? 2 : 1);
    }
    station[6] = 2;
    CHECK(host_command(p.ap, 1, 26, station, sizeof(station)));
    CHECK_INT(p.ap->rsp_status, 5);
    /* Authorised cannot be withdrawn. */
    station[5] = 1;
    station[6] = 1;
    station[8] = 2;
    CHECK(host_command(p.ap, 1, 26, station, sizeof(station)));
    CHECK_INT(p.ap->rsp_status, 1);
    /* Empty SET_IE works in station mode. */
    CHECK(host_ok(p.ap, 1, 22, "\x01\0\0", 4));
    CHECK(set_ie(p.ap, 4, NULL, 0));
    CHECK(host_command(p.ap, 1, 6, (const uint8_t[8]) { 0 }, 8));
    CHECK_INT(p.ap->rsp_status, 1);
    world_free(&p.w);

    /* G1 aborts when the soft-AP does not start. */
    REQUIRE(start(&p, ESP_GENERATION_G1, false));
    config[32] = 1;
    config[33] = 99;
    {
        uint8_t request[53] = { 24 };

        memcpy(request + 8, config, 45);
        host_send(p.ap, 1, 1, request, sizeof(request));
    }
    CHECK(host_boot(p.ap));
    CHECK_INT(host_counter(p.ap, "restarts"), 1);
    world_free(&p.w);
}

const struct test softap_tests[] = {
    { "softap: beacons and probe responses", beacons },
    { "softap: WPA2 between two radios", wpa2 },
    { "softap: SAE between two radios", sae },
    { "softap: TKIP between two radios", tkip },
    { "softap: protected management frames", pmf },
    { "softap: a station that vanishes", inactivity },
    { "softap: open network", open_network },
    { "softap: MGMT_TX", mgmt_tx_refused },
    { "softap: refused requests", ap_refusals },
    { 0 }
};
