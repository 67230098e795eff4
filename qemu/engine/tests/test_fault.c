/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fault injection: every fault does what it says, counts, and goes away
 */
#include <string.h>

#include "tap.h"
#include "world.h"

#define HS ESP_LINE_HANDSHAKE
#define DR ESP_LINE_DATA_READY
#define ANY ESP_AUTO
#define DEFAULT ESP_AUTO64

static bool fired_somewhere[256];

static unsigned get16(const uint8_t *p)
{
    return p[0] | (unsigned)p[1] << 8;
}

static void arm_n(struct host *h, const char *name, uint32_t count,
                  uint32_t match, uint64_t arg)
{
    struct esp_fault_arming how = { count, 1000000, match, arg };
    char err[128] = "";
    int index = esp_fault_by_name(name);

    if (index < 0 || !esp_engine_fault_arm(h->engine, (unsigned)index, &how,
                                           err, sizeof(err))) {
        tap_fail(__FILE__, __LINE__, "%s: %s", name, err);
    }
}

static void arm(struct host *h, const char *name, uint32_t match,
                uint64_t arg)
{
    arm_n(h, name, 1, match, arg);
}

static void disarm(struct host *h, const char *name)
{
    esp_engine_fault_disarm(h->engine, (unsigned)esp_fault_by_name(name));
}

/* It fired exactly so often; if once-armed, it is no longer armed. */
static void fired(struct host *h, const char *name, unsigned times)
{
    unsigned index = (unsigned)esp_fault_by_name(name);
    uint64_t got = esp_engine_fault_fired(h->engine, index);

    if (got != times) {
        tap_fail(__FILE__, __LINE__, "%s fired %u times, expected %u", name,
                 (unsigned)got, times);
    }
    fired_somewhere[index] |= got > 0;
}

static struct host *start(struct world *w, enum esp_generation generation)
{
    struct esp_config cfg = world_config(generation);
    struct host *h;

    world_init(w);
    world_add_ap(w, "net", 6);
    h = world_add(w, &cfg);
    CHECK(host_up(h));
    return h;
}

/* GET_MAC, and what comes on the wire for it; its length. */
static size_t ask(struct host *h, uint8_t *rx)
{
    uint8_t request[8] = { 3 };

    host_send(h, 0, 1, request, 8);
    h->event_count = 0;
    /* Whatever it looks like: the transaction after data-ready and dummy */
    if (!host_wait(h, DR, true, 20 * MS)) {
        return 0;
    }
    for (;;) {
        CHECK(host_exchange(h, NULL, 0, rx));
        if (rx[0] != 0xff || rx[1]) {
            return FRAME;
        }
    }
}

static void handshake(void)
{
    struct world w;
    struct host *h = start(&w, ESP_GENERATION_G1);
    int64_t before;
    uint64_t rises;

    CHECK(host_wait(h, HS, true, SEC));
    arm(h, "handshake-late", ANY, 3 * MS);
    before = w.now;
    host_clock(h, NULL, 0, NULL, FRAME);
    CHECK(host_wait(h, HS, true, SEC));
    CHECK(w.now - before > 3 * MS);
    fired(h, "handshake-late", 1);
    /* A glitch: one rise more, at a moment when nothing is armed */
    rises = host_counter(h, "handshake-rises");
    arm(h, "handshake-spurious", ANY, 7 * US);
    host_clock(h, NULL, 0, NULL, FRAME);
    CHECK(host_wait(h, HS, true, SEC));
    host_clock(h, NULL, 0, NULL, FRAME);
    CHECK_INT(host_counter(h, "unarmed-transactions"), 1);
    world_run(&w, 5 * MS);
    CHECK_INT(host_counter(h, "handshake-rises"), rises + 2);
    CHECK(host_line(h, HS));
    fired(h, "handshake-spurious", 1);
    CHECK(host_ok(h, 0, 3, NULL, 0));
    /* Stuck, and loose again */
    arm(h, "handshake-stuck-high", ANY, DEFAULT);
    CHECK(host_wait(h, HS, true, SEC));
    host_clock(h, NULL, 0, NULL, FRAME);
    world_run(&w, US);
    CHECK(host_line(h, HS));
    disarm(h, "handshake-stuck-high");
    world_run(&w, US);
    CHECK(!host_line(h, HS));
    fired(h, "handshake-stuck-high", 1);
    arm(h, "handshake-stuck-low", ANY, DEFAULT);
    world_run(&w, 10 * MS);
    CHECK(!host_line(h, HS));
    disarm(h, "handshake-stuck-low");
    world_run(&w, US);
    CHECK(host_line(h, HS));
    fired(h, "handshake-stuck-low", 1);
    /* Lost: only a reset helps. */
    arm(h, "handshake-lost", ANY, DEFAULT);
    host_clock(h, NULL, 0, NULL, FRAME);
    CHECK(!host_wait(h, HS, true, 10 * SEC));
    fired(h, "handshake-lost", 1);
    esp_engine_set_reset(h->engine, false);
    esp_engine_set_reset(h->engine, true);
    CHECK(host_up(h));
    CHECK_INT(host_counter(h, "faults-fired"), 5);
    world_free(&w);
}

