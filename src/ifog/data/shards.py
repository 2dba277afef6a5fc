"""Read a corpus larger than the memory in shards, and keep what was done with each: its words counted, its ids written.

Owns a directory of ids, one file for each shard, and the progress of counting words. What is finished appears whole or
not at all, so a process that is killed loses the shard it was at, and the same call goes on. Takes a corpus and a
tokenizer, gives `WordCounts` and one row of ids in several mapped files. Never holds a shard.
"""

from __future__ import annotations

import json
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np

from ifog.data.corpus import Corpus
from ifog.data.files import map_ids, write_ids
from ifog.data.tokenizers import Ids, Tokenizer, id_dtype
from ifog.data.words import COUNTED, WordCounts
from ifog.errors import RunError
from ifog.writing import write_atomically

__all__ = ["SHARD_BYTES", "ShardedIds", "count_words", "encode_shards", "open_shards"]

SHARD_BYTES = 1 << 26  # of text: some seconds of work

_MANIFEST = "ids.json"


class ShardedIds:
    """One row of ids in several files, read by slices as one array would be.

    A slice within one file is a view of the mapped file; one that reaches over files is a copy.

    Args:
        paths: The files, in order.
        lengths: Ids in each.
        dtype: Of an id.

    Raises:
        RunError: A file is missing, or has another size.
    """

    ndim = 1

    def __init__(self, paths: Sequence[Path], lengths: Sequence[int], dtype: np.dtype[Any]) -> None:
        self.dtype = dtype
        self._shards = [map_ids(path, dtype, length) for path, length in zip(paths, lengths, strict=True) if length]
        self._ends = np.cumsum([len(shard) for shard in self._shards], dtype=np.int64)

    @property
    def shape(self) -> tuple[int]:
        """(length,)."""
        return (len(self),)

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def __getitem__(self, part: slice) -> Ids:
        start, stop, step = part.indices(len(self))
        if step != 1:
            raise IndexError(f"sharded ids are read in order, not in steps of {step}; take steps of the slice.")
        pieces: list[Ids] = []
        number = int(np.searchsorted(self._ends, start, "right"))
        while start < stop:
            shard, end = self._shards[number], int(self._ends[number])
            first = end - len(shard)
            pieces.append(shard[start - first : min(stop, end) - first])
            start, number = end, number + 1
        if len(pieces) == 1:
            return pieces[0]
        return cast("Ids", np.concatenate(pieces) if pieces else np.empty(0, self.dtype))


def count_words(
    corpus: Corpus,
    path: str | Path,
    *,
    limit: int = COUNTED,
    shard_bytes: int = SHARD_BYTES,
    progress: Callable[[int, int], None] | None = None,
) -> WordCounts:
    """Count a corpus's words in one pass with bounded memory, or go on where a killed process stopped.

    Args:
        corpus: The text.
        path: A file for the counts so far, replaced after each shard; it stays when all are counted.
        limit: Different words held, see `WordCounts`.
        shard_bytes: Of text, between two writings.
        progress: Called with the shards done and all shards.

    Raises:
        ConfigError: A number is out of its range.
        DataError: The text is binary or not UTF-8.
        RunError: `path` holds the counts of something else, or can't be written.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     counted = count_words(Corpus.from_text("to be or not to be"), f"{folder}/counts", shard_bytes=8)
        >>> counted.total, counted.counts["be"]
        (6, 2)
    """
    shards = corpus.shards(shard_bytes)
    counted = WordCounts(limit)
    request = {"corpus": corpus.fingerprint(), "limit": limit, "shard_bytes": shard_bytes}
    file = Path(path)
    for number in range(_restore(counted, file, request), len(shards)):
        counted.read(corpus.texts(shards[number], lines=True))
        header = {**request, "shards": number + 1, "total": counted.total, "undercount": counted.undercount}
        lines = [json.dumps(header), *(f"{word} {count}" for word, count in counted.counts.items())]
        _write(file, "\n".join(lines).encode())
        if progress is not None:
            progress(number + 1, len(shards))
    return counted


