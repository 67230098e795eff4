# SPDX-License-Identifier: MIT
"""`./inv demo`: everything from nothing to iperf3 both ways, and a summary."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from harness import paths, progress, qemu, scenario, summary, target, traffic
from harness.coprocessor import Coprocessor, difference
from harness.errors import HarnessError
from harness.klog import KernelLog
from harness.prepare import Prepared, prepare
from harness.summary import Measured
from harness.target import QemuTarget
from harness.traffic import IperfServer
from harness.wifi import Wifi, parse_colons

# Of the guest's time.
IPERF_SECONDS = 3.0
PINGS = 5


def demo(kernel: str | None, board: str | None) -> bool:
    """Run it and print the summary; True if every step worked. HarnessError names the step that did not."""
    measured = Measured()
    run_dir = paths.run_dir()
    qemu.prune_runs(paths.runs_root())
    begin = time.monotonic()
    prepared = prepare(kernel, board)
    _share(measured, prepared, time.monotonic() - begin)
    with _step(measured, "boot"):
        # Throughput is compared with the modelled bus, so it has to be measured in the model's time.
        config = scenario.machine(
            prepared, append=target.TEST_KERNEL_WORDS, capture=True, icount=scenario.PACED
        )
        guest = target.boot(config, qemu.emulator(prepared.qemu), run_dir)
    try:
        _show(guest, prepared, measured)
    except HarnessError as error:
        error.log = error.log or guest.log
        raise
    finally:
        guest.close()
    # Without a terminal nothing says how wide a line may be: wide enough for what `ip` prints.
    out = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    out.print(summary.render(measured))
    out.print(f"\nfull log: {_log(run_dir)}", soft_wrap=True)
    return True


def _log(run_dir: Path) -> str:
    return f"{run_dir} (console.log, commands.log, qemu.log, {scenario.NETWORK}.pcap, cmdline.sh)"


def _share(measured: Measured, prepared: Prepared, seconds: float) -> None:
    """The time of the preparation, in its parts. The emulator is built beside the others."""
    guest_side = {name: value for name, value in prepared.seconds.items() if name != "emulator"}
    emulator = prepared.seconds.get("emulator", 0.0)
    for name, value in guest_side.items():
        measured.seconds[f"prepare: {name}"] = value
    rest = seconds - sum(guest_side.values())
    title = (
        f"prepare: emulator (beside the others, {emulator:.1f} s in all)" if emulator > 1 else "prepare: rest"
    )
    measured.seconds[title] = max(rest, 0.0)


@contextmanager
def _step(measured: Measured, title: str) -> Iterator[progress.Step]:
    begin = time.monotonic()
    with progress.step(title, always=True) as step:
        yield step
    measured.seconds[title] = time.monotonic() - begin


def _show(guest: QemuTarget, prepared: Prepared, measured: Measured) -> None:
    """All that happens in the guest. Every step checks what it shows."""
    wifi = Wifi(guest)
    esp = Coprocessor(guest.machine.monitor, "esp0")
    log = KernelLog(guest)
    log.begin("demo")
    with _step(measured, "load the driver") as step:
        wifi.load()
        wifi.up()
        info = wifi.ethtool("-i")
        step.result = f"{wifi.interface}: {info['driver']}, firmware {info['firmware-version']}"
    before, lines_before = esp.counters, wifi.interrupts()
    with _step(measured, "scan") as step:
        measured.scan = wifi.scan()
        if scenario.SSID not in {bss.ssid for bss in measured.scan}:
            raise HarnessError(
                f"the scan did not find {scenario.SSID!r}, but {[bss.ssid for bss in measured.scan]}"
            )
        step.result = f"{len(measured.scan)} networks"
    progress.console.print(summary.networks(measured.scan))
    with _step(measured, "associate") as step:
        wifi.connect(scenario.SSID)
        step.result = scenario.SSID
    with _step(measured, "get an address") as step:
        measured.address = wifi.lease()
        step.result = measured.address
    with _step(measured, "ping") as step:
        measured.ping = traffic.ping(guest, count=PINGS, interval=0.1)
        if measured.ping.received != PINGS:
            raise HarnessError(f"only {measured.ping.received} of {PINGS} pings were answered")
        step.result = f"{measured.ping.average:.1f} ms"
    measured.ceiling_bps = esp.link_ceiling_bps
    with IperfServer() as server:
        with _step(measured, "iperf3 up") as step:
            measured.up = traffic.iperf(guest, server, seconds=IPERF_SECONDS)
            step.result = f"{measured.up.mbps:.2f} Mbit/s"
        with _step(measured, "iperf3 down") as step:
            measured.down = traffic.iperf(guest, server, direction="down", seconds=IPERF_SECONDS)
            step.result = f"{measured.down.mbps:.2f} Mbit/s"
    for run in (measured.up, measured.down):
        if not 0 < run.received_bps <= measured.ceiling_bps:
            raise HarnessError(
                f"iperf3 {run.direction}: {run.mbps:.2f} Mbit/s, but the modelled bus carries "
                f"{measured.ceiling_bps / 1e6:.2f} at most",
                hint="this is a mistake in the model",
            )
    with _step(measured, "collect and check"):
        _collect(guest, wifi, esp, prepared, measured)
        counted = difference(before, esp.counters)
        measured.transactions = counted.get("transactions", 0)
        measured.idle_transactions = counted.get("transactions-idle", 0)
        device = wifi.device()
        measured.interrupts = sum(
            count - lines_before.get(name, 0)
            for name, count in wifi.interrupts().items()
            if name.startswith(device)
        )
        findings = log.read().findings()
        if findings:
            raise HarnessError(
                "the kernel reported a mistake:\n" + "\n".join(f"  {finding}" for finding in findings)
            )


def _collect(guest: QemuTarget, wifi: Wifi, esp: Coprocessor, prepared: Prepared, measured: Measured) -> None:
    info = wifi.ethtool("-i")
    module = parse_colons(guest.run(["modinfo", info["driver"]]).stdout)
    measured.kernel = guest.release()
    measured.board = prepared.board.name
    measured.driver = f"{info['driver']} {module.get('version') or info['version']}"
    measured.firmware = info["firmware-version"]
    measured.bus = info["bus-info"]
    measured.link = wifi.link()
    if measured.link is None or measured.link.ssid != scenario.SSID:
        raise HarnessError(f"the association with {scenario.SSID!r} was lost")
    measured.ip_statistics = guest.run(["ip", "-s", "link", "show", "dev", wifi.interface]).stdout
    measured.clock_hz = int(esp.get("spi-clock-hz"))
