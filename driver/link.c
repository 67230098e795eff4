// SPDX-License-Identifier: GPL-2.0-only
/*
 * The SPI link: GPIO lines, the transaction loop, transmit queues.
 *
 * Exactly one context talks SPI: the thread of the handshake interrupt. Its
 * hard half and that of data-ready only note the edge; whoever has something
 * to send queues it and wakes the thread. Where a GPIO chip sleeps there is no
 * hard half, and a kthread worker takes the thread's place.
 *
 * When may a transaction start? The co-processor arms one transaction, raises
 * handshake, and lowers it some time after chip select rose. Until it has done
 * so the line still reads high although nothing is armed, and 1600 bytes would
 * be clocked into the void. A high level therefore counts only together with a
 * rising edge since the start of the previous transaction. Should an edge get
 * lost, a level that is still high after a quiet period will do, long enough for
 * the line to have fallen, and for an interrupt that is merely late.
 *
 * Order of transmission: control before Bluetooth before data. Commands must
 * not overtake EAPOL frames: message 4 of the 4-way handshake goes out in the
 * clear and the key is installed right after, so an ADD_KEY that arrives first
 * would have it sent encrypted with a key the access point does not use yet.
 * EAPOL frames hence share the control queue, which is first in, first out.
 * Other data may be overtaken by a command: after a key was installed it is
 * simply sent with that key.
 */

#include <linux/delay.h>
#include <linux/gpio/consumer.h>

#include "esp_hosted.h"
#include "trace.h"

#define ESP_QUIET_MS		8	/* handshake may be trusted without an edge */
#define ESP_POLL_MS		200	/* watchdog poll while something is expected */
#define ESP_WAIT_MS		1000	/* how often a low handshake is looked at */
#define ESP_DEAD_MS		10000	/* handshake low with work pending: dead */
#define ESP_RETRIES		3	/* transactions that may fail in a row */

/*
 * Frames in a row of each access category, most urgent first, while others
 * wait: urgent ones hardly ever wait, and nobody starves.
 */
static const u8 esp_link_weights[ESP_AC_COUNT] = {
	[NL80211_AC_VO] = 16,
	[NL80211_AC_VI] = 8,
	[NL80211_AC_BE] = 2,
	[NL80211_AC_BK] = 1,
};

static bool esp_link_data_pending(const struct esp_link *link)
{
	unsigned int ac;

	for (ac = 0; ac < ESP_AC_COUNT; ac++) {
		if (!skb_queue_empty_lockless(&link->data[ac]))
			return true;
	}

	return false;
}

static bool esp_link_pending(struct esp_link *link)
{
	return link->inflight || !skb_queue_empty_lockless(&link->control) ||
	       !skb_queue_empty_lockless(&link->hci) ||
	       (test_bit(ESP_LINK_DATA, &link->flags) &&
		esp_link_data_pending(link));
}

/* Most urgent first, as long as it has credit left. */
static struct sk_buff *esp_link_dequeue_data(struct esp_link *link)
{
	struct sk_buff *skb;
	unsigned int ac;

	for (ac = 0; ac < ESP_AC_COUNT; ac++) {
		if (!link->credit[ac])
			continue;
		skb = skb_dequeue(&link->data[ac]);
		if (skb) {
			link->credit[ac]--;
			return skb;
		}
	}

	return NULL;
}

static struct sk_buff *esp_link_dequeue(struct esp_link *link)
{
	struct sk_buff *skb;

	skb = link->inflight;
	if (skb) {
		link->inflight = NULL;
		return skb;
	}
	skb = skb_dequeue(&link->control);
	if (!skb)
		skb = skb_dequeue(&link->hci);
	if (skb || !test_bit(ESP_LINK_DATA, &link->flags))
		return skb;

	skb = esp_link_dequeue_data(link);
	if (!skb) {
		/* All that wait have used up their turn: next round. */
		memcpy(link->credit, esp_link_weights, sizeof(link->credit));
		skb = esp_link_dequeue_data(link);
	}

