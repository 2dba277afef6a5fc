"""What a language run is made of: its text, its model, its task, all from what config.json says.

Owns config.json of a language run. Takes a run directory and options, gives objects. Never trains.
"""

from __future__ import annotations

import dataclasses
import os
from typing import TYPE_CHECKING, Any, Literal, cast

from torch import nn

import ifog
from ifog.cells import CATALOGUE
from ifog.compiler.printing import equations
from ifog.data import Streams, load_tokenizer, open_text, prepare_text
from ifog.errors import RunError
from ifog.models import LanguageModel, LanguageModelConfig
from ifog.models.catalogue import build
from ifog.tasks.kinds import KINDS
from ifog.tasks.language_options import LanguageOptions
from ifog.tasks.prediction import MinCharRNN, NextToken
from ifog.training import seed_all

if TYPE_CHECKING:
    from ifog.cells import Cell
    from ifog.data import Corpus, TextData
    from ifog.runs import RunDirectory

__all__ = ["model_of", "options_of", "prepare", "task_of", "text_of"]


def prepare(
    run: RunDirectory, corpus: Corpus, validation: Corpus | None, options: LanguageOptions, cell: Cell | None
) -> None:
    """Write all that training needs; config.json comes last.

    Args:
        run: a new run directory.
        corpus: the text to learn from.
        validation: a text that judges the model; None: the end of `corpus`, as much as the options say.
        options: how to build and train.
        cell: a cell of one's own.
    """
    if validation is None and not options.validation_fraction:
        validation = corpus  # nothing is held out: the model is judged on what it was trained on
    data = prepare_text(
        corpus,
        run.path,
        tokenizer=cast('Literal["char", "byte", "word", "bpe"]', options.tokenizer),
        validation=validation,
        validation_fraction=options.validation_fraction or 0.1,
        vocabulary_size=options.vocabulary_size,
    )
    world = int(os.environ.get("WORLD_SIZE", "1"))
    batches = task_of(data, options).batches(0, world)  # refuses a text shorter than one batch
    if options.epochs is not None:
        each = batches.batches_per_epoch if isinstance(batches, Streams) else (len(data.train) - 1) // options.sequence
        options = dataclasses.replace(options, steps=max(1, round(options.epochs * each)))
    model = _built(options, data.tokenizer.vocabulary_size, cell)
    run.write_config({
        "ifog": ifog.__version__,
        "task": "language",
        "source": corpus.description,
        "text": data.header,
        "model": {"kind": options.model, **model.config.to_dict()},
        "equations": _equations(model),
        "options": options.to_dict(),
    })  # fmt: skip


def options_of(run: RunDirectory) -> LanguageOptions:
    """How a run was asked to build and train."""
    return LanguageOptions(**_part(run, "options"))


def text_of(run: RunDirectory) -> TextData:
    """A run's text, mapped."""
    return open_text(run.path, _part(run, "text"))


def task_of(data: TextData, options: LanguageOptions) -> NextToken:
    """What is learned from a text."""
    kind = MinCharRNN if options.min_char_rnn else NextToken
    return kind(data.train, data.validation, data.tokenizer, options.batch_size, options.sequence, options.seed)


def model_of(run: RunDirectory, cell: Cell | None) -> Any:
    """The run's model with fresh weights, drawn from its seed.

    Returns:
        An `ifog.models.NextTokenModel`.

    Raises:
        RunError: the cell isn't in the catalogue, or has other equations than when the run began.
    """
    options, values = options_of(run), dict(_part(run, "model"))
    seed_all(options.seed)
    if values.pop("kind", "recurrent") == "recurrent":
        model = _recurrent(run, LanguageModelConfig.from_dict(values), options, cell)
    else:
        model = build(options.model, values)
    model.tokenizer = load_tokenizer(run.path / "tokenizer.json")
    if options.min_char_rnn:
        _initialise_as_lectured(model)
    return model


def _built(options: LanguageOptions, vocabulary_size: int, cell: Cell | None) -> Any:
    if options.model != "recurrent":
        return build(options.model, {"vocabulary_size": vocabulary_size, **options.model_options})
    return LanguageModel(
        vocabulary_size,
        cell=cell or options.cell,
        hidden_size=options.hidden_size,
        num_layers=options.num_layers,
        embedding_size=options.embedding_size,
        dropout=options.dropout,
        tied=options.tied,
        backend=options.backend,
        options=options.cell_options,
    )


def _recurrent(
    run: RunDirectory, config: LanguageModelConfig, options: LanguageOptions, cell: Cell | None
) -> LanguageModel:
    if cell is None and config.cell not in CATALOGUE:
        raise RunError(
            f"{run.path} was trained with a cell of your own, {config.cell}, which the catalogue doesn't hold; "
            f"import the cell in Python and give it, as in ifog.load({str(run.path)!r}, cell={config.cell})."
        )
    model = LanguageModel.from_config(config, cell=cell, backend=options.backend)
    if _equations(model) != run.config.get("equations"):
        raise RunError(
            f"{run.path} was trained with a cell {config.cell} of other equations: {run.config.get('equations')}; "
            f"the one at hand has {_equations(model)}. Give the cell that was trained with cell=, or train anew."
        )
    return model


def _equations(model: nn.Module) -> list[str]:
    """Of the model's cell, where it may be somebody's own."""
    if not isinstance(model, LanguageModel):
        return []
    return [f"{name} = {expression}" for name, expression in equations(model.recurrent.plans[0].graph)]


def _initialise_as_lectured(model: nn.Module) -> None:
    """Matrices from N(0, 0.01²), biases zero."""
    for parameter in model.parameters():
        if parameter.dim() > 1:
            nn.init.normal_(parameter, std=0.01)
        else:
            nn.init.zeros_(parameter)


def _part(run: RunDirectory, name: str) -> dict[str, Any]:
    part, task = run.config.get(name), run.config.get("task")
    if task in KINDS:
        raise RunError(
            f"{run.path} learned the task {task}, but a language model is asked for here; give the run of one. "
            "`ifog predict` and `ifog eval` use runs of other tasks."
        )
    if task != "language" or not isinstance(part, dict):
        raise RunError(
            f"{run.path}: config.json describes no language model (it lacks {name!r}); it is damaged, or of another "
            "version: restore it, or train anew."
        )
    return cast("dict[str, Any]", part)
