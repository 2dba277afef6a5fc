"""The vocabulary that cells are written in.

Owns the functions that a cell calls: products with named matrices, elementwise functions, functions of a row. Each
takes symbols and gives a symbol; the operations themselves are rows of `operations`.
"""

from __future__ import annotations

from collections.abc import Mapping

from ifog.compiler import locations
from ifog.compiler.graph import Parameter
from ifog.compiler.initialisers import check_initialiser
from ifog.compiler.symbols import Matrix, Symbol, Value, apply, current, symbol
from ifog.errors import CellError

__all__ = [
    "abs", "affine", "concat", "cos", "elu", "erf", "exp", "gelu", "hard_sigmoid",
    "layer_norm", "leaky_relu", "log", "matrix", "maximum", "minimum", "named", "part", "product", "project",
    "relu", "repeat", "row_mean", "row_sum", "sigmoid", "sign", "silu", "sin", "softmax", "softplus", "sqrt",
    "square", "tanh", "tile", "weight",
]  # fmt: skip

Initial = float | str

# parameters and products


def matrix(name: str, rows: int, columns: int, init: Initial | None = None, *, orthogonal: bool = False) -> Matrix:
    """A matrix parameter of `rows` results and `columns` operands, called `name`.

    Calling it again with the same name and shape gives the same parameter: weights can be shared. An `orthogonal` one
    is square and keeps the length of what it multiplies, at the start and at every moment of training. It starts as
    "orthogonal" (any), "rotations" or "identity"; other matrices start "uniform" by default.
    """
    if orthogonal and rows != columns:
        raise CellError(f"{locations.here()}: {name} is {rows} x {columns}; only a square matrix can stay orthogonal")
    if init is None:
        init = "orthogonal" if orthogonal else "uniform"
    if orthogonal and init not in ("orthogonal", "rotations", "identity"):
        raise CellError(
            f"{locations.here()}: {name} can't stay orthogonal, for it starts {init!r}; "
            "give init='orthogonal', 'rotations' or 'identity'"
        )
    _declare(Parameter(name, (rows, columns), init, orthogonal=orthogonal))
    return Matrix(name, rows, columns)


def product(W: Matrix, v: Symbol) -> Symbol:
    """The matrix product `W v`: `W.rows` columns."""
    if not isinstance(W, Matrix):  # pyright: ignore[reportUnnecessaryIsInstance]: what a user wrote
        raise CellError(
            f"{locations.here()}: product takes a matrix and a symbol, got {type(W).__name__} first; "
            "make the matrix with matrix(name, rows, columns)"
        )
    v = symbol(v)
    if W.columns != v.size:
        nodes = current().builder.nodes
        raise CellError(
            f"{locations.here()}: {W.name}{'.T' if W.transposed else ''} takes {W.columns} columns, "
            f"{locations.spell(v, nodes)} has {v.size}; declare the matrix with "
            f"{'rows' if W.transposed else 'columns'}={v.size}"
        )
    return Symbol(current().builder.add("product", (v.id,), W.rows, ((W.name, W.transposed),)), W.rows)


def weight(name: str, size: int | None = None, init: Initial = 0.0) -> Symbol:
    """A vector parameter that acts elementwise (a peephole, a bias); `size=1` makes it a scalar for all columns."""
    size = current().hidden_size if size is None else size
    _declare(Parameter(name, (size,), init))
    return Symbol(current().builder.add("parameter", (), size, (name,)), size)


