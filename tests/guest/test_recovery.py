# SPDX-License-Identifier: MIT
"""The firmware restarts, or stops, at any moment: the interface stays, traffic comes back, it is said once.

Every test runs against both generations of the firmware.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import pytest

from harness import scenario, traffic
from harness.coprocessor import Coprocessor, difference
from harness.errors import HarnessError
from harness.wifi import Wifi
from tests.guest.lab import Lab, seconds_of
from tests.guest.waits import LogMark, wait_counter

# Restarts and time-outs: minutes in all.
pytestmark = pytest.mark.slow

BOOT_NS = 100_000_000
RESPONSE = 2
INIT_IF, GET_MAC, SCAN, DEINIT_IF, STA_AUTH, STA_ASSOC, RSSI = 1, 3, 4, 7, 11, 12, 27
# The firmware's boot, the first commands, an association and a lease, on a busy host.
BACK_SECONDS = 30.0
# What a person waits for at most when the chip is dead.
PROMPT_SECONDS = 2.0
VERSIONS = {"g1": "NG-1.0.6.0.1", "g2": "NG-1.0.6.0.15"}


@pytest.fixture(params=["g1", "g2"])
def chip(request: pytest.FixtureRequest, lab: Lab) -> Iterator[Wifi]:
    """The driver with a firmware of one generation, connected; boots fast."""
    names = ("boot-ns", "reboot-ns", "scan-dwell-ns", "generation")
    usual = {name: lab.esp.get(name) for name in names}
    wlan = Wifi(lab.guest)
    if lab.esp.get("generation") != request.param:
        lab.esp.set("generation", request.param)
        if wlan.loaded():
            wlan.unload()
    for name in names[:2]:
        lab.esp.set(name, BOOT_NS)
    wlan = lab.connected()
    assert wlan.ethtool("-i")["firmware-version"] == VERSIONS[request.param]
    yield wlan
    if lab.running:
        lab.esp.faults.disarm_all()
        for name, value in usual.items():
            lab.esp.set(name, value)
        if usual["generation"] != request.param and Wifi(lab.guest).loaded():
            Wifi(lab.guest).unload()


def back(lab: Lab, index: str) -> None:
    """Connected again, every ping answered, with the interface that was there before."""
    with suppress(HarnessError):
        Wifi(lab.guest).wait_carrier(False, timeout=1)
    wlan = lab.connected()
    assert traffic.ping(wlan.target, count=3, interval=0.05, wait=2).received == 3
    assert wlan.ip_link()["ifindex"] == index


def crash(lab: Lab) -> None:
    """The firmware restarts now; wait until the driver has noticed."""
    before = Wifi(lab.guest).statistics()["boot_events"]
    lab.esp.faults.arm("crash")
    wait_counter(Wifi(lab.guest), "boot_events", before)


@pytest.mark.parametrize("when", ["idle", "down", "traffic", "scan"])
def test_restart(lab: Lab, chip: Wifi, when: str) -> None:
    index = chip.ip_link()["ifindex"]
    before = chip.statistics()
    job, dwell, ended = None, lab.esp.get("scan-dwell-ns"), 0
    if when == "down":
        chip.down()
    elif when == "traffic":
        job = chip.target.spawn(["ping", "-q", "-f", "-w", "30", traffic.HOST_FROM_GUEST])
        chip.wait_packets("rx", 50)
    elif when == "scan":
        # Long enough for a slow guest to be in the middle of it.
        lab.esp.set("scan-dwell-ns", 2_000_000_000)
        chip.start_scan()
        ended = lab.esp.counters["events-scan-done"]
    crash(lab)
    if when == "scan":
        assert lab.esp.counters["events-scan-done"] == ended
        lab.esp.set("scan-dwell-ns", dwell)
    if job:
        job.stop()
    back(lab, index)
    counted = difference(before, Wifi(lab.guest).statistics())
    assert counted["firmware_restarts"] == 1
    assert "resets" not in counted and "command_timeouts" not in counted


@pytest.mark.parametrize("code", [SCAN, STA_AUTH, STA_ASSOC, RSSI, DEINIT_IF])
def test_restart_in_a_command(lab: Lab, chip: Wifi, esp: Coprocessor, code: int) -> None:
    index = chip.ip_link()["ifindex"]
    before = chip.statistics()
    with esp.fault("crash-in-command", match=code, must_fire=True):
        if code == RSSI:
            chip.target.run(["iw", "dev", chip.interface, "station", "dump"], check=False)
        elif code == SCAN:
            chip.start_scan(check=False)
        elif code == DEINIT_IF:
            chip.down()
        else:
            chip.disconnect()
            with suppress(HarnessError):
                chip.connect(scenario.SSID)
    back(lab, index)
    counted = difference(before, Wifi(lab.guest).statistics())
    assert counted["firmware_restarts"] == 1 and counted["command_cancels"] == 1
    assert "command_timeouts" not in counted and "resets" not in counted


@pytest.mark.parametrize("code", [INIT_IF, GET_MAC])
def test_restart_while_it_is_started(lab: Lab, chip: Wifi, esp: Coprocessor, code: int) -> None:
    index = chip.ip_link()["ifindex"]
    with esp.fault("crash-in-command", match=code, must_fire=True):
        crash(lab)
        chip.target.run(
            "until grep -q '^state: running' /sys/kernel/debug/esp_hosted/*/info; do sleep 0.05; done",
            timeout=BACK_SECONDS,
        )
    back(lab, index)


def test_a_boot_event_that_comes_twice(lab: Lab, chip: Wifi, esp: Coprocessor) -> None:
    index = chip.ip_link()["ifindex"]
    with esp.fault("boot-twice", must_fire=True):
        crash(lab)
    back(lab, index)


def test_a_handshake_that_stays_low_costs_one_reset(lab: Lab, chip: Wifi, esp: Coprocessor) -> None:
    index = chip.ip_link()["ifindex"]
    before = chip.statistics()
    mark = LogMark(chip.target)
    with esp.fault("handshake-lost", must_fire=True):
        job = chip.target.spawn(["ping", "-q", "-i", "0.2", "-w", "30", traffic.HOST_FROM_GUEST])
        mark.wait("handshake stays low with work pending, resetting", 25)
        mark.wait("firmware restarted", BACK_SECONDS)
        job.stop()
    back(lab, index)
    assert difference(before, Wifi(lab.guest).statistics())["resets"] == 1


def test_a_silent_firmware_costs_one_reset(lab: Lab, chip: Wifi, esp: Coprocessor) -> None:
    index = chip.ip_link()["ifindex"]
    before = chip.statistics()
    with esp.fault("command-silent", match=RSSI, must_fire=True):
        result = chip.target.run(["iw", "dev", chip.interface, "station", "dump"], check=False)
    assert 4 < result.seconds < 10
    back(lab, index)
    counted = difference(before, Wifi(lab.guest).statistics())
    assert counted["command_timeouts"] == 1 and counted["resets"] == 1


@pytest.mark.parametrize("fault", ["hang", "hang-lines-high"])
@pytest.mark.parametrize("end", ["down", "unbind", "unload"])
def test_a_dead_chip_holds_nobody_up(lab: Lab, chip: Wifi, esp: Coprocessor, fault: str, end: str) -> None:
    device = chip.device()
    esp.faults.arm(fault)
    if end == "down":
        command = f"ip link set dev {chip.interface} down"
    elif end == "unbind":
        command = f"echo {device} >/sys/bus/spi/drivers/esp_hosted/unbind"
    else:
        command = "rmmod esp_hosted"
    assert seconds_of(chip.target, command) < PROMPT_SECONDS
    esp.faults.disarm_all()
    if end == "unbind":
        chip.bind(device)
        chip.wait_interface()
    wlan = lab.connected()
    assert traffic.ping(wlan.target, count=3, interval=0.05, wait=2).received == 3


DUMPS = "/sys/class/devcoredump"


@pytest.fixture
def no_dump(chip: Wifi) -> Wifi:
    """What an earlier test left is thrown away: the kernel keeps one dump a device."""
    chip.target.run(f"for dump in {DUMPS}/devcd*/data; do [ -e $dump ] && echo 1 >$dump; done; true")
    chip.target.run(f"until ! ls -d {DUMPS}/devcd* 2>/dev/null; do sleep 0.05; done")
    return chip


def test_a_crash_leaves_a_core_dump(lab: Lab, no_dump: Wifi) -> None:
    index = no_dump.ip_link()["ifindex"]
    crash(lab)
    dump = lab.guest.run(f"until cat {DUMPS}/devcd*/data 2>/dev/null; do sleep 0.05; done", timeout=20).stdout
    assert dump.startswith("reason: firmware restarted by itself\n")
    device = no_dump.device()
    assert f"\ndevice: {device}\n" in dump and "\nhandshake: " in dump and "\ndata-ready: " in dump
    assert "\ntransactions: " in dump
    frames = [line for line in dump.splitlines() if " us ago:" in line]
    # The boot event is the last frame but for the commands that followed it.
    assert len(frames) >= 10 and any(" received (good) 03 00 00 00" in line for line in frames[-10:])
    back(lab, index)


def test_a_reset_leaves_a_core_dump(lab: Lab, no_dump: Wifi, esp: Coprocessor) -> None:
    index = no_dump.ip_link()["ifindex"]
    with esp.fault("command-silent", match=RSSI, must_fire=True):
        no_dump.target.run(["iw", "dev", no_dump.interface, "station", "dump"], check=False)
    dump = lab.guest.run(f"until cat {DUMPS}/devcd*/data 2>/dev/null; do sleep 0.05; done", timeout=20).stdout
    assert dump.startswith("reason: command timed out\n")
    sent = [line.split(" sent ")[1] for line in dump.splitlines() if " sent " in line and " us ago:" in line]
    # The command that nobody answered: code 27. The host's own multicast may have been sent since.
    commands = [frame for line in sent if (frame := line.split())[2] == "01"]
    assert commands[-1][12] == "1b"
    back(lab, index)
