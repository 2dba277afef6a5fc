"""One exact step of any recurrence, its whole state as one vector.

Owns `Recurrence`: a copy in double precision of a cell, a layer or a model, run by the executor that autograd
differentiates. Takes inputs and flat states `(B, n)`, gives outputs and flat states. Never changes what it was given,
and never measures: see `jacobians` and `gradient_flow`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from ifog.cells import Cell
from ifog.errors import ConfigError, ShapeError
from ifog.inspection.watching import check_weights, values_of
from ifog.layers import Recurrent
from ifog.layers.stack import Stack

__all__ = ["Recurrence", "recurrence"]

_SHAPES = "its states must be (layers, batch, size), as recurrent layers return them"


class Recurrence:
    """A recurrence as a function `state' = f(x, state)` of one flat state, in double precision.

    Layers are stacked as one system: the state holds the states of all of them, so that a gradient that goes up
    through one layer and back down through another is counted. Where a layer was told to round (`precision="bf16"`),
    the function here doesn't.

    Attributes:
        name: Of the cell or of the model's class.
        module: The copy, in evaluation mode; its parameters take no gradient.
        names: What the state is made of, such as "layer0.h" and "layer0.c".
        slices: The columns of each name.
        size: Columns of the state (n).
        output_size: Columns of the output (P).
        vocabulary: Number of tokens where the input is ids (V), else None.
        input_size: Columns of the input (D), None where it is ids.

    Args:
        module: A layer (`Recurrent`, `LSTM`, ...) or a language model that is made of such layers.
        name: As above; None asks the module.

    Raises:
        ConfigError: The module has no recurrent layer, reads backwards too, or keeps another kind of state.
        RunError: A weight is not finite.
    """

    def __init__(self, module: nn.Module, name: str | None = None) -> None:
        stacks = [m for m in module.modules() if isinstance(m, Stack)]
        kind = type(module).__name__
        values_of(module)  # refuses what has no recurrent layer, or one that reads backwards too
        check_weights(module)
        self.name = name or stacks[0].cell_name
        self.module = copy.deepcopy(module).cpu().double().eval().requires_grad_(False)
        for copied in self.module.modules():
            if isinstance(copied, Stack):
                copied.backend, copied.precision = "reference", "fp32"
        self._run = self._runner()
        self.vocabulary, self.input_size = self._input(stacks[0])
        with torch.no_grad():
            y, self._template = self._run(self._probe(), None)
        self.names, self.slices, self.size = _layout(self._template, kind)
        self.output_size = y.shape[-1]

    def _runner(self) -> Callable[[Tensor, Any], tuple[Tensor, Any]]:
        """What takes inputs (T, B, ...) and a state, gives outputs (T, B, P) and the next state."""
        if isinstance(self.module, Stack):
            self.module.batch_first = False
            return self.module
        hidden: Any = getattr(self.module, "hidden", None)
        if hidden is None:
            raise ConfigError(
                f"{type(self.module).__name__} has no method hidden(ids, state) that gives vectors and the next state; "
                "give its recurrent layer instead."
            )
        return hidden

    def _input(self, first: Stack) -> tuple[int | None, int | None]:
        """How many tokens there are, or how many features."""
        if isinstance(self.module, Stack):
            return first.vocabulary, None if first.vocabulary is not None else first.plans[0].graph.input_size
        config: Any = self.module.config
        return int(config.vocabulary_size), None

    def _probe(self) -> Tensor:
        """One step of one sequence, only to see shapes."""
        if self.vocabulary is not None:
            return torch.zeros(1, 1, dtype=torch.long)
        return torch.zeros(1, 1, self.input_size or 0, dtype=torch.float64)

    def layers(self) -> Iterator[tuple[int, Stack, int]]:
        """Each recurrent layer: its number, the stack that holds it, and its place there."""
        number = 0
        for stack in (m for m in self.module.modules() if isinstance(m, Stack)):
            for place in range(len(stack.plans)):
                yield number, stack, place
                number += 1

    def inputs(self, steps: int, sequences: int, seed: int = 0) -> Tensor:
        """Random inputs: normal vectors (T, B, D), or ids (T, B) drawn evenly."""
        generator = torch.Generator().manual_seed(seed)
        if self.vocabulary is not None:
            return torch.randint(self.vocabulary, (steps, sequences), generator=generator)
        return torch.randn(steps, sequences, self.input_size or 0, generator=generator, dtype=torch.float64)

    def check(self, x: Tensor) -> Tensor:
        """Inputs as a step takes them: ids, or vectors in double precision.

        Raises:
            ShapeError: Another number of axes or features, or fewer than two steps.
        """
        wanted = "(T, B) of ids" if self.vocabulary is not None else f"(T, B, {self.input_size})"
        tail = () if self.vocabulary is not None else (self.input_size,)
        if x.dim() != 2 + len(tail) or tuple(x.shape[2:]) != tail or 0 in x.shape:
            raise ShapeError(f"inputs of {self.name}: expected {wanted}, got {tuple(x.shape)}")
        if len(x) < 2:
            raise ShapeError(f"inputs of {self.name}: a gradient that goes back needs at least 2 steps, got {len(x)}")
        return x.long() if self.vocabulary is not None else x.double()

    def start(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The output (B, P) and state (B, n) of the step from the initial state, for inputs (B, D) or ids (B,)."""
        y, state = self._run(x.unsqueeze(0), None)
        return y[0], _flat(state)

    def step(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """The output (B, P) and the next state (B, n) of one step from `state` (B, n)."""
        y, following = self._run(x.unsqueeze(0), _nested(self._template, iter(self._parts(state))))
        return y[0], _flat(following)

    @torch.no_grad()
    def states(self, x: Tensor) -> Tensor:
        """The states (T, B, n) after each step of inputs (T, B, D) or ids (T, B)."""
        found = [self.start(x[0])[1]]
        for inputs in x[1:]:
            found.append(self.step(inputs, found[-1])[1])
        return torch.stack(found)

    def _parts(self, state: Tensor) -> list[Tensor]:
        """The tensors (L, B, k) that a flat state was made of."""
        parts: list[Tensor] = []
        column = 0
        for leaf in _leaves(self._template):
            layers, _, width = leaf.shape
            block: Tensor = state[:, column : column + layers * width]
            parts.append(block.reshape(-1, layers, width).transpose(0, 1))
            column += layers * width
        return parts


def recurrence(
    subject: Recurrence | Cell | str | nn.Module, *, input_size: int | None = None, hidden_size: int = 64, seed: int = 0
) -> Recurrence:
    """The recurrence of a cell with fresh weights, of a layer, or of a model.

    Args:
        subject: A cell or its name in the catalogue, a layer, or a language model; a `Recurrence` is returned as it is.
        input_size: D of a cell; None: as many as hidden units.
        hidden_size: H of a cell.
        seed: Of a cell's initial weights; the state of torch's generator stays as it was.

    Raises:
        CellError: An unknown name, or a cell that can't be traced.
        ConfigError: Something that has no recurrence; see `Recurrence`.
        RunError: A weight is not finite.

    Examples:
        >>> recurrence("lstm", hidden_size=5).names
        ('layer0.h', 'layer0.c')
    """
    if isinstance(subject, Recurrence):
        return subject
    if isinstance(subject, nn.Module):
        return Recurrence(subject)
    if not isinstance(subject, Cell | str):  # pyright: ignore[reportUnnecessaryIsInstance]: what a user wrote
        raise ConfigError(
            f"{subject!r} has no states: give the name of a cell, a function decorated with @ifog.cell, a layer or a "
            "model."
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Recurrence(Recurrent(subject, input_size or hidden_size, hidden_size))


def _leaves(state: Any) -> Iterator[Tensor]:
    if isinstance(state, Tensor):
        yield state
    else:
        for part in cast("Sequence[Any]", state):
            yield from _leaves(part)


def _flat(state: Any) -> Tensor:
    """All states of all layers side by side, (B, n)."""
    return torch.cat([leaf.transpose(0, 1).flatten(1) for leaf in _leaves(state)], 1)


def _nested(template: Any, parts: Iterator[Tensor]) -> Any:
    """The tensors of `parts` in the nesting of `template`."""
    if isinstance(template, Tensor):
        return next(parts)
    made = [_nested(part, parts) for part in template]
    return type(template)(*made) if hasattr(template, "_fields") else type(template)(made)


def _layout(state: Any, kind: str) -> tuple[tuple[str, ...], dict[str, slice], int]:
    """Names, columns and size of the flat state."""
    slices: dict[str, slice] = {}
    column, first = 0, 0
    for group in _groups(state):
        fields = getattr(group, "_fields", ())
        leaves = list(_leaves(group))
        if not fields or len(fields) != len(leaves) or any(s.dim() != 3 or not s.is_floating_point() for s in leaves):
            raise ConfigError(
                f"{kind} keeps something else between its steps than the states of recurrent layers ({_SHAPES}); "
                "give its recurrent layer instead."
            )
        for field, leaf in zip(fields, leaves, strict=True):
            for layer in range(leaf.shape[0]):
                slices[f"layer{first + layer}.{field}"] = slice(column, column + leaf.shape[2])
                column += leaf.shape[2]
        first += leaves[0].shape[0]
    return tuple(slices), slices, column


def _groups(state: Any) -> Iterator[Any]:
    """The states of each stack: a named tuple, or whatever is there in its place."""
    if isinstance(state, tuple) and not hasattr(state, "_fields"):  # pyright: ignore[reportUnknownArgumentType]
        for part in cast("tuple[Any, ...]", state):
            yield from _groups(part)
    else:
        yield state
