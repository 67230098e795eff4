# SPDX-License-Identifier: MIT
"""Kernels built from source: a distribution's source package, fragments merged onto a base, one board's DTB.

The result is laid out as the packages of a distribution are: image, modules, DTBs, and a directory for
external modules that holds headers and build programs only.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from harness import commands, debian, hostdeps, kconfig, paths, progress
from harness.cache import Cache, digest
from harness.errors import HarnessError
from harness.paths import REPO

FRAGMENTS = REPO / "kernels" / "fragments"
# Part of the cache keys: change it when the way of building or what is kept of a build changes.
RECIPE = 1


class Source(Protocol):
    """Where a kernel's source comes from."""

    @property
    def name(self) -> str:
        """What it is called: `linux-source-6.12`."""

    @property
    def version(self) -> str:
        """Its complete version."""

    def unpack(self, place: Path, tree: Path) -> None:
        """Fetches the source, verified, and unpacks it into the directory `tree`; `place` is for scratch."""


@dataclass(frozen=True)
class DebianSource:
    """A source package of a Debian suite."""

    package: debian.Package
    suite: str
    arch: str
    """Debian's name of the architecture that it is built for."""

    @property
    def name(self) -> str:
        """The package's name."""
        return self.package.name

    @property
    def version(self) -> str:
        """The package's version."""
        return self.package.version

    def unpack(self, place: Path, tree: Path) -> None:
        """See Source."""
        archive = debian.Archive(self.suite, self.arch)
        archive.download([self.package], lambda files: self._unpack(files[0], place, tree))

    def _unpack(self, package: Path, place: Path, tree: Path) -> None:
        with _tarball(package, place) as tarball, progress.step(f"unpack {tarball.name}"):
            unpack_tarball(tarball, tree)

    def files(self, names: Sequence[str]) -> dict[str, bytes]:
        """Some files of the source, without unpacking all of it. HarnessError: one is not in it."""
        found: dict[str, bytes] = {}

        def read(packages: list[Path]) -> None:
            with (
                tempfile.TemporaryDirectory(dir=paths.cache_root()) as scratch,
                _tarball(packages[0], Path(scratch)) as tarball,
            ):
                inside = Path(scratch) / "files"
                inside.mkdir()
                top = tarball.name.removesuffix(".tar.xz")
                unpack_tarball(tarball, inside, [f"{top}/{name}" for name in names])
                found.update({name: (inside / name).read_bytes() for name in names})

        debian.Archive(self.suite, self.arch).download([self.package], read)
        return found

    def directory(self, name: str, target: Path) -> None:
        """One directory of the source, at the same path below `target`."""
        self.directories([name], target)

    def directories(self, names: Sequence[str], target: Path) -> None:
        """Some directories of the source, at the same paths below `target`."""

        def read(packages: list[Path]) -> None:
            with (
                tempfile.TemporaryDirectory(dir=paths.cache_root()) as scratch,
                _tarball(packages[0], Path(scratch)) as tarball,
            ):
                top = tarball.name.removesuffix(".tar.xz")
                unpack_tarball(tarball, target, [f"{top}/{name}" for name in names])

        debian.Archive(self.suite, self.arch).download([self.package], read)


@contextmanager
def _tarball(package: Path, place: Path) -> Iterator[Path]:
    """The one tarball inside a source package, unpacked below `place` for as long as it is needed."""
    scratch = place / "package"
    shutil.rmtree(scratch, ignore_errors=True)
    try:
        debian.extract(package, scratch)
        tarballs = list(scratch.glob("usr/src/linux-source-*.tar.xz"))
        if len(tarballs) != 1:
            raise HarnessError(f"{package.name} has no usr/src/linux-source-*.tar.xz")
        yield tarballs[0]
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def unpack_tarball(tarball: Path, tree: Path, names: Sequence[str] = ()) -> None:
    """Unpacks a kernel's tarball, or only these names of it, without its first directory level."""
    commands.run(
        ["tar", "--extract", "--file", tarball, "--directory", tree, "--strip-components=1", *names],
        log="kernel",
        what=f"unpacking {tarball.name}",
    )


