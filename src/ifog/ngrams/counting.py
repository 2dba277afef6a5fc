"""Count the n-grams of a stream of ids, of every order at once, in memory.

Owns the counts that Kneser-Ney smoothing needs: how often an n-gram occurs, and after how many different words. Takes
ids, gives `NgramCounts`. A stream longer than the memory is the business of `ifog.ngrams.disk`. Never smooths.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ifog.errors import ConfigError, DataError
from ifog.ngrams.trie import NOT_FOUND, Ids, Indices, Keys, Sentences, Trie, checked_ids, join, with_starts

__all__ = ["NgramCounts", "count_ngrams"]


@dataclasses.dataclass(frozen=True)
class NgramCounts:
    """The n-grams of a text, orders 1 to N, with their counts.

    Attributes:
        trie: which n-grams there are.
        occurrences: for each order, how often each n-gram occurs, shape (number of n-grams,).
        suffixes: for each order from 2 on, the index of each n-gram without its first word.
        adjusted: for each order, the counts that Kneser-Ney smoothing works with (Chen and Goodman 1998): occurrences
            at order N and for n-grams that begin with `<s>`, the number of different words before it for all others.
            The beginning of a stream counts as one more such word. `<s>` alone has 0, as it is never predicted.
        sentences: how the text was cut; None for one stream.
    """

    trie: Trie
    occurrences: tuple[Indices, ...]
    suffixes: tuple[Indices, ...]
    adjusted: tuple[Indices, ...]
    sentences: Sentences | None

    @property
    def order(self) -> int:
        """N."""
        return self.trie.order


def count_ngrams(ids: Ids, order: int, vocabulary_size: int, *, sentences: Sentences | None = None) -> NgramCounts:
    """Count the n-grams of orders 1 to `order`.

    Args:
        ids: the text, shape (T,), any whole-number type, memory-mapped or not. With `sentences`, each ends with `</s>`
            and `<s>` is put before it here; without, contexts reach across lines.
        order: N, at least 1.
        vocabulary_size: V; ids are below it.
        sentences: the ids of `<s>` and `</s>`.

    Raises:
        ConfigError: an order below 1.
        DataError: no ids, or ids that don't fit the vocabulary.

    Examples:
        >>> counts = count_ngrams(np.array([0, 1, 0, 1, 1], np.uint8), 2, vocabulary_size=2)
        >>> counts.trie.rows(2).tolist(), counts.occurrences[1].tolist()
        ([[0, 1], [1, 0], [1, 1]], [2, 1, 1])
    """
    check_request(ids, order, vocabulary_size, sentences)
    tokens, depths, _ = with_starts(ids, sentences)
    words = tokens.astype(np.int64)
    occurrences: list[Indices] = [np.bincount(words, minlength=vocabulary_size)]
    keys: list[Keys] = []
    suffixes: list[Indices] = []
    opening = [int(words[0])]  # the n-gram that opens the stream
    for n, found in enumerate(distinct(words, depths, order, vocabulary_size), start=2):
        keys.append(found.keys)
        occurrences.append(np.bincount(found.inverse, minlength=len(found.keys)))
        suffixes.append(found.suffixes)
        opening.append(int(found.inverse[0]) if len(found.at) and found.at[0] == n - 1 else NOT_FOUND)
    return assemble(Trie(vocabulary_size, keys), occurrences, suffixes, sentences, opening)


class Distinct(NamedTuple):
    """The different n-grams of one order in a piece of a stream.

    Attributes:
        keys: sorted; their contexts are numbered by the order below.
        suffixes: for each, the index of its last n-1 words in the order below.
        at: the positions at which n-grams of this order end.
        inverse: for each such position, the index of its n-gram.
    """

    keys: Keys
    suffixes: Indices
    at: Indices
    inverse: Indices


def distinct(words: Indices, depths: Indices, order: int, vocabulary_size: int) -> Iterator[Distinct]:
    """The different n-grams of a piece of a stream, for each order from 2 to `order`.

    An n-gram's key needs its context's index alone, so each order costs one sort of 64-bit numbers.
    """
    ending = words  # the index of the n-gram that ends at each position
    for n in range(2, order + 1):
        at = np.flatnonzero(depths >= n - 1)
        joined = join(ending[at - 1], words[at], vocabulary_size)
        sorting = np.argsort(joined)  # np.unique's is stable, which costs several times as much
        ordered = joined[sorting]
        begins = np.ones(len(ordered), np.bool_)
        begins[1:] = ordered[1:] != ordered[:-1]
        keys = ordered[begins]
        suffixes = ending[at[sorting[begins]]]
        inverse = np.empty(len(sorting), np.int64)
        inverse[sorting] = np.cumsum(begins) - 1
        yield Distinct(keys, suffixes, at, inverse)
        ending = np.full(len(words), NOT_FOUND, np.int64)
        ending[at] = inverse


def check_request(ids: Ids, order: int, vocabulary_size: int, sentences: Sentences | None) -> None:
    """Look at what a user asks to be counted.

    Raises:
        ConfigError: an order below 1.
        DataError: no ids, or ids that don't fit the vocabulary.
    """
    if order < 1:
        raise ConfigError(f"n-grams: the order is {order}, but it is a number of words: give 1 or more, usually 5.")
    checked_ids(ids, vocabulary_size, sentences)
    if not len(ids):
        raise DataError("n-grams: the text is empty; give at least one sentence to count.")


def assemble(
    trie: Trie,
    occurrences: Sequence[Indices],
    suffixes: Sequence[Indices],
    sentences: Sentences | None,
    opening: Sequence[int],
) -> NgramCounts:
    """Add the adjusted counts; `opening` is the n-gram of each order that opens the stream, -1 where it is shorter."""
    adjusted: list[Indices] = []
    whole: NDArray[np.bool_] = np.zeros(trie.vocabulary_size, np.bool_)  # n-grams that nothing can stand before
    if sentences is not None:
        whole[sentences.start] = True
    for n in range(1, trie.order + 1):
        if n > 1:
            whole = whole[trie.contexts(n)]
        if n == trie.order:
            adjusted.append(occurrences[n - 1].copy())
        else:
            before = np.bincount(suffixes[n - 1], minlength=trie.sizes[n - 1])
            if sentences is None and opening[n - 1] >= 0:
                before[opening[n - 1]] += 1
            adjusted.append(np.where(whole, occurrences[n - 1], before))
    if sentences is not None:
        adjusted[0][sentences.start] = 0
    return NgramCounts(trie, tuple(occurrences), tuple(suffixes), tuple(adjusted), sentences)
