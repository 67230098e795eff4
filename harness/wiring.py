# SPDX-License-Identifier: MIT
"""Which wire goes where: tables and diagrams of a board's connector, made from boards/*.toml."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness import boards, overlays
from harness.boards import Board
from harness.errors import HarnessError, unknown_name
from harness.paths import REPO

DOCUMENT = REPO / "docs" / "boards.md"
BEGIN = "<!-- made by ./inv wiring --write -->"
SIGNALS = ("sclk", "mosi", "miso", "cs", "handshake", "data_ready", "reset")
TITLES = {"sclk": "SCLK", "mosi": "MOSI", "miso": "MISO", "cs": "CS", "handshake": "handshake",
          "data_ready": "data-ready", "reset": "reset"}  # fmt: skip


@dataclass(frozen=True)
class Chip:
    """The pins of a chip that the released firmware uses; protocol notes of ESP-Hosted-NG."""

    name: str
    clock: int
    """What the firmware asks for, in MHz."""
    sclk: int
    mosi: int
    miso: int
    cs: int
    handshake: int
    data_ready: int

    def pin(self, signal: str) -> str:
        """What the signal is connected to on the chip."""
        return "EN" if signal == "reset" else f"IO{getattr(self, signal)}"


CHIPS = (
    Chip("ESP32", 10, 14, 13, 12, 15, 2, 4),
    Chip("ESP32-S2", 30, 12, 11, 13, 10, 2, 4),
    Chip("ESP32-S3", 30, 12, 11, 13, 10, 2, 4),
    Chip("ESP32-C2", 30, 6, 7, 2, 10, 3, 4),
    Chip("ESP32-C3", 30, 6, 7, 2, 10, 3, 4),
    Chip("ESP32-C5", 30, 6, 7, 2, 10, 3, 4),
    Chip("ESP32-C6", 26, 6, 7, 2, 10, 3, 4),
    Chip("ESP32-C61", 26, 6, 7, 2, 8, 3, 4),
)

# What the other pins near ours are: a header's pins are numbered in two rows, odd ones on the left.
_RASPBERRY = {"1": "3V3", "2": "5V", "4": "5V", "6": "GND", "9": "GND", "14": "GND", "17": "3V3", "20": "GND",
              "25": "GND", "30": "GND", "34": "GND", "39": "GND"}  # fmt: skip
_HEADERS = {
    "40-pin header": ([str(pin) for pin in range(1, 41)], _RASPBERRY),
    "Pi-2 bus": ([str(pin) for pin in range(1, 41)], _RASPBERRY),
    "header P9": (
        [f"P9_{pin}" for pin in range(1, 27)],
        {"P9_1": "GND", "P9_2": "GND", "P9_3": "3V3", "P9_4": "3V3", "P9_5": "5V", "P9_6": "5V"},
    ),
    "mikroBUS socket": (
        ["AN", "PWM", "RST", "INT", "CS", "RX", "SCK", "TX", "MISO", "SCL", "MOSI", "SDA", "3V3", "5V", "GND",
         "GND"],
        {},
    ),
}  # fmt: skip


def pin_of(board: Board, signal: str) -> tuple[str, str]:
    """The SoC's line and the connector's pin of a signal. HarnessError: the board's file has none."""
    match = overlays.PIN.fullmatch(board.pins.get(signal, ""))
    if match is None:
        raise HarnessError(
            f"boards/{board.name}.toml does not say where {signal} is",
            hint='add it to [pins], as "LINE on PIN"',
        )
    return match.group("line"), match.group("pin")


def table(board: Board, chips: tuple[Chip, ...] = CHIPS) -> list[str]:
    """The wires as a table in Markdown: signal, the board's side, a column for each pin of the chips."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for chip in chips:
        groups.setdefault(tuple(chip.pin(signal) for signal in SIGNALS), []).append(chip.name)
    heads = [", ".join(names) for names in groups.values()]
    lines = [
        f"| signal | {board.connector} | line | {' | '.join(heads)} |",
        "|---|---|---|" + "---|" * len(heads),
    ]
    for number, signal in enumerate(SIGNALS):
        line, pin = pin_of(board, signal)
        ends = " | ".join(pins[number] for pins in groups)
        lines.append(f"| {TITLES[signal]} | {pin} | {line} | {ends} |")
    return lines


def diagram(board: Board) -> list[str]:
    """The connector with what is on it, in two rows, as far down as there is a wire."""
    if board.connector not in _HEADERS:
        raise HarnessError(
            f"there is no drawing of {board.connector!r}", hint=f"there are: {', '.join(_HEADERS)}"
        )
    order, labels = _HEADERS[board.connector]
    used = {pin_of(board, signal)[1]: TITLES[signal] for signal in SIGNALS}
    if unknown := set(used) - set(order):
        raise HarnessError(f"{board.connector} has no pin {', '.join(sorted(unknown))}")
    rows = [order[at : at + 2] for at in range(0, len(order), 2)]
    last = max(number for number, row in enumerate(rows) if set(row) & set(used))
    # Power and ground below the last wire are of no use to anybody who has the ones above it.
    rows = rows if not labels else rows[: last + 1]
    return [
        f"{_text(left, used, labels):>12} {left:>5} o o {right:<5} {_text(right, used, labels)}".rstrip()
        for left, right in rows
    ]


def _text(pin: str, used: dict[str, str], labels: dict[str, str]) -> str:
    return used.get(pin) or labels.get(pin, "")


def drawn_boards() -> list[Board]:
    """The boards with a connector that wires go to."""
    return [board for board in (boards.load(name) for name in boards.names()) if board.connector]


def section(board: Board) -> list[str]:
    """A board's part of docs/boards.md."""
    trees = ", ".join(f"`{Path(name).name}`" for name in (board.dtb, *board.dtbs))
    return [
        f"## {board.name}: {board.description}",
        "",
        f"Overlay `dts/overlays/{board.overlay}`, for {trees}.",
        "",
        *table(board),
        "",
        "```",
        *diagram(board),
        "```",
        "",
    ]


def made() -> str:
    """What docs/boards.md has below BEGIN."""
    lines: Iterator[str] = (line for board in drawn_boards() for line in section(board))
    return "\n".join(lines).rstrip("\n") + "\n"


def write() -> None:
    """Bring docs/boards.md up to date with boards/*.toml."""
    text = DOCUMENT.read_text(encoding="utf-8")
    head, found, _ = text.partition(BEGIN)
    if not found:
        raise HarnessError(f"{DOCUMENT} has no line {BEGIN}")
    DOCUMENT.write_text(f"{head}{BEGIN}\n\n{made()}", encoding="utf-8")


def show(name: str, chip: str = "") -> None:
    """Print how a board is wired to one chip, or to all."""
    board = boards.load(name)
    known = {re.sub(r"\W", "", one.name).lower(): one for one in CHIPS}
    wanted = re.sub(r"\W", "", chip).lower()
    if wanted and wanted not in known:
        raise unknown_name("chip", chip, known)
    print("\n".join([*table(board, (known[wanted],) if wanted else CHIPS), "", *diagram(board)]))
