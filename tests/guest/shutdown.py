# SPDX-License-Identifier: MIT
"""The system goes down with the interface up and traffic in both directions."""

from __future__ import annotations

import socket

from harness import klog, traffic
from harness.traffic import IperfServer
from tests.guest.lab import Lab

SHUTDOWN_SECONDS = 60.0
BITRATE = 4e6


def halt_in_traffic(lab: Lab) -> str:
    """Halt the guest in the middle of traffic; what it said. It is of no further use.

    Halting runs the same shutdown hooks as power-off and reboot, but leaves a machine that can be asked.
    """
    wlan, guest = lab.connected(), lab.guest
    unarmed = lab.esp.counters["unarmed-transactions"]
    lab.keep_coverage()
    # Everything on the console: there is nobody to ask afterwards.
    guest.run(["dmesg", "-n", "8"])
    begin = guest.console.mark()
    with IperfServer() as server, socket.create_server(("127.0.0.1", 0)) as trigger:
        trigger.settimeout(SHUTDOWN_SECONDS)
        guest.spawn(["ping", "-q", "-f", traffic.HOST_FROM_GUEST])
        guest.spawn(
            traffic.iperf_command(server.port, direction="down", udp=True, bitrate=BITRATE, seconds=300)
        )
        # When the connection ends: a command could not say that it was given.
        port = trigger.getsockname()[1]
        guest.spawn(f"busybox nc {traffic.HOST_FROM_GUEST} {port}; busybox halt -f")
        connection, _ = trigger.accept()
        wlan.wait_packets("rx", 200)
        connection.close()
        guest.console.wait_for("reboot: System halted", SHUTDOWN_SECONDS, "halt")
        said = guest.console.since(begin)
        assert not klog.findings(said), said
        assert lab.esp.counters["unarmed-transactions"] == unarmed
    return said
