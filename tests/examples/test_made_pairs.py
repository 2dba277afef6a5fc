"""The little languages made by rule: what they say is true, and the same for the same seed."""

from __future__ import annotations

import re
from datetime import date

import pytest

from ifog.errors import ConfigError
from ifog.examples.made_pairs import MADE_PAIRS, made_pairs, spelled

WORDS = {
    0: "zero",
    13: "thirteen",
    20: "twenty",
    99: "ninety-nine",
    100: "one hundred",
    101: "one hundred and one",
    342: "three hundred and forty-two",
    1_000: "one thousand",
    1_001: "one thousand and one",
    20_500: "twenty thousand five hundred",
    999_999: "nine hundred and ninety-nine thousand nine hundred and ninety-nine",
}


@pytest.mark.parametrize(("number", "words"), WORDS.items())
def test_a_number_is_said_in_words(number: int, words: str) -> None:
    assert spelled(number) == words


@pytest.mark.parametrize("name", MADE_PAIRS)
def test_a_seed_gives_the_same_pairs_and_another_others(name: str) -> None:
    assert made_pairs(name, 17, seed=3) == made_pairs(name, 17, seed=3)
    assert made_pairs(name, 17, seed=3).columns != made_pairs(name, 17, seed=4).columns


def test_a_date_means_the_same_in_both_forms() -> None:
    table = made_pairs("dates", 300)
    months = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
    for said, written in zip(table.columns["source"], table.columns["target"], strict=True):
        day = date.fromisoformat(written)
        assert re.search(rf"\b{day.year}$", said)
        assert re.search(rf"\b{day.day}(st|nd|rd|th)?\b", said.removesuffix(str(day.year)))
        assert months[day.month - 1] in said.lower() or f".{day.month}." in said
        for ending, days in {"st": (1, 21, 31), "nd": (2, 22), "rd": (3, 23)}.items():
            assert (f"{day.day}{ending}" in said) <= (day.day in days)


def test_a_number_is_what_its_words_say() -> None:
    table = made_pairs("numbers", 50)
    for digits, words in zip(table.columns["source"], table.columns["target"], strict=True):
        assert spelled(int(digits.replace(",", ""))) == words


def test_what_is_not_there_is_refused() -> None:
    with pytest.raises(ConfigError, match="no 'colours'; there are dates, numbers"):
        made_pairs("colours", 3)
    with pytest.raises(ConfigError, match="count is 0"):
        made_pairs("dates", 0)
    with pytest.raises(ConfigError, match="1000000"):
        spelled(1_000_000)
