/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Station role: scan, authentication, association, data, disconnects
 * (protocol.md 8, 9, 11)
 */
#include <string.h>

#include "tap.h"
#include "world.h"

static unsigned get16(const uint8_t *p)
{
    return p[0] | (unsigned)p[1] << 8;
}

static int get32(const uint8_t *p)
{
    return (int)(get16(p) | get16(p + 2) << 16);
}

/* Element @id in a list; its length, or -1. */
static int find_ie(const uint8_t *ie, size_t len, uint8_t id,
                   const uint8_t **data)
{
    size_t i = 0;

    while (i + 2 <= len) {
        if (i + 2 + ie[i + 1] > len) {
            tap_fail(__FILE__, __LINE__, "element %u runs over the end",
                     ie[i]);
            return -1;
        }
        if (ie[i] == id) {
            *data = ie + i + 2;
            return ie[i + 1];
        }
        i += 2u + ie[i + 1];
    }
    if (i != len) {
        tap_fail(__FILE__, __LINE__, "elements do not fill the frame");
    }
    return -1;
}

static void scan_all(void)
{
    uint8_t scan[44] = { 0 };
    unsigned seen[3] = { 0 };
    struct esp_ap *ap[3];
    const uint8_t *p;
    const uint8_t *ie;
    struct world w;
    struct host *h;
    size_t len;

    world_init(&w);
    ap[0] = world_add_ap(&w, "one", 1);
    ap[1] = world_add_ap(&w, "six", 6);
    ap[2] = world_add_ap(&w, "thirteen", 13);
    esp_ap_set_signal(ap[1], -71);
    h = world_add(&w, NULL);
    REQUIRE(host_up(h));
    CHECK(host_ok(h, 0, 4, scan, sizeof(scan)));
    for (;;) {
        p = host_event(h, 1, 3 * SEC, &len);
        REQUIRE(p != NULL);
        if (p[1] == 0) {
            break;
        }
        CHECK_INT(get16(p + 2), len - 4);
        CHECK_INT(get16(p + 24), len - 28);
        CHECK(p[10] == 8 || p[10] == 5);
        for (unsigned i = 0; i < 3; i++) {
            const struct esp_ap_config *cfg = esp_ap_get_config(ap[i]);

            if (memcmp(p + 4, cfg->bssid, 6)) {
                continue;
            }
            seen[i] |= p[10] == 8 ? 1 : 2;
            CHECK_INT(p[11], cfg->channel);
            CHECK_INT(get32(p + 12), cfg->signal_dbm);
            CHECK_INT(get16(p + 36), 100);
            CHECK_INT(get16(p + 38) & 0x11, 1);
            CHECK_INT(find_ie(p + 40, len - 40, 0, &ie), cfg->ssid_len);
            CHECK(!memcmp(ie, cfg->ssid, cfg->ssid_len));
            CHECK_INT(find_ie(p + 40, len - 40, 1, &ie), 8);
            CHECK_INT(find_ie(p + 40, len - 40, 3, &ie), 1);
            CHECK_INT(ie[0], cfg->channel);
            CHECK_INT(find_ie(p + 40, len - 40, 5, &ie),
                      p[10] == 8 ? 4 : -1);
            CHECK_INT(find_ie(p + 40, len - 40, 45, &ie), 26);
            CHECK_INT(find_ie(p + 40, len - 40, 61, &ie), 22);
        }
    }
    CHECK_INT(len, 4);
    CHECK_INT(seen[0] & seen[1] & seen[2], 3);
    CHECK_INT(host_counter(h, "events-scan-done"), 1);
    CHECK_INT(host_counter(h, "events-scan-result"), 6);
    world_free(&w);
}

/* Collects scan results until done; returns how many beacons and probes. */
static void scan_counts(struct host *h, const uint8_t *scan,
                        unsigned *beacons, unsigned *probes)
{
    const uint8_t *p;
    size_t len;

    *beacons = 0;
    *probes = 0;
    CHECK(host_ok(h, 0, 4, scan, 44));
    for (;;) {
        p = host_event(h, 1, 3 * SEC, &len);
        REQUIRE(p != NULL);
        if (p[1] == 0) {
            return;
        }
        *beacons += p[10] == 8;
        *probes += p[10] == 5;
    }
}

