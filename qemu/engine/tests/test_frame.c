/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Frames: test vectors of protocol.md 17 and protocol-g2.md 12, checks of
 * what the host sends (2.5), configuration
 */
#include <string.h>

#include "tap.h"
#include "world.h"

static void check_frame(const uint8_t *got, size_t len, const char *want)
{
    uint8_t bytes[FRAME];
    size_t n = unhex(bytes, want);

    if (len != n || memcmp(got, bytes, n)) {
        tap_fail(__FILE__, __LINE__, "not the test vector");
        tap_hex("got", got, len);
        tap_hex("expected", bytes, n);
    }
}

static void check_boot(enum esp_generation generation, const char *version,
                       enum esp_chip chip, uint32_t caps, uint32_t ext,
                       const char *want)
{
    struct esp_config cfg = world_config(generation);
    struct world w;
    struct host *h;

    world_init(&w);
    cfg.chip = chip;
    cfg.capabilities = caps;
    cfg.ext_capabilities = ext;
    cfg.fw_version_set = esp_fw_version_parse(version, cfg.fw_version);
    CHECK(cfg.fw_version_set);
    h = world_add(&w, &cfg);
    CHECK(host_boot(h));
    check_frame(h->rsp, h->rsp_len, want);
    world_free(&w);
}

static void boot_events(void)
{
    check_boot(ESP_GENERATION_G1, "1.0.6.0.1", ESP_CHIP_ESP32C3, ESP_AUTO, 0,
               "03 00 00 00 1f 00 0c 00 1c 02 00 00 01 00 18 00 17 00 00 00 "
               "03 01 05 02 01 1e 00 01 e8 01 0c 4e 47 00 01 00 06 00 01 01 "
               "00 00 00");
    check_boot(ESP_GENERATION_G1, "1.0.6.0.1", ESP_CHIP_ESP32, ESP_AUTO, 0,
               "03 00 00 00 1f 00 0c 00 13 02 00 00 01 00 18 00 17 00 00 00 "
               "03 01 00 02 01 0a 00 01 f8 01 0c 4e 47 00 01 00 06 00 01 01 "
               "00 00 00");
    check_boot(ESP_GENERATION_G1, "1.0.6.0.6", ESP_CHIP_ESP32C3, ESP_AUTO, 0,
               "03 00 00 00 25 00 0c 00 82 02 00 00 01 00 1e 00 1d 00 00 00 "
               "03 01 05 02 01 1e 00 01 e8 05 04 40 06 00 00 01 0c 4e 47 00 "
               "01 00 06 00 06 01 00 00 00");
    check_boot(ESP_GENERATION_G2, "1.0.6.0.15", ESP_CHIP_ESP32C3, 0xa0, 0,
               "03 00 00 00 28 00 0c 00 4f 02 00 00 01 00 21 00 20 00 00 00 "
               "03 01 05 02 01 1e 00 04 a0 00 00 00 05 04 40 06 00 00 01 0c "
               "4e 47 00 01 00 06 00 0f 01 00 00 00");
    check_boot(ESP_GENERATION_G2, "1.0.6.0.15", ESP_CHIP_ESP32C3, 0x1e8,
               0x4000,
               "03 00 00 00 2e 00 0c 00 f4 02 00 00 01 00 27 00 26 00 00 00 "
               "03 01 05 02 01 1e 00 04 e8 01 00 00 06 04 00 40 00 00 05 04 "
               "40 06 00 00 01 0c 4e 47 00 01 00 06 00 0f 01 00 00 00");
    /* As released: with Bluetooth its services are selectable, else not. */
    check_boot(ESP_GENERATION_G2, "1.0.6.0.15", ESP_CHIP_ESP32C3, ESP_AUTO,
               ESP_AUTO,
               "03 00 00 00 2e 00 0c 00 f3 02 00 00 01 00 27 00 26 00 00 00 "
               "03 01 05 02 01 1e 00 04 e8 00 00 00 06 04 00 40 00 00 05 04 "
               "40 06 00 00 01 0c 4e 47 00 01 00 06 00 0f 01 00 00 00");
    check_boot(ESP_GENERATION_G2, "1.0.6.0.15", ESP_CHIP_ESP32C3, 0xa0,
               ESP_AUTO,
               "03 00 00 00 28 00 0c 00 4f 02 00 00 01 00 21 00 20 00 00 00 "
               "03 01 05 02 01 1e 00 04 a0 00 00 00 05 04 40 06 00 00 01 0c "
               "4e 47 00 01 00 06 00 0f 01 00 00 00");
}

