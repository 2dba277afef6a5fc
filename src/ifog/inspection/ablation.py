"""Is a unit used for what it follows? Hold it at one value, and see what the model loses.

Owns the clamp, a rewriting of a recurrence's equations, and the comparison of a model with its clamped copy. Takes a
model and the names of units, gives another model that judges and
writes like any other. Never changes the model
it is given.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ifog.compiler.graph import Graph, Node, Parameter, State
from ifog.compiler.planning import plan
from ifog.errors import ConfigError, DataError
from ifog.inspection.activations import inspect
from ifog.inspection.detectors import DETECTORS, Detector
from ifog.inspection.labels import Source
from ifog.inspection.watching import find, values_of
from ifog.layers import Recurrent
from ifog.layers.stack import Stack
from ifog.tracking import tracked

if TYPE_CHECKING:
    from ifog.generation import Sampling
    from ifog.inspection.findings import Findings

__all__ = ["Effect", "ablate", "ablation_value", "ablations", "clamped"]

M = TypeVar("M", bound=nn.Module)


def clamped(model: M, units: Mapping[str, float]) -> M:
    """A copy of a model in which some units always have a given value, for everything that reads them.

    The equations themselves are rewritten: where layer 0 says `c = f * c + i * g`, the copy goes on with
    `c = keep * (f * c + i * g) + value`, so `h = o * tanh(c)` of the same step already reads the clamped `c`.

    Args:
        model: Holds recurrent layers.
        units: Name of a unit, such as "layer0.c:37", or of all units of a value, such as "layer1.f", and what it is
            held at.

    Raises:
        ConfigError: No such value or unit, or no finite number.

    Examples:
        >>> from ifog.models import LanguageModel
        >>> made = clamped(LanguageModel(9, hidden_size=4), {"layer0.c:2": 0.0})
        >>> _, state = made(torch.tensor([[1], [2]]))
        >>> state.c[0, 0, 2].item(), state.h[0, 0, 2].item()
        (0.0, 0.0)
    """
    made = copy.deepcopy(model)
    values = values_of(made)
    stacks = [module for module in made.modules() if isinstance(module, Stack)]
    held: dict[str, tuple[Tensor, Tensor]] = {}
    for name, number in units.items():
        value, unit = find(values, name)
        if not np.isfinite(number):
            raise ConfigError(f"{name} can't be held at {number}; give a finite number, such as 0.")
        like = stacks[values[value].stack].like(torch.empty(0))
        keep, offset = held.setdefault(value, (like.new_ones(values[value].size), like.new_zeros(values[value].size)))
        which = slice(None) if unit is None else unit
        keep[which], offset[which] = 0.0, number
    for value, (keep, offset) in held.items():
        place = values[value]
        stack = stacks[place.stack]
        graph = stack.plans[place.layer].graph
        names = tuple(f"{role}{len(graph.parameters)}_{place.local}" for role in ("keep", "held"))
        stack.plans[place.layer] = plan(_clamp(graph, place.local, *names))
        _add(stack, place.layer, dict(zip(names, (keep, offset), strict=True)))
    return made


def _clamp(graph: Graph, local: str, keep: str, offset: str) -> Graph:
    """The graph with `value -> keep * value + offset` between a named value and all that reads it."""
    node = dict(graph.names).get(local, graph.output)
    size = graph.nodes[node].size
    added = (
        Node("parameter", (), size, (keep,)),
        Node("mul", (node, node + 1), size),
        Node("parameter", (), size, (offset,)),
        Node("add", (node + 2, node + 3), size),
    )

    def moved(i: int) -> int:
        return i if i < node else i + len(added)

    after = (one._replace(args=tuple(moved(a) for a in one.args)) for one in graph.nodes[node + 1 :])
    return replace(
        graph,
        name=f"clamped({graph.name})",
        nodes=(*graph.nodes[: node + 1], *added, *after),
        parameters=(*graph.parameters, Parameter(keep, (size,), 1.0), Parameter(offset, (size,), 0.0)),
        states=tuple(State(s.name, s.node, moved(s.next)) for s in graph.states),
        output=moved(graph.output),
        names=tuple((name, moved(i)) for name, i in graph.names),
    )


def _add(stack: Stack, layer: int, extra: Mapping[str, Tensor]) -> None:
    """Lets one layer of a stack have more parameters than its class knows."""
    for name, value in extra.items():
        stack.register_buffer(name + stack.suffix(layer, 0), value, persistent=False)
    if not isinstance(stack, Recurrent):  # which takes each parameter by its name
        stack.__class__ = _with_extras(type(stack))


@cache
def _with_extras(kind: Any) -> Any:
    """A subclass of a drop-in layer whose cell may have parameters beside the stacked weights."""

    def cell_parameters(self: Any, layer: int, direction: int) -> Mapping[str, Tensor]:
        known = kind.cell_parameters(self, layer, direction)
        names = (parameter.name for parameter in self.plans[layer].graph.parameters)
        return {n: known[n] if n in known else getattr(self, n + self.suffix(layer, direction)) for n in names}

    def shared_parameters(self: Any, layer: int, direction: int) -> None:
        return None

    return type(kind.__name__, (kind,), {"cell_parameters": cell_parameters, "shared_parameters": shared_parameters})


@dataclass(frozen=True)
class Effect:
    """What clamping a unit changed. Nats per token, first of the model as it is, then of its clamped copy.

    Attributes:
        unit: What was clamped.
        value: What it was held at.
        nats: On the whole text.
        labelled: On tokens that come while the label is on (counts: above their median); None without a detector.
        elsewhere: On the others; None without a detector.
        words: What the label says; empty without a detector.
        texts: What both write from the same prime with the same chance; empty where nothing was asked for.
    """

    unit: str
    value: float
    nats: tuple[float, float]
    labelled: tuple[float, float] | None
    elsewhere: tuple[float, float] | None
    words: str
    texts: tuple[str, str]

    def to_dict(self) -> dict[str, Any]:
        """All fields as values that JSON can hold."""
        return asdict(self)

    def __str__(self) -> str:
        rows = [("the whole text", self.nats), (self.words, self.labelled), ("elsewhere", self.elsewhere)]
        lines = [f"{self.unit} held at {self.value:.3g}:"]
        for words, pair in rows:
            if pair is not None:
                lines.append(f"  {words:<36} {pair[0]:.4f} -> {pair[1]:.4f} nats/token ({pair[1] - pair[0]:+.4f})")
        if any(self.texts):
            lines += ["", "as it is:", self.texts[0], "", "clamped:", self.texts[1]]
        return "\n".join(lines)


def ablate(
    model: nn.Module,
    text: str,
    unit: str,
    *,
    value: float | Literal["mean"] = 0.0,
    detector: Detector | None = None,
    language: str = "prose",
    prime: str = "",
    length: int = 0,
    sampling: Sampling | None = None,
    unknown: str | None = None,
) -> Effect:
    """Hold a unit at one value, and compare what the model loses and writes.

    Args:
        model: A model with a `.tokenizer`, as `ifog.load` gives.
        text: What both are judged on.
        unit: Such as "layer0.c:37"; a value such as "layer0.c" clamps all its units.
        value: What it is held at; "mean" is its mean on the text, which takes away what it says and least else.
        detector: One of `DETECTORS`: losses are also told apart by its label before each token.
        language: Of the text, for the detector.
        prime: What the samples go on from.
        length: Tokens of each sample; 0 writes none.
        sampling: How tokens are chosen; None: temperature 0.7, seed 0.
        unknown: What to do with characters that the model doesn't know, as `ifog.inspect` takes it.

    Raises:
        ConfigError: No such unit, or a value that is no number.
        DataError: A text of fewer than two tokens, or with unknown characters.
    """
    if isinstance(value, str) and value != "mean":
        raise ConfigError(f"value is {value!r}; give a number, or 'mean'.")
    trace = inspect(model, text, values=[unit] if value == "mean" else (), candidates=0, unknown=unknown)
    if len(trace.tokens) < 2:
        raise DataError("a text of one token has nothing to predict; give at least two.")
    held = float(np.mean(trace[unit])) if value == "mean" else float(value)
    other = clamped(model, {unit: held})
    changed = inspect(other, text, values=(), candidates=0, unknown=unknown)
    before, after = -trace.log_prob[1:], -changed.log_prob[1:]
    on, words = (None, "") if detector is None else _before(detector, trace.tokens, language)

    def pair(which: NDArray[np.bool_] | None) -> tuple[float, float] | None:
        if which is None or not which.any():
            return None
        return float(before[which].mean()), float(after[which].mean())

    return Effect(
        unit=unit,
        value=held,
        nats=(float(before.mean()), float(after.mean())),
        labelled=pair(on),
        elsewhere=pair(None if on is None else ~on),
        words=words,
        texts=_texts(model, other, prime, length, sampling),
    )


def ablation_value(text: str) -> float | Literal["mean"]:
    """What a user wrote as the value of an ablation: a number, or "mean".

    Raises:
        ConfigError: Neither.
    """
    if text == "mean":
        return "mean"
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ConfigError(f"value is {text!r}; give a number that a unit is held at, such as 0, or mean.")
    return number


def ablations(model: nn.Module, text: str, found: Findings, detectors: Sequence[str], **options: Any) -> list[Effect]:
    """Ablate the best unit of each of some detectors.

    Args:
        model: What was searched.
        text: What both models are judged on.
        found: What the search found.
        detectors: Names of detectors that were searched for.
        options: Of `ablate`.

    Raises:
        ConfigError: A detector that wasn't searched for, or whose label the text lacks.
    """
    effects: list[Effect] = []
    for name in tracked(detectors, "holding units still"):
        known = [finding.detector for finding in found.findings]
        if name not in known:
            raise ConfigError(
                f"detector {name!r} has found no unit to ablate in this text; those that have are {', '.join(known)}."
            )
        unit = f"{found[name].name}:{found[name].unit}"
        effects.append(ablate(model, text, unit, detector=DETECTORS[name], language=found.language, **options))
    return effects


def _before(detector: Detector, tokens: Sequence[str], language: str) -> tuple[NDArray[np.bool_], str]:
    """Whether the label is on before each token but the first, and what that is called."""
    labels = detector(Source("".join(tokens), language))
    labels = labels[np.maximum(np.cumsum([len(token) for token in tokens]) - 1, 0)][:-1]
    if labels.dtype == np.bool_:
        return labels.astype(np.bool_), detector.words
    return labels > np.median(labels), f"{detector.words} above median"


def _texts(model: Any, other: Any, prime: str, length: int, sampling: Sampling | None) -> tuple[str, str]:
    if not length:
        return "", ""
    from ifog.generation import Sampling, sample

    chosen = sampling or Sampling(temperature=0.7, seed=0)
    first, second = (sample(one, prime, length, sampling=chosen) for one in (model, other))
    return first, second
