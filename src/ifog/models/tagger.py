"""One label for each word of a sentence.

Owns the order of word and character vectors, recurrence and output, and what several models say together. Takes a batch
of ids with lengths, gives scores and labels; a model that reads in one direction also takes a state and gives the next,
for sequences in chunks and for single words. Never reads words; of labels it knows the names alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, overload

import torch
from torch import Tensor, nn
from torch.nn import functional

from ifog import cells
from ifog.cells import Cell
from ifog.errors import ConfigError
from ifog.layers import Recurrent
from ifog.layers.characters import CharacterEncoder
from ifog.layers.crf import ConditionalRandomField, Steps, best_labels, forbidden_steps, marginals
from ifog.layers.regularisation import locked_dropout
from ifog.models.interface import ModelConfig

__all__ = ["StreamingTagger", "Tagger", "TaggerConfig", "labels_of", "labels_together", "probabilities_of"]


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

    @property
    def reads_on(self) -> bool:
        """Whether a sequence may be read in chunks: no label depends on a word after it."""
        return not self.config.bidirectional and self.crf is None

    def forward(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Scores of each label for each word (T, B, K).

        Args:
            batch: "words" (T, B) with "words_lengths" (B,), and where words are spelled "spellings" (T, B, W).
        """
        return self.read(batch)[0]

    def read(self, batch: Mapping[str, Tensor], state: Any = None) -> tuple[Tensor, Any]:
        """Scores of each label for each word (T, B, K), and the state after the last words.

        Args:
            batch: as of `forward`; with "reset" (T, B) the state goes back to its start before the steps where it is
                true.
            state: after the words before, as this returned it; None at the start of the sequences.

        Raises:
            ConfigError: a state, and a model that can't go on from it.
        """
        if state is not None:
            self._check_reads_on()
        config, lengths = self.config, batch["words_lengths"]
        x = self.embedding(self._replaced(batch["words"]))
        if self.spelling is not None:
            x = torch.cat([x, self.spelling(batch["spellings"])], -1)
        x = locked_dropout(x, config.dropout, self.training)
        used = None if _whole(lengths, len(x)) else lengths
        outputs, state = self.recurrent(x, state, lengths=used, reset=batch.get("reset"))
        return self.output(locked_dropout(outputs, config.dropout, self.training)), state

    @overload
    def loss(self, batch: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]: ...

    @overload
    def loss(self, batch: Mapping[str, Tensor], state: Any, /) -> tuple[Tensor, dict[str, Tensor], Any]: ...

    def loss(self, batch: Mapping[str, Tensor], *state: Any) -> tuple[Any, ...]:
        """Mean nats per word of the true labels "tags" (T, B), no other figures, and the next state if one is given.

        Args:
            batch: as of `read`, with "tags".
            state: for sequences that are read in chunks: as of `read`, None at first.

        Raises:
            ConfigError: a state, or None in its place, and a model that can't go on from it.
        """
        if state:
            self._check_reads_on()
        scores, after = self.read(batch, *state)
        mean = self.nats(scores, batch)
        return (mean, {}, after) if state else (mean, {})

    def nats(self, scores: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
        """Mean nats per word of the true labels "tags" (T, B) by scores (T, B, K) that were made of the same batch."""
        lengths, tags = batch["words_lengths"], batch["tags"]
        if self.crf is not None:
            return -self.crf.log_prob(scores, tags, lengths).sum() / lengths.sum().clamp(min=1)
        valid = _valid(tags, lengths)
        smoothing = self.config.label_smoothing if self.training else 0.0
        return functional.cross_entropy(scores[valid].float(), tags[valid], label_smoothing=smoothing)

    def streaming(self, batch: int = 1) -> StreamingTagger:
        """Opens the model for one word at a time of `batch` sequences.

        Raises:
            ConfigError: labels depend on words that come later.
        """
        return StreamingTagger(self, batch)

    def decode(self, batch: Mapping[str, Tensor]) -> Tensor:
        """The best labels (T, B), 0 past each length."""
        return labels_together([self], batch)

    def _check_reads_on(self) -> None:
        if not self.reads_on:
            cause = "reads backwards, too" if self.config.bidirectional else "chooses all labels together (crf)"
            raise ConfigError(
                f"this tagger {cause}, so it needs whole sequences; for chunks and single steps build it with "
                "bidirectional=False and without a conditional random field."
            )

    def _replaced(self, words: Tensor) -> Tensor:
        """Some of the rare words as unknown ones, in training."""
        first, end = self.config.rare
        if not self.training or not self.config.word_dropout or first == end:
            return words
        chosen = torch.rand(words.shape, device=words.device) < self.config.word_dropout
        return words.masked_fill(chosen & (words >= first) & (words < end), 0)


class StreamingTagger:
    """A tagger opened for single words: state in, state out.

    Its recurrent weights are those of the moment when it was opened.

    Args:
        model: in evaluation mode; no label of its may depend on later words.
        batch: how many sequences go side by side (B).

    Raises:
        ConfigError: it is another model.

    Examples:
        >>> model = Tagger(TaggerConfig(30, labels=("NO", "YES"), bidirectional=False)).eval()
        >>> stream, state = model.streaming(), None
        >>> for word in (3, 7, 7):
        ...     probabilities, state = stream.step(torch.tensor([word]), state)
        >>> tuple(probabilities.shape)
        (1, 2)
    """

    def __init__(self, model: Tagger, batch: int = 1) -> None:
        model._check_reads_on()  # pyright: ignore[reportPrivateUsage]: these two are one thing
        if model.training:
            raise ConfigError("a model in training drops words at random; call eval() before streaming().")
        self.model = model
        self._stream = model.recurrent.streaming(batch)

    @torch.no_grad()
    def step(self, words: Tensor, state: Any = None, spellings: Tensor | None = None) -> tuple[Tensor, Any]:
        """The probability of each label for the next word of each sequence (B, K), and the next state.

        Args:
            words: ids (B,).
            state: as it was returned, None at the start of the sequences.
            spellings: ids of the words' characters (B, W), where words are spelled.

        Raises:
            ShapeError: another number of words than the stream was opened for, or a state that doesn't fit.
            ConfigError: spellings are missing.
        """
        x = self.model.embedding(words)
        if self.model.spelling is not None:
            if spellings is None:
                raise ConfigError("step: this tagger spells its words; give spellings=, the ids of their characters.")
            x = torch.cat([x, self.model.spelling(spellings.unsqueeze(0)).squeeze(0)], -1)
        output, state = self._stream.step(x, state)
        return self.model.output(output).float().softmax(-1), state


def labels_together(models: Sequence[Tagger], batch: Mapping[str, Tensor]) -> Tensor:
    """The best labels by the models' mean (T, B), 0 past each length; see `labels_of`.

    Args:
        models: in evaluation mode, with the same labels.
        batch: see `Tagger.forward`.

    Raises:
        ConfigError: some of the models have a conditional random field and others not.
    """
    with torch.no_grad():
        return labels_of(models, [model(batch) for model in models], batch["words_lengths"])


@torch.no_grad()
def labels_of(models: Sequence[Tagger], scores: Sequence[Tensor], lengths: Tensor) -> Tensor:
    """The best labels by the models' mean (T, B), 0 past each length.

    The mean is of probabilities; of conditional random fields, of the scores and weights, that is the geometric mean of
    the probabilities of whole sequences.

    Args:
        models: with the same labels.
        scores: each model's (T, B, K).
        lengths: (B,).

    Raises:
        ConfigError: some of the models have a conditional random field and others not.
    """
    together, weights = _together(models, scores)
    if weights is None:
        return together.argmax(-1).where(_valid(together, lengths), 0)
    return best_labels(together, weights, lengths)[0]


@torch.no_grad()
def probabilities_of(models: Sequence[Tagger], scores: Sequence[Tensor], lengths: Tensor) -> Tensor:
    """The probability of each label by itself, by the models' mean (T, B, K); arguments and mean as of `labels_of`."""
    together, weights = _together(models, scores)
    return together if weights is None else marginals(together, weights, lengths)


def _together(models: Sequence[Tagger], scores: Sequence[Tensor]) -> tuple[Tensor, Steps | None]:
    """The models' mean probabilities; of conditional random fields, their mean scores and mean weights."""
    fields = [model.crf for model in models if model.crf is not None]
    every = torch.stack([each.float() for each in scores])
    if not fields:
        return every.softmax(-1).mean(0), None
    if len(fields) < len(models):
        raise ConfigError("taggers with and without a conditional random field can't decide together; give one kind.")
    weights = zip(*(crf.weights() for crf in fields), strict=True)
    return every.mean(0), Steps(*(torch.stack(parts).mean(0) for parts in weights))


def _valid(values: Tensor, lengths: Tensor) -> Tensor:
    """Which steps of (T, B) count."""
    return torch.arange(len(values), device=values.device).unsqueeze(1) < lengths


def _whole(lengths: Tensor, steps: int) -> bool:
    """Whether all sequences are of one length, so that nothing needs a mask."""
    return lengths.device.type == "cpu" and bool((lengths == steps).all())
