"""The engine as operators that PyTorch's compilers trace around: `ifog::sequence` and `ifog::sequence_backward`.

Owns their schemas, shapes and derivatives, and the names by which they know recurrences: an operator takes tensors,
numbers and strings, and a plan is none of these. Takes a plan and tensors, gives tensors. Both are functional: they
change none of their arguments, and no result shares memory with an argument or another result.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from itertools import pairwise
from typing import Any, cast

import torch
from torch import Tensor

from ifog.compiler.evaluation import Inputs
from ifog.compiler.execution import over_time, unroll
from ifog.compiler.loops import Loops, Options, lower
from ifog.compiler.planning import Plan, Stage, plan
from ifog.compiler.precision import Precision
from ifog.errors import BackendError, ShapeError
from ifog.kernels import cpu, outside
from ifog.kernels.sharing import Shared

__all__ = ["register", "run"]

Shapes = list[tuple[tuple[int, ...], torch.dtype]]


@dataclass(frozen=True)
class _Recurrence:
    """What a name stands for: a fused plan, where its parameters lie, and the values that are given out."""

    plan: Plan
    shared: Shared
    gates: tuple[int, ...]

    @cached_property
    def name(self) -> str:
        """The same in every process."""
        content = repr((self.plan.graph, self.shared.count, list(self.shared.pieces.items()), self.gates))
        return f"{self.plan.graph.name}-{hashlib.sha256(content.encode()).hexdigest()[:24]}"

    @cached_property
    def constant(self) -> tuple[int, ...]:
        """The values that depend on weights alone."""
        return tuple(_values(self.plan.constant))

    def before(self, loops: Loops) -> list[int]:
        """The values computed before the loop that lie in no slot."""
        return [*self.constant, *(n for n in _values(self.plan.input) if n not in loops.blocks)]


def _values(stages: Iterable[Stage]) -> list[int]:
    return [n for s in stages for n in (*(p for group in s.products for p in group), *s.program)]


_recurrences: dict[str, _Recurrence] = {}


def register(
    plan_: Plan, shared: Shared | None = None, parameters: tuple[str, ...] = (), names: tuple[str, ...] = ()
) -> tuple[str, tuple[int, ...]]:
    """Makes a recurrence known to the operators.

    Args:
        plan_: The recurrence.
        shared: Where its parameters lie; None: each in a tensor of its own.
        parameters: Their names in the order of these tensors, where it is not the graph's.
        names: The named values that are given out.

    Returns:
        The recurrence's name, and for each of `names` its place among the values given out.
    """
    fused = plan(plan_.graph, fused=True)
    if shared is None:
        shared = Shared.of(fused.graph, parameters)
    nodes = dict(fused.graph.names)
    gates = tuple(dict.fromkeys(nodes[name] for name in names))
    found = _Recurrence(fused, shared, gates)
    _recurrences.setdefault(found.name, found)
    return found.name, tuple(gates.index(nodes[name]) for name in names)


def _recurrence(name: str) -> _Recurrence:
    found = _recurrences.get(name)
    if found is None:
        raise BackendError(
            f"no recurrence is called {name!r} in this process: an exported program holds a cell's name, not its "
            "equations; give the cell's plan to ifog.kernels.operators.register before the program runs"
        )
    return found


# it reads and makes plans, which a tracer need not see: the name it gives is all that matters
_register = cast("Callable[..., tuple[str, tuple[int, ...]]]", torch.compiler.assume_constant_result(register))


def run(
    plan_: Plan,
    inputs: Inputs,
    names: tuple[str, ...] = (),
    precision: Precision = "fp32",
    shared: Shared | None = None,
    weights: Sequence[Tensor] = (),
) -> tuple[Tensor, tuple[Tensor, ...], dict[str, Tensor]]:
    """As `compiled.run`, through the operators; `shared` and `weights` where parameters lie together."""
    name, places = _register(plan_, shared, tuple(inputs.parameters), names)
    tensors = list(inputs.parameters.values()) if shared is None else list(weights)
    leaves = (inputs.x, *inputs.states, *(inputs.start or ()), *tensors)
    train = torch.is_grad_enabled() and any(t.requires_grad for t in leaves)
    output, last, gates, _ = torch.ops.ifog.sequence(
        name, inputs.x, list(inputs.states), list(inputs.start or ()), tensors, list(inputs.masks),
        inputs.valid, inputs.reset, precision, train and inputs.x.requires_grad, train,
    )  # fmt: skip
    return output, tuple(last), {name: gates[k] for name, k in zip(names, places, strict=True)}


@dataclass(frozen=True)
class _Call:
    """The arguments that both operators share."""

    recurrence: str
    x: Tensor
    states: Sequence[Tensor]
    start: Sequence[Tensor]
    weights: Sequence[Tensor]
    masks: Sequence[Tensor]
    valid: Tensor | None
    reset: Tensor | None
    precision: Precision
    input_gradient: bool

    @cached_property
    def of(self) -> _Recurrence:
        """What runs."""
        return _recurrence(self.recurrence)

    @property
    def leaves(self) -> tuple[Tensor, ...]:
        """What may be differentiated."""
        return (self.x, *self.states, *self.start, *self.weights)

    def loops(self, *, train: bool) -> Loops:
        """The compiled loops."""
        masked = (self.valid is not None, self.reset is not None)
        order = self.of.shared.order
        return lower(self.of.plan, Options(train, self.precision, self.input_gradient, *masked, self.of.gates, order))

    def tensors(self) -> cpu.Tensors:
        """What the engine takes, with neighbouring columns."""
        states, start, masks = (tuple(map(cpu.columns, part)) for part in (self.states, self.start, self.masks))
        weights = self.of.shared.add(self.weights)
        return cpu.Tensors(cpu.columns(self.x), states, start, weights, masks, self.valid, self.reset)

    def inputs(self) -> Inputs:
        """What the executor that autograd differentiates takes."""
        parameters = self.of.shared.parameters(self.weights)
        start = tuple(self.start) or None
        return Inputs(
            self.x, tuple(self.states), parameters, tuple(self.masks), self.valid, self.reset, start, self.precision
        )

    def renamed(self) -> _Call:
        """The same tensors under other names."""
        parts = {k: [t.view_as(t) for t in getattr(self, k)] for k in ("states", "start", "weights")}
        return replace(self, x=self.x.view_as(self.x), **parts)

    def kept(self, loops: Loops) -> Shapes:
        """What gradients are computed from: slots, the states after each step, values computed before the loop."""
        (steps, batch), graph = self.x.shape[:2], self.of.plan.graph
        nodes, sizes = graph.nodes, graph.state_sizes
        found: Shapes = [((steps, batch, loops.slots[k]), _type(loops, k)) for k in _gaps(loops)]
        found += [((steps + 1, batch, sizes[k]), torch.float32) for k in _histories(loops).values()]
        for n in self.of.before(loops):
            over = () if n in self.of.constant else (steps, batch)
            found.append(((*over, nodes[n].size), torch.float32))
        return found


def _type(loops: Loops, slot: int) -> torch.dtype:
    return torch.bfloat16 if loops.half[slot] else torch.float32


def _gaps(loops: Loops) -> dict[int, list[tuple[int, int]]]:
    """The slots that the forward pass writes to, and the columns of each that it leaves as they are."""
    return _unwritten(loops.plan, loops.options)


@lru_cache(maxsize=256)
def _unwritten(plan_: Plan, options: Options) -> dict[int, list[tuple[int, int]]]:
    loops = lower(plan_, options)
    written = (*loops.plan.sequences_of_products, *(loops.gradients.saved if loops.gradients else ()))
    blocks = sorted({loops.blocks[n] for n in written if n in loops.blocks})
    found: dict[int, list[tuple[int, int]]] = {}
    for slot in dict.fromkeys(b.slot for b in blocks):
        ends = [(0, 0), *((b.offset, b.offset + b.width) for b in blocks if b.slot == slot), (loops.slots[slot],) * 2]
        found[slot] = [(stop, start) for (_, stop), (start, _) in pairwise(ends) if stop < start]
    return found


def _histories(loops: Loops) -> dict[Hashable, int]:
    """The arrays of states after each step, but for the output, and whose they are."""
    return {role: k for k, role in enumerate(loops.history) if role not in (None, "output")}


def _sequence(*arguments: Any) -> tuple[Tensor, list[Tensor], list[Tensor], list[Tensor]]:
    call, train = _Call(*arguments[:-1]), arguments[-1]
    loops = call.loops(train=train)
    _check(call)
    with torch.no_grad():
        output, last, gates, saved = cpu.forward(loops, call.of.shared.summed, call.tensors())
        kept: list[Tensor] = []
        if train:
            for k, gaps in _gaps(loops).items():
                for start, stop in gaps:  # so that equal arguments give equal results
                    saved.arrays["slot", k][..., start:stop].zero_()
            arrays = [*(("slot", k) for k in _gaps(loops)), *_histories(loops)]
            kept = [saved.arrays[role] for role in arrays] + [saved.values[n] for n in call.of.before(loops)]
            kept = [v.expand(shape) for v, (shape, _) in zip(kept, call.kept(loops), strict=True)]
        own = _unshared((*call.leaves, *call.masks), [output, *last, *gates, *kept])
    ends = 1 + len(last), 1 + len(last) + len(gates)
    return own[0], own[1 : ends[0]], own[ends[0] : ends[1]], own[ends[1] :]


def _check(call: _Call) -> None:
    """Refuses what would make the engine read past the end of its memory; a traced layer has looked at shapes only."""
    vocabulary = call.of.plan.graph.input_size
    if 0 in call.x.shape[:2]:
        raise ShapeError(f"ifog::sequence runs at least one step of one sequence, got input {tuple(call.x.shape)}")
    if not call.x.is_floating_point() and not 0 <= int(call.x.min()) <= int(call.x.max()) < vocabulary:
        raise ShapeError(f"token ids must be 0 to {vocabulary - 1}, got {int(call.x.min())} to {int(call.x.max())}")


def _sequence_shapes(*arguments: Any) -> tuple[Tensor, list[Tensor], list[Tensor], list[Tensor]]:
    call, train = _Call(*arguments[:-1]), arguments[-1]
    graph, like = call.of.plan.graph, call.states[0]
    steps, batch = call.x.shape[:2]
    kept = call.kept(call.loops(train=True)) if train else []
    return (
        like.new_empty(steps, batch, graph.output_size),
        [like.new_empty(batch, n) for n in graph.state_sizes],
        [like.new_empty(steps, batch, graph.nodes[g].size) for g in call.of.gates],
        [like.new_empty(shape, dtype=dtype) for shape, dtype in kept],
    )


def _sequence_backward(*arguments: Any) -> list[Tensor]:
    call, (output, kept, d_output, d_last, d_gates) = _Call(*arguments[:-5]), arguments[-5:]
    loops, shared = call.loops(train=True), call.of.shared
    with torch.no_grad():
        inputs = call.tensors()
        rest = iter(kept)
        arrays = _restored(call, loops, inputs, output, rest)
        values = outside.Values(loops, shared.summed, inputs)
        values.update(zip(call.of.before(loops), rest, strict=True))
        saved = cpu.Saved(loops, shared.summed, inputs, values, cpu.Arrays(arrays))
        d_x, d_first, found = cpu.backward(saved, d_output, d_last, d_gates)
        results = [*d_first, *found]
        if _has_gradient(call):
            results.insert(0, torch.zeros_like(call.x) if d_x is None else d_x)
        return _unshared((*call.leaves, *call.masks, output, *kept, d_output, *d_last, *d_gates), results)


def _restored(
    call: _Call, loops: Loops, inputs: cpu.Tensors, output: Tensor, kept: Iterator[Tensor]
) -> dict[Hashable, Tensor]:
    """The arrays that `cpu.forward` left, in its order: a call is remembered by shapes, and knows arrays by number."""
    arrays: dict[Hashable, Tensor] = {}
    for k, width in enumerate(loops.slots):  # copies, because cotangents will be written over them
        empty = output.new_empty(*output.shape[:2], width, dtype=_type(loops, k))
        arrays["slot", k] = empty.copy_(next(kept)) if k in _gaps(loops) else empty
    histories = {role: next(kept).contiguous() for role in _histories(loops)}
    for role, first in zip(loops.history, inputs.states, strict=True):
        if role is not None:
            arrays[role] = torch.cat([first.unsqueeze(0), output]) if role == "output" else histories[role]
    arrays.setdefault("output", output)
    for g in call.of.gates:
        arrays["gate", g] = output  # which the backward pass doesn't read
    return arrays


def _sequence_backward_shapes(*arguments: Any) -> list[Tensor]:
    call = _Call(*arguments[:-5])
    like = call.states[0]
    return [like.new_empty(t.shape) for t in (call.leaves if _has_gradient(call) else call.leaves[1:])]


def _has_gradient(call: _Call) -> bool:
    """Whether the input's gradient is among the results."""
    return call.input_gradient and call.x.is_floating_point()


