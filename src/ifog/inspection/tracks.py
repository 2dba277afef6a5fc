"""Which units are worth a place on a page, and how they are made small.

Owns the order in which units are shown and their rounding to a few levels. Takes traces, gives bytes. Knows no HTML.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ifog.inspection.activations import Trace

__all__ = ["Track", "choose", "fitting", "packed", "planar", "ranked", "track_of"]

LEVELS = (255, 21)  # the finest that fits; odd, so that there is a middle
_STRETCH = 8
_ELEMENT = 120  # bytes around a track on the page
_GATED = 3  # so many units of each layer come with all their gates before any other unit comes at all


class Track(NamedTuple):
    """One unit over a whole text.

    Attributes:
        value: `layer0.h`.
        unit: Number of the unit.
        low: What level 0 stands for; values below it are shown as it.
        high: What the last level stands for.
        mean: Of the values.
        deviation: Their standard deviation.
        levels: (T,) uint8.
    """

    value: str
    unit: int
    low: float
    high: float
    mean: float
    deviation: float
    levels: NDArray[np.uint8]


def track_of(name: str, values: NDArray[np.float32], gate: bool, levels: int) -> Track:
    """The unit `name` rounded to so many levels, evenly from its low to its high.

    A gate has the range from 0 to 1; anything else is symmetrical around 0, up to the 99.5th percentile of its size.
    """
    value, _, unit = name.partition(":")
    reach = 1.0 if gate else float(np.quantile(np.abs(values), 0.995)) or 1.0
    low = 0.0 if gate else -reach
    scaled = (np.clip(values, low, reach) - low) * ((levels - 1) / (reach - low))
    rounded = np.rint(scaled).astype(np.uint8)
    return Track(value, int(unit), low, reach, float(values.mean()), float(values.std()), rounded)


def packed(content: bytes) -> str:
    """Deflated, in base64.

    Examples:
        >>> len(packed(bytes(100_000))) < 200
        True
    """
    return base64.b64encode(zlib.compress(content, 9)).decode("ascii")


def ranked(sample: Trace, asked: Sequence[str] = ()) -> list[str]:
    """All units of a sample, the most telling first: what is asked for, then what varies most.

    A unit that holds a value over several tokens means more than one that flickers, so what counts is the deviation of
    means over eight tokens of its values' tanh. Layers take turns: of each the states of the
    next unit, and for the first few its gates too; what is left of the gates comes last.

    Args:
        sample: With all values.
        asked: Units wanted in any case (`layer0.h:37`); they come with all that their layer keeps of the same unit.
    """
    found = dict.fromkeys(asked)
    layers: dict[str, list[str]] = {}
    for name in sample.names:
        layers.setdefault(name.partition(".")[0], []).append(name)
    for name in asked:
        value, _, unit = name.partition(":")
        for other in layers[value.partition(".")[0]]:
            if int(unit) < sample[other].shape[1]:
                found[f"{other}:{unit}"] = None
    turns = {layer: _turns(sample, names) for layer, names in layers.items()}
    for stage in range(2):
        for k in range(max(len(units) for units in turns.values())):
            for layer, units in turns.items():
                if k < len(units):
                    states_only = stage == 0 and k >= _GATED
                    found |= dict.fromkeys(_of_unit(sample, layers[layer], units[k], states_only))
    return list(found)


def _of_unit(sample: Trace, names: Iterable[str], unit: int, states_only: bool) -> Iterator[str]:
    for name in names:
        if unit < sample[name].shape[1] and (name in sample.states or not states_only):
            yield f"{name}:{unit}"


def _turns(sample: Trace, names: Sequence[str]) -> list[int]:
    """A layer's units in the order of their worth, by its states (by all values where it has none)."""
    scores = np.zeros(max(sample[name].shape[1] for name in names))
    for name in [n for n in names if n in sample.states] or names:
        worth = _worth(sample[name])
        scores[: len(worth)] += worth
    return np.argsort(-scores, kind="stable").tolist()


def _worth(values: NDArray[np.float32]) -> NDArray[np.float64]:
    # bounded as an LSTM's output reads its cell: a unit that counts to a thousand is not a thousand times as telling
    bounded = np.tanh(values)
    whole = len(values) // _STRETCH * _STRETCH
    if not whole:
        return bounded.std(0, dtype=np.float64)
    return bounded[:whole].reshape(-1, _STRETCH, values.shape[1]).mean(1, dtype=np.float64).std(0)


def choose(sample: Trace, names: Sequence[str], tokens: int, room: float) -> tuple[int, list[str]]:
    """The levels and the units whose tracks, over so many tokens, are likely to fit into `room` bytes.

    Args:
        sample: A part of the text with all values.
        names: In the order of their worth.
        tokens: Of the whole text.
        room: Bytes.
    """
    levels, chosen = LEVELS[-1], list[str]()
    for levels in LEVELS:
        chosen, used = list[str](), 0.0
        for name in names:
            track = track_of(name, sample[name], name.partition(":")[0] in sample.gates, levels)
            used += len(packed(track.levels.tobytes())) / len(sample) * tokens + _ELEMENT
            if used > room:
                break
            chosen.append(name)
        if len(chosen) == len(names):
            break
    return levels, chosen


def fitting(tracks: Iterable[Track], room: float) -> Iterator[tuple[Track, str]]:
    """Tracks with what is written of them, until the room is full."""
    for track in tracks:
        made = packed(track.levels.tobytes())
        room -= len(made) + _ELEMENT
        if room < 0:
            return
        yield track, made


def planar(array: NDArray[Any], dtype: Any) -> bytes:
    """(T, k) as k rows of T numbers, which deflate better."""
    return np.ascontiguousarray(array.T.astype(dtype)).tobytes()
