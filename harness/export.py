# SPDX-License-Identifier: MIT
"""`./inv upstream`: the driver as a patch series for a kernel tree.

Without what is for older kernels and for building out of tree: what stays is what the newest kernel takes.
The patches are made by git, in a repository of the few files that they change.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from harness import bindings, commands, debian, decompat, kernelbuild, kernels, module, paths, pins, progress
from harness.cache import Cache, digest
from harness.errors import HarnessError
from harness.kernelbuild import DebianSource

PLACE = "drivers/net/wireless/espressif"
DIRECTORY = f"{PLACE}/esp_hosted"
BINDING = f"Documentation/devicetree/bindings/net/wireless/{bindings.BINDING.name}"
WIRELESS = "drivers/net/wireless"
# What the series changes; it need not have more of a tree.
VENDORS = "Documentation/devicetree/bindings/vendor-prefixes.yaml"
TOUCHED = ("MAINTAINERS", VENDORS, f"{WIRELESS}/Kconfig", f"{WIRELESS}/Makefile")
VENDOR = "espressif"
# Functions for older kernels: compat.h says that the newest one needs none of them.
COMPAT_CODE = "compat.c"
TITLE = "ESPRESSIF ESP-HOSTED WIRELESS DRIVER"
VENDOR_KCONFIG = """\
# SPDX-License-Identifier: GPL-2.0-only
config WLAN_VENDOR_ESPRESSIF
\tbool "Espressif devices"
\tdefault y
\thelp
\t  If you have a wireless co-processor of Espressif, say Y.

\t  Note that the answer to this question doesn't directly affect the
\t  kernel: saying N will just cause the configurator to skip all the
\t  questions about these devices. If you say Y, you will be asked for
\t  your specific device in the following questions.

if WLAN_VENDOR_ESPRESSIF

source "drivers/net/wireless/espressif/esp_hosted/Kconfig"

endif # WLAN_VENDOR_ESPRESSIF
"""
VENDOR_MAKEFILE = """\
# SPDX-License-Identifier: GPL-2.0-only
obj-$(CONFIG_ESP_HOSTED) += esp_hosted/
"""
VENDOR_ENTRY = f"""\
  "^{VENDOR},.*":
    description: Espressif Systems (Shanghai) Co., Ltd.
"""
VENDOR_MESSAGE = """\
dt-bindings: vendor-prefixes: Add Espressif

Espressif makes microcontrollers with Wi-Fi and Bluetooth, among them the
ESP32 family.
"""
BINDING_MESSAGE = """\
dt-bindings: net: wireless: Add Espressif ESP-Hosted

ESP32-class chips run a firmware that makes them Wi-Fi and Bluetooth
co-processors of another SoC. They are connected by SPI and two GPIOs that
belong to the protocol, and may have a third one that resets them.
"""
DRIVER_MESSAGE = """\
wifi: esp_hosted: Add driver for Espressif ESP-Hosted co-processors

Espressif publishes firmware (ESP-Hosted-NG) that turns its ESP32-class
chips into Wi-Fi and Bluetooth co-processors on an SPI bus. Management of
the connection is done by the chip: the driver is a cfg80211 one.

Both generations of the protocol are supported: station and access point
mode, WPA2 and WPA3, scanning, power saving, Bluetooth over HCI, firmware
update by devlink, and recovery from a firmware that crashed. Everything
that the co-processor sends is checked before it is used.
"""
COVER_TITLE = "wifi: Add driver for Espressif ESP-Hosted co-processors"
COVER = """\
This series adds a driver for ESP32-class chips that run Espressif's
released ESP-Hosted-NG firmware and are connected by SPI.

