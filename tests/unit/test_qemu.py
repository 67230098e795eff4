# SPDX-License-Identifier: MIT
"""QEMU's command line, and that its process is never left behind. A small program stands in for QEMU."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from harness import boards, console, qemu, target
from harness.errors import HarnessError
from harness.paths import REPO
from harness.qemu import (
    AccessPoint,
    Coprocessor,
    Machine,
    MachineConfig,
    SocketNetwork,
    TapNetwork,
    UserNetwork,
    arguments,
    kernel_command_line,
)
from harness.qmp import MonitorError
from tests.unit.processes import ends

FAKE = Path(__file__).with_name("fake_qemu.py")


@pytest.fixture
def config(tmp_path: Path) -> MachineConfig:
    kernel, dtb, initrd = (tmp_path / name for name in ("vmlinuz", "board.dtb", "initrd"))
    for path in (kernel, initrd):
        path.touch()
    subprocess.run(["dtc", "-q", "-o", str(dtb)], input=b"/dts-v1/; / { };", check=True)
    return MachineConfig(boards.load(), kernel, dtb, initrd)


def with_fake(config: MachineConfig, mode: str) -> MachineConfig:
    return dataclasses.replace(config, extra=("-fake", mode))


def value_of(words: list[str], option: str) -> list[str]:
    return [words[n + 1] for n, word in enumerate(words) if word == option]


def build(config: MachineConfig) -> list[str]:
    return arguments(config, ("-serial", "stdio"), ("-qmp", "none"), Path("run"))


def test_board_decides_machine_and_console(config: MachineConfig) -> None:
    words = build(config)
    assert value_of(words, "-machine") == ["imx8mp-evk"]
    assert value_of(words, "-smp") == ["2"]
    assert value_of(words, "-serial") == ["null", "stdio"], "the console is the second UART"
    assert "console=ttymxc1,115200" in value_of(words, "-append")[0].split()
    assert "-no-reboot" in words


def test_coprocessor_is_wired_as_the_board_says(config: MachineConfig) -> None:
    (device,) = value_of(build(config), "-device")
    assert device == (
        "esp-hosted,id=esp0,spi=/machine/soc/spi2,cs-gpio=/machine/soc/gpio5:13,"
        "handshake-gpio=/machine/soc/gpio3:20,data-ready-gpio=/machine/soc/gpio3:21,"
        "reset-gpio=/machine/soc/gpio3:22"
    )


def test_options_of_devices_and_networks(config: MachineConfig) -> None:
    config = dataclasses.replace(
        config,
        coprocessors=(Coprocessor("esp0", {"chip": "esp32c3", "turnaround-ns": 5000}),),
        access_points=(
            AccessPoint("ap0", {"ssid": "a, b", "channel": 6}, network="net0"),
            AccessPoint("ap1", {"ssid": "other", "channel": 11}),
        ),
        networks={"net0": UserNetwork(), "net1": TapNetwork("tap7")},
        capture=True,
    )
    words = build(config)
    first, second, chip = value_of(words, "-device")
    assert first == "esp-hosted-ap,id=ap0,netdev=net0,ssid=a,, b,channel=6"
    assert second == "esp-hosted-ap,id=ap1,ssid=other,channel=11"
    assert chip.endswith(",chip=esp32c3,turnaround-ns=5000")
    assert value_of(words, "-netdev") == ["user,id=net0", "tap,id=net1,ifname=tap7,script=no,downscript=no"]
    assert value_of(words, "-object") == [
        "filter-dump,id=dump-net0,netdev=net0,file=run/net0.pcap",
        "filter-dump,id=dump-net1,netdev=net1,file=run/net1.pcap",
    ]


def test_socket_network() -> None:
    option = SocketNetwork("127.0.0.1:4000", "127.0.0.1:4001").option("n")
    assert option == (
        "dgram,id=n,local.type=inet,local.host=127.0.0.1,local.port=4000,"
        "remote.type=inet,remote.host=127.0.0.1,remote.port=4001"
    )
    with pytest.raises(HarnessError, match="not an address"):
        SocketNetwork("4000", "127.0.0.1:1").option("n")


def test_deterministic_run_has_one_cpu(config: MachineConfig) -> None:
    words = build(dataclasses.replace(config, icount="shift=0,sleep=off"))
    assert value_of(words, "-icount") == ["shift=0,sleep=off"] and value_of(words, "-smp") == ["1"]


def test_debugger_is_waited_for(config: MachineConfig) -> None:
    config = dataclasses.replace(config, gdb_port=1234)
    words = build(config)
    assert value_of(words, "-gdb") == ["tcp:127.0.0.1:1234"] and "-S" in words
    assert "nokaslr" in kernel_command_line(config).split()


def test_real_board_is_refused(config: MachineConfig) -> None:
    board = dataclasses.replace(config.board, name="pi", qemu=None)
    with pytest.raises(HarnessError, match="pi is real hardware"):
        build(dataclasses.replace(config, board=board))
    with pytest.raises(HarnessError, match="how a co-processor is wired"):
        Coprocessor("esp0").option(dataclasses.replace(config.board, wiring=None))


def test_missing_file_is_named(config: MachineConfig, tmp_path: Path) -> None:
    config.initrd.unlink()
    with pytest.raises(HarnessError, match="initrd does not exist"):
        Machine(config, FAKE, tmp_path / "run")


def test_emulator_of_ones_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(qemu.OVERRIDE, str(FAKE))
    assert qemu.emulator(tmp_path) == FAKE
    monkeypatch.setenv(qemu.OVERRIDE, str(tmp_path / "none"))
    with pytest.raises(HarnessError, match="is not a program"):
        qemu.emulator()
    monkeypatch.delenv(qemu.OVERRIDE)
    assert qemu.emulator(FAKE) == FAKE


def test_early_death_shows_qemus_words(config: MachineConfig, tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match=r"exit status 1.*\n.*wiring: no such path"):
        Machine(with_fake(config, "die"), FAKE, tmp_path / "run")


def test_monitor(config: MachineConfig, tmp_path: Path) -> None:
    with Machine(config, FAKE, tmp_path / "run") as machine:
        assert machine.running()
        assert machine.monitor.qom_get("/x", "state") == "running"
        machine.monitor.qom_set("/x", "state", "reset")
        assert machine.monitor.qom_get("/x", "state") == "reset"
        with pytest.raises(MonitorError, match=r"refused qom-get.*'nothing' not found"):
            machine.monitor.qom_get("/x", "nothing")
    assert not machine.running()
    machine.stop()


def test_script_repeats_the_run(config: MachineConfig, tmp_path: Path) -> None:
    with Machine(config, FAKE, tmp_path / "run") as machine:
        script = (machine.run_dir / "cmdline.sh").read_text()
    assert script.startswith("#!/bin/sh\n") and "esp-hosted,id=esp0" in script and "mon:stdio" in script
    words = subprocess.run(
        ["sh", "-c", script.replace("exec ", "printf '%s\\n' ", 1)],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    seeded = dataclasses.replace(config, dtb=machine.run_dir / "board.dtb")
    assert words == [str(FAKE), *qemu.interactive(seeded, Path())]


def test_devicetree_has_a_seed(config: MachineConfig, tmp_path: Path) -> None:
    seeded = qemu.with_seed(config, tmp_path / "run")
    found = subprocess.run(
        ["fdtget", "-t", "bx", str(seeded.dtb), "/chosen", "rng-seed"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert len(found.stdout.split()) == qemu.SEED_BYTES
    config.dtb.write_bytes(b"")
    with pytest.raises(HarnessError, match="is not a devicetree"):
        qemu.with_seed(config, tmp_path / "run")


def test_machine_that_does_not_end_is_killed(
    config: MachineConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(qemu, "EXIT_SECONDS", 0.2)
    machine = Machine(with_fake(config, "deaf"), FAKE, tmp_path / "run")
    machine.monitor._timeout = 0.2
    machine.stop()
    assert not machine.running()


def test_killed_parent_leaves_no_machine(config: MachineConfig, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from harness import boards, qemu\n"
        "p = [Path(a) for a in sys.argv[1:]]\n"
        "m = qemu.Machine(qemu.MachineConfig(boards.load(), *p[:3], extra=('-fake', 'deaf')), p[3], p[4])\n"
        "print(m.pid, flush=True); sys.stdin.read()\n"
    )
    paths = [str(path) for path in (config.kernel, config.dtb, config.initrd, FAKE, tmp_path / "run")]
    parent = subprocess.Popen(
        [sys.executable, "-c", code, *paths],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=REPO,
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    assert Path(f"/proc/{child}").exists()
    parent.send_signal(signal.SIGKILL)
    parent.communicate()
    assert ends(child)


def test_boot_to_a_shell(config: MachineConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("dmesg", "stty"):
        (tools / name).write_text("#!/bin/sh\n")
        (tools / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    monkeypatch.setattr(
        console, "FUNCTIONS", console.FUNCTIONS.replace("/run/harness", str(tmp_path / "guest"))
    )
    guest = target.boot(with_fake(config, "shell"), FAKE, tmp_path / "run")
    assert guest.run(["echo", "hello"]).stdout == "hello\n" and guest.usable()
    guest.close()
    assert not guest.usable() and not guest.machine.running()


def test_boot_that_ends_early_says_so(
    config: MachineConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(target, "SYSRQ_SECONDS", 0.1)
    with pytest.raises(HarnessError, match="no answer within 0 s to: boot"):
        target.boot(config, FAKE, tmp_path / "run", boot_timeout=0.3)


def test_old_runs_are_deleted(tmp_path: Path) -> None:
    for n in range(5):
        (tmp_path / f"run{n}").mkdir()
        os.utime(tmp_path / f"run{n}", (n, n))
    (tmp_path / "latest").symlink_to("run4")
    qemu.prune_runs(tmp_path, keep=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["latest", "run3", "run4"]
