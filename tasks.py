# SPDX-License-Identifier: MIT
"""The tasks of ./inv: one line of work each, everything else is in harness/."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from invoke.context import Context
from invoke.exceptions import Exit
from invoke.tasks import task

CONTENTS = {
    "See it work": ("demo", "boot"),
    "Test": ("test", "lint", "matrix", "fuzz"),
    "Build the parts (the tasks above do it by themselves)": ("qemu", "kernel", "module", "dtb", "rootfs"),
    "Kernels": ("kconfig",),
    "Real boards": ("image", "flash", "deploy", "package", "upstream", "wiring", "overlays", "flash-esp"),
    "This machine": ("doctor", "clean"),
}
_KERNEL = {"kernel": "row of kernels.toml"}
_HOST = {
    "host": "user@address of a board, or user@address:port",
    "identity": "private key for SSH, where it is not a usual one",
}
_BOARD = {"board": "file in boards/, without .toml"}


def _show(path: Path) -> None:
    print(path)


@task(help=_KERNEL | _BOARD)
def demo(c: Context, kernel: str = "", board: str = "") -> None:
    """Build what is missing, boot, associate, ping, run iperf3 both ways, print a summary."""
    from harness import demo as run

    if not run.demo(kernel or None, board or None):
        raise Exit(code=1)


@task(
    help=_KERNEL
    | _BOARD
    | {
        "shell": "an interactive console (Ctrl-A X ends QEMU)",
        "gdb": "wait for gdb before the first instruction",
        "trace": "directory for the co-processor's recordings: frames (pcapng), lines (VCD), steps (JSON)",
    }
)
def boot(
    c: Context, kernel: str = "", board: str = "", shell: bool = False, gdb: bool = False, trace: str = ""
) -> None:
    """Boot the guest; with --shell stay on its console."""
    from harness import boot as run

    run.boot(kernel or None, board or None, shell=shell, gdb=gdb, trace=Path(trace) if trace else None)


@task(
    name="test",
    help=_KERNEL
    | _BOARD
    | _HOST
    | {
        "unit": "only the tests that need no guest",
        "guest": "only the tests that boot a guest",
        "k": "pytest's -k: only tests whose names match",
        "labgrid": "labgrid environment file, instead of --host",
    },
)
def test(
    c: Context,
    unit: bool = False,
    guest: bool = False,
    k: str = "",
    kernel: str = "",
    board: str = "",
    host: str = "",
    identity: str = "",
    labgrid: str = "",
) -> None:
    """Run the tests: all, --unit or --guest, or with --host on a board; what follows -- goes to pytest."""
    from harness import boards, testing
    from harness.errors import HarnessError

    extra = [*(["-k", k] if k else []), *testing.after_dashes(sys.argv)]
    if host or labgrid:
        if not board:
            raise HarnessError("which board is it?", hint=f"--board, one of: {', '.join(boards.names())}")
        status = testing.run_on_board(board, host, identity, labgrid, extra)
    else:
        status = testing.run(unit=unit, guest=guest, kernel=kernel or None, arguments=extra)
    if status:
        raise Exit(code=status)


@task(help=_KERNEL | {"full": "also clang and coccicheck: minutes"})
def lint(c: Context, kernel: str = "", full: bool = False) -> None:
    """checkpatch --strict, W=1, sparse, kernel-doc, dtc, ruff, mypy, shellcheck: one line each."""
    from harness import lint as checks

    if not checks.run(kernel or None, full=full):
        raise Exit(code=1)


@task
def qemu(c: Context) -> None:
    """Build the emulator with the virtual co-processor in it; print its path."""
    from harness import emulator

    _show(emulator.build())


@task(help=_KERNEL | {"refresh": "look for a newer one"})
def kernel(c: Context, kernel: str = "", refresh: bool = False) -> None:
    """Fetch a kernel and its headers; print what it is and where."""
    from harness import kernels, pins

    if refresh:
        os.environ[pins.REFRESH_VARIABLE] = "1"
    found = kernels.resolve(kernel or None)
    for key, value in vars(found).items():
        print(f"{key:8} {value}")


@task(help=_KERNEL)
def module(c: Context, kernel: str = "") -> None:
    """Build esp_hosted.ko for a kernel, check that it fits; print its path."""
    from harness import kernels
    from harness import module as build

    _show(build.build(kernels.resolve(kernel or None)))


@task(help=_KERNEL | _BOARD)
def dtb(c: Context, kernel: str = "", board: str = "") -> None:
    """Merge the board's overlay into the kernel's devicetree; print its path."""
    from harness import boards, devicetree, kernels

    found = kernels.resolve(kernel or None)
    _show(devicetree.merge(found, boards.load(board or found.board)))


@task(
    iterable=["kernel"],
    help={
        "kernel": "only this row of kernels.toml (may be given several times)",
        "output": "directory for the report (default: this run's directory)",
    },
)
def overlays(c: Context, kernel: list[str], output: str = "") -> None:
    """Apply every board's overlay to every base DTB of the distribution's kernels and check the results."""
    from harness import overlays as checks

    if not checks.report(tuple(kernel), Path(output).resolve() if output else None):
        raise Exit(code=1)


@task(
    iterable=["kernel"],
    help={
        "kernel": "also a package with the module for this row of kernels.toml (may be given several times)",
        "output": "directory for the packages (default: in this run's directory)",
    },
)
def package(c: Context, kernel: list[str], output: str = "") -> None:
    """Build the Debian packages: source for DKMS with the overlays, modules for a kernel."""
    from harness import packages, paths

    packages.report(Path(output).resolve() if output else paths.run_dir(), tuple(kernel))


@task(
    help={
        "output": "directory for the patches (default: in this run's directory)",
        "kernel": "for the source of this row of kernels.toml (default: the newest)",
    }
)
def upstream(c: Context, output: str = "", kernel: str = "") -> None:
    """Write the driver, its binding and its build entries as a patch series for a kernel tree."""
    from harness import export, paths

    export.run(Path(output).resolve() if output else paths.run_dir() / "upstream", kernel)


@task(
    help=_BOARD
    | {
        "chip": "only this chip's pins: esp32, esp32c3, ...",
        "write": "bring docs/boards.md up to date with boards/",
    }
)
def wiring(c: Context, board: str = "rpi4", chip: str = "", write: bool = False) -> None:
    """Show which wire goes where between a board and a co-processor."""
    from harness import wiring as wires

    if write:
        wires.write()
    else:
        wires.show(board, chip)


@task(
    help=_BOARD
    | {
        "keys": "file with public SSH keys that may log in (default: this user's)",
        "hostname": "the board's name in the network (default: the board's)",
        "output": "file or directory (default: here)",
        "no-driver": "leave module and overlay out",
    }
)
def image(
    c: Context, board: str, keys: str = "", hostname: str = "", output: str = "", no_driver: bool = False
) -> None:
    """Build a disk image for a board: distribution, kernel, driver, overlay, first-boot settings."""
    from harness import image as make

    make.run(
        board,
        keys=Path(keys) if keys else None,
        hostname=hostname,
        output=Path(output).resolve() if output else None,
        driver=not no_driver,
    )


@task(
    help=_BOARD
    | _HOST
    | {
        "dry-run": "only show what would change",
        "rollback": "everything as it was before the first deploy",
        "reboot": "start the board again where that is needed, and wait for it",
        "untested": "also for a kernel newer than any that was tested",
    }
)
def deploy(
    c: Context,
    board: str,
    host: str,
    identity: str = "",
    dry_run: bool = False,
    rollback: bool = False,
    reboot: bool = False,
    untested: bool = False,
) -> None:
    """Bring module, overlay and boot configuration onto a board over SSH; --rollback takes them back."""
    from harness import deploy as run

    key = Path(identity) if identity else None
    good = run.run(
        board, host, dry_run=dry_run, back=rollback, reboot=reboot, untested=untested, identity=key
    )
    if not good:
        raise Exit(code=1)


@task(
    positional=["image"],
    help={
        "image": "disk image, may be .xz or .gz; IMAGE.bmap beside it is used",
        "device": "the card: /dev/sdb, /dev/mmcblk0, or an image file",
        "yes": "do not ask for the device's name",
        "not-removable": "also a device that cannot be taken out of this machine",
    },
)
def flash(c: Context, image: str, device: str, yes: bool = False, not_removable: bool = False) -> None:
    """Write a disk image to a card and read it back; what is in use is refused."""
    from harness import flash as run

    run.run(Path(image), Path(device), yes=yes, fixed=not_removable)


@task(
    name="flash-esp",
    help={
        "images": "directory with the unpacked firmware",
        "port": "serial port of the ESP32: /dev/ttyUSB0",
        "chip": "esp32, esp32c3, ...: refuse images for another one",
        "baud": "speed of the serial port",
        "dry-run": "only show what would be written where",
    },
)
def flash_esp(
    c: Context, images: str, port: str, chip: str = "", baud: int = 460800, dry_run: bool = False
) -> None:
    """Write a downloaded ESP-Hosted firmware into an ESP32 with esptool."""
    from harness import flashesp

    flashesp.run(Path(images), port, chip, baud, dry_run)


@task(help=_KERNEL | _BOARD)
def rootfs(c: Context, kernel: str = "", board: str = "") -> None:
    """Put the guest's initramfs together; print its path."""
    from harness import boards, kernels
    from harness import module as build
    from harness import rootfs as guest

    found = kernels.resolve(kernel or None)
    chosen = boards.load(board or found.board)
    kernels.check(found, chosen)
    _show(guest.build(found, chosen, [build.build(found)]))