@dataclass(frozen=True)
class Recipe:
    """How a kernel is configured and compiled."""

    base: str
    """`allnoconfig`, `alldefconfig`, or the name of a defconfig."""
    fragments: tuple[str, ...]
    """Names below kernels/fragments, without `.config`; later ones win."""
    toolchain: kconfig.Toolchain
    dtb: str
    """The board's base DTB, relative to the kernel's DTB directory."""

    def paths(self) -> list[Path]:
        """The fragment files. HarnessError: one that does not exist, with the list of those that do."""
        known = {path.stem: path for path in sorted(FRAGMENTS.glob("*.config"))}
        missing = [name for name in self.fragments if name not in known]
        if missing:
            raise HarnessError(f"no kernel fragment {missing[0]!r}", hint=f"valid: {', '.join(known)}")
        return [known[name] for name in self.fragments]

    def key(self) -> str:
        """Changes when configuration or compiler change."""
        compiler = commands.output([f"{self.toolchain.cross_compile}gcc", "-dumpfullversion"]).strip()
        # Not the files: another comment makes no other kernel.
        settings = [sorted(kconfig.read_fragment(path).items()) for path in self.paths()]
        return digest(RECIPE, self.base, settings, self.toolchain.arch, compiler, self.dtb)


def key(source: Source, recipe: Recipe) -> str:
    """The cache key of a built kernel."""
    return digest("kernel-build", source.name, source.version, recipe.key())


def built(source: Source, recipe: Recipe) -> bool:
    """True if the cache has this kernel, or the source to build it from."""
    cache = Cache()
    place = _source_place(cache, source)
    return cache.has("kernel-build", key(source, recipe)) or (place / "complete").exists()


def _source_place(cache: Cache, source: Source) -> Path:
    return cache.root / "kernel-source" / f"{_source_key(source)}.work"


def _source_key(source: Source) -> str:
    return digest(source.name, source.version)


def newest(suite: str, package: str, arch: str) -> debian.Package:
    """The newest version of a source package (`linux-source-6.12`) in a suite. HarnessError: not there."""
    found = debian.Archive(suite, arch).find(package)
    if not found:
        raise HarnessError(
            f"{suite} has no package {package}",
            hint="change suite or package of this row in kernels.toml, or choose another kernel",
        )
    version = debian.newest(one.version for one in found)
    return next(one for one in found if one.version == version)


def source_tree(source: Source) -> Path:
    """The unpacked source, kept between builds.

    It is not checked file by file when it is used again: 80,000 files would take longer than most builds.
    A stamp written last says that it is complete.
    """
    cache = Cache()
    with cache.workspace("kernel-source", _source_key(source)) as place:
        stamp, tree = place / "complete", place / "linux"
        if stamp.exists():
            return tree
        shutil.rmtree(tree, ignore_errors=True)
        tree.mkdir()
        source.unpack(place, tree)
        stamp.touch()
    return tree


def configure(tree: Path, recipe: Recipe) -> kconfig.Configuration:
    """The tree's configuration with the fragments merged. HarnessError: every symbol not set, and why."""
    with progress.step("kernel configuration"):
        configuration = kconfig.Configuration(tree, recipe.toolchain)
        configuration.load(recipe.base)
        unmet = configuration.merge(recipe.paths())
    if unmet:
        listed = "\n".join(f"  {one}" for one in unmet)
        raise HarnessError(
            f"{len(unmet)} symbols of the fragments do not get their value:\n{listed}",
            hint="correct the fragment, or look with ./inv kconfig --explain SYMBOL",
        )
    return configuration


