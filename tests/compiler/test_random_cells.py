"""Hundreds of random cells: the backward programs, autograd and finite differences agree on every one.

More of them, and other ones each time: pytest tests/compiler/test_random_cells.py --hypothesis-profile=explore
"""

from __future__ import annotations

from collections import Counter

import torch
from hypothesis import given, note, settings
from hypothesis import strategies as st
from torch import Tensor

from compare import assert_both_ways_agree, numbers
from ifog.compiler.execution import Inputs, backpropagate, unroll
from ifog.compiler.gradients import differentiate
from ifog.compiler.graph import matrices
from ifog.compiler.operations import OPERATIONS
from ifog.compiler.planning import plan
from programs import build, programs

CELLS = 500


class _Adjoint(torch.autograd.Function):
    """Everything a sequence gives as a function of one vector of all that it reads, with the adjoint as derivative."""

    @staticmethod
    def forward(ctx, flat, unpack, graph):
        ctx.gradients = differentiate(plan(graph))
        ctx.inputs = unpack(flat)
        ctx.result = unroll(plan(graph), ctx.inputs, ctx.gradients.saved, history=True)
        return torch.cat([ctx.result.output.flatten(), *(s.flatten() for s in ctx.result.states)])

    @staticmethod
    def backward(ctx, d):
        shapes = [ctx.result.output, *ctx.result.states]
        d_output, *d_states = _split(d, [s.shape for s in shapes])
        d_x, d_first, d_parameters = backpropagate(ctx.gradients, ctx.inputs, ctx.result, d_output, d_states)
        found = [d_x, *d_first, *(d_parameters[name] for name in ctx.inputs.parameters)]
        return torch.cat([v.flatten() for v in found]), None, None


def _split(flat: Tensor, shapes: list[torch.Size]) -> list[Tensor]:
    return [part.reshape(shape) for part, shape in zip(flat.split([s.numel() for s in shapes]), shapes, strict=True)]


def assert_finite_differences_agree(graph, inputs: Inputs) -> None:
    leaves = [inputs.x, *inputs.states, *inputs.parameters.values()]

    def unpack(flat: Tensor) -> Inputs:
        x, *rest = _split(flat, [v.shape for v in leaves])
        count = len(inputs.states)
        parameters = dict(zip(inputs.parameters, rest[count:], strict=True))
        return Inputs(x, tuple(rest[:count]), parameters, inputs.masks, inputs.valid, inputs.reset)

    flat = torch.cat([v.detach().flatten() for v in leaves]).requires_grad_()
    assert torch.autograd.gradcheck(lambda v: _Adjoint.apply(v, unpack, graph), (flat,), fast_mode=True)


def test_adjoint_autograd_and_finite_differences_agree_on_random_cells():
    seen: set[object] = set()
    operations: Counter[str] = Counter()
    shapes: Counter[object] = Counter()

    @settings(max_examples=max(CELLS, settings.default.max_examples))
    @given(
        programs(),
        st.integers(1, 3),
        st.integers(1, 3),
        st.booleans(),
        st.booleans(),
        st.booleans(),
        st.integers(0, 99),
    )
    def check(program, steps, batch, valid, reset, of_states, seed):
        graph = build(program).trace(program.input_size, 3)
        note(str(graph))
        torch.manual_seed(seed)
        inputs = numbers(graph, steps, batch, valid=valid, reset=reset)
        assert_both_ways_agree(graph, inputs, of_states=of_states)
        assert_finite_differences_agree(graph, inputs)
        seen.add(program)
        operations.update({node.op for node in differentiate(plan(graph)).nodes})
        shapes.update(_shapes(graph))

    check()
    assert len(seen) >= 300
    missing = (OPERATIONS.keys() | {"mask", "parameter", "constant", "product"}) - operations.keys()
    assert not missing, "the random cells never reached these operations"
    wanted = {"transposed", "shared", "matrix", "elementwise", "linear", "no step", "masked step"}
    wanted |= {f"{n} states" for n in (1, 2, 3)} | {f"{n} stages" for n in (1, 2, 3)}
    assert not wanted - shapes.keys(), "the random cells never had these shapes"


def _shapes(graph) -> set[str]:
    """What kind of recurrence a random cell turned out to be."""
    planned = plan(graph)
    uses = Counter(name for node in graph.nodes if node.op == "product" for name, _ in matrices(node))
    found = {f"{len(graph.states)} states", planned.kind, "masked step" if graph.masks else "plain step"}
    found.add(f"{sum(bool(stage.products) for stage in planned.step)} stages")
    if any(flag for node in graph.nodes if node.op == "product" for _, flag in matrices(node)):
        found.add("transposed")
    if any(n > 1 for n in uses.values()):
        found.add("shared")
    if not planned.step:
        found.add("no step")
    return found
