"""Every option of training a forecaster, with its default.

Owns the names and defaults. Never imports torch: the command line's help reads the defaults from here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from ifog.errors import ConfigError
from ifog.tasks.options import TaskOptions

__all__ = ["ForecastOptions"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ForecastOptions(TaskOptions):
    """How a forecaster is built and trained.

    Attributes:
        targets: columns that are forecast; none: every column of numbers that is neither past nor known.
        past: columns that are read, but not forecast.
        known: columns whose future is known when a forecast is made, such as holidays.
        date: the column of dates, or those of year, month, day, hour; none: the first that begins with a date.
        calendar: features made of the dates: hour, weekday, month_day, year_day; "auto" takes what suits the step.
        missing: "error", or "interpolate" on the line between the neighbours.
        context: steps read before a forecast; 0: series are read whole, and each next step is forecast (music).
        horizon: steps forecast.
        season: steps of the season that the baselines repeat; 0: what suits the dates' step (24 hours, 12 months ...).
        head: "quantiles", "gaussian", "student" or "bernoulli" (columns of 0 and 1).
        levels: probabilities of the quantiles that are forecast.
        decoding: "direct" (all steps at once) or "recursive" (step by step along sampled paths).
        reference: what values are measured from: "training", "window", "last" or "season".
        segment: steps that the recurrence reads at once.
        apart: each column is a series of its own, all with the same weights.
        linear: add a matrix from the context to the horizon.
        samples: paths that a recursive model draws.
        stride: steps between the windows that judge a model; 0: 1, and the horizon where paths are drawn.

    Raises:
        ConfigError: an option out of its range.
    """

    targets: Sequence[str] = ()
    past: Sequence[str] = ()
    known: Sequence[str] = ()
    date: Sequence[str] = ()
    calendar: Sequence[str] = ("auto",)
    missing: str = "error"
    context: int = 96
    horizon: int = 24
    season: int = 0
    head: str = "quantiles"
    levels: Sequence[float] = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
    decoding: str = "direct"
    reference: str = "window"
    segment: int = 1
    apart: bool = False
    linear: bool = False
    samples: int = 100
    stride: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.counts(horizon="steps to forecast", segment="steps read at once", samples="paths drawn")
        for name in ("targets", "past", "known", "date", "calendar"):
            value = getattr(self, name)
            if isinstance(value, str):  # a text is a sequence of letters, which nobody means
                object.__setattr__(self, name, (value,))
            object.__setattr__(self, name, tuple(getattr(self, name)))
        for name in ("context", "season", "stride"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 0:
                raise ConfigError(f"options: {name} is {value!r}, but it counts steps: give 0 or more.")
        if self.missing not in ("error", "interpolate"):
            raise ConfigError(f"options: missing is {self.missing!r}; give 'error' or 'interpolate'.")
        names = [*self.targets, *self.past, *self.known]
        if doubled := sorted({name for name in names if names.count(name) > 1}):
            raise ConfigError(f"options: the column {doubled[0]!r} is named twice among targets, past and known.")
