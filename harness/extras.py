# SPDX-License-Identifier: MIT
"""Python packages that only some tasks need: installed into ./inv's environment when one first needs them.

Which they are, and why, is in pyproject.toml, `[project.optional-dependencies]`.
"""

from __future__ import annotations

import importlib
import importlib.util
import shlex
import sys
import tomllib
from pathlib import Path
from typing import Any

import filelock

from harness import commands, hostdeps, progress, settings
from harness.errors import HarnessError
from harness.paths import REPO


def load(extra: str, module: str) -> Any:
    """A module of an extra, installed if it is not there. HarnessError: offline, or pip fails."""
    require(extra, module)
    return importlib.import_module(module)


def require(extra: str, module: str) -> None:
    """Make sure that a module of an extra can be imported. HarnessError: offline, or pip fails."""
    if importlib.util.find_spec(module):
        return
    install = [sys.executable, "-m", "pip", "install", "--quiet", *_requirements(extra)]
    if settings.offline():
        raise HarnessError(f"{module} is not installed, and this is offline", hint=shlex.join(install))
    if extra in hostdeps.GROUPS:
        hostdeps.require(extra)
    with filelock.FileLock(Path(sys.prefix) / "extras.lock"):
        importlib.invalidate_caches()
        if not importlib.util.find_spec(module):
            with progress.step(f"install {module}", always=True):
                commands.run(
                    install, log=f"pip-{extra}", what=f"installing {module}", hint=shlex.join(install)
                )
    importlib.invalidate_caches()


def _requirements(extra: str) -> list[str]:
    project = tomllib.loads((REPO / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return list(project["optional-dependencies"][extra])
