# SPDX-License-Identifier: MIT
"""The guest's archives: what is in them, and always the same bytes."""

from __future__ import annotations

import io
import lzma
import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from harness import boards, cpio, rootfs
from harness.errors import HarnessError
from harness.kernels import Kernel


def listing(archive: bytes) -> dict[str, str]:
    """Name to mode, owner and link target, as the cpio tool reads it."""
    command = ["cpio", "--list", "--verbose", "--numeric-uid-gid", "--quiet"]
    text = subprocess.run(command, input=archive, capture_output=True, check=True).stdout.decode()
    found = {}
    for line in text.splitlines():
        fields = line.split()
        name, _, target = line.partition(" -> ")
        found[name.split()[-1]] = f"{fields[0]} {fields[2]} {fields[3]}{' ' + target if target else ''}"
    return found


def tree(directory: Path) -> Path:
    (directory / "bin").mkdir(parents=True)
    (directory / "bin/tool").write_text("text")
    (directory / "bin/tool").chmod(0o700)
    (directory / "note").write_text("odd length")
    (directory / "link").symlink_to("bin/tool")
    return directory


def archive(directory: Path) -> bytes:
    target = io.BytesIO()
    cpio.write(directory, target, console=True)
    return target.getvalue()


def test_archive_is_what_the_kernel_wants(tmp_path: Path) -> None:
    content = archive(tree(tmp_path / "tree"))
    assert len(content) % 512 == 0
    found = listing(content)
    assert found["bin/tool"] == "-rwxr-xr-x 0 0"
    assert found["note"] == "-rw-r--r-- 0 0"
    assert found["link"].endswith("0 0 bin/tool")
    assert found["dev/console"].startswith("crw------- 0 0")


def test_archive_unpacks_to_the_same_files(tmp_path: Path) -> None:
    source = tree(tmp_path / "tree")
    out = tmp_path / "out"
    out.mkdir()
    target = io.BytesIO()
    cpio.write(source, target)
    subprocess.run(
        ["cpio", "--extract", "--quiet", "--make-directories"], input=target.getvalue(), cwd=out, check=True
    )
    assert (out / "link").read_text() == "text"
    assert (out / "note").read_text() == "odd length"


def test_archive_does_not_depend_on_times_and_order(tmp_path: Path) -> None:
    first = archive(tree(tmp_path / "one"))
    other = tree(tmp_path / "two")
    os.utime(other / "note", (1, 1))
    (other / "note").rename(other / "aside")
    (other / "aside").rename(other / "note")
    assert archive(other) == first


@pytest.fixture
def kernel(tmp_path: Path) -> Kernel:
    modules = tmp_path / "kernel/lib/modules/6.12-test"
    for name in ("spi-bitbang", "spi-imx", "imx-sdma", "virt-dma", "cfg80211", "rfkill", "unused"):
        path = modules / f"kernel/{name}.ko.xz"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(lzma.compress(name.encode()))
    (modules / "modules.dep").write_text(
        "kernel/spi-bitbang.ko.xz:\nkernel/virt-dma.ko.xz:\nkernel/rfkill.ko.xz:\nkernel/unused.ko.xz:\n"
        "kernel/spi-imx.ko.xz: kernel/spi-bitbang.ko.xz\nkernel/imx-sdma.ko.xz: kernel/virt-dma.ko.xz\n"
        "kernel/cfg80211.ko.xz: kernel/rfkill.ko.xz\n"
    )
    (modules / "modules.builtin").write_text("kernel/drivers/gpio/gpio-mxc.ko\n")
    (modules / "modules.order").touch()
    (modules / "modules.builtin.modinfo").touch()
    root = tmp_path / "kernel"
    return Kernel(
        name="test",
        release="6.12-test",
        version="1",
        arch="arm64",
        image=root,
        modules=modules,
        dtbs=root,
        build=root,
        config=root,
        symvers=root,
        board="imx8mp-evk",
    )


def test_closure_is_no_more_than_needed(kernel: Kernel) -> None:
    known = rootfs._dependencies(kernel.modules)
    # Dash and underscore are the same to the kernel; what is built in needs no file.
    assert rootfs._closure(["spi_imx", "gpio-mxc", "cfg80211"], known, kernel) == [
        "kernel/cfg80211.ko.xz",
        "kernel/rfkill.ko.xz",
        "kernel/spi-bitbang.ko.xz",
        "kernel/spi-imx.ko.xz",
    ]


def test_module_that_the_kernel_lacks(kernel: Kernel) -> None:
    known = rootfs._dependencies(kernel.modules)
    with pytest.raises(HarnessError, match=r"kernel 6\.12-test has no module spi-sun6i"):
        rootfs._closure(["spi-sun6i"], known, kernel)


def test_every_default_module_of_the_board_is_listed_for_init(kernel: Kernel, tmp_path: Path) -> None:
    part = tmp_path / "part"
    part.mkdir()
    rootfs._kernel_part(part, kernel, boards.load(), [])
    assert (part / "etc/esp-hosted/modules").read_text().split() == list(boards.load().modules)
    files = sorted(path.name for path in part.rglob("*.ko"))
    assert files == ["cfg80211.ko", "imx-sdma.ko", "rfkill.ko", "spi-bitbang.ko", "spi-imx.ko", "virt-dma.ko"]
    assert (part / "usr/lib/modules/6.12-test/kernel/spi-imx.ko").read_bytes() == b"spi-imx"
    assert not (part / "lib").exists()


def test_kernel_may_do_without_a_module_of_the_board(kernel: Kernel, tmp_path: Path) -> None:
    part = tmp_path / "part"
    part.mkdir()
    rootfs._kernel_part(part, replace(kernel, without=("imx-sdma",)), boards.load(), [])
    assert (part / "etc/esp-hosted/modules").read_text().split() == ["spi-imx"]
    assert not list(part.rglob("*dma.ko"))


def test_finish_merges_usr(tmp_path: Path) -> None:
    for name in ("bin/old", "usr/bin/new", "lib/firmware/regulatory.db-debian", "usr/share/doc/x/copyright"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    rootfs._finish(tmp_path)
    assert (tmp_path / "bin").is_symlink()
    assert (tmp_path / "bin/old").read_text() == "bin/old"
    assert (tmp_path / "bin/new").exists()
    assert (tmp_path / "lib/firmware/regulatory.db").read_text() == "lib/firmware/regulatory.db-debian"
    assert not (tmp_path / "usr/share/doc").exists()
    assert os.access(tmp_path / "init", os.X_OK)
