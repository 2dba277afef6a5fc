"""Search for the likeliest continuation, where drawing would give a likely one.

Owns the beam: the best few continuations so far and the model's state after each. Takes a model and ids, gives ids and
their log-probability. Never draws.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from ifog.errors import ConfigError

if TYPE_CHECKING:
    from ifog.models import NextTokenModel

__all__ = ["Beam", "beam_search"]


class Beam(NamedTuple):
    """One continuation.

    Attributes:
        ids: What was added to the prime, its stop token included.
        log_prob: Of all of them together, given the prime.
    """

    ids: list[int]
    log_prob: float


@torch.no_grad()
def beam_search(
    model: NextTokenModel,
    prime: Tensor,
    length: int,
    *,
    width: int = 5,
    stop: Collection[int] | Callable[[Sequence[int]], bool] = (),
    length_penalty: float = 0.0,
    state: Any = None,
) -> list[Beam]:
    """The `width` best continuations found, the best one first.

    At each step every kept continuation is followed by every token, and the best `width` are kept. With a width of 1 it
    is greedy; a width of V ** (length - 1) would find the best of all.

    Args:
        model: In evaluation mode.
        prime: (T, 1) ids that are read first; at least one.
        length: Tokens to add at most.
        width: Continuations kept.
        stop: Tokens that end a continuation; or what tells of all ids added so far whether they end it.
        length_penalty: a: continuations are ranked by log-probability / length ** a, so that 0 favours short ones and 1
            compares means (Wu et al. 2016, arXiv:1609.08144).
        state: The model's state before the prime.

    Raises:
        ConfigError: A width or length below 1, or a prime that is not (T, 1).

    Examples:
        >>> from ifog.models import LanguageModel
        >>> model = LanguageModel(5, hidden_size=4).eval()
        >>> found = beam_search(model, torch.zeros(1, 1, dtype=torch.long), 3, width=2)
        >>> [len(beam.ids) for beam in found], found[0].log_prob >= found[1].log_prob
        ([3, 3], True)
    """
    if width < 1 or length < 1 or prime.dim() != 2 or prime.shape[1] != 1 or not len(prime):
        raise ConfigError(
            f"beam search: width {width} and length {length} must be 1 or more, and the prime (T, 1) with T of 1 or "
            f"more, not {tuple(prime.shape)}."
        )
    scores, state = model.forward(prime, state)
    alive, total, states = [list[int]()], scores.new_zeros(1), [state]
    step = scores[-1].float().log_softmax(-1)  # (continuations, V)
    ended: list[Beam] = []
    for made in range(1, length + 1):
        best, flat = (total.unsqueeze(1) + step).flatten().topk(min(width, step.numel()))
        grown: list[tuple[int, Beam]] = []  # each with what it grew from
        for place, log_prob in zip(flat, best, strict=True):
            parent, token = divmod(int(place), step.shape[1])
            grown.append((parent, Beam([*alive[parent], token], float(log_prob))))
        done = [made == length or _ends(beam.ids, stop) for _, beam in grown]
        ended += [beam for (_, beam), over in zip(grown, done, strict=True) if over]
        going = [one for one, over in zip(grown, done, strict=True) if not over]
        if not going or _settled(ended, going[0][1].log_prob, width, length_penalty):
            break
        # each by itself: where in a state the sequences lie is the model's own business
        read = [model.forward(prime.new_full((1, 1), beam.ids[-1]), states[parent]) for parent, beam in going]
        alive, total = [beam.ids for _, beam in going], step.new_tensor([beam.log_prob for _, beam in going])
        states, step = [s for _, s in read], torch.cat([y[-1] for y, _ in read]).float().log_softmax(-1)
    return sorted(ended, key=lambda b: b.log_prob / len(b.ids) ** length_penalty, reverse=True)[:width]


def _ends(ids: list[int], stop: Collection[int] | Callable[[Sequence[int]], bool]) -> bool:
    return stop(ids) if callable(stop) else ids[-1] in stop


def _settled(ended: list[Beam], going: float, width: int, length_penalty: float) -> bool:
    """Whether nothing that goes on can still be among the best: log-probabilities only fall."""
    if length_penalty or len(ended) < width:
        return False
    return going <= sorted((b.log_prob for b in ended), reverse=True)[width - 1]
