# SPDX-License-Identifier: MIT
"""The interface and its driver as `ip`, `ethtool`, /proc and dmesg show them."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

from harness import kernels, traffic
from harness.coprocessor import Coprocessor
from harness.klog import EXPECTED_TAINTS, taint_names
from harness.prepare import Prepared
from harness.target import QemuTarget
from harness.wifi import Wifi, parse_colons

MAC = re.compile(r"(?:[0-9a-f]{2}:){5}[0-9a-f]{2}")


def test_kernel_is_the_one_that_was_chosen(guest: QemuTarget, prepared: Prepared) -> None:
    version = guest.read_file("/proc/version").decode()
    assert f"Linux version {prepared.kernel.release} " in version
    _, row = kernels.row(prepared.kernel.name)
    if row.provider == "debian":
        assert "debian-kernel@lists.debian.org" in version and prepared.kernel.version in version
    elif row.provider != "local":
        assert "(harness@harness)" in version


def test_nothing_but_our_module_taints(wlan: Wifi, prepared: Prepared) -> None:
    taint = int(wlan.target.read_file("/proc/sys/kernel/tainted"))
    unexpected = [name for name in taint_names(taint) if name not in EXPECTED_TAINTS.values()]
    assert not unexpected
    tainting = wlan.target.run(
        'grep -l . /sys/module/*/taint | while read f; do [ -z "$(cat $f)" ] || echo $f; done'
    )
    _, row = kernels.row(prepared.kernel.name)
    # Drivers that the distribution's kernel lacks are built outside of it as well.
    extra = [Path(name).stem.replace("-", "_") for name in row.extra if name.endswith(".c")]
    assert sorted(tainting.stdout.split()) == sorted(
        f"/sys/module/{name}/taint" for name in ("esp_hosted", *extra)
    )


def test_module_is_what_was_built(wlan: Wifi, prepared: Prepared) -> None:
    info = parse_colons(wlan.target.run(["modinfo", "esp_hosted"]).stdout)
    assert info["name"] == "esp_hosted" and info["license"] == "GPL"
    assert info["filename"] == f"/lib/modules/{prepared.kernel.release}/extra/esp_hosted.ko"
    in_guest = wlan.target.run(["sha256sum", info["filename"]]).stdout.split()[0]
    assert in_guest == hashlib.sha256(prepared.module.read_bytes()).hexdigest()


def test_dmesg_shows_the_binding(wlan: Wifi, esp: Coprocessor) -> None:
    device = wlan.device()
    lines = wlan.target.run("dmesg | grep -i spi").lines()
    bound = [line for line in lines if f"esp_hosted {device}: " in line]
    assert any("ESP32" in line and "NG-1.0.6.0.1" in line for line in bound), lines
    assert esp.state == "running"


def test_ip_link_in_json(wlan: Wifi) -> None:
    (link,) = wlan.target.run_json(["ip", "-j", "link", "show", "wlan0"])
    assert link["ifname"] == "wlan0" and link["link_type"] == "ether" and link["mtu"] == 1500
    assert {"BROADCAST", "MULTICAST", "UP"} <= set(link["flags"])
    assert MAC.fullmatch(link["address"]) and int(link["address"][:2], 16) & 3 == 0, (
        "a unicast, universal address"
    )


def test_address_is_the_co_processors(wlan: Wifi, esp: Coprocessor) -> None:
    assert wlan.ip_link()["address"] == esp.get("mac")


def test_interface_belongs_to_the_spi_device(wlan: Wifi) -> None:
    device = wlan.target.run(["readlink", "-f", f"/sys/class/net/{wlan.interface}/device"]).stdout.strip()
    assert re.search(r"/30830000\.spi/spi_master/spi\d+/spi\d+\.0$", device)
    assert wlan.target.run(f"ls -d /sys/class/net/{wlan.interface}/phy80211").ok


def test_statistics_count_what_was_sent(connected: Wifi) -> None:
    before = connected.ip_link()["stats64"]
    sent = traffic.ping(connected.target, count=5, interval=0.05, size=1000)
    after = connected.ip_link()["stats64"]
    assert sent.received == 5
    for way in ("tx", "rx"):
        assert after[way]["packets"] - before[way]["packets"] >= 5
        # Ethernet, IPv4 and ICMP headers around 1000 bytes.
        assert after[way]["bytes"] - before[way]["bytes"] >= 5 * (14 + 20 + 8 + 1000)
        assert after[way]["errors"] == before[way]["errors"]
        assert after[way]["dropped"] == before[way]["dropped"]


def test_ip_statistics_as_text(connected: Wifi) -> None:
    text = connected.target.run(["ip", "-s", "link", "show", "dev", "wlan0"]).stdout
    assert re.search(r"RX: +bytes +packets +errors +dropped", text)
    assert re.search(r"TX: +bytes +packets +errors +dropped", text)


def test_ethtool_driver_information(wlan: Wifi) -> None:
    info = wlan.ethtool("-i")
    assert info["driver"] == "esp_hosted"
    assert info["firmware-version"] == "NG-1.0.6.0.1"
    assert info["bus-info"] == wlan.device()
    assert info["version"] and info["supports-statistics"] == "yes"


def test_ethtool_link_settings(connected: Wifi) -> None:
    settings = connected.ethtool()
    assert settings["Link detected"] == "yes"
    speed = re.fullmatch(r"(\d+)Mb/s", settings["Speed"])
    assert speed and 1 <= int(speed[1]) <= 150


def test_ethtool_counters_follow_the_co_processors(connected: Wifi, esp: Coprocessor) -> None:
    # The co-processor's span of time encloses the driver's: a poll may come between two readings.
    theirs, mine = esp.counters, connected.statistics()
    assert traffic.ping(connected.target, count=10, interval=0.05).received == 10
    mine_after, theirs_after = connected.statistics(), esp.counters
    sent = mine_after["tx_frames"] - mine["tx_frames"]
    assert sent >= 10 and mine_after["rx_frames"] - mine["rx_frames"] >= 10
    assert (
        0
        <= mine_after["transactions"] - mine["transactions"]
        <= theirs_after["transactions"] - theirs["transactions"]
    )
    assert mine_after["napi_polls"] > mine["napi_polls"]
    assert mine_after["handshake_edges"] > mine["handshake_edges"]


def test_nothing_is_dropped_as_wrong(connected: Wifi) -> None:
    # Tests before this one may have damaged frames.
    before = connected.statistics()
    wrong = {name for name in before if "_drop_" in name or "malformed" in name or "errors" in name}
    assert len(wrong) >= 10
    assert traffic.ping(connected.target, count=20, interval=0.02, size=1400).received == 20
    connected.scan()
    after = connected.statistics()
    assert after["rx_frames"] >= before["rx_frames"] + 20
    assert {name: after[name] - before[name] for name in wrong if after[name] != before[name]} == {}


def test_ethtool_rings_can_be_read_and_set(connected: Wifi) -> None:
    text = connected.target.run(["ethtool", "-g", "wlan0"]).stdout
    maximum, current = (parse_colons(part) for part in text.split("Current hardware settings"))
    assert 0 < int(current["TX"]) <= int(maximum["TX"]) and 0 < int(current["RX"]) <= int(maximum["RX"])
    connected.target.run(["ethtool", "-G", "wlan0", "tx", "32"])
    changed = parse_colons(connected.target.run(["ethtool", "-g", "wlan0"]).stdout.split("Current")[1])
    assert changed["TX"] == "32"
    assert traffic.ping(connected.target, count=3).received == 3
    connected.target.run(["ethtool", "-G", "wlan0", "tx", current["TX"]])
    too_many = connected.target.run(
        ["ethtool", "-G", "wlan0", "tx", str(int(maximum["TX"]) + 1)], check=False
    )
    assert not too_many.ok


def test_ethtool_offloads(wlan: Wifi) -> None:
    features = wlan.ethtool("-k")
    assert features["generic-receive-offload"].startswith("on")
    for absent in ("tcp-segmentation-offload", "rx-checksumming"):
        assert features[absent].startswith("off"), f"there is no hardware that does {absent}"


def test_interrupts_count_under_load(connected: Wifi) -> None:
    device = connected.device()
    before = connected.interrupts()
    assert traffic.ping(connected.target, count=40, interval=0.02).received == 40
    after = connected.interrupts()
    lines = [name for name in after if name.startswith(device)]
    controller = [name for name in after if re.search(r"30830000\.spi|spi_imx", name)]
    assert lines and controller, after
    # A transaction carries one frame each way: in a slow guest the answer to the request before.
    assert sum(after[name] - before[name] for name in lines) >= 40
    assert sum(after[name] - before[name] for name in controller) >= 40
    assert connected.target.run("grep spi /proc/interrupts").ok


@pytest.mark.parametrize("size", [64, 1500])
def test_mtu_limits(connected: Wifi, size: int) -> None:
    payload = size - 28
    assert traffic.ping(connected.target, count=2, size=payload).received == 2
