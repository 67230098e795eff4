# SPDX-License-Identifier: MIT
"""Boards: `boards/<name>.toml` as dataclasses."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from harness import settings
from harness.errors import HarnessError, unknown_name
from harness.paths import REPO

BOARDS = REPO / "boards"
DEFAULT = "imx8mp-evk"
KINDS = ("qemu", "board")


@dataclass(frozen=True)
class QemuMachine:
    """How QEMU is asked for the board."""

    machine: str
    memory: str
    smp: int
    console_serial: int
    """Which `-serial` (from 0) is the guest's console."""
    card: int | None
    """Which SD slot (from 0) the machine starts from; None: it gets kernel and initramfs from QEMU."""


@dataclass(frozen=True)
class Wiring:
    """Where the virtual co-processor is connected: `QOM-path`, lines as `QOM-path:line`."""

    spi: str
    cs: str
    handshake: str
    data_ready: str
    reset: str


@dataclass(frozen=True)
class Spi:
    """The controller that the co-processor is connected to."""

    bus: str
    """Its label in the base DTB."""
    chip_select: int


# How a boot configuration names overlays; harness/bootconfig.py knows each.
BOOT_SCHEMES = ("rpi", "extlinux", "u-boot-menu", "uenv", "armbian")


@dataclass(frozen=True)
class Boot:
    """How the board's boot loader is told which overlays to apply."""

    scheme: str
    """One of BOOT_SCHEMES."""
    config: str | None
    """The configuration file on the board, where it is not the scheme's usual one."""
    overlays: str | None
    """The directory for overlays on the board, where it is not the scheme's usual one."""


@dataclass(frozen=True)
class Image:
    """What `./inv image` puts onto a card besides the driver."""

    suite: str
    """Of the Debian archive."""
    kernel: str
    """Row of kernels.toml."""
    packages: tuple[str, ...] = ()
    """Beyond those that every image has."""
    initramfs: tuple[str, ...] = ()
    """Modules that the kernel needs to find its root file system."""
    components: tuple[str, ...] = ("main",)
    append: tuple[str, ...] = ()
    """Words for the kernel's command line."""


@dataclass(frozen=True)
class Deploy:
    """Details of `./inv deploy`."""

    overlay_name: str = "esp-hosted"
    """Name of the overlay on the board, without suffix."""


@dataclass(frozen=True)
class Board:
    """One board. `qemu` and `wiring` are set where `kind` is "qemu", `boot` where it starts from a card."""

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
    spi: Spi | None
    dtbs: tuple[str, ...] = ()
    """Other base DTBs that the overlay fits."""
    labels: dict[str, str] = field(default_factory=dict)
    """Label to path, for base DTBs that were compiled without labels."""
    shares: tuple[str, ...] = ()
    """Names of nodes that may use the same pins: devices of the real board that its model does not have."""
    connector: str = ""
    """Where the pins are, for people."""
    pins: dict[str, str] = field(default_factory=dict)
    """Signal to "LINE on PIN": the SoC's name of the line, and where it is on the connector."""
    boot: Boot | None = None
    image: Image | None = None
    deploy: Deploy = field(default_factory=Deploy)


def names(directory: Path = BOARDS) -> list[str]:
    """All boards there are."""
    return sorted(path.stem for path in directory.glob("*.toml"))


def load(name: str = DEFAULT, directory: Path = BOARDS) -> Board:
    """The board of that name. HarnessError: unknown name (with the list), mistake in the file."""
    path = directory / f"{name}.toml"
    if name not in names(directory):
        raise unknown_name("board", name, names(directory))
    board = settings.build(Board, settings.read_toml(path), str(path))
    _check(board, path)
    return board


def _check(board: Board, path: Path) -> None:
    """What a dataclass cannot say. HarnessError with file and key."""
    if board.name != path.stem:
        raise HarnessError(f"{path}: name is {board.name!r}, the file's is {path.stem!r}")
    if board.kind not in KINDS:
        raise HarnessError(f"{path}: kind {board.kind!r} is unknown", hint=f"valid: {', '.join(KINDS)}")
    if (board.kind == "qemu") != (board.qemu is not None):
        raise HarnessError(f'{path}: a board of kind "qemu" has a section [qemu], others have none')
    if board.boot is not None and board.boot.scheme not in BOOT_SCHEMES:
        raise HarnessError(
            f"{path}: boot.scheme {board.boot.scheme!r} is unknown", hint=f"valid: {', '.join(BOOT_SCHEMES)}"
        )
