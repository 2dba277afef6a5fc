"""Passes over rows that are matrices: what is a view, what is summed on the way, what is computed alone."""

from __future__ import annotations

from ifog import cells
from ifog.compiler.gradients import differentiate
from ifog.compiler.graph import Node
from ifog.compiler.loops import Options, lower
from ifog.compiler.passes import Pass, Passes, passes
from ifog.compiler.planning import plan
from ifog.compiler.scheduling import schedule


def nodes(*described: tuple) -> list[Node]:
    return [Node(op, args, size, attributes) for op, args, size, *attributes in described]


# 0: 40 lines' numbers, 1: a line of 30, 2: a matrix
GIVEN = [("input", (), 40), ("input", (), 30), ("state", (), 1200)]


def shared(*described: tuple, read_by_products: tuple[int, ...] = ()) -> Passes:
    made = nodes(*GIVEN, *described)
    return passes(made, range(len(GIVEN), len(made)), read_by_products)


def test_what_is_spread_over_a_matrix_is_a_view_and_sums_of_it_are_left_by_its_pass() -> None:
    found = shared(
        ("repeat", (0,), 1200, 30), ("tile", (1,), 1200, 40), ("mul", (3, 4), 1200), ("add", (2, 5), 1200),
        ("row_sum", (6,), 40, 40), ("tile_sum", (6,), 30, 40), ("row_sum", (6,), 1, 1), ("tanh", (7,), 40),
    )  # fmt: skip
    assert found.views == {3, 4}
    assert found.reductions == {7, 8, 9}
    assert {n: found.of[n] for n in (3, 6, 7, 9)} == dict.fromkeys((3, 6, 7, 9), Pass(1200, 40))
    assert found.of[10] == Pass(40)


def test_the_more_common_shape_of_a_width_counts_and_others_are_row_operations() -> None:
    found = shared(
        ("repeat", (0,), 1200, 30), ("mul", (2, 3), 1200), ("row_sum", (4,), 40, 40), ("row_sum", (4,), 12, 12)
    )
    assert found.reductions == {5}
    assert 6 not in found.of


def test_what_a_row_operation_reads_is_no_view() -> None:
    found = shared(("repeat", (0,), 1200, 30), ("mul", (2, 3), 1200), ("part", (3,), 10, 0, 10))
    assert not found.views
    assert 3 not in found.of
    assert found.of[4] == Pass(1200, 40)


def test_a_matrix_that_a_product_reads_stays_a_row() -> None:
    found = shared(("repeat", (0,), 1200, 30), ("mul", (2, 3), 1200), read_by_products=(4,))
    assert found.of == {4: Pass(1200)}


def test_short_rows_stay_rows() -> None:
    made = nodes(("input", (), 4), ("state", (), 16), ("repeat", (0,), 16, 4), ("mul", (1, 2), 16))
    assert passes(made, (2, 3), ()).of == {3: Pass(16)}


def test_a_pass_over_a_matrix_waits_for_short_rows_and_ends_before_what_reads_its_sums() -> None:
    made = nodes(
        *GIVEN, ("tile", (1,), 1200, 40), ("mul", (2, 3), 1200), ("row_sum", (4,), 40, 40), ("tanh", (5,), 40),
        ("repeat", (6,), 1200, 30), ("mul", (7, 3), 1200), ("add", (2, 8), 1200), ("row_sum", (9,), 40, 40),
    )  # fmt: skip
    (stage,) = schedule(made, [([], range(3, 11))], {0, 1, 2}).stages
    assert stage.segments == ((3, 4, 5), (6,), (7, 8, 9, 10))


def test_what_only_a_later_pass_reads_is_computed_there() -> None:
    made = nodes(
        *GIVEN, ("tile", (1,), 1200, 40), ("exp", (2,), 1200), ("mul", (2, 3), 1200), ("row_sum", (5,), 40, 40),
        ("repeat", (6,), 1200, 30), ("mul", (7, 4), 1200),
    )  # fmt: skip
    (stage,) = schedule(made, [([], range(3, 9))], {0, 1, 2}).stages
    assert stage.segments == ((3, 5, 6), (4, 7, 8))


def test_matrix_memories_walk_their_matrix_as_often_as_their_equations_ask() -> None:
    def walks(name: str, options: Options) -> tuple[int, int]:
        loops = lower(plan(cells.get(name).trace(20, 40), fused=True), options)
        assert loops.backward is not None
        return _matrices(loops.forward.words), _matrices(loops.backward.words)

    assert walks("matrix_lstm", Options(train=True)) == (1, 1)
    assert walks("delta_net", Options(train=True)) == (2, 2)


def test_nothing_as_large_as_a_matrix_is_kept_for_the_backward_pass_but_the_state() -> None:
    for name in ("matrix_lstm", "delta_net"):
        gradients = differentiate(plan(cells.get(name).trace(20, 40), fused=True))
        assert max(gradients.nodes[n].size for n in gradients.saved) <= 40


def _matrices(words: tuple[int, ...]) -> int:
    """How many segments have several lines, as `Program::decode` in csrc/ifog/program.cpp reads them."""
    at = 2 + 3 * words[1]
    at += 1 + 2 * words[at]
    stages, at = words[at], at + 1
    found = 0
    for _ in range(stages):
        products, at = words[at], at + 1
        for _ in range(products):
            at += 3 + 3 * words[at + 2]
        segments, at = words[at], at + 1
        for _ in range(segments):
            found += words[at + 1] > 1
            at += 3 + 8 * words[at + 2]
    return found
