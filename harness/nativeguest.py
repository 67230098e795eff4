# SPDX-License-Identifier: MIT
"""What the guest lacks to compile a module in itself: compiler, make, DKMS, dpkg and a kernel's headers.

Packages are unpacked, not configured: of what their scripts would do only the few alternatives that a build
uses are set. dpkg knows them as installed, so that it checks dependencies of what is installed on top.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from harness import commands, cpio, debian, hostdeps, kernels, pins, progress, rootfs
from harness.cache import Cache, digest
from harness.errors import HarnessError
from harness.kernels import Kernel

PACKAGES = (
    "bash", "coreutils", "dash", "debianutils", "diffutils", "findutils", "grep", "gzip", "hostname",
    "libc-bin", "mawk", "patch", "perl-base", "sed", "tar", "util-linux", "xz-utils",
    "dkms", "dpkg", "gcc-12", "gcc", "kmod", "libc6-dev", "make",
    # What linux-kbuild depends on.
    "libelf1", "libssl3", "pahole", "zlib1g",
)  # fmt: skip
# Never used, and large.
DROPPED = (
    "usr/share/doc", "usr/share/info", "usr/share/lintian", "usr/share/locale", "usr/share/man",
    "usr/lib/gcc/*/*/lto1", "usr/lib/gcc/*/*/*san*", "usr/lib/*/lib*san.*",
)  # fmt: skip
# What update-alternatives would have set.
ALTERNATIVES = {"awk": "mawk", "cc": "gcc", "which": "which.debianutils"}
# Part of the cache key: change it when something else is put together.
RECIPE = 1


def build(kernel: Kernel) -> Path:
    """An archive to append to the guest's initramfs. HarnessError: the headers are not packages of Debian."""
    hostdeps.require("rootfs")
    _, row = kernels.row(kernel.name)
    if row.provider != "debian":
        raise HarnessError(
            f"kernel {kernel.name} has no packages with headers", hint="take a row of Debian's"
        )

    def ask() -> dict[str, Any]:
        archive = debian.Archive(rootfs.SUITE, kernel.arch)
        archive.update()
        own = debian.Archive(row.suite, kernel.arch)
        return {"packages": _listed(archive.closure(PACKAGES)), "headers": _listed(_headers(own, kernel))}

    def key(record: dict[str, Any]) -> str:
        return digest("native-guest", RECIPE, record, DROPPED, ALTERNATIVES)

    cache = Cache()
    place = f"native-{rootfs.SUITE}-{kernel.release}-{digest(PACKAGES)[:8]}"
    record = pins.pinned(place, ask, lambda one: cache.has("guest-native", key(one)))

    def make(directory: Path) -> None:
        with tempfile.TemporaryDirectory(dir=directory.parent) as scratch:
            tree = Path(scratch)
            for suite, part in ((rootfs.SUITE, "packages"), (row.suite, "headers")):
                packages = [debian.Package(**one) for one in record[part]]
                debian.Archive(suite, kernel.arch).download(packages, lambda files: _unpack(files, tree))
            _finish(tree)
            with (directory / "native.cpio").open("wb") as target:
                cpio.write(tree, target)

    entry = cache.entry("guest-native", key(record), make, f"compiler for {kernel.release}", fetches=True)
    return entry / "native.cpio"


def _listed(packages: Iterable[debian.Package]) -> list[dict[str, str]]:
    return [{"name": one.name, "version": one.version, "arch": one.arch} for one in packages]


def _headers(archive: debian.Archive, kernel: Kernel) -> list[debian.Package]:
    """The kernel's header packages with programs for the guest's own architecture."""
    release = kernel.release.removesuffix(f"-{kernel.arch}")
    names = [f"linux-headers-{kernel.release}", f"linux-headers-{release}-common", f"linux-kbuild-{release}"]
    found = []
    for name in names:
        same = [one for one in archive.find(name, kernel.arch) if one.version == kernel.version]
        if not same:
            raise HarnessError(
                f"{archive.suite} no longer has {name} {kernel.version}", hint="./inv kernel --refresh"
            )
        found.append(same[0])
    return found


def _unpack(packages: Iterable[Path], tree: Path) -> None:
    status = tree / "var" / "lib" / "dpkg" / "status"
    for name in ("info", "updates", "triggers"):
        (status.parent / name).mkdir(parents=True, exist_ok=True)
    with progress.step("unpack compiler and headers") as step, status.open("a", encoding="utf-8") as known:
        for package in packages:
            step.update(detail=package.name)
            debian.extract(package, tree)
            fields = commands.output(["dpkg-deb", "--field", package]).rstrip("\n")
            known.write(f"{fields}\nStatus: install ok installed\n\n")


def _finish(tree: Path) -> None:
    rootfs.merge_usr(tree)
    for pattern in DROPPED:
        for path in tree.glob(pattern):
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    for name, target in ALTERNATIVES.items():
        (tree / "usr" / "bin" / name).unlink(missing_ok=True)
        (tree / "usr" / "bin" / name).symlink_to(target)
    # The archive that this one follows has these links already.
    for name in rootfs.MERGED:
        (tree / name).unlink(missing_ok=True)
