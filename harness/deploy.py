# SPDX-License-Identifier: MIT
"""`./inv deploy`: module, overlay and boot configuration onto a board over SSH, and back.

What changes is decided here, from the files as they are on the board. `board/install.sh` then makes the
changes there in one go, in an order in which the board boots at any moment, and remembers what was before.
"""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness import boardkernel, boards, bootconfig, devicetree, diagnosis, hostdeps, paths, progress, survey
from harness.boards import Board
from harness.errors import HarnessError
from harness.ssh import SshTarget
from harness.target import Result, Target

SCRIPT = Path(__file__).resolve().parent / "board" / "install.sh"
STATE = "/var/lib/esp-hosted"
MODULE = "esp_hosted"
# Copies with a sync after each step, on a slow card.
APPLY_SECONDS = 300.0
APPEAR_SECONDS = 30.0
REBOOT_SECONDS = 300.0


@dataclass(frozen=True)
class Change:
    """A file on the board that becomes another one."""

    path: str
    old: bytes | None
    new: bytes
    mode: int = 0o644

    def show(self) -> str:
        """For people: a difference of text, sizes and sums otherwise."""
        if self.old == self.new:
            return f"  {self.path}: stays as it is"
        if self._text(self.new) is None or (self.old is not None and self._text(self.old) is None):
            return f"  {self.path}: {_sum(self.old)} -> {_sum(self.new)}"
        old, new = (
            text.splitlines(keepends=True) for text in ((self.old or b"").decode(), self.new.decode())
        )
        before = self.path if self.old is not None else "(no such file)"
        lines = "".join(difflib.unified_diff(old, new, before, self.path, n=2)).splitlines()
        return "\n".join(f"  {line}" for line in lines)

    @staticmethod
    def _text(raw: bytes) -> str | None:
        with contextlib.suppress(UnicodeDecodeError):
            return raw.decode() if b"\0" not in raw else None
        return None


@dataclass(frozen=True)
class Plan:
    """All that is to be done on a board, in this order: module, overlay, boot configuration."""

    changes: tuple[Change, ...]
    how: str
    """What the module was built with."""
    release: str
    overlay: str
    """Path of the overlay on the board."""

    @property
    def restart(self) -> bool:
        """True if the boot loader has something to do that it did not do yet."""
        return any(one.old != one.new for one in self.changes[1:])

    @property
    def empty(self) -> bool:
        """True if all is in its place already."""
        return all(one.old == one.new for one in self.changes)

    def show(self) -> str:
        """For people."""
        lines = [f"module for {self.release}: {self.how}", *(one.show() for one in self.changes)]
        return "\n".join([*lines, f"  then depmod {self.release}" if not self.empty else "  nothing to do"])


def run(
    name: str,
    host: str,
    *,
    dry_run: bool = False,
    back: bool = False,
    reboot: bool = False,
    untested: bool = False,
    identity: Path | None = None,
) -> bool:
    """Deploy to a board, or take back what was deployed; True if the driver has its interface there."""
    board = boards.load(name)
    hostdeps.require("module", "dtb")
    with contextlib.closing(SshTarget(host, identity=identity)) as target:
        target.log = paths.run_dir() / "board.log"
        if back:
            for line in rollback(target, board, dry_run=dry_run):
                print(line)
            if reboot and not dry_run:
                target.reboot(REBOOT_SECONDS)
            return True
        planned = plan(target, board, untested=untested)
        print(planned.show())
        if dry_run:
            return True
        apply(target, planned)
        if planned.restart and reboot:
            target.reboot(REBOOT_SECONDS)
        elif planned.restart:
            progress.say(
                "start the board again for the overlay to count (--reboot does it), then ./inv doctor --host"
            )
            return True
        elif not reload(target):
            progress.say(f"this connection comes over {MODULE}: start the board again to load the new module")
            return True
        text, good = report(target)
        print(text)
        return good


