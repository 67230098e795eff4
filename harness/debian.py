# SPDX-License-Identifier: MIT
"""Debian's archive through apt with a private state: packages of any suite and architecture, no root.

apt verifies the signed indices and every file, and it honours the host's proxies and certificates:
only what must differ (state, sources, architectures, hooks) is set here, in a file that is read after
the host's own configuration.
"""

from __future__ import annotations

import fnmatch
import functools
import os
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

import filelock
import platformdirs

from harness import commands, hostdeps, paths, progress, settings
from harness.cache import digest
from harness.errors import HarnessError

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
# Indices that are older are fetched again before something is looked up in them to be downloaded.
INDEX_SECONDS = 3600
# Complete packages of an interrupted download are kept that long.
KEPT_SECONDS = 2 * 24 * 3600
MIRROR_VARIABLE = "ESP_HOSTED_MIRROR"
_MMDEBSTRAP = Path("/usr/bin/mmdebstrap")


@dataclass(frozen=True)
class Package:
    """One binary package of the archive: enough to download exactly it."""

    name: str
    version: str
    arch: str
    depends: str = field(default="", compare=False)
    """The package's Depends field, where it was asked for."""

    @property
    def file_name(self) -> str:
        """What apt calls the downloaded file."""
        return f"{self.name}_{self.version.replace(':', '%3a')}_{self.arch}.deb"

    @property
    def selector(self) -> str:
        """What apt-get takes for exactly this package."""
        name = self.name if self.arch == "all" else f"{self.name}:{self.arch}"
        return f"{name}={self.version}"


@functools.cache
def host_arch() -> str:
    """Debian's name of the architecture of this machine."""
    return commands.output(["dpkg", "--print-architecture"]).strip()


def mirror() -> str:
    """The base URI of the Debian archive to use. HarnessError if none is known.

    In this order: ESP_HOSTED_MIRROR, `mirror` in the user's config.toml, the mirror this host's apt uses
    for Debian, the one mmdebstrap has built in.
    """
    config = platformdirs.user_config_path(paths.APPLICATION, appauthor=False) / "config.toml"
    configured = settings.read_toml(config).get("mirror") if config.exists() else None
    found = os.environ.get(MIRROR_VARIABLE) or configured or _host_mirror() or _builtin_mirror()
    if not isinstance(found, str):
        raise HarnessError(
            "no Debian mirror is known on this system",
            hint=f"set {MIRROR_VARIABLE}, or `mirror` in {config}, to a mirror's base URI",
        )
    return found.rstrip("/")


def _host_mirror() -> str | None:
    listed = commands.output(["apt-get", "indextargets", "--format", "$(REPO_URI)"], check=False)
    uris = dict.fromkeys(line.strip() for line in listed.splitlines())
    return next((uri for uri in uris if re.search(r"/debian(\.list)?/?$", uri)), None)


def _builtin_mirror() -> str | None:
    if not _MMDEBSTRAP.exists():
        return None
    text = _MMDEBSTRAP.read_text(encoding="utf-8", errors="replace")
    match = re.search(r"\$mirror\s*=\s*'(https?://[^']*/debian)'", text)
    return match.group(1) if match else None


def _compare(one: str, relation: str, other: str) -> bool:
    try:
        commands.output(["dpkg", "--compare-versions", one, relation, other])
    except HarnessError:
        return False
    return True


def newest(versions: Iterable[str]) -> str:
    """The newest of some Debian versions."""

    def order(one: str, other: str) -> int:
        return 1 if _compare(one, "gt", other) else -1 if _compare(one, "lt", other) else 0

    return max(versions, key=functools.cmp_to_key(order))


