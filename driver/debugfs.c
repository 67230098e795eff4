// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a person needs when a board does not come up: /sys/kernel/debug/
 * esp_hosted/<device>/info.
 */

#include <linux/debugfs.h>
#include <linux/gpio/consumer.h>
#include <linux/seq_file.h>

#include "esp_hosted.h"

/* A directory name, not state: the devices live below it. */
#define ESP_DEBUGFS_ROOT	ESP_DRV_NAME

static int info_show(struct seq_file *s, void *data)
{
	struct esp_hosted *esp = s->private;
	struct esp_link *link = &esp->link;
	unsigned int i;

	seq_printf(s, "state: %s\n", esp_state_name(READ_ONCE(esp->state)));
	seq_printf(s, "handshake: %d\n",
		   gpiod_get_value_cansleep(link->hs));
	seq_printf(s, "data-ready: %d\n",
		   gpiod_get_value_cansleep(link->dr));
	seq_printf(s, "reset: %s\n", !esp->reset ? "not wired" :
		   gpiod_get_value_cansleep(esp->reset) ? "asserted" :
							  "released");
	seq_printf(s, "spi mode: %lu\n",
		   (unsigned long)(link->spi->mode & SPI_MODE_3));
	seq_printf(s, "spi clock: %u Hz (at most %u Hz)\n",
		   link->xfer.speed_hz, link->spi->max_speed_hz);
	seq_printf(s, "bus owner: %s\n",
		   link->worker ? "worker" : "interrupt thread");
	seq_printf(s, "link flags: %#lx, expecting %#lx\n", link->flags,
		   link->expect);
	seq_printf(s, "queued: control %u, hci %u, data %u\n",
		   skb_queue_len_lockless(&link->control),
		   skb_queue_len_lockless(&link->hci),
		   skb_queue_len_lockless(&link->data));
	seq_printf(s, "firmware: %s\n",
		   esp->fw_version[0] ? esp->fw_version : "unknown");
	seq_printf(s, "generation: %d\n", esp->gen);
	seq_printf(s, "chip: %#x\n", esp->boot.chip);
	seq_printf(s, "capabilities: %#x, extended %#x\n", esp->boot.caps,
		   esp->boot.ext_caps);
	seq_printf(s, "checksum: %s\n", link->checksum ? "on" : "off");
	seq_printf(s, "last frame sent: %*ph\n", (int)sizeof(link->last_tx),
		   link->last_tx);
	seq_printf(s, "last frame received: %*ph\n",
		   (int)sizeof(link->last_rx), link->last_rx);
	for (i = 0; i < ESP_STAT_COUNT; i++)
		seq_printf(s, "%s: %lu\n", esp_stat_names[i],
			   READ_ONCE(esp->stats[i]));

	return 0;
}
DEFINE_SHOW_ATTRIBUTE(info);

/**
 * esp_debugfs_init - create the driver's directory
 */
void esp_debugfs_init(void)
{
	debugfs_create_dir(ESP_DEBUGFS_ROOT, NULL);
}

/**
 * esp_debugfs_exit - remove the driver's directory
 */
void esp_debugfs_exit(void)
{
	debugfs_lookup_and_remove(ESP_DEBUGFS_ROOT, NULL);
}

/**
 * esp_debugfs_add - create a device's directory
 * @esp: the device, link initialised
 */
void esp_debugfs_add(struct esp_hosted *esp)
{
	struct dentry *root = debugfs_lookup(ESP_DEBUGFS_ROOT, NULL);

	esp->debugfs = debugfs_create_dir(dev_name(esp->dev), root);
	dput(root);
	debugfs_create_file("info", 0400, esp->debugfs, esp, &info_fops);
}

/**
 * esp_debugfs_remove - remove a device's directory
 * @esp: the device
 */
void esp_debugfs_remove(struct esp_hosted *esp)
{
	debugfs_remove_recursive(esp->debugfs);
}
