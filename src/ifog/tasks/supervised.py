"""Train on examples and go on: the same work for every kind of task.

Owns the order of the work and what such a run's directory holds. Takes files or tables and options, gives runs; what is
done with them is `ifog.tasks.predicting`'s. What is learned is a `Kind`'s affair, the loop is the trainer's.

    runs/NAME/  (beside what ifog.runs writes)
      encoding.json                           vocabularies, labels, scales
      train.examples  validation.examples     the encoded data (safetensors)
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np
import torch

import ifog
from ifog.examples import ExampleBatches, Examples, Table
from ifog.examples.chunks import ChunkBatches
from ifog.tasks.beginning import Files, Run, begin, opened, paths_of, rank
from ifog.tasks.kinds import find, score
from ifog.tasks.options import DEFAULT_BUDGET
from ifog.tasks.predicting import (
    Source,
    draw,
    encoding_of,
    equations_of,
    evaluate,
    kind_of,
    load,
    model_of,
    options_of,
    predict,
    read,
    table_of,
)
from ifog.tasks.prepared import checked, described, sealed
from ifog.training import fit, parse_budget

if TYPE_CHECKING:
    from torch import Tensor, nn

    from ifog.cells import Cell
    from ifog.runs import RunDirectory
    from ifog.tasks.kind import Encoding, Kind
    from ifog.tasks.options import TaskOptions
    from ifog.training import Carry, Progress

__all__ = ["Supervised", "draw", "evaluate", "load", "predict", "read", "resume", "train"]

EXCERPT = 2000  # validation examples that judge the model while it is trained
SHOWN = 4  # examples predicted while training, to look at
SPLIT = 0  # seed of the examples held back: the same for every run on a file, so that runs compare and can be joined


class Learner(Protocol):
    """What every kind of task builds."""

    def loss(self, batch: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """A batch's mean loss and other figures."""
        ...


class ReadingOn(Protocol):
    """What a kind of task builds whose sequences may be learned in chunks."""

    def loss(self, batch: Mapping[str, Tensor], state: Any, /) -> tuple[Tensor, dict[str, Tensor], Any]:
        """A chunk's mean loss, other figures, and the state from which the next chunk goes on; None at first."""
        ...


@dataclasses.dataclass
class Supervised:
    """Examples with answers, as a task for the trainer (implements `ifog.training.Task`).

    Attributes:
        kind: of task.
        encoding: made the examples.
        train: examples that are learned from.
        validation: examples that the model is judged on.
        batch_size: examples per update.
        seed: of the order of the examples.
        chunk: steps of each sequence that one update learns from (truncated backpropagation through time); 0: all.
    """

    kind: Kind
    encoding: Encoding
    train: Examples
    validation: Examples
    batch_size: int
    seed: int = 0
    chunk: int = 0

    @property
    def items(self) -> str:
        """What the speed is told in."""
        return "steps" if self.chunk else "examples"

    def batches(self, rank: int, world: int) -> ExampleBatches | ChunkBatches:
        """The endless batches of this process's share of the examples."""
        if self.chunk:
            return ChunkBatches(self.train, self.batch_size, self.chunk, seed=self.seed, rank=rank, world=world)
        by = self.kind.batched_by()
        return ExampleBatches(self.train, self.batch_size, by=by, seed=self.seed, rank=rank, world=world)

    def loss(self, model: nn.Module, batch: dict[str, Tensor], carry: Carry) -> tuple[Tensor, dict[str, Any], Carry]:
        """A batch's mean loss, figures with the number of examples, no state; of chunks, of steps, and the state."""
        if self.chunk:
            loss, figures, state = cast("ReadingOn", model).loss(batch, carry)
            return loss, {**figures, "items": float(_steps_of(batch))}, state
        loss, figures = cast("Learner", model).loss(batch)
        return loss, {**figures, "items": float(_examples_of(batch))}, None

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        """Figures on at most 2,000 validation examples, spread evenly."""
        return self.kind.figures([model], self.encoding, _excerpt(self.validation, EXCERPT))

    def score(self, metrics: Mapping[str, float]) -> tuple[float, ...]:
        """The kind's metric, so that the lower is the better, then the loss."""
        return score(self.kind.metric_of(self.encoding), metrics)

    def sample(self, model: nn.Module) -> str | None:
        """Nothing: what a model predicts is seen with `ifog predict`."""
        return None


