# SPDX-License-Identifier: MIT
"""The driver works with every quirk of the firmware alone, with none of them and with all of them.

FQ-n of protocol.md §14 is bit n of the property `quirks`. All combinations with --slow.
"""

from __future__ import annotations

import pytest

from tests.guest.firmware import RELEASED, firmware, whole_suite
from tests.guest.lab import Lab

QUIRKS = range(1, 21)
ALL = sum(1 << number for number in QUIRKS)
# Second INIT_IF, unanswered commands: these belong to firmware whose version the driver knows by them.
NEEDS_VERSION = {18: "1.0.5.0.3"}


@pytest.mark.parametrize("generation", ["g1", "g2"])
@pytest.mark.parametrize(
    "quirks",
    [
        pytest.param(RELEASED, id="as-released"),
        pytest.param(0, id="none"),
        pytest.param(ALL & ~(1 << 18), id="all"),
    ],
)
def test_quirks_together(lab: Lab, generation: str, quirks: int) -> None:
    with firmware(lab, generation=generation, quirks=quirks) as wlan:
        whole_suite(lab, wlan)


@pytest.mark.slow
@pytest.mark.parametrize("generation", ["g1", "g2"])
@pytest.mark.parametrize("number", QUIRKS, ids=lambda number: f"FQ-{number}")
def test_each_quirk_alone(lab: Lab, generation: str, number: int) -> None:
    if number in NEEDS_VERSION and generation == "g2":
        pytest.skip("this quirk went before the second generation came (protocol-g2.md §7)")
    version = NEEDS_VERSION.get(number, "")
    with firmware(lab, generation=generation, quirks=1 << number, version=version) as wlan:
        whole_suite(lab, wlan)
