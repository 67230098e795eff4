/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtual ESP32 co-processor running ESP-Hosted-NG firmware
 *
 * A device without a bus of its own: it finds an SPI controller and GPIO
 * lines of the machine by QOM path and connects itself to them, so that
 * boards need no change. What the chip does is in the engine; here are
 * wiring, time, reset, migration and everything a test reads or sets.
 */
#include "qemu/osdep.h"
#include "hw/irq.h"
#include "hw/qdev-properties.h"
#include "migration/vmstate.h"
#include "qapi/error.h"
#include "qapi/visitor.h"
#include "qemu/error-report.h"
#include "qemu/log.h"
#include "qemu/module.h"
#include "qemu/timer.h"
#include "system/reset.h"
#include "trace.h"
#include "esp_hosted_internal.h"

/* How often a reset line that is low is looked at for its release. */
#define RELEASE_POLL_NS     (100 * SCALE_US)

#define ERROR_LEN           200

struct EspHostedState {
    DeviceState parent_obj;

    /* What the user asked for, unset fields as esp_config_init() left. */
    struct esp_config cfg;
    bool seed_set;
    /* Faults asked for before there was an engine to arm them in. */
    EspHostedFaults *faults;
    /* Steps that QMP clients are told of. */
    uint32_t notify;
    /* Recordings asked for before there was anything to record. */
    char *record_path[ESP_HOSTED_RECORD_COUNT];
    char *spi;
    char *cs_gpio;
    char *handshake_gpio;
    char *data_ready_gpio;
    char *reset_gpio;

    char *name;
    struct esp_air *air;
    struct esp_engine *engine;
    EspHostedRecord *record;
    QEMUTimer *timer;
    QEMUTimer *release_timer;
    DeviceState *ssi;
    qemu_irq cs_in;
    qemu_irq handshake;
    qemu_irq data_ready;
    EspHostedPin cs_pin;
    EspHostedPin handshake_pin;
    EspHostedPin data_ready_pin;
    EspHostedPin reset_pin;

    /* The engine's state while it is saved or loaded. */
    uint8_t *saved;
    uint32_t saved_size;
};

/* The engine's surroundings */

static int64_t esp_hosted_now(void *opaque)
{
    return qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL);
}

static void esp_hosted_set_timer(void *opaque, int64_t deadline_ns)
{
    EspHostedState *s = opaque;

    trace_esp_hosted_timer(s->name, deadline_ns);
    if (deadline_ns < 0) {
        timer_del(s->timer);
    } else {
        timer_mod_ns(s->timer, deadline_ns);
    }
}

static void esp_hosted_set_line(void *opaque, enum esp_line line, bool level)
{
    EspHostedState *s = opaque;

    qemu_set_irq(line == ESP_LINE_HANDSHAKE ? s->handshake : s->data_ready,
                 level);
}

static void esp_hosted_trace(void *opaque, enum esp_trace id,
                             uint64_t a, uint64_t b, uint64_t c)
{
    EspHostedState *s = opaque;

    if (s->record) {
        esp_hosted_record_trace(s->record, id, a, b, c);
    }
    if (s->notify) {
        esp_hosted_notify_trace(s->name, s->notify, id, a, b, c);
    }
    switch (id) {
    case ESP_TRACE_RESET:
        trace_esp_hosted_reset(s->name, a);
        break;
    case ESP_TRACE_BOOT:
        trace_esp_hosted_boot(s->name, a);
        break;
    case ESP_TRACE_STATE:
        trace_esp_hosted_state(s->name, esp_state_name(a));
        break;
    case ESP_TRACE_LINE:
        trace_esp_hosted_line(s->name, esp_line_name(a), b);
        break;
    case ESP_TRACE_ARM:
        trace_esp_hosted_arm(s->name, a, b, c);
        break;
    case ESP_TRACE_TRANSACTION:
        trace_esp_hosted_transaction(s->name, a, b, c);
        break;
    case ESP_TRACE_UNARMED:
        trace_esp_hosted_unarmed(s->name, a);
        break;
    case ESP_TRACE_FRAME_RX:
        trace_esp_hosted_frame_rx(s->name, a, b, c);
        break;
    case ESP_TRACE_FRAME_DROP:
        trace_esp_hosted_frame_drop(s->name, esp_engine_counter_name(a),
                                    b, c);
        break;
    case ESP_TRACE_COMMAND:
        trace_esp_hosted_command(s->name, a, b, c);
        break;
    case ESP_TRACE_RESPONSE:
        trace_esp_hosted_response(s->name, a, b, c);
        break;
    case ESP_TRACE_EVENT:
        trace_esp_hosted_event(s->name, a, b, c);
        break;
    case ESP_TRACE_BLOCKED:
        trace_esp_hosted_blocked(s->name, a);
        break;
    case ESP_TRACE_FAULT:
        trace_esp_hosted_fault(s->name, esp_fault_name(a), b, c);
        break;
    case ESP_TRACE_COUNT:
        g_assert_not_reached();
    }
}

static void esp_hosted_frame(void *opaque, enum esp_direction dir,
                             const uint8_t *data, size_t len)
{
    EspHostedState *s = opaque;

    esp_hosted_record_frame(s->record, dir, data, len);
    esp_hosted_notify_frame(s->name, s->notify, dir, data, len);
}

