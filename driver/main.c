// SPDX-License-Identifier: GPL-2.0-only
/*
 * Espressif co-processors with ESP-Hosted-NG firmware on an SPI bus.
 *
 * Module, probe and remove, and the life of the device: reset, boot event,
 * start-up, service, recovery. Reset and start-up are done by one worker on an
 * ordered queue; everybody else sets a flag and queues it.
 */

#include <linux/delay.h>
#include <linux/gpio/consumer.h>
#include <linux/mod_devicetable.h>
#include <linux/module.h>
#include <linux/pm.h>

#include "esp_hosted.h"

#define CREATE_TRACE_POINTS
#include "trace.h"

#define ESP_CLOCK_INITIAL	10000000	/* every chip can do this */
#define ESP_RESET_PULSE_US	500
#define ESP_BOOT_TIMEOUT	(5 * HZ)
/* Without a reset line: when a firmware that runs is told from one that boots */
#define ESP_ATTACH_DELAY	(2 * HZ)
#define ESP_BOOT_TRIES		3

/**
 * esp_state_name - name of a state
 * @state: the state
 *
 * Return: a string constant
 */
const char *esp_state_name(enum esp_state state)
{
	static const char * const names[] = {
		[ESP_STATE_RESET] = "reset",
		[ESP_STATE_BOOTING] = "booting",
		[ESP_STATE_STARTING] = "starting",
		[ESP_STATE_RUNNING] = "running",
		[ESP_STATE_FAILED] = "failed",
		[ESP_STATE_SUSPENDED] = "suspended",
		[ESP_STATE_GONE] = "gone",
	};

	return names[state];
}

static const char *esp_chip_name(u8 chip)
{
	switch (chip) {
	case ESP_CHIP_ESP32:
		return "ESP32";
	case ESP_CHIP_ESP32S2:
		return "ESP32-S2";
	case ESP_CHIP_ESP32C3:
		return "ESP32-C3";
	case ESP_CHIP_ESP32S3:
		return "ESP32-S3";
	case ESP_CHIP_ESP32C2:
		return "ESP32-C2";
	case ESP_CHIP_ESP32C6:
		return "ESP32-C6";
	case ESP_CHIP_ESP32C61:
		return "ESP32-C61";
	case ESP_CHIP_ESP32C5:
		return "ESP32-C5";
	case ESP_CHIP_ESP32S31:
		return "ESP32-S31";
	default:
		return "unknown chip";
	}
}

static void esp_set_state(struct esp_hosted *esp, enum esp_state state)
{
	lockdep_assert_held(&esp->state_lock);
	if (esp->state == state)
		return;
	trace_esp_state(esp, esp->state, state);
	WRITE_ONCE(esp->state, state);
}

static void esp_queue_work(struct esp_hosted *esp)
{
	if (!test_bit(ESP_FLAG_REMOVING, &esp->flags))
		queue_work(esp->wq, &esp->work);
}

/*
 * Stop the state worker, whatever it waits for. The worker arms the timer and
 * the timer queues the worker: hence the timer first and last. Should somebody
 * who saw the old state queue the worker even later, it finds nothing to do.
 */
static void esp_stop_work(struct esp_hosted *esp)
{
	cancel_delayed_work_sync(&esp->boot_timeout);
	cancel_work_sync(&esp->work);
	cancel_delayed_work_sync(&esp->boot_timeout);
}

/**
 * esp_recover - the co-processor does not behave: reset it
 * @esp: the device
 * @reason: what happened, a string constant; %NULL if it is just wanted
 *
 * The device leaves service at once: the waiting command fails, later ones are
 * refused. The reset itself happens in the state worker. Any context but hard
 * interrupts.
 */
void esp_recover(struct esp_hosted *esp, const char *reason)
{
	bool act = false;

	spin_lock_bh(&esp->state_lock);
	switch (esp->state) {
	case ESP_STATE_BOOTING:
	case ESP_STATE_STARTING:
	case ESP_STATE_RUNNING:
		act = true;
		esp->reset_reason = reason;
		set_bit(ESP_FLAG_RESET, &esp->flags);
		clear_bit(ESP_FLAG_BOOTED, &esp->flags);
		esp_set_state(esp, ESP_STATE_RESET);
		break;
	default:
		break;
	}
	spin_unlock_bh(&esp->state_lock);
	if (!act)
		return;

	clear_bit(ESP_LINK_DATA, &esp->link.flags);
	esp_cmd_cancel(esp, -ENETDOWN);
	esp_queue_work(esp);
}

