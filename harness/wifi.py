# SPDX-License-Identifier: MIT
"""The driver and its interface on a target, by way of the tools everybody uses: modprobe, ip, iw, ethtool."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from harness.errors import HarnessError
from harness.target import Target

MODULE = "esp_hosted"
DRIVER = f"/sys/bus/spi/drivers/{MODULE}"
# Reset, the firmware's boot (1.3 s), the first commands; on an emulated processor with others beside it.
APPEAR_SECONDS = 20.0
SCAN_SECONDS = 60.0
CONNECT_SECONDS = 20.0


class WifiError(HarnessError):
    """The interface did not do what it was asked for."""


@dataclass(frozen=True)
class Bss:
    """A network as `iw scan` lists it."""

    bssid: str
    ssid: str
    frequency: int
    """MHz"""
    signal: float
    """dBm"""
    beacon_interval: int
    """Time units of 1024 µs"""

    @property
    def channel(self) -> int:
        """Number of the channel (IEEE 802.11, annex E)."""
        if self.frequency == 2484:
            return 14
        return (self.frequency - (2407 if self.frequency < 3000 else 5000)) // 5


def parse_scan(text: str) -> list[Bss]:
    """The output of `iw dev … scan`, strongest first."""
    found = []
    for block in re.split(r"^(?=BSS [0-9a-f]{2}:)", text, flags=re.MULTILINE):
        head = re.match(r"BSS ([0-9a-f:]{17})", block)
        frequency = re.search(r"^\tfreq: (\d+)", block, re.MULTILINE)
        signal = re.search(r"^\tsignal: (-?[\d.]+) dBm", block, re.MULTILINE)
        ssid = re.search(r"^\tSSID: ?(.*)$", block, re.MULTILINE)
        interval = re.search(r"^\tbeacon interval: (\d+)", block, re.MULTILINE)
        if head and frequency and signal:
            found.append(
                Bss(
                    head[1],
                    ssid[1] if ssid else "",
                    int(frequency[1]),
                    float(signal[1]),
                    int(interval[1]) if interval else 0,
                )
            )
    return sorted(found, key=lambda bss: -bss.signal)


def scan_trigger(interface: str, words: Sequence[str] = ()) -> list[str]:
    """The command that starts a scan and does not wait for its end."""
    return ["iw", "dev", interface, "scan", "trigger", *words]


def scan_script(interface: str, words: Sequence[str] = ()) -> str:
    """A shell script that scans and prints the results; `words` are those of `iw dev ... scan trigger`.

    `iw scan` alone begins to listen after it has begun to scan: on a busy machine it misses the end and waits
    for ever. The script's status is iw's if that refuses.
    """
    trigger = shlex.join(scan_trigger(interface, words))
    return (
        "( said=$(mktemp); iw event >$said & listener=$!; trap 'kill $listener; rm -f $said' EXIT; "
        # nl80211's group `scan` is the second that iw joins; the lower 22 bits of its port are its process.
        "listens() { while read -r _ family port joined _; do "
        "[ $family = 16 ] && [ $((port & 0x3fffff)) = $listener ] && [ $((0x$joined & 0x$joined - 1)) != 0 ] "
        "&& return; done </proc/net/netlink; return 1; }; "
        "heard() { while read -r line; do case $line in *'scan finished'*|*'scan aborted'*) return;; esac; "
        "done <$said; return 1; }; "
        "for n in $(seq 50); do listens && break; sleep 0.1; done; "
        # Again, in case the group is beyond the 32 that /proc shows; 240 is EBUSY: somebody else scans.
        f"while :; do {trigger}; status=$?; [ $status = 0 ] || [ $status = 240 ] || exit $status; "
        "for n in $(seq 40); do heard && break 2; sleep 0.1; done; done; "
        f"{shlex.join(['iw', 'dev', interface, 'scan', 'dump'])} )"
    )


@dataclass(frozen=True)
class Link:
    """An association as `iw link` shows it."""

    bssid: str
    ssid: str
    frequency: int
    """MHz"""
    signal: int | None
    """dBm"""
    tx_bitrate: float | None
    """Mbit/s"""
    rx_bitrate: float | None
    """Mbit/s"""
    text: str
    """All that iw said."""


def parse_link(text: str) -> Link | None:
    """The output of `iw dev … link`; None if not connected. WifiError: not understood."""
    if text.startswith("Not connected"):
        return None
    head = re.search(r"^Connected to ([0-9a-f:]{17})", text, re.MULTILINE)
    ssid = re.search(r"^\tSSID: (.*)$", text, re.MULTILINE)
    frequency = re.search(r"^\tfreq: (\d+)", text, re.MULTILINE)
    if not (head and ssid and frequency):
        raise WifiError(f"this is not the output of iw link:\n{text}")
    signal = re.search(r"^\tsignal: (-?\d+) dBm", text, re.MULTILINE)
    tx, rx = (re.search(rf"^\t{way} bitrate: ([\d.]+) MBit/s", text, re.MULTILINE) for way in ("tx", "rx"))
    return Link(
        head[1],
        ssid[1],
        int(frequency[1]),
        int(signal[1]) if signal else None,
        float(tx[1]) if tx else None,
        float(rx[1]) if rx else None,
        text,
    )


def parse_colons(text: str) -> dict[str, str]:
    """Lines `name: value`, as ethtool prints them; headings have no value."""
    pairs = (line.partition(":") for line in text.splitlines() if ":" in line)
    return {name.strip(): value.strip() for name, _, value in pairs}


def parse_interrupts(text: str) -> dict[str, int]:
    """/proc/interrupts: how often each handler ran, all CPUs together, by the handler's name."""
    result: dict[str, int] = {}
    for line in text.splitlines()[1:]:
        # Number, a count for each CPU, controller, its line, trigger, names of the handlers.
        match = re.match(r" *\d+:((?: +\d+)+) .*\b(?:Edge|Level) +(\S.*)$", line)
        if match:
            result[match[2].strip()] = result.get(match[2].strip(), 0) + sum(map(int, match[1].split()))
    return result


