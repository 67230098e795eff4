// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit tests of frame.c.
 *
 * The code under test is included, so the suite runs without the driver, an
 * SPI controller or cfg80211: in user-mode Linux, for instance.
 */

#include <kunit/test.h>
#include <linux/module.h>

#include "../frame.c"

/* Boot events as the firmware sends them, checksum included */
static const u8 boot_c3_g1[] = {
	0x03, 0x00, 0x00, 0x00, 0x1f, 0x00, 0x0c, 0x00, 0x1c, 0x02, 0x00, 0x00,
	0x01, 0x00, 0x18, 0x00, 0x17, 0x00, 0x00, 0x00, 0x03, 0x01, 0x05, 0x02,
	0x01, 0x1e, 0x00, 0x01, 0xe8, 0x01, 0x0c, 0x4e, 0x47, 0x00, 0x01, 0x00,
	0x06, 0x00, 0x01, 0x01, 0x00, 0x00, 0x00,
};

static const u8 boot_c3_g2[] = {
	0x03, 0x00, 0x00, 0x00, 0x2e, 0x00, 0x0c, 0x00, 0xf4, 0x02, 0x00, 0x00,
	0x01, 0x00, 0x27, 0x00, 0x26, 0x00, 0x00, 0x00, 0x03, 0x01, 0x05, 0x02,
	0x01, 0x1e, 0x00, 0x04, 0xe8, 0x01, 0x00, 0x00, 0x06, 0x04, 0x00, 0x40,
	0x00, 0x00, 0x05, 0x04, 0x40, 0x06, 0x00, 0x00, 0x01, 0x0c, 0x4e, 0x47,
	0x00, 0x01, 0x00, 0x06, 0x00, 0x0f, 0x01, 0x00, 0x00, 0x00,
};

/* INIT_IF with sequence number 1 */
static const u8 init_request[] = {
	0x00, 0x00, 0x01, 0x00, 0x08, 0x00, 0x0c, 0x00, 0x17, 0x00, 0x00, 0x00,
	0x01, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00,
};

/* HCI reset: the packet type sits in the last header byte */
static const u8 hci_reset[] = {
	0x02, 0x00, 0x00, 0x00, 0x03, 0x00, 0x0c, 0x00, 0x21, 0x00, 0x00, 0x01,
	0x03, 0x0c, 0x00,
};

static u8 *test_buffer(struct kunit *test)
{
	u8 *buf = kunit_kzalloc(test, ESP_FRAME_SIZE, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, buf);

	return buf;
}

static u16 reference_sum(const u8 *frame, size_t len)
{
	u16 sum = 0;
	size_t i;

	for (i = 0; i < len; i++) {
		if (i != 8 && i != 9)
			sum += frame[i];
	}

	return sum;
}

static void checksum_vectors(struct kunit *test)
{
	KUNIT_EXPECT_EQ(test, 0x021c,
			esp_frame_checksum(boot_c3_g1, sizeof(boot_c3_g1)));
	KUNIT_EXPECT_EQ(test, 0x02f4,
			esp_frame_checksum(boot_c3_g2, sizeof(boot_c3_g2)));
	KUNIT_EXPECT_EQ(test, 0x0017,
			esp_frame_checksum(init_request, sizeof(init_request)));
}

/* Word-wise and byte-wise sums agree for every length, also at the extreme. */
static void checksum_lengths(struct kunit *test)
{
	u8 *buf = test_buffer(test);
	size_t len;

	memset(buf, 0xff, ESP_FRAME_SIZE);
	for (len = ESP_HDR_SIZE; len <= ESP_FRAME_SIZE; len++)
		KUNIT_ASSERT_EQ(test, reference_sum(buf, len),
				esp_frame_checksum(buf, len));
	for (len = 0; len < ESP_FRAME_SIZE; len++)
		buf[len] = len * 37 + 11;
	for (len = ESP_HDR_SIZE; len <= ESP_FRAME_SIZE; len++)
		KUNIT_ASSERT_EQ(test, reference_sum(buf, len),
				esp_frame_checksum(buf, len));
}

static void encode_vectors(struct kunit *test)
{
	u8 *buf = test_buffer(test);

	memcpy(buf + ESP_HDR_SIZE, init_request + ESP_HDR_SIZE, 8);
	esp_frame_encode(buf, ESP_IF_STA, ESP_PKT_COMMAND, 8, 0, true);
	KUNIT_EXPECT_MEMEQ(test, buf, init_request, sizeof(init_request));

	memcpy(buf + ESP_HDR_SIZE, hci_reset + ESP_HDR_SIZE, 3);
	esp_frame_encode(buf, ESP_IF_HCI, ESP_PKT_DATA, 3, 1, true);
	KUNIT_EXPECT_MEMEQ(test, buf, hci_reset, sizeof(hci_reset));

	esp_frame_encode(buf, ESP_IF_HCI, ESP_PKT_DATA, 3, 1, false);
	KUNIT_EXPECT_EQ(test, 0, buf[8]);
	KUNIT_EXPECT_EQ(test, 0, buf[9]);
}

