# SPDX-License-Identifier: MIT
"""The Wireshark dissector, by way of tshark: frames known from the protocol's description, good and bad."""

from __future__ import annotations

import json
import re
import shutil
import struct
import subprocess
from pathlib import Path
from typing import Any

import pytest

from harness.paths import REPO
from tests import recordings

SCRIPT = REPO / "tools" / "wireshark" / "esp_hosted.lua"
STA, AP, HCI, INTERNAL, TEST = range(5)
DATA, COMMAND, RESPONSE, EVENT, EAPOL = range(5)
BSSID = bytes.fromhex("025300000001")
STATION = bytes.fromhex("246f28802c34")

pytestmark = pytest.mark.skipif(shutil.which("tshark") is None, reason="no tshark: apt-get install tshark")


def frame(if_type: int, packet_type: int, payload: bytes, offset: int = 12, last: int = 0) -> bytes:
    """A hosted frame with its checksum; `last` is byte 11."""
    header = struct.pack("<BBBBHHHBB", if_type, 0, packet_type, 0, len(payload), offset, 0, 0, last)
    whole = header + bytes(offset - 12) + payload
    return whole[:8] + struct.pack("<H", sum(whole) & 0xFFFF) + whole[10:]


def command(code: int, body: bytes = b"", sequence: int = 0, if_type: int = STA, flag: int = 0) -> bytes:
    return frame(if_type, COMMAND, struct.pack("<BBHHBB", code, 0, 0, sequence, flag, 0) + body)


def response(code: int, status: int = 2, body: bytes = b"", sequence: int = 0, flag: int = 0) -> bytes:
    head = struct.pack("<BBHHBB", code, status, len(body), sequence, flag, 0)
    return frame(STA, RESPONSE, head + body + bytes(12))


def event(code: int, body: bytes, status: int = 0, if_type: int = STA) -> bytes:
    return frame(if_type, EVENT, struct.pack("<BBH", code, status, len(body)) + body)


BOOT_G1 = bytes.fromhex(
    "03 00 00 00 1f 00 0c 00 1c 02 00 00 01 00 18 00 17 00 00 00 03 01 05 02 01 1e 00 01 e8 01 0c"
    "4e 47 00 01 00 06 00 01 01 00 00 00"
)
BOOT_G2 = bytes.fromhex(
    "03 00 00 00 28 00 0c 00 4f 02 00 00 01 00 21 00 20 00 00 00 03 01 05 02 01 1e 00 04 a0 00 00 00"
    "05 04 40 06 00 00 01 0c 4e 47 00 01 00 06 00 0f 01 00 00 00"
)
# 802.11: authentication from BSSID, open system, transaction 2, success.
HEADER_80211 = struct.pack("<HH", 0x00B0, 0) + STATION + BSSID + BSSID + bytes(2)
AUTH = HEADER_80211 + struct.pack("<HHH", 0, 2, 0)
ASSOC = struct.pack("<HH", 0x0010, 0) + HEADER_80211[4:] + struct.pack("<HHH", 0x0001, 0, 0xC001)
BEACON_BODY = struct.pack("<QHH", 1000, 100, 0x0001) + b"\x00\x0aesp-hosted" + b"\x01\x01\x82"
EAPOL_START = STATION + BSSID + bytes.fromhex("888e 01010000")


def received(subtype: int, length: int, tail: int = 0) -> bytes:
    """What SCAN and AUTH_RX have in front of the 802.11 part."""
    return BSSID + struct.pack("<BBiQHH", subtype, 6, -42, 123456, length, tail)


Fields = dict[str, list[Any]]


class Pairs(list[tuple[str, Any]]):
    """A JSON object: tshark writes the same name several times."""


def collect(value: Any, fields: Fields) -> None:
    """All fields of nested layers, name to the list of values."""
    if isinstance(value, Pairs):
        for name, inner in value:
            if isinstance(inner, list):
                collect(inner, fields)
            if not isinstance(inner, Pairs):
                fields.setdefault(name, []).extend(inner if isinstance(inner, list) else [inner])
    elif isinstance(value, list):
        for part in value:
            collect(part, fields)


