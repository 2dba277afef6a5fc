"""Run the compiled loops on the C++ engine: tensors in, tensors out.

Owns the memory of a sequence and what is bound to which place of the programs. Takes `Loops` and `Inputs`, gives
tensors. What lies outside the loops is in `outside`. Never derives, never decides whether to be used.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ifog.compiler.loops import Block, Loops, Projection
from ifog.compiler.spelling import Code
from ifog.kernels import outside
from ifog.kernels.loading import instruction_set, loaded_engine
from ifog.kernels.sharing import Shared
from ifog.kernels.weight_gradients import in_engine

__all__ = ["Saved", "Tensors", "backward", "columns", "forward"]

SMALL = 1 << 16  # bytes that the ordinary allocator hands out faster than the engine's pool


class Tensors(NamedTuple):
    """What a sequence is computed from, without autograd: see `evaluation.Inputs`."""

    x: Tensor
    states: tuple[Tensor, ...]
    start: tuple[Tensor, ...]
    weights: tuple[Tensor, ...]
    masks: tuple[Tensor, ...]
    valid: Tensor | None
    reset: Tensor | None


@dataclass
class Saved:
    """What a forward pass leaves for the backward pass, which writes over the slots and says so."""

    loops: Loops
    shared: Shared
    inputs: Tensors
    values: outside.Values
    arrays: dict[Hashable, Tensor]
    consumed: bool = field(default=False)


def forward(loops: Loops, shared: Shared, inputs: Tensors) -> tuple[Tensor, tuple[Tensor, ...], list[Tensor], Saved]:
    """The output, the last states, the gates asked for, and what `backward` needs."""
    steps, batch = inputs.x.shape[:2]
    graph = loops.plan.graph
    arrays: dict[Hashable, Tensor] = {}
    for k, (width, half) in enumerate(zip(loops.slots, loops.half, strict=True)):
        arrays["slot", k] = _allocate((steps, batch, width), torch.bfloat16 if half else torch.float32)
    values = outside.before(loops, shared, inputs, arrays)
    for k, role in enumerate(loops.history):
        if role is not None:  # one more row, for the state before the first step
            arrays[role] = _allocate((steps + 1, batch, graph.state_sizes[k]), torch.float32)
    if "output" not in arrays:
        arrays["output"] = _allocate((steps, batch, graph.output_size), torch.float32)
    for g in loops.options.gates:
        arrays["gate", g] = _allocate((steps, batch, graph.nodes[g].size), torch.float32)
    last = [torch.empty(batch, n) for n in graph.state_sizes]
    given = _given(loops, inputs, values) | _numbered("begin", inputs.states)
    _run(loops, loops.forward, shared, given, arrays | _numbered("end", last))
    output = arrays["output"][1:] if "output" in loops.history else arrays["output"]
    gates = [arrays["gate", g] for g in loops.options.gates]
    return output, tuple(last), gates, Saved(loops, shared, inputs, values, arrays)


def backward(
    saved: Saved, d_output: Tensor, d_states: Sequence[Tensor], d_gates: Sequence[Tensor] = ()
) -> tuple[Tensor | None, list[Tensor], list[Tensor]]:
    """Gradients of the input, of the first states (and then of `start`, where it is given), and of the weights."""
    if saved.consumed:  # a second time through one graph: what the first wrote over is computed again
        saved = forward(saved.loops, saved.shared, saved.inputs)[3]
    saved.consumed = True
    loops, inputs = saved.loops, saved.inputs
    assert loops.backward is not None
    begin = [d.contiguous() for d in d_states]
    end = [torch.empty_like(d) for d in begin]
    if inputs.reset is not None:
        starts = [torch.zeros_like(d) for d in begin]
        begin, end = begin + starts, end + starts
    sums = outside.room_for_totals(loops, saved.shared)
    arrays = saved.arrays | _numbered("end", end) | {"totals": sums.memory}
    if loops.after and inputs.x.is_floating_point():
        arrays["d_x"] = _allocate(tuple(inputs.x.shape), torch.float32)
    for outer in in_engine(loops, saved.shared, not inputs.x.is_floating_point()):
        product = arrays[outer.role] = _allocate((outer.left.width, outer.width), torch.float32)
        if 0 in inputs.x.shape[:2]:
            product.zero_()
    if outside.looks_up(loops, inputs.x):
        vocabulary = loops.plan.graph.input_size
        for d, _ in loops.scatter:
            arrays["d_table", d] = torch.zeros(vocabulary, loops.blocks[d].width)
    given = _given(loops, inputs, saved.values) | _numbered("begin", begin) | {"d_output": columns(d_output)}
    given |= _numbered("d_gate", [columns(d) for d in d_gates])
    _run(loops, loops.backward, saved.shared, given, arrays, reverse=True)
    d_x, d_weights = outside.after(loops, saved.shared, inputs, saved.values, arrays, sums)
    count = len(inputs.states)
    if inputs.reset is not None and not inputs.start:
        end = [a + b for a, b in zip(end[:count], end[count:], strict=True)]
    return d_x, end, d_weights


def _numbered(name: str, tensors: Sequence[Tensor]) -> dict[Hashable, Tensor]:
    return {(name, k): t for k, t in enumerate(tensors)}


def columns(value: Tensor) -> Tensor:
    """`value` with neighbouring columns."""
    return value if value.dim() == 0 or value.stride(-1) == 1 or value.shape[-1] == 1 else value.contiguous()


def _even(x: Tensor) -> Tensor:
    """`x` with rows at even distances, as products over all steps walk them; ids are left alone."""
    if x.dim() < 3:
        return x.contiguous()
    if (x.stride(0) == x.shape[1] * x.stride(1) or 1 in x.shape[:2]) and x.stride(2) == 1:
        return x
    return x.contiguous()


def _allocate(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    count = dtype.itemsize
    for n in shape:
        count *= n
    if count < SMALL:
        return torch.empty(shape, dtype=dtype)
    return loaded_engine().borrow(count).view(dtype).view(shape)


def _given(loops: Loops, inputs: Tensors, values: outside.Values) -> dict[Hashable, Tensor]:
    """The caller's tensors by role."""
    tensors: dict[Hashable, Tensor] = {"x": _even(inputs.x)}
    tensors |= _numbered("weight", [w if w.dim() > 1 else columns(w) for w in inputs.weights])
    tensors |= _numbered("mask", inputs.masks)
    if inputs.valid is not None:
        tensors["valid"] = inputs.valid.to(torch.float32).contiguous()
    if inputs.reset is not None:
        tensors["reset"] = inputs.reset.to(torch.float32).contiguous()
        tensors |= _numbered("start", inputs.start or inputs.states)
    for n in loops.fixed:
        tensors["fixed", n] = columns(values[n])
    return tensors


