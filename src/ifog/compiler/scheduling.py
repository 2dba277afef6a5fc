"""Decide in which order one step computes its values, and which of them can share a pass over the row.

Owns the cut of a step's stages into segments: runs of elementwise operations of one width, and single row operations.
Takes nodes and stages, gives a `Schedule`. Never decides where a value is kept.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from ifog.compiler.graph import Node
from ifog.compiler.operations import OPERATIONS

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
        """When `n` reads its arguments: a product may be computed by the one sum that reads it."""
        here = self.position[n]
        if self.nodes[n].op == "mul" and len(users := self.uses.get(n, ())) == 1:
            there = self.position[users[0]]
            if there[:2] == here[:2] and self.nodes[users[0]].op in ("add", "sub"):
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
    found: list[Scheduled] = []
    for (products, _), program in zip(stages, programs, strict=True):
        known.update(products)
        found.append(Scheduled(tuple(products), _segments(nodes, program, known)))
    return Schedule(tuple(nodes), tuple(s for s in found if s.products or s.segments))


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


def _segments(nodes: Sequence[Node], program: Sequence[int], known: set[int]) -> tuple[tuple[int, ...], ...]:
    """Takes, again and again, all operations of one width that can be computed; extends `known`."""
    waiting = list(program)
    found: list[tuple[int, ...]] = []
    while waiting:
        segment: list[int] = []
        width = None
        for n in waiting:
            elementwise = OPERATIONS[nodes[n].op].elementwise
            if any(a not in known for a in nodes[n].args):
                continue
            if not elementwise:
                if not segment:
                    segment, width = [n], -1
                    known.add(n)
                continue
            if width in (None, nodes[n].size):
                segment.append(n)
                width = nodes[n].size
                known.add(n)
        assert segment, f"values {waiting} wait for what is never computed"
        taken = set(segment)
        waiting = [n for n in waiting if n not in taken]
        found.append(tuple(segment))
    return tuple(found)
