# SPDX-License-Identifier: MIT
"""Kernel source from kernel.org: the newest release of a series."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from harness import kernelbuild, pins, progress, settings
from harness.cache import hash_file
from harness.errors import HarnessError
from harness.kerneltable import UnavailableError

SITE = "https://www.kernel.org"
FILES = "https://cdn.kernel.org/pub/linux/kernel"
SECONDS = 20
"""How long a server may stay silent."""


@dataclass(frozen=True)
class UpstreamSource:
    """A release of kernel.org."""

    version: str
    sha256: str

    @property
    def name(self) -> str:
        """What the tarball is called, without the version."""
        return "linux"

    def unpack(self, place: Path, tree: Path) -> None:
        """See kernelbuild.Source. UnavailableError: not reachable. HarnessError: the sum is wrong."""
        tarball = place / f"linux-{self.version}.tar.xz"
        try:
            with progress.step(f"download {tarball.name}") as step:
                _download(_url(self.version, tarball.name), tarball, step)
            if hash_file(tarball) != self.sha256:
                raise HarnessError(
                    f"{tarball.name} has not the SHA-256 sum that kernel.org states",
                    hint="run this again; if it stays so, something between here and there changes files",
                )
            with progress.step(f"unpack {tarball.name}"):
                kernelbuild.unpack_tarball(tarball, tree)
        finally:
            tarball.unlink(missing_ok=True)


def source(series: str) -> UpstreamSource:
    """The newest release of a series ("6.6"). UnavailableError: not reachable, or no such series."""

    def ask() -> dict[str, str]:
        if settings.offline():
            raise UnavailableError("offline: kernel.org is not asked")
        releases = json.loads(_text(f"{SITE}/releases.json"))["releases"]
        versions = [one["version"] for one in releases if _series(one["version"]) == series]
        if not versions:
            listed = ", ".join(one["version"] for one in releases)
            raise UnavailableError(f"kernel.org maintains no series {series}", hint=f"it has: {listed}")
        version = str(versions[0])
        name = f"linux-{version}.tar.xz"
        sums = _text(_url(version, "sha256sums.asc"))
        match = re.search(rf"^([0-9a-f]{{64}})  {re.escape(name)}$", sums, re.MULTILINE)
        if not match:
            raise UnavailableError(f"kernel.org states no SHA-256 sum of {name}")
        return {"version": version, "sha256": match[1]}

    record = pins.pinned(f"upstream-{series}", ask, lambda value: True)
    return UpstreamSource(record["version"], record["sha256"])


def _series(version: str) -> str:
    return ".".join(re.split(r"[.-]", version)[:2])


def _url(version: str, name: str) -> str:
    return f"{FILES}/v{version.partition('.')[0]}.x/{name}"


def _text(url: str) -> str:
    try:
        with urllib.request.urlopen(url, timeout=SECONDS) as answer:
            return str(answer.read().decode("utf-8"))
    except (OSError, ValueError) as error:
        raise _unreachable(url, error) from None


def _download(url: str, path: Path, step: progress.Step) -> None:
    try:
        with urllib.request.urlopen(url, timeout=SECONDS) as answer, path.open("wb") as target:
            total = int(answer.headers.get("Content-Length") or 0)
            done = 0
            while block := answer.read(1 << 20):
                target.write(block)
                done += len(block)
                step.update(done, total or None)
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        raise _unreachable(url, error) from None


def _unreachable(url: str, error: Exception) -> UnavailableError:
    reason = getattr(error, "reason", error)
    return UnavailableError(f"cannot reach {url}: {reason}", hint="this row needs access to kernel.org")
