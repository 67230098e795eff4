/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdlib.h>
#include <string.h>

#include "tap.h"
#include "world.h"

bool world_reloads;

static int64_t op_now(void *opaque)
{
    return ((struct host *)opaque)->world->now;
}

static void op_set_timer(void *opaque, int64_t deadline)
{
    struct host *h = opaque;

    h->broken |= h->in_transfer;
    h->deadline = deadline < 0 ? INT64_MAX : deadline;
}

static void op_set_line(void *opaque, enum esp_line line, bool level)
{
    struct host *h = opaque;

    h->broken |= h->in_transfer;
    h->broken |= line != ESP_LINE_HANDSHAKE && line != ESP_LINE_DATA_READY;
    if (h->edge_count < MAX_EDGES) {
        h->edge[h->edge_count++] = (struct edge) {
            h->world->now, line, level,
        };
    }
}

static void op_trace(void *opaque, enum esp_trace id, uint64_t a,
                     uint64_t b, uint64_t c)
{
    struct host *h = opaque;

    (void)a;
    (void)b;
    (void)c;
    h->broken |= h->in_transfer;
    h->traces[id]++;
}

static void op_frame(void *opaque, enum esp_direction dir,
                     const uint8_t *data, size_t len)
{
    struct host *h = opaque;

    h->frames[dir]++;
    memcpy(h->last[dir], data, len);
    h->last_len[dir] = len;
}

static void op_scripted(void *opaque, uint8_t if_type,
                        const uint8_t *payload, size_t len)
{
    struct host *h = opaque;

    h->broken |= if_type > 15;
    memcpy(h->scripted, payload, len);
    h->scripted_len = len;
}

static const struct esp_ops ops = {
    .scripted = op_scripted,
    .trace = op_trace,
    .frame = op_frame,
    .now = op_now,
    .set_timer = op_set_timer,
    .set_line = op_set_line,
};

static void ap_send(void *opaque, const uint8_t *frame, size_t len)
{
    struct world *w = opaque;

    if (w->packet_count < MAX_PACKETS) {
        struct event *p = &w->packet[w->packet_count++];

        memcpy(p->data, frame, len);
        p->len = len;
    }
}

static const struct esp_ap_ops ap_ops = {
    .send = ap_send,
};

void world_init(struct world *w)
{
    memset(w, 0, sizeof(*w));
    w->air = esp_air_new();
    w->now = 1 * SEC;
}

void world_free(struct world *w)
{
    for (unsigned i = 0; i < w->host_count; i++) {
        CHECK(!w->host[i]->broken);
        esp_engine_free(w->host[i]->engine);
        free(w->host[i]);
    }
    for (unsigned i = 0; i < w->ap_count; i++) {
        esp_ap_free(w->ap[i]);
    }
    esp_air_free(w->air);
}

struct esp_config world_config(enum esp_generation generation)
{
    struct esp_config cfg;

    esp_config_init(&cfg);
    cfg.chip = ESP_CHIP_ESP32C3;
    cfg.generation = generation;
    cfg.boot_ns = 5 * MS;
    cfg.reboot_ns = 7 * MS;
    cfg.scan_dwell_ns = 120 * MS;
    return cfg;
}

struct host *world_add(struct world *w, const struct esp_config *cfg)
{
    struct esp_config full = cfg ? *cfg : world_config(ESP_GENERATION_G1);
    struct host *h = calloc(1, sizeof(*h));
    char err[128] = "";

    if (!esp_config_finish(&full, err, sizeof(err))) {
        tap_fail(__FILE__, __LINE__, "configuration refused: %s", err);
        abort();
    }
    h->world = w;
    h->deadline = INT64_MAX;
    h->engine = esp_engine_new(&full, &ops, h, w->air);
    w->host[w->host_count++] = h;
    esp_engine_power_on(h->engine);
    return h;
}

struct esp_ap *world_add_ap(struct world *w, const char *ssid,
                            uint8_t channel)
{
    struct esp_ap_config cfg;
    char err[128] = "";
    struct esp_ap *ap;

    esp_ap_config_init(&cfg);
    cfg.ssid_len = (uint8_t)strlen(ssid);
    memcpy(cfg.ssid, ssid, cfg.ssid_len);
    cfg.channel = channel;
    ap = esp_ap_new(w->air, &cfg, &ap_ops, w, err, sizeof(err));
    if (!ap) {
        tap_fail(__FILE__, __LINE__, "access point refused: %s", err);
        abort();
    }
    w->ap[w->ap_count++] = ap;
    return ap;
}

/* Moves to the next deadline that is not after @until. */
static bool step(struct world *w, int64_t until)
{
    struct host *next = NULL;

    for (unsigned i = 0; i < w->host_count; i++) {
        if (!next || w->host[i]->deadline < next->deadline) {
            next = w->host[i];
        }
    }
    if (!next || next->deadline > until) {
        return false;
    }
    if (next->deadline > w->now) {
        w->now = next->deadline;
    }
    next->deadline = INT64_MAX;
    esp_engine_timer(next->engine);
    return true;
}

