"""`ifog train`: from files to a model, with the options of the task at hand."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from ifog.cli.options import given, parameters

if TYPE_CHECKING:
    from ifog.tasks.options import TaskOptions

__all__ = ["command", "task_of"]

TEXTS = "UTF-8 text; '-' is standard input. Without any: the source of Python's standard library."
EXAMPLES = "Files of examples, such as .csv, .tsv, .jsonl, .conllu; see the page of the task in the documentation."
LANGUAGE = """Train a character model on text, show how it goes, and keep everything in a run directory.

Ctrl-C saves and stops; `ifog resume` goes on. Other tasks: `ifog train --task classify --help`, and likewise regress,
tag, translate, forecast."""
OTHERS = """Train on examples (--task {task}), show how it goes, and keep everything in a run directory.

Ctrl-C saves and stops; `ifog resume` goes on, `ifog predict RUN FILE` uses it."""


def task_of(arguments: list[str]) -> str | None:
    """The task that a command line asks for with --task, or None."""
    for i, argument in enumerate(arguments):
        if argument.startswith("--task="):
            return argument.partition("=")[2]
        if argument == "--task" and i + 1 < len(arguments):
            return arguments[i + 1]
    return None


def command(arguments: list[str]) -> TyperCommand:
    """The command for the task that is asked for, or plain from the files; its --help shows that task's options.

    Args:
        arguments: of the command line, after `train`.

    Raises:
        ConfigError: there is no such task.
    """
    from ifog.tasks.kinds import find, guess

    task = task_of(arguments)
    if task is None:
        task = guess([argument for argument in arguments if Path(argument).is_file()][:1])
    if task == "language":
        from ifog.tasks.language_options import LanguageOptions

        return _command(task, LanguageOptions, LANGUAGE, TEXTS, "The text")
    return _command(task, find(task).options, OTHERS.format(task=task), EXAMPLES, "The task")


def _command(task: str, options: type[TaskOptions], text: str, files: str, panel: str) -> TyperCommand:
    def train(**values: Any) -> None:
        from ifog.cli.console import say
        from ifog.cli.progress import reported
        from ifog.tasks.jobs import train as start

        named = values.pop("task")
        chosen = given(values, options)
        if named is None and task != "language":
            say(f"The file is made for the task {task}; --task chooses another.", "dim")
        with reported("tokens" if task == "language" else "examples") as progress:
            run = start(**chosen, task=task, progress=progress)
        progress.concluded(run)

    train.__doc__ = text
    first = [
        _parameter("files", list[str] | None, typer.Argument(help=files)),
        _parameter("task", str | None, typer.Option(
            help="language, classify, regress, tag, translate or forecast. [dim]\\[default: what the first file is "
            "plainly made for, else language][/dim]")),
        _parameter("out", Path | None, typer.Option(
            help="The run directory, which must be new. [dim]\\[default: runs/NAME][/dim]")),
        _parameter("validation", list[str] | None, typer.Option(
            help="A file that judges the model while it learns, in place of a part of FILES. May be repeated.")),
    ]  # fmt: skip
    every = [*first, *parameters(options, panel)]
    train.__signature__ = inspect.Signature(every)  # pyright: ignore[reportFunctionMemberAccess]
    train.__annotations__ = {parameter.name: parameter.annotation for parameter in every}
    alone = typer.Typer(add_completion=False, rich_markup_mode="rich")
    alone.command("train")(train)
    made = typer.main.get_command(alone)
    assert isinstance(made, TyperCommand)
    return made


def _parameter(name: str, kind: Any, info: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind, info])
