# SPDX-License-Identifier: MIT
"""Where a test runs: a machine that takes commands. Tests know only `Target`, never what is behind it."""

from __future__ import annotations

import abc
import base64
import itertools
import json
import re
import shlex
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.console import Console, GuestCrashError, GuestError
from harness.errors import HarnessError
from harness.qemu import Machine, MachineConfig
from harness.qmp import MonitorError

Command = str | Sequence[str]
"""A list is a program and its arguments, taken literally; a string is a shell script."""

READY = "esp-hosted guest ready"
# An instrumented kernel on a busy host takes two minutes.
BOOT_SECONDS = 300.0
TIMEOUT = 30.0
# How long a kernel that lives may take to answer a SysRq key.
SYSRQ_SECONDS = 2.0
# A crash ends the guest at once: what follows an Oops proves nothing.
TEST_KERNEL_WORDS = ("oops=panic", "panic=-1")


@dataclass(frozen=True)
class Result:
    """What a command did."""

    command: str
    status: int
    raw: bytes
    """Standard output as bytes."""
    stderr: str
    seconds: float
    """Duration as seen from here."""
    late: bool = False
    """True if it took too long and was ended (status 124)."""

    @property
    def stdout(self) -> str:
        """Standard output as text."""
        return self.raw.decode("utf-8", errors="replace")

    @property
    def ok(self) -> bool:
        """True for exit status 0."""
        return self.status == 0

    def lines(self) -> list[str]:
        """The lines of standard output."""
        return self.stdout.splitlines()


class CommandError(HarnessError):
    """A command ended with another status than 0."""

    def __init__(self, result: Result, what: str | None = None) -> None:
        said = "\n".join(f"  | {line}" for line in (result.stdout + result.stderr).splitlines()[-25:])
        super().__init__(
            f"{what or f'exit status {result.status}'}: {result.command}" + (f"\n{said}" if said else "")
        )
        self.result = result


class CommandTimeoutError(CommandError):
    """A command did not end in its time and was ended by the guest; the guest itself is fine."""

    def __init__(self, result: Result, timeout: float) -> None:
        super().__init__(result, f"not finished within {timeout:g} s")


def render(command: Command) -> str:
    """The shell text of a command."""
    return command if isinstance(command, str) else shlex.join(command)


@dataclass
class Job:
    """A command that runs on the target while the test does something else."""

    target: Target
    number: int
    command: str
    _result: Result | None = None

    @property
    def _base(self) -> str:
        return f"{JOBS}/{self.number}"

    def running(self) -> bool:
        """True until the command has ended."""
        return (
            self._result is None
            and not self.target.run(["test", "-e", f"{self._base}.status"], check=False).ok
        )

    def signal(self, name: str = "TERM") -> None:
        """Send a signal to the command and everything it started; harmless when it has ended."""
        self.target.run(f'kill -{name} -"$(cat {self._base}.pid)"', check=False)

    def wait(self, timeout: float = TIMEOUT, check: bool = True) -> Result:
        """Its result, at the latest after `timeout` seconds; errors as `Target.run`."""
        if self._result is None:
            begin = time.monotonic()
            waiting = f"while [ ! -e {self._base}.status ]; do sleep 0.05; done"
            if not self.target.run(waiting, timeout=timeout, check=False).ok:
                partial = self._collect(-1, begin)
                self.stop()
                raise CommandTimeoutError(partial, timeout)
            status = int(self.target.run(["cat", f"{self._base}.status"]).stdout)
            self._result = self._collect(status, begin)
            self.target.run(f"rm -f {self._base}.*")
        if check and not self._result.ok:
            raise CommandError(self._result)
        return self._result

    def stop(self, name: str = "TERM", timeout: float = 5.0) -> Result:
        """End the command (SIGKILL if it does not go within `timeout`) and return what it said."""
        if self._result is not None:
            return self._result
        self.signal(name)
        try:
            waiting = f"while [ ! -e {self._base}.status ]; do sleep 0.05; done"
            if not self.target.run(waiting, timeout=timeout, check=False).ok:
                self.signal("KILL")
        finally:
            self._result = self._collect(-1, time.monotonic())
        return self._result

    def output(self) -> str:
        """What it has written so far to both outputs."""
        return self.target.run(f"cat {self._base}.out {self._base}.err", check=False).stdout

    @property
    def log(self) -> str:
        """The file on the target into which its standard output goes while it runs."""
        return f"{self._base}.out"

    def wait_output(self, pattern: str, timeout: float = TIMEOUT, count: int = 1) -> None:
        """Wait until `count` lines of its output match an extended regular expression."""
        matches = f"$(cat {self._base}.out {self._base}.err | grep -cE {shlex.quote(pattern)})"
        script = (
            f'until [ "{matches}" -ge {count} ]; do [ ! -e {self._base}.status ] || exit 3; sleep 0.05; done'
        )
        result = self.target.run(script, timeout=timeout, check=False)
        if not result.ok:
            said = self.output()
            raise HarnessError(f"{self.command} did not say {pattern!r} within {timeout:g} s, but:\n{said}")

    def _collect(self, status: int, begin: float) -> Result:
        raw = self.target.run(["cat", f"{self._base}.out"], check=False).raw
        stderr = self.target.run(["cat", f"{self._base}.err"], check=False).stdout
        return Result(self.command, status, raw, stderr, time.monotonic() - begin)


