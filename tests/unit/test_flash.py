# SPDX-License-Identifier: MIT
"""Writing images: what is refused and how it is described, what is written, what reading back finds."""

from __future__ import annotations

import gzip
import hashlib
import json
import lzma
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness import blockdevice, blockmap, flash
from harness.blockmap import Range
from harness.errors import HarnessError

MIB = 1 << 20
needs_root = pytest.mark.skipif(
    os.geteuid() != 0 or not Path("/dev/loop-control").exists(),
    reason="needs root and loop devices: sudo ./inv test --unit",
)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """Data, a hole, data, and a hole at the end."""
    path = tmp_path / "card.img"
    with path.open("wb") as stream:
        stream.write(os.urandom(MIB))
        stream.seek(3 * MIB)
        stream.write(os.urandom(MIB + 4096))
        stream.truncate(8 * MIB)
    return path


@pytest.fixture
def card(tmp_path: Path) -> Path:
    """A card as large as the image, full of what was there before."""
    path = tmp_path / "card"
    path.write_bytes(b"\xa5" * (8 * MIB))
    return path


@pytest.fixture
def loop(card: Path) -> Iterator[Path]:
    """The card as a device."""
    if not os.access("/dev/loop-control", os.W_OK):
        pytest.skip("no loop devices here: run this as root, and not in an unprivileged container")
    made = subprocess.run(
        ["losetup", "--find", "--show", "--partscan", card], check=True, capture_output=True, text=True
    )
    device = Path(made.stdout.strip())
    yield device
    subprocess.run(["losetup", "--detach", device], check=True)


def lsblk(**changes: Any) -> str:
    """What lsblk says of a card in a USB reader."""
    one = {
        "path": "/dev/sdb", "name": "sdb", "type": "disk", "size": 31914983424, "rm": True, "hotplug": True,
        "ro": False, "tran": "usb", "vendor": "Generic ", "model": "STORAGE DEVICE", "serial": "1",
        "mountpoints": [None], "pkname": None,
    }  # fmt: skip
    return json.dumps({"blockdevices": [one | changes]})


def part(point: str | None = None, kind: str = "part", **changes: Any) -> dict[str, Any]:
    return {"path": "/dev/sdb1", "name": "sdb1", "type": kind, "mountpoints": [point], **changes}


# Refusals


