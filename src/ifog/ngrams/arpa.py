"""Exchange n-gram models with other programs: ARPA files, plain or gzipped.

Owns the format: decimal logarithms, one section for each order, a back-off weight after each n-gram that is a context.
Takes and gives `NgramModel`. A damaged file is an error that names the line; never repairs one.
"""

from __future__ import annotations

import gzip
import io
import math
import os
import re
import zlib
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NoReturn, cast

import numpy as np
from numpy.typing import NDArray

from ifog.errors import DataError, RunError
from ifog.ngrams.model import NgramModel
from ifog.ngrams.trie import Indices, Keys, Trie, join
from ifog.ngrams.vocabulary import Vocabulary

__all__ = ["read_arpa", "write_arpa"]

_Floats = NDArray[np.float64]

_LN10 = math.log(10.0)
_NEVER = -99.0  # how the format writes log10 of 0
_ROWS = 1 << 16  # n-grams written at once
_COUNT = re.compile(rb"ngram\s+(\d+)\s*=\s*(\d+)")


def write_arpa(model: NgramModel, path: str | Path) -> None:
    """Write a model as an ARPA file, gzipped if the name ends with .gz, whole or not at all.

    Probabilities have nine digits; what is never predicted, `<s>`, has -99.

    Raises:
        DataError: the model has no vocabulary.
        RunError: the file can't be written.
    """
    if model.vocabulary is None:
        raise DataError(
            "an ARPA file holds words, but the model has no vocabulary; give estimate(..., vocabulary=...)."
        )
    target = Path(path)
    temporary = target.with_name(target.name + ".temporary")
    try:
        with temporary.open("wb") as plain:
            if target.name.endswith(".gz"):
                with gzip.GzipFile(target.name[:-3], "wb", 6, plain, mtime=0) as file:
                    _write(model, model.vocabulary, cast("IO[bytes]", file))
            else:
                _write(model, model.vocabulary, plain)
            plain.flush()
            os.fsync(plain.fileno())
        temporary.replace(target)
    except OSError as error:
        raise RunError(f"{target} can't be written: {error.strerror or error}. Free some space.") from error
    finally:
        temporary.unlink(missing_ok=True)


def read_arpa(path: str | Path) -> NgramModel:
    """Read an ARPA file, gzipped or not; a missing back-off weight is 0 (in logarithms: no weight at all).

    With `<s>` and `</s>` among its words each line of a text is a sentence to the model.

    Raises:
        DataError: the file is missing or damaged; names the line.
    """
    try:
        with Path(path).open("rb") as plain:
            compressed = plain.read(2) == b"\x1f\x8b"
            plain.seek(0)
            file = cast("IO[bytes]", io.BufferedReader(gzip.GzipFile(fileobj=plain))) if compressed else plain
            return _Reader(path, file).model()
    except FileNotFoundError:
        raise DataError(f"{path} doesn't exist (looked in {Path.cwd()}); check the name.") from None
    except IsADirectoryError:
        raise DataError(f"{path} is a directory; name an ARPA file.") from None


def _write(model: NgramModel, vocabulary: Vocabulary, file: IO[bytes]) -> None:
    sizes = "\n".join(f"ngram {order}={size}" for order, size in enumerate(model.trie.sizes, start=1))
    file.write(f"\\data\\\n{sizes}\n".encode())
    words = np.array(vocabulary.words, np.object_)
    for order in range(1, model.order + 1):
        file.write(f"\n\\{order}-grams:\n".encode())
        size = model.trie.sizes[order - 1]
        for first in range(0, size, _ROWS):
            part = slice(first, min(first + _ROWS, size))
            spelled = map(" ".join, words[model.trie.rows(order, part.start, part.stop)].tolist())
            log_probs = _decimal(model.log_probs[order - 1][part]).tolist()
            if order == model.order:
                lines = [f"{p:.9g}\t{gram}\n" for p, gram in zip(log_probs, spelled, strict=True)]
            else:
                weights = zip(log_probs, spelled, _decimal(model.backoffs[order - 1][part]).tolist(), strict=True)
                lines = [f"{p:.9g}\t{gram}\t{b:.9g}\n" for p, gram, b in weights]
            file.write("".join(lines).encode())
    file.write(b"\n\\end\\\n")


def _decimal(natural: _Floats) -> _Floats:
    # + 0.0: minus zero is written as zero
    return np.maximum(natural / _LN10, _NEVER) + 0.0


