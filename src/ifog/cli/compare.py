"""`ifog compare`: runs side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ifog.cli.console import say

__all__ = ["compare"]


def compare(
    runs: Annotated[list[Path], typer.Argument(help="The run directories, such as runs/a runs/b.")],
    figure: Annotated[Path, typer.Option(help="Where the curves are drawn (PNG).")] = Path("compare.png"),
) -> None:
    """Set runs side by side: a table of what they are and reached, and their curves as a picture."""
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table

    from ifog.tasks.comparison import compare as put_side_by_side

    rows = put_side_by_side(runs, figure)
    table = Table(caption="figures of the validation data, the lowest loss first", box=SIMPLE)
    for name in rows[0]:
        table.add_column(name, overflow="fold", no_wrap=name != "run")
    for row in rows:
        table.add_row(*row.values())
    Console().print(table)
    say(f"Curves: {figure}")
