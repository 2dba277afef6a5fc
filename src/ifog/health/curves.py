"""What the records of a run say: learning rate, clipping, over-fitting, and the order of the data.

Owns the thresholds. Takes the records of metrics.jsonl and the ids of texts, gives diagnoses. Never loads a model.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ifog.health.diagnosis import Diagnosis

__all__ = ["check_clipping", "check_data_order", "check_learning_rate", "check_overfitting", "check_stability"]

Records = Sequence[Mapping[str, Any]]

_ENOUGH = 8  # records of training before their course says anything
_PIECES = 10  # of the training text, each compared with all of it


def check_learning_rate(records: Records) -> Diagnosis | None:
    """Whether the loss fell as fast as it usually does: half of its whole fall within the first fifth of the run."""
    losses = _column(records, "train", "loss")
    if len(losses) < _ENOUGH:
        return None
    fall = losses[0] - losses.min()
    if fall < 0.05 * losses[0]:
        return Diagnosis(
            "learning rate",
            "bad",
            f"the training loss hardly fell: from {losses[0]:.3f} to {losses.min():.3f}",
            "try ten times and a tenth of the learning rate; if neither learns, overfit one batch first (see below)",
        )
    half = float(np.argmax(losses <= losses[0] - fall / 2)) / (len(losses) - 1)
    seen = f"half of the fall from {losses[0]:.3f} to {losses.min():.3f} took {half:.0%} of the run"
    if half > 0.35:
        return Diagnosis(
            "learning rate", "look", seen, "try two to three times the learning rate, or a shorter --warmup"
        )
    late = losses[-max(2, len(losses) // 5) :]
    steep = (late[0] - late[-1]) / fall
    if steep > 0.1:
        return Diagnosis(
            "learning rate", "look", f"{seen}, and {steep:.0%} of it the last fifth: it is still falling",
            "train longer (ifog resume goes on), or raise the learning rate",
        )  # fmt: skip
    return Diagnosis("learning rate", "good", seen)


def check_stability(records: Records) -> Diagnosis | None:
    """Whether the loss jumped, as it does when the learning rate is too high or gradients explode."""
    losses, norms = _column(records, "train", "loss"), _column(records, "train", "gradient_norm")
    if len(losses) < _ENOUGH:
        return None
    lowest = np.minimum.accumulate(losses)
    jumps = int(np.sum(losses[1:] > 1.25 * lowest[:-1]))
    usual, highest = float(np.median(norms)), float(norms.max())
    seen = f"{jumps} of {len(losses)} records lie 25 % above the lowest before; gradient norm {usual:.3g}"
    seen += f", highest {highest:.3g}"
    if jumps > len(losses) // 10:
        return Diagnosis(
            "stability", "bad", seen, "lower the learning rate two to three times, or clip harder (--clip, --clipping)"
        )
    if highest > 30 * usual:
        return Diagnosis("stability", "look", seen, "gradients explode now and then: keep --clipping norm")
    return Diagnosis("stability", "good", seen)


def check_clipping(records: Records, clipping: str, clip: float) -> Diagnosis | None:
    """How often the gradient was cut."""
    norms = _column(records, "train", "gradient_norm")
    if len(norms) < _ENOUGH:
        return None
    if clipping == "none":
        return Diagnosis(
            "clipping", "look", "gradients are not clipped", "--clipping norm costs nothing and prevents explosions"
        )
    if clipping != "norm":
        return Diagnosis("clipping", "good", f"gradients are clipped by {clipping}")
    share = float(np.mean(norms > clip))
    seen = f"{share:.0%} of the gradients were above the threshold {clip:g} (median norm {np.median(norms):.3g})"
    if share > 0.9:
        return Diagnosis(
            "clipping",
            "look",
            f"{seen}: the threshold sets the length of nearly every update",
            f"raise --clip to about {2 * np.median(norms):.2g}, or lower the learning rate knowingly",
        )
    return Diagnosis("clipping", "good", seen)


def check_overfitting(records: Records) -> Diagnosis | None:
    """Whether the held-out loss has turned while the training loss goes on falling."""
    judged = _column(records, "evaluation", "loss")
    if len(judged) < 3:
        return None
    best = int(judged.argmin())
    losses = _column(records, "train", "loss")
    near = float(losses[-max(1, len(losses) // 10) :].mean()) if len(losses) else math.nan
    seen = (
        f"held-out loss {judged[-1]:.3f} at the end, {judged[best]:.3f} at best (evaluation {best + 1} of "
        f"{len(judged)}); training loss {near:.3f}"
    )
    if judged[-1] > 1.01 * judged[best] and near < judged[-1]:
        return Diagnosis(
            "over-fitting", "bad", seen,
            "more text, more --dropout, or fewer units; the best weights are kept, so a shorter run gives the same",
        )  # fmt: skip
    if judged[-1] - near > 0.15 * judged[-1]:
        return Diagnosis("over-fitting", "look", seen, "the gap is wide: more --dropout may pay, or more text")
    return Diagnosis("over-fitting", "good", seen)


def check_data_order(train: NDArray[Any], validation: NDArray[Any], vocabulary_size: int) -> Diagnosis | None:
    """Whether the text changes on its way, so that its end, or the held-out text, is not like the rest.

    Compared are the frequencies of tokens in tenths of the training text, each with the nine others, and in the
    held-out text, by the Jensen-Shannon divergence in bits: 0 for the same, 1 for nothing in common.
    """
    if len(train) < 100 * _PIECES or len(validation) < 100:
        return None
    counts = np.stack([_counted(piece, vocabulary_size) for piece in np.array_split(train, _PIECES)])
    whole = counts.sum(0)
    apart = [_divergence(piece, whole - piece) for piece in counts]
    held_out = _divergence(_counted(validation, vocabulary_size), whole)
    usual = float(np.median(apart))
    worst = int(np.argmax(apart))
    seen = (
        f"tenths of the training text differ from the rest by {usual:.3f} bits (median), number {worst + 1} by "
        f"{apart[worst]:.3f}; the held-out text by {held_out:.3f}"
    )
    if held_out > 3 * usual + 0.01:
        return Diagnosis(
            "data order", "bad", seen,
            "the held-out text is of another kind: shuffle the documents before the text is cut, or give --validation",
        )  # fmt: skip
    if apart[worst] > 4 * usual + 0.02:
        return Diagnosis("data order", "look", seen, "shuffle the documents: a part of the text is unlike the others")
    return Diagnosis("data order", "good", seen)


def _column(records: Records, kind: str, name: str) -> NDArray[np.float64]:
    return np.array([float(record[name]) for record in records if record.get("kind") == kind and name in record])


def _counted(ids: NDArray[Any], vocabulary_size: int) -> NDArray[np.float64]:
    return np.bincount(np.asarray(ids), minlength=vocabulary_size).astype(np.float64)


def _divergence(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Jensen and Shannon's, in bits."""
    p, q = one / one.sum(), other / other.sum()
    middle = (p + q) / 2
    return float(sum(np.sum(part[part > 0] * np.log2(part[part > 0] / middle[part > 0])) for part in (p, q)) / 2)
