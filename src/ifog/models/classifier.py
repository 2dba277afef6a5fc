"""One answer for a whole sequence: its class, or a number.

Owns the order of embedding, recurrence, pooling and output. Takes a batch of ids or vectors with lengths, gives scores.
Never reads words or names classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ifog import cells
from ifog.cells import Cell
from ifog.errors import ConfigError
from ifog.layers import Recurrent
from ifog.layers.dropout import dropout
from ifog.layers.pooling import Pooling, PoolingName
from ifog.layers.regularisation import embed_with_word_dropout, locked_dropout
from ifog.models.interface import ModelConfig

__all__ = ["Classifier", "ClassifierConfig"]


@dataclass(frozen=True)
class ClassifierConfig(ModelConfig):
    """Shapes and rates of a classifier.

    Attributes:
        vocabulary_size: V where the input is ids; 1 where it is vectors.
        features: D, the size of an input vector; 0 where the input is ids.
        classes: C; 0 for a model that says a number.
        cell: the recurrence's name in `ifog.cells.CATALOGUE`.
        embedding_size: numbers per id; 0 gives ids straight to the cell.
        hidden_size: units of a layer and direction.
        num_layers: recurrent layers on top of each other.
        bidirectional: whether layers also read backwards.
        pooling: how outputs become one vector, see `ifog.layers.pooling.Pooling`.
        dropout: share of the embeddings' and of the pooled vector's values dropped, and between layers.
        word_dropout: share of ids whose embedding is dropped.
        label_smoothing: share of the truth spread over all classes.
        options: the cell's own options.

    Raises:
        ConfigError: a value out of its range.
    """

    features: int = 0
    classes: int = 2
    cell: str = "lstm"
    embedding_size: int = 100
    hidden_size: int = 128
    num_layers: int = 1
    bidirectional: bool = True
    pooling: PoolingName = "max"
    dropout: float = 0.0
    word_dropout: float = 0.0
    label_smoothing: float = 0.0
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def __post_init__(self) -> None:
        super().__post_init__()
        self.whole(features=0, classes=0, embedding_size=0, hidden_size=1, num_layers=1)
        self.shares("dropout", "word_dropout", "label_smoothing")
        if self.classes == 1:
            raise ConfigError("ClassifierConfig: classes is 1, but there is nothing to tell apart; give 2 or more.")


class Classifier(nn.Module):
    """Embedding, recurrent layers of any cell, pooling, output.

    Args:
        config: Shapes and rates.
        cell: A cell of one's own in place of the catalogue's.
        class_weights: How much each class counts in the loss (C,).
        scale: What vectors are divided by, and before that what is taken away from them: mean and scale, each (D,).

    Examples:
        >>> model = Classifier(ClassifierConfig(30, classes=3, hidden_size=4))
        >>> batch = {"inputs": torch.ones(7, 2, dtype=torch.long), "inputs_lengths": torch.tensor([7, 3])}
        >>> tuple(model(batch).shape)
        (2, 3)
    """

    def __init__(
        self,
        config: ClassifierConfig,
        cell: Cell | None = None,
        *,
        class_weights: Tensor | None = None,
        scale: tuple[Tensor, Tensor] | None = None,
    ) -> None:
        super().__init__()
        self.config = config
        width: int | None = config.features or config.embedding_size or None
        self.embedding = (
            nn.Embedding(config.vocabulary_size, config.embedding_size)
            if not config.features and config.embedding_size
            else None
        )
        if self.embedding is not None:
            # small, so that a word seen once or twice says little until it has learned to say something
            nn.init.uniform_(self.embedding.weight, -0.1, 0.1)
        self.recurrent = Recurrent(
            cell or cells.get(config.cell),
            width,
            config.hidden_size,
            config.num_layers,
            vocabulary=None if width else config.vocabulary_size,
            bidirectional=config.bidirectional,
            dropout=config.dropout if config.num_layers > 1 else 0.0,
            **config.options,
        )
        self.pooling = Pooling(config.pooling, self.recurrent.output_size, bidirectional=config.bidirectional)
        self.output = nn.Linear(self.recurrent.output_size, config.classes or 1)
        mean, divisor = scale or (torch.zeros(1), torch.ones(1))
        self.class_weights: Tensor | None
        self.mean: Tensor
        self.divisor: Tensor
        self.register_buffer("class_weights", class_weights, persistent=False)
        self.register_buffer("mean", mean, persistent=False)
        self.register_buffer("divisor", divisor, persistent=False)

    def forward(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Scores whose softmax is the distribution over classes (B, C), or numbers (B,)."""
        lengths = batch["inputs_lengths"]
        outputs, _ = self.recurrent(self._inputs(batch["inputs"]), lengths=None if _equal(lengths) else lengths)
        pooled = dropout(self.pooling(outputs, lengths), self.config.dropout, self.training)
        scores = self.output(pooled)
        return scores if self.config.classes else scores.squeeze(-1)

    def loss(self, batch: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Mean cross-entropy in nats and accuracy; of numbers the mean squared error."""
        scores = self(batch)
        if not self.config.classes:
            return functional.mse_loss(scores, batch["label"].to(scores)), {}
        loss = functional.cross_entropy(
            scores,
            batch["label"],
            weight=self.class_weights,
            label_smoothing=self.config.label_smoothing if self.training else 0.0,
        )
        return loss, {"accuracy": (scores.detach().argmax(-1) == batch["label"]).double().mean()}

    def _inputs(self, x: Tensor) -> Tensor:
        if self.config.features:
            return (x.to(self.output.weight) - self.mean) / self.divisor
        if self.embedding is None:
            return x
        vectors = embed_with_word_dropout(self.embedding, x, self.config.word_dropout, self.training)
        return locked_dropout(vectors, self.config.dropout, self.training)


def _equal(lengths: Tensor) -> bool:
    """Whether all sequences are of one length, so that nothing needs a mask."""
    return lengths.device.type == "cpu" and bool((lengths == lengths[0]).all())
