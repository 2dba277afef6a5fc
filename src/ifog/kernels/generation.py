"""Run layers of any cell step by step on the C++ engine: streaming, and the whole loop that draws text.

Owns the arrays that a step reads and writes, and the tables of what the first layer makes of each token. Takes graphs,
parameters and states; gives outputs and tokens. Weights are packed once. Never draws a random number, never decides
whether to be used.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ifog.compiler import evaluation
from ifog.compiler.evaluation import Inputs, Values
from ifog.compiler.graph import Graph, Level
from ifog.compiler.precision import Precision
from ifog.compiler.stepping import Steps, lower
from ifog.kernels.loading import instruction_set, loaded_engine
from ifog.kernels.numbers import FLOATS

__all__ = ["Choosing", "Generation", "Head", "Layer", "Stream", "Tokens", "runs"]

LARGEST_TABLE = 4096  # tokens
SMALLEST_SHARE = 1 << 17  # weights that are worth a second thread's waiting


class Layer(NamedTuple):
    """A recurrence: its cell, and its parameters by the names in the cell's equations."""

    graph: Graph
    parameters: Mapping[str, Tensor]


class Tokens(NamedTuple):
    """What stands for a token: a row of `embedding` `(V, D)`, or with None the number itself."""

    size: int
    embedding: Tensor | None


class Head(NamedTuple):
    """Scores = weight `(V, P)` times the last output, plus bias `(V)`."""

    weight: Tensor
    bias: Tensor


class Choosing(NamedTuple):
    """How a token is chosen: see `ifog.generation.Sampling`."""

    temperature: float
    top_k: int
    top_p: float
    greedy: bool


def runs(graph: Graph) -> bool:
    """Whether the engine can run a cell step by step."""
    return all(lower(graph, precision="fp32", table=table) is not None for table in (False, True))


class _Bound:
    """One layer with its arrays, bound to the engine."""

    def __init__(
        self,
        steps: Steps,
        parameters: Mapping[str, Tensor],
        batch: int,
        precision: Precision,
        threads: int,
        source: Tensor | None,
    ) -> None:
        self.steps, self.parameters, self.batch = steps, parameters, batch
        graph, code = steps.plan.graph, steps.code
        self.arrays: dict[Hashable, Tensor] = {"output": torch.zeros(2, batch, graph.output_size, **FLOATS)}
        for k, role in enumerate(steps.history):
            if role is not None and role not in self.arrays:
                self.arrays[role] = torch.zeros(2, batch, graph.state_sizes[k], **FLOATS)
        if source is not None:
            self.arrays["input"] = source
        self.fixed = _before(steps, parameters, precision)
        for n in steps.tables:
            self.arrays["fixed", n] = torch.zeros(1, batch, graph.nodes[n].size, **FLOATS)
        given = [w for g in code.given for w in self._given(g.role)]
        weights = [w for weight in code.weights for w in _matrix(parameters[weight.name], weight.transposed)]
        self.stepper: Any = _engine().stepper(_program(code.words), given, weights, batch, threads, instruction_set())

    def _given(self, role: Any) -> tuple[int, int, int]:
        """Where an array lies at even and at odd steps, and its stride from row to row."""
        if isinstance(role, tuple) and role[0] == "state":
            before, now, stride = self._given(self.steps.history[role[1]])
            return (now, before, stride)
        if isinstance(role, tuple) and role[0] == "fixed" and role not in self.arrays:
            return (self.fixed[role[1]].data_ptr(), self.fixed[role[1]].data_ptr(), 0)
        value = self.arrays[role]
        return (value[0].data_ptr(), value[-1].data_ptr(), value.stride(1))

    def begin(self, states: Sequence[Tensor], number: int = 0) -> list[int]:
        """Puts the states `(B, n)`, with neighbouring columns, before a step; gives what is left to the engine."""
        steps, initials = self.steps, list[int]()
        places = iter(steps.code.carried)
        for role, state in zip(steps.history, states, strict=True):
            if role is None:
                initials += (next(places), state.data_ptr(), state.stride(0))
            else:
                self.arrays[role][1 - number].copy_(state)
        for k in steps.operands:
            initials += (next(places), states[k].data_ptr(), states[k].stride(0))
        return initials

    def step(self, states: Sequence[Tensor], made: Sequence[Tensor], number: int, *, pack: bool) -> Tensor:
        """One step from `states`, the states after it into `made`; gives the output, overwritten by a later step.

        Steps are called 0 and 1 in turn: they read the weights in opposite order, so that caches help.
        """
        steps, finals = self.steps, list[int]()
        places = iter(steps.code.carried)
        for role, state in zip(steps.history, made, strict=True):
            if role is None:
                finals += (next(places), state.data_ptr(), state.stride(0))
        self.stepper.step(number, pack, self.begin(states, number), finals)
        for role, state in zip(steps.history, made, strict=True):
            if role is not None:
                state.copy_(self.arrays[role][number])
        return self.arrays["output"][number]


