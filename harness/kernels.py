# SPDX-License-Identifier: MIT
"""Kernels to build for and to boot: `kernels.toml` rows become directories in the cache."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from harness import commands, debian, hostdeps, pins, settings
from harness.boards import Board
from harness.cache import Cache, digest
from harness.errors import HarnessError, unknown_name
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


def resolve(name: str | None = None) -> Kernel:
    """Fetch or find the kernel of a row of kernels.toml (the default row for None).

    HarnessError: unknown name, nothing of that series in the suite, no network and not cached.
    """
    name, chosen = row(name)
    if chosen.provider not in PROVIDERS:
        raise unknown_name(f"provider (kernel {name!r})", chosen.provider, PROVIDERS)
    return PROVIDERS[chosen.provider](name, chosen)


def config(path: Path) -> dict[str, str]:
    """A .config as a dictionary, without the CONFIG_ prefix; what is not set is not in it."""
    text = path.read_text(encoding="utf-8")
    return {key: value.strip('"') for key, value in re.findall(r"^CONFIG_(\w+)=(.*)$", text, re.MULTILINE)}


def check(kernel: Kernel, board: Board) -> None:
    """Refuse a kernel that cannot work on a board. HarnessError names what it lacks."""
    if kernel.arch != board.arch:
        raise HarnessError(f"kernel {kernel.name} is for {kernel.arch}, board {board.name} is {board.arch}")
    symbols = config(kernel.config)
    missing = [symbol for symbol in board.requires if symbols.get(symbol) not in ("y", "m")]
    if missing:
        raise HarnessError(
            f"kernel {kernel.name} ({kernel.release}) is built without {', '.join(missing)}, "
            f"which board {board.name} needs",
            hint=f"other kernels: {', '.join(name for name in table().kernel if name != kernel.name)}",
        )
    if not (kernel.dtbs / board.dtb).exists():
        raise HarnessError(
            f"kernel {kernel.name} ({kernel.release}) has no {board.dtb} for board {board.name}"
        )


# Provider "debian".


def _debian(name: str, chosen: Row) -> Kernel:
    cache = Cache()

    def key(packages: list[dict[str, str]]) -> str:
        return digest("debian-kernel", DEBIAN_LAYOUT, packages)

    record = pins.pinned(
        f"kernel-{name}",
        partial(_debian_ask, name, chosen),
        lambda value: cache.has("kernel", key(value["packages"])),
    )
    release: str = record["release"]
    packages = [debian.Package(**package) for package in record["packages"]]

    def fetch(directory: Path) -> None:
        hostdeps.require("rootfs")
        archive = debian.Archive(chosen.suite, chosen.arch)
        archive.download(packages, lambda files: _debian_unpack(files, release, directory))

    title = f"kernel {release}"
    tree = cache.entry("kernel", key(record["packages"]), fetch, title, fetches=True)
    headers = tree / f"usr/src/linux-headers-{release}"
    return Kernel(
        name=name,
        release=release,
        version=record["version"],
        arch=chosen.arch,
        image=tree / f"boot/vmlinuz-{release}",
        modules=tree / f"lib/modules/{release}",
        dtbs=tree / f"usr/lib/linux-image-{release}",
        build=headers,
        config=headers / ".config",
        symvers=headers / "Module.symvers",
        board=chosen.board,
    )


# Part of the cache key: change it when _debian_unpack does something else.
DEBIAN_LAYOUT = 1


def _debian_ask(name: str, chosen: Row) -> dict[str, Any]:
    """The newest image of the series that has headers too, as a record of pins."""
    archive = debian.Archive(chosen.suite, chosen.arch)
    archive.update()
    series = re.escape(chosen.series)
    pattern = rf"linux-image-({series}(?:[.+-][0-9][^-]*)*(?:-[0-9]+)?)-{chosen.arch}"
    images: dict[str, debian.Package] = {}
    for image in archive.names(pattern):
        if found := archive.find(image):
            newest = debian.newest(one.version for one in found)
            images[newest] = next(one for one in found if one.version == newest)
    while images:
        image_package = images.pop(debian.newest(images))
        packages = _debian_headers(archive, image_package)
        if packages:
            records = [
                {"name": one.name, "version": one.version, "arch": one.arch}
                for one in (image_package, *packages)
            ]
            release = image_package.name.removeprefix("linux-image-")
            return {"release": release, "version": image_package.version, "packages": records}
    raise HarnessError(
        f"kernel {name}: {chosen.suite} has no kernel {chosen.series} for {chosen.arch} with its headers",
        hint="change suite or series of this row in kernels.toml, or choose another kernel",
    )


def _debian_headers(archive: debian.Archive, image: debian.Package) -> list[debian.Package]:
    """The header packages that belong to an image, in the same version; empty if one is missing."""
    release = image.name.removeprefix("linux-image-")
    headers = [one for one in archive.find(f"linux-headers-{release}") if one.version == image.version]
    if not headers:
        return []
    names = re.findall(r"(linux-headers-\S+-common|linux-kbuild-[^\s,]+)", headers[0].depends)
    found = [headers[0]]
    for name in dict.fromkeys(names):
        # linux-kbuild holds programs: they have to run here.
        same = [one for one in archive.find(name, debian.host_arch()) if one.version == image.version]
        if not same:
            return []
        found.append(same[0])
    return found


def _debian_unpack(files: Iterable[Path], release: str, directory: Path) -> None:
    """Unpack image and headers, make the headers independent of where they are, index the modules."""
    for path in files:
        debian.extract(path, directory)
    (directory / "lib/modules" / release / "build").unlink(missing_ok=True)
    (directory / "lib/modules" / release / "source").unlink(missing_ok=True)
    for makefile in directory.glob("usr/src/linux-headers-*/Makefile"):
        text = makefile.read_text(encoding="utf-8")
        here = "$(dir $(lastword $(MAKEFILE_LIST)))"
        makefile.write_text(
            re.sub(r"^include /usr/src/", f"include {here}../", text, flags=re.MULTILINE), encoding="utf-8"
        )
    for link in directory.rglob("*"):
        if link.is_symlink() and link.readlink().is_absolute():
            inside = directory / link.readlink().relative_to("/")
            link.unlink()
            link.symlink_to(os.path.relpath(inside, link.parent))
    commands.run(
        ["depmod", "--basedir", directory, release], log="kernel", what="indexing the kernel's modules"
    )


PROVIDERS = {"debian": _debian}