static const struct esp_ap_ops silent_ops;

static void scan_directed(void)
{
    uint8_t scan[44] = { 0 };
    struct esp_ap_config cfg;
    struct esp_ap *hidden;
    unsigned beacons;
    unsigned probes;
    struct world w;
    struct host *h;
    char err[128];

    world_init(&w);
    world_add_ap(&w, "open", 6);
    esp_ap_config_init(&cfg);
    memcpy(cfg.ssid, "cave", 4);
    cfg.ssid_len = 4;
    cfg.hidden = true;
    hidden = esp_ap_new(w.air, &cfg, &silent_ops,
                        NULL, err, sizeof(err));
    w.ap[w.ap_count++] = hidden;
    h = world_add(&w, NULL);
    REQUIRE(host_up(h));
    /* The hidden one answers only when asked by name. */
    scan[41] = 6;
    scan_counts(h, scan, &beacons, &probes);
    CHECK_INT(beacons, 2);
    CHECK_INT(probes, 1);
    memcpy(scan + 8, "cave", 4);
    scan_counts(h, scan, &beacons, &probes);
    CHECK_INT(beacons, 2);
    CHECK_INT(probes, 1);
    CHECK_INT(ap_counter(hidden, "probe-responses"), 1);
    memcpy(scan + 8, "none", 4);
    scan_counts(h, scan, &beacons, &probes);
    CHECK_INT(probes, 0);
    scan[41] = 7;
    scan_counts(h, scan, &beacons, &probes);
    CHECK_INT(beacons, 0);
    esp_ap_set_enabled(hidden, false);
    scan[41] = 6;
    scan_counts(h, scan, &beacons, &probes);
    CHECK_INT(beacons, 1);
    /* A scan before Wi-Fi has started is refused. */
    CHECK(host_ok(h, 0, 7, NULL, 0));
    CHECK(host_command(h, 0, 4, scan, 44));
    CHECK_INT(h->rsp_status, 1);
    world_free(&w);
}

/* A new scan ends the old one, which is reported as done: 8.1 */
static void scan_overridden(void)
{
    uint8_t scan[44] = { 0 };
    struct world w;
    struct host *h;

    world_init(&w);
    h = world_add(&w, NULL);
    REQUIRE(host_up(h));
    CHECK(host_ok(h, 0, 4, scan, sizeof(scan)));
    CHECK(host_ok(h, 0, 4, scan, sizeof(scan)));
    CHECK(host_event(h, 1, 20 * MS, NULL) != NULL);
    CHECK(host_event(h, 1, 3 * SEC, NULL) != NULL);
    CHECK_INT(host_counter(h, "events-scan-done"), 2);
    world_free(&w);
}

