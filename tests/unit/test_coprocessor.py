# SPDX-License-Identifier: MIT
"""The virtual co-processor's properties as Python values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.coprocessor import AccessPoint, Coprocessor, Lines, difference
from harness.errors import HarnessError


class Monitor:
    """Properties in a dictionary."""

    def __init__(self, **values: Any) -> None:
        self.values = values
        self.asked: list[tuple[str, str]] = []

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
