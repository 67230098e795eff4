# SPDX-License-Identifier: MIT
"""A board over SSH, as a target: the system's own ssh, one connection for all commands (ControlMaster)."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from harness import progress
from harness.console import GuestError
from harness.errors import HarnessError
from harness.target import TIMEOUT, CommandError, Result, Target

# More options for ssh, with blanks between: "StrictHostKeyChecking=no".
OPTIONS_VARIABLE = "ESP_HOSTED_SSH_OPTIONS"
CONNECT_SECONDS = 15
# How long beyond its own time limit an answer may be under way.
GRACE_SECONDS = 20.0
# ssh's own exit status: no connection.
LOST = 255
# What ssh says, and what that means. The first that fits.
CAUSES = (
    (
        r"Could not resolve hostname|Name or service not known",
        "there is no host of this name",
        "check the name, or use the board's address",
    ),
    (
        r"REMOTE HOST IDENTIFICATION HAS CHANGED|Host key verification failed",
        "its host key is not the one that is known",
        "if the board was set up anew, `ssh-keygen -R HOST`; then log in once with `ssh HOST`",
    ),
    (
        r"Permission denied|Too many authentication failures|Load key|invalid format",
        "it does not accept this key",
        "`ssh-copy-id HOST` puts your key there; --identity names another one",
    ),
    (
        r"Connection refused",
        "nothing listens there",
        "is sshd running on the board? `sudo systemctl enable --now ssh`",
    ),
    (
        r"timed out|No route to host|Network is unreachable|Connection closed|Connection reset|not respond",
        "it cannot be reached",
        "is it on, booted, and in this network?",
    ),
)


def split(host: str) -> tuple[str, str]:
    """`user@address:port` as ssh's destination and port ("" for the usual one). HarnessError: neither."""
    match = re.fullmatch(r"((?:[\w.-]+@)?(?:[\w.-]+|\[[0-9a-fA-F:.%\w]+\]))(?::(\d+))?", host)
    if not match or host.startswith("-"):
        raise HarnessError(f"{host!r} is not a host", hint="write it as user@address or user@address:port")
    return match[1].replace("[", "").replace("]", ""), match[2] or ""


