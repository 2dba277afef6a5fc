"""Decide after which steps a run is evaluated and saved.

Takes steps and seconds, gives yes or no. Never evaluates or saves.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ifog.training.config import TrainingConfig

__all__ = ["Timetable"]

_EVALUATIONS = 10
# Of a budget of time, evaluations may take this part; those that would go past it are left out.
_SHARE = 0.05


class Timetable:
    """When to evaluate (about ten times a run, unless told otherwise) and when to save in between."""

    def __init__(self, config: TrainingConfig) -> None:
        self._budget = config.budget
        self._every = config.evaluate_every or (max(1, config.steps // _EVALUATIONS) if config.steps else None)
        self._save_every = config.save_every
        self._save_seconds = config.save_seconds
        self._saved_at = 0.0
        self._next = 1  # the next of the ten evaluations within a budget
        self._spent = self._longest = 0.0  # seconds that evaluations took, all and the longest

    def evaluation_due(self, step: int, elapsed: float) -> bool:
        """Whether to evaluate after this step."""
        if self._every is not None:
            return step % self._every == 0
        assert self._budget is not None  # TrainingConfig has steps or a budget
        if elapsed < self._budget * self._next / _EVALUATIONS or elapsed >= self._budget:
            return False
        self._next = int(elapsed / self._budget * _EVALUATIONS) + 1
        return self._spent + self._longest <= _SHARE * self._budget

    def evaluated(self, seconds: float) -> None:
        """Take note of what an evaluation cost."""
        self._spent += seconds
        self._longest = max(self._longest, seconds)

    def save_due(self, step: int, elapsed: float) -> bool:
        """Whether to save after this step, if it wasn't evaluated."""
        by_steps = self._save_every is not None and step % self._save_every == 0
        return by_steps or elapsed - self._saved_at >= self._save_seconds

    def saved(self, elapsed: float) -> None:
        """Take note of a checkpoint."""
        self._saved_at = elapsed

    def state_dict(self) -> dict[str, Any]:
        """What was noted, as JSON values."""
        return {"saved_at": self._saved_at, "next": self._next, "spent": self._spent, "longest": self._longest}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Put back what `state_dict` gave."""
        self._saved_at, self._next = float(state["saved_at"]), int(state["next"])
        self._spent, self._longest = float(state["spent"]), float(state["longest"])
