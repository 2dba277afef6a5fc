"""One perplexity for every kind of token."""

from __future__ import annotations

import json
import math
import random

import numpy as np
import pytest

from ifog.data import BPETokenizer, ByteTokenizer, CharTokenizer, Tokenizer, WordTokenizer
from ifog.errors import DataError
from ifog.evaluation import TextSize, decoded, figures, judge, measure

TEXT = "the cat sat\n\non  the mat é\n" * 3 + "no end"


class Uniform:
    """Every token is as likely as any other."""

    def __init__(self, size: int) -> None:
        self.size = size

    def log_prob(self, ids: np.ndarray) -> np.ndarray:
        return np.full(len(ids), -math.log(self.size))


def test_figures_are_sums_over_counts() -> None:
    log_prob = np.log([0.5, 0.25, 0.125, 1.0])
    made = figures(log_prob, "ab c\n")
    nats = 6 * math.log(2)
    assert (made.tokens, made.words, made.characters) == (4, 3, 5)
    assert made.nats == pytest.approx(nats)
    assert made.nats_per_token == pytest.approx(nats / 4)
    assert made.bits_per_character == pytest.approx(6 / 5)
    assert made.perplexity == pytest.approx(2**1.5)
    assert made.word_perplexity == pytest.approx(4.0)
    assert made.character_perplexity == pytest.approx(2**1.2)
    assert json.loads(json.dumps(made.to_dict()))["words"] == 3


@pytest.mark.parametrize("seed", range(20))
def test_words_and_characters_are_counted_in_pieces_as_in_the_whole(seed: int) -> None:
    generator = random.Random(seed)
    ends = sorted(generator.choices(range(len(TEXT) + 1), k=9))
    pieces = [TEXT[a:b] for a, b in zip([0, *ends], [*ends, len(TEXT)], strict=True)]
    words = sum(len(line.split()) for line in TEXT.split("\n"))
    assert measure(pieces) == measure(TEXT) == TextSize(words + TEXT.count("\n"), len(TEXT))


@pytest.mark.parametrize(
    "tokenizer",
    [
        CharTokenizer.from_chunks([TEXT]),
        ByteTokenizer(),
        BPETokenizer.from_chunks([TEXT], vocabulary_size=280),
    ],
)
def test_words_and_characters_are_those_of_the_text_whatever_the_tokens(tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode(TEXT)
    made = judge(Uniform(tokenizer.vocabulary_size), ids, tokenizer)
    assert TextSize(made.words, made.characters) == measure(TEXT)
    assert made.perplexity == pytest.approx(tokenizer.vocabulary_size)
    nats = len(ids) * math.log(tokenizer.vocabulary_size)
    assert made.word_perplexity == pytest.approx(math.exp(nats / measure(TEXT).words))
    assert made.bits_per_character == pytest.approx(nats / math.log(2) / len(TEXT))


def test_tokens_of_words_are_words() -> None:
    tokenizer = WordTokenizer.from_chunks([TEXT])
    made = judge(Uniform(9), tokenizer.encode(TEXT), tokenizer)
    assert made.tokens == made.words == measure(TEXT).words
    assert made.perplexity == made.word_perplexity


def test_a_long_text_is_decoded_piece_by_piece() -> None:
    text = "é世" * 12_000
    pieces = list(decoded(ByteTokenizer(), ByteTokenizer().encode(text)))
    assert len(pieces) > 3
    assert "".join(pieces) == text
    assert "".join(decoded(ByteTokenizer(), ByteTokenizer().encode(text)[:-1])) == text[:-1] + "\ufffd"


def test_what_is_no_log_probability_or_no_text_is_refused() -> None:
    for wrong in (math.nan, 0.5):
        with pytest.raises(DataError, match=f"at 1 is {wrong}"):
            figures(np.array([-1.0, wrong]), "a b")
    with pytest.raises(DataError, match="0 tokens"):
        figures(np.empty(0), "a")
    with pytest.raises(DataError, match="0 words"):
        figures(np.array([-1.0]), "  ")


def test_an_impossible_text_has_a_figure_that_json_can_hold() -> None:
    made = figures(np.array([-np.inf, -1.0]), "a b")
    assert made.nats == math.inf
    assert math.isfinite(made.perplexity)
