# SPDX-License-Identifier: MIT
"""The emulator: a pinned QEMU with the files of qemu/ dropped in, as qemu/qemu.toml says."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from harness import commands, debian, hostdeps, paths, pins, progress, settings
from harness.cache import Cache, digest, hash_tree
from harness.errors import HarnessError, unknown_name
from harness.module import mirror
from harness.paths import REPO

RECIPE_FILE = REPO / "qemu" / "qemu.toml"
# Part of the cache key: change it when the way of building changes.
RECIPE = 1
# Tests of the engine are no part of the emulator.
IGNORED = ("*~", ".*", "tests/*", "fuzz/*")


@dataclass(frozen=True)
class DebianSource:
    """A distribution's source package."""

    package: str
    suite: str
    version: str
    tarball: str


@dataclass(frozen=True)
class UpstreamSource:
    """A release tarball with a detached OpenPGP signature."""

    version: str
    url: str
    signature: str
    signing_key: str


@dataclass(frozen=True)
class Sources:
    """Where the source comes from, tried in `order`."""

    order: tuple[str, ...]
    debian: DebianSource | None
    upstream: UpstreamSource | None


@dataclass(frozen=True)
class Patches:
    """Patches on top of the dropped-in files."""

    directory: str
    glob: str


@dataclass(frozen=True)
class Configure:
    """Arguments of QEMU's configure."""

    args: tuple[str, ...]


@dataclass(frozen=True)
class Build:
    """What ninja makes, and the file that results."""

    target: str
    binary: str


@dataclass(frozen=True)
class Packages:
    """What the build needs: Debian packages of the host, PyPI packages of its virtual environment."""

    host: tuple[str, ...]
    python: tuple[str, ...]


@dataclass(frozen=True)
class Recipe:
    """qemu/qemu.toml."""

    source: Sources
    files: dict[str, str]
    patches: Patches
    configure: Configure
    build: Build
    packages: Packages


def recipe(path: Path = RECIPE_FILE) -> Recipe:
    """Read the recipe. HarnessError names file and key of a mistake."""
    return settings.build(Recipe, settings.read_toml(path), str(path))


def require_packages(wanted: Recipe | None = None) -> None:
    """Make sure that what the build needs of the system is installed."""
    wanted = wanted or recipe()
    hostdeps.require("qemu")
    hostdeps.require_packages(wanted.packages.host)


def build() -> Path:
    """The emulator's binary, built or found. HarnessError: no source, or a build that fails."""
    wanted = recipe()
    sources = _content(wanted)
    cache = Cache()

    def key(version: str) -> str:
        return _key(version, sources)

    record = pins.pinned("qemu", lambda: _ask(wanted), lambda value: cache.has("qemu", key(value["version"])))
    version: str = record["version"]

    def make(directory: Path) -> None:
        require_packages(wanted)
        with cache.workspace("qemu", digest("work", version, str(REPO))) as workspace:
            binary = _compile(wanted, record, workspace)
            shutil.copy2(binary, directory / wanted.build.binary)

    tree = cache.entry("qemu", key(version), make, f"emulator QEMU {version}", fetches=False)
    return tree / wanted.build.binary


def ready() -> bool:
    """True if `build` would find the emulator in the cache."""
    record = pins.recorded("qemu")
    return record is not None and Cache().has("qemu", _key(record["version"], _content(recipe())))


def _key(version: str, sources: str) -> str:
    return digest("qemu", RECIPE, version, sources)


def _content(wanted: Recipe) -> str:
    """A digest of everything of ours that goes into the build."""
    roots = [REPO / name for name in wanted.files]
    missing = [str(root.relative_to(REPO)) for root in roots if not root.is_dir()]
    if missing:
        raise HarnessError(f"{RECIPE_FILE}: [files] names {', '.join(missing)}, which does not exist")
    parts = [hash_tree(root, ignore=IGNORED) for root in roots]
    parts += [hash_tree(path) for path in _patches(wanted)]
    return digest(parts, wanted)


