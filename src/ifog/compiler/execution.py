"""Run plans in plain PyTorch, on any device and in any floating dtype.

Owns the two executors: `unroll` runs the forward programs with ordinary PyTorch operations, so autograd can
differentiate it (the truth that everything else is compared with); `backpropagate` runs the symbolic backward programs
by hand, with one product over time and batch for each operand's weight gradients. Takes plans and tensors, gives
tensors. Never traces, never chooses a backend.

Masks: `valid` (T, B, 1) is False past the end of a sequence: the state stays and the output is zero. `reset`
(T, B, 1) is True where the state goes back to its start before the step. Packed sequences become padded ones first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ifog.compiler.evaluation import (
    Inputs,
    Joins,
    Values,
    joined,
    leaves,
    literals,
    run_operations,
    run_stages,
    stack,
)
from ifog.compiler.gradients import Backward, Gradients
from ifog.compiler.graph import Level
from ifog.compiler.planning import Plan
from ifog.compiler.precision import rounded_rows, rounded_weights

__all__ = ["Inputs", "Unrolled", "backpropagate", "over_time", "unpacked", "unroll"]


@dataclass(frozen=True)
class Unrolled:
    """What a sequence gives.

    Attributes:
        output: `(T, B, P)`; zero where a step is not valid.
        states: After the last valid step, each `(B, n)`.
        kept: The values that were asked for, step by step, each `(B, n)`.
        fixed: The values computed outside the loop, for `backpropagate`.
        history: The states after every step, each `(B, n)`; empty unless asked for.
    """

    output: Tensor
    states: tuple[Tensor, ...]
    kept: dict[int, Sequence[Tensor]]
    fixed: Values
    history: list[tuple[Tensor, ...]]


def unroll(plan: Plan, inputs: Inputs, keep: Sequence[int] = (), history: bool = False) -> Unrolled:
    """Runs the forward programs over a whole sequence.

    Args:
        plan: From `planning.plan`.
        inputs: Tensors of one device and one floating dtype.
        keep: Numbers of the plan's nodes whose values at every step are wanted.
        history: Whether the states after every step are wanted.
    """
    graph, levels = plan.graph, plan.levels
    fixed = leaves(plan, inputs)
    for stages in (plan.constant, plan.input):
        run_stages(
            graph.nodes, stages, fixed, stack(graph.nodes, stages, inputs.parameters), precision=inputs.precision
        )
    steps, batch = inputs.x.shape[:2]
    in_loop = dict.fromkeys(i for i in keep if levels[i] == Level.STEP)
    weights = stack(graph.nodes, plan.step, inputs.parameters)
    constants = {i: v for i, v in fixed.items() if levels[i] == Level.CONSTANT}
    slices = {i: fixed[i].unbind(0) for i in plan.sequences}
    states = inputs.states
    outputs: list[Tensor] = []
    kept: dict[int, list[Tensor]] = {i: [] for i in in_loop}
    past: list[tuple[Tensor, ...]] = []
    for t in range(steps):
        if inputs.reset is not None:
            start = inputs.start or inputs.states
            states = tuple(torch.where(inputs.reset[t], s0, s) for s0, s in zip(start, states, strict=True))
        values = constants | {i: s[t] for i, s in slices.items()}
        values.update((s.node, v) for s, v in zip(graph.states, states, strict=True))
        run_stages(graph.nodes, plan.step, values, weights, precision=inputs.precision)
        following = tuple(_rows(values[s.next], v) for s, v in zip(graph.states, states, strict=True))
        output = _rows(values[graph.output], values[graph.states[0].node])
        if inputs.valid is not None:
            following = tuple(torch.where(inputs.valid[t], n, v) for n, v in zip(following, states, strict=True))
            output = torch.where(inputs.valid[t], output, 0.0)
        states = following
        outputs.append(output)
        for i in in_loop:
            kept[i].append(values[i])
        if history:
            past.append(states)
    found = {i: fixed[i].expand(steps, batch, -1).unbind(0) for i in keep if i not in kept}
    return Unrolled(over_time(outputs, graph.output_size, states[0]), states, {**kept, **found}, fixed, past)


def backpropagate(
    gradients: Gradients, inputs: Inputs, forward: Unrolled, d_output: Tensor, d_states: Sequence[Tensor]
) -> tuple[Tensor | None, tuple[Tensor, ...], dict[str, Tensor]]:
    """Runs the backward programs over a whole sequence.

    Args:
        gradients: From `gradients.differentiate`.
        inputs: The same as given to `unroll`.
        forward: What `unroll` gave with `keep=gradients.saved` and `history=True`.
        d_output: Cotangent of the output, `(T, B, P)`.
        d_states: Cotangents of the last states, each `(B, n)`.

    Returns:
        The gradients of the input (None for token ids), of the first states (and of `start` after them, where it is
        given), and of the parameters by name.
    """
    graph, nodes = gradients.plan.graph, gradients.nodes
    collected, joins, d_first = _loop_back(gradients, inputs, forward, d_output, d_states)
    d_parameters: dict[str, Tensor] = {}
    _weight_gradients(gradients.step, collected, joins, d_parameters, inputs)

    values = literals(nodes, inputs.states[0]) | forward.fixed | collected
    for section in (gradients.input, gradients.constant):
        weights = stack(nodes, section.stages, inputs.parameters)
        run_stages(nodes, section.stages, values, weights, joins, inputs.precision)
        _weight_gradients(section, values, joins, d_parameters, inputs)
    for i, d in gradients.constant.results:
        name = str(nodes[i].attributes[0])
        d_parameters[name] = values[d]
    for name in inputs.parameters.keys() - d_parameters.keys():  # read by a gate that nothing follows from
        d_parameters[name] = torch.zeros_like(inputs.parameters[name])
    if not inputs.x.is_floating_point():
        return None, d_first, d_parameters
    d_x = next((values[d] for i, d in gradients.input.results if graph.nodes[i].op == "input"), None)
    return torch.zeros_like(inputs.x) if d_x is None else d_x, d_first, d_parameters


def _loop_back(
    gradients: Gradients, inputs: Inputs, forward: Unrolled, d_output: Tensor, d_states: Sequence[Tensor]
) -> tuple[Values, Joins, tuple[Tensor, ...]]:
    """The backward loop: what it collects at every step, alone and joined, and the cotangents of the first states."""
    plan, nodes = gradients.plan, gradients.nodes
    graph, levels, steps = plan.graph, plan.levels, len(inputs.x)
    weights = stack(nodes, gradients.step.stages, inputs.parameters)
    constants = {i: v for i, v in forward.fixed.items() if levels[i] == Level.CONSTANT}
    constants |= literals(nodes, inputs.states[0])
    slices = {i: v.unbind(0) for i, v in forward.fixed.items() if levels[i] == Level.INPUT}
    slices |= forward.kept
    previous = _previous_states(inputs, forward)
    of_state = dict(gradients.step.results)
    outside = [d for i, d in gradients.step.results if nodes[i].op != "state"]
    bundles = _bundles(gradients, d_output)
    products = gradients.step.weights
    wanted = {*outside, *(w.operand for w in products), *(d for w in products for d in w.cotangents)}
    collected: dict[int, list[Tensor]] = {i: [] for i in wanted.difference(*bundles)}
    carried = tuple(d_states)
    d_start = tuple(torch.zeros_like(s) for s in inputs.states)
    for t in reversed(range(steps)):
        values = constants | {i: s[t] for i, s in slices.items()}
        for k, state in enumerate(graph.states):
            values.setdefault(state.next, forward.history[t][k])
            values[state.node] = previous[t][k]
        arriving, d_out = carried, d_output[t]
        if inputs.valid is not None:
            arriving = tuple(torch.where(inputs.valid[t], d, 0.0) for d in carried)
            d_out = torch.where(inputs.valid[t], d_out, 0.0)
        values[gradients.seed] = d_out
        values.update(zip(gradients.carried, arriving, strict=True))
        run_operations(nodes, gradients.recomputed, values)
        joins: Joins = {}
        run_stages(nodes, gradients.step.stages, values, weights, joins, inputs.precision)
        for members, rows in bundles.items():
            rows[t] = joined(members, values, joins)
        leaving = tuple(
            _rows(values[of_state[s.node]], v) if s.node in of_state else torch.zeros_like(v)
            for s, v in zip(graph.states, inputs.states, strict=True)
        )
        if inputs.valid is not None:
            leaving = tuple(torch.where(inputs.valid[t], new, old) for new, old in zip(leaving, carried, strict=True))
        if inputs.reset is not None:
            back = tuple(torch.where(inputs.reset[t], d, 0.0) for d in leaving)
            d_start = tuple(total + d for total, d in zip(d_start, back, strict=True))
            leaving = tuple(torch.where(inputs.reset[t], 0.0, d) for d in leaving)
        carried = leaving
        for i, sequence in collected.items():
            sequence.append(values[i])
    stacked: Values = {i: over_time(v[::-1], nodes[i].size, d_output) for i, v in collected.items()}
    for members, rows in bundles.items():
        stacked.update(zip(members, torch.split(rows, [nodes[d].size for d in members], -1), strict=True))
    if inputs.start is not None:
        return stacked, bundles, (*carried, *d_start)
    return stacked, bundles, tuple(total + d for total, d in zip(d_start, carried, strict=True))


def _bundles(gradients: Gradients, like: Tensor) -> Joins:
    """Room for the cotangents that make up one weight gradient, side by side, so that nothing is copied later."""
    found: Joins = {}
    for members in {w.cotangents for w in gradients.step.weights if len(w.cotangents) > 1}:
        if not any(set(members) & set(other) for other in found):  # a cotangent has one place
            found[members] = like.new_empty(*like.shape[:2], sum(gradients.nodes[d].size for d in members))
    return found


def _previous_states(inputs: Inputs, forward: Unrolled) -> list[tuple[Tensor, ...]]:
    """The states that each step read, resets included."""
    before = [inputs.states, *forward.history][: len(inputs.x)]
    if inputs.reset is None:
        return before
    return [
        tuple(torch.where(r, first, s) for first, s in zip(inputs.start or inputs.states, states, strict=True))
        for r, states in zip(inputs.reset, before, strict=True)
    ]


def _weight_gradients(
    program: Backward, values: Values, joins: Joins, found: dict[str, Tensor], inputs: Inputs
) -> None:
    """Adds each matrix's gradient to `found`: for each operand one product over time and batch."""
    parameters = inputs.parameters
    for weight in program.weights:
        sizes = [parameters[name].shape[1 if flag else 0] for name, flag, _ in weight.terms]
        bundle = joined(weight.cotangents, values, joins).reshape(-1, sum(sizes))
        operand = values[weight.operand]
        if operand.is_floating_point():
            flat = operand.reshape(-1, operand.shape[-1])
            d, a = rounded_rows(bundle.t(), inputs.precision), rounded_weights(flat.t(), inputs.precision)
            outer = d @ a.t()
        else:
            name, flag, _ = weight.terms[0]
            columns = bundle.new_zeros(parameters[name].shape[0 if flag else 1], bundle.shape[1])
            outer = columns.index_add_(0, operand.reshape(-1), bundle).t()
        for (name, flag, _), rows in zip(weight.terms, torch.split(outer, sizes), strict=True):
            gradient = rows.t() if flag else rows
            found[name] = found[name] + gradient if name in found else gradient


def unpacked(inputs: Inputs) -> tuple[Inputs, Tensor]:
    """Packed sequences as padded ones, and which of the `(T, B)` rows are real: those rows, in order, are the packed.

    Autograd can differentiate it.
    """
    sizes = torch.tensor(inputs.sizes).unsqueeze(1)
    real = torch.arange(len(inputs.states[0])) < sizes

    def spread(value: Tensor) -> Tensor:
        return value.new_zeros(*real.shape, *value.shape[2:]).index_put((real,), value[0])

    reset = None if inputs.reset is None else spread(inputs.reset)
    masks = tuple(map(spread, inputs.masks))
    return replace(inputs, x=spread(inputs.x), masks=masks, valid=real.unsqueeze(-1), reset=reset, sizes=()), real


def _rows(value: Tensor, like: Tensor) -> Tensor:
    """A value that depends on parameters alone has no batch axis until someone needs it."""
    return value.expand(like.shape[0], -1) if value.dim() < like.dim() else value


def over_time(steps: Sequence[Tensor], size: int, like: Tensor) -> Tensor:
    """One tensor `(T, B, size)` of all steps, of which there may be none."""
    return torch.stack(tuple(steps)) if steps else like.new_empty(0, like.shape[-2], size)
