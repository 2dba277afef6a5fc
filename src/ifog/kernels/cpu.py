"""Run the compiled loops on the C++ engine: tensors in, tensors out.

Owns the memory of a sequence. Takes `Loops` and `Inputs`, gives tensors. What is bound to which place of the programs
is in `binding`, what lies outside the loops in `outside`. Never derives, never decides whether to be used.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from ifog.compiler.loops import Loops
from ifog.compiler.spelling import Code
from ifog.kernels import outside
from ifog.kernels.binding import describe
from ifog.kernels.loading import instruction_set, loaded_engine
from ifog.kernels.numbers import FLOATS, check
from ifog.kernels.sharing import Shared
from ifog.kernels.weight_gradients import in_engine

__all__ = ["Arrays", "Saved", "Tensors", "allocate", "backward", "columns", "forward"]

SMALL = 1 << 16  # bytes that the ordinary allocator hands out faster than the engine's pool
LINE = 64  # bytes of a cache line


class Tensors(NamedTuple):
    """What a sequence is computed from, without autograd: see `evaluation.Inputs`."""

    x: Tensor
    states: tuple[Tensor, ...]
    start: tuple[Tensor, ...]
    weights: tuple[Tensor, ...]
    masks: tuple[Tensor, ...]
    valid: Tensor | None
    reset: Tensor | None
    sizes: tuple[int, ...] = ()

    @property
    def spans(self) -> tuple[int, int, int, int]:
        """Steps and rows of a step of an array, and how many of each one with first states has more."""
        steps, rows = self.x.shape[:2]
        return (steps, rows, 0, len(self.states[0])) if self.sizes else (steps, rows, 1, 0)


class Layout(NamedTuple):
    """Where in one piece of memory arrays lie: offset in bytes, shape and type by role."""

    size: int
    places: Mapping[Hashable, tuple[int, tuple[int, ...], torch.dtype]]


class Arrays(Mapping[Hashable, Tensor]):
    """The arrays of a sequence by role: some tensors of their own, the others cut out of one piece of memory.

    Args:
        own: Tensors of their own.
        layout: What lies in `memory`.
    """

    def __init__(self, own: dict[Hashable, Tensor], layout: Layout | None = None) -> None:
        self.own, self.layout = own, layout or Layout(0, {})
        self.memory = allocate((self.layout.size,), torch.uint8) if layout and layout.size else None

    def __getitem__(self, role: Hashable) -> Tensor:
        if role in self.own:
            return self.own[role]
        offset, shape, dtype = self.layout.places[role]
        assert self.memory is not None
        return self.memory[offset : offset + _bytes(shape, dtype)].view(dtype).view(shape)

    def __iter__(self) -> Iterator[Hashable]:
        yield from self.own
        yield from self.layout.places

    def __len__(self) -> int:
        return len(self.own) + len(self.layout.places)


@lru_cache(maxsize=256)
def _layout(loops: Loops, steps: int, rows: int, more_steps: int, more_rows: int) -> Layout:
    """Slots, and the states that are kept but given out to nobody."""
    arrays: list[tuple[Hashable, tuple[int, ...], torch.dtype]] = [
        (("slot", k), (steps, rows, width), torch.bfloat16 if half else torch.float32)
        for k, (width, half) in enumerate(zip(loops.slots, loops.half, strict=True))
    ]
    for k, role in enumerate(loops.history):
        if role not in (None, "output"):
            shape = (steps + more_steps, rows + more_rows, loops.plan.graph.state_sizes[k])
            arrays.append((role, shape, torch.float32))
    places: dict[Hashable, tuple[int, tuple[int, ...], torch.dtype]] = {}
    end = 0
    for role, shape, dtype in arrays:
        places[role] = (end, shape, dtype)
        end += -(-_bytes(shape, dtype) // LINE) * LINE
    return Layout(end, places)


@dataclass
class Saved:
    """What a forward pass leaves for the backward pass, which writes over the slots and says so."""

    loops: Loops
    shared: Shared
    inputs: Tensors
    values: outside.Values
    arrays: Arrays
    consumed: bool = field(default=False)


def forward(loops: Loops, shared: Shared, inputs: Tensors) -> tuple[Tensor, tuple[Tensor, ...], list[Tensor], Saved]:
    """The output, the last states, the gates asked for, and what `backward` needs."""
    steps, rows, more_steps, more_rows = inputs.spans
    graph = loops.plan.graph
    if "output" not in loops.history:
        more_steps = more_rows = 0
    shape = (steps + more_steps, rows + more_rows, graph.output_size)
    own: dict[Hashable, Tensor] = {"output": allocate(shape, torch.float32)}
    for g in loops.options.gates:
        own["gate", g] = allocate((steps, rows, graph.nodes[g].size), torch.float32)
    arrays = Arrays(own, _layout(loops, *inputs.spans))
    values = outside.before(loops, shared, inputs, arrays)
    last = [torch.empty(inputs.states[0].shape[0], n, **FLOATS) for n in graph.state_sizes]
    given = _given(loops, inputs, values, inputs.states) | _numbered("end", last)
    _run(loops, loops.forward, shared, given, arrays, inputs.sizes)
    output = own["output"][more_steps:, more_rows:]
    gates = [own["gate", g] for g in loops.options.gates]
    return output, tuple(last), gates, Saved(loops, shared, inputs, values, arrays)


def backward(
    saved: Saved, d_output: Tensor, d_states: Sequence[Tensor], d_gates: Sequence[Tensor] = ()
) -> tuple[Tensor | None, list[Tensor], list[Tensor]]:
    """Gradients of the input, of the first states (and then of `start`, where it is given), and of the weights."""
    if saved.consumed:  # a second time through one graph: what the first wrote over is computed again
        saved = forward(saved.loops, saved.shared, saved.inputs)[3]
    saved.consumed = True
    loops, inputs, arrays = saved.loops, saved.inputs, saved.arrays
    assert loops.backward is not None
    begin = [d.contiguous() for d in d_states]
    end = [torch.empty_like(d) for d in begin]
    if inputs.reset is not None:
        starts = [torch.zeros_like(d) for d in begin]
        begin, end = begin + starts, end + starts
    sums = outside.room_for_totals(loops, saved.shared)
    arrays.own |= {"totals": sums.memory} | _room_for_gradients(loops, saved.shared, inputs.x)
    given = _given(loops, inputs, saved.values, begin) | _numbered("end", end)
    given["d_output"] = columns(d_output)
    if d_gates:
        given |= _numbered("d_gate", [columns(d) for d in d_gates])
    _run(loops, loops.backward, saved.shared, given, arrays, inputs.sizes, reverse=True)
    d_x, d_weights = outside.after(loops, saved.shared, inputs, saved.values, arrays, sums)
    count = len(inputs.states)
    if inputs.reset is not None and not inputs.start:
        end = [a + b for a, b in zip(end[:count], end[count:], strict=True)]
    return d_x, end, d_weights


def _room_for_gradients(loops: Loops, shared: Shared, x: Tensor) -> dict[Hashable, Tensor]:
    """Tensors for what the engine makes after its loop."""
    room: dict[Hashable, Tensor] = {}
    if loops.after and x.is_floating_point():
        room["d_x"] = allocate(tuple(x.shape), torch.float32)
    if outside.looks_up(loops, x):
        vocabulary = loops.plan.graph.input_size
        room |= {("d_table", d): torch.zeros(vocabulary, loops.blocks[d].width, **FLOATS) for d, _ in loops.scatter}
    for outer in in_engine(loops, shared, not x.is_floating_point()):
        room[outer.role] = allocate((outer.left.width, outer.width), torch.float32)
        if 0 in x.shape[:2]:  # a sum of nothing, for which the engine does not start
            room[outer.role].zero_()
    return room


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


def _bytes(shape: tuple[int, ...], dtype: torch.dtype) -> int:
    return math.prod(shape) * dtype.itemsize


def allocate(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """Memory whose contents are undefined, of the engine's pool where there is much of it."""
    count = _bytes(shape, dtype)
    if count < SMALL:
        return torch.empty(shape, dtype=dtype, device="cpu")
    if dtype in (torch.float32, torch.bfloat16, torch.uint8):
        return loaded_engine().borrow(shape, dtype.itemsize)
    return loaded_engine().borrow((count,), 1).view(dtype).view(shape)


