# SPDX-License-Identifier: MIT
"""Inspection of a module: small ELF files from the host's compiler stand for modules and kernel."""

from __future__ import annotations

import lzma
import subprocess
from pathlib import Path

import pytest

from harness import elf, module
from harness.errors import HarnessError
from harness.kernels import Kernel

MAGIC = "6.12.0-test SMP mod_unload modversions aarch64"
SYMBOLS = {"spi_sync": 0x11223344, "netif_rx": 0x55667788, "module_layout": 0x01020304}
MODVERSIONS = "CONFIG_MODVERSIONS=y\n"


def compile_module(
    path: Path,
    magic: str = MAGIC,
    versions: dict[str, int] | None = None,
    uses: tuple[str, ...] = ("spi_sync", "netif_rx"),
    name: str = "esp_hosted",
    license: str = "GPL",
    extended: bool = False,
    extra: str = "",
) -> Path:
    versions = SYMBOLS if versions is None else versions
    info = [f"license={license}", "depends=", f"name={name}", f"vermagic={magic}"]
    lines = [f'.section .modinfo,"a"\n.asciz "{text}"' for text in info]
    if extended:
        lines.append('.section __version_ext_crcs,"a"')
        lines += [f".long {crc:#x}" for crc in versions.values()]
        lines.append('.section __version_ext_names,"a"')
        lines += [f'.asciz "{symbol}"' for symbol in versions]
    elif versions:
        lines.append('.section __versions,"a"')
        for symbol, crc in versions.items():
            lines += [f".quad {crc:#x}", f'1: .asciz "{symbol}"', ".fill 56 - (. - 1b), 1, 0"]
    lines += [".data", *(f".quad {symbol}" for symbol in uses)]
    lines += ['.section .note.GNU-stack,"",@progbits', extra]
    source = path.with_suffix(".s")
    source.write_text("\n".join(lines) + "\n")
    subprocess.run(["gcc", "-c", "-x", "assembler", "-o", path, source], check=True)
    return path


@pytest.fixture
def kernel(tmp_path: Path) -> Kernel:
    directory = tmp_path / "kernel"
    stock = directory / "lib/kernel/net/wireless/cfg80211.ko"
    stock.parent.mkdir(parents=True)
    compile_module(stock, name="cfg80211")
    (stock.parent / "cfg80211.ko.xz").write_bytes(lzma.compress(stock.read_bytes()))
    stock.unlink()
    symvers = directory / "Module.symvers"
    symvers.write_text(
        "".join(f"{crc:#010x}\t{name}\tvmlinux\tEXPORT_SYMBOL_GPL\t\n" for name, crc in SYMBOLS.items())
    )
    config = directory / "config"
    config.write_text(MODVERSIONS)
    return Kernel(
        name="test",
        release="6.12.0-test",
        version="1",
        arch="arm64",
        image=directory,
        modules=directory / "lib",
        dtbs=directory,
        build=directory,
        config=config,
        symvers=symvers,
        board="imx8mp-evk",
    )


@pytest.mark.parametrize("extended", [False, True])
def test_module_that_fits(tmp_path: Path, kernel: Kernel, extended: bool) -> None:
    found = module.inspect(compile_module(tmp_path / "esp_hosted.ko", extended=extended), kernel)
    assert found.undefined == {"spi_sync", "netif_rx"}
    assert found.crcs == SYMBOLS


@pytest.mark.parametrize("extended", [False, True])
def test_wrong_crc_names_the_symbol(tmp_path: Path, kernel: Kernel, extended: bool) -> None:
    versions = SYMBOLS | {"netif_rx": 0xDEADBEEF}
    path = compile_module(tmp_path / "esp_hosted.ko", versions=versions, extended=extended)
    with pytest.raises(HarnessError) as caught:
        module.inspect(path, kernel)
    assert (
        "symbol netif_rx has CRC 0xdeadbeef in the module, 0x55667788 in the kernel" in caught.value.message
    )
    assert "spi_sync" not in caught.value.message


def test_missing_crc_names_the_symbol(tmp_path: Path, kernel: Kernel) -> None:
    versions = {name: crc for name, crc in SYMBOLS.items() if name != "spi_sync"}
    with pytest.raises(HarnessError, match="symbol spi_sync has no CRC in the module"):
        module.inspect(compile_module(tmp_path / "esp_hosted.ko", versions=versions), kernel)


