# SPDX-License-Identifier: MIT
"""The virtual co-processor in QEMU, without a guest: registers of ECSPI2 and GPIO are driven over qtest.

Time is the test's own: the virtual clock moves only by `Board.step`. Frames are those of protocol.md §17.
"""

from __future__ import annotations

import json
import os
import re
import socket
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from harness import boards, process
from harness.coprocessor import AccessPoint, Coprocessor
from harness.paths import REPO
from harness.qemu import OVERRIDE
from harness.qmp import Monitor, MonitorError
from tests import recordings

# i.MX 8M Plus reference manual, memory map; register offsets of the GPIO and ECSPI chapters.
GPIO3, GPIO5, ECSPI2 = 0x30220000, 0x30240000, 0x30830000
GPIO_DR, GPIO_GDIR, GPIO_PSR, GPIO_ICR2, GPIO_ISR = 0x00, 0x04, 0x08, 0x10, 0x18
ECSPI_RXDATA, ECSPI_TXDATA, ECSPI_CONREG = 0x00, 0x04, 0x08
# Enabled, start on write, channel 0 master, bursts of 32 bits.
ECSPI_ON = 1 << 0 | 1 << 3 | 1 << 4 | 31 << 20
FIFO_WORDS = 64

CS, HANDSHAKE, DATA_READY, RESET = 1 << 13, 1 << 20, 1 << 21, 1 << 22
WIRING = {
    "spi": "/machine/soc/spi2",
    "cs-gpio": "/machine/soc/gpio5:13",
    "handshake-gpio": "/machine/soc/gpio3:20",
    "data-ready-gpio": "/machine/soc/gpio3:21",
    "reset-gpio": "/machine/soc/gpio3:22",
}
TRANSACTION = 1600
MS = 1_000_000
BOOT_NS = 500 * MS
# 1600 bytes at 10 MHz.
BUS_NS = 1_280_000
TURNAROUND_NS = 50_000
MAC = "24:6f:28:80:2c:34"

BOOT_EVENT = bytes.fromhex(
    "03 00 00 00 1f 00 0c 00 13 02 00 00 01 00 18 00 17 00 00 00 03 01 00 02 01 0a 00 01 f8 01 0c"
    "4e 47 00 01 00 06 00 01 01 00 00 00"
)
INIT_IF = bytes.fromhex("00 00 01 00 08 00 0c 00 16 00 00 00 01 00 00 00 00 00 00 00")
INIT_IF_OK = bytes.fromhex("00 00 02 00 14 00 0c 00 25 00 00 00 01 02 00 00 00 00 00 00") + bytes(12)
GET_MAC = bytes.fromhex("00 00 01 00 08 00 0c 00 18 00 00 00 03 00 00 00 00 00 00 00")
GET_MAC_OK = bytes.fromhex(
    "00 00 02 00 1a 00 0c 00 ce 01 00 00 03 02 06 00 00 00 00 00 24 6f 28 80 2c 34"
) + bytes(12)
DUMMY = b"\xff" + bytes(TRANSACTION - 1)
FILLER = bytes(TRANSACTION)


BSSID = bytes.fromhex("025300000001")
STATION = bytes.fromhex(MAC.replace(":", ""))
# packet_type
DATA, COMMAND, RESPONSE, EVENT = 0, 1, 2, 3


def frame(packet_type: int, payload: bytes) -> bytes:
    """A hosted frame of the station interface, with its checksum (protocol.md §2)."""
    header = struct.pack("<BBBBHHHBB", 0, 0, packet_type, 0, len(payload), 12, 0, 0, 0)
    return header[:8] + struct.pack("<H", sum(header + payload) & 0xFFFF) + header[10:] + payload


def command(code: int, body: bytes = b"") -> bytes:
    """A command request (protocol.md §6.1)."""
    return frame(COMMAND, struct.pack("<BBHHBB", code, 0, 0, 0, 0, 0) + body)


def emulator() -> Path:
    """The emulator: the developer's own, or the one ./inv qemu has built."""
    own = os.environ.get(OVERRIDE)
    if not own:
        pytest.skip(f"no emulator: build it with ./inv qemu, or set {OVERRIDE} to a qemu-system-aarch64")
    return Path(own)


def option(driver: str, **properties: str | int) -> str:
    """A -device value; underscores in names stand for hyphens."""
    return ",".join((driver, *(f"{name.replace('_', '-')}={value}" for name, value in properties.items())))


def coprocessor(**changes: str | int) -> str:
    """The -device value of a co-processor wired as on the board."""
    properties: dict[str, str | int] = {name.replace("-", "_"): value for name, value in WIRING.items()}
    properties |= {"id": "esp0", "chip": "esp32", "generation": "g1", "fw_version": "1.0.6.0.1", "mac": MAC}
    properties |= {"boot_ns": BOOT_NS, "turnaround_ns": TURNAROUND_NS}
    return option("esp-hosted", **{**properties, **changes})


def wait_for(what: str, condition: Callable[[], bool]) -> None:
    """Ask again until it is so: QEMU's main loop gets to everything soon, but nothing says when."""
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, f"waited 20 s in vain for {what}"


