"""How one step stretches a small change of the state, and what many steps do in a row.

Owns the exact Jacobian of a step, the products of Jacobians along a sequence, Lyapunov exponents, and the spectra of
recurrent matrices. Takes a `Recurrence`, inputs and the states they lead to, gives numbers. All is computed by
vector-Jacobian products in double precision; nothing is approximated by differences. Never measures a loss's gradient:
that is `gradient_flow`, which this predicts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ifog.compiler.graph import Level, matrices
from ifog.errors import ConfigError
from ifog.flow.recurrences import Recurrence
from ifog.shapes import Float

__all__ = [
    "Spectrum",
    "lyapunov_exponents",
    "orthonormal",
    "product_norms",
    "recurrent_matrices",
    "spectrum",
    "step_jacobian",
]

Array = NDArray[np.float64]

_TRANSIENT = 0.25  # share of the steps after which directions have turned to where they grow most


@dataclass(frozen=True)
class Spectrum:
    """The two sizes of a matrix that tell what its powers do.

    Attributes:
        radius: The largest modulus of an eigenvalue: powers shrink in the end where it is below 1. None where the
            matrix is not square.
        norm: The largest singular value: no vector grows more in one step.
    """

    radius: float | None
    norm: float


def spectrum(matrix: Tensor) -> Spectrum:
    """Spectral radius and norm of a matrix (m, n).

    Examples:
        A shift forgets after two steps, yet stretches in the first:

        >>> spectrum(torch.tensor([[0.0, 2.0], [0.0, 0.0]]))
        Spectrum(radius=0.0, norm=2.0)
    """
    square = matrix.shape[0] == matrix.shape[1]
    numbers = matrix.detach().double().cpu().numpy()
    radius = float(np.abs(np.linalg.eigvals(numbers)).max()) if square else None
    return Spectrum(radius, float(np.linalg.norm(numbers, 2)))


def recurrent_matrices(recurrence: Recurrence) -> dict[str, Spectrum]:
    """The spectrum of each matrix that the state goes through, by the layer's number and the matrix's name.

    A matrix counts if what it multiplies depends on the state of its own layer (`U` in `U (r * h)` too).

    Examples:
        >>> from ifog.flow.recurrences import recurrence
        >>> recurrent_matrices(recurrence("irnn", hidden_size=4))
        {'layer0.W_hh': Spectrum(radius=1.0, norm=1.0)}
    """
    found: dict[str, Spectrum] = {}
    for number, stack, place in recurrence.layers():
        graph = stack.plans[place].graph
        parameters = stack.cell_parameters(place, 0)
        names = {
            name
            for node in graph.nodes
            if node.op == "product"
            for (name, _), operand in zip(matrices(node), node.args, strict=True)
            if graph.levels[operand] == Level.STEP
        }
        for name in sorted(names):
            found[f"layer{number}.{name}"] = spectrum(parameters[name])
    return found


def step_jacobian(recurrence: Recurrence, x: Tensor, state: Float[Tensor, "B H"]) -> Float[Tensor, "B H H"]:
    """The exact derivative of a step's states by the states before it, `J[b, i, j] = d s'[b, i] / d s[b, j]`.

    Every row of it is a vector-Jacobian product; all are made in one pass, as so many sequences side by side.

    Args:
        recurrence: Of n numbers.
        x: The step's input, (B, D), or ids (B,).
        state: The states before the step, (B, n).
    """
    n = recurrence.size
    rows = torch.eye(n, dtype=torch.float64).expand(len(state), n, n)
    return _pull_back(recurrence, x, state, rows)


def product_norms(
    recurrence: Recurrence, x: Tensor, states: Tensor, *, directions: int | None = None, seed: int = 0
) -> tuple[Array, int]:
    """The size of the product of all Jacobians from the last step's output back to each state.

    For `P_k = C J ... J` (k factors: the last output's derivative C, and k - 1 steps), this is the root mean square of
    `|u P_k|` over all unit vectors u: the norm that a loss which looks at the last output from a random side expects
    of its gradient. It is `|P_k|_F / sqrt(P)`, computed for all P sides of the output unless `directions` says fewer.
    Factors that would under- or overflow are carried as logarithms.

    Args:
        recurrence: With an output of P numbers.
        x: Inputs, (T, B, D), or ids (T, B).
        states: After each step (T, B, n), from `Recurrence.states`.
        directions: How many random orthonormal sides are followed; None, or P and more: all, which is exact.
        seed: Of the directions.

    Returns:
        The natural logarithms (T - 1, B) of the norms at lag 1, 2, ...; minus infinity where the product is zero. And
        how many directions they are from.
    """
    width, batch = recurrence.output_size, x.shape[1]
    count = width if directions is None else min(directions, width)
    if count < 1:
        raise ConfigError(f"directions={directions}: at least one side of the output has to be looked at")
    sides = torch.eye(width, dtype=torch.float64)
    if count < width:
        sides = orthonormal(torch.Generator().manual_seed(seed), width, count).t()
    rows = _pull_back(recurrence, x[-1], states[-2], sides.expand(batch, count, width), of_output=True)
    logs: list[Tensor] = []
    scale = torch.zeros(batch, dtype=torch.float64)
    for t in range(len(x) - 2, -1, -1):
        norm: Tensor = rows.square().sum((1, 2)).sqrt()
        scale = scale + norm.log()
        rows = rows / torch.where(norm > 0, norm, 1.0)[:, None, None]
        logs.append(scale - np.log(count) / 2)
        if t:
            rows = _pull_back(recurrence, x[t], states[t - 1], rows)
    return torch.stack(logs).numpy(), count


def lyapunov_exponents(recurrence: Recurrence, x: Tensor, states: Tensor, *, count: int = 1, seed: int = 0) -> Array:
    """The mean logarithms by which a step stretches the directions that grow most, largest first.

    Random directions are pulled back through all steps and made orthonormal again after each (QR); the logarithms of
    the stretches are averaged over time, without the first quarter of the steps; of several sequences the median is
    taken. In a long sequence, the gradient of a late loss comes to shrink by `exp(exponent)` with each step.

    Source:
        Benettin, Galgani, Giorgilli and Strelcyn (1980), Lyapunov characteristic exponents for smooth dynamical
        systems.

    Args:
        recurrence: Of n numbers.
        x: Inputs, (T, B, D), or ids (T, B).
        states: After each step (T, B, n).
        count: How many exponents, up to n.
        seed: Of the directions.

    Returns:
        The exponents (count,), nats per step; minus infinity where a direction is lost altogether.
    """
    if not 1 <= count <= recurrence.size:
        raise ConfigError(f"count={count}: a state of {recurrence.size} numbers has 1 to {recurrence.size} exponents")
    steps, batch = x.shape[:2]
    first = orthonormal(torch.Generator().manual_seed(seed), recurrence.size, count).t()
    rows = first.expand(batch, count, recurrence.size)
    stretches: list[Tensor] = []
    for t in range(steps - 1, 0, -1):
        rows = _pull_back(recurrence, x[t], states[t - 1], rows)
        q, r = _qr(rows.transpose(1, 2))
        rows = q.transpose(1, 2)
        stretches.append(r.diagonal(dim1=1, dim2=2).abs().log())
    settled = stretches[min(int(_TRANSIENT * len(stretches)), len(stretches) - 1) :]
    return torch.stack(settled).mean(0).median(0).values.numpy()


def _pull_back(recurrence: Recurrence, x: Tensor, state: Tensor, rows: Tensor, *, of_output: bool = False) -> Tensor:
    """`rows` (B, m, n) times the Jacobian of the step from `state` (B, n): m products of one vector for each sequence.

    With `of_output`, rows (B, m, P) are multiplied by the derivative of the output.
    """
    count = rows.shape[1]
    copies: Tensor = state.detach().repeat_interleave(count, 0).requires_grad_()
    with torch.enable_grad():
        output, following = recurrence.step(x.repeat_interleave(count, 0), copies)
        value = output if of_output else following
        if not value.requires_grad:  # a step that doesn't read its state
            return copies.new_zeros(len(state), count, copies.shape[1])
        (pulled,) = torch.autograd.grad(value, copies, rows.flatten(0, 1))
    return pulled.view(len(state), count, -1)


def orthonormal(generator: torch.Generator, *shape: int) -> Tensor:
    """Random matrices (..., size, count) whose columns are orthonormal, in double precision."""
    return _qr(torch.randn(shape, generator=generator, dtype=torch.float64))[0]


def _qr(matrix: Tensor) -> tuple[Tensor, Tensor]:
    q, r = cast("tuple[Tensor, Tensor]", torch.linalg.qr(matrix))
    return q, r
