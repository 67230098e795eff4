/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtual ESP32 co-processor: what the files of the QEMU side share
 */
#ifndef ESP_HOSTED_INTERNAL_H
#define ESP_HOSTED_INTERNAL_H

#include "hw/qdev-core.h"
#include "hw/ssi/ssi.h"
#include "qom/object.h"

#include "engine/esp_engine.h"

#define TYPE_ESP_HOSTED     "esp-hosted"
#define TYPE_ESP_HOSTED_AP  "esp-hosted-ap"
#define TYPE_ESP_HOSTED_SSI "esp-hosted-ssi"

OBJECT_DECLARE_SIMPLE_TYPE(EspHostedState, ESP_HOSTED)
OBJECT_DECLARE_SIMPLE_TYPE(EspHostedApState, ESP_HOSTED_AP)
OBJECT_DECLARE_SIMPLE_TYPE(EspHostedSsiState, ESP_HOSTED_SSI)

/* The one air of this process; created by the first user. */
struct esp_air *esp_hosted_air_get(void);
void esp_hosted_air_put(void);

/* Reads "24:6f:28:80:2c:34"; false if @text is anything else. */
bool esp_hosted_parse_mac(const char *text, uint8_t mac[6]);

/* A line of a GPIO bank, found by a property "PATH:LINE". */
typedef struct EspHostedPin {
    DeviceState *bank;
    int line;
    const char *property;           /* NULL: not connected */
    QLIST_ENTRY(EspHostedPin) next; /* all pins in use, any co-processor */
    const char *owner;
} EspHostedPin;

typedef enum EspHostedPinKind {
    ESP_HOSTED_PIN_INPUT,           /* of the bank: we drive it */
    ESP_HOSTED_PIN_OUTPUT,          /* of the bank: it drives us */
} EspHostedPinKind;

/*
 * Finds the SSI bus of the controller at QOM path @path.
 * Returns NULL and sets @errp if there is none.
 */
SSIBus *esp_hosted_find_bus(const char *property, const char *path,
                            Error **errp);

/*
 * Finds the line @address ("PATH:LINE"), checks that nobody else uses it
 * and marks it as used by @owner. Connects nothing.
 */
bool esp_hosted_claim_pin(EspHostedPin *pin, EspHostedPinKind kind,
                          const char *property, const char *address,
                          const char *owner, Error **errp);
void esp_hosted_release_pin(EspHostedPin *pin);

/*
 * True if the bank can tell that the guest does not drive @pin any more,
 * because it made it an input.
 */
bool esp_hosted_pin_is_input(const EspHostedPin *pin);
/* True if esp_hosted_pin_is_input() can tell for this kind of bank. */
bool esp_hosted_pin_has_direction(const EspHostedPin *pin);

/* A request to arm and disarm faults, checked. */
typedef struct EspHostedFaults EspHostedFaults;

/* Reads and checks a request; g_free() it. NULL with @errp set: bad. */
EspHostedFaults *esp_hosted_faults_read(Visitor *v, const char *name,
                                        Error **errp);
bool esp_hosted_faults_apply(const EspHostedFaults *faults,
                             struct esp_engine *engine, Error **errp);
/* Writes what is armed and how often each fault has fired. */
void esp_hosted_faults_write(Visitor *v, const char *name,
                             const struct esp_engine *engine, Error **errp);

/*
 * Reads a JSON object; unref it. NULL with @errp set, which says @wanted:
 * it is something else.
 */
struct QDict *esp_hosted_read_dict(Visitor *v, const char *name,
                                   const char *wanted, Error **errp);

/* NULL before they are realized */
struct esp_engine *esp_hosted_engine(EspHostedState *s);
struct esp_ap *esp_hosted_ap_engine(EspHostedApState *s);

/* The event ESP_HOSTED. @wanted: a bit for each kind of step. */
bool esp_hosted_notify_parse(const char *text, uint32_t *wanted,
                             Error **errp);
char *esp_hosted_notify_format(uint32_t wanted);
/* As esp_ops.trace, .frame and .scripted. */
void esp_hosted_notify_trace(const char *device, uint32_t wanted,
                             enum esp_trace id, uint64_t a, uint64_t b,
                             uint64_t c);
void esp_hosted_notify_frame(const char *device, uint32_t wanted,
                             enum esp_direction dir, const uint8_t *data,
                             size_t len);
void esp_hosted_notify_scripted(const char *device, uint8_t if_type,
                                const uint8_t *payload, size_t len);

/* Command codes taken from the firmware, as "27,40". */
bool esp_hosted_scripted_set(struct esp_engine *engine, const char *text,
                             Error **errp);
char *esp_hosted_scripted_get(const struct esp_engine *engine);
/* Frames of a script, "INTERFACE:PACKET-TYPE:HEX,...". */
bool esp_hosted_inject(struct esp_engine *engine, const char *text,
                       Error **errp);

/* Paths to the other ends of the air. */
void esp_hosted_paths_set(struct esp_engine *engine, Visitor *v,
                          const char *name, Error **errp);
void esp_hosted_paths_get(struct esp_engine *engine, Visitor *v,
                          const char *name, Error **errp);
/* Makes or removes an access point while the machine runs. */
void esp_hosted_ap_add(Visitor *v, const char *name, Error **errp);
void esp_hosted_ap_remove(const char *id, Error **errp);

/* Recordings: files that say what a co-processor does. */
typedef struct EspHostedRecord EspHostedRecord;

typedef enum EspHostedRecordKind {
    ESP_HOSTED_RECORD_PCAPNG,       /* hosted frames */
    ESP_HOSTED_RECORD_VCD,          /* lines, armed faults */
    ESP_HOSTED_RECORD_JSON,         /* every step */
    ESP_HOSTED_RECORD_COUNT
} EspHostedRecordKind;

/* Nothing is recorded yet. @name and @engine are kept. */
EspHostedRecord *esp_hosted_record_new(const char *name,
                                       const struct esp_engine *engine);
/* Ends all recordings. NULL is allowed. */
void esp_hosted_record_free(EspHostedRecord *record);
/*
 * Starts a recording into a new file @path, or ends it if @path is empty.
 * False with @errp set: the file cannot be used, nothing has changed (but
 * a recording into that very file has ended).
 */
bool esp_hosted_record_set(EspHostedRecord *record, EspHostedRecordKind kind,
                           const char *path, Error **errp);
/* "" if it is off, or ended by an error. */
const char *esp_hosted_record_path(const EspHostedRecord *record,
                                   EspHostedRecordKind kind);
/* As esp_ops.frame and esp_ops.trace. */
void esp_hosted_record_frame(EspHostedRecord *record, enum esp_direction dir,
                             const uint8_t *data, size_t len);
void esp_hosted_record_trace(EspHostedRecord *record, enum esp_trace id,
                             uint64_t a, uint64_t b, uint64_t c);
/* Level of chip select, before the engine gets it. */
void esp_hosted_record_cs(EspHostedRecord *record, bool level);
/* Faults were armed or disarmed. */
void esp_hosted_record_faults(EspHostedRecord *record);
/* A call into the engine has ended. */
void esp_hosted_record_sync(EspHostedRecord *record);
/* A saved state was loaded. */
void esp_hosted_record_loaded(EspHostedRecord *record);

/* Puts the SSI side of @engine on @bus, as a child of @parent. */
DeviceState *esp_hosted_ssi_new(Object *parent, SSIBus *bus,
                                struct esp_engine *engine,
                                EspHostedRecord *record, Error **errp);

#endif
