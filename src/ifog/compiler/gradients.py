"""Derive the backward programs of a plan by symbolic reverse-mode differentiation.

Takes a `Plan`, gives `Gradients`: what each step computes from last to first, what is computed over all time at once
afterwards, and which matrix products give the weights' gradients. Decides what the forward loop saves.
Never touches tensors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from ifog.compiler.graph import Builder, Level, Node, matrices, reachable
from ifog.compiler.operations import OPERATIONS
from ifog.compiler.planning import Plan, Stage, recomputable, stages_of
from ifog.compiler.symbols import Symbol, apply, recording

__all__ = ["Backward", "Gradients", "WeightProduct", "differentiate"]


class WeightProduct(NamedTuple):
    """Gradients of all matrices that multiply one operand: one product over time and batch.

    Each term is `(matrix, transposed, cotangent)`: dW += cotangent^T operand, or its transpose.
    """

    operand: int
    terms: tuple[tuple[str, bool, int], ...]

    @property
    def cotangents(self) -> tuple[int, ...]:
        """The terms' cotangents in order."""
        return tuple(d for _, _, d in self.terms)


class Backward(NamedTuple):
    """One backward program: its stages, the weight gradients it feeds, and `(value, cotangent)` pairs it gives."""

    stages: tuple[Stage, ...]
    weights: tuple[WeightProduct, ...]
    results: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Gradients:
    """The backward programs of a plan.

    Attributes:
        nodes: The plan's nodes, followed by the cotangents' nodes.
        seed: The leaf that holds the cotangent of the output.
        carried: The leaves that hold the cotangents of the next states.
        gates: The leaves that hold the cotangents of other values that were given out.
        step: Runs at each step, last to first; its results for states are carried to the step before.
        input: Runs over all time at once, after the loop.
        constant: Runs once; its results are the gradients of vector parameters.
        saved: Step values that the forward loop keeps.
        recomputed: Step values that the backward loop computes again from states and saved values.
    """

    plan: Plan
    nodes: tuple[Node, ...]
    seed: int
    carried: tuple[int, ...]
    gates: tuple[int, ...]
    step: Backward
    input: Backward
    constant: Backward
    saved: tuple[int, ...]
    recomputed: tuple[int, ...]

    def __str__(self) -> str:
        from ifog.compiler.printing import print_gradients

        return print_gradients(self)


@lru_cache(maxsize=256)
def differentiate(plan: Plan, input_gradient: bool = True, gates: tuple[int, ...] = ()) -> Gradients:
    """The backward programs of `plan`.

    Args:
        plan: From `planning.plan`.
        input_gradient: Whether the gradient of the input is wanted; token ids have none.
        gates: Step values that are given out beside the output, and may have cotangents of their own.
    """
    graph = plan.graph
    builder = Builder.of(graph)
    with recording(builder, graph.hidden_size):
        seed = _leaf(builder, "output", graph.output_size)
        carried = [_leaf(builder, f"next {s.name}", n) for s, n in zip(graph.states, graph.state_sizes, strict=True)]
        of_gates = [_leaf(builder, f"gate {i}", graph.nodes[i].size) for i in gates]
        known = dict(builder.known)
        cotangents: dict[int, list[Symbol]] = {graph.output: [seed]}
        for i, leaf in zip(gates, of_gates, strict=True):
            cotangents.setdefault(i, []).append(leaf)
        for state, leaf in zip(graph.states, carried, strict=True):
            cotangents.setdefault(state.next, []).append(leaf)
        step = _Reverse(plan, builder, Level.STEP, cotangents)
        of_states = {s.node for s in graph.states}
        steps = step.finish(lambda i: i in of_states or plan.levels[i] < Level.STEP)

        builder.known = _known_outside(plan, known, Level.INPUT)
        over_time = {i: [Symbol(d, builder.nodes[d].size)] for i, d in steps.results if plan.levels[i] == Level.INPUT}
        inputs = _Reverse(plan, builder, Level.INPUT, over_time).finish(
            lambda i: plan.levels[i] == Level.CONSTANT or (input_gradient and graph.nodes[i].op == "input")
        )

        builder.known = _known_outside(plan, known, Level.CONSTANT)
        start = len(builder.nodes)
        totals: dict[int, list[Symbol]] = {}
        for i, d in (*steps.results, *inputs.results):
            if plan.levels[i] == Level.CONSTANT:
                totals.setdefault(i, []).append(apply("total", Symbol(d, builder.nodes[d].size)))
        once = _Reverse(plan, builder, Level.CONSTANT, totals, start)
        constants = once.finish(lambda i: graph.nodes[i].op == "parameter")

    needed = _forward_values(plan, builder, steps)
    saved, recomputed = recomputable(plan, needed)
    return Gradients(
        plan, tuple(builder.nodes), seed.id, tuple(c.id for c in carried), tuple(g.id for g in of_gates),
        steps, inputs, constants, saved, recomputed,
    )  # fmt: skip


