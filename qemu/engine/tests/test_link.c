/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Lines and transactions: protocol.md 1.3 to 1.9
 */
#include <string.h>

#include "tap.h"
#include "world.h"

#define HS ESP_LINE_HANDSHAKE
#define DR ESP_LINE_DATA_READY

/* Compares the edges since @from with a list; times are not compared. */
static void check_edges(struct host *h, unsigned from, const char *want)
{
    char got[256] = "";
    size_t n = 0;

    for (unsigned i = from; i < h->edge_count && n < sizeof(got) - 8; i++) {
        n += (size_t)snprintf(got + n, sizeof(got) - n, "%s%c ",
                              h->edge[i].line == HS ? "hs" : "dr",
                              h->edge[i].level ? '+' : '-');
    }
    if (strcmp(got, want)) {
        tap_fail(__FILE__, __LINE__, "edges are %s, expected %s", got, want);
    }
}

static int64_t last_edge(struct host *h)
{
    return h->edge_count ? h->edge[h->edge_count - 1].time : -1;
}

static void boot_lines(void)
{
    struct esp_config cfg = world_config(ESP_GENERATION_G1);
    struct world w;
    struct host *h;

    world_init(&w);
    cfg.boot_ns = 1300 * MS;
    h = world_add(&w, &cfg);
    CHECK_INT(esp_engine_state(h->engine), ESP_STATE_BOOTING);
    world_run(&w, 1300 * MS - 1);
    CHECK_INT(h->edge_count, 0);
    world_run(&w, 1);
    check_edges(h, 0, "dr+ hs+ ");
    CHECK_INT(last_edge(h), 2300 * MS);
    CHECK_INT(esp_engine_state(h->engine), ESP_STATE_RUNNING);
    /* Both stay high until the host clocks. */
    world_run(&w, 100 * SEC);
    check_edges(h, 0, "dr+ hs+ ");
    CHECK_INT(host_counter(h, "boots"), 1);
    world_free(&w);
}

static void transaction_lines(void)
{
    struct esp_config cfg = world_config(ESP_GENERATION_G1);
    uint8_t get_mac[8] = { 3 };
    uint8_t tx[FRAME];
    uint8_t rx[FRAME];
    struct world w;
    struct host *h;
    unsigned mark;
    int64_t fell;
    size_t n;

    world_init(&w);
    cfg.turnaround_ns = 70 * US;
    cfg.spi_clock_hz = 10000000;
    h = world_add(&w, &cfg);
    world_run(&w, 10 * MS);
    /* The boot event: handshake falls with chip select, data-ready later,
     * and only because the next fetch finds nothing. */
    mark = h->edge_count;
    fell = w.now;
    host_clock(h, NULL, 0, rx, FRAME);
    check_edges(h, mark, "hs- ");
    CHECK_INT(last_edge(h), fell);
    CHECK(host_wait(h, HS, true, SEC));
    check_edges(h, mark, "hs- dr- hs+ ");
    CHECK_INT(w.now - fell, 1280 * US + 70 * US);

    /* Armed with a dummy, then a frame comes: data-ready rises while
     * handshake is high, and the dummy is clocked first. */
    n = make_frame(tx, 0, 1, 12, get_mac, 8);
    host_clock(h, tx, n, rx, FRAME);
    CHECK_INT(rx[0], 0xff);
    CHECK(host_wait(h, HS, true, SEC));
    mark = h->edge_count;
    CHECK(host_wait(h, DR, true, SEC));
    check_edges(h, mark, "dr+ ");
    CHECK(host_line(h, HS));
    host_clock(h, NULL, 0, rx, FRAME);
    CHECK_INT(rx[0], 0xff);
    CHECK(host_wait(h, HS, true, SEC));
    check_edges(h, mark, "dr+ hs- hs+ ");
    CHECK(host_line(h, DR));
    host_clock(h, NULL, 0, rx, FRAME);
    CHECK_INT(rx[2], 2);
    check_edges(h, mark, "dr+ hs- hs+ hs- ");
    CHECK(host_wait(h, HS, true, SEC));
    check_edges(h, mark, "dr+ hs- hs+ hs- dr- hs+ ");
    world_free(&w);
}

