"""Run the compiled loops on the C++ engine: tensors in, tensors out.

Owns the memory of a sequence and what is bound to which place of the programs. Takes `Loops` and `Inputs`, gives
tensors. What lies outside the loops is in `outside`. Never derives, never decides whether to be used.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ifog.compiler.loops import Loops
from ifog.compiler.registers import Code
from ifog.kernels import outside
from ifog.kernels.loading import instruction_set, loaded_engine
from ifog.kernels.sharing import Shared

__all__ = ["Saved", "Tensors", "backward", "forward"]

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
            arrays[role][0].copy_(inputs.states[k])
    if "output" not in arrays:
        arrays["output"] = _allocate((steps, batch, graph.output_size), torch.float32)
    for g in loops.options.gates:
        arrays["gate", g] = _allocate((steps, batch, graph.nodes[g].size), torch.float32)
    last = [
        inputs.states[k].new_empty(batch, n) if loops.history[k] is None else None
        for k, n in enumerate(graph.state_sizes)
    ]
    _frame(loops, shared, inputs, values, arrays).run(loops.forward, {**arrays, **_ends(inputs.states, last)})
    states = tuple(
        arrays[role][-1].clone() if made is None else made for role, made in zip(loops.history, last, strict=True)
    )
    output = arrays["output"][1:] if "output" in loops.history else arrays["output"]
    gates = [arrays["gate", g] for g in loops.options.gates]
    return output, states, gates, Saved(loops, shared, inputs, values, arrays)


def backward(
    saved: Saved, d_output: Tensor, d_states: Sequence[Tensor], d_gates: Sequence[Tensor] = ()
) -> tuple[Tensor | None, list[Tensor], dict[str, Tensor]]:
    """Gradients of the input, of the first states (and of `start` after them, where it is given), and by parameter."""
    if saved.consumed:  # a second time through one graph: what the first wrote over is computed again
        saved = forward(saved.loops, saved.shared, saved.inputs)[3]
    saved.consumed = True
    loops, inputs = saved.loops, saved.inputs
    assert loops.backward is not None
    assert loops.gradients is not None
    arrays = dict(saved.arrays)
    arrays["d_output"] = _columns(d_output)
    arrays.update((("d_gate", k), _columns(d)) for k, d in enumerate(d_gates))
    begin = [d.contiguous() for d in d_states]
    end = [torch.empty_like(d) for d in begin]
    if inputs.reset is not None:
        starts = [torch.zeros_like(d) for d in begin]
        begin, end = begin + starts, end + starts
    nodes = loops.gradients.nodes
    sizes = [nodes[i].size for i in loops.backward.totals]  # type: ignore[index]
    arrays["totals"] = sums = torch.zeros(sum(sizes))
    frame = _frame(loops, saved.shared, inputs, saved.values, arrays)
    frame.run(loops.backward, {**arrays, **_ends(begin, end)}, reverse=True)
    totals = dict(zip(loops.backward.totals, torch.split(sums, sizes), strict=True)) if sizes else {}
    d_x, d_parameters = outside.after(loops, saved.shared, inputs, saved.values, arrays, totals)  # type: ignore[arg-type]
    count = len(inputs.states)
    if inputs.reset is not None and not inputs.start:
        end = [a + b for a, b in zip(end[:count], end[count:], strict=True)]
    return d_x, end, d_parameters


def _ends(begin: Sequence[Tensor | None], end: Sequence[Tensor | None]) -> dict[Hashable, Tensor]:
    """Where carried values start and end, by their number."""
    found: dict[Hashable, Tensor] = {}
    for k, (a, b) in enumerate(zip(begin, end, strict=True)):
        if a is not None:
            found["begin", k] = a
        if b is not None:
            found["end", k] = b
    return found


def _columns(value: Tensor) -> Tensor:
    """`value` with neighbouring columns."""
    return value if value.stride(-1) == 1 or value.shape[-1] == 1 else value.contiguous()


def _allocate(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    count = dtype.itemsize
    for n in shape:
        count *= n
    if count < SMALL:
        return torch.empty(shape, dtype=dtype)
    return loaded_engine().borrow(count).view(dtype).view(shape)


class _Frame:
    """The tensors of a call by role, and what addresses they give to places.

    The words that say so depend on shapes and strides only, so they are made once for each: afterwards a call hands
    over nothing but the tensors' addresses.
    """

    def __init__(self, loops: Loops, shared: Shared, tensors: dict[Hashable, Tensor]) -> None:
        self.loops, self.shared, self.tensors = loops, shared, tensors

    def run(self, code: Code, more: dict[Hashable, Tensor], *, reverse: bool = False) -> None:
        """Runs one of the loops."""
        tensors = {**self.tensors, **more}
        x = tensors["x"]
        key = (reverse, self.shared.key, tuple((t.shape, t.stride()) for t in tensors.values()))
        known = code.calls
        if key not in known:
            if len(known) > 64:  # sequences of ever new lengths
                known.clear()
            known[key] = _call(self.loops, code, self.shared, tensors, x.shape[0], x.shape[1], reverse=reverse)
        pointers = [t.data_ptr() for t in tensors.values()]
        known[key].run(pointers, torch.get_num_threads(), instruction_set())


def _frame(
    loops: Loops, shared: Shared, inputs: Tensors, values: outside.Values, arrays: dict[Hashable, Tensor]
) -> _Frame:
    tensors: dict[Hashable, Tensor] = {"x": inputs.x}
    tensors.update((("start", k), s) for k, s in enumerate(inputs.start or inputs.states))
    tensors.update((("weight", k), w) for k, w in enumerate(inputs.weights))
    for name, mask in (("valid", inputs.valid), ("reset", inputs.reset)):
        if mask is not None:
            tensors[name] = arrays.setdefault(name, mask.to(torch.float32).contiguous())
    for n in loops.fixed:
        tensors["fixed", n] = _columns(values[n])
    return _Frame(loops, shared, tensors)


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
        """tensor, offset, stride of a step, stride of a row"""
        kind = role[0] if isinstance(role, tuple) else role
        if kind == "block":
            block = loops.blocks[role[1]]
            slot = tensors["slot", block.slot]
            return (number["slot", block.slot], block.offset * slot.element_size(), slot.stride(0), slot.stride(1))
        if kind == "state":
            history = tensors[loops.history[role[1]]]
            return (number[loops.history[role[1]]], 0, history.stride(0), history.stride(1))
        value = tensors[role]
        if kind == "start":
            return (number[role], 0, 0, value.stride(0))
        if value.dim() == 1:
            return (number[role], 0, 0, 0)
        first = value.stride(0) * value.element_size() if role in loops.history else 0
        return (number[role], first, value.stride(0) if len(value) > 1 else 0, value.stride(1))

    weights: list[int] = []
    for weight in code.weights:
        piece = shared.pieces[weight.name][0]
        matrix = tensors["weight", piece.tensor]
        rows, columns = matrix.stride()
        offset = piece.start * rows * matrix.element_size()
        weights += (number["weight", piece.tensor], offset, *((columns, rows) if weight.transposed else (rows, columns)))
    totals: list[int] = []
    offset = 0
    for i in code.totals:
        totals += (number["totals"], offset)
        offset += 4 * loops.gradients.nodes[i].size  # type: ignore[union-attr, index]
    ends: dict[str, list[int]] = {"begin": [], "end": []}
    for k, place in zip(loops.ends(reverse=reverse), code.carried, strict=True):
        for side, words in ends.items():
            if (side, k) in number:
                words += (place, number[side, k], 0, tensors[side, k].stride(0))
    return loaded_engine().Call(
        _program(code.words), [w for g in code.given for w in given(g.role)], weights, totals,
        ends["begin"], ends["end"], steps, batch, reverse,
    )  # fmt: skip
