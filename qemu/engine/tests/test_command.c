/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Every command code and its answer: protocol.md 6 and 7
 */
#include <string.h>

#include "tap.h"
#include "world.h"

static struct esp_ap *start_g1(struct world *w, struct host **h)
{
    struct esp_ap *ap;

    world_init(w);
    ap = world_add_ap(w, "net", 6);
    *h = world_add(w, NULL);
    CHECK(host_up(*h));
    return ap;
}

/* Status and number of result bytes; the frame has FQ-3's 12 more. */
static void expect(struct host *h, uint8_t if_type, uint8_t code,
                   const void *body, size_t len, uint8_t status,
                   unsigned data)
{
    if (!host_command(h, if_type, code, body, len)) {
        tap_fail(__FILE__, __LINE__, "code %u: no answer", code);
        return;
    }
    if (h->rsp_code != code || h->rsp_status != status ||
        h->rsp[2] + 256 * h->rsp[3] != (int)data ||
        h->rsp_len != 20 + data) {
        tap_fail(__FILE__, __LINE__,
                 "code %u: answer %u status %u data %u len %zu, "
                 "expected status %u data %u", code, h->rsp_code,
                 h->rsp_status, h->rsp[2], h->rsp_len, status, data);
    }
}

static void interface(void)
{
    static const uint8_t mac[8] = { 2, 1, 2, 3, 4, 5 };
    static const uint8_t zero[8];
    uint8_t base[6];
    struct world w;
    struct host *h;

    world_init(&w);
    h = world_add(&w, NULL);
    REQUIRE(host_boot(h));
    expect(h, 0, 3, NULL, 0, 2, 6);
    CHECK(!memcmp(h->rsp + 8, zero, 6));
    expect(h, 2, 1, NULL, 0, 1, 0);
    expect(h, 0, 1, NULL, 0, 2, 0);
    expect(h, 0, 3, NULL, 0, 2, 6);
    memcpy(base, h->rsp + 8, 6);
    CHECK(memcmp(base, zero, 6));
    expect(h, 0, 2, mac, 8, 2, 6);
    CHECK(!memcmp(h->rsp + 8, mac, 6));
    /* While started it is left alone, after a stop it is lost: FQ-20 */
    world_run(&w, 5 * MS);
    expect(h, 0, 1, NULL, 0, 2, 0);
    expect(h, 0, 3, NULL, 0, 2, 6);
    CHECK(!memcmp(h->rsp + 8, mac, 6));
    expect(h, 0, 7, NULL, 0, 2, 0);
    expect(h, 0, 1, NULL, 0, 2, 0);
    expect(h, 0, 3, NULL, 0, 2, 6);
    CHECK(!memcmp(h->rsp + 8, base, 6));
    /* A group address is refused by the driver, but the variable changes. */
    expect(h, 0, 2, (const uint8_t[8]) { 3 }, 8, 1, 6);
    expect(h, 0, 3, NULL, 0, 2, 6);
    CHECK_INT(h->rsp[8], 3);
    world_free(&w);
}

/* 1.0.5: a second INIT_IF restarts the firmware (FQ-18). */
static void second_init(void)
{
    struct esp_config cfg = world_config(ESP_GENERATION_G1);
    struct world w;
    struct host *h;

    world_init(&w);
    cfg.fw_version_set = esp_fw_version_parse("1.0.5.0.4", cfg.fw_version);
    h = world_add(&w, &cfg);
    REQUIRE(host_up(h));
    CHECK(host_ok(h, 0, 7, NULL, 0));
    host_send(h, 0, 1, (const uint8_t[8]) { 1 }, 8);
    CHECK(host_boot(h));
    CHECK_INT(h->rsp[39], 12);
    CHECK_INT(host_counter(h, "restarts"), 1);
    CHECK_INT(host_counter(h, "boots"), 2);
    world_free(&w);
}