	return skb;
}

static void esp_link_wake_owner(struct esp_link *link)
{
	if (link->worker)
		kthread_queue_work(link->worker, &link->work);
	else
		irq_wake_thread(link->hs_irq, link);
}

static void esp_link_timer(struct timer_list *t)
{
	struct esp_link *link = timer_container_of(link, t, timer);

	set_bit(ESP_LINK_TICK, &link->flags);
	esp_link_wake_owner(link);
}

static void esp_link_arm_timer(struct esp_link *link, unsigned int ms)
{
	timer_reduce(&link->timer, jiffies + msecs_to_jiffies(ms) + 1);
}

/* The frame is done with, sent or not. */
static void esp_link_finish(struct esp_link *link, struct sk_buff *skb)
{
	if (esp_skb_cb(skb)->net)
		esp_netdev_tx_done(link->esp->vif, skb);
	else
		consume_skb(skb);
}

/* Keep what is worth reading after something went wrong. */
static void esp_link_log(struct esp_link *link, bool sent, int verdict, int err)
{
	struct esp_log *entry;

	if (!sent && !err && verdict == ESP_FRAME_IDLE)
		return;
	entry = &link->log[link->logged++ % ESP_LOG_ENTRIES];
	entry->when = ktime_get_boottime_ns();
	entry->err = err;
	entry->verdict = verdict;
	entry->sent = sent;
	memcpy(entry->tx, link->xfer.tx_buf, sizeof(entry->tx));
	memcpy(entry->rx, link->rx, sizeof(entry->rx));
}

/* Should the link look for frames that nobody announced? */
static bool esp_link_polls(const struct esp_link *link)
{
	return (link->settle || READ_ONCE(link->expect)) &&
	       test_bit(ESP_PRIV_POLL, &link->esp->priv_flags);
}

static bool esp_link_handshake_low(struct esp_link *link, bool work)
{
	struct esp_hosted *esp = link->esp;

	link->hs_high = false;
	if (!work) {
		link->hs_low = false;
		if (esp_link_polls(link))
			esp_link_arm_timer(link, ESP_POLL_MS);
		return false;
	}

	if (!link->hs_low) {
		link->hs_low = true;
		link->hs_low_since = jiffies;
		esp_count(esp, ESP_STAT_HS_WAITS);
	} else if (time_after(jiffies, link->hs_low_since +
			      msecs_to_jiffies(ESP_DEAD_MS))) {
		clear_bit(ESP_LINK_OPEN, &link->flags);
		esp_recover(esp, "handshake stays low with work pending");
		return false;
	}
	set_bit(ESP_LINK_WAIT_HS, &link->flags);
	esp_link_arm_timer(link, ESP_WAIT_MS);

	return false;
}

/* Decide whether to run a transaction now; if not, what will wake us later. */
static bool esp_link_ready(struct esp_link *link)
{
	bool tick = test_and_clear_bit(ESP_LINK_TICK, &link->flags);
	bool hs, dr, work, edge;

	clear_bit(ESP_LINK_WAIT_HS, &link->flags);
	/* Pairs with the barrier in esp_link_kick(). */
	smp_mb__after_atomic();

	/*
	 * Handshake before data-ready: data-ready falls while handshake is
	 * low, so this order never sees the last frame's data-ready.
	 */
	hs = gpiod_get_value_cansleep(link->hs) > 0;
	dr = gpiod_get_value_cansleep(link->dr) > 0;
	work = dr || esp_link_pending(link);
	if (hs)
		set_bit(ESP_SEEN_HS_HIGH, &link->seen);
	if (dr)
		set_bit(ESP_SEEN_DR, &link->seen);

	if (!hs)
		return esp_link_handshake_low(link, work);
	link->hs_low = false;
	if (!link->hs_high) {
		link->hs_high = true;
		link->hs_high_since = ktime_get();
	}

	/*
	 * The firmware can lower data-ready although it just queued a frame.
	 * One transaction brings what was armed then, the next one the frame.
	 */
	if (tick && !work && esp_link_polls(link)) {
		link->polls = 2;
		link->settle = false;
	}

	if (!work && !link->polls) {
		if (esp_link_polls(link))
			esp_link_arm_timer(link, ESP_POLL_MS);
		return false;
	}

	edge = test_bit(ESP_LINK_HS_EDGE, &link->flags);
	if (!edge) {
		/* Not by jiffies: they catch up in one step after a stall. */
		if (ktime_ms_delta(ktime_get(), link->hs_high_since) <
		    ESP_QUIET_MS) {
			esp_link_arm_timer(link, ESP_QUIET_MS);
			return false;
		}
		esp_count(link->esp, ESP_STAT_HS_QUIET);
	}
	link->quiet = !edge;
	if (!work)
		esp_count(link->esp, ESP_STAT_POLLS);

	return true;
}

