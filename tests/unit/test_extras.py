# SPDX-License-Identifier: MIT
"""Packages that are installed when a task first needs them."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from harness import commands, extras, settings
from harness.errors import HarnessError

MODULE = "a_module_of_an_extra"


@pytest.fixture
def missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory on the path in which the module is not yet."""
    monkeypatch.setattr(extras, "_requirements", lambda extra: [f"{extra}>=1"])
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, MODULE, raising=False)
    return tmp_path


def test_offline_nothing_is_installed(missing: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "offline", lambda: True)
    with pytest.raises(HarnessError, match=f"{MODULE} is not installed, and this is offline") as caught:
        extras.load("one", MODULE)
    assert caught.value.hint and caught.value.hint.endswith("-m pip install --quiet 'one>=1'")


def test_installed_once(missing: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = []

    def pip(command: list[str], **_: object) -> None:
        ran.append(command[1:])
        (missing / f"{MODULE}.py").write_text("ANSWER = 42\n")

    monkeypatch.setattr(settings, "offline", lambda: False)
    monkeypatch.setattr(commands, "run", pip)
    for _ in range(2):
        assert extras.load("one", MODULE).ANSWER == 42
    assert ran == [["-m", "pip", "install", "--quiet", "one>=1"]]


def test_a_failure_names_the_command(missing: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "offline", lambda: False)
    monkeypatch.setattr(extras, "_requirements", lambda extra: ["--no-such-option"])
    with pytest.raises(HarnessError, match=f"installing {MODULE}") as caught:
        extras.require("one", MODULE)
    assert caught.value.hint and "pip install" in caught.value.hint
    importlib.invalidate_caches()


@pytest.mark.parametrize("extra", ["flash", "bindings", "farm"])
def test_every_extra_is_in_the_project_file(extra: str) -> None:
    assert all(">=" in requirement for requirement in extras._requirements(extra))
