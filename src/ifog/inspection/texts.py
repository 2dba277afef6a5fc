"""From a text to the ids that a model reads, and from ids to the text that each of them stands for.

Owns what happens to characters that a model doesn't know, and the reading of long texts in parts. Takes a tokenizer and
text, gives ids. Never runs a model.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ifog.data import Corpus
from ifog.data.words import WordTokenizer
from ifog.errors import ConfigError, DataError
from ifog.tracking import tracked

__all__ = ["encode", "parts", "tokens_of"]

_PIECE = 1 << 20
_SHOWN = 8


def encode(tokenizer: Any, text: str, unknown: str | None) -> NDArray[Any]:
    """The ids of a text (N,).

    Args:
        tokenizer: Of the model.
        text: Any text.
        unknown: None refuses characters that the tokenizer lacks, "" leaves them out, a character replaces them.

    Raises:
        DataError: A character that the tokenizer lacks; says which and how often.
        ConfigError: The replacement isn't known either.
    """
    return tokenizer.encode(_known(tokenizer, text, unknown))


def parts(tokenizer: Any, text: str | os.PathLike[str], size: int, unknown: str | None) -> Iterator[NDArray[Any]]:
    """The ids of a text of any length, `size` at a time.

    Args:
        tokenizer: Of the model.
        text: The text, or the path of its file.
        size: Ids in each part but the last.
        unknown: As in `encode`.

    Raises:
        DataError: As `encode`, and a file that is no UTF-8 text.
    """
    encoder = tokenizer.encoder()
    held: list[NDArray[Any]] = []
    for piece in _pieces(tokenizer, text):
        held.append(encoder.feed(_known(tokenizer, piece, unknown)))
        while sum(map(len, held)) >= size:
            whole = np.concatenate(held)
            yield whole[:size]
            held = [whole[size:]]
    held.append(encoder.finish())
    whole = np.concatenate(held)
    for begin in range(0, len(whole), size):
        yield whole[begin : begin + size]


def tokens_of(tokenizer: Any, ids: NDArray[Any], decoder: Any = None) -> list[str]:
    """What each id adds to the text; a character's bytes add nothing until the last of them.

    Args:
        tokenizer: Of the model.
        ids: (N,).
        decoder: Of the text before them; None begins one.
    """
    return list(map((decoder or tokenizer.decoder()).feed, ids.tolist()))


def _pieces(tokenizer: Any, text: str | os.PathLike[str]) -> Iterator[str]:
    if not isinstance(text, str):
        yield from Corpus.from_files([os.fspath(text)]).texts(lines=isinstance(tokenizer, WordTokenizer))
        return
    for begin in tracked(range(0, len(text), _PIECE), "reading"):
        yield text[begin : begin + _PIECE]


def _known(tokenizer: Any, text: str, unknown: str | None) -> str:
    """The text without the characters that a tokenizer of characters lacks; others know every character."""
    alphabet: str | None = getattr(tokenizer, "alphabet", None)
    missing = set[str]() if alphabet is None else set(text) - set(alphabet)
    if not missing or alphabet is None:
        return text
    if unknown is None:
        counts = Counter(c for c in text if c in missing).most_common()
        shown = ", ".join(f"{c!r} (U+{ord(c):04X}, {n} times)" for c, n in counts[:_SHOWN])
        more = f" and {len(counts) - _SHOWN} more" if len(counts) > _SHOWN else ""
        raise DataError(
            f"the text holds characters that the model never saw: {shown}{more}; the first is at position "
            f"{min(text.index(c) for c, _ in counts)}. Leave them out with unknown='' (--unknown skip), replace them "
            f"with unknown='?' (--unknown '?'), or train with the tokenizer byte, which takes any text."
        )
    if unknown and (len(unknown) > 1 or unknown not in alphabet):
        raise ConfigError(
            f"unknown is {unknown!r}, but what takes the place of unknown characters must be one character that the "
            f"model knows, such as {' ' if ' ' in alphabet else alphabet[0]!r}."
        )
    return text.translate(dict.fromkeys(map(ord, missing), unknown))
