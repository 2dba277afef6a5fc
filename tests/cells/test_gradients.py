"""Every cell and every transform: the symbolic derivative against autograd, and autograd against differences."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from cells.running import assert_same, sequence
from ifog.cells import CATALOGUE, Cell, get, layer_normalized, residual, variational, weight_dropped, zoneout

OPTIONS = {"taugru": {"delay": 2}, "mogrifier_lstm": {"rounds": 2}, "recurrent_highway": {"depth": 2}}


def everything(cell: Cell) -> Cell:
    return zoneout(residual(variational(layer_normalized(cell))))


TRANSFORMS: list[Callable[[Cell], Cell]] = [
    layer_normalized,
    zoneout,
    variational,
    weight_dropped,
    residual,
    everything,
]
TRANSFORMED = [
    "elman",
    "lstm",
    "lstm_projected",
    "gru",
    "gru_cho",
    "odyssey_fgr",
    "scrn",
    "minimal_rnn",
    "slstm",
    "antisymmetric_rnn",
]


def check(cell: Cell, input_size: int, hidden_size: int, **options: object) -> None:
    run = sequence(cell, input_size, hidden_size, **options)
    results = run.results()
    cotangents = [torch.randn_like(r) for r in results]
    wanted = torch.autograd.grad(results, run.leaves, cotangents, allow_unused=True, materialize_grads=True)
    assert_same(tuple(run.symbolic_gradients(cotangents)), wanted)
    assert torch.autograd.gradcheck(run.results, run.leaves, fast_mode=True)


@pytest.mark.parametrize("name", CATALOGUE)
@pytest.mark.parametrize(("input_size", "hidden_size"), [(3, 4), (2, 2), (4, 1)])
def test_every_cell_passes_gradcheck_and_its_symbolic_gradient_is_autograds(
    name: str, input_size: int, hidden_size: int
) -> None:
    check(CATALOGUE[name], input_size, hidden_size, **OPTIONS.get(name, {}))


@pytest.mark.parametrize("name", TRANSFORMED)
@pytest.mark.parametrize("transform", TRANSFORMS, ids=lambda f: f.__name__)
def test_every_transform_passes_gradcheck(transform: Callable[[Cell], Cell], name: str) -> None:
    check(transform(get(name)), 3, 4)