/*
 * Copy a frame into the transmit buffer. A transaction always clocks 1600
 * bytes, so sending straight from the skb would need that much room behind its
 * data or a second transfer for the rest; copying up to 1.5 kB costs under a
 * thousandth of the transaction. It also leaves the skb untouched, clones
 * included, and folds the checksum of CHECKSUM_PARTIAL into the copy.
 */
static void esp_link_fill(struct esp_link *link, struct sk_buff *skb)
{
	const struct esp_skb_cb *cb = esp_skb_cb(skb);
	size_t end = ESP_HDR_SIZE + skb->len;

	skb_copy_and_csum_dev(skb, link->tx + ESP_HDR_SIZE);
	if (link->tx_dirty > end)
		memset(link->tx + end, 0, link->tx_dirty - end);
	link->tx_dirty = end;
	esp_frame_encode(link->tx, cb->if_type, cb->pkt_type, skb->len,
			 cb->hci_type, link->checksum);
	memcpy(link->last_tx, link->tx, sizeof(link->last_tx));
	trace_esp_frame_tx(link->esp, cb->if_type, cb->pkt_type, skb->len);
}

static void esp_link_dispatch(struct esp_link *link,
			      const struct esp_frame *frame)
{
	struct esp_hosted *esp = link->esp;
	enum esp_state state;

	if (frame->if_type == ESP_IF_INTERNAL) {
		esp_boot_event(esp, frame);
		return;
	}

	state = READ_ONCE(esp->state);
	if (state != ESP_STATE_RUNNING &&
	    (state != ESP_STATE_STARTING ||
	     frame->pkt_type != ESP_PKT_RESPONSE)) {
		esp_count(esp, ESP_STAT_RX_NOT_RUNNING);
		return;
	}
	if (frame->if_num) {
		esp_count(esp, ESP_STAT_RX_BAD_IFNUM);
		return;
	}
	if (frame->if_type > ESP_IF_AP) {
		if (frame->if_type == ESP_IF_HCI &&
		    frame->pkt_type == ESP_PKT_DATA)
			esp_hci_rx(esp, frame);
		else if (frame->if_type == ESP_IF_TEST && esp->test.on)
			esp_test_rx(esp, frame);
		else
			esp_count(esp, ESP_STAT_RX_BAD_IF);
		return;
	}

	switch (frame->pkt_type) {
	case ESP_PKT_RESPONSE:
		esp_cmd_response(esp, frame);
		break;
	case ESP_PKT_EVENT:
		esp_event_rx(esp, frame);
		break;
	case ESP_PKT_DATA:
	case ESP_PKT_EAPOL:
		esp_netdev_rx(esp, frame);
		break;
	default:
		esp_count(esp, ESP_STAT_RX_BAD_TYPE);
		break;
	}
}

/* Remember what arrived, for a person whose board does not come up. */
static void esp_link_diagnose(struct esp_link *link,
			      enum esp_frame_verdict verdict)
{
	int shift = 0;