/* Sends a request vector, checks the answer vector. */
static void check_answer(struct host *h, const char *request,
                         const char *want)
{
    uint8_t tx[FRAME];
    uint8_t rx[FRAME];
    size_t n = unhex(tx, request);

    CHECK(host_exchange(h, tx, n, rx));
    n = host_receive(h, rx, SEC);
    check_frame(rx, n, want);
}

static void vectors_g1(void)
{
    struct esp_config cfg = world_config(ESP_GENERATION_G1);
    static const uint8_t mac[6] = { 0x24, 0x6f, 0x28, 0x80, 0x2c, 0x34 };
    struct world w;
    struct host *h;
    uint8_t rx[FRAME];
    uint8_t scan[44] = { [41] = 6 };
    size_t n;

    world_init(&w);
    memcpy(cfg.mac, mac, 6);
    cfg.mac_set = true;
    h = world_add(&w, &cfg);
    REQUIRE(host_boot(h));
    check_answer(h,
                 "00 00 01 00 08 00 0c 00 16 00 00 00 01 00 00 00 00 00 00 "
                 "00",
                 "00 00 02 00 14 00 0c 00 25 00 00 00 01 02 00 00 00 00 00 "
                 "00 +12x00");
    check_answer(h,
                 "00 00 01 00 08 00 0c 00 18 00 00 00 03 00 00 00 00 00 00 "
                 "00",
                 "00 00 02 00 1a 00 0c 00 ce 01 00 00 03 02 06 00 00 00 00 "
                 "00 24 6f 28 80 2c 34 +12x00");
    world_run(&w, 5 * MS);
    CHECK(host_ok(h, 0, 4, scan, sizeof(scan)));
    n = host_receive(h, rx, SEC);
    check_frame(rx, n,
                "00 00 03 00 04 00 0c 00 14 00 00 00 01 00 00 00");
    world_free(&w);
}

static void idle_frames(void)
{
    struct world w;
    struct host *h;
    uint8_t rx[FRAME];
    uint8_t want[FRAME] = { 0xff };

    world_init(&w);
    h = world_add(&w, NULL);
    REQUIRE(host_boot(h));
    CHECK(host_exchange(h, NULL, 0, rx));
    CHECK(!memcmp(rx, want, FRAME));
    world_run(&w, MS);
    CHECK_INT(host_counter(h, "transactions-idle"), 1);
    /* Two fillers were received: with the boot event and with the dummy. */
    CHECK_INT(host_counter(h, "rx-idle"), 2);
    CHECK_INT(host_counter(h, "rx-frames"), 0);
    world_free(&w);
}

/* Sends @frame as it is, expects it to be counted as @counter. */
static void check_drop(struct host *h, const uint8_t *frame,
                       const char *counter)
{
    uint64_t before = host_counter(h, counter);
    uint64_t commands = host_counter(h, "commands");

    CHECK(host_exchange(h, frame, FRAME, NULL));
    world_run(h->world, 5 * MS);
    if (host_counter(h, counter) != before + 1) {
        tap_fail(__FILE__, __LINE__, "%s did not count", counter);
    }
    CHECK_INT(host_counter(h, "commands"), commands);
}

