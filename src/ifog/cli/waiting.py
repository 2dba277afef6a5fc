"""Show how far a command has come that keeps people waiting.

Owns the bar: on standard error, where that is a terminal, from the second second on, gone when the work is done. Takes
what `ifog.tracking` tells.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from ifog.tracking import heard

__all__ = ["Bar", "patient"]

P = ParamSpec("P")
T = TypeVar("T")
PATIENCE = 1.0  # seconds without a bar


class Bar:
    """A listener; work that is soon done shows nothing."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True)
        self.begun = time.monotonic()
        self.progress: Progress | None = None

    def __call__(self, name: str, fraction: float) -> None:
        """Show a fraction; at 1 the bar goes, until other work tells of its beginning."""
        if fraction >= 1.0:
            self.stop()
        elif self.progress is not None:
            self.progress.update(self.task, description=name, completed=fraction)
        elif self.console.is_terminal and time.monotonic() - self.begun > PATIENCE:
            columns = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:3.0f} %")
            self.progress = Progress(*columns, TimeRemainingColumn(), console=self.console, transient=True)
            self.task = self.progress.add_task(name, total=1.0)
            self.progress.update(self.task, completed=fraction)
            self.progress.start()

    def stop(self) -> None:
        """Take the bar away."""
        if self.progress is not None:
            self.progress.stop()
        self.progress, self.begun = None, time.monotonic()


def patient(command: Callable[P, T]) -> Callable[P, T]:
    """The command, with a bar while its work is tracked."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        bar = Bar()
        try:
            with heard(bar):
                return command(*args, **kwargs)
        finally:
            bar.stop()

    return run
