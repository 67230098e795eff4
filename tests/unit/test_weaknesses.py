# SPDX-License-Identifier: MIT
"""docs/weaknesses.md: every known mistake has a line, and every test it names exists."""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path

import pytest

from harness.paths import REPO

DOCUMENT = REPO / "docs" / "weaknesses.md"
TESTS = REPO / "tests"
SUITES = REPO / "driver" / "tests"
# How many of each letter there are in the lists that the document goes through.
COUNTS = {"A": 13, "B": 21, "C": 11, "D": 21, "E": 14, "F": 9, "G": 16, "N": 10}
SHORT = {
    "faults": "guest/test_faults.py",
    "radios": "guest/test_two_radios.py",
    "wifi": "guest/test_wifi.py",
}


def rows() -> list[tuple[str, str]]:
    """The tables' rows: first and last column."""
    found = []
    for line in DOCUMENT.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if line.startswith("|") and len(cells) >= 4 and re.match(r"[A-HN]\d", cells[0]):
            found.append((cells[0], cells[-1]))
    return found


def identifiers(cell: str) -> set[str]:
    """The ids in a cell, `B7, B8` or `D7 to D9`, of the letters that COUNTS knows."""
    result: set[str] = set()
    for first, last in re.findall(r"([A-HN]\d+)(?:\s*(?:-|to)\s*([A-HN]?\d+))?", cell):
        letter, begin = first[0], int(first[1:])
        end = int(last.lstrip(letter)) if last else begin
        result |= {f"{letter}{number}" for number in range(begin, end + 1)}
    return result


@functools.cache
def functions() -> dict[str, set[str]]:
    """The test functions of every file below tests/, by its path there."""
    found: dict[str, set[str]] = {}
    for path in TESTS.rglob("test_*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
        found[str(path.relative_to(TESTS))] = names
    return found


def named(cell: str) -> list[str]:
    """What stands between back quotes."""
    return re.findall(r"`([^`]+)`", cell)


def missing(name: str, tests: dict[str, set[str]]) -> str | None:
    """Why a name is none of a test, None if it is."""
    if name in ("kunit", "./inv lint", "./inv matrix", "./inv upstream"):
        return None
    if name.startswith("esp_hosted_"):
        return None if (SUITES / f"{name}_test.c").exists() else "no such KUnit suite"
    file, _, function = name.rpartition(": ")
    plain = re.sub(r"\[.*", "", function)
    if plain in SHORT and not file:
        known = (TESTS / SHORT[plain]).read_text(encoding="utf-8")
        fault = re.search(r"\[([a-z-]+)", function)
        return None if not fault or f'"{fault[1].rstrip("-")}' in known else "no such fault is tested"
    if plain.endswith(".py"):
        return None if any(path.endswith(plain) for path in tests) else "no such file of tests"
    where = tests
    if file:
        path = SHORT.get(file, file)
        where = {one: names for one, names in tests.items() if one.endswith(path)}
    return None if any(plain in names for names in where.values()) else "no such test"


def test_every_item_has_its_line() -> None:
    there = {one for cell, _ in rows() for one in identifiers(cell)}
    wanted = {f"{letter}{number}" for letter, count in COUNTS.items() for number in range(1, count + 1)}
    assert not wanted - there, "no line for these"


@pytest.mark.parametrize(("item", "cell"), rows() if DOCUMENT.exists() else [])
def test_the_tests_exist(item: str, cell: str) -> None:
    tests = functions()
    wrong = {name: why for name in named(cell) if (why := missing(name, tests))}
    assert not wrong, item


def test_a_name_that_is_none_is_noticed() -> None:
    tests = {"guest/test_wifi.py": {"test_scan"}}
    assert missing("test_scan", tests) is None
    assert missing("wifi: test_scan", tests) is None
    assert missing("test_wifi.py", tests) is None
    assert missing("test_scam", tests) == "no such test"
    assert missing("wifi: test_scam", tests) == "no such test"
    assert missing("test_wifl.py", tests) == "no such file of tests"
    assert missing("faults[header-length]", tests) == "no such fault is tested"
    assert missing("esp_hosted_nothing", tests) == "no such KUnit suite"


def test_suites_are_there() -> None:
    assert {Path(one).name for one in SUITES.glob("esp_hosted_*_test.c")} >= {
        "esp_hosted_frame_test.c",
        "esp_hosted_cmd_test.c",
    }
