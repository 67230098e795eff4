/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Access point on the air of the virtual co-processors
 *
 * Bridges its stations to a QEMU network back end. What it does on the
 * air is in the engine, buffering and its limits included: a network that
 * sends faster than the station receives loses frames here, as it does in
 * a real access point.
 */
#include "qemu/osdep.h"
#include "hw/qdev-properties.h"
#include "migration/vmstate.h"
#include "net/net.h"
#include "qapi/error.h"
#include "qapi/visitor.h"
#include "qemu/cutils.h"
#include "qemu/error-report.h"
#include "qemu/module.h"
#include "qemu/timer.h"
#include "trace.h"
#include "esp_hosted_internal.h"

#define ERROR_LEN   200

struct EspHostedApState {
    DeviceState parent_obj;

    NICState *nic;                  /* NULL: never a network behind it */
    NICConf conf;
    char *ssid;
    bool hidden;
    uint8_t channel;
    int32_t signal;
    uint16_t beacon_interval;
    uint16_t queue;
    /* What the user wants; the back end's link has to be up as well. */
    bool link;

    char *name;
    struct esp_air *air;
    struct esp_ap *ap;

    uint8_t *saved;
    uint32_t saved_size;
};

/* The network */

static void esp_hosted_ap_send(void *opaque, const uint8_t *frame,
                               size_t len)
{
    EspHostedApState *s = opaque;

    trace_esp_hosted_ap_to_net(s->name, len);
    if (s->nic) {
        qemu_send_packet(qemu_get_queue(s->nic), frame, len);
    }
}

static const struct esp_ap_ops esp_hosted_ap_ops = {
    .send = esp_hosted_ap_send,
};

static ssize_t esp_hosted_ap_receive(NetClientState *nc, const uint8_t *buf,
                                     size_t size)
{
    EspHostedApState *s = qemu_get_nic_opaque(nc);

    trace_esp_hosted_ap_from_net(s->name, size);
    esp_ap_receive(s->ap, buf, size);
    return size;
}

static void esp_hosted_ap_update_link(EspHostedApState *s)
{
    bool enabled = s->link &&
                   !(s->nic && qemu_get_queue(s->nic)->link_down);

    trace_esp_hosted_ap_link(s->name, enabled);
    esp_ap_set_enabled(s->ap, enabled);
}

static void esp_hosted_ap_link_changed(NetClientState *nc)
{
    esp_hosted_ap_update_link(qemu_get_nic_opaque(nc));
}

static NetClientInfo esp_hosted_ap_net_info = {
    .type = NET_CLIENT_DRIVER_NIC,
    .size = sizeof(NICState),
    .receive = esp_hosted_ap_receive,
    .link_status_changed = esp_hosted_ap_link_changed,
};

/* Properties a test reads or sets while the guest runs */

static void esp_hosted_ap_get_counters(Object *obj, Visitor *v,
                                       const char *name, void *opaque,
                                       Error **errp)
{
    EspHostedApState *s = ESP_HOSTED_AP(obj);
    unsigned i;

    if (!s->ap) {
        error_setg(errp, "'%s' can be read once the device is realized",
                   name);
        return;
    }
    if (!visit_start_struct(v, name, NULL, 0, errp)) {
        return;
    }
    for (i = 0; i < esp_ap_counter_count(); i++) {
        uint64_t value = esp_ap_counter(s->ap, i);

        if (!visit_type_uint64(v, esp_ap_counter_name(i), &value, errp)) {
            break;
        }
    }
    visit_end_struct(v, NULL);
}

static bool esp_hosted_ap_get_link(Object *obj, Error **errp)
{
    EspHostedApState *s = ESP_HOSTED_AP(obj);

    return s->ap ? esp_ap_enabled(s->ap) : s->link;
}

static void esp_hosted_ap_set_link(Object *obj, bool value, Error **errp)
{
    EspHostedApState *s = ESP_HOSTED_AP(obj);

    s->link = value;
    if (s->ap) {
        esp_hosted_ap_update_link(s);
    }
}

static void esp_hosted_ap_get_signal(Object *obj, Visitor *v,
                                     const char *name, void *opaque,
                                     Error **errp)
{
    EspHostedApState *s = ESP_HOSTED_AP(obj);

    visit_type_int32(v, name, &s->signal, errp);
}

