"""From a text file to an n-gram model, in one call.

Owns the order of the steps: vocabulary, ids, counts, discounts, model. Takes a path, gives the model and what is worth
knowing of its making. Prints nothing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

from ifog.ngrams.counting import count_ngrams
from ifog.ngrams.model import NgramModel
from ifog.ngrams.smoothing import Discounts, Smoothing, discounts, estimate
from ifog.ngrams.vocabulary import Vocabulary

__all__ = ["Fit", "fit_text"]


@dataclasses.dataclass(frozen=True)
class Fit:
    """A model that was estimated from a text.

    Attributes:
        model: with its vocabulary.
        discounts: what was taken from each order's counts.
        tokens: how many the text has, the end of each line counted.
    """

    model: NgramModel
    discounts: Discounts
    tokens: int


def fit_text(
    path: str | Path,
    *,
    order: int = 5,
    smoothing: Smoothing = "modified",
    stream: bool = False,
    closed: bool = False,
    fallback: Sequence[float] | None = None,
    minimum_counts: Sequence[int] | None = None,
    watch: Callable[[str], None] | None = None,
) -> Fit:
    """Estimate a model from a text file, one sentence or piece of text in each line.

    Args:
        path: UTF-8 text, split at white space.
        order: N.
        smoothing: "kneser-ney" or "modified".
        stream: contexts reach across lines, and `<eos>` ends each as an ordinary word; without, each is a sentence.
        closed: words that the text doesn't hold are an error later, not `<unk>`.
        fallback: see `discounts`.
        minimum_counts: see `estimate`.
        watch: called with the name of each step as it begins.

    Raises:
        ConfigError: an option out of its range.
        DataError: a file that can't be read, or counts that can't give discounts.
    """
    begin = watch or _unwatched
    begin("reading")
    vocabulary = Vocabulary.from_files([path], sentences=not stream, closed=closed)
    ids = vocabulary.encode_file(path)
    begin("counting")
    counts = count_ngrams(ids, order, len(vocabulary), sentences=vocabulary.sentences)
    begin("estimating")
    taken = discounts(counts, smoothing, fallback=fallback)
    model = estimate(counts, taken, minimum_counts=minimum_counts, vocabulary=vocabulary)
    return Fit(model, taken, len(ids))


def _unwatched(step: str) -> None:
    """Nobody looks."""
