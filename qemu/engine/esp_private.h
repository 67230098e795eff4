/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Inside of the engine: state, queues, and what its files share
 */
#ifndef ESP_PRIVATE_H
#define ESP_PRIVATE_H

#include <string.h>

#include "esp_engine.h"

/* Units of the clock */
#define US                      INT64_C(1000)
#define MS                      (1000 * US)
#define SEC                     (1000 * MS)
#define NEVER                   INT64_MAX
/* 36 years: what times and delays from outside are held against */
#define TIME_MAX                (INT64_C(1) << 60)

/* Frame header: protocol.md 2 */
#define HDR_LEN                 12
#define OFFSET_MAX              16
#define PAYLOAD_MAX             (ESP_TRANSACTION_SIZE - HDR_LEN)

enum {
    IF_STA, IF_AP, IF_HCI, IF_INTERNAL, IF_TEST, IF_RCP,
};

enum {
    PKT_DATA, PKT_REQUEST, PKT_RESPONSE, PKT_EVENT, PKT_EAPOL,
};

/* Command header: protocol.md 6.1 */
#define CMD_HDR                 8
/* Zero bytes behind every generic answer: FQ-3 */
#define RESPONSE_SURPLUS        12

enum {
    CMD_INIT_IF = 1, CMD_SET_MAC, CMD_GET_MAC, CMD_SCAN, CMD_STA_CONNECT,
    CMD_DISCONNECT, CMD_DEINIT_IF, CMD_ADD_KEY, CMD_DEL_KEY,
    CMD_SET_DEFAULT_KEY, CMD_STA_AUTH, CMD_STA_ASSOC, CMD_SET_IP,
    CMD_SET_MCAST, CMD_GET_TXPOWER, CMD_SET_TXPOWER, CMD_GET_REGDOM,
    CMD_SET_REGDOM, CMD_RAW_TP_TO_HOST, CMD_RAW_TP_FROM_HOST, CMD_SET_WOW,
    CMD_SET_MODE, CMD_SET_IE, CMD_AP_CONFIG, CMD_MGMT_TX, CMD_AP_STATION,
    CMD_STA_RSSI, CMD_SET_TIME, CMD_OTA_START, CMD_OTA_WRITE, CMD_OTA_END,
    CMD_SET_AUTHORIZED, CMD_SET_RADIO, CMD_GET_RADIO,
    CMD_COUNT
};

enum {
    STATUS_PENDING, STATUS_FAIL, STATUS_OK, STATUS_BUSY,
    STATUS_UNSUPPORTED, STATUS_INVALID,
};

enum {
    EVENT_SCAN = 1, EVENT_CONNECT, EVENT_DISCONNECT, EVENT_AUTH,
    EVENT_ASSOC, EVENT_AP_MGMT, EVENT_TX_STATUS,
};

/* 802.11 management frame subtypes and sizes */
enum {
    WLAN_ASSOC_REQ = 0, WLAN_ASSOC_RESP = 1, WLAN_REASSOC_REQ = 2,
    WLAN_REASSOC_RESP = 3, WLAN_PROBE_REQ = 4, WLAN_PROBE_RESP = 5,
    WLAN_BEACON = 8, WLAN_DISASSOC = 10, WLAN_AUTH = 11,
    WLAN_DEAUTH = 12, WLAN_ACTION = 13,
};

#define WLAN_HDR                24
#define WLAN_CAP_ESS            0x0001
#define WLAN_CAP_PRIVACY        0x0010
#define REASON_LEAVING          3
#define REASON_INACTIVE         4
#define REASON_BEACON_TIMEOUT   200
#define REASON_AUTH_EXPIRED     2
#define REASON_ASSOC_EXPIRED    4

enum counter {
#define X(id, name) CNT_##id,
#include "esp_counters.h"
#undef X
    CNT_COUNT
};

enum fault_id {
#define X(id, name, arg, help) FAULT_##id,
#include "esp_faults.h"
#undef X
    FAULT_COUNT
};

/* Frames: one pool, queues hold indices into it. */
#define POOL_SIZE               560
#define QUEUE_MAX               256
#define NO_FRAME                UINT16_MAX
#define MGMT_INBOX              64

