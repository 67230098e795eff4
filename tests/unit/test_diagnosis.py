# SPDX-License-Identifier: MIT
"""What a board says, in words: every message that is explained is one that the driver has."""

from __future__ import annotations

import re
import subprocess
from dataclasses import replace

import pytest

from harness import diagnosis
from harness.diagnosis import Evidence
from harness.paths import REPO

GOOD = Evidence(
    release="6.12.1-arm64",
    nodes=("/soc/spi@0/wifi@0",),
    devices={"spi0.0": "esp_hosted"},
    ours=("spi0.0",),
    module="/lib/modules/x/esp_hosted.ko",
    loaded=True,
    headers=True,
    interfaces=("wlan0",),
)
WITHOUT = replace(GOOD, interfaces=())
NO_BOOT = "[ 9.1] esp_hosted spi0.0: no boot event within 5 s, trying again: "


def driver_text() -> str:
    """All of the driver's sources, strings that are continued on the next line joined."""
    sources = sorted((REPO / "driver").glob("*.c"))
    text = "\n".join(path.read_text(encoding="utf-8") for path in sources)
    return re.sub(r'"\s*\n\s*"', "", text)


@pytest.mark.parametrize(
    "rule", [rule for rule in diagnosis.RULES if rule.source == "driver"], ids=lambda r: r.text
)
def test_message_is_one_of_the_driver(rule: diagnosis.Rule) -> None:
    text = driver_text()
    position = 0
    for part in rule.text.split("..."):
        position = text.find(part, position)
        assert position >= 0, f"the driver does not say {part!r}"


def test_every_hint_of_a_missing_boot_event_is_explained() -> None:
    (function,) = re.findall(r"esp_boot_hint\(const.*?\n}", driver_text(), re.DOTALL)
    hints = re.findall(r'"([^"]+)"', function)
    assert len(hints) >= 13
    explained = [rule.text for rule in diagnosis.RULES]
    assert [hint for hint in hints if hint not in explained] == []


def test_nothing_wrong() -> None:
    assert diagnosis.diagnose(GOOD) == []


CASES = {
    "missing overlay": (replace(WITHOUT, nodes=(), ours=(), devices={}, loaded=False), "missing overlay"),
    "bus off": (replace(WITHOUT, disabled=WITHOUT.nodes, ours=(), devices={}), "switched off"),
    "spidev": (replace(WITHOUT, ours=(), devices={"spi0.0": "spidev"}), "spidev owns the chip select"),
    "no controller": (replace(WITHOUT, ours=(), devices={}), "the SPI controller has no driver"),
    "other driver": (replace(WITHOUT, devices={"spi0.0": "spidev"}), "spidev drives the co-processor"),
    "no headers": (replace(WITHOUT, module="", loaded=False, headers=False), "kernel without headers"),
    "no module": (replace(WITHOUT, module="", loaded=False), "no module for this kernel"),
    "not loaded": (replace(WITHOUT, loaded=False), "the module is not loaded"),
    "no boot event": (
        replace(WITHOUT, log=NO_BOOT + "neither handshake nor data-ready ever rose: check power and wiring"),
        "never armed a transaction",
    ),
    "wrong mode": (
        replace(WITHOUT, log=NO_BOOT + "bits are shifted: the bus is not in SPI mode 2, or chip select late"),
        "wrong mode",
    ),
    "gpio": (replace(WITHOUT, log="spi0.0: error -ENOENT: cannot get handshake-gpios"), "cannot be had"),
    "in use": (replace(WITHOUT, log="spi spi0.0: chipselect 0 already in use"), "owns the chip select"),
    "silence": (WITHOUT, "says nothing"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_case(name: str) -> None:
    seen, meaning = CASES[name]
    found = diagnosis.diagnose(seen)
    assert meaning in found[0].meaning
    assert all(one.remedy for one in found)


def test_script_is_posix_shell_and_its_answer_is_understood() -> None:
    """Run here: there is no co-processor, and whatever this machine has is parsed."""
    finished = subprocess.run(["sh", "-c", diagnosis._SCRIPT], capture_output=True, text=True, check=False)
    assert "syntax" not in finished.stderr.lower()
    seen = diagnosis.parse(finished.stdout)
    assert seen.release
    assert not seen.nodes and not seen.loaded
    checked = subprocess.run(
        ["shellcheck", "--shell=sh", "--exclude=SC2044,SC2012,SC2295", "-"],
        input=diagnosis._SCRIPT, text=True, capture_output=True, check=False,
    )  # fmt: skip
    assert checked.returncode == 0, checked.stdout


def test_parse() -> None:
    text = (
        "release 6\nheaders yes\nmodule /x.ko\nnode /a/wifi@0\ndisabled /a/wifi@0\ndevice spi0.0 spidev\n"
        "device spi0.1 \nours spi0.1\ninterface wlan1\nlog [ 1] one\nlog [ 2] two\n"
    )
    assert diagnosis.parse(text) == Evidence(
        "6", "[ 1] one\n[ 2] two", ("/a/wifi@0",), ("/a/wifi@0",), {"spi0.0": "spidev", "spi0.1": ""},
        ("spi0.1",), "/x.ko", False, True, ("wlan1",),
    )  # fmt: skip