It was tested on an emulated board with a model of the co-processor, with
KASAN, lockdep, kmemleak and failure injection, on kernels from 5.10 on.
"""


def run(output: Path, kernel: str = "") -> list[Path]:
    """Write the series into a directory and print its files. Errors as `series`."""
    made = series(output, kernel)
    for path in made:
        print(path)
    progress.say(f"for {source(kernel).name} {source(kernel).version}; apply with: git am {output}/0*.patch")
    return made


def source(kernel: str = "") -> DebianSource:
    """The newest source that Debian has for a row of kernels.toml; of all rows without one."""
    table = kernels.table().kernel
    if kernel:
        _, row = kernels.row(kernel)
    else:
        rows = [one for one in table.values() if one.provider == "debian" and not one.optional]
        row = max(rows, key=lambda one: [int(part) for part in one.series.split(".")])
    if row.provider not in ("debian", "source"):
        raise HarnessError(f"kernel {kernel}: its source is not Debian's", hint="take another row")
    name = f"linux-source-{row.series}"

    def ask() -> dict[str, str]:
        found = kernelbuild.newest(row.suite, name, row.arch)
        return {"name": found.name, "version": found.version, "arch": found.arch}

    def there(record: dict[str, str]) -> bool:
        return Cache().has("upstream-base", _key(record["name"], record["version"]))

    record = pins.pinned(f"upstream-{row.suite}-{row.series}", ask, there)
    return DebianSource(debian.Package(**record), row.suite, row.arch)


def _key(name: str, version: str) -> str:
    return digest("upstream-base", name, version, TOUCHED)


def series(output: Path, kernel: str = "") -> list[Path]:
    """The cover letter and the patches, in `output`, which must have none yet.

    HarnessError: compat.h holds what cannot be left out, git has no identity to sign off with, or the tree is
    not what is expected.
    """
    output.mkdir(parents=True, exist_ok=True)
    if old := sorted(output.glob("*.patch")):
        raise HarnessError(f"{output} has patches already: {old[0].name}", hint="name an empty directory")
    if not all(
        commands.output(["git", "config", key], check=False).strip() for key in ("user.name", "user.email")
    ):
        raise HarnessError(
            "git does not know who you are: patches are signed off",
            hint="git config --global user.name 'Your Name', the same for user.email",
        )
    found = source(kernel)
    with tempfile.TemporaryDirectory(dir=paths.cache_root(), prefix="upstream-") as scratch:
        tree = Path(scratch) / "linux"
        base = _base(found)
        for name in TOUCHED:
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(base / name, tree / name)
        _git(tree, "init", "--quiet", "--initial-branch=base")
        _git(tree, "add", "--all")
        _git(tree, "commit", "--quiet", "--message", f"{found.name} {found.version}")
        _git(tree, "checkout", "--quiet", "-b", "series")
        if vendor := _vendor(tree):
            _commit(tree, vendor, VENDOR_MESSAGE)
        _commit(tree, _binding(tree), BINDING_MESSAGE)
        _commit(tree, _driver(tree, found), DRIVER_MESSAGE)
        _git(tree, "config", "branch.series.description", f"{COVER_TITLE}\n\n{COVER}")
        _git(
            tree, "format-patch", "--quiet", "--cover-letter", "--cover-from-description=subject",
            "--output-directory", output.resolve(), "base",
        )  # fmt: skip
    return sorted(output.glob("*.patch"))


def _base(found: DebianSource) -> Path:
    """The files of the tree that are changed."""

    def make(directory: Path) -> None:
        for name, content in found.files(TOUCHED).items():
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            (directory / name).write_bytes(content)

    key = _key(found.name, found.version)
    return Cache().entry("upstream-base", key, make, f"files of {found.name} {found.version}", fetches=True)


def _git(tree: Path, *words: str | Path) -> None:
    commands.run(["git", "-C", tree, *words], log="upstream", what=f"git {words[0]}")


def _commit(tree: Path, files: Mapping[str, str], message: str) -> None:
    for name, text in files.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(text, encoding="utf-8")
    _git(tree, "add", "--all")
    _git(tree, "commit", "--quiet", "--signoff", "--message", message)


def _vendor(tree: Path) -> dict[str, str]:
    """The list of vendors with ours; empty if it has it already."""
    text = (tree / VENDORS).read_text(encoding="utf-8")
    known = list(re.finditer(r'^  "\^([^,"]+),\.\*":\n', text, re.MULTILINE))
    if any(match[1] == VENDOR for match in known):
        return {}
    place = next((match.start() for match in known if match[1] > VENDOR), None)
    if place is None:
        raise HarnessError("vendor-prefixes.yaml of this tree has no list as it is expected")
    return {VENDORS: f"{text[:place]}{VENDOR_ENTRY}{text[place:]}"}


def _binding(tree: Path) -> dict[str, str]:
    return {
        BINDING: bindings.BINDING.read_text(encoding="utf-8"),
        "MAINTAINERS": _maintainers(tree, (BINDING,)),
    }


def _driver(tree: Path, found: DebianSource) -> dict[str, str]:
    """Path in the tree to content, for the second patch."""
    files = {f"{DIRECTORY}/{name}": text for name, text in sources(_version(found)).items()}
    files |= {
        f"{PLACE}/Kconfig": VENDOR_KCONFIG,
        f"{PLACE}/Makefile": VENDOR_MAKEFILE,
        "MAINTAINERS": _maintainers(tree, (BINDING, f"{PLACE}/")),
        f"{WIRELESS}/Kconfig": _insert(
            tree / WIRELESS / "Kconfig", r'source "drivers/net/wireless/(\w+)/Kconfig"',
            f'source "{PLACE}/Kconfig"',
        ),
        f"{WIRELESS}/Makefile": _insert(
            tree / WIRELESS / "Makefile", r"obj-\$\(CONFIG_WLAN_VENDOR_\w+\) \+= (\w+)/",
            "obj-$(CONFIG_WLAN_VENDOR_ESPRESSIF) += espressif/",
        ),
    }  # fmt: skip
    return files


def sources(version: tuple[int, int]) -> dict[str, str]:
    """The driver's files as they are in a tree of this version, by name below its directory."""
    texts = {
        str(path.relative_to(module.DRIVER)): path.read_text(encoding="utf-8")
        for pattern in ("*.[ch]", "tests/*.[ch]")
        for path in sorted(module.DRIVER.glob(pattern))
        if path.name != COMPAT_CODE
    }
    found = decompat.resolve(texts, version)
    kbuild = (module.DRIVER / "Kbuild").read_text(encoding="utf-8")
    # In a tree its own .config says what this block has to find out.
    found["Makefile"] = re.sub(
        r"(?:^#[^\n]*\n)?^ifdef KBUILD_EXTMOD\n.*?^endif\n\n?", "", kbuild, flags=re.MULTILINE | re.DOTALL
    )
    found["Makefile"] = re.sub(r"^.*\$\(ESP_COMPAT\).*\n", "", found["Makefile"], flags=re.MULTILINE)
    found["Kconfig"] = (module.DRIVER / "Kconfig").read_text(encoding="utf-8")
    unfit = re.compile(r"ESP_KERNEL|ESP_COMPAT|compat\.[ch]|KBUILD_EXTMOD")
    left = [name for name, text in found.items() if unfit.search(text)]
    if left:
        raise HarnessError(f"{', '.join(left)} still refer to what a kernel tree does not have")
    return found