def dissect(directory: Path, *frames: tuple[str, bytes], options: tuple[str, ...] = ()) -> list[Fields]:
    """The fields of each frame."""
    capture = directory / "frames.pcapng"
    recordings.write_pcapng(capture, list(frames))
    result = subprocess.run(
        ["tshark", "-n", "-X", f"lua_script:{SCRIPT}", *options, "-r", str(capture), "-T", "ek"],
        capture_output=True,
        text=True,
        # Bytes that are no text are shown as they are.
        errors="replace",
        check=True,
        timeout=60,
    )
    assert not set(re.findall(r"Lua Error: [^\"]*", result.stdout))
    found: list[Fields] = []
    for line in result.stdout.splitlines():
        entry = dict(json.loads(line, object_pairs_hook=Pairs))
        if "layers" in entry:
            fields: Fields = {}
            collect(entry["layers"], fields)
            found.append(fields)
    assert len(found) == len(frames), result.stderr
    return found


def one(fields: Fields, name: str, layer: str = "esp_hosted") -> Any:
    """The value of a field that is there once."""
    values = fields[f"{layer}_{layer}_{name}"]
    assert len(values) == 1, (name, values)
    return values[0]


def experts(fields: Fields) -> set[str]:
    """What is said to be wrong."""
    prefix = "esp_hosted_esp_hosted_expert_"
    return {name.removeprefix(prefix) for name in fields if name.startswith(prefix)}


def test_header_and_direction(tmp_path: Path) -> None:
    first, second = dissect(tmp_path, ("out", command(1)), ("in", response(1)))
    assert [one(fields, "packet_flags_direction", "frame") for fields in (first, second)] == [
        "0x00000002",
        "0x00000001",
    ]
    expected = {
        "if_type": "0",
        "packet_type": "1",
        "len": "8",
        "offset": "12",
        "checksum": "0x0016",
        "command": "1",
    }
    assert {name: one(first, name) for name in expected} == expected
    expected = {"packet_type": "2", "response": "1", "status": "2", "data_len": "0"}
    assert {name: one(second, name) for name in expected} == expected
    assert experts(first) == experts(second) == set()


@pytest.mark.parametrize(
    ("frame_bytes", "version", "capabilities"),
    [(BOOT_G1, "1.0.6.0.1", "0x000000e8"), (BOOT_G2, "1.0.6.0.15", "0x000000a0")],
)
def test_boot_event(tmp_path: Path, frame_bytes: bytes, version: str, capabilities: str) -> None:
    (fields,) = dissect(tmp_path, ("in", frame_bytes))
    expected = {
        "fw_version": version,
        "capabilities": capabilities,
        "chip": "0x05",
        "clock": "30",
        "project": "NG",
    }
    assert {name: one(fields, name) for name in expected} == expected
    assert experts(fields) == {"boot"}
    assert fields["esp_hosted_esp_hosted_cap_checksum"] == [True]


