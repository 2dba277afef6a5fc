"""How the time of a training step grows with each size.

Owns the ladders: T, B, H and the number of layers doubled one at a time from a common base, ours and torch.nn's
interleaved, and the exponent fitted to each (1: proportional). Takes limits, prints rows.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Any

from benchmarks.registry import Precision, Size, layer_case
from benchmarks.report import Report
from benchmarks.run import Limits, Row, compare
from benchmarks.verify import MismatchError

__all__ = ["exponent", "ladders", "run"]

KINDS = ("LSTM", "GRU")
Rung = tuple[int, Size, int]  # the number that grows, all sizes, layers


def run(report: Report, limits: Limits, precisions: Sequence[Precision], quick: bool) -> int:
    """Prints a line for each ladder; gives how many cases were refused."""
    rows: list[dict[str, Any]] = []
    refused = 0
    for precision in precisions:
        report.title(f"time of a training step as one size doubles, {precision} against torch.nn in fp32")
        print(f"{'cell':<6}{'grows':<8}{'ms of ours, and of torch.nn in brackets':<76}{'exponents':>12}")
        for kind in KINDS[:1] if quick else KINDS:
            for name, rungs in ladders(quick).items():
                try:
                    measured = [compare(layer_case(kind, s, precision, n), "train", limits) for _, s, n in rungs]
                except MismatchError as error:
                    refused += 1
                    print(f"REFUSED: {error}", flush=True)
                    continue
                row = _row(kind, name, precision, rungs, measured)
                times = "  ".join(
                    f"{r['at']}: {r['ours_median_ms']:.2f} ({r['peer_median_ms']:.2f})" for r in row["rungs"]
                )
                fitted = row["exponents"]
                print(f"{kind:<6}{name:<8}{times:<76}{fitted[0]:>6.2f}{f'({fitted[1]:.2f})':>8}", flush=True)
                rows.append(row)
    report.keep("growth", rows)
    return refused


def _row(kind: str, name: str, precision: str, rungs: Sequence[Rung], measured: Sequence[Row]) -> dict[str, Any]:
    at = [k for k, _, _ in rungs]
    ours, peer = ([statistics.median(getattr(r, f"{who}_ms")) for r in measured] for who in ("ours", "peer"))
    kept = [{"at": k, "layers": n, **r.to_dict()} for (k, _, n), r in zip(rungs, measured, strict=True)]
    fitted = exponent(at, ours), exponent(at, peer)
    return {"cell": kind, "grows": name, "precision": precision, "exponents": fitted, "rungs": kept}


def ladders(quick: bool) -> dict[str, list[Rung]]:
    """For T, B, H and layers: each rung twice the one before."""
    base = Size(4, 8, 16, 16) if quick else Size(16, 64, 128, 128)
    factors = [1, 2] if quick else [1, 2, 4, 8]
    return {
        "T": [(base.steps * k, base._replace(steps=base.steps * k), 1) for k in factors],
        "B": [(base.batch * k, base._replace(batch=base.batch * k), 1) for k in factors],
        "H": [(base.hidden * k, base._replace(inputs=base.inputs * k, hidden=base.hidden * k), 1) for k in factors],
        "layers": [(k, base, k) for k in factors],
    }


def exponent(at: Sequence[int], ms: Sequence[float]) -> float:
    """The slope of a straight line through the logarithms."""
    return statistics.linear_regression([math.log(k) for k in at], [math.log(t) for t in ms]).slope