def plan(target: Target, board: Board, *, untested: bool = False) -> Plan:
    """Find out what a deploy would change; nothing is changed. HarnessError: it cannot be done, and why."""
    if board.boot is None:
        raise HarnessError(
            f"board {board.name} does not start from a boot configuration that could be edited",
            hint=f"boards: {', '.join(name for name in boards.names() if boards.load(name).boot)}",
        )
    seen = survey.take(target)
    survey.check(seen, board.arch, board.name)
    if seen.dkms:
        progress.warn(
            "esp-hosted-dkms is installed on the board: its module may be taken instead of this one"
        )
    if not seen.labels:
        raise HarnessError(
            f"the board's devicetree was compiled without labels: its boot loader cannot apply an overlay "
            f"(kernel {seen.release})",
            hint="a kernel from 6.12 on has them on most boards; docs/boards.md says which",
        )
    edits = configuration(target, board)
    built = boardkernel.build(target, seen, untested=untested)
    overlay = overlay_path(target, board)
    contents = [
        (f"/lib/modules/{seen.release}/updates/{MODULE}.ko", built.content),
        (overlay, _compiled(board)),
        *((edit.path, edit.new.encode("utf-8", errors="surrogateescape")) for edit in edits),
    ]
    changes = [Change(path, _read(target, path), new, _mode(target, path)) for path, new in contents]
    return Plan(tuple(changes), built.how, seen.release, overlay)


def overlay_path(target: Target, board: Board) -> str:
    """Where the overlay belongs on the board."""
    assert board.boot is not None
    scheme = bootconfig.SCHEMES[board.boot.scheme]
    directory = board.boot.overlays or scheme.directory(_config(target, board))
    return f"{directory}/{board.deploy.overlay_name}.dtbo"


def configuration(target: Target, board: Board) -> list[bootconfig.Edit]:
    """The boot configuration with the overlay: what the boot loader reads, and what that is made from."""
    assert board.boot is not None
    overlay = overlay_path(target, board)
    found = [(board.boot.scheme, _config(target, board))]
    for scheme in bootconfig.BESIDE.get(board.boot.scheme, ()):
        found += [
            (scheme, path) for path in bootconfig.SCHEMES[scheme].configs if _read(target, path) is not None
        ]
    edits = []
    for scheme, path in found:
        old = (_read(target, path) or b"").decode("utf-8", errors="surrogateescape")
        edits.append(bootconfig.Edit(path, old, bootconfig.SCHEMES[scheme].add(old, overlay)))
    # What other programs make the configuration from first.
    return sorted(edits, key=lambda edit: not edit.path.startswith("/etc/"))


def _config(target: Target, board: Board) -> str:
    """The configuration file there. HarnessError: none of the usual ones."""
    assert board.boot is not None
    known = (board.boot.config,) if board.boot.config else bootconfig.SCHEMES[board.boot.scheme].configs
    for path in known:
        if target.run(["test", "-f", path], check=False).ok:
            return path
    raise HarnessError(
        f"the board has no boot configuration at {' or '.join(known)}",
        hint=f"is it another board, or another system on it? {board.name} starts by {board.boot.scheme}",
    )


def apply(target: Target, planned: Plan) -> None:
    """Make the changes. HarnessError: interrupted; the board still boots, and this can be run again."""
    if planned.empty and _state(target) != "partial":
        return
    with progress.step(f"install on {target.name}", always=True):
        _script(target)
        stage = f"{STATE}/stage"
        target.run(f"rm -rf {stage} && mkdir -p {stage}")
        for number, change in enumerate(planned.changes, 1):
            target.write_file(f"{stage}/{number}", change.new)
        listed = "".join(f"{n} {one.mode:o} {one.path}\n" for n, one in enumerate(planned.changes, 1))
        target.write_file(f"{stage}/list", listed)
        target.run(["sh", _PLACE, "apply"], timeout=APPLY_SECONDS)


def rollback(target: Target, board: Board, *, dry_run: bool = False) -> list[str]:
    """Everything as it was before the first deploy; what was done, for people. HarnessError: nothing was."""
    _script(target)
    listed = (_read(target, f"{STATE}/original/list") or b"").decode()
    if not listed:
        raise HarnessError(f"nothing was deployed to {target.name}", hint="there is nothing to take back")
    done = []
    applied = dict(_pairs((_read(target, f"{STATE}/applied") or b"").decode()))
    for line in listed.splitlines():
        number, was, _, path = line.split(" ", 3)
        done.append(f"  {path}: {'removed' if was == 'absent' else 'as it was'}")
        new = _without_overlay(target, board, path)
        now = _read(target, path)
        if new is None or now is None or was == "absent" or applied.get(path, "") == _digest(now):
            continue
        old = _read(target, f"{STATE}/original/{number}")
        if now != old and new != old:
            done[-1] = f"  {path}: others have changed it since; only what was added is removed"
            if not dry_run:
                target.write_file("/run/esp-hosted-amend", new)
                target.run(f"sh {_PLACE} amend {path} </run/esp-hosted-amend")
    if dry_run:
        return done
    with progress.step(f"take back on {target.name}", always=True):
        if not _ours(target):
            target.run(["modprobe", "-r", MODULE], check=False, timeout=60)
        target.run(["sh", _PLACE, "rollback"], timeout=APPLY_SECONDS)
    return [*done, "the overlay counts until the board starts again"]


