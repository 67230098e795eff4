/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libFuzzer target: a host that writes anything over MOSI, at any moment
 *
 * The input is a program for a host of one co-processor: transactions of
 * any length with frames that are right, almost right or nonsense, resets,
 * time, armed faults, frames from the network, and saved states. A second
 * co-processor and an access point are there to talk to. What may never
 * happen: a sanitizer that complains, a call of an op where it must not
 * be, a state that cannot be loaded again, or time that stands still.
 */
#include <stdlib.h>
#include <string.h>

#include "esp_engine.h"

#define MS              INT64_C(1000000)
#define SEC             (1000 * MS)
#define HOSTS           2
#define STEPS_MAX       400
/* Timer calls that one span of time may take */
#define CALLS_MAX       20000

struct host {
    struct esp_engine *engine;
    int64_t deadline;
    bool in_transfer;
};

static struct {
    int64_t now;
    struct esp_air *air;
    struct esp_ap *ap;
    struct host host[HOSTS];
} world;

struct input {
    const uint8_t *data;
    size_t len;
};

static void never(bool condition)
{
    if (condition) {
        abort();
    }
}

/* The engine's surroundings */

static int64_t op_now(void *opaque)
{
    (void)opaque;
    return world.now;
}

static void op_set_timer(void *opaque, int64_t deadline)
{
    struct host *h = opaque;

    never(h->in_transfer);
    h->deadline = deadline < 0 ? INT64_MAX : deadline;
}

static void op_set_line(void *opaque, enum esp_line line, bool level)
{
    struct host *h = opaque;

    (void)level;
    never(h->in_transfer);
    never(line != ESP_LINE_HANDSHAKE && line != ESP_LINE_DATA_READY);
}

static void op_frame(void *opaque, enum esp_direction dir,
                     const uint8_t *data, size_t len)
{
    unsigned sum = 0;

    (void)opaque;
    never(dir >= ESP_DIRECTION_COUNT || len > ESP_TRANSACTION_SIZE);
    for (size_t i = 0; i < len; i++) {
        sum += data[i];
    }
    never(sum > 255 * ESP_TRANSACTION_SIZE);
}

static const struct esp_ops ops = {
    .now = op_now,
    .set_timer = op_set_timer,
    .set_line = op_set_line,
    .frame = op_frame,
};

static void ap_send(void *opaque, const uint8_t *frame, size_t len)
{
    uint8_t answer[ESP_ETH_MAX];

    (void)opaque;
    never(len < ESP_ETH_MIN || len > ESP_ETH_MAX);
    /* A network that sends everything back, at once */
    memcpy(answer, frame, len);
    memcpy(answer, frame + 6, 6);
    memcpy(answer + 6, frame, 6);
    esp_ap_receive(world.ap, answer, len);
}

static const struct esp_ap_ops ap_ops = { .send = ap_send };

static void run(int64_t duration)
{
    int64_t until = world.now + duration;
    unsigned calls = 0;

    for (;;) {
        struct host *next = &world.host[0];

        for (unsigned i = 1; i < HOSTS; i++) {
            if (world.host[i].deadline < next->deadline) {
                next = &world.host[i];
            }
        }
        if (next->deadline > until) {
            break;
        }
        if (next->deadline > world.now) {
            world.now = next->deadline;
            calls = 0;
        }
        never(++calls > CALLS_MAX);
        next->deadline = INT64_MAX;
        esp_engine_timer(next->engine);
    }
    world.now = until;
}

/* Input */

static uint8_t get(struct input *in)
{
    if (!in->len) {
        return 0;
    }
    in->len--;
    return *in->data++;
}

static unsigned get16(struct input *in)
{
    unsigned low = get(in);

    return low | (unsigned)get(in) << 8;
}

static size_t get_bytes(struct input *in, uint8_t *to, size_t max)
{
    size_t n = max < in->len ? max : in->len;

    memcpy(to, in->data, n);
    in->data += n;
    in->len -= n;
    return n;
}

/* Steps of the host */

static void stamp(uint8_t *frame)
{
    size_t len = (size_t)(frame[4] | frame[5] << 8) +
                 (size_t)(frame[6] | frame[7] << 8);
    uint16_t sum = 0;

    frame[8] = 0;
    frame[9] = 0;
    for (size_t i = 0; i < len && i < ESP_TRANSACTION_SIZE; i++) {
        sum = (uint16_t)(sum + frame[i]);
    }
    frame[8] = (uint8_t)sum;
    frame[9] = (uint8_t)(sum >> 8);
}

static void clock_bytes(struct host *h, const uint8_t *tx, size_t len)
{
    esp_engine_set_cs(h->engine, false);
    h->in_transfer = true;
    for (size_t i = 0; i < len; i++) {
        esp_engine_transfer(h->engine, tx[i]);
    }
    h->in_transfer = false;
    esp_engine_set_cs(h->engine, true);
}

