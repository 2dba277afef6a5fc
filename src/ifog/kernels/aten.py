"""PyTorch's own recurrences, where a graph IS one of them: oneDNN on CPU, cuDNN on CUDA.

Owns the recognition by structure, whatever the cell and its parameters are called, and the call. Takes a graph, gives
the parameters' names in PyTorch's order; takes tensors, gives tensors. Never decides whether to be used.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Literal

import torch
from torch import Tensor

from ifog.compiler.graph import Graph, matrices
from ifog.shapes import Float

__all__ = ["ENTRIES", "Gate", "Recurrence", "call", "recognise", "run"]

Kind = Literal["lstm", "gru", "rnn_tanh", "rnn_relu"]

# the entry points that torch.nn.LSTM and its siblings call themselves
ENTRIES: dict[Kind, Callable[..., tuple[Tensor, ...]]] = {
    "lstm": torch.lstm,
    "gru": torch.gru,
    "rnn_tanh": torch.rnn_tanh,
    "rnn_relu": torch.rnn_relu,
}


@dataclass(frozen=True)
class Gate:
    """A gate's parameters: a matrix and any number of biases on the input's side, likewise on the state's side."""

    W_x: str
    W_h: str
    b_x: tuple[str, ...] = ()
    b_h: tuple[str, ...] = ()


@dataclass(frozen=True)
class Recurrence:
    """Which recurrence a graph is; gates in PyTorch's order; for a projected LSTM the name of its projection."""

    kind: Kind
    gates: tuple[Gate, ...]
    projection: str | None = None


@lru_cache(maxsize=256)
def recognise(graph: Graph) -> Recurrence | None:
    """The recurrence of `torch.nn` that `graph` computes, or None."""
    if graph.output != graph.states[0].next or graph.masks:
        return None
    reader = _Reader(graph)
    return reader.lstm() if len(graph.states) == 2 else reader.single() if len(graph.states) == 1 else None