class SshTarget(Target):
    """A board over SSH. Commands run as root: by sudo where the user is another one."""

    def __init__(self, host: str, *, identity: Path | None = None, options: Sequence[str] = ()) -> None:
        """Connect and find out how to become root. HarnessError: not reachable, wrong key, no sudo."""
        super().__init__()
        self.name = host
        self._destination, self._port = split(host)
        self._identity = identity
        self._options = (*options, *os.environ.get(OPTIONS_VARIABLE, "").split())
        if shutil.which("ssh") is None:
            raise HarnessError("ssh is not installed", hint="apt-get install openssh-client")
        # Below /tmp: a socket's path has 108 bytes at most.
        self._directory = Path(tempfile.mkdtemp(prefix="esp-hosted-ssh-", dir="/tmp"))
        self._prefix: tuple[str, ...] = ()
        # The board's own address of this connection.
        self.local_address = ""
        try:
            self._connect()
            self._become_root()
        except BaseException:
            self.close()
            raise

    def ssh(self, *words: str) -> list[str]:
        """An ssh command line for this connection, without the destination."""
        command = ["ssh", "-o", "BatchMode=yes", "-o", f"ConnectTimeout={CONNECT_SECONDS}"]
        command += ["-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=6"]
        command += ["-o", f"ControlPath={self._directory / 'control'}"]
        command += ["-p", self._port] if self._port else []
        command += ["-i", str(self._identity), "-o", "IdentitiesOnly=yes"] if self._identity else []
        for option in self._options:
            command += ["-o", option]
        return [*command, *words]

    def _connect(self) -> None:
        # The master stays in the background; its output must not keep our pipes open.
        with (self._directory / "log").open("w+") as log:
            command = self.ssh("-o", "ControlMaster=yes", "-o", "ControlPersist=no", "-f", "-N")
            done = subprocess.run(
                [*command, self._destination],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                check=False,
            )
            log.seek(0)
            said = log.read()
        if done.returncode:
            raise self._refused(said)

    def _refused(self, said: str) -> HarnessError:
        last = said.strip().splitlines()[-1:] or ["ssh said nothing"]
        for pattern, meaning, hint in CAUSES:
            if re.search(pattern, said):
                return HarnessError(
                    f"{self.name}: {meaning} ({last[0]})", hint=hint.replace("HOST", self._destination)
                )
        return HarnessError(f"{self.name}: no connection ({last[0]})", hint=f"try: ssh {self._destination}")

    def _become_root(self) -> None:
        connection = self._execute("echo $SSH_CONNECTION", TIMEOUT).stdout.split()
        self.local_address = connection[2] if len(connection) == 4 else ""
        if self._execute("id -u", TIMEOUT).stdout.strip() == "0":
            return
        tried = self._execute("sudo -n true", TIMEOUT)
        if not tried.ok:
            user = self._execute("id -un", TIMEOUT).stdout.strip()
            why = tried.stderr.strip().splitlines()[-1:] or ["sudo failed"]
            raise HarnessError(
                f"{self.name}: {user} may not become root without a password ({why[0]})",
                hint=f"on the board: echo '{user} ALL=(ALL) NOPASSWD: ALL' | sudo tee /etc/sudoers.d/{user}, "
                "or use root@",
            )
        self._prefix = ("sudo", "-n")

    def _execute(self, script: str, timeout: float) -> Result:
        return self._send(script, timeout, b"")

    def _send(self, script: str, timeout: float, data: bytes) -> Result:
        begin = time.monotonic()
        # The board ends what takes too long: a client that goes leaves it running.
        words = [*self._prefix, "timeout", "-k", "2", f"{timeout:g}", "sh", "-c", script]
        command = [*self.ssh("-T"), self._destination, "--", shlex.join(words)]
        try:
            done = subprocess.run(
                command, input=data, capture_output=True, timeout=timeout + GRACE_SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            raise GuestError(f"{self.name} does not answer any more: {script.splitlines()[0]}") from None
        seconds = time.monotonic() - begin
        stderr = done.stderr.decode("utf-8", errors="replace")
        if done.returncode == LOST and not self.usable():
            raise GuestError(
                f"{self.name}: connection lost during: {script.splitlines()[0]}\n{stderr.strip()}"
            )
        late = done.returncode in (124, 137) and seconds >= timeout
        return Result(script, done.returncode, done.stdout, stderr, seconds, late)

    def write_file(self, path: str, data: bytes | str, mode: int = 0o644) -> None:
        """Create or replace a file of any size."""
        raw = data.encode() if isinstance(data, str) else data
        quoted = shlex.quote(path)
        result = self._send(f"cat >{quoted} && chmod {mode:o} {quoted}", TIMEOUT + len(raw) / 50_000, raw)
        self._note(result)
        if not result.ok:
            raise CommandError(result)

    def feed(self, command: str, data: bytes, timeout: float = TIMEOUT) -> Result:
        """Run a script with standard input. CommandError as `run`."""
        result = self._send(command, timeout, data)
        self._note(result)
        if not result.ok:
            raise CommandError(result)
        return result

    def usable(self) -> bool:
        """True while the connection is there."""
        check = [*self.ssh("-O", "check"), self._destination]
        return subprocess.run(check, capture_output=True, check=False).returncode == 0

    def reboot(self, timeout: float) -> None:
        """Start the board again and wait until it answers. HarnessError: it did not within `timeout` s."""
        before = self.run(["cat", "/proc/sys/kernel/random/boot_id"]).stdout
        with suppress(GuestError, CommandError):
            self.run("(sleep 1; reboot) >/dev/null 2>&1 </dev/null &")
        self._disconnect()
        end = time.monotonic() + timeout
        with progress.step(f"{self.name} starts again", always=True):
            while True:
                try:
                    self._connect()
                    if self.run(["cat", "/proc/sys/kernel/random/boot_id"]).stdout != before:
                        return
                except (HarnessError, OSError) as error:
                    if time.monotonic() > end:
                        raise HarnessError(
                            f"{self.name} did not come back within {timeout:g} s after a restart",
                            hint="look at its console; the deploy is complete, --rollback undoes it",
                        ) from error
                self._disconnect()
                # Nothing tells us that a board is there again but trying.
                time.sleep(1)

    def _disconnect(self) -> None:
        with suppress(OSError):
            subprocess.run(
                [*self.ssh("-O", "exit"), self._destination], capture_output=True, check=False, timeout=10
            )

    def close(self) -> None:
        """End the connection."""
        self._disconnect()
        shutil.rmtree(self._directory, ignore_errors=True)
