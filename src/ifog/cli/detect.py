"""`ifog detect`: which units stand for quotes, comments, positions, depths, and whether they are used."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ifog.cli.console import say

__all__ = ["detect"]

ABLATION = "Ablation"


def detect(
    run: Annotated[Path, typer.Argument(help="The run directory, such as runs/NAME.")],
    text: Annotated[str, typer.Option(help="UTF-8 text that the model reads; '-' is standard input.")],
    language: Annotated[
        str | None,
        typer.Option(help="python, prose, or a language that Pygments knows, such as c.", show_default="a guess"),
    ] = None,
    detector: Annotated[
        list[str] | None, typer.Option(help="Only this detector; may be repeated.", show_default="all")
    ] = None,
    define: Annotated[
        Path | None, typer.Option(help="A Python file with detectors of your own: functions under @detector.")
    ] = None,
    characters: Annotated[int, typer.Option(help="How much of the text's beginning is read.")] = 30_000,
    controls: Annotated[
        int, typer.Option(help="Copies of the model with shuffled weights, which a unit has to surpass.")
    ] = 19,
    ablate: Annotated[
        list[str] | None,
        typer.Option(
            help="Hold the unit that this detector finds at one value, and show what the model loses and writes; may "
            "be repeated.",
            rich_help_panel=ABLATION,
        ),
    ] = None,
    value: Annotated[
        str, typer.Option(help="What it is held at: a number, or its mean.", rich_help_panel=ABLATION)
    ] = "mean",
    length: Annotated[int, typer.Option(help="Tokens that both models write.", rich_help_panel=ABLATION)] = 200,
    prime: Annotated[str, typer.Option(help="What they go on from.", rich_help_panel=ABLATION)] = "",
    unknown: Annotated[
        str | None,
        typer.Option(help="What becomes of characters that the model doesn't know: 'skip', or one character for them."),
    ] = None,
    json: Annotated[Path | None, typer.Option("--json", help="Also write everything here.")] = None,
) -> None:
    """Say which unit of a model follows what, tested on text that it was not chosen on.

    The best of all units, of every state and gate, is chosen for each detector on the first half of the text and judged
    on the second. It is found only if it is better than chance, than the same weights in random places and, where the
    label needs memory, than what the last four characters tell.
    """
    from ifog.data import Corpus
    from ifog.inspection.ablation import ablation_value, ablations
    from ifog.inspection.controls import detect as search
    from ifog.inspection.detectors import load_detectors
    from ifog.inspection.labels import guess_language, opening
    from ifog.tasks.language import load
    from ifog.writing import write_atomically

    held = ablation_value(value)
    if define is not None:
        load_detectors(define)
    content = opening(Corpus.from_files([text]).texts(), characters)
    replacement = "" if unknown == "skip" else unknown
    language = language or guess_language(content, text)
    model = load(run)
    say(f"{len(content):,} characters of {language}, read by the model and {controls} copies with shuffled weights.")
    found = search(model, content, language, controls=controls, detectors=detector or None, unknown=replacement)
    say(str(found))
    effects = ablations(
        model, content, found, ablate or (), value=held, prime=prime, length=length, unknown=replacement
    )
    for effect in effects:
        say(f"\n{effect}")
    if json is not None:
        import json as writer

        record = {**found.to_dict(), "ablations": [effect.to_dict() for effect in effects]}
        write_atomically(json, writer.dumps(record, indent=1).encode())
