// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit tests of cmd.c: which answer belongs to which command.
 *
 * The code under test is included. The link is a function of each test that
 * gets the request and may answer it, several times, wrongly or not at all.
 */

#include <kunit/test.h>
#include <linux/module.h>

/* No tracepoints: the driver's own may be loaded as well. */
#define ESP_HOSTED_TRACE_H
#include "../esp_hosted.h"

static void trace_esp_command(const struct esp_hosted *esp, u8 code, u16 seq)
{
}

static void trace_esp_command_done(const struct esp_hosted *esp, u8 code,
				   u16 seq, u8 status, int err)
{
}

#include "../frame.c"
#include "../generation.c"
#include "../cmd.c"

/* What a test has in place of a co-processor */
struct fake {
	struct esp_hosted esp;
	void (*answer)(struct fake *fake, const struct esp_cmd_hdr *request);
	struct sk_buff *sent;
	unsigned int requests;
	unsigned int recovered;
	unsigned int events;
	u8 last[ESP_TX_PAYLOAD_MAX];
	size_t last_len;
};

static struct fake *to_fake(struct esp_hosted *esp)
{
	return container_of(esp, struct fake, esp);
}

void esp_link_send(struct esp_link *link, struct sk_buff_head *queue,
		   struct sk_buff *skb)
{
	struct fake *fake = to_fake(link->esp);

	fake->requests++;
	fake->last_len = skb->len;
	memcpy(fake->last, skb->data, skb->len);
	kfree_skb(skb);
	if (fake->answer)
		fake->answer(fake, (const struct esp_cmd_hdr *)fake->last);
}

bool esp_link_unsend(struct esp_link *link, struct sk_buff *skb)
{
	return false;
}

void esp_link_expect(struct esp_link *link, enum esp_expect what, bool on)
{
}

void esp_recover(struct esp_hosted *esp, const char *reason)
{
	to_fake(esp)->recovered++;
}

void esp_event_rx(struct esp_hosted *esp, const struct esp_frame *frame)
{
	to_fake(esp)->events++;
}

/* Have the co-processor send a response with @data behind its header. */
static void respond(struct fake *fake, u8 code, u8 status, u16 seq,
		    const void *data, size_t len, size_t claimed)
{
	u8 payload[64] = {};
	struct esp_cmd_hdr *hdr = (struct esp_cmd_hdr *)payload;
	struct esp_frame frame = {
		.if_type = ESP_IF_STA,
		.pkt_type = ESP_PKT_RESPONSE,
		.payload = payload,
		.len = sizeof(*hdr) + len,
	};

	hdr->code = code;
	hdr->status = status;
	hdr->len = cpu_to_le16(claimed);
	hdr->seq = cpu_to_le16(seq);
	if (len)
		memcpy(payload + sizeof(*hdr), data, len);
	esp_cmd_response(&fake->esp, &frame);
}

static void answer_well(struct fake *fake, const struct esp_cmd_hdr *request)
{
	u16 seq = fake->esp.gen == ESP_GEN_2 ? le16_to_cpu(request->seq) : 0;

	respond(fake, request->code, ESP_STATUS_SUCCESS, seq, NULL, 0, 0);
}

static int run(struct fake *fake, u8 code)
{
	return esp_cmd_simple(&fake->esp, code, ESP_IF_STA);
}

static unsigned long unexpected(const struct fake *fake)
{
	return esp_stat(&fake->esp, ESP_STAT_RESP_UNEXPECTED);
}

static unsigned long malformed(const struct fake *fake)
{
	return esp_stat(&fake->esp, ESP_STAT_RESP_MALFORMED);
}

static void answered(struct kunit *test)
{
	struct fake *fake = test->priv;

	fake->answer = answer_well;
	KUNIT_EXPECT_EQ(test, 0, run(fake, ESP_CMD_SCAN));
	fake->esp.gen = ESP_GEN_2;
	KUNIT_EXPECT_EQ(test, 0, run(fake, ESP_CMD_SCAN));
	KUNIT_EXPECT_EQ(test, 0, unexpected(fake));
}

/* Generation 2 is deaf to sequence number 0. */
static void sequence_is_never_zero(struct kunit *test)
{
	struct fake *fake = test->priv;
	unsigned int i;

	fake->answer = answer_well;
	fake->esp.cmd.seq = 0xfffe;
	for (i = 0; i < 4; i++) {
		const struct esp_cmd_hdr *hdr = (const void *)fake->last;

		KUNIT_EXPECT_EQ(test, 0, run(fake, ESP_CMD_GET_MAC));
		KUNIT_EXPECT_NE(test, 0, le16_to_cpu(hdr->seq));
	}
}

