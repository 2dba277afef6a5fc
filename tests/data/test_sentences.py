"""Padded batches of sentences."""

from __future__ import annotations

import json
import random
from itertools import islice

import pytest
import torch

from ifog.data import SentenceBatch, SentenceBatches
from ifog.errors import ConfigError, DataError, RunError

CHANCE = random.Random(1)
SENTENCES = [[CHANCE.randrange(1, 50) for _ in range(CHANCE.randrange(0, 33))] for _ in range(101)]


def sentences_of(batch: SentenceBatch, padding: int = 0) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for column, (length, member) in enumerate(zip(batch.lengths.tolist(), batch.members.tolist(), strict=True)):
        found[member] = batch.ids[:length, column].tolist()
        assert (batch.ids[length:, column] == padding).all()
    return found


@pytest.mark.parametrize(("batch_size", "bucket"), [(1, 1), (7, 3), (64, 100), (500, 1)])
def test_an_epoch_holds_every_sentence_once(batch_size: int, bucket: int) -> None:
    batches = SentenceBatches(SENTENCES, batch_size, bucket=bucket, padding=-1)
    found: dict[int, list[int]] = {}
    for batch in islice(batches, batches.batches_per_epoch):
        assert batch.ids.shape == (max(batch.lengths.tolist()), len(batch.lengths))
        found |= sentences_of(batch, -1)
    assert found == dict(enumerate(SENTENCES))
    assert batches.epoch == 0
    next(batches)
    assert batches.epoch == 1


def test_epochs_differ_in_order_and_the_seed_decides() -> None:
    def order(seed: int) -> list[list[int]]:
        batches = SentenceBatches(SENTENCES, 8, seed=seed, bucket=2)
        return [batch.members.tolist() for batch in islice(batches, 2 * batches.batches_per_epoch)]

    first = order(0)
    assert first == order(0)
    assert first != order(1)
    assert first[: len(first) // 2] != first[len(first) // 2 :]


def test_sentences_of_like_length_share_a_batch() -> None:
    padded = sum(batch.ids.numel() for batch in SentenceBatches(SENTENCES, 10).once())
    mixed = sum(batch.ids.numel() for batch in SentenceBatches(SENTENCES, 10, bucket=1).once())
    needed = sum(map(len, SENTENCES))
    assert needed <= padded < 1.25 * needed < mixed


def test_without_shuffling_the_order_is_that_of_the_lengths() -> None:
    batches = SentenceBatches([[1], [2, 2, 2], [3, 3]], 2, shuffle=False)
    assert [batch.members.tolist() for batch in batches.once()] == [[0, 2], [1]]


def test_a_position_kept_as_json_leads_to_the_same_batches() -> None:
    batches = SentenceBatches(SENTENCES, 9, seed=3)
    list(islice(batches, 17))
    position = json.loads(json.dumps(batches.state_dict()))
    other = SentenceBatches(SENTENCES, 9, seed=3)
    other.load_state_dict(position)
    for one, two in zip(islice(batches, 30), islice(other, 30), strict=True):
        torch.testing.assert_close(one.ids, two.ids)
        torch.testing.assert_close(one.members, two.members)
    with pytest.raises(RunError, match="12 batches"):
        SentenceBatches(SENTENCES, 50).load_state_dict(position)


@pytest.mark.parametrize(("count", "batch_size"), [(101, 8), (9, 4), (2, 2), (101, 50)])
def test_processes_share_each_batch_without_overlap(count: int, batch_size: int) -> None:
    whole = SentenceBatches(SENTENCES[:count], batch_size)
    parts = [SentenceBatches(SENTENCES[:count], batch_size, rank=rank, world=2) for rank in range(2)]
    assert {part.batches_per_epoch for part in parts} == {parts[0].batches_per_epoch}
    found: list[int] = []
    for _ in range(parts[0].batches_per_epoch):
        shares = [next(part) for part in parts]
        assert all(len(share.lengths) for share in shares)
        found += [member for share in shares for member in share.members.tolist()]
    assert sorted(found) == list(range(count))
    assert whole.batches_per_epoch >= parts[0].batches_per_epoch


def test_sizes_out_of_range_are_errors() -> None:
    with pytest.raises(ConfigError):
        SentenceBatches(SENTENCES, 0)
    with pytest.raises(ConfigError):
        SentenceBatches(SENTENCES, 1, bucket=0)
    with pytest.raises(DataError, match="too few"):
        SentenceBatches([], 2)


def test_an_empty_sentence_is_allowed() -> None:
    (batch,) = SentenceBatches([[]], 1).once()
    assert batch.ids.shape == (0, 1)
    assert batch.lengths.tolist() == [0]
