"""Number the n-grams of a model or a corpus, and find them again: sorted 64-bit keys, one array per order.

Owns what an n-gram's index is. An n-gram is its context's index, an (n-1)-gram, joined with its last word into
one key, `context * V + word`; its own index is that key's rank. Takes arrays of contexts and words, gives arrays of
indices, -1 where there is no such n-gram. Never counts, and holds no probability.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from ifog.errors import DataError

__all__ = ["Ids", "Indices", "Keys", "LongIds", "Sentences", "Trie", "checked_ids", "with_starts"]

Ids = NDArray[np.integer[Any]]
Indices = NDArray[np.int64]
Keys = NDArray[np.uint64]

LARGEST_VOCABULARY = 2**32  # so that a context's index and a word fit one 64-bit key
NOT_FOUND = -1


class LongIds(Protocol):
    """A row of ids that is read by slices: an array in memory or mapped, or one in several files."""

    def __len__(self) -> int: ...

    def __getitem__(self, part: slice, /) -> Ids: ...


class Sentences(NamedTuple):
    """How a stream of ids is cut into sentences that don't know each other.

    Attributes:
        start: `<s>`, the context of a sentence's first words. It is never predicted and doesn't stand in the stream.
        end: `</s>`, the last word of each sentence of the stream; it is predicted as any other word.
    """

    start: int
    end: int


class Trie:
    """The n-grams of orders 1 to N over a vocabulary of V words, each order numbered from 0.

    Every word is a unigram, and every n-gram's context, its first n-1 words, is an (n-1)-gram.

    Attributes:
        vocabulary_size: V.
        keys: for each order from 2 to N, the sorted keys.

    Examples:
        The bigrams (0, 1) and (2, 0) over three words:

        >>> trie = Trie(3, [np.array([1, 6], np.uint64)])
        >>> trie.children(2, np.array([0, 1, 2]), np.array([1, 1, 0])).tolist()
        [0, -1, 1]
    """

    def __init__(self, vocabulary_size: int, keys: Sequence[Keys]) -> None:
        self.vocabulary_size = vocabulary_size
        self.keys = tuple(keys)

    @property
    def order(self) -> int:
        """N, the words of the longest n-grams."""
        return len(self.keys) + 1

    @property
    def sizes(self) -> tuple[int, ...]:
        """The number of n-grams of each order."""
        return (self.vocabulary_size, *(len(keys) for keys in self.keys))

    def contexts(self, order: int) -> Indices:
        """The context of each n-gram of an order of at least 2, shape (number of n-grams,)."""
        return (self.keys[order - 2] // np.uint64(self.vocabulary_size)).astype(np.int64)

    def words(self, order: int) -> Indices:
        """The last word of each n-gram of an order, shape (number of n-grams,)."""
        if order == 1:
            return np.arange(self.vocabulary_size, dtype=np.int64)
        return (self.keys[order - 2] % np.uint64(self.vocabulary_size)).astype(np.int64)

    def rows(self, order: int, first: int = 0, stop: int | None = None) -> Indices:
        """All words of the n-grams numbered `first` to `stop` - 1, by default of all, shape (number, order)."""
        at = np.arange(first, self.sizes[order - 1] if stop is None else stop, dtype=np.int64)
        columns: list[Indices] = []
        size = np.uint64(self.vocabulary_size)
        for longer in range(order, 1, -1):
            keys = self.keys[longer - 2][at]
            columns.append((keys % size).astype(np.int64))
            at = (keys // size).astype(np.int64)
        return np.stack([at, *columns[::-1]], axis=1)

    def children(self, order: int, contexts: Indices, words: Ids) -> Indices:
        """The n-grams of an order of at least 2 that extend contexts by words; a context of -1 has none.

        Args:
            order: that of the result.
            contexts: indices of (order - 1)-grams, shape (n,).
            words: shape (n,).
        """
        found = np.full(len(contexts), NOT_FOUND, np.int64)
        keys = self.keys[order - 2]
        asked = np.flatnonzero(contexts >= 0)
        if not len(keys) or not len(asked):
            return found
        wanted = join(contexts[asked], words[asked], self.vocabulary_size)
        at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        hit = keys[at] == wanted
        found[asked[hit]] = at[hit]
        return found

    def find(self, rows: Ids) -> Indices:
        """The index of each n-gram that is written out word by word, shape (n, order) to (n,)."""
        found = rows[:, 0].astype(np.int64)
        for column in range(1, rows.shape[1]):
            found = self.children(column + 1, found, rows[:, column])
        return found

    def along(self, ids: Ids) -> Iterator[Indices]:
        """For each order from 1 to N, the n-gram that ends at each position of a stream, -1 where there is none.

        None reaches across `<s>`, since no n-gram that was counted does.

        Args:
            ids: words below V, shape (T,).
        """
        ending = ids.astype(np.int64)
        yield ending
        for order in range(2, self.order + 1):
            contexts = np.full(len(ids), NOT_FOUND, np.int64)
            contexts[1:] = ending[:-1]
            ending = self.children(order, contexts, ids)
            yield ending

    def extensions(self, order: int, context: int) -> slice:
        """Where the n-grams of an order of at least 2 that extend one context stand."""
        bounds = np.array([context, context + 1], np.uint64) * np.uint64(self.vocabulary_size)
        first, last = np.searchsorted(self.keys[order - 2], bounds)
        return slice(int(first), int(last))

    def kept(self, chosen: Sequence[NDArray[np.bool_]]) -> Trie:
        """The trie of some n-grams alone; `chosen` has a mask for each order from 2 on, closed under contexts."""
        renumbered = np.arange(self.vocabulary_size, dtype=np.int64)
        keys: list[Keys] = []
        for order, mask in enumerate(chosen, start=2):
            contexts = renumbered[self.contexts(order)[mask]]
            keys.append(join(contexts, self.words(order)[mask], self.vocabulary_size))
            renumbered = np.cumsum(mask, dtype=np.int64) - 1
        return Trie(self.vocabulary_size, keys)


def join(contexts: Indices, words: Ids, vocabulary_size: int) -> Keys:
    """The keys of contexts, each with a word after it."""
    return contexts.astype(np.uint64) * np.uint64(vocabulary_size) + words.astype(np.uint64)


def checked_ids(ids: Ids, vocabulary_size: int, sentences: Sentences | None) -> None:
    """Look at what a user gives as a stream of ids, once.

    Raises:
        DataError: not a row of whole numbers from 0 to V - 1, a vocabulary over 2^32, or one that lacks `<s>`.
    """
    if not 1 <= vocabulary_size <= LARGEST_VOCABULARY:
        raise DataError(
            f"n-grams: the vocabulary has {vocabulary_size} words, but must have 1 to 2^32, since an n-gram is kept as "
            "one 64-bit key; leave rare words out of it."
        )
    if sentences is not None and not max(sentences) < vocabulary_size:
        raise DataError(f"n-grams: {sentences} lies outside the vocabulary, whose ids are 0 to {vocabulary_size - 1}.")
    if ids.ndim != 1 or ids.dtype.kind not in "ui":
        raise DataError(
            f"n-grams: the ids have shape {ids.shape} and type {ids.dtype}, but must be one row of whole numbers, as "
            "np.array([3, 1, 2], np.uint32)."
        )
    if not len(ids):
        return
    least, most = int(ids.min()), int(ids.max())
    if least < 0 or most >= vocabulary_size:
        wrong = least if least < 0 else most
        raise DataError(
            f"n-grams: id {wrong} at position {int(np.argmax(ids == wrong))} lies outside the vocabulary, whose ids "
            f"are 0 to {vocabulary_size - 1}; encode the text with the vocabulary that is named here."
        )
    if sentences is not None and (ids == sentences.start).any():
        raise DataError(
            f"n-grams: position {int(np.argmax(ids == sentences.start))} holds <s> (id {sentences.start}), which is "
            "put before each sentence here; leave it out, and end each sentence with </s>."
        )


def with_starts(ids: Ids, sentences: Sentences | None, begins: bool = True) -> tuple[Ids, Indices, NDArray[np.bool_]]:
    """Put `<s>` before each sentence, and tell how many words stand before each in its sentence or stream.

    Args:
        ids: the stream, shape (T,).
        sentences: its sentences; None for one stream without any.
        begins: whether a sentence begins at position 0, or began before it.

    Returns:
        The ids with `<s>`, shape (T + number of sentences,); for each the words before it; and whether it was given.
    """
    if sentences is None:
        return ids, np.arange(len(ids), dtype=np.int64), np.ones(len(ids), np.bool_)
    starts = np.flatnonzero(ids[:-1] == sentences.end) + 1
    if begins and len(ids):
        starts = np.concatenate([np.zeros(1, np.int64), starts])
    positions = starts + np.arange(len(starts))
    given = np.ones(len(ids) + len(starts), np.bool_)
    given[positions] = False
    padded = np.empty(
        len(given), ids.dtype if ids.dtype.itemsize >= np.min_scalar_type(sentences.start).itemsize else np.int64
    )
    padded[given] = ids
    padded[positions] = sentences.start
    last = np.zeros(len(padded), np.int64)
    last[positions] = positions
    return padded, np.arange(len(padded)) - np.maximum.accumulate(last), given
