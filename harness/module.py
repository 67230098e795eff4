# SPDX-License-Identifier: MIT
"""The driver as a module for one kernel: built out of tree, inspected before anything boots with it."""

from __future__ import annotations

import filecmp
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from harness import commands, elf, hostdeps, kernels
from harness.cache import Cache, digest, hash_tree
from harness.errors import HarnessError
from harness.kernels import Kernel
from harness.paths import REPO

DRIVER = REPO / "driver"
NAME = "esp_hosted"
# Part of the cache key: change it when the way of building or the inspection changes.
RECIPE = 1
IGNORED = ("*.o", "*.ko", "*.mod", "*.mod.c", "*.cmd", ".*", "*.order", "Module.symvers", "*.symvers", "*~")

# What a module may be loaded with besides the sections that the kernel's own modules have (arrays: gcov).
SECTIONS = re.compile(
    r"\.(text|init|exit|data|rodata|bss|note|altinstructions|plt|static_call|modinfo|codetag|return_sites|"
    r"gnu\.linkonce\.this_module|smp_locks|printk_index|kunit_test_suites|ARM\.ex(idx|tab)|altinstr_replacement|"
    r"(init|fini)_array)([._].*)?|__[a-zA-Z_.]+|_ftrace_.*|\.module_(alternatives|ftrace)"
)
GPL = ("GPL", "GPL v2", "GPL and additional rights", "Dual BSD/GPL", "Dual MIT/GPL", "Dual MPL/GPL")


@dataclass(frozen=True)
class Symvers:
    """A kernel's Module.symvers."""

    crcs: dict[str, int]
    owners: dict[str, str]
    """Symbol to what exports it: "vmlinux" or a module's path."""


def build(kernel: Kernel, source: Path = DRIVER) -> Path:
    """Build the driver for a kernel and inspect it; the path of esp_hosted.ko.

    HarnessError: compiler missing, the build fails (with the compiler's words), the result does not fit
    the kernel (with the symbol).
    """
    hostdeps.require("module")
    tree = _tree(kernel, source)
    return tree / f"{NAME}.ko"


def _work_key(kernel: Kernel, source: Path) -> str:
    return digest(str(kernel.build), str(source), kernel.toolchain.key())


def _tree(kernel: Kernel, source: Path) -> Path:
    compiler = kernel.toolchain.key()
    sources = hash_tree(source, ignore=IGNORED)
    symbols = kernels.config(kernel.config)
    # A kernel that can count lines is told to count ours; one with KUnit gets the driver's suites.
    counts = symbols.get("GCOV_KERNEL") == "y"
    options = [
        *(["GCOV_PROFILE=y", f"KCFLAGS={counting_flags(kernel.toolchain.arch)}"] if counts else []),
        *(["CONFIG_ESP_HOSTED_KUNIT_TEST=m"] if symbols.get("KUNIT") in ("y", "m") else []),
    ]
    # gcov's notes name the directory that was compiled in, and each checkout has its own.
    where = [_work_key(kernel, source)] if counts else []
    key = digest(
        "module",
        RECIPE,
        sources,
        kernel.release,
        kernel.version,
        str(kernel.build),
        compiler,
        *options,
        *where,
    )
    cache = Cache()

    def make(directory: Path) -> None:
        with cache.workspace("module", _work_key(kernel, source)) as workspace:
            mirror(source, workspace, IGNORED)
            compile_external(kernel, workspace, *options)
            built = workspace / f"{NAME}.ko"
            if not built.exists():
                raise HarnessError(f"the build made no {NAME}.ko", log=commands.log_path("module"))
            inspect(built, kernel)
            for path in (built, *workspace.glob("tests/*.ko")):
                shutil.copyfile(path, directory / path.name)
            for note in workspace.glob("*.gcno"):
                (directory / "gcov").mkdir(exist_ok=True)
                shutil.copyfile(note, directory / "gcov" / note.name)

    return cache.entry("module", key, make, f"module {NAME}.ko for {kernel.release}")


def counting_flags(arch: str) -> str:
    """How a compiler counts lines that several processors run at once.

    Without atomic counters they lose each other's counts, and gcov then reckons with branches that were taken
    a negative number of times. A kernel has no libgcc to count out of line.
    """
    return "-fprofile-update=prefer-atomic" + (" -mno-outline-atomics" if arch == "arm64" else "")


def suites(built: Path) -> list[Path]:
    """KUnit's suites that were built with a module."""
    return sorted(built.parent.glob("*_test.ko"))


@contextmanager
def sources(kernel: Kernel, source: Path = DRIVER) -> Iterator[tuple[Path, Path]]:
    """The sources where they were compiled, as debug information names them, and gcov's notes about them."""
    notes = _tree(kernel, source) / "gcov"
    with Cache().workspace("module", _work_key(kernel, source)) as workspace:
        mirror(source, workspace, IGNORED)
        yield workspace, notes