static void answer_other_code(struct fake *fake,
			      const struct esp_cmd_hdr *request)
{
	respond(fake, ESP_CMD_DISCONNECT, ESP_STATUS_FAIL,
		le16_to_cpu(request->seq), NULL, 0, 0);
	answer_well(fake, request);
}

static void other_codes_are_dropped(struct kunit *test)
{
	struct fake *fake = test->priv;

	fake->answer = answer_other_code;
	KUNIT_EXPECT_EQ(test, 0, run(fake, ESP_CMD_SCAN));
	KUNIT_EXPECT_EQ(test, 1, unexpected(fake));
	fake->esp.gen = ESP_GEN_2;
	KUNIT_EXPECT_EQ(test, 0, run(fake, ESP_CMD_SCAN));
	KUNIT_EXPECT_EQ(test, 2, unexpected(fake));
}

static void answer_other_sequence(struct fake *fake,
				  const struct esp_cmd_hdr *request)
{
	respond(fake, request->code, ESP_STATUS_FAIL,
		le16_to_cpu(request->seq) - 1, NULL, 0, 0);
	respond(fake, request->code, ESP_STATUS_FAIL, 0, NULL, 0, 0);
	answer_well(fake, request);
}

static void other_sequences_are_dropped(struct kunit *test)
{
	struct fake *fake = test->priv;

	fake->esp.gen = ESP_GEN_2;
	fake->answer = answer_other_sequence;
	KUNIT_EXPECT_EQ(test, 0, run(fake, ESP_CMD_SCAN));
	KUNIT_EXPECT_EQ(test, 2, unexpected(fake));
}

static void answer_twice(struct fake *fake, const struct esp_cmd_hdr *request)
{
	answer_well(fake, request);
	answer_well(fake, request);
}

static void a_second_answer_is_dropped(struct kunit *test)
{
	struct fake *fake = test->priv;

	fake->answer = answer_twice;
	KUNIT_EXPECT_EQ(test, 0, run(fake, ESP_CMD_SCAN));
	KUNIT_EXPECT_EQ(test, 1, unexpected(fake));
}

static void unasked_answers_are_dropped(struct kunit *test)
{
	struct fake *fake = test->priv;

	respond(fake, ESP_CMD_SCAN, ESP_STATUS_SUCCESS, 0, NULL, 0, 0);
	KUNIT_EXPECT_EQ(test, 1, unexpected(fake));
}

/* Generation 1 sends these whenever a frame went out, its own included. */
static void transmit_status_is_no_answer(struct kunit *test)
{
	struct fake *fake = test->priv;

	respond(fake, ESP_CMD_MGMT_TX, ESP_STATUS_SUCCESS, 0, NULL, 0, 0);
	KUNIT_EXPECT_EQ(test, 1, fake->events);
	KUNIT_EXPECT_EQ(test, 0, unexpected(fake));
	fake->esp.gen = ESP_GEN_2;
	respond(fake, ESP_CMD_MGMT_TX, ESP_STATUS_SUCCESS, 7, NULL, 0, 0);
	KUNIT_EXPECT_EQ(test, 1, fake->events);
	KUNIT_EXPECT_EQ(test, 1, unexpected(fake));
}

static void answer_regdom(struct fake *fake, const struct esp_cmd_hdr *request)
{
	respond(fake, ESP_CMD_SET_REGDOM, ESP_STATUS_SUCCESS, 0, NULL, 0, 0);
}

static void regdom_is_answered_under_another_code(struct kunit *test)
{
	struct fake *fake = test->priv;

	fake->answer = answer_regdom;
	KUNIT_EXPECT_EQ(test, 0, run(fake, ESP_CMD_GET_REGDOM));
	KUNIT_EXPECT_EQ(test, 0, unexpected(fake));
}

static void answer_short(struct fake *fake, const struct esp_cmd_hdr *request)
{
	u8 payload[sizeof(*request)] = { request->code, ESP_STATUS_SUCCESS };
	struct esp_frame frame = { .payload = payload };

	for (frame.len = 1; frame.len < sizeof(payload); frame.len++)
		esp_cmd_response(&fake->esp, &frame);
	/* Claims a result that is not there. */
	respond(fake, request->code, ESP_STATUS_SUCCESS, 0, payload, 4, 5);
	respond(fake, request->code, ESP_STATUS_SUCCESS, 0, NULL, 0, 0xffff);
	answer_well(fake, request);
}

