/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtual ESP32 co-processor: other ends of the air, by name
 *
 * Paths to them as a QOM property, { ID: { "signal": DBM, "loss-ppm": N },
 * ... }, and access points that come and go while the machine runs.
 */
#include "qemu/osdep.h"
#include "hw/qdev-core.h"
#include "monitor/qdev.h"
#include "qemu/id.h"
#include "qapi/error.h"
#include "qapi/visitor.h"
#include "qobject/qdict.h"
#include "qobject/qobject.h"
#include "esp_hosted_internal.h"

#define ERROR_LEN   200

QDict *esp_hosted_read_dict(Visitor *v, const char *name, const char *wanted,
                            Error **errp)
{
    QObject *value = NULL;

    if (!visit_type_any(v, name, &value, errp)) {
        return NULL;
    }
    if (!qobject_to(QDict, value)) {
        error_setg(errp, "%s: write %s", name, wanted);
        qobject_unref(value);
        return NULL;
    }
    return qobject_to(QDict, value);
}

/* Another end of the air: one of the two is set. */
typedef struct End {
    struct esp_ap *ap;
    struct esp_engine *engine;
} End;

static bool end_of(Object *obj, End *end)
{
    *end = (End) { };
    if (object_dynamic_cast(obj, TYPE_ESP_HOSTED_AP)) {
        end->ap = esp_hosted_ap_engine(ESP_HOSTED_AP(obj));
    } else if (object_dynamic_cast(obj, TYPE_ESP_HOSTED)) {
        end->engine = esp_hosted_engine(ESP_HOSTED(obj));
    }
    return end->ap || end->engine;
}

static Object *find_device(const char *id)
{
    return object_resolve_path_component(machine_get_container("peripheral"),
                                         id);
}

static int add_end(Object *obj, void *opaque)
{
    GString *text = opaque;
    End end;

    if (end_of(obj, &end)) {
        g_string_append_printf(text, "%s%s", text->len ? ", " : "",
                               object_get_canonical_path_component(obj));
    }
    return 0;
}

static void no_end(const char *id, Error **errp)
{
    g_autoptr(GString) all = g_string_new(NULL);

    object_child_foreach(machine_get_container("peripheral"), add_end, all);
    error_setg(errp, "there is no radio or access point '%s'; there are: %s",
               id, all->str);
}

/* Reads { "signal": DBM, "loss-ppm": N }, both optional. */
static bool read_path(const char *id, QObject *value, struct esp_path *how,
                      Error **errp)
{
    QDict *dict = qobject_to(QDict, value);
    const QDictEntry *entry;

    *how = (struct esp_path) { .signal_dbm = ESP_PATH_SIGNAL_AUTO };
    if (!dict) {
        error_setg(errp, "%s: a path is {\"signal\": DBM, \"loss-ppm\": N}",
                   id);
        return false;
    }
    for (entry = qdict_first(dict); entry; entry = qdict_next(dict, entry)) {
        const char *key = qdict_entry_key(entry);
        int64_t number = qdict_get_try_int(dict, key, INT64_MIN);

        if (!strcmp(key, "signal") && number >= -100 && number <= 0) {
            how->signal_dbm = number;
        } else if (!strcmp(key, "loss-ppm") && number >= 0 &&
                   number <= 1000000) {
            how->loss_ppm = number;
        } else {
            error_setg(errp, "%s: '%s' is not a member with such a value; a "
                       "path has signal, -100 to 0 dBm, and loss-ppm, 0 to "
                       "1000000", id, key);
            return false;
        }
    }
    return true;
}

/* Checks the whole request (@apply false) or puts it into force. */
static bool use_paths(struct esp_engine *engine, const QDict *dict,
                      bool apply, Error **errp)
{
    const QDictEntry *entry;
    char err[ERROR_LEN];

    for (entry = qdict_first(dict); entry; entry = qdict_next(dict, entry)) {
        const char *id = qdict_entry_key(entry);
        Object *obj = find_device(id);
        struct esp_path how;
        End end;

        if (!obj || !end_of(obj, &end) || end.engine == engine) {
            no_end(id, errp);
            return false;
        }
        if (!read_path(id, qdict_entry_value(entry), &how, errp)) {
            return false;
        }
        if (apply &&
            !(end.ap ? esp_air_set_path_to_ap(engine, end.ap, &how, err,
                                              sizeof(err)) :
              esp_air_set_path(engine, end.engine, &how, err,
                               sizeof(err)))) {
            error_setg(errp, "%s: %s", id, err);
            return false;
        }
    }
    return true;
}

