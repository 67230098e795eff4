# SPDX-License-Identifier: MIT
"""Suspend and resume, shutdown, the bus's clock, and what unloading leaves behind."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from harness import scenario, traffic
from harness.coprocessor import Coprocessor
from harness.target import Job, Target
from harness.wifi import Wifi
from tests.guest.lab import Lab, seconds_of
from tests.guest.shutdown import halt_in_traffic
from tests.guest.waits import LogMark, wait_counter, wait_running

# Sleeps and time-outs: minutes in all.
pytestmark = pytest.mark.slow

# What the kernel's test of suspend waits for between suspend and resume.
ASLEEP_SECONDS = 1
PING_SECONDS = 5.0
SUSPEND_SECONDS = 2.0


@pytest.fixture
def sleepy(wlan: Wifi) -> Iterator[Wifi]:
    """The kernel suspends all devices and resumes them shortly afterwards; nothing has to wake it."""
    target = wlan.target
    target.run("echo devices >/sys/power/pm_test")
    target.run(f"echo {ASLEEP_SECONDS} >/sys/module/suspend/parameters/pm_test_delay")
    yield wlan
    target.run("echo none >/sys/power/pm_test")


def suspend(target: Target) -> float:
    """Suspend to idle and resume; seconds it took beyond the sleep itself."""
    return seconds_of(target, "echo freeze >/sys/power/state", timeout=60) - ASLEEP_SECONDS


@contextmanager
def supplicant(wlan: Wifi) -> Iterator[Job]:
    """wpa_supplicant, connected to the open access point; it connects again whenever that is lost."""
    target = wlan.target
    target.write_file(
        "/tmp/power.conf", f'network={{\n\tssid="{scenario.SSID}"\n\tkey_mgmt=NONE\n\tscan_freq=2437\n}}\n'
    )
    job = target.spawn(["wpa_supplicant", "-i", wlan.interface, "-c", "/tmp/power.conf"])
    try:
        wlan.wait_carrier(True, timeout=30)
        yield job
    finally:
        job.stop()


def test_suspend_with_an_association(lab: Lab, sleepy: Wifi, esp: Coprocessor) -> None:
    if sleepy.link() is not None:
        sleepy.disconnect()
    with supplicant(sleepy):
        sleepy.lease()
        before = esp.counters
        suspend(sleepy.target)
        # Resumed: an answer within five seconds.
        answered = sleepy.target.run(
            f"until ping -q -c 1 -W 1 {traffic.HOST_FROM_GUEST} >/dev/null 2>&1; do sleep 0.1; done",
            timeout=PING_SECONDS * 6,
        )
        assert answered.seconds < PING_SECONDS
        assert esp.counters["unarmed-transactions"] == before["unarmed-transactions"]
        assert esp.counters["boots"] == before["boots"], "the firmware kept running"


def test_suspend_with_the_interface_down(lab: Lab, sleepy: Wifi) -> None:
    sleepy.down()
    suspend(sleepy.target)
    wlan = lab.connected()
    assert traffic.ping(wlan.target, count=3, interval=0.05, wait=2).received == 3


def test_suspend_in_the_middle_of_traffic(lab: Lab, sleepy: Wifi, esp: Coprocessor) -> None:
    wlan = lab.connected()
    before = esp.counters["unarmed-transactions"]
    job = wlan.target.spawn(["ping", "-q", "-f", "-w", "30", traffic.HOST_FROM_GUEST])
    wlan.wait_packets("rx", 50)
    suspend(wlan.target)
    job.stop()
    wlan = lab.connected()
    assert traffic.ping(wlan.target, count=3, interval=0.05, wait=2).received == 3
    assert esp.counters["unarmed-transactions"] == before


@pytest.mark.parametrize("fault", ["hang", "hang-lines-high"])
def test_suspend_with_a_dead_chip(lab: Lab, sleepy: Wifi, esp: Coprocessor, fault: str) -> None:
    wlan = lab.connected()
    wlan.target.run("echo 1 >/sys/power/pm_debug_messages")
    mark = LogMark(wlan.target)
    esp.faults.arm(fault)
    suspend(wlan.target)
    took = re.search(r"suspend of devices complete after ([\d.]+) msecs", mark.text())
    assert took and float(took[1]) / 1000 < SUSPEND_SECONDS
    esp.faults.disarm_all()
    wlan.wait_carrier(False)
    wait_running(wlan)
    wlan = lab.connected()
    assert traffic.ping(wlan.target, count=3, interval=0.05, wait=2).received == 3


def test_firmware_that_restarts_in_its_sleep(lab: Lab, sleepy: Wifi, esp: Coprocessor) -> None:
    wlan = lab.connected()
    index = wlan.ip_link()["ifindex"]
    before = wlan.statistics()["firmware_restarts"]
    usual = esp.get("reboot-ns")
    # The boot event comes while the host sleeps.
    esp.set("reboot-ns", 300_000_000)
    try:
        esp.faults.arm("crash")
        suspend(wlan.target)
    finally:
        esp.set("reboot-ns", usual)
    wait_counter(wlan, "firmware_restarts", before)
    wait_running(wlan)
    wlan = lab.connected()
    assert traffic.ping(wlan.target, count=3, interval=0.05, wait=2).received == 3
    assert wlan.ip_link()["ifindex"] == index


def test_clock_is_the_lowest_of_board_and_chip(wlan: Wifi, esp: Coprocessor) -> None:
    info = wlan.target.run("cat /sys/kernel/debug/esp_hosted/spi*/info").stdout
    assert "spi clock: 10000000 Hz (at most 40000000 Hz)" in info
    usual = esp.get("advertised-clock-mhz")
    wlan.unload()
    esp.set("advertised-clock-mhz", 80)
    try:
        wlan.load()
        info = wlan.target.run("cat /sys/kernel/debug/esp_hosted/spi*/info").stdout
        assert "spi clock: 40000000 Hz (at most 40000000 Hz)" in info
    finally:
        wlan.unload()
        esp.set("advertised-clock-mhz", usual)


def test_reset_is_held_after_unload(wlan: Wifi, esp: Coprocessor) -> None:
    mark = LogMark(wlan.target)
    wlan.unload()
    assert esp.state == "reset" and not esp.lines.reset
    assert "error" not in mark.text().lower()


def test_shutdown_in_traffic(lab: Lab, wlan: Wifi) -> None:
    """The chip is left in reset: silent for whatever is booted next."""
    esp = lab.esp
    try:
        halt_in_traffic(lab)
        assert esp.state == "reset" and not esp.lines.reset
    finally:
        lab.discard()
