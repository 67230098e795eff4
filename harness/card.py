# SPDX-License-Identifier: MIT
"""A machine of QEMU that starts from a card: kernel, initramfs, devicetree and overlays come out of the card.

This stands in for U-Boot: it follows the card's own extlinux.conf, and reads the file system as U-Boot does,
without looking at the journal. QEMU then gets what a boot loader would have loaded.
"""

from __future__ import annotations

import json
import shutil
import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from harness import commands, qemu
from harness.boards import Board
from harness.errors import HarnessError
from harness.qemu import Machine, MachineConfig
from harness.ssh import SshTarget

CONFIG = "/boot/extlinux/extlinux.conf"
# systemd and sshd on an emulated processor, beside others.
BOOT_SECONDS = 900.0
# Not the network behind the access point.
NETWORK = "10.0.3.0/24"


@dataclass(frozen=True)
class Entry:
    """What extlinux.conf says to start."""

    kernel: str
    initrd: str
    fdt: str
    overlays: tuple[str, ...]
    append: str


def parse(text: str) -> Entry:
    """The default entry of extlinux.conf. HarnessError: it has none that is complete."""
    default, label = "", ""
    entries: dict[str, dict[str, str]] = {}
    for line in text.splitlines():
        key, _, value = line.strip().partition(" ")
        match key.lower():
            case "default":
                default = value.strip()
            case "label":
                label = value.strip()
                entries[label] = {}
            case word if label:
                entries[label][word] = value.strip()
    chosen = entries.get(default) or next(iter(entries.values()), {})
    missing = [word for word in ("linux", "initrd", "fdt", "append") if word not in chosen]
    if missing:
        raise HarnessError(f"extlinux.conf: its default entry has no {', '.join(missing)}")
    overlays = tuple(chosen.get("fdtoverlays", "").split())
    return Entry(chosen["linux"], chosen["initrd"], chosen["fdt"], overlays, chosen["append"])


@dataclass
class Card:
    """A card as a file: one ext4 partition."""

    path: Path
    _offset: int = field(init=False)

    def __post_init__(self) -> None:
        listed = json.loads(commands.output(["sfdisk", "--json", self.path], what="reading the card"))
        self._offset = int(listed["partitiontable"]["partitions"][0]["start"]) * 512

    def extract(self, name: str, target: Path) -> Path:
        """Copy a file out of the card, links followed. HarnessError: it is not there."""
        target.unlink(missing_ok=True)
        disk = f"{self.path}?offset={self._offset}"
        commands.run(["debugfs", "-R", f"dump {name} {target}", disk], log="card", check=False)
        if not target.exists() or not target.stat().st_size:
            raise HarnessError(f"the card has no {name}", log=commands.log_path("card"))
        return target

    def load(self, directory: Path) -> tuple[Path, Path, Path, str]:
        """What a boot loader would load: kernel, initramfs, devicetree with overlays, command line."""
        directory.mkdir(parents=True, exist_ok=True)
        entry = parse(self.extract(CONFIG, directory / "extlinux.conf").read_text(encoding="utf-8"))
        base = self.extract(entry.fdt, directory / "base.dtb")
        dtb = directory / "board.dtb"
        if entry.overlays:
            overlays = [
                self.extract(name, directory / f"{number}.dtbo") for number, name in enumerate(entry.overlays)
            ]
            commands.run(
                ["fdtoverlay", "-i", base, "-o", dtb, *overlays], log="card", what="applying overlays"
            )
        else:
            shutil.copyfile(base, dtb)
        kernel = self.extract(entry.kernel, directory / "kernel")
        return kernel, self.extract(entry.initrd, directory / "initrd"), dtb, entry.append


def free_port() -> int:
    """A port of the host's loopback that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _drain(console: socket.socket) -> None:
    with suppress(OSError):
        while console.recv(1 << 16):
            pass


class CardMachine:
    """QEMU with a card in its slot and SSH at a port of the host's loopback."""

    def __init__(
        self,
        base: MachineConfig,
        board: Board,
        card: Card,
        program: Path,
        run_dir: Path,
        identity: Path,
        user: str,
    ) -> None:
        """`base` gives co-processors, access points and networks."""
        self.card = card
        self.boots = 0
        self._base, self._board, self._program = base, board, program
        self._run_dir, self._identity, self._user = run_dir, identity, user
        self.port = free_port()
        self.machine: Machine | None = None
        self.ssh: SshTarget | None = None
        self.seconds: dict[str, float] = {}

    def start(self) -> None:
        """Load from the card and start; the guest boots meanwhile."""
        self.boots += 1
        place = self._run_dir / f"boot-{self.boots}"
        kernel, initrd, dtb, append = self.card.load(place / "card")
        assert self._board.qemu and self._board.qemu.card is not None
        extra = (
            "-drive", f"if=sd,bus={self._board.qemu.card},unit=0,format=raw,file={self.card.path}",
            "-nic", f"user,net={NETWORK},hostfwd=tcp:127.0.0.1:{self.port}-:22",
        )  # fmt: skip
        config = replace(
            self._base,
            board=self._board,
            kernel=kernel,
            initrd=initrd,
            dtb=dtb,
            command_line=append,
            extra=extra,
        )
        self.machine = Machine(config, qemu.emulator(self._program), place)
        # QEMU stops the guest while nobody takes what it prints; all of it is in console.log.
        threading.Thread(target=_drain, args=(self.machine.console,), daemon=True).start()

    def connect(self, timeout: float = BOOT_SECONDS) -> SshTarget:
        """Wait until sshd lets us in. HarnessError with the console's end if it does not."""
        assert self.machine
        end = time.monotonic() + timeout
        options = ("StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR")
        while True:
            try:
                self.ssh = SshTarget(
                    f"{self._user}@127.0.0.1:{self.port}", identity=self._identity, options=options
                )
            except HarnessError as error:
                if time.monotonic() > end or not self.machine.running():
                    log = self.machine.console_log
                    tail = log.read_text(errors="replace")[-3000:] if log.exists() else ""
                    raise HarnessError(
                        f"no SSH within {timeout:g} s: {error.message}\n{tail}", log=log
                    ) from error
                # sshd cannot tell us when it begins to listen.
                time.sleep(1)
                continue
            self.ssh.log = self.machine.run_dir / "commands.log"
            # sshd is there before udev has loaded all drivers.
            self.ssh.run(
                "systemctl is-system-running --wait; udevadm settle --timeout=300",
                timeout=BOOT_SECONDS,
                check=False,
            )
            self.seconds[f"boot {self.boots}"] = time.monotonic() - self.machine.started
            return self.ssh

    def boot(self) -> SshTarget:
        """`start` and `connect`."""
        self.start()
        return self.connect()

    def restart(self) -> SshTarget:
        """An orderly restart, through the boot loader's stand-in."""
        assert self.ssh and self.machine
        with suppress(HarnessError):
            self.ssh.run("systemctl reboot", check=False)
        self.ssh.close()
        self.ssh = None
        end = time.monotonic() + BOOT_SECONDS
        # QEMU ends at a reset: -no-reboot.
        while self.machine.running():
            if time.monotonic() > end:
                raise HarnessError("the guest does not shut down", log=self.machine.console_log)
            time.sleep(0.2)
        self.machine.stop()
        return self.boot()

    def cut_power(self) -> None:
        """QEMU ends in the middle of whatever it does."""
        assert self.machine
        self.machine.kill()
        if self.ssh:
            self.ssh.close()
            self.ssh = None

    def close(self) -> None:
        """End the connection and QEMU."""
        if self.ssh:
            self.ssh.close()
        if self.machine:
            self.machine.stop()