def train(
    files: Source,
    *,
    task: str,
    validation: Source | None = None,
    out: Files | None = None,
    steps: int | None = None,
    epochs: float | None = None,
    budget: str | float | None = None,
    cell: str | Cell | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> Run:
    """Learn a kind of task from examples and leave everything in a run directory.

    Args:
        files: of examples, or a table of them.
        task: the kind of task, one of `ifog.tasks.kinds.KINDS`.
        validation: examples that judge the model while it learns; none: some of `files` are held back, at random but
            for series, whose end is.
        out: the run directory, which must be new; by default `runs/NAME`, named after the first file.
        steps: updates in all; or:
        epochs: passes over the examples; or:
        budget: time in all, `"90s"`, `"10m"` or seconds; without any of them, 60 seconds.
        cell: a name in the catalogue, or a cell of your own.
        progress: told what happens.
        **options: of the kind of task.

    Raises:
        ConfigError: an option unknown or out of its range.
        DataError: examples that can't be read or encoded; names file and line.
        RunError: a run directory that exists, or can't be written.
        TrainingError: the loss is not a number, or exploded.
    """
    kind = find(task)
    if steps is None and budget is None and epochs is None:
        budget = DEFAULT_BUDGET
    own_cell = None if isinstance(cell, str) else cell
    if cell is not None:
        options["cell"] = cell if isinstance(cell, str) else cell.name
    seconds = None if budget is None else parse_budget(budget)
    settings = kind.options.given(steps=steps, epochs=epochs, budget=seconds, **options).decided()
    settings.training()  # refuses what is out of range before anything is written
    table = table_of(kind, files, settings)
    if validation is not None:
        held_out = table_of(kind, validation, settings)
    elif settings.validation_fraction:
        table, held_out = kind.split(table, settings.validation_fraction, SPLIT)
    else:
        held_out = table  # nothing is held out: the model is judged on what it was trained on
    paths = [] if isinstance(files, Table) else paths_of(files)
    return begin(
        out,
        Path(paths[0]).stem.split(".")[0] if paths else task,
        lambda run: _prepare(run, kind, table, held_out, settings, own_cell),
        lambda run: _fit(run, own_cell, progress),
    )


def resume(run: Run | Files, *, cell: Cell | None = None, progress: Progress | None = None) -> Run:
    """Go on from a run's last checkpoint, to the same losses as if it had never stopped.

    Raises:
        RunError: no run, or a damaged one.
    """
    return _fit(opened(run), cell, progress)


# What a run's directory holds


def _prepare(
    run: RunDirectory, kind: Kind, table: Table, held_out: Table, options: TaskOptions, cell: Cell | None
) -> None:
    """Write all that training needs; config.json comes last."""
    encoding = kind.encoding(table, options)
    task = _task(kind, encoding, encoding.encode(table), encoding.encode(held_out), options)
    if options.epochs is not None:
        batches = task.batches(0, 1).batches_per_epoch
        options = dataclasses.replace(options, steps=max(1, math.ceil(options.epochs * batches)))
    kind.build(encoding, options, cell)  # refuses what can't be built before anything is written
    task.train.save(run.path / "train.examples")
    task.validation.save(run.path / "validation.examples")
    run.write_json("encoding.json", encoding.to_dict())
    run.write_config(sealed(run, {
        "ifog": ifog.__version__,
        "task": kind.name,
        "source": table.source,
        "examples": {"train": len(task.train), "validation": len(task.validation)},
        "notes": list(encoding.notes),
        "equations": equations_of(options, cell),
        "options": options.to_dict(),
    }))  # fmt: skip


def _fit(run: RunDirectory, cell: Cell | None, progress: Progress | None) -> Run:
    """Train from the last checkpoint or the start, then judge the best weights on all validation examples."""
    kind, options, encoding = kind_of(run), options_of(run), encoding_of(run)
    train, validation = (Examples.open(checked(run, f"{name}.examples")) for name in ("train", "validation"))
    model = model_of(run, cell, fresh=not run.has_checkpoint())
    task = _task(kind, encoding, train, validation, options)
    with described(run):
        configuration = options.training()
    result = fit(model, task, configuration, run, progress=progress)
    metrics: dict[str, float] = {}
    if not result.interrupted and rank() == 0:
        with torch.no_grad():
            metrics = kind.figures([load(run.path, cell=cell)], encoding, validation)
        run.write_json("result.json", {"step": result.step, "seconds": result.elapsed, **metrics})
    return Run(run.path, result.step, result.interrupted, metrics)


def _task(kind: Kind, encoding: Encoding, train: Examples, validation: Examples, options: TaskOptions) -> Supervised:
    return Supervised(kind, encoding, train, validation, options.batch_size, options.seed, chunk=options.steps_at_once)


def _excerpt(examples: Examples, most: int) -> Examples:
    if len(examples) <= most:
        return examples
    return examples.take(np.linspace(0, len(examples) - 1, most).astype(np.int64))


def _examples_of(batch: Mapping[str, Tensor]) -> int:
    """How many examples a batch holds: the size of the first column that isn't padded."""
    return next(len(tensor) for name, tensor in batch.items() if f"{name}_lengths" not in batch)


def _steps_of(batch: Mapping[str, Tensor]) -> int:
    """How many steps a batch of chunks holds: all lanes are of one length."""
    steps, lanes = next(iter(batch.values())).shape[:2]
    return steps * lanes
