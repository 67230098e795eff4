# SPDX-License-Identifier: MIT
"""Access point and stations of our own drivers: every kind of security, what each side says, how it ends.

hostapd is on the first co-processor, wpa_supplicant on the others; all for both generations of firmware.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from harness import scenario
from harness.coprocessor import Coprocessor
from harness.errors import HarnessError
from harness.target import CommandError, Target
from harness.traffic import parse_iperf
from harness.wifi import scan_trigger
from tests import recordings
from tests.guest.firmware import RELEASED
from tests.guest.lab import GENERATIONS, Lab
from tests.guest.radios import (
    AP_ADDRESS,
    FREQUENCY,
    PASSPHRASE,
    SECOND_ADDRESS,
    SECURITY,
    SSID,
    STATION_ADDRESS,
    Daemon,
    Radio,
    Radios,
    Security,
    access_point,
    station,
    supplicant,
)

RECONNECTS = 100
# Seconds until hostapd asks a station that is silent
INACTIVE_SECONDS = 2
# It adds up to 20 seconds by chance whenever it heard something.
PROBE_SECONDS = 90.0


@pytest.fixture(scope="module", params=GENERATIONS)
def bench(request: pytest.FixtureRequest, radios_lab: Lab) -> Radios:
    """The radios with one generation of firmware."""
    return Radios(radios_lab, request.param)


def untouched(radios: dict[str, Radio]) -> dict[str, tuple[int, int]]:
    """What no test may change: how often bytes were clocked that nobody takes, and the firmware's quirks."""
    return {
        name: (one.esp.counters["unarmed-transactions"], one.esp.get("quirks"))
        for name, one in radios.items()
    }


@pytest.fixture
def radios(bench: Radios, radios_lab: Lab) -> Iterator[dict[str, Radio]]:
    """The radios by name; none of them ever clocks bytes that nobody takes. Their firmware stays as it is."""
    ready = bench.ready()
    before = untouched(ready)
    yield ready
    if radios_lab.running:
        assert untouched(ready) == before


@pytest.fixture
def ap(radios: dict[str, Radio]) -> Radio:
    """The radio that is an access point."""
    return radios["esp0"]


@pytest.fixture
def sta(radios: dict[str, Radio]) -> Radio:
    """The radio that is a station."""
    return radios["esp1"]


@contextmanager
def iperf_server(radio: Radio) -> Iterator[None]:
    """iperf3 that waits for one client."""
    job = radio.spawn("iperf3", "-s", "-1", "--forceflush")
    try:
        job.wait_output("Server listening", 10)
        yield
    finally:
        job.stop()


@pytest.mark.parametrize("kind", SECURITY)
def test_access_point_and_station(ap: Radio, sta: Radio, kind: str) -> None:
    security = SECURITY[kind]
    with access_point(ap, security) as hostapd, station(sta, security) as supplicant:
        assert sta.ping(AP_ADDRESS) == 3
        assert ap.ping(STATION_ADDRESS) == 3
        hostapd.wait("AP-STA-CONNECTED")

        client = ap.stations()[sta.mac]
        assert "authorized:\tyes" in client and "associated:\tyes" in client
        assert f"MFP:\t\t{'yes' if security.mfp else 'no'}" in client
        own = sta.stations()[ap.mac]
        assert "authorized:\tyes" in own and "signal:" in own
        assert f"MFP:\t\t{'yes' if security.mfp else 'no'}" in own
        for radio, mode in ((ap, "AP"), (sta, "managed")):
            info = radio.iw("info")
            assert f"type {mode}" in info and f"channel 1 ({FREQUENCY} MHz), width: 20 MHz" in info

        status = supplicant.cli("status")
        assert "wpa_state=COMPLETED" in status
        if security.mfp:
            assert "pmf=" in status


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["wpa2", "wpa3"])
def test_iperf_between_two_radios(ap: Radio, sta: Radio, kind: str) -> None:
    with access_point(ap, SECURITY[kind]), station(sta, SECURITY[kind]):
        for client, server, host in ((sta, ap, AP_ADDRESS), (ap, sta, STATION_ADDRESS)):
            with iperf_server(server):
                said = client.run("iperf3", "-c", host, "-J", "-t", "2", timeout=60)
            result = parse_iperf(said)
            # How fast depends on how busy the host is: the guest's time is real here.
            assert result.received_bps > 50_000, f"{result.received_bps} bit/s from {client.name}"


