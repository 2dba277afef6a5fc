"""Show training as it goes: a live line in a terminal, plain lines elsewhere.

Owns the words that a training command prints. Takes what the trainer reports; decides nothing.
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.text import Text

from ifog.cli.console import figures_line, say
from ifog.training import SilentProgress

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping
    from pathlib import Path

    from ifog.tasks import Run
    from ifog.training import Status

__all__ = ["Report", "reported"]

PLAIN_SECONDS = 5.0  # without a terminal, at most one line of progress in this time


class Report(SilentProgress):
    """What happens in training, for people; `concluded` ends it with the result and what to do next."""

    def __init__(self) -> None:
        self.console = Console()
        self.bar = Progress(
            TextColumn("step {task.fields[step]}"), BarColumn(), TextColumn("{task.percentage:3.0f} %"),
            TextColumn("{task.fields[left]}"), TextColumn("\n{task.description}"),
        )  # fmt: skip
        self.task = self.bar.add_task("preparing the text", total=1.0, step=0, left="")
        self.last_line = time.monotonic()

    def started(self, status: Status) -> None:
        """Begin at the step that training begins or goes on from."""
        if status.step:
            self.console.print(f"Going on from step {status.step}.", highlight=False)
        self.logged(status)

    def logged(self, status: Status) -> None:
        """Show where training is."""
        line = _line(status)
        self.bar.update(self.task, completed=status.fraction, description=line, step=status.step)
        now = time.monotonic()
        if not self.console.is_terminal and status.step and now - self.last_line >= PLAIN_SECONDS:
            self.last_line = now
            self.console.print(f"step {status.step}: {line}", markup=False, highlight=False, soft_wrap=True)

    def evaluated(self, status: Status, metrics: Mapping[str, float], sample: str | None, best: bool) -> None:
        """Show the figures on the validation text, and what the model writes by now."""
        mark = ", the best so far" if best else ""
        line = f"step {status.step}: validation {figures_line(metrics)}{mark}"
        self.console.print(line, style="green" if best else "yellow", highlight=False, markup=False, soft_wrap=True)
        if sample:
            self.console.print(Text(sample.strip("\n"), style="dim"), soft_wrap=True)

    def concluded(self, run: Run) -> None:
        """The result, or after Ctrl-C the command that goes on.

        Raises:
            Exit: with code 130 after Ctrl-C.
        """
        if run.interrupted:
            say(f"Stopped at step {run.step}, and saved. Go on with:\n  ifog resume {_quoted(run.path)}")
            raise typer.Exit(130)
        if not run.metrics:  # one of several processes; the first has the result
            return
        say(f"Done after {run.step} steps. Whole validation text, state carried:", "bold")
        say(f"  {figures_line(run.metrics)}")
        say(f"The run is in {run.path}. Next:")
        where = _quoted(run.path)
        for command in (f"ifog sample {where}", f"ifog eval {where} FILE", f"ifog compare {where} OTHER_RUN"):
            say(f"  {command}")


@contextlib.contextmanager
def reported() -> Generator[Report]:
    """A report whose live line is taken away at the end, whatever happens."""
    report = Report()
    with report.bar:
        yield report


def _line(status: Status) -> str:
    parts = [f"loss {status.loss:.3f}"] if status.loss is not None else []
    for name, words in (("bits_per_character", "bits/character {:.3f}"), ("smooth_loss", "smooth loss {:.2f}")):
        if name in status.metrics:
            parts.append(words.format(status.metrics[name]))
    parts += [f"{status.items_per_second:,.0f} tokens/s", f"learning rate {status.learning_rate:.2g}"]
    if status.remaining is not None:
        parts.append(f"{_time(status.remaining)} left")
    return " · ".join(parts)


def _time(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


def _quoted(path: Path) -> str:
    import shlex

    return shlex.quote(str(path))
