"""`ifog cells`: the catalogue of recurrences, and any one of them from its equations to its cost."""

from __future__ import annotations

from typing import Annotated

import typer

from ifog.cli.console import say

__all__ = ["cells"]


def cells(
    name: Annotated[str | None, typer.Argument(help="A cell to look into; without one, all are listed.")] = None,
    size: Annotated[int, typer.Option(help="Hidden units H; the input has half as many, D = H / 2.")] = 256,
    latex: Annotated[bool, typer.Option("--latex", help="Print the equations as LaTeX.")] = False,
) -> None:
    """List the cells with their parameter counts, or print one: equations, parameters, stages, cost, backend."""
    from ifog.tasks.catalogue import describe, overview

    if name is not None:
        say(describe(name, size, as_latex=latex))
        return
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table

    table = Table(caption=f"Operations are those of one step; input {size // 2}, hidden {size}.", box=SIMPLE)
    table.add_column("cell", no_wrap=True)
    table.add_column("parameters", justify="right")
    table.add_column("operations", justify="right")
    table.add_column("what it is")
    for row in overview(size):
        table.add_row(*row)
    Console().print(table)
