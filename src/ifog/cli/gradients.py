"""`ifog gradients`: how far back gradients and memory reach."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ifog.cli.console import say

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ifog.flow.gradients import Flow
    from ifog.flow.memory_length import MemoryCurve

__all__ = ["gradients"]


class Past(StrEnum):
    """What stands in for a past that is cut off."""

    ZERO = "zero"
    OTHER = "other"


WHAT, HOW, SHOWN = "What is measured", "How", "What is shown"


def gradients(
    cells: Annotated[
        str | None,
        typer.Option(
            help="Cells with fresh weights, such as elman,irnn,gru,lstm,mut1; `ifog cells` lists them all.",
            rich_help_panel=WHAT,
        ),
    ] = None,
    run: Annotated[
        list[Path] | None,
        typer.Option(help="A trained run, such as runs/NAME, on its text; may be repeated.", rich_help_panel=WHAT),
    ] = None,
    along: Annotated[
        list[Path] | None,
        typer.Option(
            help="A run trained with --gradients: draw what was recorded while it learned; may be repeated.",
            rich_help_panel=WHAT,
        ),
    ] = None,
    text: Annotated[
        list[str] | None,
        typer.Option(
            help="A UTF-8 text for the runs to read, in place of the validation text of each; may be repeated.",
            rich_help_panel=WHAT,
        ),
    ] = None,
    unknown: Annotated[
        str | None,
        typer.Option(
            help="What becomes of characters of --text that a run doesn't know: 'skip', or one character for them.",
            rich_help_panel=WHAT,
        ),
    ] = None,
    memory: Annotated[
        bool,
        typer.Option(help="Also judge the runs on tokens whose past was cut off k steps before.", rich_help_panel=WHAT),
    ] = True,
    past: Annotated[
        Past,
        typer.Option(
            help="The state k steps before: zero, that of a text's start, or other, that after other text.",
            rich_help_panel=WHAT,
        ),
    ] = Past.ZERO,
    steps: Annotated[
        int, typer.Option(help="Steps that gradients go back through, 2 or more.", rich_help_panel=HOW)
    ] = 200,
    sequences: Annotated[int, typer.Option(help="How many sequences are measured.", rich_help_panel=HOW)] = 16,
    hidden_size: Annotated[int, typer.Option(help="Units of the cells with fresh weights.", rich_help_panel=HOW)] = 64,
    tokens: Annotated[int, typer.Option(help="Tokens judged for the memory's length.", rich_help_panel=HOW)] = 1000,
    seed: Annotated[int, typer.Option(help="Of weights, inputs and losses.", rich_help_panel=HOW)] = 0,
    out: Annotated[Path | None, typer.Option(help="Draw it here; .png, .svg or .pdf.", rich_help_panel=SHOWN)] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print figures and curves as JSON.", rich_help_panel=SHOWN)
    ] = False,
) -> None:
    """Measure how a loss's gradient fades on its way back through time, and how far back a model's memory reaches.

    slope: nats per step, of the gradient's norm. half-life: steps until half of it is left. predicted: the slope
    of the exact product of the steps' Jacobians. exponent: the largest Lyapunov exponent, the slope in the long run.
    ρ and σ: the spectral radius and the largest singular value of the recurrent matrix W (of several, the largest) and,
    on average, of a step's Jacobian J, which lets no gradient grow where its σ is at most 1.
    """
    if along:
        _draw_along(along, out)
        return
    from ifog.flow.reach import measure_reach, save_picture

    names = [name.strip() for name in (cells or "").split(",") if name.strip()]
    flows, memories = measure_reach(
        names, run or (), text or (), memory=memory, past=past.value, unknown="" if unknown == "skip" else unknown,
        steps=steps, sequences=sequences, hidden_size=hidden_size, tokens=tokens, seed=seed,
    )  # fmt: skip
    if out is not None:
        save_picture(flows, memories, out)
    if as_json:
        found = {"gradients": {k: v.to_dict() for k, v in flows.items()}}
        print(json.dumps(found | {"memory": {k: v.to_dict() for k, v in memories.items()}}))
        return
    _print_flows(flows, steps)
    if memories:
        _print_memories(memories)
    if out is not None:
        say(f"Drawn: {out}")


def _draw_along(runs: list[Path], out: Path | None) -> None:
    from ifog.flow.along import draw_along, read_along

    curves = {str(run): read_along(run) for run in runs}
    for name, several in curves.items():
        first, last = several[0], several[-1]
        kept = [f"{curve.norms[-1] / curve.norms[0]:.2g}" for curve in (first, last)]
        say(
            f"{name}: of the gradient at lag 1, {kept[0]} is left at lag {len(first.norms)} at step {first.step}, "
            f"{kept[1]} at step {last.step}"
        )
    if out is not None:
        draw_along(curves).savefig(out, dpi=100)
        say(f"Drawn: {out}")


def _print_flows(flows: Mapping[str, Flow], steps: int) -> None:
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table

    caption = f"Gradients of losses at the last of {steps} steps, by the state of each step before."
    table = Table(caption=caption, box=SIMPLE, padding=(0, 1, 0, 0))
    table.add_column("", overflow="fold", min_width=8)
    for name in ("slope", "half-life", "predicted", "exponent", "ρ(W)", "σ(W)", "ρ(J)", "σ(J)"):
        table.add_column(name, justify="right", no_wrap=True)
    for name, flow in flows.items():
        table.add_row(name, *map(_number, flow.figures.values()))
    Console().print(table)


def _print_memories(memories: Mapping[str, MemoryCurve]) -> None:
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table

    table = Table(
        caption="Nats per token more than with the whole past, when only the last k steps are kept.", box=SIMPLE
    )
    table.add_column("k", justify="right")
    lengths = sorted({k for curve in memories.values() for k in curve.lengths})
    for name in memories:
        table.add_column(name, justify="right", overflow="fold")
    for k in lengths:
        table.add_row(str(k), *(_excess(curve, k) for curve in memories.values()))
    Console().print(table)
    for name, curve in memories.items():
        length = f"longer than {curve.lengths[-1]} steps" if curve.length is None else f"{curve.length} steps"
        say(
            f"{name}: memory length {length} (within {curve.tolerance:.4f} of {curve.whole:.4f} nats per token, "
            f"{curve.tokens} tokens judged)"
        )


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


def _excess(curve: MemoryCurve, k: int) -> str:
    if k not in curve.lengths:
        return "-"
    place = curve.lengths.index(k)
    return f"{curve.excess[place]:.4f} ± {curve.errors[place]:.4f}"
