"""Write the program of one step as code for the engine: places, products, instructions over blocks of registers.

Owns the choice of where each value of a step is kept (a register, an array of the caller's, scratch) and the fusing
of instructions. Takes a `Schedule` and what goes in and out, gives `Code`. Never touches tensors, never decides what
is saved.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

from ifog.compiler.blocks import Block
from ifog.compiler.graph import matrices
from ifog.compiler.passes import Pass
from ifog.compiler.precision import Precision
from ifog.compiler.scheduling import Position, Schedule
from ifog.compiler.spelling import Code, Given, Instruction, Kind, Place, ProductCode, Segment, Virtual, Weight, spell

__all__ = ["Emitter", "Traffic", "emit"]


@dataclass(frozen=True)
class Traffic:
    """What goes into a step and out of it.

    Attributes:
        sources: Values that are there before the step, and where.
        stores: Values to be written, and where.
        totals: Values to be summed over all rows and steps, by what the sum is for.
        carried: `(leaf, value)`: at the next step, the leaf is this step's value.
        operands: `(leaf, value)` likewise, for leaves that lie in an array which products can't read as it is.
        precision: What products multiply: anything but fp32 is stored for them apart.
        packed: Whether what is carried must stay as it is where a step has no row.
    """

    sources: Mapping[int, Given]
    stores: Sequence[tuple[int, Given]] = ()
    totals: Sequence[tuple[int, Hashable]] = ()
    carried: Sequence[tuple[int, int]] = ()
    operands: Sequence[tuple[int, int]] = ()
    precision: Precision = "fp32"
    packed: bool = False

    @property
    def converts(self) -> bool:
        """Whether products read another type than the arrays'."""
        return self.precision != "fp32"


def emit(schedule: Schedule, traffic: Traffic) -> Code:
    """The code of one step."""
    return Emitter(schedule, traffic).run()


