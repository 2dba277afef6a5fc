"""Sequences of unequal lengths without what pads them: the rows of all real steps, one step after the other.

Owns the order of packed sequences, longest first, and which row comes from where. Takes lengths and tensors, gives
tensors that autograd can differentiate. Never knows a cell.

Packed, a tensor is `(1, N, ...)`, N real steps of all sequences; a state has its rows in the packed order.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import cast

import torch
from torch import Tensor

from ifog.kernels.rows import numbers, pick
from ifog.shapes import Int

__all__ = ["Packing"]


@dataclass(frozen=True)
class Packing:
    """Where the rows of packed sequences are from.

    Attributes:
        sizes: How many sequences each step has, as `PackedSequence.batch_sizes`.
        steps: Of the padded tensors (T), which may be more.
        order: Which sequence each row of a packed state is, `(B,)`.

    Examples:
        >>> import torch
        >>> packing = Packing.of(torch.tensor([1, 3]), steps=4)
        >>> packing.sizes, packing.order.tolist()
        ((2, 1, 1), [1, 0])
        >>> x = torch.arange(8.0).view(4, 2, 1)  # what stands in the rows of a sequence that has ended is left out
        >>> packing.pack(x).flatten().tolist()
        [1.0, 0.0, 3.0, 5.0]
        >>> packing.unpack(packing.pack(x)).squeeze(-1).tolist()
        [[0.0, 1.0], [0.0, 3.0], [0.0, 5.0], [0.0, 0.0]]
    """

    sizes: tuple[int, ...]
    steps: int
    order: Int[Tensor, "B"]

    @staticmethod
    def of(lengths: Int[Tensor, "B"], steps: int) -> Packing:
        """Of padded sequences, at least one of which has a step."""
        order = lengths.argsort(descending=True, stable=True)
        ended = torch.bincount(lengths).cumsum(0)  # after so many steps
        return Packing(_numbers(len(lengths) - ended[:-1]), steps, order)

    @staticmethod
    def of_sizes(sizes: Int[Tensor, "T"], batch: int) -> Packing:
        """Of what a `PackedSequence` holds, whose states have the packed order too."""
        return Packing(_numbers(sizes), len(sizes), torch.arange(batch, device="cpu"))

    @property
    def batch(self) -> int:
        """How many sequences there are."""
        return len(self.order)

    @cached_property
    def _places(self) -> tuple[Tensor, Tensor]:
        """The step and the place in its step of each packed row."""
        reach = torch.arange(self.batch, device="cpu") < torch.tensor(self.sizes, device="cpu").unsqueeze(1)
        step, place = reach.nonzero(as_tuple=True)
        return step, place

    @cached_property
    def _time_first(self) -> tuple[Tensor, Tensor]:
        """For each packed row which of the `T * B` rows it is, and the other way round."""
        return numbers(torch.tensor(self.sizes, device="cpu"), self.order, self.steps)

    @cached_property
    def _batch_first(self) -> tuple[Tensor, Tensor]:
        """Likewise of `B * T` rows."""
        return numbers(torch.tensor(self.sizes, device="cpu"), self.order, self.steps, time_first=False)

    @cached_property
    def _turned(self) -> Tensor:
        """Which packed row is as far from its sequence's end as each is from its beginning."""
        step, place = self._places
        sizes = torch.tensor(self.sizes, device="cpu")
        lengths = torch.bincount(place, minlength=self.batch)
        return (sizes.cumsum(0) - sizes)[lengths[place] - 1 - step] + place

    def pack(self, value: Tensor) -> Tensor:
        """`(T, B, ...)` as `(1, N, ...)`."""
        rows = self._time_first
        if value.stride(0) < value.stride(1):
            value, rows = value.transpose(0, 1), self._batch_first
        flat = value.flatten(0, 1)
        found = pick(flat, *rows) if value.dim() > 2 else flat[rows[0]]
        return found.unsqueeze(0)

    def unpack(self, value: Tensor) -> Tensor:
        """`(T, B, n)`, zero past the end of a sequence."""
        return pick(value.squeeze(0), *self._time_first[::-1]).view(self.steps, self.batch, -1)

    def turn(self, value: Tensor) -> Tensor:
        """Each sequence of `(1, N, ...)` read backwards, within its own length."""
        if value.dim() < 3:
            return value[:, self._turned]
        return pick(value.squeeze(0), self._turned, self._turned).unsqueeze(0)

    def spread(self, value: Tensor) -> Tensor:
        """What is one for each sequence, in packed order, at each of its steps."""
        return value[:, self._places[1]]

    def sort(self, states: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """States `(B, n)` in the packed order."""
        return tuple(s.index_select(0, self.order) for s in states)

    def unsort(self, states: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """States `(B, n)` in the order that the caller knows."""
        back = self.order.argsort()
        return tuple(s.index_select(0, back) for s in states)


def _numbers(value: Tensor) -> tuple[int, ...]:
    return tuple(cast("list[int]", value.tolist()))
