"""The table of operations: one row says all that any stage or backend needs to know of one.

Owns `OPERATIONS`. A row gives an operation's name, its rule of sizes, its form in PyTorch, its derivative written
with the same symbols that cells are written with, and how it prints. A new operation is one row here and, where
people should be able to call it, one line in `language`. Never knows of graphs, plans or backends.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from ifog.errors import ShapeError

if TYPE_CHECKING:
    from torch import Tensor

    from ifog.compiler.symbols import Symbol

__all__ = ["LEAVES", "OPERATIONS", "TIGHTEST", "Operation"]

TIGHTEST = 9  # the binding of a name, and of a function with its own brackets

# leaves and products are not rows: they read parameters and sequences, which the executor owns
LEAVES = frozenset({"input", "state", "parameter", "constant", "mask", "cotangent"})

SizeRule = Callable[..., int]
Derivative = Callable[..., "tuple[Symbol | None, ...]"]
# the derivatives of one argument, of two, of one and a count, of one and two bounds
_Unary = Callable[["Symbol", "Symbol", "Symbol"], "tuple[Symbol | None, ...]"]
_Binary = Callable[["Symbol", "Symbol", "Symbol", "Symbol"], "tuple[Symbol | None, ...]"]
_Counted = Callable[["Symbol", "Symbol", "Symbol", int], "tuple[Symbol | None, ...]"]
_Bounded = Callable[["Symbol", "Symbol", "Symbol", int, int], "tuple[Symbol | None, ...]"]


@dataclass(frozen=True)
class Operation:
    """One row.

    Attributes:
        name: As in the graph.
        arity: How many values it reads.
        size: `(sizes of the arguments..., *attributes) -> size of the result`.
        eager: `(tensors..., *attributes) -> tensor`; the last axis is the row.
        derivative: `(cotangent, result, arguments..., *attributes) -> cotangents of the arguments`.
        text: Format for people, of the arguments and then the attributes; `latex` for papers.
        binding: How tightly the printed form binds; arguments that bind less get parentheses.
    """

    name: str
    arity: int
    size: SizeRule
    eager: Callable[..., Tensor]
    derivative: Derivative
    text: str
    latex: str
    binding: int = TIGHTEST

    @property
    def elementwise(self) -> bool:
        """Whether each entry of the result depends on one entry of each argument."""
        return self.size in (_broadcast, _chosen)


def _broadcast(*sizes: int) -> int:
    widest = max(sizes)
    if any(s not in (1, widest) for s in sizes):
        raise ShapeError(" and ".join(map(str, sizes)) + " columns")
    return widest


def _chosen(condition: int, *sizes: int) -> int:
    if condition != 1:
        raise ShapeError(f"a condition of {condition} columns; give one column, which chooses for the whole row")
    return _broadcast(*sizes)


def _divided(size: int, count: int) -> int:
    if _count(count) and size % count:
        raise ShapeError(f"{size} columns can't be cut into {count} equal parts; give a count that divides {size}")
    return size // count


def _groups(size: int, groups: int) -> int:
    _divided(size, groups)
    return groups


def _copies(size: int, count: int) -> int:
    return size * _count(count)


def _count(count: int) -> int:
    if not isinstance(count, int) or count < 1:  # pyright: ignore[reportUnnecessaryIsInstance]: what a user wrote
        raise ShapeError(f"{count!r} is no count; give a whole number from 1 on")
    return count


def _part(size: int, start: int, stop: int) -> int:
    if not 0 <= start < stop <= size:
        raise ShapeError(f"it has {size} columns and {start}:{stop} are asked for; give 0 <= start < stop <= {size}")
    return stop - start


def _unary(
    name: str,
    eager: Callable[[Tensor], Tensor],
    derivative: _Unary,
    text: str = "",
    latex: str = "",
    binding: int = TIGHTEST,
) -> Operation:
    forms = (text or f"{name}({{}})", latex or rf"\mathrm{{{{{name}}}}}({{}})")
    return Operation(name, 1, _broadcast, eager, derivative, *forms, binding)


def _binary(
    name: str,
    eager: Callable[[Tensor, Tensor], Tensor],
    derivative: _Binary,
    text: str,
    latex: str,
    binding: int = TIGHTEST,
) -> Operation:
    return Operation(name, 2, _broadcast, eager, derivative, text, latex, binding)


def _counted(
    name: str, size: Callable[[int, int], int], eager: Callable[[Tensor, int], Tensor], derivative: _Counted
) -> Operation:
    return Operation(name, 1, size, eager, derivative, *_forms(name))


def _bounded(
    name: str,
    size: Callable[[int, int, int], int],
    eager: Callable[[Tensor, int, int], Tensor],
    derivative: _Bounded,
    forms: tuple[str, str],
) -> Operation:
    return Operation(name, 1, size, eager, derivative, *forms)


def _forms(name: str, places: int = 1) -> tuple[str, str]:
    """A function's name and its arguments, in text and in LaTeX."""
    arguments = ", ".join(["{}"] * places)
    shown = name.replace("_", r"\_")
    return f"{name}({arguments})", rf"\mathrm{{{{{shown}}}}}({arguments})"


