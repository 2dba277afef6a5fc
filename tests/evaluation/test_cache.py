"""The continuous cache."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ifog.errors import ConfigError, DataError
from ifog.evaluation import ContinuousCache

N = 600  # more than two chunks of queries


def text(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    ids = generator.integers(12, size=N).astype(np.uint16)
    hidden = generator.normal(size=(N, 5)).astype(np.float32) + np.eye(12, 5, dtype=np.float32)[ids]
    return hidden, ids, np.log(generator.uniform(0.01, 0.2, N))


def by_hand(hidden: np.ndarray, ids: np.ndarray, log_prob: np.ndarray, cache: ContinuousCache) -> list[float]:
    made = []
    for t in range(len(ids)):
        counts: dict[int, float] = {}
        for i in range(max(0, t - cache.window), t):
            weight = math.exp(cache.theta * sum(float(a) * float(b) for a, b in zip(hidden[t], hidden[i], strict=True)))
            counts[int(ids[i])] = counts.get(int(ids[i]), 0.0) + weight
        model = math.exp(log_prob[t])
        if counts:
            cached = counts.get(int(ids[t]), 0.0) / sum(counts.values())
            made.append(math.log((1 - cache.share) * model + cache.share * cached))
        else:
            made.append(math.log(model))
    return made


@pytest.mark.parametrize(
    "cache",
    [
        ContinuousCache(50, 0.3, 0.2),
        ContinuousCache(1, 1.0, 0.5),
        ContinuousCache(257, 0.0, 0.1),
        ContinuousCache(5000, 2.0, 0.9),
        ContinuousCache(33, 0.7, 0.0),
    ],
)
def test_probabilities_are_those_of_the_definition(cache: ContinuousCache) -> None:
    hidden, ids, log_prob = text()
    np.testing.assert_allclose(cache.log_prob(hidden, ids, log_prob), by_hand(hidden, ids, log_prob, cache), rtol=1e-5)


@pytest.mark.parametrize("length", [0, 1, 2, 256, 257])
def test_any_length_of_text_is_judged(length: int) -> None:
    parts = [one[:length] for one in text()]
    cache = ContinuousCache(20, 0.5, 0.3)
    np.testing.assert_allclose(cache.log_prob(*parts), by_hand(*parts, cache), rtol=1e-5)


def test_states_too_similar_for_an_exponential_stay_finite() -> None:
    hidden, ids, log_prob = text()
    hidden[300] *= 1000  # outside the window of the later ones, and far more similar
    made = ContinuousCache(20, 5.0, 0.3).log_prob(hidden * 100, ids, log_prob)
    assert np.isfinite(made).all()
    assert (made >= log_prob + math.log(0.7) - 1e-9).all()


def test_a_word_that_cannot_be_in_the_cache_leaves_the_model_its_share() -> None:
    hidden = np.ones((3, 2), np.float32)
    made = ContinuousCache(10, 0.1, 0.25).log_prob(hidden, np.array([0, 1, 0]), np.log([0.5, 0.5, 0.5]))
    np.testing.assert_allclose(np.exp(made), [0.5, 0.375, 0.375 + 0.125])


def test_the_fit_is_the_best_of_the_grid() -> None:
    hidden, ids, log_prob = text(1)
    thetas, shares = [0.0, 0.5, 1.0, 3.0], [0.0, 0.1, 0.5, 0.9]
    fitted = ContinuousCache.fit(hidden, ids, log_prob, window=40, thetas=thetas, shares=shares)
    tried = {(t, s): sum(by_hand(hidden, ids, log_prob, ContinuousCache(40, t, s))) for t in thetas for s in shares}
    assert (fitted.theta, fitted.share) == max(tried, key=tried.__getitem__)
    assert fitted.share > 0
    assert fitted.window == 40


def test_a_fit_without_gain_leaves_the_cache_out() -> None:
    hidden, ids, _ = text(2)
    assert ContinuousCache.fit(hidden, ids, np.full(N, math.log(0.99))).share == 0


def test_what_does_not_fit_is_refused() -> None:
    hidden, ids, log_prob = text()
    with pytest.raises(DataError, match="600 tokens have 599"):
        ContinuousCache().log_prob(hidden, ids, log_prob[1:])
    with pytest.raises(DataError, match=r"states of shape \(600,\)"):
        ContinuousCache().log_prob(hidden[:, 0], ids, log_prob)
    for options in ({"window": 0}, {"theta": -1.0}, {"share": 1.0}, {"theta": math.nan}):
        with pytest.raises(ConfigError, match="cache's window"):
            ContinuousCache(**options)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="grid is empty"):
        ContinuousCache.fit(hidden, ids, log_prob, thetas=[])
