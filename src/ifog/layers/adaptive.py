"""Less room for rare tokens: the adaptive softmax and the adaptive embedding, which can share their weights.

Owns the division of a vocabulary, sorted by frequency, into bands. Takes ids, gives vectors or nats; scores that a
model has beside those of its vectors are added band by band.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from ifog.errors import ConfigError
from ifog.layers.cross_entropy import Windows, token_nats
from ifog.layers.softmax import FullSoftmax, SampledSoftmax, Softmax

__all__ = ["AdaptiveEmbedding", "AdaptiveSoftmax", "make_softmax"]


class AdaptiveEmbedding(nn.Module):
    """Vectors for tokens, shorter for rare ones and brought to one length by a matrix.

    Args:
        vocabulary_size: V; ids are expected to be sorted by frequency.
        size: numbers per token handed out (H), which is also the length of the frequent tokens' vectors.
        cutoffs: where bands of rarer tokens begin; None chooses them from V. Each band's vectors are `divisor` times
            shorter than those of the band before.
        divisor: see there.

    Raises:
        ConfigError: cut-offs that don't rise, or lie outside the vocabulary.

    Source:
        Baevski and Auli (2019), Adaptive input representations for neural language modeling, arXiv:1809.10853.

    Examples:
        >>> AdaptiveEmbedding(100, 16, [20, 60])(torch.tensor([[1, 30, 99]])).shape
        torch.Size([1, 3, 16])
    """

    def __init__(self, vocabulary_size: int, size: int, cutoffs: Sequence[int] | None = None, divisor: int = 4) -> None:
        super().__init__()
        chosen = list(_default_cutoffs(vocabulary_size) if cutoffs is None else cutoffs)
        self.edges = [0, *chosen, vocabulary_size]
        if any(a >= b for a, b in pairwise(self.edges)) or divisor < 1:
            raise ConfigError(
                f"adaptive: cut-offs {chosen} with divisor {divisor} don't divide {vocabulary_size} tokens; give "
                f"rising whole numbers between 0 and {vocabulary_size}, and a divisor of at least 1."
            )
        widths = [max(1, size // divisor**k) for k in range(len(self.edges) - 1)]
        spans = [b - a for a, b in pairwise(self.edges)]
        self.tables = nn.ParameterList([torch.empty(n, w) for n, w in zip(spans, widths, strict=True)])
        self.projections = nn.ParameterList([torch.empty(size, w) for w in widths[1:]])
        for table in self.tables:
            nn.init.normal_(table, std=table.size(1) ** -0.5)
        for matrix in self.projections:
            nn.init.xavier_uniform_(matrix)

    def forward(self, ids: Tensor) -> Tensor:
        """Vectors (..., H) for ids of any shape."""
        flat = ids.reshape(-1)
        found = functional.embedding(flat.clamp(max=self.edges[1] - 1), self.tables[0])
        for k, projection in enumerate(self.projections, start=1):
            rows = ((flat >= self.edges[k]) & (flat < self.edges[k + 1])).nonzero().squeeze(1)
            rare = functional.embedding(flat[rows] - self.edges[k], self.tables[k]) @ projection.t()
            found = found.index_copy(0, rows, rare.to(found.dtype))
        return found.view(*ids.shape, -1)


class AdaptiveSoftmax(Softmax):
    """A softmax over the frequent tokens and bands of rarer ones, then one within the band.

    A rare token's band is entered only by the rows that need it, with shorter vectors: most of a large vocabulary is
    never touched for most tokens, and the distribution is exact all the same.

    Args:
        hidden_size: H.
        vocabulary_size: V; ids are expected to be sorted by frequency.
        cutoffs: where bands begin; None chooses them from V.
        tied: an adaptive embedding whose vectors and matrices are used instead of its own.

    Raises:
        ConfigError: as `AdaptiveEmbedding`, or tied to one of another size.

    Source:
        Grave et al. (2017), Efficient softmax approximation for GPUs, arXiv:1609.04309.
    """

    def __init__(
        self,
        hidden_size: int,
        vocabulary_size: int,
        cutoffs: Sequence[int] | None = None,
        tied: AdaptiveEmbedding | None = None,
    ) -> None:
        super().__init__(hidden_size, vocabulary_size)
        if tied is not None and (tied.edges[-1], tied.tables[0].size(1)) != (vocabulary_size, hidden_size):
            raise ConfigError(
                f"adaptive softmax: tied to an embedding of {tied.edges[-1]} tokens and size {tied.tables[0].size(1)}, "
                f"wanted {vocabulary_size} and {hidden_size}; make the sizes equal, or leave the weights untied."
            )
        self._tied: tuple[AdaptiveEmbedding, ...] = () if tied is None else (tied,)
        self.bands = AdaptiveEmbedding(vocabulary_size, hidden_size, cutoffs) if tied is None else None
        count = len(self.tokens.projections)
        self.W_band = nn.Parameter(torch.empty(count, hidden_size))
        nn.init.uniform_(self.W_band, -(hidden_size**-0.5), hidden_size**-0.5)
        self.b_y = nn.Parameter(torch.zeros(vocabulary_size + count))  # of the tokens by id, then of the bands

    @property
    def tokens(self) -> AdaptiveEmbedding:
        """The vectors that score the tokens."""
        return self._tied[0] if self.bands is None else self.bands

    def _head(self) -> tuple[Tensor, Tensor]:
        """Matrix and bias of the first softmax: frequent tokens, then bands."""
        tokens = self.tokens
        bias = torch.cat([self.b_y[: tokens.edges[1]], self.b_y[self.vocabulary_size :]])
        return torch.cat([tokens.tables[0], self.W_band]), bias

    @property
    def columns(self) -> int:
        """The scores there are: one for each token, and one for each band."""
        return len(self.b_y)

    def loss(self, hidden: Tensor, targets: Tensor, windows: Windows | None = None) -> Tensor:
        """Nats of each token (N,).

        Args:
            hidden: (N, H).
            targets: (N,); a negative one costs nothing.
            windows: scores to add. Their columns are the frequent tokens, the bands, then the rare tokens; only those
                of a token's own band are ever read.
        """
        self.check(hidden, targets)
        tokens, first = self.tokens, targets
        inside = [
            ((targets >= low) & (targets < high)).nonzero().squeeze(1) for low, high in pairwise(tokens.edges[1:])
        ]
        of_first, *of_bands = self._extra(windows, len(hidden), inside)
        nats = hidden.new_zeros(len(hidden), dtype=self.b_y.dtype)
        for k, (projection, rows) in enumerate(zip(tokens.projections, inside, strict=True), start=1):
            low, high = tokens.edges[k], tokens.edges[k + 1]
            first = first.index_fill(0, rows, tokens.edges[1] + k - 1)
            vectors, bias = hidden[rows] @ projection, self.b_y[low:high]
            within = token_nats(vectors, tokens.tables[k], bias, targets[rows] - low, of_bands[k - 1])
            nats = nats.index_add(0, rows, within)
        return nats + token_nats(hidden, *self._head(), first, of_first)

    def log_prob(self, hidden: Tensor, windows: Windows | None = None) -> Tensor:
        """(N, V) log-probabilities; `windows` as in `loss`."""
        tokens = self.tokens
        every = torch.arange(len(hidden), device=hidden.device)
        of_first, *of_bands = self._extra(windows, len(hidden), [every] * len(tokens.projections))
        head = functional.linear(hidden, *self._head())
        head = (head if of_first is None else head + of_first).log_softmax(-1)
        parts = [head[:, : tokens.edges[1]]]
        for k, projection in enumerate(tokens.projections, start=1):
            low, high, extra = tokens.edges[k], tokens.edges[k + 1], of_bands[k - 1]
            within = functional.linear(hidden @ projection, tokens.tables[k], self.b_y[low:high])
            within = (within if extra is None else within + extra).log_softmax(-1)
            parts.append(head[:, tokens.edges[1] + k - 1, None] + within)
        return torch.cat(parts, 1)

    def log_prob_of(self, hidden: Tensor, targets: Tensor, windows: Windows | None = None) -> Tensor:
        """(N,) exact log-probabilities; `windows` as in `loss`."""
        return -self.loss(hidden, targets, windows)

    def _extra(self, windows: Windows | None, count: int, inside: Sequence[Tensor]) -> Sequence[Tensor | None]:
        """What the windows add: to the first softmax of `count` rows, then to each band's for the rows `inside` it."""
        edges, bands = self.tokens.edges, len(inside)
        if windows is None:
            return [None] * (1 + bands)
        every = torch.arange(count, device=windows.offsets.device)
        spans = [range(low + bands, high + bands) for low, high in pairwise(edges[1:])]
        return windows.scores([(every, range(edges[1] + bands)), *zip(inside, spans, strict=True)])