@pytest.mark.parametrize(("kind", "why"), [("wpa2", "WRONG_KEY"), ("wpa3", "CONN_FAILED")])
def test_wrong_passphrase(ap: Radio, sta: Radio, kind: str, why: str) -> None:
    right = SECURITY[kind]
    wrong = replace(right, network=right.network.replace(PASSPHRASE, "another passphrase"))
    with access_point(ap, right) as hostapd:
        with supplicant(sta, wrong) as daemon:
            daemon.wait(f"CTRL-EVENT-SSID-TEMP-DISABLED.*reason={why}", 60)
            assert not daemon.count("CTRL-EVENT-CONNECTED")
            assert "wpa_state=COMPLETED" not in daemon.cli("status")
        assert not hostapd.count("AP-STA-CONNECTED")
        assert ap.stations() == {} or sta.mac not in ap.stations()
        # And nothing is stuck.
        with station(sta, right):
            assert sta.ping(AP_ADDRESS) == 3


ETHERTYPE_EAPOL = b"\x88\x8e"


@pytest.mark.slow
def test_only_eapol_leaves_before_there_are_keys(ap: Radio, sta: Radio, tmp_path: Path) -> None:
    """Associated with the wrong passphrase: the port stays shut, though user space has something to send."""
    right = SECURITY["wpa2"]
    wrong = replace(right, network=right.network.replace(PASSPHRASE, "another passphrase"))
    before = sta.statistics()["tx_drop_unauthorized"]
    with access_point(ap, right):
        files = sta.esp.record(tmp_path)
        with supplicant(sta, wrong) as daemon:
            sta.address(STATION_ADDRESS)
            sta.run("ip", "neigh", "replace", AP_ADDRESS, "lladdr", ap.mac, "dev", sta.interface)
            job = sta.spawn("ping", "-q", "-i", "0.05", AP_ADDRESS)
            daemon.wait("CTRL-EVENT-SSID-TEMP-DISABLED.*reason=WRONG_KEY", 60)
            job.stop()
        sta.esp.stop_recording()
    assert sta.statistics()["tx_drop_unauthorized"] > before
    sent = [packet.data for packet in recordings.pcapng(files.pcapng) if packet.direction == "out"]
    payloads = [one[int.from_bytes(one[6:8], "little") :] for one in sent if one[2] in (0, 4) and not one[0]]
    types = {payload[12:14] for payload in payloads if len(payload) > 14}
    assert types == {ETHERTYPE_EAPOL}, types


def ended(daemon: Daemon) -> int:
    """How often a station was told that its connection is over."""
    return daemon.count("CTRL-EVENT-DISCONNECTED")


@pytest.mark.parametrize("kind", ["wpa2", "wpa3"])
def test_the_station_leaves(ap: Radio, sta: Radio, kind: str) -> None:
    with access_point(ap, SECURITY[kind]) as hostapd, station(sta, SECURITY[kind]) as daemon:
        hostapd.wait("AP-STA-CONNECTED")
        daemon.cli("disconnect")
        daemon.wait("CTRL-EVENT-DISCONNECTED")
        hostapd.wait("AP-STA-DISCONNECTED")
        ap.wait_stations(0)
        assert sta.iw("link").startswith("Not connected")
        assert sta.run("cat", f"/sys/class/net/{sta.interface}/carrier").strip() == "0"
        assert "reason=3 locally_generated=1" in daemon.job.output()

        daemon.cli("reconnect")
        daemon.wait("CTRL-EVENT-CONNECTED", count=2)
        assert sta.ping(AP_ADDRESS) == 3
        assert ended(daemon) == 1 and hostapd.count("AP-STA-DISCONNECTED") == 1


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["wpa2", "wpa3"])
def test_the_access_point_sends_the_station_away(ap: Radio, sta: Radio, kind: str) -> None:
    with access_point(ap, SECURITY[kind]) as hostapd, station(sta, SECURITY[kind]) as daemon:
        hostapd.cli("deauthenticate", sta.mac, "reason=5")
        daemon.wait("CTRL-EVENT-DISCONNECTED .*reason=5$")
        hostapd.wait("AP-STA-DISCONNECTED")
        # It comes back by itself.
        daemon.wait("CTRL-EVENT-CONNECTED", count=2)
        hostapd.wait("AP-STA-CONNECTED", count=2)
        assert ended(daemon) == 1 and hostapd.count("AP-STA-DISCONNECTED") == 1
        assert sta.ping(AP_ADDRESS) == 3


# wpa_supplicant leaves a network alone for a while that it could not connect to.
BACK_SECONDS = 90.0


