/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The second generation: protocol-g2.md 3 to 7 and 12
 */
#include <string.h>

#include "tap.h"
#include "world.h"

static unsigned get16(const uint8_t *p)
{
    return p[0] | (unsigned)p[1] << 8;
}

static struct host *start(struct world *w, struct esp_ap **ap)
{
    static const uint8_t mac[6] = { 0x24, 0x6f, 0x28, 0x80, 0x2c, 0x34 };
    struct esp_config cfg = world_config(ESP_GENERATION_G2);

    world_init(w);
    *ap = world_add_ap(w, "test", 6);
    memcpy(cfg.mac, mac, 6);
    cfg.mac_set = true;
    return world_add(w, &cfg);
}

static void expect(struct host *h, uint8_t if_type, uint8_t code,
                   const void *body, size_t len, uint8_t status,
                   unsigned data)
{
    if (!host_command(h, if_type, code, body, len)) {
        tap_fail(__FILE__, __LINE__, "code %u: no answer", code);
        return;
    }
    if (h->rsp_code != code || h->rsp_status != status ||
        get16(h->rsp + 2) != data ||
        h->rsp_len != (code == 25 ? 28 : 20) + data ||
        h->rsp_seq != h->seq) {
        tap_fail(__FILE__, __LINE__,
                 "code %u: answer %u status %u data %u len %zu seq %u, "
                 "expected status %u data %u seq %u", code, h->rsp_code,
                 h->rsp_status, h->rsp[2], h->rsp_len, h->rsp_seq, status,
                 data, h->seq);
    }
}

static void check_answer(struct host *h, const char *request,
                         const char *want)
{
    uint8_t tx[FRAME];
    uint8_t rx[FRAME];
    uint8_t bytes[FRAME];
    size_t n = unhex(tx, request);
    size_t m = unhex(bytes, want);

    CHECK(host_exchange(h, tx, n, rx));
    n = host_receive(h, rx, SEC);
    if (n != m || memcmp(rx, bytes, n)) {
        tap_fail(__FILE__, __LINE__, "not the test vector");
        tap_hex("got", rx, n);
        tap_hex("expected", bytes, m);
    }
}

static void vectors(void)
{
    uint8_t request[8] = { 99, [4] = 5 };
    struct esp_ap *ap;
    struct world w;
    struct host *h;
    uint8_t tx[FRAME];
    uint8_t rx[FRAME];
    uint8_t want[FRAME];
    size_t n;

    h = start(&w, &ap);
    REQUIRE(host_boot(h));
    check_answer(h, "00 00 01 00 08 00 0c 00 17 00 00 00 01 00 00 00 01 00 "
                 "00 00",
                 "00 00 02 00 14 00 0c 00 26 00 00 00 01 02 00 00 01 00 00 "
                 "00 +12x00");
    make_frame(tx, 0, 1, 12, (const uint8_t[8]) { 3, [4] = 2 }, 8);
    CHECK(host_exchange(h, tx, FRAME, NULL));
    n = host_receive(h, rx, SEC);
    CHECK_INT(n, unhex(want, "00 00 02 00 1a 00 0c 00 d0 01 00 00 03 02 06 "
                       "00 02 00 00 00 24 6f 28 80 2c 34 +12x00"));
    CHECK(!memcmp(rx, want, n));
    make_frame(tx, 0, 1, 12, request, 8);
    CHECK(host_exchange(h, tx, FRAME, NULL));
    n = host_receive(h, rx, SEC);
    CHECK_INT(n, unhex(want, "00 00 02 00 14 00 0c 00 8e 00 00 00 63 04 00 "
                       "00 05 00 00 00 +12x00"));
    CHECK(!memcmp(rx, want, n));
    check_answer(h, "00 00 01 00 14 00 0c 00 45 00 00 00 21 00 00 00 03 00 "
                 "00 00 +12x00",
                 "00 00 02 00 20 00 0c 00 60 00 00 00 21 02 0c 00 03 00 00 "
                 "00 +24x00");
    /* Authorisation before any connection: busy, not the vector's host */
    check_answer(h, "00 00 01 00 10 00 0c 00 4a 00 00 00 20 00 00 00 09 00 "
                 "00 00 02 00 00 00 00 01 01 00",
                 "00 00 02 00 14 00 0c 00 4e 00 00 00 20 03 00 00 09 00 00 "
                 "00 +12x00");
    world_free(&w);
}