static void join(void)
{
    const struct esp_ap_config *cfg;
    uint8_t auth[72] = { 0 };
    uint8_t assoc[12] = { 8, 0, 0, 0, 221, 6, 0, 0x50, 0xf2, 2, 0, 1 };
    struct esp_ap *ap;
    const uint8_t *p;
    struct world w;
    struct host *h;
    size_t len;
    uint8_t mac[6];

    world_init(&w);
    ap = world_add_ap(&w, "net", 11);
    cfg = esp_ap_get_config(ap);
    h = world_add(&w, NULL);
    REQUIRE(host_up(h));
    memcpy(mac, h->rsp + 8, 6);
    memcpy(auth, cfg->bssid, 6);
    auth[6] = 11;
    memcpy(auth + 8, "net", 3);
    /* The blocking scan takes its dwell time. */
    int64_t start = w.now;
    CHECK(host_ok(h, 0, 11, auth, sizeof(auth)));
    CHECK(w.now - start >= 120 * MS);
    /* FQ-6: a scan-done nobody asked for, but no results: no SCAN before */
    p = host_event(h, 1, 100 * MS, &len);
    REQUIRE(p != NULL);
    CHECK_INT(p[1], 0);
    p = host_event(h, 4, SEC, &len);
    REQUIRE(p != NULL);
    CHECK_INT(len, 28 + 24 + 6);
    CHECK_INT(get16(p + 24), 30);
    CHECK_INT(get16(p + 26), 0);
    CHECK(!memcmp(p + 4, cfg->bssid, 6));
    CHECK_INT(p[10], 11);
    CHECK_INT(p[28], 0xb0);
    CHECK(!memcmp(p + 32, mac, 6));
    CHECK(!memcmp(p + 38, cfg->bssid, 6));
    CHECK(!memcmp(p + 44, cfg->bssid, 6));
    CHECK_INT(get16(p + 52), 0);
    CHECK_INT(get16(p + 54), 2);
    CHECK_INT(get16(p + 56), 0);
    CHECK(host_ok(h, 0, 12, assoc, sizeof(assoc)));
    p = host_event(h, 5, SEC, &len);
    REQUIRE(p != NULL);
    CHECK_INT(len, 60 + get16(p + 46));
    CHECK_INT(p[10], 1);
    CHECK_INT(p[11], 11);
    CHECK_INT(get32(p + 48), -42);
    CHECK_INT(p[60], 0x10);
    CHECK_INT(get16(p + 86), 0);
    CHECK_INT(get16(p + 88), 0xc001);
    CHECK(esp_ap_has_stations(ap));
    REQUIRE(host_command(h, 0, 27, "\0\0\0", 4));
    CHECK_INT(h->rsp_status, 2);
    CHECK_INT(h->rsp[2], 1);
    CHECK_INT(h->rsp_len, 21);
    CHECK_INT((int8_t)h->rsp[8], -42);
    CHECK_INT(ap_counter(ap, "auths"), 1);
    CHECK_INT(ap_counter(ap, "assocs"), 1);
    world_free(&w);
}

static void auth_failures(void)
{
    uint8_t auth[72] = { 2, 0, 0, 0, 0, 9, 6 };
    const struct esp_ap_config *cfg;
    struct esp_ap *ap;
    const uint8_t *p;
    struct world w;
    struct host *h;
    size_t len;

    world_init(&w);
    ap = world_add_ap(&w, "net", 6);
    cfg = esp_ap_get_config(ap);
    h = world_add(&w, NULL);
    REQUIRE(host_up(h));
    /* No such BSSID: FAIL, and the scan-done of the internal scan */
    REQUIRE(host_command(h, 0, 11, auth, sizeof(auth)));
    CHECK_INT(h->rsp_status, 1);
    CHECK(host_event(h, 1, 10 * MS, NULL) != NULL);
    /* Switched off between the scan and the frame: nothing answers. */
    memcpy(auth, cfg->bssid, 6);
    host_send(h, 0, 1, (const uint8_t[80]) { 0 }, 8);
    {
        uint8_t request[80] = { 11 };

        memcpy(request + 8, auth, 72);
        host_send(h, 0, 1, request, 80);
    }
    world_run(&w, 100 * MS);
    esp_ap_set_enabled(ap, false);
    p = host_event(h, 3, 3 * SEC, &len);
    REQUIRE(p != NULL);
    CHECK_INT(len, 44);
    CHECK_INT(p[43], 2);
    CHECK(!memcmp(p + 4, cfg->bssid, 6));
    /* FQ-12: data is still taken, and goes nowhere. */
    h->event_count = 0;
    host_send(h, 0, 0, (const uint8_t[60]) { 0 }, 60);
    world_run(&w, 10 * MS);
    CHECK_INT(host_counter(h, "rx-drop-no-link"), 0);
    CHECK_INT(host_counter(h, "radio-drop-link"), 1);
    world_free(&w);
}

