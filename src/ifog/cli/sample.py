"""`ifog sample`: let a trained model write."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["sample"]

CHOICE = "How each token is chosen"
TEXT = "The text"


def sample(
    run: Annotated[Path, typer.Argument(help="The run directory, such as runs/NAME.")],
    prime: Annotated[
        str, typer.Option(help="Text that the model reads first and goes on from.", rich_help_panel=TEXT)
    ] = "",
    length: Annotated[int, typer.Option(help="Tokens to write.", rich_help_panel=TEXT)] = 500,
    temperature: Annotated[
        float,
        typer.Option(
            help="Divides the scores: 0.5 is safe and repeats itself, 1 is what the model believes, 1.5 is wild.",
            rich_help_panel=CHOICE,
        ),
    ] = 1.0,
    top_k: Annotated[
        int | None,
        typer.Option(help="Draw among the k likeliest tokens only; 5 to 50 are common.", rich_help_panel=CHOICE),
    ] = None,
    top_p: Annotated[
        float,
        typer.Option(
            help="Draw among the fewest tokens that together reach this probability; 0.9 is common, 1 keeps all.",
            rich_help_panel=CHOICE,
        ),
    ] = 1.0,
    greedy: Annotated[
        bool,
        typer.Option("--greedy", help="Always take the likeliest token: no chance at all.", rich_help_panel=CHOICE),
    ] = False,
    seed: Annotated[
        int | None, typer.Option(help="The same seed writes the same text.", rich_help_panel=CHOICE)
    ] = None,
    stream: Annotated[
        bool, typer.Option(help="Show characters as they are made, or all at the end.", rich_help_panel=TEXT)
    ] = True,
) -> None:
    """Let a trained model write: it reads the prime, then each token it chooses is its next input."""
    from ifog.generation import Sampling
    from ifog.generation import stream as written
    from ifog.tasks.language import load

    sampling = Sampling(temperature, top_k, top_p, greedy, seed)
    pieces = written(load(run), prime, length, sampling=sampling)
    sys.stdout.write(prime)
    for piece in pieces if stream else ["".join(pieces)]:
        sys.stdout.write(piece)
        sys.stdout.flush()
    sys.stdout.write("\n")