def _patches(wanted: Recipe) -> list[Path]:
    return sorted((REPO / wanted.patches.directory).glob(wanted.patches.glob))


# Source.


def _ask(wanted: Recipe) -> dict[str, str]:
    """Provider and version of the first source that is there."""
    problems = []
    for name in wanted.source.order:
        try:
            if name == "debian" and wanted.source.debian is not None:
                source = wanted.source.debian
                archive = debian.Archive(source.suite, source=True)
                archive.update()
                version = archive.source_version(source.package, source.version)
                return {"provider": name, "version": version}
            if name == "upstream" and wanted.source.upstream is not None:
                return {"provider": name, "version": wanted.source.upstream.version}
        except HarnessError as error:
            problems.append(f"{name}: {error.message}")
            continue
        raise unknown_name("source of QEMU", name, ("debian", "upstream"))
    raise HarnessError("no source of QEMU is to be had:\n" + "\n".join(f"  {line}" for line in problems))


def _with_tarball(wanted: Recipe, record: dict[str, str], use: Callable[[Path], None]) -> None:
    if record["provider"] == "debian":
        source = wanted.source.debian
        assert source is not None
        archive = debian.Archive(source.suite, source=True)
        archive.download_source(source.package, record["version"], source.tarball, use)
    else:
        assert wanted.source.upstream is not None
        _with_upstream(wanted.source.upstream, use)


def _with_upstream(source: UpstreamSource, use: Callable[[Path], None]) -> None:
    """Fetch the release, check its signature with gpgv against the key that the recipe names."""
    if settings.offline():
        raise HarnessError(
            f"offline, and not in the cache: QEMU {source.version}", hint="run once without --offline"
        )
    directory = paths.cache_root() / "downloads"
    directory.mkdir(exist_ok=True)
    tarball = directory / f"qemu-{source.version}.tar.xz"
    signature = tarball.with_suffix(".xz.sig")
    for path, url in ((tarball, source.url), (signature, source.signature)):
        options = ["--fail", "--location", "--silent", "--show-error", "--continue-at", "-"]
        commands.run(
            ["curl", *options, "--output", path, url.format(version=source.version)],
            log="emulator",
            what=f"fetching {path.name}",
            hint="check the network; what has arrived is kept",
        )
    keyring = directory / "qemu-release.gpg"
    if not keyring.exists():
        commands.run(
            ["gpg", "--no-default-keyring", "--keyring", keyring, "--recv-keys", source.signing_key],
            log="emulator",
            what="fetching the key that signs QEMU's releases",
        )
    commands.run(
        ["gpgv", "--keyring", keyring, signature, tarball],
        log="emulator",
        what=f"checking the signature of {tarball.name}",
        hint=f"remove {tarball} and run this again",
    )
    use(tarball)
    tarball.unlink()
    signature.unlink()


