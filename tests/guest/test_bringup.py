# SPDX-License-Identifier: MIT
"""A board that does not come up: the driver says what it sees, each cause in words of its own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field

import pytest

from harness import traffic
from harness.coprocessor import Coprocessor
from harness.wifi import Wifi
from tests.guest.lab import TRACING, Lab, need_tracing
from tests.guest.waits import LogMark, wait_counter

# The driver waits five seconds for the boot event before it says why there is none.
SAID_SECONDS = 20.0
BOOT_NS = 100_000_000


@dataclass(frozen=True)
class Case:
    """What is wrong, and what the driver says."""

    name: str
    says: str
    faults: dict[str, dict[str, int]] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.name


CASES = [
    Case(
        "nothing-rises",
        "neither handshake nor data-ready ever rose",
        {"handshake-stuck-low": {}, "data-ready-stuck-low": {}},
    ),
    Case("no-handshake", "data-ready rose but handshake never did", {"handshake-stuck-low": {}}),
    Case(
        "handshake-high", "handshake is high even in reset", {"handshake-stuck-high": {}, "boot-missing": {}}
    ),
]


@pytest.fixture
def unloaded(lab: Lab) -> Iterator[Wifi]:
    """The module is not loaded, the firmware boots fast; nothing stays armed."""
    wlan = Wifi(lab.guest)
    if wlan.loaded():
        wlan.unload()
    usual = lab.esp.get("boot-ns")
    lab.esp.set("boot-ns", BOOT_NS)
    yield wlan
    if lab.running:
        lab.esp.faults.disarm_all()
        lab.esp.set("boot-ns", usual)
        # Given up or not: the next test begins with a probe of its own.
        wlan.target.run("rmmod esp_hosted", check=False)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_cause_is_named(lab: Lab, unloaded: Wifi, esp: Coprocessor, case: Case) -> None:
    mark = LogMark(unloaded.target)
    with ExitStack() as armed:
        for name, options in case.faults.items():
            armed.enter_context(esp.fault(name, count=0, must_fire=True, **options))
        unloaded.target.run(["modprobe", "esp_hosted"], timeout=30)
        line = mark.wait(f"no boot event within 5 s, trying again: .*{case.says}", SAID_SECONDS)
    assert "esp_hosted spi" in line
    # Nothing is wrong any more: one of the next tries succeeds.
    unloaded.wait_interface()
    assert unloaded.statistics()["boot_timeouts"] >= 1


def test_data_ready_that_never_rises_is_survived_and_said(lab: Lab, unloaded: Wifi, esp: Coprocessor) -> None:
    mark = LogMark(unloaded.target)
    with esp.fault("data-ready-stuck-low", count=0, must_fire=True):
        unloaded.load()
        mark.wait("data-ready never rose: check its wiring", SAID_SECONDS)
        wlan = lab.connected()
        assert traffic.ping(wlan.target, count=3, interval=1, wait=5).received == 3
    assert wlan.statistics()["watchdog_polls"] > 0


def test_a_first_boot_that_never_comes_is_given_up_and_revived(unloaded: Wifi, esp: Coprocessor) -> None:
    mark = LogMark(unloaded.target)
    with esp.fault("boot-missing", count=3, must_fire=True):
        unloaded.target.run(["modprobe", "esp_hosted"], timeout=30)
        mark.wait("giving up until the co-processor restarts by itself: neither handshake", 30)
    (name,) = unloaded.target.run("ls /sys/kernel/debug/esp_hosted").lines()
    info = unloaded.target.run(["cat", f"/sys/kernel/debug/esp_hosted/{name}/info"]).stdout
    assert "state: failed" in info and "handshake: 0" in info and "reset: released" in info
    # As if somebody had pressed the chip's own reset button.
    esp.faults.arm("crash")
    assert unloaded.wait_interface() == "wlan0"


def test_debugfs_info(connected: Wifi) -> None:
    text = connected.target.run("cat /sys/kernel/debug/esp_hosted/spi*/info").stdout
    for line in (
        "state: running",
        "firmware: NG-1.0.6.0.1",
        "spi mode: 2",
        "spi clock: 10000000 Hz (at most 40000000 Hz)",
        "checksum: on",
        "reset: released",
    ):
        assert f"{line}\n" in text
    assert "transactions with something to say" in text and "received (good)" in text


TRACEPOINTS = {
    "esp_transaction": r"tx=(?:frame|filler) rx=(?:frame|idle) err=0",
    "esp_frame_tx": r"if=0 type=(?:data|command|eapol) len=\d+",
    "esp_frame_rx": r"if=0 type=(?:data|response|event) len=\d+",
    "esp_command": r"code=4 seq=\d+",
    "esp_command_done": r"code=4 seq=\d+ status=2 err=0",
    "esp_event": r"code=1 status=[01] len=\d+",
    "esp_state": r"running -> starting",
}


def test_tracepoints(lab: Lab, connected: Wifi, esp: Coprocessor) -> None:
    target = connected.target
    need_tracing(target)
    device = connected.device()
    target.run(f"echo 1 >{TRACING}/events/esp_hosted/enable; echo >{TRACING}/trace")
    try:
        connected.scan()
        restarts = connected.statistics()["firmware_restarts"]
        esp.faults.arm("crash")
        wait_counter(connected, "firmware_restarts", restarts)
        said = target.run(f"cat {TRACING}/trace").stdout
    finally:
        target.run(f"echo 0 >{TRACING}/events/esp_hosted/enable; echo >{TRACING}/trace")
    for name, text in TRACEPOINTS.items():
        assert re.search(rf" {name}: {device} {text}", said), f"{name}: {text}\n{said[-4000:]}"
    lab.connected()
