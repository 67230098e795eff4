# SPDX-License-Identifier: MIT
"""A store of directories by key: each is built once, whole or not at all, and checked when used.

An entry is `store/<kind>/<key>/` with the built files in `tree/` and their sizes and SHA-256 sums in
`manifest.json`. It is built in `<key>.partial` beside it and renamed when complete, under a lock, so
that a builder that is killed leaves nothing that could be taken for an entry.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import stat
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock

from harness import commands, paths, progress, settings
from harness.errors import HarnessError

# Part of every key: change it when the layout of entries changes.
FORMAT = 1
Builder = Callable[[Path], None]


def digest(*parts: object) -> str:
    """A key from anything JSON can hold (paths as text); the same parts give the same key."""
    text = json.dumps([FORMAT, *parts], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def hash_file(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def hash_tree(*roots: Path, ignore: Iterable[str] = ()) -> str:
    """SHA-256 over names and contents of files and directories; `ignore` are glob patterns of names."""
    patterns = tuple(ignore)
    total = hashlib.sha256()
    for root in roots:
        for path in _walk(root) if root.is_dir() else [root]:
            if any(path.match(pattern) for pattern in patterns):
                continue
            name = path.relative_to(root) if path != root else path.name
            total.update(f"{name}\0{hash_file(path)}\n".encode())
    return total.hexdigest()


def _walk(root: Path) -> Iterator[Path]:
    """All files and links below a directory, in a fixed order."""
    for directory, directories, files in os.walk(root):
        directories.sort()
        links = [name for name in directories if Path(directory, name).is_symlink()]
        for name in sorted([*files, *links]):
            yield Path(directory, name)


_notes = threading.local()


@contextlib.contextmanager
def costs() -> Iterator[dict[str, float]]:
    """What entries that this thread uses took to make, then or now: seconds by title."""
    found: dict[str, float] = {}
    _notes.costs = found
    try:
        yield found
    finally:
        _notes.costs = None


def _note(title: str, seconds: object) -> None:
    noted = getattr(_notes, "costs", None)
    if noted is not None and isinstance(seconds, (int, float)):
        noted[title] = float(seconds)


@dataclass(frozen=True)
class Size:
    """How much one kind of entry takes."""

    kind: str
    entries: int
    bytes: int


class Cache:
    """The store below `root`, the user's cache directory by default."""

    def __init__(self, root: Path | None = None) -> None:
        self.root = (root or paths.cache_root()) / "store"
        self.root.mkdir(parents=True, exist_ok=True)
        self._sweep()

    def entry(self, kind: str, key: str, build: Builder, title: str, fetches: bool = False) -> Path:
        """The directory of an entry, built by `build(directory)` if it is missing or damaged.

        `title` names it on the terminal. An entry that `fetches` cannot be built offline: HarnessError.
        Whatever `build` raises is passed on and leaves no entry; a full disk becomes a HarnessError.
        """
        place = self.root / kind / key
        place.parent.mkdir(exist_ok=True)
        with self._lock(place, title):
            if place.exists():
                damage = self._damage(place)
                if damage is None:
                    _note(title, read_json(place / "manifest.json").get("seconds"))
                    return place / "tree"
                progress.warn(f"the cached {title} is damaged ({damage}); getting it again")
                _remove(place)
            if fetches and settings.offline():
                raise HarnessError(
                    f"offline, and the cache has no {title}", hint="run this once without --offline"
                )
            begin = time.monotonic()
            with progress.step(title):
                self._build(place, build, title)
            _note(title, time.monotonic() - begin)
        return place / "tree"

    def has(self, kind: str, key: str) -> bool:
        """True if the entry is there, unchecked."""
        return (self.root / kind / key).exists()

    @contextlib.contextmanager
    def workspace(self, kind: str, key: str) -> Iterator[Path]:
        """A locked directory that keeps its content from one use to the next, for incremental builds.

        What is in it is never taken for a result: `discard` it when a build in it makes no sense.
        """
        place = self.root / kind / f"{key}.work"
        place.parent.mkdir(exist_ok=True)
        with self._lock(place, f"{kind} build directory"), _disk_full(kind, place):
            place.mkdir(exist_ok=True)
            yield place

    def sizes(self) -> list[Size]:
        """What each kind takes on the disk."""
        found = []
        for kind in sorted(path for path in self.root.iterdir() if path.is_dir()):
            entries = [path for path in kind.iterdir() if path.is_dir()]
            found.append(Size(kind.name, len(entries), sum(tree_size(path) for path in entries)))
        return found

    def remove(self, kind: str) -> None:
        """Remove all entries of a kind that nobody is building."""
        for place in sorted((self.root / kind).iterdir()):
            if place.is_dir():
                name = place.name.removesuffix(".partial")
                with contextlib.suppress(filelock.Timeout), _file_lock(place.with_name(name), 0):
                    _remove(place)

    def _build(self, place: Path, build: Builder, title: str) -> None:
        partial = place.with_name(f"{place.name}.partial")
        _remove(partial)
        try:
            with _disk_full(title, place):
                tree = partial / "tree"
                tree.mkdir(parents=True)
                begin = time.monotonic()
                build(tree)
                manifest = {
                    "title": title,
                    "made": int(time.time()),
                    "seconds": round(time.monotonic() - begin, 1),
                    "files": _describe(tree),
                }
                write_json(partial / "manifest.json", manifest)
                partial.rename(place)
        finally:
            _remove(partial)

    def _damage(self, place: Path) -> str | None:
        """What is wrong with an entry, None if nothing. Hashes only files whose inode has changed."""
        try:
            manifest = json.loads((place / "manifest.json").read_text(encoding="utf-8"))
            files: dict[str, dict[str, Any]] = manifest["files"]
            touched = False
            for name, known in files.items():
                path = place / "tree" / name
                now = _stat(path)
                if all(now.get(field) == known.get(field) for field in now):
                    continue
                if "link" in known or now.get("size") != known["size"] or hash_file(path) != known["sha256"]:
                    return f"{name} has changed"
                known.update(now)
                touched = True
        except FileNotFoundError as error:
            return f"{Path(error.filename).name} is missing"
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            return f"unreadable manifest or file: {error}"
        if touched:
            with contextlib.suppress(OSError):
                write_json(place / "manifest.json", manifest)
        return None

    def _sweep(self) -> None:
        """Remove what killed builders left behind."""
        for partial in self.root.glob("*/*.partial"):
            place = partial.with_name(partial.name.removesuffix(".partial"))
            with contextlib.suppress(filelock.Timeout), _file_lock(place, 0):
                _remove(partial)

    @contextlib.contextmanager
    def _lock(self, place: Path, title: str) -> Iterator[None]:
        lock = _file_lock(place, -1)
        waiting = False
        while not lock.is_locked:
            try:
                lock.acquire(timeout=2)
            except filelock.Timeout:
                if commands.stopping():
                    raise KeyboardInterrupt from None
                if not waiting:
                    progress.say(f"waiting for another process or thread that makes the {title}")
                waiting = True
        try:
            yield
        finally:
            lock.release()