def _run(
    loops: Loops,
    code: Code,
    shared: Shared,
    given: dict[Hashable, Tensor],
    own: dict[Hashable, Tensor],
    *,
    reverse: bool = False,
) -> None:
    """Runs one of the loops on the caller's tensors and on what this module allocated.

    How places are bound depends on shapes and strides only, and those of the own tensors follow from those of the
    given ones, so it is worked out once for each: afterwards a call hands over nothing but addresses.
    """
    tensors = given | own
    key = (shared.key, tuple(tensors), given["x"].shape, *[t.stride() for t in given.values()])
    call = code.calls.get(key)
    if call is None:
        if len(code.calls) > 64:  # sequences of ever new lengths
            code.calls.clear()
        steps, batch = given["x"].shape[:2]
        call = code.calls[key] = _call(loops, code, shared, tensors, steps, batch, reverse=reverse)
    call.run([t.data_ptr() for t in tensors.values()], torch.get_num_threads(), instruction_set())


@lru_cache(maxsize=512)
def _program(words: tuple[int, ...]) -> object:
    return loaded_engine().Program(list(words))


def _call(
    loops: Loops,
    code: Code,
    shared: Shared,
    tensors: dict[Hashable, Tensor],
    steps: int,
    batch: int,
    *,
    reverse: bool,
) -> Any:
    """The engine's description of a call: every address as a tensor's number and an offset in bytes."""
    number = {role: k for k, role in enumerate(tensors)}

    def given(role: Any) -> tuple[int, ...]:
        """Its tensor, offset, stride of a step and stride of a row."""
        kind: Any = role[0] if isinstance(role, tuple) else role  # pyright: ignore[reportUnknownVariableType]
        if kind == "block":
            block = loops.blocks[role[1]]
            slot = tensors["slot", block.slot]
            return (number["slot", block.slot], block.offset * slot.element_size(), slot.stride(0), slot.stride(1))
        if kind == "state":
            history = tensors[loops.history[role[1]]]
            return (number[loops.history[role[1]]], 0, history.stride(0), history.stride(1))
        if kind == "parameter":
            piece = shared.pieces[role[1]][0]
            return (number["weight", piece.tensor], piece.start * 4, 0, 0)
        value = tensors[role]
        if kind == "start":
            return (number[role], 0, 0, value.stride(0))
        if value.dim() == 1:
            return (number[role], 0, 0, 0)
        first = value.stride(0) * value.element_size() if role in loops.history else 0
        once = len(value) == 1 and steps > 1  # a mask drawn once serves every step
        return (number[role], first, 0 if once else value.stride(0), value.stride(1))

    weights: list[int] = []
    for weight in code.weights:
        piece = shared.pieces[weight.name][0]
        matrix = tensors["weight", piece.tensor]
        rows, columns = matrix.stride()
        offset = piece.start * rows * matrix.element_size()
        weights += (
            number["weight", piece.tensor],
            offset,
            *((columns, rows) if weight.transposed else (rows, columns)),
        )
    offsets = outside.totals_layout(loops, shared)[0] if code.totals else {}
    totals = [w for i in code.totals for w in (number["totals"], 4 * offsets[i])]  # type: ignore[index]
    ends: dict[str, list[int]] = {"begin": [], "end": []}
    for k, place in zip(loops.ends(reverse=reverse), code.carried, strict=True):
        for side, words in ends.items():
            if side == "begin" or reverse or loops.history[k] is None:
                words += (place, number[side, k], 0, tensors[side, k].stride(0))
    moves = _Moves(loops, tensors, number)
    ids = not tensors["x"].is_floating_point()
    projections = loops.after if reverse else loops.before
    projected = [] if ids else _merged([_projection(loops, shared, tensors, number, p) for p in projections])
    lookups, scatters = [], []
    if ids and outside.looks_up(loops, tensors["x"]):
        lookups = [] if reverse else [_lookup(loops, shared, tensors, number, p) for p in loops.before]
        scatters = [_scatter(loops, tensors, number, d) for d, _ in loops.scatter] if reverse else []
    outers = _outers(loops, shared, tensors, number) if reverse else []
    return loaded_engine().Call(
        _program(code.words), [w for g in code.given for w in given(g.role)], weights, totals,
        ends["begin"], ends["end"], [] if reverse else moves.begin(), [] if reverse else moves.end(),
        [] if reverse else projected, projected if reverse else [],
        [w for words in lookups for w in words], [w for words in scatters for w in words], outers,
        steps, batch, reverse,
    )  # fmt: skip


