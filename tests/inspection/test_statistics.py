"""Ranks, associations, intervals, null distributions and probes against slow computations."""

from __future__ import annotations

import numpy as np
import pytest

from ifog.inspection.statistics import (
    Shifted,
    Weights,
    association,
    centred_ranks,
    concordance,
    interval,
    predicted_bound,
    probe,
    readable,
    recent_prediction,
)


def slow_ranks(values: np.ndarray) -> np.ndarray:
    return np.array([(values < v).sum() + 0.5 * ((values == v).sum() + 1) for v in values])


def slow_auc(values: np.ndarray, labels: np.ndarray) -> float:
    """The share of pairs of different labels that the values order in the same way."""
    right = pairs = 0.0
    for v, y in zip(values, labels, strict=True):
        below = labels < y
        pairs += below.sum()
        right += (values[below] < v).sum() + 0.5 * (values[below] == v).sum()
    return right / pairs


@pytest.mark.parametrize("steps", [1, 2, 17, 400])
def test_ranks_have_ties_at_their_middle(steps: int):
    draw = np.random.default_rng(steps)
    values = np.stack([draw.integers(0, 5, steps), np.zeros(steps), draw.permutation(steps) - 7.5], 1)
    found = centred_ranks(values)
    assert found.shape == (3, steps)
    for column, row in zip(values.T, found, strict=True):
        np.testing.assert_allclose(row, (slow_ranks(column) - 0.5 * (steps + 1)) / steps, atol=1e-6)


def test_the_association_of_truth_values_is_twice_the_auc_less_one():
    draw = np.random.default_rng(0)
    values = draw.normal(size=(300, 5)).astype(np.float32)
    labels = [values[:, 0] + draw.normal(size=300) > 0.7, draw.random(300) < 0.1]
    found = Weights(labels).association(centred_ranks(values))
    want = [[2 * slow_auc(column, y) - 1 for y in labels] for column in values.T]
    np.testing.assert_allclose(found, want, atol=2e-3)


def test_the_association_of_counts_is_the_correlation_of_ranks():
    draw = np.random.default_rng(1)
    values = draw.normal(size=(300, 4)).astype(np.float32)
    labels = [
        np.clip(np.round(3 * values[:, 1] + draw.normal(size=300)), -1, 6).astype(np.int64),
        draw.integers(0, 3, 300),
    ]
    found = Weights(labels).association(centred_ranks(values))
    want = [[np.corrcoef(slow_ranks(column), slow_ranks(y))[0, 1] for y in labels] for column in values.T]
    np.testing.assert_allclose(found, want, atol=2e-3)


def test_types_of_labels_may_be_mixed_and_constants_are_zero():
    values = np.stack([np.arange(50.0), np.ones(50)], 1)
    labels = [np.arange(50) > 30, np.arange(50), np.zeros(50, np.bool_), np.zeros(50, np.int64)]
    np.testing.assert_allclose(
        Weights(labels).association(centred_ranks(values)), [[1, 1, 0, 0], [0, 0, 0, 0]], atol=1e-6
    )


def test_one_unit_is_the_same_as_many():
    draw = np.random.default_rng(2)
    values, labels = draw.normal(size=90), draw.random(90) < 0.4
    assert association(values, labels) == pytest.approx(2 * slow_auc(values, labels) - 1, abs=5e-3)
    assert readable(association(values, labels), True) == pytest.approx(slow_auc(values, labels), abs=3e-3)


@pytest.mark.parametrize("kinds", [2, 5, 40])
def test_concordance_is_the_share_of_pairs_in_order(kinds: int):
    draw = np.random.default_rng(kinds)
    labels = draw.integers(0, kinds, 500)
    values = labels + 2 * draw.normal(size=500)
    assert concordance(values, labels) == pytest.approx(slow_auc(values, labels), abs=3e-3)
    tied = np.round(values / 4)
    assert concordance(tied, labels) == pytest.approx(slow_auc(tied, labels), abs=1e-9)
    assert concordance(values, np.zeros(500, np.int64)) == 0.5
    if kinds == 2:
        assert concordance(values, labels > 0) == pytest.approx(concordance(values, labels))


@pytest.mark.parametrize("binary", [True, False])
def test_the_interval_is_that_of_a_slow_bootstrap(binary: bool):
    draw = np.random.default_rng(3)
    labels = np.repeat(draw.integers(0, 2 if binary else 6, 60), 10)
    values = labels + 2.0 * np.repeat(draw.normal(size=60), 10) + draw.normal(size=600)
    labels = labels.astype(np.bool_) if binary else labels
    low, high = interval(centred_ranks(values[:, None])[0], labels, block=20, samples=4000)
    made = []
    for _ in range(1500):
        places = (draw.integers(0, 30, 30)[:, None] * 20 + np.arange(20)).ravel()
        made.append(association(values[places], labels[places]))
    spread = np.std(made)
    assert low == pytest.approx(np.quantile(made, 0.025), abs=0.25 * spread)
    assert high == pytest.approx(np.quantile(made, 0.975), abs=0.25 * spread)


