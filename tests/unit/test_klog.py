# SPDX-License-Identifier: MIT
"""What of a kernel's log counts as a mistake."""

from __future__ import annotations

import pytest

from harness.klog import KernelLog, Slice, findings, taint_names
from harness.target import Result, Target

# One line of each kind, as the kernel prints it.
MISTAKES = {
    "WARN": "[   10.1] WARNING: CPU: 1 PID: 77 at net/core/skbuff.c:1000 skb_release+0x1/0x2",
    "BUG": "[   10.1] BUG: unable to handle page fault for address: ffff",
    "Oops": "[   10.1] Unable to handle kernel NULL pointer dereference at virtual address 0000000000000010",
    "panic": "[   10.1] Kernel panic - not syncing: Fatal exception",
    "lockdep": "[   10.1] WARNING: possible circular locking dependency detected",
    "RCU stall": "[   10.1] rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:",
    "KASAN": "[   10.1] KASAN: maybe wild-memory-access in range",
    "UBSAN": "[   10.1] UBSAN: array-index-out-of-bounds in drivers/net/x.c:1:2",
    "kmemleak": "[   10.1] kmemleak: 3 new suspected memory leaks (see /sys/kernel/debug/kmemleak)",
    "hung task": "[   10.1] INFO: task rmmod:99 blocked for more than 120 seconds.",
    "soft lockup": "[   10.1] watchdog: soft lockup - CPU#0 stuck for 26s!",
    "refcount": "[   10.1] refcount_t: underflow; use-after-free.",
    "scheduling while atomic": "[   10.1] sleeping function called from invalid context at kernel/x.c:1",
    "list corruption": "[   10.1] list_del corruption. prev->next should be x",
    "transmit timeout": "[   10.1] NETDEV WATCHDOG: wlan0 (esp_hosted): transmit queue 0 timed out",
    "interrupt": '[   10.1] irq 55: nobody cared (try booting with the "irqpoll" option)',
    "call trace": "[   10.1] Call trace:",
}

HARMLESS = """\
[    0.000000] Booting Linux on physical CPU 0x0000000000 [0x410fd034]
[    0.000000] rcu: Preemptible hierarchical RCU implementation.
[    0.000000] rcu: \tRCU event tracing is enabled.
[    0.040000] SMP: Total of 2 processors activated.
[    1.000000] esp_hosted: loading out-of-tree module taints kernel.
[    1.000000] esp_hosted: module verification failed: signature and/or required key missing - tainting kernel
[    1.100000] spi_imx 30830000.spi: probed
[    1.200000] esp_hosted spi1.0: firmware NG-1.0.6.0.1, ESP32
[    2.000000] wlan0: associated
[    2.000000] debugfs: slab caches and BUGs are words too
"""


@pytest.mark.parametrize("name", MISTAKES)
def test_each_kind_is_found_under_its_name(name: str) -> None:
    found = findings(HARMLESS + MISTAKES[name] + "\n" + HARMLESS)
    assert [finding.name for finding in found] == [name]
    assert found[0].line == MISTAKES[name]


def test_harmless_lines_are_left_alone() -> None:
    assert findings(HARMLESS) == []


def test_allowed_lines_do_not_count() -> None:
    text = MISTAKES["transmit timeout"] + "\n" + MISTAKES["call trace"]
    assert len(findings(text)) == 2
    assert [finding.name for finding in findings(text, [r"NETDEV WATCHDOG: wlan0"])] == ["call trace"]


def test_new_taint_counts_even_without_a_line() -> None:
    assert [finding.name for finding in Slice("quiet", taint=1 << 9).findings()] == ["taint"]
    assert Slice("quiet", taint=1 << 12 | 1 << 13).findings() == []


def test_taint_names() -> None:
    assert taint_names(1 << 12 | 1 << 9) == ["WARN", "out-of-tree module"]
    assert taint_names(1 << 3) == ["bit 3"]


class LogTarget(Target):
    """A target with a log, a ring of `limit` lines, and nothing else."""

    def __init__(self, limit: int = 1000) -> None:
        super().__init__()
        self.lines: list[str] = ["[ 0.000000] boot"]
        self.taint = 0
        self.limit = limit

    def _execute(self, script: str, timeout: float) -> Result:
        if "/dev/kmsg" in script:
            self.lines.append("[ 1.000000] " + script.split("'")[1])
            return Result(script, 0, f"{self.taint}\n".encode(), "", 0.0)
        assert "dmesg" in script
        text = "\n".join([str(self.taint), *self.lines[-self.limit :]]) + "\n"
        return Result(script, 0, text.encode(), "", 0.0)

    def close(self) -> None:
        pass


def test_slice_begins_at_its_marker() -> None:
    target = LogTarget()
    log = KernelLog(target)
    target.lines.append(MISTAKES["WARN"])
    log.begin("tests/guest/test_x.py::test_one[a'b]")
    assert log.read() == Slice("")
    target.lines.append("[ 2.0] mine")
    assert log.read().text == "[ 2.0] mine\n"
    log.begin("second")
    assert log.read().text == ""


def test_slice_reports_only_taint_that_is_new() -> None:
    target = LogTarget()
    target.taint = 1 << 9
    log = KernelLog(target)
    log.begin("one")
    assert log.read().taint == 0
    target.taint |= 1 << 7
    assert log.read().findings()[0].line.endswith("Oops or BUG")


def test_overflown_ring_is_noticed_and_still_searched() -> None:
    target = LogTarget(limit=3)
    log = KernelLog(target)
    log.begin("one")
    target.lines += ["[ 2.0] a", MISTAKES["BUG"], "[ 3.0] b"]
    result = log.read()
    assert result.wrapped and [finding.name for finding in result.findings()] == ["BUG"]
