-- SPDX-License-Identifier: MIT
--
-- ESP-Hosted-NG frames in Wireshark and tshark: header, commands, responses, events, boot event of both
-- generations of the firmware. What is inside goes to Wireshark's own dissectors: Ethernet, 802.11, HCI.
--
--   wireshark -X lua_script:tools/wireshark/esp_hosted.lua esp0.pcapng
--
-- or put it into the plugin directory (Help, About, Folders). Takes the link type USER0.
-- Field names for filters begin with "esp_hosted."; "esp_hosted.expert" finds what is wrong.

local proto = Proto("esp_hosted", "ESP-Hosted-NG")

local HEADER = 12
local TRANSACTION = 1600

local IF_STA, IF_AP, IF_HCI, IF_INTERNAL, IF_TEST, IF_RCP = 0, 1, 2, 3, 4, 5
local DATA, COMMAND, RESPONSE, EVENT, EAPOL = 0, 1, 2, 3, 4
local G1, G2 = 1, 2
-- Marks a MGMT_TX of the second generation, in byte 6 of the command header.
local MARKED = 0xa5

local if_names = {
    [0] = "station", [1] = "access point", [2] = "HCI", [3] = "internal", [4] = "test", [5] = "802.15.4",
    [15] = "filler",
}
local packet_names = {
    [0] = "data", [1] = "command", [2] = "response", [3] = "event", [4] = "EAPOL", [5] = "802.15.4 session",
}
local command_names = {
    [1] = "INIT_IF", [2] = "SET_MAC", [3] = "GET_MAC", [4] = "SCAN", [5] = "STA_CONNECT", [6] = "DISCONNECT",
    [7] = "DEINIT_IF", [8] = "ADD_KEY", [9] = "DEL_KEY", [10] = "SET_DEFAULT_KEY", [11] = "STA_AUTH",
    [12] = "STA_ASSOC", [13] = "SET_IP", [14] = "SET_MCAST", [15] = "GET_TXPOWER", [16] = "SET_TXPOWER",
    [17] = "GET_REGDOM", [18] = "SET_REGDOM", [19] = "RAW_TP_ESP_TO_HOST", [20] = "RAW_TP_HOST_TO_ESP",
    [21] = "SET_WOW", [22] = "SET_MODE", [23] = "SET_IE", [24] = "AP_CONFIG", [25] = "MGMT_TX",
    [26] = "AP_STATION", [27] = "STA_RSSI", [28] = "SET_TIME", [29] = "OTA_START", [30] = "OTA_WRITE",
    [31] = "OTA_END", [32] = "STA_SET_AUTHORIZED", [33] = "SET_RADIO_SERVICE", [34] = "GET_RADIO_SERVICE",
}
local status_names = {
    [0] = "pending", [1] = "failed", [2] = "success", [3] = "busy", [4] = "unsupported", [5] = "invalid",
}
local event_names = {
    [1] = "SCAN", [2] = "STA_CONNECT", [3] = "STA_DISCONNECT", [4] = "AUTH_RX", [5] = "ASSOC_RX",
    [6] = "AP_MGMT_RX", [7] = "MGMT_TX_STATUS",
}
local tlv_names = {
    [0] = "capabilities", [1] = "firmware", [2] = "SPI clock", [3] = "chip", [4] = "raw throughput",
    [5] = "receive buffer", [6] = "extended capabilities", [7] = "802.15.4 nonce",
}
local chip_names = {
    [0x00] = "ESP32", [0x02] = "ESP32-S2", [0x05] = "ESP32-C3", [0x09] = "ESP32-S3", [0x0c] = "ESP32-C2",
    [0x0d] = "ESP32-C6", [0x14] = "ESP32-C61", [0x17] = "ESP32-C5", [0x20] = "ESP32-S31",
}
local reset_names = {
    [1] = "power-on", [3] = "software", [5] = "deep sleep", [7] = "watchdog", [8] = "watchdog",
    [12] = "CPU software", [15] = "brown-out", [16] = "RTC watchdog",
}
local algorithm_names = {
    [0] = "none", [1] = "WEP40", [2] = "TKIP", [3] = "CCMP", [4] = "SMS4", [5] = "WEP104", [6] = "WEP",
    [7] = "BIP-CMAC", [8] = "PMK", [9] = "GCMP",
}
local auth_names = { [0] = "open", [1] = "shared key", [2] = "fast transition", [3] = "SAE" }
local mode_names = { [1] = "station", [2] = "access point", [3] = "access point and station" }
local ie_names = {
    [0] = "beacon", [1] = "probe response", [2] = "association response", [3] = "RSN", [4] = "beacon head",
    [5] = "beacon tail",
}
local station_names = { [0] = "add", [1] = "change", [2] = "delete" }
local disconnect_names = { [0] = "deauthenticate", [1] = "disassociate", [2] = "local" }
local reason_names = {
    [200] = "beacon timeout", [201] = "access point not found", [202] = "authentication failed",
    [203] = "association failed", [204] = "handshake timeout", [205] = "connection failed",
}
local h4_names = { [1] = "command", [2] = "ACL data", [3] = "SCO data", [4] = "event", [5] = "ISO data" }

-- Fields

local f = {}

local function field(kind, name, title, ...)
    f[name] = ProtoField[kind]("esp_hosted." .. name, title, ...)
end

