/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Saved state, and that equal runs are equal
 */
#include <stdlib.h>
#include <string.h>

#include "tap.h"
#include "world.h"

/* A run with everything in it; what came over MISO goes into a sum. */
static uint64_t busy_run(struct world *w, struct host *h, unsigned from,
                         unsigned to, uint64_t sum)
{
    uint8_t tx[FRAME];
    uint8_t rx[FRAME];
    uint8_t payload[600];

    for (unsigned i = from; i < to; i++) {
        memset(payload, 0, sizeof(payload));
        if (i % 7 == 3) {
            payload[0] = (uint8_t)(i % 31 + 1);
            make_frame(tx, 0, 1, 12, payload, 80);
        } else {
            memcpy(payload, "\x52\x55\x0a\x00\x02\x02", 6);
            make_frame(tx, 0, 0, 12 + i % 5, payload, 60 + i % 500);
        }
        payload[0] = 0xff;
        esp_ap_receive(w->ap[0], payload, 60 + i % 400);
        if (!host_exchange(h, tx, FRAME, rx)) {
            tap_fail(__FILE__, __LINE__, "no handshake in round %u", i);
            break;
        }
        for (unsigned j = 0; j < FRAME; j++) {
            sum = sum * 31 + rx[j];
        }
        sum = sum * 31 + (uint64_t)w->now;
    }
    return sum;
}

static struct host *busy_start(struct world *w)
{
    struct host *h;

    world_init(w);
    world_add_ap(w, "net", 6);
    h = world_add(w, NULL);
    CHECK(host_up(h));
    CHECK(host_join(h, w->ap[0]));
    return h;
}

static void deterministic(void)
{
    uint64_t sum[2];

    for (unsigned i = 0; i < 2; i++) {
        struct world w;
        struct host *h = busy_start(&w);

        sum[i] = busy_run(&w, h, 0, 300, 0);
        world_free(&w);
    }
    CHECK(sum[0] == sum[1]);
}

/* Saved and loaded after every step: nothing may change. */
static void save_everywhere(void)
{
    uint64_t plain;
    uint64_t saved = 0;
    struct world w;
    struct host *h;

    h = busy_start(&w);
    plain = busy_run(&w, h, 0, 120, 0);
    world_free(&w);
    h = busy_start(&w);
    for (unsigned i = 0; i < 120; i++) {
        REQUIRE(host_reload(h));
        saved = busy_run(&w, h, i, i + 1, saved);
    }
    CHECK(plain == saved);
    world_free(&w);
}

/* Into another engine, in the middle of a transaction and of a scan */
static void save_in_transaction(void)
{
    uint8_t scan[52] = { 4, [49] = 6 };
    uint8_t rx[2][FRAME];
    struct world w;
    struct host *h;
    struct host *other;
    size_t size;
    uint8_t *buf;
    char err[128];

    world_init(&w);
    world_add_ap(&w, "net", 6);
    h = world_add(&w, NULL);
    other = world_add(&w, NULL);
    REQUIRE(host_up(h));
    host_send(h, 0, 1, scan, sizeof(scan));
    world_run(&w, 20 * MS);
    host_send(h, 0, 0, scan, 0);
    CHECK(host_wait(h, ESP_LINE_HANDSHAKE, true, SEC));
    esp_engine_set_cs(h->engine, false);
    for (unsigned i = 0; i < 33; i++) {
        rx[0][i] = esp_engine_transfer(h->engine, 0);
    }
    size = esp_engine_save(h->engine, NULL, 0);
    buf = malloc(size);
    esp_engine_save(h->engine, buf, size);
    CHECK(esp_engine_load(other->engine, buf, size, err, sizeof(err)));
    memcpy(rx[1], rx[0], 33);
    for (unsigned i = 33; i < FRAME; i++) {
        rx[0][i] = esp_engine_transfer(h->engine, 0);
        rx[1][i] = esp_engine_transfer(other->engine, 0);
    }
    esp_engine_set_cs(h->engine, true);
    esp_engine_set_cs(other->engine, true);
    CHECK(!memcmp(rx[0], rx[1], FRAME));
    for (unsigned i = 0; i < 4; i++) {
        size_t n = host_receive(h, rx[0], SEC);
        size_t m = host_receive(other, rx[1], SEC);

        CHECK_INT(n, m);
        CHECK(n == 0 || !memcmp(rx[0] + 28, rx[1] + 28, n > 28 ? 10 : 0));
    }
    CHECK_INT(host_counter(h, "events-scan-done"),
              host_counter(other, "events-scan-done"));
    CHECK_INT(host_counter(other, "events-scan-done"), 1);
    free(buf);
    world_free(&w);
}

