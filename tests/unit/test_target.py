# SPDX-License-Identifier: MIT
"""What every target can do, shown on this machine's own shell."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import target as target_module
from harness.errors import HarnessError
from harness.target import CommandError, CommandTimeoutError, Result, Target, render
from tests.unit.processes import ends


class LocalTarget(Target):
    """Commands run here."""

    name = "here"

    def _execute(self, script: str, timeout: float) -> Result:
        begin = time.monotonic()
        done = subprocess.run(["timeout", f"{timeout}", "sh", "-c", script], capture_output=True, check=False)
        seconds = time.monotonic() - begin
        late = done.returncode == 124 and seconds >= timeout
        return Result(script, done.returncode, done.stdout, done.stderr.decode(), seconds, late)

    def close(self) -> None:
        pass


@pytest.fixture
def target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalTarget]:
    monkeypatch.setattr(target_module, "JOBS", str(tmp_path / "jobs"))
    result = LocalTarget()
    result.log = tmp_path / "commands.log"
    yield result


def test_list_is_taken_literally_and_string_is_a_script(target: LocalTarget) -> None:
    assert target.run(["echo", "$HOME;", "a  b", "'"]).stdout == "$HOME; a  b '\n"
    assert target.run("echo $((1 + 2)) | cat").stdout == "3\n"
    assert render(["ip", "-j", "a b"]) == "ip -j 'a b'"


def test_failure_names_command_status_and_what_was_said(target: LocalTarget) -> None:
    with pytest.raises(CommandError, match=r"exit status 4: .*echo bad") as caught:
        target.run("echo bad >&2; exit 4")
    assert "| bad" in str(caught.value) and caught.value.result.status == 4
    assert target.run("exit 4", check=False).status == 4


def test_timeout_names_the_command(target: LocalTarget) -> None:
    with pytest.raises(CommandTimeoutError, match=r"not finished within 0.2 s: sleep 9"):
        target.run("sleep 9", timeout=0.2)


def test_status_124_of_the_command_itself_is_no_timeout(target: LocalTarget) -> None:
    with pytest.raises(CommandError, match="exit status 124") as caught:
        target.run("exit 124")
    assert not isinstance(caught.value, CommandTimeoutError)


def test_json(target: LocalTarget) -> None:
    assert target.run_json(["echo", '[{"mtu": 1500}]']) == [{"mtu": 1500}]
    with pytest.raises(HarnessError, match="printed no JSON"):
        target.run_json(["echo", "Device not found"])


def test_files(target: LocalTarget, tmp_path: Path) -> None:
    path = tmp_path / "a file"
    data = bytes(range(256)) * 20
    target.write_file(str(path), data, 0o750)
    assert path.read_bytes() == data and path.stat().st_mode & 0o777 == 0o750
    assert target.read_file(str(path)) == data


def test_everything_is_logged(target: LocalTarget) -> None:
    target.run("echo hello; exit 2", check=False)
    assert target.log is not None
    assert re.search(r"# echo hello; exit 2\nhello\n\[exit status 2, ", target.log.read_text())


def test_job_runs_beside_and_gives_its_result(target: LocalTarget, tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    job = target.spawn(f"echo waiting; until [ -e {flag} ]; do sleep 0.02; done; echo done; exit 5")
    job.wait_output("waiting", 5)
    assert job.running() and "waiting" in job.output()
    flag.touch()
    result = job.wait(5, check=False)
    assert (result.status, result.stdout) == (5, "waiting\ndone\n")
    assert not job.running()
    with pytest.raises(CommandError, match="exit status 5"):
        job.wait()


def test_job_is_stopped_with_all_it_started(target: LocalTarget, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    job = target.spawn(f"sh -c 'echo $$ >{pid}; exec sleep 60' & wait")
    while not (pid.exists() and pid.read_text()):
        time.sleep(0.01)
    begin = time.monotonic()
    job.stop()
    assert time.monotonic() - begin < 3 and not job.running()
    assert ends(int(pid.read_text()))


def test_job_that_ignores_the_signal_is_killed(target: LocalTarget) -> None:
    job = target.spawn("trap '' TERM; echo up; while :; do sleep 0.1; done")
    job.wait_output("up", 5)
    begin = time.monotonic()
    assert "up" in job.stop(timeout=0.3).stdout
    assert time.monotonic() - begin < 3


def test_job_that_takes_too_long(target: LocalTarget) -> None:
    job = target.spawn("echo partial; sleep 60")
    with pytest.raises(CommandTimeoutError, match=r"not finished within 0.3 s") as caught:
        job.wait(0.3)
    assert "partial" in str(caught.value)


def test_waiting_for_output_ends_when_the_job_ends(target: LocalTarget) -> None:
    job = target.spawn("echo no such device; exit 1")
    with pytest.raises(HarnessError, match="no such device"):
        job.wait_output("listening", 5)
