"""Layers and directions of one recurrence, whatever its cell and wherever its parameters are kept.

Owns the path of a sequence through a stack: checks, layout (batch first, unbatched), directions, dropout between
layers, `lengths`, `reset`, gates, and the packing of states. A subclass gives parameters by name. Never knows a cell.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from ifog.compiler.evaluation import Inputs
from ifog.compiler.planning import Plan
from ifog.compiler.precision import PRECISIONS, Precision
from ifog.errors import ConfigError, ShapeError
from ifog.kernels import backends
from ifog.kernels.compiled import Weights
from ifog.layers.dropout import dropout
from ifog.layers.masks import Extent, draw, extent, reversal
from ifog.layers.packing import Packing
from ifog.layers.state import state_type
from ifog.layers.streaming import Streaming

__all__ = ["Stack"]

States = list[tuple[Tensor, ...]]
T = TypeVar("T")


class Stack(nn.Module):
    """What `Recurrent` and the drop-in layers share.

    Args:
        plans: One for each layer.
        bidirectional: Whether each layer also reads backwards.
        batch_first: Whether tensors are (batch, time, ...) instead of (time, batch, ...).
        dropout: Share of each layer's output set to zero on the way to the next.
        backend: See `ifog.kernels.backends`.
        vocabulary: Number of tokens, where the input is token ids.
        precision: "fp32", or what enters matrix products is rounded to: "bf16", or "int16", whole numbers with a
            scale for each 64 of them. All else stays fp32.
    """

    def __init__(
        self,
        plans: list[Plan],
        *,
        bidirectional: bool,
        batch_first: bool,
        dropout: float,
        backend: str,
        vocabulary: int | None = None,
        precision: Precision = "fp32",
    ) -> None:
        super().__init__()
        if precision not in PRECISIONS:
            raise ConfigError(f"precision={precision!r}: expected one of {', '.join(map(repr, PRECISIONS))}")
        if isinstance(dropout, bool) or not 0.0 <= float(dropout) <= 1.0:
            raise ConfigError(f"dropout={dropout!r}: expected a share from 0 to 1 of the entries to set to zero")
        if backend not in backends.BACKENDS:
            backends.choose(plans[0], backend)
        self.plans = plans
        self.bidirectional, self.batch_first, self.dropout = bidirectional, batch_first, dropout
        self.backend, self.vocabulary = backend, vocabulary
        self.precision: Precision = precision
        graph = plans[0].graph
        self.state_names = tuple(s.name for s in graph.states)
        # columns of each packed state: layers may differ where a state is as wide as the input
        self._widths = tuple(max(sizes) for sizes in zip(*(p.graph.state_sizes for p in plans), strict=True))
        self.cell_name = graph.name
        # made here, where no tracer is watching: a cached property takes a lock, which a tracer may refuse
        state_type(self.cell_name, self.state_names)
        self._draws = any(p.graph.masks for p in plans)

    @property
    def directions(self) -> int:
        """1, or 2 where each layer also reads backwards."""
        return 2 if self.bidirectional else 1

    @property
    def output_size(self) -> int:
        """Columns of the output (P), both directions counted."""
        return self.plans[-1].graph.output_size * self.directions

    @abstractmethod
    def cell_parameters(self, layer: int, direction: int) -> Mapping[str, Tensor]:
        """The parameters of one layer and direction by the names that its graph uses."""

    def shared_parameters(self, layer: int, direction: int) -> Weights | None:
        """The same where they lie together in memory; None: they don't."""
        return None

    @abstractmethod
    def first_states(self, batch: int, like: Tensor) -> States:
        """The states that a sequence starts from when none is given, for each layer and direction."""

    def choice(self, layer: int = 0, *, masked: bool = False, gates: bool = False) -> backends.Choice:
        """Which backend runs a layer, and why."""
        like = self.like(None)
        return backends.choose(
            self.plans[layer],
            self.backend,
            tokens=layer == 0 and self.vocabulary is not None,
            masked=masked,
            gates=gates,
            precision=self.precision,
            device="cpu" if like is None else like.device.type,
            dtype=torch.float32 if like is None else like.dtype,
        )

    def packing_obstacle(self, *, gates: bool = False) -> str:
        """Why every step of sequences of unequal lengths is computed, and what pads them masked; "": it is not."""
        if torch.compiler.is_compiling():
            return "a tracer sees no lengths to sort by"
        for layer in range(len(self.plans)):
            choice = self.choice(layer, masked=True, gates=gates)
            if choice.backend != "cpu":
                return f"only the engine runs packed sequences; layer {layer} is on {choice.backend}: {choice.reason}"
        return ""

    def suffix(self, layer: int, direction: int) -> str:
        """How `torch.nn` marks a layer and direction in names: `_l0`, `_l0_reverse`."""
        return f"_l{layer}" + ("_reverse" if direction else "")

    def forward(
        self,
        x: Tensor,
        state: Any = None,
        *,
        lengths: Tensor | None = None,
        reset: Tensor | None = None,
        return_gates: bool = False,
    ) -> Any:
        """Runs a sequence.

        Args:
            x: `(T, B, D)`, or ids `(T, B)`.
            state: As returned; None starts from the initial state.
            lengths: `(B,)` integers: outputs past a length are zero, the last state is the state at the length.
            reset: `(T, B)` bool: where True, the state goes back to its start before that step.
            return_gates: Whether to return every named value too.

        Returns:
            `(y, state)`, and with `return_gates` a dict from name (`f_l0`, `f_l0_reverse`) to `(T, B, n)`.

        Raises:
            ShapeError: A tensor of the wrong shape or type.
        """
        x, batched = self.time_first(x)
        if lengths is not None:
            lengths = torch.as_tensor(lengths, device=x.device)
            x = self._filled(x, lengths)
        self.check_input(x)
        if self.vocabulary is not None:
            x = x.long()
        states = None if state is None else self.unpack(state, x.shape[1], batched)
        reset = None if reset is None else torch.as_tensor(reset, device=x.device)
        if reset is not None and self.batch_first and batched:
            reset = reset.transpose(0, 1)
        if reset is not None and not batched and reset.dim() == 1:
            reset = reset.unsqueeze(1)
        if lengths is not None and not batched:
            lengths = lengths.reshape(-1)
        y, last, gates = self.unroll(x, states, lengths, reset, return_gates)
        state = self.pack(last, batched)
        if not return_gates:
            return self.layout(y, batched), state
        return self.layout(y, batched), state, {name: self.layout(value, batched) for name, value in gates.items()}

    def _filled(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Ids with a token in place of what pads a sequence, which may be anything, such as -1."""
        if self.vocabulary is None or lengths.numel() != x.shape[1] or lengths.is_floating_point():
            return x  # lengths are checked later
        return x * (torch.arange(len(x), device=x.device).unsqueeze(1) < lengths.reshape(-1))

    def layout(self, value: Tensor, batched: bool) -> Tensor:
        """`value` `(T, B, ...)` as the caller wants it."""
        if not batched:
            return value.squeeze(1)
        return value.transpose(0, 1) if self.batch_first else value

    def pack(self, states: States, batched: bool) -> Any:
        """The named tuple of all layers' and directions' states, each `(layers * directions, B, n)`."""
        packed: list[Tensor] = []
        for k, width in enumerate(self._widths):
            rows = [
                s[k] if s[k].shape[-1] == width else nn.functional.pad(s[k], (0, width - s[k].shape[-1]))
                for s in states
            ]
            whole = torch.stack(rows) if len(rows) > 1 else rows[0].unsqueeze(0)
            packed.append(whole if batched else whole.squeeze(1))
        return state_type(self.cell_name, self.state_names)(*packed)

    def unpack(self, state: Any, batch: int, batched: bool) -> States:
        """Each layer's and direction's own states out of what `pack` made, checked."""
        parts = (state,) if isinstance(state, Tensor) else tuple(state)
        names, count = self.state_names, len(self.plans) * self.directions
        if len(parts) != len(names) or not all(isinstance(part, Tensor) for part in parts):
            kinds = ", ".join(type(part).__name__ for part in parts)
            raise ShapeError(
                f"state: {type(self).__name__} has {len(names)} states ({', '.join(names)}), each a tensor; got "
                f"{len(parts)} ({kinds})"
            )
        for name, part, width in zip(names, parts, self._widths, strict=True):
            wanted = (count, batch, width) if batched else (count, width)
            if tuple(part.shape) != wanted:
                raise ShapeError(
                    f"state {name}: expected shape {wanted}, (layers * directions, batch, size), "
                    f"got {tuple(part.shape)}"
                )
            dtype = self.like(part).dtype
            if part.dtype != dtype and not backends.autocasts(part.device):
                raise ShapeError(f"state {name}: it is {part.dtype}, the weights are {dtype}; convert it: .to({dtype})")
        rows = [part if batched else part.unsqueeze(1) for part in parts]
        return [
            tuple(r[i, :, :n] for r, n in zip(rows, self.plans[i // self.directions].graph.state_sizes, strict=True))
            for i in range(count)
        ]

    # the path of a sequence

    def unroll(
        self, x: Tensor, states: States | None, lengths: Tensor | None, reset: Tensor | None, gates: bool
    ) -> tuple[Tensor, States, dict[str, Tensor]]:
        """Runs `x` `(T, B, D)` or ids `(T, B)`, time first, through all layers and directions."""
        steps, batch = x.shape[:2]
        span = extent(steps, batch, x.device, lengths, reset)
        start = self.first_states(batch, x if x.is_floating_point() else self.like(x))
        states = start if states is None else states
        if span.lengths is None or self.packing_obstacle(gates=gates) or not span.lengths.any():
            if span.valid is not None and x.is_floating_point():
                x = torch.where(span.valid, x, 0.0)  # what pads a sequence may be anything, and has no gradient
            return self.through(x, states, start, span, gates)
        packing = Packing.of(span.lengths, steps)
        states, start = [packing.sort(s) for s in states], [packing.sort(s) for s in start]
        y, last, named = self.through(packing.pack(x), states, start, replace(span, packing=packing), gates)
        named = {name: packing.unpack(value) for name, value in named.items()}
        return packing.unpack(y), [packing.unsort(s) for s in last], named

    def unroll_packed(self, data: Tensor, sizes: Tensor, states: States) -> tuple[Tensor, States]:
        """Runs `data` `(N, D)` of a `PackedSequence` where nothing hinders it; states are in the packed order."""
        span = Extent(len(sizes), None, None, Packing.of_sizes(sizes, len(states[0][0])))
        y, last, _ = self.through(data.unsqueeze(0), states, states, span, False)
        return y.squeeze(0), last

    def through(
        self, x: Tensor, states: States, start: States, span: Extent, gates: bool
    ) -> tuple[Tensor, States, dict[str, Tensor]]:
        """Runs `x`, padded or packed as `span` says, through all layers and directions."""
        last: States = []
        found: dict[str, Tensor] = {}
        for layer in range(len(self.plans)):
            if layer and self.dropout:
                x = dropout(x, self.dropout, self.training)
            outputs: list[Tensor] = []
            for direction in range(self.directions):
                k = layer * self.directions + direction
                output, final, named = self._run(layer, direction, x, states[k], start[k], span, gates)
                outputs.append(output)
                last.append(final)
                found |= {name + self.suffix(layer, direction): value for name, value in named.items()}
            x = outputs[0] if len(outputs) == 1 else torch.cat(outputs, -1)
        return x, last, found

    def _run(
        self,
        layer: int,
        direction: int,
        x: Tensor,
        states: tuple[Tensor, ...],
        start: tuple[Tensor, ...],
        span: Extent,
        gates: bool,
    ) -> tuple[Tensor, tuple[Tensor, ...], dict[str, Tensor]]:
        plan = self.plans[layer]
        choice = self.choice(layer, masked=span.lengths is not None or span.reset is not None, gates=gates)
        shared = self.shared_parameters(layer, direction) if choice.backend == "cpu" and 0 not in x.shape[:2] else None
        parameters: Mapping[str, Tensor] = {}
        if shared is None:
            parameters = self._dropped(plan, self.cell_parameters(layer, direction))
        turn = None
        if direction:
            turn, span = reversal(span, x.device)
            x = turn(x)
        masks = draw(plan.graph, span, states[0], self.training) if self._draws else ()
        restart = None if span.reset is None else start
        sizes = span.packing.sizes if span.packing else ()
        inputs = Inputs(x, states, parameters, masks, *span.masks, restart, sizes=sizes)
        names = tuple(name for name, _ in plan.graph.names) if gates else ()
        output, final, named = backends.run(plan, inputs, choice, names, self.precision, shared)
        if turn is not None:
            output = turn(output)
            named = {name: turn(value) for name, value in named.items()}
        if span.packing is None and span.valid is not None:
            named = {name: torch.where(span.valid, value, 0.0) for name, value in named.items()}
        return output, final, named

    def _dropped(self, plan: Plan, parameters: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Weight dropout: the same entries are missing at every step of the sequence."""
        if not self.training or not any(p.dropout for p in plan.graph.parameters):
            return parameters
        rates = {p.name: p.dropout for p in plan.graph.parameters}
        return {name: dropout(w, rates[name]) if rates.get(name) else w for name, w in parameters.items()}

    def like(self, x: T) -> Tensor | T:
        """A tensor of the weights' type and device; `x` itself where the cell has no weights."""
        for weight in self._parameters.values():
            if weight is not None:
                return weight
        return next(iter(self.cell_parameters(0, 0).values()), x)  # a parametrization keeps the parameters elsewhere

    # layout

    def time_first(self, x: Tensor) -> tuple[Tensor, bool]:
        """`x` as `(T, B, ...)`, and whether it came with a batch axis."""
        full = 2 if self.vocabulary is not None else 3
        if not isinstance(x, Tensor):  # pyright: ignore[reportUnnecessaryIsInstance]: what a user wrote
            raise ShapeError(
                f"{type(self).__name__}: expected a tensor, got {type(x).__name__}; make one with torch.as_tensor, and "
                "of sequences of several lengths pad_sequence, with lengths= (a PackedSequence is for ifog.LSTM, GRU "
                "and RNN)"
            )
        if x.dim() not in (full - 1, full):
            wanted = "(time, batch" if not self.batch_first else "(batch, time"
            tail = ")" if full == 2 else ", features)"
            raise ShapeError(
                f"{type(self).__name__}: expected input of {full} axes {wanted}{tail} or {full - 1} without batch, "
                f"got {x.dim()} axes: {tuple(x.shape)}"
            )
        if x.dim() == full - 1:
            return x.unsqueeze(1), False
        return (x.transpose(0, 1) if self.batch_first else x), True

    def check_input(self, x: Tensor) -> None:
        """Refuses an input of the wrong width or type before anything is computed."""
        name, size = type(self).__name__, self.plans[0].graph.input_size
        if self.vocabulary is not None:
            if x.is_floating_point() or x.dtype == torch.bool:
                raise ShapeError(
                    f"{name}: vocabulary={self.vocabulary} takes integer token ids, got {x.dtype}; "
                    "drop vocabulary= for vectors"
                )
            # on a GPU the look would make the host wait at each call, a tracer has no numbers to look at; the look-up
            # itself refuses
            looks = x.device.type == "cpu" and x.numel() and not torch.compiler.is_compiling()
            if looks and not 0 <= int(x.min()) <= int(x.max()) < self.vocabulary:
                raise ShapeError(
                    f"{name}: token ids must be 0 to {self.vocabulary - 1}, got {int(x.min())} to {int(x.max())}"
                )
            return
        if x.shape[-1] != size:
            raise ShapeError(
                f"{name}: input has {x.shape[-1]} features in its last axis, input_size is {size}; "
                "make one equal the other"
            )
        dtype = self.like(x).dtype
        if x.dtype != dtype and not backends.autocasts(x.device):
            raise ShapeError(
                f"{name}: input is {x.dtype}, the weights are {dtype}; "
                f"convert one: x.to({dtype}) or layer.to({x.dtype})"
            )

    def step(self, x: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """One time step, for streaming: `x` `(B, D)` or ids `(B,)`, gives the output `(B, P)` and the next state."""
        if self.bidirectional:
            raise ConfigError("step() reads one step at a time; a bidirectional layer needs the whole sequence first")
        batched = x.dim() == (1 if self.vocabulary is not None else 2)
        axis = 1 if self.batch_first and batched else 0
        output, state = self(x.unsqueeze(axis), state)
        return output.squeeze(axis), state

    def streaming(self, batch: int = 1) -> Streaming:
        """Opens the layer for many single steps of `batch` sequences: several times faster than `step`, see there."""
        if self.bidirectional:
            raise ConfigError(
                "streaming() takes one step at a time; a bidirectional layer needs the whole sequence first"
            )
        return Streaming(self, batch)
