"""Decide which memory holds what is kept for every step, and for how long.

Owns the layout of slots: arrays with one row for each step and sequence, cut into blocks of columns. One block serves
an input product, then the gate that follows from it, then that gate's cotangent, wherever the order of reading and
writing allows it; cotangents that a product over all time wants side by side are neighbours. Takes schedules, gives a
`Layout`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from ifog.compiler.gradients import Gradients
from ifog.compiler.graph import Node
from ifog.compiler.planning import Plan
from ifog.compiler.scheduling import Position, Schedule

__all__ = ["Block", "Layout", "lay_out", "lay_out_inference"]


class Block(NamedTuple):
    """Columns `offset` to `offset + width` of slot number `slot`, one row for each step and sequence."""

    slot: int
    offset: int
    width: int


@dataclass
class Layout:
    """Slots and what lies where.

    Attributes:
        nodes: All nodes.
        widths: Columns of each slot.
        half: Which slots hold bf16.
        blocks: Where values are kept, by node.
    """

    nodes: Sequence[Node]
    widths: list[int] = field(default_factory=list[int])
    half: list[bool] = field(default_factory=list[bool])
    blocks: dict[int, Block] = field(default_factory=dict[int, Block])

    def add(self, members: Sequence[int], half: bool) -> None:
        """A new slot with these values side by side."""
        offset = 0
        for n in members:
            self.blocks[n] = Block(len(self.widths), offset, self.nodes[n].size)
            offset += self.nodes[n].size
        self.widths.append(offset)
        self.half.append(half and all(self.nodes[n].size > 1 for n in members))  # one column is spread from floats only


def lay_out_inference(plan: Plan, half: bool) -> Layout:
    """Room for the input products that the loop reads."""
    layout = Layout(plan.graph.nodes)
    for group in _groups(plan.sequences_of_products, layout.nodes):
        layout.add(group, half)
    return layout


@dataclass
class _Training:
    """Puts values over one another.

    Attributes:
        forward: The forward step; `backward` likewise.
        written: When each cotangent is written, by node.
        given_out: Values that are copied at the end of the forward step.
        content: The input product that lies in a cotangent's block.
        taken: Blocks whose content has to stay until the cotangent is written.
    """

    layout: Layout
    plan: Plan
    gradients: Gradients
    forward: Schedule
    backward: Schedule
    written: dict[int, int]
    given_out: Collection[int]
    content: dict[Block, int] = field(default_factory=dict[Block, int])
    taken: set[Block] = field(default_factory=set[Block])

    def place_products(self) -> None:
        """An input product lies where its own cotangent will be."""
        cotangents = dict(self.gradients.step.results)
        for p in self.plan.sequences_of_products:
            d = cotangents.get(p, -1)
            block = self.layout.blocks.get(d) if d in self.written else None
            if block is None or block in self.content or block.width != self.layout.nodes[p].size:
                continue
            stays = p in self.gradients.saved
            if stays and not _before(self.backward, p, self.written[d]):
                continue
            self.content[block] = p
            self.layout.blocks[p] = block
            if stays:
                self.taken.add(block)

    def place_saved(self, half: bool) -> None:
        """A saved value lies where a cotangent will be, over the input product that it came from if it can."""
        pinned = {w.operand for w in self.gradients.step.weights} | set(self.plan.sequences_of_products)
        for s in self.gradients.saved:
            if s in self.layout.blocks:
                continue
            block = None if s in pinned else self._free(s)
            if block is None:
                self.layout.add([s], half)
                block = self.layout.blocks[s]
            self.layout.blocks[s] = block
            self.taken.add(block)

    def _free(self, s: int) -> Block | None:
        ancestors = _ancestors(self.forward, s)
        blocks = {d: self.layout.blocks[d] for d in self.written if d not in self.gradients.saved}
        for d in sorted(blocks, key=lambda d: self.content.get(blocks[d]) not in ancestors):
            block = blocks[d]
            if block in self.taken or block.width != self.layout.nodes[s].size:
                continue
            product = self.content.get(block)
            kept = product is not None and (product in self.given_out or not _before(self.forward, product, s))
            if not kept and _before(self.backward, s, self.written[d]):
                return block
        return None


def lay_out(
    plan: Plan,
    gradients: Gradients,
    forward: Schedule,
    backward: Schedule,
    written: dict[int, int],
    given_out: Collection[int],
    order: Sequence[str],
    half: bool,
) -> Layout:
    """Room for all that a training step keeps.

    Args:
        plan: Of the forward step.
        gradients: Of the backward step.
        forward: The forward step's order.
        backward: The backward step's order.
        written: Values that the backward loop leaves for every step, and the nodes that compute them.
        given_out: Values that are copied to the caller's arrays at the end of the forward step.
        order: The parameters' names in the order in which they lie in memory; none: the cell's own.
        half: Whether what products read is kept as bf16.
    """
    layout = Layout(gradients.nodes)
    for_products = _read_by_products(gradients)
    for bundle in _arrange(_bundles(gradients, written, order), written):
        layout.add(bundle, half and all(n in for_products for n in bundle))
    training = _Training(layout, plan, gradients, forward, backward, written, given_out)
    training.place_products()
    training.place_saved(half)
    for group in _groups([p for p in plan.sequences_of_products if p not in layout.blocks], layout.nodes):
        layout.add(group, half)
    return layout


def _before(scheduled: Schedule, read: int, written: int) -> bool:
    """Whether `read` is not read in any segment after the one that computes `written`."""
    position = scheduled.position.get(written, Position(1 << 30, 0, 0))
    return scheduled.last_use(read)[:2] <= position[:2]


def _ancestors(scheduled: Schedule, n: int) -> set[int]:
    """The values that `n` is computed from without a product in between."""
    found: set[int] = set()
    waiting = [n]
    while waiting:
        m = waiting.pop()
        found.add(m)
        if m in scheduled.position and scheduled.nodes[m].op != "product":
            waiting += [a for a in scheduled.nodes[m].args if a not in found]
    return found


def _groups(products: Sequence[int], nodes: Sequence[Node]) -> list[list[int]]:
    """Products side by side that share their operands."""
    found: dict[tuple[int, ...], list[int]] = {}
    for p in products:
        found.setdefault(nodes[p].args, []).append(p)
    return list(found.values())


def _bundles(gradients: Gradients, blocks: Collection[int], order: Sequence[str]) -> list[list[int]]:
    """Cotangents that a product over all time wants side by side, in their parameters' order."""
    rank = {name: k for k, name in enumerate(order or [p.name for p in gradients.plan.graph.parameters])}
    found: list[list[int]] = []
    for weight in (*gradients.step.weights, *gradients.input.weights):
        members = [d for _, _, d in sorted(weight.terms, key=lambda t: rank[t[0]])]
        if all(d in blocks for d in members):
            found.append(list(dict.fromkeys(members)))
    return sorted(found, key=len, reverse=True)


