# SPDX-License-Identifier: MIT
"""The Debian package, installed in a guest by dpkg: DKMS compiles the module there, and it works."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from harness import cpio, module, nativeguest, packages, paths, rootfs, scenario, traffic
from harness.prepare import Prepared
from harness.target import QemuTarget, boot
from harness.wifi import Wifi

# A compiler on an emulated processor.
INSTALL_SECONDS = 3600.0
MEMORY = "3G"
PACKAGE = "/esp-hosted-dkms.deb"


@pytest.fixture
def builder(prepared: Prepared, tmp_path: Path) -> Iterator[QemuTarget]:
    """A guest with a compiler and the kernel's headers, and the package; our module is not in it."""
    plain = rootfs.build(prepared.kernel, prepared.board, [])
    initramfs = tmp_path / "initramfs.cpio"
    with initramfs.open("wb") as target:
        for part in (plain, nativeguest.build(prepared.kernel)):
            with part.open("rb") as source:
                shutil.copyfileobj(source, target)
        tree = tmp_path / "tree"
        tree.mkdir()
        shutil.copyfile(packages.dkms_package(), tree / PACKAGE.lstrip("/"))
        cpio.write(tree, target)
    assert prepared.board.qemu
    board = replace(prepared.board, qemu=replace(prepared.board.qemu, memory=MEMORY))
    config = replace(scenario.machine(replace(prepared, rootfs=initramfs)), board=board)
    machine = boot(config, prepared.qemu, paths.run_dir() / "dkms")
    try:
        yield machine
    finally:
        machine.close()
        initramfs.unlink()


@pytest.mark.slow
def test_package_builds_and_loads_the_module_where_it_is_installed(
    builder: QemuTarget, prepared: Prepared, tmp_path: Path
) -> None:
    release = prepared.kernel.release
    assert not builder.run("find /lib/modules -name 'esp_hosted.ko*'").stdout
    # The package's files are not older than the guest's clock says.
    builder.run(["date", "-s", "@1900000000"])
    # What udev does on a whole system: bash, which DKMS is written in, needs it.
    builder.run(["ln", "-sfn", "/proc/self/fd", "/dev/fd"])
    install = ["env", "DEBIAN_FRONTEND=noninteractive", "dpkg", "--install", PACKAGE]
    installed = builder.run(install, timeout=INSTALL_SECONDS, check=False)
    if not installed.ok:
        log = builder.run("tail -n 60 /var/lib/dkms/*/*/build/make.log", check=False).stdout
        pytest.fail(f"{installed.stdout}{installed.stderr}\nDKMS's log:\n{log}")
    print(installed.stdout, f"{installed.seconds:.0f} s")
    assert (
        builder.run(["dpkg-query", "-W", "-f", "${Status}", "esp-hosted-dkms"]).stdout
        == "install ok installed"
    )
    name = f"esp-hosted/{packages.version()}"
    assert f"{name}, {release}, aarch64: installed" in builder.run(["dkms", "status"]).stdout
    built = builder.run("find /lib/modules -name 'esp_hosted.ko*'").stdout.split()
    assert len(built) == 1 and f"/{release}/updates/dkms/" in built[0]
    # What was compiled there is what would have been compiled here.
    fetched = tmp_path / Path(built[0]).name
    fetched.write_bytes(builder.read_file(built[0]))
    if fetched.suffix == ".ko":
        module.inspect(fetched, prepared.kernel)
    wifi = Wifi(builder)
    wifi.load()
    wifi.wait_interface()
    wifi.up()
    wifi.connect(scenario.SSID)
    wifi.lease()
    assert traffic.ping(builder, count=3).received == 3
    wifi.unload()
    builder.run(["dpkg", "--remove", "esp-hosted-dkms"], timeout=300)
    assert not builder.run("find /lib/modules -name 'esp_hosted.ko*'").stdout
    assert name not in builder.run(["dkms", "status"]).stdout
