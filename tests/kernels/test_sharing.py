"""Parameters that lie together: pieces of stacked tensors, without copies where rows are neighbours."""

from __future__ import annotations

import pytest
import torch

import ifog
from ifog import cells
from ifog.kernels.sharing import Piece, Shared, side_by_side


def test_rows_that_are_neighbours_are_joined_without_a_copy() -> None:
    whole = torch.arange(24.0).view(6, 4)
    joined = side_by_side([whole[:2], whole[2:3], whole[3:]])
    assert joined.data_ptr() == whole.data_ptr()
    assert torch.equal(joined, whole)
    part = side_by_side([whole[2:4], whole[4:5]])
    assert part.data_ptr() == whole[2:].data_ptr()
    assert torch.equal(part, whole[2:5])


@pytest.mark.parametrize("what", ["another order", "a gap", "two tensors", "transposed"])
def test_other_rows_are_joined_with_one(what: str) -> None:
    whole = torch.arange(36.0).view(6, 6)
    parts = {
        "another order": [whole[3:], whole[:3]],
        "a gap": [whole[:2], whole[3:]],
        "two tensors": [whole[:2].clone(), whole[2:].clone()],
        "transposed": [whole.t()[:2], whole.t()[2:]],
    }[what]
    joined = side_by_side(parts)
    assert torch.equal(joined, torch.cat(parts))
    assert torch.equal(side_by_side(parts[:1]), parts[0])


def test_vectors_are_rows_too() -> None:
    bias = torch.arange(8.0)
    joined = side_by_side([bias[:3], bias[3:]])
    assert joined.data_ptr() == bias.data_ptr()
    assert torch.equal(joined, bias)


def test_a_parameter_is_the_sum_of_its_pieces() -> None:
    stacked, other = torch.arange(8.0), 10 * torch.arange(8.0)
    pieces = {"a": (Piece(0, 0, 3), Piece(1, 0, 3)), "b": (Piece(0, 3, 8), Piece(1, 3, 8))}
    shared = Shared(pieces, 2)
    found = shared.parameters((stacked, other))
    assert torch.equal(found["a"], 11 * torch.arange(3.0))
    assert torch.equal(found["b"], 11 * torch.arange(3.0, 8.0))


def test_sums_of_tensors_are_made_once_for_all_that_are_pieces_of_both() -> None:
    stacked, other = torch.arange(8.0), 10 * torch.arange(8.0)
    pieces = {"a": (Piece(0, 0, 3), Piece(1, 0, 3)), "b": (Piece(0, 3, 8), Piece(1, 3, 8)), "c": (Piece(0, 0, 2),)}
    shared = Shared(pieces, 2)
    summed = shared.summed
    assert summed.count == 3
    tensors = shared.add((stacked, other))
    found, wanted = summed.parameters(tensors), shared.parameters((stacked, other))
    assert all(torch.equal(found[name], wanted[name]) for name in pieces)


def test_parameters_of_their_own_are_themselves() -> None:
    graph = cells.get("elman").trace(2, 3)
    tensors = {p.name: torch.randn(p.shape) for p in graph.parameters}
    for order in ((), tuple(reversed(tensors))):
        shared = Shared.of(graph, order)
        found = shared.parameters([tensors[name] for name in order or tensors])
        assert list(found) == list(order or tensors)
        assert all(torch.equal(found[name], tensors[name]) for name in tensors)


def test_gradients_of_two_tensors_that_are_added_up_have_memory_of_their_own() -> None:
    layer = ifog.LSTM(3, 4)
    layer(torch.randn(5, 2, 3))[0].sum().backward()
    assert layer.bias_ih_l0.grad is not None
    assert layer.bias_hh_l0.grad is not None
    assert torch.equal(layer.bias_ih_l0.grad, layer.bias_hh_l0.grad)
    assert layer.bias_ih_l0.grad.data_ptr() != layer.bias_hh_l0.grad.data_ptr()
