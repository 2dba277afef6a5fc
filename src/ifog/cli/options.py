"""The options of training on the command line, made from the dataclasses that define them.

Owns how a field becomes an option: its name, its help (what the class's docstring says of it), its default, its panel.
Takes a subclass of `TaskOptions`, gives parameters for Typer. Knows no option by name but where it is shown.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer
from typer.core import TyperCommand

from ifog.errors import ConfigError
from ifog.tasks.options import DEFAULT_BUDGET

if TYPE_CHECKING:
    from ifog.tasks.options import TaskOptions

__all__ = ["given", "made_command", "pair", "parameter", "parameters", "task_of"]

TEXTS = "UTF-8 text; '-' is standard input. Without any: the source of Python's standard library."
EXAMPLES = "Files of examples, such as .csv, .tsv, .jsonl, .conllu; see the page of the task in the documentation."

# Where the options that all tasks share are shown; a task's own come first.
PANELS = {
    "The model": ("cell", "cell_options", "model", "model_options", "hidden_size", "num_layers", "embedding_size",
                  "bidirectional", "dropout", "tied", "backend"),
    "How long": ("budget", "steps", "epochs"),
    "Batches": ("batch_size", "sequence", "accumulation"),
    "The optimiser": ("optimizer", "learning_rate", "schedule", "warmup", "hold", "floor", "momentum", "beta2",
                      "weight_decay", "clipping", "clip", "average", "average_patience", "recurrent_l2"),
    "Records": ("evaluate_every", "log_every", "save_every", "save_seconds"),
    "The machine": ("seed", "device", "precision"),
}  # fmt: skip
_FIELD = re.compile(r"^        (\w+): (.*(?:\n            .*)*)", re.M)


def task_of(arguments: list[str]) -> tuple[str, type[TaskOptions]]:
    """The task of a command line, from --task or plain from its files, and the dataclass of its options.

    Raises:
        ConfigError: there is no such task.
    """
    from ifog.tasks.kinds import find, guess

    named = _after("--task", arguments)
    task = named or guess([argument for argument in arguments if Path(argument.partition("[")[0]).exists()][:1])
    if task == "language":
        from ifog.tasks.language_options import LanguageOptions

        return task, LanguageOptions
    return task, find(task).options


def made_command(
    body: Callable[..., None], task: str, options: type[TaskOptions], extra: list[inspect.Parameter]
) -> TyperCommand:
    """A command that takes files and the options of a task.

    Args:
        body: what it does, called with a keyword for every option; its docstring is the help.
        task: the task's name.
        options: the task's dataclass.
        extra: further parameters, shown first.
    """
    files = typer.Argument(help=TEXTS if task == "language" else EXAMPLES)
    chosen = typer.Option(
        help="language, classify, regress, tag, translate or forecast. [dim]\\[default: what the first file is plainly "
        "made for, else language][/dim]"
    )
    judged = typer.Option(
        help="A file that judges the model while it learns, in place of a part of FILES. May be repeated."
    )
    every = [
        parameter("files", list[str] | None, files),
        parameter("task", str | None, chosen),
        *extra,
        parameter("validation", list[str] | None, judged),
        *parameters(options, "The text" if task == "language" else "The task"),
    ]
    body.__signature__ = inspect.Signature(every)  # pyright: ignore[reportFunctionMemberAccess]
    body.__annotations__ = {one.name: one.annotation for one in every}
    alone = typer.Typer(add_completion=False, rich_markup_mode="rich")
    alone.command()(body)
    made = typer.main.get_command(alone)
    assert isinstance(made, TyperCommand)
    return made


def parameter(name: str, kind: Any, info: Any, default: Any = None) -> inspect.Parameter:
    """A parameter as Typer reads it from a function's signature."""
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, info])