class Wifi:
    """The interface of the driver on one target. All methods raise HarnessError with the tool's words."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.interface = "wlan0"

    # The module

    def loaded(self) -> bool:
        """True if the module is in the kernel."""
        return self.target.run(["test", "-d", f"/sys/module/{MODULE}"], check=False).ok

    def load(self) -> str:
        """Load the module and wait for its interface; the interface's name."""
        self.target.run(["modprobe", MODULE], timeout=30)
        return self.wait_interface()

    def wait_interface(self, timeout: float = APPEAR_SECONDS) -> str:
        """Wait until the driver has an interface; its name."""
        script = f'until set -- {DRIVER}/spi*/net/* && [ -e "$1" ]; do sleep 0.05; done; echo "$1"'
        result = self.target.run(script, timeout=timeout, check=False)
        if not result.ok:
            log = self.target.run("dmesg | tail -n 15").stdout
            raise WifiError(
                f"{MODULE} created no interface within {timeout:g} s; the kernel's log ends with:\n{log}"
            )
        self.interface = result.stdout.strip().rpartition("/")[2]
        return self.interface

    def unload(self) -> None:
        """Remove the module."""
        self.target.run(["rmmod", MODULE], timeout=30)

    def device(self) -> str:
        """The SPI device the driver is bound to, `spi0.0`."""
        return self.target.run(f"ls -d {DRIVER}/spi*").stdout.split()[0].rpartition("/")[2]

    # The interface

    def up(self) -> None:
        """Bring the interface up."""
        self.target.run(["ip", "link", "set", "dev", self.interface, "up"], timeout=30)

    def down(self) -> None:
        """Bring the interface down."""
        self.target.run(["ip", "link", "set", "dev", self.interface, "down"], timeout=30)

    def ip_link(self) -> dict[str, Any]:
        """`ip -j -s -d link show` of the interface."""
        found = self.target.run_json(["ip", "-j", "-s", "-d", "link", "show", "dev", self.interface])
        return dict(found[0])

    def wait_carrier(self, on: bool, timeout: float = 10.0) -> None:
        """Wait until the interface has, or has lost, its carrier."""
        carrier = f"/sys/class/net/{self.interface}/carrier"
        script = f'until read -r now <{carrier} && [ "$now" = {int(on)} ]; do sleep 0.02; done'
        if not self.target.run(script, timeout=timeout, check=False).ok:
            raise WifiError(f"{self.interface}: carrier not {'on' if on else 'off'} within {timeout:g} s")

    def wait_packets(self, way: Literal["tx", "rx"], count: int, timeout: float = 30.0) -> None:
        """Wait until the interface has sent or received `count` packets more than now."""
        file = f"/sys/class/net/{self.interface}/statistics/{way}_packets"
        script = f'end=$(($(cat {file}) + {count})); until [ "$(cat {file})" -ge $end ]; do sleep 0.02; done'
        if not self.target.run(script, timeout=timeout, check=False).ok:
            raise WifiError(f"{self.interface}: not {count} packets more ({way}) within {timeout:g} s")

    def ethtool(self, option: str | None = None) -> dict[str, str]:
        """What `ethtool [OPTION] INTERFACE` prints, by name."""
        words = ["ethtool", *([option] if option else []), self.interface]
        return parse_colons(self.target.run(words).stdout)

    def statistics(self) -> dict[str, int]:
        """`ethtool -S`: the driver's own counters."""
        return {name: int(value) for name, value in self.ethtool("-S").items() if value}

    def interrupts(self) -> dict[str, int]:
        """/proc/interrupts by handler."""
        return parse_interrupts(self.target.read_file("/proc/interrupts").decode())

    # Wi-Fi

    def scan(self, *words: str) -> list[Bss]:
        """What is in the air, strongest first; `words` are those of `iw dev ... scan trigger`."""
        return parse_scan(self.target.run(scan_script(self.interface, words), timeout=SCAN_SECONDS).stdout)

    def start_scan(self, *words: str, check: bool = True) -> None:
        """Start a scan and leave it to itself; `check`: CommandError if it is refused."""
        self.target.run(scan_trigger(self.interface, words), check=check)

    def connect(self, ssid: str) -> Link:
        """Associate with an open network, leaving another one for it, and wait for the carrier."""
        if self.link() is not None:
            self.disconnect()
        command = ["iw", "dev", self.interface, "connect", "-w", ssid]
        result = self.target.run(command, timeout=CONNECT_SECONDS, check=False)
        # iw listens for the end after the start: in a slow guest it may wait for what has been.
        missed = result.late and (link := self.link()) is not None and link.ssid == ssid
        if not missed and (not result.ok or "connected to" not in result.stdout):
            said = "did not end" if result.late else (result.stdout + result.stderr).strip()
            raise WifiError(f"no connection to {ssid!r}: {said}")
        self.wait_carrier(True)
        link = self.link()
        if link is None:
            raise WifiError(f"{ssid!r} was connected, and is not any more")
        return link

    def disconnect(self) -> None:
        """End the association and wait until the carrier is gone."""
        self.target.run(["iw", "dev", self.interface, "disconnect"])
        self.wait_carrier(False)

    def link(self) -> Link | None:
        """The association, None without one."""
        return parse_link(self.target.run(["iw", "dev", self.interface, "link"]).stdout)

    def serves(self, ssid: str) -> bool:
        """True if the driver has an interface that is in this network and has an IPv4 address.

        One command asks for all of it: tests begin with this question.
        """
        script = (
            f'set -- {DRIVER}/spi*/net/*; [ -e "$1" ] || exit; one=${{1##*/}}; echo "$one"; '
            'iw dev "$one" link; ip -4 -o addr show dev "$one"'
        )
        name, *lines = self.target.run(script, check=False).stdout.splitlines() or [""]
        if f"\tSSID: {ssid}" not in lines or not any(" inet " in line for line in lines):
            return False
        self.interface = name
        return True

    # Addresses

    def lease(self, timeout: float = 30.0) -> str:
        """Get an IPv4 address from the network's DHCP server; the address without its prefix length."""
        self.target.run(
            ["busybox", "udhcpc", "-i", self.interface, "-n", "-q", "-f", "-t", "10", "-T", "1",
             "-s", "/etc/udhcpc/default.script"],
            timeout=timeout,
        )  # fmt: skip
        found = self.address()
        if found is None:
            raise WifiError(f"{self.interface} has a DHCP lease, but no address")
        return found

    def address(self) -> str | None:
        """The interface's IPv4 address, None without one."""
        found = self.target.run_json(["ip", "-j", "-4", "addr", "show", "dev", self.interface])
        for entry in found:
            for one in entry.get("addr_info", []):
                return str(one["local"])
        return None

    # Binding

    def bind(self, device: str) -> None:
        """Have the driver take an SPI device."""
        self.target.run(f"echo {shlex.quote(device)} >{DRIVER}/bind", timeout=30)

    def unbind(self, device: str) -> None:
        """Take an SPI device away from the driver."""
        self.target.run(f"echo {shlex.quote(device)} >{DRIVER}/unbind", timeout=30)
