/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Life of an engine: creation, reset, boot, timers, lines, observation
 */
#include <stdio.h>
#include <stdlib.h>

#include "esp_private.h"

static const char *const counter_names[CNT_COUNT] = {
#define X(id, name) [CNT_##id] = name,
#include "esp_counters.h"
#undef X
};

static const char *const gauge_names[] = {
    "receive-queue", "transmit-queue", "producer-queue", "radio-queue",
    "frames-free",
};

uint64_t esp_random(struct esp_engine *e)
{
    uint64_t x;

    e->p.random += UINT64_C(0x9e3779b97f4a7c15);
    x = e->p.random;
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

/* Deadlines */

void esp_schedule(struct esp_engine *e, enum timer_id id, int64_t due)
{
    e->s.due[id] = due;
}

void esp_cancel(struct esp_engine *e, enum timer_id id)
{
    e->s.due[id] = NEVER;
}

int64_t esp_next_tick(const struct esp_engine *e, int64_t now)
{
    int64_t tick = (int64_t)e->cfg.tick_ns;

    if (!tick) {
        return now;
    }
    return now + tick - (now - e->s.boot_time) % tick;
}

static enum timer_id earliest(const struct esp_engine *e)
{
    enum timer_id first = 0;

    for (enum timer_id id = 1; id < TIMER_COUNT; id++) {
        if (e->s.due[id] < e->s.due[first]) {
            first = id;
        }
    }
    return first;
}

static void update_deadline(struct esp_engine *e)
{
    int64_t due = e->s.due[earliest(e)];

    if (due != e->armed_deadline) {
        e->armed_deadline = due;
        e->ops->set_timer(e->opaque, due == NEVER ? -1 : due);
    }
}

/* Lines */

void esp_set_line(struct esp_engine *e, enum esp_line line, bool level)
{
    enum counter c;

    e->p.wanted[line] = level;
    level = esp_fault_line(e, line, level);
    if (e->p.line[line] == level) {
        return;
    }
    e->p.line[line] = level;
    if (line == ESP_LINE_HANDSHAKE) {
        c = level ? CNT_HS_RISE : CNT_HS_FALL;
    } else {
        c = level ? CNT_DR_RISE : CNT_DR_FALL;
    }
    esp_count(e, c);
    esp_trace(e, ESP_TRACE_LINE, line, level, 0);
    e->change[e->change_count].line = (uint8_t)line;
    e->change[e->change_count].level = level;
    e->change_count++;
}

static void flush_lines(struct esp_engine *e)
{
    if (e->flushing) {
        return;
    }
    e->flushing = true;
    while (e->change_count) {
        enum esp_line line = e->change[0].line;
        bool level = e->change[0].level;

        e->change_count--;
        memmove(&e->change[0], &e->change[1],
                e->change_count * sizeof(e->change[0]));
        e->ops->set_line(e->opaque, line, level);
    }
    e->flushing = false;
}

void esp_enter(struct esp_engine *e)
{
    e->depth++;
}

void esp_leave(struct esp_engine *e)
{
    if (e->depth == 1) {
        flush_lines(e);
        update_deadline(e);
    }
    e->depth--;
}

void esp_set_state(struct esp_engine *e, enum esp_state state)
{
    e->p.state = (uint8_t)state;
    esp_trace(e, ESP_TRACE_STATE, state, 0, 0);
}

/* Reset and boot */

void esp_wipe(struct esp_engine *e)
{
    struct volatile_state *s = &e->s;

    memset(s, 0, sizeof(*s));
    for (int i = 0; i < TIMER_COUNT; i++) {
        s->due[i] = NEVER;
    }
    s->rx_held = NO_FRAME;
    s->sender_held = NO_FRAME;
    s->late_response = NO_FRAME;
    s->generation = (uint8_t)e->cfg.generation;
    s->reset_reason = e->cfg.reset_reason;
    s->tx_power = 80;
    memcpy(s->country, "01", 2);
    esp_pool_init(e);
}

static void start_boot(struct esp_engine *e, uint64_t delay, uint32_t reason)
{
    int64_t now = esp_now(e);
    uint64_t arg;

    /* What is flashed may have changed while the reset line was low */
    e->s.generation = (uint8_t)e->cfg.generation;
    e->s.reset_reason = reason;
    e->s.boot_time = now;
    if (esp_fault(e, FAULT_BOOT_LATE, 0, &arg)) {
        delay += arg;
    }
    if (!esp_fault(e, FAULT_BOOT_MISSING, 0, NULL)) {
        esp_schedule(e, TIMER_BOOT, now + (int64_t)delay);
    }
    esp_set_state(e, ESP_STATE_BOOTING);
}

static void lines_low(struct esp_engine *e)
{
    esp_set_line(e, ESP_LINE_HANDSHAKE, false);
    esp_set_line(e, ESP_LINE_DATA_READY, false);
}

void esp_restart(struct esp_engine *e, uint32_t reason)
{
    esp_wipe(e);
    lines_low(e);
    esp_count(e, CNT_RESTARTS);
    esp_history_add(e, HIST_RESET, 0, 0, (uint8_t)reason, 0, 0);
    start_boot(e, e->cfg.reboot_ns, reason);
}

void esp_engine_power_on(struct esp_engine *e)
{
    esp_enter(e);
    esp_wipe(e);
    e->p.random = e->cfg.seed;
    lines_low(e);
    if (e->p.line[ESP_LINE_RESET]) {
        start_boot(e, e->cfg.boot_ns, e->cfg.reset_reason);
    } else {
        esp_set_state(e, ESP_STATE_RESET);
    }
    esp_leave(e);
}

void esp_engine_set_reset(struct esp_engine *e, bool level)
{
    if (e->p.line[ESP_LINE_RESET] == level) {
        return;
    }
    esp_enter(e);
    e->p.line[ESP_LINE_RESET] = level;
    esp_trace(e, ESP_TRACE_RESET, level, 0, 0);
    if (e->p.state == ESP_STATE_OFF) {
        esp_leave(e);
        return;
    }
    if (!level) {
        esp_count(e, CNT_RESETS);
        esp_history_add(e, HIST_RESET, 0, 0,
                        (uint8_t)e->cfg.reset_reason, 0, 0);
        esp_wipe(e);
        lines_low(e);
        esp_set_state(e, ESP_STATE_RESET);
    } else {
        start_boot(e, e->cfg.boot_ns, e->cfg.reset_reason);
    }
    esp_leave(e);
}

static void handshake_fall(struct esp_engine *e)
{
    esp_set_line(e, ESP_LINE_HANDSHAKE, false);
}

static void firmware_restart(struct esp_engine *e)
{
    esp_restart(e, 3);
}

static void (*const handlers[TIMER_COUNT])(struct esp_engine *e) = {
    [TIMER_BOOT] = esp_link_boot,
    [TIMER_HANDSHAKE_FALL] = handshake_fall,
    [TIMER_COUNT_DONE] = esp_link_count_done,
    [TIMER_REARM] = esp_link_rearm,
    [TIMER_SENDER] = esp_link_sender,
    [TIMER_CONSUMER] = esp_link_consumer,
    [TIMER_MGMT] = esp_radio_mgmt,
    [TIMER_DATA] = esp_radio_data,
    [TIMER_WIFI_START] = esp_radio_wifi_start,
    [TIMER_SCAN] = esp_radio_scan_step,
    [TIMER_CONNECT] = esp_radio_connect_timeout,
    [TIMER_BEACON] = esp_radio_beacon_check,
    [TIMER_RAW_TP] = esp_command_raw_tp,
    [TIMER_RESTART] = firmware_restart,
    [TIMER_FAULT] = esp_fault_timer,
    [TIMER_HANDSHAKE_LATE] = esp_link_handshake_late,
    [TIMER_DATA_READY_LATE] = esp_link_data_ready_late,
    [TIMER_GLITCH] = esp_link_glitch,
    [TIMER_LATE_RESPONSE] = esp_fault_late_response,
    [TIMER_HCI] = esp_hci_timer,
    [TIMER_CHANNEL_SWITCH] = esp_radio_channel_switch,
    [TIMER_INACTIVE] = esp_softap_inactive,
    [TIMER_RADIO_FAULT] = esp_fault_radio_timer,
};

void esp_engine_timer(struct esp_engine *e)
{
    int64_t now = esp_now(e);

    esp_enter(e);
    /* What the timer was armed for has happened: a new call is needed. */
    e->armed_deadline = INT64_MIN;
    for (;;) {
        enum timer_id id = earliest(e);

        if (e->s.due[id] > now) {
            break;
        }
        e->event_time = e->s.due[id];
        e->s.due[id] = NEVER;
        handlers[id](e);
        flush_lines(e);
    }
    esp_leave(e);
}

/* Creation */

void esp_first_state(struct esp_engine *e)
{
    e->p.random = e->cfg.seed;
    e->p.line[ESP_LINE_RESET] = true;
    e->p.line[ESP_LINE_CS] = true;
}

struct esp_engine *esp_engine_new(const struct esp_config *cfg,
                                  const struct esp_ops *ops, void *opaque,
                                  struct esp_air *air)
{
    struct esp_engine *e = calloc(1, sizeof(*e));

    if (!e) {
        return NULL;
    }
    e->cfg = *cfg;
    e->ops = ops;
    e->opaque = opaque;
    e->air = air;
    e->armed_deadline = NEVER;
    esp_first_state(e);
    esp_wipe(e);
    if (!esp_air_add_radio(air, e)) {
        free(e);
        return NULL;
    }
    /* Two devices with the same seed still differ in their address. */
    for (uint64_t i = 1; !cfg->mac_set && esp_air_mac_taken(e); i++) {
        esp_mac_from_seed(e->cfg.mac, cfg->seed + i);
    }
    return e;
}

void esp_engine_free(struct esp_engine *e)
{
    if (!e) {
        return;
    }
    if (e->armed_deadline != NEVER) {
        e->ops->set_timer(e->opaque, -1);
    }
    esp_air_remove_radio(e->air, e);
    free(e);
}

/* Observation */

bool esp_engine_line(const struct esp_engine *e, enum esp_line line)
{
    return (unsigned)line < ESP_LINE_COUNT && e->p.line[line];
}

const char *esp_line_name(enum esp_line line)
{
    static const char *const names[ESP_LINE_COUNT] = {
        [ESP_LINE_HANDSHAKE] = "handshake",
        [ESP_LINE_DATA_READY] = "data-ready",
        [ESP_LINE_RESET] = "reset",
        [ESP_LINE_CS] = "cs",
    };

    return (unsigned)line < ESP_LINE_COUNT ? names[line] : "unknown";
}

enum esp_state esp_engine_state(const struct esp_engine *e)
{
    return e->p.state;
}

const char *esp_state_name(enum esp_state state)
{
    static const char *const names[ESP_STATE_COUNT] = {
        [ESP_STATE_OFF] = "off",
        [ESP_STATE_RESET] = "reset",
        [ESP_STATE_BOOTING] = "booting",
        [ESP_STATE_RUNNING] = "running",
        [ESP_STATE_HUNG] = "hung",
    };

    return (unsigned)state < ESP_STATE_COUNT ? names[state] : "unknown";
}

uint64_t esp_engine_link_ceiling_bps(const struct esp_engine *e)
{
    uint64_t ns = (uint64_t)ESP_TRANSACTION_SIZE * 8 * SEC /
                  e->cfg.spi_clock_hz + e->cfg.turnaround_ns;

    return UINT64_C(1448) * 8 * SEC / ns;
}

const struct esp_config *esp_engine_config(const struct esp_engine *e)
{
    return &e->cfg;
}

bool esp_engine_configure(struct esp_engine *e, const struct esp_config *cfg,
                          char *err, size_t errlen)
{
    struct esp_config new = *cfg;

    if (!esp_config_finish(&new, err, errlen)) {
        return false;
    }
    if (new.seed != e->cfg.seed) {
        snprintf(err, errlen, "the seed is fixed when the device is made");
        return false;
    }
    if (!new.mac_set) {
        memcpy(new.mac, e->cfg.mac, 6);
    }
    e->cfg = new;
    return true;
}

unsigned esp_engine_counter_count(void)
{
    return CNT_COUNT;
}

const char *esp_engine_counter_name(unsigned index)
{
    return index < CNT_COUNT ? counter_names[index] : NULL;
}

uint64_t esp_engine_counter(const struct esp_engine *e, unsigned index)
{
    return index < CNT_COUNT ? e->p.counter[index] : 0;
}

unsigned esp_engine_gauge_count(void)
{
    return sizeof(gauge_names) / sizeof(gauge_names[0]);
}

const char *esp_engine_gauge_name(unsigned index)
{
    return index < esp_engine_gauge_count() ? gauge_names[index] : NULL;
}

static uint64_t queued(const struct queue *q)
{
    return (uint64_t)q[PRIO_HIGH].count + q[PRIO_MID].count +
           q[PRIO_LOW].count;
}

uint64_t esp_engine_gauge(const struct esp_engine *e, unsigned index)
{
    switch (index) {
    case 0:
        return queued(e->s.rx_queue);
    case 1:
        return queued(e->s.tx_queue);
    case 2:
        return queued(e->s.producer);
    case 3:
        return (uint64_t)e->s.air_mgmt.count + e->s.air_data.count;
    case 4:
        return e->free_count;
    default:
        return 0;
    }
}

size_t esp_engine_last_frame(const struct esp_engine *e,
                             enum esp_direction dir, const uint8_t **data)
{
    if ((unsigned)dir >= ESP_DIRECTION_COUNT) {
        return 0;
    }
    *data = e->p.last[dir];
    return e->p.last_len[dir];
}
