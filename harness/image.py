# SPDX-License-Identifier: MIT
"""`./inv image`: a disk image with a distribution, its kernel, driver, overlay and first-boot settings.

No loop device and no mount: mmdebstrap makes the root file system, mke2fs packs it, sfdisk writes the
partition table. All times, numbers and orders are fixed: the same package versions give the same bytes.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import tarfile
import tempfile
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness import (
    blockdevice,
    boardkernel,
    boards,
    bootconfig,
    commands,
    debian,
    devicetree,
    hostdeps,
    kernels,
    paths,
    progress,
)
from harness.boards import Board
from harness.cache import Cache, digest, hash_file, hash_tree
from harness.errors import HarnessError
from harness.kernels import Kernel

FILES = Path(__file__).resolve().parent / "board" / "image"
PACKAGES = (
    "busybox", "e2fsprogs", "ethtool", "fdisk", "initramfs-tools", "iperf3", "iproute2", "iputils-ping",
    "iw", "kmod", "openssh-server", "sudo", "systemd-sysv", "tcpdump", "udev", "wireless-regdb",
    "wpasupplicant", "zstd",
)  # fmt: skip
USER = "debian"
# Nothing in an image is younger: 2025-10-09.
EPOCH = 1760000000
# The partition's begin; boot loaders of most SoCs live before it.
OFFSET = 16 << 20
# Room for packages and logs until the partition is grown at the first start.
SPARE = 256 << 20
MIB = 1 << 20
# Part of the cache keys: change it when something else is put together.
RECIPE = 1
# Part of an image's alone: change it when something else is put over the distribution's files.
OVER = 2


@dataclass(frozen=True)
class Settings:
    """What the first boot is to find."""

    hostname: str
    keys: tuple[str, ...]
    """Public keys that may log in as USER."""
    driver: bool = True
    """False leaves module and overlay out."""


def run(name: str, *, keys: Path | None = None, hostname: str = "", output: Path | None = None,
        driver: bool = True) -> Path:  # fmt: skip
    """Build a board's image and copy it to `output`, a file or directory; its path."""
    board = boards.load(name)
    settings = Settings(hostname or board.name, authorized(keys), driver)
    built = build(board, settings)
    target = output or Path.cwd()
    if target.is_dir() or not target.suffix:
        target.mkdir(parents=True, exist_ok=True)
        target /= f"{board.name}.img"
    commands.run(["cp", "--sparse=always", built, target], log="image", what=f"copying {built.name}")
    shutil.copyfile(built.with_name("packages.txt"), target.with_suffix(".packages.txt"))
    progress.say(f"{target}: {blockdevice.human(target.stat().st_size)}; write it with ./inv flash")
    return target


def authorized(path: Path | None) -> tuple[str, ...]:
    """The public keys of a file, or this user's. HarnessError: there are none: nobody could log in."""
    found = [path] if path else sorted((Path.home() / ".ssh").glob("id_*.pub"))
    lines: list[str] = []
    for one in found:
        try:
            lines += one.read_text(encoding="utf-8").splitlines()
        except OSError as error:
            raise HarnessError(f"{one}: {os.strerror(error.errno or 0)}") from None
    keys = tuple(line.strip() for line in lines if re.match(r"(ssh|ecdsa|sk)-\S+ \S+", line.strip()))
    if not keys:
        raise HarnessError(
            f"no public key in {path or '~/.ssh'}: nobody could log in",
            hint="ssh-keygen makes one; --keys names another file",
        )
    return keys


def build(board: Board, settings: Settings) -> Path:
    """The image in the cache; `packages.txt` beside it says what is in it.

    HarnessError: the board has no [image] section, the suite has not the kernel, or a program fails.
    """
    if board.image is None or board.boot is None:
        able = [name for name in boards.names() if boards.load(name).image]
        raise HarnessError(
            f"board {board.name} has no image of its own here",
            hint=f"use its distribution's image and ./inv deploy; images are made for: {', '.join(able)}",
        )
    hostdeps.require("archive", "module", "dtb", "image")
    kernel = kernels.resolve(board.image.kernel)
    kernels.check(kernel, board)
    root = rootfs(board, kernel)
    initrd = initramfs(board, kernel, root)
    module = boardkernel.cross(kernel) if settings.driver else b""
    overlay = devicetree.OVERLAYS / board.overlay
    key = digest(
        "image", RECIPE, OVER, str(root), str(initrd), board.name, str(board.image), str(board.boot),
        str(settings), module.hex(), hash_file(overlay), hash_tree(FILES),
    )  # fmt: skip

    def make(directory: Path) -> None:
        with tempfile.TemporaryDirectory(dir=paths.cache_root(), prefix="image-") as scratch:
            extra = Path(scratch) / "extra.tar"
            extra.write_bytes(_extra(board, kernel, settings, module, initrd, Path(scratch)))
            with progress.step(f"image for {board.name}", always=True):
                _pack([root / "rootfs.tar", extra], directory / f"{board.name}.img", key, Path(scratch))
        shutil.copyfile(root / "packages.txt", directory / "packages.txt")

    return Cache().entry("image", key, make, f"image for {board.name}") / f"{board.name}.img"


