# SPDX-License-Identifier: MIT
"""What the co-processor records while the driver works, and what that says about the driver."""

from __future__ import annotations

import bisect
import shutil
import subprocess
from pathlib import Path

import pytest

from harness import boot, traffic
from harness.coprocessor import Coprocessor, Recordings
from harness.wifi import Wifi
from tests import recordings

PINGS = 20
# Ethernet type IPv4, protocol ICMP; the type of the message is behind 14 + 20 bytes.
ICMP_REQUEST, ICMP_REPLY = 8, 0


@pytest.fixture
def recorded(connected: Wifi, esp: Coprocessor, tmp_path: Path) -> Recordings:
    """Files of a few pings."""
    files = esp.record(tmp_path)
    assert traffic.ping(connected.target, count=PINGS, interval=0.01).received == PINGS
    esp.stop_recording()
    return files


def icmp(packet: recordings.Packet) -> int | None:
    """The type of an ICMP message in a hosted frame."""
    ethernet = packet.data[int.from_bytes(packet.data[6:8], "little") :]
    is_icmp = packet.data[2] == 0 and ethernet[12:14] == b"\x08\x00" and ethernet[23] == 1
    return ethernet[34] if is_icmp else None


def test_every_ping_is_recorded_in_both_directions(recorded: Recordings) -> None:
    found = [
        (packet.direction, kind)
        for packet in recordings.pcapng(recorded.pcapng)
        if (kind := icmp(packet)) in (0, 8)
    ]
    # In a slow guest ping asks on until it has its answers.
    assert found.count(("out", ICMP_REQUEST)) >= found.count(("in", ICMP_REPLY)) >= PINGS


def test_every_transaction_begins_with_handshake_high(recorded: Recordings) -> None:
    waves = recordings.vcd(recorded.vcd)
    handshake = waves.changes["esp0.handshake"]
    times = [time for time, _ in handshake]
    selected = [time for time, value in waves.changes["esp0.cs"][1:] if not value]
    assert len(selected) > PINGS
    for time in selected:
        # The level before this moment: with chip select falls handshake, at the earliest.
        _, level = handshake[max(bisect.bisect_left(times, time) - 1, 0)]
        assert level, f"chip select fell at {time} ns while handshake was low"


def test_every_step_is_recorded(recorded: Recordings) -> None:
    entries = recordings.trace(recorded.trace)
    frames = recordings.pcapng(recorded.pcapng)
    steps = [(entry["to"], entry["bytes"]) for entry in entries if entry["what"] == "frame"]
    assert steps == [
        ("host" if packet.direction == "in" else "firmware", len(packet.data)) for packet in frames
    ]
    assert not [entry for entry in entries if entry["what"] in ("unarmed", "drop")]


@pytest.mark.skipif(shutil.which("tshark") is None, reason="no tshark: apt-get install tshark")
def test_wireshark_finds_nothing_wrong(connected: Wifi, esp: Coprocessor, tmp_path: Path) -> None:
    files = esp.record(tmp_path)
    connected.scan()
    connected.disconnect()
    connected.connect("esp-hosted")
    assert traffic.ping(connected.target).received == 3
    esp.stop_recording()

    def select(what: str) -> list[str]:
        command = ["tshark", "-n", "-X", f"lua_script:{boot.DISSECTOR}", "-r", str(files.pcapng), "-Y", what]
        return subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=60
        ).stdout.splitlines()

    bad = (
        "esp_hosted.expert.checksum or esp_hosted.expert.length or esp_hosted.expert.offset or _ws.malformed"
    )
    assert select(bad) == []
    for what in (
        "esp_hosted.command == 4",
        'wlan.fc.type_subtype == 8 && wlan.ssid == "esp-hosted"',
        "wlan.fc.type_subtype == 11",
        "wlan.fc.type_subtype == 1",
        "icmp.type == 8",
    ):
        assert select(what), f"no frame with {what}"
