"""`ifog doctor`: what is wrong with a run, and what to try."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["doctor"]

_MARKS = {"good": ("✓", "green"), "look": ("?", "yellow"), "bad": ("✗", "red")}


def doctor(
    run: Annotated[Path, typer.Argument(help="The run directory, such as runs/NAME; it may be in training.")],
) -> None:
    """Read a run and say what is wrong with it and what to try.

    Checks a model of the same shape with fresh weights (loss at the start, symmetry, learning one batch by heart, the
    cell's gradients), the order of the data, the curves (learning rate, stability, clipping, over-fitting), and the
    trained weights (gates, gradients through time). Exit code 1 if something is bad.
    """
    from rich.console import Console
    from rich.text import Text

    from ifog.health.doctor import diagnose

    console = Console()
    bad = 0
    for diagnosis in diagnose(run):
        mark, colour = _MARKS[diagnosis.verdict]
        bad += diagnosis.verdict == "bad"
        line = Text(f"{mark} {diagnosis.check:<20}", style=colour)
        line.append(diagnosis.seen, style="default")
        console.print(line, soft_wrap=True)
        if diagnosis.remedy:
            console.print(Text(f"  → {diagnosis.remedy}", style=colour), soft_wrap=True)
    if bad:
        raise typer.Exit(1)
