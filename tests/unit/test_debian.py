# SPDX-License-Identifier: MIT
"""The archive, with a mirror in a directory instead of a network."""

from __future__ import annotations

import gzip
import hashlib
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from harness import debian, kernels, pins
from harness.cache import Cache
from harness.debian import Archive, Package, host_arch
from harness.errors import HarnessError

SUITE = "testsuite"
RELEASE = "6.12.9+test-arm64"


class Mirror:
    """A Debian mirror with the packages of one suite, unsigned."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.stanzas: dict[str, list[str]] = {}

    def add(
        self, name: str, version: str, arch: str, depends: str = "", files: dict[str, str] | None = None
    ) -> Path:
        tree = self.root / "build" / f"{name}-{version}"
        (tree / "DEBIAN").mkdir(parents=True)
        control = (
            f"Package: {name}\nVersion: {version}\nArchitecture: {arch}\nMaintainer: Nobody <n@example.org>\n"
        )
        control += f"Depends: {depends}\n" if depends else ""
        (tree / "DEBIAN/control").write_text(f"{control}Description: test\n")
        for path, text in (files or {"usr/share/x": "x"}).items():
            (tree / path).parent.mkdir(parents=True, exist_ok=True)
            (tree / path).write_text(text)
        pool = self.root / "pool"
        pool.mkdir(exist_ok=True)
        # A pool has no epochs in its file names.
        package = pool / f"{name}_{version.rpartition(':')[2]}_{arch}.deb"
        command = ["dpkg-deb", "--root-owner-group", "-Znone", "--build", str(tree), str(package)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        content = package.read_bytes()
        stanza = f"{control}Filename: pool/{package.name}\nSize: {len(content)}\n"
        stanza += f"SHA256: {hashlib.sha256(content).hexdigest()}\nDescription: test\n"
        for one in ["arm64", host_arch()] if arch == "all" else [arch]:
            self.stanzas.setdefault(one, []).append(stanza)
        return package

    def publish(self) -> None:
        suite = self.root / "dists" / SUITE
        sums = []
        for arch in {"arm64", host_arch()}:
            plain = "\n".join(self.stanzas.get(arch, [])).encode()
            for suffix, content in (("", plain), (".gz", gzip.compress(plain))):
                name = f"main/binary-{arch}/Packages{suffix}"
                (suite / name).parent.mkdir(parents=True, exist_ok=True)
                (suite / name).write_bytes(content)
                sums.append(f" {hashlib.sha256(content).hexdigest()} {len(content)} {name}")
        architectures = " ".join(sorted({"arm64", host_arch()}))
        head = f"Origin: Debian\nSuite: {SUITE}\nCodename: {SUITE}\n"
        head += f"Components: main\nArchitectures: {architectures}\n"
        date = "Date: Sat, 01 Jan 2022 00:00:00 UTC\n"
        (suite / "Release").write_text(f"{head}{date}SHA256:\n" + "\n".join(sums) + "\n")


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mirror:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv(debian.MIRROR_VARIABLE, f"copy:{tmp_path / 'mirror'}")
    return Mirror(tmp_path / "mirror")


def archive() -> Archive:
    return Archive(SUITE, keyring=None)


def unpack_into(directory: Path) -> Callable[[list[Path]], None]:
    def use(files: list[Path]) -> None:
        for file in files:
            debian.extract(file, directory)

    return use


def add_kernel(
    mirror: Mirror, release: str, version: str, headers: bool = True, kbuild: str | None = None
) -> None:
    base = release.removesuffix("-arm64")
    modules = {f"lib/modules/{release}/modules.{name}": "" for name in ("builtin", "order")}
    image = {f"boot/vmlinuz-{release}": version, f"usr/lib/linux-image-{release}/x.dtb": "x", **modules}
    mirror.add(f"linux-image-{release}", version, "arm64", files=image)
    # Not to be taken for a kernel of the series.
    mirror.add(f"linux-image-{release}-dbg", version, "arm64")
    mirror.add(f"linux-image-{base}-cloud-arm64", f"{version}.99", "arm64")
    if headers:
        depends = f"linux-headers-{base}-common (= {version}), linux-kbuild-{base}"
        directory = f"usr/src/linux-headers-{release}"
        files = {
            f"{directory}/Makefile": f"include /usr/src/linux-headers-{base}-common/Makefile\n",
            f"{directory}/.config": "CONFIG_SPI_IMX=m\n",
            f"{directory}/Module.symvers": "",
        }
        mirror.add(f"linux-headers-{release}", version, "arm64", depends, files)
        mirror.add(f"linux-headers-{base}-common", version, "all")
        mirror.add(f"linux-kbuild-{base}", kbuild or version, host_arch())


def row() -> kernels.Row:
    return kernels.Row(provider="debian", arch="arm64", board="imx8mp-evk", suite=SUITE, series="6.12")


@pytest.fixture
def blind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything that makes an Archive gets one that needs no signature."""
    monkeypatch.setattr(debian, "Archive", lambda suite, arch="arm64": Archive(suite, arch, keyring=None))


