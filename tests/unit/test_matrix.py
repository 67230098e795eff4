# SPDX-License-Identifier: MIT
"""The matrix: which rows, what becomes of them, and what is written, with kernels that do not exist."""

from __future__ import annotations

import dataclasses
import html.parser
import io
from collections.abc import Iterable
from pathlib import Path

import junitparser
import pytest
from rich.console import Console

from harness import grid, kernels, kerneltable, matrix, module, report
from harness.errors import HarnessError
from harness.grid import FAILED, NOT_RUN, PASSED, SKIPPED, Case, Cell, Grid, RowResult
from harness.matrix import Selection

ROW = kernels.Row(provider="debian", arch="arm64", board="imx8mp-evk", suite="s", series="1", tags=("stock",))
TABLE = kernels.Table(
    "a",
    {
        "a": ROW,
        "b": dataclasses.replace(ROW, tags=("debug",)),
        "c": ROW,
        "mine": dataclasses.replace(ROW, provider="local"),
        "d": dataclasses.replace(ROW, tags=("compile",)),
    },
)


@pytest.mark.parametrize(
    ("selection", "names"),
    [
        (Selection(), ["a", "b", "c", "d"]),
        (Selection(rows=("mine", "a")), ["a", "mine"]),
        (Selection(tag="stock"), ["a", "c"]),
        (Selection(shard="1/3"), ["a", "d"]),
        (Selection(shard="2/3"), ["b"]),
        (Selection(shard="3/3"), ["c"]),
    ],
)
def test_selection(selection: Selection, names: list[str]) -> None:
    assert list(matrix.select(TABLE, selection)) == names


@pytest.mark.parametrize(
    ("selection", "complaint"),
    [
        (Selection(rows=("6",)), "no kernel '6'.*a, b, c"),
        (Selection(tag="stok"), "no tag 'stok'.*stock"),
        (Selection(tests=("wify",)), "no test 'wify'.*wifi"),
        (Selection(shard="4/3"), "'4/3' is not a shard.*2/3"),
        (Selection(shard="0/3"), "not a shard"),
        (Selection(rows=("a",), tag="debug"), "no row .* is left"),
    ],
)
def test_selection_that_makes_no_sense(selection: Selection, complaint: str) -> None:
    with pytest.raises(HarnessError, match=rf"(?s){complaint}"):
        matrix.select(TABLE, selection)


def sample() -> Grid:
    good = Cell((Case("test_ping", PASSED, 1.5), Case("test_tap", SKIPPED, 0.0, "needs root")))
    bad = Cell((Case("test_leak", FAILED, 2.0, "kmemleak: 1 new suspected\n<trace> & more\x1b"),))
    return Grid(
        "2026-01-01T00:00:00+00:00",
        12.0,
        {"commit": "abc"},
        (
            RowResult("6.1", ("stock",), False, "6.1.0-9", "gcc 12", seconds=4, cells={"traffic": good}),
            RowResult("6.6", ("stock",), True, reason="cannot reach kernel.org"),
            RowResult("dbg", ("debug",), False, "6.12.1", "gcc 12", cells={"traffic": good, "leaks": bad}),
        ),
    )


def without(result: Grid, *names: str) -> Grid:
    return dataclasses.replace(result, rows=tuple(row for row in result.rows if row.name not in names))


def test_a_grid_is_good_only_if_something_ran_and_nothing_failed() -> None:
    result = sample()
    assert [row.status for row in result.rows] == [PASSED, NOT_RUN, FAILED]
    assert not result.good
    assert without(result, "dbg").good
    assert not without(result, "dbg", "6.1").good
    required = dataclasses.replace(result.rows[1], optional=False)
    assert not dataclasses.replace(result, rows=(result.rows[0], required)).good


def test_json_there_and_back(tmp_path: Path) -> None:
    grid.write(sample(), tmp_path / "m.json")
    assert grid.read(tmp_path / "m.json") == sample()
    (tmp_path / "other.json").write_text('{"format": 1, "rows": 3}')
    with pytest.raises(HarnessError, match=r"other\.json is not the result of a matrix run"):
        grid.read(tmp_path / "other.json")


