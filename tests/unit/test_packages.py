# SPDX-License-Identifier: MIT
"""Packages and recipes: what is in them, and that they agree with each other and with the driver."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import kconfiglib
import pytest

from harness import devicetree, hostdeps, kernels, module, packages
from harness.paths import REPO

BUILDROOT = REPO / "packaging" / "buildroot"
LAYER = REPO / "packaging" / "yocto" / "meta-esp-hosted"
RECIPES = sorted(LAYER.glob("recipes-*/*/*.bb"))


def fields(package: Path) -> dict[str, str]:
    text = subprocess.run(["dpkg-deb", "--field", package], check=True, capture_output=True, text=True).stdout
    return dict(re.findall(r"^(\S+): (.*)$", text, re.MULTILINE))


def unpack(package: Path, target: Path) -> Path:
    subprocess.run(["dpkg-deb", "--extract", package, target], check=True)
    return target


def dkms_conf(path: Path, **variables: str) -> dict[str, str]:
    """What DKMS gets from a configuration: a shell script that sets variables."""
    script = (
        f'. {shlex.quote(str(path))}; for n in PACKAGE_NAME PACKAGE_VERSION BUILT_MODULE_NAME MAKE CLEAN \
BUILD_EXCLUSIVE_KERNEL BUILD_EXCLUSIVE_CONFIG AUTOINSTALL; do printf "%s=%s\\n" "$n" "${{!n}}"; done'
    )
    finished = subprocess.run(
        ["bash", "-euc", script],
        check=True,
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin", **variables},
    )
    return dict(line.split("=", 1) for line in finished.stdout.splitlines())


def test_version_is_written_once() -> None:
    """Where a file has to repeat the version, it repeats the right one."""
    version = packages.version()
    assert tomllib.loads((REPO / "pyproject.toml").read_text())["project"]["version"] == version
    makefile = (BUILDROOT / "package" / "esp-hosted" / "esp-hosted.mk").read_text()
    assert f"\nESP_HOSTED_VERSION = {version}\n" in makefile
    assert {path.stem.partition("_")[2] for path in RECIPES} == {version}


# Debian.


def test_dkms_package(tmp_path: Path) -> None:
    package = packages.dkms_package()
    found = fields(package)
    assert (found["Package"], found["Version"]) == ("esp-hosted-dkms", packages.version())
    assert found["Architecture"] == "all"
    assert "dkms" in found["Depends"]
    root = unpack(package, tmp_path)
    source = root / "usr" / "src" / f"esp-hosted-{packages.version()}"
    expected = {path.name for pattern in ("*.c", "*.h") for path in module.DRIVER.glob(pattern)}
    assert {path.name for path in source.iterdir()} == expected | {"Kbuild", "Makefile", "dkms.conf"}
    overlays = {path.stem for path in (root / "usr/share/esp-hosted/overlays").iterdir()}
    assert overlays == {path.stem for path in devicetree.OVERLAYS.glob("*.dtso")}
    # DKMS looks for the source by these two.
    conf = dkms_conf(source / "dkms.conf", kernel_source_dir="/k")
    assert f"{conf['PACKAGE_NAME']}-{conf['PACKAGE_VERSION']}" == source.name
    assert conf["MAKE"] == "make KDIR=/k modules"
    # Everything that Kbuild names is there.
    for name in re.findall(r"\b([a-z0-9_]+)\.o\b", (source / "Kbuild").read_text()):
        assert (
            name == "esp_hosted"
            or (source / f"{name}.c").exists()
            or f"tests/{name}.o" in (source / "Kbuild").read_text()
        )
    scripts = subprocess.run(["dpkg-deb", "--ctrl-tarfile", package], check=True, capture_output=True).stdout
    assert b"postinst" in scripts and b"prerm" in scripts


@pytest.mark.parametrize(
    ("release", "wanted"),
    [("5.10.0-32-arm64", True), ("6.1.0-50-arm64", True), ("7.3.4+deb13-arm64", True), ("10.0.1", True),
     ("4.19.0-27-arm64", False), ("5.4.0-100-generic", False)],
)  # fmt: skip
def test_dkms_skips_kernels_that_are_too_old(release: str, wanted: bool) -> None:
    pattern = dkms_conf(packages.DKMS_CONF, kernel_source_dir="/k")["BUILD_EXCLUSIVE_KERNEL"]
    finished = subprocess.run(
        ["grep", "-E", pattern], input=release, text=True, capture_output=True, check=False
    )
    assert (finished.returncode == 0) == wanted


def test_dkms_command_compiles(tmp_path: Path) -> None:
    """The package's source, compiled by the command of its dkms.conf for the default kernel."""
    compile_as_dkms(kernels.table().default, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [name for name, row in kernels.table().kernel.items() if row.provider == "debian"]
)
def test_dkms_command_compiles_for_every_kernel(name: str, tmp_path: Path) -> None:
    compile_as_dkms(name, tmp_path)