static void data_ready(void)
{
    uint8_t request[8] = { 3 };
    uint8_t rx[FRAME];
    struct world w;
    struct host *h = start(&w, ESP_GENERATION_G1);

    world_run(&w, 10 * MS);
    /* Lost (FQ-13): the frame waits for a host that clocks anyway. */
    arm(h, "data-ready-lost", ANY, DEFAULT);
    host_send(h, 0, 1, request, 8);
    CHECK(!host_wait(h, DR, true, SEC));
    fired(h, "data-ready-lost", 1);
    CHECK(host_exchange(h, NULL, 0, rx));
    CHECK_INT(rx[0], 0xff);
    CHECK(host_exchange(h, NULL, 0, rx));
    CHECK_INT(rx[12], 3);
    arm(h, "data-ready-late", ANY, 30 * MS);
    host_send(h, 0, 1, request, 8);
    CHECK(!host_wait(h, DR, true, 20 * MS));
    CHECK(host_receive(h, rx, SEC) > 0);
    fired(h, "data-ready-late", 1);
    arm(h, "data-ready-spurious", ANY, DEFAULT);
    CHECK(host_wait(h, HS, true, SEC));
    CHECK(host_line(h, DR));
    fired(h, "data-ready-spurious", 1);
    CHECK(host_exchange(h, NULL, 0, rx));
    CHECK_INT(rx[0], 0xff);
    CHECK(host_wait(h, HS, true, SEC));
    CHECK(!host_line(h, DR));
    arm(h, "data-ready-stuck-high", ANY, DEFAULT);
    world_run(&w, MS);
    CHECK(host_line(h, DR));
    disarm(h, "data-ready-stuck-high");
    arm(h, "data-ready-stuck-low", ANY, DEFAULT);
    host_send(h, 0, 1, request, 8);
    world_run(&w, 20 * MS);
    CHECK(!host_line(h, DR));
    disarm(h, "data-ready-stuck-low");
    world_run(&w, US);
    CHECK(host_line(h, DR));
    CHECK(host_receive(h, rx, SEC) > 0);
    fired(h, "data-ready-stuck-high", 1);
    fired(h, "data-ready-stuck-low", 1);
    world_free(&w);
}

static bool sum_good(const uint8_t *f)
{
    size_t len = get16(f + 4) + get16(f + 6);
    uint16_t sum = 0;

    for (size_t i = 0; i < len && i < FRAME; i++) {
        sum += i == 8 || i == 9 ? 0 : f[i];
    }
    return sum == get16(f + 8);
}

