# SPDX-License-Identifier: MIT
"""Every chip and several versions of both generations: the driver attaches, scans, associates, moves data."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from tests.guest.firmware import firmware, whole_suite
from tests.guest.lab import Lab


@dataclass(frozen=True)
class Chip:
    """A chip as protocol.md §1.2 and protocol-g2.md §10 have it."""

    name: str
    mhz: int
    five_ghz: bool = False


CHIPS = [
    Chip("esp32", 10),
    Chip("esp32s2", 30),
    Chip("esp32s3", 30),
    Chip("esp32c2", 30),
    Chip("esp32c3", 30),
    Chip("esp32c5", 30, five_ghz=True),
    Chip("esp32c6", 26),
    Chip("esp32c61", 26),
    Chip("esp32s31", 26),
]
VERSIONS = {
    "g1": ["1.0.4.0.0", "1.0.5.0.3", "1.0.6.0.0", "1.0.6.0.1", "1.0.6.0.6"],
    "g2": ["1.0.6.0.7", "1.0.6.0.9", "1.0.6.0.15"],
}
# By default each chip once, with the generation in turn.
CASES = [
    pytest.param(
        chip,
        generation,
        id=f"{chip.name}-{generation}",
        marks=[] if (number + offset) % 2 == 0 else [pytest.mark.slow],
    )
    for number, chip in enumerate(CHIPS)
    for offset, generation in enumerate(VERSIONS)
]


@pytest.mark.parametrize(("chip", "generation"), CASES)
def test_chip(lab: Lab, chip: Chip, generation: str) -> None:
    with firmware(lab, chip=chip.name, generation=generation) as wlan, lab.esp.ap("5 GHz", channel=36):
        whole_suite(lab, wlan)
        assert lab.esp.get("advertised-clock-mhz") == chip.mhz
        assert ("5 GHz" in {bss.ssid for bss in wlan.scan()}) == chip.five_ghz


@pytest.mark.slow
@pytest.mark.parametrize(
    ("generation", "version"),
    [(name, version) for name, versions in VERSIONS.items() for version in versions],
)
def test_version(lab: Lab, generation: str, version: str) -> None:
    with firmware(lab, generation=generation, version=version) as wlan:
        whole_suite(lab, wlan)
        assert wlan.ethtool("-i")["firmware-version"] == f"NG-{version}"
