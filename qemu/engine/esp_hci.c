/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Bluetooth: a small low-energy controller behind the link (protocol.md
 * 9.4, protocol-g2.md 8)
 *
 * Enough for a host to bring an interface up, to advertise, to scan and to
 * see who advertises: the other co-processors of the air and one beacon
 * that is always there. It makes no connections and has no BR/EDR, and
 * says so in its features.
 */
#include "esp_private.h"

enum { H4_COMMAND = 1, H4_ACL, H4_SCO, H4_EVENT, H4_ISO };

#define EVT_COMMAND_COMPLETE    0x0e
#define EVT_COMMAND_STATUS      0x0f
#define EVT_LE_META             0x3e
#define LE_ADVERTISING_REPORT   0x02

#define HCI_OK                  0x00
#define HCI_UNKNOWN_COMMAND     0x01
#define HCI_DISALLOWED          0x0c
#define HCI_INVALID             0x12

#define CAP_BT_SPI              0x40
#define EXT_CAP_SERVICES        (1u << 14)
#define SERVICE_BT              1

#define ADV_INTERVAL            (100 * MS)
#define ADV_SIGNAL              (-50)
#define ADV_NONCONN             3
#define ADV_SCAN_RSP            4

/* Opcodes */
#define OP_DISCONNECT           0x0406
#define OP_SET_EVENT_MASK       0x0c01
#define OP_RESET                0x0c03
#define OP_READ_LE_HOST         0x0c6c
#define OP_WRITE_LE_HOST        0x0c6d
#define OP_READ_VERSION         0x1001
#define OP_READ_COMMANDS        0x1002
#define OP_READ_FEATURES        0x1003
#define OP_READ_BUFFER_SIZE     0x1005
#define OP_READ_BD_ADDR         0x1009
#define OP_LE_EVENT_MASK        0x2001
#define OP_LE_BUFFER_SIZE       0x2002
#define OP_LE_FEATURES          0x2003
#define OP_LE_RANDOM_ADDR       0x2005
#define OP_LE_ADV_PARAM         0x2006
#define OP_LE_ADV_POWER         0x2007
#define OP_LE_ADV_DATA          0x2008
#define OP_LE_SCAN_RSP_DATA     0x2009
#define OP_LE_ADV_ENABLE        0x200a
#define OP_LE_SCAN_PARAM        0x200b
#define OP_LE_SCAN_ENABLE       0x200c
#define OP_LE_CREATE_CONN       0x200d
#define OP_LE_LIST_SIZE         0x200f
#define OP_LE_LIST_CLEAR        0x2010
#define OP_LE_LIST_ADD          0x2011
#define OP_LE_LIST_REMOVE       0x2012
#define OP_LE_RAND              0x2018
#define OP_LE_STATES            0x201c

/* Is there a controller, and is it switched on? */
static bool active(struct esp_engine *e)
{
    struct volatile_state *s = &e->s;

    if (!(e->cfg.capabilities & CAP_BT_SPI)) {
        return false;
    }
    if (!(e->cfg.ext_capabilities & EXT_CAP_SERVICES)) {
        return true;
    }
    if (!s->radio_chosen) {
        /* Nobody chose: the first packet starts it. */
        s->radio_active |= SERVICE_BT;
    }
    return s->radio_active & SERVICE_BT;
}

static void send_event(struct esp_engine *e, const uint8_t *event, size_t len)
{
    uint16_t slot;
    uint8_t *p;

    if (!esp_producer_room(e, PRIO_MID, 1)) {
        esp_count(e, CNT_HCI_DROP_FULL);
        return;
    }
    p = esp_frame_new(e, &slot, IF_HCI, PKT_DATA, HDR_LEN, 1 + len);
    if (!p) {
        return;
    }
    p[0] = H4_EVENT;
    memcpy(p + 1, event, len);
    esp_count(e, CNT_HCI_EVENTS);
    esp_frame_send(e, slot, PRIO_MID);
}

static void complete(struct esp_engine *e, uint16_t opcode, uint8_t status,
                     const uint8_t *data, size_t len)
{
    uint8_t event[80] = { EVT_COMMAND_COMPLETE, (uint8_t)(4 + len), 1 };

    put16(event + 3, opcode);
    event[5] = status;
    if (len) {
        memcpy(event + 6, data, len);
    }
    send_event(e, event, 6 + len);
}

static void command_status(struct esp_engine *e, uint16_t opcode,
                           uint8_t status)
{
    uint8_t event[6] = { EVT_COMMAND_STATUS, 4, status, 1 };

    put16(event + 4, opcode);
    send_event(e, event, sizeof(event));
}

/* Public address: the base MAC plus two, low byte first. */
static void public_address(const struct esp_engine *e, uint8_t *addr)
{
    for (unsigned i = 0; i < 6; i++) {
        addr[i] = e->cfg.mac[5 - i];
    }
    addr[0] = (uint8_t)(addr[0] + 2);
}

