"""Noticing that training went wrong."""

from __future__ import annotations

import json
import math

import pytest
import torch
from torch import nn

from ifog.errors import TrainingError
from ifog.training.watching import Watch


def watched(factor: float = 10.0) -> tuple[Watch, nn.Module]:
    model = nn.LSTM(2, 3)
    return Watch(model, factor), model


def test_a_loss_that_is_no_number_is_diagnosed() -> None:
    watch, model = watched()
    for step, loss in enumerate((3.0, 2.5, 2.25)):
        watch.check(step + 1, loss, 1.0, 0.01)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    gradient = model.get_parameter("weight_hh_l0").grad
    assert gradient is not None
    gradient[1, 1] = math.nan
    with pytest.raises(TrainingError) as caught:
        watch.check(4, math.nan, math.inf, 0.01)
    message = str(caught.value)
    for part in ("step 4", "loss is nan", "3, 2.5, 2.25", "norm inf", "weight_hh_l0", "lower learning rate", "0.01"):
        assert part in message


def test_the_first_parameter_that_is_not_finite_is_named_before_any_gradient() -> None:
    watch, model = watched()
    with torch.no_grad():
        model.get_parameter("bias_ih_l0")[0] = math.inf
    with pytest.raises(TrainingError, match="parameter that is not finite is bias_ih_l0"):
        watch.check(1, math.inf, 1.0, 0.1)


def test_a_gradient_that_is_no_number_stops_a_finite_loss() -> None:
    watch, _ = watched()
    with pytest.raises(TrainingError, match="the gradient is not finite.*every parameter and gradient is finite"):
        watch.check(1, 2.0, math.nan, 0.1)


def test_a_loss_that_stays_far_above_the_first_ones_has_exploded() -> None:
    watch, _ = watched()
    for step in range(10):
        watch.check(step, 4.0, 1.0, 0.1)
    watch.check(11, 300.0, 1.0, 0.1)  # one bad batch is not the end
    for step in range(12, 15):
        watch.check(step, 50.0, 1.0, 0.1)
    with pytest.raises(TrainingError, match=r"exploded from 4 to 4\d\."):
        watch.check(15, 100.0, 1.0, 0.1)


def test_losses_that_jump_about_an_easy_first_one_have_not_exploded() -> None:
    watch, _ = watched()
    for step in range(100):
        watch.check(step, (0.05, 1.9, 0.3, 2.9, 0.06)[step % 5], 1.0, 0.1)


def test_a_loss_that_falls_or_is_negative_never_explodes() -> None:
    for sign in (1.0, -1.0):
        watch, _ = watched(1.5)
        for step in range(100):
            watch.check(step, sign * 100 / (step + 1), 1.0, 0.1)


def test_an_infinite_factor_switches_the_check_off() -> None:
    watch, _ = watched(math.inf)
    for step in range(100):
        watch.check(step, 10.0**step, 1.0, 0.1)


def test_what_was_seen_comes_back_from_json() -> None:
    one, _ = watched()
    two, _ = watched()
    for step in range(15):
        one.check(step, 1 + step / 7, 1.0, 0.1)
    two.load_state_dict(json.loads(json.dumps(one.state_dict())))
    assert two.state_dict() == one.state_dict()
    for watch in (one, two):
        for step in range(16, 20):
            watch.check(step, 400.0, 1.0, 0.1)
        with pytest.raises(TrainingError, match=r"exploded from 1 to 165\."):
            watch.check(20, 400.0, 1.0, 0.1)


def test_a_loss_that_explodes_at_the_first_update_is_noticed() -> None:
    watch, _ = watched()
    watch.check(1, 4.0, 1.0, 1e12)
    for step in range(2, 11):
        watch.check(step, 4e9, 1.0, 1e12)
    with pytest.raises(TrainingError, match="exploded from 4 to"):
        watch.check(11, 4e9, 1.0, 1e12)
