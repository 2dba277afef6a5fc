"""What a forecast says of one number: a distribution, made of the numbers that a model's last matrix gives.

Owns the distributions: their loss, mean, quantiles and samples. Takes raw numbers, gives tensors. Never knows which
model made them, nor what is forecast.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, cast, get_args

import torch
from torch import Tensor
from torch.nn import functional

from ifog.errors import ConfigError

__all__ = [
    "HEADS",
    "Bernoulli",
    "Distribution",
    "Gaussian",
    "HeadName",
    "Quantiles",
    "StudentT",
    "distribution",
    "raw_size",
]

HeadName = Literal["gaussian", "student", "quantiles", "bernoulli"]
HEADS: tuple[str, ...] = get_args(HeadName)

LEAST_SCALE = 1e-3  # of a distribution of scaled values: below, one lucky training value would rule the loss
LEAST_FREEDOM = 2.0  # degrees of freedom from which on a variance exists


class Distribution(ABC):
    """Independent distributions of numbers, of any shape `...`."""

    @abstractmethod
    def loss(self, values: Tensor) -> Tensor:
        """What training minimises, for each value (...)."""

    @abstractmethod
    def mean(self) -> Tensor:
        """The mean of each (...)."""

    @abstractmethod
    def quantile(self, levels: Tensor) -> Tensor:
        """For each, the values that are not exceeded with these probabilities (Q,): (..., Q), rising."""

    @abstractmethod
    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """One value of each (...)."""

    @abstractmethod
    def moved(self, location: Tensor, scale: Tensor) -> Distribution:
        """The distribution of `location + scale * value`; both broadcast to (...), scale > 0."""


@dataclass(frozen=True)
class Gaussian(Distribution):
    """A normal distribution; the loss is the negative log-likelihood in nats.

    Attributes:
        location: mean (...).
        scale: standard deviation (...), above 0.

    Examples:
        >>> bell = Gaussian(torch.zeros(1), torch.ones(1))
        >>> round(float(bell.loss(torch.zeros(1))), 4), round(float(bell.quantile(torch.tensor([0.975]))), 2)
        (0.9189, 1.96)
    """

    location: Tensor
    scale: Tensor

    @classmethod
    def of(cls, raw: Tensor) -> Gaussian:
        """From raw numbers (..., 2)."""
        location, scale = raw.unbind(-1)
        return cls(location, functional.softplus(scale) + LEAST_SCALE)

    def loss(self, values: Tensor) -> Tensor:
        """See `Distribution.loss`."""
        return 0.5 * ((values - self.location) / self.scale).square() + self.scale.log() + 0.5 * math.log(2 * math.pi)

    def mean(self) -> Tensor:
        """See `Distribution.mean`."""
        return self.location

    def quantile(self, levels: Tensor) -> Tensor:
        """See `Distribution.quantile`."""
        return self.location.unsqueeze(-1) + self.scale.unsqueeze(-1) * _normal_quantile(levels)

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """See `Distribution.sample`."""
        return self.location + self.scale * torch.empty_like(self.location).normal_(generator=generator)

    def moved(self, location: Tensor, scale: Tensor) -> Gaussian:
        """See `Distribution.moved`."""
        return Gaussian(location + scale * self.location, scale * self.scale)


@dataclass(frozen=True)
class StudentT(Distribution):
    """Student's t, whose tails bear outliers; the loss is the negative log-likelihood in nats.

    Attributes:
        location: mean (...).
        scale: (...), above 0.
        freedom: degrees of freedom (...), above 2 so that there is a variance.
    """

    location: Tensor
    scale: Tensor
    freedom: Tensor

    @classmethod
    def of(cls, raw: Tensor) -> StudentT:
        """From raw numbers (..., 3)."""
        location, scale, freedom = raw.unbind(-1)
        return cls(
            location,
            functional.softplus(scale) + LEAST_SCALE,
            functional.softplus(freedom) + LEAST_FREEDOM + LEAST_SCALE,
        )

    def loss(self, values: Tensor) -> Tensor:
        """See `Distribution.loss`."""
        half = 0.5 * self.freedom
        normaliser = torch.lgamma(half + 0.5) - torch.lgamma(half) - 0.5 * (self.freedom * math.pi).log()
        tail = (half + 0.5) * torch.log1p(((values - self.location) / self.scale).square() / self.freedom)
        return tail + self.scale.log() - normaliser

    def mean(self) -> Tensor:
        """See `Distribution.mean`."""
        return self.location

    def quantile(self, levels: Tensor) -> Tensor:
        """See `Distribution.quantile`; without gradient, as PyTorch lacks the inverse that SciPy has."""
        from scipy.special import stdtrit

        freedom = self.freedom.detach().double().cpu().unsqueeze(-1).numpy()
        standard = torch.as_tensor(stdtrit(freedom, levels.double().cpu().numpy())).to(self.location)
        return self.location.detach().unsqueeze(-1) + self.scale.detach().unsqueeze(-1) * standard

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """See `Distribution.sample`."""
        # a chi-square variable is twice a gamma one, which `torch._standard_gamma` draws with a generator of its own
        normal = torch.empty_like(self.location).normal_(generator=generator)
        chi_square = 2 * torch._standard_gamma(0.5 * self.freedom.detach(), generator=generator)  # pyright: ignore[reportPrivateUsage, reportPrivateImportUsage]
        return self.location + self.scale * normal * (self.freedom / chi_square).sqrt()

    def moved(self, location: Tensor, scale: Tensor) -> StudentT:
        """See `Distribution.moved`."""
        return StudentT(location + scale * self.location, scale * self.scale, self.freedom)


@dataclass(frozen=True)
class Quantiles(Distribution):
    """Some quantiles and nothing about what lies between; the loss is the pinball loss.

    It is summed over the levels with weights such that it approximates the CRPS.

    Quantiles that cross are sorted when they are read, which never makes them worse (Chernozhukov, Fernández-Val and
    Galichon 2010). Between the levels they are joined by straight lines, beyond them the outermost value stands.

    Attributes:
        values: of each level (..., Q).
        levels: (Q,) rising, between 0 and 1.

    Source:
        Koenker and Bassett (1978), Regression quantiles, Econometrica 46.

    Examples:
        >>> Quantiles(torch.tensor([[0.0, 2.0]]), torch.tensor([0.25, 0.75])).quantile(torch.tensor([0.5])).tolist()
        [[1.0]]
    """

    values: Tensor
    levels: Tensor

    def loss(self, values: Tensor) -> Tensor:
        """See `Distribution.loss`."""
        error = values.unsqueeze(-1) - self.values
        pinball = torch.maximum(self.levels * error, (self.levels - 1) * error)
        return 2 * (pinball * level_widths(self.levels)).sum(-1)

    def mean(self) -> Tensor:
        """See `Distribution.mean`."""
        return (self.values * level_widths(self.levels)).sum(-1)

    def quantile(self, levels: Tensor) -> Tensor:
        """See `Distribution.quantile`."""
        ordered = self.values.sort(-1).values
        if len(self.levels) == 1:
            return ordered.expand(*ordered.shape[:-1], len(levels))
        levels = levels.to(self.levels).clamp(self.levels[0], self.levels[-1])
        right = torch.searchsorted(self.levels, levels).clamp(1, len(self.levels) - 1)
        share = (levels - self.levels[right - 1]) / (self.levels[right] - self.levels[right - 1])
        return torch.lerp(ordered[..., right - 1], ordered[..., right], share)

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """See `Distribution.sample`."""
        ordered = self.values.sort(-1).values
        if len(self.levels) == 1:
            return ordered.squeeze(-1)
        level = torch.empty_like(ordered[..., 0]).uniform_(generator=generator)
        level = level.clamp(self.levels[0], self.levels[-1])
        right = torch.searchsorted(self.levels, level).clamp(1, len(self.levels) - 1)
        share = (level - self.levels[right - 1]) / (self.levels[right] - self.levels[right - 1])
        low = ordered.gather(-1, right.unsqueeze(-1) - 1).squeeze(-1)
        high = ordered.gather(-1, right.unsqueeze(-1)).squeeze(-1)
        return torch.lerp(low, high, share)

    def moved(self, location: Tensor, scale: Tensor) -> Quantiles:
        """See `Distribution.moved`."""
        return Quantiles(location.unsqueeze(-1) + scale.unsqueeze(-1) * self.values, self.levels)


@dataclass(frozen=True)
class Bernoulli(Distribution):
    """1 or 0; the loss is the negative log-likelihood in nats.

    Attributes:
        logits: log-odds of 1 (...).
    """

    logits: Tensor

    def loss(self, values: Tensor) -> Tensor:
        """See `Distribution.loss`."""
        return functional.binary_cross_entropy_with_logits(self.logits, values, reduction="none")

    def mean(self) -> Tensor:
        """See `Distribution.mean`."""
        return self.logits.sigmoid()

    def quantile(self, levels: Tensor) -> Tensor:
        """See `Distribution.quantile`."""
        return (levels > torch.sigmoid(-self.logits).unsqueeze(-1)).to(self.logits)

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """See `Distribution.sample`."""
        return torch.bernoulli(self.mean(), generator=generator)

    def moved(self, location: Tensor, scale: Tensor) -> Bernoulli:
        """Itself: 0 and 1 can't be moved."""
        return self


