"""How far gradients reach while a model learns: recorded at each evaluation, kept in the run, drawn afterwards.

Owns gradients.jsonl of a run directory. Takes a model and its run while it is trained, then gives curves and a picture.
The measuring is `gradient_flow`'s.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ifog.errors import RunError
from ifog.flow.gradients import gradient_norms
from ifog.flow.reach import windows
from ifog.runs import RunDirectory
from ifog.tasks.building import text_of
from ifog.writing import write_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import Tensor, nn

__all__ = ["FILE", "AlongTraining", "GradientCurve", "draw_along", "read_along", "watch_gradients"]

FILE = "gradients.jsonl"
STEPS, SEQUENCES = 100, 8


class GradientCurve(NamedTuple):
    """The norm of a late loss's gradient by the state of each step before, at one moment of training.

    Attributes:
        step: updates made before.
        norms: medians over sequences (T - 1,), at lags 1, 2, ...
    """

    step: int
    norms: NDArray[np.float64]


class AlongTraining:
    """Measures gradients at each evaluation and keeps them in the run: a logger for `ifog.training.fit`.

    Only looks on: the model, its mode and torch's generator stay as they are.

    Args:
        model: the one that is trained.
        inputs: (T, B) ids, the same at each evaluation so that curves compare.
        run: where gradients.jsonl lies.
    """

    def __init__(self, model: nn.Module, inputs: Tensor, run: RunDirectory) -> None:
        self._model, self._inputs, self._path = model, inputs, run.path / FILE
        self._curves: list[GradientCurve] = []

    def resume(self, step: int) -> None:
        """Goes on after what was measured up to `step`; of fresh weights, the first curve is measured now."""
        self._curves = [curve for curve in read_curves(self._path) if curve.step <= step]
        if not self._curves:
            self._measure(step)

    def log(self, kind: str, step: int, values: Mapping[str, float]) -> None:
        """Measures, if this is an evaluation."""
        if kind == "evaluation":
            self._measure(step)

    def text(self, kind: str, step: int, value: str) -> None:
        """Nothing to do."""

    def flush(self) -> None:
        """Writes what was measured."""
        lines = [json.dumps({"step": c.step, "norms": c.norms.tolist()}) + "\n" for c in self._curves]
        write_atomically(self._path, "".join(lines).encode())

    def close(self) -> None:
        """Nothing to do."""

    def _measure(self, step: int) -> None:
        steps, sequences = self._inputs.shape
        found = gradient_norms(self._model, steps, sequences=sequences, inputs=self._inputs)
        self._curves.append(GradientCurve(step, found.quantiles()[1]))


def watch_gradients(model: nn.Module, run: RunDirectory) -> AlongTraining:
    """A recorder for a language run, on stretches of its validation text of 100 tokens, or of all where it has fewer.

    Args:
        model: the one that is trained.
        run: its directory.

    Raises:
        ConfigError: the model has no recurrent state to follow.
    """
    ids = text_of(run).validation
    return AlongTraining(model, windows(ids, min(STEPS, len(ids)), SEQUENCES), run)


def read_along(run: str | os.PathLike[str]) -> list[GradientCurve]:
    """The curves of a run, in the order of the steps.

    Raises:
        RunError: no run, none recorded, or a damaged file.
    """
    directory = RunDirectory.open(run)
    curves = read_curves(directory.path / FILE)
    if not curves:
        raise RunError(
            f"{directory.path} has no gradients recorded; train with --gradients, or from Python with "
            "watch=ifog.flow.along.watch_gradients."
        )
    return curves


def read_curves(path: os.PathLike[str]) -> list[GradientCurve]:
    """What a file of curves holds; none where there is no file.

    Raises:
        RunError: it is damaged.
    """
    try:
        with open(path, encoding="utf-8") as file:
            records: list[dict[str, Any]] = [json.loads(line) for line in file]
        return [GradientCurve(int(r["step"]), np.array(r["norms"], dtype=np.float64)) for r in records]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(
            f"{path} can't be read ({error!r}); remove it, and the rest of the run can still be used."
        ) from error


def draw_along(curves: Mapping[str, list[GradientCurve]]) -> Figure:
    """The norm of the gradient by lag, from dark (fresh weights) to light (the end); a run each.

    Args:
        curves: by the name above each picture.
    """
    import matplotlib
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2 * len(curves), 3.8), layout="constrained")
    axes = figure.subplots(1, len(curves), squeeze=False, sharey=True)[0]
    colors = matplotlib.colormaps["viridis"]
    for axis, (name, several) in zip(axes, curves.items(), strict=True):
        for k, curve in enumerate(several):
            share = 0.9 * k / max(1, len(several) - 1)
            label = f"step {curve.step:,}" if k in {0, len(several) // 2, len(several) - 1} else None
            axis.plot(np.arange(1, len(curve.norms) + 1), curve.norms, color=colors(share), label=label)
        axis.set_yscale("log")
        axis.set_title(name)
        axis.set_xlabel("steps back from the loss")
        axis.grid(alpha=0.25, linewidth=0.6)
        axis.spines[["top", "right"]].set_visible(False)
        axis.legend(frameon=False)
    axes[0].set_ylabel("norm of the gradient by the state")
    return figure
