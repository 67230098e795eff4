# SPDX-License-Identifier: MIT
"""A board of a labgrid farm as a target: reservation, power, boot and console are labgrid's.

Whatever driver of labgrid's takes commands will do: SSHDriver, or ShellDriver on a serial console.
"""

from __future__ import annotations

import base64
import contextlib
import importlib
import shlex
import time
from pathlib import Path
from typing import Any, Protocol

from harness import extras
from harness.errors import HarnessError
from harness.target import Result, Target

# How long beyond its own time limit an answer may be under way.
GRACE_SECONDS = 30.0
MARK = "esp-hosted-output"


class CommandDriver(Protocol):
    """What labgrid calls CommandProtocol."""

    def run(self, cmd: str, *, timeout: float) -> tuple[list[str], list[str], int]:
        """Lines of both outputs, and the status."""


class LabgridTarget(Target):
    """A board behind a command driver. The user there has to be root."""

    def __init__(self, name: str, driver: CommandDriver) -> None:
        super().__init__()
        self.name = name
        self._driver = driver

    def _execute(self, script: str, timeout: float) -> Result:
        # A console has one stream of text: outputs come back coded, one after the other.
        command = (
            f"d=$(mktemp -d); timeout -k 2 {timeout:g} sh -c {shlex.quote(script)} >$d/o 2>$d/e </dev/null; "
            f"s=$?; base64 <$d/o; echo {MARK}; base64 <$d/e; echo {MARK}; rm -r $d; exit $s"
        )
        # A newline would end the command on a console.
        coded = base64.b64encode(command.encode()).decode("ascii")
        begin = time.monotonic()
        try:
            lines, _, status = self._driver.run(
                f'sh -c "$(echo {coded} | base64 -d)"', timeout=timeout + GRACE_SECONDS
            )
        except Exception as error:
            raise HarnessError(f"{self.name}: labgrid: {error}") from error
        seconds = time.monotonic() - begin
        parts = "\n".join(lines).split(MARK)
        if len(parts) != 3:
            raise HarnessError(
                f"{self.name}: the answer to {script.splitlines()[0]!r} is not whole: {lines[-3:]}"
            )
        raw, stderr = (base64.b64decode(part) for part in parts[:2])
        late = status in (124, 137) and seconds >= timeout
        return Result(script, status, raw, stderr.decode("utf-8", errors="replace"), seconds, late)

    def close(self) -> None:
        """labgrid gives the board up when this process ends."""


def connect(environment: Path, name: str = "main") -> LabgridTarget:
    """The board of a labgrid environment file, booted to a shell if it has a strategy.

    HarnessError: labgrid cannot be had, or says that something is wrong.
    """
    labgrid = extras.load("farm", "labgrid")
    importlib.import_module("labgrid.exceptions")
    try:
        found: Any = labgrid.Environment(str(environment)).get_target(name)
        with contextlib.suppress(labgrid.exceptions.NoDriverFoundError):
            found.get_driver("Strategy", activate=False).transition("shell")
        driver = found.get_driver("CommandProtocol")
    except Exception as error:
        raise HarnessError(
            f"{environment}: labgrid: {error}", hint="try: labgrid-client -c FILE shell"
        ) from error
    return LabgridTarget(f"{name} of {environment.name}", driver)
