// SPDX-License-Identifier: GPL-2.0-only
/*
 * Encoding and validation of frames and boot events.
 *
 * Everything received was written by a device that may have crashed, may be
 * badly wired or may be hostile: nothing is used before it was checked.
 */

#include <linux/bitfield.h>
#include <linux/errno.h>
#include <linux/minmax.h>
#include <linux/string.h>

#include "compat.h"
#include "frame.h"

#define SUM_LANES	0x00ff00ff00ff00ffULL
/* A 16-bit lane takes two bytes a word; this many words cannot overflow it. */
#define SUM_WORDS	128

static u32 sum_bytes(const u8 *p, size_t len)
{
	u32 sum = 0;

	while (len >= sizeof(u64)) {
		size_t words = min_t(size_t, len / sizeof(u64), SUM_WORDS);
		u64 lanes = 0;

		len -= words * sizeof(u64);
		for (; words; words--, p += sizeof(u64)) {
			u64 word = get_unaligned((const u64 *)p);

			lanes += (word & SUM_LANES) + ((word >> 8) & SUM_LANES);
		}
		sum += (lanes & 0xffff) + ((lanes >> 16) & 0xffff) +
		       ((lanes >> 32) & 0xffff) + (lanes >> 48);
	}
	while (len--)
		sum += *p++;

	return sum;
}

/**
 * esp_frame_checksum - checksum of a frame
 * @frame: first byte of the header
 * @len: bytes up to the end of the payload, at least %ESP_HDR_SIZE
 *
 * The checksum is the plain sum of all bytes, the checksum field counted as
 * zero. A byte sum does not depend on byte order, so eight bytes are added at
 * a time.
 *
 * Return: the value the checksum field should have
 */
u16 esp_frame_checksum(const void *frame, size_t len)
{
	const struct esp_hdr *hdr = frame;
	u16 field = le16_to_cpu(hdr->checksum);

	return sum_bytes(frame, len) - (field & 0xff) - (field >> 8);
}

/**
 * esp_frame_encode - write the header of a frame
 * @frame: buffer with the payload already at %ESP_HDR_SIZE
 * @if_type: &enum esp_if_type
 * @pkt_type: &enum esp_pkt_type
 * @len: payload bytes, 1 to %ESP_PAYLOAD_MAX
 * @hci_type: H4 packet type of HCI frames, 0 for all others
 * @checksum: whether the co-processor wants a checksum
 *
 * The payload always starts right behind the header: every firmware accepts
 * that, and for HCI it puts the packet type where the firmware looks for it.
 */
void esp_frame_encode(void *frame, u8 if_type, u8 pkt_type, u16 len,
		      u8 hci_type, bool checksum)
{
	struct esp_hdr *hdr = frame;

	*hdr = (struct esp_hdr) {
		.iface = FIELD_PREP(ESP_HDR_IF_TYPE, if_type),
		.pkt_type = pkt_type,
		.len = cpu_to_le16(len),
		.offset = cpu_to_le16(ESP_HDR_SIZE),
		.hci_type = hci_type,
	};
	if (checksum)
		hdr->checksum =
			cpu_to_le16(esp_frame_checksum(frame,
						       ESP_HDR_SIZE + len));
}

static bool is_blank(const u8 *p)
{
	return (p[0] == 0x00 || p[0] == 0xff) &&
	       !memchr_inv(p, p[0], ESP_HDR_SIZE);
}

/**
 * esp_frame_decode - validate a received frame
 * @buf: what the transaction brought
 * @size: bytes in @buf, at least %ESP_HDR_SIZE
 * @checksum: whether the checksum has to match
 * @frame: filled in if the result is %ESP_FRAME_OK
 *
 * Return: what the frame is, see &enum esp_frame_verdict
 */
enum esp_frame_verdict esp_frame_decode(const void *buf, size_t size,
					bool checksum, struct esp_frame *frame)
{
	const struct esp_hdr *hdr = buf;
	u16 len = le16_to_cpu(hdr->len);
	u16 offset = le16_to_cpu(hdr->offset);
	u8 if_type = FIELD_GET(ESP_HDR_IF_TYPE, hdr->iface);

	if (is_blank(buf))
		return ESP_FRAME_BLANK;
	if (if_type == ESP_IF_IDLE && !len)
		return ESP_FRAME_IDLE;
	if (if_type >= ESP_IF_COUNT)
		return ESP_FRAME_BAD_IF;
	if (!len)
		return ESP_FRAME_EMPTY;
	if (offset < ESP_OFFSET_MIN || offset > ESP_OFFSET_MAX)
		return ESP_FRAME_BAD_OFFSET;
	if ((size_t)offset + len > size)
		return ESP_FRAME_BAD_LEN;
	if (checksum &&
	    le16_to_cpu(hdr->checksum) != esp_frame_checksum(buf, offset + len))
		return ESP_FRAME_BAD_CHECKSUM;

	*frame = (struct esp_frame) {
		.if_type = if_type,
		.if_num = FIELD_GET(ESP_HDR_IF_NUM, hdr->iface),
		.pkt_type = hdr->pkt_type,
		.payload = (const u8 *)buf + offset,
		.len = len,
	};

	return ESP_FRAME_OK;
}

/**
 * esp_frame_verdict_name - name of a verdict
 * @verdict: the verdict
 *
 * Return: a string constant
 */
const char *esp_frame_verdict_name(enum esp_frame_verdict verdict)
{
	static const char * const names[] = {
		[ESP_FRAME_OK] = "good",
		[ESP_FRAME_IDLE] = "idle",
		[ESP_FRAME_BLANK] = "blank",
		[ESP_FRAME_BAD_IF] = "bad interface",
		[ESP_FRAME_EMPTY] = "empty",
		[ESP_FRAME_BAD_OFFSET] = "bad offset",
		[ESP_FRAME_BAD_LEN] = "bad length",
		[ESP_FRAME_BAD_CHECKSUM] = "bad checksum",
	};

	return names[verdict];
}

