# SPDX-License-Identifier: MIT
"""External commands: logged, stoppable, and with an error that shows their last lines."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness import paths
from harness.errors import HarnessError

TAIL_LINES = 15
TAIL_COLUMNS = 240
# Debian's default path for users lacks these, where depmod lives.
SBIN = f"{os.pathsep}/usr/sbin{os.pathsep}/sbin"
_running: set[subprocess.Popen[bytes]] = set()
_running_lock = threading.Lock()
_stopping = threading.Event()

Argument = str | Path


@dataclass(frozen=True)
class Finished:
    """A command that ended."""

    args: tuple[str, ...]
    status: int
    output: str
    """Standard output and standard error as they came, or standard output alone (see `run`)."""
    log: Path | None

    def error(self, what: str | None = None, hint: str | None = None) -> HarnessError:
        """The error that says this command failed."""
        tail = "\n".join(f"  | {line[:TAIL_COLUMNS]}" for line in self.output.splitlines()[-TAIL_LINES:])
        if "No space left on device" in self.output:
            hint = "the disk is full: make room (./inv clean shows what the cache takes)"
        message = f"{what or shlex.join(self.args[:4])} failed ({describe(self.status)})"
        return HarnessError(f"{message}:\n{tail}" if tail else message, hint=hint, log=self.log)


def describe(status: int) -> str:
    """An exit status in words."""
    if status < 0:
        return f"killed by {signal.Signals(-status).name}"
    return f"exit status {status}"


def log_path(name: str) -> Path:
    """The file below this run's directory in which the commands of one step are logged."""
    return paths.run_dir() / f"{name}.log"


def run(
    args: Sequence[Argument],
    *,
    log: str,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    on_line: Callable[[str], None] | None = None,
    check: bool = True,
    what: str | None = None,
    hint: str | None = None,
) -> Finished:
    """Run a command to its end; both its outputs go to the log of that name and into the result.

    `env` is added to the environment, `on_line` sees every line as it comes, `what` names the command in
    the error. HarnessError if it cannot be started, or fails and `check` is set. When this process is
    interrupted the command and all it started are ended first.
    """
    path = log_path(log)
    words = tuple(str(arg) for arg in args)
    tail: deque[str] = deque(maxlen=4000)
    # Each line at once: somebody may be following.
    with path.open("a", buffering=1, encoding="utf-8", errors="replace") as stream:
        stream.write(f"$ {shlex.join(words)}\n")
        with _process(words, cwd, env, subprocess.STDOUT) as process:
            assert process.stdout is not None
            for raw in process.stdout:
                line = raw.decode("utf-8", "replace")
                stream.write(line)
                tail.append(line)
                if on_line is not None:
                    on_line(line.rstrip())
            status = process.wait()
        if _stopping.is_set():
            raise KeyboardInterrupt
        if status:
            stream.write(f"({describe(status)})\n")
    result = Finished(words, status, "".join(tail), path)
    if status and check:
        raise result.error(what, hint)
    return result


def output(
    args: Sequence[Argument],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    check: bool = True,
    what: str | None = None,
    hint: str | None = None,
) -> str:
    """The standard output of a short query, not logged. HarnessError as for `run`; "" if not `check`."""
    words = tuple(str(arg) for arg in args)
    with _process(words, cwd, env, subprocess.PIPE) as process:
        out, err = process.communicate()
    if process.returncode:
        if not check:
            return ""
        raise Finished(words, process.returncode, err.decode("utf-8", "replace"), None).error(what, hint)
    return out.decode("utf-8", "replace")


@contextlib.contextmanager
def _process(
    words: tuple[str, ...], cwd: Path | None, env: Mapping[str, str] | None, stderr: int
) -> Iterator[subprocess.Popen[bytes]]:
    if _stopping.is_set():
        raise KeyboardInterrupt
    environment = {**os.environ, "LC_ALL": "C.UTF-8", **(env or {})}
    environment["PATH"] = environment.get("PATH", os.defpath) + SBIN
    if shutil.which(words[0], path=environment["PATH"]) is None:
        raise HarnessError(
            f"the command {words[0]!r} is not installed", hint="./inv doctor shows what is missing"
        )
    # If this process is killed, the kernel ends what it has started.
    guard = ("setpriv", "--pdeathsig", "TERM", "--") if shutil.which("setpriv") else ()
    try:
        process = subprocess.Popen(
            [*guard, *words],
            cwd=cwd,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            start_new_session=True,
        )
    except OSError as error:
        raise HarnessError(f"cannot run {words[0]!r}: {error.strerror}") from None
    with _running_lock:
        _running.add(process)
    try:
        with process:
            try:
                yield process
            except BaseException:
                _end(process)
                raise
    finally:
        with _running_lock:
            _running.discard(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a command and everything in its session's process group."""
    for number, seconds in ((signal.SIGTERM, 5), (signal.SIGKILL, 5)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
            return


def stop_all() -> None:
    """End every command that a thread of this process is running, and start no more until `resume`."""
    _stopping.set()
    with _running_lock:
        processes = list(_running)
    for process in processes:
        _end(process)


def resume() -> None:
    """Allow commands again after `stop_all`."""
    _stopping.clear()


def stopping() -> bool:
    """True between `stop_all` and `resume`: whoever waits for something gives up."""
    return _stopping.is_set()
