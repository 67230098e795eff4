# SPDX-License-Identifier: MIT
"""What tests ask about processes."""

from __future__ import annotations

import contextlib
import os
import select


def ends(pid: int, seconds: float = 10) -> bool:
    """True once a process has ended, if only its parent has yet to notice; False after `seconds`.

    A signal that was sent is not an end yet: on a busy machine the process has to be scheduled first.
    """
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    with contextlib.closing(os.fdopen(descriptor, "rb", buffering=0)) as handle:
        poll = select.poll()
        poll.register(handle, select.POLLIN)
        return bool(poll.poll(seconds * 1000))