def _unpack(tarball: Path, target: Path) -> None:
    """Unpack a tarball's one top directory as `target`."""
    partial = target.with_name(f"{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    with progress.step(f"unpack {tarball.name}"):
        commands.run(["tar", "--extract", "--file", tarball, "--directory", partial], log="emulator")
    (top,) = partial.iterdir()
    top.rename(target)
    partial.rmdir()


# Build.


def _compile(wanted: Recipe, record: dict[str, str], workspace: Path) -> Path:
    """Bring source tree and configuration up to date and build; the binary."""
    source, objects = workspace / "source", workspace / "build"
    patched = digest(record["version"], wanted.files, [hash_tree(path) for path in _patches(wanted)])
    if _read_stamp(workspace, "patched") != patched:
        # A patch may touch any file: only a fresh tree is sure to be right.
        shutil.rmtree(source, ignore_errors=True)
        _drop_stamp(workspace, "patched")
        _with_tarball(wanted, record, lambda tarball: _unpack(tarball, source))
        _drop_in(wanted, source)
        for patch in _patches(wanted):
            commands.run(
                ["patch", "--strip=1", "--fuzz=0", "--forward", "--batch", f"--input={patch}"],
                log="emulator",
                cwd=source,
                what=f"applying {patch.name}",
                hint=f"make {patch.relative_to(REPO)} fit QEMU {record['version']}",
            )
        _write_stamp(workspace, "patched", patched)
    else:
        _drop_in(wanted, source)
    python = _environment(wanted, workspace)
    search = f"{python.parent}:{_path()}"
    configured = digest(patched, wanted.configure, wanted.packages, sys.version)
    if _read_stamp(workspace, "configured") != configured or not (objects / "build.ninja").exists():
        shutil.rmtree(objects, ignore_errors=True)
        objects.mkdir()
        with progress.step("configure QEMU") as step:
            commands.run(
                [source / "configure", f"--python={python}", *wanted.configure.args],
                log="emulator",
                cwd=objects,
                env={"PATH": search},
                on_line=lambda line: step.update(detail=line),
                what="configuring QEMU",
            )
        _write_stamp(workspace, "configured", configured)
    with progress.step("compile QEMU") as step:

        def on_line(line: str) -> None:
            if match := re.match(r"\[(\d+)/(\d+)\] (.*)", line):
                step.update(int(match.group(1)), int(match.group(2)), match.group(3))

        commands.run(
            [python.parent / "ninja", wanted.build.target],
            log="emulator",
            cwd=objects,
            env={"PATH": search},
            on_line=on_line,
            what="compiling QEMU",
        )
    return objects / wanted.build.binary


def _drop_in(wanted: Recipe, source: Path) -> None:
    """Copy our directories into the source tree; only what has changed, so that little is rebuilt."""
    for ours, theirs in wanted.files.items():
        target = source / theirs
        nested = [
            f"{inner.removeprefix(theirs + '/')}/*"
            for inner in wanted.files.values()
            if inner.startswith(f"{theirs}/")
        ]
        if target.exists() and not (target / ".ours").exists():
            # A directory of QEMU's own: add to it.
            for path in sorted((REPO / ours).rglob("*")):
                if path.is_file() and not any(path.match(one) for one in IGNORED):
                    copy = target / path.relative_to(REPO / ours)
                    if not copy.exists() or copy.read_bytes() != path.read_bytes():
                        copy.parent.mkdir(parents=True, exist_ok=True)
                        shutil.copyfile(path, copy)
            continue
        mirror(REPO / ours, target, (*IGNORED, *nested))
        (target / ".ours").touch()


def _environment(wanted: Recipe, workspace: Path) -> Path:
    """The Python of the build's own virtual environment, with meson and ninja."""
    environment = workspace / "venv"
    python = environment / "bin" / "python3"
    key = digest(wanted.packages.python, sys.version, str(workspace))
    if _read_stamp(workspace, "venv") != key:
        if settings.offline():
            raise HarnessError(
                f"offline, and not in the cache: {', '.join(wanted.packages.python)} to build QEMU with",
                hint="run once without --offline",
            )
        shutil.rmtree(environment, ignore_errors=True)
        with progress.step("Python environment for the build of QEMU"):
            commands.run([sys.executable, "-m", "venv", environment], log="emulator")
            commands.run(
                [
                    python,
                    "-m",
                    "pip",
                    "install",
                    "--disable-pip-version-check",
                    "--quiet",
                    *wanted.packages.python,
                ],
                log="emulator",
                what="installing what QEMU is built with",
            )
        _write_stamp(workspace, "venv", key)
    return python


def _path() -> str:
    return os.environ.get("PATH", os.defpath)


def _stamp(workspace: Path, name: str) -> Path:
    return workspace / f"{name}.stamp"


def _read_stamp(workspace: Path, name: str) -> str:
    path = _stamp(workspace, name)
    return str(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else ""


def _write_stamp(workspace: Path, name: str, value: str) -> None:
    _stamp(workspace, name).write_text(json.dumps(value), encoding="utf-8")


def _drop_stamp(workspace: Path, name: str) -> None:
    _stamp(workspace, name).unlink(missing_ok=True)
