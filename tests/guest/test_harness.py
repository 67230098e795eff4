# SPDX-License-Identifier: MIT
"""The harness itself, on a guest of its own: crash, hang and warning are seen for what they are."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from harness import console, paths, qemu, scenario, target
from harness.console import GuestCrashError, GuestHangError
from harness.klog import KernelLog
from harness.prepare import Prepared
from harness.target import TEST_KERNEL_WORDS, CommandTimeoutError, QemuTarget
from tests.unit.processes import ends


@pytest.fixture
def victim(prepared: Prepared, request: pytest.FixtureRequest) -> Iterator[QemuTarget]:
    """A guest to be broken."""
    config = scenario.machine(prepared, append=TEST_KERNEL_WORDS)
    guest = target.boot(config, qemu.emulator(prepared.qemu), paths.run_dir() / request.node.name)
    yield guest
    guest.close()


def test_warning_slow_command_and_crash(victim: QemuTarget) -> None:
    log = KernelLog(victim)
    log.begin("a test")
    victim.run("echo 'WARNING: CPU: 0 PID: 1 at lib/x.c:1' >/dev/kmsg")
    assert [finding.name for finding in log.read().findings()] == ["WARN"]

    with pytest.raises(CommandTimeoutError, match="not finished within 1 s: sleep 60"):
        victim.run("sleep 60", timeout=1)
    assert victim.run(["echo", "alive"]).stdout == "alive\n"

    with pytest.raises(GuestCrashError, match=r"Kernel panic - not syncing: sysrq triggered crash") as caught:
        victim.run("echo c >/proc/sysrq-trigger")
    assert "Call trace:" in str(caught.value) and caught.value.log == victim.machine.console_log
    assert not victim.usable()
    with pytest.raises(GuestCrashError, match="the guest is gone"):
        victim.run(["true"])


def test_hang_shows_where_and_leaves_nothing_running(
    victim: QemuTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console, "MARGIN", 3.0)
    # The console's shell stops; the kernel lives on and answers a break on the line.
    with pytest.raises(GuestHangError, match=r"no answer within .* to: kill -STOP") as caught:
        victim.run("kill -STOP $(cut -d' ' -f4 /proc/$$/stat)", timeout=5)
    assert "sysrq: Show Blocked State" in victim.console.since(0)
    assert "sysrq" in str(caught.value)
    pid = victim.machine.pid
    victim.close()
    assert ends(pid)


def test_noise_on_the_console_harms_no_command(victim: QemuTarget) -> None:
    victim.run(["dmesg", "-n", "8"])
    job = victim.spawn("while :; do echo 'esp_hosted: noise' >/dev/kmsg; usleep 2000; done")
    for _ in range(5):
        assert victim.run("seq 2000").stdout.split() == [str(n) for n in range(1, 2001)]
    mark = victim.console.mark()
    victim.run("sleep 0.2")
    assert "noise" in victim.console.since(mark)
    job.stop()
    victim.run(["dmesg", "-n", "2"])
