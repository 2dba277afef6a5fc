"""Random cells, drawn as data and written in the language that people write cells in.

Owns `programs`, a hypothesis strategy, and `build`, which makes a cell of what it drew. Values stay bounded, so that
no step overflows however often it is repeated, and arguments of logarithms, roots and divisions stay away from zero.
Operations with a kink get a constant added first, so that a value which is zero by construction doesn't sit on it.
Takes nothing, gives cells. Never runs one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from ifog.compiler import language as L
from ifog.compiler.symbols import Symbol, apply
from ifog.compiler.tracing import Cell, cell

_OFF = 0.371828  # no sum of the constants below
_NUMBERS = (-1.0, 0.0, 0.5, 1.0, 2.0)
_WIDEST = 6


class Instruction(NamedTuple):
    """One line of a random cell: what it does, to which earlier values, how, and whether a tanh bounds the result."""

    kind: str
    args: tuple[int, ...] = ()
    how: tuple[object, ...] = ()
    bounded: bool = False


@dataclass(frozen=True)
class Program:
    """A random cell. Values are numbered: the input, the states, then one for each instruction."""

    input_size: int
    state_sizes: tuple[int, ...]
    instructions: tuple[Instruction, ...]
    following: tuple[int, ...]
    output: int | None


# elementwise: the operation with its guards, and a bound of the result from a bound of the argument
UNARY: dict[str, tuple[Callable[[Symbol], Symbol], Callable[[float], float]]] = {
    "sigmoid": (L.sigmoid, lambda m: 1.0),
    "tanh": (L.tanh, lambda m: 1.0),
    "softplus": (L.softplus, lambda m: m + 0.7),
    "exp": (lambda v: L.exp(L.tanh(v)), lambda m: math.e),
    "log": (lambda v: L.log(L.softplus(v) + 0.5), lambda m: m + 0.7),
    "sqrt": (lambda v: L.sqrt(L.square(v) + 0.5), lambda m: m + 0.8),
    "square": (L.square, lambda m: m * m),
    "neg": (lambda v: -v, lambda m: m),
    "erf": (L.erf, lambda m: 1.0),
    "sin": (L.sin, lambda m: 1.0),
    "cos": (L.cos, lambda m: 1.0),
    "abs": (lambda v: L.abs(v + _OFF), lambda m: m + 0.4),
    "sign": (lambda v: L.sign(v + _OFF), lambda m: 1.0),
    "step": (lambda v: apply("step", v + _OFF), lambda m: 1.0),
    "relu": (lambda v: L.relu(v + _OFF), lambda m: m + 0.4),
    "hard_sigmoid": (lambda v: L.hard_sigmoid(v + _OFF), lambda m: 1.0),
    "leaky_relu": (lambda v: L.leaky_relu(v + _OFF, 0.1), lambda m: m + 0.4),
    "elu": (lambda v: L.elu(v + _OFF), lambda m: m + 1.4),
    "silu": (L.silu, lambda m: m),
    "gelu": (L.gelu, lambda m: m),
    "sigmoid_back": (lambda v: apply("sigmoid_back", v, L.sigmoid(v)), lambda m: m),
    "tanh_back": (lambda v: apply("tanh_back", v, L.tanh(v)), lambda m: m),
}
BINARY: dict[str, tuple[Callable[[Symbol, Symbol], Symbol], Callable[[float, float], float]]] = {
    "add": (lambda a, b: a + b, lambda m, n: m + n),
    "sub": (lambda a, b: a - b, lambda m, n: m + n),
    "mul": (lambda a, b: a * b, lambda m, n: m * n),
    "div": (lambda a, b: a / (L.softplus(b) + 0.5), lambda m, n: 2 * m),
    "maximum": (lambda a, b: L.maximum(a, b + _OFF), lambda m, n: max(m, n + 0.4)),
    "minimum": (lambda a, b: L.minimum(a, b + _OFF), lambda m, n: max(m, n + 0.4)),
    "share": (lambda a, b: apply("share", a, b + _OFF), lambda m, n: 1.0),
    "select": (
        lambda a, b: apply("select", apply("step", apply("row_sum", a, 1) + _OFF), a, b),
        max,
    ),
}
NUMBER: dict[str, Callable[[Symbol, float], Symbol]] = {
    "v + number": lambda v, n: v + n,
    "number - v": lambda v, n: n - v,
    "v * number": lambda v, n: v * n,
    "number / v": lambda v, n: n / (L.softplus(v) + 0.5),
}
ROW = ["row_sum", "row_mean", "softmax", "layer_norm", "repeat", "tile", "tile_sum", "part", "pad", "concat"]
OTHER = ["weight", "mask", *["product"] * 5, *["affine"] * 4, *["gate"] * 2, "there and back"]
KINDS = [*UNARY, *BINARY, *NUMBER, *ROW, *OTHER]


@dataclass
class _Draft:
    """What is known while a program is being drawn: the sizes and bounds of its values, and its matrices."""

    draw: DrawFn
    sizes: list[int]
    bounds: list[float]
    instructions: list[Instruction] = field(default_factory=list[Instruction])
    matrices: dict[str, tuple[int, int]] = field(default_factory=dict[str, tuple[int, int]])
    unread: list[int] = field(default_factory=list[int])

    def whole(self, low: int, high: int) -> int:
        return self.draw(st.integers(low, high))

    def value(self) -> int:
        """Any value, but mostly one that nothing reads yet, so that little of the program is dead."""
        return self._latest(self.unread if self.unread and self.whole(0, 3) else range(len(self.sizes)))

    def _latest(self, values: Sequence[int]) -> int:
        return values[len(values) - 1 - self.whole(0, len(values) - 1)]

    def add(self, kind: str, args: tuple[int, ...], how: tuple[object, ...], size: int, bound: float) -> int:
        self.unread = [i for i in self.unread if i not in args] + [len(self.sizes)]
        self.instructions.append(Instruction(kind, args, how, bound > _WIDEST))
        self.sizes.append(size)
        self.bounds.append(1.0 if bound > _WIDEST else bound)
        return len(self.sizes) - 1

    def partner(self, a: int) -> int:
        """A value that can stand beside `a` in an elementwise operation."""
        fits = [i for i, n in enumerate(self.sizes) if n == self.sizes[a] or 1 in (n, self.sizes[a])]
        return self._latest(fits)

    def divisor(self, size: int) -> int:
        return self.draw(st.sampled_from([n for n in range(1, size + 1) if size % n == 0]))

    def instruction(self) -> None:
        kind, a = self.draw(st.sampled_from(KINDS)), self.value()
        size, bound = self.sizes[a], self.bounds[a]
        if kind in UNARY:
            self.add(kind, (a,), (), size, UNARY[kind][1](bound))
        elif kind in BINARY:
            b = self.partner(a)
            self.add(kind, (a, b), (), max(size, self.sizes[b]), BINARY[kind][1](bound, self.bounds[b]))
        elif kind in NUMBER:
            number = self.draw(st.sampled_from(_NUMBERS))
            self.add(kind, (a,), (number,), size, max(2 * bound, bound + 2.0, 4.0))
        elif kind in ROW:
            self.row(kind, a, size, bound)
        elif kind == "weight":
            self.add(kind, (), (f"w{len(self.sizes)}", size if self.whole(0, 1) else 1), 1, 1.0)
            self.sizes[-1] = int(str(self.instructions[-1].how[1]))
        elif kind == "mask":
            self.add(kind, (), (size,), size, 1.0)
        elif kind == "gate":  # σ(a) b, the most frequent form of all
            b = self.partner(a)
            self.add(kind, (a, b), (), max(size, self.sizes[b]), self.bounds[b])
        elif kind == "product":
            self.product(a)
        elif kind == "there and back":  # one matrix, as it is and transposed
            name, rows = f"M{len(self.sizes)}", self.whole(1, 4)
            self.matrices[name] = (rows, size)
            there = self.add("product", (a,), (name, rows, size, False), rows, size * bound)
            self.add("product", (there,), (name, rows, size, True), size, rows * self.bounds[there])
        else:
            args = (a, self.value())[: self.whole(1, 2)]
            how = (f"a{len(self.sizes)}", self.whole(1, 4), bool(self.whole(0, 1)))
            self.add(kind, args, how, how[1], sum(self.sizes[i] * self.bounds[i] for i in args) + 1.0)

    def row(self, kind: str, a: int, size: int, bound: float) -> None:
        if kind == "row_sum":
            groups = self.divisor(size)
            self.add(kind, (a,), (groups,), groups, bound * size / groups)
        elif kind == "row_mean":
            self.add(kind, (a,), (), 1, bound)
        elif kind == "softmax":
            self.add(kind, (a,), (self.divisor(size),), size, 1.0)
        elif kind == "layer_norm":
            self.add(kind, (a,), (f"n{len(self.sizes)}", bool(self.whole(0, 1))), size, size + 1.0)
        elif kind in ("repeat", "tile"):
            count = self.whole(1, max(1, _WIDEST // size))
            self.add(kind, (a,), (count,), size * count, bound)
        elif kind == "tile_sum":
            count = self.divisor(size)
            self.add(kind, (a,), (count,), size // count, bound * count)
        elif kind == "part":
            start = self.whole(0, size - 1)
            stop = self.whole(start + 1, size)
            self.add(kind, (a,), (start, stop), stop - start, bound)
        elif kind == "pad":
            before, after = self.whole(0, 1), self.whole(0, 1)
            self.add(kind, (a,), (before, after), before + size + after, bound)
        else:
            b = self.value()
            if size + self.sizes[b] <= _WIDEST:
                self.add("concat", (a, b), (), size + self.sizes[b], max(bound, self.bounds[b]))

    def product(self, a: int) -> None:
        """A matrix of its own, or one that other products have used, as it is or transposed."""
        size = self.sizes[a]
        uses = [(n, i, False) for n, (_, columns) in self.matrices.items() for i in self.fitting(columns)]
        uses += [(n, i, True) for n, (rows, _) in self.matrices.items() for i in self.fitting(rows)]
        if uses and self.whole(0, 3):
            name, a, transposed = self.draw(st.sampled_from(uses))
        else:
            name, transposed = f"M{len(self.sizes)}", False
            self.matrices[name] = (self.whole(1, 4), size)
        rows, columns = self.matrices[name]
        result = columns if transposed else rows
        bound = self.sizes[a] * self.bounds[a]
        self.add("product", (a,), (name, rows, columns, transposed), result, bound)

    def fitting(self, size: int) -> list[int]:
        return [i for i, n in enumerate(self.sizes) if n == size]

    def fitted(self, size: int) -> int:
        """A value of `size` columns that is small enough to be a state."""
        i = self.value()
        if self.sizes[i] != size:
            i = self.add(
                "affine", (i, self.value())[: self.whole(1, 2)], (f"s{len(self.sizes)}", size, True), size, 9.0
            )
        return i if self.bounds[i] <= 1.0 else self.add("tanh", (i,), (), size, 1.0)


@st.composite
def programs(draw: DrawFn, longest: int = 12) -> Program:
    """Cells of one to three states and up to `longest` instructions."""
    input_size = draw(st.integers(1, 4))
    state_sizes = tuple(draw(st.lists(st.integers(1, 4), min_size=1, max_size=3)))
    sizes = [input_size, *state_sizes]
    draft = _Draft(draw, sizes, [1.0] * len(sizes), unread=list(range(len(sizes))))
    for _ in range(draw(st.integers(2, longest))):
        draft.instruction()
    following = tuple(draft.fitted(n) for n in state_sizes)
    output = draft.value() if draw(st.booleans()) else None
    return Program(input_size, state_sizes, tuple(draft.instructions), following, output)


def build(program: Program) -> Cell:
    """The cell function that the program stands for, decorated."""

    def one(x, h):
        return _returned(program, x, h)

    def two(x, h, c):
        return _returned(program, x, h, c)

    def three(x, h, c, m):
        return _returned(program, x, h, c, m)

    function = (one, two, three)[len(program.state_sizes) - 1]
    return cell(sizes={s: lambda _, n=n: n for s, n in zip("hcm", program.state_sizes, strict=False)})(function)


def _returned(program: Program, *leaves: Symbol) -> tuple[Symbol, ...]:
    values = list(leaves)
    for instruction in program.instructions:
        made = _make(instruction, [values[a] for a in instruction.args])
        values.append(L.tanh(made) if instruction.bounded else made)
    following = tuple(values[i] for i in program.following)
    return following if program.output is None else (values[program.output], *following)


def _make(instruction: Instruction, args: list[Symbol]) -> Symbol:
    kind, how = instruction.kind, instruction.how
    if kind in UNARY:
        return UNARY[kind][0](args[0])
    if kind in BINARY:
        return BINARY[kind][0](args[0], args[1])
    if kind in NUMBER:
        return NUMBER[kind](args[0], float(str(how[0])))
    return _OTHERS[kind](args, how)


def _product(args: list[Symbol], how: tuple) -> Symbol:
    name, rows, columns, transposed = how
    W = L.matrix(name, rows, columns)
    return L.product(W.T if transposed else W, args[0])


def _affine(args: list[Symbol], how: tuple) -> Symbol:
    name, size, bias = how
    return L.affine(name, size=size, bias=0.0 if bias else None, **dict(zip("pq", args, strict=False)))


def _mask(args: list[Symbol], how: tuple) -> Symbol:
    (size,) = how
    return Symbol(L.current().builder.add("mask", (), size, ("random",)), size)


_OTHERS: dict[str, Callable[[list[Symbol], tuple], Symbol]] = {
    "row_sum": lambda a, how: L.row_sum(a[0], *how),
    "row_mean": lambda a, how: L.row_mean(a[0]),
    "softmax": lambda a, how: L.softmax(a[0], *how),
    "layer_norm": lambda a, how: L.layer_norm(how[0], a[0], shift=how[1], epsilon=0.5),
    "repeat": lambda a, how: L.repeat(a[0], *how),
    "tile": lambda a, how: L.tile(a[0], *how),
    "tile_sum": lambda a, how: apply("tile_sum", a[0], *how),
    "part": lambda a, how: L.part(a[0], *how),
    "pad": lambda a, how: apply("pad", a[0], *how),
    "concat": lambda a, how: L.concat(a[0], a[1]),
    "weight": lambda a, how: L.weight(how[0], size=how[1]),
    "gate": lambda a, how: L.sigmoid(a[0]) * a[1],
    "mask": _mask,
    "product": _product,
    "affine": _affine,
}
