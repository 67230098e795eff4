# SPDX-License-Identifier: MIT
"""A machine saved and loaded in the middle of traffic goes on as if nothing had been."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import traffic
from harness.coprocessor import Coprocessor
from harness.errors import HarnessError
from harness.qmp import Monitor
from harness.wifi import Wifi
from tests.guest.lab import Lab

NODE, TAG = "snapshots", "in-the-middle"
JOB_SECONDS = 120.0
PINGS = 300


def job(monitor: Monitor, command: str, **arguments: object) -> None:
    """Run one of QEMU's background jobs to its end. HarnessError: it failed, or takes too long."""
    name = f"job-{command}"
    with monitor.listen("JOB_STATUS_CHANGE") as source:
        monitor.execute(command, **{"job-id": name}, **arguments)
        while (event := source.next(JOB_SECONDS)) is not None:
            if event["data"] == {"id": name, "status": "concluded"}:
                break
    (found,) = [one for one in monitor.execute("query-jobs") if one["id"] == name]
    if event is None or "error" in found:
        raise HarnessError(f"{command}: {found.get('error', 'does not end')}")
    monitor.execute("job-dismiss", id=name)


@pytest.fixture
def snapshots(lab: Lab, tmp_path: Path) -> Iterator[Monitor]:
    """A disk image that takes the machine's state; no device uses it."""
    monitor = lab.guest.machine.monitor
    # The image holds what the guest has used of its memory.
    image = {"driver": "file", "filename": str(tmp_path / "state.qcow2")}
    job(monitor, "blockdev-create", options={**image, "size": 0})
    monitor.execute("blockdev-add", **{"node-name": f"{NODE}-file", **image})
    job(monitor, "blockdev-create", options={"driver": "qcow2", "file": f"{NODE}-file", "size": 1 << 20})
    monitor.execute("blockdev-add", **{"node-name": NODE, "driver": "qcow2", "file": f"{NODE}-file"})
    yield monitor
    if lab.running:
        for node in (NODE, f"{NODE}-file"):
            monitor.execute("blockdev-del", **{"node-name": node})


def echo_reply(frame: bytes | None) -> int | None:
    """The sequence number of an answer to a ping in a hosted data frame."""
    if frame is None or frame[2] != 0:
        return None
    ethernet = frame[int.from_bytes(frame[6:8], "little") :]
    if ethernet[12:14] != b"\x08\x00" or ethernet[23] != 1 or ethernet[34] != 0:
        return None
    return int.from_bytes(ethernet[40:42])


@pytest.mark.slow
def test_saved_and_loaded_in_the_middle_of_traffic(
    lab: Lab, connected: Wifi, esp: Coprocessor, snapshots: Monitor
) -> None:
    # Recordings belong to the host, not to the machine's state.
    esp.stop_recording()
    before = esp.counters
    ping = ["ping", "-n", "-i", "0.01", "-c", str(PINGS), "-W", "2", traffic.HOST_FROM_GUEST]
    running = connected.target.spawn(ping)
    running.wait_output("bytes from", count=20)
    job(snapshots, "snapshot-save", tag=TAG, vmstate=NODE, devices=[NODE])
    text = running.wait().stdout
    match = re.search(r"(\d+) packets transmitted, (\d+) received", text)
    assert match and match.groups() == (str(PINGS), str(PINGS)), text
    later = esp.counters
    # QEMU's UART of this board takes no input any more once it was loaded: what the guest does is seen in
    # the frames, and it is given up afterwards.
    try:
        with esp.watch("frame") as steps:
            job(snapshots, "snapshot-load", tag=TAG, vmstate=NODE, devices=[NODE])
            # Back in the middle, and the counters with it.
            assert before["transactions"] < esp.counters["transactions"] < later["transactions"]
            seen: list[int] = []
            while not seen or seen[-1] != PINGS:
                number = echo_reply(steps.wait("frame", name="to-host", timeout=60).data)
                if number is not None:
                    seen.append(number)
        assert 20 <= seen[0] < PINGS
        assert seen == list(range(seen[0], PINGS + 1))
        assert esp.counters["unarmed-transactions"] == before["unarmed-transactions"]
        assert esp.counters["boots"] == before["boots"]
    finally:
        lab.discard()
