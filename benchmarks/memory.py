"""How far one training step raises the peak of resident memory, ours against torch.nn's.

Owns the measurement: each layer in a process of its own, which has imported everything and trained a small layer before
it starts to look. Takes sizes, gives bytes. Linux alone: it reads /proc.

    python -m benchmarks.memory ifog LSTM bf16 64 100 512 512      # one figure, as the table's own processes print it
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from benchmarks.registry import LAYERS, Case, Precision, Size, Step, layer_case
from benchmarks.report import Report
from benchmarks.verify import MismatchError, verify

__all__ = ["growth_of_peak", "run"]

SMALL = Size(2, 3, 16, 16)  # trained first, so that threads and libraries have what they keep
STATUS = Path("/proc/self/status")
PAGE = 4096


def run(report: Report, sizes: Sequence[Size], precisions: Sequence[Precision], processes: int) -> int:
    """Prints the table; gives how many cases were refused."""
    report.title(f"growth of peak memory in one training step, MiB, median of {processes} processes")
    if not STATUS.exists():
        print("left out: this system has no /proc")
        return 0
    print(f"{'B,T,I,H':<18}{'cell':<8}{'torch.nn':>10}" + "".join(f"{p:>10}{'share':>8}" for p in precisions))
    rows: list[dict[str, object]] = []
    refused = 0
    for size in sizes:
        for kind in LAYERS:
            try:
                for precision in precisions:
                    verify(layer_case(kind, size, precision))
            except MismatchError as error:
                refused += 1
                print(f"REFUSED: {error}", flush=True)
                continue
            theirs = [_measured("torch.nn", kind, "fp32", size) for _ in range(processes)]
            ours = {p: [_measured("ifog", kind, p, size) for _ in range(processes)] for p in precisions}
            middle = statistics.median(theirs)
            columns = "".join(f"{m / 2**20:>10.2f}{m / middle:>8.2f}" for m in map(statistics.median, ours.values()))
            print(f"{size!s:<18}{kind:<8}{middle / 2**20:>10.2f}{columns}", flush=True)
            rows.append({"cell": kind, "size": str(size), "torch.nn": theirs, **ours})
    report.keep("memory, bytes", rows)
    return refused


def growth_of_peak(who: str, kind: str, precision: Precision, size: Size) -> int:
    """Bytes by which the peak of one training step exceeds what was resident before it."""
    _step_of(layer_case(kind, SMALL, precision), who).train()
    step = _step_of(layer_case(kind, size, precision), who)
    gc.collect()
    _give_back()
    before = _resident()
    found = step.train()
    peak = _status("VmHWM")
    del found  # not before: gradients are part of what a step needs
    return max(peak - before, PAGE)


def _step_of(case: Case, who: str) -> Step:
    return case.ours if who == "ifog" else case.peers[0]


def _measured(who: str, kind: str, precision: Precision, size: Size) -> int:
    command = [sys.executable, "-m", "benchmarks.memory", who, kind, precision, *map(str, size)]
    root = Path(__file__).parents[1]
    return int(subprocess.run(command, check=True, cwd=root, capture_output=True, text=True).stdout)


def _give_back() -> None:
    """What was freed and is still resident would hide as much of the growth; only glibc has to be told."""
    with contextlib.suppress(AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def _resident() -> int:
    """What is resident now; the peak starts from there, or where the kernel forbids that, from the peak so far."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return _status("VmHWM")
    return _status("VmRSS")


def _status(name: str) -> int:
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    who, kind, precision, *numbers = sys.argv[1:]
    print(growth_of_peak(who, kind, cast(Precision, precision), Size(*map(int, numbers))))
