# SPDX-License-Identifier: MIT
"""Latency while the link is full, in the guest whose time is the model's: what waits, waits in the qdisc."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from harness import traffic
from harness.traffic import IperfServer, Ping
from harness.wifi import Wifi
from tests.guest.lab import TRACING, need_tracing

# Expedited forwarding: user priority 6, access category voice.
VOICE = "0xc0"
# CS1: user priority 1, background.
BACKGROUND = "0x20"
COUNT = 30
# fq_codel has 1024 queues by hash: what shares one with a stream is dropped now and then, as its segments.
SHARED_LOSS = 3
COMMANDS = 20
# A full frame takes 1.3 ms on this bus. In the driver's queue wait what BQL lets in, on the way also answers.
LOADED_MS = 40.0
VOICE_MS = 15.0


@contextmanager
def load(wlan: Wifi, server: IperfServer, dscp: str = "0") -> Iterator[None]:
    """Four TCP streams up for as long as it takes, in full swing."""
    command = [*traffic.iperf_command(server.port, seconds=60, streams=4), "-S", dscp]
    job = wlan.target.spawn(command)
    wlan.wait_packets("tx", 500)
    try:
        yield
    finally:
        job.stop()
        # What its sockets still have to send would be counted for the next test.
        unsent = f"ss -Htn state connected exclude time-wait exclude fin-wait-2 dport = :{server.port}"
        wlan.target.run(f'while [ -n "$({unsent})" ]; do sleep 0.05; done', timeout=60)


def ping(wlan: Wifi, dscp: str = "0") -> Ping:
    """Echo requests with a type of service."""
    words = ["ping", "-n", "-Q", dscp, "-c", str(COUNT), "-i", "0.1", "-W", "3", traffic.HOST_FROM_GUEST]
    return traffic.parse_ping(wlan.target.run(words, timeout=60, check=False).stdout)


def dropped(wlan: Wifi) -> int:
    """Frames that the driver took and did not send."""
    return int(wlan.target.read_file(f"/sys/class/net/{wlan.interface}/statistics/tx_dropped"))


def queues(wlan: Wifi) -> dict[str, int]:
    """Packets by the driver's queue: the children of the interface's mq."""
    shown = wlan.target.run_json(["tc", "-s", "-j", "qdisc", "show", "dev", wlan.interface])
    assert shown[0]["kind"] == "mq"
    # Whatever the kernel gives every queue: fq_codel with distributions, else pfifo_fast.
    usual = wlan.target.run(["cat", "/proc/sys/net/core/default_qdisc"]).stdout.strip()
    assert {one["kind"] for one in shown[1:]} == {usual} and len(shown) == 5
    return {one["parent"]: int(one["packets"]) for one in shown[1:]}


def test_latency_under_load(paced: Wifi, server: IperfServer) -> None:
    idle = ping(paced)
    assert idle.received == COUNT and idle.average is not None
    before = dropped(paced)
    with load(paced, server):
        loaded = ping(paced)
        voice = ping(paced, VOICE)
    assert dropped(paced) == before
    assert voice.received == COUNT and loaded.received >= COUNT - SHARED_LOSS
    assert loaded.average is not None and voice.average is not None
    assert loaded.average < idle.average + LOADED_MS
    # Does not even wait for what is in the driver already.
    assert voice.average < idle.average + VOICE_MS
    assert voice.average <= loaded.average


def test_background_load_does_not_delay_others(paced: Wifi, server: IperfServer) -> None:
    idle = ping(paced)
    with load(paced, server, BACKGROUND):
        loaded = ping(paced)
    assert idle.average is not None and loaded.average is not None and loaded.received == COUNT
    assert loaded.average < idle.average + VOICE_MS


def test_each_access_category_has_a_queue_with_bql(paced: Wifi) -> None:
    for dscp, queue in (("0", 3), (BACKGROUND, 4), ("0x80", 2), (VOICE, 1)):
        before = queues(paced)
        ping_once = ["ping", "-n", "-Q", dscp, "-c", "5", "-i", "0.1", "-W", "3", traffic.HOST_FROM_GUEST]
        paced.target.run(ping_once)
        grown = {parent: count - before[parent] for parent, count in queues(paced).items()}
        (most,) = [parent for parent, count in grown.items() if count >= 5]
        assert int(most.rpartition(":")[2], 16) == queue, (dscp, grown)
    for number in range(4):
        limit = f"/sys/class/net/{paced.interface}/queues/tx-{number}/byte_queue_limits/limit"
        assert paced.target.run(["cat", limit]).ok


def test_commands_pass_a_full_link(paced: Wifi, server: IperfServer) -> None:
    target = paced.target
    need_tracing(target)
    events = " ".join(
        f"{TRACING}/events/esp_hosted/{name}/enable" for name in ("esp_command", "esp_command_done")
    )
    with load(paced, server):
        assert "signal:" in target.run(["iw", "dev", paced.interface, "station", "dump"]).stdout
        target.run(f"echo >{TRACING}/trace; for one in {events}; do echo 1 >$one; done")
        try:
            ask = f"iw dev {paced.interface} station dump >/dev/null"
            target.run(f"for i in $(seq {COMMANDS}); do {ask} || exit; done")
            said = target.run(["cat", f"{TRACING}/trace"]).stdout
        finally:
            target.run(f"for one in {events}; do echo 0 >$one; done; echo >{TRACING}/trace")
    begun = {seq: float(at) for at, seq in re.findall(r" ([\d.]+): esp_command: .* seq=(\d+)", said)}
    done = {seq: float(at) for at, seq in re.findall(r" ([\d.]+): esp_command_done: .* seq=(\d+)", said)}
    assert len(done) >= COMMANDS
    waits = [1000 * (done[seq] - begun[seq]) for seq in begun.keys() & done.keys()]
    # What stands in the queue of such a link would take 85 ms.
    assert sum(waits) / len(waits) < LOADED_MS, waits