def test_find_download_and_extract(mirror: Mirror, tmp_path: Path) -> None:
    mirror.add("tool", "1:2.0-1", "arm64", files={"usr/bin/tool": "text"})
    mirror.publish()
    found = archive().find("tool")
    assert found == [Package("tool", "1:2.0-1", "arm64")]
    assert archive().names("to.l") == ["tool"]
    archive().download(found, unpack_into(tmp_path / "out"))
    assert (tmp_path / "out/usr/bin/tool").read_text() == "text"
    assert list((archive().root / "downloads").iterdir()) == []


def test_closure_follows_dependencies(mirror: Mirror) -> None:
    mirror.add("tool", "2", "arm64", depends="library (>= 1)")
    mirror.add("library", "1", "arm64", depends="data")
    mirror.add("data", "1", "all")
    mirror.add("other", "1", "arm64")
    mirror.publish()
    assert [(one.name, one.arch) for one in archive().closure(["tool"])] == [
        ("data", "all"), ("library", "arm64"), ("tool", "arm64")
    ]  # fmt: skip


def test_damaged_package_is_refused(mirror: Mirror) -> None:
    package = mirror.add("tool", "1", "arm64")
    mirror.publish()
    content = bytearray(package.read_bytes())
    content[-20] ^= 1
    package.write_bytes(content)
    with pytest.raises(HarnessError, match="fetching tool from testsuite failed"):
        archive().download(archive().find("tool"), lambda files: pytest.fail("used"))


def test_unsigned_suite_is_refused(mirror: Mirror) -> None:
    mirror.add("tool", "1", "arm64")
    mirror.publish()
    with pytest.raises(HarnessError, match="fetching the package index of testsuite failed"):
        Archive(SUITE).find("tool")


def test_mirror_that_is_away(mirror: Mirror) -> None:
    with pytest.raises(HarnessError, match="package index of testsuite") as caught:
        archive().find("tool")
    assert "check the network" in str(caught.value.hint)


def test_offline_names_the_file(mirror: Mirror, monkeypatch: pytest.MonkeyPatch) -> None:
    mirror.add("tool", "1", "arm64")
    mirror.publish()
    found = archive().find("tool")
    monkeypatch.setenv("ESP_HOSTED_OFFLINE", "1")
    with pytest.raises(HarnessError, match=r"offline, and not in the cache: tool_1_arm64\.deb"):
        archive().download(found, lambda files: pytest.fail("used"))


def test_newest_is_by_version_not_by_text() -> None:
    assert debian.newest(["6.12.9-1", "6.12.85-1~bpo12+1", "6.12.10-1"]) == "6.12.85-1~bpo12+1"


def test_newest_kernel_with_headers(mirror: Mirror, blind: None) -> None:
    add_kernel(mirror, "6.12.9+test-arm64", "6.12.9-1")
    add_kernel(mirror, "6.12.10+test-arm64", "6.12.10-1")
    add_kernel(mirror, "6.12.11+test-arm64", "6.12.11-1", headers=False)
    add_kernel(mirror, "6.12.12+test-arm64", "6.12.12-1", kbuild="6.12.11-9")
    add_kernel(mirror, "6.13.1+test-arm64", "6.13.1-1")
    mirror.publish()
    provider = kernels.PROVIDERS["debian"]
    found = provider("6.12", row())
    assert (found.release, found.version) == ("6.12.10+test-arm64", "6.12.10-1")
    assert found.image.read_text() == "6.12.10-1"
    assert (found.modules / "modules.dep").exists()
    here = "$(dir $(lastword $(MAKEFILE_LIST)))"
    assert (
        found.build / "Makefile"
    ).read_text() == f"include {here}../linux-headers-6.12.10+test-common/Makefile\n"


