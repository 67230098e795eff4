# SPDX-License-Identifier: MIT
"""QEMU's monitor protocol, synchronous, over an already connected socket."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from types import TracebackType
from typing import Any

from qemu.qmp import EventListener, ExecuteError, QMPClient, QMPError

from harness.errors import HarnessError

TIMEOUT = 20.0


class MonitorError(HarnessError):
    """QEMU refused a monitor command, or does not answer any more."""


class Listener:
    """Events of one name, in order, none of them lost."""

    def __init__(self, monitor: Monitor, listener: EventListener) -> None:
        self._monitor = monitor
        self._listener = listener

    def next(self, timeout: float) -> dict[str, Any] | None:
        """The next event, waited for; None: it did not come within `timeout` seconds."""
        return self._monitor.await_event(self._listener, timeout)


class Monitor:
    """One QMP session. Not thread-safe: use it from the thread that created it."""

    def __init__(self, connected: socket.socket, timeout: float = TIMEOUT) -> None:
        """Negotiate on `connected`; MonitorError if QEMU does not greet within `timeout` seconds."""
        self._runner = asyncio.Runner()
        self._client = QMPClient("machine")
        # A refused command is reported once, by the exception.
        self._client.logger.setLevel("CRITICAL")
        self._timeout = timeout
        self._closed = False
        try:
            self._run(self._client.connect(connected))
        except (QMPError, TimeoutError, OSError, EOFError) as error:
            self._runner.close()
            raise MonitorError(f"QEMU's monitor does not answer: {error or type(error).__name__}") from error

    def _run(self, coroutine: Any) -> Any:
        async def bounded() -> Any:
            return await asyncio.wait_for(coroutine, self._timeout)

        return self._runner.run(bounded())

    def execute(self, command: str, **arguments: object) -> Any:
        """The value a command returns. MonitorError: refused, timed out, or QEMU is gone."""
        if self._closed:
            raise MonitorError(f"QEMU was ended before {command}")
        try:
            return self._run(self._client.execute(command, arguments or None))
        except ExecuteError as error:
            raise MonitorError(f"QEMU refused {command} {arguments}: {error}") from None
        except (QMPError, TimeoutError, OSError, EOFError) as error:
            reason = str(error) or type(error).__name__
            raise MonitorError(f"QEMU did not answer {command}: {reason}") from error

    def wait_event(self, name: str, timeout: float) -> dict[str, Any]:
        """The next event of this name, also one from before the call; others are passed over.

        MonitorError: it did not come within `timeout` seconds, or QEMU is gone.
        """

        async def arrive() -> dict[str, Any]:
            while True:
                event = dict(await self._client.events.get())
                if event["event"] == name:
                    return event

        async def bounded() -> dict[str, Any]:
            return await asyncio.wait_for(arrive(), timeout)

        if self._closed:
            raise MonitorError(f"QEMU was ended before the event {name}")
        try:
            return self._runner.run(bounded())
        except TimeoutError:
            raise MonitorError(f"QEMU did not report {name} within {timeout:g} s") from None
        except (QMPError, OSError, EOFError) as error:
            raise MonitorError(f"QEMU ended before the event {name}") from error

    @contextlib.contextmanager
    def listen(self, name: str) -> Iterator[Listener]:
        """Collect the events of this name from now on, until the `with` ends."""
        listener = EventListener(name)
        self._client.register_listener(listener)
        try:
            yield Listener(self, listener)
        finally:
            self._client.remove_listener(listener)

    def await_event(self, listener: EventListener, timeout: float) -> dict[str, Any] | None:
        """The next event of a listener; None: it did not come within `timeout` seconds."""

        async def bounded() -> dict[str, Any]:
            return dict(await asyncio.wait_for(listener.get(), timeout))

        if self._closed:
            raise MonitorError("QEMU was ended before the event")
        try:
            return self._runner.run(bounded())
        except TimeoutError:
            return None
        except (QMPError, OSError, EOFError) as error:
            raise MonitorError("QEMU ended before the event") from error

    def qom_get(self, path: str, name: str) -> Any:
        """A property of a device."""
        return self.execute("qom-get", path=path, property=name)

    def qom_set(self, path: str, name: str, value: object) -> None:
        """Set a property of a device."""
        self.execute("qom-set", path=path, property=name, value=value)

    def qom_properties(self, path: str) -> dict[str, str]:
        """Names and types of a device's properties."""
        return {entry["name"]: entry["type"] for entry in self.execute("qom-list", path=path)}

    def close(self) -> None:
        """End the session; harmless when QEMU is already gone, and a second time."""
        if self._closed:
            return
        self._closed = True
        with contextlib.suppress(QMPError, TimeoutError, OSError, EOFError):
            self._run(self._client.disconnect())
        self._runner.close()

    def __enter__(self) -> Monitor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
