"""Parameters that lie together in one tensor, as `torch.nn` stacks the gates of a layer.

Owns the way from a few tensors to a cell's parameters and of their gradients back, without copies where rows are
neighbours. Takes and gives tensors. Never differentiates: it serves the inside of an autograd function.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["Piece", "Shared", "side_by_side"]


class Piece(NamedTuple):
    """Rows `start` to `stop` of tensor number `tensor`."""

    tensor: int
    start: int
    stop: int


class Shared(NamedTuple):
    """Parameters by name, each the sum of its pieces of `tensors`.

    A stacked tensor's pieces are expected to cover it, in the order of its rows.
    """

    tensors: tuple[Tensor, ...]
    pieces: Mapping[str, tuple[Piece, ...]]

    @classmethod
    def of(cls, parameters: Mapping[str, Tensor]) -> Shared:
        """Each parameter a tensor of its own."""
        rows = {name: (Piece(k, 0, len(v)),) for k, (name, v) in enumerate(parameters.items())}
        return cls(tuple(parameters.values()), rows)

    def parameters(self, tensors: Sequence[Tensor]) -> dict[str, Tensor]:
        """The parameters by name, from `tensors` in place of the own ones."""
        found: dict[str, Tensor] = {}
        for name, pieces in self.pieces.items():
            parts = [tensors[p.tensor][p.start : p.stop] for p in pieces]
            found[name] = parts[0] if len(parts) == 1 else torch.stack(parts).sum(0)
        return found

    def gradients(self, found: Mapping[str, Tensor]) -> list[Tensor]:
        """The gradient of each tensor, from those of the parameters."""
        parts: list[list[tuple[int, Tensor]]] = [[] for _ in self.tensors]
        for name, pieces in self.pieces.items():
            for p in pieces:
                parts[p.tensor].append((p.start, found[name]))
        return [side_by_side([v for _, v in sorted(rows, key=lambda r: r[0])]) for rows in parts]


def side_by_side(parts: Sequence[Tensor]) -> Tensor:
    """Rows of all `parts`: as they lie where they are neighbours in memory, else joined."""
    first = parts[0]
    if len(parts) == 1:
        return first
    end = first.data_ptr()
    for part in parts:
        if part.data_ptr() != end or not part.is_contiguous():
            return torch.cat(list(parts))
        end += part.numel() * part.element_size()
    rows = sum(len(p) for p in parts)
    return first.as_strided((rows, *first.shape[1:]), first.stride())
