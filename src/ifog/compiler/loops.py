"""Turn a fused plan into the loops that the engine runs: what each step reads and writes, and in which memory.

Owns the handling of `valid` and `reset`, what is carried from step to step and what is kept.
Takes a `Plan`, gives `Loops`. Never touches tensors.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NamedTuple, cast

from ifog.compiler.gradients import Gradients, differentiate
from ifog.compiler.graph import Level, Node, matrices
from ifog.compiler.layout import Block, lay_out, lay_out_inference
from ifog.compiler.masking import Step
from ifog.compiler.planning import Plan
from ifog.compiler.precision import Precision
from ifog.compiler.registers import Traffic, emit
from ifog.compiler.scheduling import Schedule
from ifog.compiler.spelling import Code, Given

__all__ = ["Block", "Loops", "Options", "Projection", "lower"]


class Options(NamedTuple):
    """What a sequence is asked for.

    Attributes:
        train: Whether gradients may be wanted.
        precision: What matrix products multiply.
        input_gradient: Whether the gradient of the input is wanted.
        valid: Whether some steps lie past the end of their sequence.
        reset: Whether the state goes back to its start before some steps.
        gates: The named values that are given out.
        order: The parameters in the order in which they lie in memory; none: in the cell's own.
        packed: Whether a step may have fewer rows than the one before.
    """

    train: bool
    precision: Precision = "fp32"
    input_gradient: bool = True
    valid: bool = False
    reset: bool = False
    gates: tuple[int, ...] = ()
    order: tuple[str, ...] = ()
    packed: bool = False


class Projection(NamedTuple):
    """A product over all steps that the engine itself makes, before the forward loop or after the backward loop.

    Attributes:
        out: The node it gives: kept in its block, or the input's gradient.
        terms: `(operand, matrix, transposed)`: the input's node, or cotangents that are kept in blocks.
    """

    out: int
    terms: tuple[tuple[int, str, bool], ...]


@dataclass(frozen=True, eq=False)
class Loops:
    """The code of both loops and the memory between them.

    Attributes:
        forward: Code of a step forwards; `backward` likewise, None for inference.
        gradients: What the backward loop is part of.
        slots: Columns of each slot: `(T, B, columns)`, bf16 where `half` says so.
        half: Which slots hold bf16.
        blocks: Where values are kept by node: input products and saved values, then cotangents over them.
        history: For each state the role of the array that holds it after every step: "output" or `("next", k)`, or
            None where it is only carried.
        operands: The states that products read in another type than their array's.
        collected: What the backward loop leaves for every step: by node, `("block", node)` or `("state", k)`.
        totals: The nodes whose values are sums over all steps that the backward loop makes.
    """

    plan: Plan
    options: Options
    forward: Code
    backward: Code | None
    gradients: Gradients | None
    slots: tuple[int, ...]
    half: tuple[bool, ...]
    blocks: dict[int, Block]
    history: tuple[Hashable, ...]
    operands: tuple[int, ...]
    collected: dict[int, Hashable]
    totals: tuple[int, ...]

    @cached_property
    def fixed(self) -> tuple[int, ...]:
        """The values computed before the loops that these read as they are."""
        given = (*self.forward.given, *(self.backward.given if self.backward else ()))
        roles = [cast("tuple[str, int]", g.role) for g in given if isinstance(g.role, tuple)]
        return tuple(dict.fromkeys(n for kind, n in roles if kind == "fixed"))

    @cached_property
    def before(self) -> tuple[Projection, ...]:
        """The products of the input alone that the forward loop reads."""
        nodes = self.plan.graph.nodes
        found: list[Projection] = []
        for p in self.plan.sequences_of_products:
            if len(nodes[p].args) == 1 and nodes[nodes[p].args[0]].op == "input" and p in self.blocks:
                (name, flag), = matrices(nodes[p])  # fmt: skip
                found.append(Projection(p, ((nodes[p].args[0], name, flag),)))
        return tuple(found)

    @cached_property
    def after(self) -> tuple[Projection, ...]:
        """The product in the input's gradient, where the backward loop leaves its operands and all it is added to."""
        nodes, addends = self._input_gradient
        products = [d for d in addends if nodes[d].op == "product" and d not in self.collected]
        if len(products) != 1:
            return ()
        args = nodes[products[0]].args
        if any(self.collected.get(n) != ("block", n) for n in (*args, *(d for d in addends if d != products[0]))):
            return ()
        pairs = matrices(nodes[products[0]])
        return (Projection(products[0], tuple((a, n, f) for a, (n, f) in zip(args, pairs, strict=True))),)

    @cached_property
    def added(self) -> tuple[int, ...]:
        """What the input's gradient is beside the product in `after`."""
        made = {p.out for p in self.after}
        return tuple(d for d in self._input_gradient[1] if d not in made) if made else ()

    @cached_property
    def _input_gradient(self) -> tuple[Sequence[Node], list[int]]:
        """The nodes of the backward program, and those of them that add up to the input's gradient; or none."""
        if self.gradients is None or not self.options.input_gradient:
            return (), []
        nodes = self.gradients.nodes
        results = [d for i, d in self.gradients.input.results if nodes[i].op == "input"]
        return nodes, list(_addends(nodes, results[0])) if len(results) == 1 else []

    @cached_property
    def scatter(self) -> tuple[tuple[int, str], ...]:
        """For token ids, the cotangents (and matrices) of the input's products; none unless blocks hold them all."""
        if self.gradients is None:
            return ()
        nodes = self.gradients.nodes
        terms = [t for w in self.gradients.input.weights if nodes[w.operand].op == "input" for t in w.terms]
        if any(flag or self.collected.get(d) != ("block", d) for _, flag, d in terms):
            return ()
        return tuple((d, name) for name, _, d in terms)

    def ends(self, *, reverse: bool) -> list[int]:
        """Whose start and end the carried places of a loop are: numbers of states, of totals for `start` after them."""
        if reverse:
            return list(range(len(self.backward.carried) if self.backward else 0))
        return [k for k, role in enumerate(self.history) if role is None] + list(self.operands)


