"""The loop: what a step does, when things happen, how a run ends."""

from __future__ import annotations

import errno
import math
import os
import signal
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from ifog.errors import RunError, TrainingError
from ifog.runs import RunDirectory
from ifog.training import Carry, SilentProgress, Status, TrainingConfig, fit, load_weights
from training import toys


def config(**options: Any) -> TrainingConfig:
    return TrainingConfig.from_dict({"steps": 6, "log_every": 1, "device": "cpu", **options})


def same_weights(one: nn.Module, other: nn.Module) -> bool:
    return all(torch.equal(p, q) for p, q in zip(one.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_training_is_the_plain_loop_in_pytorch(schedule: str) -> None:
    model, task = toys.net(dropout=0.0), toys.Language()
    by_hand = toys.net(dropout=0.0)
    options = config(steps=40, schedule=schedule, warmup=0.0, learning_rate=0.01, clip=0.5)
    result = fit(model, task, options)
    optimizer = torch.optim.AdamW(by_hand.parameters(), lr=0.01, betas=(0.9, 0.99), weight_decay=0.0, fused=True)
    state = None
    for step, batch in zip(range(40), task.batches(0, 1), strict=False):
        if schedule == "cosine":
            optimizer.param_groups[0]["lr"] = 0.01 * (1 + math.cos(math.pi * step / 40)) / 2
        if batch.reset:
            state = None
        logits, state = by_hand(batch.inputs, state)
        state = toys.State(*(part.detach() for part in state))
        loss = functional.cross_entropy(logits.flatten(0, 1), batch.targets.flatten())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(by_hand.parameters(), 0.5)
        optimizer.step()
    for p, q in zip(model.parameters(), by_hand.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-6, atol=1e-7)
    assert result.step == 40
    assert not result.interrupted


def test_a_language_is_learned() -> None:
    result = fit(toys.net(), toys.Language(batch_size=8), config(steps=150, learning_rate=0.03))
    assert result.metrics["loss"] < 1.0 < math.log(toys.VOCABULARY)
    assert result.best["loss"] <= result.metrics["loss"]


def test_evaluating_and_saving_often_changes_nothing(tmp_path: Path) -> None:
    plain, busy = toys.net(), toys.net()
    fit(plain, toys.Language(), config(evaluate_every=100))
    fit(busy, toys.Language(), config(evaluate_every=1, save_every=1), toys.prepare(tmp_path))
    assert same_weights(plain, busy)


class Halves(toys.Language):
    """Each batch in two parts, which carry on from where the part before them in the same half ended."""

    def batches(self, rank: int, world: int) -> Any:
        whole = super().batches(rank, world)

        class Parts:
            def __iter__(self) -> Any:
                return self

            def __next__(self) -> Any:
                if not waiting:
                    batch = next(whole)
                    half = batch.inputs.shape[1] // 2
                    waiting.extend(
                        (type(batch)(batch.inputs[:, s], batch.targets[:, s], True))
                        for s in (slice(None, half), slice(half, None))
                    )
                return waiting.pop(0)

            def state_dict(self) -> dict[str, Any]:
                return {}

            def load_state_dict(self, state: Mapping[str, Any]) -> None:
                pass

        waiting: list[Any] = []
        return Parts()


class Resetting(toys.Language):
    def loss(self, model: nn.Module, batch: Any, carry: Carry) -> tuple[Tensor, dict[str, Tensor | float], Carry]:
        return super().loss(model, batch._replace(reset=True), carry)


def test_accumulating_two_halves_is_one_whole_batch(tmp_path: Path) -> None:
    whole, halves = toys.net(dropout=0.0), toys.net(dropout=0.0)
    fit(whole, Resetting(), config(clipping="none"), toys.prepare(tmp_path / "whole"))
    fit(halves, Halves(), config(clipping="none", accumulation=2), toys.prepare(tmp_path / "halves"))
    for p, q in zip(whole.parameters(), halves.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-4, atol=1e-6)
    for one, two in zip(toys.figures(tmp_path / "whole"), toys.figures(tmp_path / "halves"), strict=True):
        for name in one.keys() & {"loss", "accuracy", "gradient_norm"}:
            assert two[name] == pytest.approx(one[name], rel=1e-4)


def test_a_record_holds_the_mean_since_the_last_one(tmp_path: Path) -> None:
    toys.train(tmp_path / "each", steps=12, log_every=1)
    toys.train(tmp_path / "some", steps=12, log_every=4)
    each, some = ([r for r in toys.figures(tmp_path / name) if r["kind"] == "train"] for name in ("each", "some"))
    assert [record["step"] for record in some] == [4, 8, 12]
    for i, record in enumerate(some):
        part = each[4 * i : 4 * i + 4]
        assert record["loss"] == pytest.approx(sum(r["loss"] for r in part) / 4)
        assert record["accuracy"] == pytest.approx(sum(r["accuracy"] for r in part) / 4)
        assert record["smooth_loss"] == part[-1]["smooth_loss"]


def test_the_smooth_loss_is_that_of_the_lectures(tmp_path: Path) -> None:
    toys.train(tmp_path, steps=5)
    smooth = toys.RESUMABLE["smooth_start"]
    for record in toys.figures(tmp_path):
        if record["kind"] == "train":
            smooth = 0.999 * smooth + 0.001 * record["loss"]
            assert record["smooth_loss"] == pytest.approx(smooth, rel=1e-12)


def test_penalties_pull_the_recurrent_matrices_alone(tmp_path: Path) -> None:
    norms: list[float] = []
    for weight in (0.0, 1.0):
        model = toys.net()
        run = toys.prepare(tmp_path / str(weight))
        fit(model, toys.Language(), config(steps=40, recurrent_l2=weight, learning_rate=0.01), run)
        norms.append(model.rnn.weight_hh_l0.norm().item())
        penalties = ["penalty" in record for record in toys.figures(run.path) if record["kind"] == "train"]
        assert penalties == [weight > 0] * 40
    assert norms[1] < 0.5 * norms[0]


class Diary(SilentProgress):
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.statuses: list[Status] = []

    def _note(self, what: str, status: Status) -> None:
        self.lines.append(f"{what} {status.step}")
        self.statuses.append(status)

    def started(self, status: Status) -> None:
        self._note("started", status)

    def logged(self, status: Status) -> None:
        self._note("logged", status)

    def evaluated(self, status: Status, metrics: Mapping[str, float], sample: str | None, best: bool) -> None:
        assert sample is not None
        self._note(f"evaluated{' best' * best}", status)

    def saved(self, status: Status, path: Path) -> None:
        assert path.is_dir()
        self._note("saved", status)

    def finished(self, status: Status) -> None:
        self._note("finished", status)


class Scripted(toys.Language):
    """Evaluates to given losses."""

    def __init__(self, *losses: float) -> None:
        super().__init__()
        self.losses = list(losses)

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        return {"loss": self.losses.pop(0)}


def test_progress_is_told_everything_in_order(tmp_path: Path) -> None:
    diary = Diary()
    options = config(steps=6, log_every=2, evaluate_every=3, save_every=2)
    fit(toys.net(), Scripted(2.0, 3.0), options, toys.prepare(tmp_path), progress=diary)
    assert diary.lines == [
        "started 0", "logged 2", "saved 2", "evaluated best 3", "saved 3",
        "logged 4", "saved 4", "logged 6", "evaluated 6", "saved 6", "finished 6",
    ]  # fmt: skip
    started, *others = diary.statuses
    assert started.loss is None
    assert started.remaining is None
    assert started.fraction == 0.0
    for status in others:
        assert status.steps == 6
        assert status.fraction == status.step / 6
        assert status.loss is not None
        assert 1.0 < status.loss < 4.0
        assert "accuracy" in status.metrics
        assert "items" not in status.metrics
        assert status.remaining is not None
    assert others[-1].items_per_second > 0


def test_best_and_last_checkpoints_are_those_of_the_evaluations(tmp_path: Path) -> None:
    run = toys.prepare(tmp_path)
    result = fit(toys.net(), Scripted(2.0, 1.0, 3.0), config(evaluate_every=2), run)
    assert (run.load("best").step, run.load("last").step) == (4, 6)
    assert (result.best, result.metrics) == ({"loss": 1.0}, {"loss": 3.0})
    model = toys.net()
    assert load_weights(model, run) == 4
    assert load_weights(model, run, "last") == 6


def test_averaged_weights_are_evaluated_and_loaded(tmp_path: Path) -> None:
    seen: list[Tensor] = []

    class Looking(toys.Language):
        def evaluate(self, model: nn.Module) -> dict[str, float]:
            seen.append(model.get_parameter("head.bias").detach().clone())
            return super().evaluate(model)

    run = toys.prepare(tmp_path)
    model, loaded = toys.net(), toys.net()
    result = fit(model, Looking(), config(evaluate_every=10, average=0.9), run)
    load_weights(loaded, run)
    assert result.average is not None
    assert torch.equal(seen[-1], result.average["head.bias"])
    assert torch.equal(seen[-1], loaded.head.bias)
    assert not torch.equal(seen[-1], toys.net().head.bias)
    assert not torch.equal(seen[-1], model.head.bias)
    raw = run.load().tensors["model"]["head.bias"]
    assert torch.equal(raw, model.head.bias)


def test_a_model_with_tied_weights_is_saved_and_loaded(tmp_path: Path) -> None:
    def tied() -> toys.Net:
        model = toys.net()
        model.head.weight = model.embedding.weight
        return model

    run = toys.prepare(tmp_path)
    model, loaded = tied(), tied()
    fit(model, toys.Language(), config(average=0.5), run)
    fit(model, toys.Language(), config(average=0.5, steps=8), run)
    load_weights(loaded, run)
    assert loaded.head.weight is loaded.embedding.weight
    assert torch.equal(loaded.head.weight, run.load("best").tensors["average"]["embedding.weight"])


def test_a_budget_ends_the_run_on_time_and_the_rate_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    for module in ("schedules", "loop"):  # an evaluation that takes long makes the next one wait
        monkeypatch.setattr(f"ifog.training.{module}.monotonic", lambda: now[0])

    class Slow(toys.Language):
        def loss(self, *arguments: Any) -> Any:
            now[0] += 0.5
            return super().loss(*arguments)

    run = toys.prepare(tmp_path)
    result = fit(toys.net(), Slow(), TrainingConfig(budget=10.0, log_every=1, warmup=0.1, device="cpu"), run)
    assert (result.step, result.elapsed) == (20, 10.0)
    rates = [record["learning_rate"] for record in toys.figures(tmp_path) if record["kind"] == "train"]
    assert rates[0] == 0.0
    assert rates[1] == pytest.approx(1e-3)
    assert max(rates) == 2e-3
    assert 0 < rates[-1] < 0.02 * 2e-3
    steps = [record["step"] for record in toys.figures(tmp_path) if record["kind"] == "evaluation"]
    assert steps == list(range(2, 21, 2))
    # the time that was spent counts after a resume, the time between does not
    now[0] += 1e6
    again = fit(toys.net(), Slow(), TrainingConfig(budget=12.0, device="cpu"), run)
    assert (again.step, again.elapsed) == (24, 12.0)


class Poisoned(toys.Language):
    """From some step on the loss is not a number."""

    def __init__(self, step: int, factor: float = math.nan) -> None:
        super().__init__()
        self.left = step
        self.factor = factor

    def loss(self, *arguments: Any) -> Any:
        loss, metrics, carry = super().loss(*arguments)
        self.left -= 1
        return (loss * self.factor if self.left < 0 else loss), metrics, carry


def test_a_loss_that_is_no_number_stops_before_the_weights_and_keeps_the_checkpoint(tmp_path: Path) -> None:
    run = toys.prepare(tmp_path)
    model, good = toys.net(), toys.net()
    with pytest.raises(
        TrainingError, match=r"step 5: the loss is nan.*first gradient that is not is that of embedding"
    ):
        fit(model, Poisoned(4), config(steps=50, save_every=2), run)
    assert run.load().step == 4
    load_weights(good, run, "last")
    assert same_weights(model, good)


def test_a_loss_that_explodes_stops(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="exploded from"):
        fit(toys.net(), Poisoned(20, 100.0), config(steps=60), toys.prepare(tmp_path))


def test_an_evaluation_that_is_no_number_stops(tmp_path: Path) -> None:
    run = toys.prepare(tmp_path)
    with pytest.raises(TrainingError, match="evaluation's loss is nan"):
        fit(toys.net(), Scripted(2.0, math.nan), config(evaluate_every=2), run)
    assert run.load().step == 2


def test_a_full_disk_while_saving_keeps_the_checkpoint_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = toys.prepare(tmp_path)

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    class Filling(SilentProgress):
        def saved(self, status: Status, path: Path) -> None:
            monkeypatch.setattr(os, "fsync", full)

    with pytest.raises(RunError, match="No space left on device.*still valid"):
        fit(toys.net(), toys.Language(), config(save_every=2, evaluate_every=100), run, progress=Filling())
    monkeypatch.undo()
    assert run.load().step == 2
    assert fit(toys.net(), toys.Language(), config(), run).step == 6


def test_without_a_run_directory_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    fit(toys.net(), toys.Language(), config(save_every=1))
    assert not list(tmp_path.iterdir())


class TwiceInterrupted(SilentProgress):
    def logged(self, status: Status) -> None:
        if status.step == 3:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)


def test_a_second_ctrl_c_stops_at_once(tmp_path: Path) -> None:
    run = toys.prepare(tmp_path)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        fit(toys.net(), toys.Language(), config(save_every=2), run, progress=TwiceInterrupted())
    assert signal.getsignal(signal.SIGINT) is before
    assert run.load().step == 2


def test_training_works_outside_the_main_thread() -> None:
    results: list[int] = []
    thread = threading.Thread(target=lambda: results.append(fit(toys.net(), toys.Language(), config()).step))
    thread.start()
    thread.join()
    assert results == [6]


def test_a_task_without_a_carry_is_fine(tmp_path: Path) -> None:
    class Stateless(toys.Language):
        def loss(self, *arguments: Any) -> Any:
            loss, metrics, _ = super().loss(*arguments)
            return loss, metrics, None

        def sample(self, model: nn.Module) -> None:
            return None

    run = toys.prepare(tmp_path)
    fit(toys.net(), Stateless(), config(steps=3), run)
    assert fit(toys.net(), Stateless(), config(steps=6), run).step == 6


def test_loading_weights_of_a_run_without_a_checkpoint_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no last checkpoint yet"):
        load_weights(toys.net(), toys.prepare(tmp_path))
    assert isinstance(RunDirectory.open(tmp_path), RunDirectory)
