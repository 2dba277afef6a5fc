"""Pooling against a loop over each sequence's own steps, with gradients."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ifog.errors import ConfigError
from ifog.layers.pooling import POOLINGS, Pooling


def looped(pooling: Pooling, y: Tensor, lengths: Tensor) -> Tensor:
    rows: list[Tensor] = []
    for b, n in enumerate(lengths.tolist()):
        own = y[:n, b]
        if pooling.kind == "last":
            half = y.shape[-1] // 2
            rows.append(torch.cat([own[-1, :half], own[0, half:]]) if pooling.bidirectional else own[-1])
        elif pooling.kind == "max":
            rows.append(own.max(0).values)
        elif pooling.kind == "mean":
            rows.append(own.mean(0))
        else:
            weights = torch.softmax(pooling.score(torch.tanh(pooling.project(own))), 0)
            rows.append((weights * own).sum(0))
    return torch.stack(rows)


@pytest.mark.parametrize("kind", POOLINGS)
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize(("steps", "lengths"), [(1, [1]), (17, [17, 1, 5]), (33, [32, 33])])
def test_it_pools_what_belongs_to_a_sequence(kind, bidirectional: bool, steps: int, lengths: list[int]) -> None:
    torch.manual_seed(0)
    y = torch.randn(steps, len(lengths), 6, dtype=torch.double, requires_grad=True)
    pooling = Pooling(kind, 6, bidirectional=bidirectional).double()
    n = torch.tensor(lengths)
    got, wanted = pooling(y, n), looped(pooling, y, n)
    torch.testing.assert_close(got, wanted)
    one, two = (torch.autograd.grad(out.square().sum(), y)[0] for out in (got, wanted))
    torch.testing.assert_close(one, two)
    for b, length in enumerate(lengths):
        assert (one[length:, b] == 0).all()


def test_weights_add_up_to_one_over_own_steps() -> None:
    y, n = torch.randn(9, 2, 4), torch.tensor([9, 3])
    for kind in ("mean", "attention"):
        weights = Pooling(kind, 4).weights(y, n)
        torch.testing.assert_close(weights.sum(0), torch.ones(2, 1))
        assert (weights[3:, 1] == 0).all()


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ConfigError, match="last, mean, max, attention"):
        Pooling("median", 4)  # type: ignore[arg-type]
