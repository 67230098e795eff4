/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * History of commands, answers, events, boots and resets
 */
#include <inttypes.h>
#include <stdio.h>

#include "esp_private.h"

void esp_history_add(struct esp_engine *e, uint8_t what, uint8_t code,
                     uint8_t if_type, uint8_t status, size_t len,
                     uint16_t seq)
{
    struct history *h = &e->p.history[e->p.history_number % HISTORY_SIZE];

    *h = (struct history) {
        .number = ++e->p.history_number,
        .time = esp_now(e),
        .what = what,
        .code = code,
        .if_type = if_type,
        .status = status,
        .len = (uint16_t)len,
        .seq = seq,
    };
}

static const char *name_of(const struct history *h)
{
    switch (h->what) {
    case HIST_COMMAND:
    case HIST_RESPONSE:
        return esp_command_name(h->code);
    case HIST_EVENT:
        return esp_event_name(h->code);
    case HIST_BOOT:
        return "BOOT";
    default:
        return "RESET";
    }
}

size_t esp_engine_history_json(const struct esp_engine *e,
                               char *buf, size_t size)
{
    static const char *const what[HIST_WHAT_COUNT] = {
        "command", "response", "event", "boot", "reset",
    };
    uint64_t first = e->p.history_number > HISTORY_SIZE ?
                     e->p.history_number - HISTORY_SIZE : 0;
    size_t used = 0;
    char item[256];

    for (uint64_t i = first; i <= e->p.history_number; i++) {
        const struct history *h = &e->p.history[i % HISTORY_SIZE];
        size_t len;

        if (i == e->p.history_number) {
            snprintf(item, sizeof(item), "%s]", i == first ? "[" : "");
        } else {
            snprintf(item, sizeof(item),
                     "%s{\"n\":%" PRIu64 ",\"t\":%" PRId64
                     ",\"what\":\"%s\",\"code\":%u,\"name\":\"%s\","
                     "\"if\":%u,\"status\":%u,\"len\":%u,\"seq\":%u}",
                     i == first ? "[" : ",", h->number, h->time,
                     what[h->what], h->code, name_of(h), h->if_type,
                     h->status, h->len, h->seq);
        }
        len = strlen(item);
        if (used < size) {
            size_t room = size - used - 1;

            memcpy(buf + used, item, len < room ? len : room);
            buf[used + (len < room ? len : room)] = '\0';
        }
        used += len;
    }
    return used;
}