static void settings(void)
{
    struct world w;
    struct host *h;

    start_g1(&w, &h);
    expect(h, 0, 13, "\x0a\x00\x00\x01", 4, 2, 0);
    expect(h, 0, 14, (const uint8_t[49]) { 9 }, 49, 2, 0);
    expect(h, 0, 15, NULL, 0, 2, 4);
    CHECK_INT(h->rsp[8], 80);
    CHECK_INT(h->rsp[11], 0);
    expect(h, 0, 16, "\x28\x00\x00\x00", 4, 2, 4);
    CHECK_INT(h->rsp[8], 40);
    expect(h, 0, 16, "\xff\xff\xff\xff", 4, 2, 4);
    CHECK_INT(h->rsp[8], 8);
    expect(h, 0, 16, "\x7f\x00\x00\x00", 4, 2, 4);
    CHECK_INT(h->rsp[8], 80);
    expect(h, 0, 15, NULL, 0, 2, 4);
    CHECK_INT(h->rsp[8], 80);
    expect(h, 0, 21, "\x00\x01\x00\x00\x00", 5, 2, 0);
    expect(h, 0, 28, (const uint8_t[16]) { 1 }, 16, 2, 0);
    expect(h, 0, 10, (const uint8_t[68]) { 0 }, 68, 2, 0);
    expect(h, 0, 9, (const uint8_t[68]) { 0 }, 68, 1, 0);
    expect(h, 0, 9, (const uint8_t[68]) { [64] = 1 }, 68, 2, 0);
    expect(h, 0, 5, (const uint8_t[44]) { 0 }, 44, 1, 0);
    world_free(&w);
}

static void regulatory(void)
{
    struct esp_config cfg = world_config(ESP_GENERATION_G1);
    struct world w;
    struct host *h;

    start_g1(&w, &h);
    /* FQ-1: the wrong code; FQ-2: no data, length 4 */
    REQUIRE(host_command(h, 0, 17, "\0\0\0", 4));
    CHECK_INT(h->rsp_code, 18);
    CHECK_INT(h->rsp_status, 2);
    CHECK_INT(h->rsp[2], 4);
    CHECK_INT(h->rsp_len, 24);
    CHECK_INT(h->rsp[8] | h->rsp[9], 0);
    expect(h, 0, 18, "DE\0", 4, 2, 4);
    CHECK_INT(h->rsp[8], 0);
    world_free(&w);

    /* The same with both quirks off */
    world_init(&w);
    cfg.quirks = 0;
    h = world_add(&w, &cfg);
    REQUIRE(host_boot(h));
    REQUIRE(host_command(h, 0, 18, "DE\0", 4));
    CHECK_INT(h->rsp_code, 18);
    REQUIRE(host_command(h, 0, 17, "\0\0\0", 4));
    CHECK_INT(h->rsp_code, 17);
    CHECK(!memcmp(h->rsp + 8, "DE\0", 4));
    /* FQ-3 off as well: nothing behind the data */
    CHECK_INT(h->rsp_len, 12);
    world_free(&w);
}

static void keys(void)
{
    uint8_t key[68] = { 3 };
    struct world w;
    struct host *h;

    start_g1(&w, &h);
    key[40] = 16;
    expect(h, 0, 8, key, 68, 2, 0);
    key[4] = 1;
    expect(h, 0, 8, key, 68, 2, 0);
    key[40] = 33;
    expect(h, 0, 8, key, 68, 1, 0);
    key[40] = 16;
    key[60] = 11;
    expect(h, 0, 8, key, 68, 1, 0);
    key[60] = 0;
    key[0] = 0;
    expect(h, 0, 8, key, 68, 1, 0);
    key[0] = 5;
    expect(h, 0, 8, key, 68, 2, 0);
    key[0] = 200;
    expect(h, 0, 8, key, 68, 1, 0);
    world_free(&w);
}

static void modes(void)
{
    struct world w;
    struct host *h;

    start_g1(&w, &h);
    expect(h, 0, 22, "\x01\x00\x00\x00", 4, 2, 2);
    CHECK_INT(h->rsp[8], 1);
    expect(h, 0, 22, "\x04\x00\x00\x00", 4, 1, 2);
    expect(h, 0, 22, "\x03\x00\x00\x00", 4, 2, 2);
    CHECK_INT(h->rsp[8], 3);
    world_run(&w, 5 * MS);
    expect(h, 1, 3, NULL, 0, 2, 6);
    expect(h, 1, 1, NULL, 0, 2, 0);
    expect(h, 0, 22, "\x01\x00\x00\x00", 4, 2, 2);
    /* AP variant of INIT_IF fails while Wi-Fi is stopped. */
    expect(h, 0, 7, NULL, 0, 2, 0);
    expect(h, 1, 1, NULL, 0, 1, 0);
    world_free(&w);
}

