# SPDX-License-Identifier: MIT
"""The virtual machine: QEMU's command line, its process, its monitor, and what is left behind of a run."""

from __future__ import annotations

import atexit
import os
import shlex
import shutil
import socket
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType

from harness import namespaces, process
from harness.boards import Board, Wiring
from harness.coprocessor import Coprocessor as RunningCoprocessor
from harness.errors import HarnessError
from harness.qmp import Monitor, MonitorError
from harness.scripting import Scripts

# A developer's own build of the emulator, instead of the one `./inv qemu` makes.
OVERRIDE = "ESP_HOSTED_QEMU"
EXIT_SECONDS = 10.0
SEED_BYTES = 64
# Buffer between QEMU and us. QEMU stops the guest's UART, and so the guest, while it is full.
CONSOLE_BUFFER = 4 << 20


@dataclass(frozen=True)
class UserNetwork:
    """QEMU's built-in network: the host is 10.0.2.2, needs no privilege."""

    def option(self, name: str) -> str:
        """The -netdev value."""
        return f"user,id={name}"


@dataclass(frozen=True)
class TapNetwork:
    """An existing tap device, of the host or of one of its network namespaces. Needs the right to open it."""

    interface: str
    namespace: str | None = None
    """QEMU runs in this network namespace."""

    def option(self, name: str) -> str:
        """The -netdev value."""
        return f"tap,id={name},ifname={self.interface},script=no,downscript=no"


@dataclass(frozen=True)
class SocketNetwork:
    """Frames in UDP datagrams between two addresses `host:port`: another QEMU, a program."""

    local: str
    remote: str

    def option(self, name: str) -> str:
        """The -netdev value."""
        local_host, local_port = _host_port(self.local)
        host, port = _host_port(self.remote)
        return (
            f"dgram,id={name},local.type=inet,local.host={local_host},local.port={local_port},"
            f"remote.type=inet,remote.host={host},remote.port={port}"
        )


Network = UserNetwork | TapNetwork | SocketNetwork


