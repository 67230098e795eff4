# SPDX-License-Identifier: MIT
"""The one exception a person sees."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path


class HarnessError(Exception):
    """Something went wrong that the user can understand and do something about.

    `message` says what happened, `hint` what to do next, `log` where the whole story is.
    """

    def __init__(self, message: str, hint: str | None = None, log: Path | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.log = log

    def __str__(self) -> str:
        return self.render()

    def render(self) -> str:
        """The text shown on the terminal, without the leading "error: "."""
        lines = [self.message]
        if self.hint:
            lines.append(f"  {self.hint}")
        if self.log:
            lines.append(f"  log: {self.log}")
        return "\n".join(lines)


def unknown_name(what: str, name: str, valid: Iterable[str]) -> HarnessError:
    """The error for a name that is not in a list: it shows the list."""
    return HarnessError(f"there is no {what} {name!r}", hint=f"valid: {', '.join(sorted(valid)) or '(none)'}")