enum frame_kind {
    KIND_HOSTED,                /* complete hosted frame, header first */
    KIND_ETHERNET,              /* from the air, Ethernet layout */
    KIND_MGMT,                  /* from the air, 802.11 with header */
    KIND_SCAN_DONE,             /* the Wi-Fi task's own messages, in order */
    KIND_DISCONNECT,
    KIND_TX_STATUS,             /* a management frame we sent, arg: acked */
    KIND_COUNT
};

struct frame {
    int64_t due;                /* on the air: when it arrives */
    uint16_t len;
    uint8_t kind;
    uint8_t if_type;
    uint8_t channel;
    int8_t rssi;
    /* DISCONNECT: type, MGMT: protected, TX_STATUS: acknowledged */
    uint8_t arg;
    uint16_t seq;
    uint8_t data[ESP_TRANSACTION_SIZE];
};

struct queue {
    uint16_t head;
    uint16_t count;
    uint16_t slot[QUEUE_MAX];
};

enum { PRIO_HIGH, PRIO_MID, PRIO_LOW, PRIO_COUNT };

enum timer_id {
    TIMER_BOOT,
    TIMER_HANDSHAKE_FALL,
    TIMER_COUNT_DONE,
    TIMER_REARM,
    TIMER_SENDER,
    TIMER_CONSUMER,
    TIMER_MGMT,
    TIMER_DATA,
    TIMER_WIFI_START,
    TIMER_SCAN,
    TIMER_CONNECT,
    TIMER_BEACON,
    TIMER_RAW_TP,
    TIMER_RESTART,
    TIMER_FAULT,
    TIMER_HANDSHAKE_LATE,
    TIMER_DATA_READY_LATE,
    TIMER_GLITCH,
    TIMER_LATE_RESPONSE,
    TIMER_HCI,
    TIMER_CHANNEL_SWITCH,
    TIMER_INACTIVE,
    TIMER_RADIO_FAULT,
    TIMER_COUNT
};

enum phase {
    PHASE_IDLE,
    PHASE_AUTH,                 /* authentication frame sent */
    PHASE_AUTHED,               /* waits for STA_ASSOC or SAE confirm */
    PHASE_ASSOC,                /* association request sent */
    PHASE_JOINED,
    PHASE_COUNT
};

/* The low-energy controller */
struct hci {
    bool advertising;
    bool scanning;
    bool scan_active;
    bool filter;                /* no duplicates */
    uint32_t seen;
    uint8_t adv_type;
    uint8_t adv_own_type;
    uint8_t random[6];
    uint8_t adv_len;
    uint8_t adv[31];
    uint8_t rsp_len;
    uint8_t rsp[31];
};

#define IE_MAX                  255
#define KEY_SLOTS               8

struct key {
    uint8_t algorithm;          /* 0: slot unused */
    uint8_t index;
    uint8_t len;
    uint8_t mac[6];
    uint8_t material[32];
};

#define AP_PEERS                8
#define AP_IES                  6
#define AP_IE_MAX               (PAYLOAD_MAX - 12)
#define AP_GROUP_KEYS           6

/* A station added by the host of an access point. */
struct peer {
    bool used;
    bool authorised;
    bool mfp;                   /* management frames are protected */
    uint8_t mac[6];
    uint16_t aid;
    int64_t last_heard;
    struct key key;
};

struct soft_ap {
    bool configured;
    bool hidden;
    bool privacy;
    uint8_t channel;
    uint16_t beacon_interval;
    uint16_t inactivity;
    uint8_t ssid_len;
    uint8_t ssid[ESP_SSID_MAX];
    uint16_t ie_len[AP_IES];
    uint8_t ie[AP_IES][AP_IE_MAX];
    struct peer peer[AP_PEERS];
    uint8_t group_index;        /* of the key in use for group frames */
    struct key group[AP_GROUP_KEYS];
    bool tx_pending;            /* G2: one frame at a time */
    bool tx_marked;
    uint64_t tx_id;
};

/* Who asked, for answers that come later. */
struct request {
    bool pending;
    uint8_t code;
    uint8_t if_type;
    uint16_t seq;
};

