"""Layers on the engine and on the reference, for tests of how the engine behaves."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor

import ifog
from ifog.kernels import available

needs_engine = pytest.mark.skipif(not available(), reason="the engine is not built")

CELLS = ["lstm", "gru_cho", "mingru", "mut1", "recurrent_highway"]
each_cell = pytest.mark.parametrize("name", CELLS)


def layer(name: str = "lstm", input_size: int = 3, hidden_size: int = 5, backend: str = "cpu", **options: Any) -> Any:
    torch.manual_seed(1)
    return ifog.Recurrent(name, input_size, hidden_size, backend=backend, **options)


def twin(net: ifog.Recurrent) -> ifog.Recurrent:
    """The same layer on the reference."""
    other = copy.deepcopy(net)
    other.backend = "reference"
    return other


def loss(net: Any, x: Tensor) -> Tensor:
    y, last = net(x)
    return (y * y.cos()).sum() + sum((s * s).sum() for s in last)


def gradients(net: Any, x: Tensor) -> list[Tensor]:
    return list(torch.autograd.grad(loss(net, x), [x, *net.parameters()]))


def assert_same(found: Any, wanted: Any) -> None:
    torch.testing.assert_close(found, wanted, rtol=2e-5, atol=2e-6)
