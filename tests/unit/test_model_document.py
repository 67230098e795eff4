# SPDX-License-Identifier: MIT
"""docs/virtual-co-processor.md: the tests that it names exist, and the device's properties are in it."""

from __future__ import annotations

import re

import pytest

from harness.paths import REPO
from tests.unit.test_weaknesses import functions

DOCUMENT = (REPO / "docs" / "virtual-co-processor.md").read_text(encoding="utf-8")
ENGINE_TESTS = REPO / "qemu" / "engine" / "tests"
DEVICE = REPO / "qemu" / "device"


def rows() -> list[tuple[str, list[str]]]:
    """What is shown, and what stands between back quotes beside it."""
    section = DOCUMENT.partition("## What shows that it is so\n")[2].partition("\n## ")[0]
    cells = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("|")]
    return [(what.strip(), re.findall(r"`([^`]+)`", tests)) for what, tests in cells[2:]]


def engine_cases() -> set[str]:
    """The names in the engine's tables of tests."""
    texts = [path.read_text(encoding="utf-8") for path in ENGINE_TESTS.glob("test_*.c")]
    return {name for text in texts for name in re.findall(r'^    \{ "([^"]+)", \w+ \},', text, re.MULTILINE)}


def exists(name: str) -> bool:
    """True for a test, or a task that is none."""
    kind, _, rest = name.partition(": ")
    if kind == "engine":
        return rest in engine_cases()
    if kind == "device":
        return rest in functions()["unit/test_device_qtest.py"]
    return name == "./inv fuzz" or any(name in names for names in functions().values())


def test_the_table_is_read() -> None:
    assert len(rows()) > 20
    assert len(engine_cases()) > 100
    assert not exists("engine: no such case") and not exists("device: test_chip") and not exists("test_scam")


@pytest.mark.parametrize(("what", "tests"), rows(), ids=[what for what, _ in rows()])
def test_the_tests_exist(what: str, tests: list[str]) -> None:
    assert tests
    assert [name for name in tests if not exists(name)] == []


def test_every_property_is_described() -> None:
    text = (DEVICE / "esp_hosted.c").read_text(encoding="utf-8")
    names = set(re.findall(r'SETTING\("([\w-]+)"', text))
    assert len(names) > 15
    assert {name for name in names if f"`{name}`" not in DOCUMENT} == set()
