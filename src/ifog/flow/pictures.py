"""Draw gradients by lag, and losses by how much of the past is kept.

Owns colours and axes. Takes measurements, gives a Matplotlib figure. Never measures.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ifog.flow.gradients import Flow, quantiles
from ifog.flow.memory_length import MemoryCurve

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["draw_decay"]

# Okabe and Ito's colours, which those who see red and green alike can tell apart; the yellow is too pale for a line
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_STYLES = ("-", "-.", ":")
_LOWEST = -290.0  # powers of ten that double precision holds


def draw_decay(flows: Mapping[str, Flow], memories: Mapping[str, MemoryCurve] | None = None) -> Figure:
    """The norm of the gradient by lag, one line for each of `flows`; beside it what a shorter past costs, if given.

    Lines are medians over sequences, bands hold the middle 80 %; thin dashes are what products of Jacobians say.

    Args:
        flows: By the name in the legend.
        memories: By the name in the legend; a name that is in `flows` too has one colour.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11 if memories else 7.5, 4.2), layout="constrained")
    names = [*flows, *(name for name in memories or {} if name not in flows)]
    looks = {
        name: {"color": _COLOURS[k % len(_COLOURS)], "linestyle": _STYLES[k // len(_COLOURS) % len(_STYLES)]}
        for k, name in enumerate(names)
    }
    axes = figure.subplots(1, 2 if memories else 1, squeeze=False)[0]
    _draw_flows(axes[0], flows, looks)
    if memories:
        _draw_memories(axes[1], memories, looks)
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(alpha=0.25, linewidth=0.6)
        axis.legend(frameon=False)
    return figure


def _draw_flows(axis: Any, flows: Mapping[str, Flow], looks: Mapping[str, Mapping[str, str]]) -> None:
    # powers of ten on a linear axis: a logarithmic one has no room for the hundreds of decades of a vanished gradient
    lowest = 0.0
    predicted = "product of Jacobians"
    for name, flow in flows.items():
        with np.errstate(divide="ignore"):
            low, middle, high = np.log10(flow.measured.quantiles())
        lags = flow.measured.lags
        axis.plot(lags, middle, label=name, linewidth=2, **looks[name])
        band = {"color": looks[name]["color"], "alpha": 0.2, "linewidth": 0}
        axis.fill_between(lags, low, high, where=np.isfinite(low), **band)  # it ends where a tenth has died altogether
        exact = quantiles(flow.predicted, (0.5,))[0] / np.log(10)
        axis.plot(lags, exact, color="#333333", linewidth=0.7, linestyle="--", label=predicted, zorder=3)
        predicted = None  # one entry in the legend is enough
        lowest = min([lowest, *middle[np.isfinite(middle)]])
    axis.set_ylim(bottom=max(lowest, _LOWEST) * 1.05 - 0.5)
    axis.yaxis.set_major_formatter(_power_of_ten)
    axis.set(xlabel="lag: steps back from the loss", ylabel="norm of the gradient by the state")


def _power_of_ten(value: float, _: int) -> str:
    return f"$10^{{{value:.0f}}}$" if value == round(value) else ""


def _draw_memories(axis: Any, memories: Mapping[str, MemoryCurve], looks: Mapping[str, Mapping[str, str]]) -> None:
    for name, curve in memories.items():
        length = "longer than judged" if curve.length is None else f"{curve.length} steps"
        axis.errorbar(
            curve.lengths,
            np.maximum(curve.excess, 1e-4),
            curve.errors,
            marker="o",
            markersize=4,
            linewidth=2,
            label=f"{name}: {length}",
            **looks[name],
        )
        axis.axhline(curve.tolerance, linewidth=0.7, color=looks[name]["color"], linestyle="--")
    axis.set(xscale="log", yscale="log", ylim=(1e-4, None))
    axis.set(xlabel="steps that are kept", ylabel="nats per token lost to the rest of the past")
