"""Backpropagation through time by the compiler's own backward programs, as one autograd function.

Owns the crossing from autograd to `compiler.execution`. Takes a plan and tensors, gives tensors that autograd can
differentiate; a second derivative goes through the executor that autograd itself differentiates. Never derives
anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor

from ifog.compiler.execution import Inputs, backpropagate, unroll
from ifog.compiler.gradients import differentiate
from ifog.compiler.planning import Plan
from ifog.compiler.precision import Precision

__all__ = ["run"]


@dataclass(frozen=True)
class _Layout:
    """What the flat list of an autograd function's tensors means, and what is not differentiated."""

    plan: Plan
    names: tuple[str, ...]
    restarts: bool
    valid: Tensor | None
    reset: Tensor | None
    precision: Precision = "fp32"

    def flat(self, inputs: Inputs) -> tuple[Tensor, ...]:
        """Every tensor that may have a gradient, then the masks."""
        return (inputs.x, *inputs.states, *(inputs.start or ()), *inputs.parameters.values(), *inputs.masks)

    def inputs(self, tensors: Sequence[Tensor]) -> Inputs:
        """What `flat` was given."""
        count = len(self.plan.graph.states)
        x, *rest = tensors
        states, rest = rest[:count], rest[count:]
        start, rest = (tuple(rest[:count]), rest[count:]) if self.restarts else (None, rest)
        parameters = dict(zip(self.names, rest, strict=False))
        masks = tuple(rest[len(self.names) :])
        return Inputs(x, tuple(states), parameters, masks, self.valid, self.reset, start, self.precision)


def run(plan: Plan, inputs: Inputs) -> tuple[Tensor, tuple[Tensor, ...]]:
    """The output `(T, B, P)` and the last states of a sequence."""
    if not torch.is_grad_enabled():
        result = unroll(plan, inputs)
        return result.output, result.states
    layout = _Layout(
        plan, tuple(inputs.parameters), inputs.start is not None, inputs.valid, inputs.reset, inputs.precision
    )
    output, *states = cast("tuple[Tensor, ...]", _Sequence.apply(layout, *layout.flat(inputs)))
    return output, tuple(states)


class _Sequence(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, layout: _Layout, *tensors: Tensor) -> Any:
        inputs = layout.inputs(tensors)
        ctx.layout = layout
        ctx.gradients = differentiate(layout.plan, inputs.x.requires_grad)
        ctx.result = unroll(layout.plan, inputs, ctx.gradients.saved, history=True)
        ctx.save_for_backward(*tensors)  # autograd notices a weight that was changed in place before backward
        return ctx.result.output, *(s.clone() for s in ctx.result.states)

    @staticmethod
    def backward(ctx: Any, *d: Tensor) -> Any:
        layout, tensors = ctx.layout, ctx.saved_tensors
        if torch.is_grad_enabled():  # create_graph=True: someone will differentiate these gradients
            return None, *_differentiable(layout, tensors, d)
        inputs = layout.inputs(tensors)
        d_output, *d_states = d
        d_x, d_first, d_parameters = backpropagate(ctx.gradients, inputs, ctx.result, d_output, d_states)
        return None, d_x, *d_first, *(d_parameters[n] for n in layout.names), *(None for _ in inputs.masks)


def _differentiable(layout: _Layout, tensors: Sequence[Tensor], d: Sequence[Tensor]) -> list[Tensor | None]:
    # other names for them: a state that was computed from the input is no part of the input's own gradient here
    tensors = [t.view_as(t) for t in tensors]
    result = unroll(layout.plan, layout.inputs(tensors))
    wanted = [t for t in tensors if t.requires_grad]
    outputs = (result.output, *result.states)
    gradients = torch.autograd.grad(outputs, wanted, d, create_graph=True, allow_unused=True, materialize_grads=True)
    found = iter(gradients)
    return [next(found) if t.requires_grad else None for t in tensors]
