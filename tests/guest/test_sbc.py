# SPDX-License-Identifier: MIT
"""A board computer without hardware: image built, flashed, booted, deployed to over SSH, tested, taken back.

The machine has an SD card, a distribution's userland with sshd, and a network besides wlan0. QEMU gets
kernel, initramfs and devicetree out of the card, as its own extlinux.conf says: `harness/card.py` stands in
for a boot loader.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import junitparser
import pytest

from harness import (
    boardkernel,
    boards,
    deploy,
    diagnosis,
    doctor,
    flash,
    image,
    paths,
    scenario,
    ssh,
)
from harness.card import Card, CardMachine
from harness.errors import HarnessError
from harness.image import USER
from harness.prepare import Prepared, prepare
from harness.target import Target
from harness.wifi import Wifi

BOARD = "qemu-sbc"
# QEMU's cards have a power of two as their size.
CARD_BYTES = 4 << 30
OPTIONS = "StrictHostKeyChecking=no UserKnownHostsFile=/dev/null LogLevel=ERROR"
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def sbc() -> Prepared:
    """What the machine needs besides its card."""
    return prepare(None, BOARD)


@pytest.fixture(scope="module")
def identity() -> Path:
    """A key that stays, so that the image does."""
    key = paths.cache_root() / "sbc" / "id_ed25519"
    if not key.exists():
        key.parent.mkdir(exist_ok=True)
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "sbc", "-f", key], check=True)
    return key


def flashed(identity: Path, place: Path, *, driver: bool) -> Card:
    """A card with the image on it."""
    keys = image.authorized(identity.with_suffix(".pub"))
    built = image.build(boards.load(BOARD), image.Settings("sbc", keys, driver))
    card = place / "card.img"
    with card.open("wb") as stream:
        stream.truncate(CARD_BYTES)
    flash.run(built, card, yes=True)
    return Card(card)


@contextlib.contextmanager
def machine(sbc: Prepared, card: Card, identity: Path, name: str) -> Iterator[CardMachine]:
    found = CardMachine(
        scenario.machine(sbc), sbc.board, card, sbc.qemu, paths.run_dir() / name, identity, USER
    )
    try:
        yield found
    finally:
        found.close()
        print({title: round(seconds) for title, seconds in found.seconds.items()})


def inventory(target: Target) -> list[str]:
    """Everything that a deploy may touch: path, mode, size, and the sums of what is small."""
    listed = target.run(
        "find /boot /usr/lib/modules /usr/lib/firmware /var/lib/esp-hosted /etc/default -xdev "
        "-printf '%p %y %m %s\\n' 2>/dev/null | sort; "
        "cd /usr/lib/modules/* && sha256sum /boot/extlinux/extlinux.conf modules.dep modules.alias",
        timeout=120,
        check=False,
    ).lines()
    # A directory's size does not go back.
    return [line.rpartition(" ")[0] if " d " in line else line for line in listed]


def connected(target: Target) -> Wifi:
    wifi = Wifi(target)
    wifi.wait_interface()
    wifi.up()
    wifi.connect(scenario.SSID)
    return wifi


def test_an_image_with_the_driver_has_wlan0_at_its_first_start(
    sbc: Prepared, identity: Path, tmp_path: Path
) -> None:
    with machine(sbc, flashed(identity, tmp_path, driver=True), identity, "sbc-image") as sbc_machine:
        board = sbc_machine.boot()
        assert Wifi(board).wait_interface() == "wlan0"
        text, good = deploy.report(board)
        assert good and "esp_hosted" in text and "firmware" in text
        networks = {one.ssid for one in Wifi(board).scan()} if connected(board) else set()
        assert scenario.SSID in networks


def test_deployed_interrupted_finished_tested_upgraded_and_taken_back(
    sbc: Prepared,
    identity: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    chosen = boards.load(BOARD)
    monkeypatch.setenv(ssh.OPTIONS_VARIABLE, OPTIONS)
    with machine(sbc, flashed(identity, tmp_path, driver=False), identity, "sbc") as sbc_machine:
        host = f"{USER}@127.0.0.1:{sbc_machine.port}"
        board = sbc_machine.boot()
        # The first start: the file system has grown to the card, and there is no driver.
        size = int(board.run(["df", "--output=size", "-B1", "/"]).lines()[-1])
        assert size > 3.5 * (1 << 30)
        assert not doctor.board(host, identity)
        assert "missing overlay" in capsys.readouterr().out
        before = inventory(board)

        # A dry run shows every change and makes none.
        planned = deploy.plan(board, chosen)
        shown = planned.show()
        assert "cross-compiled with Debian's headers" in shown
        assert (
            "+\tfdtoverlays /boot/dtbo/esp-hosted.dtbo" in shown
            and "esp_hosted.ko: (no such file) ->" in shown
        )
        assert deploy.run(BOARD, host, dry_run=True, identity=identity)
        assert inventory(board) == before

        # The power goes when the boot configuration has just been replaced.
        cut_in_the_middle(sbc_machine, board, planned)
        board = sbc_machine.boot()
        # It boots. What was interrupted is seen, and finished by doing it again.
        assert deploy._state(board) == "partial"
        again = deploy.plan(board, chosen)
        deploy.apply(board, again)
        assert deploy._state(board) == "applied"
        assert deploy.plan(board, chosen).empty
        board = sbc_machine.restart()
        text, good = deploy.report(board)
        assert good and "ESP32" in text, text
        assert diagnosis.render(diagnosis.collect(board)).startswith("nothing is wrong")
        wifi = connected(board)
        wifi.disconnect()

        # The same tests as in a guest.
        run_suite(host, identity, tmp_path)

        # Another module: no restart is needed.
        other = boardkernel.Built(sbc.module.read_bytes(), "with its debugging information")
        monkeypatch.setattr(boardkernel, "build", lambda *_, **__: other)
        upgrade = deploy.plan(board, chosen)
        assert not upgrade.restart and not upgrade.empty
        deploy.apply(board, upgrade)
        assert deploy.reload(board)
        text, good = deploy.report(board)
        assert good, text
        installed = board.run(["sha256sum", upgrade.changes[0].path]).stdout.split()[0]
        assert installed == deploy._digest(other.content)

        # Back: as if nothing had ever been there.
        assert deploy.run(BOARD, host, back=True, identity=identity)
        assert inventory(board) == before
        with pytest.raises(HarnessError, match="nothing was deployed"):
            deploy.rollback(board, chosen)
        board = sbc_machine.restart()
        assert inventory(board) == before
        assert not diagnosis.collect(board).nodes

        # What is wrong is said in one sentence.
        board.run("mount --bind /boot /boot && mount -o remount,ro,bind /boot")
        with pytest.raises(HarnessError, match="/boot on the board is mounted read-only"):
            deploy.plan(board, chosen)
        with pytest.raises(HarnessError, match="does not accept this key"):
            stranger = tmp_path / "stranger"
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", stranger], check=True)
            ssh.SshTarget(host, identity=stranger)


def cut_in_the_middle(sbc_machine: CardMachine, board: Target, planned: deploy.Plan) -> None:
    """QEMU is killed right after the last file, the boot configuration, took its place."""
    # On the board mv is a program of ours that says when that is, and then waits for its end.
    config = planned.changes[-1].path
    script = f'#!/bin/sh\n/usr/bin/mv "$@"\ncase "$*" in *{config}) : >/run/cut; sleep 1000;; esac\n'
    board.run("mkdir -p /tmp/shim")
    board.write_file("/tmp/shim/mv", script, 0o755)
    run = board.run

    def interrupted(command: object, **options: object) -> object:
        if isinstance(command, list) and command[-1] == "apply":
            job = board.spawn(f"PATH=/tmp/shim:$PATH {' '.join(command)}")
            run("until [ -e /run/cut ]; do sleep 0.05; done", timeout=120)
            assert job.running()
            sbc_machine.cut_power()
            raise PowerCutError
        return run(command, **options)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch, pytest.raises(PowerCutError):
        patch.setattr(board, "run", interrupted)
        deploy.apply(board, planned)


class PowerCutError(Exception):
    """There is no board any more."""


def run_suite(host: str, identity: Path, place: Path) -> None:
    """`./inv test --board qemu-sbc --host ...`, part of it."""
    junit = place / "junit.xml"
    files = [f"tests/guest/test_{name}.py" for name in ("interface", "everyday_commands", "lifecycle")]
    options = [f"--host={host}", f"--identity={identity}", f"--junitxml={junit}"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *files],
        cwd=paths.REPO,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, ssh.OPTIONS_VARIABLE: OPTIONS},
    )
    assert done.returncode == 0, done.stdout[-6000:]
    suite = junitparser.JUnitXml.fromfile(str(junit))
    cases = [case for part in suite for case in part]
    skipped = [one.message for case in cases for one in case.result if isinstance(one, junitparser.Skipped)]
    print(f"over SSH: {len(cases) - len(skipped)} passed, {len(skipped)} skipped")
    assert len(cases) - len(skipped) >= 10
    assert all(message and "not on a board: " in message for message in skipped), skipped
