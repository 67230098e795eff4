# SPDX-License-Identifier: MIT
"""Parsers on what the tools really print, and an iperf3 run over this machine's loopback."""

from __future__ import annotations

import copy
import json
import shutil
import struct
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from harness.target import Result, Target
from harness.traffic import (
    IperfServer,
    TrafficError,
    first_of,
    iperf,
    iperf_command,
    parse_iperf,
    parse_ping,
    parse_tcpdump,
    read_echoes,
)
from tests.unit.processes import ends

PING = """\
PING 10.0.2.2 (10.0.2.2) 56(84) bytes of data.
64 bytes from 10.0.2.2: icmp_seq=1 ttl=255 time=12.3 ms
64 bytes from 10.0.2.2: icmp_seq=3 ttl=255 time=4.07 ms

--- 10.0.2.2 ping statistics ---
3 packets transmitted, 2 received, 33.3333% packet loss, time 2004ms
rtt min/avg/max/mdev = 4.070/8.185/12.300/4.115 ms
"""

BUSYBOX_PING = """\
PING 10.0.2.2 (10.0.2.2): 56 data bytes
64 bytes from 10.0.2.2: seq=0 ttl=255 time=7.216 ms

--- 10.0.2.2 ping statistics ---
1 packets transmitted, 1 packets received, 0% packet loss
round-trip min/avg/max = 7.216/7.216/7.216 ms
"""

SILENCE = """\
PING 10.0.2.9 (10.0.2.9) 56(84) bytes of data.

--- 10.0.2.9 ping statistics ---
2 packets transmitted, 0 received, +2 errors, 100% packet loss, time 1001ms
"""

TCPDUMP = """\
12:00:00.000001 IP 10.0.2.15 > 10.0.2.2: ICMP echo request, id 7, seq 1, length 64
12:00:00.000100 IP 10.0.2.2 > 10.0.2.15: ICMP echo reply, id 7, seq 1, length 64
12:00:00.000200 ARP, Request who-has 10.0.2.15 tell 10.0.2.2, length 28
"""


def test_ping() -> None:
    result = parse_ping(PING)
    assert (result.host, result.sent, result.received, result.duplicates) == ("10.0.2.2", 3, 2, 0)
    assert (result.minimum, result.average, result.maximum, result.deviation) == (4.07, 8.185, 12.3, 4.115)
    assert [(reply.sequence, reply.milliseconds) for reply in result.replies] == [(1, 12.3), (3, 4.07)]
    assert result.loss == pytest.approx(1 / 3)


def test_only_the_first_requests_count() -> None:
    result = first_of(parse_ping(PING), 2)
    assert (result.sent, result.received, result.average, result.deviation) == (2, 1, 12.3, 0)
    silence = first_of(parse_ping(SILENCE), 5)
    assert (silence.sent, silence.received, silence.loss) == (2, 0, 1)


def test_ping_of_busybox() -> None:
    result = parse_ping(BUSYBOX_PING)
    assert (result.sent, result.received, result.average, result.deviation) == (1, 1, 7.216, None)
    assert result.replies[0].sequence == 0


def test_ping_without_an_answer() -> None:
    result = parse_ping(SILENCE)
    assert (result.received, result.loss, result.average, result.replies) == (0, 1.0, None, ())


def test_ping_that_is_none() -> None:
    with pytest.raises(TrafficError, match="not the output of ping"):
        parse_ping("ping: sendmsg: Network is unreachable")


TCP: dict[str, Any] = {
    "start": {"test_start": {"protocol": "TCP", "num_streams": 4, "reverse": 1}},
    "end": {
        "sum_sent": {"seconds": 10.0, "bytes": 6_000_000, "bits_per_second": 4.8e6, "retransmits": 3},
        "sum_received": {"seconds": 5.0, "bytes": 5_000_000, "bits_per_second": 8e6},
    },
}
UDP: dict[str, Any] = {
    "start": {"test_start": {"protocol": "UDP", "num_streams": 1, "reverse": 0}},
    "end": {
        "sum": {
            "seconds": 5.0,
            "bytes": 625_000,
            "bits_per_second": 1e6,
            "jitter_ms": 0.5,
            "lost_packets": 10,
            "packets": 100,
        },
        "sum_sent": {
            "seconds": 5.0,
            "bytes": 625_000,
            "bits_per_second": 1e6,
            "packets": 100,
            "lost_packets": 0,
        },
        "sum_received": {
            "seconds": 7.5,
            "bytes": 562_500,
            "bits_per_second": 6e5,
            "packets": 100,
            "lost_packets": 10,
        },
    },
}


def test_iperf_tcp() -> None:
    result = parse_iperf(json.dumps(TCP))
    assert (result.protocol, result.direction, result.streams, result.retransmits) == ("tcp", "down", 4, 3)
    assert (result.sent_bps, result.received_bps, result.mbps) == (4.8e6, 8e6, 8.0)
    assert (result.lost, result.packets, result.loss) == (None, None, 0.0)


