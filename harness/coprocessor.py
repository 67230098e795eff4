# SPDX-License-Identifier: MIT
"""The virtual co-processor and its access points as Python objects, read and changed while the guest runs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Protocol

from harness.errors import HarnessError


class Properties(Protocol):
    """What is needed of a monitor."""

    def qom_get(self, path: str, name: str) -> Any:
        """A property of a device."""

    def qom_set(self, path: str, name: str, value: object) -> None:
        """Set a property of a device."""

    def qom_properties(self, path: str) -> dict[str, str]:
        """Names and types of a device's properties."""


@dataclass(frozen=True)
class Lines:
    """Levels of the co-processor's lines: True is high. Chip select and reset are active low."""

    handshake: bool
    data_ready: bool
    reset: bool
    cs: bool


class _Device:
    """A device on the command line, by its id."""

    def __init__(self, monitor: Properties, name: str) -> None:
        self._monitor = monitor
        self.name = name
        self.path = f"/machine/peripheral/{name}"

    def get(self, name: str) -> Any:
        """Any property, by QEMU's name."""
        return self._monitor.qom_get(self.path, name)

    def set(self, name: str, value: object) -> None:
        """Set any property, by QEMU's name. MonitorError: no such property, or not a value it takes."""
        self._monitor.qom_set(self.path, name, value)

    def properties(self) -> dict[str, str]:
        """All properties there are, with their types."""
        return self._monitor.qom_properties(self.path)


class Coprocessor(_Device):
    """A virtual ESP32."""

    @property
    def counters(self) -> dict[str, int]:
        """All it has counted since power-on."""
        value = self.get("counters")
        if not isinstance(value, dict):
            raise HarnessError(f"{self.path}: counters is a {type(value).__name__}, expected a dict")
        return {str(name): int(count) for name, count in value.items()}

    @property
    def lines(self) -> Lines:
        """The levels of its lines now."""
        value = self.get("lines")
        return Lines(**{name.replace("-", "_"): bool(level) for name, level in value.items()})

    @property
    def state(self) -> str:
        """What the firmware is doing: reset, booting, running."""
        return str(self.get("state"))

    @property
    def link_ceiling_bps(self) -> int:
        """TCP payload bits a second, one direction, that the modelled bus can carry at most."""
        return int(self.get("link-ceiling-bps"))

    @property
    def history(self) -> list[dict[str, Any]]:
        """The last commands and events, oldest first."""
        value = json.loads(self.get("history"))
        if not isinstance(value, list):
            raise HarnessError(f"{self.path}: history is a {type(value).__name__}, expected a list")
        return value


class AccessPoint(_Device):
    """An access point in the air."""

    @property
    def ssid(self) -> str:
        """The name it announces."""
        return str(self.get("ssid"))


def difference(before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
    """What was counted between two readings, without the counters that stood still."""
    return {
        name: count - before.get(name, 0) for name, count in after.items() if count != before.get(name, 0)
    }
