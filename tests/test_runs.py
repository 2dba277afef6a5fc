"""What a run directory keeps, and what it refuses."""

from __future__ import annotations

import contextlib
import errno
import os
import pickle
import random
import shutil
from pathlib import Path

import pytest
import torch

from ifog.errors import RunError
from ifog.runs import Checkpoint, RunDirectory
from ifog.writing import write_atomically


def new_run(tmp_path: Path) -> RunDirectory:
    run = RunDirectory.create(tmp_path / "run")
    run.write_config({"hidden_size": 3})
    return run


def checkpoint(step: int) -> Checkpoint:
    torch.manual_seed(step)
    weight = torch.randn(3, 17)
    model = {"weight": weight, "tied": weight, "count": torch.tensor(step), "none": torch.empty(0, 5)}
    optimizer = {"weight/exp_avg": torch.randn(3, 17).to(torch.bfloat16), "rows": torch.randn(7, 4).t()}
    return Checkpoint(step, {"model": model, "optimizer": optimizer}, {"epoch": 2, "loss": 0.1, "name": "é\n"})


def assert_equal(one: Checkpoint, other: Checkpoint) -> None:
    assert one.step == other.step
    assert one.state == other.state
    assert one.tensors.keys() == other.tensors.keys()
    for stem, tensors in one.tensors.items():
        assert tensors.keys() == other.tensors[stem].keys()
        for name, tensor in tensors.items():
            torch.testing.assert_close(tensor, other.tensors[stem][name], rtol=0, atol=0)


def test_a_checkpoint_comes_back_as_it_was(tmp_path: Path) -> None:
    run = new_run(tmp_path)
    assert not run.has_checkpoint()
    run.save(checkpoint(3))
    assert_equal(RunDirectory.open(run.path).load(), checkpoint(3))


def test_only_the_last_and_the_best_checkpoint_are_kept(tmp_path: Path) -> None:
    run = new_run(tmp_path)
    for step, best in ((1, True), (2, True), (3, False), (4, False)):
        run.save(checkpoint(step), best=best)
    assert sorted(os.listdir(run.path / "checkpoints")) == ["step-00000002", "step-00000004"]
    assert_equal(run.load("last"), checkpoint(4))
    assert_equal(run.load("best"), checkpoint(2))


def test_a_step_saved_again_replaces_its_checkpoint(tmp_path: Path) -> None:
    run = new_run(tmp_path)
    run.save(checkpoint(5), best=True)
    again = Checkpoint(5, checkpoint(9).tensors, {})
    run.save(again)
    assert_equal(run.load("last"), again)
    assert_equal(run.load("best"), checkpoint(5))


def test_the_configuration_comes_back(tmp_path: Path) -> None:
    run = new_run(tmp_path)
    assert RunDirectory.open(run.path).config == {"hidden_size": 3}


@pytest.mark.parametrize("missing", ["nowhere", ""])
def test_what_is_no_run_is_refused(tmp_path: Path, missing: str) -> None:
    with pytest.raises(RunError, match="ifog train"):
        RunDirectory.open(tmp_path / missing)


def test_a_run_is_not_written_over(tmp_path: Path) -> None:
    run = new_run(tmp_path)
    with pytest.raises(RunError, match="already holds a run.*ifog resume"):
        RunDirectory.create(run.path)


def test_a_directory_with_other_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(RunError, match=r"thesis\.tex.*--out"):
        RunDirectory.create(tmp_path)
    with pytest.raises(RunError, match="is a file"):
        RunDirectory.create(tmp_path / "thesis.tex")


def test_a_directory_that_a_killed_preparation_left_is_taken_again(tmp_path: Path) -> None:
    (tmp_path / "train.ids.temporary").write_bytes(b"x")
    (tmp_path / "tokenizer.json").write_bytes(b"{}")
    assert RunDirectory.create(tmp_path).path == tmp_path


