/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The medium: paths with signal and loss, several access points of one
 * name, switches of channel, firmware that is scripted from outside
 */
#include <string.h>

#include "tap.h"
#include "world.h"

static unsigned get16(const uint8_t *p)
{
    return p[0] | (unsigned)p[1] << 8;
}

static void make_eth(uint8_t *frame, const uint8_t *dst, const uint8_t *src,
                     size_t len)
{
    memset(frame, 0x33, len);
    memcpy(frame, dst, 6);
    memcpy(frame + 6, src, 6);
    frame[12] = 8;
    frame[13] = 0;
}

static void set_path(struct host *h, struct esp_ap *ap, int dbm,
                     uint32_t loss)
{
    struct esp_path path = { dbm, loss };
    char err[128] = "";

    if (!esp_air_set_path_to_ap(h->engine, ap, &path, err, sizeof(err))) {
        tap_fail(__FILE__, __LINE__, "%s", err);
    }
}

static int8_t rssi(struct host *h)
{
    CHECK(host_ok(h, 0, 27, "\0\0\0", 4));
    return (int8_t)h->rsp[8];
}

/* Two stations of one access point hear it differently. */
static void path_signal(void)
{
    struct esp_path path = { -101, 0 };
    char err[128] = "";
    struct host *near;
    struct host *far;
    struct esp_ap *ap;
    struct world w;

    world_init(&w);
    ap = world_add_ap(&w, "net", 6);
    near = world_add(&w, NULL);
    far = world_add(&w, NULL);
    CHECK(host_up(near) && host_up(far));
    set_path(far, ap, -80, 0);
    CHECK(host_join(near, ap) && host_join(far, ap));
    CHECK_INT(rssi(near), -42);
    CHECK_INT(rssi(far), -80);
    esp_air_get_path_to_ap(far->engine, ap, &path);
    CHECK(path.signal_dbm == -80 && path.loss_ppm == 0);
    CHECK(esp_air_set_path_to_ap(far->engine, ap, NULL, err, sizeof(err)));
    CHECK_INT(rssi(far), -42);
    path.signal_dbm = -101;
    CHECK(!esp_air_set_path_to_ap(far->engine, ap, &path, err, sizeof(err)));
    CHECK(!strcmp(err, "the signal must be -100 to 0 dBm"));
    path.signal_dbm = -50;
    path.loss_ppm = 1000001;
    CHECK(!esp_air_set_path(far->engine, near->engine, &path, err,
                            sizeof(err)));
    /* Between radios it is the same in both directions. */
    path.loss_ppm = 5;
    CHECK(esp_air_set_path(far->engine, near->engine, &path, err,
                           sizeof(err)));
    memset(&path, 0, sizeof(path));
    esp_air_get_path(near->engine, far->engine, &path);
    CHECK(path.signal_dbm == -50 && path.loss_ppm == 5);
    world_free(&w);
}

static void path_loss(void)
{
    static const uint8_t gateway[6] = { 0x52, 0x55, 10, 0, 2, 2 };
    uint8_t frame[60];
    unsigned got = 0;
    struct world w;
    struct esp_ap *ap;
    struct host *h;
    size_t len;

    world_init(&w);
    ap = world_add_ap(&w, "net", 6);
    h = world_add(&w, NULL);
    CHECK(host_up(h));
    CHECK(host_join(h, ap));
    h->event_count = 0;
    set_path(h, ap, ESP_PATH_SIGNAL_AUTO, 400000);
    make_eth(frame, (const uint8_t[6]) { 255, 255, 255, 255, 255, 255 },
             gateway, sizeof(frame));
    for (unsigned i = 0; i < 100; i++) {
        esp_ap_receive(ap, frame, sizeof(frame));
        got += host_data(h, 10 * MS, &len) != NULL;
    }
    CHECK(got > 40 && got < 80);
    CHECK_INT(host_counter(h, "radio-drop-path"), 100 - got);
    for (unsigned i = 0; i < 100; i++) {
        host_send(h, 0, 0, frame, sizeof(frame));
    }
    world_run(&w, SEC);
    CHECK(w.packet_count > 40 && w.packet_count < 80);
    /* Half of the beacons are enough to stay. */
    CHECK(host_event(h, 3, 60 * SEC, &len) == NULL);
    set_path(h, ap, ESP_PATH_SIGNAL_AUTO, 1000000);
    CHECK(host_event(h, 3, 10 * SEC, &len) != NULL);
    CHECK(!host_join(h, ap));
    world_free(&w);
}

/* Roaming: the same name twice, the stronger one is somewhere else. */
static void same_name(void)
{
    uint8_t scan[44] = { 0 };
    struct esp_ap *ap[2];
    bool seen[2] = { false };
    const uint8_t *e;
    struct world w;
    struct host *h;
    size_t len;

    world_init(&w);
    ap[0] = world_add_ap(&w, "net", 1);
    ap[1] = world_add_ap(&w, "net", 11);
    h = world_add(&w, NULL);
    CHECK(host_up(h));
    set_path(h, ap[1], -80, 0);
    CHECK(host_ok(h, 0, 4, scan, sizeof(scan)));
    while ((e = host_event(h, 1, 2 * SEC, &len)) && e[1] == 1) {
        for (unsigned i = 0; i < 2; i++) {
            if (!memcmp(e + 4, esp_ap_get_config(ap[i])->bssid, 6)) {
                seen[i] = true;
                CHECK_INT((int8_t)e[12], i ? -80 : -42);
            }
        }
    }
    CHECK(seen[0] && seen[1]);
    CHECK(host_join(h, ap[0]));
    CHECK(esp_ap_has_stations(ap[0]));
    set_path(h, ap[0], -90, 0);
    set_path(h, ap[1], -50, 0);
    CHECK(host_join(h, ap[1]));
    CHECK(!esp_ap_has_stations(ap[0]) && esp_ap_has_stations(ap[1]));
    CHECK_INT(rssi(h), -50);
    world_free(&w);
}