static void decode_good(struct kunit *test)
{
	u8 *buf = test_buffer(test);
	struct esp_frame frame;

	memcpy(buf, boot_c3_g1, sizeof(boot_c3_g1));
	KUNIT_ASSERT_EQ(test, ESP_FRAME_OK,
			esp_frame_decode(buf, ESP_FRAME_SIZE, true, &frame));
	KUNIT_EXPECT_EQ(test, ESP_IF_INTERNAL, frame.if_type);
	KUNIT_EXPECT_EQ(test, 0, frame.if_num);
	KUNIT_EXPECT_EQ(test, ESP_PKT_DATA, frame.pkt_type);
	KUNIT_EXPECT_EQ(test, 31, frame.len);
	KUNIT_EXPECT_PTR_EQ(test, (const u8 *)buf + 12, frame.payload);
}

static void decode_nothing(struct kunit *test)
{
	u8 *buf = test_buffer(test);
	struct esp_frame frame;

	KUNIT_EXPECT_EQ(test, ESP_FRAME_BLANK,
			esp_frame_decode(buf, ESP_FRAME_SIZE, true, &frame));
	buf[0] = 0xff;
	KUNIT_EXPECT_EQ(test, ESP_FRAME_IDLE,
			esp_frame_decode(buf, ESP_FRAME_SIZE, true, &frame));
	memset(buf, 0xff, ESP_FRAME_SIZE);
	KUNIT_EXPECT_EQ(test, ESP_FRAME_BLANK,
			esp_frame_decode(buf, ESP_FRAME_SIZE, true, &frame));
}

struct decode_case {
	const char *name;
	u8 iface;
	u16 len;
	u16 offset;
	enum esp_frame_verdict verdict;
};

static const struct decode_case decode_cases[] = {
	{ "largest", 0x00, 1588, 12, ESP_FRAME_OK },
	{ "largest with padding", 0x01, 1584, 16, ESP_FRAME_OK },
	{ "one byte", 0x00, 1, 12, ESP_FRAME_OK },
	{ "interface number", 0x10, 1, 12, ESP_FRAME_OK },
	{ "one too long", 0x00, 1589, 12, ESP_FRAME_BAD_LEN },
	{ "padding pushes it out", 0x00, 1588, 13, ESP_FRAME_BAD_LEN },
	{ "length alone fits", 0x00, 1600, 16, ESP_FRAME_BAD_LEN },
	{ "largest field", 0x00, 0xffff, 16, ESP_FRAME_BAD_LEN },
	{ "empty", 0x00, 0, 12, ESP_FRAME_EMPTY },
	{ "offset in the header", 0x00, 4, 11, ESP_FRAME_BAD_OFFSET },
	{ "offset zero", 0x00, 4, 0, ESP_FRAME_BAD_OFFSET },
	{ "offset too large", 0x00, 4, 17, ESP_FRAME_BAD_OFFSET },
	{ "offset field largest", 0x00, 4, 0xffff, ESP_FRAME_BAD_OFFSET },
	{ "interface 5", 0x05, 4, 12, ESP_FRAME_BAD_IF },
	{ "interface 15 with payload", 0xff, 4, 12, ESP_FRAME_BAD_IF },
};

KUNIT_ARRAY_PARAM(decode, decode_cases, NULL);

static void decode_limits(struct kunit *test)
{
	const struct decode_case *c = test->param_value;
	u8 *buf = test_buffer(test);
	struct esp_hdr *hdr = (struct esp_hdr *)buf;
	struct esp_frame frame;

	hdr->iface = c->iface;
	hdr->len = cpu_to_le16(c->len);
	hdr->offset = cpu_to_le16(c->offset);
	KUNIT_EXPECT_EQ_MSG(test, c->verdict,
			    esp_frame_decode(buf, ESP_FRAME_SIZE, false,
					     &frame),
			    "%s", c->name);
}

/* Any single changed bit of a frame is noticed. */
static void decode_flipped_bits(struct kunit *test)
{
	u8 *buf = test_buffer(test);
	struct esp_frame frame;
	size_t bit;

	for (bit = 0; bit < sizeof(boot_c3_g1) * 8; bit++) {
		memcpy(buf, boot_c3_g1, sizeof(boot_c3_g1));
		buf[bit / 8] ^= BIT(bit % 8);
		KUNIT_EXPECT_NE_MSG(test, ESP_FRAME_OK,
				    esp_frame_decode(buf, ESP_FRAME_SIZE, true,
						     &frame),
				    "bit %zu", bit);
	}
}

