"""Chunks hold every window exactly once, and nothing but windows."""

from __future__ import annotations

import numpy as np
import pytest

from ifog.examples.windows import chunk_starts, cut_windows, window_examples


@pytest.mark.parametrize("window", [1, 2, 17, 33, 100])
@pytest.mark.parametrize(("first", "last"), [(0, 0), (0, 16), (3, 40), (5, 4)])
def test_every_start_lies_in_exactly_one_chunk(window: int, first: int, last: int):
    starts = [s for a, b in chunk_starts(first, last, window) for s in range(a, b - window + 1)]
    assert starts == list(range(first, last + 1))


@pytest.mark.parametrize("features", [0, 2])
@pytest.mark.parametrize("begin", [0, 5, 30])
def test_the_windows_are_those_whose_forecast_part_may_be_judged(features: int, begin: int):
    random = np.random.default_rng(0)
    values = random.normal(size=(60, 3)).astype(np.float32)
    known = random.normal(size=(60, features)).astype(np.float32)
    past, horizon = 20, 13
    examples = window_examples([(values, known)], [begin], past, horizon)
    made = list(cut_windows(examples, past + horizon, count=7))
    assert all(x.shape[1] <= 7 for x, _ in made)
    found = np.concatenate([x for x, _ in made], axis=1)
    features_found = np.concatenate([k for _, k in made], axis=1)
    starts = range(max(0, begin - past), 60 - past - horizon + 1)
    expected = np.stack([values[s : s + past + horizon] for s in starts], axis=1)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(features_found, np.stack([known[s : s + 33] for s in starts], axis=1))
    batch = examples.batch(np.arange(len(examples)))
    assert batch["known"].shape[-1] == features


def test_a_stride_counts_from_the_start_of_the_series_whatever_the_chunks():
    values = np.arange(100.0)[:, None]
    examples = window_examples([(values, np.zeros((100, 0)))], [0], 30, 10)
    first = [x[0, :, 0].tolist() for x, _ in cut_windows(examples, 40, stride=7)]
    assert first == [[0, 7, 14, 21, 28, 35, 42, 49, 56]]


def test_several_series_stay_apart_and_short_ones_give_nothing():
    long, short = np.arange(6.0)[:, None], np.arange(2.0)[:, None]
    none = np.zeros((6, 0))
    examples = window_examples([(long, none), (short, none[:2]), (long + 10, none)], [0, 0, 0], 2, 2)
    found = np.concatenate([x for x, _ in cut_windows(examples, 4)], axis=1)[:, :, 0].T.tolist()
    assert found == [[s + k for k in range(4)] for s in (0.0, 1.0, 2.0, 10.0, 11.0, 12.0)]
    assert len(window_examples([(short, none[:2])], [0], 2, 2)) == 0
    assert list(cut_windows(window_examples([], [], 2, 2), 4)) == []
