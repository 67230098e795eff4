# SPDX-License-Identifier: MIT
"""Traffic between target and host: ping, iperf3 and captures, as dataclasses."""

from __future__ import annotations

import json
import math
import re
import shlex
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, Literal, TypedDict, Unpack, cast

from harness import namespaces, process
from harness.errors import HarnessError
from harness.target import Job, Target

# QEMU's built-in network: the host's loopback as the guest sees it.
HOST_FROM_GUEST = "10.0.2.2"
IPERF_PORT = 5201

Direction = Literal["up", "down"]
"""up: from the target; down: to it."""


class TrafficError(HarnessError):
    """A measurement did not take place, or its output was not understood."""


# ping


@dataclass(frozen=True)
class Reply:
    """One answered echo request."""

    sequence: int
    milliseconds: float


@dataclass(frozen=True)
class Ping:
    """What ping said. Times in milliseconds; None if nothing came back."""

    host: str
    sent: int
    received: int
    duplicates: int
    minimum: float | None
    average: float | None
    maximum: float | None
    deviation: float | None
    replies: tuple[Reply, ...]

    @property
    def loss(self) -> float:
        """Lost part of all requests, 0 to 1."""
        return 1 - self.received / self.sent if self.sent else 1.0


def parse_ping(text: str) -> Ping:
    """The output of iputils' or busybox' ping. TrafficError: it is none."""
    head = re.search(r"^PING (\S+)", text, re.MULTILINE)
    counts = re.search(
        r"(\d+) packets transmitted, (\d+) (?:packets )?received(?:, \+(\d+) duplicates)?", text
    )
    if head is None or counts is None:
        raise TrafficError(f"this is not the output of ping:\n{text[-500:]}")
    times = re.search(
        r"(?:rtt|round-trip) min/avg/max(?:/mdev)? = ([\d.]+)/([\d.]+)/([\d.]+)(?:/([\d.]+))? ms", text
    )
    minimum, average, maximum, deviation = (
        (None if value is None else float(value) for value in times.groups()) if times else (None,) * 4
    )
    replies = tuple(
        Reply(int(sequence), float(milliseconds))
        for sequence, milliseconds in re.findall(r"(?:icmp_)?seq=(\d+) .*?time=([\d.]+) ms", text)
    )
    return Ping(
        head[1],
        int(counts[1]),
        int(counts[2]),
        int(counts[3] or 0),
        minimum,
        average,
        maximum,
        deviation,
        replies,
    )


def ping_command(host: str, count: int, interval: float, wait: int, *options: str) -> list[str]:
    """ping as an argument list, to be read with `first_of`: `interval` and `wait` in seconds.

    Without a deadline ping waits for the last answer twice as long as for the slowest so far: too short for a
    processor that is emulated on a busy host. With one it goes on asking; the first `count` requests count.
    """
    deadline = math.ceil(count * interval) + wait + 1
    return ["ping", "-n", "-c", str(count), "-i", f"{interval:g}", "-w", str(deadline), *options, host]


def ping(
    target: Target,
    host: str = HOST_FROM_GUEST,
    *,
    count: int = 3,
    interval: float = 0.2,
    size: int = 56,
    wait: int = 3,
    interface: str | None = None,
) -> Ping:
    """Ping `host` from the target; `size` is the payload in bytes, `wait` the seconds for a late answer.

    Loss is a result, not an error; TrafficError only if ping could not run.
    """
    options = ["-s", str(size), *(["-I", interface] if interface else [])]
    command = ping_command(host, count, interval, wait, *options)
    result = target.run(command, timeout=count * interval + wait + 20, check=False)
    if result.status not in (0, 1):
        raise TrafficError(f"{result.command}: {(result.stdout + result.stderr).strip()}")
    return first_of(parse_ping(result.stdout), count)


def first_of(result: Ping, count: int) -> Ping:
    """What became of the first `count` requests; a ping that could not send them all in its time says so."""
    replies = {reply.sequence: reply for reply in reversed(result.replies) if reply.sequence <= count}
    times = [reply.milliseconds for reply in replies.values()]
    return replace(
        result,
        sent=min(count, result.sent),
        received=len(times),
        minimum=min(times, default=None),
        average=statistics.mean(times) if times else None,
        maximum=max(times, default=None),
        deviation=statistics.pstdev(times) if times else None,
        replies=tuple(replies[sequence] for sequence in sorted(replies)),
    )


# iperf3


