# SPDX-License-Identifier: MIT
"""Builds kernels' modules, devicetrees, guests and the emulator, boots them and tests what comes up."""
