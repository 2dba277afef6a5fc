"""Turn a graph into the code of one step that the engine runs again and again: streaming and generation.

Owns what becomes of the input there: read at each step from one array, or looked up in tables that are computed
beforehand where the inputs are few. Nothing is kept for a backward pass, and random masks are their expectations.
Takes a `Graph`, gives `Steps`. Never touches tensors.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable
from functools import lru_cache
from typing import NamedTuple

from ifog.compiler.graph import Graph, Level, Node, prune
from ifog.compiler.planning import Plan, plan
from ifog.compiler.precision import Precision
from ifog.compiler.registers import Traffic, emit
from ifog.compiler.scheduling import schedule
from ifog.compiler.spelling import Code, Given

__all__ = ["Steps", "lower"]

INPUT = Node("state", (), 0, ("the input of the step",))


class Steps(NamedTuple):
    """The code of a step, and what the caller has to know of its arrays.

    Attributes:
        plan: The graph as it is run; its input stages make the tables.
        code: Roles are "input", "output", `("state", k)` before the step, `("next", k)` after it, `("fixed", node)`.
        history: For each state the role of the array that takes it after the step, or None where the engine carries it.
        operands: The states that products read in another type than their array's: the last of `code.carried`.
        tables: The values of the input's side that the step reads, where `table` was asked for.
    """

    plan: Plan
    code: Code
    history: tuple[Hashable, ...]
    operands: tuple[int, ...]
    tables: tuple[int, ...]


@lru_cache(maxsize=256)
def lower(graph: Graph, *, precision: Precision, table: bool) -> Steps | None:
    """The code of one step; None where the engine can't run it, because a matrix multiplies a constant.

    Args:
        graph: From a cell.
        precision: What matrix products multiply.
        table: Whether what is computed from the input alone is looked up, instead of computed at each step.
    """
    plan_ = plan(_settled(graph, table), fused=True)
    graph, nodes = plan_.graph, plan_.graph.nodes
    stages = [([p for group in s.products for p in group], list(s.program)) for s in plan_.step]
    computed = {n for products, program in stages for n in (*products, *program)}
    read_by_products = {a for products, _ in stages for p in products for a in nodes[p].args}
    if not stages or any(nodes[a].op == "constant" for a in read_by_products):
        return None
    scheduled = schedule(nodes, stages, {a for n in computed for a in nodes[n].args} - computed)
    leaves = {s.node for s in graph.states}
    sources: dict[int, Given] = {}
    read = [a for n in computed for a in nodes[n].args] + [s.next for s in graph.states] + [graph.output]
    for a in sorted(set(read) - computed - leaves):
        if nodes[a].attributes == INPUT.attributes:
            sources[a] = Given("input")
        elif nodes[a].op != "constant":
            sources[a] = Given(("fixed", a))
    stores: list[tuple[int, Given]] = [(graph.output, Given("output"))]
    carried: list[tuple[int, int]] = []
    operands: list[tuple[int, int]] = []
    history: list[Hashable] = []
    of_operands: list[int] = []
    for k, state in enumerate(graph.states):
        if state.next == graph.output:
            history.append("output")
        elif state.node in read_by_products and precision == "fp32":
            history.append(("next", k))
            stores.append((state.next, Given(("next", k))))
        else:
            history.append(None)
            carried.append((state.node, state.next))
        if history[k] is not None:
            sources[state.node] = Given(("state", k))
        if precision != "fp32" and state.node in read_by_products:
            operands.append((state.node, state.next))
            of_operands.append(k)
    code = emit(scheduled, Traffic(sources, stores, (), carried, operands, precision))
    fixed = [n for n, given in sources.items() if given.role == ("fixed", n) and given in code.given]
    tables = tuple(n for n in fixed if plan_.levels[n] == Level.INPUT)
    return Steps(plan_, code, tuple(history), tuple(of_operands), tables)


def _settled(graph: Graph, table: bool) -> Graph:
    """The graph without names and masks; without `table`, the input is what changes at each step, like a state."""

    def settle(node: Node) -> Node:
        if node.op == "mask":
            _, rate, _, kind = node.attributes
            return Node("constant", (), 1, (float(str(rate)) if kind == "zoneout" else 1.0,))
        if node.op == "input" and not table:
            return INPUT._replace(size=node.size)
        return node

    return prune(dataclasses.replace(graph, nodes=tuple(settle(n) for n in graph.nodes), names=()))
