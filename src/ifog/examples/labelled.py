"""Read files of examples with one label each: tables, lists, folders; write them with predictions.

Owns the formats CSV, TSV, JSON lines, "LABEL text" lines and folders of classes, gzipped or not, and the guess of which
column is what. Takes paths, gives a `Table`. Never encodes anything.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ifog.errors import ConfigError, DataError
from ifog.examples.audio import read_recordings
from ifog.examples.images import read_pixels
from ifog.examples.plain import excerpt, json_of, lines_of, text_of
from ifog.examples.series_archive import read_ts
from ifog.examples.tables import Table
from ifog.writing import write_atomically

__all__ = ["first_names", "read_labelled", "read_rows", "write_rows"]

_DELIMITERS = {".csv": ",", ".tsv": "\t"}


def read_rows(path: str | Path, *, header: bool | None = None, charset: str = "utf-8") -> Table:
    """A CSV, TSV or JSON-lines file as it stands.

    Args:
        path: .csv, .tsv, .jsonl or .json, perhaps with .gz behind.
        header: whether the first line of a CSV or TSV names the columns; None: it does, unless one of its cells occurs
            again below it in the same column. Without names, columns are "1", "2", ...
        charset: how characters are encoded.

    Raises:
        DataError: not UTF-8, a row of another number of cells, a line that is no JSON object; names file and line.
    """
    ending = _ending(path)
    if ending in _DELIMITERS:
        return _delimited(path, text_of(path, charset), _DELIMITERS[ending], header)
    if ending in (".jsonl", ".json"):
        return _json_lines(path, text_of(path, charset))
    raise DataError(
        f"{path}: the ending {ending!r} is none of .csv, .tsv, .jsonl, .txt, .ts; rename the file after its format."
    )


def read_labelled(paths: Sequence[str | Path], *, header: bool | None = None, charset: str = "utf-8") -> Table:
    """Examples with labels, all files one after the other.

    Args:
        paths: tables (see `read_rows`); .txt files whose lines are "LABEL text"; series in .ts files; images in files
            called ...images-idx3-ubyte, read pixel by pixel; folders, whose text files are one class each (a line an
            example), or whose folders are one class each (a file an example, .txt or .wav), or with files LABEL_x.wav.
        header: see `read_rows`.
        charset: see `read_rows`.

    Raises:
        DataError: a file that can't be read, or files of different columns.
    """
    tables = [_one(Path(path), header, charset) for path in paths]
    if not tables:
        raise DataError("no file was given; give one or more .csv, .tsv, .jsonl, .txt files or a folder of classes.")
    names = list(tables[0].columns)
    for table in tables[1:]:
        if list(table.columns) != names:
            raise DataError(
                f"{table.source} has the columns {', '.join(table.columns)}, but {tables[0].source} has "
                f"{', '.join(names)}; give files of the same columns."
            )
    columns = {name: [value for table in tables for value in table.columns[name]] for name in names}
    return Table(columns, [place for table in tables for place in table.places])


def first_names(path: Path) -> list[str]:
    """What the first line of a table calls its columns, or would if it were a header; the rest isn't read."""
    try:
        line = next(lines_of(path, errors="replace"), "")
        if _ending(path) in _DELIMITERS:
            return next(csv.reader([line], delimiter=_DELIMITERS[_ending(path)]), list[str]())
        value = json_of(str(path), line)
    except (csv.Error, DataError):  # whoever reads it will say why
        return []
    return list(value) if isinstance(value, dict) else []  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]


def write_rows(table: Table, path: Path) -> None:
    """Write a table as CSV, TSV or JSON lines, whole or not at all.

    Raises:
        ConfigError: an ending that names none of them.
    """
    ending = _ending(path)
    rows: Iterator[tuple[Any, ...]] = zip(*table.columns.values(), strict=True)
    if ending in _DELIMITERS:
        text = io.StringIO()
        writer = csv.writer(text, delimiter=_DELIMITERS[ending], lineterminator="\n")
        writer.writerow(table.columns)
        writer.writerows([_cell(value) for value in row] for row in rows)
        content = text.getvalue()
    elif ending in (".jsonl", ".json"):
        lines = (json.dumps(dict(zip(table.columns, row, strict=True)), ensure_ascii=False) for row in rows)
        content = "".join(line + "\n" for line in lines)
    else:
        raise ConfigError(f"{path}: predictions are written as .csv, .tsv or .jsonl; give one of these endings.")
    encoded = content.encode()
    write_atomically(path, gzip.compress(encoded) if path.suffix == ".gz" else encoded)


def _ending(path: str | Path) -> str:
    suffixes = Path(path).suffixes
    if suffixes and suffixes[-1] == ".gz":
        suffixes = suffixes[:-1]
    return suffixes[-1].lower() if suffixes else ""


def _cell(value: Any) -> Any:
    return value if isinstance(value, str | int | float) or value is None else json.dumps(value, ensure_ascii=False)


def _one(path: Path, header: bool | None, charset: str) -> Table:
    if path.is_dir():
        return read_recordings(path) if next(path.rglob("*.wav"), None) else _folder(path, charset)
    if "idx3-ubyte" in path.name:
        return read_pixels(path)
    if _ending(path) == ".ts":
        return read_ts(path)
    if _ending(path) == ".txt":
        return _label_first(path, text_of(path, charset))
    return read_rows(path, header=header, charset=charset)


