"""What keeps a recurrent language model from learning its text by heart.

Owns the dropouts whose masks last longer than a step, and the penalties on activations. Takes tensors, time first.
Recurrent matrices are the business of `ifog.cells.transforms.weight_dropped`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ifog.layers.dropout import dropout

__all__ = ["activation_penalty", "embed_with_word_dropout", "locked_dropout", "temporal_activation_penalty"]


def locked_dropout(x: Tensor, rate: float, training: bool = True) -> Tensor:
    """Dropout with one mask for all steps: x (T, B, D) comes out with the same columns missing at every step.

    Source:
        Gal and Ghahramani (2016), arXiv:1512.05287; under this name Merity, Keskar and Socher (2018), arXiv:1708.02182.

    Examples:
        >>> y = locked_dropout(torch.ones(3, 2, 8), 0.5)
        >>> bool((y == y[0]).all())
        True
    """
    if not training or rate == 0.0:
        return x
    return x * dropout(x.new_ones(1, *x.shape[1:]), rate)


def embed_with_word_dropout(embedding: nn.Embedding, ids: Tensor, rate: float, training: bool = True) -> Tensor:
    """The vectors of ids (T, B), some words being zero wherever they occur.

    Drawn by word, not by place: as if rows of the embedding's matrix were missing.

    Source:
        Gal and Ghahramani (2016), arXiv:1512.05287.
    """
    vectors = embedding(ids)
    if not training or rate == 0.0:
        return vectors
    kept = dropout(vectors.new_ones(embedding.num_embeddings), rate)
    return vectors * kept[ids].unsqueeze(-1)


def activation_penalty(outputs: Tensor) -> Tensor:
    """The mean square of outputs (T, B, H), a scalar (AR).

    Source:
        Merity, McCann and Socher (2017), Revisiting activation regularization for language RNNs, arXiv:1708.01009.
    """
    return outputs.square().mean()


def temporal_activation_penalty(outputs: Tensor) -> Tensor:
    """The mean square of the change from step to step of outputs (T, B, H), a scalar (TAR); 0 for a single step.

    Source:
        Merity, McCann and Socher (2017), arXiv:1708.01009.
    """
    if len(outputs) < 2:
        return torch.zeros_like(outputs).sum()
    return (outputs[1:] - outputs[:-1]).square().mean()
