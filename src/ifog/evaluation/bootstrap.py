"""Is one model better than another, or was it the choice of the text? The paired bootstrap.

Owns the resampling of documents. Takes two models' log-probabilities of the same text, gives the difference of their
perplexities, an interval and a p-value. Never resamples tokens, which depend on one another, but documents or blocks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from ifog.errors import ConfigError, DataError
from ifog.evaluation.perplexity import check_log_prob, exponential

__all__ = ["Comparison", "compare_documents", "compare_tokens"]

_AT_ONCE = 1 << 22  # drawn numbers held at a time


@dataclass(frozen=True)
class Comparison:
    """Two models on one text.

    Attributes:
        first: Perplexity of the first model.
        second: Perplexity of the second.
        difference: First less second: negative where the first is better.
        lower: Lower end of the difference's interval.
        upper: Upper end.
        confidence: Share of resampled differences between the two ends.
        p_value: Two-sided: how often a difference as far on the other side of zero would come from the choice of
            documents.
        documents: Number of documents.
    """

    first: float
    second: float
    difference: float
    lower: float
    upper: float
    confidence: float
    p_value: float
    documents: int

    def to_dict(self) -> dict[str, float]:
        """The fields as plain values that JSON can hold."""
        return asdict(self)


def compare_tokens(
    first: NDArray[np.float64],
    second: NDArray[np.float64],
    *,
    documents: Sequence[int] | NDArray[np.int64] | None = None,
    block: int = 1000,
    samples: int = 10_000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Comparison:
    """Compare the perplexities per token of two models that read the same tokens.

    Args:
        first: Natural log-probabilities of the first model (N,).
        second: Of the second (N,).
        documents: Their lengths in tokens, of sum N; None: blocks of fixed length.
        block: Length of a block; the last may be shorter.
        samples: How often the documents are drawn anew, with replacement.
        confidence: Share of the interval, 0 < confidence < 1.
        seed: Of the draws.

    Raises:
        DataError: The lengths don't fit, there are fewer than two documents, or a number is no log-probability.
        ConfigError: An option out of its range.
    """
    if first.shape != second.shape or first.ndim != 1:
        raise DataError(
            f"the two models judged {first.shape} and {second.shape} tokens; per token, only the same ones compare. "
            f"For different tokenizers sum the nats of each document and give them to compare_documents with its words."
        )
    if block < 1:
        raise ConfigError(f"block is {block}; give the tokens of a block, such as 1000.")
    lengths = _block_lengths(len(first), block) if documents is None else np.asarray(documents, dtype=np.int64)
    if lengths.sum() != len(first) or (lengths < 1).any():
        raise DataError(
            f"the documents have {lengths.sum()} tokens in all, and the shortest {lengths.min(initial=0)}, but "
            f"{len(first)} tokens were judged; give the length of each, at least 1, in order."
        )
    check_log_prob(np.stack([first, second]))
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    if not len(lengths):
        starts = np.empty(0, np.int64)
    own, other = (-np.add.reduceat(one, starts) for one in (first, second))
    return compare_documents(own, other, lengths, samples=samples, confidence=confidence, seed=seed)


def compare_documents(
    first: NDArray[np.float64],
    second: NDArray[np.float64],
    units: NDArray[np.int64],
    *,
    samples: int = 10_000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Comparison:
    """Compare the perplexities of two models by a paired bootstrap over documents (Efron and Tibshirani 1993).

    Both models are judged on the same draws, so that what makes a document hard for both cancels.

    Args:
        first: Nats of each document under the first model (D,).
        second: Under the second (D,).
        units: What perplexity is per, in each document (D,): tokens, or words where the models' tokens differ.
        samples: How often D documents are drawn with replacement.
        confidence: Share of the interval, 0 < confidence < 1.
        seed: Of the draws.

    Raises:
        DataError: Fewer than two documents, different numbers of them, or one without units or with infinite nats.
        ConfigError: An option out of its range.

    Examples:
        >>> nats = np.array([9.0, 12.0, 8.0])
        >>> made = compare_documents(nats, nats + 1, np.array([3, 4, 3]))
        >>> made.difference < 0, made.p_value < 0.01
        (True, True)
    """
    _check(first, second, units, samples, confidence)
    table = np.stack([first, second, units.astype(np.float64)], axis=1)
    count = len(units)
    generator = np.random.default_rng(seed)
    drawn: list[NDArray[np.float64]] = []
    step = max(1, _AT_ONCE // count)
    for start in range(0, samples, step):
        times = generator.multinomial(count, np.full(count, 1 / count), size=min(step, samples - start))
        drawn.append(times @ table)
    sums = np.concatenate(drawn)
    differences = _perplexity(sums[:, 0] / sums[:, 2]) - _perplexity(sums[:, 1] / sums[:, 2])
    tail = (1 - confidence) / 2
    lower, upper = np.quantile(differences, [tail, 1 - tail])
    # the observed text counts as one more draw on either side, so that no p-value is 0
    smaller = 1 + min(np.count_nonzero(differences <= 0), np.count_nonzero(differences >= 0))
    own = table.sum(axis=0)
    means = exponential(own[0] / own[2]), exponential(own[1] / own[2])
    return Comparison(
        first=means[0],
        second=means[1],
        difference=means[0] - means[1],
        lower=float(lower),
        upper=float(upper),
        confidence=confidence,
        p_value=float(min(1.0, 2 * smaller / (samples + 1))),
        documents=count,
    )


def _perplexity(nats: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.exp(np.minimum(nats, 700.0))


def _block_lengths(tokens: int, block: int) -> NDArray[np.int64]:
    whole, rest = divmod(tokens, block)
    return np.array([block] * whole + [rest] * (rest > 0), dtype=np.int64)


def _check(
    first: NDArray[np.float64], second: NDArray[np.float64], units: NDArray[np.int64], samples: int, confidence: float
) -> None:
    if not 0 < confidence < 1 or samples < 1:
        raise ConfigError(
            f"confidence is {confidence} and samples is {samples}; give a share between 0 and 1, such as 0.95, "
            f"and at least 1 sample, better 10,000."
        )
    if not first.shape == second.shape == units.shape or first.ndim != 1 or len(units) < 2:
        raise DataError(
            f"the bootstrap draws among documents: it needs at least two, and both models' nats and the units of each, "
            f"but got {first.shape}, {second.shape} and {units.shape}. Give shorter blocks, or a longer text."
        )
    if not (np.isfinite(first).all() and np.isfinite(second).all() and (units > 0).all()):
        raise DataError(
            "a document has no units, or one of the models gives it the probability 0: its perplexity is infinite, and "
            "no draw can change that. Leave the document out of both, or mix the model with one that is never sure."
        )
