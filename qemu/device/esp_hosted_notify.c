/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtual ESP32 co-processor: what is told to QMP clients
 *
 * The event ESP_HOSTED: steps that the property "events" names, and
 * commands whose answer a client wants to script.
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qapi/qapi-events-esp-hosted.h"
#include "qemu/cutils.h"
#include "qemu/timer.h"
#include "esp_hosted_internal.h"

/* Kinds of steps, in the order of their bits. */
enum {
    STEP_RESET,
    STEP_BOOT,
    STEP_STATE,
    STEP_LINE,
    STEP_TRANSACTION,
    STEP_UNARMED,
    STEP_FRAME,
    STEP_DROP,
    STEP_COMMAND,
    STEP_RESPONSE,
    STEP_EVENT,
    STEP_BLOCKED,
    STEP_FAULT,
    STEP_COUNT
};

static const char *const step_names[STEP_COUNT] = {
    [STEP_RESET] = "reset",
    [STEP_BOOT] = "boot",
    [STEP_STATE] = "state",
    [STEP_LINE] = "line",
    [STEP_TRANSACTION] = "transaction",
    [STEP_UNARMED] = "unarmed",
    [STEP_FRAME] = "frame",
    [STEP_DROP] = "drop",
    [STEP_COMMAND] = "command",
    [STEP_RESPONSE] = "response",
    [STEP_EVENT] = "event",
    [STEP_BLOCKED] = "blocked",
    [STEP_FAULT] = "fault",
};

/* Optional members of the event; negative or NULL: not there. */
typedef struct Step {
    const char *name;
    const char *data;
    int64_t code;
    int64_t status;
    int64_t length;
    int64_t sequence;
    int64_t interface;
} Step;

#define STEP(...) \
    (&(Step) { .code = -1, .status = -1, .length = -1, .sequence = -1, \
               .interface = -1, __VA_ARGS__ })

static void tell(const char *device, const char *what, const Step *s)
{
    qapi_event_send_esp_hosted(device, what,
                               qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL),
                               s->name,
                               s->code >= 0, s->code,
                               s->status >= 0, s->status,
                               s->length >= 0, s->length,
                               s->sequence >= 0, s->sequence,
                               s->interface >= 0, s->interface,
                               s->data);
}

static void tell_step(const char *device, uint32_t wanted, int step,
                      const Step *s)
{
    if (wanted & (1u << step)) {
        tell(device, step_names[step], s);
    }
}

void esp_hosted_notify_trace(const char *device, uint32_t wanted,
                             enum esp_trace id, uint64_t a, uint64_t b,
                             uint64_t c)
{
    switch (id) {
    case ESP_TRACE_RESET:
        tell_step(device, wanted, STEP_RESET, STEP(.status = a));
        break;
    case ESP_TRACE_BOOT:
        tell_step(device, wanted, STEP_BOOT, STEP(.code = a));
        break;
    case ESP_TRACE_STATE:
        tell_step(device, wanted, STEP_STATE, STEP(.name = esp_state_name(a)));
        break;
    case ESP_TRACE_LINE:
        tell_step(device, wanted, STEP_LINE,
                  STEP(.name = esp_line_name(a), .status = b));
        break;
    case ESP_TRACE_TRANSACTION:
        tell_step(device, wanted, STEP_TRANSACTION, STEP(.length = a));
        break;
    case ESP_TRACE_UNARMED:
        tell_step(device, wanted, STEP_UNARMED, STEP(.length = a));
        break;
    case ESP_TRACE_FRAME_DROP:
        tell_step(device, wanted, STEP_DROP,
                  STEP(.name = esp_engine_counter_name(a), .length = b));
        break;
    case ESP_TRACE_COMMAND:
        tell_step(device, wanted, STEP_COMMAND,
                  STEP(.name = esp_command_name(a), .code = a, .length = b,
                       .sequence = c));
        break;
    case ESP_TRACE_RESPONSE:
        tell_step(device, wanted, STEP_RESPONSE,
                  STEP(.name = esp_command_name(a), .code = a, .status = b,
                       .length = c));
        break;
    case ESP_TRACE_EVENT:
        tell_step(device, wanted, STEP_EVENT,
                  STEP(.name = esp_event_name(a), .code = a, .status = b,
                       .length = c));
        break;
    case ESP_TRACE_BLOCKED:
        tell_step(device, wanted, STEP_BLOCKED, STEP(.status = a));
        break;
    case ESP_TRACE_FAULT:
        tell_step(device, wanted, STEP_FAULT, STEP(.name = esp_fault_name(a)));
        break;
    case ESP_TRACE_ARM:
    case ESP_TRACE_FRAME_RX:
        /* "transaction" and "frame" tell the same. */
        break;
    case ESP_TRACE_COUNT:
        g_assert_not_reached();
    }
}

static char *hex(const uint8_t *data, size_t len)
{
    GString *text = g_string_sized_new(2 * len + 1);
    size_t i;

    for (i = 0; i < len; i++) {
        g_string_append_printf(text, "%02x", data[i]);
    }
    return g_string_free(text, false);
}

