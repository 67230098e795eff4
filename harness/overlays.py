# SPDX-License-Identifier: MIT
"""Is an overlay right for a board? The merged devicetree is read as the kernel reads it."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from harness import bindings, boards, devicetree, dtbs, hostdeps, paths, progress
from harness.boards import Board
from harness.cache import write_json
from harness.fdt import Node, Tree
from harness.pinmux import Line, Pins

COMPATIBLES = ("espressif,esp-hosted", "espressif,esp32-spi")
INPUTS = ("handshake", "data-ready")
OPTIONAL = ("reset",)
ACTIVE_LOW = 1
# A pin in boards/*.toml: the line's name, and where it is on the connector.
PIN = re.compile(r"(?P<line>\S+) on (?P<pin>\S+)")
BUS_SIGNALS = ("sclk", "mosi", "miso", "cs")


@dataclass(frozen=True)
class Verdict:
    """One overlay on one base DTB of one kernel."""

    board: str
    dtb: str
    kernel: str
    """Row of the table of kernels and the release."""
    findings: tuple[str, ...] = ()
    missing: str = ""
    """Why there is nothing to check: this kernel has no such DTB, or a DTB without what the overlay needs."""

    @property
    def good(self) -> bool:
        """True if the overlay was applied and nothing was found."""
        return not self.findings and not self.missing


def check(tree: Tree, board: Board) -> list[str]:
    """What is wrong with the co-processor in a merged devicetree, and with what a board's file says of it."""
    devices = [node for node in tree.root.walk() if set(node.strings("compatible")) & set(COMPATIBLES)]
    if not devices:
        return ["no co-processor in the merged devicetree"]
    found = []
    pins = Pins(tree, board.labels)
    for device in devices:
        found += [f"{device.path}: {text}" for text in _check_device(device, pins, board.shares)]
    if len(devices) == 1 and board.pins:
        found += _check_wiring(devices[0], pins, board)
    return found


def lines(device: Node, pins: Pins) -> dict[str, Line]:
    """The co-processor's GPIOs by signal, chip select included where it is a GPIO."""
    found: dict[str, Line | None] = {}
    for signal in (*INPUTS, *OPTIONAL):
        listed = pins.lines(device, f"{signal}-gpios")
        found[signal] = listed[0] if listed else None
    if device.parent is not None:
        selects = pins.lines(device.parent, "cs-gpios")
        number = (device.cells("reg") or (0,))[0]
        if number < len(selects):
            found["cs"] = selects[number]
    return {signal: line for signal, line in found.items() if line is not None}


def _check_device(device: Node, pins: Pins, shares: tuple[str, ...]) -> Iterator[str]:
    bus = device.parent
    if bus is None or not bus.name.startswith("spi"):
        yield "is not below an SPI controller"
        return
    if not device.enabled:
        yield "is switched off, or its SPI controller is"
    for property_ in ("spi-max-frequency", "spi-cpol", "reg"):
        if property_ not in device.properties:
            yield f"has no {property_}"
    if "spi-cpha" in device.properties:
        yield "has spi-cpha: the protocol needs SPI mode 2"
    for other in bus.children:
        if other is not device and other.cells("reg") == device.cells("reg") and other.enabled:
            yield f"{other.name} has the same chip select and is switched on"
    used = lines(device, pins)
    yield from _check_lines(used)
    yield from _check_conflicts(device, bus, used, pins, shares)


def _check_lines(used: dict[str, Line]) -> Iterator[str]:
    for signal in (*INPUTS, *OPTIONAL):
        if signal not in used:
            yield f"{signal}-gpios is missing, or refers to no node"
    for signal, line in used.items():
        properties = line.controller.properties
        if "gpio-controller" not in properties:
            yield f"{signal}: {line.controller.path} is no GPIO controller"
        elif not line.controller.enabled:
            yield f"{signal}: {line.controller.path} is switched off"
        if signal in INPUTS:
            if line.flags & ACTIVE_LOW:
                yield f"{signal} is active high"
            if "interrupt-controller" not in properties:
                yield f"{signal}: {line.controller.path} raises no interrupts"
        elif not line.flags & ACTIVE_LOW:
            yield f"{signal} is active low"


def _check_conflicts(
    device: Node, bus: Node, used: dict[str, Line], pins: Pins, shares: tuple[str, ...]
) -> Iterator[str]:
    """No pin twice: neither among ours nor with any other enabled node."""
    ours = {pins.pin(line): signal for signal, line in used.items()}
    if len(ours) != len(used):
        yield "two signals on one pin"
    for name, line in pins.gpios(bus):
        pin = pins.pin(line)
        if name != "cs-gpios" and ours.setdefault(pin, name) != name:
            yield f"{ours[pin]} and {name} are on one pin"
    for pin in pins.muxed(bus):
        if ours.setdefault(pin, "bus") not in ("bus", "cs"):
            yield f"{ours[pin]} is on a pin of the bus"
    # A GPIO controller may itself set up the pins that it offers.
    own = {device, bus, *(line.controller for line in used.values())}
    for node, how, pin in pins.users():
        if node in (device, bus) or (node in own and how == "pin group") or node.name in shares:
            continue
        if pin in ours:
            yield f"the pin of {ours[pin]} is also used by {node.path} ({how})"


