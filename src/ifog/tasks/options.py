"""Every option of training a language model, with its default, in one place.

Owns the names and defaults that Python, the command line and the run's config.json share, and the preset
`min-char-rnn`. Gives the model's and the trainer's own configurations. Never imports torch: the command line's help
reads the defaults from here.
"""

from __future__ import annotations

import dataclasses
import difflib
from typing import TYPE_CHECKING, Any

from ifog.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ifog.training import TrainingConfig

__all__ = ["DEFAULT_BUDGET", "MIN_CHAR_RNN", "LanguageOptions"]

DEFAULT_BUDGET = "60s"
TOKENIZERS = ("char", "byte", "word", "bpe")

MIN_CHAR_RNN: Mapping[str, Any] = {
    "cell": "elman",
    "hidden_size": 100,
    "embedding_size": 0,
    "batch_size": 1,
    "sequence": 25,
    "optimizer": "adagrad",
    "learning_rate": 0.1,
    "weight_decay": 0.0,
    "schedule": "constant",
    "warmup": 0.0,
    "clipping": "value",
    "clip": 5.0,
    "average": 0.0,
    "evaluate_every": 100,
    "log_every": 100,
    "validation_fraction": 0.0,
    "precision": "32-true",
}


@dataclasses.dataclass(frozen=True)
class LanguageOptions:
    """How a language model is built and trained; each field is an option of `ifog.train` and `ifog train`.

    Attributes:
        tokenizer: "char" (every character of the corpus is a token), "byte" (UTF-8 bytes, 256 tokens), "word" (split at
            white space, each line's end a token) or "bpe" (pieces of words, learned from the corpus).
        vocabulary_size: most tokens of "word" and "bpe"; none: every word, or 8,192 pieces.
        validation_fraction: share of the text, at its end, that is held back to judge the model; with 0 it is judged
            on the text it was trained on.
        model: its name in `ifog.models.MODELS`; "recurrent" is described by the options below, the others by:
        model_options: the model's own options.
        cell: the recurrence's name in the catalogue.
        cell_options: the cell's own options.
        hidden_size: units per layer.
        num_layers: recurrent layers on top of each other.
        embedding_size: numbers per token handed to the first layer; 0 gives the ids straight to the cell.
        dropout: share of values dropped in training.
        tied: use the embedding as the output matrix.
        backend: what runs the recurrence.
        batch_size: parallel streams.
        sequence: time steps per chunk: gradients go back this far, the state is carried on.
        min_char_rnn: the lectures' program: summed loss, one stream over the whole text, weights from N(0, 0.01²).
        steps: updates in all; or:
        epochs: passes over the text; or:
        budget: seconds in all.
        seed: of the initial weights and everything random.
        precision: "32-true", "bf16-mixed" (products on operands rounded to bf16), or "auto", which a run decides once:
            bf16-mixed on a CPU that multiplies bf16 in hardware.

    The other fields are those of `ifog.training.TrainingConfig`.

    Raises:
        ConfigError: an option out of its range.
    """

    tokenizer: str = "char"
    vocabulary_size: int | None = None
    validation_fraction: float = 0.1
    model: str = "recurrent"
    model_options: Mapping[str, Any] = dataclasses.field(default_factory=dict[str, Any])
    cell: str = "lstm"
    cell_options: Mapping[str, Any] = dataclasses.field(default_factory=dict[str, Any])
    hidden_size: int = 384
    num_layers: int = 1
    embedding_size: int = 64
    dropout: float = 0.0
    tied: bool = False
    backend: str = "auto"
    batch_size: int = 16
    sequence: int = 64
    min_char_rnn: bool = False
    steps: int | None = None
    epochs: float | None = None
    budget: float | None = None
    optimizer: str = "adamw"
    learning_rate: float = 6e-3
    momentum: float = 0.9
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
        if self.tokenizer not in TOKENIZERS:
            raise ConfigError(f"options: tokenizer is {self.tokenizer!r}; give one of {', '.join(TOKENIZERS)}.")
        if self.epochs is not None and not self.epochs > 0:
            raise ConfigError(f"options: epochs is {self.epochs!r}, but it counts passes over the text; give e.g. 5.")
        if not 0.0 <= self.validation_fraction < 1.0:
            raise ConfigError(
                f"options: validation_fraction is {self.validation_fraction!r}, but it is the share of the text held "
                "back to judge the model: give a number from 0 to below 1, for example 0.1."
            )
        for name, meaning in (("batch_size", "parallel streams"), ("sequence", "time steps per chunk")):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise ConfigError(f"options: {name} is {value!r}, but it counts {meaning}: give 1 or more.")
        if self.min_char_rnn and self.batch_size != 1:
            raise ConfigError(
                f"options: min-char-rnn reads one stream, but batch_size is {self.batch_size}; "
                "leave batch_size out, or train without min_char_rnn."
            )

    @classmethod
    def given(cls, *, min_char_rnn: bool = False, **chosen: Any) -> LanguageOptions:
        """The options somebody chose, over the defaults or over min-char-rnn's.

        Raises:
            ConfigError: an unknown name (the nearest known one is offered), or a value out of its range.
        """
        known = [field.name for field in dataclasses.fields(cls)]
        for name in chosen:
            if name not in known:
                near = difflib.get_close_matches(name, known, 1)
                hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(known)}."
                raise ConfigError(f"options: there is no option {name!r}; {hint}")
        values: dict[str, Any] = {**(MIN_CHAR_RNN if min_char_rnn else {}), **chosen, "min_char_rnn": min_char_rnn}
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain values that JSON can hold."""
        return dataclasses.asdict(self)

    def decided(self) -> LanguageOptions:
        """The same with nothing left to this machine, so that a run goes on elsewhere as it began."""
        import torch

        from ifog.kernels.loading import multiplies_bf16

        if self.precision != "auto":
            return self
        on_cpu = self.device == "cpu" or (self.device == "auto" and not torch.cuda.is_available())
        fast = on_cpu and multiplies_bf16()
        return dataclasses.replace(self, precision="bf16-mixed" if fast else "32-true")

    def training(self) -> TrainingConfig:
        """The trainer's part of the options.

        Raises:
            ConfigError: a value out of its range, or both of steps and budget.
        """
        from ifog.training import TrainingConfig

        shared = {field.name for field in dataclasses.fields(TrainingConfig)} & set(self.to_dict())
        values = {name: getattr(self, name) for name in shared}
        if self.epochs is not None and self.steps is None:  # how many that are the text will tell
            values["steps"] = 1
        return TrainingConfig(**values)
