/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Commands of the host and their answers (protocol.md 6, 7 and
 * protocol-g2.md 4). Sizes in comments and tables count from P+0.
 */
#include "esp_private.h"

#define MODE_STA                1
#define MODE_BOTH               3
#define WIFI_START_DELAY        (1 * MS)

#define MASK_SCAN \
    (1u << WLAN_BEACON | 1u << WLAN_PROBE_RESP | \
     1u << WLAN_ASSOC_RESP | 1u << WLAN_REASSOC_RESP)
#define MASK_AUTH \
    (1u << WLAN_ASSOC_RESP | 1u << WLAN_REASSOC_RESP | 1u << WLAN_AUTH | \
     1u << WLAN_DEAUTH | 1u << WLAN_DISASSOC)

/* Answers */

void esp_respond(struct esp_engine *e, const struct request *r,
                 uint8_t status, const void *data, size_t len)
{
    size_t surplus = esp_quirk(e, 3) ? RESPONSE_SURPLUS : 0;
    uint16_t slot;
    uint8_t *p;

    if (r->code == CMD_RAW_TP_TO_HOST || r->code == CMD_RAW_TP_FROM_HOST) {
        surplus = 0;
    }
    p = esp_frame_new(e, &slot, r->if_type, PKT_RESPONSE, HDR_LEN,
                      CMD_HDR + len + surplus);
    if (!p) {
        return;
    }
    p[0] = r->code;
    p[1] = status;
    put16(p + 2, (uint16_t)len);
    if (esp_is_g2(e)) {
        put16(p + 4, r->seq);
    }
    if (len && data) {
        memcpy(p + CMD_HDR, data, len);
    }
    esp_count(e, status == STATUS_OK ?
              CNT_RESPONSES_OK : CNT_RESPONSES_FAILED);
    esp_history_add(e, HIST_RESPONSE, r->code, r->if_type, status, len,
                    esp_is_g2(e) ? r->seq : 0);
    esp_trace(e, ESP_TRACE_RESPONSE, r->code, status, len);
    esp_fault_response(e, slot);
}

void esp_answer(struct esp_engine *e, const struct command *c,
                uint8_t status)
{
    esp_respond(e, &c->req, status, NULL, 0);
}

/* Interface, MAC, mode */

void esp_wifi_start(struct esp_engine *e, uint8_t mode)
{
    e->s.mode = mode;
    if (esp_is_g2(e)) {
        esp_radio_wifi_start(e);
        return;
    }
    /* The flags follow the library's event, after the answer: 7.1 */
    e->s.start_pending = true;
    esp_schedule(e, TIMER_WIFI_START, esp_now(e) + WIFI_START_DELAY);
}

void esp_wifi_stop(struct esp_engine *e)
{
    esp_radio_stop_scan(e);
    esp_softap_stop(e);
    e->s.sta_started = false;
    e->s.ap_started = false;
    e->s.start_pending = false;
    esp_cancel(e, TIMER_WIFI_START);
}

static void cmd_init_if(struct esp_engine *e, const struct command *c)
{
    struct volatile_state *s = &e->s;
    bool ap = c->req.if_type == IF_AP;

    if (c->req.if_type > IF_AP) {
        esp_answer(e, c, STATUS_FAIL);
        return;
    }
    if (esp_quirk(e, 18) && s->loop_created) {
        esp_restart(e, 12);
        return;
    }
    s->loop_created = true;
    if (s->sta_started && (!ap || s->ap_started)) {
        esp_answer(e, c, STATUS_OK);
        return;
    }
    if (esp_quirk(e, 20) || mac_is_zero(s->device_mac)) {
        memcpy(s->device_mac, e->cfg.mac, 6);
    }
    if (ap && !s->sta_started) {
        /* The disconnect in front of it fails while Wi-Fi is stopped. */
        esp_answer(e, c, STATUS_FAIL);
        return;
    }
    if (ap) {
        esp_radio_disconnect(e, REASON_LEAVING, true, 0, 0);
    }
    esp_wifi_start(e, ap ? MODE_BOTH : MODE_STA);
    esp_answer(e, c, STATUS_OK);
}

