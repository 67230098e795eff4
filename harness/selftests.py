# SPDX-License-Identifier: MIT
"""The kernel's own tests of network drivers, tools/testing/selftests/drivers/net, unmodified, in a guest."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness import kernels, provider_source
from harness.cache import Cache, digest
from harness.kernels import Kernel
from harness.kerneltable import UnavailableError

DIRECTORY = "tools/testing/selftests/drivers/net"
# What they need besides themselves: the library, netlink's specifications and what reads those.
NAMES = (DIRECTORY, "tools/testing/selftests/net/lib", "tools/net/ynl", "Documentation/netlink/specs")
# Of the guest, besides its usual ones.
PACKAGES = ("bash", "python3-yaml", "socat")

# The scripts that are run on our interface.
APPLY = ("ping.py", "queues.py", "stats.py")
# Why others are not. Kernels later than the row's may have more: those count as not looked at yet.
REASONS = {
    "bpf_offload.py": "offloads BPF programs into netdevsim",
    "hds.py": "header split: the driver has no such setting",
    "hw/csum.py": "needs the program csum, which has to be compiled for the guest",
    "hw/devlink_port_split.py": "splits devlink ports: the driver has none",
    "hw/devmem.py": "device memory for TCP: the driver has no page pool",
    "hw/ethtool.sh": "auto-negotiation between two Ethernet ports",
    "hw/ethtool_extended_state.sh": "link states of Ethernet ports",
    "hw/ethtool_mm.sh": "frame preemption of Ethernet",
    "hw/ethtool_rmon.sh": "RMON counters of an Ethernet MAC",
    "hw/hw_stats_l3.sh": "routing offload",
    "hw/hw_stats_l3_gre.sh": "routing offload",
    "hw/iou-zcrx.py": "zero copy: the driver has no page pool",
    "hw/irq.py": "interrupts of queues: an SPI device has one for all",
    "hw/loopback.sh": "a loopback inside an Ethernet port",
    "hw/nic_link_layer.py": "speeds of Ethernet ports",
    "hw/nic_performance.py": "speeds of Ethernet ports",
    "hw/pp_alloc_fail.py": "the driver has no page pool",
    "hw/rss_ctx.py": "the device has one receive queue",
    "hw/rss_input_xfrm.py": "the device has one receive queue",
    "hw/tso.py": "the driver leaves segmentation to the stack",
    "netcons_basic.sh": "makes its own netdevsim interfaces",
    "netcons_cmdline.sh": "makes its own netdevsim interfaces",
    "netcons_fragmented_msg.sh": "makes its own netdevsim interfaces",
    "netcons_overflow.sh": "makes its own netdevsim interfaces",
    "netcons_sysdata.sh": "makes its own netdevsim interfaces",
    "netpoll_basic.py": "the driver does not poll without interrupts: its bus sleeps",
    "shaper.py": "the driver shapes no traffic",
    "xdp.py": "the driver has no XDP",
}


@dataclass(frozen=True)
class Case:
    """One line of KTAP."""

    name: str
    ok: bool
    directive: str = ""
    """SKIP or XFAIL, and why."""


def tree(kernel: Kernel) -> Path:
    """The tests of a kernel's own source, with their paths in it.

    UnavailableError: the row is not of Debian, or its series is older than the tests.
    """
    _, row = kernels.row(kernel.name)
    if row.provider not in ("debian", "source"):
        raise UnavailableError(f"the source of kernel {kernel.name} is no package of Debian's")
    if tuple(map(int, row.series.split(".")[:2])) < (6, 12):
        raise UnavailableError(f"{DIRECTORY} can be told an interface since 6.9, and is of use since 6.12")
    source = provider_source.debian_source(row)

    def make(directory: Path) -> None:
        source.directories(NAMES, directory)

    key = digest("selftests", source.name, source.version, NAMES)
    return Cache().entry("selftests", key, make, f"self-tests of {source.name}", fetches=True)


def programs(tree: Path) -> list[str]:
    """The tests for one interface that this kernel has; those of single drivers are in other directories."""
    place = tree / DIRECTORY
    found = (path for name in ("", "hw") for path in (place / name).glob("*.[ps]*"))
    libraries = ("lib.sh", "_lib.sh")
    names = (path.relative_to(place).as_posix() for path in found if path.suffix in (".py", ".sh"))
    return sorted(name for name in names if not name.endswith(libraries))


def parse(text: str) -> Iterator[Case]:
    """The results in a test's output."""
    for ok, name, directive in re.findall(
        r"^(not ok|ok) \d+ (?:- )?(\S+)(?:[ \t]+# (.*?))?[ \t]*$", text, re.MULTILINE
    ):
        yield Case(name, ok == "ok", directive)
