"""The main job in five functions, whatever is learned: train, resume, load, evaluate, predict.

Owns the choice of the task: from a file's ending and columns, or from a run's config.json. Takes what a user says and
hands it on to `ifog.tasks.language` or `ifog.tasks.supervised`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from ifog.errors import ConfigError, DataError
from ifog.examples import Table
from ifog.tasks import language, supervised
from ifog.tasks.beginning import Files, Run, listed, opened, paths_of
from ifog.tasks.kinds import guess

if TYPE_CHECKING:
    from ifog.cells import Cell
    from ifog.training import Progress

__all__ = ["evaluate", "load", "predict", "resume", "train"]


def train(
    files: Files | Sequence[Files] | Table | None = None,
    *,
    task: str | None = None,
    validation: Files | Sequence[Files] | Table | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> Run:
    """Learn from files and leave everything in a run directory.

    Args:
        files: what to learn from; none: for a language model, the source of Python's standard library.
        task: "language" (a text's next token), "classify", "regress", "tag", "translate" or "forecast"; none: guessed
            from the first file's ending and columns, and a language model where they say nothing.
        validation: files that judge the model while it learns; none: a part of `files` is held back for that.
        progress: told what happens.
        **options: those of `ifog.tasks.language.train` and `LanguageOptions`; of another task, those of
            `ifog.tasks.supervised.train` and of its kind.

    Raises:
        ConfigError: an option unknown or out of its range.
        DataError: a file that can't be read; names the line.
        RunError: a run directory that exists, or can't be written.
        TrainingError: the loss is not a number, or exploded.

    Examples:
        The lectures' four letters:

        >>> import tempfile
        >>> from ifog.generation import Sampling, sample
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     run = train(text="hello", min_char_rnn=True, sequence=4, steps=100, out=f"{folder}/hello")
        ...     model = load(run)
        >>> sample(model, "h", 4, sampling=Sampling(greedy=True))
        'ello'
    """
    if isinstance(files, Table):
        if task is None:
            raise ConfigError("a table doesn't tell what to learn from it; give task=, such as task='classify'.")
        return supervised.train(files, task=task, validation=validation, progress=progress, **options)
    if (task or guess(paths_of(files))) == "language":
        if isinstance(validation, Table):
            raise ConfigError("a language model is judged on a text; give validation= a file.")
        return language.train(files, validation=validation, progress=progress, **options)
    if files is None:
        raise DataError(f"the task {task} learns from examples; give files of them.")
    task = task or guess(paths_of(files))
    return supervised.train(files, task=task, validation=validation, progress=progress, **options)


def resume(run: Run | Files, *, cell: Cell | None = None, progress: Progress | None = None, **options: Any) -> Run:
    """Go on from a run's last checkpoint, to the same losses as if it had never stopped.

    Args:
        run: the run directory.
        cell: the cell itself, where it isn't in the catalogue.
        progress: told what happens.
        **options: those of `ifog.tasks.language.resume`, for a language model.

    Raises:
        RunError: no run, or a damaged one.
    """
    module = language if _is_language(run) else supervised
    return module.resume(run, cell=cell, progress=progress, **options)


def load(run: Run | Files, which: Literal["best", "last"] = "best", *, cell: Cell | None = None) -> Any:
    """The trained model in evaluation mode: averaged weights if there are, its `.tokenizer` or `.encoding` set.

    Args:
        run: the run directory.
        which: "best" on the validation data, or "last".
        cell: the cell itself, where it isn't in the catalogue.

    Raises:
        RunError: no run, no checkpoint yet, a damaged one, or one of another architecture.
    """
    module = language if _is_language(run) else supervised
    return module.load(run, which, cell=cell)


def evaluate(
    runs: Run | Files | Sequence[Run | Files],
    files: Files | Sequence[Files] | Table | None = None,
    *,
    text: str | None = None,
    cell: Cell | None = None,
) -> dict[str, float]:
    """Judge a run's best weights.

    Args:
        runs: the run directory; of a task with examples also several, whose predictions are averaged.
        files: what to judge it on; none: its own validation data.
        text: of a language model, the text itself in place of files.
        cell: the cell itself, where it isn't in the catalogue.

    Returns:
        Of a language model "loss" (nats per token), "bits_per_character", "perplexity", "accuracy"; else what the kind
        of task says, see `ifog.tasks.kind.Kind.figures`.

    Raises:
        RunError: no run, or a damaged one.
        DataError: data that can't be read or encoded.
    """
    several = listed(runs)
    if not _is_language(several[0]):
        return supervised.evaluate(several, files, cell=cell)
    if isinstance(files, Table) or len(several) > 1:
        raise ConfigError("a language model is judged alone, on files or text=; give one run.")
    return language.evaluate(several[0], files, text=text, cell=cell)


def predict(
    runs: Run | Files | Sequence[Run | Files],
    inputs: Files | Sequence[Files] | Table | Sequence[Mapping[str, Any]],
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
        ConfigError: the run is a language model's: use `ifog.generation.sample`; or probabilities where there are none.
        RunError: no run, a damaged one, or runs that don't go together.
        DataError: examples that can't be read or encoded.
    """
    several = listed(runs)
    if _is_language(several[0]):
        raise ConfigError(
            f"{opened(several[0]).path} is a language model, which goes on with a text: use `ifog sample`."
        )
    return supervised.predict(several, inputs, out, probabilities=probabilities, cell=cell)


def _is_language(run: Run | Files) -> bool:
    return opened(run).config.get("task") == "language"
