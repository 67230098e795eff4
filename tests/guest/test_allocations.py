# SPDX-License-Identifier: MIT
"""Allocations that fail: while the driver binds each in turn, later any of its own now and then."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from harness import kernels, scenario, traffic
from harness.prepare import Prepared
from harness.target import Target
from harness.traffic import IperfServer
from harness.wifi import Wifi

FAULTS = ("failslab", "fail_page_alloc")
# Far more than binding needs.
MOST = 400
# The GPIO core does not give back a pin whose name it could not store (gpiod_request_commit in 6.12): its
# allocations are left alone, or that line is lost for good. The first of these that is not inlined:
GPIO_REQUEST = ("gpiod_request_commit", "gpiod_request")
# Nor are those of a core dump: it frees its data twice when its device cannot be added (6.12).
CORE_DUMP = ("dev_coredumpm_timeout", "dev_coredumpm")
# Percent, and rounds in which everything may go wrong.
PROBABILITY, ROUNDS = 10, 5
ENDLESS = 1_000_000


@pytest.fixture(autouse=True)
def can_fail(prepared: Prepared) -> None:
    """Only kernels that are built for it can be told that an allocation is to fail."""
    if kernels.config(prepared.kernel.config).get("FAILSLAB") != "y":
        pytest.skip(f"kernel {prepared.kernel.name} is built without FAILSLAB: --kernel 6.12-debug has it")


def settle(target: Target, fault: str, **values: object) -> None:
    """Set a fault's attributes."""
    lines = (
        f"echo {value} >/sys/kernel/debug/{fault}/{name.replace('_', '-')}" for name, value in values.items()
    )
    target.run(" && ".join(lines))


def function(target: Target, *names: str) -> tuple[int, int]:
    """Where the first of these functions of the kernel begins, and what follows it."""
    for name in names:
        found = target.run(f"sort /proc/kallsyms | grep -A 1 -E '[tT] {name}$'", check=False).lines()
        if found:
            start, end = (int(line.split()[0], 16) for line in found[:2])
            return start, end
    raise AssertionError(f"none of {names} is in /proc/kallsyms")


def only_ours(target: Target, spared: tuple[str, ...]) -> None:
    """Of all allocations only those count that have one of the driver's functions among their callers.

    `spared` are names of one function of the kernel that must not be among them.
    """
    start = int(target.read_file("/sys/module/esp_hosted/sections/.text"), 16)
    size = int(target.read_file("/sys/module/esp_hosted/coresize"))
    reject_start, reject_end = function(target, *spared)
    for fault in FAULTS:
        settle(
            target, fault, verbose=0, interval=1, task_filter="N", ignore_gfp_wait="N", stacktrace_depth=32,
            require_start=start, require_end=start + size, reject_start=reject_start, reject_end=reject_end,
            probability=0,
        )  # fmt: skip
    settle(target, "fail_page_alloc", min_order=0)


@contextmanager
def failing(target: Target) -> Iterator[None]:
    """Some of the driver's allocations fail."""
    only_ours(target, CORE_DUMP)
    for fault in FAULTS:
        settle(target, fault, times=ENDLESS, probability=PROBABILITY)
    try:
        yield
    finally:
        for fault in FAULTS:
            settle(target, fault, probability=0)


def injected(target: Target) -> int:
    """How many allocations failed."""
    return ENDLESS - int(target.read_file("/sys/kernel/debug/failslab/times"))


def test_bind_with_each_allocation_failing_once(wlan: Wifi) -> None:
    target, device = wlan.target, wlan.device()
    wlan.unbind(device)
    only_ours(target, GPIO_REQUEST)
    # The shell itself writes to `bind`: the count is its own. One that is left says that there were fewer.
    script = f"""
        bad=0
        for number in $(seq {MOST}); do
            echo $number >/proc/self/fail-nth
            echo {device} >/sys/bus/spi/drivers/esp_hosted/bind || bad=$((bad + 1))
            read left </proc/self/fail-nth
            echo 0 >/proc/self/fail-nth
            [ ! -e /sys/bus/spi/drivers/esp_hosted/{device} ] ||
                echo {device} >/sys/bus/spi/drivers/esp_hosted/unbind
            [ "$left" = 0 ] || break
        done 2>/dev/null
        echo "$number allocations, $bad failures"
    """
    said = target.run(script, timeout=600).stdout
    numbers = re.fullmatch(r"(\d+) allocations, (\d+) failures\n", said)
    assert numbers, said
    assert 5 < int(numbers[1]) < MOST and int(numbers[2]) > 3, said
    wlan.bind(device)
    wlan.wait_interface()
    wlan.up()
    wlan.connect(scenario.SSID)


def test_allocations_that_fail_now_and_then(connected: Wifi) -> None:
    target, interface = connected.target, connected.interface
    with failing(target):
        for _ in range(ROUNDS):
            with IperfServer() as server:
                for words in (
                    ["ping", "-n", "-c", "10", "-i", "0.02", "-W", "1", "10.0.2.2"],
                    ["iw", "dev", interface, "scan"],
                    traffic.iperf_command(server.port, seconds=1),
                    ["ethtool", "-S", interface],
                    ["iw", "dev", interface, "disconnect"],
                    ["ip", "link", "set", "dev", interface, "down"],
                    ["ip", "link", "set", "dev", interface, "up"],
                    ["iw", "dev", interface, "connect", "-w", scenario.SSID],
                ):
                    target.run(["timeout", "30", *words], timeout=60, check=False)
    assert injected(target) > ROUNDS
    # It may have given up on something, not on the device: no reload is needed.
    target.run(["ip", "link", "set", "dev", interface, "down"])
    connected.up()
    connected.connect(scenario.SSID)
    connected.lease()
    assert traffic.ping(target).received == 3
