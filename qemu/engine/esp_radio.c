/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The radio of one co-processor: scanning, the station's connection, data
 */
#include "esp_private.h"

/* Library timers: one second for the peer, more for the host [E] */
#define PEER_TIMEOUT            (1 * SEC)
#define HOST_TIMEOUT            (5 * SEC)
#define BEACON_CHECK            (1 * SEC)
#define BEACON_LOSS             (6 * SEC)
#define BEACONS_A_CHECK         9
/* Other tasks report a little after the one that answers [E] */
#define EVENT_DELAY             (500 * US)
#define PEER_DELAY              (200 * US)

#define ETHERTYPE_EAPOL         0x888e
#define ETHERTYPE_PREAUTH       0x88c7

static bool forwards(const struct esp_engine *e, unsigned subtype)
{
    return e->s.forward & (1u << subtype);
}

bool esp_is_eapol(const uint8_t *eth, size_t len)
{
    unsigned type;

    if (len < ESP_ETH_MIN) {
        return false;
    }
    type = (unsigned)eth[12] << 8 | eth[13];
    return type == ETHERTYPE_EAPOL || type == ETHERTYPE_PREAUTH;
}

int64_t esp_radio_airtime(const struct esp_engine *e, size_t len)
{
    if (!e->cfg.air_rate_bps) {
        return 0;
    }
    return (int64_t)e->cfg.air_ns +
           (int64_t)len * 8 * SEC / e->cfg.air_rate_bps;
}

/* Inbox */

static bool inbox_add(struct esp_engine *e, const struct frame *meta,
                      const uint8_t *data, size_t len)
{
    uint16_t slot;
    struct frame *f;

    if (e->s.air_mgmt.count >= MGMT_INBOX || len > ESP_TRANSACTION_SIZE) {
        esp_count(e, CNT_RADIO_DROP_FULL);
        return false;
    }
    slot = esp_frame_alloc(e);
    if (slot == NO_FRAME) {
        return false;
    }
    esp_enter(e);
    f = &e->frame[slot];
    memcpy(f, meta, offsetof(struct frame, data));
    f->len = (uint16_t)len;
    if (len) {
        memcpy(f->data, data, len);
    }
    esp_queue_insert(e, &e->s.air_mgmt, slot);
    if (f->due < e->s.due[TIMER_MGMT]) {
        esp_schedule(e, TIMER_MGMT, f->due);
    }
    esp_leave(e);
    return true;
}

bool esp_radio_receive_mgmt(struct esp_engine *e, uint8_t if_type,
                            const uint8_t *frame, size_t len,
                            uint8_t channel, int8_t rssi, int64_t due,
                            bool secured)
{
    struct frame meta = {
        .due = due ? due : esp_now(e) + PEER_DELAY +
               esp_radio_airtime(e, len),
        .kind = KIND_MGMT,
        .if_type = if_type,
        .channel = channel,
        .rssi = rssi,
        .arg = secured,
    };

    if (esp_fault(e, FAULT_RADIO_MGMT_LOST, frame[0] >> 4, NULL)) {
        return false;
    }
    return inbox_add(e, &meta, frame, len);
}

/* How long G2 waits for the library: protocol-g2.md 6.2 */
#define TX_STATUS_TIMEOUT       (5 * SEC)
#define A_LONG_TIME             (INT64_C(1) << 59)

bool esp_radio_tx_done(struct esp_engine *e, const uint8_t *frame,
                       size_t len, enum tx_result result, uint16_t seq,
                       bool asked)
{
    struct frame meta = {
        .due = esp_now(e) + (result == TX_NEVER ? A_LONG_TIME :
               result == TX_UNKNOWN ? TX_STATUS_TIMEOUT :
               PEER_DELAY + esp_radio_airtime(e, len)),
        .kind = KIND_TX_STATUS,
        .arg = (uint8_t)result,
        .if_type = asked ? IF_AP : IF_STA,
        .seq = seq,
    };

    return inbox_add(e, &meta, frame, len);
}

