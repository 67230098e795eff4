# SPDX-License-Identifier: MIT
"""Commands over a serial console that the kernel writes to as well.

The shell at the other end learns a few functions once; after that each command travels with all but plain
characters escaped (so no byte of it means anything to the terminal) and its standard output, standard error
and exit status come back as one frame of base64 between markers, with both lengths. A kernel message may
land anywhere inside a frame: it starts with a time stamp in square brackets, which base64 never contains,
so it is cut out again, and the lengths prove that what is left is complete. If it is not, the frame is
asked for again. A program costs an instrumented kernel a tenth of a second, so the functions call none that
a builtin can stand for; that is also why the time limit is kept at this end, which sends Ctrl-C.

What the kernel prints: after `attach` only emergencies and alerts reach the console, which keeps it quiet
in every test that goes well. An Oops or a panic raises the level by itself before its report, so that is
always seen; it ends the guest (`oops=panic panic=-1`, see target.py) and is raised as GuestCrashError.
Everything else the kernel says is read from its log, see klog.py.

A terminal takes lines of at most 4095 characters: longer commands go in parts, each acknowledged.
"""

from __future__ import annotations

import base64
import binascii
import re
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import pexpect
from pexpect import fdpexpect

from harness.errors import HarnessError

# A kernel message on the console: "[   12.345678] text", "[ 12.345678][ T1] text" with PRINTK_CALLER.
NOISE = r"\[ *\d+\.\d{6}\](?:\[ *[TC]\d+\])? [^\n]*\n"
_NOISE = re.compile(NOISE)
CRASH = r"(?:Kernel panic - not syncing|Internal error: |Unable to handle kernel |Oops - |Oops: )[^\n]*"
# Characters of a command in one input line; below the terminal's limit of 4095.
PART = 3600
# For a command to begin, and for its end after its own time limit, before the guest itself is given up.
MARGIN = 15.0
# From SIGTERM to SIGKILL for a command that takes too long.
GRACE = 3.0
# How long an Oops may take to be printed in full.
CRASH_SECONDS = 10.0
TAIL_LINES = 25
HANG_LINES = 60
DIRECTORY = "/run/harness"
INTERRUPT = "\x03"

# What the shell learns; works in dash and in busybox' ash. $1 is always the number of the frame. Markers are
# built from two halves, so that an echo of this text is not taken for one. A command runs in a session of
# its own, without the terminal; Ctrl-C ends it, with all it started: SIGTERM first, then SIGKILL. As
# the command ends it may hit base64 instead: once more, then.
FUNCTIONS = f"""
set +m
mkdir -p {DIRECTORY}
cd {DIRECTORY}
__c= __s=0 __l=0
__m() {{ printf '\\n%s%s\\n' '@@' "$1"; }}
__n() {{ : >{DIRECTORY}/cmd; __m "ack $1."; }}
__a() {{ printf %b "$2" >>{DIRECTORY}/cmd; __m "ack $1."; }}
__o() {{ __t=; [ ! -s {DIRECTORY}/$1 ] || __t=$(base64 {DIRECTORY}/$1) || __t=$(base64 {DIRECTORY}/$1)
__m "$1 $2 ${{#__t}}"
printf %s "$__t"; }}
__p() {{ __o out $1; __o err $1; __m "end $1 $__s $__l fin"; }}
__i() {{ [ -n "$__c" ] || return; __k=TERM; [ $__l = 0 ] || __k=KILL; __l=1 __w=1
kill -$__k "-$__c" || kill -$__k "$__c"; }}
trap __i INT
__x() {{ __l=0 __w=1
(cd /; exec setsid /bin/sh {DIRECTORY}/cmd) >{DIRECTORY}/out 2>{DIRECTORY}/err </dev/null & __c=$!
__m "run $1."
while [ $__w = 1 ]; do __w=0; wait "$__c"; __s=$?; done
if [ $__l = 1 ]; then __s=124; kill -KILL "-$__c"; fi; __c=; __p "$1"; }}
__r() {{ printf %b "$2" >{DIRECTORY}/cmd; __x "$1"; }}
dmesg -n 2
exec 2>/dev/null
"""


class GuestError(HarnessError):
    """The machine at the other end is not usable any more; the next test needs a fresh one."""


class GuestCrashError(GuestError):
    """The kernel reported an Oops or a panic, or the machine ended by itself."""


class GuestHangError(GuestError):
    """No answer within the time limit, not even that the command took too long."""


@dataclass(frozen=True)
class Frame:
    """What one command gave back."""

    status: int
    late: bool
    """True if it took too long and was ended (status 124)."""
    stdout: bytes
    stderr: bytes
    seconds: float


def strip_noise(text: str) -> str:
    """The text without the kernel's messages, wherever they landed."""
    return _NOISE.sub("", text)


