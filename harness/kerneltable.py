# SPDX-License-Identifier: MIT
"""`kernels.toml` as dataclasses, and what a kernel is once it is there."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path

from harness import boards, kernelbuild, settings
from harness.errors import HarnessError, unknown_name
from harness.paths import REPO
from harness.toolchain import Toolchain, host

TABLE = REPO / "kernels.toml"


@dataclass(frozen=True)
class Row:
    """One row of kernels.toml."""

    provider: str
    arch: str
    """Debian's name of the architecture."""
    board: str
    suite: str = ""
    """Of the Debian archive."""
    series: str = ""
    """The newest version of this series is taken: "6.12"."""
    flavour: str = ""
    """Of Debian's image, "rt" for linux-image-...-rt-arm64; empty for the plain one."""
    extra: tuple[str, ...] = ()
    """Drivers that Debian's image lacks, built from its source package: paths below the source tree."""
    base: str = "allnoconfig"
    """What the fragments are merged onto: allnoconfig, alldefconfig or a defconfig's name."""
    fragments: tuple[str, ...] = ()
    """Names below kernels/fragments, without .config; later ones win."""
    path: str = ""
    """The build directory of a local kernel; $NAME stands for a variable of the environment."""
    append: tuple[str, ...] = ()
    """Words for the kernel's command line in the guest."""
    without: tuple[str, ...] = ()
    """Those of the board's modules that it does without: not in the guest, not loaded."""
    optional: bool = False
    """True if the row may be impossible to run without the matrix failing."""
    tags: tuple[str, ...] = ()
    tests: tuple[str, ...] = ()
    """What the matrix runs on it: names of tests/guest/test_*.py without test_ and .py; empty for all."""


# Which keys mean something to which provider, besides those of COMMON: first the ones that have to be
# there.
KEYS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "debian": (("suite", "series"), ("flavour", "extra")),
    "source": (("suite", "series"), ("base", "fragments")),
    "upstream": (("series",), ("base", "fragments")),
    "local": (("path",), ()),
}
COMMON = ("provider", "arch", "board", "append", "without", "optional", "tags", "tests")
TAGS = ("stock", "debug", "compile")
GUEST_TESTS = REPO / "tests" / "guest"
# Keys that belong to no row: lists of guest tests.
LISTS = ("quick", "once")


@dataclass(frozen=True)
class Table:
    """The whole of kernels.toml."""

    default: str
    kernel: dict[str, Row]
    quick: tuple[str, ...] = ()
    """The guest tests that say most in a few minutes, named as in Row.tests."""
    once: tuple[str, ...] = ()
    """Those that say the same on every kernel: the matrix runs them on the default one only."""


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
    toolchain: Toolchain = field(default_factory=lambda: host("arm64"))
    """What compiles modules for it."""
    append: tuple[str, ...] = ()
    """Words for its command line in the guest."""
    without: tuple[str, ...] = ()
    """Those of its board's modules that it does without."""


class UnavailableError(HarnessError):
    """A kernel that cannot be had here and now, through no fault of this project: not reachable, dropped."""


def table(path: Path = TABLE) -> Table:
    """The rows there are. HarnessError names file, line, key and valid choices of a mistake."""
    content = settings.read_toml(path)
    text = path.read_text(encoding="utf-8")
    known = ("default", "kernel", *LISTS)
    if unknown := sorted(content.keys() - set(known)):
        raise HarnessError(
            f"{path}:{_line(text, None, unknown[0])}: unknown key {unknown[0]!r}",
            hint=f"valid keys: {', '.join(known)}",
        )
    listed = content.get("kernel", {})
    if not isinstance(listed, dict):
        raise HarnessError(f"{path}:{_line(text, None, 'kernel')}: kernel is not a table")
    rows = {name: _row(name, values, path, text) for name, values in listed.items()}
    default = str(content.get("default"))
    if default not in rows:
        error = unknown_name("kernel", default, rows)
        raise HarnessError(f"{path}:{_line(text, None, 'default')}: {error.message}", hint=error.hint)
    lists = {key: _tests(content.get(key, []), key, path, text) for key in LISTS}
    return Table(default, rows, **lists)