static void cmd_deinit_if(struct esp_engine *e, const struct command *c)
{
    struct station *sta = &e->s.sta;

    if (esp_is_g2(e)) {
        sta->auth_seq = 0;
        sta->assoc_seq = 0;
        sta->connect_seq = 0;
    }
    if (e->s.sta_started) {
        esp_radio_disconnect(e, REASON_LEAVING, true, 0, 0);
    }
    esp_wifi_stop(e);
    esp_answer(e, c, STATUS_OK);
}

static void cmd_set_mac(struct esp_engine *e, const struct command *c)
{
    const uint8_t *mac = c->p + 8;
    bool ok = !mac_is_group(mac) && !mac_is_zero(mac);

    if (ok || !esp_is_g2(e)) {
        memcpy(e->s.device_mac, mac, 6);
    }
    esp_respond(e, &c->req, ok ? STATUS_OK : STATUS_FAIL, mac, 6);
}

static void cmd_get_mac(struct esp_engine *e, const struct command *c)
{
    esp_respond(e, &c->req, STATUS_OK, e->s.device_mac, 6);
}

static void cmd_set_mode(struct esp_engine *e, const struct command *c)
{
    struct volatile_state *s = &e->s;
    uint16_t asked = get16(c->p + 8);
    uint8_t mode = asked == 2 ? MODE_BOTH : (uint8_t)asked;
    uint8_t data[2];

    put16(data, asked);
    if (asked < 1 || asked > 3) {
        esp_respond(e, &c->req, esp_is_g2(e) ? STATUS_INVALID : STATUS_FAIL,
                    data, 2);
        return;
    }
    if (asked == s->mode && (s->sta_started || esp_quirk(e, 15))) {
        esp_respond(e, &c->req, STATUS_OK, data, 2);
        return;
    }
    esp_radio_disconnect(e, REASON_LEAVING, true, 0, 0);
    esp_wifi_stop(e);
    esp_wifi_start(e, mode);
    esp_respond(e, &c->req, STATUS_OK, data, 2);
}

/* Scan */

static bool connecting(const struct esp_engine *e)
{
    return e->s.sta.phase > PHASE_IDLE && e->s.sta.phase < PHASE_JOINED;
}

static void set_forward(struct esp_engine *e, unsigned mask)
{
    e->s.forward = (uint16_t)(esp_quirk(e, 7) ? mask : e->s.forward | mask);
}

static size_t bounded_strlen(const uint8_t *text, size_t max)
{
    const uint8_t *end = memchr(text, 0, max);

    return end ? (size_t)(end - text) : max;
}

static void cmd_scan(struct esp_engine *e, const struct command *c)
{
    struct volatile_state *s = &e->s;
    uint8_t channel = c->p[49];

    if ((!s->sta_started && !s->ap_started) || connecting(e)) {
        if (esp_is_g2(e)) {
            s->forward = 0;
        }
        esp_answer(e, c, STATUS_FAIL);
        return;
    }
    esp_radio_stop_scan(e);
    set_forward(e, MASK_SCAN);
    memset(s->scan.bssid, 0, 6);
    if (esp_is_g2(e) && !mac_is_group(c->p + 8)) {
        memcpy(s->scan.bssid, c->p + 8, 6);
    }
    s->scan.ssid_len = (uint8_t)bounded_strlen(c->p + 16, ESP_SSID_MAX);
    memcpy(s->scan.ssid, c->p + 16, s->scan.ssid_len);
    esp_radio_start_scan(e, false, channel);
    esp_answer(e, c, STATUS_OK);
}

/* Connection */

static void set_auth_data(struct esp_engine *e, const struct command *c)
{
    struct station *sta = &e->s.sta;
    size_t n = c->p[77];

    sta->auth_status = n >= 4 ? get16(c->p + 82) : 0;
    sta->auth_len = (uint8_t)(n > 4 ? n - 4 : 0);
    memcpy(sta->auth_data, c->p + 84, sta->auth_len);
}

