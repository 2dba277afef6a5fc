"""The doctor reads whole runs: a sound one, an ill one, one without weights."""

from __future__ import annotations

import inspect
import random
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

import ifog
from ifog.cli.application import app
from ifog.errors import ConfigError
from ifog.health.doctor import diagnose
from ifog.inspection.run_errors import draw_errors, errors_of
from ifog.runs import RunDirectory


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small run on Python's own text."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    text = inspect.getsource(random)
    ifog.train(text=text, out=folder, steps=60, log_every=2, hidden_size=24, batch_size=8, sequence=24)
    return folder


def test_every_check_speaks_and_the_cells_gradients_are_right(run: Path) -> None:
    found = {diagnosis.check: diagnosis for diagnosis in diagnose(run)}
    assert list(found)[:5] == ["loss at start", "equal outcomes", "symmetry", "one batch by heart", "gradients"]
    assert all(diagnosis.verdict == "good" for diagnosis in list(found.values())[:5]), found
    assert {"data order", "learning rate", "stability", "clipping", "over-fitting", "weights"} <= set(found)
    assert list(found)[-3:] == ["gates", "dead units", "gradient flow"]
    assert all(diagnosis.remedy for diagnosis in found.values() if diagnosis.verdict != "good")


def test_weights_that_are_not_numbers_are_found(run: Path, tmp_path: Path) -> None:
    broken = RunDirectory.create(tmp_path / "broken")
    for name in ("config.json", "tokenizer.json", "train.ids", "validation.ids", "metrics.jsonl"):
        for file in run.glob(name):
            (broken.path / name).write_bytes(file.read_bytes())
    for file in run.glob("*.ids"):
        (broken.path / file.name).write_bytes(file.read_bytes())
    checkpoint = RunDirectory.open(run).load("best")
    checkpoint.tensors["model"]["W_hy"] = torch.full_like(checkpoint.tensors["model"]["W_hy"], float("nan"))
    broken.save(checkpoint, best=True)
    last = list(diagnose(broken.path))[-1]
    assert (last.check, last.verdict) == ("weights", "bad")
    assert "W_hy holds NaN" in last.seen
    result = CliRunner().invoke(app, ["doctor", str(broken.path)])
    assert result.exit_code == 1
    assert "✗ weights" in result.output
    assert "→ train again" in result.output


def test_the_command_prints_a_line_for_each_check(run: Path) -> None:
    result = CliRunner().invoke(app, ["doctor", str(run)])
    assert "✓ loss at start" in result.output
    assert "✓ weights" in result.output
    assert result.exit_code == 0


def test_errors_are_broken_down_and_drawn(run: Path, tmp_path: Path) -> None:
    found = errors_of(run, order=4, characters=500)
    assert found.characters == 500
    assert sum(share.errors for share in found.shares) == found.errors > 100
    draw_errors(found, tmp_path / "errors.png")
    assert (tmp_path / "errors.png").stat().st_size > 5000
    result = CliRunner().invoke(app, ["errors", str(run), "--order", "4", "--characters", "500"])
    assert "word model" in result.output


def test_errors_look_at_no_more_of_a_text_than_they_judge(run: Path, tmp_path: Path) -> None:
    text = inspect.getsource(random)[:300]
    (tmp_path / "long.txt").write_text(text + "\N{SNOWMAN}")  # which the run doesn't know
    (tmp_path / "short.txt").write_text(text)
    files = [str(tmp_path / name) for name in ("long.txt", "short.txt")]
    assert errors_of(run, files[:1], order=4, characters=300) == errors_of(run, files[1:], order=4)
    assert errors_of(run, files[1:], order=4, characters=200).characters == 200


def test_errors_want_characters(tmp_path: Path) -> None:
    text = "the cat sat on the mat\n" * 60
    ifog.train(text=text, out=tmp_path / "words", steps=2, tokenizer="word", hidden_size=8, batch_size=2, sequence=8)
    with pytest.raises(ConfigError, match="trained with --tokenizer char"):
        errors_of(tmp_path / "words", order=2)
    with pytest.raises(ConfigError, match="order is 1"):
        errors_of(tmp_path / "words", order=1)
