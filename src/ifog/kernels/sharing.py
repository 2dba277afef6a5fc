"""Parameters that lie together in one tensor, as `torch.nn` stacks the gates of a layer.

Owns the way from a few tensors to a cell's parameters and of their gradients back, without copies where rows are
neighbours. Takes and gives tensors. Never differentiates: it serves the inside of an autograd function.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache, reduce
from typing import NamedTuple

import torch
from torch import Tensor

from ifog.compiler.graph import Graph

__all__ = ["Piece", "Shared", "side_by_side"]


class Piece(NamedTuple):
    """Rows `start` to `stop` of tensor number `tensor`."""

    tensor: int
    start: int
    stop: int


@dataclass(frozen=True, eq=False)
class Shared:
    """Which rows of which tensors each parameter of a cell is.

    Attributes:
        pieces: By parameter, one piece or several whose sum it is.
        count: How many tensors there are.
        origin: What this one was made from, see `summed`.
    """

    pieces: Mapping[str, tuple[Piece, ...]]
    count: int
    origin: Shared | None = None

    @classmethod
    def of(cls, graph: Graph, order: Sequence[str] = ()) -> Shared:
        """Each parameter a tensor of its own, in this order if it is not the graph's."""
        return _single(graph, tuple(order))

    @cached_property
    def key(self) -> int:
        """Equal for equal pieces."""
        return hash(tuple(self.pieces.items()))

    @cached_property
    def order(self) -> tuple[str, ...]:
        """The parameters' names."""
        return tuple(self.pieces)

    @cached_property
    def sums(self) -> tuple[tuple[int, ...], ...]:
        """The sets of tensors that are added up, row by row, to make parameters."""
        return tuple(dict.fromkeys(tuple(p.tensor for p in ps) for ps in self.pieces.values() if len(ps) > 1))

    @cached_property
    def summed(self) -> Shared:
        """The same where each such sum is one tensor more, after the others."""
        pieces = {
            name: ps
            if len(ps) == 1
            else (ps[0]._replace(tensor=self.count + self.sums.index(tuple(p.tensor for p in ps))),)
            for name, ps in self.pieces.items()
        }
        return Shared(pieces, self.count + len(self.sums), self)

    def add(self, tensors: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """The tensors that `summed` speaks of."""
        return (*tensors, *[reduce(torch.add, [tensors[k] for k in ks]) for ks in self.sums])

    def parameters(self, tensors: Sequence[Tensor]) -> dict[str, Tensor]:
        """The parameters by name."""
        return {name: self.parameter(name, tensors) for name in self.pieces}

    def parameter(self, name: str, tensors: Sequence[Tensor]) -> Tensor:
        """One of them."""
        parts = [_part(tensors[p.tensor], p) for p in self.pieces[name]]
        return parts[0] if len(parts) == 1 else sum(parts[1:], parts[0])

    @cached_property
    def rows(self) -> tuple[tuple[str, ...], ...]:
        """For each tensor (of the origin) the parameters that are its rows, from first to last."""
        if self.origin is not None:
            return self.origin.rows
        found: list[list[tuple[int, str]]] = [[] for _ in range(self.count)]
        for name, pieces in self.pieces.items():
            for p in pieces:
                found[p.tensor].append((p.start, name))
        return tuple(tuple(name for _, name in sorted(names)) for names in found)


def _part(tensor: Tensor, piece: Piece) -> Tensor:
    return tensor if piece.stop - piece.start == tensor.shape[0] else tensor[piece.start : piece.stop]


@lru_cache(maxsize=1024)
def _single(graph: Graph, order: tuple[str, ...]) -> Shared:
    names = order or tuple(graph.rows)
    return Shared({name: (Piece(k, 0, graph.rows[name]),) for k, name in enumerate(names)}, len(names))


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