def affine(
    name: str,
    *operands: Symbol,
    bias: Initial | None = 0.0,
    size: int | None = None,
    init: Mapping[str, Initial] | Initial = "uniform",
    **labelled: Symbol,
) -> Symbol:
    """`W_x x + W_h h + ... + b`: one matrix for each operand and one bias.

    Args:
        name: Ends the parameters' names: `affine("i", x, h)` makes `W_xi`, `W_hi` and `b_i`.
        operands: Inputs or states by themselves; their own names label the matrices.
        bias: The bias's initial value (a number or an initialiser), or None for no bias.
        size: Columns of the result; the cell's hidden size by default.
        init: Initialiser of the matrices, one for all or one for each operand's label.
        labelled: Operands that are expressions: `affine("n", x=x, h=r * h)`.

    Raises:
        CellError: An operand without a label that is not an input or state, one label for two operands, no operand, or
            an initialiser for an operand that isn't there.
    """
    rows = current().hidden_size if size is None else size
    terms: dict[str, Symbol] = {}
    for label, operand in [*((_label(name, o), o) for o in operands), *labelled.items()]:
        if label in terms:
            raise CellError(
                f"{locations.here()}: affine({name!r}) has two operands called {label}; "
                "give one another name by keyword"
            )
        if not isinstance(operand, Symbol):  # pyright: ignore[reportUnnecessaryIsInstance]: what a user wrote
            raise CellError(
                f"{locations.here()}: affine({name!r}) has no option {label}, and {operand!r} is nothing to "
                "multiply by a matrix; its options are bias, size and init"
            )
        terms[label] = operand
    if not terms:
        raise CellError(
            f"{locations.here()}: affine({name!r}) has no operand; for a parameter alone use weight({name!r})"
        )
    if isinstance(init, Mapping) and (unknown := set(init) - set(terms)):
        raise CellError(
            f"{locations.here()}: affine({name!r}) has no operand called {', '.join(sorted(unknown))} to initialise; "
            f"it has {', '.join(terms)}"
        )
    if isinstance(bias, bool):  # as torch.nn says it
        bias = 0.0 if bias else None
    total: Symbol | None = None
    for label, operand in terms.items():
        start = init.get(label, "uniform") if isinstance(init, Mapping) else init
        term = product(matrix(f"W_{label}{name}", rows, operand.size, start), operand)
        total = term if total is None else total + term
    assert total is not None
    return total if bias is None else total + weight(f"b_{name}" if name else "b", rows, bias)


def project(name: str, v: Symbol, size: int) -> Symbol:
    """`v` itself where it has `size` columns, else `W v`: lets input meet state whatever their sizes."""
    return v if v.size == size else affine(name, bias=None, size=size, x=v)


def _label(name: str, operand: Symbol) -> str:
    operand = symbol(operand)
    if operand.label:
        return operand.label
    spelled = locations.spell(operand, current().builder.nodes)
    raise CellError(
        f"{locations.here()}: affine({name!r}) can't name the matrix of an expression; "
        f'label it by keyword: affine("{name}", h={spelled})'
    )


def _declare(parameter: Parameter) -> None:
    if not parameter.name.isidentifier():
        raise CellError(
            f"{locations.here()}: {parameter.name!r} can't name a parameter; use letters, digits and underscores"
        )
    if not all(isinstance(n, int) and n > 0 for n in parameter.shape):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise CellError(
            f"{locations.here()}: {parameter.name} would have the shape {parameter.shape}; "
            "sizes are whole numbers from 1 on"
        )
    check_initialiser(parameter.initial, parameter.shape, locations.here)
    known = current().builder.parameters.get(parameter.name)
    if known is not None and known.shape != parameter.shape:
        raise CellError(
            f"{locations.here()}: {parameter.name} has shape {known.shape} already and is asked for as "
            f"{parameter.shape}; give one of the two another name"
        )
    asked = parameter.orthogonal or parameter.initial not in ("uniform", 0.0)  # rather than left at a default
    if known is not None and asked and (known.initial, known.orthogonal) != (parameter.initial, parameter.orthogonal):
        raise CellError(
            f"{locations.here()}: {parameter.name} starts as {known.initial!r} already and is asked for as "
            f"{parameter.initial!r}{' and orthogonal' if parameter.orthogonal else ''}; say the same both times, or "
            "give one of the two another name"
        )
    current().builder.declare(known or parameter)


def named(name: str, v: Symbol) -> Symbol:
    """Calls `v` by `name` among the gates; local variables of the cell function have their names already."""
    v = symbol(v)
    current().names[name] = v.id
    return v


# elementwise functions: each takes a symbol (or number) and gives a symbol of the same size


def sigmoid(v: Value) -> Symbol:
    """`1 / (1 + exp(-v))`."""
    return apply("sigmoid", v)


def tanh(v: Value) -> Symbol:
    """The hyperbolic tangent."""
    return apply("tanh", v)


