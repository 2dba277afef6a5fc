"""Making text: from a model's scores to the next token, one at a time."""

from __future__ import annotations

from ifog.generation.beam import Beam, beam_search
from ifog.generation.sampling import Sampling, generate, probabilities, sample, stream

__all__ = ["Beam", "Sampling", "beam_search", "generate", "probabilities", "sample", "stream"]
