# SPDX-License-Identifier: MIT
"""A compiled devicetree as Python objects, to read."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness import extras
from harness.errors import HarnessError


@dataclass(eq=False, repr=False)
class Node:
    """One node. Property values are as they are in the file."""

    name: str
    parent: Node | None
    properties: dict[str, bytes] = field(default_factory=dict)
    children: list[Node] = field(default_factory=list)

    @property
    def path(self) -> str:
        """From the root, as /aliases writes it."""
        if self.parent is None:
            return "/"
        return f"{self.parent.path.rstrip('/')}/{self.name}"

    def cells(self, name: str) -> tuple[int, ...]:
        """A property as 32-bit numbers, empty if it is not there. HarnessError: it holds something else."""
        value = self.properties.get(name, b"")
        if len(value) % 4:
            raise HarnessError(f"{self.path}: {name} is not a list of numbers")
        return struct.unpack(f">{len(value) // 4}I", value)

    def strings(self, name: str) -> list[str]:
        """A property as strings, empty if it is not there."""
        value = self.properties.get(name, b"")
        return [part.decode("utf-8", "replace") for part in value.split(b"\0")[:-1]]

    def walk(self) -> Iterator[Node]:
        """This node and all below it."""
        yield self
        for child in self.children:
            yield from child.walk()

    @property
    def enabled(self) -> bool:
        """True if neither this node nor one above it is switched off."""
        status = self.strings("status") or ["okay"]
        return status[0] in ("okay", "ok") and (self.parent is None or self.parent.enabled)


class Tree:
    """A devicetree."""

    def __init__(self, dtb: bytes) -> None:
        """HarnessError: this is no devicetree."""
        libfdt = extras.load("bindings", "libfdt")
        try:
            self._fdt = libfdt.FdtRo(dtb)
            self.root = self._read(0, None, libfdt.QUIET_NOTFOUND)
        except (libfdt.FdtException, ValueError) as error:
            raise HarnessError(f"not a devicetree: {error}") from error
        nodes = list(self.root.walk())
        self.by_path = {node.path: node for node in nodes}
        self.by_phandle = {node.cells("phandle")[0]: node for node in nodes if node.cells("phandle")}

    @classmethod
    def load(cls, path: Path) -> Tree:
        """The devicetree in a file. HarnessError: there is none in it."""
        try:
            return cls(path.read_bytes())
        except HarnessError as error:
            raise HarnessError(f"{path}: {error.message}") from error

    def aliases(self, node: str) -> dict[str, str]:
        """The properties of a node that holds strings: /aliases, /__symbols__. Empty if it is not there."""
        found = self.by_path.get(node)
        return {name: found.strings(name)[0] for name in found.properties} if found else {}

    def _read(self, offset: int, parent: Node | None, quiet: Sequence[int]) -> Node:
        node = Node(self._fdt.get_name(offset), parent)
        at = self._fdt.first_property_offset(offset, quiet)
        while at >= 0:
            found = self._fdt.get_property_by_offset(at)
            # Where a property is there twice the first counts, as for the kernel.
            node.properties.setdefault(found.name, bytes(found))
            at = self._fdt.next_property_offset(at, quiet)
        at = self._fdt.first_subnode(offset, quiet)
        while at >= 0:
            node.children.append(self._read(at, node, quiet))
            at = self._fdt.next_subnode(at, quiet)
        return node
