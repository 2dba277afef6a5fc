"""The cross-entropy of a softmax over many tokens, computed in pieces.

Owns the derivative: no more than a few megabytes of scores exist at a time, and each is made once. Takes hidden vectors
(N, H), a matrix (V, H) and targets (N,), where a negative target counts for nothing; gives nats (N,). Never averages
by itself, and owns no parameter.
"""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

__all__ = ["Windows", "mean_nats", "token_nats"]

PIECE = 2**23  # scores held at a time: 32 MB of float32; with less, adding up the matrix's gradient costs more


class Windows(NamedTuple):
    """Scores added to each token's row: the sum of K stretches of V neighbours in one long table.

    Attributes:
        table: (S,) numbers, S at least V.
        offsets: (N, K) int64, where each stretch begins, from 0 to S - V.
    """

    table: Tensor
    offsets: Tensor

    def add_to(self, scores: Tensor, rows: slice) -> None:
        """Adds the stretches of some tokens to their scores (n, V), in place."""
        stretches = self.table.as_strided((len(self.table) - scores.size(1) + 1, scores.size(1)), (1, 1))
        for offsets in self.offsets[rows].unbind(1):
            scores.add_(stretches.index_select(0, offsets))

    def collect(self, gradient: Tensor, of_scores: Tensor, rows: slice) -> None:
        """Adds the cotangents of some tokens' scores (n, V) to the table's gradient (S,), in place."""
        size = of_scores.size(1)
        for offsets in self.offsets[rows].unbind(1):
            # a frequent context is summed up first, so that each stretch is walked over once
            places, which = cast("tuple[Tensor, Tensor]", offsets.unique(return_inverse=True))
            summed = of_scores.new_zeros(len(places), size).index_add_(0, which, of_scores)
            for place, row in zip(cast("list[int]", places.tolist()), summed.unbind(0), strict=True):
                gradient[place : place + size].add_(row)


def token_nats(
    hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, windows: Windows | None = None
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
        windows: scores to add to those of the matrix.

    Returns:
        (N,) nats.

    Examples:
        >>> hidden, weight, targets = torch.randn(6, 4), torch.randn(9, 4), torch.arange(6)
        >>> expected = torch.nn.functional.cross_entropy(hidden @ weight.T, targets, reduction="none")
        >>> torch.allclose(token_nats(hidden, weight, None, targets), expected, atol=1e-5)
        True
    """
    table, offsets = (None, None) if windows is None else windows
    with torch.autocast(hidden.device.type, enabled=False):
        return cast("Tensor", _Nats.apply(hidden.to(weight.dtype), weight, bias, targets, table, offsets))


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
        inputs, gradients = ctx.saved_tensors[:6], ctx.saved_tensors[6:]
        counted = cotangent[inputs[3] >= 0]
        if len(counted) and not bool((counted == counted[0]).all()):
            return _walk(inputs, tuple(ctx.needs_input_grad), cotangent)[1]
        factor = counted[0] if len(counted) else cotangent.new_zeros(())
        return tuple(None if g is None else g * factor for g in gradients)


def _walk(inputs: Any, needs: tuple[bool, ...], factors: Tensor | None) -> tuple[Tensor, tuple[Tensor | None, ...]]:
    """Each token's nats, and the gradients of their sum, weighted by `factors`, for the inputs that need one."""
    hidden, weight, bias, targets, table, offsets = inputs
    windows = None if table is None else Windows(table, offsets)
    gradients = tuple(
        torch.zeros_like(value) if wanted and value is not None else None
        for value, wanted in zip(inputs, needs, strict=True)
    )
    of_hidden, of_weight, of_bias, _, of_table, _ = gradients
    nats = hidden.new_zeros(len(hidden))
    rows = max(1, PIECE // len(weight))
    space = hidden.new_empty(min(rows, len(hidden)), len(weight))
    for start in range(0, len(hidden), rows):
        here = slice(start, min(start + rows, len(hidden)))
        scores = torch.mm(hidden[here], weight.t(), out=space[: here.stop - start])
        if bias is not None:
            scores.add_(bias)
        if windows is not None:
            windows.add_to(scores, here)
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
        if of_table is not None and windows is not None:
            windows.collect(of_table, scores, here)
    return nats, gradients


def mean_nats(nats: Tensor, targets: Tensor) -> Tensor:
    """The mean over the tokens that count, those with a target of 0 or more; 0 where there is none."""
    return nats.sum() / (targets >= 0).sum().clamp(min=1)