static void ap_commands_in_station_role(void)
{
    uint8_t mgmt[40] = { [8] = 24 };
    struct world w;
    struct host *h;

    start_g1(&w, &h);
    expect(h, 0, 23, "\x00\x00\x00\x00", 4, 5, 0);
    expect(h, 0, 24, (const uint8_t[45]) { 0 }, 45, 5, 0);
    expect(h, 0, 26, (const uint8_t[116]) { 0 }, 116, 5, 0);
    REQUIRE(host_command(h, 0, 25, mgmt, sizeof(mgmt)));
    CHECK_INT(h->rsp_status, 5);
    CHECK_INT(h->rsp_code, 25);
    expect(h, 1, 23, "\x03\x00\x00\x00", 4, 5, 0);
    expect(h, 1, 23, "\x06\x00\x00\x00", 4, 5, 0);
    expect(h, 1, 23, "\x04\x00\x00\x00", 4, 2, 0);
    world_free(&w);
}

static void unknown_codes(void)
{
    struct world w;
    struct host *h;

    start_g1(&w, &h);
    for (unsigned code = 0; code < 256; code = code ? code + 1 : 32) {
        host_send(h, 0, 1, (const uint8_t[8]) { (uint8_t)code }, 8);
    }
    world_run(&w, 100 * MS);
    CHECK_INT(host_counter(h, "commands-unknown"), 225);
    CHECK(!host_line(h, ESP_LINE_DATA_READY));
    expect(h, 0, 3, NULL, 0, 2, 6);
    world_free(&w);
}

static void raw_throughput(void)
{
    uint8_t rx[FRAME];
    uint8_t block[1460] = { 0 };
    struct world w;
    struct host *h;
    int64_t start;

    start_g1(&w, &h);
    REQUIRE(host_command(h, 0, 20, NULL, 0));
    CHECK_INT(h->rsp_len, 8);
    for (unsigned i = 0; i < 10; i++) {
        host_send(h, 4, 0, block, sizeof(block));
    }
    world_run(&w, 20 * MS);
    CHECK_INT(host_counter(h, "rx-test-bytes"), 14600);
    REQUIRE(host_command(h, 0, 19, NULL, 0));
    CHECK_INT(h->rsp_len, 8);
    CHECK(host_receive(h, rx, SEC) == 12 + 1460);
    CHECK_INT(rx[0], 4);
    /* It keeps the bus full: 1600 bytes at 30 MHz and the turnaround */
    start = w.now;
    for (unsigned i = 0; i < 100; i++) {
        CHECK_INT(host_receive(h, rx, SEC), 12 + 1460);
    }
    CHECK_INT((w.now - start) / 1000, 100 * (426667 + 50000) / 1000);
    world_free(&w);
}

static void firmware_update(void)
{
    uint8_t image[2 + 1016] = { 1016 & 255, 1016 >> 8, 0xe9, [14] = 5 };
    struct world w;
    struct host *h;
    int64_t start;

    start_g1(&w, &h);
    expect(h, 0, 30, image, sizeof(image), 1, 0);
    expect(h, 0, 31, NULL, 0, 1, 0);
    expect(h, 0, 29, NULL, 0, 2, 0);
    image[14] = 9;
    expect(h, 0, 30, image, sizeof(image), 1, 0);
    expect(h, 0, 31, NULL, 0, 1, 0);
    image[14] = 5;
    expect(h, 0, 29, NULL, 0, 2, 0);
    expect(h, 0, 30, image, sizeof(image), 2, 0);
    image[2] = 0;
    expect(h, 0, 30, image, sizeof(image), 2, 0);
    expect(h, 0, 31, NULL, 0, 2, 0);
    start = w.now;
    CHECK(host_boot(h));
    CHECK(w.now - start > 5 * SEC - 10 * MS);
    CHECK_INT(h->rsp[39], 3);
    world_free(&w);
}

/* A command cut short reads as zeros and never past its buffer. */
static void short_commands(void)
{
    uint8_t body[8] = { 0 };
    struct world w;
    struct host *h;

    start_g1(&w, &h);
    for (unsigned code = 1; code <= 31; code++) {
        if (code == 20 || code == 19) {
            continue;
        }
        for (unsigned len = 1; len <= 8; len += 7) {
            body[0] = (uint8_t)code;
            host_send(h, 0, 1, body, len);
            world_run(&w, 3 * SEC);
        }
    }
    h->event_count = 0;
    while (host_receive(h, h->rsp, 100 * MS)) {
        continue;
    }
    CHECK_INT(host_counter(h, "commands-short"), 29);
    CHECK(host_ok(h, 0, 3, NULL, 0));
    world_free(&w);
}