static void transact(struct host *h, const uint8_t *tx, size_t len)
{
    for (unsigned i = 0; i < 50 &&
         !esp_engine_line(h->engine, ESP_LINE_HANDSHAKE); i++) {
        run(MS);
    }
    clock_bytes(h, tx, len);
}

/* A frame with a good header around what the input says */
static void send(struct host *h, struct input *in, uint8_t packet_type)
{
    uint8_t tx[ESP_TRANSACTION_SIZE] = { 0 };
    uint8_t shape = get(in);
    size_t want = get16(in) % 700;
    size_t offset = 12 + (shape >> 4 & 3);
    size_t n = get_bytes(in, tx + offset, want);

    tx[0] = shape & 7;
    tx[2] = packet_type;
    tx[4] = (uint8_t)n;
    tx[5] = (uint8_t)(n >> 8);
    tx[6] = (uint8_t)offset;
    stamp(tx);
    transact(h, tx, sizeof(tx));
}

static void send_nonsense(struct host *h, struct input *in)
{
    uint8_t tx[ESP_TRANSACTION_SIZE] = { 0 };
    size_t len = get16(in) % (ESP_TRANSACTION_SIZE + 100);
    bool good_sum = get(in) & 1;

    get_bytes(in, tx, get16(in) % sizeof(tx));
    if (good_sum) {
        stamp(tx);
    }
    transact(h, tx, len < sizeof(tx) ? len : sizeof(tx));
}

/* Authentication and association with the access point */
static void join(struct host *h)
{
    const struct esp_ap_config *ap = esp_ap_get_config(world.ap);
    uint8_t tx[ESP_TRANSACTION_SIZE] = { 0, 0, 1, 0, 80, 0, 12, 0 };

    tx[12] = 11;
    tx[16] = 1;
    memcpy(tx + 20, ap->bssid, 6);
    tx[26] = ap->channel;
    memcpy(tx + 28, ap->ssid, ap->ssid_len);
    stamp(tx);
    transact(h, tx, sizeof(tx));
    run(300 * MS);
    memset(tx + 4, 0, sizeof(tx) - 4);
    tx[4] = 12;
    tx[6] = 12;
    tx[12] = 12;
    tx[16] = 2;
    stamp(tx);
    transact(h, tx, sizeof(tx));
    run(20 * MS);
}

static void command(struct host *h, uint8_t if_type, uint8_t code,
                    uint8_t first)
{
    uint8_t tx[ESP_TRANSACTION_SIZE] = { if_type, 0, 1, 0, 80, 0, 12, 0 };

    tx[12] = code;
    tx[16] = 3;
    tx[20] = first;
    stamp(tx);
    transact(h, tx, sizeof(tx));
    run(5 * MS);
}

/* An access point of the host's own: mode, name "a", channel 6 */
static void be_ap(struct host *h)
{
    uint8_t tx[ESP_TRANSACTION_SIZE] = { 1, 0, 1, 0, 53, 0, 12, 0 };

    command(h, 0, 22, 3);
    tx[12] = 24;
    tx[20] = 'a';
    tx[52] = 1;
    tx[53] = 6;
    tx[60] = 100;
    stamp(tx);
    transact(h, tx, sizeof(tx));
    run(5 * MS);
}

static void reload(struct host *h)
{
    size_t size = esp_engine_save(h->engine, NULL, 0);
    uint8_t *buf = malloc(size);
    char err[128];

    if (buf) {
        never(esp_engine_save(h->engine, buf, size) != size);
        never(!esp_engine_load(h->engine, buf, size, err, sizeof(err)));
        free(buf);
    }
}

/* A damaged state is refused or harmless. */
static void load_damaged(struct host *h, struct input *in)
{
    size_t size = esp_engine_save(h->engine, NULL, 0);
    uint8_t *buf = malloc(size);
    char err[128];

    if (!buf) {
        return;
    }
    esp_engine_save(h->engine, buf, size);
    for (unsigned n = get(in) % 8; n; n--) {
        size_t at = (get16(in) * (size_t)7 + get(in)) % size;

        buf[at] = get(in);
    }
    if (!esp_engine_load(h->engine, buf, size, err, sizeof(err))) {
        esp_engine_power_on(h->engine);
    }
    free(buf);
}

static void arm(struct host *h, struct input *in)
{
    struct esp_fault_arming how = {
        .count = get(in) % 5, .probability_ppm = 1000000,
        .match = ESP_AUTO, .arg = ESP_AUTO64,
    };
    unsigned fault = get(in) % esp_fault_count();
    char err[128];

    if (get(in) & 1) {
        how.arg = get16(in);
    }
    esp_engine_fault_arm(h->engine, fault, &how, err, sizeof(err));
}

