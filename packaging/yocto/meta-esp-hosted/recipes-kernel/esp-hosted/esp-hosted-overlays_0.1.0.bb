# SPDX-License-Identifier: MIT
SUMMARY = "Devicetree overlays for ESP32 co-processors on SPI"
SECTION = "kernel"
LICENSE = "GPL-2.0-only | BSD-2-Clause"
LIC_FILES_CHKSUM = "file://rpi4-esp-hosted.dtso;beginline=1;endline=1;md5=1b8f6f8b76c5d744f9db7a4aba38d1fd"

DEPENDS = "dtc-native"

inherit deploy

FILESEXTRAPATHS:prepend := "${ESP_HOSTED_REPOSITORY}/dts:"
SRC_URI = "file://overlays"
UNPACKDIR ??= "${WORKDIR}"
S = "${UNPACKDIR}/overlays"

do_compile() {
    for overlay in ${S}/*.dtso; do
        dtc -@ -I dts -O dtb -o ${B}/$(basename ${overlay} .dtso).dtbo ${overlay}
    done
}

do_install() {
    install -d ${D}${datadir}/esp-hosted/overlays
    install -m 0644 ${B}/*.dtbo ${D}${datadir}/esp-hosted/overlays/
}

do_deploy() {
    install -d ${DEPLOYDIR}/overlays
    install -m 0644 ${B}/*.dtbo ${DEPLOYDIR}/overlays/
}

addtask deploy before do_build after do_compile

FILES:${PN} = "${datadir}/esp-hosted/overlays"