@dataclass(frozen=True)
class Iperf:
    """One iperf3 run. Bits a second are payload (above TCP or UDP), by the target's clock: a guest's second
    may be longer than the host's."""

    protocol: Literal["tcp", "udp"]
    direction: Direction
    streams: int
    seconds: float
    sent_bps: float
    received_bps: float
    """What arrived: the figure that counts."""
    retransmits: int | None
    """TCP segments sent again, where the sender could tell."""
    jitter_ms: float | None
    lost: int | None
    packets: int | None
    """UDP datagrams sent, and those of them that did not arrive."""
    raw: dict[str, Any]

    @property
    def mbps(self) -> float:
        """What arrived, in 10^6 bit/s."""
        return self.received_bps / 1e6

    @property
    def loss(self) -> float:
        """Lost part of all UDP datagrams, 0 to 1."""
        return (self.lost or 0) / self.packets if self.packets else 0.0


def parse_iperf(text: str) -> Iperf:
    """The output of `iperf3 -J` of the client. TrafficError: with iperf3's own words if it failed."""
    try:
        report = json.loads(text)
    except json.JSONDecodeError:
        raise TrafficError(f"iperf3 printed no JSON:\n{text[-500:]}") from None
    if report.get("error"):
        raise TrafficError(f"iperf3: {report['error']}")
    try:
        test = report["start"]["test_start"]
        end = report["end"]
        protocol = cast(Literal["tcp", "udp"], test["protocol"].lower())
        total = end.get("sum", {})
        sent = end.get("sum_sent") or total
        received = end.get("sum_received") or total
        reverse = bool(test["reverse"])
        seconds = float((received if reverse else sent)["seconds"])
        arrived = 8 * float(received["bytes"])
        lost = packets = jitter = None
        if protocol == "udp":
            counted = received if received.get("packets") else total
            lost, packets = counted["lost_packets"], counted["packets"]
            jitter = counted.get("jitter_ms", total.get("jitter_ms"))
            if not end.get("sum_received", {}).get("bytes"):
                # Older versions only say what was sent and how much of it was lost.
                arrived = 8 * float(total["bytes"]) * (1 - lost / packets if packets else 0)
        return Iperf(
            protocol,
            "down" if reverse else "up",
            int(test["num_streams"]),
            seconds,
            float(sent["bits_per_second"]),
            arrived / seconds,
            sent.get("retransmits"),
            jitter,
            lost,
            packets,
            report,
        )
    except (KeyError, TypeError) as error:
        raise TrafficError(f"iperf3's report lacks {error}:\n{text[:500]}") from None


class IperfServer:
    """An iperf3 server on the host's loopback; use it as a context manager. Serves one test at a time."""

    def __init__(self, address: str = "127.0.0.1", namespace: str | None = None) -> None:
        """Start it on a free port, in a network namespace if one is named, and wait until it listens.

        TrafficError: it does not.
        """
        prefix = namespaces.prefix(namespace) if namespace else []
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 (closed in close)
        for _ in range(5):
            # In another namespace nobody else takes ports.
            self.port = IPERF_PORT if namespace else _free_port(address)
            self._process = process.start(
                [*prefix, "iperf3", "-s", "-B", address, "-p", str(self.port), "--forceflush"],
                stdout=self._log,
                stderr=subprocess.STDOUT,
            )
            if self._listening():
                return
            process.stop(self._process, grace=1.0)
        text = _contents(self._log)
        self._log.close()
        raise TrafficError(f"iperf3 does not listen on {address}:\n{text}")

    def _listening(self) -> bool:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline and self._process.poll() is None:
            if "listening on" in _contents(self._log):
                return True
            try:
                self._process.wait(0.02)
            except subprocess.TimeoutExpired:
                continue
        return False

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def close(self) -> None:
        """End and reap it."""
        process.stop(self._process, grace=2.0)
        self._log.close()

    def __enter__(self) -> IperfServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _free_port(address: str) -> int:
    with socket.socket() as probe:
        probe.bind((address, 0))
        return int(probe.getsockname()[1])