static void esp_hosted_scripted(void *opaque, uint8_t if_type,
                                const uint8_t *payload, size_t len)
{
    EspHostedState *s = opaque;

    esp_hosted_notify_scripted(s->name, if_type, payload, len);
}

static void esp_hosted_log(void *opaque, const char *text)
{
    EspHostedState *s = opaque;

    qemu_log_mask(LOG_GUEST_ERROR, "%s: %s\n", s->name, text);
}

static const struct esp_ops esp_hosted_ops = {
    .now = esp_hosted_now,
    .set_timer = esp_hosted_set_timer,
    .set_line = esp_hosted_set_line,
    .trace = esp_hosted_trace,
    .frame = esp_hosted_frame,
    .scripted = esp_hosted_scripted,
    .log = esp_hosted_log,
};

static void esp_hosted_timer(void *opaque)
{
    EspHostedState *s = opaque;

    esp_engine_timer(s->engine);
    esp_hosted_record_sync(s->record);
}

/* The reset line */

static void esp_hosted_poll_release(EspHostedState *s)
{
    timer_mod_ns(s->release_timer,
                 qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL) + RELEASE_POLL_NS);
}

static void esp_hosted_reset_in(void *opaque, int n, int level)
{
    EspHostedState *s = opaque;

    /*
     * EN has a pull-up. A host that ends the reset by making its line an
     * input, as Espressif's driver does, sends no further level.
     */
    if (level) {
        timer_del(s->release_timer);
    } else if (esp_hosted_pin_has_direction(&s->reset_pin)) {
        esp_hosted_poll_release(s);
    }
    esp_engine_set_reset(s->engine, level);
}

static void esp_hosted_release_timer(void *opaque)
{
    EspHostedState *s = opaque;

    if (!esp_hosted_pin_is_input(&s->reset_pin)) {
        esp_hosted_poll_release(s);
        return;
    }
    trace_esp_hosted_released(s->name);
    esp_engine_set_reset(s->engine, true);
}

static void esp_hosted_reset_hold(Object *obj, ResetType type)
{
    EspHostedState *s = ESP_HOSTED(obj);

    timer_del(s->release_timer);
}

static void esp_hosted_reset_exit(Object *obj, ResetType type)
{
    EspHostedState *s = ESP_HOSTED(obj);

    /*
     * The GPIO banks have left reset with all lines as inputs: the
     * pull-ups of chip select and EN win, and the levels we drive are to
     * be seen by the banks once more.
     */
    qemu_set_irq(s->cs_in, 1);
    esp_engine_set_reset(s->engine, true);
    esp_engine_power_on(s->engine);
    qemu_set_irq(s->handshake,
                 esp_engine_line(s->engine, ESP_LINE_HANDSHAKE));
    qemu_set_irq(s->data_ready,
                 esp_engine_line(s->engine, ESP_LINE_DATA_READY));
}

/* Properties: configuration */

typedef enum EspHostedType {
    ESP_HOSTED_BOOL,
    ESP_HOSTED_U8,
    ESP_HOSTED_U32,
    ESP_HOSTED_U64,
} EspHostedType;

typedef struct EspHostedSetting {
    const char *name;
    EspHostedType type;
    size_t offset;
    const char *description;
} EspHostedSetting;

#define SETTING(_name, _type, _field, _description)                     \
    { _name, ESP_HOSTED_##_type, offsetof(struct esp_config, _field),   \
      _description }

static const EspHostedSetting esp_hosted_settings[] = {
    SETTING("spi-clock-hz", U32, spi_clock_hz,
            "clock of the modelled bus in Hz (chip)"),
    SETTING("advertised-clock-mhz", U32, advertised_mhz,
            "clock in the boot event in MHz (chip)"),
    SETTING("capabilities", U32, capabilities,
            "capability bits in the boot event (chip)"),
    SETTING("ext-capabilities", U32, ext_capabilities,
            "extended capability bits in the boot event, g2 (chip)"),
    SETTING("reset-reason", U32, reset_reason,
            "reset reason in the boot event (1, power-on)"),
    SETTING("checksum", BOOL, checksum,
            "stamp and verify checksums (on)"),
    SETTING("boot-ns", U64, boot_ns,
            "from reset to the boot event"),
    SETTING("reboot-ns", U64, reboot_ns,
            "from a restart of the firmware to the boot event"),
    SETTING("turnaround-ns", U64, turnaround_ns,
            "from the end of a transaction to handshake"),
    SETTING("handshake-fall-ns", U64, handshake_fall_ns,
            "from the end of a transaction to handshake low"),
    SETTING("tick-ns", U64, tick_ns,
            "poll period of the firmware's tasks"),
    SETTING("command-ns", U64, command_ns,
            "time to execute a command"),
    SETTING("data-ns", U64, data_ns,
            "time to pass on a data frame"),
    SETTING("scan-dwell-ns", U64, scan_dwell_ns,
            "time on each channel of a scan"),
    SETTING("air-ns", U64, air_ns,
            "time a radio frame takes beside its bits"),
    SETTING("air-rate-bps", U32, air_rate_bps,
            "bit rate on the air, 0: no limit"),
    SETTING("deassert-on-cs", BOOL, deassert_on_cs,
            "handshake falls with chip select (off)"),
    SETTING("complete-on-count", BOOL, complete_on_count,
            "transactions end after 1600 bytes (off: with chip select)"),
    SETTING("miso-unarmed", U8, miso_unarmed,
            "byte on MISO while no transaction is armed"),
    SETTING("rx-queue", U32, rx_queue,
            "frames from the host buffered for each priority (chip)"),
    SETTING("tx-queue", U32, tx_queue,
            "frames to the host buffered for each priority (chip)"),
    SETTING("producer-queue", U32, producer_queue,
            "frames buffered in front of tx-queue (chip)"),
    SETTING("quirks", U32, quirks,
            "bit n: firmware quirk FQ-n (as released)"),
};

