# SPDX-License-Identifier: MIT
"""Which pin of the SoC a node of a devicetree uses: as a GPIO, or through a pin controller.

A pin is (path of its pin controller, number). Pin controllers are told apart by what their bindings write
into a group of pins; what a SoC's GPIO lines have to do with its pins is in `gpio-ranges`, or they are the
same.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from harness.fdt import Node, Tree

Pin = tuple[str, int]
# Properties that end in "gpios" and hold no GPIO specifiers.
_NO_GPIOS = ("ngpios", "nr-gpios")
_NO_DEVICES = ("aliases", "__symbols__", "__fixups__", "__local_fixups__", "__overrides__")
_LINES_A_BANK = 32


@dataclass(frozen=True)
class Line:
    """A GPIO as a devicetree refers to it."""

    controller: Node
    arguments: tuple[int, ...]
    """What follows the phandle; the last is the flags."""

    @property
    def flags(self) -> int:
        """As include/dt-bindings/gpio/gpio.h has them."""
        return self.arguments[-1]


class Pins:
    """The pins of one devicetree."""

    def __init__(self, tree: Tree, labels: Mapping[str, str]) -> None:
        """`labels`: label to path, for names of GPIO banks where the devicetree has none."""
        self._tree = tree
        self._banks = _banks(tree, labels)

    # GPIO lines.

    def lines(self, node: Node, name: str) -> list[Line | None]:
        """The GPIOs in a property, None for a hole as in cs-gpios = <0>, <&gpio 1 0>.

        The list ends where it refers to a node that is not in the devicetree.
        """
        found: list[Line | None] = []
        cells = list(node.cells(name))
        while cells:
            phandle = cells.pop(0)
            if not phandle:
                found.append(None)
                continue
            controller = self._tree.by_phandle.get(phandle)
            if controller is None:
                break
            count = (controller.cells("#gpio-cells") or (2,))[0]
            found.append(Line(controller, tuple(cells[:count])))
            del cells[:count]
        return found

    def pin(self, line: Line) -> Pin:
        """The pin behind a GPIO."""
        controller = line.controller
        if len(line.arguments) == 3:
            return controller.path, line.arguments[0] * _LINES_A_BANK + line.arguments[1]
        offset = line.arguments[0]
        ranges = controller.cells("gpio-ranges")
        for at in range(0, len(ranges) - 3, 4):
            target, first, pin, count = ranges[at : at + 4]
            if first <= offset < first + count and target in self._tree.by_phandle:
                return self._tree.by_phandle[target].path, pin + offset - first
        if _compatible(controller, "rockchip,gpio-bank") and controller.parent is not None:
            return controller.parent.path, self._bank(controller) * _LINES_A_BANK + offset
        return controller.path, offset

    def name(self, line: Line) -> str:
        """What the SoC's manual calls a GPIO."""
        controller, offset = line.controller, line.arguments[0]
        if len(line.arguments) == 3:
            first = ord("L") if _compatible(controller, r"allwinner,.*-r-pinctrl") else ord("A")
            return f"P{chr(first + line.arguments[0])}{line.arguments[1]}"
        if _compatible(controller, r"brcm,bcm2\d+-gpio|raspberrypi,rp1-gpio"):
            return f"GPIO{offset}"
        bank = self._bank(controller)
        if _compatible(controller, "rockchip,gpio-bank"):
            return f"GPIO{bank}_{'ABCD'[offset // 8]}{offset % 8}"
        if _compatible(controller, r"fsl,imx.*gpio"):
            return f"GPIO{bank}_IO{offset:02}"
        return f"GPIO{bank}_{offset}"

    def names(self) -> dict[Pin, str]:
        """Every pin that is also a GPIO, by what the manual calls that GPIO."""
        found: dict[Pin, str] = {}
        for node in self._tree.root.walk():
            if "gpio-controller" in node.properties:
                for line in _all_lines(node):
                    found.setdefault(self.pin(line), self.name(line))
        return found

    def _bank(self, controller: Node) -> int:
        return self._banks.get(controller.path, 0)

    # Who uses which.

    def gpios(self, node: Node) -> Iterator[tuple[str, Line]]:
        """Property and GPIO for all GPIOs of a node."""
        if "gpio-hog" in node.properties and node.parent is not None:
            # The lines of its parent, which is not named.
            cells = node.cells("gpios")
            count = (node.parent.cells("#gpio-cells") or (2,))[0]
            for at in range(0, len(cells), count):
                yield "gpios", Line(node.parent, cells[at : at + count])
            return
        for name in node.properties:
            if re.search(r"(?:^|-)gpios?$", name) and name not in _NO_GPIOS:
                for line in self.lines(node, name):
                    if line is not None and "gpio-controller" in line.controller.properties:
                        yield name, line

    def muxed(self, node: Node) -> set[Pin]:
        """The pins that a node's pin groups claim when its driver starts."""
        found: set[Pin] = set()
        states = node.strings("pinctrl-names")
        number = states.index("default") if "default" in states else 0
        for phandle in node.cells(f"pinctrl-{number}"):
            group = self._tree.by_phandle.get(phandle)
            if group is not None:
                for part in group.walk():
                    found |= self._group(part)
        return found

    def users(self) -> Iterator[tuple[Node, str, Pin]]:
        """Every use of a pin by an enabled node: node, how, pin."""
        for node in self._tree.root.walk():
            if node.enabled and node.name not in _NO_DEVICES:
                for pin in self.muxed(node):
                    yield node, "pin group", pin
                for name, line in self.gpios(node):
                    yield node, name, self.pin(line)

    def _group(self, group: Node) -> set[Pin]:
        for name, read in _GROUPS.items():
            if name in group.properties:
                return read(group)
        return set()


