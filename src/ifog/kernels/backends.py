"""Choose who runs a recurrence, and say why.

Owns the list of backends and the rules between them. Takes a plan and what is asked of it, gives a `Choice` whose
reason can be printed, or an error where a backend that was named can't do it. Nothing falls back in silence.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor

from ifog.compiler.evaluation import Inputs
from ifog.compiler.execution import over_time, unroll
from ifog.compiler.planning import Plan
from ifog.compiler.precision import Precision
from ifog.errors import BackendError
from ifog.kernels import aten, compiled, symbolic
from ifog.kernels.following import followed

__all__ = ["BACKENDS", "Backend", "Choice", "autocasts", "choose", "multiplying", "run"]

Backend = Literal["auto", "cpu", "aten", "symbolic", "reference"]
BACKENDS: tuple[str, ...] = get_args(Backend)

_log = logging.getLogger("ifog.backends")
_multiplying: ContextVar[Precision] = ContextVar("multiplying", default="fp32")


class Choice(NamedTuple):
    """A backend's name and why it runs."""

    backend: Literal["cpu", "aten", "symbolic", "reference"]
    reason: str


@torch.compiler.assume_constant_result  # the tracer stays outside of the cache
def choose(
    plan: Plan,
    backend: str = "auto",
    *,
    tokens: bool = False,
    masked: bool = False,
    gates: bool = False,
    precision: Precision = "fp32",
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Choice:
    """Who runs `plan`.

    Args:
        plan: The recurrence.
        backend: "auto", or one backend by name.
        tokens: Whether the input is token ids.
        masked: Whether `lengths` or `reset` are given.
        gates: Whether named values are wanted back.
        precision: What matrix products multiply.
        device: Where the tensors are.
        dtype: Of the weights.

    Raises:
        BackendError: `backend` is unknown, or can't run what is asked.
    """
    return _choose(plan, backend, tokens, masked, gates, precision, device, dtype)


@lru_cache(maxsize=1024)
def _choose(
    plan: Plan,
    backend: str,
    tokens: bool,
    masked: bool,
    gates: bool,
    precision: Precision,
    device: str,
    dtype: torch.dtype,
) -> Choice:
    name = plan.graph.name
    if backend not in BACKENDS:
        raise BackendError(f"no backend is called {backend!r}; use one of {', '.join(BACKENDS)}")
    obstacles = {
        "cpu": _cpu_obstacle(plan, device=device, dtype=dtype, gates=gates),
        "aten": _aten_obstacle(plan, tokens=tokens, masked=masked, gates=gates, precision=precision),
        "symbolic": "it keeps no gates" if gates else "",
    }
    if obstacle := obstacles.get(backend):
        raise BackendError(f'backend="{backend}" can\'t run cell {name}: {obstacle}; use backend="auto"')
    if backend != "auto":
        choice = Choice(backend, "asked for by name")  # type: ignore[arg-type]
    elif not obstacles["cpu"]:
        choice = Choice("cpu", "the engine compiles every cell")
    elif not obstacles["aten"]:
        choice = Choice("aten", f"its graph is one of PyTorch's own recurrences, and {obstacles['cpu']}")
    elif gates:
        choice = Choice("reference", f"gates are returned, and {obstacles['cpu']}")
    else:
        choice = Choice("symbolic", f"{obstacles['cpu']}, and PyTorch's own kernels can't: {obstacles['aten']}")
    _log.debug("cell %s runs on %s: %s", name, *choice)
    return choice


def _cpu_obstacle(plan: Plan, *, device: str, dtype: torch.dtype, gates: bool) -> str:
    if device != "cpu":
        return f"the tensors are on {device}"
    if dtype != torch.float32:
        return f"the weights are {dtype}"
    return compiled.obstacle(plan, gates)


def _aten_obstacle(plan: Plan, *, tokens: bool, masked: bool, gates: bool, precision: Precision) -> str:
    if aten.recognise(plan.graph) is None:
        return "it is none of PyTorch's own recurrences"
    if tokens:
        return "its input is token ids"
    if precision != "fp32":
        return f"{precision} products are asked for"
    if masked:
        return "lengths or resets are given"
    return "gates are returned" if gates else ""


def run(
    plan: Plan,
    inputs: Inputs,
    choice: Choice,
    names: tuple[str, ...] = (),
    precision: Precision = "fp32",
    weights: compiled.Weights | None = None,
) -> tuple[Tensor, tuple[Tensor, ...], dict[str, Tensor]]:
    """Runs a sequence on the chosen backend.

    Returns:
        The output `(T, B, P)`, the last states, and the named values asked for, each `(T, B, n)`.
    """
    empty = 0 in inputs.x.shape[:2]  # which PyTorch's own kernels refuse
    if choice.backend == "aten" and not empty:
        recurrence = aten.recognise(plan.graph)
        assert recurrence is not None
        return *aten.run(recurrence, inputs.x, inputs.states, inputs.parameters), {}
    if autocasts(inputs.x.device):  # as it asks, products take bf16, and nothing else does
        if precision == "fp32" and torch.get_autocast_dtype(inputs.x.device.type) == torch.bfloat16:
            precision = "bf16"
        with torch.autocast(inputs.x.device.type, enabled=False):
            return run(plan, _in_one_type(inputs, weights), choice, names, precision, weights)
    if choice.backend == "cpu" and not empty:
        precision = _asked() if precision == "fp32" else precision
        return compiled.run(plan, inputs, names, precision, weights)
    inputs = dataclasses.replace(inputs, precision=precision)
    if choice.backend != "reference" and not names and not followed():
        return *symbolic.run(plan, inputs), {}
    wanted = {name: i for name, i in plan.graph.names if name in names}
    result = unroll(plan, inputs, tuple(wanted.values()))
    sizes = (plan.graph.nodes[i].size for i in wanted.values())
    kept = (over_time(result.kept[i], n, result.output) for i, n in zip(wanted.values(), sizes, strict=True))
    return result.output, result.states, dict(zip(wanted, kept, strict=True))


@contextmanager
def multiplying(precision: Precision) -> Generator[None]:
    """Within it, the C++ engine's products multiply these numbers wherever a layer was not told otherwise.

    What `torch.autocast` is for bf16, for types that PyTorch doesn't know.
    """
    before = _multiplying.set(precision)
    try:
        yield
    finally:
        _multiplying.reset(before)


@torch.compiler.assume_constant_result  # a compiled model keeps what it was traced with
def _asked() -> Precision:
    return _multiplying.get()


def autocasts(device: torch.device) -> bool:
    """Whether torch chooses types by itself now; on meta tensors it can't be asked."""
    return device.type != "meta" and torch.is_autocast_enabled(device.type)


def _in_one_type(inputs: Inputs, weights: compiled.Weights | None) -> Inputs:
    """Input, states and masks in the type of the weights."""
    known = (*inputs.parameters.values(), *(weights.tensors if weights else ()))
    dtype = known[0].dtype if known else inputs.states[0].dtype
    x = inputs.x.to(dtype) if inputs.x.is_floating_point() else inputs.x
    states, masks = (tuple(v.to(dtype) for v in values) for values in (inputs.states, inputs.masks))
    start = None if inputs.start is None else tuple(v.to(dtype) for v in inputs.start)
    return dataclasses.replace(inputs, x=x, states=states, masks=masks, start=start)