	switch (verdict) {
	case ESP_FRAME_OK:
		set_bit(ESP_SEEN_FRAME, &link->seen);
		return;
	case ESP_FRAME_IDLE:
		set_bit(ESP_SEEN_IDLE, &link->seen);
		return;
	case ESP_FRAME_BLANK:
		set_bit(link->rx[0] ? ESP_SEEN_ONES : ESP_SEEN_ZEROS,
			&link->seen);
		return;
	case ESP_FRAME_BAD_CHECKSUM:
		set_bit(ESP_SEEN_CHECKSUM, &link->seen);
		break;
	default:
		set_bit(ESP_SEEN_DAMAGED, &link->seen);
		break;
	}
	if (READ_ONCE(link->esp->state) == ESP_STATE_BOOTING)
		shift = esp_frame_find_shift(link->rx, ESP_FRAME_SIZE);
	if (shift) {
		link->shift = shift;
		set_bit(ESP_SEEN_SHIFTED, &link->seen);
	}
}

static enum esp_frame_verdict esp_link_receive(struct esp_link *link)
{
	const struct esp_hdr *hdr = (const struct esp_hdr *)link->rx;
	struct esp_hosted *esp = link->esp;
	bool checksum = link->checksum;
	enum esp_frame_verdict verdict;
	struct esp_frame frame;

	/* Whether a fresh firmware uses checksums is said by the boot event. */
	if (link->attached ||
	    (hdr->iface & ESP_HDR_IF_TYPE) == ESP_IF_INTERNAL)
		checksum = hdr->checksum != 0;

	verdict = esp_frame_decode(link->rx, ESP_FRAME_SIZE, checksum, &frame);
	esp_link_diagnose(link, verdict);
	switch (verdict) {
	case ESP_FRAME_OK:
		esp_count(esp, ESP_STAT_RX_FRAMES);
		memcpy(link->last_rx, link->rx, sizeof(link->last_rx));
		trace_esp_frame_rx(esp, frame.if_type, frame.pkt_type,
				   frame.len);
		esp_link_dispatch(link, &frame);
		return verdict;
	case ESP_FRAME_IDLE:
		esp_count(esp, ESP_STAT_IDLE);
		return verdict;
	case ESP_FRAME_BLANK:
		esp_count(esp, ESP_STAT_RX_BLANK);
		break;
	case ESP_FRAME_BAD_IF:
		esp_count(esp, ESP_STAT_RX_BAD_IF);
		break;
	case ESP_FRAME_EMPTY:
		esp_count(esp, ESP_STAT_RX_EMPTY);
		break;
	case ESP_FRAME_BAD_OFFSET:
		esp_count(esp, ESP_STAT_RX_BAD_OFFSET);
		break;
	case ESP_FRAME_BAD_LEN:
		esp_count(esp, ESP_STAT_RX_BAD_LEN);
		break;
	case ESP_FRAME_BAD_CHECKSUM:
		esp_count(esp, ESP_STAT_RX_BAD_CSUM);
		break;
	}
	memcpy(link->last_rx, link->rx, sizeof(link->last_rx));
	if (esp->vif)
		atomic_long_inc(&esp->vif->rx_errors);
	if (esp->vif && netif_msg_rx_err(esp->vif))
		dev_info_ratelimited(esp->dev, "bad frame (%s): %*ph\n",
				     esp_frame_verdict_name(verdict),
				     ESP_HDR_SIZE, link->rx);

	return verdict;
}

/* A failed transaction loses nothing: the frame is kept and sent again. */
static void esp_link_failed(struct esp_link *link, struct sk_buff *skb, int err)
{
	struct esp_hosted *esp = link->esp;

	esp_count(esp, ESP_STAT_SPI_ERRORS);
	dev_err_ratelimited(esp->dev, "SPI transaction failed: %d\n", err);
	link->inflight = skb;
	if (++link->retries <= ESP_RETRIES) {
		esp_count(esp, ESP_STAT_SPI_RETRIES);
		return;
	}
	clear_bit(ESP_LINK_OPEN, &link->flags);
	esp_recover(esp, "SPI transactions keep failing");
}