def _tests(names: object, key: str, path: Path, text: str) -> tuple[str, ...]:
    """A list of guest tests that belongs to no row."""
    if not isinstance(names, list):
        raise HarnessError(f"{path}:{_line(text, None, key)}: {key} is not a list of tests")
    for one in names:
        if one not in guest_tests():
            error = unknown_name("test", str(one), guest_tests())
            raise HarnessError(f"{path}:{_line(text, None, key)}: {error.message}", hint=error.hint)
    return tuple(names)


def guest_tests() -> list[str]:
    """The names that Row.tests takes."""
    return sorted(one.stem.removeprefix("test_") for one in GUEST_TESTS.glob("test_*.py"))


def _row(name: str, values: object, path: Path, text: str) -> Row:
    def wrong(key: str, message: str, valid: Sequence[str] = (), word: str = "") -> HarnessError:
        listed = ", ".join(valid)
        near = difflib.get_close_matches(word or key, listed.split(", "), 1)
        hint = f"valid: {listed}" + (f"; did you mean {near[0]}?" if near else "") if listed else None
        return HarnessError(f"{path}:{_line(text, name, key)}: kernel {name!r}: {message}", hint=hint)

    if not isinstance(values, dict):
        raise wrong("", "is not a table")
    known = [one.name for one in fields(Row)]
    for key in values:
        if key not in known:
            raise wrong(key, f"unknown key {key!r}", known)
    provider = values.get("provider")
    if provider not in KEYS:
        raise wrong("provider", f"there is no provider {provider!r}", list(KEYS))
    needed, allowed = KEYS[provider]
    for key in values:
        if key not in (*COMMON, *needed, *allowed):
            usable = [*COMMON, *needed, *allowed]
            raise wrong(key, f"key {key!r} means nothing to provider {provider!r}", usable)
    for key in needed:
        if not values.get(key):
            raise wrong("provider", f"provider {provider!r} needs the key {key!r}")
    row = settings.build(Row, values, f"{path}:{_line(text, name, '')}: kernel {name!r}")
    checks: tuple[tuple[str, Sequence[str], Sequence[str]], ...] = (
        ("board", [row.board], boards.names()),
        ("arch", [row.arch], ["arm64", "armhf"]),
        ("tags", row.tags, list(TAGS)),
        ("tests", row.tests, guest_tests()),
        ("fragments", row.fragments, sorted(one.stem for one in kernelbuild.FRAGMENTS.glob("*.config"))),
    )
    for key, given, valid in checks:
        for one in given:
            if one not in valid:
                raise wrong(key, f"{key}: there is no {one!r}", valid, one)
    modules = boards.load(row.board).modules if row.without else ()
    for one in row.without:
        if one not in modules:
            raise wrong("without", f"without: board {row.board} has no module {one!r}", modules, one)
    return row


def _line(text: str, name: str | None, key: str) -> int:
    """The line of a key in a row's section; the section's first line if the key is not written there."""
    header = 1
    inside = name is None
    for number, line in enumerate(text.splitlines(), 1):
        word = line.strip()
        if word.startswith("["):
            section = re.fullmatch(r"\[kernel\.(?:\"([^\"]*)\"|'([^']*)'|([\w-]+))\].*", word)
            inside = section is not None and name in section.groups()
            header = number if inside else header
        elif inside and key and re.match(rf"[\"']?{re.escape(key)}[\"']?\s*=", word):
            return number
    return header


def row(name: str | None = None, path: Path = TABLE) -> tuple[str, Row]:
    """Name and row; the default row for None. HarnessError: unknown name, with the list."""
    rows = table(path)
    name = name or rows.default
    if name not in rows.kernel:
        raise unknown_name("kernel", name, rows.kernel)
    return name, rows.kernel[name]


def config(path: Path) -> dict[str, str]:
    """A .config as a dictionary, without the CONFIG_ prefix; what is not set is not in it."""
    text = path.read_text(encoding="utf-8")
    return {key: value.strip('"') for key, value in re.findall(r"^CONFIG_(\w+)=(.*)$", text, re.MULTILINE)}