static void cmd_sta_auth(struct esp_engine *e, const struct command *c)
{
    struct volatile_state *s = &e->s;
    struct station *sta = &s->sta;
    const uint8_t *bssid = c->p + 8;
    unsigned n = c->p[77];
    uint8_t transaction = n ? c->p[80] : 0;
    uint8_t algorithm = c->p[15];

    if (esp_is_g2(e) && ((n > 0 && n < 4) || c->len < 80 + (size_t)n)) {
        esp_answer(e, c, STATUS_INVALID);
        return;
    }
    if (!s->sta_started) {
        esp_answer(e, c, STATUS_FAIL);
        return;
    }
    if (transaction == 2) {
        bool auth_state = sta->phase == PHASE_AUTH ||
                          sta->phase == PHASE_AUTHED;
        bool ok = algorithm == 3 && auth_state;

        if (ok) {
            set_auth_data(e, c);
            sta->auth_seq = c->req.seq;
            esp_radio_send_auth(e, 2);
        }
        esp_answer(e, c, ok || !esp_is_g2(e) ? STATUS_OK : STATUS_FAIL);
        return;
    }
    if (connecting(e) && !esp_quirk(e, 8)) {
        if (transaction == 1 && algorithm == 3 &&
            mac_equal(bssid, sta->bssid)) {
            set_auth_data(e, c);
            sta->auth_seq = c->req.seq;
            esp_radio_send_auth(e, 1);
            esp_answer(e, c, STATUS_OK);
        } else {
            esp_answer(e, c, STATUS_BUSY);
        }
        return;
    }
    if (sta->phase == PHASE_JOINED) {
        esp_radio_disconnect(e, REASON_LEAVING, true, 0, 0);
    }
    esp_radio_stop_scan(e);
    esp_cancel(e, TIMER_CONNECT);
    set_auth_data(e, c);
    sta->algorithm = algorithm;
    sta->phase = PHASE_IDLE;
    sta->channel = c->p[14];
    memcpy(sta->bssid, bssid, 6);
    sta->ssid_len = (uint8_t)bounded_strlen(c->p + 16, ESP_SSID_MAX);
    memcpy(sta->ssid, c->p + 16, sta->ssid_len);
    memcpy(s->scan.bssid, bssid, 6);
    s->scan.ssid_len = sta->ssid_len;
    memcpy(s->scan.ssid, sta->ssid, sta->ssid_len);
    s->auth_request = c->req;
    s->auth_request.pending = true;
    s->consumer_waits = true;
    esp_radio_start_scan(e, true, sta->channel);
}

/* The blocking scan of STA_AUTH is over: connect, or say that it failed. */
void esp_command_auth_scanned(struct esp_engine *e)
{
    struct volatile_state *s = &e->s;
    struct station *sta = &s->sta;
    struct request req = s->auth_request;

    if (!req.pending) {
        return;
    }
    s->auth_request.pending = false;
    s->consumer_waits = false;
    set_forward(e, MASK_AUTH);
    if (s->scan.bssid_seen) {
        sta->channel = s->scan.channel;
        sta->secured = s->scan.privacy_seen;
        /* The library takes SAE only where security asks for it. */
        if (!sta->secured || sta->algorithm != 3) {
            sta->algorithm = 0;
            sta->auth_status = 0;
            sta->auth_len = 0;
        }
        sta->associating = true;
        sta->auth_seq = req.seq;
        esp_radio_send_auth(e, 1);
        esp_respond(e, &req, STATUS_OK, NULL, 0);
    } else {
        esp_respond(e, &req, STATUS_FAIL, NULL, 0);
    }
    esp_link_consumer_wake(e);
}

