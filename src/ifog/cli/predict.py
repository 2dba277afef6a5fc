"""`ifog predict`: what a run, or several together, say of new examples."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ifog.cli.console import fail, say

__all__ = ["predict"]

SHOWN = 20  # predictions printed where no file is asked for


def predict(
    paths: Annotated[
        list[str],
        typer.Argument(
            help="Run directories, then files of examples; several runs predict together (an ensemble).",
            metavar="RUN... FILE...",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="Write all examples with predictions here; the ending tells the format, such as .csv."),
    ] = None,
    picture: Annotated[
        Path | None,
        typer.Option(
            help="Draw the first example here: a forecast's fan, where a translation looked. Such as fan.png."
        ),
    ] = None,
    text: Annotated[
        list[str] | None, typer.Option(help="An example itself, in place of files; may be repeated.")
    ] = None,
    probabilities: Annotated[
        bool,
        typer.Option("--probabilities", help="Also how probable each class is, or each predicted tag (into .jsonl)."),
    ] = False,
) -> None:
    """Predict: a label, a number, tags, a translation or a forecast for each example of a file.

    Without --out the first 20 are shown. The file written has the columns it was read with, and the predictions.
    """
    runs = [path for path in paths if (Path(path) / "config.json").is_file()]
    files = [path for path in paths if path not in runs]
    if not runs:
        fail(f"{paths[0]} is no run; give the directory that `ifog train` wrote, such as runs/NAME, then the files.")
    if bool(files) == bool(text):
        fail("Give either files of examples or --text, after the run's directory.")
    from ifog.runs import RunDirectory
    from ifog.tasks.predicting import draw, kind_of
    from ifog.tasks.predicting import predict as say_of

    kind = kind_of(RunDirectory.open(runs[0]))
    inputs = files if files else [{kind.input: one} for one in text or ()]
    if picture is not None:
        draw(runs, inputs, picture)
        say(f"Drawn: {picture}")
        if out is None:
            return
    predicted = say_of(runs, inputs, out, probabilities=probabilities)
    if out is None:
        say(kind.show(predicted.take(range(min(SHOWN, len(predicted))))))
        if len(predicted) > SHOWN:
            say(f"... and {len(predicted) - SHOWN} more; --out FILE writes them all.", "dim")
    else:
        say(f"{len(predicted)} predictions are in {out}.")
