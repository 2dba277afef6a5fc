"""Training a language model from Python: runs, resuming, loading, judging."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

import ifog
from ifog.cells import affine, cell, tanh
from ifog.errors import CellError, ConfigError, DataError, RunError
from ifog.generation import Sampling, sample
from ifog.runs import RunDirectory
from ifog.training import SilentProgress, Status

TEXT = "".join(f"{number} green bottles hanging on the wall,\n" for number in range(100))
TINY: Mapping[str, Any] = {"hidden_size": 8, "embedding_size": 4, "batch_size": 4, "sequence": 10}


def test_training_leaves_a_run_that_loads_judges_and_samples(tmp_path: Path) -> None:
    run = ifog.train(text=TEXT, out=tmp_path / "run", steps=60, learning_rate=0.02, **TINY)
    assert run.step == 60
    assert not run.interrupted
    assert ifog.evaluate(run) == pytest.approx(run.metrics)
    model = ifog.load(run)
    assert not model.training
    assert model.tokenizer is not None
    assert model.tokenizer.decode(model.tokenizer.encode("green")) == "green"
    assert len(sample(model, "10 green", 20)) == 20
    assert run.metrics["loss"] < 2.5  # log(V) is 3.3: it has learned something


def test_files_are_read_in_order_as_one_text(tmp_path: Path) -> None:
    (tmp_path / "a").write_text(TEXT[:2000])
    (tmp_path / "b").write_text(TEXT[2000:])
    together = ifog.train([tmp_path / "a", tmp_path / "b"], out=tmp_path / "files", steps=3, **TINY)
    whole = ifog.train(text=TEXT, out=tmp_path / "text", steps=3, **TINY)
    assert together.metrics == whole.metrics


def test_without_a_text_it_reads_the_standard_library(tmp_path: Path) -> None:
    ifog.train(out=tmp_path / "run", steps=1, validation_fraction=0.001, **TINY)
    assert "standard library" in RunDirectory.open(tmp_path / "run").config["source"]


@pytest.mark.parametrize("min_char_rnn", [False, True])
def test_an_interrupted_run_goes_on_to_the_same_bits(tmp_path: Path, min_char_rnn: bool) -> None:
    options = {"min_char_rnn": True, "hidden_size": 8} if min_char_rnn else {**TINY, "dropout": 0.3, "average": 0.9}

    class Impatient(SilentProgress):
        """Presses Ctrl-C at step 7."""

        def logged(self, status: Status) -> None:
            if status.step == 7:
                import signal

                signal.raise_signal(signal.SIGINT)

    whole = ifog.train(text=TEXT, out=tmp_path / "whole", steps=20, log_every=1, evaluate_every=5, **options)
    stopped = ifog.train(
        text=TEXT, out=tmp_path / "parts", steps=20, log_every=1, evaluate_every=5, progress=Impatient(), **options
    )
    assert stopped.interrupted
    assert stopped.metrics == {}
    done = ifog.resume(stopped)
    assert done.metrics == whole.metrics
    times = {"seconds", "items_per_second"}
    records = [
        [{k: v for k, v in record.items() if k not in times} for record in RunDirectory.open(run.path).read_metrics()]
        for run in (whole, done)
    ]
    assert records[0] == records[1]


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(tmp_path: Path) -> None:
    runs = [
        ifog.train(text=TEXT, out=tmp_path / str(i), steps=3, seed=seed, **TINY) for i, seed in enumerate([1, 1, 2])
    ]
    first, same, other = (ifog.load(run).state_dict() for run in runs)
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert not torch.equal(first["W_hy"], other["W_hy"])


def test_the_averaged_weights_are_what_loads(tmp_path: Path) -> None:
    run = ifog.train(text=TEXT, out=tmp_path / "run", steps=20, average=0.9, **TINY)
    checkpoint = RunDirectory.open(run.path).load("best").tensors
    loaded = ifog.load(run).state_dict()
    assert torch.equal(loaded["W_hy"], checkpoint["average"]["W_hy"])
    assert not torch.equal(loaded["W_hy"], checkpoint["model"]["W_hy"])


def test_without_validation_text_it_is_judged_on_what_it_learned(tmp_path: Path) -> None:
    run = ifog.train(text=TEXT, out=tmp_path / "run", steps=2, validation_fraction=0.0, **TINY)
    assert ifog.evaluate(run, text=TEXT) == pytest.approx(run.metrics)


@cell
def mine(x: Any, h: Any) -> Any:
    """A cell that no catalogue holds."""
    return tanh(affine("n", x, h)) + 0.5 * h


def test_a_cell_of_ones_own_trains_and_loads_when_it_is_given(tmp_path: Path) -> None:
    run = ifog.train(text=TEXT, out=tmp_path / "run", steps=2, cell=mine, **TINY)
    assert sample(ifog.load(run, cell=mine), "1", 5, sampling=Sampling(seed=0))
    assert ifog.resume(run, cell=mine).metrics == run.metrics
    with pytest.raises(RunError, match="cell=mine"):
        ifog.load(run)


def test_a_cell_of_the_same_name_and_other_equations_is_refused(tmp_path: Path) -> None:
    run = ifog.train(text=TEXT, out=tmp_path / "run", steps=1, cell=mine, **TINY)
    config = json.loads((run.path / "config.json").read_text())
    config["equations"] = ["h = x"]
    (run.path / "config.json").write_text(json.dumps(config))
    with pytest.raises(RunError, match="other equations"):
        ifog.load(run, cell=mine)


def test_mistakes_are_found_before_anything_is_written(tmp_path: Path) -> None:
    for mistake, options in (
        (ConfigError, {"text": TEXT, "hiden_size": 3}),
        (ConfigError, {"text": TEXT, "files": "also"}),
        (ConfigError, {"text": TEXT, "steps": 3, "budget": 3}),
        (CellError, {"text": TEXT, "cell": "lstn"}),
        (DataError, {"text": "short"}),
        (DataError, {"text": ""}),
    ):
        with pytest.raises(mistake):
            ifog.train(out=tmp_path / "run", **options)
        assert not (tmp_path / "run").exists()


def test_an_unknown_option_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean 'hidden_size'"):
        ifog.train(text=TEXT, hiden_size=3)


def test_a_user_directory_that_was_there_stays_when_nothing_comes_of_it(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    with pytest.raises(DataError):
        ifog.train(text="short", out=tmp_path / "run")
    assert list((tmp_path / "run").iterdir()) == []


def test_runs_of_other_tasks_are_refused(tmp_path: Path) -> None:
    run = RunDirectory.create(tmp_path / "run")
    run.write_config({"task": "captions"})
    with pytest.raises(RunError, match="of the task 'captions'"):
        ifog.load(tmp_path / "run")


@pytest.mark.parametrize("text", ["tinyshakespeare/input.txt", "obama_speeches/obama.txt"])
def test_real_text_is_learned(data: Path, text: str, tmp_path: Path) -> None:
    run = ifog.train(
        data / text, out=tmp_path / "run", steps=100, hidden_size=64, embedding_size=32, learning_rate=0.01
    )
    assert run.metrics["loss"] < 2.6  # letters alone, without order, take about 3.3
