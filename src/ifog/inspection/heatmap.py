"""A text coloured by one unit, as a picture for a paper.

Owns the layout of characters on a figure. Takes a trace and the name of a unit, gives a Matplotlib figure.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ifog.errors import ConfigError
from ifog.inspection.activations import Trace

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["draw"]

_STOPS = ("#0a4a94", "#69a3da", "#fbfaf8", "#f0a155", "#a34600")  # as on the page: blue, white, orange
_WIDE, _TALL = 0.092, 0.185  # inches of a character


def draw(trace: Trace, unit: str, *, start: int = 0, rows: int = 40, columns: int = 100) -> Figure:
    """The text from token `start` on, each token on the colour of the unit's value after it was read.

    Args:
        trace: Holds the unit.
        unit: `layer0.h:37`.
        start: The first token drawn.
        rows: Lines at most; a longer line is broken.
        columns: Characters in a line.

    Raises:
        ConfigError: The trace lacks the unit, or there is nothing to draw.
    """
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LinearSegmentedColormap, Normalize
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    values = trace[unit]
    if values.ndim != 1:
        raise ConfigError(f"{unit!r} is not a single unit; name one, as in {unit}:0.")
    if not 0 <= start < len(trace) or rows < 1 or columns < 1:
        raise ConfigError(f"nothing to draw: start is {start} of {len(trace)} tokens, {rows} rows, {columns} columns.")
    cells = _cells(trace.tokens, start, rows, columns)
    shown = values[[t for t, *_ in cells]]
    gate = unit.partition(":")[0] in trace.gates
    reach = 1.0 if gate else float(np.quantile(np.abs(shown), 0.995)) or 1.0
    norm = Normalize(0.0 if gate else -reach, reach)
    colours = LinearSegmentedColormap.from_list("blue to orange", _STOPS)
    lines = 1 + max(row for _, row, _, _ in cells)
    figure = Figure(figsize=(columns * _WIDE + 0.2, lines * _TALL + 0.75))

    def place(left: float, bottom: float, width: float, height: float) -> tuple[float, float, float, float]:
        """Inches as shares of the figure."""
        across, up = figure.get_size_inches()
        return left / across, bottom / up, width / across, height / up

    axes = figure.add_axes(place(0.1, 0.6, columns * _WIDE, lines * _TALL))
    axes.set(xlim=(0, columns), ylim=(lines, 0))
    axes.set_axis_off()
    for t, row, column, text in cells:
        colour = colours(norm(float(values[t])))
        axes.add_patch(Rectangle((column, row), len(text), 1, facecolor=colour, linewidth=0))
        dark = 0.2126 * colour[0] + 0.7152 * colour[1] + 0.0722 * colour[2] < 0.45
        for k, character in enumerate(text):
            axes.text(
                column + k + 0.5, row + 0.54, character, family="monospace", fontsize=9, ha="center", va="center",
                color="white" if dark else "black", parse_math=False,
            )  # fmt: skip
    bar = figure.add_axes(place(0.1, 0.36, 2.4, 0.12))
    figure.colorbar(ScalarMappable(norm, colours), cax=bar, orientation="horizontal").ax.tick_params(labelsize=7)
    left, bottom, *_ = place(2.7, 0.42, 0, 0)
    figure.text(left, bottom, unit, family="monospace", fontsize=9, va="center")
    return figure


def _cells(tokens: Sequence[str], start: int, rows: int, columns: int) -> list[tuple[int, int, int, str]]:
    """Token, row, column and text of what is drawn."""
    cells: list[tuple[int, int, int, str]] = []
    row = column = 0
    for t in range(start, len(tokens)):
        text = _visible(tokens[t])
        if column and column + len(text) > columns:
            row, column = row + 1, 0
        if row >= rows:
            break
        cells.append((t, row, column, text[:columns]))
        column += len(text)
        if "\n" in tokens[t]:
            row, column = row + 1, 0
    return cells


def _visible(token: str) -> str:
    shown = token.replace("\n", "↵").replace("\t", "  ⇥ ")
    return "".join(c if c.isprintable() else "·" for c in shown) or "·"
