# SPDX-License-Identifier: MIT
"""Boards over SSH: what is wrong is said in one sentence; commands and files arrive as they were meant."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from harness import boardkernel, deploy, diagnosis, ssh, survey
from harness.errors import HarnessError
from harness.ssh import SshTarget
from harness.target import CommandError, CommandTimeoutError

# A program in ssh's place that runs the board's commands here, as the board's shell would.
SSH = """\
#!/bin/sh
echo "$@" >>"$FAKE/calls"
if [ -e "$FAKE/refuse" ]; then cat "$FAKE/refuse" >&2; exit 255; fi
case " $* " in
*" -O "*) [ ! -e "$FAKE/gone" ]; exit ;;
*" -N "*) exit 0 ;;
esac
[ ! -e "$FAKE/gone" ] || exit 255
for command; do :; done
exec sh -c "$command"
"""
SUDO = """\
#!/bin/sh
[ "$1" = -n ] || exit 1
shift
[ ! -e "$FAKE/nosudo" ] || { echo "sudo: a password is required" >&2; exit 1; }
exec "$@"
"""
ID = """\
#!/bin/sh
case $1 in -u) echo 1000 ;; -un) echo pi ;; esac
"""


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Programs of the board's, and of ours that reach it."""
    for name, text in (("ssh", SSH), ("sudo", SUDO), ("id", ID)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("FAKE", str(tmp_path))
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return tmp_path


@pytest.mark.parametrize(
    ("said", "says"),
    [
        ("ssh: Could not resolve hostname b: Name or service not known", "there is no host of this name"),
        ("ssh: connect to host b port 22: Connection refused", "nothing listens there"),
        ("ssh: connect to host b port 22: Connection timed out", "it cannot be reached"),
        ("ssh: connect to host b port 22: No route to host", "it cannot be reached"),
        ("pi@b: Permission denied (publickey,password).", "it does not accept this key"),
        ("REMOTE HOST IDENTIFICATION HAS CHANGED!\nHost key verification failed.", "host key is not"),
        ("something new", r"no connection \(something new\)"),
    ],
)  # fmt: skip
def test_no_connection_says_why(fake: Path, said: str, says: str) -> None:
    (fake / "refuse").write_text(f"{said}\n")
    with pytest.raises(HarnessError, match=says) as error:
        SshTarget("pi@b")
    assert error.value.message.startswith("pi@b: ") and error.value.hint
    assert not list(Path("/tmp").glob(f"esp-hosted-ssh-{os.getpid()}*"))


@pytest.mark.parametrize("host", ["", "-oProxyCommand=x", "a b", "pi@", "pi@b:port", "a;b"])
def test_what_is_no_host_never_reaches_ssh(fake: Path, host: str) -> None:
    with pytest.raises(HarnessError, match="is not a host"):
        SshTarget(host)
    assert not (fake / "calls").exists()


def test_hosts() -> None:
    assert ssh.split("pi@b.local:2222") == ("pi@b.local", "2222")
    assert ssh.split("root@[fe80::1%eth0]:22") == ("root@fe80::1%eth0", "22")
    assert ssh.split("board") == ("board", "")


def test_no_sudo_is_said_with_the_remedy(fake: Path) -> None:
    (fake / "nosudo").touch()
    with pytest.raises(
        HarnessError, match=r"pi may not become root without a password \(sudo: a pass"
    ) as error:
        SshTarget("pi@b")
    assert error.value.hint and "NOPASSWD" in error.value.hint


def test_commands_arrive_literally_and_as_root(fake: Path, tmp_path: Path) -> None:
    target = SshTarget("pi@b:2222", identity=Path("key"))
    assert target.run(["echo", "$HOME;", "a  b", "'", '"']).stdout == "$HOME; a  b ' \"\n"
    assert target.run("echo $((1 + 2)) | cat; echo x >&2").stderr == "x\n"
    with pytest.raises(CommandError, match="exit status 4"):
        target.run("exit 4")
    with pytest.raises(CommandTimeoutError, match=r"not finished within 0.3 s"):
        target.run("sleep 9", timeout=0.3)
    data = bytes(range(256)) * 3000
    target.write_file(str(tmp_path / "a file"), data, 0o600)
    assert (tmp_path / "a file").read_bytes() == data == target.read_file(str(tmp_path / "a file"))
    assert (tmp_path / "a file").stat().st_mode & 0o777 == 0o600
    calls = (fake / "calls").read_text()
    assert "BatchMode=yes" in calls and "-p 2222" in calls and "-i key" in calls
    assert " -- sudo -n timeout " in calls
    target.close()


def test_a_connection_that_is_lost_is_no_failed_command(fake: Path) -> None:
    target = SshTarget("pi@b")
    (fake / "gone").touch()
    with pytest.raises(HarnessError, match="connection lost during: echo"):
        target.run("echo")
    assert not target.usable()


# What a board must be like


SEEN = survey.Survey(
    release="6.12.95+deb12-arm64",
    version="#1 SMP Debian 6.12.95-1~bpo12+1 (2026-01-01)",
    arch="arm64",
    model="A board",
    root="ext4 rw,noatime",
    readonly=(),
    modules=True,
    headers=False,
    compiler=False,
    labels=True,
    depmod=True,
    dkms=False,
)


def test_survey_of_this_machine(fake: Path) -> None:
    seen = survey.take(SshTarget("pi@b"))
    assert seen.release == os.uname().release and seen.version == os.uname().version
    assert seen.root


def test_survey_knows_the_package() -> None:
    assert SEEN.package_version == "6.12.95-1~bpo12+1" and SEEN.series == (6, 12)
    own = survey.parse("release 6.6.31+rpt-rpi-v8\nversion #1 SMP PREEMPT Debian 1:6.6.31-1+rpt1 (2024)\n")
    assert own.package_version == "1:6.6.31-1+rpt1" and own.series == (6, 6)
    assert survey.parse("release strange\nversion #1\n").series == (0, 0)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"arch": "armhf"}, "kernel is for armhf, rpi4 is arm64"),
        ({"root": "overlay rw"}, "lost with the next start"),
        ({"readonly": ("/boot/firmware",)}, "/boot/firmware on the board is mounted read-only"),
        ({"modules": False}, "has no /lib/modules/6.12.95"),
        ({"depmod": False}, "has no depmod"),
    ],
)  # fmt: skip
def test_a_board_that_cannot_be_deployed_to(changes: dict[str, object], says: str) -> None:
    survey.check(SEEN, "arm64", "rpi4")
    with pytest.raises(HarnessError, match=says) as error:
        survey.check(replace(SEEN, **changes), "arm64", "rpi4")  # type: ignore[arg-type]
    assert error.value.hint


