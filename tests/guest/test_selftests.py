# SPDX-License-Identifier: MIT
"""The kernel's own tests of network drivers on our interface, as they are in the kernel's source.

The interface is a station's; the other end is our own access point, in a network namespace.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from harness import selftests
from harness.grid import FAILED, PASSED, SKIPPED
from tests.guest.lab import Lab
from tests.guest.radios import AP_ADDRESS, SECURITY, STATION_ADDRESS, Radio, Radios, access_point, station

AP_V6, STATION_V6 = "2001:db8::1", "2001:db8::2"
# Python and netlink's specifications in an emulated processor.
SECONDS = 180.0

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def ends(selftests_lab: Lab) -> Iterator[tuple[Radio, Radio]]:
    """Station and access point, connected, with addresses."""
    radios = Radios(selftests_lab, "g2").ready()
    ap, sta = radios["esp0"], radios["esp1"]
    with ExitStack() as stack:
        stack.enter_context(access_point(ap, SECURITY["wpa2"]))
        stack.enter_context(station(sta, SECURITY["wpa2"]))
        for radio, address in ((ap, AP_V6), (sta, STATION_V6)):
            radio.run("ip", "addr", "add", f"{address}/64", "dev", radio.interface, "nodad")
        yield sta, ap


def test_every_script_is_run_or_has_a_reason(
    selftests_lab: Lab, record_property: Callable[[str, str], None]
) -> None:
    found = selftests_lab.guest.run(
        f"cd /selftests/{selftests.DIRECTORY} && ls *.py *.sh hw/*.py hw/*.sh"
    ).lines()
    assert set(selftests.APPLY) <= set(found)
    for name in found:
        if name in selftests.REASONS:
            record_property(SKIPPED, f"{name}: {selftests.REASONS[name]}")
        elif name not in selftests.APPLY and not name.endswith("lib.sh"):
            record_property(SKIPPED, f"{name}: nobody has looked at it yet")


@pytest.mark.parametrize("name", selftests.APPLY)
def test_selftest(
    selftests_lab: Lab, ends: tuple[Radio, Radio], name: str, record_property: Callable[[str, str], None]
) -> None:
    station, other = ends
    settings = {
        "NETIF": station.interface,
        "LOCAL_V4": STATION_ADDRESS,
        "REMOTE_V4": AP_ADDRESS,
        "LOCAL_V6": STATION_V6,
        "REMOTE_V6": AP_V6,
        "REMOTE_TYPE": "netns",
        "REMOTE_ARGS": other.name,
    }
    words = [f"{key}={value}" for key, value in settings.items()]
    place = f"/selftests/{selftests.DIRECTORY}"
    done = selftests_lab.guest.run(
        f"cd {place} && ip netns exec {station.name} env {' '.join(words)} python3 {name}",
        timeout=SECONDS,
        check=False,
    )
    said = f"{done.stdout}{done.stderr}"
    cases = list(selftests.parse(said))
    for case in cases:
        status = FAILED if not case.ok else SKIPPED if "SKIP" in case.directive else PASSED
        record_property(status, f"{name} {case.name}: {case.directive}")
    assert cases and all(case.ok for case in cases), said
    assert any("SKIP" not in case.directive for case in cases), said
    # 4: everything was skipped
    assert done.status == 0, said
