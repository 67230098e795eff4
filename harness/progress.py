# SPDX-License-Identifier: MIT
"""What a person sees while something takes time: one line a step, a bar or a spinner while it runs.

Steps may run in several threads at once; all share one display. Without a terminal there are no
bars, only a line when a step that takes longer than two seconds begins and one when it ends.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

console = Console(stderr=True, highlight=False, soft_wrap=True, emoji=False)
# A step that ends sooner than this is not worth a line.
QUIET_SECONDS = 2.0


class _Display:
    """The live display; exists while at least one step is under way."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._progress: Progress | None = None

    @contextmanager
    def use(self) -> Iterator[Progress | None]:
        if not console.is_terminal:
            yield None
            return
        with self._lock:
            if self._progress is None:
                self._progress = Progress(
                    SpinnerColumn(),
                    TextColumn("{task.description}"),
                    BarColumn(bar_width=24),
                    TimeElapsedColumn(),
                    TextColumn("[dim]{task.fields[detail]}"),
                    console=console,
                    transient=True,
                )
                self._progress.start()
            self._users += 1
            progress = self._progress
        try:
            yield progress
        finally:
            with self._lock:
                self._users -= 1
                if not self._users:
                    progress.stop()
                    self._progress = None


_display = _Display()


@dataclass
class Step:
    """One step under way: tell it how far it is."""

    title: str
    started: float = field(default_factory=time.monotonic)
    result: str = ""
    _progress: Progress | None = None
    _task: TaskID | None = None
    _announced: bool = False

    def update(
        self, done: float | None = None, total: float | None = None, detail: str | None = None
    ) -> None:
        """Show `done` of `total` (any unit) and a short detail such as a file name."""
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, completed=done, total=total)
            if detail is not None:
                self._progress.update(self._task, detail=escape(detail[-60:]))
        elif not self._announced and time.monotonic() - self.started > QUIET_SECONDS:
            self._announced = True
            console.print(f"{escape(self.title)} ...")

    @property
    def seconds(self) -> float:
        """Seconds since the step began."""
        return time.monotonic() - self.started


@contextmanager
def step(title: str, always: bool = False) -> Iterator[Step]:
    """Show `title` while the body runs; leave a line if it took over two seconds, or `always`."""
    with _display.use() as progress:
        current = Step(title, _progress=progress)
        if progress is not None:
            current._task = progress.add_task(escape(title), total=None, detail="")
        try:
            yield current
        except KeyboardInterrupt:
            console.print(f"stopped {escape(title)}  [dim]{current.seconds:.1f} s")
            raise
        except BaseException:
            console.print(f"[red]failed[/]  {escape(title)}  [dim]{current.seconds:.1f} s")
            raise
        else:
            if always or current.seconds > QUIET_SECONDS:
                suffix = f"  {escape(current.result)}" if current.result else ""
                console.print(f"[green]done[/]    {escape(title)}{suffix}  [dim]{current.seconds:.1f} s")
        finally:
            if progress is not None and current._task is not None:
                progress.remove_task(current._task)


def say(text: str) -> None:
    """One line that is always shown."""
    console.print(escape(text))


def warn(text: str) -> None:
    """One line that should not be missed, but stops nothing."""
    console.print(f"[yellow]note[/]    {escape(text)}")
