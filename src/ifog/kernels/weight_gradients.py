"""Which sums over all time are the gradients of a cell's parameters, and which of them the engine makes.

Owns the pairing of cotangents with the operands that their matrices multiplied, and the order of the sums that are
gradients of vectors. Takes `Loops`, gives descriptions. Never touches tensors.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

from ifog.compiler.loops import Block, Loops
from ifog.kernels.sharing import Shared

__all__ = ["InEngine", "InPlace", "Outer", "in_engine", "in_order", "in_place", "outers", "span", "totals_layout"]


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


@lru_cache(maxsize=512)
def totals_layout(loops: Loops, shared: Shared) -> tuple[dict[int, int], int, dict[tuple[str, ...], tuple[int, int]]]:
    """Where each total lies, how many numbers there are, and which of them are the gradients of whole tensors."""
    assert loops.gradients is not None
    nodes = loops.gradients.nodes
    of_name = {str(nodes[i].attributes[0]): d for i, d in loops.gradients.constant.results}
    ordered = [of_name[name] for names in shared.rows for name in names if of_name.get(name) in loops.totals]
    offsets: dict[int, int] = {}
    end = 0
    for i in dict.fromkeys((*ordered, *loops.totals)):
        offsets[i] = end
        end += nodes[i].size
    whole: dict[tuple[str, ...], tuple[int, int]] = {}
    for names in shared.rows:
        parts = [of_name.get(name, -1) for name in names]
        stop = offsets.get(parts[0], 0) if parts else 0
        start = stop
        for i in parts:
            if offsets.get(i) != stop:
                break
            stop += nodes[i].size
        else:
            whole[names] = (start, stop)
    return offsets, end, whole


class InPlace(NamedTuple):
    """Where every gradient of weights lies once the engine is through.

    Attributes:
        arrays: Those that hold them, by role, and the rows of the pieces that each falls into; none: it is one.
        places: For each tensor of weights, which array and which piece of it is its gradient.
    """

    arrays: tuple[tuple[Hashable, tuple[int, ...]], ...]
    places: tuple[tuple[int, int], ...]


@lru_cache(maxsize=512)
def in_place(loops: Loops, shared: Shared) -> InPlace | None:
    """Where all gradients are, the input's too; None: something is left to be computed."""
    program = loops.gradients
    assert program is not None
    nodes = program.nodes
    made = {p.out for p in loops.after} | set(totals_layout(loops, shared)[0])
    stages = (*program.input.stages, *program.constant.stages)
    left = {n for s in stages for n in (*s.program, *(p for g in s.products for p in g))} - made
    if left and not (loops.added and all(nodes[n].op == "add" for n in left)):
        return None
    found = [outer for part in outers(loops, shared).values() for outer in part]
    if {o.role for o in found} != {e.role for e in in_engine(loops, shared, False)}:
        return None
    if loops.options.input_gradient and not loops.after:
        return None
    arrays, places = _pieces_of_totals(loops, shared)
    uses = Counter(name for outer in found for name, _, _ in outer.terms)
    for outer in found:
        if outer.whole:
            places[outer.whole] = (len(arrays), 0)
            arrays.append((outer.role, ()))
            continue
        for piece, (name, flag, _) in enumerate(outer.terms):
            if uses[name] == 1 and not flag:
                places[(name,)] = (len(arrays), piece)
        arrays.append((outer.role, tuple(nodes[d].size for _, _, d in outer.terms)))
    if any(names not in places for names in shared.rows):
        return None
    return InPlace(tuple(arrays), tuple(places[names] for names in shared.rows))


def _pieces_of_totals(
    loops: Loops, shared: Shared
) -> tuple[list[tuple[Hashable, tuple[int, ...]]], dict[tuple[str, ...], tuple[int, int]]]:
    """The array of totals, cut into the gradients of whole tensors and what lies between them, and which is whose."""
    _, size, whole = totals_layout(loops, shared)
    cuts = sorted({0, size, *(end for ends in whole.values() for end in ends)})
    pieces = list(pairwise(cuts))
    places = {names: (0, pieces.index(ends)) for names, ends in whole.items() if ends in pieces}
    return ([("totals", tuple(b - a for a, b in pieces))] if pieces else []), places


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
