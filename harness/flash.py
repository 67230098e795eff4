# SPDX-License-Identifier: MIT
"""`./inv flash`: writes a disk image to a card, and reads back what was written.

Only what the image has data for is written; its holes are zeroed on the device, where possible without
sending zeros. With a block map beside it (`IMAGE.bmap`, as bmaptool makes it) what the map leaves out is
not touched at all, and the image is checked against the map's sums first.
"""

from __future__ import annotations

import errno
import fcntl
import gzip
import hashlib
import io
import lzma
import os
import struct
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from harness import blockdevice, blockmap, paths, progress
from harness.blockdevice import Device
from harness.blockmap import Range
from harness.errors import HarnessError

CHUNK = 4 << 20
BLKRRPART, BLKFLSBUF, BLKZEROOUT = 0x125F, 0x1261, 0x127F
PACKED: dict[str, Callable[[Path], io.BufferedIOBase]] = {".xz": lzma.LZMAFile, ".gz": gzip.GzipFile}


@dataclass(frozen=True)
class Written:
    """A piece that was written, to be found again."""

    offset: int
    length: int
    digest: bytes


def run(image: Path, device: Path, *, yes: bool = False, fixed: bool = False) -> None:
    """Write an image to a device after asking for its name. HarnessError: refused, or read back wrong."""
    if not image.is_file():
        raise HarnessError(f"there is no image {image}", hint="./inv image makes one for a board")
    if device.exists() and image.samefile(device):
        raise HarnessError(f"{image} would be written to itself")
    with _plain(image) as plain:
        size = plain.stat().st_size
        if not size:
            raise HarnessError(f"{image} is empty")
        found = blockdevice.find(device)
        blockdevice.refuse(found, size, fixed=fixed)
        data, sparse = _ranges(image, plain)
        if not yes:
            _ask(found, image)
        total = sum(one.length for one in data)
        progress.say(f"{image.name}: {blockdevice.human(size)}, of it {blockdevice.human(total)} with data")
        pieces = write(plain, found, data, zero_rest=not sparse)
        verify(found, pieces)
    progress.say(f"written and read back: {found.describe()}")


def _ask(device: Device, image: Path) -> None:
    """Have the user type the device's name. HarnessError: something else came, or nobody can be asked."""
    print(f"{device.describe()}\nAll that is on it will be lost to {image.name}.")
    if not sys.stdin.isatty():
        raise HarnessError("nobody can be asked: standard input is no terminal", hint="--yes does not ask")
    try:
        answer = input(f"Type {device.path.name} to write: ")
    except EOFError:
        answer = ""
    if answer.strip() not in (device.path.name, str(device.path)):
        raise HarnessError(f"that is not {device.path.name}: nothing was written")


@contextmanager
def _plain(image: Path) -> Iterator[Path]:
    """The image, unpacked into a sparse file if it is compressed. HarnessError: damaged."""
    opener = PACKED.get(image.suffix)
    if opener is None:
        yield image
        return
    with tempfile.TemporaryDirectory(dir=paths.cache_root(), prefix="flash-") as scratch:
        plain = Path(scratch) / image.stem
        with progress.step(f"unpack {image.name}") as step, plain.open("wb") as target:
            try:
                with opener(image) as source:
                    while block := source.read(CHUNK):
                        step.update(detail=blockdevice.human(target.tell()))
                        if block.count(0) == len(block):
                            target.seek(len(block), os.SEEK_CUR)
                        else:
                            target.write(block)
            except (EOFError, OSError, lzma.LZMAError) as error:
                if isinstance(error, OSError) and error.errno == errno.ENOSPC:
                    raise HarnessError(f"no room to unpack {image.name} in {paths.cache_root()}") from None
                raise HarnessError(f"{image} is damaged: {error}", hint="fetch it again") from None
            target.truncate(target.tell())
        yield plain


def _ranges(image: Path, plain: Path) -> tuple[list[Range], bool]:
    """What to write; True if the rest may stay as it is."""
    named = (image.with_name(image.name + ".bmap"), image.with_suffix(".bmap"))
    for path in named:
        if path.exists():
            found = blockmap.read(path)
            blockmap.check(found, plain, path)
            return list(found.ranges), True
    return blockmap.data_ranges(plain), False


