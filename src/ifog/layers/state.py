"""States with names: one named tuple for each cell.

Owns the types of recurrent states and what can be done to one without knowing its cell.
"""

from __future__ import annotations

from collections import namedtuple
from typing import Any, TypeVar

import torch
from torch import Tensor

__all__ = ["detach_state", "state_type"]

S = TypeVar("S")


_TYPES: dict[tuple[str, tuple[str, ...]], type[Any]] = {}  # a plain dict, which torch.compile can look into


def state_type(cell: str, names: tuple[str, ...]) -> type[Any]:
    """The named tuple of a cell's states, e.g. `LSTMState(h, c)`.

    Args:
        cell: The cell's name.
        names: The states' names in order.
    """
    if (cell, names) not in _TYPES:
        _TYPES[cell, names] = _make_type(cell, names)
    return _TYPES[cell, names]


def _make_type(cell: str, names: tuple[str, ...]) -> type[Any]:
    stem = "".join(part for part in cell.replace("_", "(").title() if part.isalnum())
    made: Any = namedtuple(f"{stem}State", names)  # type: ignore[misc]

    # no module holds this type by name, so a pickle remembers how to make it again
    def reduce(self: tuple[Tensor, ...]) -> tuple[Any, ...]:
        return _rebuilt, (cell, names, tuple(self))

    made.__reduce__ = reduce
    return made


def _rebuilt(cell: str, names: tuple[str, ...], values: tuple[Tensor, ...]) -> Any:
    return state_type(cell, names)(*values)


# so that torch.load, which runs no code by default, takes a saved state: this makes a named tuple and nothing else
torch.serialization.add_safe_globals([_rebuilt])


def detach_state(state: S) -> S:
    """The same state, cut from the graph that made it: where truncated BPTT stops.

    Args:
        state: A tensor, or a tuple (named or not) of states; None stays None.
    """
    if isinstance(state, Tensor):
        return state.detach()  # type: ignore[return-value]
    if isinstance(state, tuple):
        parts = [detach_state(s) for s in state]  # type: ignore[misc]
        return type(state)(*parts) if hasattr(state, "_fields") else type(state)(parts)  # type: ignore[arg-type,return-value]
    return state
