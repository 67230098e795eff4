# SPDX-License-Identifier: MIT
"""Boot configurations, and the script that installs on a board: interrupted at every step, and taken back."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from harness import boards, bootconfig, deploy
from harness.bootconfig import MARK, SCHEMES
from harness.errors import HarnessError

OVERLAY = {
    "rpi": "/boot/firmware/overlays/esp-hosted.dtbo",
    "extlinux": "/boot/dtbo/esp-hosted.dtbo",
    "u-boot-menu": "/boot/dtbo/esp-hosted.dtbo",
    "uenv": "/lib/firmware/esp-hosted.dtbo",
    "armbian": "/boot/overlay-user/esp-hosted.dtbo",
}
EXTLINUX = """\
default l0
menu title U-Boot menu
timeout 50

label l0
\tmenu label Debian GNU/Linux 12 (bookworm) 6.12.95+deb12-arm64
\tlinux /boot/vmlinuz-6.12.95+deb12-arm64
\tinitrd /boot/initrd.img-6.12.95+deb12-arm64
\tfdtdir /usr/lib/linux-image-6.12.95+deb12-arm64/
\tappend root=UUID=0 ro quiet

label l0r
\tmenu label rescue target
\tlinux /boot/vmlinuz-6.12.95+deb12-arm64
\tfdtdir /usr/lib/linux-image-6.12.95+deb12-arm64/
\tappend root=UUID=0 ro single
"""
# Scheme, configuration, and what the overlay's line is then.
CASES = [
    ("rpi", "arm_64bit=1\n", "dtoverlay=esp-hosted"),
    ("rpi", "", "dtoverlay=esp-hosted"),
    ("rpi", "# dtoverlay=esp-hosted\n[pi4]\nmax_framebuffers=2\n\n", "dtoverlay=esp-hosted"),
    ("extlinux", EXTLINUX, "\tfdtoverlays /boot/dtbo/esp-hosted.dtbo"),
    ("extlinux", EXTLINUX.rstrip("\n"), "\tfdtoverlays /boot/dtbo/esp-hosted.dtbo"),
    (
        "extlinux",
        EXTLINUX.replace("\tappend", "\tfdtoverlays /boot/a.dtbo\n\tappend"),
        "\tfdtoverlays /boot/a.dtbo /boot/dtbo/esp-hosted.dtbo",
    ),
    # A boot partition of its own
    ("extlinux", EXTLINUX.replace("/boot/", "/"), "\tfdtoverlays /dtbo/esp-hosted.dtbo"),
    ("u-boot-menu", 'U_BOOT_TIMEOUT="50"\n', 'U_BOOT_FDT_OVERLAYS="esp-hosted.dtbo"'),
    ("u-boot-menu", '#U_BOOT_FDT_OVERLAYS=""\n', 'U_BOOT_FDT_OVERLAYS="esp-hosted.dtbo"'),
    ("u-boot-menu", 'U_BOOT_FDT_OVERLAYS="a.dtbo"\n', 'U_BOOT_FDT_OVERLAYS="a.dtbo esp-hosted.dtbo"'),
    ("uenv", "uname_r=6.12\n", "uboot_overlay_addr4=/lib/firmware/esp-hosted.dtbo"),
    (
        "uenv",
        "enable_uboot_overlays=1\nuboot_overlay_addr4=/lib/firmware/a.dtbo\n",
        "uboot_overlay_addr5=/lib/firmware/esp-hosted.dtbo",
    ),
    ("armbian", "verbosity=1\n", "user_overlays=esp-hosted"),
    ("armbian", "user_overlays=a b\nverbosity=1\n", "user_overlays=a b esp-hosted"),
]  # fmt: skip


@pytest.mark.parametrize(("scheme", "text", "line"), CASES)
def test_overlay_is_added_once_and_removed_without_a_trace(scheme: str, text: str, line: str) -> None:
    one, overlay = SCHEMES[scheme], OVERLAY[scheme]
    added = one.add(text, overlay)
    assert line in added.splitlines()
    assert one.add(added, overlay) == added
    assert one.remove(added, overlay) == text
    assert one.remove(text, overlay) == text


def test_every_entry_with_a_kernel_gets_the_overlay() -> None:
    added = SCHEMES["extlinux"].add(EXTLINUX, OVERLAY["extlinux"])
    assert added.count("fdtoverlays") == 2
    # Nothing else changes.
    assert [line for line in added.splitlines() if "fdtoverlays" not in line] == EXTLINUX.splitlines()


def test_a_filter_in_config_txt_does_not_hide_the_overlay() -> None:
    added = SCHEMES["rpi"].add("[cm4]\notg_mode=1\n", OVERLAY["rpi"])
    assert added.endswith(f"\n{MARK}\n[all]\ndtoverlay=esp-hosted\n")
    # What the user has given it stays his.
    own = "dtoverlay=esp-hosted,speed=5000000\n"
    assert SCHEMES["rpi"].add(own, OVERLAY["rpi"]) == own
    assert SCHEMES["rpi"].remove(own, OVERLAY["rpi"]) == own


def test_configurations_without_a_place_are_refused() -> None:
    full = "".join(f"uboot_overlay_addr{number}=/lib/firmware/{number}.dtbo\n" for number in range(4, 8))
    with pytest.raises(HarnessError, match="no place for one more overlay"):
        SCHEMES["uenv"].add(full, OVERLAY["uenv"])
    with pytest.raises(HarnessError, match="no entry with a kernel"):
        SCHEMES["extlinux"].add("default l0\n", OVERLAY["extlinux"])
    with pytest.raises(HarnessError, match="last line has no end"):
        SCHEMES["rpi"].add("arm_64bit=1", OVERLAY["rpi"])


def test_every_scheme_of_boards_is_known() -> None:
    assert set(SCHEMES) == set(boards.BOOT_SCHEMES)
    assert set(bootconfig.BESIDE) <= set(SCHEMES)


# The script on the board


RELEASE = "6.12.95+deb12-arm64"
CONFIG = "/boot/extlinux/extlinux.conf"
MODULE = f"/lib/modules/{RELEASE}/updates/esp_hosted.ko"
DTBO = "/boot/dtbo/esp-hosted.dtbo"
NEW = {MODULE: b"module 1", DTBO: b"overlay 1", CONFIG: EXTLINUX.encode() + b"# 1\n"}
NEWER = {MODULE: b"module 2", DTBO: b"overlay 2", CONFIG: EXTLINUX.encode() + b"# 2\n"}
# Ends the script, as a power cut would, at one call of a program that changes something.
INTERRUPTER = """\
#!/bin/sh
count=$(($(cat "$COUNTER") + 1))
echo "$count" >"$COUNTER"
if [ "$count" = "$STOP_AT" ]; then
    [ "$STOP_WHEN" = before ] || /usr/bin/{name} "$@"
    kill -9 -- -"$GROUP_LEADER" 2>/dev/null || kill -9 "$PPID"
    exit 137
