"""kill -9 at random moments; docs/results.md has the long version of this."""

from __future__ import annotations

import multiprocessing
import random
import runpy
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ifog.examples.labelled import write_rows
from ifog.examples.made_pairs import made_pairs
from ifog.examples.made_reviews import made_reviews
from ifog.tasks import supervised

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "kill.py"


def test_runs_killed_at_random_moments_resume_to_the_same_bits() -> None:
    command = [sys.executable, str(SCRIPT), "--kills", "3", "--steps", "300", "--seed", "3"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 of 3 equal" in done.stdout


# Both are started from a process that has imported everything, as starting takes longer than they do.
PROCESSES = multiprocessing.get_context("forkserver")
OPTIONS: dict[str, Any] = {
    "steps": 60, "save_every": 7, "evaluate_every": 30, "log_every": 1, "batch_size": 4, "hidden_size": 8,
    "dropout": 0.2,
}  # fmt: skip


def started(out: Path, source: Path, task: str) -> Any:
    """Training in a process of its own: from the start where there is no run yet, else from where it was."""
    if (out / "config.json").exists():
        process = PROCESSES.Process(target=supervised.resume, args=(str(out),))
    else:
        process = PROCESSES.Process(
            target=supervised.train, args=(str(source),), kwargs={"task": task, "out": str(out), **OPTIONS}
        )
    process.start()
    return process


def finished(process: Any) -> None:
    process.join()
    assert process.exitcode == 0


@pytest.mark.parametrize("task", ["classify", "translate"])
def test_examples_prepared_or_learned_under_kills_end_in_the_same_bits(tmp_path: Path, task: str) -> None:
    PROCESSES.set_forkserver_preload(["ifog.tasks.classification", "ifog.tasks.translation", "ifog.tasks.supervised"])
    compared = runpy.run_path(str(SCRIPT))["compared"]
    source = tmp_path / "source.tsv"
    write_rows(made_reviews(300) if task == "classify" else made_pairs("dates", 300), source)
    whole, out, chance = tmp_path / "whole", tmp_path / "killed", random.Random(task)
    finished(started(whole, source, task))
    metrics, kills = out / "metrics.jsonl", 0

    def learned(lines: int) -> bool:
        return metrics.exists() and metrics.read_bytes().count(b"\n") >= lines

    moments: list[Callable[[], bool]] = [
        lambda: any(out.glob("train.examples*")),  # while it prepares: then there is no run, or a whole one
        lambda: any(out.glob("validation.examples*")),
        lambda: any(out.glob("encoding.json*")),
        *(lambda lines=lines: learned(lines) for lines in (1, 12, 29, 45)),
    ]
    for moment in moments:
        process = started(out, source, task)
        while process.is_alive() and not moment():
            time.sleep(0.0002)
        time.sleep(chance.uniform(0, 0.004))
        process.kill()
        process.join()
        kills += process.exitcode == -signal.SIGKILL
    finished(started(out, source, task))
    assert kills == len(moments)
    assert compared(whole, out) == []
    assert not [path for path in out.rglob("*") if "temporary" in path.name]
