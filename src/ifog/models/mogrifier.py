"""The Mogrifier LSTM as a language model: the regularised model around another cell.

Owns the paper's choice of sizes and rates, no layer. Takes a vocabulary's size, gives a configuration.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ifog.models.regularised import RegularisedConfig, RegularisedModel

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["MogrifierConfig", "MogrifierModel"]


@dataclass(frozen=True)
class MogrifierConfig(RegularisedConfig):
    """As `RegularisedConfig`, with the Mogrifier's defaults: two layers, tied weights, variational dropout.

    `options={"rounds": r}` sets how often input and state gate each other, 5 by default; 0 gives a plain LSTM.
    """

    cell: str = "mogrifier_lstm"
    embedding_size: int = 400
    sizes: tuple[int, ...] = (400, 400)
    tied: bool = True
    locked: bool = True
    input_dropout: float = 0.5
    layer_dropout: float = 0.25
    output_dropout: float = 0.5
    options: Mapping[str, Any] = field(default_factory=lambda: {"rounds": 5})


class MogrifierModel(RegularisedModel):
    """A regularised model whose cell is the Mogrifier LSTM: input and state gate each other before the LSTM reads them.

    Source:
        Melis, Kočiský and Blunsom (2020), Mogrifier LSTM, arXiv:1909.01792.

    Examples:
        >>> import torch
        >>> model = MogrifierModel(MogrifierConfig(30, embedding_size=4, sizes=(4,)))
        >>> scores, state = model(torch.zeros(7, 2, dtype=torch.long))
        >>> tuple(scores.shape)
        (7, 2, 30)
    """