struct scan {
    bool active;
    bool for_auth;              /* the blocking one inside STA_AUTH */
    bool bssid_seen;
    bool privacy_seen;
    uint8_t bssid[6];
    uint8_t ssid_len;
    uint8_t ssid[ESP_SSID_MAX];
    uint8_t channel;            /* now */
    uint8_t last_channel;       /* stop after this one */
};

struct station {
    uint8_t phase;
    bool associating;
    bool connected;             /* ESP-internal: received data passes */
    bool authorised;            /* G2 port */
    bool control_port;
    bool secured;
    uint8_t bssid[6];
    uint8_t channel;
    int8_t rssi;
    uint8_t ssid_len;
    uint8_t ssid[ESP_SSID_MAX];
    uint8_t algorithm;
    uint16_t auth_status;       /* of an SAE commit: 126 is H2E */
    uint16_t aid;
    uint16_t auth_seq;          /* G2, cleared by the event */
    uint16_t assoc_seq;
    uint16_t connect_seq;
    int64_t last_beacon;
    uint8_t next_channel;       /* announced by the access point */
    uint8_t auth_len;
    uint8_t auth_data[IE_MAX];
    uint8_t ie_len;
    uint8_t ie[IE_MAX];
    struct key key[KEY_SLOTS];
};

struct history {
    uint64_t number;
    int64_t time;
    uint8_t what;
    uint8_t code;
    uint8_t if_type;
    uint8_t status;
    uint16_t len;
    uint16_t seq;
};

enum { HIST_COMMAND, HIST_RESPONSE, HIST_EVENT, HIST_BOOT, HIST_RESET,
       HIST_WHAT_COUNT };

#define HISTORY_SIZE            128

struct fault {
    bool armed;
    uint32_t remaining;         /* 0: without end */
    uint32_t ppm;
    uint32_t match;
    uint64_t arg;
    uint64_t fired;
};

/* Everything that a reset wipes. No pointers. */
struct volatile_state {
    int64_t due[TIMER_COUNT];
    int64_t boot_time;
    uint8_t generation;
    uint32_t reset_reason;

    /* SPI transaction */
    bool armed;                 /* hardware loaded */
    bool active;                /* chip select fell while armed */
    bool unarmed_select;        /* ... while not armed */
    bool rearm_blocked;         /* post-processing waits for a queue */
    bool rearm_wait_cs;         /* ... for chip select to rise */
    bool rx_done;               /* rx[] holds what the last one received */
    uint16_t pos;               /* bytes clocked */
    uint16_t armed_len;         /* real frame bytes in miso, 0: dummy */
    uint32_t unarmed_bytes;
    int64_t cs_fall;
    int64_t filled;             /* when tx_queue was empty last */
    uint64_t glitch_ns;
    uint8_t miso[ESP_TRANSACTION_SIZE];
    uint8_t mosi[ESP_TRANSACTION_SIZE];
    uint8_t rx[ESP_TRANSACTION_SIZE];

    /* Queues */
    struct queue rx_queue[PRIO_COUNT];
    struct queue tx_queue[PRIO_COUNT];
    struct queue producer[PRIO_COUNT];
    struct queue air_mgmt;
    struct queue air_data;
    uint16_t rx_held;           /* post-processing task blocked with it */
    uint16_t sender_held;       /* sender task blocked with it */
    uint16_t late_response;     /* a fault keeps it back */
    int64_t air_busy;           /* until then frames to us occupy the air */

    /* Firmware */
    bool consumer_waits;        /* for the answer of a blocking command */
    bool loop_created;          /* FQ-18 */
    uint8_t radio_requested;    /* G2 radio services */
    uint8_t radio_active;
    bool radio_chosen;          /* by command 33 */
    struct hci hci;
    uint8_t mode;               /* 0 none, 1 station, 3 both */
    bool sta_started;
    bool ap_started;
    bool start_pending;         /* TIMER_WIFI_START will set the flags */
    uint8_t device_mac[6];
    int8_t tx_power;
    uint8_t country[4];
    uint8_t ip[4];
    uint8_t mcast_count;
    uint8_t mcast[8][6];
    uint8_t wow[4];
    uint64_t time_us;
    uint16_t forward;           /* 1 << subtype */
    struct scan scan;
    struct station sta;
    struct soft_ap ap;
    struct request auth_request;
    uint8_t raw_tp;             /* CMD_RAW_TP_* or 0 */
    uint32_t raw_tp_run;
    uint32_t raw_tp_seq;
    uint8_t ota;                /* 0 none, 1 open, 2 written */
    uint32_t ota_bytes;
};

