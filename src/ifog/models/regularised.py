"""The stacked recurrent model with every regulariser of the lectures' recipes.

Owns the order of embedding, layers and dropouts, and the penalties that join the loss. Takes ids (T, B), gives vectors.
Never owns a recipe's training: optimiser and schedule are set elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from torch import Tensor, nn

from ifog import cells
from ifog.cells.transforms import weight_dropped
from ifog.errors import ConfigError, ShapeError
from ifog.layers import Recurrent
from ifog.layers.adaptive import make_softmax
from ifog.layers.cross_entropy import mean_nats
from ifog.layers.dropout import dropout
from ifog.layers.regularisation import (
    activation_penalty,
    embed_with_word_dropout,
    locked_dropout,
    temporal_activation_penalty,
)
from ifog.layers.starting import widen_inputs
from ifog.models.interface import HiddenModel, ModelConfig

__all__ = ["RegularisedConfig", "RegularisedModel", "awd", "zaremba"]


@dataclass(frozen=True)
class RegularisedConfig(ModelConfig):
    """Shapes and rates of a regularised recurrent model.

    Attributes:
        cell: the recurrence's name in `ifog.cells.CATALOGUE`.
        embedding_size: numbers per word.
        sizes: units of each layer, from the first to the last.
        tied: the output matrix is the embedding (needs the last size to equal `embedding_size`).
        locked: whether one dropout mask serves all steps (variational), instead of one for each step.
        word_dropout: share of words whose embedding is dropped.
        input_dropout: share of the embeddings' values dropped.
        layer_dropout: share dropped between layers.
        output_dropout: share dropped before the softmax.
        weight_dropout: share of the entries of recurrent matrices dropped, once a sequence.
        activation: factor of the mean square of the dropped outputs in the loss (AR).
        temporal_activation: factor of the mean square of the outputs' changes in the loss (TAR).
        bound: every weight starts uniform in ± this; 0 keeps what each layer chooses.
        softmax: "full", "adaptive" or "sampled".
        options: the cell's own options.

    Raises:
        ConfigError: a value out of its range, or tied weights whose sizes differ.
    """

    cell: str = "lstm"
    embedding_size: int = 200
    sizes: tuple[int, ...] = (200, 200)
    tied: bool = False
    locked: bool = False
    word_dropout: float = 0.0
    input_dropout: float = 0.0
    layer_dropout: float = 0.0
    output_dropout: float = 0.0
    weight_dropout: float = 0.0
    activation: float = 0.0
    temporal_activation: float = 0.0
    bound: float = 0.0
    softmax: Literal["full", "adaptive", "sampled"] = "full"
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def __post_init__(self) -> None:
        super().__post_init__()
        self.whole(embedding_size=1)
        self.shares("word_dropout", "input_dropout", "layer_dropout", "output_dropout", "weight_dropout")
        if not self.sizes or any(isinstance(n, bool) or n < 1 for n in self.sizes):
            raise ConfigError(f"RegularisedConfig: sizes is {self.sizes!r}; give the units of at least one layer.")
        for name in ("activation", "temporal_activation", "bound"):
            if getattr(self, name) < 0:
                raise ConfigError(f"RegularisedConfig: {name} is {getattr(self, name)!r}; give 0 or more.")
        if self.tied and self.sizes[-1] != self.embedding_size:
            raise ConfigError(
                f"RegularisedConfig: tied weights use the embedding as the output matrix, so the last layer needs its "
                f"size, but sizes ends with {self.sizes[-1]} and embedding_size is {self.embedding_size}; make them "
                "equal, or leave the weights untied."
            )


def zaremba(vocabulary_size: int, size: Literal["small", "medium", "large"] = "medium") -> RegularisedConfig:
    """One of the three models of Zaremba, Sutskever and Vinyals (2014), arXiv:1409.2329.

    Examples:
        >>> zaremba(10_000, "medium").sizes
        (650, 650)
    """
    units, rate, bound = {"small": (200, 0.0, 0.1), "medium": (650, 0.5, 0.05), "large": (1500, 0.65, 0.04)}[size]
    return RegularisedConfig(
        vocabulary_size,
        embedding_size=units,
        sizes=(units, units),
        input_dropout=rate,
        layer_dropout=rate,
        output_dropout=rate,
        bound=bound,
    )


def awd(vocabulary_size: int, *, cell: str = "lstm", input_dropout: float = 0.4) -> RegularisedConfig:
    """AWD-LSTM for Penn Treebank (Merity, Keskar and Socher 2018, arXiv:1708.02182); WikiText-2: `input_dropout=0.65`.

    Examples:
        >>> awd(10_000).sizes
        (1150, 1150, 400)
    """
    return RegularisedConfig(
        vocabulary_size,
        cell=cell,
        embedding_size=400,
        sizes=(1150, 1150, 400),
        tied=True,
        locked=True,
        word_dropout=0.1,
        input_dropout=input_dropout,
        layer_dropout=0.25,
        output_dropout=0.4,
        weight_dropout=0.5,
        activation=2.0,
        temporal_activation=1.0,
    )


class RegularisedModel(HiddenModel):
    """Embedding, recurrent layers of any sizes and any cell, softmax, and dropout wherever the recipes put it.

    No dropout touches what goes from step to step but `weight_dropout`. In training `loss` holds the penalties on
    activations; in evaluation it is nats per token alone.

    Source:
        Zaremba, Sutskever and Vinyals (2014), arXiv:1409.2329; Merity, Keskar and Socher (2018), Regularizing and
        optimizing LSTM language models, arXiv:1708.02182.

    Examples:
        >>> import torch
        >>> model = RegularisedModel(RegularisedConfig(30, embedding_size=4, sizes=(6, 4), tied=True))
        >>> scores, state = model(torch.zeros(7, 2, dtype=torch.long))
        >>> tuple(scores.shape), [tuple(layer.h.shape) for layer in state]
        ((7, 2, 30), [(1, 2, 6), (1, 2, 4)])
    """

    def __init__(self, config: RegularisedConfig) -> None:
        super().__init__()
        self.config = config
        cell = cells.get(config.cell)
        if config.weight_dropout:
            cell = weight_dropped(cell, config.weight_dropout)
        self.embedding = nn.Embedding(config.vocabulary_size, config.embedding_size)
        self.layers = nn.ModuleList()
        width = config.embedding_size
        for size in config.sizes:
            layer = Recurrent(cell, width, size, **config.options)
            self.layers.append(layer)
            width = layer.output_size
        tied = self.embedding if config.tied else None
        self.softmax = make_softmax(config.softmax, width, config.vocabulary_size, tied=tied)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw every weight anew within `bound`; without one, the embedding and the matrices that the input meets.

        A tied embedding is small, for scores of all words come from it; the first layer's matrices make up for that.
        """
        if self.config.bound:
            for parameter in self.parameters():
                nn.init.uniform_(parameter, -self.config.bound, self.config.bound)
            return
        size = math.sqrt(2 / self.config.embedding_size) if self.config.tied else 1.0
        nn.init.normal_(self.embedding.weight, std=size)
        for k, layer in enumerate(self.layers):
            widen_inputs(cast("Recurrent", layer), size if k == 0 else 1.0)

    def hidden(self, ids: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """Vectors (T, B, H) after dropout, and one state for each layer."""
        dropped, _, state = self._read(ids, state)
        return dropped, state

    def loss(self, ids: Tensor, targets: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """Mean nats per token, in training with the penalties on activations (a scalar), and the next state."""
        dropped, raw, state = self._read(ids, state)
        flat = targets.flatten()
        loss = mean_nats(self.softmax.loss(dropped.flatten(0, 1), flat), flat)
        if self.training and self.config.activation:
            loss = loss + self.config.activation * activation_penalty(dropped)
        if self.training and self.config.temporal_activation:
            loss = loss + self.config.temporal_activation * temporal_activation_penalty(raw)
        return loss, state

    def _read(self, ids: Tensor, state: Any) -> tuple[Tensor, Tensor, Any]:
        """The last layer's outputs with and without dropout, and the next state."""
        config = self.config
        states = [None] * len(self.layers) if state is None else list(state)
        if len(states) != len(self.layers):
            raise ShapeError(
                f"RegularisedModel: the state has {len(states)} parts, expected one for each of {len(self.layers)} "
                "layers; give the state that this model returned"
            )
        raw = embed_with_word_dropout(self.embedding, ids, config.word_dropout, self.training)
        x = self._dropped(raw, config.input_dropout)
        for k, layer in enumerate(self.layers):
            raw, states[k] = layer(x, states[k])
            last = k == len(self.layers) - 1
            x = self._dropped(raw, config.output_dropout if last else config.layer_dropout)
        return x, raw, tuple(states)

    def _dropped(self, x: Tensor, rate: float) -> Tensor:
        if self.config.locked:
            return locked_dropout(x, rate, self.training)
        return dropout(x, rate, self.training)
