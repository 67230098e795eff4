// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit tests of generation.c: events of both generations, and which response
 * belongs to which command.
 */

#include <kunit/test.h>
#include <linux/module.h>

#include "../generation.c"

static const u8 peer[ETH_ALEN] = { 0x02, 0, 0, 0, 0, 0x01 };

#define BODY	(24 + 6 + 3)	/* header, fixed fields, a few elements */

static u8 *event_buffer(struct kunit *test)
{
	u8 *data = kunit_kzalloc(test, ESP_PAYLOAD_MAX, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, data);

	return data;
}

static void put_frame(u8 *frame, u16 subtype)
{
	struct ieee80211_hdr_3addr *hdr = (void *)frame;

	hdr->frame_control = cpu_to_le16(IEEE80211_FTYPE_MGMT | subtype);
	memcpy(hdr->addr2, peer, ETH_ALEN);
	memcpy(hdr->addr3, peer, ETH_ALEN);
}

static size_t put_auth(u8 *data, u16 seq)
{
	struct esp_event_frame *ev = (void *)data;

	memcpy(ev->bssid, peer, ETH_ALEN);
	ev->subtype = IEEE80211_STYPE_AUTH >> 4;
	ev->channel = 6;
	ev->rssi = cpu_to_le32(-42);
	ev->len = cpu_to_le16(BODY);
	ev->seq = cpu_to_le16(seq);
	put_frame(ev->frame, IEEE80211_STYPE_AUTH);

	return sizeof(*ev) + BODY;
}

static size_t put_assoc(const struct esp_layout *layout, u8 *data, u16 seq)
{
	struct esp_event_assoc_g1 *ev = (void *)data;

	memcpy(ev->bssid, peer, ETH_ALEN);
	ev->subtype = IEEE80211_STYPE_ASSOC_RESP >> 4;
	put_unaligned_le16(BODY, data + layout->assoc_len);
	if (layout->assoc_seq)
		put_unaligned_le16(seq, data + layout->assoc_seq);
	put_frame(data + layout->assoc_frame, IEEE80211_STYPE_ASSOC_RESP);

	return layout->assoc_frame + BODY;
}

static void layout_offsets(struct kunit *test)
{
	const struct esp_layout *g1 = &esp_layouts[ESP_GEN_1];
	const struct esp_layout *g2 = &esp_layouts[ESP_GEN_2];

	KUNIT_EXPECT_EQ(test, 44, g1->disconnect_size);
	KUNIT_EXPECT_EQ(test, 46, g2->disconnect_size);
	KUNIT_EXPECT_EQ(test, 44, g2->disconnect_seq);
	KUNIT_EXPECT_EQ(test, 26, g2->auth_seq);
	KUNIT_EXPECT_EQ(test, 46, g1->assoc_len);
	KUNIT_EXPECT_EQ(test, 60, g1->assoc_frame);
	KUNIT_EXPECT_EQ(test, 46, g2->assoc_seq);
	KUNIT_EXPECT_EQ(test, 48, g2->assoc_len);
	KUNIT_EXPECT_EQ(test, 62, g2->assoc_frame);
	/* A firmware that is not known yet is read like the first one. */
	KUNIT_EXPECT_EQ(test, 0,
			memcmp(&esp_layouts[ESP_GEN_UNKNOWN], g1, sizeof(*g1)));
}

static void scan_lengths(struct kunit *test)
{
	struct esp_event_frame *ev;
	struct esp_mgmt_rx rx;
	u8 *data = event_buffer(test);
	size_t size = sizeof(*ev) + 40;
	size_t n;

	ev = (void *)data;
	memcpy(ev->bssid, peer, ETH_ALEN);
	for (n = 0; n <= U16_MAX; n++) {
		ev->len = cpu_to_le16(n);
		KUNIT_ASSERT_EQ(test, n >= ESP_BEACON_FIXED && n <= 40,
				!esp_decode_scan(data, size, &rx));
	}
	ev->len = cpu_to_le16(ESP_BEACON_FIXED);
	for (n = 0; n < sizeof(*ev) + ESP_BEACON_FIXED; n++)
		KUNIT_ASSERT_EQ(test, -EBADMSG, esp_decode_scan(data, n, &rx));
	ev->bssid[0] |= 1;
	KUNIT_EXPECT_EQ(test, -EBADMSG, esp_decode_scan(data, size, &rx));
	memset(ev->bssid, 0, ETH_ALEN);
	KUNIT_EXPECT_EQ(test, -EBADMSG, esp_decode_scan(data, size, &rx));
}