/**
 * esp_boot_event - the firmware has started
 * @esp: the device
 * @frame: a frame on %ESP_IF_INTERNAL
 *
 * Whatever the firmware knew before is gone: the waiting command fails, queued
 * frames are dropped, and the state worker starts over. Link thread, with the
 * link's lock held.
 */
void esp_boot_event(struct esp_hosted *esp, const struct esp_frame *frame)
{
	const struct esp_hdr *hdr = (const void *)esp->link.rx;
	struct esp_link *link = &esp->link;
	struct esp_boot_info info;
	bool taken = false;
	int err;

	lockdep_assert_held(&link->lock);
	err = esp_boot_parse(frame->payload, frame->len, &info);
	if (err == -ENOMSG) {
		esp_count(esp, ESP_STAT_RX_BAD_TYPE);
		return;
	}
	/* A firmware that uses checksums puts one into this event as well. */
	if (!err && (info.caps & ESP_CAP_CHECKSUM) && !hdr->checksum)
		err = -EBADMSG;
	if (err) {
		esp_count(esp, ESP_STAT_BOOT_MALFORMED);
		dev_warn_ratelimited(esp->dev, "malformed boot event: %*ph\n",
				     min_t(int, frame->len, 48),
				     frame->payload);
		esp_recover(esp, "malformed boot event");
		return;
	}

	esp_count(esp, ESP_STAT_BOOT_EVENTS);
	if (!test_bit(ESP_SEEN_DR, &link->seen))
		dev_warn(esp->dev,
			 "data-ready never rose: check its wiring, receiving will be slow\n");
	spin_lock_bh(&esp->state_lock);
	switch (esp->state) {
	case ESP_STATE_BOOTING:
	case ESP_STATE_STARTING:
	case ESP_STATE_RUNNING:
	case ESP_STATE_FAILED:
		taken = true;
		esp->boot = info;
		WRITE_ONCE(esp->gen, ESP_GEN_UNKNOWN);
		/* An update ends in a restart; any other one is a crash. */
		esp->crashed = esp->state == ESP_STATE_RUNNING &&
			       !test_bit(ESP_FLAG_UPDATED, &esp->flags);
		clear_bit(ESP_FLAG_UPDATED, &esp->flags);
		clear_bit(ESP_FLAG_ATTACH, &esp->flags);
		set_bit(ESP_FLAG_BOOTED, &esp->flags);
		esp_set_state(esp, ESP_STATE_STARTING);
		break;
	default:
		break;
	}
	spin_unlock_bh(&esp->state_lock);
	if (!taken)
		return;

	clear_bit(ESP_LINK_DATA, &link->flags);
	esp_link_expect(link, ESP_EXPECT_BOOT, false);
	link->attached = false;
	link->checksum = info.caps & ESP_CAP_CHECKSUM;
	if (info.clock_mhz)
		esp_link_set_clock(link, info.clock_mhz * 1000000);
	esp_cmd_cancel(esp, -ECONNRESET);
	esp_link_purge(link, false);
	esp_queue_work(esp);
}

/* What the lines did instead of a boot event; the first match explains most. */
static const char *esp_boot_hint(const struct esp_link *link)
{
	static const struct {
		enum esp_seen seen;
		const char *hint;
	} hints[] = {
		{ ESP_SEEN_FRAME,
		  "other frames arrive: is the chip in use by somebody else?" },
		{ ESP_SEEN_SHIFTED,
		  "bits are shifted: the bus is not in SPI mode 2, or chip select late" },
		{ ESP_SEEN_CHECKSUM,
		  "frames arrive with a bad checksum: lower spi-max-frequency" },
		{ ESP_SEEN_DAMAGED,
		  "frames arrive damaged: check wiring and clock" },
		{ ESP_SEEN_HS_IN_RESET,
		  "handshake is high even in reset: does it float?" },
		{ ESP_SEEN_ZEROS,
		  "MISO is always low: check MISO, SCLK and chip select" },
		{ ESP_SEEN_ONES,
		  "MISO is always high: check MISO, SCLK and chip select" },
		{ ESP_SEEN_IDLE,
		  "the firmware runs but does not say so: does the reset line work?" },
		{ ESP_SEEN_SPI_ERROR,
		  "every SPI transaction fails: check the SPI controller" },
		{ ESP_SEEN_HS_EDGE,
		  "handshake rises but never stays high: check its wiring" },
		{ ESP_SEEN_DR_IN_RESET,
		  "data-ready is high even in reset: check the wiring of both lines" },
		{ ESP_SEEN_DR,
		  "data-ready rose but handshake never did: check its wiring" },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(hints); i++) {
		if (test_bit(hints[i].seen, &link->seen))
			return hints[i].hint;
	}

	return "neither handshake nor data-ready ever rose: check power and wiring";
}