static void drops_of(enum esp_generation generation)
{
    struct esp_config cfg = world_config(generation);
    struct world w;
    struct host *h;
    uint8_t payload[1600] = { 3 };
    uint8_t f[FRAME];

    world_init(&w);
    h = world_add(&w, &cfg);
    REQUIRE(host_boot(h));

    make_frame(f, 0, 1, 12, payload, 8);
    f[8] ^= 1;
    check_drop(h, f, "rx-drop-checksum");
    make_frame(f, 0, 1, 12, payload, 8);
    f[13] ^= 0x40;
    check_drop(h, f, "rx-drop-checksum");
    make_frame(f, 0, 1, 12, payload, 8);
    f[6] = 11;
    check_drop(h, f, "rx-drop-offset");
    f[6] = 17;
    check_drop(h, f, "rx-drop-offset");
    f[6] = 12;
    f[7] = 1;
    check_drop(h, f, "rx-drop-offset");
    make_frame(f, 0, 1, 12, payload, 8);
    f[4] = 0x41;
    f[5] = 0x06;
    check_drop(h, f, "rx-drop-length");
    f[4] = 0xff;
    f[5] = 0xff;
    check_drop(h, f, "rx-drop-length");
    /* 1600 bytes of payload: allowed length, but past the end */
    f[4] = 0x40;
    f[5] = 0x06;
    check_drop(h, f, "rx-drop-bounds");
    /* One byte too many behind offset 16 */
    make_frame(f, 0, 1, 16, payload, 1584);
    f[4]++;
    check_drop(h, f, "rx-drop-bounds");
    make_frame(f, 0, 1, 12, payload, 8);
    f[4] = 0;
    check_drop(h, f, "rx-drop-empty");
    memset(f, 0xff, sizeof(f));
    check_drop(h, f, "rx-drop-length");
    make_frame(f, 6, 0, 12, payload, 20);
    check_drop(h, f, "rx-drop-if-type");
    make_frame(f, 0, 3, 12, payload, 20);
    check_drop(h, f, "rx-drop-packet-type");
    make_frame(f, 0, 0, 12, payload, 13);
    check_drop(h, f, "rx-drop-ethernet");
    make_frame(f, 0, 0, 12, payload, 60);
    check_drop(h, f, "rx-drop-no-link");
    /* And every valid offset is taken. */
    for (unsigned offset = 12; offset <= 16; offset++) {
        make_frame(f, 0, 1, offset, payload, 8);
        CHECK(host_exchange(h, f, FRAME, NULL));
        world_run(&w, 5 * MS);
    }
    CHECK_INT(host_counter(h, "commands"), 5);
    world_free(&w);
}

static void bad_frames(void)
{
    drops_of(ESP_GENERATION_G1);
    drops_of(ESP_GENERATION_G2);
}

static void checksum_off(void)
{
    struct esp_config cfg = world_config(ESP_GENERATION_G1);
    struct world w;
    struct host *h;
    uint8_t request[8] = { 3 };
    uint8_t f[FRAME];

    world_init(&w);
    cfg.checksum = false;
    h = world_add(&w, &cfg);
    REQUIRE(host_boot(h));
    CHECK_INT(h->rsp[8] | h->rsp[9], 0);
    CHECK_INT(h->rsp[28], 0x68);
    make_frame(f, 0, 1, 12, request, 8);
    f[8] = 0x55;
    CHECK(host_exchange(h, f, FRAME, NULL));
    CHECK(host_receive(h, f, SEC) > 0);
    CHECK_INT(f[8] | f[9], 0);
    CHECK_INT(f[12], 3);
    /* Length past the end is cut, not read. */
    make_frame(f, 0, 1, 16, request, 8);
    f[4] = 0x40;
    f[5] = 0x06;
    CHECK(host_exchange(h, f, FRAME, NULL));
    CHECK(host_receive(h, f, SEC) > 0);
    world_free(&w);
}

