# SPDX-License-Identifier: MIT
"""What goes wrong on real boards and with bad firmware, while the driver works: it survives and recovers.

Faults are those of qemu/engine/esp_faults.h; with --slow also variants that only wait longer. A kernel
warning fails a test by itself (conftest.py).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass

import pytest

from harness import scenario, traffic
from harness.coprocessor import AccessPoint, Coprocessor, difference
from harness.errors import HarnessError
from harness.target import CommandTimeoutError
from harness.wifi import SCAN_SECONDS, Wifi, scan_script
from tests.guest.lab import Lab, seconds_of

MS = 1_000_000
DATA, RESPONSE, EVENT = 0, 2, 3
SCAN, STA_AUTH, RSSI = 4, 11, 27
EVENT_SCAN, EVENT_DISCONNECT, EVENT_AUTH, EVENT_ASSOC = 1, 3, 4, 5
TLV_CAPABILITIES, TLV_FIRMWARE, TLV_CLOCK, TLV_CHIP = 0, 1, 2, 3
# The firmware's boot, for these tests: long enough to see the driver wait for it.
BOOT_NS = 100 * MS
# Longest way back: 10 s of a dead handshake, a boot that is missed (5 s), another one, an association.
RECOVERY_SECONDS = 25.0
UNLOAD_SECONDS = 3.0
# Three requests and three answers within a second.
PING = ["ping", "-n", "-q", "-c", "3", "-i", "0.02", "-w", "1", traffic.HOST_FROM_GUEST]


def ping(wlan: Wifi) -> None:
    """Data in both directions; some of it may be lost."""
    traffic.ping(wlan.target, count=3, interval=0.02, wait=1)


def ping_once(wlan: Wifi) -> None:
    """One answer, and nothing after it that would have the link look for it."""
    wlan.target.run(["ping", "-q", "-c", "1", "-W", "1", traffic.HOST_FROM_GUEST], check=False)


def ping_in_parts(wlan: Wifi) -> None:
    """Answers of three frames, which queue up in the co-processor."""
    words = ["ping", "-q", "-c", "10", "-i", "0.05", "-s", "4000", "-W", "2", traffic.HOST_FROM_GUEST]
    wlan.target.run(words, check=False)


def scan(wlan: Wifi) -> None:
    wlan.target.run(scan_script(wlan.interface), timeout=SCAN_SECONDS, check=False)


def ask(wlan: Wifi) -> None:
    """A command: the signal strength."""
    wlan.target.run(["iw", "dev", wlan.interface, "station", "dump"], timeout=30, check=False)


def rejoin(wlan: Wifi) -> None:
    """Leave and associate again, or try to."""
    wlan.target.run(["iw", "dev", wlan.interface, "disconnect"], timeout=30, check=False)
    with suppress(HarnessError):
        wlan.connect(scenario.SSID)


def ping_on(wlan: Wifi) -> None:
    """Traffic for two seconds."""
    traffic.ping(wlan.target, count=100, interval=0.02, wait=1)


def wait_for_leave(wlan: Wifi) -> None:
    """The connection ends by itself."""
    wlan.wait_carrier(False, timeout=20)


@dataclass(frozen=True)
class Case:
    """One fault and what it must do to the driver."""

    fault: str
    provoke: Callable[[Wifi], None]
    counter: str | None
    """Counts it (ethtool -S); None: it must do no harm at all."""
    match: int | None = None
    arg: int | None = None
    count: int = 1
    slow: bool = False
    """Waits long for what another case shows as well: only with --slow."""
    unarmed: bool = False
    """The fault may well have the driver clock bytes that nobody takes."""

    def __str__(self) -> str:
        return "-".join([self.fault, *(str(part) for part in (self.match, self.arg) if part is not None)])


LINES = [
    Case("handshake-lost", ping, "resets", slow=True),
    Case("handshake-late", ping, "handshake_waits", arg=20 * MS, count=3),
    Case("handshake-spurious", ping, "handshake_edges", count=5, unarmed=True),
    Case("handshake-stuck-low", ping, "handshake_waits"),
    Case("handshake-stuck-high", ping, "handshake_quiet_starts"),
    Case("data-ready-lost", ping_once, "watchdog_polls"),
    Case("data-ready-late", ping, "data_ready_edges", arg=20 * MS, count=3),
    Case("data-ready-spurious", ping, "idle_transactions", count=5),
    Case("data-ready-stuck-low", ping_once, "watchdog_polls"),
    Case("data-ready-stuck-high", ping, "idle_transactions"),
]
FRAMES = [
    Case("frame-zero", ping, "rx_drop_blank", match=DATA),
    Case("frame-ones", ping, "rx_drop_blank", match=DATA),
    Case("frame-shifted", ping, "rx_drop_offset", match=DATA),
    Case("frame-truncated", ping, "rx_drop_checksum", match=DATA),
    Case("frame-checksum", ping, "rx_drop_checksum", match=DATA),
    Case("frame-corrupt", ping, "rx_drop_checksum", match=DATA),
    Case("frame-checksum", ask, "command_timeouts", match=RESPONSE, slow=True),
    Case("frame-checksum", scan, "rx_drop_checksum", match=EVENT),
    Case("frame-duplicated", ping, None, match=DATA),
    Case("frame-duplicated", ask, "response_drop_unexpected", match=RESPONSE),
    Case("frame-reordered", ping_in_parts, None, match=DATA, count=5),
    Case("frame-lost", ping, "idle_transactions", match=DATA),
    Case("header-if-type", ping, "rx_drop_interface", match=DATA),
    Case("header-if-type", ping, "rx_drop_interface", match=DATA, arg=15),
    Case("header-if-type", ping, "rx_drop_role", match=DATA, arg=1),
    Case("header-if-type", ping, "rx_drop_packet_type", match=DATA, arg=3),
    Case("header-if-num", ping, "rx_drop_interface_number", match=DATA),
    Case("header-flags", ping, None, match=DATA),
    Case("header-packet-type", ping, "rx_drop_packet_type", match=DATA),
    Case("header-packet-type", ping, "event_drop_unknown", match=DATA, arg=EVENT),
    Case("header-packet-type", ping, "rx_drop_eapol", match=DATA, arg=4),
    Case("header-len", ping, "rx_drop_length", match=DATA),
    Case("header-len", ping, "rx_drop_length", match=DATA, arg=0xFFFF, slow=True),
    Case("header-len", ping, "rx_drop_empty", match=DATA, arg=0),
    Case("header-len", ping, "rx_drop_runt", match=DATA, arg=5),
    Case("header-len", ping, "rx_drop_oversize", match=DATA, arg=1580),
    Case("header-offset", ping, "rx_drop_offset", match=DATA),
    Case("header-offset", ping, "rx_drop_offset", match=DATA, arg=0, slow=True),
    Case("header-reserved", ping, None, match=DATA),
    Case("frame-tail", ping, None, match=DATA),
]
COMMANDS = [
    Case("command-silent", ask, "command_timeouts", match=RSSI),
    Case("response-late", ask, "command_timeouts", match=RSSI, slow=True),
    Case("response-code", ask, "response_drop_unexpected", match=RSSI, slow=True),
    Case("response-status", ask, "command_failures", match=RSSI),
    Case("response-length", ask, "response_drop_malformed", match=RSSI, slow=True),
    Case("response-short", ask, "response_drop_malformed", match=RSSI),
    Case("response-duplicated", ask, "response_drop_unexpected", match=RSSI),
    Case("response-unsolicited", ask, "response_drop_unexpected", match=RSSI, arg=SCAN),
    Case("response-unsolicited", ask, "response_drop_unexpected", match=RSSI),
    Case("response-lost", ask, "command_timeouts", match=RSSI, slow=True),
]
EVENTS = [
    Case("event-code", scan, "event_drop_unknown", match=EVENT_SCAN),
    Case("event-status", scan, "event_drop_malformed", match=EVENT_SCAN),
    Case("event-length", scan, None, match=EVENT_SCAN),
    *(
        Case("event-inner-length", provoke, "event_drop_malformed", match=code, arg=length, slow=length == 0)
        for code, provoke in ((EVENT_SCAN, scan), (EVENT_AUTH, rejoin), (EVENT_ASSOC, rejoin))
        for length in (0, 0xFFFF)
    ),
    Case("event-short", scan, "event_drop_malformed", match=EVENT_SCAN),
    Case("event-short", rejoin, "event_drop_malformed", match=EVENT_AUTH, arg=29, slow=True),
    Case("event-short", rejoin, "event_drop_malformed", match=EVENT_ASSOC),
    Case("event-short", rejoin, "event_drop_malformed", match=EVENT_DISCONNECT, slow=True),
    Case("event-lost", rejoin, "mlme_timeouts", match=EVENT_AUTH, slow=True),
    # The end of a scan as well: nothing but the watchdog ends it.
    Case("event-lost", scan, "scan_timeouts", match=EVENT_SCAN, count=40, slow=True),
    Case("event-flood", scan, "events", match=EVENT_SCAN),
]
CHIP = [
    Case("crash", ping, "firmware_restarts"),
    Case("crash-in-command", scan, "command_cancels", match=SCAN),
    Case("crash-in-command", rejoin, "firmware_restarts", match=STA_AUTH, slow=True),
    Case("crash-after-frames", ping, "firmware_restarts", count=3),
    # Handshake stays high: nothing tells that nothing is armed.
    Case("hang", ask, "command_timeouts", unarmed=True, slow=True),
    Case("hang-lines-high", ask, "command_timeouts", unarmed=True),
    Case("arm-failed", ask, "command_timeouts", slow=True),
]
BOOT = [
    Case("boot-late", ping, "firmware_restarts", arg=500 * MS),
    Case("boot-twice", ping, "boot_events"),
    Case("boot-status", ping, "boot_events_malformed"),
    Case("boot-clock", ping, "firmware_restarts"),
    Case("boot-clock", ping, "firmware_restarts", arg=0, slow=True),
    Case("boot-chip", ping, "firmware_restarts", slow=True),
    Case("boot-tlv-length", ping, "boot_events_malformed", match=TLV_CLOCK),
    Case("boot-tlv-length", ping, "boot_events_malformed", match=TLV_CAPABILITIES, arg=0, slow=True),
    Case("boot-tlv-type", ping, "boot_events_malformed", match=TLV_CAPABILITIES),
    Case("boot-total", ping, "boot_events_malformed", slow=True),
    Case("boot-random", ping, "boot_events_malformed"),
    Case("boot-tlv-size", ping, "boot_events_malformed", match=TLV_CAPABILITIES, slow=True),
    Case("boot-tlv-size", ping, "boot_events_malformed", match=TLV_FIRMWARE, arg=11, slow=True),
    Case("boot-tlv-missing", ping, "boot_events_malformed", match=TLV_CAPABILITIES, slow=True),
    Case("boot-tlv-missing", ping, "firmware_restarts", match=TLV_CLOCK, slow=True),
    Case("boot-tlv-duplicated", ping, "boot_events", match=TLV_CLOCK, slow=True),
    # Without its bit the driver leaves checksums out, which the firmware insists on.
    Case("boot-tlv-value", ping, "command_timeouts", match=TLV_CAPABILITIES, arg=0, slow=True),
]
RADIO = [
    Case("radio-rx-lost", ping, None),
    Case("radio-tx-lost", ping, None),
    Case("radio-delay", ping, None),
    Case("radio-mgmt-lost", rejoin, None, match=11),
    Case("radio-deauth", wait_for_leave, None),
    Case("radio-channel-jump", wait_for_leave, None, slow=True),
    Case("radio-channel-switch", ping_on, None),
    Case("radio-gone", wait_for_leave, None, slow=True),
    Case("radio-beacon-lost", wait_for_leave, None, count=10, slow=True),
]


def parameters(cases: list[Case]) -> pytest.MarkDecorator:
    """One test for each case."""
    marked = [pytest.param(case, marks=[pytest.mark.slow] if case.slow else []) for case in cases]
    return pytest.mark.parametrize("case", marked, ids=str)


@pytest.fixture(autouse=True)
def quick_boot(lab: Lab) -> Iterator[None]:
    """The firmware boots faster, and nothing stays armed."""
    usual = {name: lab.esp.get(name) for name in ("boot-ns", "reboot-ns")}
    for name in usual:
        lab.esp.set(name, BOOT_NS)
    yield
    if lab.running:
        lab.esp.faults.disarm_all()
        for name, value in usual.items():
            lab.esp.set(name, value)


@pytest.fixture
def working(lab: Lab) -> Wifi:
    """Associated and answered, with as few questions as possible: there are many faults."""
    wlan = Wifi(lab.guest)
    if not lab.doubtful and wlan.target.run(PING, check=False).ok:
        return wlan
    return lab.connected()


def recovered(lab: Lab, bound: float = RECOVERY_SECONDS) -> Wifi:
    """Associated, and every ping is answered; AssertionError after `bound` seconds."""
    deadline = time.monotonic() + bound
    wlan = Wifi(lab.guest)
    if wlan.target.run(PING, check=False).ok:
        return wlan
    while True:
        try:
            wlan = lab.connected()
            if traffic.ping(wlan.target, count=3, interval=0.02, wait=1).received == 3:
                return wlan
            problem = "no answers to ping"
        except CommandTimeoutError:
            raise
        except HarnessError as error:
            problem = error.message
        assert time.monotonic() < deadline, f"not recovered within {bound:g} s: {problem}"


def provoke(lab: Lab, wlan: Wifi, case: Case) -> None:
    """Have the fault happen, and the driver back at work."""
    esp = lab.esp
    before, counters = wlan.statistics(), esp.counters
    with esp.fault(case.fault, count=case.count, match=case.match, arg=case.arg, must_fire=True):
        if case in BOOT:
            esp.faults.arm("crash")
        case.provoke(wlan)
        if case.counter == "resets" or case in BOOT:
            # The driver has to find out by itself, with the fault still armed.
            recovered(lab)
    wlan = recovered(lab)
    if case.counter:
        counted = difference(before, wlan.statistics())
        assert case.counter in counted, f"{case.counter} did not count; these did: {counted}"
    if not case.unarmed:
        assert esp.counters["unarmed-transactions"] == counters["unarmed-transactions"]
    assert esp.state == "running"


@parameters(LINES)
def test_lines(lab: Lab, working: Wifi, case: Case) -> None:
    provoke(lab, working, case)


@parameters(FRAMES)
def test_frames(lab: Lab, working: Wifi, case: Case) -> None:
    provoke(lab, working, case)


@parameters(COMMANDS)
def test_commands(lab: Lab, working: Wifi, case: Case) -> None:
    provoke(lab, working, case)


@parameters(EVENTS)
def test_events(lab: Lab, working: Wifi, case: Case) -> None:
    provoke(lab, working, case)


@parameters(CHIP)
def test_chip(lab: Lab, working: Wifi, case: Case) -> None:
    provoke(lab, working, case)


@parameters(BOOT)
def test_boot_event(lab: Lab, working: Wifi, case: Case) -> None:
    provoke(lab, working, case)


@parameters(RADIO)
def test_radio(lab: Lab, working: Wifi, case: Case) -> None:
    provoke(lab, working, case)


def test_a_boot_event_out_of_the_blue(lab: Lab, working: Wifi, esp: Coprocessor) -> None:
    """The firmware goes on as if nothing were: the driver takes it for a restart and starts anew."""
    before = working.statistics()
    with esp.fault("boot-spontaneous", must_fire=True):
        ping(working)
    assert difference(before, recovered(lab).statistics())["firmware_restarts"] == 1


def test_a_boot_that_is_missed_is_tried_again(lab: Lab, working: Wifi, esp: Coprocessor) -> None:
    working.unload()
    with esp.fault("boot-missing", must_fire=True):
        working.load()
    assert recovered(lab).statistics()["boot_timeouts"] == 1


def test_deauthentication_storm(lab: Lab, working: Wifi, ap: AccessPoint) -> None:
    for _ in range(10):
        with suppress(HarnessError):
            working.connect(scenario.SSID)
        ap.set("deauth", "7")
    recovered(lab)


def test_access_point_disappears_and_returns(lab: Lab, working: Wifi, ap: AccessPoint) -> None:
    ap.set("link", False)
    try:
        working.wait_carrier(False, timeout=20)
    finally:
        ap.set("link", True)
    recovered(lab)


def test_a_quarter_of_all_frames_is_bad(lab: Lab, working: Wifi, esp: Coprocessor) -> None:
    before = working.statistics()
    with esp.fault("frame-corrupt", count=0, probability=0.25, match=DATA) as fault:
        result = traffic.ping(working.target, count=100, interval=0.005, wait=1)
    assert 50 < result.received < 95
    assert difference(before, working.statistics())["rx_drop_checksum"] == fault.fired >= 5
    recovered(lab)


@pytest.mark.parametrize(
    "fault",
    ["handshake-stuck-low", "handshake-stuck-high", "data-ready-stuck-high", "hang", "hang-lines-high"],
)
def test_unload_is_prompt_whatever_the_chip_does(paced_lab: Lab, paced: Wifi, fault: str) -> None:
    with paced_lab.esp.fault(fault, must_fire=True):
        job = paced.target.spawn(["ping", "-q", "-f", "-w", "5", traffic.HOST_FROM_GUEST])
        seconds = seconds_of(paced.target, "rmmod esp_hosted", timeout=30)
        job.stop()
    assert not paced.loaded()
    assert seconds < UNLOAD_SECONDS
    recovered(paced_lab)


def test_unload_is_prompt_while_a_command_waits(paced_lab: Lab, paced: Wifi) -> None:
    with paced_lab.esp.fault("command-silent", match=RSSI, must_fire=True) as fault:
        job = paced.target.spawn(["iw", "dev", paced.interface, "station", "dump"])
        deadline = time.monotonic() + 10
        while not fault.fired:
            assert time.monotonic() < deadline, "the command did not reach the firmware"
        seconds = seconds_of(paced.target, "rmmod esp_hosted", timeout=30)
        job.wait(check=False)
    assert seconds < UNLOAD_SECONDS
    recovered(paced_lab)
