# SPDX-License-Identifier: MIT
"""Runs pytest over the unit tests, the guest tests, or both."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from harness import emulator, hostdeps, paths, progress, qemu
from harness.paths import REPO
from harness.prepare import prepare

# Tells the guest tests which kernel to boot.
KERNEL_VARIABLE = "ESP_HOSTED_KERNEL"


def run(unit: bool, guest: bool, kernel: str | None, arguments: Sequence[str]) -> int:
    """pytest's exit status. Neither `unit` nor `guest` means both; `arguments` go to pytest as they are."""
    both = unit == guest
    chosen = [REPO / "tests" / "unit"] if unit or both else []
    chosen += [REPO / "tests" / "guest"] if guest or both else []
    hostdeps.require("module", "dtb")
    junit = paths.run_dir() / "junit.xml"
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
    command = [sys.executable, "-m", "pytest", f"--junitxml={junit}", *arguments, *map(str, chosen)]
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
