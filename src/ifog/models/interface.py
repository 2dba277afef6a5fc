"""What every neural language model can do, and what most of them do in the same way.

Owns the protocol `NextTokenModel`, the base class `HiddenModel` of models that end in one of our softmaxes, and the
base class of their configurations. Never knows a particular model.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Protocol, TypeVar, runtime_checkable

from torch import Tensor, nn

from ifog.errors import ConfigError, ShapeError
from ifog.layers.cross_entropy import mean_nats
from ifog.layers.softmax import Softmax

__all__ = ["Config", "HiddenModel", "ModelConfig", "NextTokenModel"]

C = TypeVar("C", bound="ModelConfig")


class Config(Protocol):
    """Everything that fixes the shapes of a model's weights."""

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain values that JSON can hold."""
        ...


@runtime_checkable
class NextTokenModel(Protocol):
    """Ids in, the distribution of what comes next out; the state that is returned goes on from there.

    A state is a tensor or a nested tuple of tensors (`ifog.layers.detach_state` cuts it); None starts afresh.
    """

    @property
    def config(self) -> Config:
        """How the model was built."""
        ...

    def forward(self, ids: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """Scores (T, B, V) whose softmax is the distribution after each of the ids (T, B), and the next state."""
        ...

    def loss(self, ids: Tensor, targets: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """What training minimises, mean nats per token (a scalar), and the next state; negative targets don't count."""
        ...

    def log_prob(self, ids: Tensor, targets: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """The exact log-probability of each target (T, B), whatever training minimises, and the next state."""
        ...


class HiddenModel(nn.Module, ABC):
    """A model that makes hidden vectors, of which a softmax makes the distribution (a `NextTokenModel`).

    A subclass sets `softmax` and says how ids become hidden vectors.
    """

    softmax: Softmax

    @abstractmethod
    def hidden(self, ids: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """Vectors (T, B, H) after each of the ids (T, B), and the next state."""

    def forward(self, ids: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """Scores (T, B, V) whose softmax is the distribution after each of the ids (T, B), and the next state."""
        vectors, state = self.hidden(ids, state)
        return self.softmax.scores(vectors.flatten(0, 1)).view(*ids.shape, -1), state

    def loss(self, ids: Tensor, targets: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """What training minimises, in mean nats per token (a scalar), and the next state.

        Args:
            ids: (T, B).
            targets: (T, B), the ids that came next; a negative one doesn't count.
            state: of the call before; None starts afresh.
        """
        vectors, state = self.hidden(ids, state)
        flat = targets.flatten()
        return mean_nats(self.softmax.loss(vectors.flatten(0, 1), flat), flat), state

    def log_prob(self, ids: Tensor, targets: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """The exact log-probability of each target (T, B), 0 where the target is negative, and the next state."""
        vectors, state = self.hidden(ids, state)
        return self.softmax.log_prob_of(vectors.flatten(0, 1), targets.flatten()).view(ids.shape), state


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """A model's configuration, which survives a trip through JSON; each model adds its fields.

    Attributes:
        vocabulary_size: V, the number of different tokens.

    Raises:
        ConfigError: a value out of its range.
    """

    vocabulary_size: int

    def __post_init__(self) -> None:
        self.whole(vocabulary_size=1)

    def whole(self, **least: int) -> None:
        """Refuses fields that are no whole numbers of at least the given size."""
        for name, smallest in least.items():
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < smallest:
                raise ConfigError(
                    f"{type(self).__name__}: {name} is {value!r}, but it counts something: give a whole number that "
                    f"is {smallest} or more."
                )

    def shares(self, *names: str) -> None:
        """Refuses fields that are no shares, from 0 to below 1."""
        for name in names:
            value = getattr(self, name)
            if not isinstance(value, int | float) or not 0.0 <= value < 1.0:
                raise ConfigError(
                    f"{type(self).__name__}: {name} is {value!r}, but it is a share: give a number from "
                    "0 to below 1, for example 0.2."
                )

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain values that JSON can hold."""
        return {name: list(v) if isinstance(v, tuple) else v for name, v in dataclasses.asdict(self).items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]

    @classmethod
    def from_dict(cls: type[C], values: Mapping[str, Any]) -> C:
        """The configuration that `to_dict` described.

        Raises:
            ConfigError: a name that no field has, or a missing vocabulary size.
        """
        known = [field.name for field in dataclasses.fields(cls)]
        if unknown := sorted(set(values) - set(known)):
            raise ConfigError(
                f"{cls.__name__}: the configuration holds {', '.join(unknown)}, which this version doesn't know; "
                f"it knows {', '.join(known)}. Was it written by a newer ifog?"
            )
        if "vocabulary_size" not in values:
            raise ConfigError(f"{cls.__name__}: the configuration lacks vocabulary_size, the number of tokens.")
        given: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}  # pyright: ignore[reportUnknownArgumentType]
        return cls(**given)


def check_history(model: str, state: Tensor, wanted: tuple[int, ...]) -> Tensor:
    """A state made of earlier ids, of the shape that a model keeps.

    Raises:
        ShapeError: another shape; says which.
    """
    if tuple(state.shape) != wanted:
        raise ShapeError(
            f"{model}: the state has shape {tuple(state.shape)}, expected {wanted}, (steps, batch): "
            "give the state that was returned for the same batch, or None to start afresh"
        )
    return state
