"""Transforms: functions from a cell to a cell, which compose in any order.

Each rewrites the graph of one step, so that every cell has every transform, and every backend runs the result.
Takes cells, gives cells. Never draws a random number: masks are values that the layer fills in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from ifog.compiler.graph import Builder, Graph, Level, Node, State, matrices
from ifog.compiler.language import layer_norm, project
from ifog.compiler.symbols import Symbol, recording
from ifog.compiler.tracing import Cell
from ifog.errors import CellError, ConfigError

__all__ = ["layer_normalized", "residual", "variational", "weight_dropped", "zoneout"]

Change = Callable[["_Copy", int, Node], Symbol]


def layer_normalized(cell: Cell) -> Cell:
    """Normalises the result of each matrix product, with a gain of its own, before products and bias are added up.

    Results of one column stay as they are: there is nothing to normalise them by.

    Source:
        Ba, Kiros and Hinton (2016), Layer normalization, arXiv:1607.06450.
    """

    def change(copy: _Copy, i: int, node: Node) -> Symbol:
        result = copy.again(node)
        if node.op != "product" or node.size == 1:
            return result
        name = "_".join(f"{matrix}T" if transposed else matrix for matrix, transposed in matrices(node))
        return layer_norm(name, result, shift=False)

    return cell.rewritten("layer_normalized", lambda graph: _Copy(graph, change).finish())


def zoneout(cell: Cell, rate: float | Mapping[str, float] = 0.1) -> Cell:
    """Lets random entries of each state keep their old value for a step.

    In evaluation every entry keeps the share `rate` of its old value.

    Args:
        cell: Any cell.
        rate: The share of entries that stay, for all states or by state's name (states not named always move).

    Raises:
        ConfigError: A rate below 0, or 1 and above.
        CellError: A rate for a state that the cell doesn't have.

    Source:
        Krueger et al. (2017), Zoneout: regularizing RNNs by randomly preserving hidden activations, arXiv:1606.01305.
    """
    rates = dict(rate) if isinstance(rate, Mapping) else dict.fromkeys(cell.states, rate)
    if unknown := set(rates) - set(cell.states):
        raise CellError(
            f"zoneout: {cell.name} has no state {', '.join(sorted(unknown))}; its states are {', '.join(cell.states)}"
        )
    for value in rates.values():
        _check_rate("zoneout", value)

    def rewrite(graph: Graph) -> Graph:
        copy = _Copy(graph)
        with recording(copy.builder, graph.hidden_size):
            moved: dict[str, Symbol] = {}
            for s in graph.states:
                if rates.get(s.name):
                    old, new = copy.made[s.node], copy.made[s.next]
                    stays = copy.mask(f"zoneout_{s.name}", rates[s.name], "step", "zoneout", old.size)
                    moved[s.name] = stays * old + (1.0 - stays) * new
        by_node = {s.next: moved[s.name] for s in reversed(graph.states) if s.name in moved}
        return copy.finish(moved, by_node.get(graph.output))

    return cell.rewritten("zoneout", rewrite)


def variational(cell: Cell, rate: float = 0.25, input_rate: float | None = None) -> Cell:
    """Dropout with one mask per sequence on the states that enter matrix products, and on the input.

    A state reaches every product, directly or through elementwise operations, behind the same mask; where it is
    added or multiplied outside products it is whole.

    Args:
        cell: Any cell.
        rate: The share of columns of each state set to zero.
        input_rate: The same for the input, `rate` by default; 0 where the input is token ids.

    Raises:
        ConfigError: A rate below 0, or 1 and above.

    Source:
        Gal and Ghahramani (2016), A theoretically grounded application of dropout in recurrent neural networks,
        arXiv:1512.05287.
    """
    rates = {"state": _check_rate("variational", rate)}
    rates["input"] = _check_rate("variational", rate if input_rate is None else input_rate)

    def change(copy: _Copy, i: int, node: Node) -> Symbol:
        if node.op == "product":
            return copy.again(node, copy.masked)
        if rates.get(node.op):
            leaf = copy.again(node)
            copy.behind_mask[i] = leaf * copy.mask(
                f"dropout_{node.attributes[0]}", rates[node.op], "sequence", "dropout", node.size
            )
            return leaf
        return copy.again(node)

    return cell.rewritten("variational", lambda graph: _Copy(graph, change).finish())


def weight_dropped(cell: Cell, rate: float = 0.5) -> Cell:
    """Dropout of the entries of recurrent matrices, drawn once per sequence; the equations stay as they are.

    Recurrent is every matrix whose operand depends on a state.

    Raises:
        ConfigError: A rate below 0, or 1 and above.
        CellError: When traced: the cell has no recurrent matrix.

    Source:
        Merity, Keskar and Socher (2018), Regularizing and optimizing LSTM language models, arXiv:1708.02182.
    """
    _check_rate("weight_dropped", rate)

    def rewrite(graph: Graph) -> Graph:
        recurrent = {
            name
            for node, level in zip(graph.nodes, graph.levels, strict=True)
            if node.op == "product" and level == Level.STEP
            for name, _ in matrices(node)
        }
        if not recurrent:
            raise CellError(f"weight_dropped: {cell.name} multiplies no state by a matrix; use zoneout({cell.name})")
        parameters = tuple(replace(p, dropout=rate) if p.name in recurrent else p for p in graph.parameters)
        return replace(graph, parameters=parameters)

    return cell.rewritten("weight_dropped", rewrite)


def residual(cell: Cell) -> Cell:
    """Adds the input to the output, through a matrix where their sizes differ; the states stay as they are.

    Source:
        He, Zhang, Ren and Sun (2016), Deep residual learning for image recognition, arXiv:1512.03385.
    """

    def rewrite(graph: Graph) -> Graph:
        copy = _Copy(graph)
        with recording(copy.builder, graph.hidden_size):
            output = copy.made[graph.output]
            x = next((i for i, node in enumerate(graph.nodes) if node.op == "input"), None)
            if x is None:
                raise CellError(f"residual: {cell.name} doesn't read its input, so there is nothing to add")
            output = output + project("residual", copy.made[x], output.size)
        return copy.finish(output=output)

    return cell.rewritten("residual", rewrite)


def _check_rate(transform: str, rate: float) -> float:
    if not 0.0 <= rate < 1.0:
        raise ConfigError(f"{transform}: rate={rate}: expected a share from 0 up to, but less than, 1")
    return rate


class _Copy:
    """A graph made again node by node; `change` may put something else in a node's place."""

    def __init__(self, graph: Graph, change: Change | None = None) -> None:
        self.graph = graph
        self.builder = Builder(parameters={p.name: p for p in graph.parameters})
        self.made: dict[int, Symbol] = {}
        self.behind_mask: dict[int, Symbol] = {}
        with recording(self.builder, graph.hidden_size):
            for i, node in enumerate(graph.nodes):
                self.made[i] = change(self, i, node) if change else self.again(node)

    def again(self, node: Node, argument: Callable[[int], Symbol] | None = None) -> Symbol:
        """The same operation on the copies of its arguments."""
        args = [(argument or self.made.__getitem__)(a).id for a in node.args]
        return Symbol(self.builder.add(node.op, tuple(args), node.size, node.attributes), node.size)

    def masked(self, i: int) -> Symbol:
        """The copy of node `i` in which states and input stand behind their masks."""
        if i not in self.behind_mask:
            node = self.graph.nodes[i]
            leaf = not node.args or node.op == "product"
            self.behind_mask[i] = self.made[i] if leaf else self.again(node, self.masked)
        return self.behind_mask[i]

    def mask(self, name: str, rate: float, scope: str, kind: str, size: int) -> Symbol:
        """A random mask, drawn at every "step" or once a "sequence"."""
        return Symbol(self.builder.add("mask", (), size, (name, rate, scope, kind)), size)

    def finish(self, following: Mapping[str, Symbol] | None = None, output: Symbol | None = None) -> Graph:
        """The new graph, with other next states and another output if given; all names are kept."""
        graph, following = self.graph, following or {}
        names = {name: self.made[i].id for name, i in graph.names} | {name: v.id for name, v in following.items()}
        return self.builder.finish(
            graph,
            states=tuple(
                State(s.name, self.made[s.node].id, following.get(s.name, self.made[s.next]).id) for s in graph.states
            ),
            output=(self.made[graph.output] if output is None else output).id,
            names=tuple(sorted(names.items(), key=lambda pair: (pair[1], pair[0]))),
        )