fi
exec /usr/bin/{name} "$@"
"""


class Board:
    """A board's file system in a directory."""

    def __init__(self, place: Path) -> None:
        self.root = place / "root"
        self._tools = place / "tools"
        self._counter = place / "count"
        for path, content in ((CONFIG, EXTLINUX), (f"/lib/modules/{RELEASE}/modules.dep", "")):
            self.path(path).parent.mkdir(parents=True)
            self.path(path).write_text(content)
        self.path(CONFIG).chmod(0o640)
        (self.root / "var/lib").mkdir(parents=True)
        self._tools.mkdir()
        for name in ("cp", "ln", "mv", "rm", "sync", "mkdir", "rmdir"):
            self._tool(name, INTERRUPTER.format(name=name))
        # Nobody freezes this machine's own file system.
        self._tool("fsfreeze", "#!/bin/sh\nexit 1\n")
        # The index is made from the modules that there are.
        find = 'find updates -name "*.ko" 2>/dev/null >modules.dep'
        self._tool("depmod", f'#!/bin/sh\ncd "$2/lib/modules/$3" && {find} || :\n')

    def _tool(self, name: str, text: str) -> None:
        (self._tools / name).write_text(text)
        (self._tools / name).chmod(0o755)

    def path(self, name: str) -> Path:
        return self.root / name.lstrip("/")

    def stage(self, files: dict[str, bytes]) -> None:
        """What `deploy.apply` uploads."""
        stage = self.path(f"{deploy.STATE}/stage")
        shutil.rmtree(stage, ignore_errors=True)
        stage.mkdir(parents=True)
        for number, content in enumerate(files.values(), 1):
            (stage / str(number)).write_bytes(content)
        (stage / "list").write_text("".join(f"{n} 644 {path}\n" for n, path in enumerate(files, 1)))

    def run(self, *words: str, stop_at: int = 0, when: str = "before", data: bytes = b"") -> tuple[bool, str]:
        """Whether the script came to its end, and what it said."""
        self._counter.write_text("0")
        environment = {
            **os.environ,
            "PATH": f"{self._tools}:{os.environ['PATH']}",
            "ESP_HOSTED_ROOT": str(self.root),
            "COUNTER": str(self._counter),
            "STOP_AT": str(stop_at),
            "STOP_WHEN": when,
        }
        # exec after the group is known: the script's own shells are all in it.
        script = 'GROUP_LEADER=$$ exec sh "$0" "$@"'
        done = subprocess.run(
            ["sh", "-c", script, deploy.SCRIPT, *words], input=data, env=environment, capture_output=True,
            start_new_session=True, check=False,
        )  # fmt: skip
        return done.returncode == 0, (done.stdout + done.stderr).decode()

    def files(self) -> dict[str, tuple[int, str]]:
        """Everything there: mode and sum."""
        found = {}
        for path in sorted(self.root.rglob("*")):
            content = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
            found[str(path.relative_to(self.root))] = (path.stat().st_mode, content)
        return found

    def boots(self) -> None:
        """The boot configuration is a whole one, old or new, and refers to nothing that is not there."""
        text = self.path(CONFIG).read_bytes()
        assert text in (EXTLINUX.encode(), NEW[CONFIG], NEWER[CONFIG])
        if text != EXTLINUX.encode():
            assert self.path(DTBO).read_bytes() in (NEW[DTBO], NEWER[DTBO])
            assert self.path(MODULE).read_bytes() in (NEW[MODULE], NEWER[MODULE])