def _normal_quantile(levels: Tensor) -> Tensor:
    return cast("Tensor", torch.special.ndtri(levels))


def level_widths(levels: Tensor) -> Tensor:
    """How much of the probabilities from 0 to 1 lies nearest to each level (Q,); they sum to 1.

    Examples:
        >>> level_widths(torch.tensor([0.25, 0.75])).tolist()
        [0.5, 0.5]
    """
    between = (levels[1:] + levels[:-1]) / 2
    edges = torch.cat([levels.new_zeros(1), between, levels.new_ones(1)])
    return edges.diff()


def raw_size(head: str, levels: Sequence[float]) -> int:
    """Raw numbers per value that a distribution is made of.

    Args:
        head: of `HEADS`.
        levels: of "quantiles".

    Raises:
        ConfigError: no such head.
    """
    sizes = {"gaussian": 2, "student": 3, "quantiles": len(levels), "bernoulli": 1}
    if head not in sizes:
        raise ConfigError(f"head is {head!r}; give one of {', '.join(HEADS)}.")
    return sizes[head]


def distribution(head: str, raw: Tensor, levels: Tensor) -> Distribution:
    """The distributions (...) of raw numbers (..., P), P as `raw_size` says.

    Args:
        head: of `HEADS`.
        raw: any numbers.
        levels: (Q,) of "quantiles".

    Raises:
        ConfigError: no such head.

    Examples:
        >>> distribution("bernoulli", torch.zeros(3, 1), torch.empty(0)).mean().tolist()
        [0.5, 0.5, 0.5]
    """
    raw_size(head, ())
    if head == "gaussian":
        return Gaussian.of(raw)
    if head == "student":
        return StudentT.of(raw)
    if head == "quantiles":
        return Quantiles(raw, levels.to(raw))
    return Bernoulli(raw.squeeze(-1))