def test_iperf_udp() -> None:
    result = parse_iperf(json.dumps(UDP))
    assert (result.protocol, result.direction, result.lost, result.packets) == ("udp", "up", 10, 100)
    # By the clock of the client, which sent for five seconds; the server's ran faster.
    assert (result.received_bps, result.seconds) == (9e5, 5.0)
    assert (result.jitter_ms, result.loss) == (0.5, 0.1)


def test_iperf_udp_of_versions_that_sum_up_only_once() -> None:
    old = copy.deepcopy(UDP)
    del old["end"]["sum_sent"], old["end"]["sum_received"]
    result = parse_iperf(json.dumps(old))
    assert (result.sent_bps, result.lost, result.packets) == (1e6, 10, 100)
    assert result.received_bps == pytest.approx(9e5)


def test_iperf_errors() -> None:
    with pytest.raises(TrafficError, match="unable to connect to server"):
        parse_iperf('{"start": {}, "error": "unable to connect to server: Connection refused"}')
    with pytest.raises(TrafficError, match="no JSON"):
        parse_iperf("iperf3: error")
    with pytest.raises(TrafficError, match="lacks"):
        parse_iperf('{"start": {}, "end": {}}')


def test_iperf_command() -> None:
    command = iperf_command(5201, direction="down", seconds=3, udp=True, bitrate=2e6, streams=4, window="4M")
    assert " ".join(command) == "iperf3 -c 10.0.2.2 -p 5201 -t 3 -J -R -u -b 2000000 -P 4 -w 4M"
    assert " ".join(iperf_command(7, host="10.0.0.1", length=100)) == "iperf3 -c 10.0.0.1 -p 7 -t 5 -J -l 100"


def test_tcpdump_text() -> None:
    request, reply = parse_tcpdump(TCPDUMP)
    assert (request.kind, request.source, request.destination) == ("request", "10.0.2.15", "10.0.2.2")
    assert (reply.kind, reply.identifier, reply.sequence) == ("reply", 7, 1)


def checksum(data: bytes) -> int:
    total: int = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def echo_frame(kind: int, sequence: int, payload: bytes) -> bytes:
    """An Ethernet frame by hand, not by the library that reads it back."""
    icmp = struct.pack(">BBHHH", kind, 0, 0, 0x1234, sequence) + payload
    icmp = icmp[:2] + struct.pack(">H", checksum(icmp)) + icmp[4:]
    ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(icmp), 1, 0, 64, 1, 0, b"\x0a\0\2\x0f", b"\x0a\0\2\2")
    ip = ip[:10] + struct.pack(">H", checksum(ip)) + ip[12:]
    return b"\x52\x55\x0a\0\2\2" + b"\x52\x54\0\x12\x34\x56" + b"\x08\0" + ip + icmp


def write_pcap(path: Path, frames: list[bytes]) -> None:
    records = [struct.pack("<IIII", 1, n, len(frame), len(frame)) + frame for n, frame in enumerate(frames)]
    path.write_bytes(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1) + b"".join(records))


def test_capture_file(tmp_path: Path) -> None:
    path = tmp_path / "a.pcap"
    arp = b"\xff" * 6 + b"\x52\x54\0\x12\x34\x56\x08\x06" + bytes(28)
    write_pcap(path, [echo_frame(8, 1, b"hello..."), arp, echo_frame(0, 1, b"hello...")])
    request, reply = read_echoes(path)
    assert (request.kind, request.source, request.destination) == ("request", "10.0.2.15", "10.0.2.2")
    assert (request.source_mac, request.destination_mac) == ("52:54:00:12:34:56", "52:55:0a:00:02:02")
    assert (request.identifier, request.sequence, request.payload) == (0x1234, 1, b"hello...")
    assert reply.kind == "reply" and reply.key[1:] == request.key[1:]


def test_capture_file_that_is_none(tmp_path: Path) -> None:
    path = tmp_path / "b.pcap"
    path.write_bytes(b"not a capture at all, but long enough")
    with pytest.raises(TrafficError, match="not a readable capture"):
        read_echoes(path)


class Here(Target):
    """Commands run on this machine."""

    name = "here"

    def _execute(self, script: str, timeout: float) -> Result:
        begin = time.monotonic()
        done = subprocess.run(["sh", "-c", script], capture_output=True, timeout=timeout, check=False)
        return Result(script, done.returncode, done.stdout, done.stderr.decode(), time.monotonic() - begin)

    def close(self) -> None:
        pass


@pytest.mark.skipif(shutil.which("iperf3") is None, reason="needs iperf3: apt-get install iperf3")
def test_real_iperf_over_loopback() -> None:
    with IperfServer() as server:
        pid = server.pid
        up = iperf(Here(), server, seconds=1, bitrate=8e6, host="127.0.0.1")
        down = iperf(Here(), server, seconds=1, udp=True, bitrate=2e6, direction="down", host="127.0.0.1")
    assert (up.protocol, up.direction, up.streams) == ("tcp", "up", 1)
    assert 4e6 < up.received_bps < 16e6 and up.retransmits is not None
    assert (down.protocol, down.direction, down.lost) == ("udp", "down", 0)
    assert 1e6 < down.received_bps < 3e6 and down.packets
    assert ends(pid)
    with pytest.raises(TrafficError, match="iperf3: "):
        iperf(Here(), server, seconds=1, host="127.0.0.1")