static void esp_hosted_ap_set_signal(Object *obj, Visitor *v,
                                     const char *name, void *opaque,
                                     Error **errp)
{
    EspHostedApState *s = ESP_HOSTED_AP(obj);
    int32_t value;

    if (!visit_type_int32(v, name, &value, errp)) {
        return;
    }
    if (value < -100 || value > 0) {
        error_setg(errp, "signal is in dBm, -100 to 0");
        return;
    }
    s->signal = value;
    if (s->ap) {
        esp_ap_set_signal(s->ap, value);
    }
}

static int64_t esp_hosted_ap_now(void)
{
    return qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL);
}

static bool esp_hosted_ap_move(EspHostedApState *s, unsigned channel,
                               unsigned beacons, Error **errp)
{
    char err[ERROR_LEN];

    if (!esp_ap_switch_channel(s->ap, channel, beacons, esp_hosted_ap_now(),
                               err, sizeof(err))) {
        error_setg(errp, "%s", err);
        return false;
    }
    return true;
}

static void esp_hosted_ap_get_channel(Object *obj, Visitor *v,
                                      const char *name, void *opaque,
                                      Error **errp)
{
    EspHostedApState *s = ESP_HOSTED_AP(obj);
    uint8_t channel = s->ap ? esp_ap_channel(s->ap, esp_hosted_ap_now()) :
                      s->channel;

    visit_type_uint8(v, name, &channel, errp);
}

static void esp_hosted_ap_set_channel(Object *obj, Visitor *v,
                                      const char *name, void *opaque,
                                      Error **errp)
{
    EspHostedApState *s = ESP_HOSTED_AP(obj);
    uint8_t channel;

    if (visit_type_uint8(v, name, &channel, errp) &&
        (!s->ap || esp_hosted_ap_move(s, channel, 0, errp))) {
        s->channel = channel;
    }
}

static void esp_hosted_ap_switch_channel(Object *obj, const char *value,
                                         Error **errp)
{
    EspHostedApState *s = ESP_HOSTED_AP(obj);
    g_auto(GStrv) part = g_strsplit(value, ",", 2);
    unsigned channel, beacons = 5;

    if (!s->ap) {
        error_setg(errp, "the access point is not realized yet");
    } else if (!part[0] || qemu_strtoui(part[0], NULL, 0, &channel) < 0 ||
               (part[1] && qemu_strtoui(part[1], NULL, 0, &beacons) < 0)) {
        error_setg(errp, "'%s' is not CHANNEL or CHANNEL,BEACONS, as 11 or "
                   "11,10", value);
    } else {
        esp_hosted_ap_move(s, channel, beacons, errp);
    }
}

static bool esp_hosted_ap_get_stations(Object *obj, Error **errp)
{
    EspHostedApState *s = ESP_HOSTED_AP(obj);

    return s->ap && esp_ap_has_stations(s->ap);
}

static void esp_hosted_ap_set_deauth(Object *obj, const char *value,
                                     Error **errp)
{
    EspHostedApState *s = ESP_HOSTED_AP(obj);
    g_auto(GStrv) part = g_strsplit(value, ",", 2);
    unsigned reason = 0, told;
    uint8_t mac[6];

    if (!s->ap) {
        error_setg(errp, "the access point is not realized yet");
        return;
    }
    if (!part[0] || qemu_strtoui(part[0], NULL, 0, &reason) < 0 ||
        reason > UINT16_MAX ||
        (part[1] && !esp_hosted_parse_mac(part[1], mac))) {
        error_setg(errp, "'%s' is not REASON or REASON,MAC with an 802.11 "
                   "reason code, as 3 or 3,24:6f:28:80:2c:34", value);
        return;
    }
    told = esp_ap_deauth(s->ap, part[1] ? mac : NULL, reason);
    trace_esp_hosted_ap_deauth(s->name, reason, told);
    if (part[1] && !told) {
        error_setg(errp, "station %s is not associated", part[1]);
    }
}

static const Property esp_hosted_ap_properties[] = {
    DEFINE_PROP_NETDEV("netdev", EspHostedApState, conf.peers),
    DEFINE_PROP_MACADDR("bssid", EspHostedApState, conf.macaddr),
    DEFINE_PROP_STRING("ssid", EspHostedApState, ssid),
    DEFINE_PROP_BOOL("hidden", EspHostedApState, hidden, false),
    DEFINE_PROP_UINT16("beacon-interval", EspHostedApState, beacon_interval,
                       100),
    DEFINE_PROP_UINT16("queue", EspHostedApState, queue, 256),
};

