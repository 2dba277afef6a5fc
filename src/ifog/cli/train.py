"""`ifog train`: from a text file to a model that writes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ifog.errors import ConfigError
from ifog.tasks.options import DEFAULT_BUDGET, LanguageOptions

__all__ = ["pair", "train"]

TEXT, MODEL, LENGTH, BATCHES = "The text", "The model", "How long", "Batches"
OPTIMISER, RECORDS, MACHINE = "The optimiser", "Records", "The machine"


def _option(name: str, panel: str, text: str, *flags: str, default: str | None = None) -> Any:
    """An option of `LanguageOptions`; None where it isn't given, so that presets know what was chosen."""
    shown = getattr(LanguageOptions, name) if default is None else default
    return typer.Option(*flags, help=f"{text} [dim]\\[default: {shown}][/dim]", rich_help_panel=panel)


def train(
    files: Annotated[
        list[str] | None,
        typer.Argument(help="UTF-8 text; '-' is standard input. Without any: the source of Python's standard library."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="The run directory, which must be new. [dim]\\[default: runs/NAME][/dim]")
    ] = None,
    validation: Annotated[
        list[str] | None,
        typer.Option(
            help="A text that judges the model while it learns, in place of the end of FILES. May be repeated."
        ),
    ] = None,
    min_char_rnn: Annotated[
        bool,
        typer.Option(
            "--min-char-rnn",
            help="The lectures' program exactly: an Elman cell of 100 units, 25 steps, Adagrad at 0.1, gradients "
            "clipped to ±5, a sample every 100 updates. Other options given still count.",
        ),
    ] = False,
    tokenizer: Annotated[
        str | None,
        _option(
            "tokenizer",
            TEXT,
            "What a token is: char (every character of the text), byte (any text, 256 tokens), word (split at white "
            "space) or bpe (pieces of words).",
        ),
    ] = None,
    vocabulary_size: Annotated[
        int | None,
        _option("vocabulary_size", TEXT, "Most tokens of word and bpe.", default="every word; 8,192 pieces"),
    ] = None,
    validation_fraction: Annotated[
        float | None,
        _option(
            "validation_fraction",
            TEXT,
            "Share of the text, at its end, held back to judge the model; 0 judges it on what it learned.",
        ),
    ] = None,
    cell: Annotated[
        str | None, _option("cell", MODEL, "The recurrence: lstm, gru, elman ...; `ifog cells` lists them all.")
    ] = None,
    cell_option: Annotated[
        list[str] | None,
        _option(
            "cell_option",
            MODEL,
            "An option of the cell, such as peephole=true; may be repeated. `ifog cells NAME` shows them.",
            default="none",
        ),
    ] = None,
    hidden_size: Annotated[
        int | None,
        _option(
            "hidden_size",
            MODEL,
            "Units per layer: what the model can keep in mind. 128 is quick, 512 and more need time.",
        ),
    ] = None,
    num_layers: Annotated[
        int | None, _option("num_layers", MODEL, "Recurrent layers on top of each other; 1 to 3 are common.")
    ] = None,
    embedding_size: Annotated[
        int | None,
        _option(
            "embedding_size", MODEL, "Numbers per token handed to the first layer; 0 gives tokens straight to the cell."
        ),
    ] = None,
    dropout: Annotated[
        float | None,
        _option(
            "dropout",
            MODEL,
            "Share of values dropped in training, against learning by heart: 0 for short runs, 0.5 for long.",
        ),
    ] = None,
    tied: Annotated[
        bool | None,
        _option(
            "tied",
            MODEL,
            "Use the embedding as the output matrix too; needs --embedding-size equal to --hidden-size.",
            "--tied/--untied",
        ),
    ] = None,
    backend: Annotated[
        str | None, _option("backend", MODEL, "What runs the recurrence: auto chooses the fastest that can.")
    ] = None,
    model: Annotated[
        str | None,
        _option(
            "model",
            MODEL,
            "recurrent (described by the options here), or by --model-option: window, maxent, regularised, mogrifier, "
            "projected, transformer.",
        ),
    ] = None,
    model_option: Annotated[
        list[str] | None,
        _option("model", MODEL, "An option of such a model, such as sizes=[650,650]; may be repeated.", default="none"),
    ] = None,
    budget: Annotated[
        str | None,
        _option(
            "budget",
            LENGTH,
            "Time in all, such as 90s, 10m, 2h: the learning rate is planned to end on time.",
            default=DEFAULT_BUDGET,
        ),
    ] = None,
    steps: Annotated[int | None, _option("steps", LENGTH, "Updates in all, in place of a time.")] = None,
    epochs: Annotated[float | None, _option("epochs", LENGTH, "Passes over the text, in place of a time.")] = None,
    batch_size: Annotated[
        int | None,
        _option(
            "batch_size",
            BATCHES,
            "Parallel streams through the text. More use the machine better, fewer update more often.",
        ),
    ] = None,
    sequence: Annotated[
        int | None,
        _option(
            "sequence",
            BATCHES,
            "Time steps per chunk: how far back gradients reach; the state goes on further. 25 to 200 are common.",
        ),
    ] = None,
    accumulation: Annotated[
        int | None, _option("accumulation", BATCHES, "Batches per update, where memory is short.")
    ] = None,
    optimizer: Annotated[str | None, _option("optimizer", OPTIMISER, "adamw, sgd, rmsprop or adagrad.")] = None,
    learning_rate: Annotated[
        float | None,
        _option(
            "learning_rate",
            OPTIMISER,
            "The highest step size. Too low is slow, too high explodes: try a third, or three times as much.",
        ),
    ] = None,
    schedule: Annotated[
        str | None, _option("schedule", OPTIMISER, "cosine or exponential (fall to --floor at the end), or constant.")
    ] = None,
    warmup: Annotated[
        float | None, _option("warmup", OPTIMISER, "Share of the run in which the learning rate rises to its highest.")
    ] = None,
    hold: Annotated[
        float | None, _option("hold", OPTIMISER, "Share of the run before the learning rate begins to fall.")
    ] = None,
    floor: Annotated[
        float | None, _option("floor", OPTIMISER, "Where the fall ends, as a share of the learning rate.")
    ] = None,
    momentum: Annotated[float | None, _option("momentum", OPTIMISER, "Of the optimizer sgd.")] = None,
    weight_decay: Annotated[
        float | None, _option("weight_decay", OPTIMISER, "Pull of the matrices towards zero; 0 to 0.1.")
    ] = None,
    clipping: Annotated[
        str | None,
        _option(
            "clipping",
            OPTIMISER,
            "What tames exploding gradients: norm, value, mean_norm (a multiple of the usual norm) or none.",
        ),
    ] = None,
    clip: Annotated[
        float | None,
        _option("clip", OPTIMISER, "The clipping's threshold: about 1 for norm, 5 for value, 0.5 to 10 for mean_norm."),
    ] = None,
    average: Annotated[
        float | None,
        _option(
            "average",
            OPTIMISER,
            "Decay of a moving average of the weights, judged and kept in their place; 0.99 to 0.9999, 0 for none.",
        ),
    ] = None,
    average_patience: Annotated[
        int | None,
        _option(
            "average_patience",
            OPTIMISER,
            "Evaluations without progress before the plain mean of the weights takes their place (NT-ASGD); 0: never.",
        ),
    ] = None,
    recurrent_l2: Annotated[
        float | None, _option("recurrent_l2", OPTIMISER, "Weight of the recurrent matrices' squared norm in the loss.")
    ] = None,
    evaluate_every: Annotated[
        int | None,
        _option("evaluate_every", RECORDS, "Steps between evaluations with a sample; about ten a run otherwise."),
    ] = None,
    log_every: Annotated[int | None, _option("log_every", RECORDS, "Steps between records in metrics.jsonl.")] = None,
    save_every: Annotated[
        int | None, _option("save_every", RECORDS, "Steps between checkpoints, beside those at evaluations.")
    ] = None,
    save_seconds: Annotated[float | None, _option("save_seconds", RECORDS, "Seconds between checkpoints.")] = None,
    seed: Annotated[int | None, _option("seed", MACHINE, "The same seed repeats a run by steps bit for bit.")] = None,
    device: Annotated[str | None, _option("device", MACHINE, "auto, cpu or cuda.")] = None,
    precision: Annotated[
        str | None, _option("precision", MACHINE, "32-true, bf16-mixed, or auto: bf16 where the CPU has it.")
    ] = None,
) -> None:
    """Train a character model on text, show how it goes, and keep everything in a run directory.

    Ctrl-C saves and stops; `ifog resume` goes on.
    """
    given: dict[str, Any] = {name: value for name, value in locals().items() if value is not None}
    from ifog.cli.progress import reported
    from ifog.tasks.language import train as start

    for name in ("cell_option", "model_option"):
        if name in given:
            given[f"{name}s"] = dict(pair(text, name.replace("_", "-")) for text in given.pop(name))
    with reported() as progress:
        run = start(**given, progress=progress)
    progress.concluded(run)


def pair(text: str, option: str) -> tuple[str, Any]:
    """NAME=VALUE, the value as JSON where it is JSON.

    Raises:
        ConfigError: there is no "=".
    """
    import json

    name, equals, value = text.partition("=")
    if not equals:
        raise ConfigError(f"--{option} is {text!r}; write it as NAME=VALUE, such as peephole=true or order=5.")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value
