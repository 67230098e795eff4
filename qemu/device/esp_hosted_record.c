/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtual ESP32 co-processor: recordings of what it does
 *
 * Three files, each started and stopped on its own: hosted frames as
 * pcapng, lines and armed faults as VCD, every step as a JSON object a
 * line. Time is the virtual clock. A record is written by one write(), so
 * that a file ends with a whole record at any moment, however QEMU ends.
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/bswap.h"
#include "qemu/error-report.h"
#include "qemu/notify.h"
#include "qemu/timer.h"
#include "system/system.h"
#include "esp_hosted_internal.h"

/* pcapng: https://www.ietf.org/archive/id/draft-ietf-opsawg-pcapng */
#define BLOCK_SECTION       0x0a0d0d0a
#define BLOCK_INTERFACE     1
#define BLOCK_PACKET        6
#define BYTE_ORDER_MAGIC    0x1a2b3c4d
#define LINKTYPE_USER0      147
#define OPT_END             0
#define OPT_SHB_USERAPPL    4
#define OPT_IF_NAME         2
#define OPT_IF_DESCRIPTION  3
#define OPT_IF_TSRESOL      9
#define OPT_EPB_FLAGS       2
#define TSRESOL_NS          9
#define FLAG_INBOUND        1
#define FLAG_OUTBOUND       2

/* VCD (IEEE 1364): identifiers are digits of this base. */
#define VCD_FIRST           '!'
#define VCD_BASE            94

typedef struct RecordFile {
    char *path;                 /* NULL: off */
    int fd;
} RecordFile;

/* A signal of the VCD: the lines, then "fired", then every fault. */
typedef struct Signal {
    uint32_t value;
    int64_t changed;            /* time in the file, -1: not yet */
} Signal;

struct EspHostedRecord {
    const char *name;
    const struct esp_engine *engine;
    RecordFile file[ESP_HOSTED_RECORD_COUNT];
    bool active;                /* any of them */
    Notifier exit;

    Signal *signal;
    unsigned signals;
    int64_t vcd_clock;          /* the virtual clock at the last change */
    int64_t vcd_offset;         /* of the file's time from the clock */
    int64_t vcd_time;           /* last one written */

    bool *armed;                /* by fault, as last written to the JSON */
    bool faults_changed;        /* look again which are armed */
};

#define SIGNAL_FIRED        ESP_LINE_COUNT
#define SIGNAL_FAULTS       (ESP_LINE_COUNT + 1)

static const char *const kind_name[ESP_HOSTED_RECORD_COUNT] = {
    [ESP_HOSTED_RECORD_PCAPNG] = "pcapng",
    [ESP_HOSTED_RECORD_VCD] = "vcd",
    [ESP_HOSTED_RECORD_JSON] = "trace-json",
};

static int64_t now_ns(void)
{
    return qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL);
}

/* Files */

static bool is_on(const EspHostedRecord *r, EspHostedRecordKind kind)
{
    return r->file[kind].path;
}

static void file_close(EspHostedRecord *r, EspHostedRecordKind kind)
{
    RecordFile *file = &r->file[kind];
    int i;

    if (!file->path) {
        return;
    }
    close(file->fd);
    g_free(file->path);
    file->path = NULL;
    r->active = false;
    for (i = 0; i < ESP_HOSTED_RECORD_COUNT; i++) {
        r->active |= is_on(r, i);
    }
}

/* A full disk, a reader that went away: the machine goes on without. */
static void file_write(EspHostedRecord *r, EspHostedRecordKind kind,
                       const void *data, size_t len)
{
    RecordFile *file = &r->file[kind];

    if (!file->path || qemu_write_full(file->fd, data, len) == len) {
        return;
    }
    error_report("%s: %s: cannot write '%s': %s; this recording has ended",
                 r->name, kind_name[kind], file->path, strerror(errno));
    file_close(r, kind);
}

static void file_write_string(EspHostedRecord *r, EspHostedRecordKind kind,
                              const GString *text)
{
    file_write(r, kind, text->str, text->len);
}

