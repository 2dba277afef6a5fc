"""`ifog make-pairs`: write a text of titles and what they are titles of, to train on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ifog.cli.console import say

__all__ = ["make_pairs"]


def make_pairs(
    out: Annotated[Path, typer.Argument(help="The text to write, a new file such as pairs.txt.")],
    pairs: Annotated[
        Path | None,
        typer.Option(
            "--from",
            help='Your pairs, in each line {"prompt": "...", "completion": "..."}.',
            show_default="the documented functions of Python's standard library",
        ),
    ] = None,
    longest: Annotated[
        int, typer.Option(help="Leave out functions of more characters; has no effect on pairs of your own.")
    ] = 1000,
) -> None:
    """Write a text of pairs for conditional generation: each title, a separator, its text, an end.

    Train on it like on any text, then let the run write for a title: `ifog train pairs.txt --out runs/pairs`, and
    `ifog sample runs/pairs --title "def area(r):..."`. Without --from the pairs are the functions of this machine's
    Python: signature and docstring, and the body.
    """
    from ifog.data.documented import documented_functions, read_pairs, write_pairs

    count = write_pairs(documented_functions(longest=longest) if pairs is None else read_pairs(pairs), out)
    say(f"{count:,} pairs, {out.stat().st_size / 1e6:.1f} MB: {out}")
    say(f"Train on it: ifog train {out} --tokenizer bpe --vocabulary-size 1024 --budget 10m")