bool esp_radio_receive_data(struct esp_engine *e, uint8_t if_type,
                            const uint8_t *eth, size_t len, unsigned limit)
{
    struct volatile_state *s = &e->s;
    int64_t now = esp_now(e);
    uint64_t delay;
    uint16_t slot;
    struct frame *f;

    if (s->air_data.count >= limit || s->air_data.count >= QUEUE_MAX) {
        esp_count(e, CNT_RADIO_DROP_FULL);
        return false;
    }
    if (esp_fault(e, FAULT_RADIO_RX_LOST, 0, NULL)) {
        /* Sent, and not heard */
        return true;
    }
    if (s->air_busy < now) {
        s->air_busy = now;
    }
    if (esp_fault(e, FAULT_RADIO_DELAY, 0, &delay)) {
        s->air_busy += (int64_t)delay;
    }
    slot = esp_frame_alloc(e);
    if (slot == NO_FRAME) {
        return false;
    }
    esp_enter(e);
    s->air_busy += esp_radio_airtime(e, len);
    f = &e->frame[slot];
    f->kind = KIND_ETHERNET;
    f->if_type = if_type;
    f->due = s->air_busy;
    f->len = (uint16_t)len;
    memcpy(f->data, eth, len);
    esp_queue_push(&s->air_data, slot);
    if (s->air_data.count == 1) {
        esp_schedule(e, TIMER_DATA, f->due);
    }
    esp_leave(e);
    return true;
}

/* Scan */

void esp_radio_start_scan(struct esp_engine *e, bool for_auth,
                          uint8_t channel)
{
    struct scan *scan = &e->s.scan;
    int64_t now = esp_now(e);

    scan->active = true;
    scan->for_auth = for_auth;
    scan->bssid_seen = false;
    scan->privacy_seen = false;
    scan->channel = channel ? channel : 1;
    scan->last_channel = channel;
    esp_air_probe(e, now, (int64_t)e->cfg.scan_dwell_ns);
    esp_schedule(e, TIMER_SCAN, now + (int64_t)e->cfg.scan_dwell_ns);
}

void esp_radio_scan_step(struct esp_engine *e)
{
    struct scan *scan = &e->s.scan;
    uint8_t next = scan->channel == scan->last_channel ? 0 :
                   esp_next_channel(e->cfg.chip, scan->channel);
    int64_t now = esp_now(e);

    if (next) {
        scan->channel = next;
        esp_air_probe(e, now, (int64_t)e->cfg.scan_dwell_ns);
        esp_schedule(e, TIMER_SCAN, now + (int64_t)e->cfg.scan_dwell_ns);
        return;
    }
    esp_radio_stop_scan(e);
}

/* Also for a scan cut short: it is reported as done, 8.1 */
void esp_radio_stop_scan(struct esp_engine *e)
{
    struct frame meta = {
        .due = esp_now(e),
        .kind = KIND_SCAN_DONE,
        .arg = e->s.scan.for_auth,
    };

    if (!e->s.scan.active) {
        return;
    }
    e->s.scan.active = false;
    esp_cancel(e, TIMER_SCAN);
    if (!inbox_add(e, &meta, NULL, 0) && e->s.scan.for_auth) {
        esp_command_auth_scanned(e);
    }
}

/* Connection */

static void clear_station(struct esp_engine *e)
{
    struct station *sta = &e->s.sta;

    sta->phase = PHASE_IDLE;
    sta->connected = false;
    sta->authorised = false;
    sta->auth_seq = 0;
    sta->assoc_seq = 0;
    sta->connect_seq = 0;
    memset(sta->key, 0, sizeof(sta->key));
    if (!esp_quirk(e, 12)) {
        sta->associating = false;
    }
    sta->next_channel = 0;
    esp_cancel(e, TIMER_CONNECT);
    esp_cancel(e, TIMER_BEACON);
    esp_cancel(e, TIMER_CHANNEL_SWITCH);
}

static void mgmt_header(const struct esp_engine *e, uint8_t *frame,
                        unsigned subtype)
{
    memset(frame, 0, WLAN_HDR);
    frame[0] = (uint8_t)(subtype << 4);
    memcpy(frame + 4, e->s.sta.bssid, 6);
    memcpy(frame + 10, e->s.device_mac, 6);
    memcpy(frame + 16, e->s.sta.bssid, 6);
}

static void send_mgmt(struct esp_engine *e, const uint8_t *frame, size_t len)
{
    esp_count(e, CNT_RADIO_TX_MGMT);
    esp_air_mgmt(e, e->s.sta.channel, frame, len);
}