def _read_by_products(gradients: Gradients) -> set[int]:
    """What is kept for products only."""
    found = {d for w in (*gradients.step.weights, *gradients.input.weights) for d in (*w.cotangents, w.operand)}
    for stage in gradients.input.stages:
        found |= {a for g in stage.products for p in g for a in gradients.nodes[p].args}
        found -= {a for n in stage.program for a in gradients.nodes[n].args}
    return found - {d for _, d in gradients.input.results}


def _arrange(bundles: Sequence[list[int]], blocks: Collection[int]) -> list[list[int]]:
    """Slots in which as many bundles as possible are neighbours."""
    slots: list[list[int]] = []
    fresh: set[int] = set()  # slots that hold one bundle only and may still be sorted otherwise
    for bundle in bundles:
        owner = next((k for k, s in enumerate(slots) if set(s) & set(bundle)), None)
        placed = {n for s in slots for n in s}
        if owner is None:
            slots.append(list(bundle))
            fresh.add(len(slots) - 1)
            continue
        slot = slots[owner]
        common, new = [n for n in slot if n in bundle], [n for n in bundle if n not in placed]
        if not new:
            continue
        if owner in fresh:
            slots[owner] = [n for n in slot if n not in bundle] + common + new
        elif slot[-len(common) :] == common:
            slots[owner] = slot + new
        elif slot[: len(common)] == common:
            slots[owner] = new + slot
        else:
            slots.append(new)
        fresh.discard(owner)
    placed = {n for s in slots for n in s}
    return slots + [[n] for n in blocks if n not in placed]
