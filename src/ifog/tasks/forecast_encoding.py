"""How series become scaled windows, and how forecasts become numbers of their units again.

Owns the scales, the season, the calendar and the order of the columns, all learned from the training part alone. Takes
tables, gives examples and the latest past of each series. Never knows a model.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from ifog.errors import ConfigError, DataError
from ifog.evaluation.forecasts import seasonal_error
from ifog.examples import Examples, Ragged, Table
from ifog.examples.dates import CALENDAR, calendar_features, following_dates, guess_season, step_of
from ifog.examples.windows import window_examples
from ifog.tasks.prepared import plain, restored

if TYPE_CHECKING:
    from ifog.tasks.forecasting_options import ForecastOptions

__all__ = ["ForecastEncoding", "Latest", "learn_encoding"]

Array = NDArray[Any]

_SUITABLE = {  # features of the calendar that can differ between the dates of a step
    "second": ("hour", "weekday", "year_day"),
    "hour": ("hour", "weekday", "year_day"),
    "day": ("weekday", "year_day"),
    "month": ("year_day",),
    "year": (),
}
LEAST_SPREAD = 1e-6  # below, a column counts as constant


class Latest(NamedTuple):
    """The end of a series, from which its future is forecast.

    Attributes:
        file: where it was read.
        place: file and line of its last row.
        past: scaled values (P, C).
        known: features of the past and of the steps to come (P + K, F).
        dates: of the steps to come (K,), where there are dates.
    """

    file: str
    place: tuple[str, int]
    past: Array
    known: Array
    dates: NDArray[np.datetime64] | None


class _Series(NamedTuple):
    file: str
    rows: slice
    values: Array  # targets and past columns, scaled
    known: Array
    begin: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class ForecastEncoding:
    """Columns, scales and window sizes of a forecaster (implements `ifog.tasks.kind.Encoding`).

    Attributes:
        targets: columns that are forecast.
        past: columns that are read too.
        known: columns known ahead.
        calendar: features of the dates.
        means: of targets, past and known in the training part.
        spreads: their standard deviations.
        centres: of each target in the training part, the mean of its scaled values: 0, or the frequency of 1.
        errors: of each target in the training part, the seasonal naive forecast's mean absolute error, scaled.
        season: steps.
        context: steps read; 0: whole series.
        horizon: steps forecast.
        samples: paths drawn.
        stride: steps between judged windows.
    """

    targets: tuple[str, ...]
    past: tuple[str, ...] = ()
    known: tuple[str, ...] = ()
    calendar: tuple[str, ...] = ()
    means: tuple[float, ...]
    spreads: tuple[float, ...]
    centres: tuple[float, ...]
    errors: tuple[float, ...]
    season: int
    context: int
    horizon: int
    samples: int = 100
    stride: int = 1

    @property
    def looks_back(self) -> int:
        """Steps before a forecast that a window holds."""
        return max(self.context, self.season) if self.context else 0

    @property
    def features(self) -> int:
        """Features known ahead (F)."""
        return len(self.known) + 2 * len(self.calendar)

    @property
    def notes(self) -> tuple[str, ...]:
        """Which columns are what, and the season that the baselines repeat."""
        shown = ", ".join(self.targets[:8]) + (", ..." if len(self.targets) > 8 else "")
        said = [f"Forecast: {shown}."]
        if self.known:
            said.append(f"Known ahead: {', '.join(self.known)}.")
        if self.context:
            said.append(f"The seasonal baseline repeats the last {self.season} steps.")
        return tuple(said)

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return plain(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ForecastEncoding:
        """The encoding that `to_dict` described.

        Raises:
            RunError: values that describe none.
        """
        return restored(cls, values)

    def encode(self, table: Table, *, labelled: bool = True) -> Examples:
        """Chunks of windows, or whole series.

        Args:
            table: of `read_series` (a row per step), or a column "series" of arrays (T, N) (a row per series).
            labelled: means nothing here: what is to be learned is the series itself.

        Raises:
            DataError: a column is missing, or no series is as long as a window.
        """
        if "series" in table.columns:
            rows = [self._scaled_piece(table, k) for k in range(len(table))]
            known = Ragged(np.zeros((sum(map(len, rows)), 0), np.float32), np.cumsum([0, *map(len, rows)]))
            return Examples({"values": Ragged.of(rows, np.float32, (len(self.targets),)), "known": known})
        series = self._series(table)
        pairs = [(one.values, one.known) for one in series]
        if not self.context:
            return Examples(
                {
                    "values": Ragged.of([v for v, _ in pairs], np.float32, (len(self.targets),)),
                    "known": Ragged(np.concatenate([k for _, k in pairs]), np.cumsum([0, *(len(k) for _, k in pairs)])),
                }
            )
        examples = window_examples(pairs, [one.begin for one in series], self.looks_back, self.horizon)
        if not len(examples):
            longest = max((len(values) for values, _ in pairs), default=0)
            raise DataError(
                f"{table.source}: the longest series has {longest} steps, a forecast of {self.horizon} needs "
                f"{self.looks_back} before it; give a longer series, or a smaller --context, --season or --horizon."
            )
        return examples

    def latest(self, table: Table) -> list[Latest]:
        """The end of each series: the last rows that have values, and what is known of the steps after them.

        Raises:
            DataError: a series is too short, or known columns end before the horizon.
        """
        found: list[Latest] = []
        for one in self._series(table):
            dates = _dates(table, one.rows)
            filled = np.flatnonzero(~np.isnan(one.values).any(axis=1))
            end = int(filled[-1]) + 1 if len(filled) else 0
            last = one.rows.start + max(end - 1, 0)
            if end < self.looks_back:
                raise DataError(
                    f"{table.where(last)}: {end} steps of values, but a forecast looks back on {self.looks_back}; "
                    "give a longer series."
                )
            to_come = None if dates is None else following_dates(dates[:end], self.horizon)
            ahead = one.known[end : end + self.horizon]
            if self.known and (len(ahead) < self.horizon or np.isnan(ahead).any()):
                raise DataError(
                    f"{table.where(last)}: {self.horizon} steps are forecast after this row, and "
                    f"{', '.join(map(repr, self.known))} must be known for them; add rows with those columns filled in "
                    "and the others empty."
                )
            if not self.known:
                ahead = np.zeros((self.horizon, 0), np.float32)
                if self.calendar and to_come is not None:
                    ahead = calendar_features(to_come, self.calendar)
            begin = end - self.looks_back
            known = np.concatenate([one.known[begin:end], ahead])
            found.append(Latest(one.file, table.places[last], one.values[begin:end], known, to_come))
        return found

    def unscaled(self, values: Array) -> Array:
        """Targets (..., N) in their own units."""
        count = len(self.targets)
        return values * np.array(self.spreads[:count]) + np.array(self.means[:count])

    def _scaled_piece(self, table: Table, row: int) -> Array:
        piece = np.asarray(table.columns["series"][row])
        if piece.ndim != 2 or piece.shape[1] != len(self.targets):
            raise DataError(f"{table.where(row)}: a series of shape {piece.shape}, expected (T, {len(self.targets)}).")
        return (piece - np.array(self.means)) / np.array(self.spreads)

    def _series(self, table: Table) -> list[_Series]:
        names = (*self.targets, *self.past, *self.known)
        values = np.stack([np.asarray(table.column(name), float) for name in names], axis=1)
        values = (values - np.array(self.means)) / np.array(self.spreads)
        read = len(self.targets) + len(self.past)
        found: list[_Series] = []
        for file, rows in _files(table):
            known = values[rows, read:]
            if self.calendar:
                dates = _dates(table, rows)
                if dates is None:
                    raise DataError(f"{file}: it has no dates, but the model was trained with some; add the column.")
                known = np.concatenate([known, calendar_features(dates, self.calendar)], axis=1)
            begin = int(_judged(table)[rows].argmax())
            found.append(_Series(file, rows, values[rows, :read], known.astype(np.float32), begin))
        return found


def learn_encoding(table: Table, options: ForecastOptions) -> ForecastEncoding:
    """The scales, season and columns of a training table; rows that are only looked back on teach nothing.

    Args:
        table: of `read_series`, or with a column "series".
        options: what was asked for.

    Raises:
        ConfigError: options that don't fit such series.
        DataError: a column is missing, or the series hold no two seasons.
    """
    shared: dict[str, Any] = {
        "horizon": options.horizon,
        "context": options.context,
        "samples": options.samples,
        "stride": options.stride or (1 if options.decoding == "direct" else options.horizon),
    }
    binary = options.head == "bernoulli"
    if "series" in table.columns:
        if options.context:
            raise ConfigError(
                f"{table.source} holds pieces, which are read whole; give context 0, horizon 1, decoding recursive, "
                "reference training, and for pitches head bernoulli."
            )
        values = np.concatenate([np.asarray(piece, float) for piece in table.columns["series"]])
        targets, past, known, calendar, season = tuple(f"{k}" for k in range(values.shape[1])), (), (), (), 1
    else:
        past, known = tuple(options.past), tuple(options.known)
        taken = {*past, *known, "date", "judged", "file"}
        targets = tuple(options.targets) or tuple(name for name in table.columns if name not in taken)
        names = (*targets, *past, *known)
        judged = _judged(table)
        values = np.stack([np.asarray(table.column(name), float)[judged] for name in names], axis=1)
        if not targets:
            raise ConfigError("options: past and known name every column; leave one to forecast.")
        calendar, season = _calendar(table, options)
    means, spreads = values.mean(axis=0), values.std(axis=0)
    count = len(targets)
    if binary:
        if not np.isin(values[:, :count], (0, 1)).all():
            raise DataError(
                f"{table.source}: head bernoulli forecasts 0 and 1, but there are other values; choose another."
            )
        means[:count], spreads[:count] = 0.0, 1.0
    spreads = np.where(spreads < LEAST_SPREAD, 1.0, spreads)
    scaled = (values[:, :count] - means[:count]) / spreads[:count]
    return ForecastEncoding(
        targets=targets,
        past=past,
        known=known,
        calendar=calendar,
        means=tuple(means.tolist()),
        spreads=tuple(spreads.tolist()),
        centres=tuple(scaled.mean(axis=0).tolist()),
        errors=tuple(seasonal_error(scaled, season).tolist()),
        season=season,
        **shared,
    )


def _calendar(table: Table, options: ForecastOptions) -> tuple[tuple[str, ...], int]:
    """The features made of the dates, and the season."""
    calendar, season = tuple(options.calendar), options.season
    if unknown := sorted(set(calendar) - {"auto", *CALENDAR}):
        raise ConfigError(f"options: calendar names {unknown[0]!r}; give some of {', '.join(CALENDAR)}, or auto.")
    dates = _dates(table, _files(table)[0][1])
    if dates is None:
        if calendar not in ((), ("auto",)):
            raise ConfigError(
                f"{table.source}: calendar is {', '.join(calendar)}, but there are no dates; name --date."
            )
        return (), season or 1
    step = step_of(dates)
    if "auto" in calendar:
        calendar = _SUITABLE[step[1]]
    return calendar, season or guess_season(step)


def _files(table: Table) -> list[tuple[str, slice]]:
    """The rows of each file, which stand together."""
    if "file" not in table.columns:
        return [(table.source, slice(0, len(table)))]
    files = cast("Sequence[str]", table.columns["file"])
    starts = [k for k in range(len(files)) if k == 0 or files[k] != files[k - 1]]
    return [(files[a], slice(a, b)) for a, b in zip(starts, [*starts[1:], len(files)], strict=True)]


def _judged(table: Table) -> NDArray[np.bool_]:
    """Which rows may be forecast or learned from; all, where the table doesn't say."""
    return np.asarray(table.columns.get("judged", [True] * len(table)), bool)


def _dates(table: Table, rows: slice) -> NDArray[np.datetime64] | None:
    if "date" not in table.columns:
        return None
    return np.asarray(table.columns["date"][rows], "datetime64[s]")
