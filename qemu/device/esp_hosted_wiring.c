/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtual ESP32 co-processor: finding controllers and GPIO lines
 *
 * Buses of several controllers of one SoC have the same name and GPIO
 * banks have no bus at all, so both are addressed by QOM path. Works with
 * every machine whose GPIO banks have unnamed input and output lines.
 */
#include "qemu/osdep.h"
#include "hw/gpio/imx_gpio.h"
#include "hw/irq.h"
#include "qapi/error.h"
#include "qemu/cutils.h"
#include "esp_hosted_internal.h"

/* A device with fewer lines is some other block with a few inputs. */
#define BANK_MIN_LINES  8

static QLIST_HEAD(, EspHostedPin) pins_in_use =
    QLIST_HEAD_INITIALIZER(pins_in_use);

static SSIBus *ssi_bus_of(Object *obj)
{
    DeviceState *dev;
    BusState *bus;

    if (object_dynamic_cast(obj, "SSI")) {
        return (SSIBus *)obj;
    }
    dev = (DeviceState *)object_dynamic_cast(obj, TYPE_DEVICE);
    if (!dev) {
        return NULL;
    }
    QLIST_FOREACH(bus, &dev->child_bus, sibling) {
        if (object_dynamic_cast(OBJECT(bus), "SSI")) {
            return (SSIBus *)bus;
        }
    }
    return NULL;
}

static bool has_line(Object *obj, EspHostedPinKind kind, unsigned line)
{
    const char *name = kind == ESP_HOSTED_PIN_INPUT ? "in" : "out";
    g_autofree char *property = g_strdup_printf("unnamed-gpio-%s[%u]",
                                                name, line);

    return object_property_find(obj, property);
}

static bool is_bank(Object *obj)
{
    return object_dynamic_cast(obj, TYPE_DEVICE) &&
           has_line(obj, ESP_HOSTED_PIN_INPUT, BANK_MIN_LINES - 1) &&
           has_line(obj, ESP_HOSTED_PIN_OUTPUT, BANK_MIN_LINES - 1);
}

static bool is_controller(Object *obj)
{
    return object_dynamic_cast(obj, TYPE_DEVICE) && ssi_bus_of(obj);
}

typedef struct Candidates {
    bool (*match)(Object *obj);
    GPtrArray *paths;
} Candidates;

static int add_candidate(Object *obj, void *opaque)
{
    Candidates *c = opaque;

    if (c->match(obj)) {
        g_ptr_array_add(c->paths, object_get_canonical_path(obj));
    }
    return 0;
}

static gint compare_paths(gconstpointer a, gconstpointer b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void append_candidates(Error **errp, const char *what,
                              bool (*match)(Object *obj))
{
    g_autoptr(GPtrArray) paths = g_ptr_array_new_with_free_func(g_free);
    Candidates c = { .match = match, .paths = paths };
    g_autofree char *list = NULL;

    object_child_foreach_recursive(object_get_root(), add_candidate, &c);
    g_ptr_array_sort(paths, compare_paths);
    g_ptr_array_add(paths, NULL);
    list = g_strjoinv(", ", (char **)paths->pdata);
    if (*list) {
        error_append_hint(errp, "%s of this machine: %s\n", what, list);
    } else {
        error_append_hint(errp, "This machine has no %s\n", what);
    }
}

SSIBus *esp_hosted_find_bus(const char *property, const char *path,
                            Error **errp)
{
    ERRP_GUARD();
    static const char what[] = "SPI controllers";
    Object *obj;
    SSIBus *bus;

    if (!path) {
        error_setg(errp, "property '%s' is missing: the QOM path of the SPI "
                   "controller", property);
        append_candidates(errp, what, is_controller);
        return NULL;
    }
    obj = object_resolve_path(path, NULL);
    if (!obj) {
        error_setg(errp, "%s: there is no object at '%s'", property, path);
        append_candidates(errp, what, is_controller);
        return NULL;
    }
    bus = ssi_bus_of(obj);
    if (!bus) {
        error_setg(errp, "%s: '%s' (%s) has no SPI bus", property, path,
                   object_get_typename(obj));
        append_candidates(errp, what, is_controller);
    }
    return bus;
}

bool esp_hosted_claim_pin(EspHostedPin *pin, EspHostedPinKind kind,
                          const char *property, const char *address,
                          const char *owner, Error **errp)
{
    ERRP_GUARD();
    static const char what[] = "GPIO banks";
    g_autofree char *path = NULL;
    const char *colon;
    unsigned line, count;
    EspHostedPin *other;
    Object *obj;

    if (!address) {
        error_setg(errp, "property '%s' is missing: the line as PATH:LINE",
                   property);
        append_candidates(errp, what, is_bank);
        return false;
    }
    colon = strrchr(address, ':');
    if (!colon || colon == address ||
        qemu_strtoui(colon + 1, NULL, 10, &line) < 0) {
        error_setg(errp, "%s: '%s' is not a line; write the QOM path of the "
                   "GPIO bank and the line, as /machine/soc/gpio3:20",
                   property, address);
        return false;
    }
    path = g_strndup(address, colon - address);
    obj = object_resolve_path(path, NULL);
    if (!obj) {
        error_setg(errp, "%s: there is no object at '%s'", property, path);
        append_candidates(errp, what, is_bank);
        return false;
    }
    if (!object_dynamic_cast(obj, TYPE_DEVICE) || !has_line(obj, kind, 0)) {
        error_setg(errp, "%s: '%s' (%s) has no GPIO %s", property, path,
                   object_get_typename(obj),
                   kind == ESP_HOSTED_PIN_INPUT ? "inputs" : "outputs");
        append_candidates(errp, what, is_bank);
        return false;
    }
    if (!has_line(obj, kind, line)) {
        for (count = 0; has_line(obj, kind, count); count++) {
            continue;
        }
        error_setg(errp, "%s: there is no line %u; '%s' has the lines 0 to "
                   "%u", property, line, path, count - 1);
        return false;
    }
    QLIST_FOREACH(other, &pins_in_use, next) {
        if (other->bank == DEVICE(obj) && other->line == line) {
            error_setg(errp, "%s: line %u of '%s' is already connected: %s "
                       "of '%s'", property, line, path, other->property,
                       other->owner);
            return false;
        }
    }
    if (kind == ESP_HOSTED_PIN_OUTPUT) {
        qemu_irq irq = qdev_get_gpio_out_connector(DEVICE(obj), NULL, line);

        if (irq) {
            g_autofree char *user = object_get_canonical_path(OBJECT(irq));

            error_setg(errp, "%s: line %u of '%s' is already connected to "
                       "'%s'", property, line, path, user);
            return false;
        }
    }
    pin->bank = DEVICE(obj);
    pin->line = line;
    pin->property = property;
    pin->owner = owner;
    QLIST_INSERT_HEAD(&pins_in_use, pin, next);
    return true;
}

void esp_hosted_release_pin(EspHostedPin *pin)
{
    if (pin->owner) {
        QLIST_REMOVE(pin, next);
        pin->owner = NULL;
    }
}

bool esp_hosted_pin_has_direction(const EspHostedPin *pin)
{
    return object_dynamic_cast(OBJECT(pin->bank), TYPE_IMX_GPIO);
}

bool esp_hosted_pin_is_input(const EspHostedPin *pin)
{
    /* The bank tells nobody when the direction of a line changes. */
    return esp_hosted_pin_has_direction(pin) &&
           !extract32(IMX_GPIO(pin->bank)->gdir, pin->line, 1);
}
