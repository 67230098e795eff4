# SPDX-License-Identifier: MIT
"""gcov's data of several guests, merged: with a program of this system in place of the driver."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from harness import coverage, module
from harness.coverage import Coverage
from harness.errors import HarnessError
from harness.kernels import Kernel

PROGRAM = """\
int main(int argc, char **argv)
{
	if (argc > 2)
		return 1;
	if (argc > 1)
		return 2;
	return 0;
}
"""

THREADS = """\
#include <pthread.h>

static volatile int done;

static void count(void)
{
	done = 1;
}

static void *run(void *unused)
{
	for (int i = 0; i < 10000000; i++)
		count();
	return unused;
}

int main(void)
{
	pthread_t other;

	pthread_create(&other, 0, run, 0);
	run(0);
	return pthread_join(other, 0);
}
"""


def test_no_count_is_lost_between_processors(tmp_path: Path) -> None:
    (tmp_path / "threads.c").write_text(THREADS)
    flags = module.counting_flags("x86").split()
    # Without -pthread, which gcc takes for the same request.
    command = ["gcc", "--coverage", *flags, "-c", "-o", "threads.o", "threads.c"]
    subprocess.run(command, check=True, cwd=tmp_path)
    subprocess.run(["gcc", "--coverage", "-pthread", "-o", "threads", "threads.o"], check=True, cwd=tmp_path)
    subprocess.run([tmp_path / "threads"], check=True, cwd=tmp_path)
    subprocess.run(["gcov", "threads.c"], check=True, cwd=tmp_path, capture_output=True)
    lines = (tmp_path / "threads.c.gcov").read_text().splitlines()
    assert [line.split(":")[0].strip() for line in lines if "done = 1" in line] == ["20000000"]


def test_the_kernel_has_no_libgcc() -> None:
    assert "-mno-outline-atomics" in module.counting_flags("arm64")
    assert "-mno-outline-atomics" not in module.counting_flags("arm")


@pytest.mark.slow
def test_lines_of_two_guests_count_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sources, run = tmp_path / "sources", tmp_path / "run"
    sources.mkdir()
    (sources / "main.c").write_text(PROGRAM)
    command: list[str | Path] = ["gcc", "--coverage", "-c", "-o", sources / "main.o", sources / "main.c"]
    subprocess.run(command, check=True, cwd=sources)
    subprocess.run(["gcc", "--coverage", "-o", sources / "program", sources / "main.o"], check=True)
    for number, arguments in enumerate([[], ["one"]], 1):
        subprocess.run([sources / "program", *arguments], check=False)
        boot = run / coverage.DATA / f"guest-{number}"
        boot.mkdir(parents=True)
        shutil.move(sources / "main.gcda", boot)

    @contextmanager
    def where(kernel: Kernel) -> Iterator[tuple[Path, Path]]:
        yield sources, sources

    monkeypatch.setattr(module, "sources", where)
    kernel = cast(Kernel, SimpleNamespace(toolchain=SimpleNamespace(prefix="")))
    found = coverage.report(kernel, run)
    # All but `return 1`.
    assert found == Coverage({"main.c": (5, 6)})
    assert str(found) == "83.3 % of the driver's 6 lines ran"
    page = (run / coverage.REPORT / "index.html").read_text()
    assert "main.c" in page
    assert "DA:4,0" in (run / coverage.REPORT / coverage.LCOV).read_text()


def test_nothing_counted_is_no_report(tmp_path: Path) -> None:
    assert coverage.report(cast(Kernel, None), tmp_path) is None
    with pytest.raises(HarnessError, match=r"no summary of gcovr"):
        coverage.read(tmp_path / coverage.SUMMARY)