/* Bytes of a boot event, with some to spare */
#define SHIFT_WINDOW		80
#define SHIFT_MAX		7

/**
 * esp_frame_find_shift - look for a boot event among misplaced bits
 * @buf: what the transaction brought
 * @size: bytes in @buf
 *
 * With the wrong clock polarity or phase every bit is sampled one too early or
 * too late; a bad chip select may cost more of them. A boot event that comes
 * out right after shifting everything back proves it.
 *
 * Return: by how many bits the frame was late, negative: early; 0 if it is
 * something else
 */
int esp_frame_find_shift(const u8 *buf, size_t size)
{
	const struct esp_hdr *hdr;
	u8 copy[SHIFT_WINDOW];
	struct esp_frame frame;
	size_t i;
	int n;

	if (size < sizeof(copy) + 1)
		return 0;
	hdr = (const struct esp_hdr *)copy;
	for (n = -SHIFT_MAX; n <= SHIFT_MAX; n++) {
		if (!n)
			continue;
		for (i = 0; i < sizeof(copy); i++) {
			u8 last = i ? buf[i - 1] : 0;

			if (n > 0)
				copy[i] = buf[i] << n | buf[i + 1] >> (8 - n);
			else
				copy[i] = buf[i] >> -n | last << (8 + n);
		}
		if (esp_frame_decode(copy, sizeof(copy), hdr->checksum != 0,
				     &frame) == ESP_FRAME_OK &&
		    frame.if_type == ESP_IF_INTERNAL && !frame.if_num &&
		    frame.payload[0] == ESP_BOOT_EVENT)
			return n;
	}

	return 0;
}

static int parse_tlv(u8 tag, u8 len, const u8 *value,
		     struct esp_boot_info *info)
{
	const struct esp_boot_firmware *fw;

	switch (tag) {
	case ESP_TAG_CAPABILITY:
		if (len == 1)
			info->caps = value[0];
		else if (len == 2)
			info->caps = get_unaligned_le16(value);
		else if (len == 4)
			info->caps = get_unaligned_le32(value);
		else
			return -EBADMSG;
		return 0;
	case ESP_TAG_FIRMWARE:
		if (len != sizeof(*fw))
			return -EBADMSG;
		fw = (const void *)value;
		memcpy(info->project, fw->project, sizeof(fw->project));
		memcpy(info->version, fw->version, sizeof(fw->version));
		info->reset_reason = le32_to_cpu(fw->reset_reason);
		return 0;
	case ESP_TAG_CLOCK:
		if (len != 1)
			return -EBADMSG;
		info->clock_mhz = value[0];
		return 0;
	case ESP_TAG_CHIP:
		if (len != 1)
			return -EBADMSG;
		info->chip = value[0];
		return 0;
	case ESP_TAG_RX_BUFFER:
		if (len != 4)
			return -EBADMSG;
		info->rx_buffer = get_unaligned_le32(value);
		return 0;
	case ESP_TAG_EXT_CAPABILITY:
		if (len != 4)
			return -EBADMSG;
		info->ext_caps = get_unaligned_le32(value);
		return 0;
	default:
		/* Newer firmware may say more than we know about. */
		return 0;
	}
}

/**
 * esp_boot_parse - validate and read a boot event
 * @payload: payload of a frame on %ESP_IF_INTERNAL
 * @len: bytes in @payload
 * @info: filled in; undefined unless the result is 0
 *
 * Every known tag may occur once and must have its exact length; capability,
 * firmware and chip tags are mandatory. Unknown tags are skipped.
 *
 * Return: 0, -ENOMSG if this is no boot event, -EREMOTEIO if the firmware
 * reports a failed start, -EBADMSG if the contents are malformed
 */
int esp_boot_parse(const void *payload, size_t len, struct esp_boot_info *info)
{
	const u32 mandatory = BIT(ESP_TAG_CAPABILITY) | BIT(ESP_TAG_FIRMWARE) |
			      BIT(ESP_TAG_CHIP);
	const struct esp_boot_hdr *hdr = payload;
	const u8 *tlv;
	size_t left;
	int err;

	memset(info, 0, sizeof(*info));
	if (len < sizeof(*hdr))
		return -EBADMSG;
	if (hdr->event != ESP_BOOT_EVENT)
		return -ENOMSG;
	if (hdr->status)
		return -EREMOTEIO;
	if (hdr->tlv_len > len - sizeof(*hdr))
		return -EBADMSG;

	tlv = (const u8 *)payload + sizeof(*hdr);
	left = hdr->tlv_len;
	while (left) {
		u8 tag, tlv_len;

		if (left < 2)
			return -EBADMSG;
		tag = tlv[0];
		tlv_len = tlv[1];
		if (tlv_len > left - 2)
			return -EBADMSG;
		if (tag <= ESP_TAG_RCP_NONCE) {
			if (info->present & BIT(tag))
				return -EBADMSG;
			info->present |= BIT(tag);
		}
		err = parse_tlv(tag, tlv_len, tlv + 2, info);
		if (err)
			return err;
		tlv += 2 + tlv_len;
		left -= 2 + tlv_len;
	}

	return (info->present & mandatory) == mandatory ? 0 : -EBADMSG;
}

/**
 * esp_version_before - compare two firmware versions
 * @version: five numbers, most significant first
 * @other: the version to compare with
 *
 * Return: whether @version is older than @other
 */
bool esp_version_before(const u8 version[5], const u8 other[5])
{
	return memcmp(version, other, 5) < 0;
}
