# SPDX-License-Identifier: MIT
"""Firmware updates through devlink: progress, the new firmware, and the old one after every failure."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import traffic
from harness.coprocessor import Coprocessor
from harness.target import Result
from harness.wifi import Wifi
from tests.guest.lab import Lab
from tests.guest.waits import LogMark
from tests.recordings import pcapng

# Transfers of whole images: minutes in all.
pytestmark = pytest.mark.slow

IMAGE = "esp-hosted-test.bin"
CHUNK = 1016
SIZE = 40 * CHUNK + 300
OTA_START, OTA_WRITE = 29, 30
COMMAND = 1
ESP32, ESP32_C3 = 0x00, 0x05
BOOT_NS = 100_000_000


def image(chip: int = ESP32, size: int = SIZE, magic: int = 0xE9) -> bytes:
    """What begins like an application image: magic, eleven bytes, the chip's id."""
    head = struct.pack("<B11xH10x", magic, chip)
    return head + bytes(i * 7 & 0xFF for i in range(size - len(head)))


def install(wlan: Wifi, data: bytes) -> None:
    wlan.target.write_file(f"/lib/firmware/{IMAGE}", data)


def flash(wlan: Wifi) -> Result:
    return wlan.target.run(
        ["devlink", "dev", "flash", f"spi/{wlan.device()}", "file", IMAGE], timeout=60, check=False
    )


@pytest.fixture
def chip(lab: Lab, connected: Wifi) -> Iterator[Wifi]:
    """Connected; the firmware boots fast and is the usual one afterwards."""
    usual = {name: lab.esp.get(name) for name in ("boot-ns", "reboot-ns")}
    version = lab.esp.get("fw-version")
    for name in usual:
        lab.esp.set(name, BOOT_NS)
    yield connected
    if lab.running:
        lab.esp.faults.disarm_all()
        for name, value in usual.items():
            lab.esp.set(name, value)
        if lab.esp.get("fw-version") != version:
            lab.esp.set("fw-version", version)
            Wifi(lab.guest).unload()


def commands(esp: Coprocessor) -> list[int]:
    """Codes of the last commands, oldest first."""
    return [int(step["code"]) for step in esp.history if step["what"] == "command"]


def still_works(lab: Lab, wlan: Wifi) -> None:
    """The old firmware, never restarted."""
    assert wlan.ethtool("-i")["firmware-version"] == "NG-1.0.6.0.1"
    assert traffic.ping(lab.connected().target, count=3, interval=0.05, wait=2).received == 3


def test_update(lab: Lab, chip: Wifi, esp: Coprocessor) -> None:
    install(chip, image())
    index = chip.ip_link()["ifindex"]
    before = chip.statistics()
    # The image that was "written": what boots next.
    esp.set("fw-version", "1.0.6.0.3")
    result = flash(chip)
    assert result.ok, result.stderr
    # On a terminal devlink shows the percentage as well.
    assert result.stdout.split() == ["Erasing", "Flashing", "Restarting"]
    assert chip.ethtool("-i")["firmware-version"] == "NG-1.0.6.0.3"
    assert chip.statistics()["commands"] - before["commands"] >= 2 + -(-SIZE // CHUNK)
    assert chip.statistics()["firmware_restarts"] - before["firmware_restarts"] == 1
    info = chip.target.run(["devlink", "dev", "info", f"spi/{chip.device()}"]).stdout
    assert "driver esp_hosted" in info and "fw NG-1.0.6.0.3" in info and "asic.id 0" in info
    wlan = lab.connected()
    assert wlan.ip_link()["ifindex"] == index
    assert traffic.ping(wlan.target, count=3, interval=0.05, wait=2).received == 3


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (image(magic=0x7F), "does not begin with 0xe9"),
        (image(size=24)[:20], "does not begin with 0xe9"),
        (image(chip=ESP32_C3), "another chip"),
    ],
    ids=["no-image", "too-short", "other-chip"],
)
def test_what_is_no_image_for_this_chip_is_refused_before_anything_is_erased(
    lab: Lab, chip: Wifi, esp: Coprocessor, data: bytes, says: str
) -> None:
    install(chip, data)
    mark = LogMark(chip.target)
    result = flash(chip)
    assert not result.ok and says in result.stdout + result.stderr
    assert OTA_START not in commands(esp)[-5:]
    assert "firmware restarted" not in mark.text()
    still_works(lab, chip)


def test_a_file_that_is_not_there(chip: Wifi) -> None:
    chip.target.run(["rm", "-f", f"/lib/firmware/{IMAGE}"])
    assert not flash(chip).ok


@pytest.mark.parametrize(
    ("code", "says"),
    [
        (OTA_START, "does not accept an update; the old one stays"),
        (OTA_WRITE, "refuses the image; the old one stays"),
    ],
    ids=["start", "write"],
)
def test_failure_keeps_the_old_firmware(lab: Lab, chip: Wifi, esp: Coprocessor, code: int, says: str) -> None:
    install(chip, image())
    before = chip.statistics()
    with esp.fault("response-status", match=code, must_fire=True):
        result = flash(chip)
    assert not result.ok and says in result.stdout + result.stderr
    assert chip.statistics()["firmware_restarts"] == before["firmware_restarts"]
    still_works(lab, chip)


def test_a_new_firmware_that_does_not_start_is_reported(lab: Lab, chip: Wifi, esp: Coprocessor) -> None:
    install(chip, image())
    with esp.fault("boot-missing", must_fire=True):
        result = flash(chip)
    assert not result.ok and "the new firmware does not start" in result.stdout + result.stderr
    # Reset, the chip comes up: with the old firmware, as a bootloader that goes back would have it.
    still_works(lab, lab.connected())


def test_unbind_ends_an_update(lab: Lab, chip: Wifi, esp: Coprocessor) -> None:
    install(chip, image(size=400 * CHUNK))
    device = chip.device()
    job = chip.target.spawn(["devlink", "dev", "flash", f"spi/{device}", "file", IMAGE])
    job.wait_output("Flashing", 20)
    chip.unbind(device)
    assert not job.wait(20, check=False).ok
    chip.bind(device)
    chip.wait_interface()
    still_works(lab, lab.connected())


def test_the_image_is_written_as_it_is(chip: Wifi, esp: Coprocessor, tmp_path: Path) -> None:
    data = image()
    install(chip, data)
    recordings = esp.record(tmp_path)
    assert flash(chip).ok
    esp.stop_recording()
    frames = [one.data for one in pcapng(recordings.pcapng) if one.direction == "out"]
    writes = [frame[12:] for frame in frames if frame[2] == COMMAND and frame[12] == OTA_WRITE]
    assert b"".join(write[10 : 10 + int.from_bytes(write[8:10], "little")] for write in writes) == data
