"""What the functions of a cell record, and what they refuse: each message says where, what, and the remedy."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
import torch

from compare import numbers
from ifog.compiler import language as L
from ifog.compiler.execution import unroll
from ifog.compiler.language import affine, matrix, named, part, product, project, sigmoid, softmax, tanh, weight
from ifog.compiler.planning import plan
from ifog.compiler.tracing import cell
from ifog.errors import CellError


def recorded(function, input_size: int = 3, hidden_size: int = 4, **options):
    return cell(function).trace(input_size, hidden_size, **options)


def computed(expression, size: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    """A random row, and what `expression` makes of it."""
    graph = recorded(lambda x, h: (expression(x), h), size)
    inputs = numbers(graph, 1, 1)
    return inputs.x[0, 0].detach(), unroll(plan(graph), inputs).output[0, 0].detach()


F = torch.nn.functional
FUNCTIONS = {
    "silu": (L.silu, F.silu),
    "gelu": (L.gelu, F.gelu),
    "hard_sigmoid": (lambda v: L.hard_sigmoid(4 * v), lambda a: F.hardsigmoid(4 * a)),
    "leaky_relu": (L.leaky_relu, F.leaky_relu),
    "elu": (L.elu, F.elu),
    "softplus": (lambda v: L.softplus(30 * v), lambda a: F.softplus(30 * a)),
    "softmax": (softmax, lambda a: a.softmax(-1)),
    "softmax of groups": (lambda v: softmax(v, 2), lambda a: a.reshape(2, 2).softmax(-1).flatten()),
    "softmax of large values": (lambda v: softmax(v * 1e4), lambda a: (a * 1e4).softmax(-1)),
    "row_sum": (L.row_sum, lambda a: a.sum(-1, keepdim=True)),
    "row_sum of groups": (lambda v: L.row_sum(v, 2), lambda a: a.reshape(2, 2).sum(-1)),
    "row_mean": (L.row_mean, lambda a: a.mean(-1, keepdim=True)),
    "repeat": (lambda v: L.repeat(v, 2), lambda a: a.repeat_interleave(2)),
    "tile": (lambda v: L.tile(v, 2), lambda a: a.repeat(2)),
    "part": (lambda v: part(v, 1, 3), lambda a: a[1:3]),
    "concat": (lambda v: L.concat(v, part(v, 0, 1)), lambda a: torch.cat([a, a[:1]])),
    "minimum": (lambda v: L.minimum(v, 0.1), lambda a: a.clamp(max=0.1)),
    "maximum": (lambda v: L.maximum(0.1, v), lambda a: a.clamp(min=0.1)),
    "numbers on the left": (lambda v: 1 - (2 / (3 + v)) * 0.5, lambda a: 1 - (2 / (3 + a)) * 0.5),
    "numbers of NumPy": (lambda v: np.float32(2) * v + np.int64(1), lambda a: 2 * a + 1),
}


@pytest.mark.parametrize(("ours", "theirs"), FUNCTIONS.values(), ids=FUNCTIONS)
def test_functions_compute_what_pytorch_computes(ours, theirs):
    row, result = computed(ours)
    torch.testing.assert_close(result, theirs(row))


def test_layer_norm_is_pytorchs_with_a_gain_and_a_shift_of_its_own():
    graph = recorded(lambda x, h: (L.layer_norm("a", x), h), 4)
    assert [(p.name, p.shape, p.initial) for p in graph.parameters] == [
        ("gain_a", (4,), 1.0), ("shift_a", (4,), 0.0),
    ]  # fmt: skip
    inputs = numbers(graph, 1, 2)
    wanted = F.layer_norm(inputs.x, (4,), inputs.parameters["gain_a"], inputs.parameters["shift_a"])
    torch.testing.assert_close(unroll(plan(graph), inputs).output, wanted)


# recording


def test_equal_expressions_are_one_value():
    graph = recorded(lambda x, h: tanh(sigmoid(affine("z", x, h)) * h + (1 - sigmoid(affine("z", x, h))) * h))
    assert sum(node.op == "sigmoid" for node in graph.nodes) == 1
    assert sum(node.op == "product" for node in graph.nodes) == 2


def test_what_nothing_reads_is_dropped_with_its_parameters():
    def step(x, h):
        tanh(affine("forgotten", x, h))
        return tanh(affine("h", x, h))

    assert [p.name for p in recorded(step).parameters] == ["W_xh", "W_hh", "b_h"]


def test_a_gate_that_nothing_reads_is_kept_for_looking_at():
    def step(x, h):
        look = tanh(affine("look", x, h))  # noqa: F841
        return tanh(affine("h", x, h))

    assert "look" in dict(recorded(step).names)


@pytest.mark.parametrize(
    "same", [lambda v: v + 0, lambda v: 0 + v, lambda v: v - 0.0, lambda v: v * 1, lambda v: 1.0 * v, lambda v: v / 1]
)
def test_neutral_numbers_leave_no_trace(same):
    graph = recorded(lambda x, h: tanh(same(h)))
    assert [node.op for node in graph.nodes] == ["state", "tanh"]


@pytest.mark.parametrize("other", [lambda v: 0 - v, lambda v: 1 / v, lambda v: v + 1, lambda v: v * 0])
def test_other_numbers_stay(other):
    graph = recorded(lambda x, h: tanh(other(h)))
    assert [node.op for node in graph.nodes if node.op not in ("add", "sub", "mul", "div")] == [
        "state", "constant", "tanh",
    ]  # fmt: skip
    assert len(graph.nodes) == 4


def test_affine_names_its_parameters_by_operand_and_gate():
    graph = recorded(
        lambda x, h: affine("i", x, h, bias=1.0, extra=h * h) + affine("", x, size=1) + affine("n", h, bias=None)
    )
    assert [(p.name, p.shape, p.initial) for p in graph.parameters] == [
        ("W_xi", (4, 3), "uniform"), ("W_hi", (4, 4), "uniform"), ("W_extrai", (4, 4), "uniform"), ("b_i", (4,), 1.0),
        ("W_x", (1, 3), "uniform"), ("b", (1,), 0.0), ("W_hn", (4, 4), "uniform"),
    ]  # fmt: skip


def test_initialisers_are_given_for_all_operands_or_by_label():
    graph = recorded(
        lambda x, h: affine("a", x, h, init="xavier") + affine("b", x, h, init={"h": "identity"}, bias=None)
    )
    starts = {p.name: p.initial for p in graph.parameters}
    assert starts == {"W_xa": "xavier", "W_ha": "xavier", "b_a": 0.0, "W_xb": "uniform", "W_hb": "identity"}


def test_project_needs_no_matrix_where_sizes_agree():
    assert not recorded(lambda x, h: project("p", x, 4) + h, 4).parameters
    assert [p.shape for p in recorded(lambda x, h: project("p", x, 4) + h, 3).parameters] == [(4, 3)]


def test_a_matrix_asked_for_twice_is_one_parameter():
    def step(x, h):
        return tanh(product(matrix("W", 4, 4, init="orthogonal"), h) + product(matrix("W", 4, 4).T, h))

    (W,) = recorded(step).parameters
    assert (W.shape, W.initial) == ((4, 4), "orthogonal")
    assert recorded(step).parameter_count == 16


def test_named_gives_a_value_a_name_and_gives_it_back():
    graph = recorded(lambda x, h: tanh(named("u", affine("u", x)) + h))
    assert [name for name, _ in graph.names] == ["u", "h"]


# refusals: (cell, what the message says after file and line)

REFUSED = {
    "sizes that don't meet": (
        lambda x, h: h + affine("w", x, size=2),
        r"h has 4 columns, W_xw x \+ b_w has 2; add takes two of one size, or one of size 1: give .*size=4, or project",
    ),
    "an operand of the wrong size": (
        lambda x, h: product(matrix("W", 4, 4), x),
        r"W takes 4 columns, x has 3; declare the matrix with columns=3",
    ),
    "a transposed matrix of the wrong size": (
        lambda x, h: product(matrix("W", 4, 3).T, x),
        r"W\.T takes 4 columns, x has 3; declare the matrix with rows=3",
    ),
    "a product without a matrix": (
        lambda x, h: product(x, h) + h,
        r"product takes a matrix and a symbol, got Symbol first; make the matrix with matrix\(name, rows, columns\)",
    ),
    "one name, two shapes": (
        lambda x, h: tanh(weight("w")) * weight("w", 1),
        r"w has shape \(4,\) already and is asked for as \(1,\); give one of the two another name",
    ),
    "an expression without a label": (
        lambda x, h: affine("n", x, sigmoid(h) * h),
        r"""affine\('n'\) can't name the matrix of an expression; label it by keyword: affine\("n", h=σ\(h\) \* h\)""",
    ),
    "one label twice": (
        lambda x, h: affine("n", h, h=h * h),
        r"affine\('n'\) has two operands called h; give one another name by keyword",
    ),
    "one operand twice": (
        lambda x, h: affine("n", h, h),
        r"affine\('n'\) has two operands called h; give one another name by keyword",
    ),
    "no operand": (lambda x, h: affine("n"), r"affine\('n'\) has no operand; .* weight\('n'\)"),
    "an initialiser for nobody": (
        lambda x, h: affine("n", x, h, init={"hh": 0.0}),
        r"affine\('n'\) has no operand called hh to initialise; it has x, h",
    ),
    "an unknown initialiser": (
        lambda x, h: affine("n", x, h, init="orthogonl"),
        r"no initialiser is called 'orthogonl'; use a number or one of 'uniform', 'orthogonal', ",
    ),
    "an initialiser that is no name": (
        lambda x, h: weight("w", init=None),
        r"no initialiser is called None; use a number",
    ),
    "a matrix's initialiser for a vector": (
        lambda x, h: weight("w", init="identity") + h,
        r"'identity' fills matrices, not a vector of size 4; use a number or 'uniform'",
    ),
    "a name that is none": (
        lambda x, h: affine("a.b", x, h),
        r"'W_xa\.b' can't name a parameter; use letters, digits and underscores",
    ),
    "a size of nothing": (
        lambda x, h: affine("a", x, size=0),
        r"W_xa would have the shape \(0, 3\); sizes are whole numbers from 1 on",
    ),
    "half a size": (lambda x, h: weight("a", size=4 / 2), r"a would have the shape \(2\.0,\); sizes are whole numbers"),
    "a tensor": (
        lambda x, h: torch.ones(4) * h,
        r"mul of PyTorch was given a symbol, which has no numbers .*; use the functions of ifog\.cells",
    ),
    "a function of PyTorch": (lambda x, h: torch.tanh(h), r"tanh of PyTorch was given a symbol"),
    "a tensor on the right": (lambda x, h: h + torch.ones(4), r"expected a symbol or a number, got Tensor"),
    "an array": (
        lambda x, h: tanh(np.ones(4)),
        r"expected a symbol or a number, got ndarray; cells compute with the functions of ifog\.cells",
    ),
    "text": (lambda x, h: h * "2", r"expected a symbol or a number, got str"),
    "a name for no value": (lambda x, h: named("k", "h"), r"expected a symbol or a number, got str"),
    "a branch on a value": (
        lambda x, h: h if h else x,
        r"a symbol has no truth value while a cell is traced; branch on the cell's options, or use maximum",
    ),
    "a comparison of values": (lambda x, h: h if h > 0 else -h, r"a symbol has no truth value"),
    "groups that don't divide": (
        lambda x, h: softmax(h, 3) * h,
        r"row_max of h: 4 columns can't be cut into 3 equal parts; give a count that divides 4",
    ),
    "no groups": (lambda x, h: L.row_sum(h, 0), r"row_sum of h: 0 is no count; give a whole number from 1 on"),
    "half a copy": (lambda x, h: L.repeat(h, 1.5), r"repeat of h: 1\.5 is no count"),
    "columns that aren't there": (
        lambda x, h: part(h, 2, 9),
        r"part of h: it has 4 columns and 2:9 are asked for; give 0 <= start < stop <= 4",
    ),
    "a function of NumPy": (lambda x, h: np.tanh(h), r"a value of a step has no numbers .*functions of ifog\.cells"),
    "an array on the left": (lambda x, h: np.ones(4) * h, r"a value of a step has no numbers"),
    "a function of math": (lambda x, h: math.tanh(h), r"a value of a step has no numbers"),
    "Python's abs": (lambda x, h: abs(h), r"a value of a step has no numbers"),
    "Python's len": (lambda x, h: len(h) * h, r"a value of a step has no numbers"),
    "a power of two": (lambda x, h: 2**h, r"a value of a step has no numbers"),
    "a remainder": (lambda x, h: h % 2, r"a value of a step has no numbers"),
    "parts by unpacking": (lambda x, h: next(iter(h)), r"a value of a step has no numbers"),
    "a method of tensors": (lambda x, h: h.tanh(), r"a value of a step has no \.tanh; it has \.size, and functions"),
    "a matrix at work": (lambda x, h: matrix("W", 4, 4) @ h, r"W is a matrix, which product\(W, v\) multiplies"),
    "a sum of matrices": (lambda x, h: matrix("W", 4, 4) + matrix("V", 4, 4), r"W is a matrix, which product"),
    "one bias, two beginnings": (
        lambda x, h: affine("a", x, bias=1.0) + affine("a", h, bias=2.0),
        r"b_a starts as 1\.0 already and is asked for as 2\.0; say the same both times, or give one of the two another",
    ),
    "one matrix, orthogonal and not": (
        lambda x, h: product(matrix("W", 4, 4), h) + product(matrix("W", 4, 4, "identity", orthogonal=True), h),
        r"W starts as 'uniform' already and is asked for as 'identity' and orthogonal",
    ),
    "columns the wrong way round": (lambda x, h: part(h, 2, 2), r"part of h: it has 4 columns and 2:2 are asked for"),
}


