"""Distributions of forecasts, beside `torch.distributions`, SciPy and integrals."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import distributions

from ifog.errors import ConfigError
from ifog.layers.distributions import (
    HEADS,
    Bernoulli,
    Gaussian,
    Quantiles,
    StudentT,
    distribution,
    level_widths,
    raw_size,
)

LEVELS = torch.tensor([0.1, 0.25, 0.5, 0.8, 0.95])
SHAPES = [(), (1,), (17,), (3, 0), (4, 1, 5)]


def twin(made: Gaussian | StudentT | Bernoulli) -> distributions.Distribution:
    if isinstance(made, Gaussian):
        return distributions.Normal(made.location, made.scale)
    if isinstance(made, StudentT):
        return distributions.StudentT(made.freedom, made.location, made.scale)
    return distributions.Bernoulli(logits=made.logits)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("head", ["gaussian", "student", "bernoulli"])
def test_losses_means_and_gradients_are_those_of_torch(head: str, shape: tuple[int, ...]):
    raw = torch.randn(*shape, raw_size(head, ()), dtype=torch.float64, requires_grad=True)
    made = distribution(head, raw, LEVELS)
    assert isinstance(made, Gaussian | StudentT | Bernoulli)
    values = torch.randn(shape, dtype=torch.float64)
    values = (values > 0).double() if head == "bernoulli" else values
    expected = -twin(made).log_prob(values)
    torch.testing.assert_close(made.loss(values), expected)
    torch.testing.assert_close(made.mean(), twin(made).mean)
    (ours,) = torch.autograd.grad(made.loss(values).sum(), raw, retain_graph=True)
    (theirs,) = torch.autograd.grad(expected.sum(), raw)
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("head", HEADS)
def test_a_head_of_many_numbers_is_stable(head: str):
    raw = torch.tensor([-1e4, -50.0, 0.0, 50.0, 1e4]).unsqueeze(-1).repeat(1, raw_size(head, LEVELS.tolist()))
    raw.requires_grad_()
    for value in (0.0, 1.0):
        loss = distribution(head, raw, LEVELS).loss(torch.full((5,), value))
        (gradient,) = torch.autograd.grad(loss.sum(), raw)
        assert loss.isfinite().all()
        assert gradient.isfinite().all()


def test_gaussian_and_student_quantiles_are_scipys():
    location, scale, freedom = torch.randn(7), torch.rand(7) + 0.1, 2.1 + 10 * torch.rand(7)
    found = Gaussian(location, scale).quantile(LEVELS)
    np.testing.assert_allclose(found, stats.norm.ppf(LEVELS, location[:, None], scale[:, None]), rtol=1e-4, atol=1e-5)
    found = StudentT(location, scale, freedom).quantile(LEVELS)
    expected = stats.t.ppf(LEVELS, freedom[:, None], location[:, None], scale[:, None])
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("head", ["gaussian", "student", "quantiles", "bernoulli"])
def test_samples_have_the_distributions_quantiles_and_a_generator_repeats_them(head: str):
    raw = torch.randn(1, raw_size(head, LEVELS.tolist())).expand(40_000, -1)
    made = distribution(head, raw, LEVELS)
    samples = made.sample(torch.Generator().manual_seed(1))
    assert torch.equal(samples, made.sample(torch.Generator().manual_seed(1)))
    assert not torch.equal(samples, made.sample(torch.Generator().manual_seed(2)))
    if head == "bernoulli":
        assert abs(float(samples.mean() - made.mean()[0])) < 0.02
        return
    expected = made.quantile(LEVELS)[0]
    below = (samples.unsqueeze(-1) <= expected).float().mean(0)
    tolerance = 0.02
    inner = slice(1, -1) if head == "quantiles" else slice(None)  # beyond the outermost level there is one value
    torch.testing.assert_close(below[inner], LEVELS[inner], atol=tolerance, rtol=0)


@pytest.mark.parametrize("head", ["gaussian", "student", "quantiles"])
def test_a_moved_distribution_is_that_of_the_moved_variable(head: str):
    raw = torch.randn(6, 2, raw_size(head, LEVELS.tolist()))
    made, location, scale = distribution(head, raw, LEVELS), torch.randn(6, 1), torch.rand(2) + 0.5
    moved = made.moved(location, scale)
    torch.testing.assert_close(moved.mean(), location + scale * made.mean())
    expected = location.unsqueeze(-1) + scale.unsqueeze(-1) * made.quantile(LEVELS)
    torch.testing.assert_close(moved.quantile(LEVELS), expected)
    values = torch.randn(6, 2)
    change = scale.log() if head != "quantiles" else 0.0  # a density is divided by the scale, a pinball loss multiplied
    inside = made.loss((values - location) / scale)
    wanted = inside * scale if head == "quantiles" else inside + change
    torch.testing.assert_close(moved.loss(values), wanted)


# --- quantiles --------------------------------------------------------------------------------------------------------


def pinball(y: float, q: float, level: float) -> float:
    return level * (y - q) if y >= q else (1 - level) * (q - y)


def test_the_quantile_loss_is_the_weighted_sum_of_pinball_losses():
    raw, y = torch.randn(5, len(LEVELS)), torch.randn(5)
    widths = level_widths(LEVELS)
    assert float(widths.sum()) == pytest.approx(1)
    torch.testing.assert_close(widths, torch.tensor([0.175, 0.2, 0.275, 0.225, 0.125]))
    expected = [
        2
        * sum(
            float(w) * pinball(float(y[k]), float(q), float(a)) for w, q, a in zip(widths, raw[k], LEVELS, strict=True)
        )
        for k in range(5)
    ]
    torch.testing.assert_close(Quantiles(raw, LEVELS).loss(y), torch.tensor(expected))


def test_the_quantile_loss_is_least_at_the_datas_own_quantiles():
    y = torch.randn(2001)
    raw = torch.zeros(len(LEVELS), requires_grad=True)
    own = torch.quantile(y, LEVELS)
    at = [float(Quantiles((own + shift).expand(2001, -1), LEVELS).loss(y).mean()) for shift in (-0.05, 0.0, 0.05)]
    assert at[1] < min(at[0], at[2])
    loss = Quantiles(raw.expand(2001, -1), LEVELS).loss(y).mean()
    assert loss.grad_fn is not None


def test_crossed_quantiles_are_sorted_and_joined_by_straight_lines():
    made = Quantiles(torch.tensor([[4.0, 0.0, 2.0]]), torch.tensor([0.2, 0.5, 0.6]))
    found = made.quantile(torch.tensor([0.0, 0.2, 0.35, 0.5, 0.55, 0.6, 0.9]))
    torch.testing.assert_close(found, torch.tensor([[0.0, 0.0, 1.0, 2.0, 3.0, 4.0, 4.0]]))


def test_a_single_level_is_a_point():
    made = Quantiles(torch.tensor([[3.0], [4.0]]), torch.tensor([0.5]))
    assert made.quantile(torch.tensor([0.1, 0.9])).tolist() == [[3, 3], [4, 4]]
    assert made.sample().tolist() == made.mean().tolist() == [3, 4]
    assert made.loss(torch.tensor([1.0, 1.0])).tolist() == [2, 3]  # the absolute error


def test_bernoulli_quantiles_jump_where_the_probability_of_zero_ends():
    made = Bernoulli(torch.tensor([math.log(3.0)]))  # 1 with probability 3/4
    assert made.quantile(torch.tensor([0.2, 0.3, 0.9])).tolist() == [[0, 1, 1]]
    assert made.moved(torch.ones(1), torch.ones(1)) is made


def test_an_unknown_head_is_refused():
    for call in (lambda: raw_size("cauchy", ()), lambda: distribution("cauchy", torch.zeros(1, 2), LEVELS)):
        with pytest.raises(ConfigError, match="'cauchy'; give one of gaussian"):
            call()
