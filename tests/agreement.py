"""Run a recurrence on the engine and on the executor that autograd differentiates, and say how far apart they are.

Owns the cases that tests of the engine compute, in float32, and the truth beside them, the same numbers in float64.
Takes graphs and sizes, gives errors by name. Never states an expected value, never says how large an error may be.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from ifog.compiler import evaluation
from ifog.compiler.execution import Inputs, over_time, unroll
from ifog.compiler.graph import Graph
from ifog.compiler.planning import plan
from ifog.compiler.precision import Precision
from ifog.kernels import backends

FP32 = 5e-6
BF16 = 8e-3
INT16 = 2e-3  # most are within 1e-3; a sum of few terms that cancel may not be
TOLERANCES: dict[Precision, float] = {"fp32": FP32, "bf16": BF16, "int16": INT16}


@dataclass(frozen=True)
class Case:
    """A sequence and the cotangents of all that it gives."""

    graph: Graph
    inputs: Inputs
    d_output: Tensor
    d_states: tuple[Tensor, ...]
    names: tuple[str, ...] = ()
    d_gates: tuple[Tensor, ...] = ()

    def leaves(self, inputs: Inputs) -> dict[str, Tensor]:
        """What gradients are compared of, by name."""
        found = {"x": inputs.x} if inputs.x.is_floating_point() else {}
        found |= {f"first {k}": s for k, s in enumerate(inputs.states)}
        found |= {f"start {k}": s for k, s in enumerate(inputs.start or ())}
        return found | dict(inputs.parameters)


def case(
    graph: Graph,
    steps: int,
    batch: int,
    *,
    valid: bool = False,
    reset: bool = False,
    tokens: bool = False,
    gates: bool = False,
    seed: int = 0,
    gain: float = 0.5,
) -> Case:
    """Random numbers for `graph`; matrices are `gain` / sqrt(columns) in size, so that no sequence explodes."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator)

    parameters = {p.name: draw(*p.shape) * (gain / p.shape[-1] ** 0.5 if len(p.shape) > 1 else gain)
                  for p in graph.parameters}  # fmt: skip
    masks = tuple(
        (uniform(1 if "sequence" in graph.nodes[m].attributes else steps, batch, graph.nodes[m].size) > 0.3).float()
        for m in graph.masks
    )
    lengths = torch.randint(0, steps + 1, (batch,), generator=generator)
    within = (torch.arange(steps)[:, None] < lengths).unsqueeze(-1) if valid else None
    x = torch.randint(graph.input_size, (steps, batch), generator=generator) if tokens else draw(
        steps, batch, graph.input_size)  # fmt: skip
    inputs = Inputs(
        x if within is None or tokens else torch.where(within, x, 0.0),
        tuple(draw(batch, n) * 0.5 for n in graph.state_sizes),
        parameters,
        masks,
        within,
        uniform(steps, batch, 1) < 0.3 if reset else None,
        tuple(draw(batch, n) * 0.5 for n in graph.state_sizes) if reset else None,
    )
    fused = plan(graph, fused=True)
    gates = gates and backends.choose(plan(graph), gates=True).backend == "cpu"  # else the reference runs anyway
    names = tuple(dict(fused.graph.names)) if gates else ()
    sizes = dict(fused.graph.names)
    d_gates = [draw(steps, batch, fused.graph.nodes[sizes[name]].size) for name in names]
    return Case(
        graph,
        inputs,
        draw(steps, batch, graph.output_size),
        tuple(draw(batch, n) for n in graph.state_sizes),
        names,
        tuple(d if within is None else torch.where(within, d, 0.0) for d in d_gates),  # as a layer masks gates
    )


def typed(inputs: Inputs, dtype: torch.dtype) -> Inputs:
    """Fresh leaves of `dtype` that want gradients."""

    def leaf(value: Tensor) -> Tensor:
        return value.to(dtype).clone().requires_grad_() if value.is_floating_point() else value

    return dataclasses.replace(
        inputs,
        x=leaf(inputs.x),
        states=tuple(leaf(s) for s in inputs.states),
        parameters={name: leaf(w) for name, w in inputs.parameters.items()},
        masks=tuple(m.to(dtype) for m in inputs.masks),
        start=None if inputs.start is None else tuple(leaf(s) for s in inputs.start),
    )


Runner = Callable[[Case, Inputs], tuple[Tensor, Sequence[Tensor], Mapping[str, Tensor]]]


def engine(precision: Precision = "fp32") -> Runner:
    """The C++ engine."""
    choice = backends.Choice("cpu", "the test asks for it")
    return lambda it, inputs: backends.run(plan(it.graph), inputs, choice, it.names, precision)


