# SPDX-License-Identifier: MIT
"""Fixtures of the tests that run in a guest, and what happens when one of them fails."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from harness import coverage, cpio, farm, paths, qemu, rootfs, scenario, selftests
from harness.coprocessor import AccessPoint, Coprocessor
from harness.errors import HarnessError
from harness.kerneltable import UnavailableError
from harness.klog import Finding
from harness.prepare import Prepared, prepare
from harness.ssh import SshTarget
from harness.target import TEST_KERNEL_WORDS, QemuTarget, Target
from harness.testing import KERNEL_VARIABLE
from harness.traffic import IperfServer
from harness.wifi import Wifi
from tests.guest import board
from tests.guest.board import BoardLab
from tests.guest.lab import GENERATIONS, LABS, Lab, watched

PREPARED = pytest.StashKey[Prepared]()
# What tests use beside the usual packages of a guest.
GUEST_PACKAGES = ("bluez",)
# A terminal's worth; everything is in the files.
SECTION_LINES = 60


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Faults come last: other tests look at what was counted since the boot."""
    items.sort(key=lambda item: item.path.name == "test_faults.py")
    for item in items if _board(config) else ():
        if reason := board.skip_reason(set(getattr(item, "fixturenames", ()))):
            item.add_marker(pytest.mark.skip(reason=reason))


def _board(config: pytest.Config) -> tuple[str, Callable[[], Target]] | None:
    """The board to test on instead of a guest: its name, and what connects to it."""
    if host := config.getoption("--host"):
        key = config.getoption("--identity")
        return host, lambda: SshTarget(host, identity=Path(key) if key else None)
    if environment := config.getoption("--labgrid"):
        return environment, lambda: farm.connect(Path(environment))
    return None


# Fixtures


@pytest.fixture(scope="session")
def prepared(pytestconfig: pytest.Config) -> Prepared:
    """Kernel, module, devicetree, guest and emulator, built if they are not there."""
    qemu.prune_runs(paths.runs_root())
    kernel = pytestconfig.getoption("--kernel") or os.environ.get(KERNEL_VARIABLE) or None
    made = prepare(kernel, pytestconfig.getoption("--board"), packages=GUEST_PACKAGES)
    pytestconfig.stash[PREPARED] = made
    return made


def _lab(
    config: pytest.Config, fixture: str, name: str, machine: qemu.MachineConfig, program: Path
) -> Iterator[Lab]:
    yield from watched(config, fixture, Lab(name, machine, program, paths.run_dir()))


@pytest.fixture(scope="session")
def lab(pytestconfig: pytest.Config, request: pytest.FixtureRequest) -> Iterator[Lab]:
    """The guest that serves the suite: two processors, time as the host's. With --host a board."""
    if connect := _board(pytestconfig):
        yield from watched(pytestconfig, "lab", BoardLab(*connect, paths.run_dir()))
        return
    prepared = request.getfixturevalue("prepared")
    machine = scenario.machine(prepared, append=TEST_KERNEL_WORDS, capture=True)
    yield from _lab(pytestconfig, "lab", "guest", machine, qemu.emulator(prepared.qemu))


@pytest.fixture(scope="session")
def paced_lab(pytestconfig: pytest.Config, prepared: Prepared) -> Iterator[Lab]:
    """A guest whose time is the model's: what it measures does not depend on how busy the host is."""
    machine = scenario.machine(prepared, append=TEST_KERNEL_WORDS, icount=scenario.PACED)
    yield from _lab(pytestconfig, "paced_lab", "paced", machine, qemu.emulator(prepared.qemu))


@pytest.fixture(scope="module")
def radios_lab(pytestconfig: pytest.Config, prepared: Prepared) -> Iterator[Lab]:
    """A guest with three co-processors."""
    machine = scenario.radios(prepared, append=TEST_KERNEL_WORDS)
    yield from _lab(pytestconfig, "radios_lab", "radios", machine, qemu.emulator(prepared.qemu))


@pytest.fixture(scope="module")
def selftests_lab(
    pytestconfig: pytest.Config, prepared: Prepared, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Lab]:
    """A guest with three co-processors, Python, and the kernel's own tests in /selftests."""
    try:
        source = selftests.tree(prepared.kernel)
    except UnavailableError as error:
        pytest.skip(error.message)
    work = tmp_path_factory.mktemp("selftests")
    shutil.copytree(source, work / "tree/selftests", symlinks=True)
    packages = (*GUEST_PACKAGES, *selftests.PACKAGES)
    usual = rootfs.build(prepared.kernel, prepared.board, [prepared.module], packages)
    initramfs = shutil.copyfile(usual, work / "initramfs.cpio")
    with initramfs.open("ab") as archive:
        cpio.write(work / "tree", archive)
    machine = scenario.radios(replace(prepared, rootfs=initramfs), append=TEST_KERNEL_WORDS)
    yield from _lab(pytestconfig, "selftests_lab", "selftests", machine, qemu.emulator(prepared.qemu))
    initramfs.unlink()