@task(
    iterable=["merge"],
    help={
        "rows": "these rows of kernels.toml, with commas between",
        "tag": "rows with this tag: stock, debug, or compile (builds with W=1 only)",
        "shard": "i/n: the i-th of n parts of the rows, for several machines",
        "jobs": "rows at a time",
        "resume": "do not run rows again that passed, if nothing has changed since",
        "output": "directory for the reports (default: in this run's directory)",
        "merge": "make one report of this matrix.json and others, run nothing (may be given several times)",
        "tests": "only these files of the guest tests (wifi,traffic), or the `quick` ones of kernels.toml",
        "k": "pytest's -k: only tests whose names match",
    },
)
def matrix(
    c: Context,
    merge: list[str],
    rows: str = "",
    tag: str = "",
    shard: str = "",
    jobs: int = 1,
    resume: bool = False,
    output: str = "",
    tests: str = "",
    k: str = "",
) -> None:
    """Build, boot and test every kernel of kernels.toml; print a grid, write JUnit XML, JSON and HTML."""
    from harness import matrix as run
    from harness import testing

    directory = Path(output).resolve() if output else None
    if merge:
        good = run.merge([Path(name) for name in merge], directory or Path.cwd())
    else:
        names, files = (
            tuple(name.strip() for name in text.split(",") if name.strip()) for text in (rows, tests)
        )
        extra = (*(("-k", k) if k else ()), *testing.after_dashes(sys.argv))
        good = run.run(run.Selection(names, tag, shard, jobs, resume, files, extra), directory)
    if not good:
        raise Exit(code=1)