void world_run(struct world *w, int64_t duration)
{
    int64_t until = w->now + duration;

    while (step(w, until)) {
        continue;
    }
    w->now = until;
}

bool host_line(struct host *h, enum esp_line line)
{
    return esp_engine_line(h->engine, line);
}

bool host_wait(struct host *h, enum esp_line line, bool level, int64_t limit)
{
    int64_t until = h->world->now + limit;

    while (host_line(h, line) != level) {
        if (!step(h->world, until)) {
            h->world->now = until;
            return host_line(h, line) == level;
        }
    }
    return true;
}

bool host_reload(struct host *h)
{
    size_t size = esp_engine_save(h->engine, NULL, 0);
    uint8_t *buf = malloc(size);
    uint8_t *again = malloc(size);
    char err[128] = "";
    bool ok;

    CHECK_INT(esp_engine_save(h->engine, buf, size), size);
    ok = esp_engine_load(h->engine, buf, size, err, sizeof(err));
    if (!ok) {
        tap_fail(__FILE__, __LINE__, "%s", err);
    } else {
        CHECK_INT(esp_engine_save(h->engine, again, size), size);
        CHECK(!memcmp(buf, again, size));
    }
    free(again);
    free(buf);
    return ok;
}

void host_clock(struct host *h, const uint8_t *tx, size_t txlen,
                uint8_t *rx, size_t bytes)
{
    if (world_reloads && h->clocked++ % 5 == 0) {
        host_reload(h);
    }
    esp_engine_set_cs(h->engine, false);
    h->in_transfer = true;
    for (size_t i = 0; i < bytes; i++) {
        uint8_t miso = esp_engine_transfer(h->engine,
                                           i < txlen ? tx[i] : 0);

        if (rx) {
            rx[i] = miso;
        }
    }
    h->in_transfer = false;
    esp_engine_set_cs(h->engine, true);
}

bool host_exchange(struct host *h, const uint8_t *tx, size_t txlen,
                   uint8_t *rx)
{
    if (!host_wait(h, ESP_LINE_HANDSHAKE, true, 10 * SEC)) {
        return false;
    }
    host_clock(h, tx, txlen, rx, FRAME);
    return true;
}

static unsigned get16(const uint8_t *p)
{
    return p[0] | (unsigned)p[1] << 8;
}

static size_t frame_len(const uint8_t *rx)
{
    size_t len = get16(rx + 4);

    return len ? get16(rx + 6) + len : 0;
}

size_t host_receive(struct host *h, uint8_t *rx, int64_t limit)
{
    int64_t until = h->world->now + limit;

    for (;;) {
        size_t len;

        if (!host_wait(h, ESP_LINE_DATA_READY, true,
                       until - h->world->now) ||
            !host_exchange(h, NULL, 0, rx)) {
            return 0;
        }
        len = frame_len(rx);
        if (len) {
            return len;
        }
    }
}

bool host_boot(struct host *h)
{
    h->rsp_len = host_receive(h, h->rsp, 10 * SEC);
    return h->rsp_len && h->rsp[0] == 3 && h->rsp[12] == 1;
}

size_t make_frame(uint8_t *frame, uint8_t if_type, uint8_t packet_type,
                  unsigned offset, const void *payload, size_t len)
{
    uint16_t sum = 0;

    memset(frame, 0, FRAME);
    frame[0] = if_type;
    frame[2] = packet_type;
    frame[4] = (uint8_t)len;
    frame[5] = (uint8_t)(len >> 8);
    frame[6] = (uint8_t)offset;
    if (len) {
        memcpy(frame + offset, payload, len);
    }
    for (size_t i = 0; i < offset + len; i++) {
        sum += frame[i];
    }
    frame[8] = (uint8_t)sum;
    frame[9] = (uint8_t)(sum >> 8);
    return offset + len;
}

static void keep(struct host *h, const uint8_t *rx, size_t len)
{
    if (h->event_count < MAX_EVENTS) {
        h->event[h->event_count].len = len;
        memcpy(h->event[h->event_count++].data, rx, FRAME);
    }
}

void host_send(struct host *h, uint8_t if_type, uint8_t packet_type,
               const void *payload, size_t len)
{
    uint8_t tx[FRAME];
    uint8_t rx[FRAME];
    size_t n = make_frame(tx, if_type, packet_type, 12, payload, len);

    CHECK(host_exchange(h, tx, n, rx));
    if (frame_len(rx)) {
        keep(h, rx, frame_len(rx));
    }
}

