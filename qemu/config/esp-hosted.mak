# SPDX-License-Identifier: GPL-2.0-or-later
#
# The devices of the emulator this project builds: a 64-bit and a 32-bit
# board and the virtual co-processor, nothing else.

CONFIG_FSL_IMX8MP_EVK=y
CONFIG_SABRELITE=y
CONFIG_ESP_HOSTED=y
