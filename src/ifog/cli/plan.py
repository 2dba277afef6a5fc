"""`ifog plan`: what a large run would take."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ifog.cli.console import say
from ifog.cli.options import pair

__all__ = ["plan"]

SHOWN = (1, 8, 32, 128)  # numbers of devices in the table


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
    within: Annotated[float | None, typer.Option(help="Hours that the run may take: tells how many devices.")] = None,
    memory_limit: Annotated[float, typer.Option(help="GiB that the model may take while it is measured.")] = 2.0,
    tokens_per_second: Annotated[
        float | None, typer.Option(help="Of one device, measured elsewhere; nothing is measured here.")
    ] = None,
) -> None:
    """Measure a few updates here, and tell how long the whole run would take and what memory it needs.

    By default: the One Billion Word benchmark (Chelba et al. 2013). The ids are made up, so no corpus is needed. A
    model over the limit of memory is measured with smaller vocabularies, and the rest extrapolated. Several devices are
    taken to share the work with a loss of a tenth.
    """
    from ifog.recipes.plan import make_plan

    options: dict[str, Any] = dict(pair(text, "model-option") for text in model_option or [])
    made = make_plan(
        model, options, vocabulary_size=vocabulary_size, tokens=int(tokens), epochs=epochs, batch_size=batch_size,
        sequence=sequence, devices=devices, seconds=seconds, memory_limit=int(memory_limit * 2**30),
        tokens_per_second=tokens_per_second,
    )  # fmt: skip
    say(f"{model}, {vocabulary_size:,} words, {epochs:g} passes over {tokens:,.0f} tokens", "bold")
    say(f"parameters: {made.parameters:,}")
    kept = f" + activations {_size(made.activation_bytes)}" if made.activation_bytes else ", activations not measured"
    say(f"memory on each device: weights, gradients and AdamW's averages {_size(made.model_bytes)}{kept}")
    if made.measured_bytes:
        say(f"highest memory, measured: {_size(made.measured_bytes)}")
    say(f"speed: {made.tokens_per_second:,.0f} tokens per second on one device, {_origin(made.measured)}")
    for number in sorted({*SHOWN, devices}):
        say(f"{_devices(number):>13}  {_duration(made.seconds_on(number) / 3600):>12}")
    if within is not None:
        say(f"within {_duration(within)}: {_devices(made.devices_within(within))}")


def _origin(measured: tuple[int, ...]) -> str:
    if not measured:
        return "as given"
    if len(measured) == 1:
        return "measured here"
    smaller = " and ".join(f"{size:,}" for size in measured)
    return f"extrapolated from vocabularies of {smaller} words, measured here"


def _devices(number: int) -> str:
    return f"{number:,} device{'s'[: number != 1]}"


def _size(number: int) -> str:
    return f"{number / 2**30:.1f} GiB" if number >= 2**30 else f"{number / 2**20:.0f} MiB"


def _duration(hours: float) -> str:
    return f"{hours:.1f} hours" if hours < 72 else f"{hours / 24:,.0f} days"
