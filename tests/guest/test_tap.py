# SPDX-License-Identifier: MIT
"""The same traffic over a tap device in a network namespace instead of QEMU's own network."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from harness import namespaces, paths, qemu, scenario, traffic
from harness.namespaces import Namespace
from harness.prepare import Prepared
from harness.qemu import TapNetwork
from harness.target import TEST_KERNEL_WORDS
from harness.traffic import Direction, IperfServer
from harness.wifi import Wifi
from tests.guest.lab import Lab, watched


@pytest.fixture(scope="module")
def space(pytestconfig: pytest.Config) -> Iterator[Namespace]:
    """What is behind the access point: a network namespace of the host."""
    if not pytestconfig.getoption("--tap"):
        pytest.skip("needs root; enable with: ./inv test -- --tap")
    with namespaces.create() as made:
        yield made


@pytest.fixture(scope="module")
def tap_lab(pytestconfig: pytest.Config, space: Namespace, prepared: Prepared) -> Iterator[Lab]:
    """A guest whose access point leads there."""
    machine = scenario.machine(prepared, append=TEST_KERNEL_WORDS, tap=TapNetwork(space.tap, space.name))
    yield from watched(
        pytestconfig, "tap_lab", Lab("tap", machine, qemu.emulator(prepared.qemu), paths.run_dir())
    )


@pytest.fixture(scope="module")
def wlan(tap_lab: Lab, space: Namespace) -> Wifi:
    """Connected, with an address in the namespace's network."""
    wifi = Wifi(tap_lab.guest)
    wifi.load()
    wifi.up()
    wifi.connect(scenario.SSID)
    wifi.target.run(["ip", "addr", "add", f"{space.guest_address}/{space.length}", "dev", wifi.interface])
    return wifi


def test_ping(wlan: Wifi, space: Namespace) -> None:
    assert traffic.ping(wlan.target, space.address, count=5).received == 5


@pytest.mark.parametrize("direction", ["up", "down"])
def test_iperf(wlan: Wifi, space: Namespace, direction: Direction) -> None:
    with IperfServer(space.address, namespace=space.name) as server:
        result = traffic.iperf(wlan.target, server, direction=direction, seconds=3, host=space.address)
    assert result.direction == direction and result.received_bps > 0
