"""The forecaster: its forecasts written out by loops, its references, what it may know, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from ifog.errors import ConfigError
from ifog.layers.distributions import Gaussian, Quantiles
from ifog.models.forecaster import Forecaster, ForecasterConfig


def made(**options: Any) -> Forecaster:
    chosen = {"targets": 2, "known": 1, "context": 8, "horizon": 3, "hidden_size": 5, "cell": "gru", **options}
    torch.manual_seed(0)
    model = Forecaster(ForecasterConfig(**chosen)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def window(model: Forecaster, batch: int = 4) -> tuple[Tensor, Tensor]:
    config = model.config
    values = torch.randn(config.looks_back + config.horizon, batch, config.targets + config.past)
    return values, torch.randn(len(values), batch, config.known)


# --- direct -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch", [1, 17])
@pytest.mark.parametrize("reference", ["training", "window", "last", "season"])
def test_a_direct_forecast_is_its_equation(reference: str, batch: int):
    model = made(reference=reference, past=1, season=10, linear=True)
    values, known = window(model, batch)
    found = model.direct(values[:10], known)
    assert isinstance(found, Quantiles)
    for b in range(batch):
        context = values[2:10, b]
        location = {"training": torch.zeros(3), "last": context[-1]}.get(reference, context.mean(0))
        scale = (context.var(0, correction=0) + 1e-4).sqrt() if reference == "window" else torch.ones(3)
        x = (context - location) / scale
        y, _ = model.recurrent(torch.cat([x, known[2:10, b]], -1).unsqueeze(1))
        raw = (model.output.weight @ y[-1, 0] + model.output.bias).view(3, 2, 9)
        for k in range(3):
            ahead = (model.ahead.weight @ known[10 + k, b]).view(2, 9)  # type: ignore[union-attr]
            base = values[k, b, :2] if reference == "season" else location[:2]
            line = torch.stack([model.linear.weight[k] @ x[:, n] for n in range(2)])  # type: ignore[union-attr]
            expected = (base + scale[:2] * line).unsqueeze(-1) + scale[:2].unsqueeze(-1) * (raw[k] + ahead)
            torch.testing.assert_close(found.values[k, b], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("segment", [1, 2, 4])
def test_columns_apart_are_forecast_each_from_itself_alone(segment: int):
    model = made(apart=True, segment=segment, linear=True)
    values, known = window(model)
    whole = model.forecast(values[:8], known)
    other = values.clone()
    other[:, :, 1] = torch.randn_like(other[:, :, 1])
    changed = model.forecast(other[:8], known)
    torch.testing.assert_close(changed.quantiles[:, :, 0], whole.quantiles[:, :, 0])
    assert not torch.allclose(changed.quantiles[:, :, 1], whole.quantiles[:, :, 1])
    swapped = model.forecast(values[:8].flip(-1), known)
    model.column.data = model.column.data.flip(0)  # type: ignore[union-attr]
    torch.testing.assert_close(model.forecast(values[:8], known).mean, swapped.mean.flip(-1))


def test_a_segment_holds_steps_in_order():
    model = made(segment=4)
    x = torch.arange(8.0).view(8, 1, 1).repeat(1, 3, 1) + 100 * torch.arange(3.0).view(1, 3, 1)
    found = model._in_segments(x)  # pyright: ignore[reportPrivateUsage]
    assert found.shape == (2, 3, 4)
    assert found[1, 2].tolist() == [204, 205, 206, 207]


@pytest.mark.parametrize(("reference", "factor"), [("window", 5.0), ("last", 1.0)])
def test_a_forecast_follows_the_level_and_the_unit_of_its_window(reference: str, factor: float):
    model = made(reference=reference)
    values, known = window(model)
    plain, moved = model.forecast(values[:8], known), model.forecast(3 + factor * values[:8], known)
    torch.testing.assert_close(moved.mean, 3 + factor * plain.mean, rtol=1e-3, atol=1e-2)


def test_the_loss_is_that_of_the_steps_after_the_past():
    model = made(past=1, reference="season", season=10)
    values, known = window(model)
    loss, figures = model.window_loss(values, known)
    forecast = model.direct(values[:10], known)
    torch.testing.assert_close(loss, forecast.loss(values[10:, :, :2]).mean())
    torch.testing.assert_close(figures["mae"], (forecast.mean() - values[10:, :, :2]).abs().mean())


def test_a_constant_window_gives_finite_forecasts_and_gradients():
    model = made().train()
    loss, _ = model.window_loss(torch.full((11, 2, 2), 7.0), torch.zeros(11, 2, 1))
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


# --- recursive --------------------------------------------------------------------------------------------------------


def test_teacher_forcing_reads_the_true_value_before_each_step():
    model = made(decoding="recursive", head="gaussian", reference="last", season=10)
    values, known = window(model)
    loss, _ = model.window_loss(values, known)
    values, known = values[2:], known[2:]  # a season longer than the context is the baselines' affair
    base = values[7]
    losses: list[Tensor] = []
    state = None
    for t in range(1, 11):
        y, state = model.recurrent.step(torch.cat([values[t - 1] - base, known[t]], -1), state)
        raw = (y @ model.output.weight.T + model.output.bias).view(4, 2, 2)
        losses.append(Gaussian.of(raw).moved(base, torch.ones(())).loss(values[t]))
    torch.testing.assert_close(loss, torch.stack(losses).mean())


def test_paths_read_their_own_draws(monkeypatch: pytest.MonkeyPatch):
    model = made(decoding="recursive", head="gaussian", reference="window")
    monkeypatch.setattr(Gaussian, "sample", lambda self, generator=None: self.location)  # nothing is left to chance
    values, known = window(model)
    found = model.paths(values[:8], known, 3)
    assert found.shape == (3, 3, 4, 2)
    location, scale = values[:8].mean(0), (values[:8].var(0, correction=0) + 1e-4).sqrt()
    inputs = [(v - location) / scale for v in values[:8]]
    for k in range(3):
        x = torch.cat([torch.stack(inputs), known[1 : len(inputs) + 1]], -1)
        y, _ = model.recurrent(x)
        raw = (y[-1] @ model.output.weight.T + model.output.bias).view(4, 2, 2)
        inputs.append(raw[..., 0])
        for path in range(3):
            torch.testing.assert_close(found[k, path], location + scale * raw[..., 0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("context", [1, 8])
def test_a_recursive_forecast_repeats_with_its_seed_and_rises_with_its_levels(context: int):
    model = made(decoding="recursive", head="student", context=context)
    values, known = window(model)
    first, second = (model.forecast(values[:context], known, samples=20, seed=seed) for seed in (1, 1))
    assert torch.equal(first.quantiles, second.quantiles)
    assert not torch.equal(first.quantiles, model.forecast(values[:context], known, samples=20, seed=2).quantiles)
    assert (first.quantiles.diff(dim=-1) >= 0).all()


def whole(**options: Any) -> Forecaster:
    return made(known=0, context=0, horizon=1, decoding="recursive", reference="training", head="bernoulli", **options)


def test_whole_series_are_forecast_step_by_step_up_to_their_lengths():
    model = whole(targets=6)
    lengths = [5, 1, 3]
    values = torch.randint(0, 2, (5, 3, 6)).float()
    batch = {"values": values, "known": torch.zeros(5, 3, 0), "values_lengths": torch.tensor(lengths)}
    loss, figures = model.loss(batch)
    total = 0.0
    for b, length in enumerate(lengths):
        before = torch.cat([torch.zeros(1, 6), values[: length - 1, b]])
        y, _ = model.recurrent(before.unsqueeze(1))
        p = torch.sigmoid(y[:, 0] @ model.output.weight.T + model.output.bias)
        truth = values[:length, b]
        total -= float((truth * p.log() + (1 - truth) * (1 - p).log()).sum().detach())
    assert float(loss.detach()) == pytest.approx(total / (9 * 6), rel=1e-5)
    assert float(figures["nll"]) == pytest.approx(total / 9, rel=1e-5)


def test_no_step_of_a_series_is_forecast_from_itself_or_later_ones():
    model = whole(targets=3)
    values = torch.rand(9, 2, 3).requires_grad_()
    lengths = torch.tensor([9, 9])
    mean = model.steps(values, torch.zeros(9, 2, 0), lengths).mean()
    (gradient,) = torch.autograd.grad(mean[4].sum(), values)
    assert gradient[:4].abs().sum() > 0
    assert gradient[4:].abs().sum() == 0


# --- training ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("decoding", ["direct", "recursive"])
def test_training_draws_windows_within_the_lengths_and_evaluation_takes_the_first(decoding: str):
    model = made(decoding=decoding)
    values, known = torch.randn(20, 3, 2), torch.randn(20, 3, 1)
    lengths = torch.tensor([11, 14, 20])
    for b, length in enumerate(lengths.tolist()):
        values[length:, b] = torch.nan  # a window that reached beyond a length would show it
    batch = {"values": values, "known": known, "values_lengths": lengths}
    first, _ = model.loss(batch)
    torch.testing.assert_close(first, model.window_loss(values[:11], known[:11])[0])
    model.train()
    drawn = {float(model.loss(batch)[0].detach()) for _ in range(30)}
    assert len(drawn) > 5
    assert all(loss == loss for loss in drawn)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"apart": True, "segment": 2},
        {"head": "student", "linear": True},
        {"head": "gaussian", "decoding": "recursive"},
        {"decoding": "recursive"},
    ],
)
def test_every_parameter_has_the_gradient_that_differences_give(options: dict[str, Any]):
    model = made(**options).double()
    values, known = (x.double() for x in window(model, 2))
    model.window_loss(values, known)[0].backward()
    for parameter in model.parameters():
        assert parameter.grad is not None
        place = tuple(int(i) for i in torch.unravel_index(parameter.grad.abs().argmax(), parameter.shape))
        ends: list[float] = []
        for shift in (1e-5, -1e-5):
            with torch.no_grad():
                parameter[place] += shift
                ends.append(float(model.window_loss(values, known)[0]))
                parameter[place] -= shift
        slope = (ends[0] - ends[1]) / 2e-5
        assert float(parameter.grad[place]) == pytest.approx(slope, rel=1e-3, abs=1e-6)


# --- configuration ----------------------------------------------------------------------------------------------------


def test_a_configuration_survives_json():
    config = ForecasterConfig(targets=3, levels=(0.25, 0.75), cell_options={"a": 1})
    assert ForecasterConfig.from_dict(config.to_dict()) == config
    with pytest.raises(ConfigError, match="colour"):
        ForecasterConfig.from_dict({"targets": 1, "colour": 2})
    with pytest.raises(ConfigError, match="targets"):
        ForecasterConfig.from_dict({})


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"targets": 0}, "targets is 0"),
        ({"horizon": True}, "horizon is True"),
        ({"head": "cauchy"}, "head is 'cauchy'"),
        ({"levels": (0.5, 0.5)}, "rising"),
        ({"levels": (0.0, 0.5)}, "rising"),
        ({"levels": ()}, "rising"),
        ({"segment": 5}, "no multiple of segment 5"),
        ({"decoding": "recursive", "apart": True}, "apart"),
        ({"decoding": "recursive", "past": 1}, "past columns"),
        ({"decoding": "recursive", "reference": "season"}, "season"),
        ({"context": 0}, "context 0"),
        ({"apart": True, "past": 1}, "apart"),
        ({"head": "bernoulli"}, "reference training"),
    ],
)
def test_values_that_exclude_each_other_are_refused(options: dict[str, Any], said: str):
    with pytest.raises(ConfigError, match=said):
        ForecasterConfig(**{"targets": 2, **options})