def _step(a: Tensor) -> Tensor:
    return (a > 0).to(a.dtype)


def _share(a: Tensor, b: Tensor) -> Tensor:
    """1 where a > b, 0 where a < b, and half at a tie, as PyTorch shares the gradient of `maximum`."""
    return ((a > b).to(a.dtype) + (a >= b).to(a.dtype)) * 0.5


def _select(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    return torch.where(a != 0, b, c)


def _selected(d: Symbol, y: Symbol, a: Symbol, b: Symbol, c: Symbol) -> tuple[Symbol | None, ...]:
    return None, _call("select", a, d, 0.0), _call("select", a, 0.0, d)


def _together(a: int, b: int) -> int:
    return a + b


def _parts(d: Symbol, y: Symbol, a: Symbol, b: Symbol) -> tuple[Symbol, Symbol]:
    return _call("part", d, 0, a.size), _call("part", d, a.size, y.size)


def _concat(a: Tensor, b: Tensor) -> Tensor:
    """Side by side, where one may lack the batch or time that the other has: a parameter beside a state."""
    rows = (a if a.dim() > b.dim() else b).shape[:-1]
    return torch.cat((a.expand(*rows, -1), b.expand(*rows, -1)), -1)


def _cut(a: Tensor, parts: int) -> Tensor:
    """`(..., n)` to `(..., parts, n / parts)`."""
    return a.reshape(*a.shape[:-1], parts, a.shape[-1] // parts)


def _same(size: int) -> int:
    return size


def _total(a: Tensor) -> Tensor:
    return a.reshape(-1, a.shape[-1]).sum(0)


def _passed_on(d: Symbol, y: Symbol, a: Symbol) -> tuple[Symbol]:
    return (d,)


def _nothing(d: Symbol, y: Symbol, *_: Any) -> tuple[None, ...]:
    return (None, None)


def _call(name: str, *args: Any) -> Symbol:
    """An operation by name; imported late because `symbols` is built on this table."""
    from ifog.compiler.symbols import apply

    return apply(name, *args)


_ROWS = [
    # arithmetic
    _binary("add", torch.add, lambda d, y, a, b: (d, d), "{} + {}", "{} + {}", 1),
    _binary("sub", torch.sub, lambda d, y, a, b: (d, -d), "{} - {}", "{} - {}", 1),
    _binary("mul", torch.mul, lambda d, y, a, b: (d * b, d * a), "{} * {}", r"{} \odot {}", 2),
    _binary("div", torch.div, lambda d, y, a, b: (d / b, -(d * y / b)), "{} / {}", "{} / {}", 2),
    _unary("neg", torch.neg, lambda d, y, a: (-d,), "-{}", "-{}", 2),
    _unary("square", torch.square, lambda d, y, a: (2.0 * (d * a),), "{}²", "{}^2", 8),
    _unary("sqrt", torch.sqrt, lambda d, y, a: (0.5 * (d / y),), "√({})", r"\sqrt{{{}}}"),
    _unary("exp", torch.exp, lambda d, y, a: (d * y,), latex=r"\exp({})"),
    _unary("log", torch.log, lambda d, y, a: (d / a,), latex=r"\log({})"),
    # squashing
    _unary("sigmoid", torch.sigmoid, lambda d, y, a: (_call("sigmoid_back", d, y),), "σ({})", r"\sigma({})"),
    _unary("tanh", torch.tanh, lambda d, y, a: (_call("tanh_back", d, y),), latex=r"\tanh({})"),
    _unary("relu", torch.relu, lambda d, y, a: (d * _call("step", y),)),
    _unary("softplus", torch.nn.functional.softplus, lambda d, y, a: (d * _call("sigmoid", a),)),
    _unary("erf", torch.erf, lambda d, y, a: (2.0 / math.sqrt(math.pi) * (d * _call("exp", -_call("square", a))),)),
    _unary("sin", torch.sin, lambda d, y, a: (d * _call("cos", a),), latex=r"\sin({})"),
    _unary("cos", torch.cos, lambda d, y, a: (-(d * _call("sin", a)),), latex=r"\cos({})"),
    # the two derivatives that nearly every backward program is made of, as one operation each: d y (1 - y), d (1 - y²)
    _binary(
        "sigmoid_back", torch.ops.aten.sigmoid_backward.default,
        lambda e, z, d, y: (_call("sigmoid_back", e, y), e * d * (1.0 - 2.0 * y)), *_forms("sigmoid_back", 2),
    ),
    _binary(
        "tanh_back", torch.ops.aten.tanh_backward.default,
        lambda e, z, d, y: (_call("tanh_back", e, y), -2.0 * (e * d * y)), *_forms("tanh_back", 2),
    ),
    # comparisons
    _unary("abs", torch.abs, lambda d, y, a: (d * _call("sign", a),), "|{}|", r"\lvert {} \rvert"),
    _unary("sign", torch.sign, _nothing),
    _unary("step", _step, _nothing),
    _binary("share", _share, _nothing, "[{} > {}]", "[{} > {}]"),
    _binary(
        "maximum", torch.maximum, lambda d, y, a, b: (d * _call("share", a, b), d * _call("share", b, a)),
        "max({}, {})", r"\max({}, {})",
    ),
    _binary(
        "minimum", torch.minimum, lambda d, y, a, b: (d * _call("share", b, a), d * _call("share", a, b)),
        "min({}, {})", r"\min({}, {})",
    ),
    # the condition is one column for the whole row: which sequences have ended, which start anew
    Operation("select", 3, _chosen, _select, _selected, *_forms("select", 3)),
    # rows: `groups` equal runs of columns, or `count` copies
    _counted(
        "row_sum", _groups, lambda a, groups: _cut(a, groups).sum(-1),
        lambda d, y, a, groups: (_call("repeat", d, a.size // groups),),
    ),
    # the shift that keeps softmax from overflowing: its gradient cancels, so it has none
    _counted("row_max", _groups, lambda a, groups: _cut(a.detach(), groups).amax(-1), _nothing),
    _counted(
        "repeat", _copies, lambda a, count: a.repeat_interleave(count, -1),
        lambda d, y, a, count: (_call("row_sum", d, a.size),),
    ),
    _counted("tile", _copies, lambda a, count: a.tile((count,)), lambda d, y, a, count: (_call("tile_sum", d, count),)),
    _counted(
        "tile_sum", _divided, lambda a, count: _cut(a, count).sum(-2),
        lambda d, y, a, count: (_call("tile", d, count),),
    ),
    _bounded(
        "part", _part, lambda a, start, stop: a[..., start:stop],
        lambda d, y, a, start, stop: (_call("pad", d, start, a.size - stop),), ("{}[{}:{}]", "{}_{{[{}:{}]}}"),
    ),
    _bounded(
        "pad", lambda size, before, after: before + size + after,
        lambda a, before, after: torch.nn.functional.pad(a, (before, after)),
        lambda d, y, a, before, after: (_call("part", d, before, before + a.size),), _forms("pad"),
    ),
    Operation("concat", 2, _together, _concat, _parts, *_forms("concat", 2)),
    # a vector parameter acts on every row of every step: its gradient is the total over both
    Operation("total", 1, _same, _total, _passed_on, *_forms("total")),
]  # fmt: skip

OPERATIONS: dict[str, Operation] = {row.name: row for row in _ROWS}
