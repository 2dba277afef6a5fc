"""Decide what is computed when: once, over all time at once, or at each step, and in which stages.

Takes a `Graph`, gives a `Plan`. Never touches tensors.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Literal, NamedTuple

from ifog.compiler.graph import Builder, Graph, Level, Node, State
from ifog.compiler.operations import LEAVES

__all__ = ["Plan", "Stage", "plan", "recomputable", "stages_of"]


class Stage(NamedTuple):
    """Matrix products that can run together, then the operations that use them.

    Each inner tuple of `products` shares its operands, so that it is ONE matrix product with stacked matrices.
    """

    products: tuple[tuple[int, ...], ...]
    program: tuple[int, ...]


@dataclass(frozen=True)
class Plan:
    """The forward programs of a graph.

    Attributes:
        graph: With sums regrouped, so that all that needs no state is added outside the loop.
        constant: Stages of values that depend on parameters alone.
        input: Stages of values that depend on the input: evaluated over all time at once.
        step: Stages inside the loop; without products in them the recurrence is elementwise.
        fused: Whether the elementwise rest of the input's side runs inside the loop.
    """

    graph: Graph
    constant: tuple[Stage, ...]
    input: tuple[Stage, ...]
    step: tuple[Stage, ...]
    fused: bool = False

    def __hash__(self) -> int:
        return hash((self.graph, self.fused))

    @cached_property
    def levels(self) -> tuple[Level, ...]:
        """How often each value is computed."""
        return _fused_levels(self.graph) if self.fused else self.graph.levels

    @cached_property
    def kind(self) -> Literal["matrix", "elementwise", "linear"]:
        """Whether the loop holds matrix products; if not, whether the next state is linear in the state."""
        if any(stage.products for stage in self.step):
            return "matrix"
        return "linear" if _is_linear(self.graph) else "elementwise"

    @cached_property
    def sequences(self) -> tuple[int, ...]:
        """The values computed over all time that the loop reads, slice by slice."""
        levels = self.levels
        used = [a for stage in self.step for i in _members(stage) for a in self.graph.nodes[i].args]
        used += [self.graph.output, *(s.next for s in self.graph.states)]
        return tuple(sorted({a for a in used if levels[a] == Level.INPUT}))

    @cached_property
    def sequences_of_products(self) -> tuple[int, ...]:
        """The products computed over all time that the loop reads, and nothing else does."""
        nodes = self.graph.nodes
        elsewhere = {a for stage in self.input for i in _members(stage) for a in nodes[i].args}
        return tuple(i for i in self.sequences if nodes[i].op == "product" and i not in elsewhere)

    @property
    def flops(self) -> int:
        """Floating-point operations of one step of one sequence: two for a weight, one for an elementwise result."""
        nodes = self.graph.nodes
        total = 0
        for stage in (*self.input, *self.step):
            for i in _members(stage):
                weights = sum(nodes[a].size for a in nodes[i].args) if nodes[i].op == "product" else 0
                total += nodes[i].size * (2 * weights or 1)
        return total

    def __str__(self) -> str:
        from ifog.compiler.printing import print_plan

        return print_plan(self)


@lru_cache(maxsize=256)
def plan(graph: Graph, fused: bool = False) -> Plan:
    """Sorts a graph's values into the three programs and their stages.

    Args:
        graph: From a cell.
        fused: Whether only the products of the input, and what they read, are computed over all time at once, and
            the elementwise rest of the input's side inside the loop, where it costs no passes over memory.
    """
    graph = _regroup_sums(graph)
    live = graph.live([graph.output, *(s.next for s in graph.states), *(i for _, i in graph.names)])
    levels = _fused_levels(graph) if fused else graph.levels

    def program(level: Level) -> tuple[Stage, ...]:
        return stages_of(graph.nodes, [i for i in sorted(live) if levels[i] == level])

    return Plan(graph, program(Level.CONSTANT), program(Level.INPUT), program(Level.STEP), fused)


def _fused_levels(graph: Graph) -> tuple[Level, ...]:
    """Levels with every value of the input's side moved into the loop unless a product of that side needs it."""
    products = [i for i, n in enumerate(graph.nodes) if n.op == "product" and graph.levels[i] == Level.INPUT]
    outside = graph.live(products)
    return tuple(
        Level.STEP if level == Level.INPUT and i not in outside and graph.nodes[i].op not in LEAVES else level
        for i, level in enumerate(graph.levels)
    )


