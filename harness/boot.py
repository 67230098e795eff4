# SPDX-License-Identifier: MIT
"""`./inv boot`: the guest on this terminal, under a debugger, or only as far as its shell."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
from pathlib import Path

from harness import paths, process, progress, qemu, scenario, target
from harness.coprocessor import Recordings
from harness.errors import HarnessError
from harness.prepare import Prepared, prepare
from harness.qemu import MachineConfig
from harness.wifi import MODULE

DISSECTOR = paths.REPO / "tools" / "wireshark" / "esp_hosted.lua"
TRY = f"""\
  modprobe {MODULE}                  load the driver: wlan0 appears once the co-processor has booted
  ip link set wlan0 up
  iw dev wlan0 scan                    what is in the air
  iw dev wlan0 connect {scenario.SSID}      associate
  udhcpc -i wlan0                      get an address; then: ping 10.0.2.2"""


def boot(
    kernel: str | None,
    board: str | None,
    *,
    shell: bool = False,
    gdb: bool = False,
    trace: Path | None = None,
) -> None:
    """Boot the guest. With `shell` its console is this terminal; with `gdb` QEMU also waits for a debugger.

    Without either, say how long the boot took and end it. With `trace` the co-processor records frames,
    lines and steps into that directory. HarnessError: it does not boot.
    """
    if shell and not sys.stdin.isatty():
        raise HarnessError("--shell needs a terminal", hint="for commands from a program use harness.target")
    prepared = prepare(kernel, board)
    run_dir = paths.run_dir()
    program = qemu.emulator(prepared.qemu)
    if trace:
        _make_directory(trace)
    if shell or gdb:
        config = scenario.machine(prepared, gdb_port=_free_port() if gdb else None, trace=trace)
        _interactive(config, prepared, program, run_dir)
        _say_recordings(trace)
        return
    with progress.step("boot", always=True) as step:
        guest = target.boot(scenario.machine(prepared, trace=trace), program, run_dir)
        step.result = guest.release()
    progress.say(f"ready after {guest.boot_seconds:.1f} s; ./inv boot --shell stays on the console")
    progress.say(f"console: {guest.machine.console_log}")
    guest.close()
    _say_recordings(trace)


def _make_directory(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise HarnessError(f"--trace {path}: {error.strerror}", hint="name a directory to write to") from None


def _say_recordings(trace: Path | None) -> None:
    if trace is None:
        return
    files = Recordings.in_directory(trace, "esp0")
    progress.say(f"frames: {files.pcapng}\nlines:  {files.vcd}\nsteps:  {files.trace}")
    progress.say(f"look at them: tshark -X lua_script:{DISSECTOR} -r {files.pcapng}; gtkwave {files.vcd}")


def _interactive(config: MachineConfig, prepared: Prepared, program: Path, run_dir: Path) -> None:
    config = qemu.with_seed(config, run_dir)
    progress.say(TRY)
    if config.gdb_port is not None:
        progress.say(
            "\n".join(
                ("", "QEMU waits for a debugger. In another terminal:", *gdb_commands(config, prepared))
            )
        )
    progress.say(f"\nLeave with Ctrl-A X (Ctrl-A C: QEMU's monitor). QMP: {run_dir / 'qmp.sock'}\n")
    command = [str(program), *qemu.interactive(config, run_dir)]
    # In our session and with our terminal: QEMU's mon:stdio passes Ctrl-C on to the guest.
    child = process.start(command, stdin=None, cwd=run_dir, own_session=False)
    try:
        status = child.wait()
    finally:
        process.stop(child)
        _restore_terminal()
    if status:
        raise HarnessError(f"QEMU ended with status {status}")


def gdb_commands(config: MachineConfig, prepared: Prepared) -> list[str]:
    """What to type to debug the kernel and the driver."""
    debugger = next((name for name in ("gdb-multiarch", "aarch64-linux-gnu-gdb") if shutil.which(name)), None)
    return [
        f"  {debugger or 'gdb-multiarch'} {prepared.module} -ex 'set architecture aarch64' "
        f"-ex 'target remote 127.0.0.1:{config.gdb_port}'",
        "and, once the driver is loaded, with the address that the guest shows:",
        f"  guest# cat /sys/module/{MODULE}/sections/.text",
        f"  (gdb) add-symbol-file {prepared.module} ADDRESS",
        *([] if debugger else ["  (no gdb for arm64 is installed: apt-get install gdb-multiarch)"]),
    ]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _restore_terminal() -> None:
    """QEMU that was killed leaves the terminal raw."""
    if sys.stdin.isatty() and shutil.which("stty"):
        subprocess.run(["stty", "sane"], check=False)
