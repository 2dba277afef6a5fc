"""How tagged sentences become numbers.

Owns the ids of words, of their characters and of tags, and the way of tags of spans into the scheme that is learned.
Takes tables, gives examples. Never knows a model.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import cached_property
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from ifog.errors import DataError
from ifog.examples import Examples, Ragged, Table, Vocabulary
from ifog.examples.spans import to_iob2
from ifog.examples.tagged import where_word
from ifog.tasks.prepared import plain

__all__ = ["TaggingEncoding", "normalised", "strings_of"]


@dataclasses.dataclass(frozen=True)
class TaggingEncoding:
    """How words and tags become numbers.

    Attributes:
        words: the vocabulary, without the unknown word: those of training by frequency, then those that have only a
            pretrained vector.
        seen: how many of the words occur in training.
        frequent: how many of them more than once.
        characters: those of training by frequency; none: words are not spelled.
        tags: in the order of their scores.
        scheme: how tags mark spans in the training file, see `span_scheme`. IOB1 is learned as IOB2 and predictions
            are given back in IOB1.
        lower: whether capitals are read as small letters.
        zero_digits: whether every digit is read as 0.
        longest_word: characters of a word that are read.
    """

    words: tuple[str, ...]
    seen: int
    frequent: int
    characters: tuple[str, ...]
    tags: tuple[str, ...]
    scheme: str | None
    lower: bool
    zero_digits: bool
    longest_word: int

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """The words by id."""
        return Vocabulary(self.words)

    @property
    def notes(self) -> tuple[str, ...]:
        """What the files left open and was decided here, for whoever started training."""
        if self.scheme is None:
            return ()
        learned = ", learned as IOB2; predictions are given in IOB1" if self.scheme == "IOB1" else ""
        return (f"The tags mark spans ({self.scheme}{learned}); entity F1 counts.",)

    def encode(self, table: Table, *, labelled: bool = True) -> Examples:
        """See `ifog.tasks.kind.Encoding`."""
        sentences = [strings_of(table, row, "words") for row in range(len(table))]
        normal = [[normalised(word, self.lower, self.zero_digits) for word in words] for words in sentences]
        columns: dict[str, Any] = {"words": Ragged.of([self.vocabulary.encode(words) for words in normal], np.int32)}
        if self.characters:
            columns["spellings"] = self._spellings(sentences)
        if labelled:
            columns["tags"] = self._tags(table, sentences)
        return Examples(columns)

    def _spellings(self, sentences: Sequence[Sequence[str]]) -> Ragged:
        """The ids of each word's characters (S, W): 0 after the last, 1 for an unknown one."""
        characters, width = Vocabulary(self.characters), self.longest_word
        known: dict[str, NDArray[np.int32]] = {}
        for word in {word for words in sentences for word in words}:
            part = word if len(word) <= width else word[: width - width // 2] + word[len(word) - width // 2 :]
            known[word] = np.zeros(width, np.int32)
            known[word][: len(part)] = characters.encode(part) + 1
        return Ragged.of([[known[word] for word in words] for words in sentences], np.int32, (width,))

    def _tags(self, table: Table, sentences: Sequence[Sequence[str]]) -> Ragged:
        ids = {tag: number for number, tag in enumerate(self.tags)}
        rows: list[list[int]] = []
        for row, words in enumerate(sentences):
            tags = strings_of(table, row, "tags")
            if len(tags) != len(words):
                raise DataError(f"{table.where(row)}: {len(tags)} tags for {len(words)} words; give each word one tag.")
            learned = to_iob2(tags) if self.scheme in ("IOB1", "IOB2") else tags
            for word, tag in enumerate(learned):
                if tag not in ids:
                    raise DataError(
                        f"{where_word(table, row, word)}: the tag {tags[word]!r} of {words[word]!r} never occurs in "
                        f"training; known are {', '.join(self.tags[:30])}{', ...' if len(self.tags) > 30 else ''}. "
                        "Mend it, or train with examples of it."
                    )
            rows.append([ids[tag] for tag in learned])
        return Ragged.of(rows, np.int32)

    def to_dict(self) -> dict[str, Any]:
        """Everything, as JSON values."""
        return plain(self)


def normalised(word: str, lower: bool, zero_digits: bool) -> str:
    """A word as the vocabulary knows it.

    Examples:
        >>> normalised("May-2003", lower=True, zero_digits=True)
        'may-0000'
    """
    word = word.lower() if lower else word
    return "".join("0" if c.isdigit() else c for c in word) if zero_digits else word


def strings_of(table: Table, row: int, name: str) -> Sequence[str]:
    """A sentence's words, or its tags.

    Raises:
        DataError: no such column, or something other than a list of strings in it.
    """
    values: Any = table.column(name)[row]
    listed = cast("Sequence[Any]", values) if isinstance(values, list | tuple) else None
    if listed is None or not all(isinstance(value, str) for value in listed):
        raise DataError(
            f"{table.where(row)}: {name!r} is {str(cast('Any', values))[:60]!r}; give a list of strings, one per word."
        )
    return listed
