"""Write one pass over a row as instructions: what is read once, what stays in registers, what is written where.

Owns the segment that is being written. Takes values one after the other, with what `registers` decided about each of
them, gives segments. Never decides where a value is kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ifog.compiler.passes import Pass
from ifog.compiler.spelling import Given, Instruction, Kind, Place, Segment, Virtual

if TYPE_CHECKING:
    from ifog.compiler.registers import Emitter

__all__ = ["Block"]


class Block:
    """A segment being written: values in registers, arrays read at most once where reading converts."""

    def __init__(self, emitter: Emitter, shape: Pass) -> None:
        self.emitter, self.shape, self.width = emitter, shape, shape.width
        self.code: list[Instruction] = []
        self.late: list[Instruction] = []
        self.before: list[Segment] = []
        self.after: list[Segment] = []
        self.here: dict[int, Place | Virtual] = {}

    def register(self) -> Virtual:
        """A new register."""
        self.emitter.virtuals += 1
        return Virtual(self.emitter.virtuals)

    def read(self, n: int) -> Place | Virtual:
        """Where an instruction finds value `n`, converted and spread over the columns if need be."""
        if n not in self.here:
            view = n in self.emitter.passes.views and self.emitter.homes[n] is None
            self.here[n] = self._view(n) if view else self._place(n)
        return self.here[n]

    def _place(self, n: int) -> Place | Virtual:
        place = self.emitter.place(n)
        if place[0] == Kind.GIVEN_BF16:
            return self._load("load_bf16", place)
        if not _narrow(place) or self.width == 1:
            return place
        if self.shape.lines == 1:
            return self._load("broadcast", place)
        line: Place = (Kind.LOCAL, self.shape.columns, ("spread", n))  # one that serves all lines
        self.before.append(Segment(Pass(self.shape.columns), [Instruction("broadcast", line, [place])]))
        return line

    def _view(self, n: int) -> Place | Virtual:
        """A short row as a matrix: one number for each line, or the same line again and again."""
        node = self.emitter.nodes[n]
        place, widened = self.emitter.floats(node.args[0])
        self.before += widened
        return self._load("broadcast", place) if node.op == "repeat" or _narrow(place) else place

    def _load(self, op: str, place: Place) -> Virtual:
        register = self.register()
        self.code.append(Instruction(op, register, [place]))
        return register

    def compute(self, n: int) -> None:
        """Value `n` into its home or a register, and everywhere else it has to be."""
        emitter, node = self.emitter, self.emitter.nodes[n]
        home = emitter.homes[n]
        if n in emitter.passes.reductions:
            self._reduce(n)
            return
        if n in emitter.fused.values():
            return
        if n in emitter.passes.views and home is None:
            self.deliver(n)
            return
        op, args = node.op, list(node.args)
        if n in emitter.fused:
            inner = emitter.fused[n]
            rest = args[0] if args[1] == inner else args[1]
            op, args = ("fma" if op == "add" else "fnma"), [*emitter.nodes[inner].args, rest]
        if n in emitter.passes.views:
            op, operands = "copy", [self._view(n)]
        elif op == "select":  # the condition is one column for all, as it lies in its array
            condition = self.read(args[0]) if self.width == 1 else emitter.place(args[0])
            operands = [condition, *(self.read(a) for a in args[1:])]
        else:
            operands = [self.read(a) for a in args]
        out = self.register() if home is None else home
        self.code.append(Instruction(op, out, [*operands]))
        self.here[n] = out
        self.deliver(n)

    def _reduce(self, n: int) -> None:
        """Value `n` from a matrix, line by line; sums over lines are collected in a row that starts at zero."""
        node, home = self.emitter.nodes[n], self.emitter.homes[n]
        assert home is not None
        inner = self.emitter.fused.get(n)
        args = node.args if inner is None else self.emitter.nodes[inner].args
        matrix: list[Place | Virtual | int] = [self.read(a) for a in args]
        groups = int(str(node.attributes[0]))
        if node.op == "tile_sum" or groups != self.shape.lines:
            columns = self.shape.columns
            sums = home if node.op == "tile_sum" else (Kind.LOCAL, columns, ("sums", n))
            zero: Place = (Kind.CONSTANT, 1, 0.0)
            self.before.append(Segment(Pass(columns), [Instruction("copy", sums, [zero])]))
            self.code.append(Instruction("accumulate" if inner is None else "accumulate_product", sums, matrix))
            if sums is not home:
                self.after.append(Segment(Pass(1), [Instruction("row_sum", home, [sums], (1,))]))
        else:
            self.code.append(Instruction(node.op if inner is None else "dot", home, matrix, (1,)))
        self.after += self.emitter.delivered(n)

    def deliver(self, n: int) -> None:
        """Writes a value that is here, or in its home, to where else it is wanted."""
        emitter = self.emitter
        for given in emitter.stores.get(n, ()):
            if emitter.homes.get(n) != (Kind.GIVEN, emitter.nodes[n].size, given):
                self.store(n, given)
        for what in emitter.totals.get(n, ()):
            total: Place = (Kind.TOTAL, self.width, what)
            if self.shape.lines == 1:
                self.code.append(Instruction("accumulate", total, [self.read(n)]))
            else:  # the lines of a matrix are numbers of one row, not rows
                self.code.append(Instruction("add", total, [total, self.read(n)]))
        if emitter.traffic.converts:
            if n in emitter.read_by_products:
                self.code.append(Instruction("store_bf16", (Kind.OPERAND, self.width, n), [self.read(n)]))
            for leaf, value in emitter.traffic.operands:
                if value == n:
                    self.code.append(Instruction("store_bf16", (Kind.OPERAND, self.width, leaf), [self.read(n)]))

    def store(self, n: int, given: Given) -> None:
        """Writes a value to an array of the caller's, at the end of the segment if its memory is still read."""
        kind, op = (Kind.GIVEN_BF16, "store_bf16") if given.half else (Kind.GIVEN, "copy")
        wait = n in self.emitter.position and self.emitter.must_wait(n, given)
        instruction = Instruction(op, (kind, self.width, given), [self.read(n)])
        (self.late if wait else self.code).append(instruction)

    def finish(self) -> list[Segment]:
        """The segment, with what has to be done before and after it."""
        code = self.code + self.late
        return [*self.before, *([Segment(self.shape, code)] if code else []), *self.after]


def _narrow(place: Place) -> bool:
    """Whether a place has one column for all."""
    return place[1] == 1 and place[0] != Kind.CONSTANT
