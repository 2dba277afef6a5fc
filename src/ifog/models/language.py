"""A recurrent language model: token ids in, a score for every possible next token out.

Owns the layers between ids and logits and the record of how they were built. Takes ids (T, B), gives
logits (T, B, V) and the state to go on from. Never reads text, and never knows how it is trained.
"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any, Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from ifog import cells
from ifog.cells import Cell
from ifog.compiler.precision import Precision
from ifog.errors import ConfigError
from ifog.layers import Recurrent
from ifog.layers.cross_entropy import mean_nats, token_nats
from ifog.layers.dropout import Dropout
from ifog.layers.starting import widen_inputs
from ifog.models.interface import ModelConfig

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["LanguageModel", "LanguageModelConfig"]


class Decoder(Protocol):
    """Turns ids into text one at a time; holds back bytes that end within a character."""

    def feed(self, token: int) -> str: ...
    def finish(self) -> str: ...


class Tokenizer(Protocol):
    """What a model's user needs to turn text into ids and back."""

    @property
    def vocabulary_size(self) -> int: ...
    def encode(self, text: str) -> Any: ...
    def decode(self, ids: Any) -> str: ...
    def decoder(self) -> Decoder: ...


@dataclasses.dataclass(frozen=True)
class LanguageModelConfig(ModelConfig):
    """Everything that fixes the shapes of a language model's weights.

    Attributes:
        cell: the recurrence's name in `ifog.cells.CATALOGUE`.
        hidden_size: H, units per layer.
        num_layers: L, recurrent layers on top of each other.
        embedding_size: numbers per token handed to the first layer; 0 gives the ids straight to the cell, whose
            input matrices then are lookup tables.
        dropout: share of values dropped after the embedding, between layers and before the output.
        tied: the output matrix is the embedding (needs `embedding_size == hidden_size`).
        options: the cell's own options.

    Raises:
        ConfigError: a value out of its range, or tied weights whose sizes differ.
    """

    cell: str = "lstm"
    hidden_size: int = 256
    num_layers: int = 1
    embedding_size: int = 0
    dropout: float = 0.0
    tied: bool = False
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict[str, Any])

    def __post_init__(self) -> None:
        super().__post_init__()
        self.whole(hidden_size=1, num_layers=1, embedding_size=0)
        self.shares("dropout")
        if self.tied and self.embedding_size != self.hidden_size:
            raise ConfigError(
                f"LanguageModelConfig: tied weights use the embedding as the output matrix, so both need one size, but "
                f"embedding_size is {self.embedding_size} and hidden_size is {self.hidden_size}; "
                f"give embedding_size={self.hidden_size}, or leave the weights untied."
            )


