"""Every option of training a classifier, or a model that says a number, with its default.

Owns the names and defaults. Never imports torch: the command line's help reads the defaults from here.
"""

from __future__ import annotations

import dataclasses

from ifog.errors import ConfigError
from ifog.tasks.options import TaskOptions

__all__ = ["ClassificationOptions"]

TOKENIZERS = ("word", "char")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClassificationOptions(TaskOptions):
    """How a classifier, or a model that says a number, is built and trained.

    Attributes:
        input: the column to read: of texts, or of series (arrays (T, D)); none: "text" or its like, "series", or the
            column of the longest texts.
        label: the column to predict; none: "label" or its like, or the column of the fewest different values.
        tokenizer: what a text is cut into, "word" (words and marks) or "char".
        charset: how the characters of the files are encoded.
        lower: whether capitals are read as small letters.
        minimum_count: how often a token must occur in training to be known.
        embedding_size: numbers per token.
        bidirectional: whether layers also read backwards.
        pooling: how outputs become one vector: "last", "mean", "max" or "attention".
        word_dropout: share of tokens whose embedding is dropped.
        label_smoothing: share of the truth spread over all classes.
        class_weights: "none", or "balanced": classes count as if all were equally frequent.

    The other fields are those of `TaskOptions`.
    """

    input: str | None = None
    label: str | None = None
    tokenizer: str = "word"
    charset: str = "utf-8"
    lower: bool = True
    minimum_count: int = 1
    embedding_size: int = 100
    bidirectional: bool = True
    pooling: str = "max"
    dropout: float = 0.3
    word_dropout: float = 0.0
    label_smoothing: float = 0.0
    class_weights: str = "none"
    batch_size: int = 32

    def __post_init__(self) -> None:
        super().__post_init__()
        self.counts(minimum_count="occurrences")
        for name, known in (("tokenizer", TOKENIZERS), ("class_weights", ("none", "balanced"))):
            if getattr(self, name) not in known:
                raise ConfigError(f"options: {name} is {getattr(self, name)!r}; give one of {', '.join(known)}.")