/* Supported commands, as octet << 4 | bit */
static void supported_commands(uint8_t *octets)
{
    static const uint16_t list[] = {
        0x056, 0x057, 0x0e3, 0x0e5, 0x0e7, 0x0f1, 0x185, 0x186, 0x190,
        0x191, 0x192, 0x194, 0x195, 0x196, 0x197, 0x1a0, 0x1a1, 0x1a2,
        0x1a3, 0x1a6, 0x1a7, 0x1b0, 0x1b1, 0x1b7, 0x1c3,
    };

    memset(octets, 0, 64);
    for (unsigned i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
        octets[list[i] >> 4] |= (uint8_t)(1u << (list[i] & 7));
    }
}

static void read_command(struct esp_engine *e, uint16_t opcode)
{
    uint8_t data[64] = { 0 };

    switch (opcode) {
    case OP_READ_VERSION:
        /* 4.2, Espressif's company number */
        memcpy(data, "\x08\x00\x00\x08\xe5\x02\x00\x00", 8);
        complete(e, opcode, HCI_OK, data, 8);
        break;
    case OP_READ_COMMANDS:
        supported_commands(data);
        complete(e, opcode, HCI_OK, data, 64);
        break;
    case OP_READ_FEATURES:
        /* No BR/EDR, low energy */
        data[4] = 0x60;
        complete(e, opcode, HCI_OK, data, 8);
        break;
    case OP_READ_BUFFER_SIZE:
        complete(e, opcode, HCI_OK, data, 7);
        break;
    case OP_READ_BD_ADDR:
        public_address(e, data);
        complete(e, opcode, HCI_OK, data, 6);
        break;
    case OP_READ_LE_HOST:
        data[0] = 1;
        complete(e, opcode, HCI_OK, data, 2);
        break;
    case OP_LE_BUFFER_SIZE:
        put16(data, 251);
        data[2] = 12;
        complete(e, opcode, HCI_OK, data, 3);
        break;
    case OP_LE_ADV_POWER:
        data[0] = 9;
        complete(e, opcode, HCI_OK, data, 1);
        break;
    case OP_LE_LIST_SIZE:
        data[0] = 12;
        complete(e, opcode, HCI_OK, data, 1);
        break;
    case OP_LE_RAND:
        put64(data, esp_random(e));
        complete(e, opcode, HCI_OK, data, 8);
        break;
    case OP_LE_STATES:
        /* Advertising and scanning, each alone */
        put32(data, 0x37);
        complete(e, opcode, HCI_OK, data, 8);
        break;
    default:
        complete(e, opcode, HCI_OK, data, 8);
        break;
    }
}

static bool set_data(uint8_t *len, uint8_t *data, const uint8_t *p,
                     uint8_t n)
{
    if (n < 32 || p[0] > 31) {
        return false;
    }
    *len = p[0];
    memcpy(data, p + 1, 31);
    return true;
}

static bool write_command(struct esp_engine *e, uint16_t opcode,
                          const uint8_t *p, uint8_t n)
{
    struct hci *hci = &e->s.hci;

    switch (opcode) {
    case OP_LE_RANDOM_ADDR:
        memcpy(hci->random, p, 6);
        return n >= 6;
    case OP_LE_ADV_PARAM:
        hci->adv_type = p[4];
        hci->adv_own_type = p[5];
        return n >= 15 && p[4] <= 4;
    case OP_LE_ADV_DATA:
        return set_data(&hci->adv_len, hci->adv, p, n);
    case OP_LE_SCAN_RSP_DATA:
        return set_data(&hci->rsp_len, hci->rsp, p, n);
    case OP_LE_ADV_ENABLE:
        hci->advertising = p[0];
        return n >= 1;
    case OP_LE_SCAN_PARAM:
        hci->scan_active = p[0];
        return n >= 7;
    case OP_LE_SCAN_ENABLE:
        if (n < 2) {
            return false;
        }
        hci->scanning = p[0];
        hci->filter = p[1];
        hci->seen = 0;
        if (hci->scanning) {
            esp_schedule(e, TIMER_HCI, esp_now(e) + ADV_INTERVAL);
        } else {
            esp_cancel(e, TIMER_HCI);
        }
        return true;
    default:
        return true;
    }
}