static void decode_checksum_off(struct kunit *test)
{
	u8 *buf = test_buffer(test);
	struct esp_frame frame;

	memcpy(buf, boot_c3_g1, sizeof(boot_c3_g1));
	buf[8]++;
	KUNIT_EXPECT_EQ(test, ESP_FRAME_BAD_CHECKSUM,
			esp_frame_decode(buf, ESP_FRAME_SIZE, true, &frame));
	KUNIT_EXPECT_EQ(test, ESP_FRAME_OK,
			esp_frame_decode(buf, ESP_FRAME_SIZE, false, &frame));
}

static void boot_generation_1(struct kunit *test)
{
	static const u8 version[5] = { 1, 0, 6, 0, 1 };
	struct esp_boot_info info;

	KUNIT_ASSERT_EQ(test, 0, esp_boot_parse(boot_c3_g1 + 12, 31, &info));
	KUNIT_EXPECT_EQ(test, ESP_CHIP_ESP32C3, info.chip);
	KUNIT_EXPECT_EQ(test, 30, info.clock_mhz);
	KUNIT_EXPECT_EQ(test, 0xe8, info.caps);
	KUNIT_EXPECT_EQ(test, 1, info.reset_reason);
	KUNIT_EXPECT_STREQ(test, "NG", info.project);
	KUNIT_EXPECT_MEMEQ(test, info.version, version, sizeof(version));
}

static void boot_generation_2(struct kunit *test)
{
	struct esp_boot_info info;

	KUNIT_ASSERT_EQ(test, 0, esp_boot_parse(boot_c3_g2 + 12, 46, &info));
	KUNIT_EXPECT_EQ(test, 0x1e8, info.caps);
	KUNIT_EXPECT_EQ(test, 0x4000, info.ext_caps);
	KUNIT_EXPECT_EQ(test, 1600, info.rx_buffer);
	KUNIT_EXPECT_EQ(test, 15, info.version[4]);
}

/* Cut off anywhere, it is refused; the TLV length alone does not save it. */
static void boot_truncated(struct kunit *test)
{
	struct esp_boot_info info;
	u8 copy[31];
	size_t len;

	memcpy(copy, boot_c3_g1 + 12, sizeof(copy));
	for (len = 0; len < sizeof(copy); len++)
		KUNIT_EXPECT_NE(test, 0, esp_boot_parse(copy, len, &info));
	for (len = 0; len < 23; len++) {
		copy[4] = len;
		KUNIT_EXPECT_NE(test, 0,
				esp_boot_parse(copy, sizeof(copy), &info));
	}
	copy[4] = 24;
	KUNIT_EXPECT_EQ(test, -EBADMSG,
			esp_boot_parse(copy, sizeof(copy), &info));
}

static void boot_refused(struct kunit *test)
{
	struct esp_boot_info info;
	u8 copy[31];

	memcpy(copy, boot_c3_g1 + 12, sizeof(copy));
	copy[0] = 2;
	KUNIT_EXPECT_EQ(test, -ENOMSG,
			esp_boot_parse(copy, sizeof(copy), &info));
	copy[0] = ESP_BOOT_EVENT;
	copy[1] = 1;
	KUNIT_EXPECT_EQ(test, -EREMOTEIO,
			esp_boot_parse(copy, sizeof(copy), &info));
	copy[1] = 0;

	/* a known tag twice */
	copy[11] = ESP_TAG_CHIP;
	KUNIT_EXPECT_EQ(test, -EBADMSG,
			esp_boot_parse(copy, sizeof(copy), &info));
	/* an unknown one instead: skipped, the clock is optional */
	copy[11] = 0x55;
	KUNIT_EXPECT_EQ(test, 0, esp_boot_parse(copy, sizeof(copy), &info));
	KUNIT_EXPECT_EQ(test, 0, info.clock_mhz);
	/* and instead of the chip: that one is mandatory */
	copy[11] = ESP_TAG_CLOCK;
	copy[8] = 0x55;
	KUNIT_EXPECT_EQ(test, -EBADMSG,
			esp_boot_parse(copy, sizeof(copy), &info));
	copy[8] = ESP_TAG_CHIP;
	/* a wrong length that swallows the next tag */
	copy[9] = 4;
	KUNIT_EXPECT_EQ(test, -EBADMSG,
			esp_boot_parse(copy, sizeof(copy), &info));
}

