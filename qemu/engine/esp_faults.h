/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Every fault: X(identifier, "stable-name", default argument, "what it does;
 * what match and arg mean"). Where match is not mentioned it has no effect.
 */
X(HS_LOST, "handshake-lost", 0,
  "handshake does not rise for an armed transaction")
X(HS_LATE, "handshake-late", 1000000,
  "handshake rises arg ns after the transaction was armed")
X(HS_SPURIOUS, "handshake-spurious", 5000,
  "handshake is high for arg ns while nothing is armed")
X(HS_STUCK_LOW, "handshake-stuck-low", 0, "handshake is low until disarmed")
X(HS_STUCK_HIGH, "handshake-stuck-high", 0,
  "handshake is high until disarmed")
X(DR_LOST, "data-ready-lost", 0, "data-ready does not rise for a frame")
X(DR_LATE, "data-ready-late", 1000000, "data-ready rises arg ns late")
X(DR_SPURIOUS, "data-ready-spurious", 0,
  "data-ready stays high with nothing to send")
X(DR_STUCK_LOW, "data-ready-stuck-low", 0, "data-ready is low until disarmed")
X(DR_STUCK_HIGH, "data-ready-stuck-high", 0,
  "data-ready is high until disarmed")
X(FRAME_ZERO, "frame-zero", 0,
  "all 1600 bytes are 0x00; match: packet type")
X(FRAME_ONES, "frame-ones", 0, "all 1600 bytes are 0xff; match: packet type")
X(FRAME_SHIFTED, "frame-shifted", 1,
  "the transaction is arg (1 to 7) bits late; match: packet type")
X(FRAME_TRUNCATED, "frame-truncated", 16,
  "bytes from arg on are zero; match: packet type")
X(FRAME_DUPLICATED, "frame-duplicated", 0,
  "the frame is sent twice; match: packet type")
X(FRAME_REORDERED, "frame-reordered", 0,
  "the frame changes places with the next; match: packet type")
X(FRAME_LOST, "frame-lost", 0, "a dummy goes instead; match: packet type")
X(FRAME_CHECKSUM, "frame-checksum", 0xffff,
  "arg is XORed to the checksum; match: packet type")
X(FRAME_TAIL, "frame-tail", 0,
  "random bytes follow the frame; match: packet type")
X(FRAME_CORRUPT, "frame-corrupt", 0,
  "one random bit behind the header is wrong; match: packet type")
X(HEADER_IF_TYPE, "header-if-type", 7,
  "if_type is arg, checksum good; match: packet type")
X(HEADER_IF_NUM, "header-if-num", 1,
  "if_num is arg, checksum good; match: packet type")
X(HEADER_FLAGS, "header-flags", 1,
  "flags is arg, checksum good; match: packet type")
X(HEADER_PACKET_TYPE, "header-packet-type", 9,
  "packet type is arg, checksum good; match: packet type")
X(HEADER_LEN, "header-len", 1600,
  "len is arg, checksum good; match: packet type")
X(HEADER_OFFSET, "header-offset", 17,
  "offset is arg, checksum good; match: packet type")
X(HEADER_RESERVED, "header-reserved", 0xff,
  "bytes 3 and 10 are arg, checksum good; match: packet type")
X(BOOT_MISSING, "boot-missing", 0, "the firmware does not come up")
X(BOOT_LATE, "boot-late", 3000000000, "the firmware comes up arg ns late")
X(BOOT_TWICE, "boot-twice", 0, "a second boot event follows the first")
X(BOOT_STATUS, "boot-status", 1, "status of the boot event is arg")
X(BOOT_CLOCK, "boot-clock", 255, "the SPI clock advertised is arg MHz")
X(BOOT_CHIP, "boot-chip", 0x7f, "the chip id is arg")
X(BOOT_TLV_LENGTH, "boot-tlv-length", 200,
  "the length of the TLV of type match is arg")
X(BOOT_TLV_TYPE, "boot-tlv-type", 0x42,
  "the type of the TLV of type match is arg")
X(BOOT_TLV_VALUE, "boot-tlv-value", 0,
  "the value of the TLV of type match is arg, little-endian")
X(BOOT_TLV_SIZE, "boot-tlv-size", 3,
  "the TLV of type match has arg (0 to 32) bytes, all lengths right")
X(BOOT_TLV_MISSING, "boot-tlv-missing", 0,
  "the TLV of type match is left out")
X(BOOT_TLV_DUPLICATED, "boot-tlv-duplicated", 0,
  "the TLV of type match is there twice")
X(BOOT_SPONTANEOUS, "boot-spontaneous", 0,
  "a boot event comes now although the firmware goes on")
X(BOOT_TOTAL, "boot-total", 255, "the length of all TLVs is arg")
X(BOOT_RANDOM, "boot-random", 0, "the TLVs are random bytes")
X(COMMAND_SILENT, "command-silent", 0,
  "the command is not executed nor answered; match: code")
X(RESPONSE_LOST, "response-lost", 0,
  "the command is executed, not answered; match: code")
X(RESPONSE_LATE, "response-late", 6000000000,
  "the answer comes arg ns late; match: code")
X(RESPONSE_CODE, "response-code", 99,
  "the answer has code arg; match: code")
X(RESPONSE_STATUS, "response-status", 1,
  "the answer has status arg; match: code")
X(RESPONSE_LENGTH, "response-length", 0xffff,
  "the length field of the answer is arg; match: code")
X(RESPONSE_INNER_LENGTH, "response-inner-length", 0xffff,
  "the length of the 802.11 frame in a MGMT_TX answer is arg")
X(RESPONSE_SHORT, "response-short", 8,
  "the answer has only arg bytes; match: code")
X(RESPONSE_SEQUENCE, "response-sequence", 0,
  "the answer has sequence arg; match: code")
X(RESPONSE_DUPLICATED, "response-duplicated", 0,
  "the answer comes twice; match: code")
X(RESPONSE_UNSOLICITED, "response-unsolicited", 25,
  "in front of the answer comes one with code arg; match: code")
X(OTA_DAMAGED, "ota-damaged", 0,
  "the image does not verify: OTA_END fails and nothing restarts")
X(EVENT_CODE, "event-code", 200, "the event has code arg; match: code")
X(EVENT_STATUS, "event-status", 0xff,
  "the event has status arg; match: code")
X(EVENT_LENGTH, "event-length", 0xffff,
  "the length field of the event is arg; match: code")
X(EVENT_INNER_LENGTH, "event-inner-length", 0xffff,
  "the length of the 802.11 frame inside is arg; match: code")
X(EVENT_SHORT, "event-short", 4,
  "the event has only arg bytes; match: code")
X(EVENT_SEQUENCE, "event-sequence", 0,
  "the sequence in the event (G2) is arg; match: code")
X(EVENT_LOST, "event-lost", 0, "the event is not sent; match: code")
X(EVENT_FLOOD, "event-flood", 10,
  "the event comes arg times more; match: code")
X(CRASH, "crash", 12, "the firmware restarts now, reset reason arg")
X(CRASH_IN_COMMAND, "crash-in-command", 12,
  "the firmware restarts in a command, reset reason arg; match: code")
X(CRASH_AFTER_FRAMES, "crash-after-frames", 0,
  "the firmware restarts after a frame was clocked; count is how many "
  "frames pass first, arg the reset reason")
X(HANG, "hang", 0, "the firmware stops now, lines stay as they are")
X(HANG_LINES_HIGH, "hang-lines-high", 0,
  "the firmware stops now with both lines high")
X(ARM_FAILED, "arm-failed", 0,
  "no memory for a transaction: G1 stops for good, G2 restarts")
X(RADIO_RX_LOST, "radio-rx-lost", 0, "a received data frame is lost")
X(RADIO_TX_LOST, "radio-tx-lost", 0, "a transmitted data frame is lost")
X(RADIO_DELAY, "radio-delay", 100000000,
  "a received data frame is arg ns late")
X(RADIO_MGMT_LOST, "radio-mgmt-lost", 0,
  "a received management frame is lost; match: subtype")
X(RADIO_GONE, "radio-gone", 0,
  "nobody hears this radio and it hears nobody until disarmed")
X(RADIO_BEACON_LOST, "radio-beacon-lost", 0,
  "the connected station hears no beacon for a second")
X(RADIO_DEAUTH, "radio-deauth", 7,
  "the access point sends the connected station away with reason arg; "
  "count: every 10 ms until so many were sent")
X(RADIO_CHANNEL_SWITCH, "radio-channel-switch", 11,
  "the access point of the connected station announces channel arg and "
  "moves there")
X(RADIO_CHANNEL_JUMP, "radio-channel-jump", 11,
  "the access point of the connected station moves to channel arg without "
  "a word")
X(TX_STATUS_LOST, "mgmt-tx-status-lost", 0,
  "what became of a transmitted management frame is never known: G1 does "
  "not answer, G2 restarts after 5 s")
