"""Every option of training a tagger, with its default.

Owns the names and defaults. Never imports torch: the command line's help reads the defaults from here.
"""

from __future__ import annotations

import dataclasses

from ifog.errors import ConfigError
from ifog.tasks.options import TaskOptions

__all__ = ["CHUNK_AND_CRF", "TaggingOptions"]

OUTPUTS = ("auto", "softmax", "crf")
CHUNK_AND_CRF = (
    "options: chunk is given, but a conditional random field chooses all tags of a sequence together; give "
    "output='softmax' (--output softmax), or leave out chunk."
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TaggingOptions(TaskOptions):
    """How a tagger is built and trained.

    Attributes:
        words: the column of the words: a field of CoNLL-U, a name in JSON lines, a number from 1 in files of columns;
            none: "form", "words", 1.
        tags: the column of the tags; none: "upos", "tags", the last.
        output: what chooses the tags: "softmax" (each by itself), "crf" (together with their neighbours) or "auto":
            "crf" where tags mark spans.
        lower: whether capitals are read as small letters; spellings keep them.
        zero_digits: whether every digit is read as 0; spellings keep them.
        minimum_count: how often a word must occur in training to be known.
        vectors: a text file of pretrained word vectors, whose words become known, too.
        vectors_limit: how many of them to read, from the start.
        embedding_size: numbers per word.
        character_embedding_size: numbers per character.
        character_hidden_size: units in each direction of the recurrence over characters; 0: words are not spelled.
        longest_word: characters of a word that are read; of a longer one, the first and the last half of them.
        bidirectional: whether layers also read backwards.
        word_dropout: share of the words that occur once in training which are read as unknown.
        label_smoothing: share of the truth spread over all tags; with "softmax".
        chunk: steps of each sequence that one update learns from, for very long sequences: memory no longer grows with
            their length. The state is carried from chunk to chunk; `batch_size` sequences, or parts of them, are read
            side by side. Needs "softmax" and no reading backwards. 0: whole sequences.

    The other fields are those of `TaskOptions`.
    """

    words: str | None = None
    tags: str | None = None
    output: str = "auto"
    lower: bool = True
    zero_digits: bool = True
    minimum_count: int = 1
    vectors: str | None = None
    vectors_limit: int = 400_000
    embedding_size: int = 100
    character_embedding_size: int = 32
    character_hidden_size: int = 64
    longest_word: int = 24
    bidirectional: bool = True
    hidden_size: int = 200
    dropout: float = 0.5
    word_dropout: float = 0.5
    label_smoothing: float = 0.0
    batch_size: int = 32
    chunk: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.counts(
            minimum_count="occurrences", longest_word="characters", vectors_limit="vectors", embedding_size="numbers"
        )
        if self.output not in OUTPUTS:
            raise ConfigError(f"options: output is {self.output!r}; give one of {', '.join(OUTPUTS)}.")
        if not isinstance(self.chunk, int) or isinstance(self.chunk, bool) or self.chunk < 0:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigError(f"options: chunk is {self.chunk!r}, but it counts steps: give 1 or more, or 0 for all.")
        if self.chunk and self.bidirectional:
            raise ConfigError(
                f"options: chunk is {self.chunk}, but a bidirectional tagger needs each sequence whole; give "
                "bidirectional=False (--no-bidirectional), or leave out chunk."
            )
        if self.chunk and self.output == "crf":
            raise ConfigError(CHUNK_AND_CRF)

    def for_saved_weights(self) -> TaggingOptions:
        """Without pretrained vectors: saved weights have them in them, and their file may be gone or another."""
        return dataclasses.replace(self, vectors=None)

    @property
    def steps_at_once(self) -> int:
        """The chunk."""
        return self.chunk