bool esp_radio_disconnect(struct esp_engine *e, uint16_t reason, bool tell,
                          uint8_t type, uint16_t seq)
{
    struct station *sta = &e->s.sta;
    struct frame meta = {
        .due = esp_now(e) + EVENT_DELAY,
        .kind = KIND_DISCONNECT,
        .arg = type,
        .seq = seq ? seq : sta->connect_seq,
    };
    uint8_t data[42] = { 0 };

    if (sta->phase == PHASE_IDLE) {
        return false;
    }
    if (tell) {
        uint8_t deauth[WLAN_HDR + 2];

        mgmt_header(e, deauth, WLAN_DEAUTH);
        put16(deauth + WLAN_HDR, reason);
        send_mgmt(e, deauth, sizeof(deauth));
    }
    memcpy(data, sta->bssid, 6);
    data[6] = sta->ssid_len;
    memcpy(data + 7, sta->ssid, sta->ssid_len);
    put16(data + 40, reason);
    clear_station(e);
    inbox_add(e, &meta, data, sizeof(data));
    return true;
}

void esp_radio_send_auth(struct esp_engine *e, uint16_t transaction)
{
    struct station *sta = &e->s.sta;
    uint8_t frame[WLAN_HDR + 6 + IE_MAX];

    mgmt_header(e, frame, WLAN_AUTH);
    put16(frame + WLAN_HDR, sta->algorithm);
    put16(frame + WLAN_HDR + 2, transaction);
    put16(frame + WLAN_HDR + 4, sta->auth_status);
    memcpy(frame + WLAN_HDR + 6, sta->auth_data, sta->auth_len);
    sta->phase = PHASE_AUTH;
    esp_schedule(e, TIMER_CONNECT, esp_now(e) + PEER_TIMEOUT);
    send_mgmt(e, frame, WLAN_HDR + 6 + (size_t)sta->auth_len);
}

void esp_radio_send_assoc(struct esp_engine *e, bool reassoc)
{
    struct station *sta = &e->s.sta;
    uint8_t frame[WLAN_HDR + 16 + 64 + IE_MAX];
    size_t n = WLAN_HDR;

    mgmt_header(e, frame, reassoc ? WLAN_REASSOC_REQ : WLAN_ASSOC_REQ);
    put16(frame + n, WLAN_CAP_ESS | 0x0420 |
          (sta->secured ? WLAN_CAP_PRIVACY : 0));
    put16(frame + n + 2, 3);
    n += 4;
    if (reassoc) {
        memcpy(frame + n, sta->bssid, 6);
        n += 6;
    }
    frame[n++] = 0;
    frame[n++] = sta->ssid_len;
    memcpy(frame + n, sta->ssid, sta->ssid_len);
    n += sta->ssid_len;
    memcpy(frame + n, "\x01\x08\x82\x84\x8b\x96\x0c\x12\x18\x24", 10);
    n += 10;
    memcpy(frame + n, sta->ie, sta->ie_len);
    n += sta->ie_len;
    sta->phase = PHASE_ASSOC;
    esp_schedule(e, TIMER_CONNECT, esp_now(e) + PEER_TIMEOUT);
    send_mgmt(e, frame, n);
}

void esp_radio_connect_timeout(struct esp_engine *e)
{
    esp_radio_disconnect(e, e->s.sta.phase == PHASE_ASSOC ?
                         REASON_ASSOC_EXPIRED : REASON_AUTH_EXPIRED,
                         false, 0, 0);
}

void esp_radio_beacon_check(struct esp_engine *e)
{
    struct station *sta = &e->s.sta;
    int64_t now = esp_now(e);

    if (!esp_fault(e, FAULT_RADIO_BEACON_LOST, 0, NULL) &&
        esp_air_hears(e, sta->bssid, sta->channel, BEACONS_A_CHECK,
                      &sta->rssi)) {
        sta->last_beacon = now;
    } else if (now - sta->last_beacon >= BEACON_LOSS) {
        esp_count(e, CNT_BEACON_TIMEOUTS);
        esp_radio_disconnect(e, REASON_BEACON_TIMEOUT, false, 0, 0);
        return;
    }
    esp_schedule(e, TIMER_BEACON, now + BEACON_CHECK);
}

/* The access point moves now: the station follows if it can. */
void esp_radio_channel_switch(struct esp_engine *e)
{
    struct station *sta = &e->s.sta;

    if (sta->phase == PHASE_JOINED && sta->next_channel &&
        esp_chip_has_channel(e->cfg.chip, sta->next_channel)) {
        sta->channel = sta->next_channel;
        esp_count(e, CNT_CHANNEL_SWITCHES);
    }
    sta->next_channel = 0;
}

