"""Estimate a model whose counts don't fit into the memory, and read it by memory map.

Owns a directory with the arrays of an `NgramModel`, one raw little-endian file each. Takes `DiskCounts`, reads them in
batches of whole contexts in sorted order, appends to the files and writes down how far it came, so that a process that
was killed loses one batch. Gives a model whose arrays are mapped, not loaded. Sorts nothing.
"""

from __future__ import annotations

import json
import mmap
import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from ifog.errors import ConfigError, DataError, RunError
from ifog.ngrams.disk import DiskCounts, connect, quoted
from ifog.ngrams.model import NgramModel
from ifog.ngrams.smoothing import Discounts, Smoothing, discounted, discounts_of
from ifog.ngrams.trie import Indices, Keys, Sentences, Trie, join
from ifog.ngrams.vocabulary import Vocabulary
from ifog.writing import write_atomically

__all__ = ["estimate_on_disk", "open_mapped"]

_FORMAT = "ifog mapped n-grams 1"
_MODEL, _PROGRESS = "model.json", "progress.json"
_ITEM = 8  # bytes of every number in the files

_Floats = NDArray[np.float64]


def estimate_on_disk(
    counts: DiskCounts,
    directory: str | Path,
    smoothing: Smoothing | Discounts = "modified",
    *,
    fallback: Sequence[float] | None = None,
    vocabulary: Vocabulary | None = None,
    batch: int = 1 << 21,
    threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> NgramModel:
    """Estimate the model that `estimate` would, with bounded memory, or go on where a killed process stopped.

    Args:
        counts: on disk.
        directory: new, or that of the same request.
        smoothing: see `estimate`.
        fallback: see `discounts`.
        vocabulary: the words, kept with the model.
        batch: n-grams worked on at once, or V + 1 if that is more; each takes about 200 bytes of memory.
        threads: of DuckDB, which reads the tables; None: one for each core.
        progress: called with the n-grams done and all n-grams.

    Returns:
        The model with its arrays mapped from `directory`, as `open_mapped` gives it again.

    Raises:
        ConfigError: an unknown smoothing, or a batch below 1.
        DataError: counts that can't give discounts, or a vocabulary of another size.
        RunError: the counts aren't finished, or the directory belongs to another request or can't be written.
    """
    if batch < 1:
        raise ConfigError(f"n-grams: batch is {batch}; give 1 or more, usually millions.")
    if vocabulary is not None and len(vocabulary) != counts.vocabulary_size:
        raise DataError(
            f"n-grams: the vocabulary has {len(vocabulary)} words, the counts {counts.vocabulary_size}; give the one "
            "that the text was encoded with."
        )
    folder = Path(directory)
    if isinstance(smoothing, Discounts):
        taken = smoothing
    else:
        frequencies = [counts.frequencies(order) for order in range(1, counts.order + 1)]
        taken = discounts_of(frequencies, smoothing, fallback=fallback)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with connect(counts.directory, "1GB", threads) as database:
            estimation = _Estimation(counts, folder, taken, max(batch, counts.vocabulary_size + 1), database)
            for done in estimation.steps():
                if progress is not None:
                    progress(done, sum(estimation.sizes))
        words = None if vocabulary is None else list(vocabulary.words)
        header = {"format": _FORMAT, "vocabulary_size": counts.vocabulary_size, "order": counts.order,
                  "sentences": counts.sentences, "sizes": estimation.sizes, "words": words}  # fmt: skip
        write_atomically(folder / _MODEL, json.dumps(header).encode())
        for order in range(2, counts.order):
            _file(folder, "suffixes", order).unlink(missing_ok=True)
    except OSError as error:
        raise RunError(f"the model can't be written to {folder}: {error.strerror or error}. Free space.") from error
    return open_mapped(folder)


def open_mapped(directory: str | Path) -> NgramModel:
    """The model that `estimate_on_disk` wrote, its arrays mapped: what isn't asked for is never read.

    Raises:
        RunError: there is none, it isn't finished, or a file is missing or has another size.
    """
    folder = Path(directory)
    try:
        header = json.loads((folder / _MODEL).read_bytes())
        if header["format"] != _FORMAT:
            raise ValueError(f"its format is {header['format']!r}")
        sizes: list[int] = header["sizes"]
        orders = range(1, header["order"] + 1)
        keys = [_whole(folder, "keys", n, np.uint64, sizes[n - 1]) for n in orders[1:]]
        log_probs = [_whole(folder, "log_probs", n, np.float64, sizes[n - 1]) for n in orders]
        backoffs = [_whole(folder, "backoffs", n, np.float64, sizes[n - 1]) for n in orders[:-1]]
    except FileNotFoundError as error:
        raise RunError(
            f"{folder} holds no finished n-gram model ({Path(error.filename).name} is missing); run estimate_on_disk "
            "again, and it goes on."
        ) from None
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise RunError(f"{folder} holds a damaged n-gram model ({error}); restore it, or estimate it anew.") from error
    sentences = None if header["sentences"] is None else Sentences(*header["sentences"])
    vocabulary = None if header["words"] is None else Vocabulary(header["words"])
    trie = Trie(header["vocabulary_size"], keys)
    return NgramModel(trie, log_probs, backoffs, sentences=sentences, vocabulary=vocabulary)


class _Place(NamedTuple):
    """How far the estimation came: n-grams of an order that are done, and contexts of theirs."""

    order: int
    rows: int
    contexts: int


class _Batch(NamedTuple):
    """Neighbours in the sorted table of an order, all n-grams of each of their contexts.

    Attributes:
        rows: their words, shape (n, order).
        adjusted: their counts, shape (n,).
    """

    rows: Indices
    adjusted: Indices


class _Estimation:
    def __init__(self, counts: DiskCounts, folder: Path, taken: Discounts, batch: int, database: Any) -> None:
        self.counts, self.folder, self.taken, self.batch, self.database = counts, folder, taken, batch, database
        self.sizes = [counts.vocabulary_size, *counts.sizes()[1:]]
        identity = json.dumps([(counts.directory / "counts.json").read_text(), taken.amounts])
        self._request = zlib.crc32(identity.encode())

    def steps(self) -> Iterator[int]:
        """Work batch by batch, and give the number of n-grams done in all orders."""
        place = self._place()
        if place.order == 1:
            self._unigrams()
            place = self._keep(_Place(2, 0, 0))
            yield self.sizes[0]
        while place.order <= self.counts.order:
            yield from self._order(place)
            place = self._keep(_Place(place.order + 1, 0, 0))

    def _unigrams(self) -> None:
        counts = self.counts
        adjusted = np.zeros(counts.vocabulary_size, np.int64)
        for path, rows in counts.parts(1):
            found = self._read(path, 1, range(rows))
            adjusted[found.rows[:, 0]] = found.adjusted
        predicted = counts.vocabulary_size - (counts.sentences is not None)
        contexts = np.zeros(len(adjusted), np.int64)
        own, left = discounted(adjusted, contexts, 1, self.taken.amounts[0], np.ones(len(adjusted), np.bool_))
        probabilities = own + left[contexts] / max(predicted, 1)
        if counts.sentences is not None:
            probabilities[counts.sentences.start] = 0.0
        with np.errstate(divide="ignore"):
            self._append("log_probs", 1, 0, np.log(probabilities))

    def _order(self, place: _Place) -> Iterator[int]:
        order = place.order
        for what in ("keys", "log_probs", "suffixes")[: 2 if order == self.counts.order else 3]:
            self._append(what, order, place.rows, np.empty(0))  # there, even if there are no such n-grams
        keys = [_Mapped(_file(self.folder, "keys", n), np.dtype(np.uint64)) for n in range(2, order)]
        log_probs = _Mapped(_file(self.folder, "log_probs", order - 1), np.dtype(np.float64))
        suffixes = _Mapped(_file(self.folder, "suffixes", order - 1), np.dtype(np.int64)) if order > 2 else None
        shorter = Trie(self.counts.vocabulary_size, [cast("Keys", each.array) for each in keys])
        for batch in self._batches(order, place.rows):
            place = self._keep(self._work(batch, place, shorter, log_probs, suffixes))
            for mapped in (*keys, log_probs, *([] if suffixes is None else [suffixes])):
                mapped.release()
            yield sum(self.sizes[: order - 1]) + place.rows
        # contexts that nothing follows have the whole weight left
        rest = np.zeros(self.sizes[order - 2] - place.contexts)
        self._append("backoffs", order - 1, place.contexts, rest)

    def _work(
        self, batch: _Batch, place: _Place, shorter: Trie, log_probs: _Mapped, suffixes: _Mapped | None
    ) -> _Place:
        """One batch, as `estimate` computes it."""
        order, words = place.order, batch.rows[:, -1]
        begins = _begins(batch.rows)
        group = np.cumsum(begins) - 1
        contexts = shorter.find(batch.rows[begins, :-1])
        amounts = self.taken.amounts[order - 1]
        own, left = discounted(batch.adjusted, group, len(contexts), amounts, np.ones(len(words), np.bool_))
        # the n-gram without its first word extends its context without its first word
        ends = words if suffixes is None else shorter.children(order - 1, suffixes.array[contexts][group], words)
        with np.errstate(divide="ignore"):
            found = np.log(own + left[group] * np.exp(log_probs.array[ends]))
            weights = np.zeros(int(contexts[-1]) + 1 - place.contexts)
            weights[contexts - place.contexts] = np.log(left)
        self._append("keys", order, place.rows, join(contexts[group], words, shorter.vocabulary_size))
        self._append("log_probs", order, place.rows, found)
        self._append("backoffs", order - 1, place.contexts, weights)
        if order < self.counts.order:
            self._append("suffixes", order, place.rows, ends)
        return _Place(order, place.rows + len(words), int(contexts[-1]) + 1)

    def _batches(self, order: int, first: int) -> Iterator[_Batch]:
        """The table of an order from row `first` on, which begins a context."""
        before = 0
        for path, rows in self.counts.parts(order):
            at = max(first - before, 0)
            while at < rows:
                stop = min(at + self.batch, rows)
                found = self._read(path, order, range(at, stop))
                if stop < rows:  # the last context may go on; no context has as many rows as a batch
                    whole = int(np.flatnonzero(_begins(found.rows))[-1])
                    found = _Batch(found.rows[:whole], found.adjusted[:whole])
                at += len(found.rows)
                yield found
            before += rows

    def _read(self, path: Path, order: int, part: range) -> _Batch:
        names = [f"w{k}" for k in range(1, order + 1)]
        query = (
            f"SELECT {', '.join(names)}, adjusted FROM read_parquet('{quoted(path)}', file_row_number = true) "
            f"WHERE file_row_number >= {part.start} AND file_row_number < {part.stop} ORDER BY file_row_number"
        )
        columns = self.database.execute(query).fetchnumpy()
        rows = np.stack([np.asarray(columns[name], np.int64) for name in names], axis=1)
        return _Batch(rows, np.asarray(columns["adjusted"], np.int64))

    def _append(self, what: str, order: int, at: int, values: NDArray[Any]) -> None:
        """Write from number `at` on; what a killed process wrote beyond it is written over."""
        path = _file(self.folder, what, order)
        with path.open("r+b" if path.exists() else "w+b") as file:
            file.truncate(at * _ITEM)
            file.seek(at * _ITEM)
            _write(file, values)

    def _place(self) -> _Place:
        try:
            kept = json.loads((self.folder / _PROGRESS).read_bytes())
            request, place = kept["request"], _Place(*kept["place"])
        except FileNotFoundError:
            return _Place(1, 0, 0)
        except (ValueError, KeyError, TypeError) as error:
            raise RunError(f"{self.folder / _PROGRESS} is damaged ({error}); delete the directory.") from error
        if request != self._request:
            raise RunError(
                f"{self.folder} holds a model of other counts or discounts; name a new directory, or delete this one."
            )
        return place

    def _keep(self, place: _Place) -> _Place:
        kept = {"request": self._request, "place": place}
        write_atomically(self.folder / _PROGRESS, json.dumps(kept).encode())
        return place


class _Mapped:
    """An array in a file; its pages can be given back, so that what was once read doesn't count as memory for ever."""

    def __init__(self, path: Path, dtype: np.dtype[Any]) -> None:
        self._map: mmap.mmap | None = None
        if path.exists() and path.stat().st_size:
            with path.open("rb") as file:
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self.array: NDArray[Any] = np.empty(0, dtype) if self._map is None else np.frombuffer(self._map, dtype)

    def release(self) -> None:
        if self._map is not None and hasattr(mmap, "MADV_DONTNEED"):
            self._map.madvise(mmap.MADV_DONTNEED)


def _begins(rows: Indices) -> NDArray[np.bool_]:
    """Which rows have another context than the one before."""
    found = np.ones(len(rows), np.bool_)
    found[1:] = (rows[1:, :-1] != rows[:-1, :-1]).any(axis=1)
    return found


def _whole(folder: Path, what: str, order: int, dtype: Any, size: int) -> NDArray[Any]:
    path = _file(folder, what, order)
    if path.stat().st_size != size * _ITEM:
        raise ValueError(f"{path.name} has {path.stat().st_size} bytes, {size * _ITEM} were written")
    return np.memmap(path, dtype, "r", shape=(size,)) if size else np.empty(0, dtype)


def _file(folder: Path, what: str, order: int) -> Path:
    return folder / f"order-{order}.{what}.bin"


def _write(file: BinaryIO, values: NDArray[Any]) -> None:
    file.write(values.astype(values.dtype.newbyteorder("<"), copy=False).tobytes())
    file.flush()
    os.fsync(file.fileno())
