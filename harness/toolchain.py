# SPDX-License-Identifier: MIT
"""The compiler that fits a kernel: this system's, or one in a hermetic root of a Debian suite.

A kernel's headers hold programs and flags that were made for one compiler and one C library. Where this
system is older than those, the packages of the suite that the kernel comes from are unpacked into the cache
(never installed) and make runs inside, with bubblewrap and without root.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness import commands, debian, hostdeps, pins, progress
from harness.cache import Cache, digest
from harness.errors import HarnessError

# Debian's name of an architecture: the kernel's name, and GNU's name, the prefix of the cross tools.
ARCHITECTURES = {"arm64": ("arm64", "aarch64-linux-gnu"), "armhf": ("arm", "arm-linux-gnueabihf")}
# What a kernel's build system runs besides the compilers.
TOOLS = ("make", "pahole", "libc6-dev", "bash", "dash", "coreutils", "grep", "sed", "gawk", "perl",
         "findutils", "diffutils", "binutils", "python3-minimal", "kmod", "bc", "xz-utils")  # fmt: skip
# Names that Debian makes when it configures a package, which nothing here does.
LINKS = {"usr/bin/sh": "dash", "usr/bin/awk": "gawk"}
DROPPED = ("usr/share/doc", "usr/share/man", "usr/share/info", "usr/share/locale", "var", "etc")
# Part of the cache key: change it when a root is put together in another way.
RECIPE = 1


@dataclass(frozen=True)
class Toolchain:
    """A cross compiler, and where it runs."""

    arch: str
    """The kernel's name of the architecture it compiles for."""
    prefix: str
    """Of the tools: `aarch64-linux-gnu-`."""
    suffix: str = ""
    """Of the compilers: `-14`, empty for the system's default."""
    root: Path | None = None
    """The root that it runs in, None for this system's own."""
    suite: str = ""
    """The suite that the root is made of."""

    @property
    def compiler(self) -> str:
        """The name of the cross compiler."""
        return f"{self.prefix}gcc{self.suffix}"

    def __str__(self) -> str:
        where = f"in a root of {self.suite}" if self.root else "of this system"
        return f"{self.compiler} {self.version()} {where}"

    def version(self) -> str:
        """The compiler's full version. HarnessError: there is no such compiler."""
        return commands.output(self.command([self.compiler, "-dumpfullversion"])).strip()

    def key(self) -> str:
        """Changes when what is compiled may change."""
        return digest(self.compiler, str(self.root) if self.root else self.version())

    def make(self, build: Path, directory: Path, *words: str) -> list[str | Path]:
        """The command that runs make of a kernel's build directory for a module's directory."""
        variables = [f"ARCH={self.arch}", f"CROSS_COMPILE={self.prefix}", f"CC={self.compiler}"]
        if self.suffix:
            variables.append(f"HOSTCC=gcc{self.suffix}")
        make: list[str | Path] = ["make", "-C", build, f"M={directory}", *variables, *words]
        # The headers of a package refer to their siblings.
        return self.command(make, readable=[_package_tree(build)], writable=[directory])

    def command(
        self, args: Sequence[str | Path], readable: Iterable[Path] = (), writable: Iterable[Path] = ()
    ) -> list[str | Path]:
        """A command as it has to be run; inside a root it sees only these directories, at their own paths."""
        if self.root is None:
            return list(args)
        view: list[str | Path] = ["bwrap", "--die-with-parent", "--unshare-net", "--tmpfs", "/"]
        view += ["--ro-bind", self.root / "usr", "/usr"]
        for name in ("bin", "sbin", "lib", "lib64"):
            view += ["--symlink", f"usr/{name}", f"/{name}"]
        view += ["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"]
        for path in readable:
            view += ["--ro-bind", path, path]
        for path in writable:
            view += ["--bind", path, path]
        view += ["--setenv", "PATH", "/usr/bin:/usr/sbin"]
        # A root has no locales. make drops LC_ALL on the way to perl, so LANG counts as well.
        view += ["--setenv", "LC_ALL", "C", "--setenv", "LANG", "C", "--unsetenv", "LANGUAGE"]
        return [*view, "--", *args]


def _package_tree(build: Path) -> Path:
    """What a build directory needs to see: the whole package tree for .../usr/src/linux-headers-X."""
    return build.parents[2] if build.parent.parts[-2:] == ("usr", "src") else build