class Board:
    """A machine without a CPU that runs: registers, clock and monitor."""

    def __init__(
        self, program: Path, *devices: str, extra: tuple[str, ...] = (), fds: tuple[int, ...] = ()
    ) -> None:
        ours, qtest_end = socket.socketpair()
        qmp, qmp_end = socket.socketpair()
        self._process = process.start(
            [
                str(program),
                *("-machine", "imx8mp-evk", "-accel", "qtest", "-m", "64M", "-nodefaults"),
                *("-display", "none", "-no-user-config"),
                *("-chardev", f"socket,id=qtest,fd={qtest_end.fileno()}", "-qtest", "chardev:qtest"),
                *("-qtest-log", "none"),
                *("-chardev", f"socket,id=qmp,fd={qmp_end.fileno()}", "-mon", "chardev=qmp,mode=control"),
                *extra,
                *(word for device in devices for word in ("-device", device)),
            ],
            pass_fds=(qtest_end.fileno(), qmp_end.fileno(), *fds),
        )
        qtest_end.close()
        qmp_end.close()
        ours.settimeout(20)
        self.time = 0
        self._socket = ours
        self._answers = ours.makefile("r", encoding="ascii")
        self.monitor = Monitor(qmp)
        self.esp = Coprocessor(self.monitor, "esp0")

    def close(self) -> None:
        """End QEMU."""
        with self._socket, self._answers:
            process.stop(self._process)
        self.monitor.close()

    def commands(self, lines: list[str]) -> list[str]:
        """Send qtest commands at once, return what each answered."""
        self._socket.sendall("".join(f"{line}\n" for line in lines).encode("ascii"))
        answers: list[str] = []
        while len(answers) < len(lines):
            answer = self._answers.readline()
            assert answer, f"QEMU ended during {lines[len(answers)]}"
            if answer.startswith("IRQ"):
                continue
            assert answer.startswith("OK"), f"{lines[len(answers)]}: {answer}"
            answers.append(answer[2:].strip())
        return answers

    def write(self, address: int, value: int) -> None:
        """A 32-bit register write."""
        self.commands([f"writel {address:#x} {value:#x}"])

    def read(self, address: int) -> int:
        """A 32-bit register read."""
        return int(self.commands([f"readl {address:#x}"])[0], 0)

    def step(self, nanoseconds: int) -> None:
        """Move the virtual clock."""
        self.time = int(self.commands([f"clock_step {nanoseconds}"])[0])

    def level(self, line: int) -> bool:
        """An input of GPIO3, as the guest sees it."""
        return bool(self.read(GPIO3 + GPIO_PSR) & line)

    def setup(self) -> None:
        """Chip select an output, high; the controller on."""
        self.write(GPIO5 + GPIO_DR, CS)
        self.write(GPIO5 + GPIO_GDIR, CS)
        self.write(ECSPI2 + ECSPI_CONREG, ECSPI_ON)

    def select(self, active: bool) -> None:
        """Drive chip select."""
        self.write(GPIO5 + GPIO_DR, 0 if active else CS)

    def clock(self, data: bytes) -> bytes:
        """Clock bytes (a multiple of 4) and return what came back."""
        words = struct.unpack(f">{len(data) // 4}I", data)
        received: list[int] = []
        for start in range(0, len(words), FIFO_WORDS):
            chunk = words[start : start + FIFO_WORDS]
            self.commands([f"writel {ECSPI2 + ECSPI_TXDATA:#x} {word:#x}" for word in chunk])
            received += (
                int(answer, 0) for answer in self.commands([f"readl {ECSPI2 + ECSPI_RXDATA:#x}"] * len(chunk))
            )
        return struct.pack(f">{len(received)}I", *received)

    def transact(self, frame: bytes = b"") -> bytes:
        """One transaction, in no time."""
        self.select(True)
        received = self.clock(frame + bytes(TRANSACTION - len(frame)))
        self.select(False)
        return received

    def boot(self) -> None:
        """From power-on to the armed boot event."""
        self.setup()
        self.step(BOOT_NS + 5 * MS)
        assert self.level(HANDSHAKE) and self.level(DATA_READY)

    def next_frame(self, limit: int = 100) -> bytes:
        """Clock fillers while data-ready is high until a real frame comes."""
        for _ in range(limit):
            self.step(5 * MS)
            assert self.level(HANDSHAKE), f"handshake stays low: {self.esp.history[-3:]}"
            if not self.level(DATA_READY):
                continue
            received = self.transact()
            if received[0] != 0xFF:
                return received
        raise AssertionError(f"no frame in {5 * limit} ms: {self.esp.history[-3:]}")

    def until(self, packet_type: int, code: int | None = None, limit: int = 100) -> bytes:
        """The payload of the next frame of this kind; others before it are passed over."""
        for _ in range(50):
            received = self.next_frame(limit)
            length, offset = struct.unpack_from("<HH", received, 4)
            payload = received[offset : offset + length]
            if received[2] == packet_type and code in (None, payload[0]):
                return payload
        raise AssertionError(f"no frame of type {packet_type}, code {code}: {self.esp.history}")

    def request(self, code: int, body: bytes = b"") -> bytes:
        """The response to a command, which must be a success."""
        self.step(5 * MS)
        self.transact(command(code, body))
        payload = self.until(RESPONSE, code)
        assert payload[1] == 2, f"command {code}: status {payload[1]}"
        return payload

    def join(self) -> None:
        """Boot and associate with the access point."""
        self.boot()
        self.transact()
        self.request(1)
        self.step(5 * MS)
        self.request(11, BSSID + bytes((6, 0)) + b"esp-hosted".ljust(33, b"\0") + bytes(31))
        self.until(EVENT, 4)
        self.request(12, bytes(4))
        self.until(EVENT, 5)


@contextmanager
def running(*devices: str, extra: tuple[str, ...] = (), fds: tuple[int, ...] = ()) -> Iterator[Board]:
    """A board with these devices, its co-processor at power-on."""
    board = Board(emulator(), *devices, extra=extra, fds=fds)
    try:
        yield board
    finally:
        board.close()


@pytest.fixture
def board() -> Iterator[Board]:
    """A board with one co-processor and one access point."""
    with running("esp-hosted-ap,id=ap0", coprocessor()) as result:
        yield result


@pytest.fixture(scope="module")
def refusing_board() -> Iterator[Board]:
    """One board for all the tests of what is refused: none of them changes anything."""
    with running(coprocessor()) as result:
        yield result


