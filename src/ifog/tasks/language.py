"""Train a language model on text, go on with it, judge it and load it: the main job in four functions.

Owns the order of the work and what a language run's config.json says. Takes files and options, gives runs, figures
and models. Knows no arithmetic: batches and losses are `prediction`'s, the loop is the trainer's.
"""

from __future__ import annotations

import dataclasses
import math
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ifog.data import Corpus, encode_corpus, load_tokenizer
from ifog.errors import ConfigError
from ifog.models import LanguageModel
from ifog.runs import RunDirectory
from ifog.tasks.beginning import Files, Run, begin, opened, paths_of, rank
from ifog.tasks.building import model_of, options_of, prepare, task_of, text_of
from ifog.tasks.language_options import LanguageOptions
from ifog.tasks.options import DEFAULT_BUDGET
from ifog.tasks.prediction import figures
from ifog.training import fit, load_weights, parse_budget

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ifog.cells import Cell
    from ifog.evaluation import Figures
    from ifog.training import Logger, Progress

    Watch = Callable[[Any, RunDirectory], Logger]

__all__ = ["Run", "evaluate", "evaluate_mixtures", "load", "resume", "train"]


def train(
    files: Files | Sequence[Files] | None = None,
    *,
    text: str | None = None,
    validation: Files | Sequence[Files] | None = None,
    out: Files | None = None,
    steps: int | None = None,
    epochs: float | None = None,
    budget: str | float | None = None,
    cell: str | Cell | None = None,
    min_char_rnn: bool = False,
    progress: Progress | None = None,
    watch: Watch | None = None,
    **options: Any,
) -> Run:
    """Train a language model on text files and leave everything in a run directory.

    Args:
        files: UTF-8 text, "-" for standard input; none: the source of Python's standard library on this machine.
        text: the text itself, in place of files.
        validation: texts that judge the model while it learns; none: the end of the text is held back for that.
        out: the run directory, which must be new; by default `runs/NAME`, named after the text.
        steps: updates in all; or:
        epochs: passes over the text; or:
        budget: time in all, `"90s"`, `"10m"` or seconds; without any of them, 60 seconds.
        cell: a name in the catalogue, or a cell of your own.
        min_char_rnn: the lectures' program exactly; other options given are kept.
        progress: told what happens.
        watch: gives a further logger for the model and its run, such as `ifog.flow.along.watch_gradients`.
        **options: see `LanguageOptions`.

    Raises:
        ConfigError: an option unknown or out of its range.
        DataError: a text that can't be read, or is too short.
        RunError: a run directory that exists, or can't be written.
        TrainingError: the loss is not a number, or exploded.

    Examples:
        The lectures' four letters:

        >>> from ifog.generation import Sampling, sample
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     run = train(text="hello", min_char_rnn=True, sequence=4, steps=100, out=f"{folder}/hello")
        ...     model = load(run)
        >>> sample(model, "h", 4, sampling=Sampling(greedy=True))
        'ello'
    """
    if steps is None and budget is None and epochs is None:
        budget = DEFAULT_BUDGET
    own_cell = None if isinstance(cell, str) else cell
    if cell is not None:
        options["cell"] = cell if isinstance(cell, str) else cell.name
    seconds = None if budget is None else parse_budget(budget)
    settings = LanguageOptions.given(min_char_rnn=min_char_rnn, steps=steps, epochs=epochs, budget=seconds, **options)
    settings = settings.decided()
    settings.training()  # refuses what is out of range before anything is written
    corpus, held_out = _corpus(files, text), None if validation is None else _corpus(validation, None)
    return begin(
        out,
        _name(files, text),
        lambda run: prepare(run, corpus, held_out, settings, own_cell),
        lambda run: _fit(run, own_cell, progress, watch),
    )


def resume(
    run: Run | Files, *, cell: Cell | None = None, progress: Progress | None = None, watch: Watch | None = None
) -> Run:
    """Go on from a run's last checkpoint, to the same losses as if it had never stopped.

    Args:
        run: the run directory.
        cell: the cell itself, where it isn't in the catalogue.
        progress: told what happens.
        watch: as of `train`.

    Raises:
        RunError: no run, or a damaged one.
    """
    return _fit(opened(run), cell, progress, watch)


