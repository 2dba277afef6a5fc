"""What each initialiser fills a parameter with."""

from __future__ import annotations

import math

import pytest
import torch

from ifog.compiler.initialisers import INITIALISERS, fill


def filled(initial, *shape: int, hidden_size: int = 16) -> torch.Tensor:
    tensor = torch.full(shape, torch.nan)
    fill(tensor, initial, hidden_size)
    return tensor


@pytest.mark.parametrize("name", INITIALISERS)
def test_every_initialiser_fills_everything_and_follows_the_seed(name):
    tensor = filled(name, 16, 8)
    assert tensor.isfinite().all()
    torch.manual_seed(1)
    first = filled(name, 16, 8)
    torch.manual_seed(1)
    assert torch.equal(first, filled(name, 16, 8))


def test_numbers_fill_with_themselves():
    assert filled(1.5, 3, 2).tolist() == [[1.5, 1.5]] * 3
    assert filled(0, 2).tolist() == [0.0, 0.0]


def test_uniform_is_bounded_by_the_hidden_size_not_by_the_shape():
    tensor = filled("uniform", 1000, 3, hidden_size=25)
    assert tensor.abs().max() <= 0.2
    assert tensor.max() > 0.19
    assert tensor.min() < -0.19


def test_orthogonal_rows_are_orthonormal():
    tensor = filled("orthogonal", 8, 16)
    torch.testing.assert_close(tensor @ tensor.T, torch.eye(8), atol=1e-5, rtol=0)


def test_identity_copies_also_where_the_matrix_is_not_square():
    assert torch.equal(filled("identity", 3, 4), torch.eye(3, 4))


@pytest.mark.parametrize(("name", "deviation"), [("normal", 1.0), ("normal/100", 0.01), ("normal/1000", 0.001)])
def test_normal_initialisers_have_their_deviation(name, deviation):
    assert filled(name, 300, 300).std().item() == pytest.approx(deviation, rel=0.02)


def test_bounded_initialisers_reach_from_bound_to_bound():
    for name, low, high in [
        ("unit interval", 0.0, 1.0),
        ("xavier", -math.sqrt(6 / 200), math.sqrt(6 / 200)),
        ("he", -math.sqrt(6 / 100), math.sqrt(6 / 100)),
        ("chrono", 0.0, math.log(99)),
    ]:
        tensor = filled(name, 100, 100)
        assert tensor.min() >= low
        assert tensor.max() <= high
        assert tensor.min() < low + 0.1 * (high - low)
        assert tensor.max() > high - 0.01 * (high - low)


def test_filling_is_no_operation_of_autograd():
    tensor = torch.empty(3, 3, requires_grad=True)
    fill(tensor, "orthogonal", 3)
    assert tensor.grad_fn is None