@pytest.mark.slow
@pytest.mark.parametrize("goodbye", [True, False], ids=["goodbye", "silence"])
@pytest.mark.parametrize("kind", ["wpa2", "wpa3"])
def test_the_access_point_is_started_again(ap: Radio, sta: Radio, kind: str, goodbye: bool) -> None:
    """hostapd knows nothing of before: a key of then is refused, and the station agrees on a new one.

    Without a goodbye it takes the station some seconds without beacons to notice.
    """
    security = SECURITY[kind]
    with ExitStack() as before:
        hostapd = before.enter_context(access_point(ap, security))
        with station(sta, security) as daemon:
            if not goodbye:
                hostapd.job.signal("KILL")
                ap.run("ip", "link", "set", "dev", ap.interface, "down")
            before.close()
            daemon.wait("CTRL-EVENT-DISCONNECTED")
            assert f"reason={3 if goodbye else 4}" in daemon.job.output()
            with access_point(ap, security) as again:
                daemon.wait("CTRL-EVENT-CONNECTED", BACK_SECONDS, count=2)
                assert sta.ping(AP_ADDRESS) == 3
                assert again.count("AP-STA-CONNECTED") == 1
    # hostapd leaves the type that it found: the killed one's.
    ap.run("ip", "link", "set", "dev", ap.interface, "down")
    ap.iw("set", "type", "managed")


PROBE = r"probe client [0-9a-f:]+ \(cookie [0-9a-f]+\): "


@pytest.mark.slow
def test_a_silent_station_is_asked_and_a_vanished_one_removed(ap: Radio, sta: Radio) -> None:
    """hostapd's inactivity timer: each question gets one answer, and it is what the station did."""
    events = ap.spawn("iw", "event")
    more = f"ap_max_inactivity={INACTIVE_SECONDS}\n"
    with access_point(ap, SECURITY["open"], more=more) as hostapd:
        hostapd.cli("log_level", "DEBUG")
        # Not wpa_supplicant, which sends something before the access point has to ask.
        sta.run("ip", "link", "set", "dev", sta.interface, "up")
        sta.iw("connect", "-w", SSID)
        events.wait_output(PROBE, PROBE_SECONDS, count=2)
        (known,) = ap.stations().values()
        silent = re.search(r"inactive time:\t(\d+) ms", known)
        assert silent and int(silent[1]) < 1000 * PROBE_SECONDS
        assert not hostapd.count("AP-STA-DISCONNECTED")
        assert sta.iw("link").startswith("Connected to")
        with sta.esp.fault("radio-gone"):
            hostapd.wait("AP-STA-DISCONNECTED", PROBE_SECONDS)
            ap.wait_stations(0)
        asked = hostapd.count("Polling STA")
    sta.run("ip", "link", "set", "dev", sta.interface, "down")
    answers = re.findall(PROBE + r"(.*)", events.stop().stdout)
    assert len(answers) == asked
    assert set(answers[:-1]) == {"acked"} and answers[-1] == "no ack"


@pytest.mark.slow
def test_settings_of_two_instances_are_their_own(ap: Radio, sta: Radio) -> None:
    ap.iw("set", "txpower", "fixed", "1100")
    sta.iw("set", "txpower", "fixed", "700")
    assert "txpower 11.00 dBm" in ap.iw("info") and "txpower 7.00 dBm" in sta.iw("info")
    for one in (ap, sta):
        one.iw("set", "txpower", "auto")
        assert "txpower 20.00 dBm" in one.iw("info")


@pytest.mark.slow
def test_two_stations_of_one_access_point(radios: dict[str, Radio]) -> None:
    ap, first, second = radios["esp0"], radios["esp1"], radios["esp2"]
    security = SECURITY["wpa2"]
    with (
        access_point(ap, security) as hostapd,
        station(first, security) as leaving,
        station(second, security, address=SECOND_ADDRESS),
    ):
        assert set(ap.stations()) == {first.mac, second.mac}
        # The access point forwards between its stations.
        assert first.ping(AP_ADDRESS) == 3 and second.ping(AP_ADDRESS) == 3
        assert first.ping(SECOND_ADDRESS) == 3 and second.ping(STATION_ADDRESS) == 3
        leaving.cli("disconnect")
        hostapd.wait(f"AP-STA-DISCONNECTED {first.mac}")
        ap.wait_stations(1)
        assert set(ap.stations()) == {second.mac}
        assert second.ping(AP_ADDRESS) == 3


