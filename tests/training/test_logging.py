"""Figures as TensorBoard and others read them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from ifog.runs import RunDirectory
from ifog.training import SilentProgress, Status, TrainingConfig, fit
from training import toys


def curves(directory: Path) -> dict[str, dict[int, float]]:
    reader = EventAccumulator(str(directory / "tensorboard"))
    reader.Reload()
    return {tag: {e.step: e.value for e in reader.Scalars(tag)} for tag in reader.Tags()["scalars"]}


def test_tensorboard_reads_the_curves_that_the_json_lines_hold(tmp_path: Path) -> None:
    toys.train(tmp_path, steps=40, log_every=5)
    found = curves(tmp_path)
    expected: dict[str, dict[int, float]] = {}
    for record in RunDirectory.open(tmp_path).read_metrics():
        kind, step = record.pop("kind"), record.pop("step")
        for name, value in record.items():
            if kind != "sample":
                expected.setdefault(f"{kind}/{name}", {})[step] = value
    assert sorted(found) == sorted(expected)
    assert {"train/loss", "train/learning_rate", "train/accuracy", "train/smooth_loss"} < set(found)
    assert list(found["train/loss"]) == list(range(5, 41, 5))
    assert list(found["evaluation/loss"]) == [20, 40]
    for tag, curve in expected.items():
        assert found[tag] == pytest.approx(curve, rel=1e-6)


class Failing(SilentProgress):
    def logged(self, status: Status) -> None:
        if status.step == 11:
            raise ZeroDivisionError


def test_a_resumed_run_has_each_step_once(tmp_path: Path) -> None:
    run = toys.prepare(tmp_path)
    config = TrainingConfig(steps=14, log_every=1, save_every=4, evaluate_every=50, device="cpu")
    with pytest.raises(ZeroDivisionError):
        fit(toys.net(), toys.Language(), config, run, progress=Failing())
    assert run.load().step == 8
    fit(toys.net(), toys.Language(), config, run)
    reader = EventAccumulator(str(run.tensorboard))
    reader.Reload()
    assert [event.step for event in reader.Scalars("train/loss")] == list(range(1, 15))
    assert [record["step"] for record in toys.figures(tmp_path) if record["kind"] == "train"] == list(range(1, 15))


class Remembering:
    """A logger of one's own."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.losses: list[float] = []

    def resume(self, step: int) -> None:
        self.calls.append(f"resume {step}")

    def log(self, kind: str, step: int, values: Mapping[str, float]) -> None:
        self.calls.append(f"{kind} {step}")
        self.losses.append(values["loss"])

    def text(self, kind: str, step: int, value: str) -> None:
        self.calls.append(f"{kind} {step}")

    def flush(self) -> None:
        self.calls.append("flush")

    def close(self) -> None:
        self.calls.append("close")


def test_another_logger_is_told_everything_in_order(tmp_path: Path) -> None:
    logger = Remembering()
    run = toys.prepare(tmp_path)
    config = TrainingConfig(steps=6, log_every=3, evaluate_every=3, device="cpu")
    fit(toys.net(), toys.Language(), config, run, loggers=[logger])
    each = ["train {0}", "evaluation {0}", "sample {0}", "flush"]
    assert logger.calls == ["resume 0"] + [line.format(step) for step in (3, 6) for line in each] + ["close"]
    assert logger.losses == [r["loss"] for r in toys.figures(tmp_path) if "loss" in r]