bool host_command(struct host *h, uint8_t if_type, uint8_t code,
                  const void *body, size_t len)
{
    uint8_t request[FRAME] = { code };
    uint8_t rx[FRAME];
    int64_t until;

    h->seq++;
    request[4] = (uint8_t)h->seq;
    request[5] = (uint8_t)(h->seq >> 8);
    if (len) {
        memcpy(request + 8, body, len);
    }
    host_send(h, if_type, 1, request, 8 + len);
    until = h->world->now + 6 * SEC;
    for (unsigned i = 0; ; i++) {
        size_t n;

        /* It may have come with the request's own transaction. */
        if (i < h->event_count && h->event[i].data[2] == 2) {
            n = h->event[i].len;
            memcpy(rx, h->event[i].data, FRAME);
            h->event_count--;
            memmove(&h->event[i], &h->event[i + 1],
                    (h->event_count - i) * sizeof(h->event[0]));
        } else if (i < h->event_count) {
            continue;
        } else {
            n = host_receive(h, rx, until - h->world->now);
            if (!n) {
                return false;
            }
            if (rx[2] != 2) {
                keep(h, rx, n);
                continue;
            }
        }
        h->rsp_len = n - 12;
        memcpy(h->rsp, rx + 12, n - 12);
        h->rsp_code = h->rsp[0];
        h->rsp_status = h->rsp[1];
        h->rsp_seq = (uint16_t)get16(h->rsp + 4);
        return true;
    }
}

bool host_ok(struct host *h, uint8_t if_type, uint8_t code,
             const void *body, size_t len)
{
    return host_command(h, if_type, code, body, len) &&
           h->rsp_code == code && h->rsp_status == 2;
}

static const uint8_t *take(struct host *h, bool event, uint8_t code,
                           int64_t limit, size_t *len)
{
    static uint8_t found[FRAME];
    int64_t until = h->world->now + limit;

    for (unsigned i = 0; ; i++) {
        if (i == h->event_count) {
            uint8_t rx[FRAME];
            size_t n = host_receive(h, rx, until - h->world->now);

            if (!n || h->event_count == MAX_EVENTS) {
                return NULL;
            }
            keep(h, rx, n);
        }
        if (event ? h->event[i].data[2] == 3 &&
            h->event[i].data[get16(h->event[i].data + 6)] == code :
            h->event[i].data[2] == 0 || h->event[i].data[2] == 4) {
            unsigned offset = get16(h->event[i].data + 6);

            *len = h->event[i].len - offset;
            memcpy(found, h->event[i].data + offset, *len);
            h->event_count--;
            memmove(&h->event[i], &h->event[i + 1],
                    (h->event_count - i) * sizeof(h->event[0]));
            return found;
        }
    }
}

const uint8_t *host_event(struct host *h, uint8_t code, int64_t limit,
                          size_t *len)
{
    size_t dummy;

    return take(h, true, code, limit, len ? len : &dummy);
}

const uint8_t *host_data(struct host *h, int64_t limit, size_t *len)
{
    return take(h, false, 0, limit, len);
}

uint64_t host_counter(struct host *h, const char *name)
{
    for (unsigned i = 0; i < esp_engine_counter_count(); i++) {
        if (!strcmp(esp_engine_counter_name(i), name)) {
            return esp_engine_counter(h->engine, i);
        }
    }
    tap_fail(__FILE__, __LINE__, "no counter %s", name);
    return 0;
}

uint64_t ap_counter(struct esp_ap *ap, const char *name)
{
    for (unsigned i = 0; i < esp_ap_counter_count(); i++) {
        if (!strcmp(esp_ap_counter_name(i), name)) {
            return esp_ap_counter(ap, i);
        }
    }
    tap_fail(__FILE__, __LINE__, "no counter %s", name);
    return 0;
}

bool host_up(struct host *h)
{
    if (!host_boot(h) || !host_ok(h, 0, 1, NULL, 0) ||
        !host_ok(h, 0, 3, NULL, 0)) {
        return false;
    }
    world_run(h->world, 5 * MS);
    return true;
}

bool host_join(struct host *h, struct esp_ap *ap)
{
    const struct esp_ap_config *cfg = esp_ap_get_config(ap);
    uint8_t auth[72] = { 0 };
    uint8_t assoc[4] = { 0 };

    memcpy(auth, cfg->bssid, 6);
    auth[6] = cfg->channel;
    memcpy(auth + 8, cfg->ssid, cfg->ssid_len);
    return host_ok(h, 0, 11, auth, sizeof(auth)) &&
           host_event(h, 4, SEC, NULL) &&
           host_ok(h, 0, 12, assoc, sizeof(assoc)) &&
           host_event(h, 5, SEC, NULL);
}

size_t unhex(uint8_t *out, const char *text)
{
    size_t n = 0;

    while (*text) {
        unsigned v;
        unsigned zeros;
        int used;

        if (sscanf(text, " +%ux00%n", &zeros, &used) == 1) {
            memset(out + n, 0, zeros);
            n += zeros;
        } else if (sscanf(text, " %2x%n", &v, &used) == 1) {
            out[n++] = (uint8_t)v;
        } else {
            break;
        }
        text += used;
    }
    return n;
}