static void announced_switch(void)
{
    uint8_t scan[44] = { [41] = 6 };
    char err[128] = "";
    bool announced = false;
    const uint8_t *e;
    struct esp_ap *ap;
    struct world w;
    struct host *h;
    size_t len;

    world_init(&w);
    ap = world_add_ap(&w, "net", 6);
    h = world_add(&w, NULL);
    CHECK(host_up(h));
    CHECK(!esp_ap_switch_channel(ap, 20, 5, w.now, err, sizeof(err)));
    CHECK(!esp_ap_switch_channel(ap, 1, 256, w.now, err, sizeof(err)));
    /* Beacons tell where it goes. */
    CHECK(esp_ap_switch_channel(ap, 9, 10, w.now, err, sizeof(err)));
    CHECK_INT(esp_ap_channel(ap, w.now), 6);
    CHECK(host_ok(h, 0, 4, scan, sizeof(scan)));
    while ((e = host_event(h, 1, 2 * SEC, &len)) && e[1] == 1) {
        for (size_t i = 40; i + 5 <= len; i += 2 + (size_t)e[i + 1]) {
            announced |= e[i] == 37 && e[i + 1] == 3 && e[i + 3] == 9;
        }
    }
    CHECK(announced);
    world_run(&w, 2 * SEC);
    CHECK_INT(esp_ap_channel(ap, w.now), 9);
    CHECK(host_join(h, ap));
    /* To where the chip cannot follow: lost by beacon timeout */
    CHECK(esp_ap_switch_channel(ap, 36, 2, w.now, err, sizeof(err)));
    CHECK(host_event(h, 3, 10 * SEC, &len) != NULL);
    CHECK_INT(ap_counter(ap, "channel-switches"), 2);
    world_free(&w);
}

/* Who takes over an access point's place has its own paths. */
static void place_is_taken_over(void)
{
    struct esp_path path;
    struct esp_ap *ap;
    struct world w;
    struct host *h;

    world_init(&w);
    ap = world_add_ap(&w, "one", 6);
    h = world_add(&w, NULL);
    set_path(h, ap, -77, 10);
    esp_ap_free(ap);
    w.ap_count = 0;
    ap = world_add_ap(&w, "two", 6);
    esp_air_get_path_to_ap(h->engine, ap, &path);
    CHECK(path.signal_dbm == ESP_PATH_SIGNAL_AUTO && !path.loss_ppm);
    world_free(&w);
}

static void scripted(void)
{
    static const uint8_t answer[] = { 200, 2, 1, 0, 1, 0, 0, 0, 42 };
    uint8_t request[8 + 3] = { 200, [4] = 1, [8] = 7, 8, 9 };
    char err[128] = "";
    struct world w;
    struct host *h;

    world_init(&w);
    h = world_add(&w, NULL);
    CHECK(!esp_engine_inject(h->engine, 0, 2, answer, sizeof(answer), err,
                             sizeof(err)));
    CHECK(!strcmp(err, "the firmware does not run: its state is booting"));
    CHECK(host_up(h));
    esp_engine_script(h->engine, 200, true);
    CHECK(esp_engine_scripted(h->engine, 200));
    CHECK(!esp_engine_scripted(h->engine, 201));
    host_send(h, 0, 1, request, sizeof(request));
    world_run(&w, 20 * MS);
    CHECK_INT(h->scripted_len, sizeof(request));
    CHECK(!memcmp(h->scripted, request, sizeof(request)));
    CHECK_INT(host_counter(h, "commands-scripted"), 1);
    CHECK(esp_engine_inject(h->engine, 0, 2, answer, sizeof(answer), err,
                            sizeof(err)));
    CHECK_INT(host_receive(h, h->rsp, SEC), 12 + sizeof(answer));
    CHECK(!memcmp(h->rsp + 12, answer, sizeof(answer)));
    CHECK_INT(get16(h->rsp + 6), 12);
    /* A known command can be taken away from the firmware, and back. */
    esp_engine_script(h->engine, 3, true);
    CHECK(!host_command(h, 0, 3, NULL, 0));
    esp_engine_script(h->engine, 3, false);
    CHECK(host_ok(h, 0, 3, NULL, 0));
    CHECK(!esp_engine_inject(h->engine, 0, 2, answer, 0, err, sizeof(err)));
    CHECK(!esp_engine_inject(h->engine, 16, 2, answer, 1, err, sizeof(err)));
    for (unsigned i = 0; i < 20; i++) {
        CHECK(esp_engine_inject(h->engine, 2, 0, answer, 1, err,
                                sizeof(err)));
    }
    CHECK(!esp_engine_inject(h->engine, 2, 0, answer, 1, err, sizeof(err)));
    CHECK(!strcmp(err, "the firmware's queue is full for now"));
    CHECK_INT(host_counter(h, "frames-injected"), 21);
    world_free(&w);
}

const struct test air_tests[] = {
    { "air: signal of a path", path_signal },
    { "air: loss of a path", path_loss },
    { "air: two access points of one name", same_name },
    { "air: announced switch of channel", announced_switch },
    { "air: a place that is taken over", place_is_taken_over },
    { "air: scripted firmware", scripted },
    { 0 }
};