def load(run: Run | Files, which: Literal["best", "last"] = "best", *, cell: Cell | None = None) -> LanguageModel:
    """The trained model, ready to use: averaged weights if there are, its `.tokenizer` set, in evaluation mode.

    Args:
        run: the run directory.
        which: "best" on the validation text, or "last".
        cell: the cell itself, where it isn't in the catalogue.

    Raises:
        RunError: no run, no checkpoint yet, a damaged one, or one of another architecture.
    """
    directory = opened(run)
    model = model_of(directory, cell)
    load_weights(model, directory, which)
    return model.eval()


def evaluate(
    run: Run | Files,
    files: Files | Sequence[Files] | None = None,
    *,
    text: str | None = None,
    cell: Cell | None = None,
) -> dict[str, float]:
    """Judge a run's best weights on a whole text, the state carried from start to end.

    Args:
        run: the run directory.
        files: texts to judge it on; none: its own validation text (the training text, if nothing was held back).
        text: the text itself, in place of files.
        cell: the cell itself, where it isn't in the catalogue.

    Returns:
        "loss" (nats per token), "bits_per_character", "perplexity", "accuracy".

    Raises:
        RunError: no run, or a damaged one.
        DataError: a text that can't be read, is too short, or holds a character the model doesn't know.
    """
    model = load(run, cell=cell)
    directory = opened(run)
    tokenizer = load_tokenizer(directory.path / "tokenizer.json")
    if files is None and text is None:
        return figures(model, text_of(directory).validation, tokenizer)
    with tempfile.TemporaryDirectory() as folder:
        return figures(model, encode_corpus(_corpus(files, text), tokenizer, Path(folder) / "text.ids"), tokenizer)


def evaluate_mixtures(
    run: Run | Files,
    files: Files | Sequence[Files] | None = None,
    *,
    cache: bool = False,
    ngram: int = 0,
    cell: Cell | None = None,
) -> Mapping[str, Figures]:
    """Judge a run's best weights alone, then mixed with a cache and with n-grams: see `judge_mixtures`.

    Args:
        run: the run directory.
        files: texts to judge it on; none: its own validation text.
        cache: mix in a continuous cache.
        ngram: mix in a Kneser-Ney model of this order; 0 for none.
        cell: the cell itself, where it isn't in the catalogue.

    Raises:
        RunError: no run, or a damaged one.
        DataError: a text that can't be read, or is too short.
    """
    from ifog.tasks.mixture import judge_mixtures

    corpus = None if files is None else _corpus(files, None)
    return judge_mixtures(load(run, cell=cell), opened(run), corpus, cache=cache, ngram=ngram)


def _fit(run: RunDirectory, cell: Cell | None, progress: Progress | None, watch: Watch | None) -> Run:
    """Train from the last checkpoint or the start, then judge the best weights on the whole validation text."""
    options, data = options_of(run), text_of(run)
    model, task, training = model_of(run, cell), task_of(data, options), options.training()
    if options.min_char_rnn:
        start = math.log(data.tokenizer.vocabulary_size) * options.sequence
        training = dataclasses.replace(training, smooth_start=start)
    loggers = [watch(model, run)] if watch and rank() == 0 else []
    result = fit(model, task, training, run, progress=progress, loggers=loggers)
    metrics: dict[str, float] = {}
    if not result.interrupted and rank() == 0:
        metrics = figures(load(run.path, cell=cell), task.validation, data.tokenizer)
        run.write_json("result.json", {"step": result.step, "seconds": result.elapsed, **metrics})
    return Run(run.path, result.step, result.interrupted, metrics)


# Where text comes from


def _corpus(files: Files | Sequence[Files] | None, text: str | None) -> Corpus:
    if text is not None and files is not None:
        raise ConfigError("language: both files and text were given; give one of them.")
    if text is not None:
        return Corpus.from_text(text)
    return Corpus.from_files(paths_of(files)) if files else Corpus.default()


def _name(files: Files | Sequence[Files] | None, text: str | None) -> str:
    if text is not None:
        return "text"
    paths = paths_of(files)
    if not paths:
        return "python"
    return "stdin" if paths[0] == "-" else Path(paths[0]).stem