def relu(v: Value) -> Symbol:
    """`max(v, 0)`."""
    return apply("relu", v)


def softplus(v: Value) -> Symbol:
    """`log(1 + exp(v))`."""
    return apply("softplus", v)


def exp(v: Value) -> Symbol:
    """The exponential."""
    return apply("exp", v)


def log(v: Value) -> Symbol:
    """The natural logarithm."""
    return apply("log", v)


def sqrt(v: Value) -> Symbol:
    """The square root."""
    return apply("sqrt", v)


def square(v: Value) -> Symbol:
    """`v * v`."""
    return apply("square", v)


def erf(v: Value) -> Symbol:
    """The error function."""
    return apply("erf", v)


def sin(v: Value) -> Symbol:
    """The sine."""
    return apply("sin", v)


def cos(v: Value) -> Symbol:
    """The cosine."""
    return apply("cos", v)


def abs(v: Value) -> Symbol:
    """The absolute value."""
    return apply("abs", v)


def sign(v: Value) -> Symbol:
    """-1, 0 or 1; its derivative is 0."""
    return apply("sign", v)


def maximum(a: Value, b: Value) -> Symbol:
    """The larger of two; a tie shares the gradient."""
    return apply("maximum", a, b)


def minimum(a: Value, b: Value) -> Symbol:
    """The smaller of two; a tie shares the gradient."""
    return apply("minimum", a, b)


def silu(v: Symbol) -> Symbol:
    """`v * sigmoid(v)` (Elfwing et al. 2018)."""
    return v * sigmoid(v)


def gelu(v: Symbol) -> Symbol:
    """`v` times the normal distribution's probability below it (Hendrycks and Gimpel 2016)."""
    return 0.5 * v * (1.0 + erf(v * 0.5**0.5))


def hard_sigmoid(v: Symbol) -> Symbol:
    """Straight from 0 at -3 to 1 at 3, as in PyTorch."""
    return minimum(relu(v + 3.0), 6.0) / 6.0


def leaky_relu(v: Symbol, slope: float = 0.01) -> Symbol:
    """`v` above 0, `slope * v` below."""
    return relu(v) - slope * relu(-v)


def elu(v: Symbol) -> Symbol:
    """`v` above 0, `exp(v) - 1` below (Clevert et al. 2016)."""
    return relu(v) + exp(-relu(-v)) - 1.0


# functions of a whole row


def row_sum(v: Symbol, groups: int = 1) -> Symbol:
    """The sum over each of `groups` equal runs of columns: `groups` columns."""
    return apply("row_sum", v, groups)


def row_mean(v: Symbol) -> Symbol:
    """The mean over all columns: one column."""
    return row_sum(v) / v.size


def softmax(v: Symbol, groups: int = 1) -> Symbol:
    """Shares that sum to 1 over each of `groups` equal runs of columns."""
    shift = apply("row_max", v, groups)
    width = v.size // groups
    e = exp(v - (shift if groups == 1 else repeat(shift, width)))
    total = row_sum(e, groups)
    return e / (total if groups == 1 else repeat(total, width))


def layer_norm(name: str, v: Symbol, shift: bool = True, epsilon: float = 1e-5) -> Symbol:
    """Mean 0 and variance 1 over the columns, times a trained gain, plus a trained shift (Ba et al. 2016)."""
    centred = v - row_mean(v)
    normal = centred / sqrt(row_mean(square(centred)) + epsilon)
    scaled = weight(f"gain_{name}", v.size, 1.0) * normal
    return scaled + weight(f"shift_{name}", v.size) if shift else scaled


def repeat(v: Symbol, count: int) -> Symbol:
    """Each column `count` times, one after the other: a a b b."""
    return apply("repeat", v, count)


def tile(v: Symbol, count: int) -> Symbol:
    """The whole row `count` times: a b a b."""
    return apply("tile", v, count)


def part(v: Symbol, start: int, stop: int) -> Symbol:
    """Columns `start` to `stop` - 1."""
    return apply("part", v, start, stop)


def concat(a: Symbol, b: Symbol) -> Symbol:
    """The columns of `a`, then those of `b`."""
    return apply("concat", a, b)
