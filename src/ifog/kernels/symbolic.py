"""Backpropagation through time by the compiler's own backward programs, as one autograd function.

Owns the crossing from autograd to `compiler.execution`. Takes a plan and tensors, gives tensors that autograd can
differentiate; a second derivative goes through the executor that autograd itself differentiates. Never derives
anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor

from ifog.compiler.execution import Inputs, backpropagate, unroll
from ifog.compiler.gradients import differentiate
from ifog.compiler.planning import Plan

__all__ = ["run"]


def run(plan: Plan, inputs: Inputs) -> tuple[Tensor, tuple[Tensor, ...]]:
    """The output `(T, B, P)` and the last states of a sequence."""
    if not torch.is_grad_enabled():
        result = unroll(plan, inputs)
        return result.output, result.states
    names = tuple(inputs.parameters)
    tensors = (inputs.x, *inputs.states, *inputs.parameters.values(), *inputs.masks)
    output, *states = cast("tuple[Tensor, ...]", _Sequence.apply(plan, names, (inputs.valid, inputs.reset), *tensors))
    return output, tuple(states)


def _inputs(
    plan: Plan, names: Sequence[str], when: tuple[Tensor | None, Tensor | None], tensors: Sequence[Tensor]
) -> Inputs:
    x, rest = tensors[0], tensors[1:]
    count = len(plan.graph.states)
    states, parameters, masks = rest[:count], rest[count : count + len(names)], rest[count + len(names) :]
    return Inputs(x, tuple(states), dict(zip(names, parameters, strict=True)), tuple(masks), *when)


class _Sequence(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, plan: Plan, names: Sequence[str], when: tuple[Tensor | None, Tensor | None], *tensors: Tensor
    ) -> Any:
        inputs = _inputs(plan, names, when, tensors)
        ctx.gradients = differentiate(plan, inputs.x.requires_grad)
        ctx.result = unroll(plan, inputs, ctx.gradients.saved, history=True)
        ctx.names, ctx.when = names, when
        ctx.save_for_backward(*tensors)  # autograd notices a weight that was changed in place before backward
        return ctx.result.output, *(s.clone() for s in ctx.result.states)

    @staticmethod
    def backward(ctx: Any, *d: Tensor) -> Any:
        d_output, *d_states = d
        plan, tensors = ctx.gradients.plan, ctx.saved_tensors
        if torch.is_grad_enabled():  # create_graph=True: someone will differentiate these gradients
            return None, None, None, *_differentiable(plan, ctx.names, ctx.when, tensors, d)
        inputs = _inputs(plan, ctx.names, ctx.when, tensors)
        d_x, d_first, d_parameters = backpropagate(ctx.gradients, inputs, ctx.result, d_output, d_states)
        of_parameters = (d_parameters.get(n) for n in ctx.names)
        return None, None, None, d_x, *d_first, *of_parameters, *(None for _ in inputs.masks)


def _differentiable(
    plan: Plan,
    names: Sequence[str],
    when: tuple[Tensor | None, Tensor | None],
    tensors: Sequence[Tensor],
    d: Sequence[Tensor],
) -> list[Tensor | None]:
    result = unroll(plan, _inputs(plan, names, when, tensors))
    wanted = [t for t in tensors if t.requires_grad]
    found = iter(
        torch.autograd.grad(
            (result.output, *result.states), wanted, d, create_graph=True, allow_unused=True, materialize_grads=True
        )
    )
    return [next(found) if t.requires_grad else None for t in tensors]
