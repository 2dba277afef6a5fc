"""Mixtures and the fit of their weights."""

from __future__ import annotations

import numpy as np
import pytest

from ifog.errors import ConfigError, DataError
from ifog.evaluation import Interpolation, fit_weights, interpolate


def log_probs(models: int, tokens: int = 400) -> np.ndarray:
    return np.log(np.random.default_rng(models).uniform(1e-6, 1, (models, tokens)) ** 2)


@pytest.mark.parametrize("models", [1, 2, 5])
def test_a_mixture_is_the_weighted_mean_of_probabilities(models: int) -> None:
    given = log_probs(models)
    weights = np.random.default_rng(0).dirichlet(np.ones(models))
    expected = [np.log(sum(w * np.exp(p[t]) for w, p in zip(weights, given, strict=True))) for t in range(400)]
    np.testing.assert_allclose(interpolate(given, weights), expected, rtol=1e-12)


def test_a_mixture_of_probabilities_too_small_for_a_float_is_exact() -> None:
    made = interpolate(np.array([[-2000.0, -np.inf], [-2001.0, -np.inf]]), [0.5, 0.5])
    assert made[0] == pytest.approx(-2000 + np.log(0.5 * (1 + np.exp(-1))))
    assert made[1] == -np.inf
    np.testing.assert_array_equal(interpolate([np.array([-1.0]), np.array([-np.inf])], [1.0, 0.0]), [-1.0])


def test_two_weights_are_the_best_of_a_fine_grid() -> None:
    given = log_probs(2)
    grid = np.linspace(0, 1, 2001)
    best = grid[np.argmax([interpolate(given, [w, 1 - w]).sum() for w in grid])]
    weights = fit_weights(given, tolerance=1e-10)
    assert weights[0] == pytest.approx(best, abs=6e-4)


@pytest.mark.parametrize("models", [3, 6])
def test_no_other_weights_are_better(models: int) -> None:
    given = log_probs(models)
    weights = fit_weights(given)
    own = interpolate(given, weights).mean()
    assert weights.sum() == pytest.approx(1)
    # at the best weights no model could gain: its mean ratio to the mixture is 1, or less where its weight is 0
    ratios = np.exp(given - interpolate(given, weights)).mean(axis=1)
    assert (ratios < 1 + 1e-7).all()
    generator = np.random.default_rng(1)
    for other in generator.dirichlet(np.ones(models), 200):
        assert interpolate(given, 0.9 * weights + 0.1 * other).mean() <= own + 1e-7


def test_a_useless_model_gets_no_weight_and_equal_ones_share() -> None:
    good = log_probs(2)[0]
    assert fit_weights([good, good - 5])[0] == pytest.approx(1, abs=1e-3)
    np.testing.assert_allclose(fit_weights([good, good]), [0.5, 0.5])
    np.testing.assert_allclose(fit_weights([good]), [1.0])


def test_probabilities_too_small_for_a_float_are_fitted_too() -> None:
    np.testing.assert_allclose(fit_weights(log_probs(3) - 2000), fit_weights(log_probs(3)), rtol=1e-6)


def test_a_model_that_alone_knows_a_token_keeps_a_weight() -> None:
    given = np.log(np.array([[0.5] * 99 + [0.0], [0.001] * 99 + [0.5]]).clip(1e-320))
    weights = fit_weights(given)
    assert 0.005 < weights[1] < 0.02
    assert np.isfinite(interpolate(given, weights)).all()


def test_the_fit_is_on_one_text_and_the_score_on_another() -> None:
    class Table:
        def __init__(self, probabilities: list[float]) -> None:
            self.logs = np.log(probabilities)

        def log_prob(self, ids: np.ndarray) -> np.ndarray:
            return self.logs[ids]

    scorers = [Table([0.8, 0.1, 0.1]), Table([0.1, 0.1, 0.8])]
    validation = np.array([0, 0, 0, 2])
    mixture = Interpolation.fit(scorers, validation)
    assert mixture.weights[0] > 0.7
    expected = mixture.weights[0] * 0.1 + mixture.weights[1] * 0.8
    np.testing.assert_allclose(np.exp(mixture.log_prob(np.array([2, 1]))), [expected, 0.1])


@pytest.mark.parametrize("weights", [[1.0], [0.5, 0.6], [1.5, -0.5], [np.nan, 1.0]])
def test_weights_that_are_no_distribution_are_refused(weights: list[float]) -> None:
    with pytest.raises(ConfigError, match="2 models need as many"):
        interpolate(log_probs(2), weights)


def test_texts_that_differ_or_cannot_be_read_are_refused() -> None:
    with pytest.raises(DataError, match=r"\[1, 2\]"):
        fit_weights([np.array([-1.0]), np.array([-1.0, -2.0])])
    with pytest.raises(DataError, match="no"):
        interpolate([], [])
    with pytest.raises(DataError, match="token 1 has the probability 0"):
        fit_weights([np.array([-1.0, -np.inf])] * 2)
    with pytest.raises(DataError, match="empty"):
        fit_weights([np.empty(0)] * 2)
    with pytest.raises(DataError, match="at 1 is nan"):
        fit_weights([np.array([-1.0, np.nan])] * 2)
