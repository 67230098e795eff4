# SPDX-License-Identifier: MIT
"""Runs pytest over the unit tests, the guest tests, or both."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from harness import boards, emulator, extras, farm, hostdeps, paths, progress, qemu, survey
from harness.errors import HarnessError
from harness.paths import REPO
from harness.prepare import prepare
from harness.ssh import SshTarget

# Tells the guest tests which kernel to boot.
KERNEL_VARIABLE = "ESP_HOSTED_KERNEL"
# pytest's exit status when it collected no test.
NOTHING_TO_RUN = 5


def run(unit: bool, guest: bool, kernel: str | None, arguments: Sequence[str]) -> int:
    """pytest's exit status. Neither `unit` nor `guest` means both; `arguments` go to pytest as they are.

    Unit tests come first and use all processors; guest tests share one boot, so they run in one process.
    """
    both = unit == guest
    hostdeps.require("module", "dtb", "test")
    if unit or both:
        extras.require("bindings", "libfdt")
    environment = dict(os.environ)
    # The device's own tests run in an emulator without a guest. Unit tests alone do not wait minutes for one.
    program: Path | None = None
    if guest or both:
        program = prepare(kernel).qemu
    elif emulator.ready():
        program = emulator.build()
    if program:
        environment.setdefault(qemu.OVERRIDE, str(program))
    else:
        progress.warn("the emulator is not built (./inv qemu): its own tests are skipped")
    if kernel:
        environment[KERNEL_VARIABLE] = kernel
    results = []
    if unit or both:
        # A file's tests stay together: they share what the first of them builds. Half of them mostly wait.
        parallel = [f"--numprocesses={2 * (os.cpu_count() or 1)}", "--dist=loadfile"]
        results.append(_pytest("unit", [*parallel, *arguments], environment))
    if guest or both:
        results.append(_pytest("guest", arguments, environment))
    # With -k one of the two may have nothing to run; not both.
    failed = [status for status in results if status not in (0, NOTHING_TO_RUN)]
    if failed:
        return failed[0]
    return 0 if 0 in results else NOTHING_TO_RUN


def run_on_board(board: str, host: str, identity: str, labgrid: str, arguments: Sequence[str]) -> int:
    """pytest's exit status of the guest tests on a board; those that need the model are skipped.

    The board is reached over SSH, or by what a labgrid environment file says.

    HarnessError: unknown board, no connection, or the driver is not there.
    """
    chosen = boards.load(board)
    key = Path(identity).resolve() if identity else None
    with contextlib.closing(
        farm.connect(Path(labgrid)) if labgrid else SshTarget(host, identity=key)
    ) as target:
        survey.check(survey.take(target), chosen.arch, chosen.name)
        if not target.run(["modinfo", "-n", "esp_hosted"], check=False).ok:
            raise HarnessError(
                f"{target.name} has no module for its kernel",
                hint=f"./inv deploy --board {board} --host {host}",
            )
    options = [f"--labgrid={Path(labgrid).resolve()}"] if labgrid else [f"--host={host}"]
    options += [f"--identity={key}"] if key else []
    return _pytest("guest", [*options, *arguments], os.environ)


def after_dashes(words: Sequence[str]) -> list[str]:
    """The words after `--` on a command line, as they were quoted: invoke joins them with blanks."""
    return list(words[words.index("--") + 1 :]) if "--" in words else []


def _pytest(group: str, arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    junit = paths.run_dir() / f"junit-{group}.xml"
    tests = REPO / "tests" / group
    command = [sys.executable, "-m", "pytest", f"--junitxml={junit}", *arguments, str(tests)]
    # Not through the command runner: pytest talks to the terminal itself, and gets its Ctrl-C.
    process = subprocess.Popen(command, cwd=REPO, env=environment)
    try:
        status = process.wait()
    except BaseException:
        process.terminate()
        process.wait()
        raise
    progress.say(f"results: {junit}")
    return status
