/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The quirks of protocol.md 14 that the other tests do not show, on and off
 */
#include <string.h>

#include "tap.h"
#include "world.h"

static unsigned get16(const uint8_t *p)
{
    return p[0] | (unsigned)p[1] << 8;
}

static struct host *start_with(struct world *w, unsigned quirk, bool on,
                               enum esp_chip chip)
{
    struct esp_config cfg = world_config(ESP_GENERATION_G1);
    struct host *h;
    char err[128];

    world_init(w);
    world_add_ap(w, "net", 6);
    cfg.chip = chip;
    CHECK(esp_config_finish(&cfg, err, sizeof(err)));
    if (on) {
        cfg.quirks |= ESP_QUIRK(quirk);
    } else {
        cfg.quirks &= ~ESP_QUIRK(quirk);
    }
    h = world_add(w, &cfg);
    CHECK(host_up(h));
    return h;
}

static struct host *start(struct world *w, unsigned quirk, bool on)
{
    return start_with(w, quirk, on, ESP_CHIP_ESP32S3);
}

static void released(void)
{
    struct esp_config cfg;
    char err[128];

    esp_config_init(&cfg);
    CHECK(esp_config_finish(&cfg, err, sizeof(err)));
    CHECK_INT(cfg.quirks, 0x1bbffe);
    esp_config_init(&cfg);
    cfg.generation = ESP_GENERATION_G2;
    CHECK(esp_config_finish(&cfg, err, sizeof(err)));
    CHECK_INT(cfg.quirks, ESP_QUIRK(3) | ESP_QUIRK(6) | ESP_QUIRK(7) |
              ESP_QUIRK(17) | ESP_QUIRK(20));
}

static void auth_body(struct world *w, uint8_t *auth)
{
    memset(auth, 0, 72);
    memcpy(auth, esp_ap_get_config(w->ap[0])->bssid, 6);
    auth[6] = 6;
    memcpy(auth + 8, "net", 3);
}

/* FQ-6, FQ-7, FQ-8, FQ-9, FQ-10, FQ-12 around the connection */
static void connection(void)
{
    uint8_t scan[44] = { [41] = 6 };
    uint8_t auth[72];
    struct world w;
    struct host *h;
    int64_t before;

    h = start(&w, 6, false);
    auth_body(&w, auth);
    CHECK(host_ok(h, 0, 11, auth, sizeof(auth)));
    CHECK(host_event(h, 4, SEC, NULL) != NULL);
    CHECK_INT(host_counter(h, "events-scan-done"), 0);
    world_free(&w);

    /* Masks add up: beacons go on after STA_AUTH. */
    h = start(&w, 7, false);
    auth_body(&w, auth);
    CHECK(host_ok(h, 0, 4, scan, sizeof(scan)));
    world_run(&w, 500 * MS);
    for (unsigned i = 0; i < 2; i++) {
        CHECK(host_ok(h, 0, 11, auth, sizeof(auth)));
        CHECK(host_event(h, 4, SEC, NULL) != NULL);
    }
    CHECK_INT(host_counter(h, "events-scan-result"), 6);
    world_free(&w);

    /* No rescan while connecting. */
    h = start(&w, 8, false);
    auth_body(&w, auth);
    CHECK(host_ok(h, 0, 11, auth, sizeof(auth)));
    before = w.now;
    CHECK(host_command(h, 0, 11, auth, sizeof(auth)));
    CHECK_INT(h->rsp_status, 3);
    CHECK(w.now - before < 100 * MS);
    world_free(&w);

    h = start(&w, 9, false);
    CHECK(host_command(h, 0, 12, "\0\0\0", 4));
    CHECK_INT(h->rsp_status, 1);
    CHECK(host_command(h, 0, 6, "\3\0\0\0\0\0\0", 8));
    CHECK_INT(h->rsp_status, 1);
    world_free(&w);

    for (unsigned on = 0; on < 2; on++) {
        const uint8_t *p;
        size_t len;

        h = start(&w, 10, on);
        auth_body(&w, auth);
        memcpy(auth + 8, "ten", 3);
        CHECK(host_ok(h, 0, 11, auth, sizeof(auth)));
        CHECK(host_event(h, 4, SEC, NULL) != NULL);
        CHECK(host_ok(h, 0, 12, "\0\0\0", 4));
        p = host_event(h, 3, SEC, &len);
        CHECK(p && p[43] == 203);
        CHECK_INT(host_counter(h, "events-assoc"), !on);
        world_free(&w);

        h = start(&w, 12, on);
        auth_body(&w, auth);
        CHECK(host_ok(h, 0, 11, auth, sizeof(auth)));
        CHECK(host_event(h, 3, 10 * SEC, NULL) != NULL);
        host_send(h, 0, 0, auth, 60);
        world_run(&w, 10 * MS);
        CHECK_INT(host_counter(h, "rx-drop-no-link"), !on);
        world_free(&w);
    }
}

