"""The state carried from batch to batch."""

from __future__ import annotations

from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from ifog.training import Carry
from ifog.training.carrying import detach, flatten, move, unflatten


class Pair(NamedTuple):
    h: Tensor
    c: Tensor


def test_detaching_cuts_the_history_and_keeps_the_names() -> None:
    h = torch.ones(2, requires_grad=True) * 2
    carry = (Pair(h, h + 1), None, [h][0])
    pair, nothing, last = detach(carry)  # type: ignore[misc]
    assert isinstance(pair, Pair)
    assert nothing is None
    for tensor in (pair.h, pair.c, last):
        assert isinstance(tensor, Tensor)
        assert not tensor.requires_grad


@pytest.mark.parametrize(
    "carry",
    [
        None,
        torch.ones(2),
        (torch.zeros(1, 2), torch.ones(3)),
        (torch.tensor(1.0), (None, (torch.tensor(2.0),)), torch.tensor(3.0)),
        tuple(torch.tensor(float(i)) for i in range(12)),
    ],
)
def test_a_carry_comes_back_from_named_tensors(carry: Carry) -> None:
    tensors = flatten(carry)
    assert all(name.startswith("carry") for name in tensors)
    back = unflatten(tensors)
    assert repr(back) == repr(carry)


def test_named_tuples_come_back_as_plain_ones() -> None:
    assert unflatten(flatten(Pair(torch.tensor(1), torch.tensor(2)))) == (torch.tensor(1), torch.tensor(2))


def test_a_batch_moves_with_its_structure() -> None:
    batch = {"a": Pair(torch.ones(1), torch.ones(2)), "b": [torch.ones(3), "text"], "c": True}
    moved = move(batch, torch.device("meta"))
    assert moved["a"].c.device.type == moved["b"][0].device.type == "meta"
    assert isinstance(moved["a"], Pair)
    assert moved["b"][1] == "text"
    assert moved["c"] is True
