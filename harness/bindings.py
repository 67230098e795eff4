# SPDX-License-Identifier: MIT
"""Our devicetree binding, and devicetrees against it, with dtschema and the kernel's own bindings."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from harness import commands, debian, extras, kernelbuild, kernels, pins
from harness.cache import Cache, digest, hash_file
from harness.errors import HarnessError
from harness.paths import REPO

BINDING = REPO / "dts" / "bindings" / "net" / "wireless" / "espressif,esp-hosted.yaml"
# Ours refers to these of the kernel, and they to each other.
REFERRED = ("spi", "net/network-class.yaml", "net/ieee80211.yaml", "net/wireless/ieee80211.yaml",
            "net/wireless/wireless-controller.yaml")  # fmt: skip
BINDINGS = "Documentation/devicetree/bindings"
# Part of the cache key: change it when something else is unpacked or processed.
RECIPE = 2
_PROGRAMS = Path(sys.executable).parent


def kernel_bindings() -> Path:
    """The directory of the newest kernel's bindings, out of Debian's source package."""
    name, row = max(
        ((name, row) for name, row in kernels.table().kernel.items() if row.provider == "debian"
         and not row.optional), key=lambda item: [int(part) for part in item[1].series.split(".")],
    )  # fmt: skip
    package_name = f"linux-source-{row.series}"

    def ask() -> dict[str, str]:
        archive = debian.Archive(row.suite, row.arch)
        found = archive.find(package_name)
        if not found:
            raise HarnessError(f"{row.suite} has no {package_name}, which kernel {name} is built from")
        newest = debian.newest(one.version for one in found)
        return {"name": package_name, "version": newest, "arch": "all"}

    def key(record: dict[str, str]) -> str:
        return digest("bindings", RECIPE, record)

    cache = Cache()
    place = f"bindings-{row.suite}-{row.series}"
    record = pins.pinned(place, ask, lambda one: cache.has("bindings", key(one)))
    source = kernelbuild.DebianSource(debian.Package(**record), row.suite, row.arch)

    def make(directory: Path) -> None:
        source.directory(BINDINGS, directory)

    tree = cache.entry("bindings", key(record), make, f"bindings of {package_name}", fetches=True)
    return tree / BINDINGS


def schema() -> Path:
    """Our binding and what it refers to, processed for `validate`. HarnessError: it is not valid itself."""
    return _processed("ours", REFERRED) / "schema.json"


def whole_schema() -> Path:
    """Our binding among all of the kernel's, processed for `validate`; takes a minute the first time."""
    return _processed("all", (".",)) / "schema.json"


def _processed(name: str, parts: tuple[str, ...]) -> Path:
    """A directory with our binding among `parts` of the kernel's, and the schema made of them."""
    theirs = kernel_bindings()
    key = digest("schema", RECIPE, name, parts, str(theirs), hash_file(BINDING))

    def make(directory: Path) -> None:
        work = directory / "bindings"
        for part in parts:
            if (theirs / part).is_dir():
                shutil.copytree(theirs / part, work / part, dirs_exist_ok=True)
            elif (theirs / part).exists():
                (work / part).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(theirs / part, work / part)
        shutil.copyfile(BINDING, work / "net" / "wireless" / BINDING.name)
        commands.run(
            [_program("dt-mk-schema"), "-j", "-o", directory / "schema.json", work],
            log="schema",
            what="processing bindings",
        )

    return Cache().entry("schema", key, make, f"devicetree schema ({name})")


def check_binding() -> list[str]:
    """What dtschema says of our binding as a document."""
    tree = _processed("ours", REFERRED) / "bindings"
    binding = tree / "net" / "wireless" / BINDING.name
    finished = commands.run([_program("dt-doc-validate"), "-u", tree, binding], log="schema", check=False)
    return [line for line in finished.output.splitlines() if line.strip()]


def validate(dtbs: Sequence[Path], processed: Path, only: str = "espressif") -> dict[Path, list[str]]:
    """What is wrong in each devicetree against a processed schema.

    Only the schemas with `only` in their names are asked, all for "". HarnessError: dtschema itself fails.
    """
    limit = ["-l", only] if only else []
    finished = commands.run(
        [_program("dt-validate"), "-s", processed, *limit, *dtbs], log="schema", check=False
    )
    found: dict[Path, list[str]] = {dtb: [] for dtb in dtbs}
    # The indented lines that follow a finding say which rule it is.
    for line in finished.output.splitlines():
        if line.startswith("Traceback"):
            raise finished.error("validating devicetrees")
        for dtb in dtbs:
            if line.startswith(f"{dtb}: "):
                found[dtb].append(line.removeprefix(f"{dtb}: "))
    return found


def _program(name: str) -> Path:
    extras.require("bindings", "dtschema")
    return _PROGRAMS / name
