"""The compiler against recurrences written by hand: values, last states and every gradient."""

from __future__ import annotations

import pytest
import torch

import naive
from compare import Result, assert_same, by_adjoint, by_autograd, cotangents, numbers, pull
from sample_cells import elman, gru_cho, gru_cudnn, lstm, mut1

CELLS = [elman, lstm, gru_cudnn, gru_cho, mut1]
SIZES = {  # steps, batch, input, hidden
    "ones": (1, 1, 1, 1),
    "odd": (3, 17, 5, 33),
    "wide input": (4, 2, 33, 17),
    "input as wide as the state": (3, 2, 17, 17),
    "empty batch": (3, 0, 5, 4),
    "one step": (1, 3, 5, 4),
    "no step": (0, 3, 5, 4),
}
each_cell = pytest.mark.parametrize("cell", CELLS, ids=lambda c: c.name)
each_size = pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)


@each_cell
@each_size
@pytest.mark.parametrize("masks", ["", "valid", "reset", "valid reset"])
def test_values_and_gradients_equal_the_loop_written_by_hand(cell, size, masks):
    steps, batch, columns, hidden = size
    graph = cell.trace(columns, hidden)
    inputs = numbers(graph, steps, batch, valid="valid" in masks, reset="reset" in masks)
    for of_states in (True, False):
        d = cotangents(graph, inputs, of_states=of_states)
        y, states = getattr(naive, cell.name)(inputs.x, inputs.states, inputs.parameters, inputs.valid, inputs.reset)
        wanted = Result(y, states, *pull(inputs, y, states, *d))
        assert_same(by_autograd(graph, inputs, *d), wanted)
        assert_same(by_adjoint(graph, inputs, *d), wanted)


@each_cell
def test_single_precision_stays_single_and_agrees_within_its_rounding(cell):
    graph = cell.trace(7, 9)
    inputs = numbers(graph, 5, 3, dtype=torch.float32)
    d = cotangents(graph, inputs)
    y, states = getattr(naive, cell.name)(inputs.x, inputs.states, inputs.parameters)
    wanted = Result(y, states, *pull(inputs, y, states, *d))
    for result in (by_autograd(graph, inputs, *d), by_adjoint(graph, inputs, *d)):
        assert result.output.dtype == torch.float32
        assert_same(result, wanted, rtol=1e-4, atol=1e-5)


def test_parameters_are_the_ones_the_equations_name():
    assert [p.name for p in mut1.trace(3, 4).parameters] == [
        "W_xz", "b_z", "W_xr", "W_hr", "b_r", "W_hn", "b_n", "W_xin",
    ]  # fmt: skip
    assert "W_xin" not in {p.name for p in mut1.trace(4, 4).parameters}
