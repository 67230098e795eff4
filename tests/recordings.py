# SPDX-License-Identifier: MIT
"""Readers of the co-processor's recordings: pcapng, VCD and JSON lines, as far as it writes them."""

from __future__ import annotations

import itertools
import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# Block types and options of the pcapng draft (draft-ietf-opsawg-pcapng).
SECTION, INTERFACE, PACKET = 0x0A0D0D0A, 1, 6
IF_NAME, IF_TSRESOL, EPB_FLAGS = 2, 9, 2
USER0 = 147


@dataclass(frozen=True)
class Packet:
    """One hosted frame."""

    time: int
    """Nanoseconds"""
    interface: str
    direction: str
    """`in`: to the host, `out`: from it; of the packet's flags."""
    data: bytes


def _block(kind: int, body: bytes) -> bytes:
    length = struct.pack("<I", len(body) + 12)
    return struct.pack("<I", kind) + length + body + length


def write_pcapng(path: Path, frames: list[tuple[str, bytes]]) -> None:
    """A file as the co-processor writes it: `(direction, frame)`, one a millisecond."""
    data = _block(SECTION, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1))
    for name in (b"esp0-to-host", b"esp0-from-host"):
        options = struct.pack("<HH", IF_NAME, len(name)) + name + bytes(-len(name) % 4)
        options += struct.pack("<HHBxxx", IF_TSRESOL, 1, 9) + bytes(4)
        data += _block(INTERFACE, struct.pack("<HHI", USER0, 0, 1600) + options)
    for number, (direction, frame) in enumerate(frames):
        out = direction == "out"
        head = struct.pack("<IIIII", out, 0, number * 1_000_000, len(frame), len(frame))
        options = struct.pack("<HHI", EPB_FLAGS, 4, 1 + out) + bytes(4)
        data += _block(PACKET, head + frame + bytes(-len(frame) % 4) + options)
    path.write_bytes(data)


def _options(data: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    position = 0
    while position < len(data):
        code, length = struct.unpack_from("<HH", data, position)
        if code == 0:
            assert position + 4 == len(data), "options behind the last one"
            break
        found[code] = data[position + 4 : position + 4 + length]
        position += 4 + (length + 3) // 4 * 4
    return found


def _blocks(data: bytes) -> Iterator[tuple[int, bytes]]:
    position = 0
    while position < len(data):
        kind, length = struct.unpack_from("<II", data, position)
        assert length % 4 == 0 and position + length <= len(data), f"a block is cut off at {position}"
        assert struct.unpack_from("<I", data, position + length - 4) == (length,)
        yield kind, data[position + 8 : position + length - 4]
        position += length


def pcapng(path: Path) -> list[Packet]:
    """All frames; an AssertionError says what is wrong with the file."""
    blocks = list(_blocks(path.read_bytes()))
    kind, body = blocks[0]
    assert kind == SECTION and struct.unpack_from("<IHH", body) == (0x1A2B3C4D, 1, 0)
    names: list[str] = []
    packets: list[Packet] = []
    for kind, body in blocks[1:]:
        if kind == INTERFACE:
            assert struct.unpack_from("<H", body) == (USER0,)
            options = _options(body[8:])
            assert options[IF_TSRESOL] == b"\x09"
            names.append(options[IF_NAME].decode())
        else:
            assert kind == PACKET
            interface, high, low, captured, length = struct.unpack_from("<IIIII", body)
            assert captured == length
            (flags,) = struct.unpack("<I", _options(body[20 + (length + 3) // 4 * 4 :])[EPB_FLAGS])
            data = body[20 : 20 + length]
            packets.append(Packet(high << 32 | low, names[interface], {1: "in", 2: "out"}[flags & 3], data))
    assert [packet.time for packet in packets] == sorted(packet.time for packet in packets)
    return packets


@dataclass
class Waves:
    """The changes of each signal, `(time in ns, value)`; the first is its value at the start."""

    start: int = 0
    end: int = 0
    changes: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    order: list[tuple[int, str, int]] = field(default_factory=list)
    """All changes after the start as they are in the file."""


def vcd(path: Path) -> Waves:
    """A value change dump (IEEE 1364, chapter 18)."""
    text = path.read_text("ascii")
    assert text.endswith("\n"), "the last line is cut off"
    words = iter(text.split())
    waves = Waves(start=-1)
    names: dict[str, str] = {}
    scope: list[str] = []
    dumping = False

    def section() -> list[str]:
        return list(iter(words.__next__, "$end"))

    def change(identifier: str, value: int) -> None:
        name = names[identifier]
        waves.changes.setdefault(name, []).append((waves.end, value))
        if not dumping:
            waves.order.append((waves.end, name, value))

    for word in words:
        if word == "$timescale":
            assert section() == ["1", "ns"]
        elif word == "$scope":
            scope.append(section()[1])
        elif word == "$upscope":
            section()
            scope.pop()
        elif word == "$var":
            _, _, identifier, name = section()
            assert identifier not in names
            names[identifier] = ".".join([*scope, name])
        elif word == "$dumpvars":
            dumping = True
        elif word == "$end":
            dumping = False
        elif word in ("$version", "$enddefinitions"):
            section()
        elif word.startswith("#"):
            assert int(word[1:]) > waves.end or waves.start < 0, "time does not go forwards"
            waves.end = int(word[1:])
            if waves.start < 0:
                waves.start = waves.end
        elif word[0] == "b":
            change(next(words), int(word[1:], 2))
        else:
            change(word[1:], int(word[0]))
    assert not scope and set(names.values()) == set(waves.changes)
    for name, found in waves.changes.items():
        for (early, before), (late, after) in itertools.pairwise(found):
            assert before != after and early < late, f"{name}: no change at {late}"
    return waves


def trace(path: Path) -> list[dict[str, Any]]:
    """The JSON objects, in order."""
    entries = [json.loads(line) for line in path.read_text("ascii").splitlines(keepends=True)]
    assert all(early["t"] <= late["t"] for early, late in itertools.pairwise(entries))
    return entries