/* Migration */

static void esp_hosted_ap_drop_saved(EspHostedApState *s)
{
    g_free(s->saved);
    s->saved = NULL;
    s->saved_size = 0;
}

static int esp_hosted_ap_pre_save(void *opaque)
{
    EspHostedApState *s = opaque;

    s->saved_size = esp_ap_save(s->ap, NULL, 0);
    s->saved = g_malloc(s->saved_size);
    esp_ap_save(s->ap, s->saved, s->saved_size);
    return 0;
}

static int esp_hosted_ap_post_save(void *opaque)
{
    esp_hosted_ap_drop_saved(opaque);
    return 0;
}

static int esp_hosted_ap_pre_load(void *opaque)
{
    esp_hosted_ap_drop_saved(opaque);
    return 0;
}

static int esp_hosted_ap_post_load(void *opaque, int version_id)
{
    EspHostedApState *s = opaque;
    bool ok = esp_ap_load(s->ap, s->saved, s->saved_size);

    esp_hosted_ap_drop_saved(s);
    if (!ok) {
        error_report("%s: the saved state cannot be used", s->name);
        return -EINVAL;
    }
    esp_ap_set_signal(s->ap, s->signal);
    esp_hosted_ap_update_link(s);
    return 0;
}

static const VMStateDescription vmstate_esp_hosted_ap = {
    .name = TYPE_ESP_HOSTED_AP,
    .version_id = 1,
    .minimum_version_id = 1,
    .pre_save = esp_hosted_ap_pre_save,
    .post_save = esp_hosted_ap_post_save,
    .pre_load = esp_hosted_ap_pre_load,
    .post_load = esp_hosted_ap_post_load,
    .fields = (const VMStateField[]) {
        VMSTATE_BOOL(link, EspHostedApState),
        VMSTATE_INT32(signal, EspHostedApState),
        VMSTATE_UINT32(saved_size, EspHostedApState),
        VMSTATE_VBUFFER_ALLOC_UINT32(saved, EspHostedApState, 0, NULL,
                                     saved_size),
        VMSTATE_END_OF_LIST()
    }
};

/* Life */

static bool esp_hosted_ap_config(EspHostedApState *s,
                                 struct esp_ap_config *cfg, Error **errp)
{
    esp_ap_config_init(cfg);
    if (s->ssid) {
        size_t len = strlen(s->ssid);

        if (!len || len > ESP_SSID_MAX) {
            error_setg(errp, "an SSID has 1 to %d bytes; '%s' has %zu",
                       ESP_SSID_MAX, s->ssid, len);
            return false;
        }
        memcpy(cfg->ssid, s->ssid, len);
        cfg->ssid_len = len;
    }
    qemu_macaddr_default_if_unset(&s->conf.macaddr);
    memcpy(cfg->bssid, s->conf.macaddr.a, sizeof(cfg->bssid));
    cfg->channel = s->channel;
    cfg->signal_dbm = s->signal;
    cfg->beacon_interval = s->beacon_interval;
    cfg->hidden = s->hidden;
    cfg->queue = s->queue;
    return true;
}

static void esp_hosted_ap_realize(DeviceState *dev, Error **errp)
{
    EspHostedApState *s = ESP_HOSTED_AP(dev);
    struct esp_ap_config cfg;
    char err[ERROR_LEN];

    s->name = dev->id ? g_strdup(dev->id) :
                        object_get_canonical_path(OBJECT(dev));
    if (!esp_hosted_ap_config(s, &cfg, errp)) {
        return;
    }
    s->air = esp_hosted_air_get();
    if (!s->air) {
        error_setg(errp, "out of memory");
        return;
    }
    s->ap = esp_ap_new(s->air, &cfg, &esp_hosted_ap_ops, s, err,
                       sizeof(err));
    if (!s->ap) {
        error_setg(errp, "%s", err);
        esp_hosted_air_put();
        s->air = NULL;
        return;
    }
    /* One that may be removed gives its address back with its NIC. */
    if (s->conf.peers.ncs[0] || dev->hotplugged) {
        s->nic = qemu_new_nic(&esp_hosted_ap_net_info, &s->conf,
                              object_get_typename(OBJECT(dev)), dev->id,
                              &dev->mem_reentrancy_guard, s);
        qemu_format_nic_info_str(qemu_get_queue(s->nic), s->conf.macaddr.a);
    }
    esp_hosted_ap_update_link(s);
}

