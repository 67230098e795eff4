# SPDX-License-Identifier: MIT
"""Disk images and the cards they are written to, as far as no distribution is needed."""

from __future__ import annotations

import hashlib
import subprocess
import tarfile
import time
from pathlib import Path

import pytest

from harness import boards, card, hostdeps, image
from harness.card import Card
from harness.errors import HarnessError

EXTLINUX = """\
default new
label old
\tlinux /boot/vmlinuz-1
label new
\tmenu label Debian
\tlinux /boot/vmlinuz-2
\tinitrd /boot/initrd.img-2
\tfdt /usr/lib/linux-image-2/a.dtb
\tfdtoverlays /boot/dtbo/a.dtbo /boot/dtbo/b.dtbo
\tappend root=UUID=1 rw
"""
UUID = "12345678-1234-5678-1234-567812345678"


@pytest.fixture(scope="module", autouse=True)
def tools() -> None:
    hostdeps.require("pack")


def archives(place: Path) -> list[Path]:
    """A small distribution, and what is put over it."""
    place.mkdir()
    first = place / "rootfs.tar"
    with tarfile.open(first, "w") as tar:
        for name in ("./boot", "./etc", "./usr", "./usr/lib", "./usr/bin"):
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode, entry.mtime = tarfile.DIRTYPE, 0o755, image.EPOCH
            tar.addfile(entry)
        link = tarfile.TarInfo("./lib")
        link.type, link.linkname, link.mtime = tarfile.SYMTYPE, "usr/lib", image.EPOCH
        tar.addfile(link)
        owned = tarfile.TarInfo("./etc/shadow")
        owned.uid, owned.gid, owned.mode, owned.mtime = 0, 42, 0o640, image.EPOCH
        tar.addfile(owned)
    extra = image._Archive()
    extra.add("/boot/extlinux/extlinux.conf", EXTLINUX)
    extra.add("/lib/modules/2/updates/esp_hosted.ko", b"module")
    extra.add("/etc/fstab", f"UUID={UUID} / ext4 defaults 0 1\n")
    extra.link("/etc/link", "/etc/fstab")
    second = place / "extra.tar"
    second.write_bytes(extra.bytes())
    return [first, second]


def pack(place: Path) -> Path:
    parts = archives(place)
    disk = place / "disk.img"
    image._pack(parts, disk, "0badcafe" + "0" * 12, place)
    return disk


def test_the_same_files_make_the_same_image(tmp_path: Path) -> None:
    one = pack(tmp_path / "one")
    # Times of access and change are other ones now.
    time.sleep(1.1)
    other = pack(tmp_path / "other-place")
    assert hashlib.sha256(one.read_bytes()).digest() == hashlib.sha256(other.read_bytes()).digest()
    # It is sparse, and its file system whole.
    assert one.stat().st_blocks * 512 < one.stat().st_size / 2
    system = tmp_path / "root.ext4"
    system.write_bytes(one.read_bytes()[image.OFFSET :])
    checked = subprocess.run(["e2fsck", "-f", "-n", system], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout


def test_a_card_gives_back_what_is_in_it(tmp_path: Path) -> None:
    disk = Card(pack(tmp_path / "image"))
    found = disk.extract("/boot/extlinux/extlinux.conf", tmp_path / "out")
    assert found.read_text() == EXTLINUX
    # Through the link that Debian has in /lib's place.
    assert disk.extract("/lib/modules/2/updates/esp_hosted.ko", tmp_path / "out").read_bytes() == b"module"
    owner = subprocess.run(
        ["debugfs", "-R", "stat /etc/shadow", f"{disk.path}?offset={image.OFFSET}"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "Group:    42" in owner and "Mode:  0640" in owner
    with pytest.raises(HarnessError, match="the card has no /boot/none"):
        disk.extract("/boot/none", tmp_path / "out")


def test_the_default_entry_is_started() -> None:
    assert card.parse(EXTLINUX) == card.Entry(
        "/boot/vmlinuz-2",
        "/boot/initrd.img-2",
        "/usr/lib/linux-image-2/a.dtb",
        ("/boot/dtbo/a.dtbo", "/boot/dtbo/b.dtbo"),
        "root=UUID=1 rw",
    )
    with pytest.raises(HarnessError, match="no initrd, fdt, append"):
        card.parse(EXTLINUX.replace("default new", "default old"))


def test_boards_without_an_image_and_users_without_a_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(HarnessError, match="rpi4 has no image of its own") as error:
        image.build(boards.load("rpi4"), image.Settings("x", ("ssh-ed25519 A",)))
    assert error.value.hint and "qemu-sbc" in error.value.hint
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(HarnessError, match="no public key"):
        image.authorized(None)
    (tmp_path / "key").write_text("-----BEGIN OPENSSH PRIVATE KEY-----\n")
    with pytest.raises(HarnessError, match="no public key"):
        image.authorized(tmp_path / "key")
    (tmp_path / "key.pub").write_text("# mine\nssh-ed25519 AAAA me\n")
    assert image.authorized(tmp_path / "key.pub") == ("ssh-ed25519 AAAA me",)
