"""Dropout whose random numbers cost little.

Owns how masks are drawn. Takes tensors, shapes and shares. Which tensors are dropped, and for how long, is others'
business.

On the CPU torch draws 64 random bits for each number of a mask, one after the other; here four numbers share them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from ifog.errors import ConfigError

__all__ = ["Dropout", "chosen", "dropout"]

_STEPS = 1 << 16  # shares are told apart to one in so many


def dropout(x: Tensor, rate: float, training: bool = True) -> Tensor:
    """Zeros in some places of `x`, and the rest scaled up, so that the mean stays.

    Args:
        x: Of any shape.
        rate: Share of the places, from 0 to 1; on the CPU rounded to 1/65,536.
        training: Outside of training `x` itself is returned.

    Raises:
        ConfigError: A rate out of its range.

    Source:
        Srivastava et al. (2014), Dropout: a simple way to prevent neural networks from overfitting.

    Examples:
        >>> sorted(dropout(torch.ones(1000), 0.5).unique().tolist())
        [0.0, 2.0]
    """
    if not 0.0 <= rate <= 1.0:
        raise ConfigError(f"dropout: rate is {rate!r}; give a share from 0 to 1.")
    if not training or rate == 0.0:
        return x
    if not _is_quick(x):
        return functional.dropout(x, rate)
    kept = _rounded(1.0 - rate)
    mask = chosen(x.shape, kept, x)
    return x * (mask.div_(kept) if kept else mask)


def chosen(shape: Sequence[int], share: float, like: Tensor) -> Tensor:
    """1 in a random `share` of the places, 0 in the others, of the type and on the device of `like`."""
    if not _is_quick(like):
        return torch.bernoulli(like.new_full(shape, share))
    count = math.prod(shape)
    bits = torch.empty(-(-count // 4), dtype=torch.int64).random_(-(1 << 63), None).view(torch.int16)[:count]
    below = round(share * _STEPS) - _STEPS // 2
    places = bits < below if below < _STEPS // 2 else torch.ones_like(bits)
    return places.view(tuple(shape)).to(like.dtype)


class Dropout(nn.Dropout):
    """`torch.nn.Dropout` by way of `dropout`.

    Examples:
        >>> Dropout(0.5).eval()(torch.ones(3)).tolist()
        [1.0, 1.0, 1.0]
    """

    def forward(self, input: Tensor) -> Tensor:
        """`input` (any shape), in training with some places zero."""
        return dropout(input, self.p, self.training)


def _is_quick(x: Tensor) -> bool:
    """Whether drawing bits is quicker: on a GPU, and in what a tracer makes, dropout is one operation anyway."""
    return x.device.type == "cpu" and not torch.compiler.is_compiling()


def _rounded(share: float) -> float:
    return round(share * _STEPS) / _STEPS
