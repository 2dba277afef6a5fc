"""Every stage prints itself, and the spelled equations mean what the graph computes."""

from __future__ import annotations

import math
import re

import pytest
import torch
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from ifog.compiler.execution import Inputs, unroll
from ifog.compiler.gradients import differentiate
from ifog.compiler.language import (
    affine,
    apply,
    concat,
    layer_norm,
    log,
    matrix,
    named,
    part,
    product,
    repeat,
    row_sum,
    sigmoid,
    softmax,
    sqrt,
    square,
    tanh,
    weight,
)
from ifog.compiler.planning import plan
from ifog.compiler.printing import Speller, equations, latex
from ifog.compiler.tracing import cell
from sample_cells import gru_cho, indrnn, lstm, mgu, mingru


@pytest.mark.parametrize("cell", [mgu, lstm, gru_cho, indrnn, mingru], ids=lambda c: c.name)
def test_every_stage_prints_as_agreed(cell, golden):
    graph = cell.trace(3, 4)
    planned = plan(graph)
    text = "\n".join(f"{name} = {value}" for name, value in equations(graph))
    golden(
        f"{cell.name}.txt",
        "\n\n".join([str(graph), str(planned), str(differentiate(planned)), text, latex(graph)]) + "\n",
    )


def spelled(function, *, sizes=None, latex=False) -> dict[str, str]:
    return dict(equations(cell(sizes=sizes)(function).trace(4, 4), latex=latex))


def test_brackets_stand_where_they_change_the_meaning():
    def step(x, h):
        a = x - (h + 1)
        b = x - (h - 1)
        c = x / (h * 2)
        d = (x + h) * -h
        e = square(square(x)) + square(-x) + square(x + h)
        f = -(x + h) * square(tanh(x))
        g = x + (h - 1)
        return tanh(a + b + c + d + e + f + g)

    found = spelled(step)
    assert found["a"] == "x - (h' + 1)"
    assert found["b"] == "x - (h' - 1)"
    assert found["c"] == "x / (h' * 2)"
    assert found["d"] == "(x + h') * -h'"
    assert found["e"] == "(x²)² + (-x)² + (x + h')²"
    assert found["f"] == "-(x + h') * tanh(x)²"
    assert found["g"] == "x + h' - 1"


def test_operands_of_products_are_bracketed_unless_they_are_names():
    def step(x, h):
        W = matrix("W", 4, 4)
        a = product(W, x)
        b = product(W.T, x * h)
        c = product(W, tanh(x)) * product(W, a)
        return tanh(a + b + c)

    assert spelled(step)["a"] == "W x"
    assert spelled(step)["b"] == "Wᵀ (x * h')"
    assert spelled(step)["c"] == "W (tanh(x)) * W a"
    assert spelled(step, latex=True)["b_t"] == r"W^\top \left(x_t \odot h_{t-1}\right)"


def test_operations_on_rows_show_what_they_were_told():
    def step(x, h):
        a = part(concat(x, h), 2, 6)
        b = repeat(row_sum(x, 2), 2)
        c = row_sum(h)
        d = part(x + h, 0, 1)
        e = softmax(h)
        return tanh(a + b + c + d + e)

    found = spelled(step)
    assert found["a"] == "concat(x, h')[2:6]"
    assert found["b"] == "repeat(row_sum(x, 2), 2)"
    assert found["c"] == "row_sum(h')"
    assert found["d"] == "(x + h')[0:1]"
    assert found["e"] == "exp(h' - row_max(h')) / row_sum(exp(h' - row_max(h')))"
    assert spelled(step, latex=True)["d_t"] == r"\left(x_t + h_{t-1}\right)_{[0:1]}"


def test_numbers_are_spelled_exactly_enough_and_keep_their_sign():
    def step(x, h):
        a = layer_norm("a", h) * 1e-5 + square(-2.0 + 0.0 * h)
        b = (x * -1.0) / 1e6 + 0.5
        return tanh(a + b)

    assert spelled(step)["b"] == "x * -1 / 1e+06 + 0.5"
    assert spelled(step, latex=True)["b_t"] == r"x_t \odot -1 / \left(10^{6}\right) + 0.5"
    assert r"10^{-5}" in spelled(step, latex=True)["a_t"]
    assert "e-05" not in spelled(step, latex=True)["a_t"]


def test_latex_sets_greek_as_greek_words_upright_and_indices_below():
    @cell
    def step(x, h, delta):
        alpha = sigmoid(affine("alpha", x, h))
        new_gate = sqrt(softplus_like(h) + 1.0)
        return alpha * new_gate * weight("gain_h") + delta, tanh(delta)

    def softplus_like(v):
        return square(v)

    text = latex(step.trace(3, 4))
    assert r"\alpha_t &= \sigma(W_{xalpha} x_t + W_{halpha} h_{t-1} + b_{alpha})" in text
    assert r"\mathrm{new\_gate}_t &= \sqrt{h_{t-1}^2 + 1}" in text
    assert r"\mathrm{gain}_{h}" in text
    assert r"\delta_t &= \tanh(\delta_{t-1})" in text