def encode_shards(
    corpus: Corpus,
    tokenizer: Tokenizer,
    directory: str | Path,
    *,
    shard_bytes: int = SHARD_BYTES,
    progress: Callable[[int, int], None] | None = None,
) -> ShardedIds:
    """Write a corpus's ids, a file for each shard, or go on where a killed process stopped.

    Args:
        corpus: The text.
        tokenizer: What makes the ids.
        directory: New, or that of the same request; `ids.json` in it tells what was finished.
        shard_bytes: Of text in each.
        progress: Called with the shards done and all shards.

    Returns:
        The ids of the whole corpus, shape (length,), equal to those of `encode_corpus`.

    Raises:
        ConfigError: `shard_bytes` is below 1.
        DataError: The text is binary, not UTF-8, or holds characters unknown to `tokenizer`.
        RunError: The directory holds something else, or can't be written.
    """
    folder = Path(directory)
    shards = corpus.shards(shard_bytes)
    dtype = id_dtype(tokenizer.vocabulary_size)
    request = {"dtype": dtype.str, "corpus": corpus.fingerprint(), "tokenizer": _checksum(tokenizer, folder),
               "shard_bytes": shard_bytes, "shards": len(shards)}  # fmt: skip
    manifest = _manifest(folder) or {**request, "lengths": []}
    if different := sorted(name for name in request if manifest.get(name) != request[name]):
        raise _other(folder, different)
    lengths: list[int] = manifest["lengths"]
    for number in range(len(lengths), len(shards)):
        try:
            lengths.append(write_ids(corpus, tokenizer, _shard(folder, number), shards[number]))
        except OSError as error:
            raise RunError(f"the ids can't be written to {folder}: {error.strerror or error}. Free space.") from error
        _write(folder / _MANIFEST, json.dumps(manifest).encode())
        if progress is not None:
            progress(number + 1, len(shards))
    return open_shards(folder)


def open_shards(directory: str | Path) -> ShardedIds:
    """Map the ids that `encode_shards` wrote.

    Raises:
        RunError: A file is missing or damaged, or not all shards are there yet.
    """
    folder = Path(directory)
    manifest = _manifest(folder)
    if manifest is None:
        raise RunError(f"{folder} holds no {_MANIFEST}: nothing was encoded there; encode the corpus first.")
    lengths: list[int] = manifest["lengths"]
    if len(lengths) != manifest["shards"]:
        raise RunError(
            f"{folder} holds {len(lengths)} of {manifest['shards']} shards: encoding was stopped; run it again, and it "
            "goes on with the next one."
        )
    return ShardedIds([_shard(folder, n) for n in range(len(lengths))], lengths, np.dtype(manifest["dtype"]))


def _restore(counted: WordCounts, file: Path, request: dict[str, Any]) -> int:
    """Take the counts of the shards that were finished, and give their number."""
    try:
        with file.open(encoding="utf-8", newline="\n") as lines:
            header = json.loads(next(lines))
            if different := sorted(name for name in request if header.get(name) != request[name]):
                raise _other(file, different)
            pairs = (line.rsplit(" ", 1) for line in lines)
            counted.counts = Counter({word: int(count) for word, count in pairs})
            counted.total, counted.undercount = int(header["total"]), int(header["undercount"])
            return int(header["shards"])
    except FileNotFoundError:
        return 0
    except (StopIteration, ValueError, KeyError, AttributeError) as error:
        raise RunError(f"{file} holds no counts of words, or is damaged ({error!r}); delete it.") from error


def _manifest(folder: Path) -> dict[str, Any] | None:
    try:
        manifest = json.loads((folder / _MANIFEST).read_bytes())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise RunError(f"{folder / _MANIFEST} is damaged ({error}); delete it, and encode the corpus anew.") from error
    if not isinstance(manifest, dict) or not {"dtype", "lengths", "shards"} <= manifest.keys():
        raise RunError(f"{folder / _MANIFEST} describes no ids; delete it, and encode the corpus anew.")
    return cast("dict[str, Any]", manifest)


def _checksum(tokenizer: Tokenizer, folder: Path) -> int:
    """Of all that the tokenizer is, which is also kept beside its ids."""
    file = folder / "tokenizer.json"
    wanted = folder / "tokenizer.json.wanted"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tokenizer.save(wanted)
        checksum = zlib.crc32(wanted.read_bytes())
        if file.exists():
            wanted.unlink()
        else:
            wanted.replace(file)
    except OSError as error:
        raise RunError(f"{folder} can't be written: {error.strerror or error}.") from error
    return checksum


def _shard(folder: Path, number: int) -> Path:
    return folder / f"ids-{number:06d}.bin"


def _write(path: Path, content: bytes) -> None:
    try:
        write_atomically(path, content)
    except OSError as error:
        raise RunError(f"{path} can't be written: {error.strerror or error}. Free some space.") from error


def _other(place: Path, different: Sequence[str]) -> RunError:
    return RunError(
        f"{place} belongs to something else ({', '.join(different)} differ); name another place, or delete this one."
    )
