"""Batches of examples of similar length."""

from __future__ import annotations

import json
import random
from itertools import islice

import numpy as np
import pytest
import torch
from torch import Tensor

from ifog.errors import ConfigError, DataError, RunError
from ifog.examples import ExampleBatches, Examples, Ragged, in_batches

CHANCE = random.Random(1)
SENTENCES = [[CHANCE.randrange(1, 50) for _ in range(CHANCE.randrange(0, 33))] for _ in range(101)]


def examples(count: int = 101) -> Examples:
    return Examples({"ids": Ragged.of(SENTENCES[:count], np.int32), "member": np.arange(count)})


def sentences_of(batch: dict[str, Tensor]) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for column, (length, member) in enumerate(
        zip(batch["ids_lengths"].tolist(), batch["member"].tolist(), strict=True)
    ):
        found[member] = batch["ids"][:length, column].tolist()
        assert (batch["ids"][length:, column] == 0).all()
    return found


@pytest.mark.parametrize(("batch_size", "bucket"), [(1, 1), (7, 3), (64, 100), (500, 1)])
def test_an_epoch_holds_every_example_once(batch_size: int, bucket: int) -> None:
    batches = ExampleBatches(examples(), batch_size, by="ids", bucket=bucket)
    found: dict[int, list[int]] = {}
    for batch in islice(batches, batches.batches_per_epoch):
        assert batch["ids"].shape == (max(batch["ids_lengths"].tolist()), len(batch["member"]))
        found |= sentences_of(batch)
    assert found == dict(enumerate(SENTENCES))
    assert batches.epoch == 0
    next(batches)
    assert batches.epoch == 1


def test_epochs_differ_in_order_and_the_seed_decides() -> None:
    def order(seed: int) -> list[list[int]]:
        batches = ExampleBatches(examples(), 8, by="ids", seed=seed, bucket=2)
        return [batch["member"].tolist() for batch in islice(batches, 2 * batches.batches_per_epoch)]

    first = order(0)
    assert first == order(0)
    assert first != order(1)
    assert first[: len(first) // 2] != first[len(first) // 2 :]


def test_examples_of_like_length_share_a_batch() -> None:
    def padded(by: str | None) -> int:
        batches = ExampleBatches(examples(), 10, by=by)
        return sum(batch["ids"].numel() for batch in islice(batches, batches.batches_per_epoch))

    needed = sum(map(len, SENTENCES))
    assert needed <= padded("ids") < 1.25 * needed < padded(None)


def test_for_evaluation_the_shortest_come_first_and_rows_say_which_they_are() -> None:
    three = Examples({"ids": Ragged.of([[1], [2, 2, 2], [3, 3]], np.int32)})
    assert [rows.tolist() for rows, _ in in_batches(three, 2, by="ids")] == [[0, 2], [1]]
    for rows, batch in in_batches(examples(), 17, by="ids"):
        assert batch["member"].tolist() == rows.tolist()


def test_a_position_kept_as_json_leads_to_the_same_batches() -> None:
    batches = ExampleBatches(examples(), 9, by="ids", seed=3)
    list(islice(batches, 17))
    position = json.loads(json.dumps(batches.state_dict()))
    other = ExampleBatches(examples(), 9, by="ids", seed=3)
    other.load_state_dict(position)
    for one, two in zip(islice(batches, 30), islice(other, 30), strict=True):
        torch.testing.assert_close(one, two)
    with pytest.raises(RunError, match="12 batches"):
        ExampleBatches(examples(), 50).load_state_dict(position)


@pytest.mark.parametrize(("count", "batch_size"), [(101, 8), (9, 4), (2, 2), (101, 50)])
def test_processes_share_each_batch_without_overlap(count: int, batch_size: int) -> None:
    whole = ExampleBatches(examples(count), batch_size, by="ids")
    parts = [ExampleBatches(examples(count), batch_size, by="ids", rank=rank, world=2) for rank in range(2)]
    assert {part.batches_per_epoch for part in parts} == {parts[0].batches_per_epoch}
    found: list[int] = []
    for _ in range(parts[0].batches_per_epoch):
        shares = [next(part) for part in parts]
        assert all(len(share["member"]) for share in shares)
        found += [member for share in shares for member in share["member"].tolist()]
    assert sorted(found) == list(range(count))
    assert whole.batches_per_epoch >= parts[0].batches_per_epoch


def test_sizes_out_of_range_are_errors() -> None:
    with pytest.raises(ConfigError):
        ExampleBatches(examples(), 0)
    with pytest.raises(ConfigError):
        ExampleBatches(examples(), 1, bucket=0)
    with pytest.raises(DataError, match="too few"):
        ExampleBatches(examples(1), 2, world=2)


def test_an_empty_example_is_allowed() -> None:
    batch = next(ExampleBatches(Examples({"ids": Ragged.of([[]], np.int32)}), 1, by="ids"))
    assert batch["ids"].shape == (0, 1)
    assert batch["ids_lengths"].tolist() == [0]