def test_a_kernel_newer_than_tested_and_one_without_headers_are_refused(fake: Path) -> None:
    target = SshTarget("pi@b")
    future = replace(SEEN, release="9.1.0", version="#1")
    with pytest.raises(HarnessError, match=r"9\.1\.0 is newer than any that was tested \(\d+\.\d+ at most\)"):
        boardkernel.build(target, future)
    with pytest.raises(
        HarnessError, match=r"no headers for exactly the board's kernel 9\.1\.0.*no kernel headers"
    ):
        boardkernel.build(target, future, untested=True)
    with pytest.raises(HarnessError, match="the board has no compiler"):
        boardkernel.build(target, replace(future, headers=True), untested=True)


def test_unknown_boards_and_boards_without_boot_configuration(fake: Path) -> None:
    with pytest.raises(HarnessError, match="no board 'rpi9'") as error:
        deploy.run("rpi9", "pi@b")
    assert error.value.hint and "rpi4" in error.value.hint
    with pytest.raises(HarnessError, match="boot configuration that could be edited") as error:
        deploy.run("imx8mp-evk", "pi@b")
    assert error.value.hint and "rpi4" in error.value.hint


def test_diagnosis_for_people() -> None:
    text = diagnosis.render(diagnosis.Evidence(release="6.12"))
    assert text.splitlines()[0].startswith("missing overlay") and "  -> install the board's overlay" in text
    assert "kernel without headers, and no module for it" in text
    good = diagnosis.Evidence(release="6.12", interfaces=("wlan0",))
    assert diagnosis.render(good) == "nothing is wrong: kernel 6.12, interfaces wlan0"
