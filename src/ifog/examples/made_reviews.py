"""Short reviews made by rule, to learn classification on without any download.

Owns a little language of praise and blame in which the order of words counts: "not bad at all" is praise. Takes a
number and a seed, gives a `Table`. Never reads or writes a file.
"""

from __future__ import annotations

import random

from ifog.errors import ConfigError
from ifog.examples.tables import Table

__all__ = ["made_reviews"]

_THINGS = ["film", "plot", "acting", "ending", "music", "dialogue", "camera work", "first half", "story", "cast"]
_GOOD = ["good", "moving", "funny", "clever", "warm", "gripping", "fresh", "fine", "charming", "honest"]
_BAD = ["bad", "dull", "clumsy", "stale", "shallow", "noisy", "endless", "silly", "weak", "cold"]
_DEGREES = ["", "", "very ", "rather ", "quite ", "so "]
_FORMS = {  # {a}: a word of praise, {b}: of blame, {x}, {y}: things
    "good": ["the {x} is {d}{a}", "the {x} is not {b} at all", "never {b} , always {a}", "a {d}{a} {x}",
             "the {y} is {b} , but the {x} is {d}{a}", "who could call this {x} {b} ?"],
    "poor": ["the {x} is {d}{b}", "the {x} is not {a} at all", "never {a} , always {b}", "a {d}{b} {x}",
             "the {y} is {a} , but the {x} is {d}{b}", "who could call this {x} {a} ?"],
    "mixed": ["the {x} is {d}{a} , the {y} {b}", "the {x} is {d}{b} , the {y} {a}", "neither {a} nor {b}",
              "now {a} , now {b}"],
}  # fmt: skip


def made_reviews(count: int = 3000, *, seed: int = 0) -> Table:
    """Reviews with a label.

    No single word tells: praise is denied as often as blame.

    Args:
        count: how many; some may be equal.
        seed: of the choice.

    Returns:
        Columns "text" and "label": "good", "poor" or "mixed".

    Raises:
        ConfigError: fewer than one.

    Examples:
        >>> made_reviews(2, seed=3).columns["label"]
        ['good', 'mixed']
    """
    if count < 1:
        raise ConfigError(f"made reviews: count is {count}; give 1 or more.")
    chance = random.Random(seed)
    labels = [chance.choice(list(_FORMS)) for _ in range(count)]
    texts: list[str] = []
    for label in labels:
        x, y = chance.sample(_THINGS, 2)
        words = {"a": chance.choice(_GOOD), "b": chance.choice(_BAD), "d": chance.choice(_DEGREES)}
        texts.append(chance.choice(_FORMS[label]).format(x=x, y=y, **words))
    return Table({"text": texts, "label": labels}, [("made reviews", i) for i in range(1, count + 1)])