/* FQ-7: whoever came last decides what is forwarded. */
static void forwarding_masks(void)
{
    uint8_t scan[44] = { [41] = 6 };
    uint8_t auth[72] = { 0 };
    const struct esp_ap_config *cfg;
    struct esp_ap *ap;
    struct world w;
    struct host *h;

    world_init(&w);
    ap = world_add_ap(&w, "net", 6);
    cfg = esp_ap_get_config(ap);
    h = world_add(&w, NULL);
    REQUIRE(host_up(h));
    memcpy(auth, cfg->bssid, 6);
    auth[6] = 6;
    memcpy(auth + 8, "net", 3);
    /* After a SCAN the internal scan of STA_AUTH gives results too. */
    CHECK(host_ok(h, 0, 4, scan, sizeof(scan)));
    world_run(&w, 500 * MS);
    while (host_event(h, 1, 50 * MS, NULL)) {
        continue;
    }
    CHECK_INT(host_counter(h, "events-scan-result"), 2);
    CHECK(host_ok(h, 0, 11, auth, sizeof(auth)));
    CHECK(host_event(h, 4, SEC, NULL) != NULL);
    CHECK_INT(host_counter(h, "events-scan-result"), 4);
    CHECK_INT(host_counter(h, "events-scan-done"), 2);
    /* A second STA_AUTH: beacons are no longer forwarded. */
    CHECK(host_ok(h, 0, 11, auth, sizeof(auth)));
    CHECK(host_event(h, 4, SEC, NULL) != NULL);
    CHECK_INT(host_counter(h, "events-scan-result"), 4);
    world_free(&w);
}

static void make_eth(uint8_t *frame, const uint8_t *dst, const uint8_t *src,
                     unsigned type, size_t len)
{
    memset(frame, 0, len);
    memcpy(frame, dst, 6);
    memcpy(frame + 6, src, 6);
    frame[12] = (uint8_t)(type >> 8);
    frame[13] = (uint8_t)type;
    for (size_t i = 14; i < len; i++) {
        frame[i] = (uint8_t)i;
    }
}

static const uint8_t gateway[6] = { 0x52, 0x55, 10, 0, 2, 2 };
static const uint8_t everyone[6] = { 255, 255, 255, 255, 255, 255 };

static void data(void)
{
    uint8_t frame[1600];
    struct esp_ap *ap;
    const uint8_t *p;
    struct world w;
    struct host *h;
    uint8_t mac[6];
    unsigned offsets = 0;
    size_t len;

    world_init(&w);
    ap = world_add_ap(&w, "net", 6);
    h = world_add(&w, NULL);
    REQUIRE(host_up(h));
    memcpy(mac, h->rsp + 8, 6);
    /* Before the connection nothing passes. */
    make_eth(frame, gateway, mac, 0x0800, 60);
    host_send(h, 0, 0, frame, 60);
    world_run(&w, 10 * MS);
    CHECK_INT(w.packet_count, 0);
    CHECK_INT(host_counter(h, "rx-drop-no-link"), 1);
    esp_ap_receive(ap, frame, 60);
    CHECK_INT(ap_counter(ap, "drop-no-station"), 1);

    REQUIRE(host_join(h, ap));
    host_send(h, 0, 0, frame, 60);
    world_run(&w, 10 * MS);
    CHECK_INT(w.packet_count, 1);
    CHECK_INT(w.packet[0].len, 60);
    CHECK(!memcmp(w.packet[0].data, frame, 60));
    make_eth(frame, gateway, mac, 0x0800, 1514);
    host_send(h, 0, 0, frame, 1514);
    world_run(&w, 10 * MS);
    CHECK_INT(w.packet[1].len, 1514);
    CHECK(!memcmp(w.packet[1].data, frame, 1514));

    /* Down: unicast to us, broadcast, not for somebody else */
    for (len = 14; len <= 1514; len += 250) {
        make_eth(frame, len & 1 ? everyone : mac, gateway, 0x0800, len);
        esp_ap_receive(ap, frame, len);
        world_run(&w, 10 * MS);
        {
            uint8_t rx[FRAME];
            size_t n = host_receive(h, rx, SEC);
            unsigned offset = get16(rx + 6);

            CHECK_INT(n, offset + len);
            CHECK(offset >= 12 && offset <= 15);
            offsets |= 1u << (offset - 12);
            CHECK(!memcmp(rx + offset, frame, len));
            CHECK_INT(rx[0], 0);
            CHECK_INT(rx[2], 0);
        }
    }
    CHECK(offsets & (offsets - 1));
    make_eth(frame, gateway, mac, 0x0800, 60);
    esp_ap_receive(ap, frame, 60);
    CHECK_INT(ap_counter(ap, "drop-no-station"), 2);
    esp_ap_receive(ap, frame, 13);
    esp_ap_receive(ap, frame, 1589);
    CHECK_INT(ap_counter(ap, "drop-length"), 2);
    /* The longest that fits: 12 + 1588, if the buffer lies well */
    make_eth(frame, mac, gateway, 0x0800, 1588);
    esp_ap_receive(ap, frame, 1588);
    world_run(&w, 10 * MS);
    CHECK_INT(host_counter(h, "radio-rx-data"), 8);
    /* EAPOL comes as its own packet type, before all data. */
    h->event_count = 0;
    while (host_receive(h, frame, 20 * MS)) {
        continue;
    }
    make_eth(frame, mac, gateway, 0x888e, 113);
    /* From the access point only: 9.2 */
    esp_ap_receive(ap, frame, 113);
    CHECK_INT(host_receive(h, h->rsp, 20 * MS), 0);
    memcpy(frame + 6, esp_ap_get_config(ap)->bssid, 6);
    esp_ap_receive(ap, frame, 113);
    {
        uint8_t rx[FRAME];

        CHECK_INT(host_receive(h, rx, SEC), 12 + 113);
        CHECK_INT(rx[2], 4);
        CHECK(!memcmp(rx + 12, frame, 113));
    }
    p = host_data(h, 10 * MS, &len);
    CHECK(p == NULL);
    world_free(&w);
}

