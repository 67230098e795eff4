/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtual ESP32 co-processor: faults as a QOM property
 *
 * Written: { NAME: { "armed": BOOL, "count": N, "probability-ppm": N,
 * "match": N, "arg": N }, ... }, all members optional; NAME "all" takes
 * { "armed": false } only. Read: { NAME: { "armed": BOOL, "fired": N } }.
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qapi/qobject-input-visitor.h"
#include "qapi/visitor.h"
#include "qobject/qdict.h"
#include "qobject/qobject.h"
#include "esp_hosted_internal.h"

#define ERROR_LEN   200
#define ALL         "all"

/* One fault's part of a request. */
typedef struct FaultRequest {
    bool present;
    bool armed;
    struct esp_fault_arming how;
} FaultRequest;

struct EspHostedFaults {
    bool disarm_all;
    unsigned count;
    FaultRequest request[];
};

static bool visit_optional_u32(Visitor *v, const char *name, uint32_t *value,
                               Error **errp)
{
    bool present = false;

    visit_optional(v, name, &present);
    return !present || visit_type_uint32(v, name, value, errp);
}

static bool visit_optional_u64(Visitor *v, const char *name, uint64_t *value,
                               Error **errp)
{
    bool present = false;

    visit_optional(v, name, &present);
    return !present || visit_type_uint64(v, name, value, errp);
}

static bool visit_armed(Visitor *v, bool *armed, Error **errp)
{
    bool present = false;

    visit_optional(v, "armed", &present);
    return !present || visit_type_bool(v, "armed", armed, errp);
}

static bool visit_request(Visitor *v, const char *name, FaultRequest *r,
                          Error **errp)
{
    bool ok;

    *r = (FaultRequest) {
        .present = true,
        .armed = true,
        .how = {
            .count = 1,
            .probability_ppm = 1000000,
            .match = ESP_AUTO,
            .arg = ESP_AUTO64,
        },
    };
    if (!visit_start_struct(v, name, NULL, 0, errp)) {
        return false;
    }
    ok = visit_armed(v, &r->armed, errp) &&
         visit_optional_u32(v, "count", &r->how.count, errp) &&
         visit_optional_u32(v, "probability-ppm", &r->how.probability_ppm,
                            errp) &&
         visit_optional_u32(v, "match", &r->how.match, errp) &&
         visit_optional_u64(v, "arg", &r->how.arg, errp) &&
         visit_check_struct(v, errp);
    visit_end_struct(v, NULL);
    if (ok && (r->how.probability_ppm < 1 ||
               r->how.probability_ppm > 1000000)) {
        error_setg(errp, "%s: probability-ppm is 1 to 1000000", name);
        return false;
    }
    return ok;
}

static bool visit_all(Visitor *v, EspHostedFaults *faults, Error **errp)
{
    bool armed = true;
    bool ok;

    visit_optional(v, ALL, &faults->disarm_all);
    if (!faults->disarm_all) {
        return true;
    }
    if (!visit_start_struct(v, ALL, NULL, 0, errp)) {
        return false;
    }
    ok = visit_armed(v, &armed, errp) && visit_check_struct(v, errp);
    visit_end_struct(v, NULL);
    if (ok && armed) {
        error_setg(errp, "all faults can only be disarmed: "
                   "{\"all\": {\"armed\": false}}");
        return false;
    }
    return ok;
}

/* Names that are none, with those there are */
static bool check_names(const QDict *dict, Error **errp)
{
    const QDictEntry *entry;
    unsigned i;

    for (entry = qdict_first(dict); entry; entry = qdict_next(dict, entry)) {
        const char *name = qdict_entry_key(entry);
        g_autoptr(GString) all = NULL;

        if (!strcmp(name, ALL) || esp_fault_by_name(name) >= 0) {
            continue;
        }
        all = g_string_new(ALL);
        for (i = 0; i < esp_fault_count(); i++) {
            g_string_append_printf(all, ", %s", esp_fault_name(i));
        }
        error_setg(errp, "there is no fault '%s'; the faults are: %s", name,
                   all->str);
        return false;
    }
    return true;
}

static EspHostedFaults *read_request(Visitor *v, Error **errp);

EspHostedFaults *esp_hosted_faults_read(Visitor *v, const char *name,
                                        Error **errp)
{
    g_autoptr(QDict) dict = NULL;
    EspHostedFaults *faults;
    Visitor *inner;

    dict = esp_hosted_read_dict(v, name, "{NAME: {\"armed\": BOOL, \"count\": "
                                "N, \"probability-ppm\": N, \"match\": N, "
                                "\"arg\": N}, ...}", errp);
    if (!dict || !check_names(dict, errp)) {
        return NULL;
    }
    inner = qobject_input_visitor_new(QOBJECT(dict));
    faults = read_request(inner, errp);
    visit_free(inner);
    return faults;
}

static EspHostedFaults *read_request(Visitor *v, Error **errp)
{
    unsigned count = esp_fault_count();
    g_autofree EspHostedFaults *faults =
        g_malloc0(sizeof(*faults) + count * sizeof(faults->request[0]));
    unsigned i;
    bool ok;

    faults->count = count;
    if (!visit_start_struct(v, NULL, NULL, 0, errp)) {
        return NULL;
    }
    ok = visit_all(v, faults, errp);
    for (i = 0; ok && i < count; i++) {
        const char *fault = esp_fault_name(i);
        bool present = false;

        visit_optional(v, fault, &present);
        if (present) {
            ok = visit_request(v, fault, &faults->request[i], errp);
        }
    }
    ok = ok && visit_check_struct(v, errp);
    visit_end_struct(v, NULL);
    return ok ? g_steal_pointer(&faults) : NULL;
}

bool esp_hosted_faults_apply(const EspHostedFaults *faults,
                             struct esp_engine *engine, Error **errp)
{
    char err[ERROR_LEN];
    unsigned i;

    for (i = 0; i < faults->count; i++) {
        const FaultRequest *r = &faults->request[i];

        if (faults->disarm_all || (r->present && !r->armed)) {
            esp_engine_fault_disarm(engine, i);
        }
        if (r->present && r->armed &&
            !esp_engine_fault_arm(engine, i, &r->how, err, sizeof(err))) {
            error_setg(errp, "%s: %s", esp_fault_name(i), err);
            return false;
        }
    }
    return true;
}

void esp_hosted_faults_write(Visitor *v, const char *name,
                             const struct esp_engine *engine, Error **errp)
{
    unsigned i;

    if (!visit_start_struct(v, name, NULL, 0, errp)) {
        return;
    }
    for (i = 0; i < esp_fault_count(); i++) {
        bool armed = esp_engine_fault_armed(engine, i);
        uint64_t fired = esp_engine_fault_fired(engine, i);

        if (!visit_start_struct(v, esp_fault_name(i), NULL, 0, errp)) {
            break;
        }
        visit_type_bool(v, "armed", &armed, &error_abort);
        visit_type_uint64(v, "fired", &fired, &error_abort);
        visit_end_struct(v, NULL);
    }
    visit_end_struct(v, NULL);
}