static void frames(void)
{
    uint8_t good[FRAME];
    uint8_t rx[FRAME];
    uint8_t request[8] = { 15 };
    unsigned bits = 0;
    struct world w;
    struct host *h = start(&w, ESP_GENERATION_G1);

    CHECK(ask(h, good));
    arm(h, "frame-zero", ANY, DEFAULT);
    CHECK(ask(h, rx));
    for (unsigned i = 0; i < FRAME; i++) {
        bits |= rx[i];
    }
    CHECK_INT(bits, 0);
    arm(h, "frame-ones", 2, DEFAULT);
    CHECK(ask(h, rx));
    CHECK(rx[0] == 0xff && rx[12] == 0xff && rx[1599] == 0xff);
    arm(h, "frame-shifted", ANY, 3);
    CHECK(ask(h, rx));
    for (unsigned i = 1; i < 30; i++) {
        CHECK_INT(rx[i], (good[i] >> 3 | good[i - 1] << 5) & 0xff);
    }
    arm(h, "frame-truncated", ANY, 21);
    CHECK(ask(h, rx));
    CHECK(!memcmp(rx, good, 21) && rx[21] == 0 && rx[25] == 0);
    arm(h, "frame-checksum", ANY, 0x0100);
    CHECK(ask(h, rx));
    CHECK_INT(get16(rx + 8), get16(good + 8) ^ 0x100);
    arm(h, "frame-corrupt", ANY, DEFAULT);
    CHECK(ask(h, rx));
    CHECK(!memcmp(rx, good, 12) && memcmp(rx, good, 38));
    CHECK(!sum_good(rx));
    /* Nothing but what follows it is another. */
    {
        struct esp_config cfg = *esp_engine_config(h->engine);
        char err[128];

        cfg.quirks &= ~ESP_QUIRK(4);
        CHECK(esp_engine_configure(h->engine, &cfg, err, sizeof(err)));
        CHECK(ask(h, rx) && !rx[100] && !rx[1599]);
        arm(h, "frame-tail", ANY, DEFAULT);
        CHECK(ask(h, rx) && !memcmp(rx, good, 38) && sum_good(rx));
        for (unsigned i = 38; i < FRAME; i++) {
            bits += rx[i] != 0;
        }
        CHECK(bits > 1000);
    }
    arm(h, "frame-duplicated", ANY, DEFAULT);
    CHECK(ask(h, rx));
    CHECK_INT(host_receive(h, rx, SEC), 38);
    CHECK(!memcmp(rx, good, 38));
    /* Lost: a dummy in its place */
    arm(h, "frame-lost", ANY, DEFAULT);
    host_send(h, 0, 1, (const uint8_t[8]) { 3 }, 8);
    CHECK(host_receive(h, rx, 20 * MS) == 0);
    /* Reordered: the later answer first */
    arm(h, "frame-reordered", ANY, DEFAULT);
    host_send(h, 0, 1, (const uint8_t[8]) { 3 }, 8);
    host_send(h, 0, 1, request, 8);
    world_run(&w, 20 * MS);
    CHECK(host_receive(h, rx, SEC) > 0);
    CHECK_INT(rx[12], 15);
    CHECK(host_receive(h, rx, SEC) > 0);
    CHECK_INT(rx[12], 3);
    fired(h, "frame-zero", 1);
    fired(h, "frame-ones", 1);
    fired(h, "frame-shifted", 1);
    fired(h, "frame-truncated", 1);
    fired(h, "frame-checksum", 1);
    fired(h, "frame-corrupt", 1);
    fired(h, "frame-tail", 1);
    fired(h, "frame-duplicated", 1);
    fired(h, "frame-lost", 1);
    fired(h, "frame-reordered", 1);
    world_free(&w);
}

static void headers(void)
{
    uint8_t rx[FRAME];
    struct world w;
    struct host *h = start(&w, ESP_GENERATION_G1);

    arm(h, "header-if-type", ANY, 9);
    CHECK(ask(h, rx) && rx[0] == 9 && sum_good(rx));
    arm(h, "header-if-num", ANY, 4);
    CHECK(ask(h, rx) && rx[0] == 0x40 && sum_good(rx));
    arm(h, "header-flags", ANY, 0xff);
    CHECK(ask(h, rx) && rx[1] == 0xff && sum_good(rx));
    arm(h, "header-packet-type", ANY, 77);
    CHECK(ask(h, rx) && rx[2] == 77 && sum_good(rx));
    arm(h, "header-reserved", ANY, 0xff);
    CHECK(ask(h, rx) && rx[3] == 0xff && rx[10] == 0xff && sum_good(rx));
    arm(h, "header-len", ANY, 1588);
    CHECK(ask(h, rx) && get16(rx + 4) == 1588 && sum_good(rx));
    arm(h, "header-offset", ANY, 16);
    CHECK(ask(h, rx) && get16(rx + 6) == 16 && sum_good(rx));
    /* Past the end, and only for answers: data would not match */
    arm(h, "header-len", 2, 1600);
    arm(h, "header-offset", 2, 0xffff);
    CHECK(ask(h, rx) && get16(rx + 4) == 1600 && get16(rx + 6) == 0xffff);
    fired(h, "header-if-type", 1);
    fired(h, "header-if-num", 1);
    fired(h, "header-flags", 1);
    fired(h, "header-packet-type", 1);
    fired(h, "header-reserved", 1);
    fired(h, "header-len", 2);
    fired(h, "header-offset", 2);
    world_free(&w);
}

static void reset(struct host *h)
{
    esp_engine_set_reset(h->engine, false);
    esp_engine_set_reset(h->engine, true);
}

