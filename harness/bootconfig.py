# SPDX-License-Identifier: MIT
"""Boot configurations as text: how an overlay is added to one, and taken out again.

Adding twice changes nothing the second time, and taking out what was added gives back the same bytes.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from harness.errors import HarnessError

MARK = "# esp-hosted: added by ./inv deploy"


@dataclass(frozen=True)
class Edit:
    """One configuration file with and without the overlay."""

    path: str
    old: str | None
    """None: the file does not exist."""
    new: str


class Scheme(ABC):
    """How one kind of boot loader is told about overlays."""

    configs: tuple[str, ...]
    """Where its configuration is, the first that exists counts."""

    @abstractmethod
    def directory(self, config: str) -> str:
        """Where its overlays are."""

    @abstractmethod
    def add(self, text: str, overlay: str) -> str:
        """The configuration with an overlay, whose path on the board is given. HarnessError: it has no place
        for one."""

    @abstractmethod
    def remove(self, text: str, overlay: str) -> str:
        """The configuration without it."""


class RaspberryPi(Scheme):
    """config.txt of the Raspberry Pi's firmware."""

    configs = ("/boot/firmware/config.txt", "/boot/config.txt")

    def directory(self, config: str) -> str:
        return str(PurePosixPath(config).parent / "overlays")

    def add(self, text: str, overlay: str) -> str:
        name = PurePosixPath(overlay).stem
        for line in _active(text):
            if re.match(rf"dtoverlay={re.escape(name)}(,|$)", line):
                return text
        filters = [line for line in _active(text) if re.fullmatch(r"\[.*\]", line)]
        # Another filter would hide it from some boards.
        everywhere = "[all]\n" if filters and filters[-1] != "[all]" else ""
        return _append(text, f"{everywhere}dtoverlay={name}\n")

    def remove(self, text: str, overlay: str) -> str:
        name = PurePosixPath(overlay).stem
        return re.sub(
            rf"(?:(?<=\n)\n|^)?{re.escape(MARK)}\n(?:\[all\]\n)?dtoverlay={re.escape(name)}(?:,.*)?\n",
            "",
            text,
        )


class UEnv(Scheme):
    """uEnv.txt of BeagleBoard.org's U-Boot."""

    configs = ("/boot/uEnv.txt",)

    def directory(self, config: str) -> str:
        return "/lib/firmware"

    def add(self, text: str, overlay: str) -> str:
        if any(re.match(rf"\w+={re.escape(overlay)}$", line) for line in _active(text)):
            return text
        used = {
            match[1] for line in _active(text) if (match := re.match(r"uboot_overlay_addr([4-7])=", line))
        }
        free = [number for number in "4567" if number not in used]
        if not free:
            raise HarnessError(
                "uEnv.txt has no place for one more overlay: uboot_overlay_addr4 to 7 are taken",
                hint="remove one of them from /boot/uEnv.txt on the board",
            )
        enabled = any(line == "enable_uboot_overlays=1" for line in _active(text))
        switch = "" if enabled else "enable_uboot_overlays=1\n"
        return _append(text, f"{switch}uboot_overlay_addr{free[0]}={overlay}\n")

    def remove(self, text: str, overlay: str) -> str:
        return re.sub(
            rf"(?:(?<=\n)\n|^)?{re.escape(MARK)}\n(?:enable_uboot_overlays=1\n)?"
            rf"uboot_overlay_addr\d={re.escape(overlay)}\n",
            "",
            text,
        )


class _Words(Scheme):
    """A variable that holds a list of names, in a file of assignments."""

    variable: str
    quote = ""

    @abstractmethod
    def word(self, overlay: str) -> str:
        """How the list names an overlay."""

    def add(self, text: str, overlay: str) -> str:
        word = self.word(overlay)
        found = self._line(text)
        if found is None:
            return _append(text, f"{self.variable}={self.quote}{word}{self.quote}\n")
        words = found[2].split()
        if word in words:
            return text
        return f"{text[: found.start(2)]}{found[2]}{' ' if words else ''}{word}{text[found.end(2) :]}"

    def remove(self, text: str, overlay: str) -> str:
        word = re.escape(self.word(overlay))
        ours = rf"(?:(?<=\n)\n|^)?{re.escape(MARK)}\n{self.variable}={self.quote}{word}{self.quote}\n"
        if re.search(ours, text):
            return re.sub(ours, "", text)
        found = self._line(text)
        if found is None:
            return text
        words = re.sub(rf"(^| ){word}(?= |$)", "", found[2])
        return text[: found.start(2)] + words + text[found.end(2) :]

    def _line(self, text: str) -> re.Match[str] | None:
        return re.search(rf"^({self.variable}=[\"']?)([^\"'\n]*)", text, re.MULTILINE)


