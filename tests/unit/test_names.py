# SPDX-License-Identifier: MIT
"""Names and files a person can get wrong: kernels, boards, tasks, TOML."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from invoke.collection import Collection

import tasks
from harness import __main__, boards, kernels, settings
from harness.errors import HarnessError
from harness.kernels import Kernel


def kernel(directory: Path, config: str) -> Kernel:
    board = boards.load()
    (directory / board.dtb).parent.mkdir(parents=True)
    (directory / board.dtb).touch()
    (directory / "config").write_text(config)
    return Kernel(
        name="k",
        release="1.2.3",
        version="1",
        arch="arm64",
        image=directory,
        modules=directory,
        dtbs=directory,
        build=directory,
        config=directory / "config",
        symvers=directory,
        board=board.name,
    )


def enabled(*without: str) -> str:
    return "".join(
        f"CONFIG_{name}=m\n" if name not in without else f"# CONFIG_{name} is not set\n"
        for name in boards.load().requires
    )


def test_every_board_loads() -> None:
    for name in boards.names():
        assert boards.load(name).name == name


def test_every_row_has_a_board_and_a_provider() -> None:
    for name, row in kernels.table().kernel.items():
        assert row.board in boards.names(), name
        assert row.provider in kernels.PROVIDERS, name
    assert kernels.row(None)[0] == kernels.table().default


def test_words_of_a_row_reach_the_kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name, row = kernels.row(None)
    chosen = dataclasses.replace(row, append=("quiet",))
    monkeypatch.setattr(kernels, "row", lambda name: ("k", chosen))
    monkeypatch.setitem(kernels.PROVIDERS, row.provider, lambda name, row: kernel(tmp_path, ""))
    assert kernels.resolve(name).append == ("quiet",)


def test_unknown_kernel_lists_names() -> None:
    with pytest.raises(HarnessError) as caught:
        kernels.resolve("6.13")
    assert "6.13" in caught.value.message
    assert all(name in str(caught.value.hint) for name in kernels.table().kernel)


def test_unknown_board_lists_names() -> None:
    with pytest.raises(HarnessError) as caught:
        boards.load("imx9")
    assert "imx9" in caught.value.message
    assert all(name in str(caught.value.hint) for name in boards.names())


def test_kernel_without_spi_imx_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        HarnessError, match=r"1\.2\.3.* is built without SPI_IMX, which board imx8mp-evk needs"
    ):
        kernels.check(kernel(tmp_path, enabled("SPI_IMX")), boards.load())


def test_kernel_with_all_is_accepted(tmp_path: Path) -> None:
    kernels.check(kernel(tmp_path, enabled()), boards.load())


def test_kernel_of_another_architecture_is_refused(tmp_path: Path) -> None:
    other = dataclasses.replace(kernel(tmp_path, enabled()), arch="armhf")
    with pytest.raises(HarnessError, match="armhf"):
        kernels.check(other, boards.load())


def test_kernel_without_the_boards_dtb_is_refused(tmp_path: Path) -> None:
    found = kernel(tmp_path, enabled())
    (tmp_path / boards.load().dtb).unlink()
    with pytest.raises(HarnessError, match=r"has no freescale/imx8mp-evk\.dtb"):
        kernels.check(found, boards.load())


ROW = """default = '6'
[kernel.6]
provider = 'debian'
suite = 'x'
arch = 'arm64'
board = 'imx8mp-evk'
"""


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("default = \nkernel = 1", "line 1"),
        ("kernel = 3\ndefault = '6'", ":1: kernel is not a table"),
        ("default = '6'\n[kernel.6]\nprovider = 'debian'", ":3: kernel '6': .* needs the key 'suite'"),
        ("default = '6'\ncolour = 1\n[kernel]", ":2: unknown key 'colour'"),
        ("default = '7'\n[kernel]", ":1: there is no kernel '7'"),
        (f"once = 3\n{ROW}series = '6'", ":1: once is not a list"),
        (f"once = ['modle']\n{ROW}series = '6'", ":1: there is no test 'modle'.*model"),
        (f"{ROW}series = 6", r":2: kernel '6': series: 6 is a int, expected str"),
        (f"{ROW}serie = '6'", ":7: kernel '6': unknown key 'serie'.*did you mean series"),
        (f"{ROW}series = '6'\nfragments = []", ":8: kernel '6': key 'fragments' means nothing to provider"),
        (f"{ROW}series = '6'\ntags = ['stok']", ":8: kernel '6': tags: there is no 'stok'.*you mean stock"),
        (
            f"{ROW}series = '6'\nwithout = ['imx-dma']",
            ":8: kernel '6': .* no module 'imx-dma'.*you mean imx-sdma",
        ),
        (ROW.replace("imx8mp-evk", "imx9") + "series = '6'", ":6: kernel '6': board: there is no 'imx9'"),
        (ROW.replace("debian", "fedora"), ":3: kernel '6': there is no provider 'fedora'"),
    ],
)
def test_mistake_in_a_table_names_file_and_key(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "kernels.toml"
    path.write_text(text)
    with pytest.raises(HarnessError, match=rf"(?s)kernels\.toml.*{complaint}"):
        kernels.table(path)


def test_true_is_not_a_number() -> None:
    with pytest.raises(HarnessError, match="smp"):
        settings.build(
            boards.QemuMachine, {"machine": "m", "memory": "1G", "smp": True, "console_serial": 0}, "here"
        )


def test_unknown_task_lists_tasks(capsys: pytest.CaptureFixture[str]) -> None:
    assert __main__.main(["dmeo"]) == 2
    said = capsys.readouterr().err
    assert "dmeo" in said
    assert "demo, boot, test" in said


def test_unknown_option_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert __main__.main(["kernel", "--colour"]) == 2
    assert "--colour" in capsys.readouterr().err


def test_error_of_a_task_is_text(capsys: pytest.CaptureFixture[str]) -> None:
    assert __main__.main(["kernel", "--kernel", "none"]) == 1
    said = capsys.readouterr().err
    assert "error: there is no kernel 'none'" in said
    assert "Traceback" not in said


def test_list_names_every_task(capsys: pytest.CaptureFixture[str]) -> None:
    assert __main__.main(["--list"]) == 0
    shown = capsys.readouterr().out
    listed = {name for group in tasks.CONTENTS.values() for name in group}
    assert listed == set(Collection.from_module(tasks).task_names)
    assert all(f"  {name} " in shown for name in listed)
