/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Chips, generations and the configuration of an engine
 */
#include <stdarg.h>
#include <stdio.h>

#include "esp_private.h"

/* Capability bits: protocol.md 5.2 */
#define CAP_BLE                 0x08
#define CAP_BR_EDR              0x10
#define CAP_WLAN_SPI            0x20
#define CAP_BT_SPI              0x40
#define CAP_CHECKSUM            0x80
/* Secondary radios are chosen at run time: protocol-g2.md 3.2 */
#define EXT_CAP_SERVICES        (1u << 14)

struct chip {
    const char *name;
    uint8_t id;
    uint8_t mhz;
    uint8_t capabilities;
    uint8_t rx_queue;           /* of generation G1 */
    uint8_t producer_queue;
    bool five_ghz;
};

#define CAP_LE  (CAP_BLE | CAP_WLAN_SPI | CAP_BT_SPI | CAP_CHECKSUM)

static const struct chip chips[ESP_CHIP_COUNT] = {
    [ESP_CHIP_ESP32] = { "esp32", 0x00, 10, CAP_LE | CAP_BR_EDR,
                         10, 20, 0 },
    [ESP_CHIP_ESP32S2] = { "esp32s2", 0x02, 30, CAP_WLAN_SPI | CAP_CHECKSUM,
                           20, 5, 0 },
    [ESP_CHIP_ESP32S3] = { "esp32s3", 0x09, 30, CAP_LE, 20, 20, 0 },
    [ESP_CHIP_ESP32C2] = { "esp32c2", 0x0c, 30, CAP_LE, 6, 20, 0 },
    [ESP_CHIP_ESP32C3] = { "esp32c3", 0x05, 30, CAP_LE, 20, 20, 0 },
    [ESP_CHIP_ESP32C5] = { "esp32c5", 0x17, 30, CAP_LE, 20, 20, 1 },
    [ESP_CHIP_ESP32C6] = { "esp32c6", 0x0d, 26, CAP_LE, 20, 20, 0 },
    [ESP_CHIP_ESP32C61] = { "esp32c61", 0x14, 26, CAP_LE, 20, 20, 0 },
    [ESP_CHIP_ESP32S31] = { "esp32s31", 0x20, 26, CAP_LE, 20, 20, 0 },
};

static const char *const generations[ESP_GENERATION_COUNT] = {
    [ESP_GENERATION_G1] = "g1",
    [ESP_GENERATION_G2] = "g2",
};

/* Quirks of protocol.md 14 that released G1 firmware has. */
#define QUIRKS_G1 \
    (ESP_QUIRK(1) | ESP_QUIRK(2) | ESP_QUIRK(3) | ESP_QUIRK(4) | \
     ESP_QUIRK(5) | ESP_QUIRK(6) | ESP_QUIRK(7) | ESP_QUIRK(8) | \
     ESP_QUIRK(9) | ESP_QUIRK(10) | ESP_QUIRK(11) | ESP_QUIRK(12) | \
     ESP_QUIRK(13) | ESP_QUIRK(15) | ESP_QUIRK(16) | ESP_QUIRK(17) | \
     ESP_QUIRK(19) | ESP_QUIRK(20))
/* What protocol-g2.md 7 says remains of them. */
#define QUIRKS_G2 \
    (ESP_QUIRK(3) | ESP_QUIRK(6) | ESP_QUIRK(7) | ESP_QUIRK(17) | \
     ESP_QUIRK(20))

int esp_chip_by_name(const char *name)
{
    for (int i = 0; i < ESP_CHIP_COUNT; i++) {
        if (!strcmp(name, chips[i].name)) {
            return i;
        }
    }
    return -1;
}

const char *esp_chip_name(enum esp_chip chip)
{
    return (unsigned)chip < ESP_CHIP_COUNT ? chips[chip].name : "unknown";
}

const char *esp_chip_names(void)
{
    return "esp32, esp32s2, esp32s3, esp32c2, esp32c3, esp32c5, esp32c6, "
           "esp32c61, esp32s31";
}

