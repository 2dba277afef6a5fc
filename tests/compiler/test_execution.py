"""The two executors: masks, token ids, sequences without steps, gates, second derivatives."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from compare import Result, assert_both_ways_agree, assert_same, by_adjoint, by_autograd, cotangents, numbers
from ifog.compiler.execution import Inputs, unroll
from ifog.compiler.language import (
    Symbol,
    affine,
    concat,
    current,
    exp,
    matrix,
    maximum,
    part,
    product,
    repeat,
    sigmoid,
    sign,
    tanh,
    weight,
)
from ifog.compiler.planning import plan
from ifog.compiler.tracing import cell
from sample_cells import elman, gru_cho, gru_cudnn, indrnn, lstm, mingru, mut1


@pytest.mark.parametrize("sample", [elman, lstm, gru_cudnn, gru_cho, indrnn, mut1], ids=lambda c: c.name)
def test_token_ids_equal_one_hot_vectors_in_values_and_gradients(sample):
    graph = sample.trace(5, 4)
    ids = numbers(graph, 6, 3, tokens=True, valid=True, reset=True)
    hot = Inputs(F.one_hot(ids.x, 5).double(), ids.states, ids.parameters, (), ids.valid, ids.reset)
    d = cotangents(graph, ids)
    wanted = by_autograd(graph, hot, *d)._replace(d_x=None)
    assert_same(by_autograd(graph, ids, *d), wanted)
    assert_same(by_adjoint(graph, ids, *d), wanted)


def test_token_ids_enter_transposed_matrices():
    @cell
    def step(x, h):
        return tanh(product(matrix("W", 5, 4).T, x) + product(matrix("V", 4, 5), x) + h)

    graph = step.trace(5, 4)
    ids = numbers(graph, 4, 3, tokens=True)
    hot = Inputs(F.one_hot(ids.x, 5).double(), ids.states, ids.parameters)
    d = cotangents(graph, ids)
    wanted = by_autograd(graph, hot, *d)._replace(d_x=None)
    assert_same(by_autograd(graph, ids, *d), wanted)
    assert_same(by_adjoint(graph, ids, *d), wanted)


def test_no_step_gives_back_the_states_and_zero_gradients():
    graph = lstm.trace(3, 4)
    inputs = numbers(graph, 0, 2)
    d_output, d_states = cotangents(graph, inputs)
    zero = {name: torch.zeros_like(p) for name, p in inputs.parameters.items()}
    wanted = Result(torch.zeros(0, 2, 4).double(), inputs.states, inputs.x, d_states, zero)
    assert_same(by_adjoint(graph, inputs, d_output, d_states), wanted)


def test_valid_and_reset_masks_act_as_their_definition_says():
    graph = elman.trace(3, 4)
    free = numbers(graph, 5, 1)
    valid = torch.tensor([1, 1, 0, 1, 0]).bool().reshape(5, 1, 1)
    reset = torch.tensor([0, 0, 0, 1, 0]).bool().reshape(5, 1, 1)
    masked = unroll(plan(graph), Inputs(free.x, free.states, free.parameters, (), valid, reset), history=True)
    first = unroll(plan(graph), Inputs(free.x[:2], free.states, free.parameters)).output
    fourth = unroll(plan(graph), Inputs(free.x[3:4], free.states, free.parameters)).output
    nothing = torch.zeros_like(fourth)
    torch.testing.assert_close(masked.output, torch.cat([first, nothing, fourth, nothing]))
    torch.testing.assert_close(masked.states[0], fourth[0])
    after = torch.stack([states[0] for states in masked.history])
    torch.testing.assert_close(after, torch.cat([first, first[1:], fourth, fourth]))


def test_gates_of_every_level_can_be_kept_at_every_step():
    @cell
    def step(x, h):
        once = sigmoid(weight("w"))
        early = sigmoid(affine("e", x))
        late = tanh(affine("l", h))
        return late * early * once + 0.5 * h

    graph = step.trace(3, 4)
    inputs = numbers(graph, 5, 2)
    p = plan(graph)
    names = dict(p.graph.names)
    kept = {
        i: torch.stack(tuple(v))
        for i, v in unroll(p, inputs, keep=[names[n] for n in ("once", "early", "late", "h")]).kept.items()
    }
    assert {tuple(v.shape) for v in kept.values()} == {(5, 2, 4)}
    once, early, late, h = (kept[names[n]] for n in ("once", "early", "late", "h"))
    before = torch.cat([inputs.states[0][None], h[:-1]])
    torch.testing.assert_close(h, late * early * once + 0.5 * before)
    assert not unroll(p, numbers(graph, 0, 2), keep=[names["late"]]).kept[names["late"]]


def test_gradients_flow_through_values_that_no_step_changes():
    @cell
    def step(x, h):
        decay = exp(-exp(weight("a")))
        mixed = part(concat(weight("p", 2), concat(repeat(exp(maximum(0.5, 0.25)), 2), h)), 1, 5)
        return decay * h + tanh(affine("in", x)) * mixed

    graph = step.trace(3, 4)
    assert_both_ways_agree(graph, numbers(graph, 4, 3))


def test_a_parameter_that_only_an_unread_gate_uses_has_a_zero_gradient():
    @cell
    def step(x, h):
        unread = sigmoid(affine("u", x, h))  # noqa: F841 - a gate for looking at
        return tanh(affine("h", x, h)) * sign(weight("s"))

    graph = step.trace(3, 4)
    found = assert_both_ways_agree(graph, numbers(graph, 3, 2)).d_parameters
    assert not any(found[name].any() for name in ("W_xu", "W_hu", "b_u", "s"))
    assert found["W_hh"].any()


@pytest.mark.parametrize("order", ["delay", "swap", "same", "old output", "constant"])
def test_states_may_take_over_other_values_in_any_order(order):
    @cell
    def step(x, h, c):
        n = tanh(affine("n", x, h) + c)
        return {
            "delay": (n, h),
            "swap": (c, n),
            "same": (n, n),
            "old output": (h, n, c * n),
            "constant": (weight("w"), n),
        }[order]

    graph = step.trace(3, 4)
    for valid in (False, True):
        assert_both_ways_agree(graph, numbers(graph, 4, 3, valid=valid, reset=valid))


def _mask(size: int) -> Symbol:
    return Symbol(current().builder.add("mask", (), size, ("random",)), size)


def test_one_mask_for_a_whole_sequence_reaches_products_and_rows():
    @cell
    def step(x, h):
        m = _mask(4)
        return tanh(product(matrix("W", 4, 4), m) + affine("k", v=concat(m, x)) + m * affine("h", h))

    graph = step.trace(3, 4)
    assert_both_ways_agree(graph, numbers(graph, 5, 2))


def test_masks_differ_by_step_when_they_are_given_for_every_step():
    @cell
    def step(x, h):
        return x * _mask(3) + h

    graph = step.trace(3, 3)
    inputs = numbers(graph, 4, 2)
    masks = (torch.rand(4, 2, 3).double(),)
    result = unroll(plan(graph), Inputs(inputs.x, inputs.states, inputs.parameters, masks))
    torch.testing.assert_close(result.output, (inputs.x * masks[0]).cumsum(0) + inputs.states[0])


def test_unused_input_has_a_zero_gradient():
    @cell
    def step(x, h):
        return tanh(affine("h", h))

    graph = step.trace(3, 4)
    found = assert_both_ways_agree(graph, numbers(graph, 3, 2))
    assert not found.d_x.any()


@pytest.mark.parametrize("sample", [lstm, gru_cho, mingru], ids=lambda c: c.name)
def test_unrolling_has_second_derivatives(sample):
    graph = sample.trace(2, 2)
    inputs = numbers(graph, 2, 2)

    def run(x, *states):
        result = unroll(plan(graph), Inputs(x, states, inputs.parameters))
        return (result.output, *result.states)

    assert torch.autograd.gradgradcheck(run, (inputs.x, *inputs.states))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_the_dtype_of_the_state_is_kept(dtype):
    graph = lstm.trace(3, 4)
    inputs = numbers(graph, 3, 2, valid=True, reset=True, dtype=dtype)
    found = by_adjoint(graph, inputs, *cotangents(graph, inputs))
    assert {found.output.dtype, found.d_x.dtype, *(v.dtype for v in found.d_parameters.values())} == {dtype}


def test_not_a_number_passes_through_to_where_it_came_from():
    graph = elman.trace(3, 4)
    inputs = numbers(graph, 4, 2)
    with torch.no_grad():
        inputs.x[2, 1] = torch.nan
    result = unroll(plan(graph), inputs).output
    assert result[2:, 1].isnan().all()
    assert not result[:2].isnan().any()
    assert not result[:, 0].isnan().any()