def test_lines_are_low_until_the_boot_event(board: Board) -> None:
    board.setup()
    assert (board.esp.state, board.esp.lines.reset, board.esp.lines.cs) == ("booting", True, True)
    board.step(BOOT_NS - 1 * MS)
    assert not board.level(HANDSHAKE) and not board.level(DATA_READY)
    board.step(6 * MS)
    assert board.level(HANDSHAKE) and board.level(DATA_READY)
    assert board.esp.lines.handshake and board.esp.lines.data_ready
    assert board.esp.state == "running"


def test_the_guest_gets_a_rising_edge(board: Board) -> None:
    # Both lines: interrupt on the rising edge (2 bits a line).
    board.write(GPIO3 + GPIO_ICR2, 0b10 << 2 * (20 - 16) | 0b10 << 2 * (21 - 16))
    # Lines whose configuration is "level low" have latched; forget that.
    board.write(GPIO3 + GPIO_ISR, HANDSHAKE | DATA_READY)
    assert not board.read(GPIO3 + GPIO_ISR) & (HANDSHAKE | DATA_READY)
    board.boot()
    assert board.read(GPIO3 + GPIO_ISR) & (HANDSHAKE | DATA_READY) == HANDSHAKE | DATA_READY


def test_boot_event_is_the_first_frame(board: Board) -> None:
    board.boot()
    assert board.transact()[: len(BOOT_EVENT)] == BOOT_EVENT
    assert bytes.fromhex(board.esp.get("last-frame-to-host"))[: len(BOOT_EVENT)] == BOOT_EVENT


def test_bus_time_keeps_handshake_low(board: Board) -> None:
    board.boot()
    board.transact()
    assert not board.level(HANDSHAKE)
    # The emulated controller took no time, so all of the bus time is still ahead.
    board.step(BUS_NS + TURNAROUND_NS - 1)
    assert not board.level(HANDSHAKE)
    board.step(1)
    assert board.level(HANDSHAKE)
    assert not board.level(DATA_READY)
    assert board.transact() == DUMMY


def test_commands_are_answered(board: Board) -> None:
    board.boot()
    board.transact()
    for request, response in ((INIT_IF, INIT_IF_OK), (GET_MAC, GET_MAC_OK)):
        board.step(5 * MS)
        board.transact(request)
        assert board.next_frame()[: len(response)] == response
    assert [entry["code"] for entry in board.esp.history if entry["what"] == "command"] == [1, 3]


def test_bytes_without_chip_select_are_no_transaction(board: Board) -> None:
    board.boot()
    before = board.esp.counters["transactions"]
    assert board.clock(bytes(64)) == bytes(64)
    assert board.esp.counters["transactions"] == before
    assert board.transact()[: len(BOOT_EVENT)] == BOOT_EVENT
    assert board.esp.counters["transactions"] == before + 1


def test_reset_line_stops_and_restarts_the_chip(board: Board) -> None:
    board.boot()
    board.write(GPIO3 + GPIO_DR, 0)
    board.write(GPIO3 + GPIO_GDIR, RESET)
    assert board.esp.state == "reset"
    assert not board.esp.lines.reset
    assert not board.level(HANDSHAKE) and not board.level(DATA_READY)
    board.step(2 * BOOT_NS)
    assert board.esp.state == "reset"
    board.write(GPIO3 + GPIO_DR, RESET)
    assert board.esp.state == "booting"
    board.step(BOOT_NS + 5 * MS)
    assert board.transact()[: len(BOOT_EVENT)] == BOOT_EVENT


def test_reset_line_made_an_input_is_pulled_up(board: Board) -> None:
    board.boot()
    board.write(GPIO3 + GPIO_GDIR, RESET)
    assert board.esp.state == "reset"
    board.write(GPIO3 + GPIO_GDIR, 0)
    board.step(1 * MS)
    assert board.esp.state == "booting"


def test_machine_reset_is_a_cold_start(board: Board) -> None:
    board.boot()
    board.write(GPIO3 + GPIO_GDIR, RESET)
    board.select(True)
    board.monitor.execute("system_reset")
    wait_for("the reset", lambda: not board.read(GPIO3 + GPIO_GDIR))
    assert board.esp.state == "booting"
    assert (board.esp.lines.reset, board.esp.lines.cs) == (True, True)
    board.boot()
    assert board.transact()[: len(BOOT_EVENT)] == BOOT_EVENT


def test_ceiling_follows_the_clock(board: Board) -> None:
    slow = board.esp.link_ceiling_bps
    # One segment a transaction, no turnaround, would be 9.05 Mbit/s.
    assert 8_500_000 < slow < 1448 * 8 * 1e9 / BUS_NS
    board.esp.set("spi-clock-hz", 20_000_000)
    assert slow * 1.8 < board.esp.link_ceiling_bps < slow * 2
    assert board.esp.get("spi-clock-hz") == 20_000_000


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("chip", "esp33", "the chips are: esp32, "),
        ("generation", "g3", "the generations are: g1, g2"),
        ("fw-version", "1.0", "five numbers"),
        ("mac", "24:6f", "six bytes"),
        ("rx-queue", 21, "receive queue is 21, must be 1 to 20"),
        ("seed", 5, "command line only"),
        ("events", "boot,bot", "there is no event 'bot'; the events are: reset,boot,"),
        ("scripted", "27,256", "'256' is not a command code"),
        ("paths", {"ap7": {}}, "there is no radio or access point 'ap7'; there are: esp0"),
        ("paths", {"esp0": {"signal": -50}}, "there is no radio or access point 'esp0'"),
    ],
)
def test_bad_values_are_refused_while_running(
    refusing_board: Board, name: str, value: object, text: str
) -> None:
    board = refusing_board
    before = board.esp.get(name)
    with pytest.raises(MonitorError, match=text):
        board.esp.set(name, value)
    assert board.esp.get(name) == before