static int file_open(const EspHostedRecord *r, EspHostedRecordKind kind,
                     const char *path, Error **errp)
{
    struct stat st;
    /* A pipe without a reader is an error, not a wait. */
    int fd = qemu_create(path, O_WRONLY | O_NONBLOCK, 0666, errp);

    if (fd < 0) {
        return -1;
    }
    if (fstat(fd, &st) < 0 || !g_unix_set_fd_nonblocking(fd, false, NULL)) {
        error_setg_errno(errp, errno, "%s: '%s'", kind_name[kind], path);
    } else if (!S_ISREG(st.st_mode)) {
        return fd;
    } else if (qemu_lock_fd(fd, 0, 1, true) < 0) {
        error_setg(errp, "%s: '%s' is in use by another recording",
                   kind_name[kind], path);
    } else if (ftruncate(fd, 0) < 0) {
        error_setg_errno(errp, errno, "%s: cannot empty '%s'",
                         kind_name[kind], path);
    } else {
        return fd;
    }
    close(fd);
    return -1;
}

/* pcapng */

static void put_u16(GByteArray *b, uint16_t value)
{
    uint8_t bytes[2];

    stw_le_p(bytes, value);
    g_byte_array_append(b, bytes, sizeof(bytes));
}

static void put_u32(GByteArray *b, uint32_t value)
{
    uint8_t bytes[4];

    stl_le_p(bytes, value);
    g_byte_array_append(b, bytes, sizeof(bytes));
}

static void put_padded(GByteArray *b, const void *data, size_t len)
{
    static const uint8_t zero[4];

    g_byte_array_append(b, data, len);
    g_byte_array_append(b, zero, -len & 3);
}

static void put_option(GByteArray *b, uint16_t code, const void *data,
                       size_t len)
{
    put_u16(b, code);
    put_u16(b, len);
    put_padded(b, data, len);
}

static void put_text(GByteArray *b, uint16_t code, const char *text)
{
    put_option(b, code, text, strlen(text));
}

/* A block of which @b holds the body. */
static void put_block(GByteArray *out, uint32_t type, const GByteArray *body)
{
    uint32_t len = body->len + 12;

    put_u32(out, type);
    put_u32(out, len);
    g_byte_array_append(out, body->data, body->len);
    put_u32(out, len);
}

static void put_interface(GByteArray *out, const char *name,
                          const char *description)
{
    static const uint8_t resolution = TSRESOL_NS;
    g_autoptr(GByteArray) body = g_byte_array_new();

    put_u16(body, LINKTYPE_USER0);
    put_u16(body, 0);
    put_u32(body, ESP_TRANSACTION_SIZE);
    put_text(body, OPT_IF_NAME, name);
    put_text(body, OPT_IF_DESCRIPTION, description);
    put_option(body, OPT_IF_TSRESOL, &resolution, 1);
    put_option(body, OPT_END, NULL, 0);
    put_block(out, BLOCK_INTERFACE, body);
}

static void pcapng_start(EspHostedRecord *r)
{
    /* In the order of enum esp_direction: the numbers of the interfaces. */
    static const char *const direction[ESP_DIRECTION_COUNT] = {
        [ESP_TO_HOST] = "to-host",
        [ESP_FROM_HOST] = "from-host",
    };
    g_autoptr(GByteArray) out = g_byte_array_new();
    g_autoptr(GByteArray) body = g_byte_array_new();
    int i;

    put_u32(body, BYTE_ORDER_MAGIC);
    put_u16(body, 1);
    put_u16(body, 0);
    /* Length of the section: not known. */
    put_u32(body, UINT32_MAX);
    put_u32(body, UINT32_MAX);
    put_text(body, OPT_SHB_USERAPPL, "QEMU esp-hosted");
    put_option(body, OPT_END, NULL, 0);
    put_block(out, BLOCK_SECTION, body);
    for (i = 0; i < ESP_DIRECTION_COUNT; i++) {
        g_autofree char *name = g_strdup_printf("%s-%s", r->name,
                                                direction[i]);

        put_interface(out, name, "ESP-Hosted-NG frames on SPI");
    }
    file_write(r, ESP_HOSTED_RECORD_PCAPNG, out->data, out->len);
}

