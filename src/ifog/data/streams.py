"""Cut one long text into parallel streams and these into chunks, for truncated backpropagation through time.

Owns the position in the text. Takes an array of ids, gives chunks of T steps from B streams that each go on where the
chunk before ended, so that the recurrent state can be carried. Never holds the state: `reset` says when it starts anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ifog.data.shards import ShardedIds
from ifog.data.tokenizers import Ids
from ifog.errors import ConfigError, DataError, RunError

__all__ = ["IGNORED", "StreamBatch", "Streams", "one_pass"]

IGNORED = -100  # the target that torch's cross_entropy leaves out by default


class StreamBatch(NamedTuple):
    """One chunk.

    Attributes:
        inputs: Ids (T, B), int64.
        targets: The id after each input (T, B), int64.
        reset: The streams are at their start: the state before this chunk is the initial one.
    """

    inputs: Tensor
    targets: Tensor
    reset: bool


class Streams:
    """An endless iterator over chunks of B parallel streams.

    Stream b reads its own B-th part of the ids. When every chunk of T steps that fits was read, all streams go back to
    their start and `reset` is true. With one stream this is how min-char-rnn walks through its text.

    Args:
        ids: The text (N,), in memory, mapped or in shards; of a mapped one, a process reads its own part alone.
        batch_size: Number of streams B over all processes.
        steps: Length T of a chunk.
        rank: This process; it reads streams rank * B / world and following.
        world: Number of processes.

    Raises:
        DataError: The ids are fewer than one batch.
        ConfigError: A size is not positive, or the processes can't share the streams evenly.
    """

    def __init__(self, ids: Ids | ShardedIds, batch_size: int, steps: int, *, rank: int = 0, world: int = 1) -> None:
        _check_sizes(batch_size, steps)
        if batch_size % world:
            raise ConfigError(
                f"batch_size is {batch_size}, which {world} processes can't share evenly; "
                f"give a multiple of {world}, such as {(batch_size // world + 1) * world}."
            )
        length = (len(ids) - 1) // batch_size
        if length < steps:
            raise DataError(
                f"the training text has {len(ids)} tokens, fewer than one batch: {batch_size} streams of {steps} steps "
                f"need {batch_size * steps + 1}. Give a longer text, or a smaller --batch-size or --sequence."
            )
        own = batch_size // world
        first = rank * own * length
        if isinstance(ids, ShardedIds):
            self._streams: NDArray[Any] | _Rows = _Rows(ids, range(first, first + own * length, length))
        else:
            self._streams = _parallel(ids[first : first + own * length + 1], own, length)
        self._steps = steps
        self._next = 0
        self.batches_per_epoch = length // steps

    @property
    def epoch(self) -> int:
        """How often the text was read to its end."""
        return self._next // self.batches_per_epoch

    def __iter__(self) -> Iterator[StreamBatch]:
        return self

    def __next__(self) -> StreamBatch:
        chunk = self._next % self.batches_per_epoch
        self._next += 1
        start = chunk * self._steps
        window = torch.from_numpy(_window(self._streams, start, start + self._steps + 1))
        return StreamBatch(window[:-1], window[1:], reset=chunk == 0)

    def state_dict(self) -> dict[str, Any]:
        """The position, the same in every process."""
        return {"next": self._next, "batches_per_epoch": self.batches_per_epoch}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go to a position.

        Raises:
            RunError: It belongs to another text or other sizes.
        """
        if state.get("batches_per_epoch") != self.batches_per_epoch:
            raise RunError(
                f"the checkpoint's position is in a text of {state.get('batches_per_epoch')} chunks, this one has "
                f"{self.batches_per_epoch}: text, batch size and sequence length must be those of the run."
            )
        self._next = int(state["next"])


def one_pass(ids: Ids, batch_size: int, steps: int) -> Iterator[StreamBatch]:
    """Every id but the first as a target exactly once, in at most `batch_size` streams, for evaluation.

    The last chunk may be shorter than `steps`. Where the ids don't fill the streams, targets are `IGNORED`.

    Raises:
        DataError: There are fewer than two ids.
        ConfigError: A size is not positive.
    """
    _check_sizes(batch_size, steps)
    targets = len(ids) - 1
    if targets < 1:
        raise DataError(f"a text of {len(ids)} tokens can't be evaluated: each target needs one before it; give more.")
    length = -(-targets // min(batch_size, targets))
    used = -(-targets // length)  # streams that hold at least one target
    full = _parallel(ids, used - 1, length)
    last = ids[(used - 1) * length :]
    for start in range(0, length, steps):
        stop = min(start + steps, length) + 1
        window = np.full((stop - start, used), IGNORED, dtype=np.int64)
        window[:, :-1] = _window(full, start, stop)
        tail = last[start:stop]
        window[: len(tail), -1] = tail
        chunk = torch.from_numpy(window)
        yield StreamBatch(chunk[:-1].clamp_min(0), chunk[1:], reset=start == 0)


def _parallel(ids: Ids, streams: int, length: int) -> NDArray[Any]:
    """A view (streams, length + 1): each row ends with the first id of the next, its last target."""
    item = ids.itemsize
    return np.lib.stride_tricks.as_strided(ids, (streams, length + 1), (length * item, item), writeable=False)


class _Rows:
    """Streams in shards, which no view can have side by side: each window is put together."""

    def __init__(self, ids: ShardedIds, starts: range) -> None:
        self._ids, self._starts = ids, starts

    def window(self, start: int, stop: int) -> NDArray[np.int64]:
        rows = [self._ids[first + start : first + stop] for first in self._starts]
        return np.ascontiguousarray(np.stack(rows, axis=1), dtype=np.int64)


def _window(streams: NDArray[Any] | _Rows, start: int, stop: int) -> NDArray[np.int64]:
    if isinstance(streams, _Rows):
        return streams.window(start, stop)
    return np.ascontiguousarray(streams[:, start:stop].T, dtype=np.int64)


def _check_sizes(batch_size: int, steps: int) -> None:
    if batch_size < 1 or steps < 1:
        raise ConfigError(f"batch_size is {batch_size} and steps is {steps}; both must be at least 1.")
