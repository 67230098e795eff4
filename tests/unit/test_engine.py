# SPDX-License-Identifier: MIT
"""Build and run the host tests of the co-processor engine, one pytest case per TAP line.

The engine is portable C without QEMU, so its tests need a C compiler and make only.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[2] / "qemu" / "engine" / "tests"
SOURCES = sorted(TESTS.glob("test_*.c"))
_ENTRY = re.compile(r'^\s*\{ "([^"]+)",', re.MULTILINE)


def declared_cases() -> list[str]:
    """Return the names in the C test tables, so that every one becomes a pytest case."""
    return [name for source in SOURCES for name in _ENTRY.findall(source.read_text(encoding="utf-8"))]


@dataclass(frozen=True)
class Outcome:
    """Result of one TAP line: whether it passed and the diagnostics printed before it."""

    passed: bool
    diagnostics: str


@dataclass(frozen=True)
class Run:
    """One run of the test binary: its exit status, its raw output and the outcome of each case."""

    status: int
    output: str
    cases: dict[str, Outcome]


def parse_tap(output: str) -> dict[str, Outcome]:
    """Parse TAP: diagnostics belong to the result line that follows them."""
    cases: dict[str, Outcome] = {}
    pending: list[str] = []
    for line in output.splitlines():
        match = re.match(r"(not )?ok \d+ - (.+)", line)
        if match:
            cases[match[2]] = Outcome(match[1] is None, "\n".join(pending))
            pending = []
        else:
            pending.append(line)
    return cases


def build_and_run(directory: Path, *, sanitize: bool) -> Run:
    """Compile the tests into ``directory`` and run them; a compiler error fails with its output."""
    make = shutil.which("make")
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if make is None or compiler is None:
        pytest.fail("the engine tests need make and a C compiler: apt-get install build-essential")
    command = [make, "-s", "-j2", "-C", str(TESTS), f"O={directory}", f"CC={compiler}"]
    if sanitize:
        command.append("SANITIZE=1")
    build = subprocess.run(command, capture_output=True, text=True, check=False)
    if build.returncode != 0:
        pytest.fail(f"the engine does not compile:\n{build.stdout}{build.stderr}")
    run = subprocess.run(
        [str(directory / "engine-tests")], capture_output=True, text=True, timeout=120, check=False
    )
    output = run.stdout + run.stderr
    return Run(run.returncode, output, parse_tap(run.stdout))


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The tests as QEMU would compile the engine."""
    return build_and_run(tmp_path_factory.mktemp("engine"), sanitize=False)


@pytest.mark.parametrize("name", declared_cases())
def test_case(plain: Run, name: str) -> None:
    """Each case of the C tables ran and passed."""
    assert name in plain.cases, f"did not run, or crashed before it:\n{plain.output[-4000:]}"
    outcome = plain.cases[name]
    assert outcome.passed, outcome.diagnostics


def test_nothing_undeclared(plain: Run) -> None:
    """The binary runs exactly the declared cases and its exit status says whether all passed."""
    assert sorted(plain.cases) == sorted(declared_cases())
    assert plain.status == (0 if all(o.passed for o in plain.cases.values()) else 1)


def test_sanitizers(tmp_path: Path) -> None:
    """The same cases under the address and undefined-behaviour sanitizers."""
    run = build_and_run(tmp_path, sanitize=True)
    assert run.status == 0, run.output[-8000:]
    assert sorted(run.cases) == sorted(declared_cases())
