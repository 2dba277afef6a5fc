"""What is computed before the forward loop and after the backward loop, over all time at once, in PyTorch.

Owns what the engine doesn't make there itself: values that depend on weights or the input alone, and products whose
operands don't lie in its memory. Takes `Loops` and tensors, gives tensors. Never runs a step.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from ifog.compiler import evaluation
from ifog.compiler.graph import Node, matrices
from ifog.compiler.loops import Block, Loops
from ifog.compiler.precision import Precision, rounded_rows, rounded_weights
from ifog.kernels.numbers import FLOATS
from ifog.kernels.sharing import Shared, side_by_side
from ifog.kernels.weight_gradients import Outer, in_order, in_place, outers, span, totals_layout

if TYPE_CHECKING:
    from ifog.kernels.cpu import Tensors

__all__ = ["Values", "after", "before"]

Arrays = Mapping[Hashable, Tensor]
ROWS = 2048  # that are converted from and to bf16 at a time, where the CPU multiplies floats only


class _Parameters(dict[str, Tensor]):
    """Parameters by name, cut out of their tensors when they are first asked for."""

    def __init__(self, shared: Shared, tensors: Sequence[Tensor]) -> None:
        super().__init__()
        self.shared, self.tensors = shared, tensors

    def __missing__(self, name: str) -> Tensor:
        self[name] = self.shared.parameter(name, self.tensors)
        return self[name]


class Values(dict[int, Tensor]):
    """Values by node; leaves are made when they are first asked for."""

    def __init__(self, loops: Loops, shared: Shared, inputs: Tensors) -> None:
        super().__init__()
        self.later: dict[int, Block] = {}
        self.slots: Arrays = {}
        self.nodes = loops.gradients.nodes if loops.gradients else loops.plan.graph.nodes
        self.masks = loops.plan.graph.masks
        self.parameters, self.inputs = _Parameters(shared, inputs.weights), inputs

    def __missing__(self, n: int) -> Tensor:
        node, inputs = self.nodes[n], self.inputs
        if n in self.later:
            block = self.later[n]
            self[n] = self.slots["slot", block.slot][..., block.offset : block.offset + block.width]
        elif node.op == "parameter":
            self[n] = self.parameters[str(node.attributes[0])]
        elif node.op == "input":
            self[n] = inputs.x
        elif node.op == "mask":
            mask = inputs.masks[self.masks.index(n)]
            self[n] = mask.expand(len(inputs.x), *mask.shape[1:])
        elif node.op == "constant":
            self[n] = torch.full((1,), float(str(node.attributes[0])), **FLOATS)
        else:
            raise KeyError(n)
        return self[n]


def before(loops: Loops, shared: Shared, inputs: Tensors, arrays: Arrays) -> Values:
    """Constants, and values of the input; products of the input that the engine doesn't make go to their blocks."""
    plan = loops.plan
    values = Values(loops, shared, inputs)
    if inputs.x.is_floating_point() and _engine_does_before(loops):
        return values
    _run(plan.graph.nodes, plan.constant, values)
    made = {p.out for p in loops.before} if inputs.x.is_floating_point() or looks_up(loops, inputs.x) else set[int]()
    for stage in plan.input:
        for group in stage.products:
            ordered = sorted((p for p in group if p not in made), key=lambda p: loops.blocks.get(p, (-1, 0, 0)))
            for run in _runs(loops, ordered):
                _project(loops, values, arrays, run)
        evaluation.run_operations(plan.graph.nodes, stage.program, values)
    return values


@lru_cache(maxsize=512)
def _engine_does_before(loops: Loops) -> bool:
    """Whether products of a float input are all there is before the loop."""
    made = {p.out for p in loops.before}
    products = {p for s in loops.plan.input for g in s.products for p in g}
    return products <= made and not loops.plan.constant and not any(s.program for s in loops.plan.input)


def looks_up(loops: Loops, x: Tensor) -> bool:
    """Whether the engine takes input products from a table of all tokens: cheaper unless there are more than inputs."""
    if x.is_floating_point() or loops.plan.graph.input_size > x.numel():
        return False
    return loops.gradients is None or bool(loops.scatter)


def _run(nodes: Sequence[Node], stages: Sequence[evaluation.Stage], values: Values) -> None:
    if stages:
        evaluation.run_stages(nodes, stages, values, evaluation.stack(nodes, stages, values.parameters))


def _runs(loops: Loops, group: Sequence[int]) -> list[list[int]]:
    """Cuts a group of products where their blocks are no neighbours."""
    runs: list[list[int]] = []
    for p in group:
        block = loops.blocks.get(p)
        last = loops.blocks.get(runs[-1][-1]) if runs else None
        joined = block and last and last.slot == block.slot and last.offset + last.width == block.offset
        if runs and (joined or (block is None and last is None)):
            runs[-1].append(p)
        else:
            runs.append([p])
    return runs


