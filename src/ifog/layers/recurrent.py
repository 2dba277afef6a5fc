"""The layer of any cell.

Owns `Recurrent`: parameters by the names that the cell's equations give them, initial values, learned initial states.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ifog import cells
from ifog.compiler import Cell
from ifog.compiler.graph import Graph
from ifog.compiler.initialisers import fill
from ifog.compiler.planning import plan
from ifog.compiler.precision import Precision
from ifog.errors import ConfigError
from ifog.kernels.compiled import Weights
from ifog.kernels.sharing import Shared
from ifog.layers.orthogonal import keep_orthogonal
from ifog.layers.stack import Stack, States

__all__ = ["Recurrent"]


class Recurrent(Stack):
    """Unrolls any cell over time, in layers and directions.

    Args:
        cell: A function decorated with `ifog.cell`, or the name of one in the catalogue (`ifog cells` lists them).
        input_size: Features of the input (D); None where `vocabulary` is given.
        hidden_size: Columns of the state (H).
        num_layers: Each layer reads the outputs of the one before.
        vocabulary: Number of tokens (V): the input is integer ids `(T, B)`, and the first layer's input matrices are
            read column by column instead of multiplied.
        batch_first: Whether tensors are (batch, time, ...).
        bidirectional: Whether each layer also reads backwards; outputs of both directions are concatenated.
        dropout: Share of a layer's output set to zero on the way to the next layer, in training.
        initial_state: "zero", or "learned": one trained row for each state, layer and direction.
        precision: "fp32", or what enters matrix products is rounded to: "bf16", or "int16", whole numbers with a scale
            for each 64 of them, which is nearly as exact as fp32. Sums and states stay fp32.
        backend: "auto", "cpu" (the C++ engine), "aten" (PyTorch's own kernels), "symbolic" (the compiler's backward
            programs in PyTorch), "reference" (autograd).
        options: Of the cell, e.g. `depth=5` of a recurrent highway network.

    Shapes:
        x `(T, B, D)`; output `(T, B, P * directions)` with P the size of the cell's output; each state
        `(layers * directions, B, n)`. Without batch the B axis is missing everywhere.

    Raises:
        CellError: The cell can't be traced at these sizes.
        ConfigError: An option out of range.

    Examples:
        >>> import torch, ifog
        >>> layer = ifog.Recurrent("lstm", input_size=3, hidden_size=5, num_layers=2)
        >>> y, (h, c) = layer(torch.zeros(7, 2, 3))
        >>> y.shape, h.shape
        (torch.Size([7, 2, 5]), torch.Size([2, 2, 5]))
        >>> y, state, gates = layer(torch.zeros(7, 2, 3), return_gates=True)
        >>> gates["f_l0"].shape
        torch.Size([7, 2, 5])
    """

    def __init__(
        self,
        cell: Cell | str,
        input_size: int | None,
        hidden_size: int,
        num_layers: int = 1,
        *,
        vocabulary: int | None = None,
        batch_first: bool = False,
        bidirectional: bool = False,
        dropout: float = 0.0,
        initial_state: Literal["zero", "learned"] = "zero",
        precision: Precision = "fp32",
        backend: str = "auto",
        **options: Any,
    ) -> None:
        self.cell = cells.get(cell) if isinstance(cell, str) else cell
        if not isinstance(self.cell, Cell):  # pyright: ignore[reportUnnecessaryIsInstance]: what a user wrote
            raise ConfigError(
                f"Recurrent: {cell!r} is no cell; decorate the function with @ifog.cell, "
                "or give a name of the catalogue"
            )
        if clash := set(self.cell.options) & set(inspect.signature(Recurrent).parameters):
            raise ConfigError(
                f"Recurrent: option {', '.join(sorted(clash))} of cell {self.cell.name} has the name of an argument of "
                "Recurrent, which would take its value; rename the option"
            )
        if (input_size is None) == (vocabulary is None):
            raise ConfigError(
                "Recurrent needs either input_size= (features of the input) or vocabulary= (number of tokens), not both"
            )
        for name, value in (
            ("input_size", input_size or vocabulary),
            ("hidden_size", hidden_size),
            ("num_layers", num_layers),
        ):
            if not isinstance(value, int) or value < 1:
                raise ConfigError(f"{name}={value!r}: expected a whole number of at least 1")
        if initial_state not in ("zero", "learned"):
            raise ConfigError(f'initial_state={initial_state!r}: expected "zero" or "learned"')
        plans: list[Any] = []
        size = input_size or vocabulary or 0
        for _ in range(num_layers):
            plans.append(plan(self.cell.trace(size, hidden_size, **options)))
            size = plans[-1].graph.output_size * (2 if bidirectional else 1)
        super().__init__(
            plans,
            bidirectional=bidirectional,
            batch_first=batch_first,
            dropout=dropout,
            backend=backend,
            vocabulary=vocabulary,
            precision=precision,
        )
        if vocabulary is not None:
            _check_tokens(plans[0].graph)
        self.hidden_size = hidden_size
        self.options = options
        self.learned = initial_state == "learned"
        self._register()
        self.reset_parameters()

    def _register(self) -> None:
        for layer, p in enumerate(self.plans):
            for direction in range(self.directions):
                suffix = self.suffix(layer, direction)
                for parameter in p.graph.parameters:
                    name = parameter.name + suffix
                    self.register_parameter(name, nn.Parameter(torch.empty(parameter.shape)))
                    if parameter.orthogonal:
                        nn.init.eye_(self.get_parameter(name))
                        keep_orthogonal(self, name)
                if self.learned:
                    for name, n in zip(self.cell.states, p.graph.state_sizes, strict=True):
                        if f"initial_{name}" in p.graph.rows:
                            raise ConfigError(
                                f"Recurrent: cell {self.cell.name} has a parameter initial_{name}, which is what the "
                                "learned initial state is called; rename it"
                            )
                        self.register_parameter(f"initial_{name}{suffix}", nn.Parameter(torch.empty(n)))

    def reset_parameters(self) -> None:
        """Fills every parameter with the initial value that its cell states."""
        for layer, p in enumerate(self.plans):
            for direction in range(self.directions):
                suffix = self.suffix(layer, direction)
                for parameter in p.graph.parameters:
                    name = parameter.name + suffix
                    value = torch.empty_like(getattr(self, name)) if parameter.orthogonal else self.get_parameter(name)
                    fill(value, parameter.initial, self.hidden_size)
                    if parameter.orthogonal:  # what is learned is how far to turn away from here
                        setattr(self, name, value)
                if self.learned:
                    for name in self.cell.states:
                        nn.init.zeros_(self.get_parameter(f"initial_{name}{suffix}"))

    def cell_parameters(self, layer: int, direction: int) -> Mapping[str, Tensor]:
        """The parameters of one layer and direction, by the names in the cell's equations."""
        own = self._parameters  # looked into first: torch's way to an attribute that is a parameter is long
        found: dict[str, Any] = {}
        suffix = self.suffix(layer, direction)
        for parameter in self.plans[layer].graph.parameters:
            name = parameter.name + suffix
            # by attribute, not by get_parameter: weight_norm and functional_call put plain tensors there
            found[parameter.name] = own[name] if name in own else getattr(self, name)
        return found

    def shared_parameters(self, layer: int, direction: int) -> Weights | None:
        """Each parameter as a tensor of its own; None where some of its entries are to be dropped."""
        graph = self.plans[layer].graph
        if torch.compiler.is_compiling() or (self.training and graph.drops):
            return None
        return Weights(Shared.of(graph), tuple(self.cell_parameters(layer, direction).values()))

    def first_states(self, batch: int, like: Tensor) -> States:
        """Zeros, or the learned rows, for each layer and direction."""
        found: States = []
        for layer, p in enumerate(self.plans):
            for direction in range(self.directions):
                suffix = self.suffix(layer, direction)
                found.append(
                    tuple(
                        getattr(self, f"initial_{name}{suffix}").expand(batch, n)
                        if self.learned
                        else like.new_zeros(batch, n)
                        for name, n in zip(self.cell.states, p.graph.state_sizes, strict=True)
                    )
                )
        return found

    def initial_state(self, batch: int = 1) -> Any:
        """The state that a sequence starts from, each `(layers * directions, batch, n)`."""
        return self.pack(self.first_states(batch, self.like(torch.empty(0))), batched=True)

    def extra_repr(self) -> str:
        """Cell and sizes."""
        graph = self.plans[0].graph
        return f"{self.cell.name}, {graph.input_size}, {self.hidden_size}, num_layers={len(self.plans)}"


def _check_tokens(graph: Graph) -> None:
    """Token ids can only pick columns of matrices: any other use of the input needs numbers."""
    used = [n.op for n in graph.nodes for a in n.args if graph.nodes[a].op == "input"]
    if any(op != "product" for op in used) or any(graph.nodes[s.next].op == "input" for s in graph.states):
        raise ConfigError(
            f"cell {graph.name} uses its input outside of matrix products, which token ids can't enter; "
            "put an nn.Embedding before the layer and give input_size= instead of vocabulary="
        )
