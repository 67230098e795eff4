# SPDX-License-Identifier: MIT
"""The virtual co-processor and its access points as Python objects, read and changed while the guest runs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
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


@dataclass(frozen=True)
class Recordings:
    """Files into which a co-processor records what it does (docs/virtual-co-processor.md)."""

    pcapng: Path
    """Hosted frames; tools/wireshark/esp_hosted.lua dissects them."""
    vcd: Path
    """Lines and armed faults, for GTKWave or PulseView."""
    trace: Path
    """Every step, a JSON object a line."""

    @classmethod
    def in_directory(cls, directory: Path, name: str) -> Recordings:
        """The files of co-processor `name` in a directory. QEMU opens them: the paths are absolute."""
        base = directory.absolute()
        return cls(base / f"{name}.pcapng", base / f"{name}.vcd", base / f"{name}.jsonl")

    @property
    def properties(self) -> dict[str, str]:
        """The properties of the device that start them."""
        return {"pcapng": str(self.pcapng), "vcd": str(self.vcd), "trace-json": str(self.trace)}


@dataclass(frozen=True)
class FaultState:
    """One fault now."""

    armed: bool
    fired: int
    """How often since QEMU started."""


class Faults(Mapping[str, FaultState]):
    """What can go wrong, by name: `esp.faults["frame-zero"].fired`. They are in qemu/engine/esp_faults.h."""

    def __init__(self, device: _Device) -> None:
        self._device = device

    def _read(self) -> dict[str, FaultState]:
        return {
            name: FaultState(bool(state["armed"]), int(state["fired"]))
            for name, state in self._device.get("faults").items()
        }

    def __getitem__(self, name: str) -> FaultState:
        return self._read()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._read())

    def __len__(self) -> int:
        return len(self._read())

    def unknown(self, name: str) -> HarnessError:
        """The error for a name that is none, with those there are."""
        return HarnessError(f"there is no fault {name!r}", hint="the faults are: " + ", ".join(sorted(self)))

    def arm(
        self,
        name: str,
        *,
        count: int = 1,
        probability: float = 1.0,
        match: int | None = None,
        arg: int | None = None,
    ) -> None:
        """Have `name` happen the next `count` times its occasion comes; 0: until disarmed.

        `match` restricts it to a packet type, code or TLV; `arg` is the fault's own.
        HarnessError: no such fault.
        """
        if name not in self:
            raise self.unknown(name)
        request: dict[str, int] = {"count": count, "probability-ppm": round(probability * 1_000_000)}
        if match is not None:
            request["match"] = match
        if arg is not None:
            request["arg"] = arg
        self._device.set("faults", {name: request})

    def disarm(self, name: str) -> None:
        """Stop it; harmless when it is not armed."""
        self._device.set("faults", {name: {"armed": False}})

    def disarm_all(self) -> None:
        """Stop all of them."""
        self._device.set("faults", {"all": {"armed": False}})


class ArmedFault:
    """A fault inside `Coprocessor.fault`."""

    def __init__(self, faults: Faults, name: str) -> None:
        self._faults = faults
        self.name = name
        self._before = faults[name].fired

    @property
    def fired(self) -> int:
        """How often it has fired since it was armed."""
        return self._faults[self.name].fired - self._before


class Coprocessor(_Device):
    """A virtual ESP32.

    >>> with esp.fault("frame-checksum", match=3) as fault:   # the next event has a bad checksum
    ...     wlan.scan()
    >>> assert fault.fired == 1
    """

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
    def queues(self) -> dict[str, int]:
        """Frames in each of its queues now."""
        return {str(name): int(count) for name, count in self.get("queues").items()}

    @property
    def last_frame_to_host(self) -> bytes:
        """The last frame it sent, header first; fillers do not count. Empty if there was none."""
        return bytes.fromhex(self.get("last-frame-to-host"))

    @property
    def last_frame_from_host(self) -> bytes:
        """The last frame the host sent, header first. Empty if there was none."""
        return bytes.fromhex(self.get("last-frame-from-host"))

    @property
    def faults(self) -> Faults:
        """What can go wrong: arm, disarm, count."""
        return Faults(self)

    @contextmanager
    def fault(
        self,
        name: str,
        *,
        count: int = 1,
        probability: float = 1.0,
        match: int | None = None,
        arg: int | None = None,
        must_fire: bool = False,
    ) -> Iterator[ArmedFault]:
        """A fault that is armed inside `with` and not behind it; arguments as `Faults.arm`.

        With `must_fire`, HarnessError if it had no occasion to happen.
        """
        if name not in self.faults:
            raise self.faults.unknown(name)
        armed = ArmedFault(self.faults, name)
        self.faults.arm(name, count=count, probability=probability, match=match, arg=arg)
        try:
            yield armed
        finally:
            self.faults.disarm(name)
        if must_fire and not armed.fired:
            raise HarnessError(f"{self.path}: the fault {name} had no occasion to happen")

    def record(self, directory: Path) -> Recordings:
        """Start recording into new files in a directory, instead of what was recorded before."""
        files = Recordings.in_directory(directory, self.name)
        for name, path in files.properties.items():
            self.set(name, path)
        return files

    def stop_recording(self) -> None:
        """End all recordings; their files are complete."""
        for name in ("pcapng", "vcd", "trace-json"):
            self.set(name, "")

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