static void cmd_sta_assoc(struct esp_engine *e, const struct command *c)
{
    struct station *sta = &e->s.sta;
    size_t n = c->p[8];
    bool reassoc = esp_is_g2(e) && c->p[9];

    if (esp_is_g2(e) && c->len < 12 + n) {
        esp_answer(e, c, STATUS_INVALID);
        return;
    }
    if (esp_is_g2(e) && sta->phase == PHASE_ASSOC) {
        esp_answer(e, c, STATUS_BUSY);
        return;
    }
    if (sta->phase != PHASE_AUTHED) {
        esp_answer(e, c, esp_quirk(e, 9) ? STATUS_OK : STATUS_FAIL);
        return;
    }
    sta->ie_len = (uint8_t)n;
    memcpy(sta->ie, c->p + 12, n);
    sta->assoc_seq = c->req.seq;
    sta->control_port = esp_is_g2(e) && c->p[10];
    esp_radio_send_assoc(e, reassoc);
    esp_answer(e, c, STATUS_OK);
}

static void cmd_disconnect(struct esp_engine *e, const struct command *c)
{
    bool done;

    if (c->req.if_type != IF_STA) {
        done = esp_softap_disconnect(e, c->p + 10);
        esp_answer(e, c, done || esp_quirk(e, 9) ?
                   STATUS_OK : STATUS_FAIL);
        return;
    }
    if (esp_is_g2(e) && c->p[6]) {
        esp_answer(e, c, STATUS_UNSUPPORTED);
        return;
    }
    done = e->s.sta_started &&
           esp_radio_disconnect(e, get16(c->p + 8), true, 0, c->req.seq);
    esp_answer(e, c, done || esp_quirk(e, 9) ? STATUS_OK : STATUS_FAIL);
}

static void cmd_sta_connect(struct esp_engine *e, const struct command *c)
{
    /* Legacy, driven by the firmware; no host has it: 7.5 */
    esp_answer(e, c, STATUS_FAIL);
}

static void cmd_set_authorized(struct esp_engine *e, const struct command *c)
{
    struct station *sta = &e->s.sta;
    const uint8_t *bssid = c->p + 8;
    bool any = mac_is_zero(bssid) || mac_is_group(bssid);

    if (c->req.if_type != IF_STA || c->p[14] > 1) {
        esp_answer(e, c, STATUS_INVALID);
    } else if (sta->phase == PHASE_IDLE) {
        esp_answer(e, c, STATUS_BUSY);
    } else if ((!any && !mac_equal(bssid, sta->bssid)) ||
               sta->phase != PHASE_JOINED) {
        esp_answer(e, c, STATUS_FAIL);
    } else {
        sta->authorised = c->p[14];
        if (sta->authorised) {
            sta->connected = true;
            sta->associating = false;
        }
        esp_answer(e, c, STATUS_OK);
    }
}

static void cmd_sta_rssi(struct esp_engine *e, const struct command *c)
{
    struct station *sta = &e->s.sta;
    uint8_t rssi;

    if (sta->phase != PHASE_JOINED) {
        if (!esp_quirk(e, 16)) {
            esp_answer(e, c, STATUS_FAIL);
            return;
        }
        rssi = (uint8_t)esp_random(e);
    } else {
        esp_air_find(e, sta->bssid, sta->channel, &sta->rssi);
        rssi = (uint8_t)sta->rssi;
    }
    esp_respond(e, &c->req, STATUS_OK, &rssi, 1);
}

/* Keys */

static struct key *find_key(struct esp_engine *e, const uint8_t *mac,
                            uint32_t index)
{
    struct station *sta = &e->s.sta;
    struct key *free_key = NULL;

    for (unsigned i = 0; i < KEY_SLOTS; i++) {
        struct key *k = &sta->key[i];

        if (k->algorithm && k->index == index &&
            (index || mac_equal(k->mac, mac))) {
            return k;
        }
        if (!k->algorithm && !free_key) {
            free_key = k;
        }
    }
    return free_key;
}