static void esp_report_no_boot(struct esp_hosted *esp)
{
	const struct esp_link *link = &esp->link;
	const char *action = "trying again";

	if (!esp->reset)
		action = "no reset-gpios to try again with";
	if (test_bit(ESP_SEEN_SHIFTED, &link->seen))
		dev_err(esp->dev,
			"no boot event within %u s, %s: one came %u bit(s) %s; %s\n",
			ESP_BOOT_TIMEOUT / HZ, action, abs(link->shift),
			link->shift > 0 ? "late" : "early",
			esp_boot_hint(link));
	else
		dev_err(esp->dev, "no boot event within %u s, %s: %s\n",
			ESP_BOOT_TIMEOUT / HZ, action, esp_boot_hint(link));
}

/*
 * The firmware announces itself once. A driver that comes later, and has no
 * reset line that works, finds one that only sends fillers: use it as it is.
 * Chip and version stay unknown, and that everything gets a checksum does no
 * harm where none is asked for.
 */
static bool esp_attach(struct esp_hosted *esp)
{
	struct esp_link *link = &esp->link;
	bool taken = false;

	if (esp->reset && esp->boot_tries < ESP_BOOT_TRIES)
		return false;
	if (!test_bit(ESP_SEEN_IDLE, &link->seen) &&
	    !test_bit(ESP_SEEN_FRAME, &link->seen))
		return false;

	mutex_lock(&link->lock);
	spin_lock_bh(&esp->state_lock);
	if (esp->state == ESP_STATE_BOOTING) {
		taken = true;
		esp->boot = (struct esp_boot_info) {
			.caps = ESP_CAP_WLAN_SPI | ESP_CAP_CHECKSUM,
			.chip = ESP_CHIP_UNKNOWN,
		};
		WRITE_ONCE(esp->gen, ESP_GEN_UNKNOWN);
		esp->crashed = false;
		set_bit(ESP_FLAG_ATTACH, &esp->flags);
		set_bit(ESP_FLAG_BOOTED, &esp->flags);
		esp_set_state(esp, ESP_STATE_STARTING);
		link->attached = true;
		link->checksum = true;
	}
	spin_unlock_bh(&esp->state_lock);
	mutex_unlock(&link->lock);
	if (!taken)
		return false;

	dev_notice(esp->dev,
		   "the firmware was running already, using it as it is\n");
	esp_link_expect(link, ESP_EXPECT_BOOT, false);
	esp_queue_work(esp);

	return true;
}

static void esp_boot_timeout(struct work_struct *work)
{
	struct esp_hosted *esp = container_of(to_delayed_work(work),
					      struct esp_hosted, boot_timeout);
	bool again = false;

	if (esp_attach(esp))
		return;
	/* One that boots is given the usual time. */
	if (!esp->reset && !esp->boot_late) {
		esp->boot_late = true;
		queue_delayed_work(esp->wq, &esp->boot_timeout,
				   ESP_BOOT_TIMEOUT - ESP_ATTACH_DELAY);
		return;
	}

	spin_lock_bh(&esp->state_lock);
	if (esp->state == ESP_STATE_BOOTING) {
		again = true;
		esp_set_state(esp, ESP_STATE_RESET);
		set_bit(ESP_FLAG_RESET, &esp->flags);
	}
	spin_unlock_bh(&esp->state_lock);
	if (!again)
		return;

	esp_count(esp, ESP_STAT_BOOT_TIMEOUTS);
	if (esp->boot_tries == 1)
		esp_report_no_boot(esp);
	esp->reset_reason = NULL;
	esp_queue_work(esp);
}

