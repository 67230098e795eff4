/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A small world for the engine: a clock, an SPI host a device, a network
 */
#ifndef WORLD_H
#define WORLD_H

#include "esp_engine.h"

#define US                      INT64_C(1000)
#define MS                      (1000 * US)
#define SEC                     (1000 * MS)
#define FRAME                   ESP_TRANSACTION_SIZE

#define MAX_HOSTS               4
#define MAX_EDGES               4096
#define MAX_PACKETS             512
#define MAX_EVENTS              64

struct edge {
    int64_t time;
    enum esp_line line;
    bool level;
};

struct event {
    uint8_t data[FRAME];
    size_t len;
};

struct world;

struct host {
    struct world *world;
    struct esp_engine *engine;
    int64_t deadline;
    bool in_transfer;
    bool broken;                /* an op was called where it must not be */
    unsigned edge_count;
    struct edge edge[MAX_EDGES];
    /* Frames that came while something else was awaited */
    unsigned event_count;
    struct event event[MAX_EVENTS];
    uint16_t seq;
    unsigned clocked;
    /* What esp_ops.frame and esp_ops.trace reported */
    unsigned frames[ESP_DIRECTION_COUNT];
    uint8_t last[ESP_DIRECTION_COUNT][FRAME];
    size_t last_len[ESP_DIRECTION_COUNT];
    unsigned traces[ESP_TRACE_COUNT];
    /* What esp_ops.scripted was handed last */
    uint8_t scripted[FRAME];
    size_t scripted_len;
    /* How the last command went */
    uint8_t rsp[FRAME];
    size_t rsp_len;
    uint8_t rsp_code;
    uint8_t rsp_status;
    uint16_t rsp_seq;
};

struct world {
    int64_t now;
    struct esp_air *air;
    unsigned host_count;
    struct host *host[MAX_HOSTS];
    struct esp_ap *ap[8];
    unsigned ap_count;
    unsigned packet_count;
    struct event packet[MAX_PACKETS];
};

/* When set, every fifth transaction finds a device saved and loaded. */
extern bool world_reloads;

void world_init(struct world *w);
void world_free(struct world *w);
/* Adds a device; with @cfg NULL: defaults, short boot, no air time. */
struct host *world_add(struct world *w, const struct esp_config *cfg);
struct esp_config world_config(enum esp_generation generation);
struct esp_ap *world_add_ap(struct world *w, const char *ssid,
                            uint8_t channel);
void world_run(struct world *w, int64_t duration);

bool host_line(struct host *h, enum esp_line line);
/* Lets time pass until the level is there; false after @limit. */
bool host_wait(struct host *h, enum esp_line line, bool level,
               int64_t limit);
/* One transaction now, whatever the lines say; rx may be NULL. */
void host_clock(struct host *h, const uint8_t *tx, size_t txlen,
                uint8_t *rx, size_t bytes);
/* Waits for handshake, then one full transaction. */
bool host_exchange(struct host *h, const uint8_t *tx, size_t txlen,
                   uint8_t *rx);
/* Next frame the device has; its length, 0 after @limit. */
size_t host_receive(struct host *h, uint8_t *rx, int64_t limit);
/* Boots, checks that the boot event comes, stores it in rsp. */
bool host_boot(struct host *h);
/* A frame with header and checksum; returns its length. */
size_t make_frame(uint8_t *frame, uint8_t if_type, uint8_t packet_type,
                  unsigned offset, const void *payload, size_t len);
void host_send(struct host *h, uint8_t if_type, uint8_t packet_type,
               const void *payload, size_t len);
/*
 * Sends a command (body: what follows the 8-byte header) and awaits the
 * answer; events meanwhile are kept. False: no answer within 6 s.
 */
bool host_command(struct host *h, uint8_t if_type, uint8_t code,
                  const void *body, size_t len);
/* True when answered with success. */
bool host_ok(struct host *h, uint8_t if_type, uint8_t code,
             const void *body, size_t len);
/* Payload of the next event of this code, kept or awaited; else NULL. */
const uint8_t *host_event(struct host *h, uint8_t code, int64_t limit,
                          size_t *len);
/* Next frame that is not an event or answer: data, EAPOL. */
const uint8_t *host_data(struct host *h, int64_t limit, size_t *len);
uint64_t host_counter(struct host *h, const char *name);
uint64_t ap_counter(struct esp_ap *ap, const char *name);

/* Saves and loads the device; checks that nothing is lost. */
bool host_reload(struct host *h);

/* Bring-up shared by many tests */
bool host_up(struct host *h);
bool host_join(struct host *h, struct esp_ap *ap);
size_t unhex(uint8_t *out, const char *text);

#endif
