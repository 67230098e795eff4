# SPDX-License-Identifier: MIT
"""Debian packages of the driver: source for DKMS with the overlays, and modules built for one kernel."""

from __future__ import annotations

import datetime
import email.utils
import gzip
import hashlib
import re
import shutil
from pathlib import Path

from harness import commands, hostdeps, kernels, module
from harness.cache import Cache, digest, hash_tree
from harness.errors import HarnessError
from harness.kernels import Kernel
from harness.paths import REPO

NAME = "esp-hosted"
DKMS_CONF = REPO / "driver" / "dkms.conf"
DEBIAN = REPO / "packaging" / "debian"
# What goes into the source package besides debian/.
SOURCES = ("driver", "dts/overlays", "docs/bring-up.md", "docs/boards.md")
# Part of the cache key: change it when packages are put together in another way.
RECIPE = 2
MAINTAINER = "The esp-hosted-virt authors <linux-wireless@vger.kernel.org>"


def version() -> str:
    """The driver's version, from dkms.conf: the one place where it is written. HarnessError: not there."""
    match = re.search(r'^PACKAGE_VERSION="([^"]+)"', DKMS_CONF.read_text(encoding="utf-8"), re.MULTILINE)
    if not match:
        raise HarnessError(f"{DKMS_CONF} has no PACKAGE_VERSION")
    return match.group(1)


def build(output: Path, names: tuple[str, ...] = ()) -> list[Path]:
    """Build esp-hosted-dkms, and esp-hosted-modules for these kernels; copies of all files in `output`."""
    made = sorted(dkms().iterdir())
    made += [modules(kernels.resolve(name)) for name in names]
    output.mkdir(parents=True, exist_ok=True)
    return [Path(shutil.copy2(path, output)) for path in made]


def report(output: Path, names: tuple[str, ...] = ()) -> None:
    """`build`, and print what was made."""
    for path in build(output, names):
        print(path)


def dkms() -> Path:
    """A directory with the source package (.dsc, .tar.xz) and esp-hosted-dkms_*.deb."""
    hostdeps.require("package")
    parts = [hash_tree(REPO / name) if (REPO / name).is_dir() else _hash(REPO / name) for name in SOURCES]
    key = digest("package", RECIPE, hash_tree(DEBIAN), parts, str(_date()))

    def make(directory: Path) -> None:
        source = directory / "build" / f"{NAME}-{version()}"
        stage(source)
        commands.run(
            ["dpkg-buildpackage", "--build=source,all", "-us", "-uc", "--no-check-builddeps"],
            log="package",
            cwd=source,
            env={"SOURCE_DATE_EPOCH": str(int(_date().timestamp()))},
            what="building the Debian package",
            hint="the words of dpkg-buildpackage are above; packaging/debian is what it works on",
        )
        for pattern in ("*.deb", "*.dsc", "*.tar.xz"):
            for path in source.parent.glob(pattern):
                path.rename(directory / path.name)
        shutil.rmtree(source.parent)

    return Cache().entry("package", key, make, f"package {NAME}-dkms {version()}")


def dkms_package() -> Path:
    """The file esp-hosted-dkms_*.deb."""
    return next(dkms().glob(f"{NAME}-dkms_*.deb"))


def stage(target: Path) -> None:
    """The source tree of the Debian package, without what builds leave behind."""
    for name in SOURCES:
        path = REPO / name
        if path.is_dir():
            shutil.copytree(path, target / name, ignore=shutil.ignore_patterns(*module.IGNORED))
        else:
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target / name)
    shutil.copytree(DEBIAN, target / "debian")
    (target / "debian" / "changelog").write_text(changelog(NAME), encoding="utf-8")


def changelog(package: str) -> str:
    """debian/changelog: one entry, of the version and the time of the last commit."""
    date = email.utils.format_datetime(_date())
    return (
        f"{package} ({version()}) unstable; urgency=medium\n\n"
        f"  * See the repository for what changed.\n\n"
        f" -- {MAINTAINER}  {date}\n"
    )


