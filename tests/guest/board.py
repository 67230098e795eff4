# SPDX-License-Identifier: MIT
"""The guest suite on a real board over SSH: what there is of it without the model of the co-processor."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NoReturn, cast

import pytest

from harness.errors import HarnessError
from harness.klog import KernelLog
from harness.paths import REPO
from harness.target import QemuTarget, Target
from tests.guest.lab import Lab

# What tests get from the model or from the machine in QEMU, and why there is none of it on a board.
MODEL = {
    "esp": "looks into the model of the co-processor",
    "ap": "steers the model's access point",
    "generation": "changes the model's firmware",
    "paced_lab": "needs a machine whose time is the model's",
    "paced": "needs a machine whose time is the model's",
    "radios_lab": "needs three co-processors",
    "selftests_lab": "needs three co-processors",
    "prepared": "is about the machine that QEMU starts",
    "server": "needs a server behind the model's access point",
}
TOOLS = ("busybox", "ethtool", "ip", "iw", "ping", "wpa_supplicant")
# Without a default route: the board's own network stays what it is.
SCRIPT = "/etc/udhcpc/default.script"


def skip_reason(fixtures: set[str]) -> str:
    """Why a test with these fixtures cannot run on a board; empty if it can."""
    found = [f"{why} (fixture {name})" for name, why in MODEL.items() if name in fixtures]
    return f"not on a board: {found[0]}" if found else ""


class BoardLab(Lab):
    """A board in the place of a guest."""

    def __init__(self, name: str, connect: Callable[[], Target], directory: Path) -> None:
        self.name = name
        self.boots = 0
        self._connect = connect
        self._directory = directory
        self._board: Target | None = None
        self._klog: KernelLog | None = None
        self._label = "before the first test"
        self._reported: set[str] = set()
        self._doubtful = False
        self._script = False

    @property
    def guest(self) -> QemuTarget:
        """The board; connected when it is first asked for."""
        if self._board is not None and not self._board.usable():
            self.discard()
        if self._board is None:
            board = self._connect()
            board.log = self._directory / "board.log"
            try:
                self._prepare(board)
            except HarnessError:
                board.close()
                raise
            self._board = board
            self._klog = KernelLog(self._board)
            self._klog.begin(self._label)
        # Tests use of it what every target has.
        return cast(QemuTarget, self._board)

    def _prepare(self, board: Target) -> None:
        # One by one: dash looks for the first only.
        look = f"PATH=$PATH:/usr/sbin:/sbin; for tool in {' '.join(TOOLS)}; do command -v $tool; done"
        found = board.run(["sh", "-c", look], check=False)
        missing = set(TOOLS) - {Path(line).name for line in found.lines()}
        if missing:
            raise HarnessError(
                f"{self.name} lacks {', '.join(sorted(missing))}",
                hint="on the board: apt-get install busybox ethtool iproute2 iputils-ping iw wpasupplicant",
            )
        if not board.run(["test", "-e", SCRIPT], check=False).ok:
            text = (REPO / "harness/guest/udhcpc.script").read_text(encoding="utf-8")
            own = text.partition("    for gateway")[0] + "    ;;\nesac\n"
            board.run(["mkdir", "-p", str(Path(SCRIPT).parent)])
            board.write_file(SCRIPT, own, 0o755)
            self._script = True

    @property
    def running(self) -> bool:
        """True while the board is connected."""
        return self._board is not None and self._board.usable()

    @property
    def esp(self) -> NoReturn:
        """There is none."""
        pytest.skip(f"not on a board: {MODEL['esp']}")

    def access_point(self, name: str) -> NoReturn:
        """There is none."""
        pytest.skip(f"not on a board: {MODEL['ap']} {name}")

    def firmware(self, **settings: object) -> NoReturn:
        """It cannot be changed."""
        pytest.skip(f"not on a board: {MODEL['generation']}")

    def begin(self, label: str) -> None:
        """A test starts."""
        self._label = label
        self._reported.clear()
        if self.running and self._klog:
            self._klog.begin(label)

    def clocked_unarmed(self) -> int:
        """A chip does not tell."""
        return 0

    def look_for_leaks(self) -> None:
        """A board's kernel does not look for them."""

    def findings(self, allowed: object) -> list[object]:  # type: ignore[override]
        """As Lab."""
        if not (self.running and self._klog):
            return []
        found = [one for one in self._klog.read().findings(allowed) if str(one) not in self._reported]  # type: ignore[arg-type]
        self._reported.update(map(str, found))
        return list(found)

    def evidence(self) -> dict[str, str]:
        """The kernel's log."""
        return {"kernel log": self._klog.read().text} if self.running and self._klog else {}

    def keep(self, label: str, evidence: dict[str, str]) -> Path:
        """Where the log of commands is."""
        return self._directory

    def discard(self) -> None:
        """End the connection."""
        if self._board is not None:
            if self._script and self._board.usable():
                self._board.run(["rm", "-f", SCRIPT], check=False)
            self._board.close()
        self._board = None
        self._klog = None
