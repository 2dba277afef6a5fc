"""Words and their ids, for n-gram models of text that is split at white space.

Owns the special words of such texts: `<s>`, `</s>` and `<unk>` where each line is a sentence, `<eos>` where the text is
one stream. Takes files line by line, so that they may be larger than the memory, gives ids. Never counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ifog.errors import DataError
from ifog.ngrams.trie import Sentences

if TYPE_CHECKING:
    from typing import Self

__all__ = ["END", "EOS", "START", "UNKNOWN", "Vocabulary"]

START, END, UNKNOWN, EOS = "<s>", "</s>", "<unk>", "<eos>"

_BATCH = 1 << 16  # ids gathered before they become an array


class Vocabulary:
    """A list of different words; a word's id is its place.

    Attributes:
        words: as they were given.

    Raises:
        DataError: a word is empty, holds white space, or stands there twice.

    Examples:
        >>> vocabulary = Vocabulary(["<unk>", "<s>", "</s>", "a", "rose"])
        >>> vocabulary.encode(["a", "rose", "window"]).tolist()
        [3, 4, 0]
    """

    def __init__(self, words: Sequence[str]) -> None:
        self.words = tuple(words)
        self._ids = {word.encode(): at for at, word in enumerate(self.words)}
        if len(self._ids) != len(self.words):
            twice = next(word for at, word in enumerate(self.words) if self._ids[word.encode()] != at)
            raise DataError(f"the vocabulary holds {twice!r} twice, but a word has one id; give it once.")
        for word in self._ids:
            if word.split() != [word]:
                raise DataError(f"the vocabulary holds {word.decode()!r}, but a word has letters and no white space.")

    @classmethod
    def from_files(cls, paths: Iterable[str | Path], *, sentences: bool = True, closed: bool = False) -> Self:
        """The words of text files, in the order of their first appearance, after the special ones.

        Args:
            paths: UTF-8 text.
            sentences: whether each line is a sentence, `<s> ... </s>`, or ends with `<eos>` as an ordinary word.
            closed: leave out `<unk>` if the texts don't hold it; else it stands for every word they don't hold.

        Raises:
            DataError: a file is missing, not UTF-8, or holds one of the special words but `<unk>`.
        """
        special = (START, END) if sentences else (EOS,)
        found = dict.fromkeys(word.encode() for word in (*(() if closed else (UNKNOWN,)), *special))
        for path in paths:
            for number, words in _lines(path):
                for word in words:
                    if word not in found:
                        found[word] = None
                if any(word.encode() in words for word in special):
                    raise DataError(
                        f"{path}, line {number}: holds one of {', '.join(special)}, which are put there here; take "
                        "it out of the text."
                    )
        try:
            return cls([word.decode() for word in found])
        except UnicodeDecodeError as error:
            raise DataError(
                f"the text holds {error.object!r}, which is not UTF-8; convert it, as `iconv -f latin1 -t utf-8` does."
            ) from error

    def __len__(self) -> int:
        return len(self.words)

    def __contains__(self, word: str) -> bool:
        return word.encode() in self._ids

    @property
    def sentences(self) -> Sentences | None:
        """The ids of `<s>` and `</s>`; None if one is missing."""
        return Sentences(self.id(START), self.id(END)) if START in self and END in self else None

    def id(self, word: str) -> int:
        """The id of a word, or of `<unk>` if it isn't in the vocabulary.

        Raises:
            DataError: neither is.
        """
        return self._id(word.encode(), "")

    def encode(self, words: Iterable[str]) -> NDArray[np.uint32]:
        """The ids of words, shape (number of words,).

        Raises:
            DataError: a word is unknown, and there is no `<unk>`.
        """
        return np.fromiter((self._id(word.encode(), "") for word in words), np.uint32)

    def decode(self, ids: Iterable[int]) -> list[str]:
        """The words of ids.

        Raises:
            DataError: an id is outside the vocabulary.
        """
        found: list[str] = []
        for token in ids:
            if not 0 <= token < len(self.words):
                raise DataError(f"id {token} is outside the vocabulary, whose ids are 0 to {len(self.words) - 1}.")
            found.append(self.words[token])
        return found

    def encode_file(self, path: str | Path) -> NDArray[np.uint32]:
        """The ids of a text file, with `</s>` (or `<eos>`, if there is no `<s>`) at the end of each line, shape (T,).

        Raises:
            DataError: the file is missing, or holds an unknown word and there is no `<unk>`.
        """
        pieces = list(self.encode_pieces(path))
        return np.concatenate(pieces) if pieces else np.empty(0, np.uint32)

    def encode_pieces(self, path: str | Path) -> Iterator[NDArray[np.uint32]]:
        """The ids of a text file in pieces, so that the file may be larger than the memory.

        Raises:
            DataError: as `encode_file`.
        """
        end = self.id(EOS) if self.sentences is None else self.id(END)
        known, piece = self._ids, list[int]()
        for number, words in _lines(path):
            try:
                piece.extend([known[word] for word in words])
            except KeyError:
                piece.extend([self._id(word, f"{path}, line {number}: ") for word in words])
            piece.append(end)
            if len(piece) >= _BATCH:
                yield np.array(piece, np.uint32)
                piece = []
        if piece:
            yield np.array(piece, np.uint32)

    def _id(self, word: bytes, where: str) -> int:
        found = self._ids.get(word)
        if found is None:
            found = self._ids.get(UNKNOWN.encode())
        if found is None:
            raise DataError(
                f"{where}the word {word.decode(errors='replace')!r} is not among the {len(self.words)} of the "
                f"vocabulary, which has no {UNKNOWN} to stand for it; add {UNKNOWN} to it, or take the word out."
            )
        return found


def _lines(path: str | Path) -> Iterator[tuple[int, list[bytes]]]:
    """The words of each line, with its number from 1."""
    try:
        with Path(path).open("rb") as file:
            for number, line in enumerate(file, start=1):
                yield number, line.split()
    except FileNotFoundError:
        raise DataError(f"{path} doesn't exist (looked in {Path.cwd()}); check the name.") from None
    except IsADirectoryError:
        raise DataError(f"{path} is a directory; name the text files in it.") from None
