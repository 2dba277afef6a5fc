"""Run the compiled loops on the C++ engine: addresses in, tensors out.

Owns the crossing from tensors to the engine: the memory of a sequence, the products over all time at once, what is bound
to which place. Takes `Loops` and `Inputs`, gives tensors. Never derives, never decides whether to be used.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from ifog.compiler import evaluation
from ifog.compiler.evaluation import Inputs, Values
from ifog.compiler.graph import Node, matrices
from ifog.compiler.loops import Loops
from ifog.compiler.planning import Stage
from ifog.compiler.registers import Code
from ifog.kernels.loading import Engine, engine, instruction_set
from ifog.kernels.sharing import side_by_side

__all__ = ["Saved", "backward", "forward"]


@dataclass
class Saved:
    """What a forward pass leaves for the backward pass, which writes over `slots` and says so."""

    loops: Loops
    inputs: Inputs
    slots: list[Tensor]
    fixed: Values
    arrays: dict[Hashable, Tensor]
    consumed: bool = False


@lru_cache(maxsize=512)
def _program(code: Code) -> object:
    return _engine().Program(list(code.words))


def _engine() -> Engine:
    found = engine()
    assert found is not None  # backends.choose asked
    return found


def forward(loops: Loops, inputs: Inputs) -> tuple[Tensor, tuple[Tensor, ...], dict[int, Tensor], Saved]:
    """The output, the last states, the gates asked for, and what `backward` needs."""
    graph, options = loops.plan.graph, loops.options
    steps, batch = inputs.x.shape[:2]
    x = inputs.x
    like = inputs.states[0]
    slots = [
        _borrow((steps, batch, width), torch.bfloat16 if half else torch.float32)
        for width, half in zip(loops.slots, loops.half, strict=True)
    ]
    fixed = _before(loops, inputs, slots)
    arrays: dict[Hashable, Tensor] = {"output": _borrow((steps, batch, graph.output_size), torch.float32)}
    for k, role in enumerate(loops.history):
        if role not in (None, "output"):
            arrays[role] = _borrow((steps, batch, graph.state_sizes[k]), torch.float32)
    arrays |= {("gate", g): _borrow((steps, batch, graph.nodes[g].size), torch.float32) for g in options.gates}
    last = tuple(like.new_empty(batch, n) for n in graph.state_sizes)
    binding = _Binding(loops, inputs, slots, fixed, arrays)
    initials, finals = _edges(loops, inputs, last)
    _run(loops.forward, binding, initials, finals, [], steps, batch, reverse=False)
    for k, role in enumerate(loops.history):
        if role is not None:
            last[k].copy_(arrays[role][-1])
    gates = {g: arrays[("gate", g)] for g in options.gates}
    saved = Saved(loops, inputs, slots if options.train else [], fixed if options.train else {}, arrays)
    del x
    return arrays["output"], last, gates, saved


def _edges(loops: Loops, inputs: Inputs, last: tuple[Tensor, ...]) -> tuple[list[int], list[int]]:
    """Where carried states start and end, and where the operands of products start."""
    initials: list[int] = []
    finals: list[int] = []
    places = iter(loops.forward.carried)
    for k, role in enumerate(loops.history):
        if role is None:
            place = next(places)
            initials += (place, inputs.states[k].data_ptr(), inputs.states[k].stride(0))
            finals += (place, last[k].data_ptr(), last[k].stride(0))
    for k in loops.operands:
        initials += (next(places), inputs.states[k].data_ptr(), inputs.states[k].stride(0))
    return initials, finals


class _Binding:
    """Addresses by role."""

    def __init__(
        self, loops: Loops, inputs: Inputs, slots: Sequence[Tensor], fixed: Values, arrays: Mapping[Hashable, Tensor]
    ) -> None:
        self.loops, self.inputs, self.slots, self.fixed, self.arrays = loops, inputs, slots, fixed, arrays
        self.alive: list[Tensor] = []

    def words(self, role: Hashable) -> tuple[int, ...]:
        """base, step, row, shift, except, other, other row."""
        if isinstance(role, tuple):
            kind, n = role if len(role) == 2 else (role[0], None)
            if kind == "block":
                return _over_time(block_of(self.slots, self.loops, n))
            if kind == "state":
                history = self.loops.history[n]
                if history is None:
                    raise AssertionError("a carried state has no array")
                _, step, row, *_ = words = _over_time(self.arrays[history])
                first = self.inputs.states[n]
                return (words[0], step, row, -1, 0, first.data_ptr(), first.stride(0))
            if kind == "fixed":
                return self._fixed(self.fixed[n])
            if kind == "start":
                start = (self.inputs.start or self.inputs.states)[n]
                return (start.data_ptr(), 0, start.stride(0), 0, -1, 0, 0)
        return _over_time(self.arrays[role])

    def _fixed(self, value: Tensor) -> tuple[int, ...]:
        if value.stride(-1) != 1 and value.shape[-1] != 1:
            value = value.contiguous()
            self.alive.append(value)
        if value.dim() == 1:
            return (value.data_ptr(), 0, 0, 0, -1, 0, 0)
        return _over_time(value)

    def mask(self, role: str, mask: Tensor | None) -> None:
        """Numbers in place of truth values."""
        if mask is not None:
            self.arrays = {**self.arrays, role: mask.to(torch.float32).contiguous()}


def _over_time(value: Tensor) -> tuple[int, ...]:
    return (value.data_ptr(), value.stride(0), value.stride(1), 0, -1, 0, 0)


def block_of(slots: Sequence[Tensor], loops: Loops, n: int) -> Tensor:
    """The columns `(T, B, width)` where a value is kept."""
    block = loops.blocks[n]
    return slots[block.slot][..., block.offset : block.offset + block.width]


def _run(
    code: Code,
    binding: _Binding,
    initials: list[int],
    finals: list[int],
    totals: list[int],
    steps: int,
    batch: int,
    *,
    reverse: bool,
) -> None:
    inputs = binding.inputs
    binding.mask("valid", inputs.valid)
    binding.mask("reset", inputs.reset)
    given = [w for g in code.given for w in binding.words(g.role)]
    weights: list[int] = []
    for weight in code.weights:
        matrix = inputs.parameters[weight.name]
        rows, columns = matrix.stride()
        weights += (matrix.data_ptr(), *((columns, rows) if weight.transposed else (rows, columns)))
    _engine().run(
        _program(code), given, weights, totals, initials, finals,
        steps, batch, torch.get_num_threads(), reverse, instruction_set(),
    )  # fmt: skip


# what is computed over all time at once, before the forward loop and after the backward loop


def _before(loops: Loops, inputs: Inputs, slots: list[Tensor]) -> Values:
    """Constants, and values of the input; input products go to their blocks."""
    plan = loops.plan
    values = evaluation.leaves(plan, inputs)
    _run_torch(plan.graph.nodes, plan.constant, values, inputs)
    for stage in plan.input:
        for group in stage.products:
            ordered = sorted(group, key=lambda p: loops.blocks[p] if p in loops.blocks else (-1, 0, 0))
            for run in _runs(loops, ordered):
                _project(loops, inputs, values, slots, run)
        evaluation.run_operations(plan.graph.nodes, stage.program, values)
    return values


def _run_torch(nodes: Sequence[Node], stages: Sequence[Stage], values: Values, inputs: Inputs) -> None:
    if stages:
        evaluation.run_stages(nodes, stages, values, evaluation.stack(nodes, stages, inputs.parameters))


def _runs(loops: Loops, group: Sequence[int]) -> list[list[int]]:
    """Cuts a group of products where their blocks are no neighbours."""
    runs: list[list[int]] = []
    for p in group:
        block = loops.blocks.get(p)
        before = loops.blocks.get(runs[-1][-1]) if runs else None
        joined = block and before and before.slot == block.slot and before.offset + before.width == block.offset
        if runs and (joined or (block is None and before is None)):
            runs[-1].append(p)
        else:
            runs.append([p])
    return runs


def _project(loops: Loops, inputs: Inputs, values: Values, slots: list[Tensor], run: list[int]) -> None:
    nodes, half = loops.plan.graph.nodes, loops.options.half
    operand = evaluation.joined(nodes[run[0]].args, values)
    matrix = _stacked(nodes, run, inputs)
    first = loops.blocks.get(run[0])
    if first is None:
        result = evaluation.product(operand, matrix)
        values.update(zip(run, torch.split(result, [nodes[p].size for p in run], -1), strict=True))
        return
    width = sum(nodes[p].size for p in run)
    out = slots[first.slot][..., first.offset : first.offset + width]
    if not operand.is_floating_point():
        out.copy_(evaluation.product(operand, matrix))
        return
    flat = operand.reshape(-1, operand.shape[-1])
    if half:
        flat, matrix = flat.to(torch.bfloat16), matrix.to(torch.bfloat16)
    if out.dtype != flat.dtype:
        out.copy_((flat @ matrix.t()).view(out.shape))
    else:
        torch.mm(flat, matrix.t(), out=out.view(-1, width) if out.is_contiguous() else _rows(out))


def _stacked(nodes: Sequence[Node], group: Sequence[int], inputs: Inputs) -> Tensor:
    """The matrices of products that share their operand, as one."""
    if all(matrices(nodes[p]) == ((matrices(nodes[p])[0][0], False),) for p in group):
        return side_by_side([inputs.parameters[matrices(nodes[p])[0][0]] for p in group])
    return evaluation.stacked(nodes, group, inputs.parameters)


def _rows(value: Tensor) -> Tensor:
    """`(T, B, n)` as `(T * B, n)` without a copy: columns of a slot."""
    return value.as_strided((value.shape[0] * value.shape[1], value.shape[2]), (value.stride(1), 1))


def _borrow(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    count = 1
    for n in shape:
        count *= n
    return _engine().borrow(count * dtype.itemsize).view(dtype).view(shape)


# backwards


def backward(
    saved: Saved, d_output: Tensor, d_states: Sequence[Tensor], d_gates: Sequence[Tensor] = ()
) -> tuple[Tensor | None, tuple[Tensor, ...], dict[str, Tensor]]:
    """Gradients of the input, of the first states (and of `start` after them, where it is given), and by parameter."""
    if saved.consumed:  # a second time through one graph: what the first wrote over is computed again
        saved = forward(saved.loops, saved.inputs)[3]
    saved.consumed = True
    loops, inputs = saved.loops, saved.inputs
    graph, gradients, code = loops.plan.graph, loops.gradients, loops.backward
    assert gradients is not None and code is not None
    steps, batch = inputs.x.shape[:2]
    nodes = gradients.nodes
    arrays = dict(saved.arrays)
    arrays["d_output"] = _plain(d_output)
    arrays |= {("d_gate", k): _plain(d) for k, d in enumerate(d_gates)}
    binding = _Binding(loops, inputs, saved.slots, saved.fixed, arrays)
    d_first = tuple(torch.empty_like(s, memory_format=torch.contiguous_format) for s in inputs.states)
    d_start = tuple(torch.zeros_like(s, memory_format=torch.contiguous_format) for s in inputs.states)
    ends = [d.contiguous() for d in d_states]
    initials: list[int] = []
    finals: list[int] = []
    for k, place in enumerate(code.carried):
        begin, end = (ends[k], d_first[k]) if k < len(ends) else (d_start[k - len(ends)],) * 2
        initials += (place, begin.data_ptr(), begin.stride(0))
        finals += (place, end.data_ptr(), end.stride(0))
    sums = {i: torch.zeros(nodes[i].size) for i in loops.totals}
    _run(code, binding, initials, finals, [sums[i].data_ptr() for i in code.totals], steps, batch, reverse=True)  # type: ignore[index]
    after = _After(saved, {i: v for i, v in sums.items()})
    d_x, d_parameters = after.run()
    if inputs.reset is None:
        return d_x, d_first, d_parameters
    if inputs.start is not None:
        return d_x, (*d_first, *d_start), d_parameters
    return d_x, tuple(a + b for a, b in zip(d_first, d_start, strict=True)), d_parameters


def _plain(d: Tensor) -> Tensor:
    return d if d.stride(-1) == 1 or d.shape[-1] == 1 else d.contiguous()


class _After:
    """The backward programs outside the loop: products over all time, and gradients of what depends on weights alone."""

    def __init__(self, saved: Saved, sums: Values) -> None:
        self.saved, self.loops, self.inputs = saved, saved.loops, saved.inputs
        gradients = saved.loops.gradients
        assert gradients is not None
        self.gradients = gradients
        self.values: Values = evaluation.literals(gradients.nodes, saved.inputs.states[0]) | saved.fixed | sums
        self.found: dict[str, Tensor] = {}

    def run(self) -> tuple[Tensor | None, dict[str, Tensor]]:
        gradients, inputs, loops = self.gradients, self.inputs, self.loops
        for n, role in loops.collected.items():
            if role == ("block", n):
                self.values[n] = block_of(self.saved.slots, loops, n)
        self._weights(gradients.step.weights)
        for stage in gradients.input.stages:
            for group in stage.products:
                self._product(group)
            evaluation.run_operations(gradients.nodes, stage.program, self.values)
        self._weights(gradients.input.weights)
        constant = [
            s._replace(program=tuple(i for i in s.program if i not in loops.totals)) for s in gradients.constant.stages
        ]
        _run_torch(gradients.nodes, constant, self.values, inputs)
        self._weights(gradients.constant.weights)
        for i, d in gradients.constant.results:
            name = str(gradients.nodes[i].attributes[0])
            self.found[name] = self.values[d]
        for name in inputs.parameters.keys() - self.found.keys():
            self.found[name] = torch.zeros_like(inputs.parameters[name])
        if not inputs.x.is_floating_point() or not loops.options.input_gradient:
            return None, self.found
        d_x = next((self.values[d] for i, d in gradients.input.results if gradients.nodes[i].op == "input"), None)
        if d_x is None:
            direct = dict(gradients.step.results)
            leaf = next((i for i, n in enumerate(loops.plan.graph.nodes) if n.op == "input"), -1)
            d_x = self.values.get(direct.get(leaf, -1))
        return torch.zeros_like(inputs.x) if d_x is None else d_x.to(torch.float32), self.found

    def _joined(self, members: tuple[int, ...]) -> Tensor:
        """Columns side by side: as they lie in one slot, or joined."""
        blocks = [self.loops.blocks.get(n) if n in self.loops.collected else None for n in members]
        if all(b is not None for b in blocks):
            first, slot = blocks[0], self.saved.slots
            assert first is not None
            offset = first.offset
            for b in blocks:
                if b is None or b.slot != first.slot or b.offset != offset:
                    break
                offset += b.width
            else:
                return slot[first.slot][..., first.offset : offset]
        return evaluation.joined(members, self.values)

    def _in_order(self, members: Sequence[int]) -> list[int]:
        """Positions of `members` in the order in which they lie in memory."""
        blocks = self.loops.blocks
        return sorted(range(len(members)), key=lambda k: blocks.get(members[k], (-1, 0, 0)))

    def _product(self, group: tuple[int, ...]) -> None:
        nodes, half = self.gradients.nodes, self.loops.options.half
        order = self._in_order(nodes[group[0]].args)
        operand = self._joined(tuple(nodes[group[0]].args[k] for k in order))
        pairs = [matrices(nodes[group[0]])[k] for k in order]
        if len(group) == 1 and all(flag for _, flag in pairs):
            matrix = side_by_side([self.inputs.parameters[name] for name, _ in pairs]).t()
        else:
            matrix = evaluation.stacked(nodes, group, self.inputs.parameters, order)
        flat = _rows(operand) if not operand.is_contiguous() else operand.reshape(-1, operand.shape[-1])
        if half:
            flat, matrix = flat.to(torch.bfloat16), matrix.to(torch.bfloat16)
        result = (flat @ matrix.t()).view(*operand.shape[:-1], -1).to(torch.float32)
        self.values.update(zip(group, torch.split(result, [nodes[p].size for p in group], -1), strict=True))

    def _weights(self, weights: Sequence[object]) -> None:
        for weight in weights:
            order = self._in_order(weight.cotangents)  # type: ignore[attr-defined]
            terms = [weight.terms[k] for k in order]  # type: ignore[attr-defined]
            bundle = self._joined(tuple(d for _, _, d in terms))
            sizes = [self.inputs.parameters[name].shape[1 if flag else 0] for name, flag, _ in terms]
            product = self._outer(bundle, weight.operand, terms)  # type: ignore[attr-defined]
            for (name, flag, _), rows in zip(terms, torch.split(product, sizes), strict=True):
                gradient = rows.t() if flag else rows
                self.found[name] = self.found[name] + gradient if name in self.found else gradient

    def _outer(self, bundle: Tensor, operand: int, terms: Sequence[tuple[str, bool, int]]) -> Tensor:
        """The product over time and batch of cotangents `(T, B, N)` and an operand `(T, B, n)`: `(N, n)`."""
        role = self.loops.collected.get(operand)
        if isinstance(role, tuple) and role[0] == "state":
            k = int(str(role[1]))
            history = self.saved.arrays[self.loops.history[k]]
            result = self._sum(bundle[:1], self.inputs.states[k].unsqueeze(0))
            return result if len(bundle) == 1 else result + self._sum(bundle[1:], history[:-1])
        value = self.values[operand]
        if value.is_floating_point():
            return self._sum(bundle, value)
        name, flag, _ = terms[0]
        columns = torch.zeros(self.inputs.parameters[name].shape[0 if flag else 1], bundle.shape[-1])
        return columns.index_add_(0, value.reshape(-1), bundle.reshape(-1, bundle.shape[-1]).to(torch.float32)).t()

    def _sum(self, bundle: Tensor, operand: Tensor) -> Tensor:
        if bundle.dim() == 1:  # of values that depend on weights alone
            return torch.outer(bundle, operand)
        d = bundle.reshape(-1, bundle.shape[-1]) if bundle.is_contiguous() else _rows(bundle)
        a = operand.expand(*bundle.shape[:-1], -1).reshape(-1, operand.shape[-1])
        if self.loops.options.half:
            return (d.to(torch.bfloat16).t() @ a.to(torch.bfloat16)).to(torch.float32)
        return d.t() @ a