def compile_external(
    kernel: Kernel, directory: Path, *options: str, log: str = "module"
) -> commands.Finished:
    """`make modules` of an external module in its directory, with all the warnings W=1 gives."""
    return commands.run(
        kernel.toolchain.make(kernel.build, directory, "W=1", "-j2", *options, "modules"),
        log=log,
        what=f"building the module for {kernel.release}",
        hint=f"the compiler's words are above; it was {kernel.toolchain}",
    )


def warnings(kernel: Kernel, source: Path = DRIVER) -> list[str]:
    """Compile all of the driver from nothing; what compiler and modpost warn of, with all that W=1 finds."""
    with Cache().workspace("module", digest("warnings", str(kernel.build), kernel.toolchain.key())) as work:
        for old in work.iterdir():
            shutil.rmtree(old) if old.is_dir() else old.unlink()
        mirror(source, work, IGNORED)
        output = compile_external(kernel, work, log="module").output.replace(f"{work}/", "")
    return [line for line in output.splitlines() if re.search(r"\bwarning: ", line, re.IGNORECASE)]


def mirror(source: Path, target: Path, ignore: Iterable[str] = ()) -> None:
    """Make `target` have the files of `source`; files with the same content keep their times."""
    patterns = tuple(ignore)
    target.mkdir(parents=True, exist_ok=True)
    wanted = set()
    for path in sorted(source.rglob("*")):
        if path.is_dir() or any(path.match(pattern) for pattern in patterns):
            continue
        name = path.relative_to(source)
        wanted.add(name)
        copy = target / name
        if copy.exists() and filecmp.cmp(path, copy, shallow=False):
            continue
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
    for path in sorted(target.rglob("*")):
        name = path.relative_to(target)
        if not path.is_dir() and name not in wanted and not any(path.match(pattern) for pattern in patterns):
            path.unlink()


# Inspection.


def inspect(path: Path, kernel: Kernel) -> elf.ModuleFile:
    """Check that a module fits a kernel. HarnessError names everything that does not."""
    module = elf.read(path)
    stock = stock_module(kernel)
    symvers = read_symvers(kernel.symvers)
    modversions = kernels.config(kernel.config).get("MODVERSIONS") == "y"
    problems = [
        *_check_identity(module, stock),
        *_check_symbols(module, symvers, modversions),
        *_check_sections(module, stock),
    ]
    if problems:
        raise HarnessError(
            f"{path.name} does not fit kernel {kernel.release}:\n"
            + "\n".join(f"  {one}" for one in problems),
            hint="build it against the headers of exactly this kernel",
        )
    return module


def stock_module(kernel: Kernel) -> elf.ModuleFile:
    """One of the kernel's own modules, to compare with."""
    for pattern in ("cfg80211.ko*", "*.ko*"):
        for path in sorted(kernel.modules.glob(f"kernel/**/{pattern}")):
            return elf.read(path)
    raise HarnessError(f"kernel {kernel.release} has no module to compare with in {kernel.modules}")


def read_symvers(path: Path) -> Symvers:
    """Read a Module.symvers file. HarnessError names the line of a mistake."""
    crcs, owners = {}, {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        fields = line.split("\t")
        try:
            crcs[fields[1]], owners[fields[1]] = int(fields[0], 16), fields[2]
        except (IndexError, ValueError):
            raise HarnessError(f"{path}:{number}: not a line of Module.symvers: {line!r}") from None
    return Symvers(crcs, owners)


def _check_identity(module: elf.ModuleFile, stock: elf.ModuleFile) -> list[str]:
    problems = []
    if module.value("vermagic") != stock.value("vermagic"):
        problems.append(
            f"vermagic is {module.value('vermagic')!r}, the kernel's is {stock.value('vermagic')!r}"
        )
    if module.value("name") != NAME:
        problems.append(f"its name is {module.value('name')!r}, not {NAME!r}")
    if module.value("license") not in GPL:
        problems.append(f"license {module.value('license')!r} may not use GPL-only symbols")
    return problems


def _check_symbols(module: elf.ModuleFile, symvers: Symvers, modversions: bool) -> list[str]:
    problems = [
        f"symbol {name} is not exported by the kernel"
        for name in sorted(module.undefined - symvers.crcs.keys())
    ]
    if not modversions:
        return problems
    for name in sorted(module.undefined & symvers.crcs.keys()):
        if name not in module.crcs:
            problems.append(f"symbol {name} has no CRC in the module, the kernel wants one")
    for name, crc in sorted(module.crcs.items()):
        wanted = symvers.crcs.get(name)
        if wanted is not None and wanted != crc:
            problems.append(f"symbol {name} has CRC {crc:#010x} in the module, {wanted:#010x} in the kernel")
    return problems


def _check_sections(module: elf.ModuleFile, stock: elf.ModuleFile) -> list[str]:
    problems = [
        f"unexpected section {name}"
        for name in sorted(module.allocated.keys() - stock.allocated.keys())
        if not SECTIONS.fullmatch(name)
    ]
    problems += [
        f"section {name} is writable and executable"
        for name, bad in sorted(module.allocated.items())
        if bad and not stock.allocated.get(name, False)
    ]
    if module.executable_stack and not stock.executable_stack:
        problems.append("it asks for an executable stack (.note.GNU-stack)")
    return problems