def test_faults_are_armed_counted_and_disarmed(board: Board) -> None:
    board.boot()
    board.esp.set(
        "faults", {"frame-checksum": {"match": EVENT}, "frame-zero": {"count": 2, "match": RESPONSE}}
    )
    board.transact()
    board.step(5 * MS)
    board.transact(INIT_IF)
    board.step(5 * MS)
    # Armed before the answer was there.
    assert board.transact() == DUMMY
    board.step(5 * MS)
    assert board.transact() == bytes(TRANSACTION)
    faults = board.esp.get("faults")
    assert faults["frame-zero"] == {"armed": True, "fired": 1}
    assert faults["frame-checksum"] == {"armed": True, "fired": 0}
    board.esp.set("faults", {"all": {"armed": False}, "hang": {"armed": False}})
    assert not any(fault["armed"] for fault in board.esp.get("faults").values())
    board.step(5 * MS)
    board.transact(GET_MAC)
    assert board.next_frame()[: len(GET_MAC_OK)] == GET_MAC_OK


def test_stuck_line_is_seen_by_the_guest(board: Board) -> None:
    board.boot()
    board.esp.set("faults", {"handshake-stuck-low": {}})
    board.step(1 * MS)
    assert not board.level(HANDSHAKE)
    board.esp.set("faults", {"handshake-stuck-low": {"armed": False}})
    board.step(1 * MS)
    assert board.level(HANDSHAKE)


@pytest.mark.parametrize(
    ("faults", "text"),
    [
        ({"no-such-fault": {}}, "there is no fault 'no-such-fault'; the faults are: all, handshake-lost, "),
        ({"hang": {"often": 1}}, "often"),
        ({"hang": {"probability-ppm": 0}}, "1 to 1000000"),
        ({"hang": {"count": -1}}, "count"),
        ({"all": {}}, "only be disarmed"),
        ({"frame-zero": {}, "hang": 1}, "hang"),
    ],
)
def test_bad_faults_change_nothing(refusing_board: Board, faults: dict[str, object], text: str) -> None:
    board = refusing_board
    with pytest.raises(MonitorError, match=text):
        board.esp.set("faults", faults)
    assert not any(fault["armed"] for fault in board.esp.get("faults").values())


def test_faults_on_the_command_line() -> None:
    values = {"driver": "esp-hosted", "id": "esp0", "boot-ns": BOOT_NS, **WIRING}
    with running(json.dumps({**values, "faults": {"boot-missing": {"count": 1}}})) as board:
        board.setup()
        board.step(BOOT_NS + 5 * MS)
        assert not board.level(HANDSHAKE) and not board.level(DATA_READY)
        assert board.esp.get("faults")["boot-missing"] == {"armed": False, "fired": 1}


def test_steps_become_events(board: Board) -> None:
    with board.esp.watch("state", "boot", "command", "response", "frame") as steps:
        assert board.esp.get("events") == "boot,state,frame,command,response"
        board.boot()
        assert steps.wait("state").name == "running"
        board.transact()
        frame = steps.wait("frame", name="to-host")
        assert frame.data == BOOT_EVENT and frame.time == board.time
        board.step(5 * MS)
        board.transact(GET_MAC)
        board.step(5 * MS)
        asked = steps.wait("command", code=3)
        assert (asked.name, asked.length, asked.sequence) == ("GET_MAC", 8, 0)
        assert steps.wait("response", name="GET_MAC").status == 2
    assert board.esp.get("events") == ""


def test_a_command_is_answered_from_outside(board: Board) -> None:
    board.boot()
    board.transact()
    board.esp.set("scripted", "200,3")
    assert board.esp.get("scripted") == "3,200"
    with board.monitor.listen("ESP_HOSTED") as events:
        board.step(5 * MS)
        board.transact(command(200, b"ab"))
        board.step(5 * MS)
        event = events.next(5)
        assert event is not None
        data = event["data"]
    assert (data["what"], data["code"], data["interface"]) == ("script", 200, 0)
    assert bytes.fromhex(data["data"]) == b"\xc8" + bytes(7) + b"ab"
    # Two frames at once, an answer and an event
    board.esp.inject("0:2:c802000000000000", "0:3:09000000")
    assert board.until(RESPONSE) == b"\xc8\x02" + bytes(6)
    assert board.until(EVENT) == b"\x09\0\0\0"
    board.esp.set("scripted", "")
    assert board.request(3)[8:14] == bytes(6)


@pytest.mark.parametrize(
    ("frames", "text"),
    [
        ("0:2:abc", "is not a frame; write INTERFACE:PACKET-TYPE:HEX"),
        ("16:2:00", "is not a frame"),
        ("nonsense", "is not a frame"),
        ("0:3:", "a payload has 1 to 1588 bytes"),
        ("0:3:01,0:3:zz", "is not a frame"),
    ],
)
def test_bad_frames_are_not_injected(board: Board, frames: str, text: str) -> None:
    board.boot()
    with pytest.raises(MonitorError, match=text):
        board.esp.inject(frames)
    assert board.esp.counters["frames-injected"] == 0


def test_access_points_come_and_go(board: Board) -> None:
    board.boot()
    board.transact()
    board.request(1)
    board.step(5 * MS)
    ap = board.esp.ap("for a while", channel=3, rssi=-70)
    assert (ap.ssid, ap.get("channel"), ap.get("signal"), ap.get("link")) == ("for a while", 3, -70, True)
    scan = bytes(8 + 33) + bytes((3, 0, 0))
    board.request(4, scan)
    assert b"for a while" in board.until(EVENT, 1)
    ap.remove()
    assert ap.name not in board.monitor.qom_properties("/machine/peripheral")
    # Again, also under the same name, as often as one likes
    for _ in range(20):
        with board.esp.ap("for a while", channel=3):
            pass