def _matrix(weight: Tensor, transposed: bool) -> tuple[int, int, int]:
    rows, columns = weight.stride()
    return (weight.data_ptr(), *((columns, rows) if transposed else (rows, columns)))


def _engine() -> Any:
    return loaded_engine()


@lru_cache(maxsize=256)
def _program(words: tuple[int, ...]) -> object:
    return _engine().Program(list(words))


def _before(steps: Steps, parameters: Mapping[str, Tensor], precision: Precision) -> Values:
    """What depends on parameters alone."""
    plan = steps.plan
    nothing = Inputs(torch.zeros(1, 1, plan.graph.input_size, **FLOATS), (torch.zeros(1, 1, **FLOATS),), parameters)
    values = evaluation.leaves(plan, nothing)
    stacked = evaluation.stack(plan.graph.nodes, plan.constant, parameters)
    evaluation.run_stages(plan.graph.nodes, plan.constant, values, stacked)
    nodes = plan.graph.nodes
    # a mask became one number for all of its columns
    return {
        i: (v.expand(nodes[i].size) if v.dim() == 1 else v).contiguous()
        for i, v in values.items()
        if plan.levels[i] == Level.CONSTANT
    }


def _tables(layer: _Bound, tokens: Tokens, precision: Precision) -> list[Tensor]:
    """What the step reads of each token, `(V, n)`."""
    plan, parameters = layer.steps.plan, layer.parameters
    nodes = plan.graph.nodes
    values: Values = dict(layer.fixed)
    x = torch.arange(tokens.size, device="cpu") if tokens.embedding is None else tokens.embedding
    values.update((i, x) for i, node in enumerate(nodes) if node.op == "input")
    stacked = evaluation.stack(nodes, plan.input, parameters)
    evaluation.run_stages(nodes, plan.input, values, stacked, precision=precision)
    return [values[n].contiguous() for n in layer.steps.tables]


