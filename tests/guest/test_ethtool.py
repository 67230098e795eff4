# SPDX-License-Identifier: MIT
"""What ethtool offers besides counters: tests, private flags, messages, time stamps, a dump, frame sizes."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import traffic
from harness.coprocessor import Coprocessor, difference
from harness.wifi import Wifi, parse_colons
from tests.guest.lab import Lab
from tests.guest.waits import LogMark
from tests.recordings import pcapng

DATA, RESPONSE = 0, 2
GET_MAC, RSSI, RAW_TP_TO_HOST = 3, 27, 19
BOOT_NS = 100_000_000
# As slow as an emulated host full of checks: the test frames of one direction take eight seconds.
SLOW_NS = 40_000_000
ONLINE = ("in service", "command answer", "handshake pulse", "data-ready pulse")
OFFLINE = ("test frames in", "test frames out", "reset and boot")


@pytest.fixture
def quick(lab: Lab, connected: Wifi) -> Iterator[Wifi]:
    """Connected; the firmware boots fast, nothing stays armed."""
    usual = {name: lab.esp.get(name) for name in ("boot-ns", "reboot-ns")}
    for name in usual:
        lab.esp.set(name, BOOT_NS)
    yield connected
    if lab.running:
        lab.esp.faults.disarm_all()
        for name, value in usual.items():
            lab.esp.set(name, value)


def self_test(wlan: Wifi, mode: str) -> tuple[str, dict[str, int]]:
    """`ethtool -t`: the verdict, and each test's result by the first words of its name."""
    text = wlan.target.run(["ethtool", "-t", wlan.interface, mode], timeout=120, check=False).stdout
    verdict = re.search(r"^The test result is (\w+)", text, re.MULTILINE)
    assert verdict, text
    return verdict[1], {
        name.partition("(")[0].strip(): int(value.split()[-1]) for name, value in _values(text)
    }


def _values(text: str) -> list[tuple[str, str]]:
    lines = [line.strip() for line in text.splitlines() if "offline)" in line]
    return [(line, line.rpartition("\t")[2]) for line in lines]


@pytest.mark.parametrize("mode", ["online", "offline"])
def test_self_test_passes(lab: Lab, quick: Wifi, esp: Coprocessor, mode: str) -> None:
    before, counters = quick.statistics(), esp.counters
    verdict, results = self_test(quick, mode)
    assert verdict == "PASS" and set(results) == {*ONLINE, *OFFLINE} and not any(results.values())
    counted = difference(before, quick.statistics())
    theirs = difference(counters, esp.counters)
    if mode == "offline":
        assert theirs["rx-test"] == 200 and theirs["tx-test"] >= 200
        assert counted["resets"] == 1 and counted["firmware_restarts"] == 1
    else:
        assert "resets" not in counted and "rx-test" not in theirs
        assert quick.link() is not None
    assert traffic.ping(lab.connected().target, count=3, interval=0.05, wait=2).received == 3


@pytest.mark.slow
def test_self_test_passes_however_slow_the_link_is(lab: Lab, quick: Wifi, esp: Coprocessor) -> None:
    usual = esp.get("turnaround-ns")
    esp.set("turnaround-ns", SLOW_NS)
    try:
        verdict, results = self_test(quick, "offline")
    finally:
        esp.set("turnaround-ns", usual)
    assert verdict == "PASS" and not any(results.values())
    lab.connected()


def test_self_test_fails_when_frames_are_damaged(lab: Lab, quick: Wifi, esp: Coprocessor) -> None:
    with esp.fault("frame-corrupt", match=DATA, count=20, must_fire=True):
        verdict, results = self_test(quick, "offline")
    assert verdict == "FAIL"
    assert [name for name, value in results.items() if value] == ["test frames in"]
    assert results["test frames in"] >= 10
    lab.connected()


def test_self_test_fails_without_an_answer(lab: Lab, quick: Wifi, esp: Coprocessor) -> None:
    with esp.fault("command-silent", match=GET_MAC, must_fire=True):
        verdict, results = self_test(quick, "online")
    assert verdict == "FAIL" and results["command answer"] == 1 and results["in service"] == 0
    lab.connected()


def test_private_flag_leaves_a_bad_chip_alone(lab: Lab, quick: Wifi, esp: Coprocessor) -> None:
    target = quick.target
    flags = parse_colons(target.run(["ethtool", "--show-priv-flags", quick.interface]).stdout)
    assert flags["auto-reset"] == "on" and flags["watchdog-poll"] == "on"
    before = quick.statistics()
    mark = LogMark(target)
    target.run(["ethtool", "--set-priv-flags", quick.interface, "auto-reset", "off"])
    with esp.fault("command-silent", match=RSSI, must_fire=True):
        target.run(["iw", "dev", quick.interface, "station", "dump"], check=False)
    mark.wait("left alone, as auto-reset is off", 10)
    assert "resets" not in difference(before, quick.statistics())
    assert esp.lines.reset
    target.run(["ethtool", "--set-priv-flags", quick.interface, "auto-reset", "on"])
    esp.faults.arm("crash")
    mark.wait("firmware restarted", 20)
    assert traffic.ping(lab.connected().target, count=3, interval=0.05, wait=2).received == 3


