"""Where training starts: input matrices wide enough that the input counts from the first update.

Owns which matrices are drawn anew, and how wide. Takes a layer, changes its values. Never chooses what a cell states
itself, and never touches what goes from step to step.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, cast

import torch
from torch import nn

if TYPE_CHECKING:
    from ifog.compiler.graph import Graph
    from ifog.layers.recurrent import Recurrent

__all__ = ["widen_inputs"]


@torch.no_grad()
def widen_inputs(layer: Recurrent, size: float = 1.0) -> None:
    """Draws the matrices that multiply the input anew: uniform in ± sqrt(6 / n) for n inputs of size 1.

    Token ids are one input.

    A gate then tells one token from another at once. From ± 1 / sqrt(H), where matrices start otherwise, it takes Adam,
    which moves a weight by the learning rate at most, hundreds of updates to get there. Matrices for which the cell
    states another beginning keep it.

    Args:
        layer: Of any cell.
        size: Root mean square of what its first layer reads; matrices are the wider the smaller it is.

    Source:
        The width is that of He, Zhang, Ren and Sun (2015), Delving deep into rectifiers, arXiv:1502.01852.

    Examples:
        >>> from ifog.layers import Recurrent
        >>> layer = Recurrent("lstm", 54, 512)
        >>> widen_inputs(layer)
        >>> bool(layer.W_xi_l0.abs().max() > 0.3), bool(layer.W_hi_l0.abs().max() > 0.3)
        (True, False)
    """
    for number, plan in enumerate(layer.plans):
        ids = number == 0 and layer.vocabulary is not None
        bound = math.sqrt(6 / (1 if ids else plan.graph.input_size)) / (size if number == 0 else 1.0)
        for name in _input_matrices(plan.graph):
            for direction in range(layer.directions):
                nn.init.uniform_(layer.get_parameter(name + layer.suffix(number, direction)), -bound, bound)


def _input_matrices(graph: Graph) -> Iterator[str]:
    """The names of those that multiply the input alone, and start as matrices do that nobody said anything about."""
    multiplied: dict[str, set[str]] = {}
    for node in graph.nodes:
        if node.op == "product":
            [(name, _)] = cast("tuple[tuple[str, bool]]", node.attributes)
            multiplied.setdefault(name, set()).add(graph.nodes[node.args[0]].op)
    for parameter in graph.parameters:
        if parameter.initial == "uniform" and multiplied.get(parameter.name) == {"input"}:
            yield parameter.name
