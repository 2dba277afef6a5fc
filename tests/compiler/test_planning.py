"""What is computed when: in which program, in which stage, as how many matrix products."""

from __future__ import annotations

import pytest
import torch

from compare import assert_both_ways_agree, numbers
from ifog.compiler.execution import unroll
from ifog.compiler.gradients import differentiate
from ifog.compiler.graph import Level
from ifog.compiler.language import affine, concat, exp, matrix, part, product, sigmoid, tanh, weight
from ifog.compiler.planning import plan
from ifog.compiler.tracing import cell
from sample_cells import elman, gru_cho, gru_cudnn, indrnn, lstm, mgu, mingru

ALL = [elman, lstm, gru_cudnn, gru_cho, mgu, indrnn, mingru]
each_cell = pytest.mark.parametrize("cell", ALL, ids=lambda c: c.name)


def planned(cell):
    return plan(cell.trace(3, 4))


def operations(plan, stages) -> list[str]:
    return [plan.graph.nodes[i].op for stage in stages for i in stage.program]


@each_cell
def test_all_products_of_the_input_are_one_product_over_all_time(cell):
    p = planned(cell)
    of_input = [i for i, n in enumerate(p.graph.nodes) if n.op == "product" and p.graph.levels[i] == Level.INPUT]
    groups = [group for stage in p.input for group in stage.products]
    assert groups == [tuple(of_input)]


@pytest.mark.parametrize(
    ("cell", "stages", "products"),
    [(elman, 1, [1]), (lstm, 1, [4]), (gru_cudnn, 1, [3]), (gru_cho, 2, [2, 1]), (mgu, 2, [1, 1])],
    ids=lambda v: getattr(v, "name", None),
)
def test_products_of_a_step_share_a_stage_unless_one_waits_for_another(cell, stages, products):
    p = planned(cell)
    assert len(p.step) == stages
    assert [len(group) for stage in p.step for group in stage.products] == products
    assert p.kind == "matrix"


@pytest.mark.parametrize(
    ("cell", "kind"), [(indrnn, "elementwise"), (mingru, "linear")], ids=lambda v: getattr(v, "name", None)
)
def test_recurrences_without_a_product_are_recognised(cell, kind):
    p = planned(cell)
    assert p.kind == kind
    assert not any(stage.products for stage in p.step)


@pytest.mark.parametrize(
    ("next_state", "kind"),
    [
        (lambda z, h: h * h * z, "elementwise"),
        (lambda z, h: z / h, "elementwise"),
        (lambda z, h: h / z, "linear"),
        (lambda z, h: exp(z) * (h - z) + part(concat(h, z), 2, 6), "linear"),
        (lambda z, h: sigmoid(h), "elementwise"),
        (lambda z, h: z, "linear"),
        (lambda z, h: product(matrix("R", 4, 4), h) * z, "matrix"),
    ],
)
def test_linear_means_linear_in_the_states(next_state, kind):
    @cell
    def step(x, h):
        return next_state(sigmoid(affine("z", x)), h)

    assert planned(step).kind == kind


@each_cell
def test_biases_are_added_outside_the_loop(cell):
    p = planned(cell)
    in_loop = {i for stage in p.step for i in (*stage.program, *(j for group in stage.products for j in group))}
    biases = {i for i, n in enumerate(p.graph.nodes) if n.op == "parameter" and str(n.attributes[0]).startswith("b")}
    biases = {i for i in biases if p.graph.nodes[i].attributes[0] != "b_m"}  # gru_cudnn's is behind the reset
    assert not biases & {a for i in in_loop for a in p.graph.nodes[i].args}


def test_a_sum_is_regrouped_whatever_its_order_and_brackets():
    @cell
    def step(x, h):
        a, b = affine("a", x, bias=None), weight("b")
        U = product(matrix("U", 4, 4), h)
        return tanh((U + b) + (a + (h + weight("c"))))

    p = planned(step)
    assert operations(p, p.constant) == ["add"]
    assert operations(p, p.input) == ["add"]
    assert operations(p, p.step) == ["add", "add", "tanh"]
    assert_both_ways_agree(step.trace(3, 4), numbers(step.trace(3, 4), 3, 2))


def test_a_sum_that_is_a_gate_or_is_used_twice_keeps_its_own_value():
    @cell
    def step(x, h):
        inner = affine("a", x, h)
        return tanh(inner + weight("b") * inner + 1.0)

    graph = step.trace(3, 4)
    inputs = numbers(graph, 2, 3)
    p = plan(graph)
    names = dict(p.graph.names)
    result = unroll(p, inputs, keep=[names["inner"]])
    x, h, q = inputs.x[0], inputs.states[0], inputs.parameters
    torch.testing.assert_close(result.kept[names["inner"]][0], x @ q["W_xa"].T + h @ q["W_ha"].T + q["b_a"])
    assert_both_ways_agree(graph, inputs)