/* Firmware before 1.0.6 always uses offset 12. */
static void old_offsets(void)
{
    struct esp_config cfg = world_config(ESP_GENERATION_G1);
    uint8_t frame[1600];
    struct esp_ap *ap;
    struct world w;
    struct host *h;
    uint8_t mac[6];

    world_init(&w);
    ap = world_add_ap(&w, "net", 6);
    cfg.fw_version_set = esp_fw_version_parse("1.0.5.0.4", cfg.fw_version);
    h = world_add(&w, &cfg);
    REQUIRE(host_up(h));
    memcpy(mac, h->rsp + 8, 6);
    REQUIRE(host_join(h, ap));
    for (unsigned i = 0; i < 20; i++) {
        uint8_t rx[FRAME];

        make_eth(frame, mac, gateway, 0x0800, 100 + i);
        esp_ap_receive(ap, frame, 100 + i);
        CHECK_INT(host_receive(h, rx, SEC), 112 + i);
        CHECK_INT(get16(rx + 6), 12);
    }
    world_free(&w);
}

/* More than the access point can buffer: tail drop, order kept. */
static void overload(void)
{
    uint8_t frame[1514];
    struct esp_ap *ap;
    const uint8_t *p;
    unsigned next = 0;
    struct world w;
    struct host *h;
    uint8_t mac[6];
    size_t len;

    world_init(&w);
    ap = world_add_ap(&w, "net", 6);
    h = world_add(&w, NULL);
    REQUIRE(host_up(h));
    memcpy(mac, h->rsp + 8, 6);
    REQUIRE(host_join(h, ap));
    make_eth(frame, mac, gateway, 0x0800, sizeof(frame));
    for (unsigned i = 0; i < 300; i++) {
        frame[20] = (uint8_t)i;
        frame[21] = (uint8_t)(i >> 8);
        esp_ap_receive(ap, frame, sizeof(frame));
    }
    CHECK_INT(ap_counter(ap, "to-station"), 256);
    CHECK_INT(ap_counter(ap, "drop-queue-full"), 44);
    while ((p = host_data(h, 20 * MS, &len))) {
        CHECK_INT(get16(p + 20), next);
        CHECK_INT(len, sizeof(frame));
        next++;
    }
    CHECK_INT(next, 256);
    world_free(&w);
}

