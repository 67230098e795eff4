#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Stands in for QEMU in unit tests: speaks the monitor protocol on the descriptor it is given.

`-fake MODE`: "die" ends at once with a message, "deaf" never ends by itself, "shell" connects the console
to a shell after printing what a guest prints.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any


def descriptor(name: str) -> int:
    prefix = f"socket,id={name},fd="
    word = next(word for word in sys.argv if word.startswith(prefix))
    return int(word.removeprefix(prefix).split(",")[0])


def mode() -> str:
    return sys.argv[sys.argv.index("-fake") + 1] if "-fake" in sys.argv else ""


def requests(connection: socket.socket) -> Iterator[dict[str, Any]]:
    """The JSON values that arrive; nothing separates them."""
    text = ""
    while data := connection.recv(65536):
        text = (text + data.decode()).lstrip()
        while text:
            try:
                value, end = json.JSONDecoder().raw_decode(text)
            except json.JSONDecodeError:
                break
            text = text[end:].lstrip()
            yield value


def main() -> int:
    if mode() == "die":
        print("qemu-system-aarch64: -device esp-hosted: wiring: no such path", file=sys.stderr)
        return 1
    if mode() == "shell":
        fd = descriptor("console")
        os.write(fd, b"[    0.000000] Booting Linux\r\nesp-hosted guest ready\r\n")
        subprocess.Popen(["sh"], stdin=fd, stdout=fd, stderr=fd)
    properties: dict[str, object] = {"state": "running", "counters": {"transactions": 7}}
    monitor = socket.socket(fileno=descriptor("qmp"))

    def say(value: object) -> None:
        monitor.sendall(json.dumps(value).encode() + b"\r\n")

    version = {"qemu": {"major": 10, "minor": 0, "micro": 0}, "package": ""}
    say({"QMP": {"version": version, "capabilities": []}})
    for request in requests(monitor):
        given = request.get("arguments", {})
        answer: dict[str, object] = {"return": {}}
        if request["execute"] == "qom-get" and given["property"] in properties:
            answer = {"return": properties[given["property"]]}
        elif request["execute"] == "qom-get":
            answer = {"error": {"class": "GenericError", "desc": f"Property '{given['property']}' not found"}}
        elif request["execute"] == "qom-set":
            properties[given["property"]] = given["value"]
        elif request["execute"] == "qom-list":
            answer = {"return": [{"name": name, "type": "any"} for name in properties]}
        elif request["execute"] == "quit" and mode() == "deaf":
            time.sleep(600)
        say(answer | {name: request[name] for name in ("id",) if name in request})
        if request["execute"] == "quit":
            return 0
    time.sleep(600 if mode() == "deaf" else 0)
    return 0


if __name__ == "__main__":
    sys.exit(main())
