# SPDX-License-Identifier: MIT
"""Kernels to build for and to boot: `kernels.toml` rows become directories in the cache."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from harness import provider_debian, provider_local, provider_source
from harness.boards import Board
from harness.errors import HarnessError
from harness.kerneltable import TABLE, Kernel, Row, Table, UnavailableError, config, row, table

__all__ = ["PROVIDERS", "TABLE", "Kernel", "Row", "Table", "UnavailableError", "check", "config", "resolve",
           "row", "table"]  # fmt: skip

# Every one of KEYS in kerneltable.
PROVIDERS: dict[str, Callable[[str, Row], Kernel]] = {
    "debian": provider_debian.resolve,
    "source": provider_source.resolve,
    "upstream": provider_source.resolve,
    "local": provider_local.resolve,
}


def resolve(name: str | None = None) -> Kernel:
    """Fetch, build or find the kernel of a row of kernels.toml (the default row for None).

    HarnessError: unknown name, no network and not cached, or it does not build. UnavailableError: nothing of
    that kind where it should come from.
    """
    name, chosen = row(name)
    return replace(PROVIDERS[chosen.provider](name, chosen), append=chosen.append, without=chosen.without)


def check(kernel: Kernel, board: Board) -> None:
    """Refuse a kernel that cannot work on a board. HarnessError names what it lacks."""
    if kernel.arch != board.arch:
        raise HarnessError(f"kernel {kernel.name} is for {kernel.arch}, board {board.name} is {board.arch}")
    symbols = config(kernel.config)
    missing = [symbol for symbol in board.requires if symbols.get(symbol) not in ("y", "m")]
    if missing:
        raise HarnessError(
            f"kernel {kernel.name} ({kernel.release}) is built without {', '.join(missing)}, "
            f"which board {board.name} needs",
            hint=f"other kernels: {', '.join(name for name in table().kernel if name != kernel.name)}",
        )
    if not (kernel.dtbs / board.dtb).exists():
        raise HarnessError(
            f"kernel {kernel.name} ({kernel.release}) has no {board.dtb} for board {board.name}"
        )
