# SPDX-License-Identifier: MIT
"""Scanning, associating, leaving: with iw alone and with wpa_supplicant, for both generations of firmware."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from harness import scenario, traffic
from harness.coprocessor import AccessPoint, Coprocessor, Watch, difference
from harness.errors import HarnessError
from harness.target import Job
from harness.wifi import Wifi, WifiError, parse_colons, scan_trigger

pytestmark = pytest.mark.usefixtures("generation")

MS = 1_000_000
DISCONNECT, EVENT_DISCONNECT = 6, 3
SET_REGDOM, SET_TXPOWER = 18, 16
COMMAND = 1
RECONNECTS = 100
MAC_CHANGES = 10


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


def test_station_dump(connected: Wifi, ap: AccessPoint) -> None:
    def dump() -> dict[str, str]:
        text = connected.target.run(["iw", "dev", connected.interface, "station", "dump"]).stdout
        assert text.startswith(f"Station {ap.get('bssid')} ")
        return parse_colons(text)

    before = dump()
    assert traffic.ping(connected.target, count=3).received == 3
    after = dump()
    for way in ("tx", "rx"):
        assert int(after[f"{way} packets"]) >= int(before[f"{way} packets"]) + 3
        assert int(after[f"{way} bytes"]) >= int(before[f"{way} bytes"]) + 3 * 98
    assert after["signal"].startswith(f"{scenario.SIGNAL} ")
    assert after["authorized"] == after["authenticated"] == after["associated"] == "yes"
    assert after["MFP"] == "no"
    # As the access point's beacons have it.
    assert after["beacon interval"] == str(ap.get("beacon-interval")) and after["DTIM period"] == "1"
    assert after["short preamble"] == after["short slot time"] == "yes"
    # What the firmware does not tell is not made up.
    assert not {"rx bitrate", "tx failed", "tx retries", "inactive time", "expected throughput"} & set(after)


def test_link_and_interface_agree(connected: Wifi) -> None:
    text = connected.target.run(["iw", "dev", connected.interface, "info"]).stdout
    assert f"ssid {scenario.SSID}" in text and "type managed" in text
    assert "channel 6 (2437 MHz), width: 20 MHz, center1: 2437 MHz" in text
    link = connected.link()
    assert link is not None and link.rx_bitrate is None
    assert re.search(r"bss flags:\t+short-preamble short-slot-time", link.text)
    assert re.search(r"dtim period:\t+1\b", link.text) and re.search(r"beacon int:\t+100\b", link.text)


def test_ethtool_names_the_firmware(connected: Wifi, generation: str) -> None:
    info = connected.ethtool("-i")
    assert info["driver"] == "esp_hosted" and info["bus-info"] == connected.device()
    assert info["firmware-version"] == {"g1": "NG-1.0.6.0.1", "g2": "NG-1.0.6.0.15"}[generation]
    assert connected.ethtool()["Link detected"] == "yes"
    log = connected.target.run("dmesg | grep 'esp_hosted.*generation' | tail -n 1").stdout
    assert f"generation {generation[1]}" in log


def section(text: str, title: str) -> set[str]:
    """The items `* item` below a heading of `iw phy`."""
    match = re.search(rf"^\t+{title}:[^\n]*\n((?:\t+ ?\* [^\n]*\n)+)", text, re.MULTILINE)
    assert match, f"iw phy has no {title}:\n{text}"
    return {line.strip("\t *") for line in match[1].splitlines()}


def test_wiphy_shows_what_works_and_nothing_else(wlan: Wifi) -> None:
    text = wlan.target.run("iw phy").stdout
    assert section(text, "Supported interface modes") == {"managed", "AP"}
    assert section(text, "Supported Ciphers") == {
        "TKIP (00-0f-ac:2)", "CCMP-128 (00-0f-ac:4)", "CMAC (00-0f-ac:6)",
    }  # fmt: skip
    assert section(text, "Supported commands") == {
        "set_interface", "new_key", "start_ap", "new_station", "authenticate", "associate", "deauthenticate",
        "disassociate", "frame", "set_wiphy_netns", "set_channel", "probe_client", "register_beacons",
        "connect", "disconnect",
    }  # fmt: skip
    assert {line.strip() for line in text.splitlines() if "Device " in line} == {
        "Device supports TX status socket option.",
        "Device supports SAE with AUTHENTICATE command",
        # cfg80211's own
        "Device supports scan flush.",
    }
    for line in (
        "max # scan SSIDs: 1\n",
        "max scan IEs length: 0 bytes\n",
        "max # sched scan SSIDs: 0\n",
        "max # match sets: 0\n",
        "\t\t\tHT20\n",
        "HT TX/RX MCS rate indexes supported: 0-7\n",
        "interface combinations are not supported\n",
        "Maximum associated stations in AP mode: 8\n",
    ):
        assert line in text, f"{line}\n{text}"
    for absent in ("WoWLAN", "Band 2", "TDLS", "VHT", "HE ", "HT40 SGI", "P2P", "mesh", "monitor"):
        assert absent not in text.replace("No DSSS/CCK HT40", ""), absent


def test_filtered_scans(wlan: Wifi, ap: AccessPoint) -> None:
    def found(*words: str) -> set[str]:
        return {bss.ssid for bss in wlan.scan("flush", *words)}

    # Flushing spares the network one is connected to.
    if wlan.link() is not None:
        wlan.disconnect()
    assert found("freq", "2437") == {scenario.SSID}
    assert found("freq", "2462") == {scenario.FAR_SSID}
    assert found("freq", "2412", "2462") == {scenario.FAR_SSID}
    assert found("freq", "2412") == set()
    assert scenario.SSID in found("ssid", scenario.SSID)


def test_scan_during_an_association_does_not_end_it(wlan: Wifi) -> None:
    """The firmware can do one of the two: the association is what people wait for."""
    if wlan.link() is not None:
        wlan.disconnect()
    for _ in range(3):
        scan = wlan.target.spawn(scan_trigger(wlan.interface))
        wlan.connect(scenario.SSID)
        scan.wait(timeout=30, check=False)
        wlan.disconnect()
    # Nothing is left that would keep the next scan from starting.
    assert {bss.ssid for bss in wlan.scan()} == {scenario.SSID, scenario.FAR_SSID}


def wait_country(steps: Watch, name: str) -> None:
    """Wait until the firmware is told a country, whatever else it is told."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        frame = steps.wait("frame", timeout=20, name="from-host").data or b""
        payload = frame[int.from_bytes(frame[6:8], "little") :]
        if frame[2] == COMMAND and payload[0] == SET_REGDOM and payload[8:10] == name.encode():
            return
    pytest.fail(f"the firmware was not told of {name}")