/* The bus takes 8n/f even when the CPU needed longer than that. */
static void bus_time(void)
{
    struct esp_config cfg = world_config(ESP_GENERATION_G1);
    struct world w;
    struct host *h;
    int64_t start;

    world_init(&w);
    cfg.turnaround_ns = 50 * US;
    cfg.spi_clock_hz = 8000000;
    h = world_add(&w, &cfg);
    REQUIRE(host_boot(h));
    CHECK(host_wait(h, HS, true, SEC));
    /* 400 bytes in the time of a slow CPU: 400 us of bus, 3 ms of CPU */
    start = w.now;
    esp_engine_set_cs(h->engine, false);
    for (unsigned i = 0; i < 400; i++) {
        esp_engine_transfer(h->engine, 0);
    }
    world_run(&w, 3 * MS);
    CHECK(host_line(h, HS));
    esp_engine_set_cs(h->engine, true);
    CHECK(!host_line(h, HS));
    CHECK(host_wait(h, HS, true, SEC));
    CHECK_INT(w.now - start, 3050 * US);
    /* and a fast one */
    start = w.now;
    host_clock(h, NULL, 0, NULL, 400);
    CHECK(host_wait(h, HS, true, SEC));
    CHECK_INT(w.now - start, 450 * US);
    CHECK_INT(host_counter(h, "transactions-short"), 2);
    CHECK_INT(esp_engine_link_ceiling_bps(h->engine), 11584ULL * 1000000000 /
              1650000);
    world_free(&w);
}

static void stale_handshake(void)
{
    struct esp_config cfg = world_config(ESP_GENERATION_G1);
    uint8_t rx[FRAME];
    struct world w;
    struct host *h;

    world_init(&w);
    cfg.handshake_fall_ns = 5 * US;
    h = world_add(&w, &cfg);
    REQUIRE(host_boot(h));
    world_run(&w, 10 * MS);
    host_clock(h, NULL, 0, rx, FRAME);
    CHECK(host_line(h, HS));
    /* In the window handshake lies: nothing is armed. */
    host_clock(h, NULL, 0, rx, FRAME);
    CHECK_INT(rx[0], 0xff);
    CHECK_INT(rx[1599], 0xff);
    CHECK_INT(host_counter(h, "unarmed-transactions"), 1);
    CHECK_INT(host_counter(h, "unarmed-bytes"), FRAME);
    world_run(&w, 5 * US);
    CHECK(!host_line(h, HS));
    CHECK_INT(host_counter(h, "transactions"), 2);
    world_free(&w);
}

/* However late handshake falls, the host sees it low before it rises. */
static void late_fall(void)
{
    static const int64_t delays[] = { 0, 5 * US, 50 * US, 100 * US, 2 * MS };
    uint8_t rx[FRAME];

    for (unsigned i = 0; i < sizeof(delays) / sizeof(delays[0]); i++) {
        struct esp_config cfg = world_config(ESP_GENERATION_G1);
        struct world w;
        struct host *h;
        int64_t fall;

        world_init(&w);
        cfg.handshake_fall_ns = (uint64_t)delays[i];
        cfg.turnaround_ns = 50 * US;
        h = world_add(&w, &cfg);
        REQUIRE(host_boot(h));
        world_run(&w, 10 * MS);
        h->edge_count = 0;
        host_clock(h, NULL, 0, rx, FRAME);
        fall = w.now + delays[i];
        world_run(&w, 10 * MS);
        REQUIRE(h->edge_count == 2);
        CHECK(!h->edge[0].level);
        CHECK_INT(h->edge[0].time, fall);
        CHECK(h->edge[1].level);
        CHECK(h->edge[1].time >= fall + 50 * US);
        world_free(&w);
    }
}

