# SPDX-License-Identifier: MIT
"""The virtual co-processor and its access points as Python objects, read and changed while the guest runs."""

from __future__ import annotations

import itertools
import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from harness.errors import HarnessError
from harness.scripting import Handler, Scripts

EVENT = "ESP_HOSTED"
PERIPHERALS = "/machine/peripheral"
# Longer than anything the model does by itself: a boot that is late, an answer after the driver's patience.
WAIT_SECONDS = 20.0


class EventSource(Protocol):
    """Events of the monitor, in order."""

    def next(self, timeout: float) -> dict[str, Any] | None:
        """The next event; None after `timeout` seconds without one."""


class Properties(Protocol):
    """What is needed of a monitor."""

    def listen(self, name: str) -> AbstractContextManager[EventSource]:
        """Collect the events of this name."""

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
        self.path = f"{PERIPHERALS}/{name}"

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
class Step:
    """Something the co-processor has done; which members there are depends on `what`."""

    what: str
    """One of those that the property `events` takes: boot, state, line, command, event, fault, ..."""
    time: int
    """Virtual time in nanoseconds."""
    name: str | None = None
    """Of the command, event, line, fault, state or reason."""
    code: int | None = None
    status: int | None = None
    """Of an answer or event; the level of a line."""
    length: int | None = None
    sequence: int | None = None
    data: bytes | None = None
    """Of a frame, header first."""

    @classmethod
    def parse(cls, data: Mapping[str, Any]) -> Step:
        """The data of the monitor's event."""
        plain = {name: data.get(name) for name in ("name", "code", "status", "length", "sequence")}
        content = bytes.fromhex(data["data"]) if "data" in data else None
        return cls(str(data["what"]), int(data["time"]), data=content, **plain)