def _file_lock(place: Path, timeout: float) -> filelock.BaseFileLock:
    return filelock.FileLock(place.with_name(f"{place.name}.lock"), timeout=timeout)


def tree_size(root: Path) -> int:
    """Bytes that a directory takes on the disk."""
    return sum(path.lstat().st_blocks * 512 for path in _walk(root))


def read_json(path: Path) -> Any:
    """The content of a JSON file. OSError or ValueError: not there, or not JSON."""
    return json.loads(path.read_text(encoding="utf-8"))


def write_json(path: Path, value: object) -> None:
    """Write JSON so that a reader sees the old or the new file, never a part."""
    with tempfile.NamedTemporaryFile(
        "w", encoding="utf-8", dir=path.parent, prefix=f".{path.name}-", delete=False
    ) as stream:
        try:
            json.dump(value, stream, indent=1)
            stream.flush()
            Path(stream.name).replace(path)
        except BaseException:
            Path(stream.name).unlink()
            raise


@contextlib.contextmanager
def _disk_full(title: str, place: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        free = shutil.disk_usage(place.parent).free
        raise HarnessError(
            f"the disk is full: no room for the {title} ({free >> 20} MiB free at {place.parent})",
            hint="make room (./inv clean shows what the cache takes), or set XDG_CACHE_HOME to another disk",
        ) from None


def _stat(path: Path) -> dict[str, Any]:
    """What changes when a file's content changes, without reading it."""
    info = path.lstat()
    if stat.S_ISLNK(info.st_mode):
        return {"link": str(path.readlink())}
    return {
        "size": info.st_size,
        "mtime": info.st_mtime_ns,
        "ctime": info.st_ctime_ns,
        "inode": info.st_ino,
        "mode": stat.S_IMODE(info.st_mode),
    }


def _describe(tree: Path) -> dict[str, dict[str, Any]]:
    files = {}
    for path in _walk(tree):
        known = _stat(path)
        if "link" not in known:
            known["sha256"] = hash_file(path)
        files[str(path.relative_to(tree))] = known
    return files


def _remove(path: Path, patience: int = 20) -> None:
    """Remove a directory, also while a program whose starter was killed still writes into it."""
    for left in reversed(range(patience)):
        try:
            shutil.rmtree(path)
        except FileNotFoundError:
            if not path.exists():
                return
        except OSError as error:
            if error.errno != errno.ENOTEMPTY or not left:
                raise
            time.sleep(0.1)
