# SPDX-License-Identifier: MIT
"""The guest's initramfs: packages of the distribution, a kernel's few modules, and ours.

Two archives one after the other: the base (packages, /init) is made once for a set of package versions,
the second part (modules) for a kernel and a build of the driver. Not compressed: the emulated processor
takes longer to unpack than the emulator to load.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness import commands, cpio, debian, elf, hostdeps, pins, progress
from harness.boards import Board
from harness.cache import Cache, digest, hash_file, hash_tree
from harness.errors import HarnessError
from harness.kernels import Kernel

FILES = Path(__file__).resolve().parent / "guest"
SUITE = "bookworm"
PACKAGES = (
    # Shell, DHCP client and all small tools. Not busybox-static: its shell prefers its own ip and ping to the
    # real ones.
    "busybox",
    "ethtool",
    "hostapd",
    "iperf3",
    "iproute2",
    "iputils-ping",
    "iw",
    "kmod",
    "tcpdump",
    "wireless-regdb",
    "wpasupplicant",
)
# Needed for installing, not for running; nothing here is configured.
EXCLUDED = frozenset(
    {
        "adduser",
        "debconf",
        "dpkg",
        "gcc-12-base",
        "init-system-helpers",
        "libfile-find-rule-perl",
        "libnumber-compare-perl",
        "libpam-modules",
        "libpam-modules-bin",
        "libperl5.36",
        "libsemanage-common",
        "libsemanage2",
        "libsepol2",
        "libtext-glob-perl",
        "passwd",
        "perl",
        "perl-base",
        "perl-modules-5.36",
        "tar",
        "usrmerge",
    }
)
# The same for what `packages` may ask for.
LAYER_EXCLUDED = EXCLUDED | {
    "dbus",
    "dbus-bin",
    "dbus-daemon",
    "dbus-session-bus-common",
    "dbus-system-bus-common",
    "lsb-base",
    "sysvinit-utils",
    "udev",
}
DROPPED = (
    "etc/default",
    "etc/init.d",
    "etc/rc*.d",
    "usr/lib/*/gconv",
    "usr/lib/*/perl-base",
    "usr/lib/locale",
    "usr/lib/systemd",
    "usr/lib/tmpfiles.d",
    "usr/share/*",
    "var/lib/dpkg",
)
# Directories that Debian has merged into /usr; packages may still ship files in the old place.
MERGED = ("bin", "sbin", "lib", "lib64")
# What tests use besides the board's own modules, where a kernel has it as a module.
MODULES = (
    "cfg80211",
    "bluetooth",
    "af_packet",
    "ccm",
    "ctr",
    "cmac",
    "gcm",
    "veth",
    "bridge",
    "tcp_diag",
    "8021q",
)
SMALL_FILES = {
    "etc/passwd": "root::0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n"
    # Debian's tcpdump becomes this user once it has its socket.
    "tcpdump:x:100:102::/nonexistent:/bin/false\n",
    "etc/group": "root:x:0:\nnetdev:x:101:\ntcpdump:x:102:\nnogroup:x:65534:\n",
    "etc/hosts": "127.0.0.1 localhost\n::1 localhost\n",
    "etc/hostname": "esp-hosted\n",
    "etc/resolv.conf": "",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\nprotocols: files\nservices: files\n",
    "etc/profile": "PS1='guest# '\nexport PS1\n",
    "etc/modprobe.d/esp-hosted.conf": "# Tests load it themselves.\nblacklist esp_hosted\n",
}
# Part of the cache keys: change it when the content is put together in another way.
RECIPE = 1


@dataclass(frozen=True)
class _Dependencies:
    """A kernel's modules.dep: module name to its file and the files it needs."""

    files: dict[str, tuple[str, ...]]
    builtin: frozenset[str]


