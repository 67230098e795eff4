# SPDX-License-Identifier: MIT
"""The commands people learn about network drivers with, as they type them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness import traffic
from harness.traffic import IperfServer, iperf
from harness.wifi import Wifi

# Command, and what its output has to match.
COMMANDS = {
    "ip link": r"wlan0: <.*\bUP\b.*mtu 1500",
    "ip link show wlan0": r"link/ether ([0-9a-f]{2}:){5}[0-9a-f]{2}",
    "ip -s link show wlan0": r"RX: +bytes.*\n +[1-9]\d+ [\s\S]*TX: +bytes.*\n +[1-9]\d+ ",
    "ethtool wlan0": r"Speed: \d+Mb/s[\s\S]*Link detected: yes",
    "ethtool -i wlan0": r"driver: esp_hosted\n[\s\S]*bus-info: spi\d+\.\d+\n",
    "ethtool -S wlan0": r"transactions: [1-9]",
    "ethtool -g wlan0": r"Current hardware settings:[\s\S]*TX:\s+[1-9]",
    "ethtool -k wlan0": r"generic-receive-offload: on",
    "iw dev": r"Interface wlan0[\s\S]*type managed",
    "iw dev wlan0 link": r"Connected to [\s\S]*SSID: [\s\S]*signal: -\d+ dBm[\s\S]*bitrate: [\d.]+ MBit/s",
    "dmesg | grep spi": r"esp_hosted spi\d+\.\d+: .*firmware",
    "cat /proc/interrupts | grep spi": r" [1-9]\d* .* spi\d+\.\d+ handshake",
    "ping -i 0.2 10.0.2.2 >/dev/null & tcpdump -i wlan0 -c 4 -n icmp; kill $!": r"ICMP echo reply",
}


@pytest.mark.parametrize("command", COMMANDS)
def test_command(connected: Wifi, command: str) -> None:
    assert traffic.ping(connected.target).received == 3
    result = connected.target.run(command)
    assert re.search(COMMANDS[command], result.stdout), result.stdout + result.stderr


# iperf3's options; the server's address and JSON are added.
IPERF = {
    "-t 3": {"protocol": "tcp", "direction": "up", "streams": 1},
    "-P 4 -t 3": {"protocol": "tcp", "direction": "up", "streams": 4},
    "-u -b 100M -t 3": {"protocol": "udp", "direction": "up", "streams": 1},
    "-R -t 3": {"protocol": "tcp", "direction": "down", "streams": 1},
}


@pytest.mark.parametrize("options", IPERF)
def test_iperf(connected: Wifi, server: IperfServer, options: str) -> None:
    command = f"iperf3 -c {traffic.HOST_FROM_GUEST} -p {server.port} -J {options}"
    result = traffic.parse_iperf(connected.target.run(command, timeout=60, check=False).stdout)
    assert {name: getattr(result, name) for name in IPERF[options]} == IPERF[options]
    assert result.received_bps > 0


def test_iperf_for_people(connected: Wifi, server: IperfServer) -> None:
    command = f"iperf3 -c {traffic.HOST_FROM_GUEST} -p {server.port} -t 3"
    text = connected.target.run(command, timeout=60).stdout
    for column in ("Interval", "Transfer", "Bitrate", "Retr", "Cwnd"):
        assert column in text
    assert re.search(r"[\d.]+ [KM]bits/sec .*receiver", text)


def test_iperf_with_a_large_window(connected: Wifi, server: IperfServer) -> None:
    limits = [int(Path(f"/proc/sys/net/core/{way}mem_max").read_text()) for way in "rw"]
    # Both ends refuse a window above their limit; the host's is its owner's.
    window = min(4 << 20, *limits)
    for way in "rw":
        connected.target.run(f"echo {window} >/proc/sys/net/core/{way}mem_max")
    assert iperf(connected.target, server, window=str(window), seconds=3).received_bps > 0
