"""What a file of examples holds before anything is encoded: named columns of rows that know where they came from.

Owns the type `Table`. Takes columns and places, gives columns, parts and places. Never reads or encodes anything.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ifog.errors import DataError

__all__ = ["Table"]


@dataclass(frozen=True)
class Table:
    """Named columns of equal length.

    A cell holds whatever the file has: a text, a number, a list of words, an array (T, D) of a series.

    Attributes:
        columns: values by name, each a sequence of N.
        places: the file and the line (from 1) that each row begins at.

    Examples:
        >>> table = Table({"text": ["good", "bad"]}, [("reviews.csv", 2), ("reviews.csv", 3)])
        >>> table.where(1)
        'reviews.csv:3'
    """

    columns: Mapping[str, Sequence[Any]]
    places: Sequence[tuple[str, int]]

    def __len__(self) -> int:
        return len(self.places)

    def where(self, row: int) -> str:
        """A row's place for a message, as editors read it: "reviews.csv:12"."""
        file, line = self.places[row]
        return f"{file}:{line}"

    @property
    def source(self) -> str:
        """The files' names for a message."""
        names = list(dict.fromkeys(file for file, _ in self.places))
        return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "") or "the table"

    def column(self, name: str) -> Sequence[Any]:
        """A column.

        Raises:
            DataError: there is none of that name; the nearest is offered.
        """
        if name in self.columns:
            return self.columns[name]
        near = difflib.get_close_matches(name, self.columns, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(map(repr, self.columns))}."
        raise DataError(f"{self.source}: there is no column {name!r}; {hint}")

    def take(self, rows: Iterable[int]) -> Table:
        """Some rows, in the order given."""
        chosen = [int(row) for row in rows]
        columns = {name: [values[row] for row in chosen] for name, values in self.columns.items()}
        return Table(columns, [self.places[row] for row in chosen])

    def split(self, fraction: float, seed: int) -> tuple[Table, Table]:
        """The rows at random in two parts, in their old order within each.

        Args:
            fraction: share of the second part, at least one row.
            seed: of the choice.

        Raises:
            DataError: fewer than two rows.
        """
        if len(self) < 2:
            raise DataError(f"{self.source} has {len(self)} examples, too few to hold some back; give more.")
        count = min(max(1, round(len(self) * fraction)), len(self) - 1)
        order = np.random.default_rng(seed).permutation(len(self))
        return self.take(np.sort(order[count:])), self.take(np.sort(order[:count]))

    def cut(self, fraction: float, names: Sequence[str]) -> tuple[Table, Table]:
        """The only row's sequences in two: what comes first, and what comes last. Other columns are left out.

        Args:
            fraction: share of the second part, at least one step.
            names: columns of sequences.

        Raises:
            DataError: fewer than two steps.

        Examples:
            >>> first, last = Table({"words": [["a", "b", "c", "d"]]}, [("one.jsonl", 1)]).cut(0.25, ["words"])
            >>> first.columns, last.columns
            ({'words': [['a', 'b', 'c']]}, {'words': [['d']]})
        """
        sequences = {name: self.column(name)[0] for name in names}
        steps = len(sequences[names[0]])
        if steps < 2:
            raise DataError(f"{self.where(0)}: one sequence of {steps} steps is too short to hold some back.")
        end = steps - min(max(1, round(steps * fraction)), steps - 1)
        return (
            Table({name: [sequence[:end]] for name, sequence in sequences.items()}, self.places),
            Table({name: [sequence[end:]] for name, sequence in sequences.items()}, self.places),
        )

    def with_columns(self, columns: Mapping[str, Sequence[Any]]) -> Table:
        """The same rows with more columns, or other values in them."""
        return Table({**self.columns, **columns}, self.places)
