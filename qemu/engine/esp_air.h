/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The air: one medium shared by every co-processor and access point
 *
 * An air holds radios (one in each struct esp_engine, see esp_engine.h)
 * and built-in access points. An access point is open (no security),
 * answers authentication and association, and bridges Ethernet frames
 * between its stations and one network (a QEMU NIC back end).
 *
 * The air has no clock and no timer of its own: what travels through it
 * is queued, with a due time, in the engine that will receive it.
 *
 * Threads: none of this is thread safe; the caller holds one lock (the
 * BQL in QEMU) around every call, for all engines of one air.
 */
#ifndef ESP_AIR_H
#define ESP_AIR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ESP_AIR_MAX_RADIOS      16
#define ESP_AIR_MAX_APS         16
#define ESP_SSID_MAX            32
/* Longest Ethernet frame, without FCS, that a hosted frame can carry. */
#define ESP_ETH_MAX             1588
#define ESP_ETH_MIN             14

struct esp_air;
struct esp_ap;
struct esp_engine;

/* Creates an empty air; NULL when memory is short. */
struct esp_air *esp_air_new(void);
/* Frees an air. All its access points and engines must be gone already. */
void esp_air_free(struct esp_air *air);

struct esp_ap_config {
    uint8_t ssid[ESP_SSID_MAX];
    uint8_t ssid_len;           /* 1..32 */
    uint8_t bssid[6];           /* unicast; all zero: derived from SSID */
    uint8_t channel;            /* 1..14, or a 5 GHz channel 36..177 */
    int8_t signal_dbm;          /* at every station, -100..0 */
    uint16_t beacon_interval;   /* in time units of 1024 us, 10..10000 */
    bool hidden;                /* beacons carry an empty SSID */
    uint16_t queue;             /* frames buffered for a station, 1..256 */
};

/*
 * Fills in the defaults: "esp-hosted", channel 6, -42 dBm, 100 TU,
 * visible, 256 frames, BSSID derived from the SSID at esp_ap_new().
 */
void esp_ap_config_init(struct esp_ap_config *cfg);

/*
 * How a radio and another end of the air hear each other, in both
 * directions, instead of what the other end says.
 */
struct esp_path {
    int signal_dbm;             /* -100..0, or ESP_PATH_SIGNAL_AUTO */
    uint32_t loss_ppm;          /* of all frames, 1000000: out of reach */
};

#define ESP_PATH_SIGNAL_AUTO    1

struct esp_ap_ops {
    /*
     * Hands an Ethernet frame (14..ESP_ETH_MAX bytes, no FCS) to the
     * network behind the access point. Called from esp_engine_timer()
     * of the sending station's engine only. It may call
     * esp_ap_receive() before it returns (slirp does).
     */
    void (*send)(void *opaque, const uint8_t *frame, size_t len);
};

/*
 * Creates an access point on @air. Returns NULL and writes a sentence to
 * @err (at most @errlen bytes, always terminated) if the configuration is
 * unusable, the BSSID is taken or the air is full. @ops is kept.
 */
struct esp_ap *esp_ap_new(struct esp_air *air,
                          const struct esp_ap_config *cfg,
                          const struct esp_ap_ops *ops, void *opaque,
                          char *err, size_t errlen);
/* Stations notice its absence through lost beacons. */
void esp_ap_free(struct esp_ap *ap);

/*
 * An Ethernet frame from the network. Delivered to the station it is
 * addressed to, or to all of them when the group bit is set; queued in
 * the engines, so it never changes a line. When a station's buffer is
 * full its copy is dropped and counted, as a real access point does;
 * there is no back-pressure. May be called at any time, also from inside
 * esp_ap_ops.send. Frames of an impossible size are counted and dropped.
 */
void esp_ap_receive(struct esp_ap *ap, const uint8_t *frame, size_t len);

/* True while at least one station is associated. */
bool esp_ap_has_stations(const struct esp_ap *ap);
/* Effective configuration, with the derived BSSID filled in. */
const struct esp_ap_config *esp_ap_get_config(const struct esp_ap *ap);

/*
 * Switches the radio of the access point off and on. While off it sends
 * no beacons and answers nothing; stations lose it by beacon timeout.
 */
void esp_ap_set_enabled(struct esp_ap *ap, bool enabled);
bool esp_ap_enabled(const struct esp_ap *ap);
/* Channel now: an announced switch may have come to its end. */
uint8_t esp_ap_channel(struct esp_ap *ap, int64_t now_ns);
/*
 * Moves to another channel after so many beacons, which announce it; its
 * stations hear that and follow if they can. With 0 beacons it moves at
 * once, without a word. False with a sentence in @err: no such channel.
 */
bool esp_ap_switch_channel(struct esp_ap *ap, unsigned channel,
                           unsigned beacons, int64_t now_ns,
                           char *err, size_t errlen);
/* Signal at the stations from now on, clamped to -100..0 dBm. */
void esp_ap_set_signal(struct esp_ap *ap, int dbm);
/*
 * Deauthenticates one station, or all when @mac is NULL, with an 802.11
 * reason code. Returns how many stations were told.
 */
unsigned esp_ap_deauth(struct esp_ap *ap, const uint8_t *mac,
                       uint16_t reason);

/*
 * The path between a radio and an access point, or between two radios.
 * Without @how it is as at the start: the other end's own signal, no loss.
 * False with a sentence in @err: out of range, nothing changed. Paths are
 * part of the engines' saved state.
 */
bool esp_air_set_path_to_ap(struct esp_engine *engine, struct esp_ap *ap,
                            const struct esp_path *how,
                            char *err, size_t errlen);
bool esp_air_set_path(struct esp_engine *engine, struct esp_engine *other,
                      const struct esp_path *how,
                      char *err, size_t errlen);
void esp_air_get_path_to_ap(const struct esp_engine *engine,
                            const struct esp_ap *ap, struct esp_path *how);
void esp_air_get_path(const struct esp_engine *engine,
                      const struct esp_engine *other, struct esp_path *how);

/* Counters: index 0..count-1, names stable, lower case with hyphens. */
unsigned esp_ap_counter_count(void);
const char *esp_ap_counter_name(unsigned index);
uint64_t esp_ap_counter(const struct esp_ap *ap, unsigned index);

/*
 * Saved state, versioned, little-endian, without pointers. Which stations
 * are associated is part of the engines' state, not of this.
 * esp_ap_save() writes at most @size bytes and returns the size needed
 * (call it with NULL, 0 to learn it). esp_ap_load() returns false and
 * changes nothing if the data is not what save wrote.
 */
size_t esp_ap_save(const struct esp_ap *ap, uint8_t *buf, size_t size);
bool esp_ap_load(struct esp_ap *ap, const uint8_t *buf, size_t size);

#endif
