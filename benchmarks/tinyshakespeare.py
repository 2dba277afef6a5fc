"""The main job on real text: `ifog train input.txt --budget 90s` on tinyshakespeare, its last 10 % held out.

    IFOG_DATA=~/data python benchmarks/tinyshakespeare.py --seeds 3

Prints nats per character over the whole validation text, the state carried, for each seed. Nothing but the defaults is
used; they were chosen on other texts (docs/results.md says which).
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from pathlib import Path

import torch

import ifog


def main() -> None:
    """Train once per seed and print a line each, then the mean."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--budget", default="90s")
    parser.add_argument("--seeds", type=int, default=1)
    arguments = parser.parse_args()
    if "IFOG_DATA" not in os.environ:
        sys.exit("Set IFOG_DATA to the folder that holds tinyshakespeare/input.txt.")
    text = Path(os.environ["IFOG_DATA"]) / "tinyshakespeare" / "input.txt"
    print(f"{arguments.budget} on {torch.get_num_threads()} threads, {os.cpu_count()} CPUs")
    losses: list[float] = []
    for seed in range(arguments.seeds):
        with tempfile.TemporaryDirectory() as folder:
            run = ifog.train(text, out=Path(folder) / "run", budget=arguments.budget, seed=seed)
        losses.append(run.metrics["loss"])
        figures = ", ".join(f"{name} {value:.4f}" for name, value in run.metrics.items())
        print(f"seed {seed}: {run.step} steps, {figures}", flush=True)
    print(f"mean {statistics.fmean(losses):.4f} nats per character")


if __name__ == "__main__":
    main()
