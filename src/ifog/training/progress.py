"""Tell whoever watches how the training goes.

Owns the protocol between the loop and a display. Draws nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

__all__ = ["Progress", "SilentProgress", "Status"]


@dataclass(frozen=True)
class Status:
    """Where a run is.

    Attributes:
        step: Completed steps.
        steps: Steps planned, if the run is planned by steps.
        elapsed: Seconds spent, over all resumes.
        budget: Seconds planned, if the run is planned by time.
        fraction: Part of the run that is over, 0 to 1.
        remaining: Estimate of the seconds left; None before the first step.
        loss: Mean over the steps since the last record, or up to it right after one; None before the first step.
        learning_rate: Of the last step.
        gradient_norm: Of the last step, before clipping.
        items_per_second: What the task counts as items, since the record before.
        items: What these are, such as "tokens".
        metrics: The task's own figures, and "smooth_loss" and "penalty" where these are on.
    """

    step: int
    steps: int | None
    elapsed: float
    budget: float | None
    fraction: float
    remaining: float | None
    loss: float | None
    learning_rate: float
    gradient_norm: float
    items_per_second: float
    items: str
    metrics: Mapping[str, float]


class Progress(Protocol):
    """Called by the first process alone."""

    def started(self, status: Status) -> None:
        """Before the first step of this call of `fit`; `status.step` > 0 after a resume."""
        ...

    def stepped(self, status: Status) -> None:
        """After a step, a few times a second at most."""
        ...

    def logged(self, status: Status) -> None:
        """Every `log_every` steps."""
        ...

    def evaluated(self, status: Status, metrics: Mapping[str, float], sample: str | None, best: bool) -> None:
        """After each evaluation."""
        ...

    def saved(self, status: Status, path: Path) -> None:
        """After each checkpoint."""
        ...

    def finished(self, status: Status) -> None:
        """At the end, interrupted or not, but not after an error."""
        ...


class SilentProgress:
    """Shows nothing; override what is wanted."""

    def started(self, status: Status) -> None:
        """Nothing."""

    def stepped(self, status: Status) -> None:
        """Nothing."""

    def logged(self, status: Status) -> None:
        """Nothing."""

    def evaluated(self, status: Status, metrics: Mapping[str, float], sample: str | None, best: bool) -> None:
        """Nothing."""

    def saved(self, status: Status, path: Path) -> None:
        """Nothing."""

    def finished(self, status: Status) -> None:
        """Nothing."""
