"""How long a training run will take, and what it needs, before it is begun.

Owns the extrapolation from a few measured steps. Takes a model and sizes, gives a `Plan`. Never trains to an end.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch.optim import AdamW

from ifog.errors import ConfigError
from ifog.layers import detach_state
from ifog.models.catalogue import build

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Plan", "make_plan"]

EFFICIENCY = 0.9  # of several processes: what the exchange of gradients leaves


@dataclass(frozen=True)
class Plan:
    """A run on paper.

    Attributes:
        parameters: Numbers that are learned.
        tokens_per_second: Measured on one device.
        seconds: Of the whole run on all devices.
        model_bytes: Weights, gradients and AdamW's two averages, on each device.
        measured_bytes: Highest memory on a GPU while measuring, activations included; 0 on a CPU.
    """

    parameters: int
    tokens_per_second: float
    seconds: float
    model_bytes: int
    measured_bytes: int

    @property
    def hours(self) -> float:
        """Of the whole run."""
        return self.seconds / 3600


def make_plan(
    model: str,
    options: Mapping[str, Any],
    *,
    vocabulary_size: int,
    tokens: int,
    epochs: float = 1.0,
    batch_size: int = 128,
    sequence: int = 20,
    devices: int = 1,
    seconds: float = 10.0,
) -> Plan:
    """Measure a few updates here, and say what the whole run will take on machines like this one.

    Args:
        model: Its name in `ifog.models.MODELS`.
        options: The model's own.
        vocabulary_size: V.
        tokens: Of the corpus.
        epochs: Passes over it.
        batch_size: Streams of each device.
        sequence: Steps of a chunk.
        devices: GPUs, or CPUs like this one.
        seconds: How long to measure.

    Raises:
        ConfigError: A size that is not positive, or options that describe no model.

    Examples:
        >>> plan = make_plan("window", {"order": 3}, vocabulary_size=50, tokens=10**6, batch_size=2, seconds=0.1)
        >>> plan.parameters, plan.seconds > 0
        (55350, True)
    """
    if min(vocabulary_size, tokens, batch_size, sequence, devices) < 1 or epochs <= 0:
        raise ConfigError("plan: vocabulary, tokens, epochs, batch size, sequence and devices must all be above 0.")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = build(model, {"vocabulary_size": vocabulary_size, **options}).to(device)
    parameters = sum(p.numel() for p in network.parameters())
    speed = _speed(network, vocabulary_size, batch_size, sequence, seconds, device)
    share = EFFICIENCY if devices > 1 else 1.0
    memory = torch.cuda.max_memory_allocated() if device.type == "cuda" else 0
    return Plan(parameters, speed, tokens * epochs / (speed * devices * share), 16 * parameters, memory)


def _speed(network: Any, vocabulary: int, batch: int, steps: int, seconds: float, device: torch.device) -> float:
    """Tokens per second of whole updates, the median after a first one; ids as rare as in text, most often small."""
    optimizer = AdamW(network.parameters(), fused=True)
    draws = torch.rand(steps + 1, batch, generator=torch.Generator().manual_seed(0))
    text = (vocabulary**draws - 1).long().clamp_(0, vocabulary - 1).to(device)
    state, times, start = None, list[float](), time.perf_counter()
    network.train()
    while len(times) < 3 or time.perf_counter() - start < seconds:
        before = time.perf_counter()
        loss, state = network.loss(text[:-1], text[1:], state)
        state = detach_state(state)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        loss.item()  # waits for the device
        times.append(time.perf_counter() - before)
    return batch * steps / statistics.median(times[1:])
