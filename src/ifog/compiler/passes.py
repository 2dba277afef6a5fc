"""Decide which values of a step can share a pass over a row, and over a row that is a matrix.

Owns `Passes`. A memory that is a matrix is a row of `lines * columns` numbers; what is repeated or tiled to its shape
is then only another way to walk a short row, and what is summed over its lines or columns is summed while the numbers
are at hand: no array as large as the matrix is written for either. Takes nodes, never decides an order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ifog.compiler.graph import Node
from ifog.compiler.operations import OPERATIONS

__all__ = ["Pass", "Passes", "passes"]

SMALLEST = 1024  # numbers of a matrix; shorter rows are done several at a time
NARROWEST = 8  # columns of a matrix


class Pass(NamedTuple):
    """A walk over rows of `width` numbers, each of them `lines` lines of equal length."""

    width: int
    lines: int = 1

    @property
    def columns(self) -> int:
        """Numbers of a line."""
        return self.width // self.lines


@dataclass(frozen=True)
class Passes:
    """What can be computed together.

    Attributes:
        of: The pass in which a value is computed; those that are not here are row operations, computed alone.
        views: Values that are read from where their argument lies.
        reductions: Values that a pass over a matrix leaves once it is over.
    """

    of: dict[int, Pass]
    views: frozenset[int]
    reductions: frozenset[int]


def passes(nodes: Sequence[Node], members: Collection[int], read_by_products: Collection[int]) -> Passes:
    """The passes of the values `members` of a step."""
    matrices = _matrices(nodes, members, {nodes[n].size for n in read_by_products})
    users: dict[int, list[int]] = {}
    for n in (*members, *read_by_products):
        for a in nodes[n].args:
            users.setdefault(a, []).append(n)
    of = {n: matrices.get(nodes[n].size, Pass(nodes[n].size)) for n in members if OPERATIONS[nodes[n].op].elementwise}
    reductions = {n: found for n in members if (found := _reduced(nodes, n, matrices))}
    of |= reductions
    views: set[int] = set()
    for n in members:
        shape = matrices.get(nodes[n].size)
        if shape is None or shape != _spread(nodes, n) or nodes[nodes[n].args[0]].op == "constant":
            continue
        if n not in read_by_products and all(of.get(u) == shape for u in users.get(n, ())):
            of[n] = shape
            views.add(n)
    return Passes(of, frozenset(views), frozenset(reductions))


def _matrices(nodes: Sequence[Node], members: Collection[int], excluded: Collection[int]) -> dict[int, Pass]:
    """By width, how most operations on rows of that width see them, where they see matrices."""
    votes: Counter[Pass] = Counter()
    for n in members:
        if shape := _spread(nodes, n) or _gathered(nodes, n):
            votes[shape] += 1
    found: dict[int, Pass] = {}
    for shape, _ in votes.most_common():
        large = shape.width >= SMALLEST and shape.columns >= NARROWEST and shape.lines > 1
        if large and shape.width not in excluded:
            found.setdefault(shape.width, shape)
    return found


def _spread(nodes: Sequence[Node], n: int) -> Pass | None:
    """The shape that a short row is repeated or tiled to."""
    node = nodes[n]
    if node.op == "repeat":
        return Pass(node.size, nodes[node.args[0]].size)
    return Pass(node.size, int(str(node.attributes[0]))) if node.op == "tile" else None


def _gathered(nodes: Sequence[Node], n: int) -> Pass | None:
    """The shape of which the lines or the columns are summed."""
    node = nodes[n]
    if node.op not in ("row_sum", "row_max", "tile_sum"):
        return None
    return Pass(nodes[node.args[0]].size, int(str(node.attributes[0])))


def _reduced(nodes: Sequence[Node], n: int, matrices: dict[int, Pass]) -> Pass | None:
    """The pass over a matrix that leaves value `n`: sums of its lines or columns, or of all of it."""
    shape = _gathered(nodes, n)
    if shape is None:
        return None
    matrix = matrices.get(shape.width)
    whole = nodes[n].op == "row_sum" and shape.lines == 1
    return matrix if whole or shape == matrix else None
