"""Chunks of long examples: what each lane reads, where a state starts anew, and positions that are found again."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
import torch
from torch import Tensor

from ifog.errors import ConfigError, DataError, RunError
from ifog.examples import Examples, Ragged
from ifog.examples.chunks import ChunkBatches, in_chunks


def examples_of(lengths: list[int]) -> Examples:
    """Every step's value tells its example (hundreds) and its place in it (from 1), as two columns."""
    rows = [[100 * (row + 1) + step + 1 for step in range(length)] for row, length in enumerate(lengths)]
    pairs = [[(value, -value) for value in row] for row in rows]
    return Examples({"words": Ragged.of(rows, np.int32), "pairs": Ragged.of(pairs, np.float32, (2,))})


def lanes_of(batches: ChunkBatches) -> tuple[list[list[int]], list[list[bool]], list[int]]:
    """One epoch: what each lane read, where it started anew, and the chunks' lengths."""
    lanes: list[list[int]] = []
    resets: list[list[bool]] = []
    sizes: list[int] = []
    for _ in range(batches.batches_per_epoch):
        batch = next(batches)
        words = batch["words"]
        reset = batch.get("reset", torch.zeros(words.shape, dtype=torch.bool))
        assert ("reset" in batch) == bool(reset.any())
        assert torch.equal(batch["pairs"], torch.stack([words, -words], -1).float())
        assert batch["words_lengths"].tolist() == batch["pairs_lengths"].tolist() == [len(words)] * words.shape[1]
        sizes.append(len(words))
        lanes = lanes or [[] for _ in range(words.shape[1])]
        resets = resets or [[] for _ in range(words.shape[1])]
        for lane in range(words.shape[1]):
            lanes[lane] += words[:, lane].tolist()
            resets[lane] += reset[:, lane].tolist()
    return lanes, resets, sizes


@pytest.mark.parametrize(
    ("lengths", "width", "steps"),
    [([17], 1, 5), ([33, 1, 0, 7], 2, 7), ([1, 1, 1], 3, 4), ([5, 9, 2, 30, 0, 1], 4, 3), ([64], 4, 16)],
)
def test_each_lane_reads_sequences_in_order_and_starts_anew_where_one_begins(
    lengths: list[int], width: int, steps: int
):
    batches = ChunkBatches(examples_of(lengths), width, steps, seed=3)
    for _ in range(3):
        lanes, resets, sizes = lanes_of(batches)
        length = sum(lengths) // width
        assert [len(lane) for lane in lanes] == [length] * width
        assert sizes == [steps] * (length // steps) + [length % steps] * (length % steps > 0)
        read = list(itertools.chain(*lanes))
        assert len(set(read)) == len(read)  # no step twice
        assert sum(lengths) - len(read) < width
        for lane, reset in zip(lanes, resets, strict=True):
            assert reset[0]
            for (before, value), anew in zip(itertools.pairwise(lane), reset[1:], strict=True):
                assert anew == (value % 100 == 1)
                assert anew or value == before + 1
                if anew:  # the one before was read to its end
                    assert before % 100 == lengths[before // 100 - 1]


def test_the_order_is_another_in_each_epoch_and_the_same_for_a_seed():
    def orders(seed: int) -> list[list[list[int]]]:
        batches = ChunkBatches(examples_of([4] * 9), 2, 5, seed=seed)
        return [lanes_of(batches)[0] for _ in range(3)]

    assert orders(1) == orders(1)
    assert orders(1) != orders(2)
    first, second, _ = orders(1)
    assert first != second


def test_a_position_is_found_again():
    for read in (0, 1, 5, 7, 8, 20):
        batches = ChunkBatches(examples_of([33, 8, 1, 19]), 3, 3, seed=5)
        for _ in range(read):
            next(batches)
        position = json.loads(json.dumps(batches.state_dict()))
        again = ChunkBatches(examples_of([33, 8, 1, 19]), 3, 3, seed=5)
        again.load_state_dict(position)
        for _ in range(12):
            one, other = next(batches), next(again)
            assert one.keys() == other.keys()
            assert all(torch.equal(one[name], other[name]) for name in one)
        assert batches.epoch == again.epoch


def test_a_position_of_other_sizes_is_refused():
    position = ChunkBatches(examples_of([40]), 2, 5).state_dict()
    for lengths, width, steps in (([42], 2, 5), ([40], 4, 5), ([40], 2, 4)):
        with pytest.raises(RunError, match="chunk"):
            ChunkBatches(examples_of(lengths), width, steps).load_state_dict(position)


def test_processes_share_the_lanes():
    examples = examples_of([50, 3, 21])
    whole = ChunkBatches(examples, 4, 6, seed=2)
    parts = [ChunkBatches(examples, 4, 6, seed=2, rank=rank, world=2) for rank in range(2)]
    for _ in range(2 * whole.batches_per_epoch):
        batch, shares = next(whole), [next(part) for part in parts]
        for rank, share in enumerate(shares):
            assert torch.equal(share["words"], batch["words"][:, rank::2])
            none = torch.zeros(batch["words"].shape, dtype=torch.bool)
            ours = share.get("reset", none[:, rank::2])
            assert torch.equal(ours, batch.get("reset", none)[:, rank::2])
    with pytest.raises(ConfigError, match="multiple of 3"):
        ChunkBatches(examples, 4, 6, world=3)


def test_what_cant_be_cut_is_refused():
    with pytest.raises(DataError, match="3 steps in all"):
        ChunkBatches(examples_of([2, 1]), 4, 5)
    with pytest.raises(ConfigError, match="at least 1"):
        ChunkBatches(examples_of([9]), 1, 0)
    labels = Examples({"words": Ragged.of([[1, 2], [3]], np.int32), "label": np.array([0, 1])})
    with pytest.raises(DataError, match="'label' has no value for each step"):
        ChunkBatches(labels, 1, 2)
    uneven = Examples({"words": Ragged.of([[1, 2], [3]], np.int32), "tags": Ragged.of([[1], [2, 3]], np.int32)})
    with pytest.raises(DataError, match="'tags'"):
        next(in_chunks(uneven, 1, 2, by="words"))


@pytest.mark.parametrize("steps", [1, 4, 7, 100, None])
@pytest.mark.parametrize("lengths", [[17], [0], [3, 0, 33, 1, 7, 33], [1, 1]])
def test_evaluation_reads_every_step_once_in_order(lengths: list[int], steps: int | None):
    examples = examples_of(lengths)
    read: list[list[int]] = [[] for _ in lengths]
    last: Tensor | None = None
    for rows, start, batch in in_chunks(examples, 2, steps, by="words"):
        words, left = batch["words"], batch["words_lengths"]
        assert steps is None or len(words) <= steps
        assert len(words) == int(left.max())
        if start == 0:
            last = torch.from_numpy(rows)
        assert last is not None
        assert torch.equal(last, torch.from_numpy(rows))
        for column, row in enumerate(rows):
            count = int(left[column])
            assert (words[count:, column] == 0).all()
            if count:
                assert len(read[row]) == start
            read[row] += words[:count, column].tolist()
    words = examples.columns["words"]
    assert isinstance(words, Ragged)
    assert read == [words[row].tolist() for row in range(len(lengths))]
