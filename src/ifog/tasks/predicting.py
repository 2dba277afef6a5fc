"""What is done with a run that learned from examples: load, judge, predict, draw.

Owns what is read back of such a run's directory, and how several runs answer together. Takes runs and examples, gives
models, figures and predictions. Never trains; what a prediction is, is a `Kind`'s affair.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch

from ifog import cells
from ifog.compiler.printing import equations
from ifog.errors import DataError, RunError
from ifog.examples import Examples, Table
from ifog.tasks.beginning import Files, Run, listed, opened, paths_of
from ifog.tasks.kinds import KINDS, find
from ifog.tasks.prepared import checked, described
from ifog.training import load_weights, seed_all

if TYPE_CHECKING:
    from ifog.cells import Cell
    from ifog.runs import RunDirectory
    from ifog.tasks.kind import Encoding, Kind
    from ifog.tasks.options import TaskOptions

__all__ = [
    "Source",
    "draw",
    "encoding_of",
    "equations_of",
    "evaluate",
    "kind_of",
    "load",
    "model_of",
    "options_of",
    "predict",
    "read",
    "table_of",
]

Source = Files | Sequence[Files] | Table


def load(run: Run | Files, which: Literal["best", "last"] = "best", *, cell: Cell | None = None) -> Any:
    """The trained model in evaluation mode, its `.encoding` set.

    Raises:
        RunError: no run, no checkpoint yet, a damaged one, or one of another architecture.
    """
    directory = opened(run)
    model = model_of(directory, cell, fresh=False)
    load_weights(model, directory, which)
    model.encoding = encoding_of(directory)
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
            return kind.figures(models, encoding, Examples.open(checked(directories[0], "validation.examples")))
        table = table_of(kind, files, options_of(directories[0]))
        return kind.figures(models, encoding, encoding.encode(table), table)


def read(run: Run | Files, files: Source) -> Table:
    """Examples with answers, as the run's own were read.

    Raises:
        RunError: no run.
        DataError: examples that can't be read.
    """
    directory = opened(run)
    return table_of(kind_of(directory), files, options_of(directory))


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
    kind.draw(models, encoding, _inputs(kind, inputs, options_of(directories[0]))).savefig(path, dpi=110)


def predict(
    runs: Run | Files | Sequence[Run | Files],
    inputs: Source | Sequence[Mapping[str, Any]],
    out: Files | None = None,
    *,
    probabilities: bool = False,
    cell: Cell | None = None,
) -> Table:
    """What a run, or several together, say of new examples.

    Args:
        runs: one run directory, or several whose predictions are averaged (an ensemble).
        inputs: files, a table, or a list of examples as dictionaries by column.
        out: a file for the rows with the predictions in new columns; its ending tells the format.
        probabilities: of classify, a column for each class; of tag, the probability of each predicted tag.
        cell: the cell itself, where it isn't in the catalogue.

    Raises:
        ConfigError: probabilities of a task that has none.
        RunError: no run, a damaged one, or runs that don't go together.
        DataError: examples that can't be read or encoded.
    """
    directories, kind, encoding = _joined(runs)
    models = [load(directory.path, cell=cell) for directory in directories]
    table = _inputs(kind, inputs, options_of(directories[0]))
    with torch.no_grad():
        predicted = kind.predict(models, encoding, table, probabilities=probabilities)
    if out is not None:
        kind.write(predicted, Path(out))
    return predicted


# What a run's directory says


def model_of(run: RunDirectory, cell: Cell | None, *, fresh: bool = True) -> Any:
    """The run's model with fresh weights, drawn from its seed, or else with any, for saved ones to take their place."""
    options, encoding = options_of(run), encoding_of(run)
    if not fresh:
        options = options.for_saved_weights()
    with described(run):
        if cell is None and options.cell not in cells.CATALOGUE:
            raise RunError(
                f"{run.path} was trained with a cell of your own, {options.cell}, which the catalogue doesn't hold; "
                f"import the cell in Python and give it, as in ifog.load({str(run.path)!r}, cell={options.cell})."
            )
        if (found := equations_of(options, cell)) != run.config.get("equations"):
            raise RunError(
                f"{run.path} was trained with a cell {options.cell} of other equations: {run.config.get('equations')}; "
                f"the one at hand has {found}. Give the cell that was trained with cell=, or train anew."
            )
        seed_all(options.seed)
        return kind_of(run).build(encoding, options, cell)


def equations_of(options: TaskOptions, cell: Cell | None) -> list[str]:
    """Of the cell, which may be somebody's own, at sizes of no importance."""
    graph = (cell or cells.get(options.cell)).trace(8, 8, **options.cell_options)
    return [f"{name} = {expression}" for name, expression in equations(graph)]


def kind_of(run: RunDirectory) -> Kind:
    """What a run learned.

    Raises:
        RunError: a kind that this version doesn't know, or a config.json that was damaged.
    """
    checked(run, "config.json")
    task = run.config.get("task")
    if task == "language":
        raise RunError(
            f"{run.path} is a language model, which goes on with a text: use `ifog sample`, or give a run that learned "
            "from examples."
        )
    if not isinstance(task, str) or task not in KINDS:
        raise RunError(
            f"{run.path}: config.json is of the task {task!r}, which this version doesn't know; it knows language, "
            f"{', '.join(KINDS)}. Was it written by a newer ifog?"
        )
    return find(task)


def options_of(run: RunDirectory) -> Any:
    """The options that a run was started with.

    Raises:
        RunError: config.json lacks them.
    """
    kind, values = kind_of(run), run.config.get("options")
    if not isinstance(values, dict):
        raise RunError(f"{run.path}: config.json lacks the options; it is damaged: restore it, or train anew.")
    with described(run):
        return kind.options.given(**values)


def encoding_of(run: RunDirectory) -> Encoding:
    """How a run's examples became numbers.

    Raises:
        RunError: encoding.json is missing or damaged.
    """
    values = run.read_json(checked(run, "encoding.json").name)
    with described(run):
        return kind_of(run).restore(values)


def _joined(runs: Run | Files | Sequence[Run | Files]) -> tuple[list[RunDirectory], Kind, Encoding]:
    """Runs that predict together: one kind of task, one encoding."""
    directories = [opened(run) for run in listed(runs)]
    first = directories[0]
    for other in directories[1:]:
        checked(other, "encoding.json")
        same = other.config.get("task") == first.config.get("task")
        if not same or other.read_json("encoding.json") != first.read_json("encoding.json"):
            raise RunError(
                f"{other.path} and {first.path} can't predict together: they were trained on other data or tasks; "
                "give runs of the same task on the same training file."
            )
    return directories, kind_of(first), encoding_of(first)


# Where examples come from


def table_of(kind: Kind, source: Source, options: TaskOptions, *, labelled: bool = True) -> Table:
    """The rows of files, or a table as it is.

    Raises:
        DataError: files that can't be read, or no row at all.
    """
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
    return table_of(kind, inputs, options, labelled=False)  # pyright: ignore[reportArgumentType] (mappings are gone)
