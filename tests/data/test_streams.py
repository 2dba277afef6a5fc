"""Parallel streams over a text, and single passes."""

from __future__ import annotations

import json
from itertools import islice

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ifog.data import IGNORED, StreamBatch, Streams, one_pass
from ifog.errors import ConfigError, DataError, RunError


def ids(count: int) -> np.ndarray:
    return np.arange(count, dtype=np.uint16)


def test_targets_are_the_ids_after_the_inputs_and_chunks_follow_each_other() -> None:
    streams = Streams(ids(41), 2, 5)
    chunks = list(islice(streams, 4))
    inputs = torch.cat([chunk.inputs for chunk in chunks])
    targets = torch.cat([chunk.targets for chunk in chunks])
    assert inputs.dtype == targets.dtype == torch.int64
    torch.testing.assert_close(inputs, torch.stack([torch.arange(20), torch.arange(20, 40)], dim=1))
    torch.testing.assert_close(targets, inputs + 1)
    assert [chunk.reset for chunk in chunks] == [True, False, False, False]


def test_at_the_end_of_the_text_the_streams_start_again_and_say_so() -> None:
    streams = Streams(ids(13), 1, 4)
    chunks = list(islice(streams, 7))
    assert [int(chunk.inputs[0, 0]) for chunk in chunks] == [0, 4, 8, 0, 4, 8, 0]
    assert [chunk.reset for chunk in chunks] == [True, False, False] * 2 + [True]
    assert streams.epoch == 2


def test_a_position_that_was_kept_as_json_leads_to_the_same_chunks() -> None:
    streams = Streams(ids(100), 3, 7)
    list(islice(streams, 6))
    position = json.loads(json.dumps(streams.state_dict()))
    expected = list(islice(streams, 9))
    other = Streams(ids(100), 3, 7)
    other.load_state_dict(position)
    for one, two in zip(expected, islice(other, 9), strict=True):
        torch.testing.assert_close(one.inputs, two.inputs)
        torch.testing.assert_close(one.targets, two.targets)
        assert one.reset == two.reset


def test_the_position_in_another_text_is_refused() -> None:
    with pytest.raises(RunError, match="33 chunks"):
        Streams(ids(200), 1, 3).load_state_dict(Streams(ids(101), 1, 3).state_dict())


@pytest.mark.parametrize("world", [1, 2, 3, 6])
def test_processes_share_the_streams_without_overlap(world: int) -> None:
    whole = Streams(ids(500), 6, 11)
    parts = [Streams(ids(500), 6, 11, rank=rank, world=world) for rank in range(world)]
    for chunk in islice(whole, 20):
        shares = [next(part) for part in parts]
        torch.testing.assert_close(torch.cat([share.inputs for share in shares], dim=1), chunk.inputs)
        torch.testing.assert_close(torch.cat([share.targets for share in shares], dim=1), chunk.targets)
        assert {share.reset for share in shares} == {chunk.reset}


def test_a_text_shorter_than_one_batch_is_an_error_that_says_how_much_is_needed() -> None:
    Streams(ids(2 * 5 + 1), 2, 5)
    with pytest.raises(DataError, match=r"10 tokens.*need 11.*--batch-size"):
        Streams(ids(2 * 5), 2, 5)
    with pytest.raises(DataError):
        Streams(ids(0), 1, 1)


def test_streams_that_processes_can_not_share_are_an_error() -> None:
    with pytest.raises(ConfigError, match="multiple of 2, such as 4"):
        Streams(ids(100), 3, 2, world=2)
    with pytest.raises(ConfigError, match="at least 1"):
        Streams(ids(100), 0, 2)


@given(count=st.integers(2, 200), batch_size=st.integers(1, 40), steps=st.integers(1, 30))
def test_one_pass_has_every_target_once_each_after_its_input(count: int, batch_size: int, steps: int) -> None:
    chunks: list[StreamBatch] = list(one_pass(ids(count), batch_size, steps))
    assert [chunk.reset for chunk in chunks] == [True] + [False] * (len(chunks) - 1)
    assert all(chunk.inputs.shape == chunk.targets.shape for chunk in chunks)
    assert all(chunk.inputs.shape[0] <= steps and chunk.inputs.shape[1] <= batch_size for chunk in chunks)
    inputs = torch.cat([chunk.inputs for chunk in chunks])
    targets = torch.cat([chunk.targets for chunk in chunks])
    counted = targets != IGNORED
    assert sorted(targets[counted].tolist()) == list(range(1, count))
    torch.testing.assert_close(inputs[counted] + 1, targets[counted])
    assert inputs.min() >= 0
    # within a stream each step follows the one before
    both = counted[1:] & counted[:-1]
    torch.testing.assert_close(targets[1:][both], targets[:-1][both] + 1)


@pytest.mark.parametrize("count", [0, 1])
def test_a_text_without_a_target_can_not_be_evaluated(count: int) -> None:
    with pytest.raises(DataError, match="can't be evaluated"):
        next(one_pass(ids(count), 4, 4))