JOBS = "/run/harness/jobs"


class Answers(dict[str, list[str]]):
    """What a script on a target printed: lines of a key, a blank and a value; keys may come again."""

    @classmethod
    def parse(cls, text: str) -> Answers:
        """All values by key, in their order."""
        found = cls()
        for line in text.splitlines():
            key, _, value = line.strip().partition(" ")
            found.setdefault(key, []).append(value.strip())
        return found

    def one(self, key: str) -> str:
        """The first value of a key, "" without one."""
        return next(iter(self.get(key, [])), "")


class Target(abc.ABC):
    """A machine that takes commands, one after another. A subclass gives `_execute`, the rest follows."""

    name: str
    log: Path | None = None
    """Every command and its answer in plain text."""

    def __init__(self) -> None:
        self._jobs = itertools.count(1)

    @abc.abstractmethod
    def _execute(self, script: str, timeout: float) -> Result:
        """Run a shell script; `late` in the result if `timeout` seconds were not enough. GuestError: no
        machine any more."""

    def run(self, command: Command, *, timeout: float = TIMEOUT, check: bool = True) -> Result:
        """Run a command to its end.

        With `check`: CommandError for a status other than 0, CommandTimeoutError if it was not done in
        `timeout` seconds and had to be ended (without `check` that is `late` in the result). GuestError:
        the machine is gone, in any case.
        """
        script = render(command)
        result = self._execute(script, timeout)
        self._note(result)
        if check and result.late:
            raise CommandTimeoutError(result, timeout)
        if check and not result.ok:
            raise CommandError(result)
        return result

    def run_json(self, command: Command, *, timeout: float = TIMEOUT) -> Any:
        """Run a command that prints JSON; the parsed value. HarnessError: it printed something else."""
        result = self.run(command, timeout=timeout)
        try:
            return json.loads(result.stdout)
        except json.JSONDecodeError as error:
            raise HarnessError(
                f"{result.command} printed no JSON ({error}):\n{result.stdout[:500]}"
            ) from None

    def spawn(self, command: Command) -> Job:
        """Start a command and return at once."""
        number = next(self._jobs)
        base = f"{JOBS}/{number}"
        script = render(command)
        inner = shlex.quote(
            f"trap : TERM INT HUP; echo $$ >{base}.pid; "
            f"( {script}\n) >{base}.out 2>{base}.err </dev/null; "
            f"echo $? >{base}.new; mv {base}.new {base}.status"
        )
        # The new session outlives this command's own process group; its shell's number is the group's. As
        # always with "&" in a shell script, SIGINT is ignored in it: use SIGTERM.
        self.run(
            f"mkdir -p {JOBS}; setsid /bin/sh -c {inner} >/dev/null 2>&1 </dev/null & "
            f"until [ -s {base}.pid ] && [ -e {base}.err ]; do sleep 0.02; done"
        )
        return Job(self, number, script)

    def read_file(self, path: str) -> bytes:
        """The contents of a file."""
        return self.run(["cat", path]).raw

    def write_file(self, path: str, data: bytes | str, mode: int = 0o644) -> None:
        """Create or replace a file, meant for small ones."""
        raw = data.encode() if isinstance(data, str) else data
        quoted = shlex.quote(path)
        code = base64.encodebytes(raw).decode("ascii")
        self.run(
            f"base64 -d >{quoted} <<'END'\n{code}END\nchmod {mode:o} {quoted}",
            timeout=TIMEOUT + len(raw) / 20_000,
        )

    def release(self) -> str:
        """The running kernel's release."""
        return self.run(["uname", "-r"]).stdout.strip()

    def usable(self) -> bool:
        """False once the machine crashed or hung."""
        return True

    @abc.abstractmethod
    def close(self) -> None:
        """Give the machine up."""

    def _note(self, result: Result) -> None:
        if self.log is None:
            return
        said = result.stdout if b"\0" not in result.raw else f"({len(result.raw)} bytes, not text)\n"
        with self.log.open("a", encoding="utf-8") as log:
            log.write(
                f"# {result.command}\n{said}{result.stderr}"
                f"[exit status {result.status}, {result.seconds:.2f} s]\n\n"
            )