static void esp_link_transfer(struct esp_link *link)
{
	struct esp_hosted *esp = link->esp;
	enum esp_frame_verdict verdict;
	struct sk_buff *skb;
	bool sent;
	int err;

	skb = esp_link_dequeue(link);
	sent = skb;
	if (skb) {
		esp_link_fill(link, skb);
		if (!link->retries)
			skb_tx_timestamp(skb);
	}
	link->xfer.tx_buf = skb ? link->tx : link->idle;

	/* From here on a rising edge announces the next transaction. */
	clear_bit(ESP_LINK_HS_EDGE, &link->flags);
	link->hs_high = false;
	err = spi_sync(link->spi, &link->msg);
	/* Unless the edge of this one was not lost but comes only now. */
	if (link->quiet)
		clear_bit(ESP_LINK_HS_EDGE, &link->flags);
	esp_count(esp, ESP_STAT_TRANSACTIONS);
	if (link->polls)
		link->polls--;

	if (err) {
		set_bit(ESP_SEEN_SPI_ERROR, &link->seen);
		esp_link_log(link, skb, ESP_FRAME_BLANK, err);
		trace_esp_transaction(esp, skb, ESP_FRAME_BLANK, err);
		esp_link_failed(link, skb, err);
		return;
	}
	set_bit(ESP_SEEN_TRANSACTION, &link->seen);
	link->retries = 0;
	if (skb) {
		esp_count(esp, ESP_STAT_TX_FRAMES);
		esp_skb_cb(skb)->sent = true;
		esp_link_finish(link, skb);
	}

	verdict = esp_link_receive(link);
	esp_link_log(link, sent, verdict, 0);
	trace_esp_transaction(esp, sent, verdict, 0);
	if (sent || verdict == ESP_FRAME_OK)
		link->settle = true;
	if (verdict == ESP_FRAME_OK)
		link->polls = 0;
}

static void esp_link_run(struct esp_link *link)
{
	bool again;

	do {
		mutex_lock(&link->lock);
		again = test_bit(ESP_LINK_OPEN, &link->flags) &&
			esp_link_ready(link);
		if (again)
			esp_link_transfer(link);
		mutex_unlock(&link->lock);

		/* After the lock: softirqs may run right here. */
		if (again && link->esp->vif)
			esp_netdev_schedule(link->esp->vif);
		cond_resched();
	} while (again);
}

static irqreturn_t esp_link_thread(int irq, void *data)
{
	esp_link_run(data);

	return IRQ_HANDLED;
}

static void esp_link_work(struct kthread_work *work)
{
	esp_link_run(container_of(work, struct esp_link, work));
}

static irqreturn_t esp_link_hs_irq(int irq, void *data)
{
	struct esp_link *link = data;

	esp_count(link->esp, ESP_STAT_HS_EDGES);
	set_bit(ESP_SEEN_HS_EDGE, &link->seen);
	set_bit(ESP_LINK_HS_EDGE, &link->flags);
	if (!link->worker)
		return IRQ_WAKE_THREAD;
	kthread_queue_work(link->worker, &link->work);

	return IRQ_HANDLED;
}

static irqreturn_t esp_link_dr_irq(int irq, void *data)
{
	struct esp_link *link = data;

	esp_count(link->esp, ESP_STAT_DR_EDGES);
	set_bit(ESP_SEEN_DR, &link->seen);
	esp_link_kick(link);

	return IRQ_HANDLED;
}

/**
 * esp_link_kick - have the link look for work
 * @link: the link
 *
 * Any context, interrupts included. While the link waits for handshake the
 * edge will wake it, and a wake-up now would be in vain.
 */
