# SPDX-License-Identifier: MIT
"""The console against a real shell on a pseudo-terminal, and against one that the "kernel" talks into."""

from __future__ import annotations

import base64
import os
import pty
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from unittest.mock import ANY

import pytest

from harness import console
from harness.console import (
    Console,
    Frame,
    GuestCrashError,
    GuestHangError,
    escaped,
    parse_frame,
    strip_noise,
)
from tests.unit.processes import ends

pytestmark = pytest.mark.skipif(
    shutil.which("stty") is None or not sys.platform.startswith("linux"), reason="needs a Linux terminal"
)

OOPS = (
    "[   99.100000] Internal error: Oops: 0000000096000004 [#1] SMP\r\n"
    "[   99.200000] Kernel panic - not syncing: Oops: Fatal exception\r\n"
)


class Shell:
    """A shell on a terminal, with the wire to it in our hands: a proxy may add a kernel's messages."""

    def __init__(self, directory: Path, noise: random.Random | None = None) -> None:
        self.noise = noise
        self.messages = 0
        self.mute = False
        ours, self.far = socket.socketpair()
        pid, self.master = pty.fork()
        if pid == 0:
            os.environ["PATH"] = f"{directory}:{os.environ['PATH']}"
            # Who runs the tests in the background has it ignored, and a shell cannot trap that.
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.execvp("sh", ["sh"])
        self.pid = pid
        self.console = Console(ours)
        self._ours = ours
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._up, self._down)]
        for thread in self._threads:
            thread.start()

    def _up(self) -> None:
        """From the terminal to us, with messages at random places."""
        while True:
            try:
                data = os.read(self.master, 65536)
            except OSError:
                break
            if self.mute:
                continue
            self.far.sendall(self._disturb(data))
        self.far.close()

    def _down(self) -> None:
        while True:
            try:
                data = self.far.recv(65536)
            except OSError:
                return
            if not data:
                return
            os.write(self.master, data)

    def _disturb(self, data: bytes) -> bytes:
        if self.noise is None:
            return data
        parts = []
        position = 0
        while position < len(data):
            length = self.noise.randint(1, 120)
            parts.append(data[position : position + length])
            position += length
            self.messages += 1
            # Not between the two characters of a line end: the kernel's console driver takes whole writes.
            if not parts[-1].endswith(b"\r"):
                parts.append(
                    b"[%5d.%06d] esp_hosted spi1.0: message @@end 3\r\n" % (self.messages, self.messages)
                )
        return b"".join(parts)

    def close(self) -> None:
        os.kill(self.pid, 9)
        os.waitpid(self.pid, 0)
        os.close(self.master)
        self._ours.close()


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory for PATH with a `dmesg` that does nothing, and frames in a directory of the test's."""
    directory = tmp_path / "bin"
    directory.mkdir()
    fake = directory / "dmesg"
    fake.write_text("#!/bin/sh\nexit 0\n")
    fake.chmod(0o755)
    functions = console.FUNCTIONS.replace("/run/harness", str(tmp_path / "run"))
    monkeypatch.setattr(console, "FUNCTIONS", functions)
    monkeypatch.setattr(console, "GRACE", 0.5)
    return directory


@pytest.fixture(params=["quiet", "noisy"])
def shell(request: pytest.FixtureRequest, tools: Path) -> Iterator[Shell]:
    result = Shell(tools, random.Random(7) if request.param == "noisy" else None)
    result.console.attach()
    yield result
    result.close()


def test_status_and_both_outputs(shell: Shell) -> None:
    frame = shell.console.execute("echo out; echo err >&2; exit 3", 5)
    assert (frame.status, frame.stdout, frame.stderr) == (3, b"out\n", b"err\n")


def test_no_output_at_all(shell: Shell) -> None:
    frame = shell.console.execute("true", 5)
    assert (frame.status, frame.stdout, frame.stderr) == (0, b"", b"")
    assert shell.console.execute("", 5).status == 0


def test_every_byte_survives_both_ways(shell: Shell) -> None:
    everything = bytes(range(256)) * 40
    code = base64.b64encode(everything).decode()
    frame = shell.console.execute(f"printf %s {code} | base64 -d", 10)
    assert frame.stdout == everything


def test_terminal_characters_in_a_command_mean_nothing(shell: Shell) -> None:
    text = "a\tb\x03c\x04d\x15e\x1af"
    assert shell.console.execute(f"printf %s '{text}'", 5).stdout == text.encode()


def test_command_longer_than_the_terminals_line(shell: Shell) -> None:
    text = "".join(f"{n:07d} " for n in range(4000))
    frame = shell.console.execute(f"printf %s '{text}' | wc -c", 20)
    assert frame.stdout.split() == [b"32000"]


def test_parts_of_a_command_are_whole_escapes() -> None:
    assert escaped("echo 'a\\b'\n") == ["echo \\0047a\\0134b\\0047\\0012"]
    text = "x" + "\n" * 2000
    parts = escaped(text)
    assert len(parts) == 3 and max(map(len, parts)) <= console.PART
    joined = subprocess.run(["sh", "-c", 'printf %b "$@"', "sh", *parts], capture_output=True, check=True)
    assert joined.stdout.decode() == text


def test_bytes_of_a_command_that_are_no_ascii(shell: Shell) -> None:
    text = "größer als 4 \\ 'µs' \\n %s\x7f"
    assert shell.console.execute(f"cat <<'END'\n{text}\nEND", 5).stdout == f"{text}\n".encode()


