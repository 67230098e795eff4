/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtual ESP32 co-processor running ESP-Hosted-NG firmware: the engine
 *
 * Portable C11: knows SPI bytes, three lines, a clock and a radio, and
 * nothing of QEMU. Everything it does follows from the calls below, the
 * clock and a seeded generator, so that two equal runs are equal to the
 * nanosecond. Memory is allocated in esp_engine_new() only.
 *
 * What may be called from where, and what it may do:
 *
 *   call                    set_line   set_timer   network send
 *   esp_engine_power_on()   yes        yes         no
 *   esp_engine_set_reset()  yes        yes         no
 *   esp_engine_set_cs()     yes        yes         no
 *   esp_engine_transfer()   never      never       never
 *   esp_engine_timer()      yes        yes         yes
 *   esp_engine_load()       no         yes         no
 *   esp_engine_fault_arm(),
 *   _disarm()               no         yes         no
 *   esp_engine_inject()     no         yes         no
 *   esp_ap_receive(), ...   no         yes         no
 *   everything else         no         no          no
 *
 * So a line changes on the edge of chip select (handshake falls when the
 * transaction ends), on the edge of reset, and when the timer expires;
 * never in the middle of a byte. set_line is always the last thing that
 * happens before the engine looks at its state again, therefore the
 * called GPIO may synchronously call esp_engine_set_cs() or
 * esp_engine_set_reset() back. esp_engine_transfer() touches the two
 * transaction buffers and a counter and nothing else.
 *
 * Threads: not thread safe, see esp_air.h.
 */
#ifndef ESP_ENGINE_H
#define ESP_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "esp_air.h"

/* Bytes in one SPI transaction, each direction. */
#define ESP_TRANSACTION_SIZE    1600

enum esp_chip {
    ESP_CHIP_ESP32,
    ESP_CHIP_ESP32S2,
    ESP_CHIP_ESP32S3,
    ESP_CHIP_ESP32C2,
    ESP_CHIP_ESP32C3,
    ESP_CHIP_ESP32C5,
    ESP_CHIP_ESP32C6,
    ESP_CHIP_ESP32C61,
    ESP_CHIP_ESP32S31,
    ESP_CHIP_COUNT
};

/* Wire format of the firmware: protocol.md and protocol-g2.md. */
enum esp_generation {
    ESP_GENERATION_G1,          /* NG ... 1.0.6.0.6 */
    ESP_GENERATION_G2,          /* NG 1.0.6.0.7 and later */
    ESP_GENERATION_COUNT
};

/*
 * Names as on the command line ("esp32", "esp32s2", ..., "g1", "g2").
 * *_by_name() returns -1 for an unknown name; *_names() is a list
 * "a, b, c" for error messages.
 */
int esp_chip_by_name(const char *name);
const char *esp_chip_name(enum esp_chip chip);
const char *esp_chip_names(void);
int esp_generation_by_name(const char *name);
const char *esp_generation_name(enum esp_generation generation);
const char *esp_generation_names(void);
/* Parses "1.0.6.0.1": five numbers 0..255. False if it is not that. */
bool esp_fw_version_parse(const char *text, uint8_t version[5]);

/* Value of an esp_config field that esp_config_finish() shall choose. */
#define ESP_AUTO                UINT32_MAX
#define ESP_AUTO64              UINT64_MAX

/*
 * Configuration. esp_config_init() sets every field to ESP_AUTO[64] or
 * to the default named here; set what the user gave; esp_config_finish()
 * resolves the rest from chip and generation and checks everything.
 */
struct esp_config {
    enum esp_chip chip;                 /* default ESP32 */
    enum esp_generation generation;     /* default G1 */
    bool fw_version_set;                /* false: 1.0.6.0.1 / 1.0.6.0.15 */
    uint8_t fw_version[5];
    bool mac_set;                       /* false: derived from the seed */
    uint8_t mac[6];

    /* Clock of the bus as modelled, Hz; auto: what the chip advertises. */
    uint32_t spi_clock_hz;
    uint32_t advertised_mhz;            /* boot event TLV 2; auto: chip */
    uint32_t capabilities;              /* boot event TLV 0; auto: chip */
    uint32_t ext_capabilities;          /* boot event TLV 6, G2; auto: 0 */
    uint32_t reset_reason;              /* auto: 1 power-on / EN pin */
    bool checksum;                      /* default true; clears bit 7 */

