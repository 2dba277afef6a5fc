"""Symbols: values of one time step that have a size and no numbers, and the recording that they are written into.

Owns `Symbol`, `Matrix`, `apply` and the recording under way. Takes symbols and numbers, adds nodes to the builder that
is tracing, gives symbols. Nothing is computed.
"""

from __future__ import annotations

from collections.abc import Generator, Hashable
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from numbers import Real
from typing import Any, NoReturn, Union

from ifog.compiler import locations
from ifog.compiler.graph import Builder
from ifog.compiler.operations import OPERATIONS
from ifog.errors import CellError, ShapeError

__all__ = ["Matrix", "Recording", "Symbol", "Value", "apply", "current", "recording", "symbol"]

Value = Union["Symbol", float, int]


@dataclass
class Recording:
    """What operations add to while a cell is traced."""

    builder: Builder
    hidden_size: int
    names: dict[str, int]


_RECORDING: ContextVar[Recording] = ContextVar("recording")


@contextmanager
def recording(builder: Builder, hidden_size: int) -> Generator[Recording, None, None]:
    """Makes `builder` the one that symbols are recorded in."""
    record = Recording(builder, hidden_size, {})
    token = _RECORDING.set(record)
    try:
        yield record
    finally:
        _RECORDING.reset(token)


def current() -> Recording:
    """The recording under way."""
    try:
        return _RECORDING.get()
    except LookupError:
        raise CellError(
            "the functions of ifog.cells describe a cell and compute nothing by themselves; "
            "call them inside a function decorated with @cell"
        ) from None


@dataclass(frozen=True, eq=False)
class Symbol:
    """A value of one time step: `size` columns, no numbers yet.

    A parameter of the cell function has its name as `label`, for the matrices that multiply it.
    """

    id: int
    size: int
    label: str = ""

    def __add__(self, other: Value) -> Symbol:
        return apply("add", self, other)

    def __radd__(self, other: Value) -> Symbol:
        return apply("add", other, self)

    def __sub__(self, other: Value) -> Symbol:
        return apply("sub", self, other)

    def __rsub__(self, other: Value) -> Symbol:
        return apply("sub", other, self)

    def __mul__(self, other: Value) -> Symbol:
        return apply("mul", self, other)

    def __rmul__(self, other: Value) -> Symbol:
        return apply("mul", other, self)

    def __truediv__(self, other: Value) -> Symbol:
        return apply("div", self, other)

    def __rtruediv__(self, other: Value) -> Symbol:
        return apply("div", other, self)

    def __neg__(self) -> Symbol:
        return apply("neg", self)

    def __pow__(self, power: object) -> Symbol:
        if power == 2:
            return apply("square", self)
        raise CellError(
            f"{locations.here()}: of powers only the square is an operation; use exp(p * log(v)) for others"
        )

    def _no_numbers(self, *others: object) -> NoReturn:
        """What Python's own operators and NumPy's functions come to."""
        raise CellError(
            f"{locations.here()}: a value of a step has no numbers while a cell is traced, so neither NumPy, math nor "
            "Python's abs, round, float, //, % and +v can be used on it; take the functions of ifog.cells (abs, tanh, "
            "exp, maximum, ...)"
        )

    __abs__ = __pos__ = __round__ = __float__ = __int__ = __len__ = __iter__ = __rpow__ = _no_numbers
    __floordiv__ = __rfloordiv__ = __mod__ = __rmod__ = __array__ = _no_numbers

    def __array_ufunc__(self, function: Any, method: str, *inputs: Any, **options: Any) -> Symbol:
        known = {"add": "add", "subtract": "sub", "multiply": "mul", "divide": "div"}.get(function.__name__)
        if known is None or method != "__call__" or not all(isinstance(v, Symbol | Real) for v in inputs):
            self._no_numbers()
        return apply(known, *inputs)  # with a number of NumPy's

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):  # asked for by Python itself
            raise AttributeError(name)
        raise CellError(
            f"{locations.here()}: a value of a step has no .{name}; it has .size, and functions such as tanh(v) come "
            "from ifog.cells"
        )

    def __matmul__(self, other: object) -> Symbol:
        raise CellError(
            f"{locations.here()}: two values of a step have no matrix product; use affine(), or product(W, v) with "
            "W = matrix(name, rows, columns)"
        )

    def __getitem__(self, columns: object) -> Symbol:
        raise CellError(f"{locations.here()}: columns are taken with part(v, start, stop), not with brackets")

    def __bool__(self) -> bool:
        raise CellError(
            f"{locations.here()}: a symbol has no truth value while a cell is traced; "
            "branch on the cell's options, or use maximum, minimum and relu"
        )

    def __lt__(self, other: Value) -> bool:
        return bool(self)

    __le__ = __gt__ = __ge__ = __lt__

    def __eq__(self, other: object) -> bool:
        return bool(self)

    __hash__ = object.__hash__

    @classmethod
    def __torch_function__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> NoReturn:
        raise CellError(
            f"{locations.here()}: {getattr(function, '__name__', function)} of PyTorch was given a symbol, which has "
            "no numbers while a cell is traced; use the functions of ifog.cells, and numbers instead of tensors"
        )