class _Reader:
    """One pass over a file, line by line."""

    def __init__(self, path: str | Path, file: IO[bytes]) -> None:
        self.path = path
        self.number = 0  # of the line last read, from 1
        self.lines = self._numbered(file)
        self.ids: dict[bytes, int] = {}

    def model(self) -> NgramModel:
        sizes = self._sizes()
        heading = self.heading
        log_probs: list[_Floats] = []
        backoffs: list[_Floats] = []
        keys: list[Keys] = []
        for order, size in enumerate(sizes, start=1):
            if heading != b"\\%d-grams:" % order:
                self._fail(f"{heading.decode(errors='replace')!r} stands where \\{order}-grams: should")
            own, weights, rows, where, heading = self._section(order, size, last=order == len(sizes))
            if order > 1:
                trie = Trie(len(self.ids), keys)
                joined, sorting = self._keys(trie, rows, where)
                keys.append(joined)
                own, weights = own[sorting], weights[sorting]
            log_probs.append(own)
            if order < len(sizes):
                backoffs.append(weights)
        if heading != b"\\end\\":
            self._fail(f"{heading.decode(errors='replace')!r} stands where \\end\\ should")
        try:
            vocabulary = Vocabulary([word.decode() for word in self.ids])
        except UnicodeDecodeError as error:
            raise DataError(f"{self.path}: the word {error.object!r} is not UTF-8; convert the file to it.") from error
        sentences = vocabulary.sentences
        if sentences is not None:
            log_probs[0][sentences.start] = -np.inf
        return NgramModel(Trie(len(self.ids), keys), log_probs, backoffs, sentences=sentences, vocabulary=vocabulary)

    def _numbered(self, file: IO[bytes]) -> Iterator[bytes]:
        try:
            for line in file:
                self.number += 1
                yield line
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            self.number += 1
            self._fail(f"the compressed data end or are damaged here ({error})")

    def _sizes(self) -> list[int]:
        """The number of n-grams that is declared for each order; stops at the first section."""
        for line in self.lines:
            if line.strip() == b"\\data\\":
                break
        else:
            self._fail(r"the file ends without \data\, with which an ARPA file begins")
        sizes: list[int] = []
        for line in self.lines:
            stripped = line.strip()
            if stripped.startswith(b"\\"):
                self.heading = stripped
                if not sizes:
                    self._fail("no line such as `ngram 1=5000` declares how many n-grams there are")
                return sizes
            if not stripped:
                continue
            declared = _COUNT.fullmatch(stripped)
            if declared is None or int(declared[1]) != len(sizes) + 1:
                self._fail(f"{stripped.decode(errors='replace')!r} stands where `ngram {len(sizes) + 1}=NUMBER` should")
            sizes.append(int(declared[2]))
        self._fail(r"the file ends before \1-grams:")

    def _section(self, order: int, size: int, *, last: bool) -> tuple[_Floats, _Floats, Indices, Indices, bytes]:
        """One order: its probabilities, weights, words and line numbers, and the heading that comes after it."""
        own, weights, rows, where = array("d"), array("d"), array("q"), array("q")
        for line in self.lines:
            fields = line.split()
            if not fields:
                continue
            if len(fields) == 1 and line.startswith(b"\\"):
                if len(own) != size:
                    self._fail(f"{len(own)} {order}-grams were listed, but \\data\\ declares {size}")
                found = (
                    np.frombuffer(rows, np.int64).reshape(-1, order) if len(rows) else np.empty((0, order), np.int64)
                )
                numbers = np.frombuffer(where, np.int64) if len(where) else np.empty(0, np.int64)
                return _natural(own), _natural(weights), found, numbers, fields[0]
            if len(fields) != order + 1 and (last or len(fields) != order + 2):
                wanted = f"{order + 1}" if last else f"{order + 1} or {order + 2}"
                self._fail(f"a {order}-gram's line has {wanted} fields, this one {len(fields)}")
            own.append(self._logarithm(fields[0], "probability", highest=0.0))
            if order == 1:
                if fields[1] in self.ids:
                    self._fail(f"the word {fields[1].decode(errors='replace')!r} is listed a second time")
                self.ids[fields[1]] = len(self.ids)
            rows.extend([self._id(word) for word in fields[1 : order + 1]])
            weights.append(self._logarithm(fields[-1], "back-off weight") if len(fields) == order + 2 else 0.0)
            where.append(self.number)
        self._fail(f"the file ends within the {order}-grams, without \\end\\")

    def _keys(self, trie: Trie, rows: Indices, where: Indices) -> tuple[Keys, Indices]:
        """The sorted keys of n-grams written out, and the order that sorts them."""
        contexts = trie.find(rows[:, :-1])
        if (contexts < 0).any():
            self.number = int(where[np.argmax(contexts < 0)])
            self._fail(f"the {rows.shape[1]}-gram's first {rows.shape[1] - 1} words aren't listed as an n-gram")
        keys = join(contexts, rows[:, -1], trie.vocabulary_size)
        sorting = np.argsort(keys, kind="stable")
        keys = keys[sorting]
        repeated = np.flatnonzero(keys[1:] == keys[:-1])
        if len(repeated):
            self.number = int(where[sorting[repeated[0] + 1]])
            self._fail(f"the {rows.shape[1]}-gram is listed a second time")
        return keys, sorting

    def _logarithm(self, text: bytes, what: str, highest: float = math.inf) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not value <= highest:
            self._fail(f"{text.decode(errors='replace')!r} is no logarithm of a {what}")
        return value

    def _id(self, word: bytes) -> int:
        found = self.ids.get(word)
        if found is None:
            self._fail(f"the word {word.decode(errors='replace')!r} isn't listed among the 1-grams")
        return found

    def _fail(self, what: str) -> NoReturn:
        raise DataError(
            f"{self.path}, line {self.number}: {what}. The file is damaged or cut off; restore it, or write it anew."
        )


def _natural(decimal: array[float]) -> _Floats:
    values = np.array(decimal, np.float64)
    return np.where(values <= _NEVER, -np.inf, values * _LN10)
