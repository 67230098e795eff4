# SPDX-License-Identifier: MIT
SUMMARY = "Wi-Fi over SPI with ESP32 co-processors"
DESCRIPTION = "Linux driver for ESP32-class chips that run Espressif's ESP-Hosted firmware and are connected \
by SPI and two GPIO lines: the board gets an ordinary wireless interface."
SECTION = "kernel/modules"
LICENSE = "GPL-2.0-only"
LIC_FILES_CHKSUM = "file://main.c;beginline=1;endline=1;md5=fcab174c20ea2e2bc0be64b493708266"

inherit module

FILESEXTRAPATHS:prepend := "${ESP_HOSTED_REPOSITORY}:"
SRC_URI = "file://driver"
UNPACKDIR ??= "${WORKDIR}"
S = "${UNPACKDIR}/driver"

EXTRA_OEMAKE += "KDIR=${STAGING_KERNEL_DIR}"

RRECOMMENDS:${PN} += "wireless-regdb-static iw wpa-supplicant"