class QemuTarget(Target):
    """A guest of QEMU, over its serial console."""

    def __init__(self, machine: Machine, boot_timeout: float = BOOT_SECONDS) -> None:
        """Wait until the guest says that it is ready. GuestError with the console's end if it does not."""
        super().__init__()
        self.machine = machine
        self.name = f"{machine.config.board.name} in QEMU"
        self.log = machine.run_dir / "commands.log"
        self._lost: str | None = None
        self.console = Console(machine.console, self._show_hang)
        try:
            self.console.wait_for(re.escape(READY) + r"\r?\n", boot_timeout, f"boot until {READY!r}")
            self.console.attach()
        except GuestError as error:
            if not machine.running() and machine.log_tail():
                error.message += f"\nQEMU's last words:\n{machine.log_tail()}"
            error.log = error.log or machine.console_log
            raise
        self.boot_seconds = time.monotonic() - machine.started

    def _execute(self, script: str, timeout: float) -> Result:
        if self._lost:
            raise GuestCrashError(f"the guest is gone: {self._lost}", log=self.machine.console_log)
        try:
            frame = self.console.execute(script, timeout)
        except GuestError as error:
            self._lost = error.message.splitlines()[0]
            error.log = self.machine.console_log
            raise
        stderr = frame.stderr.decode("utf-8", errors="replace")
        return Result(script, frame.status, frame.stdout, stderr, frame.seconds, frame.late)

    def _show_hang(self) -> None:
        """Have a hanging guest print its blocked tasks and what its CPUs do."""
        with suppress(MonitorError, OSError):
            for key, title in (
                ("9", "Changing Loglevel"),
                ("w", "Show Blocked State"),
                ("l", "Show backtrace"),
            ):
                # The UART remembers one break only: wait until it was taken.
                self.machine.send_break()
                self.machine.console.send(key.encode())
                self.console.appears(title, SYSRQ_SECONDS)

    def usable(self) -> bool:
        return self._lost is None and self.machine.running()

    def close(self) -> None:
        self.machine.stop()


def boot(
    config: MachineConfig, program: Path, run_dir: Path, boot_timeout: float = BOOT_SECONDS
) -> QemuTarget:
    """Start a machine and wait for its shell; nothing is left running if that fails."""
    machine = Machine(config, program, run_dir)
    try:
        return QemuTarget(machine, boot_timeout)
    except BaseException:
        machine.stop()
        raise
