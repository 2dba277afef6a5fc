"""How well a number follows a label, for many units at once, and what chance would give.

Owns ranks, the association of units with labels, the blockwise bootstrap, the null distribution from shifted labels,
the predictor that sees the last few characters only, and the linear probe. Takes and gives arrays. Never knows where
they come from.

One scale serves all labels. For truth values the association is Somers' D = 2 AUC - 1, for whole numbers Spearman's
rank correlation: 0 is chance, 1 and -1 are perfect, and the sign tells the direction.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Shifted",
    "Weights",
    "association",
    "centred_ranks",
    "concordance",
    "interval",
    "predicted_bound",
    "probe",
    "readable",
    "recent_prediction",
]

Labels = NDArray[np.bool_] | NDArray[np.int64]

_LEVELS = 65_535  # a unit's range is cut into so many steps before its values are ranked
_BINS = 512  # of ranks, in the bootstrap
_PLACES = 20_000  # at most so many positions serve the null distribution


def centred_ranks(values: NDArray[Any]) -> NDArray[np.float32]:
    """The rank of each value among those of its unit, ties at their middle, less the middle rank, per length.

    Values are compared at 1/65,535 of their unit's range (texts below 8,000 tokens: at 1/8 of 1/T), which lets counting
    take the place of sorting.

    Args:
        values: (T, U).

    Returns:
        (U, T), from -0.5 to 0.5.

    Examples:
        >>> centred_ranks(np.array([[3.0], [9.0], [3.0], [4.0]])).round(3).tolist()
        [[-0.25, 0.375, -0.25, 0.125]]
    """
    steps, units = values.shape
    cuts = min(_LEVELS, 8 * steps)  # more would only cost time
    found = np.empty((units, steps), dtype=np.float32)
    for unit in range(units):
        column = np.ascontiguousarray(values[:, unit], dtype=np.float32)
        low, high = float(column.min()), float(column.max())
        scale = cuts / (high - low) if high > low else 0.0
        levels = ((column - low) * scale).astype(np.intp)
        counts = np.bincount(levels)
        doubled = 2 * np.cumsum(counts) - counts - steps  # twice the middle rank, less twice the middle of all
        found[unit] = doubled[levels]
    found /= 2 * steps
    return found


class Weights:
    """Labels made ready: one product with the ranks of units then gives every association.

    Args:
        labels: (S, T), of any mixture of types when given as a list of rows.
    """

    def __init__(self, labels: Sequence[Labels]) -> None:
        rows: list[NDArray[np.float32]] = []
        for label in labels:
            if label.dtype == np.bool_:
                steps, ones = len(label), int(label.sum())
                pairs = ones * (steps - ones) / (2.0 * steps)
                row = (label - ones / steps) / pairs if pairs else np.zeros(steps)
            else:
                row = centred_ranks(label[:, None])[0]
                row = row / max(float(np.linalg.norm(row)), 1e-12)
            rows.append(row.astype(np.float32))
        self.rows = np.stack(rows)
        self.correlates = np.array([label.dtype != np.bool_ for label in labels])

    def association(self, ranks: NDArray[np.float32]) -> NDArray[np.float64]:
        """Somers' D (truth values) or Spearman's correlation (whole numbers) of each unit with each label.

        Args:
            ranks: (U, T), as `centred_ranks` gives.

        Returns:
            (U, S), from -1 to 1; 0 where a unit or a label is constant.
        """
        found = (ranks @ self.rows.T).astype(np.float64)
        norm = np.maximum(np.linalg.norm(ranks, axis=1), 1e-12)
        return (found / np.where(self.correlates, norm[:, None], 1.0)).clip(-1, 1)


def association(values: NDArray[Any], labels: Labels) -> float:
    """The association of one unit's values (T,) with labels (T,).

    Examples:
        >>> association(np.array([0.1, 0.9, 0.4, 0.5]), np.array([False, True, True, False]))
        0.5
    """
    return float(Weights([labels]).association(centred_ranks(values[:, None]))[0, 0])


def readable(value: float, binary: bool) -> float:
    """An association as readers know it: an AUC for truth values, the correlation itself for whole numbers.

    Examples:
        >>> readable(0.9, True), readable(-0.5, False)
        (0.95, -0.5)
    """
    return 0.5 + 0.5 * value if binary else value


def concordance(values: NDArray[Any], labels: Labels) -> float:
    """How often a unit orders two positions as their labels do, of those that differ; ties of the unit count half.

    For truth values that is the AUC; for whole numbers it is its generalisation (Harrell's index). Other than a rank
    correlation it asks nothing of positions with equal labels, of which there may be many.

    Args:
        values: (T,).
        labels: (T,).

    Examples:
        >>> concordance(np.array([0.1, 0.2, 0.3, 0.4]), np.array([0, 0, 1, 5]))
        1.0
    """
    ranks = centred_ranks(values[:, None])[0]
    bins = ((ranks + 0.5) * (_BINS - 1e-3)).astype(np.int64)
    different, which = np.unique(labels, return_inverse=True)
    table = np.bincount(which * _BINS + bins, minlength=len(different) * _BINS).reshape(-1, _BINS).astype(np.float64)
    smaller = np.cumsum(table, 0) - table  # of each bin, positions whose label is smaller
    right = (table * (np.cumsum(smaller, 1) - 0.5 * smaller)).sum()
    pairs = (table.sum(1) * smaller.sum(1)).sum()
    return float(right / pairs) if pairs else 0.5


def interval(
    ranks: NDArray[np.float32],
    labels: Labels,
    *,
    block: int = 1000,
    samples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> tuple[float, float]:
    """Ends of the interval of one unit's association, by a bootstrap over blocks of text (Künsch 1989).

    Neighbouring characters say nearly the same, so stretches of text are drawn anew and not characters; ranks stay
    those of the whole text.

    Args:
        ranks: (T,) of one unit.
        labels: (T,).
        block: Characters of a block; shortened where the text would give fewer than 20.
        samples: How often the blocks are drawn.
        confidence: Share of the draws between the two ends.
        seed: Of the draws.
    """
    steps = len(ranks)
    block = max(1, min(block, steps // 20))
    which = np.arange(steps) // block
    count = int(which[-1]) + 1
    drawn = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=samples).astype(np.float64)
    if labels.dtype == np.bool_:
        bins = ((ranks + 0.5) * (_BINS - 1e-3)).astype(np.int64)
        table = np.bincount((which * 2 + labels) * _BINS + bins, minlength=count * 2 * _BINS)
        outside, inside = np.moveaxis(table.reshape(count, 2, _BINS).astype(np.float64), 1, 0)
        below, above = drawn @ outside, drawn @ inside
        lower = np.cumsum(below, 1) - 0.5 * below
        pairs = above.sum(1) * below.sum(1)
        made = 2 * np.divide((above * lower).sum(1), pairs, out=np.full(samples, 0.5), where=pairs > 0) - 1
    else:
        other = centred_ranks(labels[:, None])[0]
        columns = np.stack([np.ones_like(ranks), ranks, other, ranks**2, other**2, ranks * other], 1)
        sums = np.add.reduceat(columns.astype(np.float64), np.arange(0, steps, block))
        n, x, y, xx, yy, xy = (drawn @ sums).T
        spread = np.sqrt(np.maximum(xx / n - (x / n) ** 2, 0) * np.maximum(yy / n - (y / n) ** 2, 0))
        made = np.divide(xy / n - x * y / n**2, spread, out=np.zeros(samples), where=spread > 1e-12)
    tail = (1 - confidence) / 2
    low, high = np.quantile(made, [tail, 1 - tail])
    return float(low), float(high)


class Shifted:
    """Labels that were moved along the text, to see what the best of many units reaches with them.

    Labels that are shifted in a circle keep how long their stretches are and lose what they say of the text, so the
    best association with them is the null distribution of the best. Long texts are thinned out, which widens it a
    little.

    Args:
        labels: One array (T,) for each of D detectors, D at least 1.
        shifts: How many shifts of each, by at least a tenth of the text; 1 or more.
        seed: Of the shifts.
    """

    def __init__(self, labels: Sequence[Labels], shifts: int, seed: int) -> None:
        self.shape = len(labels), shifts
        steps = len(labels[0])
        least = max(1, steps // 10)
        moves = np.random.default_rng(seed).integers(least, max(steps - least, least + 1), shifts)
        self._thin = slice(None, None, max(1, steps // _PLACES))
        self._weights = Weights([np.roll(label, move)[self._thin] for label in labels for move in moves])

    def best(self, ranks: NDArray[np.float32]) -> NDArray[np.float64]:
        """The largest association of any of the units (U, T) with each shifted label: (D, shifts), not negative."""
        found = self._weights.association(np.ascontiguousarray(ranks[:, self._thin]))
        return np.abs(found).max(0, initial=0.0).reshape(self.shape)


def predicted_bound(values: Sequence[float], risk: float) -> float:
    """What one more draw of the same kind exceeds with the probability `risk`, never below the largest drawn.

    The associations' Fisher transforms are taken as normal, so that the bound is that of Student's prediction
    interval; with fewer than three draws it is the largest.

    Args:
        values: Associations, from -1 to 1; at least one.
        risk: Between 0 and 0.5.

    Examples:
        >>> round(predicted_bound([0.1, 0.2, 0.3, 0.25, 0.15], 0.05), 2)
        0.38
    """
    largest, freedom = max(values), len(values) - 1
    if freedom < 2:
        return largest
    drawn = np.arctanh(np.clip(values, -1 + 1e-9, 1 - 1e-9))
    z = NormalDist().inv_cdf(1 - risk)
    # the quantile of Student's t by its expansion about the normal one (Abramowitz and Stegun 26.7.5)
    t = z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
    t += (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * freedom**3)
    return max(largest, float(np.tanh(drawn.mean() + t * drawn.std(ddof=1) * np.sqrt(1 + 1 / len(values)))))


def recent_prediction(
    codes: NDArray[np.uint32], labels: Labels, half: int, *, order: int = 4, known: NDArray[np.bool_] | None = None
) -> NDArray[np.float64]:
    """What the last few characters alone tell of the label: its expectation given them, learned on the first half.

    Contexts of 0 to `order` characters are counted; a longer one that was seen n times has the weight n / (n + 1)
    against the next shorter.

    Args:
        codes: (T,) code points.
        labels: (T,).
        half: Positions that are learned from; those behind are predicted.
        order: Characters that are seen, the present one counted.
        known: (T,) positions that are learned from; None: all.

    Returns:
        (T - half,).
    """
    taken = np.ones(half) if known is None else known[:half].astype(np.float64)
    _, letters = np.unique(codes, return_inverse=True)
    base = int(letters.max(initial=0)) + 2
    wanted = labels[:half] * taken
    expected = np.full(len(codes) - half, wanted.sum() / max(taken.sum(), 1.0))
    context = np.zeros(len(codes), dtype=np.int64)
    for back in range(order):
        before = np.full(len(codes), base - 1)
        before[back:] = letters[: len(codes) - back]
        # numbered anew at each order, so that any alphabet fits 64 bits
        context = np.unique(context * base + before, return_inverse=True)[1]
        counts = np.bincount(context[:half], taken, minlength=int(context.max()) + 1)
        sums = np.bincount(context[:half], wanted, minlength=len(counts))
        expected = (sums[context[half:]] + expected) / (counts[context[half:]] + 1.0)
    return expected


def probe(
    features: NDArray[np.float32], labels: NDArray[Any], half: int, *, penalty: float = 1e-3
) -> NDArray[np.float64]:
    """What a linear probe over all units says of each label: ridge regression on the first half, in closed form.

    For truth values the direction is that of Fisher's discriminant, whose AUC is close to logistic regression's.

    Args:
        features: (T, F).
        labels: (S, T) of any type; one factorisation serves them all.
        half: Positions that are learned from; those behind are predicted.
        penalty: Weight of the squared coefficients of standardised units, per position.

    Returns:
        (S, T - half).
    """
    train = features[:half]
    mean, spread = train.mean(0), train.std(0)
    scale = np.divide(1.0, spread, out=np.zeros_like(spread), where=spread > 1e-6)
    known = (train - mean) * scale
    wanted = labels[:, :half].T.astype(np.float32)
    wanted = wanted - wanted.mean(0)
    gram = (known.T @ known).astype(np.float64) + penalty * half * np.eye(known.shape[1])
    solve: Any = np.linalg.solve
    weights = solve(gram, (known.T @ wanted).astype(np.float64))
    found: NDArray[np.float32] = ((features[half:] - mean) * scale) @ weights.astype(np.float32)
    return found.T.astype(np.float64)