/* Full-size frames both ways keep the bus as busy as it can be. */
static void throughput_of(enum esp_chip chip)
{
    struct esp_config cfg = world_config(ESP_GENERATION_G1);
    uint8_t up[1514];
    uint8_t down[1514];
    uint8_t tx[FRAME];
    uint8_t rx[FRAME];
    struct esp_ap *ap;
    unsigned received = 0;
    struct world w;
    struct host *h;
    uint8_t mac[6];
    int64_t period;
    int64_t start;
    uint64_t sent;

    world_init(&w);
    ap = world_add_ap(&w, "net", 6);
    cfg.chip = chip;
    h = world_add(&w, &cfg);
    REQUIRE(host_up(h));
    memcpy(mac, h->rsp + 8, 6);
    REQUIRE(host_join(h, ap));
    make_eth(up, gateway, mac, 0x0800, sizeof(up));
    make_eth(down, mac, gateway, 0x0800, sizeof(down));
    for (unsigned i = 0; i < 40; i++) {
        esp_ap_receive(ap, down, sizeof(down));
    }
    world_run(&w, 20 * MS);
    start = w.now;
    sent = ap_counter(ap, "from-station");
    for (unsigned i = 0; i < 1000; i++) {
        esp_ap_receive(ap, down, sizeof(down));
        make_frame(tx, 0, 0, 12 + i % 5, up, sizeof(up));
        REQUIRE(host_exchange(h, tx, FRAME, rx));
        received += get16(rx + 4) == sizeof(down);
    }
    period = (int64_t)(UINT64_C(1448) * 8 * SEC /
                       esp_engine_link_ceiling_bps(h->engine));
    CHECK(w.now - start <= 1000 * (period + 2));
    CHECK(w.now - start >= 999 * (period - 2));
    CHECK(received >= 998);
    CHECK_INT(host_counter(h, "rx-blocked"), 0);
    world_run(&w, 20 * MS);
    CHECK_INT(ap_counter(ap, "from-station") - sent, 1000);
    world_free(&w);
}

static void throughput(void)
{
    throughput_of(ESP_CHIP_ESP32);
    throughput_of(ESP_CHIP_ESP32C2);
    throughput_of(ESP_CHIP_ESP32C3);
    throughput_of(ESP_CHIP_ESP32C6);
}

static void disconnects(void)
{
    uint8_t leave[8] = { 8, 0 };
    struct esp_ap *ap;
    const uint8_t *p;
    struct world w;
    struct host *h;
    size_t len;

    world_init(&w);
    ap = world_add_ap(&w, "net", 6);
    h = world_add(&w, NULL);
    REQUIRE(host_up(h));
    /* Not connected: success, and no event (FQ-9) */
    CHECK(host_ok(h, 0, 6, leave, sizeof(leave)));
    CHECK(host_event(h, 3, 100 * MS, NULL) == NULL);
    /* Local */
    REQUIRE(host_join(h, ap));
    CHECK(host_ok(h, 0, 6, leave, sizeof(leave)));
    p = host_event(h, 3, 100 * MS, &len);
    REQUIRE(p != NULL);
    CHECK_INT(len, 44);
    CHECK_INT(p[1], 0);
    CHECK(!memcmp(p + 4, esp_ap_get_config(ap)->bssid, 6));
    CHECK(!memcmp(p + 10, "net\0", 4));
    CHECK_INT(p[43], 8);
    CHECK_INT(ap_counter(ap, "deauths-received"), 1);
    CHECK(!esp_ap_has_stations(ap));
    /* By the access point */
    REQUIRE(host_join(h, ap));
    CHECK_INT(esp_ap_deauth(ap, gateway, 7), 0);
    CHECK_INT(esp_ap_deauth(ap, NULL, 7), 1);
    p = host_event(h, 3, 100 * MS, &len);
    REQUIRE(p != NULL);
    CHECK_INT(p[43], 7);
    /* Beacon loss: gone for a moment is not gone */
    REQUIRE(host_join(h, ap));
    esp_ap_set_enabled(ap, false);
    CHECK(host_event(h, 3, 3 * SEC, &len) == NULL);
    esp_ap_set_enabled(ap, true);
    CHECK(host_event(h, 3, 9 * SEC, &len) == NULL);
    esp_ap_set_enabled(ap, false);
    p = host_event(h, 3, 9 * SEC, &len);
    REQUIRE(p != NULL);
    CHECK_INT(p[43], 200);
    CHECK_INT(host_counter(h, "beacon-timeouts"), 1);
    /* ifdown */
    esp_ap_set_enabled(ap, true);
    REQUIRE(host_join(h, ap));
    CHECK(host_ok(h, 0, 7, NULL, 0));
    p = host_event(h, 3, 100 * MS, &len);
    REQUIRE(p != NULL);
    CHECK_INT(p[43], 3);
    /* A new connection ends the old one. */
    CHECK(host_ok(h, 0, 1, NULL, 0));
    world_run(&w, 5 * MS);
    REQUIRE(host_join(h, ap));
    REQUIRE(host_join(h, ap));
    CHECK(host_event(h, 3, 100 * MS, NULL) != NULL);
    CHECK(esp_ap_has_stations(ap));
    world_free(&w);
}

