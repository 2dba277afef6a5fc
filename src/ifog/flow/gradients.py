"""How much of a loss's gradient reaches the states of earlier steps, lag by lag.

Owns the measurement of `dL/dh_t`, the slope fitted to it, and its record while a model learns. Takes a cell, a layer or
a model, gives arrays and figures. What it should be is predicted by `jacobians`; how it looks is drawn by `pictures`.
Never changes the weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypedDict, Unpack

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ifog.cells import Cell
from ifog.errors import ConfigError
from ifog.flow.jacobians import (
    Spectrum,
    lyapunov_exponents,
    orthonormal,
    product_norms,
    recurrent_matrices,
    spectrum,
    step_jacobian,
)
from ifog.flow.recurrences import Recurrence, recurrence

__all__ = [
    "Flow",
    "GradientNorms",
    "GradientOptions",
    "GradientRecorder",
    "fitted_slope",
    "gradient_norms",
    "half_life",
    "measure_flow",
    "quantiles",
]

Array = NDArray[np.float64]

_SMALLEST = 1e-290  # below, double precision rounds to zero, and slopes would tell of that
_SAMPLED = 6  # steps whose Jacobians are looked at one by one


@dataclass(frozen=True)
class GradientNorms:
    """Norms of a loss's gradient by earlier states.

    Row k - 1 is lag k: the state that is read k - 1 steps before the last one. A gradient by a state counts all paths
    from there on, but not those within the step that made the state (of an LSTM's `c` through its `h`).

    Attributes:
        name: Of the cell or model.
        norms: For each state ("layer0.h", "layer0.c"), the norm for each lag and sequence (T - 1, B).
        whole: The norm of all states together (T - 1, B).
    """

    name: str
    norms: Mapping[str, Array]
    whole: Array

    @property
    def lags(self) -> Array:
        """1, 2, ... T - 1."""
        return np.arange(1, len(self.whole) + 1, dtype=np.float64)

    def quantiles(self, name: str | None = None, shares: tuple[float, ...] = (0.1, 0.5, 0.9)) -> Array:
        """Quantiles over sequences (len(shares), T - 1), of one state or of the whole."""
        return quantiles(self.whole if name is None else self.norms[name], shares)

    @property
    def slope(self) -> float | None:
        """Nats per step, of the median of the whole; None where nothing is left to fit."""
        return fitted_slope(np.log(_positive(quantiles(self.whole, (0.5,))[0])))

    @property
    def largest_growth(self) -> float:
        """The largest factor by which a gradient grew from one lag to the next, in any sequence; 0 if all are zero."""
        before, after = self.whole[:-1], self.whole[1:]
        kept = (before > _SMALLEST) & np.isfinite(after)
        return float((after[kept] / before[kept]).max()) if kept.any() else 0.0


@dataclass(frozen=True)
class Flow:
    """What was measured, and what the Jacobians say it should be.

    Attributes:
        measured: The norms.
        predicted: Logarithms of the product of Jacobians (T - 1, B), from `product_norms`.
        directions: How many sides of the output that product was followed from; all of them is exact.
        exponent: The largest Lyapunov exponent, nats per step.
        matrices: The spectrum of each recurrent matrix.
        jacobians: Spectra of the step's Jacobian at some steps of the sequences.
    """

    measured: GradientNorms
    predicted: Array
    directions: int
    exponent: float
    matrices: Mapping[str, Spectrum]
    jacobians: tuple[Spectrum, ...] = field(default=())

    @property
    def predicted_slope(self) -> float | None:
        """Nats per step, fitted to the product of Jacobians over the lags that `measured.slope` was fitted to."""
        seen = self.measured.quantiles()[1] > _SMALLEST
        return fitted_slope(np.where(seen, quantiles(self.predicted, (0.5,))[0], -np.inf))

    @property
    def figures(self) -> dict[str, float | None]:
        """A row of figures: None where there is none, as the half-life of what grows."""
        squares = [s.radius for s in self.matrices.values() if s.radius is not None]
        norms = [s.norm for s in self.matrices.values()]
        return {
            "slope": self.measured.slope,
            "half_life": half_life(self.measured.slope),
            "predicted_slope": self.predicted_slope,
            "lyapunov_exponent": _finite(self.exponent),
            "matrix_radius": max(squares, default=None),
            "matrix_norm": max(norms, default=None),
            "jacobian_radius": _mean([s.radius or 0.0 for s in self.jacobians]),
            "jacobian_norm": _mean([s.norm for s in self.jacobians]),
        }

    def to_dict(self) -> dict[str, Any]:
        """Figures and curves as plain values that JSON can hold; what is not finite is None."""
        measured = self.measured
        return {
            "name": measured.name,
            **self.figures,
            "largest_growth": _finite(measured.largest_growth),
            "directions": self.directions,
            "matrices": {name: {"radius": s.radius, "norm": s.norm} for name, s in self.matrices.items()},
            "lags": [int(k) for k in measured.lags],
            "norms": {name: _rows(measured.quantiles(name)) for name in measured.norms},
            "whole": _rows(measured.quantiles()),
        }


class GradientOptions(TypedDict, total=False):
    """What `gradient_norms` takes by name."""

    sequences: int
    inputs: Tensor | None
    hidden_size: int
    losses: int
    seed: int


def gradient_norms(
    subject: Recurrence | Cell | str | nn.Module, steps: int, **options: Unpack[GradientOptions]
) -> GradientNorms:
    """Backpropagates a loss at the last step alone through `steps` steps, and measures what arrives at each.

    A loss is the last output seen from a random side, `u y_T` with a unit vector u, so that the lag of every gradient
    is known; of a few losses for each sequence, the root mean square of their norms is kept. All is done in double
    precision: in float32, the gradient of an Elman network with fresh weights is zero after some hundred steps.

    Source:
        Bengio, Simard and Frasconi (1994), Learning long-term dependencies with gradient descent is difficult; Pascanu,
        Mikolov and Bengio (2013), On the difficulty of training recurrent neural networks, arXiv:1211.5063.

    Args:
        subject: A cell or its name (with fresh weights), a layer, or a language model.
        steps: T, at least 2: lags go from 1 to T - 1.
        options: `sequences`: B, how many random inputs and losses, 16 unless given. `inputs`: (T, B, D), or ids
            (T, B), in place of random ones; `steps` and `sequences` must agree with them. `hidden_size`: H, where the
            subject is a cell, 64. `losses`: how many sides, at right angles, for each sequence, 8; no more than the
            output has. `seed`: of weights, inputs and losses, 0.

    Raises:
        ConfigError: Too few steps or sequences, or a subject without states.
        RunError: A weight is not finite.
        CellError: An unknown cell.
        ShapeError: Inputs of another shape.

    Examples:
        >>> found = gradient_norms("orthogonal_rnn", 20, sequences=3, hidden_size=5)
        >>> found.whole.shape, bool(found.largest_growth <= 1 + 1e-6)
        ((19, 3), True)
    """
    return _measure(_prepared(subject, steps, **options))


def measure_flow(
    subject: Recurrence | Cell | str | nn.Module,
    steps: int,
    *,
    directions: int = 64,
    **options: Unpack[GradientOptions],
) -> Flow:
    """Measures gradients by lag, as `gradient_norms` does, and what Jacobians and matrices predict for them.

    Args:
        subject: As there.
        steps: As there.
        directions: From how many random sides of the output the product of Jacobians is followed at most; as
            many as the output has make it exact, fewer save time where states are wide.
        options: As there.

    Raises:
        ConfigError: As there.
        RunError: As there.
        CellError: As there.
        ShapeError: As there.
    """
    prepared = _prepared(subject, steps, **options)
    system, x, seed = prepared.system, prepared.inputs, prepared.seed
    measured, states = _measure(prepared), system.states(x)
    predicted, followed = product_norms(system, x, states, directions=directions, seed=seed)
    exponent = float(lyapunov_exponents(system, x, states, seed=seed)[0])
    places = np.linspace(1, len(x) - 1, min(_SAMPLED, len(x) - 1)).astype(int)
    jacobians = tuple(
        spectrum(step_jacobian(system, x[t, b : b + 1], states[t - 1, b : b + 1])[0])
        for b, t in ((k % x.shape[1], t) for k, t in enumerate(places))
    )
    return Flow(measured, predicted, followed, exponent, recurrent_matrices(system), jacobians)


def fitted_slope(logarithms: Array) -> float | None:
    """The slope of the straight line nearest to values at lags 1, 2, ...; values that are not finite are left out.

    Examples:
        >>> fitted_slope(np.array([-1.0, -3.0, -np.inf, -7.0]))
        -2.0
    """
    kept = np.isfinite(logarithms)
    if kept.sum() < 2:
        return None
    lags = np.arange(1, len(logarithms) + 1)[kept]
    away = lags - lags.mean()
    return round(float(away @ logarithms[kept] / (away @ away)), 12)


def quantiles(values: Array, shares: tuple[float, ...]) -> Array:
    """Quantiles (len(shares), T) over the sequences of values (T, B), each the value of one of the sequences.

    So the logarithm of a median is the median of logarithms, which a mean of two in the middle would not be.
    """
    return np.quantile(values, shares, axis=1, method="inverted_cdf")


def half_life(slope: float | None) -> float | None:
    """Steps after which half of a gradient is left, from nats per step; None where it doesn't shrink."""
    return float(np.log(0.5) / slope) if slope is not None and slope < 0 else None


class GradientRecorder:
    """Measures gradients while a model learns, at each evaluation: a logger for `ifog.training.fit`.

    Only looks on: the model, its mode and torch's generator stay as they are.

    Args:
        model: The one that is trained.
        inputs: (T, B) ids, or (T, B, D), the same at each evaluation so that curves compare.
        seed: Of the losses.

    Attributes:
        curves: (step, norms) for each evaluation.

    Examples:
        >>> import ifog
        >>> model = ifog.LanguageModel(9, hidden_size=4)
        >>> recorder = GradientRecorder(model, torch.zeros(5, 2, dtype=torch.long))
        >>> recorder.log("evaluation", 100, {})      # what `fit(..., loggers=[recorder])` does by itself
        >>> recorder.curves[0][0], recorder.curves[0][1].whole.shape
        (100, (4, 2))
    """

    def __init__(self, model: nn.Module, inputs: Tensor, seed: int = 0) -> None:
        self.curves: list[tuple[int, GradientNorms]] = []
        self._model, self._inputs, self._seed = model, inputs, seed

    def log(self, kind: str, step: int, values: Mapping[str, float]) -> None:
        """Measures, if this is an evaluation."""
        if kind == "evaluation":
            steps, sequences = self._inputs.shape[:2]
            found = gradient_norms(self._model, steps, sequences=sequences, inputs=self._inputs.cpu(), seed=self._seed)
            self.curves.append((step, found))

    def resume(self, step: int) -> None:
        """Forgets what was measured after `step`."""
        self.curves = [curve for curve in self.curves if curve[0] <= step]

    def text(self, kind: str, step: int, value: str) -> None:
        """Nothing to do."""

    def flush(self) -> None:
        """Nothing to do."""

    def close(self) -> None:
        """Nothing to do."""


class _Prepared(NamedTuple):
    system: Recurrence
    inputs: Tensor  # (T, B, D), or ids (T, B)
    losses: int
    seed: int


def _prepared(
    subject: Recurrence | Cell | str | nn.Module,
    steps: int,
    *,
    sequences: int = 16,
    inputs: Tensor | None = None,
    hidden_size: int = 64,
    losses: int = 8,
    seed: int = 0,
) -> _Prepared:
    system = recurrence(subject, hidden_size=hidden_size, seed=seed)
    for name, value, least in (("steps", steps, 2), ("sequences", sequences, 1)):
        if isinstance(value, bool) or not isinstance(value, int) or value < least:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigError(
                f"gradients: {name} is {value!r}; give a whole number that is {least} or more"
                + (", since a gradient that goes back one step needs two." if least > 1 else ".")
            )
    x = system.check(system.inputs(steps, sequences, seed) if inputs is None else inputs)
    if tuple(x.shape[:2]) != (steps, sequences):
        raise ConfigError(
            f"gradients: inputs have {x.shape[0]} steps and {x.shape[1]} sequences, but steps={steps} and "
            f"sequences={sequences} were asked for; make them agree."
        )
    return _Prepared(system, x, losses, seed)


def _measure(prepared: _Prepared) -> GradientNorms:
    """Backpropagation through time, with a place to look at between any two steps."""
    system, x, losses, seed = prepared
    generator = torch.Generator().manual_seed(seed + 1)  # not the inputs' numbers again
    count = min(losses, system.output_size)
    with torch.enable_grad():
        state = system.start(x[0])[1].detach().requires_grad_()  # what lies before the first place concerns no lag
        places: list[Tensor] = []
        y = state
        for inputs in x[1:]:
            places.append(state)
            y, state = system.step(inputs, state)
    sides = orthonormal(generator, x.shape[1], y.shape[1], count)
    gradients = [_backward((y * side).sum(), places) for side in sides.unbind(2)]
    norms = torch.stack([
        _length(torch.stack([_length(g[..., columns], -1) for g in gradients]), 0) / count**0.5
        for columns in system.slices.values()
    ])  # fmt: skip
    return GradientNorms(system.name, dict(zip(system.names, norms.numpy(), strict=True)), _length(norms, 0).numpy())


def _backward(loss: Tensor, places: list[Tensor]) -> Tensor:
    """The gradient by each place, the last first (T - 1, B, n)."""
    if not loss.requires_grad:  # an output that no state has a part in
        return torch.zeros_like(torch.stack(places))
    found = torch.autograd.grad(loss, places, retain_graph=True, materialize_grads=True)
    return torch.stack(found[::-1])


def _length(values: Tensor, dim: int) -> Tensor:
    """The Euclidean norm along `dim`, of numbers too small to be squared as well."""
    largest = values.abs().amax(dim, keepdim=True)
    scaled = values / torch.where(largest > 0, largest, 1.0)
    return (scaled.square().sum(dim, keepdim=True).sqrt() * largest).squeeze(dim)


def _positive(values: Array) -> Array:
    """Values whose logarithm means something; the others are zero, whose logarithm is left out of fits."""
    return np.where(np.isfinite(values) & (values > _SMALLEST), values, np.nan)


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _mean(values: list[float]) -> float | None:
    return float(np.mean(values)) if values else None


def _rows(quantiles: Array) -> dict[str, list[float | None]]:
    return {
        name: [_finite(float(v)) for v in row] for name, row in zip(("low", "median", "high"), quantiles, strict=True)
    }
