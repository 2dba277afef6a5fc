"""Spell the program of one step as numbers: places, registers, instructions.

Owns the form in which the engine reads a program (csrc/ifog/program.cpp) and the numbering of registers and places.
Takes products and segments of instructions, gives `Code`. Never decides where a value is kept.
"""

from __future__ import annotations

import struct
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, NamedTuple

from ifog.compiler.passes import Pass
from ifog.compiler.precision import PRECISIONS, Precision

__all__ = [
    "ELEMENTWISE",
    "ROWWISE",
    "Code",
    "Given",
    "Instruction",
    "Kind",
    "Place",
    "ProductCode",
    "Segment",
    "Virtual",
    "Weight",
    "spell",
]

# in the order of `Op` and `RowOp` in csrc/ifog/kernels.hpp: see test_the_engine_lists_the_same_operations
ELEMENTWISE = [
    "add",
    "sub",
    "mul",
    "div",
    "neg",
    "square",
    "sqrt",
    "exp",
    "log",
    "sigmoid",
    "tanh",
    "relu",
    "softplus",
    "erf",
    "sin",
    "cos",
    "sigmoid_back",
    "tanh_back",
    "abs",
    "sign",
    "step",
    "share",
    "maximum",
    "minimum",
    "fma",
    "fnma",
    "select",
    "copy",
    "broadcast",
    "load_bf16",
    "store_bf16",
    "round_bf16",
    "accumulate",
    "accumulate_product",
]
ROWWISE = ["row_sum", "row_max", "repeat", "tile", "tile_sum", "part", "pad", "concat", "dot"]


class Kind(IntEnum):
    """Where a value is kept, as in csrc/ifog/loop.hpp."""

    REGISTER = 0
    GIVEN = 1
    GIVEN_BF16 = 2
    LOCAL = 3
    OPERAND = 4
    CONSTANT = 5
    TOTAL = 6


class Given(NamedTuple):
    """An array of the caller's: what it is for, whether it holds bf16, and the memory it shares with others."""

    role: Hashable
    half: bool = False
    memory: Hashable = None


class Weight(NamedTuple):
    """A matrix of a product: `columns` results from `depth` numbers each."""

    name: str
    transposed: bool
    columns: int
    depth: int


@dataclass(frozen=True)
class Code:
    """A program, and what the caller binds to it.

    Attributes:
        words: The program as numbers.
        given: The arrays to bind, in the order of their places.
        weights: The matrices to bind.
        totals: What the sums are for, in the order of their places.
        carried: For each carried leaf (and each operand leaf after them) the place where it starts and ends.
        calls: Room for who runs the program to remember what it bound.
    """

    words: tuple[int, ...]
    given: tuple[Given, ...]
    weights: tuple[Weight, ...]
    totals: tuple[Hashable, ...]
    carried: tuple[int, ...]
    calls: dict[Hashable, Any] = field(default_factory=dict[Hashable, Any], compare=False, repr=False)


class Virtual(NamedTuple):
    """A register before registers have numbers."""

    number: int


Place = tuple[Kind, int, Hashable]


@dataclass
class Instruction:
    """An operation by name; a register is a number once `spell` has given it one."""

    op: str
    out: Place | Virtual | int
    args: list[Place | Virtual | int]
    attributes: tuple[int, ...] = ()


@dataclass
class Segment:
    """Instructions of one pass."""

    shape: Pass
    code: list[Instruction] = field(default_factory=list[Instruction])


class ProductCode(NamedTuple):
    """A matrix product: where its result goes, its columns, and each `(operand, weight, of the step before)`."""

    out: Place
    columns: int
    terms: tuple[tuple[Place, Weight, bool], ...]


def spell(
    stages: Sequence[tuple[Sequence[ProductCode], Sequence[Segment]]], carried: Sequence[Place], *, precision: Precision
) -> Code:
    """Gives places and registers their numbers, and writes everything as one list of words.

    Args:
        stages: Products, then segments, of each stage.
        carried: The places that start and end with the caller's numbers.
        precision: What products multiply.
    """
    return _Speller(stages, precision).code(carried)


class _Speller:
    def __init__(self, stages: Sequence[tuple[Sequence[ProductCode], Sequence[Segment]]], precision: Precision) -> None:
        self.stages, self.precision = stages, precision
        self.registers = max((_number_registers(s) for _, segments in stages for s in segments), default=0)
        self.places: dict[Place, int] = {}
        self.weights: dict[Weight, int] = {}

    def code(self, carried: Sequence[Place]) -> Code:
        body = [len(self.stages)]
        for products, segments in self.stages:
            body += [len(products), *(w for p in products for w in self._product(p))]
            body += [len(segments), *(w for s in segments for w in self._segment(s))]
        ends = tuple(self._place(p) for p in carried)
        head = [PRECISIONS.index(self.precision), self.registers + len(self.places)]
        head += [w for _ in range(self.registers) for w in (int(Kind.REGISTER), 1 << 20, 0)]
        for kind, width, what in self.places:
            head += [int(kind), width, _bits(float(str(what))) if kind == Kind.CONSTANT else 0]
        head += [len(self.weights), *(n for w in self.weights for n in (w.columns, w.depth))]
        return Code(
            (*head, *body),
            tuple(p[2] for p in self.places if isinstance(p[2], Given)),
            tuple(self.weights),
            tuple(p[2] for p in self.places if p[0] == Kind.TOTAL),
            ends,
        )

    def _place(self, operand: Place | Virtual | int) -> int:
        if isinstance(operand, int):
            return operand
        assert not isinstance(operand, Virtual)
        return self.registers + self.places.setdefault(operand, len(self.places))

    def _product(self, product: ProductCode) -> list[int]:
        words = [self._place(product.out), product.columns, len(product.terms)]
        for place, weight, previous in product.terms:
            words += [self._place(place), self.weights.setdefault(weight, len(self.weights)), int(previous)]
        return words

    def _segment(self, segment: Segment) -> list[int]:
        words = [*segment.shape, len(segment.code)]
        for i in segment.code:
            rowwise = i.op in ROWWISE
            args = [self._place(a) for a in i.args]
            out = self._place(i.out)
            args += [args[0]] * (3 - len(args))
            attributes = [*i.attributes, 0, 0][:2]
            words += [int(rowwise), (ROWWISE if rowwise else ELEMENTWISE).index(i.op), out, *args, *attributes]
        return words


def _number_registers(segment: Segment) -> int:
    """Replaces virtual registers by numbers, each used again once its value was read for the last time."""
    last: dict[Virtual, int] = {}
    for k, instruction in enumerate(segment.code):
        last.update((a, k) for a in (*instruction.args, instruction.out) if isinstance(a, Virtual))
    free: list[int] = []
    number: dict[Virtual, int] = {}
    count = 0
    for k, instruction in enumerate(segment.code):
        instruction.args = [number[a] if isinstance(a, Virtual) else a for a in instruction.args]
        ended = [v for v in number if last[v] == k]
        for v in ended:
            free.append(number.pop(v))
        if isinstance(instruction.out, Virtual):
            out = instruction.out
            if not free:
                free.append(count)
                count += 1
            number[out] = free.pop()
            instruction.out = number[out]
            if last[out] == k:
                free.append(number.pop(out))
    return count


def _bits(value: float) -> int:
    return int(struct.unpack("<I", struct.pack("<f", value))[0])
