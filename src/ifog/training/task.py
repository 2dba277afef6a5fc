"""What the trainer asks of a task: batches, a loss, an evaluation. It knows nothing else of what is learned.

Owns the protocols and the type of the state carried from batch to batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol, TypeAlias

from torch import Tensor, nn

__all__ = ["Batches", "Carry", "StepMetrics", "Task"]

# Tensors in any nesting of (named) tuples. A checkpoint keeps the nesting, not the names:
# the first carry after a resume is a plain tuple.
Carry: TypeAlias = "Tensor | tuple[Carry, ...] | None"

# Averaged over the steps between two records; "items" alone is summed, and gives items per second.
StepMetrics: TypeAlias = dict[str, "Tensor | float"]


class Batches(Protocol):
    """An endless iterator that can tell and take its position; the position is the same in every process."""

    def __iter__(self) -> Iterator[Any]: ...

    def __next__(self) -> Any:
        """The next batch: a tensor, or a tuple, list or dictionary with tensors in it."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """The position, as JSON values."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go to a position."""
        ...


class Task(Protocol):
    """Something to learn."""

    @property
    def items(self) -> str:
        """What the figure "items" of `loss` counts, for people: "tokens", "examples"."""
        ...

    def batches(self, rank: int, world: int) -> Batches:
        """This process's share of the training batches, on the CPU."""
        ...

    def loss(self, model: nn.Module, batch: Any, carry: Carry) -> tuple[Tensor, StepMetrics, Carry]:
        """One batch's loss (a scalar), figures to record, and the state to carry to the next batch.

        Args:
            model: Call it; under several processes it is a wrapper.
            batch: One of `batches`, on the model's device.
            carry: What this returned for the batch before, cut from its gradient; None at first.
        """
        ...

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        """Figures on held-out data, "loss" among them. Runs without gradients, in eval mode."""
        ...

    def score(self, metrics: Mapping[str, float]) -> tuple[float, ...]:
        """What decides which checkpoint is best, from an evaluation's figures: the lower the better.

        Where the first numbers are equal the second decide, and so on.
        """
        ...

    def sample(self, model: nn.Module) -> str | None:
        """Something to look at while training, if there is anything."""
        ...