@task(
    iterable=["diff"],
    help=_KERNEL
    | {
        "explain": "why a symbol has its value",
        "diff": "compare with this row's configuration (twice: compare two rows)",
        "menuconfig": "look around in a menu; changes are printed as a fragment",
    },
)
def kconfig(
    c: Context, diff: list[str], kernel: str = "", explain: str = "", menuconfig: bool = False
) -> None:
    """Show a kernel's configuration: requested symbols, one symbol's reasons, differences, a menu."""
    from harness import configurations

    configurations.run(kernel or None, explain=explain, diff=diff, menuconfig=menuconfig)


@task(
    help={
        "minutes": "for how long",
        "minimise": "keep the smallest set of inputs in the repository",
    }
)
def fuzz(c: Context, minutes: float = 10.0, minimise: bool = False) -> None:
    """Run the co-processor's engine under libFuzzer, with sanitizers."""
    from harness import fuzz as run

    run.report(minutes, minimise)


@task(help=_HOST)
def doctor(c: Context, host: str = "", identity: str = "") -> None:
    """Show what this machine has and lacks; with --host why a board has no wlan0."""
    from harness import doctor as check

    key = Path(identity) if identity else None
    if not (check.board(host, key) if host else check.report()):
        raise Exit(code=1)


@task(
    iterable=["kind"],
    help={
        "kind": "remove this kind of entry (may be given several times)",
        "everything": "remove all of the cache",
    },
)
def clean(c: Context, kind: list[str], everything: bool = False) -> None:
    """Show what the cache takes; remove a --kind of it, or --everything."""
    from harness import cleaning

    cleaning.run(kind, everything)
