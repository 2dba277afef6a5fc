"""Gradients by lag: against autograd through a whole layer, against Jacobians, and against the lectures' bounds."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import ifog
from ifog.cells import affine, relu, tanh, weight
from ifog.errors import ConfigError
from ifog.flow.gradients import GradientRecorder, fitted_slope, gradient_norms, half_life, measure_flow
from ifog.flow.jacobians import step_jacobian
from ifog.flow.pictures import draw_decay
from ifog.flow.recurrences import recurrence
from ifog.models import LanguageModel


@ifog.cell
def orthogonal_tanh(x, h):
    return tanh(affine("h", x, h, init={"h": "orthogonal"}))


@ifog.cell
def orthogonal_relu(x, h):
    return relu(affine("h", x, h, init={"h": "orthogonal"}))


@pytest.mark.parametrize("cell", ["elman", "gru", "lstm", "mut1"])
@pytest.mark.parametrize("steps", [2, 7])
def test_the_first_states_gradient_is_what_the_layer_itself_gives(cell: str, steps: int) -> None:
    """The layer runs on its own backend, in float32; all sides of the output are looked at."""
    torch.manual_seed(0)
    layer = ifog.Recurrent(cell, 3, 5)
    x = torch.randn(steps, 4, 3)
    found = gradient_norms(layer, steps, sequences=4, inputs=x, losses=5)
    with torch.no_grad():
        _, first = layer(x[:1])
    squares = {name: torch.zeros(4) for name in first._fields}
    for side in range(5):
        start = type(first)(*(s.clone().requires_grad_() for s in first))
        y, _ = layer(x[1:], start)
        for name, gradient in zip(first._fields, torch.autograd.grad(y[-1, :, side].sum(), tuple(start)), strict=True):
            squares[name] += gradient[0].square().sum(1)
    assert len(found.whole) == steps - 1
    for name, square in squares.items():
        np.testing.assert_allclose(found.norms[f"layer0.{name}"][-1], (square / 5).sqrt(), rtol=1e-4, atol=1e-7)


def test_the_gradient_of_each_lag_is_a_product_of_jacobians() -> None:
    system = recurrence("lstm", hidden_size=4)
    x = system.inputs(6, 2)
    found = gradient_norms(system, 6, sequences=2, inputs=x, losses=4)
    states = system.states(x)
    product = step_jacobian(system, x[5], states[4])[:, system.slices["layer0.h"]]  # an LSTM's output is its h
    for lag in range(1, 6):
        for name, columns in system.slices.items():
            expected = torch.linalg.matrix_norm(product[:, :, columns]) / 2
            np.testing.assert_allclose(found.norms[name][lag - 1], expected, rtol=1e-10)
        np.testing.assert_allclose(found.whole[lag - 1], torch.linalg.matrix_norm(product) / 2, rtol=1e-10)
        if lag < 5:
            product = product @ step_jacobian(system, x[5 - lag], states[4 - lag])


@pytest.mark.parametrize("cell", ["elman", "irnn", "gru", "lstm", "mut1"])
def test_slopes_are_those_of_the_product_of_jacobians_within_five_percent(cell: str) -> None:
    wide = cell == "irnn"  # units that die one by one: few of them make a rough curve
    flow = measure_flow(cell, 200, sequences=24 if wide else 6, hidden_size=48 if wide else 24)
    measured, predicted = flow.measured.slope, flow.predicted_slope
    assert measured is not None
    assert measured < 0
    assert measured == pytest.approx(predicted, rel=0.05)
    if not wide:  # an exponential decay from the start, so that the long run is seen within 200 steps
        assert measured == pytest.approx(flow.exponent, rel=0.05)


@pytest.mark.parametrize("cell", [orthogonal_tanh, orthogonal_relu, "orthogonal_rnn", "irnn"])
def test_gradients_never_grow_where_an_orthogonal_matrix_meets_a_slope_of_at_most_one(cell) -> None:
    flow = measure_flow(cell, 60, sequences=5, hidden_size=17)
    (matrix,) = flow.matrices.values()
    assert matrix.norm == pytest.approx(1.0, abs=1e-6)  # as orthogonal as float32 can hold
    assert 0 < flow.measured.largest_growth <= matrix.norm * (1 + 1e-12)
    assert all(0 < jacobian.norm <= matrix.norm * (1 + 1e-12) for jacobian in flow.jacobians)


def test_gradients_explode_where_every_singular_value_is_above_one() -> None:
    system = recurrence(orthogonal_relu, hidden_size=6)
    with torch.no_grad():
        for name, parameter in system.module.named_parameters():
            if name.startswith("W_hh"):
                parameter.copy_(1.1 * torch.eye(6))
            elif name.startswith("b"):
                parameter.fill_(10.0)  # no unit is ever off
    found = gradient_norms(system, 50, sequences=2)
    assert found.slope == pytest.approx(np.log(1.1), rel=1e-6)
    assert half_life(found.slope) is None


def test_norms_far_below_the_square_root_of_the_smallest_number_are_measured() -> None:
    system = recurrence("elman", hidden_size=3)
    with torch.no_grad():
        for parameter in system.module.parameters():
            parameter.zero_()
        dict(system.module.named_parameters())["W_hh_l0"].copy_(torch.eye(3) / 1024)
    found = gradient_norms(system, 91, sequences=1, losses=3)
    expected = np.arange(1, 91) * -np.log(1024)
    np.testing.assert_allclose(np.log(found.whole[:, 0]), expected, rtol=1e-9)
    assert found.slope == pytest.approx(-np.log(1024))


def test_what_has_overflowed_is_left_out_of_the_slope() -> None:
    system = recurrence("irnn", hidden_size=3)
    with torch.no_grad():
        dict(system.module.named_parameters())["W_hh_l0"].mul_(1024)
    flow = measure_flow(system, 120, sequences=2)
    assert not np.isfinite(flow.measured.whole[-1]).any()
    assert flow.measured.slope == pytest.approx(np.log(1024), rel=1e-3)
    assert flow.measured.largest_growth == pytest.approx(1024)
    json.dumps(flow.to_dict(), allow_nan=False)


def test_what_has_vanished_altogether_is_left_out_of_the_slope() -> None:
    system = recurrence("elman", hidden_size=3)
    with torch.no_grad():
        for parameter in system.module.parameters():
            parameter.zero_()
        dict(system.module.named_parameters())["W_hh_l0"].copy_(torch.eye(3) / 1024)
    flow = measure_flow(system, 150, sequences=1)
    assert flow.measured.whole[-1, 0] == 0
    assert flow.measured.slope == pytest.approx(-np.log(1024))
    assert flow.predicted_slope == pytest.approx(-np.log(1024))


def test_a_cell_that_does_not_read_its_state_has_no_gradient_and_no_slope() -> None:
    @ifog.cell
    def forgetful(x, h):
        return tanh(x) * weight("w")

    flow = measure_flow(forgetful, 5, sequences=2, hidden_size=3)
    assert not flow.measured.whole.any()
    assert flow.measured.slope is flow.predicted_slope is half_life(None) is None
    json.dumps(flow.to_dict(), allow_nan=False)


def test_the_same_seed_gives_the_same_curve_and_leaves_the_generator_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    one, two, other = (gradient_norms("gru", 5, sequences=2, hidden_size=3, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.rand(3), expected)
    np.testing.assert_array_equal(one.whole, two.whole)
    assert not np.array_equal(one.whole, other.whole)


@pytest.mark.parametrize("changes", [{"steps": 1}, {"steps": 2.0}, {"steps": True}, {"sequences": 0}])
def test_numbers_out_of_range_are_refused(changes) -> None:
    with pytest.raises(ConfigError, match=next(iter(changes))):
        gradient_norms("elman", **{"steps": 5, "hidden_size": 2, **changes})


def test_inputs_must_agree_with_the_steps_asked_for() -> None:
    with pytest.raises(ConfigError, match="4 steps and 2 sequences"):
        gradient_norms("elman", 5, sequences=2, hidden_size=3, inputs=torch.zeros(4, 2, 3))


def test_a_slope_is_that_of_a_straight_line() -> None:
    generator = np.random.default_rng(0)
    values = -0.3 * np.arange(1, 40) + generator.normal(size=39)
    assert fitted_slope(values) == pytest.approx(np.polyfit(np.arange(1, 40), values, 1)[0])
    assert fitted_slope(np.array([1.0, np.nan])) is None
    assert half_life(np.log(0.5) / 7) == pytest.approx(7.0)


def test_training_can_be_recorded_through_the_trainers_loggers(tmp_path: Path) -> None:
    from ifog.data import Corpus, prepare_text
    from ifog.tasks.prediction import NextToken
    from ifog.training import TrainingConfig, fit

    data = prepare_text(Corpus.from_text("green bottles on a wall. " * 100), tmp_path, tokenizer="char")
    losses: list[list[float]] = []
    for watched in (True, False):
        torch.manual_seed(0)
        model = LanguageModel(data.tokenizer.vocabulary_size, cell="elman", hidden_size=6)
        task = NextToken(data.train, data.validation, data.tokenizer, batch_size=4, sequence=10)
        recorder = GradientRecorder(model, torch.zeros(8, 2, dtype=torch.long))
        fit(model, task, TrainingConfig(steps=6, evaluate_every=3, log_every=1), loggers=[recorder] if watched else [])
        losses.append([float(p.detach().sum()) for p in model.parameters()])
        if watched:
            assert [step for step, _ in recorder.curves] == [3, 6]
            assert not np.array_equal(recorder.curves[0][1].whole, recorder.curves[1][1].whole)
            recorder.resume(3)
            assert [step for step, _ in recorder.curves] == [3]
    assert losses[0] == losses[1]  # looking on changes nothing


def test_the_picture_has_a_line_a_band_and_a_prediction_for_each() -> None:
    flows = {cell: measure_flow(cell, 12, sequences=3, hidden_size=4) for cell in ("elman", "lstm")}
    (axis,) = draw_decay(flows).axes
    assert len(axis.lines) == 4
    assert len(axis.collections) == 2
    assert [t.get_text() for t in axis.get_legend().get_texts()] == ["elman", "product of Jacobians", "lstm"]
    np.testing.assert_allclose(axis.lines[0].get_ydata(), np.log10(np.median(flows["elman"].measured.whole, 1)))
