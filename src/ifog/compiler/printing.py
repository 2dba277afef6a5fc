"""Every stage as text, and a cell's equations for people and for papers.

Owns the spelling of expressions. Takes graphs and plans, gives strings. Never computes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ifog.compiler.graph import Graph, Node, matrices
from ifog.compiler.operations import LEAVES, OPERATIONS, TIGHTEST

if TYPE_CHECKING:
    from ifog.compiler.gradients import Gradients
    from ifog.compiler.planning import Plan, Stage

__all__ = ["Speller", "equations", "latex", "print_gradients", "print_graph", "print_plan"]

_GREEK = {
    "alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "kappa", "lambda", "mu", "nu", "xi", "pi",
    "rho", "sigma", "tau", "phi", "chi", "psi", "omega",
}  # fmt: skip


class Speller:
    """Spells nodes as expressions, up to the nodes that have names."""

    def __init__(self, nodes: Sequence[Node], names: Mapping[int, str], *, latex: bool = False) -> None:
        self.nodes = nodes
        self.names = names
        self.latex = latex

    def __call__(self, i: int, *, unfold: bool = False) -> str:
        """The expression of node `i`; `unfold` spells the node itself out even if it has a name."""
        return self._spell(i, unfold)[0]

    def _spell(self, i: int, unfold: bool = False) -> tuple[str, int]:
        node = self.nodes[i]
        if i in self.names and not unfold:
            return self.names[i], TIGHTEST
        if node.op == "constant":
            return self._number(float(str(node.attributes[0])))
        if node.op == "product":
            terms = [self._product(name, flag, a) for (name, flag), a in zip(matrices(node), node.args, strict=True)]
            return " + ".join(terms), 4 if len(terms) == 1 else 1
        if node.op not in OPERATIONS:
            return self._leaf(node), TIGHTEST
        return self._call(node)

    def _number(self, value: float) -> tuple[str, int]:
        digits, _, power = f"{value:g}".partition("e")
        if self.latex and power:
            shown = rf"10^{{{int(power)}}}" if digits in ("1", "-1") else rf"{digits} \cdot 10^{{{int(power)}}}"
            return ("-" + shown if digits == "-1" else shown), OPERATIONS["mul"].binding
        return f"{value:g}", OPERATIONS["neg"].binding if value < 0 else TIGHTEST

    def _call(self, node: Node) -> tuple[str, int]:
        row = OPERATIONS[node.op]
        form = row.latex if self.latex else row.text
        # a function's own brackets separate its arguments; an infix or suffix form leaves that to us
        bare = row.binding == TIGHTEST and not form.startswith("{}")
        spelled: list[str] = []
        for place, a in enumerate(node.args):
            text, binding = self._spell(a)
            # a - (b + c), a / (b * c) and (a²)² need their brackets, a + (b - c) does not
            tight = row.binding + (node.op == "square" or (place == 1 and node.op in ("sub", "div")))
            spelled.append(text if bare or binding >= tight else self._bracket(text))
        if bare and node.attributes not in ((), (1,)):  # one group or one copy goes without saying
            spelled[-1] = ", ".join(map(str, (spelled[-1], *node.attributes)))
        return form.format(*spelled, *node.attributes), row.binding

    def _product(self, name: str, transposed: bool, operand: int) -> str:
        text, binding = self._spell(operand)
        spelled = text if binding == TIGHTEST and not text.endswith(")") else self._bracket(text)
        return f"{self._parameter(name)}{self._transpose() if transposed else ''} {spelled}"

    def _transpose(self) -> str:
        return r"^\top" if self.latex else "ᵀ"

    def _bracket(self, text: str) -> str:
        return rf"\left({text}\right)" if self.latex else f"({text})"

    def _leaf(self, node: Node) -> str:
        name = str(node.attributes[0]) if node.attributes else node.op
        if node.op == "state":
            return f"{self.symbol(name)}_{{t-1}}" if self.latex else f"{name}'"
        if node.op == "input":
            return f"{self.symbol(name)}_t" if self.latex else name
        if node.op == "mask":
            return self.symbol(name) if self.latex else name
        return self._parameter(name)

    def _parameter(self, name: str) -> str:
        if not self.latex:
            return name
        stem, _, index = name.partition("_")
        return f"{self.symbol(stem)}_{{{index}}}" if index else self.symbol(stem)

    @staticmethod
    def symbol(name: str) -> str:
        """A name in LaTeX: one letter in italics, Greek as Greek, a word upright."""
        if name in _GREEK:
            return f"\\{name}"
        return name if len(name) == 1 else rf"\mathrm{{{name}}}".replace("_", r"\_")


def equations(graph: Graph, *, latex: bool = False) -> list[tuple[str, str]]:
    """`(name, expression)` for every named value, in the order of computation.

    A state's old value is spelled `h'` in text and `h_{t-1}` in LaTeX.
    """
    named = {i: name for name, i in reversed(graph.names)}
    spelled = {i: _index(name) if latex else name for i, name in named.items()}
    speller = Speller(graph.nodes, spelled, latex=latex)
    lines: list[tuple[str, str]] = []
    for state in graph.states:
        if graph.nodes[state.next].op in LEAVES and state.next not in named:  # a delay: the old value of another state
            lines.append((_index(state.name) if latex else state.name, speller(state.next)))
    for name, i in graph.names:
        first = named[i] == name
        lines.append((_index(name) if latex else name, speller(i, unfold=first)))
    if not any(i == graph.output for _, i in graph.names):
        lines.append((r"\mathrm{output}_t" if latex else "output", speller(graph.output)))
    return lines


def _index(name: str) -> str:
    return f"{Speller.symbol(name)}_t"


def latex(graph: Graph) -> str:
    r"""The cell's equations as a LaTeX `aligned` block, ready for `$$ ... $$`."""
    lines = [rf"{left} &= {right}" for left, right in equations(graph, latex=True)]
    return "\\begin{aligned}\n" + " \\\\\n".join(lines) + "\n\\end{aligned}"


# the stages of the compiler


def _value(nodes: Sequence[Node], i: int) -> str:
    node = nodes[i]
    args = [f"%{a}" for a in node.args]
    if node.op == "product":
        terms = [f"{name}{'ᵀ' if flag else ''} {a}" for (name, flag), a in zip(matrices(node), args, strict=True)]
        return f"%{i}[{node.size}] = " + " + ".join(terms)
    return f"%{i}[{node.size}] = " + " ".join([node.op, *args, *(re.sub(r"\.0$", "", str(a)) for a in node.attributes)])


def print_graph(graph: Graph) -> str:
    """Header, parameters, nodes with their levels, results."""
    states = ", ".join(f"{s.name}[{graph.nodes[s.node].size}]" for s in graph.states)
    lines = [f"{graph.name}(x[{graph.input_size}], {states})"]
    for p in graph.parameters:
        drop = f" dropout {p.dropout:g}" if p.dropout else ""
        kept = " stays orthogonal" if p.orthogonal else ""
        lines.append(f"  {p.name}[{' x '.join(map(str, p.shape))}] starts {p.initial}{drop}{kept}")
    names: dict[int, list[str]] = {}
    for name, i in graph.names:
        names.setdefault(i, []).append(name)
    for i in range(len(graph.nodes)):
        note = f"  # {', '.join(names[i])}" if i in names else ""
        lines.append(f"  {graph.levels[i].name.lower():8} {_value(graph.nodes, i)}{note}")
    following = ", ".join(f"{s.name} = %{s.next}" for s in graph.states)
    return "\n".join([*lines, f"  output %{graph.output}; {following}"])


def _print_stages(title: str, nodes: Sequence[Node], stages: Sequence[Stage]) -> list[str]:
    lines = [f"{title}:"] if stages else []
    for number, stage in enumerate(stages):
        for group in stage.products:
            matrix = " ; ".join(" | ".join(n + ("ᵀ" if t else "") for n, t in matrices(nodes[p])) for p in group)
            operand = " | ".join(f"%{a}" for a in nodes[group[0]].args)
            lines.append(f"  {number} product  {' '.join(f'%{p}' for p in group)} = [{matrix}] [{operand}]")
        lines += [f"  {number} {_value(nodes, i)}" for i in stage.program]
    return lines


def print_plan(plan: Plan) -> str:
    """What runs once, over all time at once, and at each step."""
    nodes = plan.graph.nodes
    stages = "1 stage" if len(plan.step) == 1 else f"{len(plan.step)} stages"
    lines = [f"plan of {plan.graph.name}: {plan.kind} recurrence, {stages} a step", _reads(nodes, 0)]
    lines += _print_stages("once", nodes, plan.constant)
    lines += _print_stages("over all time", nodes, plan.input)
    lines += _print_stages("each step", nodes, plan.step)
    return "\n".join(lines)


def print_gradients(gradients: Gradients) -> str:
    """The backward programs, from the loop back to the parameters."""
    nodes = gradients.nodes
    kept = f"saves {_list(gradients.saved)}, recomputes {_list(gradients.recomputed)}"
    lines = [f"gradients of {gradients.plan.graph.name}: {kept}", _reads(nodes, len(gradients.plan.graph.nodes))]
    for title, section in (
        ("each step, last to first", gradients.step), ("over all time", gradients.input), ("once", gradients.constant),
    ):  # fmt: skip
        lines += _print_stages(title, nodes, section.stages)
        for product in section.weights:
            rows = " ".join(f"d{name}{'ᵀ' if flag else ''} += %{d}" for name, flag, d in product.terms)
            lines.append(f"  weights  {rows} · %{product.operand}")
        lines += [f"  gives    d{_source(nodes, i)} = %{d}" for i, d in section.results]
    return "\n".join(lines)


def _reads(nodes: Sequence[Node], start: int) -> str:
    """The leaves from node `start` on."""
    leaves = [
        f"%{i} {' '.join(map(str, n.attributes[:1]))}" for i, n in enumerate(nodes) if i >= start and n.op in LEAVES
    ]
    return f"  reads {', '.join(leaves)}"


def _list(ids: Sequence[int]) -> str:
    return " ".join(f"%{i}" for i in ids) or "nothing"


def _source(nodes: Sequence[Node], i: int) -> str:
    return f" {nodes[i].attributes[0]}" if nodes[i].op in ("state", "input", "parameter") else f"%{i}"
