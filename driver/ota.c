// SPDX-License-Identifier: GPL-2.0-only
/*
 * Firmware update: devlink dev flash spi/spi1.0 file image.bin
 *
 * The image goes into the co-processor's other update slot while it works on.
 * The bootloader is told to use that slot by the last command only, so whatever
 * fails before leaves the old firmware in charge. Then the firmware restarts by
 * itself, which the driver handles like any other restart.
 */

#include <linux/firmware.h>
#include <net/devlink.h>

#include "esp_hosted.h"

#define ESP_OTA_CHUNK		1016
#define ESP_OTA_NOTIFY		(16 * ESP_OTA_CHUNK)
/* From the last answer to a configured new firmware: 5 s, boot, commands */
#define ESP_OTA_RESTART		20
/* Larger than the flash of any of these chips */
#define ESP_OTA_MAX		(32 * 1024 * 1024)

#define ESP_IMAGE_MAGIC		0xe9
#define ESP_IMAGE_HDR		24
#define ESP_IMAGE_CHIP		12

static struct esp_hosted *esp_from_devlink(struct devlink *devlink)
{
	struct esp_hosted **priv = devlink_priv(devlink);

	return *priv;
}

/* Before anything is erased: is this an image, and for this chip? */
static int esp_ota_check(struct esp_hosted *esp, const struct firmware *fw,
			 struct netlink_ext_ack *extack)
{
	u16 chip;

	if (fw->size < ESP_IMAGE_HDR || fw->data[0] != ESP_IMAGE_MAGIC) {
		NL_SET_ERR_MSG(extack,
			       "not an ESP application image: it does not begin with 0xe9");
		return -EINVAL;
	}
	if (fw->size > ESP_OTA_MAX) {
		NL_SET_ERR_MSG(extack, "larger than any chip's flash");
		return -EFBIG;
	}
	chip = get_unaligned_le16(fw->data + ESP_IMAGE_CHIP);
	if (esp->boot.chip != ESP_CHIP_UNKNOWN && chip != esp->boot.chip) {
		dev_err(esp->dev, "image is for chip %#x, this is %#x\n", chip,
			esp->boot.chip);
		NL_SET_ERR_MSG(extack, "the image is for another chip");
		return -EINVAL;
	}

	return 0;
}

static int esp_ota_write(struct esp_hosted *esp, struct devlink *devlink,
			 const struct firmware *fw)
{
	size_t done = 0;
	int err = 0;

	while (done < fw->size && !err) {
		size_t n = min_t(size_t, fw->size - done, ESP_OTA_CHUNK);
		struct esp_cmd cmd = {
			.code = ESP_CMD_OTA_WRITE,
			.if_type = ESP_IF_STA,
		};
		struct esp_req_ota_write req = { .len = cpu_to_le16(n) };

		if (test_bit(ESP_FLAG_REMOVING, &esp->flags))
			return -ENODEV;
		if (done % ESP_OTA_NOTIFY == 0)
			devlink_flash_update_status_notify(devlink, "Flashing",
							   NULL, done,
							   fw->size);
		err = esp_cmd_exec(esp, &cmd, &req, sizeof(req),
				   fw->data + done, n);
		done += n;
	}
	if (!err)
		devlink_flash_update_status_notify(devlink, "Flashing", NULL,
						   fw->size, fw->size);

	return err;
}

/* The firmware restarts by itself; wait until it is in service again. */
static int esp_ota_restart(struct esp_hosted *esp, struct devlink *devlink)
{
	unsigned int i;

	devlink_flash_update_status_notify(devlink, "Restarting", NULL, 0, 0);
	for (i = 0; i < ESP_OTA_RESTART; i++) {
		if (wait_for_completion_timeout(&esp->restarted, HZ))
			return 0;
		if (test_bit(ESP_FLAG_REMOVING, &esp->flags))
			return -ENODEV;
	}
	/* Perhaps it does after a reset; the bootloader may also go back. */
	esp_recover(esp, "new firmware does not start");

	return -ETIMEDOUT;
}

static int esp_ota_flash(struct devlink *devlink,
			 struct devlink_flash_update_params *params,
			 struct netlink_ext_ack *extack)
{
	struct esp_hosted *esp = esp_from_devlink(devlink);
	const struct firmware *fw = params->fw;
	int err;

	if (!esp_running(esp)) {
		NL_SET_ERR_MSG(extack, "the co-processor is not in service");
		return -ENETDOWN;
	}
	err = esp_ota_check(esp, fw, extack);
	if (err)
		return err;

	devlink_flash_update_status_notify(devlink, "Erasing", NULL, 0, 0);
	err = esp_cmd_simple(esp, ESP_CMD_OTA_START, ESP_IF_STA);
	if (err) {
		NL_SET_ERR_MSG(extack,
			       "the firmware does not accept an update; the old one stays");
		goto failed;
	}
	err = esp_ota_write(esp, devlink, fw);
	if (err) {
		NL_SET_ERR_MSG(extack,
			       "the firmware refuses the image; the old one stays");
		goto failed;
	}
	reinit_completion(&esp->restarted);
	set_bit(ESP_FLAG_UPDATED, &esp->flags);
	err = esp_cmd_simple(esp, ESP_CMD_OTA_END, ESP_IF_STA);
	if (err) {
		clear_bit(ESP_FLAG_UPDATED, &esp->flags);
		NL_SET_ERR_MSG(extack,
			       "the firmware finds the image damaged; the old one stays");
		goto failed;
	}
	err = esp_ota_restart(esp, devlink);
	if (err) {
		NL_SET_ERR_MSG(extack,
			       "written, but the new firmware does not start");
		goto failed;
	}
	dev_notice(esp->dev, "firmware updated, now %s\n", esp->fw_version);

	return 0;

failed:
	dev_err(esp->dev, "firmware update failed: %d\n", err);

	return err;
}

static int esp_devlink_info(struct devlink *devlink,
			    struct devlink_info_req *req,
			    struct netlink_ext_ack *extack)
{
	struct esp_hosted *esp = esp_from_devlink(devlink);
	char chip[8];
	int err;

	/* Nothing is known before the first boot event. */
	if (!esp->fw_version[0])
		return 0;
	snprintf(chip, sizeof(chip), "%#x", esp->boot.chip);
	err = devlink_info_version_fixed_put(req,
					     DEVLINK_INFO_VERSION_GENERIC_ASIC_ID,
					     chip);
	if (err)
		return err;

	return devlink_info_version_running_put(req,
						DEVLINK_INFO_VERSION_GENERIC_FW,
						esp->fw_version);
}

static const struct devlink_ops esp_devlink_ops = {
	.info_get = esp_devlink_info,
	.flash_update = esp_ota_flash,
};

/**
 * esp_ota_register - offer firmware updates
 * @esp: the device
 *
 * Process context.
 *
 * Return: 0 or -ENOMEM
 */
int esp_ota_register(struct esp_hosted *esp)
{
	struct esp_hosted **priv;
	struct devlink *devlink;

	devlink = devlink_alloc(&esp_devlink_ops, sizeof(*priv), esp->dev);
	if (!devlink)
		return -ENOMEM;
	priv = devlink_priv(devlink);
	*priv = esp;
	esp->devlink = devlink;
	devlink_register(devlink);

	return 0;
}

/**
 * esp_ota_unregister - no more updates
 * @esp: the device, %ESP_FLAG_REMOVING set so that one under way ends
 *
 * Process context; waits for an update under way.
 */
void esp_ota_unregister(struct esp_hosted *esp)
{
	devlink_unregister(esp->devlink);
	devlink_free(esp->devlink);
}