def make_softmax(
    kind: Literal["full", "adaptive", "sampled"],
    hidden_size: int,
    vocabulary_size: int,
    *,
    samples: int = 1024,
    cutoffs: Sequence[int] | None = None,
    tied: nn.Embedding | None = None,
) -> Softmax:
    """The softmax called `kind`.

    Raises:
        ConfigError: no such kind, or adaptive tied to a plain embedding.
    """
    if kind == "full":
        return FullSoftmax(hidden_size, vocabulary_size, tied)
    if kind == "sampled":
        return SampledSoftmax(hidden_size, vocabulary_size, min(samples, vocabulary_size), tied)
    if kind == "adaptive" and tied is None:
        return AdaptiveSoftmax(hidden_size, vocabulary_size, cutoffs)
    raise ConfigError(
        f'softmax: {kind!r}{" with tied weights" if tied is not None else ""}: expected "full", "sampled", or '
        '"adaptive" without tied weights (an AdaptiveEmbedding can be tied to an AdaptiveSoftmax).'
    )


def _default_cutoffs(vocabulary_size: int) -> list[int]:
    """A sixteenth of the vocabulary, but 2,000 where there are as many, then four times that if half remains."""
    first = max(vocabulary_size // 16, min(2000, vocabulary_size // 2))
    return [cut for cut in (first, 4 * first) if 0 < cut <= vocabulary_size // 2]
