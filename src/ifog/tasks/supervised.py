"""Train on examples, go on, judge, load and predict: the same work for every kind of task.

Owns the order of the work and what such a run's directory holds. Takes files or tables and options, gives runs, figures
and predictions. What is learned is a `Kind`'s affair, the loop is the trainer's.

    runs/NAME/  (beside what ifog.runs writes)
      encoding.json                           vocabularies, labels, scales
      train.examples  validation.examples     the encoded data (safetensors)
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, cast

import numpy as np
import torch

import ifog
from ifog import cells
from ifog.compiler.printing import equations
from ifog.errors import DataError, RunError
from ifog.examples import ExampleBatches, Examples, Table
from ifog.tasks.beginning import Files, Run, begin, listed, opened, paths_of, rank
from ifog.tasks.kinds import HIGHER, KINDS, find
from ifog.tasks.options import DEFAULT_BUDGET
from ifog.training import fit, load_weights, parse_budget, seed_all

if TYPE_CHECKING:
    from torch import Tensor, nn

    from ifog.cells import Cell
    from ifog.runs import RunDirectory
    from ifog.tasks.kind import Encoding, Kind
    from ifog.tasks.options import TaskOptions
    from ifog.training import Batches, Progress

__all__ = ["Supervised", "draw", "evaluate", "load", "predict", "read", "resume", "train"]

Source = Files | Sequence[Files] | Table
EXCERPT = 2000  # validation examples that judge the model while it is trained
SHOWN = 4  # examples predicted while training, to look at
SPLIT = 0  # seed of the examples held back: the same for every run on a file, so that runs compare and can be joined


class Learner(Protocol):
    """What every kind of task builds."""

    def loss(self, batch: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """A batch's mean loss and other figures."""
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
    """

    kind: Kind
    encoding: Encoding
    train: Examples
    validation: Examples
    batch_size: int
    seed: int = 0

    def batches(self, rank: int, world: int) -> Batches:
        """The endless batches of this process's share of the examples."""
        by = self.kind.batched_by()
        return ExampleBatches(self.train, self.batch_size, by=by, seed=self.seed, rank=rank, world=world)

    def loss(self, model: nn.Module, batch: dict[str, Tensor], carry: Any) -> tuple[Tensor, dict[str, Any], Any]:
        """A batch's mean loss, its figures with the number of examples, and no state."""
        loss, figures = cast("Learner", model).loss(batch)
        return loss, {**figures, "items": float(_examples_of(batch))}, None

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        """Figures on at most 2,000 validation examples, spread evenly."""
        return self.kind.figures([model], self.encoding, _excerpt(self.validation, EXCERPT))

    def score(self, metrics: Mapping[str, float]) -> tuple[float, ...]:
        """The kind's metric, so that the lower is the better, then the loss."""
        metric = self.kind.metric_of(self.encoding)
        return (-metrics[metric] if metric in HIGHER else metrics[metric], metrics["loss"])

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
        validation: examples that judge the model while it learns; none: some of `files` are held back at random.
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
    table = _table(kind, files, settings)
    if validation is not None:
        held_out = _table(kind, validation, settings)
    elif settings.validation_fraction:
        table, held_out = table.split(settings.validation_fraction, SPLIT)
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


def load(run: Run | Files, which: Literal["best", "last"] = "best", *, cell: Cell | None = None) -> Any:
    """The trained model in evaluation mode, its `.encoding` set.

    Raises:
        RunError: no run, no checkpoint yet, a damaged one, or one of another architecture.
    """
    directory = opened(run)
    model = _model(directory, cell)
    load_weights(model, directory, which)
    model.encoding = _encoding(directory)
    return model.eval()