@pytest.mark.parametrize(
    ("request_", "text"),
    [
        ({"ssid": "x"}, "there is no id; write an access point"),
        ({"id": "1x"}, "'1x' is not an ID"),
        ({"id": "ap0"}, "Duplicate device ID 'ap0'"),
        ({"id": "ap1", "chanel": 3}, "chanel"),
        ({"id": "ap1", "channel": 20}, "the channel must be 1 to 14 or 36 to 177"),
        ({"id": "ap1", "ssid": "x" * 33}, "1 to 32 bytes"),
        ("ap1", "write an access point"),
    ],
)
def test_a_bad_access_point_is_refused(board: Board, request_: object, text: str) -> None:
    with pytest.raises(MonitorError, match=text):
        board.esp.set("add-access-point", request_)
    assert "ap1" not in board.monitor.qom_properties("/machine/peripheral")


def test_only_what_was_added_is_removed(board: Board) -> None:
    for name, text in (("ap0", "was there from the start"), ("ap9", "there is no access point 'ap9'")):
        with pytest.raises(MonitorError, match=text):
            board.esp.set("remove-access-point", name)


def test_paths_are_read_and_set(board: Board) -> None:
    assert board.esp.get("paths") == {"ap0": {"loss-ppm": 0}}
    with board.esp.hearing("ap0", rssi=-81, loss=0.5):
        assert board.esp.get("paths") == {"ap0": {"signal": -81, "loss-ppm": 500_000}}
    assert board.esp.get("paths") == {"ap0": {"loss-ppm": 0}}
    for bad in ({"ap0": {"signal": 5}}, {"ap0": {"loss-ppm": -1}}, {"ap0": {"lost": 1}}, {"ap0": 5}, "ap0"):
        with pytest.raises(MonitorError, match="path"):
            board.esp.set("paths", bad)


def test_channel_of_an_access_point(board: Board) -> None:
    ap = AccessPoint(board.monitor, "ap0")
    board.setup()
    ap.set("channel-switch", "11,10")
    assert ap.get("channel") == 6
    board.step(1100 * MS)
    assert ap.get("channel") == 11
    ap.set("channel", 1)
    assert ap.get("channel") == 1
    for bad in ("20", "1,256", "x", "1,y"):
        with pytest.raises(MonitorError):
            ap.set("channel-switch", bad)


def test_an_access_point_without_a_network_is_nothing_to_warn_of(capfd: pytest.CaptureFixture[str]) -> None:
    with running("esp-hosted-ap,id=ap0", coprocessor()) as board:
        board.setup()
    said = capfd.readouterr()
    assert said.out + said.err == ""


def test_access_point_link_and_signal(board: Board) -> None:
    access_point = AccessPoint(board.monitor, "ap0")
    assert access_point.get("link") is True
    access_point.set("link", False)
    assert access_point.get("link") is False
    access_point.set("signal", -70)
    assert access_point.get("signal") == -70
    with pytest.raises(MonitorError, match="-100 to 0"):
        access_point.set("signal", 20)
    with pytest.raises(MonitorError, match="not associated"):
        access_point.set("deauth", "3,24:6f:28:80:2c:34")
    assert all(isinstance(count, int) for count in access_point.get("counters").values())


def from_network(access_point: AccessPoint) -> int:
    """Frames the access point got from its network, queued or dropped."""
    counters = access_point.get("counters")
    return int(counters["to-station"]) + int(counters["drop-queue-full"])


@contextmanager
def joined() -> Iterator[tuple[Board, socket.socket]]:
    """A board associated with an access point, and its network: an Ethernet frame a datagram."""
    network, qemu_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    network.settimeout(20)
    fd = qemu_end.fileno()
    with (
        network,
        qemu_end,
        running(
            f"esp-hosted-ap,id=ap0,netdev=net0,bssid={BSSID.hex(':')}",
            coprocessor(),
            extra=("-netdev", f"dgram,id=net0,local.type=fd,local.str={fd}"),
            fds=(fd,),
        ) as board,
    ):
        board.join()
        yield board, network


def test_frames_are_bridged_both_ways() -> None:
    with joined() as (board, network):
        access_point = AccessPoint(board.monitor, "ap0")
        assert access_point.get("has-stations") is True
        out = b"\xff" * 6 + STATION + bytes.fromhex("88b5") + bytes(range(100))
        board.step(5 * MS)
        board.transact(frame(DATA, out))
        board.step(20 * MS)
        assert network.recv(2000) == out
        back = STATION + bytes.fromhex("020000000001 88b5") + bytes(range(200, 50, -1))
        network.send(back)
        wait_for("the datagram", lambda: from_network(access_point) == 1)
        assert board.until(DATA) == back


def test_a_flood_from_the_network_is_bounded() -> None:
    with joined() as (board, network):
        access_point = AccessPoint(board.monitor, "ap0")
        flood = STATION + bytes.fromhex("020000000001 88b5") + bytes(1486)
        for _ in range(500):
            network.send(flood)
        wait_for("all datagrams", lambda: from_network(access_point) == 500)
        delivered = 0
        while board.level(DATA_READY) or delivered == 0:
            assert board.until(DATA) == flood
            delivered += 1
            board.step(5 * MS)
        assert 256 <= delivered < 400


@pytest.mark.parametrize("how", ["deauth", "link", "set_link"])
def test_access_point_drops_its_station(how: str) -> None:
    with joined() as (board, _):
        access_point = AccessPoint(board.monitor, "ap0")
        if how == "deauth":
            access_point.set("deauth", f"3,{MAC}")
        elif how == "link":
            access_point.set("link", False)
        else:
            board.monitor.execute("set_link", name="net0", up=False)
            assert access_point.get("link") is False
        # Beacons are missed for seconds before a station gives up.
        reason = board.until(EVENT, 3, limit=4000)[43]
        assert reason == (3 if how == "deauth" else 200)


