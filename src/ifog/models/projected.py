"""The LSTM with projection for large vocabularies.

Owns embedding, projected LSTM and the choice of a softmax that a large vocabulary can afford. Takes ids (T, B), gives
vectors (T, B, P) of the projection's size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor, nn

from ifog.errors import ConfigError
from ifog.layers import LSTM
from ifog.layers.adaptive import make_softmax
from ifog.layers.dropout import Dropout
from ifog.models.interface import HiddenModel, ModelConfig

__all__ = ["ProjectedConfig", "ProjectedModel"]


@dataclass(frozen=True)
class ProjectedConfig(ModelConfig):
    """Shapes of a projected LSTM.

    Attributes:
        embedding_size: numbers per word.
        hidden_size: H, cells per layer.
        projection_size: P, columns of each layer's output, fewer than H.
        num_layers: layers.
        dropout: share of values dropped before, between and after the layers, in training.
        softmax: "full", "adaptive" or "sampled"; the last two expect ids sorted by frequency.
        samples: of the sampled softmax.
        cutoffs: of the adaptive softmax; none: chosen from V.

    Raises:
        ConfigError: a value out of its range.
    """

    embedding_size: int = 512
    hidden_size: int = 2048
    projection_size: int = 512
    num_layers: int = 1
    dropout: float = 0.1
    softmax: Literal["full", "adaptive", "sampled"] = "sampled"
    samples: int = 8192
    cutoffs: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        self.whole(embedding_size=1, hidden_size=1, projection_size=1, num_layers=1, samples=1)
        self.shares("dropout")
        if self.projection_size >= self.hidden_size:
            raise ConfigError(
                f"ProjectedConfig: projection_size is {self.projection_size} and hidden_size {self.hidden_size}, but a "
                "projection goes to fewer columns; give a smaller projection_size."
            )


class ProjectedModel(HiddenModel):
    """Embedding, LSTM layers whose outputs are projected to fewer columns, and a softmax that scales.

    Source:
        Sak, Senior and Beaufays (2014), arXiv:1402.1128; Jozefowicz, Vinyals, Schuster, Shazeer and Wu (2016),
        Exploring the limits of language modeling, arXiv:1602.02410.

    Examples:
        >>> import torch
        >>> model = ProjectedModel(ProjectedConfig(30, embedding_size=4, hidden_size=8, projection_size=3))
        >>> scores, state = model(torch.zeros(7, 2, dtype=torch.long))
        >>> tuple(scores.shape), tuple(state.h.shape), tuple(state.c.shape)
        ((7, 2, 30), (1, 2, 3), (1, 2, 8))
    """

    def __init__(self, config: ProjectedConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocabulary_size, config.embedding_size)
        self.recurrent = LSTM(
            config.embedding_size,
            config.hidden_size,
            config.num_layers,
            dropout=config.dropout if config.num_layers > 1 else 0.0,
            proj_size=config.projection_size,
        )
        self.dropout = Dropout(config.dropout)
        self.softmax = make_softmax(
            config.softmax,
            config.projection_size,
            config.vocabulary_size,
            samples=config.samples,
            cutoffs=config.cutoffs or None,
        )

    def hidden(self, ids: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """Vectors (T, B, P) after dropout, and the state (h, c)."""
        vectors, state = self.recurrent(self.dropout(self.embedding(ids)), state)
        return self.dropout(vectors), state