# The distribution.


def rootfs(board: Board, kernel: Kernel) -> Path:
    """A directory with rootfs.tar and packages.txt; made once for a kernel's version and some packages."""
    assert board.image is not None
    image = board.image
    _, row = kernels.row(image.kernel)
    if row.provider != "debian":
        raise HarnessError(
            f"kernel {kernel.name} is no package of a distribution", hint="take a row of Debian's"
        )
    names = sorted({*PACKAGES, *image.packages, f"linux-image-{kernel.release}={kernel.version}"})
    key = digest("image-rootfs", RECIPE, image.suite, row.suite, kernel.arch, names, image.components)

    def make(directory: Path) -> None:
        suites = dict.fromkeys((image.suite, row.suite))
        sources = [
            f"deb [signed-by={debian.KEYRING}] {debian.mirror()} {suite} {' '.join(image.components)}"
            for suite in suites
        ]
        # A small one while the kernel is installed; `initramfs` makes the one that is used.
        settings = "MODULES=list\\nCOMPRESS=zstd\\nFSTYPE=ext4\\nRESUME=none\\n"
        hook = (
            f'mkdir -p "$1/etc/initramfs-tools/conf.d" && printf "{settings}" '
            '>"$1/etc/initramfs-tools/conf.d/image.conf"'
        )
        with progress.step(f"root file system of {image.suite} {kernel.arch}", always=True) as step:
            commands.run(
                [
                    "mmdebstrap", "--variant=minbase", f"--architectures={kernel.arch}", "--format=tar",
                    '--aptopt=Apt::Install-Recommends "false"', f"--include={','.join(names)}",
                    f"--essential-hook={hook}",
                    "--customize-hook=dpkg-query --admindir=\"$1/var/lib/dpkg\" --show >"
                    f"'{directory}/packages.txt'",
                    image.suite, directory / "rootfs.tar", *sources,
                ],
                log="image",
                env={"SOURCE_DATE_EPOCH": str(EPOCH)},
                on_line=lambda line: step.update(detail=line.strip()),
                what=f"making a root file system of {image.suite} for {kernel.arch}",
                hint=_binfmt_hint(kernel.arch),
            )  # fmt: skip

    return Cache().entry(
        "image-rootfs", key, make, f"root file system of {image.suite} {kernel.arch}", fetches=True
    )


def initramfs(board: Board, kernel: Kernel, root: Path) -> Path:
    """The initramfs with what the kernel needs to find the card, made by the distribution's own program."""
    assert board.image is not None
    suite, modules = board.image.suite, _modules(board)
    key = digest("image-initramfs", RECIPE, str(root), kernel.release, modules)

    def make(directory: Path) -> None:
        listed = modules.replace("\n", "\\n")
        name = f"initrd.img-{kernel.release}"
        with progress.step(f"initramfs for {board.name}", always=True):
            commands.run(
                [
                    "mmdebstrap", "--variant=custom", f"--architectures={kernel.arch}", "--skip=update",
                    f"--setup-hook=mmtarfilter '--path-exclude=/dev/*' <'{root}/rootfs.tar' | "
                    'tar -C "$1" -x',
                    f'--customize-hook=printf "{listed}" >"$1/etc/initramfs-tools/modules"',
                    f'--customize-hook=chroot "$1" update-initramfs -u -k {kernel.release}',
                    f"--customize-hook=copy-out /boot/{name} '{directory}'",
                    suite, "/dev/null",
                ],
                log="image",
                env={"SOURCE_DATE_EPOCH": str(EPOCH)},
                what=f"making an initramfs for {board.name}",
                hint=_binfmt_hint(kernel.arch),
            )  # fmt: skip
        (directory / name).rename(directory / "initrd.img")

    return Cache().entry("image-initramfs", key, make, f"initramfs for {board.name}") / "initrd.img"


def _modules(board: Board) -> str:
    assert board.image is not None
    return "".join(f"{name}\n" for name in board.image.initramfs)


def _binfmt_hint(arch: str) -> str:
    if commands.output(["arch-test", arch], check=False):
        return "check the network and the mirror; the log has the words of mmdebstrap"
    return (
        f"this machine cannot run programs for {arch}: mount -t binfmt_misc none /proc/sys/fs/binfmt_misc, "
        "then systemctl restart systemd-binfmt"
    )


