# SPDX-License-Identifier: MIT
"""The cache: whole or nothing, once, and never damaged."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from harness import cache as cache_module
from harness.cache import Cache, digest, hash_tree
from harness.errors import HarnessError
from harness.paths import REPO


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path)


def write(text: str) -> cache_module.Builder:
    def build(directory: Path) -> None:
        (directory / "sub").mkdir()
        (directory / "sub" / "file").write_text(text)
        (directory / "link").symlink_to("sub/file")

    return build


def never(directory: Path) -> None:
    pytest.fail("built although it is there")


def leftovers(cache: Cache) -> list[str]:
    return [path.name for path in cache.root.glob("*/*") if path.suffix != ".lock"]


def test_second_use_does_not_build(cache: Cache) -> None:
    first = cache.entry("kind", "key", write("content"), "thing")
    assert (first / "link").read_text() == "content"
    assert cache.entry("kind", "key", never, "thing") == first


def test_what_an_entry_took_to_make_is_known_later(cache: Cache) -> None:
    def slow(directory: Path) -> None:
        time.sleep(0.2)

    with cache_module.costs() as first:
        cache.entry("kind", "key", slow, "thing")
    with cache_module.costs() as later:
        cache.entry("kind", "key", never, "thing")
    assert first["thing"] >= 0.2 and later["thing"] >= 0.2


@pytest.mark.parametrize("damage", ["changed", "same size", "removed", "manifest"])
def test_damaged_entry_is_built_again(cache: Cache, damage: str, capsys: pytest.CaptureFixture[str]) -> None:
    file = cache.entry("kind", "key", write("content"), "thing") / "sub" / "file"
    match damage:
        case "changed":
            file.write_text("something else")
        case "same size":
            before = file.stat()
            file.write_text("CONTENT")
            os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
        case "removed":
            file.unlink()
        case "manifest":
            (cache.root / "kind" / "key" / "manifest.json").write_text('{"files": {"sub/fi')
    again = cache.entry("kind", "key", write("content"), "thing")
    assert (again / "sub" / "file").read_text() == "content"
    assert "damaged" in capsys.readouterr().err


def test_touched_but_equal_file_is_accepted(cache: Cache) -> None:
    file = cache.entry("kind", "key", write("content"), "thing") / "sub" / "file"
    os.utime(file)
    cache.entry("kind", "key", never, "thing")
    manifest = json.loads((cache.root / "kind" / "key" / "manifest.json").read_text())
    assert manifest["files"]["sub/file"]["mtime"] == file.stat().st_mtime_ns


@pytest.mark.parametrize("error", [RuntimeError("no"), KeyboardInterrupt(), HarnessError("no")])
def test_failed_build_leaves_nothing(cache: Cache, error: BaseException) -> None:
    def build(directory: Path) -> None:
        (directory / "half").write_text("half")
        raise error

    with pytest.raises(type(error)):
        cache.entry("kind", "key", build, "thing")
    assert leftovers(cache) == []
    assert (cache.entry("kind", "key", write("x"), "thing") / "link").exists()


def test_full_disk_is_said(cache: Cache) -> None:
    def build(directory: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(HarnessError, match="disk is full"):
        cache.entry("kind", "key", build, "thing")
    assert leftovers(cache) == []


def test_killed_builder_leaves_nothing_usable(tmp_path: Path) -> None:
    script = textwrap.dedent("""
        import signal, sys
        from pathlib import Path
        from harness.cache import Cache
        def build(directory):
            (directory / "half").write_text("half")
            print("building", flush=True)
            signal.pause()
        Cache(Path(sys.argv[1])).entry("kind", "key", build, "thing")
    """)
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, cwd=REPO, text=True
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "building\n"
        assert (tmp_path / "store/kind/key.partial").exists()
        process.send_signal(signal.SIGKILL)
    assert not (tmp_path / "store/kind/key").exists()
    cache = Cache(tmp_path)
    assert leftovers(cache) == []
    assert sorted(path.name for path in cache.entry("kind", "key", write("x"), "thing").iterdir()) == [
        "link",
        "sub",
    ]


def test_running_builder_is_not_swept(cache: Cache, tmp_path: Path) -> None:
    def build(directory: Path) -> None:
        (directory / "half").write_text("half")
        Cache(tmp_path)
        assert (directory / "half").exists()

    cache.entry("kind", "key", build, "thing")


def test_concurrent_builders_build_once(tmp_path: Path) -> None:
    built = []
    together = threading.Barrier(4)
    finished = []

    def build(directory: Path) -> None:
        built.append(1)
        (directory / "file").write_text("x")

    def use() -> None:
        together.wait()
        finished.append(Cache(tmp_path).entry("kind", "key", build, "thing"))

    threads = [threading.Thread(target=use) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(built) == 1
    assert len(finished) == 4


def test_offline_names_what_is_missing(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.entry("kind", "warm", write("x"), "warm thing", fetches=True)
    monkeypatch.setenv("ESP_HOSTED_OFFLINE", "1")
    cache.entry("kind", "warm", never, "warm thing", fetches=True)
    with pytest.raises(HarnessError, match=r"offline, and the cache has no kernel 6\.12"):
        cache.entry("kind", "cold", never, "kernel 6.12", fetches=True)


def test_workspace_keeps_its_content(cache: Cache) -> None:
    with cache.workspace("kind", "key") as first:
        (first / "object").write_text("x")
    with cache.workspace("kind", "key") as second:
        assert (second / "object").exists()


def test_remove_and_sizes(cache: Cache) -> None:
    cache.entry("kind", "key", write("x" * 10000), "thing")
    (size,) = cache.sizes()
    assert (size.kind, size.entries) == ("kind", 1)
    assert size.bytes >= 10000
    cache.remove("kind")
    assert leftovers(cache) == []


def test_hash_tree_sees_names_and_contents(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1")
    first = hash_tree(tmp_path)
    (tmp_path / "a.o").write_text("object")
    assert hash_tree(tmp_path, ignore=["*.o"]) == first
    (tmp_path / "a").rename(tmp_path / "b")
    assert hash_tree(tmp_path, ignore=["*.o"]) != first
    assert digest("a", {"x": 1, "y": 2}) == digest("a", {"y": 2, "x": 1}) != digest("a", {"x": 1, "y": 3})
