# SPDX-License-Identifier: MIT
"""The same traffic over a tap device in a network namespace instead of QEMU's own network."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from harness import namespaces, paths, qemu, scenario, target, traffic
from harness.namespaces import Namespace
from harness.prepare import Prepared
from harness.qemu import TapNetwork
from harness.target import TEST_KERNEL_WORDS
from harness.traffic import Direction, IperfServer
from harness.wifi import Wifi


@dataclass(frozen=True)
class Tapped:
    """A connected guest and the namespace it talks to."""

    wifi: Wifi
    space: Namespace


@pytest.fixture(scope="module")
def tapped(prepared: Prepared, pytestconfig: pytest.Config) -> Iterator[Tapped]:
    """A guest whose access point leads to a network namespace of the host."""
    if not pytestconfig.getoption("--tap"):
        pytest.skip("needs root; enable with: ./inv test -- --tap")
    with namespaces.create() as space:
        config = scenario.machine(prepared, append=TEST_KERNEL_WORDS, tap=TapNetwork(space.tap, space.name))
        guest = target.boot(config, qemu.emulator(prepared.qemu), paths.run_dir() / "tap")
        try:
            wifi = Wifi(guest)
            wifi.load()
            wifi.up()
            wifi.connect(scenario.SSID)
            guest.run(["ip", "addr", "add", f"{space.guest_address}/{space.length}", "dev", wifi.interface])
            yield Tapped(wifi, space)
        finally:
            guest.close()


def test_ping(tapped: Tapped) -> None:
    assert traffic.ping(tapped.wifi.target, tapped.space.address, count=5).received == 5


@pytest.mark.parametrize("direction", ["up", "down"])
def test_iperf(tapped: Tapped, direction: Direction) -> None:
    with IperfServer(tapped.space.address, namespace=tapped.space.name) as server:
        result = traffic.iperf(
            tapped.wifi.target, server, direction=direction, seconds=3, host=tapped.space.address
        )
    assert result.direction == direction and result.received_bps > 0