static void esp_hosted_ap_unrealize(DeviceState *dev)
{
    EspHostedApState *s = ESP_HOSTED_AP(dev);

    if (s->nic) {
        qemu_del_nic(s->nic);
        s->nic = NULL;
    }
    esp_ap_free(s->ap);
    s->ap = NULL;
    esp_hosted_air_put();
    s->air = NULL;
}

struct esp_ap *esp_hosted_ap_engine(EspHostedApState *s)
{
    return s->ap;
}

static void esp_hosted_ap_init(Object *obj)
{
    EspHostedApState *s = ESP_HOSTED_AP(obj);

    s->link = true;
    s->signal = -42;
    s->channel = 6;
}

static void esp_hosted_ap_finalize(Object *obj)
{
    EspHostedApState *s = ESP_HOSTED_AP(obj);

    g_free(s->name);
}

static void esp_hosted_ap_class_init(ObjectClass *oc, void *data)
{
    DeviceClass *dc = DEVICE_CLASS(oc);

    dc->realize = esp_hosted_ap_realize;
    dc->unrealize = esp_hosted_ap_unrealize;
    dc->vmsd = &vmstate_esp_hosted_ap;
    dc->desc = "Open access point for ESP-Hosted co-processors";
    set_bit(DEVICE_CATEGORY_NETWORK, dc->categories);
    device_class_set_props(dc, esp_hosted_ap_properties);
    object_class_property_set_description(oc, "bssid",
                                          "MAC address (next free)");
    object_class_property_set_description(oc, "ssid",
                                          "name of the network "
                                          "(esp-hosted)");
    object_class_property_set_description(oc, "hidden",
                                          "beacons do not tell the SSID");
    object_class_property_set_description(oc, "beacon-interval",
                                          "in time units of 1024 us");
    object_class_property_set_description(oc, "queue",
                                          "frames buffered for a station");

    object_class_property_add(oc, "channel", "uint8",
                              esp_hosted_ap_get_channel,
                              esp_hosted_ap_set_channel, NULL, NULL);
    object_class_property_set_description(oc, "channel",
                                          "1 to 14, or 36 to 177 (6)");
    object_class_property_add_str(oc, "channel-switch", NULL,
                                  esp_hosted_ap_switch_channel);
    object_class_property_set_description(oc, "channel-switch",
                                          "CHANNEL[,BEACONS]: move there, "
                                          "announced by so many beacons "
                                          "(5)");
    object_class_property_add(oc, "signal", "int32",
                              esp_hosted_ap_get_signal,
                              esp_hosted_ap_set_signal, NULL, NULL);
    object_class_property_set_description(oc, "signal",
                                          "at the stations, dBm (-42)");
    object_class_property_add_bool(oc, "link", esp_hosted_ap_get_link,
                                   esp_hosted_ap_set_link);
    object_class_property_set_description(oc, "link",
                                          "off: the access point is gone");
    object_class_property_add(oc, "counters", "dict",
                              esp_hosted_ap_get_counters, NULL, NULL, NULL);
    object_class_property_set_description(oc, "counters",
                                          "everything counted");
    object_class_property_add_bool(oc, "has-stations",
                                   esp_hosted_ap_get_stations, NULL);
    object_class_property_set_description(oc, "has-stations",
                                          "a station is associated");
    object_class_property_add_str(oc, "deauth", NULL,
                                  esp_hosted_ap_set_deauth);
    object_class_property_set_description(oc, "deauth",
                                          "REASON[,MAC]: send stations "
                                          "away");
}

static const TypeInfo esp_hosted_ap_info = {
    .name = TYPE_ESP_HOSTED_AP,
    .parent = TYPE_DEVICE,
    .instance_size = sizeof(EspHostedApState),
    .instance_init = esp_hosted_ap_init,
    .instance_finalize = esp_hosted_ap_finalize,
    .class_init = esp_hosted_ap_class_init,
};

static void esp_hosted_ap_register_types(void)
{
    type_register_static(&esp_hosted_ap_info);
}

type_init(esp_hosted_ap_register_types)