/* How well another end of the air is heard, both ways. */
struct path {
    bool has_signal;            /* else: what the other end says */
    int8_t signal_dbm;
    uint32_t loss_ppm;
};

/* The rest of what is saved. */
struct persistent_state {
    uint8_t state;              /* enum esp_state */
    bool line[ESP_LINE_COUNT];
    bool wanted[ESP_LINE_COUNT];    /* without stuck lines */
    struct fault fault[FAULT_COUNT];
    struct path ap_path[ESP_AIR_MAX_APS];       /* by place on the air */
    struct path radio_path[ESP_AIR_MAX_RADIOS];
    uint8_t scripted[32];       /* a bit for each command code */
    uint64_t random;
    uint64_t counter[CNT_COUNT];
    uint64_t history_number;
    struct history history[HISTORY_SIZE];
    uint16_t last_len[ESP_DIRECTION_COUNT];
    uint8_t last[ESP_DIRECTION_COUNT][ESP_TRANSACTION_SIZE];
};

/* One received command. @p is the payload, zero behind @len. */
struct command {
    struct request req;
    const uint8_t *p;
    size_t len;
};

#define LINE_CHANGES            8

struct esp_engine {
    struct esp_config cfg;
    const struct esp_ops *ops;
    void *opaque;
    struct esp_air *air;

    struct volatile_state s;
    struct persistent_state p;

    struct frame frame[POOL_SIZE];
    uint16_t free_slot[POOL_SIZE];
    uint16_t free_count;

    /* Not saved: call bookkeeping */
    int64_t event_time;         /* when what is handled now was due */
    unsigned depth;             /* inside a call that settles at its end */
    bool flushing;
    unsigned change_count;
    struct {
        uint8_t line;
        bool level;
    } change[LINE_CHANGES];
    int64_t armed_deadline;
};

struct esp_ap {
    struct esp_ap_config cfg;
    const struct esp_ap_ops *ops;
    void *opaque;
    struct esp_air *air;
    bool enabled;
    uint8_t next_channel;       /* 0: no switch is announced */
    int64_t switch_at;
    uint64_t counter[17];
};

struct esp_air {
    struct esp_engine *radio[ESP_AIR_MAX_RADIOS];
    struct esp_ap *ap[ESP_AIR_MAX_APS];
};

/* Little-endian access */
static inline uint16_t get16(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}

static inline uint32_t get32(const uint8_t *p)
{
    return get16(p) | (uint32_t)get16(p + 2) << 16;
}

static inline void put16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
}

static inline void put32(uint8_t *p, uint32_t v)
{
    put16(p, (uint16_t)v);
    put16(p + 2, (uint16_t)(v >> 16));
}

static inline void put64(uint8_t *p, uint64_t v)
{
    put32(p, (uint32_t)v);
    put32(p + 4, (uint32_t)(v >> 32));
}

static inline bool mac_equal(const uint8_t *a, const uint8_t *b)
{
    return memcmp(a, b, 6) == 0;
}

static inline bool mac_is_zero(const uint8_t *a)
{
    static const uint8_t zero[6];

    return mac_equal(a, zero);
}

static inline bool mac_is_group(const uint8_t *a)
{
    return a[0] & 1;
}

static inline int64_t esp_now(const struct esp_engine *e)
{
    return e->ops->now(e->opaque);
}

static inline bool esp_is_g2(const struct esp_engine *e)
{
    return e->s.generation == ESP_GENERATION_G2;
}

static inline bool esp_quirk(const struct esp_engine *e, unsigned n)
{
    return e->cfg.quirks & ESP_QUIRK(n);
}

static inline void esp_count(struct esp_engine *e, enum counter c)
{
    e->p.counter[c]++;
}

static inline void esp_trace(struct esp_engine *e, enum esp_trace id,
                             uint64_t a, uint64_t b, uint64_t c)
{
    if (e->ops->trace) {
        e->ops->trace(e->opaque, id, a, b, c);
    }
}