void esp_link_kick(struct esp_link *link)
{
	/* What was queued must be visible before the flag is read. */
	smp_mb();
	if (!test_bit(ESP_LINK_WAIT_HS, &link->flags))
		esp_link_wake_owner(link);
}

/**
 * esp_link_send - queue a frame
 * @link: the link
 * @queue: one of the link's queues
 * @skb: the payload, &struct esp_skb_cb filled in; ownership passes over
 *
 * Any context but hard interrupts.
 */
void esp_link_send(struct esp_link *link, struct sk_buff_head *queue,
		   struct sk_buff *skb)
{
	skb_queue_tail(queue, skb);
	esp_link_kick(link);
}

/**
 * esp_link_unsend - take back a command that was not sent yet
 * @link: the link
 * @skb: what was queued; may be gone already, so only compared
 *
 * Return: whether it was still queued
 */
bool esp_link_unsend(struct esp_link *link, struct sk_buff *skb)
{
	struct sk_buff *pos;
	bool found = false;

	spin_lock_irq(&link->control.lock);
	skb_queue_walk(&link->control, pos) {
		/* Freed and allocated again it may be somebody else's by now. */
		if (pos == skb && esp_skb_cb(pos)->pkt_type == ESP_PKT_COMMAND) {
			__skb_unlink(pos, &link->control);
			found = true;
			break;
		}
	}
	spin_unlock_irq(&link->control.lock);
	if (found)
		kfree_skb(skb);

	return found;
}

static void esp_link_purge_queue(struct esp_link *link,
				 struct sk_buff_head *queue, bool net_only)
{
	struct sk_buff_head keep;
	struct sk_buff *skb;

	__skb_queue_head_init(&keep);
	while ((skb = skb_dequeue(queue))) {
		if (net_only && !esp_skb_cb(skb)->net) {
			__skb_queue_tail(&keep, skb);
			continue;
		}
		esp_count(link->esp, ESP_STAT_TX_PURGED);
		esp_link_finish(link, skb);
	}
	if (skb_queue_empty(&keep))
		return;
	spin_lock_irq(&queue->lock);
	skb_queue_splice(&keep, queue);
	spin_unlock_irq(&queue->lock);
}

/**
 * esp_link_purge - drop what was not sent yet
 * @link: the link, with its lock held, or freed
 * @net_only: keep commands and Bluetooth
 *
 * Have esp_netdev_schedule() follow, without the lock.
 */
void esp_link_purge(struct esp_link *link, bool net_only)
{
	struct sk_buff *skb = link->inflight;
	unsigned int ac;

	if (skb && (!net_only || esp_skb_cb(skb)->net)) {
		link->inflight = NULL;
		esp_count(link->esp, ESP_STAT_TX_PURGED);
		esp_link_finish(link, skb);
	}
	esp_link_purge_queue(link, &link->control, net_only);
	if (!net_only)
		esp_link_purge_queue(link, &link->hci, false);
	for (ac = 0; ac < ESP_AC_COUNT; ac++)
		esp_link_purge_queue(link, &link->data[ac], net_only);
}

/**
 * esp_link_expect - say that a frame is expected
 * @link: the link
 * @what: what is expected
 * @on: from now on, or no longer
 *
 * While something is expected the link polls now and then even though
 * data-ready is low. Any context.
 */
void esp_link_expect(struct esp_link *link, enum esp_expect what, bool on)
{
	if (on)
		set_bit(what, &link->expect);
	else
		clear_bit(what, &link->expect);
}

/**
 * esp_link_set_clock - set the SPI clock of the following transactions
 * @link: the link, with its lock held or closed
 * @hz: wanted clock; the limit of board or controller wins
 *
 * Process context.
 */