static void auth_fields(struct kunit *test)
{
	u8 *data = event_buffer(test);
	size_t size = put_auth(data, 7);
	struct esp_mgmt_rx rx;

	KUNIT_ASSERT_EQ(test, 0, esp_decode_auth(&esp_layouts[ESP_GEN_2], data,
						 size, &rx));
	KUNIT_EXPECT_EQ(test, 7, rx.seq);
	KUNIT_EXPECT_EQ(test, 6, rx.channel);
	KUNIT_EXPECT_EQ(test, -42, rx.rssi);
	KUNIT_EXPECT_EQ(test, BODY, rx.len);
	KUNIT_EXPECT_PTR_EQ(test, data + 28, rx.frame);
	KUNIT_EXPECT_EQ(test, 0, memcmp(rx.bssid, peer, ETH_ALEN));
	KUNIT_ASSERT_EQ(test, 0, esp_decode_auth(&esp_layouts[ESP_GEN_1], data,
						 size, &rx));
	KUNIT_EXPECT_EQ(test, 0, rx.seq);
}

static void auth_refused(struct kunit *test)
{
	const struct esp_layout *g1 = &esp_layouts[ESP_GEN_1];
	struct esp_event_frame *ev;
	u8 *data = event_buffer(test);
	size_t size = put_auth(data, 0);
	struct esp_mgmt_rx rx;
	size_t n;

	for (n = 0; n < size; n++)
		KUNIT_ASSERT_EQ(test, -EBADMSG,
				esp_decode_auth(g1, data, n, &rx));
	ev = (void *)data;
	ev->len = cpu_to_le16(29);
	KUNIT_EXPECT_EQ(test, -EBADMSG, esp_decode_auth(g1, data, size, &rx));
	ev->len = cpu_to_le16(BODY + 1);
	KUNIT_EXPECT_EQ(test, -EBADMSG, esp_decode_auth(g1, data, size, &rx));

	put_auth(data, 0);
	ev->frame[0] = 0xc0;
	KUNIT_EXPECT_EQ(test, -EBADMSG, esp_decode_auth(g1, data, size, &rx));
	put_auth(data, 0);
	ev->frame[10] ^= 1;
	KUNIT_EXPECT_EQ(test, -EBADMSG, esp_decode_auth(g1, data, size, &rx));
	put_auth(data, 0);
	ev->subtype = 8;
	KUNIT_EXPECT_EQ(test, -EBADMSG, esp_decode_auth(g1, data, size, &rx));
}

static void assoc_generations(struct kunit *test)
{
	enum esp_generation gen;
	struct esp_mgmt_rx rx;
	u8 *data;

	for (gen = ESP_GEN_1; gen < ESP_GEN_COUNT; gen++) {
		const struct esp_layout *layout = &esp_layouts[gen];
		const struct esp_layout *other =
			&esp_layouts[ESP_GEN_1 + ESP_GEN_2 - gen];
		size_t size;
		size_t n;

		data = event_buffer(test);
		size = put_assoc(layout, data, 9);
		KUNIT_ASSERT_EQ(test, 0,
				esp_decode_assoc(layout, data, size, &rx));
		KUNIT_EXPECT_EQ(test, gen == ESP_GEN_2 ? 9 : 0, rx.seq);
		KUNIT_EXPECT_EQ(test, BODY, rx.len);
		KUNIT_EXPECT_PTR_EQ(test, data + layout->assoc_frame, rx.frame);
		KUNIT_EXPECT_EQ(test, -EPROTO,
				esp_decode_assoc(other, data, size, &rx));
		for (n = 0; n < size; n++)
			KUNIT_ASSERT_EQ(test, -EBADMSG,
					esp_decode_assoc(layout, data, n, &rx));
		data[layout->assoc_frame + 10] ^= 1;
		KUNIT_EXPECT_EQ(test, -EBADMSG,
				esp_decode_assoc(layout, data, size, &rx));
	}
}

static void disconnect_generations(struct kunit *test)
{
	const struct esp_layout *g1 = &esp_layouts[ESP_GEN_1];
	const struct esp_layout *g2 = &esp_layouts[ESP_GEN_2];
	u8 *data = event_buffer(test);
	struct esp_disconnect_rx rx;
	size_t n;

	memcpy(data + 4, peer, ETH_ALEN);
	data[43] = 3;
	data[44] = 8;
	KUNIT_ASSERT_EQ(test, 0, esp_decode_disconnect(g2, data, 46, &rx));
	KUNIT_EXPECT_EQ(test, 3, rx.reason);
	KUNIT_EXPECT_EQ(test, 8, rx.seq);
	KUNIT_EXPECT_EQ(test, 0, memcmp(rx.bssid, peer, ETH_ALEN));
	KUNIT_ASSERT_EQ(test, 0, esp_decode_disconnect(g1, data, 44, &rx));
	KUNIT_EXPECT_EQ(test, 0, rx.seq);
	KUNIT_EXPECT_EQ(test, -EPROTO, esp_decode_disconnect(g1, data, 46, &rx));
	KUNIT_EXPECT_EQ(test, -EPROTO, esp_decode_disconnect(g2, data, 44, &rx));
	for (n = 0; n < 64; n++) {
		if (n != 44 && n != 46)
			KUNIT_ASSERT_EQ(test, -EBADMSG,
					esp_decode_disconnect(g2, data, n,
							      &rx));
	}
}

