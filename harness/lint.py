# SPDX-License-Identifier: MIT
"""All static checks, one line each."""

from __future__ import annotations

import re
import shutil
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from harness import commands, debian, devicetree, hostdeps, kernels, module, paths, pins
from harness.cache import Cache, digest
from harness.errors import HarnessError
from harness.kernels import Kernel
from harness.paths import REPO
from harness.progress import console

CHECKPATCH = ("checkpatch.pl", "spelling.txt", "const_structs.checkpatch")
# What else is taken from the kernel's source: of the default kernel, whatever kernel is checked for.
SCRIPTS = ("kernel-doc", "coccicheck", "coccinelle")
# clang with headers that were configured for gcc: what gcc was asked for by name is switched off.
CLANG = (
    "CC=clang",
    "CONFIG_CC_IS_GCC=",
    "CONFIG_CC_IS_CLANG=y",
    "CONFIG_INIT_STACK_ALL_ZERO=",
    "CONFIG_CC_IMPLICIT_FALLTHROUGH=-Wimplicit-fallthrough",
    "KCFLAGS=-Wno-unknown-warning-option",
)
# A finding of gcc, sparse or modpost, wherever in the output it is.
FINDING = re.compile(r"(?:\bwarning: |\berror: |\bWARNING: |\bERROR: ).*")
# Kernel code is checked with the kernel's rules, QEMU's has its own.
# The one file whose job is what checkpatch advises against.
VERSIONS = "compat.h"
VERSIONS_IGNORE = ("LINUX_VERSION_CODE", "CONSTANT_COMPARISON", "MACRO_ARG_UNUSED")
KERNEL_SOURCES = ("*.c", "*.h")
YAML = (".github", ".gitlab-ci.yml")
SHELL = ("inv", ".ci/run", "harness/guest/init", "harness/guest/udhcpc.script")


class FindingError(Exception):
    """A check that found something: what is shown after "failed"."""


def run(kernel: str | None = None, *, full: bool = False) -> bool:
    """Run every check, print a line each; True if none found anything. `full`: also the slow ones."""
    hostdeps.require("lint", *(["lint-full"] if full else []))
    checks: dict[str, Callable[[], str]] = {
        "ruff": _ruff,
        "mypy --strict": _mypy,
        "shellcheck": _shellcheck,
        "yamllint": _yamllint,
        "dtc": _dtc,
        "module W=1": partial(_compile, kernel),
        "sparse": partial(_sparse, kernel),
        "checkpatch --strict": partial(_checkpatch, kernel),
        "kernel-doc": _kernel_doc,
    }
    if full:
        checks |= {"clang W=1": partial(_clang, kernel), "coccicheck": _coccicheck}
    good = True
    for name, check in checks.items():
        begin = time.monotonic()
        try:
            verdict, detail = "[green]ok[/]    ", check()
        except (FindingError, HarnessError) as error:
            verdict, detail, good = "[red]failed[/]", str(error), False
        shown = detail.replace("[", r"\[")
        console.print(f"{verdict} {name:20} {shown}  [dim]{time.monotonic() - begin:.1f} s")
    return good


def _tool(args: list[str | Path], log: str) -> None:
    finished = commands.run(args, log=log, cwd=REPO, check=False)
    if finished.status:
        raise FindingError(_quote(finished.output.splitlines(), finished.log))


def _quote(lines: list[str], log: Path | None, most: int = 12) -> str:
    """The first findings, and where all of them are."""
    shown = [line for line in lines if line.strip()][:most]
    rest = f"\n    ... {len(lines) - most} more" if len(lines) > most else ""
    return f"log: {log}\n" + "\n".join(f"    {line[:200]}" for line in shown) + rest


def _ruff() -> str:
    _tool([sys.executable, "-m", "ruff", "check", "--quiet", "--output-format=concise", "."], "ruff")
    return ""


def _mypy() -> str:
    # Not incremental: a module that was added since would still be reported as missing.
    _tool([sys.executable, "-m", "mypy", "--no-error-summary", "--no-incremental"], "mypy")
    return ""


def _shellcheck() -> str:
    files = [REPO / name for name in SHELL if (REPO / name).exists()]
    _tool(["shellcheck", "--shell=sh", *files], "shellcheck")
    return f"{len(files)} files"


def _yamllint() -> str:
    _tool([sys.executable, "-m", "yamllint", "--strict", "--format=parsable", *YAML], "yamllint")
    return ""


def _dtc() -> str:
    overlays = sorted(devicetree.OVERLAYS.glob("*.dtso"))
    target = paths.run_dir() / "lint.dtbo"
    said = {path.name: devicetree.compile_overlay(path, target) for path in overlays}
    target.unlink(missing_ok=True)
    warnings = [line for text in said.values() for line in text.splitlines() if "arning" in line]
    if warnings:
        raise FindingError(_quote(warnings, commands.log_path("devicetree")))
    return f"{len(overlays)} overlays"


def _compile(name: str | None) -> str:
    kernel = kernels.resolve(name)
    output = _build(kernel, "lint-w1")
    findings = _findings(output)
    if findings:
        raise FindingError(_quote(findings, commands.log_path("lint-w1")))
    return kernel.release


def _sparse(name: str | None) -> str:
    kernel = kernels.resolve(name)
    # Headers of the kernel itself are not ours to correct.
    output = _build(kernel, "lint-sparse", "C=2", "CF=-D__CHECK_ENDIAN__")
    findings = [line for line in _findings(output) if not re.match(r"(?:/|\./|include/|arch/)", line)]
    if findings:
        raise FindingError(_quote(findings, commands.log_path("lint-sparse")))
    return kernel.release


