"""The engine behind autograd: one sequence as one differentiable operation.

Owns the crossing from autograd to `kernels.cpu`. Takes a plan and tensors, gives tensors that autograd can
differentiate; a second derivative goes through the executor that autograd itself differentiates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor

from ifog.compiler.evaluation import Inputs
from ifog.compiler.execution import over_time, unpacked, unroll
from ifog.compiler.graph import Level
from ifog.compiler.loops import Options, lower
from ifog.compiler.planning import Plan, plan
from ifog.compiler.precision import Precision
from ifog.kernels import cpu, operators
from ifog.kernels.following import batched, followed
from ifog.kernels.loading import available
from ifog.kernels.sharing import Shared

__all__ = ["Weights", "obstacle", "run"]


class Weights(NamedTuple):
    """A cell's parameters as they lie in memory."""

    shared: Shared
    tensors: tuple[Tensor, ...]


def obstacle(plan_: Plan, gates: bool) -> str:
    """What keeps the engine from running a plan, or nothing."""
    if not available():
        return "the C++ engine is not installed"
    nodes = plan_.graph.nodes
    fused = plan(plan_.graph, fused=True)
    operands = [nodes[a] for s in fused.step for g in s.products for p in g for a in nodes[p].args]
    if any(n.op == "constant" for n in operands):
        return "a matrix in its loop multiplies a constant"
    if gates and any(fused.levels[i] != Level.STEP for _, i in plan_.graph.names):
        return "a gate that is returned does not depend on the step"
    return ""


def run(
    plan_: Plan,
    inputs: Inputs,
    names: tuple[str, ...] = (),
    precision: Precision = "fp32",
    weights: Weights | None = None,
) -> tuple[Tensor, tuple[Tensor, ...], dict[str, Tensor]]:
    """The output `(T, B, P)`, the last states and the named values of a sequence.

    Args:
        plan_: The recurrence.
        inputs: Tensors; `parameters` is ignored where `weights` is given.
        names: The named values wanted.
        precision: What matrix products multiply.
        weights: Parameters that lie together in memory.
    """
    if torch.compiler.is_compiling():  # a tracer can't look into the engine
        given = () if weights is None else weights.tensors
        return operators.run(plan_, inputs, names, precision, weights.shared if weights else None, given)
    if weights is None:
        weights = Weights(Shared.of(plan_.graph, tuple(inputs.parameters)), tuple(inputs.parameters.values()))
    shared = weights.shared
    tensors = (inputs.x, *inputs.states, *(inputs.start or ()), *weights.tensors, *inputs.masks)
    train = torch.is_grad_enabled() and any(t.requires_grad for t in tensors)
    fused, options, gates = _prepared(
        plan_, names, train, precision, train and inputs.x.requires_grad, inputs.valid is not None,
        inputs.reset is not None, shared.order, bool(inputs.sizes),
    )  # fmt: skip
    call = _Call(fused, shared, inputs.start is not None, inputs.valid, inputs.reset, inputs.sizes)
    if followed():
        output, *rest = _in_torch(call, tensors, options)
    elif train:
        output, *rest = cast("tuple[Tensor, ...]", _Sequence.apply(call, options, *tensors))
    else:  # nothing needs a gradient, so autograd records nothing
        output, *rest = _forward(call, options, tensors)[0]
    count = len(inputs.states)
    values = dict(zip(options.gates, rest[count:], strict=True))
    return output, tuple(rest[:count]), {name: values[i] for name, i in gates}


@lru_cache(maxsize=1024)
def _prepared(
    plan_: Plan, names: tuple[str, ...], train: bool, precision: Precision, d_x: bool, valid: bool, reset: bool,
    order: tuple[str, ...], packed: bool,
) -> tuple[Plan, Options, tuple[tuple[str, int], ...]]:  # fmt: skip
    """The plan with its products fused, what its loops must do, and the nodes of the named values."""
    fused = plan(plan_.graph, fused=True)
    gates = tuple((name, i) for name, i in fused.graph.names if name in names)
    wanted = tuple(dict.fromkeys(i for _, i in gates))
    return fused, Options(train, precision, d_x, valid, reset, wanted, order, packed), gates


