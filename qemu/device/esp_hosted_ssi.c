/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtual ESP32 co-processor: its SPI slave
 *
 * Only the bus side: bytes and chip select go to the engine as they come.
 * Created by the co-processor's own device, which knows the controller
 * and the GPIO that is the chip select.
 */
#include "qemu/osdep.h"
#include "hw/qdev-properties.h"
#include "hw/ssi/ssi.h"
#include "migration/vmstate.h"
#include "qapi/error.h"
#include "qemu/module.h"
#include "esp_hosted_internal.h"

struct EspHostedSsiState {
    SSIPeripheral parent_obj;

    struct esp_engine *engine;
    EspHostedRecord *record;
};

static uint32_t esp_hosted_ssi_transfer(SSIPeripheral *dev, uint32_t val)
{
    /* Once for every byte: no checked cast here. */
    EspHostedSsiState *s = container_of(dev, EspHostedSsiState, parent_obj);

    return esp_engine_transfer(s->engine, val);
}

static int esp_hosted_ssi_set_cs(SSIPeripheral *dev, bool level)
{
    EspHostedSsiState *s = ESP_HOSTED_SSI(dev);

    /* Despite its name the argument is the level of the line. */
    esp_hosted_record_cs(s->record, level);
    esp_engine_set_cs(s->engine, level);
    esp_hosted_record_sync(s->record);
    return 0;
}

static void esp_hosted_ssi_realize(SSIPeripheral *dev, Error **errp)
{
    EspHostedSsiState *s = ESP_HOSTED_SSI(dev);

    if (!s->engine) {
        error_setg(errp, "%s is created by %s only", TYPE_ESP_HOSTED_SSI,
                   TYPE_ESP_HOSTED);
    }
}

DeviceState *esp_hosted_ssi_new(Object *parent, SSIBus *bus,
                                struct esp_engine *engine,
                                EspHostedRecord *record, Error **errp)
{
    DeviceState *dev = qdev_new(TYPE_ESP_HOSTED_SSI);
    uint8_t index = 0;

    /* Several co-processors may share a controller. */
    while (ssi_get_cs(bus, index)) {
        if (index == UINT8_MAX) {
            error_setg(errp, "the SPI bus is full");
            object_unref(OBJECT(dev));
            return NULL;
        }
        index++;
    }
    qdev_prop_set_uint8(dev, "cs", index);
    ESP_HOSTED_SSI(dev)->engine = engine;
    ESP_HOSTED_SSI(dev)->record = record;
    object_property_add_child(parent, "ssi", OBJECT(dev));
    if (!ssi_realize_and_unref(dev, bus, errp)) {
        object_unparent(OBJECT(dev));
        return NULL;
    }
    return dev;
}

static const VMStateDescription vmstate_esp_hosted_ssi = {
    .name = TYPE_ESP_HOSTED_SSI,
    .version_id = 1,
    .minimum_version_id = 1,
    .fields = (const VMStateField[]) {
        VMSTATE_SSI_PERIPHERAL(parent_obj, EspHostedSsiState),
        VMSTATE_END_OF_LIST()
    }
};

static void esp_hosted_ssi_class_init(ObjectClass *klass, void *data)
{
    SSIPeripheralClass *k = SSI_PERIPHERAL_CLASS(klass);
    DeviceClass *dc = DEVICE_CLASS(klass);

    k->realize = esp_hosted_ssi_realize;
    k->transfer = esp_hosted_ssi_transfer;
    k->set_cs = esp_hosted_ssi_set_cs;
    k->cs_polarity = SSI_CS_LOW;
    dc->vmsd = &vmstate_esp_hosted_ssi;
    dc->desc = "SPI slave of the ESP-Hosted co-processor";
    dc->user_creatable = false;
}

static const TypeInfo esp_hosted_ssi_info = {
    .name = TYPE_ESP_HOSTED_SSI,
    .parent = TYPE_SSI_PERIPHERAL,
    .instance_size = sizeof(EspHostedSsiState),
    .class_init = esp_hosted_ssi_class_init,
};

static void esp_hosted_ssi_register_types(void)
{
    type_register_static(&esp_hosted_ssi_info);
}

type_init(esp_hosted_ssi_register_types)
