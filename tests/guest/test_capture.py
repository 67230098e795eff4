# SPDX-License-Identifier: MIT
"""The same packets, captured in the guest and on the network behind the access point."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from pathlib import Path

from harness import traffic
from harness.qemu import Machine
from harness.scenario import NETWORK
from harness.target import QemuTarget
from harness.wifi import Wifi

COUNT = 4


def behind_the_access_point(machine: Machine) -> list[traffic.Echo]:
    """The echo packets in QEMU's capture. The file grows: an incomplete last record is left out by scapy."""
    return traffic.read_echoes(machine.pcap(NETWORK))


def exchange(echoes: Iterable[traffic.Echo]) -> list[traffic.Echo]:
    """The requests that count, with their replies: a late one crosses the next request on its way."""
    return sorted(
        (echo for echo in echoes if echo.sequence <= COUNT), key=lambda echo: (echo.sequence, echo.kind)
    )


def test_one_exchange_seen_at_both_ends(connected: Wifi, guest: QemuTarget, tmp_path: Path) -> None:
    with traffic.capture(guest, connected.interface, "icmp"):
        # A size of its own, so that no other ping is taken for this one.
        sent = traffic.ping(guest, count=COUNT, interval=0.1, size=777)
    inside = exchange(traffic.read_echoes(traffic.fetch(guest, "/run/capture.pcap", tmp_path / "guest.pcap")))
    outside = exchange(echo for echo in behind_the_access_point(guest.machine) if len(echo.payload) == 777)
    assert sent.received == COUNT
    assert [echo.key for echo in inside] == [echo.key for echo in outside]
    assert (
        [echo.kind for echo in inside].count("request")
        == [echo.kind for echo in inside].count("reply")
        == COUNT
    )
    mine = connected.ip_link()["address"]
    for here, there in zip(inside, outside, strict=True):
        assert (here.source_mac, here.destination_mac) == (there.source_mac, there.destination_mac)
        assert (here.source_mac if here.kind == "request" else here.destination_mac) == mine
    requests = {echo.sequence: echo.payload for echo in inside if echo.kind == "request"}
    assert {echo.sequence: echo.payload for echo in inside if echo.kind == "reply"} == requests


def test_tcpdump_as_text(connected: Wifi, guest: QemuTarget) -> None:
    job = guest.spawn(f"exec tcpdump -l -n -i {connected.interface} -c {2 * COUNT} icmp")
    job.wait_output("listening on")
    assert traffic.ping(guest, count=COUNT, interval=0.1).received == COUNT
    lines = traffic.parse_tcpdump(job.wait(20).stdout)
    assert [line.kind for line in lines] == ["request", "reply"] * COUNT
    assert {line.source for line in lines} == {connected.address(), traffic.HOST_FROM_GUEST}
    assert [line.sequence for line in lines if line.kind == "reply"] == [1, 2, 3, 4]


def test_capture_files_are_what_other_tools_read(guest: QemuTarget) -> None:
    head = guest.machine.pcap(NETWORK).read_bytes()[:4]
    assert head in (b"\xd4\xc3\xb2\xa1", b"\xa1\xb2\xc3\xd4")
    script = guest.machine.run_dir / "cmdline.sh"
    assert subprocess.run(["sh", "-n", script], check=False).returncode == 0
