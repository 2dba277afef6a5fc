"""`LSTM`, `GRU` and `RNN` with `torch.nn`'s arguments, parameters and results.

Owns the translation between `torch.nn`'s stacked weights and the names in a cell's equations. On the `aten` backend
whole stacks go to PyTorch in one call; on every other one they are ordinary cells.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

from ifog import cells
from ifog.compiler.planning import plan
from ifog.compiler.precision import Precision
from ifog.errors import ConfigError
from ifog.kernels import aten
from ifog.kernels.compiled import Weights
from ifog.kernels.sharing import Piece, Shared
from ifog.layers.stack import Stack, States

__all__ = ["GRU", "LSTM", "RNN"]


@dataclass(frozen=True)
class _Arguments:
    """`torch.nn`'s arguments, checked."""

    input_size: int
    hidden_size: int
    num_layers: int = 1
    bias: bool = True
    batch_first: bool = False
    dropout: float = 0.0
    bidirectional: bool = False
    proj_size: int = 0
    device: Any = None
    dtype: Any = None
    precision: Precision = "fp32"
    backend: str = "auto"

    def check(self, layer: str) -> None:
        """Refuses by name and value what `torch.nn` refuses."""
        for name, least in (("input_size", 1), ("hidden_size", 1), ("num_layers", 1), ("proj_size", 0)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ConfigError(f"{layer}: {name}={value!r}: expected a whole number of at least {least}")
        for name in ("bias", "batch_first", "bidirectional"):
            if not isinstance(getattr(self, name), bool):
                raise ConfigError(
                    f"{layer}: {name}={getattr(self, name)!r}: expected True or False; "
                    "a common slip is a size in this place"
                )
        if self.proj_size >= self.hidden_size:
            raise ConfigError(
                f"{layer}: proj_size={self.proj_size} must be smaller than hidden_size={self.hidden_size}, "
                "or 0 for no projection"
            )

    def __str__(self) -> str:
        changed = [f for f in fields(self)[2:] if getattr(self, f.name) != f.default]
        return ", ".join(
            [f"{self.input_size}, {self.hidden_size}", *(f"{f.name}={getattr(self, f.name)!r}" for f in changed)]
        )


class _DropIn(Stack):
    """What the three share; `cell` names the catalogue's cell that computes the same."""

    def __init__(self, cell: str, given: _Arguments) -> None:
        given.check(type(self).__name__)
        options = {"proj_size": given.proj_size} if given.proj_size else {}
        output = given.proj_size or given.hidden_size
        sizes = [given.input_size] + [output * (1 + given.bidirectional)] * (given.num_layers - 1)
        super().__init__(
            [plan(cells.get(cell).trace(size, given.hidden_size, **options)) for size in sizes],
            bidirectional=given.bidirectional,
            batch_first=given.batch_first,
            dropout=given.dropout,
            backend=given.backend,
            precision=given.precision,
        )
        if given.dropout and given.num_layers == 1:
            warnings.warn(
                f"{type(self).__name__}: dropout={given.dropout} acts between layers, and num_layers=1 has "
                "nothing between; use num_layers=2 or more, or dropout=0",
                stacklevel=3,
            )
        self.arguments = given
        self.input_size, self.hidden_size, self.num_layers = given.input_size, given.hidden_size, given.num_layers
        self.bias, self.proj_size = given.bias, given.proj_size
        recurrence = aten.recognise(self.plans[0].graph)
        assert recurrence is not None  # see test_every_drop_in_cell_is_recognised
        self.recurrence = recurrence  # with the parameters' names in the cell's equations
        self.mode = self.recurrence.kind.upper()
        self.all_weight_names: list[list[str]] = []
        rows = len(self.recurrence.gates) * given.hidden_size
        for layer, size in enumerate(sizes):
            for direction in range(self.directions):
                shapes: dict[str, tuple[int, ...]] = {"weight_ih": (rows, size), "weight_hh": (rows, output)}
                if given.bias:
                    shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)}
                if given.proj_size:
                    shapes["weight_hr"] = (given.proj_size, given.hidden_size)
                names = {name + self.suffix(layer, direction): shape for name, shape in shapes.items()}
                for name, shape in names.items():
                    empty = torch.empty(shape, device=given.device, dtype=given.dtype)
                    self.register_parameter(name, nn.Parameter(empty))
                self.all_weight_names.append(list(names))
        self.reset_parameters()
        self._shared = self._share()

    @property
    def all_weights(self) -> list[list[Tensor]]:
        """The parameters of each layer and direction, as in `torch.nn`."""
        return [[getattr(self, name) for name in names] for names in self.all_weight_names]

    def flatten_parameters(self) -> None:
        """Does nothing; there so that code written for `torch.nn` runs."""

    def reset_parameters(self) -> None:
        """Uniform in ±1/sqrt(H), drawn in `torch.nn`'s order: one seed gives both the same weights."""
        bound = 1.0 / math.sqrt(self.hidden_size)
        for weight in self.parameters():
            nn.init.uniform_(weight, -bound, bound)

    def cell_parameters(self, layer: int, direction: int) -> Mapping[str, Tensor]:
        """Rows of the stacked weights by the names in the cell's equations."""
        weights = self.all_weights[layer * self.directions + direction]
        w_x, w_h = weights[0], weights[1]
        zeros = w_x.new_zeros(len(w_x))
        b_x, b_h = (weights[2], weights[3]) if self.bias else (zeros, zeros)
        found: dict[str, Tensor] = {}
        for k, gate in enumerate(self.recurrence.gates):
            rows = slice(k * self.hidden_size, (k + 1) * self.hidden_size)
            found |= {gate.W_x: w_x[rows], gate.W_h: w_h[rows]}
            if gate.b_h:  # a bias on either side of the reset gate
                found |= {gate.b_x[0]: b_x[rows], gate.b_h[0]: b_h[rows]}
            else:
                found[gate.b_x[0]] = b_x[rows] + b_h[rows]
        if self.recurrence.projection:
            found[self.recurrence.projection] = weights[-1]
        return found

    def shared_parameters(self, layer: int, direction: int) -> Weights | None:
        """The stacked weights themselves, with the rows of each gate."""
        if not self.bias:  # the cell's biases are zeros that no tensor holds
            return None
        names = self.all_weight_names[layer * self.directions + direction]
        own = self._parameters  # looked into first: torch's way to an attribute that is a parameter is long
        found: list[Any] = [own[name] if name in own else getattr(self, name) for name in names]
        return Weights(self._shared, tuple(found))

    def _share(self) -> Shared:
        """Which rows of the stacked weights each parameter of the cell is."""
        found: dict[str, tuple[Piece, ...]] = {}
        for k, gate in enumerate(self.recurrence.gates):
            span = (k * self.hidden_size, (k + 1) * self.hidden_size)
            found |= {gate.W_x: (Piece(0, *span),), gate.W_h: (Piece(1, *span),)}
            if gate.b_h:  # a bias on either side of the reset gate
                found |= {gate.b_x[0]: (Piece(2, *span),), gate.b_h[0]: (Piece(3, *span),)}
            else:
                found[gate.b_x[0]] = (Piece(2, *span), Piece(3, *span))
        if self.recurrence.projection:
            found[self.recurrence.projection] = (Piece(4, 0, self.proj_size),)
        return Shared(found, len(self.all_weight_names[0]))

    def first_states(self, batch: int, like: Tensor) -> States:
        """Zeros for each layer and direction."""
        return [
            tuple(like.new_zeros(batch, n) for n in p.graph.state_sizes)
            for p in self.plans
            for _ in range(self.directions)
        ]

    def pack(self, states: States, batched: bool) -> Any:
        """A bare tensor where the cell has one state, as `torch.nn` gives."""
        packed = super().pack(states, batched)
        return packed if len(packed) > 1 else packed[0]

    def unroll(
        self, x: Tensor, states: States | None, lengths: Tensor | None, reset: Tensor | None, gates: bool
    ) -> tuple[Tensor, States, dict[str, Tensor]]:
        """The whole stack in one call where PyTorch's kernels can do what is asked."""
        masked = lengths is not None or reset is not None
        if self.choice(masked=masked, gates=gates).backend != "aten" or not x.numel():
            return super().unroll(x, states, lengths, reset, gates)
        output, last = self._call_torch((x,), self.first_states(x.shape[1], x) if states is None else states)
        return output, last, {}

    def _call_torch(self, sequence: tuple[Tensor, ...], states: States) -> tuple[Tensor, States]:
        """PyTorch's own entry point, for `(x,)` time first or `(data, batch_sizes)` packed."""
        first = [torch.stack(parts) for parts in zip(*states, strict=True)]
        weights = [w for group in self.all_weights for w in group]
        options = [self.bias, self.num_layers, float(self.dropout), self.training, self.bidirectional]
        if len(sequence) == 1:
            arguments = [*sequence, first if len(first) > 1 else first[0], weights, *options, False]
        else:
            arguments = [*sequence, first if len(first) > 1 else first[0], weights, *options]
        output, *last = aten.ENTRIES[self.recurrence.kind](*arguments)
        return output, list(zip(*(s.unbind(0) for s in last), strict=True))

    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]: torch.nn's names
        self,
        input: Any,
        hx: Any = None,
        *,
        lengths: Tensor | None = None,
        reset: Tensor | None = None,
        return_gates: bool = False,
    ) -> Any:
        """As `torch.nn`: takes a tensor or a `PackedSequence`; beyond it, keywords as in `Recurrent`."""
        if isinstance(input, PackedSequence):
            if lengths is not None or reset is not None or return_gates:
                raise ConfigError(
                    f"{type(self).__name__}: a PackedSequence has its lengths inside; "
                    "for reset= or return_gates= give a padded tensor and lengths="
                )
            return self._forward_packed(input, hx)
        return super().forward(input, hx, lengths=lengths, reset=reset, return_gates=return_gates)

    def _forward_packed(self, packed: PackedSequence, state: Any) -> tuple[PackedSequence, Any]:
        data, sizes, order, inverse = packed
        self.check_input(data)
        batch = int(sizes[0])
        states = self.first_states(batch, data) if state is None else self.unpack(state, batch, True)
        if order is not None and state is not None:
            states = [tuple(s.index_select(0, order) for s in parts) for parts in states]
        if self.choice().backend == "aten":
            output, last = self._call_torch((data, sizes), states)
        elif not self.packing_obstacle():
            output, last = self.unroll_packed(data, sizes, states)
        else:
            padded, lengths = pad_packed_sequence(PackedSequence(data, sizes))
            y, last, _ = self.unroll(padded, states, lengths, None, False)
            valid = torch.arange(len(sizes)).unsqueeze(1) < lengths
            output = y[valid.to(y.device)]
        if inverse is not None:
            last = [tuple(s.index_select(0, inverse) for s in parts) for parts in last]
        return PackedSequence(output, sizes, order, inverse), self.pack(last, True)

    def extra_repr(self) -> str:
        """Sizes, and whatever is not the default."""
        return str(self.arguments)