static void boot_events(void)
{
    struct world w;
    struct host *h = start(&w, ESP_GENERATION_G1);
    uint8_t rx[FRAME];
    int64_t before;

    arm(h, "boot-missing", ANY, DEFAULT);
    reset(h);
    CHECK(!host_wait(h, HS, true, 100 * SEC));
    CHECK_INT(esp_engine_state(h->engine), ESP_STATE_BOOTING);
    arm(h, "boot-late", ANY, 3 * SEC);
    before = w.now;
    reset(h);
    CHECK(host_boot(h));
    CHECK(w.now - before > 3 * SEC);
    arm(h, "boot-twice", ANY, DEFAULT);
    reset(h);
    CHECK(host_boot(h));
    CHECK(host_line(h, DR));
    CHECK(host_boot(h));
    arm(h, "boot-status", ANY, 5);
    reset(h);
    CHECK(host_boot(h) && h->rsp[13] == 5 && sum_good(h->rsp));
    arm(h, "boot-clock", ANY, 0);
    arm(h, "boot-chip", ANY, 0x33);
    reset(h);
    CHECK(host_boot(h) && h->rsp[22] == 0x33 && h->rsp[25] == 0);
    CHECK(sum_good(h->rsp));
    arm(h, "boot-tlv-length", 1, 200);
    reset(h);
    CHECK(host_boot(h) && h->rsp[29] == 1 && h->rsp[30] == 200);
    arm(h, "boot-tlv-type", 0, 3);
    reset(h);
    CHECK(host_boot(h) && h->rsp[26] == 3 && h->rsp[27] == 1);
    arm(h, "boot-total", ANY, 250);
    reset(h);
    CHECK(host_boot(h) && h->rsp[16] == 250 && get16(h->rsp + 14) == 251);
    memcpy(rx, h->rsp, FRAME);
    arm(h, "boot-random", ANY, DEFAULT);
    reset(h);
    CHECK(host_boot(h) && memcmp(rx + 20, h->rsp + 20, 23));
    CHECK(sum_good(h->rsp));
    /* What a strict host looks at: protocol-g2.md 12 */
    arm(h, "boot-tlv-value", 0, 0x81);
    reset(h);
    CHECK(host_boot(h) && h->rsp[26] == 0 && h->rsp[28] == 0x81);
    arm(h, "boot-tlv-size", 2, 3);
    reset(h);
    CHECK(host_boot(h) && h->rsp[23] == 2 && h->rsp[24] == 3);
    CHECK(h->rsp[25] == 30 && h->rsp[28] == 0 && h->rsp[16] == 25);
    CHECK(get16(h->rsp + 4) == 33 && sum_good(h->rsp));
    arm(h, "boot-tlv-missing", 2, DEFAULT);
    reset(h);
    CHECK(host_boot(h) && h->rsp[23] == 0 && h->rsp[16] == 20);
    CHECK(sum_good(h->rsp));
    arm(h, "boot-tlv-duplicated", 3, DEFAULT);
    reset(h);
    CHECK(host_boot(h) && h->rsp[20] == 3 && h->rsp[23] == 3);
    CHECK(h->rsp[26] == 2 && h->rsp[16] == 26 && sum_good(h->rsp));
    /* As long as it gets, and a little longer */
    for (unsigned i = 0; i < 4; i++) {
        arm_n(h, "boot-tlv-size", 0, ANY, 32);
        arm_n(h, "boot-tlv-duplicated", 0, ANY, DEFAULT);
    }
    reset(h);
    CHECK(host_boot(h) && h->rsp[16] == 7 * 34);
    disarm(h, "boot-tlv-size");
    disarm(h, "boot-tlv-duplicated");
    reset(h);
    CHECK(host_boot(h));
    CHECK(host_ok(h, 0, 1, NULL, 0));
    /* A boot event in the middle of work, and the work goes on */
    arm(h, "boot-spontaneous", ANY, DEFAULT);
    CHECK(host_boot(h));
    CHECK(host_ok(h, 0, 3, NULL, 0));
    fired(h, "boot-tlv-value", 1);
    fired(h, "boot-tlv-size", 5);
    fired(h, "boot-tlv-missing", 1);
    fired(h, "boot-tlv-duplicated", 5);
    fired(h, "boot-spontaneous", 1);
    fired(h, "boot-missing", 1);
    fired(h, "boot-late", 1);
    fired(h, "boot-twice", 1);
    fired(h, "boot-status", 1);
    fired(h, "boot-clock", 1);
    fired(h, "boot-chip", 1);
    fired(h, "boot-tlv-length", 1);
    fired(h, "boot-tlv-type", 1);
    fired(h, "boot-total", 1);
    fired(h, "boot-random", 1);
    reset(h);
    CHECK(host_up(h));
    world_free(&w);
}

