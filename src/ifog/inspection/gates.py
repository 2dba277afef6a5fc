"""How gates are used: open, shut or in between; how long a unit remembers; which units are dead.

Owns the statistics of sigmoid gates over a text of any length, their table and their picture. Takes a model and a text,
gives figures per unit. Never keeps activations.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from ifog.compiler.graph import Graph
from ifog.errors import ConfigError
from ifog.inspection.activations import stream
from ifog.inspection.watching import values_of
from ifog.layers.stack import Stack

if TYPE_CHECKING:
    from ifog.inspection.activations import Trace

__all__ = ["Gate", "Gates", "draw_gates", "gate_statistics", "gates_of", "unit_statistics"]

OPEN, SHUT = 0.9, 0.1
_DEAD = 1e-3  # standard deviation of a state below which its unit says nothing
_NEVER = 1e-12  # a gate that is exactly 0 has no logarithm


@dataclass(frozen=True)
class Gate:
    """One sigmoid gate of one layer, over a text.

    Attributes:
        name: Such as "layer0.f".
        keeps: What it multiplies from step to step: "c" for an LSTM's forget gate, "" for a gate that keeps nothing.
        open: Share of steps above 0.9, for each unit (H,).
        shut: Share of steps below 0.1 (H,).
        half_life: Steps after which half of what a unit holds is left, ln 0.5 / mean ln f (H,); None for a gate that
            keeps nothing.
    """

    name: str
    keeps: str
    open: NDArray[np.float64] = field(repr=False)
    shut: NDArray[np.float64] = field(repr=False)
    half_life: NDArray[np.float64] | None = field(repr=False)


@dataclass(frozen=True)
class Gates:
    """All gates of a model on a text.

    Attributes:
        gates: In the order of the layers; none where the cell has none.
        dead: For each state the units (H,) that hardly change: standard deviation below 0.001.
        steps: How many tokens were read.
    """

    gates: tuple[Gate, ...]
    dead: Mapping[str, NDArray[np.bool_]] = field(repr=False)
    steps: int

    def __getitem__(self, name: str) -> Gate:
        """The gate of a name such as "layer0.f".

        Raises:
            KeyError: There is none.
        """
        for gate in self.gates:
            if gate.name == name:
                return gate
        raise KeyError(name)

    def to_dict(self) -> dict[str, Any]:
        """Everything, per unit, as values that JSON can hold; an endless half-life is null."""
        return {
            "steps": self.steps,
            "gates": {
                gate.name: {
                    "keeps": gate.keeps,
                    "open": gate.open.round(4).tolist(),
                    "shut": gate.shut.round(4).tolist(),
                    "half_life": None
                    if gate.half_life is None
                    else [round(float(n), 3) if np.isfinite(n) else None for n in gate.half_life],
                }
                for gate in self.gates
            },
            "dead": {name: np.flatnonzero(units).tolist() for name, units in self.dead.items()},
        }

    def __str__(self) -> str:
        lines = [f"{'gate':<12}{'keeps':<7}{'open':>6}{'shut':>6}{'open units':>12}{'shut units':>12}  half-life"]
        for gate in self.gates:
            life = ""
            if gate.half_life is not None:
                low, middle, high = np.quantile(gate.half_life, [0.1, 0.5, 0.9], method="inverted_cdf")
                life = f"  {middle:.3g} steps (10 % of units below {low:.3g}, 10 % above {high:.3g})"
            lines.append(
                f"{gate.name:<12}{gate.keeps:<7}{gate.open.mean():>6.0%}{gate.shut.mean():>6.0%}"
                f"{int((gate.open > OPEN).sum()):>12}{int((gate.shut > OPEN).sum()):>12}{life}"
            )
        lines.append(
            f"open: above {OPEN}; shut: below {SHUT}; open and shut units are so for more than {OPEN:.0%} of "
            f"{self.steps:,} steps."
        )
        dead = [f"{int(units.sum())} of {len(units)} in {name}" for name, units in self.dead.items()]
        lines.append(f"dead units: {', '.join(dead)}.")
        return "\n".join(lines)


def gates_of(model: nn.Module) -> dict[str, tuple[str, bool]]:
    """The sigmoid gates of a model: name -> (the state that it keeps, whether it keeps it by being shut).

    A gate keeps a state where the next state is a sum with the term `gate * state`, or `(1 - gate) * state`, which is
    read from the equations, whatever the cell.

    Raises:
        ConfigError: No recurrent layers.

    Examples:
        >>> from ifog.models import LanguageModel
        >>> gates_of(LanguageModel(9, cell="lstm", hidden_size=4))
        {'layer0.i': ('', False), 'layer0.f': ('c', False), 'layer0.o': ('', False)}
        >>> gates_of(LanguageModel(9, cell="mgu", hidden_size=4))
        {'layer0.f': ('h', True)}
    """
    stacks = [module for module in model.modules() if isinstance(module, Stack)]
    found: dict[str, tuple[str, bool]] = {}
    for name, value in values_of(model).items():
        graph = stacks[value.stack].plans[value.layer].graph
        node = dict(graph.names).get(value.local)
        if node is not None and graph.nodes[node].op == "sigmoid":
            found[name] = _kept(graph).get(node, ("", False))
    return found


def _kept(graph: Graph) -> dict[int, tuple[str, bool]]:
    """Nodes that multiply a state on its way to its own next value, themselves or as one minus them."""
    found: dict[int, tuple[str, bool]] = {}
    for state in graph.states:
        waiting = [state.next]
        while waiting:
            node = graph.nodes[waiting.pop()]
            if node.op == "add":
                waiting.extend(node.args)
            if node.op != "mul" or state.node not in node.args:
                continue
            factor = node.args[0] if node.args[1] == state.node else node.args[1]
            of = graph.nodes[factor]
            if of.op == "sub" and graph.nodes[of.args[0]].op == "constant":
                found[of.args[1]] = (state.name, True)
            else:
                found[factor] = (state.name, False)
    return found


def gate_statistics(model: nn.Module, text: str | os.PathLike[str], **options: Any) -> Gates:
    """Count, for every unit of every gate, how often it is open and shut, and how long it keeps what it holds.

    The half-life is that of a memory that nothing is added to: after n steps a share of the product of n values of the
    forget gate is left, whose logarithm is n times the mean of ln f.

    Args:
        model: A model with a `.tokenizer`, as `ifog.load` gives.
        text: The text, or (as a path) the file that holds it, of any length.
        options: Of `ifog.inspection.stream`.

    Raises:
        ConfigError: No recurrent layers, or none with gates.
        DataError: The text is empty, or holds unknown characters.
        RunError: NaN among the weights.
    """
    if not gates_of(model):
        cell = next(module.cell_name for module in model.modules() if isinstance(module, Stack))
        raise ConfigError(
            f"{type(model).__name__} has no sigmoid gates (its cell is {cell}): nothing opens, shuts or forgets by a "
            "gate. Give a model of a gated cell, such as lstm or gru."
        )
    return unit_statistics(model, text, **options)


def unit_statistics(model: nn.Module, text: str | os.PathLike[str], **options: Any) -> Gates:
    """What `gate_statistics` counts, of any cell: without gates, which units move.

    Args:
        model: As there.
        text: As there.
        options: As there.

    Raises:
        ConfigError: No recurrent layers.
        DataError: As there.
        RunError: As there.
    """
    kinds = gates_of(model)
    states = [name for name, value in values_of(model).items() if value.state]
    return _counted(stream(model, text, values=[*kinds, *states], candidates=0, **options), kinds, states)


def _counted(traces: Iterable[Trace], kinds: Mapping[str, tuple[str, bool]], states: list[str]) -> Gates:
    steps = 0
    sums: defaultdict[str, Any] = defaultdict(float)
    logarithms: defaultdict[str, Any] = defaultdict(float)
    first: dict[str, NDArray[np.float64]] = {}
    for trace in traces:
        steps += len(trace.tokens)
        for name, (keeps, inverse) in kinds.items():
            values = trace[name]
            sums[name] += np.stack([(values > OPEN).sum(0), (values < SHUT).sum(0)])
            if keeps:
                kept = 1.0 - values if inverse else values
                logarithms[name] += np.log(np.maximum(kept, _NEVER), dtype=np.float64).sum(0)
        for name in states:
            values = trace[name].astype(np.float64)
            values -= first.setdefault(name, values[0].copy())  # a small spread far from zero keeps its digits
            sums[name] += np.stack([values.sum(0), np.square(values).sum(0)])
    made: list[Gate] = []
    for name, (keeps, _) in kinds.items():
        opened, shut = sums[name] / steps
        life = None
        if keeps:
            with np.errstate(divide="ignore"):
                life = np.abs(np.log(0.5) / np.minimum(logarithms[name] / steps, -0.0))
        made.append(Gate(name, keeps, opened, shut, life))
    dead: dict[str, NDArray[np.bool_]] = {}
    for name in states:
        mean, square = sums[name] / steps
        dead[name] = np.sqrt(np.maximum(square - mean**2, 0.0)) < _DEAD
    return Gates(tuple(made), dead, steps)


def draw_gates(gates: Gates, path: str | os.PathLike[str]) -> Path:
    """Draw every unit by how often its gate is open and shut, as Karpathy, Johnson and Fei-Fei (2015) do.

    A unit on the right is a gate that is nearly always open, one at the top is nearly always shut; one at the origin is
    never saturated.

    Args:
        gates: What `gate_statistics` counted.
        path: The picture; its suffix tells the format.

    Raises:
        ConfigError: A format that Matplotlib doesn't write.
    """
    from matplotlib.figure import Figure

    kinds = list(dict.fromkeys(gate.name.rpartition(".")[2] for gate in gates.gates))
    layers = list(dict.fromkeys(gate.name.rpartition(".")[0] for gate in gates.gates))
    colours = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
    figure = Figure(figsize=(3.1 * len(kinds) + 0.4, 3.9), layout="constrained")
    axes: Any = figure.subplots(1, len(kinds), squeeze=False, sharex=True, sharey=True)[0]
    for kind, axis in zip(kinds, axes, strict=True):
        for k, layer in enumerate(layers):
            for gate in gates.gates:
                if gate.name == f"{layer}.{kind}":
                    colour = colours[k % len(colours)]
                    axis.scatter(gate.open, gate.shut, s=14, alpha=0.55, linewidths=0, color=colour, label=layer)
        axis.plot([0, 1], [1, 0], color="0.6", linewidth=0.8)
        axis.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal", title=f"gate {kind}")
        axis.set_xlabel(f"share of steps above {OPEN}")
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel(f"share of steps below {SHUT}")
    axes[-1].legend(frameon=False, loc="upper right")
    target = Path(path)
    suffix = target.suffix.lstrip(".").lower() or "png"
    if suffix not in figure.canvas.get_supported_filetypes():
        raise ConfigError(
            f"{target} would be a picture of kind {suffix!r}; give a name that ends in .png, .svg or .pdf."
        )
    figure.savefig(target, dpi=130)
    return target
