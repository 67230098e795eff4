# SPDX-License-Identifier: MIT
"""Boards: `boards/<name>.toml` as dataclasses."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness import settings
from harness.errors import unknown_name
from harness.paths import REPO

BOARDS = REPO / "boards"
DEFAULT = "imx8mp-evk"


@dataclass(frozen=True)
class QemuMachine:
    """How QEMU is asked for the board."""

    machine: str
    memory: str
    smp: int
    console_serial: int
    """Which `-serial` (from 0) is the guest's console."""


@dataclass(frozen=True)
class Wiring:
    """Where the virtual co-processor is connected: `QOM-path`, lines as `QOM-path:line`."""

    spi: str
    cs: str
    handshake: str
    data_ready: str
    reset: str


@dataclass(frozen=True)
class Board:
    """One board. `qemu` and `wiring` are set where `kind` is "qemu"."""

    name: str
    description: str
    kind: str
    arch: str
    dtb: str
    """The base DTB, relative to a kernel's DTB directory."""
    overlay: str
    """File name below dts/overlays/."""
    console: str
    requires: tuple[str, ...]
    """Kconfig symbols (no CONFIG_ prefix) that a kernel must have, as y or m."""
    modules: tuple[str, ...]
    """Modules that the guest loads at boot."""
    qemu: QemuMachine | None
    wiring: Wiring | None


def names(directory: Path = BOARDS) -> list[str]:
    """All boards there are."""
    return sorted(path.stem for path in directory.glob("*.toml"))


def load(name: str = DEFAULT, directory: Path = BOARDS) -> Board:
    """The board of that name. HarnessError: unknown name (with the list), mistake in the file."""
    path = directory / f"{name}.toml"
    if name not in names(directory):
        raise unknown_name("board", name, names(directory))
    table = settings.read_toml(path)
    return settings.build(Board, table, str(path))
