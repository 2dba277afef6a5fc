"""Show training as it goes: two live lines in a terminal, plain lines elsewhere.

Owns the words that a training command prints. Takes what the trainer reports; decides nothing.
"""

from __future__ import annotations

import contextlib
import shlex
import time
from typing import TYPE_CHECKING

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TextColumn
from rich.text import Text

from ifog.cli.console import figures_line, say
from ifog.runs import RunDirectory
from ifog.training import SilentProgress

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

    from ifog.tasks import Run
    from ifog.training import Status

__all__ = ["Report", "reported"]

_WORDS = {
    "bits_per_character": "{:.3f} bits/char", "smooth_loss": "smooth loss {:.2f}", "accuracy": "accuracy {:.1%}",
}  # fmt: skip
PLAIN_SECONDS = 5.0  # without a terminal, at most one line of progress in this time


class Report(SilentProgress):
    """What happens in training, for people; `concluded` ends it with the result and what to do next."""

    def __init__(self) -> None:
        self.console = Console()
        self.bar = Progress(
            TextColumn("step {task.fields[step]}"), BarColumn(), TextColumn("{task.percentage:3.0f} %"),
            TextColumn("{task.description}"),
        )  # fmt: skip
        self.task = self.bar.add_task("", total=1.0, step=0)
        self.figures = Text("preparing the data")
        self.last_line = time.monotonic()

    def __rich__(self) -> Group:
        """The live lines."""
        return Group(self.bar, self.figures)

    def started(self, status: Status) -> None:
        """Begin at the step that training begins or goes on from."""
        if status.fraction >= 1:
            self.console.print("The run is complete; its result again:", highlight=False)
        elif status.step:
            self.console.print(f"Going on from step {status.step}.", highlight=False)
        self.logged(status)

    def logged(self, status: Status) -> None:
        """Show where training is."""
        left = f"{_time(status.remaining)} left" if status.remaining is not None else ""
        self.bar.update(self.task, completed=status.fraction, description=left, step=status.step)
        self.figures = Text(self._figures(status) if status.items_per_second else "the first steps")
        now = time.monotonic()
        if not self.console.is_terminal and status.step and now - self.last_line >= PLAIN_SECONDS:
            self.last_line = now
            self._print(f"step {status.step}: {self.figures} · {left}")

    def evaluated(self, status: Status, metrics: Mapping[str, float], sample: str | None, best: bool) -> None:
        """Show the figures on the validation text, and what the model writes by now."""
        mark = ", the best so far" if best else ""
        self._print(f"step {status.step}: validation {figures_line(metrics)}{mark}", "green" if best else "yellow")
        if sample:
            self._print(sample.strip("\n"), "dim")

    def concluded(self, run: Run) -> None:
        """The result, or after Ctrl-C the command that goes on.

        Raises:
            Exit: with code 130 after Ctrl-C.
        """
        where = shlex.quote(str(run.path))
        if run.interrupted:
            say(f"Stopped at step {run.step}, and saved. Go on with:\n  ifog resume {where}")
            raise typer.Exit(130)
        if not run.metrics:  # one of several processes; the first has the result
            return
        config = RunDirectory.open(run.path).config
        language = config.get("task") == "language"
        judged = "Whole validation text, state carried:" if language else "All validation examples:"
        for note in config.get("notes", ()):
            say(note)
        say(f"Done after {run.step} steps. {judged}", "bold")
        say(f"  {figures_line(run.metrics)}")
        say(f"The run is in {run.path}. Next:")
        first = f"ifog sample {where}" if language else f"ifog predict {where} FILE"
        for command in (first, f"ifog eval {where} FILE", f"ifog compare {where} OTHER_RUN"):
            say(f"  {command}")

    def _figures(self, status: Status) -> str:
        parts = [f"loss {status.loss:.3f}"]
        for name, words in _WORDS.items():
            if name in status.metrics:
                parts.append(words.format(status.metrics[name]))
        speed = f"{status.items_per_second:,.0f} {status.items}/s"
        return " · ".join([*parts, speed, f"rate {status.learning_rate:.2g}"])

    def _print(self, text: str, style: str = "") -> None:
        self.console.print(Text(text, style), soft_wrap=True)


@contextlib.contextmanager
def reported() -> Generator[Report]:
    """A report whose live lines are taken away at the end, whatever happens."""
    report = Report()
    with (
        Live(report, console=report.console, transient=True) if report.console.is_terminal else contextlib.nullcontext()
    ):
        yield report


def _time(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
