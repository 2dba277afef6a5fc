"""How fast a run learns at each moment of it."""

from __future__ import annotations

import pytest

from ifog.training import TrainingConfig
from ifog.training.schedules import Clock, learning_rate, run_fraction
from ifog.training.timetable import Timetable


def test_the_rate_warms_up_then_falls_to_the_floor_along_a_cosine() -> None:
    config = TrainingConfig(steps=10, learning_rate=2.0, warmup=0.2, floor=0.1)
    rates = [learning_rate(config, fraction) for fraction in (0.0, 0.1, 0.2, 0.6, 1.0)]
    assert rates == pytest.approx([0.0, 1.0, 2.0, 2.0 * 0.55, 0.2])


def test_a_constant_rate_stays_after_the_warm_up() -> None:
    config = TrainingConfig(steps=10, learning_rate=2.0, warmup=0.5, schedule="constant")
    assert [learning_rate(config, fraction) for fraction in (0.25, 0.5, 1.0)] == [1.0, 2.0, 2.0]


def test_an_exponential_rate_is_held_then_falls_by_one_factor_in_equal_times() -> None:
    config = TrainingConfig(steps=10, learning_rate=2.0, warmup=0.0, hold=0.2, schedule="exponential", floor=0.0625)
    rates = [learning_rate(config, fraction) for fraction in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)]
    assert rates == pytest.approx([2.0, 2.0, 1.0, 0.5, 0.25, 0.125])


def test_a_cosine_can_be_held_too() -> None:
    config = TrainingConfig(steps=10, learning_rate=1.0, warmup=0.1, hold=0.5)
    assert [learning_rate(config, f) for f in (0.05, 0.5, 0.75, 1.0)] == pytest.approx([0.5, 1.0, 0.5, 0.0])


def test_without_warm_up_the_first_step_has_the_whole_rate() -> None:
    assert learning_rate(TrainingConfig(steps=10, learning_rate=0.1, warmup=0.0), 0.0) == 0.1


def test_a_run_by_steps_counts_steps_and_one_by_budget_seconds() -> None:
    assert run_fraction(TrainingConfig(steps=8), 2, 1e9) == 0.25
    assert run_fraction(TrainingConfig(budget=8.0), 10**9, 2.0) == 0.25
    assert run_fraction(TrainingConfig(budget=8.0), 0, 9.0) == 1.0


def test_the_clock_goes_on_where_it_stood() -> None:
    assert Clock(100.0).elapsed() >= 100.0
    assert Clock().elapsed() < Clock(100.0).elapsed()


@pytest.mark.parametrize(
    ("steps", "expected"), [(1000, list(range(100, 1001, 100))), (3, [1, 2, 3]), (25, [*range(2, 26, 2)])]
)
def test_a_run_by_steps_is_evaluated_about_ten_times(steps: int, expected: list[int]) -> None:
    timetable = Timetable(TrainingConfig(steps=steps))
    assert [step for step in range(1, steps + 1) if timetable.evaluation_due(step, 0.0)] == expected


def evaluations(timetable: Timetable, cost: float, until: float) -> list[float]:
    """When a run of 0.1 s steps is evaluated; an evaluation takes `cost` seconds."""
    times: list[float] = []
    elapsed, step = 0.0, 0
    while elapsed < until:
        elapsed += 0.1
        step += 1
        if timetable.evaluation_due(step, elapsed):
            times.append(elapsed)
            elapsed += cost
            timetable.evaluated(cost)
    return times


def test_a_run_by_budget_is_evaluated_at_each_tenth_of_it() -> None:
    times = evaluations(Timetable(TrainingConfig(budget=100.0)), 0.01, 100.0)
    assert times == pytest.approx([10, 20, 30, 40, 50, 60, 70, 80, 90], abs=0.2)


def test_costly_evaluations_are_left_out_of_a_budget() -> None:
    assert len(evaluations(Timetable(TrainingConfig(budget=100.0)), 2.0, 100.0)) == 2
    assert len(evaluations(Timetable(TrainingConfig(budget=100.0)), 40.0, 100.0)) == 1


def test_evaluations_can_be_asked_for_by_steps_within_a_budget() -> None:
    assert len(evaluations(Timetable(TrainingConfig(budget=10.0, evaluate_every=7)), 0.0, 10.0)) == 100 // 7


def test_a_timetable_that_was_kept_goes_on() -> None:
    one, two = (Timetable(TrainingConfig(budget=100.0)) for _ in range(2))
    assert one.evaluation_due(1, 31.0)
    one.evaluated(1.0)
    one.saved(31.0)
    two.load_state_dict(one.state_dict())
    assert not two.evaluation_due(2, 39.0)
    assert two.evaluation_due(3, 41.0)
    assert not two.save_due(3, 90.0)
    assert two.save_due(4, 91.0)


def test_saving_by_steps() -> None:
    timetable = Timetable(TrainingConfig(steps=100, save_every=4))
    assert [step for step in range(1, 10) if timetable.save_due(step, 0.0)] == [4, 8]