def test_a_card_in_a_reader_is_accepted() -> None:
    found = blockdevice.parse(lsblk(children=[part()]))
    blockdevice.refuse(found, 4 << 30)
    assert found.describe() == "/dev/sdb: Generic STORAGE DEVICE, 31.9 GB, usb, removable, not mounted"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"children": [part("/media/card")]}, "in use: /dev/sdb1 on /media/card is mounted"),
        ({"mountpoints": ["/media/card"]}, "in use: /dev/sdb on /media/card is mounted"),
        ({"children": [part("/")]}, "the disk that this system runs from"),
        ({"children": [part("/boot/efi")]}, "the disk that this system runs from"),
        (
            {"children": [part(children=[part("/", "crypt", path="/dev/mapper/root")])]},
            "the disk that this system runs from",
        ),
        ({"children": [part("[SWAP]")]}, r"in use by swap \(/dev/sdb1\)"),
        (
            {"children": [part(children=[part(None, "crypt", path="/dev/mapper/data")])]},
            r"in use by encryption \(/dev/mapper/data\)",
        ),
        (
            {"children": [part(children=[part(None, "lvm", path="/dev/mapper/vg-a")])]},
            r"in use by a logical volume \(/dev/mapper/vg-a\)",
        ),
        (
            {"children": [part(children=[part(None, "raid1", path="/dev/md0")])]},
            r"in use by raid1 \(/dev/md0\)",
        ),
        ({"ro": True}, "is write-protected"),
        ({"rm": False, "hotplug": False, "tran": "nvme"}, "cannot be taken out of this machine"),
        ({"size": 2 << 30}, "is too small: the image has 4.3 GB"),
        (
            {"type": "part", "path": "/dev/sdb1", "pkname": "sdb"},
            "part of a device .*the whole device is /dev/sdb",
        ),
        ({"type": "rom"}, r"is a part of a device \(rom\)"),
    ],
)  # fmt: skip
def test_refused_with_a_description(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(HarnessError, match=says) as error:
        blockdevice.refuse(blockdevice.parse(lsblk(**changes)), 4 << 30)
    # Whatever is wrong: model, size, and what is mounted.
    size = "2.1 GB" if "size" in changes else "31.9 GB"
    assert f"Generic STORAGE DEVICE, {size}" in error.value.message
    assert ("mounted: /dev/" in error.value.message) != ("not mounted" in error.value.message)


def test_a_fixed_disk_only_when_told() -> None:
    disk = blockdevice.parse(lsblk(rm=False, hotplug=False, tran="nvme"))
    blockdevice.refuse(disk, 4 << 30, fixed=True)
    # It does not allow anything else.
    with pytest.raises(HarnessError, match="runs from"):
        system = blockdevice.parse(lsblk(rm=False, hotplug=False, tran="nvme", children=[part("/")]))
        blockdevice.refuse(system, 4 << 30, fixed=True)


def test_emmc_is_fixed_and_a_card_is_not() -> None:
    built_in = {"name": "mmcblk0", "path": "/dev/mmcblk0", "rm": False, "hotplug": False, "tran": None}
    assert blockdevice.parse(lsblk(**built_in), sd_card=True).removable
    assert not blockdevice.parse(lsblk(**built_in)).removable


def test_what_is_no_device_is_refused(image: Path, tmp_path: Path) -> None:
    for path, says in (
        (tmp_path / "sdz", "No such file"),
        (tmp_path, "neither a block device nor an image file"),
        (Path("/dev/null"), "neither a block device nor an image file"),
    ):
        with pytest.raises(HarnessError, match=says) as error:
            flash.run(image, path, yes=True)
        assert error.value.hint and "disks here:" in error.value.hint
    with pytest.raises(HarnessError, match="to itself"):
        flash.run(image, image, yes=True)
    with pytest.raises(HarnessError, match="there is no image"):
        flash.run(tmp_path / "none.img", image, yes=True)
    (tmp_path / "empty.img").touch()
    with pytest.raises(HarnessError, match="is empty"):
        flash.run(tmp_path / "empty.img", image, yes=True)


def test_a_small_file_is_refused(image: Path, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.write_bytes(b"before")
    with pytest.raises(HarnessError, match="too small"):
        flash.run(image, small, yes=True)
    assert small.read_bytes() == b"before"


@needs_root
def test_this_systems_disk_is_refused(image: Path) -> None:
    """The real one, through the real lsblk."""
    source = subprocess.run(
        ["findmnt", "--noheadings", "--output", "SOURCE", "/"], check=False, capture_output=True, text=True
    ).stdout.strip()
    disk = re.sub(r"(?<=\d)p\d+$|(?<=[a-z])\d+$", "", source)
    if not Path(disk).is_block_device():
        pytest.skip(f"this system runs from {source}, which is no disk: run this outside of a container")
    with pytest.raises(HarnessError, match=r"runs from|is mounted"):
        flash.run(image, Path(disk), yes=True, fixed=True)


@needs_root
def test_a_mounted_loop_device_is_refused(image: Path, card: Path, loop: Path, tmp_path: Path) -> None:
    subprocess.run(["mke2fs", "-q", "-t", "ext2", "-F", loop], check=True)
    point = tmp_path / "mnt"
    point.mkdir()
    subprocess.run(["mount", loop, point], check=True)
    try:
        with pytest.raises(HarnessError, match=f"in use: {loop} on {point} is mounted"):
            flash.run(image, loop, yes=True)
        # As if lsblk had not known, because another namespace has it: the kernel refuses.
        found = blockdevice.Device(loop, "loop", 8 * MIB, removable=True)
        with pytest.raises(HarnessError, match="is in use"):
            flash.write(image, found, blockmap.data_ranges(image))
        assert (point / "lost+found").is_dir()
    finally:
        subprocess.run(["umount", point], check=True)


@needs_root
def test_swap_is_refused(image: Path, loop: Path) -> None:
    subprocess.run(["mkswap", loop], check=True, capture_output=True)
    on = subprocess.run(["swapon", loop], capture_output=True, text=True, check=False)
    if on.returncode:
        pytest.skip(
            f"this kernel takes no swap on a loop device ({on.stderr.strip()}): run it on another one"
        )
    try:
        with pytest.raises(HarnessError, match=r"in use by swap \(/dev/loop"):
            flash.run(image, loop, yes=True)
    finally:
        subprocess.run(["swapoff", loop], check=True)


@needs_root
def test_a_file_behind_a_loop_device_is_refused(image: Path, card: Path, loop: Path) -> None:
    with pytest.raises(HarnessError, match=f"in use by loop device {loop}"):
        flash.run(image, card, yes=True)


@needs_root
def test_a_write_protected_device_is_refused(image: Path, card: Path) -> None:
    made = subprocess.run(
        ["losetup", "--find", "--show", "--read-only", card], check=True, capture_output=True, text=True
    )
    try:
        with pytest.raises(HarnessError, match="write-protected"):
            flash.run(image, Path(made.stdout.strip()), yes=True)
    finally:
        subprocess.run(["losetup", "--detach", made.stdout.strip()], check=True)


# Asking


@pytest.mark.parametrize("answer", ["", "yes", "sda"])
def test_another_name_writes_nothing(
    image: Path, card: Path, answer: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = card.read_bytes()
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda prompt: answer)
    with pytest.raises(HarnessError, match="that is not card: nothing was written"):
        flash.run(image, card)
    assert card.read_bytes() == before
    assert "All that is on it will be lost" in capsys.readouterr().out


def test_its_name_writes(image: Path, card: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda prompt: "card")
    flash.run(image, card)
    assert card.read_bytes() == image.read_bytes()


def test_without_a_terminal_yes_is_needed(image: Path, card: Path) -> None:
    with pytest.raises(HarnessError, match="nobody can be asked"):
        flash.run(image, card)
    assert set(card.read_bytes()) == {0xA5}


# Writing


def test_holes_are_zeroed_and_what_follows_stays(image: Path, card: Path) -> None:
    with card.open("ab") as stream:
        stream.write(b"behind")
    flash.run(image, card, yes=True)
    assert card.read_bytes() == image.read_bytes() + b"behind"


@needs_root
def test_a_device_holds_the_image(image: Path, loop: Path) -> None:
    flash.run(image, loop, yes=True)
    assert loop.read_bytes() == image.read_bytes()


@pytest.mark.parametrize(("suffix", "opener"), [(".xz", lzma.open), (".gz", gzip.open)])
def test_compressed(image: Path, card: Path, suffix: str, opener: Callable[..., Any]) -> None:
    packed = image.with_name(image.name + suffix)
    with opener(packed, "wb") as stream:
        stream.write(image.read_bytes())
    flash.run(packed, card, yes=True)
    assert card.read_bytes() == image.read_bytes()
    packed.write_bytes(packed.read_bytes()[:-2000])
    with pytest.raises(HarnessError, match="is damaged"):
        flash.run(packed, card, yes=True)


def bmap(image: Path, ranges: list[Range], size: int = 8 * MIB) -> Path:
    data = image.read_bytes()
    lines = "".join(
        f'<Range chksum="{hashlib.sha256(data[one.offset : one.end]).hexdigest()}">'
        f" {one.offset // 4096}-{one.end // 4096 - 1} </Range>"
        for one in ranges
    )
    path = image.with_name(image.name + ".bmap")
    path.write_text(
        f'<?xml version="1.0" ?><bmap version="2.0"><ImageSize> {size} </ImageSize>'
        f"<BlockSize> 4096 </BlockSize>"
        f"<ChecksumType> sha256 </ChecksumType><BlockMap>{lines}</BlockMap></bmap>"
    )
    return path


def test_what_a_block_map_leaves_out_is_not_touched(image: Path, card: Path) -> None:
    bmap(image, [Range(0, MIB), Range(3 * MIB, MIB + 4096)])
    flash.run(image, card, yes=True)
    data, old = image.read_bytes(), b"\xa5" * (8 * MIB)
    end = 4 * MIB + 4096
    assert card.read_bytes() == data[:MIB] + old[MIB : 3 * MIB] + data[3 * MIB : end] + old[end:]


def test_an_image_that_does_not_fit_its_block_map_is_not_written(image: Path, card: Path) -> None:
    path = bmap(image, [Range(0, MIB)])
    with image.open("r+b") as stream:
        stream.seek(5000)
        stream.write(b"x" * 10)
    with pytest.raises(HarnessError, match=r"bytes 0 to 1048575 do not fit card\.img\.bmap"):
        flash.run(image, card, yes=True)
    bmap(image, [Range(0, MIB)], size=4 * MIB)
    with pytest.raises(HarnessError, match="for an image of 4194304 bytes"):
        flash.run(image, card, yes=True)
    path.write_text("<bmap>")
    with pytest.raises(HarnessError, match="is no block map"):
        flash.run(image, card, yes=True)
    assert set(card.read_bytes()) == {0xA5}


# Reading back


def corrupting(backing: Path, offset: int) -> Callable[[int, blockdevice.Device], None]:
    """A card that turns a bit after it has said that all is written."""
    forget = flash._forget

    def turn(descriptor: int, device: blockdevice.Device) -> None:
        os.fsync(descriptor)
        with backing.open("r+b") as stream:
            stream.seek(offset)
            byte = stream.read(1)[0]
            stream.seek(offset)
            stream.write(bytes([byte ^ 4]))
        forget(descriptor, device)

    return turn


# In data, in a hole, in the last byte
@pytest.mark.parametrize("offset", [4097, 2 * MIB + 7, 8 * MIB - 1])
def test_a_corrupted_write_is_found(
    image: Path, card: Path, offset: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flash, "_forget", corrupting(card, offset))
    with pytest.raises(HarnessError, match="does not return what was written") as error:
        flash.run(image, card, yes=True)
    first, last = re.findall(r"\d+", error.value.message.partition("bytes ")[2])
    assert int(first) <= offset <= int(last)


@needs_root
def test_a_device_that_corrupts_is_found(
    image: Path, card: Path, loop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind the device's back, so that only what is really read again can tell."""
    monkeypatch.setattr(flash, "_forget", corrupting(card, 3 * MIB + 99))
    with pytest.raises(HarnessError, match="does not return what was written"):
        flash.run(image, loop, yes=True)


@needs_root
def test_a_device_that_is_smaller_than_it_says_is_found(image: Path, card: Path, loop: Path) -> None:
    found = blockdevice.find(loop)
    os.truncate(card, 3 * MIB)
    # The kernel notices while it writes, or reading back does.
    with pytest.raises(HarnessError, match=r"failed|does not return"):
        flash.verify(found, flash.write(image, found, blockmap.data_ranges(image)))
