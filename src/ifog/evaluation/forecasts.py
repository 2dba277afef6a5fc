"""Judging forecasts of numbers: errors, the CRPS, the simple forecasts to beat, and back-testing.

Owns the figures and the baselines. Takes arrays of values and forecasts, gives arrays and numbers. Never knows a model.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ifog.errors import ConfigError, DataError

__all__ = [
    "crps_of_quantiles",
    "crps_of_samples",
    "drift",
    "naive",
    "rolling_splits",
    "seasonal_error",
    "seasonal_naive",
]

Array = NDArray[Any]


# --- forecasts to beat ------------------------------------------------------------------------------------------------


def naive(past: Array, horizon: int) -> Array:
    """The last value, again and again.

    Args:
        past: (T, ...), T at least 1.
        horizon: steps to forecast.

    Returns:
        (horizon, ...)

    Examples:
        >>> naive(np.array([1.0, 2.0, 5.0]), 2).tolist()
        [5.0, 5.0]
    """
    return seasonal_naive(past, horizon, 1)


def seasonal_naive(past: Array, horizon: int, season: int) -> Array:
    """The last season, again and again.

    Args:
        past: (T, ...), T at least the season.
        horizon: steps to forecast.
        season: steps of a season.

    Returns:
        (horizon, ...)

    Raises:
        ConfigError: the past is shorter than a season.

    Examples:
        >>> seasonal_naive(np.array([9.0, 1.0, 2.0]), 3, 2).tolist()
        [1.0, 2.0, 1.0]
    """
    if not 1 <= season <= len(past):
        raise ConfigError(f"seasonal naive: the season is {season} steps and the past {len(past)}; give a longer past.")
    return past[len(past) - season + np.arange(horizon) % season]


def drift(past: Array, horizon: int) -> Array:
    """The straight line through the first and the last value, drawn on.

    Args:
        past: (T, ...), T at least 1; of one value the line is level.
        horizon: steps to forecast.

    Returns:
        (horizon, ...)

    Source:
        Hyndman and Athanasopoulos (2021), Forecasting: principles and practice, 5.2.

    Examples:
        >>> drift(np.array([1.0, 0.0, 3.0]), 2).tolist()
        [4.0, 5.0]
    """
    slope = (past[-1] - past[0]) / max(len(past) - 1, 1)
    steps = np.arange(1, horizon + 1).reshape(-1, *([1] * (past.ndim - 1)))
    return past[-1] + steps * slope


# --- figures ----------------------------------------------------------------------------------------------------------


def seasonal_error(values: Array, season: int) -> Array:
    """What the MASE divides by: the training part's mean absolute error of the seasonal naive forecast.

    Args:
        values: (T, N); T above the season.
        season: steps.

    Returns:
        (N,), at least 1e-8, so that a constant series divides nothing by zero.

    Raises:
        DataError: no more values than a season has.

    Source:
        Hyndman and Koehler (2006), Another look at measures of forecast accuracy.

    Examples:
        >>> seasonal_error(np.array([[1.0], [2.0], [4.0]]), 1).tolist()
        [1.5]
    """
    if len(values) <= season:
        raise DataError(f"{len(values)} values don't hold two seasons of {season}; give a longer series or --season.")
    return np.maximum(np.abs(values[season:] - values[:-season]).mean(axis=0), 1e-8)


def crps_of_quantiles(values: Array, quantiles: Array, levels: Sequence[float]) -> Array:
    """The continuous ranked probability score, 0 for a sure and right forecast, as the mean of pinball losses.

    Args:
        values: what happened (...).
        quantiles: forecast (..., Q).
        levels: (Q,) rising; each stands for the probabilities nearest to it.

    Returns:
        (...), in the unit of the values.

    Source:
        Gneiting and Raftery (2007), Strictly proper scoring rules, prediction, and estimation.

    Examples:
        >>> crps_of_quantiles(np.array([3.0]), np.array([[1.0]]), [0.5]).tolist()  # the absolute error
        [2.0]
    """
    level = np.asarray(levels, dtype=float)
    widths = np.diff(np.concatenate([[0.0], (level[1:] + level[:-1]) / 2, [1.0]]))
    error = values[..., None] - quantiles
    return 2 * (np.maximum(level * error, (level - 1) * error) * widths).sum(axis=-1)


def crps_of_samples(values: Array, samples: Array) -> Array:
    """The continuous ranked probability score of the distribution that samples form.

    Args:
        values: what happened (...).
        samples: forecast (S, ...).

    Returns:
        (...): mean |x - y| - 1/2 mean |x - x'|, over all pairs of samples.

    Examples:
        >>> crps_of_samples(np.array([1.0]), np.array([[0.0], [2.0]])).tolist()
        [0.5]
    """
    count = len(samples)
    ordered = np.sort(samples, axis=0)
    # among the sorted, the k-th is the larger of k pairs and the smaller of S - 1 - k
    weights = (2 * np.arange(count) - count + 1).reshape(-1, *([1] * values.ndim))
    spread = (weights * ordered).sum(axis=0) / count**2
    return np.abs(samples - values).mean(axis=0) - spread


# --- back-testing -----------------------------------------------------------------------------------------------------


def rolling_splits(
    length: int, first: int, horizon: int, *, stride: int | None = None, window: int | None = None
) -> Iterator[tuple[slice, slice]]:
    """Training parts and the steps just after each, as time would have brought them.

    Args:
        length: steps of the series.
        first: steps of the first training part.
        horizon: steps judged after each.
        stride: steps between two parts' ends; None: the horizon, so that no step is judged twice.
        window: steps of a training part at most, so that it rolls; None: it grows.

    Yields:
        The training part and the judged part.

    Raises:
        ConfigError: a size below 1, or no split fits.

    Examples:
        >>> [(a.start, a.stop, b.stop) for a, b in rolling_splits(10, 4, 3)]
        [(0, 4, 7), (0, 7, 10)]
    """
    stride = horizon if stride is None else stride
    if min(first, horizon, stride, 1 if window is None else window) < 1 or first + horizon > length:
        raise ConfigError(
            f"rolling_splits: no split of {length} steps has {first} to learn from and {horizon} after them; "
            "sizes are 1 or more."
        )
    for end in range(first, length - horizon + 1, stride):
        yield slice(0 if window is None else max(0, end - window), end), slice(end, end + horizon)
