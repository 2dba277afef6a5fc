"""Notice that training went wrong, and say why.

Owns the last losses and what they are compared with. Takes each step's loss and gradient norm before the optimiser
uses them, so that the weights are still good when it stops the training.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from ifog.errors import TrainingError

__all__ = ["Watch"]

_FIRST = 10  # losses before the smoothed one is judged
_SHOWN = 5
_SMOOTHING = 0.9


class Watch:
    """Stops the training when the loss or the gradient is not a number, or the loss explodes.

    Args:
        model: To name the first parameter that is not finite.
        explosion: How many times above the first loss the smoothed loss and the last five may stay.
    """

    def __init__(self, model: nn.Module, explosion: float) -> None:
        self._model = model
        self._explosion = explosion
        self._recent: list[float] = []
        self._first: list[float] = []
        self._smoothed = 0.0

    def check(self, step: int, loss: float, norm: float, rate: float) -> None:
        """Look at one step before it is applied.

        Args:
            step: The number of this step, from 1.
            loss: Of this step.
            norm: Of the gradient before clipping.
            rate: The learning rate.

        Raises:
            TrainingError: With the diagnosis.
        """
        if not (math.isfinite(loss) and math.isfinite(norm)):
            subject = f"the loss is {loss}" if not math.isfinite(loss) else "the gradient is not finite"
            raise self._error(step, subject, norm, rate)
        self._recent = [*self._recent[-_SHOWN + 1 :], loss]
        if len(self._first) < _FIRST:
            self._first.append(loss)
            self._smoothed = sum(self._first) / len(self._first)
            return
        normal = self._first[0]  # before any update: the very first may be the one that explodes
        self._smoothed = _SMOOTHING * self._smoothed + (1 - _SMOOTHING) * loss
        # Not the mean alone, in which one batch in many can be a thousand times above a first that was easy.
        if 0 < normal * self._explosion < min(self._smoothed, *self._recent):
            raise self._error(step, f"the loss exploded from {normal:.4g} to {self._smoothed:.4g}", norm, rate)

    def state_dict(self) -> dict[str, Any]:
        """What was seen, as JSON values."""
        return {"recent": self._recent, "first": self._first, "smoothed": self._smoothed}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Put back what `state_dict` gave."""
        self._recent, self._first = list(state["recent"]), list(state["first"])
        self._smoothed = float(state["smoothed"])

    def _error(self, step: int, subject: str, norm: float, rate: float) -> TrainingError:
        before = ", ".join(f"{loss:.4g}" for loss in self._recent) or "none"
        return TrainingError(
            f"training stopped at step {step}: {subject}. Losses before it: {before}; gradient norm {norm:.4g}; "
            f"{self._culprit()}. This step was not applied. Try a lower learning rate (it was {rate:.3g}), "
            f"a lower threshold of clipping, or a longer warm-up."
        )

    def _culprit(self) -> str:
        parameters = list(self._model.named_parameters())
        for name, parameter in parameters:
            if not torch.isfinite(parameter).all():
                return f"the first parameter that is not finite is {name}"
        for name, parameter in parameters:
            if parameter.grad is not None and not torch.isfinite(parameter.grad).all():
                return f"every parameter is finite, the first gradient that is not is that of {name}"
        return "every parameter and gradient is finite"
