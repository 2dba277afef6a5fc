"""Encoded examples: columns of numbers that are mapped from a file and put side by side in batches.

Owns the types `Ragged` and `Examples` and the layout of their file (safetensors). Takes arrays, gives parts of them and
padded tensors. Never knows what the numbers mean.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save  # pyright: ignore[reportUnknownVariableType]
from torch import Tensor

from ifog.errors import DataError, RunError
from ifog.writing import write_atomically

__all__ = ["Examples", "Ragged"]

_OFFSETS = ".offsets"  # ends the name under which a ragged column's offsets are saved


@dataclass(frozen=True)
class Ragged:
    """Rows of different lengths in one array.

    Attributes:
        values: all rows one after the other (S, ...).
        offsets: where each begins, and the end of the last (N + 1,).

    Examples:
        >>> rows = Ragged.of([[1, 2, 3], [], [4]], np.int32)
        >>> rows[0].tolist(), rows.lengths.tolist()
        ([1, 2, 3], [3, 0, 1])
    """

    values: NDArray[Any]
    offsets: NDArray[np.int64]

    @classmethod
    def of(cls, rows: Sequence[Any], dtype: Any, shape: tuple[int, ...] = ()) -> Ragged:
        """From sequences, each (length, *shape).

        Args:
            rows: one sequence or array each.
            dtype: of the numbers.
            shape: of one element: () for numbers.
        """
        arrays = [np.asarray(row, dtype=dtype).reshape(-1, *shape) for row in rows]
        values = np.concatenate(arrays) if arrays else np.zeros((0, *shape), dtype=dtype)
        return cls(values, np.cumsum([0, *map(len, arrays)], dtype=np.int64))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, row: int) -> NDArray[Any]:
        return self.values[self.offsets[row] : self.offsets[row + 1]]

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Elements of each row (N,)."""
        return np.diff(self.offsets)

    def take(self, rows: NDArray[np.int64]) -> Ragged:
        """Some rows, in the order given."""
        return Ragged.of([self[int(row)] for row in rows], self.values.dtype, self.values.shape[1:])

    def padded(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        """Some rows side by side, zeros past their ends: (T, B, ...), T the longest of them."""
        lengths = self.lengths[rows]
        block = np.zeros((int(lengths.max(initial=0)), len(rows), *self.values.shape[1:]), dtype=self.values.dtype)
        for column, row in enumerate(rows):
            block[: lengths[column], column] = self[int(row)]
        return block


Column = Ragged | NDArray[Any]


@dataclass(frozen=True)
class Examples:
    """N examples as named columns of numbers.

    Attributes:
        columns: by name, `Ragged` or an array (N, ...).

    Raises:
        DataError: columns of different lengths.

    Examples:
        >>> examples = Examples({"tokens": Ragged.of([[5, 6], [7]], np.uint16), "label": np.array([1, 0])})
        >>> batch = examples.batch(np.array([1, 0]))
        >>> batch["tokens"].tolist(), batch["tokens_lengths"].tolist(), batch["label"].tolist()
        ([[7, 5], [0, 6]], [1, 2], [0, 1])
    """

    columns: Mapping[str, Column]

    def __post_init__(self) -> None:
        sizes = {name: len(column) for name, column in self.columns.items()}
        if len(set(sizes.values())) > 1:
            raise DataError(f"examples: columns have different numbers of rows: {sizes}; give one value per example.")

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def lengths(self, name: str) -> NDArray[np.int64]:
        """Elements of each row of a ragged column (N,)."""
        column = self.columns[name]
        return column.lengths if isinstance(column, Ragged) else np.full(len(self), column.shape[1])

    def take(self, rows: NDArray[np.int64]) -> Examples:
        """Some examples, in the order given."""
        return Examples({n: c.take(rows) if isinstance(c, Ragged) else c[rows] for n, c in self.columns.items()})

    def batch(self, rows: NDArray[np.int64]) -> dict[str, Tensor]:
        """Some examples side by side.

        Returns:
            A ragged column as (T, B, ...), time first and zero past each end, with its lengths (B,) under the name
            `NAME_lengths`; another as (B, ...). Whole numbers are int64, others float32.
        """
        tensors: dict[str, Tensor] = {}
        for name, column in self.columns.items():
            if isinstance(column, Ragged):
                tensors[name] = _tensor(column.padded(rows))
                tensors[f"{name}_lengths"] = torch.from_numpy(column.lengths[rows])
            else:
                tensors[name] = _tensor(column[rows])
        return tensors

    def save(self, path: Path) -> None:
        """Write one file, whole or not at all."""
        arrays: dict[str, NDArray[Any]] = {}
        for name, column in self.columns.items():
            if isinstance(column, Ragged):
                arrays[name], arrays[name + _OFFSETS] = column.values, column.offsets
            else:
                arrays[name] = column
        write_atomically(path, save({name: np.ascontiguousarray(array) for name, array in arrays.items()}))

    @classmethod
    def open(cls, path: Path) -> Examples:
        """The examples that `save` wrote.

        Raises:
            RunError: the file is missing or damaged.
        """
        try:
            arrays = load_file(path)
        except (OSError, SafetensorError, ValueError, KeyError, MemoryError) as error:
            raise RunError(f"{path} can't be read ({error!r}); restore it, or train anew.") from error
        columns: dict[str, Column] = {}
        for name, array in arrays.items():
            if not name.endswith(_OFFSETS):
                offsets = arrays.get(name + _OFFSETS)
                columns[name] = array if offsets is None else _checked(path, name, array, offsets)
        arrayed = all(isinstance(column, Ragged) or column.ndim > 0 for column in columns.values())
        if not arrayed or len({len(column) for column in columns.values()}) != 1:
            raise RunError(f"{path}: its columns don't go together; the file is damaged: restore it, or train anew.")
        return cls(columns)


def _tensor(array: NDArray[Any]) -> Tensor:
    return torch.from_numpy(array.astype(np.int64 if array.dtype.kind in "uib" else np.float32))


def _checked(path: Path, name: str, values: NDArray[Any], offsets: NDArray[Any]) -> Ragged:
    """A ragged column whose offsets stay within its values."""
    whole = values.ndim > 0 and offsets.ndim == 1 and len(offsets) > 0 and offsets.dtype == np.int64
    if not whole or offsets[0] != 0 or offsets[-1] != len(values) or (np.diff(offsets) < 0).any():
        raise RunError(f"{path}: the column {name!r} doesn't fit its offsets; the file is damaged: train anew.")
    return Ragged(values, offsets)
