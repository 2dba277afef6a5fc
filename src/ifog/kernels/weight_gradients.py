"""Which products over all time are the gradients of a cell's matrices, and which of them the engine makes.

Owns the pairing of cotangents with the operands that their matrices multiplied. Takes `Loops`, gives descriptions.
Never touches tensors.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from functools import lru_cache
from typing import NamedTuple

from ifog.compiler.loops import Block, Loops
from ifog.kernels.sharing import Shared

__all__ = ["InEngine", "Outer", "in_engine", "in_order", "outers", "span"]


class Outer(NamedTuple):
    """Gradients of all matrices that multiply one operand, as `gradients.WeightProduct`, and where its parts lie.

    Attributes:
        operand: The node, or `history`: the role of the array of states that it is.
        terms: In the order in which the cotangents lie in memory.
        span: Where they lie, if they are neighbours.
        whole: The names of all rows of one tensor of weights, whose gradient the product is; or none.
        of_input: Whether the operand is the input.
        role: Of the product's result among the arrays.
    """

    operand: int
    history: Hashable
    terms: tuple[tuple[str, bool, int], ...]
    span: Block | None
    whole: tuple[str, ...]
    of_input: bool
    role: Hashable


@lru_cache(maxsize=512)
def outers(loops: Loops, shared: Shared) -> dict[str, list[Outer]]:
    """The weight gradients of each part of the backward program."""
    gradients = loops.gradients
    assert gradients is not None
    parts = {
        "step": gradients.step.weights,
        "input": gradients.input.weights,
        "constant": gradients.constant.weights,
    }
    uses = Counter(name for weights in parts.values() for w in weights for name, _, _ in w.terms)
    found: dict[str, list[Outer]] = {part: [] for part in parts}
    for part, weights in parts.items():
        for w in weights:
            terms = tuple(w.terms[k] for k in in_order(loops, w.cotangents))
            names = tuple(name for name, _, _ in terms)
            plain = not any(flag or uses[name] > 1 for name, flag, _ in terms) and names in shared.rows
            role = loops.collected.get(w.operand)
            states = [loops.history[k] for k in range(len(loops.history)) if role == ("state", k)]
            together = span(loops, tuple(d for _, _, d in terms))
            of_input = gradients.nodes[w.operand].op == "input"
            history = states[0] if states else None
            role = ("d_weight", part, len(found[part]))
            found[part].append(Outer(w.operand, history, terms, together, names if plain else (), of_input, role))
    return found


class InEngine(NamedTuple):
    """An outer product that the engine makes: `left` in a slot, times the input, a state, or another block."""

    left: Block
    right: Hashable | Block
    width: int
    role: Hashable


@lru_cache(maxsize=512)
def in_engine(loops: Loops, shared: Shared, ids: bool) -> tuple[InEngine, ...]:
    """The weight gradients whose operands all lie in memory when the backward loop is through."""
    assert loops.gradients is not None
    found: list[InEngine] = []
    for outer in (o for part in outers(loops, shared).values() for o in part):
        right = outer.history
        if outer.of_input and not ids:
            right = "x"
        elif loops.collected.get(outer.operand) == ("block", outer.operand):
            right = loops.blocks[outer.operand]
        if outer.span is not None and right is not None:
            found.append(InEngine(outer.span, right, loops.gradients.nodes[outer.operand].size, outer.role))
    return tuple(found)


def in_order(loops: Loops, members: Sequence[int]) -> list[int]:
    """Positions of `members` in the order in which they lie in memory."""
    return sorted(range(len(members)), key=lambda k: loops.blocks.get(members[k], (-1, 0, 0)))


def span(loops: Loops, members: Sequence[int]) -> Block | None:
    """The columns of one slot that values fill in their order; None: they are no neighbours."""
    blocks = [loops.blocks[n] for n in members if n in loops.collected and n in loops.blocks]
    if len(blocks) < len(members):
        return None
    offset = blocks[0].offset
    for b in blocks:
        if b.slot != blocks[0].slot or b.offset != offset:
            return None
        offset += b.width
    return Block(blocks[0].slot, blocks[0].offset, offset - blocks[0].offset)