static void answers(void)
{
    struct world w;
    struct host *h;

    /* FQ-11: unknown codes */
    h = start(&w, 11, false);
    CHECK(host_command(h, 0, 99, NULL, 0));
    CHECK_INT(h->rsp_code, 99);
    CHECK_INT(h->rsp_status, 4);
    world_free(&w);
    /* FQ-15: the same mode while stopped */
    for (unsigned on = 0; on < 2; on++) {
        uint8_t scan[44] = { [41] = 6 };

        h = start(&w, 15, on);
        CHECK(host_ok(h, 0, 7, NULL, 0));
        CHECK(host_ok(h, 0, 22, "\1\0\0", 4));
        world_run(&w, 5 * MS);
        CHECK(host_command(h, 0, 4, scan, sizeof(scan)));
        CHECK_INT(h->rsp_status, on ? 1 : 2);
        world_free(&w);
        /* FQ-16: signal without a connection */
        h = start(&w, 16, on);
        CHECK(host_command(h, 0, 27, "\0\0\0", 4));
        CHECK_INT(h->rsp_status, on ? 2 : 1);
        world_free(&w);
        /* FQ-19: a SCAN of eight bytes */
        h = start(&w, 19, on);
        CHECK(host_command(h, 0, 4, NULL, 0));
        CHECK_INT(h->rsp_status, on ? 2 : 1);
        CHECK(host_command(h, 1, 25, (const uint8_t[12]) { 0 }, 12));
        CHECK_INT(h->rsp_status, 5);
        world_free(&w);
        /* FQ-20: MAC after a stop */
        h = start(&w, 20, on);
        CHECK(host_ok(h, 0, 2, "\2\0\0\0\0\1\0", 8));
        CHECK(host_ok(h, 0, 7, NULL, 0));
        CHECK(host_ok(h, 0, 1, NULL, 0));
        CHECK(host_ok(h, 0, 3, NULL, 0));
        CHECK_INT(h->rsp[8], on ? 0x24 : 2);
        world_free(&w);
        /* FQ-18: second INIT_IF */
        h = start(&w, 18, on);
        host_send(h, 0, 1, (const uint8_t[8]) { 1 }, 8);
        world_run(&w, 5 * MS);
        CHECK_INT(host_counter(h, "restarts"), on);
        world_free(&w);
    }
}

/*
 * FQ-13: the re-arm of a poll meets the answer. Both tasks run on whole
 * milliseconds; the poll is timed to the nanosecond around that.
 */
static void lost_data_ready(void)
{
    const int64_t rearm = 426666 + 50 * US;

    for (unsigned on = 0; on < 2; on++) {
        struct world w;
        struct host *h = start(&w, 13, on);
        unsigned lost = 0;

        for (int64_t d = -300; d <= 500; d += 50) {
            uint8_t rx[FRAME];
            int64_t tick;

            world_run(&w, 10 * MS - w.now % MS + 10 * US);
            tick = w.now - w.now % MS + 2 * MS;
            host_send(h, 0, 1, (const uint8_t[8]) { 3 }, 8);
            world_run(&w, tick - rearm + d - w.now);
            CHECK(host_line(h, ESP_LINE_HANDSHAKE));
            CHECK(host_exchange(h, NULL, 0, rx));
            CHECK_INT(rx[0], 0xff);
            if (!host_receive(h, rx, 5 * MS)) {
                lost++;
                CHECK(d > 0 && d < 200);
                /*
                 * Data-ready was high for a moment and gave a dummy; a host
                 * that polls once more finds the frame.
                 */
                CHECK(!host_line(h, ESP_LINE_DATA_READY));
                CHECK(host_exchange(h, NULL, 0, rx));
            }
            CHECK_INT(rx[12], 3);
        }
        CHECK_INT(host_counter(h, "data-ready-races"), lost);
        CHECK_INT(lost, on ? 3 : 0);
        world_free(&w);
    }
}

/* FQ-5 on a chip with HE: a broadcast is answered twice. */
static void unsolicited(void)
{
    for (unsigned on = 0; on < 2; on++) {
        uint8_t config[45] = { 'x', [32] = 1, [33] = 1, [40] = 100 };
        uint8_t request[36] = { [8] = 24, [12] = 0xc0 };
        struct world w;
        struct host *h = start_with(&w, 5, on, ESP_CHIP_ESP32C6);

        memset(request + 16, 0xff, 6);
        CHECK(host_ok(h, 0, 22, "\3\0\0", 4));
        CHECK(host_ok(h, 1, 24, config, sizeof(config)));
        world_run(&w, 5 * MS);
        CHECK(host_ok(h, 1, 25, request, sizeof(request)));
        CHECK_INT(host_receive(h, h->rsp, 50 * MS), on ? 12 + 20 + 24 : 0);
        world_free(&w);
    }
}

