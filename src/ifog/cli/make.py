"""`ifog make`: write examples made by rule, to try a task without any download."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ifog.cli.console import fail, say

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["make"]

# name: the ending of its file, and what to do with it
MADE = {
    "reviews": (".csv", "ifog train {out} --task classify --budget 30s"),
    "tags": (".conll", "ifog train {out} --task tag --budget 60s"),
    "dates": (".tsv", "ifog train {out} --task translate --budget 90s"),
    "numbers": (".tsv", "ifog train {out} --task translate --budget 3m"),
    "series": (".csv", "ifog train {out} --task forecast --budget 60s"),
    "adding": (".ts", "ifog train {out} --task regress --cell gru --pooling last --no-bidirectional --budget 2m"),
    "copying": (".conll", "ifog train {out} --task tag --cell exprnn --no-bidirectional --dropout 0 --budget 2m"),
}


def make(
    name: Annotated[str, typer.Argument(help=f"What to make: {', '.join(MADE)}.")],
    out: Annotated[
        Path | None, typer.Argument(help="The file to write. [dim]\\[default: NAME and its ending][/dim]")
    ] = None,
    count: Annotated[int, typer.Option(help="How many examples, or hours of a series.")] = 4000,
    seed: Annotated[int, typer.Option(help="Of everything random; another one makes a test file.")] = 0,
    steps: Annotated[int, typer.Option(help="How long `adding` and `copying` ask to remember.")] = 100,
) -> None:
    """Write examples made by rule: reviews with a label, sentences with names, dates, numbers in words, a series.

    `adding` and `copying` are the classic tests of a memory: the sum of two marked numbers among many, and ten
    symbols to say again after a long pause.
    """
    if name not in MADE:
        fail(f"There is no {name!r} to make; there are {', '.join(MADE)}.")
    ending, command = MADE[name]
    path = out or Path(name + ending)
    if path.exists():
        fail(f"{path} exists already; give another name, or remove it.")
    _writer(name, steps)(path, count, seed)
    say(f"{count:,} {'hours' if name == 'series' else 'examples'}: {path}. Next:")
    say(f"  {command.format(out=path)}")


def _writer(name: str, steps: int) -> Callable[[Path, int, int], None]:
    from ifog.examples.labelled import write_rows
    from ifog.examples.made_pairs import made_pairs
    from ifog.examples.made_reviews import made_reviews
    from ifog.examples.made_sequences import adding, copying
    from ifog.examples.made_series import make_series
    from ifog.examples.made_tags import made_tags
    from ifog.examples.series_archive import write_ts
    from ifog.examples.tagged import write_tagged

    writers: dict[str, Callable[[Path, int, int], None]] = {
        "reviews": lambda path, count, seed: write_rows(made_reviews(count, seed=seed), path),
        "tags": lambda path, count, seed: write_tagged(made_tags(count, seed=seed), path, predicted="tags"),
        "dates": lambda path, count, seed: write_rows(made_pairs("dates", count, seed), path),
        "numbers": lambda path, count, seed: write_rows(made_pairs("numbers", count, seed), path),
        "series": lambda path, count, seed: make_series(path, count, seed=seed),
        "adding": lambda path, count, seed: write_ts(adding(count, steps, seed), path),
        "copying": lambda path, count, seed: write_tagged(copying(count, steps, seed), path, predicted="tags"),
    }
    return writers[name]
