/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Bluetooth over the link: protocol.md 9.4, protocol-g2.md 8
 */
#include <string.h>

#include "tap.h"
#include "world.h"

static unsigned get16(const uint8_t *p)
{
    return p[0] | (unsigned)p[1] << 8;
}

/* A packet with its type in the byte before the payload, at any offset */
static void hci_send(struct host *h, unsigned offset, uint8_t type,
                     const uint8_t *packet, size_t len)
{
    uint8_t tx[FRAME];
    uint16_t sum;

    make_frame(tx, 2, 0, offset, packet, len);
    tx[offset - 1] = type;
    sum = (uint16_t)(get16(tx + 8) + type);
    tx[8] = (uint8_t)sum;
    tx[9] = (uint8_t)(sum >> 8);
    CHECK(host_exchange(h, tx, offset + len, NULL));
}

/* Next HCI frame: event code and what follows in rsp; 0 if none. */
static unsigned hci_event(struct host *h, int64_t limit)
{
    uint8_t rx[FRAME];
    size_t n = host_receive(h, rx, limit);

    if (!n) {
        return 0;
    }
    CHECK_INT(rx[0], 2);
    CHECK_INT(rx[2], 0);
    CHECK_INT(rx[12], 4);
    CHECK_INT(rx[14], n - 15);
    memcpy(h->rsp, rx + 13, n - 13);
    h->rsp_len = n - 13;
    return rx[13];
}

static bool hci_command(struct host *h, unsigned opcode,
                        const void *params, uint8_t n, uint8_t status)
{
    uint8_t packet[258] = { (uint8_t)opcode, (uint8_t)(opcode >> 8), n };

    if (n) {
        memcpy(packet + 3, params, n);
    }
    hci_send(h, 12 + opcode % 5, 1, packet, 3u + n);
    return hci_event(h, SEC) == 0x0e && get16(h->rsp + 3) == opcode &&
           h->rsp[5] == status;
}

static struct host *start(struct world *w, struct esp_config *cfg)
{
    struct host *h;

    world_init(w);
    h = world_add(w, cfg);
    CHECK(host_boot(h));
    return h;
}

static void vectors(void)
{
    uint8_t tx[FRAME];
    uint8_t rx[FRAME];
    uint8_t want[FRAME];
    struct world w;
    struct host *h = start(&w, NULL);
    size_t n;

    n = unhex(tx, "02 00 00 00 03 00 0c 00 21 00 00 01 03 0c 00");
    CHECK(host_exchange(h, tx, n, NULL));
    n = host_receive(h, rx, SEC);
    CHECK_INT(n, unhex(want, "02 00 00 00 07 00 0c 00 3b 00 00 00 04 0e 04 "
                       "01 03 0c 00"));
    CHECK(!memcmp(rx, want, n));
    world_free(&w);
}

static void bring_up(void)
{
    struct world w;
    struct host *h = start(&w, NULL);
    uint8_t mac[6];

    CHECK(host_ok(h, 0, 1, NULL, 0));
    CHECK(host_ok(h, 0, 3, NULL, 0));
    memcpy(mac, h->rsp + 8, 6);
    CHECK(hci_command(h, 0x0c03, NULL, 0, 0));
    CHECK(hci_command(h, 0x1003, NULL, 0, 0));
    CHECK_INT(h->rsp[10], 0x60);
    CHECK(hci_command(h, 0x1001, NULL, 0, 0));
    CHECK_INT(h->rsp[6], 8);
    CHECK(hci_command(h, 0x1002, NULL, 0, 0));
    CHECK_INT(h->rsp_len, 6 + 64);
    CHECK_INT(h->rsp[6 + 5], 0xc0);
    CHECK(hci_command(h, 0x1009, NULL, 0, 0));
    CHECK_INT(h->rsp[6], (uint8_t)(mac[5] + 2));
    CHECK_INT(h->rsp[11], mac[0]);
    CHECK(hci_command(h, 0x0c01, "\xff\xff\xff\xff\xff\xff\xff\x3f", 8, 0));
    CHECK(hci_command(h, 0x2001, "\xff\0\0\0\0\0\0\0", 8, 0));
    CHECK(hci_command(h, 0x2002, NULL, 0, 0));
    CHECK_INT(get16(h->rsp + 6), 251);
    CHECK(hci_command(h, 0x2003, NULL, 0, 0));
    CHECK(hci_command(h, 0x201c, NULL, 0, 0));
    CHECK(hci_command(h, 0x200f, NULL, 0, 0));
    CHECK(hci_command(h, 0x2018, NULL, 0, 0));
    /* Unknown, refused, malformed */
    CHECK(hci_command(h, 0xfc12, NULL, 0, 1));
    CHECK(hci_command(h, 0x2008, "\x20", 1, 0x12));
    hci_send(h, 12, 1, (const uint8_t *)"\x0d\x20\x00", 3);
    CHECK_INT(hci_event(h, SEC), 0x0f);
    CHECK_INT(h->rsp[2], 0x0c);
    hci_send(h, 12, 1, (const uint8_t *)"\x03\x0c\x09", 3);
    hci_send(h, 12, 1, (const uint8_t *)"\x03", 1);
    hci_send(h, 12, 2, (const uint8_t *)"\x01\x00\x00\x00", 4);
    CHECK_INT(hci_event(h, 50 * MS), 0);
    CHECK_INT(host_counter(h, "hci-drop-invalid"), 3);
    world_free(&w);
}

