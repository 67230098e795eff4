# SPDX-License-Identifier: MIT
"""Several co-processors in one guest, each in a network namespace of its own: what they exchange goes through
the air. hostapd and wpa_supplicant on them.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from harness import traffic
from harness.coprocessor import Coprocessor
from harness.target import Job, Target
from harness.wifi import Bss, parse_scan, scan_script
from tests.guest.firmware import RELEASED
from tests.guest.lab import Lab

# The controllers' addresses, by which a radio is recognised: the interfaces' names depend on who boots first.
CONTROLLERS = {"esp0": "30830000", "esp1": "30820000", "esp2": "30840000"}
MS = 1_000_000
# Times of the model that would only make tests longer.
QUICK = {"boot-ns": 100 * MS, "reboot-ns": 100 * MS, "scan-dwell-ns": 30 * MS}

SSID = "two radios"
CHANNEL = 1
FREQUENCY = 2412
PASSPHRASE = "a long passphrase"
AP_ADDRESS, STATION_ADDRESS, SECOND_ADDRESS = "192.0.2.1", "192.0.2.2", "192.0.2.3"
CONNECT_SECONDS = 30.0


@dataclass(frozen=True)
class Security:
    """What hostapd and wpa_supplicant are told."""

    hostapd: str
    network: str
    supplicant: str = ""
    """Outside of the network's block."""
    mfp: bool = False
    """Management frames are protected then."""


def _psk(management: str, **options: str) -> str:
    lines = {"key_mgmt": management, "psk": f'"{PASSPHRASE}"', **options}
    return "\n\t".join(f"{name}={value}" for name, value in lines.items())


def _rsn(management: str, *more: str) -> str:
    lines = ("wpa=2", f"wpa_key_mgmt={management}", "rsn_pairwise=CCMP", f"wpa_passphrase={PASSPHRASE}")
    return "\n".join((*lines, *more)) + "\n"


SAE = _psk("SAE", ieee80211w="2")
SECURITY = {
    "open": Security("", "key_mgmt=NONE"),
    "wpa2": Security(_rsn("WPA-PSK"), _psk("WPA-PSK")),
    "wpa2-pmf": Security(
        _rsn("WPA-PSK-SHA256", "ieee80211w=2"), _psk("WPA-PSK-SHA256", ieee80211w="2"), mfp=True
    ),
    "wpa3": Security(_rsn("SAE", "ieee80211w=2"), SAE, mfp=True),
    "wpa3-h2e": Security(_rsn("SAE", "ieee80211w=2", "sae_pwe=1"), SAE, "sae_pwe=1", mfp=True),
    "wpa3-token": Security(_rsn("SAE", "ieee80211w=2", "sae_anti_clogging_threshold=0"), SAE, mfp=True),
    "wpa3-h2e-token": Security(
        _rsn("SAE", "ieee80211w=2", "sae_pwe=2", "sae_anti_clogging_threshold=0"), SAE, "sae_pwe=2", mfp=True
    ),
    "transition-wpa3": Security(_rsn("WPA-PSK SAE", "ieee80211w=1"), SAE, mfp=True),
    "transition-wpa2": Security(_rsn("WPA-PSK SAE", "ieee80211w=1"), _psk("WPA-PSK")),
    "tkip": Security(
        f"wpa=1\nwpa_key_mgmt=WPA-PSK\nwpa_pairwise=TKIP\nwpa_passphrase={PASSPHRASE}\n",
        _psk("WPA-PSK", proto="WPA", pairwise="TKIP", group="TKIP"),
    ),
}


@dataclass(frozen=True)
class Radio:
    """One interface in its namespace."""

    target: Target
    name: str
    interface: str
    esp: Coprocessor

    @property
    def prefix(self) -> list[str]:
        """Runs a program in the namespace."""
        return ["ip", "netns", "exec", self.name]

    def run(self, *words: str, timeout: float = 30.0, check: bool = True) -> str:
        """What a program in the namespace says."""
        return self.target.run([*self.prefix, *words], timeout=timeout, check=check).stdout

    def spawn(self, *words: str) -> Job:
        """Start a program in the namespace."""
        return self.target.spawn([*self.prefix, *words])

    def iw(self, *words: str) -> str:
        """What `iw dev INTERFACE ...` says."""
        return self.run("iw", "dev", self.interface, *words)

    def scan(self, *words: str) -> list[Bss]:
        """What is in the air, as `Wifi.scan`."""
        self.run("ip", "link", "set", "dev", self.interface, "up")
        return parse_scan(self.run("sh", "-c", scan_script(self.interface, words)))

    @property
    def mac(self) -> str:
        """The interface's address."""
        return self.run("cat", f"/sys/class/net/{self.interface}/address").strip()

    def stations(self) -> dict[str, str]:
        """`iw station dump`, by address."""
        blocks = re.split(r"^Station ([0-9a-f:]{17}) .*\n", self.iw("station", "dump"), flags=re.MULTILINE)
        return dict(zip(blocks[1::2], blocks[2::2], strict=True))

    def wait_stations(self, count: int) -> None:
        """Wait until the driver knows so many; hostapd says that one has left before it removes it."""
        dump = f"iw dev {self.interface} station dump | grep -c ^Station"
        self.run("sh", "-c", f'until [ "$({dump})" = {count} ]; do sleep 0.05; done')

    def address(self, address: str) -> None:
        """Give the interface an IPv4 address, instead of those it has."""
        self.run("ip", "addr", "flush", "dev", self.interface)
        self.run("ip", "addr", "add", f"{address}/24", "dev", self.interface)

    def ping(self, host: str, count: int = 3) -> int:
        """How many of `count` echo requests are answered."""
        # The first one also has to find the other's address.
        said = self.run(*traffic.ping_command(host, count, interval=0.2, wait=3), check=False)
        return traffic.first_of(traffic.parse_ping(said), count).received

    def statistics(self) -> dict[str, int]:
        """`ethtool -S`: the driver's own counters."""
        lines = (line.partition(":") for line in self.run("ethtool", "-S", self.interface).splitlines())
        return {name.strip(): int(value) for name, _, value in lines if value.strip()}


