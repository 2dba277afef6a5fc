"""One file that shows what a classifier or a tagger gets wrong, for a browser without a network.

Owns the cases that are judged, their confusion matrix, and the page's contents. Takes rows with predictions, gives
HTML. Never runs a model; the page itself is `page/mistakes.html`.
"""

from __future__ import annotations

import html
import json
from collections.abc import Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ifog.errors import ConfigError

if TYPE_CHECKING:
    from ifog.examples import Table

__all__ = ["Case", "cases_of", "confusion", "draw_confusion", "render_mistakes"]

MARK = "\1"  # stands around the word that a case is about
CONTEXT = 12  # words shown on each side of it
MOST = 20_000  # cases on a page; mistakes first
LONGEST = 2000  # characters shown of a case


class Case(NamedTuple):
    """One answer.

    Attributes:
        truth: what is right.
        said: what was predicted.
        probability: how sure the model was, if it says.
        text: what it was asked of; within a sentence the word stands between marks.
        where: file and line.
    """

    truth: str
    said: str
    probability: float | None
    text: str
    where: str


def cases_of(task: str, table: Table, input: str, label: str) -> Iterator[Case]:
    """Every answer of a predicted table.

    Args:
        task: "classify" or "tag".
        table: with the column "predicted".
        input: the column that was read.
        label: the column of right answers.

    Raises:
        ConfigError: another task, whose answers are neither right nor wrong.
        DataError: a column is missing.
    """
    read, true, said = table.column(input), table.column(label), table.column("predicted")
    if task == "classify":
        sure = table.columns.get("probability", [None] * len(table))
        for i, text in enumerate(read):
            shown = text if isinstance(text, str) else f"a series of {len(text)} steps"
            yield Case(str(true[i]), str(said[i]), sure[i], shown[:LONGEST], table.where(i))
    elif task == "tag":
        for i, words in enumerate(read):
            for k, (truth, tag) in enumerate(zip(true[i], said[i], strict=True)):
                before, after = words[max(0, k - CONTEXT) : k], words[k + 1 : k + 1 + CONTEXT]
                text = " ".join([*before, ""]) + MARK + words[k] + MARK + " ".join(["", *after])
                yield Case(truth, tag, None, text, table.where(i))
    else:
        raise ConfigError(f"a report of mistakes is of the tasks classify and tag, not of {task}.")


def confusion(cases: list[Case]) -> tuple[list[str], NDArray[np.int64]]:
    """The labels in order, and how often each (rows) was called each (columns) (C, C)."""
    labels = sorted({label for case in cases for label in (case.truth, case.said)})
    place = {label: i for i, label in enumerate(labels)}
    matrix = np.zeros((len(labels), len(labels)), np.int64)
    np.add.at(matrix, ([place[case.truth] for case in cases], [place[case.said] for case in cases]), 1)
    return labels, matrix


def render_mistakes(cases: list[Case], figures: Mapping[str, float], title: str) -> str:
    """A page with the confusion matrix and the cases behind each of its cells, the surest mistakes first.

    Args:
        cases: all answers, right and wrong.
        figures: said at the top.
        title: of the page.
    """
    labels, matrix = confusion(cases)
    place = {label: i for i, label in enumerate(labels)}
    ranked = sorted(cases, key=lambda case: (case.truth == case.said, -(case.probability or 0)))[:MOST]
    data: dict[str, Any] = {
        "labels": labels,
        "matrix": matrix.tolist(),
        "figures": " · ".join(f"{name.replace('_', ' ')} {value:.4g}" for name, value in figures.items()),
        "cases": [[place[c.truth], place[c.said], c.probability, c.text, c.where] for c in ranked],
    }
    page = files("ifog.inspection").joinpath("page", "mistakes.html").read_text("utf-8")
    # "<" can end the script that holds the data
    written = json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    return page.replace("{{title}}", html.escape(title)).replace("{{data}}", written)


def draw_confusion(cases: list[Case], path: Path) -> None:
    """The confusion matrix as a picture, each row as shares of its true label; the name's ending tells the format."""
    from matplotlib.figure import Figure

    labels, matrix = confusion(cases)
    shares = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    size = max(3.0, 0.45 * len(labels) + 1.5)
    figure = Figure(figsize=(size + 1, size), layout="constrained")
    axes = figure.subplots()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(labels)), labels, rotation=90)
    axes.set_yticks(range(len(labels)), labels)
    axes.set_xlabel("said")
    axes.set_ylabel("true")
    for (row, column), count in np.ndenumerate(matrix):
        if count:
            color = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, str(count), ha="center", va="center", color=color, fontsize=8)
    try:
        figure.savefig(path)
    except ValueError as error:
        raise ConfigError(f"{path}: {error}; end the name in .html, .png, .pdf or .svg.") from error
