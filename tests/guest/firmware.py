# SPDX-License-Identifier: MIT
"""Other firmware and other chips in the guest that runs: set before the driver resets the chip."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from harness import scenario, traffic
from harness.wifi import Wifi
from tests.guest.lab import Lab

MS = 1_000_000
# As released, whatever generation and chip.
RELEASED = 0xFFFFFFFF
USUAL = {"chip": "esp32", "generation": "g1", "quirks": RELEASED, "fw-version": ""}
# There are many of these: what takes time without being looked at takes less of it.
QUICK = {"boot-ns": 50 * MS, "reboot-ns": 50 * MS, "scan-dwell-ns": 20 * MS}


@contextmanager
def firmware(
    lab: Lab, *, chip: str = "esp32", generation: str = "g1", quirks: int = RELEASED, version: str = ""
) -> Iterator[Wifi]:
    """The driver, not loaded, in front of this chip and firmware; behind `with` it is gone again."""
    properties = {"chip": chip, "generation": generation, "quirks": quirks, "fw-version": version}
    wlan, esp = Wifi(lab.guest), lab.esp
    if wlan.loaded():
        wlan.unload()
    quick = {name: esp.get(name) for name in QUICK}
    try:
        for name, value in (QUICK | properties).items():
            esp.set(name, value)
        yield wlan
        if wlan.loaded():
            wlan.unload()
    finally:
        if lab.running:
            for name, value in (quick | USUAL).items():
                esp.set(name, value)


def whole_suite(lab: Lab, wlan: Wifi) -> None:
    """Attach, scan, associate, traffic both ways, leave: no time-out, nothing clocked in vain."""
    unarmed = lab.esp.counters["unarmed-transactions"]
    wlan.load()
    wlan.up()
    assert {scenario.SSID, scenario.FAR_SSID} <= {bss.ssid for bss in wlan.scan()}
    link = wlan.connect(scenario.SSID)
    assert link.ssid == scenario.SSID
    wlan.lease()
    assert traffic.ping(wlan.target, count=20, interval=0.01, size=1400).received == 20
    wlan.disconnect()
    counted = wlan.statistics()
    for name in ("command_timeouts", "scan_timeouts", "mlme_timeouts", "firmware_restarts"):
        assert counted[name] == 0, f"{name}: {counted[name]}"
    assert lab.esp.counters["unarmed-transactions"] == unarmed
