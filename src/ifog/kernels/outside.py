"""What is computed before the forward loop and after the backward loop, over all time at once, in PyTorch.

Owns the big matrix products (input products, the input's gradient, the weights' gradients) and what depends on weights
alone. Takes `Loops` and tensors, gives tensors. Never runs a step.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ifog.compiler import evaluation
from ifog.compiler.gradients import WeightProduct
from ifog.compiler.graph import Node, matrices
from ifog.compiler.loops import Loops
from ifog.kernels.sharing import Shared, side_by_side

if TYPE_CHECKING:
    from ifog.kernels.cpu import Tensors

__all__ = ["Values", "after", "before"]

Arrays = Mapping[Hashable, Tensor]
ROWS = 2048  # that are converted from and to bf16 at a time, where the CPU multiplies floats only


class Values(dict[int, Tensor]):
    """Values by node; leaves are made when they are first asked for."""

    def __init__(self, loops: Loops, parameters: Mapping[str, Tensor], inputs: Tensors) -> None:
        super().__init__()
        nodes = loops.gradients.nodes if loops.gradients else loops.plan.graph.nodes
        self.nodes, self.masks = nodes, loops.plan.graph.masks
        self.parameters, self.inputs = parameters, inputs

    def __missing__(self, n: int) -> Tensor:
        node, inputs = self.nodes[n], self.inputs
        if node.op == "parameter":
            self[n] = self.parameters[str(node.attributes[0])]
        elif node.op == "input":
            self[n] = inputs.x
        elif node.op == "mask":
            mask = inputs.masks[self.masks.index(n)]
            self[n] = mask.expand(len(inputs.x), *mask.shape[1:])
        elif node.op == "constant":
            self[n] = torch.full((1,), float(str(node.attributes[0])))
        else:
            raise KeyError(n)
        return self[n]


def before(loops: Loops, shared: Shared, inputs: Tensors, arrays: Arrays) -> Values:
    """Constants, and values of the input; input products that the loop reads go to their blocks."""
    plan = loops.plan
    values = Values(loops, shared.parameters(inputs.weights), inputs)
    _run(plan.graph.nodes, plan.constant, values)
    for stage in plan.input:
        for group in stage.products:
            ordered = sorted(group, key=lambda p: loops.blocks.get(p, (-1, 0, 0)))
            for run in _runs(loops, ordered):
                _project(loops, values, arrays, run)
        evaluation.run_operations(plan.graph.nodes, stage.program, values)
    return values


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
        _multiply(_flat(operand), matrix.t(), out, loops.options.half)
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


def _multiply(a: Tensor, b: Tensor, out: Tensor, half: bool) -> Tensor:
    """`out = a b`, in bf16 with sums in fp32 where `half`."""
    if not half:
        return torch.mm(a, b, out=out)
    if not _multiplies_bf16():
        b = _rounded(b)
        for rows in range(0, len(a), ROWS):
            out[rows : rows + ROWS].copy_(_rounded(a[rows : rows + ROWS]) @ b)
        return out
    a, b = a.to(torch.bfloat16), b.to(torch.bfloat16)
    return torch.mm(a, b, out=out) if out.dtype == torch.bfloat16 else out.copy_(a @ b)


def _rounded(value: Tensor) -> Tensor:
    """Floats that a bf16 can hold."""
    return value.to(torch.bfloat16).to(torch.float32)


def _multiplies_bf16() -> bool:
    return torch.ops.mkldnn._is_mkldnn_bf16_supported()  # type: ignore[no-any-return]


def after(
    loops: Loops, shared: Shared, inputs: Tensors, values: Values, arrays: Arrays, totals: Mapping[int, Tensor]
) -> tuple[Tensor | None, dict[str, Tensor]]:
    """The gradients of the input and, by name, of the parameters."""
    found = _After(loops, inputs, values, arrays, totals)
    d_x = found.run()
    for name in shared.pieces.keys() - found.gradients.keys():  # read by a gate that nothing follows from
        found.gradients[name] = torch.zeros_like(values.parameters[name])
    return d_x, found.gradients


class _After:
    """The backward programs outside the loop."""

    def __init__(
        self, loops: Loops, inputs: Tensors, values: Values, arrays: Arrays, totals: Mapping[int, Tensor]
    ) -> None:
        assert loops.gradients is not None
        self.loops, self.inputs, self.arrays, self.program = loops, inputs, arrays, loops.gradients
        self.nodes, self.half = loops.gradients.nodes, loops.options.half
        self.values = Values(loops, values.parameters, inputs)
        self.values.update(values)
        self.values.update(totals)
        self.gradients: dict[str, Tensor] = {}

    def run(self) -> Tensor | None:
        program, loops, values = self.program, self.loops, self.values
        for n, role in loops.collected.items():
            if role == ("block", n):
                values[n] = self._columns((n,))
        self._weights(program.step.weights)
        for stage in program.input.stages:
            for group in stage.products:
                self._product(group)
            evaluation.run_operations(self.nodes, stage.program, values)
        self._weights(program.input.weights)
        stages = [s._replace(program=tuple(i for i in s.program if i not in values)) for s in program.constant.stages]
        _run(self.nodes, [s for s in stages if s.program or s.products], values)
        self._weights(program.constant.weights)
        for i, d in program.constant.results:
            self.gradients[str(self.nodes[i].attributes[0])] = values[d]
        if not loops.options.input_gradient or not self.inputs.x.is_floating_point():
            return None
        direct = (*program.input.results, *program.step.results)
        d = next((d for i, d in direct if self.nodes[i].op == "input"), None)
        return torch.zeros_like(self.inputs.x) if d is None else values[d].to(torch.float32)

    def _columns(self, members: Sequence[int]) -> Tensor:
        """Values side by side: as they lie in one slot, or joined."""
        blocks = [self.loops.blocks.get(n) if n in self.loops.collected else None for n in members]
        first = blocks[0]
        offset = first.offset if first else 0
        for b in blocks:
            if first is None or b is None or b.slot != first.slot or b.offset != offset:
                return evaluation.joined(tuple(members), self.values)
            offset += b.width
        assert first is not None
        return self.arrays["slot", first.slot][..., first.offset : offset]

    def _in_order(self, members: Sequence[int]) -> list[int]:
        """Positions of `members` in the order in which they lie in memory."""
        return sorted(range(len(members)), key=lambda k: self.loops.blocks.get(members[k], (-1, 0, 0)))

    def _product(self, group: tuple[int, ...]) -> None:
        nodes, parameters = self.nodes, self.values.parameters
        args, pairs = nodes[group[0]].args, matrices(nodes[group[0]])
        order = self._in_order(args)
        operand = self._columns([args[k] for k in order])
        if len(group) == 1 and all(flag for _, flag in pairs):  # side by side transposed: one above the other
            matrix = side_by_side([parameters[pairs[k][0]] for k in order])
        else:
            matrix = evaluation.stacked(nodes, group, parameters, order).t()
        flat = _flat(operand)
        result = _multiply(flat, matrix, flat.new_empty(len(flat), matrix.shape[1], dtype=torch.float32), self.half)
        result = result.view(*operand.shape[:-1], -1)
        self.values.update(zip(group, torch.split(result, [nodes[p].size for p in group], -1), strict=True))

    def _weights(self, weights: Sequence[WeightProduct]) -> None:
        for weight in weights:
            order = self._in_order(weight.cotangents)
            terms = [weight.terms[k] for k in order]
            bundle = self._columns([d for _, _, d in terms])
            sizes = [self.values.parameters[name].shape[1 if flag else 0] for name, flag, _ in terms]
            product = self._outer(bundle, weight.operand, terms)
            for (name, flag, _), rows in zip(terms, torch.split(product, sizes), strict=True):
                gradient = rows.t() if flag else rows
                known = self.gradients.get(name)
                self.gradients[name] = gradient if known is None else known + gradient

    def _outer(self, bundle: Tensor, operand: int, terms: Sequence[tuple[str, bool, int]]) -> Tensor:
        """The product over time and batch of cotangents `(T, B, N)` and an operand `(T, B, n)`: `(N, n)`."""
        role = self.loops.collected.get(operand)
        if isinstance(role, tuple) and role[0] == "state":
            value = self.arrays[self.loops.history[int(str(role[1]))]][:-1]
        else:
            value = self.values[operand]
        if bundle.dim() == 1:  # of values that depend on weights alone
            return torch.outer(bundle, value)
        d = _flat(bundle)
        if value.is_floating_point():
            return self._sum(d, _flat(value.expand(*bundle.shape[:-1], -1)))
        name, flag, _ = terms[0]
        columns = torch.zeros(self.values.parameters[name].shape[0 if flag else 1], d.shape[-1])
        return columns.index_add_(0, value.reshape(-1), d.to(torch.float32)).t()

    def _sum(self, d: Tensor, a: Tensor) -> Tensor:
        if not self.half:
            return d.t() @ a
        if _multiplies_bf16():
            return (d.to(torch.bfloat16).t() @ a.to(torch.bfloat16)).to(torch.float32)
        total = torch.zeros(d.shape[1], a.shape[1])
        for rows in range(0, len(d), ROWS):
            total.addmm_(_rounded(d[rows : rows + ROWS]).t(), _rounded(a[rows : rows + ROWS]))
        return total
