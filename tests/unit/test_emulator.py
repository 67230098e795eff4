# SPDX-License-Identifier: MIT
"""Building the emulator: the real recipe, and a small source tree with tools that note what they do."""

from __future__ import annotations

import dataclasses
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from harness import debian, emulator, paths
from harness.cache import Cache
from harness.emulator import Recipe
from harness.errors import HarnessError

PATCH = """\
--- a/hw/misc/meson.build
+++ b/hw/misc/meson.build
@@ -1 +1,2 @@
 existing
+subdir('esp-hosted')
"""


class Build:
    """A checkout with a qemu/ of its own, a tarball, and tools that write down how they were called."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = root
        self.recipe = dataclasses.replace(emulator.recipe(), configure=emulator.Configure(("--small",)))
        self.log = root / "log"
        self.log.touch()
        self.repo = root / "repo"
        for name, text in {
            "qemu/device/dev.c": "device",
            "qemu/engine/engine.c": "engine",
            "qemu/config/esp.mak": "CONFIG",
            "qemu/qapi/esp.json": "EVENT",
            "qemu/patches/0001-x.patch": PATCH,
        }.items():
            self.write(name, text)
        self._make_tarball()
        self._make_tools()
        monkeypatch.setenv("XDG_CACHE_HOME", str(root / "cache"))
        monkeypatch.setattr(emulator, "REPO", self.repo)
        monkeypatch.setattr(emulator, "recipe", lambda: self.recipe)
        monkeypatch.setattr(emulator, "require_packages", lambda wanted: None)
        monkeypatch.setattr(emulator, "_ask", lambda wanted: {"provider": "debian", "version": "10.0.1"})
        monkeypatch.setattr(emulator, "_environment", lambda wanted, workspace: root / "tools/python3")
        monkeypatch.setattr(emulator, "_with_tarball", self._with_tarball)

    def write(self, name: str, text: str) -> None:
        path = self.repo / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def did(self) -> list[str]:
        """What the tools were called for since the last question."""
        lines = self.log.read_text().split()
        self.log.write_text("")
        return lines

    def source(self) -> Path:
        (tree,) = (self.root / "cache/esp-hosted/store/qemu").glob("*.work/source")
        return tree

    def _make_tarball(self) -> None:
        top = self.root / "qemu-10.0.1"
        for name, text in {
            "hw/misc/meson.build": "existing\n",
            "configs/devices/aarch64-softmmu/default.mak": "DEFAULT",
            "configure": f"#!/bin/sh\necho configure >>{self.log}\ntouch build.ninja\n",
        }.items():
            (top / name).parent.mkdir(parents=True, exist_ok=True)
            (top / name).write_text(text)
        (top / "configure").chmod(0o755)
        subprocess.run(["tar", "-C", self.root, "-cJf", self.root / "qemu.tar.xz", top.name], check=True)

    def _make_tools(self) -> None:
        tools = self.root / "tools"
        tools.mkdir()
        (tools / "ninja").write_text(
            f"#!/bin/sh\necho ninja >>{self.log}\n"
            "grep -q broken ../source/hw/misc/esp-hosted/dev.c && exit 1\n"
            "cat ../source/hw/misc/esp-hosted/dev.c ../source/hw/misc/esp-hosted/engine/engine.c >$1\n"
        )
        (tools / "ninja").chmod(0o755)

    def _with_tarball(self, wanted: Recipe, record: dict[str, str], use: Callable[[Path], None]) -> None:
        with self.log.open("a") as log:
            log.write("fetch\n")
        use(self.root / "qemu.tar.xz")


@pytest.fixture
def build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Build:
    return Build(tmp_path, monkeypatch)


def test_recipe_of_this_repository() -> None:
    wanted = emulator.recipe()
    assert set(wanted.source.order) <= {"debian", "upstream"}
    assert wanted.build.binary == "qemu-system-aarch64"
    assert emulator._patches(wanted)
    assert all((paths.REPO / name).is_dir() for name in wanted.files)


def test_build_and_no_second_one(build: Build) -> None:
    binary = emulator.build()
    assert binary.read_text() == "deviceengine"
    assert build.did() == ["fetch", "configure", "ninja"]
    assert (build.source() / "hw/misc/meson.build").read_text() == "existing\nsubdir('esp-hosted')\n"
    directory = build.source() / "configs/devices/aarch64-softmmu"
    assert sorted(path.name for path in directory.iterdir()) == ["default.mak", "esp.mak"]
    assert emulator.build() == binary
    assert build.did() == []


def test_our_change_is_built_without_starting_over(build: Build) -> None:
    emulator.build()
    build.did()
    untouched = build.source() / "hw/misc/esp-hosted/engine/engine.c"
    before = untouched.stat().st_mtime_ns
    build.write("qemu/device/dev.c", "new")
    assert emulator.build().read_text() == "newengine"
    assert build.did() == ["ninja"]
    assert untouched.stat().st_mtime_ns == before


def test_tests_of_the_engine_are_not_built(build: Build) -> None:
    binary = emulator.build()
    build.did()
    build.write("qemu/engine/tests/test.c", "a test")
    build.write("qemu/engine/fuzz/corpus.txt", "an input")
    assert emulator.build() == binary
    assert build.did() == []
    build.write("qemu/engine/engine.c", "engine2")
    assert emulator.build().read_text() == "deviceengine2"
    assert not (build.source() / "hw/misc/esp-hosted/engine/tests").exists()


def test_removed_file_is_removed_from_the_tree(build: Build) -> None:
    build.write("qemu/device/old.c", "old")
    emulator.build()
    assert (build.source() / "hw/misc/esp-hosted/old.c").exists()
    (build.repo / "qemu/device/old.c").unlink()
    emulator.build()
    assert not (build.source() / "hw/misc/esp-hosted/old.c").exists()


def test_changed_patch_starts_from_a_fresh_tree(build: Build) -> None:
    emulator.build()
    build.did()
    build.write("qemu/patches/0001-x.patch", PATCH.replace("subdir", "subdir2"))
    emulator.build()
    assert build.did() == ["fetch", "configure", "ninja"]
    assert (build.source() / "hw/misc/meson.build").read_text() == "existing\nsubdir2('esp-hosted')\n"


def test_patch_that_does_not_apply_is_named(build: Build) -> None:
    build.write("qemu/patches/0002-y.patch", PATCH.replace(" existing", " something"))
    with pytest.raises(HarnessError, match=r"applying 0002-y\.patch failed") as caught:
        emulator.build()
    assert "fit QEMU 10.0.1" in str(caught.value.hint)
    (build.repo / "qemu/patches/0002-y.patch").unlink()
    assert emulator.build().exists()


def test_compile_error_leaves_no_entry_and_is_repaired(build: Build) -> None:
    build.write("qemu/device/dev.c", "broken")
    with pytest.raises(HarnessError, match="compiling QEMU failed"):
        emulator.build()
    build.write("qemu/device/dev.c", "good")
    build.did()
    assert emulator.build().read_text() == "goodengine"
    assert build.did() == ["ninja"]


def test_missing_directory_is_named(build: Build) -> None:
    (build.repo / "qemu/config/esp.mak").unlink()
    (build.repo / "qemu/config").rmdir()
    with pytest.raises(HarnessError, match="names qemu/config, which does not exist"):
        emulator.build()


def test_offline_with_a_warm_cache(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    binary = emulator.build()
    monkeypatch.setenv("ESP_HOSTED_OFFLINE", "1")
    monkeypatch.setattr(debian, "Archive", lambda *args: pytest.fail("asked the archive"))
    assert emulator.build() == binary
    Cache().remove("qemu")


@pytest.mark.parametrize(
    ("version", "upstream"),
    [("1:10.0.13+ds-0+deb13u1", "10.0.13"), ("6.12.95-1~bpo12+1", "6.12.95"), ("2.10+dfsg1-3", "2.10")],
)
def test_upstream_part_of_a_version(version: str, upstream: str) -> None:
    assert debian._upstream(version) == upstream