static void cmd_add_key(struct esp_engine *e, const struct command *c)
{
    uint32_t algorithm = get32(c->p + 8);
    uint32_t index = get32(c->p + 12);
    uint32_t len = get32(c->p + 48);
    struct station *sta = &e->s.sta;
    struct key *k;

    if (algorithm == 1 || algorithm == 5 || algorithm == 6) {
        /* WEP comes with STA_AUTH */
        esp_answer(e, c, STATUS_OK);
        return;
    }
    if (len > 32 || get32(c->p + 68) > 10) {
        esp_answer(e, c, esp_is_g2(e) ? STATUS_INVALID : STATUS_FAIL);
        return;
    }
    if (algorithm == 0 || algorithm > 9 || index > 5) {
        esp_answer(e, c, STATUS_FAIL);
        return;
    }
    if (c->req.if_type == IF_AP) {
        esp_answer(e, c, esp_softap_add_key(e, c) ?
                   STATUS_OK : STATUS_FAIL);
        return;
    }
    k = find_key(e, c->p + 52, index);
    if (!k) {
        esp_answer(e, c, STATUS_FAIL);
        return;
    }
    k->algorithm = (uint8_t)algorithm;
    k->index = (uint8_t)index;
    k->len = (uint8_t)len;
    memcpy(k->mac, c->p + 52, 6);
    memcpy(k->material, c->p + 16, 32);
    if (!esp_is_g2(e) && index && algorithm != 7 &&
        sta->phase == PHASE_JOINED) {
        /* The group key ends the library's authentication: 7.8 */
        sta->connected = true;
        sta->associating = false;
    }
    esp_answer(e, c, STATUS_OK);
}

static void cmd_del_key(struct esp_engine *e, const struct command *c)
{
    esp_answer(e, c, c->p[72] ? STATUS_OK : STATUS_FAIL);
}

/* Settings */

static void cmd_accept(struct esp_engine *e, const struct command *c)
{
    esp_answer(e, c, STATUS_OK);
}

static void cmd_set_ip(struct esp_engine *e, const struct command *c)
{
    memcpy(e->s.ip, c->p + 8, 4);
    esp_answer(e, c, STATUS_OK);
}

static void cmd_set_mcast(struct esp_engine *e, const struct command *c)
{
    uint8_t count = c->p[8];

    if (count > 8) {
        if (esp_is_g2(e)) {
            esp_answer(e, c, STATUS_FAIL);
            return;
        }
        count = 8;
    }
    e->s.mcast_count = count;
    memcpy(e->s.mcast, c->p + 9, sizeof(e->s.mcast));
    esp_answer(e, c, STATUS_OK);
}

static void answer_power(struct esp_engine *e, const struct command *c)
{
    uint8_t data[4];

    put32(data, esp_is_g2(e) ? (uint8_t)e->s.tx_power :
          (uint32_t)(int32_t)e->s.tx_power);
    esp_respond(e, &c->req, STATUS_OK, data, 4);
}

static void cmd_set_txpower(struct esp_engine *e, const struct command *c)
{
    int8_t power = (int8_t)c->p[8];

    /* The range of the radio, 2 to 20 dBm in quarters */
    if (power < 8) {
        power = 8;
    } else if (power > 80) {
        power = 80;
    }
    e->s.tx_power = power;
    answer_power(e, c);
}

static void answer_regdom(struct esp_engine *e, const struct command *c)
{
    static const uint8_t destroyed[4];
    struct request req = c->req;

    if (esp_quirk(e, 1)) {
        req.code = CMD_SET_REGDOM;
    }
    esp_respond(e, &req, STATUS_OK,
                esp_quirk(e, 2) ? destroyed : e->s.country, 4);
}

static void cmd_set_regdom(struct esp_engine *e, const struct command *c)
{
    memcpy(e->s.country, c->p + 8, 4);
    answer_regdom(e, c);
}

static void cmd_set_wow(struct esp_engine *e, const struct command *c)
{
    memcpy(e->s.wow, c->p + 9, 4);
    if (c->p[8]) {
        memset(e->s.wow, 1, 4);
    }
    esp_answer(e, c, STATUS_OK);
}

static void cmd_set_time(struct esp_engine *e, const struct command *c)
{
    e->s.time_us = ((uint64_t)get32(c->p + 12) << 32 | get32(c->p + 8)) *
                   1000000 +
                   ((uint64_t)get32(c->p + 20) << 32 | get32(c->p + 16));
    esp_answer(e, c, STATUS_OK);
}