/* The configuration in force, or what was asked for before there is one. */
static const struct esp_config *esp_hosted_config(EspHostedState *s)
{
    return s->engine ? esp_engine_config(s->engine) : &s->cfg;
}

/* Takes @cfg over, into the running engine if there is one. */
static void esp_hosted_configure(EspHostedState *s,
                                 const struct esp_config *cfg, Error **errp)
{
    struct esp_config finished = *cfg;
    char err[ERROR_LEN];

    if (s->engine &&
        (!esp_config_finish(&finished, err, sizeof(err)) ||
         !esp_engine_configure(s->engine, &finished, err, sizeof(err)))) {
        error_setg(errp, "%s", err);
        return;
    }
    s->cfg = *cfg;
}

static void esp_hosted_get_setting(Object *obj, Visitor *v, const char *name,
                                   void *opaque, Error **errp)
{
    EspHostedState *s = ESP_HOSTED(obj);
    const EspHostedSetting *setting = opaque;
    const void *field = (const char *)esp_hosted_config(s) + setting->offset;
    uint64_t value = 0;
    bool flag;

    switch (setting->type) {
    case ESP_HOSTED_BOOL:
        flag = *(const bool *)field;
        visit_type_bool(v, name, &flag, errp);
        return;
    case ESP_HOSTED_U8:
        value = *(const uint8_t *)field;
        break;
    case ESP_HOSTED_U32:
        value = *(const uint32_t *)field;
        break;
    case ESP_HOSTED_U64:
        value = *(const uint64_t *)field;
        break;
    }
    visit_type_uint64(v, name, &value, errp);
}

static void esp_hosted_set_setting(Object *obj, Visitor *v, const char *name,
                                   void *opaque, Error **errp)
{
    EspHostedState *s = ESP_HOSTED(obj);
    const EspHostedSetting *setting = opaque;
    struct esp_config cfg = s->cfg;
    void *field = (char *)&cfg + setting->offset;
    bool ok = false;

    switch (setting->type) {
    case ESP_HOSTED_BOOL:
        ok = visit_type_bool(v, name, field, errp);
        break;
    case ESP_HOSTED_U8:
        ok = visit_type_uint8(v, name, field, errp);
        break;
    case ESP_HOSTED_U32:
        ok = visit_type_uint32(v, name, field, errp);
        break;
    case ESP_HOSTED_U64:
        ok = visit_type_uint64(v, name, field, errp);
        break;
    }
    if (ok) {
        esp_hosted_configure(s, &cfg, errp);
    }
}

static char *esp_hosted_get_chip(Object *obj, Error **errp)
{
    EspHostedState *s = ESP_HOSTED(obj);

    return g_strdup(esp_chip_name(esp_hosted_config(s)->chip));
}

static void esp_hosted_set_chip(Object *obj, const char *value, Error **errp)
{
    EspHostedState *s = ESP_HOSTED(obj);
    struct esp_config cfg = s->cfg;
    int chip = esp_chip_by_name(value);

    if (chip < 0) {
        error_setg(errp, "there is no chip '%s'; the chips are: %s", value,
                   esp_chip_names());
        return;
    }
    cfg.chip = chip;
    esp_hosted_configure(s, &cfg, errp);
}

static char *esp_hosted_get_generation(Object *obj, Error **errp)
{
    EspHostedState *s = ESP_HOSTED(obj);

    return g_strdup(esp_generation_name(esp_hosted_config(s)->generation));
}

static void esp_hosted_set_generation(Object *obj, const char *value,
                                      Error **errp)
{
    EspHostedState *s = ESP_HOSTED(obj);
    struct esp_config cfg = s->cfg;
    int generation = esp_generation_by_name(value);

    if (generation < 0) {
        error_setg(errp, "there is no firmware generation '%s'; the "
                   "generations are: %s", value, esp_generation_names());
        return;
    }
    cfg.generation = generation;
    esp_hosted_configure(s, &cfg, errp);
}

static char *esp_hosted_get_fw_version(Object *obj, Error **errp)
{
    const uint8_t *v = esp_hosted_config(ESP_HOSTED(obj))->fw_version;

    return g_strdup_printf("%u.%u.%u.%u.%u", v[0], v[1], v[2], v[3], v[4]);
}

static void esp_hosted_set_fw_version(Object *obj, const char *value,
                                      Error **errp)
{
    EspHostedState *s = ESP_HOSTED(obj);
    struct esp_config cfg = s->cfg;

    if (!*value) {
        /* As the generation has it */
        cfg.fw_version_set = false;
        esp_hosted_configure(s, &cfg, errp);
        return;
    }
    if (!esp_fw_version_parse(value, cfg.fw_version)) {
        error_setg(errp, "'%s' is not a firmware version; write five numbers "
                   "from 0 to 255, as 1.0.6.0.1", value);
        return;
    }
    cfg.fw_version_set = true;
    esp_hosted_configure(s, &cfg, errp);
}

