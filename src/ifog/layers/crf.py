"""A linear-chain conditional random field over the labels of a sequence.

Owns the weights of neighbouring labels, and exact sums and maxima over all sequences of labels. Takes scores of each
label at each step, time first; gives log-probabilities and the best labels. Never knows what a label means, except for
`forbidden_steps`, which reads it out of the names.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ifog.errors import ConfigError, ShapeError

__all__ = ["ConditionalRandomField", "Steps", "best_labels", "forbidden_steps", "log_partition", "marginals"]

# Finite, so that no gradient is NaN where nothing else leads to a label; its exponential is 0 in any floating type.
_FORBIDDEN = -1e4


class Steps(NamedTuple):
    """Something for each step between K labels: weights, or which are forbidden.

    Attributes:
        start: (K,), of beginning with a label.
        between: (K, K), from the row's label to the column's.
        end: (K,), of ending with a label.
    """

    start: Tensor
    between: Tensor
    end: Tensor


class ConditionalRandomField(nn.Module):
    """Probabilities of whole sequences of labels.

    p(y | x) is proportional to exp of a sum: the score of each label at its step, and the weights of beginning, of
    each neighbouring pair and of ending. With all weights 0, as they start, it is a softmax at each step.

    Args:
        labels: K.
        forbidden: steps that no sequence takes, bool; None: all may be taken.

    Shapes:
        scores `(T, B, K)`; labels `(T, B)`; lengths `(B,)`, None: all are T. What stands past a length doesn't count.
        T may be 0: the empty sequence has the probability 1.

    Raises:
        ConfigError: fewer than one label, or `forbidden` of other shapes.
        ShapeError: a tensor of the wrong shape or type, or a label that is none of the K.

    Source:
        Lafferty, McCallum and Pereira (2001), Conditional random fields, ICML.

    Examples:
        >>> crf = ConditionalRandomField(3)
        >>> scores, lengths = torch.zeros(4, 2, 3), torch.tensor([4, 1])
        >>> crf.log_prob(scores, torch.zeros(4, 2, dtype=torch.long), lengths).exp() * torch.tensor([81, 3])
        tensor([1.0000, 1.0000], grad_fn=<MulBackward0>)
        >>> crf.decode(scores, lengths).shape
        torch.Size([4, 2])
    """

    def __init__(self, labels: int, *, forbidden: Steps | None = None) -> None:
        super().__init__()
        if labels < 1:
            raise ConfigError(f"ConditionalRandomField: {labels} labels; give at least 1.")
        wanted = [(labels,), (labels, labels), (labels,)]
        if forbidden is not None and [tuple(part.shape) for part in forbidden] != wanted:
            raise ConfigError(
                f"ConditionalRandomField: forbidden has the shapes {[tuple(part.shape) for part in forbidden]}, "
                f"{wanted} are expected for {labels} labels"
            )
        self.labels = labels
        self.start = nn.Parameter(torch.zeros(labels))
        self.between = nn.Parameter(torch.zeros(labels, labels))
        self.end = nn.Parameter(torch.zeros(labels))
        # made of the configuration, therefore not saved with the weights
        for name in Steps._fields:
            part = None if forbidden is None else getattr(forbidden, name).bool()
            self.register_buffer(f"no_{name}", part, persistent=False)

    def weights(self) -> Steps:
        """The weights, with those of forbidden steps so low that none is ever taken."""
        parts: list[Tensor] = []
        for name in Steps._fields:
            weight, forbidden = _full(getattr(self, name)), getattr(self, f"no_{name}")
            parts.append(weight if forbidden is None else weight.masked_fill(forbidden, _FORBIDDEN))
        return Steps(*parts)

    def log_prob(self, scores: Tensor, labels: Tensor, lengths: Tensor | None = None) -> Tensor:
        """The log-probability of each sequence of labels (B,)."""
        self._check(scores, lengths)
        if labels.shape != scores.shape[:2] or labels.is_floating_point():
            raise ShapeError(
                f"ConditionalRandomField: labels are {tuple(labels.shape)} of {labels.dtype}, whole numbers "
                f"{tuple(scores.shape[:2])}, (time, batch), are expected"
            )
        valid = _valid(scores, lengths)
        labels = labels.long()
        real = labels[valid]
        if real.numel() and not 0 <= int(real.min()) <= int(real.max()) < self.labels:
            raise ShapeError(
                f"ConditionalRandomField: labels run from {int(real.min())} to {int(real.max())}, but there are "
                f"{self.labels}, from 0 to {self.labels - 1}"
            )
        weights, scores = self.weights(), _full(scores)
        return _path_score(scores, labels.where(valid, 0), valid, weights) - log_partition(scores, weights, lengths)

    def decode(self, scores: Tensor, lengths: Tensor | None = None) -> Tensor:
        """The most probable labels (T, B), 0 past each length."""
        self._check(scores, lengths)
        return best_labels(_full(scores), self.weights(), lengths)[0]

    def marginals(self, scores: Tensor, lengths: Tensor | None = None) -> Tensor:
        """The probability of each label at each step, whatever the others are (T, B, K); 0 past each length."""
        self._check(scores, lengths)
        return marginals(scores, self.weights(), lengths)

    def _check(self, scores: Tensor, lengths: Tensor | None) -> None:
        if scores.dim() != 3 or scores.shape[2] != self.labels or not scores.is_floating_point():
            raise ShapeError(
                f"ConditionalRandomField: scores are {tuple(scores.shape)} of {scores.dtype}, (time, batch, "
                f"{self.labels}) of floating point is expected"
            )
        if lengths is None:
            return
        steps, batch = scores.shape[:2]
        if lengths.shape != (batch,) or lengths.is_floating_point() or lengths.dtype == torch.bool:
            raise ShapeError(
                f"ConditionalRandomField: lengths are {tuple(lengths.shape)} of {lengths.dtype}, {batch} integers are "
                "expected, one for each sequence of the batch"
            )
        if batch and not 0 <= int(lengths.min()) <= int(lengths.max()) <= steps:
            raise ShapeError(
                f"ConditionalRandomField: lengths run from {int(lengths.min())} to {int(lengths.max())}, values from 0 "
                f"to {steps}, the number of steps, are expected"
            )


def log_partition(scores: Tensor, weights: Steps, lengths: Tensor | None = None) -> Tensor:
    """The logarithm of the sum over all sequences of labels of the exponential of their score (B,).

    The forward algorithm: one step for all sequences side by side at a time.

    Args:
        scores: (T, B, K).
        weights: of neighbouring labels.
        lengths: (B,); None: all are T.
    """
    if not len(scores):
        return scores.new_zeros(scores.shape[1])
    valid, shortest = _valid(scores, lengths), _shortest(scores, lengths)
    first, *others = scores.unbind(0)  # its derivative is one stack; an index at each step would fill T tensors
    sums = first + weights.start
    for step, score in enumerate(others, 1):
        longer = (sums.unsqueeze(2) + weights.between).logsumexp(1) + score
        sums = longer if step < shortest else torch.where(valid[step].unsqueeze(1), longer, sums)
    total = (sums + weights.end).logsumexp(1)
    return total if shortest else torch.where(valid[0], total, 0.0)


@torch.no_grad()
def marginals(scores: Tensor, weights: Steps, lengths: Tensor | None = None) -> Tensor:
    """The probability of each label at each step, whatever the others are (T, B, K); 0 past each length.

    Args:
        scores: (T, B, K).
        weights: of neighbouring labels.
        lengths: (B,); None: all are T.
    """
    with torch.enable_grad():  # it is the derivative of the logarithm of the sum by the scores
        free = _full(scores.detach()).requires_grad_()
        fixed = Steps(*(part.detach() for part in weights))
        return torch.autograd.grad(log_partition(free, fixed, lengths).sum(), free)[0]


def best_labels(scores: Tensor, weights: Steps, lengths: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """The sequence of labels with the highest score, and that score: (T, B), 0 past each length, and (B,).

    Args:
        scores: (T, B, K).
        weights: of neighbouring labels.
        lengths: (B,); None: all are T.

    Source:
        Viterbi (1967), Error bounds for convolutional codes, IEEE Transactions on Information Theory 13.
    """
    if not len(scores):
        return scores.new_zeros(scores.shape[:2], dtype=torch.long), scores.new_zeros(scores.shape[1])
    valid, shortest = _valid(scores, lengths), _shortest(scores, lengths)
    stay = torch.arange(scores.shape[2], device=scores.device)
    best = scores[0] + weights.start
    origins: list[Tensor] = []
    for step in range(1, len(scores)):
        longer, origin = (best.unsqueeze(2) + weights.between).max(1)
        longer = longer + scores[step]
        if step >= shortest:  # past a sequence's end its label stays
            going_on = valid[step].unsqueeze(1)
            longer, origin = torch.where(going_on, longer, best), torch.where(going_on, origin, stay)
        best = longer
        origins.append(origin)
    total, label = (best + weights.end).max(1)
    labels = [label]
    for origin in reversed(origins):
        labels.append(origin.gather(1, labels[-1].unsqueeze(1)).squeeze(1))
    return torch.stack(labels[::-1]).where(valid, 0), total if shortest else total.where(valid[0], 0.0)


def forbidden_steps(names: Sequence[str]) -> Steps | None:
    """The steps that labels of spans can't take: into the middle of a span from outside of it.

    Args:
        names: of the labels, of IOB2 (`B-PER`, `I-PER`, `O`) or BIOES (also `E-PER` and `S-PER`: a span that was
            begun must end, too).

    Returns:
        Three bool tensors; None where the names are not of these schemes.

    Examples:
        >>> forbidden_steps(["O", "B-PER", "I-PER", "I-ORG"]).between.int()
        tensor([[0, 0, 1, 1],
                [0, 0, 0, 1],
                [0, 0, 0, 1],
                [0, 0, 1, 0]], dtype=torch.int32)
        >>> forbidden_steps(["NOUN", "VERB"])
    """
    parts = [tuple(name.split("-", 1)) if "-" in name else (name, "") for name in names]
    prefixes = {prefix for prefix, _ in parts}
    spans = "B" in prefixes and prefixes <= set("BIESO") and all(bool(kind) != (p == "O") for p, kind in parts)
    if not spans:
        return None
    closed = bool(prefixes & {"E", "S"})  # the end of a span is marked

    def wrong(before: tuple[str, ...], after: tuple[str, ...]) -> bool:
        if after[0] in "IE":
            return before[0] not in "BI" or before[1] != after[1]
        return closed and before[0] in "BI"

    outside = ("O", "")
    return Steps(
        torch.tensor([wrong(outside, part) for part in parts]),
        torch.tensor([[wrong(before, after) for after in parts] for before in parts]),
        torch.tensor([wrong(part, outside) for part in parts]),
    )


def _full(values: Tensor) -> Tensor:
    """In single precision at least: sums over a sequence are too long for half of it."""
    return values if values.dtype == torch.float64 else values.float()


def _path_score(scores: Tensor, labels: Tensor, valid: Tensor, weights: Steps) -> Tensor:
    """The score of given sequences of labels (B,)."""
    if not len(scores):
        return scores.new_zeros(scores.shape[1])
    chosen = scores.gather(2, labels.unsqueeze(2)).squeeze(2)
    chosen = torch.cat([chosen[:1] + weights.start[labels[:1]], chosen[1:] + weights.between[labels[:-1], labels[1:]]])
    last = labels.gather(0, (valid.sum(0) - 1).clamp(min=0).unsqueeze(0)).squeeze(0)
    return chosen.where(valid, 0.0).sum(0) + weights.end[last].where(valid[0], 0.0)


def _valid(scores: Tensor, lengths: Tensor | None) -> Tensor:
    """Which steps count (T, B)."""
    if lengths is None:
        return scores.new_ones(scores.shape[:2], dtype=torch.bool)
    return torch.arange(len(scores), device=scores.device).unsqueeze(1) < lengths.to(scores.device)


def _shortest(scores: Tensor, lengths: Tensor | None) -> int:
    """The number of steps that all sequences have."""
    return len(scores) if lengths is None or not lengths.numel() else int(lengths.min())
