# SPDX-License-Identifier: MIT
"""Why a board has no wlan0: what it says of itself, and what that means in words."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from harness.overlays import COMPATIBLES
from harness.target import Answers, Target

NAME = "esp_hosted"


@dataclass(frozen=True)
class Rule:
    """A message of the kernel's log and what to make of it."""

    text: str
    """Part of the message; "..." stands for what differs. From the driver unless `source` says otherwise."""
    meaning: str
    remedy: str
    source: str = "driver"

    @property
    def pattern(self) -> re.Pattern[str]:
        """The text as a regular expression."""
        return re.compile(".*?".join(re.escape(part) for part in self.text.split("...")))


# In this order: the first that fits is the cause, what follows are its consequences.
RULES = (
    Rule(
        "Invalid module format",
        "the module was built for another kernel",
        "build it for this one: ./inv deploy, or install the headers and let DKMS do it",
        "kernel",
    ),
    Rule(
        "disagrees about version of symbol",
        "the module was built against another build of this kernel",
        "build it against the headers of exactly this kernel",
        "kernel",
    ),
    Rule(
        "Key was rejected by service",
        "this kernel only loads signed modules (secure boot)",
        "enrol the key that DKMS signs with (mokutil), or switch secure boot off",
        "kernel",
    ),
    Rule(
        "chipselect 0 already in use",
        "another device, usually spidev, owns the chip select",
        "switch spidev off in the overlay or remove the overlay that adds it (dtparam=spi=on is not needed)",
        "kernel",
    ),
    Rule(
        "cannot get ...-gpios",
        "a GPIO of the overlay cannot be had: wrong controller, or something else uses the line",
        "compare the overlay with the board; `cat /sys/kernel/debug/gpio` shows who has the line",
    ),
    Rule(
        "-gpios has no interrupt; wire it to a GPIO that has one",
        "handshake or data-ready is on a GPIO without interrupts",
        "move the wire and the overlay's line to a GPIO with interrupts",
    ),
    Rule(
        "cannot request interrupts",
        "the interrupt of handshake or data-ready is taken",
        "`cat /proc/interrupts` shows by whom; use another GPIO",
    ),
    Rule(
        "SPI controller transfers at most",
        "this SPI controller cannot do a whole frame at once",
        "use another SPI controller of the board",
    ),
    Rule(
        "the protocol needs SPI mode 2, MSB first, full duplex, with chip select",
        "the devicetree asks for another SPI mode",
        "in the overlay leave spi-cpol and remove spi-cpha, spi-lsb-first, spi-3wire",
    ),
    Rule(
        "cannot set up SPI mode 2",
        "the SPI controller refuses mode 2",
        "use another SPI controller of the board",
    ),
    Rule(
        "neither handshake nor data-ready ever rose: check power and wiring",
        "no boot event: the co-processor never armed a transaction",
        "check 3.3 V and ground, EN/reset, the handshake wire, and that ESP-Hosted's SPI "
        "firmware is flashed: its serial console says so at start",
    ),
    Rule(
        "data-ready rose but handshake never did: check its wiring",
        "no boot event: the co-processor runs, its handshake does not arrive",
        "check the handshake wire and the overlay's handshake-gpios",
    ),
    Rule(
        "handshake is high even in reset: does it float?",
        "handshake is not driven by the co-processor",
        "check the handshake wire, and that the reset wire reaches EN",
    ),
    Rule(
        "data-ready is high even in reset: check the wiring of both lines",
        "data-ready is not driven by the co-processor, or exchanged with handshake",
        "check both wires, and that the reset wire reaches EN",
    ),
    Rule(
        "handshake rises but never stays high: check its wiring",
        "no boot event: the handshake line is noisy or swapped with another",
        "check that handshake and data-ready are not exchanged, and ground",
    ),
    Rule(
        "every SPI transaction fails: check the SPI controller",
        "the SPI controller reports errors",
        "look for messages of the SPI and DMA drivers above",
    ),
    Rule(
        "MISO is always low: check MISO, SCLK and chip select",
        "no boot event: the co-processor is alive, its answers do not arrive",
        "check the wires of MISO, SCLK and chip select; MISO and MOSI may be exchanged",
    ),
    Rule(
        "MISO is always high: check MISO, SCLK and chip select",
        "no boot event: MISO is not driven",
        "check the wires of MISO and chip select; MISO may be on another pin",
    ),
    Rule(
        "frames arrive damaged: check wiring and clock",
        "no boot event that is whole: too fast for the wires",
        "shorten the wires (under 10 cm), add a ground beside SCLK, lower spi-max-frequency to 5 "
        "MHz",
    ),
    Rule(
        "bits are shifted: the bus is not in SPI mode 2, or chip select late",
        "no boot event that is whole: wrong mode",
        "leave spi-cpol and remove spi-cpha in the overlay; use a GPIO as chip select (cs-gpios)",
    ),
    Rule(
        "frames arrive with a bad checksum: lower spi-max-frequency",
        "no boot event that is whole: single bits arrive wrong",
        "lower spi-max-frequency to 5 MHz, shorten the wires",
    ),
    Rule(
        "other frames arrive: is the chip in use by somebody else?",
        "the co-processor is running and was not restarted",
        "connect reset-gpios, or power it off and on",
    ),
    Rule(
        "the firmware runs but does not say so: does the reset line work?",
        "the co-processor was not restarted by the reset line",
        "check the wire from reset-gpios to EN, and its flag (active low)",
    ),
    Rule(
        "malformed boot event",
        "the firmware is not ESP-Hosted's, or frames are damaged",
        "flash a released ESP-Hosted firmware; lower spi-max-frequency",
    ),
    Rule(
        "firmware does not claim Wi-Fi over SPI",
        "the firmware was built for SDIO or UART",
        "flash the SPI build",
    ),
    Rule(
        "no answer to command",
        "the co-processor stopped answering",
        "look at its serial console; power, wires and clock are the usual causes",
    ),
    Rule(
        "giving up until the co-processor restarts by itself",
        "it did not come back after several resets",
        "power it off and on; check the reset wire",
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Evidence:
    """What a board says of itself."""

    release: str = ""
    """Of the running kernel."""
    log: str = ""
    """The kernel's log, as far as it concerns us."""
    nodes: tuple[str, ...] = ()
    """Nodes of the devicetree that are co-processors."""
    disabled: tuple[str, ...] = ()
    """Those of them that are switched off, or whose SPI controller is."""
    devices: dict[str, str] = field(default_factory=dict)
    """SPI devices: name to driver, "" for none."""
    ours: tuple[str, ...] = ()
    """SPI devices that are co-processors."""
    module: str = ""
    """Where modprobe would take our module from; empty if it has none for this kernel."""
    loaded: bool = False
    headers: bool = False
    """True if a module could be compiled there."""
    interfaces: tuple[str, ...] = ()
    """Network interfaces of our driver."""


@dataclass(frozen=True)
class Finding:
    """What is wrong, and what to do about it."""

    meaning: str
    remedy: str
    evidence: str = ""
    """The message or fact that says so."""


# One round trip: a POSIX shell and the tools of any distribution. Each line is a key and a value.
_SCRIPT = r"""
PATH=$PATH:/usr/sbin:/sbin
echo "release $(uname -r)"
[ -e "/lib/modules/$(uname -r)/build/Makefile" ] && echo "headers yes"
lsmod | grep -q '^esp_hosted ' && echo "loaded yes"
echo "module $(modinfo -F filename esp_hosted 2>/dev/null)"
base=/proc/device-tree
for file in $(find -L $base -maxdepth 8 -name compatible 2>/dev/null); do
    tr '\0' '\n' <"$file" | grep -qx -e COMPATIBLES || continue
    node=${file%/compatible}
    echo "node ${node#$base}"
    at=$node
    while [ "$at" != "$base" ] && [ -n "$at" ]; do
        if [ -e "$at/status" ] && ! tr -d '\0' <"$at/status" | grep -qx -e okay -e ok; then
            echo "disabled ${node#$base}"
            break
        fi
        at=${at%/*}
    done
done
for device in /sys/bus/spi/devices/*; do
    [ -e "$device" ] || continue
    driver=
    [ -e "$device/driver" ] && driver=$(basename "$(readlink "$device/driver")")
    echo "device $(basename "$device") $driver"
    [ -e "$device/of_node/compatible" ] || continue
    if tr '\0' '\n' <"$device/of_node/compatible" | grep -qx -e COMPATIBLES; then
        echo "ours $(basename "$device")"
    fi
    ls "$device/net" 2>/dev/null | sed 's/^/interface /'
done
dmesg 2>/dev/null | grep -i -e esp_hosted -e esp-hosted -e chipselect -e spi | tail -n 200 | sed 's/^/log /'
""".replace("COMPATIBLES", " -e ".join(COMPATIBLES))


def collect(target: Target) -> Evidence:
    """Ask a board. Errors as `Target.run`."""
    return parse(target.run(_SCRIPT, check=False, timeout=60).stdout)


def parse(text: str) -> Evidence:
    """What the script printed."""
    found = Answers.parse(text)
    one = found.one
    devices = {}
    for value in found.get("device", []):
        name, _, driver = value.partition(" ")
        devices[name] = driver
    return Evidence(
        release=one("release"),
        log="\n".join(found.get("log", [])),
        nodes=tuple(found.get("node", [])),
        disabled=tuple(found.get("disabled", [])),
        devices=devices,
        ours=tuple(found.get("ours", [])),
        module=one("module"),
        loaded=one("loaded") == "yes",
        headers=one("headers") == "yes",
        interfaces=tuple(found.get("interface", [])),
    )


def diagnose(seen: Evidence) -> list[Finding]:
    """What is wrong, the likeliest cause first; empty if nothing is."""
    if seen.interfaces:
        return []
    return [*_devicetree(seen), *_module(seen), *_messages(seen)] or [
        Finding(
            "the driver is there and says nothing",
            "wait some seconds after it was loaded; then look at `dmesg`, and at the co-processor's console",
        )
    ]


def _devicetree(seen: Evidence) -> list[Finding]:
    if not seen.nodes:
        return [
            Finding(
                "missing overlay: the devicetree has no co-processor",
                "install the board's overlay and start the board again (./inv deploy does both)",
                "no node with compatible " + " or ".join(COMPATIBLES),
            )
        ]
    if set(seen.nodes) <= set(seen.disabled):
        return [
            Finding(
                "the co-processor or its SPI controller is switched off in the devicetree",
                'set status = "okay" on both; on a Raspberry Pi the overlay does it',
                ", ".join(seen.disabled),
            )
        ]
    found = []
    if not seen.ours:
        owner = next((name for name, driver in seen.devices.items() if driver == "spidev"), None)
        found.append(
            Finding(
                "spidev owns the chip select" if owner else "the SPI controller has no driver",
                'switch spidev off in the overlay (status = "disabled") and start the board again'
                if owner
                else "load the controller's module; the kernel's configuration has to have it",
                f"{owner} belongs to spidev" if owner else f"{seen.nodes[0]} is no device of the SPI bus",
            )
        )
    for name in seen.ours:
        driver = seen.devices.get(name, "")
        if driver and driver != NAME:
            found.append(
                Finding(
                    f"{driver} drives the co-processor",
                    f"echo {name} > /sys/bus/spi/drivers/{driver}/unbind, and remove what bound it",
                    f"{name} belongs to {driver}",
                )
            )
    return found


def _module(seen: Evidence) -> list[Finding]:
    if seen.loaded:
        return []
    if not seen.module:
        if seen.headers:
            remedy = "install esp-hosted-dkms, or use ./inv deploy"
        else:
            remedy = "use ./inv deploy, or install the kernel's headers for DKMS"
        what = (
            "kernel without headers, and no module for it"
            if not seen.headers
            else "no module for this kernel"
        )
        return [Finding(what, remedy, f"kernel {seen.release}")]
    return [Finding("the module is not loaded", f"modprobe {NAME}", seen.module)]


def _messages(seen: Evidence) -> list[Finding]:
    """From the log: one finding a rule, with its newest line."""
    found = []
    for rule in RULES:
        lines = [line for line in seen.log.splitlines() if rule.pattern.search(line)]
        if lines:
            found.append(Finding(rule.meaning, rule.remedy, lines[-1]))
    return found


def render(seen: Evidence) -> str:
    """For people: the interfaces, or what is wrong and what to do about it."""
    if seen.interfaces:
        return f"nothing is wrong: kernel {seen.release}, interfaces {', '.join(seen.interfaces)}"
    parts = []
    for found in diagnose(seen):
        parts.append(found.meaning)
        parts += [f"  {found.evidence}"] if found.evidence else []
        parts.append(f"  -> {found.remedy}")
    return "\n".join(parts)