class Radios:
    """The radios of one guest with one generation of firmware; set up again after a failure."""

    def __init__(self, lab: Lab, generation: str) -> None:
        self._lab = lab
        self._generation = generation
        self._boot = 0
        self._radios: dict[str, Radio] = {}

    def ready(self) -> dict[str, Radio]:
        """All radios by name: up to being configured."""
        target = self._lab.guest
        if self._boot != self._lab.boots or self._lab.doubtful:
            self._set_up(target)
            self._boot = self._lab.boots
            self._lab.trust()
        return self._radios

    def _set_up(self, target: Target) -> None:
        monitor = self._lab.guest.machine.monitor
        target.run("rmmod esp_hosted", check=False, timeout=30)
        for name in CONTROLLERS:
            target.run(["ip", "netns", "del", name], check=False)
            esp = Coprocessor(monitor, name)
            esp.faults.disarm_all()
            for setting, value in QUICK.items():
                esp.set(setting, value)
            esp.set("generation", self._generation)
            esp.set("quirks", RELEASED)
        target.run(["modprobe", "esp_hosted"])
        self._radios = {name: self._radio(target, Coprocessor(monitor, name)) for name in CONTROLLERS}

    @staticmethod
    def _radio(target: Target, esp: Coprocessor) -> Radio:
        """The interface of a co-processor, in a namespace of its name."""
        found = target.run(
            "until for device in /sys/bus/spi/devices/spi*; do "
            f'case $(readlink -f "$device") in */{CONTROLLERS[esp.name]}.spi/*) '
            'ls "$device/net" 2>/dev/null;; esac; done | grep .; do sleep 0.05; done',
            timeout=30,
        ).stdout.split()
        assert len(found) == 1, found
        phy = target.run(["cat", f"/sys/class/net/{found[0]}/phy80211/name"]).stdout.strip()
        target.run(["ip", "netns", "add", esp.name])
        target.run(["iw", "phy", phy, "set", "netns", "name", esp.name])
        return Radio(target, esp.name, found[0], esp)


@dataclass(frozen=True)
class Daemon:
    """hostapd or wpa_supplicant on a radio."""

    radio: Radio
    job: Job
    client: str
    """hostapd_cli or wpa_cli"""
    directory: str

    @property
    def command(self) -> str:
        """Its command line client, to be followed by what to ask."""
        return shlex.join([*self.radio.prefix, self.client, "-p", self.directory, "-i", self.radio.interface])

    def cli(self, *words: str) -> str:
        """What its command line client says."""
        return self.radio.target.run(f"{self.command} {shlex.join(words)}", timeout=30).stdout

    def wait(self, pattern: str, timeout: float = CONNECT_SECONDS, count: int = 1) -> None:
        """Wait until it has said something `count` times."""
        self.job.wait_output(pattern, timeout, count)

    def count(self, pattern: str) -> int:
        """How often it has said something."""
        return len(re.findall(pattern, self.job.output()))


@contextmanager
def access_point(
    radio: Radio,
    security: Security,
    *,
    ssid: str = SSID,
    channel: int = CHANNEL,
    address: str = AP_ADDRESS,
    more: str = "",
) -> Iterator[Daemon]:
    """hostapd with an access point that is enabled."""
    directory = f"/run/hostapd-{radio.name}"
    config = f"/run/hostapd-{radio.name}.conf"
    radio.target.write_file(
        config,
        f"interface={radio.interface}\ndriver=nl80211\nctrl_interface={directory}\nssid={ssid}\nhw_mode=g\n"
        f"channel={channel}\n{security.hostapd}{more}",
    )
    job = radio.spawn("hostapd", config)
    try:
        job.wait_output("AP-ENABLED", CONNECT_SECONDS)
        radio.address(address)
        yield Daemon(radio, job, "hostapd_cli", directory)
    finally:
        job.stop()


@contextmanager
def supplicant(
    radio: Radio,
    security: Security,
    *,
    ssid: str = SSID,
    frequencies: tuple[int, ...] = (FREQUENCY,),
    options: tuple[str, ...] = (),
) -> Iterator[Daemon]:
    """wpa_supplicant that looks for the network."""
    directory = f"/run/wpa-{radio.name}"
    config = f"/run/wpa-{radio.name}.conf"
    channels = " ".join(map(str, frequencies))
    radio.target.write_file(
        config,
        f'ctrl_interface={directory}\n{security.supplicant}\nnetwork={{\n\tssid="{ssid}"\n\t'
        f"scan_freq={channels}\n\t{security.network}\n}}\n",
    )
    job = radio.spawn("wpa_supplicant", "-i", radio.interface, "-c", config, *options)
    try:
        yield Daemon(radio, job, "wpa_cli", directory)
    finally:
        job.stop()


@contextmanager
def station(
    radio: Radio,
    security: Security,
    *,
    address: str = STATION_ADDRESS,
    ssid: str = SSID,
    frequencies: tuple[int, ...] = (FREQUENCY,),
    options: tuple[str, ...] = (),
) -> Iterator[Daemon]:
    """wpa_supplicant that is connected, and an address."""
    with supplicant(radio, security, ssid=ssid, frequencies=frequencies, options=options) as daemon:
        daemon.wait("CTRL-EVENT-CONNECTED")
        radio.address(address)
        yield daemon
