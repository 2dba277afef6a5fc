"""The made problems ask what they say they ask."""

from __future__ import annotations

import numpy as np
import pytest

from ifog.examples.made_sequences import adding, copying


def test_a_sum_is_that_of_one_marked_number_in_each_half() -> None:
    table = adding(200, 31, seed=2)
    for series, total in zip(table.columns["series"], table.columns["label"], strict=True):
        marked = np.flatnonzero(series[:, 1])
        assert len(marked) == 2
        assert marked[0] < 15 <= marked[1]
        assert total == pytest.approx(series[marked, 0].sum())
    assert np.mean(np.square(np.array(table.columns["label"]) - 1)) == pytest.approx(1 / 6, rel=0.3)


def test_what_is_to_be_copied_comes_back_after_the_mark() -> None:
    table = copying(5, 7)
    for words, tags in zip(table.columns["words"], table.columns["tags"], strict=True):
        assert len(words) == len(tags) == 27
        assert words[17] == "?"
        assert set(words[10:17]) == set(tags[:17]) == {"-"}
        assert tags[17:] == words[:10]


def test_the_seed_decides() -> None:
    assert copying(3, 4, seed=1).columns == copying(3, 4, seed=1).columns
    assert copying(3, 4, seed=1).columns != copying(3, 4, seed=2).columns
