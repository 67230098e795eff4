# SPDX-License-Identifier: MIT
"""`./inv matrix`: every row of kernels.toml built, booted and tested, past failures, into one report."""

from __future__ import annotations

import datetime
import os
import platform
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import junitparser

from harness import (
    cache,
    commands,
    coverage,
    emulator,
    grid,
    kernels,
    kerneltable,
    module,
    paths,
    progress,
    qemu,
    report,
    scenario,
    target,
)
from harness import prepare as preparation
from harness.cache import digest, hash_tree
from harness.errors import HarnessError, unknown_name
from harness.grid import FAILED, PASSED, SKIPPED, Case, Cell, Grid, RowResult
from harness.kernels import Kernel, Row, UnavailableError
from harness.kerneltable import TAGS
from harness.paths import REPO

# Stands for the tests that kernels.toml calls so.
QUICK = "quick"
# What a result depends on besides the row itself.
INPUTS = ("driver", "dts", "boards", "harness", "qemu", "tests")
IGNORED = ("*.pyc", "__pycache__", "*.o", "*.ko", "*.cmd", "*.mod", "*.mod.c")


@dataclass(frozen=True)
class Selection:
    """Which rows, and how."""

    rows: tuple[str, ...] = ()
    """Names; empty for all."""
    tag: str = ""
    shard: str = ""
    """`i/n`: the i-th of n parts of the rows."""
    jobs: int = 1
    resume: bool = False
    tests: tuple[str, ...] = ()
    """Files of the guest tests, as Row.tests names them, or QUICK; empty for what the row says."""
    arguments: tuple[str, ...] = ()
    """For pytest."""


def select(table: kernels.Table, selection: Selection) -> dict[str, Row]:
    """The rows a run is for. HarnessError: a name, tag or shard that does not exist, or nothing is left."""
    for name in selection.rows:
        if name not in table.kernel:
            raise unknown_name("kernel", name, table.kernel)
    for name in selection.tests:
        if name not in (known := [QUICK, *kerneltable.guest_tests()]):
            raise unknown_name("test", name, known)
    if selection.tag and selection.tag not in TAGS:
        raise unknown_name("tag", selection.tag, TAGS)
    names = [
        name
        for name, row in table.kernel.items()
        if name in selection.rows or (not selection.rows and row.provider != "local")
    ]
    names = [name for name in names if not selection.tag or selection.tag in table.kernel[name].tags]
    names = names[_shard(selection.shard)]
    if not names:
        raise HarnessError("no row of kernels.toml is left by --rows, --tag and --shard")
    return {name: table.kernel[name] for name in names}


def _chosen_tests(table: kernels.Table, row: Row, selection: Selection) -> tuple[str, ...]:
    """The test files for a row, empty for all."""
    if QUICK in selection.tests:
        return tuple(dict.fromkeys([*table.quick, *(set(selection.tests) - {QUICK})]))
    return selection.tests or row.tests


def _shard(text: str) -> slice:
    if not text:
        return slice(None)
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise HarnessError(f"{text!r} is not a shard", hint="write i/n, such as 2/3 for the second of three")
    return slice(int(match[1]) - 1, None, int(match[2]))


def run(selection: Selection, directory: Path | None = None) -> bool:
    """Run the matrix, print the grid, write the reports into `directory`; True if it is good."""
    directory = directory or paths.run_dir() / "matrix"
    directory.mkdir(parents=True, exist_ok=True)
    table = kernels.table()
    chosen = select(table, selection)
    started = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
    begin = time.monotonic()
    inputs = hash_tree(*(REPO / name for name in INPUTS), ignore=IGNORED)
    finished: dict[str, RowResult] = {}

    def current() -> Grid:
        rows = tuple(finished[name] for name in chosen if name in finished)
        return Grid(started, time.monotonic() - begin, _environment(), rows)

    def one(name: str) -> None:
        row = chosen[name]
        # What the command line adds changes what is run.
        tests = _chosen_tests(table, row, selection)
        once = () if tests or name == table.default else table.once
        key = digest(inputs, asdict(row), selection.tag, tests, once, selection.arguments)
        result = _earlier(name, key) if selection.resume else None
        planned = RowResult(name, row.tags, row.optional, tests=tests, once=once, inputs=key)
        result = result or _row(planned, selection, directory / name)
        finished[name] = result
        _keep(result)
        # An interrupted run leaves a report of what it had.
        report.write(current(), directory)
        progress.say(report.line(result))

    with ThreadPoolExecutor(max(1, selection.jobs)) as pool:
        try:
            for future in [pool.submit(one, name) for name in chosen]:
                future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            commands.stop_all()
            raise
    complete = current()
    report.show(complete)
    progress.say(f"report: {directory / report.HTML}")
    return complete.good


