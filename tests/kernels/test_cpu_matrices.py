"""States that are matrices: every way in which a cell may read and write one agrees with the reference."""

# pyright: basic
from __future__ import annotations

import pytest

from agreement import assert_agrees, case
from ifog.compiler.language import affine, maximum, repeat, row_sum, sigmoid, tanh, tile, weight
from ifog.compiler.precision import PRECISIONS, Precision
from ifog.compiler.symbols import apply
from ifog.compiler.tracing import Cell, cell
from ifog.kernels import available

pytestmark = pytest.mark.skipif(not available(), reason="the engine is not built")

LINES, COLUMNS = 40, 30
SIZES = {"c": lambda options: LINES * COLUMNS}


@cell(sizes={"c": lambda options: LINES * COLUMNS, "h": lambda options: LINES})
def more_lines_than_columns(x, h, c):
    v, k = affine("v", x, size=LINES), affine("k", x, size=COLUMNS)
    f = sigmoid(affine("f", x, h, size=1))
    c = f * c + repeat(v, COLUMNS) * tile(k, LINES)
    return tanh(row_sum(c * tile(k, LINES), groups=LINES)), c


@cell(sizes={"c": lambda options: LINES * COLUMNS, "h": lambda options: COLUMNS})
def a_sum_that_replaces_what_its_pass_reads(x, h, c):
    v = affine("v", x, size=LINES)
    c = 0.9 * c + 0.1 * repeat(tanh(v), COLUMNS) * tile(h, LINES)
    return tanh(apply("tile_sum", c * tile(h, LINES), LINES) / LINES + affine("h", x, size=COLUMNS)), c


@cell(sizes=SIZES)
def sums_and_maxima_of_all_kinds(x, c):
    v, k = affine("v", x, size=LINES), affine("k", x, size=COLUMNS)
    c = 0.5 * c + repeat(v, COLUMNS) * tile(k, LINES)
    most = apply("row_max", c, LINES)
    y = row_sum(c, groups=LINES) / COLUMNS + most + row_sum(c * c, groups=1) / (LINES * COLUMNS)
    return y + row_sum(apply("tile_sum", c * repeat(v, COLUMNS), LINES)), c


@cell(sizes=SIZES)
def vectors_as_large_as_the_matrix(x, c):
    k = affine("k", x, size=COLUMNS)
    c = sigmoid(weight("a", size=LINES * COLUMNS)) * c + weight("b", size=LINES * COLUMNS) * tile(k, LINES)
    return row_sum(c, groups=LINES), c


@cell(sizes=SIZES)
def two_shapes_of_one_width(x, c):
    k, v = affine("k", x, size=COLUMNS), affine("v", x, size=LINES)
    c = 0.5 * c + tile(k, LINES) * repeat(v, COLUMNS)
    return row_sum(c, groups=LINES) + row_sum(row_sum(c, groups=12), groups=1) / LINES, c


@cell(sizes=SIZES)
def a_matrix_that_is_multiplied(x, c):
    k = affine("k", x, size=COLUMNS)
    c = tanh(0.5 * c + tile(k, LINES) * repeat(affine("v", c, size=LINES), COLUMNS))
    return row_sum(c, groups=LINES), c


@cell(sizes=SIZES)
def what_is_repeated_given_out(x, c):
    k, v = affine("k", x, size=COLUMNS), affine("v", x, size=LINES)
    spread = repeat(v, COLUMNS)
    c = maximum(0.5 * c, spread + tile(k, LINES))
    return row_sum(c, groups=LINES), spread


@cell(sizes={"c": lambda options: LINES * COLUMNS, "n": lambda options: 1})
def one_number_for_all(x, c, n):
    i = affine("i", x, size=1)
    c = tanh(n) * c + tile(tile(i, COLUMNS), LINES)
    return row_sum(c, groups=LINES), c, n + row_sum(c, groups=1) / (LINES * COLUMNS)


CELLS = [
    more_lines_than_columns, a_sum_that_replaces_what_its_pass_reads, sums_and_maxima_of_all_kinds,
    vectors_as_large_as_the_matrix, two_shapes_of_one_width, a_matrix_that_is_multiplied, what_is_repeated_given_out,
    one_number_for_all,
]  # fmt: skip


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("made", CELLS, ids=lambda c: c.name)
def test_values_and_gradients_are_those_of_the_reference(made: Cell, precision: Precision) -> None:
    graph = made.trace(9, LINES)
    assert_agrees(case(graph, 4, 3), precision=precision)
    assert_agrees(case(graph, 3, 5, valid=True, reset=True), precision=precision)
    assert_agrees(case(graph, 3, 2, gates=True), precision=precision)
    assert_agrees(case(graph, 3, 2), precision=precision, train=False)