def test_two_coprocessors_on_one_bus() -> None:
    second = coprocessor(
        id="esp1",
        cs_gpio="/machine/soc/gpio5:14",
        handshake_gpio="/machine/soc/gpio3:0",
        data_ready_gpio="/machine/soc/gpio3:1",
        reset_gpio="/machine/soc/gpio3:2",
        chip="esp32c3",
    )
    with running(coprocessor(), second) as board:
        board.boot()
        esp1 = Coprocessor(board.monitor, "esp1")
        assert esp1.lines.handshake and esp1.lines.data_ready
        assert board.transact()[: len(BOOT_EVENT)] == BOOT_EVENT
        assert esp1.counters["transactions"] == 0
        # The other chip select, now an output too.
        board.write(GPIO5 + GPIO_DR, CS | 1 << 14)
        board.write(GPIO5 + GPIO_GDIR, CS | 1 << 14)
        board.write(GPIO5 + GPIO_DR, CS)
        event = board.clock(bytes(TRANSACTION))
        board.write(GPIO5 + GPIO_DR, CS | 1 << 14)
        # Chip id and clock of a C3.
        assert event[20:26] == bytes((3, 1, 0x05, 2, 1, 30))
        assert esp1.counters["transactions"] == 1
        assert board.esp.counters["transactions"] == 1


def test_default_macs_and_seeds_differ() -> None:
    first = option(
        "esp-hosted", **{name.replace("-", "_"): value for name, value in WIRING.items()}, id="esp0"
    )
    second = first.replace("esp0", "esp1").replace("gpio3", "gpio4").replace("gpio5:13", "gpio5:14")
    with running(first, second) as board:
        esp1 = Coprocessor(board.monitor, "esp1")
        assert (board.esp.get("seed"), esp1.get("seed")) == (1, 2)
        assert board.esp.get("mac") != esp1.get("mac")


def migrated(board: Board) -> bool:
    """True when it is done; it must not have failed."""
    # Nothing at all before the first step.
    status = board.monitor.execute("query-migrate").get("status", "none")
    assert status in ("none", "setup", "active", "device", "completed"), status
    return bool(status == "completed")


def test_state_moves_to_another_process(tmp_path: Path) -> None:
    """Saved in the middle of a transaction, with answers in the queues; loaded, it goes on."""
    devices = ("esp-hosted-ap,id=ap0", coprocessor())
    state = tmp_path / "state"

    def rest(board: Board) -> tuple[bytes, bytes, dict[str, int], Any]:
        received = board.clock(FILLER[800:])
        board.select(False)
        return received, board.next_frame(), board.esp.counters, board.esp.history

    with running(*devices) as board:
        board.boot()
        board.transact(INIT_IF)
        board.step(5 * MS)
        board.transact(GET_MAC)
        board.step(5 * MS)
        board.select(True)
        board.clock(FILLER[:800])
        board.monitor.execute("stop")
        board.monitor.execute("migrate", uri=f"file:{state}")
        wait_for("the state to be saved", lambda: migrated(board))
        board.monitor.execute("cont")
        saved_at = board.time
        expected = rest(board)
    with running(*devices, extra=("-incoming", "defer")) as board:
        # The clock is qtest's and so not part of the state. Until then this chip boots, too.
        board.step(saved_at)
        board.monitor.execute("migrate-incoming", uri=f"file:{state}")
        wait_for("the state to be loaded", lambda: migrated(board))
        board.monitor.execute("cont")
        assert rest(board) == expected


def recorded(directory: Path) -> dict[str, str | int]:
    """Properties that record everything, into files of these names."""
    return {name: str(directory / name) for name in ("pcapng", "vcd", "trace-json")}


def rises(waves: recordings.Waves, signal: str) -> list[int]:
    return [time for time, value in waves.changes[signal][1:] if value]


def falls(waves: recordings.Waves, signal: str) -> list[int]:
    return [time for time, value in waves.changes[signal][1:] if not value]