/* Two stations of one access point, one of another */
static void several_stations(void)
{
    struct esp_config cfg = world_config(ESP_GENERATION_G1);
    uint8_t frame[100];
    struct esp_ap *ap;
    struct esp_ap *other;
    const uint8_t *p;
    uint8_t mac[3][6];
    struct host *h[3];
    struct world w;
    size_t len;

    world_init(&w);
    ap = world_add_ap(&w, "net", 6);
    other = world_add_ap(&w, "other", 1);
    for (unsigned i = 0; i < 3; i++) {
        cfg.seed = i + 1;
        h[i] = world_add(&w, &cfg);
    }
    for (unsigned i = 0; i < 3; i++) {
        REQUIRE(host_up(h[i]));
        memcpy(mac[i], h[i]->rsp + 8, 6);
        REQUIRE(host_join(h[i], i < 2 ? ap : other));
        h[i]->event_count = 0;
    }
    CHECK(memcmp(mac[0], mac[1], 6) && memcmp(mac[1], mac[2], 6));
    /* Station to station stays in the air. */
    make_eth(frame, mac[1], mac[0], 0x0800, 100);
    host_send(h[0], 0, 0, frame, 100);
    p = host_data(h[1], SEC, &len);
    REQUIRE(p != NULL);
    CHECK(len == 100 && !memcmp(p, frame, 100));
    CHECK_INT(w.packet_count, 0);
    CHECK_INT(ap_counter(ap, "relayed"), 1);
    /* Broadcast goes to the network and to the others. */
    make_eth(frame, everyone, mac[0], 0x0806, 60);
    host_send(h[0], 0, 0, frame, 60);
    CHECK(host_data(h[1], SEC, &len) != NULL);
    CHECK_INT(w.packet_count, 1);
    CHECK(host_data(h[0], 10 * MS, &len) == NULL);
    CHECK(host_data(h[2], 10 * MS, &len) == NULL);
    /* From the network to all of one access point */
    make_eth(frame, everyone, gateway, 0x0806, 60);
    esp_ap_receive(ap, frame, 60);
    CHECK(host_data(h[0], SEC, &len) != NULL);
    CHECK(host_data(h[1], SEC, &len) != NULL);
    CHECK(host_data(h[2], 10 * MS, &len) == NULL);
    world_free(&w);
}

/* A network that answers at once, from inside send, as slirp does */
static struct esp_ap *echo_ap;
static unsigned echoes;

static void echo_send(void *opaque, const uint8_t *frame, size_t len)
{
    uint8_t back[FRAME];

    (void)opaque;
    memcpy(back, frame + 6, 6);
    memcpy(back + 6, frame, 6);
    memcpy(back + 12, frame + 12, len - 12);
    echoes++;
    esp_ap_receive(echo_ap, back, len);
    esp_ap_receive(echo_ap, back, len);
}

static void answers_at_once(void)
{
    static const struct esp_ap_ops echo_ops = { .send = echo_send };
    struct esp_ap_config cfg;
    uint8_t frame[300];
    const uint8_t *p;
    struct world w;
    struct host *h;
    char err[128];
    size_t len;
    uint8_t mac[6];

    echoes = 0;
    world_init(&w);
    esp_ap_config_init(&cfg);
    echo_ap = esp_ap_new(w.air, &cfg, &echo_ops, NULL, err, sizeof(err));
    w.ap[w.ap_count++] = echo_ap;
    h = world_add(&w, NULL);
    REQUIRE(host_up(h));
    memcpy(mac, h->rsp + 8, 6);
    REQUIRE(host_join(h, echo_ap));
    for (unsigned i = 0; i < 5; i++) {
        make_eth(frame, gateway, mac, 0x0800, 100 + i);
        host_send(h, 0, 0, frame, 100 + i);
        for (unsigned j = 0; j < 2; j++) {
            p = host_data(h, SEC, &len);
            CHECK(p && len == 100 + i && !memcmp(p, mac, 6));
        }
    }
    CHECK_INT(echoes, 5);
    world_free(&w);
}