/* esp_config.c */
void esp_mac_from_seed(uint8_t mac[6], uint64_t seed);
uint8_t esp_chip_id(enum esp_chip chip);
/* The channel scanned after this one; 0: there is none. */
uint8_t esp_next_channel(enum esp_chip chip, uint8_t channel);

/* esp_engine.c: scheduling, lines */
void esp_schedule(struct esp_engine *e, enum timer_id id, int64_t due);
void esp_cancel(struct esp_engine *e, enum timer_id id);
/* Everything that may move a line or a deadline sits between these. */
void esp_enter(struct esp_engine *e);
void esp_leave(struct esp_engine *e);
void esp_set_line(struct esp_engine *e, enum esp_line line, bool level);
void esp_set_state(struct esp_engine *e, enum esp_state state);
int64_t esp_next_tick(const struct esp_engine *e, int64_t now);
uint64_t esp_random(struct esp_engine *e);
/* Volatile state as after a reset; what a new engine starts with. */
void esp_wipe(struct esp_engine *e);
void esp_first_state(struct esp_engine *e);
/* The firmware restarts itself: as a reset, with another reason. */
void esp_restart(struct esp_engine *e, uint32_t reason);

/* esp_queue.c */
void esp_pool_init(struct esp_engine *e);
uint16_t esp_frame_alloc(struct esp_engine *e);
void esp_frame_free(struct esp_engine *e, uint16_t slot);
void esp_queue_push(struct queue *q, uint16_t slot);
void esp_queue_push_front(struct queue *q, uint16_t slot);
uint16_t esp_queue_pop(struct queue *q);
uint16_t esp_queue_peek(const struct queue *q);
/* Takes out the frame that is @i behind the first. */
uint16_t esp_queue_remove(struct queue *q, unsigned i);
/* By due time, behind equal ones. */
void esp_queue_insert(struct esp_engine *e, struct queue *q, uint16_t slot);

/* esp_frame.c */
struct header {
    uint8_t if_type;
    uint8_t if_num;
    uint8_t flags;
    uint8_t packet_type;
    uint16_t len;
    uint16_t offset;
    uint16_t checksum;
    uint8_t hci_type;
};

uint16_t esp_checksum(const uint8_t *frame, size_t len);
void esp_header_read(struct header *h, const uint8_t *frame);
/* Validates what the host sent; counts the reason and returns false. */
bool esp_frame_valid(struct esp_engine *e, const uint8_t *frame,
                     struct header *h);
/*
 * A hosted frame with its header in place and a zeroed payload of @len
 * bytes; NULL when it cannot exist. Finish with esp_frame_send().
 */
uint8_t *esp_frame_new(struct esp_engine *e, uint16_t *slot, uint8_t if_type,
                       uint8_t packet_type, unsigned offset, size_t len);
/* Stamps the checksum and queues it for the sender task. */
void esp_frame_send(struct esp_engine *e, uint16_t slot, unsigned prio);
bool esp_producer_room(const struct esp_engine *e, unsigned prio,
                       unsigned frames);
size_t esp_boot_event(struct esp_engine *e, uint8_t *frame);
/* Header lengths and checksum of a boot event with @tlvs bytes of TLVs. */
size_t esp_boot_finish(struct esp_engine *e, uint8_t *frame, size_t tlvs);

/* esp_link.c */
void esp_link_boot(struct esp_engine *e);
/* A boot event out of the blue; the firmware goes on. */
void esp_link_boot_again(struct esp_engine *e);
void esp_link_rearm(struct esp_engine *e);
void esp_link_handshake_late(struct esp_engine *e);
void esp_link_data_ready_late(struct esp_engine *e);
void esp_link_glitch(struct esp_engine *e);
void esp_link_count_done(struct esp_engine *e);
void esp_link_sender(struct esp_engine *e);
void esp_link_consumer(struct esp_engine *e);
void esp_link_consumer_wake(struct esp_engine *e);

/* esp_command.c */
void esp_command(struct esp_engine *e, const struct header *h,
                 const uint8_t *frame);
void esp_respond(struct esp_engine *e, const struct request *r,
                 uint8_t status, const void *data, size_t len);