field("uint8", "if_type", "Interface type", base.DEC, if_names, 0x0f)
field("uint8", "if_num", "Interface number", base.DEC, nil, 0xf0)
field("uint8", "flags", "Flags", base.HEX)
field("uint8", "packet_type", "Packet type", base.DEC, packet_names)
field("uint8", "reserved", "Reserved", base.HEX)
field("uint16", "len", "Payload length", base.DEC)
field("uint16", "offset", "Payload offset", base.DEC)
field("uint16", "checksum", "Checksum", base.HEX)
field("uint8", "hci_type", "HCI packet type", base.DEC, h4_names)
field("bytes", "padding", "Padding")
field("bytes", "payload", "Payload")
field("bytes", "trailer", "Trailing bytes")
field("uint8", "generation", "Generation", base.DEC)

field("uint8", "command", "Command", base.DEC, command_names)
field("uint8", "response", "Response", base.DEC, command_names)
field("uint8", "status", "Status", base.DEC, status_names)
field("uint16", "data_len", "Data length", base.DEC)
field("uint16", "seq", "Sequence", base.DEC)
field("uint8", "cmd_flags", "Byte 6", base.HEX)
field("uint8", "cmd_reserved", "Byte 7", base.HEX)

field("uint8", "event", "Event", base.DEC, event_names)
field("uint8", "event_status", "Status", base.DEC)
field("uint16", "event_len", "Event length", base.DEC)

field("ether", "mac", "MAC address")
field("ether", "bssid", "BSSID")
field("string", "ssid", "SSID")
field("uint8", "ssid_len", "SSID length", base.DEC)
field("uint8", "channel", "Channel", base.DEC)
field("uint16", "duration", "Duration", base.DEC)
field("int32", "rssi", "Signal", base.DEC)
field("int8", "rssi8", "Signal", base.DEC)
field("int32", "noise", "Noise", base.DEC)
field("uint64", "tsf", "TSF", base.DEC)
field("uint16", "reason", "Reason", base.DEC, reason_names)
field("uint8", "subtype", "Frame subtype", base.DEC)
field("uint32", "frame_len", "802.11 length", base.DEC)
field("uint16", "capability_info", "Capability information", base.HEX)
field("uint16", "beacon_interval", "Beacon interval", base.DEC)
field("uint64", "timestamp", "Timestamp", base.DEC)

field("uint32", "key_algorithm", "Algorithm", base.DEC, algorithm_names)
field("uint32", "key_index", "Key index", base.DEC)
field("bytes", "key", "Key")
field("uint32", "key_len", "Key length", base.DEC)
field("bytes", "key_seq", "Sequence counter")
field("uint32", "key_seq_len", "Sequence counter length", base.DEC)
field("bool", "key_delete", "Delete", base.NONE)
field("bool", "key_current", "Set current", base.NONE)

field("uint8", "auth_algorithm", "Authentication algorithm", base.DEC, auth_names)
field("uint8", "auth_len", "Authentication data length", base.DEC)
field("bytes", "auth_data", "Authentication data")
field("uint16", "auth_transaction", "Transaction", base.DEC)
field("uint16", "auth_status", "802.11 status", base.DEC)
field("uint8", "wep_len", "WEP key length", base.DEC)
field("uint8", "ie_len", "Elements length", base.DEC)
field("bool", "reassociation", "Reassociation", base.NONE)
field("bool", "control_port", "Control port", base.NONE)
field("bytes", "elements", "Elements")
field("uint8", "element", "Element", base.DEC)
field("uint16", "connect_flags", "Flags", base.HEX)
field("bool", "open", "Open network", base.NONE)

field("uint16", "mode", "Mode", base.DEC, mode_names)
field("uint8", "ie_type", "Elements for", base.DEC, ie_names)
field("uint16", "ie_data_len", "Elements length", base.DEC)
field("uint8", "disconnect_type", "Disconnect type", base.DEC, disconnect_names)
field("ipv4", "ip", "IPv4 address")
field("uint8", "mcast_count", "Addresses", base.DEC)
field("uint32", "txpower", "Transmit power (0.25 dBm)", base.DEC)
field("string", "country", "Country")
field("uint32", "run", "Run", base.DEC)
field("bool", "wow_any", "Wake on anything", base.NONE)
field("bool", "wow_disconnect", "Wake on disconnect", base.NONE)
field("bool", "wow_magic", "Wake on magic packet", base.NONE)
field("bool", "wow_4way", "Wake on 4-way handshake", base.NONE)
field("bool", "wow_eap", "Wake on EAP identity", base.NONE)
field("uint8", "ap_auth", "Authentication mode", base.DEC)
field("bool", "hidden", "Hidden SSID", base.NONE)
field("uint8", "ap_max", "Most stations", base.DEC)
field("uint8", "ap_cipher", "Pairwise cipher", base.DEC)
field("uint8", "ap_pmf", "Management frame protection", base.DEC)
field("uint8", "ap_h2e", "SAE hash-to-element", base.DEC)
field("uint16", "inactivity", "Inactivity timeout (s)", base.DEC)
field("bool", "privacy", "Privacy", base.NONE)
field("uint8", "offchannel", "Off-channel", base.DEC)
field("uint32", "wait", "Wait", base.DEC)
field("bool", "no_cck", "No CCK", base.NONE)
field("bool", "no_ack_wait", "Do not wait for the acknowledgement", base.NONE)
field("uint64", "tx_id", "Transmission", base.HEX)
field("bool", "acked", "Acknowledged", base.NONE)
field("uint16", "station_op", "Operation", base.DEC, station_names)
field("uint32", "station_mask", "Flags mask", base.HEX)
field("uint32", "station_set", "Flags", base.HEX)
field("bool", "station_authorized", "Authorised", 32, nil, 0x02)
field("uint32", "station_modify", "Modify mask", base.HEX)
field("int32", "listen_interval", "Listen interval", base.DEC)
field("uint16", "aid", "Association id", base.DEC)
field("bytes", "ext_capab", "Extended capabilities")
field("uint64", "seconds", "Seconds", base.DEC)
field("uint64", "microseconds", "Microseconds", base.DEC)
field("uint16", "ota_len", "Image bytes", base.DEC)
field("bytes", "ota_data", "Image")
field("bool", "authorized", "Authorised", base.NONE)
field("uint8", "radio_requested", "Radios requested", base.HEX)
field("uint8", "radio_active", "Radios active", base.HEX)
field("bool", "radio_restart", "Restart required", 8, nil, 0x01)
field("uint64", "radio_nonce", "802.15.4 nonce", base.HEX)
field("uint32", "test_seq", "Test sequence", base.DEC)