static void boot_capability_sizes(struct kunit *test)
{
	static const u8 sizes[] = { 0, 1, 2, 3, 4, 5 };
	struct esp_boot_info info;
	unsigned int i;
	u8 buf[64];

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		u8 n = sizes[i];
		u8 *p = buf + 8;
		int want = n == 1 || n == 2 || n == 4 ? 0 : -EBADMSG;

		memset(buf, 0, sizeof(buf));
		buf[0] = ESP_BOOT_EVENT;
		*p++ = ESP_TAG_CAPABILITY;
		*p++ = n;
		memset(p, 0xa0, n);
		p += n;
		*p++ = ESP_TAG_CHIP;
		*p++ = 1;
		*p++ = ESP_CHIP_ESP32;
		*p++ = ESP_TAG_FIRMWARE;
		*p++ = 12;
		p += 12;
		buf[4] = p - (buf + 8);
		KUNIT_EXPECT_EQ(test, want,
				esp_boot_parse(buf, p - buf, &info));
	}
}

static void version_order(struct kunit *test)
{
	static const u8 v1[5] = { 1, 0, 5, 0, 4 };
	static const u8 v2[5] = { 1, 0, 6, 0, 7 };

	KUNIT_EXPECT_TRUE(test, esp_version_before(v1, v2));
	KUNIT_EXPECT_FALSE(test, esp_version_before(v2, v1));
	KUNIT_EXPECT_FALSE(test, esp_version_before(v1, v1));
}

/* As it comes out of a bus that samples some bits too late or too early */
static void shifted_boot_events_are_recognised(struct kunit *test)
{
	u8 *wire = test_buffer(test);
	u8 *buf = test_buffer(test);
	unsigned int n;
	size_t i;

	for (n = 1; n < 8; n++) {
		memcpy(wire, boot_c3_g2, sizeof(boot_c3_g2));
		/* late: the first bits are none of the frame's */
		buf[0] = 0xff << (8 - n) | wire[0] >> n;
		for (i = 1; i < ESP_FRAME_SIZE; i++)
			buf[i] = wire[i - 1] << (8 - n) | wire[i] >> n;
		KUNIT_EXPECT_EQ(test, (int)n,
				esp_frame_find_shift(buf, ESP_FRAME_SIZE));
		if (n > 6)
			continue;
		/* early: the first bits are lost; those of 0x03 are zero */
		for (i = 0; i < ESP_FRAME_SIZE - 1; i++)
			buf[i] = wire[i] << n | wire[i + 1] >> (8 - n);
		KUNIT_EXPECT_EQ(test, -(int)n,
				esp_frame_find_shift(buf, ESP_FRAME_SIZE));
	}
}

static void other_things_are_not_shifted(struct kunit *test)
{
	u8 *buf = test_buffer(test);
	unsigned int i;

	KUNIT_EXPECT_EQ(test, 0, esp_frame_find_shift(buf, ESP_FRAME_SIZE));
	memset(buf, 0xff, ESP_FRAME_SIZE);
	KUNIT_EXPECT_EQ(test, 0, esp_frame_find_shift(buf, ESP_FRAME_SIZE));
	memcpy(buf, boot_c3_g1, sizeof(boot_c3_g1));
	KUNIT_EXPECT_EQ(test, 0, esp_frame_find_shift(buf, ESP_FRAME_SIZE));
	for (i = 0; i < ESP_FRAME_SIZE; i++)
		buf[i] = i * 37 + 11;
	KUNIT_EXPECT_EQ(test, 0, esp_frame_find_shift(buf, ESP_FRAME_SIZE));
	KUNIT_EXPECT_EQ(test, 0, esp_frame_find_shift(buf, 16));
}

static struct kunit_case frame_cases[] = {
	KUNIT_CASE(shifted_boot_events_are_recognised),
	KUNIT_CASE(other_things_are_not_shifted),
	KUNIT_CASE(checksum_vectors),
	KUNIT_CASE(checksum_lengths),
	KUNIT_CASE(encode_vectors),
	KUNIT_CASE(decode_good),
	KUNIT_CASE(decode_nothing),
	KUNIT_CASE_PARAM(decode_limits, decode_gen_params),
	KUNIT_CASE(decode_flipped_bits),
	KUNIT_CASE(decode_checksum_off),
	KUNIT_CASE(boot_generation_1),
	KUNIT_CASE(boot_generation_2),
	KUNIT_CASE(boot_truncated),
	KUNIT_CASE(boot_refused),
	KUNIT_CASE(boot_capability_sizes),
	KUNIT_CASE(version_order),
	{}
};

static struct kunit_suite frame_suite = {
	.name = "esp_hosted_frame",
	.test_cases = frame_cases,
};

kunit_test_suite(frame_suite);

MODULE_DESCRIPTION("KUnit tests of ESP-Hosted framing");
MODULE_LICENSE("GPL");
