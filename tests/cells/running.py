"""Runs a cell over a random sequence, for the tests of cells."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ifog.cells import Cell
from ifog.compiler.execution import Inputs, Unrolled, backpropagate, unroll
from ifog.compiler.gradients import differentiate
from ifog.compiler.planning import Plan, plan


@dataclass
class Sequence:
    """A cell's plan and random float64 tensors for all that it reads."""

    plan: Plan
    x: Tensor
    states: tuple[Tensor, ...]
    parameters: dict[str, Tensor]
    masks: tuple[Tensor, ...]

    @property
    def leaves(self) -> list[Tensor]:
        return [self.x, *self.states, *self.parameters.values()]

    def run(self, *leaves: Tensor, keep: tuple[int, ...] = (), history: bool = False) -> Unrolled:
        return unroll(self.plan, self.inputs(*leaves), keep, history)

    def inputs(self, *leaves: Tensor) -> Inputs:
        x, *rest = leaves or self.leaves
        states, parameters = rest[: len(self.states)], rest[len(self.states) :]
        return Inputs(x, tuple(states), dict(zip(self.parameters, parameters, strict=True)), self.masks)

    def results(self, *leaves: Tensor) -> tuple[Tensor, ...]:
        found = self.run(*leaves)
        return found.output, *found.states

    def symbolic_gradients(self, cotangents: list[Tensor]) -> list[Tensor]:
        gradients = differentiate(self.plan)
        with torch.no_grad():
            forward = self.run(keep=gradients.saved, history=True)
            d_x, d_states, d_parameters = backpropagate(
                gradients, self.inputs(), forward, cotangents[0], cotangents[1:]
            )
        assert d_x is not None
        return [d_x, *d_states, *(d_parameters[name] for name in self.parameters)]


def sequence(cell: Cell, input_size: int = 3, hidden_size: int = 4, steps: int = 3, **options: object) -> Sequence:
    """Two sequences of `steps` steps for `cell`; masks are drawn anew, shares between 0 and 1."""
    program = plan(cell.trace(input_size, hidden_size, **options))
    graph = program.graph

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, dtype=torch.float64, requires_grad=True)

    def share(i: int) -> Tensor:
        node = graph.nodes[i]
        return torch.rand(steps if node.attributes[2] == "step" else 1, 2, node.size, dtype=torch.float64)

    return Sequence(
        program,
        draw(steps, 2, input_size),
        tuple(draw(2, n) for n in graph.state_sizes),
        {p.name: draw(*p.shape) for p in graph.parameters},
        tuple(share(i) for i in graph.masks),
    )


def follow(step: Callable[..., tuple[Tensor, ...]], run: Sequence, **changes: Tensor) -> tuple[Tensor, ...]:
    """Results of a hand-written `step(x, *states, **parameters) -> output, *states`."""
    states: tuple[Tensor, ...] = run.states
    outputs: list[Tensor] = []
    parameters: Mapping[str, Tensor] = run.parameters | changes
    for x in run.x.unbind(0):
        output, *after = step(x, *states, **parameters)
        states = tuple(after)
        outputs.append(output)
    return torch.stack(outputs), *states


def assert_same(found: tuple[Tensor, ...], wanted: tuple[Tensor, ...]) -> None:
    torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-9)