/* Raw throughput */

#define RAW_TP_LEN              1460

static void cmd_raw_tp(struct esp_engine *e, const struct command *c)
{
    e->s.raw_tp = c->req.code;
    e->s.raw_tp_seq = 0;
    e->s.raw_tp_run = c->len >= 12 ? get32(c->p + 8) : 0;
    esp_answer(e, c, STATUS_OK);
    if (c->req.code == CMD_RAW_TP_TO_HOST) {
        esp_schedule(e, TIMER_RAW_TP, esp_now(e));
    }
}

void esp_command_raw_tp(struct esp_engine *e)
{
    uint16_t slot;
    uint8_t *p;

    if (e->s.raw_tp != CMD_RAW_TP_TO_HOST) {
        return;
    }
    while (esp_producer_room(e, PRIO_LOW, 1)) {
        p = esp_frame_new(e, &slot, IF_TEST, PKT_DATA, HDR_LEN, RAW_TP_LEN);
        if (!p) {
            return;
        }
        if (esp_is_g2(e)) {
            put32(p, e->s.raw_tp_seq++);
            put32(p + 4, e->s.raw_tp_run);
        }
        esp_frame_send(e, slot, PRIO_LOW);
    }
}

/* Firmware update */

enum { OTA_NONE, OTA_OPEN, OTA_WRITTEN };

#define IMAGE_MAGIC             0xe9
#define IMAGE_CHIP_ID           12
#define OTA_REBOOT_DELAY        (5 * SEC)

static void cmd_ota_start(struct esp_engine *e, const struct command *c)
{
    e->s.ota = OTA_OPEN;
    e->s.ota_bytes = 0;
    esp_answer(e, c, STATUS_OK);
}

static void cmd_ota_write(struct esp_engine *e, const struct command *c)
{
    size_t n = get16(c->p + 8);
    const uint8_t *image = c->p + 10;
    bool ok = e->s.ota != OTA_NONE;

    if (esp_is_g2(e) && (n == 0 || 10 + n > c->len)) {
        esp_answer(e, c, STATUS_INVALID);
        return;
    }
    if (ok && !e->s.ota_bytes) {
        ok = n >= IMAGE_CHIP_ID + 2 && c->len >= 10 + IMAGE_CHIP_ID + 2 &&
             image[0] == IMAGE_MAGIC &&
             get16(image + IMAGE_CHIP_ID) == esp_chip_id(e->cfg.chip);
    }
    if (!ok) {
        if (esp_is_g2(e)) {
            e->s.ota = OTA_NONE;
        }
        esp_answer(e, c, STATUS_FAIL);
        return;
    }
    e->s.ota = OTA_WRITTEN;
    e->s.ota_bytes += (uint32_t)n;
    esp_answer(e, c, STATUS_OK);
}

static void cmd_ota_end(struct esp_engine *e, const struct command *c)
{
    bool ok = e->s.ota == OTA_WRITTEN &&
              !esp_fault(e, FAULT_OTA_DAMAGED, 0, NULL);

    e->s.ota = OTA_NONE;
    esp_answer(e, c, ok ? STATUS_OK : STATUS_FAIL);
    if (ok) {
        esp_schedule(e, TIMER_RESTART, esp_now(e) + OTA_REBOOT_DELAY);
    }
}

/* Radio services of late G2 */

#define SERVICE_BT              1
#define SERVICE_154             2
#define EXT_CAP_SERVICES        (1u << 14)

static void answer_radio(struct esp_engine *e, const struct command *c,
                         uint8_t status, uint8_t requested, uint8_t flags)
{
    uint8_t data[12] = { requested, e->s.radio_active, flags };

    esp_respond(e, &c->req, status, data, sizeof(data));
}