static void pcapng_frame(EspHostedRecord *r, enum esp_direction dir,
                         const uint8_t *data, size_t len)
{
    g_autoptr(GByteArray) out = g_byte_array_sized_new(len + 64);
    g_autoptr(GByteArray) body = g_byte_array_sized_new(len + 64);
    uint64_t now = now_ns();
    uint8_t flags[4];

    put_u32(body, dir);
    put_u32(body, now >> 32);
    put_u32(body, now);
    put_u32(body, len);
    put_u32(body, len);
    put_padded(body, data, len);
    stl_le_p(flags, dir == ESP_TO_HOST ? FLAG_INBOUND : FLAG_OUTBOUND);
    put_option(body, OPT_EPB_FLAGS, flags, sizeof(flags));
    put_option(body, OPT_END, NULL, 0);
    put_block(out, BLOCK_PACKET, body);
    file_write(r, ESP_HOSTED_RECORD_PCAPNG, out->data, out->len);
}

/* VCD */

static void vcd_put_id(GString *text, unsigned signal)
{
    do {
        g_string_append_c(text, VCD_FIRST + signal % VCD_BASE);
        signal /= VCD_BASE;
    } while (signal);
}

static void vcd_put_value(GString *text, const EspHostedRecord *r,
                          unsigned signal)
{
    uint32_t value = r->signal[signal].value;
    int bit;

    if (signal == SIGNAL_FIRED) {
        g_string_append_c(text, 'b');
        for (bit = 31; bit > 0 && !(value >> bit); bit--) {
            continue;
        }
        for (; bit >= 0; bit--) {
            g_string_append_c(text, '0' + (value >> bit & 1));
        }
        g_string_append_c(text, ' ');
    } else {
        g_string_append_c(text, '0' + value);
    }
    vcd_put_id(text, signal);
    g_string_append_c(text, '\n');
}

static void vcd_put_var(GString *text, unsigned signal, const char *name)
{
    g_string_append(text, signal == SIGNAL_FIRED ? "$var integer 32 " :
                                                   "$var wire 1 ");
    vcd_put_id(text, signal);
    g_string_append_printf(text, " %s $end\n", name);
}

/* Not before @earliest; a state loaded may have set the clock back. */
static void vcd_put_time(GString *text, EspHostedRecord *r,
                         int64_t earliest)
{
    int64_t clock = now_ns();
    int64_t time;

    if (clock < r->vcd_clock) {
        r->vcd_offset += r->vcd_clock - clock;
    }
    r->vcd_clock = clock;
    time = MAX(MAX(clock + r->vcd_offset, r->vcd_time), earliest);
    if (time != r->vcd_time) {
        g_string_append_printf(text, "#%" PRId64 "\n", time);
        r->vcd_time = time;
    }
}

static void vcd_change(EspHostedRecord *r, unsigned signal, uint32_t value)
{
    g_autoptr(GString) text = NULL;
    Signal *s = &r->signal[signal];

    if (!is_on(r, ESP_HOSTED_RECORD_VCD) || s->value == value) {
        return;
    }
    text = g_string_new(NULL);
    /*
     * The emulated controller takes no time: chip select may fall and rise
     * in one nanosecond. A pulse shall be one that a viewer can show.
     */
    vcd_put_time(text, r, s->changed + 1);
    s->value = value;
    s->changed = r->vcd_time;
    vcd_put_value(text, r, signal);
    file_write_string(r, ESP_HOSTED_RECORD_VCD, text);
}

static uint64_t faults_fired(const EspHostedRecord *r)
{
    uint64_t fired = 0;
    unsigned i;

    for (i = 0; i < esp_fault_count(); i++) {
        fired += esp_engine_fault_fired(r->engine, i);
    }
    return fired;
}