def modules(kernel: Kernel) -> Path:
    """esp-hosted-modules-RELEASE_*.deb: the module built for exactly this kernel."""
    hostdeps.require("package")
    built = module.build(kernel)
    name = f"{NAME}-modules-{kernel.release}".lower().replace("_", "-")
    key = digest("module-package", RECIPE, _hash(built), kernel.release, version(), str(_date()))

    def make(directory: Path) -> None:
        root = directory / "root"
        place = root / "lib" / "modules" / kernel.release / "updates" / built.name
        place.parent.mkdir(parents=True)
        shutil.copyfile(built, place)
        strip = kernel.toolchain.command(
            [f"{kernel.toolchain.prefix}strip", "--strip-debug", place], writable=[place.parent]
        )
        commands.run(strip, log="package", what=f"stripping {built.name}")
        _document(root / "usr" / "share" / "doc" / name, name)
        _control(root, name, kernel)
        _own_modes(root)
        commands.run(
            ["dpkg-deb", "--root-owner-group", "-Zxz", "--build", root, directory],
            log="package",
            env={"SOURCE_DATE_EPOCH": str(int(_date().timestamp()))},
            what=f"building {name}",
        )
        shutil.rmtree(root)

    return next(Cache().entry("package", key, make, f"package {name}").glob("*.deb"))


def _document(directory: Path, package: str) -> None:
    directory.mkdir(parents=True)
    shutil.copyfile(DEBIAN / "copyright", directory / "copyright")
    packed = gzip.compress(changelog(package).encode(), mtime=0)
    (directory / "changelog.gz").write_bytes(packed)


def _control(root: Path, name: str, kernel: Kernel) -> None:
    control = root / "DEBIAN"
    control.mkdir()
    files = [path for path in sorted(root.rglob("*")) if path.is_file() and control not in path.parents]
    size = sum((path.stat().st_size + 1023) // 1024 for path in files)
    (control / "control").write_text(
        f"Package: {name}\n"
        f"Source: {NAME}\n"
        f"Version: {version()}\n"
        f"Architecture: {kernel.arch}\n"
        f"Maintainer: {MAINTAINER}\n"
        f"Installed-Size: {size}\n"
        f"Depends: linux-image-{kernel.release}, kmod\n"
        f"Recommends: iw, wireless-regdb, wpasupplicant\n"
        f"Provides: {NAME}-modules\n"
        f"Section: kernel\n"
        f"Priority: optional\n"
        f"Description: Wi-Fi over SPI with ESP32 co-processors, for {kernel.release}\n"
        f" The driver for ESP32-class chips that run Espressif's released ESP-Hosted\n"
        f" firmware, compiled for the kernel {kernel.release}\n"
        f" (package version {kernel.version}).\n",
        encoding="utf-8",
    )
    sums = [f"{hashlib.md5(path.read_bytes()).hexdigest()}  {path.relative_to(root)}\n" for path in files]
    (control / "md5sums").write_text("".join(sums), encoding="utf-8")
    for script, argument in (("postinst", "configure"), ("postrm", "remove")):
        (control / script).write_text(
            "#!/bin/sh\nset -e\n"
            f'if [ "$1" = {argument} ] && [ -d /lib/modules/{kernel.release}/kernel ]; then\n'
            f"    depmod {kernel.release}\n"
            "fi\n",
            encoding="utf-8",
        )


def _own_modes(root: Path) -> None:
    """Modes as Debian wants them, whatever this user's umask is."""
    for path in root.rglob("*"):
        script = path.parent.name == "DEBIAN" and path.name.startswith("post")
        path.chmod(0o755 if path.is_dir() or script else 0o644)


def _date() -> datetime.datetime:
    """When the last commit was made, so that the same commit makes the same packages."""
    text = commands.output(["git", "-C", REPO, "log", "-1", "--format=%ct"], check=False).strip()
    # An exported tree has no history.
    seconds = int(text) if text.isdigit() else int(DKMS_CONF.stat().st_mtime)
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC)


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
