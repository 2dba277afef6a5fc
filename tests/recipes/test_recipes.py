"""Recipes: what they read, how they are judged, and that one runs from its name to its row in the table."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ifog.cli.application import app
from ifog.errors import ConfigError, DataError, RunError
from ifog.recipes import RECIPES, TABLES, Corpora, Outcome, Recipe, find, rows
from ifog.recipes.plan import make_plan
from ifog.recipes.working import trained
from ifog.tasks.language_options import LanguageOptions


@pytest.fixture
def corpora(tmp_path: Path) -> Path:
    """A tiny corpus under the names of Penn Treebank's files."""
    folder = tmp_path / "data" / "ptb_word"
    folder.mkdir(parents=True)
    for name, lines in (("train", 400), ("valid", 40), ("test", 40)):
        text = "".join(f" the {w} sat on the {v} \n" for w in ("cat", "dog", "cow") for v in ("mat", "hat"))
        (folder / f"ptb.{name}.txt").write_text(text * (lines // 6))
    return tmp_path / "data"


def recipe(work: object = None, expected: tuple[float, float] = (2.0, 3.0)) -> Recipe:
    return Recipe("r", "t", "s", 2.5, "perplexity", expected, 1, RECIPES["ptb-kn5"].corpora, work)  # type: ignore[arg-type]


def test_a_figure_is_judged_by_the_expected_range() -> None:
    assert recipe().verdict(2.5) == "reproduced"
    assert "better" in recipe().verdict(1.9)
    assert "not reproduced: at most 3" in recipe().verdict(3.1)
    accuracy = dataclasses.replace(recipe(), metric="accuracy")
    assert accuracy.verdict(2.5) == "reproduced"
    assert "better" in accuracy.verdict(3.1)
    assert "not reproduced: at least 2" in accuracy.verdict(1.9)


def test_a_name_that_is_nearly_right_is_corrected() -> None:
    with pytest.raises(ConfigError, match="ptb-kn5"):
        find("ptb-kn4")


def test_every_table_names_recipes_that_exist() -> None:
    assert {line.recipe for lines in TABLES.values() for line in lines if line.recipe} <= RECIPES.keys()


def test_a_missing_corpus_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("IFOG_DATA", raising=False)
    with pytest.raises(DataError, match="IFOG_DATA"):
        Corpora("a/b.txt").paths()
    with pytest.raises(DataError, match=r"b\.txt"):
        Corpora("a/b.txt").paths(tmp_path)


def test_an_outcome_survives_its_file(tmp_path: Path) -> None:
    outcome = Outcome(2.5, 10.0, 7, {"updates": 3})
    recipe().save(outcome, tmp_path)
    assert recipe().saved(tmp_path) == outcome
    (tmp_path / "reproduction.json").write_text('{"recipe": "r"}')
    with pytest.raises(RunError, match="damaged"):
        recipe().saved(tmp_path)


def test_a_network_is_trained_judged_and_not_trained_twice(corpora: Path, tmp_path: Path) -> None:
    work = trained(
        "perplexity", tokenizer="word", model="window", steps=60, batch_size=4, sequence=5, learning_rate=0.02,
        model_options={"order": 3, "embedding_size": 8, "hidden_size": 8},
    )  # fmt: skip
    one = recipe(work)
    first = work(one.corpora.paths(corpora), tmp_path / "run", None)
    again = work(one.corpora.paths(corpora), tmp_path / "run", None)
    assert first is not None
    assert again is not None
    assert again.figure == first.figure < 8  # of 8 words
    assert first.details["updates"] == 60


def test_the_command_ends_with_a_row_of_the_table(corpora: Path, tmp_path: Path) -> None:
    out = tmp_path / "runs"
    ran = CliRunner().invoke(app, ["reproduce", "ptb-kn5", "--data", str(corpora), "--out", str(out)])
    # so regular a text has no n-gram that occurs once, so that no discount can be told from its counts
    assert ran.exit_code in (0, 2)
    RECIPES["ptb-kn5"].save(Outcome(141.2, 3.0, 2_000_000), out / "ptb-kn5")
    assert rows("ptb", out)[0].outcome is not None
    shown = CliRunner().invoke(app, ["table", "ptb", "--out", str(out)])
    assert "141.2" in shown.output
    assert "ptb-awd" in shown.output


def test_the_list_shows_every_recipe() -> None:
    shown = CliRunner().invoke(app, ["reproduce", "--list"]).output
    assert all(name in shown for name in RECIPES)


def test_epochs_become_steps(corpora: Path, tmp_path: Path) -> None:
    import ifog

    text = corpora / "ptb_word" / "ptb.valid.txt"
    run = ifog.train(text, out=tmp_path / "e", tokenizer="word", hidden_size=4, epochs=2, batch_size=2, sequence=5)
    # 36 lines of 7 tokens, a tenth held out: 227 tokens in two streams of 113, 22 chunks each
    assert run.step == 44
    with pytest.raises(ConfigError, match="epochs"):
        LanguageOptions.given(epochs=0)


def test_a_plan_shares_the_work_between_devices() -> None:
    sizes = {"vocabulary_size": 40, "tokens": 10_000, "batch_size": 2, "sequence": 5, "seconds": 0.0}
    options = {"order": 3, "embedding_size": 4, "hidden_size": 5}
    one = make_plan("window", options, **sizes)
    many = make_plan("window", options, epochs=2, devices=4, **sizes)
    assert one.parameters == many.parameters > 40 * (4 + 5)
    assert one.model_bytes == 16 * one.parameters
    assert one.seconds == pytest.approx(10_000 / one.tokens_per_second)
    assert many.seconds == pytest.approx(20_000 / (many.tokens_per_second * 4 * 0.9))
    with pytest.raises(ConfigError, match="above 0"):
        make_plan("window", options, epochs=0, **sizes)


def test_the_plan_is_printed() -> None:
    ran = CliRunner().invoke(
        app,
        ["plan", "--model", "window", "--model-option", "order=3", "--vocabulary-size", "50", "--seconds", "0.1"],
    )
    assert ran.exit_code == 0, ran.output
    assert "tokens per second" in ran.output