def test_recordings_from_the_start(tmp_path: Path) -> None:
    with running(coprocessor(**recorded(tmp_path))) as board:
        board.boot()
        booted = board.time
        board.transact()
        board.step(5 * MS)
        asked = board.time
        board.transact(INIT_IF)
        board.step(5 * MS)
        # Armed before the answer was there; then the answer.
        assert board.transact() == DUMMY
        board.step(5 * MS)
        answered = board.time
        board.transact()
        # Complete while they are being written.
        frames = recordings.pcapng(tmp_path / "pcapng")
        assert [(frame.time, frame.interface, frame.direction, frame.data) for frame in frames] == [
            (booted, "esp0-to-host", "in", BOOT_EVENT),
            (asked, "esp0-from-host", "out", INIT_IF),
            (answered, "esp0-to-host", "in", INIT_IF_OK),
        ]
        board.step(5 * MS)
        ended = board.time
        history = board.esp.history
        counters = board.esp.counters
        board.monitor.execute("quit")
    waves = recordings.vcd(tmp_path / "vcd")
    assert (waves.start, waves.end) == (0, ended)
    # protocol.md 1.9: data-ready rises first, then handshake.
    (data_ready,) = rises(waves, "esp0.data-ready")[:1]
    handshake = rises(waves, "esp0.handshake")
    assert data_ready <= handshake[0]
    names = [name for _, name, value in waves.order if value]
    assert names.index("esp0.data-ready") < names.index("esp0.handshake")
    # 1.4: handshake falls with the transaction and rises when bus and turnaround are over.
    selected, released = falls(waves, "esp0.cs"), rises(waves, "esp0.cs")
    assert (selected[0], selected[-1]) == (booted, answered) and len(selected) == len(released) == 4
    for begin, end, low, high in zip(
        selected, released, falls(waves, "esp0.handshake"), handshake[1:], strict=True
    ):
        # The emulated controller takes no time; in the file chip select is low for a nanosecond.
        assert begin + 1 == end == low
        assert high == begin + BUS_NS + TURNAROUND_NS
    # Data-ready falls while handshake is low, before the dummy is armed.
    low = falls(waves, "esp0.data-ready")[0]
    assert falls(waves, "esp0.handshake")[0] < low <= handshake[1]
    assert [value for _, value in waves.changes["esp0.reset"]] == [1]
    assert waves.changes["esp0.faults.hang"] == [(0, 0)]
    entries = recordings.trace(tmp_path / "trace-json")
    steps = [(entry["t"], entry["what"], entry["name"]) for entry in entries if "name" in entry]
    assert steps == [
        (entry["t"], entry["what"], entry["name"])
        for entry in history
        if entry["what"] in ("command", "response")
    ]
    transactions = [entry for entry in entries if entry["what"] == "transaction"]
    assert len(transactions) == counters["transactions"] == 4
    assert {entry["clocked"] for entry in transactions} == {TRANSACTION}
    assert [(entry["to"], entry["bytes"]) for entry in entries if entry["what"] == "frame"] == [
        ("host", len(BOOT_EVENT)),
        ("firmware", len(INIT_IF)),
        ("host", len(INIT_IF_OK)),
    ]
    levels = [(entry["line"], entry["level"]) for entry in entries if entry["what"] == "line"][4:]
    assert levels == [(name.removeprefix("esp0."), value) for _, name, value in waves.order]


def test_recordings_start_and_stop_while_running(board: Board, tmp_path: Path) -> None:
    board.boot()
    board.transact()
    board.step(5 * MS)
    assert [board.esp.get(name) for name in ("pcapng", "vcd", "trace-json")] == ["", "", ""]
    begun = board.time
    for name, path in recorded(tmp_path).items():
        board.esp.set(name, path)
        assert board.esp.get(name) == path
    board.transact(INIT_IF)
    board.step(5 * MS)
    for name in recorded(tmp_path):
        board.esp.set(name, "")
        assert board.esp.get(name) == ""
    stopped = board.time
    sizes = [path.stat().st_size for path in sorted(tmp_path.iterdir())]
    board.transact()
    board.step(5 * MS)
    assert [path.stat().st_size for path in sorted(tmp_path.iterdir())] == sizes
    assert [frame.data for frame in recordings.pcapng(tmp_path / "pcapng")] == [INIT_IF]
    waves = recordings.vcd(tmp_path / "vcd")
    assert (waves.start, waves.end) == (begun, stopped)
    assert waves.changes["esp0.handshake"][0] == (begun, 1)
    start = recordings.trace(tmp_path / "trace-json")[0]
    assert (start["t"], start["what"], start["state"]) == (begun, "start", "running")
    # Again into the same file: it begins anew.
    board.esp.set("pcapng", str(tmp_path / "pcapng"))
    assert recordings.pcapng(tmp_path / "pcapng") == []


def test_faults_are_recorded(board: Board, tmp_path: Path) -> None:
    board.boot()
    board.esp.set("vcd", str(tmp_path / "vcd"))
    board.esp.set("trace-json", str(tmp_path / "trace-json"))
    board.step(1 * MS)
    armed = board.time
    board.esp.set("faults", {"handshake-lost": {}, "frame-zero": {"count": 2}})
    board.step(1 * MS)
    board.transact()
    board.step(5 * MS)
    fired = armed + 1 * MS + BUS_NS + TURNAROUND_NS
    board.esp.set("faults", {"frame-zero": {"armed": False}})
    disarmed = board.time
    board.esp.set("vcd", "")
    waves = recordings.vcd(tmp_path / "vcd")
    assert waves.changes["esp0.faults.handshake-lost"][1:] == [(armed, 1), (fired, 0)]
    assert waves.changes["esp0.faults.frame-zero"][1:] == [(armed, 1), (disarmed, 0)]
    assert len(waves.changes["esp0.faults.fired"]) == 2
    assert waves.changes["esp0.faults.fired"][1] == (fired, 1)
    assert rises(waves, "esp0.handshake") == []
    steps = [
        (entry["t"], entry["what"], entry["fault"])
        for entry in recordings.trace(tmp_path / "trace-json")
        if "fault" in entry
    ]
    assert sorted(steps) == [
        (armed, "fault-armed", "frame-zero"),
        (armed, "fault-armed", "handshake-lost"),
        (fired, "fault-disarmed", "handshake-lost"),
        (fired, "fault-fired", "handshake-lost"),
        (disarmed, "fault-disarmed", "frame-zero"),
    ]


def test_reset_line_is_recorded(board: Board, tmp_path: Path) -> None:
    board.boot()
    board.esp.set("vcd", str(tmp_path / "vcd"))
    board.step(1 * MS)
    low = board.time
    board.write(GPIO3 + GPIO_GDIR, RESET)
    board.step(1 * MS)
    board.write(GPIO3 + GPIO_DR, RESET)
    waves = recordings.vcd(tmp_path / "vcd")
    assert waves.order == [
        (low, "esp0.reset", 0),
        (low, "esp0.handshake", 0),
        (low, "esp0.data-ready", 0),
        (low + 1 * MS, "esp0.reset", 1),
    ]


