# SPDX-License-Identifier: MIT
"""A network namespace of the host with a tap device in it: the far end of the guest's network. Needs root."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from harness.errors import HarnessError


@dataclass(frozen=True)
class Namespace:
    """A namespace, the tap device in it, and the addresses at both ends."""

    name: str
    tap: str
    address: str
    """Of the tap device."""
    guest_address: str
    """For the guest; nothing hands it out."""
    length: int = 24
    """Of the network's prefix, bits."""


def prefix(namespace: str) -> list[str]:
    """The words that run a command inside a namespace."""
    return ["ip", "netns", "exec", namespace]


def _ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise HarnessError(f"ip {' '.join(words)}: {done.stderr.strip() or done.returncode}")


@contextmanager
def create() -> Iterator[Namespace]:
    """A namespace of this process's own, gone afterwards. HarnessError: no root, no tun driver, no ip."""
    if os.geteuid() != 0:
        raise HarnessError("a network namespace needs root", hint="run the same command with sudo")
    if shutil.which("ip") is None:
        raise HarnessError("ip is not installed", hint="apt-get install iproute2")
    if not Path("/dev/net/tun").exists():
        raise HarnessError("this kernel has no tap devices", hint="modprobe tun")
    space = Namespace(f"esp-hosted-{os.getpid()}", "tap0", "10.77.0.1", "10.77.0.2")
    _ip("netns", "add", space.name)
    try:
        inside = ("netns", "exec", space.name, "ip")
        _ip(*inside, "link", "set", "dev", "lo", "up")
        _ip(*inside, "tuntap", "add", "dev", space.tap, "mode", "tap")
        _ip(*inside, "addr", "add", f"{space.address}/{space.length}", "dev", space.tap)
        _ip(*inside, "link", "set", "dev", space.tap, "up")
        yield space
    finally:
        _ip("netns", "del", space.name)
