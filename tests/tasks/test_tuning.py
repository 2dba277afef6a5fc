"""The search for hyperparameters."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import optuna
import pytest

from ifog.errors import ConfigError
from ifog.examples import Table
from ifog.tasks import tuning
from ifog.tasks.beginning import Run
from ifog.tasks.tuning import Choices, Range, parse_space, tune

TABLE = Table(
    {"text": [f"{'so ' * (i % 4)}{('fine', 'bad')[i % 2]} film" for i in range(40)], "label": list("gb" * 20)},
    [("made", i) for i in range(40)],
)
TINY: dict[str, Any] = {"task": "classify", "embedding_size": 4, "batch_size": 8, "dropout": 0.0}


def test_a_space_is_read_from_text() -> None:
    space = parse_space(["learning-rate=1e-4..0.1", "hidden_size=8..64", "cell=lstm,gru", "lower=true,false"])
    assert space == {
        "learning_rate": Range(1e-4, 0.1), "hidden_size": Range(8, 64), "cell": Choices(("lstm", "gru")),
        "lower": Choices((True, False)),
    }  # fmt: skip
    fixed = optuna.trial.FixedTrial({"learning_rate": 0.01, "hidden_size": 9, "cell": "gru", "lower": True})
    assert [values.suggest(fixed, name) for name, values in space.items()] == [0.01, 9, "gru", True]


@pytest.mark.parametrize("line", ["dropout", "dropout=", "=1..2", "dropout=0.5..0.1", "dropout=a..b", "x=true..2"])
def test_what_is_no_space_is_refused(line: str) -> None:
    with pytest.raises(ConfigError, match="search"):
        parse_space([line])


def test_a_search_finds_the_rate_that_learns_and_goes_on_where_it_was(tmp_path: Path) -> None:
    # What the search draws is its own affair, and random: that both rates are tried is asked of the study.
    journal = optuna.storages.journal.JournalFileBackend(str(tmp_path / "study.journal"))
    study = optuna.create_study(
        storage=optuna.storages.JournalStorage(journal), study_name=tmp_path.name, direction="maximize"
    )
    for rate in (0.000001, 0.03):
        study.enqueue_trial({"learning_rate": rate})
    seen: list[tuple[int, float | None, Mapping[str, Any]]] = []
    # At 100 steps the loss is below 0.02 with every hidden size, and 0.7 with the rate that doesn't learn.
    options = {"search": ["learning_rate=0.000001,0.03", "hidden_size=4..8"], "steps": 100, **TINY}
    found = tune(TABLE, tmp_path, trials=3, told=lambda *told: seen.append(told), **options)
    assert found.metric == "accuracy"
    assert [tried["learning_rate"] for _, _, tried in seen][:2] == [0.000001, 0.03]
    assert found.options["learning_rate"] == 0.03
    assert found.value == max(value for _, value, _ in seen if value is not None) == 1.0
    assert json.loads((tmp_path / "best.json").read_text())["accuracy"] == 1.0
    assert (tmp_path / "tune.png").stat().st_size > 5000
    assert (found.run / "result.json").exists()
    assert sum(found.trials) == 3
    assert sum(tune(TABLE, tmp_path, trials=2, **options).trials) == 5
    assert (tmp_path / "trial-4").exists()


def test_of_equal_accuracies_the_lower_loss_is_the_best(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    losses = iter([0.5, 0.2, 0.3])

    def trained(*_: Any, out: Path, **options: Any) -> Run:
        return Run(out, 1, False, {"accuracy": 0.75, "loss": next(losses)})

    monkeypatch.setattr(tuning, "train", trained)
    found = tune(TABLE, tmp_path, trials=3, search=["hidden_size=4..8"], **TINY)
    assert (found.run.name, found.value) == ("trial-1", 0.75)


def test_a_run_that_lies_behind_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reported: list[float] = []
    monkeypatch.setattr(optuna.Trial, "report", lambda self, value, step: reported.append(value))
    monkeypatch.setattr(optuna.Trial, "should_prune", lambda self: self.number > 0)
    found = tune(
        TABLE, tmp_path, trials=3, search=["learning_rate=0.001..0.1"], steps=4, hidden_size=4, evaluate_every=1, **TINY
    )
    assert found.trials == (1, 2)
    assert len(reported) == 4 + 2


def test_mistakes_are_said_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="both searched and given"):
        tune(TABLE, tmp_path, search=["dropout=0..0.5"], **TINY)
    with pytest.raises(ConfigError, match="no URL"):
        tune(TABLE, tmp_path, search=["hidden_size=4,8"], storage="study.db", **TINY)
    with pytest.raises(ConfigError, match="no option 'hidden_sizes'"):
        tune(TABLE, tmp_path, search=["hidden_sizes=4,8"], trials=1, **TINY)
