"""One vector for a whole sequence: the many-to-one shape of problem.

Owns the ways of pooling, all of which leave out what pads a sequence. Takes outputs (T, B, H) and lengths, gives
(B, H).
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from ifog.errors import ConfigError
from ifog.shapes import Float, Int

__all__ = ["POOLINGS", "Pooling", "PoolingName"]

PoolingName = Literal["last", "mean", "max", "attention"]
POOLINGS: tuple[PoolingName, ...] = ("last", "mean", "max", "attention")


class Pooling(nn.Module):
    """Outputs of a sequence to one vector.

    "last" takes the output of the last step, and of a backward direction that of the first: what each direction says
    once it has read everything. "mean" and "max" go over steps; "attention" is a mean with learned weights, the softmax
    of v'tanh(W y).

    Args:
        kind: one of `POOLINGS`.
        size: H, columns of the outputs.
        bidirectional: whether the second half of the columns comes from a backward direction.

    Source:
        Attention over the steps of one sentence: Yang et al. (2016), Hierarchical attention networks for document
        classification.

    Raises:
        ConfigError: an unknown kind.

    Examples:
        >>> y = torch.arange(6.0).view(3, 2, 1)
        >>> Pooling("mean", 1)(y, torch.tensor([3, 1])).tolist()
        [[2.0], [1.0]]
    """

    def __init__(self, kind: PoolingName, size: int, *, bidirectional: bool = False) -> None:
        super().__init__()
        if kind not in POOLINGS:
            raise ConfigError(f"pooling is {kind!r}; give one of {', '.join(POOLINGS)}.")
        self.kind, self.size, self.bidirectional = kind, size, bidirectional
        if kind == "attention":
            self.project = nn.Linear(size, size)
            self.score = nn.Linear(size, 1, bias=False)

    def weights(self, outputs: Float[Tensor, "T B H"], lengths: Int[Tensor, "B"]) -> Float[Tensor, "T B 1"]:
        """How much each step counts, adding up to 1 over a sequence's own steps ("mean" and "attention")."""
        inside = _inside(outputs, lengths)
        if self.kind == "attention":
            scores = self.score(torch.tanh(self.project(outputs))).masked_fill(~inside, -torch.inf)
            return torch.softmax(scores, 0)
        return inside / lengths.clamp_min(1).view(1, -1, 1)

    def forward(self, outputs: Float[Tensor, "T B H"], lengths: Int[Tensor, "B"]) -> Float[Tensor, "B H"]:
        """The vectors; each sequence has at least one step."""
        if self.kind == "last":
            rows = (lengths - 1).clamp_min(0).view(1, -1, 1).expand(1, -1, outputs.shape[-1])
            last = outputs.gather(0, rows).squeeze(0)
            if not self.bidirectional:
                return last
            half = self.size // 2
            return torch.cat([last[:, :half], outputs[0, :, half:]], -1)
        if self.kind == "max":
            return outputs.masked_fill(~_inside(outputs, lengths), -torch.inf).amax(0)
        return (self.weights(outputs, lengths) * outputs).sum(0)


def _inside(outputs: Tensor, lengths: Tensor) -> Tensor:
    """Which steps are a sequence's own (T, B, 1)."""
    return (torch.arange(len(outputs), device=lengths.device).unsqueeze(1) < lengths).unsqueeze(-1)