@pytest.mark.parametrize("name", ["pcapng", "vcd", "trace-json"])
def test_unusable_recordings_are_refused(refusing_board: Board, tmp_path: Path, name: str) -> None:
    board = refusing_board
    used = tmp_path / "used"
    board.esp.set(name, str(used))
    with pytest.raises(MonitorError, match="No such file or directory"):
        board.esp.set(name, str(tmp_path / "missing" / "file"))
    others = [other for other in ("pcapng", "vcd", "trace-json") if other != name]
    with pytest.raises(MonitorError, match="in use by another recording"):
        board.esp.set(others[0], str(used))
    assert board.esp.get(name) == str(used) and board.esp.get(others[0]) == ""
    assert used.stat().st_size > 0
    board.esp.set(name, "")
    missing = tmp_path / "missing" / "file"
    assert "No such file or directory" in refused("-device", coprocessor(**{name: str(missing)}))


def test_a_full_disk_ends_the_recording_only(board: Board) -> None:
    board.boot()
    board.esp.set("trace-json", "/dev/full")
    assert board.esp.get("trace-json") == ""
    assert board.transact()[: len(BOOT_EVENT)] == BOOT_EVENT


def test_a_recording_goes_on_in_a_loaded_state(tmp_path: Path) -> None:
    """The clock may go back and the lines may change."""
    state = tmp_path / "state"
    with running(coprocessor()) as board:
        board.boot()
        board.monitor.execute("stop")
        board.monitor.execute("migrate", uri=f"file:{state}")
        wait_for("the state to be saved", lambda: migrated(board))
    with running(coprocessor(vcd=str(tmp_path / "vcd")), extra=("-incoming", "defer")) as board:
        board.monitor.execute("migrate-incoming", uri=f"file:{state}")
        wait_for("the state to be loaded", lambda: migrated(board))
        board.esp.set("vcd", "")
    waves = recordings.vcd(tmp_path / "vcd")
    assert waves.changes["esp0.handshake"][-1][1] == waves.changes["esp0.data-ready"][-1][1] == 1


def refused(*arguments: str) -> str:
    """What QEMU says to a command line that it must refuse."""
    result = subprocess.run(
        [
            *(str(emulator()), "-machine", "imx8mp-evk", "-accel", "qtest", "-m", "64M", "-nodefaults"),
            *("-display", "none", *arguments),
        ],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert result.returncode == 1, result
    return result.stderr


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"spi": "/machine/soc/spi9"}, "spi: there is no object at '/machine/soc/spi9'"),
        ({"spi": "/machine/soc/spi9"}, "/machine/soc/spi1, /machine/soc/spi2, /machine/soc/spi3"),
        ({"spi": "/machine/soc/gpio3"}, "has no SPI bus"),
        ({"cs_gpio": "/machine/soc/gpio9:1"}, "cs-gpio: there is no object at '/machine/soc/gpio9'"),
        ({"cs_gpio": "/machine/soc/gpio9:1"}, "/machine/soc/gpio1, "),
        (
            {"cs_gpio": "/machine/soc/gpio5:32"},
            "there is no line 32; '/machine/soc/gpio5' has the lines 0 to 31",
        ),
        ({"cs_gpio": "/machine/soc/gpio5"}, "is not a line"),
        ({"cs_gpio": "/machine/soc/gpio5:x"}, "is not a line"),
        ({"handshake_gpio": "/machine/soc/spi2:1"}, "has no GPIO inputs"),
        ({"data_ready_gpio": "/machine/soc/gpio3:20"}, "already connected: handshake-gpio of 'esp0'"),
        ({"reset_gpio": "/machine/soc/gpio5:13"}, "already connected: cs-gpio of 'esp0'"),
        ({"chip": "esp33"}, "there is no chip 'esp33'; the chips are: esp32, "),
        ({"generation": "g9"}, "the generations are: g1, g2"),
        ({"fw_version": "1.0.6"}, "five numbers from 0 to 255"),
        ({"mac": "24:6f:28:80:2c"}, "six bytes"),
        ({"spi_clock_hz": 0}, "clock"),
    ],
)
def test_wrong_properties_say_what_is_right(changes: dict[str, str | int], text: str) -> None:
    assert text in refused("-device", coprocessor(**changes))


@pytest.mark.parametrize("name", ["spi", "cs-gpio", "handshake-gpio", "data-ready-gpio"])
def test_missing_wiring_is_named(name: str) -> None:
    rest = {key.replace("-", "_"): value for key, value in WIRING.items() if key != name}
    assert f"property '{name}' is missing" in refused("-device", option("esp-hosted", **rest))


def test_the_same_lines_twice_are_refused() -> None:
    text = refused("-device", coprocessor(), "-device", coprocessor(id="esp1"))
    assert "already connected: cs-gpio of 'esp0'" in text


@pytest.mark.parametrize(
    ("properties", "text"),
    [
        ({"ssid": "x" * 33}, "an SSID has 1 to 32 bytes"),
        ({"channel": 15}, "channel"),
        ({"signal": 3}, "-100 to 0"),
        ({"bssid": "01:00:00:00:00:01"}, "BSSID"),
    ],
)
def test_wrong_access_points_are_refused(properties: dict[str, str | int], text: str) -> None:
    assert text in refused("-device", option("esp-hosted-ap", **properties))


def test_build_has_every_file_of_the_engine() -> None:
    listed = set(re.findall(r"'engine/(\w+\.c)'", (REPO / "qemu/device/meson.build").read_text("utf-8")))
    assert listed == {path.name for path in (REPO / "qemu/engine").glob("*.c")}


def test_harness_wiring_is_the_one_tested_here() -> None:
    wiring = boards.load("imx8mp-evk").wiring
    assert wiring is not None
    assert {
        "spi": wiring.spi,
        "cs-gpio": wiring.cs,
        "handshake-gpio": wiring.handshake,
        "data-ready-gpio": wiring.data_ready,
        "reset-gpio": wiring.reset,
    } == WIRING
