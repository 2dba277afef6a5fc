"""Turn text into ids and back: what every tokenizer is asked for, and the two without a vocabulary to learn.

Owns the protocols, the character and the byte tokenizer, tokenizer.json and its reading. Words are in `words`, byte
pairs in `bpe`. Takes text, gives NumPy arrays of ids. Never reads a corpus and never knows a model.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ifog.errors import ConfigError, DataError, RunError
from ifog.writing import write_atomically

__all__ = [
    "ByteTokenizer",
    "CharTokenizer",
    "Decoder",
    "Encoder",
    "Ids",
    "Tokenizer",
    "checked_ids",
    "id_dtype",
    "joined",
    "load_tokenizer",
    "write_tokenizer",
]

Ids: TypeAlias = NDArray[np.uint8] | NDArray[np.uint16] | NDArray[np.uint32]

_CODE_POINTS = 0x110000
_UTF32 = "utf-32-le"


def id_dtype(vocabulary_size: int) -> np.dtype[Any]:
    """The smallest little-endian unsigned type that holds every id.

    Raises:
        ConfigError: There are more ids than 32 bits can tell apart.
    """
    for name in ("<u1", "<u2", "<u4"):
        if vocabulary_size <= np.iinfo(name).max + 1:
            return np.dtype(name)
    raise ConfigError(
        f"the vocabulary has {vocabulary_size} tokens, but an id has 32 bits, which tell {2**32} apart; "
        f"give a smaller vocabulary size, or a higher minimum count."
    )


class Encoder(Protocol):
    """Encodes a text that comes in pieces, which may be cut anywhere, to the ids of the whole."""

    def feed(self, text: str) -> Ids:
        """The ids that this piece completes, shape (length,)."""
        ...

    def finish(self) -> Ids:
        """The ids of what is left at the end, shape (length,)."""
        ...


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

    def encoder(self) -> Encoder:
        """A new encoder for a text in pieces."""
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

    def encoder(self) -> Encoder:
        """A new encoder for a text in pieces."""
        return _PieceEncoder(self)

    def decode(self, ids: Iterable[int]) -> str:
        """Ids to text.

        Raises:
            DataError: An id is outside 0 ... V - 1.
        """
        return _text(self._points[checked_ids(ids, self.vocabulary_size)])

    def decoder(self) -> Decoder:
        """A new streaming decoder."""
        return _CharDecoder(self.alphabet)

    def save(self, path: str | Path) -> None:
        """Write tokenizer.json atomically."""
        write_tokenizer(path, {"kind": self.kind, "alphabet": self.alphabet})


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

    def encoder(self) -> Encoder:
        """A new encoder for a text in pieces."""
        return _PieceEncoder(self)

    def decode(self, ids: Iterable[int]) -> str:
        """Ids to text; bytes that are no UTF-8 become replacement signs.

        Raises:
            DataError: An id is outside 0 ... 255.
        """
        return checked_ids(ids, self.vocabulary_size).astype(np.uint8).tobytes().decode("utf-8", "replace")

    def decoder(self) -> Decoder:
        """A new streaming decoder."""
        return _ByteDecoder()

    def save(self, path: str | Path) -> None:
        """Write tokenizer.json atomically."""
        write_tokenizer(path, {"kind": self.kind})


class _PieceEncoder:
    """Where each piece's ids are those of the piece alone."""

    def __init__(self, tokenizer: CharTokenizer | ByteTokenizer) -> None:
        self._tokenizer = tokenizer

    def feed(self, text: str) -> Ids:
        return self._tokenizer.encode(text)

    def finish(self) -> Ids:
        return self._tokenizer.encode("")


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


def load_tokenizer(path: str | Path) -> Tokenizer:
    """Read tokenizer.json.

    Raises:
        RunError: The file is missing or damaged.
    """
    from ifog.data.bpe import BPETokenizer  # these two need this module
    from ifog.data.words import WordTokenizer

    try:
        content: Any = json.loads(Path(path).read_bytes())
        kind = content["kind"]
        if kind == ByteTokenizer.kind:
            return ByteTokenizer()
        if kind == CharTokenizer.kind:
            return CharTokenizer(content["alphabet"])
        if kind == WordTokenizer.kind:
            return WordTokenizer(content["words"])
        if kind == BPETokenizer.kind:
            return BPETokenizer(json.dumps(content["model"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, DataError) as error:
        raise RunError(f"{path} is no tokenizer file: {error}. Restore it from a copy, or train anew.") from error
    raise RunError(f"{path} holds a tokenizer of kind {kind!r}; known are 'bpe', 'byte', 'char' and 'word'.")


def joined(parts: Sequence[Ids], dtype: np.dtype[Any]) -> Ids:
    """Arrays of ids one after another, shape (length,); none of them gives an empty array."""
    return np.concatenate([np.empty(0, dtype), *parts])


def checked_ids(ids: Iterable[int], vocabulary_size: int) -> NDArray[np.int64]:
    """Ids as an array, shape (length,).

    Raises:
        DataError: An id is outside 0 ... V - 1.
    """
    array = np.asarray(ids if isinstance(ids, np.ndarray) else [int(i) for i in ids], dtype=np.int64)
    if array.size and (array.min() < 0 or array.max() >= vocabulary_size):
        wrong: Sequence[int] = array[(array < 0) | (array >= vocabulary_size)].tolist()
        raise DataError(f"the id {wrong[0]} is outside 0 ... {vocabulary_size - 1}, the ids of this tokenizer.")
    return array


def write_tokenizer(path: str | Path, content: dict[str, Any]) -> None:
    """Write tokenizer.json atomically.

    Raises:
        RunError: The disk is full.
    """
    target = Path(path)
    try:
        write_atomically(target, json.dumps(content).encode())
    except OSError as error:
        raise RunError(
            f"{target} can't be written: {error.strerror or error}. Free some space and start again."
        ) from error


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
