"""Pairs of texts made by rule, to learn translation on without any download.

Owns two little languages: dates as people write them and their ISO form, numbers in digits and in English words. Takes
a count and a seed, gives a `Table`. Never reads or writes a file.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import date, timedelta

from ifog.errors import ConfigError
from ifog.examples.parallel import SOURCE, TARGET
from ifog.examples.tables import Table

__all__ = ["MADE_PAIRS", "made_pairs", "spelled"]

_SMALL = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
# written out, where strftime would follow the machine's language
_MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
_DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
_FIRST = date(1950, 1, 1)
_SPAN = 36_525  # days: a century


def spelled(number: int) -> str:
    """A number from 0 to 999,999 in English words.

    Raises:
        ConfigError: Another number.

    Examples:
        >>> spelled(4_207), spelled(90_021)
        ('four thousand two hundred and seven', 'ninety thousand and twenty-one')
    """
    if not 0 <= number < 1_000_000:
        raise ConfigError(f"spelled: {number} is not from 0 to 999,999.")
    if number < 20:
        return _SMALL[number]
    if number < 100:
        tens, ones = divmod(number, 10)
        return _TENS[tens - 2] + (f"-{_SMALL[ones]}" if ones else "")
    size, word = (100, "hundred") if number < 1000 else (1000, "thousand")
    high, rest = divmod(number, size)
    said = f"{spelled(high)} {word}"
    if not rest:
        return said
    return f"{said} and {spelled(rest)}" if rest < 100 else f"{said} {spelled(rest)}"


def _number(chance: random.Random) -> tuple[str, str]:
    number = chance.randrange(10 ** chance.randint(1, 6))
    return f"{number:,}", spelled(number)


def _date(chance: random.Random) -> tuple[str, str]:
    day = _FIRST + timedelta(chance.randrange(_SPAN))
    month, ordinal = _MONTHS[day.month - 1], f"{day.day}{_ending(day.day)}"
    forms = (
        f"{month} {day.day}, {day.year}",
        f"{day.day} {month} {day.year}",
        f"the {ordinal} of {month} {day.year}",
        f"{_DAYS[day.weekday()]}, {month} {ordinal}, {day.year}",
        f"{day.day} {month[:3].upper()} {day.year}",
        f"{day.day}.{day.month}.{day.year}",
    )
    return chance.choice(forms), day.isoformat()


def _ending(day: int) -> str:
    return "th" if 11 <= day <= 13 else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")


MADE_PAIRS: dict[str, Callable[[random.Random], tuple[str, str]]] = {"dates": _date, "numbers": _number}


def made_pairs(name: str, count: int, seed: int = 0) -> Table:
    """Pairs of one of the little languages.

    Args:
        name: "dates" (to ISO form) or "numbers" (to English words).
        count: How many pairs; some may be equal.
        seed: Of the choice.

    Raises:
        ConfigError: An unknown name, or fewer than one pair.

    Examples:
        >>> table = made_pairs("numbers", 2, seed=1)
        >>> list(table.columns), len(table)
        (['source', 'target'], 2)
    """
    if name not in MADE_PAIRS:
        raise ConfigError(f"made pairs: there is no {name!r}; there are {', '.join(MADE_PAIRS)}.")
    if count < 1:
        raise ConfigError(f"made pairs: count is {count}; give 1 or more.")
    chance = random.Random(seed)
    pairs = [MADE_PAIRS[name](chance) for _ in range(count)]
    places = [(f"made {name}", n) for n in range(1, count + 1)]
    return Table({SOURCE: [source for source, _ in pairs], TARGET: [target for _, target in pairs]}, places)