/* STA_DISCONNECT of section 12: BSSID 02:..:01, "test", reason 3, seq 8 */
static void disconnect_vector(void)
{
    static const struct esp_ap_ops silent;
    struct esp_ap_config cfg;
    struct esp_ap *ap;
    struct world w;
    struct host *h;
    uint8_t want[FRAME];
    uint8_t rx[FRAME];
    char err[128];
    size_t n;

    world_init(&w);
    esp_ap_config_init(&cfg);
    memcpy(cfg.ssid, "test", 4);
    cfg.ssid_len = 4;
    memcpy(cfg.bssid, "\x02\0\0\0\0\x01", 6);
    ap = esp_ap_new(w.air, &cfg, &silent, NULL, err, sizeof(err));
    w.ap[w.ap_count++] = ap;
    {
        struct esp_config g2 = world_config(ESP_GENERATION_G2);

        h = world_add(&w, &g2);
    }
    REQUIRE(host_up(h));
    REQUIRE(host_join(h, ap));
    h->event_count = 0;
    h->seq = 7;
    host_send(h, 0, 1, (const uint8_t[16]) { 6, [4] = 8, [8] = 3 }, 16);
    n = host_receive(h, rx, SEC);
    CHECK_INT(rx[2], 2);
    CHECK_INT(rx[13], 2);
    n = host_receive(h, rx, SEC);
    CHECK_INT(n, unhex(want, "00 00 03 00 2e 00 0c 00 38 02 00 00 03 00 2a "
                       "00 02 00 00 00 00 01 74 65 73 74 +29x00 03 08 00"));
    CHECK(!memcmp(rx, want, n));
    if (memcmp(rx, want, n)) {
        tap_hex("got", rx, n);
    }
    world_free(&w);
}

static void sequences(void)
{
    uint8_t auth[72] = { 0 };
    uint8_t assoc[4] = { 0, 0, 0, 0 };
    uint8_t leave[8] = { 3 };
    const uint8_t *p;
    struct esp_ap *ap;
    uint16_t assoc_seq;
    struct world w;
    struct host *h;
    size_t len;

    h = start(&w, &ap);
    REQUIRE(host_up(h));
    memcpy(auth, esp_ap_get_config(ap)->bssid, 6);
    auth[6] = 6;
    memcpy(auth + 8, "test", 4);
    h->seq = 0x1233;
    expect(h, 0, 11, auth, sizeof(auth), 2, 0);
    p = host_event(h, 4, SEC, &len);
    REQUIRE(p != NULL);
    CHECK_INT(len, 28 + 30);
    CHECK_INT(get16(p + 26), 0x1234);
    expect(h, 0, 12, assoc, sizeof(assoc), 2, 0);
    assoc_seq = h->seq;
    p = host_event(h, 5, SEC, &len);
    REQUIRE(p != NULL);
    CHECK_INT(get16(p + 46), assoc_seq);
    CHECK_INT(len, 62 + get16(p + 48));
    CHECK_INT(p[62], 0x10);
    CHECK_INT(get16(p + 88), 0);
    /* Types 1 and 2 are refused. */
    {
        uint8_t request[16] = { 6, [4] = 77, [6] = 1, [8] = 3 };

        host_send(h, 0, 1, request, 16);
        CHECK_INT(host_receive(h, h->rsp, SEC), 32);
        CHECK_INT(h->rsp[13], 4);
    }
    /* By the access point: the sequence of the association */
    esp_ap_deauth(ap, NULL, 2);
    p = host_event(h, 3, SEC, &len);
    REQUIRE(p != NULL);
    CHECK_INT(len, 46);
    CHECK_INT(get16(p + 44), assoc_seq);
    /* No session: status 1 */
    expect(h, 0, 6, leave, sizeof(leave), 1, 0);
    /* Locally: that of the command */
    REQUIRE(host_join(h, ap));
    expect(h, 0, 6, leave, sizeof(leave), 2, 0);
    p = host_event(h, 3, SEC, &len);
    REQUIRE(p != NULL);
    CHECK_INT(get16(p + 44), h->seq);
    /* DEINIT forgets it. */
    REQUIRE(host_join(h, ap));
    expect(h, 0, 7, NULL, 0, 2, 0);
    p = host_event(h, 3, SEC, &len);
    REQUIRE(p != NULL);
    CHECK_INT(get16(p + 44), 0);
    world_free(&w);
}

