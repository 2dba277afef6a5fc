"""How to train: every option with its range.

Owns the checks of what a user asks of the trainer. Takes numbers and names, gives a frozen, valid configuration.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

from ifog.errors import ConfigError

__all__ = ["ClippingName", "OptimizerName", "ScheduleName", "TrainingConfig", "parse_budget"]

OptimizerName = Literal["adamw", "sgd", "rmsprop", "adagrad"]
ScheduleName = Literal["cosine", "constant", "exponential"]
ClippingName = Literal["norm", "value", "mean_norm", "none"]
DeviceName = Literal["auto", "cpu", "cuda"]
PrecisionName = Literal["32-true", "bf16-mixed", "int16-mixed"]

_CHOICES: dict[str, tuple[str, ...]] = {
    "optimizer": get_args(OptimizerName),
    "schedule": get_args(ScheduleName),
    "clipping": get_args(ClippingName),
    "device": get_args(DeviceName),
    "precision": get_args(PrecisionName),
}
# option: lowest, highest, whether the lowest and the highest themselves are allowed
_RANGES: dict[str, tuple[float, float, bool, bool]] = {
    "steps": (1, math.inf, True, False),
    "budget": (0, math.inf, False, False),
    "learning_rate": (0, math.inf, False, False),
    "weight_decay": (0, math.inf, True, False),
    "momentum": (0, 1, True, False),
    "beta1": (0, 1, True, False),
    "beta2": (0, 1, True, False),
    "warmup": (0, 1, True, False),
    "hold": (0, 1, True, False),
    "floor": (0, 1, True, True),
    "clip": (0, math.inf, False, False),
    "accumulation": (1, math.inf, True, False),
    "average": (0, 1, True, False),
    "average_patience": (0, math.inf, True, False),
    "recurrent_l2": (0, math.inf, True, False),
    "recurrent_orthogonal": (0, math.inf, True, False),
    "evaluate_every": (1, math.inf, True, False),
    "log_every": (1, math.inf, True, False),
    "save_every": (1, math.inf, True, False),
    "save_seconds": (0, math.inf, False, False),
    "smooth_start": (0, math.inf, False, False),
    "explosion": (1, math.inf, False, True),
    "seed": (0, 2**32 - 1, True, True),
}
_OPTIONAL = {"steps", "budget", "evaluate_every", "save_every", "smooth_start"}
_WHOLE = {"steps", "accumulation", "average_patience", "evaluate_every", "log_every", "save_every", "seed"}
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0}


@dataclass(frozen=True)
class TrainingConfig:
    """Everything the trainer can be told.

    Attributes:
        steps: Optimiser steps to train for; or
        budget: seconds to train for, evaluations in between included, the final one not. Exactly one of the two.
        optimizer: "adamw", "sgd", "rmsprop" or "adagrad" (the last as in the lectures' numpy program).
        learning_rate: The highest learning rate of the schedule.
        weight_decay: Pull towards zero, of matrices alone.
        momentum: Of "sgd".
        beta1: Decay of AdamW's mean of gradients.
        beta2: Decay of AdamW's mean of squares; also RMSprop's smoothing.
        schedule: "cosine", "exponential" or "constant", after the warm-up.
        warmup: Fraction of the run in which the learning rate rises linearly.
        hold: Fraction of the run, warm-up included, before the learning rate falls.
        floor: Where the fall ends, as a fraction of `learning_rate`; an exponential one needs it above 0.
        clipping: "norm" (of all gradients), "value" (each number), "mean_norm" (`clip` times the norms' running
            mean) or "none".
        clip: The threshold; for "mean_norm" a factor of 0.5 to 10.
        accumulation: Batches per optimiser step.
        average: Decay of the moving average of the weights that is evaluated and saved; 0 for none.
        average_patience: n of NT-ASGD: once an evaluation is no better than the best of those more than n before, the
            plain mean of all weights from there on is evaluated and saved; 0 for none.
        recurrent_l2: Weight of the squared norm of the recurrent matrices in the loss.
        recurrent_orthogonal: Weight of ||W'W - I||^2 of the recurrent matrices in the loss.
        evaluate_every: Steps between evaluations; None for about ten a run.
        log_every: Steps between records.
        save_every: Steps between checkpoints, beside those at evaluations and by time.
        save_seconds: Seconds between checkpoints.
        smooth_start: Start of the smooth loss 0.999 s + 0.001 l of min-char-rnn; None leaves it out.
        explosion: Training stops when the loss stays this many times above the first losses.
        seed: Of initial weights, dropout and shuffles.
        device: "auto" takes a GPU where there is one.
        precision: "32-true", "bf16-mixed", or "int16-mixed": the recurrences' products multiply 16-bit integers.

    Raises:
        ConfigError: A value is out of its range, or options conflict.
    """

    steps: int | None = None
    budget: float | None = None
    optimizer: OptimizerName = "adamw"
    learning_rate: float = 2e-3
    weight_decay: float = 0.0
    momentum: float = 0.9
    beta1: float = 0.9
    beta2: float = 0.99
    schedule: ScheduleName = "cosine"
    warmup: float = 0.02
    hold: float = 0.0
    floor: float = 0.0
    clipping: ClippingName = "norm"
    clip: float = 1.0
    accumulation: int = 1
    average: float = 0.0
    average_patience: int = 0
    recurrent_l2: float = 0.0
    recurrent_orthogonal: float = 0.0
    evaluate_every: int | None = None
    log_every: int = 10
    save_every: int | None = None
    save_seconds: float = 60.0
    smooth_start: float | None = None
    explosion: float = 10.0
    seed: int = 0
    device: DeviceName = "auto"
    precision: PrecisionName = "32-true"

    def __post_init__(self) -> None:
        for name, allowed in _CHOICES.items():
            if getattr(self, name) not in allowed:
                raise ConfigError(f"{name} is {getattr(self, name)!r}; known are {', '.join(map(repr, allowed))}.")
        for name in _RANGES:
            _check_range(name, getattr(self, name))
        if (self.steps is None) == (self.budget is None):
            given = "neither" if self.steps is None else "both"
            raise ConfigError(f"{given} of steps and budget are given; give one, such as --steps 2000 or --budget 90s.")
        if self.schedule == "exponential" and self.floor == 0:
            raise ConfigError(
                "floor is 0, which an exponential schedule never reaches; give the fraction of the learning rate that "
                "it ends at, for example 0.01."
            )
        if self.average and self.average_patience:
            raise ConfigError(
                f"average is {self.average} and average_patience {self.average_patience}; one average of the weights "
                "can be kept: give one of the two."
            )
        if self.clipping == "mean_norm" and not 0.5 <= self.clip <= 10:
            raise ConfigError(
                f"clip is {self.clip}; with clipping mean_norm it is a factor of the running mean, from 0.5 to 10."
            )

    def to_dict(self) -> dict[str, Any]:
        """The options as JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TrainingConfig:
        """The configuration that `to_dict` gave.

        Raises:
            ConfigError: An option is unknown or out of its range.
        """
        known = {field.name for field in fields(cls)}
        if unknown := sorted(values.keys() - known):
            raise ConfigError(
                f"{', '.join(unknown)}: no such option of training; known are {', '.join(sorted(known))}."
            )
        return cls(**values)


def parse_budget(text: str | float) -> float:
    """A length of time in seconds, from "90s", "10m", "2h", "1h30m" or a plain number of seconds.

    Raises:
        ConfigError: It is no positive length of time.

    Examples:
        >>> parse_budget("1h30m")
        5400.0
    """
    written = str(text).strip().lower()
    parts = re.fullmatch(r"(?:([\d.]+)h)?(?:([\d.]+)m)?(?:([\d.]+)s?)?", written)
    try:
        if not parts or not any(parts.groups()):
            raise ValueError
        seconds = sum(float(part or 0) * scale for part, scale in zip(parts.groups(), _UNITS.values(), strict=True))
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < math.inf:
        raise ConfigError(f"the budget {written!r} is no length of time; write it like 90s, 10m, 2h, 1h30m or 45.")
    return seconds


def _check_range(name: str, value: Any) -> None:
    if value is None and name in _OPTIONAL:
        return
    low, high, with_low, with_high = _RANGES[name]
    if isinstance(value, int if name in _WHOLE else (int, float)) and not isinstance(value, bool):
        number = float(value)
        above = number >= low if with_low else number > low
        below = number <= high if with_high else number < high
        if above and below:
            return
    kind = "a whole number" if name in _WHOLE else "a number"
    lower = f"{'at least' if with_low else 'above'} {low}"
    upper = "" if high == math.inf else f" and {'at most' if with_high else 'below'} {high}"
    raise ConfigError(f"{name} is {value!r}; it must be {kind} {lower}{upper}.")
