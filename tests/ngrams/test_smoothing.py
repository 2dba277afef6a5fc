"""Kneser-Ney smoothing, compared with dictionaries that count by hand and with what another program printed."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np
import pytest

from ifog.errors import ConfigError, DataError
from ifog.ngrams import Discounts, NgramModel, Sentences, Vocabulary, count_ngrams, discounts, estimate

SENTENCES = Sentences(0, 1)


def text(lines: int = 400) -> list[list[str]]:
    """Sentences of few words, some far more frequent than others, the same everywhere."""
    state, found = 1, []
    for _ in range(lines):
        words: list[str] = []
        while True:
            state = state * 1103515245 + 12345 & 0x7FFFFFFF
            number = state >> 16
            if number % 8 == 0:
                break
            words.append(f"w{(number >> 3) % 61 * ((number >> 9) % 61) // 61}")
        found.append(words)
    return found


def random_ids(seed: int, length: int = 900, sentences: bool = True) -> np.ndarray:
    generator = np.random.default_rng(seed)
    ids = (generator.random(length) ** 3 * 12).astype(np.uint16) + 2
    if sentences:
        ids[generator.random(length) < 0.15] = 1
        ids[-1] = 1
    return ids


class ByHand:
    """The definition, word by word: tuples, sets and recursion; START marks where a stream or sentence begins."""

    def __init__(self, ids: Sequence[int], order: int, size: int, sentences: bool, amounts: Sequence[Sequence[float]]):
        self.amounts, self.size, self.sentences = amounts, size, sentences
        occurrences: list[Counter[tuple[int, ...]]] = [Counter() for _ in range(order)]
        before: list[dict[tuple[int, ...], set[int]]] = [defaultdict(set) for _ in range(order)]
        for sentence in self.parts(ids):
            for n in range(1, order + 1):
                for first in range(len(sentence) - n + 1):
                    gram = tuple(sentence[first : first + n])
                    occurrences[n - 1][gram] += 1
                    before[n - 1][gram].add(sentence[first - 1] if first else -1)
        self.adjusted: list[dict[tuple[int, ...], int]] = []
        for n in range(1, order + 1):
            whole = occurrences[n - 1]
            if n < order:
                whole = {g: c if sentences and g[0] == 0 else len(before[n - 1][g]) for g, c in whole.items()}
            self.adjusted.append({g: c for g, c in whole.items() if g != (0,) or not sentences})

    def parts(self, ids: Sequence[int]) -> list[list[int]]:
        if not self.sentences:
            return [list(ids)]
        found = [[0]]
        for token in ids:
            found[-1].append(token)
            if token == 1:
                found.append([0])
        return found[:-1] if found[-1] == [0] else found

    def p(self, word: int, context: tuple[int, ...]) -> float:
        adjusted = self.adjusted[len(context)]
        lower = self.p(word, context[1:]) if context else 1.0 / (self.size - self.sentences)
        following = {g[-1]: c for g, c in adjusted.items() if g[:-1] == context}
        if not following:
            return lower
        amounts = self.amounts[len(context)]
        taken = {w: amounts[min(c, 3) - 1] for w, c in following.items()}
        total = sum(following.values())
        own = following[word] - taken[word] if word in following else 0.0
        return own / total + sum(taken.values()) / total * lower

    def log_probs(self, ids: Sequence[int], order: int) -> list[float]:
        found: list[float] = []
        for sentence in self.parts(ids):
            for at in range(int(self.sentences), len(sentence)):
                found.append(math.log(self.p(sentence[at], tuple(sentence[max(0, at - order + 1) : at]))))
        return found


@pytest.mark.parametrize("smoothing", ["kneser-ney", "modified"])
@pytest.mark.parametrize("sentences", [True, False])
@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_probabilities_are_those_of_the_definition(order: int, sentences: bool, smoothing: str):
    train, test = random_ids(1, 500, sentences), random_ids(2, 100, sentences)
    counts = count_ngrams(train, order, 17, sentences=SENTENCES if sentences else None)
    taken = discounts(counts, smoothing, fallback=(0.5, 1.0, 1.5))
    by_hand = ByHand(train.tolist(), order, 17, sentences, taken.amounts)
    model = estimate(counts, taken)
    np.testing.assert_allclose(model.log_prob(test), by_hand.log_probs(test.tolist(), order), rtol=1e-12)


@pytest.fixture(scope="module")
def trigrams() -> NgramModel:
    sentences = text()
    words = dict.fromkeys(word for sentence in sentences for word in sentence)
    vocabulary = Vocabulary(["<unk>", "<s>", "</s>", *words])
    ids = vocabulary.encode([word for sentence in sentences for word in (*sentence, "</s>")])
    counts = count_ngrams(ids, 3, len(vocabulary), sentences=vocabulary.sentences)
    return estimate(counts, "modified", vocabulary=vocabulary)


@pytest.mark.parametrize(
    ("gram", "log_prob", "backoff"),
    [  # printed by KenLM's lmplz -o 3 for the same text
        ("<unk>", -2.6956615, 0.0),
        ("</s>", -1.3950635, 0.0),
        ("w15", -1.593217, -0.30293497),
        ("w30", -1.8579769, -0.30669323),
        ("<s> </s>", -0.82886493, 0.0),
        ("w3 w15", -1.4159064, -0.055354692),
        ("w1 w37", -2.1492777, -0.055354692),
        ("w31 w10", -1.5879132, -0.055354692),
        ("<s> w15 </s>", -1.1072547, None),
        ("w33 w4 </s>", -0.90419525, None),
        ("<s> w21 w16", -1.2980474, None),
    ],
)
def test_probabilities_are_those_of_kenlm(trigrams: NgramModel, gram: str, log_prob: float, backoff: float | None):
    assert trigrams.vocabulary is not None
    row = trigrams.vocabulary.encode(gram.split())
    at = int(trigrams.trie.find(row[None])[0])
    assert trigrams.log_probs[len(row) - 1][at] / math.log(10) == pytest.approx(log_prob, abs=2e-6)
    if backoff is not None:
        assert trigrams.backoffs[len(row) - 1][at] / math.log(10) == pytest.approx(backoff, abs=2e-6)


def test_there_are_as_many_ngrams_as_kenlm_finds(trigrams: NgramModel):
    assert trigrams.trie.sizes == (63, 1288, 2671)


@pytest.mark.parametrize("minimum_counts", [(1, 1, 2), (1, 2, 3), (1, 1, 1)])
def test_dropping_rare_ngrams_leaves_distributions(minimum_counts: tuple[int, ...]):
    counts = count_ngrams(random_ids(3), 3, 17, sentences=SENTENCES)
    model = estimate(counts, fallback=(0.5, 1.0, 1.5), minimum_counts=minimum_counts)
    for context in ([], [2], [5, 3], [13, 13], [16, 2], [2, 2]):
        assert model.next_distribution(context).sum() == pytest.approx(1.0, abs=1e-12)
    kept = [int((number >= least).sum()) for number, least in zip(counts.occurrences, minimum_counts, strict=True)]
    assert model.trie.sizes[1:] == tuple(kept[1:])


def test_minimum_counts_that_fall_are_refused():
    counts = count_ngrams(random_ids(3), 3, 17)
    with pytest.raises(ConfigError, match=r"\[1, 2, 1\].*not falling.*\[1, 1, 2\]"):
        estimate(counts, Discounts(((0.5, 1, 1.5),) * 3, ()), minimum_counts=[1, 2, 1])


@pytest.mark.parametrize("smoothing", ["kneser-ney", "modified"])
def test_counts_that_give_no_discount_are_an_error_with_a_way_out(smoothing: str):
    counts = count_ngrams(np.array([0, 1] * 20), 2, 2)
    with pytest.raises(DataError, match=r"[12]-grams can't give a discount.*count.*fallback=\(0.5, 1, 1.5\)"):
        discounts(counts, smoothing)
    given = discounts(counts, smoothing, fallback=(0.5, 1.0, 1.5))
    assert given.replaced == ((2,) if smoothing == "kneser-ney" else (1, 2))
    assert given.amounts[1] == (0.5, 1.0, 1.5)


def test_a_smoothing_or_fallback_that_makes_no_sense_is_refused():
    counts = count_ngrams(random_ids(1), 2, 17)
    with pytest.raises(ConfigError, match=r"'kn'; known are 'kneser-ney' and 'modified'"):
        discounts(counts, "kn")
    with pytest.raises(ConfigError, match=r"\(0.5, 3.0, 1.5\).*0 <= Dk <= k"):
        discounts(counts, fallback=(0.5, 3.0, 1.5))