void esp_answer(struct esp_engine *e, const struct command *c,
                uint8_t status);
void esp_command_raw_tp(struct esp_engine *e);
/* The blocking scan inside STA_AUTH has ended. */
void esp_command_auth_scanned(struct esp_engine *e);

/* esp_event.c */
void esp_event_scan(struct esp_engine *e, const struct frame *f);
void esp_event_scan_done(struct esp_engine *e);
void esp_event_auth(struct esp_engine *e, const struct frame *f);
void esp_event_assoc(struct esp_engine *e, const struct frame *f);
void esp_event_disconnect(struct esp_engine *e, const struct frame *f);
void esp_event_ap_mgmt(struct esp_engine *e, const struct frame *f);
void esp_event_tx_status(struct esp_engine *e, const struct frame *f,
                         uint64_t id);

/* esp_radio.c */
void esp_radio_mgmt(struct esp_engine *e);
void esp_radio_data(struct esp_engine *e);
void esp_radio_scan_step(struct esp_engine *e);
void esp_radio_connect_timeout(struct esp_engine *e);
void esp_radio_beacon_check(struct esp_engine *e);
void esp_radio_wifi_start(struct esp_engine *e);
void esp_radio_channel_switch(struct esp_engine *e);
void esp_radio_start_scan(struct esp_engine *e, bool for_auth,
                          uint8_t channel);
void esp_radio_stop_scan(struct esp_engine *e);
void esp_radio_send_auth(struct esp_engine *e, uint16_t transaction);
void esp_radio_send_assoc(struct esp_engine *e, bool reassoc);
/* Ends a connection or an attempt; queues STA_DISCONNECT if there was one. */
bool esp_radio_disconnect(struct esp_engine *e, uint16_t reason, bool tell,
                          uint8_t type, uint16_t seq);
/* Data from the host; returns how long the air is busy with it, ns. */
int64_t esp_radio_transmit(struct esp_engine *e, uint8_t if_type,
                           bool eapol, const uint8_t *eth, size_t len);
/*
 * Something arrives; @secured: encrypted with keys that both ends have.
 * False: the inbox is full (counted).
 */
bool esp_radio_receive_mgmt(struct esp_engine *e, uint8_t if_type,
                            const uint8_t *frame, size_t len,
                            uint8_t channel, int8_t rssi, int64_t due,
                            bool secured);
bool esp_radio_receive_data(struct esp_engine *e, uint8_t if_type,
                            const uint8_t *eth, size_t len, unsigned limit);
/* What became of a frame that was sent: the host hears of it in order. */
enum tx_result {
    TX_FAILED,
    TX_ACKED,
    TX_UNKNOWN,                 /* the library does not tell; a timer does */
    TX_NEVER,                   /* ... and no timer looks after it */
};

/* @asked: by the host; else a frame of the chip's own (FQ-5). */
bool esp_radio_tx_done(struct esp_engine *e, const uint8_t *frame, size_t len,
                       enum tx_result result, uint16_t seq, bool asked);
bool esp_is_eapol(const uint8_t *eth, size_t len);
bool esp_radio_wants_data(const struct esp_engine *e, const uint8_t *bssid);
int64_t esp_radio_airtime(const struct esp_engine *e, size_t len);

/* esp_softap.c: access-point role */
bool esp_softap_running(const struct esp_engine *e);
struct peer *esp_softap_peer(struct esp_engine *e, const uint8_t *mac);
size_t esp_softap_beacon(const struct esp_engine *e, uint8_t *frame,
                         bool probe, const uint8_t *to, int64_t when);
bool esp_softap_add_key(struct esp_engine *e, const struct command *c);
void esp_softap_stop(struct esp_engine *e);
void esp_softap_tx_done(struct esp_engine *e, const struct frame *f);
/* May a frame pass between soft-AP @ap and station @sta? Counts if not. */
bool esp_softap_keys_match(struct esp_engine *ap, struct esp_engine *sta,
                           const struct peer *peer, bool to_group,
                           bool eapol);
/*
 * Would a management frame between soft-AP @ap and station @sta go
 * encrypted with keys that both have? @to_group: to all stations.
 */