/* GQ-1: sequence 0 gives no AUTH_RX and no ASSOC_RX. GQ-2: one each. */
static void sequence_zero(void)
{
    uint8_t auth[80] = { 11 };
    struct esp_ap *ap;
    struct world w;
    struct host *h;

    h = start(&w, &ap);
    REQUIRE(host_up(h));
    memcpy(auth + 8, esp_ap_get_config(ap)->bssid, 6);
    auth[14] = 6;
    memcpy(auth + 16, "test", 4);
    host_send(h, 0, 1, auth, sizeof(auth));
    CHECK(host_event(h, 4, 500 * MS, NULL) == NULL);
    host_send(h, 0, 1, (const uint8_t[12]) { 12 }, 12);
    CHECK(host_event(h, 5, 500 * MS, NULL) == NULL);
    CHECK(esp_ap_has_stations(ap));
    world_free(&w);
}

static void failed_attempts(void)
{
    uint8_t auth[72] = { 0 };
    uint8_t assoc[4] = { 0 };
    struct esp_ap *ap;
    const uint8_t *p;
    struct world w;
    struct host *h;
    size_t len;

    h = start(&w, &ap);
    REQUIRE(host_up(h));
    memcpy(auth, esp_ap_get_config(ap)->bssid, 6);
    auth[6] = 6;
    /* The wrong SSID: the rejected association is delivered. */
    memcpy(auth + 8, "best", 4);
    expect(h, 0, 11, auth, sizeof(auth), 2, 0);
    CHECK(host_event(h, 4, SEC, NULL) != NULL);
    expect(h, 0, 12, assoc, sizeof(assoc), 2, 0);
    p = host_event(h, 5, SEC, &len);
    REQUIRE(p != NULL);
    CHECK_INT(get16(p + 46), h->seq);
    CHECK_INT(get16(p + 88), 1);
    p = host_event(h, 3, SEC, &len);
    REQUIRE(p != NULL);
    CHECK_INT(p[43], 203);
    CHECK_INT(get16(p + 44), 0);
    memcpy(auth + 8, "test", 4);
    expect(h, 0, 11, auth, sizeof(auth), 2, 0);
    CHECK(host_event(h, 4, SEC, NULL) != NULL);
    /* Nothing follows: the attempt times out, with sequence 0 (GQ-3). */
    p = host_event(h, 3, 10 * SEC, &len);
    REQUIRE(p != NULL);
    CHECK_INT(get16(p + 44), 0);
    /* Data after a failed attempt is refused (FQ-12 fixed). */
    host_send(h, 0, 0, (const uint8_t[60]) { 0 }, 60);
    world_run(&w, 10 * MS);
    CHECK_INT(host_counter(h, "rx-drop-no-link"), 1);
    /* STA_ASSOC without authentication fails. */
    expect(h, 0, 12, assoc, sizeof(assoc), 1, 0);
    /* Auth data of 1 to 3 bytes, or more than there is */
    auth[69] = 3;
    expect(h, 0, 11, auth, sizeof(auth), 5, 0);
    auth[69] = 200;
    expect(h, 0, 11, auth, sizeof(auth), 5, 0);
    /* Busy while connecting */
    auth[69] = 0;
    expect(h, 0, 11, auth, sizeof(auth), 2, 0);
    expect(h, 0, 11, auth, sizeof(auth), 3, 0);
    world_free(&w);
}

static void port(void)
{
    uint8_t frame[60] = { 0x52, 0x55, 10, 0, 2, 2, [12] = 8 };
    uint8_t authorise[8] = { [6] = 1 };
    uint8_t auth[72] = { 0 };
    uint8_t assoc[4] = { 0, 0, 1, 0 };
    struct esp_ap *ap;
    struct world w;
    struct host *h;

    h = start(&w, &ap);
    REQUIRE(host_up(h));
    memcpy(auth, esp_ap_get_config(ap)->bssid, 6);
    auth[6] = 6;
    memcpy(auth + 8, "test", 4);
    expect(h, 0, 32, authorise, 8, 3, 0);
    expect(h, 1, 32, authorise, 8, 5, 0);
    expect(h, 0, 11, auth, sizeof(auth), 2, 0);
    CHECK(host_event(h, 4, SEC, NULL) != NULL);
    expect(h, 0, 12, assoc, sizeof(assoc), 2, 0);
    CHECK(host_event(h, 5, SEC, NULL) != NULL);
    /* Control port: data waits, EAPOL passes. */
    host_send(h, 0, 0, frame, sizeof(frame));
    world_run(&w, 10 * MS);
    CHECK_INT(w.packet_count, 0);
    CHECK_INT(host_counter(h, "rx-drop-port"), 1);
    host_send(h, 0, 4, frame, sizeof(frame));
    world_run(&w, 10 * MS);
    CHECK_INT(w.packet_count, 1);
    CHECK_INT(host_counter(h, "rx-eapol"), 1);
    authorise[0] = 2;
    expect(h, 0, 32, authorise, 8, 1, 0);
    memcpy(authorise, auth, 6);
    authorise[6] = 2;
    expect(h, 0, 32, authorise, 8, 5, 0);
    authorise[6] = 1;
    expect(h, 0, 32, authorise, 8, 2, 0);
    host_send(h, 0, 0, frame, sizeof(frame));
    world_run(&w, 10 * MS);
    CHECK_INT(w.packet_count, 2);
    /* Closed again, association kept */
    authorise[6] = 0;
    expect(h, 0, 32, authorise, 8, 2, 0);
    host_send(h, 0, 0, frame, sizeof(frame));
    world_run(&w, 10 * MS);
    CHECK_INT(w.packet_count, 2);
    CHECK(esp_ap_has_stations(ap));
    world_free(&w);
}

