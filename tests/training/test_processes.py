"""Several processes train as one does."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from training import toys

TESTS = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs that two processes trained: "two", "straight" and "stopped"."""
    folder = tmp_path_factory.mktemp("processes")
    for name in ("two", "straight", "stopped"):
        toys.prepare(folder / name)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = {**os.environ, "PYTHONPATH": str(TESTS), "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(
        [*command, str(TESTS / "training" / "toys.py"), str(folder)],
        env=environment, capture_output=True, text=True, check=False, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder


def test_two_processes_have_the_losses_of_one_with_the_same_batch(together: Path, tmp_path: Path) -> None:
    toys.train(tmp_path / "one", dropout=0.0)
    one, two = toys.figures(tmp_path / "one"), toys.figures(together / "two")
    assert [(record["step"], record["kind"]) for record in one] == [(record["step"], record["kind"]) for record in two]
    for mine, theirs in zip(one, two, strict=True):
        for name, tolerance in (("loss", 1e-5), ("accuracy", 1e-5), ("gradient_norm", 1e-3)):
            if name in mine:
                assert theirs[name] == pytest.approx(mine[name], rel=tolerance)


def test_two_processes_that_stopped_go_on_with_their_own_states(together: Path) -> None:
    straight, stopped = (
        [record for record in toys.figures(together / name) if record["kind"] == "train"]
        for name in ("straight", "stopped")
    )
    assert [record["step"] for record in straight] == list(range(1, 15))
    assert straight == stopped


def test_a_run_of_two_processes_goes_on_with_one_and_says_what_is_lost(together: Path, tmp_path: Path) -> None:
    shutil.copytree(together / "two", tmp_path / "run")
    with pytest.warns(UserWarning, match="trained by 2 processes and goes on with 1: the recurrent state starts at"):
        result = toys.train(tmp_path / "run", steps=62)
    assert result.step == 62
