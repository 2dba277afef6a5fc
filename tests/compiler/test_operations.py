"""Every row of the table of operations: value, derivative and kinks as PyTorch has them."""

from __future__ import annotations

import pytest
import torch

from compare import assert_both_ways_agree, numbers
from ifog.compiler.operations import LEAVES, OPERATIONS
from ifog.compiler.symbols import apply
from ifog.compiler.tracing import cell
from ifog.errors import ShapeError

ATTRIBUTES = {
    "row_sum": (2,), "row_max": (2,), "repeat": (2,), "tile": (2,), "tile_sum": (2,), "part": (1, 3), "pad": (1, 2),
}  # fmt: skip
# at the kink itself, where finite differences say nothing, the derivative is PyTorch's
KINKED = ["abs", "relu", "maximum", "minimum", "sign", "step", "share"]


def graph_of(name: str):
    row = OPERATIONS[name]

    @cell(sizes={"h": "input_size"})
    def step(x, h):
        args = (x, h, x - h)[: row.arity] if row.arity < 3 else (apply("step", apply("row_sum", x - h, 1)), x, h)
        result = apply(name, *args, *ATTRIBUTES.get(name, ()))
        return result, apply("tanh", h)

    return step.trace(4, 4)


@pytest.mark.parametrize("name", sorted(set(OPERATIONS) - {"total"}))  # total works on a whole sequence
def test_the_written_derivative_is_the_one_that_autograd_finds(name):
    graph = graph_of(name)
    inputs = numbers(graph, 2, 3)
    with torch.no_grad():
        for v in (inputs.x, *inputs.states):
            v.abs_().add_(0.1)  # logarithms and roots want positive numbers
    assert_both_ways_agree(graph, inputs)


@pytest.mark.parametrize("name", KINKED)
@pytest.mark.parametrize("at", [0.0, -0.0, 1.0, -1.0])
def test_at_a_kink_the_derivative_is_pytorchs(name, at):
    graph = graph_of(name)
    inputs = numbers(graph, 1, 1)
    with torch.no_grad():
        for v in (inputs.x, *inputs.states):
            v.fill_(at)
    assert_both_ways_agree(graph, inputs)


def test_every_row_says_all_that_a_stage_needs():
    for name, row in OPERATIONS.items():
        assert row.name == name
        assert name not in LEAVES
        places = [str(k) for k in range(row.arity + len(ATTRIBUTES.get(name, ())))]
        assert all(p in row.text.format(*places) for p in places[: row.arity]), name
        assert all(p in row.latex.format(*places) for p in places[: row.arity]), name


@pytest.mark.parametrize("name", sorted(n for n, row in OPERATIONS.items() if row.elementwise))
def test_elementwise_operations_accept_one_column_beside_many(name):
    row = OPERATIONS[name]
    if row.arity == 3:  # a condition
        assert row.size(1, 4, 4) == row.size(1, 1, 4) == row.size(1, 4, 1) == 4
        with pytest.raises(ShapeError, match="give one column"):
            row.size(4, 4, 4)
        return
    assert row.size(*[4] * row.arity) == 4
    if row.arity == 2:
        assert row.size(1, 4) == row.size(4, 1) == 4