/* FQ-14: EAPOL of an authorised peer without its Ethernet header */
static void eapol_header(void)
{
    for (unsigned on = 0; on < 2; on++) {
        uint8_t config[45] = { 'x', [32] = 1, [33] = 1, [40] = 100 };
        uint8_t mgmt[12 + 24 + 6] = { [8] = 30, [12] = 0xb0, [38] = 2 };
        uint8_t answer[12 + 24 + 6] = { [8] = 30, [12] = 0x10, [40] = 1 };
        uint8_t peer[116] = { 0 };
        uint8_t auth[72] = { 0 };
        uint8_t frame[64] = { 0 };
        uint8_t rx[FRAME];
        struct world w;
        struct host *ap = start(&w, 14, on);
        struct host *sta = world_add(&w, NULL);

        CHECK(host_up(sta));
        memcpy(peer, sta->rsp + 8, 6);
        CHECK(host_ok(ap, 0, 22, "\3\0\0", 4));
        CHECK(host_ok(ap, 1, 24, config, sizeof(config)));
        CHECK(host_ok(ap, 1, 3, NULL, 0));
        memcpy(auth, ap->rsp + 8, 6);
        auth[6] = 1;
        auth[8] = 'x';
        CHECK(host_ok(sta, 0, 11, auth, sizeof(auth)));
        CHECK(host_event(ap, 6, SEC, NULL) != NULL);
        ap->event_count = 0;
        memcpy(mgmt + 16, peer, 6);
        memcpy(mgmt + 22, auth, 6);
        memcpy(mgmt + 28, auth, 6);
        memcpy(answer + 16, mgmt + 16, 18);
        CHECK(host_ok(ap, 1, 25, mgmt, sizeof(mgmt)));
        CHECK(host_event(sta, 4, SEC, NULL) != NULL);
        CHECK(host_ok(sta, 0, 12, "\0\0\0", 4));
        CHECK(host_ok(ap, 1, 26, peer, sizeof(peer)));
        CHECK(host_ok(ap, 1, 25, answer, sizeof(answer)));
        CHECK(host_event(sta, 5, SEC, NULL) != NULL);
        peer[6] = 1;
        peer[8] = 2;
        peer[12] = 2;
        CHECK(host_ok(ap, 1, 26, peer, sizeof(peer)));
        memcpy(frame, auth, 6);
        memcpy(frame + 6, peer, 6);
        frame[12] = 0x88;
        frame[13] = 0x8e;
        frame[14] = 0x55;
        host_send(sta, 0, 0, frame, sizeof(frame));
        ap->event_count = 0;
        do {
            if (!host_receive(ap, rx, SEC)) {
                tap_fail(__FILE__, __LINE__, "no EAPOL");
                break;
            }
        } while (rx[2] != 4);
        CHECK_INT(get16(rx + 4), on ? 50 : 64);
        CHECK_INT(rx[12 + (on ? 0 : 14)], 0x55);
        world_free(&w);
    }
}

/* FQ-17: where the firmware looks for the result of an 802.1X exchange */
static void eap_result(void)
{
    /* Its bytes 1 and 5 say "EAP packet, success". */
    static const uint8_t mac[6] = { 0x24, 0, 0x28, 0x80, 0x2c, 3 };

    for (unsigned on = 0; on < 2; on++) {
        struct esp_config cfg = world_config(ESP_GENERATION_G1);
        uint8_t frame[64] = { 0 };
        struct esp_ap *ap;
        struct world w;
        struct host *h;
        char err[128];

        world_init(&w);
        ap = world_add_ap(&w, "net", 6);
        CHECK(esp_config_finish(&cfg, err, sizeof(err)));
        memcpy(cfg.mac, mac, 6);
        cfg.mac_set = true;
        cfg.quirks &= ~ESP_QUIRK(17);
        cfg.quirks |= on ? ESP_QUIRK(17) : 0;
        h = world_add(&w, &cfg);
        CHECK(host_up(h));
        CHECK(host_join(h, ap));
        memcpy(frame, mac, 6);
        memcpy(frame + 6, esp_ap_get_config(ap)->bssid, 6);
        /* 802.1X version 2, EAP packet of 4 bytes: failure */
        memcpy(frame + 12, "\x88\x8e\x02\x00\x00\x04\x04", 7);
        esp_ap_receive(ap, frame, sizeof(frame));
        world_run(&w, 10 * MS);
        CHECK_INT(host_counter(h, "eap-success"), on);
        CHECK_INT(host_counter(h, "eap-failure"), !on);
        world_free(&w);
    }
}

const struct test quirk_tests[] = {
    { "quirk: as released", released },
    { "quirk: connection", connection },
    { "quirk: answers", answers },
    { "quirk: lost data-ready", lost_data_ready },
    { "quirk: unsolicited answers", unsolicited },
    { "quirk: EAPOL without header", eapol_header },
    { "quirk: EAP result", eap_result },
    { 0 }
};