def test_regrouping_computes_no_part_of_a_sum_twice():
    @cell
    def with_gate(x, h):
        inner = affine("a", x, h)
        return tanh(inner + weight("b"))

    @cell
    def with_shared_part(x, h):
        return tanh(affine("a", x, h) + weight("b")) * (affine("a", x, h) + weight("c"))

    for sample, in_loop in ((with_gate, 2), (with_shared_part, 3)):
        p = planned(sample)
        assert operations(p, p.constant) == []
        assert operations(p, p.input) == ["add"]
        assert operations(p, p.step).count("add") == in_loop


def test_values_of_parameters_alone_are_computed_once():
    @cell
    def step(x, h):
        keep = sigmoid(weight("k"))
        return tanh(affine("h", x=x, h=h)) * (1 - keep) + keep * h

    p = planned(step)
    assert operations(p, p.constant) == ["sigmoid", "sub"]
    assert "sigmoid" not in operations(p, p.step)


def test_a_cell_that_ignores_its_state_has_nothing_in_the_loop():
    @cell
    def step(x, h):
        return tanh(affine("h", x))

    p = planned(step)
    assert p.step == ()
    assert_both_ways_agree(p.graph, numbers(p.graph, 3, 2))


def test_shared_matrices_stay_products_of_their_own_operands():
    @cell
    def step(x, h):
        W = matrix("W", 4, 4)
        return tanh(product(W, h) + product(W.T, h) + product(W, tanh(h)) + affine("x", x))

    p = planned(step)
    assert [len(group) for stage in p.step for group in stage.products] == [2, 1]
    assert [q.name for q in p.graph.parameters] == ["W", "W_xx", "b_x"]


def test_flops_count_two_for_each_weight_and_one_for_each_other_result():
    # W x, W h, two additions (the bias joins the input's product) and tanh
    assert planned(elman).flops == 2 * 4 * 3 + 2 * 4 * 4 + 3 * 4


def test_planning_is_repeatable_and_cached():
    assert plan(lstm.trace(3, 4)) is plan(lstm.trace(3, 4))
    assert plan(lstm.trace(3, 4)) != plan(lstm.trace(3, 5))


# backward


def named_nodes(p, ids) -> set[str]:
    names = {i: name for name, i in p.graph.names}
    return {names.get(i, p.graph.nodes[i].op) for i in ids}


def test_indrnn_saves_and_recomputes_nothing():
    gradients = differentiate(planned(indrnn))
    assert gradients.saved == ()
    assert gradients.recomputed == ()


def test_lstm_saves_its_gates_and_recomputes_what_follows_from_the_cell_state():
    p = planned(lstm)
    gradients = differentiate(p)
    assert named_nodes(p, gradients.saved) == {"i", "f", "o", "g"}
    assert named_nodes(p, gradients.recomputed) == {"tanh"}


def test_gru_saves_its_gates_and_recomputes_the_reset_state():
    p = planned(gru_cho)
    gradients = differentiate(p)
    assert named_nodes(p, gradients.saved) == {"r", "z", "n"}
    assert named_nodes(p, gradients.recomputed) == {"mul", "sub"}


@pytest.mark.parametrize(
    ("cell", "operands"),
    [(elman, 1), (lstm, 1), (gru_cudnn, 1), (gru_cho, 2), (indrnn, 0)],
    ids=lambda v: getattr(v, "name", None),
)
def test_weight_gradients_are_one_product_for_each_operand_after_the_loop(cell, operands):
    gradients = differentiate(planned(cell))
    assert len({w.operand for w in gradients.step.weights}) == len(gradients.step.weights) == operands
    assert len(gradients.input.weights) == 1
    found = {name for part in (gradients.step, gradients.input) for w in part.weights for name, _, _ in w.terms}
    assert found == {q.name for q in cell.trace(3, 4).parameters if len(q.shape) == 2}


@each_cell
def test_the_backward_loop_has_no_product_with_an_input_matrix(cell):
    gradients = differentiate(planned(cell))
    in_loop = {
        name
        for stage in gradients.step.stages
        for group in stage.products
        for i in group
        for name, _ in gradients.nodes[i].attributes
    }
    assert not {name for name in in_loop if name.startswith("W_x")}
    assert all(
        flag
        for stage in gradients.step.stages
        for g in stage.products
        for i in g
        for _, flag in gradients.nodes[i].attributes
    )


def test_an_unwanted_gradient_of_the_input_costs_no_product():
    p = planned(lstm)
    assert not [stage.products for stage in differentiate(p, False).input.stages if stage.products]
    assert [stage.products for stage in differentiate(p, True).input.stages if stage.products]


def test_plans_and_gradients_know_leaves_by_name():
    p = planned(elman)
    assert "reads %0 x, %1 h, %4 b_h" in str(p)
    assert "next h" in str(differentiate(p))