def parameters(options: type[TaskOptions], own: str) -> list[inspect.Parameter]:
    """An option for each field, in the order of the panels; None where it isn't given, so that presets know.

    Args:
        options: the dataclass.
        own: the panel of the fields that only this task has.
    """
    help_of, fields = _documented(options), {field.name: field for field in dataclasses.fields(options)}
    panels = {name: panel for panel, names in PANELS.items() for name in names}
    order = [name for name in fields if name not in panels] + [name for name in panels if name in fields]
    kinds = typing.get_type_hints(options)
    return [
        _option(name, kinds[name], _default(fields[name]), help_of.get(name, ""), panels.get(name, own))
        for name in order
    ]


def given(values: Mapping[str, Any], options: type[TaskOptions]) -> dict[str, Any]:
    """What was chosen on the command line, as the dataclass wants it: NAME=VALUE pairs joined, lists made tuples."""
    kinds = typing.get_type_hints(options)
    chosen: dict[str, Any] = {}
    for name, value in values.items():
        if value is None or value == []:
            continue
        field = f"{name}s" if _is_mapping(kinds.get(f"{name}s")) else name
        if field != name:
            chosen[field] = dict(pair(text, name.replace("_", "-")) for text in value)
        else:
            chosen[name] = tuple(value) if _is_several(kinds.get(name)) else value
    return chosen


def pair(text: str, option: str) -> tuple[str, Any]:
    """NAME=VALUE, the value as JSON where it is JSON.

    Raises:
        ConfigError: there is no "=".
    """
    name, equals, value = text.partition("=")
    if not equals:
        raise ConfigError(f"--{option} is {text!r}; write it as NAME=VALUE, such as peephole=true or order=5.")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value


def _after(flag: str, arguments: list[str]) -> str | None:
    """What follows a flag, as "--flag value" or "--flag=value"."""
    for i, argument in enumerate(arguments):
        if argument.startswith(f"{flag}="):
            return argument.partition("=")[2]
        if argument == flag and i + 1 < len(arguments):
            return arguments[i + 1]
    return None


def _documented(options: type) -> dict[str, str]:
    """What the docstrings of a class and its bases say of each field; the class's own words count first."""
    found: dict[str, str] = {}
    for one in options.__mro__:
        _, _, attributes = (one.__doc__ or "").partition("Attributes:\n")
        for name, text in _FIELD.findall(attributes):
            found.setdefault(name, " ".join(text.split()))
    return found


def _default(field: dataclasses.Field[Any]) -> str:
    if field.name == "budget":
        return DEFAULT_BUDGET
    if isinstance(field.default, bool):
        return "yes" if field.default else "no"
    several: Any = field.default
    if isinstance(several, tuple):
        return ", ".join(str(value) for value in cast("tuple[Any, ...]", several)) or "none"
    empty = field.default is dataclasses.MISSING or field.default is None or field.default == ""
    return "none" if empty else str(field.default)


def _option(name: str, kind: Any, default: str, text: str, panel: str) -> inspect.Parameter:
    one = name.removesuffix("s") if _is_mapping(kind) else name
    # A budget is written with its unit.
    type_ = list[str] if _is_mapping(kind) else str if name == "budget" else _plain(kind)
    several = " May be repeated." if _is_several(kind) else ""
    shown = f"{text[:1].upper()}{text[1:]}{several} [dim]\\[default: {default}][/dim]".replace("`", "")
    option = typer.Option(help=shown, rich_help_panel=panel, show_default=False)
    return parameter(one, type_ | None, option)


def _plain(kind: Any) -> Any:
    """The type of one value on the command line."""
    parts = [part for part in typing.get_args(kind) if part is not types.NoneType]
    if isinstance(kind, types.UnionType) and len(parts) == 1:
        return _plain(parts[0])
    if _is_several(kind):
        return list[typing.get_args(kind)[0]]
    if typing.get_origin(kind) is typing.Literal:
        return str
    return kind if kind in (str, int, float, bool) else str


def _is_mapping(kind: Any) -> bool:
    return typing.get_origin(kind) is Mapping


def _is_several(kind: Any) -> bool:
    return typing.get_origin(kind) in (tuple, Sequence)