@pytest.mark.slow
def test_different_security_side_by_side(radios: dict[str, Radio]) -> None:
    ap, wpa3, wpa2 = radios["esp0"], radios["esp1"], radios["esp2"]
    with (
        access_point(ap, SECURITY["transition-wpa3"]),
        station(wpa3, SECURITY["transition-wpa3"]),
        station(wpa2, SECURITY["transition-wpa2"], address=SECOND_ADDRESS),
    ):
        known = ap.stations()
        assert "MFP:\t\tyes" in known[wpa3.mac] and "MFP:\t\tno" in known[wpa2.mac]
        assert wpa3.ping(SECOND_ADDRESS) == 3


def heard(radio: Radio, *words: str) -> set[str]:
    """The names that a scan of one channel brings."""
    return {bss.ssid for bss in radio.scan("flush", "freq", str(FREQUENCY), *words)}


@pytest.mark.slow
def test_a_stopped_access_point_is_silent(ap: Radio, sta: Radio) -> None:
    with access_point(ap, SECURITY["wpa2"]):
        assert SSID in heard(sta)
    assert "type managed" in ap.iw("info")
    assert SSID not in heard(sta)
    # What was an access point is a station as before.
    assert heard(ap) == set()
    with access_point(sta, SECURITY["wpa2"]):
        assert SSID in heard(ap)


@pytest.mark.slow
def test_firmware_of_the_access_point_restarts(ap: Radio, sta: Radio) -> None:
    """Interface and wiphy stay, user space hears that the access point is gone, and can start it again."""
    security = SECURITY["open"]
    index = ap.run("cat", f"/sys/class/net/{ap.interface}/ifindex")
    with access_point(ap, security) as hostapd, station(sta, security) as daemon:
        events = ap.spawn("iw", "event")
        restarts = ap.statistics()["firmware_restarts"]
        ap.esp.faults.arm("crash")
        events.wait_output("stop ap|stop_ap", 20)
        count = f"ethtool -S {ap.interface} | sed -n 's/^ *firmware_restarts: //p'"
        ap.run("sh", "-c", f'until [ "$({count})" -gt {restarts} ]; do sleep 0.05; done')
        events.stop()
        assert ap.stations() == {} and "channel" not in ap.iw("info")
        for word in ("disable", "enable"):
            assert "OK" in hostapd.cli(word)
        hostapd.wait("AP-ENABLED", count=2)
        ap.address(AP_ADDRESS)
        daemon.wait("CTRL-EVENT-CONNECTED", count=2)
        assert sta.ping(AP_ADDRESS) == 3
    assert ap.run("cat", f"/sys/class/net/{ap.interface}/ifindex") == index


@pytest.mark.slow
def test_hidden_access_point_is_found_by_its_name(ap: Radio, sta: Radio) -> None:
    with access_point(ap, SECURITY["open"], more="ignore_broadcast_ssid=1\n"):
        assert SSID not in heard(sta)
        assert SSID in heard(sta, "ssid", SSID)