void esp_link_set_clock(struct esp_link *link, u32 hz)
{
	int err;

	hz = min(hz, link->max_hz);
	if (hz != link->spi->max_speed_hz) {
		link->spi->max_speed_hz = hz;
		err = spi_setup(link->spi);
		if (err)
			dev_warn(link->esp->dev,
				 "cannot set the SPI clock to %u Hz: %d\n", hz,
				 err);
	}
	link->xfer.speed_hz = link->spi->max_speed_hz;
}

/**
 * esp_link_sample_reset - look at the lines while the chip is held in reset
 * @link: the link, closed
 *
 * Both should be low then: the chip does not drive them. What was seen before
 * is forgotten. Process context.
 */
void esp_link_sample_reset(struct esp_link *link)
{
	link->seen = 0;
	link->shift = 0;
	if (!link->esp->reset)
		return;
	if (gpiod_get_value_cansleep(link->hs) > 0)
		set_bit(ESP_SEEN_HS_IN_RESET, &link->seen);
	if (gpiod_get_value_cansleep(link->dr) > 0)
		set_bit(ESP_SEEN_DR_IN_RESET, &link->seen);
}

/**
 * esp_link_open - start to run transactions
 * @link: the link, closed
 *
 * Samples both lines: they may have risen before anyone listened. Process
 * context.
 */
void esp_link_open(struct esp_link *link)
{
	mutex_lock(&link->lock);
	link->hs_low = false;
	link->retries = 0;
	link->polls = 0;
	link->settle = false;
	link->hs_high = false;
	clear_bit(ESP_LINK_HS_EDGE, &link->flags);
	set_bit(ESP_LINK_OPEN, &link->flags);
	mutex_unlock(&link->lock);

	esp_link_wake_owner(link);
}

/**
 * esp_link_close - stop running transactions
 * @link: the link
 *
 * Returns after the current transaction, if any, has ended and its thread has
 * come to rest. Queued frames stay. Process context, but not that thread.
 */
void esp_link_close(struct esp_link *link)
{
	clear_bit(ESP_LINK_DATA, &link->flags);
	clear_bit(ESP_LINK_OPEN, &link->flags);
	mutex_lock(&link->lock);
	mutex_unlock(&link->lock);
	timer_delete_sync(&link->timer);
	/* The owner of the bus may still be about to schedule NAPI. */
	if (link->worker)
		kthread_flush_work(&link->work);
	else
		synchronize_irq(link->hs_irq);
}

static int esp_link_get_line(struct esp_link *link, const char *name,
			     struct gpio_desc **gpio, int *irq,
			     unsigned long *trigger)
{
	struct device *dev = link->esp->dev;

	*gpio = devm_gpiod_get(dev, name, GPIOD_IN);
	if (IS_ERR(*gpio))
		return dev_err_probe(dev, PTR_ERR(*gpio),
				     "cannot get %s-gpios\n", name);
	*irq = gpiod_to_irq(*gpio);
	if (*irq < 0)
		return dev_err_probe(dev, *irq,
				     "%s-gpios has no interrupt; wire it to a GPIO that has one\n",
				     name);
	*trigger = gpiod_is_active_low(*gpio) ? IRQF_TRIGGER_FALLING :
						IRQF_TRIGGER_RISING;

	return 0;
}

