"""Keep an average of the weights, and lend it to a model for an evaluation.

Owns the averaged copy, and when averaging begins. Never changes the weights that are trained, except while they are
lent out.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ifog.training.config import TrainingConfig

__all__ = ["MovingAverage", "TriggeredAverage", "WeightAverage", "build_average"]


class WeightAverage(ABC):
    """An average of a model's parameters over the updates of a run.

    Args:
        model: Whose parameters to follow.
    """

    def __init__(self, model: nn.Module) -> None:
        self._parameters = [p.detach() for p in model.parameters()]
        self._names = [name for name, _ in model.named_parameters()]
        self._average = [p.clone() for p in self._parameters]
        self.updates = 0

    @abstractmethod
    def _share(self) -> float:
        """The share of the weights as they are now in the average."""

    @torch.no_grad()
    def update(self) -> None:
        """Take in the weights as they are now."""
        share = self._share()
        for average, parameter in zip(self._average, self._parameters, strict=True):
            average.lerp_(parameter, share)
        self.updates += 1

    def evaluated(self, loss: float) -> None:
        """Told the loss of each evaluation; most averages don't mind it."""
        del loss

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

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Put back what `tensors` gave."""
        for name, average in zip(self._names, self._average, strict=True):
            average.copy_(tensors[name])

    def state_dict(self) -> dict[str, Any]:
        """All but the tensors, in JSON values."""
        return {"updates": self.updates}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` gave."""
        self.updates = int(state["updates"])


class MovingAverage(WeightAverage):
    """The exponential moving average.

    The decay rises to its value as (1 + n) / (10 + n) over n updates, so that the random start is soon forgotten.

    Args:
        model: Whose parameters to follow.
        decay: 0 < decay < 1.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        super().__init__(model)
        self._decay = decay

    def _share(self) -> float:
        return 1 - min(self._decay, (1 + self.updates) / (10 + self.updates))


class TriggeredAverage(WeightAverage):
    """The plain mean of all weights since the loss stopped falling: with "sgd", NT-ASGD.

    Until then it is the weights as they are. It begins after an evaluation whose loss is above the lowest of those
    more than `patience` evaluations before.

    Args:
        model: Whose parameters to follow.
        patience: n of the paper; 5 there.

    Source:
        Merity, Keskar and Socher (2018), Regularizing and optimizing LSTM language models, arXiv:1708.02182,
        algorithm 1; Polyak and Juditsky (1992) for the mean.
    """

    def __init__(self, model: nn.Module, patience: int) -> None:
        super().__init__(model)
        self._patience = patience
        self._losses: list[float] = []
        self.begun = False

    def _share(self) -> float:
        return 1 / (self.updates + 1)

    def update(self) -> None:
        """Take in the weights as they are now, if averaging has begun."""
        if self.begun:
            super().update()

    def evaluated(self, loss: float) -> None:
        """Begin if `loss` is no better than what was reached `patience` evaluations ago."""
        earlier = self._losses[: -self._patience]
        if not self.begun and earlier and loss > min(earlier):
            self.begun = True
            _copy(self._parameters, self._average)
            self.updates = 1  # the mean begins with the weights as they are
        self._losses.append(loss)

    @contextmanager
    def lent(self) -> Generator[None, None, None]:
        """The model has the averaged weights inside, once there are any."""
        if not self.begun:
            yield
            return
        with super().lent():
            yield

    def tensors(self) -> dict[str, Tensor]:
        """The averaged parameters by name; before averaging has begun, the parameters."""
        return dict(zip(self._names, self._average if self.begun else self._parameters, strict=True))

    def state_dict(self) -> dict[str, Any]:
        """All but the tensors, in JSON values."""
        return {**super().state_dict(), "losses": self._losses, "begun": self.begun}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` gave."""
        super().load_state_dict(state)
        self._losses, self.begun = [float(loss) for loss in state["losses"]], bool(state["begun"])


def build_average(model: nn.Module, config: TrainingConfig) -> WeightAverage | None:
    """The average that a configuration asks for."""
    if config.average:
        return MovingAverage(model, config.average)
    return TriggeredAverage(model, config.average_patience) if config.average_patience else None


def _copy(sources: Sequence[Tensor], targets: Sequence[Tensor]) -> None:
    for source, target in zip(sources, targets, strict=True):
        target.copy_(source)
