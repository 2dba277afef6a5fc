"""The errors of a run, broken down and drawn.

Owns the loading of what the oracles look at. Takes a run directory and texts, gives a `Breakdown` and its picture.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ifog.data import Corpus, encode_corpus
from ifog.errors import ConfigError
from ifog.evaluation import RecurrentScorer, decoded
from ifog.inspection.errors import Breakdown, break_down
from ifog.inspection.labels import opening
from ifog.runs import RunDirectory
from ifog.tasks.building import text_of
from ifog.tasks.language import load

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["draw_errors", "errors_of"]

_COUNTED = 2_000_000  # characters of the training text, from its start, that n-grams are counted on
_JUDGED = 200_000  # characters of a text that are judged unless one says otherwise


def errors_of(
    run: str | os.PathLike[str],
    files: Sequence[str] | None = None,
    *,
    order: int = 9,
    characters: int = _JUDGED,
    cell: Any = None,
) -> Breakdown:
    """Break down the errors that a run's best weights make.

    Args:
        run: The run directory, of a model of characters.
        files: Texts to judge it on; none: its validation text.
        order: Of the Kneser-Ney model, counted on the first 2 million characters of the training text.
        characters: How many are judged, from the text's start.
        cell: The cell itself, where it isn't in the catalogue.

    Raises:
        RunError: No run, or a damaged one.
        ConfigError: The run's tokens aren't characters, or an order below 2.
        DataError: A text that can't be read, or is too short.
    """
    from ifog.ngrams import count_ngrams, discounts, estimate

    if order < 2:
        raise ConfigError(f"errors: the n-gram's order is {order}; give 2 or more, for example 9.")
    directory = RunDirectory.open(run)
    data = text_of(directory)
    ids: NDArray[Any] = np.array(data.validation[:characters])
    if files:
        judged = Corpus.from_text(opening(Corpus.from_files(list(files)).texts(), characters))
        with tempfile.TemporaryDirectory() as folder:
            ids = np.array(encode_corpus(judged, data.tokenizer, Path(folder) / "text.ids"))
    counted = data.train[:_COUNTED]
    text = "".join(decoded(data.tokenizer, ids))
    if len(text) != len(ids):
        raise ConfigError(
            f"errors: {directory.path} has {len(ids)} tokens for {len(text)} characters, but the oracles judge "
            "characters one by one; give a run that was trained with --tokenizer char."
        )
    scorer = RecurrentScorer(load(directory.path, cell=cell))
    counts = count_ngrams(counted, order, data.tokenizer.vocabulary_size)
    ngram = estimate(counts, discounts(counts, "modified", fallback=(0.5, 1.0, 1.5)))
    return break_down(scorer.log_prob(ids), ngram.log_prob(ids), text, decoded(data.tokenizer, data.train))


def draw_errors(breakdown: Breakdown, path: str | os.PathLike[str]) -> None:
    """Draw the shares of all errors as bars, in the order in which they were taken away.

    Args:
        breakdown: Of a model on a text.
        path: Of the picture; its ending tells the format.
    """
    from matplotlib.figure import Figure

    shares = breakdown.shares[::-1]
    figure = Figure(figsize=(7, 0.42 * len(shares) + 1), layout="constrained")
    axes = figure.subplots()
    parts = [100 * share.errors / max(breakdown.errors, 1) for share in shares]
    bars = axes.barh([f"{share.oracle}\n{share.meaning}" for share in shares], parts, color="#4477aa")
    axes.bar_label(bars, fmt="%.1f %%", padding=3, fontsize=8)
    axes.tick_params(axis="y", labelsize=7)
    axes.set_xlabel(f"share of {breakdown.errors:,} errors on {breakdown.characters:,} characters (%)")
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(x=0.12)
    figure.savefig(path, dpi=150)