static void ap_mgmt_lengths(struct kunit *test)
{
	struct esp_event_ap_mgmt *ev;
	u8 *data = event_buffer(test);
	size_t size = sizeof(*ev) + 40;
	struct esp_mgmt_rx rx;
	u32 n;

	ev = (void *)data;
	put_frame(ev->frame, IEEE80211_STYPE_AUTH);
	ev->channel = cpu_to_le32(11);
	for (n = 0; n < 100; n++) {
		ev->len = cpu_to_le32(n);
		KUNIT_ASSERT_EQ(test, n >= 24 && n <= 40,
				!esp_decode_ap_mgmt(data, size, &rx));
	}
	ev->len = cpu_to_le32(U32_MAX);
	KUNIT_EXPECT_EQ(test, -EBADMSG, esp_decode_ap_mgmt(data, size, &rx));
	ev->len = cpu_to_le32(40);
	KUNIT_ASSERT_EQ(test, 0, esp_decode_ap_mgmt(data, size, &rx));
	KUNIT_EXPECT_EQ(test, 11, rx.channel);
	KUNIT_EXPECT_EQ(test, 11, rx.subtype);
	/* A data frame is not one. */
	ev->frame[0] = 0x08;
	KUNIT_EXPECT_EQ(test, -EBADMSG, esp_decode_ap_mgmt(data, size, &rx));
	for (n = 0; n < sizeof(*ev) + 24; n++)
		KUNIT_ASSERT_EQ(test, -EBADMSG,
				esp_decode_ap_mgmt(data, n, &rx));
}

static void responses(struct kunit *test)
{
	const struct esp_layout *g1 = &esp_layouts[ESP_GEN_1];
	const struct esp_layout *g2 = &esp_layouts[ESP_GEN_2];

	KUNIT_EXPECT_TRUE(test, esp_response_matches(g1, 4, 9, 4, 0));
	KUNIT_EXPECT_FALSE(test, esp_response_matches(g1, 4, 9, 5, 0));
	KUNIT_EXPECT_FALSE(test, esp_response_matches(g1, 4, 9, 4, 8));
	KUNIT_EXPECT_TRUE(test, esp_response_matches(g1, ESP_CMD_GET_REGDOM, 9,
						     ESP_CMD_SET_REGDOM, 0));
	KUNIT_EXPECT_FALSE(test, esp_response_matches(g1, ESP_CMD_SET_REGDOM, 9,
						      ESP_CMD_GET_REGDOM, 0));

	KUNIT_EXPECT_TRUE(test, esp_response_matches(g2, 4, 9, 4, 9));
	KUNIT_EXPECT_FALSE(test, esp_response_matches(g2, 4, 9, 4, 0));
	KUNIT_EXPECT_FALSE(test, esp_response_matches(g2, 4, 9, 4, 8));
	KUNIT_EXPECT_FALSE(test, esp_response_matches(g2, ESP_CMD_GET_REGDOM, 9,
						      ESP_CMD_SET_REGDOM, 9));
	/* The first command of all, whoever answers it */
	KUNIT_EXPECT_TRUE(test,
			  esp_response_matches(&esp_layouts[ESP_GEN_UNKNOWN],
					       ESP_CMD_INIT_IF, 1,
					       ESP_CMD_INIT_IF, 1));
}

static struct kunit_case generation_cases[] = {
	KUNIT_CASE(layout_offsets),
	KUNIT_CASE(scan_lengths),
	KUNIT_CASE(auth_fields),
	KUNIT_CASE(auth_refused),
	KUNIT_CASE(assoc_generations),
	KUNIT_CASE(disconnect_generations),
	KUNIT_CASE(ap_mgmt_lengths),
	KUNIT_CASE(responses),
	{}
};

static struct kunit_suite generation_suite = {
	.name = "esp_hosted_generation",
	.test_cases = generation_cases,
};

kunit_test_suite(generation_suite);

MODULE_DESCRIPTION("KUnit tests of the generations of the ESP-Hosted protocol");
MODULE_LICENSE("GPL");