class Watch:
    """The steps of a co-processor since `Coprocessor.watch`."""

    def __init__(self, source: EventSource, device: str) -> None:
        self._source = source
        self._device = device

    def wait(self, what: str, timeout: float = WAIT_SECONDS, **expected: object) -> Step:
        """The next step of this kind whose members are as given; what comes before it is passed over.

        HarnessError: none within `timeout` seconds of the host's time.
        """
        deadline = time.monotonic() + timeout
        passed: list[str] = []
        while (left := deadline - time.monotonic()) > 0:
            event = self._source.next(left)
            if event is None:
                break
            if event["data"]["device"] != self._device or event["data"]["what"] == "script":
                continue
            step = Step.parse(event["data"])
            if step.what == what and all(getattr(step, name) == value for name, value in expected.items()):
                return step
            passed.append(f"{step.what} {step.name or ''}".strip())
        wanted = " ".join([what, *(f"{name}={value}" for name, value in expected.items())])
        raise HarnessError(
            f"{self._device}: waited {timeout:g} s in vain for {wanted}",
            hint="these came instead: " + (", ".join(passed[-10:]) or "none"),
        )


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

    def __init__(self, monitor: Properties, name: str, scripts: Callable[[], Scripts] | None = None) -> None:
        """`scripts` connects what answers commands in the firmware's place, when it is asked for."""
        super().__init__(monitor, name)
        self._scripts = scripts

    # The air

    def ap(
        self,
        ssid: str,
        *,
        channel: int = 6,
        rssi: int = -42,
        hidden: bool = False,
        beacon_interval: int = 100,
    ) -> TemporaryAccessPoint:
        """A new open access point in the air, without a network behind it; `rssi` in dBm.

        It stays until it is removed, or until the end of `with`:

        >>> with esp.ap("name", channel=11, rssi=-55):
        ...     assert "name" in {one.ssid for one in wlan.scan()}
        """
        taken = self._monitor.qom_properties(PERIPHERALS)
        stem = re.sub(r"[^a-z0-9]+", "-", ssid.lower()).strip("-") or "network"
        name = next(new for number in itertools.count(1) if (new := f"ap-{stem}-{number}") not in taken)
        self.set(
            "add-access-point",
            {
                "id": name,
                "ssid": ssid,
                "channel": channel,
                "signal": rssi,
                "hidden": hidden,
                "beacon-interval": beacon_interval,
            },
        )
        return TemporaryAccessPoint(self._monitor, name, self)

    @contextmanager
    def hearing(self, other: str | _Device, *, rssi: int | None = None, loss: float = 0.0) -> Iterator[None]:
        """Another way to an access point or co-processor inside `with`: signal in dBm, share of lost frames.

        >>> with esp.hearing("ap0", rssi=-85, loss=0.1): ...
        """
        name = other if isinstance(other, str) else other.name
        before = self.get("paths").get(name, {})
        path = {"loss-ppm": round(loss * 1_000_000)}
        if rssi is not None:
            path["signal"] = rssi
        self.set("paths", {name: path})
        try:
            yield
        finally:
            self.set("paths", {name: before})

    # Events

    @contextmanager
    def watch(self, *what: str) -> Iterator[Watch]:
        """Collect steps of these kinds from now on: what happens before it is waited for is not missed.

        >>> with esp.watch("command", "event") as steps:
        ...     wlan.scan()
        ...     steps.wait("command", name="SCAN")
        ...     steps.wait("event", name="SCAN", status=0)
        """
        before = str(self.get("events"))
        with self._monitor.listen(EVENT) as source:
            self.set("events", ",".join(sorted({*what, *filter(None, before.split(","))})))
            try:
                yield Watch(source, self.name)
            finally:
                self.set("events", before)

    def wait(self, what: str, timeout: float = WAIT_SECONDS, **expected: object) -> Step:
        """The next step of this kind from now on, for example `esp.wait("state", name="running")`.

        HarnessError: none within `timeout` seconds. Where the step may come before the call: `watch`.
        """
        with self.watch(what) as steps:
            return steps.wait(what, timeout, **expected)

    # Firmware

    @contextmanager
    def crashed_firmware(self, reason: int = 12) -> Iterator[None]:
        """Inside `with` the firmware is down, whatever the host does; behind it, it has booted again.

        `reason` is the reset reason in the boot event: 12 a crash, 15 a brown-out.
        """
        with self.fault("boot-missing", count=0):
            with self.watch("state") as steps:
                self.faults.arm("crash", arg=reason)
                steps.wait("state", name="booting")
            yield
        with self.watch("state") as steps:
            # Whatever state the host's resets have left it in.
            self.faults.arm("crash", arg=reason)
            steps.wait("state", name="running")

    @contextmanager
    def script(self, handlers: Mapping[int, Handler]) -> Iterator[None]:
        """Answer these commands in Python instead of by the firmware, as long as `with` lasts.

        A handler gets the `Request` and returns the frames that the firmware sends. It runs in a thread of
        its own. HarnessError at the end of `with` if one of them failed.

        >>> with esp.script({27: lambda request: [request.answer(bytes([256 - 77]))]}):   # STA_RSSI
        ...     assert wlan.link().signal == -77
        """
        if self._scripts is None:
            raise HarnessError(
                f"{self.path}: nothing is connected that could run a script",
                hint="use the co-processor of a running machine: Machine.coprocessor",
            )
        with self._scripts().running(self.path, self.name, str(self.get("generation")) == "g2", handlers):
            self.set("scripted", ",".join(str(code) for code in sorted(handlers)))
            try:
                yield
            finally:
                self.set("scripted", "")

    def inject(self, *frames: str) -> None:
        """Have the firmware send frames: str(Frame), built by harness.scripting."""
        self.set("inject", ",".join(frames))

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


class TemporaryAccessPoint(AccessPoint):
    """An access point that a test has made."""

    def __init__(self, monitor: Properties, name: str, owner: Coprocessor) -> None:
        super().__init__(monitor, name)
        self._owner = owner

    def remove(self) -> None:
        """Its stations notice by lost beacons."""
        self._owner.set("remove-access-point", self.name)

    def __enter__(self) -> TemporaryAccessPoint:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()


def difference(before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
    """What was counted between two readings, without the counters that stood still."""
    return {
        name: count - before.get(name, 0) for name, count in after.items() if count != before.get(name, 0)
    }
