# SPDX-License-Identifier: MIT
"""What a matrix run found: rows of cells, as dataclasses and as JSON."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness import cache
from harness.errors import HarnessError

PASSED, FAILED, SKIPPED, NOT_RUN = "passed", "failed", "skipped", "not run"
# Part of the file: a file of another format is refused.
FORMAT = 1


@dataclass(frozen=True)
class Case:
    """One test, or one step before the tests, on one kernel."""

    name: str
    status: str
    seconds: float
    text: str = ""
    """Why it failed or was skipped, with what pytest kept of it."""


@dataclass(frozen=True)
class Cell:
    """One group of tests on one kernel."""

    cases: tuple[Case, ...]

    @property
    def status(self) -> str:
        """failed if any case failed, skipped if all were, else passed."""
        if any(case.status == FAILED for case in self.cases):
            return FAILED
        return PASSED if any(case.status == PASSED for case in self.cases) else SKIPPED

    @property
    def seconds(self) -> float:
        """Of all its cases."""
        return sum(case.seconds for case in self.cases)

    def count(self, status: str) -> int:
        """How many cases have a status."""
        return sum(case.status == status for case in self.cases)


@dataclass(frozen=True)
class RowResult:
    """One kernel."""

    name: str
    tags: tuple[str, ...]
    optional: bool
    release: str = ""
    toolchain: str = ""
    reason: str = ""
    """Why it was not run."""
    seconds: float = 0.0
    tests: tuple[str, ...] = ()
    """The only test files that ran; empty for all, or all but `once`."""
    once: tuple[str, ...] = ()
    """Test files that say the same on every kernel, and ran on the default one at most."""
    inputs: str = ""
    """Changes when driver, tests, harness or the row change."""
    kept: bool = False
    """True if this is the result of an earlier run with the same inputs."""
    cells: dict[str, Cell] = field(default_factory=dict)
    costs: dict[str, float] = field(default_factory=dict)
    """What the kernel, its compiler and the module took to fetch or make, whenever that was: seconds."""
    warm: float = 0.0
    """What finding all of it in the cache takes, in seconds."""
    coverage: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Where the kernel counts: for each file of the driver the lines that ran, and those that could."""

    @property
    def status(self) -> str:
        """Of the worst of its cells; "not run" if the kernel could not be had."""
        if self.reason:
            return NOT_RUN
        return FAILED if any(cell.status == FAILED for cell in self.cells.values()) else PASSED


@dataclass(frozen=True)
class Grid:
    """The whole run."""

    started: str
    """Local time, ISO 8601."""
    seconds: float
    environment: dict[str, str]
    rows: tuple[RowResult, ...]

    @property
    def columns(self) -> list[str]:
        """The groups in the order in which they come; each once."""
        return list(dict.fromkeys(name for row in self.rows for name in row.cells))

    @property
    def good(self) -> bool:
        """True if something ran, nothing failed, and only optional rows were not run."""
        failed = any(row.status == FAILED for row in self.rows)
        missing = any(row.status == NOT_RUN and not row.optional for row in self.rows)
        return not failed and not missing and any(row.status == PASSED for row in self.rows)


def write(grid: Grid, path: Path) -> None:
    """Write a grid as JSON, whole or not at all."""
    cache.write_json(path, {"format": FORMAT, **dataclasses.asdict(grid)})


def read(path: Path) -> Grid:
    """Read what `write` wrote. HarnessError: not such a file."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content.pop("format") != FORMAT:
            raise HarnessError(f"{path} is of another version of this harness")
        rows = tuple(row_from(row) for row in content.pop("rows"))
        return Grid(rows=rows, **content)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise HarnessError(f"{path} is not the result of a matrix run: {error}") from None


def row_from(content: dict[str, Any]) -> RowResult:
    """A row out of JSON. KeyError or TypeError: it is none."""
    cells = {
        name: Cell(tuple(Case(**case) for case in cell["cases"])) for name, cell in content["cells"].items()
    }
    tuples = {key: tuple(content.get(key, ())) for key in ("tags", "tests", "once")}
    counts = {name: (int(ran), int(lines)) for name, (ran, lines) in content.get("coverage", {}).items()}
    return RowResult(**{**content, **tuples, "cells": cells, "coverage": counts})


def merge(grids: Iterable[Grid], order: Iterable[str]) -> Grid:
    """One grid of several runs' rows, in the table's order; of a row that is in several the last counts."""
    listed = list(grids)
    rows = {row.name: row for grid in listed for row in grid.rows}
    names = [name for name in order if name in rows]
    names += [name for name in rows if name not in names]
    environment: dict[str, str] = {}
    for grid in listed:
        for key, value in grid.environment.items():
            known = environment.get(key)
            environment[key] = value if known in (None, value) else f"{known}; {value}"
    return Grid(
        started=min(grid.started for grid in listed),
        seconds=sum(grid.seconds for grid in listed),
        environment=environment,
        rows=tuple(rows[name] for name in names),
    )
