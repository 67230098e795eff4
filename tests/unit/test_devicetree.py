# SPDX-License-Identifier: MIT
"""Merging an overlay into a base, with and without labels."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from harness import boards, devicetree
from harness.errors import HarnessError

BASE = """
/dts-v1/;
/ {
	#address-cells = <1>;
	#size-cells = <1>;
	bus@10000 {
		#address-cells = <1>;
		#size-cells = <1>;
		reg = <0x10000 0x1000>;
		ecspi2: spi@10100 { reg = <0x10100 0x100>; status = "disabled"; };
		gpio5: gpio@10200 { reg = <0x10200 0x100>; #gpio-cells = <2>; };
	};
	user { link = <&gpio5>; };
};
"""
OVERLAY = """
/dts-v1/;
/plugin/;
&ecspi2 { status = "okay"; cs-gpios = <&%s 13 1>; };
"""


def base(directory: Path, labels: bool) -> Path:
    source, target = directory / "base.dts", directory / "base.dtb"
    source.write_text(BASE)
    subprocess.run(["dtc", "-q", *(["-@"] if labels else []), "-O", "dtb", "-o", target, source], check=True)
    return target


def overlay(directory: Path, label: str = "gpio5") -> Path:
    path = directory / "board.dtso"
    path.write_text(OVERLAY % label)
    return path


def value(dtb: Path, node: str, name: str, kind: str = "s") -> str:
    command = ["fdtget", "-t", kind, str(dtb), node, name]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_merge(tmp_path: Path) -> None:
    result = tmp_path / "result.dtb"
    devicetree.merge_files(base(tmp_path, labels=True), overlay(tmp_path), result)
    assert value(result, "/bus@10000/spi@10100", "status") == "okay"
    phandle = value(result, "/bus@10000/gpio@10200", "phandle", "u")
    assert value(result, "/bus@10000/spi@10100", "cs-gpios", "u") == f"{phandle} 13 1"
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "base.dtb",
        "base.dts",
        "board.dtso",
        "result.dtb",
    ]


def test_missing_label_is_named(tmp_path: Path) -> None:
    with pytest.raises(HarnessError) as caught:
        devicetree.merge_files(
            base(tmp_path, labels=True), overlay(tmp_path, "gpio6"), tmp_path / "result.dtb"
        )
    assert caught.value.message == "board.dtso refers to &gpio6: base.dtb has no such label"
    assert caught.value.hint == "similar labels: gpio5"
    assert not (tmp_path / "result.dtb").exists()


def test_base_without_labels_is_said(tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match=r"compiled without labels: board\.dtso cannot refer to"):
        devicetree.merge_files(base(tmp_path, labels=False), overlay(tmp_path), tmp_path / "result.dtb")


def test_labels_from_another_base(tmp_path: Path) -> None:
    """Here ecspi2 has no phandle yet, and the other tree has one more bus around it."""
    labels = {"ecspi2": "/soc/bus@10000/spi@10100", "gpio5": "/bus@10000/gpio@10200"}
    result = tmp_path / "result.dtb"
    devicetree.merge_files(base(tmp_path, labels=False), overlay(tmp_path), result, labels)
    assert value(result, "/bus@10000/spi@10100", "status") == "okay"
    phandle = value(result, "/bus@10000/gpio@10200", "phandle", "u")
    assert value(result, "/user", "link", "u") == phandle
    assert value(result, "/bus@10000/spi@10100", "cs-gpios", "u") == f"{phandle} 13 1"


def test_label_of_a_node_that_is_not_there(tmp_path: Path) -> None:
    labels = {"ecspi2": "/bus@10000/spi@99999", "gpio5": "/bus@10000/gpio@10200"}
    with pytest.raises(HarnessError, match="refers to &ecspi2"):
        devicetree.merge_files(
            base(tmp_path, labels=False), overlay(tmp_path), tmp_path / "result.dtb", labels
        )


def test_overlay_that_does_not_compile(tmp_path: Path) -> None:
    broken = tmp_path / "board.dtso"
    broken.write_text("/dts-v1/; /plugin/; &ecspi2 {")
    with pytest.raises(HarnessError, match=r"(?s)compiling board.dtso failed.*syntax error"):
        devicetree.merge_files(base(tmp_path, labels=True), broken, tmp_path / "result.dtb")


def test_overlays_of_this_repository_compile_without_a_warning(tmp_path: Path) -> None:
    overlays = sorted(devicetree.OVERLAYS.glob("*.dtso"))
    assert overlays
    for path in overlays:
        assert "Warning" not in devicetree.compile_overlay(path, tmp_path / "out.dtbo")


@pytest.mark.parametrize("name", [name for name in boards.names() if boards.load(name).labels])
def test_the_labels_that_a_board_lists_are_all_that_its_overlays_need(tmp_path: Path, name: str) -> None:
    """Kernels whose devicetrees have no labels get these."""
    board = boards.load(name)
    own, others = devicetree.OVERLAYS / board.overlay, devicetree.OVERLAYS.glob(f"{name}-*.dtso")
    for overlay in {own, *others}:
        compiled = tmp_path / "overlay.dtbo"
        devicetree.compile_overlay(overlay, compiled)
        assert not set(devicetree.references(compiled)) - set(board.labels), overlay
