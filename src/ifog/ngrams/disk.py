"""Count the n-grams of a stream that is longer than the memory: in shards, kept as Parquet, merged by DuckDB.

Owns a directory of counts. Each shard's tables and each part of a merged table appear whole or not at all, so that a
process that was killed loses the shard or part it was at, and the same call goes on. Takes memory-mapped ids, gives
tables with the numbers of `ifog.ngrams.counting`. Sorting and grouping beyond the memory is DuckDB's work, never ours.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ifog.errors import ConfigError, RunError
from ifog.ngrams.counting import NgramCounts, check_request, distinct
from ifog.ngrams.trie import Indices, Keys, LongIds, Sentences, Trie, join, with_starts
from ifog.writing import write_atomically

__all__ = ["DiskCounts", "connect", "count_on_disk", "quoted"]

_CHECKED = 1 << 20  # ids at either end of the stream that tell one stream from another
_MERGED = "merged.json"
_SPILLED = "spilled"
_SHARDS_TO_A_PART = 4  # tokens of as many shards have n-grams in one part of a merged table


@dataclasses.dataclass(frozen=True)
class DiskCounts:
    """The n-grams of a text on disk, one table for each order.

    Attributes:
        directory: where they are.
        order: N.
        vocabulary_size: V.
        sentences: how the text was cut; None for one stream.
    """

    directory: Path
    order: int
    vocabulary_size: int
    sentences: Sentences | None

    def table(self, order: int) -> Path:
        """Parquet files, as a pattern for `read_parquet`: columns w1 to w{order}, occurrences, adjusted.

        The files in the order of their names are one table sorted by its words; no first word stands in two of them.
        See `NgramCounts` for what adjusted counts are.
        """
        return self.directory / f"order-{order}" / "part-*.parquet"

    def parts(self, order: int) -> list[tuple[Path, int]]:
        """The files of an order's table and the number of rows of each."""
        folder = self.directory / f"order-{order}"
        return [(folder / f"part-{k:06d}.parquet", rows) for k, rows in enumerate(self._merged()[order - 1])]

    def sizes(self) -> tuple[int, ...]:
        """The number of different n-grams of each order that occur."""
        return tuple(map(sum, self._merged()))

    def frequencies(self, order: int) -> Indices:
        """How many n-grams of an order have the adjusted count 0, 1, 2, 3 and 4, shape (5,); 0 has not to be right."""
        numbers = np.zeros(5, np.int64)
        with connect(self.directory, "256MB") as database:
            query = (
                f"SELECT adjusted, count(*) AS number FROM read_parquet('{quoted(self.table(order))}') "
                "WHERE adjusted BETWEEN 1 AND 4 GROUP BY adjusted"
            )
            for count, number in database.execute(query).fetchall():
                numbers[count] = number
        return numbers

    def _merged(self) -> list[list[int]]:
        try:
            return json.loads((self.directory / _MERGED).read_bytes())["rows"]
        except (OSError, ValueError, KeyError) as error:
            raise RunError(
                f"{self.directory} holds no finished counts ({error}); run count_on_disk again, and it goes on."
            ) from error

    def load(self) -> NgramCounts:
        """All of them in memory, as `count_ngrams` would give them for the same stream."""
        occurrences: list[Indices] = []
        adjusted: list[Indices] = []
        suffixes: list[Indices] = []
        keys: list[Keys] = []
        for n in range(1, self.order + 1):
            rows, number, changed = self._columns(n)
            if n == 1:
                occurrences.append(_spread(rows[:, 0], number, self.vocabulary_size))
                adjusted.append(_spread(rows[:, 0], changed, self.vocabulary_size))
                continue
            trie = Trie(self.vocabulary_size, keys)
            suffixes.append(trie.find(rows[:, 1:]))
            keys.append(join(trie.find(rows[:, :-1]), rows[:, -1], self.vocabulary_size))
            occurrences.append(number)
            adjusted.append(changed)
        trie = Trie(self.vocabulary_size, keys)
        return NgramCounts(trie, tuple(occurrences), tuple(suffixes), tuple(adjusted), self.sentences)

    def _columns(self, order: int) -> tuple[Indices, Indices, Indices]:
        names = _names(order)
        with connect(self.directory, "1GB") as database:
            query = f"SELECT * FROM read_parquet('{quoted(self.table(order))}') ORDER BY {', '.join(names)}"
            columns = database.execute(query).fetchnumpy()
        rows = np.stack([np.asarray(columns[name], np.int64) for name in names], axis=1)
        return rows, np.asarray(columns["occurrences"], np.int64), np.asarray(columns["adjusted"], np.int64)