static void esp_reset_pulse(struct esp_hosted *esp)
{
	if (esp->reset) {
		gpiod_set_value_cansleep(esp->reset, 1);
		usleep_range(ESP_RESET_PULSE_US, 2 * ESP_RESET_PULSE_US);
	}
	esp_link_sample_reset(&esp->link);
	if (esp->reset) {
		gpiod_set_value_cansleep(esp->reset, 0);
		esp_count(esp, ESP_STAT_RESETS);
	}
}

/* Open the link at the clock every chip can do, without checksums. */
static void esp_link_restart(struct esp_hosted *esp, enum esp_state state)
{
	spin_lock_bh(&esp->state_lock);
	if (esp->state == ESP_STATE_RESET)
		esp_set_state(esp, state);
	spin_unlock_bh(&esp->state_lock);

	esp->link.checksum = false;
	esp->link.attached = false;
	esp_link_expect(&esp->link, ESP_EXPECT_BOOT, true);
	esp_link_set_clock(&esp->link, ESP_CLOCK_INITIAL);
	esp_link_open(&esp->link);
}

static void esp_do_reset(struct esp_hosted *esp)
{
	if (esp->reset_reason)
		dev_warn(esp->dev, "%s, %s\n", esp->reset_reason,
			 esp->reset ? "resetting" :
				      "no reset-gpios: waiting for a restart");

	esp_link_close(&esp->link);
	cancel_delayed_work(&esp->boot_timeout);
	if (esp->reset_reason)
		esp_coredump(esp, esp->reset_reason);
	if (esp->wiphy)
		esp_cfg80211_restarted(esp);
	/* The interface may be going down, and drop its frames, right now. */
	mutex_lock(&esp->link.lock);
	esp_link_purge(&esp->link, false);
	mutex_unlock(&esp->link.lock);
	if (esp->vif)
		esp_netdev_schedule(esp->vif);

	/* Somebody wants to look at it as it is. */
	if (esp->reset_reason &&
	    !test_bit(ESP_PRIV_AUTO_RESET, &esp->priv_flags)) {
		dev_notice(esp->dev, "left alone, as auto-reset is off\n");
		esp_link_restart(esp, ESP_STATE_FAILED);
		return;
	}
	/* Without a reset line there is nothing to try a second time. */
	if (esp->boot_tries >= (esp->reset ? ESP_BOOT_TRIES : 1)) {
		dev_err(esp->dev,
			"giving up until the co-processor restarts by itself: %s\n",
			esp_boot_hint(&esp->link));
		esp_coredump(esp, "no boot event");
		esp->boot_tries = 0;
		esp_link_restart(esp, ESP_STATE_FAILED);
		return;
	}
	esp->boot_tries++;
	esp_reset_pulse(esp);
	esp_link_restart(esp, ESP_STATE_BOOTING);
	esp->boot_late = false;
	if (!test_bit(ESP_FLAG_REMOVING, &esp->flags))
		queue_delayed_work(esp->wq, &esp->boot_timeout,
				   esp->reset ? ESP_BOOT_TIMEOUT :
						ESP_ATTACH_DELAY);
}

/* Configure a freshly booted firmware. */
static int esp_configure(struct esp_hosted *esp, u8 *mac)
{
	int err;

	clear_bit(ESP_FLAG_WIFI_STARTED, &esp->flags);
	esp->mode = ESP_MODE_STA;
	err = esp_cmd_start(esp);
	if (err)
		return err;
	if (test_and_clear_bit(ESP_FLAG_ATTACH, &esp->flags)) {
		err = esp_cmd_leave(esp);
		if (err)
			return err;
	}

	return esp_cmd_get_mac(esp, ESP_IF_STA, mac);
}

