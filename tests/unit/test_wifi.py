# SPDX-License-Identifier: MIT
"""What iw, ethtool and /proc/interrupts print, as values."""

from __future__ import annotations

import pytest

from harness.wifi import Bss, WifiError, parse_colons, parse_interrupts, parse_link, parse_scan

SCAN = """\
BSS 52:54:00:12:34:57(on wlan0)
\tlast seen: 12.345s [boottime]
\tTSF: 1234567 usec (0d, 00:00:01)
\tfreq: 2462
\tbeacon interval: 200 TUs
\tcapability: ESS (0x0001)
\tsignal: -67.00 dBm
\tlast seen: 20 ms ago
\tSSID: far away
\tSupported rates: 1.0* 2.0* 5.5* 11.0*
BSS 52:54:00:12:34:56(on wlan0) -- associated
\tfreq: 2437.0
\tbeacon interval: 100 TUs
\tsignal: -42.00 dBm
\tSSID: esp-hosted
BSS 52:54:00:12:34:58(on wlan0)
\tfreq: 5180
\tbeacon interval: 100 TUs
\tsignal: -80.00 dBm
\tSSID: \n"""

LINK = """\
Connected to 52:54:00:12:34:56 (on wlan0)
\tSSID: esp-hosted
\tfreq: 2437
\tRX: 1234 bytes (10 packets)
\tTX: 4321 bytes (12 packets)
\tsignal: -42 dBm
\trx bitrate: 65.0 MBit/s MCS 7
\ttx bitrate: 72.2 MBit/s MCS 7 short GI

\tbss flags:\tshort-slot-time
\tdtim period:\t1
\tbeacon int:\t100
"""

INTERRUPTS = """\
           CPU0       CPU1
 11:       1203        877     GICv3  30 Level     arch_timer
 45:        100          1  gpio-mxc  20 Edge      spi1.0 handshake
 46:          3          0  gpio-mxc  21 Edge      spi1.0 data-ready
IPI0:        70         80       Rescheduling interrupts
Err:          0
"""


def test_scan_is_sorted_by_signal() -> None:
    assert parse_scan(SCAN) == [
        Bss("52:54:00:12:34:56", "esp-hosted", 2437, -42.0, 100),
        Bss("52:54:00:12:34:57", "far away", 2462, -67.0, 200),
        Bss("52:54:00:12:34:58", "", 5180, -80.0, 100),
    ]
    assert [bss.channel for bss in parse_scan(SCAN)] == [6, 11, 36]
    assert parse_scan("") == []


def test_link() -> None:
    link = parse_link(LINK)
    assert link is not None
    assert (link.bssid, link.ssid, link.frequency) == ("52:54:00:12:34:56", "esp-hosted", 2437)
    assert (link.signal, link.tx_bitrate, link.rx_bitrate) == (-42, 72.2, 65.0)
    assert parse_link("Not connected.\n") is None
    with pytest.raises(WifiError, match="not the output of iw link"):
        parse_link("command failed: No such device (-19)")


def test_ethtool() -> None:
    assert parse_colons("driver: esp_hosted\nbus-info: spi1.0\nNIC statistics:\n     tx_frames: 7\n") == {
        "driver": "esp_hosted",
        "bus-info": "spi1.0",
        "NIC statistics": "",
        "tx_frames": "7",
    }


def test_interrupts() -> None:
    assert parse_interrupts(INTERRUPTS) == {
        "arch_timer": 2080,
        "spi1.0 handshake": 101,
        "spi1.0 data-ready": 3,
    }
