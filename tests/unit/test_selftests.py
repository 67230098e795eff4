# SPDX-License-Identifier: MIT
"""What the kernel's own tests print, as results."""

from __future__ import annotations

from harness import selftests
from harness.selftests import Case

OUTPUT = """\
TAP version 13
1..4
ok 1 ping.test_v4
# Check| At ./ping.py, line 21, in test_v6:
not ok 2 ping.test_v6
ok 3 stats.check_fec # XFAIL FEC not supported by the device
ok 4 stats.pkt_byte_sum # SKIP qstats not supported by the device
# Totals: pass:1 fail:1 xfail:1 xpass:0 skip:1 error:0
"""


def test_ktap_lines_become_cases() -> None:
    assert list(selftests.parse(OUTPUT)) == [
        Case("ping.test_v4", True),
        Case("ping.test_v6", False),
        Case("stats.check_fec", True, "XFAIL FEC not supported by the device"),
        Case("stats.pkt_byte_sum", True, "SKIP qstats not supported by the device"),
    ]


def test_no_script_is_both_run_and_excused() -> None:
    assert not set(selftests.APPLY) & set(selftests.REASONS)
