"""Jacobians, their products and exponents against derivatives computed another way."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import ifog
from ifog.cells import tanh, weight
from ifog.errors import CellError, ConfigError, RunError, ShapeError
from ifog.flow.jacobians import (
    lyapunov_exponents,
    product_norms,
    recurrent_matrices,
    spectrum,
    step_jacobian,
)
from ifog.flow.recurrences import Recurrence, recurrence
from ifog.models import LanguageModel, RegularisedConfig, RegularisedModel, WindowConfig, WindowModel

CELLS = ["elman", "irnn", "gru", "lstm", "mut1"]


def prepared(subject, steps: int, batch: int, **sizes) -> tuple[Recurrence, torch.Tensor, torch.Tensor]:
    system = recurrence(subject, **sizes)
    x = system.inputs(steps, batch, seed=3)
    return system, x, system.states(x)


def products(system: Recurrence, x: torch.Tensor, states: torch.Tensor) -> list[torch.Tensor]:
    """C, C J, C J J, ... with each Jacobian from torch.func, multiplied as whole matrices."""
    last = torch.func.vmap(torch.func.jacrev(lambda s, i: system.step(i[None], s[None])[0][0]))(states[-2], x[-1])
    found = [last]
    for t in range(len(x) - 2, 0, -1):
        jacobian = torch.func.vmap(torch.func.jacrev(lambda s, i: system.step(i[None], s[None])[1][0]))
        found.append(found[-1] @ jacobian(states[t - 1], x[t]))
    return found


@pytest.mark.parametrize("cell", [*CELLS, "scrn", "lem", "antisymmetric_rnn"])
@pytest.mark.parametrize("size", [1, 5])
def test_a_steps_jacobian_is_what_differences_give(cell: str, size: int) -> None:
    system, x, states = prepared(cell, 4, 3, hidden_size=size, input_size=2)
    found = step_jacobian(system, x[3], states[2])
    h = 1e-6
    for j in range(system.size):
        away = torch.zeros(system.size, dtype=torch.float64)
        away[j] = h
        column = (system.step(x[3], states[2] + away)[1] - system.step(x[3], states[2] - away)[1]) / (2 * h)
        torch.testing.assert_close(found[:, :, j], column, atol=1e-8, rtol=1e-6)


def test_an_elman_networks_jacobian_is_its_formula() -> None:
    system, x, states = prepared("elman", 3, 2, hidden_size=7)
    W = dict(system.module.named_parameters())["W_hh_l0"]
    torch.testing.assert_close(step_jacobian(system, x[2], states[1]), (1 - states[2] ** 2)[:, :, None] * W)


def test_the_states_of_a_recurrence_are_those_of_its_layer() -> None:
    layer = ifog.LSTM(3, 5, 2)
    system = recurrence(layer)
    x = torch.randn(6, 4, 3)
    _, (h, c) = layer(x)
    states = system.states(system.check(x))
    for name, expected in {"layer0.h": h[0], "layer1.h": h[1], "layer0.c": c[0], "layer1.c": c[1]}.items():
        torch.testing.assert_close(states[-1][:, system.slices[name]], expected.double(), atol=1e-6, rtol=1e-5)
    assert layer.backend == "auto"
    assert layer.weight_ih_l0.dtype == torch.float32


def test_the_state_of_a_model_is_that_of_all_its_layers() -> None:
    model = RegularisedModel(RegularisedConfig(9, embedding_size=4, sizes=(6, 4)))
    system = recurrence(model)
    assert {name: s.stop - s.start for name, s in system.slices.items()} == {
        "layer0.h": 6, "layer0.c": 6, "layer1.h": 4, "layer1.c": 4,
    }  # fmt: skip
    ids = torch.randint(9, (5, 3))
    with torch.no_grad():
        vectors, state = model.eval().hidden(ids)
    found = system.states(ids)[-1]
    torch.testing.assert_close(found[:, system.slices["layer1.c"]], state[1].c[0].double(), atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(found[:, system.slices["layer1.h"]], vectors[-1].double(), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("cell", CELLS)
def test_products_of_jacobians_are_multiplied_exactly(cell: str) -> None:
    system, x, states = prepared(cell, 9, 3, hidden_size=5)
    found, count = product_norms(system, x, states)
    expected = [torch.linalg.matrix_norm(p) / 5**0.5 for p in products(system, x, states)]
    assert count == 5
    np.testing.assert_allclose(found, torch.stack(expected).log().numpy(), rtol=0, atol=1e-10)


def test_a_product_too_small_for_a_number_is_a_logarithm() -> None:
    system = recurrence("elman", hidden_size=3)
    with torch.no_grad():
        for parameter in system.module.parameters():
            parameter.zero_()
        dict(system.module.named_parameters())["W_hh_l0"].copy_(torch.eye(3) / 1024)
    x = torch.zeros(301, 1, 3, dtype=torch.float64)
    found, _ = product_norms(system, x, system.states(x))
    np.testing.assert_allclose(found[:, 0], np.arange(1, 301) * -np.log(1024), rtol=1e-9)


def test_fewer_directions_agree_with_all_of_them_on_average() -> None:
    system, x, states = prepared("gru", 6, 2, hidden_size=12)
    exact, _ = product_norms(system, x, states)
    some = [product_norms(system, x, states, directions=3, seed=seed)[0] for seed in range(100)]
    np.testing.assert_allclose(np.mean(np.exp(2 * np.array(some)), 0), np.exp(2 * exact), rtol=0.15)


def test_the_exponents_of_a_linear_step_are_the_logarithms_of_its_eigenvalues() -> None:
    system = recurrence("relu_rnn", hidden_size=3)
    W = dict(system.module.named_parameters())["W_hh_l0"]
    with torch.no_grad():
        for parameter in system.module.parameters():
            parameter.zero_()
        W.copy_(torch.tensor([[0.9, 0.3, 0.1], [0.0, 0.5, 0.2], [0.0, 0.0, 0.2]]))
        dict(system.module.named_parameters())["b_h_l0"].fill_(1.0)  # all units stay on: the step is linear
    x = torch.zeros(200, 2, 3, dtype=torch.float64)
    found = lyapunov_exponents(system, x, system.states(x), count=3)
    np.testing.assert_allclose(found, np.log([0.9, 0.5, 0.2]), atol=1e-6)


def test_a_matrix_counts_as_recurrent_if_the_state_goes_through_it() -> None:
    layer = ifog.Recurrent("gru", 3, 4, 2)
    found = recurrent_matrices(recurrence(layer))
    assert list(found) == [f"layer{k}.{name}" for k in (0, 1) for name in ("W_hn", "W_hr", "W_hz")]
    W = layer.get_parameter("W_hr_l1").detach().double().numpy()
    assert found["layer1.W_hr"].radius == pytest.approx(np.abs(np.linalg.eigvals(W)).max())
    assert found["layer1.W_hr"].norm == pytest.approx(np.linalg.svd(W)[1][0])
    assert spectrum(torch.ones(2, 3)).radius is None


@pytest.mark.parametrize(
    ("subject", "error", "message"),
    [
        ("lsmt", CellError, "did you mean lstm"),
        (3, ConfigError, "3 has no states"),
        (torch.nn.Linear(2, 2), ConfigError, "no recurrent layers"),
        (ifog.LSTM(2, 3, bidirectional=True), ConfigError, "backwards"),
        (WindowModel(WindowConfig(9)), ConfigError, "no recurrent layers"),
    ],
)
def test_what_has_no_step_from_state_to_state_is_refused(subject, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        recurrence(subject)


def test_a_model_that_keeps_more_than_states_is_refused() -> None:
    from ifog.models import MaxentConfig, MaxentModel

    with pytest.raises(ConfigError, match="give its recurrent layer"):
        recurrence(MaxentModel(MaxentConfig(9)))


def test_weights_that_are_no_numbers_are_named() -> None:
    model = LanguageModel(9, hidden_size=4)
    with torch.no_grad():
        model.recurrent.W_hf_l0[1, 2] = float("nan")
    with pytest.raises(RunError, match="W_hf_l0"):
        recurrence(model)


def test_a_cell_without_a_state_is_refused_where_it_is_written() -> None:
    with pytest.raises(CellError, match="at least one state"):

        @ifog.cell
        def stateless(x):
            return tanh(x)


def test_a_cell_that_does_not_read_its_state_has_a_jacobian_of_zeros() -> None:
    @ifog.cell
    def forgetful(x, h):
        return tanh(x) * weight("w")

    system, x, states = prepared(forgetful, 4, 2, hidden_size=3)
    assert not step_jacobian(system, x[1], states[0]).any()
    assert np.isneginf(product_norms(system, x, states)[0]).all()


@pytest.mark.parametrize("shape", [(5, 2), (5, 2, 3), (1, 2, 4), (5, 0, 4)])
def test_inputs_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError):
        recurrence("elman", hidden_size=4).check(torch.zeros(shape))


def test_directions_and_counts_out_of_range_are_refused() -> None:
    system, x, states = prepared("elman", 3, 1, hidden_size=2)
    with pytest.raises(ConfigError, match="directions=0"):
        product_norms(system, x, states, directions=0)
    with pytest.raises(ConfigError, match="count=3"):
        lyapunov_exponents(system, x, states, count=3)