static char *esp_hosted_get_mac(Object *obj, Error **errp)
{
    const uint8_t *m = esp_hosted_config(ESP_HOSTED(obj))->mac;

    return g_strdup_printf("%02x:%02x:%02x:%02x:%02x:%02x",
                           m[0], m[1], m[2], m[3], m[4], m[5]);
}

static void esp_hosted_set_mac(Object *obj, const char *value, Error **errp)
{
    EspHostedState *s = ESP_HOSTED(obj);
    struct esp_config cfg = s->cfg;

    if (!esp_hosted_parse_mac(value, cfg.mac)) {
        error_setg(errp, "'%s' is not a MAC address; write six bytes, as "
                   "24:6f:28:80:2c:34", value);
        return;
    }
    cfg.mac_set = true;
    esp_hosted_configure(s, &cfg, errp);
}

static void esp_hosted_get_seed(Object *obj, Visitor *v, const char *name,
                                void *opaque, Error **errp)
{
    uint64_t seed = esp_hosted_config(ESP_HOSTED(obj))->seed;

    visit_type_uint64(v, name, &seed, errp);
}

static void esp_hosted_set_seed(Object *obj, Visitor *v, const char *name,
                                void *opaque, Error **errp)
{
    EspHostedState *s = ESP_HOSTED(obj);

    if (s->engine) {
        error_setg(errp, "'%s' can be set on the command line only", name);
        return;
    }
    if (visit_type_uint64(v, name, &s->cfg.seed, errp)) {
        s->seed_set = true;
    }
}

static void esp_hosted_get_faults(Object *obj, Visitor *v, const char *name,
                                  void *opaque, Error **errp)
{
    EspHostedState *s = ESP_HOSTED(obj);

    if (!s->engine) {
        error_setg(errp, "'%s' can be read once the device is realized",
                   name);
        return;
    }
    esp_hosted_faults_write(v, name, s->engine, errp);
}

static void esp_hosted_set_faults(Object *obj, Visitor *v, const char *name,
                                  void *opaque, Error **errp)
{
    EspHostedState *s = ESP_HOSTED(obj);
    EspHostedFaults *faults = esp_hosted_faults_read(v, name, errp);

    if (!faults) {
        return;
    }
    if (s->engine) {
        esp_hosted_faults_apply(faults, s->engine, errp);
        esp_hosted_record_faults(s->record);
        g_free(faults);
    } else {
        g_free(s->faults);
        s->faults = faults;
    }
}

static void esp_hosted_get_record(Object *obj, Visitor *v, const char *name,
                                  void *opaque, Error **errp)
{
    EspHostedState *s = ESP_HOSTED(obj);
    EspHostedRecordKind kind = GPOINTER_TO_INT(opaque);
    g_autofree char *path = NULL;

    if (s->record) {
        path = g_strdup(esp_hosted_record_path(s->record, kind));
    } else {
        path = g_strdup(s->record_path[kind] ?: "");
    }
    visit_type_str(v, name, &path, errp);
}

static void esp_hosted_set_record(Object *obj, Visitor *v, const char *name,
                                  void *opaque, Error **errp)
{
    EspHostedState *s = ESP_HOSTED(obj);
    EspHostedRecordKind kind = GPOINTER_TO_INT(opaque);
    char *path;

    if (!visit_type_str(v, name, &path, errp)) {
        return;
    }
    if (s->record) {
        esp_hosted_record_set(s->record, kind, path, errp);
        g_free(path);
    } else {
        g_free(s->record_path[kind]);
        s->record_path[kind] = path;
    }
}

static char *esp_hosted_get_events(Object *obj, Error **errp)
{
    return esp_hosted_notify_format(ESP_HOSTED(obj)->notify);
}

static void esp_hosted_set_events(Object *obj, const char *value,
                                  Error **errp)
{
    esp_hosted_notify_parse(value, &ESP_HOSTED(obj)->notify, errp);
}

/* Properties: what a test reads */

static bool esp_hosted_ready(EspHostedState *s, const char *name,
                             Error **errp)
{
    if (!s->engine) {
        error_setg(errp, "'%s' is there once the device is realized", name);
        return false;
    }
    return true;
}

static void esp_hosted_get_counters(Object *obj, Visitor *v,
                                    const char *name, void *opaque,
                                    Error **errp)
{
    EspHostedState *s = ESP_HOSTED(obj);
    unsigned i;

    if (!esp_hosted_ready(s, name, errp) ||
        !visit_start_struct(v, name, NULL, 0, errp)) {
        return;
    }
    for (i = 0; i < esp_engine_counter_count(); i++) {
        uint64_t value = esp_engine_counter(s->engine, i);

        if (!visit_type_uint64(v, esp_engine_counter_name(i), &value,
                               errp)) {
            break;
        }
    }
    visit_end_struct(v, NULL);
}

static void esp_hosted_get_queues(Object *obj, Visitor *v, const char *name,
                                  void *opaque, Error **errp)
{
    EspHostedState *s = ESP_HOSTED(obj);
    unsigned i;

    if (!esp_hosted_ready(s, name, errp) ||
        !visit_start_struct(v, name, NULL, 0, errp)) {
        return;
    }
    for (i = 0; i < esp_engine_gauge_count(); i++) {
        uint64_t value = esp_engine_gauge(s->engine, i);

        if (!visit_type_uint64(v, esp_engine_gauge_name(i), &value, errp)) {
            break;
        }
    }
    visit_end_struct(v, NULL);
}

