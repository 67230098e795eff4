# SPDX-License-Identifier: MIT
"""What iw, ethtool and /proc/interrupts print, as values."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import wifi
from harness.wifi import Bss, Wifi, WifiError, parse_colons, parse_interrupts, parse_link, parse_scan
from tests.unit.test_target import LocalTarget

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


ADDRESS = "5: wlan7    inet 10.0.2.15/24 brd 10.0.2.255 scope global wlan7"


@pytest.mark.parametrize(
    ("there", "link", "address", "expected"),
    [
        (True, LINK, ADDRESS, True),
        (False, LINK, ADDRESS, False),
        (True, "Not connected.", ADDRESS, False),
        (True, LINK.replace("SSID: esp-hosted", "SSID: esp-hosted2"), ADDRESS, False),
        (True, LINK, "", False),
    ],
    ids=["serves", "no interface", "not connected", "another network", "no address"],
)
def test_one_question_for_interface_network_and_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: bool, link: str, address: str, expected: bool
) -> None:
    for name, says in (("iw", link), ("ip", address)):
        tool = tmp_path / "bin" / name
        tool.parent.mkdir(exist_ok=True)
        tool.write_text(
            f'#!/bin/sh\n[ "$2" = wlan7 ] || [ "$6" = wlan7 ] || exit 1\ncat <<\'END\'\n{says}\nEND\n'
        )
        tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=":")
    monkeypatch.setattr(wifi, "DRIVER", str(tmp_path / "driver"))
    if there:
        (tmp_path / "driver/spi1.0/net/wlan7").mkdir(parents=True)
    asked = Wifi(LocalTarget())
    assert asked.serves("esp-hosted") is expected
    assert asked.interface == ("wlan7" if expected else "wlan0")


def test_interface_is_waited_for_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wifi, "DRIVER", str(tmp_path / "driver"))
    asked = Wifi(LocalTarget())
    with pytest.raises(WifiError, match=r"no interface within 0\.2 s"):
        asked.wait_interface(timeout=0.2)
    (tmp_path / "driver/spi1.0/net/wlan7").mkdir(parents=True)
    assert asked.wait_interface(timeout=5) == asked.interface == "wlan7"