def _unshared(given: Iterable[Tensor], results: Iterable[Tensor]) -> list[Tensor]:
    """`results`, copied where they have gaps or share memory with what was given or with each other."""
    seen = {t.untyped_storage().data_ptr() for t in given}
    own: list[Tensor] = []
    for value in results:
        storage = value.untyped_storage()
        whole = value.is_contiguous() and storage.nbytes() == value.numel() * value.element_size()
        if not whole or storage.data_ptr() in seen:
            value = value.clone(memory_format=torch.contiguous_format)
        seen.add(storage.data_ptr())
        own.append(value)
    return own


# derivatives


def _remember(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    call, ctx.train = _Call(*inputs[:-1]), inputs[-1]
    ctx.set_materialize_grads(False)
    ctx.mark_non_differentiable(*output[3])
    ctx.recurrence, ctx.options = call.recurrence, (call.precision, call.input_gradient)
    lists = (call.states, call.start, call.weights, call.masks)
    ctx.counts = [len(part) for part in lists]
    # autograd notices a weight, or an output, that was changed in place before backward
    ctx.save_for_backward(call.valid, call.reset, call.x, *(t for part in lists for t in part), output[0], *output[3])


def _derive(ctx: Any, d_output: Tensor | None, d_last: list[Any], d_gates: list[Any], d_kept: list[Any]) -> Any:
    if not ctx.train:
        raise BackendError("ifog::sequence was called with train=False, which keeps nothing to compute gradients from")
    valid, reset, x, *rest = ctx.saved_tensors
    lists: list[list[Tensor]] = []
    for count in ctx.counts:
        lists.append(rest[:count])
        rest = rest[count:]
    output, *kept = rest
    arguments: tuple[Any, ...] = (ctx.recurrence, x, *lists, valid, reset, *ctx.options)
    call = _Call(*arguments)
    d = _materialised(call, output, (d_output, *d_last, *d_gates))
    if torch.is_grad_enabled():  # create_graph=True: someone will differentiate these gradients
        results = _differentiable(call, d)
    else:
        ends = 1 + len(d_last)
        found = torch.ops.ifog.sequence_backward(*arguments, output, kept, d[0], d[1:ends], d[ends:])
        results = [*([] if _has_gradient(call) else [None]), *found]
    following = iter(results)
    d_x = next(following)
    d_lists = [[next(following) for _ in part] for part in lists[:-1]]
    return None, d_x, *d_lists, [None for _ in lists[-1]], None, None, None, None, None


def _materialised(call: _Call, output: Tensor, d: Sequence[Tensor | None]) -> list[Tensor]:
    """Zeros for the cotangents that there are none of."""
    steps, batch = output.shape[:2]
    nodes = call.of.plan.graph.nodes
    shapes = [output.shape, *(s.shape for s in call.states), *((steps, batch, nodes[g].size) for g in call.of.gates)]
    return [output.new_zeros(shape) if v is None else v for v, shape in zip(d, shapes, strict=True)]


def _differentiable(call: _Call, d: Sequence[Tensor]) -> list[Tensor | None]:
    """The gradients, computed so that autograd can differentiate them again."""
    # other names for them: a state that was computed from the input is no part of the input's own gradient here
    call = call.renamed()
    recurrence, leaves = call.of, call.leaves
    result = unroll(recurrence.plan, call.inputs(), recurrence.gates)
    nodes = recurrence.plan.graph.nodes
    gates = [over_time(result.kept[g], nodes[g].size, result.output) for g in recurrence.gates]
    wanted = [t for t in leaves if t.requires_grad]
    outputs = (result.output, *result.states, *gates)
    found = iter(torch.autograd.grad(outputs, wanted, d, create_graph=True, allow_unused=True, materialize_grads=True))
    return [next(found) if t.requires_grad else None for t in leaves]


def _refuse(ctx: Any, *d: Any) -> Any:
    raise BackendError("ifog::sequence_backward has no derivative; differentiate ifog::sequence with create_graph=True")


# the registration itself; `train`: keep what gradients need, `precision`: what products multiply

_ARGUMENTS = (
    "str recurrence, Tensor x, Tensor[] states, Tensor[] start, Tensor[] weights, Tensor[] masks, "
    "Tensor? valid, Tensor? reset, str precision, bool input_gradient"
)
_library = torch.library.Library("ifog", "FRAGMENT")
_library.define(
    f"sequence({_ARGUMENTS}, bool train) -> (Tensor output, Tensor[] last, Tensor[] gates, Tensor[] kept)",
    tags=(torch.Tag.pt2_compliant_tag,),
)
_library.define(
    f"sequence_backward({_ARGUMENTS}, Tensor output, Tensor[] kept, Tensor d_output, Tensor[] d_last, "
    "Tensor[] d_gates) -> Tensor[]",
    tags=(torch.Tag.pt2_compliant_tag,),
)
_library.impl("sequence", _sequence, "CPU")
_library.impl("sequence_backward", _sequence_backward, "CPU")
torch.library.register_fake("ifog::sequence", _sequence_shapes, lib=_library)
torch.library.register_fake("ifog::sequence_backward", _sequence_backward_shapes, lib=_library)
torch.library.register_autograd("ifog::sequence", _derive, setup_context=_remember, lib=_library)
torch.library.register_autograd("ifog::sequence_backward", _refuse, lib=_library)