def evaluate(
    runs: Run | Files | Sequence[Run | Files], files: Source | None = None, *, cell: Cell | None = None
) -> dict[str, float]:
    """Judge the best weights of a run, or of several together, on examples.

    Args:
        runs: one run directory, or several whose predictions are averaged (an ensemble).
        files: examples with answers; none: the run's own validation examples.
        cell: the cell itself, where it isn't in the catalogue.

    Raises:
        RunError: no run, a damaged one, or runs that don't go together.
        DataError: examples that can't be read or encoded.
    """
    directories, kind, encoding = _joined(runs)
    models = [load(directory.path, cell=cell) for directory in directories]
    with torch.no_grad():
        if files is None:
            return kind.figures(models, encoding, Examples.open(directories[0].path / "validation.examples"))
        table = _table(kind, files, _options(directories[0]))
        return kind.figures(models, encoding, encoding.encode(table), table)


def read(run: Run | Files, files: Source) -> Table:
    """Examples with answers, as the run's own were read.

    Raises:
        RunError: no run.
        DataError: examples that can't be read.
    """
    directory = opened(run)
    return _table(_kind(directory), files, _options(directory))


def draw(runs: Run | Files | Sequence[Run | Files], inputs: Source | Sequence[Mapping[str, Any]], path: Files) -> None:
    """A picture of what runs make of the first example: a forecast's fan, a translation's attention.

    Args:
        runs: as of `predict`.
        inputs: as of `predict`.
        path: of the picture; its ending tells the format.

    Raises:
        ConfigError: the kind of task has no picture.
        RunError: as `predict`.
        DataError: as `predict`.
    """
    directories, kind, encoding = _joined(runs)
    models = [load(directory.path) for directory in directories]
    kind.draw(models, encoding, _inputs(kind, inputs, _options(directories[0]))).savefig(path, dpi=110)


def predict(
    runs: Run | Files | Sequence[Run | Files],
    inputs: Source | Sequence[Mapping[str, Any]],
    out: Files | None = None,
    *,
    cell: Cell | None = None,
) -> Table:
    """What a run, or several together, say of new examples.

    Args:
        runs: one run directory, or several whose predictions are averaged (an ensemble).
        inputs: files, a table, or a list of examples as dictionaries by column.
        out: a file for the rows with the predictions in new columns; its ending tells the format.
        cell: the cell itself, where it isn't in the catalogue.

    Raises:
        RunError: no run, a damaged one, or runs that don't go together.
        DataError: examples that can't be read or encoded.
    """
    directories, kind, encoding = _joined(runs)
    models = [load(directory.path, cell=cell) for directory in directories]
    table = _inputs(kind, inputs, _options(directories[0]))
    with torch.no_grad():
        predicted = kind.predict(models, encoding, table)
    if out is not None:
        kind.write(predicted, Path(out))
    return predicted


# What a run's directory holds


def _prepare(
    run: RunDirectory, kind: Kind, table: Table, held_out: Table, options: TaskOptions, cell: Cell | None
) -> None:
    """Write all that training needs; config.json comes last."""
    encoding = kind.encoding(table, options)
    task = Supervised(
        kind, encoding, encoding.encode(table), encoding.encode(held_out), options.batch_size, options.seed
    )
    if options.epochs is not None:
        batches = ExampleBatches(task.train, options.batch_size, by=kind.batched_by()).batches_per_epoch
        options = dataclasses.replace(options, steps=max(1, math.ceil(options.epochs * batches)))
    kind.build(encoding, options, cell)  # refuses what can't be built before anything is written
    task.train.save(run.path / "train.examples")
    task.validation.save(run.path / "validation.examples")
    run.write_json("encoding.json", encoding.to_dict())
    run.write_config({
        "ifog": ifog.__version__,
        "task": kind.name,
        "source": table.source,
        "examples": {"train": len(task.train), "validation": len(task.validation)},
        "notes": list(encoding.notes),
        "equations": _equations(options, cell),
        "options": options.to_dict(),
    })  # fmt: skip


def _fit(run: RunDirectory, cell: Cell | None, progress: Progress | None) -> Run:
    """Train from the last checkpoint or the start, then judge the best weights on all validation examples."""
    kind, options, encoding = _kind(run), _options(run), _encoding(run)
    train, validation = (Examples.open(run.path / f"{name}.examples") for name in ("train", "validation"))
    model = _model(run, cell)
    task = Supervised(kind, encoding, train, validation, options.batch_size, options.seed)
    result = fit(model, task, options.training(), run, progress=progress)
    metrics: dict[str, float] = {}
    if not result.interrupted and rank() == 0:
        with torch.no_grad():
            metrics = kind.figures([load(run.path, cell=cell)], encoding, validation)
        run.write_json("result.json", {"step": result.step, "seconds": result.elapsed, **metrics})
    return Run(run.path, result.step, result.interrupted, metrics)


