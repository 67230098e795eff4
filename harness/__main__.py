# SPDX-License-Identifier: MIT
"""What ./inv runs: invoke with our task list, and errors for people instead of tracebacks."""

from __future__ import annotations

import signal
import sys
from types import FrameType

from invoke.collection import Collection
from invoke.exceptions import Exit, ParseError
from invoke.parser.argument import Argument
from invoke.program import Program
from rich.markup import escape

import tasks
from harness import commands, settings
from harness.errors import HarnessError
from harness.progress import console

USAGE, FAILURE, INTERRUPTED = 2, 1, 130


class Inv(Program):
    """`invoke` with this checkout's tasks, `--offline`, and a list of tasks that reads like one."""

    def core_args(self) -> list[Argument]:
        """Adds `--offline`, valid before and after the task's name."""
        offline = Argument(
            name="offline", kind=bool, default=False, help="Fetch nothing: use only what the cache has."
        )
        return [*super().core_args(), offline]

    def perform(self, argv: list[str]) -> None:
        """What `run` does, but exceptions reach the caller."""
        self.create_config()
        self.parse_core(argv)
        self.parse_collection()
        if self.args.offline.value:
            settings.set_offline()
        self.parse_tasks()
        # --offline may follow the task's name.
        if self.args.offline.value:
            settings.set_offline()
        self.parse_cleanup()
        self.update_config()
        self.execute()

    def list_tasks(self) -> None:
        """The table of contents: `tasks.CONTENTS`, a line each."""
        width = max(len(name) for group in tasks.CONTENTS.values() for name in group)
        print("usage: ./inv [--offline] TASK [OPTIONS]      ./inv --help TASK for a task's options")
        for title, names in tasks.CONTENTS.items():
            print(f"\n{title}")
            for name in names:
                summary = (self.collection[name].__doc__ or "").strip().partition("\n")[0]
                print(f"  {name:<{width}}  {summary}")

    def print_help(self) -> None:
        """`./inv --help` is the list too."""
        self.list_tasks()

    def no_tasks_given(self) -> None:
        """`./inv` alone shows the list."""
        self.list_tasks()
        raise Exit(code=USAGE)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main(argv: list[str] | None = None) -> int:
    """Run tasks; the exit status."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    program = Inv(name="inv", binary="./inv", namespace=Collection.from_module(tasks), version="0.1.0")
    argv = ["inv", *(sys.argv[1:] if argv is None else argv)]
    try:
        program.perform(argv)
    except ParseError as error:
        console.print(f"[red]error:[/] {escape(str(error))}")
        console.print(f"  tasks: {', '.join(name for group in tasks.CONTENTS.values() for name in group)}")
        console.print("  ./inv --help TASK shows a task's options")
        return USAGE
    except Exit as leave:
        if leave.message:
            console.print(escape(leave.message))
        return leave.code
    except KeyboardInterrupt:
        commands.stop_all()
        console.print("stopped")
        return INTERRUPTED
    except HarnessError as error:
        console.print(f"[red]error:[/] {escape(error.render())}")
        return FAILURE
    return 0


if __name__ == "__main__":
    sys.exit(main())
