"""`ifog gates`: how a model uses its gates."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ifog.cli.console import say

__all__ = ["gates"]


def gates(
    run: Annotated[Path, typer.Argument(help="The run directory, such as runs/NAME.")],
    text: Annotated[Path, typer.Option(help="UTF-8 text that the model reads, of any length.")],
    png: Annotated[Path | None, typer.Option(help="Draw every unit by how often its gates are saturated.")] = None,
    unknown: Annotated[
        str | None,
        typer.Option(help="What becomes of characters that the model doesn't know: 'skip', or one character for them."),
    ] = None,
    json: Annotated[Path | None, typer.Option("--json", help="Also write the figures of every unit here.")] = None,
) -> None:
    """Say how often gates are open and shut, how long units remember, and which are dead."""
    from ifog.inspection.gates import draw_gates, gate_statistics
    from ifog.tasks.language import load
    from ifog.writing import write_atomically

    found = gate_statistics(load(run), text, unknown="" if unknown == "skip" else unknown)
    say(str(found))
    if png is not None:
        say(f"{draw_gates(found, png)}: every unit by how often its gates are open and shut.")
    if json is not None:
        import json as writer

        write_atomically(json, writer.dumps(found.to_dict()).encode())