class _Moves:
    """Copies between the states of the caller and the arrays that hold them after every step."""

    def __init__(self, loops: Loops, tensors: Mapping[Hashable, Tensor], number: Mapping[Hashable, int]) -> None:
        self.kept = [(k, role) for k, role in enumerate(loops.history) if role is not None]
        self.tensors, self.number = tensors, number

    def begin(self) -> list[int]:
        words: list[int] = []
        for k, role in self.kept:
            state, array = self.tensors["begin", k], self.tensors[role]
            words += (
                self.number["begin", k],
                0,
                state.stride(0),
                self.number[role],
                0,
                array.stride(1),
                state.shape[1],
            )
        return words

    def end(self) -> list[int]:
        words: list[int] = []
        for k, role in self.kept:
            state, array = self.tensors["end", k], self.tensors[role]
            offset = (len(array) - 1) * array.stride(0) * 4
            words += (
                self.number[role],
                offset,
                array.stride(1),
                self.number["end", k],
                0,
                state.stride(0),
                state.shape[1],
            )
        return words


def _projection(
    loops: Loops, shared: Shared, tensors: Mapping[Hashable, Tensor], number: Mapping[Hashable, int], one: Projection
) -> list[int]:
    """out, columns, and each term's operand, depth and weight, as bindings/module.cpp reads them."""

    def rows(n: int) -> tuple[int, ...]:
        block = loops.blocks.get(n)
        if block is not None and (n in loops.collected or n == one.out):
            slot = tensors["slot", block.slot]
            offset = block.offset * slot.element_size()
            return (number["slot", block.slot], offset, slot.stride(1), int(slot.dtype == torch.bfloat16))
        role = "d_x" if n == one.out else "x"
        return (number[role], 0, tensors[role].stride(1 if tensors[role].shape[1] > 1 else 0), 0)  # of ids: not read

    words: list[int] = []
    for operand, name, flag in one.terms:
        piece = shared.pieces[name][0]
        matrix = tensors["weight", piece.tensor]
        down, across = matrix.stride()
        strides = (across, down) if flag else (down, across)
        columns, depth = piece.stop - piece.start, matrix.shape[1]
        if flag:
            columns, depth = depth, columns
        if not words:
            words += (*rows(one.out), columns)
        words += (*rows(operand), depth, number["weight", piece.tensor], piece.start * down * 4, *strides)
    return words