/* What the surroundings are told: frames, traces, last frames, gauges */
static void observation(void)
{
    const uint8_t *data = NULL;
    struct world w;
    struct host *h;
    size_t len;

    start_g1(&w, &h);
    CHECK_INT(h->frames[ESP_FROM_HOST], 2);
    CHECK_INT(h->frames[ESP_TO_HOST], 3);
    CHECK_INT(h->traces[ESP_TRACE_COMMAND], 2);
    CHECK_INT(h->traces[ESP_TRACE_RESPONSE], 2);
    CHECK_INT(h->traces[ESP_TRACE_BOOT], 1);
    CHECK_INT(h->traces[ESP_TRACE_TRANSACTION],
              host_counter(h, "transactions"));
    CHECK_INT(h->traces[ESP_TRACE_LINE],
              host_counter(h, "handshake-rises") +
              host_counter(h, "handshake-falls") +
              host_counter(h, "data-ready-rises") +
              host_counter(h, "data-ready-falls"));
    CHECK_INT(host_counter(h, "bytes-clocked"),
              host_counter(h, "transactions") * FRAME);
    len = esp_engine_last_frame(h->engine, ESP_TO_HOST, &data);
    CHECK_INT(len, 12 + 26);
    CHECK(len == h->last_len[ESP_TO_HOST] &&
          !memcmp(data, h->last[ESP_TO_HOST], len));
    len = esp_engine_last_frame(h->engine, ESP_FROM_HOST, &data);
    CHECK(len == 20 && data[12] == 3);
    for (unsigned i = 0; i < esp_engine_gauge_count(); i++) {
        CHECK(esp_engine_gauge_name(i) != NULL);
        CHECK(strcmp(esp_engine_gauge_name(i), "frames-free") ?
              esp_engine_gauge(h->engine, i) == 0 :
              esp_engine_gauge(h->engine, i) > 500);
    }
    for (unsigned i = 0; i < esp_engine_counter_count(); i++) {
        for (unsigned j = 0; j < i; j++) {
            CHECK(strcmp(esp_engine_counter_name(i),
                         esp_engine_counter_name(j)));
        }
    }
    CHECK(esp_engine_counter_name(esp_engine_counter_count()) == NULL);
    CHECK(!strcmp(esp_state_name(esp_engine_state(h->engine)), "running"));
    CHECK(!strcmp(esp_line_name(ESP_LINE_DATA_READY), "data-ready"));
    world_free(&w);
}

static void history(void)
{
    static char text[65536];
    char tiny[16];
    struct world w;
    struct host *h;
    size_t need;

    start_g1(&w, &h);
    need = esp_engine_history_json(h->engine, NULL, 0);
    CHECK(need < sizeof(text));
    CHECK_INT(esp_engine_history_json(h->engine, text, sizeof(text)), need);
    CHECK_INT(strlen(text), need);
    CHECK(text[0] == '[' && text[need - 1] == ']');
    CHECK(strstr(text, "\"what\":\"boot\",\"code\":1,\"name\":\"BOOT\""));
    CHECK(strstr(text, "\"what\":\"command\",\"code\":3,\"name\":"
                 "\"GET_MAC\",\"if\":0,\"status\":0,\"len\":8"));
    CHECK(strstr(text, "\"what\":\"response\",\"code\":3,\"name\":"
                 "\"GET_MAC\",\"if\":0,\"status\":2,\"len\":6"));
    CHECK_INT(esp_engine_history_json(h->engine, tiny, sizeof(tiny)), need);
    CHECK_INT(strlen(tiny), sizeof(tiny) - 1);
    for (unsigned i = 0; i < 200; i++) {
        CHECK(host_ok(h, 0, 3, NULL, 0));
    }
    need = esp_engine_history_json(h->engine, text, sizeof(text));
    CHECK(need < sizeof(text));
    CHECK(!strstr(text, "\"n\":1,"));
    CHECK(strstr(text, "\"n\":404,"));
    world_free(&w);
}

const struct test command_tests[] = {
    { "command: INIT_IF, DEINIT_IF, GET_MAC, SET_MAC", interface },
    { "command: second INIT_IF of old firmware", second_init },
    { "command: settings", settings },
    { "command: regulatory domain", regulatory },
    { "command: keys", keys },
    { "command: modes", modes },
    { "command: access-point commands in station role",
      ap_commands_in_station_role },
    { "command: unknown codes stay unanswered", unknown_codes },
    { "command: raw throughput", raw_throughput },
    { "command: firmware update", firmware_update },
    { "command: short requests", short_commands },
    { "command: history", history },
    { "command: observation", observation },
    { 0 }
};
