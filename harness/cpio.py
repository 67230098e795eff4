# SPDX-License-Identifier: MIT
"""Archives that the kernel unpacks as its first root (cpio "newc"), the same bytes for the same files.

Everything belongs to root and has time 0, names are sorted, and inode numbers count from 1, so that no
root is needed to write one and two builds of the same files can be compared.
"""

from __future__ import annotations

import stat
from pathlib import Path
from typing import BinaryIO

_CONSOLE = ("dev/console", stat.S_IFCHR | 0o600, (5, 1))


def write(tree: Path, target: BinaryIO, console: bool = False) -> None:
    """Write a directory's content as one archive; `console` adds the device that init needs."""
    number = 0
    names = sorted(path.relative_to(tree).as_posix() for path in tree.rglob("*"))
    for name in names:
        path = tree / name
        info = path.lstat()
        if stat.S_ISLNK(info.st_mode):
            mode, content = stat.S_IFLNK | 0o777, str(path.readlink()).encode()
        elif stat.S_ISDIR(info.st_mode):
            mode, content = stat.S_IFDIR | 0o755, b""
        elif stat.S_ISREG(info.st_mode):
            mode, content = stat.S_IFREG | (0o755 if info.st_mode & 0o111 else 0o644), path.read_bytes()
        else:
            continue
        number += 1
        _member(target, number, name, mode, content)
    if console:
        name, mode, device = _CONSOLE
        _member(target, number + 1, name, mode, b"", device)
    _member(target, 0, "TRAILER!!!", 0, b"")
    # The kernel looks for the next of several archives at a multiple of four; 512 is what cpio itself does.
    _pad(target, 512)


def _member(
    target: BinaryIO, number: int, name: str, mode: int, content: bytes, device: tuple[int, int] = (0, 0)
) -> None:
    links = 2 if stat.S_ISDIR(mode) else 1
    encoded = name.encode() + b"\0"
    fields = (number, mode, 0, 0, links, 0, len(content), 0, 0, *device, len(encoded), 0)
    target.write(b"070701" + b"".join(b"%08X" % field for field in fields) + encoded)
    _pad(target, 4)
    target.write(content)
    _pad(target, 4)


def _pad(target: BinaryIO, multiple: int) -> None:
    target.write(b"\0" * (-target.tell() % multiple))
