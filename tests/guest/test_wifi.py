# SPDX-License-Identifier: MIT
"""Scanning, associating, leaving: with iw alone and with wpa_supplicant."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from harness import scenario, traffic
from harness.coprocessor import AccessPoint, Coprocessor, difference
from harness.errors import HarnessError
from harness.target import Job
from harness.wifi import Wifi, WifiError


def test_scan_finds_every_access_point(wlan: Wifi, ap: AccessPoint) -> None:
    found = {bss.ssid: bss for bss in wlan.scan()}
    near, far = found[scenario.SSID], found[scenario.FAR_SSID]
    assert set(found) == {scenario.SSID, scenario.FAR_SSID}
    assert (near.channel, near.signal, near.bssid) == (scenario.CHANNEL, scenario.SIGNAL, ap.get("bssid"))
    assert (far.channel, far.signal) == (scenario.FAR_CHANNEL, scenario.FAR_SIGNAL)
    assert near.beacon_interval == ap.get("beacon-interval")


def test_scan_while_connected_keeps_the_connection(connected: Wifi) -> None:
    assert {bss.ssid for bss in connected.scan()} == {scenario.SSID, scenario.FAR_SSID}
    link = connected.link()
    assert link is not None and link.ssid == scenario.SSID
    assert traffic.ping(connected.target, count=3).received == 3


def test_link_shows_ssid_signal_bitrate(connected: Wifi, ap: AccessPoint) -> None:
    link = connected.link()
    assert link is not None
    assert (link.ssid, link.bssid, link.frequency) == (scenario.SSID, ap.get("bssid"), 2437)
    assert link.signal == scenario.SIGNAL
    assert link.tx_bitrate is not None and 1 <= link.tx_bitrate <= 150


def test_signal_is_measured_not_remembered(connected: Wifi, ap: AccessPoint) -> None:
    ap.set("signal", -63)
    try:
        link = connected.link()
        assert link is not None and link.signal == -63
    finally:
        ap.set("signal", scenario.SIGNAL)


def test_station_counters(connected: Wifi) -> None:
    assert traffic.ping(connected.target, count=3).received == 3
    text = connected.target.run(["iw", "dev", connected.interface, "station", "dump"]).stdout
    assert text.startswith("Station ") and "tx packets:" in text and "rx packets:" in text


def test_wiphy_says_what_it_can(wlan: Wifi) -> None:
    text = wlan.target.run("iw phy").stdout
    for mode in ("managed",):
        assert f"* {mode}" in text
    assert "2437" in text and "Supported commands" in text and "* connect" in text


def test_carrier_follows_the_association(connected: Wifi) -> None:
    assert connected.ip_link()["operstate"] == "UP"
    connected.disconnect()
    link = connected.ip_link()
    assert "NO-CARRIER" in link["flags"] and connected.link() is None
    connected.connect(scenario.SSID)
    assert "LOWER_UP" in connected.ip_link()["flags"]


def test_unknown_network_is_refused_and_harms_nothing(wlan: Wifi) -> None:
    if wlan.link() is not None:
        wlan.disconnect()
    with pytest.raises(WifiError, match="no connection to 'nobody'"):
        wlan.connect("nobody")
    assert wlan.link() is None
    assert wlan.connect(scenario.SSID).ssid == scenario.SSID


def test_move_to_the_other_access_point_and_back(connected: Wifi) -> None:
    connected.disconnect()
    link = connected.connect(scenario.FAR_SSID)
    assert (link.ssid, link.signal) == (scenario.FAR_SSID, scenario.FAR_SIGNAL)
    connected.disconnect()
    connected.connect(scenario.SSID)
    connected.lease()
    assert traffic.ping(connected.target).received == 3


def test_access_point_sends_us_away(connected: Wifi, ap: AccessPoint) -> None:
    ap.set("deauth", "3")
    connected.wait_carrier(False)
    assert connected.link() is None
    connected.connect(scenario.SSID)


def test_down_and_up_again(connected: Wifi, esp: Coprocessor) -> None:
    connected.down()
    assert "UP" not in connected.ip_link()["flags"]
    before = esp.counters
    connected.up()
    connected.connect(scenario.SSID)
    connected.lease()
    assert traffic.ping(connected.target).received == 3
    assert "boots" not in difference(before, esp.counters), "going down and up needs no reset"


def test_another_mac_address(connected: Wifi, esp: Coprocessor) -> None:
    old = connected.ip_link()["address"]
    new = old[:-2] + f"{int(old[-2:], 16) ^ 0x10:02x}"
    connected.down()
    connected.target.run(["ip", "link", "set", "dev", connected.interface, "address", new])
    connected.up()
    connected.connect(scenario.SSID)
    connected.lease()
    try:
        assert connected.ip_link()["address"] == new
        assert traffic.ping(connected.target).received == 3
    finally:
        connected.down()
        connected.target.run(["ip", "link", "set", "dev", connected.interface, "address", old])
        connected.up()


SUPPLICANT = f"""\
ctrl_interface=/run/wpa_supplicant
network={{
    ssid="{scenario.SSID}"
    key_mgmt=NONE
}}
"""


@pytest.fixture
def supplicant(wlan: Wifi) -> Iterator[Job]:
    """wpa_supplicant, set up for the open network."""
    if wlan.link() is not None:
        wlan.disconnect()
    wlan.target.write_file("/run/wpa.conf", SUPPLICANT)
    job = wlan.target.spawn(f"exec wpa_supplicant -i {wlan.interface} -D nl80211 -c /run/wpa.conf")
    try:
        yield job
    finally:
        said = job.stop()
        if wlan.link() is not None:
            wlan.disconnect()
        assert "Segmentation" not in said.stderr


def test_wpa_supplicant_on_an_open_network(wlan: Wifi, supplicant: Job) -> None:
    try:
        supplicant.wait_output("CTRL-EVENT-CONNECTED", timeout=30)
    except HarnessError as error:
        pytest.fail(str(error))
    status = wlan.target.run(["wpa_cli", "-p", "/run/wpa_supplicant", "-i", wlan.interface, "status"]).stdout
    assert "wpa_state=COMPLETED" in status and f"ssid={scenario.SSID}" in status
    wlan.lease()
    assert traffic.ping(wlan.target).received == 3
    wlan.target.run(["wpa_cli", "-p", "/run/wpa_supplicant", "-i", wlan.interface, "disconnect"])
    supplicant.wait_output("CTRL-EVENT-DISCONNECTED")
    wlan.wait_carrier(False)
