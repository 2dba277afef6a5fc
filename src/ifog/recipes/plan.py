"""How long a training run will take, and what it needs, before it is begun.

Owns the extrapolation from a few measured steps. Takes a model and sizes, gives a `Plan`. A model too large to be tried
here is measured with smaller vocabularies, as its time and memory grow linearly with that. Never trains to an end.
"""

from __future__ import annotations

import math
import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch.autograd.graph import saved_tensors_hooks
from torch.optim import AdamW

from ifog.errors import ConfigError
from ifog.layers import detach_state
from ifog.models.catalogue import build

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["BYTES", "EFFICIENCY", "Plan", "make_plan"]

EFFICIENCY = 0.9  # of several processes: what the exchange of gradients leaves
BYTES = 16  # of a parameter in training: float32 value, gradient and AdamW's two averages
_LARGEST = 2**32  # different tokens that an id of 32 bits tells apart


@dataclass(frozen=True)
class Plan:
    """A run on paper.

    Attributes:
        parameters: Numbers that are learned.
        tokens_per_second: On one device.
        tokens: Of all passes together.
        devices: That share the work.
        model_bytes: Weights, gradients and AdamW's two averages, on each device.
        activation_bytes: What the forward pass keeps for the backward pass, on each device; 0 if nothing was measured.
        measured_bytes: Highest memory on a GPU while measuring the whole model; 0 on a CPU, or if only part was.
        measured: Vocabularies with which the speed was measured: V itself; or two smaller ones, from which time and
            activations are extrapolated linearly; none if the speed was given.
    """

    parameters: int
    tokens_per_second: float
    tokens: float
    devices: int
    model_bytes: int
    activation_bytes: int
    measured_bytes: int
    measured: tuple[int, ...]

    @property
    def seconds(self) -> float:
        """Of the whole run on all devices."""
        return self.seconds_on(self.devices)

    @property
    def hours(self) -> float:
        """Of the whole run on all devices."""
        return self.seconds / 3600

    @property
    def memory_bytes(self) -> int:
        """On each device: as measured, or model and activations."""
        return self.measured_bytes or self.model_bytes + self.activation_bytes

    def seconds_on(self, devices: int) -> float:
        """Of the whole run on another number of devices."""
        return self.tokens / (self.tokens_per_second * devices * (EFFICIENCY if devices > 1 else 1.0))

    def devices_within(self, hours: float) -> int:
        """How many devices do the work in so many hours.

        Raises:
            ConfigError: no time at all.

        Examples:
            >>> plan = Plan(10, 1000.0, 7.2e6, 1, 160, 0, 0, ())
            >>> plan.seconds_on(1), plan.devices_within(2.0), plan.devices_within(0.5)
            (7200.0, 1, 5)
        """
        if not hours > 0:
            raise ConfigError(f"plan: {hours} hours are no time to train in; give more than 0.")
        if self.seconds_on(1) <= hours * 3600:
            return 1
        return max(2, math.ceil(self.tokens / (self.tokens_per_second * EFFICIENCY * hours * 3600)))


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
    memory_limit: int = 2 << 30,
    tokens_per_second: float | None = None,
) -> Plan:
    """Measure a few updates here, and say what the whole run will take on machines like this one.

    Parameters are counted without making any. Where the whole model would take more than `memory_limit`, the largest
    vocabulary V / 2^k that doesn't is measured, and half of it; the rest of V costs what the difference tells.

    Args:
        model: Its name in `ifog.models.MODELS`.
        options: The model's own.
        vocabulary_size: V.
        tokens: Of the corpus.
        epochs: Passes over it.
        batch_size: Streams of each device.
        sequence: Steps of a chunk.
        devices: GPUs, or CPUs like this one.
        seconds: How long to measure each vocabulary.
        memory_limit: Bytes that parameters, gradients and averages may take while measuring.
        tokens_per_second: Of one device, measured elsewhere: nothing is measured here.

    Raises:
        ConfigError: A size that is not positive, a vocabulary over 2^32, options that describe no model, or a limit too
            small for what doesn't depend on the vocabulary.

    Examples:
        >>> plan = make_plan("window", {"order": 3}, vocabulary_size=50, tokens=10**6, batch_size=2, seconds=0.1)
        >>> plan.parameters, plan.seconds > 0
        (55350, True)
    """
    if min(vocabulary_size, tokens, batch_size, sequence, devices) < 1 or epochs <= 0:
        raise ConfigError("plan: vocabulary, tokens, epochs, batch size, sequence and devices must all be above 0.")
    if vocabulary_size > _LARGEST:
        raise ConfigError(
            f"plan: a vocabulary of {vocabulary_size} has more words than ids of 32 bits; give up to 2^32."
        )
    if tokens_per_second is not None and not 0 < tokens_per_second < math.inf:
        raise ConfigError(
            f"plan: {tokens_per_second} tokens per second is no speed; give what a device was measured at."
        )
    parameters = _parameters(model, options, vocabulary_size)
    measured: tuple[int, ...] = ()
    whole = _Cost(0.0, 0, 0)
    if tokens_per_second is None:
        measured = _vocabularies(model, options, vocabulary_size, memory_limit)
        costs = [_cost(model, {**options, "vocabulary_size": v}, batch_size, sequence, seconds) for v in measured]
        whole = _extrapolated(measured, costs, vocabulary_size)
        tokens_per_second = batch_size * sequence / whole.seconds
    return Plan(parameters, tokens_per_second, tokens * epochs, devices, BYTES * parameters, whole.activations,
                whole.highest, measured)  # fmt: skip


