/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Pure functions on frames: no I/O, no locks, no allocation.
 */
#ifndef ESP_HOSTED_FRAME_H
#define ESP_HOSTED_FRAME_H

#include "protocol.h"

/**
 * struct esp_frame - what a valid frame header says
 * @if_type: &enum esp_if_type, below %ESP_IF_COUNT
 * @if_num: interface number, zero from every known firmware
 * @pkt_type: &enum esp_pkt_type, not range-checked
 * @payload: first payload byte, inside the buffer that was decoded
 * @len: payload bytes, at least one
 */
struct esp_frame {
	u8 if_type;
	u8 if_num;
	u8 pkt_type;
	const u8 *payload;
	u16 len;
};

/**
 * enum esp_frame_verdict - result of looking at a received frame
 * @ESP_FRAME_OK: a frame to act upon
 * @ESP_FRAME_IDLE: the filler of a co-processor that has nothing to say
 * @ESP_FRAME_BLANK: bus idle, all header bytes 0x00 or all 0xff
 * @ESP_FRAME_BAD_IF: interface type out of range
 * @ESP_FRAME_EMPTY: no payload
 * @ESP_FRAME_BAD_OFFSET: payload offset outside 12 to 16
 * @ESP_FRAME_BAD_LEN: payload runs past the end of the transaction
 * @ESP_FRAME_BAD_CHECKSUM: checksum does not match
 */
enum esp_frame_verdict {
	ESP_FRAME_OK,
	ESP_FRAME_IDLE,
	ESP_FRAME_BLANK,
	ESP_FRAME_BAD_IF,
	ESP_FRAME_EMPTY,
	ESP_FRAME_BAD_OFFSET,
	ESP_FRAME_BAD_LEN,
	ESP_FRAME_BAD_CHECKSUM,
};

/**
 * struct esp_boot_info - contents of a boot event
 * @present: bit n set: tag n was there
 * @caps: capability bits
 * @ext_caps: extended capability bits
 * @rx_buffer: size of the co-processor's receive buffer in bytes, 0 if unknown
 * @reset_reason: the chip's ROM reset-reason code
 * @chip: chip id, &enum esp_chip
 * @clock_mhz: highest SPI clock the chip wants, 0 if it did not say
 * @project: firmware family, NUL-terminated
 * @version: major 1, major 2, minor, patch 1, patch 2
 */
struct esp_boot_info {
	u32 present;
	u32 caps;
	u32 ext_caps;
	u32 rx_buffer;
	u32 reset_reason;
	u8 chip;
	u8 clock_mhz;
	char project[4];
	u8 version[5];
};

u16 esp_frame_checksum(const void *frame, size_t len);
void esp_frame_encode(void *frame, u8 if_type, u8 pkt_type, u16 len,
		      u8 hci_type, bool checksum);
enum esp_frame_verdict esp_frame_decode(const void *buf, size_t size,
					bool checksum, struct esp_frame *frame);
const char *esp_frame_verdict_name(enum esp_frame_verdict verdict);
int esp_frame_find_shift(const u8 *buf, size_t size);
int esp_boot_parse(const void *payload, size_t len, struct esp_boot_info *info);
bool esp_version_before(const u8 version[5], const u8 other[5]);

#endif /* ESP_HOSTED_FRAME_H */
