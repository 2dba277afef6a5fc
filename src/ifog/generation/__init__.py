"""Making text: from a model's scores to the next token, one at a time."""

from __future__ import annotations

from ifog.generation.sampling import Sampling, generate, probabilities, sample, stream

__all__ = ["Sampling", "generate", "probabilities", "sample", "stream"]