int esp_generation_by_name(const char *name)
{
    for (int i = 0; i < ESP_GENERATION_COUNT; i++) {
        if (!strcmp(name, generations[i])) {
            return i;
        }
    }
    return -1;
}

const char *esp_generation_name(enum esp_generation generation)
{
    return (unsigned)generation < ESP_GENERATION_COUNT ?
           generations[generation] : "unknown";
}

const char *esp_generation_names(void)
{
    return "g1, g2";
}

bool esp_fw_version_parse(const char *text, uint8_t version[5])
{
    uint8_t parsed[5];

    for (int i = 0; i < 5; i++) {
        unsigned value = 0;
        int digits = 0;

        while (*text >= '0' && *text <= '9' && digits < 4) {
            value = value * 10 + (unsigned)(*text++ - '0');
            digits++;
        }
        if (digits == 0 || value > 255) {
            return false;
        }
        parsed[i] = (uint8_t)value;
        if (*text++ != (i < 4 ? '.' : '\0')) {
            return false;
        }
    }
    memcpy(version, parsed, sizeof(parsed));
    return true;
}

void esp_mac_from_seed(uint8_t mac[6], uint64_t seed)
{
    uint64_t x = seed * UINT64_C(0x9e3779b97f4a7c15);

    x ^= x >> 29;
    x *= UINT64_C(0xbf58476d1ce4e5b9);
    x ^= x >> 32;
    mac[0] = 0x24;
    mac[1] = 0x6f;
    mac[2] = 0x28;
    mac[3] = (uint8_t)(x >> 16);
    mac[4] = (uint8_t)(x >> 8);
    mac[5] = (uint8_t)x;
}

uint8_t esp_chip_id(enum esp_chip chip)
{
    return chips[chip].id;
}

bool esp_chip_has_he(enum esp_chip chip)
{
    return chip == ESP_CHIP_ESP32C5 || chip == ESP_CHIP_ESP32C6 ||
           chip == ESP_CHIP_ESP32C61 || chip == ESP_CHIP_ESP32S31;
}

uint8_t esp_next_channel(enum esp_chip chip, uint8_t channel)
{
    if (channel < 13) {
        return channel + 1;
    }
    if (!chips[chip].five_ghz || channel >= 177) {
        return 0;
    }
    if (channel < 36) {
        return 36;
    }
    switch (channel) {
    case 64:
        return 100;
    case 144:
        return 149;
    default:
        return channel + 4;
    }
}

bool esp_chip_has_channel(enum esp_chip chip, uint8_t channel)
{
    return (channel >= 1 && channel <= 14) ||
           (chips[chip].five_ghz && channel >= 36 && channel <= 177);
}

void esp_config_init(struct esp_config *cfg)
{
    *cfg = (struct esp_config) {
        .chip = ESP_CHIP_ESP32,
        .generation = ESP_GENERATION_G1,
        .spi_clock_hz = ESP_AUTO,
        .advertised_mhz = ESP_AUTO,
        .capabilities = ESP_AUTO,
        .ext_capabilities = ESP_AUTO,
        .reset_reason = ESP_AUTO,
        .checksum = true,
        .boot_ns = ESP_AUTO64,
        .reboot_ns = ESP_AUTO64,
        .turnaround_ns = ESP_AUTO64,
        .handshake_fall_ns = 0,
        .tick_ns = ESP_AUTO64,
        .command_ns = ESP_AUTO64,
        .data_ns = ESP_AUTO64,
        .scan_dwell_ns = ESP_AUTO64,
        .air_ns = ESP_AUTO64,
        .air_rate_bps = ESP_AUTO,
        .miso_unarmed = 0xff,
        .rx_queue = ESP_AUTO,
        .tx_queue = ESP_AUTO,
        .producer_queue = ESP_AUTO,
        .seed = 1,
        .quirks = ESP_AUTO,
    };
}

static void choose(uint32_t *field, uint32_t value)
{
    if (*field == ESP_AUTO) {
        *field = value;
    }
}

static void choose64(uint64_t *field, uint64_t value)
{
    if (*field == ESP_AUTO64) {
        *field = value;
    }
}

