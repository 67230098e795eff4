# SPDX-License-Identifier: MIT
"""What the cache takes, and removing it."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from harness import paths, progress
from harness.cache import Cache, Size, tree_size
from harness.errors import unknown_name

# Everything below the cache directory that is not in the store, and what it is.
OTHERS = {
    "apt": "package indices and downloads",
    "resolved": "which versions were taken",
    "runs": "logs of runs",
    "venv": "Python environments of ./inv",
    "downloads": "half-fetched files",
}


def run(kinds: Sequence[str], everything: bool) -> None:
    """Show sizes; remove some kinds, or everything. HarnessError: unknown kind, with the list."""
    root, cache = paths.cache_root(), Cache()
    stored = {size.kind: size for size in cache.sizes()}
    others = {name: root / name for name in OTHERS if (root / name).is_dir()}
    for kind in kinds:
        if kind not in stored and kind not in others:
            raise unknown_name("kind of cache entry", kind, [*stored, *others])
    chosen = [*stored, *others] if everything else list(kinds)
    sizes = [*stored.values(), *(Size(name, _count(path), tree_size(path)) for name, path in others.items())]
    for size in sizes:
        mark = "  removed" if size.kind in chosen and not _in_use(others.get(size.kind)) else ""
        print(f"{size.kind:12} {size.entries:5} entries {size.bytes / (1 << 20):9.1f} MiB{mark}")
    print(f"{'total':12} {'':13} {sum(size.bytes for size in sizes) / (1 << 20):9.1f} MiB  {root}")
    for kind in chosen:
        if kind in stored:
            cache.remove(kind)
        elif _in_use(others[kind]):
            _remove_others(others[kind])
        else:
            shutil.rmtree(others[kind])
    if not chosen:
        progress.say("nothing removed: ./inv clean --kind KIND, or --everything")


def _count(directory: Path) -> int:
    return sum(1 for path in directory.iterdir() if path.is_dir())


def _in_use(directory: Path | None) -> bool:
    """True for the directory of the Python environment that runs this."""
    return directory is not None and Path(sys.prefix).is_relative_to(directory)


def _remove_others(directory: Path) -> None:
    for path in directory.iterdir():
        if not Path(sys.prefix).is_relative_to(path):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