def test_commands_have_their_fields(tmp_path: Path) -> None:
    key = struct.pack("<II32sI6s10sIBBH", 3, 1, b"k" * 16, 16, bytes(6), bytes(10), 6, 0, 1, 0)
    auth = (
        BSSID
        + bytes((6, 3))
        + b"air".ljust(33, b"\0")
        + bytes(28)
        + bytes((6, 0, 0))
        + bytes.fromhex("010000001300")
    )
    found = dissect(
        tmp_path,
        ("out", command(4, bytes(8) + b"air".ljust(33, b"\0") + bytes((11, 0, 0)))),
        ("out", command(8, key)),
        ("out", command(11, auth)),
        ("out", command(12, bytes((4, 0, 1, 0)) + b"\x01\x02\x82\x84", sequence=7)),
        ("out", command(13, bytes((10, 0, 2, 15)))),
        ("in", response(3, body=STATION)),
        ("in", response(27, body=struct.pack("<b", -61))),
        ("out", command(22, struct.pack("<HH", 3, 0))),
        ("out", command(200)),
    )
    scan, add_key, sta_auth, sta_assoc, set_ip, get_mac, rssi, mode, unknown = found
    assert (one(scan, "ssid"), one(scan, "channel")) == ("air", "11")
    assert (one(add_key, "key_algorithm"), one(add_key, "key_index"), one(add_key, "key_len")) == (
        "3",
        "1",
        "16",
    )
    assert (one(sta_auth, "auth_algorithm"), one(sta_auth, "auth_transaction")) == ("3", "1")
    assert (one(sta_assoc, "control_port"), one(sta_assoc, "seq")) == (True, "7")
    assert one(set_ip, "ip") == "10.0.2.15"
    assert one(get_mac, "mac") == STATION.hex(":")
    assert one(rssi, "rssi8") == "-61"
    assert one(mode, "mode") == "3"
    assert [experts(fields) for fields in found] == [set()] * 8 + [{"command"}]
    assert one(unknown, "command") == "200"


def test_frames_inside_are_wiresharks(tmp_path: Path) -> None:
    ethernet = STATION + BSSID + bytes.fromhex("0806") + bytes.fromhex("0001080006040001") + bytes(20)
    mgmt_tx = struct.pack("<BBIBBI", 6, 0, 0, 0, 0, len(AUTH)) + AUTH
    scan, auth, ap, tx, data, padded = dissect(
        tmp_path,
        ("in", event(1, received(8, len(BEACON_BODY)) + BEACON_BODY, status=1)),
        ("in", event(4, received(11, len(AUTH)) + AUTH)),
        ("in", event(6, struct.pack("<iiiI", -95, -50, 6, len(AUTH)) + AUTH, if_type=AP)),
        ("out", command(25, mgmt_tx, if_type=AP)),
        ("in", frame(STA, EAPOL, EAPOL_START)),
        ("out", frame(STA, DATA, ethernet, offset=14)),
    )
    assert (one(scan, "fc_type_subtype", "wlan"), one(scan, "bssid", "wlan")) == ("0x0008", BSSID.hex(":"))
    assert one(scan, "fixed_beacon", "wlan") == "100" and one(scan, "rssi") == "-42"
    for fields in (auth, ap, tx):
        assert (one(fields, "fc_type_subtype", "wlan"), one(fields, "fixed_auth_seq", "wlan")) == (
            "0x000b",
            "0x0002",
        )
    assert (one(data, "type", "eth"), one(data, "type", "eapol")) == ("0x888e", "1")
    assert (one(padded, "opcode", "arp"), one(padded, "padding")) == ("1", "00:00")
    assert not any(experts(fields) for fields in (scan, auth, ap, tx, data, padded))


@pytest.mark.parametrize("known_by", ["boot", "sequence", "length"])
def test_both_generations_of_assoc_rx(tmp_path: Path, known_by: str) -> None:
    start = BSSID + bytes((1, 6)) + bytes(34)
    first = event(5, start + struct.pack("<HiQ", len(ASSOC), -40, 1) + ASSOC)
    second = event(5, start + struct.pack("<HHiQ", 9, len(ASSOC), -40, 1) + ASSOC)
    for generation, boot, answer, assoc in (
        ("1", BOOT_G1, response(1), first),
        ("2", BOOT_G2, response(1, sequence=1), second),
    ):
        before = {"boot": [("in", boot)], "sequence": [("in", answer)], "length": []}[known_by]
        fields = dissect(tmp_path, *before, ("in", assoc))[-1]
        assert (one(fields, "rssi"), one(fields, "frame_len")) == ("-40", str(len(ASSOC)))
        assert one(fields, "fixed_aid", "wlan") == "0x0001"
        assert experts(fields) == set()
        assert ("esp_hosted_esp_hosted_seq" in fields) == (generation == "2")
        if known_by == "boot":
            assert one(fields, "generation") == generation


