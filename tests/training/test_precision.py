"""Training with products that are rounded."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

import ifog
from ifog.training import TrainingConfig, fit
from training import toys


def config(**options: Any) -> TrainingConfig:
    return TrainingConfig.from_dict({"steps": 6, "log_every": 1, "device": "cpu", **options})


class _Nats(toys.Net):
    """A model whose loss is a method of its own, as a language model's is."""

    def __init__(self) -> None:
        super().__init__(dropout=0.0)
        self.rnn = ifog.LSTM(12, 12)

    def nats(self, ids: Tensor, targets: Tensor, state: Any) -> tuple[Tensor, Any]:
        logits, state = self(ids, state)
        return functional.cross_entropy(logits.flatten(0, 1).float(), targets.flatten()), state


class _AsksForNats(toys.Language):
    def loss(self, model: Any, batch: Any, carry: Any) -> Any:
        loss, state = model.nats(batch.inputs, batch.targets, None if batch.reset else carry)
        return loss, {"items": 1.0}, state


@pytest.mark.parametrize("precision", ["bf16-mixed", "int16-mixed"])
def test_rounded_products_train_and_reach_whatever_method_makes_the_loss(precision: str) -> None:
    losses = []
    for name in ("32-true", precision):
        torch.manual_seed(7)
        result = fit(_Nats(), _AsksForNats(), config(steps=60, learning_rate=0.03, precision=name))
        losses.append(result.metrics["loss"])
    assert losses[1] < math.log(toys.VOCABULARY) - 0.3
    assert losses[1] != losses[0]
    assert losses[1] == pytest.approx(losses[0], abs=0.1)