static void esp_do_start(struct esp_hosted *esp)
{
	bool first = !esp->wiphy;
	struct esp_boot_info info;
	u8 mac[ETH_ALEN] = {};
	bool running;
	int err;

	cancel_delayed_work(&esp->boot_timeout);
	spin_lock_bh(&esp->state_lock);
	info = esp->boot;
	spin_unlock_bh(&esp->state_lock);

	if (info.chip == ESP_CHIP_UNKNOWN)
		strscpy(esp->fw_version, "unknown", sizeof(esp->fw_version));
	else
		snprintf(esp->fw_version, sizeof(esp->fw_version),
			 "%s-%u.%u.%u.%u.%u", info.project, info.version[0],
			 info.version[1], info.version[2], info.version[3],
			 info.version[4]);
	if (!(info.caps & ESP_CAP_WLAN_SPI))
		dev_warn(esp->dev, "firmware does not claim Wi-Fi over SPI\n");
	if (!first) {
		dev_notice(esp->dev, "firmware restarted, reset reason %u\n",
			   info.reset_reason);
		if (esp->crashed)
			esp_coredump(esp, "firmware restarted by itself");
		esp_count(esp, ESP_STAT_RESTARTS);
		esp_cfg80211_restarted(esp);
	}

	err = esp_configure(esp, mac);

	spin_lock_bh(&esp->state_lock);
	running = !err && esp->state == ESP_STATE_STARTING &&
		  !test_bit(ESP_FLAG_BOOTED, &esp->flags);
	if (running) {
		esp_set_state(esp, ESP_STATE_RUNNING);
		esp->boot_tries = 0;
	}
	spin_unlock_bh(&esp->state_lock);
	if (!running) {
		/* Another boot event or a reset already took over, or: */
		if (err && err != -ECONNRESET && err != -ENETDOWN &&
		    err != -ENODEV && err != -ETIMEDOUT)
			esp_recover(esp, "firmware refuses to start Wi-Fi");
		return;
	}
	set_bit(ESP_LINK_DATA, &esp->link.flags);

	if (first)
		err = esp_cfg80211_register(esp, mac);
	else
		err = esp_cfg80211_replay(esp);
	/* A reset or restart meanwhile starts over anyway. */
	if (err && !first && esp_running(esp))
		dev_warn(esp->dev, "cannot set the interface up again: %d\n",
			 err);
	if (err && first) {
		dev_err(esp->dev, "cannot register the interface: %d\n", err);
		spin_lock_bh(&esp->state_lock);
		if (esp->state == ESP_STATE_RUNNING)
			esp_set_state(esp, ESP_STATE_FAILED);
		spin_unlock_bh(&esp->state_lock);
		return;
	}

	dev_info(esp->dev, "%s, firmware %s, generation %u, %u Hz\n",
		 esp_chip_name(info.chip), esp->fw_version,
		 esp->gen == ESP_GEN_2 ? 2 : 1, esp->link.xfer.speed_hz);
	esp_hci_start(esp);
	complete_all(&esp->restarted);
}

static void esp_work(struct work_struct *work)
{
	struct esp_hosted *esp = container_of(work, struct esp_hosted, work);

	if (test_bit(ESP_FLAG_REMOVING, &esp->flags) ||
	    READ_ONCE(esp->state) == ESP_STATE_SUSPENDED)
		return;
	if (test_and_clear_bit(ESP_FLAG_RESET, &esp->flags))
		esp_do_reset(esp);
	if (test_and_clear_bit(ESP_FLAG_BOOTED, &esp->flags))
		esp_do_start(esp);
}

static int esp_setup_spi(struct spi_device *spi)
{
	struct device *dev = &spi->dev;
	size_t max;
	int err;

	max = min(spi_max_transfer_size(spi), spi_max_message_size(spi));
	if (max < ESP_FRAME_SIZE)
		return dev_err_probe(dev, -EINVAL,
				     "SPI controller transfers at most %zu bytes, %u are needed in one go: use another controller\n",
				     max, ESP_FRAME_SIZE);
	if (spi->controller->flags & (SPI_CONTROLLER_HALF_DUPLEX |
				      SPI_CONTROLLER_NO_RX |
				      SPI_CONTROLLER_NO_TX))
		return dev_err_probe(dev, -EINVAL,
				     "SPI controller cannot send and receive at the same time: use another controller\n");
	if (spi->mode & (SPI_CPHA | SPI_LSB_FIRST | SPI_3WIRE | SPI_NO_CS))
		return dev_err_probe(dev, -EINVAL,
				     "the protocol needs SPI mode 2, MSB first, full duplex, with chip select: remove the properties that say otherwise\n");

	spi->mode |= SPI_MODE_2;
	spi->bits_per_word = 8;
	err = spi_setup(spi);
	if (err)
		return dev_err_probe(dev, err, "cannot set up SPI mode 2\n");
	if (!spi->max_speed_hz)
		spi->max_speed_hz = ESP_CLOCK_INITIAL;

	return 0;
}

