"""The masks of a sequence: random ones for dropout and zoneout, and which steps count.

Owns the meaning of `lengths` and `reset`, and the drawing of the random masks that cell transforms ask for.
Takes sizes, gives tensors.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from ifog.compiler.graph import Graph
from ifog.errors import ShapeError
from ifog.layers.dropout import chosen, dropout
from ifog.layers.packing import Packing
from ifog.shapes import Bool, Float, Int

__all__ = ["Extent", "draw", "extent", "reversal"]


@dataclass(frozen=True)
class Extent:
    """How long the sequences are, and before which steps the state starts anew (`reset`); None: as all steps, never.

    The masks are of padded sequences, as the caller gave them, also where the layer packs the sequences.
    """

    steps: int
    lengths: Int[Tensor, "B"] | None
    reset: Bool[Tensor, "T B 1"] | None
    packing: Packing | None = None

    @property
    def valid(self) -> Bool[Tensor, "T B 1"] | None:
        """Which steps count; None: all."""
        if self.lengths is None:
            return None
        return (torch.arange(self.steps, device=self.lengths.device).unsqueeze(1) < self.lengths).unsqueeze(-1)

    @property
    def masks(self) -> tuple[Tensor | None, Tensor | None]:
        """`valid` and `reset` as a recurrence takes them: packed sequences have no step that doesn't count."""
        if self.packing is None:
            return self.valid, self.reset
        return None, None if self.reset is None else self.packing.pack(self.reset)


def extent(
    steps: int, batch: int, device: torch.device, lengths: Int[Tensor, "B"] | None, reset: Bool[Tensor, "T B"] | None
) -> Extent:
    """Checks `lengths` `(B,)` and `reset` `(T, B)` and makes masks of them.

    Raises:
        ShapeError: A shape, a type or a value that can't be meant.
    """
    if lengths is not None:
        lengths = torch.as_tensor(lengths, device=device)
        if lengths.shape != (batch,) or lengths.is_floating_point() or lengths.dtype == torch.bool:
            raise ShapeError(
                f"lengths: expected {batch} integers, one for each sequence of the batch, "
                f"got {tuple(lengths.shape)} of {lengths.dtype}"
            )
        lengths = lengths.to(device)
        if not torch.compiler.is_compiling():
            shortest, longest = map(int, lengths.aminmax()) if batch else (steps, steps)
            if shortest < 0 or longest > steps:
                raise ShapeError(
                    f"lengths: expected values from 0 to {steps}, the number of steps, got {shortest} to {longest}"
                )
            lengths = lengths if shortest < steps else None
    span = Extent(steps, lengths, None)
    if reset is not None:
        if reset.shape != (steps, batch) or reset.dtype != torch.bool:
            raise ShapeError(
                f"reset: expected a bool tensor of shape ({steps}, {batch}), (time, batch), "
                f"got {tuple(reset.shape)} of {reset.dtype}"
            )
        reset = reset.to(device, copy=True).unsqueeze(-1)  # backward reads it too, when the caller may have changed it
        # past its end the state stays as it is
        span = replace(span, reset=reset if span.valid is None else reset & span.valid)
    return span


def reversal(span: Extent, device: torch.device) -> tuple[Callable[[Tensor], Tensor], Extent]:
    """What turns a tensor `(T, B, ...)` around in time, and back again, and the masks as they are then.

    Each sequence turns around within its own length. A reset that stands before step t ends the past of step t; read
    backwards it ends the future of step t - 1, so it stands before that step.
    """
    time = torch.arange(span.steps, device=device).unsqueeze(1)
    n = span.lengths
    order = time.flip(0) if n is None else torch.where(time < n, n - 1 - time, time)
    reset = span.reset
    if reset is not None:
        later = torch.cat([reset[1:], torch.zeros_like(reset[:1])])
        reset = torch.take_along_dim(later, order.unsqueeze(-1), 0)
    turn = span.packing.turn if span.packing else partial(_reorder, order=order)
    return turn, replace(span, reset=reset)


def _reorder(value: Tensor, order: Tensor) -> Tensor:
    """Steps of `value` `(T, B, ...)` in the given order, which may differ between sequences."""
    if order.shape[1] == 1:
        return value.flip(0)
    order = order.reshape(*order.shape, *([1] * (value.dim() - 2)))
    return torch.take_along_dim(value, order, 0)


def draw(graph: Graph, span: Extent, like: Tensor, training: bool) -> tuple[Float[Tensor, "T B H"], ...]:
    """The graph's random masks, each `(T or 1, B, n)`, or `(1, N, n)` of packed sequences; `like` is `(B, ...)`.

    "dropout" keeps an entry with probability 1 - rate and scales it up; "zoneout" is 1 where the old state stays. In
    evaluation both are their expectation.
    """
    batch, packing = len(like), span.packing
    drawn: list[Tensor] = []
    for i in graph.masks:
        node = graph.nodes[i]
        _, rate, scope, kind = node.attributes
        rate = float(str(rate))
        rows = (1, sum(packing.sizes)) if packing else (span.steps, batch)
        shape = (*(rows if scope == "step" else (1, batch)), node.size)
        if not training:
            mask = like.new_full(shape, rate if kind == "zoneout" else 1.0)
        elif kind == "zoneout":
            mask = chosen(shape, rate, like)
        else:
            mask = dropout(like.new_ones(shape), rate)
        drawn.append(packing.spread(mask) if packing and scope != "step" else mask)
    return tuple(drawn)