def test_text_that_looks_like_a_kernel_message_is_kept(shell: Shell) -> None:
    text = "[    1.234567] spi_imx 30830000.spi: probed\n@@end 1 0 0 0 fin\n"
    assert shell.console.execute(f"printf '%s' '{text}'", 5).stdout == text.encode()


def test_guest_ends_what_takes_too_long_and_stays_usable(shell: Shell) -> None:
    frame = shell.console.execute("echo begun; sleep 60", 0.3)
    assert (frame.status, frame.late, frame.stdout) == (124, True, b"begun\n")
    assert shell.console.execute("echo still here", 5).stdout == b"still here\n"


def test_time_limits_one_after_the_other(shell: Shell) -> None:
    """Ctrl-C that comes as a command ends harms neither it nor the next one."""
    for n in range(6):
        # Long enough for the echo to come first on a busy host, too.
        frame = shell.console.execute(f"echo {n}; sleep 0.5", 0.5)
        assert frame.stdout == f"{n}\n".encode() and frame.status == (124 if frame.late else 0)
        assert shell.console.execute(f"echo after {n}", 5) == replace(
            frame, status=0, late=False, stdout=f"after {n}\n".encode(), seconds=ANY
        )


def test_what_a_late_command_started_is_ended_too(shell: Shell, tmp_path: Path) -> None:
    assert shell.console.execute(f"sleep 77 & echo $! >{tmp_path}/pid; wait", 0.3).late
    pid = int((tmp_path / "pid").read_text())
    assert ends(pid)


def test_command_that_resists_is_killed(shell: Shell) -> None:
    frame = shell.console.execute("trap '' TERM; while :; do sleep 0.1; done", 0.2)
    assert frame.late and 0.7 <= frame.seconds < 5


def test_noise_was_really_there(tools: Path) -> None:
    shell = Shell(tools, random.Random(1))
    shell.console.attach()
    before = shell.messages
    mark = shell.console.mark()
    assert shell.console.execute("seq 300", 5).stdout.split()[-1] == b"300"
    assert shell.messages - before > 10
    assert "esp_hosted spi1.0: message" in shell.console.since(mark)
    shell.close()


def test_damaged_frame_is_asked_for_again(tools: Path) -> None:
    class Damaged(Shell):
        damage = False

        def _disturb(self, data: bytes) -> bytes:
            if self.damage and b"@@out" in data:
                self.damage = False
                start = data.index(b"@@out") + 12
                return data[:start] + data[start + 5 :]
            return data

    shell = Damaged(tools)
    shell.console.attach()
    shell.damage = True
    assert shell.console.execute("seq 1000", 5).stdout == b"".join(b"%d\n" % n for n in range(1, 1001))
    assert not shell.damage
    shell.close()


def test_hang_names_the_command_and_quotes_the_console(tools: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "MARGIN", 0.2)
    asked = []
    shell = Shell(tools)
    shell.console.attach()
    shell.console._on_hang = lambda: asked.append(True)
    shell.far.sendall(b"[    5.000000] last words\r\n")
    shell.mute = True
    with pytest.raises(GuestHangError, match="no answer within") as caught:
        shell.console.execute("echo lost", 0.2)
    assert "echo lost" in str(caught.value) and "last words" in str(caught.value) and asked == [True]
    shell.close()


def test_panic_is_raised_with_its_report(tools: Path) -> None:
    shell = Shell(tools)
    shell.console.attach()
    threading.Timer(0.3, lambda: shell.far.sendall(OOPS.encode())).start()
    with pytest.raises(GuestCrashError, match="Internal error: Oops") as caught:
        shell.console.execute("sleep 5", 10)
    assert "Fatal exception" in str(caught.value)
    with pytest.raises(GuestCrashError, match="the guest is gone"):
        shell.console.execute("true", 1)
    shell.close()


def test_end_of_the_machine_is_a_crash() -> None:
    near, far = socket.socketpair()
    guest = Console(near)
    far.sendall(b"U-Boot\r\n")
    far.close()
    with pytest.raises(GuestCrashError, match="machine ended during: boot") as caught:
        guest.wait_for("ready", 5, "boot")
    assert "U-Boot" in str(caught.value)
    near.close()


def test_parse_frame_refuses_what_is_incomplete() -> None:
    text = "\n@@out 4 4\naGk=\n@@err 4 0\n\n@@end 4 0 0 fin\n"
    assert parse_frame(text, 4) == Frame(0, False, b"hi", b"", 0.0)
    assert parse_frame(text, 5) is None
    assert parse_frame(text.replace("aGk=", "aG="), 4) is None
    assert parse_frame(text.replace("aGk=", "aGk%"), 4) is None
    assert parse_frame(text.replace("4 4", "4 5"), 4) is None
    assert parse_frame(text.replace("4 0\n", "4 4\n"), 4) is None


def test_strip_noise_in_the_middle_of_a_line() -> None:
    assert strip_noise("YWJj[    1.000001] x: y\nZGVm\n") == "YWJjZGVm\n"
    assert strip_noise("YWJj[    1.000001][  T123] x: y\nZGVm\n") == "YWJjZGVm\n"


def test_shell_functions_are_valid_posix_shell() -> None:
    subprocess.run(["sh", "-n"], input=console.FUNCTIONS, text=True, check=True)
