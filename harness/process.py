# SPDX-License-Identifier: MIT
"""Child processes that never outlive this one, however it ends."""

from __future__ import annotations

import atexit
import shutil
import signal
import subprocess
import weakref
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from harness.errors import HarnessError

_children: weakref.WeakSet[subprocess.Popen[bytes]] = weakref.WeakSet()


def start(
    arguments: Sequence[str],
    *,
    stdin: int | None = subprocess.DEVNULL,
    stdout: IO[bytes] | int | None = None,
    stderr: IO[bytes] | int | None = None,
    pass_fds: Sequence[int] = (),
    cwd: Path | None = None,
    own_session: bool = True,
) -> subprocess.Popen[bytes]:
    """Start a program that the kernel kills when the calling *thread* ends, so call it from the main thread.

    With `own_session` a Ctrl-C in the terminal reaches only this process, which then can still ask the
    child what happened before it ends it. HarnessError: the program is not there.
    """
    setpriv = shutil.which("setpriv")
    prefix = [setpriv, "--pdeathsig", "KILL"] if setpriv else []
    program = shutil.which(arguments[0])
    if program is None:
        raise HarnessError(f"{arguments[0]} is not installed", hint="./inv doctor shows what is missing")
    child = subprocess.Popen(
        [*prefix, program, *arguments[1:]],
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        pass_fds=tuple(pass_fds),
        cwd=cwd,
        start_new_session=own_session,
    )
    _children.add(child)
    return child


def stop(child: subprocess.Popen[bytes], grace: float = 5.0) -> int:
    """End a child (SIGTERM, after `grace` seconds SIGKILL), reap it, return its exit status."""
    if child.poll() is None:
        with suppress(ProcessLookupError):
            child.send_signal(signal.SIGTERM)
        try:
            child.wait(grace)
        except subprocess.TimeoutExpired:
            child.kill()
    status = child.wait()
    _children.discard(child)
    return status


@atexit.register
def _stop_all() -> None:
    for child in list(_children):
        stop(child, grace=1.0)