static void cmd_set_radio(struct esp_engine *e, const struct command *c)
{
    uint8_t asked = c->p[8];
    uint8_t active = e->s.radio_active;

    if (asked > (SERVICE_BT | SERVICE_154)) {
        answer_radio(e, c, STATUS_INVALID, asked, 0);
    } else if ((asked & SERVICE_154) ||
               (asked && !(e->cfg.ext_capabilities & EXT_CAP_SERVICES))) {
        answer_radio(e, c, STATUS_UNSUPPORTED, asked, 0);
    } else {
        e->s.radio_chosen = true;
        e->s.radio_requested = asked;
        e->s.radio_active |= asked;
        answer_radio(e, c, STATUS_OK, asked, (active & ~asked) ? 1 : 0);
    }
}

static void cmd_get_radio(struct esp_engine *e, const struct command *c)
{
    answer_radio(e, c, STATUS_OK, e->s.radio_requested,
                 (e->s.radio_active & ~e->s.radio_requested) ? 1 : 0);
}

/* Dispatch. @min: what firmware that looks demands, @refuse: else this. */
static const struct {
    const char *name;
    void (*run)(struct esp_engine *e, const struct command *c);
    uint8_t min;
    uint8_t refuse;
} commands[CMD_COUNT] = {
    [CMD_INIT_IF] = { "INIT_IF", cmd_init_if, 8, 5 },
    [CMD_SET_MAC] = { "SET_MAC", cmd_set_mac, 16, 1 },
    [CMD_GET_MAC] = { "GET_MAC", cmd_get_mac, 8, 5 },
    [CMD_SCAN] = { "SCAN", cmd_scan, 52, 1 },
    [CMD_STA_CONNECT] = { "STA_CONNECT", cmd_sta_connect, 52, 5 },
    [CMD_DISCONNECT] = { "DISCONNECT", cmd_disconnect, 16, 1 },
    [CMD_DEINIT_IF] = { "DEINIT_IF", cmd_deinit_if, 8, 5 },
    [CMD_ADD_KEY] = { "ADD_KEY", cmd_add_key, 76, 5 },
    [CMD_DEL_KEY] = { "DEL_KEY", cmd_del_key, 76, 5 },
    [CMD_SET_DEFAULT_KEY] = { "SET_DEFAULT_KEY", cmd_accept, 76, 5 },
    [CMD_STA_AUTH] = { "STA_AUTH", cmd_sta_auth, 80, 5 },
    [CMD_STA_ASSOC] = { "STA_ASSOC", cmd_sta_assoc, 12, 5 },
    [CMD_SET_IP] = { "SET_IP", cmd_set_ip, 12, 1 },
    [CMD_SET_MCAST] = { "SET_MCAST", cmd_set_mcast, 57, 1 },
    [CMD_GET_TXPOWER] = { "GET_TXPOWER", answer_power, 8, 5 },
    [CMD_SET_TXPOWER] = { "SET_TXPOWER", cmd_set_txpower, 12, 1 },
    [CMD_GET_REGDOM] = { "GET_REGDOM", answer_regdom, 8, 5 },
    [CMD_SET_REGDOM] = { "SET_REGDOM", cmd_set_regdom, 12, 1 },
    [CMD_RAW_TP_TO_HOST] = { "RAW_TP_TO_HOST", cmd_raw_tp, 8, 5 },
    [CMD_RAW_TP_FROM_HOST] = { "RAW_TP_FROM_HOST", cmd_raw_tp, 8, 5 },
    [CMD_SET_WOW] = { "SET_WOW", cmd_set_wow, 13, 1 },
    [CMD_SET_MODE] = { "SET_MODE", cmd_set_mode, 12, 5 },
    [CMD_SET_IE] = { "SET_IE", esp_softap_set_ie, 12, 5 },
    [CMD_AP_CONFIG] = { "AP_CONFIG", esp_softap_config, 53, 5 },
    [CMD_MGMT_TX] = { "MGMT_TX", esp_softap_mgmt_tx, 28, 5 },
    [CMD_AP_STATION] = { "AP_STATION", esp_softap_station, 124, 1 },
    [CMD_STA_RSSI] = { "STA_RSSI", cmd_sta_rssi, 8, 5 },
    [CMD_SET_TIME] = { "SET_TIME", cmd_set_time, 24, 1 },
    [CMD_OTA_START] = { "OTA_START", cmd_ota_start, 8, 5 },
    [CMD_OTA_WRITE] = { "OTA_WRITE", cmd_ota_write, 10, 5 },
    [CMD_OTA_END] = { "OTA_END", cmd_ota_end, 8, 5 },
    [CMD_SET_AUTHORIZED] = { "STA_SET_AUTHORIZED", cmd_set_authorized,
                             16, 1 },
    [CMD_SET_RADIO] = { "SET_RADIO_SERVICE", cmd_set_radio, 20, 1 },
    [CMD_GET_RADIO] = { "GET_RADIO_SERVICE", cmd_get_radio, 8, 1 },
};