def compile_as_dkms(name: str, directory: Path) -> None:
    hostdeps.require("module")
    kernel = kernels.resolve(name)
    source = unpack(packages.dkms_package(), directory) / "usr" / "src" / f"esp-hosted-{packages.version()}"
    command = shlex.split(dkms_conf(source / "dkms.conf", kernel_source_dir=str(kernel.build))["MAKE"])
    # What a native build has by itself.
    own = [word for word in kernel.toolchain.make(kernel.build, source) if re.match(r"[A-Z]+=", str(word))]
    cross = [word for word in own if not str(word).startswith("M=")]
    words = [command[0], "-C", source, *command[1:], *cross]
    readable = [kernel.build.parents[2]]
    subprocess.run(kernel.toolchain.command(words, readable, [source]), check=True, capture_output=True)
    module.inspect(source / "esp_hosted.ko", kernel)


def test_package_with_a_module(tmp_path: Path) -> None:
    kernel = kernels.resolve(None)
    package = packages.modules(kernel)
    found = fields(package)
    assert found["Package"] == f"esp-hosted-modules-{kernel.release}"
    assert found["Architecture"] == kernel.arch
    assert f"linux-image-{kernel.release}" in found["Depends"]
    root = unpack(package, tmp_path)
    built = root / "lib" / "modules" / kernel.release / "updates" / "esp_hosted.ko"
    module.inspect(built, kernel)
    assert built.stat().st_size < module.build(kernel).stat().st_size / 3
    sums = subprocess.run(["dpkg-deb", "--control", package, tmp_path / "control"], check=True)
    assert sums.returncode == 0
    for line in (tmp_path / "control" / "md5sums").read_text().splitlines():
        digest, _, name = line.partition("  ")
        assert hashlib.md5((root / name).read_bytes()).hexdigest() == digest
    for script in ("postinst", "postrm"):
        assert kernel.release in (tmp_path / "control" / script).read_text()


@pytest.mark.slow
def test_lintian_has_nothing_to_say() -> None:
    hostdeps.require_packages(("lintian",))
    files = [packages.dkms_package(), packages.modules(kernels.resolve(None)), *packages.dkms().glob("*.dsc")]
    said = subprocess.run(
        ["lintian", "--fail-on", "error,warning", *files], capture_output=True, text=True, check=False
    )
    assert said.returncode == 0, said.stdout


@pytest.mark.slow
def test_packages_are_the_same_bytes_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    contents = []
    for name in ("one", "two"):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / name))
        contents.append({path.name: path.read_bytes() for path in packages.dkms().iterdir()})
    assert contents[0] == contents[1]


# Buildroot: its own tree is not here. Menu and makefile are read by the same languages' tools.


