"""The order of a step: stages, segments of one width, and sums that wait for their product."""

from __future__ import annotations

import pytest

from ifog.compiler.graph import Node
from ifog.compiler.scheduling import schedule

ATTRIBUTES = {"product": ("W", False), "row_sum": (1,)}


def nodes(*described: tuple) -> list[Node]:
    return [Node(op, args, size, ATTRIBUTES.get(op, ())) for op, args, size in described]


def test_elementwise_operations_of_one_width_share_a_segment_and_others_do_not() -> None:
    made = nodes(("input", (), 4), ("tanh", (0,), 4), ("neg", (1,), 4), ("row_sum", (2,), 1), ("neg", (3,), 1))
    (stage,) = schedule(made, [([], [1, 2, 3, 4])], {0}).stages
    assert stage.segments == ((1, 2), (3,), (4,))


def test_a_row_operation_stands_alone_and_what_does_not_need_it_keeps_together() -> None:
    made = nodes(("input", (), 4), ("row_sum", (0,), 1), ("tanh", (0,), 4), ("mul", (2, 1), 4), ("neg", (2,), 4))
    (stage,) = schedule(made, [([], [2, 1, 3, 4])], {0}).stages
    assert stage.segments == ((1,), (2, 3, 4))


def test_a_sum_that_waits_for_a_product_is_computed_beside_it() -> None:
    made = nodes(
        ("state", (), 4), ("input", (), 4), ("product", (0,), 4), ("neg", (1,), 4), ("tanh", (2,), 4),
        ("product", (4,), 4), ("add", (5, 3), 4),
    )  # fmt: skip
    found = schedule(made, [([2], [3, 4]), ([5], [6])], {0, 1})
    assert found.stages[0].segments == ((4,),)
    assert found.stages[1].segments == ((3, 6),), "the value of the input alone moves to where it is wanted"


def test_what_a_later_product_reads_is_not_put_off() -> None:
    made = nodes(("state", (), 4), ("input", (), 4), ("product", (0,), 4), ("neg", (1,), 4), ("product", (3,), 4))
    found = schedule(made, [([2], [3]), ([4], [])], {0, 1})
    assert found.position[3].stage < found.position[4].stage


def test_positions_and_last_uses_tell_when_a_value_is_needed() -> None:
    made = nodes(("input", (), 2), ("tanh", (0,), 2), ("row_sum", (1,), 1), ("mul", (1, 2), 2))
    found = schedule(made, [([], [1, 2, 3])], {0})
    assert found.last_use(1) == found.position[3] > found.position[2] > found.position[1]
    assert found.last_use(3) < found.position[1], "nothing reads it"
    assert found.uses[1] == [2, 3]


def test_a_stage_without_anything_is_left_out() -> None:
    made = nodes(("input", (), 2), ("tanh", (0,), 2))
    assert len(schedule(made, [([], []), ([], [1]), ([], [])], {0}).stages) == 1


def test_waiting_for_what_is_never_computed_is_an_error() -> None:
    made = nodes(("input", (), 2), ("tanh", (0,), 2), ("neg", (1,), 2))
    with pytest.raises(AssertionError, match="never computed"):
        schedule(made, [([], [2])], {0})