__attribute__((format(printf, 3, 4)))
static bool refuse(char *err, size_t errlen, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(err, errlen, fmt, ap);
    va_end(ap);
    return false;
}

static bool in_range(const char *name, uint64_t value, uint64_t min,
                     uint64_t max, char *err, size_t errlen)
{
    if (value >= min && value <= max) {
        return true;
    }
    return refuse(err, errlen, "%s is %llu, must be %llu to %llu", name,
                  (unsigned long long)value, (unsigned long long)min,
                  (unsigned long long)max);
}

/* Late G2: four bytes of capabilities, and extended ones */
static bool has_wide_capabilities(const struct esp_config *cfg)
{
    return cfg->generation == ESP_GENERATION_G2 &&
           memcmp(cfg->fw_version, (const uint8_t[]) { 1, 0, 6, 0, 9 },
                  5) >= 0;
}

bool esp_config_finish(struct esp_config *cfg, char *err, size_t errlen)
{
    static const uint8_t version[ESP_GENERATION_COUNT][5] = {
        [ESP_GENERATION_G1] = { 1, 0, 6, 0, 1 },
        [ESP_GENERATION_G2] = { 1, 0, 6, 0, 15 },
    };
    const struct chip *chip;

    if ((unsigned)cfg->chip >= ESP_CHIP_COUNT) {
        return refuse(err, errlen, "unknown chip, must be one of %s",
                      esp_chip_names());
    }
    if ((unsigned)cfg->generation >= ESP_GENERATION_COUNT) {
        return refuse(err, errlen, "unknown generation, must be one of %s",
                      esp_generation_names());
    }
    chip = &chips[cfg->chip];
    if (!cfg->fw_version_set) {
        memcpy(cfg->fw_version, version[cfg->generation], 5);
        cfg->fw_version_set = true;
    }
    if (!cfg->mac_set) {
        esp_mac_from_seed(cfg->mac, cfg->seed);
    } else if (mac_is_group(cfg->mac) || mac_is_zero(cfg->mac)) {
        return refuse(err, errlen,
                      "the MAC address must be unicast and not zero");
    }
    choose(&cfg->advertised_mhz, chip->mhz);
    if (!in_range("advertised clock in MHz", cfg->advertised_mhz, 0, 255,
                  err, errlen)) {
        return false;
    }
    choose(&cfg->spi_clock_hz, cfg->advertised_mhz ?
           cfg->advertised_mhz * 1000000 : 10000000);
    choose(&cfg->capabilities, chip->capabilities);
    if (!cfg->checksum) {
        cfg->capabilities &= ~(uint32_t)CAP_CHECKSUM;
    }
    choose(&cfg->ext_capabilities, has_wide_capabilities(cfg) &&
           (cfg->capabilities & CAP_BT_SPI) ? EXT_CAP_SERVICES : 0);
    choose(&cfg->reset_reason, 1);
    choose64(&cfg->boot_ns, 1300 * MS);
    choose64(&cfg->reboot_ns, 1300 * MS);
    choose64(&cfg->turnaround_ns, 50 * US);
    choose64(&cfg->tick_ns, 1 * MS);
    choose64(&cfg->command_ns, 100 * US);
    choose64(&cfg->data_ns, 20 * US);
    choose64(&cfg->scan_dwell_ns, 120 * MS);
    choose64(&cfg->air_ns, 60 * US);
    choose(&cfg->air_rate_bps, 65000000);
    if (cfg->generation == ESP_GENERATION_G2) {
        choose(&cfg->rx_queue, cfg->chip == ESP_CHIP_ESP32 ? 10 : 20);
    }
    choose(&cfg->rx_queue, chip->rx_queue);
    choose(&cfg->tx_queue, cfg->rx_queue);
    choose(&cfg->producer_queue, chip->producer_queue);
    choose(&cfg->quirks, cfg->generation == ESP_GENERATION_G2 ?
           QUIRKS_G2 : QUIRKS_G1 |
           (memcmp(cfg->fw_version, (const uint8_t[]) { 1, 0, 6, 0, 0 },
                   5) < 0 ? ESP_QUIRK(18) : 0) |
           (cfg->chip == ESP_CHIP_ESP32C3 ? ESP_QUIRK(14) : 0));

    return in_range("SPI clock in Hz", cfg->spi_clock_hz, 10000, 80000000,
                    err, errlen) &&
           in_range("boot time in ns", cfg->boot_ns, 0, 600 * SEC,
                    err, errlen) &&
           in_range("reboot time in ns", cfg->reboot_ns, 0, 600 * SEC,
                    err, errlen) &&
           in_range("turnaround in ns", cfg->turnaround_ns, 0, 10 * SEC,
                    err, errlen) &&
           in_range("handshake fall delay in ns", cfg->handshake_fall_ns, 0,
                    10 * SEC, err, errlen) &&
           in_range("task tick in ns", cfg->tick_ns, 0, SEC, err, errlen) &&
           in_range("command time in ns", cfg->command_ns, 0, 600 * SEC,
                    err, errlen) &&
           in_range("data time in ns", cfg->data_ns, 0, SEC, err, errlen) &&
           in_range("scan dwell time in ns", cfg->scan_dwell_ns, 1 * MS,
                    10 * SEC, err, errlen) &&
           in_range("air overhead in ns", cfg->air_ns, 0, SEC,
                    err, errlen) &&
           in_range("receive queue", cfg->rx_queue, 1, 20, err, errlen) &&
           in_range("transmit queue", cfg->tx_queue, 1, 20, err, errlen) &&
           in_range("producer queue", cfg->producer_queue, 1, 20,
                    err, errlen);
}

