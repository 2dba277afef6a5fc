"""Matrices that stay orthogonal: while they learn, through checkpoints, on every backend."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor

import ifog
from ifog.cells import affine, cell, matrix, product
from ifog.errors import CellError


def off(W: Tensor) -> float:
    """How far a matrix is from orthogonal."""
    W = W.detach()
    return float((W @ W.mT - torch.eye(len(W), dtype=W.dtype)).abs().max())


@pytest.mark.parametrize("size", [1, 2, 7])
def test_it_starts_as_rotations_and_stays_orthogonal_while_it_learns(size: int) -> None:
    torch.manual_seed(0)
    layer = ifog.Recurrent("exprnn", 3, size, 2, bidirectional=True)
    first = layer.W_h_l1_reverse.detach()
    assert off(first) < 1e-6
    if size == 7:
        assert torch.equal(first[6], torch.eye(7)[6])
        assert first[0, 1] == -first[1, 0] != 0
    optimizer = torch.optim.Adam(layer.parameters(), 0.3)
    for _ in range(20):
        optimizer.zero_grad()
        layer(torch.randn(5, 2, 3))[0].square().sum().backward()
        optimizer.step()
    last = layer.W_h_l1_reverse
    assert off(last) < 1e-5
    if size > 1:
        assert float((last - first).detach().abs().max()) > 0.01


def test_a_reset_draws_other_rotations_and_forgets_what_was_learned() -> None:
    torch.manual_seed(0)
    layer = ifog.Recurrent("exprnn", 3, 6)
    first = layer.W_h_l0.detach()
    with torch.no_grad():
        layer.get_parameter("parametrizations.W_h_l0.original").normal_()
    layer.reset_parameters()
    assert off(layer.W_h_l0) < 1e-6
    assert float((layer.W_h_l0 - first).detach().abs().max()) > 0.01
    assert not layer.get_parameter("parametrizations.W_h_l0.original").any()


def test_copies_and_checkpoints_carry_start_and_turn() -> None:
    torch.manual_seed(0)
    layer, other = (ifog.Recurrent("exprnn", 3, 6) for _ in range(2))
    with torch.no_grad():
        layer.get_parameter("parametrizations.W_h_l0.original").normal_()
    x = torch.randn(9, 2, 3)
    y = layer(x)[0]
    other.load_state_dict(layer.state_dict())
    assert torch.equal(other(x)[0], y)
    assert torch.equal(copy.deepcopy(layer)(x)[0], y)
    state, steps = None, []
    with torch.no_grad():
        for row in x:
            made, state = layer.step(row, state)
            steps.append(made)
    torch.testing.assert_close(torch.stack(steps), y.detach())


@pytest.mark.parametrize("backend", ["cpu", "symbolic"])
def test_backends_agree_on_the_gradients_of_the_turn(backend: str) -> None:
    torch.manual_seed(0)
    layer = ifog.Recurrent("exprnn", 3, 5)
    with torch.no_grad():
        layer.get_parameter("parametrizations.W_h_l0.original").normal_()
        layer.b_l0.normal_()
    x = torch.randn(6, 2, 3)
    found: list[list[Tensor]] = []
    for name in (backend, "reference"):
        layer.backend = name
        loss = layer(x)[0].square().sum()
        found.append(list(torch.autograd.grad(loss, list(layer.parameters()))))
    assert bool(found[0][-1].abs().max() > 1e-4)
    torch.testing.assert_close(found[0], found[1], rtol=1e-4, atol=1e-5)


def test_only_square_matrices_can_stay_orthogonal() -> None:
    @cell
    def oblong(x: Any, h: Any) -> Any:
        return product(matrix("W_x", h.size, x.size, orthogonal=True), x) + affine("h", h)

    with pytest.raises(CellError, match=r"W_x is 4 x 3; only a square matrix can stay orthogonal"):
        ifog.Recurrent(oblong, 3, 4)


def test_it_starts_orthogonal_whatever_the_cell_says() -> None:
    @cell
    def plain(x: Any, h: Any) -> Any:
        return affine("", x) + product(matrix("W_h", h.size, h.size, orthogonal=True), h)

    @cell
    def crooked(x: Any, h: Any) -> Any:
        return affine("", x) + product(matrix("W_h", h.size, h.size, init="uniform", orthogonal=True), h)

    assert off(ifog.Recurrent(plain, 3, 4).W_h_l0) < 1e-6
    with pytest.raises(CellError, match=r"W_h can't stay orthogonal, for it starts 'uniform'"):
        ifog.Recurrent(crooked, 3, 4)
