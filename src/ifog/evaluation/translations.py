"""Judge translations: BLEU and chrF as everybody computes them, BLEU by length of the source, attention as a picture.

Owns the choice of sacrebleu's settings, the length buckets and the layout of the picture. Takes texts as people read
them (never lower-cased, never tokenized) and weights. Never runs a model.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ifog.errors import DataError, ShapeError

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import Tensor

__all__ = ["bleu", "bleu_by_length", "chrf", "draw_attention"]

EDGES = (10, 20, 30)  # words


def bleu(translations: Sequence[str], references: Sequence[str]) -> float:
    """Corpus BLEU from 0 to 100: sacrebleu's default (mixed case, tokenization 13a, exponential smoothing).

    Args:
        translations: one text per sentence.
        references: one for each.

    Raises:
        DataError: different numbers of texts, or none.

    Source:
        Papineni, Roukos, Ward and Zhu (2002); Post (2018), A call for clarity in reporting BLEU scores,
        arXiv:1804.08771.

    Examples:
        >>> round(bleu(["A man sleeps on a couch."], ["A man sleeps on a couch."]), 6)
        100.0
    """
    import sacrebleu

    _check(translations, references)
    return float(sacrebleu.corpus_bleu(list(translations), [list(references)]).score)


def chrf(translations: Sequence[str], references: Sequence[str]) -> float:
    """Corpus chrF from 0 to 100: sacrebleu's default (chrF2, six characters, no words); arguments as `bleu`'s.

    Source:
        Popović (2015), chrF: character n-gram F-score for automatic MT evaluation.
    """
    import sacrebleu

    _check(translations, references)
    return float(sacrebleu.corpus_chrf(list(translations), [list(references)]).score)


def bleu_by_length(
    sources: Sequence[str],
    translations: Sequence[str],
    references: Sequence[str],
    edges: Sequence[int] = EDGES,
) -> dict[str, float]:
    """BLEU of short and of long sentences, each bucket judged as a corpus of its own.

    Args:
        sources: what was translated; its words (between white space) are counted.
        translations: one for each.
        references: one for each.
        edges: the most words of each bucket but the last, rising.

    Returns:
        By "1-10", "11-20", ..., "31-"; buckets without a sentence are left out.

    Raises:
        DataError: different numbers of texts, or none.

    Examples:
        >>> texts = ["a b c d e", "a b c d e f g"]
        >>> bleu_by_length(texts, texts, ["a b c d e", "x y"], edges=(5,))["1-5"] > 99
        True
    """
    _check(translations, references)
    _check(sources, references)
    lengths = [len(source.split()) for source in sources]
    found: dict[str, float] = {}
    for low, high in zip([0, *edges], [*edges, None], strict=True):
        rows = [k for k, n in enumerate(lengths) if n > low and (high is None or n <= high)]
        if rows:
            name = f"{low + 1}-{'' if high is None else high}"
            found[name] = bleu([translations[k] for k in rows], [references[k] for k in rows])
    return found


def draw_attention(weights: Tensor, source: Sequence[str], target: Sequence[str]) -> Figure:
    """Where a decoder looked: a row for each piece that it wrote, a column for each that it read, dark for much.

    Args:
        weights: (T, S), each row summing to 1.
        source: S pieces.
        target: T pieces.

    Raises:
        ShapeError: other numbers of pieces than weights.
    """
    from matplotlib.figure import Figure

    if tuple(weights.shape) != (len(target), len(source)):
        raise ShapeError(
            f"attention map: weights are {tuple(weights.shape)}, but there are {len(target)} pieces written and "
            f"{len(source)} read; give (written, read)"
        )
    figure = Figure(figsize=(1.6 + 0.28 * len(source), 1.3 + 0.24 * len(target)), layout="constrained")
    axes: Any = figure.add_subplot()
    image = axes.imshow(weights.detach().cpu().numpy(), cmap="Blues", vmin=0.0, vmax=1.0, aspect="auto")
    axes.set_xticks(range(len(source)), source, rotation=60, ha="left", rotation_mode="anchor", parse_math=False)
    axes.set_yticks(range(len(target)), target, parse_math=False)
    axes.xaxis.tick_top()
    axes.tick_params(length=0, labelsize=8)
    axes.spines[:].set_visible(False)
    bar: Any = figure.colorbar(image, ax=axes, shrink=0.6, aspect=15)
    bar.set_label("attention", fontsize=8)
    bar.ax.tick_params(labelsize=7)
    return figure


def _check(translations: Sequence[str], references: Sequence[str]) -> None:
    if len(translations) != len(references) or not references:
        raise DataError(
            f"{len(translations)} translations are judged by {len(references)} references; give one for each, and at "
            "least one."
        )
