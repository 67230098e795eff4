# SPDX-License-Identifier: MIT
"""Kernels to build for and to boot: `kernels.toml` rows become directories in the cache."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness import settings
from harness.errors import unknown_name
from harness.paths import REPO

TABLE = REPO / "kernels.toml"


@dataclass(frozen=True)
class Row:
    """One row of kernels.toml."""

    provider: str
    suite: str
    series: str
    arch: str
    board: str
    tags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Table:
    """The whole of kernels.toml."""

    default: str
    kernel: dict[str, Row]


@dataclass(frozen=True)
class Kernel:
    """A kernel that is there, ready to build for and to boot. All paths are absolute."""

    name: str
    """The row's name in kernels.toml."""
    release: str
    """What `uname -r` says."""
    version: str
    """The version of the package it comes from."""
    arch: str
    """Debian's name of the architecture: arm64."""
    image: Path
    """What QEMU's -kernel takes."""
    modules: Path
    """The directory lib/modules/<release>."""
    dtbs: Path
    """The directory below which boards name their base DTB."""
    build: Path
    """The directory for `make -C` of an external module."""
    config: Path
    """The kernel's .config."""
    symvers: Path
    """The kernel's Module.symvers."""
    board: str
    """The board it is booted on unless told otherwise."""


def table(path: Path = TABLE) -> Table:
    """The rows there are. HarnessError names file and key of a mistake."""
    return settings.build(Table, settings.read_toml(path), str(path))


def row(name: str | None = None, path: Path = TABLE) -> tuple[str, Row]:
    """Name and row; the default row for None. HarnessError: unknown name, with the list."""
    rows = table(path)
    name = name or rows.default
    if name not in rows.kernel:
        raise unknown_name("kernel", name, rows.kernel)
    return name, rows.kernel[name]
