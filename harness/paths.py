# SPDX-License-Identifier: MIT
"""Where things are: the checkout, the cache, the logs of runs."""

from __future__ import annotations

import datetime
import functools
import os
import shutil
from pathlib import Path

import platformdirs

REPO = Path(__file__).resolve().parent.parent
APPLICATION = "esp-hosted"
# Logs of older runs are removed.
KEPT_RUNS = 40


def cache_root() -> Path:
    """The directory of everything that can be fetched or built again; created when missing."""
    root = platformdirs.user_cache_path(APPLICATION, appauthor=False)
    root.mkdir(parents=True, exist_ok=True)
    return root


def runs_root() -> Path:
    """The directory that holds one directory of logs a run; `ESP_HOSTED_RUNS` moves it."""
    root = Path(os.environ.get("ESP_HOSTED_RUNS") or cache_root() / "runs")
    root.mkdir(parents=True, exist_ok=True)
    return root


@functools.cache
def run_dir() -> Path:
    """This process's own directory below `runs_root()`; `latest` there points to the newest."""
    stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    root = runs_root()
    directory = root / f"{stamp}-{os.getpid()}"
    _drop_old(root)
    directory.mkdir(parents=True, exist_ok=True)
    link = root / f".latest-{os.getpid()}"
    link.symlink_to(directory.name)
    link.replace(root / "latest")
    return directory


def _drop_old(root: Path) -> None:
    """Keep the logs of the last runs only; never those of the last day."""
    runs = sorted(path for path in root.iterdir() if path.is_dir() and not path.is_symlink())
    yesterday = datetime.datetime.now().timestamp() - 24 * 3600
    for path in runs[:-KEPT_RUNS]:
        if path.stat().st_mtime < yesterday:
            shutil.rmtree(path, ignore_errors=True)
