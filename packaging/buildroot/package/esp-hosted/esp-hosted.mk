################################################################################
#
# esp-hosted
#
################################################################################

ESP_HOSTED_VERSION = 0.1.0
ESP_HOSTED_SITE = $(BR2_EXTERNAL_ESP_HOSTED_PATH)/../../driver
ESP_HOSTED_SITE_METHOD = local
ESP_HOSTED_LICENSE = GPL-2.0

define ESP_HOSTED_LINUX_CONFIG_FIXUPS
	$(call KCONFIG_ENABLE_OPT,CONFIG_NET)
	$(call KCONFIG_ENABLE_OPT,CONFIG_WIRELESS)
	$(call KCONFIG_ENABLE_OPT,CONFIG_CFG80211)
	$(call KCONFIG_ENABLE_OPT,CONFIG_SPI)
	$(call KCONFIG_ENABLE_OPT,CONFIG_GPIOLIB)
endef

$(eval $(kernel-module))
$(eval $(generic-package))
