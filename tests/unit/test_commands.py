# SPDX-License-Identifier: MIT
"""External commands: what a failure looks like, what an interruption leaves, what is installed how."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from harness import commands, hostdeps, paths
from harness.errors import HarnessError
from tests.unit.processes import ends


@pytest.fixture(autouse=True)
def own_logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(paths, "run_dir", lambda: tmp_path)
    return tmp_path


def test_output_goes_to_log_and_result(own_logs: Path) -> None:
    lines: list[str] = []
    finished = commands.run(["sh", "-c", "echo one; echo two >&2"], log="x", on_line=lines.append)
    assert finished.output == "one\ntwo\n"
    assert lines == ["one", "two"]
    assert (own_logs / "x.log").read_text() == "$ sh -c 'echo one; echo two >&2'\none\ntwo\n"


def test_failure_shows_the_last_lines_and_the_log(own_logs: Path) -> None:
    with pytest.raises(HarnessError) as caught:
        commands.run(["sh", "-c", "seq 100; exit 3"], log="x", what="counting", hint="count less")
    assert caught.value.message.startswith("counting failed (exit status 3):\n  | 86\n")
    assert caught.value.hint == "count less"
    assert caught.value.log == own_logs / "x.log"


def test_full_disk_in_a_command_is_explained() -> None:
    with pytest.raises(HarnessError, match="disk is full"):
        commands.run(["sh", "-c", "echo 'cc: No space left on device'; exit 1"], log="x")


def test_missing_command_points_to_doctor() -> None:
    with pytest.raises(HarnessError, match="'no-such-tool' is not installed") as caught:
        commands.output(["no-such-tool"])
    assert "doctor" in str(caught.value.hint)


def test_stop_all_ends_a_command_and_its_children(own_logs: Path) -> None:
    started = threading.Event()
    ended: list[BaseException] = []

    def work() -> None:
        try:
            script = f"sleep 1000 & echo $! >{own_logs}/child; echo ready; wait"
            commands.run(["sh", "-c", script], log="x", on_line=lambda line: started.set())
        except BaseException as error:
            ended.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    assert started.wait(10)
    try:
        commands.stop_all()
        thread.join(10)
        assert not thread.is_alive()
        assert isinstance(ended[0], KeyboardInterrupt)
        with pytest.raises(KeyboardInterrupt):
            commands.run(["true"], log="x")
    finally:
        commands.resume()
    assert ends(int((own_logs / "child").read_text()))
    assert commands.output(["echo", "again"]) == "again\n"


@pytest.fixture
def fake_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH with our own apt-get, and a user that is not root."""
    directory = tmp_path / "bin"
    directory.mkdir()
    for name in ("sh", "cat", "env"):
        (directory / name).symlink_to(f"/bin/{name}")
    monkeypatch.setenv("PATH", str(directory))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    return directory


def script(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def test_without_rights_the_command_is_printed(fake_system: Path) -> None:
    script(fake_system / "apt-get", "exit 1")
    with pytest.raises(HarnessError) as caught:
        hostdeps._install(["sparse", "bc"])
    assert caught.value.message == "not installed: bc, sparse"
    assert caught.value.hint == "run: sudo apt-get install --yes --no-install-recommends bc sparse"


def test_without_apt_the_packages_are_named(fake_system: Path) -> None:
    with pytest.raises(HarnessError, match="not installed: sparse") as caught:
        hostdeps._install(["sparse"])
    assert "doctor" in str(caught.value.hint)


def test_as_root_it_installs(fake_system: Path, own_logs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    script(fake_system / "apt-get", f'echo "$DEBIAN_FRONTEND $*" >>{own_logs}/asked')
    hostdeps._install(["sparse"])
    asked = (own_logs / "asked").read_text().splitlines()
    assert asked[-1].startswith("noninteractive ")
    assert asked[-1].endswith("install --yes --no-install-recommends sparse")


def test_stale_lists_are_renewed(fake_system: Path, own_logs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    log = own_logs / "asked"
    script(
        fake_system / "apt-get",
        f"for word; do case $word in update | install) verb=$word ;; esac; done\necho $verb >>{log}\n"
        f"[ $verb = update ] && exit 0\n"
        f"while read -r line; do [ $line = update ] && exit 0; done <{log}; exit 100",
    )
    hostdeps._install(["sparse"])
    assert log.read_text().split()[-2:] == ["update", "install"]


def test_nothing_missing_asks_nobody(fake_system: Path) -> None:
    hostdeps._install([])


def test_every_group_is_complete() -> None:
    for one in hostdeps.all_dependencies():
        assert sum(bool(probe) for probe in (one.command, one.module, one.file)) == 1, one
        assert one.why