static void unarmed(void)
{
    struct esp_config cfg = world_config(ESP_GENERATION_G1);
    uint8_t request[8] = { 3 };
    uint8_t tx[FRAME];
    uint8_t rx[FRAME];
    struct world w;
    struct host *h;

    world_init(&w);
    cfg.miso_unarmed = 0;
    h = world_add(&w, &cfg);
    /* While booting */
    host_clock(h, NULL, 0, rx, 100);
    CHECK_INT(rx[0] | rx[99], 0);
    CHECK_INT(host_counter(h, "unarmed-bytes"), 100);
    REQUIRE(host_boot(h));
    CHECK(host_wait(h, HS, true, SEC));
    host_clock(h, NULL, 0, rx, FRAME);
    /* Handshake is low: this command is lost. */
    make_frame(tx, 0, 1, 12, request, 8);
    host_clock(h, tx, FRAME, rx, FRAME);
    world_run(&w, 20 * MS);
    CHECK_INT(host_counter(h, "commands"), 0);
    CHECK_INT(host_counter(h, "unarmed-transactions"), 2);
    /* Armed in the middle of a selection: only the next one counts. */
    host_clock(h, NULL, 0, rx, FRAME);
    esp_engine_set_cs(h->engine, false);
    world_run(&w, 10 * MS);
    CHECK(host_line(h, HS));
    esp_engine_transfer(h->engine, 1);
    esp_engine_set_cs(h->engine, true);
    CHECK(host_line(h, HS));
    CHECK_INT(host_counter(h, "unarmed-transactions"), 3);
    CHECK(host_ok(h, 0, 3, NULL, 0));
    world_free(&w);
}

static void odd_lengths(void)
{
    uint8_t request[8] = { 3 };
    uint8_t tx[FRAME];
    struct world w;
    struct host *h;

    world_init(&w);
    h = world_add(&w, NULL);
    REQUIRE(host_boot(h));
    /* A short transaction is parsed as far as it came. */
    make_frame(tx, 0, 1, 12, request, 8);
    CHECK(host_wait(h, HS, true, SEC));
    host_clock(h, tx, FRAME, NULL, 20);
    world_run(&w, 20 * MS);
    CHECK_INT(host_counter(h, "commands"), 1);
    CHECK(host_line(h, DR));
    /* The dummy that was armed before the answer */
    CHECK(host_exchange(h, NULL, 0, NULL));
    CHECK(host_wait(h, HS, true, SEC));
    /* The answer is lost when the host stops too early. */
    host_clock(h, NULL, 0, NULL, 12);
    CHECK(host_wait(h, HS, true, SEC));
    CHECK(!host_line(h, DR));
    CHECK_INT(host_counter(h, "tx-lost-short"), 1);
    /* Nothing clocked at all, and too much */
    host_clock(h, NULL, 0, NULL, 0);
    CHECK_INT(host_counter(h, "transactions-empty"), 1);
    CHECK(host_wait(h, HS, true, SEC));
    host_clock(h, NULL, 0, NULL, FRAME + 7);
    CHECK_INT(host_counter(h, "overrun-bytes"), 7);
    /* Bytes without chip select */
    CHECK_INT(esp_engine_transfer(h->engine, 0x55), 0xff);
    CHECK_INT(host_counter(h, "deselected-bytes"), 1);
    CHECK(host_ok(h, 0, 3, NULL, 0));
    world_free(&w);
}

static void deassert_on_cs(void)
{
    struct esp_config cfg = world_config(ESP_GENERATION_G1);
    struct world w;
    struct host *h;
    unsigned mark;

    world_init(&w);
    cfg.deassert_on_cs = true;
    cfg.complete_on_count = true;
    h = world_add(&w, &cfg);
    REQUIRE(host_boot(h));
    CHECK(host_wait(h, HS, true, SEC));
    mark = h->edge_count;
    esp_engine_set_cs(h->engine, false);
    check_edges(h, mark, "hs- ");
    for (unsigned i = 0; i < FRAME; i++) {
        esp_engine_transfer(h->engine, 0);
    }
    /* Complete, but not armed again before chip select has risen. */
    world_run(&w, 10 * MS);
    check_edges(h, mark, "hs- ");
    esp_engine_set_cs(h->engine, true);
    CHECK(host_wait(h, HS, true, SEC));
    check_edges(h, mark, "hs- hs+ ");
    CHECK(host_ok(h, 0, 3, NULL, 0));
    world_free(&w);
}

