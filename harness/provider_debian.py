# SPDX-License-Identifier: MIT
"""Kernels as Debian ships them: image and headers of a suite, and drivers that the image lacks."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from harness import commands, debian, hostdeps, kernelbuild, modpost, pins, progress, toolchain
from harness.cache import Cache, digest
from harness.errors import HarnessError
from harness.kerneltable import Kernel, Row, UnavailableError

# Part of the cache key: change it when _unpack does something else.
LAYOUT = 1
EXTRA_LAYOUT = 1
# Debian's only kernel for all ARMv7 boards.
ARMHF_FLAVOUR = "armmp"


def resolve(name: str, chosen: Row) -> Kernel:
    """The kernel of a row. UnavailableError: the suite has none, or cannot be reached."""
    cache = Cache()

    own_modpost = modpost.needed(chosen.arch)

    def key(record: dict[str, Any]) -> str:
        added = [modpost.RECIPE] if own_modpost else []
        return digest("debian-kernel", LAYOUT, record["packages"], *added)

    # Two rows may follow the same packages, and a row may be changed to follow others.
    place = f"{chosen.suite}-{chosen.series}-{chosen.arch}{chosen.flavour and '-' + chosen.flavour}"
    record = pins.pinned(
        f"kernel-{place}", partial(_ask, name, chosen), lambda value: cache.has("kernel", key(value))
    )
    release: str = record["release"]
    packages = [debian.Package(**package) for package in record["packages"]]

    def tools() -> toolchain.Toolchain:
        return toolchain.choose(chosen.arch, chosen.suite, record["gcc"], record["libc"])

    def fetch(directory: Path) -> None:
        hostdeps.require("rootfs")
        archive = debian.Archive(chosen.suite, chosen.arch)
        archive.download(packages, lambda files: _unpack(files, release, directory))
        if own_modpost:
            package = _source_package(chosen, record["version"])
            source = kernelbuild.DebianSource(package, chosen.suite, chosen.arch)
            modpost.replace(directory / f"usr/src/linux-headers-{release}", source, tools())

    title = f"kernel {release}"
    tree = cache.entry("kernel", key(record), fetch, title, fetches=True)
    headers = tree / f"usr/src/linux-headers-{release}"
    # Since 7.0 everything is below usr/lib/modules; some suites have only the modules there.
    split = tree / f"usr/lib/modules/{release}"
    everything = (split / "vmlinuz").exists()
    found = Kernel(
        name=name,
        release=release,
        version=record["version"],
        arch=chosen.arch,
        image=split / "vmlinuz" if everything else tree / f"boot/vmlinuz-{release}",
        modules=split if split.exists() else tree / f"lib/modules/{release}",
        dtbs=split / "dtb" if everything else tree / f"usr/lib/linux-image-{release}",
        build=headers,
        config=headers / ".config",
        symvers=headers / "Module.symvers",
        board=chosen.board,
        toolchain=tools(),
    )
    return _with_extra(found, chosen) if chosen.extra else found


def _ask(name: str, chosen: Row) -> dict[str, Any]:
    """The newest image of the series that has headers too, as a record of pins."""
    archive = debian.Archive(chosen.suite, chosen.arch)
    try:
        archive.update()
    except HarnessError as error:
        raise UnavailableError(error.message, error.hint, error.log) from error
    record = _newest(archive, chosen, re.escape(chosen.series))
    if record is None:
        record = _newest(archive, chosen, r"\d+\.\d+")
        if record is None:
            raise UnavailableError(
                f"kernel {name}: {chosen.suite} has no kernel {chosen.series} for {chosen.arch} with its "
                "headers, nor any other",
                hint="change suite or series of this row in kernels.toml, or choose another kernel",
            )
        progress.warn(
            f"kernel {name}: {chosen.suite} has dropped {chosen.series}, "
            f"using its newest, {record['release']}"
        )
    return record


def _kind(chosen: Row) -> str:
    """The end of an image's name: architecture, and flavour before it; armhf's is the flavour alone."""
    if chosen.arch == "armhf":
        return chosen.flavour or ARMHF_FLAVOUR
    return f"{chosen.flavour}-{chosen.arch}" if chosen.flavour else chosen.arch


def _newest(archive: debian.Archive, chosen: Row, series: str) -> dict[str, Any] | None:
    pattern = rf"linux-image-({series}(?:[.+~-][0-9][^-]*)*(?:-[0-9]+)?)-{_kind(chosen)}"
    images: dict[str, debian.Package] = {}
    for image in archive.names(pattern):
        if found := archive.find(image):
            newest = debian.newest(one.version for one in found)
            images[newest] = next(one for one in found if one.version == newest)
    while images:
        image_package = images.pop(debian.newest(images))
        parts = _same_version(archive, image_package, r"linux-(?:binary|modules|base)-[^\s,]+", chosen.arch)
        headers = _headers(archive, image_package)
        if parts is not None and headers:
            packages = (image_package, *parts, *headers)
            depends = " ".join(one.depends for one in headers)
            compilers = [int(number) for number in re.findall(r"\bgcc-(\d+)\b", depends)]
            libraries = re.findall(r"\blibc6 \(>= ([\d.]+)\)", depends)
            return {
                "release": image_package.name.removeprefix("linux-image-"),
                "version": image_package.version,
                "packages": [
                    {"name": one.name, "version": one.version, "arch": one.arch} for one in packages
                ],
                "gcc": max(compilers, default=0),
                "libc": libraries[-1] if libraries else "",
            }
    return None


def _same_version(
    archive: debian.Archive, package: debian.Package, pattern: str, arch: str
) -> list[debian.Package] | None:
    """The packages of the same source that a package depends on by name; None if one is missing."""
    found = []
    for name in dict.fromkeys(re.findall(pattern, package.depends)):
        if name.endswith("-base-any"):
            continue
        same = [one for one in archive.find(name, arch) if one.version == package.version]
        if not same:
            return None
        found.append(same[0])
    return found


def _headers(archive: debian.Archive, image: debian.Package) -> list[debian.Package]:
    """The header packages that belong to an image, in the same version; empty if one is missing."""
    release = image.name.removeprefix("linux-image-")
    headers = [one for one in archive.find(f"linux-headers-{release}") if one.version == image.version]
    if not headers:
        return []
    common = _same_version(archive, headers[0], r"linux-headers-\S+-common(?:-\w+)?", image.arch)
    # linux-kbuild holds programs: they have to run here.
    programs = _same_version(archive, headers[0], r"linux-kbuild-[^\s,]+", debian.host_arch())
    return [headers[0], *common, *programs] if common and programs else []


def _unpack(files: Iterable[Path], release: str, directory: Path) -> None:
    """Unpack image and headers, make the headers independent of where they are, index the modules."""
    for path in files:
        debian.extract(path, directory)
    split = directory / "usr/lib/modules" / release
    if split.exists() and not (directory / "lib").exists():
        (directory / "lib").symlink_to("usr/lib")
    for name in ("build", "source"):
        (directory / "lib/modules" / release / name).unlink(missing_ok=True)
    for makefile in directory.glob("usr/src/linux-headers-*/Makefile"):
        makefile.write_text(_relocatable(makefile.read_text(encoding="utf-8")), encoding="utf-8")
    for link in directory.rglob("*"):
        if link.is_symlink() and link.readlink().is_absolute():
            inside = directory / link.readlink().relative_to("/")
            link.unlink()
            link.symlink_to(os.path.relpath(inside, link.parent))
    commands.run(
        ["depmod", "--basedir", directory, release], log="kernel", what="indexing the kernel's modules"
    )


def _relocatable(makefile: str) -> str:
    """A header package's Makefile without the directory that the package would be installed to."""
    here = "$(dir $(lastword $(MAKEFILE_LIST)))"
    text = re.sub(r"^include /usr/src/", f"include {here}../", makefile, flags=re.MULTILINE)
    # Expanded at once: what is included next would be the last word later.
    own = f"KBUILD_OUTPUT := $(abspath {here})"
    return re.sub(r"^KBUILD_OUTPUT\s*:?=\s*/usr/src/\S+$", own, text, flags=re.MULTILINE)


