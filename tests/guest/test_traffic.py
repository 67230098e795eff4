# SPDX-License-Identifier: MIT
"""iperf3 in every form the users' tables list, against what the modelled bus can carry."""

from __future__ import annotations

import re

import pytest

from harness import traffic
from harness.coprocessor import Coprocessor, difference
from harness.traffic import Direction, Iperf, IperfServer, iperf
from harness.wifi import Wifi
from tests.guest.lab import Lab

# A TCP segment of 1448 bytes carries one UDP datagram of the same size: the ceiling is the same.
DATAGRAM = 1448


def within(result: Iperf, ceiling: int) -> None:
    """Above the ceiling the model is wrong; below half of it the driver is."""
    assert result.received_bps <= ceiling, f"{result.mbps:.2f} Mbit/s is more than the bus carries"
    assert result.received_bps > ceiling / 2, f"{result.mbps:.2f} Mbit/s is less than half of the bus"


@pytest.mark.parametrize("direction", ["up", "down"])
@pytest.mark.parametrize("streams", [1, 4])
def test_tcp_throughput(
    paced: Wifi, paced_lab: Lab, server: IperfServer, direction: Direction, streams: int
) -> None:
    result = iperf(paced.target, server, direction=direction, streams=streams, seconds=5)
    assert (result.protocol, result.direction, result.streams) == ("tcp", direction, streams)
    within(result, paced_lab.esp.link_ceiling_bps)


@pytest.mark.parametrize("direction", ["up", "down"])
def test_udp_throughput(paced: Wifi, paced_lab: Lab, server: IperfServer, direction: Direction) -> None:
    ceiling = paced_lab.esp.link_ceiling_bps
    result = iperf(
        paced.target, server, direction=direction, udp=True, bitrate=0.8 * ceiling, length=DATAGRAM, seconds=5
    )
    assert (result.protocol, result.direction) == ("udp", direction) and result.packets
    within(result, ceiling)


def test_more_udp_than_the_bus_carries_is_dropped_not_delivered(
    paced: Wifi, paced_lab: Lab, server: IperfServer
) -> None:
    ceiling = paced_lab.esp.link_ceiling_bps
    result = iperf(paced.target, server, udp=True, bitrate=2 * ceiling, length=DATAGRAM, seconds=4)
    within(result, ceiling)
    assert traffic.ping(paced.target, count=3).received == 3, "the link must survive being flooded"


@pytest.mark.parametrize("direction", ["up", "down"])
def test_tcp(connected: Wifi, esp: Coprocessor, server: IperfServer, direction: Direction) -> None:
    before = esp.counters
    result = iperf(connected.target, server, direction=direction, seconds=3)
    assert result.direction == direction
    assert 0 < result.received_bps <= esp.link_ceiling_bps
    counted = difference(before, esp.counters)
    segments = result.received_bps * result.seconds / 8 / DATAGRAM
    assert counted["rx-data-sta" if direction == "up" else "tx-data-sta"] >= 0.9 * segments


def test_parallel_streams(connected: Wifi, esp: Coprocessor, server: IperfServer) -> None:
    result = iperf(connected.target, server, streams=4, seconds=3)
    assert result.streams == 4 and len(result.raw["end"]["streams"]) == 4
    assert 0 < result.received_bps <= esp.link_ceiling_bps


def test_small_window(connected: Wifi, server: IperfServer) -> None:
    result = iperf(connected.target, server, window="64K", seconds=3)
    # Linux doubles what is asked for.
    assert result.raw["start"]["sndbuf_actual"] in (2 * 64 * 1024, 64 * 1024)
    assert result.received_bps > 0


@pytest.mark.parametrize("direction", ["up", "down"])
def test_gentle_udp_loses_nothing(connected: Wifi, server: IperfServer, direction: Direction) -> None:
    result = iperf(connected.target, server, udp=True, bitrate=300_000, direction=direction, seconds=3)
    assert result.packets and result.jitter_ms is not None
    assert result.lost == 0
    assert result.received_bps == pytest.approx(300_000, rel=0.2)


def test_socket_information_during_a_transfer(connected: Wifi, server: IperfServer) -> None:
    job = connected.target.spawn(traffic.iperf_command(server.port, seconds=4))
    connected.wait_packets("tx", 50)
    text = connected.target.run(["ss", "-ti", "dst", traffic.HOST_FROM_GUEST]).stdout
    job.wait(40)
    assert re.search(r"\bcwnd:\d+", text) and re.search(r"\brtt:[\d.]+/", text)


def test_round_trip_is_the_same_after_load(connected: Wifi, server: IperfServer) -> None:
    before = traffic.ping(connected.target, count=10, interval=0.1)
    for direction in ("up", "down"):
        iperf(connected.target, server, direction=direction, seconds=2)
    after = traffic.ping(connected.target, count=10, interval=0.1)
    assert before.minimum is not None and after.minimum is not None
    assert after.received == 10
    assert after.minimum <= 2 * before.minimum + 5


def test_co_processor_was_never_clocked_unarmed(connected: Wifi, esp: Coprocessor) -> None:
    before = esp.counters
    assert traffic.ping(connected.target, count=20, interval=0.02).received == 20
    after = esp.counters
    changed = difference(before, after)
    assert changed["transactions"] > 20
    for name in (
        "unarmed-transactions",
        "unarmed-bytes",
        "transactions-short",
        "overrun-bytes",
        "deselected-bytes",
        "rx-drop-checksum",
        "rx-drop-length",
        "rx-drop-offset",
        "rx-drop-bounds",
        "rx-drop-if-type",
        "rx-drop-packet-type",
        "rx-drop-ethernet",
    ):
        assert name in after and name not in changed
    # Without a link frames are dropped, as they must be; with one, none is.
    assert not {name for name in changed if name.startswith("rx-drop")}


@pytest.mark.parametrize("fall_us", [5, 100, 2000])
def test_a_handshake_that_falls_late_is_not_taken_for_a_new_one(
    paced_lab: Lab, server: IperfServer, fall_us: int
) -> None:
    """protocol.md §1.4: until the chip's interrupt has run the line is still high, and nothing is armed.

    In the model's time: on a busy host the model itself would be late by more than any driver waits.
    """
    with paced_lab.firmware(**{"handshake-fall-ns": fall_us * 1000}):
        wlan = paced_lab.connected()
        before, quiet = paced_lab.esp.counters, wlan.statistics()["handshake_quiet_starts"]
        iperf(wlan.target, server, udp=True, bitrate=2_000_000, length=DATAGRAM, seconds=3)
        changed = difference(before, paced_lab.esp.counters)
        quiet = wlan.statistics()["handshake_quiet_starts"] - quiet
    assert "unarmed-transactions" not in changed
    # Edges start them, not the rule for edges that were lost, which costs milliseconds each time.
    assert changed["transactions"] > 100 and quiet <= changed["transactions"] // 20