static void esp_hosted_get_lines(Object *obj, Visitor *v, const char *name,
                                 void *opaque, Error **errp)
{
    EspHostedState *s = ESP_HOSTED(obj);
    int i;

    if (!esp_hosted_ready(s, name, errp) ||
        !visit_start_struct(v, name, NULL, 0, errp)) {
        return;
    }
    for (i = 0; i < ESP_LINE_COUNT; i++) {
        bool level = esp_engine_line(s->engine, i);

        if (!visit_type_bool(v, esp_line_name(i), &level, errp)) {
            break;
        }
    }
    visit_end_struct(v, NULL);
}

static void esp_hosted_get_ceiling(Object *obj, Visitor *v, const char *name,
                                   void *opaque, Error **errp)
{
    EspHostedState *s = ESP_HOSTED(obj);
    uint64_t value;

    if (esp_hosted_ready(s, name, errp)) {
        value = esp_engine_link_ceiling_bps(s->engine);
        visit_type_uint64(v, name, &value, errp);
    }
}

static char *esp_hosted_get_state(Object *obj, Error **errp)
{
    EspHostedState *s = ESP_HOSTED(obj);

    if (!esp_hosted_ready(s, "state", errp)) {
        return NULL;
    }
    return g_strdup(esp_state_name(esp_engine_state(s->engine)));
}

static char *esp_hosted_get_history(Object *obj, Error **errp)
{
    EspHostedState *s = ESP_HOSTED(obj);
    size_t size;
    char *text;

    if (!esp_hosted_ready(s, "history", errp)) {
        return NULL;
    }
    size = esp_engine_history_json(s->engine, NULL, 0) + 1;
    text = g_malloc(size);
    esp_engine_history_json(s->engine, text, size);
    return text;
}

static char *esp_hosted_last_frame(EspHostedState *s, const char *name,
                                   enum esp_direction dir, Error **errp)
{
    const uint8_t *data;
    GString *hex;
    size_t len, i;

    if (!esp_hosted_ready(s, name, errp)) {
        return NULL;
    }
    len = esp_engine_last_frame(s->engine, dir, &data);
    hex = g_string_sized_new(2 * len + 1);
    for (i = 0; i < len; i++) {
        g_string_append_printf(hex, "%02x", data[i]);
    }
    return g_string_free(hex, false);
}

static char *esp_hosted_get_last_to_host(Object *obj, Error **errp)
{
    return esp_hosted_last_frame(ESP_HOSTED(obj), "last-frame-to-host",
                                 ESP_TO_HOST, errp);
}

static char *esp_hosted_get_last_from_host(Object *obj, Error **errp)
{
    return esp_hosted_last_frame(ESP_HOSTED(obj), "last-frame-from-host",
                                 ESP_FROM_HOST, errp);
}

/* Properties: what a test does to the running device */

static char *esp_hosted_get_scripted(Object *obj, Error **errp)
{
    EspHostedState *s = ESP_HOSTED(obj);

    return esp_hosted_ready(s, "scripted", errp) ?
           esp_hosted_scripted_get(s->engine) : NULL;
}

static void esp_hosted_set_scripted(Object *obj, const char *value,
                                    Error **errp)
{
    EspHostedState *s = ESP_HOSTED(obj);

    if (esp_hosted_ready(s, "scripted", errp)) {
        esp_hosted_scripted_set(s->engine, value, errp);
    }
}

static void esp_hosted_set_inject(Object *obj, const char *value,
                                  Error **errp)
{
    EspHostedState *s = ESP_HOSTED(obj);

    if (esp_hosted_ready(s, "inject", errp)) {
        esp_hosted_inject(s->engine, value, errp);
    }
}

static void esp_hosted_get_paths(Object *obj, Visitor *v, const char *name,
                                 void *opaque, Error **errp)
{
    EspHostedState *s = ESP_HOSTED(obj);

    if (esp_hosted_ready(s, name, errp)) {
        esp_hosted_paths_get(s->engine, v, name, errp);
    }
}

static void esp_hosted_set_paths(Object *obj, Visitor *v, const char *name,
                                 void *opaque, Error **errp)
{
    EspHostedState *s = ESP_HOSTED(obj);

    if (esp_hosted_ready(s, name, errp)) {
        esp_hosted_paths_set(s->engine, v, name, errp);
    }
}

static void esp_hosted_add_ap(Object *obj, Visitor *v, const char *name,
                              void *opaque, Error **errp)
{
    if (esp_hosted_ready(ESP_HOSTED(obj), name, errp)) {
        esp_hosted_ap_add(v, name, errp);
    }
}

static void esp_hosted_remove_ap(Object *obj, const char *value, Error **errp)
{
    esp_hosted_ap_remove(value, errp);
}

struct esp_engine *esp_hosted_engine(EspHostedState *s)
{
    return s->engine;
}

static const Property esp_hosted_properties[] = {
    DEFINE_PROP_STRING("spi", EspHostedState, spi),
    DEFINE_PROP_STRING("cs-gpio", EspHostedState, cs_gpio),
    DEFINE_PROP_STRING("handshake-gpio", EspHostedState, handshake_gpio),
    DEFINE_PROP_STRING("data-ready-gpio", EspHostedState, data_ready_gpio),
    DEFINE_PROP_STRING("reset-gpio", EspHostedState, reset_gpio),
};

/* Migration */

static void esp_hosted_drop_saved(EspHostedState *s)
{
    g_free(s->saved);
    s->saved = NULL;
    s->saved_size = 0;
}