@pytest.mark.parametrize(("step", "message"), REFUSED.values(), ids=REFUSED)
def test_mistakes_are_refused_with_place_and_remedy(step, message):
    line = step.__code__.co_firstlineno
    with pytest.raises(CellError) as caught:
        recorded(step)
    assert re.match(rf"test_language\.py:{line}: {message}", str(caught.value)), str(caught.value)
    assert "\n" not in str(caught.value)


def test_bias_may_be_said_as_torch_nn_says_it():
    def names(bias):
        return {p.name: p.initial for p in recorded(lambda x, h: tanh(affine("a", x, h, bias=bias))).parameters}

    assert names(False) == names(None) == {"W_xa": "uniform", "W_ha": "uniform"}
    assert names(True) == names(0.0)
    assert names(True)["b_a"] == 0.0


def test_numbers_of_numpy_are_numbers():
    for number in (np.float32(2), np.float64(2), np.int64(2)):
        assert recorded(lambda x, h, n=number: n * h + n).nodes == recorded(lambda x, h: 2 * h + 2).nodes


def test_the_place_of_a_mistake_is_the_line_that_made_it_and_values_have_their_local_names():
    def step(x, h):
        reset = sigmoid(affine("r", x, h, size=2))
        return tanh(
            affine("n", x=x, h=reset * h)
        )  # fmt: skip

    with pytest.raises(CellError, match=r"^test_language\.py:\d+: reset has 2 columns, h has 4; mul takes") as caught:
        recorded(step)
    assert f":{step.__code__.co_firstlineno + 3}:" in str(caught.value)


def test_functions_outside_a_cell_say_where_they_belong():
    with pytest.raises(CellError, match="call them inside a function decorated with @cell"):
        affine("i")
    with pytest.raises(CellError, match="decorated with @cell"):
        weight("w", 3)
    with pytest.raises(CellError, match="decorated with @cell"):
        tanh(1.0)