# What is ours.


def _extra(
    board: Board, kernel: Kernel, settings: Settings, module: bytes, initrd: Path, scratch: Path
) -> bytes:
    """An archive with all that is put over the distribution's files."""
    assert board.image is not None and board.boot is not None
    archive = _Archive()
    append = [f"root=UUID={_uuid(board)}", "rootfstype=ext4", "rw", f"console={board.console},115200",
              *board.image.append]  # fmt: skip
    entry = (
        f"default linux\ntimeout 20\n\nlabel linux\n\tmenu label Debian, kernel {kernel.release}\n"
        f"\tlinux /boot/vmlinuz-{kernel.release}\n\tinitrd /boot/initrd.img-{kernel.release}\n"
        f"\tfdt {_fdt(kernel, board)}\n\tappend {' '.join(append)}\n"
    )
    scheme = bootconfig.SCHEMES[board.boot.scheme]
    if not isinstance(scheme, bootconfig.Extlinux):
        raise HarnessError(f"images for boards that start by {board.boot.scheme} are not made here")
    config = scheme.configs[0]
    if settings.driver:
        overlay = f"{scheme.directory(config)}/{board.deploy.overlay_name}.dtbo"
        compiled = scratch / "overlay.dtbo"
        devicetree.compile_overlay(devicetree.OVERLAYS / board.overlay, compiled)
        archive.add(overlay, compiled.read_bytes())
        place = f"/lib/modules/{kernel.release}"
        archive.add(f"{place}/updates/esp_hosted.ko", module)
        for index in _indexed(kernel, module, scratch):
            archive.add(f"{place}/{index.name}", index.read_bytes())
        entry = scheme.add(entry, overlay)
    archive.add(config, entry)
    archive.add(f"/boot/initrd.img-{kernel.release}", initrd.read_bytes())
    archive.add("/etc/initramfs-tools/modules", _modules(board))
    archive.add("/etc/hostname", f"{settings.hostname}\n")
    archive.add("/etc/hosts", f"127.0.0.1 localhost\n127.0.1.1 {settings.hostname}\n::1 localhost\n")
    archive.add("/etc/fstab", f"UUID={_uuid(board)} / ext4 defaults,noatime 0 1\n")
    # Empty: systemd makes one at the first start.
    archive.add("/etc/machine-id", "")
    archive.add(f"/etc/sudoers.d/{USER}", f"{USER} ALL=(ALL) NOPASSWD: ALL\n", 0o440)
    for path in sorted(FILES.rglob("*")):
        if path.is_file():
            mode = 0o755 if path.suffix == ".sh" else 0o644
            archive.add(f"/{path.relative_to(FILES)}", path.read_bytes(), mode)
    archive.link("/etc/systemd/system/multi-user.target.wants/systemd-networkd.service",
                 "/usr/lib/systemd/system/systemd-networkd.service")  # fmt: skip
    archive.link("/etc/systemd/system/sysinit.target.wants/image-first-boot.service",
                 "/etc/systemd/system/image-first-boot.service")  # fmt: skip
    archive.add("/usr/lib/image/authorized_keys", "".join(f"{key}\n" for key in settings.keys))
    archive.add("/usr/lib/image/user", f"{USER}\n")
    return archive.bytes()


def _indexed(kernel: Kernel, module: bytes, scratch: Path) -> list[Path]:
    """The kernel's indexes of its modules with ours among them: without, nothing would load it."""
    tree = scratch / "indexed"
    place = tree / "lib/modules" / kernel.release
    (place / "updates").mkdir(parents=True)
    (place / "updates/esp_hosted.ko").write_bytes(module)
    for path in kernel.modules.iterdir():
        (place / path.name).symlink_to(path)
    # What is made anew must not be written through a link.
    for path in place.glob("modules.*"):
        if path.name not in ("modules.order", "modules.builtin", "modules.builtin.modinfo"):
            path.unlink()
    commands.run(
        ["depmod", "--basedir", tree, kernel.release], log="image", what="indexing the image's modules"
    )
    return sorted(path for path in place.glob("modules.*") if not path.is_symlink())


def _fdt(kernel: Kernel, board: Board) -> str:
    """The base DTB's path on the board: where the kernel's package puts it."""
    inside = kernel.dtbs.parts[kernel.dtbs.parts.index("usr") :]
    return "/" + "/".join([*inside, board.dtb])


def _uuid(board: Board) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{board.name}.esp-hosted"))


