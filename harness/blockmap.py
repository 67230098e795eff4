# SPDX-License-Identifier: MIT
"""Which parts of a disk image hold data: its holes, or a block map file of bmaptool."""

from __future__ import annotations

import errno
import hashlib
import itertools
import os
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from harness.errors import HarnessError


@dataclass(frozen=True)
class Range:
    """Bytes of an image."""

    offset: int
    length: int

    @property
    def end(self) -> int:
        """The first byte after it."""
        return self.offset + self.length


@dataclass(frozen=True)
class BlockMap:
    """A block map: bytes, not blocks."""

    size: int
    ranges: tuple[Range, ...]
    sums: tuple[str, ...]
    """Hexadecimal, one for each range; empty where the map has none."""
    algorithm: str


def data_ranges(image: Path) -> list[Range]:
    """The parts of a file that are no holes, in order."""
    descriptor = os.open(image, os.O_RDONLY)
    try:
        return descriptor_ranges(descriptor, 0, os.fstat(descriptor).st_size)
    finally:
        os.close(descriptor)


def descriptor_ranges(descriptor: int, begin: int, end: int) -> list[Range]:
    """The same between two offsets of an open file."""
    found = []
    while begin < end:
        try:
            start = os.lseek(descriptor, begin, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                break
            raise
        if start >= end:
            break
        begin = min(os.lseek(descriptor, start, os.SEEK_HOLE), end)
        found.append(Range(start, begin - start))
    return found


def gaps(ranges: Iterable[Range], size: int) -> list[Range]:
    """What sorted ranges leave out of `size` bytes."""
    found, position = [], 0
    for one in ranges:
        if one.offset > position:
            found.append(Range(position, one.offset - position))
        position = one.end
    if position < size:
        found.append(Range(position, size - position))
    return found


def read(path: Path) -> BlockMap:
    """A block map file, format 1.3 or 2.0. HarnessError: it is none."""
    try:
        root = ElementTree.parse(path).getroot()
        if root.tag != "bmap":
            raise ValueError(f"the root is <{root.tag}>")
        block = int(_text(root, "BlockSize"))
        size = int(_text(root, "ImageSize"))
        algorithm = (root.findtext("ChecksumType") or "sha1").strip()
        hashlib.new(algorithm)
        ranges, sums = [], []
        for one in root.iterfind("BlockMap/Range"):
            first, _, last = (one.text or "").strip().partition("-")
            begin, end = int(first) * block, (int(last or first) + 1) * block
            if begin >= size or end <= begin:
                raise ValueError(f"range {first}-{last} is outside of the image")
            ranges.append(Range(begin, min(end, size) - begin))
            sums.append(one.get("chksum") or one.get("sha1") or "")
    except (ElementTree.ParseError, ValueError) as error:
        raise HarnessError(f"{path} is no block map: {error}", hint="remove it to write all data") from None
    ordered = all(one.end <= two.offset for one, two in itertools.pairwise(ranges))
    if not ordered:
        raise HarnessError(f"{path} is no block map: its ranges overlap", hint="remove it to write all data")
    return BlockMap(size, tuple(ranges), tuple(sums) if all(sums) else (), algorithm)


def check(found: BlockMap, image: Path, path: Path) -> None:
    """HarnessError: the image is not the one that a map was made for."""
    if image.stat().st_size != found.size:
        raise HarnessError(
            f"{path} is for an image of {found.size} bytes, this one has {image.stat().st_size}",
            hint="fetch image and block map again, or remove the map to write all data",
        )
    with image.open("rb") as source:
        for one, wanted in zip(found.ranges, found.sums, strict=False):
            source.seek(one.offset)
            digest = hashlib.new(found.algorithm)
            for offset in range(one.offset, one.end, 1 << 20):
                digest.update(source.read(min(1 << 20, one.end - offset)))
            if digest.hexdigest() != wanted:
                raise HarnessError(
                    f"the image is damaged: bytes {one.offset} to {one.end - 1} do not fit {path.name}",
                    hint="fetch it again",
                )


def _text(root: ElementTree.Element, name: str) -> str:
    text = root.findtext(name)
    if text is None:
        raise ValueError(f"no <{name}>")
    return text.strip()
