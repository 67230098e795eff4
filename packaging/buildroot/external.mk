include $(sort $(wildcard $(BR2_EXTERNAL_ESP_HOSTED_PATH)/package/*/*.mk))
