"""Speed and memory against the peers; a time is printed only after values and gradients match.

    python -m benchmarks                              # everything, on an otherwise idle machine
    python -m benchmarks layers inference --sizes 1 2 --json figures.json

Owns the command line. Ratios above 1: ours is faster. Exit code 1: a layer was refused, because it computes something
else than its peer.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from benchmarks import generation, growth, memory, registry, unequal
from benchmarks.registry import Case, Precision, Size
from benchmarks.report import Report
from benchmarks.run import Limits, Row, What, compare
from benchmarks.verify import MismatchError

from ifog import cells

GROUPS = ("layers", "catalogue", "costs", "inference", "generation", "memory", "growth", "unequal")

PEERS = """
eager loop: PyTorch operators in a loop over time, the input's products computed once over all time before it,
differentiated by autograd (ifog's reference executor). Values and gradients are verified against it in fp32.
torchrecurrent draws its own weights; tests/cells/test_torchrecurrent.py compares its cells given the same ones.
In bf16 peers run under autocast or wholly in bf16, whichever is faster; beside int16 they run in fp32."""


@dataclass
class Session:
    """What was asked for, and what came of it."""

    report: Report
    limits: Limits
    sizes: list[Size]
    precisions: list[Precision]
    quick: bool
    cells: list[str]
    refused: int = 0

    def table(self, title: str, cases: Iterable[Case], what: What, *, costs: bool = False) -> None:
        """One table of cases; what is refused is said in place of its row."""
        self.report.title(title)
        self.report.head("per FLOP" if costs else "ratio")
        rows: list[Row] = []
        for case in cases:
            try:
                rows.append(compare(case, what, self.limits))
            except MismatchError as error:
                self.refused += 1
                print(f"REFUSED: {error}", flush=True)
            else:
                self.report.row(rows[-1])
        (self.report.costs if costs else self.report.ratios)(title, rows)

    def of(self, *wanted: Size) -> list[Size]:
        """Those of the wanted sizes that were asked for."""
        return [size for size in wanted if size in self.sizes]


def main(arguments: list[str] | None = None) -> int:
    """Print what is asked for; 1 if anything was refused."""
    given = parsed(arguments)
    warnings.simplefilter("ignore")
    chosen: list[Size] = [registry.SIZES[n - 1] for n in given.sizes]
    limits = Limits(0.1, given.rounds or 3) if given.quick else Limits(rounds=given.rounds)
    session = Session(Report(), limits, chosen, given.precision, given.quick, given.cells)
    missing = [p for p in session.precisions if not registry.supports(p)]
    for precision in missing:
        print(f"left out: ifog's layers take no precision={precision!r} yet")
    session.precisions = [p for p in session.precisions if p not in missing]
    for group in given.groups or GROUPS:
        RUN[group](session)
    if given.json:
        session.report.write(given.json)
    return 1 if session.refused else 0


def parsed(arguments: list[str] | None) -> argparse.Namespace:
    """The command line's options."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    numbers = ", ".join(f"{n} = {size}" for n, size in enumerate(registry.SIZES, 1))
    parser.add_argument("groups", nargs="*", metavar="group", help=f"of {', '.join(GROUPS)}")
    parser.add_argument("--precision", nargs="+", choices=get_args(Precision), default=list(get_args(Precision)))
    parser.add_argument(
        "--sizes", nargs="+", type=int, choices=range(1, len(registry.SIZES) + 1), metavar="N",
        help=f"B,T,I,H: {numbers} (the last for the catalogue alone)",
    )  # fmt: skip
    parser.add_argument(
        "--cells", nargs="+", choices=sorted(cells.CATALOGUE), default=[], metavar="NAME", help="whose costs"
    )
    parser.add_argument("--rounds", type=int, help="of every case, instead of what fits in 3 seconds")
    parser.add_argument("--json", type=Path, help="write all figures and rounds to this file")
    parser.add_argument("--quick", action="store_true", help="small sizes, 3 rounds: shows that all runs")
    given = parser.parse_args(arguments)
    if unknown := set(given.groups) - set(GROUPS):
        parser.error(f"{', '.join(sorted(unknown))}: choose from {', '.join(GROUPS)}")
    if given.rounds is not None and given.rounds < 1:
        parser.error(f"--rounds {given.rounds}: at least 1 is needed")
    given.sizes = given.sizes or ([1, 8] if given.quick else range(1, len(registry.SIZES) + 1))
    return given


def run_layers(session: Session) -> None:
    """Training steps of the drop-in layers."""
    for precision in session.precisions:
        title = f"training step, {precision} against torch.nn in fp32"
        session.table(title, registry.layers(session.of(*registry.SIZES[:7]), precision), "train")


def run_inference(session: Session) -> None:
    """Forward passes of the drop-in layers."""
    for precision in session.precisions:
        title = f"inference, {precision} against torch.nn in fp32"
        session.table(title, registry.layers(session.of(*registry.SIZES[:7]), precision), "infer")


def run_catalogue(session: Session) -> None:
    """Training steps of other cells, and what an operation costs in each."""
    print(PEERS)
    for precision in session.precisions:
        for label, sizes in (("batches", registry.SIZES[1:3]), ("one sequence", registry.SIZES[7:])):
            if wanted := session.of(*sizes):
                session.table(f"catalogue, {label}, {precision}", registry.catalogue(wanted, precision), "train")


def run_costs(session: Session) -> None:
    """What an operation costs in each cell of the catalogue."""
    for precision in session.precisions:
        sizes = [Size(4, 4, 32, 32)] if session.quick else [Size(32, 50, 256, 256), Size(32, 50, 512, 512)]
        names = session.cells or list(cells.CATALOGUE)[:: 10 if session.quick else 1]
        title = f"time per FLOP relative to our own LSTM, {precision}"
        session.table(title, registry.per_flop(sizes, precision, names), "train", costs=True)


def run_generation(session: Session) -> None:
    """Characters per second at batch 1."""
    try:
        generation.run(session.report, session.limits, session.precisions, session.quick)
    except MismatchError as error:
        session.refused += 1
        print(f"REFUSED: {error}", flush=True)


def run_memory(session: Session) -> None:
    """Peak memory of training steps."""
    processes = 1 if session.quick else session.limits.rounds or 3
    session.refused += memory.run(session.report, session.of(*registry.SIZES[:7]), session.precisions, processes)


def run_growth(session: Session) -> None:
    """Time as each size doubles."""
    session.refused += growth.run(session.report, session.limits, session.precisions, session.quick)


def run_unequal(session: Session) -> None:
    """What a batch of unequal lengths costs."""
    session.refused += unequal.run(session.report, session.limits, session.precisions, session.quick)


RUN = {
    "layers": run_layers,
    "catalogue": run_catalogue,
    "costs": run_costs,
    "inference": run_inference,
    "generation": run_generation,
    "memory": run_memory,
    "growth": run_growth,
    "unequal": run_unequal,
}

if __name__ == "__main__":
    sys.exit(main())
