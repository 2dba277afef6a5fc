"""Transforms of cells: what they compute, what they leave as it is, and how they compose."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from cells.running import assert_same, follow, sequence
from ifog.cells import (
    CATALOGUE,
    Cell,
    affine,
    cell,
    get,
    layer_normalized,
    residual,
    tanh,
    variational,
    weight,
    weight_dropped,
    zoneout,
)
from ifog.compiler.graph import Graph
from ifog.compiler.planning import plan
from ifog.compiler.printing import equations
from ifog.errors import CellError, ConfigError

TRANSFORMS: list[Callable[[Cell], Cell]] = [layer_normalized, zoneout, variational, residual]


def masks(graph: Graph) -> list[tuple[object, ...]]:
    return [graph.nodes[i].attributes for i in graph.masks]


@pytest.mark.parametrize("name", CATALOGUE)
def test_every_transform_takes_every_cell_and_keeps_states_and_names(name: str) -> None:
    before = get(name).trace(3, 4)
    for transform in TRANSFORMS:
        changed = transform(get(name))
        after = changed.trace(3, 4)
        assert changed.name == f"{transform.__name__}({name})"
        assert changed.__doc__ == get(name).__doc__
        assert {n for n, _ in after.names} >= {n for n, _ in before.names}
        assert after.state_sizes == before.state_sizes
        assert after.output_size == before.output_size
        assert {p.name for p in after.parameters} >= {p.name for p in before.parameters}
        assert len(equations(after)) >= len(after.names)


def test_layer_normalisation_is_of_each_product_before_they_are_added() -> None:
    run = sequence(layer_normalized(get("elman")), steps=3)

    def norm(v: Tensor) -> Tensor:
        return torch.nn.functional.layer_norm(v, v.shape[-1:])

    def step(x: Tensor, h: Tensor, **p: Tensor) -> tuple[Tensor, ...]:
        u, v = p["gain_W_xh"] * norm(x @ p["W_xh"].T), p["gain_W_hh"] * norm(h @ p["W_hh"].T)
        return (torch.tanh(u + v + p["b_h"]),) * 2

    assert_same(run.results(), follow(step, run))


def test_layer_normalisation_starts_with_gains_of_one_and_leaves_single_columns() -> None:
    graph = layer_normalized(get("matrix_lstm")).trace(3, 4)
    gains = {p.name: p.initial for p in graph.parameters if p.name.startswith("gain_")}
    assert gains == {f"gain_W_x{k}": 1.0 for k in "qkvo"}


def test_a_matrix_and_its_transpose_have_gains_of_their_own() -> None:
    graph = layer_normalized(get("antisymmetric_rnn")).trace(3, 4)
    assert {p.name for p in graph.parameters} == {"W", "gain_W", "gain_WT", "W_xh", "gain_W_xh", "b_h"}


def test_zoneout_mixes_each_states_old_and_new_value() -> None:
    run = sequence(zoneout(get("lstm"), 0.3), steps=3)
    assert masks(run.plan.graph) == [("zoneout_h", 0.3, "step", "zoneout"), ("zoneout_c", 0.3, "step", "zoneout")]
    drawn = iter(zip(*(m.unbind(0) for m in run.masks), strict=True))

    def step(x: Tensor, h: Tensor, c: Tensor, **p: Tensor) -> tuple[Tensor, ...]:
        z_h, z_c = next(drawn)
        i, f, o, g = (x @ p[f"W_x{k}"].T + h @ p[f"W_h{k}"].T + p[f"b_{k}"] for k in "ifog")
        new_c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        new_h = torch.sigmoid(o) * torch.tanh(new_c)  # of the cell before zoneout, as in the paper
        h = z_h * h + (1 - z_h) * new_h
        return h, h, z_c * c + (1 - z_c) * new_c

    assert_same(run.results(), follow(step, run))


def test_the_names_of_states_are_those_of_the_states_that_zoneout_leaves() -> None:
    for name in ("lstm", "qrnn"):
        graph = zoneout(get(name)).trace(3, 4)
        assert {s.name: s.next for s in graph.states}.items() <= dict(graph.names).items()


def test_zoneout_of_a_share_of_nothing_is_the_cell_itself() -> None:
    assert zoneout(get("lstm"), 0.0).trace(3, 4).nodes == get("lstm").trace(3, 4).nodes


def test_zoneout_rates_can_differ_by_state() -> None:
    graph = zoneout(get("lstm"), {"c": 0.5}).trace(3, 4)
    assert masks(graph) == [("zoneout_c", 0.5, "step", "zoneout")]


def test_zoneout_leaves_an_output_that_is_no_state() -> None:
    run, plain = sequence(zoneout(get("mclstm")), steps=1), sequence(get("mclstm"), steps=1)
    plain.x, plain.states, plain.parameters = run.x, run.states, run.parameters
    assert_same(run.results()[:1], plain.results()[:1])


def test_variational_dropout_masks_what_enters_products_and_nothing_else() -> None:
    run = sequence(variational(get("gru_cho"), 0.4), steps=3)
    assert masks(run.plan.graph) == [(f"dropout_{v}", 0.4, "sequence", "dropout") for v in "xh"]
    of_x, of_h = (m[0] for m in run.masks)

    def step(x: Tensor, h: Tensor, **p: Tensor) -> tuple[Tensor, ...]:
        u, v = x * of_x, h * of_h
        r, z = (torch.sigmoid(u @ p[f"W_x{g}"].T + v @ p[f"W_h{g}"].T + p[f"b_{g}"]) for g in "rz")
        n = torch.tanh(u @ p["W_xn"].T + (r * v) @ p["W_hn"].T + p["b_n"])
        return (z * h + (1 - z) * n,) * 2

    assert_same(run.results(), follow(step, run))


def test_variational_dropout_leaves_peepholes_whole_and_can_spare_the_input() -> None:
    graph = variational(get("lstm_peephole"), 0.4, input_rate=0.0).trace(3, 4)
    assert masks(graph) == [("dropout_h", 0.4, "sequence", "dropout")]
    assert dict(equations(graph))["i"] == "σ(W_xi x + W_hi (h' * dropout_h) + b_i + p_i * c')"


def test_weight_dropout_changes_no_equation_and_marks_recurrent_matrices_only() -> None:
    before, after = get("lstm").trace(3, 4), weight_dropped(get("lstm"), 0.3).trace(3, 4)
    assert (after.nodes, after.names, after.states) == (before.nodes, before.names, before.states)
    assert {p.name for p in after.parameters if p.dropout == 0.3} == {"W_hi", "W_hf", "W_ho", "W_hg"}
    assert all(p.dropout in (0.0, 0.3) for p in after.parameters)


def test_weight_dropout_survives_the_transforms_that_follow_it() -> None:
    graph = plan(zoneout(layer_normalized(weight_dropped(get("elman"), 0.3))).trace(3, 4)).graph
    assert {p.name for p in graph.parameters if p.dropout} == {"W_hh"}


def test_weight_dropout_of_a_cell_without_recurrent_matrices_says_so() -> None:
    with pytest.raises(CellError, match=r"indrnn multiplies no state by a matrix; use zoneout\(indrnn\)"):
        weight_dropped(get("indrnn")).trace(3, 4)


@pytest.mark.parametrize("size", [3, 4])
def test_a_residual_adds_the_input_to_the_output_only(size: int) -> None:
    run = sequence(residual(get("elman")), size, 4, steps=3)
    plain = sequence(get("elman"), size, 4, steps=3)
    plain.parameters = {k: v for k, v in run.parameters.items() if k != "W_xresidual"}
    plain.x, plain.states = run.x, run.states
    passed = run.x @ run.parameters["W_xresidual"].T if size == 3 else run.x
    assert ("W_xresidual" in run.parameters) == (size == 3)
    output, last = plain.results()
    assert_same(run.results(), (output + passed, last))


def test_a_residual_of_a_cell_that_reads_no_input_says_so() -> None:
    @cell
    def clock(x: object, h: object) -> object:
        return tanh(affine("h", h) + weight("b"))  # type: ignore[arg-type]

    with pytest.raises(CellError, match="residual: clock doesn't read its input, so"):
        residual(clock).trace(3, 4)


def test_transforms_compose_in_any_order() -> None:
    one = zoneout(variational(residual(get("lstm"))))
    other = residual(zoneout(variational(get("lstm"))))
    assert one.name == "zoneout(variational(residual(lstm)))"
    a, b = sequence(one), sequence(other)
    b.x, b.states, b.parameters = a.x, a.states, {name: a.parameters[name] for name in b.parameters}
    by_name = {masks(a.plan.graph)[i][0]: m for i, m in enumerate(a.masks)}
    b.masks = tuple(by_name[m[0]] for m in masks(b.plan.graph))
    output, *states = a.results()
    other_output, *other_states = b.results()
    assert_same(tuple(states), tuple(other_states))
    # a residual before zoneout is an output apart from the state; after it, it reads the state that zoneout left
    assert not torch.allclose(output, other_output)


@pytest.mark.parametrize("rate", [-0.1, 1.0, 2.0, float("nan")])
def test_rates_outside_their_range_are_refused(rate: float) -> None:
    for transform in (zoneout, variational, weight_dropped):
        with pytest.raises(ConfigError, match=f"{transform.__name__}: rate={rate}"):
            transform(get("lstm"), rate)
    with pytest.raises(ConfigError, match="variational: rate"):
        variational(get("lstm"), 0.1, rate)


def test_a_rate_for_a_state_that_is_not_there_is_refused() -> None:
    with pytest.raises(CellError, match="zoneout: gru has no state c; its states are h"):
        zoneout(get("gru"), {"c": 0.1})