const char *esp_command_name(uint8_t code)
{
    return code < CMD_COUNT && commands[code].name ?
           commands[code].name : "UNKNOWN";
}

void esp_engine_script(struct esp_engine *e, uint8_t code, bool on)
{
    uint8_t bit = (uint8_t)(1u << code % 8);

    if (on) {
        e->p.scripted[code / 8] |= bit;
    } else {
        e->p.scripted[code / 8] &= (uint8_t)~bit;
    }
}

bool esp_engine_scripted(const struct esp_engine *e, uint8_t code)
{
    return e->p.scripted[code / 8] & (1u << code % 8);
}

static bool known(const struct esp_engine *e, uint8_t code)
{
    unsigned count = esp_is_g2(e) ? CMD_COUNT : CMD_SET_AUTHORIZED;

    return code < count && commands[code].run;
}

static unsigned min_length(const struct esp_engine *e, uint8_t code)
{
    /* The frame sits eight bytes lower in the older layout. */
    return code == CMD_MGMT_TX && !esp_is_g2(e) ? 20 : commands[code].min;
}

void esp_command(struct esp_engine *e, const struct header *h,
                 const uint8_t *frame)
{
    /*
     * Handlers may read the fixed part and 255 bytes more wherever the
     * host ended: what lies behind the frame reads as zero.
     */
    uint8_t payload[ESP_TRANSACTION_SIZE + 128];
    struct command c = { .p = payload, .len = h->len };
    uint64_t reason;

    if (h->len < CMD_HDR) {
        esp_count(e, CNT_COMMANDS_SHORT);
    }
    memset(payload, 0, sizeof(payload));
    memcpy(payload, frame + h->offset, h->len);
    c.req.code = payload[0];
    c.req.if_type = h->if_type;
    c.req.seq = get16(payload + 4);
    esp_count(e, CNT_COMMANDS);
    esp_history_add(e, HIST_COMMAND, c.req.code, h->if_type, 0, h->len,
                    c.req.seq);
    esp_trace(e, ESP_TRACE_COMMAND, c.req.code, h->len, c.req.seq);
    if (esp_fault(e, FAULT_CRASH_IN_COMMAND, c.req.code, &reason)) {
        esp_restart(e, (uint32_t)reason);
        return;
    }
    if (esp_fault(e, FAULT_COMMAND_SILENT, c.req.code, NULL)) {
        return;
    }
    if (esp_engine_scripted(e, c.req.code) && e->ops->scripted) {
        esp_count(e, CNT_COMMANDS_SCRIPTED);
        e->ops->scripted(e->opaque, h->if_type, payload, h->len);
        return;
    }

    if (!known(e, c.req.code)) {
        esp_count(e, CNT_COMMANDS_UNKNOWN);
        if (!esp_quirk(e, 11)) {
            esp_answer(e, &c, STATUS_UNSUPPORTED);
        }
        return;
    }
    if (!esp_quirk(e, 19) && h->len < min_length(e, c.req.code)) {
        esp_count(e, CNT_COMMANDS_SHORT);
        if (c.req.code == CMD_MGMT_TX) {
            esp_softap_mgmt_tx_short(e, &c);
        } else {
            esp_answer(e, &c, commands[c.req.code].refuse);
        }
        return;
    }
    commands[c.req.code].run(e, &c);
}
