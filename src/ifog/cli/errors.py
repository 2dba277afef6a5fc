"""`ifog errors`: what kinds of errors a run makes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ifog.cli.console import say

__all__ = ["errors"]


def errors(
    run: Annotated[Path, typer.Argument(help="The run directory of a model of characters.")],
    files: Annotated[
        list[str] | None, typer.Argument(help="Texts to judge it on; without any: the validation text it held back.")
    ] = None,
    figure: Annotated[Path | None, typer.Option(help="Draw the shares as bars (PNG, PDF or SVG).")] = None,
    order: Annotated[int, typer.Option(help="Characters of the longest n-grams of the Kneser-Ney oracle.")] = 9,
    characters: Annotated[int, typer.Option(help="How many characters to judge, from the text's start.")] = 200_000,
) -> None:
    """Break down a model's errors: which would an n-gram model, a longer memory, or more words have avoided?

    An error is a character that the model gave a probability of at most one half. Oracles are asked in turn, each about
    the errors that those before left over (Karpathy, Johnson and Fei-Fei 2015).
    """
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table

    from ifog.inspection.run_errors import draw_errors, errors_of

    console = Console()
    with console.status("Reading the text with the model, and counting n-grams ..."):
        found = errors_of(run, files, order=order, characters=characters)
    table = Table(
        title=f"{found.errors:,} errors on {found.characters:,} characters ({found.errors / found.characters:.1%})",
        box=SIMPLE,
    )
    table.add_column("taken away by")
    table.add_column("errors", justify="right")
    table.add_column("share", justify="right")
    table.add_column("because")
    for share in found.shares:
        table.add_row(share.oracle, f"{share.errors:,}", f"{share.errors / max(found.errors, 1):.1%}", share.meaning)
    console.print(table)
    if figure is not None:
        draw_errors(found, figure)
        say(f"Picture: {figure}")
