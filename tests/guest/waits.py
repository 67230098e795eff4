# SPDX-License-Identifier: MIT
"""Waiting for what the driver says in the kernel's log, and for what it counts."""

from __future__ import annotations

import itertools
import shlex

from harness.target import Target
from harness.wifi import Wifi

_marks = itertools.count(1)


class LogMark:
    """A place in the kernel's log; what is looked for comes after it."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._text = f"esp-hosted test mark {next(_marks)}"
        target.run(f"echo {shlex.quote(self._text)} >/dev/kmsg")

    def text(self) -> str:
        """The log since the mark."""
        return self._target.run(f"dmesg | sed '1,/{self._text}$/d'").stdout

    def wait(self, pattern: str, timeout: float) -> str:
        """Wait for a line that matches an extended regular expression; the line."""
        wanted = shlex.quote(pattern)
        script = f"until dmesg | sed '1,/{self._text}$/d' | grep -E -m 1 {wanted}; do sleep 0.1; done"
        result = self._target.run(script, timeout=timeout, check=False)
        assert result.ok, f"no line like {pattern!r} within {timeout:g} s; the log says:\n{self.text()}"
        return result.stdout.strip()


def wait_counter(wlan: Wifi, name: str, above: int, timeout: float = 30.0) -> None:
    """Wait until a counter of the driver (`ethtool -S`) is larger than `above`."""
    count = f"ethtool -S {wlan.interface} | sed -n 's/^ *{name}: //p'"
    result = wlan.target.run(
        f'until [ "$({count})" -gt {above} ]; do sleep 0.05; done', timeout=timeout, check=False
    )
    assert result.ok, f"{name} did not go beyond {above} within {timeout:g} s"


def wait_running(wlan: Wifi, timeout: float = 30.0) -> None:
    """Wait until the driver has set its co-processor up (again): until then it refuses with ENETDOWN."""
    wlan.target.run(
        "until grep -q '^state: running' /sys/kernel/debug/esp_hosted/*/info; do sleep 0.05; done",
        timeout=timeout,
    )
