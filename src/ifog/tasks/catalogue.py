"""Describe the catalogue's cells in words and numbers, for whoever chooses one.

Owns what `ifog cells` says. Takes a name and sizes, gives text. Computes nothing that the compiler doesn't know.
"""

from __future__ import annotations

import inspect

from ifog import cells
from ifog.cells.catalogue import summary
from ifog.compiler.planning import plan
from ifog.compiler.printing import equations, latex
from ifog.kernels.backends import choose

__all__ = ["describe", "overview"]


def overview(size: int = 256) -> list[tuple[str, str, str, str]]:
    """Name, parameters, operations per step and title of every cell, with `size` units and half as many inputs."""
    figures = [summary(name, max(1, size // 2), size) for name in sorted(cells.CATALOGUE)]
    return [
        (cell.name, f"{cell.parameters:,}", f"{cell.flops:,}", _paragraphs(cells.CATALOGUE[cell.name])[0])
        for cell in figures
    ]


def describe(name: str, size: int = 256, *, as_latex: bool = False) -> str:
    """One cell: title and citation, equations, options, parameters, stages, cost and backend.

    Args:
        name: a name in the catalogue.
        size: hidden units H; inputs D = H / 2.
        as_latex: the equations as a LaTeX block in place of text.

    Raises:
        CellError: no such cell; names the nearest.
    """
    cell = cells.get(name)
    width = max(1, size // 2)
    graph = cell.trace(width, size)
    program = plan(graph)
    lines = equations(graph)
    left = max(len(value) for value, _ in lines)
    text = "\n".join(f"  {value:{left}} = {expression}" for value, expression in lines)
    parameters = "\n".join(f"  {p.name}: {' × '.join(map(str, p.shape))}, starts {p.initial}" for p in graph.parameters)
    options = ", ".join(f"{option}={value!r}" for option, value in cell.options.items()) or "none"
    backend, reason = choose(program)
    return "\n\n".join([
        *_paragraphs(cell),
        latex(graph) if as_latex else f"Equations (h' is h of the step before; products are of matrices)\n{text}",
        f"Options: {options}",
        f"Parameters: {graph.parameter_count:,} for input {width}, hidden {size}\n{parameters}",
        f"Stages\n{program}",
        f"Cost: {program.flops:,} floating-point operations per step of one sequence",
        f"Backend: {backend}, for {reason}",
    ])  # fmt: skip


def _paragraphs(cell: cells.Cell) -> list[str]:
    return inspect.cleandoc(cell.__doc__ or cell.name).split("\n\n")
