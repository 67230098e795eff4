// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a person needs when a board does not come up: /sys/kernel/debug/
 * esp_hosted/<device>/info.
 */

#include <linux/debugfs.h>
#include <linux/mm.h>
#include <linux/seq_file.h>

#include "esp_hosted.h"

/* A directory name, not state: the devices live below it. */
#define ESP_DEBUGFS_ROOT	ESP_DRV_NAME

static int info_show(struct seq_file *s, void *data)
{
	struct esp_hosted *esp = s->private;
	size_t len;
	char *buf;

	buf = kvmalloc(ESP_REPORT_SIZE, GFP_KERNEL);
	if (!buf)
		return -ENOMEM;
	len = esp_report(esp, NULL, buf, ESP_REPORT_SIZE);
	seq_write(s, buf, len);
	kvfree(buf);

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