@dataclass(frozen=True)
class _Call:
    """What the flat list of an autograd function's tensors means, and what is not differentiated."""

    plan: Plan
    shared: Shared
    restarts: bool
    valid: Tensor | None
    reset: Tensor | None
    sizes: tuple[int, ...]

    def cut(self, tensors: Sequence[Tensor]) -> tuple[Any, ...]:
        """x, states, start, weights, masks."""
        count, weights = len(self.plan.graph.states), self.shared.count
        ends = [1, 1 + count, 1 + count * (1 + self.restarts), 1 + count * (1 + self.restarts) + weights, len(tensors)]
        return (tensors[0], *(tuple(tensors[a:b]) for a, b in pairwise(ends)))

    def inputs(self, tensors: Sequence[Tensor], precision: Precision) -> Inputs:
        """What the executor that autograd differentiates takes."""
        x, states, start, weights, masks = self.cut(tensors)
        parameters = self.shared.parameters(weights)
        return Inputs(x, states, parameters, masks, self.valid, self.reset, start or None, precision, self.sizes)


def _forward(call: _Call, options: Options, tensors: Sequence[Tensor]) -> tuple[tuple[Tensor, ...], cpu.Saved]:
    x, states, start, weights, masks = call.cut(tensors)
    masks = tuple(map(cpu.columns, masks))
    states, start = tuple(map(cpu.columns, states)), tuple(map(cpu.columns, start))
    weights = call.shared.add(weights)
    given = cpu.Tensors(cpu.columns(x), states, start, weights, masks, call.valid, call.reset, call.sizes)
    output, last, gates, saved = cpu.forward(lower(call.plan, options), call.shared.summed, given)
    return (output, *last, *gates), saved


class _Sequence(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, call: _Call, options: Options, *tensors: Tensor) -> Any:
        results, ctx.saved = _forward(call, options, tensors)  # whose arrays are no results: no circle back to ctx
        ctx.call, ctx.options = call, options
        # autograd notices a weight, or an output, that was changed in place before backward
        ctx.save_for_backward(*tensors, results[0])
        return results

    @staticmethod
    def backward(ctx: Any, *d: Tensor) -> Any:
        call: _Call = ctx.call
        *tensors, _ = ctx.saved_tensors
        # create_graph=True: someone will differentiate these gradients; or many cotangents come as one
        if torch.is_grad_enabled() or followed() or batched(d):
            return None, None, *_differentiable(call, tensors, d, ctx.options)
        count = 1 + len(call.plan.graph.states)
        d_x, d_first, d_weights = cpu.backward(ctx.saved, d[0], d[1:count], d[count:])
        masks = len(tensors) - 1 - len(d_first) - call.shared.count
        return None, None, d_x, *d_first, *d_weights, *([None] * masks)


def _in_torch(call: _Call, tensors: Sequence[Tensor], options: Options) -> tuple[Tensor, ...]:
    """What `_forward` gives, of PyTorch's own operators: the executor that autograd differentiates."""
    inputs, real = call.inputs(tensors, options.precision), None
    if call.sizes:
        inputs, real = unpacked(inputs)
    result = unroll(call.plan, inputs, options.gates)
    nodes = call.plan.graph.nodes
    kept = [over_time(result.kept[i], nodes[i].size, result.output) for i in options.gates]
    output, *kept = [v if real is None else v[real].unsqueeze(0) for v in (result.output, *kept)]
    return output, *result.states, *kept


def _differentiable(
    call: _Call, tensors: Sequence[Tensor], d: Sequence[Tensor], options: Options
) -> list[Tensor | None]:
    """The gradients, computed so that autograd can differentiate them again."""
    # other names for them: a state that was computed from the input is no part of the input's own gradient here
    with torch.enable_grad():
        tensors = [t.view_as(t) for t in tensors]
        outputs = _in_torch(call, tensors, options)
    wanted = [t for t in tensors if t.requires_grad]
    again = torch.is_grad_enabled()
    found = iter(torch.autograd.grad(outputs, wanted, d, create_graph=again, allow_unused=True, materialize_grads=True))
    return [next(found) if t.requires_grad else None for t in tensors]
