# SPDX-License-Identifier: MIT
"""Two co-processors in one guest: hostapd's access point on one, wpa_supplicant's station on the other.

Each radio is in a network namespace of its own, so that what they exchange goes through the air.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from harness import traffic
from harness.coprocessor import Coprocessor
from harness.errors import HarnessError
from harness.target import Job, Target
from tests.guest.lab import Lab

# The controllers' addresses, by which a radio is recognised: their names depend on who boots first.
CONTROLLERS = {"esp0": "30830000", "esp1": "30820000"}
SSID = "two radios"
CHANNEL = 1
PASSPHRASE = "a long passphrase"
AP_ADDRESS, STATION_ADDRESS = "192.0.2.1", "192.0.2.2"
HOSTAPD_OPEN = ""
HOSTAPD_WPA2 = f"wpa=2\nwpa_key_mgmt=WPA-PSK\nrsn_pairwise=CCMP\nwpa_passphrase={PASSPHRASE}\n"
STATION_OPEN = "key_mgmt=NONE"
STATION_WPA2 = f'key_mgmt=WPA-PSK\n\tpsk="{PASSPHRASE}"'


@dataclass(frozen=True)
class Radio:
    """One interface in its namespace."""

    target: Target
    name: str
    interface: str

    @property
    def prefix(self) -> list[str]:
        """Runs a program in the namespace."""
        return ["ip", "netns", "exec", self.name]

    def run(self, *words: str) -> str:
        """What a program in the namespace says."""
        return self.target.run([*self.prefix, *words], timeout=30).stdout

    def spawn(self, *words: str) -> Job:
        """Start a program in the namespace."""
        return self.target.spawn([*self.prefix, *words])


def radio(target: Target, name: str) -> Radio:
    """The interface of a co-processor, in a namespace of its name."""
    found = target.run(
        f"until ls -d /sys/bus/spi/devices/spi*/net/* | grep -q .; do sleep 0.05; done; "
        f"until for device in /sys/bus/spi/devices/spi*; do "
        f'case $(readlink -f "$device") in */{CONTROLLERS[name]}.spi/*) ls "$device/net" 2>/dev/null;; esac; '
        f"done | grep .; do sleep 0.05; done",
        timeout=30,
    ).stdout.split()
    assert len(found) == 1, found
    phy = target.run(["cat", f"/sys/class/net/{found[0]}/phy80211/name"]).stdout.strip()
    target.run(["ip", "netns", "add", name])
    target.run(["iw", "phy", phy, "set", "netns", "name", name])
    return Radio(target, name, found[0])


@pytest.fixture
def radios(two_lab: Lab) -> Iterator[tuple[Radio, Radio]]:
    """Access point and station, up to being configured."""
    target = two_lab.guest
    target.run(["modprobe", "esp_hosted"])
    yield radio(target, "esp0"), radio(target, "esp1")
    if two_lab.running:
        target.run(["rmmod", "esp_hosted"])
        target.run("ip netns del esp0; ip netns del esp1")


@contextmanager
def access_point(one: Radio, security: str) -> Iterator[Job]:
    """hostapd, until its access point is enabled."""
    one.target.write_file(
        "/tmp/hostapd.conf",
        f"interface={one.interface}\ndriver=nl80211\nssid={SSID}\nhw_mode=g\nchannel={CHANNEL}\n{security}",
    )
    job = one.spawn("hostapd", "/tmp/hostapd.conf")
    try:
        job.wait_output("AP-ENABLED", 20)
        one.run("ip", "addr", "add", f"{AP_ADDRESS}/24", "dev", one.interface)
        yield job
    finally:
        job.stop()


@contextmanager
def station(one: Radio, security: str) -> Iterator[Job]:
    """wpa_supplicant, until it is connected."""
    one.target.write_file("/tmp/supplicant.conf", f'network={{\n\tssid="{SSID}"\n\t{security}\n}}\n')
    job = one.spawn("wpa_supplicant", "-i", one.interface, "-c", "/tmp/supplicant.conf")
    try:
        job.wait_output("CTRL-EVENT-CONNECTED", 30)
        one.run("ip", "addr", "add", f"{STATION_ADDRESS}/24", "dev", one.interface)
        yield job
    finally:
        job.stop()


def ping(one: Radio, host: str) -> int:
    """Answers to three echo requests."""
    text = one.run("ping", "-n", "-c", "3", "-i", "0.2", "-W", "3", host)
    return traffic.parse_ping(text).received


@pytest.mark.parametrize(
    ("hostapd", "supplicant"),
    [(HOSTAPD_OPEN, STATION_OPEN), (HOSTAPD_WPA2, STATION_WPA2)],
    ids=["open", "wpa2"],
)
def test_access_point_and_station(
    two_lab: Lab, radios: tuple[Radio, Radio], hostapd: str, supplicant: str
) -> None:
    ap, sta = radios
    monitor = two_lab.guest.machine.monitor
    with access_point(ap, hostapd) as job, station(sta, supplicant):
        assert ping(sta, AP_ADDRESS) == 3
        assert ping(ap, STATION_ADDRESS) == 3
        address = sta.run("cat", f"/sys/class/net/{sta.interface}/address").strip()
        assert address in ap.run("iw", "dev", ap.interface, "station", "dump")
        job.wait_output("AP-STA-CONNECTED", 5)
    for name in ("esp0", "esp1"):
        counters = Coprocessor(monitor, name).counters
        assert counters["unarmed-transactions"] == 0 and counters["boots"] >= 1


def test_wrong_passphrase_is_refused(radios: tuple[Radio, Radio]) -> None:
    ap, sta = radios
    wrong = STATION_WPA2.replace(PASSPHRASE, "another passphrase")
    with access_point(ap, HOSTAPD_WPA2), pytest.raises(HarnessError), station(sta, wrong):
        pass
