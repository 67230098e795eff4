# SPDX-License-Identifier: MIT
"""Every board's overlay on the devicetrees that the distribution ships, and what the checks find."""

from __future__ import annotations

import dataclasses
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from harness import bindings, boards, devicetree, dtbs, overlays
from harness.boards import Board
from harness.fdt import Tree
from harness.paths import REPO
from harness.pinmux import Line, Pins

# One kernel of each way of shipping devicetrees: some with labels, nearly all with, the other architecture.
KERNELS = ("6.12", "7.3", "armhf")
# Debian's 6.12 has a Raspberry Pi 5 without RP1, which its header is connected to.
WITHOUT = {("rpi5", "6.12")}


@pytest.fixture(scope="module")
def schema() -> Path:
    return bindings.schema()


@pytest.fixture(scope="module")
def bases() -> dict[str, dtbs.Bases]:
    return {name: found for name in KERNELS for _, found in dtbs.all_bases((name,))}


@pytest.fixture(scope="module")
def merged(bases: dict[str, dtbs.Bases], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Raspberry Pi 4 with its overlay."""
    base = bases["6.12"].find("broadcom/bcm2711-rpi-4-b.dtb")
    assert base
    result = tmp_path_factory.mktemp("rpi4") / "rpi4.dtb"
    devicetree.merge_files(base, devicetree.OVERLAYS / "rpi4-esp-hosted.dtso", result)
    return result


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("board", overlays.examined_boards(), ids=lambda board: board.name)
def test_board(board: Board, kernel: str, bases: dict[str, dtbs.Bases], schema: Path) -> None:
    """Bus on, no pin twice, spidev off, GPIO references and flags right, valid, wired as the file says."""
    if bases[kernel].arch != board.arch:
        assert kernel == "armhf" or board.arch == "armhf"
        return
    verdicts = overlays.examine(board, kernel, bases[kernel], schema)
    assert [one.dtb for one in verdicts] == [board.dtb, *board.dtbs]
    assert [text for one in verdicts for text in one.findings] == []
    missing = [f"{one.dtb}: {one.missing}" for one in verdicts if one.missing]
    assert bool(missing) == ((board.name, kernel) in WITHOUT), missing


def test_labels_of_boards_are_those_of_labelled_devicetrees(bases: dict[str, dtbs.Bases]) -> None:
    """What a board's file says for devicetrees without labels is what the others have."""
    compared = 0
    for board in overlays.examined_boards():
        base = bases["7.3"].find(board.dtb) if board.arch == "arm64" else None
        real = devicetree.labels(base) if base else {}
        for label, path in board.labels.items():
            if label in real:
                compared += 1
                # Newer kernels put buses around some nodes; the node itself keeps its name.
                assert path.rpartition("/")[2] == real[label].rpartition("/")[2], (board.name, label)
    assert compared > 10


def test_every_overlay_belongs_to_a_board() -> None:
    used = {boards.load(name).overlay for name in boards.names()}
    for_tests = {"imx8mp-evk-three-esp-hosted.dtso"}
    assert {path.name for path in devicetree.OVERLAYS.glob("*.dtso")} == used | for_tests


# The checks find what they are for.

DEVICE = "/soc/spi@7e204000/wifi@0"
BUS = "/soc/spi@7e204000"
LINE = ["-t", "u", DEVICE]
CHANGES = {
    "bus off": (["-t", "s", BUS, "status", "disabled"], "is switched off, or its SPI controller is"),
    "device off": (["-t", "s", DEVICE, "status", "disabled"], "is switched off, or its SPI controller is"),
    "no mode 2": (["-d", DEVICE, "spi-cpol"], "has no spi-cpol"),
    "no clock": (["-d", DEVICE, "spi-max-frequency"], "has no spi-max-frequency"),
    "handshake active low": ([*LINE, "handshake-gpios", "GPIO", "22", "1"], "handshake is active high"),
    "reset active high": ([*LINE, "reset-gpios", "GPIO", "6", "0"], "reset is active low"),
    "two on a pin": ([*LINE, "data-ready-gpios", "GPIO", "22", "0"], "two signals on one pin"),
    "on the bus": ([*LINE, "data-ready-gpios", "GPIO", "9", "0"], "data-ready is on a pin of the bus"),
    "no such node": (
        [*LINE, "handshake-gpios", "99999", "22", "0"],
        "handshake-gpios is missing, or refers to no node",
    ),
    "no interrupts": (["-d", "/soc/gpio@7e200000", "interrupt-controller"], "raises no interrupts"),
    "used by a light": (
        ["-t", "u", "/leds/led-act", "gpios", "GPIO", "27", "0"],
        "the pin of data-ready is also used by /leds/led-act (gpios)",
    ),
    "used by a pin group": (
        ["-t", "u", "/soc/serial@7e201000", "pinctrl-0", "GROUP"],
        "the pin of handshake is also used by /soc/serial@7e201000 (pin group)",
    ),
    "wired differently": (
        [*LINE, "handshake-gpios", "GPIO", "17", "0"],
        "handshake is GPIO17, boards/rpi4.toml says GPIO22",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_finding(name: str, merged: Path, tmp_path: Path) -> None:
    board = boards.load("rpi4")
    good = Tree.load(merged)
    assert overlays.check(good, board) == []
    numbers = {
        "GPIO": good.by_path["/soc/gpio@7e200000"].cells("phandle")[0],
        "GROUP": good.by_path["/soc/gpio@7e200000/emmc-gpio22"].cells("phandle")[0],
    }
    change, expected = CHANGES[name]
    words = [str(numbers.get(word, word)) for word in change]
    bad = tmp_path / "bad.dtb"
    shutil.copyfile(merged, bad)
    options = words[:2] if words[0] == "-t" else words[:1]
    subprocess.run(["fdtput", *options, bad, *words[len(options) :]], check=True)
    assert expected in "\n".join(overlays.check(Tree.load(bad), board))


def test_second_device_at_the_chip_select(merged: Path, tmp_path: Path) -> None:
    """What happens where spidev is left on."""
    bad = tmp_path / "bad.dtb"
    shutil.copyfile(merged, bad)
    subprocess.run(["fdtput", "-c", bad, f"{BUS}/spidev@0"], check=True)
    subprocess.run(["fdtput", "-t", "u", bad, f"{BUS}/spidev@0", "reg", "0"], check=True)
    found = overlays.check(Tree.load(bad), boards.load("rpi4"))
    assert any("spidev@0 has the same chip select and is switched on" in text for text in found)
    subprocess.run(["fdtput", "-t", "s", bad, f"{BUS}/spidev@0", "status", "disabled"], check=True)
    assert overlays.check(Tree.load(bad), boards.load("rpi4")) == []


def test_no_device(bases: dict[str, dtbs.Bases]) -> None:
    base = bases["6.12"].find("broadcom/bcm2711-rpi-4-b.dtb")
    assert base
    assert overlays.check(Tree.load(base), boards.load("rpi4")) == [
        "no co-processor in the merged devicetree"
    ]


# The binding.


def test_binding_is_valid() -> None:
    assert bindings.check_binding() == []


def test_binding_and_driver_and_checks_know_the_same_names() -> None:
    """Device trees written for Espressif's driver work unchanged."""
    binding = YAML(typ="safe").load(bindings.BINDING.read_text(encoding="utf-8"))
    source = "".join(path.read_text(encoding="utf-8") for path in (REPO / "driver").glob("*.c"))
    driver = re.findall(r'\.compatible = "([^"]+)"', source)
    assert (
        sorted(binding["properties"]["compatible"]["enum"]) == sorted(driver) == sorted(overlays.COMPATIBLES)
    )
    assert "espressif,esp32-spi" in driver


INVALID = {
    "unknown property": (["-t", "s", DEVICE, "handshake-line", "x"], "handshake-line"),
    "too fast": (["-t", "u", DEVICE, "spi-max-frequency", "80000000"], "maximum of 40000000"),
    "no data-ready": (["-d", DEVICE, "data-ready-gpios"], "'data-ready-gpios' is a required property"),
}


def test_binding_accepts_the_vendors_compatible(merged: Path, schema: Path, tmp_path: Path) -> None:
    vendor = tmp_path / "vendor.dtb"
    shutil.copyfile(merged, vendor)
    subprocess.run(["fdtput", "-t", "s", vendor, DEVICE, "compatible", "espressif,esp32-spi"], check=True)
    assert bindings.validate([merged, vendor], schema) == {merged: [], vendor: []}
    assert overlays.check(Tree.load(vendor), boards.load("rpi4")) == []


def test_binding_refuses(merged: Path, schema: Path, tmp_path: Path) -> None:
    expected = {}
    for name, (change, text) in INVALID.items():
        bad = tmp_path / f"{name.replace(' ', '-')}.dtb"
        shutil.copyfile(merged, bad)
        options = change[:2] if change[0] == "-t" else change[:1]
        subprocess.run(["fdtput", *options, bad, *change[len(options) :]], check=True)
        expected[bad] = text
    found = bindings.validate(list(expected), schema)
    for bad, text in expected.items():
        assert text in "\n".join(found[bad]), bad.name


@pytest.mark.slow
def test_against_all_bindings_of_the_kernel(bases: dict[str, dtbs.Bases], tmp_path: Path) -> None:
    """No overlay adds a finding of any binding, the SPI and pin controllers' included, to what a base has."""
    whole = bindings.whole_schema()
    pairs = {}
    for board in overlays.examined_boards():
        base = bases["7.3"].find(board.dtb) if board.arch == "arm64" else None
        if base:
            pairs[board.name] = (base, tmp_path / f"{board.name}.dtb")
            devicetree.merge_files(
                base, devicetree.OVERLAYS / board.overlay, pairs[board.name][1], board.labels
            )
    assert len(pairs) >= 6
    found = bindings.validate([dtb for pair in pairs.values() for dtb in pair], whole, "")
    for name, (base, result) in pairs.items():
        assert [text for text in found[result] if text not in found[base]] == [], name


# Raspberry Pi's own kernels and firmware.


def raspberry_base(base: Path, target: Path) -> None:
    """A devicetree like those of Raspberry Pi's kernels, as overlays see it: names, spidev, chip selects."""
    shutil.copyfile(base, target)
    nodes = Tree.load(base).by_path
    gpio, bus_pins = (
        str(nodes[path].cells("phandle")[0])
        for path in ("/soc/gpio@7e200000", "/soc/gpio@7e200000/spi0-gpio7")
    )

    def put(*words: str) -> None:
        options = 2 if words[0] == "-t" else 1
        subprocess.run(["fdtput", *words[:options], target, *words[options:]], check=True)

    put("-t", "u", BUS, "cs-gpios", gpio, "8", "1", gpio, "7", "1")
    put("-t", "u", BUS, "pinctrl-0", bus_pins)
    put("-t", "s", "/__symbols__", "spi0", BUS)
    for number in ("0", "1"):
        node = f"{BUS}/spidev@{number}"
        put("-c", node)
        put("-t", "s", node, "compatible", "spidev")
        put("-t", "u", node, "reg", number)
        put("-t", "u", node, "phandle", str(5000 + int(number)))
        put("-t", "s", "/__symbols__", f"spidev{number}", node)


def test_overlay_for_raspberry_pis_kernels(
    bases: dict[str, dtbs.Bases], schema: Path, tmp_path: Path
) -> None:
    base = bases["6.12"].find("broadcom/bcm2711-rpi-4-b.dtb")
    assert base
    raspberry_base(base, tmp_path / "base.dtb")
    result = tmp_path / "result.dtb"
    board = boards.load("raspberrypi")
    devicetree.merge_files(tmp_path / "base.dtb", devicetree.OVERLAYS / board.overlay, result)
    tree = Tree.load(result)
    assert overlays.check(tree, board) == []
    assert bindings.validate([result], schema) == {result: []}
    assert not tree.by_path[f"{BUS}/spidev@0"].enabled
    assert tree.by_path[f"{BUS}/spidev@1"].enabled


@pytest.mark.parametrize("name", ["rpi4-esp-hosted.dtso", "raspberrypi-esp-hosted.dtso"])
def test_parameters(name: str, tmp_path: Path) -> None:
    """Every parameter changes four bytes that are in a property of the overlay."""
    compiled = tmp_path / "overlay.dtbo"
    devicetree.compile_overlay(devicetree.OVERLAYS / name, compiled)
    tree = Tree.load(compiled)
    parameters = tree.by_path["/__overrides__"].properties
    assert sorted(key for key in parameters if key != "phandle") == [
        "dataready",
        "handshake",
        "reset",
        "speed",
    ]
    for value in parameters.values():
        for phandle, text in re.findall(rb"(.{4})([a-z][a-z,-]*:\d+)\0", value, re.DOTALL):
            node = tree.by_phandle[int.from_bytes(phandle, "big")]
            property_, _, offset = text.decode().partition(":")
            assert int(offset) + 4 <= len(node.properties[property_])
        assert re.fullmatch(rb"(?:.{4}[a-z][a-z,-]*:\d+\0)+", value, re.DOTALL)
    usage = (devicetree.OVERLAYS / name).read_text(encoding="utf-8")
    for key in parameters:
        assert f"{key}=" in usage


# Names of lines and pins.


def test_hogs_count_as_users(merged: Path, tmp_path: Path) -> None:
    hogged = tmp_path / "hog.dtb"
    shutil.copyfile(merged, hogged)
    node = "/soc/gpio@7e200000/keep-hog"
    subprocess.run(["fdtput", "-c", hogged, node], check=True)
    subprocess.run(["fdtput", "-t", "u", hogged, node, "gpios", "22", "0"], check=True)
    subprocess.run(["fdtput", "-t", "s", hogged, node, "gpio-hog", ""], check=True)
    found = overlays.check(Tree.load(hogged), boards.load("rpi4"))
    assert any(f"the pin of handshake is also used by {node} (gpios)" in text for text in found)


@pytest.mark.parametrize(
    ("kernel", "dtb", "controller", "line", "name"),
    [
        ("7.3", "rockchip/rk3588-rock-5b.dtb", "/pinctrl/gpio@fec40000", (15, 0), "GPIO3_B7"),
        ("7.3", "allwinner/sun50i-a64-pine64.dtb", "/soc/pinctrl@1c20800", (7, 5, 0), "PH5"),
        ("7.3", "allwinner/sun50i-a64-pine64.dtb", "/soc/pinctrl@1f02c00", (0, 10, 0), "PL10"),
        ("7.3", "ti/k3-am625-beagleplay.dtb", "/bus@f0000/gpio@601000", (9, 0), "GPIO1_9"),
        ("7.3", "freescale/imx8mp-evk.dtb", "/soc@0/bus@30000000/gpio@30220000", (20, 0), "GPIO3_IO20"),
    ],
)
def test_names_of_lines(
    kernel: str, dtb: str, controller: str, line: tuple[int, ...], name: str, bases: dict[str, dtbs.Bases]
) -> None:
    path = bases[kernel].find(dtb)
    assert path
    tree = Tree.load(path)
    pins = Pins(tree, {})
    found = Line(tree.by_path[controller], line)
    assert pins.name(found) == name
    assert pins.names()[pins.pin(found)] == name


def test_table_shows_each_kernel(bases: dict[str, dtbs.Bases]) -> None:
    good = overlays.Verdict("a", "x/a.dtb", "1")
    verdicts = [good, dataclasses.replace(good, kernel="2", findings=("f",))]
    assert good.good and not verdicts[1].good
    table = overlays.render(verdicts)
    assert [column.header for column in table.columns] == ["overlay", "base DTB", "1", "2"]
    assert [next(iter(column.cells)) for column in table.columns][2:] == [
        "[green]ok[/]",
        "[red]1 findings[/]",
    ]
