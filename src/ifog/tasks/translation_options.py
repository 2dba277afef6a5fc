"""The options of translation, with their defaults.

Owns what a translator adds to the options of every task. Never imports torch: the command line reads it for its help.
"""

from __future__ import annotations

import dataclasses

from ifog.errors import ConfigError
from ifog.tasks.options import TaskOptions

__all__ = ["TranslationOptions"]

_CHOICES = {"attention": ("general", "dot", "additive", "none"), "start": ("tanh", "copy", "zero")}


@dataclasses.dataclass(frozen=True, kw_only=True)
class TranslationOptions(TaskOptions):
    """How a translator is built, trained and asked; the defaults are made for some ten thousand pairs.

    Attributes:
        vocabulary_size: byte pairs at most, of source and target together if `joint`, otherwise of each.
        joint: whether source and target have one tokenizer and one embedding.
        embedding_size: numbers per token, and of the readout before the softmax.
        bidirectional: whether the encoder reads both ways, each direction with half of `hidden_size`.
        attention: "additive" (finds the words soonest), "general", "dot" or "none".
        input_feeding: whether each step reads the readout of the step before; slow.
        start: where the decoder's state comes from: "tanh", "copy" or "zero"; see `TranslatorConfig`.
        context: whether the encoder's last outputs enter every step of the decoder.
        tied: whether the target's embedding is the output matrix.
        label_smoothing: share of a target's probability that is spread over all tokens.
        scheduled_sampling: share of the decoder's inputs that are its own predictions at the end of the ramp.
        sampling_batches: training batches over which that share rises from 0.
        reversed_source: whether the source is read from its end (Sutskever et al. 2014).
        beam: hypotheses kept in the search; 1 is greedy.
        length_penalty: 0 favours short translations; see `BeamOptions`.
        coverage_penalty: what is never looked at costs; needs attention; see `BeamOptions`.

    Raises:
        ConfigError: an option out of its range.
    """

    hidden_size: int = 512
    dropout: float = 0.4
    batch_size: int = 64
    learning_rate: float = 1e-3
    vocabulary_size: int = 6000
    joint: bool = True
    embedding_size: int = 256
    bidirectional: bool = True
    attention: str = "additive"
    input_feeding: bool = False
    start: str = "tanh"
    context: bool = False
    tied: bool = True
    label_smoothing: float = 0.1
    scheduled_sampling: float = 0.0
    sampling_batches: int = 1000
    reversed_source: bool = False
    beam: int = 5
    length_penalty: float = 1.0
    coverage_penalty: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.counts(
            vocabulary_size="byte pairs",
            embedding_size="numbers per token",
            sampling_batches="training batches",
            beam="hypotheses that are kept",
        )
        for name, known in _CHOICES.items():
            if getattr(self, name) not in known:
                raise ConfigError(f"options: {name} is {getattr(self, name)!r}; give one of {', '.join(known)}.")
        if self.coverage_penalty and self.attention == "none":
            raise ConfigError(
                "options: coverage_penalty counts where the decoder has looked, but attention is 'none'; leave it out."
            )
