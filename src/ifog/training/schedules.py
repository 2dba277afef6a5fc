"""Say how far a run is, and how fast it learns there.

Owns the clock of a run, which goes on where a stopped run's clock stood, and the learning rate as a function of
progress: by steps, or by the wall clock where the run has a budget of time.
"""

from __future__ import annotations

import math
from time import monotonic

from ifog.training.config import TrainingConfig

__all__ = ["Clock", "learning_rate", "run_fraction"]


class Clock:
    """Seconds spent on a run, over all its resumes.

    Args:
        elapsed: What was spent before.
    """

    def __init__(self, elapsed: float = 0.0) -> None:
        self._start = monotonic() - elapsed

    def elapsed(self) -> float:
        """Seconds until now."""
        return monotonic() - self._start


def run_fraction(config: TrainingConfig, step: int, elapsed: float) -> float:
    """The fraction of the run that is over, from 0 to 1, after `step` steps and `elapsed` seconds."""
    if config.steps is not None:
        return min(step / config.steps, 1.0)
    assert config.budget is not None  # TrainingConfig has exactly one of the two
    return min(elapsed / config.budget, 1.0)


def learning_rate(config: TrainingConfig, fraction: float) -> float:
    """The learning rate at a fraction of the run: linear warm-up, held, then down to the floor, or constant."""
    if fraction < config.warmup:
        return config.learning_rate * fraction / config.warmup
    held = max(config.warmup, config.hold)
    if config.schedule == "constant" or fraction <= held:
        return config.learning_rate
    over = (fraction - held) / (1 - held)
    if config.schedule == "exponential":
        return config.learning_rate * config.floor**over
    share = config.floor + (1 - config.floor) * (1 + math.cos(math.pi * over)) / 2
    return config.learning_rate * share
