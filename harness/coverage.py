# SPDX-License-Identifier: MIT
"""Which lines of the driver the tests ran: gcov's data out of the guests, merged into one report by gcovr."""

from __future__ import annotations

import importlib.util
import json
import shlex
import shutil
import sys
import tarfile
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from harness import commands, kernels, module, progress, settings
from harness.errors import HarnessError
from harness.kernels import Kernel
from harness.target import Target

DEBUGFS = "/sys/kernel/debug/gcov"
# Of a run, below its directory: the guests' data, and what becomes of it.
DATA, REPORT, SUMMARY, LCOV = "gcov", "coverage", "summary.json", "coverage.info"
GCOVR = "gcovr>=8"  # its first version with merged functions of several runs

# Files of debugfs have no size before they are read, so nothing but cat copies them.
_PACK = f"""
rm -rf /tmp/gcov && mkdir /tmp/gcov && cd {DEBUGFS}
find . -name '*.gcda' -path '*/module/*' -exec sh -c 'cat "$1" >"/tmp/gcov/${{1##*/}}"' - '{{}}' ';'
tar -C /tmp/gcov -czf /tmp/gcov.tgz .
"""


@dataclass(frozen=True)
class Coverage:
    """Lines that ran, of those that could."""

    files: dict[str, tuple[int, int]]

    @property
    def covered(self) -> int:
        """Lines that ran."""
        return sum(one for one, _ in self.files.values())

    @property
    def lines(self) -> int:
        """Lines that could run."""
        return sum(one for _, one in self.files.values())

    def __str__(self) -> str:
        percent = 100 * self.covered / self.lines if self.lines else 0.0
        return f"{percent:.1f} % of the driver's {self.lines} lines ran"


def counted(kernel: Kernel) -> bool:
    """True if this kernel counts which lines of modules run."""
    return kernels.config(kernel.config).get("GCOV_KERNEL") == "y"


def fetch(guest: Target, directory: Path) -> None:
    """Keep what a guest has counted so far in `directory`; nothing if it counts nothing."""
    if not guest.run(["test", "-d", DEBUGFS], check=False).ok:
        return
    guest.run(_PACK)
    directory.mkdir(parents=True, exist_ok=True)
    with tarfile.open(fileobj=BytesIO(guest.read_file("/tmp/gcov.tgz"))) as archive:
        archive.extractall(directory, filter="data")


def report(kernel: Kernel, directory: Path) -> Coverage | None:
    """Merge what `fetch` kept: HTML, lcov's format and a summary in `directory`/coverage.

    None if nothing was counted. HarnessError: gcovr cannot be had, or the data does not fit the module.
    """
    boots = [one for one in sorted((directory / DATA).glob("*")) if any(one.glob("*.gcda"))]
    if not boots:
        return None
    _require()
    target = directory / REPORT
    target.mkdir(exist_ok=True)
    with module.sources(kernel) as (sources, notes):
        common: list[str | Path] = [sys.executable, "-m", "gcovr", "--root", sources]
        # The kernel's headers, whose lines are not counted, are named relative to a tree that is not here.
        for error in ("source_not_found", "no_working_dir_found"):
            common += ["--gcov-ignore-errors", error]
        tool = f"{kernel.toolchain.prefix}gcov"
        names: set[str] = set()
        for boot in boots:
            names |= _complete(boot, notes)
            _run([*common, "--gcov-executable", tool, "--json", boot / "lines.json", boot])
        merged: list[str | Path] = []
        for boot in boots:
            merged += ["--add-tracefile", boot / "lines.json"]
        _run([*common, *merged, "--html-self-contained", "--html-nested", target / "index.html",
              "--lcov", target / LCOV, "--json-summary", target / SUMMARY])  # fmt: skip
    found = read(target / SUMMARY)
    if lost := names - {Path(name).name for name in found.files}:
        raise HarnessError(
            f"gcovr did not find the lines of {', '.join(sorted(lost))}", log=commands.log_path("coverage")
        )
    return found


def _complete(boot: Path, notes: Path) -> set[str]:
    """Put the compiler's notes beside the data of one boot; the names of the driver's files in it."""
    for note in notes.glob("*.gcno"):
        shutil.copy2(note, boot)
    names = set()
    for data in boot.glob("*.gcda"):
        # KUnit's suites run on this kernel too, but are not the driver.
        if data.with_suffix(".gcno").exists():
            names.add(data.with_suffix(".c").name)
        else:
            data.unlink()
    return names


def read(path: Path) -> Coverage:
    """The figures of a report's summary. HarnessError: it is none."""
    try:
        files = json.loads(path.read_text(encoding="utf-8"))["files"]
        return Coverage({one["filename"]: (one["line_covered"], one["line_total"]) for one in files})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise HarnessError(f"{path} is no summary of gcovr: {error}") from None


def _run(command: list[str | Path]) -> None:
    commands.run(command, log="coverage", what="merging the coverage data with gcovr")


def _require() -> None:
    """Make sure that gcovr can be run; installed into this environment when it is first needed."""
    if importlib.util.find_spec("gcovr"):
        return
    install = [sys.executable, "-m", "pip", "install", "--quiet", GCOVR]
    if settings.offline():
        raise HarnessError("gcovr is not installed, and this is offline", hint=shlex.join(install))
    with progress.step("install gcovr", always=True):
        commands.run(install, log="coverage", what="installing gcovr", hint=shlex.join(install))