static void vcd_change_all(EspHostedRecord *r)
{
    unsigned i;

    for (i = 0; i < ESP_LINE_COUNT; i++) {
        vcd_change(r, i, esp_engine_line(r->engine, i));
    }
    vcd_change(r, SIGNAL_FIRED, faults_fired(r));
    for (i = 0; i < esp_fault_count(); i++) {
        vcd_change(r, SIGNAL_FAULTS + i,
                   esp_engine_fault_armed(r->engine, i));
    }
}

static void vcd_start(EspHostedRecord *r)
{
    g_autoptr(GString) text = g_string_new(NULL);
    unsigned i;

    g_string_append_printf(text,
                           "$version QEMU esp-hosted $end\n"
                           "$timescale 1 ns $end\n"
                           "$scope module %s $end\n", r->name);
    for (i = 0; i < ESP_LINE_COUNT; i++) {
        vcd_put_var(text, i, esp_line_name(i));
        r->signal[i].value = esp_engine_line(r->engine, i);
    }
    g_string_append(text, "$scope module faults $end\n");
    vcd_put_var(text, SIGNAL_FIRED, "fired");
    r->signal[SIGNAL_FIRED].value = faults_fired(r);
    for (i = 0; i < esp_fault_count(); i++) {
        vcd_put_var(text, SIGNAL_FAULTS + i, esp_fault_name(i));
        r->signal[SIGNAL_FAULTS + i].value =
            esp_engine_fault_armed(r->engine, i);
    }
    g_string_append(text, "$upscope $end\n"
                          "$upscope $end\n"
                          "$enddefinitions $end\n");
    r->vcd_clock = 0;
    r->vcd_offset = 0;
    r->vcd_time = -1;
    vcd_put_time(text, r, 0);
    g_string_append(text, "$dumpvars\n");
    for (i = 0; i < r->signals; i++) {
        r->signal[i].changed = r->vcd_time;
        vcd_put_value(text, r, i);
    }
    g_string_append(text, "$end\n");
    file_write_string(r, ESP_HOSTED_RECORD_VCD, text);
}

/* The last levels last until now. */
static void vcd_stop(EspHostedRecord *r)
{
    g_autoptr(GString) text = g_string_new(NULL);

    vcd_put_time(text, r, 0);
    file_write_string(r, ESP_HOSTED_RECORD_VCD, text);
}

/* JSON */

static void G_GNUC_PRINTF(2, 3) json_add(EspHostedRecord *r,
                                         const char *format, ...)
{
    g_autoptr(GString) text = NULL;
    va_list ap;

    if (!is_on(r, ESP_HOSTED_RECORD_JSON)) {
        return;
    }
    text = g_string_new(NULL);
    g_string_append_printf(text, "{\"t\":%" PRId64 ",\"what\":", now_ns());
    va_start(ap, format);
    g_string_append_vprintf(text, format, ap);
    va_end(ap);
    g_string_append(text, "}\n");
    file_write_string(r, ESP_HOSTED_RECORD_JSON, text);
}

static void json_line(EspHostedRecord *r, enum esp_line line, bool level)
{
    json_add(r, "\"line\",\"line\":\"%s\",\"level\":%d",
             esp_line_name(line), level);
}

static void json_faults(EspHostedRecord *r)
{
    unsigned i;

    for (i = 0; i < esp_fault_count(); i++) {
        bool armed = esp_engine_fault_armed(r->engine, i);

        if (armed != r->armed[i]) {
            r->armed[i] = armed;
            json_add(r, "\"fault-%s\",\"fault\":\"%s\"",
                     armed ? "armed" : "disarmed", esp_fault_name(i));
        }
    }
}

static void json_start(EspHostedRecord *r)
{
    unsigned i;

    json_add(r, "\"start\",\"state\":\"%s\"",
             esp_state_name(esp_engine_state(r->engine)));
    for (i = 0; i < ESP_LINE_COUNT; i++) {
        json_line(r, i, esp_engine_line(r->engine, i));
    }
    memset(r->armed, 0, esp_fault_count() * sizeof(r->armed[0]));
    json_faults(r);
}

