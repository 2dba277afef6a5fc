"""Hold everything that changes while training, and turn it into a checkpoint and back.

Owns what a checkpoint holds: weights, their average, the optimiser's state, the carried state and the generators of
random numbers of every process, the position in the data, and the figures gathered since the last record. Never trains.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from ifog.errors import RunError
from ifog.runs import Checkpoint
from ifog.training import randomness
from ifog.training.averaging import build_average
from ifog.training.carrying import flatten, move, unflatten
from ifog.training.clipping import Clipper
from ifog.training.config import TrainingConfig
from ifog.training.interval import Interval
from ifog.training.optimizers import build_optimizer, load_optimizer, optimizer_tensors
from ifog.training.processes import Processes
from ifog.training.schedules import Clock
from ifog.training.task import Carry, Task
from ifog.training.timetable import Timetable
from ifog.training.watching import Watch
from ifog.training.weights import load_state

__all__ = ["Position", "Session"]


@dataclass
class Position:
    """Where a run is, in JSON values.

    Attributes:
        step: Completed steps.
        elapsed: Seconds, over all resumes, the same in all processes.
        smooth: The smooth loss, if it is recorded.
        evaluated_step: When the last evaluation was; -1 before the first.
        metrics: Of the last evaluation.
        best: Of the evaluation with the lowest loss.
    """

    step: int = 0
    elapsed: float = 0.0
    smooth: float | None = None
    evaluated_step: int = -1
    metrics: dict[str, float] = field(default_factory=dict[str, float])
    best: dict[str, float] = field(default_factory=dict[str, float])


class Session:
    """The parts of a run in one process."""

    def __init__(self, model: nn.Module, task: Task, config: TrainingConfig, processes: Processes) -> None:
        self._config, self._processes = config, processes
        self.model = model.to(processes.fabric.device)
        self.optimizer = build_optimizer(model, config)
        self.average = build_average(model, config)
        self.clipper = Clipper(config)
        self.watch = Watch(model, config.explosion)
        self.timetable = Timetable(config)
        self.batches = task.batches(processes.rank, processes.world)
        self.carry: Carry = None
        self.interval = Interval()
        self.position = Position(smooth=config.smooth_start)
        # Each process draws its own dropout; initial weights are the first one's.
        randomness.seed_all(config.seed + processes.rank)
        self.clock = Clock()

    def pack(self) -> Checkpoint:
        """The state at the end of a step. Every process must call it together."""
        tensors: dict[str, dict[str, Tensor]] = {
            "model": self.model.state_dict(),
            "optimizer": optimizer_tensors(self.optimizer, self.model),
            "carry": self._gather(flatten(self.carry)),
            "random": self._gather(randomness.capture()),
        }
        if self.average:
            tensors["average"] = self.average.tensors()
        state: dict[str, Any] = {
            "position": vars(self.position),
            "batches": self.batches.state_dict(),
            "clipper": self.clipper.state_dict(),
            "watch": self.watch.state_dict(),
            "timetable": self.timetable.state_dict(),
            "interval": self.interval.state_dict(),
            "average": self.average.state_dict() if self.average else None,
            "world": self._processes.world,
            "optimizer": self._config.optimizer,
        }
        return Checkpoint(self.position.step, tensors, state)

    def unpack(self, checkpoint: Checkpoint, source: str) -> None:
        """Go to the state of a checkpoint.

        Raises:
            RunError: It is of another architecture or configuration, or lacks something.
        """
        tensors, state = checkpoint.tensors, checkpoint.state
        try:
            load_state(self.model, tensors["model"], source)
            if state["optimizer"] != self._config.optimizer:
                raise RunError(
                    f"the run in {source} was trained by {state['optimizer']}, whose state {self._config.optimizer} "
                    f"can't take over; resume with the optimiser of the run, or train anew."
                )
            load_optimizer(self.optimizer, self.model, tensors["optimizer"])
            if self.average:
                # A run that is resumed with averaging starts to average from its weights as they are.
                self.average.load(tensors.get("average", tensors["model"]))
                if state["average"]:
                    self.average.load_state_dict(state["average"])
            self.position = Position(**state["position"])
            for part in ("batches", "clipper", "watch", "timetable", "interval"):
                getattr(self, part).load_state_dict(state[part])
            self._unpack_processes(tensors, int(state["world"]))
        except (KeyError, TypeError, ValueError) as error:
            raise RunError(
                f"the checkpoint in {source} lacks what this version needs ({error!r}); train anew."
            ) from error
        self.clock = Clock(self.position.elapsed)

    def _unpack_processes(self, tensors: dict[str, dict[str, Tensor]], world: int) -> None:
        if world != self._processes.world:
            warnings.warn(
                f"the run was trained by {world} processes and goes on with {self._processes.world}: "
                f"the recurrent state starts at zero and random numbers differ",
                stacklevel=2,
            )
            return
        carry = unflatten(self._own(tensors["carry"]))
        self.carry = move(carry, self._processes.fabric.device)
        randomness.restore(self._own(tensors["random"]))

    def _gather(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """Each process's tensors, named by its rank."""
        return {
            f"{rank}/{name}": part
            for name, tensor in tensors.items()
            for rank, part in enumerate(self._processes.gather(tensor))
        }

    def _own(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        prefix = f"{self._processes.rank}/"
        return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
