# SPDX-License-Identifier: MIT
"""A test of the instrumented kernels: a driver broken on purpose is caught by the tool meant for it."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path

import pytest

from harness import commands, hostdeps, kernels, klog, module, paths, qemu, rootfs, scenario, target
from harness.cache import Cache
from harness.prepare import Prepared
from harness.target import QemuTarget
from harness.wifi import Wifi
from tests.guest.lab import KMEMLEAK, LEAK_SECONDS

PATCHES = Path(__file__).resolve().parents[1] / "data" / "broken"
# Which check of the kernel has to find it, and what klog calls what that prints.
EXPECTED = {
    "leak": ("DEBUG_KMEMLEAK", "kmemleak"),
    "missing-lock": ("PROVE_LOCKING", "WARN"),
    "sleep-in-atomic": ("DEBUG_ATOMIC_SLEEP", "BUG"),
    "use-after-free": ("KASAN", "BUG"),
}
WORDS = {
    "leak": "new suspected memory leak",
    "missing-lock": "esp_set_state",
    "sleep-in-atomic": "sleeping function called from invalid context",
    "use-after-free": "KASAN: slab-use-after-free in esp_event_work",
}


def _broken(prepared: Prepared, name: str) -> Prepared:
    """What boots with the driver after a patch."""
    hostdeps.require("qemu")
    with Cache().workspace("broken", name) as work:
        module.mirror(module.DRIVER, work, module.IGNORED)
        commands.run(
            ["patch", "--strip=1", "--no-backup-if-mismatch", "--input", PATCHES / f"{name}.patch"],
            log="broken",
            cwd=work,
            what=f"applying {name}.patch to the driver",
            hint="the driver has changed there: make the patch again",
        )
        ko = module.build(prepared.kernel, work)
    initramfs = rootfs.build(prepared.kernel, prepared.board, [ko])
    return dataclasses.replace(prepared, module=ko, rootfs=initramfs)


def _leak_found(guest: QemuTarget, log: klog.KernelLog) -> bool:
    guest.run(f"echo scan >{KMEMLEAK}", timeout=LEAK_SECONDS)
    return "kmemleak" in {finding.name for finding in log.read().findings()}


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_broken_driver_is_caught(prepared: Prepared, name: str) -> None:
    symbol, finding = EXPECTED[name]
    if kernels.config(prepared.kernel.config).get(symbol) != "y":
        pytest.skip(f"kernel {prepared.kernel.name} is built without {symbol}")
    broken = _broken(prepared, name)
    # No oops=panic: what the kernel says first is what is wanted.
    config = scenario.machine(broken)
    guest = target.boot(config, qemu.emulator(broken.qemu), paths.run_dir() / f"broken-{name}")
    try:
        log = klog.KernelLog(guest)
        log.begin(name)
        wifi = Wifi(guest)
        wifi.load()
        wifi.wait_interface()
        wifi.up()
        wifi.connect(scenario.SSID)
        wifi.unload()
        if name == "leak":
            # kmemleak reports what is older than five seconds; each scan takes about a second.
            end = time.monotonic() + LEAK_SECONDS
            while not _leak_found(guest, log) and time.monotonic() < end:
                pass
        said = log.read()
    finally:
        guest.close()
    assert finding in {one.name for one in said.findings()}, said.text[-4000:]
    assert WORDS[name] in said.text
