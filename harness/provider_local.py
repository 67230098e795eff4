# SPDX-License-Identifier: MIT
"""A kernel that somebody builds by hand: the everyday loop of a kernel developer."""

from __future__ import annotations

import os
from pathlib import Path

from harness import commands, toolchain
from harness.cache import Cache, digest, hash_file
from harness.errors import HarnessError
from harness.kerneltable import Kernel, Row, UnavailableError, config
from harness.paths import REPO


def resolve(name: str, chosen: Row) -> Kernel:
    """The kernel in a build directory (`O=` or the source tree itself) as it is now.

    UnavailableError: the directory is not there, or the variable that names it is not set. HarnessError:
    something is not built.
    """
    expanded = os.path.expandvars(chosen.path)
    if "$" in expanded:
        raise UnavailableError(
            f"kernel {name}: {chosen.path} is not set",
            hint="set it to the build directory of a kernel (the one with .config and Module.symvers)",
        )
    build = (REPO / Path(expanded).expanduser()).resolve()
    if not build.is_dir():
        raise UnavailableError(f"kernel {name}: {build} is not a directory")
    arch = toolchain.ARCHITECTURES[chosen.arch][0]
    image = build / f"arch/{arch}/boot" / ("Image" if arch == "arm64" else "zImage")
    files = {
        "configure it": build / ".config",
        "build its image": image,
        "build its modules": build / "Module.symvers",
        "prepare it": build / "include/config/kernel.release",
    }
    for what, path in files.items():
        if not path.exists():
            raise HarnessError(
                f"kernel {name}: {path} does not exist",
                hint=f"{what}: make -C {build} {image.name} modules dtbs",
            )
    release = files["prepare it"].read_text(encoding="utf-8").strip()
    tools = toolchain.host(chosen.arch)
    modules = _modules(build, release, arch, tools)
    return Kernel(
        name=name,
        release=release,
        version=f"{release} {hash_file(image)[:12]}",
        arch=chosen.arch,
        image=image,
        modules=modules,
        dtbs=build / f"arch/{arch}/boot/dts",
        build=build,
        config=build / ".config",
        symvers=build / "Module.symvers",
        board=chosen.board,
        toolchain=tools,
    )


def _modules(build: Path, release: str, arch: str, tools: toolchain.Toolchain) -> Path:
    """The kernel's modules as `modules_install` lays them out; again whenever one of them changes."""
    order = build / "modules.order"
    if not order.exists():
        if config(build / ".config").get("MODULES") != "y":
            raise HarnessError(f"{build} is configured without CONFIG_MODULES")
        raise HarnessError(f"{order} does not exist", hint=f"build its modules: make -C {build} modules")
    names = [line.removesuffix(".o") for line in order.read_text(encoding="utf-8").split()]
    files = [(build / name).with_suffix(".ko") for name in names]
    missing = [path for path in files if not path.exists()]
    if missing:
        raise HarnessError(f"{missing[0]} does not exist", hint=f"make -C {build} modules")
    stamps = [(str(path), path.stat().st_mtime_ns, path.stat().st_size) for path in files]
    key = digest("local-modules", str(build), release, stamps)

    def make(directory: Path) -> None:
        commands.run(
            ["make", "-C", build, f"ARCH={arch}", f"CROSS_COMPILE={tools.prefix}",
             f"INSTALL_MOD_PATH={directory}", "INSTALL_MOD_STRIP=1", "modules_install"],
            log="kernel",
            what=f"installing the modules of {build}",
        )  # fmt: skip
        for name in ("build", "source"):
            (directory / "lib/modules" / release / name).unlink(missing_ok=True)

    tree = Cache().entry("kernel-local", key, make, f"modules of {build.name}")
    return tree / "lib/modules" / release