static void json_frame(EspHostedRecord *r, enum esp_direction dir,
                       const uint8_t *data, size_t len)
{
    json_add(r, "\"frame\",\"to\":\"%s\",\"if\":%u,\"type\":%u,"
             "\"len\":%u,\"offset\":%u,\"bytes\":%zu",
             dir == ESP_TO_HOST ? "host" : "firmware", data[0] & 0x0f,
             data[2], lduw_le_p(data + 4), lduw_le_p(data + 6), len);
}

static void json_trace(EspHostedRecord *r, enum esp_trace id,
                       uint64_t a, uint64_t b, uint64_t c)
{
    switch (id) {
    case ESP_TRACE_RESET:
        json_line(r, ESP_LINE_RESET, a);
        break;
    case ESP_TRACE_BOOT:
        json_add(r, "\"boot\",\"boots\":%" PRIu64, a);
        break;
    case ESP_TRACE_STATE:
        json_add(r, "\"state\",\"state\":\"%s\"", esp_state_name(a));
        break;
    case ESP_TRACE_LINE:
        json_line(r, a, b);
        break;
    case ESP_TRACE_ARM:
        json_add(r, "\"arm\",\"bytes\":%" PRIu64, a);
        break;
    case ESP_TRACE_TRANSACTION:
        json_add(r, "\"transaction\",\"clocked\":%" PRIu64
                 ",\"armed\":%" PRIu64 ",\"ns\":%" PRIu64, a, b, c);
        break;
    case ESP_TRACE_UNARMED:
        json_add(r, "\"unarmed\",\"clocked\":%" PRIu64, a);
        break;
    case ESP_TRACE_FRAME_DROP:
        json_add(r, "\"drop\",\"reason\":\"%s\",\"len\":%" PRIu64
                 ",\"offset\":%" PRIu64, esp_engine_counter_name(a), b, c);
        break;
    case ESP_TRACE_COMMAND:
        json_add(r, "\"command\",\"code\":%" PRIu64 ",\"name\":\"%s\","
                 "\"len\":%" PRIu64 ",\"seq\":%" PRIu64, a,
                 esp_command_name(a), b, c);
        break;
    case ESP_TRACE_RESPONSE:
        json_add(r, "\"response\",\"code\":%" PRIu64 ",\"name\":\"%s\","
                 "\"status\":%" PRIu64 ",\"len\":%" PRIu64, a,
                 esp_command_name(a), b, c);
        break;
    case ESP_TRACE_EVENT:
        json_add(r, "\"event\",\"code\":%" PRIu64 ",\"name\":\"%s\","
                 "\"status\":%" PRIu64 ",\"len\":%" PRIu64, a,
                 esp_event_name(a), b, c);
        break;
    case ESP_TRACE_BLOCKED:
        json_add(r, "\"blocked\",\"blocked\":%" PRIu64, a);
        break;
    case ESP_TRACE_FAULT:
        json_add(r, "\"fault-fired\",\"fault\":\"%s\",\"arg\":%" PRIu64,
                 esp_fault_name(a), b);
        break;
    case ESP_TRACE_FRAME_RX:
        /* Recorded as a frame. */
    case ESP_TRACE_COUNT:
        break;
    }
}

/* What the device reports */

void esp_hosted_record_frame(EspHostedRecord *r, enum esp_direction dir,
                             const uint8_t *data, size_t len)
{
    if (!r->active) {
        return;
    }
    if (is_on(r, ESP_HOSTED_RECORD_PCAPNG)) {
        pcapng_frame(r, dir, data, len);
    }
    json_frame(r, dir, data, len);
}

