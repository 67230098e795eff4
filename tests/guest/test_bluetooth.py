# SPDX-License-Identifier: MIT
"""The chip's Bluetooth controller as an HCI device, with BlueZ's tools: over the link that carries Wi-Fi."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from harness import traffic
from harness.coprocessor import Coprocessor, difference
from harness.wifi import Wifi
from tests.guest.lab import Lab
from tests.guest.waits import wait_counter

# Scans of seconds: minutes in all.
pytestmark = pytest.mark.slow

# The beacon that is always in the model's air (qemu/engine/esp_hci.c).
BEACON_ADDRESS, BEACON_NAME = "C0:BE:EF:00:00:01", "esp-beacon"
WITHOUT_BLUETOOTH = 0xA0
SET_RADIO_SERVICE = 33
BOOT_NS = 100_000_000


@pytest.fixture
def hci(lab: Lab, wlan: Wifi) -> Iterator[Wifi]:
    """hci0 is there and up."""
    usual = {name: lab.esp.get(name) for name in ("boot-ns", "reboot-ns", "capabilities", "ext-capabilities")}
    for name in ("boot-ns", "reboot-ns"):
        lab.esp.set(name, BOOT_NS)
    up(wlan)
    yield wlan
    if lab.running:
        changed = [name for name, value in usual.items() if lab.esp.get(name) != value]
        for name in changed:
            lab.esp.set(name, usual[name])
        if any("capabilities" in name for name in changed):
            Wifi(lab.guest).unload()


def up(wlan: Wifi) -> None:
    """The controller, up: the kernel has set it up by HCI commands."""
    wlan.target.run("until [ -e /sys/class/bluetooth/hci0 ]; do sleep 0.05; done", timeout=20)
    wlan.target.run("until hciconfig hci0 up; do sleep 0.1; done 2>/dev/null", timeout=20)


def lescan(wlan: Wifi, seconds: int = 3) -> str:
    """What advertises, as hcitool prints it."""
    result = wlan.target.run(
        ["timeout", "-s", "INT", str(seconds), "hcitool", "-i", "hci0", "lescan", "--duplicates"],
        check=False, timeout=20,
    )  # fmt: skip
    return result.stdout


def test_controller_comes_up(hci: Wifi, esp: Coprocessor) -> None:
    text = hci.target.run(["hciconfig", "hci0"]).stdout
    assert "UP RUNNING" in text and "Bus: SPI" in text
    # The public address: the chip's base address plus two.
    base = int(str(esp.get("mac")).replace(":", ""), 16)
    assert f"{base + 2:012X}" in text.replace(":", "").upper()
    counters = esp.counters
    assert counters["hci-commands"] >= 10 and counters["hci-events"] >= 10
    assert counters["hci-drop-invalid"] == counters["hci-drop-full"] == 0


def test_interface_belongs_to_the_spi_device(hci: Wifi) -> None:
    path = hci.target.run(["readlink", "-f", "/sys/class/bluetooth/hci0/device"]).stdout.strip()
    assert path.endswith(f"/{hci.device()}")


def test_scan_sees_the_advertiser(hci: Wifi) -> None:
    assert f"{BEACON_ADDRESS} {BEACON_NAME}" in lescan(hci)


def test_management_interface_finds_the_advertiser(hci: Wifi) -> None:
    # hcitool scans behind the back of the management interface, which is busy from then on.
    hci.target.run("hciconfig hci0 down && hciconfig hci0 up")
    job = hci.target.spawn("tail -f /dev/null | btmgmt --index 0 find -l")
    try:
        job.wait_output(BEACON_ADDRESS, 20)
    finally:
        job.stop()


def test_bluetooth_and_wifi_share_the_link(lab: Lab, hci: Wifi) -> None:
    wlan = lab.connected()
    before = wlan.statistics()
    job = wlan.target.spawn(["ping", "-q", "-f", "-w", "20", traffic.HOST_FROM_GUEST])
    assert BEACON_ADDRESS in lescan(wlan)
    job.stop()
    assert traffic.ping(wlan.target, count=3, interval=0.05).received == 3
    counted = difference(before, wlan.statistics())
    assert "rx_drop_hci" not in counted and "tx_drop_hci" not in counted


def test_a_restart_of_the_firmware_sets_the_controller_up_again(hci: Wifi, esp: Coprocessor) -> None:
    before = hci.statistics()["boot_events"]
    commands = esp.counters["hci-commands"]
    esp.faults.arm("crash")
    wait_counter(hci, "boot_events", before)
    hci.target.run("until hciconfig hci0 | grep -q 'UP RUNNING'; do sleep 0.05; done", timeout=20)
    assert BEACON_NAME in lescan(hci)
    assert esp.counters["hci-commands"] > commands + 10


def test_firmware_without_bluetooth_has_no_controller(lab: Lab, hci: Wifi, esp: Coprocessor) -> None:
    esp.set("capabilities", WITHOUT_BLUETOOTH)
    esp.faults.arm("crash")
    hci.target.run("until ! [ -e /sys/class/bluetooth/hci0 ]; do sleep 0.05; done", timeout=20)
    wlan = lab.connected()
    assert traffic.ping(wlan.target, count=3, interval=0.05, wait=2).received == 3


def test_late_firmware_starts_it_on_request(lab: Lab) -> None:
    with lab.firmware(**{"generation": "g2", "ext-capabilities": 1 << 14}):
        wlan = lab.wlan()
        up(wlan)
        assert SET_RADIO_SERVICE in [step["code"] for step in lab.esp.history if step["what"] == "command"]
        assert BEACON_NAME in lescan(wlan)


def test_unload_removes_it(hci: Wifi) -> None:
    hci.unload()
    assert not hci.target.run(["test", "-e", "/sys/class/bluetooth/hci0"], check=False).ok
