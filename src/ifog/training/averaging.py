"""Keep a moving average of the weights, and lend it to a model for an evaluation.

Owns the averaged copy. Never changes the weights that are trained, except while they are lent out.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

__all__ = ["WeightAverage"]


class WeightAverage:
    """The exponential moving average of a model's parameters.

    The decay rises to its value as (1 + n) / (10 + n) over n updates, so that the random start is soon forgotten.

    Args:
        model: Whose parameters to follow.
        decay: 0 < decay < 1.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self._decay = decay
        self._parameters = [p.detach() for p in model.parameters()]
        self._names = [name for name, _ in model.named_parameters()]
        self._average = [p.clone() for p in self._parameters]
        self.updates = 0

    @torch.no_grad()
    def update(self) -> None:
        """Take in the weights as they are now."""
        decay = min(self._decay, (1 + self.updates) / (10 + self.updates))
        for average, parameter in zip(self._average, self._parameters, strict=True):
            average.lerp_(parameter, 1 - decay)
        self.updates += 1

    @contextmanager
    def lent(self) -> Generator[None, None, None]:
        """The model has the averaged weights inside."""
        own = [p.clone() for p in self._parameters]
        _copy(self._average, self._parameters)
        try:
            yield
        finally:
            _copy(own, self._parameters)

    def tensors(self) -> dict[str, Tensor]:
        """The averaged parameters by name (the average itself, no copy)."""
        return dict(zip(self._names, self._average, strict=True))

    def load(self, tensors: Mapping[str, Tensor], updates: int) -> None:
        """Put back what `tensors` gave after `updates` updates."""
        for name, average in zip(self._names, self._average, strict=True):
            average.copy_(tensors[name])
        self.updates = updates


def _copy(sources: Sequence[Tensor], targets: Sequence[Tensor]) -> None:
    for source, target in zip(sources, targets, strict=True):
        target.copy_(source)
