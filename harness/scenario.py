# SPDX-License-Identifier: MIT
"""The machine that demo, boot and tests share: a co-processor, an access point to the host, one far away."""

from __future__ import annotations

from harness.prepare import Prepared
from harness.qemu import AccessPoint, Coprocessor, MachineConfig, Network, TapNetwork, UserNetwork

SSID = "esp-hosted"
CHANNEL = 6
SIGNAL = -42
FAR_SSID = "far away"
FAR_CHANNEL = 11
FAR_SIGNAL = -71
NETWORK = "net0"
# One instruction a nanosecond, virtual time never ahead of real time: what the guest measures is what the
# model takes, however busy the host is.
PACED = "shift=0"


def machine(
    prepared: Prepared,
    *,
    append: tuple[str, ...] = (),
    capture: bool = False,
    icount: str | None = None,
    gdb_port: int | None = None,
    tap: TapNetwork | None = None,
) -> MachineConfig:
    """The machine; the options are those of MachineConfig, `tap` replaces QEMU's network by a tap device."""
    network: Network = tap or UserNetwork()
    return MachineConfig(
        prepared.board,
        prepared.kernel.image,
        prepared.dtb,
        prepared.rootfs,
        coprocessors=(Coprocessor("esp0"),),
        access_points=(
            AccessPoint("ap0", {"ssid": SSID, "channel": CHANNEL, "signal": SIGNAL}, network=NETWORK),
            AccessPoint("ap1", {"ssid": FAR_SSID, "channel": FAR_CHANNEL, "signal": FAR_SIGNAL}),
        ),
        networks={NETWORK: network},
        append=append,
        capture=capture,
        icount=icount,
        gdb_port=gdb_port,
    )
