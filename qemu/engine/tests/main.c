/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Runs the engine's tests: all, or those whose name contains argv[1]
 */
#include <stdarg.h>
#include <string.h>

#include "tap.h"

static const struct test *const suites[] = {
    frame_tests, link_tests, command_tests, station_tests, g2_tests,
    softap_tests, fault_tests, quirk_tests,
    hci_tests, air_tests,
    state_tests,
};

static bool failed;

void tap_fail(const char *file, int line, const char *fmt, ...)
{
    va_list ap;

    failed = true;
    printf("# %s:%d: ", file, line);
    va_start(ap, fmt);
    vprintf(fmt, ap);
    va_end(ap);
    printf("\n");
}

void tap_hex(const char *what, const uint8_t *data, size_t len)
{
    printf("# %s (%zu):", what, len);
    for (size_t i = 0; i < len; i++) {
        printf(" %02x", data[i]);
    }
    printf("\n");
}

int main(int argc, char **argv)
{
    const char *filter = argc > 1 ? argv[1] : "";
    unsigned count = 0;
    unsigned bad = 0;

    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("TAP version 13\n");
    for (size_t i = 0; i < sizeof(suites) / sizeof(suites[0]); i++) {
        for (const struct test *t = suites[i]; t->name; t++) {
            if (!strstr(t->name, filter)) {
                continue;
            }
            failed = false;
            t->run();
            printf("%sok %u - %s\n", failed ? "not " : "", ++count, t->name);
            bad += failed;
        }
    }
    printf("1..%u\n", count);
    return bad || !count;
}
