# SPDX-License-Identifier: MIT
"""compat.h: nothing in it that no kernel needs, nothing of it in a driver for the newest one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import decompat, kernels, module
from harness.errors import HarnessError
from harness.kernels import Kernel

NEWEST = (7, 3)
# Oldest first: most of it is for them.
ROWS = ("5.10", "6.1", "6.12", "7.2", "7.3")
# What every row compiles without, and why it stays.
SPARE = {
    "#define timer_delete_sync del_timer_sync": "early releases of 5.10 and 6.1 have only the old name",
    "#define alloc_netdev_mqs esp_compat_alloc_netdev": "5.10 would have no counters when it runs",
    "#define free_netdev esp_compat_free_netdev": "5.10 would leak them",
    "#define wiphy_unregister esp_compat_wiphy_unregister": "5.10 might run work of a device that is gone",
    "struct esp_hosted;": "the other one is not seen from 5.12 on; later kernels in Debian have wiphy work",
}


def test_nothing_of_it_stays_for_the_newest_kernel() -> None:
    sources = {path.name: path.read_text(encoding="utf-8") for path in module.DRIVER.glob("*.[ch]")}
    names = set(re.findall(r"#define (esp_\w+|ESP_\w+)", sources["compat.h"]))
    ours = decompat.resolve(sources, NEWEST)
    assert not {"compat.h", "compat.c"} & ours.keys()
    for name, text in ours.items():
        assert "compat.h" not in text, name
        left = names & set(re.findall(r"\b(?:esp|ESP)_\w+\b", text))
        assert not left, (name, left)


def test_versions_are_mentioned_nowhere_else() -> None:
    for path in module.DRIVER.rglob("*.[ch]"):
        if path.name != "compat.h" and not path.name.endswith(".mod.c"):
            text = path.read_text(encoding="utf-8")
            assert not re.search(r"LINUX_VERSION_CODE|KERNEL_VERSION|ESP_KERNEL", text), path.name


def definitions(text: str) -> Iterator[re.Match[str]]:
    """What can be taken out alone: macros, and declarations and functions with their bodies."""
    macro = r"^#define (?!ESP_HOSTED_COMPAT_H|ESP_KERNEL\()(?:.*\\\n)*.*\n"
    declaration = r"^(?:struct|typedef|static|void)\b(?:[^;{]*;\n|[^{]*\{\n(?:.*\n)*?\};?\n)"
    return re.finditer(f"{macro}|{declaration}", text, re.MULTILINE)


def without(text: str, definition: re.Match[str]) -> str:
    """A text without one of its definitions; conditions inside of it stay."""
    stays = re.findall(r"^#(?:if|else|endif).*\n", definition[0], re.MULTILINE)
    return text[: definition.start()] + "".join(stays) + text[definition.end() :]


def test_definitions_are_all_that_there_is() -> None:
    text = (module.DRIVER / "compat.h").read_text(encoding="utf-8")
    for definition in reversed(list(definitions(text))):
        text = without(text, definition)
    left = re.sub(
        r"/\*.*?\*/|^#(?:ifn?def|if|else|endif|include) ?.*?$", "", text, flags=re.DOTALL | re.MULTILINE
    )
    assert re.findall(r"^#define \w+", left, re.MULTILINE) == [
        "#define ESP_HOSTED_COMPAT_H",
        "#define ESP_KERNEL",
    ]
    # The second macro has two lines.
    assert len([line for line in left.splitlines() if line]) == 3


@pytest.mark.slow
def test_without_a_definition_a_row_of_the_matrix_does_not_compile(tmp_path: Path) -> None:
    """An error or a warning in one row is enough."""
    found = {name: kernels.resolve(name) for name in ROWS}
    source = tmp_path / "driver"
    module.mirror(module.DRIVER, source, module.IGNORED)
    compat = source / "compat.h"
    text = compat.read_text(encoding="utf-8")

    def breaks(kernel: Kernel) -> bool:
        try:
            return bool(module.warnings(kernel, source))
        except HarnessError as error:
            assert f"building the module for {kernel.release} failed" in str(error)
            return True

    assert not any(breaks(kernel) for kernel in found.values())
    likely = ROWS[0]
    spare = []
    for definition in definitions(text):
        compat.write_text(without(text, definition), encoding="utf-8")
        # What comes next is often for the same kernel.
        order = sorted(ROWS, key=lambda name: name != likely)
        row = next((name for name in order if breaks(found[name])), None)
        print(f"{row or 'none'}: {definition[0].splitlines()[0]}")
        likely = row or likely
        if row is None:
            spare.append(definition[0].strip())
    assert spare == list(SPARE)
