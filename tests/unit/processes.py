# SPDX-License-Identifier: MIT
"""What tests ask about processes."""

from __future__ import annotations

from pathlib import Path


def ended(pid: int) -> bool:
    """True if a process is gone or only waits for somebody to notice."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True
