"""A decoder-only Transformer, the baseline that recurrent models are compared to.

Owns attention over a bounded past and the memory that carries it from segment to segment. Takes ids (T, B), gives
vectors (T, B, D). Never depends on where a text is cut: two segments in a row equal one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from ifog.errors import ConfigError, ShapeError
from ifog.layers.adaptive import AdaptiveEmbedding, AdaptiveSoftmax
from ifog.layers.dropout import Dropout
from ifog.models.interface import HiddenModel, ModelConfig

__all__ = ["TransformerConfig", "TransformerModel"]


@dataclass(frozen=True)
class TransformerConfig(ModelConfig):
    """Shapes of a Transformer.

    Attributes:
        size: D, columns of the vectors between layers.
        num_layers: layers.
        heads: of each attention; `size / heads` has to be an even number.
        feed_forward: units of each layer's feed-forward part; 0: four times `size`.
        context: W, how many tokens each layer looks at, the present one included.
        dropout: share of values dropped after embedding, attention and feed-forward part, in training.
        cutoffs: of adaptive embedding and softmax (ids sorted by frequency); none: chosen from V.

    Raises:
        ConfigError: a value out of its range.
    """

    size: int = 256
    num_layers: int = 4
    heads: int = 4
    feed_forward: int = 0
    context: int = 256
    dropout: float = 0.1
    cutoffs: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        self.whole(size=2, num_layers=1, heads=1, feed_forward=0, context=1)
        self.shares("dropout")
        if self.size % (2 * self.heads):
            raise ConfigError(
                f"TransformerConfig: size {self.size} doesn't divide into {self.heads} heads of an even number of "
                f"columns; give a multiple of {2 * self.heads}."
            )


class TransformerModel(HiddenModel):
    """Layers of causal attention with adaptive embeddings tied to an adaptive softmax.

    Each layer sees the last W tokens: its keys and values of the last W - 1 are the state, so that a text may be read
    in segments of any length. That makes positions relative by need: queries and keys are rotated by their
    position (the paper adds sinusoids, which have no meaning beyond a segment). Norms stand before each part, as in the
    paper.

    Source:
        Vaswani et al. (2017), Attention is all you need, arXiv:1706.03762; Baevski and Auli (2019), Adaptive input
        representations, arXiv:1809.10853; memory: Dai et al. (2019), Transformer-XL, arXiv:1901.02860; rotation: Su et
        al. (2021), RoFormer, arXiv:2104.09864.

    Examples:
        >>> model = TransformerModel(TransformerConfig(30, size=8, num_layers=2, heads=2, context=4))
        >>> scores, state = model(torch.zeros(7, 2, dtype=torch.long))
        >>> tuple(scores.shape), [tuple(keys.shape) for keys, values in state]    # (B, heads, W - 1, size / heads)
        ((7, 2, 30), [(2, 2, 3, 4), (2, 2, 3, 4)])
    """

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = AdaptiveEmbedding(config.vocabulary_size, config.size, config.cutoffs or None)
        self.dropout = Dropout(config.dropout)
        self.layers = nn.ModuleList([_Layer(config) for _ in range(config.num_layers)])
        self.norm = nn.LayerNorm(config.size)
        self.softmax = AdaptiveSoftmax(config.size, config.vocabulary_size, tied=self.embedding)

    def hidden(self, ids: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """Vectors (T, B, D), and each layer's keys and values (B, heads, M, D / heads) of the last M < W tokens."""
        memories = [None] * len(self.layers) if state is None else list(state)
        if len(memories) != len(self.layers):
            raise ShapeError(
                f"TransformerModel: the state has {len(memories)} parts, expected one for each of "
                f"{len(self.layers)} layers; give the state that this model returned"
            )
        x = self.dropout(self.embedding(ids.t()) * self.config.size**0.5)  # (B, T, D)
        past = 0 if memories[0] is None else memories[0][0].size(2)
        positions = torch.arange(past + ids.size(0), device=ids.device)
        distance = positions[past:, None] - positions
        visible = (distance >= 0) & (distance < self.config.context)
        rotation = _rotation(positions, self.config.size // self.config.heads, x.dtype)
        for k, layer in enumerate(self.layers):
            x, memories[k] = cast("_Layer", layer)(x, memories[k], visible, rotation)
        return self.norm(x).transpose(0, 1), tuple(memories)


class _Layer(nn.Module):
    """Attention and a feed-forward part, each added to what comes in."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.heads, self.kept = config.heads, config.context - 1
        inner = config.feed_forward or 4 * config.size
        self.attention_norm, self.feed_forward_norm = nn.LayerNorm(config.size), nn.LayerNorm(config.size)
        self.read = nn.Linear(config.size, 3 * config.size)
        self.write = nn.Linear(config.size, config.size)
        self.widen, self.narrow = nn.Linear(config.size, inner), nn.Linear(inner, config.size)
        self.dropout = Dropout(config.dropout)

    def forward(
        self, x: Tensor, memory: tuple[Tensor, Tensor] | None, visible: Tensor, rotation: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """The layer's outputs (B, T, D), and the keys and values that the next segment looks back at."""
        steps = x.size(1)
        parts = self.read(self.attention_norm(x)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        queries, keys, values = parts.unbind(0)  # each (B, heads, T, D / heads)
        if memory is not None:
            keys, values = torch.cat([memory[0], keys], 2), torch.cat([memory[1], values], 2)
        cosine, sine = rotation
        attended = functional.scaled_dot_product_attention(
            _rotated(queries, cosine[-steps:], sine[-steps:]), _rotated(keys, cosine, sine), values, attn_mask=visible
        )
        x = x + self.dropout(self.write(attended.transpose(1, 2).flatten(2)))
        x = x + self.dropout(self.narrow(torch.relu(self.widen(self.feed_forward_norm(x)))))
        first = max(0, keys.size(2) - self.kept)
        return x, (keys[:, :, first:], values[:, :, first:])


def _rotation(positions: Tensor, size: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Cosine and sine (positions, size / 2) of the angles by which pairs of columns turn."""
    slowness = torch.arange(0, size, 2, device=positions.device, dtype=torch.float64) / size
    angles = positions.double().unsqueeze(1) * 10_000.0**-slowness
    return angles.cos().to(dtype), angles.sin().to(dtype)


def _rotated(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Vectors whose products depend on the distance of their positions alone."""
    a, b = x.chunk(2, -1)
    return torch.cat([a * cosine - b * sine, a * sine + b * cosine], -1)