def stages_of(nodes: Sequence[Node], ids: Iterable[int]) -> tuple[Stage, ...]:
    """Arranges `ids` (in order of dependence) so that each product waits for no more products than it must."""
    depth: dict[int, int] = {}
    for i in ids:
        if nodes[i].op in LEAVES:
            continue
        before = max((depth.get(a, 0) for a in nodes[i].args), default=0)
        depth[i] = before + (nodes[i].op == "product")
    stages: list[Stage] = []
    for level in range(max(depth.values(), default=-1) + 1):
        groups: dict[tuple[int, ...], list[int]] = {}
        program: list[int] = []
        for i in (i for i, d in depth.items() if d == level):
            if nodes[i].op == "product":
                groups.setdefault(nodes[i].args, []).append(i)
            else:
                program.append(i)
        if groups or program:
            stages.append(Stage(tuple(tuple(g) for g in groups.values()), tuple(program)))
    return tuple(stages)


def _members(stage: Stage) -> list[int]:
    return [*(i for group in stage.products for i in group), *stage.program]


def _regroup_sums(graph: Graph) -> Graph:
    """Adds up each sum from the rarest changing to the step's own terms: `(W x + b) + U h`, not `(W x + U h) + b`."""
    uses = [0] * len(graph.nodes)
    for node in graph.nodes:
        for a in node.args:
            uses[a] += 1
    kept = {i for _, i in graph.names} | {graph.output, *(s.next for s in graph.states)}
    builder = Builder(parameters={p.name: p for p in graph.parameters})
    number: dict[int, int] = {}

    def terms(i: int, top: bool) -> list[int]:
        node = graph.nodes[i]
        if node.op == "add" and (top or (uses[i] == 1 and i not in kept)):
            return [t for a in node.args for t in terms(a, False)]
        return [i]

    for i, node in enumerate(graph.nodes):
        parts = terms(i, True)
        if len(parts) < 3:
            number[i] = builder.add(node.op, tuple(number[a] for a in node.args), node.size, node.attributes)
            continue
        ordered = sorted(parts, key=lambda t: graph.levels[t])
        total = number[ordered[0]]
        for t in ordered[1:]:
            size = max(builder.nodes[total].size, graph.nodes[t].size)
            total = builder.add("add", (total, number[t]), size)
        number[i] = total
    return builder.finish(
        graph,
        states=tuple(State(s.name, number[s.node], number[s.next]) for s in graph.states),
        output=number[graph.output],
        names=tuple((name, number[i]) for name, i in graph.names),
    )


_LINEAR = {"add", "sub", "neg", "row_sum", "repeat", "tile", "tile_sum", "part", "pad", "concat"}


def _is_linear(graph: Graph) -> bool:
    """Whether every next state is a linear function of the states, with coefficients from the input alone."""
    degree: list[int] = []
    for node, level in zip(graph.nodes, graph.levels, strict=True):
        parts = [degree[a] for a in node.args]
        if level < Level.STEP:
            degree.append(0)
        elif node.op == "state":
            degree.append(1)
        elif node.op in _LINEAR:
            degree.append(max(parts))
        elif node.op == "mul":
            degree.append(sum(parts))
        elif node.op == "div" and parts[1] == 0:
            degree.append(parts[0])
        else:
            degree.append(2)
    return all(degree[s.next] <= 1 for s in graph.states)


def recomputable(plan: Plan, needed: Iterable[int]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Splits step values that the backward loop reads into those to save and those to compute again.

    States are kept in any case, as operands of the weight gradients, so a value that follows from them and from
    saved ones without a matrix product is cheaper to compute again than to read from memory.

    Returns:
        `(saved, recomputed)`, the latter in order of computation and closed under what it reads.
    """
    graph = plan.graph
    available = {i for i, level in enumerate(plan.levels) if level < Level.STEP}
    if plan.fused:  # where saved values take the place of the products they came from
        available -= set(plan.sequences_of_products)
    available.update(i for s in graph.states for i in (s.node, s.next))
    wanted = set(needed)
    for i in range(max(wanted, default=-1), -1, -1):
        if i in wanted - available and graph.nodes[i].op in ("repeat", "tile"):  # what it repeats is shorter
            wanted.add(graph.nodes[i].args[0])
    saved: list[int] = []
    recomputed: list[int] = []
    for i in sorted(wanted - available):
        missing = sorted(_ancestors(graph.nodes, i, available))
        if any(graph.nodes[j].op == "product" for j in missing):
            saved.append(i)
            available.add(i)
        else:
            recomputed += missing
            available.update(missing)
    return tuple(saved), tuple(recomputed)


def _ancestors(nodes: Sequence[Node], i: int, available: set[int]) -> set[int]:
    """Node `i` and what must be computed before it, up to what is available."""
    found: set[int] = set()
    waiting = [i]
    while waiting:
        j = waiting.pop()
        if j not in available and j not in found:
            found.add(j)
            waiting.extend(nodes[j].args)
    return found