/* Only the ESP32-C5 hears 5 GHz. */
static void five_ghz(void)
{
    for (unsigned dual = 0; dual < 2; dual++) {
        struct esp_config cfg = world_config(ESP_GENERATION_G1);
        uint8_t scan[44] = { 0 };
        const uint8_t *p;
        const uint8_t *ie;
        unsigned channels = 0;
        struct world w;
        struct host *h;
        size_t len;

        world_init(&w);
        world_add_ap(&w, "low", 36);
        world_add_ap(&w, "mid", 100);
        world_add_ap(&w, "high", 161);
        cfg.chip = dual ? ESP_CHIP_ESP32C5 : ESP_CHIP_ESP32C6;
        cfg.scan_dwell_ns = 110 * MS;
        h = world_add(&w, &cfg);
        REQUIRE(host_up(h));
        CHECK(host_ok(h, 0, 4, scan, sizeof(scan)));
        while ((p = host_event(h, 1, 10 * SEC, &len)) && p[1]) {
            channels |= p[11] == 36 ? 1 : p[11] == 100 ? 2 :
                        p[11] == 161 ? 4 : 8;
            CHECK_INT(find_ie(p + 40, len - 40, 3, &ie), -1);
            CHECK_INT(find_ie(p + 40, len - 40, 61, &ie), 22);
            CHECK_INT(ie[0], p[11]);
        }
        CHECK(p != NULL);
        CHECK_INT(channels, dual ? 7 : 0);
        world_free(&w);
    }
}

static void access_points(void)
{
    struct esp_ap_config cfg;
    struct esp_air *air = esp_air_new();
    struct esp_ap *ap[ESP_AIR_MAX_APS];
    char err[128];

    esp_ap_config_init(&cfg);
    cfg.channel = 0;
    CHECK(!esp_ap_new(air, &cfg, NULL, NULL, err, sizeof(err)));
    CHECK(!strcmp(err, "the channel must be 1 to 14 or 36 to 177"));
    cfg.channel = 36;
    cfg.ssid_len = 33;
    CHECK(!esp_ap_new(air, &cfg, NULL, NULL, err, sizeof(err)));
    cfg.ssid_len = 3;
    cfg.signal_dbm = 5;
    CHECK(!esp_ap_new(air, &cfg, NULL, NULL, err, sizeof(err)));
    cfg.signal_dbm = -5;
    cfg.bssid[0] = 1;
    CHECK(!esp_ap_new(air, &cfg, NULL, NULL, err, sizeof(err)));
    cfg.bssid[0] = 0;
    for (unsigned i = 0; i < ESP_AIR_MAX_APS; i++) {
        cfg.ssid[0] = (uint8_t)('a' + i);
        ap[i] = esp_ap_new(air, &cfg, NULL, NULL, err, sizeof(err));
        CHECK(ap[i] != NULL);
        if (i == 0) {
            CHECK(!esp_ap_new(air, &cfg, NULL, NULL, err, sizeof(err)));
            CHECK(!strcmp(err, "another access point has this BSSID"));
        }
    }
    cfg.ssid[0] = 'Z';
    CHECK(!esp_ap_new(air, &cfg, NULL, NULL, err, sizeof(err)));
    for (unsigned i = 0; i < ESP_AIR_MAX_APS; i++) {
        esp_ap_free(ap[i]);
    }
    esp_air_free(air);
}

const struct test station_tests[] = {
    { "station: scan of all channels", scan_all },
    { "station: directed scan, hidden SSID", scan_directed },
    { "station: a new scan ends the old one", scan_overridden },
    { "station: authentication and association", join },
    { "station: failed authentication", auth_failures },
    { "station: forwarding masks", forwarding_masks },
    { "station: data both ways", data },
    { "station: offsets of old firmware", old_offsets },
    { "station: overload", overload },
    { "station: throughput both ways", throughput },
    { "station: disconnects", disconnects },
    { "station: several stations", several_stations },
    { "station: a network that answers at once", answers_at_once },
    { "station: 5 GHz", five_ghz },
    { "station: access point configuration", access_points },
    { 0 }
};
