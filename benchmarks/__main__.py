"""Speed of a training step against the peers, side by side in one process.

    python -m benchmarks

A row is printed only after outputs and every gradient agree with the peer's. Steps are interleaved; figures are medians
in milliseconds, and their ratio (above 1: ours is faster). Run it on an otherwise idle machine.
"""

from __future__ import annotations

import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import torch
import torchrecurrent
from torch import Tensor, nn

import ifog

ROUNDS = 7
SIZES = [(1, 25, 100, 100), (50, 50, 128, 128), (64, 100, 256, 256)]  # batch, steps, input, hidden
CELLS = {"gru_cho": None, "mgu": "MGU", "lightru": "LightRU", "lstm_peephole": "PeepholeLSTM", "ugrnn": "UGRNN"}


class Case(NamedTuple):
    """One comparison: two layers and, where parameters correspond one to one, their common weights."""

    name: str
    peer: str
    ours: nn.Module
    theirs: nn.Module
    same_weights: bool


def cases(inputs: int, hidden: int) -> Iterator[Case]:
    """The drop-in layers against `torch.nn`, catalogue cells against torchrecurrent or autograd in a plain loop."""
    for kind in ("LSTM", "GRU", "RNN"):
        theirs = getattr(nn, kind)(inputs, hidden)
        ours = getattr(ifog, kind)(inputs, hidden)
        ours.load_state_dict(theirs.state_dict())
        yield Case(kind, "torch.nn", ours, theirs, True)
    for name, peer in CELLS.items():
        ours = ifog.Recurrent(name, inputs, hidden)
        loop = ifog.Recurrent(name, inputs, hidden, backend="reference")
        loop.load_state_dict(ours.state_dict())
        yield Case(name, "autograd", ours, loop, True)
        if peer:
            yield Case(name, "torchrecurrent", ours, getattr(torchrecurrent, peer)(inputs, hidden), False)


def train(layer: nn.Module, x: Tensor) -> list[Tensor]:
    """One training step: the output, and the gradients of the input and of every parameter."""
    output = layer(x)[0]
    return [output, *torch.autograd.grad(output.square().mean(), [x, *layer.parameters()], allow_unused=True)]


def verify(case: Case, x: Tensor) -> None:
    """Refuses to time what doesn't compute the same; the tests compare cells whose weights are laid out differently."""
    if case.same_weights:
        for a, b in zip(train(case.ours, x), train(case.theirs, x), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def timed(step: Callable[[], object]) -> float:
    """Milliseconds."""
    start = time.perf_counter()
    step()
    return (time.perf_counter() - start) * 1e3


def main() -> None:
    """Print the table."""
    warnings.simplefilter("ignore")
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}")
    print(f"{'batch, steps, input, hidden':<28}{'cell':<15}{'peer':<16}{'ours':>9}{'peer':>9}{'ratio':>7}")
    for batch, steps, inputs, hidden in SIZES:
        x = torch.randn(steps, batch, inputs, requires_grad=True)
        for case in cases(inputs, hidden):
            verify(case, x)
            pairs = [
                (timed(partial(train, case.ours, x)), timed(partial(train, case.theirs, x))) for _ in range(ROUNDS)
            ]
            ours, theirs = (statistics.median(column) for column in zip(*pairs, strict=True))
            size = ", ".join(map(str, (batch, steps, inputs, hidden)))
            print(
                f"{size:<28}{case.name:<15}{case.peer:<16}{ours:>9.2f}{theirs:>9.2f}{theirs / ours:>7.2f}", flush=True
            )


if __name__ == "__main__":
    main()