    /* All in nanoseconds of the clock behind esp_ops.now. */
    uint64_t boot_ns;                   /* EN high to boot event; 1.3 s */
    uint64_t reboot_ns;                 /* after a firmware restart; 1.3 s */
    uint64_t turnaround_ns;             /* bus free to handshake high; 50 us */
    uint64_t handshake_fall_ns;         /* CS rise to handshake low; 0 */
    uint64_t tick_ns;                   /* poll period of the tasks; 1 ms */
    uint64_t command_ns;                /* to execute a command; 100 us */
    uint64_t data_ns;                   /* to pass a frame on; 20 us */
    uint64_t scan_dwell_ns;             /* a channel of a scan; 120 ms */
    uint64_t air_ns;                    /* overhead of a radio frame; 60 us */
    uint32_t air_rate_bps;              /* 65 Mbit/s; 0: no time at all */

    bool deassert_on_cs;        /* handshake falls when CS falls (1.4) */
    bool complete_on_count;     /* ends at 1600 bytes, not at CS rise (1.6) */
    uint8_t miso_unarmed;       /* MISO byte while nothing is armed; 0xff */

    /* Queue depths in frames, a priority; auto: chip and generation. */
    uint32_t rx_queue;          /* host to firmware, 1..20 */
    uint32_t tx_queue;          /* firmware to host, at the SPI, 1..20 */
    uint32_t producer_queue;    /* in front of that, 1..20 */

    uint64_t seed;              /* default 1 */
    uint32_t quirks;            /* ESP_QUIRK() bits; auto: as released */
};

/*
 * Bits of esp_config.quirks: ESP_QUIRK(1) is FQ-1 of protocol.md 14. All
 * have an effect but FQ-17, which cannot be seen from outside. Off means
 * the behaviour one would expect, mostly that of the second generation.
 */
#define ESP_QUIRK(n)            (UINT32_C(1) << (n))

void esp_config_init(struct esp_config *cfg);
/* False: unusable, @err (terminated) says why and what would be valid. */
bool esp_config_finish(struct esp_config *cfg, char *err, size_t errlen);

enum esp_line {
    ESP_LINE_HANDSHAKE,         /* output: high = a transaction is armed */
    ESP_LINE_DATA_READY,        /* output: high = a frame is waiting */
    ESP_LINE_RESET,             /* input EN: low = held in reset */
    ESP_LINE_CS,                /* input: low = selected */
    ESP_LINE_COUNT
};

/* Direction of a hosted frame, seen from the host. */
enum esp_direction {
    ESP_TO_HOST,
    ESP_FROM_HOST,
    ESP_DIRECTION_COUNT
};

/* What esp_ops.trace reports, and its three arguments. */
enum esp_trace {
    ESP_TRACE_RESET,            /* level */
    ESP_TRACE_BOOT,             /* boots so far */
    ESP_TRACE_STATE,            /* new state (enum esp_state) */
    ESP_TRACE_LINE,             /* enum esp_line, level */
    ESP_TRACE_ARM,              /* frame length, if_type, packet type */
    ESP_TRACE_TRANSACTION,      /* bytes clocked, bytes armed, duration ns */
    ESP_TRACE_UNARMED,          /* bytes clocked while nothing was armed */
    ESP_TRACE_FRAME_RX,         /* if_type, packet type, payload length */
    ESP_TRACE_FRAME_DROP,       /* counter index of the reason, len, offset */
    ESP_TRACE_COMMAND,          /* code, payload length, sequence */
    ESP_TRACE_RESPONSE,         /* code, status, data length */
    ESP_TRACE_EVENT,            /* code, status, payload length */
    ESP_TRACE_BLOCKED,          /* 1 receive queue full, 0 drained */
    ESP_TRACE_FAULT,            /* fault index, argument, times left */
    ESP_TRACE_COUNT
};