static int esp_hosted_pre_save(void *opaque)
{
    EspHostedState *s = opaque;

    s->saved_size = esp_engine_save(s->engine, NULL, 0);
    s->saved = g_malloc(s->saved_size);
    esp_engine_save(s->engine, s->saved, s->saved_size);
    return 0;
}

static int esp_hosted_post_save(void *opaque)
{
    esp_hosted_drop_saved(opaque);
    return 0;
}

static int esp_hosted_pre_load(void *opaque)
{
    esp_hosted_drop_saved(opaque);
    return 0;
}

static int esp_hosted_post_load(void *opaque, int version_id)
{
    EspHostedState *s = opaque;
    char err[ERROR_LEN];
    bool ok;

    ok = esp_engine_load(s->engine, s->saved, s->saved_size, err,
                         sizeof(err));
    esp_hosted_drop_saved(s);
    if (!ok) {
        error_report("%s: the saved state cannot be used: %s", s->name, err);
        return -EINVAL;
    }
    esp_hosted_record_loaded(s->record);
    return 0;
}

static const VMStateDescription vmstate_esp_hosted = {
    .name = TYPE_ESP_HOSTED,
    .version_id = 1,
    .minimum_version_id = 1,
    .pre_save = esp_hosted_pre_save,
    .post_save = esp_hosted_post_save,
    .pre_load = esp_hosted_pre_load,
    .post_load = esp_hosted_post_load,
    .fields = (const VMStateField[]) {
        VMSTATE_TIMER_PTR(release_timer, EspHostedState),
        VMSTATE_UINT32(saved_size, EspHostedState),
        VMSTATE_VBUFFER_ALLOC_UINT32(saved, EspHostedState, 0, NULL,
                                     saved_size),
        VMSTATE_END_OF_LIST()
    }
};

/* Life */

static void esp_hosted_unwire(EspHostedState *s)
{
    esp_hosted_release_pin(&s->cs_pin);
    esp_hosted_release_pin(&s->handshake_pin);
    esp_hosted_release_pin(&s->data_ready_pin);
    esp_hosted_release_pin(&s->reset_pin);
}

/* Finds everything that the wiring properties name; changes nothing. */
static SSIBus *esp_hosted_find_wiring(EspHostedState *s, Error **errp)
{
    SSIBus *bus = esp_hosted_find_bus("spi", s->spi, errp);

    if (!bus ||
        !esp_hosted_claim_pin(&s->cs_pin, ESP_HOSTED_PIN_OUTPUT, "cs-gpio",
                              s->cs_gpio, s->name, errp) ||
        !esp_hosted_claim_pin(&s->handshake_pin, ESP_HOSTED_PIN_INPUT,
                              "handshake-gpio", s->handshake_gpio, s->name,
                              errp) ||
        !esp_hosted_claim_pin(&s->data_ready_pin, ESP_HOSTED_PIN_INPUT,
                              "data-ready-gpio", s->data_ready_gpio, s->name,
                              errp)) {
        return NULL;
    }
    /* Without a line, EN stays high: some boards have none. */
    if (s->reset_gpio &&
        !esp_hosted_claim_pin(&s->reset_pin, ESP_HOSTED_PIN_OUTPUT,
                              "reset-gpio", s->reset_gpio, s->name, errp)) {
        return NULL;
    }
    return bus;
}

static void esp_hosted_connect(EspHostedState *s)
{
    DeviceState *dev = DEVICE(s);

    s->cs_in = qdev_get_gpio_in_named(s->ssi, SSI_GPIO_CS, 0);
    /* A line nobody drives: the slave would take low for selected. */
    qemu_set_irq(s->cs_in, 1);
    qdev_connect_gpio_out(s->cs_pin.bank, s->cs_pin.line, s->cs_in);
    qdev_connect_gpio_out_named(dev, "handshake", 0,
                                qdev_get_gpio_in(s->handshake_pin.bank,
                                                 s->handshake_pin.line));
    qdev_connect_gpio_out_named(dev, "data-ready", 0,
                                qdev_get_gpio_in(s->data_ready_pin.bank,
                                                 s->data_ready_pin.line));
    if (s->reset_pin.owner) {
        qdev_connect_gpio_out(s->reset_pin.bank, s->reset_pin.line,
                              qdev_get_gpio_in_named(dev, "reset", 0));
    }
}

static bool esp_hosted_start_recordings(EspHostedState *s, Error **errp)
{
    int i;

    for (i = 0; i < ESP_HOSTED_RECORD_COUNT; i++) {
        if (s->record_path[i] &&
            !esp_hosted_record_set(s->record, i, s->record_path[i], errp)) {
            return false;
        }
    }
    return true;
}

