# SPDX-License-Identifier: MIT
"""What the system itself has to provide: what for, how to see whether it is there, how to get it."""

from __future__ import annotations

import functools
import os
import re
import shutil
import sys
import sysconfig
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from harness import commands, progress, settings
from harness.errors import HarnessError

_SEARCH = os.environ.get("PATH", os.defpath) + commands.SBIN


@dataclass(frozen=True)
class Dependency:
    """A thing of the system. `command`, `module` (pkg-config) or `file` (a pattern) tells if it is there."""

    package: str
    """Debian's package that has it."""
    why: str
    command: str | None = None
    module: str | None = None
    file: str | None = None
    version: tuple[str, ...] = ("--version",)

    def present(self) -> bool:
        """True if it is there."""
        if self.command:
            return shutil.which(self.command, path=_SEARCH) is not None
        if self.file:
            return self._file() is not None
        return bool(self.module) and bool(
            commands.output(["pkg-config", "--modversion", str(self.module)], check=False)
            if shutil.which("pkg-config")
            else ""
        )

    def describe(self) -> str:
        """Its version, or its path where it tells none."""
        if self.module:
            return commands.output(["pkg-config", "--modversion", self.module], check=False).strip()
        if self.command:
            path = shutil.which(self.command, path=_SEARCH) or self.command
            text = commands.output([path, *self.version], check=False) if self.version else ""
            number = re.search(r"\d+(\.\d+)+\S*", text)
            return number.group().rstrip("),") if number else path
        return str(self._file() or self.file)

    def _file(self) -> Path | None:
        """The first file that fits the pattern."""
        return next(iter(sorted(Path("/").glob(str(self.file).lstrip("/")))), None)


_ARCHIVE = (
    Dependency("apt", "reads Debian's archive", command="apt-get"),
    Dependency("dpkg", "unpacks packages", command="dpkg-deb"),
    Dependency(
        "debian-archive-keyring",
        "the keys that sign Debian's archive",
        file="/usr/share/keyrings/debian-archive-keyring.gpg",
    ),
)
_CROSS = Dependency("gcc-aarch64-linux-gnu", "compiles the module for arm64", command="aarch64-linux-gnu-gcc")
_CROSS_ARMHF = Dependency(
    "gcc-arm-linux-gnueabihf", "compiles the module for armhf", command="arm-linux-gnueabihf-gcc"
)
_MODULE = (
    *_ARCHIVE,
    _CROSS,
    Dependency("gcc", "compiles the kernel's build helpers", command="gcc"),
    Dependency("libc6-dev", "headers for the kernel's build helpers", file="/usr/include/stdio.h"),
    Dependency("make", "runs the kernel's build system", command="make"),
    Dependency("dwarves", "type information in modules (pahole)", command="pahole"),
    Dependency("bc", "used by the kernel's build system", command="bc", version=()),
    Dependency("kmod", "indexes modules (depmod)", command="depmod"),
    Dependency("xz-utils", "unpacks the kernel's modules", command="xz"),
)
_DTB = (
    Dependency("device-tree-compiler", "compiles overlays", command="dtc"),
    Dependency("device-tree-compiler", "merges overlays into a devicetree", command="fdtoverlay"),
)
_ROOTFS = (*_ARCHIVE, _MODULE[-2], _MODULE[-1])
_RUN = (
    Dependency("iperf3", "the far end of throughput tests", command="iperf3"),
    Dependency("tcpdump", "reads captures", command="tcpdump"),
)
_TEST = (
    Dependency("cpio", "unpacks the guest's initramfs in tests", command="cpio"),
    Dependency("tshark", "dissects recordings in tests", command="tshark"),
    Dependency("mount", "loop devices that stand for cards in tests", command="losetup"),
)
_LINT = (
    *_MODULE,
    *_DTB,
    Dependency("sparse", "checks annotations of kernel code", command="sparse"),
    Dependency("shellcheck", "checks shell scripts", command="shellcheck"),
    Dependency("perl", "runs checkpatch", command="perl"),
)
_LINT_FULL = (
    Dependency("clang", "compiles the module as others do", command="clang"),
    Dependency("coccinelle", "runs the kernel's semantic patches", command="spatch"),
)
# Only for sources that are not unpacked with what Python has, and for building the emulator; what else the
# emulator needs is in qemu/qemu.toml.
_QEMU = (*_ARCHIVE, Dependency("patch", "applies patches", command="patch"), _MODULE[-1])

_FUZZ = (
    Dependency("clang", "compiles the fuzz target", command="clang"),
    Dependency(
        "libclang-rt-dev",
        "libFuzzer and the sanitizers",
        file="/usr/lib/llvm-*/lib/clang/*/lib/linux/libclang_rt.fuzzer-*.a",
    ),
)

_TOOLCHAIN = (
    *_ARCHIVE,
    Dependency("bubblewrap", "runs compilers of other suites in a root of their own", command="bwrap"),
)
_KERNELBUILD = (
    *_MODULE,
    Dependency("flex", "compiles the kernel's configuration programs", command="flex"),
    Dependency("bison", "compiles the kernel's configuration programs", command="bison"),
    Dependency("libelf-dev", "compiles the kernel's build programs", file="/usr/include/libelf.h"),
    Dependency("libssl-dev", "compiles the kernel's build programs", file="/usr/include/openssl/ssl.h"),
)

