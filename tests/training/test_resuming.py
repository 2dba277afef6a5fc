"""A run that was stopped goes on as if it never had been."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
from pathlib import Path

import pytest
import torch

from ifog.errors import RunError
from ifog.runs import Checkpoint, RunDirectory
from ifog.training import SilentProgress, Status, TrainingConfig, fit
from training import toys


def assert_same_run(one: Path, other: Path) -> None:
    assert toys.figures(one) == toys.figures(other)
    for which in ("last", "best"):
        a, b = RunDirectory.open(one).load(which), RunDirectory.open(other).load(which)
        assert a.step == b.step
        assert a.tensors.keys() == b.tensors.keys()
        for stem in a.tensors:
            assert a.tensors[stem].keys() == b.tensors[stem].keys()
            for name, tensor in a.tensors[stem].items():
                assert torch.equal(tensor, b.tensors[stem][name]), (which, stem, name)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("runs") / "uninterrupted"
    threads = torch.get_num_threads()
    toys.train_alone(str(directory))
    torch.set_num_threads(threads)
    return directory


def lines(directory: Path) -> int:
    path = directory / "metrics.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def test_kill_9_at_random_moments_changes_nothing(uninterrupted: Path, tmp_path: Path) -> None:
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["ifog.data", "ifog.training"])
    chance = random.Random(os.environ.get("IFOG_KILL_SEED", "1"))
    directory = tmp_path / "run"
    RunDirectory.create(directory).write_config({})
    total = lines(uninterrupted)
    kills = 0
    for share in (0.1, 0.4, 0.8):
        child = processes.Process(target=toys.train_alone, args=(str(directory),))
        child.start()
        while child.is_alive() and lines(directory) < share * total:
            time.sleep(0.001)
        time.sleep(chance.uniform(0, 0.02))
        assert child.pid is not None
        os.kill(child.pid, signal.SIGKILL)
        child.join()
        kills += child.exitcode == -signal.SIGKILL
    child = processes.Process(target=toys.train_alone, args=(str(directory),))
    child.start()
    child.join()
    assert kills == 3
    assert child.exitcode == 0
    assert_same_run(uninterrupted, directory)


class StopAt(SilentProgress):
    """Presses Ctrl-C after a record."""

    def __init__(self, step: int) -> None:
        self.step = step
        self.finished_at = 0

    def logged(self, status: Status) -> None:
        if status.step == self.step:
            os.kill(os.getpid(), signal.SIGINT)

    def finished(self, status: Status) -> None:
        self.finished_at = status.step


def test_ctrl_c_saves_and_the_run_goes_on_to_the_same_figures(uninterrupted: Path, tmp_path: Path) -> None:
    run = RunDirectory.create(tmp_path / "run")
    run.write_config({})
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    config = TrainingConfig.from_dict(toys.RESUMABLE)
    before = signal.getsignal(signal.SIGINT)
    progress = StopAt(29)
    result = fit(toys.net(), toys.Language(), config, run, progress=progress)
    assert result.interrupted
    assert result.step == progress.finished_at == run.load().step == 30
    assert signal.getsignal(signal.SIGINT) is before
    result = fit(toys.net(), toys.Language(), config, run)
    torch.set_num_threads(threads)
    assert not result.interrupted
    assert result.step == 60
    assert_same_run(uninterrupted, run.path)


def test_two_processes_cannot_train_one_run(tmp_path: Path) -> None:
    toys.train(tmp_path, steps=4)
    with RunDirectory.open(tmp_path).locked(), pytest.raises(RunError, match="being trained by another process"):
        toys.train(tmp_path, steps=8)
    assert toys.train(tmp_path, steps=8).step == 8


def test_a_triggered_average_goes_on_where_it_was(tmp_path: Path) -> None:
    # a rate so high that the loss soon stops falling: the mean begins before the stop
    options = {
        "average": 0.0,
        "average_patience": 1,
        "optimizer": "sgd",
        "learning_rate": 5.0,
        "evaluate_every": 3,
        "warmup": 0.0,
    }
    toys.train(tmp_path / "straight", schedule="constant", steps=60, **options)
    toys.train(tmp_path / "stopped", schedule="constant", steps=30, **options)
    assert RunDirectory.open(tmp_path / "stopped").load().state["average"]["begun"]
    toys.train(tmp_path / "stopped", schedule="constant", steps=60, **options)
    one, other = (RunDirectory.open(tmp_path / name).load() for name in ("straight", "stopped"))
    assert one.state["average"]["updates"] == other.state["average"]["updates"] > 30
    for name, tensor in one.tensors["average"].items():
        assert torch.equal(tensor, other.tensors["average"][name])
        assert not torch.equal(tensor, one.tensors["model"][name])


def test_a_finished_run_that_is_fitted_again_does_nothing(uninterrupted: Path) -> None:
    before = RunDirectory.open(uninterrupted).load()
    figures = toys.figures(uninterrupted)
    result = toys.train(uninterrupted)
    assert result.step == 60
    assert not result.interrupted
    assert result.metrics["loss"] == before.state["position"]["metrics"]["loss"]
    assert toys.figures(uninterrupted) == figures


def test_a_finished_run_can_be_continued_with_more_steps(tmp_path: Path) -> None:
    toys.train(tmp_path, steps=10)
    assert toys.train(tmp_path, steps=14).step == 14
    assert [r["step"] for r in toys.figures(tmp_path) if r["kind"] == "train"] == list(range(1, 15))


def test_another_architecture_is_refused_by_the_names_that_differ(tmp_path: Path) -> None:
    toys.train(tmp_path, steps=4)
    run = RunDirectory.open(tmp_path)
    config = TrainingConfig(steps=4, device="cpu")
    with pytest.raises(RunError, match=r"another architecture.*shape: embedding\.weight \(checkpoint \(11, 12\), .*13"):
        fit(toys.net(hidden_size=13), toys.Language(), config, run)
    with pytest.raises(
        RunError, match=r"Missing in the checkpoint: weight, bias; unexpected.*embedding\.weight, head.* 3 more"
    ):
        fit(torch.nn.Linear(2, 2), toys.Language(), config, run)


def test_another_optimizer_is_refused(tmp_path: Path) -> None:
    toys.train(tmp_path, steps=4)
    for optimizer in ("sgd", "adagrad", "rmsprop"):
        with pytest.raises(RunError, match=f"trained by adamw, whose state {optimizer}"):
            toys.train(tmp_path, steps=8, optimizer=optimizer)


@pytest.mark.parametrize(
    "part", ["position", "batches", "clipper", "watch", "timetable", "interval", "average", "world"]
)
def test_a_checkpoint_that_lacks_a_part_is_an_error(tmp_path: Path, part: str) -> None:
    toys.train(tmp_path, steps=4)
    run = RunDirectory.open(tmp_path)
    whole = run.load()
    state = {name: value for name, value in whole.state.items() if name != part}
    run.save(Checkpoint(whole.step, whole.tensors, state))
    with pytest.raises(RunError, match=part):
        toys.train(tmp_path, steps=8)


@pytest.mark.parametrize("part", ["model", "optimizer", "random", "carry"])
def test_a_checkpoint_that_lacks_a_file_is_an_error(tmp_path: Path, part: str) -> None:
    toys.train(tmp_path, steps=4)
    run = RunDirectory.open(tmp_path)
    whole = run.load()
    run.save(Checkpoint(whole.step, {k: v for k, v in whole.tensors.items() if k != part}, whole.state))
    with pytest.raises(RunError, match=part):
        toys.train(tmp_path, steps=8)
