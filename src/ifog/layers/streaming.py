"""One step at a time without the cost of a sequence: weights packed once, states in and out.

Owns what a stream remembers between its steps: copies of the weights in the engine's order, made when it was opened.
Takes a layer, then inputs and states; gives outputs and states. Never learns.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ifog.errors import ShapeError
from ifog.kernels.generation import Layer, Stream, runs
from ifog.kernels.numbers import FLOATS

if TYPE_CHECKING:
    from ifog.layers.stack import Stack

__all__ = ["Streaming", "watched"]


class Streaming:
    """A layer opened for single steps.

    Its weights are those of the moment when it was opened; changes after that are not seen. Where the engine can't run
    the layer, steps go through the layer itself.

    Args:
        stack: Layers that read in one direction.
        batch: How many sequences go side by side (B).

    Examples:
        >>> import torch, ifog
        >>> stream = ifog.LSTM(3, 5).eval().streaming()
        >>> state = None
        >>> for x in torch.randn(7, 1, 3):
        ...     y, state = stream.step(x, state)
        >>> y.shape
        torch.Size([1, 5])
    """

    def __init__(self, stack: Stack, batch: int = 1) -> None:
        self.stack, self.batch = stack, batch
        self.stream: Stream | None = None
        if _can(stack):
            with torch.no_grad():
                layers = [Layer(p.graph, stack.cell_parameters(k, 0)) for k, p in enumerate(stack.plans)]
                self.stream = Stream(layers, batch, stack.vocabulary, precision=stack.precision)

    @torch.no_grad()
    def step(self, x: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """The output `(B, P)` and the next state.

        Args:
            x: (B, D), or ids (B,).
            state: As it was returned, or None for the beginning.

        Raises:
            ShapeError: An input or a state that doesn't fit.
        """
        if x.shape[:1] != (self.batch,):
            raise ShapeError(
                f"step: this stream was opened for {self.batch} sequences, got an input of shape {tuple(x.shape)}; "
                f"open another with streaming(batch={len(x) if x.dim() else 1})"
            )
        if self.stream is None:
            return self.stack.step(x, state)
        stack = self.stack
        x = x.long() if stack.vocabulary is not None else x
        stack.check_input(x.unsqueeze(0))
        states = stack.first_states(self.batch, x) if state is None else stack.unpack(state, self.batch, True)
        states = [tuple(s if s.stride(-1) == 1 else s.contiguous() for s in one) for one in states]
        sizes = [p.graph.state_sizes for p in stack.plans]
        made = [tuple(torch.empty(self.batch, n, **FLOATS) for n in one) for one in sizes]
        return self.stream.step(x, states, made), stack.pack(made, True)


def watched(module: nn.Module) -> bool:
    """Whether a hook wants to see every call of a module."""
    return any(vars(module)[kind] for kind in ("_forward_hooks", "_forward_pre_hooks"))


def _can(stack: Stack) -> bool:
    """Whether the engine runs every layer, and nothing wants chance or a look at a sequence."""
    if stack.training and (stack.dropout or any(p.graph.drops for p in stack.plans)):
        return False
    if watched(stack) or (stack.training and any(p.graph.masks for p in stack.plans)):
        return False
    return all(stack.choice(k).backend == "cpu" and runs(p.graph) for k, p in enumerate(stack.plans))
