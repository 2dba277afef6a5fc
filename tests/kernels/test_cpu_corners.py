"""Cells at the corners of the compiler's decisions, each once wrong: what random cells found, made small."""

from __future__ import annotations

import pytest

from agreement import assert_agrees, case
from ifog.cells import abs, affine, cell, concat, erf, matrix, product, sigmoid, sign, tanh
from ifog.compiler.language import relu
from ifog.compiler.precision import PRECISIONS, Precision
from ifog.kernels import available

pytestmark = pytest.mark.skipif(not available(), reason="the engine is not built")


@cell
def input_inside_of_a_product(x, h):
    return tanh(affine("h", p=x - h))


@cell
def input_inside_of_two(x, h):
    return tanh(affine("u", p=x - h, size=h.size)) * sigmoid(affine("v", p=x * 2.0 - 1.0, size=h.size))


@cell
def product_of_a_product_of_the_input(x, h):
    M = matrix("M", 4, x.size)
    u = product(M, x)
    return concat(u, h), tanh(product(matrix("V", h.size, 4), u))


@cell
def there_and_back(x, h):
    M = matrix("M", h.size, h.size)
    return tanh(product(M.T, product(M, h)) + affine("x", x))


@cell
def one_value_for_two_states(x, h, c, m):
    v = tanh(affine("v", x, m))
    return v, v, h


@cell
def states_that_change_places(x, h, c):
    return c, tanh(h + affine("x", x))


@cell
def states_that_change_places_and_nothing_else(x, h, c):
    return c, h


@cell
def nothing_at_all(x, h):
    return h


@cell
def no_state_is_read(x, h):
    return tanh(affine("h", x))


@cell
def the_input_is_the_state(x, h):
    return x * 1.0


@cell
def an_operand_that_is_kept(x, h):
    w = erf(sign(affine("a", h, size=3) + 0.37) + 0.37)  # through which no gradient goes
    u = product(matrix("M", 3, 3), w) + 0.37
    v = relu(u) - 0.1 * relu(-u)
    return tanh(affine("s", p=v, size=h.size) + affine("x", x))


@cell
def a_derivative_that_is_zero(x, h):
    return sigmoid(sign(x + 0.3)), tanh(affine("s", p=abs(x + 0.3), size=h.size))


@cell
def one_column_for_many(x, h):
    b = sigmoid(affine("b", x, size=1))
    return tanh(b * h + affine("x", x) * affine("g", h, size=1))


CELLS = [
    input_inside_of_a_product, input_inside_of_two, product_of_a_product_of_the_input, there_and_back,
    one_value_for_two_states, states_that_change_places, states_that_change_places_and_nothing_else, nothing_at_all,
    no_state_is_read, the_input_is_the_state, an_operand_that_is_kept, a_derivative_that_is_zero, one_column_for_many,
]  # fmt: skip


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("cell", CELLS, ids=lambda c: c.name)
def test_the_engine_agrees_with_the_reference_at_corners(cell, precision: Precision) -> None:
    for steps, batch in [(1, 1), (1, 2), (3, 2), (3, 70)]:
        for options in ({}, {"valid": True}, {"reset": True}, {"valid": True, "reset": True, "gates": True}):
            it = case(cell.trace(3, 3), steps, batch, **options)
            assert_agrees(it, (steps, batch, options), precision=precision)
            assert_agrees(it, (steps, batch, options), precision=precision, train=False)
