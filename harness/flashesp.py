# SPDX-License-Identifier: MIT
"""Writes a released ESP-Hosted firmware into an ESP32 with esptool: which file goes where, and does it fit.

The user downloads the firmware; where its parts belong is read from them: from the build's own
flasher_args.json if it is there, else from the partition table. Formats: Espressif's documentation of
application images and partition tables.
"""

from __future__ import annotations

import json
import os
import shlex
import stat
import struct
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import extras, progress
from harness.errors import HarnessError, unknown_name

# Chip to the number in its images, and where its boot loader is.
CHIPS = {
    "esp32": (0, 0x1000),
    "esp32s2": (2, 0x1000),
    "esp32c3": (5, 0),
    "esp32s3": (9, 0),
    "esp32c2": (12, 0),
    "esp32c6": (13, 0),
    "esp32c61": (20, 0),
    "esp32c5": (23, 0x2000),
}
PARTITION_TABLE = 0x8000
BAUD = 460800
DOWNLOAD = "download a release of ESP-Hosted for your chip, the SPI variant, and unpack it"
_IMAGE_MAGIC = 0xE9
_DESCRIPTION_MAGIC = 0xABCD5432
_PARTITION_MAGIC = 0x50AA
_APPLICATION, _DATA = 0, 1
_OTA_DATA = 0


@dataclass(frozen=True)
class Part:
    """One file and where it goes."""

    offset: int
    path: Path


@dataclass(frozen=True)
class Firmware:
    """A firmware that can be written."""

    chip: str
    parts: tuple[Part, ...]
    project: str
    version: str


@dataclass(frozen=True)
class Partition:
    """A line of a partition table."""

    kind: int
    subtype: int
    offset: int
    size: int
    label: str


def run(images: Path, port: str, chip: str = "", baud: int = BAUD, dry_run: bool = False) -> None:
    """Check everything, say what will be written, and have esptool write and verify it.

    HarnessError: files missing or for another chip, no such port or no right to it, esptool fails. With
    `dry_run` only show the command; the port need not be there.
    """
    firmware = find(images, chip)
    command = arguments(firmware, port, baud)
    print(f"{firmware.chip}: {firmware.project} {firmware.version}")
    for part in firmware.parts:
        size = part.path.stat().st_size
        print(f"  {part.offset:#08x}  {size:8} bytes  {part.path.name}")
    if dry_run:
        print(shlex.join(command))
        return
    check_port(port)
    require_esptool()
    # Not through the command runner: esptool shows its own progress.
    finished = subprocess.run(command, check=False)
    if finished.returncode:
        raise HarnessError(
            f"esptool ended with exit status {finished.returncode}; its words are above",
            hint="hold BOOT while pressing EN and try again; a lower --baud helps with long cables",
        )
    progress.say("written and verified; the chip starts it now")


def find(images: Path, chip: str = "") -> Firmware:
    """The firmware in a directory. HarnessError says what is missing or does not fit."""
    if not images.is_dir():
        raise HarnessError(f"{images} is no directory", hint=DOWNLOAD)
    if chip and chip not in CHIPS:
        raise unknown_name("chip", chip, CHIPS)
    description = images / "flasher_args.json"
    parts = _described(description) if description.exists() else _standard(images)
    application = max(parts, key=lambda part: part.path.stat().st_size)
    found = image_chip(application.path)
    for part in parts:
        other = image_chip(part.path, required=False)
        if other and other != found:
            raise HarnessError(
                f"{part.path.name} is for {other}, {application.path.name} for {found}", hint=DOWNLOAD
            )
    if chip and chip != found:
        raise HarnessError(f"{application.path.name} is for {found}, not for {chip}", hint=DOWNLOAD)
    project, version = application_name(application.path)
    return Firmware(found, tuple(sorted(parts, key=lambda part: part.offset)), project, version)


def arguments(firmware: Firmware, port: str, baud: int) -> list[str]:
    """The command that writes a firmware."""
    places = [word for part in firmware.parts for word in (f"{part.offset:#x}", str(part.path))]
    return [
        sys.executable, "-m", "esptool", "--chip", firmware.chip, "--port", port, "--baud", str(baud),
        "--before", "default-reset", "--after", "hard-reset", "write-flash", *places,
    ]  # fmt: skip


def check_port(port: str) -> None:
    """HarnessError: this is no serial port, or this user may not use it."""
    path = Path(port)
    there = sorted(str(one) for pattern in ("ttyUSB*", "ttyACM*") for one in Path("/dev").glob(pattern))
    if not path.exists():
        hint = f"ports here: {', '.join(there)}" if there else "no USB serial port is here: connect the chip"
        raise HarnessError(f"{port} does not exist", hint=hint)
    if not stat.S_ISCHR(path.stat().st_mode):
        raise HarnessError(f"{port} is not a serial port", hint="ports are named like /dev/ttyUSB0")
    if not os.access(path, os.R_OK | os.W_OK):
        raise HarnessError(
            f"no permission to use {port}", hint="sudo adduser $USER dialout, and log in again"
        )