def _check_wiring(device: Node, pins: Pins, board: Board) -> Iterator[str]:
    """The board's file names the lines that the devicetree has."""
    told = {}
    for signal, text in board.pins.items():
        if match := PIN.fullmatch(text):
            told[signal.replace("_", "-")] = match.group("line")
        else:
            yield f"boards/{board.name}.toml: pin {text!r} is not of the form LINE on PIN"
    for signal, line in lines(device, pins).items():
        if told.get(signal) != pins.name(line):
            yield f"{signal} is {pins.name(line)}, boards/{board.name}.toml says {told.get(signal)}"
    bus = device.parent
    if bus is None:
        return
    names = pins.names()
    muxed = {names.get(pin, str(pin)) for pin in pins.muxed(bus)}
    muxed |= {pins.name(line) for _, line in pins.gpios(bus)}
    wanted = {told.get(signal, "") for signal in BUS_SIGNALS}
    # A devicetree of another boot loader may leave the bus's pins as that has set them up.
    if muxed and not wanted <= muxed:
        has, says = ", ".join(sorted(muxed)), ", ".join(sorted(wanted))
        yield f"the bus has {has}, boards/{board.name}.toml says {says}"


# The table.


def examine(board: Board, kernel: str, bases: dtbs.Bases, schema: Path) -> list[Verdict]:
    """Apply a board's overlay to all its base DTBs of a kernel, check and validate each."""
    overlay = devicetree.OVERLAYS / board.overlay
    work = paths.run_dir() / "overlays"
    work.mkdir(exist_ok=True)
    found: list[Verdict] = []
    merged: dict[str, Path] = {}
    for name in (board.dtb, *board.dtbs):
        base = bases.find(name)
        if base is None:
            found.append(Verdict(board.name, name, kernel, missing="no DTB"))
            continue
        result = work / f"{board.name}-{kernel}-{Path(name).stem}.dtb".replace("/", "-")
        try:
            devicetree.merge_files(base, overlay, result, board.labels)
        except devicetree.MissingLabelError as error:
            found.append(Verdict(board.name, name, kernel, missing=f"no {', '.join(error.labels)}"))
            continue
        merged[name] = result
    invalid = bindings.validate(list(merged.values()), schema) if merged else {}
    for name, result in merged.items():
        findings = [*check(Tree.load(result), board), *invalid[result]]
        found.append(Verdict(board.name, name, kernel, tuple(findings)))
    return found


def examined_boards() -> list[Board]:
    """The boards whose base DTBs the distribution ships."""
    found = [boards.load(name) for name in boards.names()]
    return [board for board in found if "/" in board.dtb or board.arch == "armhf"]


def report(names: tuple[str, ...] = (), output: Path | None = None) -> bool:
    """Print overlay x base DTB x kernel for these kernels (all stock ones); True if nothing is wrong.

    The same goes into overlays.html and overlays.json in `output` (this run's directory).
    """
    hostdeps.require("dtb")
    schema = bindings.schema()
    verdicts: list[Verdict] = []
    for kernel, bases in dtbs.all_bases(names):
        for board in examined_boards():
            if board.arch == bases.arch:
                verdicts += examine(board, kernel, bases, schema)
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 240, record=True)
    console.print(render(verdicts), soft_wrap=True)
    for one in verdicts:
        for text in one.findings:
            console.print(f"{one.board}, {one.dtb}, {one.kernel}: {text}", markup=False)
    directory = output or paths.run_dir()
    directory.mkdir(parents=True, exist_ok=True)
    write_json(directory / "overlays.json", [asdict(one) for one in verdicts])
    console.save_html(str(directory / "overlays.html"))
    progress.say(f"the same for machines and browsers: {directory}/overlays.json, overlays.html")
    return all(not one.findings for one in verdicts)


def render(verdicts: list[Verdict]) -> Table:
    """Boards and base DTBs down, kernels across."""
    table = Table(box=None)
    table.add_column("overlay", no_wrap=True)
    table.add_column("base DTB", no_wrap=True)
    columns = list(dict.fromkeys(one.kernel for one in verdicts))
    for name in columns:
        table.add_column(name, no_wrap=True)
    by_place = {(one.board, one.dtb, one.kernel): one for one in verdicts}
    for board, dtb in dict.fromkeys((one.board, one.dtb) for one in verdicts):
        row = [_cell(by_place.get((board, dtb, kernel))) for kernel in columns]
        table.add_row(board, Path(dtb).stem, *row)
    return table


def _cell(verdict: Verdict | None) -> str:
    if verdict is None:
        return ""
    if verdict.findings:
        return f"[red]{len(verdict.findings)} findings[/]"
    return f"[dim]{verdict.missing}[/]" if verdict.missing else "[green]ok[/]"