def count_on_disk(
    ids: LongIds,
    directory: str | Path,
    order: int,
    vocabulary_size: int,
    *,
    sentences: Sentences | None = None,
    shard_tokens: int = 4_000_000,
    memory_limit: str = "2GB",
    threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> DiskCounts:
    """Count the n-grams of orders 1 to `order` with bounded memory, or go on where a killed process stopped.

    Args:
        ids: see `count_ngrams`; memory-mapped, or anything else that is read by slices as `ifog.data.ShardedIds` is.
        directory: new, or that of the same request.
        order: N.
        vocabulary_size: V.
        sentences: the ids of `<s>` and `</s>`.
        shard_tokens: ids counted at once; each takes about 150 bytes of memory while its shard is counted.
        memory_limit: what DuckDB may use while it merges, as "2GB"; beyond it, it works on disk, in `directory`.
        threads: of DuckDB; None: one for each core.
        progress: called after each step with the steps done and all steps; one is a shard, or a part of a table.

    Raises:
        ConfigError: an order or shard below 1.
        DataError: no ids, or ids that don't fit the vocabulary.
        RunError: the directory holds counts of something else, or the extra `ngrams` isn't installed.
    """
    if shard_tokens < 1:
        raise ConfigError(f"n-grams: shard_tokens is {shard_tokens}; give 1 or more, usually millions.")
    duckdb_module()
    folder = Path(directory)
    firsts = range(0, len(ids), shard_tokens)
    for first in firsts or [0]:
        check_request(ids[first : first + shard_tokens], order, vocabulary_size, sentences)
    _claim(folder, ids, {"order": order, "vocabulary_size": vocabulary_size, "sentences": sentences,
                         "shard_tokens": shard_tokens, "tokens": len(ids)})  # fmt: skip
    counts = DiskCounts(folder, order, vocabulary_size, sentences)
    shutil.rmtree(folder / _SPILLED, ignore_errors=True)  # what DuckDB had there when it was killed
    if not (folder / _MERGED).exists():
        with connect(folder, memory_limit, threads) as database:
            for done in _steps(ids, firsts, counts, database):
                if progress is not None:
                    progress(*done)
    for shard in folder.glob("shard-*"):
        shutil.rmtree(shard)
    return counts


def _steps(ids: LongIds, firsts: range, counts: DiskCounts, database: Any) -> Iterator[tuple[int, int]]:
    """Make what is not there yet; gives the steps done and all steps."""
    parts = -(-len(firsts) // _SHARDS_TO_A_PART)
    steps = len(firsts) + counts.order * parts
    for number, first in enumerate(firsts):
        shard = counts.directory / f"shard-{number:06d}"
        if not shard.exists():
            _count_shard(ids, range(first, min(first + firsts.step, len(ids))), shard, counts, database)
            yield number + 1, steps
    for done in _Merging(counts, ids[: counts.order].tolist(), parts, database).steps():
        yield len(firsts) + done, steps


def duckdb_module() -> Any:
    """DuckDB, imported when it is needed.

    Raises:
        RunError: it isn't installed.
    """
    try:
        import duckdb
    except ImportError as error:
        raise RunError(
            "counting n-grams on disk needs DuckDB, which isn't installed: `pip install 'ifog[ngrams]'`; or count in "
            "memory with count_ngrams."
        ) from error
    return duckdb


def connect(folder: Path, memory_limit: str, threads: int | None = None) -> Any:
    """A DuckDB that keeps within a limit of memory, by writing to `folder` what goes beyond it."""
    database = duckdb_module().connect()
    database.execute(f"SET memory_limit = '{memory_limit}'")
    database.execute(f"SET temp_directory = '{quoted(folder / _SPILLED)}'")
    if threads is not None:
        database.execute(f"SET threads = {threads}")
    return database


def quoted(path: Path) -> str:
    """A path within the quotation marks of SQL."""
    return str(path).replace("'", "''")


def _spread(words: Indices, values: Indices, size: int) -> Indices:
    whole = np.zeros(size, np.int64)
    whole[words] = values
    return whole


def _claim(folder: Path, ids: LongIds, request: dict[str, Any]) -> None:
    """Write down what is counted here, or make sure that it is what was counted here before."""
    ends = zlib.crc32(ids[:_CHECKED].tobytes() + ids[-_CHECKED:].tobytes())
    wanted = json.loads(json.dumps({**request, "checksum": ends}))
    header = folder / "counts.json"
    folder.mkdir(parents=True, exist_ok=True)
    if not header.exists():
        write_atomically(header, json.dumps(wanted).encode())
        return
    try:
        found = json.loads(header.read_text())
    except ValueError:
        found = {}
    if found != wanted:
        different = sorted(name for name in wanted if found.get(name) != wanted[name])
        raise RunError(
            f"{folder} holds counts of something else ({', '.join(different)} differ); name a new directory, or "
            "delete this one."
        )


def _count_shard(ids: LongIds, part: range, shard: Path, counts: DiskCounts, database: Any) -> None:
    """Write the n-grams that end within one part of the stream."""
    before = min(part.start, counts.order - 1)  # what reaches into this part from the one before
    first = part.start - before
    piece = np.asarray(ids[first : part.stop])
    begins = first == 0 or (counts.sentences is not None and ids[first - 1 : first][0] == counts.sentences.end)
    tokens, depths, given = with_starts(piece, counts.sentences, begins)
    own = np.cumsum(given) - given >= before  # the given ids before this one; a <s> belongs to the word after it
    temporary = shard.with_name(shard.name + ".temporary")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    words = tokens.astype(np.int64)
    trie = Trie(counts.vocabulary_size, [])
    numbers = np.bincount(words[own], minlength=counts.vocabulary_size)
    _write_table(trie.rows(1), numbers, temporary / "order-1.parquet", database)
    keys: list[Keys] = []
    for n, found in enumerate(distinct(words, depths, counts.order, counts.vocabulary_size), start=2):
        keys.append(found.keys)
        trie = Trie(counts.vocabulary_size, keys)
        numbers = np.bincount(found.inverse[own[found.at]], minlength=len(found.keys))
        _write_table(trie.rows(n), numbers, temporary / f"order-{n}.parquet", database)
    temporary.replace(shard)


def _write_table(rows: Indices, numbers: Indices, path: Path, database: Any) -> None:
    occurring = numbers > 0
    columns = {f"w{k}": column[occurring].astype(np.uint32) for k, column in enumerate(rows.T, start=1)}
    columns["occurrences"] = numbers[occurring].astype(np.int64)
    database.register("counted", columns)
    database.execute(f"COPY (SELECT * FROM counted) TO '{quoted(path)}' (FORMAT parquet)")
    database.unregister("counted")
    _sync(path)


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


class _Merging:
    """From the tables of all shards to one table for each order, in parts by ranges of the first word.

    The tables of an order are summed; continuation counts are taken from the merged order above, so the highest order
    comes first. Ranges are chosen such that their words occur about equally often.
    """

    def __init__(self, counts: DiskCounts, opening: list[int], parts: int, database: Any) -> None:
        self._counts, self._opening, self._database = counts, opening, database
        database.execute("SET preserve_insertion_order = false")  # ORDER BY holds; what comes before it needs none
        found = database.execute(f"{self._occurring(1)} ORDER BY w1").fetchnumpy()
        ends: Indices = np.cumsum(np.asarray(found["occurrences"], np.int64))
        wanted: Indices = int(ends[-1]) * np.arange(1, parts, dtype=np.int64) // parts
        inner = np.asarray(found["w1"], np.int64)[np.searchsorted(ends, wanted)].tolist()
        self._bounds = [0, *inner, counts.vocabulary_size]

    def steps(self) -> Iterator[int]:
        """Make what is not there yet, and give the number of parts that are there after each."""
        counts, done = self._counts, 0
        parts = len(self._bounds) - 1
        for order in range(counts.order, 0, -1):
            folder = counts.table(order).parent
            folder.mkdir(exist_ok=True)
            for k in range(parts):
                target = folder / f"part-{k:06d}.parquet"
                done += 1
                if not target.exists():
                    self._write(order, (self._bounds[k], self._bounds[k + 1]), target)
                    yield done
        self._finish(parts)

    def _write(self, order: int, words: tuple[int, int], target: Path) -> None:
        names = ", ".join(_names(order))
        temporary = target.with_name(target.name + ".temporary")
        query = f"{self._query(order, *words)} ORDER BY {names}"
        self._database.execute(f"COPY ({query}) TO '{quoted(temporary)}' (FORMAT parquet)")
        _sync(temporary)
        temporary.replace(target)

    def _finish(self, parts: int) -> None:
        rows: list[list[int]] = []
        for order in range(1, self._counts.order + 1):
            folder = self._counts.table(order).parent
            files = [quoted(folder / f"part-{k:06d}.parquet") for k in range(parts)]
            count = "SELECT count(*) FROM read_parquet('{}')"
            rows.append([int(self._database.execute(count.format(file)).fetchone()[0]) for file in files])
        write_atomically(self._counts.directory / _MERGED, json.dumps({"rows": rows}).encode())

    def _occurring(self, order: int, within: str = "true") -> str:
        words = ", ".join(_names(order))
        shards = quoted(self._counts.directory / "shard-??????" / f"order-{order}.parquet")
        return (
            f"SELECT {words}, sum(occurrences)::BIGINT AS occurrences FROM read_parquet('{shards}') "
            f"WHERE {within} GROUP BY {words}"
        )

    def _query(self, order: int, first: int, stop: int) -> str:
        counts, names = self._counts, _names(order)
        words = ", ".join(names)
        occurring = self._occurring(order, f"w1 >= {first} AND w1 < {stop}")
        if order == counts.order:
            start = order == 1 and counts.sentences is not None
            adjusted = (
                f"if(w1 = {counts.sentences.start}, 0, occurrences)" if start and counts.sentences else "occurrences"
            )
            return f"SELECT *, {adjusted} AS adjusted FROM ({occurring})"
        shifted = ", ".join(f"w{k + 1} AS w{k}" for k in range(1, order + 1))
        above = f"read_parquet('{quoted(counts.table(order + 1))}') WHERE w2 >= {first} AND w2 < {stop}"
        left = f"SELECT {words}, count(*) AS before FROM (SELECT {shifted} FROM {above}) GROUP BY {words}"
        adjusted = "coalesce(before, 0)"
        if counts.sentences is None and len(self._opening) >= order:  # the beginning counts as one more word before
            at_start = " AND ".join(f"{name} = {word}" for name, word in zip(names, self._opening[:order], strict=True))
            adjusted += f" + ({at_start})::BIGINT"
        elif counts.sentences is not None:
            whole = "0" if order == 1 else "occurrences"
            adjusted = f"if(w1 = {counts.sentences.start}, {whole}, {adjusted})"
        return (
            f"SELECT {words}, occurrences, {adjusted} AS adjusted FROM ({occurring}) LEFT JOIN ({left}) USING ({words})"
        )


def _names(order: int) -> list[str]:
    return [f"w{k}" for k in range(1, order + 1)]