static void from_network(struct input *in)
{
    uint8_t frame[ESP_ETH_MAX];
    size_t n = get16(in) % sizeof(frame);

    memset(frame, 0xff, sizeof(frame));
    get_bytes(in, frame, n < 40 ? n : 40);
    esp_ap_receive(world.ap, frame, n);
}

static void set_path(struct host *h, struct input *in)
{
    struct esp_path how = { -(int)(get(in) % 101), get16(in) * 15u };
    char err[128];

    if (get(in) & 1) {
        esp_air_set_path_to_ap(h->engine, world.ap, &how, err, sizeof(err));
    } else {
        esp_air_set_path(world.host[0].engine, world.host[1].engine, &how,
                         err, sizeof(err));
    }
}

static void step(struct input *in)
{
    uint8_t what = get(in);
    struct host *h = &world.host[what >> 7];
    char err[128];

    switch (what & 0x1f) {
    case 0: case 1: case 2: case 3: case 4: case 5: case 6:
        send(h, in, 1);
        break;
    case 7: case 8:
        send(h, in, 0);
        break;
    case 9:
        send(h, in, get(in));
        break;
    case 10:
        send_nonsense(h, in);
        break;
    case 11: {
        uint8_t filler[ESP_TRANSACTION_SIZE] = { 0 };

        for (unsigned n = 1 + get(in) % 8; n; n--) {
            transact(h, filler, sizeof(filler));
        }
        break;
    }
    case 12:
        run(get16(in) * (MS / 50));
        break;
    case 13:
        run(get(in) * 50 * MS);
        break;
    case 14:
        join(h);
        break;
    case 15:
        be_ap(h);
        break;
    case 16:
        command(h, 0, 1, 0);
        break;
    case 17:
        reload(h);
        break;
    case 18:
        arm(h, in);
        break;
    case 19:
        esp_engine_fault_disarm(h->engine, get(in) % esp_fault_count());
        break;
    case 20:
        from_network(in);
        break;
    case 21:
        esp_ap_deauth(world.ap, NULL, get(in));
        break;
    case 22:
        esp_ap_switch_channel(world.ap, get(in), get(in) & 7, world.now, err,
                              sizeof(err));
        break;
    case 23:
        set_path(h, in);
        break;
    case 24:
        esp_engine_set_reset(h->engine, false);
        run(MS);
        esp_engine_set_reset(h->engine, true);
        run(6 * MS);
        break;
    case 25:
        /* At a bad moment: nothing armed, or chip select left low */
        clock_bytes(h, (const uint8_t[16]) { 1, 2, 3 }, 16);
        esp_engine_set_cs(h->engine, get(in) & 1);
        break;
    case 26:
        esp_ap_set_enabled(world.ap, get(in) & 1);
        break;
    case 27:
        load_damaged(h, in);
        break;
    default:
        esp_engine_power_on(h->engine);
        break;
    }
}

static void start(uint8_t flags)
{
    struct esp_ap_config ap;
    char err[128];

    memset(&world, 0, sizeof(world));
    world.now = SEC;
    world.air = esp_air_new();
    esp_ap_config_init(&ap);
    world.ap = esp_ap_new(world.air, &ap, &ap_ops, NULL, err, sizeof(err));
    for (unsigned i = 0; i < HOSTS; i++) {
        struct host *h = &world.host[i];
        struct esp_config cfg;

        esp_config_init(&cfg);
        cfg.chip = i ? ESP_CHIP_ESP32C5 : ESP_CHIP_ESP32C3;
        cfg.generation = (flags >> i) & 1 ? ESP_GENERATION_G2 :
                         ESP_GENERATION_G1;
        cfg.checksum = !(flags & 4);
        cfg.deassert_on_cs = flags & 8;
        cfg.complete_on_count = flags & 16;
        cfg.boot_ns = 5 * MS;
        cfg.reboot_ns = 5 * MS;
        cfg.scan_dwell_ns = 20 * MS;
        if (flags & 32) {
            cfg.quirks = 0;
        } else if (flags & 64) {
            cfg.quirks = 0x1ffffe;
        }
        never(!esp_config_finish(&cfg, err, sizeof(err)));
        h->deadline = INT64_MAX;
        h->engine = esp_engine_new(&cfg, &ops, h, world.air);
        esp_engine_power_on(h->engine);
    }
    run(6 * MS);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = { data, size };

    start(get(&in));
    for (unsigned i = 0; in.len && i < STEPS_MAX; i++) {
        step(&in);
    }
    run(50 * MS);
    for (unsigned i = 0; i < HOSTS; i++) {
        esp_engine_free(world.host[i].engine);
    }
    esp_ap_free(world.ap);
    esp_air_free(world.air);
    return 0;
}
