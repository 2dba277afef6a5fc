"""Turn text into ids and back: by character or by byte.

Owns the two tokenizers, their JSON files and streaming decoders. Takes text, gives NumPy arrays of ids.
Never reads a corpus and never knows a model.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ifog.errors import DataError, RunError
from ifog.runs import write_atomically

__all__ = ["ByteTokenizer", "CharTokenizer", "Decoder", "Ids", "Tokenizer", "id_dtype", "load_tokenizer"]

Ids: TypeAlias = NDArray[np.uint8] | NDArray[np.uint16] | NDArray[np.uint32]

_CODE_POINTS = 0x110000
_UTF32 = "utf-32-le"


def id_dtype(vocabulary_size: int) -> np.dtype[Any]:
    """The smallest little-endian unsigned type that holds every id."""
    for name in ("<u1", "<u2"):
        if vocabulary_size <= np.iinfo(name).max + 1:
            return np.dtype(name)
    return np.dtype("<u4")


class Decoder(Protocol):
    """Decodes one id at a time, for text that appears as it is made."""

    def feed(self, token: int) -> str:
        """The text that this id completes; empty while a character is still in parts."""
        ...

    def finish(self) -> str:
        """What is left at the end: a replacement sign where a character stayed incomplete."""
        ...


class Tokenizer(Protocol):
    """What the rest of the package asks of a tokenizer."""

    @property
    def kind(self) -> str:
        """The name in tokenizer.json and on the command line."""
        ...

    @property
    def vocabulary_size(self) -> int:
        """Number of ids V; every id is in 0 ... V - 1."""
        ...

    def encode(self, text: str) -> Ids:
        """Text to ids, shape (length,)."""
        ...

    def encode_bytes(self, content: bytes) -> Ids:
        """UTF-8 to ids, shape (length,)."""
        ...

    def decode(self, ids: Iterable[int]) -> str:
        """Ids to text."""
        ...

    def decoder(self) -> Decoder:
        """A new streaming decoder."""
        ...

    def save(self, path: str | Path) -> None:
        """Write tokenizer.json."""
        ...


class CharTokenizer:
    """One id per character of an alphabet.

    Args:
        alphabet: The characters; id i is the i-th. Each may occur once.

    Examples:
        >>> tokenizer = CharTokenizer("ehlo")
        >>> tokenizer.encode("hello").tolist()
        [1, 0, 2, 2, 3]
        >>> tokenizer.decode([1, 0, 2, 2, 3])
        'hello'
    """

    kind = "char"

    def __init__(self, alphabet: str) -> None:
        points = _code_points(alphabet)
        if len(points) == 0:
            raise DataError("the alphabet of a character tokenizer is empty; give at least one character.")
        if len(np.unique(points)) != len(points):
            twice = next(c for c in alphabet if alphabet.count(c) > 1)
            raise DataError(f"the alphabet holds {twice!r} twice; give each character once.")
        self.alphabet = alphabet
        self._points = points
        # One look-up per character; -1 marks what the alphabet lacks.
        self._table = np.full(_CODE_POINTS, -1, dtype=np.int32)
        self._table[points] = np.arange(len(points), dtype=np.int32)

    @classmethod
    def from_chunks(cls, chunks: Iterable[str]) -> CharTokenizer:
        """The tokenizer whose alphabet is every character that occurs, sorted by code point."""
        present = np.zeros(_CODE_POINTS, dtype=bool)
        for chunk in chunks:
            present[_code_points(chunk)] = True
        return cls(_text(np.flatnonzero(present).astype("<u4")))

    @property
    def vocabulary_size(self) -> int:
        """Number of characters V."""
        return len(self._points)

    def encode(self, text: str) -> Ids:
        """Text to ids, shape (length,).

        Raises:
            DataError: A character is not in the alphabet; says which, where, and what to do.
        """
        ids = self._table[_code_points(text)]
        if ids.size and ids.min() < 0:
            position = int(np.argmax(ids < 0))
            raise DataError(_unknown(text[position], position, self.alphabet))
        return ids.astype(id_dtype(self.vocabulary_size))

    def encode_bytes(self, content: bytes) -> Ids:
        """UTF-8 to ids, shape (length,)."""
        return self.encode(content.decode("utf-8"))

    def decode(self, ids: Iterable[int]) -> str:
        """Ids to text.

        Raises:
            DataError: An id is outside 0 ... V - 1.
        """
        array = np.asarray(ids if isinstance(ids, np.ndarray) else [int(i) for i in ids], dtype=np.int64)
        _check_ids(array, self.vocabulary_size)
        return _text(self._points[array])

    def decoder(self) -> Decoder:
        """A new streaming decoder."""
        return _CharDecoder(self.alphabet)

    def save(self, path: str | Path) -> None:
        """Write tokenizer.json atomically."""
        _write(path, {"kind": self.kind, "alphabet": self.alphabet})


class ByteTokenizer:
    """One id per byte of the UTF-8 form: 256 ids that hold any text.

    Examples:
        >>> ByteTokenizer().encode("é").tolist()
        [195, 169]
    """

    kind = "byte"
    vocabulary_size = 256

    def encode(self, text: str) -> Ids:
        """Text to ids, shape (bytes,)."""
        return self.encode_bytes(text.encode("utf-8", "surrogateescape"))

    def encode_bytes(self, content: bytes) -> Ids:
        """Bytes to ids, shape (bytes,)."""
        return np.frombuffer(content, dtype="<u1")

    def decode(self, ids: Iterable[int]) -> str:
        """Ids to text; bytes that are no UTF-8 become replacement signs.

        Raises:
            DataError: An id is outside 0 ... 255.
        """
        array = np.asarray(ids if isinstance(ids, np.ndarray) else [int(i) for i in ids], dtype=np.int64)
        _check_ids(array, self.vocabulary_size)
        return array.astype(np.uint8).tobytes().decode("utf-8", "replace")

    def decoder(self) -> Decoder:
        """A new streaming decoder."""
        return _ByteDecoder()

    def save(self, path: str | Path) -> None:
        """Write tokenizer.json atomically."""
        _write(path, {"kind": self.kind})


class _CharDecoder:
    def __init__(self, alphabet: str) -> None:
        self._alphabet = alphabet

    def feed(self, token: int) -> str:
        return self._alphabet[token]

    def finish(self) -> str:
        return ""


class _ByteDecoder:
    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def feed(self, token: int) -> str:
        return self._decoder.decode(bytes([token]))

    def finish(self) -> str:
        return self._decoder.decode(b"", final=True)


def load_tokenizer(path: str | Path) -> CharTokenizer | ByteTokenizer:
    """Read tokenizer.json.

    Raises:
        RunError: The file is missing or damaged.
    """
    try:
        content: Any = json.loads(Path(path).read_bytes())
        kind = content["kind"]
        if kind == ByteTokenizer.kind:
            return ByteTokenizer()
        if kind == CharTokenizer.kind:
            return CharTokenizer(content["alphabet"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, DataError) as error:
        raise RunError(f"{path} is no tokenizer file: {error}. Restore it from a copy, or train anew.") from error
    raise RunError(f"{path} holds a tokenizer of kind {kind!r}; known are 'byte' and 'char'.")


def _code_points(text: str) -> NDArray[np.uint32]:
    return np.frombuffer(text.encode(_UTF32, "surrogatepass"), dtype="<u4")


def _text(points: NDArray[np.uint32]) -> str:
    return points.astype("<u4").tobytes().decode(_UTF32, "surrogatepass")


def _unknown(character: str, position: int, alphabet: str) -> str:
    shown = alphabet if len(alphabet) <= 120 else alphabet[:120] + "..."
    return (
        f"the character {character!r} (U+{ord(character):04X}) at position {position} of the text is not among the "
        f"{len(alphabet)} characters of this tokenizer, {shown!r}. Leave it out, or train with --tokenizer byte, "
        f"which takes any text."
    )


def _check_ids(ids: NDArray[np.int64], vocabulary_size: int) -> None:
    if ids.size and (ids.min() < 0 or ids.max() >= vocabulary_size):
        wrong: Sequence[int] = ids[(ids < 0) | (ids >= vocabulary_size)].tolist()
        raise DataError(f"the id {wrong[0]} is outside 0 ... {vocabulary_size - 1}, the ids of this tokenizer.")


def _write(path: str | Path, content: dict[str, str]) -> None:
    target = Path(path)
    try:
        write_atomically(target, json.dumps(content).encode())
    except OSError as error:
        raise RunError(
            f"{target} can't be written: {error.strerror or error}. Free some space and start again."
        ) from error