def test_regulatory_domain_reaches_the_firmware(wlan: Wifi, esp: Coprocessor) -> None:
    if wlan.link() is not None:
        wlan.disconnect()
    restarts = wlan.statistics()["firmware_restarts"]
    try:
        with esp.watch("frame") as steps:
            for name in ("DE", "US"):
                wlan.target.run(["iw", "reg", "set", name])
                wait_country(steps, name)
            # And again after a restart of the firmware, which forgets it.
            esp.faults.arm("crash")
            wait_country(steps, "US")
        assert wlan.statistics()["firmware_restarts"] == restarts + 1
    finally:
        wlan.target.run(["iw", "reg", "set", "00"])


def test_transmit_power(connected: Wifi) -> None:
    def power() -> str:
        text = connected.target.run(["iw", "dev", connected.interface, "info"]).stdout
        return str(re.findall(r"txpower (\S+) dBm", text)[0])

    try:
        for mbm, dbm in (("1300", "13.00"), ("200", "2.00"), ("2000", "20.00")):
            connected.target.run(["iw", "dev", connected.interface, "set", "txpower", "fixed", mbm])
            assert power() == dbm
        connected.target.run(["iw", "dev", connected.interface, "set", "txpower", "limit", "1000"])
        assert power() == "10.00"
    finally:
        connected.target.run(["iw", "dev", connected.interface, "set", "txpower", "auto"])
    assert power() == "20.00"


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


