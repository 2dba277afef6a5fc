"""`ifog eval-gpt2`: judge GPT-2 from a local folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ifog.cli.console import say

__all__ = ["evaluate_gpt2"]


def evaluate_gpt2(
    folder: Annotated[
        Path, typer.Argument(help="Holds GPT-2's config.json, model.safetensors, vocab.json and merges.txt.")
    ],
    text: Annotated[Path, typer.Argument(help="UTF-8 text to judge it on.")],
    stride: Annotated[
        int, typer.Option(help="Tokens by which the window of 1,024 moves on; fewer take longer and predict better.")
    ] = 512,
) -> None:
    """Judge GPT-2 on a text, in strided windows: nothing is fetched, so the files must be there.

    Perplexity per word counts words and line ends, as word models do, so it stands in one table with theirs.
    """
    from ifog.tasks.gpt2 import judge_gpt2

    found = judge_gpt2(folder, text, stride=stride)
    say(
        f"{found.nats_per_token:.4f} nats/token · {found.bits_per_character:.4f} bits/character · "
        f"perplexity {found.perplexity:.5g} · per word {found.word_perplexity:.5g}"
    )