static void statuses(void)
{
    static const uint8_t short_one[] = {
        2, 4, 6, 13, 14, 16, 18, 21, 26, 28, 32, 33,
    };
    static const uint8_t short_five[] = { 8, 11, 12, 22, 23, 24, 25, 30 };
    struct esp_config cfg = world_config(ESP_GENERATION_G2);
    struct esp_ap *ap;
    struct world w;
    struct host *h;

    h = start(&w, &ap);
    REQUIRE(host_up(h));
    for (unsigned i = 0; i < sizeof(short_one); i++) {
        expect(h, 0, short_one[i], NULL, 0, 1, 0);
    }
    for (unsigned i = 0; i < sizeof(short_five); i++) {
        expect(h, 0, short_five[i], NULL, 0, 5, 0);
    }
    CHECK_INT(host_counter(h, "commands-short"), 20);
    /* No link: RSSI fails without data (FQ-16 fixed). */
    expect(h, 0, 27, NULL, 0, 1, 0);
    /* Regulatory domain works (FQ-1, FQ-2 fixed). */
    expect(h, 0, 18, "DE\0", 4, 2, 4);
    expect(h, 0, 17, "\0\0\0", 4, 2, 4);
    CHECK(!memcmp(h->rsp + 8, "DE\0", 4));
    expect(h, 0, 14, (const uint8_t[49]) { 9 }, 49, 1, 0);
    expect(h, 0, 22, "\x07\0\0", 4, 5, 2);
    /* A refused MAC does not stick. */
    expect(h, 0, 2, (const uint8_t[8]) { 1 }, 8, 1, 6);
    expect(h, 0, 3, NULL, 0, 2, 6);
    CHECK_INT(h->rsp[8], 0x24);
    /* Radio services: Bluetooth there is, 802.15.4 not. */
    expect(h, 0, 33, (const uint8_t[12]) { 1 }, 12, 2, 12);
    expect(h, 0, 33, (const uint8_t[12]) { 2 }, 12, 4, 12);
    expect(h, 0, 33, (const uint8_t[12]) { 4 }, 12, 5, 12);
    expect(h, 0, 34, NULL, 0, 2, 12);
    expect(h, 0, 0, NULL, 0, 4, 0);
    expect(h, 0, 35, NULL, 0, 4, 0);
    expect(h, 0, 255, NULL, 0, 4, 0);
    world_free(&w);

    /* Without extended bit 14 none can be had. */
    cfg.ext_capabilities = 0;
    world_init(&w);
    h = world_add(&w, &cfg);
    REQUIRE(host_up(h));
    expect(h, 0, 33, (const uint8_t[12]) { 1 }, 12, 4, 12);
    world_free(&w);
}

static void mode_restarts(void)
{
    uint8_t scan[44] = { [41] = 6 };
    struct esp_ap *ap;
    struct world w;
    struct host *h;

    h = start(&w, &ap);
    REQUIRE(host_up(h));
    expect(h, 0, 7, NULL, 0, 2, 0);
    expect(h, 0, 4, scan, sizeof(scan), 1, 0);
    /* The same mode starts a stopped Wi-Fi (FQ-15 fixed). */
    expect(h, 0, 22, "\x01\0\0", 4, 2, 2);
    expect(h, 0, 4, scan, sizeof(scan), 2, 0);
    CHECK(host_event(h, 1, SEC, NULL) != NULL);
    world_free(&w);
}