field("uint8", "tlv_total", "TLV bytes", base.DEC)
field("uint8", "tlv", "Type", base.DEC, tlv_names)
field("uint8", "tlv_len", "Length", base.DEC)
field("bytes", "tlv_value", "Value")
field("uint8", "chip", "Chip", base.HEX, chip_names)
field("uint8", "clock", "SPI clock (MHz)", base.DEC)
field("uint32", "capabilities", "Capabilities", base.HEX)
field("uint32", "ext_capabilities", "Extended capabilities", base.HEX)
field("string", "project", "Project")
field("string", "fw_version", "Firmware version")
field("uint32", "reset_reason", "Reset reason", base.DEC, reset_names)
field("uint32", "rx_buffer", "Receive buffer", base.DEC)

local capability_bits = {
    { "sdio", "WLAN over SDIO" }, { "bt_uart", "Bluetooth over UART" }, { "bt_sdio", "Bluetooth over SDIO" },
    { "ble", "BLE" }, { "bredr", "BR/EDR" }, { "spi", "WLAN over SPI" }, { "bt_spi", "Bluetooth over SPI" },
    { "checksum", "Checksum" }, { "gcmp", "GCMP" }, { "usb", "WLAN over USB" },
    { "bt_usb", "Bluetooth over USB" },
}
for bit, names in ipairs(capability_bits) do
    field("bool", "cap_" .. names[1], names[2], 32, nil, 2 ^ (bit - 1))
end

-- What is wrong

