# SPDX-License-Identifier: MIT
"""The wiring in the documentation is that of boards/*.toml; that is compared with devicetrees elsewhere."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from harness import boards, diagnosis, wiring
from harness.errors import HarnessError
from harness.paths import REPO

BRING_UP = REPO / "docs" / "bring-up.md"


def test_document_is_up_to_date() -> None:
    """If not: ./inv wiring --write"""
    _, found, rest = wiring.DOCUMENT.read_text(encoding="utf-8").partition(wiring.BEGIN)
    assert found
    assert rest == "\n\n" + wiring.made()


def test_every_board_with_wires_is_drawn() -> None:
    wired = {name for name in boards.names() if boards.load(name).kind == "board"}
    assert {board.name for board in wiring.drawn_boards()} == wired


@pytest.mark.parametrize("board", wiring.drawn_boards(), ids=lambda board: board.name)
def test_diagram_has_every_wire_once(board: boards.Board) -> None:
    text = "\n".join(wiring.diagram(board))
    for signal, title in wiring.TITLES.items():
        pin = re.escape(wiring.pin_of(board, signal)[1])
        beside = rf"(?m)^ *{re.escape(title)} +{pin} o o|o o {pin} +{re.escape(title)}$"
        assert len(re.findall(beside, text)) == 1, title


def test_pin_that_the_connector_does_not_have() -> None:
    board = boards.load("rpi4")
    bad = replace(board, pins={**board.pins, "reset": "GPIO6 on 41"})
    with pytest.raises(HarnessError, match="40-pin header has no pin 41"):
        wiring.diagram(bad)


def test_pin_that_is_not_told() -> None:
    board = boards.load("rpi4")
    with pytest.raises(HarnessError, match=r"boards/rpi4\.toml does not say where reset is"):
        wiring.table(replace(board, pins={key: pin for key, pin in board.pins.items() if key != "reset"}))


def test_one_chip(capsys: pytest.CaptureFixture[str]) -> None:
    wiring.show("rpi4", "ESP32-C3")
    shown = capsys.readouterr().out
    assert "| handshake | 15 | GPIO22 | IO3 |" in shown
    with pytest.raises(HarnessError, match="esp32c4"):
        wiring.show("rpi4", "esp32c4")


def test_guide_explains_every_rule_of_the_diagnosis() -> None:
    """The guide's table and the harness's rules are the same."""
    text = BRING_UP.read_text(encoding="utf-8")
    for rule in diagnosis.RULES:
        assert f"| `{rule.text}` | {rule.meaning} | {rule.remedy} |" in text