def _compatible(node: Node, pattern: str) -> bool:
    return any(re.fullmatch(pattern, one) for one in node.strings("compatible"))


def _banks(tree: Tree, labels: Mapping[str, str]) -> dict[str, int]:
    """Number of each GPIO bank, by path: what the SoC's own labels say before what a board numbers."""
    found: dict[str, int] = {}
    for names in (tree.aliases("/__symbols__"), labels, tree.aliases("/aliases")):
        for name, path in names.items():
            if match := re.fullmatch(r"(?:main_)?gpio(\d+)", name):
                found.setdefault(path, int(match.group(1)))
    return found


def _all_lines(controller: Node) -> Iterator[Line]:
    cells = (controller.cells("#gpio-cells") or (2,))[0]
    if cells == 3:
        yield from (Line(controller, (bank, line, 0)) for bank in range(26) for line in range(_LINES_A_BANK))
        return
    count = _LINES_A_BANK if _compatible(controller, r"rockchip,gpio-bank|fsl,.*") else 128
    yield from (Line(controller, (line, 0)) for line in range(count))


def _controller(group: Node, names: str) -> Node:
    """The pin controller that a group belongs to: the next one above with a property."""
    at = group
    while at.parent is not None and not (re.search(names, " ".join(at.properties)) and at is not group):
        at = at.parent
    return at


def _brcm(group: Node) -> set[Pin]:
    controller = _controller(group, "gpio-controller")
    return {(controller.path, pin) for pin in group.cells("brcm,pins")}


def _rockchip(group: Node) -> set[Pin]:
    cells = group.cells("rockchip,pins")
    controller = _controller(group, "rockchip,grf")
    return {
        (controller.path, cells[at] * _LINES_A_BANK + cells[at + 1]) for at in range(0, len(cells) - 1, 4)
    }


def _single(group: Node) -> set[Pin]:
    controller = _controller(group, "#pinctrl-cells")
    step = 1 + (controller.cells("#pinctrl-cells") or (1,))[0]
    return {(controller.path, offset // 4) for offset in group.cells("pinctrl-single,pins")[::step]}


def _imx(group: Node) -> set[Pin]:
    controller = _controller(group, "reg")
    # Six numbers a pin, the first is the offset of its multiplexer's register.
    return {(controller.path, offset // 4) for offset in group.cells("fsl,pins")[::6]}


def _named(group: Node) -> set[Pin]:
    """Pins by name: Allwinner's PC3, RP1's gpio22."""
    controller = _controller(group, "gpio-controller")
    first = ord("L") if _compatible(controller, r"allwinner,.*-r-pinctrl") else ord("A")
    found: set[Pin] = set()
    for name in group.strings("pins"):
        if match := re.fullmatch(r"P([A-Z])(\d+)", name):
            found.add((controller.path, (ord(match.group(1)) - first) * _LINES_A_BANK + int(match.group(2))))
        elif match := re.fullmatch(r"gpio(\d+)", name):
            found.add((controller.path, int(match.group(1))))
    return found


_GROUPS: dict[str, Callable[[Node], set[Pin]]] = {
    "brcm,pins": _brcm,
    "rockchip,pins": _rockchip,
    "pinctrl-single,pins": _single,
    "fsl,pins": _imx,
    "pins": _named,
}
