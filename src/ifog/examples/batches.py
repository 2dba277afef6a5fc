"""Put examples of similar length into batches.

Owns the order of the examples: similar lengths together, shuffled by seed and epoch alone, so that a position is two
numbers. Takes examples, gives batches of tensors. Never knows what they mean.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ifog.errors import ConfigError, DataError, RunError
from ifog.examples.columns import Examples
from ifog.tracking import tracked

__all__ = ["ExampleBatches", "in_batches"]

Batch = dict[str, Tensor]


class ExampleBatches:
    """An endless iterator over batches of examples; each epoch holds every example exactly once.

    Args:
        examples: What is batched.
        batch_size: Examples per batch B over all processes; the last batch of an epoch may be smaller.
        by: The ragged column whose lengths are kept together; None: examples are all of one length.
        seed: Of the shuffle.
        bucket: Number of batches within which examples are sorted by length: 1 pads most, more shuffle less.
        rank: This process; it takes every world-th example of a batch.
        world: Number of processes.

    Raises:
        DataError: There are fewer examples than processes.
        ConfigError: A size is not positive.
    """

    def __init__(
        self,
        examples: Examples,
        batch_size: int,
        *,
        by: str | None = None,
        seed: int = 0,
        bucket: int = 100,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        if batch_size < world or bucket < 1:
            raise ConfigError(f"batch_size is {batch_size} and bucket is {bucket}; give at least {world} and 1.")
        if len(examples) < world:
            raise DataError(f"{len(examples)} examples are too few for {world} processes; give more.")
        self._examples = examples
        self._lengths = _lengths(examples, by)
        self._batch_size = batch_size
        self._seed = seed
        self._bucket = bucket
        self._rank = rank
        self._world = world
        self.epoch: int = 0
        self._next = 0
        self._order = self._ordered(0)

    @property
    def batches_per_epoch(self) -> int:
        """Number of batches in which every example occurs once."""
        return len(self._order)

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        if self._next == len(self._order):
            self.epoch += 1
            self._next = 0
            self._order = self._ordered(self.epoch)
        rows = self._order[self._next]
        self._next += 1
        return self._examples.batch(rows[self._rank :: self._world])

    def state_dict(self) -> dict[str, Any]:
        """The position, the same in every process."""
        return {"epoch": self.epoch, "next": self._next, "batches_per_epoch": self.batches_per_epoch}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go to a position.

        Raises:
            RunError: It belongs to other examples or another batch size.
        """
        if state.get("batches_per_epoch") != self.batches_per_epoch:
            raise RunError(
                f"the checkpoint's position is among {state.get('batches_per_epoch')} batches, here are "
                f"{self.batches_per_epoch}: examples and batch size must be those of the run."
            )
        self.epoch = int(state["epoch"])
        self._next = int(state["next"])
        self._order = self._ordered(self.epoch)

    def _ordered(self, epoch: int) -> list[NDArray[np.int64]]:
        """The examples of each batch, over all processes."""
        random = np.random.default_rng((self._seed, epoch))
        count = len(self._lengths)
        order = random.permutation(count)
        span = self._batch_size * self._bucket
        batches: list[NDArray[np.int64]] = []
        for start in range(0, count, span):
            near = order[start : start + span]
            near = near[np.argsort(self._lengths[near], kind="stable")]
            batches += [near[i : i + self._batch_size] for i in range(0, len(near), self._batch_size)]
        if len(batches) > 1 and len(batches[-1]) < self._world:  # no process may be left without a example
            last = batches.pop()
            batches[-1] = np.concatenate([batches[-1], last])
        return [batches[i] for i in random.permutation(len(batches))]


def in_batches(
    examples: Examples, batch_size: int, *, by: str | None = None
) -> Iterator[tuple[NDArray[np.int64], Batch]]:
    """Every example once, the shortest first, for evaluation: which rows these are (B,), and their batch.

    Args:
        examples: What is batched.
        batch_size: Examples per batch.
        by: The ragged column whose lengths are kept together.
    """
    order = np.argsort(_lengths(examples, by), kind="stable")
    for start in tracked(range(0, len(order), batch_size), "judging"):
        rows = order[start : start + batch_size]
        yield rows, examples.batch(rows)


def _lengths(examples: Examples, by: str | None) -> NDArray[np.int64]:
    return np.zeros(len(examples), dtype=np.int64) if by is None else examples.lengths(by)
