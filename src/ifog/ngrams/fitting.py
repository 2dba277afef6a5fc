"""From a text file, or from the ids of one that is larger than the memory, to an n-gram model, in one call.

Owns the order of the steps: vocabulary, ids, counts, discounts, model. Takes a path or ids, gives the model and what is
worth knowing of its making. Prints nothing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

from ifog.errors import DataError
from ifog.ngrams.counting import count_ngrams
from ifog.ngrams.disk import count_on_disk
from ifog.ngrams.mapped import estimate_on_disk
from ifog.ngrams.model import NgramModel
from ifog.ngrams.smoothing import Discounts, Smoothing, discounts, discounts_of, estimate
from ifog.ngrams.trie import LongIds
from ifog.ngrams.vocabulary import END, EOS, START, Vocabulary

__all__ = ["Fit", "fit_ids", "fit_text"]


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


def fit_ids(
    ids: LongIds,
    words: Sequence[str],
    directory: str | Path,
    *,
    order: int = 5,
    smoothing: Smoothing = "modified",
    stream: bool = False,
    fallback: Sequence[float] | None = None,
    memory_limit: str = "2GB",
    watch: Callable[[str], None] | None = None,
) -> Fit:
    """Estimate a model from ids with bounded memory, or go on where a killed process stopped.

    Args:
        ids: where each line ends with `<eos>`, as `ifog.data.WordTokenizer` makes them; mapped, or in shards.
        words: what the ids stand for, `<eos>` among them.
        directory: gets `counts` and `model`; new, or that of the same request.
        order: N.
        smoothing: "kneser-ney" or "modified".
        stream: contexts reach across lines; without, each is a sentence: `<eos>` becomes `</s>`, `<s>` the last word.
        fallback: see `discounts`.
        memory_limit: see `count_on_disk`.
        watch: called with what is done, as it goes on.

    Raises:
        ConfigError: an option out of its range.
        DataError: words without `<eos>`, or with one that is put there here; ids that don't fit them; counts that can't
            give discounts.
        RunError: the directory holds something else, or the extra `ngrams` isn't installed.
    """
    begin = watch or _unwatched
    vocabulary = _vocabulary(words, stream)
    sentences, folder = vocabulary.sentences, Path(directory)
    counts = count_on_disk(
        ids, folder / "counts", order, len(vocabulary), sentences=sentences, memory_limit=memory_limit,
        progress=lambda done, steps: begin(f"counting, {done} of {steps}"),
    )  # fmt: skip
    begin("discounts")
    taken = discounts_of([counts.frequencies(n + 1) for n in range(order)], smoothing, fallback=fallback)
    model = estimate_on_disk(
        counts, folder / "model", taken, vocabulary=vocabulary,
        progress=lambda done, size: begin(f"estimating, {done / size:.0%}"),
    )  # fmt: skip
    return Fit(model, taken, len(ids))


def _vocabulary(words: Sequence[str], stream: bool) -> Vocabulary:
    if EOS not in words:
        raise DataError(f"the words lack {EOS}, which ends each line; give all words of the tokenizer.")
    if stream:
        return Vocabulary(words)
    if taken := sorted({START, END} & set(words)):
        raise DataError(f"the words hold {taken[0]}, which is put there here; take it out of the text.")
    return Vocabulary([*(END if word == EOS else word for word in words), START])


def _unwatched(step: str) -> None:
    """Nobody looks."""
