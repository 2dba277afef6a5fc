"""A task says which of its evaluations is the best."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import nn

from ifog.training import TrainingConfig, fit
from training import toys


class Highest(toys.Language):
    """Evaluates to given figures, of which the higher, rounded, is the better."""

    def __init__(self, *figures: float) -> None:
        super().__init__()
        self.figures = list(figures)

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        return {"loss": self.figures.pop(0)}

    def score(self, metrics: Mapping[str, float]) -> tuple[float, ...]:
        return -round(metrics["loss"]), metrics["loss"]


def test_a_task_says_which_checkpoint_is_best(tmp_path: Path) -> None:
    run = toys.prepare(tmp_path)
    fit(toys.net(), Highest(2.2, 3.1, 2.9), TrainingConfig(steps=6, evaluate_every=2), run)
    assert run.load("best").step == 6  # 2.9 and 3.1 are both 3, then the lower counts
    other = toys.prepare(tmp_path / "other")
    fit(toys.net(), Highest(2.2, 3.1, 1.0), TrainingConfig(steps=6, evaluate_every=2), other)
    assert (other.load("best").step, other.load("last").step) == (4, 6)
