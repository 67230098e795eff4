# SPDX-License-Identifier: MIT
"""Loading and unloading again and again, also in the middle of traffic: nothing stays behind."""

from __future__ import annotations

import re

import pytest

from harness import scenario, traffic
from harness.coprocessor import Coprocessor
from harness.target import Target
from harness.traffic import IperfServer
from harness.wifi import Wifi
from tests.guest.lab import KMEMLEAK

ROUNDS = 20
PINGS = 20
# Rounds before the first measurement: caches fill.
WARM_UP = 2
CACHES = ("skbuff_head_cache", "skbuff_fclone_cache", "skbuff_small_head")
# NAPI_SKB_CACHE_SIZE of net/core/skbuff.c: buffers that each processor keeps for the next ones.
KEPT_PER_CPU = 64


def threads(target: Target) -> list[str]:
    """Names of the kernel threads that belong to the driver.

    The kernel's shared workers (kworker/u16:0-...) do not: they only show whose work they did last.
    """
    names = target.run("cat /proc/[0-9]*/comm 2>/dev/null", check=False).lines()
    own = [name for name in names if not re.match(r"kworker/u?\d+:", name)]
    return [name for name in own if re.search(r"esp|spi\d+\.\d", name)]


def in_use(target: Target) -> tuple[int, int]:
    """Active socket buffers, and unreclaimable slab memory (KiB), once what can be freed is freed."""
    # In every cache: half-empty slabs alone go up and down by hundreds of KiB.
    target.run("echo 3 >/proc/sys/vm/drop_caches; for f in /sys/kernel/slab/*/shrink; do echo 1 >$f; done")
    counts = {
        line.split()[0]: int(line.split()[1])
        for line in target.read_file("/proc/slabinfo").decode().splitlines()[2:]
    }
    found = re.search(r"SUnreclaim: +(\d+) kB", target.read_file("/proc/meminfo").decode())
    assert found is not None
    return sum(counts.get(name, 0) for name in CACHES), int(found[1])


def one_round(wlan: Wifi) -> None:
    wlan.load()
    wlan.up()
    wlan.connect(scenario.SSID)
    wlan.lease()
    assert traffic.ping(wlan.target, count=PINGS, interval=0.02).received == PINGS
    wlan.unload()


def test_twenty_times_load_associate_ping_unload(wlan: Wifi, esp: Coprocessor) -> None:
    target = wlan.target
    # Tests of faults before this one may have had some.
    unarmed = esp.counters["unarmed-transactions"]
    idle = [name for name in threads(target) if not re.search(r"spi0\.0|esp_hosted", name)]
    wlan.unload()
    for _ in range(WARM_UP):
        one_round(wlan)
    skbs, memory = in_use(target)
    for _ in range(ROUNDS):
        one_round(wlan)
    assert sorted(threads(target)) == sorted(idle), "a thread stayed behind"
    assert not target.run("ls /sys/class/net/wlan* /sys/class/ieee80211/*", check=False).ok
    assert not target.run("grep spi0.0 /proc/interrupts", check=False).ok, "an interrupt stayed requested"
    skbs_after, memory_after = in_use(target)
    # What processors keep may grow to its limit; one of each ping's buffers lost would be three times that.
    kept = KEPT_PER_CPU * int(target.run(["nproc"]).stdout)
    assert skbs_after - skbs <= kept < ROUNDS * PINGS, "socket buffers were leaked"
    # KASAN keeps what was freed for a while. Kernels that have it have kmemleak, which looks after each test.
    if not target.run(["test", "-e", KMEMLEAK], check=False).ok:
        assert memory_after - memory < 16 * ROUNDS, "memory was leaked"
    assert esp.counters["unarmed-transactions"] == unarmed


def reconnect(wlan: Wifi) -> None:
    """From an interface that is there to traffic again."""
    wlan.up()
    wlan.connect(scenario.SSID)
    wlan.lease()
    assert traffic.ping(wlan.target).received == 3


@pytest.mark.parametrize("direction", ["up", "down"])
def test_unbind_and_bind_in_the_middle_of_traffic(
    connected: Wifi, esp: Coprocessor, server: IperfServer, direction: traffic.Direction
) -> None:
    target, device = connected.target, connected.device()
    job = target.spawn(traffic.iperf_command(server.port, direction=direction, seconds=60))
    connected.wait_packets("tx" if direction == "up" else "rx", 100)
    connected.unbind(device)
    assert not target.run(["ip", "link", "show", "dev", connected.interface], check=False).ok
    connected.bind(device)
    connected.wait_interface()
    job.stop()
    reconnect(connected)
    assert esp.state == "running"


def test_unload_in_the_middle_of_a_scan(wlan: Wifi) -> None:
    wlan.start_scan()
    wlan.unload()
    assert not wlan.loaded()
    wlan.load()
    wlan.up()
    assert wlan.scan()


@pytest.mark.parametrize("direction", ["up", "down"])
def test_down_in_the_middle_of_traffic(
    connected: Wifi, server: IperfServer, direction: traffic.Direction
) -> None:
    job = connected.target.spawn(traffic.iperf_command(server.port, direction=direction, seconds=60))
    connected.wait_packets("tx" if direction == "up" else "rx", 100)
    connected.down()
    job.stop()
    assert "UP" not in connected.ip_link()["flags"]
    reconnect(connected)


def test_unload_in_the_middle_of_traffic(connected: Wifi, server: IperfServer) -> None:
    job = connected.target.spawn(traffic.iperf_command(server.port, seconds=60))
    connected.wait_packets("tx", 100)
    connected.unload()
    job.stop()
    assert not connected.loaded()
    connected.load()
    reconnect(connected)