static int esp_probe(struct spi_device *spi)
{
	struct device *dev = &spi->dev;
	struct esp_hosted *esp;
	int err;

	err = esp_setup_spi(spi);
	if (err)
		return err;

	esp = devm_kzalloc(dev, sizeof(*esp), GFP_KERNEL);
	if (!esp)
		return -ENOMEM;
	esp->dev = dev;
	esp->spi = spi;
	spin_lock_init(&esp->state_lock);
	esp_compat_init(esp);
	INIT_WORK(&esp->work, esp_work);
	INIT_DELAYED_WORK(&esp->boot_timeout, esp_boot_timeout);
	skb_queue_head_init(&esp->events);
	init_completion(&esp->restarted);
	esp->priv_flags = BIT(ESP_PRIV_AUTO_RESET) | BIT(ESP_PRIV_POLL);
	esp_cmd_init(esp);
	spi_set_drvdata(spi, esp);

	/* Held in reset until everything is in place to see it boot. */
	esp->reset = devm_gpiod_get_optional(dev, "reset", GPIOD_OUT_HIGH);
	if (IS_ERR(esp->reset))
		return dev_err_probe(dev, PTR_ERR(esp->reset),
				     "cannot get reset-gpios\n");

	esp->wq = alloc_ordered_workqueue("esp_hosted/%s", 0, dev_name(dev));
	if (!esp->wq)
		return -ENOMEM;
	err = esp_link_init(esp);
	if (err)
		goto destroy_wq;
	err = esp_ota_register(esp);
	if (err)
		goto free_link;
	esp_debugfs_add(esp);

	set_bit(ESP_FLAG_RESET, &esp->flags);
	queue_work(esp->wq, &esp->work);

	return 0;

free_link:
	esp_link_free(&esp->link);
destroy_wq:
	destroy_workqueue(esp->wq);

	return err;
}

static void esp_remove(struct spi_device *spi)
{
	struct esp_hosted *esp = spi_get_drvdata(spi);

	/* Stop the worker, whatever it waits for. */
	set_bit(ESP_FLAG_REMOVING, &esp->flags);
	esp_cmd_cancel(esp, -ENODEV);
	esp_stop_work(esp);
	/* No event can be under way to cfg80211 after this. */
	mutex_lock(&esp->link.lock);
	mutex_unlock(&esp->link.lock);

	/* A live firmware still gets to say goodbye to its access point. */
	esp_ota_unregister(esp);
	esp_hci_stop(esp);
	esp_debugfs_remove(esp);
	esp_cfg80211_unregister(esp);

	spin_lock_bh(&esp->state_lock);
	esp_set_state(esp, ESP_STATE_GONE);
	spin_unlock_bh(&esp->state_lock);
	esp_link_close(&esp->link);
	esp_link_free(&esp->link);
	destroy_workqueue(esp->wq);
	skb_queue_purge(&esp->events);
	if (esp->vif)
		esp_netdev_free(esp->vif);
	if (esp->wiphy)
		wiphy_free(esp->wiphy);

	/* Nobody listens any more: no reason to keep the radio on. */
	gpiod_set_value_cansleep(esp->reset, 1);
}

/*
 * No transaction may run, and no command wait, while the system goes down or
 * another kernel starts. The chip is left in reset where that is possible.
 */
static void esp_shutdown(struct spi_device *spi)
{
	struct esp_hosted *esp = spi_get_drvdata(spi);

	set_bit(ESP_FLAG_REMOVING, &esp->flags);
	spin_lock_bh(&esp->state_lock);
	esp_set_state(esp, ESP_STATE_GONE);
	spin_unlock_bh(&esp->state_lock);
	esp_cmd_cancel(esp, -ENODEV);
	esp_stop_work(esp);
	esp_link_close(&esp->link);
	if (esp->vif)
		netif_device_detach(esp->vif->ndev);
	gpiod_set_value_cansleep(esp->reset, 1);
}

