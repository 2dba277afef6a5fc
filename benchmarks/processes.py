"""One process of one thread against two: seconds for the same tokens, and the loss they reach.

    python benchmarks/processes.py

Trains a character model on Python's own source twice with the same options, alone and under torchrun, where the two
processes share every batch. Needs two free cores. Prints seconds of training (start and evaluation left out) and
validation loss. What two processes must do twice, the exchange and the update of the weights, grows with the weights,
what they share with the tokens of an update: so models with many weights for few tokens (large vocabularies) gain less.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path


def main() -> None:
    """Run both, and print their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--hidden-size", type=int, default=512)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--sequence", type=int, default=64)
    given = parser.parse_args()
    size = given.hidden_size
    options = [
        "--num-layers", "2", "--hidden-size", str(size), "--batch-size", str(given.batch_size),
        "--sequence", str(given.sequence), "--steps", str(given.steps), "--learning-rate", "3e-3", "--log-every", "5",
        "--evaluate-every", str(given.steps), "--save-seconds", "100000",
    ]  # fmt: skip
    print(f"2 x LSTM-{size}, {given.steps} updates of {given.batch_size} x {given.sequence} tokens, 1 thread a process")
    seconds: dict[int, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        for processes in (1, 2):
            out = Path(folder) / str(processes)
            launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
            command = [sys.executable, *launcher, "-m", "ifog.cli", "train", *options, "--out", str(out)]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "OMP_NUM_THREADS": "1"})
            seconds[processes], loss = timed(out)
            print(
                f"{processes} process{'es' * (processes > 1):3}{seconds[processes]:8.1f} s   validation loss {loss:.4f}"
            )
    print(f"two / one: {seconds[2] / seconds[1]:.2f} of the time")


def timed(run: Path) -> tuple[float, float]:
    """Seconds from the first record to the last, and the last evaluation's loss."""
    records = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    times = [record["seconds"] for record in records if record["kind"] == "train"]
    (loss,) = [record["loss"] for record in records if record["kind"] == "evaluation"]
    return times[-1] - times[0], loss


if __name__ == "__main__":
    main()
