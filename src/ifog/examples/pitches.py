"""Music from files: which keys of a piano sound at each step.

Owns the form of lists of pitches. Takes paths, gives a `Table` with one row per piece. Never knows a model.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from ifog.errors import DataError
from ifog.examples.plain import excerpt, json_of, text_of
from ifog.examples.series import split_part
from ifog.examples.tables import Table

__all__ = ["LOWEST_PITCH", "PITCHES", "read_pitches"]

LOWEST_PITCH, PITCHES = 21, 88  # the keys of a piano in MIDI numbers: 21 to 108


def read_pitches(path: str) -> Table:
    """Pieces of music: which of the 88 keys of a piano sound at each step.

    Args:
        path: a JSON file, a list of pieces, each a list of steps, each a list of MIDI pitches from 21 to 108; or an
            object of such lists, of which `FILE[NAME]` names one.

    Returns:
        A column "series" of arrays (T, 88) of 0 and 1. A row's line is the number of the piece, from 1.

    Raises:
        DataError: no such file or list, an empty piece, or something that is no pitch; says file, piece and step.
    """
    file, part = split_part(path)
    content = json_of(str(file), text_of(file))
    if isinstance(content, dict):
        lists = cast("dict[str, Any]", content)
        if part not in lists:
            first = next(iter(lists), "train")
            raise DataError(f"{file}: it holds {', '.join(lists)}; name one of them, as in {file}[{first}].")
        content = lists[part]
    if not isinstance(content, list) or not content:
        raise DataError(f"{path}: there are no pieces; give a list of lists of lists of pitches.")
    pieces = [_piano_roll(path, k, piece) for k, piece in enumerate(cast("list[Any]", content), start=1)]
    return Table({"series": pieces}, [(path, k) for k in range(1, len(pieces) + 1)])


def _piano_roll(path: str, number: int, piece: Any) -> NDArray[np.uint8]:
    if not isinstance(piece, list) or not piece:
        raise DataError(f"{path}: piece {number} has no steps; leave it out.")
    steps = cast("list[Any]", piece)
    roll = np.zeros((len(steps), PITCHES), np.uint8)
    for t, pitches in enumerate(steps):
        for pitch in cast("list[Any]", pitches if isinstance(pitches, list) else [pitches]):
            if not isinstance(pitch, int) or not LOWEST_PITCH <= pitch < LOWEST_PITCH + PITCHES:
                raise DataError(f"{path}: piece {number}, step {t + 1}: {excerpt(pitch)} is no pitch; give 21 to 108.")
            roll[t, pitch - LOWEST_PITCH] = 1
    return roll
