"""How far work has come: fractions of the outermost loop, told to who listens and to nobody else."""

from __future__ import annotations

import io

from rich.console import Console

from ifog.cli import waiting
from ifog.cli.waiting import Bar
from ifog.tracking import heard, tracked


def test_nobody_listening_costs_nothing_and_any_iterable_will_do() -> None:
    assert list(tracked(iter("ab"), "reading")) == ["a", "b"]


def test_a_loop_that_is_left_early_leaves_nothing_behind() -> None:
    told: list[tuple[str, float]] = []
    with heard(lambda name, done: told.append((name, done))):
        left = tracked(range(4), "first")
        next(left)
        for _ in tracked(range(2), "second"):
            pass
    assert told == [("first", 0.125), ("first", 0.25)], "it goes on within the share of the loop that was left"
    del left
    assert list(tracked(range(3), "third")) == [0, 1, 2]
    assert len(told) == 2


def test_more_items_than_were_expected_end_at_one() -> None:
    told: list[float] = []
    with heard(lambda name, done: told.append(done)):
        for _ in tracked(iter(range(3)), "reading", total=2):
            pass
    assert told == [0.5, 1.0, 1.0]


def test_the_bar_comes_where_work_is_long_and_goes_when_it_is_done(monkeypatch) -> None:
    monkeypatch.setattr(waiting, "PATIENCE", -1.0)
    written = io.StringIO()
    bar = Bar(Console(file=written, force_terminal=True, width=60))
    bar("reading", 0.5)
    assert bar.progress is not None
    bar("reading", 1.0)
    assert bar.progress is None
    assert "reading" in written.getvalue()
    assert "50 %" in written.getvalue()


def test_there_is_no_bar_but_in_a_terminal(monkeypatch) -> None:
    monkeypatch.setattr(waiting, "PATIENCE", -1.0)
    written = io.StringIO()
    Bar(Console(file=written))("reading", 0.5)
    assert written.getvalue() == ""
