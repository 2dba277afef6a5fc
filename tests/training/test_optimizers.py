"""Optimisers against what they claim to compute."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from ifog.errors import RunError
from ifog.training import TrainingConfig
from ifog.training.optimizers import build_optimizer, load_optimizer, optimizer_tensors

NAMES = ["adamw", "sgd", "rmsprop", "adagrad"]


def config(optimizer: str, **options: float) -> TrainingConfig:
    return TrainingConfig.from_dict({"steps": 1, "optimizer": optimizer, **options})


def set_gradients(model: nn.Module, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=generator)


def test_adagrad_is_the_program_of_the_lectures() -> None:
    model = nn.Linear(17, 33)
    weight = model.weight.detach().numpy().astype(np.float64)
    memory = np.zeros_like(weight)
    optimizer = build_optimizer(model, config("adagrad", learning_rate=0.1))
    for step in range(50):
        set_gradients(model, step)
        assert model.weight.grad is not None
        model.weight.grad[0] = 0.0  # where nothing was ever seen the root is that of 1e-8 alone
        gradient = model.weight.grad.numpy().astype(np.float64)
        memory += gradient * gradient
        weight -= 0.1 * gradient / np.sqrt(memory + 1e-8)
        optimizer.step()
    np.testing.assert_allclose(model.weight.detach().numpy(), weight, rtol=2e-5, atol=2e-6)


def test_sgd_has_momentum_as_a_heavy_ball() -> None:
    model = nn.Linear(3, 2)
    weight = model.weight.detach().clone()
    velocity = torch.zeros_like(weight)
    optimizer = build_optimizer(model, config("sgd", learning_rate=0.1, momentum=0.7))
    for step in range(5):
        set_gradients(model, step)
        assert model.weight.grad is not None
        velocity = 0.7 * velocity + model.weight.grad
        weight -= 0.1 * velocity
        optimizer.step()
    torch.testing.assert_close(model.weight.detach(), weight)


def test_adamw_is_its_paper() -> None:
    model = nn.Linear(3, 2)
    weight = model.weight.detach().clone()
    mean, square = torch.zeros_like(weight), torch.zeros_like(weight)
    optimizer = build_optimizer(model, config("adamw", learning_rate=0.01, beta1=0.8, beta2=0.95, weight_decay=0.3))
    for step in range(1, 6):
        set_gradients(model, step)
        gradient = model.weight.grad
        assert gradient is not None
        mean, square = 0.8 * mean + 0.2 * gradient, 0.95 * square + 0.05 * gradient**2
        weight = weight * (1 - 0.01 * 0.3)
        weight -= 0.01 * (mean / (1 - 0.8**step)) / ((square / (1 - 0.95**step)).sqrt() + 1e-8)
        optimizer.step()
    torch.testing.assert_close(model.weight.detach(), weight)


@pytest.mark.parametrize("name", NAMES)
def test_only_matrices_decay_whatever_the_optimizer(name: str) -> None:
    model = nn.LSTM(3, 5)
    decay = {
        id(parameter): group["weight_decay"]
        for group in build_optimizer(model, config(name, weight_decay=0.1)).param_groups
        for parameter in group["params"]
    }
    assert {n: decay[id(p)] for n, p in model.named_parameters()} == {
        "weight_ih_l0": 0.1,
        "weight_hh_l0": 0.1,
        "bias_ih_l0": 0.0,
        "bias_hh_l0": 0.0,
    }


def test_frozen_parameters_are_left_out() -> None:
    model = nn.Linear(3, 2)
    model.weight.requires_grad_(False)
    (group,) = build_optimizer(model, config("adamw")).param_groups
    assert [id(p) for p in group["params"]] == [id(model.bias)]


@pytest.mark.parametrize("name", NAMES)
def test_state_that_was_kept_leads_to_the_same_steps(name: str) -> None:
    torch.manual_seed(1)
    one, two = nn.GRU(3, 5), nn.GRU(3, 5)
    first = build_optimizer(one, config(name))
    for step in range(3):
        set_gradients(one, step)
        first.step()
    two.load_state_dict(one.state_dict())
    second = build_optimizer(two, config(name))
    load_optimizer(second, two, {k: v.clone() for k, v in optimizer_tensors(first, one).items()})
    for step in range(3, 6):
        for model, optimizer in ((one, first), (two, second)):
            set_gradients(model, step)
            optimizer.step()
    for p, q in zip(one.parameters(), two.parameters(), strict=True):
        assert torch.equal(p, q)


def test_state_of_other_parameters_is_refused() -> None:
    model = nn.Linear(3, 2)
    optimizer = build_optimizer(model, config("adamw"))
    for key, shape in (("weight/exp_avg", (2, 2)), ("other/exp_avg", (2, 3)), ("exp_avg", (2, 3))):
        with pytest.raises(RunError, match="fits no parameter"):
            load_optimizer(optimizer, model, {key: torch.zeros(shape)})
