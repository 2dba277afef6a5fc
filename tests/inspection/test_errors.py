"""Each oracle takes away the errors it knows better, and no other."""

from __future__ import annotations

import re

import numpy as np
import pytest

from ifog.errors import DataError, ShapeError
from ifog.inspection.errors import Breakdown, break_down, repeated


def removed(breakdown: Breakdown) -> dict[str, int]:
    return {share.oracle: share.errors for share in breakdown.shares if share.errors}


def judged(text: str, wrong: str, *, training: str = "", probability: float = 0.01) -> Breakdown:
    """A model that errs where `wrong` has a caret, and an n-gram model that knows nothing."""
    mistaken = np.array([mark == "^" for mark in wrong.ljust(len(text))])
    log_prob = np.log(np.where(mistaken, probability, 0.99))
    return break_down(log_prob, np.full(len(text), np.log(0.001)), text, training)


KNOWN = "the cat sat, on a mat " * 6


def test_every_error_is_counted_once() -> None:
    chance = np.random.default_rng(0)
    text = "".join(chance.choice(list("ab ,\nxyz"), 3000))
    made = break_down(np.log(chance.random(3000)), np.log(chance.random(3000)), text, text[:500])
    assert sum(share.errors for share in made.shares) == made.errors
    assert [share.oracle for share in made.shares if not share.errors] == ["20-long memory"]  # the text is random


def test_the_start_of_a_word_is_the_word_models() -> None:
    made = judged("the cat sat", "^   ^", training=KNOWN)
    assert removed(made) == {"word model": 2}


def test_marks_and_what_follows_them_are_punctuation() -> None:
    made = judged("the cat, sat", "       ^^   ", training=KNOWN)
    assert removed(made) == {"punctuation": 2}


def test_words_that_the_training_text_seldom_has_are_rare() -> None:
    once = "zebra " + KNOWN
    made = judged("the zebra sat", "      ^  ", training=once)
    assert removed(made) == {"rare words": 1}
    made = judged("the cat", "     ^", training=KNOWN)
    assert removed(made) == {"the rest": 1}


@pytest.mark.parametrize("size", [1, 3, 8, 1000])
def test_words_are_counted_across_the_pieces_of_the_training_text(size: int) -> None:
    chance = np.random.default_rng(0)
    training = "".join(chance.choice(list("ab_ .é"), 400))
    words = re.findall(r"\w+", training)
    text = " ".join(dict.fromkeys(words))
    pieces = [training[k : k + size] for k in range(0, len(training), size)]
    made = break_down(np.full(len(text), -9.0), np.full(len(text), -9.0), text, pieces)
    assert removed(made)["rare words"] == sum(len(word) for word in set(words) if words.count(word) <= 5) > 50


def test_a_stretch_that_occurred_before_is_the_long_memorys() -> None:
    phrase = "cat sat on a mat on a cat "
    text = "the " + phrase + "sat " + phrase
    at = len(text) - 2
    made = judged(text, " " * at + "^", training=KNOWN)
    assert removed(made) == {"20-long memory": 1}


def test_the_n_gram_oracle_is_asked_first() -> None:
    text = "the cat"
    log_prob = np.full(7, np.log(0.1))
    ngram = np.log(np.array([0.9, 0.9, 0.9, 0.2, 0.2, 0.2, 0.2]))
    made = break_down(log_prob, ngram, text, KNOWN)
    assert made.shares[0].errors == 3
    assert made.errors == 7


@pytest.mark.parametrize(("probability", "boost"), [(0.45, "boost 0.1"), (0.35, "boost 0.2"), (0.15, "boost 0.4")])
def test_what_was_nearly_right_is_told_by_the_boost_it_lacks(probability: float, boost: str) -> None:
    made = judged("the cat", "     ^", training=KNOWN, probability=probability)
    assert removed(made) == {boost: 1}


def test_repeated_stretches_are_those_a_search_finds() -> None:
    chance = np.random.default_rng(1)
    text = "".join(chance.choice(list("abc"), 300))
    for length in (1, 2, 5, 8):
        wanted = [i >= length and text[i - length + 1 : i + 1] in text[:i] for i in range(300)]
        assert repeated(text, length).tolist() == wanted
    assert repeated("ab", 5).tolist() == [False, False]


def test_an_empty_text_and_other_lengths_are_refused() -> None:
    with pytest.raises(DataError, match="empty text"):
        break_down(np.zeros(0), np.zeros(0), "", "x")
    with pytest.raises(ShapeError, match="3 characters, the model judged 2"):
        break_down(np.zeros(2), np.zeros(3), "abc", "x")
