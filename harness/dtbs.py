# SPDX-License-Identifier: MIT
"""Base DTBs of the distribution's kernels, also of those that nothing is built for here."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness import commands, debian, hostdeps, kernels, pins, progress
from harness.cache import Cache, digest
from harness.errors import HarnessError
from harness.kernels import Row, UnavailableError

# Where kernels.toml has no row for an architecture, its devicetrees still come from there.
OTHERS = {"armhf": Row(provider="debian", suite="bookworm-backports", series="6.12", arch="armhf",
                       flavour="armmp", board="beaglebone-black")}  # fmt: skip


@dataclass(frozen=True)
class Bases:
    """The DTBs of one kernel."""

    arch: str
    directory: Path

    def find(self, name: str) -> Path | None:
        """A DTB by its path, or by its file name where a kernel sorts them into other directories."""
        if (self.directory / name).exists():
            return self.directory / name
        return next(iter(sorted(self.directory.rglob(Path(name).name))), None)


def all_bases(names: tuple[str, ...] = ()) -> Iterator[tuple[str, Bases]]:
    """Release and DTBs of these rows of kernels.toml, or of all stock ones of Debian and of OTHERS.

    Without `names` a kernel that cannot be had is left out with a warning; HarnessError otherwise.
    """
    table = kernels.table().kernel
    chosen = names or tuple(
        name for name, row in table.items() if row.provider == "debian" and "stock" in row.tags
    )
    for name in chosen:
        if name in OTHERS and name not in table:
            yield of_image(OTHERS[name])
            continue
        try:
            found = kernels.resolve(name)
        except UnavailableError as error:
            if names:
                raise
            progress.warn(error.message)
            continue
        yield found.release, Bases(found.arch, found.dtbs)
    if not names:
        present = {table[name].arch for name in chosen}
        for arch, row in OTHERS.items():
            if arch not in present:
                yield of_image(row)


def of_image(row: Row) -> tuple[str, Bases]:
    """Release and DTBs of the newest image of a suite and series, nothing else of it kept."""

    def ask() -> dict[str, str]:
        archive = debian.Archive(row.suite, row.arch)
        pattern = rf"linux-image-{re.escape(row.series)}[^-]*(?:-[0-9]+)?-{row.flavour or row.arch}"
        found = [one for name in archive.names(pattern) for one in archive.find(name)]
        if not found:
            raise HarnessError(f"{row.suite} has no kernel {row.series} for {row.arch}")
        newest = debian.newest(one.version for one in found)
        package = next(one for one in found if one.version == newest)
        return {"name": package.name, "version": package.version, "arch": package.arch}

    def key(record: dict[str, str]) -> str:
        return digest("dtbs", record)

    cache = Cache()
    place = f"dtbs-{row.suite}-{row.series}-{row.arch}"
    record = pins.pinned(place, ask, lambda one: cache.has("dtbs", key(one)))
    package = debian.Package(record["name"], record["version"], record["arch"])

    def fetch(directory: Path) -> None:
        hostdeps.require("archive")
        archive = debian.Archive(row.suite, row.arch)
        archive.download([package], lambda files: _unpack(files[0], directory))

    release = package.name.removeprefix("linux-image-")
    tree = cache.entry("dtbs", key(record), fetch, f"devicetrees of {release}", fetches=True)
    return release, Bases(row.arch, tree)


def _unpack(package: Path, directory: Path) -> None:
    scratch = directory / "scratch"
    debian.extract(package, scratch)
    found = sorted(scratch.rglob("*.dtb"))
    if not found:
        raise HarnessError(f"{package.name} has no devicetrees", log=commands.log_path("extract"))
    root = next(path for path in found[0].parents if re.match(r"linux-image-|dtb", path.name))
    for path in found:
        target = directory / path.relative_to(root)
        target.parent.mkdir(parents=True, exist_ok=True)
        path.rename(target)
    shutil.rmtree(scratch)
