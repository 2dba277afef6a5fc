"""`ifog sample`: let a trained model write."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ifog.cli.console import say

if TYPE_CHECKING:
    from ifog.generation.choices import Choice
    from ifog.generation.feedback import Fed, Feedback

__all__ = ["sample"]

CHOICE = "How each token is chosen"
TEXT = "The text"
EXPERIMENT = "To compare"
ESCAPES = {"n": "\n", "t": "\t", "\\": "\\"}
STEPS = (1, 2, 3, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)


def sample(
    run: Annotated[Path, typer.Argument(help="The run directory, such as runs/NAME.")],
    prompt: Annotated[
        str,
        typer.Option(
            "--prompt",
            "--prime",
            help="Text that the model reads first and goes on from. In it, as in --title and --stop, \\n is a line "
            "break, \\t a tab and \\\\ a backslash.",
            rich_help_panel=TEXT,
        ),
    ] = "",
    title: Annotated[
        str | None,
        typer.Option(
            help="What to write a text for, for a run that was trained on pairs (`ifog make-pairs`): a signature with "
            "its docstring, the name of a recipe. The model reads it and the separator, and writes until the end of "
            "the record; --prompt is then how the text begins.",
            rich_help_panel=TEXT,
        ),
    ] = None,
    length: Annotated[int, typer.Option(help="Tokens to write, at most.", rich_help_panel=TEXT)] = 500,
    stop: Annotated[
        list[str] | None,
        typer.Option(
            help="Text that ends the writing where the new text comes to hold it, such as '\\n\\n'; it isn't "
            "shown. May be repeated.",
            show_default="none",
            rich_help_panel=TEXT,
        ),
    ] = None,
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
        typer.Option(
            "--greedy",
            help="Always take the likeliest token (argmax): no chance at all, and soon the same again and again.",
            rich_help_panel=CHOICE,
        ),
    ] = False,
    beam: Annotated[
        int | None,
        typer.Option(
            help="Look for the likeliest whole text, keeping so many beginnings at each step: 1 is greedy, 3 to 10 are "
            "common. Likelier than greedy, and duller still.",
            rich_help_panel=CHOICE,
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="The same seed writes the same text.", rich_help_panel=CHOICE)
    ] = None,
    compare: Annotated[
        bool,
        typer.Option(
            "--compare",
            help="Softmax (drawn as the options above say), argmax and beam side by side, each with its probability.",
            rich_help_panel=EXPERIMENT,
        ),
    ] = False,
    feedback: Annotated[
        Path | None,
        typer.Option(
            help="Draw into this picture (PNG) how uncertain the model is at each step when it reads its sample, its "
            "argmax, or its whole softmax vector in place of a token.",
            show_default="none",
            rich_help_panel=EXPERIMENT,
        ),
    ] = None,
    stream: Annotated[
        bool, typer.Option(help="Show characters as they are made, or all at the end.", rich_help_panel=TEXT)
    ] = True,
) -> None:
    """Let a trained model write: it reads the prompt, then each token it chooses is its next input."""
    from ifog.errors import ConfigError
    from ifog.generation import Sampling
    from ifog.generation import stream as written
    from ifog.tasks.language import load

    sampling = Sampling(temperature, top_k, top_p, greedy, seed)
    if greedy + (beam is not None and not compare) + compare + (feedback is not None) > 1:
        raise ConfigError("sample: --greedy, --beam, --compare and --feedback each say what to do; give one of them.")
    model, begin, stops = load(run), _unescaped(prompt), [_unescaped(text) for text in stop or []]
    prime = shown = begin
    if title is not None:
        from ifog.tasks.conditional import prompt_of

        prime, shown, ends = prompt_of(model, _unescaped(title), begin)
        stops += ends
    if feedback is not None:
        from ifog.generation.feedback import compare_feedback, draw_feedback

        seen = compare_feedback(model, prime, length, temperature=temperature, seed=seed or 0)
        draw_feedback(seen, model.config.vocabulary_size, feedback)
        _show_entropies(seen)
        say(f"The picture is in {feedback}.")
        return
    if compare:
        from ifog.generation.choices import WIDTH, compare_choices

        found = compare_choices(model, prime, length, sampling=sampling, width=beam or WIDTH, stop=stops)
        _show_choices(shown, found)
        return
    if beam is not None:
        from ifog.generation.choices import search

        pieces = iter([search(model, prime, length, width=beam, stop=stops).text])
    else:
        pieces = written(model, prime, length, sampling=sampling, stop=stops)
    sys.stdout.write(shown)
    for piece in pieces if stream else ["".join(pieces)]:
        sys.stdout.write(piece)
        sys.stdout.flush()
    sys.stdout.write("\n")


def _unescaped(text: str) -> str:
    return re.sub(r"\\([nt\\])", lambda found: ESCAPES[found[1]], text)


def _show_choices(begin: str, found: Mapping[str, Choice]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    if begin:
        say(begin)
    table = Table(box=SIMPLE_HEAD, expand=True, caption="nats as the plain softmax judges them: fewer are likelier")
    for name in found:
        table.add_column(name, ratio=1, overflow="fold")
    table.add_row(*(Text(choice.text.strip("\n")) for choice in found.values()))
    table.add_section()
    table.add_row(*(f"{-c.log_prob:.1f} nats, {-c.log_prob / max(1, c.tokens):.2f} per token" for c in found.values()))
    Console().print(table)


def _show_entropies(seen: Mapping[Fed, Feedback]) -> None:
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table

    table = Table("step", box=SIMPLE, caption="entropy of the next token in nats, by what is fed back")
    for name in seen:
        table.add_column(name, justify="right")
    length = len(next(iter(seen.values())).entropy)
    for step in sorted({*(s for s in STEPS if s < length), length}):
        table.add_row(str(step), *(f"{found.entropy[step - 1]:.3f}" for found in seen.values()))
    table.add_section()
    table.add_row("mean", *(f"{found.entropy.mean():.3f}" for found in seen.values()))
    Console().print(table)