class Emitter:
    """Decides, value by value, and writes the stages; `Block` writes what shares a pass.

    Attributes:
        nodes: All nodes of the schedule.
        position: When each value is computed.
        passes: Which values share a pass.
        read_by_products: What matrix products read.
        stores: By value, the arrays that it is written to.
        totals: By value, the sums that it is added to.
        homes: By value, the array that it is computed into; None: a register, or where the argument of a view lies.
        fused: By sum, the product that is computed as part of it.
        virtuals: How many registers there are so far.
    """

    def __init__(self, schedule: Schedule, traffic: Traffic) -> None:
        self.schedule, self.traffic = schedule, traffic
        self.nodes = schedule.nodes
        self.position, self.passes = schedule.position, schedule.passes
        self.read_by_products = {a for stage in schedule.stages for p in stage.products for a in self.nodes[p].args}
        self.stores: dict[int, list[Given]] = {}
        for value, given in traffic.stores:
            self.stores.setdefault(value, []).append(given)
        self.totals: dict[int, list[Hashable]] = {}
        for value, what in traffic.totals:
            self.totals.setdefault(value, []).append(what)
        self.previous = dict(traffic.operands)
        self.carried_home = dict(self._carried_homes())
        self.homes: dict[int, Place | None] = {}
        for n in self.position:
            self.homes[n] = self._home(n)
        self.fused = self._fused()
        self.virtuals = 0

    # where values are kept

    def _carried_homes(self) -> list[tuple[int, Place]]:
        """Where each carried leaf is kept: in the place of the value that replaces it, if that is safe."""
        found: list[tuple[int, Place]] = []
        traffic = self.traffic
        moved = {v for v, _ in (*traffic.stores, *traffic.totals)} | {
            v for _, v in (*traffic.carried, *traffic.operands)
        }
        self.replaces: dict[int, int] = {}
        for k, (leaf, value) in enumerate(traffic.carried):
            found.append((leaf, (Kind.LOCAL, self.nodes[leaf].size, ("carried", k))))
            if value not in self.position or value in self.replaces or leaf in moved:
                continue
            if traffic.packed and traffic.converts and self._product(value):  # which writes whole tiles of rows
                continue
            if self.schedule.last_use(leaf) <= self._written(value):
                self.replaces[value] = k
        return found

    def _written(self, n: int) -> Position:
        """When the memory of a value changes: of what a pass over a matrix leaves, as soon as the pass begins."""
        here = self.position[n]
        return here._replace(place=-1) if n in self.passes.reductions else here

    def _home(self, n: int) -> Place | None:
        """The array of a computed value, or None: a register will do."""
        node, here = self.nodes[n], self.position[n]
        if n in self.replaces:
            return (Kind.LOCAL, node.size, ("carried", self.replaces[n]))
        if node.op == "product":
            return (Kind.LOCAL, node.size, n)
        for given in self.stores.get(n, ()):
            if not given.half and not self.must_wait(n, given):
                return (Kind.GIVEN, node.size, given)
        if n in self.read_by_products and not self.traffic.converts:
            return (Kind.OPERAND, node.size, n)
        uses = self.schedule.uses.get(n, ())
        elsewhere = n not in self.passes.views and any(
            self.position[u][:2] != here[:2] for u in uses if not self._product(u)
        )
        moved = any(n == v and self.replaces.get(v) != k for k, (_, v) in enumerate(self.traffic.carried))
        rowwise = n not in self.passes.of or n in self.passes.reductions
        return (Kind.LOCAL, node.size, n) if elsewhere or moved or rowwise else None

    def _product(self, n: int) -> bool:
        return self.nodes[n].op == "product"

    def must_wait(self, n: int, given: Given) -> bool:
        """Whether a value can't be written yet, because another that shares its memory is still read in the segment."""
        if given.memory is None:
            return False
        here = self._written(n)
        for m, source in self.traffic.sources.items():
            if source.memory == given.memory:
                last = self.schedule.last_use(m)
                assert last[:2] <= here[:2], "the layout shares memory that a later segment reads"
                if last[:2] == here[:2] and last > here:
                    return True
        return False

    def _fused(self) -> dict[int, int]:
        """Products `a * b` that become part of the one sum (or difference) that reads them, by that sum."""
        found: dict[int, int] = {}
        for n in self.position:
            node = self.nodes[n]
            if n in self.passes.reductions:
                args = node.args if node.op in ("row_sum", "tile_sum") else ()
            elif node.op not in ("add", "sub") or node.args[0] == node.args[1]:
                continue
            else:
                args = node.args if node.op == "add" else node.args[1:]
                args = [a for a in args if self.nodes[a].size == node.size]
            for a in args:
                if self._only_for(a, n):
                    found[n] = a
                    break
        return found

    def _only_for(self, a: int, n: int) -> bool:
        """Whether value `a` is a product that is computed for value `n` alone, in the same segment."""
        return (
            self.nodes[a].op == "mul"
            and a in self.position
            and self.position[a][:2] == self.position[n][:2]
            and self.schedule.uses[a] == [n]
            and self.homes[a] is None
            and a not in self.stores
            and a not in self.totals
            and not any(a == v for _, v in (*self.traffic.carried, *self.traffic.operands))
        )

    # code

    def run(self) -> Code:
        """The code of all stages."""
        stages: list[tuple[tuple[int, ...], list[Segment]]] = []
        for s, stage in enumerate(self.schedule.stages):
            stages.append((stage.products, self._segments(s)))
        before = self._given_operands()
        if before:
            stages.insert(0, ((), before))
        after = self._carry()
        if after:
            stages.append(((), after))
        carried: list[Place] = [
            (Kind.LOCAL, self.nodes[leaf].size, ("carried", k)) for k, (leaf, _) in enumerate(self.traffic.carried)
        ]
        carried += [(Kind.OPERAND, self.nodes[leaf].size, leaf) for leaf, _ in self.traffic.operands]
        spelled = [(tuple(self._product_code(p) for p in products), segments) for products, segments in stages]
        return spell(spelled, carried, precision=self.traffic.precision)

    def _product_code(self, p: int) -> ProductCode:
        node, converts = self.nodes[p], self.traffic.converts
        home = self.homes[p]
        assert home is not None
        terms: list[tuple[Place, Weight, bool]] = []
        for (name, flag), a in zip(matrices(node), node.args, strict=True):
            depth = self.nodes[a].size
            place = (Kind.OPERAND, depth, a) if converts else self.place(a)
            terms.append((place, Weight(name, flag, node.size, depth), converts and a in self.previous))
        return ProductCode(home, node.size, tuple(terms))

    def _segments(self, s: int) -> list[Segment]:
        stage = self.schedule.stages[s]
        found: list[Segment] = []
        wanted = [p for p in stage.products if self.duties(p)]
        for nodes in stage.segments:
            if nodes[0] not in self.passes.of:
                found += self._row_operation(nodes[0])
                continue
            block = Block(self, self.passes.of[nodes[0]])
            for p in [p for p in wanted if self.nodes[p].size == block.width]:
                wanted.remove(p)
                block.deliver(p)
            for n in nodes:
                block.compute(n)
            found += block.finish()
        for width in dict.fromkeys(self.nodes[p].size for p in wanted):
            block = Block(self, Pass(width))
            for p in wanted:
                if self.nodes[p].size == width:
                    block.deliver(p)
            found = block.finish() + found
        return found

    def duties(self, n: int) -> bool:
        """Whether a value has to be written to more than its home."""
        carries = any(v == n for _, v in self.traffic.operands)
        return n in self.stores or n in self.totals or carries or n in self.read_by_products

    def _row_operation(self, n: int) -> list[Segment]:
        node = self.nodes[n]
        found: list[Segment] = []
        args: list[Place | Virtual | int] = []
        for a in node.args:
            place, widened = self.floats(a)
            found += widened
            args.append(place)
        home = self.homes[n]
        assert home is not None
        attributes = tuple(int(str(v)) for v in node.attributes)
        found.append(Segment(Pass(node.size), [Instruction(node.op, home, args, attributes)]))
        return found + self.delivered(n)

    def floats(self, n: int) -> tuple[Place, list[Segment]]:
        """Where a value lies as floats, and what has to be done before that they lie there."""
        place = self.place(n)
        if place[0] != Kind.GIVEN_BF16:
            return place, []
        widened: Place = (Kind.LOCAL, place[1], ("widened", n))
        return widened, [Segment(Pass(place[1]), [Instruction("load_bf16", widened, [place])])]

    def delivered(self, n: int) -> list[Segment]:
        """Writes a value that is in its home to where else it has to be."""
        block = Block(self, Pass(self.nodes[n].size))
        if self.duties(n):
            block.deliver(n)
        return block.finish()

    def _given_operands(self) -> list[Segment]:
        """Copies, for the products, of given arrays that they can't read as they are."""
        blocks: dict[int, Block] = {}
        for a in sorted(self.read_by_products):
            if self.traffic.converts and a not in self.position and a not in self.previous:
                width = self.nodes[a].size
                block = blocks.setdefault(width, Block(self, Pass(width)))
                block.code.append(Instruction("store_bf16", (Kind.OPERAND, width, a), [block.read(a)]))
        return [s for b in blocks.values() for s in b.finish()]

    def _carry(self) -> list[Segment]:
        """What is still to be moved to the next step: first everything is read, then everything is written."""
        blocks: dict[int, Block] = {}
        moves: dict[int, list[Instruction]] = {}
        for k, (leaf, value) in enumerate(self.traffic.carried):
            if self.replaces.get(value) == k:
                continue
            width = self.nodes[leaf].size
            block = blocks.setdefault(width, Block(self, Pass(width)))
            register = block.register()
            block.code.append(Instruction("copy", register, [block.read(value)]))
            move = Instruction("copy", (Kind.LOCAL, width, ("carried", k)), [register])
            moves.setdefault(width, []).append(move)
        for leaf, value in self.traffic.operands:
            if value not in self.position:  # else it was stored when it was computed
                width = self.nodes[leaf].size
                block = blocks.setdefault(width, Block(self, Pass(width)))
                store = Instruction("store_bf16", (Kind.OPERAND, width, leaf), [block.read(value)])
                moves.setdefault(width, []).append(store)
        for value, given in self.traffic.stores:
            if value not in self.position:
                width = self.nodes[value].size
                block = blocks.setdefault(width, Block(self, Pass(width)))
                block.store(value, given)
        for value, what in self.traffic.totals:
            if value not in self.position:
                width = self.nodes[value].size
                block = blocks.setdefault(width, Block(self, Pass(width)))
                block.code.append(Instruction("accumulate", (Kind.TOTAL, width, what), [block.read(value)]))
        for width, block in blocks.items():
            block.code += moves.get(width, ())
        return [s for b in blocks.values() for s in b.finish()]

    def place(self, n: int) -> Place:
        """The array or number where a value is found outside of the segment that computed it."""
        node = self.nodes[n]
        if node.op == "constant":
            return (Kind.CONSTANT, 1, float(str(node.attributes[0])))
        if n in self.carried_home:
            return self.carried_home[n]
        if n in self.traffic.sources:
            given = self.traffic.sources[n]
            return (Kind.GIVEN_BF16 if given.half else Kind.GIVEN, node.size, given)
        home = self.homes.get(n)
        assert home is not None, f"value {n} ({node.op}) is read where it is not kept"
        return home
