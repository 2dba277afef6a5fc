"""Decide in which order one step computes its values, and which of them can share a pass over the row.

Owns the cut of a step's stages into segments: runs of operations that share a pass, and single row operations.
Takes nodes and stages, gives a `Schedule`. Never decides where a value is kept.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from ifog.compiler.graph import Node
from ifog.compiler.passes import Pass, Passes, passes

__all__ = ["Position", "Schedule", "Scheduled", "schedule"]


class Position(NamedTuple):
    """Where in the step something happens; products come before all segments of their stage."""

    stage: int
    segment: int
    place: int


class Scheduled(NamedTuple):
    """One stage: products by node, then segments of nodes."""

    products: tuple[int, ...]
    segments: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Schedule:
    """All stages of a step."""

    nodes: tuple[Node, ...]
    stages: tuple[Scheduled, ...]
    passes: Passes

    @cached_property
    def position(self) -> dict[int, Position]:
        """When each value is computed."""
        found: dict[int, Position] = {}
        for s, stage in enumerate(self.stages):
            found.update((p, Position(s, -1, 0)) for p in stage.products)
            for g, segment in enumerate(stage.segments):
                found.update((n, Position(s, g, k)) for k, n in enumerate(segment))
        return found

    @cached_property
    def uses(self) -> dict[int, list[int]]:
        """The values that read each value."""
        found: dict[int, list[int]] = {}
        for n in self.position:
            for a in dict.fromkeys(self.nodes[n].args):
                found.setdefault(a, []).append(n)
        return found

    def last_use(self, value: int) -> Position:
        """The last time that a value is read; before everything if never."""
        return max((self._read(n) for n in self.uses.get(value, ())), default=Position(-1, 0, 0))

    def _read(self, n: int) -> Position:
        """When `n` reads its arguments: a product may be computed by the one sum that reads it, a view is no work."""
        here = self.position[n]
        if n in self.passes.views:
            return max(here, self.last_use(n))
        if self.nodes[n].op == "mul" and len(users := self.uses.get(n, ())) == 1:
            there = self.position[users[0]]
            sums = self.nodes[users[0]].op in ("add", "sub") or users[0] in self.passes.reductions
            if there[:2] == here[:2] and sums:
                return there
        return here


def schedule(
    nodes: Sequence[Node], stages: Sequence[tuple[Sequence[int], Sequence[int]]], given: Collection[int]
) -> Schedule:
    """Sorts the programs of `stages`, each `(products, program)`, into segments.

    Args:
        nodes: All nodes.
        stages: In order; a program may read its own products and all that came before.
        given: Values that exist before the step begins.
    """
    stage_of = _late(nodes, stages, set(given))
    programs: list[list[int]] = [[] for _ in stages]
    for n in _in_order(nodes, stage_of):
        programs[stage_of[n]].append(n)
    known = set(given)
    shared = passes(nodes, list(stage_of), {a for products, _ in stages for p in products for a in nodes[p].args})
    found: list[Scheduled] = []
    for (products, _), program in zip(stages, programs, strict=True):
        known.update(products)
        segments = _late_in_matrices(nodes, _segments(nodes, program, known, shared), shared)
        found.append(Scheduled(tuple(products), segments))
    return Schedule(tuple(nodes), tuple(s for s in found if s.products or s.segments), shared)


def _late(
    nodes: Sequence[Node], stages: Sequence[tuple[Sequence[int], Sequence[int]]], given: set[int]
) -> dict[int, int]:
    """The stage of each operation; what reads given values alone moves to where it is first wanted.

    So a sum that was waiting for a product is computed beside it, and not stored for it.
    """
    stage_of = {n: s for s, (_, program) in enumerate(stages) for n in program}
    order = _in_order(nodes, stage_of)
    movable = set[int]()
    for n in order:
        if all(a in given or a in movable for a in nodes[n].args):
            movable.add(n)
    wanted: dict[int, int] = {}
    for s, (products, _) in enumerate(stages):
        for p in products:
            for a in nodes[p].args:
                wanted[a] = min(wanted.get(a, s - 1), s - 1)
    for n in reversed(order):
        if n in movable:
            stage_of[n] = wanted.get(n, stage_of[n])
        for a in nodes[n].args:
            wanted[a] = min(wanted.get(a, stage_of[n]), stage_of[n])
    return stage_of


def _in_order(nodes: Sequence[Node], members: Collection[int]) -> list[int]:
    """`members`, each after those that it reads; their numbers alone don't tell where masks were worked in."""
    order: list[int] = []
    done: set[int] = set()
    for root in sorted(members):
        waiting = [root]
        while waiting:
            n = waiting[-1]
            missing = [a for a in nodes[n].args if a in members and a not in done]
            if n in done or not missing:
                waiting.pop()
                if n not in done:
                    done.add(n)
                    order.append(n)
            else:
                waiting += missing
    return order


def _segments(
    nodes: Sequence[Node], program: Sequence[int], known: set[int], shared: Passes
) -> tuple[tuple[int, ...], ...]:
    """Takes, again and again, all operations of one pass that can be computed; extends `known`."""
    waiting = list(program)
    found: list[tuple[int, ...]] = []
    while waiting:
        segment: list[int] = []
        # a pass over a matrix waits until all is there that short rows can give: it is long, and better made once
        for matrices in (False, True):
            segment = segment or _segment(nodes, waiting, known, shared, matrices)
        assert segment, f"values {waiting} wait for what is never computed"
        taken = set(segment)
        waiting = [n for n in waiting if n not in taken]
        found.append(tuple(segment))
    return tuple(found)


def _segment(
    nodes: Sequence[Node], waiting: Sequence[int], known: set[int], shared: Passes, matrices: bool
) -> list[int]:
    """The operations of the first pass that can begin."""
    segment: list[int] = []
    current: Pass | None = None
    ends: set[int] = set()  # values that are there once the pass is over
    for n in waiting:
        wanted = shared.of.get(n)
        if any(a not in known or a in ends for a in nodes[n].args):
            continue
        if wanted is not None and (wanted.lines > 1) != matrices:
            continue
        if wanted is None:
            if not segment and not matrices:
                known.add(n)
                return [n]
            continue
        if current in (None, wanted):
            current = wanted
            segment.append(n)
            known.add(n)
            if n in shared.reductions:
                ends.add(n)
    return segment


def _late_in_matrices(
    nodes: Sequence[Node], segments: tuple[tuple[int, ...], ...], shared: Passes
) -> tuple[tuple[int, ...], ...]:
    """Segments with what only a later pass over a matrix reads moved to that pass: it need not be kept until then."""
    where = {n: k for k, segment in enumerate(segments) for n in segment}
    order = [n for segment in segments for n in segment]
    users: dict[int, list[int]] = {}
    for n in order:
        for a in nodes[n].args:
            users.setdefault(a, []).append(n)
    for n in reversed(order):
        mine = shared.of.get(n)
        if mine is None or mine.lines == 1 or n in shared.reductions or n not in users:
            continue
        if all(shared.of.get(u) == mine for u in users[n]):
            where[n] = min(where[u] for u in users[n])
    moved = (tuple(n for n in order if where[n] == k) for k in range(len(segments)))
    return tuple(s for s in moved if s)