def merge(files: Sequence[Path], directory: Path) -> bool:
    """One report out of several runs' `matrix.json`; True if it is good."""
    directory.mkdir(parents=True, exist_ok=True)
    merged = grid.merge([grid.read(path) for path in files], kernels.table().kernel)
    report.write(merged, directory)
    report.show(merged)
    progress.say(f"report: {directory / report.HTML}")
    return merged.good


# What earlier runs found.


def _record(name: str) -> Path:
    directory = paths.cache_root() / "matrix"
    directory.mkdir(exist_ok=True)
    return directory / f"{name}.json"


def _keep(result: RowResult) -> None:
    cache.write_json(_record(result.name), asdict(result))


def _earlier(name: str, inputs: str) -> RowResult | None:
    """The row's last result if it was good and nothing has changed since."""
    try:
        result = grid.row_from(cache.read_json(_record(name)))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if result.inputs != inputs or result.status != PASSED:
        return None
    return replace(result, kept=True)


# One row.


def _row(result: RowResult, selection: Selection, directory: Path) -> RowResult:
    directory.mkdir(parents=True, exist_ok=True)
    begin = time.monotonic()
    name, cells = result.name, result.cells
    tests = result.tests or [one for one in kerneltable.guest_tests() if one not in result.once]
    compile_only = selection.tag == "compile" or result.tags == ("compile",)
    if compile_only:
        result = replace(result, tests=(), once=())
    found: list[Kernel] = []

    def kernel() -> str:
        found.append(kernels.resolve(name))
        return ""

    try:
        with cache.costs() as costs:
            good = _step(cells, "kernel", kernel)
            if good:
                result = replace(result, release=found[0].release, toolchain=str(found[0].toolchain))
                good = compile_only or _step(cells, "module", lambda: _module(found[0]))
        if good:
            result = replace(result, costs=costs, warm=_again(name, not compile_only))
            if compile_only:
                _step(cells, "compile W=1", lambda: _compile(found[0]))
            elif _step(cells, "boot", lambda: _boot(name, directory)):
                cells.update(_tests(name, directory, tests, selection.arguments))
                result = replace(result, coverage=_coverage(directory))
    except UnavailableError as error:
        result = replace(result, reason=error.message, cells={})
    return replace(result, seconds=time.monotonic() - begin)


def _again(name: str, with_module: bool) -> float:
    """Seconds that it takes to find in the cache what was just made."""
    begin = time.monotonic()
    kernel = kernels.resolve(name)
    if with_module:
        module.build(kernel)
    return time.monotonic() - begin


def _step(cells: dict[str, Cell], name: str, work: Callable[[], str]) -> bool:
    """Do one step and note it as a cell; True if it worked. Interruptions and UnavailableError pass."""
    begin = time.monotonic()
    try:
        text, status = work(), PASSED
    except UnavailableError:
        raise
    except HarnessError as error:
        text, status = error.render(), FAILED
    except OSError as error:
        text, status = f"{type(error).__name__}: {error}", FAILED
    cells[name] = Cell((Case(name, status, time.monotonic() - begin, text),))
    return status == PASSED


def _module(kernel: Kernel) -> str:
    module.build(kernel)
    return ""


def _compile(kernel: Kernel) -> str:
    warnings = module.warnings(kernel)
    if warnings:
        raise HarnessError("\n".join([f"{len(warnings)} warnings of W=1:", *warnings]))
    return ""


def _boot(name: str, directory: Path) -> str:
    """Boot once to the shell and off again, so that a kernel that cannot boot fails once and soon."""
    prepared = preparation.prepare(name)
    config = scenario.machine(prepared, append=target.TEST_KERNEL_WORDS)
    guest = target.boot(config, qemu.emulator(prepared.qemu), directory / "boot")
    try:
        version = guest.run("cat /proc/version").stdout.strip()
    finally:
        guest.close()
    return version