static void responses(void)
{
    struct world w;
    struct host *h = start(&w, ESP_GENERATION_G2);
    int64_t before;

    /* Only the code it is armed for */
    arm(h, "command-silent", 15, DEFAULT);
    CHECK(host_ok(h, 0, 3, NULL, 0));
    CHECK(!host_command(h, 0, 15, NULL, 0));
    arm(h, "response-lost", ANY, DEFAULT);
    CHECK(!host_command(h, 0, 3, NULL, 0));
    arm(h, "response-late", ANY, 5 * SEC);
    before = w.now;
    CHECK(host_ok(h, 0, 3, NULL, 0));
    CHECK(w.now - before > 5 * SEC);
    arm(h, "response-code", 3, 44);
    CHECK(host_command(h, 0, 3, NULL, 0) && h->rsp_code == 44);
    arm(h, "response-status", 3, 77);
    CHECK(host_command(h, 0, 3, NULL, 0) && h->rsp_status == 77);
    arm(h, "response-length", 3, DEFAULT);
    CHECK(host_command(h, 0, 3, NULL, 0) && get16(h->rsp + 2) == 0xffff);
    arm(h, "response-short", 3, 9);
    CHECK(host_command(h, 0, 3, NULL, 0) && h->rsp_len == 9);
    arm(h, "response-sequence", 3, 4711);
    CHECK(host_command(h, 0, 3, NULL, 0) && h->rsp_seq == 4711);
    arm(h, "response-duplicated", 3, DEFAULT);
    CHECK(host_ok(h, 0, 3, NULL, 0));
    CHECK_INT(host_receive(h, h->rsp, SEC), 12 + 26);
    arm(h, "response-unsolicited", ANY, 25);
    CHECK(host_command(h, 0, 3, NULL, 0) && h->rsp_code == 25);
    CHECK_INT(host_receive(h, h->rsp, SEC), 12 + 26);
    CHECK_INT(h->rsp[12], 3);
    fired(h, "command-silent", 1);
    fired(h, "response-lost", 1);
    fired(h, "response-late", 1);
    fired(h, "response-code", 1);
    fired(h, "response-status", 1);
    fired(h, "response-length", 1);
    fired(h, "response-short", 1);
    fired(h, "response-sequence", 1);
    fired(h, "response-duplicated", 1);
    fired(h, "response-unsolicited", 1);
    CHECK(host_ok(h, 0, 3, NULL, 0));
    world_free(&w);
}

static void events(void)
{
    uint8_t scan[44] = { [41] = 6 };
    const uint8_t *p;
    unsigned results = 0;
    struct world w;
    struct host *h = start(&w, ESP_GENERATION_G2);
    size_t len;

    arm(h, "event-inner-length", 1, 0xfff0);
    CHECK(host_ok(h, 0, 4, scan, sizeof(scan)));
    p = host_event(h, 1, SEC, &len);
    REQUIRE(p != NULL);
    CHECK_INT(get16(p + 24), 0xfff0);
    arm(h, "event-short", 1, 20);
    p = host_event(h, 1, SEC, &len);
    CHECK(p && len == 20);
    arm(h, "event-lost", ANY, DEFAULT);
    CHECK(host_event(h, 1, SEC, &len) == NULL);
    arm(h, "event-length", 1, DEFAULT);
    arm(h, "event-status", 1, 9);
    CHECK(host_ok(h, 0, 4, scan, sizeof(scan)));
    p = host_event(h, 1, SEC, &len);
    CHECK(p && get16(p + 2) == 0xffff && p[1] == 9);
    arm(h, "event-code", 1, 200);
    CHECK(host_event(h, 200, SEC, &len) != NULL);
    CHECK(host_event(h, 1, SEC, &len) != NULL);
    arm(h, "event-flood", 1, 12);
    CHECK(host_ok(h, 0, 4, scan, sizeof(scan)));
    while ((p = host_event(h, 1, SEC, &len)) && p[1]) {
        results++;
    }
    CHECK_INT(results, 14);
    arm(h, "event-sequence", 4, 999);
    {
        uint8_t auth[72] = { 0 };

        memcpy(auth, esp_ap_get_config(w.ap[0])->bssid, 6);
        auth[6] = 6;
        memcpy(auth + 8, "net", 3);
        CHECK(host_ok(h, 0, 11, auth, sizeof(auth)));
        p = host_event(h, 4, SEC, &len);
        CHECK(p && get16(p + 26) == 999);
    }
    fired(h, "event-inner-length", 1);
    fired(h, "event-short", 1);
    fired(h, "event-lost", 1);
    fired(h, "event-length", 1);
    fired(h, "event-status", 1);
    fired(h, "event-code", 1);
    fired(h, "event-flood", 1);
    fired(h, "event-sequence", 1);
    world_free(&w);
}