# Drivers that the image lacks.


def _with_extra(kernel: Kernel, chosen: Row) -> Kernel:
    """The kernel with drivers added that Debian does not build, compiled from Debian's source of it."""
    modules = _programs(chosen.extra)
    made_with = kernel.toolchain.key()
    key = digest("extra-modules", EXTRA_LAYOUT, kernel.release, kernel.version, chosen.extra, made_with)

    def make(directory: Path) -> None:
        hostdeps.require("module")
        package = _source_package(chosen, kernel.version)
        source = kernelbuild.DebianSource(package, chosen.suite, chosen.arch)
        _compile_extra(kernel, source.files(list(chosen.extra)), directory)

    title = f"{', '.join(modules)} for kernel {kernel.release}"
    tree = Cache().entry("kernel-extra", key, make, title, fetches=True)
    return replace(kernel, modules=tree / "lib/modules" / kernel.release, config=tree / "config")


def _programs(names: Iterable[str]) -> list[str]:
    """The drivers among the sources; headers that they include are copied beside them."""
    return [Path(name).stem for name in names if name.endswith(".c")]


def _source_package(chosen: Row, version: str) -> debian.Package:
    """The source package that an image was built from."""
    package = f"linux-source-{chosen.series}"
    found = debian.Archive(chosen.suite, chosen.arch).find(package)
    same = [one for one in found if one.version == version]
    if not same:
        raise UnavailableError(f"{chosen.suite} has no {package} {version}, which its image was built from")
    return same[0]


def _compile_extra(kernel: Kernel, sources: dict[str, bytes], directory: Path) -> None:
    with Cache().workspace("module", digest("extra", str(kernel.build))) as work:
        for old in work.iterdir():
            shutil.rmtree(old) if old.is_dir() else old.unlink()
        names = _programs(sources)
        for name, content in sources.items():
            (work / Path(name).name).write_bytes(content)
        (work / "Makefile").write_text("".join(f"obj-m += {name}.o\n" for name in names))
        commands.run(
            kernel.toolchain.make(kernel.build, work, "modules"),
            log="kernel",
            what=f"building {', '.join(names)} for {kernel.release}",
        )
        modules = directory / "lib/modules" / kernel.release
        shutil.copytree(kernel.modules, modules, symlinks=True)
        (modules / "extra").mkdir()
        for name in names:
            shutil.copyfile(work / f"{name}.ko", modules / "extra" / f"{name}.ko")
    symbols = [name.upper().replace("-", "_") for name in names]
    text = kernel.config.read_text(encoding="utf-8")
    (directory / "config").write_text(text + "".join(f"CONFIG_{symbol}=m\n" for symbol in symbols))
    commands.run(
        ["depmod", "--basedir", directory, kernel.release], log="kernel", what="indexing the kernel's modules"
    )
