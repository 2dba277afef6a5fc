"""All kinds of tasks that learn from examples, by name.

Owns `KINDS`; a new kind is one entry. Takes a name, gives the kind, imported when it is first asked for; or files, and
guesses the kind from their endings and columns.
"""

from __future__ import annotations

import difflib
import importlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ifog.errors import ConfigError

if TYPE_CHECKING:
    from ifog.tasks.kind import Kind

__all__ = ["HIGHER", "KINDS", "find", "guess", "score"]

HIGHER = ("accuracy", "f1", "macro_f1", "bleu")  # figures that are better the higher; of all others the lower

# name: module of ifog.tasks, and the object in it
KINDS = {
    "classify": ("classification", "CLASSIFY"),
    "regress": ("classification", "REGRESS"),
    "tag": ("tagging", "TAG"),
    "translate": ("translation", "TRANSLATE"),
    "forecast": ("forecasting", "FORECAST"),
}


def find(name: str) -> Kind:
    """The kind of task called `name`.

    Raises:
        ConfigError: there is none; the nearest is offered.
    """
    if name not in KINDS:
        near = difflib.get_close_matches(name, KINDS, 1)
        hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(KINDS)}, and language."
        raise ConfigError(f"there is no task {name!r} that learns from examples; {hint}")
    module, kind = KINDS[name]
    return getattr(importlib.import_module(f"ifog.tasks.{module}"), kind)


def score(metric: str, figures: Mapping[str, float]) -> tuple[float, float]:
    """What compares weights or runs, the lower the better: the figure that counts, then the loss.

    Args:
        metric: the figure's name, see `Kind.metric_of`.
        figures: of an evaluation.

    Examples:
        >>> score("accuracy", {"accuracy": 0.75, "loss": 0.5}) < score("accuracy", {"accuracy": 0.75, "loss": 0.6})
        True
    """
    value = figures[metric]
    return -value if metric in HIGHER else value, figures["loss"]


# What a file's ending says; and what columns of a table do, the first that has all of them.
_ENDINGS = {".conll": "tag", ".conllu": "tag", ".iob": "tag"}
_COLUMNS = (
    ({"words", "tags"}, "tag"),
    ({"source", "target"}, "translate"),
    ({"text", "label"}, "classify"),
)
_DATES = ("date", "datetime", "timestamp", "time", "month", "ds")  # a first column called so makes a series


def guess(paths: Sequence[str]) -> str:
    """The task that files are plainly made for: a kind's name, or "language" where nothing else is plain.

    Args:
        paths: of the training files; the first counts.
    """
    if not paths:
        return "language"
    path = Path(re.sub(r"\[[^\[\]]*\]$", "", paths[0]))  # FILE[FROM:TO] is a part of a series
    if path.is_dir() or "idx3-ubyte" in path.name:
        return "classify"
    suffixes = [suffix for suffix in path.suffixes if suffix != ".gz"]
    ending = suffixes[-1].lower() if suffixes else ""
    if ending in _ENDINGS:
        return _ENDINGS[ending]
    if ending == ".ts":
        from ifog.examples.series_archive import has_targets

        return "regress" if path.is_file() and has_targets(path) else "classify"
    if ending in (".csv", ".tsv", ".jsonl") and path.is_file():
        from ifog.examples.labelled import first_names

        names = [name.strip().lower() for name in first_names(path)]
        found = next((task for columns, task in _COLUMNS if columns <= set(names)), None)
        return found or ("forecast" if names and names[0] in _DATES else "language")
    return "language"
