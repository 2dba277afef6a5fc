"""The one kind of number that the engine takes: float32 in the CPU's memory, whatever PyTorch's defaults are.

Owns the check of tensors before their addresses go to C++, which reads what it is given as floats. Takes tensors, gives
an error or nothing.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any, cast

import torch
from torch import Tensor

from ifog.compiler.graph import Graph
from ifog.errors import ShapeError
from ifog.kernels.sharing import Shared

__all__ = ["FLOATS", "check"]

FLOATS: dict[str, Any] = {"dtype": torch.float32, "device": "cpu"}


def check(graph: Graph, shared: Shared, given: Mapping[Hashable, Tensor]) -> None:
    """Refuses what would be read as other numbers than it holds, or past its end.

    Args:
        graph: Of the cell.
        shared: Where its parameters lie.
        given: The caller's tensors by role.

    Raises:
        ShapeError: A tensor of another type, on another device, or a weight of another shape than the cell's.
    """
    shapes = {p.name: p.shape for p in graph.parameters}
    for role, value in given.items():
        kind, which = cast("tuple[str, int]", role if isinstance(role, tuple) else (role, 0))
        name = f"state {graph.states[which % len(graph.states)].name}" if kind == "begin" else kind
        if kind == "weight" and which < len(shared.rows):
            names = shared.rows[which]
            name = f"weight {', '.join(names)}"
            wanted = (sum(shapes[n][0] for n in names), *shapes[names[0]][1:])
            if tuple(value.shape) != wanted:
                raise ShapeError(f"{name}: expected shape {wanted}, got {tuple(value.shape)}")
        ids = kind == "x" and value.dtype == torch.int64
        if value.device.type != "cpu" or (value.dtype != torch.float32 and not ids):
            raise ShapeError(
                f"{name}: it is {value.dtype} on {value.device}, the other weights are torch.float32 on the CPU; "
                "convert the whole layer, e.g. layer.to(torch.float64)"
            )
