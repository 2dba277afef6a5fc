"""Windows of long series: what is looked back on and what is forecast, without writing each window down.

Owns the cutting of series into chunks that overlap by a window less a step: every window lies in exactly one chunk, and
the chunks together take some 17 times the series, however many windows there are. Takes arrays, gives `Examples` and
batches of windows. Never scales.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ifog.examples.columns import Examples, Ragged

__all__ = ["chunk_starts", "cut_windows", "window_examples"]

Array = NDArray[Any]

SHARE = 16  # a chunk has a window's length / SHARE starts: fewer take more room, more leave fewer examples to a batch


def chunk_starts(first: int, last: int, window: int) -> list[tuple[int, int]]:
    """Which steps each chunk holds, from and to, such that windows may start from `first` to `last`.

    Args:
        first: the first step at which a window may start.
        last: the last one.
        window: steps of a window.

    Examples:
        >>> chunk_starts(0, 2, 32)  # windows start at 0 and 1 in the first chunk, at 2 in the second
        [(0, 33), (2, 34)]
    """
    count = max(1, window // SHARE)
    return [(start, min(start + count - 1, last) + window) for start in range(first, last + 1, count)]


def window_examples(series: Sequence[tuple[Array, Array]], begins: Sequence[int], past: int, horizon: int) -> Examples:
    """Series in chunks.

    Args:
        series: values (T, C) and features known ahead (T, F) of each.
        begins: the step of each series from which on it may be forecast; what lies before is only looked back on.
        past: steps of a window that are looked back on.
        horizon: steps of a window that are forecast.

    Returns:
        "values" and "known", ragged; "first", at which step of its series each chunk begins. A series too short for a
        window has no chunk.

    Examples:
        >>> made = window_examples([(np.arange(6.0)[:, None], np.zeros((6, 1)))], [0], past=2, horizon=1)
        >>> [made.columns["values"][k].ravel().tolist() for k in range(len(made))]
        [[0.0, 1.0, 2.0], [1.0, 2.0, 3.0], [2.0, 3.0, 4.0], [3.0, 4.0, 5.0]]
    """
    pieces: list[tuple[Array, Array, int]] = []
    for (values, known), begin in zip(series, begins, strict=True):
        last = len(values) - past - horizon
        for start, end in chunk_starts(max(0, begin - past), last, past + horizon):
            pieces.append((values[start:end], known[start:end], start))
    widths = [(a.shape[1], b.shape[1]) for a, b in series][:1] or [(0, 0)]
    return Examples(
        {
            "values": Ragged.of([piece[0] for piece in pieces], np.float32, (widths[0][0],)),
            "known": _known([piece[1] for piece in pieces], widths[0][1]),
            "first": np.array([piece[2] for piece in pieces], np.int64),
        }
    )


def _known(rows: Sequence[Array], width: int) -> Ragged:
    """A ragged column that may have no features at all."""
    if width:
        return Ragged.of(rows, np.float32, (width,))
    lengths = [len(row) for row in rows]
    return Ragged(np.zeros((sum(lengths), 0), np.float32), np.cumsum([0, *lengths], dtype=np.int64))


def cut_windows(examples: Examples, window: int, *, stride: int = 1, count: int = 256) -> Iterator[tuple[Array, Array]]:
    """Every window that starts at a multiple of the stride, in order.

    Args:
        examples: of `window_examples`.
        window: steps of each.
        stride: steps between two starts.
        count: windows side by side at most.

    Yields:
        values (window, B, C) and known (window, B, F).
    """
    columns: Any = examples.columns
    places = [
        (row, start)
        for row, length in enumerate(examples.lengths("values").tolist())
        for start in range(length - window + 1)
        if (int(columns["first"][row]) + start) % stride == 0
    ]
    for k in range(0, len(places), count):
        chosen = places[k : k + count]
        yield tuple(
            np.stack([columns[name][row][start : start + window] for row, start in chosen], axis=1)
            for name in ("values", "known")
        )  # type: ignore[misc]