@pytest.mark.slow
def test_roaming(radios: dict[str, Radio]) -> None:
    near, sta, far = radios["esp0"], radios["esp1"], radios["esp2"]
    security = SECURITY["wpa2"]
    frequencies = (FREQUENCY, 2462)
    with (
        access_point(near, security) as one,
        access_point(far, security, channel=11, address=SECOND_ADDRESS) as other,
        station(sta, security, frequencies=frequencies) as daemon,
    ):
        places = {near.mac: (one, AP_ADDRESS), far.mac: (other, SECOND_ADDRESS)}
        for number in range(4):
            here = next(mac for mac in places if f"bssid={mac}" in daemon.cli("status"))
            there = next(mac for mac in places if mac != here)
            assert sta.ping(places[here][1]) == 3
            sta.target.run(
                f"until {daemon.command} scan_results | grep -q {there}; do "
                f"{daemon.command} scan freq=2412,2462; sleep 0.5; done",
                timeout=30,
            )
            assert "OK" in daemon.cli("roam", there)
            daemon.wait("CTRL-EVENT-CONNECTED", count=number + 2)
            assert f"bssid={there}" in daemon.cli("status")
            assert sta.ping(places[there][1]) == 3
            assert list(sta.stations()) == [there]
            places[here][0].wait(f"AP-STA-DISCONNECTED {sta.mac}", count=number // 2 + 1)


@contextmanager
def bare_answers(esp: Coprocessor) -> Iterator[None]:
    """Firmware with FQ-14 of protocol.md §14."""
    esp.set("quirks", esp.get("quirks") | 1 << 14)
    try:
        yield
    finally:
        # Not the number that was read: that would be the next generation's as well.
        esp.set("quirks", RELEASED)


@pytest.mark.slow
def test_new_group_keys(ap: Radio, sta: Radio) -> None:
    """The station answers new keys; firmware that loses the Ethernet header of the answer does no harm."""
    security = SECURITY["wpa2"]
    with (
        bare_answers(ap.esp),
        bare_answers(sta.esp),
        access_point(ap, security, more="wpa_group_rekey=2\n") as hostapd,
        station(sta, security) as daemon,
    ):
        daemon.wait("WPA: Group rekeying completed", 60, count=3)
        assert sta.ping(AP_ADDRESS) == 3 and ap.ping(STATION_ADDRESS) == 3
        assert not hostapd.count("AP-STA-DISCONNECTED") and not ended(daemon)
        assert ap.statistics()["rx_bare_eapol"] >= 2


def reconnect(target: Target, daemon: Daemon, count: int) -> None:
    """Leave and come back again and again."""
    cli = daemon.command
    target.run(
        f"for n in $(seq {count}); do {cli} disconnect; {cli} reconnect; "
        f"until [ $(grep -c EVENT-CONNECTED {daemon.job.log}) -gt $n ]; do sleep 0.02; done; done >/dev/null",
        timeout=10.0 * count,
    )


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["wpa2", "wpa3"])
def test_a_hundred_reconnects(ap: Radio, sta: Radio, kind: str) -> None:
    security: Security = SECURITY[kind]
    with access_point(ap, security) as hostapd, station(sta, security) as daemon:
        before = sta.statistics()
        reconnect(sta.target, daemon, RECONNECTS)
        assert sta.ping(AP_ADDRESS) == 3
        assert ended(daemon) == RECONNECTS
        hostapd.wait("AP-STA-CONNECTED")
        assert hostapd.count("AP-STA-CONNECTED") == RECONNECTS + 1
        after = sta.statistics()
        for name in ("command_timeouts", "mlme_timeouts", "resets", "event_drop_malformed"):
            assert after[name] == before[name], name


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["wpa2", "wpa3"])
def test_scans_do_not_disturb_an_authentication(ap: Radio, sta: Radio, kind: str) -> None:
    """A scan between two messages of an authentication would have the firmware withhold the next one."""
    scan = shlex.join(scan_trigger(sta.interface, ["freq", str(FREQUENCY)]))
    with access_point(ap, SECURITY[kind]):
        job = sta.spawn("sh", "-c", f"while :; do {scan} && echo scanning; sleep 0.2; done")
        try:
            with station(sta, SECURITY[kind]):
                assert sta.ping(AP_ADDRESS) == 3
        finally:
            said = job.stop()
    assert "scanning" in said.stdout


@pytest.mark.slow
def test_second_band(radios: dict[str, Radio]) -> None:
    """One chip has it: its channels are offered, and used; other chips do not offer them."""
    one, two = radios["esp0"], radios["esp2"]
    phy = one.run("iw", "phy")
    assert "Band 1:" in phy and "Band 2:" not in phy
    phy = two.run("iw", "phy")
    assert "Band 1:" in phy and "Band 2:" in phy and re.search(r"5180(\.0)? MHz \[36\]", phy)
    with pytest.raises(CommandError, match=r"\(-22\)"):
        one.scan("freq", "5180")
    assert {(bss.ssid, bss.channel) for bss in two.scan("flush", "freq", "5180", "2437")} == {
        (scenario.FIVE_SSID, scenario.FIVE_CHANNEL),
        (scenario.SSID, scenario.CHANNEL),
    }
    assert "connected to" in two.iw("connect", "-w", scenario.FIVE_SSID)
    assert "freq: 5180" in two.iw("link") and "channel 36 (5180 MHz)" in two.iw("info")
    two.iw("disconnect")


# More than the protocol carries


def element(size: int) -> str:
    """A vendor's element of `size` bytes, in hexadecimal."""
    return f"dd{size - 2:02x}" + "0050f2ff" + "00" * (size - 6)


