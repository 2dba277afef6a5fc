"""Read and write texts in pairs: two files whose lines belong together, or one table of both.

Owns the forms (plain text, TSV, JSONL, each also as .gz) and the columns' names "source" and "target". Takes paths,
gives a `Table` whose rows know their lines. Never encodes.
"""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

from ifog.errors import DataError
from ifog.examples.plain import excerpt, json_of, lines_of
from ifog.examples.tables import Table
from ifog.writing import write_atomically

__all__ = ["SOURCE", "TARGET", "read_parallel", "write_parallel"]

SOURCE, TARGET = "source", "target"
_TABLES = (".tsv", ".jsonl")


def read_parallel(paths: Sequence[str | Path], *, labelled: bool = True) -> Table:
    r"""The pairs of files.

    Args:
        paths: A text of the source and a text of the target, one sentence a line; or one .tsv (the first line names the
            columns, nothing is quoted) or .jsonl with "source" and "target". A table's other columns are kept.
        labelled: Whether targets are needed. If not, one text of the source is enough, and a second is not read.

    Returns:
        Columns "source" and, where labelled, "target": texts without white space at their ends.

    Raises:
        DataError: A file that can't be read, different numbers of lines, a missing column, an empty sentence; says
            where.

    Examples:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> _ = (folder / "a.en").write_text("one\ntwo\n"), (folder / "a.de").write_text("eins\nzwei\n")
        >>> table = read_parallel([folder / "a.en", folder / "a.de"])
        >>> table.columns["target"], table.places[1][1]
        (['eins', 'zwei'], 2)
    """
    files = [Path(path) for path in paths]
    if not 1 <= len(files) <= 2:
        raise DataError(f"translation: got {len(files)} files; give a source and a target, or one table of both.")
    tables = [path for path in files if _form(path) in _TABLES]
    if tables and len(files) == 2:
        raise DataError(f"{tables[0]} is a table of pairs, so give it alone; or give two plain texts.")
    if tables:
        return _checked(_read_table(files[0], labelled), labelled)
    if labelled and len(files) == 1:
        raise DataError(
            f"{files[0]} is one plain text, but pairs are needed: give a second file whose lines are its translations, "
            'or a .tsv or .jsonl with the columns "source" and "target".'
        )
    columns = {SOURCE: _stripped(files[0])}
    if labelled:
        columns[TARGET] = _stripped(files[1])
        if len(columns[SOURCE]) != len(columns[TARGET]):
            raise DataError(
                f"{files[0]} has {len(columns[SOURCE])} lines and {files[1]} has {len(columns[TARGET])}, but line n of "
                "one translates line n of the other; find the line that is missing or broken in two."
            )
    places = [(str(files[0]), n) for n in range(1, len(columns[SOURCE]) + 1)]
    return _checked(Table(columns, places), labelled, files[-1] if labelled else None)


def write_parallel(table: Table, path: str | Path, column: str) -> None:
    """Write rows: all columns into .tsv or .jsonl, one column as lines of plain text otherwise.

    Args:
        table: Its rows.
        path: Its name decides the form; .gz may follow.
        column: What a plain text holds.

    Raises:
        DataError: No such column, or a cell with a line break or tab where the form has no room for it.
    """
    target = Path(path)
    form = _form(target)
    names = list(table.columns)
    if form == ".jsonl":
        rows = zip(*(table.columns[name] for name in names), strict=True)
        lines = [json.dumps(dict(zip(names, row, strict=True)), ensure_ascii=False) for row in rows]
    elif form == ".tsv":
        cells = [[_cell(table, name, row) for name in names] for row in range(len(table))]
        lines = ["\t".join(row) for row in [names, *cells]]
    else:
        table.column(column)
        lines = [_cell(table, column, row) for row in range(len(table))]
    content = "".join(line + "\n" for line in lines).encode()
    write_atomically(target, gzip.compress(content, mtime=0) if target.suffix == ".gz" else content)


def _form(path: Path) -> str:
    return Path(path.stem if path.suffix == ".gz" else path.name).suffix.lower()


def _stripped(path: Path) -> list[str]:
    lines = [line.strip() for line in lines_of(path)]
    if not lines:
        raise DataError(f"{path} is empty; give a file with one sentence a line.")
    return lines


def _read_table(path: Path, labelled: bool) -> Table:
    rows = _objects(path) if _form(path) == ".jsonl" else _records(path)
    places: list[tuple[str, int]] = []
    columns: dict[str, list[Any]] = {}
    for number, row in rows:
        if not places:
            columns = {name: [] for name in row}
        if lacking := [name for name in [SOURCE, TARGET][: 2 if labelled else 1] if name not in row]:
            there = ", ".join(map(repr, row)) or "nothing"
            raise DataError(f'{path}:{number}: there is no column "{lacking[0]}", only {there}; name it so.')
        if row.keys() != columns.keys():
            raise DataError(
                f"{path}:{number}: the names are {', '.join(row)}, in the first row {', '.join(columns)}; give every "
                "row the same."
            )
        for name, value in row.items():
            columns[name].append(value)
        places.append((str(path), number))
    if not places:
        raise DataError(f"{path} holds no pairs; give at least one row.")
    return Table(columns, places)


def _records(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """A TSV's rows by name, with their lines."""
    lines = lines_of(path)
    header = next(lines, None)
    if header is None:
        raise DataError(f"{path} is empty; give a file with a pair in each row.")
    names = header.rstrip("\r\n").split("\t")
    if len(set(names)) < len(names):
        twice = Counter(names).most_common(1)[0][0]
        raise DataError(f"{path}:1: two columns are called {excerpt(twice)}; rename one.")
    for number, line in enumerate(lines, 2):
        cells = line.rstrip("\r\n").split("\t")
        if len(cells) != len(names):
            raise DataError(
                f"{path}:{number}: {len(cells)} cells, but line 1 names {len(names)} columns ({', '.join(names)}); "
                "separate cells by one tab each."
            )
        yield number, dict(zip(names, cells, strict=True))


def _objects(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """A JSONL's objects, with their lines; empty lines are skipped."""
    for number, line in enumerate(lines_of(path), 1):
        if not line.strip():
            continue
        row = json_of(f"{path}:{number}", line)
        if not isinstance(row, dict):
            raise DataError(f'{path}:{number}: expected an object such as {{"source": "...", "target": "..."}}.')
        yield number, cast("dict[str, Any]", row)


def _checked(table: Table, labelled: bool, targets: Path | None = None) -> Table:
    """The same table, its texts stripped; a sentence without a word has no translation."""
    stripped: dict[str, list[str]] = {}
    for name in [SOURCE, TARGET][: 2 if labelled else 1]:
        stripped[name] = []
        for row, value in enumerate(table.columns[name]):
            where = f"{targets}:{table.places[row][1]}" if targets and name == TARGET else table.where(row)
            if not isinstance(value, str):
                raise DataError(f'{where}: "{name}" is {excerpt(value)}, not a text; write it in quotes.')
            if not value.strip():
                raise DataError(f"{where}: the {name} is empty; write the sentence, or leave the pair out.")
            stripped[name].append(value.strip())
    return table.with_columns(stripped)


def _cell(table: Table, name: str, row: int) -> str:
    text = str(table.columns[name][row])
    if "\n" in text or "\t" in text:
        raise DataError(f"{table.where(row)}: {name} holds a tab or line break, which a .tsv can't; write a .jsonl.")
    return text
