# SPDX-License-Identifier: MIT
"""What a test can have the co-processor and its air do, in a few lines: the examples of the documentation."""

from __future__ import annotations

import pytest

from harness import scenario, traffic
from harness.coprocessor import AccessPoint, Coprocessor
from harness.errors import HarnessError
from harness.scripting import BUSY, Frame, Request
from harness.wifi import Wifi
from tests.guest.lab import Lab

STA_RSSI = 27
EVENT_UNKNOWN = 200


def test_an_access_point_is_made_by_the_test(wlan: Wifi, esp: Coprocessor) -> None:
    with esp.ap("made by a test", channel=11, rssi=-55):
        found = {bss.ssid: bss for bss in wlan.scan()}["made by a test"]
        assert (found.channel, found.signal) == (11, -55)
        assert wlan.connect("made by a test").ssid == "made by a test"
    # Its stations notice.
    wlan.wait_carrier(False, timeout=20)


def test_two_access_points_of_one_name(wlan: Wifi, esp: Coprocessor) -> None:
    with esp.ap("twins", channel=1, rssi=-70) as far, esp.ap("twins", channel=11, rssi=-50) as near:
        assert far.name != near.name
        assert {bss.channel: bss.signal for bss in wlan.scan() if bss.ssid == "twins"} == {1: -70, 11: -50}


def test_signal_of_one_path(connected: Wifi, esp: Coprocessor, ap: AccessPoint) -> None:
    with esp.hearing(ap, rssi=-77):
        link = connected.link()
        assert link is not None and link.signal == -77


def test_loss_on_one_path(connected: Wifi, esp: Coprocessor, ap: AccessPoint) -> None:
    # The host's address is asked for three times in three seconds, at most: that all are lost is not so rare.
    assert traffic.ping(connected.target, count=1).received == 1
    with esp.hearing(ap, loss=0.3):
        result = traffic.ping(connected.target, count=100, interval=0.005, wait=1)
    # Both ways have to be good: half of them.
    assert 25 < result.received < 75
    assert esp.counters["radio-drop-path"] > 25
    assert traffic.ping(connected.target, count=10, interval=0.01).received == 10


def test_steps_are_awaited(wlan: Wifi, esp: Coprocessor) -> None:
    with esp.watch("command", "event") as steps:
        wlan.scan()
        asked = steps.wait("command", name="SCAN")
        done = steps.wait("event", name="SCAN", status=0)
    assert done.time > asked.time


def test_frames_are_seen(connected: Wifi, esp: Coprocessor) -> None:
    with esp.watch("frame") as steps:
        traffic.ping(connected.target, count=1)
        frame = steps.wait("frame", name="from-host")
    assert frame.data is not None and len(frame.data) == frame.length


def test_an_event_that_does_not_come(esp: Coprocessor) -> None:
    with pytest.raises(HarnessError, match="in vain for state"):
        esp.wait("state", timeout=0.3, name="hung")
    with pytest.raises(HarnessError, match="there is no event 'stat'; the events are: reset,boot,state"):
        esp.wait("stat")


def test_crashed_firmware(connected: Wifi, esp: Coprocessor, ap: AccessPoint) -> None:
    with esp.crashed_firmware():
        assert esp.state == "booting" and not ap.get("has-stations")
    # Its boot event tells the driver.
    connected.wait_carrier(False, timeout=20)
    assert connected.connect(scenario.SSID).ssid == scenario.SSID


def test_an_answer_is_scripted(connected: Wifi, esp: Coprocessor) -> None:
    asked: list[Request] = []

    def rssi(request: Request) -> list[Frame]:
        asked.append(request)
        return [request.answer(bytes([256 - 63]))]

    with esp.script({STA_RSSI: rssi}):
        link = connected.link()
        assert link is not None and link.signal == -63
    assert asked and asked[0].body == bytes(4)
    link = connected.link()
    assert link is not None and link.signal == scenario.SIGNAL


def test_a_refusal_is_scripted(connected: Wifi, esp: Coprocessor) -> None:
    failures = connected.statistics()["command_failures"]
    with esp.script({STA_RSSI: lambda request: [request.answer(status=BUSY)]}):
        connected.link()
    assert connected.statistics()["command_failures"] == failures + 1


def test_a_script_that_fails_fails_the_test(connected: Wifi, esp: Coprocessor, lab: Lab) -> None:
    def broken(request: Request) -> list[Frame]:
        raise ValueError(f"no answer to {request.code}")

    with pytest.raises(HarnessError, match="ValueError: no answer to 27"), esp.script({STA_RSSI: broken}):
        connected.target.run(["iw", "dev", connected.interface, "link"], timeout=30)
    # The driver has had no answer: it starts anew.
    lab.doubt()


def test_an_event_is_injected(connected: Wifi, esp: Coprocessor) -> None:
    before = connected.statistics()["event_drop_unknown"]
    esp.inject(str(Frame.event(EVENT_UNKNOWN, b"something new")))
    traffic.ping(connected.target, count=1)
    assert connected.statistics()["event_drop_unknown"] == before + 1


def test_the_access_point_moves_and_says_so(connected: Wifi, ap: AccessPoint) -> None:
    ap.set("channel-switch", "9,10")
    try:
        # The firmware goes along; nothing is lost, nobody is told.
        result = traffic.ping(connected.target, count=50, interval=0.04, wait=1)
        assert ap.get("channel") == 9
        assert result.received >= 49
    finally:
        ap.set("channel-switch", f"{scenario.CHANNEL},1")
    assert traffic.ping(connected.target, count=3, interval=0.1).received == 3
