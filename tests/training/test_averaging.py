"""The averages of the weights."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ifog.training.averaging import MovingAverage, TriggeredAverage


def numbers(model: nn.Module) -> list[float]:
    return [parameter.item() for parameter in model.parameters()]


def one_number(value: float) -> nn.Module:
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, value)
    return model


def test_the_average_forgets_its_start_first_quickly_then_by_the_decay() -> None:
    model = one_number(100.0)
    average = MovingAverage(model, 0.9)
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
    average = MovingAverage(model, 0.5)
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
    one = MovingAverage(model, 0.9)
    nn.init.constant_(model.get_parameter("weight"), 2.0)
    one.update()
    kept = {name: tensor.clone() for name, tensor in one.tensors().items()}
    two = MovingAverage(model, 0.9)
    two.load(kept)
    two.load_state_dict(one.state_dict())
    nn.init.constant_(model.get_parameter("weight"), 5.0)
    for average in (one, two):
        average.update()
    assert torch.equal(one.tensors()["weight"], two.tensors()["weight"])


def follow(average: TriggeredAverage, model: nn.Module, values: list[float]) -> None:
    for value in values:
        nn.init.constant_(model.get_parameter("weight"), value)
        average.update()


def test_the_triggered_mean_begins_when_the_loss_is_above_that_of_long_before() -> None:
    model = one_number(1.0)
    average = TriggeredAverage(model, 2)
    for loss, begun in ((5.0, False), (4.0, False), (4.5, False), (4.2, False), (4.1, True), (3.0, True)):
        follow(average, model, [loss])
        average.evaluated(loss)
        assert average.begun == begun, loss


def test_the_triggered_mean_is_the_plain_mean_from_there_on() -> None:
    model = one_number(1.0)
    average = TriggeredAverage(model, 1)
    follow(average, model, [70.0, 60.0])
    with torch.no_grad(), average.lent():
        assert numbers(model) == [60.0]  # not begun: the weights as they are
    for loss in (1.0, 2.0, 3.0):
        average.evaluated(loss)
    follow(average, model, [6.0, 9.0])
    with torch.no_grad(), average.lent():
        assert numbers(model) == pytest.approx([(60.0 + 6.0 + 9.0) / 3])
    kept, state = {name: tensor.clone() for name, tensor in average.tensors().items()}, average.state_dict()
    other = TriggeredAverage(model, 1)
    other.load(kept)
    other.load_state_dict(state)
    for each in (average, other):
        follow(each, model, [12.0])
        assert each.tensors()["weight"].item() == pytest.approx((60.0 + 6.0 + 9.0 + 12.0) / 4)
