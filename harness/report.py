# SPDX-License-Identifier: MIT
"""A matrix run for people and machines: a grid on the terminal, JSON, JUnit XML, one HTML page."""

from __future__ import annotations

import sys
from pathlib import Path

import jinja2
import junitparser
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from harness import grid
from harness.coverage import Coverage
from harness.grid import FAILED, NOT_RUN, PASSED, SKIPPED, Cell, Grid, RowResult

JSON, JUNIT, HTML = "matrix.json", "junit.xml", "index.html"
TEMPLATES = Path(__file__).resolve().parent / "templates"
COLOURS = {PASSED: "green", FAILED: "red", SKIPPED: "yellow", NOT_RUN: "yellow"}


def write(result: Grid, directory: Path) -> None:
    """Write all files of a run."""
    grid.write(result, directory / JSON)
    junit(result).write(str(directory / JUNIT), pretty=True)
    (directory / HTML).write_text(html(result), encoding="utf-8")


def line(row: RowResult) -> str:
    """One row in one line."""
    if row.status == NOT_RUN:
        return f"{row.name}: not run: {row.reason}"
    cases = [case for cell in row.cells.values() for case in cell.cases]
    failed = sum(case.status == FAILED for case in cases)
    earlier = " (earlier run, nothing has changed)" if row.kept else ""
    verdict = f"{failed} of {len(cases)} failed" if failed else f"{len(cases)} passed or skipped"
    return f"{row.name}: {row.release}: {verdict} in {row.seconds:.0f} s{earlier}"


def which_tests(row: RowResult) -> str:
    """Which of the guest tests ran, if not all."""
    if row.tests:
        return f"of the guest tests only {', '.join(row.tests)}"
    if row.once:
        return f"all guest tests but those that say the same on every kernel: {', '.join(row.once)}"
    return ""


def show(result: Grid, console: Console | None = None) -> None:
    """Print the grid, then what failed and what was not run."""
    # In a log a line per row, however wide.
    out = console or Console(highlight=False, width=None if sys.stdout.isatty() else 240)
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("kernel", no_wrap=True)
    table.add_column("release", no_wrap=True)
    for name in result.columns:
        table.add_column(name, justify="right")
    table.add_column("total", justify="right")
    for row in result.rows:
        if row.status == NOT_RUN:
            cells = ["[yellow]not run[/]"] + [""] * len(result.columns)
            table.add_row(f"[yellow]{escape(row.name)}[/]", *cells, "")
            continue
        shown = [_shown(row.cells.get(name)) for name in result.columns]
        colour = COLOURS[row.status]
        total = f"{row.seconds:.0f} s" + ("*" if row.kept else "")
        table.add_row(f"[{colour}]{escape(row.name)}[/]", escape(row.release), *shown, total)
    out.print(table)
    for row in result.rows:
        if row.costs:
            parts = ", ".join(f"{title} {seconds:.0f} s" for title, seconds in row.costs.items())
            out.print(
                f"{escape(row.name)}: from nothing {sum(row.costs.values()):.0f} s ({escape(parts)}), "
                f"from the cache {row.warm:.1f} s"
            )
        if row.coverage:
            out.print(f"{escape(row.name)}: {Coverage(row.coverage)}")
        if (ran := which_tests(row)) and row.status != NOT_RUN:
            out.print(f"{escape(row.name)}: {escape(ran)}")
        if row.status == NOT_RUN:
            allowed = " (optional)" if row.optional else ""
            out.print(f"[yellow]not run[/] {escape(row.name)}{allowed}: {escape(row.reason)}", soft_wrap=True)
        for cell in row.cells.values():
            for case in cell.cases:
                if case.status == FAILED:
                    said = next((text for text in case.text.splitlines() if text.strip()), "")
                    name = escape(f"{row.name} {case.name}: {said[:160]}")
                    out.print(f"[red]failed[/]  {name}", soft_wrap=True)
    if any(row.kept for row in result.rows):
        out.print("* from an earlier run: nothing it depends on has changed")


def _shown(cell: Cell | None) -> str:
    if cell is None:
        return ""
    failed = cell.count(FAILED)
    text = f"{failed} bad " if failed else ""
    skipped = f" ({cell.count(SKIPPED)} skipped)" if cell.count(SKIPPED) else ""
    return f"[{COLOURS[cell.status]}]{text}{cell.seconds:.0f} s{skipped}[/]"


def junit(result: Grid) -> junitparser.JUnitXml:
    """A test suite for each row. What was not run is a skipped case: no reader takes it for passed."""
    document = junitparser.JUnitXml("matrix")
    for row in result.rows:
        suite = junitparser.TestSuite(row.name)
        suite.add_property("release", row.release or "none")
        if row.status == NOT_RUN:
            case = junitparser.TestCase("kernel", f"matrix.{row.name}", 0.0)
            case.result = [junitparser.Skipped(f"not run: {row.reason}")]
            suite.add_testcase(case)
        for name, cell in row.cells.items():
            for one in cell.cases:
                case = junitparser.TestCase(one.name, f"matrix.{row.name}.{name}", one.seconds)
                first = one.text.partition("\n")[0]
                if one.status == FAILED:
                    failure = junitparser.Failure(_printable(first))
                    failure.text = _printable(one.text)
                    case.result = [failure]
                elif one.status == SKIPPED:
                    case.result = [junitparser.Skipped(_printable(first))]
                suite.add_testcase(case)
        document.add_testsuite(suite)
    document.update_statistics()  # type: ignore[no-untyped-call]
    return document


def _printable(text: str) -> str:
    """Without the control characters that XML forbids."""
    return "".join(char for char in text if char in "\n\t" or char >= " ")


def html(result: Grid) -> str:
    """The page: one file, nothing is loaded from anywhere."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("matrix.html").render(
        grid=result, Coverage=Coverage, which_tests=which_tests,
        PASSED=PASSED, FAILED=FAILED, SKIPPED=SKIPPED, NOT_RUN=NOT_RUN,
    )  # fmt: skip
