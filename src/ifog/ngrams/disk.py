"""Count the n-grams of a stream that is longer than the memory: in shards, kept as Parquet, merged by DuckDB.

Owns a directory of counts. Each shard's tables appear whole or not at all, so that a process that was killed loses the
shard it was at, and the same call goes on. Takes memory-mapped ids, gives tables with the numbers of
`ifog.ngrams.counting`. Sorting and grouping beyond the memory is DuckDB's work, never ours.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ifog.errors import ConfigError, RunError
from ifog.ngrams.counting import NgramCounts, check_request, distinct
from ifog.ngrams.trie import Ids, Indices, Keys, Sentences, Trie, join, with_starts

__all__ = ["DiskCounts", "count_on_disk"]

_CHECKED = 1 << 20  # ids at either end of the stream that tell one stream from another


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
        """A Parquet file, sorted by its words: columns w1 to w{order}, occurrences, adjusted (see `NgramCounts`)."""
        return self.directory / f"order-{order}.parquet"

    def sizes(self) -> tuple[int, ...]:
        """The number of different n-grams of each order that occur."""
        with _connect(self.directory, "256MB") as database:
            return tuple(
                int(database.execute(f"SELECT count(*) FROM read_parquet('{_quoted(self.table(n))}')").fetchone()[0])
                for n in range(1, self.order + 1)
            )

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
        names = [f"w{k}" for k in range(1, order + 1)]
        with _connect(self.directory, "1GB") as database:
            query = f"SELECT * FROM read_parquet('{_quoted(self.table(order))}') ORDER BY {', '.join(names)}"
            columns = database.execute(query).fetchnumpy()
        rows = np.stack([np.asarray(columns[name], np.int64) for name in names], axis=1)
        return rows, np.asarray(columns["occurrences"], np.int64), np.asarray(columns["adjusted"], np.int64)


def count_on_disk(
    ids: Ids,
    directory: str | Path,
    order: int,
    vocabulary_size: int,
    *,
    sentences: Sentences | None = None,
    shard_tokens: int = 4_000_000,
    memory_limit: str = "2GB",
    progress: Callable[[int, int], None] | None = None,
) -> DiskCounts:
    """Count the n-grams of orders 1 to `order` with bounded memory, or go on where a killed process stopped.

    Args:
        ids: see `count_ngrams`; usually memory-mapped.
        directory: new, or that of the same request.
        order: N.
        vocabulary_size: V.
        sentences: the ids of `<s>` and `</s>`.
        shard_tokens: ids counted at once; each takes about 150 bytes of memory while its shard is counted.
        memory_limit: what DuckDB may use while it merges, as "2GB"; beyond it, it works on disk, in `directory`.
        progress: called with the steps done and all steps, a shard or an order's merging being one.

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
    steps = len(firsts) + order
    merged = all(counts.table(n).exists() for n in range(1, order + 1))
    for number, first in enumerate(firsts):
        shard = folder / f"shard-{number:06d}"
        if not merged and not shard.exists():
            _count_shard(ids, range(first, min(first + shard_tokens, len(ids))), shard, counts)
        if progress is not None:
            progress(number + 1, steps)
    for n in range(order, 0, -1):  # an order's continuation counts are taken from the merged order above
        if not counts.table(n).exists():
            _merge(counts, n, ids[:n].tolist(), memory_limit)
        if progress is not None:
            progress(len(firsts) + order - n + 1, steps)
    for shard in folder.glob("shard-*"):
        shutil.rmtree(shard)
    return counts


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


def _connect(folder: Path, memory_limit: str) -> Any:
    database = duckdb_module().connect()
    for setting, value in (("memory_limit", memory_limit), ("temp_directory", _quoted(folder / "spilled"))):
        database.execute(f"SET {setting} = '{value}'")
    return database


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")


def _spread(words: Indices, values: Indices, size: int) -> Indices:
    whole = np.zeros(size, np.int64)
    whole[words] = values
    return whole


def _claim(folder: Path, ids: Ids, request: dict[str, Any]) -> None:
    """Write down what is counted here, or make sure that it is what was counted here before."""
    ends = zlib.crc32(ids[:_CHECKED].tobytes() + ids[-_CHECKED:].tobytes())
    wanted = json.loads(json.dumps({**request, "checksum": ends}))
    header = folder / "counts.json"
    folder.mkdir(parents=True, exist_ok=True)
    if not header.exists():
        temporary = header.with_name("counts.json.temporary")
        temporary.write_text(json.dumps(wanted))
        temporary.replace(header)
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


def _count_shard(ids: Ids, part: range, shard: Path, counts: DiskCounts) -> None:
    """Write the n-grams that end within one part of the stream."""
    before = min(part.start, counts.order - 1)  # what reaches into this part from the one before
    piece = np.asarray(ids[part.start - before : part.stop])
    begins = part.start == before or (
        counts.sentences is not None and ids[part.start - before - 1] == counts.sentences.end
    )
    tokens, depths, given = with_starts(piece, counts.sentences, begins)
    own = np.cumsum(given) - given >= before  # the given ids before this one; a <s> belongs to the word after it
    temporary = shard.with_name(shard.name + ".temporary")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    words = tokens.astype(np.int64)
    trie = Trie(counts.vocabulary_size, [])
    with _connect(counts.directory, "1GB") as database:
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
    database.execute(f"COPY (SELECT * FROM counted) TO '{_quoted(path)}' (FORMAT parquet)")
    database.unregister("counted")
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _merge(counts: DiskCounts, order: int, opening: list[int], memory_limit: str) -> None:
    """Write one order's table from those of all shards, and from the merged table of the order above."""
    names = [f"w{k}" for k in range(1, order + 1)]
    words = ", ".join(names)
    shards = _quoted(counts.directory / "shard-??????" / f"order-{order}.parquet")
    occurring = (
        f"SELECT {words}, sum(occurrences)::BIGINT AS occurrences FROM read_parquet('{shards}') GROUP BY {words}"
    )
    if order == counts.order:
        adjusted = (
            "occurrences"
            if order > 1 or counts.sentences is None
            else f"if(w1 = {counts.sentences.start}, 0, occurrences)"
        )
        query = f"SELECT *, {adjusted} AS adjusted FROM ({occurring})"
    else:
        shifted = ", ".join(f"w{k + 1} AS w{k}" for k in range(1, order + 1))
        above = _quoted(counts.table(order + 1))
        left = (
            f"SELECT {words}, count(*) AS before FROM (SELECT {shifted} FROM read_parquet('{above}')) GROUP BY {words}"
        )
        adjusted = "coalesce(before, 0)"
        if counts.sentences is None and len(opening) == order:  # the beginning counts as one more word before
            at_start = " AND ".join(f"{name} = {word}" for name, word in zip(names, opening, strict=True))
            adjusted += f" + ({at_start})::BIGINT"
        elif counts.sentences is not None:
            whole = "0" if order == 1 else "occurrences"
            adjusted = f"if(w1 = {counts.sentences.start}, {whole}, {adjusted})"
        query = (
            f"SELECT {words}, occurrences, {adjusted} AS adjusted FROM ({occurring}) LEFT JOIN ({left}) USING ({words})"
        )
    target = counts.table(order)
    temporary = target.with_name(target.name + ".temporary")
    with _connect(counts.directory, memory_limit) as database:
        database.execute(f"COPY ({query} ORDER BY {words}) TO '{_quoted(temporary)}' (FORMAT parquet)")
    temporary.replace(target)
