# SPDX-License-Identifier: MIT
"""Two equal runs are equal: with instructions as the clock, the same counters, recordings and kernel log.

The guest has its scenario in its root file system and gets no input; it ends by switching itself off.
"""

from __future__ import annotations

import difflib
import itertools
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness import cpio, paths, qemu, scenario
from harness.coprocessor import AccessPoint, Coprocessor, Recordings
from harness.prepare import Prepared
from harness.qemu import Machine, MachineConfig

RUN_SECONDS = 400.0
DONE = "scenario done"
# The console's shell runs what the environment variable ENV names; the kernel hands it what it does not know.
SCRIPT = "etc/esp-hosted/scenario"
# Scan, associate, send what nobody answers, ask, leave, unload. The kernel's log has each step and its time.
SCENARIO = f"""
/bin/sh -x <<'END' >/dev/kmsg 2>&1
modprobe esp_hosted
until [ -e /sys/class/net/wlan0 ]; do sleep 0.05; done
ip link set dev wlan0 up
iw dev wlan0 scan >/dev/null
iw dev wlan0 connect -w "{scenario.SSID}"
ip addr add 192.0.2.1/24 dev wlan0
ping -q -c 5 -i 0.1 -W 1 192.0.2.2
iw dev wlan0 station dump
ip link set dev wlan0 down
ip link set dev wlan0 up
iw dev wlan0 connect -w "{scenario.FAR_SSID}"
iw dev wlan0 disconnect
rmmod esp_hosted
END
dmesg
echo "{DONE}"
poweroff -f
"""


@dataclass(frozen=True)
class Outcome:
    """All that a run leaves behind."""

    console: str
    counters: dict[str, dict[str, int]]
    history: list[dict[str, Any]]
    recordings: dict[str, bytes]


def guest_root(prepared: Prepared, directory: Path) -> Path:
    """The initramfs of all tests with the scenario behind it."""
    tree = directory / "tree"
    script = tree / SCRIPT
    script.parent.mkdir(parents=True)
    script.write_text(SCENARIO, encoding="utf-8")
    initrd = directory / "initrd"
    with initrd.open("wb") as target:
        target.write(prepared.rootfs.read_bytes())
        cpio.write(tree, target)
    return initrd


def machine_config(prepared: Prepared, initrd: Path, directory: Path) -> MachineConfig:
    """The machine of all tests, without a network, with time that is counted in instructions."""
    usual = scenario.machine(prepared, icount="shift=0,sleep=off", trace=directory)
    return replace(
        usual,
        initrd=initrd,
        networks={},
        access_points=tuple(replace(access_point, network=None) for access_point in usual.access_points),
        append=(f"ENV=/{SCRIPT}", "printk.devkmsg=on"),
        # Not the host's time of day; no step before we are there; still there when the guest is off.
        extra=("-rtc", "base=2026-01-01T00:00:00,clock=vm", "-S", "-action", "shutdown=pause"),
    )


@contextmanager
def drained(console: socket.socket) -> Iterator[None]:
    """Read a console that nobody looks at: QEMU would wait for a reader. All of it is in the log file."""

    def read() -> None:
        with suppress(OSError):
            while console.recv(1 << 16):
                pass

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        yield
    finally:
        with suppress(OSError):
            console.shutdown(socket.SHUT_RDWR)
        reader.join()


def finish(machine: Machine, files: Recordings) -> Outcome:
    """Wait until the guest has switched itself off; what it left behind."""
    machine.monitor.wait_event("SHUTDOWN", RUN_SECONDS)
    esp = Coprocessor(machine.monitor, "esp0")
    esp.stop_recording()
    recordings = {name: path.read_bytes() for name, path in vars(files).items()}
    # A VCD ends with the time at which it was stopped: that was our doing, in the host's time.
    changes, _, stopped = recordings["vcd"].rstrip().rpartition(b"\n")
    assert stopped.startswith(b"#")
    recordings["vcd"] = changes
    return Outcome(
        machine.console_log.read_text(encoding="utf-8", errors="replace"),
        {"esp0": esp.counters}
        | {name: AccessPoint(machine.monitor, name).get("counters") for name in ("ap0", "ap1")},
        esp.history,
        recordings,
    )


def first_difference(one: str, other: str) -> str:
    """The lines around the first difference."""
    lines = difflib.unified_diff(one.splitlines(), other.splitlines(), lineterm="")
    return "\n".join(itertools.islice(lines, 20))


def test_two_runs_are_equal(prepared: Prepared, tmp_path: Path) -> None:
    initrd = guest_root(prepared, tmp_path)
    directories = [paths.run_dir() / f"determinism-{number}" for number in (1, 2)]
    program = qemu.emulator(prepared.qemu)
    with ExitStack() as stack:
        machines = [
            stack.enter_context(Machine(machine_config(prepared, initrd, directory), program, directory))
            for directory in directories
        ]
        for machine in machines:
            stack.enter_context(drained(machine.console))
            machine.monitor.execute("cont")
        one, other = (
            finish(machine, Recordings.in_directory(directory, "esp0"))
            for machine, directory in zip(machines, directories, strict=True)
        )
    assert DONE in one.console, one.console[-2000:]
    # The scenario did what it should, not nothing twice. Boots: at power-on and when the driver resets it.
    assert [one.counters["esp0"][name] for name in ("events-scan-done", "events-assoc", "boots")] == [3, 2, 2]
    assert one.counters["esp0"]["rx-data-sta"] >= 5 and one.counters["esp0"]["unarmed-transactions"] == 0
    assert one.counters == other.counters
    assert one.history == other.history
    assert one.console == other.console, first_difference(one.console, other.console)
    assert one.recordings == other.recordings, [
        name for name, data in one.recordings.items() if data != other.recordings[name]
    ]
