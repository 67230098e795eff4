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


def build_and_run(directory: Path) -> Run:
    """Compile the tests with sanitizers into ``directory`` and run them; fails with the compiler's words."""
    make = shutil.which("make")
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if make is None or compiler is None:
        pytest.fail("the engine tests need make and a C compiler: apt-get install build-essential")
    # Unoptimised: compiling takes longer than running.
    variables = [f"O={directory}", f"CC={compiler}", "SANITIZE=1", "CFLAGS=-O0 -g1"]
    command = [make, "-s", "-j2", "-C", str(TESTS), *variables]
    build = subprocess.run(command, capture_output=True, text=True, check=False)
    if build.returncode != 0:
        pytest.fail(f"the engine does not compile:\n{build.stdout}{build.stderr}")
    run = subprocess.run(
        [str(directory / "engine-tests")], capture_output=True, text=True, timeout=120, check=False
    )
    output = run.stdout + run.stderr
    return Run(run.returncode, output, parse_tap(run.stdout))


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """One run of everything, under the address and undefined-behaviour sanitizers."""
    return build_and_run(tmp_path_factory.mktemp("engine"))


@pytest.mark.parametrize("name", declared_cases())
def test_case(engine: Run, name: str) -> None:
    """Each case of the C tables ran and passed."""
    assert name in engine.cases, f"did not run, or crashed before it:\n{engine.output[-4000:]}"
    outcome = engine.cases[name]
    assert outcome.passed, outcome.diagnostics


def test_run_as_a_whole(engine: Run) -> None:
    """Exactly the declared cases ran, and neither a case nor a sanitizer (leaks included) complained."""
    assert sorted(engine.cases) == sorted(declared_cases())
    assert engine.status == 0, engine.output[-8000:]
