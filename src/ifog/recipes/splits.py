"""How the public data of the sequence tasks is divided: what is learned from, what chooses, what judges.

Owns the division of each data set, by its own split where it has one, else by a seed. Takes the paths of a recipe,
gives tables. Never trains.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ifog.examples import Table
from ifog.examples.audio import read_recordings
from ifog.examples.images import read_pixels
from ifog.examples.labelled import read_labelled
from ifog.examples.made_sequences import adding, copying
from ifog.examples.parallel import read_parallel
from ifog.examples.tagged import read_tagged
from ifog.tasks.forecasting import FORECAST
from ifog.tasks.forecasting_options import ForecastOptions

__all__ = [
    "Division", "Split", "added", "copied", "labelled", "music", "names", "pairs", "pixels", "series", "spoken_digits",
    "tagged",
]  # fmt: skip


class Split(NamedTuple):
    """What a recipe learns from, what chooses the weights (none: a part of `train`), and what judges them once."""

    train: Table
    validation: Table | None
    test: Table


Division = Callable[[Mapping[str, Path]], Split]


def labelled(charset: str = "utf-8") -> Division:
    """Files of labelled examples, divided as they come."""

    def divide(paths: Mapping[str, Path]) -> Split:
        tables = {use: read_labelled([path], charset=charset) for use, path in paths.items()}
        return Split(tables["train"], tables.get("validation"), tables["test"])

    return divide


def names(paths: Mapping[str, Path]) -> Split:
    """A fifth of the names, by a fixed seed, judges: the set has no split of its own."""
    train, test = read_labelled([paths["train"]]).split(0.2, seed=1)
    return Split(train, None, test)


def spoken_digits(paths: Mapping[str, Path]) -> Split:
    """The set's own split: recordings 0 to 4 of each digit and speaker judge."""
    table = read_recordings(paths["train"])
    judging = [int(Path(name).stem.rpartition("_")[2]) < 5 for name in table.column("file")]
    train, test = (table.take(np.flatnonzero(np.array(judging) == part)) for part in (False, True))
    return Split(train, None, test)


def tagged(paths: Mapping[str, Path]) -> Split:
    """Files of tagged sentences, divided as they come."""
    return Split(*(read_tagged([paths[use]]) for use in ("train", "validation", "test")))


def pairs(source: str, target: str) -> Division:
    """Parallel texts, divided as they come; the other language lies beside each file.

    Args:
        source: the ending of the language that is read, such as "en".
        target: the ending of the language that is written.
    """

    def divide(paths: Mapping[str, Path]) -> Split:
        return Split(
            *(
                read_parallel([paths[use].with_suffix(f".{language}") for language in (source, target)])
                for use in ("train", "validation", "test")
            )
        )

    return divide


def series(train: str, validation: str, test: str) -> Division:
    """Parts of one series, one after the other.

    Args:
        train: rows, such as "[:8640]".
        validation: rows; those before are looked back on.
        test: rows.
    """

    def divide(paths: Mapping[str, Path]) -> Split:
        return Split(
            *(FORECAST.read([f"{paths['train']}{part}"], ForecastOptions()) for part in (train, validation, test))
        )

    return divide


def music(paths: Mapping[str, Path]) -> Split:
    """Pieces, divided as they come."""
    return series("[train]", "[valid]", "[test]")(paths)


def pixels(*, permuted: bool = False) -> Division:
    """Images pixel by pixel, in their order or in one drawn once."""

    def divide(paths: Mapping[str, Path]) -> Split:
        order = np.random.default_rng(0).permutation(28 * 28) if permuted else None
        return Split(read_pixels(paths["train"], order), None, read_pixels(paths["test"], order))

    return divide


def added(count: int, steps: int) -> Division:
    """The adding problem, made."""
    return lambda paths: Split(adding(count, steps, 0), adding(1000, steps, 1), adding(1000, steps, 2))


def copied(count: int, delay: int) -> Division:
    """The copying problem, made."""
    return lambda paths: Split(copying(count, delay, 0), copying(500, delay, 1), copying(500, delay, 2))
