# SPDX-License-Identifier: MIT
"""The module for the kernel that a board runs: cross-compiled for a distribution's, or compiled on the board.

Whichever way it was made, it is checked against the kernel's own configuration, symbols and modules before it
goes anywhere.
"""

from __future__ import annotations

import io
import shutil
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

from harness import commands, kernels, module, paths, progress
from harness.errors import HarnessError
from harness.kernels import Kernel, UnavailableError
from harness.survey import Survey
from harness.target import Target

BUILD_SECONDS = 1800.0
# The six letters that mktemp(1) replaces, of busybox as well.
BUILD_TEMPLATE = "/var/tmp/esp-hosted-build." + 6 * "X"
STRIP = ("--strip-debug",)


@dataclass(frozen=True)
class Built:
    """A module for a board."""

    content: bytes
    """Stripped of debugging information."""
    how: str
    """For people: what it was built with."""


def build(target: Target, seen: Survey, *, untested: bool = False) -> Built:
    """Build and check the module for a board's running kernel.

    HarnessError: the kernel is newer than any that was tested (unless `untested`), or there are no headers of
    exactly this kernel, neither in Debian's archive nor on the board.
    """
    newest = max(_series(row.series) for row in kernels.table().kernel.values() if row.series)
    if seen.series > newest and not untested:
        raise HarnessError(
            f"the board's kernel {seen.release} is newer than any that was tested "
            f"({newest[0]}.{newest[1]} at most)",
            hint="--untested builds for it all the same; nothing is installed that does not fit",
        )
    found, near = _of_debian(seen)
    if found:
        return Built(cross(found), f"cross-compiled with Debian's headers {found.version}")
    if seen.headers and seen.compiler:
        return Built(_native(target, seen), "compiled on the board with its own headers")
    lacks = "no kernel headers" if not seen.headers else "no compiler"
    other = f"; Debian's is {near} now" if near else ""
    raise HarnessError(
        f"no headers for exactly the board's kernel {seen.release} ({seen.package_version or 'not Debian'}"
        f"{other}), and the board has {lacks}",
        hint="on the board: apt-get install gcc make linux-headers-$(uname -r), or upgrade its kernel",
    )


def _series(text: str) -> tuple[int, int]:
    major, _, minor = text.partition(".")
    return int(major), int(minor)


def _of_debian(seen: Survey) -> tuple[Kernel | None, str]:
    """The kernel of kernels.toml that is the board's, and the version of one that almost is."""
    near = ""
    if not seen.package_version:
        return None, near
    for name, row in kernels.table().kernel.items():
        if row.provider != "debian" or row.arch != seen.arch or _series(row.series) != seen.series:
            continue
        if bool(row.flavour) != (
            f"-{row.flavour}-" in seen.release if row.flavour else "-rt-" in seen.release
        ):
            continue
        try:
            found = kernels.resolve(name)
        except UnavailableError as error:
            progress.warn(error.message)
            continue
        if (found.release, found.version) == (seen.release, seen.package_version):
            return found, near
        near = found.version
    return None, near


def cross(kernel: Kernel) -> bytes:
    """The module, built here and stripped of debugging information. Errors as `module.build`."""
    built = module.build(kernel)
    with tempfile.TemporaryDirectory(dir=paths.cache_root(), prefix="strip-") as scratch:
        place = Path(scratch) / built.name
        shutil.copyfile(built, place)
        strip: list[str | Path] = [f"{kernel.toolchain.prefix}strip", *STRIP, place]
        commands.run(
            kernel.toolchain.command(strip, writable=[place.parent]),
            log="module",
            what=f"stripping {built.name}",
        )
        module.inspect(place, kernel)
        return place.read_bytes()


def _native(target: Target, seen: Survey) -> bytes:
    """Compile on the board in a directory that is gone afterwards; check the result here."""
    place = target.run(["mktemp", "-d", BUILD_TEMPLATE]).stdout.strip()
    headers = f"/lib/modules/{seen.release}/build"
    try:
        with progress.step(f"compile on {target.name}", always=True):
            target.write_file(f"{place}/driver.tar", _sources())
            target.run(["tar", "-xf", f"{place}/driver.tar", "-C", place])
            make = f"make -C {headers} M={place}/driver -j$(nproc) modules >{place}/log 2>&1"
            if not target.run(make, timeout=BUILD_SECONDS, check=False).ok:
                said = target.run(["tail", "-n", "20", f"{place}/log"], check=False).stdout
                raise HarnessError(
                    f"the module does not compile on the board for {seen.release}:\n{said}",
                    hint="are its headers complete? apt-get install --reinstall linux-headers-$(uname -r)",
                )
            target.run(["strip", *STRIP, f"{place}/driver/{module.NAME}.ko"])
        with tempfile.TemporaryDirectory(dir=paths.cache_root(), prefix="board-") as scratch:
            built = Path(scratch) / f"{module.NAME}.ko"
            built.write_bytes(target.read_file(f"{place}/driver/{module.NAME}.ko"))
            module.inspect(built, _fetched(target, seen, Path(scratch)))
            return built.read_bytes()
    finally:
        target.run(["rm", "-rf", place], check=False)


def _sources() -> bytes:
    packed = io.BytesIO()
    with tempfile.TemporaryDirectory(dir=paths.cache_root(), prefix="driver-") as scratch:
        module.mirror(module.DRIVER, Path(scratch) / "driver", module.IGNORED)
        with tarfile.open(fileobj=packed, mode="w") as archive:
            archive.add(Path(scratch) / "driver", "driver")
    return packed.getvalue()


def _fetched(target: Target, seen: Survey, scratch: Path) -> Kernel:
    """What the check needs of the board's kernel."""
    base = f"/lib/modules/{seen.release}"
    for name in (".config", "Module.symvers"):
        (scratch / name).write_bytes(target.read_file(f"{base}/build/{name}"))
    stock = target.run(f"find {base}/kernel -name 'cfg80211.ko*'").stdout.split()
    if not stock:
        raise HarnessError(
            f"the board's kernel {seen.release} has no cfg80211 module: the driver needs it",
            hint="its configuration has to have CONFIG_CFG80211=m",
        )
    copy = scratch / "modules" / "kernel" / Path(stock[0]).name
    copy.parent.mkdir(parents=True)
    copy.write_bytes(target.read_file(stock[0]))
    return Kernel(
        name=seen.release,
        release=seen.release,
        version=seen.package_version,
        arch=seen.arch,
        image=scratch,
        modules=scratch / "modules",
        dtbs=scratch,
        build=scratch,
        config=scratch / ".config",
        symvers=scratch / "Module.symvers",
        board="",
    )