def _merged(projections: list[list[int]]) -> list[list[int]]:
    """Projections of the same rows to neighbouring columns from neighbouring rows of one matrix, as one."""
    found: list[list[int]] = []
    for words in projections:
        last = found[-1] if found else []
        if len(words) == 14 == len(last):
            out, offset, stride, half, columns = last[:5]
            element = 2 if half else 4
            follows = words[:4] == [out, offset + element * columns, stride, half]
            beside = words[10:] == [last[10], last[11] + 4 * columns * last[12], *last[12:]]
            if follows and beside and words[5:10] == last[5:10]:
                last[4] += words[4]
                continue
        found.append(list(words))
    return found


def _lookup(
    loops: Loops, shared: Shared, tensors: Mapping[Hashable, Tensor], number: Mapping[Hashable, int], one: Projection
) -> list[int]:
    """ids, vocabulary, out, columns and weight of a product with one-hot vectors."""
    out, offset, stride, half, columns, _, _, _, _, depth, *weight = _projection(loops, shared, tensors, number, one)
    return [number["x"], 0, depth, out, offset, stride, half, columns, *weight]


def _scatter(loops: Loops, tensors: Mapping[Hashable, Tensor], number: Mapping[Hashable, int], d: int) -> list[int]:
    """ids, rows, columns and table of the gradient of such a product."""
    block = loops.blocks[d]
    slot = tensors["slot", block.slot]
    rows = (number["slot", block.slot], block.offset * slot.element_size(), slot.stride(1))
    return [number["x"], 0, *rows, int(slot.dtype == torch.bfloat16), block.width, number["d_table", d], 0]


def _outers(
    loops: Loops, shared: Shared, tensors: Mapping[Hashable, Tensor], number: Mapping[Hashable, int]
) -> list[list[int]]:
    """Outer products that share their left side as one: the left side, its width, and each right side and result."""

    def rows(role: Hashable, offset: int, width: int) -> tuple[int, ...]:
        array = tensors[role]
        stride = array.stride(1 if array.shape[1] > 1 else 0)
        return (number[role], offset * array.element_size(), stride, int(array.dtype == torch.bfloat16), width)

    found: dict[Block, list[int]] = {}
    for left, right, width, role in in_engine(loops, shared, not tensors["x"].is_floating_point()):
        words = found.setdefault(left, list(rows(("slot", left.slot), left.offset, left.width)))
        if isinstance(right, Block):
            words += rows(("slot", right.slot), right.offset, width)
        else:
            words += rows(right, 0, width)
        words += (number[role], 0, width)
    return list(found.values())
