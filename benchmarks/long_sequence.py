"""Train on one very long sequence in chunks, and predict it: does memory keep within bounds?

    python -m benchmarks.long_sequence                     # 100,000 and 1,000,000 steps: seconds, peak memory, accuracy
    python -m benchmarks.long_sequence --steps 20000 --whole 20000

Owns the sequence, symbols of which each asks for the one that followed the last mark, and the watching: each stage is a
process of its own, which tells its peak resident memory, and what was resident before it began: libraries and the
sequence itself as Python lists. The rest is what the work takes. With chunks it must not grow with the sequence, but
for the sequence's own numbers: `--limit` says how much it may. `--whole` shows what one update on a whole sequence
takes. The exit code is 1 if it grows more, or if the longest sequence isn't learned. Runs on Linux.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

SHARE = 0.01  # of the symbols are marks: the answer is about 100 steps old
LETTERS = "abcd"
ENOUGH = 0.95  # accuracy of a task that is learned; chance is 0.25
STAGES = ("train", "predict", "whole")


def main() -> int:
    """Print the table; the exit code says whether all went as it must."""
    arguments = parsed()
    if arguments.stage:
        print(json.dumps(work(arguments)))
        return 0
    older = older_share(max(arguments.steps), arguments.chunk)
    print(f"chunks of {arguments.chunk} steps, {arguments.lanes} side by side, {arguments.updates} updates;", end=" ")
    print(f"{older:.0%} of the answers are older than their chunk: without a state {1 - 0.75 * older:.2f} can be had")
    print(f"{'steps':>9} {'stage':<8}{'seconds':>9}{'peak MiB':>10}{'before':>8}{'more':>7}  accuracy", flush=True)
    more: dict[str, list[float]] = {stage: [] for stage in STAGES}
    right = 0.0
    with tempfile.TemporaryDirectory() as folder:
        for steps in arguments.steps:
            for stage in STAGES[:2]:
                found = shown(stage, steps, folder, arguments)
                more[stage].append(found["peak"] - found["before"])
                right = found["accuracy"]
        for steps in arguments.whole:
            shown("whole", steps, folder, arguments)
    growth = max(max(more[stage]) - min(more[stage]) for stage in STAGES[:2])
    print(f"growth from the shortest to the longest: {growth:.0f} MiB, limit {arguments.limit:g}")
    return 1 if growth > arguments.limit or right < ENOUGH else 0


def parsed() -> argparse.Namespace:
    """The command line's options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, nargs="+", default=[100_000, 1_000_000], help="lengths of the sequence")
    parser.add_argument(
        "--whole", type=int, nargs="*", default=[100_000, 1_000_000], help="lengths that are learned whole"
    )
    parser.add_argument("--chunk", type=int, default=50)
    parser.add_argument("--lanes", type=int, default=32)
    parser.add_argument("--updates", type=int, default=1250, help="1,000,000 steps twice")
    parser.add_argument("--hidden-size", type=int, default=64)
    parser.add_argument("--limit", type=float, default=64.0, help="MiB that learning and predicting may grow")
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    parser.add_argument("--stage", choices=STAGES, help=argparse.SUPPRESS)
    return parser.parse_args()


def shown(stage: str, steps: int, folder: str, arguments: argparse.Namespace) -> dict[str, float]:
    """Run a stage in a process of its own, and print its line."""
    sizes = ("chunk", "lanes", "updates", "hidden_size")
    given = [text for name in sizes for text in (f"--{name.replace('_', '-')}", str(getattr(arguments, name)))]
    command = [sys.executable, "-m", "benchmarks.long_sequence", "--stage", stage, "--steps", str(steps), *given]
    done = subprocess.run(
        [*command, "--folder", folder], cwd=Path(__file__).parents[1], stdout=subprocess.PIPE, check=True, text=True
    )
    found = json.loads(done.stdout.splitlines()[-1])
    seconds, peak, before = found["seconds"], found["peak"], found["before"]
    print(
        f"{steps:>9} {stage:<8}{seconds:>9.1f}{peak:>10.0f}{before:>8.0f}{peak - before:>7.0f}  "
        + (f"{found['accuracy']:.4f}" if "accuracy" in found else "one update"),
        flush=True,
    )
    return found


def work(arguments: argparse.Namespace) -> dict[str, float]:
    """One stage, in this process."""
    from ifog.tasks import supervised

    steps = arguments.steps[0]
    table, held_out = table_of(steps, 0), table_of(10_000, 1)
    run = Path(arguments.folder) / f"{steps}-{'whole' if arguments.stage == 'whole' else 'chunks'}"
    chosen: dict[str, Any] = {
        "cell": "gru",
        "hidden_size": arguments.hidden_size,
        "embedding_size": 16,
        "character_hidden_size": 0,
        "bidirectional": False,
        "output": "softmax",
        "dropout": 0.0,
        "word_dropout": 0.0,
        "learning_rate": 0.01,
        "batch_size": 1 if arguments.stage == "whole" else arguments.lanes,
        "chunk": 0 if arguments.stage == "whole" else arguments.chunk,
        "device": "cpu",
    }
    supervised.train(
        held_out, task="tag", validation=held_out, out=f"{run}-{arguments.stage}-warm", **{**chosen, "steps": 1}
    )  # what is loaded and compiled on first use is not what the sequence takes
    Path("/proc/self/clear_refs").write_text("5")  # the peak is counted from here on
    before, start = mebibytes("VmRSS"), time.monotonic()
    if arguments.stage == "predict":
        said = supervised.predict(run, table).columns["predicted"][0]
        accuracy = float(np.mean(np.array(said) == np.array(table.columns["tags"][0])))
    else:
        updates = 1 if arguments.stage == "whole" else arguments.updates
        done = supervised.train(table, task="tag", validation=held_out, out=run, **{**chosen, "steps": updates})
        accuracy = done.metrics["accuracy"]
    seconds = time.monotonic() - start
    found = {"seconds": seconds, "peak": mebibytes("VmHWM"), "before": before}
    return found if arguments.stage == "whole" else {**found, "accuracy": accuracy}


def table_of(steps: int, seed: int) -> Any:
    """One sequence of symbols as words, and as tags the letter that followed the last mark "!" ("a" before any)."""
    from ifog.examples import Table

    symbols, last = symbols_of(steps, seed)
    said = np.where(last >= 0, symbols[last], "a")
    return Table({"words": [symbols.tolist()], "tags": [said.tolist()]}, [("made", 1)])


def symbols_of(steps: int, seed: int) -> tuple[Any, Any]:
    """The symbols (N,), and at each step the place of the letter that is asked for, -1 before the first."""
    share = (1 - SHARE) / len(LETTERS)
    symbols = np.random.default_rng(seed).choice(list("!" + LETTERS), size=steps, p=[SHARE, *[share] * len(LETTERS)])
    after = np.flatnonzero(symbols[:-1] == "!") + 1
    last = np.full(steps, -1)
    last[after] = np.where(symbols[after] == "!", -1, after)
    return symbols, np.maximum.accumulate(last)


def older_share(steps: int, chunk: int) -> float:
    """Of how many steps the answer stands before the chunk that the step is in."""
    place = np.arange(steps)
    return float(np.mean(symbols_of(steps, 0)[1] < place - place % chunk))


def mebibytes(name: str) -> float:
    """Memory of this process: resident now ("VmRSS"), or at most so far ("VmHWM")."""
    found = re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


if __name__ == "__main__":
    sys.exit(main())
