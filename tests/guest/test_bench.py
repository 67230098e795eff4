# SPDX-License-Identifier: MIT
"""A difficult host: lines that sleep, no reset line, an SPI controller that fails, one that is too small, and
a system that goes down without resetting the co-processor.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import devicetree, kernels, module, paths, qemu, rootfs, scenario, traffic
from harness.cache import Cache, digest
from harness.coprocessor import difference
from harness.prepare import Prepared
from harness.target import TEST_KERNEL_WORDS, Target
from harness.traffic import IperfServer
from harness.wifi import DRIVER, Wifi
from tests.guest.lab import Lab, watched
from tests.guest.shutdown import halt_in_traffic
from tests.guest.waits import LogMark, wait_counter

BENCH = Path(__file__).resolve().parent / "bench"
OVERLAY = "slow-lines.dtso"
RSSI = 27
ERRORS = "/sys/module/esp_bench/parameters/spi_errors"
INFO = "/sys/kernel/debug/esp_hosted/spi*/info"
BOOT_NS = 100_000_000


def _build(prepared: Prepared) -> Path:
    """esp_bench.ko for the kernel."""
    with Cache().workspace("bench", digest(str(prepared.kernel.build))) as work:
        module.mirror(BENCH, work, module.IGNORED)
        module.compile_external(prepared.kernel, work, log="bench")
        built = paths.run_dir() / "esp_bench.ko"
        built.write_bytes((work / "esp_bench.ko").read_bytes())
    return built


def _lab(prepared: Prepared, name: str, overlays: Path = BENCH) -> Lab:
    """A guest with the bench; the driver and the bench are not loaded yet."""
    config = kernels.config(prepared.kernel.config)
    if config.get("KPROBES") != "y":
        pytest.skip(f"kernel {prepared.kernel.name} is built without KPROBES, which 6.12 has")
    board = dataclasses.replace(prepared.board, overlay=OVERLAY)
    difficult = dataclasses.replace(
        prepared,
        dtb=devicetree.merge(prepared.kernel, board, overlays),
        rootfs=rootfs.build(prepared.kernel, prepared.board, [prepared.module, _build(prepared)]),
    )
    machine = scenario.machine(difficult, append=TEST_KERNEL_WORDS)
    return Lab(name, machine, qemu.emulator(prepared.qemu), paths.run_dir())


@pytest.fixture(scope="module")
def bench_lab(pytestconfig: pytest.Config, prepared: Prepared) -> Iterator[Lab]:
    """The guest with the bench."""
    yield from watched(pytestconfig, "bench_lab", _lab(prepared, "bench"))


@pytest.fixture
def target(bench_lab: Lab) -> Iterator[Target]:
    """The guest with the bench; the firmware boots fast."""
    for name in ("boot-ns", "reboot-ns"):
        bench_lab.esp.set(name, BOOT_NS)
    yield bench_lab.guest
    bench_lab.esp.faults.disarm_all()


def answered(lab: Lab) -> Wifi:
    """Connected, every ping answered."""
    wlan = lab.connected()
    assert traffic.ping(wlan.target, count=3, interval=0.05, wait=2).received == 3
    return wlan


@pytest.fixture
def working(bench_lab: Lab, target: Target) -> Wifi:
    """Connected."""
    target.run(["modprobe", "esp_bench"])
    return answered(bench_lab)


def test_probe_is_deferred_until_the_lines_are_there(bench_lab: Lab, target: Target) -> None:
    mark = LogMark(target)
    target.run(["modprobe", "esp_hosted"])
    (device,) = target.run("ls /sys/bus/spi/devices").lines()
    target.run(f"until grep {device} /sys/kernel/debug/devices_deferred; do sleep 0.05; done")
    assert not target.run(f"ls -d {DRIVER}/spi*", check=False).ok
    assert f"esp_hosted {device}" not in mark.text()
    target.run(["modprobe", "esp_bench"])
    wlan = answered(bench_lab)
    info = target.run(f"cat {INFO}").stdout
    assert "bus owner: worker\n" in info and "reset: not wired\n" in info
    assert wlan.statistics()["resets"] == 0


@pytest.mark.parametrize("generation", ["g1", "g2"])
def test_attach_to_a_firmware_that_runs(bench_lab: Lab, working: Wifi, generation: str) -> None:
    esp = bench_lab.esp
    if esp.get("generation") != generation:
        esp.set("generation", generation)
        before = working.statistics()["boot_events"]
        esp.faults.arm("crash")
        wait_counter(working, "boot_events", before)
        working = answered(bench_lab)
    boots = esp.counters["boots"]
    working.unload()
    mark = LogMark(working.target)
    working.load()
    mark.wait("the firmware was running already, using it as it is", 5)
    assert working.ip_link()["address"] == esp.get("mac")
    wlan = answered(bench_lab)
    assert esp.counters["boots"] == boots
    assert wlan.statistics()["boot_events"] == 0
    info = wlan.target.run(f"cat {INFO}").stdout
    assert f"generation: {generation[1]}\n" in info and "firmware: unknown\n" in info


def test_a_boot_event_that_waited_is_read(bench_lab: Lab, working: Wifi) -> None:
    esp = bench_lab.esp
    working.unload()
    # Nobody listens; both lines stay high.
    boots = esp.counters["boots"]
    esp.faults.arm("crash")
    deadline = time.monotonic() + 20
    while esp.counters["boots"] == boots or not esp.lines.handshake:
        assert time.monotonic() < deadline, "the firmware did not boot"
    assert esp.lines.data_ready
    working.load()
    assert answered(bench_lab).statistics()["boot_events"] == 1


def test_recovery_without_a_reset_line(bench_lab: Lab, working: Wifi) -> None:
    esp = bench_lab.esp
    index = working.ip_link()["ifindex"]
    mark = LogMark(working.target)
    with esp.fault("command-silent", match=RSSI, must_fire=True):
        working.target.run(["iw", "dev", working.interface, "station", "dump"], check=False)
    mark.wait("command timed out, no reset-gpios: waiting for a restart", 5)
    mark.wait("the firmware was running already", 10)
    assert answered(bench_lab).ip_link()["ifindex"] == index


def test_firmware_restart_without_a_reset_line(bench_lab: Lab, working: Wifi) -> None:
    before = working.statistics()["firmware_restarts"]
    bench_lab.esp.faults.arm("crash")
    wait_counter(working, "firmware_restarts", before)
    answered(bench_lab)


@pytest.mark.parametrize("errors", [1, 3])
def test_spi_errors_are_retried(working: Wifi, errors: int) -> None:
    before = working.statistics()
    working.target.run(f"echo {errors} >{ERRORS}")
    assert traffic.ping(working.target, count=5, interval=0.1, wait=2).received == 5
    assert working.target.run(["cat", ERRORS]).stdout == "0\n"
    counted = difference(before, working.statistics())
    assert counted["spi_errors"] == counted["spi_retries"] == errors
    assert working.link() is not None


def test_an_spi_controller_that_keeps_failing(bench_lab: Lab, working: Wifi) -> None:
    index = working.ip_link()["ifindex"]
    mark = LogMark(working.target)
    working.target.run(f"echo 4 >{ERRORS}")
    working.target.run(["ping", "-q", "-c", "1", "-W", "1", traffic.HOST_FROM_GUEST], check=False)
    mark.wait("SPI transactions keep failing", 10)
    mark.wait("the firmware was running already", 10)
    assert answered(bench_lab).ip_link()["ifindex"] == index


SHORT = "SPI controller transfers at most 1024 bytes, 1600 are needed in one go: use another controller"
UNFIT = {
    "transfers": (1, SHORT),
    "messages": (2, SHORT),
    "half duplex": (3, "SPI controller cannot send and receive at the same time: use another controller"),
    "mode": (4, "the protocol needs SPI mode 2, .*: remove the properties that say otherwise"),
}


@pytest.mark.parametrize(
    "what",
    [pytest.param(what, marks=pytest.mark.slow if number > 1 else ()) for what, (number, _) in UNFIT.items()],
)
def test_a_controller_that_cannot_do_it_is_refused(working: Wifi, what: str) -> None:
    number, said = UNFIT[what]
    target = working.target
    working.unload()
    target.run(["rmmod", "esp_bench"])
    mark = LogMark(target)
    target.run(["modprobe", "esp_bench", f"unfit={number}"])
    target.run(["modprobe", "esp_hosted"])
    mark.wait(said, 10)
    target.run(["rmmod", "esp_hosted"])
    target.run(["rmmod", "esp_bench"])


# The pins of both lines, and their places among the slow ones
PINS = {
    "handshake": ("<&gpio3 20 0>", "<&slow_lines 0 0>"),
    "data-ready": ("<&gpio3 21 0>", "<&slow_lines 1 0>"),
}


@pytest.mark.slow
@pytest.mark.parametrize("slow", PINS)
def test_only_one_line_sleeps(prepared: Prepared, tmp_path: Path, slow: str) -> None:
    """With a line that an interrupt may read and one that it may not, the bus has one owner all the same."""
    text = (BENCH / OVERLAY).read_text(encoding="utf-8")
    for line, (pin, place) in PINS.items():
        assert place in text
        text = text.replace(place, "<&slow_lines 0 0>" if line == slow else pin)
    lines = ", ".join(pin for pin, _ in PINS.values())
    assert lines in text
    (tmp_path / OVERLAY).write_text(text.replace(lines, PINS[slow][0]), encoding="utf-8")
    lab = _lab(prepared, f"slow-{slow}", tmp_path)
    try:
        lab.guest.run(["modprobe", "esp_bench"])
        wlan = answered(lab)
        assert "bus owner: worker\n" in wlan.target.run(f"cat {INFO}").stdout
        with IperfServer() as server:
            for direction in ("up", "down"):
                assert traffic.iperf(lab.guest, server, direction=direction, seconds=2).received_bps > 50_000
        counted = wlan.statistics()
        assert not counted["command_timeouts"] and not counted["resets"]
        assert not lab.esp.counters["unarmed-transactions"]
        wlan.unload()
        assert not lab.findings(())
    finally:
        lab.discard()


@pytest.mark.slow
def test_shutdown_in_traffic_without_a_reset_line(bench_lab: Lab, working: Wifi) -> None:
    """Nobody silences the chip: it has frames for the host, but the driver does not fetch them any more."""
    try:
        said = halt_in_traffic(bench_lab)
        assert ": 0 SPI transfers after the driver's shutdown" in said, said
        lines = bench_lab.esp.lines
        assert lines.handshake and lines.data_ready
    finally:
        bench_lab.discard()
