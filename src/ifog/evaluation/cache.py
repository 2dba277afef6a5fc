"""The continuous cache: recently seen words are likely again, the more so after a similar hidden state.

Owns the cache's distribution, its mixture with the model's, and the choice of its two numbers. Takes hidden states and
log-probabilities that were computed before, gives log-probabilities. Never runs the model.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ifog.errors import ConfigError, DataError

__all__ = ["ContinuousCache"]

_QUERIES = 256
_THETAS = tuple(round(0.1 * i, 1) for i in range(11))
_SHARES = tuple(round(0.05 * i, 2) for i in range(11))


@dataclass(frozen=True)
class ContinuousCache:
    """A cache over hidden states beside a language model (Grave, Joulin and Usunier 2017).

    Each of the last `window` tokens is kept with the state it was predicted from. The cache's probability of a word at
    state h is the sum of exp(theta h·h') over the window's entries (h', word), normalised over all entries, and
    `p = (1 - share) p_model + share p_cache`. While the window is empty, p is the model's.

    Attributes:
        window: Number of tokens kept.
        theta: How much similarity counts; 0 is a plain unigram cache (Kuhn and De Mori 1990).
        share: The cache's part of the mixture, lambda in the paper.

    Raises:
        ConfigError: A number is out of its range.
    """

    window: int = 500
    theta: float = 0.3
    share: float = 0.1

    def __post_init__(self) -> None:
        if self.window < 1 or not self.theta >= 0 or not 0 <= self.share < 1:
            raise ConfigError(
                f"the cache's window is {self.window}, theta {self.theta} and share {self.share}; a window holds at "
                f"least 1 token, theta is at least 0, and 0 <= share < 1."
            )

    @classmethod
    def fit(
        cls,
        hidden: NDArray[Any],
        ids: NDArray[Any],
        log_prob: NDArray[np.float64],
        *,
        window: int = 500,
        thetas: Sequence[float] = _THETAS,
        shares: Sequence[float] = _SHARES,
    ) -> ContinuousCache:
        """The theta and share of a grid that give a validation text the highest probability.

        Args:
            hidden: States (N, H) that each token was predicted from.
            ids: The validation text (N,).
            log_prob: The model's natural log-probabilities (N,).
            window: Number of tokens kept.
            thetas: Values of theta to try.
            shares: Values of the share to try.

        Raises:
            ConfigError: A value is out of its range, or there is none.
            DataError: The three arrays differ in length.
        """
        thetas = list(thetas)
        tried = [cls(window, theta, share) for theta in thetas for share in shares]
        if not tried:
            raise ConfigError("the grid is empty; give at least one theta and one share.")
        totals = dict.fromkeys(tried, 0.0)
        for part, cached in _cached(hidden, ids, log_prob, window, thetas):
            for candidate in tried:
                own = cached[thetas.index(candidate.theta)]
                totals[candidate] += float(_mix(log_prob[part], own, candidate.share).sum())
        return max(tried, key=totals.__getitem__)

    def log_prob(self, hidden: NDArray[Any], ids: NDArray[Any], log_prob: NDArray[np.float64]) -> NDArray[np.float64]:
        """Natural log-probabilities of the mixture, shape (N,).

        Args:
            hidden: States (N, H) that each token was predicted from, as `RecurrentScorer.hidden` gives.
            ids: The text (N,).
            log_prob: The model's natural log-probabilities (N,).

        Raises:
            DataError: The three arrays differ in length.
        """
        made = np.empty(len(ids))
        for part, cached in _cached(hidden, ids, log_prob, self.window, (self.theta,)):
            made[part] = _mix(log_prob[part], cached[0], self.share)
        return made


def _mix(model: NDArray[np.float64], cached: NDArray[np.float64], share: float) -> NDArray[np.float64]:
    """NaN in `cached` marks an empty window."""
    if share == 0:
        return model
    with np.errstate(invalid="ignore"):
        mixed = np.logaddexp(np.log1p(-share) + model, np.log(share) + cached)
    return np.where(np.isnan(cached), model, mixed)


def _cached(
    hidden: NDArray[Any], ids: NDArray[Any], log_prob: NDArray[np.float64], window: int, thetas: Sequence[float]
) -> Iterator[tuple[slice, NDArray[np.float64]]]:
    """For a chunk of tokens at a time: the cache's log-probability of each under every theta (thetas, chunk)."""
    if not len(hidden) == len(ids) == len(log_prob) or hidden.ndim != 2:
        raise DataError(
            f"{len(ids)} tokens have {len(log_prob)} log-probabilities and hidden states of shape {hidden.shape}; "
            f"give one state (N, H) and one log-probability for each token."
        )
    for begin in range(0, len(ids), _QUERIES):
        end = min(begin + _QUERIES, len(ids))
        oldest = max(0, begin - window)
        similarity = (hidden[begin:end] @ hidden[oldest:end].T).astype(np.float64)
        query, entry = np.arange(begin, end)[:, None], np.arange(oldest, end)
        kept = (entry < query) & (entry >= query - window)
        same = kept & (ids[begin:end, None] == ids[oldest:end])
        similarity -= np.max(similarity, axis=1, where=kept, initial=-np.inf, keepdims=True).clip(-1e300)
        made = np.empty((len(thetas), end - begin))
        for row, theta in zip(made, thetas, strict=True):
            # what lies outside the window may be larger than the largest within
            scores = np.exp(np.minimum(theta * similarity, 0.0))
            with np.errstate(divide="ignore", invalid="ignore"):  # no such word: log 0; an empty window: 0 / 0
                row[:] = np.log(np.sum(scores, axis=1, where=same) / np.sum(scores, axis=1, where=kept))
        yield slice(begin, end), made