def build(kernel: Kernel, board: Board, modules: Sequence[Path], packages: Sequence[str] = ()) -> Path:
    """The initramfs for a kernel on a board; `modules` are our own .ko files, `packages` more of the guest's.

    HarnessError: a module of the board is neither in the kernel nor built in, no network and not cached.
    """
    hostdeps.require("rootfs")
    parts = [base(kernel.arch), *([layer(kernel.arch, packages)] if packages else [])]
    needed = _board_modules(kernel, board)
    from_kernel = [kernel.release, kernel.version, str(kernel.modules)]
    ours = [hash_file(path) for path in modules]
    key = digest("rootfs", RECIPE, [str(part) for part in parts], from_kernel, needed, MODULES, ours)

    def make(directory: Path) -> None:
        with tempfile.TemporaryDirectory(dir=directory.parent) as scratch:
            tree = Path(scratch)
            _kernel_part(tree, kernel, board, modules)
            with (directory / "initramfs.cpio").open("wb") as target:
                for part in parts:
                    with part.open("rb") as source:
                        shutil.copyfileobj(source, target)
                cpio.write(tree, target)

    tree = Cache().entry("rootfs", key, make, f"guest for {kernel.release} on {board.name}")
    return tree / "initramfs.cpio"


def base(arch: str) -> Path:
    """The archive with everything that does not depend on the kernel."""
    cache = Cache()

    def key(packages: list[dict[str, str]]) -> str:
        return digest("guest", RECIPE, packages, sorted(EXCLUDED), DROPPED, SMALL_FILES, hash_tree(FILES))

    def ask() -> dict[str, list[dict[str, str]]]:
        archive = debian.Archive(SUITE, arch)
        archive.update()
        found = [one for one in archive.closure(PACKAGES) if one.name not in EXCLUDED]
        return {"packages": [{"name": one.name, "version": one.version, "arch": one.arch} for one in found]}

    name = f"guest-{SUITE}-{arch}-{digest(PACKAGES, sorted(EXCLUDED))[:8]}"
    record = pins.pinned(name, ask, lambda value: cache.has("guest", key(value["packages"])))
    packages = [debian.Package(**package) for package in record["packages"]]

    def make(directory: Path) -> None:
        with tempfile.TemporaryDirectory(dir=directory.parent) as scratch:
            tree = Path(scratch)
            debian.Archive(SUITE, arch).download(packages, lambda files: _unpack(files, tree))
            _finish(tree)
            with (directory / "base.cpio").open("wb") as target:
                cpio.write(tree, target, console=True)

    entry = cache.entry(
        "guest", key(record["packages"]), make, f"guest packages of {SUITE} {arch}", fetches=True
    )
    return entry / "base.cpio"


def layer(arch: str, names: Sequence[str]) -> Path:
    """An archive with more packages, and what they need, to be unpacked over `base`."""
    cache = Cache()

    def key(packages: list[dict[str, str]]) -> str:
        return digest("guest-layer", RECIPE, packages, sorted(LAYER_EXCLUDED), DROPPED)

    def ask() -> dict[str, list[dict[str, str]]]:
        archive = debian.Archive(SUITE, arch)
        archive.update()
        there = {one.name for one in archive.closure(PACKAGES)} | LAYER_EXCLUDED
        found = [one for one in archive.closure((*PACKAGES, *names)) if one.name not in there]
        return {"packages": [{"name": one.name, "version": one.version, "arch": one.arch} for one in found]}

    name = f"guest-{SUITE}-{arch}-{digest(PACKAGES, sorted(LAYER_EXCLUDED), sorted(names))[:8]}"
    record = pins.pinned(name, ask, lambda value: cache.has("guest-layer", key(value["packages"])))
    packages = [debian.Package(**package) for package in record["packages"]]

    def make(directory: Path) -> None:
        with tempfile.TemporaryDirectory(dir=directory.parent) as scratch:
            tree = Path(scratch)
            debian.Archive(SUITE, arch).download(packages, lambda files: _unpack(files, tree))
            merge_usr(tree)
            _drop(tree)
            # The base has these links already.
            for name in MERGED:
                (tree / name).unlink()
            with (directory / "layer.cpio").open("wb") as target:
                cpio.write(tree, target)

    what = f"more guest packages of {SUITE} {arch}: {', '.join(names)}"
    return cache.entry("guest-layer", key(record["packages"]), make, what, fetches=True) / "layer.cpio"


def _unpack(packages: Iterable[Path], tree: Path) -> None:
    with progress.step("unpack the guest's packages") as step:
        for package in packages:
            step.update(detail=package.name)
            debian.extract(package, tree)