local e = {
    checksum = { "Bad checksum", expert.group.CHECKSUM, expert.severity.ERROR },
    length = { "Bad length", expert.group.MALFORMED, expert.severity.ERROR },
    offset = { "Bad offset", expert.group.MALFORMED, expert.severity.ERROR },
    if_type = { "Unknown interface type", expert.group.PROTOCOL, expert.severity.ERROR },
    if_num = { "Interface number is not 0", expert.group.PROTOCOL, expert.severity.WARN },
    packet_type = { "Unknown packet type", expert.group.PROTOCOL, expert.severity.ERROR },
    command = { "Unknown command", expert.group.PROTOCOL, expert.severity.WARN },
    event = { "Unknown event", expert.group.PROTOCOL, expert.severity.WARN },
    status = { "Command failed", expert.group.RESPONSE_CODE, expert.severity.NOTE },
    tlv = { "Malformed TLV", expert.group.MALFORMED, expert.severity.ERROR },
    boot = { "The firmware has started", expert.group.SEQUENCE, expert.severity.CHAT },
}
local experts = {}
for name, entry in pairs(e) do
    e[name] = ProtoExpert.new("esp_hosted.expert." .. name, entry[1], entry[2], entry[3])
    experts[#experts + 1] = e[name]
end

local fields = {}
for _, one in pairs(f) do
    fields[#fields + 1] = one
end
proto.fields = fields
proto.experts = experts

proto.prefs.generation = Pref.enum(
    "Generation", 0, "Wire format: automatic by boot event, sequence numbers and event lengths",
    { { 1, "automatic", 0 }, { 2, "G1 (to NG 1.0.6.0.6)", G1 }, { 3, "G2 (from NG 1.0.6.0.7)", G2 } }, false)

-- The generation in force, by frame number: a boot event or an answer with a sequence tells it.
local learnt = {}

function proto.init()
    learnt = {}
end

local function learn(pinfo, generation)
    learnt[#learnt + 1] = { number = pinfo.number, generation = generation }
end

local function generation_of(pinfo)
    if proto.prefs.generation ~= 0 then
        return proto.prefs.generation
    end
    local latest, found = 0, nil
    for _, entry in ipairs(learnt) do
        if entry.number <= pinfo.number and entry.number >= latest then
            latest, found = entry.number, entry.generation
        end
    end
    return found
end

-- Small helpers. All of them leave out what is not there.

local function has(tvb, position, length)
    return position + length <= tvb:len()
end

local function add(tree, name, tvb, position, length)
    if has(tvb, position, length) then
        return tree:add_le(f[name], tvb(position, length))
    end
end

-- Up to the first zero byte, or all of it.
local function text_of(tvb, position, length)
    local bytes = tvb:bytes(position, length)
    for i = 0, length - 1 do
        if bytes:get_index(i) == 0 then
            length = i
            break
        end
    end
    return length > 0 and tvb(position, length):string() or ""
end

local function add_text(tree, name, tvb, position, length)
    if has(tvb, position, length) then
        return tree:add(f[name], tvb(position, length), text_of(tvb, position, length))
    end
end

local function add_bytes(tree, name, tvb, position, length)
    if length > 0 and has(tvb, position, length) then
        return tree:add(f[name], tvb(position, length))
    end
end

local function need(tvb, tree, length)
    if tvb:len() < length then
        tree:add_proto_expert_info(e.length, "only " .. tvb:len() .. " of " .. length .. " bytes")
        return false
    end
    return true
end

local function call(name, tvb, pinfo, tree)
    local dissector = Dissector.get(name)
    if tvb:len() > 0 and dissector then
        -- The name stays ours. Returns what the dissector would show about the packet.
        local protocol = tostring(pinfo.cols.protocol)
        -- It reports what it cannot read in the tree, and then to us as well.
        pcall(dissector.call, dissector, tvb:tvb(), pinfo, tree)
        pinfo.cols.protocol = protocol
        return tostring(pinfo.cols.info)
    end
end

-- A complete 802.11 frame of @claimed bytes at @position.
local function frame_80211(tvb, pinfo, tree, root, position, claimed)
    local left = math.max(tvb:len() - position, 0)
    if claimed > left then
        tree:add_proto_expert_info(e.length, "802.11 length " .. claimed .. ", but " .. left .. " bytes")
        claimed = left
    end
    if claimed > 0 then
        call("wlan_withoutfcs", tvb(position, claimed), pinfo, root)
    end
end

-- Elements without a frame around them.
local function elements(tvb, tree, position, length)
    if length <= 0 or not has(tvb, position, length) then
        return
    end
    local inner = tree:add(f.elements, tvb(position, length))
    local last = position + length
    while position + 2 <= last do
        local size = 2 + tvb(position + 1, 1):uint()
        if position + size > last then
            inner:add_proto_expert_info(e.length, "an element goes past the end")
            return
        end
        inner:add(f.element, tvb(position, size), tvb(position, 1):uint())
            :append_text(", " .. size - 2 .. " bytes")
        position = position + size
    end
end

-- Commands: what follows the 8-byte header

local request, result = {}, {}

local function body_mac(tvb, tree)
    add(tree, "mac", tvb, 8, 6)
end

request[2] = body_mac
result[2] = body_mac
result[3] = body_mac

request[4] = function(tvb, tree)
    add(tree, "bssid", tvb, 8, 6)
    add(tree, "duration", tvb, 14, 2)
    add_text(tree, "ssid", tvb, 16, 33)
    add(tree, "channel", tvb, 49, 1)
end

request[5] = function(tvb, tree)
    add(tree, "bssid", tvb, 8, 6)
    add(tree, "connect_flags", tvb, 14, 2)
    add_text(tree, "ssid", tvb, 16, 33)
    add(tree, "channel", tvb, 49, 1)
    add(tree, "open", tvb, 50, 1)
    add(tree, "ie_len", tvb, 51, 1)
    elements(tvb, tree, 52, tvb:len() - 52)
end

request[6] = function(tvb, tree)
    add(tree, "reason", tvb, 8, 2)
    add(tree, "mac", tvb, 10, 6)
end

local function body_key(tvb, tree)
    add(tree, "key_algorithm", tvb, 8, 4)
    add(tree, "key_index", tvb, 12, 4)
    add_bytes(tree, "key", tvb, 16, 32)
    add(tree, "key_len", tvb, 48, 4)
    add(tree, "mac", tvb, 52, 6)
    add_bytes(tree, "key_seq", tvb, 58, 10)
    add(tree, "key_seq_len", tvb, 68, 4)
    add(tree, "key_delete", tvb, 72, 1)
    add(tree, "key_current", tvb, 73, 1)
end

request[8] = body_key
request[9] = body_key
request[10] = body_key

request[11] = function(tvb, tree)
    add(tree, "bssid", tvb, 8, 6)
    add(tree, "channel", tvb, 14, 1)
    add(tree, "auth_algorithm", tvb, 15, 1)
    add_text(tree, "ssid", tvb, 16, 33)
    add(tree, "wep_len", tvb, 49, 1)
    add(tree, "auth_len", tvb, 77, 1)
    local length = tvb(77, 1):uint()
    if length > tvb:len() - 80 then
        tree:add_proto_expert_info(e.length, "authentication data goes past the end")
    elseif length >= 4 then
        local data = tree:add(f.auth_data, tvb(80, length))
        add(data, "auth_transaction", tvb, 80, 2)
        add(data, "auth_status", tvb, 82, 2)
    end
end

request[12] = function(tvb, tree, generation)
    add(tree, "ie_len", tvb, 8, 1)
    if generation ~= G1 then
        add(tree, "reassociation", tvb, 9, 1)
        add(tree, "control_port", tvb, 10, 1)
    end
    local length = tvb(8, 1):uint()
    if length > tvb:len() - 12 then
        tree:add_proto_expert_info(e.length, "the elements go past the end")
    else
        elements(tvb, tree, 12, length)
    end
end

request[13] = function(tvb, tree)
    -- In network order whatever the rest is.
    tree:add(f.ip, tvb(8, 4))
end

request[14] = function(tvb, tree)
    add(tree, "mcast_count", tvb, 8, 1)
    for i = 0, math.min(tvb(8, 1):uint(), 8) - 1 do
        add(tree, "mac", tvb, 9 + 6 * i, 6)
    end
end

local function body_power(tvb, tree)
    add(tree, "txpower", tvb, 8, 4)
end

request[16] = body_power
result[15] = body_power
result[16] = body_power

local function body_country(tvb, tree)
    add_text(tree, "country", tvb, 8, 4)
end

request[18] = body_country
result[17] = body_country
result[18] = body_country

local function body_run(tvb, tree)
    add(tree, "run", tvb, 8, 4)
end

request[19] = body_run
request[20] = body_run

request[21] = function(tvb, tree)
    add(tree, "wow_any", tvb, 8, 1)
    add(tree, "wow_disconnect", tvb, 9, 1)
    add(tree, "wow_magic", tvb, 10, 1)
    add(tree, "wow_4way", tvb, 11, 1)
    add(tree, "wow_eap", tvb, 12, 1)
end

local function body_mode(tvb, tree)
    add(tree, "mode", tvb, 8, 2)
end

request[22] = body_mode
result[22] = body_mode

request[23] = function(tvb, tree)
    add(tree, "ie_type", tvb, 8, 1)
    add(tree, "ie_data_len", tvb, 10, 2)
    local kind, length = tvb(8, 1):uint(), tvb(10, 2):le_uint()
    if length > tvb:len() - 12 then
        tree:add_proto_expert_info(e.length, "the elements go past the end")
    elseif kind == 4 and length >= 2 then
        add(tree, "capability_info", tvb, 12, 2)
        elements(tvb, tree, 14, length - 2)
    else
        elements(tvb, tree, 12, length)
    end
end

request[24] = function(tvb, tree)
    local length = math.min(tvb(40, 1):uint(), 32)
    tree:add(f.ssid, tvb(8, 32), text_of(tvb, 8, length))
    add(tree, "ssid_len", tvb, 40, 1)
    add(tree, "channel", tvb, 41, 1)
    add(tree, "ap_auth", tvb, 42, 1)
    add(tree, "hidden", tvb, 43, 1)
    add(tree, "ap_max", tvb, 44, 1)
    add(tree, "ap_cipher", tvb, 45, 1)
    add(tree, "ap_pmf", tvb, 46, 1)
    add(tree, "ap_h2e", tvb, 47, 1)
    add(tree, "beacon_interval", tvb, 48, 2)
    add(tree, "inactivity", tvb, 50, 2)
    add(tree, "privacy", tvb, 52, 1)
end

local function body_mgmt_tx(tvb, tree, generation, pinfo, root, marked)
    add(tree, "channel", tvb, 8, 1)
    add(tree, "offchannel", tvb, 9, 1)
    add(tree, "wait", tvb, 10, 4)
    add(tree, "no_cck", tvb, 14, 1)
    add(tree, "no_ack_wait", tvb, 15, 1)
    local at = 16
    if marked then
        add(tree, "tx_id", tvb, 16, 8)
        at = 24
    end
    if has(tvb, at, 4) then
        add(tree, "frame_len", tvb, at, 4)
        frame_80211(tvb, pinfo, tree, root, at + 4, tvb(at, 4):le_uint())
    end
end

request[25] = body_mgmt_tx
result[25] = function(tvb, tree, generation, pinfo, root, marked)
    -- The second generation answers in its own structure, marked or not.
    body_mgmt_tx(tvb, tree, generation, pinfo, root, marked or generation == G2)
end

request[26] = function(tvb, tree)
    add(tree, "mac", tvb, 8, 6)
    add(tree, "station_op", tvb, 14, 2)
    add(tree, "station_mask", tvb, 16, 4)
    local flags = add(tree, "station_set", tvb, 20, 4)
    if flags then
        add(flags, "station_authorized", tvb, 20, 4)
    end
    add(tree, "station_modify", tvb, 24, 4)
    add(tree, "listen_interval", tvb, 28, 4)
    add(tree, "aid", tvb, 32, 2)
    add_bytes(tree, "ext_capab", tvb, 34, 6)
    -- Rates, HT, VHT, HE: element by element, zeros where there is none.
    for _, place in ipairs({ { 40, 12 }, { 52, 28 }, { 80, 14 }, { 96, 27 } }) do
        if has(tvb, place[1], place[2]) and tvb(place[1], 1):uint() ~= 0 then
            elements(tvb, tree, place[1], place[2])
        end
    end
end

result[27] = function(tvb, tree)
    add(tree, "rssi8", tvb, 8, 1)
end

request[28] = function(tvb, tree)
    add(tree, "seconds", tvb, 8, 8)
    add(tree, "microseconds", tvb, 16, 8)
end

request[30] = function(tvb, tree)
    add(tree, "ota_len", tvb, 8, 2)
    add_bytes(tree, "ota_data", tvb, 10, tvb:len() - 10)
end

request[32] = function(tvb, tree)
    add(tree, "bssid", tvb, 8, 6)
    add(tree, "authorized", tvb, 14, 1)
end

request[33] = function(tvb, tree)
    add(tree, "radio_requested", tvb, 8, 1)
end

local function body_radio(tvb, tree)
    add(tree, "radio_requested", tvb, 8, 1)
    add(tree, "radio_active", tvb, 9, 1)
    add(tree, "radio_restart", tvb, 10, 1)
    add(tree, "radio_nonce", tvb, 12, 8)
end

result[33] = body_radio
result[34] = body_radio

-- Bytes a request needs at least.
local request_size = {
    [2] = 14, [4] = 50, [5] = 52, [6] = 16, [8] = 76, [9] = 76, [10] = 76, [11] = 80, [12] = 12, [13] = 12,
    [14] = 9, [16] = 12, [18] = 12, [21] = 13, [22] = 12, [23] = 12, [24] = 52, [25] = 20, [26] = 124,
    [28] = 24, [30] = 10, [32] = 15, [33] = 9,
}

local function command(tvb, pinfo, tree, root, response)
    if not need(tvb, tree, 8) then
        return "too short"
    end
    local code, status = tvb(0, 1):uint(), tvb(1, 1):uint()
    local sequence, marked = tvb(4, 2):le_uint(), tvb(6, 1):uint() == MARKED
    local name = command_names[code] or ("command " .. code)
    local item = add(tree, response and "response" or "command", tvb, 0, 1)
    if not command_names[code] then
        item:add_proto_expert_info(e.command, "Unknown command " .. code)
    end
    item = add(tree, "status", tvb, 1, 1)
    if response and status ~= 2 then
        item:add_proto_expert_info(e.status, name .. ": " .. (status_names[status] or "status " .. status))
    end
    local length = tvb(2, 2):le_uint()
    item = add(tree, "data_len", tvb, 2, 2)
    if response and length > tvb:len() - 8 then
        item:add_proto_expert_info(e.length, "data length " .. length .. ", but " .. tvb:len() - 8 .. " bytes")
    end
    add(tree, "seq", tvb, 4, 2)
    if code == 6 and not response then
        add(tree, "disconnect_type", tvb, 6, 1)
    else
        add(tree, "cmd_flags", tvb, 6, 1)
    end
    add(tree, "cmd_reserved", tvb, 7, 1)
    if response and not pinfo.visited and sequence ~= 0 then
        learn(pinfo, G2)
    end
    local generation = generation_of(pinfo)
    local text = name
    if response then
        text = text .. " " .. (status_names[status] or ("status " .. status))
        if result[code] and status == 2 then
            result[code](tvb, tree, generation, pinfo, root, marked)
        end
    elseif request[code] and need(tvb, tree, request_size[code] or 8) then
        request[code](tvb, tree, generation, pinfo, root, marked)
    end
    if sequence ~= 0 then
        text = text .. ", sequence " .. sequence
    end
    return text
end

-- Events

local function received(tvb, tree)
    add(tree, "bssid", tvb, 4, 6)
    add(tree, "subtype", tvb, 10, 1)
    add(tree, "channel", tvb, 11, 1)
end

-- A body without header: give it one, so that Wireshark's dissector can read it.
local function event_scan(tvb, pinfo, tree, root)
    if tvb(1, 1):uint() == 0 then
        return "SCAN done"
    end
    if not need(tvb, tree, 28) then
        return "SCAN result"
    end
    received(tvb, tree)
    add(tree, "rssi", tvb, 12, 4)
    add(tree, "tsf", tvb, 16, 8)
    local item = add(tree, "frame_len", tvb, 24, 2)
    local length = tvb(24, 2):le_uint()
    if length > tvb:len() - 28 then
        item:add_proto_expert_info(e.length, "802.11 length " .. length .. ", but " .. tvb:len() - 28 .. " bytes")
        length = tvb:len() - 28
    end
    local frame = ByteArray.new()
    frame:set_size(24 + length)
    frame:set_index(0, (tvb(10, 1):uint() % 16) * 16)
    for i = 0, 5 do
        frame:set_index(4 + i, 0xff)
        frame:set_index(10 + i, tvb(4 + i, 1):uint())
        frame:set_index(16 + i, tvb(4 + i, 1):uint())
    end
    local body = tvb:bytes(28, length)
    for i = 0, length - 1 do
        frame:set_index(24 + i, body:get_index(i))
    end
    call("wlan_withoutfcs", frame:tvb("802.11 frame, header made up")(), pinfo, root)
    return "SCAN result " .. tostring(tvb(4, 6):ether()) .. ", " .. tvb(12, 4):le_int() .. " dBm"
end

local function event_auth(tvb, pinfo, tree, root, generation)
    if not need(tvb, tree, 28) then
        return
    end
    received(tvb, tree)
    add(tree, "rssi", tvb, 12, 4)
    add(tree, "tsf", tvb, 16, 8)
    add(tree, "frame_len", tvb, 24, 2)
    if generation ~= G1 then
        add(tree, "seq", tvb, 26, 2)
    end
    frame_80211(tvb, pinfo, tree, root, 28, tvb(24, 2):le_uint())
end

local function event_assoc(tvb, pinfo, tree, root, generation)
    if not need(tvb, tree, 60) then
        return
    end
    local len = tvb:len()
    if not generation then
        generation = len >= 62 and 62 + tvb(48, 2):le_uint() == len and G2 or G1
    end
    local skew = generation == G2 and 2 or 0
    if not need(tvb, tree, 60 + skew) then
        return
    end
    received(tvb, tree)
    add_text(tree, "ssid", tvb, 12, 33)
    if generation == G2 then
        add(tree, "seq", tvb, 46, 2)
    end
    add(tree, "frame_len", tvb, 46 + skew, 2)
    add(tree, "rssi", tvb, 48 + skew, 4)
    add(tree, "tsf", tvb, 52 + skew, 8)
    frame_80211(tvb, pinfo, tree, root, 60 + skew, tvb(46 + skew, 2):le_uint())
end

local function event_disconnect(tvb, pinfo, tree)
    if not need(tvb, tree, 44) then
        return
    end
    add(tree, "bssid", tvb, 4, 6)
    add_text(tree, "ssid", tvb, 10, 33)
    add(tree, "reason", tvb, 43, 1)
    add(tree, "seq", tvb, 44, 2)
    local reason = tvb(43, 1):uint()
    return "STA_DISCONNECT reason " .. (reason_names[reason] or reason)
end

local function event_ap_mgmt(tvb, pinfo, tree, root)
    if not need(tvb, tree, 20) then
        return
    end
    add(tree, "noise", tvb, 4, 4)
    add(tree, "rssi", tvb, 8, 4)
    tree:add_le(f.channel, tvb(12, 4))
    add(tree, "frame_len", tvb, 16, 4)
    frame_80211(tvb, pinfo, tree, root, 20, tvb(16, 4):le_uint())
end

local function event_tx_status(tvb, pinfo, tree, root)
    if not need(tvb, tree, 20) then
        return
    end
    add(tree, "tx_id", tvb, 4, 8)
    add(tree, "frame_len", tvb, 12, 4)
    add(tree, "acked", tvb, 16, 1)
    frame_80211(tvb, pinfo, tree, root, 20, tvb(12, 4):le_uint())
end

local events = {
    [1] = event_scan, [3] = event_disconnect, [4] = event_auth, [5] = event_assoc, [6] = event_ap_mgmt,
    [7] = event_tx_status,
}

local function event(tvb, pinfo, tree, root)
    if not need(tvb, tree, 4) then
        return "too short"
    end
    local code = tvb(0, 1):uint()
    local item = add(tree, "event", tvb, 0, 1)
    if not event_names[code] then
        item:add_proto_expert_info(e.event, "Unknown event " .. code)
    end
    add(tree, "event_status", tvb, 1, 1)
    item = add(tree, "event_len", tvb, 2, 2)
    if tvb(2, 2):le_uint() ~= tvb:len() - 4 then
        item:add_proto_expert_info(e.length, "event length " .. tvb(2, 2):le_uint() .. ", but "
            .. tvb:len() - 4 .. " bytes")
    end
    local text
    if events[code] then
        text = events[code](tvb, pinfo, tree, root, generation_of(pinfo))
    end
    return text or event_names[code] or ("event " .. code)
end

-- Boot event

-- The wire format belonging to the last two of five version numbers, NG 1.0.6.x.y.
local function generation_by_version(v)
    for i, first in ipairs({ 1, 0, 6, 0, 7 }) do
        if v[i] ~= first then
            return v[i] > first and G2 or G1
        end
    end
    return G2
end

local tlv_size = { [1] = 12, [2] = 1, [3] = 1, [5] = 4, [6] = 4, [7] = 8 }

local function tlv(tvb, pinfo, tree, kind, position, length)
    if tlv_size[kind] and length ~= tlv_size[kind] then
        tree:add_proto_expert_info(e.tlv, "length " .. length .. " instead of " .. tlv_size[kind])
        return
    end
    if kind == 0 and length >= 1 and length <= 4 then
        local bits = tree:add_le(f.capabilities, tvb(position, length))
        local value = tvb(position, length):le_uint()
        for bit, names in ipairs(capability_bits) do
            if math.floor(value / 2 ^ (bit - 1)) % 2 == 1 then
                bits:add(f["cap_" .. names[1]], tvb(position, length), value)
            end
        end
        if length == 4 and not pinfo.visited then
            learn(pinfo, G2)
        end
    elseif kind == 1 then
        local v = {}
        for i = 1, 5 do
            v[i] = tvb(position + 2 + i, 1):uint()
        end
        local text = table.concat(v, ".")
        add_text(tree, "project", tvb, position, 3)
        tree:add(f.fw_version, tvb(position + 3, 5), text)
        add(tree, "reset_reason", tvb, position + 8, 4)
        if not pinfo.visited then
            learn(pinfo, generation_by_version(v))
        end
        return text_of(tvb, position, 3) .. " " .. text
    elseif kind == 2 then
        add(tree, "clock", tvb, position, 1)
        return tvb(position, 1):uint() .. " MHz"
    elseif kind == 3 then
        add(tree, "chip", tvb, position, 1)
        return chip_names[tvb(position, 1):uint()] or string.format("chip %#x", tvb(position, 1):uint())
    elseif kind == 5 then
        add(tree, "rx_buffer", tvb, position, 4)
    elseif kind == 6 then
        add(tree, "ext_capabilities", tvb, position, 4)
    else
        add_bytes(tree, "tlv_value", tvb, position, length)
    end
end

local function boot(tvb, pinfo, tree)
    tree:add_proto_expert_info(e.boot)
    if not need(tvb, tree, 8) then
        return "boot event, too short"
    end
    add(tree, "event_status", tvb, 1, 1)
    add(tree, "event_len", tvb, 2, 2)
    local item = add(tree, "tlv_total", tvb, 4, 1)
    local total = tvb(4, 1):uint()
    if total > tvb:len() - 8 then
        item:add_proto_expert_info(e.length, "TLV bytes " .. total .. ", but " .. tvb:len() - 8)
        total = tvb:len() - 8
    end
    local said = {}
    local position, last = 8, 8 + total
    while position < last do
        if position + 2 > last or position + 2 + tvb(position + 1, 1):uint() > last then
            tree:add_proto_expert_info(e.tlv, "a TLV goes past the end")
            break
        end
        local kind, length = tvb(position, 1):uint(), tvb(position + 1, 1):uint()
        local inner = tree:add(proto, tvb(position, 2 + length), tlv_names[kind] or ("TLV " .. kind))
        add(inner, "tlv", tvb, position, 1)
        add(inner, "tlv_len", tvb, position + 1, 1)
        said[#said + 1] = tlv(tvb, pinfo, inner, kind, position + 2, length)
        position = position + 2 + length
    end
    return "boot: " .. table.concat(said, ", ")
end

-- The frame

local function checksum(tvb, length)
    local bytes = tvb:bytes(0, length)
    local sum = 0
    for i = 0, length - 1 do
        if i ~= 8 and i ~= 9 then
            sum = sum + bytes:get_index(i)
        end
    end
    return sum % 65536
end

local function hci(tvb, pinfo, root, tree, frame, offset, to_host)
    -- The type is the first byte of what the firmware sends; the host puts it in front of the payload.
    local bytes = ByteArray.new()
    if not to_host then
        tree:add(f.hci_type, frame(offset - 1, 1))
        bytes:append(frame:bytes(offset - 1, 1))
    else
        tree:add(f.hci_type, tvb(0, 1))
    end
    bytes:append(tvb:bytes())
    local h4 = bytes:tvb("HCI packet")
    call("hci_h4", h4(), pinfo, root)
    return "HCI " .. (h4_names[bytes:get_index(0)] or "packet")
end

local function payload(frame, tvb, pinfo, tree, root, if_type, packet_type, to_host)
    if if_type == IF_INTERNAL and packet_type == DATA then
        return boot(tvb, pinfo, tree)
    elseif packet_type == COMMAND then
        return command(tvb, pinfo, tree, root, false)
    elseif packet_type == RESPONSE then
        return command(tvb, pinfo, tree, root, true)
    elseif packet_type == EVENT then
        return event(tvb, pinfo, tree, root)
    elseif packet_type == DATA and if_type == IF_HCI then
        return hci(tvb, pinfo, root, tree, frame, frame:len() - tvb:len(), to_host)
    elseif packet_type == DATA and if_type == IF_TEST then
        add(tree, "test_seq", tvb, 0, 4)
        add(tree, "run", tvb, 4, 4)
        return "test, " .. tvb:len() .. " bytes"
    elseif (packet_type == DATA or packet_type == EAPOL) and (if_type == IF_STA or if_type == IF_AP) then
        if tvb:len() < 14 then
            tree:add_proto_expert_info(e.length, "shorter than an Ethernet header")
        else
            return call("eth_withoutfcs", tvb(), pinfo, root)
        end
    end
    tree:add(f.payload, tvb())
    return (packet_names[packet_type] or "unknown") .. ", " .. tvb:len() .. " bytes"
end

-- Inbound in the packet's flags is towards the host.
local direction = Field.new("frame.packet_flags_direction")

function proto.dissector(tvb, pinfo, root)
    local tree = root:add(proto, tvb())
    pinfo.cols.protocol = "ESP-Hosted"
    if not need(tvb, tree, HEADER) then
        pinfo.cols.info = "shorter than a header"
        return tvb:len()
    end
    local if_type, packet_type = tvb(0, 1):uint() % 16, tvb(2, 1):uint()
    local length, offset = tvb(4, 2):le_uint(), tvb(6, 2):le_uint()
    local way = direction()
    local to_host = way and way.value == 1
    if way then
        pinfo.cols.src = to_host and "firmware" or "host"
        pinfo.cols.dst = to_host and "host" or "firmware"
    end

    local item = add(tree, "if_type", tvb, 0, 1)
    if not if_names[if_type] or if_type == 15 then
        item:add_proto_expert_info(e.if_type, "Unknown interface type " .. if_type)
    end
    item = add(tree, "if_num", tvb, 0, 1)
    if tvb(0, 1):uint() >= 16 then
        item:add_proto_expert_info(e.if_num)
    end
    add(tree, "flags", tvb, 1, 1)
    item = add(tree, "packet_type", tvb, 2, 1)
    if not packet_names[packet_type] then
        item:add_proto_expert_info(e.packet_type, "Unknown packet type " .. packet_type)
    end
    add(tree, "reserved", tvb, 3, 1)
    local length_item = add(tree, "len", tvb, 4, 2)
    local offset_item = add(tree, "offset", tvb, 6, 2)
    local checksum_item = add(tree, "checksum", tvb, 8, 2)
    add(tree, "reserved", tvb, 10, 1)
    local generation = generation_of(pinfo)
    if generation then
        tree:add(f.generation, generation):set_generated()
    end

    local bad
    if offset < HEADER or offset > 16 then
        offset_item:add_proto_expert_info(e.offset, "offset " .. offset .. " is not 12 to 16")
        bad = "bad offset"
    elseif length == 0 or offset + length > TRANSACTION or offset + length > tvb:len() then
        length_item:add_proto_expert_info(e.length, "length " .. length .. " at offset " .. offset)
        bad = "bad length"
    else
        local stamped, right = tvb(8, 2):le_uint(), checksum(tvb, offset + length)
        if stamped == 0 and right ~= 0 then
            checksum_item:append_text(" (none)")
        elseif stamped ~= right then
            checksum_item:add_proto_expert_info(e.checksum, string.format("it should be 0x%04x", right))
            checksum_item:append_text(" (bad)")
        else
            checksum_item:append_text(" (good)")
        end
    end
    if bad then
        pinfo.cols.info = bad
        if tvb:len() > HEADER then
            tree:add(f.payload, tvb(HEADER))
        end
        return tvb:len()
    end
    if offset > HEADER then
        tree:add(f.padding, tvb(HEADER, offset - HEADER))
    end
    local frame = tvb(0, offset + length):tvb()
    local info = payload(frame, tvb(offset, length):tvb(), pinfo, tree, root, if_type, packet_type, to_host)
    if info then
        if if_type ~= IF_INTERNAL and packet_type ~= DATA then
            info = (packet_names[packet_type] or "?") .. " " .. info
        end
        pinfo.cols.info = info
    end
    if tvb:len() > offset + length then
        tree:add(f.trailer, tvb(offset + length))
    end
    return tvb:len()
end

DissectorTable.get("wtap_encap"):add(wtap.USER0, proto)
