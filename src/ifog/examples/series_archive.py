"""Labelled series in the `.ts` text form of the UEA, UCR and TSER archives.

Owns that form's header and rows. Takes a path, gives a `Table` with one row per series, or writes one. Never knows a
model.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ifog.errors import DataError
from ifog.examples.plain import excerpt, lines_of
from ifog.examples.series import Missing, interpolated
from ifog.examples.tables import Table
from ifog.writing import write_atomically

__all__ = ["has_targets", "read_ts", "write_ts"]


def read_ts(path: Path, *, missing: Missing = "error") -> Table:
    """The series of a `.ts` file and their classes, or the numbers they go with.

    Args:
        path: one series per line after `@data`: its dimensions separated by colons, the class at the end.
        missing: "error", or "interpolate" for values written "?".

    Returns:
        "series", arrays (T, D) of float32; "label", the classes or numbers as they stand there, where the header says
        that there are any (@classLabel, @targetLabel).

    Raises:
        DataError: dimensions of different lengths or number, a class that the header doesn't list, times beside the
            values, no rows; says file and line.

    Source:
        Löning et al. (2019), sktime, arXiv:1909.07872; Bagnall et al. (2018), The UEA archive, arXiv:1811.00075; Tan et
        al. (2020), Monash University, UEA, UCR time series extrinsic regression archive, arXiv:2006.10996.
    """
    lines = list(lines_of(path))
    header, start = _header(path, lines)
    labels = header["classlabel"][1:] if _says(header, "classlabel") else None
    labelled = labels is not None or _says(header, "targetlabel")
    series: list[NDArray[np.float32]] = []
    classes: list[str] = []
    places: list[tuple[str, int]] = []
    for number, line in enumerate(lines[start:], start=start + 1):
        if not line.strip() or line.startswith("#"):
            continue
        *dimensions, label = line.split(":") if labelled else [*line.split(":"), ""]
        where = f"{path}:{number}"
        if labels is not None and label.strip() not in labels:
            raise DataError(
                f"{where}: the class {excerpt(label.strip())} is none of those in the header: {', '.join(labels)}."
            )
        series.append(_series(where, dimensions, number, missing))
        if series[-1].shape[1] != series[0].shape[1]:
            raise DataError(
                f"{where}: {series[-1].shape[1]} dimensions, the first series has {series[0].shape[1]}; "
                "give equally many."
            )
        if _says(header, "equallength") and len(series[-1]) != len(series[0]):
            raise DataError(
                f"{where}: {len(series[-1])} steps, the first series has {len(series[0])} and the header says "
                "@equalLength true; mend the row or the header."
            )
        classes.append(label.strip())
        places.append((str(path), number))
    if not series:
        raise DataError(f"{path}: there is no series after @data; give one per line.")
    return Table({"series": series, **({"label": classes} if labelled else {})}, places)


def has_targets(path: Path) -> bool:
    """Whether a `.ts` file says that a number, not a class, stands after each series."""
    with closing(lines_of(path)) as lines:
        return _says(_header(path, list(islice(lines, 1000)))[0], "targetlabel")


def write_ts(table: Table, path: Path) -> None:
    """Write series (T, D) with a "label", all of them numbers or all of them classes; whole or not at all."""
    labels = table.column("label")
    numbers = all(isinstance(label, float) for label in labels)
    meaning = "@targetLabel true" if numbers else f"@classLabel true {' '.join(sorted(set(labels)))}"
    rows = (
        ":".join([*(",".join(f"{value:.7g}" for value in column) for column in series.T), str(label)])
        for series, label in zip(table.column("series"), labels, strict=True)
    )
    text = "\n".join([f"@problemName {path.stem}", "@timeStamps false", meaning, "@data", *rows, ""])
    write_atomically(path, text.encode())


def _says(header: dict[str, list[str]], tag: str) -> bool:
    return header.get(tag, ["false"])[0].lower() == "true"


def _header(path: Path, lines: Sequence[str]) -> tuple[dict[str, list[str]], int]:
    """What the header says, by tag in small letters, and the number of its lines."""
    header: dict[str, list[str]] = {}
    for number, line in enumerate(lines, start=1):
        words = line.split()
        if not words or line.startswith("#"):
            continue
        if not line.startswith("@"):
            raise DataError(f"{path}:{number}: {excerpt(line)} stands before @data; is this a .ts file?")
        if words[0].lower() == "@data":
            if _says(header, "timestamps"):
                raise DataError(f"{path}: @timeStamps true: times beside the values aren't read; give values alone.")
            return header, number
        header[words[0][1:].lower()] = words[1:] or ["true"]
    raise DataError(f"{path}: there is no line @data; is this a .ts file?")


def _series(where: str, dimensions: Sequence[str], number: int, missing: Missing) -> NDArray[np.float32]:
    columns: list[NDArray[np.float64]] = []
    for k, dimension in enumerate(dimensions, start=1):
        what = f"{where}: dimension {k}"
        try:
            values = np.array([float("nan" if v.strip() == "?" else v) for v in dimension.split(",")])
        except ValueError as error:
            raise DataError(f"{what}: {error}; give numbers separated by commas, ? where one is missing.") from error
        if (np.abs(values) > np.finfo(np.float32).max).any():
            raise DataError(f"{what}: a value is infinite, or too large for single precision; give finite numbers.")
        columns.append(interpolated(values, what, [number] * len(values), missing))
    lengths = [len(column) for column in columns]
    if len(set(lengths)) != 1:
        raise DataError(f"{where}: the dimensions have {lengths} values; give equally many, or ? where one is missing.")
    return np.stack(columns, axis=1).astype(np.float32)
