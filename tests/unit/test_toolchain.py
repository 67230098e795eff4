# SPDX-License-Identifier: MIT
"""Which compiler a kernel gets, and how it is run."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from harness import commands, toolchain
from harness.errors import HarnessError
from harness.toolchain import Toolchain


@pytest.mark.parametrize(
    ("gcc", "libc", "rooted"),
    [
        (0, "", False),
        (12, "2.36", False),
        (10, "2.17", False),
        (14, "2.36", True),
        (12, "2.38", True),
        (0, "2.100", True),
    ],
)
def test_a_root_only_where_this_system_is_too_old(
    monkeypatch: pytest.MonkeyPatch, gcc: int, libc: str, rooted: bool
) -> None:
    monkeypatch.setattr(toolchain, "_host_libc", lambda: "2.36")
    monkeypatch.setattr(toolchain, "_host_gcc", lambda own: 12)
    asked: list[tuple[str, str, int]] = []

    def make(arch: str, suite: str, gcc: int) -> Toolchain:
        asked.append((arch, suite, gcc))
        return Toolchain("arm64", "aarch64-linux-gnu-", f"-{gcc}", Path("/root-of-it"), suite)

    monkeypatch.setattr(toolchain, "rooted", make)
    chosen = toolchain.choose("arm64", "trixie-backports", gcc, libc)
    assert (chosen.root is not None) == rooted
    assert asked == ([("arm64", "trixie", gcc)] if rooted else [])


@pytest.mark.parametrize(
    ("suite", "base"),
    [("trixie-backports", "trixie"), ("experimental", "sid"), ("sid", "sid"), ("bookworm", "bookworm")],
)
def test_suite_of_the_root(suite: str, base: str) -> None:
    assert toolchain.base_suite(suite) == base


def test_unknown_architecture_is_named() -> None:
    with pytest.raises(HarnessError, match=r"(?s)'mips'.*arm64"):
        toolchain.host("mips")


def test_make_words(tmp_path: Path) -> None:
    own = [str(word) for word in toolchain.host("arm64").make(Path("/build"), Path("/drv"), "modules")]
    assert own == ["make", "-C", "/build", "M=/drv", "ARCH=arm64", "CROSS_COMPILE=aarch64-linux-gnu-",
                   "CC=aarch64-linux-gnu-gcc", "modules"]  # fmt: skip
    inside = Toolchain("arm64", "aarch64-linux-gnu-", "-14", tmp_path, "trixie")
    build = Path("/cache/tree/usr/src/linux-headers-7")
    words = [str(word) for word in inside.make(build, Path("/drv"), "modules")]
    assert words[0] == "bwrap"
    at = words.index("make")
    assert words[at:][5:] == [
        "CROSS_COMPILE=aarch64-linux-gnu-", "CC=aarch64-linux-gnu-gcc-14", "HOSTCC=gcc-14", "modules",
    ]  # fmt: skip
    # The headers' siblings are seen but not written, the module's directory is written.
    tree = words.index("/cache/tree")
    assert words[tree - 1 : tree + 2] == ["--ro-bind", "/cache/tree", "/cache/tree"]
    assert words[words.index("/drv") - 1] == "--bind"


@pytest.mark.skipif(not shutil.which("bwrap"), reason="needs bwrap: apt-get install bubblewrap")
def test_a_root_hides_the_rest(tmp_path: Path) -> None:
    """This system's own /usr stands for a root."""
    root = tmp_path / "root"
    root.mkdir()
    (root / "usr").symlink_to("/usr")
    writable, readable = tmp_path / "w", tmp_path / "r"
    writable.mkdir()
    readable.mkdir()
    inside = Toolchain("arm64", "aarch64-linux-gnu-", "", root, "x")
    script = f"ls {tmp_path}; touch {writable}/made; touch {readable}/made 2>/dev/null || echo refused"
    said = commands.output(inside.command(["sh", "-c", script], [readable], [writable]))
    assert said.split() == ["r", "w", "refused"]
    assert (writable / "made").exists()
    assert not (readable / "made").exists()
