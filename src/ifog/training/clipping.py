"""Limit gradients before a step: by value, by norm, or by the norm's running mean.

Takes the gradients in place, gives their norm before clipping. Never steps.

Reference: Pascanu, Mikolov and Bengio, "On the difficulty of training recurrent neural networks" (2013), which
advises thresholds of 0.5 to 10 times the average norm.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn.utils import clip_grad_value_, clip_grads_with_norm_

from ifog.training.config import TrainingConfig

__all__ = ["Clipper"]

_DECAY = 0.99
# One exploding batch may raise the running mean by this factor's share at most.
_OUTLIER = 10.0


class Clipper:
    """Clips as a configuration says; holds the running mean of the norm."""

    def __init__(self, config: TrainingConfig) -> None:
        self._way = config.clipping
        self._clip = config.clip
        self._mean = 0.0  # a float: the norm is read every step anyway, to notice that it is not a number
        self._count = 0

    def clip(self, parameters: Sequence[nn.Parameter], norm: Tensor) -> None:
        """Clip the gradients in place.

        Args:
            parameters: Those that have a gradient.
            norm: The joint norm of these gradients, a scalar tensor.
        """
        if self._way == "value":
            clip_grad_value_(parameters, self._clip)
        elif self._way != "none" and (threshold := self.threshold) is not None:
            clip_grads_with_norm_(parameters, threshold, norm)

    @property
    def threshold(self) -> float | None:
        """The norm above which gradients are scaled down; None where nothing limits it (yet)."""
        if self._way == "norm":
            return self._clip
        return self._clip * self._mean if self._way == "mean_norm" and self._count else None

    def observe(self, norm: float) -> None:
        """Take a step's norm, finite and before clipping, into the running mean."""
        self._count += 1
        # An average of what was seen while that is little, then a decaying one.
        share = max(1 - _DECAY, 1 / self._count)
        limited = norm if self._count == 1 else min(norm, _OUTLIER * self._mean)
        self._mean += share * (limited - self._mean)

    def state_dict(self) -> dict[str, Any]:
        """The running mean, as JSON values."""
        return {"mean": self._mean, "count": self._count}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Put back what `state_dict` gave."""
        self._mean, self._count = float(state["mean"]), int(state["count"])