static void complete_on_count(void)
{
    struct esp_config cfg = world_config(ESP_GENERATION_G1);
    struct world w;
    struct host *h;
    int64_t start;

    world_init(&w);
    cfg.complete_on_count = true;
    cfg.spi_clock_hz = 10000000;
    cfg.turnaround_ns = 50 * US;
    h = world_add(&w, &cfg);
    REQUIRE(host_boot(h));
    CHECK(host_wait(h, HS, true, SEC));
    start = w.now;
    esp_engine_set_cs(h->engine, false);
    for (unsigned i = 0; i < FRAME; i++) {
        esp_engine_transfer(h->engine, 0);
    }
    CHECK(host_line(h, HS));
    CHECK(host_wait(h, HS, false, SEC));
    CHECK_INT(w.now - start, 1280 * US);
    CHECK(host_wait(h, HS, true, SEC));
    CHECK_INT(w.now - start, 1330 * US);
    /* The late edge of chip select ends an empty transaction: 1.6 */
    esp_engine_set_cs(h->engine, true);
    CHECK(!host_line(h, HS));
    CHECK_INT(host_counter(h, "transactions-empty"), 1);
    CHECK(host_ok(h, 0, 3, NULL, 0));
    world_free(&w);
}

/* A receive queue that fills: one more transaction, then nothing. */
static void back_pressure(void)
{
    struct esp_config cfg = world_config(ESP_GENERATION_G1);
    uint8_t payload[60] = { 0 };
    uint8_t tx[FRAME];
    unsigned sent = 0;
    struct world w;
    struct host *h;

    world_init(&w);
    cfg.chip = ESP_CHIP_ESP32;
    cfg.command_ns = 5 * SEC;
    h = world_add(&w, &cfg);
    REQUIRE(host_boot(h));
    CHECK(host_ok(h, 0, 3, NULL, 0));
    /* The task is busy for 5 s now. */
    make_frame(tx, 0, 0, 12, payload, sizeof(payload));
    while (host_wait(h, HS, true, 100 * MS) && sent < 100) {
        host_clock(h, tx, FRAME, NULL, FRAME);
        sent++;
    }
    /* 10 in the queue, one held by the blocked task, one in the buffer */
    CHECK_INT(sent, 12);
    CHECK_INT(host_counter(h, "rx-blocked"), 1);
    CHECK_INT(esp_engine_gauge(h->engine, 0), 10);
    CHECK(!host_line(h, HS));
    CHECK(host_wait(h, HS, true, 6 * SEC));
    world_run(&w, SEC);
    CHECK_INT(host_counter(h, "rx-data-sta"), 12);
    CHECK(host_ok(h, 0, 3, NULL, 0));
    world_free(&w);
}

/* Data-ready in the two generations when frames queue up. */
static void priorities(void)
{
    uint8_t get_mac[8] = { 3 };
    uint8_t get_power[8] = { 15 };
    uint8_t tx[FRAME];
    uint8_t rx[FRAME];
    struct world w;
    struct host *h;

    world_init(&w);
    h = world_add(&w, NULL);
    REQUIRE(host_boot(h));
    make_frame(tx, 0, 1, 12, get_mac, 8);
    CHECK(host_exchange(h, tx, FRAME, rx));
    make_frame(tx, 0, 1, 12, get_power, 8);
    CHECK(host_exchange(h, tx, FRAME, rx));
    world_run(&w, 50 * MS);
    CHECK(host_receive(h, rx, SEC) > 0);
    CHECK_INT(rx[12], 3);
    CHECK(host_line(h, DR));
    CHECK(host_receive(h, rx, SEC) > 0);
    CHECK_INT(rx[12], 15);
    CHECK(host_wait(h, HS, true, SEC));
    CHECK(!host_line(h, DR));
    world_free(&w);
}

