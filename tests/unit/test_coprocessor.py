# SPDX-License-Identifier: MIT
"""The virtual co-processor's properties as Python values."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from harness.coprocessor import AccessPoint, Coprocessor, Lines, difference
from harness.errors import HarnessError


class Source:
    """Events that are there already, and none after them."""

    def __init__(self, events: list[dict[str, Any]]) -> None:
        self.events = events

    def next(self, timeout: float) -> dict[str, Any] | None:
        assert timeout > 0
        return self.events.pop(0) if self.events else None


class Monitor:
    """Properties in a dictionary."""

    def __init__(self, **values: Any) -> None:
        self.values = values
        self.asked: list[tuple[str, str]] = []
        self.events: list[dict[str, Any]] = []

    @contextmanager
    def listen(self, name: str) -> Iterator[Source]:
        assert name == "ESP_HOSTED"
        yield Source(self.events)

    def qom_get(self, path: str, name: str) -> Any:
        self.asked.append((path, name))
        return self.values[name.replace("-", "_")]

    def qom_set(self, path: str, name: str, value: object) -> None:
        self.values[name.replace("-", "_")] = value

    def qom_properties(self, path: str) -> dict[str, str]:
        return dict.fromkeys(self.values, "int")


def test_properties_become_values() -> None:
    monitor = Monitor(
        counters={"transactions": 12, "boot-events": 1},
        lines={"handshake": True, "data-ready": False, "reset": True, "cs": True},
        state="running",
        link_ceiling_bps=9_050_000,
        history='[{"time": 1, "event": "boot"}]',
    )
    esp = Coprocessor(monitor, "esp0")
    assert esp.counters == {"transactions": 12, "boot-events": 1}
    assert esp.lines == Lines(handshake=True, data_ready=False, reset=True, cs=True)
    assert (esp.state, esp.link_ceiling_bps) == ("running", 9_050_000)
    assert esp.history == [{"time": 1, "event": "boot"}]
    assert set(monitor.asked) == {
        ("/machine/peripheral/esp0", name)
        for name in ("counters", "lines", "state", "link-ceiling-bps", "history")
    }


def test_any_property_can_be_set() -> None:
    monitor = Monitor(hidden=False, ssid="air")
    ap = AccessPoint(monitor, "ap0")
    ap.set("hidden", True)
    assert ap.get("hidden") is True and ap.ssid == "air" and set(ap.properties()) == {"hidden", "ssid"}


class Faulty(Monitor):
    """Faults that fire once as soon as they are armed."""

    def __init__(self) -> None:
        super().__init__(faults={name: {"armed": False, "fired": 3} for name in ("hang", "frame-zero")})
        self.requests: list[Any] = []

    def qom_set(self, path: str, name: str, value: object) -> None:
        assert name == "faults" and isinstance(value, dict)
        self.requests.append(value)
        for fault, request in value.items():
            if fault != "all" and request.get("armed", True):
                self.values["faults"][fault]["fired"] += 1


def test_a_fault_is_armed_for_a_while() -> None:
    monitor = Faulty()
    esp = Coprocessor(monitor, "esp0")
    assert list(esp.faults) == ["hang", "frame-zero"] and not esp.faults["hang"].armed
    with esp.fault("frame-zero", count=2, probability=0.5, match=3, arg=9) as fault:
        assert fault.fired == 1
    armed = {"frame-zero": {"count": 2, "probability-ppm": 500_000, "match": 3, "arg": 9}}
    assert monitor.requests == [armed, {"frame-zero": {"armed": False}}]
    esp.faults.disarm_all()
    assert monitor.requests[-1] == {"all": {"armed": False}}


def test_a_fault_that_must_fire() -> None:
    esp = Coprocessor(Faulty(), "esp0")
    with esp.fault("frame-zero", must_fire=True):
        pass
    idle = Coprocessor(Monitor(faults={"hang": {"armed": False, "fired": 3}}), "esp0")
    idle.set = lambda name, value: None  # type: ignore[method-assign]
    with pytest.raises(HarnessError, match="hang had no occasion"), idle.fault("hang", must_fire=True):
        pass
    # What happened inside is what is reported.
    with pytest.raises(ZeroDivisionError), idle.fault("hang", must_fire=True):
        _ = 1 / 0


def test_an_unknown_fault_is_refused_with_those_there_are() -> None:
    monitor = Faulty()
    with pytest.raises(HarnessError) as caught, Coprocessor(monitor, "esp0").fault("frame-one"):
        pass
    assert "frame-one" in str(caught.value) and "frame-zero, hang" in caught.value.render()
    assert monitor.requests == []


def step(what: str, device: str = "esp0", **members: Any) -> dict[str, Any]:
    """An event of the monitor."""
    return {"event": "ESP_HOSTED", "data": {"device": device, "what": what, "time": 7, **members}}


def test_a_step_is_waited_for() -> None:
    monitor = Monitor(events="boot")
    esp = Coprocessor(monitor, "esp0")
    monitor.events += [
        step("command", code=4, name="SCAN"),
        step("event", device="esp1", name="SCAN", status=0),
        step("event", name="SCAN", code=1, status=1, length=90),
        step("event", name="SCAN", code=1, status=0, length=4),
        step("frame", name="to-host", data="0a0b"),
    ]
    with esp.watch("event", "frame") as steps:
        assert monitor.values["events"] == "boot,event,frame"
        found = steps.wait("event", name="SCAN", status=0)
        assert (found.code, found.length, found.time, found.data) == (1, 4, 7, None)
        assert steps.wait("frame").data == b"\x0a\x0b"
    assert monitor.values["events"] == "boot"


def test_a_step_that_does_not_come_is_told_with_those_that_came() -> None:
    monitor = Monitor(events="")
    monitor.events += [step("state", name="booting")]
    with pytest.raises(HarnessError) as caught:
        Coprocessor(monitor, "esp0").wait("state", 0.1, name="running")
    assert "in vain for state name=running" in caught.value.message
    assert "state booting" in caught.value.render()


def test_an_access_point_is_made_and_removed() -> None:
    monitor = Monitor(ap_caf_bar_1="child<esp-hosted-ap>")
    esp = Coprocessor(monitor, "esp0")
    monitor.values = {"ap-caf-bar-1": "child<esp-hosted-ap>"}
    with esp.ap("Caf\u00e9 bar", channel=11, rssi=-55, hidden=True) as ap:
        assert (ap.name, ap.path) == ("ap-caf-bar-2", "/machine/peripheral/ap-caf-bar-2")
        assert monitor.values["add_access_point"] == {
            "id": "ap-caf-bar-2",
            "ssid": "Caf\u00e9 bar",
            "channel": 11,
            "signal": -55,
            "hidden": True,
            "beacon-interval": 100,
        }
    assert monitor.values["remove_access_point"] == "ap-caf-bar-2"


def test_a_path_is_worse_for_a_while() -> None:
    monitor = Monitor(paths={"ap0": {"loss-ppm": 0}, "esp1": {"loss-ppm": 7, "signal": -50}})
    esp = Coprocessor(monitor, "esp0")
    with esp.hearing("esp1", rssi=-90, loss=0.25):
        assert monitor.values["paths"] == {"esp1": {"loss-ppm": 250_000, "signal": -90}}
        monitor.values["paths"] = {}
    # As it was when it began.
    assert monitor.values["paths"] == {"esp1": {"loss-ppm": 7, "signal": -50}}


def test_a_script_needs_a_machine() -> None:
    with pytest.raises(HarnessError, match="nothing is connected"), Coprocessor(Monitor(), "esp0").script({}):
        pass


def test_recordings_are_started_and_ended(tmp_path: Path) -> None:
    monitor = Monitor(queues={"rx-low": 2}, last_frame_to_host="0102", last_frame_from_host="")
    esp = Coprocessor(monitor, "esp0")
    files = esp.record(tmp_path)
    assert monitor.values["pcapng"] == str(tmp_path / "esp0.pcapng") == str(files.pcapng)
    assert (monitor.values["vcd"], monitor.values["trace_json"]) == (str(files.vcd), str(files.trace))
    esp.stop_recording()
    assert [monitor.values[name] for name in ("pcapng", "vcd", "trace_json")] == ["", "", ""]
    assert (esp.queues, esp.last_frame_to_host, esp.last_frame_from_host) == ({"rx-low": 2}, b"\1\2", b"")


def test_unexpected_type_is_named() -> None:
    with pytest.raises(HarnessError, match="counters is a str"):
        _ = Coprocessor(Monitor(counters="7"), "esp0").counters


def test_difference_leaves_out_what_stood_still() -> None:
    assert difference({"a": 1, "b": 2}, {"a": 4, "b": 2, "c": 1}) == {"a": 3, "c": 1}
