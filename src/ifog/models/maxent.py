"""A recurrent network beside a hashed maximum-entropy n-gram model, trained as one.

Owns the hash of contexts and the table of features. Takes ids (T, B), gives scores; the state is the recurrence's and
the last ids. Never counts an n-gram: collisions in the table are left to learning.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import Tensor, nn

from ifog.errors import ConfigError
from ifog.layers import Recurrent
from ifog.layers.adaptive import AdaptiveSoftmax
from ifog.layers.cross_entropy import Windows, mean_nats
from ifog.layers.dropout import Dropout
from ifog.models.interface import HiddenModel, ModelConfig, check_history

__all__ = ["MaxentConfig", "MaxentModel", "context_offsets"]

# odd 62-bit multipliers; a product that overflows wraps around, which is as good for a hash
_STEP, _MIX = 0x2545F4914F6CDD1D, 0x369DEA0F31A53F85


@dataclass(frozen=True)
class MaxentConfig(ModelConfig):
    """Shapes of a recurrent network with maximum-entropy features.

    Attributes:
        order: n of the longest n-gram feature: it reads the n - 1 words before; 1 leaves the features out.
        table_bits: m: all features share 2^m numbers.
        cell: the recurrence's name in `ifog.cells.CATALOGUE`.
        hidden_size: H, units per layer.
        num_layers: recurrent layers.
        embedding_size: numbers per word; 0 gives the ids straight to the cell.
        dropout: share of values dropped before, between and after the layers, in training.
        feature_dropout: share of contexts dropped, each with all its features, in training.
        feature_rate: how many times the network's learning rate the features learn at, by plain gradient descent: a
            feature's score is the square root of this times its number in the table.
        cutoffs: where the softmax's bands of rarer words begin; None chooses them from the vocabulary's size.
        options: the cell's own options.

    Raises:
        ConfigError: a value out of its range, or a table shorter than the vocabulary.
    """

    order: int = 3
    table_bits: int = 22
    cell: str = "sigmoid_rnn"
    hidden_size: int = 200
    num_layers: int = 1
    embedding_size: int = 0
    dropout: float = 0.0
    feature_dropout: float = 0.0
    feature_rate: float = 1.0
    cutoffs: tuple[int, ...] | None = None
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def __post_init__(self) -> None:
        super().__post_init__()
        self.whole(order=1, table_bits=1, hidden_size=1, num_layers=1, embedding_size=0)
        self.shares("dropout", "feature_dropout")
        if not 0 < self.feature_rate < math.inf:
            raise ConfigError(
                f"MaxentConfig: feature_rate is {self.feature_rate!r}, but features must learn: give a number above 0, "
                "or order=1 to leave them out."
            )
        bands = 2 if self.cutoffs is None else len(self.cutoffs)  # no more than two are chosen
        row = self.vocabulary_size + bands
        if self.order > 1 and 2**self.table_bits < row:
            raise ConfigError(
                f"MaxentConfig: table_bits={self.table_bits} gives a table of {2**self.table_bits:,} numbers, but each "
                f"context needs a row of {row:,} there, one for each word and for each of {bands} bands; give "
                f"table_bits={row.bit_length()} or more."
            )


def context_offsets(history: Tensor, orders: int, places: int) -> Tensor:
    """Where the row of each context begins in the table, for contexts of 1 to `orders` words.

    Args:
        history: (orders - 1 + T, B) ids, of which the last T are the steps.
        orders: the longest context.
        places: offsets are below this.

    Returns:
        (T, B, orders) int64.
    """
    steps = len(history) - orders + 1
    found: list[Tensor] = []
    code = torch.zeros_like(history[:steps])
    for k in range(orders):
        word = history[orders - 1 - k : orders - 1 - k + steps]
        code = (code + word + 1) * _STEP + k
        mixed = (code ^ (code >> 31)) * _MIX
        found.append((mixed ^ (mixed >> 29)).remainder(places))
    return torch.stack(found, -1)


class MaxentModel(HiddenModel):
    """RNN-ME: to the network's scores come those of n-gram features, `y = W h + b + sum over k of table[o_k + v]`.

    A feature is a context of k words and the word v that may follow. A hash of the context chooses an offset o_k in
    one table, and the features of all words are the numbers from there on: so a token's features are K stretches of
    memory instead of K times V hashes. The network learns what the n-grams leave over. The table starts at zero.

    Where the paper divides words into classes, the softmax here has bands: a band is predicted as a word is, from
    features of its own, and the features of its words are touched only by the tokens that lie in it.

    Whole contexts are dropped in training, so that the long ones, most of which are seen once, can't learn alone what
    shorter ones and the network could have said.

    Source:
        Mikolov, Deoras, Povey, Burget and Černocký (2011), Strategies for training large scale neural network language
        models.

    Examples:
        >>> model = MaxentModel(MaxentConfig(30, table_bits=8, hidden_size=8))
        >>> scores, (recurrence, words) = model(torch.zeros(7, 2, dtype=torch.long))
        >>> tuple(scores.shape), tuple(words.shape)
        ((7, 2, 30), (2, 2))
    """

    def __init__(self, config: MaxentConfig) -> None:
        super().__init__()
        self.config = config
        size = config.embedding_size
        self.embedding = nn.Embedding(config.vocabulary_size, size) if size else None
        if self.embedding is not None:
            nn.init.normal_(self.embedding.weight, std=0.1)
        self.recurrent = Recurrent(
            config.cell,
            size or None,
            config.hidden_size,
            config.num_layers,
            vocabulary=None if size else config.vocabulary_size,
            dropout=config.dropout,
            **config.options,
        )
        self.dropout = Dropout(config.dropout)
        self.softmax = AdaptiveSoftmax(self.recurrent.output_size, config.vocabulary_size, config.cutoffs)
        self.table = nn.Parameter(torch.zeros(2**config.table_bits)) if config.order > 1 else None

    @property
    def _adaptive(self) -> AdaptiveSoftmax:
        return cast("AdaptiveSoftmax", self.softmax)

    def hidden(self, ids: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """The network's own vectors (T, B, H), without the features, and the next state."""
        vectors, _, state = self._read(ids, state)
        return vectors, state

    def forward(self, ids: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """Scores (T, B, V), which are log-probabilities, and the next state."""
        vectors, windows, state = self._read(ids, state)
        return self._adaptive.log_prob(vectors.flatten(0, 1), windows).view(*ids.shape, -1), state

    def loss(self, ids: Tensor, targets: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """Mean nats per token (a scalar), and the next state; negative targets don't count."""
        vectors, windows, state = self._read(ids, state)
        flat = targets.flatten()
        return mean_nats(self._adaptive.loss(vectors.flatten(0, 1), flat, windows), flat), state

    def log_prob(self, ids: Tensor, targets: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """The log-probability of each target (T, B), and the next state."""
        vectors, windows, state = self._read(ids, state)
        return self._adaptive.log_prob_of(vectors.flatten(0, 1), targets.flatten(), windows).view(ids.shape), state

    def _read(self, ids: Tensor, state: Any) -> tuple[Tensor, Windows | None, Any]:
        """The network's vectors, where the features of each token lie, and the next state."""
        inner, before = (None, None) if state is None else state
        x = ids if self.embedding is None else self.dropout(self.embedding(ids))
        vectors, inner = self.recurrent(x, inner)
        vectors, orders = self.dropout(vectors), self.config.order - 1
        shape = (max(orders, 1), ids.size(1))  # without features one id is kept all the same: no state is empty
        if before is None:
            before = ids.new_full(shape, self.config.vocabulary_size)
        history = torch.cat([check_history("MaxentModel", before, shape), ids])
        after = (inner, history[len(ids) :])
        if self.table is None:
            return vectors, None, after
        offsets = context_offsets(history[1:], orders, len(self.table) - self._adaptive.columns + 1).flatten(0, 1)
        dropped = self.config.feature_dropout if self.training else 0.0
        if dropped:
            offsets = offsets.masked_fill(torch.rand(offsets.shape, device=ids.device) < dropped, -1)
        scale = math.sqrt(self.config.feature_rate) / (1 - dropped)
        return vectors, Windows(self.table, offsets, scale), after