def _model(run: RunDirectory, cell: Cell | None) -> Any:
    """The run's model with fresh weights, drawn from its seed."""
    options = _options(run)
    if cell is None and options.cell not in cells.CATALOGUE:
        raise RunError(
            f"{run.path} was trained with a cell of your own, {options.cell}, which the catalogue doesn't hold; "
            f"import the cell in Python and give it, as in ifog.load({str(run.path)!r}, cell={options.cell})."
        )
    if (found := _equations(options, cell)) != run.config.get("equations"):
        raise RunError(
            f"{run.path} was trained with a cell {options.cell} of other equations: {run.config.get('equations')}; "
            f"the one at hand has {found}. Give the cell that was trained with cell=, or train anew."
        )
    seed_all(options.seed)
    return _kind(run).build(_encoding(run), options, cell)


def _equations(options: TaskOptions, cell: Cell | None) -> list[str]:
    """Of the cell, which may be somebody's own, at sizes of no importance."""
    graph = (cell or cells.get(options.cell)).trace(8, 8, **options.cell_options)
    return [f"{name} = {expression}" for name, expression in equations(graph)]


def _kind(run: RunDirectory) -> Kind:
    task = run.config.get("task")
    if task not in KINDS:
        raise RunError(
            f"{run.path}: config.json is of the task {task!r}, which this version doesn't know; it knows language, "
            f"{', '.join(KINDS)}. Was it written by a newer ifog?"
        )
    return find(task)


def _options(run: RunDirectory) -> Any:
    kind, values = _kind(run), run.config.get("options")
    if not isinstance(values, dict):
        raise RunError(f"{run.path}: config.json lacks the options; it is damaged: restore it, or train anew.")
    return kind.options.given(**values)


def _encoding(run: RunDirectory) -> Encoding:
    return _kind(run).restore(run.read_json("encoding.json"))


def _joined(runs: Run | Files | Sequence[Run | Files]) -> tuple[list[RunDirectory], Kind, Encoding]:
    """Runs that predict together: one kind of task, one encoding."""
    directories = [opened(run) for run in listed(runs)]
    first = directories[0]
    for other in directories[1:]:
        same = other.config.get("task") == first.config.get("task")
        if not same or other.read_json("encoding.json") != first.read_json("encoding.json"):
            raise RunError(
                f"{other.path} and {first.path} can't predict together: they were trained on other data or tasks; "
                "give runs of the same task on the same training file."
            )
    return directories, _kind(first), _encoding(first)


# Where examples come from


def _table(kind: Kind, source: Source, options: TaskOptions, *, labelled: bool = True) -> Table:
    table = source if isinstance(source, Table) else kind.read(paths_of(source), options, labelled=labelled)
    if not len(table):
        raise DataError(
            f"{table.source if table.places else source}: there are no examples; give a file that has some."
        )
    return table


def _inputs(kind: Kind, inputs: Source | Sequence[Mapping[str, Any]], options: TaskOptions) -> Table:
    if isinstance(inputs, Sequence) and inputs and isinstance(inputs[0], Mapping):
        rows: Any = inputs
        columns = {name: [row.get(name) for row in rows] for name in rows[0]}
        return Table(columns, [("example", i) for i in range(1, len(rows) + 1)])
    return _table(kind, inputs, options, labelled=False)  # pyright: ignore[reportArgumentType] (mappings are gone)


def _excerpt(examples: Examples, most: int) -> Examples:
    if len(examples) <= most:
        return examples
    return examples.take(np.linspace(0, len(examples) - 1, most).astype(np.int64))


def _examples_of(batch: Mapping[str, Tensor]) -> int:
    """How many examples a batch holds: the size of the first column that isn't padded."""
    return next(len(tensor) for name, tensor in batch.items() if f"{name}_lengths" not in batch)
