"""Which kinds of errors a character model makes, found by taking away what ever stronger oracles would get right.

Owns the oracles of Karpathy, Johnson and Fei-Fei, and their order. Takes log-probabilities and texts, gives counts.
Never runs a model.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ifog.errors import DataError, ShapeError

__all__ = ["Breakdown", "Share", "break_down", "repeated"]

_HALF = float(np.log(0.5))
_WORD = re.compile(r"\w+")
_MEMORY = 20  # characters that must have occurred before, the judged one included
_RARE = 5  # occurrences in the training text up to which a word is rare
_BOOSTS = (0.4, 0.3, 0.2, 0.1)  # probabilities that a boost of 0.1, 0.2, ... would lift over one half
_PRIME = 0x100000001B3


@dataclass(frozen=True)
class Share:
    """The errors that one oracle takes away.

    Attributes:
        oracle: What knows better.
        meaning: When it does.
        errors: How many of the errors left by the oracles before.
    """

    oracle: str
    meaning: str
    errors: int


@dataclass(frozen=True)
class Breakdown:
    """All errors of a model on a text, each counted once.

    Attributes:
        characters: That were judged.
        errors: Of these, with a probability of at most one half.
        shares: In the order of the oracles; what none of them explains comes last.
    """

    characters: int
    errors: int
    shares: tuple[Share, ...]


def break_down(
    log_prob: NDArray[np.floating], ngram: NDArray[np.floating], text: str, training: Iterable[str]
) -> Breakdown:
    """Count the errors of each kind.

    A character is an error if the model gave it a probability of at most 0.5. The oracles come in the paper's order,
    each given the errors that those before have left:

    - n-gram: a Kneser-Ney model gives the character more than 0.5;
    - n-long memory: the 19 characters before it and itself occurred in the text before;
    - rare words: it is within a word that the training text has at most 5 times;
    - word model: it begins a word;
    - punctuation: it stands after or is a mark of punctuation or a line's end;
    - boost: its probability is just below 0.5.

    Args:
        log_prob: Natural log-probabilities of the characters by the model (N,).
        ngram: The same by an n-gram model (N,).
        text: Of N characters.
        training: The text that both models were made from, in pieces of any length.

    Raises:
        DataError: The text is empty.
        ShapeError: The lengths differ.

    Source:
        Karpathy, Johnson and Fei-Fei (2015), Visualizing and understanding recurrent networks, arXiv:1506.02078,
        section 4.4.

    Examples:
        >>> sure, unsure = np.log([0.9, 0.9, 0.9]), np.log([0.9, 0.45, 0.01])
        >>> made = break_down(unsure, sure, "abc", "abc")
        >>> made.errors, made.shares[0].oracle, made.shares[0].errors
        (2, 'n-gram', 2)
    """
    if not text:
        raise DataError("an empty text has no errors to break down; give one with some thousand characters.")
    if not len(log_prob) == len(ngram) == len(text):
        raise ShapeError(
            f"break_down: the text has {len(text)} characters, the model judged {len(log_prob)} and the n-gram model "
            f"{len(ngram)}; all three must be of one length"
        )
    left = log_prob <= _HALF
    errors = int(left.sum())
    shares: list[Share] = []
    for oracle, meaning, knows in _oracles(log_prob, ngram, text, training):
        shares.append(Share(oracle, meaning, int((left & knows).sum())))
        left &= ~knows
    shares.append(Share("the rest", "none of these", int(left.sum())))
    return Breakdown(len(text), errors, tuple(shares))


def repeated(text: str, length: int) -> NDArray[np.bool_]:
    """At each character, whether the `length` characters that end with it occurred before (N,).

    Examples:
        >>> repeated("abcxabc", 3).tolist()
        [False, False, False, False, False, False, True]
    """
    found = np.zeros(len(text), np.bool_)
    if len(text) < length:
        return found
    codes = _codes(text).astype(np.uint64)
    hashes = np.zeros(len(text) - length + 1, np.uint64)
    for k in range(length):  # a polynomial of the window, wrapping around in 64 bits
        hashes = hashes * np.uint64(_PRIME) + codes[k : k + len(hashes)] + np.uint64(1)
    _, first, inverse = np.unique(hashes, return_index=True, return_inverse=True)
    found[length - 1 :] = first[inverse] < np.arange(len(hashes))
    return found


def _oracles(
    log_prob: NDArray[np.floating], ngram: NDArray[np.floating], text: str, training: Iterable[str]
) -> Sequence[tuple[str, str, NDArray[np.bool_]]]:
    letters = np.array([c.isalnum() for c in text])
    before = np.concatenate([[False], letters[:-1]])
    marks = np.array([not (c.isalnum() or c == " ") for c in text])
    probability = np.exp(np.asarray(log_prob, np.float64))
    boosts = [
        (f"boost {0.5 - low:.1f}", f"its probability is above {low}", probability > low)
        for low in _BOOSTS
    ]  # fmt: skip
    return [
        ("n-gram", "a Kneser-Ney model is more than half sure", ngram > _HALF),
        (f"{_MEMORY}-long memory", "it ends a stretch that occurred before", repeated(text, _MEMORY)),
        ("rare words", f"its word is in the training text {_RARE} times or less", _rare(text, training)),
        ("word model", "it begins a word", letters & ~before),
        ("punctuation", "it is or follows a mark or a line's end", marks | np.concatenate([[False], marks[:-1]])),
        *boosts,
    ]


def _rare(text: str, training: Iterable[str]) -> NDArray[np.bool_]:
    """Within words that the training text has seldom or never."""
    words = [*_WORD.finditer(text)]
    counts = dict.fromkeys((word.group() for word in words), 0)
    for word in _words(training):
        if word in counts:
            counts[word] += 1
    found = np.zeros(len(text), np.bool_)
    for word in words:
        if counts[word.group()] <= _RARE:
            found[word.start() : word.end()] = True
    return found


def _words(pieces: Iterable[str]) -> Iterator[str]:
    """The words of a text that comes in pieces, which may end within one."""
    rest = ""
    for piece in pieces:
        whole = rest + piece
        cut = len(whole)
        while cut and (whole[cut - 1].isalnum() or whole[cut - 1] == "_"):
            cut -= 1
        yield from (word.group() for word in _WORD.finditer(whole, 0, cut))
        rest = whole[cut:]
    yield from _WORD.findall(rest)


def _codes(text: str) -> NDArray[np.uint32]:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
