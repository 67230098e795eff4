# SPDX-License-Identifier: MIT
"""The driver's KUnit suites: each is a module of its own that runs when it is loaded, and reports KTAP."""

from __future__ import annotations

import re

import pytest

from harness import kernels
from harness.paths import REPO
from harness.prepare import Prepared
from harness.target import QemuTarget
from tests.guest.waits import LogMark

SUITES = sorted(path.stem for path in (REPO / "driver" / "tests").glob("*_test.c"))
RESULT = re.compile(r"^\[[^]]*\] (?P<indent> *)(?P<verdict>ok|not ok) \d+ (?P<name>\S+)", re.MULTILINE)


@pytest.mark.parametrize("suite", SUITES)
def test_suite(guest: QemuTarget, prepared: Prepared, suite: str) -> None:
    if kernels.config(prepared.kernel.config).get("KUNIT") not in ("y", "m"):
        pytest.skip("this kernel has no KUnit: ./inv test --guest --kernel 6.12-debug -k kunit")
    mark = LogMark(guest)
    guest.run(["modprobe", suite], timeout=120)
    try:
        said = mark.text()
    finally:
        guest.run(["rmmod", suite])
    results = [(match["name"], match["verdict"], bool(match["indent"])) for match in RESULT.finditer(said)]
    cases = [name for name, _, inside in results if inside]
    assert len(cases) >= 5, f"no KTAP in what the kernel said:\n{said}"
    assert [name for name, verdict, _ in results if verdict != "ok"] == [], said
    # The suite's own line is the last one, and its name that of the module.
    assert results[-1] == (suite.removesuffix("_test"), "ok", False)
