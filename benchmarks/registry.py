"""What is compared with what.

Owns sizes, layers, peers and weights: a `Case` is our layer, every way its peer can run, and the fp32 computation that
all of them must agree with. Takes sizes and a precision, gives cases one at a time. Never times, never judges.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

import ifog
from ifog import cells
from ifog.compiler.execution import Inputs, unroll
from ifog.compiler.precision import Precision


class Size(NamedTuple):
    """Of one step: batch, time, input and hidden units; printed as B,T,I,H."""

    batch: int
    steps: int
    inputs: int
    hidden: int

    def __str__(self) -> str:
        return ",".join(map(str, self))


SIZES = (  # numbered from 1 for --sizes; the last one is the catalogue's alone
    Size(1, 25, 100, 100),
    Size(50, 50, 128, 128),
    Size(64, 100, 256, 256),
    Size(64, 100, 512, 512),
    Size(128, 64, 1024, 1024),
    Size(16, 128, 512, 512),
    Size(1, 1000, 256, 256),
    Size(1, 100, 128, 128),
)
LAYERS = ("LSTM", "GRU", "RNN")
# torchrecurrent's MUT1 multiplies the input by a matrix where ours, as in the paper, has none at these sizes, and its
# NAS adds where ours multiplies (docs/cells.md); what is computed costs the same but for that one product of MUT1
CATALOGUE = {
    "mut1": "MUT1",
    "mut3": "MUT3",
    "nas": "NAS",
    "lstm_peephole": "PeepholeLSTM",
    "gru_cho": None,
    "lstm + layer norm": None,
    "mingru": None,
    "recurrent_highway": None,
}


@dataclass(frozen=True)
class Step:
    """One way to run a layer over a sequence."""

    name: str
    layer: nn.Module
    x: Tensor
    dy: Tensor
    autocast: bool = False

    @cached_property
    def leaves(self) -> list[Tensor]:
        """What gradients are taken of: the input and every weight."""
        return [self.x, *self.layer.parameters()]

    def train(self) -> Sequence[Tensor]:
        """Forward and backward; gives the gradients."""
        with casting(self.autocast):
            y = self.layer(self.x)[0]
        return torch.autograd.grad(y, self.leaves, self.dy, materialize_grads=True)

    def infer(self) -> Any:
        """Forward alone."""
        with torch.no_grad(), casting(self.autocast):
            return self.layer(self.x)

    def results(self, training: bool) -> dict[str, Tensor]:
        """Output, last states and, of a training step, all gradients, by names that make sense in a complaint."""
        with torch.set_grad_enabled(training), casting(self.autocast):
            y, state = self.layer(self.x)
        states = (state,) if isinstance(state, Tensor) else tuple(state)
        found = {"y": y, **{f"last state {i}": s for i, s in enumerate(states)}}
        if training:
            names = ["x", *(name for name, _ in self.layer.named_parameters())]
            gradients = torch.autograd.grad(y, self.leaves, self.dy, materialize_grads=True)
            found |= {f"gradient of {name}": d for name, d in zip(names, gradients, strict=True)}
        return {name: value.detach() for name, value in found.items()}


@dataclass(frozen=True)
class Case:
    """One comparison.

    Attributes:
        ours: What is measured.
        peers: The ways its peer can run this; the fastest is what ours is measured against.
        truth: In fp32, with our weights.
        flops: Of one step of one sequence, ours and the peer's, where time is compared per operation.
    """

    cell: str
    size: Size
    precision: Precision
    ours: Step
    peers: tuple[Step, ...]
    truth: Step
    flops: tuple[int, int] | None = None


class EagerLoop(nn.Module):
    """The peer of cells that no library has: PyTorch operators in a loop over time, differentiated by autograd.

    What needs no state is computed once over all time. It is the compiler's own reference executor.
    """

    def __init__(self, layer: ifog.Recurrent) -> None:
        super().__init__()
        self.recurrent = layer

    def forward(self, x: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """`(T, B, D)` to the output and the last states, stacked as the layer stacks them."""
        first = self.recurrent.first_states(x.shape[1], x)[0]
        found = unroll(self.recurrent.plans[0], Inputs(x, first, self.recurrent.cell_parameters(0, 0)))
        return found.output, tuple(s.unsqueeze(0) for s in found.states)


def casting(wanted: bool) -> AbstractContextManager[Any]:
    """Autocast to bf16, or nothing."""
    return torch.autocast("cpu", torch.bfloat16) if wanted else nullcontext()


def keywords(precision: Precision) -> dict[str, Any]:
    """What a layer of ours is given for a precision."""
    return {} if precision == "fp32" else {"precision": precision}


def supports(precision: Precision, layer: Any = ifog.Recurrent) -> bool:
    """Whether a layer of ours has this precision."""
    return set(keywords(precision)) <= set(inspect.signature(layer).parameters)


def layers(sizes: Sequence[Size], precision: Precision) -> Iterator[Case]:
    """The drop-in layers against `torch.nn` in fp32."""
    for size in sizes:
        for kind in LAYERS:
            yield layer_case(kind, size, precision)


def layer_case(kind: str, size: Size, precision: Precision, num_layers: int = 1) -> Case:
    """One drop-in layer against `torch.nn`'s, with its weights."""
    torch.manual_seed(0)
    theirs = getattr(nn, kind)(size.inputs, size.hidden, num_layers)
    ours = getattr(ifog, kind)(size.inputs, size.hidden, num_layers, **keywords(precision))
    ours.load_state_dict(theirs.state_dict())
    peer = _step("torch.nn", theirs, size)
    return Case(kind, size, precision, _step("ifog", ours, size), (peer,), peer)


