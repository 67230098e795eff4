# SPDX-License-Identifier: MIT
"""The co-processor in another machine than the usual one: a 32-bit i.MX6 with the distribution's kernel."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from harness import paths, qemu, scenario, target, traffic
from harness.coprocessor import difference
from harness.klog import KernelLog
from harness.prepare import prepare
from harness.target import TEST_KERNEL_WORDS, QemuTarget
from harness.wifi import Wifi

KERNEL, BOARD = "6.12-armhf", "sabrelite"
# Fetches a kernel and a root file system of its own.
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def sabrelite() -> Iterator[QemuTarget]:
    """The other machine, booted."""
    prepared = prepare(KERNEL, BOARD)
    config = scenario.machine(prepared, append=TEST_KERNEL_WORDS)
    guest = target.boot(config, qemu.emulator(prepared.qemu), paths.run_dir() / BOARD)
    yield guest
    guest.close()


def test_associates_and_pings(sabrelite: QemuTarget) -> None:
    esp = sabrelite.machine.coprocessor("esp0")
    log = KernelLog(sabrelite)
    log.begin("driver")
    assert sabrelite.run(["uname", "-m"]).stdout.strip() == "armv7l"
    wlan = Wifi(sabrelite)
    wlan.load()
    wlan.wait_interface()
    wlan.up()
    assert {scenario.SSID, scenario.FAR_SSID} <= {bss.ssid for bss in wlan.scan()}
    wlan.connect(scenario.SSID)
    wlan.lease()
    before = wlan.statistics()
    assert traffic.ping(sabrelite, count=20, interval=0.05, size=1400).received == 20
    counted = difference(before, wlan.statistics())
    assert counted["transactions"] >= 40
    assert esp.counters["unarmed-transactions"] == 0
    assert esp.counters["transactions-short"] == 0
    wlan.unload()
    assert not log.read().findings()