def _project(loops: Loops, values: Values, arrays: Arrays, run: list[int]) -> None:
    nodes = loops.plan.graph.nodes
    operand = evaluation.joined(nodes[run[0]].args, values)
    matrix = _stacked(nodes, run, values.parameters)
    first = loops.blocks.get(run[0])
    if first is None:
        result = evaluation.product(operand, matrix)
        values.update(zip(run, torch.split(result, [nodes[p].size for p in run], -1), strict=True))
        return
    width = sum(nodes[p].size for p in run)
    out = _flat(arrays["slot", first.slot])[:, first.offset : first.offset + width]
    if operand.is_floating_point():
        _multiply(_flat(operand), matrix.t(), out, loops.options.precision)
    else:
        out.copy_(evaluation.product(operand, matrix).view(out.shape))


def _stacked(nodes: Sequence[Node], group: Sequence[int], parameters: Mapping[str, Tensor]) -> Tensor:
    """The matrices of products that share their operand, as one."""
    pairs = [matrices(nodes[p]) for p in group]
    if all(len(p) == 1 and not p[0][1] for p in pairs):
        return side_by_side([parameters[p[0][0]] for p in pairs])
    return evaluation.stacked(nodes, group, parameters)


def _flat(value: Tensor) -> Tensor:
    """`(T, B, n)` as `(T * B, n)`, without a copy where rows are evenly spaced."""
    if value.dim() == 2:
        return value
    steps, batch, width = value.shape
    if value.stride(0) == batch * value.stride(1) and value.stride(2) == 1:
        return value.as_strided((steps * batch, width), (value.stride(1), 1))
    return value.reshape(steps * batch, width)


def _multiply(a: Tensor, b: Tensor, out: Tensor, precision: Precision) -> Tensor:
    """`out = a b`, of bf16 with sums in fp32 where they are asked for; PyTorch multiplies no 16-bit integers."""
    if precision != "bf16":
        return torch.mm(a, b, out=out)
    if not _multiplies_bf16():
        b = rounded_weights(b, precision)
        for rows in range(0, len(a), ROWS):
            out[rows : rows + ROWS].copy_(rounded_rows(a[rows : rows + ROWS], precision) @ b)
        return out
    a, b = a.to(torch.bfloat16), b.to(torch.bfloat16)
    return torch.mm(a, b, out=out) if out.dtype == torch.bfloat16 else out.copy_(a @ b)


def _multiplies_bf16() -> bool:
    return torch.ops.mkldnn._is_mkldnn_bf16_supported()  # type: ignore[no-any-return]


class Totals(NamedTuple):
    """Memory for the sums that the backward loop makes, and where in it each one is."""

    memory: Tensor
    offsets: Mapping[int, int]


def room_for_totals(loops: Loops, shared: Shared) -> Totals:
    """Zeros for the sums that the backward loop makes."""
    offsets, size, _ = totals_layout(loops, shared)
    return Totals(torch.zeros(size, **FLOATS), offsets)


def after(
    loops: Loops, shared: Shared, inputs: Tensors, values: Values, arrays: Arrays, totals: Totals
) -> tuple[Tensor | None, list[Tensor]]:
    """The gradients of the input and of the weights."""
    made = in_place(loops, shared) if inputs.x.is_floating_point() else None
    if made is not None:
        pieces = [torch.split_with_sizes(arrays[role], rows) if rows else (arrays[role],) for role, rows in made.arrays]
        # one object for tensors with one gradient, which tells autograd to copy it
        return _input_gradient(loops, arrays), [pieces[array][piece] for array, piece in made.places]
    found = _After(loops, shared, inputs, values, arrays, totals)
    d_x = found.run()
    return d_x, [found.of_tensor(names) for names in shared.rows]


def _input_gradient(loops: Loops, arrays: Arrays) -> Tensor | None:
    """What the engine multiplied, and what is added to it."""
    if not loops.after:
        return None
    for n in loops.added:
        block = loops.blocks[n]
        arrays["d_x"].add_(arrays["slot", block.slot][..., block.offset : block.offset + block.width])
    return arrays["d_x"]