def _without_overlay(target: Target, board: Board, path: str) -> bytes | None:
    """A boot configuration without what we add to it; None for another file."""
    assert board.boot is not None
    for name in (board.boot.scheme, *bootconfig.BESIDE.get(board.boot.scheme, ())):
        scheme = bootconfig.SCHEMES[name]
        if path == board.boot.config or path in scheme.configs:
            text = (_read(target, path) or b"").decode("utf-8", errors="surrogateescape")
            return scheme.remove(text, overlay_path(target, board)).encode("utf-8", errors="surrogateescape")
    return None


def reload(target: Target) -> bool:
    """Have the new module run. False: this connection depends on the old one."""
    if _ours(target):
        return False
    target.run(["modprobe", "-r", MODULE], check=False, timeout=60)
    target.run(["modprobe", MODULE], timeout=60)
    return True


def _ours(target: Target) -> bool:
    """Whether the connection to the board comes over an interface of our driver."""
    address = target.local_address if isinstance(target, SshTarget) else ""
    if not address:
        return False
    script = f"ls /sys/bus/spi/drivers/{MODULE}/*/net 2>/dev/null; ip -o addr show | grep -Fw {address}"
    lines = target.run(script, check=False).lines()
    names = {line.strip() for line in lines if " " not in line.strip()}
    return any(line.split()[1] in names for line in lines if " " in line.strip())


def report(target: Target) -> tuple[str, bool]:
    """What the board says of driver and interface, for people; True if there is an interface."""
    waiting = f"until ls -d /sys/bus/spi/drivers/{MODULE}/*/net/* >/dev/null 2>&1; do sleep 0.2; done"
    target.run(waiting, timeout=APPEAR_SECONDS, check=False)
    seen = diagnosis.collect(target)
    if not seen.interfaces:
        return diagnosis.render(seen), False
    parts = []
    for command in (
        "dmesg | grep esp_hosted | tail -n 5",
        *(f"ip -br link show dev {name}" for name in seen.interfaces),
        *(f"ethtool -i {name} | head -n 3" for name in seen.interfaces),
        *(f"iw dev {name} info" for name in seen.interfaces),
    ):
        result = target.run(f"PATH=$PATH:/usr/sbin:/sbin; {command}", check=False)
        parts.append(f"$ {command}\n{_said(result)}")
    return "\n".join(parts), True


def _said(result: Result) -> str:
    return "".join(f"  {line}\n" for line in (result.stdout or result.stderr).splitlines()).rstrip("\n")


# Small things.

_PLACE = "/run/esp-hosted-install.sh"


def _script(target: Target) -> None:
    target.write_file(_PLACE, SCRIPT.read_text(encoding="utf-8"), 0o755)


def _state(target: Target) -> str:
    _script(target)
    return target.run(["sh", _PLACE, "state"]).stdout.strip()


def _read(target: Target, path: str) -> bytes | None:
    result = target.run(["cat", path], check=False)
    return result.raw if result.ok else None


def _mode(target: Target, path: str) -> int:
    result = target.run(["stat", "-c", "%a", path], check=False)
    return int(result.stdout, 8) if result.ok else 0o644


def _compiled(board: Board) -> bytes:
    with tempfile.TemporaryDirectory(dir=paths.cache_root(), prefix="overlay-") as scratch:
        compiled = Path(scratch) / "overlay.dtbo"
        devicetree.compile_overlay(devicetree.OVERLAYS / board.overlay, compiled)
        return compiled.read_bytes()


def _digest(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()


def _sum(raw: bytes | None) -> str:
    return "(no such file)" if raw is None else f"{len(raw)} bytes, SHA-256 {_digest(raw)[:12]}"


def _pairs(text: str) -> Sequence[tuple[str, str]]:
    """Lines "SUM PATH" as pairs of path and sum."""
    return [(path, digest) for digest, _, path in (line.partition(" ") for line in text.splitlines())]