def _given(loops: Loops, inputs: Tensors, values: outside.Values, begin: Sequence[Tensor]) -> dict[Hashable, Tensor]:
    """The caller's tensors by role, and what the loop's states begin with."""
    tensors: dict[Hashable, Tensor] = {"x": _even(inputs.x)}
    for k, weight in enumerate(inputs.weights):
        tensors["weight", k] = weight if weight.dim() > 1 else columns(weight)
    for k, first in enumerate(begin):
        tensors["begin", k] = first
    if inputs.masks:
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
    arrays: Arrays,
    sizes: tuple[int, ...],
    *,
    reverse: bool = False,
) -> None:
    """Runs one of the loops on the caller's tensors and on what this module allocated.

    How places are bound depends on shapes and strides only, and those of the arrays follow from those of the given
    ones, so it is worked out once for each, and checked: afterwards a call hands over nothing but addresses.
    """
    memory = () if arrays.memory is None else (arrays.memory,)
    tensors = (*given.values(), *arrays.own.values(), *memory)
    forms = [form for t in given.values() for form in (t.dtype, t.device, t.shape, t.stride())]
    key = (shared.key, tuple(arrays.own), memory == (), *forms)
    call = code.calls.get(key)
    if call is None:
        if len(code.calls) > 64:  # sequences of ever new lengths
            code.calls.clear()
        check(loops.plan.graph, shared, given)
        addresses = {role: (k, 0) for k, role in enumerate((*given, *arrays.own))}
        inside = {role: (len(addresses), offset) for role, (offset, _, _) in arrays.layout.places.items()}
        known = given | dict(arrays)
        call = code.calls[key] = describe(loops, code, shared, known, addresses | inside, reverse=reverse)
    call.run([t.data_ptr() for t in tensors], sizes, torch.get_num_threads(), instruction_set())