class _Cost(NamedTuple):
    """Of one update: its time, what is kept for the backward pass, and the highest memory on a GPU."""

    seconds: float
    activations: int
    highest: int


def _parameters(model: str, options: Mapping[str, Any], vocabulary: int) -> int:
    with torch.device("meta"):  # shapes without numbers
        network = build(model, {"vocabulary_size": vocabulary, **options})
    return sum(p.numel() for p in network.parameters())


def _vocabularies(model: str, options: Mapping[str, Any], vocabulary: int, limit: int) -> tuple[int, ...]:
    """V if the model is small enough to be measured, else two vocabularies that make it so."""
    size = vocabulary
    while BYTES * _parameters(model, options, size) > limit:
        if size < 32:
            raise ConfigError(
                f"plan: the model takes more than {limit} bytes with a vocabulary of {size} words already, so it can't "
                "be measured within them; raise the limit of memory, or give the speed measured elsewhere."
            )
        size //= 2
    return (vocabulary,) if size == vocabulary else (size // 2, size)


def _extrapolated(vocabularies: tuple[int, ...], costs: list[_Cost], wanted: int) -> _Cost:
    """A line through two costs, followed to the wanted vocabulary; never falling, as noise may have it."""
    if len(costs) == 1:
        return costs[0]
    first, second = costs
    steps = (wanted - vocabularies[1]) / (vocabularies[1] - vocabularies[0])
    seconds = second.seconds + steps * max(second.seconds - first.seconds, 0.0)
    return _Cost(seconds, round(second.activations + steps * max(second.activations - first.activations, 0)), 0)


def _cost(model: str, options: Mapping[str, Any], batch: int, steps: int, seconds: float) -> _Cost:
    """Of whole updates, the median after a first one; ids as rare as in text, most often small."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = build(model, options).to(device)
    optimizer = AdamW(network.parameters(), fused=True)
    vocabulary = options["vocabulary_size"]
    draws = torch.rand(steps + 1, batch, generator=torch.Generator().manual_seed(0))
    text = (vocabulary**draws - 1).long().clamp_(0, vocabulary - 1).to(device)
    state, times, start, kept = None, list[float](), time.perf_counter(), _Kept(network)
    network.train()
    while len(times) < 3 or time.perf_counter() - start < seconds:
        before = time.perf_counter()
        if times:
            loss, state = network.loss(text[:-1], text[1:], state)
        else:
            with saved_tensors_hooks(kept.pack, _same):
                loss, state = network.loss(text[:-1], text[1:], state)
        state = detach_state(state)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        loss.item()  # waits for the device
        times.append(time.perf_counter() - before)
    highest = torch.cuda.max_memory_allocated() if device.type == "cuda" else 0
    return _Cost(statistics.median(times[1:]), kept.bytes, highest)


class _Kept:
    """Adds up what autograd keeps, each piece of memory once, the parameters not."""

    def __init__(self, network: torch.nn.Module) -> None:
        self.bytes = 0
        self._seen = {parameter.untyped_storage().data_ptr() for parameter in network.parameters()}

    def pack(self, tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in self._seen:
            self._seen.add(storage.data_ptr())
            self.bytes += storage.nbytes()
        return tensor


def _same(tensor: torch.Tensor) -> torch.Tensor:
    return tensor
