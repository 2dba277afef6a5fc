"""Dates: what counts as one, the step between them, the features they give."""

from __future__ import annotations

import numpy as np
import pytest

from ifog.errors import DataError
from ifog.examples.dates import calendar_features, following_dates, guess_season, parse_date, step_of


def dates(*texts: str) -> np.ndarray:
    return np.array(texts, "datetime64[s]")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("1949-01", "1949-01-01T00:00:00"),
        ("2016/07/01 13:00", "2016-07-01T13:00:00"),
        (" 2016-07-01 13:00:59 ", "2016-07-01T13:00:59"),
        ("-3.5", None),
        ("1949", None),
        ("", None),
        ("1949-13", None),
        ("north-west", None),
    ],
)
def test_a_date_is_read_in_iso_order_and_nothing_else_is(text: str, found: str | None):
    assert parse_date(text) == (None if found is None else np.datetime64(found))


def test_a_step_is_named_by_the_largest_unit_that_measures_it():
    assert step_of(dates("2020-01-01T00", "2020-01-01T01", "2020-01-01T02")) == (1, "hour")
    assert step_of(dates("2020-01-01T00:00", "2020-01-01T00:15")) == (900, "second")
    assert step_of(dates("2020-01-05", "2020-01-12", "2020-01-19")) == (7, "day")
    assert step_of(dates("2020-01", "2020-04")) == (3, "month")
    assert step_of(dates("1700-01", "1701-01", "1702-01")) == (1, "year")
    assert step_of(dates("2020-01-30", "2020-01-31", "2020-02-05")) == (1, "day")  # the commonest; ties: the shortest
    with pytest.raises(DataError, match="1 dates"):
        step_of(dates("2020-01-01"))


def test_seasons_follow_from_steps():
    steps = [(1, "hour"), (6, "hour"), (1, "day"), (7, "day"), (1, "month"), (1, "year"), (1800, "second"), (2, "day")]
    assert [guess_season(step) for step in steps] == [24, 4, 7, 52, 12, 1, 48, 3]


def test_following_dates_go_on_at_the_step_of_the_series_across_the_ends_of_months_and_years():
    assert following_dates(dates("2019-10", "2019-11", "2019-12"), 2).tolist() == dates("2020-01", "2020-02").tolist()
    hours = following_dates(dates("2020-02-28T22", "2020-02-28T23"), 3)
    assert hours.tolist() == dates("2020-02-29T00", "2020-02-29T01", "2020-02-29T02").tolist()
    assert following_dates(dates("2000-01", "2001-01"), 1).tolist() == dates("2002-01").tolist()
    assert len(following_dates(dates("2000-01", "2001-01"), 0)) == 0


def test_calendar_features_agree_with_the_calendar():
    times = dates("2024-02-29T18:30", "2023-12-31T00:00", "2024-01-01T00:00")
    found = calendar_features(times, ["hour", "weekday", "month_day", "year_day"])
    for row, time in zip(found, times.tolist(), strict=True):
        turns = [
            (time.hour + time.minute / 60) / 24,
            time.weekday() / 7,
            (time.day - 1) / 31,
            (time.timetuple().tm_yday - 1) / 365.25,
        ]
        expected = [f(2 * np.pi * turn) for turn in turns for f in (np.sin, np.cos)]
        np.testing.assert_allclose(row, expected, atol=1e-6)
    assert calendar_features(times, []).shape == (3, 0)