def test_marked_mgmt_tx_and_its_status(tmp_path: Path) -> None:
    marked = struct.pack("<BBIBBQI", 6, 0, 0, 0, 0, 0x1234, len(AUTH)) + AUTH
    status = struct.pack("<QIB3x", 0x1234, len(AUTH), 1) + AUTH
    request, answer = dissect(
        tmp_path, ("out", command(25, marked, sequence=3, flag=0xA5)), ("in", event(7, status, if_type=AP))
    )
    assert (one(request, "tx_id"), one(request, "fixed_auth_seq", "wlan")) == ("0x0000000000001234", "0x0002")
    assert (one(answer, "tx_id"), one(answer, "acked")) == ("0x0000000000001234", True)
    assert one(answer, "fixed_auth_seq", "wlan") == "0x0002"


def test_hci_in_both_directions(tmp_path: Path) -> None:
    reset = bytes.fromhex("02 00 00 00 03 00 0c 00 21 00 00 01 03 0c 00")
    complete = bytes.fromhex("02 00 00 00 07 00 0c 00 3b 00 00 00 04 0e 04 01 03 0c 00")
    sent, answered = dissect(tmp_path, ("out", reset), ("in", complete))
    assert (one(sent, "hci_type"), one(answered, "hci_type")) == ("1", "4")
    assert experts(sent) == experts(answered) == set()


def changed(original: bytes, position: int, value: int) -> bytes:
    return original[:position] + bytes((value,)) + original[position + 1 :]


BAD = [
    (changed(command(1), 8, 0x17), {"checksum"}),
    (changed(command(1), 4, 0), {"length"}),
    (changed(command(1), 5, 0x07), {"length"}),
    (changed(command(1), 6, 17), {"offset"}),
    (command(1)[:8], {"length"}),
    (frame(7, DATA, bytes(4)), {"if_type"}),
    (frame(0x10, DATA, bytes(20)), {"if_num"}),
    (frame(STA, 9, bytes(4)), {"packet_type"}),
    (frame(STA, DATA, bytes(4)), {"length"}),
    (command(8, bytes(4)), {"length"}),
    (response(3, status=1), {"status"}),
    (changed(response(3), 14, 200), {"length", "checksum"}),
    (event(99, b""), {"event"}),
    (event(4, received(11, 0xFFFF) + AUTH), {"length"}),
    (event(4, bytes(3)), {"length"}),
    (frame(INTERNAL, DATA, bytes((1, 0, 4, 0, 3, 0, 0, 0, 3, 200, 0))), {"boot", "tlv"}),
    (frame(INTERNAL, DATA, bytes((1, 0, 4, 0, 255, 0, 0, 0, 3, 1, 0))), {"boot", "length"}),
    (frame(INTERNAL, DATA, bytes((1, 0, 4, 0, 4, 0, 0, 0, 3, 2, 0, 0))), {"boot", "tlv"}),
]


def test_what_is_wrong_is_said(tmp_path: Path) -> None:
    found = dissect(tmp_path, *(("in", bad) for bad, _ in BAD))
    for (bad, expected), fields in zip(BAD, found, strict=True):
        assert experts(fields) == expected, bad.hex(" ")


def test_any_frame_can_be_dissected(tmp_path: Path) -> None:
    """Every prefix of every kind: no error of the script, however little is there."""
    bodies = [bytes(60), b"\xff" * 60, bytes(range(60))]
    frames = [
        ("in" if number % 2 else "out", frame(if_type, packet_type, bytes((code,)) + body[:length]))
        for number, (if_type, packet_type, code) in enumerate(
            [(STA, COMMAND, code) for code in range(36)]
            + [(STA, RESPONSE, code) for code in range(36)]
            + [(STA, EVENT, code) for code in range(9)]
            + [(INTERNAL, DATA, 1), (HCI, DATA, 1), (TEST, DATA, 0), (AP, EAPOL, 2)]
        )
        for body in bodies
        for length in (0, 2, 7, 20, 59)
    ]
    assert len(dissect(tmp_path, *frames)) == len(frames)