def test_mac_address_changes_again_and_again(wlan: Wifi, ap: AccessPoint) -> None:
    own = wlan.ip_link()["address"]
    try:
        for number in range(MAC_CHANGES):
            address = f"02:00:5e:10:20:{number:02x}"
            wlan.down()
            wlan.target.run(["ip", "link", "set", "dev", wlan.interface, "address", address])
            wlan.up()
            wlan.connect(scenario.SSID)
            # The access point knows us by this address, else it would not answer.
            assert wlan.ip_link()["address"] == address
            wlan.lease()
            assert traffic.ping(wlan.target, count=1).received == 1
    finally:
        wlan.down()
        wlan.target.run(["ip", "link", "set", "dev", wlan.interface, "address", own])
        wlan.up()


def test_mac_address_stays_while_the_interface_is_up(wlan: Wifi) -> None:
    result = wlan.target.run(
        ["ip", "link", "set", "dev", wlan.interface, "address", "02:00:5e:10:20:30"], check=False
    )
    assert not result.ok and "busy" in result.stderr


def test_a_hundred_reconnects(connected: Wifi, esp: Coprocessor) -> None:
    dwell = esp.get("scan-dwell-ns")
    esp.set("scan-dwell-ns", 20 * MS)
    before, counters = connected.statistics(), esp.counters
    iw, carrier = f"iw dev {connected.interface}", f"/sys/class/net/{connected.interface}/carrier"
    # iw connect -w listens for the end after the start, and in a slow guest waits for what has been.
    script = (
        f'turns() {{ until read -r now <{carrier} && [ "$now" = $1 ]; do sleep 0.02; done; }}; '
        f"for n in $(seq {RECONNECTS}); do {iw} disconnect && turns 0 && "
        f"{iw} connect {scenario.SSID} && turns 1 || exit 1; done"
    )
    try:
        connected.target.run(script, timeout=5.0 * RECONNECTS)
    finally:
        esp.set("scan-dwell-ns", dwell)
    connected.wait_carrier(True)
    connected.lease()
    assert traffic.ping(connected.target).received == 3
    counted = difference(before, connected.statistics())
    assert not {"command_timeouts", "mlme_timeouts", "resets", "event_drop_malformed"} & set(counted), counted
    assert esp.counters["unarmed-transactions"] == counters["unarmed-transactions"]


# The end of a connection


@contextmanager
def disconnects(wlan: Wifi) -> Iterator[list[str]]:
    """What `iw event` says about ends of connections inside; filled in at the end."""
    job = wlan.target.spawn(["iw", "event"])
    finished = "scan (finished|aborted)"
    said: list[str] = []

    def seen() -> int:
        return len(re.findall(finished, job.output()))

    try:
        # Until it listens; and whatever comes before the end of the last scan has been printed by then.
        while not seen():
            wlan.scan("freq", "2412")
        yield said
        count = seen()
        wlan.scan("freq", "2412")
        job.wait_output(finished, count=count + 1)
    finally:
        text = job.stop().stdout
    said += re.findall(r"\): (disconnected .*)", text)


LOCAL, REMOTE = "disconnected (local request)", "disconnected (by AP)"


def test_local_disconnect_is_reported_once(connected: Wifi) -> None:
    with disconnects(connected) as said:
        connected.disconnect()
    assert len(said) == 1 and said[0].startswith(LOCAL)