class LanguageModel(nn.Module):
    """Predict each next token: embedding (or none), recurrent layers of any cell, one output matrix.

    `y = W_hy h + b_y`, a softmax of which gives the probabilities of the next token. As in the lectures' programs,
    ids may go straight into the cell (`embedding_size=0`): multiplying by a one-hot vector only picks a column.

    Args:
        vocabulary_size: V, the number of different tokens.
        cell: a name in `ifog.cells.CATALOGUE`, or a cell of your own.
        hidden_size: H, units per layer.
        num_layers: L, recurrent layers on top of each other.
        embedding_size: numbers per token; 0 gives the ids straight to the cell.
        dropout: share of values dropped after the embedding, between layers and before the output.
        tied: use the embedding as the output matrix too (Press and Wolf 2017).
        precision: "fp32", or what enters the recurrence's matrix products is rounded to: "bf16" or "int16".
        backend: what runs the recurrence; "auto" chooses.
        options: the cell's own options, for example `{"peephole": True}`.

    Raises:
        ConfigError: a value out of its range.

    Examples:
        >>> import torch
        >>> model = LanguageModel(65, cell="gru", hidden_size=32)
        >>> ids = torch.randint(65, (7, 2))                       # (time, batch)
        >>> logits, state = model(ids)
        >>> tuple(logits.shape)                                   # (time, batch, vocabulary)
        (7, 2, 65)
        >>> logits, state = model(ids, state)                     # go on where the first call ended
    """

    tokenizer: Tokenizer | None

    def __init__(
        self,
        vocabulary_size: int,
        *,
        cell: str | Cell = "lstm",
        hidden_size: int = 256,
        num_layers: int = 1,
        embedding_size: int = 0,
        dropout: float = 0.0,
        tied: bool = False,
        precision: Precision = "fp32",
        backend: str = "auto",
        options: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        recurrence = cells.get(cell) if isinstance(cell, str) else cell
        self.config = LanguageModelConfig(
            vocabulary_size,
            cell if isinstance(cell, str) else cell.name,
            hidden_size,
            num_layers,
            embedding_size,
            dropout,
            tied,
            dict(options or {}),
        )
        self.embedding = nn.Embedding(vocabulary_size, embedding_size) if embedding_size else None
        self.recurrent = Recurrent(
            recurrence,
            embedding_size or None,
            hidden_size,
            num_layers,
            vocabulary=None if embedding_size else vocabulary_size,
            dropout=dropout,
            precision=precision,
            backend=backend,
            **self.config.options,
        )
        self.dropout = Dropout(dropout)
        self.W_hy = None if tied else nn.Parameter(torch.empty(vocabulary_size, self.recurrent.output_size))
        self.b_y = nn.Parameter(torch.zeros(vocabulary_size))
        self.tokenizer = None
        self.reset_parameters()

    @classmethod
    def from_config(
        cls, config: LanguageModelConfig, *, cell: Cell | None = None, backend: str = "auto"
    ) -> LanguageModel:
        """A freshly initialised model of the shapes `config` tells.

        Args:
            config: a model's `.config`.
            cell: the cell itself, where it isn't in the catalogue.
            backend: what runs the recurrence.
        """
        values: dict[str, Any] = {**config.to_dict(), "cell": cell or config.cell, "backend": backend}
        return cls(**values)

    def reset_parameters(self) -> None:
        """Draw the embedding, the matrices that multiply it and the output matrix anew.

        Both matrices begin in ± sqrt(6 / n) for n columns: 2,000 updates on a million characters of WikiText-2 end at
        1.45 nats where ± 1 / sqrt(H), as in `torch.nn`, ends at 1.55. What goes from step to step keeps what the cell
        chose.
        """
        if self.embedding is not None:
            nn.init.normal_(self.embedding.weight)
        # after the embedding, so that one that is tied starts small
        nn.init.kaiming_uniform_(self.output_matrix, nonlinearity="relu")
        tied = self.W_hy is None
        widen_inputs(self.recurrent, math.sqrt(2 / self.output_matrix.size(1)) if tied else 1.0)
        nn.init.zeros_(self.b_y)

    def forward(self, ids: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """Score every possible next token after each token.

        Args:
            ids: (T, B) int64.
            state: a NamedTuple of the cell's states, each (L, B, n), from the call before; None starts afresh.

        Returns:
            Logits (T, B, V), and the state after the last step.
        """
        outputs, state = self.hidden(ids, state)
        return functional.linear(outputs, self.output_matrix, self.b_y), state

    def hidden(self, ids: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """What the output matrix multiplies after each of the ids (T, B): (T, B, H), and the state after the last."""
        inputs = ids if self.embedding is None else self.dropout(self.embedding(ids))
        outputs, state = self.recurrent(inputs, state)
        return self.dropout(outputs), state

    def loss(self, ids: Tensor, targets: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """Mean nats per token (a scalar), without ever holding all scores, and the state after the last step.

        Args:
            ids: (T, B) int64.
            targets: (T, B), the ids that came next; a negative one doesn't count.
            state: from the call before; None starts afresh.
        """
        found, state = self.log_prob(ids, targets, state)
        return mean_nats(-found, targets), state

    def log_prob(self, ids: Tensor, targets: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """The log-probability of each target (T, B), 0 where the target is negative, and the next state."""
        outputs, state = self.hidden(ids, state)
        nats = token_nats(outputs.flatten(0, 1), self.output_matrix, self.b_y, targets.flatten())
        return -nats.view(ids.shape), state

    @property
    def output_matrix(self) -> Tensor:
        """W_hy (V, H): its own, or the embedding where weights are tied."""
        if self.W_hy is not None:
            return self.W_hy
        return cast("nn.Embedding", self.embedding).weight

    def initial_state(self, batch: int) -> Any:
        """The state before the first token, for `batch` sequences."""
        return self.recurrent.initial_state(batch)