class Generation:
    """Layers, a head and how to choose, ready to go on from given states.

    Args:
        layers: From the first to the last.
        tokens: What the first layer reads.
        head: The output matrix.
        states: For each layer its states `(B, n)`.
        choosing: How tokens are chosen.
        precision: What the layers' products multiply.
        length: About how many tokens will be made: what is worth preparing.
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        tokens: Tokens,
        head: Head,
        states: Sequence[Sequence[Tensor]],
        choosing: Choosing,
        *,
        precision: Precision = "fp32",
        length: int = 1,
    ) -> None:
        batch = len(states[0][0])
        embedding = tokens.embedding
        table = embedding is None or (tokens.size <= LARGEST_TABLE and length > tokens.size // 8)
        threads = min(torch.get_num_threads(), _useful_threads(layers, batch))
        self.layers: list[_Bound] = []
        source = None
        if embedding is not None and not table:
            source = torch.zeros(1, batch, embedding.shape[1], **FLOATS)
        for number, layer in enumerate(layers):
            steps = lower(layer.graph, precision=precision, table=table and number == 0)
            assert steps is not None, "`runs` says what can be run"
            bound = _Bound(steps, layer.parameters, batch, precision, threads, source)
            rows = [s.contiguous() for s in states[number]]
            bound.stepper.start(bound.begin(rows))
            self.layers.append(bound)
            source = bound.arrays["output"]
        assert source is not None
        gathers: list[int] = []
        first = self.layers[0]
        self.tables = _tables(first, tokens, precision) if table else [embedding]
        targets = [first.arrays["fixed", n] for n in first.steps.tables] if table else [first.arrays["input"]]
        for rows, to in zip(self.tables, targets, strict=True):
            assert rows is not None
            gathers += (rows.data_ptr(), rows.stride(0), to.data_ptr(), to.stride(1), to.shape[2])
        self.head = head
        rows, columns = head.weight.stride()
        words = [head.weight.data_ptr(), rows, columns, head.bias.data_ptr(), *head.weight.shape]
        words += [source[0].data_ptr(), source[1].data_ptr(), source.stride(1)]
        self.engine: Any = _engine().generation([b.stepper for b in self.layers], gathers, words, *choosing)

    def run(self, tokens: Tensor, ended: Tensor, chances: Tensor, endings: Sequence[int]) -> Tensor | None:
        """Makes as many tokens as there are chances, or fewer where all sequences end.

        Args:
            tokens: (B,) int64: read first; becomes the last that were made.
            ended: (B,) uint8: such sequences repeat their last token.
            chances: (T, B) float64 from 0 to below 1: what stands for chance.
            endings: Tokens that end a sequence.

        Returns:
            (T or fewer, B) int64; None where scores are no numbers.
        """
        made = torch.empty(chances.shape, dtype=torch.int64, device="cpu")
        count = self.engine.run(
            tokens.data_ptr(), chances.data_ptr(), made.data_ptr(), ended.data_ptr(), list(endings), len(chances)
        )
        return None if count < 0 else made[:count]


class Stream:
    """Layers that take one step at a time, from states that the caller keeps.

    Args:
        layers: From the first to the last.
        batch: How many sequences.
        vocabulary: The number of tokens, where the input is their numbers.
        precision: What products multiply.
    """

    def __init__(self, layers: Sequence[Layer], batch: int, vocabulary: int | None, *, precision: Precision) -> None:
        threads = min(torch.get_num_threads(), _useful_threads(layers, batch))
        self.layers: list[_Bound] = []
        self.input = torch.zeros(1, batch, layers[0].graph.input_size if vocabulary is None else 0, **FLOATS)
        source = self.input
        for number, layer in enumerate(layers):
            steps = lower(layer.graph, precision=precision, table=vocabulary is not None and number == 0)
            assert steps is not None, "`runs` says what can be run"
            self.layers.append(_Bound(steps, layer.parameters, batch, precision, threads, source))
            source = self.layers[-1].arrays["output"]
        first = self.layers[0]
        self.tables = [] if vocabulary is None else _tables(first, Tokens(vocabulary, None), precision)
        self.packed = False
        self.number = 0

    def step(self, x: Tensor, states: Sequence[Sequence[Tensor]], made: Sequence[Sequence[Tensor]]) -> Tensor:
        """The output `(B, P)` of the last layer, a tensor of its own.

        Args:
            x: (B, D), or ids (B,).
            states: For each layer, with neighbouring columns.
            made: Where the states after the step go.
        """
        first = self.layers[0]
        for n, table in zip(first.steps.tables, self.tables, strict=bool(self.tables)):
            torch.index_select(table, 0, x, out=first.arrays["fixed", n][0])
        if not self.tables:
            self.input[0].copy_(x)
        output = self.input
        for layer, before, after in zip(self.layers, states, made, strict=True):
            output = layer.step(before, after, self.number, pack=not self.packed)
        self.packed, self.number = True, 1 - self.number
        return output.clone()


def _useful_threads(layers: Sequence[Layer], batch: int) -> int:
    """As many as have enough to do between two meetings."""
    weights = max(sum(w.numel() for w in layer.parameters.values()) for layer in layers)
    return max(1, weights * min(batch, 4) // SMALLEST_SHARE)