void esp_hosted_notify_frame(const char *device, uint32_t wanted,
                             enum esp_direction dir, const uint8_t *data,
                             size_t len)
{
    if (wanted & (1u << STEP_FRAME)) {
        g_autofree char *text = hex(data, len);

        tell(device, step_names[STEP_FRAME],
             STEP(.name = dir == ESP_TO_HOST ? "to-host" : "from-host",
                  .length = len, .data = text));
    }
}

void esp_hosted_notify_scripted(const char *device, uint8_t if_type,
                                const uint8_t *payload, size_t len)
{
    g_autofree char *text = hex(payload, len);

    tell(device, "script",
         STEP(.name = esp_command_name(payload[0]), .code = payload[0],
              .length = len, .sequence = payload[4] | payload[5] << 8,
              .interface = if_type, .data = text));
}

bool esp_hosted_notify_parse(const char *text, uint32_t *wanted, Error **errp)
{
    g_auto(GStrv) words = g_strsplit(text, ",", -1);
    uint32_t found = 0;
    int i, step;

    for (i = 0; words[i] && *text; i++) {
        for (step = 0; step < STEP_COUNT; step++) {
            if (!strcmp(words[i], step_names[step])) {
                found |= 1u << step;
                break;
            }
        }
        if (step == STEP_COUNT) {
            g_autofree char *all = esp_hosted_notify_format(UINT32_MAX);

            error_setg(errp, "there is no event '%s'; the events are: %s",
                       words[i], all);
            return false;
        }
    }
    *wanted = found;
    return true;
}

char *esp_hosted_notify_format(uint32_t wanted)
{
    GString *text = g_string_new(NULL);
    int step;

    for (step = 0; step < STEP_COUNT; step++) {
        if (wanted & (1u << step)) {
            g_string_append_printf(text, "%s%s", text->len ? "," : "",
                                   step_names[step]);
        }
    }
    return g_string_free(text, false);
}

/* Scripted commands and frames of a script */

bool esp_hosted_scripted_set(struct esp_engine *engine, const char *text,
                             Error **errp)
{
    g_auto(GStrv) words = g_strsplit(text, ",", -1);
    bool on[256] = { false };
    unsigned code;
    int i;

    for (i = 0; words[i] && *text; i++) {
        if (qemu_strtoui(words[i], NULL, 0, &code) < 0 || code > 255) {
            error_setg(errp, "'%s' is not a command code; write numbers from "
                       "0 to 255, as 27,40", words[i]);
            return false;
        }
        on[code] = true;
    }
    for (i = 0; i < 256; i++) {
        esp_engine_script(engine, i, on[i]);
    }
    return true;
}

char *esp_hosted_scripted_get(const struct esp_engine *engine)
{
    GString *text = g_string_new(NULL);
    int i;

    for (i = 0; i < 256; i++) {
        if (esp_engine_scripted(engine, i)) {
            g_string_append_printf(text, "%s%d", text->len ? "," : "", i);
        }
    }
    return g_string_free(text, false);
}

/* IF:TYPE:HEX; the payload's length, or -1 */
static int parse_frame(const char *text, unsigned *if_type,
                       unsigned *packet_type, uint8_t *payload)
{
    const char *p;
    int len = 0;

    if (qemu_strtoui(text, &p, 0, if_type) < 0 || *p++ != ':' ||
        qemu_strtoui(p, &p, 0, packet_type) < 0 || *p++ != ':' ||
        *if_type > 15 || *packet_type > 255) {
        return -1;
    }
    for (; *p; p += 2) {
        if (!g_ascii_isxdigit(p[0]) || !g_ascii_isxdigit(p[1]) ||
            len == ESP_TRANSACTION_SIZE) {
            return -1;
        }
        payload[len++] = g_ascii_xdigit_value(p[0]) << 4 |
                         g_ascii_xdigit_value(p[1]);
    }
    return len;
}

bool esp_hosted_inject(struct esp_engine *engine, const char *text,
                       Error **errp)
{
    g_auto(GStrv) frames = g_strsplit(text, ",", -1);
    uint8_t payload[ESP_TRANSACTION_SIZE];
    unsigned if_type, packet_type;
    char err[200];
    int i, len;

    for (i = 0; frames[i]; i++) {
        if (parse_frame(frames[i], &if_type, &packet_type, payload) < 0) {
            error_setg(errp, "'%.60s' is not a frame; write "
                       "INTERFACE:PACKET-TYPE:HEX, as 0:3:01000000",
                       frames[i]);
            return false;
        }
    }
    for (i = 0; frames[i]; i++) {
        len = parse_frame(frames[i], &if_type, &packet_type, payload);
        if (!esp_engine_inject(engine, if_type, packet_type, payload, len,
                               err, sizeof(err))) {
            error_setg(errp, "frame %d: %s", i + 1, err);
            return false;
        }
    }
    return true;
}