void esp_hosted_paths_set(struct esp_engine *engine, Visitor *v,
                          const char *name, Error **errp)
{
    g_autoptr(QDict) dict = NULL;

    dict = esp_hosted_read_dict(v, name, "{ID: {\"signal\": DBM, "
                                "\"loss-ppm\": N}, ...}: a path each", errp);
    if (!dict) {
        return;
    }
    if (use_paths(engine, dict, false, errp)) {
        use_paths(engine, dict, true, errp);
    }
}

typedef struct Listing {
    struct esp_engine *engine;
    Visitor *v;
} Listing;

static int write_path(Object *obj, void *opaque)
{
    const char *id = object_get_canonical_path_component(obj);
    Listing *list = opaque;
    struct esp_path how;
    int64_t number;
    End end;

    if (!end_of(obj, &end) || end.engine == list->engine) {
        return 0;
    }
    if (end.ap) {
        esp_air_get_path_to_ap(list->engine, end.ap, &how);
    } else {
        esp_air_get_path(list->engine, end.engine, &how);
    }
    visit_start_struct(list->v, id, NULL, 0, &error_abort);
    if (how.signal_dbm != ESP_PATH_SIGNAL_AUTO) {
        number = how.signal_dbm;
        visit_type_int(list->v, "signal", &number, &error_abort);
    }
    number = how.loss_ppm;
    visit_type_int(list->v, "loss-ppm", &number, &error_abort);
    visit_end_struct(list->v, NULL);
    return 0;
}

void esp_hosted_paths_get(struct esp_engine *engine, Visitor *v,
                          const char *name, Error **errp)
{
    Listing list = { .engine = engine, .v = v };

    if (!visit_start_struct(v, name, NULL, 0, errp)) {
        return;
    }
    object_child_foreach(machine_get_container("peripheral"), write_path,
                         &list);
    visit_end_struct(v, NULL);
}

/* Access points that come and go */

void esp_hosted_ap_add(Visitor *v, const char *name, Error **errp)
{
    static const char wanted[] = "an access point, {\"id\": ID, ...} with "
                                 "properties of " TYPE_ESP_HOSTED_AP;
    g_autoptr(QDict) dict = esp_hosted_read_dict(v, name, wanted, errp);
    g_autofree char *id = NULL;
    DeviceState *dev;
    Error *local = NULL;

    if (!dict) {
        return;
    }
    if (!qdict_get_try_str(dict, "id")) {
        error_setg(errp, "%s: there is no id; write %s", name, wanted);
        return;
    }
    id = g_strdup(qdict_get_str(dict, "id"));
    if (!id_wellformed(id)) {
        error_setg(errp, "'%s' is not an ID: a letter, then letters, digits, "
                   "'-', '.', '_'", id);
        return;
    }
    qdict_del(dict, "id");
    dev = qdev_new(TYPE_ESP_HOSTED_AP);
    /* Frees the name when it is taken. */
    if (!qdev_set_id(dev, g_steal_pointer(&id), &local)) {
        goto out;
    }
    object_set_properties_from_keyval(OBJECT(dev), dict, true, &local);
    if (!local) {
        qdev_realize(dev, NULL, &local);
    }
    if (local) {
        object_unparent(OBJECT(dev));
    }
out:
    error_propagate(errp, local);
    object_unref(OBJECT(dev));
}

void esp_hosted_ap_remove(const char *id, Error **errp)
{
    Object *obj = find_device(id);

    if (!obj || !object_dynamic_cast(obj, TYPE_ESP_HOSTED_AP)) {
        error_setg(errp, "there is no access point '%s'", id);
    } else if (!DEVICE(obj)->hotplugged) {
        error_setg(errp, "access point '%s' was there from the start and "
                   "stays; switch it off: its property 'link'", id);
    } else {
        object_unparent(obj);
    }
}
