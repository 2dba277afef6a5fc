"""Series from files: CSV and NPZ tables of numbers.

Owns what counts as a number, as missing and as a part of a file. Takes paths, gives a `Table` with one row per time
step. Never scales a value and never decides what is to be learned.
"""

from __future__ import annotations

import csv
import io
import math
import os.path
import re
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from ifog.errors import DataError
from ifog.examples.dates import parse_date
from ifog.examples.plain import excerpt, text_of
from ifog.examples.tables import Table

__all__ = ["SeriesTable", "interpolated", "joined", "read_series", "split_part"]

Missing = Literal["error", "interpolate"]

_MISSING = {"", "na", "nan", "null", "none", "?"}
_UNITS = ("year", "month", "day", "hour", "minute", "second")


class SeriesTable(Table):
    """Series with a row per time step; those of a file stand together, in the order of time.

    Its columns are numbers, and "judged", "file" and perhaps "date", as `read_series` gives them.
    """

    def split(self, fraction: float, seed: int) -> tuple[Table, Table]:
        """The earlier part of each series and the later one, which also holds the earlier to look back on.

        Args:
            fraction: share of the later part, at least one row of each series.
            seed: means nothing here, as time decides.

        Raises:
            DataError: a series of fewer than two judged rows.
        """
        files, judged = np.asarray(self.columns["file"]), np.asarray(self.columns["judged"], bool)
        later = np.zeros(len(self), bool)
        for file in dict.fromkeys(files.tolist()):
            rows = np.flatnonzero((files == file) & judged)
            if len(rows) < 2:
                raise DataError(f"{file}: {len(rows)} steps are too few to hold some back; give a longer series.")
            later[rows[-min(max(1, round(len(rows) * fraction)), len(rows) - 1) :]] = True
        held_out = self.with_columns({"judged": cast("Any", later)})
        return self.take(np.flatnonzero(~later)), SeriesTable(held_out.columns, held_out.places)

    def take(self, rows: Iterable[int]) -> Table:
        """Some rows, in the order of time."""
        chosen = np.sort(np.fromiter(rows, np.int64))
        columns = {name: cast("Any", np.asarray(values)[chosen]) for name, values in self.columns.items()}
        return SeriesTable(columns, [self.places[int(row)] for row in chosen])


def joined(tables: Sequence[Table]) -> Table:
    """The series of several files in one table, one file after the other.

    Raises:
        DataError: files of different columns.
    """
    first = tables[0]
    for table in tables[1:]:
        if set(table.columns) != set(first.columns):
            raise DataError(
                f"{table.source} has the columns {', '.join(table.columns)}, {first.source} has "
                f"{', '.join(first.columns)}; give files of the same columns."
            )
    if len(tables) == 1:
        return first
    columns = {name: [value for table in tables for value in table.columns[name]] for name in first.columns}
    return type(first)(columns, [place for table in tables for place in table.places])


def split_part(path: str) -> tuple[Path, str | None]:
    """A file's name and the part of it that is asked for, if any.

    Args:
        path: "FILE", "FILE[FROM:TO]" with rows counted from 0 or dates, or "FILE[NAME]".

    Examples:
        >>> split_part("loads.csv[8640:11520]")[1], split_part("loads.csv")[1]
        ('8640:11520', None)
    """
    found = re.fullmatch(r"(.+)\[([^\[\]]*)\]", path)
    if found is None or os.path.exists(path):
        return Path(path), None
    return Path(found[1]), found[2]