static void command(struct esp_engine *e, const uint8_t *p, size_t len)
{
    uint8_t params[255] = { 0 };
    uint16_t opcode;

    if (len < 3 || len < 3 + (size_t)p[2]) {
        esp_count(e, CNT_HCI_DROP_INVALID);
        return;
    }
    opcode = get16(p);
    memcpy(params, p + 3, p[2]);
    esp_count(e, CNT_HCI_COMMANDS);
    switch (opcode) {
    case OP_RESET:
        memset(&e->s.hci, 0, sizeof(e->s.hci));
        esp_cancel(e, TIMER_HCI);
        complete(e, opcode, HCI_OK, NULL, 0);
        break;
    case OP_READ_VERSION:
    case OP_READ_COMMANDS:
    case OP_READ_FEATURES:
    case OP_READ_BUFFER_SIZE:
    case OP_READ_BD_ADDR:
    case OP_READ_LE_HOST:
    case OP_LE_BUFFER_SIZE:
    case OP_LE_FEATURES:
    case OP_LE_ADV_POWER:
    case OP_LE_LIST_SIZE:
    case OP_LE_RAND:
    case OP_LE_STATES:
        read_command(e, opcode);
        break;
    case OP_SET_EVENT_MASK:
    case OP_WRITE_LE_HOST:
    case OP_LE_EVENT_MASK:
    case OP_LE_RANDOM_ADDR:
    case OP_LE_ADV_PARAM:
    case OP_LE_ADV_DATA:
    case OP_LE_SCAN_RSP_DATA:
    case OP_LE_ADV_ENABLE:
    case OP_LE_SCAN_PARAM:
    case OP_LE_SCAN_ENABLE:
    case OP_LE_LIST_CLEAR:
    case OP_LE_LIST_ADD:
    case OP_LE_LIST_REMOVE:
        complete(e, opcode, write_command(e, opcode, params, p[2]) ?
                 HCI_OK : HCI_INVALID, NULL, 0);
        break;
    case OP_LE_CREATE_CONN:
    case OP_DISCONNECT:
        command_status(e, opcode, HCI_DISALLOWED);
        break;
    default:
        complete(e, opcode, HCI_UNKNOWN_COMMAND, NULL, 0);
        break;
    }
}

/* @type: the byte in front of the payload */
void esp_hci_receive(struct esp_engine *e, uint8_t type, const uint8_t *p,
                     size_t len)
{
    if (!active(e)) {
        esp_count(e, CNT_HCI_DROP_INACTIVE);
    } else if (type == H4_COMMAND) {
        command(e, p, len);
    } else {
        /* Data needs a connection, and there is none. */
        esp_count(e, CNT_HCI_DROP_INVALID);
    }
}

static void report(struct esp_engine *e, uint8_t event_type,
                   uint8_t addr_type, const uint8_t *addr,
                   const uint8_t *data, uint8_t len)
{
    uint8_t event[48] = {
        EVT_LE_META, (uint8_t)(12 + len), LE_ADVERTISING_REPORT, 1,
        event_type, addr_type,
    };

    memcpy(event + 6, addr, 6);
    event[12] = len;
    memcpy(event + 13, data, len);
    event[13 + len] = (uint8_t)ADV_SIGNAL;
    send_event(e, event, 14 + (size_t)len);
}

/* True when this advertiser is to be reported (again). */
static bool wanted(struct hci *hci, unsigned who)
{
    uint32_t bit = UINT32_C(1) << who;
    bool again = !hci->filter || !(hci->seen & bit);

    hci->seen |= bit;
    return again;
}

void esp_hci_timer(struct esp_engine *e)
{
    static const uint8_t beacon_addr[6] = { 1, 0, 0, 0xef, 0xbe, 0xc0 };
    static const uint8_t beacon[] = {
        2, 1, 6, 11, 9, 'e', 's', 'p', '-', 'b', 'e', 'a', 'c', 'o', 'n',
    };
    struct hci *hci = &e->s.hci;

    if (!hci->scanning) {
        return;
    }
    for (unsigned i = 0; i < ESP_AIR_MAX_RADIOS; i++) {
        struct esp_engine *r = e->air->radio[i];
        uint8_t addr[6];

        if (!r || r == e || !r->s.hci.advertising || !wanted(hci, i)) {
            continue;
        }
        if (r->s.hci.adv_own_type & 1) {
            memcpy(addr, r->s.hci.random, 6);
        } else {
            public_address(r, addr);
        }
        report(e, r->s.hci.adv_type, r->s.hci.adv_own_type & 1, addr,
               r->s.hci.adv, r->s.hci.adv_len);
        if (hci->scan_active && r->s.hci.adv_type != ADV_NONCONN) {
            report(e, ADV_SCAN_RSP, r->s.hci.adv_own_type & 1, addr,
                   r->s.hci.rsp, r->s.hci.rsp_len);
        }
    }
    if (wanted(hci, ESP_AIR_MAX_RADIOS)) {
        report(e, ADV_NONCONN, 1, beacon_addr, beacon, sizeof(beacon));
    }
    esp_schedule(e, TIMER_HCI, esp_now(e) + ADV_INTERVAL);
}
