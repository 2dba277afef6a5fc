"""Figures and baselines of forecasts, beside loops, integrals and closed forms."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import integrate, stats

from ifog.errors import ConfigError, DataError
from ifog.evaluation.forecasts import (
    crps_of_quantiles,
    crps_of_samples,
    drift,
    naive,
    rolling_splits,
    seasonal_error,
    seasonal_naive,
)


@pytest.mark.parametrize(("steps", "horizon", "season"), [(1, 1, 1), (17, 33, 5), (6, 2, 6), (24, 24, 24), (5, 0, 2)])
def test_the_seasonal_naive_forecast_repeats_what_stood_whole_seasons_before(steps: int, horizon: int, season: int):
    past = np.random.default_rng(0).normal(size=(steps, 2, 3))
    found = seasonal_naive(past, horizon, season)
    assert found.shape == (horizon, 2, 3)
    for k in range(horizon):
        back = season * math.ceil((k + 1) / season)
        np.testing.assert_array_equal(found[k], past[steps + k - back])


def test_naive_and_drift_are_lines():
    past = np.array([[1.0, 5.0], [0.0, 5.0], [4.0, 3.0]])
    assert naive(past, 2).tolist() == [[4, 3], [4, 3]]
    assert drift(past, 2).tolist() == [[5.5, 2], [7, 1]]
    assert drift(past[:1], 2).tolist() == [[1, 5], [1, 5]]
    with pytest.raises(ConfigError, match="season is 4 steps and the past 3"):
        seasonal_naive(past, 2, 4)


def test_the_seasonal_error_is_a_mean_over_the_training_part():
    values = np.random.default_rng(0).normal(size=(20, 2))
    expected = [np.mean([abs(values[t, n] - values[t - 7, n]) for t in range(7, 20)]) for n in range(2)]
    np.testing.assert_allclose(seasonal_error(values, 7), expected)
    assert seasonal_error(np.ones((5, 1)), 2)[0] > 0
    with pytest.raises(DataError, match="5 values don't hold two seasons of 5"):
        seasonal_error(np.ones((5, 1)), 5)


def test_the_crps_of_many_quantiles_is_the_closed_form_of_a_normal_distribution():
    levels = (np.arange(4000) + 0.5) / 4000
    for y in (-3.0, 0.0, 0.7):
        quantiles = stats.norm.ppf(levels)
        expected = y * (2 * stats.norm.cdf(y) - 1) + 2 * stats.norm.pdf(y) - 1 / math.sqrt(math.pi)
        assert crps_of_quantiles(np.array(y), quantiles, list(levels)) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("count", [1, 2, 17])
def test_the_crps_of_samples_is_the_integral_of_its_definition(count: int):
    random = np.random.default_rng(count)
    samples, values = random.normal(size=(count, 3)), random.normal(size=3)
    found = crps_of_samples(values, samples)
    for k in range(3):

        def square(x: float, k: int = k) -> float:
            return (np.mean(samples[:, k] <= x) - (values[k] <= x)) ** 2

        points = sorted([*samples[:, k], values[k]])
        pieces = [integrate.quad(square, a, b)[0] for a, b in itertools.pairwise(points)]
        assert found[k] == pytest.approx(sum(pieces), abs=1e-6)


def test_the_crps_of_one_quantile_is_the_absolute_error_and_a_better_forecast_has_less():
    values = np.array([1.0, 2.0])
    assert crps_of_quantiles(values, np.array([[0.0], [5.0]]), [0.5]).tolist() == [1, 3]
    levels = [0.1, 0.5, 0.9]
    near, far = np.array([[0.9, 1.0, 1.1]]), np.array([[1.9, 2.0, 2.1]])
    assert crps_of_quantiles(values[:1], near, levels) < crps_of_quantiles(values[:1], far, levels)
    assert crps_of_quantiles(np.zeros((0, 2)), np.zeros((0, 2, 3)), levels).shape == (0, 2)


def test_rolling_splits_never_look_ahead_and_judge_each_step_once():
    splits = list(rolling_splits(50, 20, 7))
    assert [(a.start, a.stop) for a, _ in splits] == [(0, 20), (0, 27), (0, 34), (0, 41)]
    judged = [t for _, b in splits for t in range(b.start, b.stop)]
    assert judged == list(range(20, 48))
    assert all(a.stop == b.start for a, b in splits)
    rolling = [(a.start, a.stop, b.stop) for a, b in rolling_splits(30, 10, 5, stride=8, window=12)]
    assert rolling == [(0, 10, 15), (6, 18, 23)]
    for sizes in ((10, 8, 3), (10, 0, 3), (10, 5, 0)):
        with pytest.raises(ConfigError, match="no split"):
            list(rolling_splits(*sizes))
