# SPDX-License-Identifier: MIT
"""modpost for 32-bit kernels: made of their source, with what the target's compiler says of its tables."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from harness import debian, modpost, provider_debian
from harness.errors import HarnessError
from harness.kerneltable import Row
from harness.toolchain import Toolchain

ASSEMBLER = """\
	.ascii "->SIZE_of_device_id #196 sizeof(struct of_device_id)"	@
	.ascii "->"	@
	.ascii "->OFF_of_device_id_compatible $64 offsetof(struct of_device_id, compatible)"
"""


class Source:
    """A kernel's source with a modpost that prints what it was compiled with."""

    version = "6.12.0-1"

    def directories(self, names: Sequence[str], target: Path) -> None:
        assert "scripts/mod" in names
        for name in names:
            (target / name).mkdir(parents=True)
        mod = target / "scripts/mod"
        for name in modpost.PROGRAMS:
            (mod / f"{name}.c").write_text("")
        (mod / "devicetable-offsets.c").write_text("")
        (mod / "modpost.c").write_text(
            '#include <stdio.h>\n#include <elf.h>\n#include "elfconfig.h"\n#include "devicetable-offsets.h"\n'
            'int main(void) { printf("%d %d %d\\n", KERNEL_ELFCLASS, SIZE_of_device_id,'
            " OFF_of_device_id_compatible); return 0; }\n"
        )


class Tools(Toolchain):
    """A compiler that lays out every table alike."""

    said = ASSEMBLER

    def make(self, build: Path, directory: Path, *words: str) -> list[str | Path]:
        (directory / words[0]).write_text(self.said)
        return ["true"]


class SilentTools(Tools):
    said = "\t.text\n"


@pytest.fixture
def build(tmp_path: Path) -> Path:
    """A header package, unpacked."""
    program = tmp_path / "usr/lib/linux-kbuild-6.12/scripts/mod/modpost.real-lsb-32"
    program.parent.mkdir(parents=True)
    program.write_text("the package's")
    headers = tmp_path / "usr/src/linux-headers-6.12-armmp"
    headers.mkdir(parents=True)
    return headers


def replace(build: Path, tools: Toolchain) -> None:
    modpost.replace(build, Source(), tools)  # type: ignore[arg-type]


def test_program_knows_the_targets_tables(
    build: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    replace(build, Tools("arm", "arm-linux-gnueabihf-"))
    (program,) = tmp_path.glob("usr/lib/*/scripts/mod/modpost.real-lsb-32")
    assert subprocess.run([program], capture_output=True, text=True, check=True).stdout == "1 196 64\n"


def test_nothing_is_replaced_without_offsets(
    build: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(HarnessError, match=r"devicetable-offsets\.c says nothing of device tables"):
        replace(build, SilentTools("arm", "arm-linux-gnueabihf-"))
    (program,) = tmp_path.glob("usr/lib/*/scripts/mod/modpost.real-lsb-32")
    assert program.read_text() == "the package's"


def test_a_package_without_it_is_named(build: Path, tmp_path: Path) -> None:
    next(tmp_path.glob("usr/lib/*/scripts/mod/*")).unlink()
    with pytest.raises(HarnessError, match=r"linux-headers-6\.12-armmp comes without"):
        replace(build, Tools("arm", "arm-linux-gnueabihf-"))


@pytest.mark.parametrize(
    ("host", "arch", "expected"),
    [
        ("amd64", "armhf", True),
        ("arm64", "armhf", True),
        ("amd64", "arm64", False),
        ("armhf", "armhf", False),
    ],
)
def test_only_narrow_kernels_on_wide_hosts_need_it(
    monkeypatch: pytest.MonkeyPatch, host: str, arch: str, expected: bool
) -> None:
    monkeypatch.setattr(debian, "host_arch", lambda: host)
    assert modpost.needed(arch) is expected


@pytest.mark.parametrize(
    ("arch", "flavour", "kind"),
    [("arm64", "", "arm64"), ("arm64", "rt", "rt-arm64"), ("armhf", "", "armmp"), ("armhf", "rt", "rt")],
)
def test_names_of_images(arch: str, flavour: str, kind: str) -> None:
    row = Row(provider="debian", arch=arch, board="sabrelite", suite="s", series="6.12", flavour=flavour)
    assert provider_debian._kind(row) == kind
