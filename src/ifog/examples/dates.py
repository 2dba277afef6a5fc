"""Dates of a series: reading them, the step between them, the features they give, and the dates to come.

Owns what counts as a date, how a step is named and how many of them make a season. Takes texts and numpy dates, gives
numpy dates and features. Never reads a file.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ifog.errors import DataError

__all__ = ["CALENDAR", "calendar_features", "following_dates", "guess_season", "parse_date", "step_of"]

Dates = NDArray[np.datetime64]

# feature: how many of its unit make one turn
CALENDAR: dict[str, float] = {"hour": 24.0, "weekday": 7.0, "month_day": 31.0, "year_day": 365.25}
_SEASONS = {"hour": 24, "day": 7, "month": 12, "year": 1}
_SECONDS = {"day": 86_400, "hour": 3600}


def parse_date(text: str) -> np.datetime64 | None:
    """The date that a text writes in ISO order, or None.

    Args:
        text: such as "1949-01", "2016-07-01", "2016/07/01 13:00:00".

    Examples:
        >>> parse_date("2016/07/01 13:00")
        np.datetime64('2016-07-01T13:00:00')
        >>> parse_date("17") is None
        True
    """
    text = text.strip().replace("/", "-")
    if "-" not in text[1:]:
        return None
    try:
        return np.datetime64(text, "s")
    except ValueError:
        return None


def step_of(dates: Dates) -> tuple[int, str]:
    """The step from date to date, as a count of a unit: the commonest difference.

    Args:
        dates: (T,) ascending.

    Returns:
        (1, "month"), (15, "second") and so on; units are "second", "hour", "day", "month" and "year".

    Raises:
        DataError: fewer than two dates.

    Examples:
        >>> step_of(np.array(["1949-01", "1949-02", "1949-03"], "datetime64[s]"))
        (1, 'month')
    """
    if len(dates) < 2:
        raise DataError(f"{len(dates)} dates tell no step; give a series of at least two.")
    months = dates.astype("datetime64[M]")
    if (dates == months.astype(dates.dtype)).all():
        count = _commonest(np.diff(months).astype(np.int64))
        return (count // 12, "year") if count % 12 == 0 else (count, "month")
    seconds = _commonest(np.diff(dates).astype("timedelta64[s]").astype(np.int64))
    for unit, length in _SECONDS.items():
        if seconds % length == 0:
            return seconds // length, unit
    return seconds, "second"


def _commonest(differences: NDArray[np.int64]) -> int:
    values, counts = np.unique(differences, return_counts=True)
    return int(values[counts.argmax()])


def guess_season(step: tuple[int, str]) -> int:
    """Steps of the shortest season that such a step has: a day of hours, a week of days, a year of months; else 1.

    Examples:
        >>> guess_season((1, "hour")), guess_season((900, "second")), guess_season((3, "month"))
        (24, 96, 4)
    """
    count, unit = step
    if unit == "second":
        return max(1, 86_400 // count)
    if (count, unit) == (7, "day"):
        return 52
    return max(1, _SEASONS[unit] // count)


def following_dates(dates: Dates, steps: int) -> Dates:
    """The next dates (steps,), at the series' own step."""
    count, unit = step_of(dates)
    if unit in ("month", "year"):
        months = count * (12 if unit == "year" else 1)
        first = dates[-1].astype("datetime64[M]")
        return (first + months * np.arange(1, steps + 1)).astype(dates.dtype)
    seconds = count * _SECONDS.get(unit, 1)
    return dates[-1] + (seconds * np.arange(1, steps + 1)).astype("timedelta64[s]")


def calendar_features(dates: Dates, names: Sequence[str]) -> NDArray[np.float32]:
    """Sine and cosine of where each date lies in the turns named (T, 2 * names): midnight is near to 23 o'clock.

    Args:
        dates: (T,).
        names: of `CALENDAR`.

    Examples:
        >>> calendar_features(np.array(["2020-01-01T06"], "datetime64[s]"), ["hour"]).round(3).tolist()
        [[1.0, 0.0]]
    """
    seconds = dates.astype("datetime64[s]")
    days = seconds.astype("datetime64[D]")
    position: dict[str, NDArray[Any]] = {
        "hour": (seconds - days).astype(np.int64) / 3600,
        "weekday": (days.astype(np.int64) + 3) % 7,  # 1970-01-01 was a Thursday
        "month_day": (days - days.astype("datetime64[M]")).astype(np.int64),
        "year_day": (days - days.astype("datetime64[Y]")).astype(np.int64),
    }
    turns = [2 * np.pi * position[name] / CALENDAR[name] for name in names]
    columns = [function(turn) for turn in turns for function in (np.sin, np.cos)]
    return np.stack(columns, axis=1).astype(np.float32) if columns else np.zeros((len(dates), 0), np.float32)