/* Runs before cfg80211 leaves the networks: a dead chip must not hold it up. */
static int esp_prepare(struct device *dev)
{
	struct esp_hosted *esp = dev_get_drvdata(dev);

	set_bit(ESP_FLAG_LEAVING, &esp->flags);

	return 0;
}

static void esp_complete(struct device *dev)
{
	struct esp_hosted *esp = dev_get_drvdata(dev);

	clear_bit(ESP_FLAG_LEAVING, &esp->flags);
}

/*
 * cfg80211 has left all networks by now. The co-processor stays powered or it
 * does not: either way it is left alone until resume, and neither asked nor
 * expected to wake anybody.
 */
static int esp_suspend(struct device *dev)
{
	struct esp_hosted *esp = dev_get_drvdata(dev);

	/* A reset or start-up under way ends at once and is done anew later. */
	spin_lock_bh(&esp->state_lock);
	esp->resume_state = esp->state;
	esp_set_state(esp, ESP_STATE_SUSPENDED);
	spin_unlock_bh(&esp->state_lock);
	esp_cmd_cancel(esp, -ENETDOWN);
	esp_stop_work(esp);
	esp_link_close(&esp->link);
	if (esp->vif)
		netif_device_detach(esp->vif->ndev);

	return 0;
}

static int esp_resume(struct device *dev)
{
	struct esp_hosted *esp = dev_get_drvdata(dev);
	bool running;

	spin_lock_bh(&esp->state_lock);
	running = esp->resume_state == ESP_STATE_RUNNING;
	esp_set_state(esp, running ? ESP_STATE_RUNNING : ESP_STATE_RESET);
	spin_unlock_bh(&esp->state_lock);

	if (running) {
		/*
		 * If it lost power, it sends a boot event or falls silent;
		 * both are handled as at any other time.
		 */
		esp_link_open(&esp->link);
		set_bit(ESP_LINK_DATA, &esp->link.flags);
	} else {
		esp->reset_reason = NULL;
		esp->boot_tries = 0;
		clear_bit(ESP_FLAG_BOOTED, &esp->flags);
		set_bit(ESP_FLAG_RESET, &esp->flags);
		esp_queue_work(esp);
	}
	if (esp->vif)
		netif_device_attach(esp->vif->ndev);

	return 0;
}

static const struct dev_pm_ops esp_pm_ops = {
	.prepare = pm_sleep_ptr(esp_prepare),
	.complete = pm_sleep_ptr(esp_complete),
	SYSTEM_SLEEP_PM_OPS(esp_suspend, esp_resume)
};

static const struct of_device_id esp_of_match[] = {
	{ .compatible = "espressif,esp-hosted" },
	{ .compatible = "espressif,esp32-spi" },
	{ }
};
MODULE_DEVICE_TABLE(of, esp_of_match);

static const struct spi_device_id esp_spi_ids[] = {
	{ "esp-hosted" },
	{ "esp32-spi" },
	{ }
};
MODULE_DEVICE_TABLE(spi, esp_spi_ids);

/* What remove() returns depends on the kernel. */
#define ESP_COMPAT_SPI
#include "compat.h"

static struct spi_driver esp_driver = {
	.driver = {
		.name = ESP_DRV_NAME,
		.of_match_table = esp_of_match,
		.pm = pm_sleep_ptr(&esp_pm_ops),
		.probe_type = PROBE_PREFER_ASYNCHRONOUS,
	},
	.id_table = esp_spi_ids,
	.probe = esp_probe,
	.remove = ESP_OP_SPI(esp_remove),
	.shutdown = esp_shutdown,
};

static int __init esp_init(void)
{
	int err;

	esp_debugfs_init();
	err = spi_register_driver(&esp_driver);
	if (err)
		esp_debugfs_exit();

	return err;
}
module_init(esp_init);

static void __exit esp_exit(void)
{
	spi_unregister_driver(&esp_driver);
	esp_debugfs_exit();
}
module_exit(esp_exit);

MODULE_DESCRIPTION("ESP-Hosted-NG Wi-Fi co-processors on SPI");
MODULE_AUTHOR("The esp-hosted-virt authors");
MODULE_LICENSE("GPL");