static void resets(void)
{
    uint8_t request[8] = { 3 };
    uint8_t tx[FRAME];
    struct world w;
    struct host *h;
    unsigned mark;

    world_init(&w);
    h = world_add(&w, NULL);
    make_frame(tx, 0, 1, 12, request, 8);
    /* While booting */
    world_run(&w, MS);
    esp_engine_set_reset(h->engine, false);
    CHECK_INT(esp_engine_state(h->engine), ESP_STATE_RESET);
    world_run(&w, SEC);
    CHECK_INT(h->edge_count, 0);
    esp_engine_set_reset(h->engine, true);
    REQUIRE(host_boot(h));
    /* With lines high */
    CHECK(host_exchange(h, tx, FRAME, NULL));
    CHECK(host_wait(h, DR, true, SEC));
    CHECK(host_wait(h, HS, true, SEC));
    mark = h->edge_count;
    esp_engine_set_reset(h->engine, false);
    check_edges(h, mark, "hs- dr- ");
    esp_engine_set_reset(h->engine, true);
    REQUIRE(host_boot(h));
    /* In the middle of a transaction */
    CHECK(host_wait(h, HS, true, SEC));
    esp_engine_set_cs(h->engine, false);
    for (unsigned i = 0; i < 700; i++) {
        esp_engine_transfer(h->engine, tx[i]);
    }
    esp_engine_set_reset(h->engine, false);
    CHECK_INT(esp_engine_transfer(h->engine, 0), 0xff);
    esp_engine_set_reset(h->engine, true);
    esp_engine_set_cs(h->engine, true);
    REQUIRE(host_boot(h));
    CHECK(host_ok(h, 0, 3, NULL, 0));
    CHECK_INT(h->rsp[8] | h->rsp[9], 0);
    CHECK_INT(host_counter(h, "resets"), 3);
    CHECK_INT(host_counter(h, "boots"), 3);
    /* Held in reset at power-on */
    esp_engine_set_reset(h->engine, false);
    esp_engine_power_on(h->engine);
    world_run(&w, 10 * SEC);
    CHECK_INT(esp_engine_state(h->engine), ESP_STATE_RESET);
    world_free(&w);
}

/* 1.4: bytes behind the frame; FQ-4 off: zeros. */
static void tail_bytes(void)
{
    for (unsigned round = 0; round < 2; round++) {
        struct esp_config cfg = world_config(ESP_GENERATION_G1);
        uint8_t request[8] = { 3 };
        uint8_t rx[FRAME];
        unsigned bits = 0;
        struct world w;
        struct host *h;
        size_t n;

        world_init(&w);
        if (round) {
            cfg.generation = ESP_GENERATION_G2;
        }
        h = world_add(&w, &cfg);
        n = host_receive(h, rx, SEC);
        for (size_t i = n; i < FRAME; i++) {
            bits |= rx[i];
        }
        CHECK_INT(bits, 0);
        host_send(h, 0, 1, request, 8);
        n = host_receive(h, rx, SEC);
        CHECK(n > 0);
        for (size_t i = n; i < FRAME; i++) {
            bits |= rx[i];
        }
        CHECK_INT(bits, round ? 0 : 0xff);
        world_free(&w);
    }
}

const struct test link_tests[] = {
    { "link: lines at boot", boot_lines },
    { "link: lines around transactions", transaction_lines },
    { "link: bus time and turnaround", bus_time },
    { "link: stale handshake window", stale_handshake },
    { "link: handshake that falls late", late_fall },
    { "link: clocking while nothing is armed", unarmed },
    { "link: short, empty and long transactions", odd_lengths },
    { "link: de-assert on chip select", deassert_on_cs },
    { "link: completion on byte count", complete_on_count },
    { "link: back-pressure", back_pressure },
    { "link: answers in order, data-ready until the last", priorities },
    { "link: reset at any moment", resets },
    { "link: bytes behind a frame", tail_bytes },
    { 0 }
};
