"""Attention: what a decoder looks at while it writes, all of its steps at once where they are known.

Owns the three ways to score (additive, dot, general), the mask of what pads a source, and the weighted mean. Takes
queries (T, B, H) and a memory (S, B, M), time first; gives contexts (T, B, M) and weights (T, B, S). Never owns a
recurrence.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from ifog.errors import ConfigError, ShapeError

__all__ = ["ATTENTIONS", "AdditiveAttention", "Attention", "DotAttention", "GeneralAttention", "Memory", "attention"]


class Memory(NamedTuple):
    """A source as attention reads it; made once, looked at at every step.

    Attributes:
        values: (B, S, M), what contexts are means of.
        keys: (B, S, K), what queries are compared with.
        counts: (B, 1, S), which places are not padding; None: all.
    """

    values: Tensor
    keys: Tensor
    counts: Tensor | None


class Attention(nn.Module, ABC):
    """What every attention does; a subclass says how keys are made and scored.

    Args:
        query_size: columns of a query (H).
        memory_size: columns of the memory (M).

    Raises:
        ConfigError: a size below 1.
    """

    def __init__(self, query_size: int, memory_size: int) -> None:
        super().__init__()
        for name, value in (("query_size", query_size), ("memory_size", memory_size)):
            if value < 1:
                raise ConfigError(f"{type(self).__name__}: {name} is {value!r}; give a whole number of at least 1.")
        self.query_size, self.memory_size = query_size, memory_size

    @abstractmethod
    def keys(self, values: Tensor) -> Tensor:
        """(B, S, K) keys of a memory (B, S, M)."""

    @abstractmethod
    def scores(self, queries: Tensor, keys: Tensor) -> Tensor:
        """(B, T, S) scores of queries (B, T, H) against keys (B, S, K)."""

    def read(self, memory: Tensor, lengths: Tensor | None = None) -> Memory:
        """Prepares a source.

        Args:
            memory: (S, B, M).
            lengths: (B,) integers: places past a length are never looked at; None: there are none.

        Raises:
            ShapeError: sizes that don't fit.
        """
        if memory.dim() != 3 or memory.shape[2] != self.memory_size:
            raise ShapeError(
                f"{type(self).__name__}: expected a memory (S, B, {self.memory_size}), got {tuple(memory.shape)}; "
                "give the encoder's outputs, time first"
            )
        values = memory.transpose(0, 1)
        counts = None
        if lengths is not None:
            if lengths.shape != memory.shape[1:2]:
                raise ShapeError(
                    f"{type(self).__name__}: {memory.shape[1]} sources have lengths of shape {tuple(lengths.shape)}; "
                    "give one for each"
                )
            places = torch.arange(len(memory), device=memory.device)
            counts = (places < lengths.to(memory.device).unsqueeze(1)).unsqueeze(1)
        return Memory(values, self.keys(values), counts)

    def forward(self, queries: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        """Looks at the memory once for each query.

        Args:
            queries: (T, B, H).
            memory: as `read` gave it.

        Returns:
            Contexts (T, B, M), and weights (T, B, S) that sum to 1 over a source, and are all 0 for an empty one.

        Raises:
            ShapeError: queries of another size or batch.
        """
        if queries.dim() != 3 or queries.shape[1:] != (len(memory.values), self.query_size):
            raise ShapeError(
                f"{type(self).__name__}: expected queries (T, {len(memory.values)}, {self.query_size}), got "
                f"{tuple(queries.shape)}"
            )
        scores = self.scores(queries.transpose(0, 1), memory.keys)
        if memory.counts is None:
            weights = scores.softmax(-1)
        else:
            # the lowest finite number, not -inf: a source without a single place must not give 0 / 0
            weights = scores.masked_fill(~memory.counts, torch.finfo(scores.dtype).min).softmax(-1)
            weights = weights.masked_fill(~memory.counts, 0.0)
        return (weights @ memory.values).transpose(0, 1), weights.transpose(0, 1)


class DotAttention(Attention):
    """score(h, m) = h · m: query and memory need the same size, and there is nothing to learn.

    Source:
        Luong, Pham and Manning (2015), Effective approaches to attention-based neural machine translation,
        arXiv:1508.04025.

    Raises:
        ConfigError: different sizes.

    Examples:
        >>> attention = DotAttention(4, 4)
        >>> contexts, weights = attention(torch.zeros(2, 1, 4), attention.read(torch.ones(3, 1, 4)))
        >>> contexts.shape, weights[0]
        (torch.Size([2, 1, 4]), tensor([[0.3333, 0.3333, 0.3333]]))
    """

    def __init__(self, query_size: int, memory_size: int) -> None:
        super().__init__(query_size, memory_size)
        if query_size != memory_size:
            raise ConfigError(
                f"dot attention multiplies queries with the memory, so both need one size, but they have {query_size} "
                f"and {memory_size} columns; make them equal, or take general attention."
            )

    def keys(self, values: Tensor) -> Tensor:
        """The memory itself."""
        return values

    def scores(self, queries: Tensor, keys: Tensor) -> Tensor:
        """(B, T, S) products."""
        return queries @ keys.transpose(1, 2)


class GeneralAttention(DotAttention):
    """score(h, m) = h · W m, for memories of any size.

    Source:
        Luong, Pham and Manning (2015), arXiv:1508.04025.

    Examples:
        >>> attention = GeneralAttention(4, 6)
        >>> attention(torch.zeros(2, 1, 4), attention.read(torch.ones(3, 1, 6)))[0].shape
        torch.Size([2, 1, 6])
    """

    def __init__(self, query_size: int, memory_size: int) -> None:
        Attention.__init__(self, query_size, memory_size)
        self.W_m = nn.Parameter(torch.empty(query_size, memory_size))
        nn.init.uniform_(self.W_m, -(memory_size**-0.5), memory_size**-0.5)

    def keys(self, values: Tensor) -> Tensor:
        """(B, S, H): the memory times W."""
        return functional.linear(values, self.W_m)


class AdditiveAttention(Attention):
    """score(h, m) = v · tanh(W_h h + W_m m + b): a small network judges each pair.

    Needs T * S * `size` numbers at once for each sequence of the batch, where the others need T * S.

    Args:
        query_size: H.
        memory_size: M.
        size: units of the network; None: as many as a query has columns.

    Source:
        Bahdanau, Cho and Bengio (2015), Neural machine translation by jointly learning to align and translate,
        arXiv:1409.0473.

    Examples:
        >>> attention = AdditiveAttention(4, 6)
        >>> attention(torch.zeros(2, 1, 4), attention.read(torch.ones(3, 1, 6)))[0].shape
        torch.Size([2, 1, 6])
    """

    def __init__(self, query_size: int, memory_size: int, size: int | None = None) -> None:
        super().__init__(query_size, memory_size)
        size = query_size if size is None else size
        self.W_h = nn.Parameter(torch.empty(size, query_size))
        self.W_m = nn.Parameter(torch.empty(size, memory_size))
        self.b = nn.Parameter(torch.zeros(size))
        self.v = nn.Parameter(torch.empty(size))
        for weight, reads in ((self.W_h, query_size), (self.W_m, memory_size), (self.v, size)):
            nn.init.uniform_(weight, -(reads**-0.5), reads**-0.5)

    def keys(self, values: Tensor) -> Tensor:
        """(B, S, A): the memory's part of the sum."""
        return functional.linear(values, self.W_m, self.b)

    def scores(self, queries: Tensor, keys: Tensor) -> Tensor:
        """(B, T, S) of the network."""
        return (functional.linear(queries, self.W_h).unsqueeze(2) + keys.unsqueeze(1)).tanh() @ self.v


ATTENTIONS: dict[str, type[AdditiveAttention] | type[DotAttention] | type[GeneralAttention]] = {
    "additive": AdditiveAttention,
    "dot": DotAttention,
    "general": GeneralAttention,
}


def attention(name: str, query_size: int, memory_size: int) -> Attention:
    """An attention by name.

    Raises:
        ConfigError: a name that `ATTENTIONS` lacks, or sizes that it can't have.
    """
    if name not in ATTENTIONS:
        raise ConfigError(f"attention is {name!r}; there are {', '.join(map(repr, ATTENTIONS))}.")
    return ATTENTIONS[name](query_size, memory_size)
