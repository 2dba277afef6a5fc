"""What happens when a model reads its whole softmax instead of one token drawn from it: the lectures' question.

Owns the loop and its record. Takes a model with an embedding, gives the entropy of every step. Never draws.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from ifog.errors import ConfigError

if TYPE_CHECKING:
    from ifog.models import LanguageModel

__all__ = ["Feedback", "feed_softmax_back"]


class Feedback(NamedTuple):
    """What was seen.

    Attributes:
        entropy: Of the distribution at each step, in nats (length,).
        likeliest: The likeliest token at each step (length,).
    """

    entropy: Tensor
    likeliest: Tensor


@torch.no_grad()
def feed_softmax_back(
    model: LanguageModel, prime: Tensor, length: int, *, temperature: float = 1.0, state: Any = None
) -> Feedback:
    """Let a model go on from a prime, reading at each step the mean of all embeddings, weighted by their probabilities.

    A drawn token tells the model what was decided; the mean of all leaves everything open. The entropy shows what comes
    of that: whether it settles, or spreads over all that could have been.

    Args:
        model: In evaluation mode, with an embedding.
        prime: (T, 1) ids that are read first; at least one.
        length: Steps to make.
        temperature: What the scores are divided by before the softmax; near 0 the likeliest token alone is read.
        state: The model's state before the prime.

    Raises:
        ConfigError: A model without an embedding, a temperature or length that is not positive, or an empty prime.

    Examples:
        >>> from ifog.models import LanguageModel
        >>> model = LanguageModel(5, hidden_size=4, embedding_size=3).eval()
        >>> seen = feed_softmax_back(model, torch.zeros(2, 1).long(), 6)
        >>> tuple(seen.entropy.shape), bool((seen.entropy <= torch.tensor(5.0).log() + 1e-6).all())
        ((6,), True)
    """
    if model.embedding is None:
        raise ConfigError(
            "softmax feedback: this model reads ids themselves and has no embedding to take a mean of; train one with "
            "an embedding_size above 0."
        )
    if temperature <= 0 or length < 1 or not len(prime):
        raise ConfigError(
            f"softmax feedback: temperature {temperature} and length {length} must be above 0, and the prime not empty."
        )
    scores, state = model(prime, state)
    entropy: list[Tensor] = []
    likeliest: list[Tensor] = []
    for _ in range(length):
        log_share = (scores[-1:].float() / temperature).log_softmax(-1)  # (1, 1, V)
        share = log_share.exp()
        entropy.append(-(share * log_share.clamp_min(-1e4)).sum())
        likeliest.append(log_share.argmax())
        vectors, state = model.recurrent(share @ model.embedding.weight, state)
        scores = functional.linear(vectors, model.output_matrix, model.b_y)
    return Feedback(torch.stack(entropy), torch.stack(likeliest))
