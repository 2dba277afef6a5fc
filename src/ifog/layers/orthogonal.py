"""Matrices that stay orthogonal while they learn.

Owns the way from free numbers to a rotation. Takes a layer and a parameter's name. Never trains.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

__all__ = ["keep_orthogonal"]

# An optimiser that moves every number by its rate turns a matrix of H columns by sqrt(H) times as much, at each of T
# steps anew. Turning a tenth as far is what Lezcano-Casado and Martínez-Rubio do by a rate of its own.
_PACE = 0.1


class _Turned(nn.Module):
    """A starting matrix, turned by the exponential of what is learned."""

    start: Tensor

    def __init__(self, start: Tensor) -> None:
        super().__init__()
        self.register_buffer("start", start.detach().clone())

    def forward(self, free: Tensor) -> Tensor:
        lower = (_PACE * free).tril(-1)
        return self.start @ torch.matrix_exp(lower - lower.mT)

    def right_inverse(self, matrix: Tensor) -> Tensor:
        self.start = matrix.detach().clone()
        return torch.zeros_like(matrix)


def keep_orthogonal(layer: nn.Module, name: str) -> None:
    """Makes a square parameter `start @ exp(A - A')`, of which A is learned; assigning to it sets the start.

    Args:
        layer: Whose parameter it is.
        name: Of the parameter, whose value is orthogonal already, and is the start.

    Source:
        Lezcano-Casado and Martínez-Rubio (2019), Cheap orthogonal constraints in neural networks, arXiv:1901.08428.

    Examples:
        >>> layer = nn.Linear(3, 3)
        >>> _ = nn.init.eye_(layer.weight)
        >>> keep_orthogonal(layer, "weight")
        >>> layer.parametrizations.weight.original.data.fill_(5.0)
        tensor([[5., 5., 5.],
                [5., 5., 5.],
                [5., 5., 5.]])
        >>> bool(torch.allclose(layer.weight @ layer.weight.T, torch.eye(3), atol=1e-6))
        True
    """
    parametrize.register_parametrization(layer, name, _Turned(layer.get_parameter(name)))