static void chip(void)
{
    struct world w;
    struct host *h = start(&w, ESP_GENERATION_G1);
    uint64_t before;

    arm(h, "crash", ANY, 15);
    world_run(&w, US);
    CHECK_INT(esp_engine_state(h->engine), ESP_STATE_BOOTING);
    CHECK(!host_line(h, HS) && !host_line(h, DR));
    CHECK(host_boot(h));
    CHECK_INT(h->rsp[39], 15);
    CHECK(host_ok(h, 0, 1, NULL, 0));
    arm(h, "crash-in-command", 3, DEFAULT);
    host_send(h, 0, 1, (const uint8_t[8]) { 3 }, 8);
    CHECK(host_boot(h));
    CHECK_INT(h->rsp[39], 12);
    before = host_counter(h, "transactions");
    arm_n(h, "crash-after-frames", 5, ANY, 7);
    while (esp_engine_state(h->engine) == ESP_STATE_RUNNING &&
           host_wait(h, HS, true, 2 * MS)) {
        host_clock(h, NULL, 0, NULL, FRAME);
        world_run(&w, MS);
    }
    CHECK_INT(host_counter(h, "transactions"), before + 5);
    CHECK(host_boot(h));
    CHECK_INT(h->rsp[39], 7);
    CHECK_INT(host_counter(h, "restarts"), 3);
    CHECK(host_wait(h, HS, true, SEC));
    arm(h, "hang", ANY, DEFAULT);
    world_run(&w, US);
    CHECK_INT(esp_engine_state(h->engine), ESP_STATE_HUNG);
    CHECK(host_line(h, HS));
    host_clock(h, NULL, 0, NULL, FRAME);
    world_run(&w, 10 * SEC);
    CHECK(host_line(h, HS));
    reset(h);
    CHECK(host_boot(h));
    arm(h, "hang-lines-high", ANY, DEFAULT);
    world_run(&w, US);
    CHECK(host_line(h, HS) && host_line(h, DR));
    reset(h);
    CHECK(!host_line(h, HS) && !host_line(h, DR));
    CHECK(host_boot(h));
    arm(h, "arm-failed", ANY, DEFAULT);
    CHECK(!host_wait(h, HS, true, 10 * SEC));
    CHECK_INT(esp_engine_state(h->engine), ESP_STATE_HUNG);
    fired(h, "crash", 1);
    fired(h, "crash-in-command", 1);
    fired(h, "crash-after-frames", 1);
    fired(h, "hang", 1);
    fired(h, "hang-lines-high", 1);
    fired(h, "arm-failed", 1);
    world_free(&w);
    /* G2 restarts instead. */
    h = start(&w, ESP_GENERATION_G2);
    arm(h, "arm-failed", ANY, DEFAULT);
    CHECK(host_exchange(h, NULL, 0, NULL));
    CHECK(host_boot(h));
    world_free(&w);
}

static void radio(void)
{
    uint8_t frame[60] = { 0x52, 0x55, 10, 0, 2, 2, [12] = 8 };
    uint8_t scan[44] = { [41] = 6 };
    struct world w;
    struct host *h = start(&w, ESP_GENERATION_G1);
    int64_t before;
    size_t len;

    CHECK(host_join(h, w.ap[0]));
    arm(h, "radio-tx-lost", ANY, DEFAULT);
    host_send(h, 0, 0, frame, sizeof(frame));
    host_send(h, 0, 0, frame, sizeof(frame));
    world_run(&w, 10 * MS);
    CHECK_INT(w.packet_count, 1);
    memset(frame, 0xff, 6);
    arm(h, "radio-rx-lost", ANY, DEFAULT);
    esp_ap_receive(w.ap[0], frame, sizeof(frame));
    CHECK(host_data(h, 20 * MS, &len) == NULL);
    arm(h, "radio-delay", ANY, 200 * MS);
    before = w.now;
    esp_ap_receive(w.ap[0], frame, sizeof(frame));
    CHECK(host_data(h, SEC, &len) != NULL);
    CHECK(w.now - before > 200 * MS);
    h->event_count = 0;
    arm_n(h, "radio-mgmt-lost", 0, 8, DEFAULT);
    CHECK(host_ok(h, 0, 4, scan, sizeof(scan)));
    world_run(&w, 300 * MS);
    CHECK_INT(ap_counter(w.ap[0], "beacons"), 1);
    CHECK_INT(ap_counter(w.ap[0], "probe-responses"), 2);
    fired(h, "radio-tx-lost", 1);
    fired(h, "radio-rx-lost", 1);
    fired(h, "radio-delay", 1);
    fired(h, "radio-mgmt-lost", 1);
    world_free(&w);
}

static bool make_ap(struct host *h)
{
    uint8_t config[45] = { 'a', [32] = 1, [33] = 6, [40] = 100 };

    if (!host_ok(h, 0, 22, "\x03\0\0\0", 4) ||
        !host_ok(h, 1, 24, config, sizeof(config))) {
        return false;
    }
    world_run(h->world, 5 * MS);
    return true;
}

/* A frame to nobody, marked in G2 */
static void mgmt_tx(struct host *h, bool g2)
{
    uint8_t request[64] = { 25, [4] = 77, [6] = g2 ? 0xa5 : 0 };
    unsigned head = g2 ? 28 : 20;

    request[16] = g2 ? 1 : 24;
    request[24] = g2 ? 24 : 0;
    request[head] = 0xc0;
    memset(request + head + 4, 2, 6);
    host_send(h, 1, 1, request, head + 24);
}