static void esp_hosted_realize(DeviceState *dev, Error **errp)
{
    static unsigned instances;
    EspHostedState *s = ESP_HOSTED(dev);
    struct esp_config cfg;
    char err[ERROR_LEN];
    SSIBus *bus;

    s->name = dev->id ? g_strdup(dev->id) :
                        object_get_canonical_path(OBJECT(dev));
    /* Every co-processor is another one: MAC address and random numbers. */
    instances++;
    if (!s->seed_set) {
        s->cfg.seed = instances;
    }
    cfg = s->cfg;
    if (!esp_config_finish(&cfg, err, sizeof(err))) {
        error_setg(errp, "%s", err);
        return;
    }
    bus = esp_hosted_find_wiring(s, errp);
    if (!bus) {
        goto unwire;
    }
    s->air = esp_hosted_air_get();
    if (!s->air) {
        error_setg(errp, "out of memory");
        goto unwire;
    }
    s->engine = esp_engine_new(&cfg, &esp_hosted_ops, s, s->air);
    if (!s->engine) {
        error_setg(errp, "there are %d co-processors already, or memory is "
                   "short", ESP_AIR_MAX_RADIOS);
        goto put_air;
    }
    if (s->faults && !esp_hosted_faults_apply(s->faults, s->engine, errp)) {
        goto free_engine;
    }
    s->record = esp_hosted_record_new(s->name, s->engine);
    if (!esp_hosted_start_recordings(s, errp)) {
        goto free_record;
    }
    s->ssi = esp_hosted_ssi_new(OBJECT(dev), bus, s->engine, s->record,
                                errp);
    if (!s->ssi) {
        goto free_record;
    }
    esp_hosted_connect(s);
    qemu_register_resettable(OBJECT(dev));
    return;

free_record:
    esp_hosted_record_free(s->record);
    s->record = NULL;
free_engine:
    esp_engine_free(s->engine);
    s->engine = NULL;
put_air:
    esp_hosted_air_put();
    s->air = NULL;
unwire:
    esp_hosted_unwire(s);
}

static void esp_hosted_init(Object *obj)
{
    EspHostedState *s = ESP_HOSTED(obj);
    DeviceState *dev = DEVICE(obj);

    esp_config_init(&s->cfg);
    s->timer = timer_new_ns(QEMU_CLOCK_VIRTUAL, esp_hosted_timer, s);
    s->release_timer = timer_new_ns(QEMU_CLOCK_VIRTUAL,
                                    esp_hosted_release_timer, s);
    qdev_init_gpio_out_named(dev, &s->handshake, "handshake", 1);
    qdev_init_gpio_out_named(dev, &s->data_ready, "data-ready", 1);
    qdev_init_gpio_in_named(dev, esp_hosted_reset_in, "reset", 1);
}

static void esp_hosted_finalize(Object *obj)
{
    EspHostedState *s = ESP_HOSTED(obj);
    int i;

    /* Cannot be unplugged: there is nothing here of a realized device. */
    for (i = 0; i < ESP_HOSTED_RECORD_COUNT; i++) {
        g_free(s->record_path[i]);
    }
    timer_free(s->timer);
    timer_free(s->release_timer);
    g_free(s->faults);
    g_free(s->name);
}

static void esp_hosted_add_settings(ObjectClass *oc)
{
    static const char *const types[] = {
        [ESP_HOSTED_BOOL] = "bool",
        [ESP_HOSTED_U8] = "uint8",
        [ESP_HOSTED_U32] = "uint32",
        [ESP_HOSTED_U64] = "uint64",
    };
    int i;

    for (i = 0; i < ARRAY_SIZE(esp_hosted_settings); i++) {
        const EspHostedSetting *setting = &esp_hosted_settings[i];

        object_class_property_add(oc, setting->name, types[setting->type],
                                  esp_hosted_get_setting,
                                  esp_hosted_set_setting, NULL,
                                  (void *)setting);
        object_class_property_set_description(oc, setting->name,
                                              setting->description);
    }
    object_class_property_add_str(oc, "chip", esp_hosted_get_chip,
                                  esp_hosted_set_chip);
    object_class_property_set_description(oc, "chip", esp_chip_names());
    object_class_property_add_str(oc, "generation",
                                  esp_hosted_get_generation,
                                  esp_hosted_set_generation);
    object_class_property_set_description(oc, "generation",
                                          esp_generation_names());
    object_class_property_add_str(oc, "fw-version",
                                  esp_hosted_get_fw_version,
                                  esp_hosted_set_fw_version);
    object_class_property_set_description(oc, "fw-version",
                                          "firmware version, as 1.0.6.0.1 "
                                          "(generation)");
    object_class_property_add_str(oc, "mac", esp_hosted_get_mac,
                                  esp_hosted_set_mac);
    object_class_property_set_description(oc, "mac",
                                          "base MAC address (from the "
                                          "seed)");
    object_class_property_add(oc, "seed", "uint64", esp_hosted_get_seed,
                              esp_hosted_set_seed, NULL, NULL);
    object_class_property_set_description(oc, "seed",
                                          "of the random numbers (1 for "
                                          "the first device, 2, ...)");
}

static void esp_hosted_add_recordings(ObjectClass *oc)
{
    static const struct {
        const char *name;
        const char *description;
    } recordings[ESP_HOSTED_RECORD_COUNT] = {
        [ESP_HOSTED_RECORD_PCAPNG] = {
            "pcapng", "file for the hosted frames, for Wireshark",
        },
        [ESP_HOSTED_RECORD_VCD] = {
            "vcd", "file for lines and armed faults, for a wave viewer",
        },
        [ESP_HOSTED_RECORD_JSON] = {
            "trace-json", "file for every step, a JSON object a line",
        },
    };
    int i;

    for (i = 0; i < ESP_HOSTED_RECORD_COUNT; i++) {
        object_class_property_add(oc, recordings[i].name, "str",
                                  esp_hosted_get_record,
                                  esp_hosted_set_record, NULL,
                                  GINT_TO_POINTER(i));
        object_class_property_set_description(oc, recordings[i].name,
                                              recordings[i].description);
    }
}

