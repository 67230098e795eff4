# SPDX-License-Identifier: MIT
"""Firmware answers written in Python: commands of a virtual co-processor, handled frame by frame."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from qemu.qmp import EventListener, QMPClient, QMPError

from harness.errors import HarnessError

STATION, ACCESS_POINT, BLUETOOTH, INTERNAL = 0, 1, 2, 3
DATA, RESPONSE, EVENT, EAPOL = 0, 2, 3, 4
FAIL, SUCCESS, BUSY, UNSUPPORTED, INVALID = 1, 2, 3, 4, 5
# Released firmware sends so many zero bytes behind every answer.
SURPLUS = 12
CONNECT_SECONDS = 20.0


@dataclass(frozen=True)
class Frame:
    """A frame to the host; header and checksum are the firmware's work."""

    interface: int
    packet_type: int
    payload: bytes

    @classmethod
    def event(cls, code: int, body: bytes = b"", *, status: int = 0, interface: int = STATION) -> Frame:
        """An event with its header (protocol.md 8)."""
        return cls(interface, EVENT, struct.pack("<BBH", code, status, len(body)) + body)

    def __str__(self) -> str:
        return f"{self.interface}:{self.packet_type}:{self.payload.hex()}"


@dataclass(frozen=True)
class Request:
    """A command that arrived."""

    code: int
    interface: int
    sequence: int
    body: bytes
    """What follows the command header."""
    echo: bool
    """The generation's answers repeat the sequence number."""

    def answer(self, data: bytes = b"", *, status: int = SUCCESS, code: int | None = None) -> Frame:
        """The answer with its header (protocol.md 6)."""
        header = struct.pack(
            "<BBHHBB",
            self.code if code is None else code,
            status,
            len(data),
            self.sequence if self.echo else 0,
            0,
            0,
        )
        return Frame(self.interface, RESPONSE, header + data + bytes(SURPLUS))


Handler = Callable[[Request], Iterable[Frame]]


@dataclass(frozen=True)
class _Script:
    path: str
    echo: bool
    handlers: Mapping[int, Handler]
    failures: list[Exception]


class Scripts:
    """Runs handlers in a thread of its own, over a monitor connection of its own."""

    def __init__(self, connected: socket.socket) -> None:
        """HarnessError if QEMU does not greet."""
        self._connected = connected
        self._active: dict[str, _Script] = {}
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._ready: Future[None] = Future()
        self._thread = threading.Thread(target=self._main, daemon=True, name="firmware scripts")
        self._thread.start()
        try:
            self._ready.result(CONNECT_SECONDS)
        except (QMPError, TimeoutError, OSError, EOFError) as error:
            raise HarnessError(f"QEMU's second monitor does not answer: {error}") from error

    def _main(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            self._loop.close()

    async def _serve(self) -> None:
        client = QMPClient("scripts")
        client.logger.setLevel("CRITICAL")
        listener = EventListener("ESP_HOSTED")
        client.register_listener(listener)
        try:
            await client.connect(self._connected)
        except Exception as error:
            self._ready.set_exception(error)
            return
        self._ready.set_result(None)
        stop = asyncio.ensure_future(self._stop.wait())
        with suppress(QMPError, EOFError, OSError):
            while not stop.done():
                event = asyncio.ensure_future(listener.get())
                await asyncio.wait((stop, event), return_when=asyncio.FIRST_COMPLETED)
                if event.done():
                    data: Any = event.result()["data"]
                    await self._handle(client, data)
                else:
                    event.cancel()
        with suppress(QMPError, EOFError, OSError):
            await client.disconnect()

    async def _handle(self, client: QMPClient, data: dict[str, Any]) -> None:
        script = self._active.get(str(data["device"]))
        handler = script.handlers.get(int(data.get("code", -1))) if script else None
        if script is None or handler is None or data["what"] != "script":
            return
        payload = bytes.fromhex(data["data"])
        request = Request(payload[0], data["interface"], data["sequence"], payload[8:], script.echo)
        try:
            frames = ",".join(map(str, handler(request)))
            if frames:
                await client.execute("qom-set", {"path": script.path, "property": "inject", "value": frames})
        except Exception as error:
            script.failures.append(error)

    @contextmanager
    def running(self, path: str, device: str, echo: bool, handlers: Mapping[int, Handler]) -> Iterator[None]:
        """Handle the commands of one co-processor; HarnessError at the end if a handler failed."""
        if device in self._active:
            raise HarnessError(f"{device} has a script already", hint="put both handlers into one")
        script = self._active[device] = _Script(path, echo, handlers, [])
        try:
            yield
        finally:
            del self._active[device]
        if script.failures:
            first = script.failures[0]
            raise HarnessError(f"the script of {device} failed: {type(first).__name__}: {first}") from first

    def close(self) -> None:
        """End the thread; harmless a second time."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join()