@pytest.mark.slow
def test_too_much_for_the_firmware(ap: Radio, sta: Radio) -> None:
    """Elements beyond the protocol's length fields are refused, not cut off."""
    security = SECURITY["open"]
    with access_point(ap, security) as hostapd, supplicant(sta, security) as daemon:
        daemon.wait("CTRL-EVENT-CONNECTED")
        daemon.cli("disconnect")
        daemon.cli("vendor_elem_add", "13", element(200) + element(200))
        daemon.cli("reconnect")
        daemon.wait("SME: Association request to the driver failed")
        assert sta.iw("link").startswith("Not connected")
        assert hostapd.count("AP-STA-CONNECTED") == 1
        daemon.cli("vendor_elem_remove", "13", "*")
        daemon.wait("CTRL-EVENT-CONNECTED", count=2)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("more", "why"),
    [
        ("vendor_elements=" + element(250) * 7 + "\n", "Failed to set beacon parameters"),
        ("ieee80211n=1\nht_capab=[HT40+]\n", "does not support configured HT capability .HT40"),
    ],
    ids=["elements", "40 MHz"],
)
def test_access_point_beyond_the_firmware_is_refused(ap: Radio, sta: Radio, more: str, why: str) -> None:
    with pytest.raises(HarnessError, match=why), access_point(ap, SECURITY["open"], more=more):
        pass
    # Not half of it either.
    assert SSID not in heard(sta)
    with access_point(ap, SECURITY["open"]):
        assert SSID in heard(sta)


# What goes over the wire

ADD_KEY, ALGORITHM_TKIP, ALGORITHM_IGTK = 8, 2, 7


@dataclass(frozen=True)
class Key:
    """ADD_KEY as the firmware sees it (protocol.md 7.8)."""

    algorithm: int
    index: int
    material: bytes
    mac: bytes
    sequence: bytes


def keys(path: Path) -> list[Key]:
    """The keys that a co-processor was given, in order."""
    found = []
    for packet in recordings.pcapng(path):
        payload = packet.data[int.from_bytes(packet.data[6:8], "little") :]
        if packet.direction == "out" and packet.data[2] == 1 and payload[0] == ADD_KEY:
            length, counter = (int.from_bytes(payload[at : at + 4], "little") for at in (48, 68))
            algorithm, index = (int.from_bytes(payload[at : at + 4], "little") for at in (8, 12))
            found.append(
                Key(algorithm, index, payload[16 : 16 + length], payload[52:58], payload[58 : 58 + counter])
            )
    return found


@pytest.mark.slow
def test_keys_on_the_wire(ap: Radio, sta: Radio, tmp_path: Path) -> None:
    """Pairwise keys have index 0 and the peer's address, group keys neither; IGTKs have index 4 or 5."""
    files = {radio.name: radio.esp.record(tmp_path) for radio in (ap, sta)}
    security = SECURITY["wpa3"]
    with access_point(ap, security), station(sta, security):
        assert sta.ping(AP_ADDRESS) == 3
        peers = {one.name: bytes.fromhex(other.mac.replace(":", "")) for one, other in ((ap, sta), (sta, ap))}
    for radio in (ap, sta):
        radio.esp.stop_recording()
        found = keys(files[radio.name].pcapng)
        pairwise = [key for key in found if key.index == 0]
        assert {key.mac for key in pairwise} == {peers[radio.name]}
        assert all(key.mac == bytes(6) for key in found if key.index)
        assert {key.algorithm for key in found if 1 <= key.index <= 3} == {3}
        protected = [key for key in found if key.algorithm == ALGORITHM_IGTK]
        assert protected and all(key.index in (4, 5) and len(key.material) == 16 for key in protected)
    assert keys(files[sta.name].pcapng)[0].material == keys(files[ap.name].pcapng)[-1].material


@pytest.mark.slow
def test_michael_keys_are_swapped(ap: Radio, sta: Radio, tmp_path: Path) -> None:
    """The wire has the Michael keys the other way round than cfg80211 (protocol.md 7.8)."""
    files = sta.esp.record(tmp_path)
    security = SECURITY["tkip"]
    with access_point(ap, security), station(sta, security, options=("-dd", "-K")) as daemon:
        said = daemon.job.output()
        sta.esp.stop_recording()
    # As derived (IEEE 802.11, 12.7.1.3): temporal key, Michael key of the authenticator, of the supplicant.
    derived = bytes.fromhex(re.findall(r"WPA: TK - hexdump\(len=32\): ([0-9a-f ]+)", said)[-1])
    installed = [key for key in keys(files.pcapng) if key.index == 0]
    assert [key.algorithm for key in installed] == [ALGORITHM_TKIP]
    # cfg80211 has the key for transmission first; for a station that is the supplicant's.
    assert installed[0].material == derived