def read_series(
    path: str,
    *,
    columns: Sequence[str] | None = None,
    date: Sequence[str] = (),
    missing: Missing = "error",
    open_end: Sequence[str] = (),
) -> Table:
    """One series of numbers, a row per time step.

    Args:
        path: a CSV file (its separator may be a comma, semicolon or tab, and its first line names the columns unless it
            holds numbers alone), or an NPZ file of arrays of one length. `FILE[FROM:TO]` takes a part: rows from 0, or
            dates; TO isn't part of it. Earlier rows are kept as what a forecast may look back on.
        columns: those that are read; None: every one that begins with a number.
        date: the column of dates, or several that hold year, month, day, hour ... as numbers; (): the first column that
            begins with a date, if there is one.
        missing: "error", or "interpolate" on the straight line between the neighbours; how many is said by a warning.
        open_end: columns that may end before the others do: there they are NaN, as what is to be forecast.

    Returns:
        The columns, arrays (T,) of float64; "date" (T,) of datetime64 where there are dates; "judged" (T,) of bool,
        False before FROM; "file", the path as given.

    Raises:
        DataError: a row of another width, a text where a number should be, a missing value, dates that go back, a part
            that is empty; says file and line.
    """
    file, part = split_part(path)
    names, rows, lines = _npz_rows(file) if file.suffix == ".npz" else _csv_rows(file)
    chosen, dated = _choose(file, names, rows, lines, columns, date)
    places = {name: k for k, name in enumerate(names)}
    series: dict[str, NDArray[Any]] = {}
    for name in chosen:
        values = _numbers(file, name, [row[places[name]] for row in rows], lines)
        count = _filled(values) if name in open_end else len(values)
        values[:count] = interpolated(values[:count], f"{file}: column {name!r}", lines, missing)
        series[name] = values
    dates = _dates(file, [[row[places[name]] for name in dated] for row in rows], lines) if dated else None
    start, end = _bounds(file, part, len(rows), dates)
    return _table(path, file, series, dates, lines, start, end)


def _table(
    path: str,
    file: Path,
    series: Mapping[str, NDArray[Any]],
    dates: NDArray[np.datetime64] | None,
    lines: Sequence[int],
    start: int,
    end: int,
) -> Table:
    for name in ("date", "judged", "file"):
        if name in series:
            raise DataError(f"{file}: a column of numbers may not be called {name!r}; rename it.")
    columns: dict[str, Sequence[Any]] = {name: cast("Any", values[:end]) for name, values in series.items()}
    if dates is not None:
        columns["date"] = cast("Any", dates[:end])
    columns["judged"] = cast("Any", np.arange(end) >= start)
    columns["file"] = [path] * end
    return SeriesTable(columns, [(str(file), line) for line in lines[:end]])


def interpolated(values: NDArray[Any], what: str, lines: Sequence[int], missing: Missing) -> NDArray[Any]:
    """The values (T,) with those missing (NaN) filled in, or an error.

    Args:
        values: numbers, NaN where one is missing; at an end the nearest value is repeated.
        what: names them for the message.
        lines: where each stands.
        missing: "error" or "interpolate".

    Raises:
        DataError: a value is missing and none may be; or all are.

    Examples:
        >>> import warnings
        >>> with warnings.catch_warnings(action="ignore"):
        ...     interpolated(np.array([1.0, np.nan, 3.0]), "x", [1, 2, 3], "interpolate").tolist()
        [1.0, 2.0, 3.0]
    """
    absent = np.isnan(values)
    if not absent.any():
        return values
    line, count = lines[int(absent.argmax())], int(absent.sum())
    said = f"{what}: {count:,} of {len(values):,} values are missing, the first in line {line}"
    if missing == "error":
        raise DataError(f"{said}; fill them in, or give missing='interpolate'.")
    if absent.all():
        raise DataError(f"{said}; there is nothing to interpolate between: leave the column out.")
    warnings.warn(f"{said}; they are interpolated.", stacklevel=3)
    steps = np.arange(len(values))
    return np.interp(steps, steps[~absent], values[~absent])


# --- CSV and NPZ ------------------------------------------------------------------------------------------------------