def test_dropped_series_gives_the_newest_and_says_so(
    mirror: Mirror, blind: None, capsys: pytest.CaptureFixture[str]
) -> None:
    add_kernel(mirror, "6.13.1+test-arm64", "6.13.1-1")
    add_kernel(mirror, "6.14.2+test-arm64", "6.14.2-1")
    mirror.publish()
    assert kernels.PROVIDERS["debian"]("6.12", row()).release == "6.14.2+test-arm64"
    said = capsys.readouterr().err
    assert "has dropped 6.12, using its newest, 6.14.2+test-arm64" in said


def test_suite_without_kernels_is_unavailable(mirror: Mirror, blind: None) -> None:
    mirror.publish()
    with pytest.raises(kernels.UnavailableError, match=r"testsuite has no kernel 6\.12 for arm64 with its"):
        kernels.PROVIDERS["debian"]("6.12", row())


def test_image_in_parts(mirror: Mirror, blind: None) -> None:
    """From 7.x on the image is a metapackage, and everything is below usr/lib/modules."""
    release, version, inside = "7.3.4+test-arm64", "7.3.4-1", "usr/lib/modules/7.3.4+test-arm64"
    parts = ", ".join(f"linux-{part}-{release} (= {version})" for part in ("base", "binary", "modules"))
    mirror.add(f"linux-image-{release}", version, "arm64", f"kmod, {parts}")
    mirror.add(f"linux-base-{release}", version, "arm64", files={f"{inside}/dtb/x.dtb": ""})
    mirror.add(f"linux-binary-{release}", version, "arm64", files={f"{inside}/vmlinuz": "image"})
    mirror.add(f"linux-modules-{release}", version, "arm64", files={f"{inside}/modules.order": ""})
    headers = f"usr/src/linux-headers-{release}"
    mirror.add(
        f"linux-headers-{release}", version, "arm64",
        "gcc-10-for-host, linux-headers-7.3.4+test-common (= 7.3.4-1), linux-kbuild-7.3.4+test",
        {f"{headers}/Makefile": f"KBUILD_OUTPUT=/{headers}\ninclude /usr/src/common/Makefile\n"},
    )  # fmt: skip
    mirror.add("linux-headers-7.3.4+test-common", version, "all")
    mirror.add("linux-kbuild-7.3.4+test", version, host_arch(), "libc6 (>= 2.17)")
    mirror.publish()
    chosen = kernels.Row(provider="debian", arch="arm64", board="imx8mp-evk", suite=SUITE, series="7.3")
    found = kernels.PROVIDERS["debian"]("7.3", chosen)
    assert found.image.read_text() == "image"
    assert (found.dtbs / "x.dtb").exists()
    assert (found.modules / "modules.dep").exists()
    assert found.toolchain.root is None
    here = "$(dir $(lastword $(MAKEFILE_LIST)))"
    assert (
        found.build / "Makefile"
    ).read_text() == f"KBUILD_OUTPUT := $(abspath {here})\ninclude {here}../common/Makefile\n"


def test_warm_cache_needs_no_mirror(mirror: Mirror, blind: None, monkeypatch: pytest.MonkeyPatch) -> None:
    add_kernel(mirror, RELEASE, "6.12.9-1")
    mirror.publish()
    first = kernels.PROVIDERS["debian"]("6.12", row())
    monkeypatch.setattr(debian, "Archive", lambda *args: pytest.fail("asked the archive"))
    monkeypatch.setenv("ESP_HOSTED_OFFLINE", "1")
    assert kernels.PROVIDERS["debian"]("6.12", row()) == first


def test_cold_cache_offline_names_the_kernel(
    mirror: Mirror, blind: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_kernel(mirror, RELEASE, "6.12.9-1")
    mirror.publish()
    kernels.PROVIDERS["debian"]("6.12", row())
    Cache().remove("kernel")
    monkeypatch.setenv("ESP_HOSTED_OFFLINE", "1")
    with pytest.raises(HarnessError, match=r"offline, and the cache has no kernel 6\.12\.9\+test-arm64"):
        kernels.PROVIDERS["debian"]("6.12", row())


def test_record_is_renewed_when_asked_and_kept_when_the_mirror_is_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    def away() -> str:
        raise HarnessError("no network")

    assert pins.pinned("x", lambda: "1", lambda value: True) == "1"
    assert pins.pinned("x", lambda: "2", lambda value: True) == "1"
    assert pins.pinned("x", lambda: "2", lambda value: False) == "2"
    monkeypatch.setenv(pins.REFRESH_VARIABLE, "1")
    assert pins.pinned("x", away, lambda value: True) == "2"
    assert pins.pinned("x", lambda: "3", lambda value: True) == "3"
    with pytest.raises(HarnessError, match="no network"):
        pins.pinned("x", away, lambda value: False)
