"""A recurrent network beside a hashed maximum-entropy n-gram model, trained as one.

Owns the hash of contexts and the table of features. Takes ids (T, B), gives scores; the state is the recurrence's and
the last ids. Never counts an n-gram: collisions in the table are left to learning.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import Tensor, nn

from ifog.errors import ConfigError
from ifog.layers import Recurrent
from ifog.layers.cross_entropy import Windows, mean_nats, token_nats
from ifog.layers.softmax import FullSoftmax
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
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def __post_init__(self) -> None:
        super().__post_init__()
        self.whole(order=1, table_bits=1, hidden_size=1, num_layers=1, embedding_size=0)
        self.shares("dropout")
        if self.order > 1 and 2**self.table_bits < self.vocabulary_size:
            raise ConfigError(
                f"MaxentConfig: table_bits={self.table_bits} gives a table of {2**self.table_bits:,} numbers, but each "
                f"context needs a row of {self.vocabulary_size:,} there; give "
                f"table_bits={self.vocabulary_size.bit_length()} or more."
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
    one table, and the features of all V words are the V numbers from there on: so a token's features are K stretches of
    memory instead of K times V hashes. The network learns what the n-grams leave over. The table starts at zero.

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
        self.recurrent = Recurrent(
            config.cell,
            size or None,
            config.hidden_size,
            config.num_layers,
            vocabulary=None if size else config.vocabulary_size,
            dropout=config.dropout,
            **config.options,
        )
        self.dropout = nn.Dropout(config.dropout)
        self.softmax = FullSoftmax(self.recurrent.output_size, config.vocabulary_size)
        self.table = nn.Parameter(torch.zeros(2**config.table_bits)) if config.order > 1 else None

    def hidden(self, ids: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """The network's own vectors (T, B, H), without the features, and the next state."""
        vectors, _, state = self._read(ids, state)
        return vectors, state

    def forward(self, ids: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """Scores (T, B, V), and the next state."""
        vectors, windows, state = self._read(ids, state)
        scores = self.softmax.scores(vectors.flatten(0, 1))
        if windows is not None:
            words = torch.arange(self.config.vocabulary_size, device=ids.device)
            scores = scores + sum(windows.table[o.unsqueeze(1) + words] for o in windows.offsets.unbind(1))
        return scores.view(*ids.shape, -1), state

    def loss(self, ids: Tensor, targets: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """Mean nats per token (a scalar), and the next state; negative targets don't count."""
        nats, state = self._nats(ids, targets, state)
        return mean_nats(nats, targets.flatten()), state

    def log_prob(self, ids: Tensor, targets: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """The log-probability of each target (T, B), and the next state."""
        nats, state = self._nats(ids, targets, state)
        return -nats.view(ids.shape), state

    def _nats(self, ids: Tensor, targets: Tensor, state: Any) -> tuple[Tensor, Any]:
        vectors, windows, state = self._read(ids, state)
        flat = vectors.flatten(0, 1)
        softmax = cast("FullSoftmax", self.softmax)
        return token_nats(flat, softmax.matrix, softmax.b_y, targets.flatten(), windows), state

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
        places = len(self.table) - self.config.vocabulary_size + 1
        offsets = context_offsets(history[1:], orders, places)
        return vectors, Windows(self.table, offsets.flatten(0, 1)), after