@dataclass(frozen=True)
class Matrix:
    """A matrix parameter; `W.T` is its transpose."""

    name: str
    rows: int
    columns: int
    transposed: bool = False

    @property
    def T(self) -> Matrix:
        """The same parameter read as its transpose."""
        return Matrix(self.name, self.columns, self.rows, not self.transposed)

    def _only_product(self, other: object = None) -> NoReturn:
        raise CellError(
            f"{locations.here()}: {self.name} is a matrix, which product({self.name}, v) multiplies a value with; "
            "there is nothing else to do with one"
        )

    __matmul__ = __rmatmul__ = __add__ = __radd__ = __sub__ = __rsub__ = __neg__ = _only_product
    __mul__ = __rmul__ = __truediv__ = __rtruediv__ = __pow__ = __getitem__ = _only_product


def apply(name: str, *args: Value | Hashable) -> Symbol:
    """Records the operation called `name`; the arguments past its arity are its fixed attributes."""
    row = OPERATIONS[name]
    values, attributes = args[: row.arity], args[row.arity :]
    symbols = [symbol(v) for v in values]
    try:
        size = row.size(*(s.size for s in symbols), *attributes)
    except ShapeError as error:
        _refuse_sizes(name, symbols, error)
    simpler = _simplify(name, symbols)
    if simpler is not None:
        return simpler
    return Symbol(current().builder.add(name, tuple(s.id for s in symbols), size, attributes), size)


def symbol(value: object) -> Symbol:
    """`value` as a symbol; a number becomes a constant."""
    if isinstance(value, Symbol):
        return value
    if isinstance(value, Real):
        return Symbol(current().builder.add("constant", (), 1, (float(value),)), 1)
    raise CellError(
        f"{locations.here()}: expected a symbol or a number, got {type(value).__name__}; "
        "cells compute with the functions of ifog.cells, not with tensors or arrays"
    )


def _simplify(name: str, symbols: list[Symbol]) -> Symbol | None:
    """`v` where the operation is v + 0, v - 0, v * 1 or v / 1: adjoints are full of these."""
    if name not in ("add", "sub", "mul", "div"):
        return None
    neutral = 0.0 if name in ("add", "sub") else 1.0
    left, right = symbols
    nodes = current().builder.nodes

    def is_neutral(s: Symbol) -> bool:
        return nodes[s.id].op == "constant" and nodes[s.id].attributes[0] == neutral

    if is_neutral(right):
        return left
    return right if name in ("add", "mul") and is_neutral(left) else None


def _refuse_sizes(name: str, symbols: list[Symbol], error: ShapeError) -> NoReturn:
    spelled = [locations.spell(s, current().builder.nodes) for s in symbols]
    if len(symbols) == 1:
        raise CellError(f"{locations.here()}: {name} of {spelled[0]}: {error}") from None
    left, right = (s.size for s in symbols)
    raise CellError(
        f"{locations.here()}: {spelled[0]} has {left} columns, {spelled[1]} has {right}; {name} takes two of one size, "
        f"or one of size 1: give what makes the narrow one size={max(left, right)}, or project() it"
    ) from None