class Archive:
    """One suite of the archive. `source` for source packages, otherwise binaries of `arch` and the host.

    Nothing is fetched before it is needed. Safe to use from several threads and processes at once.
    """

    def __init__(
        self,
        suite: str,
        arch: str = "arm64",
        source: bool = False,
        root: Path | None = None,
        keyring: Path | None = KEYRING,
    ) -> None:
        """`keyring` holds the keys that the suite must be signed with; None trusts the mirror blindly."""
        hostdeps.require("archive")
        self.suite = suite
        self.arch = arch
        self.source = source
        self._mirror = mirror()
        self._trust = f"signed-by={keyring}" if keyring else "trusted=yes"
        name = f"{suite}-{'source' if source else arch}-{digest(self._mirror, self._trust)[:8]}"
        self.root = (root or paths.cache_root()) / "apt" / name
        self._configuration = self.root / "apt.conf"
        self._log = f"archive-{suite}"
        self._configure()

    # Queries.

    def names(self, pattern: str) -> list[str]:
        """Names of packages that match a regular expression completely."""
        prefix = re.match(r"[a-z0-9-]*", pattern)
        listed = self._query("apt-cache", "pkgnames", prefix.group() if prefix else "")
        return sorted(name for name in listed.split() if re.fullmatch(pattern, name))

    def find(self, name: str, arch: str | None = None) -> list[Package]:
        """The versions of a package that the suite has for an architecture (`arch` of this archive)."""
        arch = arch or self.arch
        shown = self._query("apt-cache", "show", f"{name}:{arch}", check=False)
        shown = shown or self._query("apt-cache", "show", name, check=False)
        found = []
        for stanza in shown.strip().split("\n\n"):
            fields = dict(re.findall(r"^(Package|Version|Architecture|Depends): (.*)$", stanza, re.MULTILINE))
            if fields.get("Package") == name and fields.get("Architecture") in (arch, "all"):
                version, depends = fields["Version"], fields.get("Depends", "")
                found.append(Package(name, version, fields["Architecture"], depends))
        return found

    def closure(self, names: Iterable[str]) -> list[Package]:
        """These packages and all they depend on, as an empty system would get them."""
        listed = self._query(
            "apt-get", "install", "--print-uris", "-qq", "--yes", "--no-install-recommends", *names,
            what=f"finding the packages {', '.join(names)} and what they need in {self.suite}",
        )  # fmt: skip
        found = re.findall(r"^'[^']+' ([^_\s]+)_([^_\s]+)_([^_\s]+)\.deb ", listed, re.MULTILINE)
        return sorted(
            (Package(name, unquote(version), arch) for name, version, arch in found), key=lambda one: one.name
        )

    def source_version(self, package: str, upstream: str = "*") -> str:
        """The newest version of a source package whose upstream part matches a glob."""
        shown = self._query("apt-cache", "showsrc", "--only-source", package, check=False)
        versions = re.findall(r"^Version: (.*)$", shown, re.MULTILINE)
        wanted = [one for one in versions if fnmatch.fnmatch(_upstream(one), upstream)]
        if not wanted:
            raise HarnessError(
                f"{self.suite} has no source package {package} of version {upstream}",
                hint=f"it has: {', '.join(versions) or 'no such package'}",
            )
        return newest(wanted)

    # Downloads.

    def download(self, packages: Iterable[Package], done: Callable[[list[Path]], None]) -> None:
        """Fetch packages, verified, call `done` with their paths in the same order, then drop the files."""
        wanted = list(packages)
        directory = self.root / "downloads"
        directory.mkdir(exist_ok=True)
        self._online(", ".join(package.file_name for package in wanted[:3]))
        with filelock.FileLock(self.root / "downloads.lock"):
            _drop_old(directory)
            self._fetch(["download", *(package.selector for package in wanted)], directory, wanted[0].name)
            files = [directory / package.file_name for package in wanted]
            for path in files:
                if not path.exists():
                    raise HarnessError(f"apt-get fetched no {path.name}", log=commands.log_path(self._log))
            done(files)
            for path in files:
                path.unlink()

    def download_source(self, package: str, version: str, tarball: str, done: Callable[[Path], None]) -> None:
        """Fetch a source package's tarballs, verified, and call `done` with the one that matches a glob."""
        directory = self.root / "downloads"
        directory.mkdir(exist_ok=True)
        self._online(f"source package {package} {version}")
        with filelock.FileLock(self.root / "downloads.lock"):
            self._fetch(
                ["source", "--download-only", "--tar-only", f"{package}={version}"], directory, package
            )
            files = sorted(directory.glob(tarball))
            if len(files) != 1:
                names = ", ".join(path.name for path in directory.iterdir())
                raise HarnessError(
                    f"{tarball!r} names not one file of {package} {version}", hint=f"got: {names}"
                )
            done(files[0])
            files[0].unlink()

    def update(self, max_age: float = INDEX_SECONDS) -> None:
        """Fetch the indices unless they are younger than `max_age` seconds, or nothing may be fetched."""
        stamp = self.root / "updated"
        if settings.offline() or (stamp.exists() and time.time() - stamp.stat().st_mtime < max_age):
            return
        with filelock.FileLock(self.root / "update.lock"):
            if stamp.exists() and time.time() - stamp.stat().st_mtime < max_age:
                return
            with progress.step(f"package index of {self.suite}") as step:
                finished = commands.run(
                    [*self._apt("apt-get"), "update", "--error-on=any"],
                    log=self._log,
                    on_line=lambda line: step.update(detail=line),
                    check=False,
                )
            if finished.status:
                raise finished.error(
                    f"fetching the package index of {self.suite}",
                    hint="check the network and the mirror; with a warm cache, --offline works without",
                )
            stamp.touch()

    # Inside.

    def _configure(self) -> None:
        for directory in ("state/lists/partial", "cache/archives/partial"):
            (self.root / directory).mkdir(parents=True, exist_ok=True)
        (self.root / "status").touch()
        architectures = list(dict.fromkeys([self.arch, host_arch()]))
        kind, target = ("deb-src", "Sources") if self.source else ("deb", "Packages")
        options = f"{self._trust} target={target}"
        if not self.source:
            options += f" arch={','.join(architectures)}"
        _write(self.root / "sources.list", f"{kind} [{options}] {self._mirror} {self.suite} main\n")
        listed = " ".join(f'"{arch}";' for arch in architectures)
        _write(
            self._configuration,
            f"""\
Dir::State "{self.root}/state";
Dir::State::status "{self.root}/status";
Dir::Cache "{self.root}/cache";
Dir::Cache::pkgcache "pkgcache.bin";
Dir::Cache::srcpkgcache "srcpkgcache.bin";
Dir::Etc::sourcelist "{self.root}/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
#clear APT::Architectures;
APT::Architecture "{self.arch}";
APT::Architectures {{ {listed} }};
APT::Sandbox::User "";
APT::Install-Recommends "false";
APT::Get::Only-Source "true";
Acquire::Languages "none";
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear DPkg::Post-Invoke;
#clear DPkg::Pre-Install-Pkgs;
""",
        )

    def _apt(self, tool: str) -> list[str]:
        return [tool, "-c", str(self._configuration)]

    def _query(self, tool: str, *args: str, check: bool = True, what: str | None = None) -> str:
        self._online(f"package index of {self.suite}", needed=not (self.root / "updated").exists())
        self.update()
        return commands.output([*self._apt(tool), *args], check=check, what=what)

    def _fetch(self, args: list[str], directory: Path, title: str) -> None:
        with progress.step(f"download {title} from {self.suite}") as step:
            commands.run(
                [*self._apt("apt-get"), *args],
                log=self._log,
                cwd=directory,
                on_line=lambda line: step.update(detail=line),
                what=f"fetching {title} from {self.suite}",
                hint="check the network and the mirror, then run this again: what is complete is kept",
            )

    def _online(self, wanted: str, needed: bool = True) -> None:
        if needed and settings.offline():
            raise HarnessError(
                f"offline, and not in the cache: {wanted}", hint="run this once without --offline"
            )


def _upstream(version: str) -> str:
    """The upstream part of a Debian version, without epoch, revision and repacking suffix."""
    without_epoch = version.partition(":")[2] or version
    upstream = without_epoch.rpartition("-")[0] or without_epoch
    return re.split(r"[+~](?:ds|dfsg)", upstream)[0]


def _drop_old(directory: Path) -> None:
    """Remove what an interrupted download left days ago; what is newer spares fetching it again."""
    for path in directory.iterdir():
        if time.time() - path.stat().st_mtime > KEPT_SECONDS:
            path.unlink()


def _write(path: Path, text: str) -> None:
    """Write a small file unless it has that content, whole or not at all."""
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return
    temporary = path.with_name(f".{path.name}-{os.getpid()}")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


def extract(package: Path, directory: Path) -> None:
    """Unpack a binary package's files below a directory."""
    commands.run(
        ["dpkg-deb", "--extract", package, directory], log="extract", what=f"unpacking {package.name}"
    )
