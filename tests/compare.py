"""Run a graph with both executors, and say how far apart they are.

Owns the random numbers that tests of the compiler compute with, and the comparison of autograd through `unroll` with
the compiler's own backward programs. Takes graphs and sizes, gives tensors. Never states an expected value.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ifog.compiler.execution import Inputs, backpropagate, unroll
from ifog.compiler.gradients import differentiate
from ifog.compiler.graph import Graph
from ifog.compiler.planning import plan


class Result(NamedTuple):
    """What a sequence gives, and the gradients of `x` (None for token ids), of the first states and parameters."""

    output: Tensor
    states: tuple[Tensor, ...]
    d_x: Tensor | None
    d_states: tuple[Tensor, ...]
    d_parameters: dict[str, Tensor]


def numbers(
    graph: Graph,
    steps: int,
    batch: int,
    *,
    valid: bool = False,
    reset: bool = False,
    tokens: bool = False,
    dtype: torch.dtype = torch.float64,
) -> Inputs:
    """Random inputs, states, parameters and masks for `graph`, all of which want gradients."""

    def draw(*shape: int) -> Tensor:
        return (torch.rand(*shape, dtype=dtype) * 2 - 1).requires_grad_()

    masks = tuple(torch.rand(1, batch, graph.nodes[i].size, dtype=dtype) for i in graph.masks)
    return Inputs(
        torch.randint(graph.input_size, (steps, batch)) if tokens else draw(steps, batch, graph.input_size),
        tuple(draw(batch, n) for n in graph.state_sizes),
        {p.name: draw(*p.shape) for p in graph.parameters},
        masks,
        torch.rand(steps, batch, 1) > 0.3 if valid else None,
        torch.rand(steps, batch, 1) > 0.6 if reset else None,
    )


def cotangents(graph: Graph, inputs: Inputs, *, of_states: bool = True) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Random cotangents of the output and of the last states; those of the states may be zero."""
    steps, batch = inputs.x.shape[:2]
    d_output = torch.randn(steps, batch, graph.output_size, dtype=inputs.states[0].dtype)
    return d_output, tuple(torch.randn_like(s) if of_states else torch.zeros_like(s) for s in inputs.states)


def by_autograd(graph: Graph, inputs: Inputs, d_output: Tensor, d_states: Sequence[Tensor]) -> Result:
    """Values, and gradients as autograd finds them."""
    result = unroll(plan(graph), inputs)
    return Result(result.output, result.states, *pull(inputs, result.output, result.states, d_output, d_states))


def by_adjoint(graph: Graph, inputs: Inputs, d_output: Tensor, d_states: Sequence[Tensor]) -> Result:
    """Values, and gradients as the compiler's backward programs find them."""
    gradients = differentiate(plan(graph))
    with torch.no_grad():
        result = unroll(plan(graph), inputs, gradients.saved, history=True)
        return Result(result.output, result.states, *backpropagate(gradients, inputs, result, d_output, d_states))


def pull(
    inputs: Inputs, output: Tensor, states: Sequence[Tensor], d_output: Tensor, d_states: Sequence[Tensor]
) -> tuple[Tensor | None, tuple[Tensor, ...], dict[str, Tensor]]:
    """The gradients of what `inputs` holds, by autograd."""
    x = (inputs.x,) if inputs.x.requires_grad else ()
    wanted = (*x, *inputs.states, *inputs.parameters.values())
    results = [(y, d) for y, d in zip((output, *states), (d_output, *d_states), strict=True) if y.requires_grad]
    found = torch.autograd.grad(
        [y for y, _ in results], wanted, [d for _, d in results], allow_unused=True, materialize_grads=True
    )
    rest = found[len(x) :]
    count = len(inputs.states)
    return found[0] if x else None, rest[:count], dict(zip(inputs.parameters, rest[count:], strict=True))


def assert_same(got: Result, wanted: Result, rtol: float = 1e-9, atol: float = 1e-10) -> None:
    """Values and all gradients agree."""
    for name, a, b in zip(Result._fields, got, wanted, strict=True):
        if isinstance(a, dict):
            assert a.keys() == b.keys(), name
        if a is None or b is None:
            assert a is b, name
            continue
        torch.testing.assert_close(a, b, rtol=rtol, atol=atol, msg=lambda text, name=name: f"{name}: {text}")


def assert_both_ways_agree(graph: Graph, inputs: Inputs, *, of_states: bool = True) -> Result:
    """Autograd and the backward programs agree; gives what they agree on."""
    d = cotangents(graph, inputs, of_states=of_states)
    wanted = by_autograd(graph, inputs, *d)
    assert_same(by_adjoint(graph, inputs, *d), wanted)
    return wanted