_PACKAGE = (
    *_MODULE,
    _DTB[0],
    Dependency("dpkg-dev", "builds Debian packages", command="dpkg-buildpackage"),
    Dependency("debhelper", "builds Debian packages", command="dh"),
    Dependency("dh-dkms", "builds Debian packages of DKMS modules", command="dh_dkms"),
)

_PACK = (
    Dependency("fdisk", "partitions images", command="sfdisk"),
    Dependency("e2fsprogs", "makes file systems of images", command="mke2fs", version=()),
    Dependency("fakeroot", "packs images without root", command="fakeroot"),
)
_IMAGE = (
    *_ARCHIVE,
    *_PACK,
    Dependency("mmdebstrap", "makes root file systems for images", command="mmdebstrap"),
    Dependency(
        "qemu-user-static", "runs programs of the board while an image is made", command="qemu-aarch64-static"
    ),
    Dependency("arch-test", "tells whether it can", command="arch-test", version=()),
)

# libfdt has no binary package in PyPI for every Python.
_BINDINGS = (
    _MODULE[len(_ARCHIVE) + 1],
    _MODULE[len(_ARCHIVE) + 2],
    Dependency(
        f"python{sys.version_info.major}.{sys.version_info.minor}-dev",
        "compiles libfdt for Python",
        file=f"{sysconfig.get_path('include')}/Python.h",
    ),
)

GROUPS: dict[str, tuple[Dependency, ...]] = {
    "archive": _ARCHIVE,
    "module": _MODULE,
    # Only where a kernel or board of this architecture is asked for.
    "armhf": (_CROSS_ARMHF,),
    "toolchain": _TOOLCHAIN,
    "kernelbuild": _KERNELBUILD,
    "dtb": _DTB,
    "rootfs": _ROOTFS,
    "qemu": _QEMU,
    "run": _RUN,
    "test": _TEST,
    "lint": _LINT,
    "lint-full": _LINT_FULL,
    "package": _PACKAGE,
    "pack": _PACK,
    "image": _IMAGE,
    "fuzz": _FUZZ,
    "bindings": _BINDINGS,
}

_lock = threading.Lock()


def all_dependencies() -> list[Dependency]:
    """Every dependency of every group, once."""
    return list(dict.fromkeys(one for group in GROUPS.values() for one in group))


def require(*groups: str) -> None:
    """Make sure that everything of these groups is there; installs it where that is allowed.

    HarnessError with the exact command where it is not.
    """
    for group in groups:
        _require_group(group)


@functools.cache
def _require_group(group: str) -> None:
    _install(one.package for one in GROUPS[group] if not one.present())


@functools.cache
def require_packages(packages: tuple[str, ...]) -> None:
    """Make sure that Debian packages are installed. Where there is no dpkg nothing can be said of them."""
    if shutil.which("dpkg-query"):
        _install(package for package, version in package_versions(packages).items() if not version)


def package_versions(packages: Iterable[str]) -> dict[str, str]:
    """Installed version of each Debian package, "" if it is not installed; a provided name counts."""
    form = "${db:Status-Status}\t${Package}\t${Version}\t${Provides}\n"
    found: dict[str, str] = {}
    for line in commands.output(["dpkg-query", "--show", "--showformat", form], check=False).splitlines():
        status, package, version, provides = line.split("\t")
        if status == "installed":
            found.setdefault(package, version)
            for name in re.findall(r"(?:^|, )([^ ,(]+)", provides):
                found.setdefault(name, version)
    return {package: found.get(package, "") for package in packages}


def install_command(packages: Iterable[str]) -> list[str]:
    """The command that installs Debian packages, as root."""
    return ["apt-get", "install", "--yes", "--no-install-recommends", *packages]


def _install(missing: Iterable[str]) -> None:
    packages = sorted(set(missing))
    if not packages:
        return
    command = install_command(packages)
    shown = " ".join(command)
    if not shutil.which("apt-get"):
        raise HarnessError(
            f"not installed: {', '.join(packages)} (Debian's names)",
            hint="install what has these on this system; ./inv doctor says what each is for",
        )
    prefix: list[str] = []
    if os.geteuid() != 0:
        if not shutil.which("sudo") or not commands.output(["sudo", "-n", "echo", "yes"], check=False):
            raise HarnessError(f"not installed: {', '.join(packages)}", hint=f"run: sudo {shown}")
        prefix = ["sudo", "-n"]
    if settings.offline():
        raise HarnessError(f"offline, and not installed: {', '.join(packages)}", hint=f"run: {shown}")
    with _lock, progress.step(f"install {', '.join(packages)}", always=True) as step:
        progress.say(" ".join([*prefix, *command]))
        env = {"DEBIAN_FRONTEND": "noninteractive"}
        options = ["-o", "DPkg::Lock::Timeout=120"]
        show = ["env", "DEBIAN_FRONTEND=noninteractive"]
        update = [*prefix, *show, "apt-get", *options, "update"]
        install = [*prefix, *show, command[0], *options, *command[1:]]

        def on_line(line: str) -> None:
            step.update(detail=line)

        if not any(Path("/var/lib/apt/lists").glob("*_Packages*")):
            commands.run(update, log="install", env=env, on_line=on_line)
        elif commands.run(install, log="install", env=env, on_line=on_line, check=False).status == 0:
            return
        else:
            # The lists may be older than what the mirror still has.
            commands.run(update, log="install", env=env, on_line=on_line)
        commands.run(install, log="install", env=env, on_line=on_line, hint=f"try by hand: sudo {shown}")
