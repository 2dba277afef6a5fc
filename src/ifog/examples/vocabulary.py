"""Number the words, characters or labels of examples.

Owns the type `Vocabulary` and the splitting of a sentence into words. Takes lists of strings, gives ids. Never reads a
file; long texts have tokenizers of their own (`ifog.data.tokenizers`).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

__all__ = ["Vocabulary", "split_words"]

_WORD = re.compile(r"\w+(?:['’]\w+)*|[^\w\s]")


def split_words(text: str) -> list[str]:
    """Words and marks; an apostrophe within a word belongs to it.

    Examples:
        >>> split_words("Don't panic, it's (mostly) 4.2!")
        ["Don't", 'panic', ',', "it's", '(', 'mostly', ')', '4', '.', '2', '!']
    """
    return _WORD.findall(text)


@dataclass(frozen=True)
class Vocabulary:
    """Tokens by id; id 0 is what the vocabulary lacks.

    Attributes:
        tokens: those of the ids 1, 2, ...

    Examples:
        >>> vocabulary = Vocabulary.counted([["to", "be", "or"], ["not", "to", "be"]], minimum=2)
        >>> vocabulary.tokens, vocabulary.encode(["to", "see"]).tolist()
        (('be', 'to'), [2, 0])
    """

    tokens: tuple[str, ...]

    @classmethod
    def counted(cls, sequences: Iterable[Iterable[str]], minimum: int = 1, largest: int | None = None) -> Vocabulary:
        """The tokens of sequences, the most frequent first, equally frequent ones in their own order.

        Args:
            sequences: of tokens.
            minimum: how often a token must occur to be in it.
            largest: how many tokens at most; None: no limit.
        """
        counts = Counter(token for sequence in sequences for token in sequence)
        ranked = sorted(counts, key=lambda token: (-counts[token], token))
        return cls(tuple(token for token in ranked if counts[token] >= minimum)[:largest])

    def __len__(self) -> int:
        """Number of ids, that of unknown tokens among them."""
        return len(self.tokens) + 1

    @cached_property
    def ids(self) -> dict[str, int]:
        """Each token's id."""
        return {token: i for i, token in enumerate(self.tokens, 1)}

    def encode(self, tokens: Sequence[str]) -> NDArray[np.int32]:
        """Ids (N,); 0 for an unknown token."""
        return np.fromiter((self.ids.get(token, 0) for token in tokens), np.int32, len(tokens))
