# SPDX-License-Identifier: MIT
"""The kernel's log: what was said in one span of time, and whether any of it means a mistake."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from harness.target import Target

# Texts by which the kernel reports that something is wrong with it, by name. All are printed by the core
# kernel (lib/bug.c, mm/, kernel/locking/lockdep.c, kernel/rcu/, lib/refcount.c, net/core/dev.c, ...).
PATTERNS: dict[str, str] = {
    "WARN": r"\bWARNING: (?:CPU:|at )",
    "BUG": r"\bBUG: |kernel BUG at ",
    "Oops": r"Internal error: |\bOops\b|Unable to handle kernel|general protection fault",
    "panic": r"Kernel panic",
    "lockdep": r"possible recursive locking|possible circular locking|inconsistent lock state|"
    r"suspicious RCU usage|bad unlock balance|possible irq lock inversion|held lock freed|"
    r"lock held when returning|INFO: trying to register non-static key|"
    r"WARNING: (?:possible|inconsistent|suspicious|bad|held|nested|lock)",
    "RCU stall": r"rcu: INFO: |rcu_\w+ (?:self-)?detected (?:expedited )?stall|"
    r"RCU grace-period kthread .* starved",
    "KASAN": r"KASAN:",
    "KCSAN": r"KCSAN:",
    "KMSAN": r"KMSAN:",
    "KFENCE": r"KFENCE:",
    "UBSAN": r"UBSAN:",
    "kmemleak": r"kmemleak: \d+ new suspected",
    "hung task": r"INFO: task .* blocked for more than",
    "soft lockup": r"soft lockup|hard LOCKUP|watchdog: BUG",
    "refcount": r"refcount_t: ",
    "scheduling while atomic": r"scheduling while atomic|sleeping function called from invalid context",
    "list corruption": r"list_(?:add|del) corruption",
    "slab": r"(?:Object|Redzone|Poison|Freelist) (?:overwritten|corrupt)|Slab cache still has objects|"
    r"kmem_cache_destroy",
    "use after free": r"use[- ]after[- ]free",
    "memory": r"page allocation failure|Out of memory|bad page state",
    "transmit timeout": r"NETDEV WATCHDOG",
    "interrupt": r"irq \d+: nobody cared|Disabling IRQ #",
    "debug objects": r"ODEBUG:",
    "workqueue": r"workqueue: .* hogged CPU|BUG: workqueue",
    "unbalanced": r"Unbalanced (?:enable|disable)|unregister_netdevice: waiting for",
    "call trace": r"Call trace:",
}

# Prints it without a program.
TAINT = "read -r taint </proc/sys/kernel/tainted; echo $taint"
# Bits of /proc/sys/kernel/tainted that a mistake sets (Documentation/admin-guide/tainted-kernels.rst).
TAINTS = {4: "machine check", 5: "bad page", 7: "Oops or BUG", 9: "WARN", 14: "soft lockup"}
# An out-of-tree module that nobody signed: ours, and expected, as are KUnit's suites.
EXPECTED_TAINTS = {12: "out-of-tree module", 13: "unsigned module", 18: "unit tests"}


@dataclass(frozen=True)
class Finding:
    """One line of the log that means a mistake."""

    name: str
    line: str

    def __str__(self) -> str:
        return f"{self.name}: {self.line.strip()}"


@dataclass(frozen=True)
class Slice:
    """What the kernel said in one span of time."""

    text: str
    wrapped: bool = False
    """True if the log's ring overflowed, so that the beginning is missing."""
    taint: int = 0
    """Bits newly set in /proc/sys/kernel/tainted."""

    def findings(self, allowed: Iterable[str] = ()) -> list[Finding]:
        """The mistakes in it; lines that match a regular expression in `allowed` do not count."""
        found = findings(self.text, allowed)
        if not found:
            found = [
                Finding("taint", f"the kernel is tainted: {TAINTS[bit]}")
                for bit in TAINTS
                if self.taint >> bit & 1 and not list(allowed)
            ]
        return found


def findings(text: str, allowed: Iterable[str] = ()) -> list[Finding]:
    """The lines of a kernel log that mean a mistake, each once, under the first name that fits."""
    permitted = [re.compile(pattern) for pattern in allowed]
    result = []
    for line in text.splitlines():
        if any(pattern.search(line) for pattern in permitted):
            continue
        name = next((name for name, pattern in PATTERNS.items() if re.search(pattern, line)), None)
        if name is not None:
            result.append(Finding(name, line))
    return result


def taint_names(value: int) -> list[str]:
    """What the bits of a taint value mean; unknown ones by number."""
    known = TAINTS | EXPECTED_TAINTS
    return [known.get(bit, f"bit {bit}") for bit in range(value.bit_length()) if value >> bit & 1]


class KernelLog:
    """The log of one target, in slices from a marker on."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._number = 0
        self._marker: str | None = None
        self._taint = 0

    def begin(self, name: str) -> None:
        """Start a slice: writes a line to the log that names it."""
        self._number += 1
        label = re.sub(r"[^\w\[\]./:-]+", "_", name)[:120]
        self._marker = f"esp-hosted-test {self._number}: {label}"
        result = self._target.run(f"echo '{self._marker}' >/dev/kmsg; {TAINT}")
        self._taint = int(result.stdout)

    def read(self) -> Slice:
        """The slice since `begin`, or the whole log if there was none."""
        # All of the log takes an instrumented guest a second to print.
        since = f" | sed -n '/esp-hosted-test {self._number}:/,$p'" if self._marker else ""
        script = f"{TAINT}; dmesg{since}"
        taint, _, log = self._target.run(script).stdout.partition("\n")
        new_taint = int(taint) & ~self._taint
        if self._marker is None:
            return Slice(log, taint=new_taint)
        position = log.rfind(self._marker)
        if position < 0:
            return Slice(self._target.run("dmesg").stdout, wrapped=True, taint=new_taint)
        return Slice(log[position + len(self._marker) :].lstrip("\n"), taint=new_taint)