def test_shifted_labels_keep_their_stretches_and_the_best_of_more_units_is_larger():
    draw = np.random.default_rng(4)
    labels = np.repeat(draw.random(100) < 0.5, 10)
    values = np.repeat(draw.normal(size=(100, 64)), 10, axis=0).astype(np.float32)
    null = Shifted([labels, np.cumsum(labels)], 20, seed=0)
    one, many = null.best(centred_ranks(values[:, :1])), null.best(centred_ranks(values))
    assert one.shape == many.shape == (2, 20)
    assert (many >= one - 1e-6).all()
    moved = np.stack([association(values[:, 0], np.roll(labels, s)) for s in range(1000)])
    assert one[0].min() >= np.abs(moved).min() - 1e-3
    assert set(one[0].round(4)) <= set(np.abs(moved).round(4))


def test_the_null_distribution_covers_units_that_know_nothing():
    draw = np.random.default_rng(5)
    covered = 0
    for _ in range(60):
        smooth = np.repeat(draw.normal(size=(60, 10)), 20, axis=0).astype(np.float32)
        labels = np.repeat(draw.random(80) < 0.4, 15)
        best = np.abs(Weights([labels]).association(centred_ranks(smooth))).max()
        covered += best > np.quantile(Shifted([labels], 59, seed=1).best(centred_ranks(smooth))[0], 0.95)
    assert covered <= 9  # 3 expected; 9 or more come once in 400 times


def test_the_last_characters_tell_what_they_tell():
    text = np.frombuffer(("ab" * 50 + "cb" * 50 + "ab" * 10 + "cb" * 10).encode(), np.uint8).astype(np.uint32)
    labels = np.r_[False, text[:-1] == ord("c")]
    assert association(recent_prediction(text, labels, 200, order=1), labels[200:]) < 0.9
    assert association(recent_prediction(text, labels, 200, order=2), labels[200:]) == pytest.approx(1.0)


def test_what_was_never_seen_is_predicted_from_what_is_shorter():
    text = np.array([1, 2, 1, 2, 1, 3, 9, 2, 9, 3], np.uint32)
    labels = np.array([0, 1, 0, 1, 0, 0, 0, 1, 0, 0], np.int64)
    found = recent_prediction(text, labels, 6, order=3)
    mean = 2 / 6
    after_two = (2 + mean) / 3
    np.testing.assert_allclose(found, [mean, after_two, mean, mean / 2])


@pytest.mark.parametrize("shape", [(60, 3), (60, 200)])
def test_the_probe_is_ridge_regression(shape: tuple[int, int]):
    draw = np.random.default_rng(6)
    features = draw.normal(2, 3, shape).astype(np.float32)
    features[:, 1] = 5.0  # a dead unit
    labels = np.stack([features[:, 0] > 2, draw.random(60) < 0.5]).astype(np.float64)
    found = probe(features, labels, 40, penalty=0.01)
    train = features[:40].astype(np.float64)
    scale = np.where(train.std(0) > 1e-6, train.std(0), np.inf)
    x, test = (train - train.mean(0)) / scale, (features[40:] - train.mean(0)) / scale
    stacked = np.r_[x, np.sqrt(0.01 * 40) * np.eye(shape[1])]
    for row, label in zip(found, labels, strict=True):
        y = np.r_[label[:40] - label[:40].mean(), np.zeros(shape[1])]
        np.testing.assert_allclose(row, test @ np.linalg.lstsq(stacked, y, rcond=None)[0], atol=1e-4)


def test_the_bound_is_exceeded_as_rarely_as_it_says():
    draw = np.random.default_rng(7)
    drawn = np.tanh(draw.normal(0.6, 0.2, (4000, 20)))
    above = np.mean([row[0] > predicted_bound(row[1:], 0.01) for row in drawn])
    assert above == pytest.approx(0.01, abs=0.005)


def test_the_quantile_of_the_bound_is_students():
    values = np.tanh([-1.0, 0.0, 1.0, 0.0, -1.0, 1.0])  # mean 0, standard deviation 0.894
    wanted = 2.015 * np.std([-1, 0, 1, 0, -1, 1], ddof=1) * np.sqrt(7 / 6)  # t of 5 degrees at 0.95, from a table
    assert np.arctanh(predicted_bound(list(values), 0.05)) == pytest.approx(wanted, rel=2e-3)
    assert predicted_bound([0.3, 0.5], 0.05) == 0.5
    assert predicted_bound([1.0, 1.0, 1.0, 1.0], 0.05) <= 1.0