def write(image: Path, device: Device, data: Sequence[Range], *, zero_rest: bool = True) -> list[Written]:
    """Write these ranges of an image, and zero the rest up to its size; what has to be read back.

    HarnessError: somebody uses the device after all, or it reports an error.
    """
    size = image.stat().st_size
    rest = blockmap.gaps(data, size) if zero_rest else []
    total = sum(one.length for one in data)
    pieces: list[Written] = []
    with _open(device, os.O_RDWR) as descriptor, image.open("rb") as source:
        try:
            with progress.step(f"write {device.path}", always=True) as step:
                step.result = blockdevice.human(total)
                for one in rest:
                    step.update(detail="zeroing what the image leaves empty")
                    pieces += _zero(descriptor, device, one)
                done = 0
                for one in data:
                    source.seek(one.offset)
                    for offset in range(one.offset, one.end, CHUNK):
                        block = source.read(min(CHUNK, one.end - offset))
                        _write_all(descriptor, block, offset)
                        pieces.append(Written(offset, len(block), hashlib.sha256(block).digest()))
                        done += len(block)
                        step.update(done, total, f"{blockdevice.human(done)} of {blockdevice.human(total)}")
                step.update(detail="waiting for the device")
                os.fsync(descriptor)
        except OSError as error:
            raise HarnessError(
                f"writing {device.path} failed: {os.strerror(error.errno or 0)}; it holds no usable image",
                hint="try another card or reader; the kernel's log may say more",
            ) from None
    return pieces


def verify(device: Device, pieces: Sequence[Written]) -> None:
    """Read back what was written, from the device itself. HarnessError: where it differs first."""
    total = sum(one.length for one in pieces)
    done = 0
    # Exclusive again: meanwhile nobody mounts it.
    with _open(device, os.O_RDWR) as descriptor:
        _forget(descriptor, device)
        with progress.step(f"read back {device.path}", always=True) as step:
            step.result = blockdevice.human(total)
            for one in sorted(pieces, key=lambda one: one.offset):
                try:
                    block = _read_all(descriptor, one.length, one.offset)
                except OSError as error:
                    raise HarnessError(
                        f"reading {device.path} back at byte {one.offset} failed: "
                        f"{os.strerror(error.errno or 0)}",
                        hint="the card or its reader is broken: use another one",
                    ) from None
                if hashlib.sha256(block).digest() != one.digest:
                    raise HarnessError(
                        f"{device.path} does not return what was written: bytes {one.offset} to "
                        f"{one.offset + one.length - 1} differ",
                        hint="the card is broken or smaller than it says: use another one",
                    )
                done += one.length
                step.update(done, total, f"{blockdevice.human(done)} of {blockdevice.human(total)}")
        with suppress(OSError):
            fcntl.ioctl(descriptor, BLKRRPART)


@contextmanager
def _open(device: Device, flags: int) -> Iterator[int]:
    """The device for us alone: the kernel refuses O_EXCL while anybody has it mounted, in any namespace."""
    exclusive = 0 if device.kind == "file" else os.O_EXCL
    try:
        descriptor = os.open(device.path, flags | exclusive | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.EBUSY:
            raise HarnessError(f"{device.path} is in use\n  {device.describe()}") from None
        hint = "run this with sudo" if error.errno in (errno.EACCES, errno.EPERM) else None
        raise HarnessError(
            f"{device.path} cannot be opened: {os.strerror(error.errno or 0)}", hint=hint
        ) from None
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _zero(descriptor: int, device: Device, one: Range) -> list[Written]:
    """Zero a range: by the kernel's own means on a device, only where there is data in a file."""
    if device.kind == "file":
        inside = blockmap.descriptor_ranges(descriptor, one.offset, min(one.end, device.size))
    else:
        try:
            fcntl.ioctl(descriptor, BLKZEROOUT, struct.pack("QQ", one.offset, one.length))
            inside = []
        except OSError:
            inside = [one]
    for part in inside:
        for offset in range(part.offset, part.end, CHUNK):
            _write_all(descriptor, bytes(min(CHUNK, part.end - offset)), offset)
    pieces = []
    for offset in range(one.offset, one.end, CHUNK):
        length = min(CHUNK, one.end - offset)
        pieces.append(Written(offset, length, hashlib.sha256(bytes(length)).digest()))
    return pieces


def _write_all(descriptor: int, block: bytes, offset: int) -> None:
    view = memoryview(block)
    while view:
        count = os.pwrite(descriptor, view, offset)
        view, offset = view[count:], offset + count


def _read_all(descriptor: int, length: int, offset: int) -> bytes:
    parts: list[bytes] = []
    while length:
        part = os.pread(descriptor, length, offset)
        if not part:
            break
        parts.append(part)
        length, offset = length - len(part), offset + len(part)
    return b"".join(parts)


def _forget(descriptor: int, device: Device) -> None:
    """Have the kernel drop what it remembers, so that reading asks the device."""
    os.fsync(descriptor)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    if device.kind != "file":
        with suppress(OSError):
            fcntl.ioctl(descriptor, BLKFLSBUF)
