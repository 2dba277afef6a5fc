"""Train a model on a task: the loop, and nothing of what is learned.

Owns the order of things within a step, when figures are recorded, and how a run ends. Takes a model, a task, a
configuration and perhaps a run directory; gives the trained model and its figures. A run that was stopped at any
moment and is fitted again goes on from its last checkpoint as if it had never been stopped.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from time import monotonic
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.utils import get_total_norm

from ifog.errors import TrainingError
from ifog.runs import RunDirectory
from ifog.training import carrying, randomness
from ifog.training.config import TrainingConfig
from ifog.training.interruption import Interruption
from ifog.training.interval import Interval
from ifog.training.logging import JsonLinesLogger, Logger, TensorBoardLogger
from ifog.training.processes import Processes
from ifog.training.progress import Progress, SilentProgress, Status
from ifog.training.regularization import RecurrentPenalty
from ifog.training.schedules import learning_rate, run_fraction
from ifog.training.session import Session
from ifog.training.task import Task

__all__ = ["FitResult", "fit"]

_SMOOTHING = 0.999  # of min-char-rnn's smooth loss
_SHOWN_EVERY = 0.25  # seconds
_OWN_FIGURES = {"loss", "items"}


@dataclass(frozen=True)
class FitResult:
    """How a run ended.

    Attributes:
        step: Completed steps.
        elapsed: Seconds, over all resumes.
        interrupted: Whether Ctrl-C ended it: fitting again goes on.
        metrics: Of the last evaluation.
        best: Of the evaluation with the best score.
        average: The averaged weights by name, if the configuration asks for them.
    """

    step: int
    elapsed: float
    interrupted: bool
    metrics: dict[str, float]
    best: dict[str, float]
    average: dict[str, Tensor] | None


def fit(
    model: nn.Module,
    task: Task,
    config: TrainingConfig,
    run: RunDirectory | None = None,
    *,
    progress: Progress | None = None,
    loggers: Sequence[Logger] = (),
) -> FitResult:
    """Train, from the run's last checkpoint if it has one.

    Afterwards the model holds the weights of the last step; `load_weights` gives the best ones.

    Args:
        model: Trained in place.
        task: Gives batches and losses.
        config: How to train.
        run: Where to save; without it nothing is written.
        progress: Told how it goes.
        loggers: Given the figures, beside metrics.jsonl and TensorBoard's files in the run directory.

    Raises:
        TrainingError: The loss is not a number or exploded; the last good checkpoint is kept.
        RunError: The checkpoint doesn't fit, the disk is full (the checkpoint before is kept), or another process
            trains the run.
        ConfigError: An option doesn't fit this model or machine.
        DataError: The task has too little data.
    """
    processes = Processes(config)
    with run.locked() if run and processes.first else nullcontext():
        session = Session(model, task, config, processes)
        if run and run.has_checkpoint():
            session.unpack(run.load(), str(run.path))
        processes.wait()  # nobody writes before everybody has read
        if not processes.first:
            return _Loop(session, task, config, run, processes, SilentProgress(), ()).run_to_end()
        own: list[Logger] = [JsonLinesLogger(run), TensorBoardLogger(run.tensorboard)] if run else []
        every = [*own, *loggers]
        try:
            for logger in every:
                logger.resume(session.position.step)
            return _Loop(session, task, config, run, processes, progress or SilentProgress(), every).run_to_end()
        finally:
            for logger in every:
                logger.close()


class _Loop:
    """One call of `fit`."""

    def __init__(
        self,
        session: Session,
        task: Task,
        config: TrainingConfig,
        run: RunDirectory | None,
        processes: Processes,
        progress: Progress,
        loggers: Sequence[Logger],
    ) -> None:
        self._session, self._task, self._config = session, task, config
        self._run, self._processes = run, processes
        self._progress, self._loggers = progress, loggers
        self._fabric = processes.fabric
        self._penalty = RecurrentPenalty(session.model, config)
        self._parameters = [p for p in session.model.parameters() if p.requires_grad]
        self._model, self._optimizer = self._fabric.setup(session.model, session.optimizer)
        if hasattr(session.model, "loss"):  # a way to call a model that must not go past the wrapper
            self._model.mark_forward_method("loss")
        self._rate = self._norm = self._speed = 0.0
        self._loss: float | None = None
        self._metrics: dict[str, float] = {}
        self._saved_step = session.position.step if run and run.has_checkpoint() else -1
        self._begun = (session.position.step, session.position.elapsed)
        self._recorded = self._shown = session.clock.elapsed()  # when the last record was, and the last sign of life
        self._stop = False

    def run_to_end(self) -> FitResult:
        """Steps, records, evaluations and checkpoints until the plan is fulfilled or Ctrl-C."""
        position, timetable = self._session.position, self._session.timetable
        self._model.train()
        self._progress.started(self._status())
        with Interruption() as interruption:
            while not self._over() and not self._stop:
                self._step(interruption.requested)
                if position.step % self._config.log_every == 0:
                    self._record()
                elif position.elapsed - self._shown >= _SHOWN_EVERY:
                    self._shown = position.elapsed
                    self._progress.stepped(self._status())
                if timetable.evaluation_due(position.step, position.elapsed):
                    self._evaluate()
                elif timetable.save_due(position.step, position.elapsed):
                    self._save()
            interrupted = not self._over()
            if not interrupted and position.evaluated_step != position.step:
                self._evaluate()
            elif self._saved_step != position.step:
                self._save()
        self._processes.wait()  # nobody leaves, and perhaps reads the run, before it is written
        self._progress.finished(self._status())
        average = self._session.average
        return FitResult(
            step=position.step,
            elapsed=position.elapsed,
            interrupted=interrupted,
            metrics=dict(position.metrics),
            best=dict(position.best),
            average={name: tensor.clone() for name, tensor in average.tensors().items()} if average else None,
        )

    def _over(self) -> bool:
        position, config = self._session.position, self._config
        if config.steps is not None:
            return position.step >= config.steps
        return config.budget is not None and position.elapsed >= config.budget

    # One step

    def _step(self, stop: bool) -> None:
        session, position = self._session, self._session.position
        self._rate = learning_rate(self._config, run_fraction(self._config, position.step, position.elapsed))
        for group in session.optimizer.param_groups:
            group["lr"] = self._rate
        figures = self._gradients()
        trained = [p for p in self._parameters if p.grad is not None]
        norm = get_total_norm([p.grad for p in trained if p.grad is not None])
        # The step's only wait for the device.
        numbers = cast("list[float]", torch.stack([norm, *figures.values()]).tolist())
        self._norm = numbers[0]
        values, elapsed, self._stop = self._agree(dict(zip(figures, numbers[1:], strict=True)), stop)
        session.watch.check(position.step + 1, values["loss"], self._norm, self._rate)
        session.clipper.clip(trained, norm)
        session.clipper.observe(self._norm)
        self._optimizer.step()
        self._optimizer.zero_grad()
        if session.average:
            session.average.update()
        position.step += 1
        position.elapsed = elapsed
        session.interval.add(values)
        if position.smooth is not None:
            position.smooth = _SMOOTHING * position.smooth + (1 - _SMOOTHING) * values["loss"]

    def _gradients(self) -> dict[str, Tensor]:
        """Forward and backward for each batch of a step; gives the figures, added up over these batches."""
        session, count = self._session, self._config.accumulation
        figures: dict[str, Tensor] = {}
        for i in range(count):
            batch = carrying.move(next(session.batches), self._fabric.device)
            with self._fabric.no_backward_sync(self._model, enabled=i < count - 1):
                with self._fabric.autocast():  # a task may call other methods than the forward that Fabric wraps
                    loss, metrics, carry = self._task.loss(self._model, batch, session.carry)
                objective = loss / count if count > 1 else loss
                values: dict[str, Tensor | float] = {"loss": loss, **metrics}
                if self._penalty.active and i == 0:
                    values["penalty"] = penalty = self._penalty()
                    objective = objective + penalty
                self._fabric.backward(objective)
            session.carry = carrying.detach(carry)
            for name, value in values.items():
                share = 1 if name in ("items", "penalty") else 1 / count
                figure = self._figure(value, share)
                figures[name] = figures[name] + figure if name in figures else figure
        return figures

    def _figure(self, value: Tensor | float, share: float) -> Tensor:
        """A scalar of double precision, so that counts stay exact and a stack of them has one type."""
        tensor = value.detach() if isinstance(value, Tensor) else torch.tensor(value, device=self._fabric.device)
        tensor = tensor.to(torch.float64)
        return tensor * share if share != 1 else tensor

    def _agree(self, values: dict[str, float], stop: bool) -> tuple[dict[str, float], float, bool]:
        """What all processes go by: the mean figures (the sum of items), the first one's clock, and anyone's Ctrl-C."""
        elapsed = self._session.clock.elapsed()
        world = self._processes.world
        if world == 1:
            return values, elapsed, stop
        elapsed = elapsed if self._processes.first else 0.0
        *sums, elapsed, stops = self._processes.sums([*values.values(), elapsed, float(stop)])
        agreed = {k: v if k == "items" else v / world for k, v in zip(values, sums, strict=True)}
        return agreed, elapsed, stops > 0

    # Between steps

    def _record(self) -> None:
        position, interval = self._session.position, self._session.interval
        now = self._session.clock.elapsed()
        self._speed = interval.total("items") / max(now - self._recorded, 1e-9)
        self._recorded = now
        status = self._status()
        loss = interval.mean("loss")
        figures = {"loss": loss, "learning_rate": self._rate, "gradient_norm": self._norm, **status.metrics}
        timing = {"seconds": position.elapsed, "items_per_second": self._speed}
        for logger in self._loggers:
            logger.log("train", position.step, {**figures, **timing})
        self._progress.logged(status)
        self._session.interval = Interval()

    def _status(self) -> Status:
        position, interval = self._session.position, self._session.interval
        if interval.steps:  # right after a record there are none: its figures still hold
            self._loss = interval.mean("loss")
            self._metrics = {name: interval.mean(name) for name in interval.names if name not in _OWN_FIGURES}
        smooth = {} if position.smooth is None else {"smooth_loss": position.smooth}
        return Status(
            step=position.step,
            steps=self._config.steps,
            elapsed=position.elapsed,
            budget=self._config.budget,
            fraction=run_fraction(self._config, position.step, position.elapsed),
            remaining=self._remaining(),
            loss=self._loss,
            learning_rate=self._rate,
            gradient_norm=self._norm,
            items_per_second=self._speed,
            items=self._task.items,
            metrics={**self._metrics, **smooth},
        )

    def _remaining(self) -> float | None:
        position, config = self._session.position, self._config
        if config.budget is not None:
            return max(config.budget - position.elapsed, 0.0)
        done, spent = position.step - self._begun[0], position.elapsed - self._begun[1]
        return spent / done * ((config.steps or 0) - position.step) if done else None

    def _evaluate(self) -> None:
        """Evaluate in the first process, with the averaged weights if there are any; then save."""
        position = self._session.position
        start = monotonic()
        best, sample = False, None
        if self._processes.first:
            with self._evaluating():
                position.metrics = dict(self._task.evaluate(self._session.model))
                sample = self._task.sample(self._session.model)
            best = self._is_best(position.metrics)
        loss = position.metrics["loss"] if self._processes.first else 0.0
        spent = monotonic() - start if self._processes.first else 0.0
        seconds, was_best, loss = self._processes.sums([spent, best, loss])
        self._session.timetable.evaluated(seconds)
        if self._session.average:
            self._session.average.evaluated(loss)
        position.evaluated_step = position.step
        for logger in self._loggers:
            logger.log("evaluation", position.step, position.metrics)
            if sample is not None:
                logger.text("sample", position.step, sample)
        if best:
            position.best = dict(position.metrics)
        self._progress.evaluated(self._status(), position.metrics, sample, best)
        self._save(best=was_best > 0)

    def _is_best(self, metrics: dict[str, float]) -> bool:
        loss = metrics.get("loss", math.nan)
        if not math.isfinite(loss):
            raise TrainingError(
                f"training stopped at step {self._session.position.step}: the evaluation's loss is {loss}, though "
                f"the training loss is finite. Look at the held-out data, or try a lower learning rate. "
                f"The checkpoint before is kept."
            )
        best = self._session.position.best
        return not best or self._task.score(metrics) < self._task.score(best)

    @contextmanager
    def _evaluating(self) -> Generator[None, None, None]:
        """Whatever an evaluation does, training goes on as if there had been none."""
        average = self._session.average
        modes = [(module, module.training) for module in self._session.model.modules()]
        self._session.model.eval()
        try:
            with randomness.preserved(), torch.no_grad():
                if average is None:
                    yield
                else:
                    with average.lent():
                        yield
        finally:
            for module, training in modes:
                module.training = training

    def _save(self, *, best: bool = False) -> None:
        position = self._session.position
        self._session.timetable.saved(position.elapsed)
        self._saved_step = position.step
        if self._run is None:
            return
        checkpoint = self._session.pack()
        if self._processes.first:
            for logger in self._loggers:
                logger.flush()
            path = self._run.save(checkpoint, best=best)
            self._progress.saved(self._status(), path)
