"""What is printed and kept: the machine, rows as they are measured, summaries, JSON.

Owns the layout of tables and the file. Takes rows, gives text. Never measures.
"""

from __future__ import annotations

import importlib.metadata
import json
import math
import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from benchmarks.run import Row, spread

from ifog.kernels import available, engine

__all__ = ["Report", "machine"]

BUSY = 0.5  # load average from which figures are not to be trusted
LIMIT = 1.6  # what an operation of any cell may cost in those of our LSTM


class Report:
    """Prints as it goes, and remembers all for JSON."""

    def __init__(self) -> None:
        self.machine = machine()
        self.tables: dict[str, Any] = {}
        for name, value in self.machine.items():
            print(f"{name:<16}{value}")
        if self.machine["load average"] > BUSY:
            print(f"WARNING: the load average is above {BUSY}: something else runs, and these figures tell little")

    def title(self, text: str) -> None:
        """Begins a table."""
        print(f"\n{text}\n{'-' * len(text)}", flush=True)

    def head(self, figure: str) -> None:
        """The columns of `row`."""
        print(
            f"{'B,T,I,H':<18}{'cell':<22}{'ours, ms':>10}{'peer, ms':>10}{'±ours':>7}{'±peer':>7}{figure:>10}  peer",
            flush=True,
        )

    def row(self, row: Row) -> None:
        """One case."""
        ours, peer = statistics.median(row.ours_ms), statistics.median(row.peer_ms)
        print(
            f"{row.size:<18}{row.cell:<22}{ours:>10.3f}{peer:>10.3f}{spread(row.ours_ms):>7.1%}"
            f"{spread(row.peer_ms):>7.1%}{row.figure:>10.2f}  {row.peer}",
            flush=True,
        )

    def ratios(self, title: str, rows: Sequence[Row]) -> None:
        """Sizes down, cells across, geometric means at both ends, and the smallest entry."""
        if not rows:
            return
        sizes, names = (list(dict.fromkeys(getattr(r, key) for r in rows)) for key in ("size", "cell"))
        width = max(12, *(len(name) + 2 for name in names))
        print(f"\n{'ratio':<18}" + "".join(f"{name:>{width}}" for name in [*names, "mean"]))
        for size in sizes:
            line = {r.cell: r.figure for r in rows if r.size == size}
            figures = [f"{line[name]:.2f}" if name in line else "-" for name in names]
            print(f"{size:<18}" + "".join(f"{f:>{width}}" for f in [*figures, f"{_mean(line.values()):.2f}"]))
        means = {name: _mean([r.figure for r in rows if r.cell == name]) for name in names}
        overall = _mean([r.figure for r in rows])
        print(f"{'geometric mean':<18}" + "".join(f"{m:>{width}.2f}" for m in [*means.values(), overall]))
        least = min(rows, key=lambda r: r.figure)
        print(f"smallest: {least.figure:.2f}, {least.cell} at {least.size}", flush=True)
        smallest = {"ratio": least.figure, "cell": least.cell, "size": least.size}
        self.keep(title, [r.to_dict() for r in rows], means=means, mean=overall, smallest=smallest)

    def costs(self, title: str, rows: Sequence[Row]) -> None:
        """The dearest cell, and all above the limit."""
        if not rows:
            return
        worst = max(rows, key=lambda r: r.figure)
        above = sorted({r.cell for r in rows if r.figure > LIMIT})
        print(f"largest: {worst.figure:.2f}, {worst.cell} at {worst.size}")
        print(f"above {LIMIT}: {len(above)} cells" + (f": {', '.join(above)}" if above else ""), flush=True)
        self.keep(title, [r.to_dict() for r in rows], largest=worst.figure, above=above)

    def keep(self, title: str, rows: Sequence[Mapping[str, Any]], **summary: Any) -> None:
        """For the file."""
        self.tables[title] = {"rows": list(rows), **summary}

    def write(self, path: Path) -> None:
        """All figures, every round included."""
        path.write_text(json.dumps({"machine": self.machine, "tables": self.tables}, indent=1) + "\n")


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    features = engine() if available() else None
    return {
        "CPU": _cpu(),
        "features": " ".join(features.cpu_features()) if features else "no engine",
        "torch's kernels": torch.backends.cpu.get_cpu_capability(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "Python": platform.python_version(),
        **{name: _version(name) for name in ("torch", "ifog", "torchrecurrent", "onnxruntime")},
        "load average": round(os.getloadavg()[0], 2),
    }


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _mean(figures: Any) -> float:
    """Geometric."""
    return math.exp(statistics.fmean(math.log(f) for f in figures))
