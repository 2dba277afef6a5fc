"""Initial values of parameters by name.

Owns the list of initialisers. Takes a `Parameter`'s initial and a tensor, fills the tensor. Each is a plain name or
a number, so that a cell stays a description and a checkpoint holds no code.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import nn

from ifog.errors import CellError

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["INITIALISERS", "check_initialiser", "fill"]


def _identity(tensor: Tensor, hidden_size: int) -> None:
    nn.init.eye_(tensor)


def _one_hundredth(tensor: Tensor, hidden_size: int) -> None:
    nn.init.normal_(tensor, std=0.01)


def _one_thousandth(tensor: Tensor, hidden_size: int) -> None:
    nn.init.normal_(tensor, std=0.001)


def _uniform(tensor: Tensor, hidden_size: int) -> None:
    bound = 1.0 / math.sqrt(hidden_size)
    nn.init.uniform_(tensor, -bound, bound)


def _rotations(tensor: Tensor, hidden_size: int) -> None:
    tensor.copy_(torch.eye(*tensor.shape))
    angles = torch.empty(min(tensor.shape) // 2).uniform_(-math.pi, math.pi)
    first = 2 * torch.arange(len(angles))
    second = first + 1
    tensor[first, first] = tensor[second, second] = angles.cos().to(tensor)
    tensor[first, second] = angles.sin().to(tensor)
    tensor[second, first] = -angles.sin().to(tensor)


def _chrono(tensor: Tensor, hidden_size: int) -> None:
    tensor.copy_(torch.empty_like(tensor).uniform_(1.0, 99.0).log_())


INITIALISERS: dict[str, Callable[[Tensor, int], object]] = {
    "uniform": _uniform,  # ± 1/sqrt(H), torch.nn's
    "orthogonal": lambda tensor, hidden_size: nn.init.orthogonal_(tensor),  # Saxe et al. 2014
    "identity": _identity,  # Le et al. 2015
    "rotations": _rotations,  # of pairs of columns, each by its own angle (Henaff et al. 2016)
    "xavier": lambda tensor, hidden_size: nn.init.xavier_uniform_(tensor),  # Glorot and Bengio 2010
    "he": lambda tensor, hidden_size: nn.init.kaiming_uniform_(tensor, nonlinearity="relu"),  # He et al. 2015
    "normal": lambda tensor, hidden_size: nn.init.normal_(tensor),
    "normal/100": _one_hundredth,  # min-char-rnn's
    "normal/1000": _one_thousandth,  # of the inputs of rectified units (Le et al. 2015)
    "unit interval": lambda tensor, hidden_size: nn.init.uniform_(tensor, 0.0, 1.0),  # IndRNN's recurrent weights
    "chrono": _chrono,  # log of uniform(1, 99): memory of up to 100 steps (Tallec and Ollivier 2018)
}

_MATRICES_ONLY = {"orthogonal", "identity", "rotations", "xavier", "he"}


def check_initialiser(initial: object, shape: tuple[int, ...], where: Callable[[], str]) -> None:
    """Refuses what is no number and no name in the list, and a name that means nothing for a vector.

    Raises:
        CellError: With the list.
    """
    if isinstance(initial, (int, float)):
        return
    if not isinstance(initial, str) or initial not in INITIALISERS:
        known = ", ".join(map(repr, INITIALISERS))
        raise CellError(f"{where()}: no initialiser is called {initial!r}; use a number or one of {known}")
    if initial in _MATRICES_ONLY and len(shape) == 1:
        raise CellError(
            f"{where()}: {initial!r} fills matrices, not a vector of size {shape[0]}; use a number or 'uniform'"
        )


@torch.no_grad()
def fill(tensor: Tensor, initial: float | str, hidden_size: int) -> None:
    """Fills `tensor` in place with its initial value."""
    if isinstance(initial, str):
        INITIALISERS[initial](tensor, hidden_size)
    else:
        tensor.fill_(initial)
