# SPDX-License-Identifier: MIT
"""The kernel's modpost for a 32-bit kernel on a 64-bit system.

Debian's linux-kbuild brings one for either word size, but both know the device tables of 64-bit kernels only:
a module with a table of devices is refused. The right one is compiled from the kernel's own source.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path

from harness import commands, debian, hostdeps, paths, progress
from harness.errors import HarnessError
from harness.kernelbuild import DebianSource
from harness.toolchain import Toolchain

# Part of the cache key: change it when what `replace` makes changes.
RECIPE = 1
NARROW = ("armhf", "armel", "i386")
PROGRAMS = ("modpost", "file2alias", "sumversion", "symsearch")
ELF = """\
#define KERNEL_ELFCLASS ELFCLASS32
#define KERNEL_ELFDATA ELFDATA2LSB
#define HOST_ELFCLASS ELFCLASS64
#define HOST_ELFDATA ELFDATA2LSB
"""


def needed(arch: str) -> bool:
    """True if modules for Debian's architecture `arch` need it on this system."""
    return arch in NARROW and debian.host_arch() not in NARROW


def replace(build: Path, source: DebianSource, tools: Toolchain) -> None:
    """Put a right one in place of the package's, below the header package `build`.

    HarnessError: the source does not compile, or is not there.
    """
    hostdeps.require("module")
    places = list(build.parents[2].glob("usr/lib/linux-kbuild-*/scripts/mod/modpost.real-lsb-32"))
    if len(places) != 1:
        raise HarnessError(f"{build.name} comes without linux-kbuild's modpost.real-lsb-32")
    with tempfile.TemporaryDirectory(dir=paths.cache_root()) as scratch, progress.step("compile modpost"):
        tree = Path(scratch)
        source.directories(["scripts/mod", "scripts/include", "include/linux"], tree)
        directory = tree / "scripts/mod"
        (directory / "elfconfig.h").write_text(ELF, encoding="ascii")
        offsets = _offsets(build, directory / "devicetable-offsets.c", tree / "offsets", tools)
        (directory / "devicetable-offsets.h").write_text(offsets, encoding="ascii")
        sources = [directory / f"{name}.c" for name in PROGRAMS]
        command = [f"gcc{tools.suffix}", "-O2", f"-I{tree / 'scripts/include'}"]
        commands.run(
            tools.command([*command, "-o", tree / "modpost", *sources], writable=[tree]),
            log="kernel",
            what=f"compiling modpost of {source.version}",
        )
        shutil.copy2(tree / "modpost", places[0])


def _offsets(build: Path, source: Path, directory: Path, tools: Toolchain) -> str:
    """Where the members of device tables are, as the target's compiler lays them out: a header."""
    directory.mkdir()
    shutil.copy(source, directory)
    (directory / "Makefile").write_text(f"obj-m := {source.stem}.o\n", encoding="ascii")
    commands.run(
        tools.make(build, directory, f"{source.stem}.s"),
        log="kernel",
        what="laying out device tables",
    )
    text = (directory / f"{source.stem}.s").read_text(encoding="utf-8")
    found = re.findall(r'^\s*\.ascii\s+"->(\w+) [$#]*(\d+) ', text, re.MULTILINE)
    if not found:
        raise HarnessError(f"{source.name} says nothing of device tables", log=commands.log_path("kernel"))
    return "".join(f"#define {name} {value}\n" for name, value in found)
