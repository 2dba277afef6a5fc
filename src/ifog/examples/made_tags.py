"""Sentences with the names in them marked, made by rule, to learn tagging on without any download.

Owns a little language whose names are new in almost every sentence, so that a model must read their letters and what
stands around them. Takes a number and a seed, gives a `Table`. Never reads or writes a file.
"""

from __future__ import annotations

import random

from ifog.errors import ConfigError
from ifog.examples.tables import Table

__all__ = ["MADE_TAGS", "made_tags"]

MADE_TAGS = "made tags"  # what such a table gives as its file

# {kind} stands for a name; a name of a person can be that of a place, too, and then only its neighbours tell.
_SENTENCES = [
    "{PER} flew from {LOC} to {LOC} on {date} .",
    "{ORG} of {LOC} has hired {PER} as its new {work} .",
    "The {work} {PER} and the {work} {PER} met in {LOC} .",
    "Nobody in {LOC} knows why {ORG} left .",
    "{LOC} , {date}",
    "On {date} {ORG} paid {number} dollars to {ORG} .",
    "The people of {LOC} chose {PER} .",
    "It rained on {date} , said a {work} .",
    "May I introduce {PER} , the {work} of {ORG} ?",
]
_SYLLABLES = [
    "ba",
    "cor",
    "del",
    "fen",
    "gar",
    "ho",
    "ka",
    "lin",
    "mar",
    "nor",
    "pel",
    "ros",
    "sam",
    "tor",
    "vel",
    "wes",
]
_ENDS = {"place": ["ville", "burg", "ton", "stad", "port"], "person": ["son", "er", "ski", "man", ""]}
_FIRST = ["Ada", "Bela", "Carl", "Dora", "Emil", "Fay", "Gus", "Hope", "Ivan", "June"]
_FIRMS = [["Bank"], ["Steel", "Works"], ["Inc"], ["and", "Sons"], ["Airlines"]]
_MONTHS = ["January", "March", "April", "May", "June", "August", "October"]
_WORK = ["painter", "judge", "baker", "minister", "goalkeeper", "nurse"]


def made_tags(count: int = 2000, *, seed: int = 0) -> Table:
    """Sentences with names of persons, places and organisations, marked in IOB2.

    Args:
        count: of sentences.
        seed: of the choice.

    Returns:
        "words" and "tags", lists of strings.

    Raises:
        ConfigError: `count` isn't positive.

    Examples:
        >>> table = made_tags(1, seed=8)
        >>> print(*table.columns["words"][0], *table.columns["tags"][0])
        Nobody in Hokaville knows why Delsamburg Bank left . O O B-LOC O O B-ORG I-ORG O O
    """
    if count < 1:
        raise ConfigError(f"made_tags: count is {count}; give 1 or more.")
    chance = random.Random(seed)
    made = [_sentence(chance) for _ in range(count)]
    places = [(MADE_TAGS, row) for row in range(1, count + 1)]
    return Table({"words": [words for words, _ in made], "tags": [tags for _, tags in made]}, places)


def _sentence(chance: random.Random) -> tuple[list[str], list[str]]:
    words: list[str] = []
    tags: list[str] = []
    for part in chance.choice(_SENTENCES).split():
        kind = part.strip("{}")
        if kind == part:
            found, marks = [part], ["O"]
        elif kind in ("PER", "LOC", "ORG"):
            found = _name(kind, chance)
            marks = [f"B-{kind}", *[f"I-{kind}"] * (len(found) - 1)]
        else:
            found = _filler(kind, chance)
            marks = ["O"] * len(found)
        words += found
        tags += marks
    return words, tags


def _name(kind: str, chance: random.Random) -> list[str]:
    stem = "".join(chance.choices(_SYLLABLES, k=2)).capitalize()
    person, place = (stem + chance.choice(_ENDS[which]) for which in ("person", "place"))
    if kind == "ORG":
        return [chance.choice([person, place]), *chance.choice(_FIRMS)]
    if kind == "LOC":
        return chance.choice([[place], [person], ["New", place]])
    return chance.choice([[chance.choice(_FIRST), person], [person], [chance.choice(_FIRST)]])


def _filler(kind: str, chance: random.Random) -> list[str]:
    if kind == "date":
        return [chance.choice(_MONTHS), str(chance.randint(1, 30))]
    return [chance.choice(_WORK) if kind == "work" else str(chance.randint(2, 9999))]