def test_shards_merge_in_the_order_of_the_table() -> None:
    result = sample()
    parts = [without(result, "6.1"), without(result, "6.6", "dbg")]
    merged = grid.merge(parts, ["6.1", "6.6", "dbg"])
    assert merged.rows == result.rows
    assert merged.environment == {"commit": "abc"}


def test_terminal_names_failures_and_rows_not_run() -> None:
    console = Console(width=160, record=True, file=io.StringIO())
    report.show(sample(), console)
    text = console.export_text()
    assert "not run 6.6 (optional): cannot reach kernel.org" in text
    assert "failed  dbg test_leak: kmemleak: 1 new suspected" in text


def test_junit_counts_failures_and_what_was_not_run(tmp_path: Path) -> None:
    path = tmp_path / "junit.xml"
    report.junit(sample()).write(str(path))
    suites = {suite.name: suite for suite in junitparser.JUnitXml.fromfile(str(path))}
    assert (suites["6.1"].tests, suites["6.1"].failures, suites["6.1"].skipped) == (2, 0, 1)
    assert (suites["6.6"].tests, suites["6.6"].skipped) == (1, 1)
    assert suites["dbg"].failures == 1


def test_page_is_one_file_and_escapes_what_it_shows() -> None:
    class Reader(html.parser.HTMLParser):
        loads: list[str] = []  # noqa: RUF012
        text = ""

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            self.loads += [str(value) for name, value in attrs if name in ("src", "href")]

        def handle_data(self, data: str) -> None:
            self.text += data

    reader = Reader()
    reader.feed(report.html(sample()))
    assert all(link.startswith("#") for link in reader.loads)
    assert "<trace> & more" in reader.text
    assert "not run (optional): cannot reach kernel.org" in reader.text