def merge_usr(tree: Path) -> None:
    """Move what packages still ship outside of /usr into it, with links in its place."""
    for name in MERGED:
        old, new = tree / name, tree / "usr" / name
        new.mkdir(parents=True, exist_ok=True)
        if old.is_dir() and not old.is_symlink():
            shutil.copytree(old, new, symlinks=True, dirs_exist_ok=True)
            shutil.rmtree(old)
        if not old.is_symlink():
            old.symlink_to(f"usr/{name}")


def _drop(tree: Path) -> None:
    """Remove what nobody reads in a guest."""
    for pattern in DROPPED:
        for path in tree.glob(pattern):
            shutil.rmtree(path)


def _finish(tree: Path) -> None:
    """Merge /usr, drop what nobody reads in a guest, add our few files."""
    merge_usr(tree)
    _drop(tree)
    for name, text in SMALL_FILES.items():
        path = tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_text(text, encoding="utf-8")
    for name in ("dev", "proc", "sys", "run", "tmp", "root", "mnt"):
        (tree / name).mkdir(exist_ok=True)
    (tree / "usr/bin/sh").unlink(missing_ok=True)
    (tree / "usr/bin/sh").symlink_to("busybox")
    _install(FILES / "init", tree / "init")
    _install(FILES / "udhcpc.script", tree / "etc/udhcpc/default.script")
    # Without Debian's "alternatives" the regulatory database has no name yet.
    firmware = tree / "usr/lib/firmware"
    for name in ("regulatory.db", "regulatory.db.p7s"):
        packaged = firmware / f"{name}-debian"
        if packaged.exists() and not (firmware / name).exists():
            (firmware / name).symlink_to(packaged.name)


def _install(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    target.chmod(0o755)


def _kernel_part(tree: Path, kernel: Kernel, board: Board, ours: Sequence[Path]) -> None:
    known = _dependencies(kernel.modules)
    directory = tree / "usr/lib/modules" / kernel.release
    directory.mkdir(parents=True)
    needed = _board_modules(kernel, board)
    wanted = [*needed, *(name for name in MODULES if _name(name) in known.files)]
    for path in ours:
        extra = directory / "extra" / path.name
        extra.parent.mkdir(exist_ok=True)
        shutil.copyfile(path, extra)
        wanted += [name for name in elf.read(path).value("depends").split(",") if name]
    for file in _closure(wanted, known, kernel):
        plain = directory / file.removesuffix(".xz").removesuffix(".zst").removesuffix(".gz")
        plain.parent.mkdir(parents=True, exist_ok=True)
        plain.write_bytes(elf.plain(kernel.modules / file))
    for name in ("modules.builtin", "modules.builtin.modinfo", "modules.order"):
        if (kernel.modules / name).exists():
            shutil.copyfile(kernel.modules / name, directory / name)
    (tree / "lib").symlink_to("usr/lib")
    commands.run(
        ["depmod", "--basedir", tree, kernel.release], log="rootfs", what="indexing the guest's modules"
    )
    # The base has this link already.
    (tree / "lib").unlink()
    listed = tree / "etc/esp-hosted/modules"
    listed.parent.mkdir(parents=True)
    listed.write_text("".join(f"{name}\n" for name in needed), encoding="utf-8")


def _board_modules(kernel: Kernel, board: Board) -> tuple[str, ...]:
    """What the guest loads for the board, in this order."""
    return tuple(name for name in board.modules if name not in kernel.without)


def _name(text: str) -> str:
    """A module's name as the kernel compares it."""
    return text.replace("-", "_")


def _dependencies(modules: Path) -> _Dependencies:
    files = {}
    for line in (modules / "modules.dep").read_text(encoding="utf-8").splitlines():
        file, _, needs = line.partition(":")
        files[_name(Path(file).name.partition(".")[0])] = (file, *needs.split())
    builtin = (modules / "modules.builtin").read_text(encoding="utf-8").splitlines()
    return _Dependencies(files, frozenset(_name(Path(line).name.partition(".")[0]) for line in builtin))


def _closure(names: Iterable[str], known: _Dependencies, kernel: Kernel) -> list[str]:
    """The files of these modules and of all they need, each once."""
    found: dict[str, None] = {}
    for name in names:
        if _name(name) in known.files:
            found.update(dict.fromkeys(known.files[_name(name)]))
        elif _name(name) not in known.builtin:
            raise HarnessError(
                f"kernel {kernel.release} has no module {name}",
                hint="correct `modules` in the board's file, or name it in the row's `without`",
            )
    return sorted(found)