def reference(it: Case, inputs: Inputs) -> tuple[Tensor, Sequence[Tensor], Mapping[str, Tensor]]:
    """Ordinary PyTorch operations, differentiated by autograd."""
    planned = plan(it.graph)
    wanted = {name: i for name, i in planned.graph.names if name in it.names}
    result = unroll(planned, inputs, tuple(dict.fromkeys(wanted.values())))
    nodes = planned.graph.nodes
    return result.output, result.states, {
        name: over_time(result.kept[i], nodes[i].size, result.output) for name, i in wanted.items()
    }  # fmt: skip


def _bf16(value: Tensor) -> Tensor:
    return value.to(torch.bfloat16).to(value.dtype)


def _int16(value: Tensor) -> Tensor:
    """The largest of each 64 neighbours becomes 4095, the others whole numbers beside it."""
    rounded = value.clone()
    for part in rounded.split(64, -1):
        unit = (part.abs().amax(-1, keepdim=True) / 4095).clamp(min=1e-30)
        part.copy_((part / unit).round() * unit)
    return rounded


class _Rounded(torch.autograd.Function):
    """Rounded on the way there, or on the way back."""

    @staticmethod
    def forward(ctx, value, there, back):
        ctx.back = back
        return there(value)

    @staticmethod
    def backward(ctx, d):
        return ctx.back(d), None, None


def rounded(precision: Precision) -> Runner:
    """The reference with all that enters a matrix product rounded, forwards and backwards."""
    round_, exact = {"bf16": _bf16, "int16": _int16}[precision], evaluation.product

    def product(operand: Tensor, matrix: Tensor) -> Tensor:
        there = _Rounded.apply(operand, round_, Tensor.clone) if operand.is_floating_point() else operand
        return _Rounded.apply(exact(there, _Rounded.apply(matrix, round_, Tensor.clone)), Tensor.clone, round_)

    def run(it: Case, inputs: Inputs) -> tuple[Tensor, Sequence[Tensor], Mapping[str, Tensor]]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(evaluation, "product", product)
            return reference(it, inputs)

    return run


def compute(it: Case, run: Runner, dtype: torch.dtype = torch.float32, *, train: bool = True) -> dict[str, Tensor]:
    """All values and all gradients, by name."""
    inputs = typed(it.inputs, dtype)
    with torch.set_grad_enabled(train):
        output, states, gates = run(it, inputs)
    results = {"output": output} | {f"last {k}": s for k, s in enumerate(states)}
    results |= {f"gate {name}": gates[name] for name in it.names}
    found = {name: value.detach() for name, value in results.items()}
    if not train:
        return found
    leaves = it.leaves(inputs)
    pulled = [(y, d.to(dtype)) for y, d in zip(results.values(), (it.d_output, *it.d_states, *it.d_gates), strict=True)
              if y.requires_grad]  # fmt: skip
    gradients = torch.autograd.grad(
        [y for y, _ in pulled], list(leaves.values()), [d for _, d in pulled], allow_unused=True, materialize_grads=True
    )
    return found | {f"d {name}": g for name, g in zip(leaves, gradients, strict=True)}


def errors(found: Mapping[str, Tensor], truth: Mapping[str, Tensor]) -> dict[str, float]:
    """The largest difference in each tensor, in units of the largest entry of the truth.

    What is zero but for rounding has no scale of its own and takes a twentieth of the largest of all.
    """
    assert found.keys() <= truth.keys()
    least = 0.05 * max((float(v.abs().max()) for v in truth.values() if v.numel()), default=0.0) + 1e-30
    result: dict[str, float] = {}
    for name, value in found.items():
        wanted = truth[name]
        assert value.shape == wanted.shape, f"{name}: {tuple(value.shape)}, expected {tuple(wanted.shape)}"
        if value.numel():
            off = (value.double() - wanted).abs().max()
            result[name] = float(off) / max(float(wanted.abs().max()), least)
    return result


def differences(it: Case, *, precision: Precision = "fp32", train: bool = True) -> dict[str, float]:
    """How far the engine is from the truth, in units of what it may be."""
    truth = compute(it, reference, torch.float64)
    found = errors(compute(it, engine(precision), train=train), truth)
    # where the question amplifies rounding, so does the answer: the reference's own error in the same precision tells
    alike = compute(it, reference) if precision == "fp32" else compute(it, rounded(precision), torch.float64)
    limit = max(TOLERANCES[precision], 8 * max(errors(alike, truth).values(), default=0.0))
    return {name: e / limit for name, e in found.items()}


def assert_agrees(it: Case, what: object = "", *, precision: Precision = "fp32", train: bool = True) -> None:
    """Values and gradients of the engine are those of the reference, to the precision promised; NaN is not."""
    over = {name: e for name, e in differences(it, precision=precision, train=train).items() if not e <= 1}
    assert not over, f"{what}: times the tolerance {over}"
