"""The feed-forward model over a window of words.

Owns how the last n - 1 ids become one hidden vector. Takes ids (T, B), gives vectors; its state is the window's ids.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ifog.layers.adaptive import make_softmax
from ifog.layers.dropout import Dropout
from ifog.models.interface import HiddenModel, ModelConfig, check_history

__all__ = ["WindowConfig", "WindowModel"]


@dataclass(frozen=True)
class WindowConfig(ModelConfig):
    """Shapes of a window model.

    Attributes:
        order: n: a word is predicted from the n - 1 before it.
        embedding_size: numbers per word.
        hidden_size: H, units of the hidden layer; 0 leaves it out (then direct connections are needed).
        direct: whether the embeddings also reach the output directly.
        dropout: share of values dropped from the embeddings and from the hidden layer, in training.
        softmax: "full", "adaptive" or "sampled".

    Raises:
        ConfigError: a value out of its range.
    """

    order: int = 5
    embedding_size: int = 100
    hidden_size: int = 200
    direct: bool = False
    dropout: float = 0.0
    softmax: Literal["full", "adaptive", "sampled"] = "full"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.whole(order=2, embedding_size=1, hidden_size=0 if self.direct else 1)
        self.shares("dropout")


class WindowModel(HiddenModel):
    """Predict a word from a window: `y = b + U tanh(d + H x) (+ W x)`, x the embeddings of the last n - 1 words.

    Before the first word stands a vector of its own, which is learned too.

    Source:
        Bengio, Ducharme, Vincent and Jauvin (2003), A neural probabilistic language model, JMLR 3.

    Examples:
        >>> model = WindowModel(WindowConfig(30, order=3, embedding_size=4, hidden_size=8))
        >>> scores, state = model(torch.zeros(7, 2, dtype=torch.long))
        >>> tuple(scores.shape), tuple(state.shape)
        ((7, 2, 30), (2, 2))
    """

    def __init__(self, config: WindowConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocabulary_size + 1, config.embedding_size)  # the last row: no word yet
        read = (config.order - 1) * config.embedding_size
        self.layer = nn.Linear(read, config.hidden_size) if config.hidden_size else None
        self.dropout = Dropout(config.dropout)
        width = config.hidden_size + (read if config.direct else 0)
        self.softmax = make_softmax(config.softmax, width, config.vocabulary_size)
        nn.init.normal_(self.embedding.weight, std=0.1)

    def initial_state(self, batch: int) -> Tensor:
        """The window before the first word, ids (n - 1, B)."""
        shape = (self.config.order - 1, batch)
        return torch.full(shape, self.config.vocabulary_size, device=self.embedding.weight.device)

    def hidden(self, ids: Tensor, state: Any = None) -> tuple[Tensor, Tensor]:
        """Vectors (T, B, H) after each of the ids, and the last n - 1 ids (n - 1, B)."""
        before = self.initial_state(ids.size(1))
        if state is not None:
            before = check_history("WindowModel", state, tuple(before.shape))
        history = torch.cat([before, ids])
        windows = history[1:].unfold(0, self.config.order - 1, 1)  # (T, B, n - 1), the oldest word first
        x = self.dropout(self.embedding(windows).flatten(2))
        parts = [] if self.layer is None else [self.dropout(torch.tanh(self.layer(x)))]
        return torch.cat([*parts, x] if self.config.direct else parts, -1), history[len(ids) :]