def build(source: Source, recipe: Recipe, title: str) -> Path:
    """Builds a kernel, or finds it in the cache; a minimal one takes some four minutes on two cores.

    Below the returned directory: `boot/Image`, `lib/modules/<release>`, `dtbs/`, `build/` (for `make -C`) and
    `release`. HarnessError: no source, a symbol that cannot be set, or a compiler's error with the log.
    """
    hostdeps.require("kernelbuild")

    def make(directory: Path) -> None:
        tree = source_tree(source)
        configuration = configure(tree, recipe)
        cache = Cache()
        with cache.workspace("kernel-work", digest(key(source, recipe), recipe.fragments)) as objects:
            # Written only when it differs: an unchanged file spares kbuild a full rebuild.
            candidate = objects / ".config.new"
            configuration.write(candidate)
            target = objects / ".config"
            if not target.exists() or target.read_bytes() != candidate.read_bytes():
                candidate.replace(target)
            _compile(tree, objects, recipe, title)
            _collect(tree, objects, directory, recipe)
            # What is kept is in the entry; half a gigabyte of objects is not.
            for path in objects.iterdir():
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()

    return Cache().entry("kernel-build", key(source, recipe), make, title)


def _make(tree: Path, objects: Path, recipe: Recipe) -> list[str | Path]:
    tools = recipe.toolchain
    return ["make", "-C", tree, f"O={objects}", f"ARCH={tools.arch}", f"CROSS_COMPILE={tools.cross_compile}",
            "KBUILD_BUILD_USER=harness", "KBUILD_BUILD_HOST=harness"]  # fmt: skip


def _compile(tree: Path, objects: Path, recipe: Recipe, title: str) -> None:
    make = _make(tree, objects, recipe)
    commands.run([*make, "olddefconfig"], log="kernel", what="checking the configuration")
    # The board's DTB alone: all of an architecture's take minutes.
    goals = ["Image", "modules", recipe.dtb]
    with progress.step(f"compile {title}", always=True) as step:
        commands.run(
            [*make, f"-j{os.cpu_count() or 1}", *goals],
            log="kernel",
            on_line=lambda line: step.update(detail=line.strip()),
            what=f"compiling {title}",
            hint="the log has the compiler's words",
        )


def _collect(tree: Path, objects: Path, directory: Path, recipe: Recipe) -> None:
    """Copies what is needed to boot the kernel and to build modules for it."""
    arch = recipe.toolchain.arch
    make = _make(tree, objects, recipe)
    commands.run(
        [*make, f"INSTALL_MOD_PATH={directory}", "INSTALL_MOD_STRIP=1", "modules_install"],
        log="kernel",
        what="installing the kernel's modules",
    )
    release = (objects / "include/config/kernel.release").read_text().strip()
    for name in ("build", "source"):
        (directory / "lib/modules" / release / name).unlink(missing_ok=True)
    (directory / "boot").mkdir()
    shutil.copy2(objects / "arch" / arch / "boot/Image", directory / "boot/Image")
    dtb = directory / "dtbs" / recipe.dtb
    dtb.parent.mkdir(parents=True)
    shutil.copy2(objects / "arch" / arch / "boot/dts" / recipe.dtb, dtb)
    (directory / "release").write_text(release + "\n")
    _collect_build(tree, objects, directory / "build", arch)


def _collect_build(tree: Path, objects: Path, build_dir: Path, arch: str) -> None:
    """One directory for external modules: the source's headers and build files, the build's results."""
    headers = ("include", f"arch/{arch}/include", "scripts", "tools/include", "tools/bpf/resolve_btfids")
    for name in headers:
        for root in (tree, objects):
            if (root / name).is_dir():
                shutil.copytree(
                    root / name, build_dir / name, symlinks=True, dirs_exist_ok=True, ignore=_ignore_objects
                )
    makefiles = [tree / "Makefile", *tree.glob(f"arch/{arch}/Makefile*"), *tree.glob(f"arch/{arch}/Kbuild*")]
    makefiles += [*tree.glob(f"arch/{arch}/kernel/module.lds*"), *tree.glob(f"arch/{arch}/tools/*")]
    for path in makefiles:
        if path.is_file():
            copy = build_dir / path.relative_to(tree)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, copy)
    for name in (".config", "Module.symvers"):
        shutil.copy2(objects / name, build_dir / name)


def _ignore_objects(directory: str, names: Iterable[str]) -> set[str]:
    """Objects and dependency files; the scripts' own programs have no suffix and stay."""
    dropped = (name for name in names if name.endswith((".o", ".cmd", ".a")))
    return {name for name in dropped if not name.startswith("module-common")}
