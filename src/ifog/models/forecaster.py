"""A recurrent model that forecasts numbers as distributions.

Owns what a recurrence reads of a series, how its state becomes the steps to come, and the two ways to decode: all steps
at once, or step by step along sampled paths. Takes scaled values and features known ahead, gives distributions and
quantiles. Never knows dates, files or units.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ifog import cells
from ifog.cells import Cell
from ifog.errors import ConfigError
from ifog.layers import Recurrent
from ifog.layers.distributions import HEADS, Distribution, distribution, raw_size
from ifog.layers.dropout import Dropout

__all__ = ["DECODINGS", "REFERENCES", "Forecast", "Forecaster", "ForecasterConfig"]

DECODINGS = ("direct", "recursive")
REFERENCES = ("training", "window", "last", "season")
LEAST_SPREAD = 1e-2  # of a window of scaled values, whose own spread is divided by


@dataclasses.dataclass(frozen=True, kw_only=True)
class ForecasterConfig:
    """Everything that fixes a forecaster's weights and what they mean.

    Attributes:
        targets: columns that are forecast (N).
        past: further columns that are read, but not forecast.
        known: features known ahead (F).
        context: steps read before a forecast; 0: a series is read whole, each of its steps forecast from those before.
        horizon: steps forecast (K).
        season: steps of a season, for `reference` "season".
        cell: the recurrence's name in the catalogue.
        cell_options: the cell's own options.
        hidden_size: units per layer (H).
        num_layers: layers on top of each other.
        dropout: share dropped between the layers and before the last matrix.
        head: the distribution, of `layers.distributions.HEADS`.
        levels: probabilities of the quantiles that are forecast.
        decoding: "direct": the last state gives all steps at once; "recursive": each step's distribution is drawn from,
            and the draw is read as the next input.
        reference: what values are measured from: "training" (the training part's mean), "window" (the context's mean
            and spread; Kim et al. 2022), "last" (the last value), "season" (the value a season before).
        segment: steps read by the recurrence at once (Lin et al. 2023, SegRNN, arXiv:2308.11200).
        apart: each column is a series of its own, all with the same weights.
        linear: a matrix from the context to the horizon is added (LSTNet's autoregressive part; Lai et al. 2018).

    Raises:
        ConfigError: a value out of its range, or values that exclude each other.
    """

    targets: int
    past: int = 0
    known: int = 0
    context: int = 96
    horizon: int = 24
    season: int = 1
    cell: str = "lstm"
    cell_options: Mapping[str, Any] = dataclasses.field(default_factory=dict[str, Any])
    hidden_size: int = 128
    num_layers: int = 1
    dropout: float = 0.0
    head: str = "quantiles"
    levels: tuple[float, ...] = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
    decoding: str = "direct"
    reference: str = "window"
    segment: int = 1
    apart: bool = False
    linear: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "levels", tuple(self.levels))
        least = {"targets": 1, "past": 0, "known": 0, "context": 0, "horizon": 1, "season": 1, "segment": 1}
        for name, smallest in least.items():
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < smallest:
                raise ConfigError(f"forecaster: {name} is {value!r}; give a whole number of at least {smallest}.")
        for name, choices in (("head", HEADS), ("decoding", DECODINGS), ("reference", REFERENCES)):
            if getattr(self, name) not in choices:
                raise ConfigError(f"forecaster: {name} is {getattr(self, name)!r}; give one of {', '.join(choices)}.")
        rising = all(a < b for a, b in zip((0.0, *self.levels), (*self.levels, 1.0), strict=True))
        if not self.levels or not rising:
            raise ConfigError(f"forecaster: levels are {self.levels}; give rising probabilities between 0 and 1.")
        for wrong, what in self._conflicts():
            if wrong:
                raise ConfigError(f"forecaster: {what}.")

    def _conflicts(self) -> list[tuple[bool, str]]:
        recursive, whole = self.decoding == "recursive", self.context == 0
        return [
            (
                recursive and (self.segment > 1 or self.apart or self.linear),
                "recursive decoding reads single steps of all columns; leave segment, apart and linear out",
            ),
            (
                recursive and self.past > 0,
                "recursive decoding needs the future of all it reads; forecast the past columns",
            ),
            (recursive and self.reference == "season", "reference season needs direct decoding; give window or last"),
            (
                whole and (not recursive or self.horizon > 1 or self.reference != "training"),
                (
                    "context 0 reads a series whole and forecasts each next step: it needs decoding recursive, horizon "
                    "1 and reference training"
                ),
            ),
            (whole and self.head == "quantiles", "context 0 is judged by likelihood; give another head than quantiles"),
            (
                self.apart and self.past > 0,
                "apart reads each column alone; leave the past columns out, or forecast them",
            ),
            (self.context % self.segment > 0, f"context {self.context} is no multiple of segment {self.segment}"),
            (
                self.head == "bernoulli" and (self.reference != "training" or self.linear),
                "bernoulli forecasts 0 and 1; give reference training, and leave linear out",
            ),
        ]

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain values that JSON can hold."""
        return {**dataclasses.asdict(self), "levels": list(self.levels)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ForecasterConfig:
        """The configuration that `to_dict` described.

        Raises:
            ConfigError: a name that no field has, or a missing number of targets.
        """
        known = [field.name for field in dataclasses.fields(cls)]
        if unknown := sorted(set(values) - set(known)):
            raise ConfigError(
                f"forecaster: the configuration holds {', '.join(unknown)}; known are {', '.join(known)}."
            )
        if "targets" not in values:
            raise ConfigError("forecaster: the configuration lacks targets, the number of columns forecast.")
        return cls(**values)

    @property
    def looks_back(self) -> int:
        """Steps of the past that a forecast needs: the context, or a season where that is longer."""
        return max(self.context, self.season) if self.context else 0


class Forecast(NamedTuple):
    """What is forecast: the mean (K, B, N) and the quantiles (K, B, N, Q)."""

    mean: Tensor
    quantiles: Tensor


class Reference(NamedTuple):
    """What a window's values are measured from: inputs (B, C), forecasts (K or 1, B, N), and the unit (B, C)."""

    inputs: Tensor
    outputs: Tensor
    scale: Tensor


class Forecaster(nn.Module):
    """Past values and features known ahead go through a recurrence; its state becomes distributions of what comes.

    Direct decoding is the default: it trains what is asked for, takes one pass whatever the horizon, and errors of one
    step don't become inputs of the next. Recursive decoding (Salinas et al. 2020, DeepAR, arXiv:1704.04110) gives paths
    whose steps belong together.

    Args:
        config: sizes and choices.
        cell: in place of the one that the configuration names.

    Examples:
        >>> model = Forecaster(ForecasterConfig(targets=2, known=1, context=8, horizon=3, hidden_size=5)).eval()
        >>> forecast = model.forecast(torch.randn(8, 4, 2), torch.zeros(11, 4, 1))
        >>> tuple(forecast.mean.shape), tuple(forecast.quantiles.shape)
        ((3, 4, 2), (3, 4, 2, 9))
    """

    def __init__(self, config: ForecasterConfig, cell: Cell | None = None) -> None:
        super().__init__()
        self.config = config
        read = 1 if config.apart else config.targets + config.past
        made = 1 if config.apart else config.targets
        numbers = raw_size(config.head, config.levels) * made
        self.recurrent = Recurrent(
            cells.get(config.cell) if cell is None else cell,
            config.segment * (read + config.known),
            config.hidden_size,
            config.num_layers,
            dropout=config.dropout,
            **config.cell_options,
        )
        width = self.recurrent.output_size
        self.dropout = Dropout(config.dropout)
        steps = config.horizon if config.decoding == "direct" else 1
        self.output = nn.Linear(width, steps * numbers)
        # what is known of a step to come acts on it directly; a recursive model reads it as input
        ahead = config.known and config.decoding == "direct"
        self.ahead = nn.Linear(config.known, numbers, bias=False) if ahead else None
        self.column = nn.Parameter(torch.zeros(config.targets, width)) if config.apart else None
        self.linear = nn.Linear(config.context, config.horizon, bias=False) if config.linear else None
        if self.linear is not None:
            nn.init.zeros_(self.linear.weight)
        self.register_buffer("levels", torch.tensor(config.levels), persistent=False)

    def loss(self, batch: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """The mean loss per value, and the absolute error of the mean forecast.

        Args:
            batch: "values" (T, B, C), the targets first; "values_lengths" (B,); "known" (T, B, F). In training a window
                is drawn from each, in evaluation the first is taken; with context 0 each is read whole.
        """
        values, known, lengths = batch["values"], batch["known"], batch["values_lengths"]
        if not self.config.context:
            valid = torch.arange(len(values), device=values.device).unsqueeze(1) < lengths
            losses = self.steps(values, known, lengths).loss(values) * valid.unsqueeze(-1)
            nats = losses.sum() / (lengths.sum().clamp(min=1) * self.config.targets)
            return nats, {"nll": nats.detach() * self.config.targets}
        window = self.config.looks_back + self.config.horizon
        most = (lengths - window + 1).clamp(min=1)
        starts = (torch.rand(len(lengths)).to(most.device) * most).long() if self.training else torch.zeros_like(most)
        steps = starts + torch.arange(window, device=starts.device).unsqueeze(1)
        values, known = (torch.take_along_dim(x, steps.unsqueeze(-1), 0) for x in (values, known))
        return self.window_loss(values, known)

    def window_loss(self, values: Tensor, known: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The same of windows (looks_back + K, B, C), features (looks_back + K, B, F)."""
        config = self.config
        past, future = values[: config.looks_back], values[config.looks_back :, :, : config.targets]
        if config.decoding == "direct":
            made = self.direct(past, known)
            judged = future
        else:
            made, judged = self._teacher_forced(past, values, known)
        mean = made.mean()[-config.horizon :]
        return made.loss(judged).mean(), {"mae": (mean.detach() - future).abs().mean()}

    # --- direct -------------------------------------------------------------------------------------------------------

    def direct(self, past: Tensor, known: Tensor) -> Distribution:
        """The distributions (K, B, N) of all steps at once.

        Args:
            past: (looks_back, B, C).
            known: (looks_back + K, B, F).
        """
        config = self.config
        reference = self._reference(past)
        x = (past[-config.context :] - reference.inputs) / reference.scale
        features = known[config.looks_back - config.context : config.looks_back]
        ahead = known[config.looks_back :]
        batch, columns = past.shape[1], config.targets
        if config.apart:
            x = x.reshape(config.context, batch * columns, 1)
            features = features.repeat_interleave(columns, dim=1)
        output, _ = self.recurrent(self._in_segments(torch.cat([x, features], -1)))
        state = _full(output[-1])
        if self.column is not None:
            state = state + self.column.repeat(batch, 1)
        raw = _full(self.output(self.dropout(state)))
        raw = raw.view(batch, columns if config.apart else 1, config.horizon, -1).permute(2, 0, 1, 3)
        if self.ahead is not None:
            raw = raw + _full(self.ahead(ahead)).unsqueeze(2)
        raw = raw.reshape(config.horizon, batch, columns, -1)
        scale, location = reference.scale[:, :columns], reference.outputs
        if self.linear is not None:
            seen = x.reshape(config.context, batch, -1)[..., :columns]
            location = location + scale * _full(self.linear(seen.permute(1, 2, 0))).permute(2, 0, 1)
        return distribution(config.head, raw, self.get_buffer("levels")).moved(location, scale)

    def _in_segments(self, x: Tensor) -> Tensor:
        """(T, B, D) as (T / segment, B, segment * D)."""
        size = self.config.segment
        if size == 1:
            return x
        steps, batch, width = x.shape
        return x.reshape(steps // size, size, batch, width).transpose(1, 2).flatten(2)

    def _reference(self, past: Tensor) -> Reference:
        config = self.config
        context = past[-config.context :]
        inputs, scale = torch.zeros_like(past[0]), torch.ones_like(past[0])
        if config.reference in ("window", "season"):
            inputs = context.mean(0)
        if config.reference == "window":
            scale = (context.var(0, correction=0) + LEAST_SPREAD**2).sqrt()
        if config.reference == "last":
            inputs = past[-1]
        outputs = inputs[:, : config.targets].unsqueeze(0)
        if config.reference == "season":
            season = past[-config.season :, :, : config.targets]
            outputs = season[torch.arange(config.horizon, device=past.device) % config.season]
        return Reference(inputs, outputs, scale)

    # --- recursive ----------------------------------------------------------------------------------------------------

    def steps(self, values: Tensor, known: Tensor, lengths: Tensor) -> Distribution:
        """The distribution of each value (T, B, N) of series read whole, each step forecast from those before it.

        Args:
            values: (T, B, N) of series from their beginnings.
            known: (T, B, F).
            lengths: (B,).
        """
        before = torch.cat([torch.zeros_like(values[:1]), values])[: len(values)]
        return self._read(before, known, lengths)

    def _read(self, before: Tensor, known: Tensor, lengths: Tensor | None = None) -> Distribution:
        """The distribution of each step (T, B, N) from the value before it and its features."""
        output, _ = self.recurrent(torch.cat([before, known], -1), lengths=lengths)
        return self._distribution(output)

    def _distribution(self, output: Tensor) -> Distribution:
        raw = _full(self.output(self.dropout(output)))
        raw = raw.view(*raw.shape[:-1], self.config.targets, -1)
        return distribution(self.config.head, raw, self.get_buffer("levels"))

    def _teacher_forced(self, past: Tensor, values: Tensor, known: Tensor) -> tuple[Distribution, Tensor]:
        """Every step of a window after its first, each from the true value before it."""
        reference = self._reference(past)
        skipped = self.config.looks_back - self.config.context
        x, known = values[skipped:], known[skipped:]
        made = self._read((x[:-1] - reference.inputs) / reference.scale, known[1:])
        return made.moved(reference.inputs, reference.scale), x[1:]

    def paths(self, past: Tensor, known: Tensor, count: int, generator: torch.Generator | None = None) -> Tensor:
        """Sampled futures (K, S, B, N), in evaluation mode.

        Args:
            past: (looks_back, B, N).
            known: (looks_back + K, B, F).
            count: paths of each (S).
            generator: of the samples, on the model's device.
        """
        config = self.config
        reference = self._reference(past)
        x = (past[-config.context :] - reference.inputs) / reference.scale
        features = known[config.looks_back - config.context :]
        state = None
        if config.context > 1:
            _, state = self.recurrent(torch.cat([x[:-1], features[1 : config.context]], -1))
            state = type(state)(*(part.repeat(1, count, 1) for part in state))
        batch = past.shape[1]
        stream = self.recurrent.streaming(batch * count)
        value = x[-1].repeat(count, 1)
        drawn: list[Tensor] = []
        for k in range(config.horizon):
            ahead = features[config.context + k].repeat(count, 1)
            output, state = stream.step(torch.cat([value, ahead], -1), state)
            value = self._distribution(output).sample(generator)
            drawn.append(value.view(count, batch, -1))
        made = torch.stack(drawn)
        return made if config.head == "bernoulli" else made * reference.scale + reference.inputs

    @torch.no_grad()
    def forecast(self, past: Tensor, known: Tensor, *, samples: int = 100, seed: int = 0) -> Forecast:
        """The steps to come, in evaluation mode.

        Args:
            past: (looks_back, B, C).
            known: (looks_back + K, B, F).
            samples: paths that a recursive model draws.
            seed: of the paths.
        """
        levels: Tensor = self.get_buffer("levels")
        if self.config.decoding == "direct":
            made = self.direct(past, known)
            return Forecast(made.mean(), made.quantile(levels))
        generator = torch.Generator(past.device).manual_seed(seed)
        paths = self.paths(past, known, samples, generator)
        return Forecast(paths.mean(1), torch.quantile(paths, levels, dim=1).movedim(0, -1))


def _full(x: Tensor) -> Tensor:
    """In single precision at least: a distribution's parameters bear no rounding to half."""
    return x if x.dtype == torch.float64 else x.float()
