"""Penalties on recurrent matrices."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ifog.errors import ConfigError
from ifog.training import TrainingConfig
from ifog.training.regularization import RecurrentPenalty, recurrent_matrices


class Named(nn.Module):
    """Parameters named as a traced cell's."""

    def __init__(self) -> None:
        super().__init__()
        for name, shape in (("W_xi", (5, 3)), ("W_hi", (5, 5)), ("W_hf", (5, 5)), ("b_i", (5,)), ("W_xh", (2, 5))):
            self.register_parameter(name, nn.Parameter(torch.randn(shape)))


def test_only_matrices_of_the_recurrent_state_count() -> None:
    model = nn.ModuleDict({"rnn": nn.LSTM(3, 5, num_layers=2), "cell": Named(), "head": nn.Linear(5, 2)})
    assert list(recurrent_matrices(model)) == ["rnn.weight_hh_l0", "rnn.weight_hh_l1", "cell.W_hi", "cell.W_hf"]


def test_the_squared_penalty_and_its_gradient() -> None:
    model = nn.GRU(3, 5)
    penalty = RecurrentPenalty(model, TrainingConfig(steps=1, recurrent_l2=0.3))
    value = penalty()
    value.backward()
    torch.testing.assert_close(value, 0.3 * (model.weight_hh_l0**2).sum())
    torch.testing.assert_close(model.weight_hh_l0.grad, 0.6 * model.weight_hh_l0)
    assert model.weight_ih_l0.grad is None


def test_the_orthogonal_penalty_is_zero_for_orthogonal_gates_alone() -> None:
    model = nn.LSTM(3, 5)
    penalty = RecurrentPenalty(model, TrainingConfig(steps=1, recurrent_orthogonal=2.0))
    gates = [torch.randn(5, 5) for _ in range(4)]
    with torch.no_grad():
        model.weight_hh_l0.copy_(torch.cat(gates))
    expected = sum(((g.T @ g - torch.eye(5)) ** 2).sum() for g in gates)
    torch.testing.assert_close(penalty(), 2.0 * torch.as_tensor(expected))
    with torch.no_grad():
        model.weight_hh_l0.copy_(torch.cat([torch.linalg.qr(g).Q for g in gates]))
    assert penalty().item() == pytest.approx(0.0, abs=1e-9)


def test_a_penalty_without_a_recurrent_matrix_is_an_error() -> None:
    assert not RecurrentPenalty(nn.Linear(2, 2), TrainingConfig(steps=1)).active
    with pytest.raises(ConfigError, match="no recurrent matrix"):
        RecurrentPenalty(nn.Linear(2, 2), TrainingConfig(steps=1, recurrent_l2=0.1))
