"""How a text is cut into pieces that are read side by side, and how what they say becomes one array again.

Owns the arithmetic of pieces and the memory of kept values, which moves to a file where there is much of it. Takes
tensors `(T, B, n)`, gives arrays `(N, n)` in the order of the text. Never runs a model.
"""

from __future__ import annotations

import mmap
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["Array", "Arrays", "Pieces"]

_IN_MEMORY = 1 << 29  # bytes of one array; a longer one is a temporary file, mapped into memory
_TIMES = 4  # a piece is at least so many warm-ups long, which keeps what is read twice below a quarter


@dataclass(frozen=True)
class Pieces:
    """Piece b reads tokens `b * length ... b * length + warm_up + length` and is kept from `b * length + warm_up` on.

    The first is kept whole, so all pieces are equally long and begin afresh.

    Attributes:
        tokens: Of the text (N).
        count: Pieces (B).
        warm_up: Tokens read before a piece counts; 0 with one piece.
        length: Tokens kept of each piece.
    """

    tokens: int
    count: int
    warm_up: int
    length: int

    @classmethod
    def of(cls, tokens: int, warm_up: int, most: int) -> Pieces:
        """The pieces of a text of so many tokens, at most `most`.

        Examples:
            >>> Pieces.of(100_000, 1_000, 64)
            Pieces(tokens=100000, count=24, warm_up=1000, length=4125)
            >>> Pieces.of(5_000, 1_000, 64)
            Pieces(tokens=5000, count=1, warm_up=0, length=5000)
        """
        count = min(most, (tokens - warm_up) // (_TIMES * warm_up))
        if count < 2:
            return cls(tokens, 1, 0, tokens)
        return cls(tokens, count, warm_up, -(-(tokens - warm_up) // count))

    @property
    def steps(self) -> int:
        """Tokens that each piece reads (T)."""
        return self.warm_up + self.length

    @property
    def rows(self) -> int:
        """Tokens of the text, rounded up to whole pieces."""
        return self.warm_up + self.count * self.length

    def batch(self, ids: NDArray[Any]) -> NDArray[np.int64]:
        """The ids (T, B) that the pieces read; what is missing at the end of the last is the id 0."""
        whole = np.zeros(self.rows, np.int64)
        whole[: self.tokens] = ids
        pieces = np.lib.stride_tricks.sliding_window_view(whole, self.steps)[:: self.length]
        return pieces.T.copy()

    def chunks(self, steps: int) -> Iterator[tuple[int, int]]:
        """The steps in parts of at most `steps`; none crosses the end of the warm-up."""
        for first, last in ((0, self.warm_up), (self.warm_up, self.steps)):
            for start in range(first, last, steps):
                yield start, min(start + steps, last)


class Array:
    """One value of all tokens, filled in the order in which the pieces are read.

    Args:
        pieces: Of the text.
        columns: Of the value.
        units: The columns that are kept; None keeps all.
        dtype: Of the array.
    """

    def __init__(
        self, pieces: Pieces, columns: int, units: Sequence[int] | None = None, dtype: Any = np.float32
    ) -> None:
        self.pieces = pieces
        self.units = None if units is None else np.asarray(units, np.int64)
        shape = (pieces.rows, columns if units is None else len(units))
        size = shape[0] * shape[1] * np.dtype(dtype).itemsize
        self._map = _map(size) if size > _IN_MEMORY else None
        self._whole: NDArray[Any] = (
            np.empty(shape, dtype) if self._map is None else np.frombuffer(self._map, dtype).reshape(shape)
        )
        self._warmed: NDArray[Any] | None = None
        self._last: NDArray[Any] | None = None

    def put(self, start: int, values: Tensor) -> None:
        """Keeps steps `start` onwards, `(t, B, n)`."""
        made = values.detach().float().cpu().numpy() if values.is_floating_point() else values.cpu().numpy()
        if self.units is not None:
            made = made.take(self.units, -1)  # three times as fast as made[..., units]
        pieces, end = self.pieces, start + len(made)
        if start < pieces.warm_up:
            self._whole[start:end] = made[:, 0]
            self._warmed = made[-1]
        else:
            body = self._whole[pieces.warm_up :].reshape(pieces.count, pieces.length, -1)
            body[:, start - pieces.warm_up : end - pieces.warm_up] = made.swapaxes(0, 1)
            self._last = made[-1]
        if self._map is not None and hasattr(mmap, "MADV_DONTNEED"):
            self._map.madvise(mmap.MADV_DONTNEED)  # the file keeps what was written; the process need not

    @property
    def discrepancy(self) -> float:
        """How far a piece that has just warmed up is from the one before it, which ends there: the mean over units.

        For each unit, the mean difference as a share of the mean size.
        """
        if self._warmed is None or self._last is None:
            return 0.0
        difference = np.abs(self._warmed[1:] - self._last[:-1]).mean(0, dtype=np.float64)
        return float((difference / np.maximum(np.abs(self._last[:-1]).mean(0, dtype=np.float64), 1e-12)).mean())

    def take(self) -> NDArray[Any]:
        """The array (N, n), read-only."""
        found = self._whole[: self.pieces.tokens]
        found.flags.writeable = False
        return found


class Arrays:
    """Several values of one text.

    Args:
        pieces: Of the text.
        kept: Columns of each value, and the units of it that are kept.
    """

    def __init__(self, pieces: Pieces, kept: Mapping[str, tuple[int, Sequence[int] | None]]) -> None:
        self._arrays = {name: Array(pieces, columns, units) for name, (columns, units) in kept.items()}

    def put(self, start: int, values: Mapping[str, Tensor]) -> None:
        """Keeps steps `start` onwards of every value."""
        for name, array in self._arrays.items():
            array.put(start, values[name])

    @property
    def discrepancy(self) -> dict[str, float]:
        """Of each value."""
        return {name: array.discrepancy for name, array in self._arrays.items()}

    def take(self, begin: int) -> dict[str, NDArray[np.float32]]:
        """Each array (N - begin, n) by its name."""
        return {name: array.take()[begin:] for name, array in self._arrays.items()}


def _map(size: int) -> mmap.mmap:
    """Memory that is a file without a name, which goes when nobody looks at it any more."""
    with tempfile.TemporaryFile() as file:
        file.truncate(size)
        return mmap.mmap(file.fileno(), size)
