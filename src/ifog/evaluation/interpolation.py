"""Mix language models: a weighted mean of their probabilities for each token.

Owns the mixture and the fit of its weights. Takes log-probabilities (or scorers), gives log-probabilities.
Never fits on the text it is judged on: `Interpolation.fit` takes a validation text, `log_prob` any other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ifog.errors import ConfigError, DataError
from ifog.evaluation.perplexity import check_log_prob
from ifog.evaluation.scoring import Scorer

__all__ = ["Interpolation", "fit_weights", "interpolate"]


@dataclass(frozen=True)
class Interpolation:
    """p(w) = sum over models of weight times p(w): itself a scorer.

    Attributes:
        scorers: The models, which read the same tokens.
        weights: One for each, (M,), at least 0, of sum 1.
    """

    scorers: Sequence[Scorer]
    weights: NDArray[np.float64]

    @classmethod
    def fit(cls, scorers: Sequence[Scorer], ids: NDArray[Any]) -> Interpolation:
        """The mixture that gives a validation text the highest probability; see `fit_weights`."""
        return cls(scorers, fit_weights([scorer.log_prob(ids) for scorer in scorers]))

    def log_prob(self, ids: NDArray[Any]) -> NDArray[np.float64]:
        """Natural log-probability of each token under the mixture, shape (N,)."""
        return interpolate([scorer.log_prob(ids) for scorer in self.scorers], self.weights)


def interpolate(
    log_probs: Sequence[NDArray[np.float64]] | NDArray[np.float64], weights: Sequence[float] | NDArray[np.float64]
) -> NDArray[np.float64]:
    """Log-probabilities of a mixture, shape (N,), without leaving the logarithm.

    Args:
        log_probs: Of each model for each token, (M, N); minus infinity is a probability of 0.
        weights: (M,), at least 0, of sum 1.

    Raises:
        ConfigError: The weights are no distribution over the models.
        DataError: The models judged texts of different lengths, or a number is no log-probability.

    Examples:
        >>> interpolate(np.log([[0.5, 0.1], [0.1, 0.3]]), [0.25, 0.75]).round(6).tolist()
        [-1.609438, -1.386294]
    """
    stacked = _stack(log_probs)
    shares = np.asarray(weights, dtype=np.float64)
    if shares.shape != stacked.shape[:1] or not (shares >= 0).all() or abs(shares.sum() - 1) > 1e-6:
        raise ConfigError(
            f"the weights are {shares.tolist()}; {len(stacked)} models need as many numbers of at least 0, of sum 1."
        )
    with np.errstate(divide="ignore"):
        weighted = stacked + np.log(shares)[:, None]
    return np.logaddexp.reduce(weighted, axis=0)


def fit_weights(
    log_probs: Sequence[NDArray[np.float64]] | NDArray[np.float64],
    *,
    tolerance: float = 1e-7,
    iterations: int = 10_000,
) -> NDArray[np.float64]:
    """The weights that give a text the highest probability, by EM (Jelinek and Mercer 1980), shape (M,).

    A step multiplies each weight by the mean of p(model) / p(mixture). The largest of these means, less 1, bounds what
    any other weights could gain (the objective is concave): EM stops once that is below `tolerance`.

    Args:
        log_probs: Of each model for each token of a validation text, (M, N).
        tolerance: Nats per token.
        iterations: Stop after as many in any case.

    Raises:
        DataError: A token has the probability 0 under every model, the text is empty, or the models judged texts of
            different lengths.
    """
    stacked = _stack(log_probs)
    highest = stacked.max(axis=0)
    if not stacked.shape[1] or np.isneginf(highest).any():
        where = f"token {int(np.argmin(highest))} has the probability 0 under every model" if stacked.shape[1] else ""
        raise DataError(
            f"weights can't be fitted: {where or 'the validation text is empty'}. "
            f"Give a text that one of the models can read, or a model that gives every token some probability."
        )
    probabilities = np.exp(stacked - highest)
    weights = np.full(len(stacked), 1 / len(stacked))
    for _ in range(iterations):
        gains = (probabilities / (weights @ probabilities)).mean(axis=1)
        if gains.max() - 1 < tolerance:
            break
        weights = weights * gains
        weights /= weights.sum()
    return weights


def _stack(log_probs: Sequence[NDArray[np.float64]] | NDArray[np.float64]) -> NDArray[np.float64]:
    lengths = sorted({len(one) for one in log_probs})
    if len(lengths) != 1:
        raise DataError(
            f"models can be mixed where they judged the same tokens, but these have {lengths or 'no'} of them; "
            f"give at least one model, and the same ids to all."
        )
    stacked = np.asarray(log_probs, dtype=np.float64)
    check_log_prob(stacked)
    return stacked
