# SPDX-License-Identifier: MIT
"""A board of a labgrid farm, behind a driver that runs commands here."""

from __future__ import annotations

import importlib.util
import subprocess
from pathlib import Path

import pytest

from harness import farm, settings
from harness.errors import HarnessError
from harness.target import CommandError, CommandTimeoutError


class ConsoleDriver:
    """As labgrid's ShellDriver on a serial console: one line in, lines of one stream out."""

    def __init__(self) -> None:
        self.noise: list[str] = []

    def run(self, cmd: str, *, timeout: float) -> tuple[list[str], list[str], int]:
        assert "\n" not in cmd
        done = subprocess.run(
            ["sh", "-c", cmd], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=timeout, check=False
        )
        return [*done.stdout.decode("ascii").splitlines(), *self.noise], [], done.returncode


def test_commands_over_a_console(tmp_path: Path) -> None:
    target = farm.LabgridTarget("board", ConsoleDriver())
    result = target.run("echo $((1 + 2)); echo 'two\n lines' >&2; printf '\\000\\377'", check=False)
    assert (result.raw, result.stderr, result.status) == (b"3\n\0\xff", "two\n lines\n", 0)
    assert target.run(["echo", "$HOME;", "a  b", "'"]).stdout == "$HOME; a  b '\n"
    with pytest.raises(CommandError, match="exit status 4"):
        target.run("exit 4")
    with pytest.raises(CommandTimeoutError, match=r"not finished within 0\.3 s"):
        target.run("sleep 9", timeout=0.3)
    data = bytes(range(256)) * 20
    target.write_file(str(tmp_path / "file"), data)
    assert target.read_file(str(tmp_path / "file")) == data


def test_an_answer_that_is_not_whole_is_an_error() -> None:
    driver = ConsoleDriver()
    driver.noise = [farm.MARK]
    with pytest.raises(HarnessError, match="the answer to 'echo' is not whole"):
        farm.LabgridTarget("board", driver).run("echo")


def test_without_labgrid_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(settings, "offline", lambda: True)
    with pytest.raises(HarnessError, match="labgrid is not installed") as caught:
        farm.connect(tmp_path / "env.yaml")
    assert caught.value.hint and "labgrid>=24" in caught.value.hint