bool esp_softap_protects(struct esp_engine *ap, struct esp_engine *sta,
                         bool to_group);
/* Has this station keys for protected management frames? */
bool esp_station_protected(const struct esp_engine *e);
void esp_softap_inactive(struct esp_engine *e);
bool esp_softap_disconnect(struct esp_engine *e, const uint8_t *mac);
void esp_softap_set_ie(struct esp_engine *e, const struct command *c);
void esp_softap_config(struct esp_engine *e, const struct command *c);
void esp_softap_mgmt_tx(struct esp_engine *e, const struct command *c);
void esp_softap_mgmt_tx_short(struct esp_engine *e, const struct command *c);
void esp_softap_station(struct esp_engine *e, const struct command *c);
/* Wi-Fi in a mode, and stopped; used by commands of both roles. */
void esp_wifi_start(struct esp_engine *e, uint8_t mode);
void esp_wifi_stop(struct esp_engine *e);
bool esp_chip_has_he(enum esp_chip chip);
bool esp_chip_has_channel(enum esp_chip chip, uint8_t channel);

/* esp_air.c */
bool esp_air_add_radio(struct esp_air *air, struct esp_engine *e);
/* Has another radio the same address? */
bool esp_air_mac_taken(const struct esp_engine *e);
void esp_air_remove_radio(struct esp_air *air, struct esp_engine *e);
void esp_air_probe(struct esp_engine *e, int64_t start, int64_t dwell);
/* Management frame to its address 1. True: somebody acknowledged it. */
bool esp_air_mgmt(struct esp_engine *e, uint8_t channel,
                  const uint8_t *frame, size_t len);
/* Frame of a station towards @bssid. */
void esp_air_data(struct esp_engine *e, const uint8_t *bssid,
                  const uint8_t *eth, size_t len);
/* Frame of a soft-AP to its stations; @from: the one it came from. */
void esp_air_ap_data(struct esp_engine *e, const struct esp_engine *from,
                     const uint8_t *eth, size_t len);
/* Is the access point there? Fills in its signal. */
bool esp_air_find(struct esp_engine *e, const uint8_t *bssid,
                  uint8_t channel, int8_t *rssi);
/* Does a beacon of it arrive within the time of @beacons? */
bool esp_air_hears(struct esp_engine *e, const uint8_t *bssid,
                   uint8_t channel, unsigned beacons, int8_t *rssi);
/* Does the soft-AP @e still hear the station with this address? */
bool esp_air_hears_station(struct esp_engine *e, const uint8_t *mac);
/* The built-in access point @e is joined to moves. False: there is none. */
bool esp_air_move_ap(struct esp_engine *e, uint8_t channel, bool announced);

/* esp_fault.c */
/* Does it fire for this subject (code, type) now? Fills in its argument. */
bool esp_fault(struct esp_engine *e, unsigned index, uint32_t subject,
               uint64_t *arg);
/* The level a line really takes. */
bool esp_fault_line(const struct esp_engine *e, enum esp_line line,
                    bool level);
bool esp_fault_countdown(struct esp_engine *e, uint64_t *arg);
/* Armed, and in force until disarmed? */
bool esp_fault_in_force(const struct esp_engine *e, unsigned index);
void esp_fault_timer(struct esp_engine *e);
void esp_fault_radio_timer(struct esp_engine *e);
void esp_fault_arm_failed(struct esp_engine *e);
void esp_fault_frame(struct esp_engine *e);
/* Changes a boot event as armed; its new length. */
size_t esp_fault_boot_event(struct esp_engine *e, uint8_t *frame, size_t len);
/* Send an answer or event, with what is armed for it. */
void esp_fault_response(struct esp_engine *e, uint16_t slot);
void esp_fault_late_response(struct esp_engine *e);
void esp_fault_event(struct esp_engine *e, uint16_t slot);

/* esp_hci.c */
void esp_hci_receive(struct esp_engine *e, uint8_t type, const uint8_t *p,
                     size_t len);
void esp_hci_timer(struct esp_engine *e);

/* esp_history.c */
void esp_history_add(struct esp_engine *e, uint8_t what, uint8_t code,
                     uint8_t if_type, uint8_t status, size_t len,
                     uint16_t seq);

#endif
