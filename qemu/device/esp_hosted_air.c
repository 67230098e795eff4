/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtual ESP32 co-processor: what all radios of this process share
 *
 * One air, on which every co-processor and access point hears every
 * other, and the way their addresses are written.
 */
#include "qemu/osdep.h"
#include "qemu/ctype.h"
#include "esp_hosted_internal.h"

static struct esp_air *air;
static unsigned air_users;

struct esp_air *esp_hosted_air_get(void)
{
    if (!air) {
        air = esp_air_new();
        if (!air) {
            return NULL;
        }
    }
    air_users++;
    return air;
}

void esp_hosted_air_put(void)
{
    assert(air_users);
    if (!--air_users) {
        esp_air_free(air);
        air = NULL;
    }
}

bool esp_hosted_parse_mac(const char *text, uint8_t mac[6])
{
    int i;

    for (i = 0; i < 6; i++) {
        if (!qemu_isxdigit(text[0]) || !qemu_isxdigit(text[1]) ||
            text[2] != (i == 5 ? '\0' : ':')) {
            return false;
        }
        mac[i] = g_ascii_xdigit_value(text[0]) << 4 |
                 g_ascii_xdigit_value(text[1]);
        text += 3;
    }
    return true;
}
