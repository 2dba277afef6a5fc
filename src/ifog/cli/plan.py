"""`ifog plan`: what a large run would take."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ifog.cli.console import say
from ifog.cli.train import pair

__all__ = ["plan"]


def plan(
    model: Annotated[str, typer.Option(help="The model: projected, regularised, transformer ...")] = "projected",
    model_option: Annotated[list[str] | None, typer.Option(help="NAME=VALUE, such as softmax=adaptive.")] = None,
    tokens: Annotated[float, typer.Option(help="Tokens of the corpus; by default One Billion Words.")] = 829_250_940,
    vocabulary_size: Annotated[int, typer.Option(help="Different tokens.")] = 793_471,
    epochs: Annotated[float, typer.Option(help="Passes over the corpus.")] = 5.0,
    batch_size: Annotated[int, typer.Option(help="Streams on each device.")] = 128,
    sequence: Annotated[int, typer.Option(help="Time steps per chunk.")] = 20,
    devices: Annotated[int, typer.Option(help="GPUs, or CPUs like this one.")] = 1,
    seconds: Annotated[float, typer.Option(help="How long to measure.")] = 10.0,
) -> None:
    """Measure a few updates here, and tell how long the whole run would take and what memory it needs.

    By default: the One Billion Word benchmark (Chelba et al. 2013). The ids are made up, so no corpus is needed.
    Several devices are taken to share the work with a loss of a tenth.
    """
    from ifog.recipes.plan import make_plan

    options: dict[str, Any] = dict(pair(text, "model-option") for text in model_option or [])
    made = make_plan(
        model, options, vocabulary_size=vocabulary_size, tokens=int(tokens), epochs=epochs, batch_size=batch_size,
        sequence=sequence, devices=devices, seconds=seconds,
    )  # fmt: skip
    say(f"{made.parameters:,} parameters; weights, gradients and AdamW's averages: {made.model_bytes / 2**30:.1f} GiB")
    if made.measured_bytes:
        say(f"with activations: {made.measured_bytes / 2**30:.1f} GiB on each device")
    say(f"{made.tokens_per_second:,.0f} tokens per second on this device")
    say(f"{epochs:g} passes over {tokens:,.0f} tokens on {devices} of them: {_duration(made.hours)}")


def _duration(hours: float) -> str:
    return f"{hours:.1f} hours" if hours < 72 else f"{hours / 24:.0f} days"
