// SPDX-License-Identifier: GPL-2.0-only
/*
 * The state of a device as text: for debugfs, and for a device coredump when
 * the co-processor had to be reset or restarted by itself.
 *
 * A coredump and not a devlink health reporter: it is what the other cfg80211
 * drivers make, so distributions collect it already, and it needs nothing but
 * a file to read. It holds no keys and no user data, see ESP_LOG_BYTES.
 */

#include <linux/devcoredump.h>
#include <linux/gpio/consumer.h>
#include <linux/utsname.h>
#include <linux/vmalloc.h>

#include "esp_hosted.h"

struct esp_text {
	char *buf;
	size_t size;
	size_t len;
};

static __printf(2, 3) void esp_put(struct esp_text *t, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	t->len += vscnprintf(t->buf + t->len, t->size - t->len, fmt, args);
	va_end(args);
}

static void esp_put_state(struct esp_text *t, struct esp_hosted *esp)
{
	esp_put(t, "state: %s\n", esp_state_name(READ_ONCE(esp->state)));
	esp_put(t, "firmware: %s\n",
		esp->fw_version[0] ? esp->fw_version : "unknown");
	esp_put(t, "generation: %d\n", esp->gen);
	esp_put(t, "chip: %#x\n", esp->boot.chip);
	esp_put(t, "capabilities: %#x, extended %#x\n", esp->boot.caps,
		esp->boot.ext_caps);
}

static void esp_put_lines(struct esp_text *t, struct esp_hosted *esp)
{
	struct esp_link *link = &esp->link;
	unsigned int ac;

	esp_put(t, "handshake: %d\n", gpiod_get_value_cansleep(link->hs));
	esp_put(t, "data-ready: %d\n", gpiod_get_value_cansleep(link->dr));
	esp_put(t, "reset: %s\n", !esp->reset ? "not wired" :
		gpiod_get_value_cansleep(esp->reset) ? "asserted" : "released");
	esp_put(t, "spi mode: %lu\n",
		(unsigned long)(link->spi->mode & SPI_MODE_3));
	esp_put(t, "spi clock: %u Hz (at most %u Hz)\n", link->xfer.speed_hz,
		link->max_hz);
	esp_put(t, "checksum: %s\n", str_on_off(link->checksum));
	esp_put(t, "bus owner: %s\n",
		link->worker ? "worker" : "interrupt thread");
	esp_put(t, "link flags: %#lx, expecting %#lx, seen %#lx\n",
		link->flags, link->expect, link->seen);
	esp_put(t, "queued: control %u, hci %u, data",
		skb_queue_len_lockless(&link->control),
		skb_queue_len_lockless(&link->hci));
	for (ac = 0; ac < ESP_AC_COUNT; ac++)
		esp_put(t, " %u", skb_queue_len_lockless(&link->data[ac]));
	esp_put(t, "\n");
}

static void esp_put_frames(struct esp_text *t, struct esp_link *link)
{
	u64 now = ktime_get_boottime_ns();
	unsigned long i = 0;

	esp_put(t, "last frame sent: %*ph\n", (int)sizeof(link->last_tx),
		link->last_tx);
	esp_put(t, "last frame received: %*ph\n", (int)sizeof(link->last_rx),
		link->last_rx);
	esp_put(t, "transactions with something to say, of %lu:\n",
		link->logged);
	if (link->logged > ESP_LOG_ENTRIES)
		i = link->logged - ESP_LOG_ENTRIES;
	for (; i < link->logged; i++) {
		const struct esp_log *e = &link->log[i % ESP_LOG_ENTRIES];

		esp_put(t, "  %llu us ago:", div_u64(now - e->when, 1000));
		if (e->err)
			esp_put(t, " error %d", e->err);
		if (e->sent)
			esp_put(t, " sent %*ph", ESP_LOG_BYTES, e->tx);
		if (!e->err && e->verdict != ESP_FRAME_IDLE)
			esp_put(t, " received (%s) %*ph",
				esp_frame_verdict_name(e->verdict),
				ESP_LOG_BYTES, e->rx);
		esp_put(t, "\n");
	}
}

static void esp_put_counters(struct esp_text *t, struct esp_hosted *esp)
{
	unsigned int i;

	for (i = 0; i < ESP_STAT_COUNT; i++)
		esp_put(t, "%s: %lu\n", esp_stat_names[i], esp_stat(esp, i));
}

/**
 * esp_report - describe a device
 * @esp: the device, link initialised
 * @reason: why, %NULL if somebody just asked
 * @buf: where to
 * @size: bytes in @buf; %ESP_REPORT_SIZE is enough for all there is
 *
 * Process context, link not locked.
 *
 * Return: bytes written, without the terminating zero
 */
size_t esp_report(struct esp_hosted *esp, const char *reason, char *buf,
		  size_t size)
{
	struct esp_text t = { .buf = buf, .size = size };

	if (reason)
		esp_put(&t, "reason: %s\n", reason);
	esp_put(&t, "device: %s\n", dev_name(esp->dev));
	esp_put(&t, "kernel: %s\n", init_utsname()->release);
	esp_put_state(&t, esp);
	esp_put_lines(&t, esp);
	esp_put_counters(&t, esp);
	/* Not while a transaction writes them. */
	mutex_lock(&esp->link.lock);
	esp_put_frames(&t, &esp->link);
	mutex_unlock(&esp->link.lock);

	return t.len;
}

/**
 * esp_coredump - keep the state of a device for user space
 * @esp: the device
 * @reason: what happened
 *
 * The kernel keeps one such file a device, /sys/class/devcoredump/, until it
 * is read or five minutes have passed: the first of several is the one worth
 * having. Process context, link not locked.
 */
void esp_coredump(struct esp_hosted *esp, const char *reason)
{
	size_t len;
	char *buf;

	if (!IS_ENABLED(CONFIG_DEV_COREDUMP))
		return;
	/* Memory may be what is wrong: do without, and without a long report. */
	buf = __vmalloc(ESP_REPORT_SIZE, GFP_KERNEL | __GFP_NOWARN);
	if (!buf)
		return;
	len = esp_report(esp, reason, buf, ESP_REPORT_SIZE);
	/* Frees the buffer. */
	dev_coredumpv(esp->dev, buf, len, GFP_KERNEL);
}