static int esp_link_request_irqs(struct esp_link *link, unsigned long hs_trigger,
				 unsigned long dr_trigger)
{
	struct device *dev = link->esp->dev;
	const char *hs_name, *dr_name;
	int err;

	hs_name = devm_kasprintf(dev, GFP_KERNEL, "%s handshake",
				 dev_name(dev));
	dr_name = devm_kasprintf(dev, GFP_KERNEL, "%s data-ready",
				 dev_name(dev));
	if (!hs_name || !dr_name)
		return -ENOMEM;

	if (gpiod_cansleep(link->hs) || gpiod_cansleep(link->dr)) {
		link->worker = kthread_create_worker(0, "esp_hosted/%s",
						     dev_name(dev));
		if (IS_ERR(link->worker)) {
			err = PTR_ERR(link->worker);
			link->worker = NULL;
			return err;
		}
		sched_set_fifo(link->worker->task);
		err = request_any_context_irq(link->hs_irq, esp_link_hs_irq,
					      hs_trigger, hs_name, link);
	} else {
		/*
		 * Not IRQF_ONESHOT: edges must be seen while the thread runs.
		 * IRQF_NO_THREAD: with forced threading irq_wake_thread()
		 * would run the hard half, and that would fake an edge.
		 */
		err = request_threaded_irq(link->hs_irq, esp_link_hs_irq,
					   esp_link_thread,
					   hs_trigger | IRQF_NO_THREAD,
					   hs_name, link);
	}
	if (err < 0)
		goto stop_worker;

	err = request_any_context_irq(link->dr_irq, esp_link_dr_irq, dr_trigger,
				      dr_name, link);
	if (err < 0)
		goto free_hs;

	return 0;

free_hs:
	free_irq(link->hs_irq, link);
stop_worker:
	if (link->worker)
		kthread_destroy_worker(link->worker);

	return err;
}

/**
 * esp_link_init - claim lines and interrupts, prepare buffers
 * @esp: the device, with its SPI device set up
 *
 * The link starts out closed.
 *
 * Return: 0 or a negative errno, reported already
 */
int esp_link_init(struct esp_hosted *esp)
{
	struct esp_link *link = &esp->link;
	unsigned long hs_trigger, dr_trigger;
	unsigned int ac;
	int err;

	link->esp = esp;
	link->spi = esp->spi;
	link->max_hz = esp->spi->max_speed_hz;
	mutex_init(&link->lock);
	skb_queue_head_init(&link->control);
	skb_queue_head_init(&link->hci);
	for (ac = 0; ac < ESP_AC_COUNT; ac++)
		skb_queue_head_init(&link->data[ac]);
	kthread_init_work(&link->work, esp_link_work);
	timer_setup(&link->timer, esp_link_timer, 0);

	/* Each buffer is an allocation of its own, hence DMA-safe. */
	link->tx = devm_kzalloc(esp->dev, ESP_FRAME_SIZE, GFP_KERNEL);
	link->rx = devm_kzalloc(esp->dev, ESP_FRAME_SIZE, GFP_KERNEL);
	link->idle = devm_kzalloc(esp->dev, ESP_FRAME_SIZE, GFP_KERNEL);
	link->log = devm_kcalloc(esp->dev, ESP_LOG_ENTRIES, sizeof(*link->log),
				 GFP_KERNEL);
	if (!link->tx || !link->rx || !link->idle || !link->log)
		return -ENOMEM;

	/* One message, one transfer, one pulse of chip select. */
	link->xfer.rx_buf = link->rx;
	link->xfer.len = ESP_FRAME_SIZE;
	spi_message_init(&link->msg);
	spi_message_add_tail(&link->xfer, &link->msg);

	err = esp_link_get_line(link, "handshake", &link->hs, &link->hs_irq,
				&hs_trigger);
	if (err)
		return err;
	err = esp_link_get_line(link, "data-ready", &link->dr, &link->dr_irq,
				&dr_trigger);
	if (err)
		return err;
	err = esp_link_request_irqs(link, hs_trigger, dr_trigger);
	if (err)
		return dev_err_probe(esp->dev, err,
				     "cannot request interrupts\n");

	return 0;
}

/**
 * esp_link_free - release interrupts and drop what is queued
 * @link: the link, closed
 *
 * Nothing may be sent any more. Afterwards no link thread runs.
 */
void esp_link_free(struct esp_link *link)
{
	free_irq(link->dr_irq, link);
	free_irq(link->hs_irq, link);
	if (link->worker)
		kthread_destroy_worker(link->worker);
	timer_shutdown_sync(&link->timer);
	esp_link_purge(link, false);
	/* The next driver starts from the board's limit again. */
	link->spi->max_speed_hz = link->max_hz;
}