def host(arch: str) -> Toolchain:
    """This system's cross compiler for Debian's architecture `arch`. HarnessError: unknown architecture."""
    if arch not in ARCHITECTURES:
        raise HarnessError(
            f"no toolchain is known for architecture {arch!r}", hint=f"valid: {', '.join(ARCHITECTURES)}"
        )
    name, gnu = ARCHITECTURES[arch]
    return Toolchain(name, f"{gnu}-")


def choose(arch: str, suite: str, gcc: int, libc: str) -> Toolchain:
    """What compiles for a kernel of `suite` whose headers want at least this gcc (major) and glibc.

    0 and "" stand for any. A newer compiler than the kernel's own is fine.
    """
    own = host(arch)
    if _at_least(_host_libc(), libc) and _host_gcc(own) >= gcc:
        return own
    return rooted(arch, base_suite(suite), gcc)


def base_suite(suite: str) -> str:
    """The suite whose userland a suite's packages run on."""
    return "sid" if suite == "experimental" else suite.partition("-")[0]


def _host_libc() -> str:
    return (os.confstr("CS_GNU_LIBC_VERSION") or "").partition(" ")[2]


def _host_gcc(own: Toolchain) -> int:
    """The major version of this system's compiler; what is missing will be installed, so ask then."""
    hostdeps.require("module", *(["armhf"] if own.arch == ARCHITECTURES["armhf"][0] else []))
    return int(own.version().partition(".")[0])


def _at_least(have: str, wanted: str) -> bool:
    def numbers(text: str) -> list[int]:
        return [int(part) for part in re.findall(r"\d+", text)]

    return numbers(have) >= numbers(wanted)


def rooted(arch: str, suite: str, gcc: int) -> Toolchain:
    """gcc of a major version in a root of a suite, made if it is not in the cache (half a gigabyte)."""
    hostdeps.require("toolchain")
    own = host(arch)
    here = debian.host_arch()
    compilers = [f"gcc-{gcc}"]
    if arch != here:
        compilers += [f"gcc-{gcc}-{own.prefix}".rstrip("-"), f"binutils-{own.prefix}".rstrip("-")]
    cache = Cache()

    def key(packages: list[dict[str, str]]) -> str:
        return digest("toolchain", RECIPE, packages, LINKS, DROPPED)

    def ask() -> dict[str, list[dict[str, str]]]:
        found = debian.Archive(suite, here).closure([*compilers, *TOOLS])
        return {"packages": [{"name": one.name, "version": one.version, "arch": one.arch} for one in found]}

    record = pins.pinned(
        f"toolchain-{suite}-{arch}-gcc{gcc}",
        ask,
        lambda value: cache.has("toolchain", key(value["packages"])),
    )
    packages = [debian.Package(**package) for package in record["packages"]]

    def make(directory: Path) -> None:
        debian.Archive(suite, here).download(packages, lambda files: _unpack(files, directory))

    title = f"compiler gcc {gcc} for {arch} in a root of {suite}"
    root = cache.entry("toolchain", key(record["packages"]), make, title, fetches=True)
    chosen = Toolchain(own.arch, own.prefix, f"-{gcc}", root, suite)
    _check(chosen)
    return chosen


def _unpack(packages: Iterable[Path], root: Path) -> None:
    with progress.step("unpack the compiler's packages") as step:
        for package in packages:
            step.update(detail=package.name)
            debian.extract(package, root)
    for name in DROPPED:
        shutil.rmtree(root / name, ignore_errors=True)
    for name, target in LINKS.items():
        link = root / name
        link.unlink(missing_ok=True)
        link.symlink_to(target)


def _check(chosen: Toolchain) -> None:
    """Run the compiler once. HarnessError: this system does not let an ordinary user make a root."""
    finished = commands.run(chosen.command([chosen.compiler, "--version"]), log="toolchain", check=False)
    if finished.status:
        raise finished.error(
            f"running {chosen.compiler} in a root of {chosen.suite}",
            hint="bubblewrap needs user namespaces: allow them "
            "(sysctl kernel.unprivileged_userns_clone, kernel.apparmor_restrict_unprivileged_userns), "
            "or run this as root",
        )