static void malformed_answers_are_dropped(struct kunit *test)
{
	struct fake *fake = test->priv;

	fake->answer = answer_short;
	KUNIT_EXPECT_EQ(test, 0, run(fake, ESP_CMD_SCAN));
	KUNIT_EXPECT_EQ(test, 7 + 2, malformed(fake));
}

static void answer_mac(struct fake *fake, const struct esp_cmd_hdr *request)
{
	static const u8 data[18] = { 2, 0, 0, 0, 0, 1, 0xee, 0xee };

	respond(fake, request->code, ESP_STATUS_SUCCESS, 0, data, sizeof(data),
		sizeof(data));
}

static void answer_half_a_mac(struct fake *fake,
			      const struct esp_cmd_hdr *request)
{
	respond(fake, request->code, ESP_STATUS_SUCCESS, 0, "\2\0\0", 3, 3);
}

static void results_are_bounded(struct kunit *test)
{
	static const u8 want[ESP_MAC_LEN] = { 2, 0, 0, 0, 0, 1 };
	struct fake *fake = test->priv;
	u8 mac[ESP_MAC_LEN + 1] = { [ESP_MAC_LEN] = 0x55 };

	fake->answer = answer_mac;
	KUNIT_EXPECT_EQ(test, 0, esp_cmd_get_mac(&fake->esp, ESP_IF_STA, mac));
	KUNIT_EXPECT_MEMEQ(test, mac, want, sizeof(want));
	KUNIT_EXPECT_EQ(test, 0x55, mac[ESP_MAC_LEN]);

	memset(mac, 0xaa, sizeof(mac));
	fake->answer = answer_half_a_mac;
	KUNIT_EXPECT_EQ(test, -EPROTO,
			esp_cmd_get_mac(&fake->esp, ESP_IF_STA, mac));
	KUNIT_EXPECT_EQ(test, 0xaa, mac[0]);
}

static void answer_status(struct fake *fake, const struct esp_cmd_hdr *request)
{
	respond(fake, request->code, fake->esp.mode, 0, NULL, 0, 0);
}

static void statuses_are_errors(struct kunit *test)
{
	static const struct {
		u8 status;
		int err;
	} cases[] = {
		{ ESP_STATUS_PENDING, -EPROTO },
		{ ESP_STATUS_FAIL, -EIO },
		{ ESP_STATUS_SUCCESS, 0 },
		{ ESP_STATUS_BUSY, -EBUSY },
		{ ESP_STATUS_UNSUPPORTED, -EOPNOTSUPP },
		{ ESP_STATUS_INVALID, -EINVAL },
		{ 6, -EPROTO },
		{ 0xff, -EPROTO },
	};
	struct fake *fake = test->priv;
	unsigned int i;

	fake->answer = answer_status;
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		fake->esp.mode = cases[i].status;
		KUNIT_EXPECT_EQ(test, cases[i].err, run(fake, ESP_CMD_SCAN));
	}
}

static void answer_restart(struct fake *fake,
			   const struct esp_cmd_hdr *request)
{
	esp_cmd_cancel(&fake->esp, -ECONNRESET);
	/* Too late, nobody waits for it any more. */
	answer_well(fake, request);
}

static void a_restart_ends_the_command(struct kunit *test)
{
	struct fake *fake = test->priv;

	fake->answer = answer_restart;
	KUNIT_EXPECT_EQ(test, -ECONNRESET, run(fake, ESP_CMD_SCAN));
	KUNIT_EXPECT_EQ(test, 1, unexpected(fake));
	KUNIT_EXPECT_EQ(test, 0, fake->recovered);
	fake->answer = answer_well;
	KUNIT_EXPECT_EQ(test, 0, run(fake, ESP_CMD_SCAN));
}

/* The short time-out of a device that goes away, for the sake of this test */
static void silence_asks_for_a_reset_once(struct kunit *test)
{
	struct fake *fake = test->priv;

	set_bit(ESP_FLAG_REMOVING, &fake->esp.flags);
	KUNIT_EXPECT_EQ(test, -ETIMEDOUT, run(fake, ESP_CMD_SCAN));
	KUNIT_EXPECT_EQ(test, 1, fake->recovered);
	KUNIT_EXPECT_EQ(test, 1, esp_stat(&fake->esp, ESP_STAT_CMD_TIMEOUTS));
	/* A late answer does not become that of the next command. */
	respond(fake, ESP_CMD_SCAN, ESP_STATUS_FAIL, 0, NULL, 0, 0);
	KUNIT_EXPECT_EQ(test, 1, unexpected(fake));
	fake->answer = answer_well;
	KUNIT_EXPECT_EQ(test, 0, run(fake, ESP_CMD_SCAN));
}

