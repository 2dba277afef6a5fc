"""The moving average of the weights."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ifog.training.averaging import WeightAverage


def numbers(model: nn.Module) -> list[float]:
    return [parameter.item() for parameter in model.parameters()]


def one_number(value: float) -> nn.Module:
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, value)
    return model


def test_the_average_forgets_its_start_first_quickly_then_by_the_decay() -> None:
    model = one_number(100.0)
    average = WeightAverage(model, 0.9)
    expected = 100.0
    for update in range(200):
        nn.init.constant_(model.get_parameter("weight"), float(update))
        average.update()
        decay = min(0.9, (1 + update) / (10 + update))
        expected = decay * expected + (1 - decay) * update
    assert average.tensors()["weight"].item() == pytest.approx(expected, rel=1e-5)
    assert expected == pytest.approx(199 - 9, rel=1e-3)  # as far behind as 1 / (1 - decay) steps


def test_weights_are_lent_and_given_back_even_after_an_error() -> None:
    model = one_number(1.0)
    average = WeightAverage(model, 0.5)
    nn.init.constant_(model.get_parameter("weight"), 3.0)
    average.update()
    expected = 0.1 * 1.0 + 0.9 * 3.0
    with torch.no_grad(), average.lent():
        assert numbers(model) == pytest.approx([expected])
    assert numbers(model) == [3.0]
    with pytest.raises(ZeroDivisionError), torch.no_grad(), average.lent():
        raise ZeroDivisionError
    assert numbers(model) == [3.0]


def test_an_average_that_was_kept_goes_on() -> None:
    model = one_number(1.0)
    one = WeightAverage(model, 0.9)
    nn.init.constant_(model.get_parameter("weight"), 2.0)
    one.update()
    kept = {name: tensor.clone() for name, tensor in one.tensors().items()}
    two = WeightAverage(model, 0.9)
    two.load(kept, one.updates)
    nn.init.constant_(model.get_parameter("weight"), 5.0)
    for average in (one, two):
        average.update()
    assert torch.equal(one.tensors()["weight"], two.tensors()["weight"])