def _contents(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode("utf-8", errors="replace")


class IperfOptions(TypedDict, total=False):
    """What a measurement may ask of iperf3, and in which unit."""

    direction: Direction
    """`up` unless given."""
    seconds: float
    """Length of the transfer, 5 unless given."""
    udp: bool
    bitrate: float
    """Bit/s of each stream."""
    streams: int
    window: str
    """Socket buffer as iperf3 takes it: `64K`."""
    length: int
    """Bytes of one write or datagram."""
    host: str
    """Where the server is, seen from the target; the host that runs QEMU unless given."""


SECONDS = 5.0
BUSY_SECONDS = 10.0
# Beyond what was asked for, until it hangs: on a busy host the time of a paced guest passes much more slowly.
HANG_SECONDS = 120.0


def iperf_command(port: int, **options: Unpack[IperfOptions]) -> list[str]:
    """The command of a client that reports in JSON."""
    seconds = options.get("seconds", SECONDS)
    host = options.get("host", HOST_FROM_GUEST)
    command = ["iperf3", "-c", host, "-p", str(port), "-t", f"{seconds:g}", "-J"]
    if options.get("direction") == "down":
        command.append("-R")
    if options.get("udp"):
        command.append("-u")
    if "bitrate" in options:
        command += ["-b", f"{options['bitrate']:.0f}"]
    if "streams" in options:
        command += ["-P", str(options["streams"])]
    if "window" in options:
        command += ["-w", options["window"]]
    if "length" in options:
        command += ["-l", str(options["length"])]
    return command


def iperf(target: Target, server: IperfServer, **options: Unpack[IperfOptions]) -> Iperf:
    """Run iperf3 on the target against `server`. TrafficError: with iperf3's own words."""
    command = iperf_command(server.port, **options)
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        result = target.run(command, timeout=options.get("seconds", SECONDS) + HANG_SECONDS, check=False)
        if not result.stdout.strip():
            raise TrafficError(f"{result.command}: exit status {result.status}\n{result.stderr}")
        # The server takes a moment to be done with the client before.
        if "the server is busy running a test" not in result.stdout or time.monotonic() > deadline:
            return parse_iperf(result.stdout)


# Captures


@dataclass(frozen=True)
class Echo:
    """An ICMP echo request or reply as captured."""

    kind: Literal["request", "reply"]
    source: str
    destination: str
    source_mac: str
    destination_mac: str
    identifier: int
    sequence: int
    payload: bytes

    @property
    def key(self) -> tuple[str, str, str, int, int, bytes]:
        """What must be equal wherever the same packet is captured."""
        return (self.kind, self.source, self.destination, self.identifier, self.sequence, self.payload)


def read_echoes(path: Path) -> list[Echo]:
    """The ICMP echo packets of a capture of Ethernet frames, in order. TrafficError: not such a file."""
    # scapy takes a second to import: only who reads a capture pays.
    from scapy.error import Scapy_Exception
    from scapy.layers.inet import ICMP, IP
    from scapy.layers.l2 import Ether
    from scapy.utils import PcapReader

    kinds: dict[int, Literal["request", "reply"]] = {8: "request", 0: "reply"}
    result = []
    try:
        with PcapReader(str(path)) as reader:
            for packet in reader:
                if Ether in packet and IP in packet and ICMP in packet and packet[ICMP].type in kinds:
                    ether, ip, icmp = packet[Ether], packet[IP], packet[ICMP]
                    result.append(
                        Echo(
                            kinds[icmp.type],
                            ip.src,
                            ip.dst,
                            ether.src,
                            ether.dst,
                            icmp.id,
                            icmp.seq,
                            bytes(icmp.payload),
                        )
                    )
    except (Scapy_Exception, OSError, EOFError) as error:
        raise TrafficError(f"{path} is not a readable capture: {error}") from None
    return result


@dataclass(frozen=True)
class EchoLine:
    """An ICMP echo packet as tcpdump prints it."""

    kind: Literal["request", "reply"]
    source: str
    destination: str
    identifier: int
    sequence: int


def parse_tcpdump(text: str) -> list[EchoLine]:
    """The ICMP echo lines of `tcpdump -n`."""
    pattern = re.compile(r"IP (\S+) > (\S+): ICMP echo (request|reply), id (\d+), seq (\d+)")
    return [
        EchoLine(cast(Literal["request", "reply"], kind), source, destination, int(identifier), int(sequence))
        for source, destination, kind, identifier, sequence in pattern.findall(text)
    ]


@contextmanager
def capture(
    target: Target, interface: str, expression: str, path: str = "/run/capture.pcap"
) -> Iterator[Job]:
    """Run tcpdump on the target while the body runs; the frames are in `path` there afterwards."""
    words = ["tcpdump", "-n", "-U", "--immediate-mode", "-i", interface, "-w", path, expression]
    command = f"exec {shlex.join(words)}"
    job = target.spawn(command)
    try:
        job.wait_output("listening on")
        yield job
    finally:
        job.stop()


def fetch(target: Target, remote: str, local: Path) -> Path:
    """Copy a file from the target."""
    local.parent.mkdir(parents=True, exist_ok=True)
    local.write_bytes(target.read_file(remote))
    return local
