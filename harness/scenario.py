# SPDX-License-Identifier: MIT
"""The machine that demo, boot and tests share: a co-processor, an access point to the host, others around."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from harness import devicetree
from harness.boards import Wiring
from harness.coprocessor import Recordings
from harness.prepare import Prepared
from harness.qemu import AccessPoint, Coprocessor, MachineConfig, Network, TapNetwork, UserNetwork

SSID = "esp-hosted"
CHANNEL = 6
SIGNAL = -42
FAR_SSID = "far away"
FAR_CHANNEL = 11
FAR_SIGNAL = -71
# Only chips with a second band hear it.
FIVE_SSID = "five"
FIVE_CHANNEL = 36
FIVE_SIGNAL = -55
NETWORK = "net0"
# One instruction a nanosecond, virtual time never ahead of real time: what the guest measures is what the
# model takes, however busy the host is.
PACED = "shift=0"

# The other co-processors of `radios`; dts/overlays says the same.
RADIOS_OVERLAY = "imx8mp-evk-three-esp-hosted.dtso"
SECOND = Wiring(
    spi="/machine/soc/spi1",
    cs="/machine/soc/gpio5:9",
    handshake="/machine/soc/gpio3:23",
    data_ready="/machine/soc/gpio3:24",
    reset="/machine/soc/gpio3:25",
)
THIRD = Wiring(
    spi="/machine/soc/spi3",
    cs="/machine/soc/gpio5:25",
    handshake="/machine/soc/gpio4:5",
    data_ready="/machine/soc/gpio4:6",
    reset="/machine/soc/gpio4:7",
)


def machine(
    prepared: Prepared,
    *,
    append: tuple[str, ...] = (),
    capture: bool = False,
    icount: str | None = None,
    gdb_port: int | None = None,
    tap: TapNetwork | None = None,
    trace: Path | None = None,
) -> MachineConfig:
    """The machine; the options are those of MachineConfig.

    `tap` replaces QEMU's network by a tap device; with `trace` the co-processor records into that directory.
    """
    network: Network = tap or UserNetwork()
    recordings = Recordings.in_directory(trace, "esp0").properties if trace else {}
    return MachineConfig(
        prepared.board,
        prepared.kernel.image,
        prepared.dtb,
        prepared.rootfs,
        coprocessors=(Coprocessor("esp0", {**recordings}),),
        access_points=(
            AccessPoint("ap0", {"ssid": SSID, "channel": CHANNEL, "signal": SIGNAL}, network=NETWORK),
            AccessPoint("ap1", {"ssid": FAR_SSID, "channel": FAR_CHANNEL, "signal": FAR_SIGNAL}),
            AccessPoint("ap2", {"ssid": FIVE_SSID, "channel": FIVE_CHANNEL, "signal": FIVE_SIGNAL}),
        ),
        networks={NETWORK: network},
        append=(*prepared.kernel.append, *append),
        capture=capture,
        icount=icount,
        gdb_port=gdb_port,
    )


def radios(prepared: Prepared, *, append: tuple[str, ...] = ()) -> MachineConfig:
    """The machine with `esp1` and `esp2` besides: an access point and two stations of our own drivers."""
    usual = machine(prepared, append=append)
    return replace(
        usual,
        dtb=devicetree.merge(prepared.kernel, replace(prepared.board, overlay=RADIOS_OVERLAY)),
        coprocessors=(
            *usual.coprocessors,
            Coprocessor("esp1", {"chip": "esp32c3"}, wiring=SECOND),
            # The chip with a second band
            Coprocessor("esp2", {"chip": "esp32c5"}, wiring=THIRD),
        ),
    )
