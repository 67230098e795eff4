# SPDX-License-Identifier: MIT
"""The virtual co-processor's properties as Python values."""

from __future__ import annotations

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


def test_unexpected_type_is_named() -> None:
    with pytest.raises(HarnessError, match="counters is a str"):
        _ = Coprocessor(Monitor(counters="7"), "esp0").counters


def test_difference_leaves_out_what_stood_still() -> None:
    assert difference({"a": 1, "b": 2}, {"a": 4, "b": 2, "c": 1}) == {"a": 3, "c": 1}
