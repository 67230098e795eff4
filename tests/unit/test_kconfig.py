# SPDX-License-Identifier: MIT
"""harness.kconfig on small trees: today's language, merging, and the reasons it gives."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from harness.errors import HarnessError
from harness.kconfig import Configuration, Toolchain, difference, read_fragment

KCONFIG = """\
mainmenu "test"

config MODULES
	bool "modules"
	modules

config BUS
	bool "the bus"

config CLOCK
	bool

config PLATFORM
	bool "a platform"
	depends on BUS
	select CLOCK

config DRIVER
	tristate "the driver"
	depends on PLATFORM && MODULES
	depends on GADGET if BUS

config GADGET
	bool "a gadget"

config OLD
	bool
	transitional

config DEPTH
	int "depth"
	range 1 9
	default 3

choice
	prompt "one of"
config RED
	bool "red"
config BLUE
	bool "blue"
endchoice
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "Kconfig").write_text(KCONFIG)
    return tmp_path


def configuration(tree: Path) -> Configuration:
    result = Configuration(tree, Toolchain("arm64"))
    result.load("allnoconfig")
    return result


def fragment(tree: Path, text: str) -> Path:
    path = tree / "test.config"
    path.write_text(text)
    return path


def reasons(tree: Path, text: str) -> list[str]:
    return [str(unmet) for unmet in configuration(tree).merge([fragment(tree, text)])]


def test_everything_met(tree: Path) -> None:
    config = configuration(tree)
    text = "CONFIG_MODULES=y\nCONFIG_BUS=y\nCONFIG_PLATFORM=y\nCONFIG_GADGET=y\nCONFIG_DRIVER=m\n"
    assert config.merge([fragment(tree, text)]) == []
    config.write(tree / ".config")
    assert read_fragment(tree / ".config")["DRIVER"] == "m"
    assert config.value("CLOCK") == "y"


def test_chain_of_reasons(tree: Path) -> None:
    (reason,) = reasons(tree, "CONFIG_MODULES=y\nCONFIG_DRIVER=m\n")
    assert reason.startswith("CONFIG_DRIVER=m wanted, is n: depends on PLATFORM && MODULES")
    assert "PLATFORM is n because depends on BUS, and BUS is n because nothing asked for it" in reason


def test_conditional_dependency_holds_only_under_its_condition(tree: Path) -> None:
    base = "CONFIG_MODULES=y\nCONFIG_BUS=y\nCONFIG_PLATFORM=y\nCONFIG_DRIVER=m\n"
    (reason,) = reasons(tree, base)
    assert "GADGET is n" in reason
    assert reasons(tree, base + "CONFIG_GADGET=y\n") == []


def test_symbol_without_prompt_names_its_selectors(tree: Path) -> None:
    (reason,) = reasons(tree, "CONFIG_CLOCK=y\n")
    assert "no prompt and is only selected: by PLATFORM" in reason


def test_selected_against_the_wish(tree: Path) -> None:
    (reason,) = reasons(tree, "CONFIG_BUS=y\nCONFIG_PLATFORM=y\n# CONFIG_CLOCK is not set\n")
    assert reason == "CONFIG_CLOCK=n wanted, is y: selected by PLATFORM"


def test_unknown_symbol_suggests_a_name(tree: Path) -> None:
    (reason,) = reasons(tree, "CONFIG_PLATFROM=y\n")
    assert "no such symbol (similar: PLATFORM)" in reason


def test_range_and_choice(tree: Path) -> None:
    range_reason, choice_reason = reasons(tree, "CONFIG_DEPTH=12\nCONFIG_RED=y\nCONFIG_BLUE=y\n")
    assert "its range is 1 to 9" in range_reason
    assert "the choice has CONFIG_BLUE instead" in choice_reason


def test_explain(tree: Path) -> None:
    text = configuration(tree).explain("DRIVER")
    assert "CONFIG_DRIVER=n" in text and "[Kconfig:18]" in text and "depends on" in text
    assert "does not exist" in configuration(tree).explain("NOTHING")


def test_bad_input(tree: Path) -> None:
    with pytest.raises(HarnessError, match=r"test\.config:1: not a configuration line"):
        read_fragment(fragment(tree, "SPI=y\n"))
    with pytest.raises(HarnessError, match="not a kernel source tree"):
        Configuration(tree / "nowhere", Toolchain("arm64"))
    (tree / "Kconfig").write_text("config A\n\tnonsense here\n")
    with pytest.raises(HarnessError, match="cannot read the Kconfig files"):
        Configuration(tree, Toolchain("arm64"))


def test_a_command_may_print_anything(tmp_path: Path) -> None:
    (tmp_path / "Kconfig").write_text(
        r"""text := $(shell,printf 'a\377b\nc\n\n')
config TEXT
	string
	default "$(text)"
"""
    )
    assert Configuration(tmp_path, Toolchain("arm64")).value("TEXT") == "a\ufffdb c"


def test_difference() -> None:
    assert list(difference({"A": "y", "B": "m"}, {"A": "y", "C": "y"})) == [("B", "m", "n"), ("C", "n", "y")]


def test_two_trees_are_read_at_once(tmp_path: Path) -> None:
    """As the rows of a matrix do: each waits in a command of its Kconfig until the other is as far."""
    trees = [tmp_path / "first", tmp_path / "second"]
    for tree in trees:
        place = tree / "arch/arm64"
        place.mkdir(parents=True)
        os.mkfifo(tree / "gate")
        (tree / "Kconfig").write_text(
            'text := $(shell,cat $srctree/gate)\nsource "arch/$(SRCARCH)/Kconfig"\n'
        )
        (place / "Kconfig").write_text('config TREE\n\tstring\n\tdefault "$(text) $(SRCARCH)"\n')
    with ThreadPoolExecutor() as pool, ExitStack() as opened:
        readers = []
        gates = []
        for tree in trees:
            readers.append(pool.submit(Configuration, tree, Toolchain("arm64")))
            gates.append(opened.enter_context((tree / "gate").open("w")))
        assert "SRCARCH" not in os.environ
        for tree, reader, gate in zip(trees, readers, gates, strict=True):
            with gate:
                gate.write(f"{tree.name}\n")
            assert reader.result().value("TREE") == f"{tree.name} arm64"
