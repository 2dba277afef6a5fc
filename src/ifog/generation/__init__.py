"""Making text: from a model's scores to the next token, one at a time."""

from __future__ import annotations

from ifog.generation.beam import Beam, beam_search
from ifog.generation.feedback import Feedback, feed_softmax_back
from ifog.generation.sampling import Sampling, generate, probabilities, sample, stream

__all__ = [
    "Beam",
    "Feedback",
    "Sampling",
    "beam_search",
    "feed_softmax_back",
    "generate",
    "probabilities",
    "sample",
    "stream",
]
