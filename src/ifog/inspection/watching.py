"""See every state, gate and named value of a model while it reads.

Owns the names `layer0.h` and how a layer is made to tell them: for as long as a model is watched, its recurrent layers
return the values that are wanted and nothing else. Takes a model and names, gives tensors. Never reads a text.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Collection, Generator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ifog.compiler.graph import Graph
from ifog.compiler.planning import plan
from ifog.errors import ConfigError, RunError
from ifog.layers.stack import Stack

__all__ = ["Value", "check_weights", "find", "split_unit", "values_of", "watching"]


class Value(NamedTuple):
    """One named value of one layer.

    Attributes:
        stack: Position of the module among the model's recurrent ones.
        layer: Position of the layer within that module.
        local: The name in the cell's equations.
        size: Columns (H).
        state: Whether it is a state that the layer carries on.
        gate: Whether it is a sigmoid: 0 is shut and 1 is open.
    """

    stack: int
    layer: int
    local: str
    size: int
    state: bool
    gate: bool


def values_of(model: nn.Module) -> dict[str, Value]:
    """Everything that can be seen in a model: `layer0.h`, `layer0.c`, `layer0.i` ..., states first in each layer.

    Layers are counted from the input through all recurrent modules.

    Raises:
        ConfigError: The model has no recurrent layers, or one that reads backwards.

    Examples:
        >>> from ifog.models import LanguageModel
        >>> list(values_of(LanguageModel(65, cell="gru", hidden_size=8)))
        ['layer0.h', 'layer0.r', 'layer0.z', 'layer0.n']
    """
    found: dict[str, Value] = {}
    number = 0
    for k, stack in enumerate(_stacks(model)):
        for layer, p in enumerate(stack.plans):
            states = [s.name for s in p.graph.states]
            for name, node in sorted(_named(p.graph).items(), key=lambda item: _place(item[0], states)):
                made = p.graph.nodes[node]
                value = Value(k, layer, name, made.size, name in states, made.op == "sigmoid")
                found[f"layer{number}.{name}"] = value
            number += 1
    return found


def split_unit(name: str) -> tuple[str, int | None]:
    """The value and the unit that a name such as `layer0.h:37` means; None without a unit.

    Raises:
        ConfigError: What follows the colon is no number.
    """
    value, colon, unit = name.partition(":")
    if colon and not (unit.isascii() and unit.isdigit()):
        raise ConfigError(f"{name!r}: what follows the colon counts units from 0; write it as in {value}:37.")
    return value, int(unit) if colon else None


def find(values: Mapping[str, Value], name: str) -> tuple[str, int | None]:
    """The value and unit that `name` means in a model.

    Raises:
        ConfigError: The model has no such value or unit.
    """
    value, unit = split_unit(name)
    if value not in values:
        near = difflib.get_close_matches(value, values, n=2, cutoff=0.6)
        hint = f"did you mean {' or '.join(near)}? " if near else ""
        raise ConfigError(f"{value!r} is no value of this model; {hint}It has {', '.join(values)}.")
    if unit is not None and unit >= values[value].size:
        raise ConfigError(
            f"{name!r}: {value} has {values[value].size} units, counted from 0 to {values[value].size - 1}."
        )
    return value, unit


def check_weights(model: nn.Module) -> None:
    """Refuses a model that can only say NaN.

    Raises:
        RunError: A weight is NaN or infinite; says which.
    """
    for name, weight in model.named_parameters():
        if not bool(torch.isfinite(weight).all()):
            raise RunError(
                f"{type(model).__name__}: the weight {name} holds NaN or infinity, so nothing that the model does "
                "means anything. Training went wrong before this was saved: load an earlier checkpoint, or train anew "
                "with a lower learning rate."
            )


@contextmanager
def watching(model: nn.Module, wanted: Collection[str]) -> Generator[dict[str, Tensor]]:
    """For a while, each call of the model leaves its wanted values in a dict: name -> `(T, B, H)`.

    The model must not be called by anyone else meanwhile.

    Args:
        model: Holds recurrent layers.
        wanted: Names of `values_of`.
    """
    values = values_of(model)
    seen: dict[str, Tensor] = {}
    with ExitStack() as restored:
        for k, stack in enumerate(_stacks(model)):
            named = {(v.layer, v.local): name for name, v in values.items() if v.stack == k and name in wanted}
            if named:
                restored.enter_context(_watching_one(stack, named, seen))
        yield seen


@contextmanager
def _watching_one(stack: Stack, named: Mapping[tuple[int, str], str], seen: dict[str, Tensor]) -> Generator[None]:
    def ask(_: nn.Module, args: tuple[Any, ...], options: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        return args, {**options, "return_gates": True}

    def take(_: nn.Module, __: Any, output: tuple[Any, Any, Mapping[str, Tensor]]) -> tuple[Any, Any]:
        y, state, gates = output
        for (layer, local), name in named.items():
            seen[name] = gates[local + stack.suffix(layer, 0)]
        return y, state

    before = stack.plans
    # a graph that names no more than what is wanted: the engine writes that and nothing else
    stack.plans = [
        plan(dataclasses.replace(p.graph, names=tuple(i for i in _named(p.graph).items() if (k, i[0]) in named)))
        for k, p in enumerate(before)
    ]
    hooks = [
        stack.register_forward_pre_hook(ask, with_kwargs=True),
        stack.register_forward_hook(take),
    ]
    try:
        yield
    finally:
        stack.plans = before
        for hook in hooks:
            hook.remove()


def _place(name: str, states: list[str]) -> int:
    """States first, in the cell's order; the rest as it is computed."""
    return states.index(name) if name in states else len(states)


def _named(graph: Graph) -> dict[str, int]:
    """The named nodes, with `y` for an output that has no name of its own."""
    named = dict(graph.names)
    if graph.output not in named.values():
        named.setdefault("y", graph.output)
    return named


def _stacks(model: nn.Module) -> list[Stack]:
    stacks = [module for module in model.modules() if isinstance(module, Stack)]
    if not stacks:
        raise ConfigError(
            f"{type(model).__name__} has no recurrent layers (ifog.Recurrent, LSTM, GRU, RNN), so it has neither "
            "states nor gates to look at; give a recurrent model."
        )
    if any(stack.bidirectional for stack in stacks):
        raise ConfigError(
            f"{type(model).__name__} reads backwards too, so its states know what comes next; "
            "give a model that reads in one direction."
        )
    return stacks
