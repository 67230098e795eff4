# SPDX-License-Identifier: MIT
"""What a board is and has, as far as deploying needs it; one round trip."""

from __future__ import annotations

import re
from dataclasses import dataclass

from harness.errors import HarnessError
from harness.target import Answers, Target

# uname -m to Debian's name.
ARCHES = {"aarch64": "arm64", "armv7l": "armhf", "armv6l": "armhf", "x86_64": "amd64", "riscv64": "riscv64"}

_SCRIPT = r"""
PATH=$PATH:/usr/sbin:/sbin
release=$(uname -r)
echo "release $release"
echo "version $(uname -v)"
echo "machine $(uname -m)"
# A 32-bit userland under a 64-bit kernel still takes 64-bit modules.
echo "model $(tr -d '\0' </proc/device-tree/model 2>/dev/null)"
echo "root $(awk '$2 == "/" { type = $3; options = $4 } END { print type, options }' /proc/mounts)"
for directory in "/lib/modules/$release" /var/lib /boot /boot/firmware; do
    [ ! -d "$directory" ] || [ -w "$directory" ] || echo "readonly $directory"
done
[ -d "/lib/modules/$release" ] && echo "modules yes"
[ -e "/lib/modules/$release/build/Makefile" ] && echo "headers yes"
command -v make >/dev/null && command -v gcc >/dev/null && echo "compiler yes"
[ -d /proc/device-tree/__symbols__ ] && echo "labels yes"
command -v depmod >/dev/null && echo "depmod yes"
[ -d /usr/src/esp-hosted-* ] 2>/dev/null && echo "dkms yes"
true
"""


@dataclass(frozen=True)
class Survey:
    """A board's facts."""

    release: str
    """`uname -r`"""
    version: str
    """`uname -v`: for Debian's kernels the package's version is in it."""
    arch: str
    """Debian's name of the kernel's architecture."""
    model: str
    root: str
    """File system type and mount options of the root."""
    readonly: tuple[str, ...]
    """Directories that cannot be written to."""
    modules: bool
    headers: bool
    compiler: bool
    labels: bool
    """True if the running devicetree was compiled with labels."""
    depmod: bool
    dkms: bool
    """True if the source for DKMS is installed."""

    @property
    def package_version(self) -> str:
        """The version of Debian's package that the kernel comes from; empty if it is another one's."""
        match = re.search(r"\bDebian (\S+)", self.version)
        return match[1] if match else ""

    @property
    def series(self) -> tuple[int, int]:
        """Major and minor version; (0, 0) if the release begins with none."""
        match = re.match(r"(\d+)\.(\d+)", self.release)
        return (int(match[1]), int(match[2])) if match else (0, 0)


def take(target: Target) -> Survey:
    """Ask a board. Errors as `Target.run`."""
    return parse(target.run(_SCRIPT, timeout=60).stdout)


def parse(text: str) -> Survey:
    """What the script printed."""
    found = Answers.parse(text)
    one = found.one
    return Survey(
        release=one("release"),
        version=one("version"),
        arch=ARCHES.get(one("machine"), one("machine")),
        model=one("model"),
        root=one("root"),
        readonly=tuple(found.get("readonly", ())),
        modules=one("modules") == "yes",
        headers=one("headers") == "yes",
        compiler=one("compiler") == "yes",
        labels=one("labels") == "yes",
        depmod=one("depmod") == "yes",
        dkms=one("dkms") == "yes",
    )


def check(seen: Survey, arch: str, board: str) -> None:
    """HarnessError: nothing can be installed there, and why."""
    if seen.arch != arch:
        raise HarnessError(
            f"the board's kernel is for {seen.arch}, {board} is {arch}", hint="is it another board? --board"
        )
    if seen.root.startswith(("overlay", "squashfs", "tmpfs")):
        raise HarnessError(
            f"the board's root is {seen.root.split()[0]}: what is installed is lost with the next start",
            hint="switch the read-only root off (raspi-config, overlayroot) and deploy again",
        )
    if seen.readonly:
        raise HarnessError(
            f"{seen.readonly[0]} on the board is mounted read-only",
            hint="on the board: mount -o remount,rw / (dmesg says whether the card has errors)",
        )
    if not seen.modules:
        raise HarnessError(
            f"the board has no /lib/modules/{seen.release}: its kernel was replaced while it ran",
            hint="start the board again, then deploy",
        )
    if not seen.depmod:
        raise HarnessError("the board has no depmod", hint="on the board: apt-get install kmod")
