"""Evaluate values of a plan in plain PyTorch: leaves, stages of products and operations.

Owns how one node becomes a tensor. Takes nodes and tensors, gives tensors by node. Knows nothing of time: `execution`
calls it for one step or for all of them at once, and the engine's callers for what lies outside of the loop.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ifog.compiler.graph import Node, matrices
from ifog.compiler.operations import OPERATIONS
from ifog.compiler.planning import Plan, Stage
from ifog.compiler.precision import Precision, rounded_rows, rounded_weights

__all__ = [
    "Inputs", "Joins", "Values", "joined", "leaves", "literals", "product", "run_operations", "run_stages",
    "stack", "stacked",
]  # fmt: skip

Values = dict[int, Tensor]
Joins = dict[tuple[int, ...], Tensor]  # values side by side, kept where more than one product reads them


@dataclass(frozen=True)
class Inputs:
    """What a sequence is computed from.

    Attributes:
        x: The input `(T, B, D)`, or token ids `(T, B)` that pick columns of the input matrices, which alone read them.
        states: The states before the first step, each `(B, n)`.
        parameters: By name.
        masks: One for each of the graph's random masks, `(T or 1, B, n)`.
        valid: Which steps are within their sequence, `(T, B, 1)`; None: all.
        reset: Before which steps the state goes back to its start, `(T, B, 1)`; None: never.
        start: What a reset goes back to, each `(B, n)`; None: `states`.
        precision: What matrix products multiply.
        sizes: Of packed sequences, how many rows each step has, never more than the one before; none: padded. Packed,
            all rows of all steps (N) are one step `(1, N, ...)` of `x`, `masks`, `reset` and the output, and the first
            rows of `states` and `start` are the sequences that go on longest.
    """

    x: Tensor
    states: tuple[Tensor, ...]
    parameters: Mapping[str, Tensor]
    masks: tuple[Tensor, ...] = ()
    valid: Tensor | None = None
    reset: Tensor | None = None
    start: tuple[Tensor, ...] | None = None
    precision: Precision = "fp32"
    sizes: tuple[int, ...] = ()


def leaves(plan: Plan, inputs: Inputs) -> Values:
    """The values that nothing in the plan computes, states excepted."""
    values = literals(plan.graph.nodes, inputs.states[0])
    masks = iter(inputs.masks)
    for i, node in enumerate(plan.graph.nodes):
        if node.op == "parameter":
            values[i] = inputs.parameters[str(node.attributes[0])]
        elif node.op == "input":
            values[i] = inputs.x
        elif node.op == "mask":
            mask = next(masks)
            values[i] = mask.expand(len(inputs.x), *mask.shape[1:])  # one drawn per sequence serves every step
    return values


def literals(nodes: Sequence[Node], like: Tensor) -> Values:
    """The constants."""
    return {i: like.new_full((1,), float(str(n.attributes[0]))) for i, n in enumerate(nodes) if n.op == "constant"}


def stack(nodes: Sequence[Node], stages: Sequence[Stage], parameters: Mapping[str, Tensor]) -> dict[int, Tensor]:
    """One matrix for each group of products, by the group's first product: stacked once, used at every step."""
    return {group[0]: stacked(nodes, group, parameters) for stage in stages for group in stage.products}


def stacked(
    nodes: Sequence[Node], group: Sequence[int], parameters: Mapping[str, Tensor], order: Sequence[int] | None = None
) -> Tensor:
    """The matrices of products that share their operands, as one; `order` takes the operands in another order."""
    rows: list[Tensor] = []
    for p in group:
        pairs = matrices(nodes[p])
        blocks = [
            parameters[name].t() if flag else parameters[name]
            for name, flag in (pairs[k] for k in order or range(len(pairs)))
        ]
        rows.append(torch.cat(blocks, 1) if len(blocks) > 1 else blocks[0])
    return torch.cat(rows, 0) if len(rows) > 1 else rows[0]


def run_stages(
    nodes: Sequence[Node],
    stages: Sequence[Stage],
    values: Values,
    weights: Mapping[int, Tensor],
    joins: Joins | None = None,
    precision: Precision = "fp32",
) -> None:
    """Evaluates stages, adding to `values` and `joins`; `precision` is what products multiply."""
    for stage in stages:
        for group in stage.products:
            operand, matrix = joined(nodes[group[0]].args, values, joins), weights[group[0]]
            result = product(rounded_rows(operand, precision), rounded_weights(matrix, precision))
            parts = torch.split(result, [nodes[p].size for p in group], -1)
            values.update(zip(group, parts, strict=True))
        run_operations(nodes, stage.program, values)


def run_operations(nodes: Sequence[Node], program: Sequence[int], values: Values) -> None:
    """Evaluates operations, adding to `values`."""
    for i in program:
        node = nodes[i]
        values[i] = OPERATIONS[node.op].eager(*(values[a] for a in node.args), *node.attributes)


def product(operand: Tensor, matrix: Tensor) -> Tensor:
    """`matrix operand` for every row; for token ids, the columns that they pick: no product with a one-hot vector."""
    return F.linear(operand, matrix) if operand.is_floating_point() else F.embedding(operand, matrix.t())


def joined(members: tuple[int, ...], values: Values, joins: Joins | None = None) -> Tensor:
    """Values side by side, joined once where `joins` remembers it."""
    if len(members) == 1:
        return values[members[0]]
    if joins is None:
        return torch.cat([values[i] for i in members], -1)
    if members not in joins:
        joins[members] = torch.cat([values[i] for i in members], -1)
    return joins[members]