void esp_radio_wifi_start(struct esp_engine *e)
{
    struct volatile_state *s = &e->s;

    s->start_pending = false;
    s->sta_started = true;
    s->ap_started = s->mode == 3;
}

static bool from_peer(const struct esp_engine *e, const struct frame *f)
{
    return e->s.sta.phase != PHASE_IDLE &&
           mac_equal(f->data + 10, e->s.sta.bssid);
}

static void rx_beacon(struct esp_engine *e, const struct frame *f,
                      unsigned subtype)
{
    struct scan *scan = &e->s.scan;

    if (f->len < WLAN_HDR + 12) {
        return;
    }
    if (scan->for_auth && mac_equal(f->data + 16, scan->bssid)) {
        scan->bssid_seen = true;
        scan->channel = f->channel;
        scan->privacy_seen = get16(f->data + WLAN_HDR + 10) &
                             WLAN_CAP_PRIVACY;
        e->s.sta.rssi = f->rssi;
    }
    if (forwards(e, subtype)) {
        esp_event_scan(e, f);
    }
}

static void rx_auth(struct esp_engine *e, const struct frame *f)
{
    struct station *sta = &e->s.sta;
    uint16_t algorithm;
    uint16_t transaction;
    uint16_t status;

    if (f->len < WLAN_HDR + 6) {
        return;
    }
    if (!esp_is_g2(e)) {
        if (forwards(e, WLAN_AUTH)) {
            esp_event_auth(e, f);
        }
    } else if (forwards(e, WLAN_AUTH) && sta->auth_seq && from_peer(e, f)) {
        esp_event_auth(e, f);
        sta->auth_seq = 0;
    }
    if (sta->phase != PHASE_AUTH || !from_peer(e, f)) {
        return;
    }
    algorithm = get16(f->data + WLAN_HDR);
    transaction = get16(f->data + WLAN_HDR + 2);
    status = get16(f->data + WLAN_HDR + 4);
    if (algorithm != 3 && status != 0) {
        esp_radio_disconnect(e, 202, false, 0, 0);
        return;
    }
    /* SAE goes on when the host has answered; so does its timer. */
    if (algorithm == 3 || transaction == 2) {
        sta->phase = PHASE_AUTHED;
        esp_schedule(e, TIMER_CONNECT, esp_now(e) + HOST_TIMEOUT);
    }
}

static void rx_assoc(struct esp_engine *e, const struct frame *f)
{
    struct station *sta = &e->s.sta;
    bool ok;

    if (f->len < WLAN_HDR + 6 || sta->phase != PHASE_ASSOC ||
        !from_peer(e, f)) {
        return;
    }
    ok = get16(f->data + WLAN_HDR + 2) == 0;
    if (forwards(e, f->data[0] >> 4) && (ok || !esp_quirk(e, 10)) &&
        (!esp_is_g2(e) || sta->assoc_seq)) {
        esp_event_assoc(e, f);
    }
    if (!ok) {
        sta->assoc_seq = 0;
        esp_radio_disconnect(e, 203, false, 0, 0);
        return;
    }
    sta->phase = PHASE_JOINED;
    sta->aid = get16(f->data + WLAN_HDR + 4) & 0x3fff;
    sta->connect_seq = sta->assoc_seq;
    sta->assoc_seq = 0;
    sta->last_beacon = esp_now(e);
    esp_cancel(e, TIMER_CONNECT);
    esp_schedule(e, TIMER_BEACON, sta->last_beacon + BEACON_CHECK);
    if (esp_is_g2(e)) {
        sta->authorised = !sta->control_port;
    }
    if (!sta->secured) {
        sta->connected = true;
        sta->associating = false;
    }
}

#define CATEGORY_SA_QUERY       8

/* The library answers an SA query by itself. */
static void rx_action(struct esp_engine *e, const struct frame *f)
{
    uint8_t answer[WLAN_HDR + 4];

    if (f->len < sizeof(answer) || !from_peer(e, f) ||
        e->s.sta.phase != PHASE_JOINED ||
        f->data[WLAN_HDR] != CATEGORY_SA_QUERY || f->data[WLAN_HDR + 1]) {
        esp_count(e, CNT_RADIO_DROP_FILTER);
        return;
    }
    mgmt_header(e, answer, WLAN_ACTION);
    memcpy(answer + WLAN_HDR, f->data + WLAN_HDR, 4);
    answer[WLAN_HDR + 1] = 1;
    send_mgmt(e, answer, sizeof(answer));
}