def test_no_checkpoint_yet_is_said(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no last checkpoint yet"):
        new_run(tmp_path).load()


def damaged_files(run: RunDirectory) -> list[Path]:
    return [run.path / "last.json", *sorted((run.path / "checkpoints" / "step-00000001").iterdir())]


def test_a_truncated_file_is_an_error_at_any_length(tmp_path: Path) -> None:
    run = new_run(tmp_path)
    run.save(checkpoint(1))
    for path in damaged_files(run):
        content = path.read_bytes()
        for length in {0, 1, 7, 8, 9, len(content) // 2, len(content) - 1}:
            path.write_bytes(content[:length])
            with pytest.raises(RunError):
                run.load()
        path.unlink()
        with pytest.raises(RunError):
            run.load()
        path.write_bytes(content)
    assert_equal(run.load(), checkpoint(1))


def test_a_changed_byte_is_an_error_or_makes_no_difference(tmp_path: Path) -> None:
    run = new_run(tmp_path)
    run.save(checkpoint(1))
    chance = random.Random(0)
    for path in damaged_files(run):
        content = path.read_bytes()
        for _ in range(60):
            damaged = bytearray(content)
            damaged[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
            path.write_bytes(damaged)
            try:
                assert_equal(run.load(), checkpoint(1))  # such as the unused "step" of a pointer
            except RunError:
                continue
        path.write_bytes(content)


@pytest.mark.parametrize(
    "content", [b"[]", b"1", b"null", b"[" * 100_000, b'{"body": []}', b'{"body": {}, "crc32": 0}']
)
def test_json_of_another_shape_is_an_error(tmp_path: Path, content: bytes) -> None:
    run = new_run(tmp_path)
    run.save(checkpoint(1))
    for path in (run.path / "last.json", run.path / "checkpoints" / "step-00000001" / "state.json"):
        before = path.read_bytes()
        path.write_bytes(content)
        with pytest.raises(RunError):
            run.load()
        path.write_bytes(before)


class Bomb:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("exploded",)


def test_a_pickle_in_place_of_tensors_never_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = new_run(tmp_path)
    run.save(checkpoint(1))
    (run.path / "checkpoints" / "step-00000001" / "model.safetensors").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(RunError, match="truncated or was replaced"):
        run.load()
    assert not Path("exploded").exists()


def test_a_pointer_can_not_lead_out_of_the_run(tmp_path: Path) -> None:
    run = new_run(tmp_path)
    run.save(checkpoint(1))
    shutil.copytree(run.path / "checkpoints" / "step-00000001", tmp_path / "step-00000001")
    run.write_json("last.json", {"folder": "../../step-00000001", "step": 1})
    with pytest.raises(RunError, match="names"):
        run.load()


class Killed(BaseException):
    """Stands for kill -9: nothing that catches errors sees it."""


SYSTEM_CALLS = ("fsync", "rename", "replace", "rmdir", "unlink", "mkdir", "open")


def fail_at(monkeypatch: pytest.MonkeyPatch, number: int, error: BaseException) -> list[int]:
    """Let the system call of this number, and all after it, fail; the list counts them."""
    calls = [0]
    for name in SYSTEM_CALLS:
        real = getattr(os, name)

        def guarded(*args: object, _real: object = real, **kwargs: object) -> object:
            calls[0] += 1
            if calls[0] >= number:
                raise error
            return _real(*args, **kwargs)  # type: ignore[operator]

        monkeypatch.setattr(os, name, guarded)
    return calls


def test_a_kill_at_any_system_call_of_a_save_leaves_a_whole_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcomes: set[int] = set()
    for number in range(1, 200):
        run = new_run(tmp_path / str(number))
        run.save(checkpoint(1), best=True)
        with monkeypatch.context() as patch:
            calls = fail_at(patch, number, Killed())
            with contextlib.suppress(Killed):
                run.save(checkpoint(2), best=True)
            complete = calls[0] < number
        loaded = run.load()
        assert_equal(loaded, checkpoint(loaded.step))
        best = run.load("best")
        assert_equal(best, checkpoint(best.step))
        outcomes.add(loaded.step)
        run.save(checkpoint(3), best=True)  # whatever was left lying about is no hindrance, and goes
        assert os.listdir(run.path / "checkpoints") == ["step-00000003"]
        if complete:
            break
    assert complete
    assert outcomes == {1, 2}


def test_a_full_disk_at_any_moment_of_a_save_keeps_the_checkpoint_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = OSError(errno.ENOSPC, "No space left on device")
    run = new_run(tmp_path)
    run.save(checkpoint(1))
    real = os.fsync
    for number in range(1, 7):
        with monkeypatch.context() as patch:
            calls = [0]

            def fsync(descriptor: int, number: int = number, calls: list[int] = calls) -> None:
                calls[0] += 1
                if calls[0] == number:
                    raise full
                real(descriptor)

            patch.setattr(os, "fsync", fsync)
            with pytest.raises(RunError, match="No space left on device.*still valid.*ifog resume"):
                run.save(checkpoint(2))
        assert_equal(run.load(), checkpoint(1))
        assert os.listdir(run.path / "checkpoints") == ["step-00000001"]
        assert not list(run.path.glob("*.temporary"))


def test_metrics_are_cut_back_to_a_step(tmp_path: Path) -> None:
    run = new_run(tmp_path)
    assert run.read_metrics() == []
    run.cut_metrics(0)
    for step in range(1, 6):
        run.append_metrics({"step": step, "loss": 1 / step})
    with (run.path / "metrics.jsonl").open("ab") as file:
        file.write(b'{"step": 6, "lo')
    assert [record["step"] for record in run.read_metrics()] == [1, 2, 3, 4, 5]
    run.cut_metrics(3)
    run.append_metrics({"step": 4, "loss": 0.5})
    assert run.read_metrics()[2:] == [{"step": 3, "loss": 1 / 3}, {"step": 4, "loss": 0.5}]


def test_a_partial_line_is_cut_even_where_no_step_is(tmp_path: Path) -> None:
    run = new_run(tmp_path)
    run.append_metrics({"step": 1})
    with (run.path / "metrics.jsonl").open("ab") as file:
        file.write(b'{"step": 2}')
    run.cut_metrics(7)
    run.append_metrics({"step": 2})
    assert run.read_metrics() == [{"step": 1}, {"step": 2}]


def test_a_figure_that_is_not_finite_is_recorded_as_null(tmp_path: Path) -> None:
    run = new_run(tmp_path)
    run.append_metrics({"step": 1, "perplexity": float("inf"), "loss": float("nan")})
    assert run.read_metrics() == [{"step": 1, "perplexity": None, "loss": None}]


def test_an_atomic_write_that_fails_leaves_the_old_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_a_damaged_line_among_the_metrics_is_reported_and_nothing_is_cut(tmp_path: Path) -> None:
    run = RunDirectory.create(tmp_path / "run")
    path = run.path / "metrics.jsonl"
    path.write_bytes(b'{"step": 1}\nxx\n{"step": 2}\n')
    with pytest.raises(RunError, match="damaged at byte 12"):
        run.cut_metrics(5)
    assert path.read_bytes().endswith(b'{"step": 2}\n')