static void access_point(void)
{
    struct world w;
    struct host *h = start(&w, ESP_GENERATION_G1);
    const uint8_t *p;
    size_t len;

    REQUIRE(make_ap(h));
    arm(h, "response-inner-length", ANY, DEFAULT);
    mgmt_tx(h, false);
    CHECK_INT(host_receive(h, h->rsp, SEC), 12 + 20 + 24);
    CHECK(h->rsp[12] == 25 && get16(h->rsp + 28) == 0xffff);
    arm(h, "mgmt-tx-status-lost", ANY, DEFAULT);
    mgmt_tx(h, false);
    CHECK_INT(host_receive(h, h->rsp, 20 * SEC), 0);
    fired(h, "response-inner-length", 1);
    fired(h, "mgmt-tx-status-lost", 1);
    world_free(&w);

    h = start(&w, ESP_GENERATION_G2);
    REQUIRE(make_ap(h));
    arm(h, "event-inner-length", 7, 0x12345678);
    mgmt_tx(h, true);
    p = host_event(h, 7, SEC, &len);
    CHECK(p && get16(p + 12) == 0x5678 && get16(p + 14) == 0x1234);
    /* Not acknowledged after 5 s, and then the firmware restarts: 6.2 */
    arm(h, "mgmt-tx-status-lost", ANY, DEFAULT);
    mgmt_tx(h, true);
    CHECK(host_event(h, 7, 4 * SEC, &len) == NULL);
    p = host_event(h, 7, 2 * SEC, &len);
    CHECK(p && p[16] == 0);
    CHECK(host_boot(h));
    CHECK_INT(host_counter(h, "restarts"), 1);
    h->event_count = 0;
    /* Unmarked: a stop of Wi-Fi answers, nothing else does: 6.3 */
    CHECK(host_ok(h, 0, 1, NULL, 0));
    REQUIRE(make_ap(h));
    arm(h, "mgmt-tx-status-lost", ANY, DEFAULT);
    {
        uint8_t request[64] = { [8] = 24, [16] = 2 };

        CHECK(!host_command(h, 1, 25, request, 36));
        world_run(&w, 20 * SEC);
        host_send(h, 1, 1, (const uint8_t[16]) { 22, [8] = 1 }, 16);
        CHECK_INT(host_receive(h, h->rsp, SEC), 12 + 22);
        CHECK_INT(host_receive(h, h->rsp, SEC), 12 + 28 + 24);
        CHECK(h->rsp[12] == 25 && h->rsp[13] == 1);
    }
    world_free(&w);
}

/* Chip id 5 at 12 of an image that begins with e9 */
static const uint8_t image[16] = { 14, 0, 0xe9, [14] = 5 };

static void update(void)
{
    struct world w;
    struct host *h = start(&w, ESP_GENERATION_G1);

    arm(h, "ota-damaged", ANY, DEFAULT);
    CHECK(host_ok(h, 0, 29, NULL, 0));
    CHECK(host_ok(h, 0, 30, image, sizeof(image)));
    CHECK(host_command(h, 0, 31, NULL, 0));
    CHECK_INT(h->rsp_status, 1);
    world_run(&w, 20 * SEC);
    CHECK_INT(host_counter(h, "restarts"), 0);
    fired(h, "ota-damaged", 1);
    CHECK(host_ok(h, 0, 29, NULL, 0));
    CHECK(host_ok(h, 0, 30, image, sizeof(image)));
    CHECK(host_ok(h, 0, 31, NULL, 0));
    CHECK(host_boot(h));
    world_free(&w);
}

