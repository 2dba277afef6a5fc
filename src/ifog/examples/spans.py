"""Schemes by which the tags of words mark spans, such as the names in a sentence.

Owns what "IOB1", "IOB2" and "BIOES" mean and the ways between the first two. Takes and gives lists of tags. Never knows
a file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

__all__ = ["span_scheme", "to_iob1", "to_iob2"]

_TAG = re.compile(r"[BIES]-.+|O")


def span_scheme(sentences: Iterable[Sequence[str]]) -> str | None:
    """What marks the spans of tagged sentences.

    In IOB1 a span begins with `I-`, and with `B-` only right after another of its type; in IOB2 with `B-`; in BIOES
    it also ends with `E-`, and one of a single word is `S-`.

    Returns:
        "IOB1", "IOB2" or "BIOES"; None where tags are of another kind, such as parts of speech.

    Source:
        Tjong Kim Sang and Veenstra (1999), Representing text chunks, EACL.

    Examples:
        >>> span_scheme([["I-PER", "I-PER", "O"]]), span_scheme([["B-PER", "I-PER", "O"]]), span_scheme([["NOUN"]])
        ('IOB1', 'IOB2', None)
    """
    prefixes: set[str] = set()
    opened_inside = False
    for tags in sentences:
        if not all(_TAG.fullmatch(tag) for tag in tags):
            return None
        prefixes.update(tag[0] for tag in tags)
        opened_inside = opened_inside or any(
            _opens(tags, place) and tags[place][0] == "I" for place in range(len(tags))
        )
    if prefixes <= {"O"}:
        return None
    if prefixes & {"E", "S"}:
        return "BIOES"
    return "IOB1" if opened_inside else "IOB2"


def to_iob2(tags: Sequence[str]) -> list[str]:
    """Tags of IOB1, or of IOB2 with spans that lack their `B-`, in IOB2.

    Examples:
        >>> to_iob2(["I-PER", "I-PER", "B-PER", "O", "I-ORG"])
        ['B-PER', 'I-PER', 'B-PER', 'O', 'B-ORG']
    """
    return ["B" + tag[1:] if tag[0] == "I" and _opens(tags, place) else tag for place, tag in enumerate(tags)]


def to_iob1(tags: Sequence[str]) -> list[str]:
    """Tags of IOB2 in IOB1.

    Examples:
        >>> to_iob1(["B-PER", "I-PER", "B-PER", "O", "B-ORG"])
        ['I-PER', 'I-PER', 'B-PER', 'O', 'I-ORG']
    """
    return ["I" + tag[1:] if tag[0] == "B" and _opens(tags, place) else tag for place, tag in enumerate(tags)]


def _opens(tags: Sequence[str], place: int) -> bool:
    """Whether the word before is of no span or of one of another type."""
    return tags[place] != "O" and (place == 0 or tags[place - 1][1:] != tags[place][1:])
