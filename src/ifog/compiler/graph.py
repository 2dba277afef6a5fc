"""The expression graph of one time step: what a cell function recorded, and nothing about how to run it.

Owns the immutable data that every stage shares (nodes, parameters, states) and the builder that makes them.
Takes operations by name, gives a `Graph`. Never touches tensors.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field, replace
from enum import IntEnum
from functools import cached_property
from typing import NamedTuple

__all__ = ["Builder", "Graph", "Level", "Node", "Parameter", "State"]


class Level(IntEnum):
    """How often a value changes, which decides where it is computed."""

    CONSTANT = 0  # depends on parameters alone: once per sequence
    INPUT = 1  # depends on the input or a dropout mask: all steps at once, before the loop
    STEP = 2  # depends on a state: inside the loop


class Node(NamedTuple):
    """One value of the step: an operation, the nodes it reads, its size, and its fixed attributes."""

    op: str
    args: tuple[int, ...]
    size: int
    attributes: tuple[Hashable, ...] = ()


@dataclass(frozen=True)
class Parameter:
    """A trained array: a matrix `(rows, columns)` or a vector `(size,)`.

    `initial` is a number or the name of an initialiser; `dropout` is the share of entries that
    training sets to zero, drawn once per sequence (Merity et al. 2018). An `orthogonal` matrix stays orthogonal
    while it learns.
    """

    name: str
    shape: tuple[int, ...]
    initial: float | str
    dropout: float = 0.0
    orthogonal: bool = False


class State(NamedTuple):
    """A value carried from step to step: the node that reads it and the node that replaces it."""

    name: str
    node: int
    next: int


@dataclass(frozen=True)
class Graph:
    """One step of a cell at fixed sizes: `output, next states = f(x, states, parameters)`.

    Attributes:
        name: The cell's name.
        input_size: Columns of `x` (D).
        hidden_size: Columns of a state that declares no size of its own (H).
        nodes: All values, each after the values that it reads.
        parameters: In the order in which the cell function named them.
        states: In the order of the cell function's parameters; the first is `h`.
        output: The node that the layer gives out.
        names: The named values (gates) in the order of computation.
    """

    name: str
    input_size: int
    hidden_size: int
    nodes: tuple[Node, ...]
    parameters: tuple[Parameter, ...]
    states: tuple[State, ...]
    output: int
    names: tuple[tuple[str, int], ...]

    @cached_property
    def _hash(self) -> int:
        return hash((self.name, self.nodes, self.parameters, self.states, self.output, self.names))

    def __hash__(self) -> int:
        return self._hash  # looked up at every call of a layer, computed once

    @cached_property
    def rows(self) -> dict[str, int]:
        """How many rows each parameter has."""
        return {p.name: p.shape[0] for p in self.parameters}

    @cached_property
    def drops(self) -> bool:
        """Whether entries of a parameter are dropped in training."""
        return any(p.dropout for p in self.parameters)

    @cached_property
    def levels(self) -> tuple[Level, ...]:
        """The level of every node."""
        leaves = {"input": Level.INPUT, "mask": Level.INPUT, "state": Level.STEP}
        levels: list[Level] = []
        for node in self.nodes:
            levels.append(max((levels[a] for a in node.args), default=leaves.get(node.op, Level.CONSTANT)))
        return tuple(levels)

    @cached_property
    def masks(self) -> tuple[int, ...]:
        """The random masks that transforms such as `zoneout` read."""
        return tuple(i for i, node in enumerate(self.nodes) if node.op == "mask")

    @property
    def output_size(self) -> int:
        """Columns of the output."""
        return self.nodes[self.output].size

    @property
    def state_sizes(self) -> tuple[int, ...]:
        """Columns of each state."""
        return tuple(self.nodes[s.node].size for s in self.states)

    @property
    def parameter_count(self) -> int:
        """How many numbers are trained."""
        total = 0
        for parameter in self.parameters:
            rows, columns = (*parameter.shape, 1)[:2]
            total += rows * columns
        return total

    def live(self, roots: Iterable[int]) -> set[int]:
        """The nodes that any of `roots` depends on, themselves included."""
        return reachable(self.nodes, roots)

    def __str__(self) -> str:
        from ifog.compiler.printing import print_graph

        return print_graph(self)


def reachable(nodes: tuple[Node, ...] | list[Node], roots: Iterable[int]) -> set[int]:
    """All nodes that `roots` depend on, themselves included."""
    seen: set[int] = set()
    waiting = list(roots)
    while waiting:
        i = waiting.pop()
        if i not in seen:
            seen.add(i)
            waiting.extend(nodes[i].args)
    return seen


@dataclass
class Builder:
    """Makes nodes, each distinct one once, so that `1 - z` written twice is computed once."""

    nodes: list[Node] = field(default_factory=list[Node])
    parameters: dict[str, Parameter] = field(default_factory=dict[str, Parameter])
    known: dict[Node, int] = field(default_factory=dict[Node, int])

    @classmethod
    def of(cls, graph: Graph) -> Builder:
        """A builder that goes on where `graph` ended."""
        nodes = list(graph.nodes)
        return cls(nodes, {p.name: p for p in graph.parameters}, {n: i for i, n in enumerate(nodes)})

    def add(self, op: str, args: tuple[int, ...], size: int, attributes: tuple[Hashable, ...] = ()) -> int:
        """The number of the node, new or known."""
        node = Node(op, args, size, attributes)
        if node not in self.known:
            self.known[node] = len(self.nodes)
            self.nodes.append(node)
        return self.known[node]

    def declare(self, parameter: Parameter) -> None:
        """Adds a parameter, or replaces the one of the same name."""
        self.parameters[parameter.name] = parameter

    def finish(self, graph: Graph, **changes: object) -> Graph:
        """`graph` with this builder's nodes and parameters, pruned to what the step computes."""
        changed = replace(graph, nodes=tuple(self.nodes), parameters=tuple(self.parameters.values()), **changes)  # type: ignore[arg-type]
        return prune(changed)


def prune(graph: Graph) -> Graph:
    """Drops nodes and parameters that neither the output, a state nor a name needs; renumbers the rest."""
    of_states = [i for s in graph.states for i in (s.node, s.next)]
    roots = [graph.output, *of_states, *(i for _, i in graph.names)]
    kept = sorted(graph.live(roots))
    number = {old: new for new, old in enumerate(kept)}
    nodes = tuple(graph.nodes[i]._replace(args=tuple(number[a] for a in graph.nodes[i].args)) for i in kept)
    used = {name for node in nodes for name in parameter_names(node)}
    return replace(
        graph,
        nodes=nodes,
        parameters=tuple(p for p in graph.parameters if p.name in used),
        states=tuple(State(s.name, number[s.node], number[s.next]) for s in graph.states),
        output=number[graph.output],
        names=tuple((name, number[i]) for name, i in graph.names),
    )


def parameter_names(node: Node) -> tuple[str, ...]:
    """The parameters that a node reads by itself (not through its arguments)."""
    if node.op == "parameter":
        return (str(node.attributes[0]),)
    if node.op == "product":
        return tuple(name for name, _ in matrices(node))
    return ()


def matrices(node: Node) -> tuple[tuple[str, bool], ...]:
    """The `(matrix, transposed)` pairs of a product, one for each operand."""
    return node.attributes  # type: ignore[return-value]
