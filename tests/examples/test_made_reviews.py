"""Made reviews: no single word tells the label."""

from __future__ import annotations

from collections import Counter

import pytest

from ifog.errors import ConfigError
from ifog.examples.made_reviews import made_reviews


def test_no_word_alone_tells_praise_from_blame() -> None:
    table = made_reviews(6000)
    seen: dict[str, Counter[str]] = {}
    for text, label in zip(table.columns["text"], table.columns["label"], strict=True):
        for word in set(text.split()):
            seen.setdefault(word, Counter())[label] += 1
    for word in ("bad", "good", "not", "at", "but", "always"):
        good, poor = seen[word]["good"], seen[word]["poor"]
        assert 0.3 < good / (good + poor) < 0.75, word


def test_the_seed_decides_and_a_count_below_one_is_refused() -> None:
    assert made_reviews(5, seed=1).columns == made_reviews(5, seed=1).columns != made_reviews(5, seed=2).columns
    with pytest.raises(ConfigError, match="count is 0"):
        made_reviews(0)