/* What protocol-g2.md 9 and 12 ask for and no other test shows */
static void newest_host(void)
{
    static const uint8_t types[] = { 4, 5, 0, 1, 2 };
    uint8_t config[45] = { 'n', 'e', 't', [32] = 3, [33] = 6, [40] = 100 };
    uint8_t del_key[68] = { [64] = 1 };
    struct esp_config cfg = world_config(ESP_GENERATION_G2);
    struct esp_ap *ap;
    struct world w;
    struct host *h;
    int64_t released;

    world_init(&w);
    ap = world_add_ap(&w, "test", 6);
    cfg.boot_ns = ESP_AUTO64;
    h = world_add(&w, &cfg);
    esp_engine_set_reset(h->engine, false);
    esp_engine_set_reset(h->engine, true);
    released = w.now;
    CHECK(host_wait(h, ESP_LINE_HANDSHAKE, true, 5 * SEC));
    CHECK(w.now - released > 500 * MS);
    CHECK(w.now - released < 3700 * MS);
    /* Lines wait for a host that comes late. */
    world_run(&w, 60 * SEC);
    CHECK(host_line(h, ESP_LINE_HANDSHAKE));
    CHECK(host_line(h, ESP_LINE_DATA_READY));
    REQUIRE(host_boot(h));
    expect(h, 0, 1, NULL, 0, 2, 0);
    expect(h, 0, 3, NULL, 0, 2, 6);
    expect(h, 0, 15, "\0\0\0", 4, 2, 4);
    expect(h, 0, 18, "DE\0", 4, 2, 4);
    expect(h, 0, 33, (const uint8_t[12]) { 0 }, 12, 2, 12);
    expect(h, 0, 9, del_key, sizeof(del_key), 2, 0);

    /* start_ap */
    expect(h, 0, 22, "\3\0\0", 4, 2, 2);
    expect(h, 1, 3, NULL, 0, 2, 6);
    expect(h, 1, 1, NULL, 0, 2, 0);
    expect(h, 1, 22, "\3\0\0", 4, 2, 2);
    for (unsigned i = 0; i < sizeof(types); i++) {
        expect(h, 1, 23, (const uint8_t[4]) { types[i] }, 4, 2, 0);
    }
    expect(h, 1, 23, "\5\0\2\0\x7f\0", 6, 2, 0);
    expect(h, 1, 24, config, sizeof(config), 2, 0);
    /* stop_ap: the elements go in station mode. */
    expect(h, 1, 22, "\1\0\0", 4, 2, 2);
    for (unsigned i = 0; i < sizeof(types); i++) {
        expect(h, 1, 23, (const uint8_t[4]) { types[i] }, 4, 2, 0);
    }
    /* A station goes on working. */
    REQUIRE(host_join(h, ap));
    world_free(&w);
}

static void data_ready_at_arm(void)
{
    uint8_t rx[FRAME];
    struct esp_ap *ap;
    struct world w;
    struct host *h;
    int64_t asked;

    h = start(&w, &ap);
    REQUIRE(host_up(h));
    world_run(&w, 10 * MS);
    /* The sender task is woken at once: only the receiver polls. */
    host_send(h, 0, 1, (const uint8_t[8]) { 3, [4] = 1 }, 8);
    asked = w.now;
    CHECK(host_wait(h, ESP_LINE_DATA_READY, true, SEC));
    CHECK(w.now - asked <= 1 * MS + 500 * US);
    CHECK(host_receive(h, rx, SEC) > 0);
    CHECK_INT(rx[12], 3);
    world_free(&w);
}

/* Another firmware is flashed while the chip is held in reset */
static void flashed_in_reset(void)
{
    struct esp_config cfg = world_config(ESP_GENERATION_G1);
    uint8_t rx[FRAME];
    char err[128] = "";
    struct world w;
    struct host *h;

    world_init(&w);
    h = world_add(&w, &cfg);
    esp_engine_set_reset(h->engine, false);
    cfg = *esp_engine_config(h->engine);
    cfg.generation = ESP_GENERATION_G2;
    CHECK(esp_engine_configure(h->engine, &cfg, err, sizeof(err)));
    esp_engine_set_reset(h->engine, true);
    CHECK(host_receive(h, rx, 2 * SEC) > 0);
    CHECK(host_command(h, 0, 1, NULL, 0));
    CHECK_INT(h->rsp_seq, h->seq);
    world_free(&w);
}

const struct test g2_tests[] = {
    { "g2: vectors", vectors },
    { "g2: disconnect vector", disconnect_vector },
    { "g2: sequences in events", sequences },
    { "g2: sequence zero", sequence_zero },
    { "g2: failed attempts", failed_attempts },
    { "g2: port", port },
    { "g2: statuses", statuses },
    { "g2: mode", mode_restarts },
    { "g2: what the newest host asks for", newest_host },
    { "g2: flashed while held in reset", flashed_in_reset },
    { "g2: answers come faster", data_ready_at_arm },
    { 0 }
};
