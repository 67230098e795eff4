# SPDX-License-Identifier: MIT
"""Kernels that are not Debian's packages: a build directory, kernel.org."""

from __future__ import annotations

import functools
import hashlib
import json
import shutil
import subprocess
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from harness import kernels, module, upstream
from harness.errors import HarnessError

LOCAL = kernels.Row(provider="local", arch="arm64", board="imx8mp-evk", path="$TEST_KERNEL_BUILD")
VERSION = "6.6.99"
BROKEN = Path(__file__).resolve().parents[1] / "data" / "broken"


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("ESP_HOSTED_OFFLINE", raising=False)


@pytest.mark.skipif(not shutil.which("patch"), reason="needs patch: apt-get install patch")
@pytest.mark.parametrize("path", sorted(BROKEN.glob("*.patch")), ids=lambda path: path.stem)
def test_broken_drivers_are_made_of_this_one(path: Path) -> None:
    """tests/guest/test_detectors.py applies these."""
    command = ["patch", "--strip=1", "--dry-run", "--input", str(path)]
    subprocess.run(command, cwd=module.DRIVER, check=True)


# A build directory.


@pytest.fixture
def build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A build directory with a Makefile that installs modules as a kernel's does."""
    directory = tmp_path / "linux"
    files = {
        ".config": "CONFIG_MODULES=y\n",
        "Module.symvers": "",
        "arch/arm64/boot/Image": "image",
        "include/config/kernel.release": "6.13.0-mine+\n",
        "modules.order": "drivers/one.o\n",
        "drivers/one.ko": "module",
        "Makefile": "modules_install:\n"
        "\tmkdir -p $(INSTALL_MOD_PATH)/lib/modules/6.13.0-mine+\n"
        "\tcp drivers/one.ko modules.order $(INSTALL_MOD_PATH)/lib/modules/6.13.0-mine+/\n",
    }
    for name, text in files.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(text)
    monkeypatch.setenv("TEST_KERNEL_BUILD", str(directory))
    return directory


def resolve_local() -> kernels.Kernel:
    return kernels.PROVIDERS["local"]("local", LOCAL)


def test_local_kernel_follows_its_directory(build: Path) -> None:
    found = resolve_local()
    assert (found.release, found.image.read_text()) == ("6.13.0-mine+", "image")
    assert (found.modules / "one.ko").read_text() == "module"
    (build / "drivers/one.ko").write_text("module, changed")
    (build / "arch/arm64/boot/Image").write_text("image, changed")
    again = resolve_local()
    assert (again.modules / "one.ko").read_text() == "module, changed"
    assert again.version != found.version


@pytest.mark.parametrize(
    ("missing", "complaint"),
    [
        (".config", r"\.config does not exist.*configure it"),
        ("arch/arm64/boot/Image", r"Image does not exist.*make -C .* Image modules dtbs"),
        ("Module.symvers", r"Module\.symvers does not exist.*build its modules"),
        ("drivers/one.ko", r"one\.ko does not exist.*make -C .* modules"),
        ("modules.order", r"modules\.order does not exist"),
    ],
)
def test_local_kernel_that_is_not_built(build: Path, missing: str, complaint: str) -> None:
    (build / missing).unlink()
    with pytest.raises(HarnessError, match=rf"(?s){complaint}"):
        resolve_local()


def test_local_kernel_that_nobody_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TEST_KERNEL_BUILD", raising=False)
    with pytest.raises(kernels.UnavailableError, match="TEST_KERNEL_BUILD is not set"):
        resolve_local()
    monkeypatch.setenv("TEST_KERNEL_BUILD", "/nowhere/linux")
    with pytest.raises(kernels.UnavailableError, match="/nowhere/linux is not a directory"):
        resolve_local()


# kernel.org.


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the test's output is not the place."""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A server with one release, as kernel.org lays it out."""
    directory = tmp_path / "site"
    files = directory / "v6.x"
    files.mkdir(parents=True)
    source = tmp_path / f"linux-{VERSION}"
    source.mkdir()
    (source / "Kconfig").write_text("config X\n")
    tarball = files / f"linux-{VERSION}.tar.xz"
    subprocess.run(["tar", "-C", tmp_path, "-cJf", tarball, source.name], check=True)
    total = hashlib.sha256(tarball.read_bytes()).hexdigest()
    (files / "sha256sums.asc").write_text(f"signed\n{total}  {tarball.name}\n")
    releases = [{"version": "6.13-rc1"}, {"version": VERSION}, {"version": "5.15.1"}]
    (directory / "releases.json").write_text(json.dumps({"releases": releases}))
    handler = functools.partial(_Quiet, directory=str(directory))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setattr(upstream, "SITE", url)
        monkeypatch.setattr(upstream, "FILES", url)
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        yield directory
        server.shutdown()
        thread.join()


def test_upstream_source_is_the_newest_of_its_series(site: Path, tmp_path: Path) -> None:
    source = upstream.source("6.6")
    assert (source.name, source.version) == ("linux", VERSION)
    tree = tmp_path / "tree"
    tree.mkdir()
    source.unpack(tmp_path, tree)
    assert (tree / "Kconfig").exists()


def test_upstream_series_that_ended(site: Path) -> None:
    with pytest.raises(kernels.UnavailableError, match=r"(?s)maintains no series 5\.10.*6\.6\.99"):
        upstream.source("5.10")


def test_upstream_file_with_a_wrong_sum_is_refused(site: Path, tmp_path: Path) -> None:
    source = upstream.source("6.6")
    with (site / f"v6.x/linux-{VERSION}.tar.xz").open("ab") as stream:
        stream.write(b"x")
    with pytest.raises(HarnessError, match="has not the SHA-256 sum"):
        source.unpack(tmp_path, tmp_path)


def test_upstream_that_is_not_reachable(monkeypatch: pytest.MonkeyPatch) -> None:
    # A port that was free a moment ago, and that nobody listens on.
    with ThreadingHTTPServer(("127.0.0.1", 0), _Quiet) as server:
        port = server.server_port
    monkeypatch.setattr(upstream, "SITE", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with pytest.raises(kernels.UnavailableError, match="cannot reach"):
        upstream.source("6.6")
