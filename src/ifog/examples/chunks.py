"""Cut long examples into chunks that are read one after the other, for truncated backpropagation through time.

Owns the position in the sequences and the moments at which one ends and the next begins. Takes examples whose columns
have a value for each step, gives batches of T steps that go on where the batch before ended, so that the recurrent
state can be carried. Never holds the state: `reset` says before which steps it starts anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ifog.errors import ConfigError, DataError, RunError
from ifog.examples.columns import Examples, Ragged

__all__ = ["ChunkBatches", "in_chunks"]

Batch = dict[str, Tensor]


class ChunkBatches:
    """An endless iterator over chunks of B lanes, each of which reads sequence after sequence.

    Each epoch puts the sequences in an order of its own, one after the other, and cuts the whole into B lanes of equal
    length; so one sequence alone fills all lanes, and nothing is padded. A lane that begins inside a sequence begins
    with the initial state. Fewer than B steps at the end of an epoch's order are left out.

    A batch holds each column as (T, B, ...) under its name, T under the name `NAME_lengths` (B,), and, only where a
    sequence begins, `reset` (T, B): the state before such a step is the initial one. The last chunk of an epoch may be
    shorter than `steps`.

    Args:
        examples: ragged columns, all of the same lengths.
        lanes: B over all processes.
        steps: T.
        seed: Of the order.
        rank: This process; it takes every world-th lane.
        world: Number of processes.

    Raises:
        DataError: A column that has no value for each step, or fewer steps than lanes.
        ConfigError: A size is not positive, or the processes can't share the lanes evenly.
    """

    def __init__(
        self, examples: Examples, lanes: int, steps: int, *, seed: int = 0, rank: int = 0, world: int = 1
    ) -> None:
        if lanes < 1 or steps < 1:
            raise ConfigError(f"batch_size is {lanes} and chunk is {steps}; both must be at least 1.")
        if lanes % world:
            raise ConfigError(
                f"batch_size is {lanes}, which {world} processes can't share evenly; give a multiple of {world}."
            )
        self._columns, self._offsets = _aligned(examples)
        total = int(self._offsets[-1])
        if total < lanes:
            raise DataError(
                f"the training examples have {total} steps in all, too few for {lanes} lanes side by side; give more "
                "examples, or a smaller --batch-size."
            )
        self._steps, self._seed = steps, seed
        self._length = total // lanes
        self._lanes = np.arange(rank, lanes, world, dtype=np.int64) * self._length  # where each begins
        self.batches_per_epoch = -(-self._length // steps)
        self.epoch: int = 0
        self._next = 0
        self._order()

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        if self._next == self.batches_per_epoch:
            self.epoch += 1
            self._next = 0
            self._order()
        first = self._next * self._steps
        self._next += 1
        count = min(self._steps, self._length - first)
        places = first + np.arange(count, dtype=np.int64)[:, None] + self._lanes
        which = np.searchsorted(self._begins, places, side="right") - 1  # in this epoch's order
        sources = self._offsets[self._rows[which]] + places - self._begins[which]
        reset = places == self._begins[which]
        reset[0] |= first == 0  # each lane begins with the initial state
        batch = _batch(self._columns, sources, np.full(len(self._lanes), count))
        return batch | ({"reset": torch.from_numpy(reset)} if reset.any() else {})

    def state_dict(self) -> dict[str, Any]:
        """The position, the same in every process."""
        return {"epoch": self.epoch, "next": self._next, "length": self._length, "chunk": self._steps}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go to a position.

        Raises:
            RunError: It belongs to other examples or sizes.
        """
        if (state.get("length"), state.get("chunk")) != (self._length, self._steps):
            raise RunError(
                f"the checkpoint's position is in lanes of {state.get('length')} steps by chunks of "
                f"{state.get('chunk')}, here are {self._length} by {self._steps}: examples, batch size and chunk must "
                "be those of the run."
            )
        self.epoch, self._next = int(state["epoch"]), int(state["next"])
        self._order()

    def _order(self) -> None:
        """This epoch's order of the sequences that have a step, and where each begins in it."""
        lengths = np.diff(self._offsets)
        rows = np.random.default_rng((self._seed, self.epoch)).permutation(len(lengths))
        self._rows = rows[lengths[rows] > 0]
        self._begins = np.cumsum(lengths[self._rows]) - lengths[self._rows]


def in_chunks(
    examples: Examples, width: int, steps: int | None, *, by: str
) -> Iterator[tuple[NDArray[np.int64], int, Batch]]:
    """Every step of every example once, the shortest examples first, for evaluation.

    Args:
        examples: What is read.
        width: Examples side by side.
        steps: T at most; none: each batch is read whole.
        by: The ragged column whose lengths are kept together; of the other columns, ragged ones must have its lengths.

    Yields:
        Which rows these are (B,), the step of theirs at which this chunk begins (0: other rows than before), and the
        chunk: each column as (T, B, ...), zeros past an example's end, with the steps of this chunk that each example
        has, 0 to T, under the name `NAME_lengths` (B,).
    """
    columns, offsets = _aligned(examples)
    lengths = examples.lengths(by)
    order = np.argsort(lengths, kind="stable")
    for group in range(0, len(order), width):
        rows = order[group : group + width]
        longest = int(lengths[rows].max())
        for start in range(0, max(longest, 1), steps or max(longest, 1)):
            count = min(steps or longest, longest - start)
            left = np.clip(lengths[rows] - start, 0, count)
            time = np.arange(count, dtype=np.int64)[:, None]
            sources = np.where(time < left, offsets[rows] + start + time, -1)
            yield rows, start, _batch(columns, sources, left)


def _aligned(examples: Examples) -> tuple[dict[str, Ragged], NDArray[np.int64]]:
    """The columns, and the offsets that they share."""
    ragged = {name: column for name, column in examples.columns.items() if isinstance(column, Ragged)}
    offsets = next((column.offsets for column in ragged.values()), np.zeros(1, np.int64))
    other = [n for n in examples.columns if n not in ragged or not np.array_equal(ragged[n].offsets, offsets)]
    if other:
        raise DataError(
            f"the column {other[0]!r} has no value for each step, so its examples can't be read in chunks; leave out "
            "--chunk to read them whole."
        )
    return ragged, offsets


def _batch(columns: Mapping[str, Ragged], sources: NDArray[np.int64], lengths: NDArray[np.int64]) -> Batch:
    """The values at `sources` (T, B) of each column, zeros where that is negative."""
    batch: Batch = {}
    for name, column in columns.items():
        values = np.zeros((*sources.shape, *column.values.shape[1:]), column.values.dtype)
        valid = sources >= 0
        values[valid] = column.values[sources[valid]]
        batch[name] = torch.from_numpy(values.astype(np.int64 if values.dtype.kind in "uib" else np.float32))
        batch[f"{name}_lengths"] = torch.from_numpy(lengths.astype(np.int64))
    return batch