def test_latex_braces_and_brackets_are_balanced():
    for sample in (mgu, lstm, gru_cho, indrnn, mingru):
        text = latex(sample.trace(3, 4))
        assert text.count("{") == text.count("}")
        assert text.count(r"\left(") == text.count(r"\right)")


def test_an_output_that_is_no_state_has_an_equation_of_its_own():
    def step(x, h):
        return tanh(affine("o", h)), tanh(affine("h", x, h))

    assert list(spelled(step)) == ["h", "output"]
    assert spelled(step)["output"] == "tanh(W_ho h' + b_o)"


def test_a_state_that_takes_over_another_ones_old_value_has_its_equation():
    def step(x, h, before):
        return tanh(affine("h", x, h) + before), h

    assert spelled(step) == {"before": "h'", "h": "tanh(W_xh x + W_hh h' + b_h + before')"}


def test_one_value_of_two_names_is_spelled_once():
    def step(x, h, c):
        c = tanh(affine("c", x, c))
        return c, c

    assert spelled(step) == {"c": "tanh(W_xc x + W_cc c' + b_c)", "h": "c"}


def test_explicit_names_are_spelled_like_local_ones():
    def step(x, h):
        return tanh(named("u", affine("u", x)) + h)

    assert spelled(step) == {"u": "W_xu x + b_u", "h": "tanh(u + h')"}


# what is spelled is what is computed

_NAMES = ["a", "b", "c"]
_LEAVES = st.one_of(st.sampled_from(_NAMES), st.sampled_from([0.5, 2.0, -1.5, 3.0]))
_TREES = st.recursive(
    _LEAVES,
    lambda tree: st.one_of(
        st.tuples(st.sampled_from(["add", "sub", "mul", "div", "maximum", "minimum"]), tree, tree),
        st.tuples(st.sampled_from(["neg", "square", "sigmoid", "tanh", "relu"]), tree),
        st.tuples(st.just("sqrt"), st.tuples(st.just("square"), tree)),
    ),
    max_leaves=12,
).filter(lambda tree: isinstance(tree, tuple))


@given(_TREES)
@settings(max_examples=300)
def test_the_spelled_expression_computes_what_the_graph_computes(tree):
    @cell
    def step(a, b, c):
        return _recorded(tree, {"a": a, "b": b, "c": c}), tanh(b)

    values = {"a": 0.7, "b": -1.3, "c": 2.1}
    graph = step.trace(1, 1)
    leaves = {i: str(n.attributes[0]) for i, n in enumerate(graph.nodes) if n.op in ("input", "state")}
    text = Speller(graph.nodes, leaves)(graph.states[0].next)
    x, b, c = (torch.full((1, 1), values[name], dtype=torch.float64) for name in _NAMES)
    computed = unroll(plan(graph), Inputs(x[None], (b, c), {})).output.item()
    try:
        assert _evaluated(text, values) == pytest.approx(computed, rel=1e-9, abs=1e-9), text
    except (ZeroDivisionError, OverflowError):
        reject()


def _recorded(tree, leaves):
    if isinstance(tree, str):
        return leaves[tree]
    if isinstance(tree, float):
        return tree
    name, *arguments = tree
    return apply(name, *(_recorded(t, leaves) for t in arguments))


def _evaluated(text: str, values: dict[str, float]) -> float:
    """The text as Python reads it: only the marks that Python lacks are put into its words."""
    functions = {
        "σ": lambda v: 1 / (1 + math.exp(-v)),
        "tanh": math.tanh,
        "relu": lambda v: max(v, 0.0),
        "sqrt": math.sqrt,
        "max": max,
        "min": min,
    }
    return eval(text.replace("²", "**2").replace("√", "sqrt"), {"__builtins__": {}}, functions | values)


def test_a_graph_prints_one_line_for_each_value_with_its_names():
    graph = lstm.trace(3, 4)
    lines = [line for line in str(graph).splitlines() if re.match(r"  (constant|input|step) +%", line)]
    assert len(lines) == len(graph.nodes)
    assert [line.split("# ")[1] for line in lines if "#" in line] == ["i", "f", "o", "g", "c", "h"]


def test_logarithms_and_other_functions_need_no_brackets_of_ours():
    def step(x, h):
        return tanh(log(square(x) + 1.0) + h)

    assert spelled(step) == {"h": "tanh(log(x² + 1) + h')"}
