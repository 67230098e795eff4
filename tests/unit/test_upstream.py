# SPDX-License-Identifier: MIT
"""The patch series for a kernel tree: what is in it, that it applies, and (--slow) that it compiles there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import decompat, export, hostdeps, kernelbuild, kernels, lint, module, paths
from harness.errors import HarnessError

NEWEST = (7, 3)
CONFIG = """\
CONFIG_64BIT=y
CONFIG_BT=m
CONFIG_CFG80211=m
CONFIG_DEBUG_FS=y
CONFIG_ESP_HOSTED=m
CONFIG_ESP_HOSTED_BT=y
CONFIG_ESP_HOSTED_KUNIT_TEST=m
CONFIG_ESP_HOSTED_UPDATE=y
CONFIG_GPIOLIB=y
CONFIG_INET=y
CONFIG_KUNIT=m
CONFIG_MODULES=y
CONFIG_NET=y
CONFIG_NETDEVICES=y
CONFIG_OF=y
CONFIG_SPI=y
CONFIG_WIRELESS=y
CONFIG_WLAN=y
CONFIG_WLAN_VENDOR_ESPRESSIF=y
"""


@pytest.fixture(scope="module")
def patches(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Path]]:
    """The series, by somebody whom git knows."""
    place = tmp_path_factory.mktemp("series")
    identity = place / "gitconfig"
    identity.write_text("[user]\n\tname = Jane Doe\n\temail = jane@example.org\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GIT_CONFIG_GLOBAL", str(identity))
        yield export.series(place / "out")


def test_sources_for_a_tree_are_complete() -> None:
    found = export.sources(NEWEST)
    assert set(found) >= {"Kconfig", "Makefile", "main.c", "esp_hosted.h", "tests/esp_hosted_frame_test.c"}
    assert not {"compat.h", "compat.c", "Kbuild", "dkms.conf"} & set(found)
    for name, text in found.items():
        assert "LINUX_VERSION_CODE" not in text and "ESP_KERNEL" not in text, name
        for included in re.findall(r'^#include "([^"]+)"', text, re.MULTILINE):
            beside = str((Path("/") / name).parent.joinpath(included).resolve()).lstrip("/")
            assert beside in found or included == "trace.h", f"{name} includes {included}"
    # Each object that the Makefile names has its source, and nothing of the out-of-tree build stays.
    objects = re.findall(r"\b([\w/]+)\.o\b(?! :=)", found["Makefile"].replace("CFLAGS_main.o", ""))
    assert {f"{one}.c" for one in objects if one != "esp_hosted"} <= set(found)
    assert "KBUILD_EXTMOD" not in found["Makefile"] and "$(shell" not in found["Makefile"]


def test_series_applies_and_touches_nothing_else(patches: list[Path], tmp_path: Path) -> None:
    assert [path.name[:4] for path in patches] == ["0000", "0001", "0002", "0003"]
    assert "Subject: [PATCH 0/3] wifi: Add driver for Espressif" in patches[0].read_text()
    tree = tmp_path / "linux"
    shutil.copytree(export._base(export.source()), tree)
    before = {name: (tree / name).read_text() for name in export.TOUCHED}
    for patch in patches[1:]:
        text = patch.read_text()
        assert "Signed-off-by: Jane Doe <jane@example.org>\n" in text
        subprocess.run(["git", "apply", "--whitespace=error-all", patch], cwd=tree, check=True)
    found = {str(path.relative_to(tree)) for path in tree.rglob("*") if path.is_file()}
    own = {name for name in found if name.startswith(export.PLACE)}
    assert found == {*export.TOUCHED, export.BINDING, *own}
    # What was there is still there, in the same order.
    for name, text in before.items():
        left = iter((tree / name).read_text().splitlines())
        assert all(line in left for line in text.splitlines()), name
    maintainers = (tree / "MAINTAINERS").read_text()
    assert maintainers.count(export.TITLE) == 1
    entry = maintainers.partition(f"{export.TITLE}\n")[2].partition("\n\n")[0]
    for line in entry.splitlines():
        if line.startswith("F:\t"):
            assert (tree / line[3:]).exists()
    titles = [line for line, after in re.findall(r"\n\n([A-Z0-9][^\n]*)\n([A-Z]):\t", maintainers) if after]
    at = titles.index(export.TITLE)
    assert titles[at - 1].upper() < export.TITLE < titles[at + 1].upper()


def test_checkpatch_has_nothing_to_say_of_the_patches(patches: list[Path]) -> None:
    script = lint._scripts(None) / lint.CHECKPATCH[0]
    done = subprocess.run(
        ["perl", script, "--no-tree", "--strict", "--terse", "--show-types", "--no-summary", *patches[1:]],
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [line for line in done.stdout.splitlines() if line.strip()]
    assert not lines, "\n".join(lines)


def test_a_second_series_does_not_overwrite_the_first(patches: list[Path]) -> None:
    with pytest.raises(HarnessError, match="has patches already"):
        export.series(patches[0].parent)


def test_without_an_identity_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", "/dev/null")
    monkeypatch.setenv("GIT_DIR", "/nonexistent")
    with pytest.raises(HarnessError, match="git does not know who you are"):
        export.series(tmp_path)
    assert not list(tmp_path.glob("*.patch"))


def test_what_cannot_be_left_out_is_reported_with_its_line() -> None:
    sources = {
        "compat.h": "#if ESP_KERNEL(6, 1)\nint esp_stays(void);\n#endif\n",
        "main.c": '#include "compat.h"\n',
    }
    with pytest.raises(HarnessError, match=r"compat\.h:2: code stays"):
        decompat.resolve(sources, NEWEST)
    # On an older kernel it is not there.
    assert decompat.resolve(sources, (5, 10))["main.c"] == "\n" * 1


def test_macros_are_written_out() -> None:
    compat = (
        "#if ESP_KERNEL(6, 14)\n#define ESP_OP(name) name\n#else\n#define ESP_OP(name) name##_old\n#endif\n"
    )
    main = '#include <linux/a.h>\n\n#include "compat.h"\n\nint x = ESP_OP(get); /* ESP_OP(get) */\n'
    found = decompat.resolve({"compat.h": compat, "main.c": main}, NEWEST)
    assert found == {"main.c": "#include <linux/a.h>\n\nint x = get; /* ESP_OP(get) */\n"}
    assert "get_old;" in decompat.resolve({"compat.h": compat, "main.c": main}, (6, 12))["main.c"]


@pytest.mark.slow
def test_series_compiles_in_the_newest_tree_without_a_warning(patches: list[Path], tmp_path: Path) -> None:
    hostdeps.require("kernelbuild")
    source = export.source()
    tree = paths.cache_root() / f"upstream-tree-{os.getpid()}"
    objects = tmp_path / "objects"
    subprocess.run(["cp", "--archive", "--link", kernelbuild.source_tree(source), tree], check=True)
    try:
        for patch in patches[1:]:
            # patch replaces files, so that the links to the source stay what they are.
            subprocess.run(["patch", "-p1", "--no-backup-if-mismatch", "-i", patch], cwd=tree, check=True)
        checked = subprocess.run(
            ["perl", "scripts/checkpatch.pl", "--strict", "--terse", "--no-summary", *patches[1:]],
            cwd=tree, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert not checked.stdout.strip(), checked.stdout
        tools = kernels.resolve("6.12").toolchain
        cross = f"CROSS_COMPILE={tools.prefix}"
        make: list[str | Path] = ["make", "-C", tree, f"O={objects}", "ARCH=arm64", cross]
        make.append(f"-j{os.cpu_count()}")
        objects.mkdir()
        (objects / "only").write_text(CONFIG)
        subprocess.run([*make, f"KCONFIG_ALLCONFIG={objects / 'only'}", "allnoconfig"], check=True)
        config = (objects / ".config").read_text()
        assert [line for line in CONFIG.splitlines() if line not in config.splitlines()] == []
        built = subprocess.run(
            [*make, "W=1", f"{export.PLACE}/"], capture_output=True, text=True, check=False
        )
        said = built.stdout + built.stderr
        assert built.returncode == 0, said[-4000:]
        ours = [line for line in said.splitlines() if "warning" in line.lower()]
        assert not ours, "\n".join(ours)
        names = {path.stem for path in (objects / export.DIRECTORY).rglob("*.o")}
        assert {path.stem for path in module.DRIVER.glob("*.c")} - {"compat"} <= names
        # As maintainers run it: the binding as a document, and its example.
        programs = str(Path(sys.executable).parent)
        checked = subprocess.run(
            [*make, f"DT_SCHEMA_FILES={Path(export.BINDING).name}", "dt_binding_check"],
            capture_output=True, text=True, check=False,
            env={**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"},
        )  # fmt: skip
        said = checked.stdout + checked.stderr
        assert checked.returncode == 0, said[-4000:]
        assert "esp-hosted" in said
        assert not [line for line in said.splitlines() if "esp-hosted" in line and "warning" in line.lower()]
        assert not re.search(r"espressif,esp-hosted\.(yaml|example)\S*: (?!\s*$)", said.replace("DTC", "")), (
            said
        )
    finally:
        shutil.rmtree(tree, ignore_errors=True)
