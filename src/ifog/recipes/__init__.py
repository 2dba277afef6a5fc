"""Published results and the work that reproduces each: one name, one command, one verdict."""

from __future__ import annotations

from ifog.recipes.catalogue import RECIPES, find
from ifog.recipes.recipe import Corpora, Outcome, Recipe
from ifog.recipes.tables import TABLES, Row, rows

__all__ = ["RECIPES", "TABLES", "Corpora", "Outcome", "Recipe", "Row", "find", "rows"]
