"""`ifog train`: from files to a model, with the options of the task at hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ifog.cli.options import given, made_command, parameter, task_of

if TYPE_CHECKING:
    from pathlib import Path

    from typer.core import TyperCommand

__all__ = ["command"]

LANGUAGE = """Train a character model on text, show how it goes, and keep everything in a run directory.

Ctrl-C saves and stops; `ifog resume` goes on. Other tasks: `ifog train --task classify --help`, and likewise regress,
tag, translate, forecast."""
OTHERS = """Train on examples (--task {task}), show how it goes, and keep everything in a run directory.

Ctrl-C saves and stops; `ifog resume` goes on, `ifog predict RUN FILE` uses it."""
GRADIENTS = "Record at each evaluation how far back gradients reach; `ifog gradients --along RUN` draws it."
OUT = "The run directory, which must be new. [dim]\\[default: runs/NAME][/dim]"


def command(arguments: list[str]) -> TyperCommand:
    """The command for the task that is asked for, or plain from the files; its --help shows that task's options.

    Args:
        arguments: of the command line, after `train`.

    Raises:
        ConfigError: there is no such task.
    """
    import typer

    task, options = task_of(arguments)

    def train(out: Path | None = None, gradients: bool = False, **values: Any) -> None:
        from ifog.cli.console import say
        from ifog.cli.progress import reported
        from ifog.tasks.jobs import train as start

        if values.pop("task") is None and task != "language":
            say(f"The file is made for the task {task}; --task chooses another.", "dim")
        with reported() as progress:
            chosen = given(values, options)
            if gradients:
                from ifog.flow.along import watch_gradients

                chosen["watch"] = watch_gradients
            run = start(**chosen, out=out, task=task, progress=progress)
        progress.concluded(run)

    from pathlib import Path

    train.__doc__ = LANGUAGE if task == "language" else OTHERS.format(task=task)
    extra = [parameter("out", Path | None, typer.Option(help=OUT))]
    if task == "language":
        extra.append(parameter("gradients", bool, typer.Option("--gradients", help=GRADIENTS), default=False))
    return made_command(train, task, options, extra)