def _known_outside(plan: Plan, known: dict[Node, int], level: Level) -> dict[Node, int]:
    """The nodes whose values there are outside of the loop, at a level: others have to be computed again there."""
    return {node: i for node, i in known.items() if i >= len(plan.levels) or plan.levels[i] <= level}


def _leaf(builder: Builder, name: str, size: int) -> Symbol:
    return Symbol(builder.add("cotangent", (), size, (name,)), size)


class _Reverse:
    """Reverse mode over the values of one level."""

    def __init__(
        self, plan: Plan, builder: Builder, level: Level, cotangents: dict[int, list[Symbol]], start: int | None = None
    ) -> None:
        self.builder = builder
        self.start = len(builder.nodes) if start is None else start
        self.cotangents = cotangents
        self.products: dict[int, list[tuple[str, bool, Symbol]]] = {}
        self.weights: dict[int, list[tuple[str, bool, int]]] = {}
        graph = plan.graph
        for i in reversed(range(len(graph.nodes))):
            if plan.levels[i] == level and (graph.nodes[i].op in OPERATIONS or graph.nodes[i].op == "product"):
                total = self.total(i)
                if total is not None:
                    self.visit(i, graph.nodes[i], total)

    def total(self, i: int) -> Symbol | None:
        """The whole cotangent of value `i`: what its users' derivatives add up to, all products in one."""
        parts = list(self.cotangents.get(i, ()))
        if terms := self.products.get(i):
            terms = terms[::-1]
            args = tuple(d.id for _, _, d in terms)
            size = self.builder.nodes[i].size
            node = self.builder.add("product", args, size, tuple((name, flag) for name, flag, _ in terms))
            parts.append(Symbol(node, size))
        if not parts:
            return None
        total = parts[0]
        for p in parts[1:]:
            total = total + p
        return total

    def visit(self, i: int, node: Node, d: Symbol) -> None:
        """Sends the cotangent `d` of value `i` on to what it reads."""
        if node.op == "product":
            for (name, flag), a in zip(matrices(node), node.args, strict=True):
                self.products.setdefault(a, []).append((name, not flag, d))
                self.weights.setdefault(a, []).append((name, flag, d.id))
            return
        arguments = [Symbol(a, self.builder.nodes[a].size) for a in node.args]
        parts = OPERATIONS[node.op].derivative(d, Symbol(i, node.size), *arguments, *node.attributes)
        for argument, part in zip(arguments, parts, strict=False):
            if part is None or self.builder.nodes[argument.id].op in ("constant", "mask"):
                continue
            narrow = argument.size == 1 and part.size > 1  # it was broadcast over the columns
            self.cotangents.setdefault(argument.id, []).append(apply("row_sum", part, 1) if narrow else part)

    def finish(self, wanted: Callable[[int], bool]) -> Backward:
        """The program for all weight gradients and for the values that `wanted` accepts."""
        reached = sorted(set(self.cotangents) | set(self.products))
        results = tuple((i, total.id) for i in reached if wanted(i) and (total := self.total(i)) is not None)
        weights = tuple(WeightProduct(i, tuple(reversed(terms))) for i, terms in sorted(self.weights.items()))
        roots = [d for _, d in results] + [d for w in weights for _, _, d in w.terms]
        live = reachable(self.builder.nodes, roots)
        stages = stages_of(self.builder.nodes, [i for i in sorted(live) if i >= self.start])
        return Backward(stages, weights, results)


def _forward_values(plan: Plan, builder: Builder, steps: Backward) -> Iterable[int]:
    """The forward step values that the backward loop reads."""
    levels = plan.levels
    read = {w.operand for w in steps.weights}
    for stage in steps.stages:
        for i in (*(p for group in stage.products for p in group), *stage.program):
            read.update(builder.nodes[i].args)
    overwritten = set(plan.sequences_of_products) if plan.fused else set[int]()
    return {i for i in read if i < len(levels) and (levels[i] == Level.STEP or i in overwritten)}