@pytest.mark.parametrize("kernel", [True, False])
def test_buildroot_menu(kernel: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BR2_EXTERNAL_ESP_HOSTED_PATH", str(BUILDROOT))
    top = tmp_path / "Config.in"
    top.write_text(
        f"config BR2_LINUX_KERNEL\n\tdef_bool {'y' if kernel else 'n'}\n"
        "config BR2_PACKAGE_WIRELESS_REGDB\n\tbool\n"
        f'source "{BUILDROOT}/Config.in"\n'
    )
    menu = kconfiglib.Kconfig(str(top), warn_to_stderr=False)
    assert menu.warnings == []
    menu.syms["BR2_PACKAGE_ESP_HOSTED"].set_value(2)
    assert menu.syms["BR2_PACKAGE_ESP_HOSTED"].str_value == ("y" if kernel else "n")
    assert menu.syms["BR2_PACKAGE_WIRELESS_REGDB"].str_value == ("y" if kernel else "n")


def test_buildroot_makefile(tmp_path: Path) -> None:
    """GNU make reads it; the source it names is there."""
    top = tmp_path / "Makefile"
    names = ("VERSION", "SITE", "SITE_METHOD", "LICENSE")
    printed = "".join(f"$(info ESP_HOSTED_{name}=$(ESP_HOSTED_{name}))\n" for name in names)
    top.write_text(
        f"BR2_EXTERNAL_ESP_HOSTED_PATH := {BUILDROOT}\ninclude {BUILDROOT}/external.mk\n{printed}all:;\n"
    )
    finished = subprocess.run(
        ["make", "--warn-undefined-variables", "-s", "-f", top], check=True, capture_output=True, text=True
    )
    values = dict(line.split("=", 1) for line in finished.stdout.splitlines())
    assert Path(values["ESP_HOSTED_SITE"]).resolve() == REPO / "driver"
    assert values["ESP_HOSTED_SITE_METHOD"] == "local"
    # Only Buildroot's own two macros are missing.
    undefined = set(re.findall(r"undefined variable '([^']+)'", finished.stderr))
    assert undefined <= {"kernel-module", "generic-package"}
    assert re.fullmatch(r"name: [A-Z_]+\ndesc: .+\n", (BUILDROOT / "external.desc").read_text())


# Yocto: OE-core's classes are not here, BitBake's parser is.


def recipe(name: str, *variables: str) -> dict[str, str]:
    path = next(path for path in RECIPES if path.name.startswith(f"{name}_"))
    finished = subprocess.run(
        [sys.executable, REPO / "tests" / "recipe.py", LAYER, path, *variables],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    found: dict[str, str] = json.loads(finished.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize("name", ["esp-hosted", "esp-hosted-overlays"])
def test_recipe(name: str) -> None:
    found = recipe(name, "SRC_URI", "S", "FILESEXTRAPATHS", "LIC_FILES_CHKSUM", "LICENSE", "SUMMARY")
    directory = Path(found["FILESEXTRAPATHS"].split(":")[0]) / found["SRC_URI"].removeprefix("file://")
    assert directory in (REPO / "driver", devicetree.OVERLAYS)
    assert found["S"] == f"/build/{directory.name}"
    licence = re.fullmatch(r"file://(.+);beginline=1;endline=1;md5=([0-9a-f]{32})", found["LIC_FILES_CHKSUM"])
    assert licence
    first = (directory / licence.group(1)).read_bytes().splitlines(keepends=True)[0]
    assert hashlib.md5(first).hexdigest() == licence.group(2)
    for identifier in found["LICENSE"].split(" | "):
        assert identifier.encode() in first


def test_mistake_in_a_recipe_is_found(tmp_path: Path) -> None:
    broken = tmp_path / "esp-hosted_1.bb"
    broken.write_text(RECIPES[0].read_text().replace('SECTION = "', "SECTION = ", 1))
    finished = subprocess.run(
        [sys.executable, REPO / "tests" / "recipe.py", LAYER, broken], capture_output=True, check=False
    )
    assert finished.returncode and b"ParseError" in finished.stderr
