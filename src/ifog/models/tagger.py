"""One label for each word of a sentence.

Owns the order of word and character vectors, recurrence and output, and what several models say together. Takes a batch
of ids with lengths, gives scores and labels. Never reads words; of labels it knows the names alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ifog import cells
from ifog.cells import Cell
from ifog.errors import ConfigError
from ifog.layers import Recurrent
from ifog.layers.characters import CharacterEncoder
from ifog.layers.crf import ConditionalRandomField, Steps, best_labels, forbidden_steps
from ifog.layers.regularisation import locked_dropout
from ifog.models.interface import ModelConfig

__all__ = ["Tagger", "TaggerConfig", "labels_together"]


@dataclass(frozen=True)
class TaggerConfig(ModelConfig):
    """Shapes and rates of a tagger.

    Attributes:
        vocabulary_size: V, the number of ids of words; 0 is the unknown word.
        labels: their names, in the order of their scores.
        rare: words with ids from the first number to below the second are so rare that training replaces some of
            them by the unknown word, which else would never be learned.
        word_dropout: share of the rare words that are replaced.
        characters: number of ids of characters, see `CharacterEncoder`; 0: words are not spelled.
        embedding_size: numbers per word.
        character_embedding_size: numbers per character.
        character_hidden_size: units in each direction of the recurrence over characters.
        cell: the recurrences' name in `ifog.cells.CATALOGUE`.
        hidden_size: units of a layer and direction.
        num_layers: recurrent layers on top of each other.
        bidirectional: whether layers also read backwards.
        crf: whether labels depend on their neighbours (a conditional random field); labels of spans then always
            fit together.
        dropout: share of the columns of the words' vectors and of the outputs dropped, the same for a whole sentence,
            and between layers.
        label_smoothing: share of the truth spread over all labels; without `crf`.
        options: the cell's own options.

    Raises:
        ConfigError: a value out of its range.
    """

    labels: tuple[str, ...] = ("O",)
    rare: tuple[int, int] = (0, 0)
    word_dropout: float = 0.0
    characters: int = 0
    embedding_size: int = 100
    character_embedding_size: int = 32
    character_hidden_size: int = 32
    cell: str = "lstm"
    hidden_size: int = 128
    num_layers: int = 1
    bidirectional: bool = True
    crf: bool = False
    dropout: float = 0.0
    label_smoothing: float = 0.0
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def __post_init__(self) -> None:
        super().__post_init__()
        self.whole(characters=0, embedding_size=1, character_embedding_size=1, character_hidden_size=1)
        self.whole(hidden_size=1, num_layers=1)
        self.shares("dropout", "label_smoothing")
        if not self.labels or len(set(self.labels)) < len(self.labels):
            raise ConfigError(f"TaggerConfig: labels are {self.labels!r}; give at least one, each once.")
        if not 0 <= self.word_dropout <= 1:
            raise ConfigError(f"TaggerConfig: word_dropout is {self.word_dropout!r}; give a share from 0 to 1.")
        if not 0 <= self.rare[0] <= self.rare[1] <= self.vocabulary_size:
            raise ConfigError(
                f"TaggerConfig: rare is {self.rare!r}; give the first id and the one after the last of a vocabulary of "
                f"{self.vocabulary_size}."
            )
        if self.crf and self.label_smoothing:
            raise ConfigError("TaggerConfig: a conditional random field has no label smoothing; give one of the two.")


class Tagger(nn.Module):
    """Vectors of words and of their characters, a recurrence in both directions, and a label at each step.

    Args:
        config: Shapes and rates.
        cell: A cell of one's own in place of the catalogue's.
        vectors: Initial word vectors (V, D).

    Source:
        Huang, Xu and Yu (2015), Bidirectional LSTM-CRF models for sequence tagging, arXiv:1508.01991; Lample et al.
        (2016), Neural architectures for named entity recognition, arXiv:1603.01360.

    Examples:
        >>> model = Tagger(TaggerConfig(30, labels=("O", "B-PER", "I-PER"), characters=20, crf=True))
        >>> batch = {
        ...     "words": torch.ones(7, 2, dtype=torch.long),
        ...     "words_lengths": torch.tensor([7, 3]),
        ...     "spellings": torch.ones(7, 2, 5, dtype=torch.long),
        ... }
        >>> tuple(model(batch).shape), tuple(model.decode(batch).shape)
        ((7, 2, 3), (7, 2))
    """

    def __init__(self, config: TaggerConfig, cell: Cell | None = None, *, vectors: Tensor | None = None) -> None:
        super().__init__()
        self.config = config
        recurrence = cell or cells.get(config.cell)
        self.embedding = nn.Embedding(config.vocabulary_size, config.embedding_size)
        nn.init.uniform_(
            self.embedding.weight, -((3 / config.embedding_size) ** 0.5), (3 / config.embedding_size) ** 0.5
        )
        if vectors is not None:
            with torch.no_grad():
                self.embedding.weight.copy_(vectors)
        self.spelling = (
            CharacterEncoder(
                config.characters,
                embedding_size=config.character_embedding_size,
                hidden_size=config.character_hidden_size,
                cell=recurrence,
                options=config.options,
            )
            if config.characters
            else None
        )
        self.recurrent = Recurrent(
            recurrence,
            config.embedding_size + (self.spelling.output_size if self.spelling else 0),
            config.hidden_size,
            config.num_layers,
            bidirectional=config.bidirectional,
            dropout=config.dropout if config.num_layers > 1 else 0.0,
            **config.options,
        )
        self.output = nn.Linear(self.recurrent.output_size, len(config.labels))
        forbidden = forbidden_steps(config.labels)
        self.crf = ConditionalRandomField(len(config.labels), forbidden=forbidden) if config.crf else None

    def forward(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Scores of each label for each word (T, B, K).

        Args:
            batch: "words" (T, B) with "words_lengths" (B,), and where words are spelled "spellings" (T, B, W).
        """
        config, lengths = self.config, batch["words_lengths"]
        x = self.embedding(self._replaced(batch["words"]))
        if self.spelling is not None:
            x = torch.cat([x, self.spelling(batch["spellings"])], -1)
        x = locked_dropout(x, config.dropout, self.training)
        outputs, _ = self.recurrent(x, lengths=None if _equal(lengths) else lengths)
        return self.output(locked_dropout(outputs, config.dropout, self.training))

    def loss(self, batch: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Mean nats per word of the true labels "tags" (T, B); no other figures."""
        scores, lengths, tags = self(batch), batch["words_lengths"], batch["tags"]
        if self.crf is not None:
            return -self.crf.log_prob(scores, tags, lengths).sum() / lengths.sum().clamp(min=1), {}
        valid = _valid(tags, lengths)
        smoothing = self.config.label_smoothing if self.training else 0.0
        return functional.cross_entropy(scores[valid].float(), tags[valid], label_smoothing=smoothing), {}

    def decode(self, batch: Mapping[str, Tensor]) -> Tensor:
        """The best labels (T, B), 0 past each length."""
        return labels_together([self], batch)

    def _replaced(self, words: Tensor) -> Tensor:
        """Some of the rare words as unknown ones, in training."""
        first, end = self.config.rare
        if not self.training or not self.config.word_dropout or first == end:
            return words
        chosen = torch.rand(words.shape, device=words.device) < self.config.word_dropout
        return words.masked_fill(chosen & (words >= first) & (words < end), 0)


@torch.no_grad()
def labels_together(models: Sequence[Tagger], batch: Mapping[str, Tensor]) -> Tensor:
    """The best labels by the models' mean (T, B), 0 past each length.

    The mean is of probabilities; of conditional random fields, of the scores and weights, that is the geometric mean of
    the probabilities of whole sequences.

    Args:
        models: in evaluation mode, with the same labels.
        batch: see `Tagger.forward`.

    Raises:
        ConfigError: some of the models have a conditional random field and others not.
    """
    lengths = batch["words_lengths"]
    fields = [model.crf for model in models if model.crf is not None]
    scores = torch.stack([model(batch).float() for model in models])
    if not fields:
        return scores.softmax(-1).mean(0).argmax(-1).where(_valid(batch["words"], lengths), 0)
    if len(fields) < len(models):
        raise ConfigError("taggers with and without a conditional random field can't decide together; give one kind.")
    weights = Steps(*(torch.stack(parts).mean(0) for parts in zip(*(crf.weights() for crf in fields), strict=True)))
    return best_labels(scores.mean(0), weights, lengths)[0]


def _valid(values: Tensor, lengths: Tensor) -> Tensor:
    """Which steps of (T, B) count."""
    return torch.arange(len(values), device=values.device).unsqueeze(1) < lengths


def _equal(lengths: Tensor) -> bool:
    """Whether all sequences are of one length, so that nothing needs a mask."""
    return lengths.device.type == "cpu" and bool((lengths == lengths[0]).all())