class LSTM(_DropIn):
    """`torch.nn.LSTM`, argument for argument (Hochreiter and Schmidhuber 1997; Gers et al. 2000).

    Beyond it: `lengths=`, `reset=` and `return_gates=` when called (see `Recurrent`), and `backend=`.

    Args:
        input_size: Features of the input (D).
        hidden_size: Columns of the state (H).
        num_layers: Each layer reads the outputs of the one before.
        bias: Whether there are biases.
        batch_first: Whether tensors are (batch, time, features).
        dropout: Share of a layer's output set to zero on the way to the next, in training.
        bidirectional: Whether each layer also reads backwards.
        proj_size: Columns of a projected h (Sak et al. 2014); 0: none.
        device: Of the parameters.
        dtype: Of the parameters.
        precision: See `ifog.Recurrent`; `backend` likewise.

    Shapes:
        x `(T, B, D)` -> y `(T, B, (proj_size or H) * directions)`, h and c `(num_layers * directions, B, ...)`.

    Raises:
        ConfigError: An argument out of range.

    Examples:
        >>> import torch, ifog
        >>> layer = ifog.LSTM(3, 5)
        >>> layer.load_state_dict(torch.nn.LSTM(3, 5).state_dict())
        <All keys matched successfully>
        >>> y, (h, c) = layer(torch.zeros(7, 2, 3))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: Any = None,
        *,
        precision: Precision = "fp32",
        backend: str = "auto",
    ) -> None:
        given = _Arguments(
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            proj_size,
            device,
            dtype,
            precision,
            backend,
        )
        super().__init__("lstm_projected" if proj_size else "lstm", given)


class GRU(_DropIn):
    """`torch.nn.GRU`, argument for argument: the form of cuDNN, which resets after the matrix.

    The form of Cho et al. (2014), which resets before it, is `Recurrent("gru_cho", ...)`. Arguments, shapes and errors
    as in `LSTM`; the state is one tensor.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: Any = None,
        *,
        precision: Precision = "fp32",
        backend: str = "auto",
    ) -> None:
        given = _Arguments(
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            0,
            device,
            dtype,
            precision,
            backend,
        )
        super().__init__("gru", given)


class RNN(_DropIn):
    """`torch.nn.RNN`, argument for argument (Elman 1990), with `nonlinearity` "tanh" or "relu".

    Arguments, shapes and errors as in `LSTM`; the state is one tensor.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: Any = None,
        *,
        precision: Precision = "fp32",
        backend: str = "auto",
    ) -> None:
        cell = {"tanh": "elman", "relu": "relu_rnn"}.get(nonlinearity)
        if cell is None:
            raise ConfigError(
                f'RNN: nonlinearity={nonlinearity!r}: expected "tanh" or "relu"; for others write a cell of three lines'
            )
        given = _Arguments(
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            0,
            device,
            dtype,
            precision,
            backend,
        )
        super().__init__(cell, given)
        self.nonlinearity = nonlinearity
