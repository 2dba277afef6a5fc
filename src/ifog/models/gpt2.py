"""GPT-2 as others trained it, judged like every other model here.

Owns the strided windows in which a text longer than GPT-2's context is read. Takes GPT-2's own ids (T, B). Needs the
package `transformers`, which is imported when a model is built and never before; trains nothing.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.nn import functional

from ifog.errors import ConfigError
from ifog.layers.cross_entropy import mean_nats
from ifog.models.interface import ModelConfig

__all__ = ["GPT2Config", "GPT2Model"]


@dataclass(frozen=True)
class GPT2Config(ModelConfig):
    """Which GPT-2, and how it reads.

    Attributes:
        vocabulary_size: V, 50,257 in the published models.
        name: "gpt2", "gpt2-medium", ..., or the folder of a downloaded one.
        context: tokens in a window, at most what the model can take.
        stride: tokens by which a window moves on; each token is judged once, with `context - stride` or more before it.

    Raises:
        ConfigError: a value out of its range.
    """

    vocabulary_size: int = 50_257
    name: str = "gpt2"
    context: int = 1024
    stride: int = 512

    def __post_init__(self) -> None:
        super().__post_init__()
        self.whole(context=1, stride=1)
        if self.stride > self.context:
            raise ConfigError(
                f"GPT2Config: stride {self.stride} is longer than the context of {self.context} tokens, so some tokens "
                f"would never be read; give at most {self.context}."
            )


class GPT2Model(nn.Module):
    """GPT-2 in strided windows (a `NextTokenModel`).

    The state is the ids of the window so far, (n, B). A window grows to `context` tokens, then drops all but the last
    `context - stride` and grows again, so where windows begin depends on the text's length alone, not on its
    pieces.

    Args:
        config: which model.
        network: a `transformers.GPT2LMHeadModel` at hand; None loads the one that `config.name` tells.

    Raises:
        ConfigError: `transformers` isn't installed, or the context is longer than the network's.

    Source:
        Radford et al. (2019), Language models are unsupervised multitask learners.
    """

    def __init__(self, config: GPT2Config, network: Any = None) -> None:
        super().__init__()
        self.config = config
        self.network = _load(config.name) if network is None else network
        longest = int(self.network.config.n_positions)
        if config.context > longest:
            raise ConfigError(
                f"GPT2Model: context is {config.context}, but this network reads {longest} tokens at most; give "
                f"context={longest} or less."
            )

    def forward(self, ids: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Scores (T, B, V) after each of the ids (T, B), and the window's ids."""
        found: list[Tensor] = [torch.zeros(0, ids.size(1), self.config.vocabulary_size, device=ids.device)]
        after = ids[:0] if state is None else state
        for window, new in self._windows(ids, after):
            found.append(self._scores(window, new))
            after = window
        return torch.cat(found), after

    def loss(self, ids: Tensor, targets: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Mean nats per token (a scalar), and the next state."""
        found, after = self.log_prob(ids, targets, state)
        return mean_nats(-found, targets), after

    def log_prob(self, ids: Tensor, targets: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The log-probability of each target (T, B), 0 where the target is negative, and the next state."""
        found: list[Tensor] = [torch.zeros(0, ids.size(1), device=ids.device)]
        after, done = ids[:0] if state is None else state, 0
        for window, new in self._windows(ids, after):  # one window's scores at a time
            here = targets[done : done + new].clamp(min=-1).flatten()
            scores = self._scores(window, new).flatten(0, 1)
            nats = functional.cross_entropy(scores, here, ignore_index=-1, reduction="none")
            found.append(-nats.view(new, -1))
            after, done = window, done + new
        return torch.cat(found), after

    def _windows(self, ids: Tensor, window: Tensor) -> Iterator[tuple[Tensor, int]]:
        """The ids of each window, and how many at its end are new."""
        done = 0
        while done < len(ids):
            if len(window) >= self.config.context:
                window = window[self.config.stride :]
            new = ids[done : done + self.config.context - len(window)]
            window, done = torch.cat([window, new]), done + len(new)
            yield window, len(new)

    def _scores(self, window: Tensor, new: int) -> Tensor:
        """Scores (new, B, V) after the last tokens of a window."""
        return self.network(input_ids=window.t(), use_cache=False).logits.transpose(0, 1)[len(window) - new :]


def _load(name: str) -> Any:
    try:
        network: Any = importlib.import_module("transformers").GPT2LMHeadModel
    except ImportError as error:
        raise ConfigError(
            f"GPT-2 is read by the package transformers, which can't be imported ({error}); install the extra: "
            'pip install "ifog[gpt2]".'
        ) from error
    try:
        return network.from_pretrained(name)
    except (OSError, SafetensorError) as error:
        raise ConfigError(
            f"GPT2Config: name is {name!r}, but no such model could be loaded ({error}); give a folder that holds one, "
            "or a published name and a connection to load it from."
        ) from error