def catalogue(sizes: Sequence[Size], precision: Precision) -> Iterator[Case]:
    """Cells of the catalogue against torchrecurrent or the eager loop, each in the same precision as ours."""
    for size in sizes:
        for name, peer in CATALOGUE.items():
            torch.manual_seed(0)
            ours, truth = _pair(name, size, precision)
            if peer:
                import torchrecurrent

                theirs = getattr(torchrecurrent, peer)(size.inputs, size.hidden)
            else:
                theirs = EagerLoop(_recurrent(name, size))
            peers = _ways("torchrecurrent" if peer else "eager loop", theirs, size, precision)
            yield Case(name, size, precision, ours, peers, truth)


def per_flop(sizes: Sequence[Size], precision: Precision, names: Sequence[str]) -> Iterator[Case]:
    """Cells against our own LSTM, to be divided by the operations of each."""
    for size in sizes:
        torch.manual_seed(0)
        lstm, _ = _pair("lstm", size, precision)
        for name in names:
            torch.manual_seed(0)
            ours, truth = _pair(name, size, precision)
            yield Case(name, size, precision, ours, (lstm,), truth, (_flops(ours), _flops(lstm)))


def _pair(name: str, size: Size, precision: Precision) -> tuple[Step, Step]:
    """Our layer, and the eager loop with the same weights in fp32."""
    ours = _recurrent(name, size, **keywords(precision))
    loop = EagerLoop(_recurrent(name, size))
    loop.recurrent.load_state_dict(ours.state_dict())
    return _step("ifog", ours, size), _step("eager loop", loop, size)


def _recurrent(name: str, size: Size, **options: Any) -> ifog.Recurrent:
    name, _, normalised = name.partition(" + ")
    cell = cells.layer_normalized(cells.get(name)) if normalised else cells.get(name)
    return ifog.Recurrent(cell, size.inputs, size.hidden, **options)


def _flops(step: Step) -> int:
    assert isinstance(step.layer, ifog.Recurrent)
    return step.layer.plans[0].flops


def _ways(name: str, layer: nn.Module, size: Size, precision: Precision) -> tuple[Step, ...]:
    """One in fp32, also where ours multiplies integers; in bf16 autocast, or all of it, whichever is faster."""
    if precision != "bf16":
        return (_step(name, layer, size),)
    cast = _step(f"{name}, autocast", layer, size, autocast=True)
    return cast, _step(f"{name}, all bf16", copy.deepcopy(layer).bfloat16(), size)


def _step(name: str, layer: nn.Module, size: Size, *, autocast: bool = False) -> Step:
    """With inputs and cotangents that are the same for all of a size."""
    dtype = next(layer.parameters()).dtype
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(size.steps, size.batch, size.inputs, generator=generator).to(dtype).requires_grad_()
    recurrent = layer.recurrent if isinstance(layer, EagerLoop) else layer
    width = recurrent.output_size if isinstance(recurrent, ifog.Recurrent) else size.hidden
    dy = torch.randn(size.steps, size.batch, width, generator=generator).to(dtype)
    if autocast:  # decides for itself what the output is; nothing else runs here, for the sake of memory's figures
        with torch.no_grad(), casting(True):
            dy = dy.to(layer(x)[0].dtype)
    return Step(name, layer, x, dy, autocast)