def _csv_rows(file: Path) -> tuple[list[str], list[list[Any]], list[int]]:
    """The names of the columns, the rows as texts, and each row's line."""
    text = text_of(file)
    separator = max(",;\t", key=text.partition("\n")[0].count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    try:
        found = [(row, reader.line_num) for row in reader if row]
    except csv.Error as error:
        raise DataError(f"{file}:{reader.line_num}: it is no table of numbers ({error}); give a CSV file.") from error
    if not found:
        raise DataError(f"{file}: it is empty; give a CSV file with a line of column names and a row per time step.")
    names = [name.strip() for name in found[0][0]]
    if all(_number(name) is not None for name in names):
        names = [f"column{k + 1}" for k in range(len(names))]
    else:
        found = found[1:]
    if len(set(names)) < len(names):
        twice = Counter(names).most_common(1)[0][0]
        raise DataError(f"{file}:1: the column {excerpt(twice)} is there twice; rename one.")
    if not found:
        raise DataError(f"{file}: it has column names and no rows; give a row per time step.")
    for row, line in found:
        if len(row) != len(names):
            raise DataError(
                f"{file}:{line}: {len(row)} values, but there are {len(names)} columns; give one value for each."
            )
    return names, [row for row, _ in found], [line for _, line in found]


def _npz_rows(file: Path) -> tuple[list[str], list[list[Any]], list[int]]:
    """The same of the arrays of an NPZ file; a row's line is its number from 1."""
    try:
        with file.open("rb") as content, np.load(content, allow_pickle=False) as opened:
            found: dict[str, Any] = {name: opened[name] for name in opened.files}
    except Exception as error:  # a damaged file leads numpy and zipfile into errors of every class
        raise DataError(f"{file}: it can't be read as NPZ without pickle ({error}); write it by np.savez.") from error
    arrays: dict[str, NDArray[Any]] = {}
    for name, array in found.items():
        shape = getattr(array, "shape", ())  # what is no array comes as bytes
        if len(shape) not in (1, 2):
            raise DataError(f"{file}: {excerpt(name)} has shape {shape}; give arrays (time,) or (time, columns).")
        parts: dict[str, Any] = (
            {name: array} if len(shape) == 1 else {f"{name}_{k}": array[:, k] for k in range(array.shape[1])}
        )
        if both := arrays.keys() & parts.keys():
            raise DataError(f"{file}: two columns are called {excerpt(min(both))}; rename an array.")
        arrays |= parts
    lengths = {name: len(array) for name, array in arrays.items()}
    if len(set(lengths.values())) != 1 or not all(lengths.values()):
        raise DataError(f"{file}: its arrays have lengths {lengths}; give one value per time step in each.")
    count = next(iter(lengths.values()))
    return list(arrays), [list(row) for row in zip(*arrays.values(), strict=True)], list(range(1, count + 1))


def _number(cell: Any) -> float | None:
    """A cell's number, NaN where it is missing, None where it is no number."""
    if isinstance(cell, str):
        if cell.strip().lower() in _MISSING:
            return math.nan
        try:
            return float(cell)
        except ValueError:
            return None
    kind = np.asarray(cell).dtype
    return float(cell) if np.issubdtype(kind, np.integer) or np.issubdtype(kind, np.floating) else None


def _numbers(file: Path, name: str, cells: Sequence[Any], lines: Sequence[int]) -> NDArray[np.float64]:
    values = np.empty(len(cells))
    for k, cell in enumerate(cells):
        value = _number(cell)
        if value is None or math.isinf(value):
            raise DataError(
                f"{file}:{lines[k]}: column {excerpt(name)} holds {excerpt(cell)}, which is no finite number; mend "
                "it, or leave the column out."
            )
        values[k] = value
    return values


def _filled(values: NDArray[Any]) -> int:
    """How many steps there are up to the last that has a value; all where none has."""
    present = np.flatnonzero(~np.isnan(values))
    return int(present[-1]) + 1 if len(present) else len(values)


def _choose(
    file: Path,
    names: Sequence[str],
    rows: Sequence[Sequence[Any]],
    lines: Sequence[int],
    columns: Sequence[str] | None,
    date: Sequence[str],
) -> tuple[list[str], list[str]]:
    """The columns of numbers and of dates, by name."""
    table = Table({name: [row[k] for row in rows] for k, name in enumerate(names)}, [(str(file), n) for n in lines])
    for name in (*(columns or ()), *date):
        table.column(name)  # refuses a name that there isn't
    dated = list(date) or [n for n in names if n not in (columns or ()) and _as_date([table.columns[n][0]])][:1]
    if columns is not None:
        chosen = list(columns)
    else:
        begun = {n: next((c for c in table.columns[n] if not _absent(c)), math.nan) for n in names if n not in dated}
        chosen = [name for name, cell in begun.items() if _number(cell) is not None]
        if left := [name for name in begun if name not in chosen]:
            warnings.warn(f"{file}: left out what holds no numbers: {', '.join(map(repr, left))}.", stacklevel=3)
    if not chosen:
        raise DataError(f"{table.source}: no column holds numbers; give one value per time step.")
    return chosen, dated


def _absent(cell: Any) -> bool:
    value = _number(cell)
    return value is not None and math.isnan(value)


# --- dates and parts --------------------------------------------------------------------------------------------------


def _as_date(cells: Sequence[Any]) -> np.datetime64 | None:
    """The date in one cell, or in cells that hold year, month, day ... as numbers."""
    if len(cells) == 1 and isinstance(cells[0], np.datetime64):
        return cells[0].astype("datetime64[s]")
    if len(cells) == 1:
        return parse_date(cells[0]) if isinstance(cells[0], str) else None
    try:
        year, month, *rest = (int(float(cell)) for cell in cells)
        day, hour, minute, second, *_ = [*rest, *(1, 0, 0, 0)[len(rest) :]]
        return np.datetime64(f"{year:04d}-{month:02d}-{day:02d}T{hour:02d}:{minute:02d}:{second:02d}", "s")
    except (ValueError, OverflowError, TypeError):
        return None


def _dates(file: Path, cells: Sequence[Sequence[Any]], lines: Sequence[int]) -> NDArray[np.datetime64]:
    dates = np.empty(len(cells), "datetime64[s]")
    for k, row in enumerate(cells):
        found = _as_date(row)
        if found is None or np.isnat(found):
            raise DataError(
                f"{file}:{lines[k]}: {excerpt(' '.join(map(str, row)))} is no date; write it as 2016-07-01 or "
                "2016-07-01 13:00:00, or name the columns " + ", ".join(_UNITS[:4]) + " ..."
            )
        dates[k] = found
    steps = np.diff(dates).astype(np.int64)
    if (steps <= 0).any():
        k = int((steps <= 0).argmax()) + 1
        raise DataError(f"{file}:{lines[k]}: {dates[k]} comes after {dates[k - 1]}; sort the rows, one per date.")
    return dates


def _bounds(file: Path, part: str | None, count: int, dates: NDArray[np.datetime64] | None) -> tuple[int, int]:
    """The first row of a part and the one after its last."""
    if part is None:
        return 0, count
    begin, colon, stop = part.partition(":")
    if not colon:
        raise DataError(f"{file}: [{part}] names no rows; write [FROM:TO], as in [0:8640] or [2016-07-01:2017-07-01].")
    start, end = (_row(file, text.strip(), default, count, dates) for text, default in ((begin, 0), (stop, count)))
    if not 0 <= start < end <= count:
        raise DataError(f"{file}: [{part}] is rows {start} to {end} of {count}; there is none among them.")
    return start, end


def _row(file: Path, text: str, default: int, count: int, dates: NDArray[np.datetime64] | None) -> int:
    if not text:
        return default
    if re.fullmatch(r"-?\d{1,15}", text):
        return int(text) + (count if text.startswith("-") else 0)
    when = parse_date(text)
    if when is None or dates is None:
        raise DataError(f"{file}: {text!r} is no row's number, and no date of a column; write rows from 0 on.")
    return int(np.searchsorted(dates, when))