def test_pytest_results_become_cells(tmp_path: Path) -> None:
    (tmp_path / "test_one.py").write_text(
        "import pytest\n"
        "def test_good(record_property):\n"
        "    record_property('skipped', 'a.py: not for us')\n"
        "def test_bad(): assert 1 == 2\n"
        "def test_not(): pytest.skip('no such thing')\n"
        "@pytest.fixture\n"
        "def broken(): raise ValueError('setup')\n"
        "def test_error(broken): pass\n"
    )
    path = tmp_path / "junit.xml"
    options = [f"--junitxml={path}", "-o", "junit_family=xunit1"]
    options += ["-q", "-p", "no:cacheprovider", f"--rootdir={tmp_path}"]
    pytest.main([*options, str(tmp_path)])
    cell = matrix.read_junit(path)["one"]
    assert [case.status for case in cell.cases] == [PASSED, SKIPPED, FAILED, SKIPPED, FAILED]
    assert cell.cases[1] == Case("a.py", SKIPPED, 0.0, "not for us")
    assert "assert 1 == 2" in cell.cases[2].text
    assert "no such thing" in cell.cases[3].text


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, str]:
    """Kernels by name, and what resolving them does: "" works."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    outcomes: dict[str, str] = {}

    def resolve(name: str) -> kernels.Kernel:
        what = outcomes[name]
        if what == "away":
            raise kernels.UnavailableError(f"no network for {name}")
        if what:
            raise HarnessError(what)
        here = tmp_path
        return kernels.Kernel(
            name, f"{name}.0", "1", "arm64", image=here, modules=here, dtbs=here, build=here, config=here,
            symvers=here, board="imx8mp-evk",
        )  # fmt: skip

    monkeypatch.setattr(kernels, "resolve", resolve)
    monkeypatch.setattr(kernels, "table", lambda: kernels.Table("a", dict.fromkeys(outcomes, ROW)))
    monkeypatch.setattr(module, "build", lambda kernel: tmp_path)
    monkeypatch.setattr(matrix, "_boot", lambda name, directory: f"Linux {name}")
    passing = Cell((Case("test_x", PASSED, 1.0),))
    monkeypatch.setattr(matrix, "_tests", lambda name, directory, tests, arguments: {"x": passing})
    return outcomes


def test_a_row_that_fails_does_not_stop_the_others(rows: dict[str, str], tmp_path: Path) -> None:
    rows.update({"a": "the compiler said no", "b": "away", "c": ""})
    assert not matrix.run(Selection(), tmp_path / "out")
    result = grid.read(tmp_path / "out" / report.JSON)
    assert [row.status for row in result.rows] == [FAILED, NOT_RUN, PASSED]
    assert result.rows[0].cells["kernel"].cases[0].text == "the compiler said no"
    assert result.rows[1].reason == "no network for b"
    assert list(result.rows[2].cells) == ["kernel", "module", "boot", "x"]
    assert (tmp_path / "out" / report.HTML).exists()


def test_tests_of_command_line_row_and_quick_list(
    rows: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows.update({"a": "", "b": ""})
    some = dataclasses.replace(ROW, tests=("wifi",))
    table = kernels.Table("a", {"a": ROW, "b": some}, ("interface", "wifi"))
    monkeypatch.setattr(kernels, "table", lambda: table)
    ran: list[tuple[str, ...]] = []

    def run(name: str, directory: Path, tests: tuple[str, ...], arguments: object) -> dict[str, Cell]:
        ran.append(tests)
        return {"x": Cell((Case("test_x", PASSED, 1.0),))}

    monkeypatch.setattr(matrix, "_tests", run)
    for index, tests in enumerate([(), ("traffic",), ("quick",), ("quick", "traffic")]):
        assert matrix.run(Selection(tests=tests), tmp_path / str(index))
    assert list(ran[0]) == kerneltable.guest_tests()
    assert ran[1:] == [
        ("wifi",), ("traffic",), ("traffic",), *2 * [("interface", "wifi")],
        *2 * [("interface", "wifi", "traffic")],
    ]  # fmt: skip
    page = (tmp_path / "1" / report.HTML).read_text()
    assert page.count("of the guest tests only traffic") == 2
    assert grid.read(tmp_path / "0" / report.JSON).rows[1].tests == ("wifi",)


def test_what_says_the_same_on_every_kernel_runs_on_the_default_one_only(
    rows: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows.update({"a": "", "b": ""})
    table = kernels.Table("a", {"a": ROW, "b": ROW}, once=("harness", "model"))
    monkeypatch.setattr(kernels, "table", lambda: table)
    ran: list[set[str]] = []

    def run(name: str, directory: Path, tests: Iterable[str], arguments: object) -> dict[str, Cell]:
        ran.append(set(tests))
        return {"x": Cell((Case("test_x", PASSED, 1.0),))}

    monkeypatch.setattr(matrix, "_tests", run)
    assert matrix.run(Selection(), tmp_path / "all")
    assert ran[0] == set(kerneltable.guest_tests()) and ran[0] - ran[1] == {"harness", "model"}
    said = "all guest tests but those that say the same on every kernel: harness, model"
    assert (tmp_path / "all" / report.HTML).read_text().count(said) == 1
    assert matrix.run(Selection(rows=("b",), tests=("model",)), tmp_path / "asked")
    assert ran[2] == {"model"}


def test_resume_repeats_only_what_was_not_good(
    rows: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows.update({"a": "broken", "c": ""})
    matrix.run(Selection(), tmp_path / "first")
    rows["a"] = ""
    booted: list[str] = []

    def boot(name: str, directory: Path) -> str:
        booted.append(name)
        return name

    monkeypatch.setattr(matrix, "_boot", boot)
    assert matrix.run(Selection(resume=True), tmp_path / "second")
    assert booted == ["a"]
    assert [row.kept for row in grid.read(tmp_path / "second" / report.JSON).rows] == [False, True]
    matrix.run(Selection(), tmp_path / "third")
    assert booted == ["a", "a", "c"]
