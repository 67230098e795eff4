/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Test output: one TAP line a test function
 */
#ifndef TAP_H
#define TAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct test {
    const char *name;
    void (*run)(void);
};

/* Marks the running test as failed and prints why; the test goes on. */
__attribute__((format(printf, 3, 4)))
void tap_fail(const char *file, int line, const char *fmt, ...);
void tap_hex(const char *what, const uint8_t *data, size_t len);

#define CHECK(cond) \
    do { \
        if (!(cond)) { \
            tap_fail(__FILE__, __LINE__, "%s", #cond); \
        } \
    } while (0)

#define CHECK_INT(got, want) \
    do { \
        long long got_ = (long long)(got); \
        long long want_ = (long long)(want); \
        if (got_ != want_) { \
            tap_fail(__FILE__, __LINE__, "%s is %lld, expected %s = %lld", \
                     #got, got_, #want, want_); \
        } \
    } while (0)

/* Like CHECK, but leaves the test function. */
#define REQUIRE(cond) \
    do { \
        if (!(cond)) { \
            tap_fail(__FILE__, __LINE__, "%s", #cond); \
            return; \
        } \
    } while (0)

extern const struct test air_tests[];
extern const struct test frame_tests[];
extern const struct test link_tests[];
extern const struct test command_tests[];
extern const struct test station_tests[];
extern const struct test state_tests[];
extern const struct test g2_tests[];
extern const struct test hci_tests[];
extern const struct test quirk_tests[];
extern const struct test fault_tests[];
extern const struct test softap_tests[];

#endif