def _version(found: DebianSource) -> tuple[int, int]:
    match = re.match(r"linux-source-(\d+)\.(\d+)$", found.name)
    if not match:
        raise HarnessError(f"{found.name}: which kernel is it?")
    return int(match[1]), int(match[2])


def _maintainers(tree: Path, files: tuple[str, ...]) -> str:
    """MAINTAINERS with our entry in its place of the alphabet, whatever it had of it before."""
    text = (tree / "MAINTAINERS").read_text(encoding="utf-8")
    identity = [commands.output(["git", "config", f"user.{key}"]).strip() for key in ("name", "email")]
    entry = (
        f"{TITLE}\nM:\t{identity[0]} <{identity[1]}>\nL:\tlinux-wireless@vger.kernel.org\nS:\tMaintained\n"
        + "".join(f"F:\t{name}\n" for name in sorted(files))
    )
    text = re.sub(rf"^{re.escape(TITLE)}\n(?:\w:\t.*\n)+\n", "", text, flags=re.MULTILINE)
    titles = re.finditer(r"(?<=\n\n)([A-Z0-9][^\n]*)\n(?=[A-Z]:\t)", text)
    after = next((match for match in titles if match[1].upper() > TITLE), None)
    if after is None:
        raise HarnessError("MAINTAINERS of this tree has no entries as they are expected")
    return f"{text[: after.start()]}{entry}\n{text[after.start() :]}"


def _insert(path: Path, pattern: str, line: str) -> str:
    """A sorted list of vendors in a file with one line more; `pattern` has the vendor as its group."""
    text = path.read_text(encoding="utf-8")
    lines = list(re.finditer(rf"^{pattern}\n", text, re.MULTILINE))
    place = next((match.start() for match in lines if match[1] > "espressif"), None)
    if place is None:
        raise HarnessError(f"{path.name} of this tree has no list of vendors as it is expected")
    return f"{text[:place]}{line}\n{text[place:]}"
