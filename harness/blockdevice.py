# SPDX-License-Identifier: MIT
"""Block devices as places to write an image to: what they are, and why one must not be written to."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import commands
from harness.errors import HarnessError

# File systems without which this system does not run on.
SYSTEM = ("/", "/boot", "/boot/efi", "/boot/firmware", "/etc", "/home", "/opt", "/root", "/usr", "/var")
COLUMNS = "PATH,NAME,TYPE,SIZE,RM,HOTPLUG,RO,TRAN,VENDOR,MODEL,SERIAL,MOUNTPOINTS,PKNAME"
SWAP = "[SWAP]"
# What owns a disk below it, for lsblk's TYPE.
OWNERS = {"crypt": "encryption", "lvm": "a logical volume", "dm": "device-mapper", "mpath": "multipath"}


@dataclass(frozen=True)
class Device:
    """Something that an image can be written to, and who uses it."""

    path: Path
    kind: str
    """lsblk's TYPE: disk, part, loop, ...; "file" for a regular file."""
    size: int
    """Bytes."""
    model: str = ""
    transport: str = ""
    """usb, sata, nvme, mmc, ...; empty if unknown."""
    removable: bool = False
    readonly: bool = False
    mounts: tuple[str, ...] = ()
    """`/dev/sdb1 on /media/card` for each file system in use, of the device or of a part of it."""
    owners: tuple[str, ...] = ()
    """Other users: swap, RAID, device-mapper."""
    system: bool = False
    """True if this system runs from it."""
    parent: str = ""
    """The whole device, for a partition."""

    def describe(self) -> str:
        """One line for people: name, model, size, what is mounted."""
        words = [f"{self.path}: {self.model or 'no model name'}", human(self.size)]
        words += [self.transport] if self.transport else []
        kinds = {"file": "a file", "loop": "a loop device"}
        words.append(kinds.get(self.kind) or ("removable" if self.removable else self.kind))
        words.append("mounted: " + ", ".join(self.mounts) if self.mounts else "not mounted")
        words += [f"used by {', '.join(self.owners)}"] if self.owners else []
        return ", ".join(words)


def human(size: int) -> str:
    """A size as the label on a card says it."""
    value = float(size)
    for unit in ("bytes", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "bytes" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def find(path: Path) -> Device:
    """What a path is. HarnessError: nothing, or nothing to write an image to; the hint lists the disks."""
    try:
        info = path.stat()
    except OSError as error:
        raise HarnessError(f"{path}: {os.strerror(error.errno or 0)}", hint=_hint()) from None
    if stat.S_ISREG(info.st_mode):
        return Device(path, "file", info.st_size, model="image file", removable=True,
                      readonly=not os.access(path, os.W_OK), owners=_loops(path))  # fmt: skip
    if not stat.S_ISBLK(info.st_mode):
        raise HarnessError(f"{path} is neither a block device nor an image file", hint=_hint())
    real = path.resolve()
    listed = commands.output(
        ["lsblk", "--json", "--bytes", "--output", COLUMNS, real], what=f"asking about {path}"
    )
    return parse(listed, _sd_card(real.name))


def parse(listed: str, sd_card: bool = False) -> Device:
    """The first device of lsblk's JSON."""
    top = json.loads(listed)["blockdevices"][0]
    mounts: list[str] = []
    owners: list[str] = []
    points: list[str] = []
    for one in _tree(top):
        for point in one.get("mountpoints") or ():
            if point == SWAP:
                owners.append(f"swap ({one['path']})")
            elif point:
                mounts.append(f"{one['path']} on {point}")
                points.append(point)
        if one is not top and one["type"] not in ("part", "disk", "loop"):
            owners.append(f"{OWNERS.get(one['type'], one['type'])} ({one['path']})")
    words = [str(top[key]).strip() for key in ("vendor", "model") if top.get(key)]
    # virtio has numbers where others have a vendor's name.
    model = " ".join(word for word in words if not word.startswith("0x"))
    transport = top.get("tran") or ("mmc" if top["name"].startswith("mmcblk") else "")
    return Device(
        path=Path(top["path"]),
        kind=top["type"],
        size=int(top["size"]),
        model=model,
        transport=transport,
        # A loop device is a file: nothing is lost that a file would not lose.
        removable=bool(top["rm"] or top["hotplug"] or sd_card or transport == "usb" or top["type"] == "loop"),
        readonly=bool(top["ro"]),
        mounts=tuple(mounts),
        owners=tuple(dict.fromkeys(owners)),
        system=any(point in SYSTEM for point in points),
        parent=top.get("pkname") or "",
    )


def refuse(device: Device, needed: int, *, fixed: bool = False) -> None:
    """HarnessError if an image of `needed` bytes must not be written there.

    `fixed` allows devices that cannot be taken out. The error says what the device is.
    """
    about = device.describe()
    if device.kind not in ("disk", "loop", "file"):
        whole = f": the whole device is /dev/{device.parent}" if device.parent else ""
        raise HarnessError(f"{device.path} is a part of a device ({device.kind}){whole}\n  {about}")
    if device.system:
        raise HarnessError(f"{device.path} is the disk that this system runs from\n  {about}")
    if device.mounts:
        raise HarnessError(
            f"{device.path} is in use: {device.mounts[0]} is mounted\n  {about}",
            hint=f"umount {' '.join(mount.split(' on ')[0] for mount in device.mounts)}",
        )
    if device.owners:
        raise HarnessError(
            f"{device.path} is in use by {', '.join(device.owners)}\n  {about}",
            hint="stop its user first (swapoff, cryptsetup close, vgchange -an, mdadm --stop, losetup -d)",
        )
    if device.readonly:
        raise HarnessError(
            f"{device.path} is write-protected\n  {about}",
            hint="move the card's lock, or run this with the right to write",
        )
    if not device.removable and not fixed:
        raise HarnessError(
            f"{device.path} cannot be taken out of this machine: is it really the card?\n  {about}",
            hint="--not-removable writes to it all the same",
        )
    if device.size < needed:
        raise HarnessError(f"{device.path} is too small: the image has {human(needed)}\n  {about}")


def _tree(one: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield one
    for child in one.get("children", ()):
        yield from _tree(child)


def _sd_card(name: str) -> bool:
    """Whether an mmcblk device is a card that can be taken out: eMMC is of the type MMC."""
    kind = Path(f"/sys/class/block/{name}/device/type")
    return name.startswith("mmcblk") and kind.exists() and kind.read_text(encoding="ascii").strip() == "SD"


def _loops(path: Path) -> tuple[str, ...]:
    """Loop devices on a file: who writes to both of them damages what the kernel remembers of one."""
    found = commands.output(["losetup", "--noheadings", "--output", "NAME", "-j", path], check=False)
    return tuple(f"loop device {name}" for name in found.split())


def _hint() -> str:
    """The disks there are."""
    columns = ["--nodeps", "--noheadings", "--output", "PATH,SIZE,MODEL"]
    listed = commands.output(["lsblk", *columns], check=False)
    rows = [" ".join(line.split()) for line in listed.splitlines() if " 0B" not in line]
    return f"disks here: {'; '.join(rows) or '(none)'}"
