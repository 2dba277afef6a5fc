"""Pretrained word vectors from text files, as word2vec, GloVe and fastText write them.

Owns the reading. Takes a path, gives words and a matrix. Never downloads anything and never knows a model.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ifog.errors import DataError
from ifog.examples.plain import excerpt, lines_of

__all__ = ["Vectors", "read_vectors"]


@dataclass(frozen=True)
class Vectors:
    """Words with a vector each.

    Attributes:
        words: N different ones, in the order of the file.
        values: (N, D).
    """

    words: tuple[str, ...]
    values: NDArray[np.float32]


def read_vectors(path: str | Path, *, words: Container[str] | None = None, limit: int | None = None) -> Vectors:
    r"""The vectors of a text file: a word and its numbers on each line, with blanks between them.

    A first line of two whole numbers, as word2vec and fastText write (how many words, how many numbers), is no vector.
    A word may hold blanks itself; of a word that comes twice, the first counts.

    Args:
        path: the file; ".gz" is unpacked.
        words: only these are kept; None: all.
        limit: only so many vectors are read, from the start, where the frequent words are; None: all.

    Raises:
        DataError: the file can't be read or has no vector; a line has another number of values than the first, or
            something that is no finite number. Names the line.

    Examples:
        >>> file = getfixture("tmp_path") / "tiny.txt"
        >>> _ = file.write_text("2 3\nking 1 0 0.5\nqueen 0 1 0.5\n")
        >>> vectors = read_vectors(file)
        >>> vectors.words, vectors.values.shape
        (('king', 'queen'), (2, 3))
    """
    rows: dict[str, NDArray[np.float32]] = {}
    size = header = 0
    for number, line in enumerate(lines_of(path), 1):
        if number == 1 and _is_header(line):
            header = 1
            continue
        if limit is not None and number - header > limit:
            break
        parts = line.rstrip(" \r\n").split(" ")
        size = size or len(parts) - 1
        if size < 1 or len(parts) <= size:
            wanted = f"a word and {size} numbers" if size else "a word and its numbers"
            raise DataError(f"{path}:{number}: {wanted} with blanks between them are expected, not {excerpt(line)}.")
        word = " ".join(parts[:-size])
        if word in rows or (words is not None and word not in words):
            continue
        rows[word] = _numbers(f"{path}:{number}", parts[-size:])
    if not size:
        raise DataError(f"{path}: there is no vector in it; give a file with a word and its numbers on each line.")
    return Vectors(tuple(rows), np.stack(list(rows.values())) if rows else np.zeros((0, size), np.float32))


def _is_header(line: str) -> bool:
    parts = line.split()
    return len(parts) == 2 and all(part.isdecimal() for part in parts)


def _numbers(where: str, parts: list[str]) -> NDArray[np.float32]:
    try:
        with np.errstate(over="ignore"):  # what is too large becomes infinite, and is refused below
            values = np.array(parts, dtype=np.float32)
    except ValueError as error:
        raise DataError(
            f"{where}: something other than a number follows the word ({excerpt(str(error), 80)})."
        ) from error
    if not np.isfinite(values).all():
        raise DataError(f"{where}: the vector holds NaN or infinity; leave the word out.")
    return values
