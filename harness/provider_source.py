# SPDX-License-Identifier: MIT
"""Kernels that are compiled here: from a distribution's source package, or from kernel.org."""

from __future__ import annotations

from harness import boards, debian, kconfig, kernelbuild, pins, toolchain, upstream
from harness.errors import HarnessError
from harness.kerneltable import Kernel, Row, UnavailableError


def resolve(name: str, chosen: Row) -> Kernel:
    """The kernel of a row, compiled if the cache has it not.

    UnavailableError: no source. HarnessError: a symbol that cannot be set, or it does not compile.
    """
    origin, how = source(chosen), recipe(chosen)
    tree = kernelbuild.build(origin, how, f"kernel {name} ({origin.name} {origin.version})")
    release = (tree / "release").read_text(encoding="utf-8").strip()
    return Kernel(
        name=name,
        release=release,
        # Two configurations of one source have the same release.
        version=f"{origin.version} {how.key()}",
        arch=chosen.arch,
        image=tree / "boot/Image",
        modules=tree / "lib/modules" / release,
        dtbs=tree / "dtbs",
        build=tree / "build",
        config=tree / "build/.config",
        symvers=tree / "build/Module.symvers",
        board=chosen.board,
        toolchain=toolchain.host(chosen.arch),
    )


def source(chosen: Row) -> kernelbuild.Source:
    """Where the source of a row comes from. UnavailableError: there is none."""
    return upstream.source(chosen.series) if chosen.provider == "upstream" else debian_source(chosen)


def debian_source(chosen: Row) -> kernelbuild.DebianSource:
    """The source package of a row's series, as pinned. UnavailableError: the suite has none."""

    def ask() -> dict[str, str]:
        try:
            debian.Archive(chosen.suite, chosen.arch).update()
            found = kernelbuild.newest(chosen.suite, f"linux-source-{chosen.series}", chosen.arch)
        except HarnessError as error:
            raise UnavailableError(error.message, error.hint, error.log) from error
        return {"name": found.name, "version": found.version, "arch": found.arch}

    def cached(value: dict[str, str]) -> bool:
        found = kernelbuild.DebianSource(debian.Package(**value), chosen.suite, chosen.arch)
        return kernelbuild.built(found, recipe(chosen))

    record = pins.pinned(f"source-{chosen.suite}-{chosen.series}", ask, cached)
    return kernelbuild.DebianSource(debian.Package(**record), chosen.suite, chosen.arch)


def recipe(chosen: Row) -> kernelbuild.Recipe:
    """How a row's kernel is configured and compiled."""
    tools = toolchain.host(chosen.arch)
    return kernelbuild.Recipe(
        base=chosen.base,
        fragments=chosen.fragments,
        toolchain=kconfig.Toolchain(tools.arch, tools.prefix),
        dtb=boards.load(chosen.board).dtb,
    )
