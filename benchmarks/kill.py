"""Kill training at random moments, resume it, and compare with a run that was never stopped, bit for bit.

    python benchmarks/kill.py --kills 20

Each line is one `kill -9` of `ifog train`, anywhere between its start and its end, and one `ifog resume` (or, where the
kill came before anything had begun, `ifog train` again). Compared are all figures in metrics.jsonl except times, and
every tensor of the last and of the best checkpoint: weights, averaged weights, optimiser, state, random numbers.
The exit code is 1 if any differs.
"""

from __future__ import annotations

import argparse
import inspect
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from ifog.errors import RunError
from ifog.runs import RunDirectory

IFOG = [sys.executable, "-m", "ifog.cli"]
TIMES = {"seconds", "items_per_second"}


def main() -> int:
    """Print the table; the number of runs that differ decides the exit code."""
    arguments = parsed()
    with tempfile.TemporaryDirectory() as folder:
        text = Path(folder) / "text.txt"
        text.write_text("".join(inspect.getsource(module) for module in (argparse, inspect, random, subprocess)))
        train = [
            *IFOG, "train", str(text), "--steps", str(arguments.steps), "--save-every", "20", "--evaluate-every", "60",
            "--hidden-size", "32", "--embedding-size", "16", "--batch-size", "8", "--sequence", "32",
            "--dropout", "0.2", "--average", "0.98", "--seed", "7",
        ]  # fmt: skip
        whole = Path(folder) / "whole"
        start = time.monotonic()
        subprocess.run([*train, "--out", str(whole)], check=True, stdout=subprocess.DEVNULL)
        seconds = time.monotonic() - start
        print(f"uninterrupted: {arguments.steps} steps in {seconds:.1f} s, start of the program included")
        print(f"{'kill':>4}  {'after':>7}  {'last checkpoint':>15}  {'went on with':>12}  result")
        moments = random.Random(arguments.seed)
        different = 0
        for kill in range(1, arguments.kills + 1):
            out = Path(folder) / str(kill)
            moment = moments.uniform(0, seconds)
            killed(train, out, moment)
            found, command = state_of(out)
            going_on = [*IFOG, "resume", str(out)] if command == "resume" else [*train, "--out", str(out)]
            subprocess.run(going_on, check=True, stdout=subprocess.DEVNULL)
            differences = compared(whole, out)
            different += bool(differences)
            result = "differs: " + ", ".join(differences) if differences else "equal, bit for bit"
            print(f"{kill:>4}  {moment:>5.2f} s  {found:>15}  {command:>12}  {result}", flush=True)
    print(f"{arguments.kills - different} of {arguments.kills} equal the uninterrupted run")
    return 1 if different else 0


def parsed() -> argparse.Namespace:
    """The command line's options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    return parser.parse_args()


def killed(train: list[str], out: Path, moment: float) -> None:
    """Start training and end it after `moment` seconds without a chance to clean up."""
    process = subprocess.Popen([*train, "--out", str(out)], stdout=subprocess.DEVNULL)
    time.sleep(moment)
    process.send_signal(signal.SIGKILL)
    process.wait()


def state_of(out: Path) -> tuple[str, str]:
    """The step of the last checkpoint, and the command that goes on."""
    try:
        run = RunDirectory.open(out)
    except RunError:
        return "no run yet", "train"
    return (f"step {run.load('last').step}" if run.has_checkpoint() else "none yet"), "resume"


def compared(whole: Path, other: Path) -> list[str]:
    """What differs between two runs."""
    differences: list[str] = []
    first, second = RunDirectory.open(whole), RunDirectory.open(other)
    if figures(first) != figures(second):
        differences.append("metrics.jsonl")
    for which in ("last", "best"):
        a, b = first.load(which), second.load(which)
        if a.step != b.step or a.tensors.keys() != b.tensors.keys():
            differences.append(f"{which} checkpoint")
        else:
            differences += [f"{which} {name}" for name in a.tensors if not equal(a.tensors[name], b.tensors[name])]
    return differences


def figures(run: RunDirectory) -> list[dict[str, Any]]:
    """All that was recorded, without what a clock told."""
    return [{key: value for key, value in record.items() if key not in TIMES} for record in run.read_metrics()]


def equal(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    """Whether the same names hold the same bits."""
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


if __name__ == "__main__":
    sys.exit(main())
