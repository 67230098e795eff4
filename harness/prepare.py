# SPDX-License-Identifier: MIT
"""Everything one boot needs, made side by side: the emulator compiles while the rest is fetched."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness import boards, commands, devicetree, emulator, hostdeps, kernels, module, qemu, rootfs
from harness.boards import Board
from harness.kernels import Kernel


@dataclass(frozen=True)
class Prepared:
    """What a boot takes."""

    kernel: Kernel
    board: Board
    module: Path
    """esp_hosted.ko"""
    dtb: Path
    rootfs: Path
    """The initramfs, with the module in it."""
    qemu: Path
    """The emulator's binary."""
    seconds: dict[str, float] = field(default_factory=dict, compare=False)
    """What each part took, by name; "emulator" runs beside the others."""


def prepare(kernel: str | None = None, board: str | None = None, *, packages: Sequence[str] = ()) -> Prepared:
    """Fetch and build what is missing for a kernel (row of kernels.toml) on a board.

    `packages` are put into the guest beside the usual ones.
    HarnessError of whichever part fails first; the others are stopped, nothing half-made stays.
    """
    name, row = kernels.row(kernel)
    chosen = boards.load(board or row.board)
    hostdeps.require("archive", "module", "dtb", "rootfs", "run")
    seconds: dict[str, float] = {}

    def timed(part: str, make: Callable[..., Any], *args: Any) -> Any:
        begin = time.monotonic()
        result = make(*args)
        seconds[part] = time.monotonic() - begin
        return result

    def guest() -> tuple[Kernel, Path, Path, Path]:
        found = timed("kernel", kernels.resolve, name)
        kernels.check(found, chosen)
        ko = timed("module", module.build, found)
        dtb = timed("devicetree", devicetree.merge, found, chosen)
        return found, ko, dtb, timed("guest", rootfs.build, found, chosen, [ko, *module.suites(ko)], packages)

    if not _own_emulator():
        # One package manager at a time, before anything runs beside it.
        emulator.require_packages()
    with ThreadPoolExecutor(2) as pool:
        built: list[Future[Any]] = [pool.submit(timed, "emulator", _emulator), pool.submit(guest)]
        try:
            done, _ = wait(built, return_when=FIRST_EXCEPTION)
            for future in done:
                future.result()
        except BaseException:
            commands.stop_all()
            pool.shutdown(wait=True)
            commands.resume()
            raise
    program: Path = built[0].result()
    found, ko, dtb, initramfs = built[1].result()
    return Prepared(found, chosen, ko, dtb, initramfs, program, seconds)


def _own_emulator() -> bool:
    """True if the user has named a build of his own: it is used as it is, none is made."""
    return bool(os.environ.get(qemu.OVERRIDE))


def _emulator() -> Path:
    return qemu.emulator() if _own_emulator() else emulator.build()
