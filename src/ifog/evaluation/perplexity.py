"""One definition of perplexity for every kind of token.

Owns the sums: nats, tokens, words and characters of a text, and the figures that follow. Takes log-probabilities and
the text itself, gives `Figures`. Words and characters are counted in the text, never by a tokenizer, so that a
model of characters, of subwords and of words can stand in one table.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ifog.errors import DataError

if TYPE_CHECKING:
    from ifog.data import Tokenizer
    from ifog.evaluation.scoring import Scorer

__all__ = ["Figures", "TextSize", "decoded", "figures", "judge", "measure"]

_PIECE = 1 << 14
_LARGEST = 700.0  # the exponential of more has no room in a float


@dataclass(frozen=True)
class TextSize:
    """How much text there is.

    Attributes:
        words: What stands between whitespace, and one end for each line end.
        characters: Code points, line ends included.
    """

    words: int
    characters: int


@dataclass(frozen=True)
class Figures:
    """How well a text was predicted. Perplexities are exp(nats / count), capped at exp(700).

    Attributes:
        tokens: Number of tokens N.
        words: Number of words, with one end per line.
        characters: Number of characters.
        nats: The whole text's, -ln p(text).
        nats_per_token: The mean loss.
        bits_per_character: Comparable between any two tokenizers on the same text.
        perplexity: Per token: comparable only where the tokens are the same.
        word_perplexity: Per word: comparable between any two tokenizers on the same text.
        character_perplexity: Per character, 2 ** bits_per_character.
    """

    tokens: int
    words: int
    characters: int
    nats: float
    nats_per_token: float
    bits_per_character: float
    perplexity: float
    word_perplexity: float
    character_perplexity: float

    def to_dict(self) -> dict[str, float]:
        """The fields as plain values that JSON can hold."""
        return asdict(self)


def figures(log_prob: NDArray[np.float64], text: str | Iterable[str] | TextSize) -> Figures:
    """The figures of a text whose tokens have these log-probabilities.

    Args:
        log_prob: Natural log-probability of each token (N,).
        text: The text, whole or in pieces cut anywhere, or its size.

    Raises:
        DataError: No token, no word, or a number that is no log-probability.

    Examples:
        A model that takes each of 8 words for equally likely, and judges two lines of two:

        >>> made = figures(np.full(6, -np.log(8)), "a b" + chr(10) + "c d" + chr(10))
        >>> round(made.perplexity, 6), round(made.word_perplexity, 6), made.words, made.characters
        (8.0, 8.0, 6, 8)
    """
    check_log_prob(log_prob)
    size = text if isinstance(text, TextSize) else measure(text)
    tokens = len(log_prob)
    if not tokens or not size.words:
        raise DataError(
            f"a text of {tokens} tokens and {size.words} words can't be judged; give one with some of both."
        )
    nats = -float(np.sum(log_prob))
    return Figures(
        tokens=tokens,
        words=size.words,
        characters=size.characters,
        nats=nats,
        nats_per_token=nats / tokens,
        bits_per_character=nats / math.log(2) / size.characters,
        perplexity=exponential(nats / tokens),
        word_perplexity=exponential(nats / size.words),
        character_perplexity=exponential(nats / size.characters),
    )


def judge(scorer: Scorer, ids: NDArray[Any], tokenizer: Tokenizer) -> Figures:
    """Score a text and give its figures; words and characters are those of the decoded text.

    A tokenizer of words decodes with single spaces, and what it doesn't know as `<unk>`: give `figures` the original
    text where that should count instead.

    Args:
        scorer: The model.
        ids: The text (N,).
        tokenizer: Made the ids.

    Raises:
        DataError: The text is empty, or holds no word.
    """
    return figures(scorer.log_prob(ids), decoded(tokenizer, ids))


def measure(text: str | Iterable[str]) -> TextSize:
    """Count a text's words and characters; pieces may be cut anywhere."""
    words = characters = 0
    within = False  # a word reaches to the end of the piece before
    for piece in (text,) if isinstance(text, str) else text:
        if not piece:
            continue
        words += len(piece.split()) + piece.count("\n")
        words -= within and not piece[0].isspace()
        characters += len(piece)
        within = not piece[-1].isspace()
    return TextSize(words, characters)


def decoded(tokenizer: Tokenizer, ids: NDArray[Any]) -> Iterator[str]:
    """The text that ids stand for, piece by piece, whatever its length."""
    decoder = tokenizer.decoder()
    for start in range(0, len(ids), _PIECE):
        yield "".join(map(decoder.feed, ids[start : start + _PIECE].tolist()))
    yield decoder.finish()


def exponential(nats: float) -> float:
    """The exponential, capped where a float has no room."""
    return math.exp(min(nats, _LARGEST))


def check_log_prob(log_prob: NDArray[np.float64]) -> None:
    """Refuse what can't be a log-probability; rounding may leave one a little above 0.

    Raises:
        DataError: NaN, or a number above 1e-6.
    """
    wrong = np.flatnonzero(~(log_prob <= 1e-6))
    if wrong.size:
        where = int(wrong[0])
        raise DataError(
            f"the log-probability at {where % log_prob.shape[-1]} is {log_prob.flat[where]}; it must be 0 or less. "
            f"Did the model's training end in NaN, or are these probabilities without the logarithm?"
        )