@pytest.fixture
def board(tmp_path: Path) -> Board:
    return Board(tmp_path)


def holds(board: Board, files: dict[str, bytes]) -> bool:
    return all(
        board.path(path).exists() and board.path(path).read_bytes() == new for path, new in files.items()
    )


def test_apply_upgrade_and_rollback(board: Board) -> None:
    before = board.files()
    assert board.run("state")[1].strip() == "none"
    for files in (NEW, NEW, NEWER):
        board.stage(files)
        assert board.run("apply") == (True, "")
        assert holds(board, files)
        assert board.run("state")[1].strip() == "applied"
        assert board.path(f"/lib/modules/{RELEASE}/modules.dep").read_text() == "updates/esp_hosted.ko\n"
    assert board.run("rollback") == (True, "")
    assert board.files() == before
    # Once more changes nothing.
    assert board.run("rollback") == (True, "") and board.files() == before


def test_what_was_there_comes_back_with_its_mode(board: Board) -> None:
    board.path(MODULE).parent.mkdir()
    board.path(MODULE).write_bytes(b"the user's own")
    board.path(MODULE).chmod(0o600)
    board.path(f"/lib/modules/{RELEASE}/modules.dep").write_text("updates/esp_hosted.ko\n")
    before = board.files()
    board.stage(NEW)
    assert board.run("apply")[0] and holds(board, NEW)
    assert board.run("rollback")[0]
    assert board.files() == before


def test_a_configuration_that_others_have_changed_keeps_their_change(board: Board) -> None:
    board.stage(NEW)
    assert board.run("apply")[0]
    theirs = EXTLINUX.replace("timeout 50", "timeout 10")
    assert board.run("amend", CONFIG, data=theirs.encode())[0]
    assert board.run("rollback")[0]
    assert board.path(CONFIG).read_text() == theirs and not board.path(DTBO).exists()


@pytest.mark.parametrize("action", ["apply", "upgrade", "rollback"])
def test_interrupted_at_a_step_the_board_boots_and_it_can_be_finished(tmp_path: Path, action: str) -> None:
    """Every ninth step; --slow takes every one."""
    interrupt(tmp_path, action, "after", 9)


@pytest.mark.slow
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("action", ["apply", "upgrade", "rollback"])
def test_interrupted_at_every_step_the_board_boots_and_it_can_be_finished(
    tmp_path: Path, action: str, when: str
) -> None:
    interrupt(tmp_path, action, when, 1)


def interrupt(tmp_path: Path, action: str, when: str, stride: int) -> None:
    """Each step twice: then the same again, or rolled back."""
    step = 2
    while True:
        for recovery in ("again", "rollback"):
            place = tmp_path / f"{step}-{recovery}"
            place.mkdir()
            board = Board(place)
            before = board.files()
            if action != "apply":
                board.stage(NEW)
                assert board.run("apply")[0]
            if action != "rollback":
                board.stage(NEWER if action == "upgrade" else NEW)
            command = "rollback" if action == "rollback" else "apply"
            ended, said = board.run(command, stop_at=step, when=when)
            board.boots()
            if ended:
                assert step > 10, said
                return
            if recovery == "again" and action != "rollback":
                board.stage(NEWER)
                assert board.run("apply") == (True, "")
                assert holds(board, NEWER)
            assert board.run("rollback") == (True, "")
            shutil.rmtree(board.path(deploy.STATE), ignore_errors=True)
            shutil.rmtree(board.path(f"{deploy.STATE}.old"), ignore_errors=True)
            assert board.files() == before, f"step {step}, {recovery}"
            shutil.rmtree(place)
        step += stride