/* Every truncation and many corruptions: refused or harmless. */
static void damaged_state(void)
{
    struct world w;
    struct host *h = busy_start(&w);
    uint64_t x = 1;
    size_t size;
    uint8_t *good;
    uint8_t *bad;
    char err[128];

    busy_run(&w, h, 0, 20, 0);
    size = esp_engine_save(h->engine, NULL, 0);
    good = malloc(size + 1);
    bad = malloc(size + 1);
    good[size] = 0;
    esp_engine_save(h->engine, good, size);
    for (size_t len = 0; len < size; len += len < 200 ? 1 : 97) {
        CHECK(!esp_engine_load(h->engine, good, len, err, sizeof(err)));
    }
    CHECK(!esp_engine_load(h->engine, good, size + 1, err, sizeof(err)));
    CHECK_INT(esp_engine_state(h->engine), ESP_STATE_OFF);
    for (unsigned i = 0; i < 1000; i++) {
        memcpy(bad, good, size);
        for (unsigned j = 0; j < 4; j++) {
            x = x * 6364136223846793005ULL + 1442695040888963407ULL;
            bad[(x >> 20) % size] ^= (uint8_t)(x >> 56);
        }
        if (esp_engine_load(h->engine, bad, size, err, sizeof(err))) {
            esp_engine_set_cs(h->engine, true);
            for (unsigned j = 0; j < 3 && h->deadline < w.now + SEC; j++) {
                esp_engine_timer(h->engine);
                host_clock(h, NULL, 0, NULL, FRAME);
                w.now += MS;
            }
            w.now = h->edge[h->edge_count - 1].time + SEC;
        }
    }
    CHECK(esp_engine_load(h->engine, good, size, err, sizeof(err)));
    free(good);
    free(bad);
    h->broken = false;
    world_free(&w);
}

static void access_point_state(void)
{
    struct world w;
    struct host *h = busy_start(&w);
    struct esp_ap *ap = w.ap[0];
    uint8_t buf[1024];
    size_t size;

    esp_ap_set_enabled(ap, false);
    esp_ap_set_signal(ap, -77);
    size = esp_ap_save(ap, buf, sizeof(buf));
    CHECK(size <= sizeof(buf));
    esp_ap_set_enabled(ap, true);
    esp_ap_set_signal(ap, -10);
    CHECK(!esp_ap_load(ap, buf, size - 1));
    CHECK(!esp_ap_load(ap, buf + 1, size - 1));
    CHECK(esp_ap_enabled(ap));
    CHECK(esp_ap_load(ap, buf, size));
    CHECK(!esp_ap_enabled(ap));
    CHECK_INT(esp_ap_get_config(ap)->signal_dbm, -77);
    CHECK_INT(ap_counter(ap, "assocs"), 1);
    CHECK(h != NULL);
    world_free(&w);
}

/* What the other suites check must not depend on being saved and loaded. */
static void reload_always(void)
{
    static const struct test *const suites[] = {
        command_tests, station_tests, g2_tests, softap_tests, fault_tests,
        quirk_tests, hci_tests, air_tests,
    };

    world_reloads = true;
    for (unsigned i = 0; i < sizeof(suites) / sizeof(suites[0]); i++) {
        for (const struct test *t = suites[i]; t->name; t++) {
            t->run();
        }
    }
    world_reloads = false;
}

static void reconfigure(void)
{
    struct esp_config cfg;
    char err[128] = "";
    struct world w;
    struct host *h;

    world_init(&w);
    h = world_add(&w, NULL);
    cfg = *esp_engine_config(h->engine);
    cfg.turnaround_ns = 123 * US;
    CHECK(esp_engine_configure(h->engine, &cfg, err, sizeof(err)));
    CHECK_INT(esp_engine_config(h->engine)->turnaround_ns, 123 * US);
    cfg.spi_clock_hz = 1;
    CHECK(!esp_engine_configure(h->engine, &cfg, err, sizeof(err)));
    CHECK(!strcmp(err, "SPI clock in Hz is 1, must be 10000 to 80000000"));
    cfg = *esp_engine_config(h->engine);
    cfg.rx_queue = 3;
    CHECK(esp_engine_configure(h->engine, &cfg, err, sizeof(err)));
    cfg.seed++;
    CHECK(!esp_engine_configure(h->engine, &cfg, err, sizeof(err)));
    world_free(&w);
}

const struct test state_tests[] = {
    { "state: equal runs are equal", deterministic },
    { "state: saved and loaded after every step", save_everywhere },
    { "state: saved in a transaction and a scan", save_in_transaction },
    { "state: damaged data", damaged_state },
    { "state: every suite with saved and loaded devices", reload_always },
    { "state: access point", access_point_state },
    { "state: configuration while running", reconfigure },
    { 0 }
};