def test_kernel_without_modversions_needs_no_crc(tmp_path: Path, kernel: Kernel) -> None:
    kernel.config.write_text("# CONFIG_MODVERSIONS is not set\n")
    module.inspect(compile_module(tmp_path / "esp_hosted.ko", versions={}), kernel)


def test_wrong_vermagic(tmp_path: Path, kernel: Kernel) -> None:
    with pytest.raises(HarnessError) as caught:
        module.inspect(
            compile_module(tmp_path / "esp_hosted.ko", magic=MAGIC.replace("6.12", "6.13")), kernel
        )
    assert "vermagic is '6.13.0-test" in caught.value.message
    assert "the kernel's is '6.12.0-test" in caught.value.message


def test_symbol_that_is_not_exported(tmp_path: Path, kernel: Kernel) -> None:
    with pytest.raises(HarnessError, match="symbol spi_slow is not exported by the kernel"):
        module.inspect(compile_module(tmp_path / "esp_hosted.ko", uses=("spi_sync", "spi_slow")), kernel)


@pytest.mark.parametrize(
    ("extra", "complaint"),
    [
        ('.section .fixup,"ax"\nnop', "unexpected section .fixup"),
        ('.section .eh_frame,"a"\n.quad 0', "unexpected section .eh_frame"),
        ('.section .text.patched,"awx"\nnop\nnop', "section .text.patched is writable and executable"),
        ('.section .note.GNU-stack,"x",@progbits', "executable stack"),
    ],
)
def test_section_that_does_not_belong(tmp_path: Path, kernel: Kernel, extra: str, complaint: str) -> None:
    path = compile_module(tmp_path / "esp_hosted.ko")
    source = path.with_suffix(".s")
    text = source.read_text()
    if "GNU-stack" in extra:
        text = text.replace('.section .note.GNU-stack,"",@progbits', "")
    source.write_text(f"{text}\n{extra}\n")
    subprocess.run(["gcc", "-c", "-x", "assembler", "-o", path, source], check=True)
    with pytest.raises(HarnessError, match=complaint):
        module.inspect(path, kernel)


def test_what_gcov_adds_is_no_mistake(tmp_path: Path, kernel: Kernel) -> None:
    path = compile_module(tmp_path / "esp_hosted.ko")
    source = path.with_suffix(".s")
    arrays = [f'.section .{name}_array.00100,"aw"\n.quad 0\n' for name in ("init", "fini")]
    source.write_text("\n".join([source.read_text(), *arrays]))
    subprocess.run(["gcc", "-c", "-x", "assembler", "-o", path, source], check=True)
    module.inspect(path, kernel)


def test_license_and_name(tmp_path: Path, kernel: Kernel) -> None:
    path = compile_module(tmp_path / "esp_hosted.ko", name="other", license="Proprietary")
    with pytest.raises(HarnessError) as caught:
        module.inspect(path, kernel)
    assert "its name is 'other'" in caught.value.message
    assert "license 'Proprietary' may not use GPL-only symbols" in caught.value.message


def test_file_that_is_no_module(tmp_path: Path) -> None:
    path = tmp_path / "esp_hosted.ko"
    path.write_bytes(b"not an ELF file")
    with pytest.raises(HarnessError, match="not a readable kernel module"):
        elf.read(path)


def test_damaged_symvers_names_the_line(tmp_path: Path) -> None:
    path = tmp_path / "Module.symvers"
    path.write_text("0x1\tone\tvmlinux\tEXPORT_SYMBOL\t\nnonsense\n")
    with pytest.raises(HarnessError, match=r"Module.symvers:2: "):
        module.read_symvers(path)


def test_mirror_keeps_times_of_equal_files(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    (source / "sub").mkdir(parents=True)
    (source / "a.c").write_text("a")
    (source / "sub" / "b.c").write_text("b")
    (source / "a.o").write_text("object")
    module.mirror(source, target, module.IGNORED)
    before = (target / "a.c").stat().st_mtime_ns
    (target / "a.o").write_text("built here")
    (source / "sub" / "b.c").unlink()
    (source / "a.c").touch()
    module.mirror(source, target, module.IGNORED)
    assert (target / "a.c").stat().st_mtime_ns == before
    assert (target / "a.o").read_text() == "built here"
    assert not (target / "sub" / "b.c").exists()
