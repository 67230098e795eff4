# SPDX-License-Identifier: MIT
"""Options of all tests."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("guest", "tests in a guest")
    group.addoption("--kernel", default=None, help="row of kernels.toml to boot (default: its default row)")
    group.addoption("--board", default=None, help="file in boards/, without .toml (default: the kernel's)")
    group.addoption("--host", default=None, help="user@address: test the driver on this board, over SSH")
    group.addoption("--identity", default=None, help="private key for --host")
    group.addoption("--labgrid", default=None, help="labgrid environment file: test on its target main")
    group.addoption("--slow", action="store_true", help="also run the tests that wait for time-outs: minutes")
    group.addoption("--tap", action="store_true", help="also run the tests over a tap device; needs root")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "klog_allow(pattern): kernel messages that this test provokes and that do not fail it"
    )
    config.addinivalue_line(
        "markers", "clocks_unarmed(why): this test makes the driver clock a co-processor that is not armed"
    )
    config.addinivalue_line("markers", "slow: a variant of another test that takes long; runs with --slow")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--slow"):
        return
    slow = [item for item in items if item.get_closest_marker("slow")]
    if slow:
        config.hook.pytest_deselected(items=slow)
        items[:] = [item for item in items if item not in slow]