class Armbian(_Words):
    """armbianEnv.txt."""

    configs = ("/boot/armbianEnv.txt",)
    variable = "user_overlays"

    def directory(self, config: str) -> str:
        return "/boot/overlay-user"

    def word(self, overlay: str) -> str:
        return PurePosixPath(overlay).stem


class UBootMenu(_Words):
    """/etc/default/u-boot, from which Debian's u-boot-menu makes extlinux.conf with each new kernel."""

    configs = ("/etc/default/u-boot",)
    variable = "U_BOOT_FDT_OVERLAYS"
    quote = '"'

    def directory(self, config: str) -> str:
        return "/boot/dtbo"

    def word(self, overlay: str) -> str:
        return PurePosixPath(overlay).name


class Extlinux(Scheme):
    """extlinux.conf: a line `fdtoverlays` in each entry that has a kernel."""

    configs = ("/boot/extlinux/extlinux.conf", "/extlinux/extlinux.conf")

    def directory(self, config: str) -> str:
        return str(PurePosixPath(config).parent.parent / "dtbo")

    def add(self, text: str, overlay: str) -> str:
        found: list[str] = []
        changed = False
        for entry in _entries(text):
            if not _kernel(entry):
                found += entry
                continue
            path = self._path(entry, overlay)
            place = next((number for number, line in enumerate(entry) if _key(line) == "fdtoverlays"), None)
            if place is None:
                after = max(number for number, line in enumerate(entry) if line.strip())
                indent = re.match(r"\s*", entry[_kernel(entry)])
                line = f"{indent[0] if indent else ''}fdtoverlays {path}\n"
                if not entry[after].endswith("\n"):
                    entry[after] += "\n"
                    line = line.rstrip("\n")
                entry.insert(after + 1, line)
                changed = True
            elif path not in entry[place].split():
                stripped = entry[place].rstrip("\n")
                entry[place] = f"{stripped} {path}" + entry[place][len(stripped) :]
                changed = True
            found += entry
        result = "".join(found)
        if not changed and self.remove(text, overlay) == text:
            raise HarnessError(
                "extlinux.conf has no entry with a kernel", hint="correct it on the board: `label`, `linux`"
            )
        return result

    def remove(self, text: str, overlay: str) -> str:
        name = re.escape(PurePosixPath(overlay).name)
        text = re.sub(rf"^[ \t]*fdtoverlays[ \t]+\S*/{name}\n", "", text, flags=re.MULTILINE | re.IGNORECASE)
        text = re.sub(rf"\n[ \t]*fdtoverlays[ \t]+\S*/{name}\Z", "", text, flags=re.IGNORECASE)
        return re.sub(
            rf"^([ \t]*fdtoverlays\b.*?)[ \t]+\S*/{name}(?=\s|$)",
            r"\1",
            text,
            flags=re.MULTILINE | re.IGNORECASE,
        )

    def _path(self, entry: Sequence[str], overlay: str) -> str:
        """The overlay as the boot loader sees it: without /boot where that is a partition of its own."""
        kernel = entry[_kernel(entry)].split()[1]
        return overlay if kernel.startswith("/boot/") else overlay.removeprefix("/boot")


SCHEMES: dict[str, Scheme] = {
    "rpi": RaspberryPi(),
    "extlinux": Extlinux(),
    "u-boot-menu": UBootMenu(),
    "uenv": UEnv(),
    "armbian": Armbian(),
}
# What is edited beside a scheme's own file, where it exists: what other programs make that file from, or what
# is made from it by a program that need not be run this way.
BESIDE: dict[str, tuple[str, ...]] = {"u-boot-menu": ("extlinux",), "extlinux": ("u-boot-menu",)}


def _active(text: str) -> list[str]:
    """Lines without comments and blanks around them."""
    lines = (line.strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def _append(text: str, lines: str) -> str:
    """Lines at the end, with our mark, set apart by an empty line."""
    if text and not text.endswith("\n"):
        raise HarnessError(
            "the boot configuration's last line has no end", hint="end it with a line break on the board"
        )
    return f"{text}{chr(10) if text else ''}{MARK}\n{lines}"


def _entries(text: str) -> list[list[str]]:
    """The lines of extlinux.conf, a list for what comes first and one for each label."""
    entries: list[list[str]] = [[]]
    for line in text.splitlines(keepends=True):
        if _key(line) == "label":
            entries.append([])
        entries[-1].append(line)
    return entries


def _key(line: str) -> str:
    words = line.split(maxsplit=1)
    return words[0].lower() if words else ""


def _kernel(entry: Sequence[str]) -> int:
    """The number of an entry's line with its kernel; 0, where the label is, if it has none."""
    found = (n for n, line in enumerate(entry) if _key(line) in ("linux", "kernel") and len(line.split()) > 1)
    return next(found, 0)
