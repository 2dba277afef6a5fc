"""Dropout: shares, scale, gradients, seeds, and what it must not touch."""

from __future__ import annotations

import pytest
import torch

from ifog.errors import ConfigError
from ifog.layers.dropout import Dropout, chosen, dropout


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("rate", [0.01, 0.3, 0.5, 0.999])
def test_so_many_places_are_dropped_and_the_mean_stays(rate: float, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    y = dropout(torch.ones(1001, 999, dtype=dtype), rate)
    dropped = (y == 0).double().mean().item()
    assert dropped == pytest.approx(rate, abs=4 * (rate * (1 - rate) / y.numel()) ** 0.5 + 1e-5)
    assert y.max().item() == pytest.approx(1 / (1 - rate), rel=1e-2)
    assert y.unique().numel() == 2


def test_neighbours_are_drawn_by_themselves() -> None:
    torch.manual_seed(0)
    y = chosen((100_000, 8), 0.5, torch.empty(0))
    together = torch.corrcoef(y.T) - torch.eye(8)
    assert together.abs().max() < 0.02
    assert torch.corrcoef(torch.stack([y.flatten()[:-1], y.flatten()[1:]]))[0, 1].abs() < 0.01


@pytest.mark.parametrize("shape", [(), (1,), (5,), (3, 7), (0, 4), (2, 3, 4)])
def test_any_shape_has_its_gradient_where_it_is_kept(shape: tuple[int, ...]) -> None:
    torch.manual_seed(1)
    x = torch.randn(shape, requires_grad=True)
    y = dropout(x, 0.5)
    assert y.shape == x.shape
    y.sum().backward()
    assert x.grad is not None
    torch.testing.assert_close(x.grad, 2.0 * (y != 0))
    torch.testing.assert_close(y, x * x.grad)


def test_columns_far_apart_in_memory() -> None:
    x = torch.ones(6, 8).t()[::2]
    assert set(dropout(x, 0.5).flatten().tolist()) <= {0.0, 2.0}


def test_a_seed_repeats_it() -> None:
    torch.manual_seed(3)
    first = dropout(torch.ones(77), 0.5)
    second = dropout(torch.ones(77), 0.5)
    torch.manual_seed(3)
    assert torch.equal(dropout(torch.ones(77), 0.5), first)
    assert not torch.equal(first, second)


def test_nothing_everything_and_outside_of_training() -> None:
    x = torch.randn(50)
    assert dropout(x, 0.0) is x
    assert dropout(x, 0.9, training=False) is x
    assert Dropout(0.9).eval()(x) is x
    assert not dropout(x, 1.0).any()
    assert bool(dropout(torch.ones(1000), 1e-9).all())
    for rate in (-0.1, 1.1, float("nan")):
        with pytest.raises(ConfigError, match="give a share from 0 to 1"):
            dropout(x, rate)


def test_a_tracer_takes_torchs() -> None:
    def twice(x: torch.Tensor) -> torch.Tensor:
        return dropout(x, 0.5) * 2

    compiled = torch.compile(twice, backend="eager", fullgraph=True)
    assert set(compiled(torch.ones(100)).unique().tolist()) == {0.0, 4.0}
