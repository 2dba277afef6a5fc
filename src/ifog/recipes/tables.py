"""The lectures' table of language models: published figures beside those of one's own runs.

Owns which recipe stands for which row. Takes the folder of reproductions, gives rows. Never trains.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from ifog.errors import ConfigError
from ifog.recipes.catalogue import RECIPES
from ifog.recipes.recipe import Outcome, Recipe

__all__ = ["TABLES", "Line", "Row", "rows"]


class Line(NamedTuple):
    """One line of a table.

    Attributes:
        system: As the lectures call it.
        billion: Its perplexity on the One Billion Word benchmark, as the lectures quote it.
        recipe: What reproduces such a system on the table's corpus.
    """

    system: str
    billion: float | None
    recipe: str


class Row(NamedTuple):
    """A line with what is known of it."""

    line: Line
    recipe: Recipe
    outcome: Outcome | None


TABLES: dict[str, tuple[Line, ...]] = {
    "ptb": (
        Line("Kneser-Ney 5-gram", 67.6, "ptb-kn5"),
        Line("feed-forward, 4 words", None, "ptb-ffnn"),
        Line("RNN + maxent n-grams", 51.3, "ptb-rnnme"),
        Line("LSTM, 2 layers of 200", 43.7, "ptb-zaremba-small"),
        Line("LSTM, 2 layers of 650", 30.0, "ptb-zaremba-medium"),
        Line("AWD-LSTM", None, "ptb-awd"),
        Line("adaptive Transformer", 23.02, "ptb-transformer"),
        Line("GPT-2", 16.45, "ptb-gpt2"),
    ),
}


def rows(name: str, folder: Path) -> list[Row]:
    """The rows of a table, in the lectures' order.

    Args:
        name: "ptb".
        folder: Where `ifog reproduce` leaves its runs.

    Raises:
        ConfigError: There is no such table.
    """
    if name not in TABLES:
        raise ConfigError(f"there is no table {name!r}; there are: {', '.join(TABLES)}.")
    found: list[Row] = []
    for line in TABLES[name]:
        recipe = RECIPES[line.recipe]
        found.append(Row(line, recipe, recipe.saved(folder / recipe.name)))
    return found
