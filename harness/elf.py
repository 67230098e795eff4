# SPDX-License-Identifier: MIT
"""Kernel modules as files: modinfo, needed symbols with their CRCs, sections."""

from __future__ import annotations

import gzip
import io
import lzma
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from elftools.common.exceptions import ELFError
from elftools.elf.constants import SH_FLAGS
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from harness import commands
from harness.errors import HarnessError


@dataclass(frozen=True)
class ModuleFile:
    """What a .ko says about itself."""

    path: Path
    info: dict[str, tuple[str, ...]]
    """modinfo: key to its values."""
    undefined: frozenset[str]
    """Symbols that the kernel must export."""
    crcs: dict[str, int]
    """Symbol to the CRC it was built against (modversions); empty where the kernel has none."""
    allocated: dict[str, bool]
    """Sections that are loaded: name to "writable and executable at once"."""
    executable_stack: bool

    def value(self, key: str) -> str:
        """The first modinfo value of a key, "" if there is none."""
        return next(iter(self.info.get(key, ())), "")


def plain(path: Path) -> bytes:
    """The content of a module file, decompressed as its suffix says."""
    match path.suffix:
        case ".xz":
            return lzma.decompress(path.read_bytes())
        case ".gz":
            return gzip.decompress(path.read_bytes())
        case ".zst":
            target = commands.log_path(path.stem)
            commands.run(["zstd", "-d", "-q", "-f", "-o", target, path], log="module")
            content = target.read_bytes()
            target.unlink()
            return content
    return path.read_bytes()


def read(path: Path) -> ModuleFile:
    """Read a module, compressed or not. HarnessError if it is not an ELF file."""
    try:
        elf = ELFFile(io.BytesIO(plain(path)))
        return _read(path, elf)
    except (ELFError, lzma.LZMAError, EOFError, struct.error, OSError) as error:
        raise HarnessError(f"{path} is not a readable kernel module: {error}") from None


def _read(path: Path, elf: ELFFile) -> ModuleFile:
    info: dict[str, tuple[str, ...]] = {}
    for text in _content(elf, ".modinfo").split(b"\0"):
        key, equals, value = text.decode("utf-8", "replace").partition("=")
        if equals:
            info[key] = (*info.get(key, ()), value)
    undefined = set()
    for table in elf.iter_sections():
        if isinstance(table, SymbolTableSection):
            for symbol in table.iter_symbols():
                strong = symbol["st_info"]["bind"] == "STB_GLOBAL"
                if symbol["st_shndx"] == "SHN_UNDEF" and symbol.name and strong:
                    undefined.add(symbol.name)
    allocated = {}
    executable_stack = False
    both = SH_FLAGS.SHF_WRITE | SH_FLAGS.SHF_EXECINSTR
    for section in elf.iter_sections():
        flags = section["sh_flags"]
        if section.name == ".note.GNU-stack" and flags & SH_FLAGS.SHF_EXECINSTR:
            executable_stack = True
        if flags & SH_FLAGS.SHF_ALLOC:
            # An empty section maps nothing (arm64 has such ones for its jump tables).
            allocated[section.name] = flags & both == both and section["sh_size"] > 1
    return ModuleFile(path, info, frozenset(undefined), dict(_crcs(elf)), allocated, executable_stack)


def _content(elf: ELFFile, name: str) -> bytes:
    section = elf.get_section_by_name(name)
    return bytes(section.data()) if section is not None else b""


def _crcs(elf: ELFFile) -> Iterator[tuple[str, int]]:
    """Both forms of modversions: fixed-size records, and the extended ones of newer kernels."""
    order = "<" if elf.little_endian else ">"
    word = elf.elfclass // 8
    data = _content(elf, "__versions")
    for start in range(0, len(data) - 63, 64):
        (crc,) = struct.unpack_from(order + ("Q" if word == 8 else "I"), data, start)
        yield data[start + word : start + 64].partition(b"\0")[0].decode(), crc
    names = _content(elf, "__version_ext_names").rstrip(b"\0").split(b"\0")
    numbers = _content(elf, "__version_ext_crcs")
    for name, (crc,) in zip(names, struct.iter_unpack(order + "I", numbers), strict=False):
        yield name.decode(), crc