struct esp_ops {
    /* Time now in ns. Must not go backwards. */
    int64_t (*now)(void *opaque);
    /*
     * Arms the one timer: call esp_engine_timer() once, as soon as the
     * clock shows @deadline_ns or more, never from inside set_timer.
     * Replaces an earlier deadline; negative: cancel.
     */
    void (*set_timer)(void *opaque, int64_t deadline_ns);
    /* Drives handshake or data-ready. Called only when it changes. */
    void (*set_line)(void *opaque, enum esp_line line, bool level);
    /* Optional. Follows every step; must be cheap. */
    void (*trace)(void *opaque, enum esp_trace id,
                  uint64_t a, uint64_t b, uint64_t c);
    /*
     * Optional. Every real frame (no idle filler) that was clocked, header
     * first, when the transaction has ended: for pcap writers.
     */
    void (*frame)(void *opaque, enum esp_direction dir,
                  const uint8_t *data, size_t len);
    /*
     * Optional. A command that esp_engine_script() takes from the firmware
     * has arrived: its payload, command header first. Called from
     * esp_engine_timer(). Whoever gets it answers with
     * esp_engine_inject(), now or later.
     */
    void (*scripted)(void *opaque, uint8_t if_type,
                     const uint8_t *payload, size_t len);
    /* Optional. A sentence for a log, without newline. */
    void (*log)(void *opaque, const char *text);
};

/*
 * Creates an engine and puts its radio on @air. @cfg must have passed
 * esp_config_finish(). NULL: no memory, or the air is full. @ops is kept.
 * Nothing happens before esp_engine_power_on().
 */
struct esp_engine *esp_engine_new(const struct esp_config *cfg,
                                  const struct esp_ops *ops, void *opaque,
                                  struct esp_air *air);
/* Cancels the timer, leaves the air, frees. NULL is allowed. */
void esp_engine_free(struct esp_engine *engine);

/*
 * Cold start (QEMU device reset): everything but the counters is as new.
 * Lines go low. Levels of EN and CS last reported are kept (they start
 * high: both have pull-ups). Boots if EN is high.
 */
void esp_engine_power_on(struct esp_engine *engine);

/*
 * Level of the EN pin, pull-up included: a host that switches its GPIO to
 * input releases it. Falling: everything stops, lines go low, state is
 * lost. Rising: boots. Repeating a level does nothing.
 */
void esp_engine_set_reset(struct esp_engine *engine, bool level);

/* Raw level of chip select, low = selected. Repeats do nothing. */
void esp_engine_set_cs(struct esp_engine *engine, bool level);

/*
 * One byte, full duplex, while chip select is low. Bytes clocked with
 * chip select high are counted and ignored.
 */
uint8_t esp_engine_transfer(struct esp_engine *engine, uint8_t mosi);

/*
 * The timer has expired. Early or spurious calls do no harm. Does all
 * work that is due and sets the next deadline.
 */
void esp_engine_timer(struct esp_engine *engine);

/* Level of any line now. */
bool esp_engine_line(const struct esp_engine *engine, enum esp_line line);
/* "handshake", "data-ready", "reset", "cs". */
const char *esp_line_name(enum esp_line line);

enum esp_state {
    ESP_STATE_OFF,              /* never powered on */
    ESP_STATE_RESET,            /* EN low */
    ESP_STATE_BOOTING,          /* until the boot event is armed */
    ESP_STATE_RUNNING,
    ESP_STATE_HUNG,             /* arming stopped for good, 13 */
    ESP_STATE_COUNT
};

enum esp_state esp_engine_state(const struct esp_engine *engine);
/* "off", "reset", "booting", "running", "hung". */
const char *esp_state_name(enum esp_state state);

/*
 * Payload bits a second the modelled bus can carry in one direction when
 * every transaction holds one 1448-byte TCP segment.
 */
uint64_t esp_engine_link_ceiling_bps(const struct esp_engine *engine);

const struct esp_config *esp_engine_config(const struct esp_engine *engine);
/*
 * Changes timing, line options, MISO filler or quirks while running; the
 * new values count from the next use. Fields that belong to boot (chip,
 * generation, version, MAC, capabilities) count from the next boot. The
 * seed does not change. False with a sentence in @err: nothing was
 * changed. Not part of the saved state.
 */
bool esp_engine_configure(struct esp_engine *engine,
                          const struct esp_config *cfg,
                          char *err, size_t errlen);

/*
 * Counters: index 0..count-1, names stable, lower case with hyphens
 * ("transactions", "rx-drop-checksum", ...). They count from
 * esp_engine_new() on and survive resets.
 */
unsigned esp_engine_counter_count(void);
const char *esp_engine_counter_name(unsigned index);
uint64_t esp_engine_counter(const struct esp_engine *engine, unsigned index);