def require_esptool() -> None:
    """Make sure that esptool can be run; installed into this environment when it is first needed."""
    extras.require("flash", "esptool")


# What the files say.


def image_chip(path: Path, required: bool = True) -> str:
    """The chip that an application image or boot loader is for; "" for other files unless `required`."""
    head = path.read_bytes()[:24]
    if len(head) < 24 or head[0] != _IMAGE_MAGIC:
        if required:
            raise HarnessError(f"{path} is no application image of an ESP32", hint=DOWNLOAD)
        return ""
    (number,) = struct.unpack_from("<H", head, 12)
    for chip, (known, _) in CHIPS.items():
        if known == number:
            return chip
    raise HarnessError(
        f"{path.name} is for a chip with number {number}", hint=f"these are known: {', '.join(CHIPS)}"
    )


def application_name(path: Path) -> tuple[str, str]:
    """Project and version, as the build wrote them; empty if it did not."""
    description = path.read_bytes()[32 : 32 + 256]
    if len(description) < 80 or struct.unpack_from("<I", description)[0] != _DESCRIPTION_MAGIC:
        return "", ""
    version, project = (
        description[at : at + 32].partition(b"\0")[0].decode("ascii", "replace") for at in (16, 48)
    )
    return project, version


def partitions(path: Path) -> list[Partition]:
    """A binary partition table. HarnessError: it is none."""
    content = path.read_bytes()
    found = []
    for at in range(0, len(content) - 31, 32):
        magic, kind, subtype, offset, size, label, _ = struct.unpack_from("<HBBII16sI", content, at)
        if magic != _PARTITION_MAGIC:
            break
        name = label.partition(b"\0")[0].decode("ascii", "replace")
        found.append(Partition(kind, subtype, offset, size, name))
    if not found:
        raise HarnessError(f"{path} is no partition table", hint=DOWNLOAD)
    return found


def _described(path: Path) -> list[Part]:
    """The parts that a build's flasher_args.json names."""
    try:
        described: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        places = {int(offset, 0): str(name) for offset, name in described["flash_files"].items()}
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise HarnessError(f"{path} does not say what to write: {error}", hint=DOWNLOAD) from None
    if not places:
        raise HarnessError(f"{path} names no files", hint=DOWNLOAD)
    parts = []
    for offset, name in places.items():
        # A release keeps all files in one directory, a build has some below it.
        for candidate in (path.parent / name, path.parent / Path(name).name):
            if candidate.is_file():
                parts.append(Part(offset, candidate))
                break
        else:
            raise HarnessError(f"{path.parent} has no {name}, which {path.name} names", hint=DOWNLOAD)
    return parts


def _standard(images: Path) -> list[Part]:
    """The parts by their usual names; application and OTA data go where the partition table says."""
    names = ("bootloader.bin", "partition-table.bin")
    for name in names:
        if not (images / name).is_file():
            raise HarnessError(f"{images} has no {name}", hint=DOWNLOAD)
    others = [path for path in sorted(images.glob("*.bin")) if path.name not in names]
    applications = [path for path in others if image_chip(path, required=False)]
    if len(applications) != 1:
        named = ", ".join(path.name for path in applications) or "none"
        raise HarnessError(
            f"{images} has not one application image (*.bin) but: {named}",
            hint="leave only the files of one chip and of one variant in the directory",
        )
    loader = images / "bootloader.bin"
    table = partitions(images / "partition-table.bin")
    slots = sorted(one.offset for one in table if one.kind == _APPLICATION)
    if not slots:
        raise HarnessError(f"{images / 'partition-table.bin'} has no place for an application", hint=DOWNLOAD)
    room = next(one.size for one in table if one.offset == slots[0])
    if applications[0].stat().st_size > room:
        raise HarnessError(
            f"{applications[0].name} is larger than its partition of {room} bytes", hint=DOWNLOAD
        )
    parts = [
        Part(CHIPS[image_chip(loader)][1], loader),
        Part(PARTITION_TABLE, images / "partition-table.bin"),
        Part(slots[0], applications[0]),
    ]
    ota = next((one.offset for one in table if one.kind == _DATA and one.subtype == _OTA_DATA), None)
    initial = images / "ota_data_initial.bin"
    if ota is not None and initial.is_file():
        parts.append(Part(ota, initial))
    return parts