static void scanning(void)
{
    static const uint8_t name[32] = { 7, 6, 9, 'h', 'e', 'l', 'l', 'o' };
    struct world w;
    struct host *h = start(&w, NULL);
    struct host *adv = world_add(&w, NULL);
    unsigned beacon = 0;
    unsigned hello = 0;
    unsigned rsp = 0;

    CHECK(host_boot(adv));
    CHECK(hci_command(adv, 0x2006,
                      "\xa0\0\xa0\0\0\0\0\0\0\0\0\0\0\x07\0", 15, 0));
    CHECK(hci_command(adv, 0x2008, name, 32, 0));
    CHECK(hci_command(adv, 0x200a, "\1", 1, 0));
    CHECK(hci_command(h, 0x200b, "\1\x10\0\x10\0\0\0", 7, 0));
    CHECK(hci_command(h, 0x200c, "\1\1", 2, 0));
    while (hci_event(h, 500 * MS) == 0x3e) {
        CHECK_INT(h->rsp[2], 2);
        CHECK_INT(h->rsp[12] + 14u, h->rsp_len);
        if (h->rsp[4] == 3) {
            CHECK(!memcmp(h->rsp + 18, "esp-beacon", 10));
            beacon++;
        } else if (h->rsp[4] == 4) {
            rsp++;
        } else {
            CHECK(!memcmp(h->rsp + 13, name + 1, 7));
            CHECK_INT((int8_t)h->rsp[20], -50);
            hello++;
        }
    }
    /* Duplicates are filtered. */
    CHECK_INT(beacon, 1);
    CHECK_INT(hello, 1);
    CHECK_INT(rsp, 1);
    CHECK(hci_command(h, 0x200c, "\1\0", 2, 0));
    for (unsigned i = 0; i < 9; i++) {
        CHECK_INT(hci_event(h, 500 * MS), 0x3e);
    }
    CHECK(hci_command(h, 0x0c03, NULL, 0, 0));
    CHECK_INT(hci_event(h, 500 * MS), 0);
    world_free(&w);
}

static void services(void)
{
    struct esp_config cfg = world_config(ESP_GENERATION_G2);
    struct world w;
    struct host *h;

    cfg.ext_capabilities = 0x4000;
    h = start(&w, &cfg);
    /* Nobody chose: the first packet starts it. */
    CHECK(host_ok(h, 0, 34, NULL, 0));
    CHECK_INT(h->rsp[9], 0);
    CHECK(hci_command(h, 0x0c03, NULL, 0, 0));
    CHECK(host_ok(h, 0, 34, NULL, 0));
    CHECK_INT(h->rsp[9], 1);
    /* Taking it away needs a restart. */
    CHECK(host_ok(h, 0, 33, (const uint8_t[12]) { 0 }, 12));
    CHECK_INT(h->rsp[9], 1);
    CHECK_INT(h->rsp[10], 1);
    esp_engine_set_reset(h->engine, false);
    esp_engine_set_reset(h->engine, true);
    CHECK(host_boot(h));
    CHECK(host_ok(h, 0, 33, (const uint8_t[12]) { 0 }, 12));
    CHECK_INT(h->rsp[10], 0);
    CHECK(!hci_command(h, 0x0c03, NULL, 0, 0));
    CHECK_INT(host_counter(h, "hci-drop-inactive"), 1);
    CHECK(host_ok(h, 0, 33, (const uint8_t[12]) { 1 }, 12));
    CHECK_INT(h->rsp[9], 1);
    CHECK(hci_command(h, 0x0c03, NULL, 0, 0));
    world_free(&w);

    /* The ESP32-S2 has none. */
    cfg = world_config(ESP_GENERATION_G1);
    cfg.chip = ESP_CHIP_ESP32S2;
    h = start(&w, &cfg);
    CHECK(!hci_command(h, 0x0c03, NULL, 0, 0));
    CHECK_INT(host_counter(h, "hci-drop-inactive"), 1);
    world_free(&w);
}

const struct test hci_tests[] = {
    { "hci: vectors", vectors },
    { "hci: bring-up", bring_up },
    { "hci: scanning and advertising", scanning },
    { "hci: radio services", services },
    { 0 }
};
