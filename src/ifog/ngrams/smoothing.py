"""Turn counts into probabilities: interpolated Kneser-Ney smoothing, with one discount or three for each order.

Owns the discounts (Kneser and Ney 1995; modified: Chen and Goodman 1998) and the interpolation down to the uniform
distribution, as KenLM's lmplz does both (Heafield et al. 2013). Takes `NgramCounts`, gives an `NgramModel`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ifog.errors import ConfigError, DataError
from ifog.ngrams.counting import NgramCounts
from ifog.ngrams.model import NgramModel
from ifog.ngrams.trie import Indices
from ifog.ngrams.vocabulary import Vocabulary

__all__ = ["Discounts", "Smoothing", "discounted", "discounts", "discounts_of", "estimate"]

Smoothing = Literal["kneser-ney", "modified"]

_Floats = NDArray[np.float64]


class Discounts(NamedTuple):
    """What is taken from each count.

    Attributes:
        amounts: D1, D2 and D3+ of each order: taken from counts of 1, of 2, and of 3 and more, shape (N, 3).
        replaced: the orders whose counts could not give discounts, so that the fallback stands there.
    """

    amounts: tuple[tuple[float, float, float], ...]
    replaced: tuple[int, ...]


def discounts(
    counts: NgramCounts, smoothing: Smoothing = "modified", *, fallback: Sequence[float] | None = None
) -> Discounts:
    """Estimate the discounts of each order from how many n-grams have an adjusted count of 1, 2, 3 and 4.

    With Y = n1 / (n1 + 2 n2): plain Kneser-Ney takes Y from every count; modified takes 1 - 2 Y n2/n1,
    2 - 3 Y n3/n2 and 3 - 4 Y n4/n3 (Chen and Goodman 1998, equation 26).

    Args:
        counts: of a text.
        smoothing: "kneser-ney" or "modified".
        fallback: D1, D2 and D3+ for orders whose counts can't give any; lmplz suggests (0.5, 1, 1.5).

    Raises:
        ConfigError: an unknown smoothing, or a fallback that isn't three numbers with 0 <= Dk <= k.
        DataError: an order's counts can't give discounts, and there is no fallback.
    """
    numbers = [np.bincount(adjusted[adjusted < 5], minlength=5) for adjusted in counts.adjusted]
    return discounts_of(numbers, smoothing, fallback=fallback)


def discounts_of(
    frequencies: Sequence[Indices], smoothing: Smoothing, *, fallback: Sequence[float] | None = None
) -> Discounts:
    """The same from how many n-grams of each order have the adjusted counts 0 to 4; see `discounts`."""
    if smoothing not in {"kneser-ney", "modified"}:
        raise ConfigError(f"smoothing is {smoothing!r}; known are 'kneser-ney' and 'modified'.")
    replacement = None if fallback is None else _checked(fallback)
    amounts: list[tuple[float, float, float]] = []
    replaced: list[int] = []
    for order, numbers in enumerate(frequencies, start=1):
        found = _of_order(numbers, smoothing)
        if isinstance(found, str) and replacement is None:
            raise DataError(
                f"n-grams: the {order}-grams can't give a discount: {found}. The text is small or repeats itself: "
                "give more text, remove duplicate lines, or give discounts for such orders, fallback=(0.5, 1, 1.5)."
            )
        if isinstance(found, str):
            assert replacement is not None
            replaced.append(order)
            found = replacement
        amounts.append(found)
    return Discounts(tuple(amounts), tuple(replaced))


def estimate(
    counts: NgramCounts,
    smoothing: Smoothing | Discounts = "modified",
    *,
    fallback: Sequence[float] | None = None,
    minimum_counts: Sequence[int] | None = None,
    vocabulary: Vocabulary | None = None,
) -> NgramModel:
    """Estimate a model: p(w | context) = (c - D(c)) / sum of c + (what the discounts took) * p(w | shorter context).

    The unigrams are interpolated with the uniform distribution over all words but `<s>`, so that no word, seen or
    not, has probability 0.

    Args:
        counts: of a text.
        smoothing: "kneser-ney", "modified", or discounts already made.
        fallback: see `discounts`.
        minimum_counts: for each order, how often an n-gram must occur to be kept, not falling; the mass of those
            dropped goes to the shorter contexts, and discounts are estimated before they are dropped, as in lmplz.
        vocabulary: the words, kept with the model.

    Raises:
        ConfigError: an unknown smoothing, or minimum counts that fall or are of another number than the orders.
        DataError: counts that can't give discounts.

    Examples:
        >>> from ifog.ngrams import count_ngrams
        >>> text = np.random.default_rng(0).zipf(1.5, 2000).clip(max=50).astype(np.uint8) - 1
        >>> model = estimate(count_ngrams(text, 3, vocabulary_size=50), "kneser-ney")
        >>> float(model.next_distribution([1, 2]).sum().round(9))
        1.0
    """
    taken = smoothing if isinstance(smoothing, Discounts) else discounts(counts, smoothing, fallback=fallback)
    masks = _masks(counts, minimum_counts)
    trie = counts.trie
    predicted = trie.vocabulary_size - (counts.sentences is not None)
    if not predicted:
        raise DataError("n-grams: the vocabulary holds <s> alone, which is never predicted; give it words.")
    lower: _Floats = np.full(trie.vocabulary_size, 1.0 / predicted)
    log_probs: list[_Floats] = []
    backoffs: list[_Floats] = []
    suffixes: Indices = np.arange(trie.vocabulary_size, dtype=np.int64)
    contexts: Indices = np.zeros(trie.vocabulary_size, np.int64)
    for n in range(1, trie.order + 1):
        if n > 1:
            suffixes, contexts = counts.suffixes[n - 2], trie.contexts(n)
        number = 1 if n == 1 else trie.sizes[n - 2]
        own, left = discounted(counts.adjusted[n - 1], contexts, number, taken.amounts[n - 1], masks[n - 1])
        lower = own + left[contexts] * lower[suffixes]
        if n == 1 and counts.sentences is not None:
            lower[counts.sentences.start] = 0.0
        with np.errstate(divide="ignore"):  # log 0 is what <s> and a context without any mass left have
            log_probs.append(np.log(lower)[masks[n - 1]])
            if n > 1:
                backoffs.append(np.log(left)[masks[n - 2]])
    kept = trie if minimum_counts is None else trie.kept(masks[1:])
    return NgramModel(kept, log_probs, backoffs, sentences=counts.sentences, vocabulary=vocabulary)


def discounted(
    adjusted: Indices, contexts: Indices, number: int, amounts: tuple[float, float, float], mask: NDArray[np.bool_]
) -> tuple[_Floats, _Floats]:
    """Each n-gram's own share of its context's mass, and for each context the share that is left for shorter ones."""
    taken = np.array([0.0, *amounts])[np.minimum(adjusted, 3)]
    remaining = np.where(mask, adjusted - taken, 0.0)
    totals = np.bincount(contexts, weights=adjusted, minlength=number)
    left = np.bincount(contexts, weights=adjusted - remaining, minlength=number)
    with np.errstate(invalid="ignore", divide="ignore"):
        left = np.where(totals > 0, left / totals, 1.0)
        return np.where(totals[contexts] > 0, remaining / totals[contexts], 0.0), left


def _masks(counts: NgramCounts, minimum_counts: Sequence[int] | None) -> list[NDArray[np.bool_]]:
    """Which n-grams of each order are kept; all words are."""
    minima = [1] * counts.order if minimum_counts is None else list(minimum_counts)
    if len(minima) != counts.order or minima != sorted(minima):
        raise ConfigError(
            f"n-grams: minimum_counts is {minima}, but must hold one number for each of the {counts.order} orders, not "
            f"falling, so that a kept n-gram's context is kept: as {[1, 1, *[2] * counts.order][: counts.order]}."
        )
    return [
        np.ones(len(number), np.bool_) if n == 0 else number >= minima[n] for n, number in enumerate(counts.occurrences)
    ]


def _of_order(numbers: Indices, smoothing: Smoothing) -> tuple[float, float, float] | str:
    """One order's discounts, or why there are none; `numbers` says how many n-grams have each count below 5."""
    needed = 2 if smoothing == "kneser-ney" else 4
    for count in range(1, needed + (smoothing == "kneser-ney")):
        if not numbers[count]:
            return f"none has the adjusted count {count}, and the estimate divides by their number"
    n1, n2, n3, n4 = (float(n) for n in numbers[1:])
    share = n1 / (n1 + 2.0 * n2)
    if smoothing == "kneser-ney":
        return share, share, share
    found = (1.0 - 2.0 * share * n2 / n1, 2.0 - 3.0 * share * n3 / n2, 3.0 - 4.0 * share * n4 / n3)
    for count, amount in enumerate(found, start=1):
        if not 0.0 <= amount <= count:
            return f"the one for the count {count} would be {amount:.3g}, outside 0 to {count}"
    return found


def _checked(fallback: Sequence[float]) -> tuple[float, float, float]:
    if len(fallback) != 3 or not all(0.0 <= amount <= count for count, amount in enumerate(fallback, start=1)):
        raise ConfigError(
            f"n-grams: fallback is {tuple(fallback)}, but must be D1, D2 and D3+ with 0 <= Dk <= k: (0.5, 1, 1.5)."
        )
    return (float(fallback[0]), float(fallback[1]), float(fallback[2]))
