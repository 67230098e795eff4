# SPDX-License-Identifier: MIT
"""What "the newest in this suite" turned out to be, remembered for a while.

A moving name (the newest kernel of a series) is resolved once, recorded with the time, and used until the
record is old. Offline the record is used however old it is.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness import cache, paths, progress, settings
from harness.errors import HarnessError

MAX_AGE_SECONDS = 7 * 24 * 3600
REFRESH_VARIABLE = "ESP_HOSTED_REFRESH"


def recorded(name: str) -> Any:
    """The recorded value of `name` however old, None if there is none; asks nobody."""
    try:
        return json.loads(_path(name).read_text(encoding="utf-8"))["value"]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _path(name: str) -> Path:
    return paths.cache_root() / "resolved" / f"{name}.json"


def pinned(name: str, ask: Callable[[], Any], cached: Callable[[Any], bool]) -> Any:
    """The recorded value of `name`, or what `ask` says now; a value is JSON.

    Asks when there is no record, the record is old, ESP_HOSTED_REFRESH is set, or the cache lacks what
    the record stands for (`cached` says so): what has to be fetched may as well be the newest.
    """
    path = _path(name)
    path.parent.mkdir(exist_ok=True)
    record: dict[str, Any] = {}
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        value, age = record["value"], time.time() - record["at"]
        usable = cached(value)
    except (OSError, ValueError, KeyError, TypeError):
        record, value, age, usable = {}, None, 0.0, False
    refresh = os.environ.get(REFRESH_VARIABLE, "") not in ("", "0")
    if usable and (settings.offline() or (age < MAX_AGE_SECONDS and not refresh)):
        return value
    if record and settings.offline():
        return value
    try:
        now = ask()
    except HarnessError as error:
        if not usable:
            raise
        progress.warn(f"{name}: cannot look for a newer one, using what the cache has ({error.message})")
        return value
    if record and now != value:
        progress.say(
            f"{name}: the archive has changed since {time.strftime('%F', time.localtime(record['at']))}"
        )
    cache.write_json(path, {"at": time.time(), "value": now})
    return now
