# SPDX-License-Identifier: MIT
"""One guest that serves many tests, and a fresh one after a crash; what is kept of a test that failed."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from harness import coverage, target
from harness.coprocessor import AccessPoint, Coprocessor, Recordings, difference
from harness.errors import HarnessError
from harness.klog import Finding, KernelLog
from harness.qemu import MachineConfig
from harness.scenario import SSID
from harness.target import TIMEOUT, Command, QemuTarget, Target, render
from harness.wifi import Wifi

GENERATIONS = ("g1", "g2")
TRACING = "/sys/kernel/tracing"
KMEMLEAK = "/sys/kernel/debug/kmemleak"
LOCKDEP_STOPPED = "grep -qs 'debug_locks: *0' /proc/lockdep_stats"
# One scan of all memory, in an emulated processor.
LEAK_SECONDS = 120.0


# The guests that are there, by the fixture that gives them: what they report fails the tests that use it.
LABS = pytest.StashKey[dict[str, "Lab"]]()


class Lab:
    """The guest of one configuration."""

    def __init__(self, name: str, config: MachineConfig, program: Path, directory: Path) -> None:
        self.name = name
        self.boots = 0
        self._config = config
        self._program = program
        self._directory = directory
        self._guest: QemuTarget | None = None
        self._klog: KernelLog | None = None
        self._console_mark = 0
        self._label = "before the first test"
        self._reported: set[str] = set()
        self._doubtful = False
        self._leak_checker = False
        self._recordings: Recordings | None = None
        self._settings: dict[str, object] = {}
        self._counters_mark: dict[str, int] = {}

    # The guest

    @property
    def guest(self) -> QemuTarget:
        """The guest; booted when there is none, or none any more."""
        if self._guest is not None and not self._guest.usable():
            self.discard()
        if self._guest is None:
            self.boots += 1
            self._guest = target.boot(
                self._config, self._program, self._directory / f"{self.name}-{self.boots}"
            )
            self._klog = KernelLog(self._guest)
            self._console_mark = 0
            self._klog.begin(self._label)
            self._apply(self._settings)
            self._leak_checker = self._guest.run(["test", "-e", KMEMLEAK], check=False).ok
            # It stops at its first report: one from before the first test would hide all that follow.
            if self._guest.run(LOCKDEP_STOPPED, check=False).ok:
                console = self._guest.machine.run_dir / "console.log"
                self.discard()
                raise HarnessError("lockdep stopped while the guest booted", hint=f"its report: {console}")
            self._record()
            self._doubtful = False
        return self._guest

    @contextmanager
    def firmware(self, **settings: object) -> Iterator[None]:
        """A co-processor with other properties, `generation="g2"`; in guests booted meanwhile, too.

        They count from its next boot: `wlan` and `connected` load the driver again.
        """
        usual = {name: self.esp.get(name) for name in settings}
        self._settings |= settings
        self._apply(settings)
        self.doubt()
        try:
            yield
        finally:
            for name in settings:
                del self._settings[name]
            if self.running:
                self._apply(usual)
            self.doubt()

    def _apply(self, settings: Mapping[str, object]) -> None:
        """They count from the next boot of the co-processor, which the driver causes when it is loaded."""
        for name, value in settings.items():
            Coprocessor(self.guest.machine.monitor, "esp0").set(name, value)

    @property
    def running(self) -> bool:
        """True if there is a usable guest."""
        return self._guest is not None and self._guest.usable()

    @property
    def esp(self) -> Coprocessor:
        """Its co-processor."""
        return self.guest.machine.coprocessor("esp0")

    def access_point(self, name: str) -> AccessPoint:
        """One of its access points."""
        return AccessPoint(self.guest.machine.monitor, name)

    @property
    def doubtful(self) -> bool:
        """True if a test failed and the driver was not loaded again since."""
        return self._doubtful

    def doubt(self) -> None:
        """A test failed: the driver's state is not what the next test may build on."""
        self._doubtful = True

    def trust(self) -> None:
        """The driver was loaded again, or its state does not matter."""
        self._doubtful = False

    def discard(self) -> None:
        """End the guest; the next test gets a fresh one."""
        if self._guest is not None:
            if self.running:
                with suppress(HarnessError):
                    self.keep_coverage()
            self._guest.close()
        self._guest = None
        self._klog = None

    def keep_coverage(self) -> None:
        """Fetch what the guest has counted so far: before it is ended, or ends itself."""
        if self._guest is not None:
            coverage.fetch(self._guest, self._directory / coverage.DATA / f"{self.name}-{self.boots}")

    # States tests start from

    def wlan(self) -> Wifi:
        """The module is loaded, its interface is up."""
        wifi = Wifi(self.guest)
        if self._doubtful and wifi.loaded():
            wifi.unload()
        self._doubtful = False
        if not wifi.loaded():
            wifi.load()
        wifi.wait_interface()
        wifi.up()
        return wifi

    def connected(self) -> Wifi:
        """Associated with the access point that leads to the host, with an address."""
        wifi = Wifi(self.guest)
        if not self._doubtful and wifi.serves(SSID):
            return wifi
        wifi = self.wlan()
        link = wifi.link()
        if link is None or link.ssid != SSID:
            wifi.connect(SSID)
            wifi.lease()
        elif wifi.address() is None:
            wifi.lease()
        return wifi

    # Evidence

    def begin(self, label: str) -> None:
        """A test starts: its slices of console and kernel log begin here."""
        self._label = label
        self._reported.clear()
        self._counters_mark = self._counters()
        if self.running and self._guest and self._klog:
            self._console_mark = self._guest.console.mark()
            with suppress(HarnessError):
                self._klog.begin(label)
                self._record()

    def _record(self) -> None:
        """Frames, lines and steps of the co-processor, of one test only: kept if it fails."""
        self._recordings = self.esp.record(self.guest.machine.run_dir)

    def look_for_leaks(self) -> None:
        """Where the kernel has kmemleak, let it look; what it finds it says in its log.

        It reports only what is older than five seconds: a leak may be found after the next test.
        """
        if self.running and self._guest and self._leak_checker:
            with suppress(HarnessError):
                self._guest.run(f"echo scan >{KMEMLEAK}", timeout=LEAK_SECONDS)

    def findings(self, allowed: Iterable[str]) -> list[Finding]:
        """What the kernel said since `begin` that means a mistake, each only once."""
        if not (self.running and self._klog):
            return []
        found = [
            finding for finding in self._klog.read().findings(allowed) if str(finding) not in self._reported
        ]
        self._reported.update(map(str, found))
        return found

    def _counters(self) -> dict[str, int]:
        return self.esp.counters if self.running else {}

    def clocked_unarmed(self) -> int:
        """Transactions since `begin` that a co-processor without faults was not armed for."""
        after = self._counters()
        changed = difference(self._counters_mark, after) if self._counters_mark and after else {}
        return 0 if "faults-fired" in changed else changed.get("unarmed-transactions", 0)

    def evidence(self) -> dict[str, str]:
        """All that helps to understand a failure, by title."""
        if self._guest is None:
            return {}
        machine = self._guest.machine
        result = {"console": self._guest.console.since(self._console_mark)}
        if self.running and self._klog:
            with suppress(HarnessError):
                result["kernel log"] = self._klog.read().text
        if self.running and self._leak_checker:
            with suppress(HarnessError):
                leaks = self._guest.run(["cat", KMEMLEAK]).stdout
                result |= {"leaks": leaks} if leaks else {}
        if machine.running():
            with suppress(HarnessError):
                result["co-processor"] = json.dumps(
                    {
                        "state": self.esp.state,
                        "lines": vars(self.esp.lines),
                        "counters": {name: count for name, count in self.esp.counters.items() if count},
                        "history": self.esp.history[-20:],
                    },
                    indent=1,
                )
        if machine.log_tail():
            result["QEMU"] = machine.log_tail(40)
        result["the same machine again"] = (machine.run_dir / "cmdline.sh").read_text(encoding="utf-8")
        result["logs"] = f"{machine.run_dir}\n"
        return result

    def keep(self, label: str, evidence: dict[str, str]) -> Path:
        """Write the evidence of a test into files; their directory."""
        directory = self._directory / "failures" / re.sub(r"[^\w.-]+", "_", label)
        directory.mkdir(parents=True, exist_ok=True)
        for title, text in evidence.items():
            (directory / (title.replace(" ", "-") + ".txt")).write_text(text, encoding="utf-8")
        for recording in vars(self._recordings).values() if self._recordings else ():
            shutil.copy2(recording, directory / recording.name)
        return directory


def watched(config: pytest.Config, fixture: str, lab: Lab) -> Iterator[Lab]:
    """For the fixture of that name: conftest.py looks at what this guest reports after each of its tests."""
    labs = config.stash.setdefault(LABS, {})
    labs[fixture] = lab
    yield lab
    lab.discard()
    del labs[fixture]


def seconds_of(target: Target, command: Command, timeout: float = TIMEOUT) -> float:
    """Run a command; the seconds it took by the target's own clock. Errors as `Target.run`.

    In a guest whose time is the model's they do not depend on how busy the host is.
    """
    timed = f"read a b </proc/uptime; {render(command)} || exit; read c d </proc/uptime; echo $a $c"
    begin, end = (float(word) for word in target.run(timed, timeout=timeout).stdout.split()[-2:])
    return end - begin


def need_tracing(target: Target) -> None:
    """Have tracefs at TRACING; skips the test if the kernel has none."""
    if not target.run(f"grep -qs tracefs /proc/mounts || mount -t tracefs none {TRACING}", check=False).ok:
        pytest.skip("this kernel has no tracefs: ./inv test --guest --kernel 6.12")
