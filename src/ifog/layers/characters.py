"""Vectors of words made of their characters.

Owns the reading of spellings in both directions, each different word of a batch once. Takes ids of characters, gives a
vector per word. Never knows which characters the ids stand for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from ifog.cells import Cell
from ifog.errors import ConfigError, ShapeError
from ifog.layers.dropout import Dropout
from ifog.layers.recurrent import Recurrent

__all__ = ["CharacterEncoder"]


class CharacterEncoder(nn.Module):
    """The last states of a recurrence that reads a word forwards, and of one that reads it backwards, side by side.

    Equal spellings of a batch are read once and share the gradient: in running text about half of the words occur
    again soon, and all that pads sentences is one spelling.

    Args:
        characters: number of ids, 0 among them, which means that a word is over.
        embedding_size: numbers per character.
        hidden_size: units in each direction.
        cell: the recurrence, or its name in the catalogue.
        dropout: share of the embedded characters' values dropped in training.
        options: the cell's own options.

    Shapes:
        spellings `(..., W)`, whole numbers, W characters at most, 0 after the last; output `(..., output_size)`. A
        word without characters gets the initial states.

    Raises:
        ConfigError: a size that isn't positive.
        ShapeError: spellings that aren't whole numbers below `characters`.

    Source:
        Ling et al. (2015), Finding function in form, arXiv:1508.02096; Lample et al. (2016), arXiv:1603.01360.

    Examples:
        >>> encoder = CharacterEncoder(30, embedding_size=8, hidden_size=5)
        >>> encoder(torch.tensor([[[3, 1, 4], [1, 5, 0]]])).shape
        torch.Size([1, 2, 10])
    """

    def __init__(
        self,
        characters: int,
        *,
        embedding_size: int,
        hidden_size: int,
        cell: Cell | str = "lstm",
        dropout: float = 0.0,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        if min(characters, embedding_size) < 1:
            raise ConfigError(
                f"CharacterEncoder: characters is {characters} and embedding_size {embedding_size}; give 1 or more."
            )
        self.embedding = nn.Embedding(characters, embedding_size)
        self.dropout = Dropout(dropout)
        self.layer = Recurrent(cell, embedding_size, hidden_size, bidirectional=True, **(options or {}))
        nn.init.normal_(self.embedding.weight, std=embedding_size**-0.5)

    @property
    def output_size(self) -> int:
        """Numbers per word."""
        return self.layer.output_size

    def forward(self, spellings: Tensor) -> Tensor:
        """Vectors (..., output_size) of words spelled (..., W)."""
        known = self.embedding.num_embeddings
        if spellings.is_floating_point() or spellings.dim() < 1:
            raise ShapeError(
                f"CharacterEncoder: spellings are {tuple(spellings.shape)} of {spellings.dtype}; give ids of "
                "characters, the last axis along the word"
            )
        if spellings.numel() and not 0 <= int(spellings.min()) <= int(spellings.max()) < known:
            raise ShapeError(
                f"CharacterEncoder: ids run from {int(spellings.min())} to {int(spellings.max())}, but there are "
                f"{known} characters, from 0 to {known - 1}"
            )
        shape = (*spellings.shape[:-1], self.output_size)
        if 0 in spellings.shape:
            return self.embedding.weight.new_zeros(shape)
        words, places = _different(spellings.reshape(-1, spellings.shape[-1]))
        lengths = (words != 0).sum(1)
        x = self.dropout(self.embedding(words[:, : int(lengths.max())].t()))
        state = self.layer(x, lengths=lengths)[1]
        return torch.cat(list(state[0]), -1)[places.flatten()].view(shape)


def _different(rows: Tensor) -> tuple[Tensor, Tensor]:
    """The different ones of rows (N, W), and which of them each row is (N,)."""
    unique = cast("Callable[..., tuple[Tensor, Tensor]]", torch.unique)
    return unique(rows, dim=0, return_inverse=True)