static void too_long_is_refused(struct kunit *test)
{
	struct esp_cmd cmd = { .code = ESP_CMD_SET_IE };
	struct fake *fake = test->priv;
	struct esp_req_ie req = {};
	u8 *tail;

	tail = kunit_kzalloc(test, ESP_FRAME_SIZE, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, tail);
	fake->answer = answer_well;
	KUNIT_EXPECT_EQ(test, -EMSGSIZE,
			esp_cmd_exec(&fake->esp, &cmd, &req, sizeof(req), tail,
				     ESP_TX_PAYLOAD_MAX - sizeof(req) + 1));
	KUNIT_EXPECT_EQ(test, 0, fake->requests);
	KUNIT_EXPECT_EQ(test, 0,
			esp_cmd_exec(&fake->esp, &cmd, &req, sizeof(req), tail,
				     ESP_TX_PAYLOAD_MAX - sizeof(req)));
	KUNIT_EXPECT_EQ(test, ESP_TX_PAYLOAD_MAX, fake->last_len);
}

static void out_of_service(struct kunit *test)
{
	struct fake *fake = test->priv;
	u8 mac[ESP_MAC_LEN];

	fake->answer = answer_mac;
	fake->esp.state = ESP_STATE_STARTING;
	KUNIT_EXPECT_EQ(test, -ENETDOWN, run(fake, ESP_CMD_SCAN));
	KUNIT_EXPECT_EQ(test, 0, esp_cmd_get_mac(&fake->esp, ESP_IF_STA, mac));
	fake->esp.state = ESP_STATE_RESET;
	KUNIT_EXPECT_EQ(test, -ENETDOWN,
			esp_cmd_get_mac(&fake->esp, ESP_IF_STA, mac));
	fake->esp.state = ESP_STATE_GONE;
	KUNIT_EXPECT_EQ(test, -ENODEV, run(fake, ESP_CMD_SCAN));
	KUNIT_EXPECT_EQ(test, 1, fake->requests);
}

static int cmd_init(struct kunit *test)
{
	struct fake *fake = kunit_kzalloc(test, sizeof(*fake), GFP_KERNEL);
	struct device *dev;

	KUNIT_ASSERT_NOT_NULL(test, fake);
	dev = root_device_register("esp_hosted_cmd_test");
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, dev);
	fake->esp.dev = dev;
	fake->esp.link.esp = &fake->esp;
	fake->esp.state = ESP_STATE_RUNNING;
	fake->esp.gen = ESP_GEN_1;
	esp_cmd_init(&fake->esp);
	test->priv = fake;

	return 0;
}

static void cmd_exit(struct kunit *test)
{
	struct fake *fake = test->priv;

	root_device_unregister(fake->esp.dev);
}

static struct kunit_case cmd_cases[] = {
	KUNIT_CASE(answered),
	KUNIT_CASE(sequence_is_never_zero),
	KUNIT_CASE(other_codes_are_dropped),
	KUNIT_CASE(other_sequences_are_dropped),
	KUNIT_CASE(a_second_answer_is_dropped),
	KUNIT_CASE(unasked_answers_are_dropped),
	KUNIT_CASE(transmit_status_is_no_answer),
	KUNIT_CASE(regdom_is_answered_under_another_code),
	KUNIT_CASE(malformed_answers_are_dropped),
	KUNIT_CASE(results_are_bounded),
	KUNIT_CASE(statuses_are_errors),
	KUNIT_CASE(a_restart_ends_the_command),
	KUNIT_CASE(silence_asks_for_a_reset_once),
	KUNIT_CASE(too_long_is_refused),
	KUNIT_CASE(out_of_service),
	{}
};

static struct kunit_suite cmd_suite = {
	.name = "esp_hosted_cmd",
	.init = cmd_init,
	.exit = cmd_exit,
	.test_cases = cmd_cases,
};

kunit_test_suite(cmd_suite);

MODULE_DESCRIPTION("KUnit tests of the ESP-Hosted control channel");
MODULE_LICENSE("GPL");
