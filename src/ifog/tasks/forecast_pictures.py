"""Forecasts as pictures: the past, the median, and a fan of quantiles.

Owns the layout of the picture. Takes arrays, gives a Matplotlib figure. Never knows a model.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ifog.errors import ShapeError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["draw_fan"]

_COLOUR = "#0a4a94"


def draw_fan(
    past: NDArray[Any],
    quantiles: NDArray[Any],
    levels: Sequence[float],
    *,
    truth: NDArray[Any] | None = None,
    baseline: NDArray[Any] | None = None,
    dates: NDArray[Any] | None = None,
    title: str = "",
) -> Figure:
    """One column's past and forecast; the darker a band, the likelier is what lies in it.

    Args:
        past: (P,).
        quantiles: forecast (K, Q).
        levels: of the quantiles (Q,), rising.
        truth: what came (K,), if it is known.
        baseline: a simple forecast (K,) to compare with.
        dates: (P + K,); None: steps are counted, the forecast begins at 0.
        title: of the picture.

    Raises:
        ShapeError: arrays that don't fit each other.
    """
    from matplotlib.figure import Figure

    steps = len(quantiles)
    fits = quantiles.shape == (steps, len(levels)) and all(a is None or a.shape == (steps,) for a in (truth, baseline))
    if not fits or past.ndim != 1 or (dates is not None and len(dates) != len(past) + steps):
        raise ShapeError(
            f"draw_fan: quantiles {quantiles.shape} of {len(levels)} levels, past {past.shape}, dates "
            f"{None if dates is None else len(dates)}; expected (K, Q), (P,) and P + K dates."
        )
    at = np.arange(-len(past), steps) if dates is None else dates.astype("datetime64[s]").astype(object)
    before, after = at[: len(past)], at[len(past) :]
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    axes = figure.subplots()
    for k in range(len(levels) // 2):
        low, high = quantiles[:, k], quantiles[:, -1 - k]
        label = f"{levels[-1 - k] - levels[k]:.0%} of the probability" if k == 0 else None
        axes.fill_between(after, low, high, color=_COLOUR, alpha=0.14, linewidth=0, label=label)
    middle = int(np.argmin(np.abs(np.asarray(levels) - 0.5)))
    axes.plot(before, past, color="black", linewidth=1)
    axes.plot(after, quantiles[:, middle], color=_COLOUR, linewidth=1.6, label="median forecast")
    if baseline is not None:
        axes.plot(after, baseline, color="#a34600", linewidth=1, linestyle="--", label="seasonal naive")
    if truth is not None:
        axes.plot(after, truth, color="black", linewidth=1, label="what came")
    axes.set_xlabel("steps" if dates is None else "")
    axes.set_title(title)
    axes.grid(alpha=0.3)
    axes.legend(loc="upper left", fontsize=8)
    return figure