/* Frames now in the queues, for people and tests: names as counters. */
unsigned esp_engine_gauge_count(void);
const char *esp_engine_gauge_name(unsigned index);
uint64_t esp_engine_gauge(const struct esp_engine *engine, unsigned index);

/* "INIT_IF", "SCAN", ...; "UNKNOWN" for other codes. */
const char *esp_command_name(uint8_t code);
const char *esp_event_name(uint8_t code);

/*
 * History: the last commands, responses, events, boots and resets, oldest
 * first, as a JSON array of objects
 *   {"n":12,"t":1300050000,"what":"command","code":1,"name":"INIT_IF",
 *    "if":0,"status":0,"len":8,"seq":0}
 * n counts from 1 since esp_engine_new(), t is in ns, "what" one of
 * command, response, event, boot, reset. Works like snprintf(): writes at
 * most @size bytes, terminated, returns the length needed.
 */
size_t esp_engine_history_json(const struct esp_engine *engine,
                               char *buf, size_t size);

/*
 * The last real frame clocked in a direction, header first. Returns its
 * length, 0 if there was none; *data is valid until the next call into
 * the engine.
 */
size_t esp_engine_last_frame(const struct esp_engine *engine,
                             enum esp_direction dir, const uint8_t **data);

/*
 * Faults. Each has a stable name and an index 0..count-1; esp_faults.h
 * lists them. An armed fault fires when its occasion comes: as often as
 * count says (0: without end), each time with the given probability from
 * the engine's seeded generator. Arming again replaces. Some act at once
 * (crash, hang, stuck lines): within the next esp_engine_timer(), which is
 * asked for through set_timer. They survive resets and are saved.
 */
struct esp_fault_arming {
    uint32_t count;             /* 0: until disarmed */
    uint32_t probability_ppm;   /* 1..1000000 */
    uint32_t match;             /* ESP_AUTO: any; else see the fault */
    uint64_t arg;               /* up to 2^60; ESP_AUTO64: the default */
};

unsigned esp_fault_count(void);
const char *esp_fault_name(unsigned index);
/* A sentence for people: what it does, what match and arg mean. */
const char *esp_fault_help(unsigned index);
/* Index, or -1 for an unknown name. */
int esp_fault_by_name(const char *name);
/* False, nothing changed, a sentence in @err: index or probability bad. */
bool esp_engine_fault_arm(struct esp_engine *engine, unsigned index,
                          const struct esp_fault_arming *how,
                          char *err, size_t errlen);
void esp_engine_fault_disarm(struct esp_engine *engine, unsigned index);
bool esp_engine_fault_armed(const struct esp_engine *engine, unsigned index);
/* How often it has fired since esp_engine_new(). */
uint64_t esp_engine_fault_fired(const struct esp_engine *engine,
                                unsigned index);

/*
 * Firmware written by somebody else. A command with a scripted code is
 * not executed but handed to esp_ops.scripted; survives resets, is saved.
 */
void esp_engine_script(struct esp_engine *engine, uint8_t code, bool on);
bool esp_engine_scripted(const struct esp_engine *engine, uint8_t code);
/*
 * Queues a frame to the host as the firmware would: an answer, an event,
 * data. False with a sentence in @err: the firmware does not run, its
 * queue is full for now, or the frame is too long.
 */
bool esp_engine_inject(struct esp_engine *engine, uint8_t if_type,
                       uint8_t packet_type, const uint8_t *payload,
                       size_t len, char *err, size_t errlen);

/*
 * Saved state: versioned, little-endian, without pointers; covers queues,
 * timers, lines, radio, counters, history and the random generator, not
 * the configuration and not the ops. May be taken at any moment, also in
 * the middle of a transaction.
 * esp_engine_save() writes at most @size bytes and returns the size
 * needed (call it with NULL, 0 to learn it; it changes from call to call).
 * esp_engine_load() accepts what save wrote for the same configuration,
 * calls set_timer but not set_line (the GPIO's own state has the levels).
 * False: not valid, the engine is as after esp_engine_new(), and @err says
 * what is wrong.
 * In QEMU: VMSTATE_VBUFFER_ALLOC_UINT32 of a buffer that pre_save fills
 * and post_load hands over; restore the air's access points likewise.
 */
size_t esp_engine_save(const struct esp_engine *engine,
                       uint8_t *buf, size_t size);
bool esp_engine_load(struct esp_engine *engine,
                     const uint8_t *buf, size_t size,
                     char *err, size_t errlen);

#endif