def _delimited(path: str | Path, text: str, delimiter: str, header: bool | None) -> Table:
    # A TSV has no quotes by its definition; a CSV has them.
    quoting = csv.QUOTE_NONE if delimiter == "\t" else csv.QUOTE_MINIMAL
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, quoting=quoting)
    rows: list[list[str]] = []
    places: list[tuple[str, int]] = []
    line = 1
    try:
        for row in reader:
            if row:
                rows.append(row)
                places.append((str(path), line))
            line = reader.line_num + 1
    except csv.Error as error:
        raise DataError(f"{path}:{line}: {error}; mend the line, or close its quotes.") from error
    if rows and quoting == csv.QUOTE_MINIMAL:
        _check_closed(places[-1], text, delimiter)
    if not rows:
        raise DataError(f"{path} is empty; give a file with examples.")
    width = len(rows[0])
    for row, (file, number) in zip(rows, places, strict=True):
        if len(row) != width:
            raise DataError(
                f"{file}:{number}: this row has {len(row)} cells, the first has {width}; "
                "quote a cell that holds the delimiter, or fill what is missing."
            )
    named = _names_columns(rows) if header is None else header
    names = rows[0] if named else [str(i) for i in range(1, width + 1)]
    if len(set(names)) < width:
        twice = Counter(names).most_common(1)[0][0]
        raise DataError(f"{places[0][0]}:{places[0][1]}: two columns are called {excerpt(twice)}; rename one.")
    body = rows[1:] if named else rows
    if not body:
        raise DataError(f"{path}:1: this line names the columns, but no row follows; give a file with examples.")
    columns = {name: [row[i] for row in body] for i, name in enumerate(names)}
    return Table(columns, places[1:] if named else places)


def _check_closed(place: tuple[str, int], text: str, delimiter: str) -> None:
    """Refuse a last row whose quotes are never closed: it would hold all that follows."""
    lines = io.StringIO(text, newline="").readlines()[place[1] - 1 :]
    try:
        list(csv.reader(lines, delimiter=delimiter, strict=True))
    except csv.Error as error:
        if "unexpected end of data" in str(error):
            raise DataError(f"{place[0]}:{place[1]}: quotes opened in this row are never closed; close them.") from None


def _names_columns(rows: list[list[str]]) -> bool:
    """Whether a first row names columns: none of its cells occurs again in its column, and none is a number."""
    first, body = rows[0], rows[1:]
    if any(cell.lstrip("+-").replace(".", "", 1).isdigit() for cell in first):
        return False
    return not any(row[i] == cell for i, cell in enumerate(first) for row in body)


def _json_lines(path: str | Path, text: str) -> Table:
    names: list[str] = []
    values: list[dict[str, Any]] = []
    places: list[tuple[str, int]] = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        value = json_of(f"{path}:{number}", line)
        if not isinstance(value, dict):
            raise DataError(f'{path}:{number}: this line is no JSON object; give one such as {{"text": "..."}}.')
        names = names or list(value)  # pyright: ignore[reportUnknownArgumentType]
        if missing := [name for name in names if name not in value]:
            raise DataError(
                f"{path}:{number}: this object lacks {excerpt(missing[0])}, which the first line has; add it."
            )
        values.append(value)  # pyright: ignore[reportUnknownArgumentType]
        places.append((str(path), number))
    if not values:
        raise DataError(f"{path} is empty; give a file with examples.")
    return Table({name: [value[name] for value in values] for name in names}, places)


def _label_first(path: Path, content: str) -> Table:
    """Lines "LABEL text"."""
    labels: list[str] = []
    texts: list[str] = []
    places: list[tuple[str, int]] = []
    for number, line in enumerate(content.split("\n"), 1):
        if not line.strip():
            continue
        label, _, text = line.strip("\r").partition(" ")
        if not text.strip():
            raise DataError(f"{path}:{number}: there is no text after the label {excerpt(label)}; write LABEL text.")
        labels.append(label)
        texts.append(text)
        places.append((str(path), number))
    if not labels:
        raise DataError(f"{path} is empty; give a file with examples.")
    return Table({"label": labels, "text": texts}, places)


def _folder(path: Path, charset: str) -> Table:
    """A class per text file, a line an example; or a class per folder, a file an example."""
    labels: list[str] = []
    texts: list[str] = []
    places: list[tuple[str, int]] = []
    entries = sorted(path.iterdir())
    folders = [entry for entry in entries if entry.is_dir() and not entry.name.startswith(".")]
    # README.txt, LICENSE.txt and their like tell about the folder
    alone = [entry for entry in entries if entry.suffix == ".txt" and not entry.stem.isupper()]
    for one in folders or alone:
        for file in sorted(one.glob("*.txt")) if folders else [one]:
            whole = text_of(file, charset)
            for number, line in enumerate([whole] if folders else whole.split("\n"), 1):
                if line.strip():
                    labels.append(one.name if folders else one.stem)
                    texts.append(line.strip())
                    places.append((str(file), number))
    if not labels:
        raise DataError(
            f"{path} holds no examples: give a folder with a text file per class (a line an example), or with a folder "
            "per class (a .txt file an example)."
        )
    return Table({"label": labels, "text": texts}, places)
