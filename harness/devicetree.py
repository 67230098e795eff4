# SPDX-License-Identifier: MIT
"""The devicetree a board boots with: the kernel's own base plus our overlay."""

from __future__ import annotations

import difflib
import re
import shutil
from pathlib import Path

from harness import commands, hostdeps, kernels, progress
from harness.boards import Board
from harness.cache import Cache, digest, hash_file
from harness.errors import HarnessError, unknown_name
from harness.kernels import Kernel
from harness.paths import REPO

OVERLAYS = REPO / "dts" / "overlays"
# Part of the cache key: change it when the merge does something else.
RECIPE = 1
Labels = dict[str, str]


class MissingLabelError(HarnessError):
    """An overlay refers to labels that the base does not have."""

    def __init__(self, message: str, labels: list[str], hint: str | None = None) -> None:
        super().__init__(message, hint)
        self.labels = [f"&{name}" for name in labels]


def merge(kernel: Kernel, board: Board, overlays: Path = OVERLAYS) -> Path:
    """The DTB to boot with. HarnessError: overlay does not compile, or names a label that the base lacks."""
    hostdeps.require("dtb")
    base = kernel.dtbs / board.dtb
    overlay = overlays / board.overlay
    if not overlay.exists():
        raise unknown_name("overlay", board.overlay, (path.name for path in overlays.glob("*.dtso")))
    if not base.exists():
        raise HarnessError(f"kernel {kernel.name} ({kernel.release}) has no {board.dtb}")
    donor = None if labels(base) or board.labels else _donor(kernel, board)
    extra = board.labels or (labels(donor) if donor else None)
    key = digest(
        "dtb", RECIPE, hash_file(base), hash_file(overlay), board.name, sorted((extra or {}).items())
    )

    def make(directory: Path) -> None:
        merge_files(base, overlay, directory / "board.dtb", extra)

    tree = Cache().entry("dtb", key, make, f"devicetree of {board.name} for {kernel.release}")
    return tree / "board.dtb"


def merge_files(base: Path, overlay: Path, result: Path, extra: Labels | None = None) -> None:
    """Compile an overlay and apply it to a base DTB.

    `extra` are labels for a base that was compiled without any. HarnessError names what is missing.
    """
    scratch = result.with_suffix(".work.dtb")
    compiled = result.with_suffix(".dtbo")
    try:
        compile_overlay(overlay, compiled)
        shutil.copyfile(base, scratch)
        wanted = references(compiled)
        known = labels(scratch)
        if not known and extra:
            _add_labels(scratch, {name: extra[name] for name in wanted if name in extra})
            known = labels(scratch)
        missing = [name for name in wanted if name not in known]
        if missing:
            raise _missing(overlay, base, missing, known)
        commands.run(
            ["fdtoverlay", "-i", scratch, "-o", result, compiled],
            log="devicetree",
            what=f"merging {overlay.name} into {base.name}",
        )
    finally:
        scratch.unlink(missing_ok=True)
        compiled.unlink(missing_ok=True)


def compile_overlay(overlay: Path, target: Path) -> str:
    """Compile a .dtso; what dtc said (warnings). HarnessError: it does not compile."""
    return commands.run(
        ["dtc", "-@", "-I", "dts", "-O", "dtb", "-o", target, overlay],
        log="devicetree",
        what=f"compiling {overlay.name}",
        hint=f"correct {overlay}",
    ).output


def labels(dtb: Path) -> Labels:
    """Label to path, from a DTB's __symbols__; empty if it was compiled without."""
    names = _properties(dtb, "/__symbols__")
    if not names:
        return {}
    asked = [word for name in names for word in ("/__symbols__", name)]
    values = commands.output(["fdtget", "-t", "s", dtb, *asked]).split("\n")
    return dict(zip(names, values, strict=False))


def references(overlay: Path) -> list[str]:
    """The labels of the base that a compiled overlay refers to."""
    return _properties(overlay, "/__fixups__")


def _properties(dtb: Path, node: str) -> list[str]:
    return commands.output(["fdtget", "-p", dtb, node], check=False).split()


def _missing(overlay: Path, base: Path, missing: list[str], known: Labels) -> MissingLabelError:
    if not known:
        return MissingLabelError(
            f"{base.name} was compiled without labels: {overlay.name} cannot refer to {', '.join(missing)}",
            missing,
            hint="a kernel from 6.12 on ships its devicetrees with labels",
        )
    named = ", ".join(f"&{name}" for name in missing)
    close = [name for one in missing for name in difflib.get_close_matches(one, known)]
    return MissingLabelError(
        f"{overlay.name} refers to {named}: {base.name} has no such label",
        missing,
        hint=f"similar labels: {', '.join(close)}" if close else f"correct the label in {overlay}",
    )


def _donor(kernel: Kernel, board: Board) -> Path | None:
    """Another kernel's DTB of the same board that has labels: the default kernel's."""
    default = kernels.table().default
    if kernel.name == default:
        return None
    path = kernels.resolve(default).dtbs / board.dtb
    if not path.exists() or not labels(path):
        return None
    progress.say(f"{board.dtb} of {kernel.release} has no labels: taking them from kernel {default}")
    return path


def _add_labels(dtb: Path, wanted: Labels) -> None:
    """Give a DTB labels, and their nodes phandles.

    A node may be at another path than where the labels come from (buses are inserted between kernel
    versions); then the only node of the same name and unit address is taken.
    """
    text = commands.output(["dtc", "-q", "-I", "dtb", "-O", "dts", dtb])
    used = [int(number, 16) for number in re.findall(r"\bphandle = <(0x[0-9a-f]+)>", text)]
    following = max(used, default=0) + 1
    nodes = _nodes(text)
    commands.run(["fdtput", "-c", dtb, "/__symbols__"], log="devicetree")
    for label, path in wanted.items():
        same = [node for node in nodes if node == path] or [
            node for node in nodes if node.rpartition("/")[2] == path.rpartition("/")[2]
        ]
        if len(same) != 1:
            continue
        if "phandle" not in _properties(dtb, same[0]):
            commands.run(["fdtput", "-t", "u", dtb, same[0], "phandle", str(following)], log="devicetree")
            following += 1
        commands.run(["fdtput", "-t", "s", dtb, "/__symbols__", label, same[0]], log="devicetree")


def _nodes(text: str) -> list[str]:
    """The paths of all nodes of a devicetree that dtc has written as text."""
    found, stack = [], []
    for line in text.splitlines():
        if match := re.fullmatch(r"\s*(?:[\w]+: )*(\S+) \{", line):
            stack.append(match.group(1).strip("/"))
            found.append("/".join(stack) or "/")
        elif line.strip() == "};":
            stack.pop()
    return found