/* protocol.md 5, protocol-g2.md 3 */
size_t esp_boot_event(struct esp_engine *e, uint8_t *frame)
{
    const struct esp_config *cfg = &e->cfg;
    const uint8_t *v = cfg->fw_version;
    bool has_buffer_size = memcmp(v, (const uint8_t[]) { 1, 0, 6, 0, 6 },
                                  5) >= 0;
    bool wide = has_wide_capabilities(cfg);
    uint8_t *p = frame + HDR_LEN;
    uint8_t *t = p + 8;

    memset(frame, 0, ESP_TRANSACTION_SIZE);
    *t++ = 3;
    *t++ = 1;
    *t++ = chips[cfg->chip].id;
    *t++ = 2;
    *t++ = 1;
    *t++ = (uint8_t)cfg->advertised_mhz;
    *t++ = 0;
    *t++ = wide ? 4 : 1;
    put32(t, wide ? cfg->capabilities : cfg->capabilities & 0xff);
    t += wide ? 4 : 1;
    if (wide && cfg->ext_capabilities) {
        *t++ = 6;
        *t++ = 4;
        put32(t, cfg->ext_capabilities);
        t += 4;
    }
    if (has_buffer_size) {
        *t++ = 5;
        *t++ = 4;
        put32(t, ESP_TRANSACTION_SIZE);
        t += 4;
    }
    *t++ = 1;
    *t++ = 12;
    *t++ = 'N';
    *t++ = 'G';
    *t++ = 0;
    memcpy(t, v, 5);
    put32(t + 5, e->s.reset_reason);
    t += 9;

    return esp_boot_finish(e, frame, (size_t)(t - (p + 8)));
}

size_t esp_boot_finish(struct esp_engine *e, uint8_t *frame, size_t tlvs)
{
    uint8_t *p = frame + HDR_LEN;

    memset(p + 8 + tlvs, 0, ESP_TRANSACTION_SIZE - HDR_LEN - 8 - tlvs);
    p[0] = 1;
    put16(p + 2, (uint16_t)(tlvs + 1));
    p[4] = (uint8_t)tlvs;
    frame[0] = IF_INTERNAL;
    put16(frame + 4, (uint16_t)(8 + tlvs));
    put16(frame + 6, HDR_LEN);
    if (e->cfg.checksum) {
        put16(frame + 8, esp_checksum(frame, HDR_LEN + 8 + tlvs));
    }
    return HDR_LEN + 8 + tlvs;
}
