# SPDX-License-Identifier: MIT
"""compat.h: nothing in it that no kernel needs, nothing of it in a driver for the newest one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness import decompat, kernels, module
from harness.errors import HarnessError

NEWEST = (7, 3)
# A line, and the row that needs it. Any other would do: these are of different kinds.
NEEDED = {
    "#define cfg80211_register_netdevice register_netdevice": "5.10",
    "#define probe_peer probe_client": "6.1",
    "#define timer_shutdown_sync del_timer_sync": "5.10",
    "#define timer_container_of from_timer": "6.12",
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


@pytest.mark.slow
@pytest.mark.parametrize("line", NEEDED)
def test_without_a_line_a_row_of_the_matrix_does_not_compile(line: str, tmp_path: Path) -> None:
    source = tmp_path / "driver"
    module.mirror(module.DRIVER, source, module.IGNORED)
    compat = source / "compat.h"
    text = compat.read_text(encoding="utf-8")
    assert text.count(f"{line}\n") == 1
    kernel = kernels.resolve(NEEDED[line])
    assert module.build(kernel, source).exists()
    compat.write_text(text.replace(f"{line}\n", ""), encoding="utf-8")
    with pytest.raises(HarnessError, match=f"building the module for {re.escape(kernel.release)} failed"):
        module.build(kernel, source)
