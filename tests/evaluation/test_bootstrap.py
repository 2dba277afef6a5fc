"""The paired bootstrap."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest

from ifog.errors import ConfigError, DataError
from ifog.evaluation import compare_documents, compare_tokens


def texts(documents: int, gap: float, noise: float = 0.3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    generator = np.random.default_rng(documents)
    lengths = generator.integers(5, 60, documents)
    base = np.repeat(generator.normal(5, 1, documents), lengths) + generator.normal(0, 0.3, lengths.sum())
    own = np.repeat(generator.normal(gap, noise, documents), lengths)
    return -base.clip(0.1), -(base + own).clip(0.1), lengths


def test_the_difference_is_that_of_the_two_perplexities() -> None:
    first, second, lengths = texts(30, 0.2)
    made = compare_tokens(first, second, documents=lengths, samples=500)
    assert made.first == pytest.approx(np.exp(-first.mean()))
    assert made.second == pytest.approx(np.exp(-second.mean()))
    assert made.difference == pytest.approx(made.first - made.second)
    assert made.lower < made.difference < made.upper
    assert made.documents == 30
    assert json.loads(json.dumps(made.to_dict())) == made.to_dict()


def test_the_interval_and_p_value_are_those_of_a_slow_bootstrap() -> None:
    first, second, lengths = texts(17, 0.1)
    ends = np.cumsum(lengths)
    parts = [slice(end - length, end) for end, length in zip(ends, lengths, strict=True)]
    generator = random.Random(0)
    differences = []
    for _ in range(4000):
        drawn = [generator.choice(parts) for _ in parts]
        a, b = (np.concatenate([one[part] for part in drawn]) for one in (first, second))
        differences.append(np.exp(-a.mean()) - np.exp(-b.mean()))
    made = compare_tokens(first, second, documents=lengths, samples=20_000, confidence=0.9)
    spread = np.std(differences)
    assert made.lower == pytest.approx(np.quantile(differences, 0.05), abs=0.1 * spread)
    assert made.upper == pytest.approx(np.quantile(differences, 0.95), abs=0.1 * spread)
    share = min(np.mean(np.array(differences) >= 0), np.mean(np.array(differences) <= 0))
    assert made.p_value == pytest.approx(2 * share, abs=0.03)


def test_a_clear_difference_is_significant_and_none_is_not() -> None:
    assert compare_tokens(*texts(40, 0.5)[:2], documents=texts(40, 0.5)[2]).p_value < 0.001
    first, _, lengths = texts(40, 0)
    same = compare_tokens(first, first, documents=lengths)
    assert (same.difference, same.lower, same.upper, same.p_value) == (0, 0, 0, 1)


def test_models_in_the_other_order_give_the_opposite() -> None:
    first, second, lengths = texts(25, 0.05)
    one = compare_tokens(first, second, documents=lengths, seed=3)
    two = compare_tokens(second, first, documents=lengths, seed=3)
    np.testing.assert_allclose([one.lower, one.upper], [-two.upper, -two.lower])
    assert one.p_value == two.p_value


def test_the_seed_decides_and_nothing_else() -> None:
    first, second, lengths = texts(25, 0.05)
    assert compare_tokens(first, second, documents=lengths) == compare_tokens(first, second, documents=lengths)
    assert compare_tokens(first, second, documents=lengths) != compare_tokens(first, second, documents=lengths, seed=1)


def test_without_documents_blocks_are_drawn() -> None:
    first, second, _ = texts(25, 0.05)
    blocks = [100] * (len(first) // 100) + [len(first) % 100]
    assert compare_tokens(first, second, block=100) == compare_tokens(first, second, documents=blocks)


def test_models_of_different_tokens_compare_by_words() -> None:
    words = np.array([10, 20, 30])
    made = compare_documents(np.array([20.0, 40, 60]), np.array([30.0, 60, 90]), words, samples=100)
    assert made.first == pytest.approx(np.exp(2))
    assert made.second == pytest.approx(np.exp(3))
    assert made.lower == pytest.approx(made.upper)


def test_p_values_are_right_where_nothing_differs() -> None:
    small = 0
    for seed in range(200):
        generator = np.random.default_rng(seed)
        units = np.full(60, 100)
        base = generator.normal(500, 30, 60)
        nats = [base + generator.normal(0, 5, 60) for _ in range(2)]
        small += compare_documents(*nats, units, samples=400).p_value < 0.1
    assert 8 <= small <= 36  # 20 are expected


def test_what_cannot_be_compared_is_refused() -> None:
    one, two = np.array([-1.0, -2.0, -3.0]), np.array([-1.0, -2.0])
    with pytest.raises(DataError, match="compare_documents"):
        compare_tokens(one, two)
    with pytest.raises(DataError, match="at least two"):
        compare_tokens(one, one)
    with pytest.raises(DataError, match="3 tokens were judged"):
        compare_tokens(one, one, documents=[1, 1])
    with pytest.raises(DataError, match="the shortest 0"):
        compare_tokens(one, one, documents=[3, 0])
    with pytest.raises(DataError, match="infinite"):
        compare_tokens(one, np.array([-1.0, -np.inf, -1.0]), block=1)
    with pytest.raises(DataError, match="at least two"):
        compare_tokens(np.empty(0), np.empty(0))
    with pytest.raises(ConfigError, match="block is 0"):
        compare_tokens(one, one, block=0)
    with pytest.raises(ConfigError, match=r"confidence is 1\.0"):
        compare_tokens(one, one, block=1, confidence=1.0)
    with pytest.raises(ConfigError, match="samples is 0"):
        compare_tokens(one, one, block=1, samples=0)