void esp_hosted_record_trace(EspHostedRecord *r, enum esp_trace id,
                             uint64_t a, uint64_t b, uint64_t c)
{
    if (!r->active) {
        return;
    }
    json_trace(r, id, a, b, c);
    switch (id) {
    case ESP_TRACE_LINE:
        vcd_change(r, a, b);
        break;
    case ESP_TRACE_RESET:
        vcd_change(r, ESP_LINE_RESET, a);
        break;
    case ESP_TRACE_FAULT:
        vcd_change(r, SIGNAL_FIRED, faults_fired(r));
        r->faults_changed = true;
        break;
    default:
        break;
    }
}

void esp_hosted_record_cs(EspHostedRecord *r, bool level)
{
    if (!r->active || esp_engine_line(r->engine, ESP_LINE_CS) == level) {
        return;
    }
    json_line(r, ESP_LINE_CS, level);
    vcd_change(r, ESP_LINE_CS, level);
}

void esp_hosted_record_faults(EspHostedRecord *r)
{
    if (r->active) {
        r->faults_changed = false;
        vcd_change_all(r);
        json_faults(r);
    }
}

void esp_hosted_record_sync(EspHostedRecord *r)
{
    /* One that has fired for the last time is disarmed after it said so. */
    if (r->faults_changed) {
        esp_hosted_record_faults(r);
    }
}

void esp_hosted_record_loaded(EspHostedRecord *r)
{
    if (r->active) {
        json_add(r, "\"loaded\",\"state\":\"%s\"",
                 esp_state_name(esp_engine_state(r->engine)));
        esp_hosted_record_faults(r);
    }
}

/* Start and stop */

static void record_stop(EspHostedRecord *r, EspHostedRecordKind kind)
{
    if (kind == ESP_HOSTED_RECORD_VCD && is_on(r, kind)) {
        vcd_stop(r);
    }
    file_close(r, kind);
}

bool esp_hosted_record_set(EspHostedRecord *r, EspHostedRecordKind kind,
                           const char *path, Error **errp)
{
    RecordFile *file = &r->file[kind];
    int fd;

    if (!*path) {
        record_stop(r, kind);
        return true;
    }
    if (file->path && !strcmp(file->path, path)) {
        record_stop(r, kind);
    }
    fd = file_open(r, kind, path, errp);
    if (fd < 0) {
        return false;
    }
    record_stop(r, kind);
    file->path = g_strdup(path);
    file->fd = fd;
    r->active = true;
    switch (kind) {
    case ESP_HOSTED_RECORD_PCAPNG:
        pcapng_start(r);
        break;
    case ESP_HOSTED_RECORD_VCD:
        vcd_start(r);
        break;
    case ESP_HOSTED_RECORD_JSON:
        json_start(r);
        break;
    case ESP_HOSTED_RECORD_COUNT:
        g_assert_not_reached();
    }
    return true;
}

const char *esp_hosted_record_path(const EspHostedRecord *r,
                                   EspHostedRecordKind kind)
{
    return r->file[kind].path ?: "";
}

static void record_exit(Notifier *notifier, void *data)
{
    EspHostedRecord *r = container_of(notifier, EspHostedRecord, exit);
    int i;

    for (i = 0; i < ESP_HOSTED_RECORD_COUNT; i++) {
        record_stop(r, i);
    }
}

EspHostedRecord *esp_hosted_record_new(const char *name,
                                       const struct esp_engine *engine)
{
    EspHostedRecord *r = g_new0(EspHostedRecord, 1);

    r->name = name;
    r->engine = engine;
    r->signals = SIGNAL_FAULTS + esp_fault_count();
    r->signal = g_new0(Signal, r->signals);
    r->armed = g_new0(bool, esp_fault_count());
    r->exit.notify = record_exit;
    qemu_add_exit_notifier(&r->exit);
    return r;
}

void esp_hosted_record_free(EspHostedRecord *r)
{
    if (!r) {
        return;
    }
    record_exit(&r->exit, NULL);
    qemu_remove_exit_notifier(&r->exit);
    g_free(r->signal);
    g_free(r->armed);
    g_free(r);
}