def _host_port(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise HarnessError(f"{address!r} is not an address", hint="write it as host:port")
    return host, int(port)


@dataclass(frozen=True)
class Device:
    """A device on QEMU's command line; `options` are its properties, names as QEMU spells them."""

    id: str
    options: dict[str, str | int] = field(default_factory=dict)

    def _arguments(self, driver: str, fixed: dict[str, str | int]) -> str:
        properties = {**fixed, **self.options}
        # QEMU's option syntax: a comma inside a value is doubled.
        values = (f"{name}={str(value).replace(',', ',,')}" for name, value in properties.items())
        return ",".join((driver, f"id={self.id}", *values))


@dataclass(frozen=True)
class Coprocessor(Device):
    """A virtual ESP32. `wiring` overrides the board's."""

    wiring: Wiring | None = None

    def option(self, board: Board) -> str:
        """The -device value."""
        wiring = self.wiring or board.wiring
        if wiring is None:
            raise HarnessError(
                f"board {board.name} does not say how a co-processor is wired",
                hint=f"add a [wiring] section to boards/{board.name}.toml",
            )
        return self._arguments(
            "esp-hosted",
            {
                "spi": wiring.spi,
                "cs-gpio": wiring.cs,
                "handshake-gpio": wiring.handshake,
                "data-ready-gpio": wiring.data_ready,
                "reset-gpio": wiring.reset,
            },
        )


@dataclass(frozen=True)
class AccessPoint(Device):
    """An access point in the air; with a `network`, what it bridges to."""

    network: str | None = None

    def option(self) -> str:
        """The -device value."""
        return self._arguments("esp-hosted-ap", {"netdev": self.network} if self.network else {})


@dataclass(frozen=True)
class MachineConfig:
    """Everything that decides what the machine is. Two equal ones start the same machine."""

    board: Board
    kernel: Path
    dtb: Path
    initrd: Path
    coprocessors: tuple[Coprocessor, ...] = (Coprocessor("esp0"),)
    access_points: tuple[AccessPoint, ...] = ()
    networks: dict[str, Network] = field(default_factory=dict)
    append: tuple[str, ...] = ()
    """Words added to the kernel's command line."""
    capture: bool = False
    """Write every network's frames to `<run directory>/<network>.pcap`."""
    icount: str | None = None
    """The value of -icount, for example "shift=0,sleep=off": the same run every time. Implies one CPU."""
    gdb_port: int | None = None
    """Wait for a debugger on this port of the host's loopback before the first instruction."""
    trace: tuple[str, ...] = ()
    """Patterns of QEMU trace events, written to qemu.log."""
    command_line: str | None = None
    """The kernel's whole command line, instead of the usual one: what a boot loader would pass."""
    extra: tuple[str, ...] = ()
    """Further QEMU arguments, at the end."""


def kernel_command_line(config: MachineConfig) -> str:
    """What the kernel is told: console, rdinit, time stamps in the log, SysRq by serial break."""
    if config.command_line is not None:
        return config.command_line
    words = [
        f"console={config.board.console},115200",
        "rdinit=/init",
        "printk.time=1",
        "sysrq_always_enabled",
        "no_console_suspend",
        *config.append,
    ]
    if config.gdb_port is not None:
        words.append("nokaslr")
    return " ".join(words)


def arguments(
    config: MachineConfig, console: Sequence[str], monitor: Sequence[str], run_dir: Path
) -> list[str]:
    """QEMU's arguments without the program: `console` and `monitor` say where these two go."""
    machine = config.board.qemu
    if machine is None:
        raise HarnessError(
            f"board {config.board.name} is real hardware; QEMU cannot boot it",
            hint='choose a board of kind "qemu" with --board',
        )
    result = [
        "-machine",
        machine.machine,
        "-m",
        machine.memory,
        "-smp",
        "1" if config.icount else str(machine.smp),
        "-display",
        "none",
        "-nodefaults",
        "-no-reboot",
        "-no-user-config",
        "-kernel",
        str(config.kernel),
        "-dtb",
        str(config.dtb),
        "-initrd",
        str(config.initrd),
        "-append",
        kernel_command_line(config),
    ]
    result += [word for _ in range(machine.console_serial) for word in ("-serial", "null")]
    result += [*console, *monitor]
    for name, network in config.networks.items():
        result += ["-netdev", network.option(name)]
        if config.capture:
            result += ["-object", f"filter-dump,id=dump-{name},netdev={name},file={run_dir / f'{name}.pcap'}"]
    for access_point in config.access_points:
        result += ["-device", access_point.option()]
    for coprocessor in config.coprocessors:
        result += ["-device", coprocessor.option(config.board)]
    if config.icount:
        # Random numbers are part of what has to be the same.
        result += ["-icount", config.icount, "-seed", "1"]
    if config.gdb_port is not None:
        result += ["-S", "-gdb", f"tcp:127.0.0.1:{config.gdb_port}"]
    for pattern in config.trace:
        result += ["-trace", pattern]
    return [*result, *config.extra]


def interactive(config: MachineConfig, run_dir: Path) -> list[str]:
    """The arguments for the same machine in a terminal; QMP on `qmp.sock` where it is started."""
    return arguments(config, ("-serial", "mon:stdio"), ("-qmp", "unix:qmp.sock,server=on,wait=off"), run_dir)


def with_seed(config: MachineConfig, run_dir: Path) -> MachineConfig:
    """The machine with a seed for random numbers in its devicetree, where a boot loader puts one.

    Without it the first program that asks for random numbers waits until the kernel has collected enough:
    half a minute on an emulated processor. QEMU replaces the bytes at each reset.
    """
    dtb = run_dir / "board.dtb"
    run_dir.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(config.dtb, dtb)
    seed = [f"{byte:x}" for byte in range(SEED_BYTES)]
    command = ["fdtput", "--type", "bx", "--auto-path", str(dtb), "/chosen", "rng-seed", *seed]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise HarnessError("fdtput is not installed", hint="apt-get install device-tree-compiler") from None
    if done.returncode:
        raise HarnessError(
            f"{config.dtb} is not a devicetree: {done.stderr.strip()}", hint="./inv dtb makes it"
        )
    return replace(config, dtb=dtb)


def prefix(config: MachineConfig) -> list[str]:
    """What has to stand before QEMU's name to run it in the namespace of its tap device."""
    spaces = {network.namespace for network in config.networks.values() if isinstance(network, TapNetwork)}
    if len(spaces) > 1:
        raise HarnessError(
            f"the tap devices are in different namespaces: {spaces}", hint="QEMU runs in one only"
        )
    space = next(iter(spaces), None)
    return namespaces.prefix(space) if space else []


def emulator(built: Path | None = None) -> Path:
    """The emulator to run: the one in the environment's ESP_HOSTED_QEMU, else `built`."""
    own = os.environ.get(OVERRIDE)
    if own:
        if not os.access(own, os.X_OK):
            raise HarnessError(
                f"{OVERRIDE}={own} is not a program",
                hint=f"unset {OVERRIDE} to use the one that ./inv qemu builds",
            )
        return Path(own)
    if built is None:
        raise HarnessError("no emulator was given", hint="build it with ./inv qemu")
    return built


class Machine:
    """A running QEMU. Use it as a context manager; it is never left running.

    `run_dir` gets console.log (all the guest ever printed), qemu.log (QEMU's own messages and traces),
    cmdline.sh (runs the same machine again, in a terminal) and a pcap a network if asked for.
    """

    def __init__(self, config: MachineConfig, program: Path, run_dir: Path) -> None:
        """Start QEMU and connect to its monitor; HarnessError with QEMU's last words if that fails."""
        self.config = config
        self.run_dir = run_dir
        run_dir.mkdir(parents=True, exist_ok=True)
        self.console_log = run_dir / "console.log"
        self.log = run_dir / "qemu.log"
        self.program = program
        self.started = time.monotonic()
        for path in (config.kernel, config.dtb, config.initrd, program):
            if not path.is_file():
                raise HarnessError(f"{path} does not exist", hint="./inv demo builds all that is missing")
        config = self.config = with_seed(config, run_dir)
        self._write_script()
        self.console, console_end = socket.socketpair()
        ours, monitor_end = socket.socketpair()
        self._second, second_end = socket.socketpair()
        self._scripts: Scripts | None = None
        for end in (self.console, console_end):
            for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
                end.setsockopt(socket.SOL_SOCKET, option, CONSOLE_BUFFER)
        # -nodefaults and explicit chardevs: nothing of this machine is shared with the terminal.
        command = [
            *prefix(config),
            str(program),
            *arguments(
                config,
                (
                    "-chardev",
                    f"socket,id=console,fd={console_end.fileno()},logfile={self.console_log}",
                    "-serial",
                    "chardev:console",
                ),
                (*_control("qmp", monitor_end), *_control("scripts", second_end)),
                run_dir,
            ),
        ]
        try:
            with self.log.open("wb") as log:
                self._process = process.start(
                    command,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    pass_fds=(console_end.fileno(), monitor_end.fileno(), second_end.fileno()),
                )
        except BaseException:
            self.console.close()
            self._second.close()
            ours.close()
            raise
        finally:
            console_end.close()
            monitor_end.close()
            second_end.close()
        try:
            self.monitor = Monitor(ours)
        except MonitorError as error:
            status = process.stop(self._process, grace=1.0)
            self.console.close()
            self._second.close()
            raise HarnessError(
                f"QEMU did not start (exit status {status}):\n{self.log_tail()}",
                hint=f"run it by hand: {self.run_dir / 'cmdline.sh'}",
                log=self.log,
            ) from error
        except BaseException:
            process.stop(self._process, grace=1.0)
            self.console.close()
            self._second.close()
            raise
        atexit.register(self.stop)

    def _write_script(self) -> None:
        words = [*prefix(self.config), str(self.program), *interactive(self.config, Path())]
        lines = " \\\n  ".join(shlex.join(pair) for pair in _pairs(words))
        script = self.run_dir / "cmdline.sh"
        script.write_text(
            "#!/bin/sh\n"
            "# This run's machine again, on this terminal. Leave with Ctrl-A X; Ctrl-A C is\n"
            "# QEMU's monitor.\n"
            f"exec {lines}\n",
            encoding="utf-8",
        )
        script.chmod(0o755)

    @property
    def pid(self) -> int:
        """QEMU's process id."""
        return self._process.pid

    def coprocessor(self, name: str) -> RunningCoprocessor:
        """One of its co-processors, by id."""
        return RunningCoprocessor(self.monitor, name, self._connect_scripts)

    def _connect_scripts(self) -> Scripts:
        """Handlers of firmware commands have a monitor of their own; it is connected when first asked for."""
        if self._scripts is None:
            self._scripts = Scripts(self._second)
        return self._scripts

    def running(self) -> bool:
        """True while the QEMU process lives."""
        return self._process.poll() is None

    def log_tail(self, lines: int = 12) -> str:
        """The end of what QEMU itself said."""
        with suppress(OSError):
            return "\n".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])
        return ""

    def pcap(self, network: str) -> Path:
        """Where the frames of a network are written."""
        return self.run_dir / f"{network}.pcap"

    def send_break(self) -> None:
        """A break on the guest's console line: Linux takes the next character as a SysRq command."""
        self.monitor.execute("chardev-send-break", id="console")

    def kill(self) -> None:
        """End QEMU as a power cut ends a board, and reap it."""
        self._process.kill()
        self._process.wait()
        self.stop()

    def stop(self) -> None:
        """End QEMU and reap it; may be called again."""
        atexit.unregister(self.stop)
        if self.running():
            with suppress(MonitorError):
                self.monitor.execute("quit")
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(EXIT_SECONDS)
        process.stop(self._process)
        if self._scripts is not None:
            self._scripts.close()
        self._second.close()
        self.monitor.close()
        self.console.close()

    def __enter__(self) -> Machine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _control(name: str, end: socket.socket) -> tuple[str, ...]:
    """A QMP monitor on a socket that QEMU inherits."""
    return ("-chardev", f"socket,id={name},fd={end.fileno()}", "-mon", f"chardev={name},mode=control")


def _pairs(words: Sequence[str]) -> list[list[str]]:
    """Options together with their values, for a script that a person can read."""
    result: list[list[str]] = []
    for word in words:
        if word.startswith("-") or not result:
            result.append([word])
        else:
            result[-1].append(word)
    return result


def prune_runs(root: Path, keep: int = 40) -> None:
    """Delete the oldest run directories beyond `keep`."""
    directories = sorted(
        (path for path in root.iterdir() if path.is_dir() and not path.is_symlink()),
        key=lambda path: path.stat().st_mtime,
    )
    for directory in directories[:-keep]:
        shutil.rmtree(directory, ignore_errors=True)