static bool robust(unsigned subtype)
{
    return subtype == WLAN_DEAUTH || subtype == WLAN_DISASSOC ||
           subtype == WLAN_ACTION;
}

static void rx_mgmt(struct esp_engine *e, const struct frame *f)
{
    unsigned subtype = f->data[0] >> 4;

    esp_count(e, CNT_RADIO_RX_MGMT);
    if (robust(subtype) && !f->arg && esp_station_protected(e)) {
        esp_count(e, CNT_RADIO_DROP_UNPROTECTED);
        return;
    }
    switch (subtype) {
    case WLAN_BEACON:
    case WLAN_PROBE_RESP:
        rx_beacon(e, f, subtype);
        break;
    case WLAN_AUTH:
        rx_auth(e, f);
        break;
    case WLAN_ASSOC_RESP:
    case WLAN_REASSOC_RESP:
        rx_assoc(e, f);
        break;
    case WLAN_DEAUTH:
    case WLAN_DISASSOC:
        if (f->len >= WLAN_HDR + 2 && from_peer(e, f)) {
            esp_radio_disconnect(e, get16(f->data + WLAN_HDR), false, 0, 0);
        }
        break;
    case WLAN_ACTION:
        rx_action(e, f);
        break;
    default:
        esp_count(e, CNT_RADIO_DROP_FILTER);
        break;
    }
}

/* Probe requests never get here: the soft-AP answers them itself. */
static void rx_ap_mgmt(struct esp_engine *e, const struct frame *f)
{
    struct peer *peer = esp_softap_peer(e, f->data + 10);

    esp_count(e, CNT_RADIO_RX_MGMT);
    if (!esp_softap_running(e)) {
        esp_count(e, CNT_RADIO_DROP_FILTER);
        return;
    }
    if (peer && peer->mfp && peer->key.algorithm &&
        robust(f->data[0] >> 4) && !f->arg) {
        esp_count(e, CNT_RADIO_DROP_UNPROTECTED);
        return;
    }
    if (peer) {
        peer->last_heard = esp_now(e);
    }
    esp_event_ap_mgmt(e, f);
}

void esp_radio_mgmt(struct esp_engine *e)
{
    struct queue *q = &e->s.air_mgmt;
    int64_t now = esp_now(e);

    while (q->count && e->frame[esp_queue_peek(q)].due <= now) {
        uint16_t slot;
        struct frame *f;

        /* Events need places, else the Wi-Fi task blocks. */
        if (!esp_producer_room(e, PRIO_HIGH, 1)) {
            return;
        }
        slot = esp_queue_pop(q);
        f = &e->frame[slot];
        switch (f->kind) {
        case KIND_SCAN_DONE:
            if (!f->arg || esp_quirk(e, 6)) {
                esp_event_scan_done(e);
            }
            if (f->arg) {
                esp_command_auth_scanned(e);
            }
            break;
        case KIND_DISCONNECT:
            esp_event_disconnect(e, f);
            break;
        case KIND_TX_STATUS:
            esp_softap_tx_done(e, f);
            break;
        default:
            if (f->if_type == IF_AP) {
                rx_ap_mgmt(e, f);
            } else {
                rx_mgmt(e, f);
            }
            break;
        }
        esp_frame_free(e, slot);
    }
    if (q->count) {
        esp_schedule(e, TIMER_MGMT, e->frame[esp_queue_peek(q)].due);
    }
}

/* Data */

/* Where the Wi-Fi buffer happens to lie: 2.1, 0.1 */
static unsigned data_offset(struct esp_engine *e)
{
    static const uint8_t since[5] = { 1, 0, 6, 0, 0 };

    if (memcmp(e->cfg.fw_version, since, 5) < 0) {
        return HDR_LEN;
    }
    return HDR_LEN + (unsigned)(esp_random(e) & 3);
}

#define EAP_CODE_SUCCESS        3
#define EAP_CODE_FAILURE        4

/*
 * The station looks for the end of an 802.1X authentication: type of the
 * 802.1X packet and code of the EAP packet in it. With FQ-17 it takes the
 * bytes as if there were no Ethernet header, and looks at its own address.
 * What the library makes of it is not known; nothing is sent to the host.
 */
