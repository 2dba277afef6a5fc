"""The last layer of a language model: hidden vectors and the tokens that came next in, nats out.

Owns the interface of all softmaxes, the full one (tied or not) and the sampled one. Takes hidden vectors (N, H) and
targets (N,), where a negative target counts for nothing. Never averages: how tokens are weighted is the caller's
business.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.nn import functional

from ifog.errors import ConfigError, ShapeError
from ifog.layers.cross_entropy import token_nats

__all__ = ["FullSoftmax", "SampledSoftmax", "Softmax"]


class Softmax(nn.Module, ABC):
    """What every softmax can do.

    Attributes:
        vocabulary_size: V.
        hidden_size: H.
    """

    def __init__(self, hidden_size: int, vocabulary_size: int) -> None:
        super().__init__()
        for name, value in (("hidden_size", hidden_size), ("vocabulary_size", vocabulary_size)):
            if value < 1:
                raise ConfigError(f"{type(self).__name__}: {name} is {value!r}; give a whole number of at least 1.")
        self.hidden_size, self.vocabulary_size = hidden_size, vocabulary_size

    @abstractmethod
    def loss(self, hidden: Tensor, targets: Tensor) -> Tensor:
        """What training minimises: nats (N,) for hidden (N, H) and targets (N,); a negative target costs 0."""

    @abstractmethod
    def log_prob(self, hidden: Tensor) -> Tensor:
        """The logarithm of the whole distribution, (N, V), for hidden (N, H)."""

    @abstractmethod
    def log_prob_of(self, hidden: Tensor, targets: Tensor) -> Tensor:
        """The exact log-probability of each target, (N,), whatever training minimises; 0 for a negative target."""

    def scores(self, hidden: Tensor) -> Tensor:
        """(N, V) numbers whose softmax is the distribution; log-probabilities are such numbers."""
        return self.log_prob(hidden)

    def check(self, hidden: Tensor, targets: Tensor) -> None:
        """Refuses shapes that don't belong together.

        Raises:
            ShapeError: Says which and what was expected.
        """
        if hidden.dim() != 2 or hidden.size(1) != self.hidden_size or targets.shape != hidden.shape[:1]:
            raise ShapeError(
                f"{type(self).__name__}: expected hidden (N, {self.hidden_size}) and targets (N,), got "
                f"{tuple(hidden.shape)} and {tuple(targets.shape)}; flatten time and batch into one axis"
            )


class FullSoftmax(Softmax):
    """One score for every token, from one matrix.

    Args:
        hidden_size: H.
        vocabulary_size: V.
        tied: an embedding (V, H) whose matrix is used instead of one of its own (Press and Wolf 2017,
            arXiv:1608.05859).

    Raises:
        ConfigError: an embedding of another shape.

    Examples:
        >>> softmax = FullSoftmax(4, 9)
        >>> softmax.loss(torch.randn(6, 4), torch.arange(6)).shape
        torch.Size([6])
    """

    def __init__(self, hidden_size: int, vocabulary_size: int, tied: nn.Embedding | None = None) -> None:
        super().__init__(hidden_size, vocabulary_size)
        if tied is not None and tuple(tied.weight.shape) != (vocabulary_size, hidden_size):
            raise ConfigError(
                f"softmax: tied weights need an embedding of ({vocabulary_size}, {hidden_size}), tokens by hidden "
                f"size, got {tuple(tied.weight.shape)}; make the sizes equal, or leave the weights untied."
            )
        # in a tuple the embedding is not registered a second time: a checkpoint holds its matrix once
        self._tied: tuple[nn.Embedding, ...] = () if tied is None else (tied,)
        self.W_hy = None if tied is not None else nn.Parameter(torch.empty(vocabulary_size, hidden_size))
        self.b_y = nn.Parameter(torch.zeros(vocabulary_size))
        if self.W_hy is not None:
            nn.init.kaiming_uniform_(self.W_hy, nonlinearity="relu")  # as wide as ifog.layers.starting makes inputs

    @property
    def matrix(self) -> Tensor:
        """(V, H): its own, or the embedding's."""
        return self._tied[0].weight if self.W_hy is None else self.W_hy

    def loss(self, hidden: Tensor, targets: Tensor) -> Tensor:
        """Nats of each token (N,)."""
        self.check(hidden, targets)
        return token_nats(hidden, self.matrix, self.b_y, targets)

    def scores(self, hidden: Tensor) -> Tensor:
        """(N, V) scores."""
        return functional.linear(hidden, self.matrix, self.b_y)

    def log_prob(self, hidden: Tensor) -> Tensor:
        """(N, V) log-probabilities."""
        return self.scores(hidden).log_softmax(-1)

    def log_prob_of(self, hidden: Tensor, targets: Tensor) -> Tensor:
        """(N,) exact log-probabilities."""
        self.check(hidden, targets)
        return -token_nats(hidden, self.matrix, self.b_y, targets)


class SampledSoftmax(FullSoftmax):
    """A full softmax whose normaliser is estimated in training from a few sampled tokens.

    K tokens are drawn from q, log-uniform over ranks (ids are expected to be sorted by frequency), with replacement and
    for all rows together. `exp(s_y) + sum over draws j other than y of exp(s_j) / (K q_j)` is then an unbiased
    estimate of the normaliser, and its logarithm less s_y the loss. In evaluation everything is exact.

    Args:
        hidden_size: H.
        vocabulary_size: V.
        samples: K.
        tied: as in `FullSoftmax`.

    Raises:
        ConfigError: no samples.

    Source:
        Jean, Cho, Memisevic and Bengio (2015), On using very large target vocabulary for neural machine translation,
        arXiv:1412.2007; Jozefowicz et al. (2016), Exploring the limits of language modeling, arXiv:1602.02410.
    """

    def __init__(
        self, hidden_size: int, vocabulary_size: int, samples: int = 1024, tied: nn.Embedding | None = None
    ) -> None:
        super().__init__(hidden_size, vocabulary_size, tied)
        if samples < 1:
            raise ConfigError(f"sampled softmax: samples is {samples!r}; give a whole number of at least 1.")
        self.samples = samples

    def proposal(self, ids: Tensor) -> Tensor:
        """log q of tokens, any shape."""
        rank = ids.double()
        return (torch.log1p(1 / (rank + 1)).log() - math.log(math.log(self.vocabulary_size + 1))).float()

    def draw(self) -> Tensor:
        """(K,) ids from q, with replacement."""
        uniform = torch.rand(self.samples, dtype=torch.float64, device=self.b_y.device)
        ids = (uniform * math.log(self.vocabulary_size + 1)).exp().long() - 1
        return ids.clamp(max=self.vocabulary_size - 1)  # rounding may reach V + 1

    def loss(self, hidden: Tensor, targets: Tensor) -> Tensor:
        """Nats of each token (N,)."""
        if not self.training:
            return super().loss(hidden, targets)
        self.check(hidden, targets)
        drawn, target = self.draw(), targets.clamp(min=0)
        rows = functional.embedding(torch.cat([drawn, target]), self.matrix)
        biases = self.b_y[torch.cat([drawn, target])]
        k = self.samples
        of_target = (hidden * rows[k:]).sum(1) + biases[k:]
        correction = biases[:k] - self.proposal(drawn) - math.log(k)
        others = torch.addmm(correction.to(hidden.dtype), hidden, rows[:k].t())
        others = others.masked_fill(drawn == target.unsqueeze(1), -math.inf)
        total = torch.cat([of_target.unsqueeze(1), others], 1).logsumexp(1)
        return (total - of_target).masked_fill(targets < 0, 0.0)