@pytest.fixture(scope="module", params=GENERATIONS)
def generation(request: pytest.FixtureRequest, lab: Lab) -> Iterator[str]:
    """Every test of a module that uses this runs with each generation of the firmware."""
    with lab.firmware(generation=request.param):
        yield request.param


@pytest.fixture
def guest(lab: Lab) -> QemuTarget:
    """The guest."""
    return lab.guest


@pytest.fixture
def esp(lab: Lab) -> Coprocessor:
    """The co-processor."""
    return lab.esp


@pytest.fixture
def ap(lab: Lab) -> AccessPoint:
    """The access point that leads to the host."""
    return lab.access_point("ap0")


@pytest.fixture
def wlan(lab: Lab) -> Wifi:
    """The driver's interface: module loaded, up."""
    return lab.wlan()


@pytest.fixture
def connected(lab: Lab) -> Wifi:
    """The driver's interface: associated, with an address."""
    return lab.connected()


@pytest.fixture
def paced(paced_lab: Lab) -> Wifi:
    """As `connected`, in the guest whose time is the model's."""
    return paced_lab.connected()


@pytest.fixture
def server() -> Iterator[IperfServer]:
    """An iperf3 server on the host's loopback, for one test: it waits forever for a client that was lost."""
    with IperfServer() as running:
        yield running


# What fails a test, and what is kept of it


def _labs(item: pytest.Item) -> list[Lab]:
    """The guests that a test uses, of those that are there."""
    names = getattr(item, "fixturenames", ())
    return [lab for fixture, lab in item.config.stash.get(LABS, {}).items() if fixture in names]


def _findings(item: pytest.Item) -> list[tuple[Lab, list[Finding]]]:
    allowed = [mark.args[0] for mark in item.iter_markers("klog_allow")]
    found = [(lab, lab.findings(allowed)) for lab in _labs(item)]
    return [(lab, findings) for lab, findings in found if findings]


def _fail_on_findings(item: pytest.Item) -> None:
    found = _findings(item)
    if found:
        lines = [f"  {finding}" for _, findings in found for finding in findings]
        pytest.fail("the kernel reported a mistake:\n" + "\n".join(lines), pytrace=False)


def _fail_on_unarmed(item: pytest.Item) -> None:
    """No test may clock a co-processor that is not armed, if it does not break it on purpose."""
    for lab in _labs(item):
        clocked = lab.clocked_unarmed()
        if clocked:
            pytest.fail(f"{lab.name}: {clocked} transactions with an unarmed co-processor", pytrace=False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, None, None]:
    """Slices of console and kernel log begin with each test."""
    for lab in _labs(item):
        lab.begin(item.nodeid)
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    """A kernel warning fails the test in which it appears."""
    result = yield
    _fail_on_findings(item)
    if not item.get_closest_marker("clocks_unarmed"):
        _fail_on_unarmed(item)
    return result


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, None, None]:
    """As `pytest_runtest_call`, for what fixtures do afterwards, and for memory that is lost."""
    result = yield
    for lab in _labs(item):
        lab.look_for_leaks()
    _fail_on_findings(item)
    return result


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Console, kernel log, co-processor and command line of a test that failed; then a fresh start."""
    report = yield
    if not report.failed:
        return report
    for lab in _labs(item):
        evidence = lab.evidence()
        if not evidence:
            continue
        directory = lab.keep(f"{item.nodeid}-{report.when}", evidence)
        for title, text in evidence.items():
            lines = text.splitlines()
            cut = (
                [f"... {len(lines) - SECTION_LINES} lines more in {directory}"]
                if len(lines) > SECTION_LINES
                else []
            )
            report.sections.append((f"{lab.name}: {title}", "\n".join([*cut, *lines[-SECTION_LINES:]])))
        lab.doubt()
        if "the kernel reported a mistake" in str(report.longrepr):
            lab.discard()
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """One figure for all guests of the run, where the kernel counts lines."""
    made = config.stash.get(PREPARED, None)
    if not made or not coverage.counted(made.kernel):
        return
    try:
        found = coverage.report(made.kernel, paths.run_dir())
    except HarnessError as error:
        pytest.exit(f"no figure for the coverage: {error}", returncode=pytest.ExitCode.TESTS_FAILED)
    if found:
        terminalreporter.write_sep("=", f"coverage: {found}")
        terminalreporter.write_line(f"{paths.run_dir() / coverage.REPORT / 'index.html'}")
