"""The options that every task shares, with their defaults, in one place.

Owns the names and defaults that Python, the command line and the run's config.json share. Gives the trainer's own
configuration. Never imports torch: the command line's help reads the defaults from here.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping  # where types are asked for, as the command line does
from typing import TYPE_CHECKING, Any, Self

from ifog.errors import ConfigError

if TYPE_CHECKING:
    from ifog.training import TrainingConfig

__all__ = ["DEFAULT_BUDGET", "TaskOptions"]

DEFAULT_BUDGET = "60s"


@dataclasses.dataclass(frozen=True, kw_only=True)
class TaskOptions:
    """How a model is built and trained, whatever it learns; a task adds its own.

    Attributes:
        cell: the recurrence's name in the catalogue: lstm, gru, elman ...; `ifog cells` lists them all.
        cell_options: the cell's own options, such as peephole=true; `ifog cells NAME` shows them.
        hidden_size: units per layer: what the model can keep in mind. 128 is quick, 512 and more need time.
        num_layers: recurrent layers on top of each other; 1 to 3 are common.
        dropout: share of values dropped in training, against learning by heart: 0 for short runs, 0.5 for long.
        validation_fraction: share of the data that is held back to judge the model; 0 judges it on what it learned.
        batch_size: examples per update. More use the machine better, fewer update more often.
        steps: updates in all, in place of a time.
        epochs: passes over the data, in place of a time.
        budget: time in all, such as 90s, 10m, 2h: the learning rate is planned to end on time.
        optimizer: adamw, sgd, rmsprop or adagrad.
        learning_rate: the highest step size. Too low is slow, too high explodes: try a third, or three times as much.
        momentum: of the optimizer sgd.
        beta2: how long adamw and rmsprop remember the size of gradients: 0.99 for a hundred updates, 0.999 for a
            thousand, which suits words, most of which are rare.
        weight_decay: pull of the matrices towards zero; 0 to 0.1.
        schedule: cosine or exponential (fall to the floor at the end), or constant.
        warmup: share of the run in which the learning rate rises to its highest.
        hold: share of the run before the learning rate begins to fall.
        floor: where the fall ends, as a share of the learning rate.
        clipping: what tames exploding gradients: norm, value, mean_norm (a multiple of the usual norm) or none.
        clip: the clipping's threshold: about 1 for norm, 5 for value, 0.5 to 10 for mean_norm.
        accumulation: batches per update, where memory is short.
        average: decay of a moving average of the weights, judged and kept in their place; 0.99 to 0.9999, 0 for none.
        average_patience: evaluations without progress before the plain mean of the weights takes their place (NT-ASGD);
            0: never.
        recurrent_l2: weight of the recurrent matrices' squared norm in the loss.
        evaluate_every: steps between evaluations; about ten a run otherwise.
        log_every: steps between records in metrics.jsonl.
        save_every: steps between checkpoints, beside those at evaluations.
        save_seconds: seconds between checkpoints.
        seed: of everything random: the same seed repeats a run by steps bit for bit.
        device: auto, cpu or cuda.
        precision: 32-true, bf16-mixed (products on operands rounded to bf16), int16-mixed (recurrences multiply 16-bit
            integers, each 64 with a scale), or auto, which a run decides once: what this CPU multiplies fastest.

    Raises:
        ConfigError: an option out of its range.
    """

    cell: str = "lstm"
    cell_options: Mapping[str, Any] = dataclasses.field(default_factory=dict[str, Any])
    hidden_size: int = 128
    num_layers: int = 1
    dropout: float = 0.0
    validation_fraction: float = 0.1
    batch_size: int = 32
    steps: int | None = None
    epochs: float | None = None
    budget: float | None = None
    optimizer: str = "adamw"
    learning_rate: float = 2e-3
    momentum: float = 0.9
    beta2: float = 0.99
    weight_decay: float = 0.0
    schedule: str = "cosine"
    warmup: float = 0.02
    hold: float = 0.0
    floor: float = 0.0
    clipping: str = "norm"
    clip: float = 1.0
    accumulation: int = 1
    average: float = 0.0
    average_patience: int = 0
    recurrent_l2: float = 0.0
    evaluate_every: int | None = None
    log_every: int = 10
    save_every: int | None = None
    save_seconds: float = 60.0
    seed: int = 0
    device: str = "auto"
    precision: str = "auto"

    def __post_init__(self) -> None:
        if self.epochs is not None and not self.epochs > 0:
            raise ConfigError(f"options: epochs is {self.epochs!r}, but it counts passes over the data; give e.g. 5.")
        if not 0.0 <= self.validation_fraction < 1.0:
            raise ConfigError(
                f"options: validation_fraction is {self.validation_fraction!r}, but it is the share of the data held "
                "back to judge the model: give a number from 0 to below 1, for example 0.1."
            )
        self.counts(
            batch_size="examples per update", hidden_size="units per layer", num_layers="layers on top of each other"
        )

    @property
    def steps_at_once(self) -> int:
        """Steps of each sequence that one update learns from; 0: all. Kinds that can learn in chunks say how many."""
        return 0

    def for_saved_weights(self) -> Self:
        """These options without files that only the first weights of a run are made of."""
        return self

    def counts(self, **meanings: str) -> None:
        """Refuses fields that are no whole numbers from 1 on.

        Args:
            meanings: what each field counts, by its name.

        Raises:
            ConfigError: one of them is less, or no whole number.
        """
        for name, meaning in meanings.items():
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ConfigError(f"options: {name} is {value!r}, but it counts {meaning}: give 1 or more.")

    @classmethod
    def given(cls, **chosen: Any) -> Self:
        """The options somebody chose, over the defaults.

        Raises:
            ConfigError: an unknown name (the nearest known one is offered), or a value out of its range.
        """
        known = [field.name for field in dataclasses.fields(cls)]
        for name in chosen:
            if name not in known:
                near = difflib.get_close_matches(name, known, 1)
                hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(known)}."
                raise ConfigError(f"options: there is no option {name!r}; {hint}")
        return cls(**chosen)

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain values that JSON can hold."""
        return dataclasses.asdict(self)

    def decided(self) -> Self:
        """The same with nothing left to this machine, so that a run goes on elsewhere as it began."""
        import torch

        from ifog.kernels.loading import fastest_products

        if self.precision != "auto":
            return self
        on_cpu = self.device == "cpu" or (self.device == "auto" and not torch.cuda.is_available())
        fastest = fastest_products() if on_cpu else "fp32"
        return dataclasses.replace(self, precision="32-true" if fastest == "fp32" else f"{fastest}-mixed")

    def training(self) -> TrainingConfig:
        """The trainer's part of the options.

        Raises:
            ConfigError: a value out of its range, or both of steps and budget.
        """
        from ifog.training import TrainingConfig

        shared = {field.name for field in dataclasses.fields(TrainingConfig)} & set(self.to_dict())
        values = {name: getattr(self, name) for name in shared}
        if self.epochs is not None and self.steps is None:  # how many that are the data will tell
            values["steps"] = 1
        return TrainingConfig(**values)
