# SPDX-License-Identifier: MIT
"""Writing firmware into an ESP32: what goes where, and what is refused."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from harness import flashesp
from harness.errors import HarnessError


def image(
    number: int, project: str = "network_adapter", version: str = "1.0.6.0.1", size: int = 4096
) -> bytes:
    """An application image's beginning: header, first segment's header, description."""
    header = struct.pack("<BBBBI", 0xE9, 1, 2, 0x20, 0x40000000) + struct.pack("<BBBBHBHHBBBBB", 0, 0, 0, 0,
             number, 0, 0, 0xFFFF, 0, 0, 0, 0, 1)  # fmt: skip
    description = struct.pack("<II8s32s32s", 0xABCD5432, 0, b"", version.encode(), project.encode())
    return (header.ljust(24, b"\0") + bytes(8) + description).ljust(size, b"\xff")


def entry(kind: int, subtype: int, offset: int, size: int, label: str) -> bytes:
    return struct.pack("<HBBII16sI", 0x50AA, kind, subtype, offset, size, label.encode(), 0)


TABLE = (
    entry(1, 2, 0x9000, 0x4000, "nvs")
    + entry(1, 0, 0xD000, 0x2000, "otadata")
    + entry(0, 0x10, 0x20000, 0x1B0000, "ota_0")
    + entry(0, 0x11, 0x1D0000, 0x1B0000, "ota_1")
).ljust(0xC00, b"\xff")


@pytest.fixture
def release(tmp_path: Path) -> Path:
    (tmp_path / "bootloader.bin").write_bytes(image(5, "bootloader"))
    (tmp_path / "partition-table.bin").write_bytes(TABLE)
    (tmp_path / "ota_data_initial.bin").write_bytes(b"\xff" * 0x2000)
    (tmp_path / "network_adapter.bin").write_bytes(image(5, size=90000))
    return tmp_path


def places(firmware: flashesp.Firmware) -> dict[str, int]:
    return {part.path.name: part.offset for part in firmware.parts}


def test_places_from_the_partition_table(release: Path) -> None:
    firmware = flashesp.find(release)
    assert (firmware.chip, firmware.project, firmware.version) == ("esp32c3", "network_adapter", "1.0.6.0.1")
    assert places(firmware) == {
        "bootloader.bin": 0,
        "partition-table.bin": 0x8000,
        "ota_data_initial.bin": 0xD000,
        "network_adapter.bin": 0x20000,
    }
    assert [part.offset for part in firmware.parts] == sorted(part.offset for part in firmware.parts)


@pytest.mark.parametrize(("chip", "offset"), [("esp32", 0x1000), ("esp32c6", 0), ("esp32c5", 0x2000)])
def test_place_of_the_boot_loader(chip: str, offset: int, release: Path) -> None:
    number = flashesp.CHIPS[chip][0]
    for name in ("bootloader.bin", "network_adapter.bin"):
        (release / name).write_bytes(image(number, size=90000 if "net" in name else 4096))
    assert places(flashesp.find(release, chip))["bootloader.bin"] == offset


def test_places_from_the_builds_own_description(release: Path) -> None:
    files = {"0x0": "bootloader/bootloader.bin", "0x10000": "network_adapter.bin"}
    (release / "flasher_args.json").write_text(json.dumps({"flash_files": files}))
    assert places(flashesp.find(release)) == {"bootloader.bin": 0, "network_adapter.bin": 0x10000}


def test_dry_run_shows_the_command(release: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flashesp.run(release, "/dev/does-not-exist", dry_run=True)
    shown = capsys.readouterr().out
    assert "esp32c3: network_adapter 1.0.6.0.1" in shown
    assert (
        "-m esptool --chip esp32c3 --port /dev/does-not-exist --baud 460800 --before default-reset" in shown
    )
    assert f"write-flash 0x0 {release}/bootloader.bin 0x8000 {release}/partition-table.bin" in shown


def refused(*args: object, **more: object) -> HarnessError:
    with pytest.raises(HarnessError) as caught:
        flashesp.run(*args, **more)  # type: ignore[arg-type]
    assert caught.value.hint
    return caught.value


def test_no_such_port(release: Path) -> None:
    assert refused(release, "/dev/ttyUSB99").message == "/dev/ttyUSB99 does not exist"


def test_a_file_is_no_port(release: Path) -> None:
    assert "is not a serial port" in refused(release, str(release / "bootloader.bin")).message


@pytest.mark.parametrize("name", ["bootloader.bin", "partition-table.bin"])
def test_missing_file(name: str, release: Path) -> None:
    (release / name).unlink()
    assert refused(release, "/dev/null").message == f"{release} has no {name}"


def test_no_directory(tmp_path: Path) -> None:
    assert "is no directory" in refused(tmp_path / "none", "/dev/null").message


def test_no_application(release: Path) -> None:
    (release / "network_adapter.bin").unlink()
    assert "not one application image (*.bin) but: none" in refused(release, "/dev/null").message


def test_two_applications(release: Path) -> None:
    (release / "other.bin").write_bytes(image(5))
    assert "but: network_adapter.bin, other.bin" in refused(release, "/dev/null").message


def test_images_of_two_chips(release: Path) -> None:
    (release / "bootloader.bin").write_bytes(image(0))
    assert (
        refused(release, "/dev/null").message
        == "bootloader.bin is for esp32, network_adapter.bin for esp32c3"
    )


def test_wrong_chip(release: Path) -> None:
    assert (
        refused(release, "/dev/null", "esp32s3").message
        == "network_adapter.bin is for esp32c3, not for esp32s3"
    )


def test_unknown_chip(release: Path) -> None:
    assert "esp32c4" in refused(release, "/dev/null", "esp32c4").message


def test_no_partition_table(release: Path) -> None:
    (release / "partition-table.bin").write_bytes(b"\xff" * 0xC00)
    assert "is no partition table" in refused(release, "/dev/null").message


def test_application_larger_than_its_partition(release: Path) -> None:
    (release / "network_adapter.bin").write_bytes(image(5, size=0x1B0001))
    assert "is larger than its partition" in refused(release, "/dev/null").message


@pytest.mark.parametrize(
    "text", ["", "{}", '{"flash_files": {}}', '{"flash_files": {"x": "a"}}', '{"flash_files": 1}']
)
def test_description_with_a_mistake(text: str, release: Path) -> None:
    (release / "flasher_args.json").write_text(text)
    assert "flasher_args.json" in refused(release, "/dev/null").message


def test_description_that_names_a_missing_file(release: Path) -> None:
    (release / "flasher_args.json").write_text('{"flash_files": {"0x0": "none.bin"}}')
    assert "has no none.bin" in refused(release, "/dev/null").message


def test_esptool_that_fails(release: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flashesp, "check_port", lambda port: None)
    monkeypatch.setattr(flashesp, "require_esptool", lambda: None)
    monkeypatch.setattr(flashesp, "arguments", lambda *args: [sys.executable, "-c", "raise SystemExit(2)"])
    assert "esptool ended with exit status 2" in refused(release, "/dev/null").message


def test_command_line(release: Path) -> None:
    """./inv flash-esp itself: one sentence and a hint, no traceback."""
    finished = subprocess.run(
        [sys.executable, "-m", "harness", "flash-esp", "--images", release, "--port", "/dev/ttyUSB99"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert finished.returncode == 1
    said = finished.stdout + finished.stderr
    assert "/dev/ttyUSB99 does not exist" in said and "Traceback" not in said