class _After:
    """The backward programs outside the loop."""

    def __init__(
        self, loops: Loops, shared: Shared, inputs: Tensors, values: Values, arrays: Arrays, totals: Totals
    ) -> None:
        assert loops.gradients is not None
        self.loops, self.shared, self.inputs, self.arrays = loops, shared, inputs, arrays
        self.program, self.totals = loops.gradients, totals
        self.nodes = loops.gradients.nodes
        self.precision: Precision = loops.options.precision
        self.values = Values(loops, shared, inputs)
        self.values.update(values)
        self.gradients: dict[str, Tensor] = {}
        self.whole: dict[tuple[str, ...], Tensor] = {}

    def of_tensor(self, names: tuple[str, ...]) -> Tensor:
        """The gradient of a tensor of weights, whose rows these parameters are."""
        if names in self.whole:
            return self.whole[names]
        return side_by_side([self._of_parameter(name) for name in names])

    def _of_parameter(self, name: str) -> Tensor:
        found = self.gradients.get(name)
        if found is None:  # read by a gate that nothing follows from
            return torch.zeros_like(self.values.parameters[name])
        return found

    def run(self) -> Tensor | None:
        program, loops, values = self.program, self.loops, self.values
        for n, role in loops.collected.items():
            if role == ("block", n):
                values.later[n] = self.loops.blocks[n]
        values.slots = self.arrays
        self._weights("step")
        if "d_x" in self.arrays:
            values[loops.after[0].out] = self.arrays["d_x"]
        for stage in program.input.stages:
            for group in stage.products:
                if group[0] not in values:
                    self._product(group)
            evaluation.run_operations(self.nodes, stage.program, values)
        self._weights("input")
        for i, offset in self.totals.offsets.items():
            values[i] = self.totals.memory[offset : offset + self.nodes[i].size]
        stages = [s._replace(program=tuple(i for i in s.program if i not in values)) for s in program.constant.stages]
        _run(self.nodes, [s for s in stages if s.program or s.products], values)
        self._weights("constant")
        for i, d in program.constant.results:
            self.gradients[str(self.nodes[i].attributes[0])] = values[d]
        for names, (start, stop) in totals_layout(loops, self.shared)[2].items():
            self.whole[names] = self.totals.memory[start:stop]
        if not loops.options.input_gradient or not self.inputs.x.is_floating_point():
            return None
        direct = (*program.input.results, *program.step.results)
        d = next((d for i, d in direct if self.nodes[i].op == "input"), None)
        return torch.zeros_like(self.inputs.x) if d is None else values[d].to(torch.float32)

    def _product(self, group: tuple[int, ...]) -> None:
        nodes, parameters = self.nodes, self.values.parameters
        args, pairs = nodes[group[0]].args, matrices(nodes[group[0]])
        order = in_order(self.loops, args)
        members = tuple(args[k] for k in order)
        found = span(self.loops, members)
        operand = evaluation.joined(members, self.values)
        if found is not None:
            operand = self.arrays["slot", found.slot][..., found.offset : found.offset + found.width]
        if len(group) == 1 and all(flag for _, flag in pairs):  # side by side transposed: one above the other
            matrix = side_by_side([parameters[pairs[k][0]] for k in order])
        else:
            matrix = evaluation.stacked(nodes, group, parameters, order).t()
        flat = _flat(operand)
        result = _multiply(
            flat, matrix, flat.new_empty(len(flat), matrix.shape[1], dtype=torch.float32), self.precision
        )
        result = result.view(*operand.shape[:-1], -1)
        self.values.update(zip(group, torch.split(result, [nodes[p].size for p in group], -1), strict=True))

    def _weights(self, part: str) -> None:
        for outer in outers(self.loops, self.shared)[part]:
            if outer.of_input and any(("d_table", d) in self.arrays for _, _, d in outer.terms):
                for name, _, d in outer.terms:
                    self._add(name, self.arrays["d_table", d].t())
                continue
            product = self.arrays.get(outer.role)
            if product is None:
                product = self._outer(outer)
            if outer.whole:
                self.whole[outer.whole] = product
                continue
            sizes = [self.nodes[d].size for _, _, d in outer.terms]
            for (name, flag, _), rows in zip(outer.terms, torch.split(product, sizes), strict=True):
                self._add(name, rows.t() if flag else rows)

    def _add(self, name: str, gradient: Tensor) -> None:
        known = self.gradients.get(name)
        self.gradients[name] = gradient if known is None else known + gradient

    def _outer(self, outer: Outer) -> Tensor:
        """The product over time and batch of cotangents `(T, B, N)` and an operand `(T, B, n)`: `(N, n)`."""
        bundle = evaluation.joined(tuple(d for _, _, d in outer.terms), self.values)
        if outer.span is not None:
            slot, start, width = outer.span
            bundle = self.arrays["slot", slot][..., start : start + width]
        value = self.values[outer.operand] if outer.history is None else self.arrays[outer.history][:-1]
        if bundle.dim() == 1:  # of values that depend on weights alone
            return torch.outer(bundle, value)
        d = _flat(bundle)
        if value.is_floating_point():
            return self._sum(d, _flat(value.expand(*bundle.shape[:-1], -1)))
        name, flag, _ = outer.terms[0]
        columns = torch.zeros(self.values.parameters[name].shape[0 if flag else 1], d.shape[-1], **FLOATS)
        return columns.index_add_(0, value.reshape(-1), d.to(torch.float32)).t()

    def _sum(self, d: Tensor, a: Tensor) -> Tensor:
        if self.precision != "bf16":
            return d.t() @ a
        if _multiplies_bf16():
            return (d.to(torch.bfloat16).t() @ a.to(torch.bfloat16)).to(torch.float32)
        total = torch.zeros(d.shape[1], a.shape[1], **FLOATS)
        for rows in range(0, len(d), ROWS):
            left, right = (rounded_rows(v[rows : rows + ROWS], "bf16") for v in (d, a))
            total.addmm_(left.t(), right)
        return total
