"""Add up figures between two records.

Takes each step's numbers, gives their means. Never reads a tensor.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

__all__ = ["Interval"]


class Interval:
    """The steps since the last record."""

    def __init__(self) -> None:
        self.steps = 0
        self._sums: dict[str, float] = {}
        self._counts: dict[str, int] = {}

    def add(self, values: Mapping[str, float]) -> None:
        """Take one step's figures; one that a step doesn't have is averaged over those that have it."""
        self.steps += 1
        for name, value in values.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
            self._counts[name] = self._counts.get(name, 0) + 1

    def mean(self, name: str) -> float:
        """The mean of one figure; NaN if there is none."""
        return self._sums[name] / self._counts[name] if name in self._sums else math.nan

    def total(self, name: str) -> float:
        """The sum of one figure."""
        return self._sums.get(name, 0.0)

    @property
    def names(self) -> list[str]:
        """Of the figures seen, in their order."""
        return list(self._sums)

    def state_dict(self) -> dict[str, Any]:
        """The sums, as JSON values."""
        return {"steps": self.steps, "sums": self._sums, "counts": self._counts}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Put back what `state_dict` gave."""
        self.steps = int(state["steps"])
        self._sums, self._counts = dict(state["sums"]), dict(state["counts"])