class _Reader:
    """Reads a graph from its results back, allowing for the order of sums and products."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.nodes = graph.nodes
        self.h = graph.states[0].node
        self.x = next((i for i, n in enumerate(self.nodes) if n.op == "input"), -1)
        self.width = graph.state_sizes[-1]

    def lstm(self) -> Recurrence | None:
        """h' = sigmoid(o) tanh(c'), c' = sigmoid(f) c + sigmoid(i) tanh(g); h' may be projected."""
        (_, _, h), (_, c_before, c) = self.graph.states
        projection = None
        if self.nodes[h].op == "product" and len(self.nodes[h].args) == 1 and not matrices(self.nodes[h])[0][1]:
            if self.graph.state_sizes[0] >= self.width:  # PyTorch takes a projection to be narrower than the cell
                return None
            projection, h = matrices(self.nodes[h])[0][0], self.nodes[h].args[0]
        o = self.of_pair(h, "mul", "sigmoid", lambda i: self.argument(i, "tanh") == c)
        terms = self.terms(c)
        if o is None or len(terms) != 2:
            return None
        for kept, new in (terms, terms[::-1]):
            f = self.of_pair(kept, "mul", "sigmoid", lambda i: i == c_before)
            g = [a for a in self.nodes[new].args if self.nodes[a].op == "tanh"] if self.nodes[new].op == "mul" else []
            i = self.of_pair(new, "mul", "sigmoid", lambda a: self.nodes[a].op == "tanh")
            if f is not None and i is not None and len(g) == 1:
                gates = [self.gate(p) for p in (i, f, self.nodes[g[0]].args[0], o)]
                return Recurrence("lstm", tuple(k for k in gates if k), projection) if all(gates) else None
        return None

    def single(self) -> Recurrence | None:
        """An Elman network with tanh or ReLU, or a GRU that resets after the matrix."""
        h = self.graph.states[0].next
        kind: dict[str, Kind] = {"tanh": "rnn_tanh", "relu": "rnn_relu"}
        if self.nodes[h].op in kind:
            gate = self.gate(self.nodes[h].args[0])
            return Recurrence(kind[self.nodes[h].op], (gate,)) if gate else None
        return self.gru(h)

    def gru(self, h: int) -> Recurrence | None:
        """h' = z h + (1 - z) n, n = tanh(W_x x + b + r (W_h h + b))."""
        terms = self.terms(h)
        for kept, new in (terms, terms[::-1]) if len(terms) == 2 else ():
            z = self.of_pair(kept, "mul", "sigmoid", lambda i: i == self.h)
            if z is None:
                continue
            n = self.of_pair(new, "mul", "tanh", partial(self.is_rest, z))
            if n is None:
                continue
            products = [t for t in self.terms(n) if self.nodes[t].op == "mul"]
            if len(products) != 1:
                continue
            r = self.of_pair(products[0], "mul", "sigmoid", lambda i: self.side(self.terms(i), self.h) is not None)
            left = self.side([t for t in self.terms(n) if t != products[0]], self.x)
            if r is None or left is None:
                continue
            inner = next(a for a in self.nodes[products[0]].args if self.argument(a, "sigmoid") != r)
            right = self.side(self.terms(inner), self.h)
            reset, update = self.gate(r), self.gate(z)
            if reset and update and right:
                return Recurrence("gru", (reset, update, Gate(left[0], right[0], left[1], right[1])))
        return None

    def is_rest(self, z: int, i: int) -> bool:
        """Whether node `i` is 1 - sigmoid(z)."""
        if self.nodes[i].op != "sub":
            return False
        one, gate = (self.nodes[a] for a in self.nodes[i].args)
        return one.op == "constant" and one.attributes == (1.0,) and gate.op == "sigmoid" and gate.args == (z,)

    def gate(self, i: int) -> Gate | None:
        """The parameters of W_x x + W_h h + biases."""
        terms = self.terms(i)
        of_x = [t for t in terms if self.nodes[t].op == "product" and self.nodes[t].args == (self.x,)]
        left, right = self.side(of_x, self.x), self.side([t for t in terms if t not in of_x], self.h)
        return Gate(left[0], right[0], right[1]) if left and right else None

    def side(self, terms: Sequence[int], operand: int) -> tuple[str, tuple[str, ...]] | None:
        """The one matrix that multiplies `operand` among `terms`, and the biases that are the rest."""
        matrix: list[str] = []
        biases: list[str] = []
        for node in (self.nodes[t] for t in terms):
            if node.size != self.width:  # a gate of one column for all: PyTorch has no such thing
                return None
            if node.op == "product" and node.args == (operand,) and not matrices(node)[0][1]:
                matrix.append(matrices(node)[0][0])
            elif node.op == "parameter":
                biases.append(str(node.attributes[0]))
            else:
                return None
        return (matrix[0], tuple(biases)) if len(matrix) == 1 else None

    def terms(self, i: int) -> list[int]:
        """The terms of a sum, brackets removed."""
        if self.nodes[i].op != "add":
            return [i]
        return [t for a in self.nodes[i].args for t in self.terms(a)]

    def argument(self, i: int, op: str) -> int | None:
        """What `op` is applied to at node `i`."""
        return self.nodes[i].args[0] if self.nodes[i].op == op else None

    def of_pair(self, i: int, op: str, function: str, other: Callable[[int], bool]) -> int | None:
        """For node `i` = op(function(v), w) in either order, where `other(w)` holds: v."""
        if self.nodes[i].op != op:
            return None
        for a, b in (self.nodes[i].args, self.nodes[i].args[::-1]):
            v = self.argument(a, function)
            if v is not None and other(b):
                return v
        return None


def run(
    recurrence: Recurrence,
    x: Float[Tensor, "T B D"],
    states: Sequence[Float[Tensor, "B H"]],
    parameters: Mapping[str, Tensor],
) -> tuple[Float[Tensor, "T B H"], tuple[Float[Tensor, "B H"], ...]]:
    """The output `(T, B, P)` and the last states, from parameters by name."""
    gates = recurrence.gates
    w_x = torch.cat([parameters[g.W_x] for g in gates])
    w_h = torch.cat([parameters[g.W_h] for g in gates])
    weights = [w_x, w_h]
    if any(g.b_x or g.b_h for g in gates):
        zeros = w_x.new_zeros(len(w_x) // len(gates))
        for side in ([g.b_x for g in gates], [g.b_h for g in gates]):
            weights.append(torch.cat([sum((parameters[b] for b in biases), zeros) for biases in side]))
    if recurrence.projection:
        weights.append(parameters[recurrence.projection])
    return call(recurrence.kind, x, states, weights)


def call(
    kind: Kind, x: Float[Tensor, "T B D"], states: Sequence[Float[Tensor, "B H"]], weights: Sequence[Tensor]
) -> tuple[Float[Tensor, "T B H"], tuple[Float[Tensor, "B H"], ...]]:
    """The output and the last states, from weights as `torch.nn` lays them out: `w_ih`, `w_hh`, biases, projection."""
    first = [s.unsqueeze(0).contiguous() for s in states]
    options = (len(weights) >= 4, 1, 0.0, torch.is_grad_enabled(), False, False)
    output, *last = ENTRIES[kind](x, first if kind == "lstm" else first[0], list(weights), *options)
    return output, tuple(s.squeeze(0) for s in last)
