# SPDX-License-Identifier: MIT
"""What this system has, what it lacks and how to get it."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from harness import debian, diagnosis, emulator, hostdeps, kernels, paths, settings
from harness.cache import Cache
from harness.errors import HarnessError
from harness.ssh import SshTarget

# A cold run needs about this much: build tree of the emulator, two kernels, packages.
NEEDED_GIB = 4


def report() -> bool:
    """Print the state of this system; True if nothing is missing."""
    console = Console(highlight=False)
    table = Table(title="What the system has to provide", title_justify="left", box=None, pad_edge=False)
    for heading in ("", "package", "version", "what for"):
        table.add_column(heading)
    missing: list[str] = []
    for one in sorted(hostdeps.all_dependencies(), key=lambda one: (one.package, one.command or "")):
        present = one.present()
        if not present:
            missing.append(one.package)
        state = "[green]ok[/]" if present else "[red]missing[/]"
        table.add_row(state, one.package, one.describe()[:60] if present else "", one.why)
    for package, version in hostdeps.package_versions(emulator.recipe().packages.host).items():
        if not version:
            missing.append(package)
        state = "[green]ok[/]" if version else "[red]missing[/]"
        table.add_row(state, package, version or "", "builds the emulator")
    console.print(table)
    console.print()
    for name, value in _facts():
        console.print(f"{name:<12} {value}", markup=False)
    if missing:
        command = " ".join(hostdeps.install_command(sorted(set(missing))))
        console.print(f"\n[red]missing[/] {', '.join(sorted(set(missing)))}")
        console.print("The tasks install what they need by themselves as root; by hand:")
        console.print(f"  sudo {command}", markup=False)
    return not missing


def board(host: str, identity: Path | None = None) -> bool:
    """Print what is wrong on a board, and what to do; True if nothing is. HarnessError: no connection."""
    with contextlib.closing(SshTarget(host, identity=identity)) as target:
        seen = diagnosis.collect(target)
    print(diagnosis.render(seen))
    return bool(seen.interfaces)


def _facts() -> list[tuple[str, str]]:
    root = paths.cache_root()
    free = shutil.disk_usage(root).free / (1 << 30)
    short = f" (a cold run needs about {NEEDED_GIB} GiB)" if free < NEEDED_GIB else ""
    taken = sum(size.bytes for size in Cache().sizes()) / (1 << 30)
    facts = [
        ("Python", f"{platform.python_version()} ({sys.executable})"),
        ("processors", str(os.cpu_count())),
        ("cache", f"{root}: {taken:.1f} GiB, {free:.0f} GiB free{short}"),
        ("logs", str(paths.runs_root())),
        ("offline", "yes: nothing is fetched" if settings.offline() else "no"),
    ]
    try:
        facts.append(("mirror", debian.mirror()))
    except HarnessError as error:
        facts.append(("mirror", error.render()))
    table = kernels.table()
    names = [f"{name} (default)" if name == table.default else name for name in table.kernel]
    facts.append(("kernels", ", ".join(names)))
    return facts