static void radio_environment(void)
{
    struct world w;
    struct host *h = start(&w, ESP_GENERATION_G1);
    const uint8_t *p;
    int8_t rssi;
    size_t len;

    CHECK(host_join(h, w.ap[0]));
    /* A storm: again and again, as soon as it is connected */
    arm_n(h, "radio-deauth", 3, ANY, 6);
    for (unsigned i = 0; i < 3; i++) {
        p = host_event(h, 3, SEC, &len);
        CHECK(p && p[43] == 6);
        CHECK(host_join(h, w.ap[0]));
    }
    fired(h, "radio-deauth", 3);
    /* Announced: the station goes along, and the host hears nothing. */
    h->event_count = 0;
    arm(h, "radio-channel-switch", ANY, 11);
    CHECK(host_event(h, 3, 2 * SEC, &len) == NULL);
    CHECK_INT(esp_ap_channel(w.ap[0], w.now), 11);
    CHECK_INT(host_counter(h, "channel-switches"), 1);
    CHECK(host_ok(h, 0, 27, "\0\0\0", 4));
    rssi = (int8_t)h->rsp[8];
    CHECK_INT(rssi, -42);
    CHECK(host_event(h, 3, 20 * SEC, &len) == NULL);
    fired(h, "radio-channel-switch", 1);
    /* Not announced: beacon timeout */
    arm(h, "radio-channel-jump", ANY, 3);
    p = host_event(h, 3, 10 * SEC, &len);
    CHECK(p && p[43] == 200);
    CHECK_INT(esp_ap_channel(w.ap[0], w.now), 3);
    fired(h, "radio-channel-jump", 1);
    /* A few beacons more or less do not matter, many do. */
    CHECK(host_join(h, w.ap[0]));
    arm_n(h, "radio-beacon-lost", 3, ANY, DEFAULT);
    CHECK(host_event(h, 3, 20 * SEC, &len) == NULL);
    fired(h, "radio-beacon-lost", 3);
    arm_n(h, "radio-beacon-lost", 0, ANY, DEFAULT);
    p = host_event(h, 3, 10 * SEC, &len);
    CHECK(p && p[43] == 200);
    disarm(h, "radio-beacon-lost");
    /* Gone: nothing in a scan, no data, and back again */
    CHECK(host_join(h, w.ap[0]));
    arm(h, "radio-gone", ANY, DEFAULT);
    p = host_event(h, 3, 10 * SEC, &len);
    CHECK(p && p[43] == 200);
    CHECK(!host_join(h, w.ap[0]));
    CHECK(host_counter(h, "radio-drop-path") > 6);
    disarm(h, "radio-gone");
    CHECK(host_join(h, w.ap[0]));
    fired(h, "radio-gone", 1);
    world_free(&w);
}

static void arming(void)
{
    struct esp_fault_arming how = { 3, 0, ANY, DEFAULT };
    struct world w;
    struct host *h = start(&w, ESP_GENERATION_G1);
    unsigned index = (unsigned)esp_fault_by_name("response-status");
    unsigned failed = 0;
    char err[128] = "";

    CHECK_INT(esp_fault_by_name("no-such-fault"), -1);
    CHECK(!esp_engine_fault_arm(h->engine, index, &how, err, sizeof(err)));
    CHECK(!strcmp(err, "the probability must be 1 to 1000000 parts per "
                  "million"));
    CHECK(!esp_engine_fault_arm(h->engine, 9999, &how, err, sizeof(err)));
    how.probability_ppm = 1000000;
    how.arg = UINT64_MAX - 1;
    CHECK(!esp_engine_fault_arm(h->engine, index, &how, err, sizeof(err)));
    how.arg = DEFAULT;
    CHECK(esp_engine_fault_arm(h->engine, index, &how, err, sizeof(err)));
    for (unsigned i = 0; i < 5; i++) {
        CHECK(host_command(h, 0, 3, NULL, 0));
        CHECK_INT(h->rsp_status, i < 3 ? 1 : 2);
    }
    CHECK(!esp_engine_fault_armed(h->engine, index));
    fired(h, "response-status", 3);
    /* With a probability: some, not all; survives a reset */
    how.count = 0;
    how.probability_ppm = 300000;
    CHECK(esp_engine_fault_arm(h->engine, index, &how, err, sizeof(err)));
    reset(h);
    CHECK(host_boot(h));
    for (unsigned i = 0; i < 100; i++) {
        CHECK(host_command(h, 0, 3, NULL, 0));
        failed += h->rsp_status == 1;
    }
    CHECK(failed > 10 && failed < 60);
    fired(h, "response-status", 3 + failed);
    CHECK(esp_engine_fault_armed(h->engine, index));
    esp_engine_fault_disarm(h->engine, index);
    CHECK(host_ok(h, 0, 3, NULL, 0));
    world_free(&w);
}

/* Of the whole list: named, explained, and seen to fire above. */
static void complete(void)
{
    for (unsigned i = 0; i < esp_fault_count(); i++) {
        CHECK(esp_fault_help(i) && strlen(esp_fault_help(i)) > 10);
        CHECK_INT(esp_fault_by_name(esp_fault_name(i)), i);
        if (!fired_somewhere[i]) {
            tap_fail(__FILE__, __LINE__, "%s was never seen to fire",
                     esp_fault_name(i));
        }
    }
    CHECK(esp_fault_name(esp_fault_count()) == NULL);
}

const struct test fault_tests[] = {
    { "fault: handshake", handshake },
    { "fault: data-ready", data_ready },
    { "fault: frames", frames },
    { "fault: headers", headers },
    { "fault: boot event", boot_events },
    { "fault: answers", responses },
    { "fault: events", events },
    { "fault: chip", chip },
    { "fault: radio", radio },
    { "fault: radio environment", radio_environment },
    { "fault: access point", access_point },
    { "fault: firmware update", update },
    { "fault: arming and probability", arming },
    { "fault: every fault has been seen", complete },
    { 0 }
};
