"""What a batch of unequal lengths costs.

Owns three training steps, interleaved: ours with `lengths`, ours over as many real steps in sequences of equal length,
and torch.nn's with a `PackedSequence` made of the same padded batch. Takes limits, prints rows.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

import torch
from benchmarks.registry import Case, Precision, Size, Step, keywords
from benchmarks.report import Report
from benchmarks.run import Limits, interleaved
from benchmarks.verify import MismatchError, verify
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import ifog

__all__ = ["WithLengths", "cases", "run"]

KINDS = ("LSTM", "GRU")
SIZES = (Size(32, 400, 128, 128), Size(64, 400, 128, 128), Size(32, 400, 256, 256), Size(64, 400, 256, 256))


class WithLengths(nn.Module):
    """A layer that is always given the same lengths, torch.nn's by way of a `PackedSequence`."""

    def __init__(self, layer: nn.Module, lengths: Tensor) -> None:
        super().__init__()
        self.recurrent, self.lengths = layer, lengths

    def forward(self, x: Tensor) -> tuple[Tensor, Any]:
        """`(T, B, D)` to the output and the last states."""
        if isinstance(self.recurrent, nn.RNNBase):
            y, last = self.recurrent(pack_padded_sequence(x, self.lengths, enforce_sorted=False))
            return pad_packed_sequence(y, total_length=len(x))[0], last
        y, last = self.recurrent(x, lengths=self.lengths)
        return y, last


def run(report: Report, limits: Limits, precisions: Sequence[Precision], quick: bool) -> int:
    """Prints a line for each size; gives how many were refused."""
    rows: list[dict[str, Any]] = []
    refused = 0
    for precision in precisions:
        report.title(f"training step of unequal lengths (uniform from T / 40 to T), {precision}")
        print("per real step, over equal lengths of ours: ours with lengths=, torch.nn in fp32 with a PackedSequence")
        print(f"{'cell':<6}{'B,T,I,H':<18}{'real steps':>12}{'equal, ms':>12}{'lengths':>10}{'torch.nn':>10}")
        for kind in KINDS:
            for size in (Size(3, 40, 8, 16),) if quick else SIZES:
                case, equal = cases(kind, size, precision)
                try:
                    verify(case)
                except MismatchError as error:
                    refused += 1
                    print(f"REFUSED: {error}", flush=True)
                    continue
                times = interleaved([equal.train, case.ours.train, case.peers[0].train], limits)
                row = _row(case, equal, times)
                rows.append(row)
                figures = f"{row['equal_ms']:>12.2f}{row['lengths']:>10.2f}{row['torch']:>10.2f}"
                print(f"{kind:<6}{size!s:<18}{row['real']:>12}{figures}", flush=True)
    report.keep("unequal", rows)
    return refused


def cases(kind: str, size: Size, precision: Precision) -> tuple[Case, Step]:
    """Ours with lengths against torch.nn's, with one set of weights; and ours over equal lengths."""
    generator = torch.Generator().manual_seed(1)
    lengths = torch.randint(size.steps // 40, size.steps + 1, (size.batch,), generator=generator)
    torch.manual_seed(0)
    theirs = getattr(nn, kind)(size.inputs, size.hidden)
    ours = getattr(ifog, kind)(size.inputs, size.hidden, **keywords(precision))
    ours.load_state_dict(theirs.state_dict())

    def step(name: str, layer: nn.Module, steps: int) -> Step:
        x = torch.randn(steps, size.batch, size.inputs, generator=generator).requires_grad_()
        return Step(name, layer, x, torch.randn(steps, size.batch, size.hidden, generator=generator))

    with_lengths = step("ifog", WithLengths(ours, lengths), size.steps)
    peer = Step("torch.nn", WithLengths(theirs, lengths), with_lengths.x, with_lengths.dy)
    equal = step("ifog, equal lengths", ours, round(int(lengths.sum()) / size.batch))
    return Case(kind, size, precision, with_lengths, (peer,), peer), equal


def _row(case: Case, equal: Step, times: list[list[float]]) -> dict[str, Any]:
    """Figures of one size; what is compared with equal lengths is first divided by the number of real steps."""
    layer = case.ours.layer
    assert isinstance(layer, WithLengths)
    real, all_equal = int(layer.lengths.sum()), equal.x.shape[0] * equal.x.shape[1]
    of_equal, ours, theirs = (statistics.median(rounds) for rounds in times)
    scale = all_equal / real / of_equal
    return {
        "cell": case.cell, "size": str(case.size), "precision": case.precision, "real": real,
        "equal_ms": of_equal, "lengths_ms": ours, "torch_ms": theirs, "lengths": ours * scale, "torch": theirs * scale,
    }  # fmt: skip
