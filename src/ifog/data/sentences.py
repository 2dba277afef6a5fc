"""Put sentences of different lengths into padded batches.

Owns the order of the sentences: similar lengths together, shuffled by seed and epoch alone, so that a position is two
numbers. Takes sequences of ids, gives (T, B) tensors with lengths and the sentences' indices. Never holds labels.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ifog.data.tokenizers import Ids
from ifog.errors import ConfigError, DataError, RunError

__all__ = ["SentenceBatch", "SentenceBatches"]


class SentenceBatch(NamedTuple):
    """Sentences side by side.

    Attributes:
        ids: Padded ids (T, B), int64; T is the longest sentence of the batch.
        lengths: (B,), int64.
        members: Which sentences these are (B,), int64: to look up labels.
    """

    ids: Tensor
    lengths: Tensor
    members: Tensor


class SentenceBatches:
    """An endless iterator over batches of sentences; each epoch holds every sentence exactly once.

    Args:
        sentences: Ids of each sentence; an empty one is allowed.
        batch_size: Sentences per batch B over all processes; the last batch of an epoch may be smaller.
        padding: The id past a sentence's end.
        seed: Of the shuffle.
        shuffle: Whether the order differs from epoch to epoch.
        bucket: Number of batches within which sentences are sorted by length: 1 pads most, more shuffle less.
        rank: This process; it takes every world-th sentence of a batch.
        world: Number of processes.

    Raises:
        DataError: There are fewer sentences than processes.
        ConfigError: A size is not positive.
    """

    def __init__(
        self,
        sentences: Sequence[Sequence[int] | Ids],
        batch_size: int,
        *,
        padding: int = 0,
        seed: int = 0,
        shuffle: bool = True,
        bucket: int = 100,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        if batch_size < world or bucket < 1:
            raise ConfigError(f"batch_size is {batch_size} and bucket is {bucket}; give at least {world} and 1.")
        if len(sentences) < world:
            raise DataError(f"{len(sentences)} sentences are too few for {world} processes; give more.")
        self._sentences = sentences
        self._lengths = np.array([len(sentence) for sentence in sentences], dtype=np.int64)
        self._batch_size = batch_size
        self._padding = padding
        self._seed = seed
        self._shuffle = shuffle
        self._bucket = bucket
        self._rank = rank
        self._world = world
        self.epoch: int = 0
        self._next = 0
        self._order = self._ordered(0)

    @property
    def batches_per_epoch(self) -> int:
        """Number of batches in which every sentence occurs once."""
        return len(self._order)

    def __iter__(self) -> Iterator[SentenceBatch]:
        return self

    def __next__(self) -> SentenceBatch:
        if self._next == len(self._order):
            self.epoch += 1
            self._next = 0
            self._order = self._ordered(self.epoch)
        batch = self._batch(self._order[self._next])
        self._next += 1
        return batch

    def once(self) -> Iterator[SentenceBatch]:
        """Every sentence once, in the first epoch's order, whatever the position."""
        return (self._batch(indices) for indices in self._ordered(0))

    def state_dict(self) -> dict[str, Any]:
        """The position, the same in every process."""
        return {"epoch": self.epoch, "next": self._next, "batches_per_epoch": self.batches_per_epoch}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go to a position.

        Raises:
            RunError: It belongs to other sentences or another batch size.
        """
        if state.get("batches_per_epoch") != self.batches_per_epoch:
            raise RunError(
                f"the checkpoint's position is among {state.get('batches_per_epoch')} batches, here are "
                f"{self.batches_per_epoch}: sentences and batch size must be those of the run."
            )
        self.epoch = int(state["epoch"])
        self._next = int(state["next"])
        self._order = self._ordered(self.epoch)

    def _ordered(self, epoch: int) -> list[NDArray[np.int64]]:
        """The sentences of each batch, over all processes."""
        random = np.random.default_rng((self._seed, epoch))
        count = len(self._lengths)
        order = random.permutation(count) if self._shuffle else np.arange(count)
        span = self._batch_size * self._bucket
        batches: list[NDArray[np.int64]] = []
        for start in range(0, count, span):
            near = order[start : start + span]
            near = near[np.argsort(self._lengths[near], kind="stable")]
            batches += [near[i : i + self._batch_size] for i in range(0, len(near), self._batch_size)]
        if len(batches) > 1 and len(batches[-1]) < self._world:  # no process may be left without a sentence
            last = batches.pop()
            batches[-1] = np.concatenate([batches[-1], last])
        if self._shuffle:
            batches = [batches[i] for i in random.permutation(len(batches))]
        return batches

    def _batch(self, indices: NDArray[np.int64]) -> SentenceBatch:
        own = indices[self._rank :: self._world]
        lengths = self._lengths[own]
        padded = np.full((int(lengths.max(initial=0)), len(own)), self._padding, dtype=np.int64)
        for column, index in enumerate(own):
            padded[: lengths[column], column] = self._sentences[int(index)]
        return SentenceBatch(torch.from_numpy(padded), torch.from_numpy(lengths), torch.from_numpy(own))
