"""`ifog tune`: search hyperparameters of the task at hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ifog.cli.options import given, made_command, parameter, task_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from typer.core import TyperCommand

__all__ = ["command"]

TEXT = """Search hyperparameters: many runs, bad ones stopped early, the best one told, and which option matters.

Give what doesn't vary as to `ifog train`, above all --budget or --steps of one run. Several processes with the same
--out search together; the same command goes on with a search that was stopped."""


def command(arguments: list[str]) -> TyperCommand:
    """The command for the task that is asked for, or plain from the files.

    Args:
        arguments: of the command line, after `tune`.

    Raises:
        ConfigError: there is no such task.
    """
    from pathlib import Path

    import typer

    from ifog.tasks.tuning import SPACE

    task, options = task_of(arguments)

    def tune(
        out: Path | None = None,
        search: list[str] | None = None,
        trials: int = 20,
        storage: str | None = None,
        **values: Any,
    ) -> None:
        from ifog.cli.console import say
        from ifog.tasks.tuning import tune as start

        def told(number: int, value: float | None, chosen: Mapping[str, Any]) -> None:
            figure = "stopped early" if value is None else f"{value:.5g}"
            say(f"trial {number}: {figure} · " + " · ".join(f"{name} {_short(x)}" for name, x in chosen.items()))

        values.pop("task")
        folder = out or Path("runs/tune")
        found = start(
            out=folder, task=task, search=search or SPACE, trials=trials, storage=storage, told=told,
            **{"files": None, **given(values, options)},
        )  # fmt: skip
        finished, stopped = found.trials
        say(
            f"The best of {finished} runs ({stopped} more were stopped early): {found.metric} {found.value:.5g}", "bold"
        )
        say("  " + " ".join(f"--{name.replace('_', '-')} {_short(value)}" for name, value in found.options.items()))
        if found.importance:
            shares = " · ".join(f"{name} {share:.0%}" for name, share in found.importance.items())
            say(f"How much each option matters: {shares}")
        say(f"Its run is {found.run}; the picture is {folder / 'tune.png'}.")

    tune.__doc__ = TEXT
    extra = [
        parameter("out", Path | None, typer.Option(
            help="A folder for the runs, the study and the picture. [dim]\\[default: runs/tune][/dim]")),
        parameter("search", list[str] | None, typer.Option(
            help="What varies: NAME=LOW..HIGH or NAME=ONE,ANOTHER; may be repeated. [dim]\\[default: "
            f"{'; '.join(SPACE)}][/dim]")),
        parameter("trials", int, typer.Option(help="How many runs this call makes."), 20),
        parameter("storage", str | None, typer.Option(
            help="A database's URL, such as postgresql://user:password@host/name, for several hosts. "
            "[dim]\\[default: a journal file in --out][/dim]")),
    ]  # fmt: skip
    return made_command(tune, task, options, extra)


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
