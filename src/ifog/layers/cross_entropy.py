"""The cross-entropy of a softmax over many tokens, computed in pieces.

Owns the derivative: no more than a few megabytes of scores exist at a time, and each is made once. Takes hidden vectors
(N, H), a matrix (V, H) and targets (N,), where a negative target counts for nothing; gives nats (N,). Owns too how
scores are read from a table in overlapping stretches. Never averages by itself, and owns no parameter.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

__all__ = ["Windows", "mean_nats", "token_nats"]

PIECE = 2**23  # scores held at a time: 32 MB of float32; with less, adding up the matrix's gradient costs more


class Windows(NamedTuple):
    """Scores of tokens that are read from a table: each row of scores is the sum of K stretches of neighbours there.

    Attributes:
        table: (S,) numbers.
        offsets: (N, K) int64, where each stretch begins; a negative one adds nothing.
        scale: what each stretch is multiplied by.
    """

    table: Tensor
    offsets: Tensor
    scale: float = 1.0

    def scores(self, parts: Sequence[tuple[Tensor, range]]) -> tuple[Tensor, ...]:
        """The scores of some tokens, part by part; the table's gradient is made once for all of them.

        Args:
            parts: which tokens (n,) and which columns of their rows.

        Returns:
            (n, columns) for each part.

        Examples:
            >>> windows = Windows(torch.arange(10.0), torch.tensor([[2, 4], [7, -1]]))
            >>> windows.scores([(torch.tensor([0, 1]), range(0, 3)), (torch.tensor([1]), range(1, 2))])
            (tensor([[ 6.,  8., 10.],
                    [ 7.,  8.,  9.]]), tensor([[8.]]))
        """
        return cast("tuple[Tensor, ...]", _Stretches.apply(self.table, self.offsets, self.scale, parts))


class _Stretches(torch.autograd.Function):
    """`Windows.scores` and its derivative."""

    @staticmethod
    def forward(ctx: Any, table: Tensor, offsets: Tensor, scale: float, parts: Any) -> tuple[Tensor, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx.save_for_backward(offsets)
        ctx.scale, ctx.parts, ctx.places = scale, parts, len(table)
        found: list[Tensor] = []
        for tokens, columns in parts:
            size = len(columns)
            stretches = table.as_strided((max(len(table) - size + 1, 0), size), (1, 1))
            total = table.new_zeros(len(tokens), size)
            for begins in offsets[tokens].unbind(1):
                rows = (begins >= 0).nonzero().squeeze(1)
                total.index_add_(0, rows, stretches.index_select(0, begins[rows] + columns.start), alpha=scale)
            found.append(total)
        return tuple(found)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *cotangents: Any) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        (offsets,) = ctx.saved_tensors
        gradient = cotangents[0].new_zeros(ctx.places)
        for (tokens, columns), cotangent in zip(ctx.parts, cotangents, strict=True):
            # stretches overlap, which no operator of PyTorch's adds up; each is long enough to be one call
            for row, begins in zip((cotangent * ctx.scale).unbind(0), offsets[tokens].tolist(), strict=True):
                for begin in begins:
                    if begin >= 0:
                        gradient[begin + columns.start : begin + columns.stop].add_(row)
        return gradient, None, None, None


def token_nats(
    hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, extra: Tensor | None = None
) -> Tensor:
    """The cross-entropy of each token under a softmax of `weight h + bias`, without ever holding all scores.

    Scores are made for a few tokens at a time. While they are there, their part of every gradient is computed too, as
    if each token counted once; that is what a sum or mean over tokens needs but for one factor. Where the
    tokens turn out to be weighted differently, the backward pass makes the scores again.

    Args:
        hidden: (N, H).
        weight: (V, H).
        bias: (V,) or None.
        targets: (N,) int64; a negative one costs nothing and teaches nothing.
        extra: (N, V) scores to add to those of the matrix.

    Returns:
        (N,) nats.

    Examples:
        >>> hidden, weight, targets = torch.randn(6, 4), torch.randn(9, 4), torch.arange(6)
        >>> expected = torch.nn.functional.cross_entropy(hidden @ weight.T, targets, reduction="none")
        >>> torch.allclose(token_nats(hidden, weight, None, targets), expected, atol=1e-5)
        True
    """
    with torch.autocast(hidden.device.type, enabled=False):
        return cast("Tensor", _Nats.apply(hidden.to(weight.dtype), weight, bias, targets, extra))


class _Nats(torch.autograd.Function):
    """`token_nats` and its derivative."""

    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> Tensor:
        needs = tuple(ctx.needs_input_grad)
        nats, gradients = _walk(inputs, needs, None)
        ctx.save_for_backward(*inputs, *gradients)
        return nats

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *cotangents: Any) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        (cotangent,) = cotangents
        inputs, gradients = ctx.saved_tensors[:5], ctx.saved_tensors[5:]
        counted = cotangent[inputs[3] >= 0]
        if len(counted) and not bool((counted == counted[0]).all()):
            return _walk(inputs, tuple(ctx.needs_input_grad), cotangent)[1]
        factor = counted[0] if len(counted) else cotangent.new_zeros(())
        return tuple(None if g is None else g * factor for g in gradients)


def _walk(inputs: Any, needs: tuple[bool, ...], factors: Tensor | None) -> tuple[Tensor, tuple[Tensor | None, ...]]:
    """Each token's nats, and the gradients of their sum, weighted by `factors`, for the inputs that need one."""
    hidden, weight, bias, targets, extra = inputs
    gradients = tuple(
        torch.zeros_like(value) if wanted and value is not None else None
        for value, wanted in zip(inputs, needs, strict=True)
    )
    of_hidden, of_weight, of_bias, _, of_extra = gradients
    nats = hidden.new_zeros(len(hidden))
    rows = max(1, PIECE // len(weight))
    space = hidden.new_empty(min(rows, len(hidden)), len(weight))
    for start in range(0, len(hidden), rows):
        here = slice(start, min(start + rows, len(hidden)))
        scores = torch.mm(hidden[here], weight.t(), out=space[: here.stop - start])
        if bias is not None:
            scores.add_(bias)
        if extra is not None:
            scores.add_(extra[here])
        ignored, target = targets[here] < 0, targets[here].clamp(min=0).unsqueeze(1)
        top = scores.amax(1, keepdim=True)
        wanted = scores.gather(1, target) - top
        total = scores.sub_(top).exp_().sum(1, keepdim=True)
        nats[here] = (total.log() - wanted).squeeze(1).masked_fill_(ignored, 0.0)
        if not any(needs):
            continue
        factor = torch.ones_like(total) if factors is None else factors[here].unsqueeze(1)
        factor = factor.masked_fill(ignored.unsqueeze(1), 0.0)
        scores.mul_(factor / total).scatter_add_(1, target, -factor)  # what is left of the scores: their cotangents
        if of_hidden is not None:
            torch.mm(scores, weight, out=of_hidden[here])
        if of_weight is not None:
            of_weight.addmm_(scores.t(), hidden[here])
        if of_bias is not None:
            of_bias.add_(scores.sum(0))
        if of_extra is not None:
            of_extra[here] = scores
    return nats, gradients


def mean_nats(nats: Tensor, targets: Tensor) -> Tensor:
    """The mean over the tokens that count, those with a target of 0 or more; 0 where there is none."""
    return nats.sum() / (targets >= 0).sum().clamp(min=1)