def test_private_flag_stops_the_watchdog(quick: Wifi, esp: Coprocessor) -> None:
    target = quick.target
    target.run(["ethtool", "--set-priv-flags", quick.interface, "watchdog-poll", "off"])
    try:
        before = quick.statistics()
        assert traffic.ping(target, count=5, interval=0.5).received == 5
        assert "watchdog_polls" not in difference(before, quick.statistics())
    finally:
        target.run(["ethtool", "--set-priv-flags", quick.interface, "watchdog-poll", "on"])
    before = quick.statistics()
    assert traffic.ping(target, count=5, interval=0.5).received == 5
    assert difference(before, quick.statistics())["watchdog_polls"] > 0


def test_message_level_names_bad_frames(quick: Wifi, esp: Coprocessor) -> None:
    target = quick.target
    mark = LogMark(target)
    with esp.fault("frame-checksum", match=DATA, must_fire=True):
        traffic.ping(target, count=3, interval=0.05, wait=1)
    assert "bad frame" not in mark.text()
    target.run(["ethtool", "-s", quick.interface, "msglvl", "rx_err", "on"])
    try:
        with esp.fault("frame-checksum", match=DATA, must_fire=True):
            traffic.ping(target, count=3, interval=0.05, wait=1)
        mark.wait(r"bad frame \(bad checksum\): 00 00 00 00", 5)
    finally:
        target.run(["ethtool", "-s", quick.interface, "msglvl", "rx_err", "off"])


def test_time_stamps_are_the_kernels(connected: Wifi) -> None:
    text = connected.target.run(["ethtool", "-T", connected.interface]).stdout
    for capability in ("software-transmit", "software-receive", "software-system-clock"):
        assert capability in text
    assert "hardware-transmit" not in text and "PTP Hardware Clock: none" in text


def test_features(connected: Wifi) -> None:
    features = connected.ethtool("-k")
    for name in ("scatter-gather", "tx-checksumming", "generic-receive-offload"):
        assert features[name].startswith("on"), name
    for name in ("tcp-segmentation-offload", "rx-checksumming", "rx-vlan-offload", "tx-vlan-offload"):
        assert features[name].startswith("off"), name


def test_register_dump(connected: Wifi) -> None:
    connected.target.run(["sh", "-c", "ethtool -d wlan0 raw on >/tmp/regs"])
    raw = connected.target.read_file("/tmp/regs")
    # driver/ethtool.c, struct esp_regs: state (running), generation, ..., clock.
    state, generation, *_, clock = struct.unpack_from("<9I", raw)
    assert (state, generation, clock) == (3, 1, 10_000_000)


@pytest.mark.parametrize("mtu", [67, 1501, 9000])
def test_mtu_outside_the_limits_is_refused(connected: Wifi, mtu: int) -> None:
    result = connected.target.run(["ip", "link", "set", "dev", "wlan0", "mtu", str(mtu)], check=False)
    assert not result.ok and "mtu" in result.stderr.lower()
    link = connected.ip_link()
    assert (link["mtu"], link["min_mtu"], link["max_mtu"]) == (1500, 68, 1500)


def test_smaller_mtu(connected: Wifi) -> None:
    connected.target.run(["ip", "link", "set", "dev", "wlan0", "mtu", "1280"])
    try:
        too_large = ["ping", "-M", "do", "-c", "1", "-W", "1", "-s", "1300", traffic.HOST_FROM_GUEST]
        assert not connected.target.run(too_large, check=False).ok
        assert traffic.ping(connected.target, count=2, size=1280 - 28).received == 2
    finally:
        connected.target.run(["ip", "link", "set", "dev", "wlan0", "mtu", "1500"])


def test_vlan_frame_of_full_size(connected: Wifi, esp: Coprocessor, tmp_path: Path) -> None:
    target = connected.target
    target.run("modprobe 8021q; ip link add link wlan0 name vlan5 type vlan id 5")
    try:
        target.run("ip link set vlan5 up; ip addr add 192.0.2.1/24 dev vlan5")
        target.run("ip neigh replace 192.0.2.2 lladdr 02:00:00:00:00:02 dev vlan5")
        before = connected.statistics()
        recordings = esp.record(tmp_path)
        target.run(["ping", "-q", "-c", "1", "-W", "1", "-s", "1472", "192.0.2.2"], check=False)
        esp.stop_recording()
        assert "tx_drop_length" not in difference(before, connected.statistics())
        # 1500 bytes of IP behind an Ethernet header with a tag.
        frames = [one.data[12:] for one in pcapng(recordings.pcapng) if one.direction == "out"]
        tagged = [frame for frame in frames if frame[12:16] == b"\x81\x00\x00\x05"]
        assert 18 + 1500 in map(len, tagged)
    finally:
        target.run(["ip", "link", "del", "vlan5"])