static void sniff_eap(struct esp_engine *e, const uint8_t *eth, size_t len)
{
    size_t type_at = esp_quirk(e, 17) ? 1 : ESP_ETH_MIN + 1;
    size_t code_at = esp_quirk(e, 17) ? 5 : ESP_ETH_MIN + 4;

    if (len <= code_at || eth[type_at] != 0) {
        return;
    }
    if (eth[code_at] == EAP_CODE_SUCCESS) {
        esp_count(e, CNT_EAP_SUCCESS);
    } else if (eth[code_at] == EAP_CODE_FAILURE) {
        esp_count(e, CNT_EAP_FAILURE);
    }
}

static void pass_up(struct esp_engine *e, const struct frame *f, bool eapol)
{
    unsigned offset = eapol ? HDR_LEN : data_offset(e);
    const struct peer *peer;
    size_t skip = 0;
    uint16_t slot;
    uint8_t *p;

    if (eapol && f->if_type == IF_AP && esp_quirk(e, 14)) {
        /* For an authorised peer the library strips the header: 9.2 */
        peer = esp_softap_peer(e, f->data + 6);
        if (peer && peer->authorised) {
            skip = ESP_ETH_MIN;
        }
    }
    p = esp_frame_new(e, &slot, f->if_type, eapol ? PKT_EAPOL : PKT_DATA,
                      offset, f->len - skip);
    if (p) {
        memcpy(p, f->data + skip, f->len - skip);
        esp_frame_send(e, slot, eapol ? PRIO_HIGH : PRIO_LOW);
    }
}

void esp_radio_data(struct esp_engine *e)
{
    struct queue *q = &e->s.air_data;
    struct station *sta = &e->s.sta;
    int64_t now = esp_now(e);

    while (q->count && e->frame[esp_queue_peek(q)].due <= now) {
        struct frame *f = &e->frame[esp_queue_peek(q)];
        bool eapol = esp_is_eapol(f->data, f->len);
        unsigned prio = eapol ? PRIO_HIGH : PRIO_LOW;
        bool ap = f->if_type == IF_AP;

        if (!esp_producer_room(e, prio, 1)) {
            return;
        }
        esp_count(e, CNT_RADIO_RX_DATA);
        if (ap ? !esp_softap_running(e) : sta->phase != PHASE_JOINED) {
            esp_count(e, CNT_RADIO_DROP_LINK);
        } else if (!ap && (eapol ? !mac_equal(f->data + 6, sta->bssid) :
                           !sta->connected)) {
            esp_count(e, CNT_RADIO_DROP_FILTER);
        } else {
            if (eapol && !ap) {
                sniff_eap(e, f->data, f->len);
            }
            pass_up(e, f, eapol);
        }
        esp_frame_free(e, esp_queue_pop(q));
    }
    if (q->count) {
        esp_schedule(e, TIMER_DATA, e->frame[esp_queue_peek(q)].due);
    }
}

bool esp_radio_wants_data(const struct esp_engine *e, const uint8_t *bssid)
{
    return e->s.sta.phase == PHASE_JOINED && mac_equal(e->s.sta.bssid, bssid);
}

int64_t esp_radio_transmit(struct esp_engine *e, uint8_t if_type,
                           bool eapol, const uint8_t *eth, size_t len)
{
    struct station *sta = &e->s.sta;

    if (len < ESP_ETH_MIN || len > ESP_ETH_MAX) {
        esp_count(e, CNT_RX_DROP_ETHERNET);
        return 0;
    }
    if (if_type == IF_AP) {
        if (!esp_softap_running(e)) {
            esp_count(e, CNT_RX_DROP_NO_LINK);
            return 0;
        }
        esp_count(e, CNT_RADIO_TX_DATA);
        esp_air_ap_data(e, NULL, eth, len);
        return esp_radio_airtime(e, len);
    }
    if (!sta->associating && !sta->connected) {
        esp_count(e, CNT_RX_DROP_NO_LINK);
        return 0;
    }
    if (esp_is_g2(e) && !sta->authorised && !eapol) {
        esp_count(e, CNT_RX_DROP_PORT);
        return 0;
    }
    if (sta->phase != PHASE_JOINED) {
        esp_count(e, CNT_RADIO_DROP_LINK);
        return 0;
    }
    esp_count(e, CNT_RADIO_TX_DATA);
    if (!esp_fault(e, FAULT_RADIO_TX_LOST, 0, NULL)) {
        esp_air_data(e, sta->bssid, eth, len);
    }
    return esp_radio_airtime(e, len);
}
