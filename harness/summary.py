# SPDX-License-Identifier: MIT
"""What `./inv demo` shows at its end: facts, throughput beside the bus's ceiling, where the time went."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from harness.traffic import Iperf, Ping
from harness.wifi import Bss, Link


@dataclass
class Measured:
    """What one demonstration found. Filled step by step."""

    kernel: str = ""
    board: str = ""
    driver: str = ""
    firmware: str = ""
    bus: str = ""
    address: str = ""
    scan: list[Bss] = field(default_factory=list)
    link: Link | None = None
    ip_statistics: str = ""
    ping: Ping | None = None
    up: Iperf | None = None
    down: Iperf | None = None
    clock_hz: int = 0
    """Of the modelled SPI bus."""
    ceiling_bps: int = 0
    """TCP payload, one direction, that this bus carries at most."""
    transactions: int = 0
    idle_transactions: int = 0
    interrupts: int = 0
    """Handshake and data-ready edges that the kernel handled."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Duration of each step, in order."""


def networks(found: Sequence[Bss]) -> Table:
    """The result of a scan."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading, justify in (("SSID", "left"), ("BSSID", "left"), ("channel", "right"), ("signal", "right")):
        table.add_column(heading, justify="right" if justify == "right" else "left")
    for bss in found:
        table.add_row(escape(bss.ssid or "(hidden)"), bss.bssid, str(bss.channel), f"{bss.signal:.0f} dBm")
    return table


def throughput(measured: Measured) -> Table:
    """Both directions beside what the bus can carry."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("iperf3, TCP, in the model's time")
    for heading in ("Mbit/s", "of ceiling", "retransmits"):
        table.add_column(heading, justify="right")
    for name, run in (("up", measured.up), ("down", measured.down)):
        if run is not None:
            share = run.received_bps / measured.ceiling_bps
            again = "-" if run.retransmits is None else str(run.retransmits)
            table.add_row(name, f"{run.mbps:.2f}", f"{share:.0%}", again)
    table.add_row(f"ceiling at {measured.clock_hz / 1e6:g} MHz", f"{measured.ceiling_bps / 1e6:.2f}", "", "")
    return table


def durations(seconds: dict[str, float]) -> Table:
    """What each step took, and its share of all."""
    total = sum(seconds.values())
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("step")
    table.add_column("seconds", justify="right")
    table.add_column("share", justify="right")
    for name, value in seconds.items():
        table.add_row(name, f"{value:.1f}", f"{value / total:.0%}" if total else "")
    table.add_row("all", f"{total:.1f}", "", style="bold")
    return table


def render(measured: Measured) -> RenderableType:
    """The whole summary."""
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="bold")
    facts.add_column()
    per_packet = ""
    if measured.transactions:
        per_packet = f" ({measured.idle_transactions} of them with nothing from either side)"
    for name, value in (
        ("kernel", f"{measured.kernel}, unmodified, on {measured.board}"),
        ("driver", f"{measured.driver} on {measured.bus}"),
        ("firmware", measured.firmware),
        ("address", measured.address),
        ("ping", _ping(measured.ping)),
        ("transactions", f"{measured.transactions}{per_packet}"),
        ("interrupts", f"{measured.interrupts} handshake and data-ready edges"),
    ):
        facts.add_row(name, escape(value))
    link = measured.link.text.strip() if measured.link else "Not connected."
    parts: list[RenderableType] = [
        Text("\nSummary", style="bold underline"),
        facts,
        Text("\niw dev wlan0 link", style="bold"),
        _quoted(link.expandtabs(4)),
        Text("\nip -s link show wlan0", style="bold"),
        _quoted(measured.ip_statistics.rstrip()),
        Text(),
        throughput(measured),
        Text(),
        durations(measured.seconds),
    ]
    return Group(*parts)


def _quoted(text: str) -> RenderableType:
    """What a tool printed, as it printed it."""
    return Padding(Text(text, no_wrap=True, overflow="ignore"), (0, 0, 0, 2), expand=False)


def _ping(ping: Ping | None) -> str:
    if ping is None or ping.average is None:
        return "no answer"
    return f"{ping.received} of {ping.sent} answered, {ping.average:.1f} ms on average"