def _tests(name: str, directory: Path, tests: Iterable[str], arguments: Iterable[str]) -> dict[str, Cell]:
    """These files of the guest tests, a cell for each. What pytest printed is in the row's directory."""
    results = directory / "junit.xml"
    environment = {"ESP_HOSTED_RUNS": str(directory / "runs"), "PYTHONUNBUFFERED": "1"}
    if not os.environ.get(qemu.OVERRIDE):
        environment[qemu.OVERRIDE] = str(emulator.build())
    command: list[str | Path] = [
        sys.executable, "-m", "pytest", f"--junitxml={results}", f"--kernel={name}", "--color=no", "-v",
        "-o", f"cache_dir={directory / 'pytest-cache'}", *arguments,
        *(kerneltable.GUEST_TESTS / f"test_{one}.py" for one in tests),
    ]  # fmt: skip
    with progress.step(f"tests on {name}", always=True) as step:
        finished = commands.run(
            command,
            log=f"matrix-{name}",
            cwd=REPO,
            env=environment,
            check=False,
            on_line=lambda line: step.update(detail=line) if "::" in line else None,
        )
    (directory / "pytest.log").write_text(finished.output, encoding="utf-8")
    cells = read_junit(results) if results.exists() else {}
    # A collection that breaks, or a pytest that is killed, has no failing test case of its own.
    failed = any(cell.status == FAILED for cell in cells.values())
    if not cells or (finished.status and not failed):
        text = "\n".join(finished.output.splitlines()[-60:])
        what = f"pytest ended with {commands.describe(finished.status)}"
        cells["tests"] = Cell((Case("pytest", FAILED, 0.0, f"{what}\n{text}"),))
    return cells


def _coverage(directory: Path) -> dict[str, tuple[int, int]]:
    """What the row's tests wrote about lines that ran; empty if the kernel does not count."""
    summaries = sorted(directory.glob(f"runs/*/{coverage.REPORT}/{coverage.SUMMARY}"))
    return coverage.read(summaries[-1]).files if summaries else {}


def read_junit(path: Path) -> dict[str, Cell]:
    """pytest's JUnit file as cells by test file. HarnessError: it is none."""
    try:
        suites = junitparser.JUnitXml.fromfile(str(path))
    except (OSError, SyntaxError, junitparser.JUnitXmlError) as error:
        raise HarnessError(f"{path} is no JUnit file: {error}") from None
    groups: dict[str, list[Case]] = {}
    for suite in suites:
        for case in suite:
            parts = (case.classname or case.name).split(".")
            name = next((part for part in reversed(parts) if part.startswith("test_")), parts[-1])
            cases = groups.setdefault(name.removeprefix("test_"), [])
            cases.append(_case(case))
            cases += _reported(case)
    return {name: Cell(tuple(cases)) for name, cases in groups.items()}


def _reported(case: junitparser.TestCase) -> Iterator[Case]:
    """What a test that runs other programs' tests says about each of those."""
    groups = case.iterchildren(junitparser.Properties)  # type: ignore[no-untyped-call]
    found = [one for group in groups for one in group]
    for one in found:
        if one.name in (PASSED, FAILED, SKIPPED):
            name, _, text = str(one.value).partition(": ")
            yield Case(name, one.name, 0.0, text)


def _case(case: junitparser.TestCase) -> Case:
    status, texts = PASSED, []
    for outcome in case.result:
        bad = isinstance(outcome, (junitparser.Failure, junitparser.Error))
        if bad or status == PASSED:
            status = FAILED if bad else SKIPPED
        texts += [outcome.message or "", outcome.text or ""]
    if status == FAILED:
        texts += [case.system_out or "", case.system_err or ""]
    return Case(case.name, status, float(case.time or 0), "\n".join(text for text in texts if text))


def _environment() -> dict[str, str]:
    """What a result may depend on, for the report."""
    commit = commands.output(["git", "-C", REPO, "describe", "--always", "--dirty"], check=False).strip()
    return {
        "commit": commit or "unknown",
        "host": f"{platform.system()} {platform.release()} {platform.machine()}, {os.cpu_count()} processors",
        "Python": platform.python_version(),
    }
