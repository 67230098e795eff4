# SPDX-License-Identifier: MIT
"""What the demonstration shows at its end."""

from __future__ import annotations

import io

from rich.console import Console, RenderableType

from harness import summary
from harness.summary import Measured
from harness.traffic import Iperf, Ping
from harness.wifi import Bss, Link


def shown(value: RenderableType) -> str:
    text = io.StringIO()
    Console(width=100, file=text).print(value)
    return text.getvalue()


def run(direction: str, bps: float) -> Iperf:
    return Iperf("tcp", "up" if direction == "up" else "down", 1, 4.0, bps, bps, 3, None, None, None, {})


def measured() -> Measured:
    return Measured(
        kernel="6.12.95+deb12-arm64",
        board="imx8mp-evk",
        driver="esp_hosted 1.0",
        firmware="NG-1.0.6.0.1",
        bus="spi0.0",
        address="10.0.2.15",
        link=Link(
            "52:54:00:12:34:56", "esp-hosted", 2437, -42, 72.2, None, "Connected to x\n\tSSID: esp-hosted\n"
        ),
        ip_statistics="2: wlan0: <UP>\n    RX: [bytes] packets " + 12 * "wide " + "\n",
        ping=Ping("10.0.2.2", 5, 5, 0, 1.0, 12.34, 20.0, 1.0, ()),
        up=run("up", 4e6),
        down=run("down", 8e6),
        clock_hz=10_000_000,
        ceiling_bps=8_000_000,
        transactions=3000,
        idle_transactions=60,
        interrupts=3100,
        seconds={"boot": 6.0, "iperf3 up": 4.0},
    )


def test_everything_is_there() -> None:
    text = shown(summary.render(measured()))
    for part in (
        "6.12.95+deb12-arm64, unmodified, on imx8mp-evk",
        "esp_hosted 1.0 on spi0.0",
        "NG-1.0.6.0.1",
        "5 of 5 answered, 12.3 ms on average",
        "3000 (60 of them with nothing from either side)",
        "3100 handshake and data-ready edges",
        "SSID: esp-hosted",
        "RX: [bytes] packets",
    ):
        assert part in text


def test_throughput_beside_the_ceiling() -> None:
    lines = [line.split() for line in shown(summary.throughput(measured())).splitlines()]
    assert lines[1] == ["up", "4.00", "50%", "3"]
    assert lines[2] == ["down", "8.00", "100%", "3"]
    assert lines[3] == ["ceiling", "at", "10", "MHz", "8.00"]


def test_share_of_each_step() -> None:
    lines = [line.split() for line in shown(summary.durations({"boot": 6.0, "iperf3 up": 2.0})).splitlines()]
    assert lines[1:] == [["boot", "6.0", "75%"], ["iperf3", "up", "2.0", "25%"], ["all", "8.0"]]


def test_networks() -> None:
    found = [
        Bss("52:54:00:12:34:56", "a [bold] name", 2437, -42.0, 100),
        Bss("52:54:00:12:34:57", "", 2462, -71.0, 100),
    ]
    text = shown(summary.networks(found))
    assert "a [bold] name" in text and "(hidden)" in text and "-71 dBm" in text and " 11 " in text
