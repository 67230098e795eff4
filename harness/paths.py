# SPDX-License-Identifier: MIT
"""Where things are: the checkout, the cache, the logs of runs."""

from __future__ import annotations

import datetime
import functools
import os
from pathlib import Path

import platformdirs

REPO = Path(__file__).resolve().parent.parent
APPLICATION = "esp-hosted"


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
    directory.mkdir(parents=True, exist_ok=True)
    link = root / f".latest-{os.getpid()}"
    link.symlink_to(directory.name)
    link.replace(root / "latest")
    return directory