def tolerant(marker: str) -> str:
    """A regular expression for `marker` that also matches with kernel messages inside it."""
    return f"(?:{NOISE})*".join(re.escape(character) for character in marker)


class Console:
    """A shell behind a connected socket (or any file descriptor that reads and writes a terminal)."""

    def __init__(self, connection: socket.socket | int, on_hang: Callable[[], None] = lambda: None) -> None:
        """`on_hang` is called before GuestHangError is raised, to have the guest print where it hangs."""
        self._child = fdpexpect.fdspawn(
            connection, encoding="utf-8", codec_errors="replace", timeout=None, maxread=65536, use_poll=True
        )
        self._child.delaybeforesend = None
        # Searching all of a long frame again after each read would be quadratic; the end marker is short.
        self._child.searchwindowsize = 4096
        self._text: list[str] = []
        self._child.logfile_read = _Recorder(self._text)
        self._on_hang = on_hang
        self._number = 0
        self.crashed: str | None = None

    # What was seen

    def mark(self) -> int:
        """The present position in the console's text, for `since`."""
        if len(self._text) > 1:
            self._text[:] = ["".join(self._text)]
        return len(self._text[0]) if self._text else 0

    def since(self, mark: int) -> str:
        """The console's text from a `mark` on."""
        self.mark()
        return (self._text[0] if self._text else "")[mark:].replace("\r", "")

    def tail(self, lines: int = TAIL_LINES) -> str:
        """The console's last lines, our own frames left out."""
        return "\n".join(self._readable(0)[-lines:])

    def _readable(self, mark: int) -> list[str]:
        """The lines since a `mark` without our own frames."""
        frame = re.compile(r"[A-Za-z0-9+/]{60,}=*|[A-Za-z0-9+/]+={1,2}|@@(?:ack|run|out|err|end) .*")
        lines = self.since(mark).splitlines()
        return [line for line in lines if line.strip() and not frame.fullmatch(line.strip())]

    # Waiting

    def wait_for(self, pattern: str, timeout: float, what: str) -> re.Match[str]:
        """Wait for a regular expression; `what` names it in GuestCrashError or GuestHangError."""
        match = self._look_for(pattern, timeout, what)
        if match is None:
            mark = self.mark()
            self._on_hang()
            self._drain(2.0)
            # What is blocked comes first, the processors' long stacks after it.
            said = self._readable(mark)[:HANG_LINES] or self._readable(0)[-TAIL_LINES:]
            raise GuestHangError(
                f"no answer within {timeout:.0f} s to: {what}\n{_quoted(said)}",
                hint="the guest hangs; what it waits for is in the console log",
            )
        return match

    def _look_for(self, pattern: str, timeout: float, what: str) -> re.Match[str] | None:
        """As `wait_for`, but None if it does not come."""
        try:
            found = self._child.expect([pattern, CRASH], timeout=timeout)
        except pexpect.TIMEOUT:
            return None
        except (pexpect.EOF, OSError):
            self.crashed = self.crashed or "the machine ended"
            raise GuestCrashError(f"the machine ended during: {what}\n{self._quote()}") from None
        match = self._child.match
        assert isinstance(match, re.Match)
        if found == 1:
            self._raise_crash(match.group(0).strip(), what)
        return match

    def _raise_crash(self, reason: str, what: str) -> None:
        self.crashed = reason
        self._drain(CRASH_SECONDS)
        raise GuestCrashError(f"the guest's kernel crashed during: {what}\n{reason}\n{self._quote(60)}")

    def appears(self, pattern: str, timeout: float) -> bool:
        """True if a regular expression appears within `timeout` seconds; no error if it does not."""
        try:
            self._child.expect(pattern, timeout=timeout)
        except (pexpect.TIMEOUT, pexpect.EOF, OSError):
            return False
        return True

    def _drain(self, seconds: float) -> None:
        """Read what still comes, until the line is quiet for a second, ends, or `seconds` are over."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                self._child.read_nonblocking(65536, timeout=1.0)
            except (pexpect.TIMEOUT, pexpect.EOF, OSError):
                return

    def _quote(self, lines: int = TAIL_LINES) -> str:
        return _quoted(self._readable(0)[-lines:])

    # Commands

    def attach(self, timeout: float = 30.0) -> None:
        """Make the shell that reads this console usable: no echo, no prompt, our functions."""
        self._number += 1
        lines = [
            # Ctrl-C must not throw away what is on its way.
            "stty -echo noflsh; PS1=; PS2=",
            *FUNCTIONS.strip().splitlines(),
            f'__m "ack $(( {self._number} ))."',
        ]
        self._child.send("".join(f"{line}\n" for line in lines))
        self.wait_for(tolerant(f"@@ack {self._number}."), timeout, "the first prompt")

    def execute(self, script: str, timeout: float) -> Frame:
        """Run a shell script; it is ended `timeout` seconds after it has begun.

        After GuestCrashError or GuestHangError the console cannot be used any more.
        """
        if self.crashed:
            raise GuestCrashError(f"the guest is gone: {self.crashed}")
        script = script if script.strip() else ":"
        shown = script if len(script) <= 200 else script[:200] + " ..."
        parts = escaped(script)
        begin = time.monotonic()
        if len(parts) == 1:
            number = self._send("__r", parts[0])
        else:
            self._acknowledged("__n", "", shown)
            for part in parts:
                self._acknowledged("__a", part, shown)
            number = self._send("__x")
        frame = self._ended(number, timeout, shown)
        for _ in range(3):
            if frame is not None:
                break
            # Damaged on the way: the guest still has it.
            number = self._send("__p")
            frame = self._frame(self.wait_for(_end(number), MARGIN, shown), number)
        if frame is None:
            raise GuestHangError(f"the console garbles every answer to: {shown}\n{self._quote()}")
        return replace(frame, seconds=time.monotonic() - begin)

    def _send(self, function: str, rest: str = "") -> int:
        self._number += 1
        words = f"{function} {self._number}" + (f" '{rest}'" if rest else "")
        self._write(f"{words}\n")
        return self._number

    def _write(self, text: str) -> None:
        try:
            self._child.send(text)
        except OSError:
            self.crashed = "the machine ended"
            raise GuestCrashError(f"the machine has ended\n{self._quote()}") from None

    def _acknowledged(self, function: str, rest: str, shown: str) -> None:
        number = self._send(function, rest)
        self.wait_for(tolerant(f"@@ack {number}."), MARGIN, f"(input of) {shown}")

    def _ended(self, number: int, timeout: float, shown: str) -> Frame | None:
        """The frame of a command that was sent; it is ended if that takes longer than `timeout`."""
        begun = tolerant(f"@@run {number}.")
        match = self.wait_for(f"{begun}|(?P<end>{_end(number)})", MARGIN, shown)
        if match["end"] is None:
            found = self._look_for(_end(number), timeout, shown)
            if found is None:
                self._write(INTERRUPT)
                found = self._look_for(_end(number), GRACE, shown)
            if found is None:
                self._write(INTERRUPT)
                found = self.wait_for(_end(number), MARGIN, f"{shown} (after Ctrl-C)")
            match = found
        return self._frame(match, number)

    def _frame(self, match: re.Match[str], number: int) -> Frame | None:
        # `before` ends where the match begins, and begins after the previous one.
        text = strip_noise((str(self._child.before) + match.group(0)).replace("\r", ""))
        return parse_frame(text, number)


def escaped(script: str) -> list[str]:
    """A command as arguments in quotes for `printf %b`, each short enough for a line of a terminal."""
    parts = [""]
    for byte in script.encode():
        plain = 0x20 <= byte < 0x7F and byte not in b"'\\"
        one = chr(byte) if plain else f"\\0{byte:03o}"
        if len(parts[-1]) + len(one) > PART:
            parts.append("")
        parts[-1] += one
    return parts


def _end(number: int) -> str:
    """Matches the last line of a frame."""
    return tolerant(f"@@end {number}") + f"(?:[ 0-9]|{NOISE})*" + tolerant("fin")


def _quoted(lines: list[str]) -> str:
    return "\n".join(f"  | {line}" for line in lines)


class _Recorder:
    """Where pexpect writes what it reads."""

    def __init__(self, parts: list[str]) -> None:
        self._parts = parts

    def write(self, text: str) -> None:
        self._parts.append(text)

    def flush(self) -> None:
        """Nothing is held back."""


_PARTS = re.compile(
    r"@@out (\d+) (?P<out_length>\d+)\n(?P<out>.*?)\n@@err (\d+) (?P<err_length>\d+)\n(?P<err>.*?)\n"
    r"@@end (\d+) (?P<status>\d+) (?P<late>[01]) fin",
    re.DOTALL,
)


def parse_frame(text: str, number: int) -> Frame | None:
    """What a frame says (without the time it took); None if any byte of it is missing."""
    start = text.rfind(f"@@out {number} ")
    match = _PARTS.match(text, start) if start >= 0 else None
    # The lengths are those of the text.
    if match is None or any(len(match[name]) != int(match[f"{name}_length"]) for name in ("out", "err")):
        return None
    try:
        stdout, stderr = (
            base64.b64decode("".join(match[name].split()), validate=True) for name in ("out", "err")
        )
    except (binascii.Error, ValueError):
        return None
    return Frame(int(match["status"]), match["late"] == "1", stdout, stderr, 0.0)