def _clang(name: str | None) -> str:
    kernel = kernels.resolve(name)
    if kernel.toolchain.root:
        raise HarnessError(f"clang is not in the toolchain root that {kernel.release} needs")
    findings = _findings(_build(kernel, "lint-clang", *CLANG))
    if findings:
        raise FindingError(_quote(findings, commands.log_path("lint-clang")))
    return kernel.release


def _kernel_doc() -> str:
    files = _driver_files()
    _tool(["perl", _scripts() / "kernel-doc", "-none", "-Wall", "-Werror", *files], "kernel-doc")
    return f"{len(files)} files"


def _coccicheck() -> str:
    """Every semantic patch of the kernel that needs no OCaml compiler; the kernel's own script runs them."""
    scripts = _scripts()
    patches = sorted(scripts.rglob("*.cocci"))
    chosen = [path for path in patches if "script:ocaml" not in path.read_text(encoding="utf-8")]
    findings = []
    # Builds leave generated sources behind in a checkout: those are not ours.
    with Cache().workspace("lint", digest("coccicheck", str(REPO))) as workspace:
        module.mirror(module.DRIVER, workspace, module.IGNORED)
        for path in chosen:
            finished = commands.run(
                ["bash", scripts / "coccicheck"],
                log="coccicheck",
                cwd=workspace,
                env={
                    "srctree": str(scripts.parent), "MODE": "report", "KBUILD_EXTMOD": str(workspace),
                    "COCCI": str(path), "J": "1", "V": "0", "LINUXINCLUDE": "",
                },
                what=f"running {path.name}",
            )  # fmt: skip
            lines = finished.output.replace(f"{workspace}/", "").splitlines()
            findings += [line for line in lines if re.match(r"[\w/]+\.[ch]:\d+", line)]
    # What newer kernels have a helper for is spelled out there.
    findings = [line for line in findings if not line.startswith(f"{VERSIONS}:")]
    if findings:
        raise FindingError(_quote(findings, commands.log_path("coccicheck")))
    return f"{len(chosen)} semantic patches"


def _build(kernel: Kernel, log: str, *options: str) -> str:
    """Build all of the driver from nothing and return what was said."""
    with Cache().workspace("lint", digest(log, str(kernel.build), str(REPO))) as workspace:
        for old in workspace.iterdir():
            shutil.rmtree(old) if old.is_dir() else old.unlink()
        module.mirror(module.DRIVER, workspace, module.IGNORED)
        output = module.compile_external(kernel, workspace, *options, log=log).output
        # Paths as they are in the checkout, relative to driver/.
        return output.replace(f"{workspace}/", "")


def _findings(output: str) -> list[str]:
    return [line for line in output.splitlines() if FINDING.search(line)]


# checkpatch.


def _checkpatch(name: str | None) -> str:
    script = _scripts(name) / CHECKPATCH[0]
    files = _driver_files()
    files += sorted(devicetree.OVERLAYS.glob("*.dtso"))
    args: list[str | Path] = [
        "perl",
        script,
        "--no-tree",
        "--strict",
        "--terse",
        "--no-summary",
        "--show-types",
    ]
    versions = [path for path in files if path.name == VERSIONS]
    others = [path for path in files if path.name != VERSIONS]
    findings = []
    for chosen, options in ((others, []), (versions, [f"--ignore={','.join(VERSIONS_IGNORE)}"])):
        if chosen:
            finished = commands.run(
                [*args, *options, "--file", *chosen], log="checkpatch", cwd=REPO, check=False
            )
            findings += [line for line in finished.output.splitlines() if line.strip()]
            if finished.status and not findings:
                raise finished.error("checkpatch")
    if findings:
        raise FindingError(_quote(findings, commands.log_path("checkpatch")))
    return f"{len(files)} files"


def _driver_files() -> list[Path]:
    files = sorted(path for pattern in KERNEL_SOURCES for path in module.DRIVER.rglob(pattern))
    return [path for path in files if not path.name.endswith(".mod.c")]


def _scripts(name: str | None = None) -> Path:
    """The directory `scripts` with what is used of it, out of the kernel's source package."""
    _, row = kernels.row(name)
    if not row.suite:
        # A kernel that is no package of Debian's: the rules of the default kernel.
        _, row = kernels.row(None)
    package = f"linux-source-{row.series}"
    cache = Cache()

    def key(value: dict[str, str]) -> str:
        return digest("checkpatch", SCRIPTS, value)

    def ask() -> dict[str, str]:
        archive = debian.Archive(row.suite, row.arch)
        archive.update()
        found = archive.find(package)
        if not found:
            raise HarnessError(f"{row.suite} has no package {package}, which checkpatch is in")
        newest = debian.newest(one.version for one in found)
        return {"name": package, "version": newest, "arch": "all"}

    record = pins.pinned(
        f"checkpatch-{row.suite}-{row.series}", ask, lambda value: cache.has("checkpatch", key(value))
    )

    def make(directory: Path) -> None:
        archive = debian.Archive(row.suite, row.arch)
        archive.download(
            [debian.Package(**record)], lambda files: _unpack_scripts(files[0], package, directory)
        )

    tree = cache.entry("checkpatch", key(record), make, f"checkpatch of {package}", fetches=True)
    return tree / "scripts"


def _unpack_scripts(file: Path, package: str, directory: Path) -> None:
    """A tarball inside the package: only a few files of it are wanted."""
    scratch = directory / "scratch"
    debian.extract(file, scratch)
    tarball = scratch / "usr/src" / f"{package}.tar.xz"
    names = [f"{package}/scripts/{name}" for name in (*CHECKPATCH, *SCRIPTS)]
    commands.run(
        ["tar", "--extract", "--file", tarball, "--directory", directory, "--strip-components=1", *names],
        log="checkpatch",
        what="unpacking checkpatch",
    )
    shutil.rmtree(scratch)
