# SPDX-License-Identifier: MIT
"""`./inv kconfig`: a row's kernel configuration, looked at from several sides."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from harness import kconfig, kernelbuild, kernels, provider_source, toolchain
from harness.errors import HarnessError
from harness.kernels import Row
from harness.progress import console


def run(name: str | None, explain: str, diff: Sequence[str], menuconfig: bool) -> None:
    """Print what was asked for. HarnessError: unknown row, or there is no source to look into."""
    if diff:
        first, second = (diff[0], diff[1]) if len(diff) == 2 else (kernels.row(name)[0], diff[0])
        if len(diff) > 2:
            raise HarnessError("two kernels can be compared", hint="--diff K1 --diff K2")
        _diff(first, second)
        return
    found, row = kernels.row(name)
    configuration = load(found, row)
    if explain:
        print(configuration.explain(explain.removeprefix("CONFIG_")))
    elif menuconfig:
        _menu(configuration)
    else:
        for symbol, value in sorted(configuration.values().items()):
            print(f"CONFIG_{symbol}={value}")


def load(name: str, row: Row) -> kconfig.Configuration:
    """A row's configuration, evaluated: for a built row fragments on the base, else the kernel's own."""
    if row.provider in ("source", "upstream"):
        recipe = provider_source.recipe(row)
        configuration = kconfig.Configuration(
            kernelbuild.source_tree(provider_source.source(row)), recipe.toolchain
        )
        configuration.load(recipe.base)
        for unmet in configuration.merge(recipe.paths()):
            console.print(f"[yellow]note[/]    {unmet}", markup=True)
        return configuration
    kernel = kernels.resolve(name)
    tree = kernel.build
    if row.provider == "debian":
        # Header packages have no Kconfig files.
        tree = kernelbuild.source_tree(provider_source.debian_source(row))
    elif (tree / "source").exists():
        tree = (tree / "source").resolve()
    tools = toolchain.host(row.arch)
    configuration = kconfig.Configuration(tree, kconfig.Toolchain(tools.arch, tools.prefix))
    configuration.load(kernel.config)
    return configuration


def _values(name: str) -> dict[str, str]:
    """A row's .config without compiling anything."""
    row = kernels.row(name)[1]
    if row.provider in ("source", "upstream"):
        return {key: value.strip('"') for key, value in load(name, row).values().items()}
    return kernels.config(kernels.resolve(name).config)


def _diff(first: str, second: str) -> None:
    left, right = _values(first), _values(second)
    print(f"--- {first}\n+++ {second}")
    for symbol, before, after in kconfig.difference(left, right):
        print(f" CONFIG_{symbol}: {before or 'empty'} -> {after or 'empty'}")


def _menu(configuration: kconfig.Configuration) -> None:
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise HarnessError("--menuconfig needs a terminal")
    before = configuration.values()
    configuration.menu()
    after = configuration.values()
    changed = {key: after.get(key, "n") for key in before.keys() | after.keys()}
    lines = [f"CONFIG_{key}={value}" for key, value in changed.items() if before.get(key, "n") != value]
    print("\n".join(["# as a fragment for kernels/fragments:", *sorted(lines)]) if lines else "no change")
