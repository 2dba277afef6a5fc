"""Sentences with names, made by rule."""

from __future__ import annotations

import pytest

from ifog.errors import ConfigError
from ifog.examples.made_tags import made_tags
from ifog.examples.spans import span_scheme, to_iob2


def test_the_seed_decides_and_each_word_has_a_tag():
    table = made_tags(300)
    assert table == made_tags(300)
    assert table.columns != made_tags(300, seed=1).columns
    assert span_scheme(table.columns["tags"]) == "IOB2"
    for words, tags in zip(table.columns["words"], table.columns["tags"], strict=True):
        assert len(words) == len(tags) > 0
        assert to_iob2(tags) == tags
    kinds = {tag for tags in table.columns["tags"] for tag in tags}
    assert kinds == {"O", "B-PER", "I-PER", "B-LOC", "I-LOC", "B-ORG", "I-ORG"}


def test_most_names_are_new():
    table = made_tags(1000)
    names = [
        {
            w
            for row in range(a, b)
            for w, t in zip(table.columns["words"][row], table.columns["tags"][row], strict=True)
            if t != "O"
        }
        for a, b in ((0, 900), (900, 1000))
    ]
    assert len(names[1] - names[0]) > 0.3 * len(names[1])


def test_no_sentences_are_refused():
    with pytest.raises(ConfigError, match="count is 0"):
        made_tags(0)
