"""Work conditions into a step: values that take the place of others while some sequences have ended or start anew.

Owns the nodes of one direction while they are being changed. Takes a graph's nodes and stages, gives a `Schedule`.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence

from ifog.compiler.graph import Node
from ifog.compiler.scheduling import Schedule, schedule
from ifog.compiler.spelling import Given

__all__ = ["Step"]


class Step:
    """One step.

    Attributes:
        nodes: All nodes, new ones at the end.
        renamed: Values in whose place others are read.
        first: New operations that come before the step's own, `last` those after.
        sources: Values that the caller gives.
    """

    def __init__(self, nodes: Sequence[Node]) -> None:
        self.nodes = list(nodes)
        self.renamed: dict[int, int] = {}
        self.first: list[int] = []
        self.last: list[int] = []
        self.sources: dict[int, Given] = {}
        self.zero: int | None = None

    def add(self, op: str, args: tuple[int, ...], size: int, *attributes: Hashable) -> int:
        """A new node."""
        self.nodes.append(Node(op, args, size, attributes))
        return len(self.nodes) - 1

    def given(self, role: Hashable, size: int) -> int:
        """A new value that the caller gives."""
        n = self.add("cotangent", (), size, role)
        self.sources[n] = Given(role)
        return n

    def nought(self) -> int:
        """The number 0."""
        self.zero = self.add("constant", (), 1, 0.0) if self.zero is None else self.zero
        return self.zero

    def select(self, condition: int, yes: int, no: int, at: list[int], size: int = 1) -> int:
        """`yes` where the condition holds, else `no`, computed with the first or the last operations of the step."""
        size = max(size, self.nodes[yes].size, self.nodes[no].size)
        at.append(self.add("select", (condition, yes, no), size))
        return at[-1]

    def of(self, n: int) -> int:
        """The value that stands for `n`."""
        return self.renamed.get(n, n)

    def schedule(self, stages: Iterable[tuple[Sequence[int], Sequence[int]]]) -> Schedule:
        """All stages, with every argument renamed, the first and last operations added."""
        programs = [(list(products), list(program)) for products, program in stages]
        for n in {n for products, program in programs for n in (*products, *program)}:
            self.nodes[n] = self.nodes[n]._replace(args=tuple(self.of(a) for a in self.nodes[n].args))
        if self.first:
            programs.insert(0, ([], self.first))
        if self.last:
            programs.append(([], self.last))
        computed = {n for products, program in programs for n in (*products, *program)}
        given = {a for n in computed for a in self.nodes[n].args} - computed
        return schedule(self.nodes, programs, given)
