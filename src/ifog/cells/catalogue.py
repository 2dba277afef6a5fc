"""All cells by name, and what each costs.

Owns `CATALOGUE`, which is gathered from the families' modules. Takes names, gives cells and figures.
Never runs a cell.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from ifog.cells import (
    dynamics,
    elementwise,
    gated,
    highways,
    matrix_memory,
    memory,
    mutants,
    odyssey,
    searched,
    simple,
)
from ifog.compiler.planning import plan
from ifog.compiler.tracing import Cell
from ifog.errors import CellError

__all__ = ["CATALOGUE", "Summary", "get", "summary"]

_FAMILIES = (simple, memory, matrix_memory, odyssey, gated, mutants, searched, highways, elementwise, dynamics)

CATALOGUE: dict[str, Cell] = {
    cell.name: cell for family in _FAMILIES for cell in vars(family).values() if isinstance(cell, Cell)
}


@dataclass(frozen=True)
class Summary:
    """A cell at given sizes, in figures.

    Attributes:
        name: As in the catalogue.
        parameters: How many numbers are trained.
        states: The states' names and their columns.
        stages: Of one step in the loop: each waits for the matrix products of the one before.
        flops: Floating-point operations of one step of one sequence.
        kind: "matrix": products in the loop; "elementwise": none; "linear": none, and time can run in parallel.
    """

    name: str
    parameters: int
    states: dict[str, int]
    stages: int
    flops: int
    kind: str


def get(name: str) -> Cell:
    """The cell called `name`.

    Raises:
        CellError: There is none; the message has the names that come near.

    Examples:
        >>> get("lstm").states
        ('h', 'c')
    """
    if name not in CATALOGUE:
        near = difflib.get_close_matches(name.lower(), CATALOGUE, n=5, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else "no name comes near it."
        raise CellError(f"cell {name!r}: not in the catalogue of {len(CATALOGUE)}; {hint} `ifog cells` lists them all")
    return CATALOGUE[name]


def summary(name: str, input_size: int, hidden_size: int) -> Summary:
    """The figures of the cell called `name` for D inputs and H hidden units.

    Raises:
        CellError: There is no such cell.

    Examples:
        >>> summary("lstm", 3, 4).parameters
        128
    """
    program = plan(get(name).trace(input_size, hidden_size))
    graph = program.graph
    states = {state.name: size for state, size in zip(graph.states, graph.state_sizes, strict=True)}
    return Summary(name, graph.parameter_count, states, len(program.step), program.flops, program.kind)