def _addends(nodes: Sequence[Node], n: int) -> Iterator[int]:
    if nodes[n].op != "add":
        yield n
        return
    for a in nodes[n].args:
        yield from _addends(nodes, a)


@lru_cache(maxsize=256)
def lower(plan: Plan, options: Options) -> Loops:
    """The loops of `plan`, which has to be fused."""
    return _Lowering(plan, options).run()


class _Lowering:
    def __init__(self, plan: Plan, options: Options) -> None:
        assert plan.fused
        self.plan, self.options = plan, options
        self.graph = plan.graph
        self.gradients = differentiate(plan, options.input_gradient, options.gates) if options.train else None
        self.collected: dict[int, Hashable] = {}
        self.operands: tuple[int, ...] = ()
        self.totals: tuple[int, ...] = ()

    def run(self) -> Loops:
        half, order = self.options.precision == "bf16", self.options.order
        forward, final, output = self._forward_step()
        if self.gradients is None:
            self.layout = lay_out_inference(self.plan, half)
            history, code = self._forward_code(*forward, final, output)
            code_back = None
        else:
            step, backward = self._backward_step(self.gradients)
            written = {n: step.of(n) for n, role in self.collected.items() if role == ("block", n)}
            given_out = {*final, output, *self.options.gates}
            self.layout = lay_out(self.plan, self.gradients, forward[1], backward, written, given_out, order, half)
            history, code = self._forward_code(*forward, final, output)
            code_back = self._backward_code(self.gradients, step, backward, history)
        layout = self.layout
        return Loops(
            self.plan, self.options, code, code_back, self.gradients, tuple(layout.widths), tuple(layout.half),
            layout.blocks, history, self.operands, self.collected, self.totals,
        )  # fmt: skip

    # forwards

    def _forward_step(self) -> tuple[tuple[Step, Schedule], list[int], int]:
        """The step, the values that become the states, and the output."""
        graph, step = self.graph, Step(self.graph.nodes)
        self._restart(step)
        final = [step.of(s.next) for s in graph.states]
        output = step.of(graph.output)
        if self.options.valid:
            valid = step.given("valid", 1)
            final = [
                step.select(valid, n, step.of(s.node), step.last) for n, s in zip(final, graph.states, strict=True)
            ]
            output = step.select(valid, output, step.nought(), step.last)
        stages = [([p for g in s.products for p in g], s.program) for s in self.plan.step]
        return (step, step.schedule(stages)), final, output

    def _restart(self, step: Step) -> None:
        """Puts the state that each step reads in place of the one the step before left, where there are resets."""
        if not self.options.reset:
            return
        reset = step.given("reset", 1)
        for k, state in enumerate(self.graph.states):
            start = step.given(("start", k), self.graph.nodes[state.node].size)
            step.renamed[state.node] = step.select(reset, start, state.node, step.first)

    def _fixed(self, step: Step, scheduled: Schedule) -> None:
        """Sources among the values that are computed before the loop."""
        leaves = {s.node for s in self.graph.states}
        read = [a for n in scheduled.position for a in scheduled.nodes[n].args] + [
            step.of(s.next) for s in self.graph.states
        ]
        for a in (*read, step.of(self.graph.output), *self.options.gates):
            known = a in step.sources or a in leaves or a in scheduled.position
            if not known and a < len(self.graph.nodes) and self.graph.nodes[a].op != "constant":
                step.sources[a] = self._block(a) or Given(self._role(a))

    def _role(self, n: int) -> Hashable:
        """What a value that exists before the loop is."""
        node = self.graph.nodes[n]
        if node.op == "parameter":
            return ("parameter", str(node.attributes[0]))
        if node.op == "mask":
            return ("mask", self.graph.masks.index(n))
        return "x" if node.op == "input" else ("fixed", n)

    def _block(self, n: int) -> Given | None:
        block = self.layout.blocks.get(n)
        return Given(("block", n), self.layout.half[block.slot], block) if block else None

    def _forward_code(
        self, step: Step, scheduled: Schedule, final: list[int], output: int
    ) -> tuple[tuple[Hashable, ...], Code]:
        options, graph, converts = self.options, self.graph, self.options.precision != "fp32"
        self._fixed(step, scheduled)
        read_by_products = {a for s in scheduled.stages for p in s.products for a in scheduled.nodes[p].args}
        stores: list[tuple[int, Given]] = [(output, Given("output"))]
        stores += [(g, Given(("gate", g))) for g in options.gates]
        carried: list[tuple[int, int]] = []
        operands: list[tuple[int, int]] = []
        history: list[Hashable] = []
        for k, (state, value) in enumerate(zip(graph.states, final, strict=True)):
            if value == output and "output" not in history:  # each state needs its own first row
                history.append("output")
            elif options.train or (state.node in read_by_products and not converts):
                history.append(("next", k))
                stores.append((value, Given(("next", k))))
            else:
                history.append(None)
                carried.append((state.node, value))
            if history[k] is not None:
                step.sources[state.node] = Given(("state", k))
            if converts and state.node in read_by_products:
                operands.append((state.node, value))
                self.operands += (k,)
        for s in self.gradients.saved if self.gradients else ():
            if s not in self.plan.sequences_of_products:
                given = self._block(s)
                assert given is not None
                stores.append((s, given))
        traffic = Traffic(step.sources, stores, (), carried, operands, options.precision, options.packed)
        return tuple(history), emit(_with_nodes(scheduled, step), traffic)

    # backwards

    def _backward_step(self, gradients: Gradients) -> tuple[Step, Schedule]:
        graph, options = self.graph, self.options
        step = Step(gradients.nodes)
        self._restart(step)
        self.raw = list(gradients.carried)
        if options.valid:
            valid = step.given("valid", 1)
            for leaf in gradients.carried:
                step.renamed[leaf] = step.select(valid, leaf, step.nought(), step.first)
            step.renamed[gradients.seed] = step.select(valid, gradients.seed, step.nought(), step.first)
        of_state = dict(gradients.step.results)
        leaving = [of_state[s.node] if s.node in of_state else step.nought() for s in graph.states]
        leaving = [step.of(n) for n in leaving]
        if options.valid:
            valid = next(n for n, g in step.sources.items() if g.role == "valid")
            leaving = [step.select(valid, n, leaf, step.last) for n, leaf in zip(leaving, self.raw, strict=True)]
        self.starts: list[tuple[int, int]] = []
        if options.reset:
            reset = next(n for n, g in step.sources.items() if g.role == "reset")
            for k in range(len(self.raw)):
                size = graph.state_sizes[k]
                total = step.add("cotangent", (), size, ("start total", k))
                back = step.select(reset, leaving[k], step.nought(), step.last, size)
                more = step.add("add", (total, back), size)
                step.last.append(more)
                self.starts.append((total, more))
                leaving[k] = step.select(reset, step.nought(), leaving[k], step.last, size)
        self.leaving = list(zip(self.raw, leaving, strict=True))
        first: list[tuple[list[int], tuple[int, ...]]] = [([], gradients.recomputed)] if gradients.recomputed else []
        stages = first + [([p for g in s.products for p in g], s.program) for s in gradients.step.stages]
        self.collected = self._collected(gradients)
        return step, step.schedule(stages)

    def _collected(self, gradients: Gradients) -> dict[int, Hashable]:
        """What the loop leaves for every step, by node: cotangents, and operands of weight gradients."""
        leaves = {s.node: k for k, s in enumerate(self.graph.states)}
        found: dict[int, Hashable] = {}
        inputs = [i for i, level in enumerate(self.plan.levels) if level == Level.INPUT]
        if not self.options.input_gradient:
            inputs = [i for i in inputs if self.graph.nodes[i].op != "input"]
        wanted = [d for i, d in gradients.step.results if i in inputs]
        for weight in gradients.step.weights:
            wanted += [*weight.cotangents, weight.operand]
        for n in dict.fromkeys(wanted):
            if self.plan.levels[n] < Level.STEP if n < len(self.plan.levels) else False:
                continue
            # a reset reads another state, and packed steps have rows that don't face those of the step before
            if n in leaves and not (self.options.reset or self.options.packed):
                found[n] = ("state", leaves[n])
            else:
                found[n] = ("block", n)
        return found

    def _backward_code(
        self, gradients: Gradients, step: Step, scheduled: Schedule, history: tuple[Hashable, ...]
    ) -> Code:
        graph = self.graph
        leaves = {s.node for s in graph.states}
        step.sources[gradients.seed] = Given("d_output")
        step.sources.update((leaf, Given(("d_gate", k))) for k, leaf in enumerate(gradients.gates))
        for k, state in enumerate(graph.states):
            step.sources[state.node] = Given(("state", k))
            if state.next not in scheduled.position and state.next not in leaves:
                step.sources.setdefault(state.next, Given(history[k]))
        for s in gradients.saved:
            if s not in scheduled.position:
                given = self._block(s)
                assert given is not None
                step.sources[s] = given
        self._fixed(step, scheduled)
        stores: list[tuple[int, Given]] = []
        for n, role in self.collected.items():
            if role == ("block", n) and n not in gradients.saved:
                given = self._block(n)
                assert given is not None
                stores.append((step.of(n), given))
        totals = [
            (step.of(gradients.nodes[i].args[0]), i)
            for stage in gradients.constant.stages
            for i in stage.program
            if gradients.nodes[i].op == "total" and _in_loop(gradients, gradients.nodes[i].args[0])
        ]
        self.totals = tuple(i for _, i in totals)
        carried = [*self.leaving, *self.starts]
        traffic = Traffic(step.sources, stores, totals, carried, (), self.options.precision, self.options.packed)
        return emit(_with_nodes(scheduled, step), traffic)


def _in_loop(gradients: Gradients, d: int) -> bool:
    """Whether a cotangent is known within the loop, not only after it."""
    outside = {n for s in gradients.input.stages for n in (*s.program, *(p for g in s.products for p in g))}
    return d not in outside


def _with_nodes(scheduled: Schedule, step: Step) -> Schedule:
    return dataclasses.replace(scheduled, nodes=tuple(step.nodes))
