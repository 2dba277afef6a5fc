"""Every option of training a language model, with its default, in one place.

Owns the names and defaults that Python, the command line and the run's config.json share, and the preset
`min-char-rnn`. Never imports torch: the command line's help reads the defaults from here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from ifog.errors import ConfigError
from ifog.tasks.options import TaskOptions

__all__ = ["MIN_CHAR_RNN", "LanguageOptions"]

TOKENIZERS = ("char", "byte", "word", "bpe")

MIN_CHAR_RNN: Mapping[str, Any] = {
    "cell": "elman",
    "hidden_size": 100,
    "embedding_size": 0,
    "batch_size": 1,
    "sequence": 25,
    "optimizer": "adagrad",
    "learning_rate": 0.1,
    "weight_decay": 0.0,
    "schedule": "constant",
    "warmup": 0.0,
    "clipping": "value",
    "clip": 5.0,
    "average": 0.0,
    "evaluate_every": 100,
    "log_every": 100,
    "validation_fraction": 0.0,
    "precision": "32-true",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class LanguageOptions(TaskOptions):
    """How a language model is built and trained; each field is an option of `ifog.train` and `ifog train`.

    Attributes:
        tokenizer: "char" (every character of the corpus is a token), "byte" (UTF-8 bytes, 256 tokens), "word" (split at
            white space, each line's end a token) or "bpe" (pieces of words, learned from the corpus).
        vocabulary_size: most tokens of "word" and "bpe"; none: every word, or 8,192 pieces.
        validation_fraction: share of the text, at its end, that is held back to judge the model; with 0 it is judged
            on the text it was trained on.
        model: recurrent (described by the options here), or by its own options one of `ifog.models.MODELS`: window,
            maxent, regularised, mogrifier, projected, transformer.
        model_options: the options of such a model, such as sizes=[650,650].
        embedding_size: numbers per token handed to the first layer; 0 gives tokens straight to the cell.
        tied: use the embedding as the output matrix too; needs the embedding to be as wide as the last layer.
        backend: what runs the recurrence: auto chooses the fastest that can.
        batch_size: parallel streams through the text. More use the machine better, fewer update more often.
        sequence: time steps per chunk: how far back gradients reach; the state goes on further. 25 to 200 are common.
        min_char_rnn: the lectures' program exactly: an Elman cell of 100 units, 25 steps, Adagrad at 0.1, the summed
            loss, one stream over the whole text, weights from N(0, 0.01²), gradients clipped to ±5, a sample every 100
            updates. Other options given still count.

    The other fields are those of `TaskOptions`.

    Raises:
        ConfigError: an option out of its range.
    """

    tokenizer: str = "char"
    vocabulary_size: int | None = None
    model: str = "recurrent"
    model_options: Mapping[str, Any] = dataclasses.field(default_factory=dict[str, Any])
    hidden_size: int = 384
    embedding_size: int = 64
    tied: bool = False
    backend: str = "auto"
    batch_size: int = 16
    sequence: int = 64
    min_char_rnn: bool = False
    learning_rate: float = 6e-3
    warmup: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.tokenizer not in TOKENIZERS:
            raise ConfigError(f"options: tokenizer is {self.tokenizer!r}; give one of {', '.join(TOKENIZERS)}.")
        self.counts(batch_size="parallel streams", sequence="time steps per chunk")
        if self.min_char_rnn and self.batch_size != 1:
            raise ConfigError(
                f"options: min-char-rnn reads one stream, but batch_size is {self.batch_size}; "
                "leave batch_size out, or train without min_char_rnn."
            )

    @classmethod
    def given(cls, *, min_char_rnn: bool = False, **chosen: Any) -> LanguageOptions:
        """The options somebody chose, over the defaults or over min-char-rnn's.

        Raises:
            ConfigError: an unknown name (the nearest known one is offered), or a value out of its range.
        """
        preset: Mapping[str, Any] = MIN_CHAR_RNN if min_char_rnn else {}
        return super().given(**{**preset, **chosen, "min_char_rnn": min_char_rnn})