/* Every length and offset around the limits, all if_types, no crash. */
static void random_frames(void)
{
    struct esp_config cfg = world_config(ESP_GENERATION_G1);
    struct world w;
    struct host *h;
    uint64_t x = 88172645463325252ULL;
    uint8_t f[FRAME];

    for (unsigned round = 0; round < 4; round++) {
        world_init(&w);
        cfg = world_config(round & 1 ? ESP_GENERATION_G2 :
                           ESP_GENERATION_G1);
        cfg.checksum = round < 2;
        world_add_ap(&w, "net", 6);
        h = world_add(&w, &cfg);
        REQUIRE(host_up(h));
        for (unsigned i = 0; i < 3000; i++) {
            size_t len;
            unsigned offset;

            for (size_t j = 0; j < FRAME; j += 8) {
                x ^= x << 13;
                x ^= x >> 7;
                x ^= x << 17;
                memcpy(f + j, &x, 8);
            }
            if (i % 4) {
                uint8_t payload[FRAME];

                memcpy(payload, f, FRAME);
                offset = 12 + x % 5;
                len = 1 + (x >> 8) % (i % 3 ? 120 : 1584);
                payload[0] = (uint8_t)((x >> 24) % 36);
                if (payload[0] == 19) {
                    /* That one never stops. */
                    payload[0] = 1;
                }
                make_frame(f, (uint8_t)((x >> 32) % 6),
                           (uint8_t)((x >> 40) % 5 ? 1 : 0), offset,
                           payload, len);
            }
            if (!host_exchange(h, f, FRAME, NULL)) {
                tap_fail(__FILE__, __LINE__, "handshake stays low");
                break;
            }
            /* A command may cause more than one frame. */
            while (host_line(h, ESP_LINE_DATA_READY) &&
                   host_exchange(h, NULL, 0, NULL)) {
                continue;
            }
        }
        CHECK(host_counter(h, "commands") > 500);
        CHECK_INT(host_counter(h, "tx-drop-memory"), 0);
        world_free(&w);
    }
}

static void configurations(void)
{
    struct esp_config cfg;
    uint8_t version[5];
    char err[128];

    esp_config_init(&cfg);
    CHECK(esp_config_finish(&cfg, err, sizeof(err)));
    CHECK_INT(cfg.spi_clock_hz, 10000000);
    CHECK_INT(cfg.rx_queue, 10);
    CHECK_INT(cfg.capabilities, 0xf8);
    esp_config_init(&cfg);
    cfg.chip = ESP_CHIP_ESP32S2;
    CHECK(esp_config_finish(&cfg, err, sizeof(err)));
    CHECK_INT(cfg.capabilities, 0xa0);
    CHECK_INT(cfg.producer_queue, 5);
    CHECK_INT(cfg.spi_clock_hz, 30000000);
    esp_config_init(&cfg);
    cfg.mac_set = true;
    CHECK(!esp_config_finish(&cfg, err, sizeof(err)));
    esp_config_init(&cfg);
    cfg.rx_queue = 21;
    CHECK(!esp_config_finish(&cfg, err, sizeof(err)));
    CHECK(!strcmp(err, "receive queue is 21, must be 1 to 20"));
    esp_config_init(&cfg);
    cfg.spi_clock_hz = 0;
    CHECK(!esp_config_finish(&cfg, err, sizeof(err)));

    CHECK_INT(esp_chip_by_name("esp32c61"), ESP_CHIP_ESP32C61);
    CHECK_INT(esp_chip_by_name("esp8266"), -1);
    CHECK_INT(esp_generation_by_name("g2"), ESP_GENERATION_G2);
    CHECK_INT(esp_generation_by_name("G2"), -1);
    CHECK(esp_fw_version_parse("1.0.6.0.255", version));
    CHECK_INT(version[4], 255);
    CHECK(!esp_fw_version_parse("1.0.6.0.256", version));
    CHECK(!esp_fw_version_parse("1.0.6.0", version));
    CHECK(!esp_fw_version_parse("1.0.6.0.1.2", version));
    CHECK(!esp_fw_version_parse("1.0..0.1", version));
    CHECK(!esp_fw_version_parse("", version));
}

const struct test frame_tests[] = {
    { "frame: boot event vectors", boot_events },
    { "frame: G1 vectors", vectors_g1 },
    { "frame: idle frames", idle_frames },
    { "frame: malformed frames are dropped by reason", bad_frames },
    { "frame: checksum off", checksum_off },
    { "frame: random frames", random_frames },
    { "frame: configurations", configurations },
    { 0 }
};
