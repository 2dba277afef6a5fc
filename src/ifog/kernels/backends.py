"""Choose who runs a recurrence, and say why.

Owns the list of backends and the rules between them. Takes a plan and what is asked of it, gives a `Choice` whose
reason can be printed, or an error where a backend that was named can't do it. Nothing falls back in silence.
"""

from __future__ import annotations

import dataclasses
import logging
from functools import lru_cache
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor

from ifog.compiler.execution import Inputs, over_time, unroll
from ifog.compiler.planning import Plan
from ifog.errors import BackendError
from ifog.kernels import aten, symbolic

__all__ = ["BACKENDS", "Backend", "Choice", "choose", "run"]

Backend = Literal["auto", "aten", "symbolic", "reference"]
BACKENDS: tuple[str, ...] = get_args(Backend)

_log = logging.getLogger("ifog.backends")


class Choice(NamedTuple):
    """A backend's name and why it runs."""

    backend: Literal["aten", "symbolic", "reference"]
    reason: str


@lru_cache(maxsize=1024)
def choose(
    plan: Plan, backend: str = "auto", *, tokens: bool = False, masked: bool = False, gates: bool = False
) -> Choice:
    """Who runs `plan`.

    Args:
        plan: The recurrence.
        backend: "auto", or one backend by name.
        tokens: Whether the input is token ids.
        masked: Whether `lengths` or `reset` are given.
        gates: Whether named values are wanted back.

    Raises:
        BackendError: `backend` is unknown, or can't run what is asked.
    """
    name = plan.graph.name
    obstacle = _aten_obstacle(plan, tokens=tokens, masked=masked, gates=gates)
    if backend == "aten" and obstacle:
        raise BackendError(f'backend="aten" can\'t run cell {name}: {obstacle}; use backend="auto"')
    if backend == "symbolic" and gates:
        raise BackendError(
            'backend="symbolic" keeps no gates; use backend="auto" or "reference" with return_gates=True'
        )
    if backend not in BACKENDS:
        raise BackendError(f"no backend is called {backend!r}; use one of {', '.join(BACKENDS)}")
    if backend != "auto":
        choice = Choice(backend, "asked for by name")  # type: ignore[arg-type]
    elif not obstacle:
        choice = Choice("aten", "its graph is one of PyTorch's own recurrences")
    elif gates:
        choice = Choice("reference", "gates are returned, and may be differentiated")
    else:
        choice = Choice("symbolic", f"PyTorch's own kernels can't: {obstacle}")
    _log.debug("cell %s runs on %s: %s", name, *choice)
    return choice


def _aten_obstacle(plan: Plan, *, tokens: bool, masked: bool, gates: bool) -> str:
    if aten.recognise(plan.graph) is None:
        return "it is none of PyTorch's own recurrences"
    if tokens:
        return "its input is token ids"
    if masked:
        return "lengths or resets are given"
    return "gates are returned" if gates else ""


def run(
    plan: Plan, inputs: Inputs, choice: Choice, names: tuple[str, ...] = ()
) -> tuple[Tensor, tuple[Tensor, ...], dict[str, Tensor]]:
    """Runs a sequence on the chosen backend.

    Returns:
        The output `(T, B, P)`, the last states, and the named values asked for, each `(T, B, n)`.
    """
    empty = 0 in inputs.x.shape[:2]  # which PyTorch's own kernels refuse
    recurrence = aten.recognise(plan.graph)
    if choice.backend == "aten" and recurrence is not None and not empty:
        return *aten.run(recurrence, inputs.x, inputs.states, inputs.parameters), {}
    if torch.is_autocast_enabled(inputs.x.device.type):  # these run in the weights' precision from end to end
        with torch.autocast(inputs.x.device.type, enabled=False):
            return run(plan, _in_one_type(inputs), choice, names)
    if choice.backend != "reference":
        return *symbolic.run(plan, inputs), {}
    wanted = {name: i for name, i in plan.graph.names if name in names}
    result = unroll(plan, inputs, tuple(wanted.values()))
    sizes = (plan.graph.nodes[i].size for i in wanted.values())
    kept = (over_time(result.kept[i], n, result.output) for i, n in zip(wanted.values(), sizes, strict=True))
    return result.output, result.states, dict(zip(wanted, kept, strict=True))


def _in_one_type(inputs: Inputs) -> Inputs:
    """Input, states and masks in the type of the weights."""
    dtype = next((w.dtype for w in inputs.parameters.values()), inputs.states[0].dtype)
    x = inputs.x.to(dtype) if inputs.x.is_floating_point() else inputs.x
    states, masks = (tuple(v.to(dtype) for v in values) for values in (inputs.states, inputs.masks))
    start = None if inputs.start is None else tuple(v.to(dtype) for v in inputs.start)
    return dataclasses.replace(inputs, x=x, states=states, masks=masks, start=start)