@pytest.mark.parametrize(
    ("fault", "match"), [("response-late", DISCONNECT), ("event-lost", EVENT_DISCONNECT)]
)
def test_order_of_event_and_response_does_not_matter(
    connected: Wifi, esp: Coprocessor, ap: AccessPoint, fault: str, match: int
) -> None:
    with disconnects(connected) as said:
        with esp.fault(fault, match=match, arg=300 * MS, must_fire=True):
            connected.disconnect()
        # What is left of it does not swallow the next end, nor make it look like ours.
        connected.connect(scenario.SSID)
        ap.set("deauth", "7")
        connected.wait_carrier(False)
    assert [text.partition(")")[0] for text in said] == [text[:-1] for text in (LOCAL, REMOTE)]
    assert "reason: 7" in said[1]


def test_both_ends_part_at_once(connected: Wifi, ap: AccessPoint) -> None:
    with disconnects(connected) as said:
        ap.set("deauth", "5")
        connected.target.run(["iw", "dev", connected.interface, "disconnect"], check=False)
        connected.wait_carrier(False)
    assert len(said) == 1


@pytest.mark.parametrize("reason", [1, 3, 8, 15])
def test_reason_of_the_access_point(connected: Wifi, ap: AccessPoint, reason: int) -> None:
    with disconnects(connected) as said:
        ap.set("deauth", str(reason))
        connected.wait_carrier(False)
    assert len(said) == 1 and said[0].startswith(REMOTE) and f"reason: {reason}:" in said[0] + ":"


# What user space may ask for and does not get

REFUSED = {
    "shared key": ("auth esp-hosted {bssid} shared 2437 key 0:abcde", 22),
    "name of 33 bytes": ("connect " + 33 * "x", 34),
    "two names in a scan": ("scan ssid one ssid two", 22),
    "elements in a scan": ("scan ies 01:02:aa:bb", 22),
    "channel of no band": ("scan freq 5180", 22),
    "monitor": ("set type monitor", 95),
    "ad hoc": ("set type ibss", None),
    "4-address frames": ("set 4addr on", None),
    "too much power": ("set txpower fixed 3000", 22),
    "too little power": ("set txpower fixed 100", 22),
    "power saving": ("set power_save on", 95),
    "WEP": ("connect esp-hosted key 0:abcde", 22),
    "rates": ("set bitrates legacy-2.4 1", 95),
}


@pytest.mark.parametrize("what", REFUSED)
def test_refused(connected: Wifi, ap: AccessPoint, esp: Coprocessor, what: str) -> None:
    words, errno = REFUSED[what]
    command = f"iw dev {connected.interface} {words.format(bssid=ap.get('bssid'))}"
    before = esp.counters
    result = connected.target.run(command, check=False)
    said = result.stdout + result.stderr
    assert not result.ok, said
    assert errno is None or f"(-{errno})" in said, said
    assert re.search(r"\(-(?!5\b|110\b)\d+\)", said), said
    # Nothing of it reached the firmware, and nothing changed.
    sent = difference(before, esp.counters)
    assert "commands" not in sent or sent["commands"] <= 1
    link = connected.link()
    assert link is not None and link.ssid == scenario.SSID


def test_the_type_stays_while_the_interface_is_up(connected: Wifi) -> None:
    command = ["iw", "dev", connected.interface, "set", "type", "__ap"]
    result = connected.target.run(command, check=False)
    assert "(-16)" in result.stdout + result.stderr
    # cfg80211 has ended the connection before it asked the driver.
    assert "type managed" in connected.target.run(["iw", "dev", connected.interface, "info"]).stdout
    connected.connect(scenario.SSID)


def test_refused_by_the_wiphy(wlan: Wifi) -> None:
    phy = wlan.target.run(f"cat /sys/class/net/{wlan.interface}/phy80211/name").stdout.strip()
    for words in ("set rts 500", "set frag 500", "wowlan enable any", "interface add more type station"):
        result = wlan.target.run(f"iw phy {phy} {words}", check=False)
        assert not result.ok and "(-95)" in result.stdout + result.stderr, words


# wpa_supplicant

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