class _Archive:
    """A tar archive of small files, the same bytes for the same content."""

    def __init__(self) -> None:
        self._stream = io.BytesIO()
        self._tar = tarfile.open(fileobj=self._stream, mode="w", format=tarfile.GNU_FORMAT)  # noqa: SIM115
        self._there: set[str] = set()

    def _entry(self, path: str) -> tarfile.TarInfo:
        # Debian has merged these into /usr; a directory must not take a link's place.
        name = re.sub(r"^/(lib|bin|sbin)/", r"/usr/\1/", path)
        entry = tarfile.TarInfo("." + name)
        entry.mtime = EPOCH
        return entry

    def add(self, path: str, content: bytes | str, mode: int = 0o644) -> None:
        raw = content.encode() if isinstance(content, str) else content
        entry = self._entry(path)
        entry.size, entry.mode = len(raw), mode
        self._tar.addfile(entry, io.BytesIO(raw))

    def link(self, path: str, target: str) -> None:
        entry = self._entry(path)
        entry.type, entry.linkname, entry.mode = tarfile.SYMTYPE, target, 0o777
        self._tar.addfile(entry)

    def bytes(self) -> bytes:
        self._tar.close()
        return self._stream.getvalue()


# The disk.


def _pack(archives: Sequence[Path], image: Path, key: str, scratch: Path) -> None:
    """A disk with one partition that holds these archives, the later over the earlier."""
    tree, system = scratch / "tree", scratch / "root.ext4"
    tree.mkdir()
    board_uuid = re.search(r"UUID=(\S+) / ext4", archives[-1].read_bytes().decode("latin-1"))
    assert board_uuid
    label = int(key[:8], 16)
    script = scratch / "pack.sh"
    # One fakeroot for all: owners and device nodes exist only in it.
    script.write_text(
        "set -eu\n"
        + "".join(
            f"tar --extract --numeric-owner --no-overwrite-dir --file '{one}' --directory '{tree}'\n"
            for one in archives
        )
        # Keys of the host are made at the first start; logs of the installation mean nothing.
        + f"rm -f '{tree}'/etc/ssh/ssh_host_* && rm -rf '{tree}'/var/cache/ldconfig/aux-cache\n"
        + f"find '{tree}' -newermt @{EPOCH} -print0 | xargs -0r touch --no-dereference --date=@{EPOCH}\n"
        + f"size=$(du -s --block-size=1M '{tree}' | cut -f 1)\n"
        + f"truncate --size=$((size + size / 8 + {SPARE // MIB}))M '{system}'\n"
        + f"mke2fs -q -t ext4 -d '{tree}' -L root -U {board_uuid[1]} -m 1 "
        + f"-E hash_seed={board_uuid[1]},lazy_itable_init=0,lazy_journal_init=0,root_owner=0:0 '{system}'\n",
        encoding="utf-8",
    )
    wrapper = [] if os.geteuid() == 0 else ["fakeroot"]
    commands.run([*wrapper, "sh", script], log="image", env={"E2FSPROGS_FAKE_TIME": str(EPOCH)},
                 what=f"packing {image.name}", hint="the log has the words of tar and mke2fs")  # fmt: skip
    _fix_times(system, scratch)
    size = system.stat().st_size
    with image.open("wb") as stream:
        stream.truncate(OFFSET + size)
    table = (
        f"label: dos\nlabel-id: {label:#010x}\nstart={OFFSET // 512}, size={size // 512}, type=83, bootable\n"
    )
    layout = scratch / "layout"
    layout.write_text(table, encoding="ascii")
    sfdisk = f"sfdisk --quiet --no-reread --no-tell-kernel '{image}' <'{layout}'"
    commands.run(["sh", "-c", sfdisk], log="image",
                 what=f"partitioning {image.name}")  # fmt: skip
    commands.run(
        ["dd", f"if={system}", f"of={image}", "bs=1M", f"seek={OFFSET // MIB}", "conv=sparse,notrunc"],
        log="image",
        what=f"filling {image.name}",
    )


def _fix_times(system: Path, scratch: Path) -> None:
    """mke2fs takes times of access and change from the files it reads: they are those of this moment."""
    stats = commands.output(["dumpe2fs", "-h", system])
    counts = {
        name: int(value) for name, value in re.findall(r"^(Inode count|Free inodes): +(\d+)$", stats, re.M)
    }
    last = counts["Inode count"] - counts["Free inodes"]
    script = scratch / "times"
    fields = ("atime", "ctime", "crtime", "atime_extra", "ctime_extra", "crtime_extra", "mtime_extra")
    values = [f"@{EPOCH}"] * 3 + ["0"] * 4
    with script.open("w", encoding="ascii") as stream:
        for inode in (2, *range(11, last + 2)):
            stream.writelines(f"sif <{inode}> {f} {v}\n" for f, v in zip(fields, values, strict=True))
    commands.run(["debugfs", "-w", "-f", script, system], log="image",
                 env={"E2FSPROGS_FAKE_TIME": str(EPOCH)}, what="fixing times")  # fmt: skip
