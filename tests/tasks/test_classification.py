"""Classifiers and models that say a number, from files to predictions."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import ifog
from ifog.errors import ConfigError, DataError, RunError
from ifog.examples import Table
from ifog.runs import RunDirectory
from ifog.tasks.classification import CLASSIFY
from ifog.tasks.kinds import find, guess
from ifog.training import SilentProgress, Status

TINY: dict[str, Any] = {"hidden_size": 8, "embedding_size": 6, "batch_size": 8, "learning_rate": 0.02, "dropout": 0.0}


def reviews(folder: Path, count: int = 60, name: str = "reviews.csv") -> Path:
    lines = ["text,label"]
    for i in range(count):
        word = ("fine", "bad")[i % 2]
        lines.append(f"a very {'really ' * (i % 5)}{word} film number {i},{('good', 'poor')[i % 2]}")
    path = folder / name
    path.write_text("\n".join(lines) + "\n")
    return path


def test_from_a_csv_to_predictions_in_a_csv(tmp_path: Path) -> None:
    run = ifog.train(reviews(tmp_path), out=tmp_path / "run", steps=40, **TINY)
    assert run.metrics["accuracy"] == 1.0
    assert ifog.evaluate(run) == pytest.approx(run.metrics)
    assert ifog.evaluate(run, reviews(tmp_path, 20, "more.csv"))["accuracy"] == 1.0
    (tmp_path / "new.csv").write_text("text\na bad film\na fine film\n")
    predicted = ifog.predict(run, tmp_path / "new.csv", tmp_path / "out.csv")
    assert predicted.columns["predicted"] == ["poor", "good"]
    assert (tmp_path / "out.csv").read_text().startswith("text,predicted,probability\na bad film,poor,0.")
    assert ifog.predict(run, [{"text": "a bad film"}]).columns["predicted"] == ["poor"]
    every = ifog.predict(run, tmp_path / "new.csv", probabilities=True)
    assert every.columns["probability"] == [every.columns["probability poor"][0], every.columns["probability good"][1]]
    for good, poor in zip(every.columns["probability good"], every.columns["probability poor"], strict=True):
        assert good + poor == pytest.approx(1, abs=2e-6)
    assert re.fullmatch(r"good 0\.\d\d, poor 0\.\d\d: a bad film", CLASSIFY.show(every.take([0])))
    assert ifog.load(run).encoding.labels == ("good", "poor")


def test_an_interrupted_run_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    class Impatient(SilentProgress):
        def logged(self, status: Status) -> None:
            if status.step == 5:
                import signal

                signal.raise_signal(signal.SIGINT)

    options = {**TINY, "dropout": 0.3, "steps": 12, "log_every": 5}
    whole = ifog.train(reviews(tmp_path), out=tmp_path / "whole", **options)
    cut = ifog.train(reviews(tmp_path), out=tmp_path / "cut", progress=Impatient(), **options)
    assert cut.interrupted
    assert not cut.metrics
    again = ifog.resume(cut)
    one, two = (ifog.load(run.path, "last").state_dict() for run in (whole, again))
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert again.metrics == whole.metrics


def test_runs_predict_together_as_the_mean_of_their_probabilities(tmp_path: Path) -> None:
    runs = [ifog.train(reviews(tmp_path), out=tmp_path / str(s), steps=6, seed=s, **TINY) for s in range(2)]
    alone = [float(ifog.predict(run, [{"text": "a fine film"}]).columns["probability"][0]) for run in runs]
    said = [ifog.predict(run, [{"text": "a fine film"}]).columns["predicted"][0] for run in runs]
    good = [p if label == "good" else 1 - p for p, label in zip(alone, said, strict=True)]
    both = ifog.predict(runs, [{"text": "a fine film"}])
    mean = sum(good) / 2
    assert both.columns["probability"][0] == pytest.approx(max(mean, 1 - mean), abs=1e-5)
    other = ifog.train(reviews(tmp_path, 30, "few.csv"), out=tmp_path / "other", steps=1, **TINY)
    with pytest.raises(RunError, match="can't predict together"):
        ifog.evaluate([runs[0], other])


def test_figures_are_those_of_the_predictions(tmp_path: Path) -> None:
    run = ifog.train(reviews(tmp_path), out=tmp_path / "run", steps=3, **TINY)
    table = find("classify").read([str(reviews(tmp_path, 30, "test.csv"))], find("classify").options())
    figures = ifog.evaluate(run, table)
    predicted = ifog.predict(run, table)
    pairs = list(zip(predicted.columns["predicted"], table.columns["label"], strict=True))
    assert figures["accuracy"] == pytest.approx(sum(a == b for a, b in pairs) / 30)
    f1 = []
    for label in ("good", "poor"):
        hits = sum(a == b == label for a, b in pairs)
        f1.append(2 * hits / max(1, sum((a == label) + (b == label) for a, b in pairs)))
    assert figures["macro_f1"] == pytest.approx(sum(f1) / 2)
    nats = [
        -math.log(p if a == b else 1 - p) for p, (a, b) in zip(predicted.columns["probability"], pairs, strict=True)
    ]
    assert figures["loss"] == pytest.approx(sum(nats) / 30, rel=1e-4)


def test_series_are_scaled_by_the_training_part_and_told_apart(tmp_path: Path) -> None:
    chance = np.random.default_rng(0)
    rows = [chance.normal(100 * (i % 2), 1, (chance.integers(1, 9), 2)).astype(np.float32) for i in range(60)]
    table = Table(
        {"series": rows, "label": [("low", "high")[i % 2] for i in range(60)]}, [("made", i) for i in range(60)]
    )
    run = ifog.train(table, task="classify", out=tmp_path / "run", steps=30, **TINY)
    assert run.metrics["accuracy"] == 1.0
    encoding = ifog.load(run).encoding
    assert encoding.mean == pytest.approx([50, 50], abs=10)
    with pytest.raises(DataError, match=r"new:7: this series has 3 columns"):
        ifog.predict(run, Table({"series": [np.zeros((2, 3))]}, [("new", 7)]))
    with pytest.raises(DataError, match=r"new:7: step 1 of this series is not a finite number"):
        ifog.predict(run, Table({"series": [np.array([[0.0, 1.0], [np.nan, 2.0]])]}, [("new", 7)]))


def test_numbers_are_learned_in_their_own_unit(tmp_path: Path) -> None:
    table = Table(
        {"text": ["x " * (i % 7 + 1) for i in range(70)], "label": [str(1000 + 10 * (i % 7)) for i in range(70)]},
        [("made", i) for i in range(70)],
    )
    run = ifog.train(table, task="regress", out=tmp_path / "run", steps=300, pooling="last", **TINY)
    assert run.metrics["rmse"] < 4  # below 0.9 with any of six seeds; the numbers' own spread is 20
    with pytest.raises(ConfigError, match="no probability"):
        ifog.predict(run, [{"text": "x x x"}], probabilities=True)
    assert ifog.predict(run, [{"text": "x x x"}]).columns["predicted"][0] == pytest.approx(1020, abs=8)


def test_class_weights_make_rare_classes_count(tmp_path: Path) -> None:
    table = Table({"text": ["a"] * 9 + ["b"], "label": ["x"] * 9 + ["y"]}, [("made", i) for i in range(10)])
    run = ifog.train(
        table, task="classify", out=tmp_path / "r", steps=1, class_weights="balanced", validation_fraction=0.0, **TINY
    )
    model = ifog.load(run)
    torch.testing.assert_close(model.class_weights, torch.tensor([10 / 18, 5.0]))


@pytest.mark.parametrize(
    ("columns", "options", "words"),
    [
        ({"text": ["a", ""], "label": ["x", "y"]}, {}, r"made:2: the column 'text' is empty"),
        ({"text": ["a", "b"], "label": ["x", "x"]}, {}, "one label alone, 'x'"),
        ({"text": ["a", "b"], "label": ["x", "y"]}, {"label": "lable"}, "no column 'lable'; did you mean 'label'"),
        ({"text": ["a", "b"]}, {}, "there is no column but 'text'"),
        ({"text": ["a"], "label": ["x"]}, {"validation_fraction": 0.5}, "too few to hold some back"),
    ],
)
def test_tables_that_cannot_be_learned(tmp_path: Path, columns: dict[str, Any], options: Any, words: str) -> None:
    table = Table(columns, [("made", i + 1) for i in range(len(columns["text"]))])
    with pytest.raises(DataError, match=words):
        ifog.train(
            table, task="classify", out=tmp_path / "run", steps=1, **{**TINY, "validation_fraction": 0.0, **options}
        )
    assert not (tmp_path / "run").exists()


def test_an_unknown_label_at_evaluation_names_its_line(tmp_path: Path) -> None:
    run = ifog.train(reviews(tmp_path), out=tmp_path / "run", steps=1, **TINY)
    (tmp_path / "test.csv").write_text("text,label\na film,good\nanother,average\n")
    with pytest.raises(
        DataError, match=r"test\.csv:3: the label 'average' never occurs in training; known are good, poor"
    ):
        ifog.evaluate(run, tmp_path / "test.csv")


@pytest.mark.parametrize("damage", ["encoding.json", "train.examples", "config.json"])
def test_a_damaged_run_is_a_clear_error(tmp_path: Path, damage: str) -> None:
    run = ifog.train(reviews(tmp_path), out=tmp_path / "run", steps=1, **TINY)
    path = run.path / damage
    if damage == "config.json":
        config = json.loads(path.read_text())
        config["equations"] = ["h = 0"]
        path.write_text(json.dumps(config))
    else:
        path.write_bytes(b'{"wrong": 1}')
    with pytest.raises(RunError):
        ifog.resume(run)


def test_a_task_is_guessed_from_what_the_file_says(tmp_path: Path) -> None:
    assert guess([str(reviews(tmp_path))]) == "classify"
    (tmp_path / "a.jsonl").write_text('{"words": [], "tags": []}\n')
    assert guess([str(tmp_path / "a.jsonl")]) == "tag"
    assert guess(["x.conllu.gz"]) == "tag"
    (tmp_path / "a.ts").write_text("@targetLabel true\n@data\n1,2:0.5\n")
    assert guess([str(tmp_path / "a.ts")]) == "regress"
    assert guess(["b.ts"]) == "classify"
    assert guess(["novel.txt"]) == guess([]) == "language"
    with pytest.raises(ConfigError, match="did you mean classify"):
        find("clasify")


def test_epochs_become_steps(tmp_path: Path) -> None:
    run = ifog.train(reviews(tmp_path), out=tmp_path / "run", epochs=2, **TINY)
    assert run.step == 14  # 54 examples in batches of 8, twice
    assert RunDirectory.open(run.path).config["examples"] == {"train": 54, "validation": 6}