static void esp_hosted_add_views(ObjectClass *oc)
{
    object_class_property_add(oc, "faults", "dict", esp_hosted_get_faults,
                              esp_hosted_set_faults, NULL, NULL);
    object_class_property_set_description(oc, "faults",
                                          "armed, and how often each has "
                                          "fired");
    object_class_property_add(oc, "paths", "dict", esp_hosted_get_paths,
                              esp_hosted_set_paths, NULL, NULL);
    object_class_property_set_description(oc, "paths",
                                          "signal and loss to the other "
                                          "ends of the air, by ID");
    object_class_property_add_str(oc, "events", esp_hosted_get_events,
                                  esp_hosted_set_events);
    object_class_property_set_description(oc, "events",
                                          "steps that QMP clients are told "
                                          "of, as boot,command,event");
    object_class_property_add_str(oc, "scripted", esp_hosted_get_scripted,
                                  esp_hosted_set_scripted);
    object_class_property_set_description(oc, "scripted",
                                          "command codes that a QMP client "
                                          "answers, as 27,40");
    object_class_property_add_str(oc, "inject", NULL, esp_hosted_set_inject);
    object_class_property_set_description(oc, "inject",
                                          "frames to send to the host, "
                                          "INTERFACE:PACKET-TYPE:HEX,...");
    object_class_property_add(oc, "add-access-point", "dict", NULL,
                              esp_hosted_add_ap, NULL, NULL);
    object_class_property_set_description(oc, "add-access-point",
                                          "id and properties of a new "
                                          TYPE_ESP_HOSTED_AP);
    object_class_property_add_str(oc, "remove-access-point", NULL,
                                  esp_hosted_remove_ap);
    object_class_property_set_description(oc, "remove-access-point",
                                          "ID of one that was added");
    object_class_property_add(oc, "counters", "dict",
                              esp_hosted_get_counters, NULL, NULL, NULL);
    object_class_property_set_description(oc, "counters",
                                          "everything counted");
    object_class_property_add(oc, "queues", "dict", esp_hosted_get_queues,
                              NULL, NULL, NULL);
    object_class_property_set_description(oc, "queues",
                                          "frames in each queue");
    object_class_property_add(oc, "lines", "dict", esp_hosted_get_lines,
                              NULL, NULL, NULL);
    object_class_property_set_description(oc, "lines", "levels now");
    object_class_property_add(oc, "link-ceiling-bps", "uint64",
                              esp_hosted_get_ceiling, NULL, NULL, NULL);
    object_class_property_set_description(oc, "link-ceiling-bps",
                                          "TCP payload the modelled bus can "
                                          "carry in one direction");
    object_class_property_add_str(oc, "state", esp_hosted_get_state, NULL);
    object_class_property_set_description(oc, "state",
                                          "reset, booting, running, ...");
    object_class_property_add_str(oc, "history", esp_hosted_get_history,
                                  NULL);
    object_class_property_set_description(oc, "history",
                                          "last commands and events, JSON");
    object_class_property_add_str(oc, "last-frame-to-host",
                                  esp_hosted_get_last_to_host, NULL);
    object_class_property_set_description(oc, "last-frame-to-host",
                                          "hexadecimal, header first");
    object_class_property_add_str(oc, "last-frame-from-host",
                                  esp_hosted_get_last_from_host, NULL);
    object_class_property_set_description(oc, "last-frame-from-host",
                                          "hexadecimal, header first");
}

static void esp_hosted_class_init(ObjectClass *oc, void *data)
{
    DeviceClass *dc = DEVICE_CLASS(oc);
    ResettableClass *rc = RESETTABLE_CLASS(oc);

    dc->realize = esp_hosted_realize;
    dc->vmsd = &vmstate_esp_hosted;
    dc->desc = "ESP32 running ESP-Hosted-NG firmware, on SPI";
    dc->hotpluggable = false;
    set_bit(DEVICE_CATEGORY_NETWORK, dc->categories);
    device_class_set_props(dc, esp_hosted_properties);
    object_class_property_set_description(oc, "spi",
                                          "QOM path of the SPI controller");
    object_class_property_set_description(oc, "cs-gpio",
                                          "PATH:LINE of the GPIO that is "
                                          "the chip select, active low");
    object_class_property_set_description(oc, "handshake-gpio",
                                          "PATH:LINE of the GPIO that reads "
                                          "handshake");
    object_class_property_set_description(oc, "data-ready-gpio",
                                          "PATH:LINE of the GPIO that reads "
                                          "data-ready");
    object_class_property_set_description(oc, "reset-gpio",
                                          "PATH:LINE of the GPIO that "
                                          "drives EN (none: always high)");
    esp_hosted_add_settings(oc);
    esp_hosted_add_recordings(oc);
    esp_hosted_add_views(oc);
    rc->phases.hold = esp_hosted_reset_hold;
    rc->phases.exit = esp_hosted_reset_exit;
}

static const TypeInfo esp_hosted_info = {
    .name = TYPE_ESP_HOSTED,
    .parent = TYPE_DEVICE,
    .instance_size = sizeof(EspHostedState),
    .instance_init = esp_hosted_init,
    .instance_finalize = esp_hosted_finalize,
    .class_init = esp_hosted_class_init,
};

static void esp_hosted_register_types(void)
{
    type_register_static(&esp_hosted_info);
}

type_init(esp_hosted_register_types)
